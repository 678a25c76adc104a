//! `bearward export`: the tokens of an organization as CSV or JSON lines, without secrets.

use super::backup;
use super::client::{self, Client};
use super::unfinished::Unfinished;
use super::{ConfigArgument, progress};
use anyhow::{Context, bail};
use bearward::config::Config;
use bearward::id::{OrgId, UserId};
use bearward::inventory::{self, Format, Row};
use bearward::org::User;
use bearward::store::Ledger as _;
use bearward::store::redb::RedbStore;
use clap::Args;
use hyper::Method;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// The arguments of `bearward export`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// The organization
    #[arg(long, value_name = "ID")]
    org: OrgId,
    /// How it is written
    #[arg(long, value_name = "FORMAT", value_parser = ["csv", "jsonl"], default_value = "csv")]
    format: String,
    /// With the SHA-256 of each secret, so that `bearward import` can take the tokens in
    #[arg(long)]
    digests: bool,
    /// Where it is written; nothing may be there [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The admin port of the running gateway [default: as in the configuration]
    #[arg(long, value_name = "URL", env = "BEARWARD_ADMIN")]
    admin: Option<String>,
    /// A file that holds an owner's token, in place of the variable `BEARWARD_TOKEN`
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = arguments.config.load()?;
    let store = if arguments.admin.is_some() { None } else { backup::stopped(&config)? };
    let Some(place) = &arguments.out else {
        return arguments.write(store.as_deref(), &config, &mut io::stdout().lock());
    };
    if place.exists() {
        bail!("{} is there already: name another file with --out", place.display());
    }
    let (unfinished, file) = Unfinished::beside(place, ".partial")?;
    let mut file: &File = &file;
    arguments.write(store.as_deref(), &config, &mut file)?;
    unfinished.keep_new(place)
}

impl Arguments {
    fn write(
        &self,
        store: Option<&RedbStore>,
        config: &Config,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        match store {
            Some(store) => self.write_from(store, out),
            None => self.fetch(config, out),
        }
    }

    fn write_from(&self, store: &RedbStore, out: &mut dyn Write) -> anyhow::Result<()> {
        if store.organization(self.org)?.is_none() {
            bail!("the store has no organization {}", self.org);
        }
        let format = if self.format == "csv" { Format::Csv } else { Format::Jsonl };
        let users = store.users(self.org)?.into_iter();
        let users: HashMap<UserId, User> = users.map(|user| (user.id, user)).collect();
        let roles = store.roles();
        let bar = progress::counting("tokens");
        let mut out = BufWriter::with_capacity(1 << 16, out);
        let mut line = Vec::new();
        inventory::begin(format, self.digests, &mut line);
        let mut written = out.write_all(&line);
        store.visit_tokens(self.org, None, &mut |token, usage| {
            line.clear();
            let row = Row { token: &token, usage: &usage, owner: users.get(&token.owner) };
            inventory::write(&row.line(&roles), format, self.digests, &mut line);
            written = out.write_all(&line);
            bar.inc(1);
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        bar.finish_and_clear();
        written.and_then(|()| out.flush()).map_err(super::OutputError)?;
        Ok(())
    }

    fn fetch(&self, config: &Config, out: &mut dyn Write) -> anyhow::Result<()> {
        let secret = client::secret(self.token_file.as_deref())
            .context("a gateway works with the store, so its admin port is asked")?;
        let admin = self.admin.clone();
        let admin = admin.unwrap_or_else(|| client::port_of(config));
        let mut client = Client::connect(&admin, &secret)?;
        let bar = progress::bytes();
        let path = format!(
            "/api/v1/orgs/{}/export?format={}&digests={}",
            self.org, self.format, self.digests
        );
        client.save(Method::POST, &path, out, &bar)?;
        bar.finish_and_clear();
        Ok(())
    }
}
