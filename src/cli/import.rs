//! `bearward import`: tokens that were made elsewhere, from CSV or JSON lines.
//!
//! The whole file is read and judged first; nothing is written before every line is known to be good
//! or bad. Then the good ones are written in the order of their digests, so that the indexes of the
//! store grow at their ends, in large transactions. An import that is cut short is run again: what is
//! there already is passed over.

mod lines;

use super::unfinished::Unfinished;
use super::{ConfigArgument, init, progress, say, tell};
use anyhow::{Context, bail};
use bearward::audit::Origin;
use bearward::change::Change;
use bearward::clock;
use bearward::config::Config;
use bearward::governance::Occasion;
use bearward::governance::catalogue::Catalogue;
use bearward::governance::import::{Accepted, Entry, Intake, Order, event};
use bearward::id::{OrgId, TokenId, UserId};
use bearward::inventory::Format;
use bearward::org::Organization;
use bearward::role::RoleTable;
use bearward::store::redb::{self, OpenError, RedbStore};
use bearward::store::{Commit, Facts as _, Ledger as _};
use clap::Args;
use lines::Lines;
use std::collections::{HashSet, VecDeque};
use std::io::{BufWriter, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most lines of a file: all of its tokens are in memory until they are written.
const LINES_MAX: u64 = 10_000_000;
/// Tokens in one change, and in one commit where it is large enough for them.
const TOKENS_PER_CHANGE: usize = 4_000;
/// Commits that are under way at once: one is made while another is written.
const CHANGES_UNDER_WAY_MAX: usize = 16;
/// Memory for pages of the store, at least. Nobody else needs it meanwhile.
const CACHE_BYTES_MIN: usize = 256 << 20;
/// After so many lines the progress bar moves.
const TOLD_EVERY: u64 = 4_096;
/// Bad lines that are told on the terminal where no file takes them.
const ERRORS_TOLD_MAX: usize = 20;

/// The arguments of `bearward import`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// The organization that the tokens will be of
    #[arg(long, value_name = "ID")]
    org: OrgId,
    /// The file: CSV with a header, or a JSON object a line
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How it is written [default: as the file's name ends, .csv or .jsonl]
    #[arg(long, value_name = "FORMAT", value_parser = ["csv", "jsonl"])]
    format: Option<String>,
    /// Make the owners who are not there
    #[arg(long)]
    make_owners: bool,
    /// Where bad lines are named, with the reason of each
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
    /// Judge every line and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// What was read.
#[derive(Debug, Default)]
struct Harvest {
    entries: Vec<Entry>,
    known: u64,
    /// Lines and what is wrong with them.
    errors: Vec<(u64, String)>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = arguments.config.load()?;
    let format = match arguments.format.as_deref() {
        Some("csv") => Format::Csv,
        Some(_jsonl) => Format::Jsonl,
        None => format_of(&arguments.file)?,
    };
    let store = open(&config)?;
    let Some(org) = store.organization(arguments.org)? else {
        bail!("the store {} has no organization {}", config.store.path.display(), arguments.org);
    };
    let roles = roles(&store, &config, arguments.dry_run)?;
    let now = clock::now();
    let order = Order {
        org: &org,
        roles: &roles,
        prefix: &config.gateway.token_prefix,
        makes_owners: arguments.make_owners,
        now,
        first_token: TokenId::new(now, init::random()?),
        first_owner: UserId::new(now, init::random()?),
    };
    let mut intake = Intake::new(order, store.users(org.id)?);
    let places = intake.places();
    store.visit_tokens(org.id, None, &mut |token, _usage| {
        intake.know(&token, &places);
        ControlFlow::Continue(())
    })?;
    let mut harvest = read(&arguments.file, format, &mut intake)?;
    harvest.thin_out(&store)?;
    harvest.errors.sort_unstable();
    if let Some(file) = &arguments.errors {
        write_errors(file, &harvest.errors)?;
    }
    let (tokens, owners) = (harvest.entries.len(), intake.new_owners());
    let (known, bad) = (harvest.known, harvest.errors.len());
    let told = if arguments.dry_run {
        format!("would import {tokens} tokens and make {owners} owners")
    } else {
        if tokens > 0 {
            write(&store, &org, &arguments.file, intake, harvest.entries)?;
        }
        format!("imported {tokens} tokens and made {owners} owners")
    };
    say(&format!("{told}; passed over {known} that are there; {bad} lines are bad"))?;
    if bad == 0 {
        return Ok(());
    }
    if let Some(file) = &arguments.errors {
        bail!("{bad} lines are not imported: {} names them", file.display());
    }
    for (line, why) in harvest.errors.iter().take(ERRORS_TOLD_MAX) {
        tell(&format!("{}:{line}: {why}", arguments.file.display()));
    }
    bail!("{bad} lines are not imported; --errors FILE names them all")
}

fn format_of(file: &Path) -> anyhow::Result<Format> {
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "csv" => Ok(Format::Csv),
        "jsonl" | "ndjson" | "json" => Ok(Format::Jsonl),
        _ => bail!("{} ends with neither .csv nor .jsonl: name its --format", file.display()),
    }
}

/// Opens the store, which nobody may be working with.
fn open(config: &Config) -> anyhow::Result<Arc<RedbStore>> {
    let path = &config.store.path;
    if !path.exists() {
        bail!("there is no store {}: run `bearward init` first", path.display());
    }
    let cache_bytes = config.store.cache_bytes.max(CACHE_BYTES_MIN);
    redb::open(redb::Options { path: path.clone(), cache_bytes }).map_err(|error| match error {
        OpenError::InUse { .. } => anyhow::Error::from(error)
            .context("a gateway works with the store, and an import needs it for itself"),
        OpenError::NotAStore { .. }
        | OpenError::Format { .. }
        | OpenError::Damaged { .. }
        | OpenError::Io { .. } => error.into(),
    })
}

/// The roles of the store and of the configuration. A dry run gives no numbers away.
fn roles(store: &RedbStore, config: &Config, dry_run: bool) -> anyhow::Result<RoleTable> {
    if !dry_run {
        init::intern_roles(store, config)?;
        return Ok((*store.roles()).clone());
    }
    let services = config.services.iter().cloned();
    let catalogue = Catalogue::new(
        config.organization_roles.iter().cloned(),
        services.map(|service| (service.name, service.roles)),
    );
    let mut roles = (*store.roles()).clone();
    for name in catalogue.role_names() {
        roles.intern(name);
    }
    Ok(roles)
}

fn read(file: &Path, format: Format, intake: &mut Intake<'_>) -> anyhow::Result<Harvest> {
    let mut lines = Lines::open(file, format)?;
    let bar = progress::bytes();
    bar.set_length(lines.bytes());
    let mut harvest = Harvest::default();
    let mut count = 0;
    while let Some(number) = lines.next()? {
        count += 1;
        if count > LINES_MAX {
            bail!("{} has more than {LINES_MAX} lines: split it", file.display());
        }
        if u64::is_multiple_of(count, TOLD_EVERY) {
            bar.set_position(lines.position());
        }
        let accepted = lines
            .line()
            .and_then(|line| intake.accept(number, &line).map_err(|refusal| refusal.to_string()));
        match accepted {
            Ok(Accepted::New(entry)) => harvest.entries.push(entry),
            Ok(Accepted::Known) => harvest.known += 1,
            Err(why) => harvest.errors.push((number, why)),
        }
    }
    bar.finish_and_clear();
    Ok(harvest)
}

impl Harvest {
    /// Sorts the tokens by their digests, and takes out those whose digest or identity is taken.
    fn thin_out(&mut self, store: &RedbStore) -> anyhow::Result<()> {
        self.entries.sort_unstable_by_key(|entry| (entry.digest, entry.line));
        let mut taken: HashSet<u64> = HashSet::new();
        for pair in self.entries.windows(2) {
            if pair[0].digest == pair[1].digest {
                taken.insert(pair[1].line);
                let why = format!("digest: the same as that of line {}", pair[0].line);
                self.errors.push((pair[1].line, why));
            }
        }
        // Both are in order: one walk finds all.
        let mut ahead = self.entries.iter().peekable();
        store.visit_digests(&mut |digest| {
            while ahead.next_if(|entry| entry.digest < *digest).is_some() {}
            while let Some(entry) = ahead.next_if(|entry| entry.digest == *digest) {
                if taken.insert(entry.line) {
                    let why = "digest: another organization, or a former secret, has it".to_owned();
                    self.errors.push((entry.line, why));
                }
            }
        })?;
        for entry in &self.entries {
            if let Some(id) = entry.id()
                && store.token(id)?.is_some()
                && taken.insert(entry.line)
            {
                self.errors.push((entry.line, "id: another token has this identity".to_owned()));
            }
        }
        self.entries.retain(|entry| !taken.contains(&entry.line));
        Ok(())
    }
}

fn write_errors(file: &Path, errors: &[(u64, String)]) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", file.display());
    let (unfinished, out) = Unfinished::beside(file, ".partial")?;
    let mut out = BufWriter::new(out);
    for (line, why) in errors {
        writeln!(out, "{line}: {why}").with_context(cannot)?;
    }
    out.flush().with_context(cannot)?;
    unfinished.keep(file)
}

