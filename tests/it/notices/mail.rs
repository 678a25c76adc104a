//! Mails.

use super::mailbox::{Mail, MailServer, Mode, PATIENCE};
use crate::upstream::{Upstream, ok};
use crate::world::{Admin, Minted, Setup, TokenWish, World, eventually};
use serde_json::json;
use std::thread;
use std::time::Duration;

const QUICK: &str =
    "[notices]\nsettle = \"300ms\"\nretry_first = \"50ms\"\nretry_longest = \"200ms\"\n";

fn world(server: &MailServer, notices: &str) -> (World, Upstream) {
    let upstream = Upstream::start(ok());
    let setup = Setup::before(&upstream).extra(&server.section()).extra(notices);
    (setup.start(), upstream)
}

/// A token of a member, made by the owner; the mail about that is the first.
fn token_of_a_member(world: &World) -> (Admin, Minted) {
    let admin = world.admin();
    let user = admin.add_user("mia", &[("orders", "reader")]);
    let token =
        admin.mint(&TokenWish { name: "ci <1>", owner: Some(&user), ..TokenWish::default() });
    (admin, token)
}

#[test]
fn s17_the_owner_of_a_token_is_told_who_switched_it_off_when_and_why() {
    let server = MailServer::start();
    let (world, _upstream) = world(&server, QUICK);
    let (admin, token) = token_of_a_member(&world);
    let created = server.wait_for(1).remove(0);
    assert_eq!(created.to(), "mia@example.com");
    assert_eq!(created.field("Subject"), "An API token of yours was created: \"ci <1>\"");
    assert!(!created.text().contains(&token.secret), "a secret in a mail");

    admin.deactivate(&token);
    let mail = server.wait_for(2).remove(1);
    assert_eq!(mail.to(), "mia@example.com");
    assert_eq!(mail.field("From"), "Bearward <bearward@gate.example>");
    assert_eq!(mail.field("To"), "mia <mia@example.com>");
    assert_eq!(mail.field("Subject"), "Your API token \"ci <1>\" was deactivated");
    assert_eq!(mail.field("Auto-Submitted"), "auto-generated");
    assert!(mail.field("Message-ID").starts_with("<ntc_"));
    assert!(mail.field("Message-ID").ends_with("@gate.example>"));
    let text = mail.text();
    let at = admin.token(&token.id)["status_changed"]["at"].as_str().expect("a time").to_owned();
    for said in ["Reason:       a test", "When:         ", &at, &token.id, "ci <1>", "ci &lt;1&gt;"]
    {
        assert!(text.contains(said), "{said} is not in {text}");
    }
    let me = admin.call("GET", "/me", None).expect(200);
    let owner = me["user"]["name"].as_str().expect("a name");
    assert!(text.contains(&format!("By:           {owner} (")), "{text}");

    admin.activate(&token);
    let mail = server.wait_for(3).remove(2);
    assert_eq!(mail.field("Subject"), "Your API token \"ci <1>\" was activated again");
    admin.revoke(&token);
    let mail = server.wait_for(4).remove(3);
    assert_eq!(mail.field("Subject"), "Your API token \"ci <1>\" was revoked");
}

#[test]
fn a_user_who_is_switched_off_and_on_is_told() {
    let server = MailServer::start();
    let (world, _upstream) = world(&server, QUICK);
    let admin = world.admin();
    let user = admin.add_user("mia", &[]);
    admin.deactivate_user(&user);
    assert!(server.wait_for(1)[0].field("Subject").starts_with("You were deactivated"));
    admin.activate_user(&user);
    assert!(server.wait_for(2)[1].field("Subject").starts_with("You were activated again"));
}

#[test]
fn flapping_is_one_mail_about_what_holds_in_the_end() {
    let server = MailServer::start();
    let (world, _upstream) = world(&server, "[notices]\nsettle = \"2s\"\n");
    let (admin, token) = token_of_a_member(&world);
    server.wait_for(1);
    for _ in 0..5 {
        admin.deactivate(&token);
        admin.activate(&token);
    }
    admin.deactivate(&token);
    let subject = server.wait_for(2)[1].field("Subject");
    assert_eq!(subject, "Your API token \"ci <1>\" was deactivated");
    thread::sleep(Duration::from_secs(3));
    server.wait_for(2);
}

