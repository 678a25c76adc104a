//! The rules of the house that the compiler does not check: which room may import which, what the
//! pure rooms must not touch, and what a file may be called and how long it may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Longest file, without its tests.
const LINES_MAX: usize = 500;
/// Names that say nothing about what is inside.
const NAMES_REFUSED: [&str; 8] =
    ["util", "utils", "common", "helper", "helpers", "types", "manager", "misc"];

/// L0: pure.
const PURE: &[&str] = &[
    "access",
    "audit",
    "change",
    "credential",
    "exemption",
    "governance",
    "http1",
    "id",
    "inventory",
    "leak",
    "notice",
    "oidc",
    "org",
    "policy",
    "role",
    "secret",
    "time",
    "token",
    "validation",
];
/// L1: what survives, and what time it is.
const GROUND: &[&str] = &["clock", "seal", "store"];
/// L2: what is held in memory.
const MIDDLE: &[&str] = &["cache", "directory", "rotation", "session", "trails", "usage"];
/// Read by the edges, above nothing but L0, and TLS as far as it is files.
const SETTINGS: &[&str] = &["config", "telemetry"];

/// What the edges share: deadlines, TLS, how connections are taken and written to, and how they are made.
const BENEATH_EDGES: &[&str] = &["outbound", "phase", "socket", "tls"];

/// Which rooms a room may import beside itself. A room that is not here does not exist: whoever
/// builds one decides first where it stands.
fn table() -> BTreeMap<&'static str, Option<BTreeSet<&'static str>>> {
    let rooms = |groups: &[&[&'static str]]| Some(groups.concat().into_iter().collect());
    let edge =
        |others: &[&'static str]| rooms(&[PURE, GROUND, MIDDLE, SETTINGS, BENEATH_EDGES, others]);
    let mut table = BTreeMap::new();
    table.extend(PURE.iter().map(|&room| (room, rooms(&[PURE]))));
    table.extend(GROUND.iter().map(|&room| (room, rooms(&[PURE]))));
    table.extend(MIDDLE.iter().map(|&room| (room, rooms(&[PURE, GROUND, MIDDLE]))));
    table.extend(SETTINGS.iter().map(|&room| (room, rooms(&[PURE, &["tls"]]))));
    table.extend(BENEATH_EDGES.iter().map(|&room| (room, rooms(&[PURE, SETTINGS]))));
    table.insert("tls", rooms(&[PURE]));
    table.insert("listener", edge(&[]));
    table.insert("upstream", edge(&[]));
    table.insert("provider", edge(&[]));
    table.insert("admin", edge(&["provider"]));
    table.insert("scheduler", edge(&[]));
    table.insert("notifier", edge(&[]));
    table.insert("gateway", edge(&["listener", "upstream"]));
    // The composition root and the commands name every room.
    table.extend(["app", "cli", "lib", "main"].map(|room| (room, None)));
    table
}

/// What the pure rooms must not touch.
const IMPURE: [&str; 12] = [
    "tokio::",
    "hyper::",
    "hyper_util::",
    "redb::",
    "axum::",
    "SystemTime",
    "Instant",
    "Utc::now",
    "Local::now",
    "std::fs",
    "std::net::Tcp",
    "std::thread",
];

/// A source file.
struct Source {
    /// Its path below `src`.
    path: PathBuf,
    /// The room that it belongs to.
    room: String,
    /// Its lines without tests and comments.
    code: Vec<String>,
    /// How many lines it has without its tests.
    lines: usize,
}

impl Source {
    fn read(base: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a source file is text");
        let path = path.strip_prefix(base).expect("it lies below").to_owned();
        let first = path.components().next().expect("a name").as_os_str().to_string_lossy();
        let room = first.trim_end_matches(".rs").to_owned();
        let (code, lines) = untested(&text);
        Self { path, room, code, lines }
    }

    /// How many `super` lead out of the room.
    fn depth(&self) -> usize {
        self.path.components().count()
    }
}

/// A file's lines of code, before its module of tests, without comments; and how many lines it has
/// in all before that module.
fn untested(text: &str) -> (Vec<String>, usize) {
    let lines: Vec<_> = text.lines().collect();
    let tests = lines
        .windows(2)
        .position(|pair| pair[0].trim() == "#[cfg(test)]" && pair[1].starts_with("mod tests {"));
    let lines = &lines[..tests.unwrap_or(lines.len())];
    let code = lines.iter().map(|line| {
        let comment = line.find("//").filter(|&at| !line[..at].ends_with(':'));
        line[..comment.unwrap_or(line.len())].to_owned()
    });
    (code.collect(), lines.len())
}

/// The rooms that a file's code names by a path from the crate's root.
fn imports(code: &[String], depth: usize) -> BTreeSet<String> {
    let text = code.join("\n");
    let out = "super::".repeat(depth);
    let mut found = BTreeSet::new();
    for root in ["crate::", "bearward::", &out] {
        for (at, _) in text.match_indices(root) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let rest = &text[at + root.len()..];
            if let Some(group) = rest.strip_prefix('{') {
                found.extend(heads(group));
            } else {
                found.insert(word(rest));
            }
        }
    }
    found.retain(|room| room.starts_with(|c: char| c.is_ascii_lowercase()) && room != "self");
    found
}

/// The first words of the members of a `use` group, up to its end.
fn heads(group: &str) -> Vec<String> {
    let mut nesting = 0;
    let mut begins = true;
    let mut found = Vec::new();
    for (at, c) in group.char_indices() {
        match c {
            '}' if nesting == 0 => break,
            '{' => nesting += 1,
            '}' => nesting -= 1,
            ',' if nesting == 0 => begins = true,
            _ if c.is_whitespace() => {}
            _ if begins => {
                begins = false;
                found.push(word(&group[at..]));
            }
            _ => {}
        }
    }
    found
}

fn word(text: &str) -> String {
    text.chars().take_while(|&c| c.is_alphanumeric() || c == '_').collect()
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder can be listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(Source::read(&root, &path));
            }
        }
    }
    assert!(sources.len() > 10, "the sources were not found below {}", root.display());
    sources
}

