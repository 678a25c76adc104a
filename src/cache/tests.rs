use super::identity::IDENTITIES_DECLINED;
use super::*;
use crate::access::{
    Circumstances, Demand, Organizations, Reason, Requirement, SecretFacts, Verdict, decide,
};
use crate::change::{Change, Write};
use crate::org::{Governance, Organization, StatusChange, User, UserStatus};
use crate::policy::{Ignores, Policies};
use crate::role::RoleSet;
use crate::store::memory::MemoryStore;
use crate::store::{CommitError, Ledger};
use crate::time::Timestamp;
use crate::token::{ApiToken, NOTIFY_BEFORE_EXPIRY, Standing, TokenStatus};
use http::Method;

mod model;
mod readers;
mod succession;

const ORG: OrgId = OrgId::from_bits(1);
const EPOCH: Timestamp = Timestamp::from_millis(0);

fn digest(number: u64) -> Digest {
    Digest::of(&number.to_le_bytes())
}

fn user_id(number: u64) -> UserId {
    UserId::from_bits(u128::from(number) + 1)
}

fn change_of_status() -> StatusChange {
    StatusChange { at: EPOCH, by: None, reason: None, governed: false }
}

fn user(number: u64, active: bool) -> User {
    User {
        id: user_id(number),
        version: Revision(0),
        org: ORG,
        email: format!("u{number}@example.test"),
        name: format!("U {number}"),
        roles: RoleSet::empty(),
        operator: false,
        status: if active {
            UserStatus::Activated(None)
        } else {
            UserStatus::Deactivated(change_of_status())
        },
        created_at: EPOCH,
        external_id: None,
        modified_at: EPOCH,
    }
}

fn token(number: u64, owner: u64, standing: Standing) -> ApiToken {
    ApiToken {
        id: TokenId::from_bits(u128::from(number) + 1),
        version: Revision(0),
        org: ORG,
        owner: user_id(owner),
        created_by: None,
        minted_by: None,
        name: format!("T {number}"),
        scope: RoleSet::empty(),
        digest: digest(number),
        created_at: EPOCH,
        issued_at: EPOCH,
        expires_at: Timestamp::from_millis(1_000),
        ignores: Ignores::default(),
        status: match standing {
            Standing::Activated => TokenStatus::Activated(None),
            Standing::Deactivated => TokenStatus::Deactivated(change_of_status()),
            Standing::Revoked => TokenStatus::Revoked(change_of_status()),
        },
        former: Vec::new(),
        notify_before_expiry: NOTIFY_BEFORE_EXPIRY.to_vec(),
    }
}

fn organization() -> Organization {
    Organization {
        id: ORG,
        version: Revision(0),
        name: "O".into(),
        governance: Governance::Activated,
        policies: Policies::default(),
        created_at: EPOCH,
    }
}

/// What `access::decide` says to a plain request at the beginning of time.
fn verdict(evidence: &Evidence<'_>) -> Verdict {
    let demand = Demand {
        organizations: Organizations::Any,
        any_of: RoleSet::empty(),
        all_of: RoleSet::empty(),
    };
    let requirement = Requirement { methods: Vec::new(), certificate: false, demand: Some(demand) };
    decide(
        evidence,
        &Circumstances { method: &Method::GET, certificate: None },
        &requirement,
        EPOCH,
    )
}

/// Whether a request that finds this is permitted; `None` when the store has to be asked.
fn permitted(found: &Lookup) -> Option<bool> {
    let verdict = match found {
        Lookup::Hit(entry) => entry.with_evidence(verdict),
        Lookup::Unknown => verdict(&Evidence::Unknown),
        Lookup::Barred => verdict(&Evidence::Barred),
        Lookup::Miss => return None,
    };
    Some(matches!(verdict, Verdict::Permit(_)))
}

/// A store with an organization, three users, and tokens that belong to them in turn.
struct World {
    store: Arc<MemoryStore>,
    cache: Arc<Cache>,
}

impl World {
    const USERS: u64 = 3;

    /// The cache does not hear of changes by itself.
    fn apart(tokens: u64, entries_max: usize) -> Self {
        let store = MemoryStore::new();
        let mut writes = vec![Write::Organization(organization())];
        writes.extend((0..Self::USERS).map(|number| Write::User(user(number, true))));
        writes.extend(
            (0..tokens).map(|number| {
                Write::Token(token(number, number % Self::USERS, Standing::Activated))
            }),
        );
        let change = Change { writes, ..Change::default() };
        store.commit(change).wait().expect("the store is fresh");
        let facts: Arc<dyn Facts> = Arc::clone(&store) as _;
        let cache = Cache::new(facts, entries_max, 0x5eed).expect("memory does not fail");
        Self { store, cache }
    }

