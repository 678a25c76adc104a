//! `bearward backup`: a copy of the store, of a running gateway or of one that is stopped.

use super::client::{self, Client};
use super::unfinished::Unfinished;
use super::{ConfigArgument, progress, say};
use anyhow::{Context, bail};
use bearward::app;
use bearward::clock;
use bearward::config::Config;
use bearward::org::Revision;
use bearward::store::redb::{self, OpenError, RedbStore};
use bearward::store::{Archive as _, Facts as _, Ledger as _, StoreError};
use clap::Args;
use hyper::Method;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The arguments of `bearward backup`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Where the backup is written; nothing may be there [default: bearward-TIME.redb]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The admin port of the running gateway [default: as in the configuration]
    #[arg(long, value_name = "URL", env = "BEARWARD_ADMIN")]
    admin: Option<String>,
    /// A file that holds the operator's token, in place of the variable `BEARWARD_TOKEN`
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = arguments.config.load()?;
    let place = arguments.out.clone().unwrap_or_else(default_place);
    if place.exists() {
        bail!("{} is there already: name another file with --out", place.display());
    }
    // Before a file is made: a store that cannot be read has no backup.
    let store = if arguments.admin.is_some() { None } else { stopped(&config)? };
    let (unfinished, file) = Unfinished::beside(&place, ".partial")?;
    match store {
        Some(store) => copy(&store, &file)?,
        None => fetch(arguments, &config, &mut &file)?,
    }
    drop(file);
    let held = Held::of(&*open(unfinished.path(), &config)?)?;
    let bytes = fs::metadata(unfinished.path()).map_or(0, |metadata| metadata.len());
    unfinished.keep_new(&place)?;
    say(&format!("{}: {held}, {bytes} bytes", place.display()))
}

fn default_place() -> PathBuf {
    let now: String = clock::now().to_string().chars().filter(|c| !"-:.".contains(*c)).collect();
    PathBuf::from(format!("bearward-{now}.redb"))
}

/// The store, if no gateway works with it.
pub(super) fn stopped(config: &Config) -> anyhow::Result<Option<Arc<RedbStore>>> {
    if !config.store.path.exists() {
        bail!("there is no store {}", config.store.path.display());
    }
    match redb::open(app::store_options(config)) {
        Ok(store) => Ok(Some(store)),
        Err(OpenError::InUse { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn copy(store: &RedbStore, file: &File) -> anyhow::Result<()> {
    let bar = progress::counting("rows");
    store.copy(file, &mut |rows| bar.set_position(rows))?;
    bar.finish_and_clear();
    Ok(())
}

fn fetch(arguments: &Arguments, config: &Config, file: &mut &File) -> anyhow::Result<()> {
    let secret = client::secret(arguments.token_file.as_deref())
        .context("a gateway works with the store, so its admin port is asked")?;
    let admin = arguments.admin.clone();
    let admin = admin.unwrap_or_else(|| client::port_of(config));
    let mut client = Client::connect(&admin, &secret)?;
    let bar = progress::bytes();
    client.save(Method::POST, "/api/v1/backup", file, &bar)?;
    bar.finish_and_clear();
    Ok(())
}

/// Opens a copy, which reads all of it and compares its checksums.
pub(super) fn open(path: &Path, config: &Config) -> anyhow::Result<Arc<RedbStore>> {
    Ok(redb::open(copy_options(path, config))?)
}

/// How a copy is opened: its audit trails go on under the key of the store.
pub(super) fn copy_options(path: &Path, config: &Config) -> redb::Options {
    redb::Options { path: path.to_owned(), ..app::store_options(config) }
}

/// What a store holds, in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) revision: Revision,
    pub(super) organizations: usize,
    pub(super) users: usize,
    pub(super) tokens: u64,
}

impl Held {
    pub(super) fn of(store: &RedbStore) -> Result<Self, StoreError> {
        let orgs = store.organizations()?;
        let mut users = 0;
        for org in &orgs {
            users += store.users(org.id)?.len();
        }
        let tokens = store.visit_digests(&mut |_digest| {})?;
        let revision = store.revision()?;
        Ok(Self { revision, organizations: orgs.len(), users, tokens })
    }
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { revision, organizations, users, tokens } = self;
        write!(
            f,
            "revision {}, organizations: {organizations}, users: {users}, tokens: {tokens}",
            revision.0
        )
    }
}