/// Owners first, then the tokens; the first commit tells the audit trail of all.
fn write(
    store: &RedbStore,
    org: &Organization,
    file: &Path,
    mut intake: Intake<'_>,
    entries: Vec<Entry>,
) -> anyhow::Result<()> {
    let (roles, origin) = (store.roles(), Origin::default());
    let at = Occasion { now: clock::now(), roles: &roles, origin: &origin };
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mut first = event(org, &name, entries.len(), intake.new_owners(), &at);
    let bar = progress::bar("tokens", entries.len() as u64);
    store.in_bulk(true);
    let mut under_way = VecDeque::new();
    let mut queue = |change: Change, tokens: usize| {
        under_way.push_back((store.commit(change), tokens));
        while under_way.len() > CHANGES_UNDER_WAY_MAX {
            settle(&mut under_way, &bar)?;
        }
        anyhow::Ok(())
    };
    for mut change in intake.owners(TOKENS_PER_CHANGE) {
        change.events.append(&mut first.events);
        queue(change, 0)?;
    }
    let mut entries = entries.into_iter();
    loop {
        let some: Vec<Entry> = entries.by_ref().take(TOKENS_PER_CHANGE).collect();
        if some.is_empty() {
            break;
        }
        let tokens = some.len();
        let mut change = intake.tokens(some);
        change.events.append(&mut first.events);
        queue(change, tokens)?;
    }
    while !under_way.is_empty() {
        settle(&mut under_way, &bar)?;
    }
    // The last commit leaves a file that opens at once after a crash, as every other one does.
    store.in_bulk(false);
    store.commit(Change::default()).wait()?;
    bar.finish_and_clear();
    Ok(())
}

/// Waits for the oldest commit.
fn settle(
    under_way: &mut VecDeque<(Commit, usize)>,
    bar: &indicatif::ProgressBar,
) -> anyhow::Result<()> {
    if let Some((commit, tokens)) = under_way.pop_front() {
        let again = "run the same import again: it passes over what was written before";
        commit.wait().context(again)?;
        bar.inc(tokens as u64);
    }
    Ok(())
}