    fn following(tokens: u64, entries_max: usize) -> Self {
        let world = Self::apart(tokens, entries_max);
        world.store.follow(Arc::clone(&world.cache) as _);
        world
    }

    fn commit(&self, restrictive: bool, writes: Vec<Write>) -> Result<Revision, CommitError> {
        let change = Change { writes, restrictive, ..Change::default() };
        self.store.commit(change).wait().map(|committed| committed.revision)
    }

    fn set_token(&self, number: u64, standing: Standing) -> Result<Revision, CommitError> {
        let write = Write::Token(token(number, number % Self::USERS, standing));
        self.commit(standing != Standing::Activated, vec![write])
    }

    fn set_user(&self, number: u64, active: bool) -> Result<Revision, CommitError> {
        self.commit(!active, vec![Write::User(user(number, active))])
    }

    fn read(&self, number: u64) -> (Revision, Found) {
        let (revision, found) = self.store.lookup(&digest(number)).expect("memory does not fail");
        (revision, found.expect("the token was issued"))
    }

    fn fill(&self, number: u64) -> Result<(), Refused> {
        let (revision, found) = self.read(number);
        self.cache.fill(digest(number), revision, found)
    }

    fn entry(&self, number: u64) -> Arc<Entry> {
        let found = self.cache.lookup(&digest(number));
        let Lookup::Hit(entry) = found else { panic!("no entry for {number}: {found:?}") };
        entry
    }

    fn holds(&self, number: u64) -> bool {
        self.cache.entries.contains_key(&digest(number))
    }

    /// What a request with the token comes to; filled first when it is not there.
    fn reason(&self, number: u64) -> Option<Reason> {
        if !self.holds(number) {
            assert!(self.fill(number).is_ok(), "a fresh read of {number} is taken");
        }
        match self.entry(number).with_evidence(verdict) {
            Verdict::Permit(_) => None,
            Verdict::Deny(reason) => Some(reason),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Cache and store hold each other.
        self.store.close();
    }
}

fn token_key(number: u64) -> FactKey {
    FactKey::Token(digest(number))
}

fn owner_key(number: u64) -> FactKey {
    FactKey::Owner(user_id(number))
}

#[test]
fn a_bar_refuses_at_once_also_who_holds_the_entry_already() {
    let world = World::apart(4, 10);
    for number in 0..4 {
        assert_eq!(world.reason(number), None);
    }
    let held = world.entry(0);
    world.cache.bar(&[token_key(0)]);
    assert_eq!(world.reason(0), Some(Reason::Barred));
    assert!(matches!(held.with_evidence(verdict), Verdict::Deny(Reason::Barred)));
    assert_eq!(world.reason(3), None, "another token of the same owner is not concerned");
    world.cache.bar(&[owner_key(1)]);
    assert_eq!(world.reason(1), Some(Reason::Barred));
    assert_eq!(world.reason(2), None);
}

#[test]
fn what_is_barred_before_it_is_known_cannot_be_filled() {
    let world = World::apart(2, 10);
    world.cache.bar(&[token_key(0), owner_key(1)]);
    assert!(matches!(world.cache.lookup(&digest(0)), Lookup::Barred));
    assert!(matches!(world.fill(0), Err(Refused::Barred)));
    assert!(matches!(world.cache.lookup(&digest(0)), Lookup::Barred));
    assert_eq!(world.reason(1), Some(Reason::Barred), "through the bar of its owner");
}

/// Looks, at each step of a commit, at what the store and the cache say of token 0.
struct Onlooker {
    store: Arc<MemoryStore>,
    cache: Arc<Cache>,
    seen: Mutex<Vec<(&'static str, Standing, Option<bool>)>>,
}

impl Onlooker {
    fn look(&self, step: &'static str) {
        let (_revision, found) = self.store.lookup(&digest(0)).expect("memory does not fail");
        let standing = found.expect("the token was issued").token.standing;
        let permitted = permitted(&self.cache.lookup(&digest(0)));
        self.seen.lock().expect("nobody panics").push((step, standing, permitted));
    }
}

impl Follower for Onlooker {
    fn bar(&self, _keys: &[FactKey]) {
        self.look("bar");
    }

