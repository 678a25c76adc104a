//! The commands, a file each. What they say goes through [`say`] (results, standard output) and
//! [`tell`] (everything else, standard error).

mod api;
mod audit;
mod backup;
mod check;
mod client;
mod demo;
mod echo;
mod export;
mod import;
mod init;
mod insight;
mod leak;
mod progress;
mod restore;
mod serve;
mod table;
mod token;
mod unfinished;

use bearward::config::{Config, Errors};
use clap::{Args, Parser, Subcommand};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A reverse-proxy authentication gateway: admits a request only on a live bearer token.
#[derive(Debug, Parser)]
#[command(name = "bearward", version, propagate_version = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway and its admin port
    Serve(serve::Arguments),
    /// Read a configuration and report every error in it
    Check(ConfigArgument),
    /// Make the first organization, its owner and one owner token, or a new owner token
    Init(init::Arguments),
    /// Try it: an echo upstream, a gateway, two organizations and tokens in every state
    Demo(demo::Arguments),
    /// Govern API tokens through the admin port
    Token(token::Arguments),
    /// Report a secret that was found where it should not be
    Leak(leak::Arguments),
    /// Read the audit trail through the admin port, and prove it
    Audit(audit::Arguments),
    /// Tell what use and ends of the tokens come to
    Insight(insight::Arguments),
    /// Take in tokens that were made elsewhere, from CSV or JSON lines
    Import(import::Arguments),
    /// Write the tokens of an organization as CSV or JSON lines, without secrets
    Export(export::Arguments),
    /// Copy the store, of a running gateway too, to one file
    Backup(backup::Arguments),
    /// Put a backup in the store's place, and say first what that brings back
    Restore(restore::Arguments),
    /// Call the admin API, for what has no command of its own
    Api(api::Arguments),
    /// Print the admin API's `OpenAPI` 3.1 document
    #[command(name = "openapi")]
    OpenApi,
}

/// Runs the command that the arguments name.
pub(crate) fn run() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Check(config) => check::run(&config),
        Command::Init(arguments) => init::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Leak(arguments) => leak::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Insight(arguments) => insight::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Backup(arguments) => backup::run(&arguments),
        Command::Restore(arguments) => restore::run(&arguments),
        Command::Api(arguments) => api::run(&arguments),
        Command::OpenApi => say(&bearward::app::openapi()),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    if is_broken_pipe(&error) {
        // Whoever reads us has seen enough: `bearward token list | head`.
        return ExitCode::SUCCESS;
    }
    match error.downcast_ref::<Errors>() {
        // Each line begins with the place, as compilers have it, so that editors can jump there.
        Some(errors) => tell(&errors.to_string()),
        None => tell(&format!("bearward: {error:#}")),
    }
    ExitCode::FAILURE
}

/// Which configuration a command is about.
#[derive(Debug, Args)]
struct ConfigArgument {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "BEARWARD_CONFIG", default_value = "bearward.toml")]
    config: PathBuf,
}

impl ConfigArgument {
    fn path(&self) -> &Path {
        &self.config
    }

    fn load(&self) -> Result<Config, Errors> {
        Config::load(&self.config, &environment)
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The output cannot be written to.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the output")]
struct OutputError(#[source] io::Error);

/// Prints a result and a line end to standard output.
fn say(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    Ok(writeln!(out, "{text}").and_then(|()| out.flush()).map_err(OutputError)?)
}

/// Tells a person something on standard error. If nobody can hear it, that is nobody's fault.
fn tell(text: &str) {
    let _unheard = writeln!(io::stderr().lock(), "{text}");
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let output = error.downcast_ref::<OutputError>();
    output.is_some_and(|OutputError(error)| error.kind() == io::ErrorKind::BrokenPipe)
}
