//! Validation runs over HTTP. Who makes them is elsewhere: here they wait.

use super::*;
use crate::store::Validations as _;

#[tokio::test]
async fn s18_a_run_is_asked_for_and_joins_one_that_waits() {
    let house = House::new().await;
    let path = house.at("/validations");
    let list = |query: &str| house.get(&format!("{path}{query}")).by(&house.admin).send();
    assert_eq!(list("").await.expect(200).body, json!({"items": [], "next_cursor": null}));
    let post = || house.ask("POST", &path).by(&house.owner).send();
    let run = post().await.expect(202).body;
    let expected = json!({
        "number": 1,
        "reason": "on_demand",
        "asked_by": house.owner.user,
        "asked_at": "2027-01-01T00:00:00.000Z",
        "state": "queued",
        "started_at": null,
        "finished_at": null,
        "duration_ms": null,
        "tokens_read": null,
        "flagged": null,
        "new_violations": null,
        "cleared_violations": null,
    });
    assert_eq!(run, expected);
    house.set_now(at("2027-01-01T00:00:01Z"));
    assert_eq!(post().await.expect(202).body, run, "the same one");
    let body = json!({"idle_ttl": {"active": true, "value": 9, "unit": "days"}});
    let put = house.ask("PUT", &house.at("/policies")).by(&house.owner).json(&body);
    put.send().await.expect(200);
    assert_eq!(list("").await.expect(200).body["items"], json!([run]));
    for bad in ["?limit=0", "?cursor=x", "?cursor=-1", "?since=now"] {
        list(bad).await.problem(400, "invalid-request");
    }
    let body = house.ask("POST", &path).by(&house.owner).json(&json!({"all": true})).send();
    assert_eq!(body.await.problem(400, "invalid-request").field(), "all");
}

#[tokio::test]
async fn a_changed_policy_wants_a_run_and_an_unchanged_one_none() {
    let house = House::new().await;
    let put = || {
        let body = json!({"idle_ttl": {"active": true, "value": 9, "unit": "days"}});
        house.ask("PUT", &house.at("/policies")).by(&house.owner).json(&body).send()
    };
    put().await.expect(200);
    let list = || house.get(&house.at("/validations")).by(&house.owner).send();
    let runs = list().await.expect(200).body;
    assert_eq!(runs["items"][0]["reason"], "policy_changed");
    assert_eq!(runs["items"][0]["asked_by"], house.owner.user.to_string());
    let schedules = house.store.schedules().expect("readable");
    assert_eq!(schedules.iter().find(|known| known.org == house.org).map(|s| s.latest), Some(1));
    put().await.expect(200);
    assert_eq!(list().await.body, runs);
}

#[tokio::test]
async fn the_history_comes_in_pages() {
    let house = House::new().await;
    for number in 1..=5 {
        let path = house.at("/validations");
        house.ask("POST", &path).by(&house.owner).send().await.expect(202);
        for write in crate::scheduler::tests::through(house.org, number) {
            house.write(Write::Validation(write)).await;
        }
    }
    let list = |query: &str| {
        house.get(&house.at(&format!("/validations?limit=2{query}"))).by(&house.owner).send()
    };
    let mut seen = Vec::new();
    let mut query = String::new();
    loop {
        let page = list(&query).await.expect(200).body;
        let items = page["items"].as_array().expect("a list");
        seen.extend(items.iter().map(|run| run["number"].as_u64().expect("a number")));
        assert!(items.iter().all(|run| run["state"] == "finished" && run["duration_ms"] == 7));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("&cursor={cursor}");
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
}
