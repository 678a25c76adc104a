//! `bearward api`: any call of the admin API, for what has no command of its own.

use super::client::Access;
use super::say;
use anyhow::{Context, bail};
use clap::Args;
use hyper::Method;
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where the API is; what identity providers call is beside it.
const API: &str = "/api/v1";
/// What stands in a path for the organization of the calling token.
const OWN_ORG: &str = "{org}";
/// Largest body, in bytes: more than the admin port takes.
const BODY_BYTES_MAX: u64 = 16 << 20;

/// The arguments of `bearward api`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    access: Access,
    /// GET, POST, PUT, PATCH or DELETE
    #[arg(value_name = "METHOD", value_parser = method)]
    method: Method,
    /// What is called, such as /orgs/{org}/policies: `{org}` is the organization of the token, and
    /// /api/v1 goes before it unless it begins with /api/ or /scim/
    #[arg(value_name = "PATH")]
    path: String,
    /// The body, as JSON
    #[arg(long, value_name = "JSON", conflicts_with = "body_file")]
    body: Option<String>,
    /// A file that holds the body, `-` for standard input
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // All that is wrong without asking, before anything is asked.
    let path = path(&arguments.path)?;
    let body = match (&arguments.body, &arguments.body_file) {
        (Some(text), _) => Some(json(text, "--body")?),
        (None, Some(file)) => Some(json(&read(file)?, &file.display().to_string())?),
        (None, None) => None,
    };
    let (mut client, org) = arguments.access.connect()?;
    let path = path.replace(OWN_ORG, &org);
    let answer = client.call(arguments.method.clone(), &path, body.as_ref())?;
    if answer.is_null() {
        return Ok(());
    }
    say(&if arguments.access.json { answer.to_string() } else { format!("{answer:#}") })
}

fn method(text: &str) -> Result<Method, String> {
    match text.to_ascii_uppercase().as_str() {
        "GET" => Ok(Method::GET),
        "POST" => Ok(Method::POST),
        "PUT" => Ok(Method::PUT),
        "PATCH" => Ok(Method::PATCH),
        "DELETE" => Ok(Method::DELETE),
        _ => Err("expected GET, POST, PUT, PATCH or DELETE".to_owned()),
    }
}

fn path(path: &str) -> anyhow::Result<String> {
    if !path.starts_with('/') || path.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'#') {
        bail!("`{}` is no path: expected one like /orgs/{OWN_ORG}/policies", path.escape_debug());
    }
    let is_whole = path.starts_with("/api/") || path.starts_with("/scim/");
    Ok(if is_whole { path.to_owned() } else { format!("{API}{path}") })
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(BODY_BYTES_MAX).read_to_string(&mut text)
    } else {
        let opened = std::fs::File::open(file);
        opened.and_then(|file| file.take(BODY_BYTES_MAX).read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read the body from {}", file.display()))?;
    Ok(text)
}

fn json(text: &str, from: &str) -> anyhow::Result<Value> {
    serde_json::from_str(text).with_context(|| format!("{from} is not JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_documentation() {
        for (said, called) in [
            ("/me", "/api/v1/me"),
            ("/orgs/{org}/notices?limit=2", "/api/v1/orgs/{org}/notices?limit=2"),
            ("/api/v1/me", "/api/v1/me"),
            ("/scim/v2/Users", "/scim/v2/Users"),
        ] {
            assert_eq!(path(said).expect("a path"), called);
        }
        for wrong in ["", "me", "http://127.0.0.1/me", "/a b", "/a\r\nHost: b", "/a#b", "/ä"] {
            assert!(path(wrong).is_err(), "{wrong:?}");
        }
    }
}
