//! The one list of all API tokens of an organization.

use super::census::Census;
use super::people::{People, Person};
use super::window::{Asked, Column, Key, Page, Sort, Window};
use crate::id::{OrgId, TokenId, UserId};
use crate::policy::{Policies, PolicyKind};
use crate::role::{RoleId, RoleTable};
use crate::store::{Ledger, StoreError};
use crate::time::Timestamp;
use crate::token::{ApiToken, TokenState, Usage};
use crate::usage::Uses;
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
    fn fits(self, token: &ApiToken, usage: &Usage, query: &TokenQuery) -> bool {
        let found = query.policies.violations(token, usage, query.now);
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
    fn fits(&self, token: &ApiToken, usage: &Usage, people: &People, query: &TokenQuery) -> bool {
        self.fits_in_state(token, usage, query) && self.fits_otherwise(token, usage, people)
    }

    fn fits_in_state(&self, token: &ApiToken, usage: &Usage, query: &TokenQuery) -> bool {
        self.state.is_none_or(|state| state == token.state(query.now))
            && self.violation.is_none_or(|wanted| wanted.fits(token, usage, query))
    }

    fn fits_otherwise(&self, token: &ApiToken, usage: &Usage, people: &People) -> bool {
        let used = usage.last_used_at;
        self.role.is_none_or(|role| token.scope.contains(role))
            && self.expires_before.is_none_or(|end| token.expires_at < end)
            && self.used_before.is_none_or(|end| used.is_some_and(|used| used < end))
            && self.never_used.is_none_or(|never| used.is_none() == never)
            && self.search.as_ref().is_none_or(|search| mentions(token, people, search))
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

/// A page of tokens. May block for as long as it takes to visit all tokens of the organization.
pub fn tokens(
    ledger: &dyn Ledger,
    uses: &dyn Uses,
    query: &TokenQuery,
) -> Result<Page<TokenRow>, StoreError> {
    pass(ledger, uses, query, None)
}

/// As [`tokens`], and how many fit in each state: what is asked about states and violations does not
/// count for that.
pub fn counted(
    ledger: &dyn Ledger,
    uses: &dyn Uses,
    query: &TokenQuery,
) -> Result<(Page<TokenRow>, Census), StoreError> {
    let mut census = Census::default();
    let page = pass(ledger, uses, query, Some(&mut census))?;
    Ok((page, census))
}

fn pass(
    ledger: &dyn Ledger,
    uses: &dyn Uses,
    query: &TokenQuery,
    mut census: Option<&mut Census>,
) -> Result<Page<TokenRow>, StoreError> {
    let people = People::of(ledger, query.org)?;
    let table = ledger.roles();
    let still = uses.still();
    let mut window = Window::new(query.asked.clone());
    ledger.visit_tokens(query.org, query.owner, &mut |token, stored| {
        let usage = stored.merged(still.pending(token.id));
        if !query.filter.fits_otherwise(&token, &usage, &people) {
            return ControlFlow::Continue(());
        }
        if let Some(census) = census.as_deref_mut() {
            census.count(&token, &usage, &query.policies, query.now);
        }
        if query.filter.fits_in_state(&token, &usage, query) {
            let key = key(&token, &usage, &people, &table, query);
            window.offer(key, token.id.bits(), || TokenRow::new(token, usage, &people));
        }
        ControlFlow::Continue(())
    })?;
    Ok(window.page())
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
    let still = uses.still();
    let mut found = Vec::new();
    ledger.visit_tokens(query.org, query.owner, &mut |token, stored| {
        let usage = stored.merged(still.pending(token.id));
        if query.filter.fits(&token, &usage, &people, query) {
            found.push(token.id);
        }
        if found.len() > most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(found)
}

fn mentions(token: &ApiToken, people: &People, search: &str) -> bool {
    let says =
        |text: Option<&String>| text.is_some_and(|text| text.to_lowercase().contains(search));
    let owner = people.known(token.owner);
    says(Some(&token.name))
        || says(owner.and_then(|owner| owner.name.as_ref()))
        || says(owner.and_then(|owner| owner.email.as_ref()))
}

fn key(
    token: &ApiToken,
    usage: &Usage,
    people: &People,
    table: &RoleTable,
    query: &TokenQuery,
) -> Key {
    let time = |time: Timestamp| Key::Number(time.millis());
    let name = |user: Option<UserId>| {
        let person = user.and_then(|user| people.known(user));
        person.and_then(|person| person.name.as_ref()).map_or(Key::Nothing, |name| Key::text(name))
    };
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
        TokenColumn::Status => Key::Number(match token.state(query.now) {
            TokenState::Activated => 0,
            TokenState::Deactivated => 1,
            TokenState::Expired => 2,
            TokenState::Revoked => 3,
        }),
        TokenColumn::Violations => {
            let found = query.policies.violations(token, usage, query.now);
            let counted = found.iter().filter(|violation| violation.counts()).count();
            Key::number(u64::try_from(counted).ok())
        }
    }
}
