//! Streams of changes, as a browser meets them.

use super::*;
use crate::directory::EARS_PER_USER_MAX;
use std::time::Duration;
use tokio::time::timeout;

/// The longest anything here waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough to see that something does not come.
const A_WHILE: Duration = Duration::from_millis(700);

/// A stream of a browser.
struct Stream(Body);

impl Stream {
    async fn open(browser: &Browser<'_>, since: &str) -> http::Response<Body> {
        let request = Request::get(format!("/events?since={since}"))
            .header(HOST, "localhost:8081")
            .header("cookie", &browser.cookie)
            .body(Body::empty())
            .expect("a request");
        browser.house.router.clone().oneshot(request).await.expect("infallible")
    }

    async fn of(browser: &Browser<'_>, since: &str) -> Self {
        let response = Self::open(browser, since).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut stream = Self(response.into_body());
        assert_eq!(stream.next().await.as_deref(), Some("retry: 2000\n\n"));
        stream
    }

    /// What comes next; nothing at the end.
    async fn next(&mut self) -> Option<String> {
        let frame = timeout(PATIENCE, self.0.frame()).await.expect("nothing came")?;
        let data = frame.expect("no error").into_data().expect("data");
        Some(String::from_utf8(data.to_vec()).expect("text"))
    }

    async fn is_silent(&mut self) -> bool {
        timeout(A_WHILE, self.0.frame()).await.is_err()
    }
}

fn since(page: &Page) -> &str {
    let (_, rest) = page.html.split_once("data-since=\"").expect("it says since when");
    rest.split('"').next().expect("a number")
}

async fn deactivate(house: &House, token: TokenId) {
    let path = house.at(&format!("/tokens/{token}/deactivate"));
    house.ask("POST", &path).by(&house.owner).json(&json!({})).send().await.expect(200);
}

#[tokio::test]
async fn who_may_see_a_token_hears_that_it_changed_and_nothing_more() {
    let house = House::new().await;
    let owner = Browser::signed_in(&house, &house.owner).await;
    let member = Browser::signed_in(&house, &house.member).await;
    let outsider = Browser::signed_in(&house, &house.outsider).await;
    let page = owner.get("/governance/tokens").await.expect(200);
    let seen = since(&page).to_owned();
    let mut all = Stream::of(&owner, &seen).await;
    let mut own = Stream::of(&member, &seen).await;
    let mut other = Stream::of(&outsider, &seen).await;
    deactivate(&house, house.bystander.token).await;
    let told = all.next().await.expect("an event");
    let last = house.tidings.last().0;
    let token = house.bystander.token;
    assert_eq!(told, format!("id: {last}\nevent: changed\ndata: {token}\n\n"));
    assert!(own.is_silent().await, "a member hears of the token of another");
    assert!(other.is_silent().await, "another organization hears of it");
    // A page of before that hears of what it missed.
    let mut late = Stream::of(&owner, &seen).await;
    assert!(late.next().await.expect("an event").ends_with("data: list\n\n"));
    let mut fresh = Stream::of(&owner, &last.to_string()).await;
    assert!(fresh.is_silent().await);
}

#[tokio::test]
async fn a_stream_ends_with_its_session_and_with_the_port() {
    let house = House::new().await;
    let none = Browser::new(&house);
    assert_eq!(Stream::open(&none, "0").await.status(), StatusCode::NO_CONTENT);
    let seen = || house.tidings.last().0.to_string();

    let owner = Browser::signed_in(&house, &house.owner).await;
    let mut stream = Stream::of(&owner, &seen()).await;
    owner.post("/sign-out", &[]).await.expect(303);
    assert_eq!(stream.next().await, None, "it outlives the session");

    let member = Browser::signed_in(&house, &house.member).await;
    let mut stream = Stream::of(&member, &seen()).await;
    deactivate(&house, house.member.token).await;
    assert_eq!(stream.next().await, None, "it outlives the token");

    // What a page does by itself does not keep a session alive.
    let admin = Browser::signed_in(&house, &house.admin).await;
    let mut stream = Stream::of(&admin, &seen()).await;
    let begun = at(NOW);
    house.set_now(begun.after(Duration::from_mins(29)));
    let request = Request::get("/governance/tokens").header("bearward-by-itself", "yes");
    admin.send(request, String::new()).await.expect(200);
    assert!(stream.is_silent().await);
    house.set_now(begun.after(Duration::from_mins(31)));
    assert_eq!(stream.next().await, None, "it keeps its session alive");

    let owner = Browser::signed_in(&house, &house.owner).await;
    let mut stream = Stream::of(&owner, &seen()).await;
    house.tidings.close();
    assert_eq!(stream.next().await, None, "it outlives the port");
    assert_eq!(Stream::open(&owner, "0").await.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn one_stream_too_many_is_refused() {
    let house = House::new().await;
    let owner = Browser::signed_in(&house, &house.owner).await;
    let mut open = Vec::new();
    for _ in 0..EARS_PER_USER_MAX {
        open.push(Stream::of(&owner, "0").await);
    }
    assert_eq!(Stream::open(&owner, "0").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let admin = Browser::signed_in(&house, &house.admin).await;
    drop(Stream::of(&admin, "0").await);
    drop(open.pop());
    for attempt in 0.. {
        if Stream::open(&owner, "0").await.status() == StatusCode::OK {
            break;
        }
        assert!(attempt < 100, "the place of one that is gone stays taken");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
