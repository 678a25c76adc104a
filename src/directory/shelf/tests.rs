use super::rows::light;
use super::*;
use crate::cache::Entry;
use crate::change::{Change, Write};
use crate::directory::{Asked, Column as _, Sort, ViolationFilter, tokens};
use crate::directory::{Overview, TokenColumn, TokenFilter};
use crate::id::UserId;
use crate::org::{StatusChange, User, UserStatus};
use crate::policy::{Policies, TtlPolicy};
use crate::role::{RoleId, RoleSet};
use crate::store::Ledger as _;
use crate::store::memory::MemoryStore;
use crate::time::{Ttl, Unit};
use crate::token::{ApiToken, TokenState, TokenStatus, Use};
use crate::usage::Board;
use proptest::prelude::*;
use std::thread;
use std::time::Duration;

const ORG: OrgId = OrgId::from_bits(7);
const NOW: i64 = 1_800_000_000_000;
const DAY: i64 = 24 * 60 * 60 * 1000;

fn at(days: i64) -> Timestamp {
    Timestamp::from_millis(NOW + DAY * days)
}

/// A store, what is used meanwhile, and two ways to look at both.
struct World {
    store: Arc<MemoryStore>,
    board: Arc<Board<Entry>>,
    shelves: Arc<Shelves>,
    /// Nothing gets onto these.
    none: Shelves,
}

impl World {
    fn new() -> Self {
        let store = MemoryStore::new();
        let shelves = Arc::new(Shelves::from(1, 100));
        store.follow(Arc::clone(&shelves) as _);
        let board = Arc::new(Board::new(1));
        let listening = Arc::clone(&shelves);
        board.listen(Box::new(move |uses| listening.used(uses)));
        let world = Self { store, board, shelves, none: Shelves::of(0) };
        let on =
            |days| TtlPolicy { active: true, ttl: Ttl::new(days, Unit::Days), enforcement: None };
        world.write(vec![
            Write::Organization(Organization {
                id: ORG,
                version: Revision::default(),
                name: "Acme".to_owned(),
                governance: Governance::Activated,
                policies: policies(on),
                created_at: at(-90),
            }),
            Write::User(user(0)),
            Write::User(user(1)),
        ]);
        world
    }

    fn write(&self, writes: Vec<Write>) {
        self.store.commit(Change { writes, ..Change::default() }).wait().expect("committed");
    }

    fn room<'a>(&'a self, shelves: &'a Shelves) -> Room<'a> {
        Room { ledger: &*self.store, facts: &*self.store, uses: &*self.board, shelves }
    }

    fn look(&self, shelves: &Shelves, query: &TokenQuery) -> (Page<TokenRow>, Census) {
        tokens(self.room(shelves), query).expect("readable")
    }

    fn overview(&self, shelves: &Shelves) -> Overview {
        let TokenQuery { policies, now, .. } = FIRST.query();
        Overview::of(self.room(shelves), ORG, &policies, now).expect("readable")
    }

    /// Does what is due, here and now.
    fn tend(&self) {
        loop {
            let due = lock(&self.shelves.state).due.pop_first();
            let Some((org, asked_at)) = due else { return };
            self.shelves.renew(self.room(&self.shelves), org, asked_at).expect("readable");
        }
    }

    /// A page, from the shelf.
    fn shown(&self, query: &TokenQuery) -> (Page<TokenRow>, Census) {
        let room = self.room(&self.shelves);
        self.shelves.page(room, query).expect("readable").expect("it is on a shelf")
    }

    /// Has the shelf filled anew when it is tended next.
    fn spill(&self) {
        if let Some(shelf) = self.shelves.find(ORG) {
            lock(&shelf.news).is_too_much = true;
        }
        self.shelves.want(ORG, None);
    }

    /// Half of what may happen, whoever tends the shelf.
    fn go(&self, step: &Step) {
        match step {
            Step::Make(made) => self.write(vec![Write::Token(made.token())]),
            Step::Rename(number) => {
                let user = User { name: "Bea".to_owned(), ..user((*number).into()) };
                self.write(vec![Write::User(user)]);
            }
            Step::Use(id, day) => {
                let token = TokenId::from_bits(u128::from(*id) + 1);
                // What is used is there.
                if self.store.token(token).expect("readable").is_some() {
                    let usage = Usage::once(at((*day).into()));
                    self.board.note(Use { token, usage, needs: Vec::new() });
                }
            }
            Step::Flush => _ = self.board.flush(&*self.store).expect("written"),
            Step::Spill => self.spill(),
            Step::Look(_) => {}
        }
    }
}

fn policies(on: impl Fn(u32) -> TtlPolicy) -> Policies {
    Policies { idle_ttl: on(10), max_ttl: on(40) }
}

fn user(number: u128) -> User {
    User {
        id: UserId::from_bits(number + 1),
        version: Revision::default(),
        org: ORG,
        email: format!("user{number}@example.com"),
        name: ["Zoe", "ada"][usize::from(number == 1)].to_owned(),
        roles: RoleSet::default(),
        operator: false,
        status: UserStatus::Activated(None),
        created_at: at(-90),
        external_id: None,
        modified_at: at(-90),
    }
}

