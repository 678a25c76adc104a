//! `import` and `export`.

use super::{CONFIG, Site, Told, bearward, text};
use crate::upstream::{Upstream, ok};
use crate::wire::lossy;
use crate::world::{Minted, Setup, TokenWish};
use bearward::audit::{Action, Actor};
use bearward::id::OrgId;
use bearward::org::Revision;
use bearward::secret::Digest;
use bearward::store::{Archive as _, Facts as _, Ledger as _};
use bearward::token::{ApiToken, TokenStatus, Usage};
use serde_json::json;
use std::fmt::Write as _;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

/// A store with its first organization.
fn founded() -> (Site, OrgId) {
    let site = Site::new(CONFIG);
    let made = site.init(&["--owner-email", "ada@example.com"]);
    let org = text(&made, "org").parse().expect("an identity");
    (site, org)
}

fn import(site: &Site, org: OrgId, name: &str, lines: &str, more: &[&str]) -> Told {
    let file = site.home.path().join(name);
    fs::write(&file, lines).expect("the directory is writable");
    let file = file.to_str().expect("ASCII");
    site.run(&[&["import", "--org", &org.to_string(), file], more].concat())
}

fn export(site: &Site, org: OrgId, more: &[&str]) -> String {
    let told = site.run(&[&["export", "--org", &org.to_string()], more].concat());
    assert_eq!((told.code, told.err.as_str()), (0, ""), "{told:?}");
    told.out
}

fn tokens(site: &Site, org: OrgId) -> Vec<(ApiToken, Usage)> {
    let mut tokens = Vec::new();
    let mut visit = |token, usage| {
        tokens.push((token, usage));
        ControlFlow::Continue(())
    };
    site.open().visit_tokens(org, None, &mut visit).expect("readable");
    tokens
}

fn revision(site: &Site) -> Revision {
    site.open().revision().expect("readable")
}

#[test]
fn tokens_come_in_from_both_forms() {
    let (site, org) = founded();
    let told = import(
        &site,
        org,
        "a.csv",
        "name,owner,scope,secret,status,status_reason,use_count\r\n\
         ci,ada@example.com,orders/reader,ghp_one,,,7\r\n\
         \"a, b\",ADA@example.com,,ghp_two,deactivated,\"lost, sadly\",\r\n",
        &[],
    );
    assert_eq!((told.code, told.err.as_str()), (0, ""), "{told:?}");
    assert!(told.out.contains("imported 2 tokens and made 0 owners"), "{told:?}");
    let digest = "ab".repeat(32);
    let told = import(
        &site,
        org,
        "b.jsonl",
        &format!(
            "{{\"name\": \"by digest\", \"owner\": \"new@example.com\", \"digest\": \"{digest}\", \
             \"scope\": [\"orders/writer\", \"org_member\"]}}\n"
        ),
        &["--make-owners"],
    );
    assert!(told.out.contains("imported 1 tokens and made 1 owners"), "{told:?}");

    let all = tokens(&site, org);
    let store = site.open();
    let of = |name: &str| all.iter().find(|(token, _)| token.name == name).expect(name).clone();
    let (ci, usage) = of("ci");
    assert_eq!((ci.digest, usage.use_count), (Digest::of(b"ghp_one"), 7));
    assert!(store.lookup(&Digest::of(b"ghp_one")).expect("readable").1.is_some());
    let TokenStatus::Deactivated(change) = of("a, b").0.status else { panic!("it is live") };
    assert_eq!(change.reason.as_deref(), Some("lost, sadly"));
    assert!(change.governed, "an owner of tokens does not take it back");
    let owner = store.user(of("by digest").0.owner).expect("readable").expect("it was made");
    assert_eq!((owner.email.as_str(), owner.name.as_str()), ("new@example.com", "new"));
    let writer = store.roles().id(&"orders/writer".parse().expect("a role")).expect("known");
    assert!(owner.roles.contains(writer) && !owner.is_active_owner());

    // One event for each import, whatever its size.
    let events = store.events(org, None, 10).expect("readable");
    let of_imports = events.iter().filter(|event| event.said.action == Action::TokensImported);
    let told: Vec<_> = of_imports.map(|event| format!("{:?}", event.said)).collect();
    assert_eq!(told.len(), 2);
    assert!(events.iter().all(|event| event.said.actor == Actor::Offline));
    assert!(told[1].contains("a.csv") && !told.concat().contains("ghp_"), "{told:?}");
}

