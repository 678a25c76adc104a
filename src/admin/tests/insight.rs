//! What use and ends of the tokens come to.

use super::*;
use crate::access::{Reason, Verdicts};
use crate::store::wayward::Wayward;
use crate::store::{Grain, MINUTES_KEPT};
use crate::token::DAYS_KEPT;
use std::sync::Condvar;
use std::sync::atomic::AtomicUsize;
use tokio::task::JoinHandle;

fn day(days: u64) -> Timestamp {
    at(NOW).after(Duration::from_hours(24 * days))
}

fn used(at: Timestamp, use_count: u64) -> Usage {
    Usage { last_used_at: Some(at), use_count, ..Usage::default() }
}

#[tokio::test]
async fn tokens_that_nobody_needs_are_counted_and_named() {
    let house = House::new().await;
    // Five tokens were made on the first day.
    house.write(Write::Usage(house.bystander.token, used(day(3), 7))).await;
    house.write(Write::Usage(house.admin.token, used(day(5), 2))).await;
    house.pending.0.lock().expect("no panic").insert(house.admin.token, used(day(34), 1));
    let (gone, _) = house.token_of(house.member.user, "revoked").await;
    let revoked = TokenStatus::Revoked(deactivated(true));
    house.write(Write::Token(ApiToken { status: revoked, ..house.token(gone) })).await;
    let (young, _) = house.token_of(house.member.user, "young").await;
    house.write(Write::Token(ApiToken { issued_at: day(35), ..house.token(young) })).await;
    house.set_now(day(35));
    let stale = |query: &str| {
        house.get(&house.at(&format!("/insight/stale{query}"))).by(&house.owner).send()
    };
    let told = stale("?days=32").await.expect(200).body;
    for (field, count) in [
        ("days", 32),
        ("tokens_read", 7),
        ("live", 6),
        ("never_used", 4),
        ("stale", 4),
        ("stale_never_used", 3),
    ] {
        assert_eq!(told[field], count, "{field}: {told}");
    }
    assert_eq!(told["as_of"], day(35).to_string());
    let steps: Vec<(&Value, &Value, &Value)> = told["idle"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|step| (&step["from_days"], &step["below_days"], &step["tokens"]))
        .collect();
    let expected = [(0, Some(1), 1), (1, Some(7), 1), (7, Some(30), 0), (30, Some(60), 4)];
    for (step, (from, below, tokens)) in steps.iter().zip(expected) {
        assert_eq!(*step, (&json!(from), &json!(below), &json!(tokens)), "{told}");
    }
    assert_eq!(steps.last(), Some(&(&json!(365), &Value::Null, &json!(0))));
    // The longest idle come first: three from the first day, then the one that was used.
    let named = told["tokens"].as_array().expect("a list");
    assert_eq!(named.len(), 4, "{told}");
    let expected = json!({
        "id": house.bystander.token,
        "name": "By's",
        "owner": {"id": house.bystander.user, "name": "By", "email": "by@example.com"},
        "idle_since": day(3).to_string(),
        "last_used_at": day(3).to_string(),
        "use_count": 7,
    });
    assert_eq!(named[3], expected);
    assert_eq!(named[0]["last_used_at"], Value::Null);
    assert_eq!(named[0]["idle_since"], day(0).to_string());
    // The very instant counts, the one before does not.
    assert_eq!(stale("?days=35").await.body["stale"], 3);
    house.set_now(Timestamp::from_millis(day(35).millis() - 1));
    assert_eq!(stale("?days=36").await.body["stale"], 0);
    for bad in ["0", "367", "-1", "many", ""] {
        let answer = stale(&format!("?days={bad}")).await.problem(400, "invalid-request");
        assert_eq!(answer.field(), "days");
    }
    assert_eq!(stale("?dais=1").await.problem(400, "invalid-request").field(), "dais");
}

