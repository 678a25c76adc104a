//! Sign-in by an identity provider: one on a real socket that answers whatever a test wants.

use super::*;
use crate::config::{Authorities, Oidc, RoleMap};
use crate::oidc::UserClaim;
use crate::oidc::id_token::tests::{CLIENT, Signer, hmac_with_public_key, unsigned};
use crate::provider::{FAILURE_PAUSE, KEYS_PAUSE, Provider};
use crate::session::Shown;
use axum::extract::State;
use axum::http::Uri;
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

const SECRET: &str = "a secret of the client & more";
const PUBLIC: &str = "http://localhost:8081";
const SUBJECT: &str = "248289761001";

/// What the provider does.
struct Desk {
    issuer: String,
    signers: Vec<Signer>,
    /// Whether its answers say whose they are.
    says_issuer: bool,
    /// The document that it shows in place of its own.
    document: Option<Value>,
    /// What a code is good for: the challenge, and the token of ID that it becomes.
    codes: HashMap<String, (String, String)>,
    /// The paths that it was asked for.
    asked: Vec<String>,
}

/// A provider that lies if it is asked to.
struct Issuer(Arc<Mutex<Desk>>);

impl Issuer {
    async fn start() -> Self {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let issuer = format!("http://{}/realm", socket.local_addr().expect("an address"));
        let desk = Arc::new(Mutex::new(Desk {
            issuer,
            signers: vec![Signer::ec("one")],
            says_issuer: false,
            document: None,
            codes: HashMap::new(),
            asked: Vec::new(),
        }));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&desk));
        tokio::spawn(async move { axum::serve(socket, router).await });
        Self(desk)
    }

    fn desk(&self) -> std::sync::MutexGuard<'_, Desk> {
        self.0.lock().expect("no panic")
    }

    fn issuer(&self) -> String {
        self.desk().issuer.clone()
    }

    /// How often a path was asked for.
    fn asked(&self, path: &str) -> usize {
        self.desk().asked.iter().filter(|asked| asked.ends_with(path)).count()
    }
}

