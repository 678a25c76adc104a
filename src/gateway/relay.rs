//! Bodies on their way through: as they come, never gathered, in chunks of ours where they come in
//! chunks.
//!
//! A body is re-framed rather than copied with its framing: what stands between the chunks
//! (extensions, odd sizes) ends here, and a body that breaks off never looks complete.

use super::header::{self, Down};
use crate::config::Timeouts;
use crate::http1::{Decoder, Piece};
use crate::listener::Writer;
use crate::phase::{Late, Phase};
use crate::socket::{Buffers, Outward, Reader, Told, is_joined, write_all};
use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, Write as _};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// An answer that went to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    /// Whether the upstream keeps the connection.
    pub(super) persists: bool,
}

/// Why an exchange did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The upstream was silent for too long.
    Late,
    /// The upstream's connection broke.
    Broken,
    /// What the upstream said is not sound HTTP.
    Unsound,
    /// The client's connection broke.
    Client,
    /// The client's body is broken, or broke off.
    ClientBody,
    /// The client's body is longer than the route takes.
    ClientBodyTooLong,
}

/// How the way up ended before the answer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpEnd {
    /// The client left.
    Gone,
    /// The client's body is broken, or broke off.
    Broken,
    /// The client's body is longer than the route takes.
    TooLong,
    /// The upstream took no more.
    Refused,
}

/// A request's body, from the client to the upstream.
pub(super) struct Upload<'a, 'c, 'l> {
    pub(super) reader: &'a mut Reader<'c>,
    pub(super) half: &'a mut Outward<'l>,
    pub(super) buffers: &'a Rc<Buffers>,
    pub(super) phase: &'a Phase,
    pub(super) timeouts: Timeouts,
    /// How many bytes of content it may still have.
    pub(super) left: u64,
    /// Set once all of it has been taken.
    pub(super) uploaded: &'a Cell<bool>,
    /// Set once something comes after it.
    pub(super) followed: &'a Cell<bool>,
}

impl Upload<'_, '_, '_> {
    /// Ends only when something is wrong: once the body is through, it looks out for the client.
    pub(super) async fn run(mut self) -> UpEnd {
        if !self.reader.body().is_ended()
            && let Err(end) = self.body().await
        {
            return end;
        }
        self.phase.body_ended();
        self.uploaded.set(true);
        let mut quiet = !self.reader.has_unused();
        self.followed.set(!quiet);
        poll_fn(|cx| {
            // A client that has said all can only wait, leave, or go on to its next request. One
            // read tells; if it is the next request, nobody can tell any more.
            if quiet {
                match self.reader.poll_fill(cx) {
                    Poll::Ready(Ok(1..)) => {
                        quiet = false;
                        self.followed.set(true);
                    }
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(UpEnd::Gone),
                    Poll::Pending => {}
                }
            }
            Poll::Pending
        })
        .await
    }

    async fn body(&mut self) -> Result<(), UpEnd> {
        let mut text = self.buffers.text();
        let chunked = self.reader.body().is_chunked();
        loop {
            match self.reader.next_piece().map_err(|_fault| UpEnd::Broken)? {
                Piece::Data(count) => {
                    self.left = self.left.checked_sub(count as u64).ok_or(UpEnd::TooLong)?;
                    self.data(&mut text, count, chunked).await?;
                    self.reader.pass(count);
                }
                Piece::Framing(count) => self.reader.pass(count),
                Piece::Trailers(count) => {
                    // A request's trailer fields stay behind (RFC 9110 section 6.5.1): no upstream
                    // was told of any, and none of them can frame, route or authenticate.
                    text.extend_from_slice(b"0\r\n\r\n");
                    self.reader.pass(count);
                }
                Piece::End => {
                    self.phase.upstream_within(self.timeouts.first_byte);
                    return self.flush(&mut text).await;
                }
                Piece::More => {
                    self.flush(&mut text).await?;
                    self.fill().await?;
                }
            }
        }
    }

    async fn data(&mut self, text: &mut Vec<u8>, count: usize, chunked: bool) -> Result<(), UpEnd> {
        let data = &self.reader.unused()[..count];
        if is_joined(text, count) {
            write_data(text, data, chunked);
            return Ok(());
        }
        begin_data(text, count, chunked);
        let end: &[u8] = if chunked { b"\r\n" } else { b"" };
        send_up(self.half, [text, data, end], self.phase).await?;
        text.clear();
        Ok(())
    }

    async fn flush(&mut self, text: &mut Vec<u8>) -> Result<(), UpEnd> {
        send_up(self.half, [text, b"", b""], self.phase).await?;
        text.clear();
        Ok(())
    }

    async fn fill(&mut self) -> Result<(), UpEnd> {
        let (reader, phase) = (&mut self.reader, self.phase);
        let read = poll_fn(|cx| {
            let polled = reader.poll_fill(cx);
            if polled.is_pending() {
                // It is the client's turn.
                phase.upstream_done();
                phase.body_waits();
            }
            polled
        })
        .await;
        match read {
            Ok(count @ 1..) => {
                phase.body_came(count);
                phase.upstream_within(self.timeouts.idle);
                Ok(())
            }
            Ok(0) | Err(_) => Err(UpEnd::Broken),
        }
    }
}

