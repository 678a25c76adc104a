//! The tokens of large organizations as their lists need them, in memory.
//!
//! A pass over a store reads and decodes every token. Whoever pages through a million of them would wait
//! for that each time, so what lists sort and filter by is put on a shelf: a hundred bytes a token, one
//! after the other. A thread of its own sees to that ([`Shelves::tend`]), from the start on, so that
//! nobody waits for it; who comes before it is done makes a pass. A shelf hears of commits before they
//! are acknowledged ([`Follower`]), and of uses while they move into the store ([`Shelves::used`]), so it
//! shows what a pass would. What is shown in the end is read from the store.

mod rows;

use super::census::Census;
use super::people::People;
use super::tokens::{Room, TokenQuery, TokenRow};
use super::window::Page;
use crate::id::{OrgId, TokenId};
use crate::org::{Governance, Organization, Revision};
use crate::secret::Digest;
use crate::store::{Fact, FactKey, Follower, StoreError};
use crate::time::Timestamp;
use crate::token::{ApiToken, Usage};
use rows::Rows;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Tokens of an organization that gets a shelf; up to it a pass takes a moment.
pub const SHELVED_TOKENS_MIN: usize = 20_000;
/// Most tokens on all shelves together, if nothing else is said.
pub const SHELVED_TOKENS_DEFAULT: usize = 2_000_000;
/// Organizations that a start looks at, those that were made first; another one gets its shelf when
/// somebody looks at its list.
pub const SHELVED_AT_START_MAX: usize = 1_000;
/// Tokens that changed and are not on the shelf yet; with more it is filled anew.
const NEWS_MAX: usize = 65_536;
/// With so many, they are put there although nobody looks.
const NEWS_SOON: usize = 4_096;
/// Bytes of names that nobody has any more; with more the shelf is filled anew.
const WASTE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// All shelves.
#[derive(Debug)]
pub struct Shelves {
    tokens_min: usize,
    tokens_max: usize,
    state: Mutex<State>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct State {
    shelves: Vec<Arc<Shelf>>,
    /// Those whose shelf is to be filled, or to catch up, and when somebody asked for it.
    due: BTreeMap<OrgId, Option<Timestamp>>,
    /// Those whose tokens a pass found to be too many for all shelves.
    too_large: BTreeSet<OrgId>,
    is_over: bool,
}

impl Default for Shelves {
    fn default() -> Self {
        Self::of(SHELVED_TOKENS_DEFAULT)
    }
}

#[derive(Debug)]
struct Shelf {
    org: OrgId,
    /// When somebody looked at it last, if somebody did.
    asked_at: Mutex<Option<Timestamp>>,
    news: Mutex<News>,
    /// How many are there.
    tokens: AtomicUsize,
    /// Taken by who holds uses still ([`crate::usage::Uses::still`]), is moving them, or needs none.
    held: Mutex<Held>,
}

#[derive(Debug)]
enum Held {
    /// Nothing, until it is filled.
    Nothing,
    /// What moved into the store since the snapshot that it is being filled from.
    Filling(HashMap<TokenId, Usage>),
    /// All tokens.
    Filled(Rows),
}

/// What was committed since the shelf was looked at.
#[derive(Debug, Default)]
struct News {
    tokens: Vec<TokenId>,
    /// Secrets whose tokens changed.
    secrets: Vec<Digest>,
    is_too_much: bool,
}

impl News {
    fn len(&self) -> usize {
        self.tokens.len() + self.secrets.len()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelves {
    /// No shelf yet, and room for so many tokens on all of them.
    #[must_use]
    pub fn of(tokens_max: usize) -> Self {
        Self::from(SHELVED_TOKENS_MIN, tokens_max)
    }

    /// The same, and none for an organization with less than `tokens_min` tokens.
    #[must_use]
    pub fn from(tokens_min: usize, tokens_max: usize) -> Self {
        Self { tokens_min, tokens_max, state: Mutex::default(), rung: Condvar::new() }
    }

    /// Fills shelves, and has them catch up, until they are [closed](Self::close): first for the
    /// organizations whose lists can be looked at, then for whoever looks. Blocks.
    pub fn tend(&self, room: Room<'_>) {
        match room.ledger.organizations() {
            Ok(all) => self.begin(&all),
            Err(error) => tracing::warn!(%error, "no list of tokens is prepared"),
        }
        while let Some((org, asked_at)) = self.next() {
            if let Err(error) = self.renew(room, org, asked_at) {
                tracing::warn!(%org, %error, "lists of tokens are read from the store each time");
            }
        }
    }

    /// All of these that are governed may have many tokens.
    fn begin(&self, all: &[Organization]) {
        if self.tokens_max == 0 {
            return;
        }
        let governed = all.iter().filter(|org| org.governance == Governance::Activated);
        for org in governed.take(SHELVED_AT_START_MAX) {
            self.want(org.id, None);
        }
    }

    /// Ends the tending.
    pub fn close(&self) {
        lock(&self.state).is_over = true;
        self.rung.notify_all();
    }

    /// Waits for a shelf that something is to be done about; nothing once it is over.
    fn next(&self) -> Option<(OrgId, Option<Timestamp>)> {
        let mut state = lock(&self.state);
        loop {
            if state.is_over {
                return None;
            }
            if let Some(due) = state.due.pop_first() {
                return Some(due);
            }
            state = self.rung.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Has a shelf filled, or catch up.
    fn want(&self, org: OrgId, asked_at: Option<Timestamp>) {
        let mut state = lock(&self.state);
        let due = state.due.entry(org).or_default();
        *due = (*due).max(asked_at);
        self.rung.notify_one();
    }

    /// A pass over all tokens of an organization found so many: whether the next list of them is
    /// worth a shelf.
    pub(super) fn passed(&self, org: OrgId, tokens: usize, now: Timestamp) {
        let is_too_large = tokens >= self.tokens_min && tokens > self.tokens_max;
        if is_too_large {
            lock(&self.state).too_large.insert(org);
        } else if tokens >= self.tokens_min {
            self.want(org, Some(now));
        }
    }

    /// Whether a list of the tokens of an organization is work, on its shelf or not. It may be and
    /// nobody knows of it yet, as nobody has looked at one.
    #[must_use]
    pub fn is_large(&self, org: OrgId) -> bool {
        self.find(org).is_some() || lock(&self.state).too_large.contains(&org)
    }

    fn find(&self, org: OrgId) -> Option<Arc<Shelf>> {
        lock(&self.state).shelves.iter().find(|shelf| shelf.org == org).cloned()
    }

    fn put_up(&self, org: OrgId) -> Arc<Shelf> {
        let put = Arc::new(Shelf {
            org,
            asked_at: Mutex::default(),
            news: Mutex::default(),
            tokens: AtomicUsize::new(0),
            held: Mutex::new(Held::Nothing),
        });
        lock(&self.state).shelves.push(Arc::clone(&put));
        put
    }

    fn remove(&self, org: OrgId) {
        lock(&self.state).shelves.retain(|shelf| shelf.org != org);
    }

    /// These uses have just moved into the store. Called while nobody holds them still.
    pub fn used(&self, uses: &[(TokenId, Usage)]) {
        let shelves: Vec<Arc<Shelf>> = lock(&self.state).shelves.clone();
        for shelf in shelves {
            match &mut *lock(&shelf.held) {
                Held::Nothing => {}
                Held::Filling(moved) => {
                    for &(token, usage) in uses {
                        let sum = moved.entry(token).or_default();
                        *sum = sum.merged(usage);
                    }
                }
                Held::Filled(rows) => {
                    for &(token, usage) in uses {
                        rows.used(token, usage);
                    }
                }
            }
        }
    }

    /// A page of a list, and how many tokens fit in each state; nothing if there is no shelf.
    pub(super) fn page(
        &self,
        room: Room<'_>,
        query: &TokenQuery,
    ) -> Result<Option<(Page<TokenRow>, Census)>, StoreError> {
        let Some(found) = self.find(query.org) else { return Ok(None) };
        *lock(&found.asked_at) = Some(query.now);
        let Room { ledger, uses, .. } = room;
        let people = People::of(ledger, query.org)?;
        let still = uses.still();
        let mut held = lock(&found.held);
        let Some(rows) = self.caught_up(room, &found, &mut held)? else { return Ok(None) };
        let pending = uses.pending();
        let (page, census) = rows.page(&people, &ledger.roles(), &pending, query);
        let mut items = Vec::with_capacity(page.items.len());
        for token in page.items {
            if let Some((token, stored)) = ledger.token(token)? {
                let usage = stored.merged(still.pending(token.id));
                items.push(TokenRow::new(token, usage, &people));
            }
        }
        Ok(Some((Page { items, next_cursor: page.next_cursor }, census)))
    }

    /// Visits the tokens of an organization, as light as they are on its shelf, with their uses, those
    /// that are not stored included; answers whether there is a shelf. Uses must be held still.
    pub(super) fn visit(
        &self,
        room: Room<'_>,
        org: OrgId,
        now: Timestamp,
        visit: &mut dyn FnMut(&ApiToken, &Usage),
    ) -> Result<bool, StoreError> {
        let Some(found) = self.find(org) else { return Ok(false) };
        *lock(&found.asked_at) = Some(now);
        let mut held = lock(&found.held);
        let Some(rows) = self.caught_up(room, &found, &mut held)? else { return Ok(false) };
        rows.visit(org, &room.uses.pending(), visit);
        Ok(true)
    }

    /// What is on a shelf, as of now; nothing if it has to be filled first. Uses must be held still.
    fn caught_up<'a>(
        &self,
        Room { ledger, facts, .. }: Room<'_>,
        found: &Shelf,
        held: &'a mut Held,
    ) -> Result<Option<&'a Rows>, StoreError> {
        let Held::Filled(rows) = &mut *held else { return Ok(None) };
        let news = std::mem::take(&mut *lock(&found.news));
        let is_usable = !news.is_too_much && rows.waste() <= WASTE_BYTES_MAX;
        let caught_up = if is_usable {
            rows.catch_up(ledger, facts, found.org, news).map(|()| rows.len() <= self.tokens_max)
        } else {
            Ok(false)
        };
        found.tokens.store(rows.len(), Ordering::Relaxed);
        if !matches!(caught_up, Ok(true)) {
            // What is not known to be on the shelf is not looked for there. It is filled anew, and taken
            // away if there are too many tokens by now.
            *held = Held::Nothing;
            self.want(found.org, None);
            return caught_up.map(|_| None);
        }
        match held {
            Held::Filled(rows) => Ok(Some(rows)),
            Held::Nothing | Held::Filling(_) => Ok(None),
        }
    }

    /// Fills a shelf, or has it catch up.
    fn renew(
        &self,
        room: Room<'_>,
        org: OrgId,
        asked_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let found = self.find(org).unwrap_or_else(|| self.put_up(org));
        {
            let mut known = lock(&found.asked_at);
            *known = (*known).max(asked_at);
        }
        {
            let _still = room.uses.still();
            let mut held = lock(&found.held);
            if self.caught_up(room, &found, &mut held)?.is_some() {
                return Ok(());
            }
        }
        // Whatever was too much to catch up with is among all.
        lock(&self.state).due.remove(&org);
        match self.filled(room, &found) {
            Ok(Some(mut rows)) => {
                let tokens = rows.len();
                let mut held = lock(&found.held);
                if let Held::Filling(moved) = std::mem::replace(&mut *held, Held::Nothing) {
                    for (token, usage) in moved {
                        rows.used(token, usage);
                    }
                }
                *held = Held::Filled(rows);
                drop(held);
                found.tokens.store(tokens, Ordering::Relaxed);
                self.make_room(&found);
                Ok(())
            }
            Ok(None) => {
                self.remove(org);
                Ok(())
            }
            Err(error) => {
                self.remove(org);
                Err(error)
            }
        }
    }

    /// All tokens of an organization, without what changed meanwhile; nothing if there are too few or
    /// too many.
    fn filled(&self, room: Room<'_>, found: &Shelf) -> Result<Option<Rows>, StoreError> {
        // Uses are held still until the snapshot is taken, which it is when the first token comes. So
        // each use is in the snapshot, or among those that moved later.
        let mut still = Some(room.uses.still());
        *lock(&found.held) = Held::Filling(HashMap::new());
        *lock(&found.news) = News::default();
        let mut rows = Rows::default();
        room.ledger.visit_tokens(found.org, None, &mut |token, usage| {
            still.take();
            rows.put(&token, usage);
            let is_enough = rows.len() > self.tokens_max
                || rows.len().is_multiple_of(NEWS_SOON) && lock(&self.state).is_over;
            if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        rows.fit();
        let is_over = lock(&self.state).is_over;
        let is_fitting = (self.tokens_min..=self.tokens_max).contains(&rows.len());
        Ok((is_fitting && !is_over).then_some(rows))
    }

    /// Takes away what was not looked at for longest, until all shelves have room. What nobody has
    /// looked at yet displaces nothing.
    fn make_room(&self, new: &Shelf) {
        let mut state = lock(&self.state);
        let tokens = |shelf: &Arc<Shelf>| shelf.tokens.load(Ordering::Relaxed);
        let mut sum: usize = state.shelves.iter().map(tokens).sum();
        let mut going = BTreeSet::new();
        if lock(&new.asked_at).is_some() {
            let others = state.shelves.iter().filter(|shelf| shelf.org != new.org);
            let mut others: Vec<_> =
                others.map(|shelf| (*lock(&shelf.asked_at), shelf.org, tokens(shelf))).collect();
            others.sort_unstable();
            for (_, org, tokens) in others {
                if sum > self.tokens_max && tokens > 0 {
                    sum -= tokens;
                    going.insert(org);
                }
            }
        }
        if sum > self.tokens_max {
            going.insert(new.org);
        }
        state.shelves.retain(|shelf| !going.contains(&shelf.org));
    }
}

impl Follower for Shelves {
    fn bar(&self, _keys: &[FactKey]) {}

    fn apply(&self, _revision: Revision, facts: &[Fact]) {
        let mut state = lock(&self.state);
        let mut due = Vec::new();
        for shelf in &state.shelves {
            let mut news = lock(&shelf.news);
            let before = news.len();
            for fact in facts {
                match fact {
                    Fact::Token(_, Some(facts)) if facts.org == shelf.org => {
                        news.tokens.push(facts.id);
                    }
                    Fact::Secret(digest) => news.secrets.push(*digest),
                    Fact::Token(..) | Fact::Owner(..) | Fact::Organization(..) => {}
                }
            }
            if news.len() > NEWS_MAX {
                *news = News { is_too_much: true, ..News::default() };
                due.push(shelf.org);
            } else if before < NEWS_SOON && news.len() >= NEWS_SOON {
                due.push(shelf.org);
            }
        }
        if !due.is_empty() {
            for org in due {
                state.due.entry(org).or_default();
            }
            self.rung.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
