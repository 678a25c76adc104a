//! Secrets that somebody has found.

use super::*;
use crate::admin::leaks::{ANSWER_AFTER, REPORT_BYTES_MAX};
use crate::audit::{Action, Event};
use crate::notice::{Addressee, Kind};
use crate::store::CommitError;
use crate::store::wayward::Wayward;
use crate::token::Standing;
use std::sync::atomic::AtomicBool;

const LEAKS: &str = "/api/v1/leaks";
const PASTE: &str = "https://paste.example/1";

impl House {
    async fn report(&self, secret: &str) -> Answer {
        let body = json!({"token": secret, "url": PASTE, "source": "paste"});
        self.ask("POST", LEAKS).json(&body).send().await
    }

    fn reports(&self) -> Vec<Event> {
        let events = self.store.events(self.org, None, 1000).expect("readable");
        events.into_iter().filter(|event| event.said.action == Action::LeakReported).collect()
    }

    /// Who is told that a secret has leaked.
    fn warned(&self) -> Vec<UserId> {
        let leaked = self.all_notices().into_iter().filter(|n| n.says.kind == Kind::Leaked);
        let to = leaked.filter_map(|notice| match notice.to {
            Addressee::User(user) => Some(user),
            Addressee::Webhook(_) => None,
        });
        let mut to: Vec<UserId> = to.collect();
        to.sort();
        to
    }
}

#[tokio::test]
async fn a_reported_token_is_refused_at_once_and_only_an_owner_takes_it_back() {
    let house = House::new().await;
    let _webhook = house.webhook().await;
    let member = &house.bystander;
    house.report(&member.secret).await.expect(202);
    house.get("/api/v1/me").by(member).send().await.problem(401, "invalid-token");
    assert_eq!(house.token(member.token).standing(), Standing::Deactivated);
    let (_, spare) = house.token_of(member.user, "spare").await;
    let activate = house.at(&format!("/tokens/{}/activate", member.token));
    let own = house.ask("POST", &activate).with_secret(&spare).json(&json!({}));
    own.send().await.problem(403, "forbidden");
    let shown = house.get(&house.at(&format!("/tokens/{}", member.token)));
    let shown = shown.with_secret(&spare).send().await.expect(200);
    let reason = format!("leaked: reported at {PASTE}");
    assert_eq!(shown.body["status_changed"]["reason"], reason);

    let mut told = vec![member.user, house.owner.user, house.operator.user];
    told.sort();
    assert_eq!(house.warned(), told);
    let webhooks = house.all_notices();
    let hooked = |n: &&crate::notice::Notice| matches!(n.to, Addressee::Webhook(_));
    assert_eq!(
        webhooks.iter().filter(hooked).map(|n| n.says.kind).collect::<Vec<_>>(),
        [Kind::Leaked]
    );

    let audit = house.get(&house.at("/audit")).by(&house.owner).send().await.expect(200);
    let actions: Vec<&str> =
        (0..8).filter_map(|at| audit.body["items"][at]["action"].as_str()).collect();
    assert!(actions.contains(&"token.leak_reported") && actions.contains(&"token.deactivated"));
    let event = &house.reports()[0].said;
    assert_eq!(event.reason.as_deref(), Some(&*reason));
    for said in [PASTE, "paste", "present"] {
        let is_said = |change: &crate::audit::FieldChange| change.after.as_deref() == Some(said);
        assert!(event.changes.iter().any(is_said), "{said}: {event:?}");
    }
    house.ask("POST", &activate).by(&house.owner).json(&json!({})).send().await.expect(200);
    house.get("/api/v1/me").by(member).send().await.expect(200);
    // It is out there still: whoever reports it again is heard again.
    house.report(&member.secret).await.expect(202);
    house.get("/api/v1/me").by(member).send().await.expect(401);
}