#[tokio::test]
async fn the_calendar_has_each_day_on_which_tokens_end() {
    let house = House::new().await;
    for (name, ends) in [
        ("over", day(10)),
        ("today", Timestamp::from_millis(day(10).millis() + 1)),
        ("the same day, later", Timestamp::from_millis(day(11).millis() - 1)),
        ("tomorrow", day(11)),
        ("on the last day", Timestamp::from_millis(day(13).millis() - 1)),
        ("beyond", day(13)),
    ] {
        let (token, _) = house.token_of(house.member.user, name).await;
        let token = ApiToken { expires_at: ends, ..house.token(token) };
        house.write(Write::Token(token)).await;
    }
    let (off, _) = house.token_of(house.member.user, "switched off").await;
    let status = TokenStatus::Deactivated(deactivated(true));
    house.write(Write::Token(ApiToken { status, expires_at: day(11), ..house.token(off) })).await;
    house.set_now(day(10));
    let path = house.at("/insight/expiry?days=3");
    let told = house.get(&path).by(&house.owner).send().await.expect(200).body;
    let days: Vec<(&str, u64)> = told["calendar"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|day| {
            let tokens = day["tokens"].as_array().expect("a list").len() as u64;
            assert_eq!(day["count"], tokens);
            (day["day"].as_str().expect("a day"), tokens)
        })
        .collect();
    assert_eq!(days, [("2027-01-11", 2), ("2027-01-12", 1), ("2027-01-13", 1)]);
    // Five that live for half a year, and one that ends just after.
    assert_eq!((&told["later"], &told["live"]), (&json!(6), &json!(10)));
    assert_eq!(told["tokens_read"], 12);
}

#[tokio::test]
async fn requests_are_told_by_the_day_and_verdicts_by_the_minute_too() {
    let house = House::new().await;
    let token = house.member.token;
    for (uses, last) in [(3, day(0)), (2, day(0).after(Duration::from_hours(23))), (7, day(2))] {
        let rows = vec![(token, used(last, uses)).into()];
        house.store.record_usage(rows).await.expect("the store takes it");
    }
    house.pending.0.lock().expect("no panic").insert(token, used(day(3), 4));
    let verdicts = |permitted, expired| {
        let mut verdicts = Verdicts { permitted, ..Verdicts::default() };
        verdicts.denied[Reason::Expired as usize] = expired;
        Box::new(verdicts)
    };
    let minute = |minutes: u64| day(3).after(Duration::from_secs(60 * minutes));
    house.write(Write::Verdicts(house.org, day(1), verdicts(5, 0))).await;
    house.write(Write::Verdicts(house.org, minute(1), verdicts(1, 2))).await;
    house.write(Write::Verdicts(house.org, minute(2), verdicts(1, 0))).await;
    let within = minute(2).after(Duration::from_secs(59));
    house.write(Write::Verdicts(house.org, within, verdicts(0, 4))).await;
    house.write(Write::Verdicts(house.other_org, within, verdicts(99, 99))).await;
    house.set_now(within);
    let ask = |question: &str| {
        house.get(&house.at(&format!("/insight/{question}"))).by(&house.owner).send()
    };
    let counts = |answer: &Value| -> Vec<u64> {
        let days = answer["days"].as_array().expect("a list");
        days.iter().map(|day| day["requests"].as_u64().expect("a count")).collect()
    };
    let span = "from=2027-01-01&to=2027-01-05";
    let told = ask(&format!("requests?token={token}&{span}")).await.expect(200).body;
    assert_eq!(counts(&told), [5, 0, 7, 4, 0]);
    assert_eq!(told["days"][2]["day"], "2027-01-03");
    let all = ask(&format!("requests?{span}")).await.expect(200).body;
    assert_eq!(counts(&all), [0, 5, 0, 2, 0]);
    assert_eq!(counts(&ask("requests").await.expect(200).body).len(), 35);
    let other = house.outsider.token;
    ask(&format!("requests?token={other}")).await.problem(404, "not-found");
    for (bad, field) in [
        ("token=x", "token"),
        ("from=2027-1-1", "from"),
        ("to=tomorrow", "to"),
        ("from=2027-01-05&to=2027-01-04", "from"),
        ("from=2027-01-01&to=2027-02-05", "from"),
    ] {
        let answer = ask(&format!("requests?{bad}")).await.problem(400, "invalid-request");
        assert_eq!(answer.field(), field, "{bad}");
    }
    let told = ask("verdicts?minutes=2&days=3").await.expect(200).body;
    let at = |minutes| minute(minutes).to_string();
    assert_eq!(
        told["minutes"],
        json!([{"at": at(1), "permitted": 1, "denied": {"expired": 2}},
            {"at": at(2), "permitted": 1, "denied": {"expired": 4}}]),
    );
    assert_eq!(
        told["days"],
        json!([{"day": "2027-01-02", "permitted": 5, "denied": {}},
            {"day": "2027-01-04", "permitted": 2, "denied": {"expired": 6}}]),
    );
    let told = ask("verdicts?minutes=1&days=1").await.expect(200).body;
    assert_eq!(told["minutes"].as_array().map(Vec::len), Some(1));
    assert_eq!(told["days"].as_array().map(Vec::len), Some(1));
    for (bad, field) in [("minutes=361", "minutes"), ("minutes=0", "minutes"), ("days=36", "days")]
    {
        let answer = ask(&format!("verdicts?{bad}")).await.problem(400, "invalid-request");
        assert_eq!(answer.field(), field, "{bad}");
    }
}

