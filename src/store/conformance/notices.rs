//! The outbox and the webhooks.

use super::Bed;
use super::fixture::*;
use crate::change::{Change, RecordKey, Require, Write};
use crate::id::{NoticeId, OrgId, UserId, WebhookId};
use crate::notice::{
    Addressee, Draft, Due, Kind, NOTICES_KEPT, Notice, Outcome, Retry, Standing, State, Webhook,
};
use crate::org::Revision;
use crate::store::{CommitError, Onward, Queued};
use crate::time::Timestamp;
use proptest::prelude::*;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

const RETRY: Retry =
    Retry { attempts_max: 2, first: Duration::from_secs(8), longest: Duration::from_secs(8) };

fn tell(bed: &Bed, notices: impl IntoIterator<Item = Draft>) -> Revision {
    let change = Change { notices: notices.into_iter().collect(), ..Change::default() };
    commit(&bed.store, change).unwrap().revision
}

/// All notices of an organization, the latest first.
fn all(bed: &Bed, org: OrgId) -> Vec<Notice> {
    before(bed, org, None)
}

fn before(bed: &Bed, org: OrgId, before: Option<NoticeId>) -> Vec<Notice> {
    let mut found = Vec::new();
    let mut visit = |notice| {
        found.push(notice);
        ControlFlow::Continue(())
    };
    bed.store.visit_notices(org, before, &mut visit).unwrap();
    found
}

fn due(bed: &Bed, due: Due, until: Timestamp) -> Vec<NoticeId> {
    let mut found = Vec::new();
    let mut visit = |queued: &Queued| {
        found.push(queued.id);
        Onward::Notice
    };
    bed.store.visit_due_notices(due, until, &mut visit).unwrap();
    found
}

fn standings(bed: &Bed) -> Vec<Standing> {
    all(bed, ACME).iter().rev().map(|notice| notice.state.standing()).collect()
}

/// Writes what became of a notice.
fn conclude(bed: &Bed, notice: Notice, outcome: Outcome, now: Timestamp) {
    let notice = notice.after(outcome, now, &RETRY, u64::MAX / 2);
    put(&bed.store, [Write::Notice(Box::new(notice))]);
}

fn webhook(number: u128, org: OrgId, kinds: &[Kind]) -> Webhook {
    Webhook {
        id: WebhookId::from_bits(number),
        version: Revision(0),
        org,
        url: "https://example.org/".to_owned(),
        kinds: kinds.to_vec(),
        activated: true,
        sealed_secret: vec![1, 2, 3],
        created_at: at(0),
        created_by: ANN,
    }
}

pub(super) fn a_change_makes_a_notice_for_each_addressee(bed: &Bed) {
    let revision =
        tell(bed, [owed(Kind::Created, 1, 5, [ANN, BOB]), owed(Kind::Revoked, 2, 6, [])]);
    let notices = all(bed, ACME);
    let to: Vec<_> = notices.iter().rev().map(|notice| notice.to).collect();
    assert_eq!(to, [Addressee::User(ANN), Addressee::User(BOB)]);
    for notice in &notices {
        assert_eq!(notice.version, revision);
        assert_eq!(notice.says, Draft { to: Vec::new(), ..owed(Kind::Created, 1, 5, []) });
        assert_eq!(notice.state.standing(), Standing::Waiting);
        assert_eq!(bed.store.notice(ACME, notice.id).unwrap().as_ref(), Some(notice));
        assert_eq!(bed.store.notice(OTHER, notice.id).unwrap(), None);
    }
    assert_eq!(all(bed, OTHER), []);
}

pub(super) fn a_refused_or_failed_change_tells_nobody(bed: &Bed) {
    let change = |requires| Change {
        requires,
        notices: vec![owed(Kind::Created, 1, 0, [ANN])],
        ..Change::default()
    };
    let missing = Require::Version(RecordKey::User(BOB), Revision(1));
    let refused = commit(&bed.store, change(vec![missing.clone()]));
    assert_eq!(refused, Err(CommitError::Conflict(missing)));
    assert_eq!(all(bed, ACME), []);
    (bed.fail)(&CommitError::Full);
    assert_eq!(commit(&bed.store, change(Vec::new())), Err(CommitError::Full));
    assert_eq!(all(bed, ACME), []);
    assert_eq!(due(bed, Due::Mail, Timestamp::MAX), []);
}

