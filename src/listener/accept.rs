//! The acceptor: takes sockets, hands them out, and backs off when the system has none to give.

use super::{Desk, Message};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::Notify;

/// First and longest pause after the system had no descriptor or memory for a socket.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
/// How often a full gateway looks whether a connection has ended.
const FULL_PAUSE: Duration = Duration::from_millis(5);

pub(super) fn start(
    socket: TcpListener,
    connections_max: usize,
    desks: &Arc<Vec<Desk>>,
    stop: &Arc<Notify>,
) -> std::io::Result<JoinHandle<()>> {
    socket.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (desks, stop) = (Arc::clone(desks), Arc::clone(stop));
    thread::Builder::new().name("accept".into()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = stop.notified() => {}
                () = accept(socket, connections_max, &desks) => {}
            }
        });
    })
}

async fn accept(socket: TcpListener, connections_max: usize, desks: &[Desk]) {
    let socket = match tokio::net::TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(%error, "the data port cannot be used"),
    };
    let mut pause = BACK_OFF.0;
    loop {
        let open: usize = desks.iter().map(|desk| desk.open.load(Ordering::Relaxed)).sum();
        if open >= connections_max {
            // Further clients wait in the backlog.
            tokio::time::sleep(FULL_PAUSE).await;
            continue;
        }
        match socket.accept().await {
            Ok((stream, peer)) => {
                pause = BACK_OFF.0;
                // Without this a small answer can wait for an acknowledgement; the socket works
                // all the same.
                let _slower = stream.set_nodelay(true);
                let Ok(stream) = stream.into_std() else { continue };
                let least = desks.iter().min_by_key(|desk| desk.open.load(Ordering::Relaxed));
                let Some(desk) = least else { return };
                desk.open.fetch_add(1, Ordering::Relaxed);
                if desk.messages.send(Message::Socket(stream, peer)).is_err() {
                    return;
                }
            }
            Err(error) if is_the_peers(error.kind()) => {}
            Err(error) => {
                tracing::warn!(%error, ?pause, "no connection can be taken");
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(BACK_OFF.1);
            }
        }
    }
}

/// Errors of one connection, not of the socket.
fn is_the_peers(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}