#[test]
fn bad_lines_are_named_and_keep_no_other_back() {
    let (site, org) = founded();
    let errors = site.home.path().join("errors");
    let lines = "name,owner,scope,secret\n\
         good,ada@example.com,orders/reader,secret-1\n\
         nobody,eve@example.com,,secret-2\n\
         ,ada@example.com,,secret-3\n\
         twice,ada@example.com,,secret-1\n\
         broken,\"ada@example.com,,secret-4\n";
    let more = ["--errors", errors.to_str().expect("ASCII")];
    let told = import(&site, org, "a.csv", lines, &more);
    assert_eq!(told.code, 1);
    assert!(told.out.contains("imported 1 tokens") && told.out.contains("4 lines are bad"));
    assert!(told.err.contains("errors names them"), "{told:?}");
    let named = fs::read_to_string(&errors).expect("the errors");
    let named: Vec<&str> = named.lines().collect();
    assert!(named[0].starts_with("3: owner: ") && named[0].contains("--make-owners"), "{named:?}");
    assert!(named[1].starts_with("4: name: "), "{named:?}");
    assert_eq!(named[2], "5: digest: the same as that of line 2");
    assert!(named[3].starts_with("6: a quote"), "{named:?}");
    assert_eq!(named.len(), 4);
    assert_eq!(fs::metadata(&errors).expect("there").permissions().mode() & 0o777, 0o600);
    // Without such a file they are told, and in neither place is there a secret.
    let again = import(&site, org, "a.csv", lines, &[]);
    assert!(again.err.contains("a.csv:3: owner: "), "{again:?}");
    for text in [&again.err, &again.out, &told.err, &named.concat()] {
        assert!(!text.contains("secret-"), "{text}");
    }
    assert!(again.out.contains("imported 0 tokens") && again.out.contains("passed over 2"));
    // What is no file of tokens at all.
    for (name, lines, part) in [
        ("b.csv", "secret-5\n", "column 1 of the header is none of"),
        ("b.csv", "name,name\n", "twice"),
        ("b.txt", "", "--format"),
    ] {
        let told = import(&site, org, name, lines, &[]);
        assert_eq!(told.code, 1);
        assert!(told.err.contains(part) && !told.err.contains("secret-"), "{told:?}");
    }
}

#[test]
fn a_dry_run_judges_and_writes_nothing() {
    let (site, org) = founded();
    let before = revision(&site);
    let lines = "name,owner,scope,secret\nci,new@example.com,orders/reader,x1\n,a@b,,x2\n";
    let told = import(&site, org, "a.csv", lines, &["--dry-run", "--make-owners"]);
    assert_eq!(told.code, 1);
    assert!(told.out.contains("would import 1 tokens and make 1 owners"), "{told:?}");
    assert_eq!(revision(&site), before);
    assert_eq!(tokens(&site, org).len(), 1);
}

#[test]
fn an_import_needs_the_store_for_itself() {
    let (site, org) = founded();
    let held = site.open();
    let told = import(&site, org, "a.csv", "name\n", &[]);
    assert_eq!(told.code, 1);
    assert!(told.err.contains("needs it for itself"), "{told:?}");
    drop(held);
    let other = OrgId::from_bits(9);
    let told = import(&site, other, "a.csv", "name\n", &[]);
    assert!(told.err.contains(&other.to_string()), "{told:?}");
}

/// Many lines, all good.
fn many(count: u32) -> String {
    let mut lines = "name,owner,scope,digest\n".to_owned();
    for number in 0..count {
        let mut digest = String::new();
        for byte in Digest::of(&number.to_le_bytes()).as_bytes() {
            write!(digest, "{byte:02x}").expect("memory");
        }
        let owner = number / 500;
        let line = writeln!(lines, "token {number},u{owner}@example.com,orders/reader,{digest}");
        line.expect("memory");
    }
    lines
}

#[test]
fn an_import_that_was_killed_goes_on_where_it_was() {
    const COUNT: u32 = 40_000;
    let (site, org) = founded();
    let file = site.home.path().join("many.csv");
    fs::write(&file, many(COUNT)).expect("written");
    let org_text = org.to_string();
    let arguments = ["import", "--org", &org_text, "--make-owners", file.to_str().expect("ASCII")];
    let mut killed = 0;
    for millis in [150, 300, 600] {
        let mut command = bearward(&arguments);
        let mut child = command.arg("--config").arg(site.config()).spawn().expect("it starts");
        std::thread::sleep(Duration::from_millis(millis));
        killed += usize::from(child.try_wait().expect("a child can be asked").is_none());
        child.kill().expect("it can be killed");
        child.wait().expect("it can be waited for");
    }
    assert!(killed > 0, "no import was killed on its way");
    let told = site.run(&arguments);
    assert_eq!((told.code, told.err.as_str()), (0, ""), "{told:?}");
    let all = tokens(&site, org);
    assert_eq!(all.len(), 1 + COUNT as usize);
    let store = site.open();
    assert_eq!(store.visit_digests(&mut |_| {}), Ok(1 + u64::from(COUNT)));
    assert_eq!(store.users(org).expect("readable").len(), 1 + 80);
    drop(store);
    let told = site.run(&arguments);
    assert!(
        told.out.contains("imported 0 tokens and made 0 owners; passed over 40000"),
        "{told:?}"
    );
}