pub(super) fn webhooks_are_told_of_the_kinds_they_ask_for(bed: &Bed) {
    let off = Webhook { activated: false, ..webhook(3, ACME, &Kind::ALL) };
    let hooks = [
        webhook(1, ACME, &[Kind::Created, Kind::Deactivated]),
        webhook(2, ACME, &[Kind::Revoked]),
        off,
        webhook(4, OTHER, &Kind::ALL),
    ];
    put(&bed.store, hooks.clone().map(Write::Webhook));
    let stored = bed.store.webhooks(ACME).unwrap();
    let version = stored[0].version;
    let expected: Vec<_> =
        hooks[..3].iter().map(|hook| Webhook { version, ..hook.clone() }).collect();
    assert_eq!(stored, expected);
    let id = WebhookId::from_bits;
    assert_eq!(bed.store.webhook(ACME, id(2)).unwrap().as_ref(), Some(&expected[1]));
    assert_eq!(bed.store.webhook(OTHER, id(2)).unwrap(), None);

    tell(bed, [owed(Kind::Deactivated, 1, 5, [ANN])]);
    tell(bed, [owed(Kind::Revoked, 2, 6, [])]);
    tell(bed, [owed(Kind::Expired, 3, 7, [])]);
    let to: Vec<_> = all(bed, ACME).iter().rev().map(|notice| notice.to).collect();
    let hook = |number| Addressee::Webhook(id(number));
    assert_eq!(to, [Addressee::User(ANN), hook(1), hook(2)]);
    assert_eq!(due(bed, Due::Call, at(6)).len(), 2, "calls do not settle");

    put(&bed.store, [Write::RemoveWebhook(ACME, id(1))]);
    tell(bed, [owed(Kind::Created, 4, 8, [])]);
    assert_eq!(all(bed, ACME).len(), 3);
    assert_eq!(bed.store.webhooks(ACME).unwrap().len(), 2);
}

pub(super) fn what_is_due_comes_longest_overdue_first(bed: &Bed) {
    tell(bed, [owed(Kind::Created, 1, 9, [ANN])]);
    tell(bed, [owed(Kind::Created, 2, 5, [ANN]), owed(Kind::Deactivated, 3, 4, [ANN])]);
    let by_token = |number: u64| {
        let id = token_id(number).bits();
        all(bed, ACME).into_iter().find(|notice| notice.says.about.bits() == id).unwrap()
    };
    let [first, second, third] = [1, 2, 3].map(by_token);
    assert_eq!(due(bed, Due::Mail, at(9)), [second.id, first.id]);
    assert_eq!(due(bed, Due::Mail, at(8)), [second.id]);
    assert_eq!(due(bed, Due::Mail, at(4)), []);
    assert_eq!(due(bed, Due::Settle, at(3)), []);
    assert_eq!(due(bed, Due::Settle, at(4)), [third.id]);
    assert_eq!(due(bed, Due::Call, Timestamp::MAX), []);

    conclude(bed, second.clone(), Outcome::Failed("no".to_owned()), at(10));
    let State::Waiting { due_at, .. } = by_token(2).state else { panic!("{:?}", by_token(2)) };
    assert!(due_at > at(10), "{due_at}");
    assert_eq!(due(bed, Due::Mail, at(10)), [first.id]);
    assert_eq!(due(bed, Due::Mail, due_at), [first.id, second.id]);
    conclude(bed, by_token(2), Outcome::Delivered, due_at);
    conclude(bed, third, Outcome::NoChannel, at(11));
    assert_eq!(due(bed, Due::Mail, Timestamp::MAX), [first.id]);
    assert_eq!(due(bed, Due::Settle, Timestamp::MAX), []);
    put(&bed.store, [Write::Notice(Box::new(by_token(2).again(at(3))))]);
    assert_eq!(due(bed, Due::Mail, at(3)), [second.id]);
}

