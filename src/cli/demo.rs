//! `bearward demo`: everything, with nothing needed; gone when it ends.

mod fill;
mod home;
mod seed;

use super::serve::Signals;
use super::{echo, init, say, serve, tell};
use anyhow::{Context, bail};
use bearward::app::{self, Running};
use bearward::clock;
use bearward::config::Config;
use clap::Args;
use home::Home;
use hyper::Uri;
use seed::Seeded;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// The arguments of `bearward demo`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print one JSON object on the first line, for scripts
    #[arg(long)]
    json: bool,
    /// The gateway's port; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    gateway_port: u16,
    /// The admin port; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    admin_port: u16,
    /// Where requests go, `http://HOST:PORT` [default: an echo of its own]
    #[arg(long, value_name = "URL")]
    upstream: Option<Uri>,
    /// Worker threads [default: the number of processors]
    #[arg(long, value_name = "N")]
    workers: Option<u32>,
    /// So many live tokens more
    #[arg(long, value_name = "N", default_value_t = 0, requires = "tokens_file")]
    tokens: u64,
    /// Where their secrets are written, one a line
    #[arg(long, value_name = "FILE")]
    tokens_file: Option<PathBuf>,
}

/// Runs until a signal ends it.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    serve::log("warn");
    let mut signals = Signals::new()?;
    let home = Home::new()?;
    let upstream = match &arguments.upstream {
        Some(uri) => address(uri)?,
        None => echo::start()?.to_string(),
    };
    let config = configuration(arguments, &upstream, &home)?;
    let store = init::open(&config)?;
    init::intern_roles(&*store, &config)?;
    let prefix = config.gateway.token_prefix.clone();
    let seeded = seed::seed(&*store, &prefix, clock::now())?;
    if let Some(file) = &arguments.tokens_file {
        let load = fill::Load { org: seeded.org, prefix: &prefix, count: arguments.tokens };
        if !fill::fill(&*store, &load, file, &mut || signals.is_stop_asked())? {
            return Ok(());
        }
    }
    let running = app::start(config, app::Options { store: Some(store), ..Default::default() })
        .context("cannot start; --gateway-port 0 and --admin-port 0 pick free ports")?;
    if arguments.json {
        say(&seeded.json(&running).to_string())?;
    } else {
        let link = running.sign_in_link(&seeded.owner.secret)?;
        say(&seeded.banner(&running, &upstream, arguments.upstream.is_none(), &link))?;
    }
    signals.serve(running, None)?;
    if !arguments.json {
        tell("The demo is over; its store is gone.");
    }
    Ok(())
}

/// `host:port` of an upstream's URL.
fn address(uri: &Uri) -> anyhow::Result<String> {
    let plain =
        uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/") && uri.query().is_none();
    match uri.authority() {
        Some(authority) if plain => {
            Ok(format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)))
        }
        Some(_) | None => bail!("`{uri}` is not an upstream: expected http://HOST:PORT"),
    }
}

fn configuration(arguments: &Arguments, upstream: &str, home: &Home) -> anyhow::Result<Config> {
    let workers =
        arguments.workers.map_or_else(String::new, |workers| format!("workers = {workers}"));
    let text = format!(
        r#"
[gateway]
listen = "127.0.0.1:{gateway}"
{workers}

[admin]
listen = "127.0.0.1:{admin}"

[store]
path = "demo.redb"

[services.echo]
roles = ["caller"]

[upstreams.echo]
addresses = ["{upstream}"]

[[routes]]
name = "demo"
path = "/"
upstream = "echo"
require = {{ service = "echo", organizations = "any", any_of = ["echo/caller"] }}
"#,
        gateway = arguments.gateway_port,
        admin = arguments.admin_port,
    );
    Config::parse(&text, home.path(), &|_name| None)
        .map_err(|errors| anyhow::anyhow!("{}", words(&errors)))
}

/// The errors without places, which are places of a text that nobody wrote.
fn words(errors: &bearward::config::Errors) -> String {
    errors.all().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Seeded {
    /// What scripts read. The keys are a contract.
    fn json(&self, running: &Running) -> Value {
        let secret = |key: &&str| json!(self.token(key).secret.expose());
        let id = |key: &&str| json!(self.token(key).id);
        let of = |value: &dyn Fn(&&str) -> Value| -> Map<String, Value> {
            seed::KEYS.iter().map(|key| ((*key).to_owned(), value(key))).collect()
        };
        json!({
            "gateway": format!("http://{}", running.gateway),
            "admin": format!("http://{}", running.admin),
            "org": self.org,
            "owner_token": self.owner.secret.expose(),
            "tokens": of(&secret),
            "token_ids": of(&id),
        })
    }

    /// What people read: where everything is, and what to try.
    fn banner(&self, running: &Running, upstream: &str, echo: bool, link: &str) -> String {
        let (gateway, admin) = (running.gateway, running.admin);
        let (owner, live) = (self.owner.secret.expose(), self.token("live"));
        let tokens = format!("http://{admin}/api/v1/orgs/{}/tokens", self.org);
        let what = if echo { "an echo, " } else { "" };
        let refused = |key: &str| self.token(key).secret.expose();
        format!(
            "\
Bearward is running.

  gateway   http://{gateway}  in front of {what}http://{upstream}
  admin     http://{admin}
  pages     {link}  (once, within 10 minutes)

A live token is admitted:

  curl -i http://{gateway}/hello -H 'Authorization: Bearer {live_secret}'

Its organization's owner deactivates it, through the admin API:

  curl -i -X POST {tokens}/{live_id}/deactivate \\
    -H 'Authorization: Bearer {owner}' \\
    -H 'Content-Type: application/json' -d '{{\"reason\": \"trying it out\"}}'

The very next request is refused (the first line again), until it is activated:

  curl -i -X POST {tokens}/{live_id}/activate \\
    -H 'Authorization: Bearer {owner}' \\
    -H 'Content-Type: application/json' -d '{{}}'

Refused from the start: one that expired (401), and one that lacks the role (403):

  curl -i http://{gateway}/hello -H 'Authorization: Bearer {expired}'
  curl -i http://{gateway}/hello -H 'Authorization: Bearer {wrong_scope}'

All tokens of the organization, and those of another one, whose policies are violated:

  curl -s {tokens} -H 'Authorization: Bearer {owner}'
  curl -s http://{admin}/api/v1/orgs/{second}/tokens \\
    -H 'Authorization: Bearer {second_owner}'

Ctrl-C ends the demo and removes its store.",
            live_secret = live.secret.expose(),
            live_id = live.id,
            expired = refused("expired"),
            wrong_scope = refused("wrong_scope"),
            second = self.second,
            second_owner = self.second_owner.secret.expose(),
        )
    }
}
