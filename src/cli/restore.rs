//! `bearward restore`: a backup takes the store's place, once its consequences are known.
//!
//! An older state of the store knows nothing of what was switched off since. So the two are held
//! against each other first, secret by secret, and nothing is replaced without `--yes`.

mod compare;

use super::backup::{self, Held};
use super::unfinished::{Unfinished, sync_directory_of, with_ending};
use super::{ConfigArgument, say, table, tell};
use anyhow::{Context, bail};
use bearward::app;
use bearward::audit::Origin;
use bearward::change::Write;
use bearward::clock;
use bearward::config::Config;
use bearward::governance::Occasion;
use bearward::governance::backup::Restored;
use bearward::org::Revision;
use bearward::store::redb::{self, OpenError, RedbStore};
use bearward::store::{Archive as _, Ledger as _};
use bearward::time::Timestamp;
use bearward::token::watch::Step;
use clap::Args;
use compare::Comparison;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The arguments of `bearward restore`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// The backup, as `bearward backup` wrote it
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Do it; without this the consequences are listed and nothing is changed
    #[arg(long)]
    yes: bool,
}

/// What is in the store's place.
enum Present {
    /// Nothing.
    Absent,
    /// A store. As long as it is open here no gateway opens it.
    Whole(Arc<RedbStore>),
    /// A store that nobody can read.
    Unreadable(OpenError),
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = arguments.config.load()?;
    // Where a link leads to, or else the link would be replaced.
    let place = fs::canonicalize(&config.store.path);
    let place = &place.unwrap_or_else(|_not_there| config.store.path.clone());
    let present = present(&config)?;
    let (unfinished, file) = Unfinished::beside(place, ".restoring")?;
    duplicate(&arguments.from, place, &file)?;
    drop(file);
    // Reads all of it, so a backup that is damaged is refused here.
    let copy = open_copy(unfinished.path(), &config)
        .with_context(|| format!("{} cannot be restored", arguments.from.display()))?;
    let now = clock::now();
    let comparison = consequences(&copy, &present, now)?;
    if !arguments.yes {
        bail!(
            "nothing was changed; run it again with --yes to put the backup in the store's place"
        );
    }
    record(&copy, &present, &comparison, now)?;
    copy.close();
    drop(copy);
    let kept = keep_replaced(place, &present, now)?;
    unfinished.keep(place)?;
    // Only now may a gateway open the file.
    drop(present);
    say(&format!("{} is restored", place.display()))?;
    if let Some(kept) = kept {
        say(&format!("what it was before is kept as {}", kept.display()))?;
    }
    Ok(())
}

fn present(config: &Config) -> anyhow::Result<Present> {
    if !config.store.path.exists() {
        return Ok(Present::Absent);
    }
    match redb::open(app::store_options(config)) {
        Ok(store) => Ok(Present::Whole(store)),
        Err(error @ OpenError::InUse { .. }) => {
            Err(anyhow::Error::from(error).context("a gateway works with the store"))
        }
        Err(error @ (OpenError::Damaged { .. } | OpenError::Format { .. })) => {
            Ok(Present::Unreadable(error))
        }
        Err(
            error @ (OpenError::NotAStore { .. }
            | OpenError::Io { .. }
            | OpenError::Key { .. }
            | OpenError::AnotherKey { .. }),
        ) => Err(error.into()),
    }
}

/// Opens the copy of the backup. Where that was taken under another audit key its trails begin anew
/// under this one: whoever restores it has no other.
fn open_copy(path: &Path, config: &Config) -> anyhow::Result<Arc<RedbStore>> {
    let options = || backup::copy_options(path, config);
    match redb::open(options()) {
        Err(OpenError::AnotherKey { .. }) => {
            tell(
                "The backup's audit trails are chained under another key: they are kept, and what",
            );
            tell("is in them cannot be proved under the one that is here.");
            redb::rekey(options())?;
            Ok(redb::open(options())?)
        }
        opened => Ok(opened?),
    }
}

