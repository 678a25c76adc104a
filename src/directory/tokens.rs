//! The one list of all API tokens of an organization.

use super::census::Census;
use super::people::{People, Person};
use super::shelf::Shelves;
use super::window::{Asked, Column, Key, Page, Sort, Window};
use crate::id::{OrgId, TokenId, UserId};
use crate::policy::{Policies, PolicyKind, Violation};
use crate::role::{RoleId, RoleTable};
use crate::store::{Facts, Ledger, StoreError};
use crate::time::Timestamp;
use crate::token::{ApiToken, TokenState, Usage};
use crate::usage::{Beside, Uses};
use std::ops::ControlFlow;

/// A column of the list of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenColumn {
    /// The token's name.
    Name,
    /// Its owner's name.
    Owner,
    /// Its maker's name.
    CreatedBy,
    /// When it was made.
    CreatedAt,
    /// When its present life began.
    IssuedAt,
    /// When its life ends.
    ExpiresAt,
    /// When it was used last; never comes first.
    LastUsedAt,
    /// How often it was used.
    UseCount,
    /// The roles that it carries, as text.
    Scope,
    /// Activated, deactivated, expired, revoked.
    Status,
    /// How many policies it violates, ignored violations not counted.
    Violations,
}

impl Column for TokenColumn {
    const DEFAULT: Sort<Self> = Sort { column: Self::CreatedAt, descending: true };
    const ALL: &'static [(&'static str, Self)] = &[
        ("name", Self::Name),
        ("owner", Self::Owner),
        ("created_by", Self::CreatedBy),
        ("created_at", Self::CreatedAt),
        ("issued_at", Self::IssuedAt),
        ("expires_at", Self::ExpiresAt),
        ("last_used_at", Self::LastUsedAt),
        ("use_count", Self::UseCount),
        ("scope", Self::Scope),
        ("status", Self::Status),
        ("violations", Self::Violations),
    ];
}

/// Tokens by the violations that count: those that nobody has ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViolationFilter {
    /// Tokens with at least one.
    Any,
    /// Tokens without one.
    None,
    /// Tokens that break this policy.
    Of(PolicyKind),
}

impl ViolationFilter {
    fn fits(self, found: &[Violation]) -> bool {
        let mut found = found.iter().filter(|violation| violation.counts());
        match self {
            Self::Any => found.next().is_some(),
            Self::None => found.next().is_none(),
            Self::Of(policy) => found.any(|violation| violation.policy == policy),
        }
    }
}

/// What tokens have to be like.
#[derive(Clone, Debug, Default)]
pub struct TokenFilter {
    /// In this state.
    pub state: Option<TokenState>,
    /// With such violations.
    pub violation: Option<ViolationFilter>,
    /// A text in the token's name or its owner's name or address, in lower case.
    pub search: Option<String>,
    /// Carrying this role.
    pub role: Option<RoleId>,
    /// Ending before this.
    pub expires_before: Option<Timestamp>,
    /// Used, and not since this.
    pub used_before: Option<Timestamp>,
    /// Whether they were never used.
    pub never_used: Option<bool>,
}

impl TokenFilter {
    /// As far as state and violations go.
    pub(super) fn fits_found(&self, state: TokenState, found: &[Violation]) -> bool {
        self.state.is_none_or(|wanted| wanted == state)
            && self.violation.is_none_or(|wanted| wanted.fits(found))
    }

    /// As far as times go.
    pub(super) fn fits_times(&self, expires_at: Timestamp, used: Option<Timestamp>) -> bool {
        self.expires_before.is_none_or(|end| expires_at < end)
            && self.used_before.is_none_or(|end| used.is_some_and(|used| used < end))
            && self.never_used.is_none_or(|never| used.is_none() == never)
    }

    fn fits_otherwise(&self, token: &ApiToken, usage: &Usage, people: &People) -> bool {
        self.fits_times(token.expires_at, usage.last_used_at)
            && self.role.is_none_or(|role| token.scope.contains(role))
            && self.search.as_ref().is_none_or(|search| {
                token.name.to_lowercase().contains(search) || people.mentions(token.owner, search)
            })
    }

    /// What a state is sorted by.
    pub(super) const fn place(state: TokenState) -> i64 {
        match state {
            TokenState::Activated => 0,
            TokenState::Deactivated => 1,
            TokenState::Expired => 2,
            TokenState::Revoked => 3,
        }
    }
}

/// Which tokens to list.
#[derive(Clone, Debug)]
pub struct TokenQuery {
    /// The organization.
    pub org: OrgId,
    /// One owner's only.
    pub owner: Option<UserId>,
    /// Those that are like this only.
    pub filter: TokenFilter,
    /// The policies as they are applied.
    pub policies: Policies,
    /// Which page.
    pub asked: Asked<TokenColumn>,
    /// The present.
    pub now: Timestamp,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// The token.
    pub token: ApiToken,
    /// Its use, that which is not stored yet included.
    pub usage: Usage,
    /// Its owner.
    pub owner: Person,
    /// Its maker; nobody if it was made offline.
    pub created_by: Option<Person>,
}

