//! What is on a shelf, and how it is looked through.

use super::News;
use crate::directory::census::Census;
use crate::directory::people::People;
use crate::directory::tokens::{TokenColumn, TokenFilter, TokenQuery};
use crate::directory::window::{Key, Page, Seen, Window};
use crate::id::{OrgId, TokenId, UserId};
use crate::org::{Revision, StatusChange};
use crate::policy::Ignores;
use crate::role::{RoleSet, RoleTable};
use crate::secret::Digest;
use crate::store::{Facts, Ledger, StoreError};
use crate::time::Timestamp;
use crate::token::{ApiToken, Standing, TokenStatus, Usage};
use std::collections::HashMap;
use std::hash::Hash;

/// Tokens in the order of their identities.
#[derive(Debug, Default)]
pub(super) struct Rows {
    ids: Vec<TokenId>,
    cells: Vec<Cell>,
    /// All names, in lower case, one behind the other.
    names: String,
    /// Bytes of names that nobody has any more.
    waste: usize,
    people: Interned<UserId>,
    scopes: Interned<RoleSet>,
}

/// What lists need of a token.
#[derive(Debug)]
struct Cell {
    created_at: Timestamp,
    issued_at: Timestamp,
    expires_at: Timestamp,
    last_used_at: Option<Timestamp>,
    use_count: u64,
    name: (u32, u32),
    owner: u32,
    maker: Option<u32>,
    scope: u32,
    standing: Standing,
    ignores: Option<Box<Ignores>>,
}

