use super::Kind::{Deactivated, Reactivated, UserActivated, UserDeactivated};
use super::*;

fn draft(kind: Kind) -> Draft {
    Draft {
        org: OrgId::from_bits(1),
        at: Timestamp::from_millis(1_000),
        kind,
        about: About::Token(TokenId::from_bits(2), "ci".to_owned()),
        to: Vec::new(),
        by: None,
        reason: None,
        details: Vec::new(),
    }
}

fn notice(kind: Kind) -> Notice {
    Notice::made(draft(kind), Addressee::User(UserId::from_bits(3)), Revision(7), 0)
}

const RETRY: Retry =
    Retry { attempts_max: 3, first: Duration::from_secs(10), longest: Duration::from_secs(25) };

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_000 * seconds)
}

#[test]
fn names_are_what_serde_writes_and_are_read_back() {
    for kind in Kind::ALL {
        let written = serde_json::to_value(kind).expect("JSON");
        assert_eq!(written, kind.name());
        assert_eq!(Kind::named(kind.name()), Some(kind));
    }
    assert_eq!(Kind::named("token.lost"), None);
    for (name, standing) in Standing::ALL {
        assert_eq!(serde_json::to_value(standing).expect("JSON"), name);
    }
}

#[test]
fn identities_follow_from_the_commit_and_the_place_in_it() {
    let [mail, call] =
        [Addressee::User(UserId::from_bits(3)), Addressee::Webhook(WebhookId::from_bits(3))];
    let made =
        |to, revision, nth| Notice::made(draft(Kind::Created), to, Revision(revision), nth).id;
    assert_eq!(made(mail, 7, 0), made(call, 7, 0));
    let mut all =
        vec![made(mail, 7, 0), made(mail, 7, 1), made(mail, 8, 0), made(mail, 1 << 40, 0)];
    let sorted = all.clone();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, sorted, "in the order of commits, and no two the same");
}

#[test]
fn only_mails_about_a_switch_settle() {
    let hook = Addressee::Webhook(WebhookId::from_bits(3));
    for kind in Kind::ALL {
        let settles = matches!(notice(kind).state, State::Settling { .. });
        assert_eq!(settles, kind.settles(), "{kind:?}");
        let call = Notice::made(draft(kind), hook, Revision(7), 0);
        assert_eq!(call.state, waiting(at(1)), "{kind:?}");
    }
    let settling: Vec<_> = Kind::ALL.into_iter().filter(|kind| kind.settles()).collect();
    assert_eq!(settling, [Deactivated, Reactivated, UserDeactivated, UserActivated]);
}

#[test]
fn pauses_double_up_to_the_longest_and_are_spread_over_their_upper_half() {
    let retry = Retry { longest: Duration::from_secs(35), ..RETRY };
    for (attempts, whole) in
        [(1, 10_000), (2, 20_000), (3, 35_000), (40, 35_000), (u32::MAX, 35_000)]
    {
        let (low, high) = (Duration::from_millis(whole / 2), Duration::from_millis(whole));
        assert_eq!(retry.pause(attempts, 0), low);
        assert_eq!(retry.pause(attempts, whole / 2), high);
        for jitter in [1, 77, u64::MAX] {
            let pause = retry.pause(attempts, jitter);
            assert!((low..=high).contains(&pause), "{pause:?}");
        }
    }
}

#[test]
fn an_attempt_ends_it_or_puts_it_off_and_the_last_one_gives_it_up() {
    let failed = || Outcome::Failed("no\nanswer".to_owned());
    let first = notice(Kind::Created).after(failed(), at(2), &RETRY, 0);
    let error = Some("noanswer".to_owned());
    assert_eq!(first.state, State::Waiting { due_at: at(7), attempts: 1, error: error.clone() });
    let second = first.clone().after(failed(), at(7), &RETRY, 0);
    assert_eq!(second.state, State::Waiting { due_at: at(17), attempts: 2, error });
    let third = second.clone().after(failed(), at(17), &RETRY, 0);
    let dead = State::Dead { at: at(17), attempts: 3, error: "noanswer".to_owned() };
    assert_eq!(third.state, dead);
    let good = second.after(Outcome::Delivered, at(17), &RETRY, 0);
    assert_eq!(good.state, State::Delivered { at: at(17), attempts: 3 });
    let refused = first.after(Outcome::Refused("x".repeat(999)), at(9), &RETRY, 0);
    let dead = State::Dead { at: at(9), attempts: 2, error: "x".repeat(ERROR_CHARS_MAX) };
    assert_eq!(refused.state, dead);
    let nowhere = notice(Kind::Created).after(Outcome::NoChannel, at(2), &RETRY, 0);
    assert_eq!(nowhere.state, State::NoChannel { at: at(2) });
    assert_eq!(third.again(at(99)).state, waiting(at(99)));
}