async fn answer(
    State(desk): State<Arc<Mutex<Desk>>>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> axum::response::Response {
    let mut desk = desk.lock().expect("no panic");
    desk.asked.push(uri.path().to_owned());
    let issuer = desk.issuer.clone();
    match uri.path() {
        "/realm/.well-known/openid-configuration" => {
            let own = json!({
                "issuer": issuer,
                "authorization_endpoint": format!("{issuer}/auth"),
                "token_endpoint": format!("{issuer}/token"),
                "jwks_uri": format!("{issuer}/keys"),
                "authorization_response_iss_parameter_supported": desk.says_issuer,
            });
            axum::Json(desk.document.clone().unwrap_or(own)).into_response()
        }
        "/realm/keys" => {
            let keys: Vec<Value> = desk.signers.iter().map(Signer::public).collect();
            axum::Json(json!({ "keys": keys })).into_response()
        }
        "/realm/token" => {
            let form: HashMap<String, String> =
                form_urlencoded::parse(body.as_bytes()).into_owned().collect();
            let login = "bearward:a+secret+of+the+client+%26+more";
            assert_eq!(headers["authorization"], format!("Basic {}", STANDARD.encode(login)));
            assert_eq!(form["grant_type"], "authorization_code");
            assert_eq!(form["redirect_uri"], format!("{PUBLIC}/sign-in/oidc/callback"));
            let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
            match desk.codes.remove(&form["code"]) {
                Some((expected, token)) if expected == challenge => axum::Json(json!({
                    "access_token": "access", "token_type": "Bearer", "id_token": token,
                }))
                .into_response(),
                _ => (StatusCode::BAD_REQUEST, axum::Json(json!({"error": "invalid_grant"})))
                    .into_response(),
            }
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn settings(issuer: String, organization: OrgId) -> Oidc {
    Oidc {
        name: "Example Login".to_owned(),
        issuer,
        client_id: CLIENT.to_owned(),
        client_secret: Some(SECRET.to_owned().into()),
        scopes: "openid email profile".to_owned(),
        public_url: PUBLIC.to_owned(),
        organization,
        user_claim: UserClaim::ExternalId("sub".to_owned()),
        roles: None,
        create_users: false,
        sync_roles: false,
        authorities: Authorities::System,
        timeout: Duration::from_secs(5),
    }
}

/// A house whose member Mem the provider knows, too.
async fn house(issuer: &Issuer, change: impl FnOnce(&mut Oidc)) -> House {
    let name = issuer.issuer();
    let house = House::with_provider(|org, clock| {
        let mut settings = settings(name, org);
        change(&mut settings);
        let own = OwnPorts { gateway: None, admin: Some(ADMIN) };
        Some(Provider::new(settings, own, Arc::clone(clock)).expect("TLS"))
    })
    .await;
    let user = User { external_id: Some(SUBJECT.to_owned()), ..house.user(house.member.user) };
    house.write(Write::User(user)).await;
    house
}

/// A browser on its way.
struct Trip<'h> {
    house: &'h House,
    issuer: &'h Issuer,
    cookie: String,
    asked: HashMap<String, String>,
}

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

    /// The cookie of this name that it sets.
    fn cookie(&self, name: &str) -> Option<String> {
        let fields = self.headers.get_all("set-cookie").iter();
        let texts = fields.map(|field| field.to_str().expect("text").to_owned());
        texts.into_iter().find(|text| text.starts_with(&format!("{name}=")))
    }

    fn session(&self) -> String {
        let cookie = self.cookie("bearward_session").expect("a session");
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        cookie.split(';').next().expect("a pair").to_owned()
    }
}

async fn get(house: &House, path: &str, fields: &[(&str, &str)]) -> Page {
    let mut request = Request::get(path);
    if !fields.iter().any(|(name, _)| *name == "host") {
        request = request.header(HOST, "localhost:8081");
    }
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let address = SocketAddr::new([127, 0, 0, 9].into(), 40_000);
    let request = request.extension(ConnectInfo(address)).body(Body::empty()).expect("a request");
    let response = house.router.clone().oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    let html = String::from_utf8(bytes.to_vec()).expect("text");
    assert!(!html.contains(SECRET));
    Page { status: parts.status, headers: parts.headers, html }
}

impl<'h> Trip<'h> {
    async fn begin(house: &'h House, issuer: &'h Issuer, path: &str) -> Self {
        Self::begin_with(house, issuer, path, &[]).await
    }

    async fn begin_with(
        house: &'h House,
        issuer: &'h Issuer,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Self {
        let page = get(house, path, fields).await.expect(303);
        let to = page.headers["location"].to_str().expect("an address").to_owned();
        let (endpoint, query) = to.split_once('?').expect("a query");
        assert_eq!(endpoint, format!("{}/auth", issuer.issuer()));
        assert_eq!(page.headers["referrer-policy"], "no-referrer");
        let cookie = page.cookie("bearward_sign_in").expect("a cookie");
        for flag in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"] {
            assert!(cookie.contains(flag), "{cookie}");
        }
        let cookie = cookie.split(';').next().expect("a pair").to_owned();
        let asked = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self { house, issuer, cookie, asked }
    }

    fn claims(&self) -> Value {
        let now = Timestamp::from_millis(self.house.now.load(Ordering::Relaxed)).seconds();
        json!({
            "iss": self.issuer.issuer(), "sub": SUBJECT, "aud": CLIENT,
            "exp": now + 300, "iat": now, "nonce": self.asked["nonce"],
            "email": "mem@example.com", "email_verified": true, "name": "Mem",
        })
    }

    /// A token that the provider signs for this.
    fn signed(&self, claims: &Value) -> String {
        self.issuer.desk().signers[0].sign(claims)
    }

    /// The provider gives a code for this token.
    fn code(&self, token: String) -> &'static str {
        let challenge = self.asked["code_challenge"].clone();
        self.issuer.desk().codes.insert("the-code".to_owned(), (challenge, token));
        "the-code"
    }

    async fn back(&self, query: &str) -> Page {
        let path = format!("/sign-in/oidc/callback?{query}");
        get(self.house, &path, &[("cookie", &self.cookie), ("sec-fetch-site", "cross-site")]).await
    }

    /// Comes back with a code for a token.
    async fn with_token(&self, token: String) -> Page {
        let code = self.code(token);
        self.back(&format!("code={code}&state={}", self.asked["state"])).await
    }

    /// Comes back with a token that says so.
    async fn with(&self, change: impl FnOnce(&mut Value)) -> Page {
        let mut claims = self.claims();
        change(&mut claims);
        self.with_token(self.signed(&claims)).await
    }
}