#[tokio::test]
async fn figures_are_kept_for_a_bounded_time() {
    let house = House::new().await;
    let one = || Box::new(Verdicts { permitted: 1, ..Verdicts::default() });
    for minute in 0..400 {
        let at = day(0).after(Duration::from_secs(60 * minute));
        house.write(Write::Verdicts(house.org, at, one())).await;
    }
    let minutes = house.store.verdicts(house.org, Grain::Minute).expect("readable");
    assert_eq!(minutes.len(), usize::from(MINUTES_KEPT));
    assert_eq!(minutes[0].0, day(0).after(Duration::from_mins(40)));
    for days in 1..50 {
        house.write(Write::Verdicts(house.org, day(days), one())).await;
        let uses = vec![(house.member.token, used(day(days), 1)).into()];
        house.store.record_usage(uses).await.expect("the store takes it");
    }
    let days = house.store.verdicts(house.org, Grain::Day).expect("readable");
    assert_eq!((days.len(), days[0].0), (usize::from(DAYS_KEPT), day(15)));
    let used = house.store.used(house.org, &[house.member.token]).expect("readable");
    assert_eq!(used[0].days.iter().count(), usize::from(DAYS_KEPT));
    let rest = house.store.verdicts(house.org, Grain::Minute).expect("readable");
    assert!(rest.len() < 40, "{}", rest.len());
}

#[tokio::test]
async fn an_answer_is_given_again_for_some_seconds_and_only_to_those_who_may_ask() {
    let house = House::new().await;
    let path = house.at("/insight/stale?days=1");
    let ask = |by: &Member| house.get(&path).by(by).send();
    let first = ask(&house.owner).await.expect(200).body;
    house.write(Write::Usage(house.member.token, used(day(0), 1))).await;
    let just_before = ANSWERS_KEPT.checked_sub(Duration::from_millis(1)).expect("some seconds");
    house.set_now(at(NOW).after(just_before));
    assert_eq!(ask(&house.operator).await.expect(200).body, first, "the same answer");
    ask(&house.admin).await.problem(403, "forbidden");
    let other = format!("/api/v1/orgs/{}/insight/stale?days=1", house.other_org);
    let others = house.get(&other).by(&house.outsider).send().await.expect(200).body;
    assert_eq!(others["tokens_read"], 1, "an answer is of one organization");
    let expiry = house.get(&house.at("/insight/expiry?days=1")).by(&house.owner).send().await;
    assert!(expiry.expect(200).body["calendar"].is_array(), "and to one question");
    house.set_now(at(NOW).after(ANSWERS_KEPT));
    let later = ask(&house.owner).await.expect(200).body;
    assert_eq!(first["never_used"].as_u64(), later["never_used"].as_u64().map(|left| left + 1));
    house.govern(Governance::Deactivated).await;
    ask(&house.owner).await.expect(403);
}

/// A gate before what reads the tokens of one organization.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
    at_it: AtomicUsize,
    most: AtomicUsize,
}

impl Gate {
    /// A house before whose first organization the gate is closed.
    async fn house(self: &Arc<Self>) -> Arc<House> {
        let gate = Arc::clone(self);
        let house = House::before(|store| {
            let known = Arc::clone(store);
            let before = move |org| {
                if known.organizations().expect("readable")[0].id == org {
                    gate.pass();
                }
                Ok(())
            };
            Arc::new(Wayward::of(store).visiting(before))
        });
        Arc::new(house.await)
    }