#[test]
fn a_mail_survives_the_kill_of_the_gateway_between_commit_and_send() {
    let server = MailServer::start();
    let (mut world, _upstream) = world(&server, "[notices]\nsettle = \"1s\"\n");
    let (admin, token) = token_of_a_member(&world);
    server.wait_for(1);
    // A mail that is not recorded as delivered when the process is killed comes again, rightly.
    let delivered = || {
        let notices = admin.org("GET", "/notices", None).expect(200);
        notices["items"][0]["state"] == "delivered"
    };
    assert!(eventually(PATIENCE, delivered), "{}", world.told());
    admin.deactivate(&token);
    world.kill();
    server.wait_for(1);
    world.serve();
    let mail = server.wait_for(2).remove(1);
    assert_eq!(mail.field("Subject"), "Your API token \"ci <1>\" was deactivated");
    assert!(eventually(PATIENCE, delivered), "{}", world.told());
    // What was recorded as delivered is not sent again.
    world.restart();
    thread::sleep(Duration::from_secs(2));
    server.wait_for(2);
}

#[test]
fn a_mail_that_was_under_way_when_the_gateway_was_killed_is_sent_again_under_its_identity() {
    let server = MailServer::start();
    let (mut world, _upstream) = world(&server, QUICK);
    server.be(Mode::Hang);
    token_of_a_member(&world);
    let first = server.wait_for(1).remove(0);
    world.kill();
    server.be(Mode::Take);
    world.serve();
    let second = server.wait_for(2).remove(1);
    assert_eq!(first.field("Message-ID"), second.field("Message-ID"));
}

#[test]
fn a_mail_survives_a_mail_server_that_is_killed_in_the_middle_of_it() {
    let mut server = MailServer::start();
    let (world, _upstream) = world(&server, QUICK);
    server.be(Mode::Hang);
    token_of_a_member(&world);
    let first = server.wait_for(1).remove(0);
    assert_eq!(first.mode(), "hang");
    server.kill();
    // For a while there is nobody, and attempts fail.
    thread::sleep(Duration::from_secs(1));
    server.be(Mode::Take);
    server.run();
    let second = server.wait_for(2).remove(1);
    assert_eq!(first.field("Message-ID"), second.field("Message-ID"));
    thread::sleep(Duration::from_secs(1));
    server.wait_for(2);
}

#[test]
fn what_the_server_wants_later_comes_again_and_what_it_never_takes_does_not() {
    let server = MailServer::start();
    let (world, _upstream) = world(&server, QUICK);
    server.be(Mode::Later);
    let (admin, token) = token_of_a_member(&world);
    assert!(eventually(PATIENCE, || server.mails().len() >= 3), "it is tried again");
    server.be(Mode::Take);
    let accepted = || server.mails().iter().filter(|mail| mail.mode() == "take").count();
    assert!(eventually(PATIENCE, || accepted() == 1), "and taken in the end");
    server.be(Mode::Say("550 5.1.1 no such mailbox"));
    let before = server.mails().len();
    admin.revoke(&token);
    server.wait_for(before + 1);
    thread::sleep(Duration::from_secs(1));
    server.wait_for(before + 1);
    let failed = &admin.told_of("notice.failed")[0];
    assert!(failed["changes"].to_string().contains("no such mailbox"), "{failed}");
}

#[test]
fn what_a_server_refuses_for_another_reason_than_the_address_is_tried_again() {
    let server = MailServer::start();
    let (world, _upstream) = world(&server, QUICK);
    let admin = world.admin();
    let replies = [
        "550 5.7.1 relaying denied",
        "552 5.2.2 over quota",
        "550 5.1.8 bad sender",
        "550 mailbox unavailable",
        "554 no",
    ];
    for (nth, reply) in replies.into_iter().enumerate() {
        server.be(Mode::Say(reply));
        admin.mint(&TokenWish::default());
        let refused = || server.mails().iter().filter(|mail| mail.mode().ends_with(reply)).count();
        assert!(eventually(PATIENCE, || refused() >= 3), "{reply}: {}", world.told());
        server.be(Mode::Take);
        let taken = || server.mails().iter().filter(|mail| mail.mode() == "take").count();
        assert!(eventually(PATIENCE, || taken() == nth + 1), "{reply}: {}", world.told());
    }
}

#[test]
fn after_the_last_attempt_it_is_given_up_and_the_audit_trail_says_so() {
    let server = MailServer::stopped();
    let (world, _upstream) = world(
        &server,
        "[notices]\nattempts_max = 3\nretry_first = \"10ms\"\nretry_longest = \"10ms\"\n",
    );
    let (admin, _token) = token_of_a_member(&world);
    let mut failed = json!(null);
    eventually(PATIENCE, || {
        failed = admin.told_of("notice.failed").into_iter().collect();
        failed != json!([])
    });
    let failed = &failed[0];
    assert_eq!(failed["target"]["name"], "token.created", "{failed}");
    assert_eq!(failed["changes"][1]["after"], "3", "{failed}");
    assert_eq!(failed["actor"]["type"], "system", "{failed}");
}