/// Whether a file holds nothing but tests.
fn is_test(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "tests.rs")
        || path.components().any(|part| part.as_os_str() == "tests")
}

#[test]
fn rooms_import_downwards_only() {
    let table = table();
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !is_test(&source.path)) {
        let path = source.path.display();
        let Some(allowed) = table.get(source.room.as_str()) else {
            wrong.push(format!("{path}: the room `{}` is not in the table", source.room));
            continue;
        };
        for import in imports(&source.code, source.depth()) {
            let known = table.contains_key(import.as_str());
            let may = allowed.as_ref().is_none_or(|allowed| allowed.contains(import.as_str()));
            // A lower-case path that is no room is a macro or a function of the crate's root.
            if known && import != source.room && !may {
                wrong.push(format!("{path}: `{}` imports `{import}`", source.room));
            }
        }
    }
    assert!(wrong.is_empty(), "imports go down only:\n{}", wrong.join("\n"));
}

#[test]
fn pure_rooms_are_pure() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| PURE.contains(&source.room.as_str())) {
        for line in source.code.iter().filter(|_| !is_test(&source.path)) {
            for impure in IMPURE.iter().filter(|impure| line.contains(*impure)) {
                wrong.push(format!("{}: `{impure}` in `{}`", source.path.display(), line.trim()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "the pure rooms take time and facts as arguments:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn files_are_short_and_named_for_what_they_hold() {
    let mut wrong = Vec::new();
    for source in sources() {
        let path = source.path.display();
        if !is_test(&source.path) && source.lines > LINES_MAX {
            wrong.push(format!("{path}: {} lines without its tests", source.lines));
        }
        let stem = source.path.file_stem().expect("a name").to_string_lossy();
        if NAMES_REFUSED.contains(&&*stem) {
            wrong.push(format!("{path}: a name that says nothing"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_imports_misses_none() {
    let of = |text: &str, depth| {
        let (code, _) = untested(text);
        imports(&code, depth).into_iter().collect::<Vec<_>>()
    };
    assert_eq!(of("use crate::store::Ledger;", 1), ["store"]);
    assert_eq!(of("pub(crate) use crate::cache;", 1), ["cache"]);
    assert_eq!(of("use crate::{cache::{A, b::C}, usage, self};", 1), ["cache", "usage"]);
    assert_eq!(of("use crate::{\n    cache::A,\n    store,\n};", 1), ["cache", "store"]);
    assert_eq!(of("let x: crate::admin::X = crate::clock::now();", 1), ["admin", "clock"]);
    assert_eq!(of("fn f(a: &bearward::app::App) {}", 1), ["app"]);
    assert_eq!(of("use super::store;", 1), ["store"]);
    assert_eq!(of("use super::store;", 2), Vec::<String>::new());
    assert_eq!(of("use super::super::store;", 2), ["store"]);
    assert_eq!(
        of("// use crate::store;\n/// [`crate::store`]\nfn f() {}", 1),
        Vec::<String>::new()
    );
    assert_eq!(of("use mycrate::store;\nuse othercrate::crate_x;", 1), Vec::<String>::new());
    assert_eq!(of("use crate::Error;", 1), Vec::<String>::new());
    let tested = "use crate::time;\n#[cfg(test)]\nmod tests {\n    use crate::store;\n}";
    assert_eq!(of(tested, 1), ["time"]);
    assert_eq!(untested(tested).1, 1);
}