    fn apply(&self, _revision: Revision, _facts: &[Fact]) {
        self.look("apply");
    }
}

#[test]
fn a_deactivation_is_in_force_before_it_is_committed() {
    let world = World::following(1, 10);
    assert!(world.fill(0).is_ok());
    let (store, cache) = (Arc::clone(&world.store), Arc::clone(&world.cache));
    let onlooker = Arc::new(Onlooker { store, cache, seen: Mutex::default() });
    world.store.follow(Arc::clone(&onlooker) as _);
    world.set_token(0, Standing::Deactivated).expect("it is written");
    world.set_token(0, Standing::Activated).expect("it is written");
    let seen = onlooker.seen.lock().expect("nobody panics").clone();
    assert_eq!(
        seen,
        [
            ("bar", Standing::Activated, Some(false)),
            ("apply", Standing::Deactivated, Some(false)),
            ("apply", Standing::Activated, Some(true)),
        ]
    );
}

#[test]
fn an_activation_is_not_in_force_before_it_is_committed() {
    let world = World::apart(1, 10);
    world.set_token(0, Standing::Deactivated).expect("it is written");
    assert_eq!(world.reason(0), Some(Reason::Deactivated));
    world.cache.bar(&[]);
    assert_eq!(world.reason(0), Some(Reason::Deactivated));
    let revision = world.set_token(0, Standing::Activated).expect("it is written");
    assert_eq!(world.reason(0), Some(Reason::Deactivated), "not before it is applied");
    let (_revision, found) = world.read(0);
    world.cache.apply(revision, &[Fact::Token(digest(0), Some(found.token))]);
    assert_eq!(world.reason(0), None);
}

#[test]
fn the_bar_stays_when_the_commit_fails() {
    let world = World::following(8, 2);
    assert!(world.fill(0).is_ok());
    world.store.fail_next_commit(&CommitError::Full);
    let writes = vec![
        Write::Token(token(0, 0, Standing::Deactivated)),
        Write::Token(token(3, 0, Standing::Revoked)),
        Write::User(user(1, false)),
    ];
    assert_eq!(world.commit(true, writes), Err(CommitError::Full));
    assert_eq!(world.read(0).1.token.standing, Standing::Activated, "nothing was written");
    // However often others come and go meanwhile.
    for number in [2, 5, 2, 5, 6, 2, 5] {
        let _pressed = world.fill(number);
        assert_eq!(permitted(&world.cache.lookup(&digest(0))), Some(false));
        assert_eq!(permitted(&world.cache.lookup(&digest(3))), Some(false));
        for owned in [1, 4, 7] {
            let _refused = world.fill(owned);
            let found = permitted(&world.cache.lookup(&digest(owned)));
            assert!(found != Some(true), "token {owned} of the barred owner");
        }
    }
}

#[test]
fn a_fill_older_than_what_was_applied_is_refused() {
    let world = World::following(1, 10);
    let (revision, found) = world.read(0);
    world.set_token(0, Standing::Deactivated).expect("it is written");
    let stale = world.cache.fill(digest(0), revision, found);
    assert!(matches!(stale, Err(Refused::Stale)));
    assert!(!world.holds(0));
    assert_eq!(world.reason(0), Some(Reason::Deactivated), "a new read is taken");
}

#[test]
fn a_fill_never_brings_back_what_was_evicted() {
    let world = World::following(3, 1);
    assert!(world.fill(0).is_ok());
    let (revision, found) = world.read(0);
    assert!(world.fill(1).is_ok());
    assert!(!world.holds(0), "evicted");
    world.set_token(0, Standing::Revoked).expect("it is written");
    let stale = world.cache.fill(digest(0), revision, found.clone());
    assert!(matches!(stale, Err(Refused::Stale)));
    // Neither after it has come and gone once more.
    assert_eq!(world.reason(0), Some(Reason::Revoked));
    assert!(world.fill(2).is_ok() && world.fill(1).is_ok());
    assert!(!world.holds(0), "evicted");
    assert!(matches!(world.cache.fill(digest(0), revision, found), Err(Refused::Stale)));
}

#[test]
fn a_fill_never_brings_back_an_older_owner() {
    let world = World::following(6, 10);
    let (revision, found) = world.read(0);
    world.set_user(0, false).expect("it is written");
    let stale = world.cache.fill(digest(0), revision, found.clone());
    assert!(matches!(stale, Err(Refused::Stale)), "nothing is known of the owner");
    // With the owner's cell there, the older read of the token itself is good: nobody wrote it.
    assert_eq!(world.reason(3), Some(Reason::OwnerDeactivated));
    assert!(world.cache.fill(digest(0), revision, found).is_ok());
    assert_eq!(world.reason(0), Some(Reason::OwnerDeactivated), "by the cell, not by the read");
}

#[test]
fn an_older_fill_does_not_replace_an_entry() {
    let world = World::following(1, 10);
    let (revision, found) = world.read(0);
    assert!(world.fill(0).is_ok());
    world.set_token(0, Standing::Deactivated).expect("it is written");
    assert!(world.cache.fill(digest(0), revision, found).is_ok(), "there is nothing to do");
    assert_eq!(world.reason(0), Some(Reason::Deactivated));
}

#[test]
fn one_change_of_an_owner_changes_all_entries() {
    let world = World::following(9, 10);
    for number in 0..9 {
        assert_eq!(world.reason(number), None);
    }
    let (one, other) = (world.entry(1), world.entry(7));
    assert!(Arc::ptr_eq(&one.owner, &other.owner) && Arc::ptr_eq(&one.org, &other.org));
    world.set_user(1, false).expect("it is written");
    for number in 0..9 {
        let expected = (number % 3 == 1).then_some(Reason::OwnerDeactivated);
        assert_eq!(world.reason(number), expected, "token {number}");
    }
    assert!(matches!(one.with_evidence(verdict), Verdict::Deny(Reason::OwnerDeactivated)));
    world.set_user(1, true).expect("it is written");
    for number in 0..9 {
        assert_eq!(world.reason(number), None, "token {number}");
    }
    assert!(Arc::ptr_eq(&one, &world.entry(1)), "no entry was made anew");
}

#[test]
fn a_removed_owner_stays_barred_for_who_holds_the_entry() {
    let world = World::following(3, 10);
    assert_eq!(world.reason(0), None);
    let held = world.entry(0);
    let writes = vec![Write::Token(token(0, 0, Standing::Revoked)), Write::RemoveUser(user_id(0))];
    world.commit(true, writes).expect("it is written");
    assert!(matches!(held.with_evidence(verdict), Verdict::Deny(Reason::Barred)));
    assert!(!world.cache.owners.contains_key(&user_id(0)));
    // Whoever comes later hears that the token is over, not to come back in a moment.
    assert_eq!(world.reason(0), Some(Reason::Revoked));
}

#[test]
fn a_token_that_changes_hands_follows_its_new_owner() {
    let world = World::following(3, 10);
    assert_eq!(world.reason(0), None);
    let held = world.entry(0);
    let writes =
        vec![Write::Token(token(0, 1, Standing::Activated)), Write::RemoveUser(user_id(0))];
    world.commit(true, writes).expect("it is written");
    assert!(matches!(held.with_evidence(verdict), Verdict::Deny(_)), "the entry is another's");
    assert_eq!(world.reason(0), None, "the heir's token lives");
    world.set_user(1, false).expect("it is written");
    assert_eq!(world.reason(0), Some(Reason::OwnerDeactivated));
}

#[test]
fn a_digest_that_is_given_up_is_refused() {
    let world = World::following(3, 10);
    assert_eq!(world.reason(0), None);
    let held = world.entry(0);
    let rotated = ApiToken { digest: digest(100), ..token(0, 0, Standing::Activated) };
    world.commit(true, vec![Write::Token(rotated)]).expect("it is written");
    assert!(matches!(held.with_evidence(verdict), Verdict::Deny(Reason::Barred)));
    assert!(!world.holds(0));
    assert_eq!(world.reason(100), None, "the new one is good");
}

#[test]
fn cells_go_with_their_last_entry_and_not_before() {
    let world = World::apart(8, 2);
    let cells = |number| world.cache.owners.contains_key(&user_id(number));
    assert!(world.fill(0).is_ok() && world.fill(3).is_ok());
    assert!(cells(0));
    assert!(world.fill(1).is_ok());
    assert!(!world.holds(0) && world.holds(3) && cells(0) && cells(1));
    assert!(world.fill(4).is_ok());
    assert!(!world.holds(3) && !cells(0) && cells(1), "with the last entry of owner 0");
    assert_eq!(world.cache.orgs.len(), 1);
    assert_eq!(world.cache.owners.len(), 1);
}

#[test]
fn cells_go_with_an_entry_whose_digest_is_given_up() {
    let world = World::following(3, 10);
    assert!(world.fill(0).is_ok());
    let rotated = ApiToken { digest: digest(100), ..token(0, 0, Standing::Activated) };
    world.commit(true, vec![Write::Token(rotated)]).expect("it is written");
    assert!(world.cache.is_empty() && world.cache.owners.is_empty() && world.cache.orgs.is_empty());
}

#[test]
fn a_barred_cell_is_kept_without_an_entry() {
    let world = World::apart(8, 1);
    assert!(world.fill(0).is_ok());
    world.cache.bar(&[owner_key(0)]);
    for number in [1, 2, 4, 5] {
        let _pressed = world.fill(number);
    }
    assert_eq!(world.reason(0), Some(Reason::Barred));
}

#[test]
fn barred_entries_are_not_evicted() {
    let world = World::apart(40, 4);
    for number in 0..4 {
        assert!(world.fill(number).is_ok());
    }
    world.cache.bar(&[token_key(1), token_key(30)]);
    for number in 4..40 {
        let _taken = world.fill(number);
    }
    assert_eq!(permitted(&world.cache.lookup(&digest(1))), Some(false));
    assert_eq!(permitted(&world.cache.lookup(&digest(30))), Some(false));
    assert!(world.cache.len() <= 5, "four, and the one that was barred without being known");
    // All barred: the newest goes, and the loop ends.
    let world = World::apart(10, 2);
    assert!(world.fill(0).is_ok() && world.fill(1).is_ok());
    world.cache.bar(&[token_key(0), token_key(1)]);
    assert!(world.fill(2).is_ok());
    assert!(world.holds(0) && world.holds(1));
}

#[test]
fn the_cache_is_bounded_and_gives_a_second_chance() {
    let world = World::apart(100, 3);
    for number in 0..3 {
        assert!(world.fill(number).is_ok());
    }
    // Used since it came; the others were not.
    let _used = world.entry(0);
    assert!(world.fill(3).is_ok());
    assert!(world.holds(0) && !world.holds(1) && world.holds(2) && world.holds(3));
    assert_eq!((world.cache.len(), world.cache.evictions()), (3, 1));
    // The chance is used up.
    assert!(world.fill(4).is_ok() && world.fill(5).is_ok() && world.fill(6).is_ok());
    assert!(!world.holds(0));
    for number in 7..100 {
        assert!(world.fill(number).is_ok());
        let _used = world.cache.lookup(&digest(number));
        assert_eq!(world.cache.len(), 3, "also when all were just used");
        assert!(world.cache.hand.lock().expect("nobody panics").len() <= 3);
    }
}

#[test]
fn a_flood_of_invented_tokens_leaves_no_trace() {
    let world = World::apart(3, 10);
    let asked = (1_000..101_000).filter(|&number| {
        let found = world.cache.lookup(&digest(number));
        assert!(matches!(found, Lookup::Unknown | Lookup::Miss));
        matches!(found, Lookup::Miss)
    });
    assert!(asked.count() < 300, "one in a thousand at most reaches the store");
    assert!(world.cache.is_empty() && world.cache.owners.is_empty());
}

#[test]
fn a_new_token_is_known_when_it_is_acknowledged() {
    let world = World::following(0, 10);
    for number in 0..500 {
        assert!(matches!(world.cache.lookup(&digest(number)), Lookup::Unknown));
        world.set_token(number, Standing::Activated).expect("it is written");
        assert!(matches!(world.cache.lookup(&digest(number)), Lookup::Miss), "{number}");
    }
}

/// Fills the filter with digests that the store does not have.
fn overfill(cache: &Cache) {
    let mut invented = 1_000_000;
    while !cache.filter.load().is_full() {
        cache.learn(&digest(invented));
        invented += 1;
    }
}

#[test]
fn a_full_filter_is_replaced_by_a_larger_one() {
    let world = World::following(50, 10);
    assert!(world.cache.grow_filter().is_ok());
    overfill(&world.cache);
    assert!(world.cache.grow_filter().is_ok());
    assert!(!world.cache.filter.load().is_full());
    assert!(world.cache.next_filter.load().is_none());
    for number in 0..50 {
        assert!(matches!(world.cache.lookup(&digest(number)), Lookup::Miss));
    }
    assert!(matches!(world.cache.lookup(&digest(1_000_000)), Lookup::Unknown), "forgotten");
    world.set_token(50, Standing::Activated).expect("it is written");
    assert!(matches!(world.cache.lookup(&digest(50)), Lookup::Miss));
}

#[test]
fn changes_of_a_known_token_do_not_fill_the_filter() {
    let world = World::apart(1, 10);
    let before = world.cache.filter.load().known();
    for _ in 0..70_000 {
        world.cache.learn(&digest(0));
    }
    assert_eq!(world.cache.filter.load().known(), before);
}

/// A store in which a token is issued, or which breaks, while all digests are being read.
struct Disturbed {
    issued: Mutex<Option<Arc<Cache>>>,
    breaks: bool,
}

impl Facts for Disturbed {
    fn lookup(&self, _digest: &Digest) -> Result<(Revision, Option<Found>), StoreError> {
        Ok((Revision(1), None))
    }

