//! Roles that tokens carry and that no request needed.

use super::*;
use crate::time::Day;
use crate::token::watch::Step;
use crate::token::{Need, Use};

fn day(days: u64) -> Timestamp {
    at(NOW).after(Duration::from_hours(24 * days))
}

fn one_of(roles: &[RoleId]) -> Arc<Need> {
    Arc::new(Need { any_of: roles.iter().copied().collect(), all_of: RoleSet::empty() })
}

impl House {
    async fn needed(&self, token: TokenId, roles: &[RoleId], at: Timestamp) {
        let needs = vec![one_of(roles)];
        let uses = vec![Use { token, usage: Usage::once(at), needs }];
        self.store.record_usage(uses).await.expect("the store takes it");
    }

    async fn unused(&self, query: &str) -> Answer {
        self.get(&self.at(&format!("/insight/unused-scope{query}"))).by(&self.owner).send().await
    }

    /// The row of one token, if it is listed.
    async fn row(&self, token: TokenId, query: &str) -> Option<Value> {
        let answer = self.unused(&format!("?token={token}{query}")).await.expect(200);
        answer.body["items"].as_array().expect("a list").first().cloned()
    }
}

fn scope(org_roles: &[&str], orders: &[&str]) -> Value {
    let roles: Vec<Value> =
        orders.iter().map(|role| json!({"service": "orders", "role": role})).collect();
    json!({"org_roles": org_roles, "service_roles": roles})
}

#[tokio::test]
async fn a_role_is_unused_from_the_day_after_its_last_need_on() {
    let house = House::new().await;
    house.write(Write::Watch(Step::Begin(day(0)))).await;
    let token = house.member.token;
    house.needed(token, &[ROLE_READER], day(10)).await;
    house.set_now(day(40));
    let row = house.row(token, "&days=30").await.expect("it has an organization role");
    assert_eq!(row["scope"], scope(&["org_member"], &["reader"]));
    assert_eq!(row["unused"], scope(&["org_member"], &[]));
    assert_eq!(row["one_of"], json!([]));
    assert_eq!((&row["use_count"], &row["last_used_at"]), (&json!(1), &json!(day(10).to_string())));
    assert_eq!(row["owner"]["email"], "mem@example.com");
    let row = house.row(token, "&days=29").await.expect("nothing was needed");
    assert_eq!(row["unused"], scope(&["org_member"], &["reader"]));
    // What is not stored yet counts.
    let pending = |roles: &[RoleId]| {
        let needs = vec![(one_of(roles), Day::of(day(39)))];
        house.pending.1.lock().expect("no panic").insert(token, needs);
    };
    pending(&[ROLE_READER]);
    let row = house.row(token, "&days=29").await.expect("it has an organization role");
    assert_eq!(row["unused"], scope(&["org_member"], &[]));
    pending(&[ROLE_READER, RoleId::ORG_MEMBER]);
    let row = house.row(token, "&days=29").await.expect("one would do");
    assert_eq!(
        (&row["unused"], &row["one_of"]),
        (&scope(&[], &[]), &json!([scope(&["org_member"], &["reader"])]))
    );
    // Whoever is not good for anything has nothing to give up.
    let off = TokenStatus::Deactivated(deactivated(true));
    house.write(Write::Token(ApiToken { status: off, ..house.token(token) })).await;
    assert_eq!(house.row(token, "&days=29").await, None);
}

#[tokio::test]
async fn since_when_requests_are_known_is_told_and_whether_all_are() {
    let house = House::new().await;
    let token = house.member.token;
    let before = house.unused("").await.expect(200).body;
    assert_eq!((&before["observed_since"], &before["gaps"]), (&Value::Null, &json!([])));
    assert_eq!(before["items"][0]["complete"], false, "no gateway ever ran");
    for step in [Step::Begin(day(5)), Step::Through(day(20)), Step::Begin(day(21))] {
        house.write(Write::Watch(step)).await;
    }
    house.set_now(day(40));
    let told = house.unused("").await.expect(200).body;
    assert_eq!(told["observed_since"], day(5).to_string());
    assert_eq!(told["gaps"], json!([{"from": day(20).to_string(), "until": day(21).to_string()}]));
    assert_eq!((&told["days"], &told["as_of"]), (&json!(90), &json!(day(40).to_string())));
    for (days, complete) in [(36, false), (35, false), (20, false), (19, true), (1, true)] {
        let row = house.row(token, &format!("&days={days}")).await.expect("it is unused");
        assert_eq!(row["complete"], complete, "{days}");
        assert_eq!(row["observed_since"], day(5).to_string());
        for wanted in [true, false] {
            let found = house.row(token, &format!("&days={days}&complete={wanted}")).await;
            assert_eq!(found.is_some(), wanted == complete, "{days}");
        }
    }
    // A token that came here later is known for no longer.
    let young = TokenId::new(day(30), [7; 10]);
    let digest = crate::secret::Digest::from_bytes([7; 32]);
    house.write(Write::Token(ApiToken { id: young, digest, ..house.token(token) })).await;
    let row = house.row(young, "&days=10").await.expect("it is unused");
    assert_eq!(
        (&row["observed_since"], &row["complete"]),
        (&json!(day(30).to_string()), &json!(true))
    );
    let row = house.row(young, "&days=11").await.expect("it is unused");
    assert_eq!(row["complete"], false);
}

#[tokio::test]
async fn tokens_come_in_pages_those_with_most_to_give_up_first() {
    let house = House::new().await;
    house.needed(house.member.token, &[ROLE_READER], day(0)).await;
    let all = house.unused("").await.expect(200).body;
    let ids = |body: &Value| -> Vec<String> {
        let items = body["items"].as_array().expect("a list").iter();
        items.map(|row| row["id"].as_str().expect("an identity").to_owned()).collect()
    };
    let whole = ids(&all);
    assert_eq!(whole.len(), 5, "{all}");
    assert_eq!(whole[4], house.member.token.to_string());
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = house.unused(&format!("?limit=2{cursor}")).await.expect(200).body;
        paged.extend(ids(&page));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, whole);
    let by_name = house.unused("?sort=name").await.expect(200).body;
    assert_eq!(by_name["items"][0]["name"], "Ada's");
    let other = house.outsider.token;
    house.unused(&format!("?token={other}")).await.problem(404, "not-found");
    for (bad, field) in [
        ("days=0", "days"),
        ("days=367", "days"),
        ("token=x", "token"),
        ("complete=maybe", "complete"),
        ("sort=scope", "sort"),
        ("limit=201", "limit"),
        ("cursor=00", "cursor"),
        ("role=x", "role"),
    ] {
        let answer = house.unused(&format!("?{bad}")).await.problem(400, "invalid-request");
        assert_eq!(answer.field(), field, "{bad}");
    }
}