fn trail(house: &House) -> Vec<crate::audit::Draft> {
    let mut found = Vec::new();
    let mut visit = |event: crate::audit::Event| {
        found.push(event.said);
        std::ops::ControlFlow::Continue(())
    };
    house.store.visit_events(house.org, 0, &mut visit).expect("readable");
    found
}

#[tokio::test]
async fn a_user_signs_in_and_is_judged_at_each_request() {
    let issuer = Issuer::start().await;
    let house = house(&issuer, |_| {}).await;
    let form = get(&house, "/sign-in?next=/account/tokens", &[]).await.expect(200).html;
    assert!(form.contains("Sign in with Example Login"), "{form}");
    assert!(form.contains("/sign-in/oidc?next=%2Faccount%2Ftokens"), "{form}");
    let trip = Trip::begin(&house, &issuer, "/sign-in/oidc?next=/account/tokens?sort=name").await;
    let page = trip.with(|_good| {}).await.expect(200);
    // No redirect: a cookie of the same site alone would not go along with it.
    assert_eq!(page.headers["refresh"], "0;url=/account/tokens?sort=name");
    assert_eq!(page.headers["referrer-policy"], "no-referrer");
    let gone = page.cookie("bearward_sign_in").expect("it is cleared");
    assert!(gone.contains("Max-Age=0"), "{gone}");
    let session = page.session();
    let with = [("cookie", session.as_str())];
    get(&house, "/account/tokens", &with).await.expect(200);
    get(&house, "/governance/overview", &with).await.expect(403);
    let (_, key) = session.split_once('=').expect("a pair");
    let now = Timestamp::from_millis(house.now.load(Ordering::Relaxed));
    assert_eq!(house.browsers.shown(key, now), Some(Shown::Vouched(house.member.user)));
    let event = trail(&house).pop().expect("an event");
    assert_eq!(event.action.to_string(), "call.refused", "of the overview");
    assert_eq!(event.actor, crate::audit::Actor::Session { user: house.member.user });
    let signed_in =
        trail(&house).into_iter().find(|event| event.action.to_string() == "user.signed_in");
    let told = signed_in.expect("an event").changes;
    assert!(told.iter().any(|field| field.after.as_deref() == Some(SUBJECT)), "{told:?}");

    // A role that is given is there at the next request.
    let user = house.user(house.member.user);
    let owner = User { roles: closed(&[RoleId(0)].into_iter().collect()), ..user.clone() };
    house.write(Write::User(owner)).await;
    get(&house, "/governance/overview", &with).await.expect(200);
    // The session is over with the user, and does not come back with them.
    let off = User { status: UserStatus::Deactivated(deactivated(true)), ..user.clone() };
    house.write(Write::User(off)).await;
    house.write(Write::User(user)).await;
    let page = get(&house, "/account/tokens", &with).await.expect(303);
    assert_eq!(page.headers["location"], "/sign-in?next=%2Faccount%2Ftokens");
}

