//! The pages, as a browser meets them.

mod exemptions;
mod live;
mod pictures;

use super::*;

const ORIGIN: &str = "http://localhost:8081";

/// An answer of a page.
struct Page {
    status: StatusCode,
    headers: HeaderMap,
    html: String,
}

impl Page {
    #[track_caller]
    fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.html);
        self
    }

    fn location(&self) -> &str {
        self.headers["location"].to_str().expect("an address")
    }
}

/// A browser that may be signed in.
struct Browser<'h> {
    house: &'h House,
    cookie: String,
    proof: String,
}

impl<'h> Browser<'h> {
    fn new(house: &'h House) -> Self {
        Self { house, cookie: String::new(), proof: String::new() }
    }

    async fn signed_in(house: &'h House, member: &Member) -> Self {
        let mut browser = Self::new(house);
        let page = browser.post("/sign-in", &[("token", &member.secret)]).await.expect(303);
        browser.keep(&page);
        browser
    }

    fn keep(&mut self, page: &Page) {
        let cookie = page.headers["set-cookie"].to_str().expect("a cookie");
        for flag in ["HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(flag), "{cookie}");
        }
        self.cookie = cookie.split(';').next().expect("a pair").to_owned();
        let (_, key) = self.cookie.split_once('=').expect("a pair");
        assert_eq!(key.len(), 64, "256 bits");
        self.proof = super::super::pages::proof(key);
    }

    async fn send(&self, request: http::request::Builder, body: String) -> Page {
        let request = request.header(HOST, "localhost:8081").header("cookie", &self.cookie);
        let address = SocketAddr::new([127, 0, 0, 9].into(), 40_000);
        let request = request.extension(ConnectInfo(address));
        let request = request.body(Body::from(body)).expect("a request");
        let response = self.house.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let html = String::from_utf8(bytes.to_vec()).expect("text");
        let policy = parts.headers["content-security-policy"].to_str().expect("a policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(parts.headers["cache-control"], "no-store");
        assert_eq!(parts.headers["x-frame-options"], "DENY");
        assert_eq!(parts.headers["x-content-type-options"], "nosniff");
        assert!(html.len() < 150 * 1024);
        Page { status: parts.status, headers: parts.headers, html }
    }

    async fn get(&self, path: &str) -> Page {
        self.send(Request::get(path), String::new()).await
    }

    /// A form as a page of ours sends it, with the proof of the session.
    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.post_from(path, fields, &[("origin", ORIGIN)]).await
    }

    async fn post_from(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Page {
        let mut body = form_urlencoded::Serializer::new(String::new());
        if !self.proof.is_empty() && !fields.iter().any(|(name, _)| *name == "proof") {
            body.append_pair("proof", &self.proof);
        }
        body.extend_pairs(fields);
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request, body.finish()).await
    }
}

fn actions(house: &House) -> Vec<String> {
    let mut found = Vec::new();
    let mut visit = |event: crate::audit::Event| {
        found.push(event.said.action.to_string());
        std::ops::ControlFlow::Continue(())
    };
    house.store.visit_events_back(house.org, None, &mut visit).expect("readable");
    found
}

#[tokio::test]
async fn a_token_signs_in_and_a_sign_out_ends_it() {
    let house = House::new().await;
    let stranger = Browser::new(&house);
    let page = stranger.get("/governance/tokens?q=a").await.expect(303);
    assert_eq!(page.location(), "/sign-in?next=%2Fgovernance%2Ftokens%3Fq%3Da");
    stranger.get("/sign-in").await.expect(200);

    let owner = Browser::signed_in(&house, &house.owner).await;
    assert_eq!(owner.get("/").await.expect(303).location(), "/governance/overview");
    let page = owner.get("/governance/tokens").await.expect(200);
    assert!(page.html.contains("Mem&#39;s") && page.html.contains("mem@example.com"));
    assert!(!page.html.contains(&house.owner.secret));
    let another = Browser::signed_in(&house, &house.owner).await;
    owner.post("/sign-out", &[]).await.expect(303);
    owner.get("/governance/tokens").await.expect(303);
    another.get("/governance/tokens").await.expect(200);
    let third = Browser::signed_in(&house, &house.owner).await;
    third.post("/sign-out/everywhere", &[]).await.expect(303);
    another.get("/governance/tokens").await.expect(303);
    let told = actions(&house);
    assert_eq!(told.iter().filter(|action| *action == "user.signed_in").count(), 3);
    assert_eq!(told.iter().filter(|action| *action == "user.signed_out").count(), 2);
}

