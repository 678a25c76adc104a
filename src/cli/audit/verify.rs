//! `bearward audit verify`: what the trail of an organization is worth.

use super::super::{say, tell};
use super::Verify;
use anyhow::{Context, bail};
use bearward::app;
use bearward::audit::chain::{Key, Proof, Start, Verdict};
use bearward::audit::{Event, Line};
use bearward::config::Config;
use bearward::id::OrgId;
use bearward::store::redb::{self, OpenError};
use bearward::store::{self, Ledger};
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

/// Faults of one trail that are told one by one.
const FAULTS_TOLD_MAX: usize = 100;
/// Longest line of an export, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

const OF_A_RUNNING_GATEWAY: &str = "a gateway that runs proves nothing; prove an export of it: `bearward audit export -o FILE`, \
     then `bearward audit verify --export FILE`";

impl Verify {
    /// Proves, tells, and fails when anything is not as it was written.
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let config = self.config.load()?;
        let verdicts = match &self.export {
            Some(file) => vec![self.exported(&config, file)?],
            None => self.stored(&config)?,
        };
        let mut faults = 0;
        for (org, verdict) in &verdicts {
            faults += verdict.faults.len();
            tell_of(*org, verdict)?;
        }
        if faults > 0 {
            bail!("the audit trail is not what was written: {faults} faults");
        }
        Ok(())
    }

    fn stored(&self, config: &Config) -> anyhow::Result<Vec<(OrgId, Verdict)>> {
        let path = &config.store.path;
        if !path.exists() {
            bail!("there is no store {}", path.display());
        }
        let store = redb::open(app::store_options(config)).map_err(|error| {
            let is_in_use = matches!(error, OpenError::InUse { .. });
            let error = anyhow::Error::from(error);
            if is_in_use { error.context(OF_A_RUNNING_GATEWAY) } else { error }
        })?;
        let mut orgs: Vec<OrgId> = store.organizations()?.into_iter().map(|org| org.id).collect();
        if let Some(asked) = self.org {
            orgs.retain(|org| *org == asked);
            if orgs.is_empty() {
                bail!("{asked} is not in this store");
            }
        }
        if self.head.is_some() && orgs.len() != 1 {
            bail!("a head is of one trail: name its organization with --org");
        }
        let verdict = |org| Ok((org, store.prove(org, self.head)?));
        orgs.into_iter().map(verdict).collect()
    }

    fn exported(&self, config: &Config, file: &Path) -> anyhow::Result<(OrgId, Verdict)> {
        let key = match &config.audit.key {
            Some(key) => key.clone(),
            None => redb::stored_key(&config.store.path)?,
        };
        let lines = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        let mut lines = Lines { file: BufReader::new(lines), number: 0 };
        let Some(first) = lines.next()? else { bail!("{} holds no event", file.display()) };
        let org = first.said.org;
        if self.org.is_some_and(|asked| asked != org) {
            bail!("the export is the trail of {org}");
        }
        let verdict = self.prove_lines(&key, org, first, lines)?;
        Ok((org, verdict))
    }

    fn prove_lines(
        &self,
        key: &Key,
        org: OrgId,
        first: Event,
        mut lines: Lines,
    ) -> anyhow::Result<Verdict> {
        let chain = key.chain(org);
        let mut proof = Proof::new(&chain, Start::Anywhere, self.head);
        let mut next = Some(first);
        while let Some(event) = next {
            if event.said.org != org {
                bail!("line {} is an event of {}", lines.number, event.said.org);
            }
            store::see_exported(&mut proof, &event)?;
            next = lines.next()?;
        }
        Ok(proof.conclude(None))
    }
}

/// The events of an export.
struct Lines {
    file: BufReader<File>,
    number: u64,
}

impl Lines {
    fn next(&mut self) -> anyhow::Result<Option<Event>> {
        let mut text = String::new();
        self.number += 1;
        let number = self.number;
        self.file
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_line(&mut text)
            .with_context(|| format!("line {number} cannot be read"))?;
        if text.is_empty() {
            return Ok(None);
        }
        let line: Line = serde_json::from_str(&text)
            .with_context(|| format!("line {number} is no event of an export in JSON lines"))?;
        Ok(Some(line.try_into().with_context(|| format!("line {number} is no event"))?))
    }
}

fn tell_of(org: OrgId, verdict: &Verdict) -> anyhow::Result<()> {
    let Verdict { proved, unprovable, first, last, outlived, faults } = verdict;
    for fault in faults.iter().take(FAULTS_TOLD_MAX) {
        say(&format!("{org}: {fault}"))?;
    }
    if faults.len() > FAULTS_TOLD_MAX {
        say(&format!("{org}: and {} faults more", faults.len() - FAULTS_TOLD_MAX))?;
    }
    if *unprovable > 0 {
        tell(&format!("{org}: {unprovable} events are older than the key and cannot be proved"));
    }
    if *outlived {
        tell(&format!(
            "{org}: the head is older than the first event: it says nothing about these"
        ));
    }
    say(&match (first, last) {
        (Some(first), Some((last, hash))) => {
            format!("{org}: {proved} events proved, from {first} to {last}; head {last}:{hash}")
        }
        (_, _) => format!("{org}: no event to prove"),
    })
}
