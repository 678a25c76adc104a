//! A real mail server (aiosmtpd) in a process of its own, and the mails that it was given.

use crate::world::eventually;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The longest that a test waits for a mail.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What the server does with a mail. It writes each down first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    Take,
    /// "Try again later."
    Later,
    /// Answers with this.
    Say(&'static str),
    /// Never answers.
    Hang,
}

impl Mode {
    fn word(self) -> String {
        match self {
            Self::Take => "take".to_owned(),
            Self::Later => "later".to_owned(),
            Self::Say(reply) => format!("say {reply}"),
            Self::Hang => "hang".to_owned(),
        }
    }
}

/// The server. It dies with the test.
pub(crate) struct MailServer {
    port: u16,
    options: Value,
    home: TempDir,
    child: Option<Child>,
}

impl MailServer {
    /// A server without TLS that asks for no password.
    pub(crate) fn start() -> Self {
        Self::with(&json!({}))
    }

    /// A server with further options of the script.
    pub(crate) fn with(further: &Value) -> Self {
        let mut server = Self::stopped();
        for (name, value) in further.as_object().expect("an object") {
            server.options[name] = value.clone();
        }
        server.run();
        server
    }

    /// A port at which nobody listens yet.
    pub(crate) fn stopped() -> Self {
        let home = TempDir::new().expect("a temporary directory");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = port.local_addr().expect("it is bound").port();
        let options = json!({
            "host": "127.0.0.1",
            "port": port,
            "log": home.path().join("mails"),
            "mode": home.path().join("mode"),
        });
        let server = Self { port, options, home, child: None };
        server.be(Mode::Take);
        server
    }

    /// Starts the process.
    pub(crate) fn run(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/notices/mail_server.py");
        let mut child = Command::new(python())
            .arg(script)
            .arg(self.options.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).unwrap();
        assert_eq!(line, "listening\n");
        self.child = Some(child);
    }

    /// Kills the process without a warning.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it can be waited for");
    }

    pub(crate) fn be(&self, mode: Mode) {
        let next = self.file("mode.next");
        fs::write(&next, mode.word()).expect("the directory is writable");
        fs::rename(next, self.file("mode")).expect("the directory is writable");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `[smtp]` for this server, without TLS.
    pub(crate) fn section(&self) -> String {
        format!(
            "[smtp]\nserver = \"{}\"\ntls = \"none\"\nfrom = \"Bearward <bearward@gate.example>\"\n",
            self.address()
        )
    }

    /// Every mail that it was given so far, whatever it answered.
    pub(crate) fn mails(&self) -> Vec<Mail> {
        let text = fs::read_to_string(self.file("mails")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| Mail(serde_json::from_str(line).expect("JSON"))).collect()
    }

    /// Waits for so many mails; no further one comes within a moment.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Mail> {
        eventually(PATIENCE, || self.mails().len() >= count);
        let mails = self.mails();
        assert_eq!(mails.len(), count, "{mails:#?}");
        mails
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }
}

/// One mail as the server was given it.
#[derive(Clone, Debug)]
pub(crate) struct Mail(Value);

impl Mail {
    pub(crate) fn to(&self) -> &str {
        self.0["to"][0].as_str().expect("a recipient")
    }

    pub(crate) fn mode(&self) -> &str {
        self.0["mode"].as_str().expect("a mode")
    }

    pub(crate) fn is_over_tls(&self) -> bool {
        self.0["tls"] == true
    }

    pub(crate) fn user(&self) -> Option<&str> {
        self.0["user"].as_str()
    }

    /// The whole, lines unfolded and soft line breaks taken out.
    pub(crate) fn text(&self) -> String {
        let text = self.0["data"].as_str().expect("text");
        text.replace("\r\n", "\n").replace("=\n", "").replace("\n ", " ").replace("=3D", "=")
    }

    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> String {
        let text = self.text();
        let head = text.split("\n\n").next().unwrap_or_default();
        let line = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no {name} in {head}")).to_owned()
    }
}

/// A Python that has aiosmtpd: Debian's package is for Debian's own.
fn python() -> &'static str {
    let has = |python: &&str| {
        let told = Command::new(python).args(["-c", "import aiosmtpd"]).output();
        told.is_ok_and(|told| told.status.success())
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(has);
    found.expect("aiosmtpd is needed (Debian: python3-aiosmtpd)")
}