#[tokio::test]
async fn a_cookie_is_nothing_to_the_api_and_a_bearer_nothing_to_the_pages() {
    let house = House::new().await;
    let owner = Browser::signed_in(&house, &house.owner).await;
    house.get("/api/v1/me").header("cookie", &owner.cookie).send().await.expect(401);
    let bearer = format!("Bearer {}", house.owner.secret);
    let stranger = Browser::new(&house);
    let request = Request::get("/governance/tokens").header(AUTHORIZATION, bearer);
    stranger.send(request, String::new()).await.expect(303);
}

#[tokio::test]
async fn a_session_dies_with_its_token_and_by_itself() {
    let house = House::new().await;
    let member = Browser::signed_in(&house, &house.member).await;
    member.get("/account/tokens").await.expect(200);
    let owner = Browser::signed_in(&house, &house.owner).await;
    let at = format!("/tokens/{}", house.member.token);
    owner.post(&format!("{at}/deactivate"), &[("reason", "lost")]).await.expect(303);
    assert!(owner.get(&at).await.expect(200).html.contains("“lost”"));
    member.get("/account/tokens").await.expect(303);
    owner.post(&format!("{at}/activate"), &[]).await.expect(303);
    // Dead is dead: a token that is activated again wants another sign-in.
    member.get("/account/tokens").await.expect(303);

    let start = house.now.load(Ordering::Relaxed);
    let later = |minutes: i64| Timestamp::from_millis(start + 60_000 * minutes);
    house.set_now(later(29));
    owner.get("/governance/tokens").await.expect(200);
    house.set_now(later(58));
    owner.get("/governance/tokens").await.expect(200);
    house.set_now(later(88));
    owner.get("/governance/tokens").await.expect(303);
}

#[tokio::test]
async fn forms_of_other_sites_change_nothing() {
    let house = House::new().await;
    let owner = Browser::signed_in(&house, &house.owner).await;
    let path = format!("/tokens/{}/deactivate", house.bystander.token);
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("origin", ORIGIN), ("sec-fetch-site", "same-site")],
        &[],
    ] {
        owner.post_from(&path, &[], headers).await.expect(403);
        owner.post_from("/sign-in", &[("token", &house.owner.secret)], headers).await.expect(403);
    }
    let theirs = Browser::signed_in(&house, &house.owner).await.proof;
    for proof in ["", "x", &*theirs] {
        owner.post(&path, &[("proof", proof)]).await.expect(403);
    }
    assert_eq!(house.token(house.bystander.token).standing(), crate::token::Standing::Activated);
    owner.post_from(&path, &[], &[("sec-fetch-site", "same-origin")]).await.expect(303);
    assert_eq!(house.token(house.bystander.token).standing(), crate::token::Standing::Deactivated);
}

#[tokio::test]
async fn wrong_tokens_wait_and_are_told_of() {
    let house = House::new().await;
    let stranger = Browser::new(&house);
    for _ in 0..20 {
        stranger.post("/sign-in", &[("token", "bwt_wrong")]).await.expect(401);
    }
    let page = stranger.post("/sign-in", &[("token", "bwt_wrong")]).await.expect(429);
    assert!(page.headers.contains_key("retry-after"));
    assert!(!page.html.contains("bwt_wrong"));
    // A good one never waits.
    Browser::signed_in(&house, &house.owner).await;
    let (refusals, ledger) = (Arc::clone(&house.refusals), Arc::clone(&house.store));
    let write = move || refusals.write(&*ledger, at(NOW));
    tokio::task::spawn_blocking(write).await.expect("no panic").expect("written");
    assert!(actions(&house).contains(&"call.refused".to_owned()));
}