/// Copies the backup, which stays as it is, to where the store will lie.
fn duplicate(from: &Path, place: &Path, to: &File) -> anyhow::Result<()> {
    let cannot = || format!("cannot read the backup {}", from.display());
    let mut source = File::open(from).with_context(cannot)?;
    if fs::canonicalize(from).is_ok_and(|from| fs::canonicalize(place).is_ok_and(|at| at == from)) {
        bail!("{} is the store itself", from.display());
    }
    // Whoever has it open may be writing to it.
    match source.try_lock_shared() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!(
            "{} is open in another process, so it is no backup: `bearward backup` makes one",
            from.display()
        ),
        Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
    }
    let mut to = to;
    io::copy(&mut source, &mut to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

/// Tells what comes back and what is lost.
fn consequences(copy: &RedbStore, present: &Present, now: Timestamp) -> anyhow::Result<Comparison> {
    say(&format!("the backup holds {}", Held::of(copy)?))?;
    let comparison = match present {
        Present::Whole(store) => {
            say(&format!("the store holds  {}", Held::of(store)?))?;
            Comparison::of(copy, Some(store), now)?
        }
        Present::Absent => {
            tell("There is no store in its place, so nobody can say what was switched off since.");
            Comparison::of(copy, None, now)?
        }
        Present::Unreadable(why) => {
            tell(&why.to_string());
            tell("So nobody can say what was switched off since the backup, or what is lost.");
            Comparison::of(copy, None, now)?
        }
    };
    let Present::Whole(_) = present else {
        say(&format!("tokens that are live in the backup: {}", comparison.regained()))?;
        return Ok(comparison);
    };
    say(&format!("tokens that come back to life or regain roles: {}", comparison.regained()))?;
    if !comparison.rows.is_empty() {
        let headings = ["TOKEN", "NAME", "OWNER", "ORGANIZATION", "REGAINS", "BECAUSE TODAY"];
        say(&table::columns(&headings, &comparison.rows))?;
    }
    if !comparison.is_kin {
        tell(
            "The backup is of another store, or of another course of events: all of today's is lost.",
        );
    }
    say(&format!("changes that are lost: {}", comparison.lost))?;
    if !comparison.lost_rows.is_empty() {
        say(&table::columns(&["AT", "ACTION", "WHAT", "ORGANIZATION"], &comparison.lost_rows))?;
    }
    let untold = comparison.lost - comparison.lost_rows.len() as u64;
    if untold > 0 {
        tell(&format!("{untold} older ones are not shown; the audit trail of the store has them."));
    }
    Ok(comparison)
}

/// The trail of every organization tells of it.
fn record(
    copy: &RedbStore,
    present: &Present,
    comparison: &Comparison,
    now: Timestamp,
) -> anyhow::Result<()> {
    let replaced: Option<Revision> = match present {
        Present::Whole(store) => Some(store.revision()?),
        Present::Absent | Present::Unreadable(_) => None,
    };
    let orgs = copy.organizations()?;
    let orgs: Vec<_> = orgs
        .into_iter()
        .map(|org| {
            let count = comparison.regained_in(org.id);
            (org, count)
        })
        .collect();
    let (roles, origin) = (copy.roles(), Origin::default());
    let restored = Restored { replaced, copy: copy.revision()? };
    let mut change = restored.plan(&orgs, &Occasion { now, roles: &roles, origin: &origin });
    // What was used since the backup is not in it.
    change.writes.push(Write::Watch(Step::Restored));
    copy.commit(change).wait()?;
    Ok(())
}

/// Gives the file that is replaced a second name, so that there is a store in its place at any
/// moment, whatever happens.
fn keep_replaced(
    place: &Path,
    present: &Present,
    now: Timestamp,
) -> anyhow::Result<Option<PathBuf>> {
    if matches!(present, Present::Absent) {
        return Ok(None);
    }
    let time: String = now.to_string().chars().filter(|c| !"-:.".contains(*c)).collect();
    let kept = with_ending(place, &format!(".replaced-{time}"));
    let cannot = || {
        format!(
            "cannot keep the store of today as {}: move it away yourself, and run this again",
            kept.display()
        )
    };
    fs::hard_link(place, &kept).with_context(cannot)?;
    sync_directory_of(place).with_context(cannot)?;
    Ok(Some(kept))
}
