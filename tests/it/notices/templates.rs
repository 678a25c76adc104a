//! Mails that look as the operator wants them to.

use super::mailbox::MailServer;
use crate::upstream::{Upstream, ok};
use crate::wire::lossy;
use crate::world::{Setup, TokenWish};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const QUICK: &str = "settle = \"100ms\"\nretry_first = \"50ms\"\n";

fn templates(files: &[(&str, &str)]) -> TempDir {
    let home = TempDir::new().expect("a temporary directory");
    for (name, text) in files {
        fs::write(home.path().join(name), text).expect("the directory is writable");
    }
    home
}

fn notices(home: &Path) -> String {
    format!("[notices]\ntemplates = \"{}\"\n{QUICK}", home.display())
}

#[test]
fn mails_look_as_the_operators_templates_say() {
    let home = templates(&[
        (
            "token.deactivated.txt",
            "Subject: [{{organization}}] {{name}} is off\n\nDear {{recipient}},\n\
             so it was decided: {{reason}}.\n- {{detail.field}} was {{detail.text}}\n",
        ),
        ("token.deactivated.html", "<p class=\"house\">{{name}} is off: <b>{{reason}}</b></p>\n"),
        ("default.html", "<h1>Our house</h1>\n<p>{{headline}}</p>\n<i>{{reason}}</i>\n"),
        // An editor's, and not looked at.
        (".token.revoked.txt.swp", "{{"),
    ]);
    let server = MailServer::start();
    let upstream = Upstream::start(ok());
    let setup = Setup::before(&upstream).extra(&server.section()).extra(&notices(home.path()));
    let world = setup.start();
    let admin = world.admin();
    let user = admin.add_user("mia", &[("orders", "reader")]);
    let token =
        admin.mint(&TokenWish { name: "ci <1>", owner: Some(&user), ..TokenWish::default() });

    // The text is the one that is built in, the HTML the operator's.
    let created = server.wait_for(1).remove(0);
    assert_eq!(created.field("Subject"), "An API token of yours was created: \"ci <1>\"");
    let [text, html] = parts(&created.text());
    assert!(text.contains(&token.id), "{text}");
    let headline = "An API token of yours was created: &quot;ci &lt;1&gt;&quot;";
    assert_eq!(html, format!("<h1>Our house</h1>\n<p>{headline}</p>"), "no line without a value");

    admin.deactivate(&token);
    let mail = server.wait_for(2).remove(1);
    let org = admin.org("GET", "", None).expect(200);
    let name = org["name"].as_str().expect("a name");
    assert_eq!(mail.field("Subject"), format!("[{name}] ci <1> is off"));
    let [text, html] = parts(&mail.text());
    let end = admin.token(&token.id)["expires_at"].as_str().expect("a time").to_owned();
    assert!(text.starts_with("Dear mia,\nso it was decided: a test.\n- scope was "), "{text}");
    assert!(text.ends_with(&format!("\n- expires_at was {end}")), "{text}");
    assert_eq!(html, "<p class=\"house\">ci &lt;1&gt; is off: <b>a test</b></p>");
}

/// The plain text and the HTML of a mail.
#[track_caller]
fn parts(mail: &str) -> [String; 2] {
    let part = |kind: &str| {
        let (_, after) = mail.split_once(kind).unwrap_or_else(|| panic!("no {kind} in {mail}"));
        let (_, body) = after.split_once("\n\n").expect("a body");
        body.split("\n--").next().unwrap_or_default().trim().to_owned()
    };
    [part("Content-Type: text/plain"), part("Content-Type: text/html")]
}

#[test]
fn a_broken_template_is_named_with_its_line_before_anything_starts() {
    let home = templates(&[
        ("token.deactivated.txt", "Subject: {{name}}\n\nfine\n{{nmae}} is off\n"),
        ("token.revoked.html", "<p>\n{{name</p>\n"),
        ("token.created.txt", "no subject\n"),
        ("token.lost.txt", "Subject: x\n"),
    ]);
    let upstream = Upstream::start(ok());
    let world = Setup::before(&upstream).extra(&notices(home.path())).unstarted();
    for command in ["check", "serve"] {
        let told = world.command(&[command]);
        assert!(!told.status.success(), "{command}: {told:?}");
        let text = lossy(&told.stderr);
        for said in [
            "token.deactivated.txt line 4: `{{nmae}}` is no value",
            "token.revoked.html line 2: `{{` without `}}`",
            "token.created.txt begins with a line `Subject: ...`",
            "token.lost.txt is the name of no template",
            "notices.templates",
        ] {
            assert!(text.contains(said), "{command}: {said} is not in {text}");
        }
        let path = home.path().join("token.deactivated.txt");
        assert!(text.contains(&*path.to_string_lossy()), "{command}: {text}");
    }
    assert!(!world.store().exists(), "nothing was started");
}
