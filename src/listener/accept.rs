//! The acceptor: takes sockets and hands them out.

use super::{Arrived, Desk, Message, Security};
use crate::socket;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// How often a full gateway looks whether a connection has ended.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// What the acceptor keeps to.
pub(super) struct Limits {
    /// Most connections at once.
    pub(super) connections_max: usize,
    /// How long after the stop those that had connected before it may wait for a place.
    pub(super) backlog_for_max: Duration,
    /// How TLS is spoken, with a limit of its own.
    pub(super) security: Option<Security>,
}

pub(super) fn start(
    socket: TcpListener,
    limits: Limits,
    desks: &Arc<Vec<Desk>>,
    stop: &Arc<Notify>,
) -> std::io::Result<JoinHandle<()>> {
    socket.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (desks, stop) = (Arc::clone(desks), Arc::clone(stop));
    thread::Builder::new().name("accept".into()).spawn(move || {
        runtime.block_on(async {
            let socket = match tokio::net::TcpListener::from_std(socket) {
                Ok(socket) => socket,
                Err(error) => return tracing::error!(%error, "the data port cannot be used"),
            };
            tokio::select! {
                () = stop.notified() => {}
                () = accept(&socket, &limits, &desks) => {}
            }
            match socket.into_std() {
                Ok(socket) => take_backlog(&socket, &limits, &desks).await,
                Err(error) => tracing::warn!(%error, "who waits for the data port is not taken"),
            }
        });
    })
}

async fn accept(socket: &tokio::net::TcpListener, limits: &Limits, desks: &[Desk]) {
    loop {
        if is_full(limits, desks) {
            // Further clients wait in the backlog.
            sleep(FULL_PAUSE).await;
            continue;
        }
        let (stream, peer) = socket::accept(socket).await;
        let Ok(stream) = stream.into_std() else { continue };
        if !hand_out(stream, peer, limits, desks) {
            return;
        }
    }
}

/// Whoever has connected counts on being heard, and may have sent a request already: those who wait
/// when the port is about to close are taken as well. To the clients the system has accepted them;
/// closing the socket would reset them.
async fn take_backlog(socket: &TcpListener, limits: &Limits, desks: &[Desk]) {
    let end = Instant::now() + limits.backlog_for_max;
    while Instant::now() < end {
        if is_full(limits, desks) {
            sleep(FULL_PAUSE).await;
            continue;
        }
        match socket::accept_now(socket) {
            Ok(Some((stream, peer))) => {
                if !hand_out(stream, peer, limits, desks) {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "no connection can be taken");
                sleep(FULL_PAUSE).await;
            }
        }
    }
}

fn is_full(limits: &Limits, desks: &[Desk]) -> bool {
    let open: usize = desks.iter().map(|desk| desk.open.load(Ordering::Relaxed)).sum();
    open >= limits.connections_max || limits.security.as_ref().is_some_and(Security::is_crowded)
}

/// Gives a socket to the worker with the fewest; false where there is none any more.
fn hand_out(socket: TcpStream, peer: SocketAddr, limits: &Limits, desks: &[Desk]) -> bool {
    let least = desks.iter().min_by_key(|desk| desk.open.load(Ordering::Relaxed));
    least.is_some_and(|desk| {
        desk.open.fetch_add(1, Ordering::Relaxed);
        let under_way = limits.security.as_ref().map(|security| security.handshakes.begin());
        desk.messages.send(Message::Socket(Arrived { socket, peer, under_way })).is_ok()
    })
}