async fn send_up(half: &mut Outward<'_>, pieces: [&[u8]; 3], phase: &Phase) -> Result<(), UpEnd> {
    let told = |told| match (told, phase.late()) {
        (Told::Waits, Some(Late::Upstream)) => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    };
    write_all(half, pieces, told).await.map_err(|_written| UpEnd::Refused)
}

/// Sends the head of an answer that is in `text`, and its body.
pub(super) async fn download(
    answer: &mut Reader<'_>,
    writer: &mut Writer<'_>,
    text: &mut Vec<u8>,
    (down, trailers): (Down, bool),
    phase: &Phase,
    timeouts: Timeouts,
) -> Result<(), Trouble> {
    let chunked = down == Down::Chunks;
    loop {
        match answer.next_piece().map_err(|_fault| Trouble::Unsound)? {
            Piece::Data(count) => {
                let data = &answer.unused()[..count];
                if is_joined(text, count) {
                    write_data(text, data, chunked);
                } else {
                    begin_data(text, count, chunked);
                    let end: &[u8] = if chunked { b"\r\n" } else { b"" };
                    send_down(writer, text, data, end).await?;
                }
                answer.pass(count);
            }
            Piece::Framing(count) => answer.pass(count),
            Piece::Trailers(count) => {
                if chunked {
                    text.extend_from_slice(b"0\r\n");
                    if trailers {
                        header::write_trailers(text, &answer.unused()[..count]);
                    }
                    text.extend_from_slice(b"\r\n");
                }
                answer.pass(count);
            }
            Piece::End => return send_down(writer, text, b"", b"").await,
            Piece::More => {
                send_down(writer, text, b"", b"").await?;
                if fill(answer, phase, Some(timeouts.idle)).await? == 0 {
                    if !answer.body().is_until_close() {
                        return Err(Trouble::Broken);
                    }
                    answer.begin_body(0, Decoder::ENDED);
                    if chunked {
                        text.extend_from_slice(b"0\r\n\r\n");
                    }
                }
            }
        }
    }
}

async fn send_down(
    writer: &mut Writer<'_>,
    text: &mut Vec<u8>,
    data: &[u8],
    end: &[u8],
) -> Result<(), Trouble> {
    writer.send([text, data, end]).await.map_err(|_error| Trouble::Client)?;
    text.clear();
    Ok(())
}

/// Waits for the upstream to say more; `idle` is how long it may take where nothing is said
/// already.
pub(super) async fn fill(
    answer: &mut Reader<'_>,
    phase: &Phase,
    idle: Option<Duration>,
) -> Result<usize, Trouble> {
    let count = poll_fn(|cx: &mut Context<'_>| match answer.poll_fill(cx) {
        Poll::Ready(read) => Poll::Ready(read.map_err(|_error| Trouble::Broken)),
        Poll::Pending if phase.late() == Some(Late::Upstream) => Poll::Ready(Err(Trouble::Late)),
        Poll::Pending => {
            if let Some(idle) = idle {
                phase.upstream_within_if_unset(idle);
            }
            Poll::Pending
        }
    })
    .await?;
    if idle.is_some() {
        phase.upstream_done();
    }
    Ok(count)
}

/// Writes a piece of a body.
pub(super) fn write_data(text: &mut Vec<u8>, data: &[u8], chunked: bool) {
    begin_data(text, data.len(), chunked);
    text.extend_from_slice(data);
    if chunked {
        text.extend_from_slice(b"\r\n");
    }
}

fn begin_data(text: &mut Vec<u8>, count: usize, chunked: bool) {
    if chunked {
        // Writing into memory cannot fail.
        let _infallible = write!(text, "{count:x}\r\n");
    }
}