#[tokio::test]
async fn a_link_signs_in_once() {
    let house = House::new().await;
    let digest = crate::secret::Digest::of(house.owner.secret.as_bytes());
    house.browsers.offer("code", digest, at(NOW));
    let mut browser = Browser::new(&house);
    browser.get("/sign-in/code").await.expect(200);
    let page = browser.post("/sign-in", &[("code", "code")]).await.expect(303);
    browser.keep(&page);
    browser.get("/governance/tokens").await.expect(200);
    Browser::new(&house).post("/sign-in", &[("code", "code")]).await.expect(401);
}

#[tokio::test]
async fn who_may_do_what_is_as_in_the_api() {
    let house = House::new().await;
    let member = Browser::signed_in(&house, &house.member).await;
    assert_eq!(member.get("/").await.expect(303).location(), "/account/tokens");
    member.get("/governance/tokens").await.expect(403);
    let (own, other) = (house.member.token, house.bystander.token);
    member.get(&format!("/tokens/{own}")).await.expect(200);
    member.get(&format!("/tokens/{other}")).await.expect(403);
    for verb in ["deactivate", "activate", "rotate", "transfer", "ignore", "count"] {
        let fields = [("days", "3"), ("policy", "max_ttl"), ("owner", "x")];
        member.post(&format!("/tokens/{other}/{verb}"), &fields).await.expect(403);
    }
    let admin = Browser::signed_in(&house, &house.admin).await;
    assert!(!admin.get("/governance/tokens").await.expect(200).html.contains("Deactivate…"));
    let outsider = Browser::signed_in(&house, &house.outsider).await;
    outsider.get(&format!("/tokens/{own}")).await.expect(404);
    let page = outsider.get("/governance/tokens").await.expect(200);
    assert!(!page.html.contains("Mem&#39;s"));
}

#[tokio::test]
async fn many_are_switched_after_a_look() {
    let house = House::new().await;
    house.limit_lives(30).await;
    let owner = Browser::signed_in(&house, &house.owner).await;
    let page = owner.get("/governance/tokens?violation=max_ttl&sort=name").await.expect(200);
    assert!(page.html.contains("Max Token TTL") && page.html.contains("30 days"));
    owner.get("/governance/tokens?sort=nothing").await.expect(400);
    owner.get("/governance/tokens?what=ever").await.expect(400);
    let (first, second) = (house.member.token.to_string(), house.bystander.token.to_string());
    let fields = [("action", "deactivate"), ("id", &*first), ("id", &*second)];
    let path = "/governance/tokens/switch";
    let page = owner.post(path, &fields).await.expect(200);
    assert!(page.html.contains("mem@example.com") && page.html.contains("by@example.com"));
    assert_eq!(house.token(house.member.token).standing(), crate::token::Standing::Activated);
    let confirmed = [&fields[..], &[("confirmed", "yes"), ("reason", "spring cleaning")]].concat();
    let page = owner.post(path, &confirmed).await.expect(303);
    assert_eq!(page.location(), "/governance/tokens?done=deactivate-2");
    assert!(owner.get(page.location()).await.expect(200).html.contains("2 tokens are deactivated"));
    for token in [house.member.token, house.bystander.token] {
        let token = house.token(token);
        assert_eq!(token.standing(), crate::token::Standing::Deactivated);
        let reason = token.status_change().and_then(|change| change.reason.clone());
        assert_eq!(reason.as_deref(), Some("spring cleaning"));
    }
}

/// The secret on a page.
fn secret(html: &str) -> &str {
    let (_, rest) = html.split_once("id=\"secret\">").expect("a secret");
    rest.split('<').next().expect("a text")
}

