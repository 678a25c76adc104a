//! The acceptor: takes sockets and hands them out.

use super::{Desk, Message};
use crate::socket;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::Notify;

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
    loop {
        let open: usize = desks.iter().map(|desk| desk.open.load(Ordering::Relaxed)).sum();
        if open >= connections_max {
            // Further clients wait in the backlog.
            tokio::time::sleep(FULL_PAUSE).await;
            continue;
        }
        let (stream, peer) = socket::accept(&socket).await;
        let Ok(stream) = stream.into_std() else { continue };
        let least = desks.iter().min_by_key(|desk| desk.open.load(Ordering::Relaxed));
        let Some(desk) = least else { return };
        desk.open.fetch_add(1, Ordering::Relaxed);
        if desk.messages.send(Message::Socket(stream, peer)).is_err() {
            return;
        }
    }
}