/// A certificate for `localhost` that vouches for itself, and its key.
fn certificate(home: &std::path::Path) -> (String, String) {
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| home.join(name));
    let shown = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &shown(&key), "-out", &shown(&certificate)])
        .output()
        .expect("openssl is needed");
    assert!(made.status.success(), "{made:?}");
    (shown(&certificate), shown(&key))
}

#[test]
fn mail_goes_over_tls_with_a_login_and_to_nobody_who_is_not_vouched_for() {
    let home = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(home.path());
    let password = home.path().join("password");
    std::fs::write(&password, "hunter2\n").unwrap();
    for (tls, implicit) in [("starttls", false), ("tls", true)] {
        let server = MailServer::with(&json!({
            "certificate": certificate, "key": key, "implicit": implicit,
            "user": "gate", "password": "hunter2",
        }));
        let smtp = |authorities: &str| {
            let port = server.address().replace("127.0.0.1:", "localhost:");
            format!(
                "[smtp]\nserver = \"{port}\"\ntls = \"{tls}\"\n\
                 from = \"bearward@gate.example\"\nuser = \"gate\"\n\
                 password = {{ file = \"{}\" }}\n{authorities}\n{QUICK}",
                password.display()
            )
        };
        let upstream = Upstream::start(ok());
        let trusting = format!("authorities = \"{certificate}\"");
        let world = Setup::before(&upstream).extra(&smtp(&trusting)).start();
        token_of_a_member(&world);
        let mail = server.wait_for(1).remove(0);
        assert!(mail.is_over_tls(), "{mail:?}");
        assert_eq!(mail.user(), Some("gate"));

        let patient = smtp("").replace("[notices]", "[notices]\nattempts_max = 2");
        let world = Setup::before(&upstream).extra(&patient).start();
        let (admin, _token) = token_of_a_member(&world);
        let mut last = json!(null);
        eventually(PATIENCE, || {
            last = admin.told_of("notice.failed").into_iter().collect();
            last != json!([])
        });
        let last = &last[0];
        assert!(last["changes"].to_string().contains("certificate"), "{last}");
        assert!(!world.told().contains("hunter2") && !last.to_string().contains("hunter2"));
        server.wait_for(1);
    }
}

/// The mails to somebody whose subject begins with this.
fn to(server: &MailServer, address: &str, subject: &str) -> Vec<String> {
    let is_meant = |mail: &Mail| mail.to() == address && mail.field("Subject").starts_with(subject);
    server.mails().iter().filter(|mail| is_meant(mail)).map(Mail::text).collect()
}

#[test]
fn an_owner_gets_one_mail_of_new_violations_and_a_warning_before_anything_follows() {
    let server = MailServer::start();
    let (world, _upstream) = world(&server, QUICK);
    let admin = world.admin();
    let user = admin.add_user("mia", &[("orders", "reader")]);
    let made = |name| admin.mint(&TokenWish { name, owner: Some(&user), ..TokenWish::default() });
    let (first, second) = (made("first"), made("second"));
    let minute = json!({"active": true, "value": 1, "unit": "minutes"});
    admin.org("PUT", "/policies", Some(&json!({"max_ttl": minute}))).expect(200);
    let digest = || to(&server, "mia@example.com", "API tokens of yours break a policy");
    assert!(eventually(PATIENCE, || !digest().is_empty()), "{}", world.told());
    let text = digest().remove(0);
    for said in [&first.id, &second.id] {
        assert!(text.contains(said.as_str()), "{said} is not in {text}");
    }
    assert!(!text.contains(&first.secret) && !text.contains(&second.secret));

    // Enforced from now on: warned, with the date, and not deactivated.
    let grace = json!({"value": 30, "unit": "days"});
    let max = json!({"active": true, "value": 1, "unit": "minutes",
        "enforcement": {"deactivate_after": grace}});
    admin.org("PUT", "/policies", Some(&json!({"max_ttl": max}))).expect(200);
    let warned = || {
        let all = digest();
        all.into_iter().filter(|text| text.contains("deactivated from")).collect::<Vec<_>>()
    };
    assert!(eventually(PATIENCE, || !warned().is_empty()), "{}", world.told());
    assert!(warned()[0].contains(&first.id) && warned()[0].contains(&second.id));
    // Another run tells nobody anything.
    admin.org("POST", "/validations", None).expect(202);
    let through = || {
        let list = admin.org("GET", "/validations", None).expect(200);
        list["items"][0]["number"] == 3 && list["items"][0]["state"] == "finished"
    };
    assert!(eventually(PATIENCE, through), "{}", world.told());
    thread::sleep(Duration::from_secs(1));
    assert_eq!(digest().len(), 2, "{:#?}", digest());
    assert_eq!(admin.token(&first.id)["status"], "activated");
}

