//! `bearward init`: the first organization, its owner and one owner token; or a new owner token.
//!
//! Both work on the store file itself, with nobody serving from it: whoever holds the file governs.

use super::{ConfigArgument, say, table, tell};
use anyhow::{Context, bail};
use bearward::app;
use bearward::audit::Origin;
use bearward::change::{Change, Write};
use bearward::clock;
use bearward::config::Config;
use bearward::governance::catalogue::Catalogue;
use bearward::governance::org::{Founding, Recovery};
use bearward::governance::{Occasion, Plan};
use bearward::id::{OrgId, TokenId, UserId};
use bearward::org::{Organization, User};
use bearward::role::RoleId;
use bearward::secret::Secret;
use bearward::store::Ledger;
use bearward::store::redb::{self, RedbStore};
use bearward::token::ApiToken;
use clap::Args;
use serde_json::json;
use std::io::{self, BufRead, IsTerminal};
use std::sync::Arc;

const ORG_DEFAULT: &str = "My organization";
const OWNER_NAME_DEFAULT: &str = "Owner";
const OWNER_EMAIL_DEFAULT: &str = "owner@example.com";
/// Longest answer to a question, in bytes.
const ANSWER_BYTES_MAX: u64 = 1024;

/// The arguments of `bearward init`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Print one JSON object: org, user, `token_id`, token
    #[arg(long)]
    json: bool,
    /// Make a new token for an owner of an organization that is there
    #[arg(long)]
    recover: bool,
    /// The organization: its name; with --recover its name or identity [default: the operator's]
    #[arg(long, value_name = "NAME")]
    org: Option<String>,
    /// The owner's e-mail address [with --recover, default: the operator's]
    #[arg(long, value_name = "ADDRESS")]
    owner_email: Option<String>,
    /// The owner's name
    #[arg(long, value_name = "NAME", conflicts_with = "recover")]
    owner_name: Option<String>,
}

/// A new owner token, its owner and its organization.
struct Made {
    org: Organization,
    owner: User,
    token: ApiToken,
    secret: Secret,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = arguments.config.load()?;
    let made = if arguments.recover {
        if !config.store.path.exists() {
            bail!("there is no store {} to recover", config.store.path.display());
        }
        recover(&*open(&config)?, &config, arguments)?
    } else {
        let store = open(&config)?;
        if !store.organizations()?.is_empty() {
            bail!(
                "the store {} holds an organization already; `bearward init --recover` makes a \
                 new owner token",
                config.store.path.display()
            );
        }
        let founding = arguments.asked()?;
        found(&*store, &config, founding)?
    };
    if arguments.json { say(&made.json().to_string()) } else { made.tell() }
}

/// Whether a store has no organization yet. One that is not there is not made.
pub(super) fn open_unless_fresh(config: &Config) -> anyhow::Result<Option<Arc<RedbStore>>> {
    if !config.store.path.exists() {
        return Ok(None);
    }
    let store = open(config)?;
    Ok(if store.organizations()?.is_empty() { None } else { Some(store) })
}

/// What `serve` does for a person with a fresh store.
pub(super) fn first_start(config: &Config) -> anyhow::Result<Arc<RedbStore>> {
    let store = open(config)?;
    found(&*store, config, Names::default())?.tell()?;
    Ok(store)
}

/// Opens the store of a configuration, or makes it.
pub(super) fn open(config: &Config) -> anyhow::Result<Arc<RedbStore>> {
    Ok(redb::open(app::store_options(config))?)
}

/// The names of what is made first.
struct Names {
    org: String,
    owner_name: String,
    owner_email: String,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            org: ORG_DEFAULT.to_owned(),
            owner_name: OWNER_NAME_DEFAULT.to_owned(),
            owner_email: OWNER_EMAIL_DEFAULT.to_owned(),
        }
    }
}

impl Arguments {
    /// What the arguments say; what they leave open is asked for where a person can answer.
    fn asked(&self) -> anyhow::Result<Names> {
        let person = !self.json && io::stdin().is_terminal() && io::stderr().is_terminal();
        let one = |said: Option<&String>, question: &str, default: String| match said {
            Some(said) => Ok(said.clone()),
            None if person => ask(question, default),
            None => Ok(default),
        };
        let defaults = Names::default();
        Ok(Names {
            org: one(self.org.as_ref(), "Name of the organization", defaults.org)?,
            owner_name: one(self.owner_name.as_ref(), "Name of its owner", defaults.owner_name)?,
            owner_email: one(
                self.owner_email.as_ref(),
                "E-mail address of the owner",
                defaults.owner_email,
            )?,
        })
    }
}

fn ask(question: &str, default: String) -> anyhow::Result<String> {
    tell(&format!("{question} [{default}]:"));
    let mut answer = String::new();
    let stdin = io::stdin().lock();
    io::Read::take(stdin, ANSWER_BYTES_MAX).read_line(&mut answer).context("no answer")?;
    let answer = answer.trim();
    Ok(if answer.is_empty() { default } else { answer.to_owned() })
}

