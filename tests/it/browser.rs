//! The pages in a real Chromium, against the real binary: `tests/browser/`, a script for each who.

use std::path::Path;
use std::process::Command;

fn run(script: &str) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = Command::new(here.join("tests/browser/install")).output().expect("bash runs");
    assert!(tools.status.success(), "playwright-core is not there: {tools:?}");
    let tools = String::from_utf8(tools.stdout).expect("a path");
    let output = Command::new("node")
        .arg(here.join("tests/browser").join(script))
        .env("BEARWARD", env!("CARGO_BIN_EXE_bearward"))
        .env("BROWSER_TOOLS", tools.trim())
        .env("SHOTS", here.join("target/browser"))
        .output()
        .expect("node runs");
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (done, wrong) = (told(&output.stdout), told(&output.stderr));
    assert!(output.status.success(), "{done}\n{wrong}");
}

#[test]
fn what_an_owner_does() {
    run("owner.mjs");
}

#[test]
fn what_a_member_does() {
    run("member.mjs");
}

#[test]
fn a5_a_stranger_gets_nowhere_and_markup_is_text() {
    run("outsider.mjs");
}

#[test]
fn who_signs_in_at_the_identity_provider() {
    run("oidc.mjs");
}

#[test]
fn every_page_looks_as_it_should() {
    run("looks.mjs");
}
