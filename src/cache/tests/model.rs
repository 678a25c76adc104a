//! The cache against a simple model, under random interleavings.
//!
//! A group of changes goes through its steps (bar, commit, apply one by one, acknowledge) like the
//! writer's; between any two of them snapshots of any age arrive as fills, tokens are looked up, and
//! a cache of a few entries evicts.

use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

const TOKENS: u64 = 8;
const USERS: u64 = 3;

#[derive(Clone, Debug)]
enum Step {
    /// Begins a group of changes.
    Begin(Vec<Alteration>),
    /// The group under way takes its next step.
    Proceed,
    /// The commit of the group fails, if it was not committed yet: the writer stops for good.
    Fail,
    /// A fill from a snapshot so many revisions old.
    Fill(u64, usize),
    /// A request.
    Look(u64),
}

#[derive(Clone, Copy, Debug)]
enum Alteration {
    Token(u64, Standing),
    User(u64, bool),
}

impl Alteration {
    fn is_restrictive(self) -> bool {
        match self {
            Self::Token(_, standing) => standing != Standing::Activated,
            Self::User(_, active) => !active,
        }
    }

    fn key(self) -> FactKey {
        match self {
            Self::Token(number, _) => token_key(number),
            Self::User(number, _) => owner_key(number),
        }
    }
}

/// What a store of one revision says.
#[derive(Clone, Debug)]
struct State {
    tokens: Vec<(Standing, Revision)>,
    users: Vec<(bool, Revision)>,
}

impl State {
    fn token(&self, number: u64) -> TokenFacts {
        let (standing, version) = self.tokens[index(number)];
        TokenFacts { version, ..TokenFacts::from(&token(number, number % USERS, standing)) }
    }

    fn owner(&self, number: u64) -> OwnerFacts {
        let (active, version) = self.users[index(number)];
        OwnerFacts { version, ..OwnerFacts::from(&user(number, active)) }
    }

    fn is_live(&self, number: u64) -> bool {
        self.tokens[index(number)].0 == Standing::Activated && self.users[index(number % USERS)].0
    }

    fn altered(&self, alteration: Alteration, revision: Revision) -> Self {
        let mut next = self.clone();
        match alteration {
            Alteration::Token(number, standing) => {
                next.tokens[index(number)] = (standing, revision);
            }
            Alteration::User(number, active) => next.users[index(number)] = (active, revision),
        }
        next
    }

    fn fact(&self, alteration: Alteration) -> Fact {
        match alteration {
            Alteration::Token(number, _) => Fact::Token(digest(number), Some(self.token(number))),
            Alteration::User(number, _) => Fact::Owner(user_id(number), Some(self.owner(number))),
        }
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("a small number")
}

/// Nothing is asked of it: fills are made by hand.
struct Empty;

impl Facts for Empty {
    fn lookup(&self, _digest: &Digest) -> Result<(Revision, Option<Found>), StoreError> {
        Ok((Revision(0), None))
    }

    fn visit_digests(&self, visit: &mut dyn FnMut(&Digest)) -> Result<u64, StoreError> {
        (0..TOKENS).for_each(|number| visit(&digest(number)));
        Ok(TOKENS)
    }
}

struct Model {
    cache: Arc<Cache>,
    /// Every committed state; its place is its revision.
    states: Vec<State>,
    /// How many states are acknowledged.
    acknowledged: usize,
    group: Vec<Alteration>,
    committed: bool,
    /// Of the group's changes.
    applied: usize,
    barred: HashSet<FactKey>,
    failed: bool,
}

impl Model {
    fn new() -> Self {
        let first = State {
            tokens: vec![(Standing::Activated, Revision(0)); index(TOKENS)],
            users: vec![(true, Revision(0)); index(USERS)],
        };
        Self {
            cache: Cache::new(Arc::new(Empty), 3, 0xfeed).expect("it does not fail"),
            states: vec![first],
            acknowledged: 1,
            group: Vec::new(),
            committed: false,
            applied: 0,
            barred: HashSet::new(),
            failed: false,
        }
    }

    fn begin(&mut self, group: Vec<Alteration>) {
        if self.failed || !self.group.is_empty() {
            return;
        }
        for alteration in group.iter().filter(|alteration| alteration.is_restrictive()) {
            self.cache.bar(&[alteration.key()]);
            self.barred.insert(alteration.key());
        }
        self.group = group;
        self.committed = false;
        self.applied = 0;
    }

