use super::*;
use crate::change::{Change, Write};
use crate::id::{TokenId, UserId, WebhookId};
use crate::notice::{About, Draft, Kind, Webhook};
use crate::org::Revision;
use crate::store::memory::MemoryStore;
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

const ACME: OrgId = OrgId::from_bits(1 << 100);
const OTHER: OrgId = OrgId::from_bits(2 << 100);
const ANN: UserId = UserId::from_bits(10);
const BOB: UserId = UserId::from_bits(11);

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + millis)
}

fn draft(org: OrgId, about: u64, millis: i64, to: &[UserId]) -> Draft {
    Draft {
        org,
        at: at(millis),
        kind: Kind::Created,
        about: About::Token(TokenId::from_bits(u128::from(about)), "a token".to_owned()),
        to: to.to_vec(),
        by: None,
        reason: None,
        details: Vec::new(),
    }
}

fn digest(org: OrgId, millis: i64, to: &[UserId]) -> Draft {
    let kind = Kind::NewViolations;
    Draft { kind, about: About::Organization, ..draft(org, 0, millis, to) }
}

fn hook(org: OrgId, number: u128) -> Write {
    Write::Webhook(Webhook {
        id: WebhookId::from_bits(number),
        version: Revision(0),
        org,
        url: "https://example.org/".to_owned(),
        kinds: vec![Kind::Created],
        activated: true,
        sealed_secret: Vec::new(),
        created_at: at(0),
        created_by: ANN,
    })
}

struct Bench {
    store: Arc<MemoryStore>,
    damaged: Damaged,
}

impl Bench {
    fn new(notices: Vec<Draft>) -> Self {
        Self::with(Vec::new(), notices)
    }

    fn with(writes: Vec<Write>, notices: Vec<Draft>) -> Self {
        let store = MemoryStore::new();
        for change in
            [Change { writes, ..Change::default() }, Change { notices, ..Change::default() }]
        {
            store.commit(change).wait().expect("written");
        }
        Self { store, damaged: Damaged::default() }
    }

    /// What is chosen beside these.
    fn chosen(&self, under_way: &[Course], max: usize, due: Due) -> Vec<Course> {
        let mut choice = Choice::beside(under_way.to_vec(), max);
        choice.add(&*self.store, &self.damaged, due, at(1_000_000)).expect("readable");
        choice.chosen().iter().map(Course::of).collect()
    }

    /// Chooses until nothing more is chosen, as if each delivery took for ever.
    fn hanging(&self, max: usize, due: Due) -> Vec<Course> {
        let mut under_way: Vec<Course> = Vec::new();
        loop {
            let more = self.chosen(&under_way, max, due);
            if more.is_empty() {
                return under_way;
            }
            under_way.extend(more);
        }
    }
}

fn to(courses: &[Course]) -> Vec<Addressee> {
    courses.iter().map(|course| course.to).collect()
}

#[test]
fn an_addressee_with_ten_thousand_notices_that_hang_keeps_nobody_behind_them() {
    let many = i64::try_from(LOOKED_AT_MAX).expect("small") + 1;
    let mut drafts: Vec<_> =
        (1..=many).map(|nth| draft(ACME, nth.unsigned_abs(), nth, &[ANN])).collect();
    drafts.push(draft(OTHER, 1, many + 1, &[BOB]));
    let bench = Bench::new(drafts);
    let [ann, bob] = [ANN, BOB].map(Addressee::User);
    let first = bench.chosen(&[], 8, Due::Mail);
    assert_eq!(to(&first), [ann, ann, bob]);
    // Those two hang, and Bob gets the next one, too.
    assert_eq!(to(&bench.chosen(&first[..2], 8, Due::Mail)), [bob]);
    assert_eq!(bench.chosen(&first, 8, Due::Mail), []);
}

#[test]
fn one_organizations_calls_leave_half_of_the_places_to_others() {
    let hooks = (1..=20).map(|number| hook(ACME, number)).chain([hook(OTHER, 99)]).collect();
    let mut drafts: Vec<_> = (1..=50).map(|nth| draft(ACME, nth, 0, &[])).collect();
    drafts.extend((1..=50).map(|nth| draft(OTHER, nth, 1, &[])));
    let bench = Bench::with(hooks, drafts);
    let of = |courses: &[Course], org| courses.iter().filter(|course| course.org == org).count();
    for (max, acme, other) in [(8, 4, 2), (9, 5, 2), (2, 1, 1), (1, 1, 0)] {
        let all = bench.hanging(max, Due::Call);
        assert_eq!((of(&all, ACME), of(&all, OTHER)), (acme, other), "of {max}");
    }
    // Whoever hangs is passed over, and the other goes on.
    let hanging: Vec<_> = bench.hanging(8, Due::Call);
    let hanging: Vec<_> = hanging.into_iter().filter(|course| course.org == ACME).collect();
    let next = bench.chosen(&hanging, 8, Due::Call);
    assert_eq!((of(&next, ACME), of(&next, OTHER)), (0, 2));
}