#[tokio::test]
async fn a_token_is_made_regenerated_and_revoked() {
    let house = House::new().await;
    let member = Browser::signed_in(&house, &house.member).await;
    let fields =
        [("name", "ci"), ("life", "longest"), ("role", "orders/reader"), ("notify", "7, 1")];
    let page = member.post("/account/tokens", &fields).await.expect(200);
    let made = secret(&page.html).to_owned();
    house.get("/api/v1/me").with_secret(&made).send().await.expect(200);
    let list = member.get("/account/tokens").await.expect(200);
    assert!(list.html.contains(">ci</a>") && !list.html.contains(&made));
    let (_, rest) = page.html.split_once("href=\"/tokens/").expect("a link");
    let at = format!("/tokens/{}", rest.split('"').next().expect("an identity"));
    let page = member.post(&format!("{at}/rotate"), &[]).await.expect(200);
    house.get("/api/v1/me").with_secret(&made).send().await.expect(401);
    house.get("/api/v1/me").with_secret(secret(&page.html)).send().await.expect(200);
    member.post(&format!("{at}/revoke"), &[("name", "CI")]).await.expect(400);
    member.post(&format!("{at}/revoke"), &[("name", "ci")]).await.expect(303);
    assert!(member.get(&at).await.expect(200).html.contains("Revoked"));

    // What is refused keeps what was typed, and says which field it is.
    let fields = [("name", "kept"), ("value", "99"), ("unit", "months"), ("role", "org_owner")];
    let page = member.post("/account/tokens", &fields).await.expect(400);
    assert!(page.html.contains("value=\"kept\"") && page.html.contains("role=\"alert\""));
}

#[tokio::test]
async fn a5_text_of_others_is_text() {
    let house = House::new().await;
    let hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";
    let owner = Browser::signed_in(&house, &house.owner).await;
    let (token, _secret) = house.token_of(house.owner.user, hostile).await;
    let user = User { name: hostile.to_owned(), ..house.user(house.owner.user) };
    house.write(Write::User(user)).await;
    owner.post(&format!("/tokens/{token}/deactivate"), &[("reason", hostile)]).await.expect(303);
    let query: String = form_urlencoded::byte_serialize(hostile.as_bytes()).collect();
    let id = token.to_string();
    let pages = [
        owner.get("/governance/tokens").await.expect(200),
        owner.get(&format!("/governance/tokens?q={query}")).await.expect(200),
        owner.get(&format!("/governance/tokens?status={query}")).await.expect(400),
        owner.get(&format!("/governance/tokens?{query}=1")).await.expect(400),
        owner.get(&format!("/tokens/{token}")).await.expect(200),
        owner.get("/account/tokens").await.expect(200),
        owner.get(&format!("/sign-in?next=/{query}")).await.expect(200),
        owner.get(&format!("/sign-in/{query}")).await.expect(200),
        owner.post("/account/tokens", &[("name", hostile), ("value", hostile)]).await.expect(400),
        owner
            .post("/governance/tokens/switch", &[("action", "activate"), ("id", &*id)])
            .await
            .expect(200),
    ];
    for page in pages {
        assert!(
            !page.html.contains("<script>") && !page.html.contains("<img src=x"),
            "{}",
            page.html
        );
    }
}

#[tokio::test]
async fn files_are_kept_and_colours_are_chosen() {
    let house = House::new().await;
    let owner = Browser::signed_in(&house, &house.owner).await;
    let page = owner.post("/theme", &[("theme", "dark")]).await.expect(303);
    assert!(page.headers["set-cookie"].to_str().expect("text").contains("bearward_theme=dark"));
    for name in ["bearward.css", "bearward.js", "bearward.svg"] {
        let request = Request::get(format!("/assets/{name}")).header(HOST, "localhost:8081");
        let request = request.body(Body::empty()).expect("a request");
        let response = house.router.clone().oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers()["cache-control"].to_str().expect("text").contains("immutable"));
    }
}

const GOVERNANCE: [&str; 8] =
    ["overview", "tokens", "settings", "exemptions", "users", "audit", "notices", "webhooks"];