#[tokio::test]
async fn a_user_who_was_switched_off_past_the_followers_is_judged_by_the_record() {
    let issuer = Issuer::start().await;
    let house = house(&issuer, |_| {}).await;
    let user = house.user(house.member.user);
    let off = User { status: UserStatus::Deactivated(deactivated(true)), ..user };
    house.write(Write::User(off)).await;
    // As if the sign-in had been on its way meanwhile.
    let whose = crate::session::Whose { org: house.org, user: house.member.user, token: None };
    let now = Timestamp::from_millis(house.now.load(Ordering::Relaxed));
    house.browsers.begin("key", Shown::Vouched(house.member.user), whose, now);
    get(&house, "/account/tokens", &[("cookie", "bearward_session=key")]).await.expect(303);
    assert!(!house.browsers.lives("key", now));
}

#[tokio::test]
async fn a6_what_a_session_mints_lies_within_the_users_roles_and_has_no_maker_token() {
    let issuer = Issuer::start().await;
    let house = house(&issuer, |_| {}).await;
    let trip = Trip::begin(&house, &issuer, "/sign-in/oidc").await;
    let session = trip.with(|_good| {}).await.expect(200).session();
    let (_, key) = session.split_once('=').expect("a pair");
    let mint = async |role: &str| {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("proof", &super::super::pages::proof(key))
            .append_pair("name", role)
            .append_pair("life", "longest")
            .append_pair("role", role);
        let request = Request::post("/account/tokens")
            .header(HOST, "localhost:8081")
            .header("origin", PUBLIC)
            .header("cookie", &session)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form.finish()))
            .expect("a request");
        house.router.clone().oneshot(request).await.expect("infallible").status()
    };
    let before = house.store_size();
    assert_eq!(mint("orders/reader").await, 200);
    assert_eq!(house.store_size(), before + 1);
    assert_ne!(mint("orders/writer").await, 200);
    assert_ne!(mint("org_owner").await, 200);
    assert_eq!(house.store_size(), before + 1);
    let mut found = None;
    let mut visit = |token: ApiToken, _| {
        if token.name == "orders/reader" {
            found = Some(token);
        }
        std::ops::ControlFlow::Continue(())
    };
    house.store.visit_tokens(house.org, None, &mut visit).expect("readable");
    let token = found.expect("a token");
    assert_eq!((token.created_by, token.minted_by), (Some(house.member.user), None));
}

#[tokio::test]
async fn who_comes_back_is_who_was_sent_and_once() {
    let issuer = Issuer::start().await;
    let house = house(&issuer, |_| {}).await;
    let trip = Trip::begin(&house, &issuer, "/sign-in/oidc").await;
    let good = trip.signed(&trip.claims());
    let (state, code) = (trip.asked["state"].clone(), trip.code(good));
    let asked = |issuer: &Issuer| issuer.asked("/token");
    for query in [
        format!("code={code}&state=another"),
        format!("code={code}"),
        format!("code={code}&state={state}&state={state}"),
        format!("code={code}&code={code}&state={state}"),
    ] {
        let page = trip.back(&query).await.expect(401);
        assert!(page.cookie("bearward_session").is_none(), "{query}");
    }
    // Another browser, with what this one was sent with.
    let other = Trip::begin(&house, &issuer, "/sign-in/oidc").await;
    other.back(&format!("code={code}&state={state}")).await.expect(401);
    let path = format!("/sign-in/oidc/callback?code={code}&state={state}");
    get(&house, &path, &[]).await.expect(401);
    assert_eq!(asked(&issuer), 0, "nobody asked the provider");
    trip.back(&format!("code={code}&state={state}")).await.expect(200);
    assert_eq!(asked(&issuer), 1);
    trip.back(&format!("code={code}&state={state}")).await.expect(401);
    assert_eq!(asked(&issuer), 1, "a state is good once");
    // A code of another sign-in does not fit the verifier of this one.
    let late = Trip::begin(&house, &issuer, "/sign-in/oidc").await;
    let token = late.signed(&late.claims());
    other.code(token);
    let page = late.back(&format!("code=the-code&state={}", late.asked["state"])).await;
    page.expect(401);
}

