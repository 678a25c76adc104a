//! `bearward check`: every error of a configuration at once, and what is worth a warning.

use super::{ConfigArgument, say, tell};
use bearward::clock;

/// Reads the configuration. Its errors, if there are any, are what the command ends with.
pub(super) fn run(argument: &ConfigArgument) -> anyhow::Result<()> {
    let config = argument.load()?;
    for concern in config.concerns(clock::now()) {
        tell(&format!("warning: {concern}"));
    }
    let count =
        |count: usize, thing: &str| format!("{count} {thing}{}", if count == 1 { "" } else { "s" });
    say(&format!(
        "{}: good; {}, {}, {}",
        argument.path().display(),
        count(config.routes.len(), "route"),
        count(config.upstreams.len(), "upstream"),
        count(config.services.len(), "service"),
    ))
}
