//! Webhooks of one organization that hang, and one of another organization, which goes on being told.

use super::webhooks::{QUICK, hook};
use crate::upstream::{Upstream, ok, silent};
use crate::world::{Admin, Setup, TokenWish, World, eventually};
use serde_json::{Value, json};
use std::time::Duration;

/// A call that hangs does so for longer than any of these tests takes.
const HANGING: &str = "[webhooks]\nallow = [\"127.0.0.0/8\"]\ntimeout = \"5m\"\n";
/// Well below what hangs, and enough for a slow machine.
const SECONDS: Duration = Duration::from_secs(10);

/// Another organization.
fn another(admin: &Admin) -> Admin {
    let founded = json!({"name": "Globex", "owner": {"name": "Gus", "email": "gus@example.com"}});
    let founded = admin.call("POST", "/orgs", Some(&founded)).expect(201);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    Admin {
        org: text(&founded["organization"]["id"]),
        secret: text(&founded["secret"]),
        ..admin.clone()
    }
}

fn made(admin: &Admin) {
    admin.mint(&TokenWish {
        service_roles: &[],
        org_roles: &["org_member"],
        ..TokenWish::default()
    });
}

/// Whether so many webhooks that hang, each with dozens of calls that wait, leave others alone. They
/// take `places` of the 8 that there are.
fn leaves_others_alone(hooks: usize, places: usize) {
    let upstream = Upstream::start(ok());
    let (hanging, good) = (Upstream::start(silent()), Upstream::start(ok()));
    let world: World = Setup::before(&upstream).extra(QUICK).extra(HANGING).start();
    let admin = world.admin();
    let other = another(&admin);
    for nth in 0..hooks {
        let url = format!("http://{}/{nth}", hanging.address);
        hook(&admin, &url, &json!(["token.created"]));
    }
    hook(&other, &format!("http://{}/", good.address), &json!(["token.created"]));
    for _ in 0..24 {
        made(&admin);
    }
    assert!(eventually(SECONDS, || hanging.requests().len() == places), "{}", world.told());
    for told in 1..=4 {
        made(&other);
        assert!(eventually(SECONDS, || good.requests().len() == told), "{told}: {}", world.told());
        // It has its place back once that is recorded.
        made(&admin);
    }
    assert_eq!(hanging.requests().len(), places, "no more than their share");
}

#[test]
fn one_webhook_that_hangs_takes_two_places() {
    leaves_others_alone(1, 2);
}

#[test]
fn twenty_webhooks_of_one_organization_that_hang_take_half_of_the_places() {
    leaves_others_alone(20, 4);
}