impl TokenRow {
    /// A row of a token that was loaded alone.
    #[must_use]
    pub fn new(token: ApiToken, usage: Usage, people: &People) -> Self {
        let (owner, created_by) = (people.find(token.owner), token.created_by);
        Self { token, usage, owner, created_by: created_by.map(|id| people.find(id)) }
    }
}

/// What lists of tokens are read from.
#[derive(Clone, Copy)]
pub struct Room<'a> {
    /// The store.
    pub ledger: &'a dyn Ledger,
    /// The same, by secrets.
    pub facts: &'a dyn Facts,
    /// Use that is not stored yet.
    pub uses: &'a dyn Uses,
    /// The tokens of large organizations.
    pub shelves: &'a Shelves,
}

/// A page of tokens, and how many fit in each state: what is asked about states and violations does
/// not count for that. May block for as long as it takes to visit all tokens of the organization.
pub fn tokens(room: Room<'_>, query: &TokenQuery) -> Result<(Page<TokenRow>, Census), StoreError> {
    // Those of one owner are few.
    if query.owner.is_some() {
        let (page, census, _visited) = pass(room, query)?;
        return Ok((page, census));
    }
    if let Some(found) = room.shelves.page(room, query)? {
        return Ok(found);
    }
    let (page, census, visited) = pass(room, query)?;
    room.shelves.passed(query.org, visited, query.now);
    Ok((page, census))
}

fn pass(room: Room<'_>, query: &TokenQuery) -> Result<(Page<TokenRow>, Census, usize), StoreError> {
    let people = People::of(room.ledger, query.org)?;
    let table = room.ledger.roles();
    let mut beside = Beside::new(room.uses);
    let mut census = Census::default();
    let mut window = Window::new(query.asked.clone());
    let mut visited = 0;
    room.ledger.visit_tokens(query.org, query.owner, &mut |token, stored| {
        visited += 1;
        let usage = beside.merged(token.id, stored);
        if !query.filter.fits_otherwise(&token, &usage, &people) {
            return ControlFlow::Continue(());
        }
        let (state, found) = judged(&token, &usage, query);
        census.count(state, &found);
        if query.filter.fits_found(state, &found) {
            let key = key(&token, &usage, &people, &table, query);
            window.offer(key, token.id.bits(), || TokenRow::new(token, usage, &people));
        }
        ControlFlow::Continue(())
    })?;
    Ok((window.page(), census, visited))
}

fn judged(token: &ApiToken, usage: &Usage, query: &TokenQuery) -> (TokenState, Vec<Violation>) {
    (token.state(query.now), query.policies.violations(token, usage, query.now))
}

/// The tokens that fit, in the order of their making, up to one more than `most`. May block for as
/// long as it takes to visit all tokens of the organization.
pub fn fitting(
    ledger: &dyn Ledger,
    uses: &dyn Uses,
    query: &TokenQuery,
    most: usize,
) -> Result<Vec<TokenId>, StoreError> {
    let people = People::of(ledger, query.org)?;
    let mut beside = Beside::new(uses);
    let mut found = Vec::new();
    ledger.visit_tokens(query.org, query.owner, &mut |token, stored| {
        let usage = beside.merged(token.id, stored);
        let (state, broken) = judged(&token, &usage, query);
        if query.filter.fits_otherwise(&token, &usage, &people)
            && query.filter.fits_found(state, &broken)
        {
            found.push(token.id);
        }
        if found.len() > most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(found)
}

fn key(
    token: &ApiToken,
    usage: &Usage,
    people: &People,
    table: &RoleTable,
    query: &TokenQuery,
) -> Key {
    let time = |time: Timestamp| Key::Number(time.millis());
    let name = |user: Option<UserId>| user.map_or(Key::Nothing, |user| people.key(user));
    match query.asked.sort.column {
        TokenColumn::Name => Key::text(&token.name),
        TokenColumn::Owner => name(Some(token.owner)),
        TokenColumn::CreatedBy => name(token.created_by),
        TokenColumn::CreatedAt => time(token.created_at),
        TokenColumn::IssuedAt => time(token.issued_at),
        TokenColumn::ExpiresAt => time(token.expires_at),
        TokenColumn::LastUsedAt => usage.last_used_at.map_or(Key::Nothing, time),
        TokenColumn::UseCount => Key::number(Some(usage.use_count)),
        TokenColumn::Scope => Key::text(&table.scope_text(&token.scope)),
        TokenColumn::Status => Key::Number(TokenFilter::place(token.state(query.now))),
        TokenColumn::Violations => {
            let found = query.policies.violations(token, usage, query.now);
            let counted = found.iter().filter(|violation| violation.counts()).count();
            Key::number(u64::try_from(counted).ok())
        }
    }
}