#[tokio::test]
async fn pages_of_governance_are_for_whom_the_api_is() {
    let house = House::new().await;
    let statuses = |member: Member| {
        let house = &house;
        async move {
            let browser = Browser::signed_in(house, &member).await;
            let mut statuses = Vec::new();
            for page in GOVERNANCE {
                let page = browser.get(&format!("/governance/{page}")).await;
                statuses.push(page.status.as_u16());
            }
            statuses
        }
    };
    assert_eq!(statuses(house.owner.clone()).await, [200; 8]);
    assert_eq!(statuses(house.admin.clone()).await, [403, 200, 200, 200, 200, 403, 403, 403]);
    assert_eq!(statuses(house.member.clone()).await, [403; 8]);
    let admin = Browser::signed_in(&house, &house.admin).await;
    let fields = [("policy", "idle_ttl"), ("value", "3"), ("unit", "days"), ("active", "yes")];
    admin.post("/governance/settings/policies", &fields).await.expect(403);
    admin.post("/governance/settings/validate", &[]).await.expect(403);
    admin
        .post("/governance/settings/governance", &[("governance", "deactivated")])
        .await
        .expect(403);
    let owner = format!("/governance/users/{}", house.owner.user);
    for verb in ["deactivate", "remove"] {
        admin.post(&format!("{owner}/{verb}"), &[]).await.expect(403);
    }
    admin.post("/governance/webhooks", &[("url", "https://example.com/")]).await.expect(403);
    // Nobody is told of somebody in another organization, nor are they changed.
    let outsider = Browser::signed_in(&house, &house.outsider).await;
    outsider.get(&owner).await.expect(404);
    outsider.post(&format!("{owner}/deactivate"), &[]).await.expect(404);
    assert!(house.user(house.owner.user).is_active());
}

/// The value of a hidden field.
fn hidden<'p>(html: &'p str, name: &str) -> &'p str {
    let (_, rest) = html.split_once(&format!("name=\"{name}\" value=\"")).expect("a field");
    rest.split('"').next().expect("a value")
}

#[tokio::test]
async fn a_policy_is_saved_as_it_was_looked_at_only() {
    let house = House::new().await;
    let owner = Browser::signed_in(&house, &house.owner).await;
    let path = "/governance/settings/policies";
    let policies =
        || house.store.organization(house.org).expect("readable").expect("there").policies;
    let fields = [
        ("policy", "max_ttl"),
        ("active", "yes"),
        ("value", "30"),
        ("unit", "days"),
        ("enforce", "yes"),
        ("deactivate_value", "7"),
        ("deactivate_unit", "days"),
    ];
    let first = policies();
    let page = owner.post(path, &fields).await.expect(200);
    assert!(page.html.contains("Max Token TTL → 30 days, deactivated 7 days after a warning"));
    assert_eq!(policies(), first);
    let saving = |page: &Page| {
        let version = hidden(&page.html, "version").to_owned();
        let mut all: Vec<(&str, String)> =
            fields.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        all.extend([("step", "save".to_owned()), ("version", version)]);
        all
    };
    let old = saving(&page);
    // Somebody else is faster: what would be saved is not what was looked at.
    house.limit_lives(60).await;
    let before = policies();
    let borrowed = |all: &'static [(&'static str, String)]| -> Vec<(&str, &str)> {
        all.iter().map(|(name, text)| (*name, &**text)).collect()
    };
    let page = owner.post(path, &borrowed(old.leak())).await.expect(412);
    assert!(page.html.contains("role=\"alert\"") && page.html.contains("value=\"30\""));
    assert_eq!(policies(), before);
    let page = owner.post(path, &fields).await.expect(200);
    let page = owner.post(path, &borrowed(saving(&page).leak())).await.expect(303);
    let saved = policies().max_ttl;
    assert_eq!((saved.active, saved.ttl), (true, Ttl::new(30, Unit::Days)));
    assert_eq!(
        saved.enforcement.map(|ladder| ladder.deactivate_after),
        Some(Ttl::new(7, Unit::Days))
    );
    // What it comes to is told at once.
    let page = owner.get(page.location()).await.expect(200);
    assert!(page.html.contains("break a policy now"), "{}", page.html);
    // A value that is none is said, and what was typed stays.
    for (name, wrong) in [("value", "0"), ("value", "many"), ("unit", "months")] {
        let mut fields = fields.to_vec();
        fields.retain(|(field, _)| *field != name);
        fields.push((name, wrong));
        let page = owner.post(path, &fields).await.expect(400);
        assert!(page.html.contains("role=\"alert\""), "{name}");
    }
}

