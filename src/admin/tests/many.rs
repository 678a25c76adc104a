//! Many tokens at once: filters, bulk switches; and tokens that go to another user.

use super::*;
use crate::change::Write;
use crate::notice::{Addressee, Kind};
use crate::token::Standing;

impl House {
    async fn bulk(&self, by: &Member, body: Value) -> Answer {
        self.ask("POST", &self.at("/tokens/bulk")).by(by).json(&body).send().await
    }

    async fn listed(&self, query: &str) -> Vec<String> {
        let path = self.at(&format!("/tokens?sort=name&{query}"));
        let answer = self.get(&path).by(&self.owner).send().await.expect(200);
        let items = answer.body["items"].as_array().expect("items").iter();
        items.map(|item| item["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// Three tokens of the bystander: one used long ago, one used lately, one never.
    async fn furnished(&self) -> [TokenId; 3] {
        let mut ids = Vec::new();
        for (name, used, end) in [
            ("f-long-ago", Some("2026-06-01T00:00:00Z"), "2027-02-01T00:00:00Z"),
            ("f-lately", Some("2026-12-31T00:00:00Z"), "2027-03-01T00:00:00Z"),
            ("f-never", None, "2027-04-01T00:00:00Z"),
        ] {
            let (id, _) = self.token_of(self.bystander.user, name).await;
            let scope = [RoleId::ORG_MEMBER].into_iter().collect();
            let token = ApiToken { scope, expires_at: at(end), ..self.token(id) };
            self.write(Write::Token(token)).await;
            if let Some(used) = used {
                self.write(Write::Usage(id, Usage::once(at(used)))).await;
            }
            ids.push(id);
        }
        ids.try_into().expect("three")
    }
}

#[tokio::test]
async fn lists_are_filtered_by_role_end_and_use() {
    let house = House::new().await;
    house.furnished().await;
    let of = |query: &'static str| house.listed(query);
    assert_eq!(of("q=f-").await, ["f-lately", "f-long-ago", "f-never"]);
    assert_eq!(of("q=f-&used_before=2026-12-31T00:00:00Z").await, ["f-long-ago"]);
    assert_eq!(of("used_before=2026-12-31T00:00:00.001Z").await, ["f-lately", "f-long-ago"]);
    assert_eq!(of("q=f-&never_used=true").await, ["f-never"]);
    assert_eq!(of("q=f-&never_used=false").await, ["f-lately", "f-long-ago"]);
    assert_eq!(of("expires_before=2027-03-01T00:00:00Z").await, ["f-long-ago"]);
    assert_eq!(of("expires_before=2027-03-01T00:00:00.001Z").await, ["f-lately", "f-long-ago"]);
    assert_eq!(of("q=f-&role=orders/reader").await, [""; 0]);
    assert_eq!(of("role=org_admin").await, ["Ada's", "Op's", "Owen's"]);
    for (query, field) in [
        ("role=orders/nobody", "role"),
        ("role=ORG", "role"),
        ("used_before=yesterday", "used_before"),
        ("expires_before=1", "expires_before"),
        ("never_used=perhaps", "never_used"),
    ] {
        let path = house.at(&format!("/tokens?{query}"));
        let refused = house.get(&path).by(&house.owner).send().await;
        assert_eq!(refused.problem(400, "invalid-request").field(), field);
    }
}

#[tokio::test]
async fn many_are_switched_and_each_tells() {
    let house = House::new().await;
    let [a, b, c] = house.furnished().await;
    let gone = TokenStatus::Revoked(deactivated(true));
    house.write(Write::Token(ApiToken { status: gone, ..house.token(c) })).await;
    let nowhere = TokenId::from_bits(77);
    let ids = json!([a, b, c, nowhere, house.outsider.token]);
    let body = json!({"action": "deactivate", "ids": ids, "reason": "audit"});
    let answer = house.bulk(&house.owner, body).await.expect(200);
    let results = answer.body["results"].as_array().expect("results").clone();
    let told: Vec<(&Value, &Value)> =
        results.iter().map(|result| (&result["id"], &result["ok"])).collect();
    let [good, bad] = [&json!(true), &json!(false)];
    let id = |id: TokenId| json!(id);
    let (a_id, b_id, c_id, nowhere, other) =
        (id(a), id(b), id(c), id(nowhere), id(house.outsider.token));
    assert_eq!(told, [(&a_id, good), (&b_id, good), (&c_id, bad), (&nowhere, bad), (&other, bad)]);
    assert!(results[0].get("message").is_none());
    assert!(results[2]["message"].as_str().expect("why").contains("revoked"));
    assert_eq!(results[3]["message"], results[4]["message"], "another's is as good as nowhere");
    for id in [a, b] {
        let change = house.token(id).status_change().expect("switched").clone();
        assert_eq!((change.reason.as_deref(), change.governed), (Some("audit"), true));
    }
    assert_eq!(house.token(house.outsider.token).status, TokenStatus::Activated(None));
    let trail = house.get(&house.at("/audit")).by(&house.owner).send().await.expect(200);
    let events = trail.body["items"].as_array().expect("items").iter();
    let switched = events.filter(|event| event["action"] == "token.deactivated");
    assert_eq!(switched.count(), 2, "one event each");
}

#[tokio::test]
async fn members_switch_many_of_their_own_and_no_filter() {
    let house = House::new().await;
    let (own, _) = house.token_of(house.member.user, "own").await;
    let ids = json!([own, house.bystander.token]);
    let answer = house.bulk(&house.member, json!({"action": "revoke", "ids": ids})).await;
    let results = answer.expect(200).body["results"].clone();
    assert_eq!((&results[0]["ok"], &results[1]["ok"]), (&json!(true), &json!(false)));
    assert_eq!(house.token(house.bystander.token).status, TokenStatus::Activated(None));
    let body = json!({"action": "revoke", "filter": {"owner": "me"}});
    house.bulk(&house.member, body).await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_filter_never_hits_the_calling_token_and_a_dry_run_nothing() {
    let house = House::new().await;
    let body = json!({"action": "deactivate", "filter": {"role": "org_member"}, "dry_run": true});
    let before = house.listed("status=deactivated").await;
    let told = house.bulk(&house.owner, body.clone()).await.expect(200);
    assert_eq!(told.body["results"].as_array().expect("results").len(), 4);
    assert_eq!(house.listed("status=deactivated").await, before, "a dry run");
    let mut body = body;
    body["dry_run"] = json!(false);
    house.bulk(&house.owner, body).await.expect(200);
    assert_eq!(house.listed("status=activated").await, ["Owen's"]);
    let back = json!({"action": "activate", "filter": {"status": "deactivated"}});
    house.bulk(&house.owner, back).await.expect(200);
    assert_eq!(house.listed("status=activated").await.len(), 5);
}

#[tokio::test]
async fn the_calling_token_comes_last_wherever_it_stands() {
    for place in [0, 2, 3] {
        let house = House::new().await;
        let own = house.owner.token;
        let mut ids = house.furnished().await.to_vec();
        ids.insert(place, own);
        ids.push(own);
        let body = json!({"action": "revoke", "ids": ids});
        let answer = house.bulk(&house.owner, body).await.expect(200);
        let results = answer.body["results"].as_array().expect("results").clone();
        let told: Vec<_> = results.iter().map(|result| result["id"].clone()).collect();
        assert_eq!(told, ids.iter().map(|id| json!(id)).collect::<Vec<_>>(), "as asked for");
        assert!(results.iter().all(|result| result["ok"] == true), "{}", answer.text);
        for id in ids {
            assert_eq!(house.token(id).standing(), Standing::Revoked, "{place}");
        }
        house.get("/api/v1/me").by(&house.owner).send().await.expect(401);
    }
}

#[tokio::test]
async fn a_calling_token_that_ends_midway_takes_no_results_along() {
    let house = House::new().await;
    let mut seed = Seed { next: 10_000, writes: vec![] };
    let owner = house.user(house.bystander.user);
    let ids: Vec<TokenId> = (0..1_000).map(|_| seed.token(&owner, "crowd").0).collect();
    let change = Change { writes: seed.writes, ..Change::default() };
    house.store.commit(change).await.expect("the store takes it");
    let is_off = |id: TokenId| house.token(id).standing() == Standing::Deactivated;
    let ends = async {
        while !is_off(ids[0]) {
            tokio::task::yield_now().await;
        }
        let token = house.token(house.owner.token);
        let status = TokenStatus::Revoked(deactivated(true));
        house.write(Write::Token(ApiToken { status, ..token })).await;
    };
    let body = json!({"action": "deactivate", "ids": ids});
    let (answer, ()) = tokio::join!(house.bulk(&house.owner, body), ends);
    let answer = answer.expect(200);
    let results = answer.body["results"].as_array().expect("results");
    assert_eq!(results.len(), ids.len());
    for (result, id) in results.iter().zip(&ids) {
        assert_eq!(result["ok"], is_off(*id), "what is told is what was done");
        assert!(result["ok"] == true || result["message"] == "the token is not valid");
    }
    let refused = results.iter().filter(|result| result["ok"] == false).count();
    assert!(refused > 0, "it ended too late to matter");
}

#[tokio::test]
async fn what_is_asked_of_many_is_bounded_and_clear() {
    let house = House::new().await;
    let many: Vec<TokenId> = (0..1_001).map(TokenId::from_bits).collect();
    let secret = house.member.secret.clone();
    for (body, field) in [
        (json!({"action": "revoke"}), "ids"),
        (json!({"action": "revoke", "ids": [], "filter": {}}), "filter"),
        (json!({"action": "revoke", "ids": []}), "ids"),
        (json!({"action": "revoke", "ids": many}), "ids"),
        (json!({"action": "revoke", "ids": [house.member.token, secret]}), "ids[1]"),
        (json!({"action": "kill", "ids": [house.member.token]}), "action"),
        (json!({"action": "revoke", "filter": {"role": "x/y"}}), "filter.role"),
        (json!({"action": "revoke", "filter": {"owner": "you"}}), "filter.owner"),
        (json!({"action": "revoke", "filter": {"name": "x"}}), "filter.name"),
    ] {
        let refused = house.bulk(&house.owner, body).await.problem(400, "invalid-request");
        assert_eq!(refused.field(), field);
        assert!(!refused.text.contains(&secret));
    }
    assert_eq!(house.listed("status=revoked").await, [""; 0]);
}

#[tokio::test]
async fn more_than_a_request_may_switch_are_refused_and_as_many_are_switched() {
    let house = House::new().await;
    let mut seed = Seed { next: 10_000, writes: vec![] };
    let owner = house.user(house.bystander.user);
    for _token in 0..1_001 {
        seed.token(&owner, "crowd");
    }
    let change = Change { writes: seed.writes, ..Change::default() };
    house.store.commit(change).await.expect("the store takes it");
    let body = json!({"action": "deactivate", "filter": {"q": "crowd"}});
    let refused = house.bulk(&house.owner, body.clone()).await.problem(400, "invalid-request");
    assert_eq!(refused.field(), "filter");
    assert!(refused.text.contains("1000"), "{}", refused.text);
    assert_eq!(house.listed("status=deactivated").await, [""; 0]);
    let one = json!({"action": "revoke", "ids": [TokenId::from_bits(10_001)]});
    house.bulk(&house.owner, one).await.expect(200);
    let body = json!({"action": "deactivate", "filter": {"q": "crowd", "status": "activated"}});
    let told = house.bulk(&house.owner, body).await.expect(200);
    let results = told.body["results"].as_array().expect("results");
    assert_eq!(results.len(), 1_000);
    assert!(results.iter().all(|result| result["ok"] == true));
}

#[tokio::test]
async fn a_token_goes_to_another_user_with_its_secret_and_history() {
    let house = House::new().await;
    let path = house.at(&format!("/tokens/{}/transfer", house.member.token));
    let give = |body: Value| house.ask("POST", &path).by(&house.owner).json(&body).send();
    house.write(Write::Usage(house.member.token, Usage::once(at(NOW)))).await;
    let answer = give(json!({"owner": house.bystander.user, "reason": "left"})).await.expect(200);
    assert_eq!(answer.body["owner"]["name"], "By");
    assert_eq!(answer.body["use_count"], 1);
    let me = house.get("/api/v1/me").with_secret(&house.member.secret).send().await.expect(200);
    assert_eq!(me.body["user"]["name"], "By", "the same secret, another's now");
    let trail = house.get(&house.at("/audit?limit=1")).by(&house.owner).send().await.expect(200);
    assert_eq!(trail.body["items"][0]["reason"], "left");
    let told = house.all_notices();
    let mut to: Vec<_> = told.iter().map(|notice| notice.to).collect();
    to.sort_by_key(|to| to.bits());
    let both = [house.member.user, house.bystander.user];
    assert_eq!(to, both.map(Addressee::User), "who has it now, and who had it");
    assert!(told.iter().all(|notice| notice.says.kind == Kind::Transferred));
    let lacking = house.create_user(&house.owner, "l@example.com", &["org_member"]).await;
    let refused = give(json!({"owner": lacking})).await.problem(400, "invalid-request");
    assert_eq!(refused.field(), "owner");
    assert!(refused.text.contains("orders/reader"), "{}", refused.text);
    let narrowed = give(json!({"owner": lacking, "narrow": true})).await.expect(200);
    assert_eq!(narrowed.body["scope"]["service_roles"], json!([]));
    for nobody in [json!("usr_1"), json!(house.outsider.user), json!("me")] {
        let refused = give(json!({"owner": nobody})).await.problem(400, "invalid-request");
        assert_eq!(refused.field(), "owner");
    }
}