#[tokio::test]
async fn who_takes_too_long_begins_anew() {
    let issuer = Issuer::start().await;
    let house = house(&issuer, |_| {}).await;
    let trip = Trip::begin(&house, &issuer, "/sign-in/oidc").await;
    house.set_now(at(NOW).after(Duration::from_mins(10)));
    trip.with(|_good| {}).await.expect(401);
}

#[tokio::test]
async fn a_token_that_lies_signs_nobody_in() {
    let issuer = Issuer::start().await;
    let house = house(&issuer, |_| {}).await;
    let trip = async || Trip::begin(&house, &issuer, "/sign-in/oidc").await;
    let lies: [fn(&mut Value); 8] = [
        |claims| claims["nonce"] = json!("another"),
        |claims| claims["iss"] = json!("https://evil.example"),
        |claims| claims["aud"] = json!("another"),
        |claims| claims["azp"] = json!("another"),
        |claims| claims["exp"] = json!(claims["iat"].as_i64().expect("a time") - 60),
        |claims| claims["iat"] = json!(claims["exp"]),
        |claims| claims["at_hash"] = json!("another"),
        |claims| drop(claims.as_object_mut().expect("an object").remove("nonce")),
    ];
    for (at, lie) in lies.into_iter().enumerate() {
        let page = trip().await.with(lie).await.expect(401);
        assert!(page.cookie("bearward_session").is_none(), "{at}");
        assert!(page.html.contains("proves nothing"), "{}", page.html);
    }
    let forged = trip().await;
    let (claims, signer) = (forged.claims(), Signer::ec("one"));
    forged.with_token(signer.sign(&claims)).await.expect(401);
    let shared = trip().await;
    let claims = shared.claims();
    let token = hmac_with_public_key(&issuer.desk().signers[0], &claims);
    shared.with_token(token).await.expect(401);
    let bare = trip().await;
    let token = unsigned(&json!({"alg": "none", "kid": "one"}), &bare.claims());
    bare.with_token(token).await.expect(401);
    // And the truth still does.
    trip().await.with(|_good| {}).await.expect(200);
}

#[tokio::test]
async fn keys_change_and_are_not_asked_for_at_every_lie() {
    let issuer = Issuer::start().await;
    let house = house(&issuer, |_| {}).await;
    let trip = async || Trip::begin(&house, &issuer, "/sign-in/oidc").await;
    trip().await.with(|_good| {}).await.expect(200);
    assert_eq!(issuer.asked("/keys"), 1);
    for _ in 0..3 {
        let lie = trip().await;
        let token = Signer::ec("unknown").sign(&lie.claims());
        lie.with_token(token).await.expect(401);
    }
    assert_eq!(issuer.asked("/keys"), 1, "they were read a moment ago");
    issuer.desk().signers = vec![Signer::ec("two")];
    house.set_now(at(NOW).after(KEYS_PAUSE));
    trip().await.with(|_good| {}).await.expect(200);
    assert_eq!(issuer.asked("/keys"), 2);
    for _ in 0..3 {
        let lie = trip().await;
        let token = Signer::ec("unknown").sign(&lie.claims());
        lie.with_token(token).await.expect(401);
    }
    assert_eq!(issuer.asked("/keys"), 2);
    assert_eq!(issuer.asked("/openid-configuration"), 1);
}

#[tokio::test]
async fn a_provider_that_is_another_one_is_not_gone_to() {
    let issuer = Issuer::start().await;
    let house = house(&issuer, |_| {}).await;
    issuer.desk().document = Some(json!({
        "issuer": "https://evil.example", "authorization_endpoint": "https://evil.example/auth",
        "token_endpoint": "https://evil.example/token", "jwks_uri": "https://evil.example/keys",
    }));
    for _ in 0..3 {
        let page = get(&house, "/sign-in/oidc", &[]).await.expect(503);
        assert!(page.html.contains("sign in with a token"), "{}", page.html);
        assert!(!page.html.contains("evil"), "{}", page.html);
    }
    assert_eq!(issuer.asked("/openid-configuration"), 1, "it is left alone for a while");
    issuer.desk().document = None;
    house.set_now(at(NOW).after(FAILURE_PAUSE));
    Trip::begin(&house, &issuer, "/sign-in/oidc").await;
}

