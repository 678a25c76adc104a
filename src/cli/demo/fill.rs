//! Many live tokens, for load tests.

use super::super::init::random;
use super::super::progress;
use super::seed;
use anyhow::Context;
use bearward::change::{Change, Write};
use bearward::clock;
use bearward::governance::closed;
use bearward::id::{OrgId, TokenId, UserId};
use bearward::org::{Revision, User, UserStatus};
use bearward::role::{RoleId, RoleSet};
use bearward::secret::{Digest, Secret};
use bearward::store::{Commit, Ledger};
use bearward::time::Timestamp;
use bearward::token::{ApiToken, NOTIFY_BEFORE_EXPIRY, TokenStatus};
use indicatif::ProgressBar;
use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Tokens of one user: less than a user may own.
const TOKENS_PER_USER: usize = 1_000;
/// Tokens in one commit.
const TOKENS_PER_COMMIT: usize = 4 * TOKENS_PER_USER;
/// Tokens that are put in order before they are written. In the order of their digests they lie
/// side by side in the store's index, so that a commit writes a page once and not once a token.
const TOKENS_PER_RUN: usize = 25 * TOKENS_PER_COMMIT;
/// Commits that are under way at once: one is made while another is written.
const COMMITS_UNDER_WAY_MAX: usize = 2;
/// Random bytes that are asked for at once: a system call a token would take longer than the token.
const RANDOM_BYTES: usize = 1 << 16;

/// What is to be made.
pub(super) struct Load<'a> {
    /// Whose tokens.
    pub(super) org: OrgId,
    /// What their secrets begin with.
    pub(super) prefix: &'a str,
    /// How many.
    pub(super) count: u64,
}

/// Makes the tokens and writes their secrets to `file`, one a line, in no particular order. Ends
/// early, with `false`, when `is_stop_asked` says so.
pub(super) fn fill(
    ledger: &dyn Ledger,
    load: &Load<'_>,
    file: &Path,
    is_stop_asked: &mut dyn FnMut() -> bool,
) -> anyhow::Result<bool> {
    let cannot = || format!("cannot write the tokens file {}", file.display());
    // Live secrets: for nobody else's eyes.
    let mut open = OpenOptions::new();
    open.write(true).create(true).truncate(true).mode(0o600);
    let mut out = BufWriter::new(open.open(file).with_context(cannot)?);
    let roles = closed(&[RoleId::ORG_MEMBER, seed::caller(&ledger.roles())?].into_iter().collect());
    let bar = progress::bar("tokens", load.count);
    let mut random = Random { buffer: Vec::new(), used: 0 };
    let mut under_way = VecDeque::new();
    let mut left = usize::try_from(load.count)?;
    while left > 0 {
        let mut digests = Vec::with_capacity(left.min(TOKENS_PER_RUN));
        for _ in 0..left.min(TOKENS_PER_RUN) {
            let secret = Secret::generate(load.prefix, |bytes| random.fill(bytes))?;
            writeln!(out, "{}", secret.expose()).with_context(cannot)?;
            digests.push(secret.digest());
        }
        left -= digests.len();
        digests.sort_unstable();
        for digests in digests.chunks(TOKENS_PER_COMMIT) {
            if is_stop_asked() {
                return Ok(false);
            }
            let change = change(load.org, &roles, digests, clock::now())?;
            under_way.push_back((ledger.commit(change), digests.len()));
            while under_way.len() > COMMITS_UNDER_WAY_MAX {
                settle(&mut under_way, &bar)?;
            }
        }
    }
    while !under_way.is_empty() {
        settle(&mut under_way, &bar)?;
    }
    bar.finish_and_clear();
    out.flush().with_context(cannot)?;
    Ok(true)
}

/// Waits for the oldest commit.
fn settle(under_way: &mut VecDeque<(Commit, usize)>, bar: &ProgressBar) -> anyhow::Result<()> {
    if let Some((commit, tokens)) = under_way.pop_front() {
        commit.wait()?;
        bar.inc(tokens as u64);
    }
    Ok(())
}

/// The change that makes a token for each digest, and users to own them. It has no audit events:
/// a million of them would tell nobody anything.
fn change(
    org: OrgId,
    roles: &RoleSet,
    digests: &[Digest],
    now: Timestamp,
) -> anyhow::Result<Change> {
    let mut writes = Vec::with_capacity(digests.len() + digests.len() / TOKENS_PER_USER + 1);
    // Identities that grow with the digests: the records then lie side by side, too.
    let first = TokenId::new(now, random()?).bits();
    let mut next = first;
    for digests in digests.chunks(TOKENS_PER_USER) {
        let owner = UserId::new(now, random()?);
        let text = owner.to_string();
        writes.push(Write::User(User {
            id: owner,
            version: Revision::default(),
            org,
            email: format!("{text}@example.com"),
            name: format!("Load {}", &text[text.len() - 6..]),
            roles: roles.clone(),
            operator: false,
            status: UserStatus::Activated(None),
            created_at: now,
            external_id: None,
            modified_at: now,
        }));
        for digest in digests {
            next = next.wrapping_add(1);
            writes.push(Write::Token(ApiToken {
                id: TokenId::from_bits(next),
                version: Revision::default(),
                org,
                owner,
                created_by: Some(owner),
                minted_by: None,
                name: format!("load-{:06x}", next & 0xff_ffff),
                scope: roles.clone(),
                digest: *digest,
                created_at: now,
                issued_at: now,
                expires_at: now.after_months(bearward::policy::LIFETIME_MONTHS_DEFAULT),
                ignores: bearward::policy::Ignores::default(),
                status: TokenStatus::Activated(None),
                former: Vec::new(),
                notify_before_expiry: NOTIFY_BEFORE_EXPIRY.to_vec(),
            }));
        }
    }
    Ok(Change { writes, ..Change::default() })
}

/// Random bytes of the system, many at once.
struct Random {
    buffer: Vec<u8>,
    used: usize,
}

impl Random {
    fn fill(&mut self, bytes: &mut [u8]) -> anyhow::Result<()> {
        if self.buffer.len() < self.used + bytes.len() {
            self.buffer.resize(RANDOM_BYTES, 0);
            getrandom::fill(&mut self.buffer).context("no random numbers")?;
            self.used = 0;
        }
        let from = &mut self.buffer[self.used..self.used + bytes.len()];
        bytes.copy_from_slice(from);
        // What became a secret stays nowhere else.
        from.fill(0);
        self.used += bytes.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