#[test]
fn what_is_about_the_same_waits_for_what_is_under_way_and_digests_do_not() {
    // More about one token than is looked at, and one about another.
    let many = u64::try_from(LOOKED_AT_OF_ONE_MAX).expect("small") - 1;
    let mut drafts: Vec<_> = (0..many).map(|_| draft(ACME, 1, 0, &[ANN])).collect();
    drafts.push(draft(ACME, 2, 1, &[ANN]));
    let bench = Bench::new(drafts);
    let all = bench.hanging(8, Due::Mail);
    let lanes: Vec<_> = all.iter().map(|course| course.lane).collect();
    assert_eq!(lanes, [Some(1), Some(2)]);

    let digests = Bench::new((0..5).map(|nth| digest(ACME, nth, &[ANN])).collect());
    let all = digests.hanging(8, Due::Mail);
    assert_eq!(all.len(), TO_ONE_MAX, "side by side");
    assert_ne!(all[0].id, all[1].id, "and none twice");
}

#[test]
fn a_damaged_notice_is_passed_over_and_named_once() {
    let bench = Bench::new((1..=4).map(|nth| draft(ACME, nth, 0, &[ANN])).collect());
    let all = bench.chosen(&[], 8, Due::Mail);
    assert_eq!(all.len(), 2);
    for course in &all {
        bench.store.damage_notice(ACME, course.id);
    }
    for _ in 0..3 {
        let chosen = bench.chosen(&[], 8, Due::Mail);
        let lanes: Vec<_> = chosen.iter().map(|course| course.lane).collect();
        assert_eq!(lanes, [Some(3), Some(4)]);
    }
    assert_eq!(bench.damaged.0.lock().expect("whole").len(), 2);
}

fn course() -> impl Strategy<Value = Course> {
    (0..3_u128, 0..4_u128, any::<bool>(), prop::option::of(1..4_u128)).prop_map(
        |(org, number, is_call, lane)| {
            let number = org * 10 + number;
            let to = if is_call {
                Addressee::Webhook(WebhookId::from_bits(number))
            } else {
                Addressee::User(UserId::from_bits(number))
            };
            let id = NoticeId::from_bits(0);
            Course { org: OrgId::from_bits(org), id, to, lane }
        },
    )
}

proptest! {
    /// Whatever begins and ends in whatever order, the limits hold, and a place stays for whoever has
    /// none.
    #[test]
    fn limits_hold_and_whoever_has_nothing_under_way_is_not_kept_out(
        steps in prop::collection::vec((course(), 0..8_usize), 0..200),
        max in 1..9_usize,
    ) {
        let mut choice = Choice::beside(Vec::new(), max);
        for (nth, (course, ended)) in steps.into_iter().enumerate() {
            let course = Course { id: NoticeId::from_bits(nth as u128), ..course };
            let way = choice.under_way.iter().filter(|other| other.is_call() == course.is_call());
            let way: Vec<_> = way.copied().collect();
            let is_new = !way.iter().any(|other| other.org == course.org);
            let room = choice.room(&course);
            if is_new {
                prop_assert_eq!(room == Room::Free, way.len() < max);
            }
            if room == Room::Free {
                choice.under_way.push(course);
            } else if ended < choice.under_way.len() {
                choice.under_way.swap_remove(ended);
            }
            let mut to_one: HashMap<Addressee, usize> = HashMap::new();
            let mut lanes = HashSet::new();
            for other in &choice.under_way {
                *to_one.entry(other.to).or_default() += 1;
                prop_assert!(other.lane.is_none() || lanes.insert((other.to, other.lane)));
            }
            prop_assert!(to_one.values().all(|count| *count <= TO_ONE_MAX));
            for is_call in [false, true] {
                let way = choice.under_way.iter().filter(|other| other.is_call() == is_call);
                prop_assert!(way.count() <= max);
            }
        }
    }
}
