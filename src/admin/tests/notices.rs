//! Webhooks and notices over the API.

use super::*;
use crate::change::Change;
use crate::notice::{About, Notice};
use crate::notice::{Addressee, Draft, Kind, Outcome, Retry};
use std::ops::ControlFlow;
use std::time::Duration;

impl House {
    /// Has somebody told of something.
    pub(super) async fn tell(&self, kind: Kind, user: UserId) -> Notice {
        let draft = Draft {
            org: self.org,
            at: Timestamp::from_millis(self.now.load(Ordering::Relaxed)),
            kind,
            about: About::Token(self.bystander.token, "By's".to_owned()),
            to: vec![user],
            by: Some(self.owner.user),
            reason: Some("left".to_owned()),
            details: Vec::new(),
        };
        let change = Change { notices: vec![draft], ..Change::default() };
        self.store.commit(change).await.expect("the store takes it");
        self.all_notices().remove(0)
    }

    pub(super) fn all_notices(&self) -> Vec<Notice> {
        let mut all = Vec::new();
        let mut visit = |notice| {
            all.push(notice);
            ControlFlow::Continue(())
        };
        self.store.visit_notices(self.org, None, &mut visit).expect("readable");
        all
    }

    /// Makes a webhook over the API; its identity and its secret.
    pub(super) async fn webhook(&self) -> (String, String) {
        let body = json!({"url": "https://example.com/hook"});
        let path = self.at("/webhooks");
        let answer = self.ask("POST", &path).by(&self.owner).json(&body).send().await.expect(201);
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        (text(&answer.body["webhook"]["id"]), text(&answer.body["secret"]))
    }
}

#[tokio::test]
async fn the_secret_of_a_webhook_is_shown_once_and_kept_sealed() {
    let house = House::new().await;
    let (id, secret) = house.webhook().await;
    assert!(secret.starts_with("whs_") && secret.len() > 40);
    let path = house.at(&format!("/webhooks/{id}"));
    let read = house.get(&path).by(&house.owner).send().await.expect(200);
    let list = house.get(&house.at("/webhooks")).by(&house.owner).send().await.expect(200);
    let audit = house.get(&house.at("/audit")).by(&house.owner).send().await.expect(200);
    for text in [&read.text, &list.text, &audit.text] {
        assert!(!text.contains(&secret) && !text.contains("sealed"), "{text}");
    }
    assert_eq!(list.body["items"], json!([read.body]));
    assert_eq!(read.body["kinds"].as_array().expect("a list").len(), Kind::ALL.len());
    let stored = house.store.webhooks(house.org).expect("readable").remove(0);
    let sealed = &stored.sealed_secret;
    assert!(!sealed.windows(8).any(|window| window == &secret.as_bytes()[..8]));
    let opened = house.seal.open(&stored.seal_owner(), sealed).expect("our seal");
    assert_eq!(opened.as_slice(), secret.as_bytes());
}

#[tokio::test]
async fn a_webhook_is_made_once_per_key() {
    let house = House::new().await;
    let ask = || {
        let ask = house.ask("POST", &house.at("/webhooks")).by(&house.owner);
        ask.header("idempotency-key", "k").json(&json!({"url": "https://example.com/"})).send()
    };
    let [first, second] = [ask().await.expect(201), ask().await.expect(201)];
    assert_eq!(first.body["webhook"], second.body["webhook"]);
    assert!(first.body["secret"].is_string() && second.body["secret"].is_null());
    assert_eq!(house.store.webhooks(house.org).expect("readable").len(), 1);
}

#[tokio::test]
async fn a_webhook_is_changed_and_removed_in_the_version_that_was_read() {
    let house = House::new().await;
    let (id, _secret) = house.webhook().await;
    let path = house.at(&format!("/webhooks/{id}"));
    let tag = house.get(&path).by(&house.owner).send().await.expect(200).etag();
    let change = |tag: String, body: Value| {
        house.ask("PATCH", &path).by(&house.owner).header("if-match", &tag).json(&body).send()
    };
    let body = json!({"kinds": ["token.revoked", "token.created", "token.revoked"],
                      "activated": false, "url": "http://example.org/?token=hush"});
    let changed = change(tag.clone(), body.clone()).await.expect(200);
    assert_eq!(changed.body["kinds"], json!(["token.created", "token.revoked"]));
    assert_eq!((&changed.body["activated"], &changed.body["url"]), (&json!(false), &body["url"]));
    assert_ne!(changed.etag(), tag);
    change(tag.clone(), json!({"activated": true})).await.problem(412, "changed");
    let same = change(changed.etag(), json!({})).await.expect(200);
    assert_eq!(same.etag(), changed.etag());

    house.ask("DELETE", &path).by(&house.owner).header("if-match", &tag).send().await.expect(412);
    house.ask("DELETE", &path).by(&house.owner).send().await.expect(204);
    house.get(&path).by(&house.owner).send().await.expect(404);
    let audit = house.get(&house.at("/audit")).by(&house.owner).send().await.expect(200);
    let of = |nth: usize| audit.body["items"][nth]["action"].clone();
    assert_eq!([of(0), of(1), of(2)], ["webhook.removed", "webhook.updated", "webhook.created"]);
    let url = |nth: usize| audit.body["items"][nth]["changes"][0].clone();
    assert_eq!(
        url(1),
        json!({"field": "url", "before": "https://example.com/...", "after": "http://example.org/..."})
    );
    assert_eq!(audit.body["items"][0]["target"]["name"], "http://example.org/...");
    assert!(!audit.text.contains("hush"), "{}", audit.text);
}

