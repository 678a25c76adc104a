//! Who is signed in to the pages.
//!
//! A browser holds a key, in a cookie; here is its digest, and beside it that of the API token it was
//! signed in with. Nothing is admitted by a session: each request of it is judged by its token, as
//! if the token itself had been shown ([`super::admit`]). A session can only end sooner than that.
//!
//! Where an identity provider vouched for somebody, it is their user in place of the token
//! ([`super::recognize`]). Such a session ends with the commit that switches the user off, used or
//! not: there is no token that could be told from another one when they are switched on again.
//!
//! Sessions are in memory alone: a restart signs everybody out.

use super::{Shown, Whose};
use crate::id::UserId;
use crate::org::Revision;
use crate::secret::Digest;
use crate::store::{Fact, FactKey, Follower};
use crate::time::Timestamp;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Sessions of one user; with one more the one that was idle for longest ends.
pub const SESSIONS_PER_USER_MAX: usize = 20;
/// Sessions of all users; the same.
pub const SESSIONS_MAX: usize = 10_000;
/// Links that wait to be opened; with one more the oldest ends.
pub const LINKS_MAX: usize = 16;
/// How long a link can be opened.
pub const LINK_LIFE: Duration = Duration::from_mins(10);

/// When a session is over by itself.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// After so long without a request.
    pub idle: Duration,
    /// After so long in all.
    pub life: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { idle: Duration::from_mins(30), life: Duration::from_hours(12) }
    }
}

/// All sessions, and the links that may become one.
#[derive(Debug, Default)]
pub struct Browsers {
    limits: Limits,
    sessions: Mutex<HashMap<Digest, Session>>,
    /// Users from whom something is being taken away, until that is committed.
    barred: Mutex<HashSet<UserId>>,
    links: Mutex<Vec<Link>>,
}

#[derive(Debug)]
struct Session {
    user: UserId,
    shown: Shown,
    began: Timestamp,
    last: Timestamp,
}

#[derive(Debug)]
struct Link {
    code: Digest,
    shown: Digest,
    ends: Timestamp,
}

impl Browsers {
    /// None yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Begins a session of a browser that holds `key`, for whoever has `shown` that.
    pub fn begin(&self, key: &str, shown: Shown, whose: Whose, now: Timestamp) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_key, session| !session.is_over(&self.limits, now));
        let is_theirs = |session: &Session| session.user == whose.user;
        if sessions.values().filter(|session| is_theirs(session)).count() >= SESSIONS_PER_USER_MAX {
            end_idlest(&mut sessions, is_theirs);
        } else if sessions.len() >= SESSIONS_MAX {
            end_idlest(&mut sessions, |_any| true);
        }
        let session = Session { user: whose.user, shown, began: now, last: now };
        sessions.insert(Digest::of(key.as_bytes()), session);
    }

    /// What a browser's key stands for, unless its session is over. A use of the session.
    pub fn shown(&self, key: &str, now: Timestamp) -> Option<Shown> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = Digest::of(key.as_bytes());
        let session = sessions.get_mut(&digest)?;
        if session.is_over(&self.limits, now) {
            sessions.remove(&digest);
            return None;
        }
        session.last = session.last.max(now);
        self.unbarred(session.shown)
    }

    /// Whether the session of a browser's key is not over. No use of it.
    pub fn lives(&self, key: &str, now: Timestamp) -> bool {
        self.glanced(key, now).is_some()
    }

    /// What a browser's key stands for, as [`Browsers::shown`] says it. No use of the session: what a
    /// page does by itself does not keep it alive.
    pub fn glanced(&self, key: &str, now: Timestamp) -> Option<Shown> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.get(&Digest::of(key.as_bytes()))?;
        if session.is_over(&self.limits, now) { None } else { self.unbarred(session.shown) }
    }

    /// The facts about tokens say themselves which of them are barred.
    fn unbarred(&self, shown: Shown) -> Option<Shown> {
        match shown {
            Shown::Secret(_) => Some(shown),
            Shown::Vouched(user) => {
                let barred = self.barred.lock().unwrap_or_else(PoisonError::into_inner);
                (!barred.contains(&user)).then_some(shown)
            }
        }
    }

    /// Ends the session of a browser.
    pub fn end(&self, key: &str) {
        self.end_known(&Digest::of(key.as_bytes()));
    }

    /// Ends the session of a browser whose key has this digest.
    pub fn end_known(&self, key: &Digest) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.remove(key);
    }

    /// Ends all sessions of a user; how many there were.
    pub fn end_all(&self, user: UserId) -> usize {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let before = sessions.len();
        sessions.retain(|_key, session| session.user != user);
        before - sessions.len()
    }

    /// From now on, for a while and once, `code` is as good as the token of that digest for signing
    /// in.
    pub fn offer(&self, code: &str, shown: Digest, now: Timestamp) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| now < link.ends);
        if links.len() >= LINKS_MAX {
            links.remove(0);
        }
        let code = Digest::of(code.as_bytes());
        links.push(Link { code, shown, ends: now.after(LINK_LIFE) });
    }

    /// Takes the token that a code stands for. It never does so again.
    pub fn redeem(&self, code: &str, now: Timestamp) -> Option<Digest> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let code = Digest::of(code.as_bytes());
        let at = links.iter().position(|link| link.code == code)?;
        let link = links.remove(at);
        (now < link.ends).then_some(link.shown)
    }
}