#[tokio::test]
async fn users_are_added_and_changed_by_pages() {
    let house = House::new().await;
    let owner = Browser::signed_in(&house, &house.owner).await;
    let fields = [("name", "Grace"), ("email", "grace@example.com"), ("role", "orders/reader")];
    owner.post("/governance/users", &fields).await.expect(303);
    let page = owner.post("/governance/users", &fields).await.expect(409);
    assert!(
        page.html.contains("value=\"grace@example.com\"") && page.html.contains("role=\"alert\"")
    );
    let list = owner.get("/governance/users?q=grace%40").await.expect(200);
    let (_, rest) = list.html.split_once("href=\"/governance/users/usr_").expect("a link");
    let at = format!("/governance/users/usr_{}", rest.split('"').next().expect("an identity"));
    let fields = [("name", "Grace H."), ("email", "grace@example.com"), ("role", "org_member")];
    owner.post(&at, &fields).await.expect(303);
    let page = owner.get(&at).await.expect(200);
    assert!(page.html.contains("<h1>Grace H.</h1>"));
    owner.post(&format!("{at}/deactivate"), &[("reason", "gone")]).await.expect(303);
    assert!(owner.get(&at).await.expect(200).html.contains("“gone”"));
    owner.post(&format!("{at}/activate"), &[]).await.expect(303);
    owner.post(&format!("{at}/remove"), &[]).await.expect(303);
    owner.get(&at).await.expect(404);
    let told = actions(&house);
    for action in ["user.created", "user.updated", "user.deactivated", "user.removed"] {
        assert!(told.iter().any(|told| told == action), "{action}");
    }
}

#[tokio::test]
async fn lists_say_how_many_there_are_in_each_state() {
    let house = House::new().await;
    let owner = Browser::signed_in(&house, &house.owner).await;
    let counts = |html: &str| -> Vec<(String, u64)> {
        let (_, tabs) = html.split_once("<nav class=\"tabs\"").expect("tabs");
        let (tabs, _) = tabs.split_once("</nav>").expect("an end");
        tabs.split("<a ")
            .skip(1)
            .map(|tab| {
                let (_, text) = tab.split_once('>').expect("a text");
                let (title, count) = text.split_once(" <span class=\"count\">").expect("a count");
                let count = count.split('<').next().expect("a number").parse().expect("a number");
                (title.to_owned(), count)
            })
            .collect()
    };
    let before = counts(&owner.get("/governance/tokens").await.expect(200).html);
    assert_eq!(before[0].0, "All");
    let all = house.get(&format!("/api/v1/orgs/{}/tokens?limit=200", house.org)).by(&house.owner);
    let all = all.send().await.expect(200).body["items"].as_array().expect("a list").len() as u64;
    assert_eq!(before[0].1, all);
    owner.post(&format!("/tokens/{}/deactivate", house.member.token), &[]).await.expect(303);
    // Whatever state is looked at, the others are counted too.
    let after = counts(&owner.get("/governance/tokens?status=revoked").await.expect(200).html);
    assert_eq!(after[0].1, all);
    assert_eq!((after[1].1, after[2].1), (before[1].1 - 1, before[2].1 + 1));
    // What else is asked about narrows all of them.
    let one = counts(&owner.get("/governance/tokens?q=mem%40example").await.expect(200).html);
    assert!(one[0].1 < all && one[2].1 == 1, "{one:?}");
}

#[tokio::test]
async fn an_overview_counts_and_is_kept_for_moments_only() {
    let house = House::new().await;
    let owner = Browser::signed_in(&house, &house.owner).await;
    let activated = |html: &str| {
        let (_, rest) = html.split_once("Activated</span><strong>").expect("a figure");
        rest.split('<').next().expect("a number").parse::<u64>().expect("a number")
    };
    let before = activated(&owner.get("/governance/overview").await.expect(200).html);
    owner.post(&format!("/tokens/{}/deactivate", house.member.token), &[]).await.expect(303);
    // The pass took no time here, so nothing is kept.
    let after = activated(&owner.get("/governance/overview").await.expect(200).html);
    assert_eq!(after, before - 1);
}
