//! `bearward audit`: the audit trail over the admin port, and the proof of it offline.

mod verify;

use super::client::{Access, escaped};
use super::unfinished::Unfinished;
use super::{ConfigArgument, say, table, tell};
use anyhow::{Context, bail};
use bearward::app;
use bearward::audit::chain::Published;
use bearward::id::OrgId;
use bearward::store::redb;
use bearward::time::Timestamp;
use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::io;
use std::path::PathBuf;

/// The most that one page of a list has.
const PAGE_ITEMS_MAX: usize = 200;

/// The arguments of `bearward audit`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what was done, newest first
    List(List),
    /// Write all that was done, oldest first
    Export(Export),
    /// Print the head, SEQ:HASH: kept elsewhere, it shows later whether anything before it is gone
    Head(Head),
    /// Prove trails: by the store, with nobody serving from it, or by an export
    Verify(Verify),
    /// Begin the trails anew under the configured key, with nobody serving from the store
    Rekey(Rekey),
}

/// Which events.
#[derive(Debug, Args)]
struct Filter {
    /// Only what this user did; `me`, `offline`, `system` and `unknown` too
    #[arg(long, value_name = "USER")]
    actor: Option<String>,
    /// Only what was done to this, by its identity
    #[arg(long, value_name = "ID")]
    target: Option<String>,
    /// Only what was done to this token, or with it
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Only such actions, such as token.deactivated; several with commas between
    #[arg(long)]
    action: Option<String>,
    /// Only what was done then or later, such as 2027-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Only what was done before then
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    filter: Filter,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
}

#[derive(Debug, Args)]
struct Export {
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    filter: Filter,
    /// JSON lines, which `bearward audit verify --export` proves if nothing was filtered, or CSV
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Where it goes [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Jsonl,
    Csv,
}

#[derive(Debug, Args)]
struct Head {
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Args)]
struct Verify {
    #[command(flatten)]
    config: ConfigArgument,
    /// Only this organization's trail
    #[arg(long, value_name = "ORG")]
    org: Option<OrgId>,
    /// A head that was printed earlier: it must still be in the trail
    #[arg(long, value_name = "SEQ:HASH")]
    head: Option<Published>,
    /// Prove an export in JSON lines rather than the store
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Rekey {
    #[command(flatten)]
    config: ConfigArgument,
    /// What was written so far cannot be proved any more after this
    #[arg(long, required = true)]
    yes: bool,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        Command::List(list) => list.run(),
        Command::Export(export) => export.run(),
        Command::Head(head) => head.run(),
        Command::Verify(verify) => verify.run(),
        Command::Rekey(rekey) => rekey.run(),
    }
}

impl Filter {
    /// The parameters of a query, each with `&` before it.
    fn query(&self) -> String {
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let filters = [
            ("actor", self.actor.clone()),
            ("target", self.target.clone()),
            ("token", self.token.clone()),
            ("action", self.action.clone()),
            ("since", time(self.since)),
            ("until", time(self.until)),
        ];
        let said = filters.into_iter().filter_map(|(name, value)| Some((name, value?)));
        said.fold(String::new(), |query, (name, value)| {
            format!("{query}&{name}={}", escaped(&value))
        })
    }
}

impl List {
    fn run(&self) -> anyhow::Result<()> {
        let (mut client, org) = self.access.connect()?;
        let (mut items, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let limit = (self.limit - items.len()).clamp(1, PAGE_ITEMS_MAX);
            let mut path = format!("/api/v1/orgs/{org}/audit?limit={limit}{}", self.filter.query());
            if let Some(cursor) = &cursor {
                path = format!("{path}&cursor={}", escaped(cursor));
            }
            let mut page = client.call(Method::GET, &path, None)?;
            let Value::Array(more) = page["items"].take() else { bail!("a list has no items") };
            items.extend(more);
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() || items.len() >= self.limit {
                break;
            }
        }
        items.truncate(self.limit);
        if self.access.json {
            return say(&serde_json::to_string_pretty(&json!({ "items": items }))?);
        }
        if cursor.is_some() {
            tell(&format!("These are the latest {}; --limit shows more.", items.len()));
        }
        say(&list_table(&items))
    }
}

fn list_table(items: &[Value]) -> String {
    let headings = ["SEQ", "WHEN", "WHO", "WHAT", "TO", "NAME", "FROM", "WHY"];
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let row = |event: &Value| {
        let actor = &event["actor"];
        let who = if actor["type"] == "user" { text(&actor["user"]) } else { text(&actor["type"]) };
        vec![
            event["seq"].to_string(),
            text(&event["at"]),
            who,
            text(&event["action"]),
            text(&event["target"]["id"]),
            text(&event["target"]["name"]),
            text(&event["address"]),
            text(&event["reason"]),
        ]
    };
    table::columns(&headings, &items.iter().map(row).collect::<Vec<_>>())
}

impl Export {
    fn run(&self) -> anyhow::Result<()> {
        let (mut client, org) = self.access.connect()?;
        let format = match self.format {
            Format::Jsonl => "jsonl",
            Format::Csv => "csv",
        };
        let path = format!("/api/v1/orgs/{org}/audit?format={format}{}", self.filter.query());
        let Some(file) = &self.output else {
            let mut out = io::stdout().lock();
            return client.save(Method::GET, &path, &mut out, &ProgressBar::hidden());
        };
        // An export that broke off never has the name of a whole one.
        let (unfinished, mut out) = Unfinished::beside(file, ".partial")?;
        client.save(Method::GET, &path, &mut out, &ProgressBar::hidden())?;
        unfinished.keep(file)
    }
}

impl Head {
    fn run(&self) -> anyhow::Result<()> {
        let (mut client, org) = self.access.connect()?;
        let head = client.call(Method::GET, &format!("/api/v1/orgs/{org}/audit/head"), None)?;
        if self.access.json {
            return say(&serde_json::to_string_pretty(&head)?);
        }
        let hash = head["hash"].as_str().context("nothing was done yet, so there is no head")?;
        say(&format!("{}:{hash}", head["seq"]))
    }
}

impl Rekey {
    fn run(&self) -> anyhow::Result<()> {
        let config = self.config.load()?;
        redb::rekey(app::store_options(&config))?;
        say("The audit trails go on under the key that is there now.")
    }
}