pub(super) fn what_is_switched_back_and_forth_is_told_once(bed: &Bed) {
    use Kind::{Created, Deactivated, Reactivated, Revoked};
    use Standing::{Superseded, Waiting};
    tell(bed, [owed(Created, 1, 0, [ANN])]);
    tell(bed, [owed(Deactivated, 1, 1, [ANN])]);
    // Another subject and another user are other matters.
    tell(bed, [owed(Deactivated, 2, 2, [ANN]), owed(Deactivated, 1, 2, [BOB])]);
    tell(bed, [owed(Reactivated, 1, 3, [ANN])]);
    tell(bed, [owed(Deactivated, 1, 4, [ANN])]);
    assert_eq!(standings(bed), [Waiting, Superseded, Waiting, Waiting, Superseded, Waiting]);
    let notices = all(bed, ACME);
    let last = &notices[0];
    // Put off once: it settles since the first of the three.
    assert_eq!(last.state, State::Settling { since: at(1) });
    assert_eq!(last.says.kind, Deactivated);
    let State::Superseded { by, at: when } = notices[1].state else { panic!("{notices:?}") };
    assert_eq!((by, when), (last.id, at(4)));
    assert_eq!(due(bed, Due::Settle, at(1)), [last.id]);
    assert_eq!(due(bed, Due::Settle, at(99)).len(), 3);
    // What is final waits for nothing, and makes the rest pointless.
    tell(bed, [owed(Revoked, 1, 5, [ANN])]);
    assert_eq!(all(bed, ACME)[1].state.standing(), Superseded);
    assert_eq!(all(bed, ACME)[0].state, State::Waiting { due_at: at(5), attempts: 0, error: None });
    assert_eq!(due(bed, Due::Settle, at(99)).len(), 2);
}

pub(super) fn a_notice_that_is_on_its_way_is_not_superseded(bed: &Bed) {
    let outcomes = [Outcome::Delivered, Outcome::Failed("no".to_owned()), Outcome::NoChannel];
    for (outcome, start) in outcomes.into_iter().zip([0, 10, 20]) {
        tell(bed, [owed(Kind::Deactivated, 1, start + 1, [ANN])]);
        let sent = all(bed, ACME).remove(0);
        conclude(bed, sent.clone(), outcome, at(start + 2));
        let concluded = bed.store.notice(ACME, sent.id).unwrap().unwrap();
        tell(bed, [owed(Kind::Reactivated, 1, start + 3, [ANN])]);
        assert_eq!(bed.store.notice(ACME, sent.id).unwrap(), Some(concluded));
        let latest = all(bed, ACME).remove(0);
        assert_eq!(latest.state, State::Settling { since: at(start + 3) });
        conclude(bed, latest, Outcome::Delivered, at(start + 4));
    }
}

pub(super) fn a_version_of_a_notice_or_a_webhook_is_exact(bed: &Bed) {
    put(&bed.store, [Write::Webhook(webhook(1, ACME, &[]))]);
    tell(bed, [owed(Kind::Created, 1, 0, [ANN])]);
    let notice = all(bed, ACME).remove(0);
    let hook = bed.store.webhook(ACME, WebhookId::from_bits(1)).unwrap().unwrap();
    for (key, version) in [
        (RecordKey::Notice(ACME, notice.id), notice.version),
        (RecordKey::Webhook(ACME, hook.id), hook.version),
    ] {
        assert!(holds(&bed.store, Require::Version(key, version)));
        assert!(!holds(&bed.store, Require::Version(key, Revision(version.0 + 1))));
        assert!(!holds(&bed.store, Require::Absent(key)));
    }
    for key in
        [RecordKey::Notice(OTHER, notice.id), RecordKey::Webhook(OTHER, WebhookId::from_bits(1))]
    {
        assert!(holds(&bed.store, Require::Absent(key)));
        assert!(!holds(&bed.store, Require::Version(key, notice.version)));
    }
}

pub(super) fn webhooks_below_is_exact(bed: &Bed) {
    assert!(!holds(&bed.store, Require::WebhooksBelow(ACME, 0)));
    assert!(holds(&bed.store, Require::WebhooksBelow(ACME, 1)));
    put(&bed.store, [1, 2].map(|number| Write::Webhook(webhook(number, ACME, &[]))));
    put(&bed.store, [Write::Webhook(webhook(3, OTHER, &[]))]);
    assert!(!holds(&bed.store, Require::WebhooksBelow(ACME, 2)));
    assert!(holds(&bed.store, Require::WebhooksBelow(ACME, 3)));
}

pub(super) fn notices_come_newest_first_and_outlived_ones_are_forgotten(bed: &Bed) {
    let users = (0..40).map(UserId::from_bits);
    tell(bed, [owed(Kind::Created, 1, 0, users)]);
    let notices = all(bed, ACME);
    assert!(notices.is_sorted_by(|a, b| a.id > b.id));
    assert_eq!(before(bed, ACME, Some(notices[10].id)), notices[11..]);
    // Half of them are at their end; the others are still owed.
    for notice in notices.into_iter().take(20) {
        conclude(bed, notice, Outcome::Delivered, at(0));
    }
    let end = at(0).after(NOTICES_KEPT).since(Timestamp::EPOCH);
    let end = i64::try_from(end.as_millis()).unwrap() - at(0).millis();
    tell(bed, [owed(Kind::Created, 2, end - 1, [])]);
    assert_eq!(all(bed, ACME).len(), 40);
    for left in [24, 20, 20] {
        tell(bed, [owed(Kind::Created, 2, end, [])]);
        assert_eq!(all(bed, ACME).len(), left);
    }
    assert!(all(bed, ACME).iter().all(|notice| notice.state.standing() == Standing::Waiting));
}