    fn visit_digests(&self, visit: &mut dyn FnMut(&Digest)) -> Result<u64, StoreError> {
        visit(&digest(1));
        let Some(cache) = self.issued.lock().expect("nobody panics").take() else { return Ok(1) };
        let issued = TokenFacts::from(&token(2, 0, Standing::Activated));
        // In no snapshot that was taken before now.
        cache.apply(Revision(2), &[Fact::Token(digest(2), Some(issued))]);
        if self.breaks { Err(StoreError("broken".into())) } else { Ok(1) }
    }
}

#[test]
fn a_token_that_is_issued_while_the_filter_grows_is_known() {
    for breaks in [false, true] {
        let facts = Arc::new(Disturbed { issued: Mutex::default(), breaks });
        let cache = Cache::new(Arc::clone(&facts) as _, 10, 1).expect("it does not break yet");
        overfill(&cache);
        *facts.issued.lock().expect("nobody panics") = Some(Arc::clone(&cache));
        assert_eq!(cache.grow_filter().is_err(), breaks);
        assert_eq!(cache.filter.load().is_full(), breaks, "after a failure the old one stays");
        assert!(cache.next_filter.load().is_none());
        for number in [1, 2] {
            assert!(matches!(cache.lookup(&digest(number)), Lookup::Miss), "{number}");
        }
    }
}

#[test]
fn an_entry_is_small() {
    assert!(size_of::<Entry>() <= 192, "{}", size_of::<Entry>());
}

/// Offers an identity of so many bytes as often as it is declined, and once more.
fn offer(world: &World, entry: &Entry, bytes: usize) {
    for _ in 0..=IDENTITIES_DECLINED {
        world.cache.keep_identity(entry, identity_of(bytes));
    }
}

fn identity_of(bytes: usize) -> Identity {
    Identity::new(Revision(1), vec![0; bytes].into_boxed_slice(), false)
}

fn kept(entry: &Entry) -> Option<usize> {
    entry.identity().as_ref().map(|kept| kept.fields.len())
}

#[test]
fn the_identity_of_a_token_that_is_hardly_used_is_not_kept() {
    let world = World::apart(3, 10);
    assert!(world.fill(1).is_ok());
    let entry = world.entry(1);
    let places = world.cache.places_free();
    for _ in 0..IDENTITIES_DECLINED {
        let identity = world.cache.keep_identity(&entry, identity_of(1));
        assert_eq!(kept(&entry), None);
        assert_eq!(Arc::strong_count(&identity), 1);
    }
    for bytes in [1, 2] {
        world.cache.keep_identity(&entry, identity_of(bytes));
        assert_eq!(kept(&entry), Some(bytes));
        assert_eq!(world.cache.places_free(), places - 1);
    }
}

#[test]
fn identities_take_no_more_than_their_places_and_give_them_back() {
    let world = World::apart(4, 10);
    for number in 1..=3 {
        assert!(world.fill(number).is_ok());
    }
    world.cache.leave_places(1);
    offer(&world, &world.entry(1), 1);
    offer(&world, &world.entry(2), 2);
    assert_eq!(kept(&world.entry(1)), Some(1));
    assert_eq!(kept(&world.entry(2)), None, "there was one place");
    // One that is made anew stays in its place.
    offer(&world, &world.entry(1), 10);
    assert_eq!(kept(&world.entry(1)), Some(10));
    // Who goes leaves it to others.
    world.entry(1).identity.store(None);
    offer(&world, &world.entry(3), 3);
    assert_eq!(kept(&world.entry(3)), Some(3));
    assert_eq!(world.cache.places_free(), 0);
}
