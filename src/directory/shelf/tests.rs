use super::*;
use crate::cache::Entry;
use crate::change::{Change, Write};
use crate::directory::{Asked, Column as _, Sort, ViolationFilter, tokens};
use crate::org::{Governance, Organization, User, UserStatus};
use crate::policy::{Policies, TtlPolicy};
use crate::role::RoleId;
use crate::store::memory::MemoryStore;
use crate::time::{Ttl, Unit};
use crate::token::{TokenState, Use};
use crate::usage::Board;
use proptest::prelude::*;

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
        let shelves = Arc::new(Shelves::from(1));
        store.follow(Arc::clone(&shelves) as _);
        let board = Arc::new(Board::new(1));
        let listening = Arc::clone(&shelves);
        board.listen(Box::new(move |uses| listening.used(uses)));
        let world = Self { store, board, shelves, none: Shelves::from(usize::MAX) };
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

    fn look(&self, shelves: &Shelves, query: &TokenQuery) -> (Page<TokenRow>, Census) {
        let room = Room { ledger: &*self.store, facts: &*self.store, uses: &*self.board, shelves };
        tokens(room, query).expect("readable")
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
            match step {
                Step::Make(made) => world.write(vec![Write::Token(made.token())]),
                Step::Rename(number) => {
                    let user = User { name: "Bea".to_owned(), ..user(number.into()) };
                    world.write(vec![Write::User(user)]);
                }
                Step::Use(id, day) => {
                    let token = TokenId::from_bits(u128::from(id) + 1);
                    // What is used is there.
                    if world.store.token(token).expect("readable").is_some() {
                        let usage = Usage::once(at(day.into()));
                        world.board.note(Use { token, usage, needs: Vec::new() });
                    }
                }
                Step::Flush => {
                    world.board.flush(&*world.store).expect("written");
                }
                Step::Look(look) => {
                    let mut query = look.query();
                    // The first look may be a pass, and the second one fills the shelf.
                    for _page in 0..8 {
                        let expected = world.look(&world.none, &query);
                        let shown = world.look(&world.shelves, &query);
                        prop_assert_eq!(&shown, &expected);
                        let Some(next) = expected.0.next_cursor else { break };
                        query.asked = look.query().asked.after(&next).expect("our own cursor");
                    }
                }
            }
        }
    }
}

#[test]
fn a_shelf_is_for_those_who_look_and_goes_when_nobody_does() {
    let world = World::new();
    let made = Made { id: 1, owner: 0, name: 0, life: 70, standing: 0, rotated: false };
    world.write(vec![Write::Token(made.token())]);
    let look = Look { column: 0, descending: false, limit: 5, filter: 0 };
    let held = || lock(&world.shelves.shelves).len();
    world.look(&world.none, &look.query());
    assert_eq!((held(), lock(&world.none.shelves).len()), (0, 0));
    world.look(&world.shelves, &look.query());
    assert_eq!(held(), 1);
    let other = TokenQuery {
        org: OrgId::from_bits(8),
        now: look.query().now.after(SHELF_IDLE),
        ..look.query()
    };
    world.look(&world.shelves, &other);
    assert_eq!(held(), 0);
}

#[test]
fn what_was_missed_is_read_anew() {
    let world = World::new();
    let of = |standing| Made { id: 1, owner: 0, name: 0, life: 70, standing, rotated: false };
    world.write(vec![Write::Token(of(0).token())]);
    let look = Look { column: 0, descending: false, limit: 5, filter: 0 };
    world.look(&world.shelves, &look.query());
    world.look(&world.shelves, &look.query());
    let secrets = vec![Fact::Secret(Digest::of(b"nobody's")); NEWS_MAX + 1];
    world.shelves.apply(Revision::default(), &secrets);
    assert!(lock(&lock(&world.shelves.shelves)[0].news).secrets.is_empty(), "memory is bounded");
    world.write(vec![Write::Token(of(1).token())]);
    let (_, census) = world.look(&world.shelves, &look.query());
    assert_eq!((census.activated, census.deactivated), (0, 1));
}