/// The instant at which what ended at `at(0)` has outlived its time, for [`at`].
fn outlived() -> i64 {
    let end = at(0).after(NOTICES_KEPT).since(Timestamp::EPOCH);
    i64::try_from(end.as_millis()).unwrap() - at(0).millis()
}

/// So many notices that ended at `at(0)`.
fn ended(bed: &Bed, count: u128) {
    tell(bed, [owed(Kind::Created, 1, 0, (0..count).map(UserId::from_bits))]);
    let writes = all(bed, ACME)
        .into_iter()
        .map(|notice| Write::Notice(Box::new(notice.after(Outcome::Delivered, at(0), &RETRY, 0))));
    put(&bed.store, writes);
}

pub(super) fn more_is_forgotten_than_is_made(bed: &Bed) {
    ended(bed, 200);
    // Two for each draft: the user and the webhook.
    put(&bed.store, [Write::Webhook(webhook(1, ACME, &[Kind::Revoked]))]);
    let drafts = |millis| (0..20).map(move |token| owed(Kind::Revoked, token, millis, [BOB]));
    tell(bed, drafts(outlived() - 1));
    assert_eq!(all(bed, ACME).len(), 240);
    tell(bed, drafts(outlived()));
    assert_eq!(all(bed, ACME).len(), 240 + 40 - (40 + 16));
    assert_eq!(due(bed, Due::Mail, Timestamp::MAX).len(), 40, "none of what is still owed");
}

pub(super) fn outlived_notices_are_forgotten_though_none_is_made(bed: &Bed) {
    ended(bed, 1_100);
    let [before, then] = [outlived() - 1, outlived()].map(at);
    assert!(!bed.store.has_outlived_notices(before).unwrap());
    put(&bed.store, [Write::ForgetNotices(before)]);
    assert_eq!(all(bed, ACME).len(), 1_100);
    for left in [100, 0] {
        assert!(bed.store.has_outlived_notices(then).unwrap());
        put(&bed.store, [Write::ForgetNotices(then)]);
        assert_eq!(all(bed, ACME).len(), left);
    }
    assert!(!bed.store.has_outlived_notices(then).unwrap());
}

pub(super) fn a_damaged_notice_stops_neither_those_behind_it_nor_changes(bed: &Bed) {
    tell(bed, [owed(Kind::Created, 1, 0, [ANN]), owed(Kind::Created, 2, 1, [ANN, BOB])]);
    tell(bed, [owed(Kind::Deactivated, 3, 2, [ANN])]);
    let (mails, settling) = (due(bed, Due::Mail, at(9)), due(bed, Due::Settle, at(9)));
    (bed.damage)(ACME, mails[0]);
    (bed.damage)(ACME, settling[0]);
    assert_eq!(due(bed, Due::Mail, at(9)), mails);
    bed.store.notice(ACME, mails[0]).unwrap_err();
    assert_eq!(all(bed, ACME).len(), 2, "the others are listed");
    // What would take its place is made all the same.
    tell(bed, [owed(Kind::Reactivated, 3, 3, [ANN])]);
    assert_eq!(due(bed, Due::Settle, at(9)).len(), 2);
    tell(bed, [owed(Kind::Deactivated, 3, 4, [ANN])]);
    assert_eq!(due(bed, Due::Settle, at(9)).len(), 2, "its own heir is sound");

    // One that has ended is forgotten unread.
    let ended = bed.store.notice(ACME, mails[1]).unwrap().unwrap();
    conclude(bed, ended, Outcome::Delivered, at(0));
    (bed.damage)(ACME, mails[1]);
    tell(bed, [owed(Kind::Created, 4, outlived(), [])]);
    assert_eq!(bed.store.notice(ACME, mails[1]), Ok(None));
    assert!(!bed.store.has_outlived_notices(at(outlived())).unwrap());
    assert!(bed.store.is_writable());
}

