//! `bearward serve`: from the configuration to an orderly end.

use super::{ConfigArgument, init, tell};
use anyhow::{Context, bail};
use bearward::app::{self, Running};
use bearward::config::Config;
use bearward::store::redb::RedbStore;
use clap::Args;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The arguments of `bearward serve`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
}

/// Runs until a signal ends it.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = arguments.config.load()?;
    log("info");
    let signals = Signals::new()?;
    let store = open(&config, &arguments.config)?;
    let running = app::start(config, app::Options { store: Some(store), ..Default::default() })?;
    tracing::info!(gateway = %running.gateway, admin = %running.admin, "serving");
    signals.serve(running, Some(&arguments.config))
}

/// Diagnostics go to standard error, which leaves standard output to results and the access log.
pub(super) fn log(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new(level));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A subscriber that is there already logs just as well.
    let _already_set = subscriber.try_init();
}

/// Opens the store. One without an organization admits nobody: makes the first one where a person
/// sees the token that comes of it, and says how to make it elsewhere.
fn open(config: &Config, argument: &ConfigArgument) -> anyhow::Result<Arc<RedbStore>> {
    if let Some(store) = init::open_unless_fresh(config)? {
        return Ok(store);
    }
    if !std::io::stdout().is_terminal() {
        bail!(
            "the store {} holds no organization yet: run `bearward init --config {}` first, \
             which prints the first owner token, once",
            config.store.path.display(),
            argument.path().display(),
        );
    }
    tell("The store is fresh: making its first organization and owner.");
    init::first_start(config)
}

/// The signals that end or change a running gateway.
pub(super) struct Signals {
    runtime: tokio::runtime::Runtime,
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

enum Asked {
    Stop,
    Reload,
}

impl Signals {
    /// From now on signals wait to be looked at. Called before anything is started.
    pub(super) fn new() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot listen for signals")?;
        let of = |kind| {
            let _entered = runtime.enter();
            signal(kind).context("cannot listen for signals")
        };
        let terminate = of(SignalKind::terminate())?;
        let interrupt = of(SignalKind::interrupt())?;
        let hang_up = of(SignalKind::hangup())?;
        Ok(Self { runtime, terminate, interrupt, hang_up })
    }

    /// Waits until the gateway is told to stop, and drains it. A second request to stop is one to
    /// stop now. On a hang-up it takes the routes of the configuration anew; where there is no
    /// configuration file, the terminal is gone, and so are we.
    pub(super) fn serve(
        mut self,
        running: Running,
        config: Option<&ConfigArgument>,
    ) -> anyhow::Result<()> {
        while let (Asked::Reload, Some(config)) = (self.next(), config) {
            reload(&running, config);
        }
        tracing::info!("draining; a second signal stops at once");
        let (done, mut drained) = tokio::sync::oneshot::channel();
        let drain = std::thread::spawn(move || {
            running.drain();
            // Nobody waits any more after a second signal.
            let _nobody = done.send(());
        });
        let in_time = self.runtime.block_on(async {
            loop {
                tokio::select! {
                    // Ends as well when the drain panics, which drops the sender.
                    _ = &mut drained => break true,
                    _ = self.terminate.recv() => break false,
                    _ = self.interrupt.recv() => break false,
                    _ = self.hang_up.recv() => {}
                }
            }
        });
        if !in_time {
            bail!("stopped by a second signal, before the end of the requests in flight");
        }
        if drain.join().is_err() {
            bail!("the end was not orderly: what was used last may not be recorded");
        }
        tracing::info!("drained");
        Ok(())
    }

    /// Whether somebody asked to stop before there is anything to serve.
    pub(super) fn is_stop_asked(&mut self) -> bool {
        let Self { runtime, terminate, interrupt, hang_up } = self;
        let asked = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hang_up.recv() => {}
            }
        };
        runtime.block_on(async { tokio::time::timeout(Duration::ZERO, asked).await.is_ok() })
    }

    fn next(&mut self) -> Asked {
        self.runtime.block_on(async {
            tokio::select! {
                _ = self.terminate.recv() => Asked::Stop,
                _ = self.interrupt.recv() => Asked::Stop,
                _ = self.hang_up.recv() => Asked::Reload,
            }
        })
    }
}

/// A file with errors changes nothing, and says so loudly.
fn reload(running: &Running, argument: &ConfigArgument) {
    let file = argument.path().display();
    match argument.load() {
        Ok(config) => match running.reload(&config) {
            Ok(()) => tracing::info!(%file, "reloaded"),
            Err(error) => tracing::error!(%file, %error, "NOT RELOADED: the old routes stay"),
        },
        Err(errors) => {
            tracing::error!(%file, "NOT RELOADED: the old routes stay, as the file has errors");
            tell(&errors.to_string());
        }
    }
}