    fn proceed(&mut self) {
        if self.group.is_empty() {
            return;
        }
        if !self.committed {
            for &alteration in &self.group {
                let revision = Revision(self.states.len() as u64);
                let last = &self.states[self.states.len() - 1];
                self.states.push(last.altered(alteration, revision));
            }
            self.committed = true;
        } else if let Some(&alteration) = self.group.get(self.applied) {
            let at = self.acknowledged + self.applied;
            self.cache.apply(Revision(at as u64), &[self.states[at].fact(alteration)]);
            self.barred.remove(&alteration.key());
            self.applied += 1;
        } else {
            self.acknowledged = self.states.len();
            self.group.clear();
        }
    }

    fn fail(&mut self) {
        if !self.group.is_empty() && !self.committed {
            self.failed = true;
            self.group.clear();
        }
    }

    fn fill(&self, number: u64, age: usize) {
        let at = self.states.len() - 1 - age.min(self.states.len() - 1);
        let state = &self.states[at];
        let found = Found {
            token: state.token(number),
            secret: SecretFacts::Present,
            owner: state.owner(number % USERS),
            org: OrgFacts { id: ORG, version: Revision(0) },
        };
        let held_before = self.cache.entries.contains_key(&digest(number));
        let filled = self.cache.fill(digest(number), Revision(at as u64), found);
        if at + 1 == self.states.len() {
            assert!(!matches!(filled, Err(Refused::Stale)), "nothing is newer");
        }
        let entries = self.cache.entries.iter();
        let evictable = entries.filter(|held| match held.value() {
            Held::Barred => false,
            Held::Ready(entry) => !entry.barred.load(Ordering::Relaxed),
        });
        // What was barred while others came may be one too many, until the next one comes.
        assert!(held_before || evictable.count() <= 3);
    }

    fn look(&self, number: u64) {
        let found = self.cache.lookup(&digest(number));
        assert!(!matches!(found, Lookup::Unknown), "the filter knows every digest");
        let Some(permitted) = permitted(&found) else { return };
        let keys = [token_key(number), owner_key(number % USERS)];
        if keys.iter().any(|key| self.barred.contains(key)) {
            assert!(!permitted, "token {number} is barred");
            return;
        }
        let acknowledged = &self.states[self.acknowledged - 1];
        let under_way = self.group.iter().any(|alteration| keys.contains(&alteration.key()));
        if under_way {
            let states = &self.states[self.acknowledged - 1..];
            assert!(
                !permitted || states.iter().any(|state| state.is_live(number)) || states.len() > 2,
                "token {number} was never live since the last acknowledgement"
            );
        } else {
            assert_eq!(permitted, acknowledged.is_live(number), "token {number}");
        }
    }
}

fn alteration() -> impl Strategy<Value = Alteration> {
    let standing = prop_oneof![
        2 => Just(Standing::Activated),
        2 => Just(Standing::Deactivated),
        1 => Just(Standing::Revoked),
    ];
    prop_oneof![
        3 => (0..TOKENS, standing).prop_map(|(number, to)| Alteration::Token(number, to)),
        1 => (0..USERS, any::<bool>()).prop_map(|(number, to)| Alteration::User(number, to)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => prop::collection::vec(alteration(), 1..4).prop_map(Step::Begin),
        40 => Just(Step::Proceed),
        1 => Just(Step::Fail),
        50 => (0..TOKENS, 0_usize..6).prop_map(|(number, age)| Step::Fill(number, age)),
        50 => (0..TOKENS).prop_map(Step::Look),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_cache_agrees_with_the_model(steps in prop::collection::vec(step(), 1..250)) {
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Begin(group) => model.begin(group),
                Step::Proceed => model.proceed(),
                Step::Fail => model.fail(),
                Step::Fill(number, age) => model.fill(number, age),
                Step::Look(number) => model.look(number),
            }
            for number in 0..TOKENS {
                // Looks at everything without using it, so that eviction stays as it is.
                if let Some(held) = model.cache.entries.get(&digest(number))
                    && let Held::Ready(entry) = held.value()
                {
                    let entry = Arc::clone(entry);
                    drop(held);
                    let referenced = entry.referenced.load(Ordering::Relaxed);
                    model.look(number);
                    entry.referenced.store(referenced, Ordering::Relaxed);
                }
            }
        }
    }
}