/// Makes the first organization, its owner and the owner's token.
fn found(ledger: &dyn Ledger, config: &Config, names: Names) -> anyhow::Result<Made> {
    let catalogue = intern_roles(ledger, config)?;
    let table = ledger.roles();
    let secret = new_secret(config)?;
    let now = clock::now();
    let founding = Founding {
        org: OrgId::new(now, random()?),
        owner: UserId::new(now, random()?),
        token: TokenId::new(now, random()?),
        digest: secret.digest(),
        name: names.org,
        owner_email: names.owner_email,
        owner_name: names.owner_name,
        service_roles: catalogue.service_roles(&table),
    };
    let origin = Origin::default();
    let plan = founding.initialize(&Occasion { now, roles: &table, origin: &origin })?;
    let founded = commit(ledger, plan)?;
    Ok(Made { org: founded.organization, owner: founded.owner, token: founded.token, secret })
}

/// Makes a new token for an owner.
fn recover(ledger: &dyn Ledger, config: &Config, arguments: &Arguments) -> anyhow::Result<Made> {
    let (org, owner) = pick_owner(ledger, arguments)?;
    let secret = new_secret(config)?;
    let (now, table, origin) = (clock::now(), ledger.roles(), Origin::default());
    let recovery = Recovery {
        org: &org,
        owner: &owner,
        token: TokenId::new(now, random()?),
        digest: secret.digest(),
    };
    let plan = recovery.plan(&Occasion { now, roles: &table, origin: &origin })?;
    let token = commit(ledger, plan)?;
    Ok(Made { org, owner, token, secret })
}

/// The owner that the arguments name, else the operator.
fn pick_owner(ledger: &dyn Ledger, arguments: &Arguments) -> anyhow::Result<(Organization, User)> {
    let mut owners = Vec::new();
    let orgs = ledger.organizations()?;
    if orgs.is_empty() {
        bail!("the store holds no organization yet: run `bearward init` without --recover");
    }
    for org in orgs {
        let asked = |asked: &String| *asked == org.name || *asked == org.id.to_string();
        if arguments.org.as_ref().is_none_or(asked) {
            let users = ledger.users(org.id)?;
            let users = users.into_iter().filter(|user| user.roles.contains(RoleId::ORG_OWNER));
            owners.extend(users.map(|user| (org.clone(), user)));
        }
    }
    match &arguments.owner_email {
        Some(email) => owners.retain(|(_, user)| user.email.eq_ignore_ascii_case(email)),
        // Another organization than the operator's has none: then any owner who is active.
        None if owners.iter().any(|(_, user)| user.operator) => {
            owners.retain(|(_, user)| user.operator);
        }
        None => {
            owners.retain(|(_, user)| user.is_active());
            owners.truncate(1);
        }
    }
    match owners.len() {
        0 => bail!("there is no such owner: name one with --owner-email, and --org"),
        1 => owners.pop().context("there is one"),
        _ => bail!("owners of several organizations have this address: name one with --org"),
    }
}

fn commit<R>(ledger: &dyn Ledger, plan: Plan<R>) -> anyhow::Result<R> {
    match plan {
        Plan::Change(change, record) => {
            ledger.commit(*change).wait()?;
            Ok(record)
        }
        Plan::Nothing(record) => Ok(record),
    }
}

/// Gives numbers to the roles of the configuration, as `serve` would.
pub(super) fn intern_roles(ledger: &dyn Ledger, config: &Config) -> anyhow::Result<Catalogue> {
    let services = config.services.iter().cloned();
    let catalogue = Catalogue::new(
        config.organization_roles.iter().cloned(),
        services.map(|service| (service.name, service.roles)),
    );
    let writes = vec![Write::Roles(catalogue.role_names())];
    ledger.commit(Change { writes, ..Change::default() }).wait()?;
    Ok(catalogue)
}

fn new_secret(config: &Config) -> anyhow::Result<Secret> {
    Secret::generate(&config.gateway.token_prefix, getrandom::fill).context("no random numbers")
}

/// Random bits for an identity.
pub(super) fn random() -> anyhow::Result<[u8; 10]> {
    let mut bits = [0; 10];
    getrandom::fill(&mut bits).context("no random numbers")?;
    Ok(bits)
}

impl Made {
    fn json(&self) -> serde_json::Value {
        json!({
            "org": self.org.id,
            "user": self.owner.id,
            "token_id": self.token.id,
            "token": self.secret.expose(),
        })
    }

    fn tell(&self) -> anyhow::Result<()> {
        let owner = format!("{} <{}>  {}", self.owner.name, self.owner.email, self.owner.id);
        say(&table::pairs(&[
            ("Organization", format!("{}  {}", self.org.name, self.org.id)),
            ("Owner", owner),
            ("Token", self.token.id.to_string()),
            ("Expires", self.token.expires_at.to_string()),
            ("Secret", self.secret.expose().to_owned()),
        ]))?;
        tell("The secret is shown this once only: keep it where secrets are kept.");
        Ok(())
    }
}