#[tokio::test]
async fn an_answer_of_another_provider_is_not_taken_for_this_one_s() {
    let issuer = Issuer::start().await;
    issuer.desk().says_issuer = true;
    let house = house(&issuer, |_| {}).await;
    for iss in ["", "&iss=https://evil.example"] {
        let trip = Trip::begin(&house, &issuer, "/sign-in/oidc").await;
        let code = trip.code(trip.signed(&trip.claims()));
        let query = format!("code={code}&state={}{iss}", trip.asked["state"]);
        trip.back(&query).await.expect(401);
    }
    assert_eq!(issuer.asked("/token"), 0);
    let trip = Trip::begin(&house, &issuer, "/sign-in/oidc").await;
    let code = trip.code(trip.signed(&trip.claims()));
    let query = format!("code={code}&state={}&iss={}", trip.asked["state"], issuer.issuer());
    trip.back(&query).await.expect(200);
}

#[tokio::test]
async fn who_is_not_one_of_us_is_told_what_to_do_and_the_trail_hears_of_it() {
    let issuer = Issuer::start().await;
    let house = house(&issuer, |_| {}).await;
    let trip = async || Trip::begin(&house, &issuer, "/sign-in/oidc").await;
    let page = trip().await.with(|claims| claims["sub"] = json!("unknown")).await.expect(403);
    assert!(page.html.contains("you are no user here"), "{}", page.html);
    let denied = trip().await;
    let query = format!("error=access_denied&state={}", denied.asked["state"]);
    denied.back(&query).await.expect(403);
    let user = house.user(house.member.user);
    let off = User { status: UserStatus::Deactivated(deactivated(true)), ..user };
    house.write(Write::User(off)).await;
    let page = trip().await.with(|_good| {}).await.expect(403);
    assert!(page.html.contains("switched off"), "{}", page.html);
    assert!(page.cookie("bearward_session").is_none());
    let now = at(NOW).after(Duration::from_mins(1));
    let (refusals, store) = (Arc::clone(&house.refusals), Arc::clone(&house.store));
    let written = tokio::task::spawn_blocking(move || refusals.write(&*store, now)).await;
    written.expect("no panic").expect("written");
    let refused: Vec<_> =
        trail(&house).into_iter().filter(|it| it.action.to_string() == "call.refused").collect();
    let session = crate::audit::Actor::Session { user: house.member.user };
    let of_user = refused.iter().find(|event| event.actor == session).expect("an event");
    let told = format!("{:?}", of_user.changes);
    assert!(told.contains("/sign-in/oidc/callback") && told.contains("deactivated"), "{told}");
    assert!(refused.iter().any(|event| event.actor == crate::audit::Actor::Unknown));
}

#[tokio::test]
async fn who_guesses_here_does_not_guess_there() {
    let issuer = Issuer::start().await;
    let house = house(&issuer, |_| {}).await;
    let mut status = StatusCode::UNAUTHORIZED;
    for _ in 0..25 {
        let trip = Trip::begin(&house, &issuer, "/sign-in/oidc").await;
        let query = format!("code=guessed&state={}", trip.asked["state"]);
        status = trip.back(&query).await.status;
    }
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(issuer.asked("/token"), 20);
    house.set_now(at(NOW).after(Duration::from_mins(3)));
    let trip = Trip::begin(&house, &issuer, "/sign-in/oidc").await;
    trip.with(|_good| {}).await.expect(200);
}