/// What is taken away is in force before it is recorded, for those without a token, too.
impl Follower for Browsers {
    fn bar(&self, keys: &[FactKey]) {
        let mut barred = self.barred.lock().unwrap_or_else(PoisonError::into_inner);
        barred.extend(keys.iter().filter_map(|key| match key {
            FactKey::Owner(user) => Some(*user),
            FactKey::Token(_) | FactKey::Organization(_) => None,
        }));
    }

    fn apply(&self, _revision: Revision, facts: &[Fact]) {
        for fact in facts {
            let Fact::Owner(user, facts) = fact else { continue };
            if !facts.as_ref().is_some_and(|facts| facts.active) {
                let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
                sessions.retain(|_key, session| session.shown != Shown::Vouched(*user));
            }
            self.barred.lock().unwrap_or_else(PoisonError::into_inner).remove(user);
        }
    }
}

impl Session {
    fn is_over(&self, limits: &Limits, now: Timestamp) -> bool {
        now >= self.began.after(limits.life) || now >= self.last.after(limits.idle)
    }
}

fn end_idlest(sessions: &mut HashMap<Digest, Session>, among: impl Fn(&Session) -> bool) {
    let candidates = sessions.iter().filter(|(_key, session)| among(session));
    let idlest = candidates.min_by_key(|(_key, session)| session.last).map(|(key, _)| *key);
    if let Some(key) = idlest {
        sessions.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::OwnerFacts;
    use crate::id::{OrgId, TokenId};
    use crate::role::RoleSet;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + 1000 * seconds)
    }

    fn whose(user: u128) -> Whose {
        let (org, token) = (OrgId::from_bits(1), TokenId::from_bits(1));
        Whose { org, user: UserId::from_bits(user), token: Some(token) }
    }

    fn secret() -> Digest {
        Digest::of(b"a token")
    }

    fn token() -> Shown {
        Shown::Secret(secret())
    }

    #[test]
    fn a_session_is_over_when_idle_and_at_its_end() {
        let limits = Limits { idle: Duration::from_secs(10), life: Duration::from_secs(25) };
        let browsers = Browsers::new(limits);
        browsers.begin("key", token(), whose(1), at(0));
        assert_eq!(browsers.shown("another", at(0)), None);
        assert_eq!(browsers.shown("key", at(9)), Some(token()));
        // Whoever only glances does not keep it alive.
        browsers.begin("left", token(), whose(1), at(0));
        assert_eq!(browsers.glanced("left", at(9)), Some(token()));
        assert!(!browsers.lives("left", at(10)) && !browsers.lives("right", at(0)));
        assert_eq!(browsers.shown("key", at(18)), Some(token()));
        assert_eq!(browsers.shown("key", at(24)), Some(token()));
        assert_eq!(browsers.shown("key", at(25)), None);
        browsers.begin("key", token(), whose(1), at(0));
        assert_eq!(browsers.shown("key", at(10)), None);
        // Over is over, whatever the clock says.
        assert_eq!(browsers.shown("key", at(9)), None);
    }

    #[test]
    fn the_idlest_makes_room() {
        let browsers = Browsers::default();
        browsers.begin("theirs", token(), whose(2), at(0));
        for number in 0..SESSIONS_PER_USER_MAX {
            browsers.begin(&format!("key {number}"), token(), whose(1), at(1));
        }
        assert!(browsers.shown("key 0", at(2)).is_some());
        for number in 1..SESSIONS_PER_USER_MAX - 1 {
            assert!(browsers.shown(&format!("key {number}"), at(2)).is_some());
        }
        browsers.begin("one more", token(), whose(1), at(3));
        let last = format!("key {}", SESSIONS_PER_USER_MAX - 1);
        assert_eq!(browsers.shown(&last, at(3)), None);
        assert!(browsers.shown("key 0", at(3)).is_some());
        assert!(browsers.shown("theirs", at(3)).is_some());
        assert_eq!(browsers.end_all(UserId::from_bits(1)), SESSIONS_PER_USER_MAX);
        assert!(browsers.shown("theirs", at(3)).is_some());
    }

    #[test]
    fn memory_does_not_grow_with_users() {
        let browsers = Browsers::default();
        for user in 0..SESSIONS_MAX + 3 {
            browsers.begin(&user.to_string(), token(), whose(user as u128), at(0));
        }
        assert_eq!(browsers.sessions.lock().expect("no panic").len(), SESSIONS_MAX);
    }

    #[test]
    fn a_link_is_good_once_and_not_for_long() {
        let browsers = Browsers::default();
        browsers.offer("code", secret(), at(0));
        assert_eq!(browsers.redeem("edoc", at(1)), None);
        assert_eq!(browsers.redeem("code", at(599)), Some(secret()));
        assert_eq!(browsers.redeem("code", at(599)), None);
        browsers.offer("code", secret(), at(0));
        assert_eq!(browsers.redeem("code", at(600)), None);
        assert_eq!(browsers.redeem("code", at(1)), None);
    }

    fn facts(user: UserId, active: bool) -> Fact {
        let (org, roles) = (OrgId::from_bits(1), RoleSet::empty());
        let version = Revision(2);
        let facts = OwnerFacts { id: user, org, active, roles, operator: false, version };
        Fact::Owner(user, Some(facts))
    }

    #[test]
    fn whom_a_provider_vouched_for_is_out_with_the_commit_that_says_so() {
        let (one, other) = (UserId::from_bits(1), UserId::from_bits(2));
        for gone in [facts(one, false), Fact::Owner(one, None)] {
            let browsers = Browsers::default();
            browsers.begin("one", Shown::Vouched(one), whose(1), at(0));
            browsers.begin("by token", token(), whose(1), at(0));
            browsers.begin("other", Shown::Vouched(other), whose(2), at(0));
            browsers.bar(&[FactKey::Owner(one)]);
            assert_eq!(browsers.shown("one", at(1)), None, "before it is recorded");
            assert_eq!(browsers.glanced("one", at(1)), None);
            assert!(!browsers.lives("one", at(1)));
            assert_eq!(browsers.shown("by token", at(1)), Some(token()), "its facts say so");
            browsers.apply(Revision(2), &[gone]);
            browsers.apply(Revision(3), &[facts(one, true)]);
            assert_eq!(browsers.shown("one", at(1)), None, "it does not come back to life");
            assert_eq!(browsers.shown("other", at(1)), Some(Shown::Vouched(other)));
        }
    }

    #[test]
    fn who_loses_a_role_goes_on_without_it() {
        let one = UserId::from_bits(1);
        let browsers = Browsers::default();
        browsers.begin("one", Shown::Vouched(one), whose(1), at(0));
        browsers.bar(&[FactKey::Owner(one)]);
        browsers.apply(Revision(2), &[facts(one, true)]);
        assert_eq!(browsers.shown("one", at(1)), Some(Shown::Vouched(one)));
    }
}