    fn pass(&self) {
        let at_it = self.at_it.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(at_it, Ordering::SeqCst);
        let is_open = self.is_open.lock().expect("no panic");
        drop(self.opened.wait_while(is_open, |is_open| !*is_open).expect("no panic"));
        self.at_it.fetch_sub(1, Ordering::SeqCst);
    }

    fn open(&self) {
        *self.is_open.lock().expect("no panic") = true;
        self.opened.notify_all();
    }

    async fn somebody_is_at_it(&self) {
        while self.at_it.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Asks in a task of its own.
fn asked(house: &Arc<House>, by: &Member, rest: &str) -> JoinHandle<Answer> {
    let (house, by, path) = (Arc::clone(house), by.clone(), house.at(rest));
    tokio::spawn(async move { house.get(&path).by(&by).send().await })
}

/// An owner asks so many questions that they would hold half of the room at the admin port, each of which
/// would read a million tokens: all others are heard at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_of_one_organization_hold_up_nobody_else() {
    let gate = Arc::<Gate>::default();
    let house = gate.house().await;
    let by = &house.owner;
    let mut questions = vec![
        asked(&house, by, "/insight/expiry"),
        asked(&house, by, "/insight/unused-scope"),
        asked(&house, by, "/insight/stale"),
    ];
    let preview = {
        let (house, by) = (Arc::clone(&house), by.clone());
        let body = json!({"max_ttl": {"active": true, "value": 1, "unit": "days"}});
        let path = house.at("/policies/preview");
        async move { house.ask("POST", &path).by(&by).json(&body).send().await }
    };
    questions.push(tokio::spawn(preview));
    gate.somebody_is_at_it().await;
    let many = (1..=REQUESTS_MAX / 2).map(|days| format!("/insight/stale?days={days}"));
    questions.extend(many.map(|question| asked(&house, by, &question)));

    let theirs = async {
        let at = |rest: &str| format!("/api/v1/orgs/{}{rest}", house.other_org);
        let outsider = &house.outsider;
        house.get(&at("/insight/stale")).by(outsider).send().await.expect(200);
        house.get(&at("/insight/unused-scope")).by(outsider).send().await.expect(200);
        let (spare, _) = house.token_of(outsider.user, "spare").await;
        let off = at(&format!("/tokens/{spare}/deactivate"));
        house.ask("POST", &off).by(outsider).json(&json!({})).send().await.expect(200);
        // Nor is the rest of their own organization held up.
        let off = house.at(&format!("/tokens/{}/deactivate", house.bystander.token));
        house.ask("POST", &off).by(by).json(&json!({})).send().await.expect(200);
        // Who has no place in the line is told so meanwhile.
        while questions.iter().filter(|asked| asked.is_finished()).count()
            < questions.len() - PASSES_PER_ORG_MAX
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), theirs).await.expect("they are heard");
    assert_eq!(gate.at_it.load(Ordering::SeqCst), 1, "one of them at a time");
    gate.open();
    let mut answered = 0;
    for asked in questions {
        let answer = asked.await.expect("no panic");
        if answer.status == StatusCode::OK {
            answered += 1;
            continue;
        }
        let answer = answer.problem(503, "busy");
        assert_eq!(answer.headers["retry-after"], "1");
    }
    assert_eq!(answered, PASSES_PER_ORG_MAX);
    assert_eq!(gate.most.load(Ordering::SeqCst), 1);
    asked(&house, by, "/insight/stale?days=300").await.expect("no panic").expect(200);
}

/// Waiting takes time, in which a token may end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_turn_is_judged_when_it_comes() {
    let gate = Arc::<Gate>::default();
    let house = gate.house().await;
    let first = asked(&house, &house.owner, "/insight/stale");
    gate.somebody_is_at_it().await;
    let second = asked(&house, &house.operator, "/insight/expiry");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let status = TokenStatus::Deactivated(deactivated(true));
    let token = house.token(house.operator.token);
    house.write(Write::Token(ApiToken { status, ..token })).await;
    gate.open();
    first.await.expect("no panic").expect(200);
    second.await.expect("no panic").problem(401, "invalid-token");
}
