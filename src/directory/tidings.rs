//! Whoever looks at tokens hears that some have changed: their identities, and nothing else of them.

use crate::id::{OrgId, TokenId, UserId};
use crate::org::Revision;
use crate::store::{Fact, FactKey, Facts, Follower};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Most who listen at once.
pub const EARS_MAX: usize = 64;
/// Most ears of one user: a browser keeps six connections, and needs some for the pages.
pub const EARS_PER_USER_MAX: usize = 4;
/// Tokens that one is told of by name; of more it is said that the list changed.
pub const TOKENS_TOLD_MAX: usize = 64;

/// All who listen.
pub struct Tidings {
    facts: Arc<dyn Facts>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The last commit that changed anything that is told of.
    last: Revision,
    ears: Vec<Arc<Ear>>,
    is_over: bool,
}

/// Whose ear it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audience {
    /// The organization.
    pub org: OrgId,
    /// The user.
    pub user: UserId,
    /// Whether the tokens of others are theirs to see.
    pub reads_all: bool,
}

struct Ear {
    whose: Audience,
    heard: Mutex<Heard>,
    rung: Notify,
}

#[derive(Default)]
struct Heard {
    at: Revision,
    tokens: BTreeSet<TokenId>,
    is_list: bool,
    is_over: bool,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// These tokens.
    Tokens(Vec<TokenId>),
    /// Whatever a list may show.
    List,
}

/// Nobody more can listen at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Tidings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tidings")
            .field("ears", &lock(&self.state).ears.len())
            .finish_non_exhaustive()
    }
}

impl Tidings {
    /// Nobody listens yet. What a secret belongs to is asked of `facts`.
    #[must_use]
    pub fn new(facts: Arc<dyn Facts>) -> Self {
        Self { facts, state: Mutex::default() }
    }

    /// The last commit that was told of. What is read after this is not older.
    pub fn last(&self) -> Revision {
        lock(&self.state).last
    }

    /// Begins to listen. Who has seen less than there is by now hears so at once.
    pub fn listen(
        self: &Arc<Self>,
        whose: Audience,
        seen: Option<Revision>,
    ) -> Result<Listening, TooMany> {
        let mut state = lock(&self.state);
        let theirs = state.ears.iter().filter(|ear| ear.whose.user == whose.user).count();
        if state.is_over || state.ears.len() >= EARS_MAX || theirs >= EARS_PER_USER_MAX {
            return Err(TooMany);
        }
        let is_list = seen != Some(state.last);
        let heard = Mutex::new(Heard { at: state.last, is_list, ..Heard::default() });
        let ear = Arc::new(Ear { whose, heard, rung: Notify::new() });
        state.ears.push(Arc::clone(&ear));
        Ok(Listening { tidings: Arc::clone(self), ear })
    }

    /// Ends all listening, for good.
    pub fn close(&self) {
        let mut state = lock(&self.state);
        state.is_over = true;
        for ear in &state.ears {
            lock(&ear.heard).is_over = true;
            ear.rung.notify_one();
        }
    }
}

impl Follower for Tidings {
    fn bar(&self, _keys: &[FactKey]) {}

    fn apply(&self, revision: Revision, facts: &[Fact]) {
        if facts.is_empty() {
            return;
        }
        let ears = {
            let mut state = lock(&self.state);
            state.last = revision;
            state.ears.clone()
        };
        if ears.is_empty() {
            return;
        }
        for fact in facts {
            let token = |org, owner, id| {
                for ear in &ears {
                    ear.token(revision, org, owner, id);
                }
            };
            match fact {
                Fact::Token(_, Some(facts)) => token(facts.org, facts.owner, facts.id),
                // One that is gone made room for another, which is among the facts as well.
                Fact::Token(_, None) => {}
                Fact::Secret(digest) => match self.facts.lookup(digest) {
                    Ok((_, Some(found))) => token(found.org.id, found.owner.id, found.token.id),
                    Ok((_, None)) => {}
                    Err(_unreadable) => ears.iter().for_each(|ear| ear.list(revision)),
                },
                Fact::Owner(id, owner) => {
                    let org = owner.as_ref().map(|owner| owner.org);
                    let hears = |whose: &Audience| {
                        whose.user == *id
                            || whose.reads_all && org.is_none_or(|org| org == whose.org)
                    };
                    ears.iter().filter(|ear| hears(&ear.whose)).for_each(|ear| ear.list(revision));
                }
                Fact::Organization(id, _) => {
                    ears.iter()
                        .filter(|ear| ear.whose.org == *id)
                        .for_each(|ear| ear.list(revision));
                }
            }
        }
    }
}

impl Ear {
    fn token(&self, at: Revision, org: OrgId, owner: UserId, token: TokenId) {
        let whose = &self.whose;
        if whose.org != org || !(whose.reads_all || whose.user == owner) {
            return;
        }
        let mut heard = lock(&self.heard);
        heard.at = at;
        heard.tokens.insert(token);
        if heard.tokens.len() > TOKENS_TOLD_MAX {
            heard.tokens.clear();
            heard.is_list = true;
        }
        self.rung.notify_one();
    }

    fn list(&self, at: Revision) {
        let mut heard = lock(&self.heard);
        heard.at = at;
        heard.is_list = true;
        self.rung.notify_one();
    }
}

/// Somebody who listens, until this is dropped.
pub struct Listening {
    tidings: Arc<Tidings>,
    ear: Arc<Ear>,
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").field("whose", &self.ear.whose).finish_non_exhaustive()
    }
}

impl Listening {
    /// Waits for what changes, and tells up to which commit that is; nothing once it is over. What
    /// was not waited for is not lost.
    pub async fn next(&self) -> Option<(Revision, Changed)> {
        loop {
            {
                let mut heard = lock(&self.ear.heard);
                if heard.is_over {
                    return None;
                }
                let tokens = std::mem::take(&mut heard.tokens);
                if std::mem::take(&mut heard.is_list) {
                    return Some((heard.at, Changed::List));
                }
                if !tokens.is_empty() {
                    return Some((heard.at, Changed::Tokens(tokens.into_iter().collect())));
                }
            }
            self.ear.rung.notified().await;
        }
    }

    /// Whose ear it is.
    #[must_use]
    pub fn whose(&self) -> Audience {
        self.ear.whose
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        lock(&self.tidings.state).ears.retain(|ear| !Arc::ptr_eq(ear, &self.ear));
    }
}

#[cfg(test)]
mod tests;