#[tokio::test]
async fn a_sign_in_is_begun_by_a_page_of_ours_at_the_public_address() {
    let issuer = Issuer::start().await;
    let house = house(&issuer, |_| {}).await;
    for fields in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site")],
        &[("host", "admin.example.com")],
        &[("host", "127.0.0.1:8081")],
    ] {
        let page = get(&house, "/sign-in/oidc?next=/tokens/x", fields).await.expect(303);
        assert_eq!(page.headers["location"], "http://localhost:8081/sign-in?next=%2Ftokens%2Fx");
        assert!(page.cookie("bearward_sign_in").is_none());
    }
    // Nowhere else, whatever is asked for.
    let fields = [("sec-fetch-site", "same-origin")];
    let path = "/sign-in/oidc?next=//evil.example/";
    let trip = Trip::begin_with(&house, &issuer, path, &fields).await;
    let page = trip.with(|_good| {}).await.expect(200);
    assert_eq!(page.headers["refresh"], "0;url=/");
}

#[tokio::test]
async fn a_session_that_was_there_is_over() {
    let issuer = Issuer::start().await;
    let house = house(&issuer, |_| {}).await;
    let first = Trip::begin(&house, &issuer, "/sign-in/oidc").await;
    let before = first.with(|_good| {}).await.expect(200).session();
    let fields = [("cookie", before.as_str())];
    get(&house, "/account/tokens", &fields).await.expect(200);
    let second = Trip::begin_with(&house, &issuer, "/sign-in/oidc", &fields).await;
    second.with(|_good| {}).await.expect(200);
    get(&house, "/account/tokens", &fields).await.expect(303);
}

#[tokio::test]
async fn the_provider_makes_users_and_decides_on_roles_where_it_may() {
    let issuer = Issuer::start().await;
    let house = house(&issuer, |settings| {
        let role = |text: &str| text.parse().expect("a role");
        settings.create_users = true;
        settings.sync_roles = true;
        settings.roles = Some(RoleMap {
            claim: "groups".to_owned(),
            of: vec![
                ("owners".to_owned(), vec![role("org_owner")]),
                ("readers".to_owned(), vec![role("org_member"), role("orders/reader")]),
            ],
        });
    })
    .await;
    let comes = async |groups: Value| {
        let trip = Trip::begin(&house, &issuer, "/sign-in/oidc").await;
        trip.with(|claims| {
            claims["sub"] = json!("new");
            claims["email"] = json!("new@example.com");
            claims["name"] = json!("New");
            claims["groups"] = groups;
        })
        .await
    };
    comes(json!(["others"])).await.expect(403);
    comes(Value::Null).await.expect(403);
    comes(json!(["readers", "others"])).await.expect(200);
    let find = || {
        let users = house.store.users(house.org).expect("readable");
        users.into_iter().find(|user| user.external_id.as_deref() == Some("new"))
    };
    let made = find().expect("a user");
    assert_eq!(made.roles, [RoleId(2), ROLE_READER].into_iter().collect());
    comes(json!(["owners"])).await.expect(200);
    assert_eq!(find().expect("a user").roles, closed(&[RoleId(0)].into_iter().collect()));
    // What is left out takes nothing.
    comes(Value::Null).await.expect(403);
    assert_eq!(find().expect("a user").roles, closed(&[RoleId(0)].into_iter().collect()));
    // An address that somebody has already makes nobody of them.
    let trip = Trip::begin(&house, &issuer, "/sign-in/oidc").await;
    let page = trip
        .with(|claims| {
            claims["sub"] = json!("another");
            claims["email"] = json!("OWEN@example.com");
            claims["groups"] = json!(["owners"]);
        })
        .await
        .expect(403);
    assert!(page.html.contains("e-mail address"), "{}", page.html);
}

#[tokio::test]
async fn without_a_provider_there_is_no_such_page() {
    let house = House::new().await;
    for path in ["/sign-in/oidc", "/sign-in/oidc/callback?code=a&state=b"] {
        get(&house, path, &[]).await.expect(404);
    }
    assert!(!get(&house, "/sign-in", &[]).await.html.contains("Sign in with"));
}
