//! `bearward token`: API tokens over the admin port.

mod shown;
mod ttl;

use super::client::{self, Client};
use super::{say, tell};
use anyhow::{Context, bail};
use bearward::id::{TokenId, UserId};
use bearward::role::RoleName;
use bearward::time::Timestamp;
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value, json};
use shown::{details, list_table, status, text};
use std::path::PathBuf;
use ttl::{ShortTtl, Wish};

/// The most that one page of a list has.
const PAGE_ITEMS_MAX: usize = 200;

/// The arguments of `bearward token`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    command: Command,
}

/// How the admin port is reached.
#[derive(Debug, Args)]
struct Access {
    /// The admin port
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "BEARWARD_ADMIN",
        default_value = "http://127.0.0.1:8081"
    )]
    admin: String,
    /// A file that holds the token to ask with, in place of the variable `BEARWARD_TOKEN`
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print JSON, as the admin port answers it
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a token; its secret is printed once
    Create(Create),
    /// List tokens
    List(List),
    /// Show one token
    Show(One),
    /// Switch a token off: not one request is admitted on it from then on
    Deactivate(Switch),
    /// Switch a deactivated token on again
    Activate(Switch),
    /// Switch a token off for good
    Revoke(One),
}

#[derive(Debug, Args)]
struct Create {
    /// Its name, 1 to 64 characters
    #[arg(long)]
    name: String,
    /// How long it lives, such as 12h, 30d, 6mo or longest [default: six months, or what policy
    /// allows]
    #[arg(long, conflicts_with = "expires_at")]
    ttl: Option<Wish>,
    /// When its life ends, such as 2027-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    expires_at: Option<Timestamp>,
    /// A role that it carries: `org_member`, or SERVICE/ROLE; may be repeated
    #[arg(long = "scope", value_name = "ROLE", required = true)]
    scopes: Vec<RoleName>,
    /// Whose token it is [default: yours]
    #[arg(long, value_name = "USER")]
    owner: Option<UserId>,
}

#[derive(Debug, Args)]
struct List {
    /// Only those in this state
    #[arg(long, value_parser = ["activated", "deactivated", "expired", "revoked"])]
    status: Option<String>,
    /// Only those that break a policy, or none, where nobody has that ignored
    #[arg(long, value_parser = ["any", "idle_ttl", "max_ttl", "none"])]
    violation: Option<String>,
    /// Only those of this user; `me` for your own
    #[arg(long, value_name = "USER|me", value_parser = owner)]
    owner: Option<String>,
    /// Only those with this in their name
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
    /// The column to sort by, `-` before it for the other way round
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    sort: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
}

#[derive(Debug, Args)]
struct One {
    /// The token's identity (`tok_...`), never its secret
    #[arg(value_name = "TOKEN")]
    id: String,
}

impl One {
    /// Reads the identity. What is none is not repeated, as clap would: it may be a secret.
    fn id(&self) -> anyhow::Result<TokenId> {
        self.id.parse().context("a token is named by its identity, never by its secret")
    }
}

#[derive(Debug, Args)]
struct Switch {
    #[command(flatten)]
    one: One,
    /// Why; the token's owner is told
    #[arg(long)]
    reason: Option<String>,
}

fn owner(text: &str) -> Result<String, String> {
    if text == "me" {
        return Ok(text.to_owned());
    }
    text.parse::<UserId>().map(|id| id.to_string()).map_err(|error| error.to_string())
}