#[test]
fn a_start_without_a_mail_server_warns_of_policies_that_are_enforced() {
    const WARNING: &str = "without `[smtp]` no owner of a token is warned";
    let server = MailServer::start();
    let upstream = Upstream::start(ok());
    let with = Setup::before(&upstream).extra(&server.section()).extra(QUICK);
    for (setup, warns) in [(with, false), (Setup::before(&upstream).extra(QUICK), true)] {
        let mut world = setup.start();
        let put = |enforcement| {
            let max = json!({"active": true, "value": 1, "unit": "days",
                "enforcement": enforcement});
            world.admin().org("PUT", "/policies", Some(&json!({"max_ttl": max}))).expect(200);
        };
        put(json!({"deactivate_after": {"value": 30, "unit": "days"}}));
        world.restart();
        let told = || world.told().contains(WARNING);
        if warns {
            assert!(eventually(PATIENCE, told), "{}", world.told());
            assert!(world.told().contains(&world.org), "{}", world.told());
        } else {
            thread::sleep(Duration::from_secs(1));
            assert!(!told(), "{}", world.told());
        }
    }
}

#[test]
fn an_owner_is_told_of_the_end_of_their_tokens_once_at_each_time() {
    const HOUR: i64 = 60 * 60;
    let server = MailServer::start();
    let upstream = Upstream::start(ok());
    let setup = Setup::before(&upstream).extra(&server.section()).extra(QUICK);
    let mut world = setup.clock().start();
    let admin = world.admin();
    let user = admin.add_user("mia", &[("orders", "reader")]);
    let made = |name, days| {
        let ttl = (days, "days");
        admin.mint(&TokenWish { name, ttl, owner: Some(&user), ..TokenWish::default() })
    };
    let (first, second, off, short) =
        (made("first", 10), made("second", 10), made("off", 10), made("short", 1));
    admin.deactivate(&off);
    let soon = || to(&server, "mia@example.com", "API tokens of yours expire soon");
    let over = || to(&server, "mia@example.com", "API tokens of yours have expired");
    let counts = || (soon().len(), over().len());
    // A look of the scheduler later nothing has come.
    thread::sleep(Duration::from_secs(7));
    assert_eq!(counts(), (0, 0), "a day before the end of a token of a day is its beginning");
    world.set_clock(25 * HOUR);
    assert!(eventually(PATIENCE, || counts() == (0, 1)), "{:?}\n{}", counts(), world.told());
    assert!(over()[0].contains(&short.id) && !over()[0].contains(&first.id), "{}", over()[0]);

    world.set_clock(73 * HOUR);
    assert!(eventually(PATIENCE, || counts() == (1, 1)), "{:?}\n{}", counts(), world.told());
    let text = soon().remove(0);
    assert!(text.contains(&first.id) && text.contains(&second.id), "{text}");
    assert!(!text.contains(&off.id) && !text.contains(&first.secret), "{text}");
    let end = admin.token(&first.id)["expires_at"].as_str().expect("a time").to_owned();
    assert!(text.contains(&format!("expires at {end}")), "{text}");

    // A mail that is not recorded as delivered when the process is killed comes again, rightly.
    let recorded = || {
        let notices = admin.org("GET", "/notices", None).expect(200);
        let notices = notices["items"].as_array().expect("a list");
        notices.iter().all(|notice| notice["state"] == "delivered")
    };
    assert!(eventually(PATIENCE, recorded), "{}", world.told());
    // Killed, and down for the whole of the last day: what is missed is told once, as it stands.
    world.kill();
    world.serve_ahead(241 * HOUR);
    assert!(eventually(PATIENCE, || counts() == (1, 2)), "{:?}\n{}", counts(), world.told());
    assert!(over()[1].contains(&first.id) && over()[1].contains(&second.id), "{}", over()[1]);
    assert!(eventually(PATIENCE, recorded), "{}", world.told());
    // Neither a restart nor a clock that is far behind or ahead tells anything again.
    for hours in [0, 73, 300] {
        world.kill();
        world.serve_ahead(hours * HOUR);
        thread::sleep(Duration::from_secs(7));
    }
    assert_eq!(counts(), (1, 2));
}
