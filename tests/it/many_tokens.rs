//! An owner of more tokens than fit one look at the store, switched off, on and away.

use crate::notices::mailbox::{Mail, MailServer};
use crate::upstream::{Upstream, ok};
use crate::wire::Wire;
use crate::world::{Admin, Setup, World, get};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::thread;
use std::time::Duration;

/// More than the store reads in one stretch, with those that are revoked and without them.
const LIVE: usize = 1_100;
const REVOKED: usize = 150;

fn secret(nth: usize) -> String {
    format!("foreign-{nth:04}")
}

/// A gateway with the tokens of `mia@example.com`, and the identity of that user.
fn world(server: &MailServer, upstream: &Upstream) -> (World, String) {
    let notices = "[notices]\nsettle = \"2s\"\nretry_first = \"50ms\"\n";
    let setup = Setup::before(upstream).extra(&server.section()).extra(notices);
    let mut world = setup.unstarted();
    world.init();
    let mut lines = "name,owner,scope,secret,status\n".to_owned();
    for nth in 0..LIVE + REVOKED {
        let status = if nth < LIVE { "activated" } else { "revoked" };
        let token = secret(nth);
        writeln!(lines, "t{nth},mia@example.com,orders/reader org_member,{token},{status}")
            .unwrap();
    }
    let file = world.file("tokens.csv");
    fs::write(&file, lines).expect("the directory is writable");
    let file = file.to_str().expect("ASCII");
    let told = world.command(&["import", "--org", &world.org, "--make-owners", file]);
    assert!(told.status.success(), "{told:?}");
    world.serve();
    let users = world.admin().org("GET", "/users?q=mia", None).expect(200);
    let user = users["items"][0]["id"].as_str().expect("an identity").to_owned();
    (world, user)
}

/// The tokens of the user, page by page.
fn all(admin: &Admin, user: &str) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/tokens?owner={user}&limit=200{cursor}");
        let page = admin.org("GET", &path, None).expect(200);
        rows.extend(page["items"].as_array().expect("a list").iter().cloned());
        let Some(next) = page["next_cursor"].as_str() else { return rows };
        cursor = format!("&cursor={next}");
    }
}

/// What the gateway answers to each of the live tokens.
#[track_caller]
fn each_is(world: &World, status: u16) {
    let mut wire: Wire = world.wire();
    for nth in 0..LIVE {
        let bearer = format!("Authorization: Bearer {}\r\n", secret(nth));
        let answer = wire.send(get("/orders/x", &bearer)).answer();
        assert_eq!(answer.status, status, "token {nth}");
    }
}

#[track_caller]
fn counted(rows: &[Value], field: &str, value: &Value, count: usize) {
    let found = rows.iter().filter(|row| row[field] == *value).count();
    assert_eq!(found, count, "{field} {value}");
}

#[test]
fn an_owner_of_very_many_tokens_goes_comes_back_and_is_removed_with_all_of_them() {
    let server = MailServer::start();
    let upstream = Upstream::start(ok());
    let (world, user) = world(&server, &upstream);
    let admin = world.admin();
    each_is(&world, 200);

    let path = format!("/scim/v2/Users/{user}");
    let switch = |active: bool| {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "path": "active", "value": active}],
        });
        admin.at("PATCH", &path, Some(&body)).expect(200);
    };
    switch(false);
    each_is(&world, 401);
    let rows = all(&admin, &user);
    assert_eq!(rows.len(), LIVE + REVOKED);
    counted(&rows, "status", &json!("activated"), LIVE);
    counted(&rows, "status", &json!("revoked"), REVOKED);
    counted(&rows, "blocked", &json!("owner_deactivated"), LIVE + REVOKED);

    // Back and forth is told once, of the user, and of no token.
    for _ in 0..3 {
        switch(true);
        switch(false);
    }
    switch(true);
    each_is(&world, 200);
    let rows = all(&admin, &user);
    counted(&rows, "blocked", &Value::Null, LIVE + REVOKED);
    counted(&rows, "status", &json!("activated"), LIVE);
    let mails = server.wait_for(1);
    assert_eq!(mails.iter().map(Mail::to).collect::<Vec<_>>(), ["mia@example.com"]);
    assert!(mails[0].field("Subject").starts_with("You were activated again"), "{mails:#?}");

    assert_eq!(admin.at("DELETE", &path, None).status, 204);
    each_is(&world, 401);
    let rows = all(&admin, &user);
    counted(&rows, "status", &json!("revoked"), LIVE + REVOKED);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(server.mails().len(), 1, "nobody is left who could be told");
    assert!(!world.told().contains("foreign-"), "a secret in the log");
}