#[tokio::test]
async fn a7_the_trail_holds_nothing_of_a_webhooks_path() {
    let house = House::new().await;
    let (id, _secret) = house.webhook().await;
    let path = house.at(&format!("/webhooks/{id}"));
    for (url, told) in [
        ("https://example.com/hush/T1", "https://example.com/... (another path or query)"),
        ("https://example.com:8443?hush", "https://example.com:8443/..."),
        ("https://example.com:8443/#", ""),
        ("https://example.com:8443/", "https://example.com:8443/"),
    ] {
        let ask = house.ask("PATCH", &path).by(&house.owner).json(&json!({"url": url}));
        let answer = ask.send().await;
        if told.is_empty() {
            answer.problem(400, "invalid-request");
            continue;
        }
        assert_eq!(answer.expect(200).body["url"], url, "its owners see where it leads");
        let audit = house.get(&house.at("/audit")).by(&house.owner).send().await.expect(200);
        assert_eq!(audit.body["items"][0]["changes"][0]["after"], told, "{url}");
        assert!(!audit.text.contains("hush"), "{}", audit.text);
    }
}

#[tokio::test]
async fn a8_a_webhook_leads_to_a_public_address() {
    let house = House::new().await;
    let path = house.at("/webhooks");
    let (id, _secret) = house.webhook().await;
    let one = house.at(&format!("/webhooks/{id}"));
    for url in [
        "http://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]:8443/",
        "http://169.254.169.254/latest/meta-data/",
        "http://192.168.1.1/",
        "https://user:password@example.com/",
        "ftp://example.com/",
        "example.com",
        "",
    ] {
        for (method, path) in [("POST", &path), ("PATCH", &one)] {
            let ask = house.ask(method, path).by(&house.owner).json(&json!({"url": url}));
            let answer = ask.send().await.problem(400, "invalid-request");
            assert_eq!(answer.field(), "url", "{method} {url}");
        }
    }
    // The network that this house allows.
    let allowed = json!({"url": "http://10.9.0.1/"});
    house.ask("POST", &path).by(&house.owner).json(&allowed).send().await.expect(201);
    let other = json!({"url": "http://10.8.0.1/"});
    house.ask("POST", &path).by(&house.owner).json(&other).send().await.expect(400);
}

#[tokio::test]
async fn a8_no_allowed_network_holds_the_admin_port() {
    let house = House::new().await;
    let path = house.at("/webhooks");
    let (id, _secret) = house.webhook().await;
    let one = house.at(&format!("/webhooks/{id}"));
    let port = ADMIN.port();
    for host in ["127.9.9.9", "[::ffff:127.9.0.1]", "localhost", "a.localhost"] {
        let body = json!({"url": format!("http://{host}:{port}/api/v1/leaks")});
        for (method, path) in [("POST", &path), ("PATCH", &one)] {
            let ask = house.ask(method, path).by(&house.owner).json(&body);
            let answer = ask.send().await.problem(400, "invalid-request");
            assert_eq!(answer.field(), "url", "{method} {host}");
            assert!(answer.text.contains("admin port"), "{method} {host}: {}", answer.text);
        }
        // Who may not set up webhooks is not told where the port is.
        house.ask("POST", &path).by(&house.admin).json(&body).send().await.expect(403);
        let other = json!({"url": format!("http://{host}:{}/", port + 1)});
        house.ask("PATCH", &one).by(&house.owner).json(&other).send().await.expect(200);
    }
}