#[tokio::test]
async fn an_answer_tells_nothing_of_what_was_reported() {
    let house = House::new().await;
    let (revoked, revoked_secret) = house.token_of(house.member.user, "revoked").await;
    let gone = StatusChange { at: at(NOW), by: None, reason: None, governed: false };
    let status = TokenStatus::Revoked(gone);
    house.write(Write::Token(ApiToken { status, ..house.token(revoked) })).await;
    let (expired, expired_secret) = house.token_of(house.member.user, "expired").await;
    house.write(Write::Token(ApiToken { expires_at: at(NOW), ..house.token(expired) })).await;
    let path = house.at(&format!("/tokens/{}/rotate", house.member.token));
    let rotated = house.ask("POST", &path).by(&house.member).json(&json!({}));
    rotated.send().await.expect(200);
    let secret = &house.bystander.secret;
    let changed = secret.replace(&secret[4..10], "aaaaaa");
    let long = "x".repeat(5_000);
    let mut answers = Vec::new();
    for reported in [
        secret,
        secret,
        &house.member.secret,
        &revoked_secret,
        &expired_secret,
        &changed,
        &long,
        "",
        " ",
        "\u{0}\n",
        "not a token",
        "ghp_0123456789",
    ] {
        let begun = std::time::Instant::now();
        let answer = house.report(reported).await;
        assert!(begun.elapsed() >= ANSWER_AFTER, "{reported}: too soon");
        let mut headers = answer.headers.clone();
        headers.remove("x-request-id");
        headers.remove("date");
        answers.push((answer.status.as_u16(), answer.text, format!("{headers:?}")));
    }
    assert_eq!(answers[0].0, 202);
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:#?}");
    // Known are the live one and the same when it was deactivated, the former, the revoked and the
    // expired one.
    assert_eq!(house.reports().len(), 5);
}