pub(super) fn queues_come_by_addressee_and_are_left_as_told(bed: &Bed) {
    tell(bed, [owed(Kind::Created, 1, 5, [ANN]), owed(Kind::Created, 2, 6, [BOB])]);
    tell(bed, [owed(Kind::Created, 3, 7, [ANN]), owed(Kind::Created, 4, 8, [BOB])]);
    let visited = |until, onward: fn(u128) -> Onward| {
        let mut seen = Vec::new();
        let mut visit = |queued: &Queued| {
            let lane = queued.lane.unwrap();
            assert_eq!(queued.org, ACME);
            seen.push((queued.to, lane));
            onward(lane)
        };
        bed.store.visit_due_notices(Due::Mail, at(until), &mut visit).unwrap();
        seen
    };
    let [ann, bob] = [ANN, BOB].map(Addressee::User);
    let token = |number| token_id(number).bits();
    let whole = [(ann, token(1)), (ann, token(3)), (bob, token(2)), (bob, token(4))];
    assert_eq!(visited(9, |_| Onward::Notice), whole);
    assert_eq!(visited(7, |_| Onward::Notice), whole[..3]);
    assert_eq!(visited(9, |_| Onward::Addressee), [whole[0], whole[2]]);
    assert_eq!(
        visited(9, |lane| if lane == 3 { Onward::Nowhere } else { Onward::Notice }),
        whole[..2]
    );
    assert_eq!(visited(9, |_| Onward::Nowhere), whole[..1]);
    assert_eq!(visited(4, |_| Onward::Notice), []);
}

/// Something that happens to a notice.
#[derive(Clone, Copy, Debug)]
enum Step {
    Tell(Kind, u64, UserId),
    Fail(usize),
    Deliver(usize),
    Again(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop::sample::select(vec![
        Kind::Created,
        Kind::Deactivated,
        Kind::Reactivated,
        Kind::Revoked,
    ]);
    let user = prop::sample::select(vec![ANN, BOB]);
    prop_oneof![
        3 => (kind, 0..3_u64, user).prop_map(|(kind, token, user)| Step::Tell(kind, token, user)),
        1 => (0..30_usize).prop_map(Step::Fail),
        1 => (0..30_usize).prop_map(Step::Deliver),
        1 => (0..30_usize).prop_map(Step::Again),
    ]
}

/// What is due, by the records themselves.
fn derived(bed: &Bed, due: Due, until: Timestamp) -> Vec<NoticeId> {
    let mut queues: HashMap<Addressee, Vec<(Timestamp, NoticeId)>> = HashMap::new();
    for notice in all(bed, ACME) {
        let at = match (&notice.state, notice.to, due) {
            (State::Settling { since }, _, Due::Settle) => *since,
            (State::Waiting { due_at, .. }, Addressee::User(_), Due::Mail)
            | (State::Waiting { due_at, .. }, Addressee::Webhook(_), Due::Call) => *due_at,
            _ => continue,
        };
        if at <= until {
            queues.entry(notice.to).or_default().push((at, notice.id));
        }
    }
    let mut queues: Vec<_> = queues.into_iter().collect();
    for (_, queue) in &mut queues {
        queue.sort();
    }
    queues.sort_by_key(|(to, queue)| (queue[0].0, to.bits()));
    queues.into_iter().flat_map(|(_, queue)| queue).map(|(_, id)| id).collect()
}

/// However notices come, are sent, fail and are sent again: the indexes say what the records say.
pub(super) fn queues_say_what_the_notices_say(bed: fn() -> Bed) {
    let config = ProptestConfig { cases: 48, ..ProptestConfig::default() };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..40))| {
        let bed = bed();
        put(&bed.store, [Write::Webhook(webhook(1, ACME, &[Kind::Deactivated]))]);
        for (now, step) in (0..).zip(steps) {
            let nth = |nth: usize| all(&bed, ACME).into_iter().nth(nth);
            match step {
                Step::Tell(kind, token, user) => {
                    tell(&bed, [owed(kind, token, now, [user])]);
                }
                Step::Fail(number) => if let Some(notice) = nth(number) {
                    let outcome = Outcome::Failed("no".to_owned());
                    conclude(&bed, notice, outcome, at(now));
                },
                Step::Deliver(number) => if let Some(notice) = nth(number) {
                    conclude(&bed, notice, Outcome::Delivered, at(now));
                },
                Step::Again(number) => if let Some(notice) = nth(number) {
                    put(&bed.store, [Write::Notice(Box::new(notice.again(at(now))))]);
                },
            }
            for kind in [Due::Mail, Due::Call, Due::Settle] {
                for until in [at(now / 2), at(now), Timestamp::MAX] {
                    prop_assert_eq!(due(&bed, kind, until), derived(&bed, kind, until));
                }
            }
        }
    });
}