/// Values by small numbers.
#[derive(Debug)]
struct Interned<T> {
    values: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self { values: Vec::new(), numbers: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> Interned<T> {
    fn number(&mut self, value: &T) -> u32 {
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        // There are no more values than tokens, and no more tokens than a number has room for.
        let number = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        self.values.push(value.clone());
        self.numbers.insert(value.clone(), number);
        number
    }
}

impl Rows {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// Bytes of names that nobody has any more.
    pub(super) fn waste(&self) -> usize {
        self.waste
    }

    /// Gives back the memory that was for more of them.
    pub(super) fn fit(&mut self) {
        self.ids.shrink_to_fit();
        self.cells.shrink_to_fit();
        self.names.shrink_to_fit();
    }

    /// Reads anew what changed. Uses must be held still.
    pub(super) fn catch_up(
        &mut self,
        ledger: &dyn Ledger,
        facts: &dyn Facts,
        org: OrgId,
        news: News,
    ) -> Result<(), StoreError> {
        let mut tokens = news.tokens;
        for secret in news.secrets {
            // One that is gone made room for another, which is in the news as well.
            if let (_, Some(found)) = facts.lookup(&secret)? {
                tokens.push(found.token.id);
            }
        }
        tokens.sort_unstable();
        tokens.dedup();
        for token in tokens {
            if let Some((token, usage)) = ledger.token(token)?.filter(|(token, _)| token.org == org)
            {
                self.put(&token, usage);
            }
        }
        Ok(())
    }

    pub(super) fn put(&mut self, token: &ApiToken, usage: Usage) {
        let Key::Text(name) = Key::text(&token.name) else { return };
        let at = match self.ids.last() {
            None => Err(0),
            Some(last) if *last < token.id => Err(self.ids.len()),
            Some(_) => self.ids.binary_search(&token.id),
        };
        let known = at.ok().map(|at| self.cells[at].name);
        let same = known.filter(|known| self.name(*known) == name);
        let name = same.unwrap_or_else(|| {
            self.waste += known.map_or(0, |(_, length)| length as usize);
            let begin = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
            self.names.push_str(&name);
            (begin, u32::try_from(name.len()).unwrap_or(u32::MAX))
        });
        let is_ignored = token.ignores != Ignores::default();
        let cell = Cell {
            created_at: token.created_at,
            issued_at: token.issued_at,
            expires_at: token.expires_at,
            last_used_at: usage.last_used_at,
            use_count: usage.use_count,
            name,
            owner: self.people.number(&token.owner),
            maker: token.created_by.map(|maker| self.people.number(&maker)),
            scope: self.scopes.number(&token.scope),
            standing: token.standing(),
            ignores: is_ignored.then(|| Box::new(token.ignores.clone())),
        };
        match at {
            Ok(at) => self.cells[at] = cell,
            Err(at) => {
                self.ids.insert(at, token.id);
                self.cells.insert(at, cell);
            }
        }
    }

    fn name(&self, (begin, length): (u32, u32)) -> &str {
        let begin = begin as usize;
        self.names.get(begin..begin + length as usize).unwrap_or_default()
    }

    pub(super) fn used(&mut self, token: TokenId, usage: Usage) {
        if let Ok(at) = self.ids.binary_search(&token) {
            let cell = &mut self.cells[at];
            let sum = cell.usage().merged(usage);
            (cell.last_used_at, cell.use_count) = (sum.last_used_at, sum.use_count);
        }
    }

    /// Visits them in their order, without names and secrets, with all of their uses.
    pub(super) fn visit(
        &self,
        org: OrgId,
        pending: &HashMap<TokenId, Usage>,
        visit: &mut dyn FnMut(&ApiToken, &Usage),
    ) {
        let mut token = light(org);
        for (&id, cell) in self.ids.iter().zip(&self.cells) {
            let usage = match pending.get(&id) {
                Some(fresh) => cell.usage().merged(*fresh),
                None => cell.usage(),
            };
            cell.put_into(&mut token, id);
            if let Some(owner) = self.people.values.get(cell.owner as usize) {
                token.owner = *owner;
            }
            visit(&token, &usage);
        }
    }

    /// As a pass over the store would find them.
    pub(super) fn page(
        &self,
        people: &People,
        table: &RoleTable,
        pending: &HashMap<TokenId, Usage>,
        query: &TokenQuery,
    ) -> (Page<TokenId>, Census) {
        let filter = &query.filter;
        let carries: Vec<bool> = match filter.role {
            None => Vec::new(),
            Some(role) => self.scopes.values.iter().map(|scope| scope.contains(role)).collect(),
        };
        let is_meant: Vec<bool> = match &filter.search {
            None => Vec::new(),
            Some(search) => {
                let owners = self.people.values.iter();
                owners.map(|owner| people.mentions(*owner, search)).collect()
            }
        };
        let named: Vec<Key> = match query.asked.sort.column {
            TokenColumn::Owner | TokenColumn::CreatedBy => {
                self.people.values.iter().map(|person| people.key(*person)).collect()
            }
            TokenColumn::Scope => {
                let scopes = self.scopes.values.iter();
                scopes.map(|scope| Key::text(&table.scope_text(scope))).collect()
            }
            TokenColumn::Name
            | TokenColumn::CreatedAt
            | TokenColumn::IssuedAt
            | TokenColumn::ExpiresAt
            | TokenColumn::LastUsedAt
            | TokenColumn::UseCount
            | TokenColumn::Status
            | TokenColumn::Violations => Vec::new(),
        };
        let mut pending: Vec<(TokenId, Usage)> =
            pending.iter().map(|(token, usage)| (*token, *usage)).collect();
        pending.sort_unstable_by_key(|(token, _)| *token);
        let mut pending = pending.into_iter().peekable();
        let mut census = Census::default();
        let mut window = Window::new(query.asked.clone());
        let mut token = light(query.org);
        for (&id, cell) in self.ids.iter().zip(&self.cells) {
            while pending.next_if(|(used, _)| *used < id).is_some() {}
            let fresh = pending.peek().filter(|(used, _)| *used == id).map(|(_, usage)| *usage);
            let usage = cell.usage().merged(fresh.unwrap_or_default());
            let fits = filter.fits_times(cell.expires_at, usage.last_used_at)
                && carries.get(cell.scope as usize).is_none_or(|carries| *carries)
                && filter.search.as_ref().is_none_or(|search| {
                    is_meant.get(cell.owner as usize).is_some_and(|is_meant| *is_meant)
                        || self.name(cell.name).contains(&**search)
                });
            if !fits {
                continue;
            }
            cell.put_into(&mut token, id);
            let broken = query.policies.violations(&token, &usage, query.now);
            let state = token.state(query.now);
            census.count(state, &broken);
            if !filter.fits_found(state, &broken) {
                continue;
            }
            let of = |number: u32| named.get(number as usize).map_or(Seen::Nothing, Key::seen);
            let time = |time: Timestamp| Seen::Number(time.millis());
            let number = |number: u64| Seen::Number(i64::try_from(number).unwrap_or(i64::MAX));
            let key = match query.asked.sort.column {
                TokenColumn::Name => Seen::Text(self.name(cell.name)),
                TokenColumn::Owner => of(cell.owner),
                TokenColumn::CreatedBy => cell.maker.map_or(Seen::Nothing, of),
                TokenColumn::CreatedAt => time(cell.created_at),
                TokenColumn::IssuedAt => time(cell.issued_at),
                TokenColumn::ExpiresAt => time(cell.expires_at),
                TokenColumn::LastUsedAt => usage.last_used_at.map_or(Seen::Nothing, time),
                TokenColumn::UseCount => number(usage.use_count),
                TokenColumn::Scope => of(cell.scope),
                TokenColumn::Status => Seen::Number(TokenFilter::place(state)),
                TokenColumn::Violations => {
                    number(broken.iter().filter(|violation| violation.counts()).count() as u64)
                }
            };
            window.offer_seen(key, id.bits(), || id);
        }
        (window.page(), census)
    }
}

impl Cell {
    fn usage(&self) -> Usage {
        Usage { last_used_at: self.last_used_at, use_count: self.use_count, ..Usage::default() }
    }

    /// Makes a token of it that states and violations are told by, as those of any other.
    fn put_into(&self, token: &mut ApiToken, id: TokenId) {
        token.id = id;
        token.created_at = self.created_at;
        token.issued_at = self.issued_at;
        token.expires_at = self.expires_at;
        token.ignores = self.ignores.as_deref().cloned().unwrap_or_default();
        let change =
            || StatusChange { at: self.created_at, by: None, reason: None, governed: false };
        token.status = match self.standing {
            Standing::Activated => TokenStatus::Activated(None),
            Standing::Deactivated => TokenStatus::Deactivated(change()),
            Standing::Revoked => TokenStatus::Revoked(change()),
        };
    }
}

/// A token without a name, a scope and a secret.
pub(super) fn light(org: OrgId) -> ApiToken {
    ApiToken {
        id: TokenId::from_bits(0),
        version: Revision::default(),
        org,
        owner: UserId::from_bits(0),
        created_by: None,
        minted_by: None,
        name: String::new(),
        scope: RoleSet::default(),
        digest: Digest::of(b""),
        created_at: Timestamp::EPOCH,
        issued_at: Timestamp::EPOCH,
        expires_at: Timestamp::EPOCH,
        ignores: Ignores::default(),
        status: TokenStatus::Activated(None),
        former: Vec::new(),
        notify_before_expiry: Vec::new(),
    }
}