/// A token of which all depends on a few small numbers.
#[derive(Clone, Copy, Debug)]
struct Made {
    id: u8,
    owner: u8,
    name: u8,
    life: u8,
    standing: u8,
    rotated: bool,
}

impl Made {
    fn token(self) -> ApiToken {
        let created_at = at(-i64::from(self.id % 50));
        let secret = Digest::of(&[self.id]);
        let change = StatusChange { at: created_at, by: None, reason: None, governed: false };
        let roles = [RoleId::ORG_MEMBER, RoleId::ORG_ADMIN];
        ApiToken {
            id: TokenId::from_bits(u128::from(self.id) + 1),
            owner: UserId::from_bits(u128::from(self.owner % 2) + 1),
            created_by: (self.owner > 2).then(|| UserId::from_bits(u128::from(self.name % 2) + 1)),
            name: ["Build", "build", "Deploy", "\u{130}x"][usize::from(self.name % 4)].to_owned(),
            scope: roles.into_iter().take(usize::from(self.name % 3)).collect(),
            digest: if self.rotated { Digest::of(&[self.id, 1]) } else { secret },
            created_at,
            issued_at: created_at,
            expires_at: created_at.after(Duration::from_hours(24 * u64::from(self.life % 80))),
            status: match self.standing % 3 {
                0 => TokenStatus::Activated(None),
                1 => TokenStatus::Deactivated(change),
                _ => TokenStatus::Revoked(change),
            },
            former: if self.rotated {
                vec![crate::token::FormerSecret {
                    digest: secret,
                    rotated_at: at(-2),
                    ends_at: at(-1),
                    until_first_use: false,
                }]
            } else {
                Vec::new()
            },
            ..light(ORG)
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Make(Made),
    Rename(u8),
    Use(u8, i8),
    Flush,
    Spill,
    Look(Look),
}

#[derive(Clone, Debug)]
struct Look {
    column: usize,
    descending: bool,
    limit: usize,
    filter: u8,
}

impl Look {
    fn query(&self) -> TokenQuery {
        let (_, column) = TokenColumn::ALL[self.column % TokenColumn::ALL.len()];
        let asked = Asked::first(Sort { column, descending: self.descending }, self.limit);
        let bit = |bit: u8| self.filter & 1 << bit != 0;
        let filter = TokenFilter {
            state: bit(0).then_some(TokenState::Activated),
            violation: bit(1).then_some(ViolationFilter::Any),
            search: bit(2).then(|| if bit(0) { "ada" } else { "build" }.to_owned()),
            role: bit(3).then_some(RoleId::ORG_MEMBER),
            expires_before: bit(4).then(|| at(20)),
            used_before: bit(5).then(|| at(-5)),
            never_used: bit(6).then(|| bit(5)),
        };
        let on =
            |days| TtlPolicy { active: true, ttl: Ttl::new(days, Unit::Days), enforcement: None };
        TokenQuery { org: ORG, owner: None, filter, policies: policies(on), asked, now: at(0) }
    }
}

fn made() -> impl Strategy<Value = Made> {
    (0_u8..30, any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>(), any::<bool>()).prop_map(
        |(id, owner, name, life, standing, rotated)| Made {
            id,
            owner,
            name,
            life,
            standing,
            rotated,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let look = (any::<usize>(), any::<bool>(), 1_usize..8, any::<u8>()).prop_map(
        |(column, descending, limit, filter)| {
            // Half of the looks filter nothing.
            let filter = if filter < 128 { 0 } else { filter & filter.rotate_left(3) };
            Step::Look(Look { column, descending, limit, filter })
        },
    );
    prop_oneof![
        4 => made().prop_map(Step::Make),
        1 => (0_u8..2).prop_map(Step::Rename),
        3 => (0_u8..30, -20_i8..0).prop_map(|(id, day)| Step::Use(id, day)),
        1 => Just(Step::Flush),
        1 => Just(Step::Spill),
        4 => look,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever was committed, used and stored in whatever order: a shelf shows what a pass finds.
    #[test]
    fn a_shelf_shows_what_a_pass_finds(steps in prop::collection::vec(step(), 1..60)) {
        let world = World::new();
        for step in steps {
            world.go(&step);
            let Step::Look(look) = step else { continue };
            let mut query = look.query();
            // The first look is a pass, and asks for the shelf.
            for _page in 0..8 {
                let expected = world.look(&world.none, &query);
                let shown = world.look(&world.shelves, &query);
                prop_assert_eq!(&shown, &expected);
                prop_assert_eq!(world.overview(&world.shelves), world.overview(&world.none));
                let Some(next) = expected.0.next_cursor else { break };
                query.asked = look.query().asked.after(&next).expect("our own cursor");
                world.tend();
            }
        }
    }

    /// The same while it is being filled.
    #[test]
    fn a_shelf_that_is_being_filled_misses_nothing(steps in prop::collection::vec(step(), 1..60)) {
        let world = World::new();
        let room = world.room(&world.shelves);
        let outcome = thread::scope(|scope| {
            scope.spawn(|| world.shelves.tend(room));
            let outcome = steps.iter().try_for_each(|step| {
                world.go(step);
                if let Step::Look(look) = step {
                    let query = look.query();
                    let expected = world.look(&world.none, &query);
                    let shown = world.look(&world.shelves, &query);
                    prop_assert_eq!(&shown, &expected);
                }
                Ok(())
            });
            world.shelves.close();
            outcome
        });
        outcome?;
    }
}

const ONE: Made = Made { id: 1, owner: 0, name: 0, life: 70, standing: 0, rotated: false };
const FIRST: Look = Look { column: 0, descending: false, limit: 5, filter: 0 };

#[test]
fn who_looks_asks_for_a_shelf_and_finds_it_the_next_time() {
    let world = World::new();
    world.write(vec![Write::Token(ONE.token())]);
    world.look(&world.none, &FIRST.query());
    assert!(lock(&world.none.state).due.is_empty());
    let found = world.look(&world.shelves, &FIRST.query());
    assert!(world.shelves.find(ORG).is_none());
    world.tend();
    assert_eq!(world.shown(&FIRST.query()), found);
}

#[test]
fn a_start_fills_the_shelves_of_those_who_are_governed() {
    let world = World::new();
    world.write(vec![Write::Token(ONE.token())]);
    let ungoverned = Organization {
        id: OrgId::from_bits(8),
        governance: Governance::Deactivated,
        ..world.store.organization(ORG).expect("readable").expect("there")
    };
    world.write(vec![Write::Organization(ungoverned)]);
    world.shelves.begin(&world.store.organizations().expect("readable"));
    let due: Vec<OrgId> = lock(&world.shelves.state).due.keys().copied().collect();
    assert_eq!(due, [ORG]);
    world.tend();
    assert_eq!(world.shown(&FIRST.query()).1.all(), 1);
}

#[test]
fn few_tokens_have_no_shelf_and_neither_have_too_many() {
    for (tokens_min, tokens_max) in [(2, 100), (0, 0), (0, 1)] {
        let shelves = Arc::new(Shelves::from(tokens_min, tokens_max));
        let world = World { shelves, ..World::new() };
        world.write(vec![Write::Token(ONE.token())]);
        if tokens_max == 1 {
            world.write(vec![Write::Token(Made { id: 2, ..ONE }.token())]);
        }
        world.spill();
        world.tend();
        assert!(world.shelves.find(ORG).is_none(), "{tokens_min} to {tokens_max}");
    }
}

#[test]
fn what_was_not_looked_at_for_longest_makes_room() {
    let world = World { shelves: Arc::new(Shelves::from(1, 2)), ..World::new() };
    let of = |nth: u8| OrgId::from_bits(u128::from(nth) + 20);
    for nth in 0..3 {
        let org = Organization { id: of(nth), ..world.store.organization(ORG).unwrap().unwrap() };
        let token = ApiToken { org: of(nth), ..Made { id: nth, ..ONE }.token() };
        world.write(vec![Write::Organization(org), Write::Token(token)]);
    }
    let held = || {
        world.tend();
        let held: Vec<bool> = (0..3).map(|nth| world.shelves.find(of(nth)).is_some()).collect();
        held
    };
    // What nobody asked for displaces nothing.
    (0..3).for_each(|nth| world.shelves.want(of(nth), None));
    assert_eq!(held(), [true, true, false]);
    world.shelves.want(of(1), Some(at(1)));
    world.shelves.want(of(2), Some(at(2)));
    assert_eq!(held(), [false, true, true]);
    world.shelves.want(of(0), Some(at(3)));
    assert_eq!(held(), [true, false, true]);
}

#[test]
fn what_was_missed_is_read_anew() {
    let world = World::new();
    world.write(vec![Write::Token(ONE.token())]);
    world.shelves.want(ORG, None);
    world.tend();
    let secrets = vec![Fact::Secret(Digest::of(b"nobody's")); NEWS_MAX + 1];
    world.shelves.apply(Revision::default(), &secrets);
    let shelf = world.shelves.find(ORG).expect("put up");
    assert!(lock(&shelf.news).secrets.is_empty(), "memory is bounded");
    world.write(vec![Write::Token(Made { standing: 1, ..ONE }.token())]);
    let census = |(_, census): (Page<TokenRow>, Census)| (census.activated, census.deactivated);
    assert_eq!(census(world.look(&world.shelves, &FIRST.query())), (0, 1));
    world.tend();
    assert_eq!(census(world.shown(&FIRST.query())), (0, 1));
}

#[test]
fn what_changes_much_catches_up_although_nobody_looks() {
    let world = World::new();
    world.write(vec![Write::Token(ONE.token())]);
    world.shelves.want(ORG, None);
    world.tend();
    let secrets = vec![Fact::Secret(Digest::of(b"nobody's")); NEWS_SOON];
    world.shelves.apply(Revision::default(), &secrets[1..]);
    assert!(lock(&world.shelves.state).due.is_empty());
    world.shelves.apply(Revision::default(), &secrets[..1]);
    world.tend();
    assert_eq!(lock(&world.shelves.find(ORG).expect("put up").news).len(), 0);
}
