//! `bearward leak`: what to do with a secret that was found.

use super::client::{Client, SECRET_BYTES_MAX};
use super::say;
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::json;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The arguments of `bearward leak`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Report a secret that was found, read from standard input: if it is a token here, it is
    /// switched off, and those concerned are told
    Report(Report),
}

#[derive(Debug, Args)]
struct Report {
    /// The admin port
    #[arg(
        long,
        value_name = "URL",
        env = "BEARWARD_ADMIN",
        default_value = "http://127.0.0.1:8081"
    )]
    admin: String,
    /// A file that holds the secret, in place of standard input
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Where it was found
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// In what kind of place, such as `paste` or `chat`
    #[arg(long, value_name = "TEXT")]
    source: Option<String>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Command::Report(report) = &arguments.command;
    let secret = found(report.secret_file.as_deref())?;
    let mut body = json!({"token": secret.as_str()});
    for (field, said) in [("url", &report.url), ("source", &report.source)] {
        if let Some(said) = said {
            body[field] = json!(said);
        }
    }
    // No credential: whoever has found it need not have one.
    Client::nobody(&report.admin)?.call(Method::POST, "/api/v1/leaks", Some(&body))?;
    say("received: if it is a token here, it is refused from now on, and those concerned are told")
}

/// The secret, never from an argument: everybody on the machine can read those.
fn found(file: Option<&Path>) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let read = match file {
        Some(path) => {
            let file = File::open(path);
            let read = file.and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut text));
            read.with_context(|| format!("cannot read the file {}", path.display()))
        }
        None => std::io::stdin()
            .lock()
            .take(SECRET_BYTES_MAX)
            .read_to_string(&mut text)
            .context("cannot read standard input"),
    };
    read?;
    let secret = Zeroizing::new(text.trim().to_owned());
    if secret.is_empty() {
        bail!("no secret to report: write it to standard input, or name a file with --secret-file");
    }
    Ok(secret)
}