impl Command {
    /// The token that it is about, if it is about one.
    const fn named(&self) -> Option<&One> {
        match self {
            Self::Create(_) | Self::List(_) => None,
            Self::Show(one) | Self::Revoke(one) => Some(one),
            Self::Deactivate(switch) | Self::Activate(switch) => Some(&switch.one),
        }
    }
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (access, command) = (&arguments.access, &arguments.command);
    command.named().map(One::id).transpose()?;
    let secret = client::secret(access.token_file.as_deref())?;
    let mut client = Client::connect(&access.admin, &secret)?;
    let me = client.call(Method::GET, "/api/v1/me", None)?;
    let org = organization(&me).context("the admin port did not say whose token this is")?;
    let tokens = format!("/api/v1/orgs/{org}/tokens");
    let path = |one: &One| format!("{tokens}/{}", one.id);
    let mut call = |method, path: &str, body: Option<&Value>| client.call(method, path, body);
    match command {
        Command::Create(create) => {
            let made = call(Method::POST, &tokens, Some(&create.body()))?;
            if access.json { say_json(&made) } else { say_made(&made) }
        }
        Command::List(list) => {
            let (items, more) =
                list.pages(|query| call(Method::GET, &format!("{tokens}?{query}"), None))?;
            if access.json {
                return say_json(&json!({ "items": items }));
            }
            if more {
                tell(&format!("These are the first {}; --limit shows more.", items.len()));
            }
            say(&list_table(&items))
        }
        Command::Show(one) => {
            let token = call(Method::GET, &path(one), None)?;
            if access.json { say_json(&token) } else { say(&details(&token)) }
        }
        Command::Deactivate(switch) => {
            let path = format!("{}/deactivate", path(&switch.one));
            let token = call(Method::POST, &path, Some(&switch.body()))?;
            if access.json { say_json(&token) } else { say_status(&token) }
        }
        Command::Activate(switch) => {
            let path = format!("{}/activate", path(&switch.one));
            let token = call(Method::POST, &path, Some(&switch.body()))?;
            if access.json { say_json(&token) } else { say_status(&token) }
        }
        Command::Revoke(one) => {
            call(Method::DELETE, &path(one), None)?;
            if access.json {
                say_json(&json!({ "id": one.id, "status": "revoked" }))
            } else {
                say(&format!("{}  revoked", one.id))
            }
        }
    }
}

impl Create {
    fn body(&self) -> Value {
        let (mut org_roles, mut service_roles) = (Vec::new(), Vec::new());
        for scope in &self.scopes {
            match scope {
                RoleName::Organization(name) => org_roles.push(json!(name.as_str())),
                RoleName::Service { service, role } => service_roles
                    .push(json!({ "service": service.as_str(), "role": role.as_str() })),
            }
        }
        let mut body = Map::new();
        body.insert("name".to_owned(), json!(self.name));
        let scope = json!({ "org_roles": org_roles, "service_roles": service_roles });
        body.insert("scope".to_owned(), scope);
        if let Some(wish) = self.ttl {
            let ttl = match wish {
                Wish::Longest => json!("longest"),
                Wish::Ttl(ShortTtl(ttl)) => json!(ttl),
            };
            body.insert("ttl".to_owned(), ttl);
        }
        if let Some(expires_at) = self.expires_at {
            body.insert("expires_at".to_owned(), json!(expires_at));
        }
        if let Some(owner) = self.owner {
            body.insert("owner".to_owned(), json!(owner));
        }
        Value::Object(body)
    }
}

impl Switch {
    fn body(&self) -> Value {
        self.reason.as_ref().map_or_else(|| json!({}), |reason| json!({ "reason": reason }))
    }
}

impl List {
    /// The items of as many pages as it takes, and whether there are more.
    fn pages(
        &self,
        mut page: impl FnMut(&str) -> anyhow::Result<Value>,
    ) -> anyhow::Result<(Vec<Value>, bool)> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        while items.len() < self.limit {
            let limit = (self.limit - items.len()).min(PAGE_ITEMS_MAX);
            let mut answer = page(&self.query(limit, cursor.as_deref()))?;
            let Value::Array(more) = answer["items"].take() else { bail!("a list has no items") };
            items.extend(more);
            cursor = answer["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        Ok((items, cursor.is_some()))
    }

    fn query(&self, limit: usize, cursor: Option<&str>) -> String {
        let filters = [
            ("status", self.status.as_deref()),
            ("violation", self.violation.as_deref()),
            ("owner", self.owner.as_deref()),
            ("q", self.q.as_deref()),
            ("sort", self.sort.as_deref()),
            ("cursor", cursor),
        ];
        let mut query = format!("limit={limit}");
        for (name, value) in filters {
            if let Some(value) = value {
                query = format!("{query}&{name}={}", escaped(value));
            }
        }
        query
    }
}

/// A value as it stands in a query (RFC 3986 section 2.3: all but the unreserved characters).
fn escaped(value: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    value.bytes().map(byte).collect()
}

fn organization(me: &Value) -> Option<&str> {
    me["organization"]["id"].as_str()
}

fn say_json(value: &Value) -> anyhow::Result<()> {
    say(&serde_json::to_string_pretty(value)?)
}

fn say_made(made: &Value) -> anyhow::Result<()> {
    say(&details(&made["token"]))?;
    match made["secret"].as_str() {
        Some(secret) => {
            tell("Its secret is shown this once only:");
            say(&format!("Secret     {secret}"))
        }
        None => bail!("the admin port did not give the secret: the token may be a repeated one"),
    }
}

fn say_status(token: &Value) -> anyhow::Result<()> {
    say(&format!("{}  {}", text(&token["id"]), status(token)))
}

#[cfg(test)]
mod tests;