#[test]
fn what_is_exported_is_imported_as_it_was() {
    let (site, org) = founded();
    let lines = "name,owner,owner_name,scope,secret,status,status_at,status_reason,status_governed,\
                 created_at,issued_at,expires_at,last_used_at,use_count\n\
                 '=1+1,bob@example.com,'-Bob,orders/reader,s1,,,,,2025-01-01T00:00:00Z,\
                 2026-01-01T00:00:00Z,2030-01-01T00:00:00Z,2026-02-01T00:00:00Z,12\n\
                 \"q\"\"uo,te\",bob@example.com,,org_member,s2,revoked,2026-03-01T00:00:00Z,\
                 \"two\nlines\",false,,,,,\n\
                 off,ann@example.com,Ann,,s3,deactivated,2026-03-01T00:00:00Z,@why,true,,,,,\n";
    let told = import(&site, org, "a.csv", lines, &["--make-owners"]);
    assert!(told.out.contains("imported 3 tokens and made 2 owners"), "{told:?}");
    for format in ["csv", "jsonl"] {
        let first = export(&site, org, &["--digests", "--format", format]);
        assert!(!first.contains("bwt_"), "{first}");
        let (other, other_org) = founded();
        let name = format!("tokens.{format}");
        let told = import(&other, other_org, &name, &first, &["--make-owners"]);
        assert_eq!((told.code, told.err.as_str()), (0, ""), "{told:?}");
        assert!(told.out.contains("imported 4 tokens and made 2 owners"), "{told:?}");
        // The other store's own first token is no part of it.
        let kept = |text: &str| -> Vec<String> {
            let mine: Vec<String> =
                tokens(&site, org).iter().map(|(t, _)| t.id.to_string()).collect();
            records(text, format)
                .into_iter()
                .filter(|r| mine.iter().any(|id| r.contains(id)))
                .collect()
        };
        let second = export(&other, other_org, &["--digests", "--format", format]);
        assert_eq!(kept(&second), kept(&first));
        assert_eq!(kept(&first).len(), 4);
        // Without digests there is nothing that could be taken in.
        let blind = export(&site, org, &["--format", format]);
        assert!(!blind.contains("digest"), "{blind}");
    }
    let csv = export(&site, org, &[]);
    assert!(csv.contains(",'=1+1,") && csv.contains(",'@why,"), "{csv}");
}

/// The records of an export; one of CSV may go over several lines.
fn records(text: &str, format: &str) -> Vec<String> {
    let mut records: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        let open = records.last().is_some_and(|last| last.matches('"').count() % 2 == 1);
        match records.last_mut().filter(|_| open && format == "csv") {
            Some(last) => last.push_str(line),
            None => records.push(line.to_owned()),
        }
    }
    records
}

#[test]
fn an_imported_token_is_admitted_and_a_running_gateway_exports() {
    let upstream = Upstream::start(ok());
    let mut world = Setup::before(&upstream).unstarted();
    world.init();
    let file = world.file("foreign.csv");
    let owner = "owner@example.com";
    fs::write(&file, format!("name,owner,scope,secret\nforeign,{owner},orders/reader,ghp_live\n"))
        .expect("written");
    let org = world.org.clone();
    let arguments = ["import", "--org", &org, file.to_str().expect("ASCII")];
    let told = world.command(&arguments);
    assert!(told.status.success(), "{told:?}");
    world.serve();
    let foreign = Minted { id: String::new(), secret: "ghp_live".to_owned() };
    assert_eq!(world.fetch("/orders", &foreign).status, 200);
    assert_eq!(world.fetch("/billing", &foreign).status, 403);

    let told = world.command(&arguments);
    assert!(!told.status.success() && lossy(&told.stderr).contains("for itself"), "{told:?}");
    fs::write(world.file("owner"), &world.owner_secret).expect("written");
    let operator = world.file("owner");
    let export = |more: &[&str]| {
        let operator = operator.to_str().expect("ASCII");
        let arguments = [&["export", "--org", &org, "--token-file", operator][..], more].concat();
        let told = world.command(&arguments);
        assert!(told.status.success(), "{told:?}");
        lossy(&told.stdout)
    };
    let csv = export(&[]);
    let line = csv.lines().find(|line| line.contains(",foreign,")).expect("it is there");
    // The use that was just made is in it, stored or not.
    assert!(line.contains(owner) && line.contains(",1,"), "{line}");
    assert!(!csv.contains("ghp_live") && !csv.contains("digest"));
    let jsonl = export(&["--format", "jsonl", "--digests"]);
    assert_eq!(jsonl.lines().count(), 2);
    assert!(jsonl.contains("\"digest\""));
    assert_eq!(world.admin().told_of("tokens.exported").len(), 2);

    // Members do not.
    let member = world.admin().mint(&TokenWish::default());
    let admin = crate::world::Admin { secret: member.secret, ..world.admin() };
    assert_eq!(admin.org("POST", "/export", Some(&json!({}))).status, 403);
}