#[tokio::test]
async fn an_organization_has_so_many_webhooks_and_no_more() {
    let house = House::new().await;
    for _ in 0..crate::notice::WEBHOOKS_MAX {
        house.webhook().await;
    }
    let ask = house.ask("POST", &house.at("/webhooks")).by(&house.owner);
    let answer = ask.json(&json!({"url": "https://example.com/"})).send().await;
    assert!(answer.problem(409, "conflict").text.contains("at most 20 webhooks"));
    for kinds in [json!([]), json!(["token.lost"])] {
        let ask = house.ask("POST", &house.at("/webhooks")).by(&house.owner);
        let body = json!({"url": "https://example.com/", "kinds": kinds});
        let answer = ask.json(&body).send().await.problem(400, "invalid-request");
        assert!(answer.field().starts_with("kinds"), "{}", answer.text);
    }
}

#[tokio::test]
async fn notices_are_listed_newest_first_by_state_token_and_user_in_pages() {
    let house = House::new().await;
    let mut ids = Vec::new();
    for (nth, user) in [&house.member, &house.admin, &house.member].into_iter().enumerate() {
        house.set_now(at(NOW).after(Duration::from_secs(nth as u64)));
        ids.push(house.tell(Kind::Revoked, user.user).await.id.to_string());
    }
    ids.reverse();
    let list = async |query: &str| {
        let path = house.at(&format!("/notices{query}"));
        let answer = house.get(&path).by(&house.owner).send().await.expect(200);
        let items = answer.body["items"].as_array().expect("a list").clone();
        let ids: Vec<_> =
            items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect();
        (ids, answer.body["next_cursor"].as_str().map(ToOwned::to_owned))
    };
    assert_eq!(list("").await, (ids.clone(), None));
    let (first, cursor) = list("?limit=2").await;
    assert_eq!(first, ids[..2]);
    let rest = list(&format!("?limit=2&cursor={}", cursor.expect("another page"))).await;
    assert_eq!(rest, (ids[2..].to_vec(), None));
    let to_member = format!("?user={}", house.member.user);
    assert_eq!(list(&to_member).await.0, [ids[0].clone(), ids[2].clone()]);
    let about = format!("?token={}", house.bystander.token);
    assert_eq!(list(&about).await.0, ids);
    assert_eq!(list(&format!("?token={}", house.owner.token)).await.0, Vec::<String>::new());
    let retry = Retry { attempts_max: 1, first: Duration::ZERO, longest: Duration::ZERO };
    let dead = house.all_notices().remove(1);
    let dead = dead.after(Outcome::Failed("no".to_owned()), at(NOW), &retry, 0);
    house.write(Write::Notice(Box::new(dead))).await;
    assert_eq!(list("?state=dead").await.0, [ids[1].clone()]);
    assert_eq!(list("?state=waiting").await.0, [ids[0].clone(), ids[2].clone()]);
    for query in ["?state=lost", "?token=x", "?user=x", "?cursor=x", "?limit=0", "?kind=x"] {
        let path = house.at(&format!("/notices{query}"));
        let answer = house.get(&path).by(&house.owner).send().await.problem(400, "invalid-request");
        assert!(query.contains(answer.field()), "{query}");
    }
}

#[tokio::test]
async fn a_notice_is_delivered_again_whatever_became_of_it() {
    let house = House::new().await;
    let told = house.tell(Kind::Deactivated, house.member.user).await;
    assert_eq!(told.to, Addressee::User(house.member.user));
    let path = house.at(&format!("/notices/{}", told.id));
    let read = house.get(&path).by(&house.owner).send().await.expect(200);
    assert_eq!((&read.body["state"], &read.body["due_at"]), (&json!("waiting"), &Value::Null));
    let retry = Retry { attempts_max: 9, first: Duration::ZERO, longest: Duration::ZERO };
    for outcome in [Outcome::Delivered, Outcome::Refused("no".to_owned()), Outcome::NoChannel] {
        let before = house.store.notice(house.org, told.id).expect("readable").expect("there");
        let after = before.after(outcome, at(NOW), &retry, 0);
        house.write(Write::Notice(Box::new(after))).await;
        let tag = house.get(&path).by(&house.owner).send().await.expect(200).etag();
        let ask = || house.ask("POST", &format!("{path}/redeliver")).by(&house.owner);
        let answer = ask().header("if-match", &tag).send().await.expect(200);
        assert_eq!(
            (&answer.body["state"], &answer.body["attempts"]),
            (&json!("waiting"), &json!(0))
        );
        assert_eq!(answer.body["due_at"], "2027-01-01T00:00:00.000Z");
        ask().header("if-match", &tag).send().await.expect(412);
    }
    let audit = house.get(&house.at("/audit")).by(&house.owner).send().await.expect(200);
    assert_eq!(audit.body["items"][0]["action"], "notice.redelivered");
    let gone = house.at("/notices/ntc_00000000000000000000000000");
    house.get(&gone).by(&house.owner).send().await.expect(404);
}
