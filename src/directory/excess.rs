//! Tokens that carry roles which none of their requests needed.

use super::people::{People, Person};
use super::window::{Asked, Column, Key, Page, Sort, Window};
use crate::id::{OrgId, TokenId, UserId};
use crate::org::User;
use crate::role::RoleSet;
use crate::store::{Ledger, STRETCH_TOKENS_MAX, StoreError};
use crate::time::{Day, Timestamp};
use crate::token::watch::Watch;
use crate::token::{ApiToken, Excess, Needs, TokenState, Usage, Used};
use crate::usage::Uses;
use std::collections::HashMap;
use std::time::Duration;

/// A column of the list of tokens with unused scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExcessColumn {
    /// How many roles were not needed.
    Unused,
    /// The token's name.
    Name,
    /// When it was made.
    CreatedAt,
    /// When it was used last; never comes first.
    LastUsedAt,
}

impl Column for ExcessColumn {
    const DEFAULT: Sort<Self> = Sort { column: Self::Unused, descending: true };
    const ALL: &'static [(&'static str, Self)] = &[
        ("unused", Self::Unused),
        ("name", Self::Name),
        ("created_at", Self::CreatedAt),
        ("last_used_at", Self::LastUsedAt),
    ];
}

/// Which tokens to list.
#[derive(Clone, Debug)]
pub struct ExcessQuery {
    /// The organization.
    pub org: OrgId,
    /// This one only.
    pub token: Option<TokenId>,
    /// For how many days nothing needed the roles.
    pub days: u16,
    /// Those only of whose requests in these days all are known, or those of which some may not be.
    pub complete: Option<bool>,
    /// Which page.
    pub asked: Asked<ExcessColumn>,
    /// The present.
    pub now: Timestamp,
}

impl ExcessQuery {
    /// The instant since which nothing needed the roles.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.now.before(Duration::from_hours(24 * u64::from(self.days)))
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExcessRow {
    /// The token.
    pub token: ApiToken,
    /// Its use.
    pub usage: Usage,
    /// Its owner.
    pub owner: Person,
    /// What of its scope was not needed.
    pub excess: Excess,
    /// Since when its requests are known.
    pub observed_since: Timestamp,
    /// Whether all of its requests in these days are known.
    pub is_complete: bool,
}

/// A page of live tokens of which some roles were not needed, and how uses were recorded. May block for
/// as long as it takes to visit all tokens of the organization.
pub fn excesses(
    ledger: &dyn Ledger,
    uses: &dyn Uses,
    query: &ExcessQuery,
) -> Result<(Page<ExcessRow>, Option<Watch>), StoreError> {
    let watch = ledger.watch()?;
    let owners: HashMap<UserId, User> =
        ledger.users(query.org)?.into_iter().map(|user| (user.id, user)).collect();
    // Before anything is read: what is stored meanwhile is in both then, and a need is no sum.
    let (fresh, needed) = (uses.pending(), uses.pending_needs());
    let mut window = Window::new(query.asked.clone());
    let mut see = |token: ApiToken, it: Used| {
        let Used { usage, mut needs, days: _ } = it;
        if token.state(query.now) != TokenState::Activated {
            return;
        }
        for (need, day) in needed.get(&token.id).into_iter().flatten() {
            needs.add(need, *day);
        }
        let owner = owners.get(&token.owner);
        let held = owner.map(|owner| owner.roles.clone()).unwrap_or_default();
        let effective = token.scope.intersection(&held);
        let since = query.since();
        let excess = needs.excess(&token.scope, &effective, Day::of(since));
        let (observed_since, is_complete) = observed(&token, &needs, watch.as_ref(), since);
        if excess.is_nothing() || query.complete.is_some_and(|wanted| wanted != is_complete) {
            return;
        }
        let fresh = fresh.get(&token.id).copied().unwrap_or_default();
        let usage = Usage {
            last_used_at: usage.last_used_at.max(fresh.last_used_at),
            use_count: usage.use_count.max(fresh.use_count),
            ..usage
        };
        let key = match query.asked.sort.column {
            ExcessColumn::Unused => Key::number(u64::try_from(spare(&excess)).ok()),
            ExcessColumn::Name => Key::text(&token.name),
            ExcessColumn::CreatedAt => Key::Number(token.created_at.millis()),
            ExcessColumn::LastUsedAt => {
                usage.last_used_at.map_or(Key::Nothing, |last| Key::Number(last.millis()))
            }
        };
        let unknown = || People::default().find(token.owner);
        let owner = owner.map_or_else(unknown, Person::from);
        let bits = token.id.bits();
        let row = || ExcessRow { token, usage, owner, excess, observed_since, is_complete };
        window.offer(key, bits, row);
    };
    if let Some(id) = query.token {
        let found = ledger.token(id)?.filter(|(token, _)| token.org == query.org);
        let recorded = ledger.used(query.org, &[id])?;
        found.into_iter().zip(recorded).for_each(|((token, _), it)| see(token, it));
        return Ok((window.page(), watch));
    }
    let mut after = None;
    loop {
        let stretch = ledger.tokens_after(query.org, after)?;
        let ids: Vec<TokenId> = stretch.iter().map(|(token, _)| token.id).collect();
        // Later than the tokens: what came between has one need more at most, and no less.
        let recorded = ledger.used(query.org, &ids)?;
        stretch.into_iter().zip(recorded).for_each(|((token, _), it)| see(token, it));
        after = ids.last().copied();
        if ids.len() < STRETCH_TOKENS_MAX {
            return Ok((window.page(), watch));
        }
    }
}

/// How many roles could be given up.
fn spare(excess: &Excess) -> usize {
    let choices: RoleSet =
        excess.one_of.iter().fold(RoleSet::empty(), |all, choice| all.union(choice));
    // Choices may overlap, so of them all but one each is the most.
    excess.unused.len() + choices.len().saturating_sub(excess.one_of.len())
}

/// Since when the requests of a token are known, and whether all of those since an instant are.
fn observed(
    token: &ApiToken,
    needs: &Needs,
    watch: Option<&Watch>,
    since: Timestamp,
) -> (Timestamp, bool) {
    // Since it came here, which for one that was imported is later than its making.
    let came = token.id.made_at();
    let Some(watch) = watch else { return (came, false) };
    let remembered = needs.forgotten().map(|day| day.later(1).start());
    let from = came.max(watch.since).max(remembered.unwrap_or(came));
    (from, from <= since && watch.is_whole_since(since))
}