/// A writer that is busy, or fails, must not be one that tells secrets of ours from others.
#[tokio::test]
async fn an_answer_tells_nothing_while_changes_are_not_taken_either() {
    for (error, kind) in
        [(CommitError::Busy, "busy"), (CommitError::Failed(String::new()), "unavailable")]
    {
        let is_down = Arc::new(AtomicBool::new(true));
        let seen = Arc::clone(&is_down);
        let house = House::before(|store| {
            let before = move |_: &Change| {
                if seen.load(Ordering::Relaxed) { Err(error.clone()) } else { Ok(()) }
            };
            Arc::new(Wayward::of(store).committing(before))
        })
        .await;
        let (revoked, revoked_secret) = house.token_of(house.member.user, "revoked").await;
        let status = TokenStatus::Revoked(deactivated(true));
        house.write(Write::Token(ApiToken { status, ..house.token(revoked) })).await;
        let secret = &house.bystander.secret;
        let changed = secret.replace(&secret[4..10], "aaaaaa");
        let mut answers = Vec::new();
        for reported in [secret, &revoked_secret, &changed, "", "not a token", &"x".repeat(5_000)] {
            let begun = std::time::Instant::now();
            let answer = house.report(reported).await.problem(503, kind);
            assert!(begun.elapsed() >= ANSWER_AFTER, "{reported}: too soon");
            let mut headers = answer.headers.clone();
            headers.remove("x-request-id");
            headers.remove("date");
            answers.push((answer.text, format!("{headers:?}")));
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{answers:#?}");
        assert!(answers[0].1.contains("retry-after"), "{answers:?}");
        // Whoever comes again, as they are told to, is heard, of the dead one, too.
        is_down.store(false, Ordering::Relaxed);
        house.report(secret).await.expect(202);
        house.report(&revoked_secret).await.expect(202);
        house.report(&changed).await.expect(202);
        assert_eq!(house.token(house.bystander.token).standing(), Standing::Deactivated);
        assert_eq!(house.reports().len(), 2);
    }
}

#[tokio::test]
async fn a_former_secret_that_is_still_good_ends_alone() {
    let house = House::new().await;
    let old = &house.bystander;
    let path = house.at(&format!("/tokens/{}/rotate", old.token));
    let overlap = json!({"overlap": {"value": 1, "unit": "hours"}});
    let rotated = house.ask("POST", &path).by(old).json(&overlap).send().await.expect(200);
    let new = rotated.body["secret"].as_str().expect("a secret").to_owned();
    house.get("/api/v1/me").by(old).send().await.expect(200);
    house.report(&old.secret).await.expect(202);
    house.get("/api/v1/me").by(old).send().await.expect(401);
    house.get("/api/v1/me").with_secret(&new).send().await.expect(200);
    assert_eq!(house.reports().len(), 1);
    assert_eq!(house.warned().len(), 3);
    house.report(&new).await.expect(202);
    house.get("/api/v1/me").with_secret(&new).send().await.expect(401);
}

#[tokio::test]
async fn it_works_while_governance_is_deactivated() {
    let house = House::new().await;
    house.govern(Governance::Deactivated).await;
    house.report(&house.bystander.secret).await.expect(202);
    house.get("/api/v1/me").by(&house.bystander).send().await.expect(401);
}

#[tokio::test]
async fn a_flood_of_reports_fills_no_trail_and_tires_nobody_with_mails() {
    let house = House::new().await;
    let secret = &house.bystander.secret;
    let body = json!({"token": secret, "url": PASTE});
    for number in 0..25 {
        let ask = house.ask("POST", LEAKS).from([10, 0, 0, number].into()).json(&body);
        ask.send().await.expect(202);
    }
    // The first one switched it off, and one more told that it is still around.
    assert_eq!(house.reports().len(), 2);
    assert_eq!(house.warned().len(), 6);
    let from = || house.ask("POST", LEAKS).from([10, 9, 9, 9].into());
    let asks = (0..20).map(|_| from().json(&json!({"token": "x"})).send());
    let mut asks: Vec<_> = asks.collect();
    while let Some(ask) = asks.pop() {
        ask.await.expect(202);
    }
    let refused = from().json(&body).send().await.problem(429, "too-many-guesses");
    assert_eq!(refused.headers["retry-after"], "6");
    assert!(!refused.text.contains(secret));
}

#[tokio::test]
async fn no_secret_is_kept_of_a_report() {
    let house = House::new().await;
    let secret = &house.bystander.secret;
    let percent: Vec<String> = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let percent = percent.concat();
    for url in [format!("https://x.example/?t={secret}"), percent.clone()] {
        let body = json!({"token": secret, "url": url, "source": format!("a\r\n{secret}")});
        house.ask("POST", LEAKS).json(&body).send().await.expect(202);
    }
    let held = format!(
        "{:?} {:?} {:?}",
        house.store.events(house.org, None, 1000).expect("readable"),
        house.all_notices(),
        house.token(house.bystander.token),
    );
    assert!(!held.contains(&secret[4..47]), "{held}");
    assert!(!held.contains(&percent[12..141]), "{held}");
    assert!(held.contains("https://x.example/?t=[secret]"));
}

#[tokio::test]
async fn what_is_no_report_is_refused_by_its_field() {
    let house = House::new().await;
    let secret = &house.bystander.secret;
    for (body, field) in [
        (json!({}), "token"),
        (json!({"token": 5}), "token"),
        (json!({"token": secret, "place": "x"}), "place"),
        (json!({"token": secret, "url": 5}), "url"),
    ] {
        let answer = house.ask("POST", LEAKS).json(&body).send().await;
        let answer = answer.problem(400, "invalid-request");
        assert_eq!(answer.field(), field, "{body}");
        assert!(!answer.text.contains(secret), "{body}");
    }
    let half = house.ask("POST", LEAKS).header("github-public-key-identifier", "x");
    let half = half.json(&json!([])).send().await.problem(400, "invalid-request");
    assert_eq!(half.field(), "github-public-key-signature");
    // Nobody signs here, so nobody reports many at once.
    let many = json!([{"token": secret, "type": "bearward", "url": PASTE, "source": "content"}]);
    house.ask("POST", LEAKS).json(&many).send().await.problem(403, "forbidden");
    let forged = house.ask("POST", LEAKS).header("github-public-key-identifier", "x");
    let forged = forged.header("github-public-key-signature", "MEUCIQ==").json(&many);
    forged.send().await.problem(403, "forbidden");
    let large = json!({"token": "x".repeat(REPORT_BYTES_MAX)});
    house.ask("POST", LEAKS).json(&large).send().await.problem(413, "too-large");
    let plain = house.ask("POST", LEAKS).header("content-type", "text/html").body("x");
    plain.send().await.problem(415, "unsupported-media-type");
    house.get("/api/v1/me").by(&house.bystander).send().await.expect(200);
}
