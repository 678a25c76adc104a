//! The access log: one JSON line for each request, in a buffer of the worker's own.
//!
//! Lines go to a thread that writes them. If it cannot keep up, lines are dropped and counted:
//! the log is for diagnosis, never a reason to slow a request. (The audit trail is another matter.)
//! Every value is JSON-escaped, so no field can break a line or smuggle a control character.

use super::route::Route;
use crate::cache::Entry;
use crate::config::AccessLog;
use crate::http1::RequestHead;
use crate::id::{OrgId, TokenId};
use crate::telemetry::Counters;
use crate::time::Timestamp;
use serde::Serialize;
use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// A buffer is handed over when it is this long, or at the next tick.
const BUFFER_BYTES: usize = 64 * 1024;
/// Buffers that may wait to be written.
const BUFFERS_WAITING_MAX: usize = 64;

/// One line.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    at: Timestamp,
    peer: IpAddr,
    method: &'a str,
    host: Option<&'a str>,
    path: &'a str,
    route: Option<&'a str>,
    verdict: &'static str,
    token: Option<TokenId>,
    org: Option<OrgId>,
    status: u16,
}

/// What a line says of the request itself.
pub(super) struct Asked {
    method: String,
    host: Option<String>,
    path: String,
}

impl Asked {
    /// Copied, because the head is gone when its request has been answered.
    pub(super) fn of(head: &RequestHead<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let target = head.target().split(|&byte| byte == b'?').next();
        Self {
            method: text(head.method()),
            host: head.host().map(text),
            path: target.map(text).unwrap_or_default(),
        }
    }
}

impl<'a> Line<'a> {
    /// The line of a request that was answered with `status`.
    pub(super) fn new(
        asked: &'a Asked,
        route: Option<&'a Route>,
        verdict: &'static str,
        entry: Option<&Entry>,
        (peer, at, status): (IpAddr, Timestamp, u16),
    ) -> Self {
        let ids = entry.map(Entry::ids);
        Self {
            at,
            peer,
            method: &asked.method,
            host: asked.host.as_deref(),
            path: &asked.path,
            route: route.map(|route| route.name.as_str()),
            verdict,
            token: ids.map(|(token, _org)| token),
            org: ids.map(|(_token, org)| org),
            status,
        }
    }
}

/// Where all workers' lines go.
#[derive(Clone, Debug)]
pub struct LogWriter(SyncSender<Vec<u8>>);

/// One worker's lines.
pub(super) struct Log {
    writer: Option<LogWriter>,
    buffer: RefCell<Vec<u8>>,
    lines: std::cell::Cell<u64>,
    counters: Arc<Counters>,
}

impl LogWriter {
    /// Opens the log and starts its thread, which ends when the last worker has gone.
    ///
    /// # Errors
    /// When the file cannot be opened, or the system gives no thread.
    pub fn start(to: &AccessLog) -> io::Result<(Self, thread::JoinHandle<()>)> {
        let out: Box<dyn Write + Send> = match to {
            AccessLog::Stdout => Box::new(io::stdout()),
            AccessLog::File(path) => {
                Box::new(OpenOptions::new().create(true).append(true).open(path)?)
            }
        };
        let (sender, buffers) = sync_channel(BUFFERS_WAITING_MAX);
        let thread =
            thread::Builder::new().name("access-log".into()).spawn(|| write(out, buffers))?;
        Ok((Self(sender), thread))
    }
}

fn write(mut out: Box<dyn Write + Send>, buffers: Receiver<Vec<u8>>) {
    for buffer in buffers {
        if let Err(error) = out.write_all(&buffer).and_then(|()| out.flush()) {
            tracing::error!(%error, "the access log cannot be written");
        }
    }
}

impl Log {
    pub(super) fn new(writer: Option<LogWriter>, counters: Arc<Counters>) -> Self {
        Self { writer, buffer: RefCell::default(), lines: std::cell::Cell::new(0), counters }
    }

    pub(super) fn is_on(&self) -> bool {
        self.writer.is_some()
    }

    pub(super) fn note(&self, line: &Line<'_>) {
        {
            let mut buffer = self.buffer.borrow_mut();
            // Writing into memory, of values that always have a JSON form, cannot fail.
            let _infallible = serde_json::to_writer(&mut *buffer, line);
            buffer.push(b'\n');
            self.lines.set(self.lines.get() + 1);
            if buffer.len() < BUFFER_BYTES {
                return;
            }
        }
        self.hand_over();
    }

    /// Hands what there is to the writer.
    pub(super) fn hand_over(&self) {
        let Some(writer) = &self.writer else { return };
        let buffer = std::mem::take(&mut *self.buffer.borrow_mut());
        let lines = self.lines.replace(0);
        if !buffer.is_empty() && writer.0.try_send(buffer).is_err() {
            self.counters.drop_log_lines(lines);
        }
    }
}
