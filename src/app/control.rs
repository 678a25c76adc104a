//! The control side: what runs beside the workers, on threads of its own.

use super::{CONTROL_THREADS, StartError};
use crate::admin;
use crate::notifier::{Bell, Notifier};
use crate::scheduler::{Scheduler, Stop};
use crate::tls::Live;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};

/// What a thread that works behind the others leaves to them: a tenth of a processor's time is its own
/// when they want all of it, so that it soon gives back what others wait for.
const BEHIND_NICE: i32 = 10;

/// The admin port and the notifier, on a runtime of their own, and the scheduler's thread.
pub(super) struct Control {
    pub(super) address: SocketAddr,
    runtime: Runtime,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    served: tokio::task::JoinHandle<()>,
    stop_scheduler: Stop,
    validating: JoinHandle<()>,
    silence: watch::Sender<bool>,
    deliveries: tokio::task::JoinHandle<()>,
}

impl Control {
    pub(super) fn start(
        socket: TcpListener,
        tls: Option<Arc<Live>>,
        router: axum::Router,
        scheduler: Scheduler,
        notifier: Notifier,
        doorbell: Arc<Bell>,
    ) -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(CONTROL_THREADS)
            .thread_name("control")
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        let address = socket.local_addr().map_err(StartError::Thread)?;
        socket.set_nonblocking(true).map_err(StartError::Thread)?;
        let socket = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(socket).map_err(StartError::Thread)?
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let served = runtime.spawn(async move {
            admin::serve(socket, tls, router, async { drop(stopped.await) }).await;
        });
        let (silence, silenced) = watch::channel(false);
        let deliveries = runtime.spawn(notifier.run(doorbell, silenced));
        let stop_scheduler = Stop::default();
        let validating = schedule(scheduler, stop_scheduler.clone())?;
        let stop = Mutex::new(Some(stop));
        Ok(Self { address, runtime, stop, served, stop_scheduler, validating, silence, deliveries })
    }

    pub(super) fn stop(self) {
        drop(self.stop.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.stop_scheduler.ask();
        let _panicked = self.runtime.block_on(self.served);
        let _panicked = self.validating.join();
        // After the last change, so that what it tells goes out if it can at once.
        drop(self.silence);
        let _panicked = self.runtime.block_on(self.deliveries);
        self.runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

fn schedule(scheduler: Scheduler, stop: Stop) -> Result<JoinHandle<()>, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(StartError::Thread)?;
    behind_others("scheduler", move || scheduler.work(&stop, &runtime))
}

/// Works on a thread of its own, which the others go before: a run over a million tokens takes a
/// processor for a second.
pub(super) fn behind_others(
    name: &'static str,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    let work = move || {
        // Of the calling thread, as Linux has it: setpriority(2).
        if let Err(error) = rustix::process::setpriority_process(None, BEHIND_NICE) {
            tracing::warn!(%error, thread = name, "works with the priority of requests");
        }
        work();
    };
    thread::Builder::new().name(name.into()).spawn(work).map_err(StartError::Thread)
}
