//! The last step of an admitted request: to the upstream and back.

use super::answer::Mishap;
use super::header::{self, Down};
use super::relay::{self, Ended, Trouble, UpEnd, Upload};
use crate::access::Permit;
use crate::config::Timeouts;
use crate::http1::{Decoder, Expectation, Framing, Piece, RequestHead, Version};
use crate::listener::{Exchange, Next, Writer};
use crate::phase::{Late, Phase};
use crate::socket::{self, Buffers, Reader, Text, Told};
use crate::upstream::{ConnectError, HEAD_BYTES_MAX, Link, Pool};
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

/// What of a request's body goes upstream in one piece with its head.
const FIRST_BODY_BYTES_MAX: usize = 16 * 1024;

/// What an answer must know of its request.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent traits, not a state")]
pub(super) struct Traits {
    pub(super) version: Version,
    pub(super) framing: Framing,
    /// It asks for a head only.
    pub(super) is_head: bool,
    pub(super) persists: bool,
    pub(super) takes_trailers: bool,
    /// It waits for `100 Continue`.
    pub(super) expects: bool,
}

impl Traits {
    pub(super) fn of(head: &RequestHead<'_>) -> Self {
        Self {
            version: head.version(),
            framing: head.framing(),
            is_head: head.method() == b"HEAD",
            persists: head.persists(),
            takes_trailers: head.takes_trailers(),
            expects: head.version() == Version::Http11
                && head.expectation() == Expectation::Continue,
        }
    }

    /// Those of what is no request.
    pub(super) const fn unknown() -> Self {
        Self {
            version: Version::Http11,
            framing: Framing::None,
            is_head: false,
            persists: false,
            takes_trailers: false,
            expects: false,
        }
    }

    /// What the client is told of the connection.
    pub(super) const fn connection(&self, persists: bool) -> &'static [u8] {
        match (persists, self.version) {
            (false, _) => b"connection: close\r\n",
            (true, Version::Http10) => b"connection: keep-alive\r\n",
            (true, Version::Http11) => b"",
        }
    }
}

/// What is needed beside the request and the permit.
pub(super) struct Passage<'a> {
    pub(super) pool: &'a Pool,
    pub(super) phase: &'a Phase,
    pub(super) date: &'a super::date::Date,
    pub(super) traits: Traits,
    /// Longest body of the request, in bytes.
    pub(super) body_bytes_max: u64,
    pub(super) timeouts: Timeouts,
}

/// How a request fared.
pub(super) enum Sent {
    /// It was answered with this status, to the end or not.
    Answered(u16, Next),
    /// Nothing of it was sent, because the connection was stale.
    Unsent,
    /// No answer.
    Failed(Mishap),
    /// The client left before there was one.
    Left,
}

/// Sends a request over a connection and the answer to the client. `text` is the head as it goes
/// upstream. Takes the permission by value: there is no other way to an upstream.
pub(super) async fn send(
    _permit: Permit,
    mut link: Link,
    mut text: Text,
    exchange: &mut Exchange<'_, '_>,
    passage: &Passage<'_>,
) -> Sent {
    let Passage { pool, phase, traits, timeouts, .. } = *passage;
    let mut body = Decoder::of_request(traits.framing);
    let mut left = passage.body_bytes_max;
    let used = match begin(&mut text, exchange.reader, &mut body, &mut left) {
        Ok(used) => used,
        Err(mishap) => {
            pool.put_back(link);
            return Sent::Failed(mishap);
        }
    };
    let (mut answer, mut write) = link.open(exchange.buffers);
    // Without a wait between the decision and the first byte: a connection that takes none at once
    // is as good as stale.
    let Ok(first @ 1..) = write.try_write(&text) else { return Sent::Unsent };
    let patience = if body.is_ended() { timeouts.first_byte } else { timeouts.idle };
    phase.upstream_within(patience);
    let told = |told| if told == Told::Waits { in_time(phase) } else { Ok(()) };
    if let Err((_, error)) = socket::write_all(&mut write, [&text[first..], b"", b""], told).await {
        tracing::warn!(upstream = pool.spec().name, %error, "an exchange broke off");
        return Sent::Failed(mishap_of(&error));
    }
    drop(text);
    exchange.reader.begin_body(used, body);
    if traits.expects && !body.is_ended() && !exchange.reader.has_unused() && used == 0 {
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
        if exchange.writer.send([interim, b"", b""]).await.is_err() {
            return Sent::Left;
        }
    }
    let progress = Progress {
        begun: Cell::new(None),
        uploaded: Cell::new(body.is_ended()),
        followed: Cell::new(body.is_ended() && exchange.reader.has_unused()),
    };
    let outcome = {
        let upload = Upload {
            reader: exchange.reader,
            half: &mut write,
            buffers: exchange.buffers,
            phase,
            timeouts,
            left,
            uploaded: &progress.uploaded,
            followed: &progress.followed,
        };
        let mut up = pin!(upload.run());
        let mut down =
            pin!(down(&mut answer, exchange.writer, exchange.buffers, passage, &progress));
        let mut gave_up = false;
        poll_fn(|cx| {
            match down.as_mut().poll(cx) {
                Poll::Ready(Ok(ended)) => return Poll::Ready(Outcome::Answered(ended)),
                Poll::Ready(Err(trouble)) => return Poll::Ready(Outcome::Trouble(trouble)),
                Poll::Pending => {}
            }
            gave_up |= progress.begun.get().is_some_and(|begun| begun.is_refusal);
            if !gave_up && let Poll::Ready(end) = up.as_mut().poll(cx) {
                match end {
                    UpEnd::Gone => return Poll::Ready(Outcome::Left),
                    UpEnd::Broken => return Poll::Ready(Outcome::Trouble(Trouble::ClientBody)),
                    UpEnd::TooLong => {
                        return Poll::Ready(Outcome::Trouble(Trouble::ClientBodyTooLong));
                    }
                    // There may be an answer all the same.
                    UpEnd::Refused => gave_up = true,
                }
            }
            if phase.is_overdue() {
                return Poll::Ready(Outcome::Trouble(Trouble::Late));
            }
            Poll::Pending
        })
        .await
    };
    phase.upstream_done();
    let uploaded = progress.uploaded.get();
    match (outcome, progress.begun.get()) {
        (Outcome::Answered(ended), Some(begun)) => {
            // An upstream that began its answer before it had the whole request may never read the
            // rest: it must not be sent another one.
            if begun.uploaded && ended.persists && !answer.has_unused() {
                drop(answer);
                pool.put_back(link);
            }
            let next = match (begun.persists, uploaded) {
                (true, true) => Next::Request,
                // It is we who end it, and the client may be about to send its next request.
                (false, true) if traits.persists => Next::Linger,
                (false, true) => Next::Close,
                (_, false) => Next::Linger,
            };
            Sent::Answered(begun.status, next)
        }
        (Outcome::Left | Outcome::Trouble(Trouble::Client), Some(begun)) => {
            Sent::Answered(begun.status, Next::Close)
        }
        (Outcome::Trouble(trouble), Some(begun)) => {
            tracing::warn!(upstream = pool.spec().name, ?trouble, "an answer broke off");
            let next = if begun.down == Down::UntilClose { Next::Reset } else { Next::Close };
            Sent::Answered(begun.status, next)
        }
        (Outcome::Trouble(trouble), None) => Sent::Failed(mishap(trouble, &pool.spec().name)),
        (Outcome::Left | Outcome::Answered(_), None) => Sent::Left,
    }
}

/// Appends what has come of the body already, which may have so many bytes of content. Answers how
/// many of its bytes that used.
fn begin(
    text: &mut Vec<u8>,
    reader: &Reader<'_>,
    body: &mut Decoder,
    left: &mut u64,
) -> Result<usize, Mishap> {
    let chunked = body.is_chunked();
    let there = reader.after_head();
    let mut used = 0;
    while used < FIRST_BODY_BYTES_MAX {
        let before = *body;
        match body.next(&there[used..]).map_err(|_fault| Mishap::ClientBody)? {
            Piece::Data(count) => {
                let taken = count.min(FIRST_BODY_BYTES_MAX);
                let rest = left.checked_sub(taken as u64);
                *left = rest.ok_or(Mishap::ClientBodyTooLong)?;
                relay::write_data(text, &there[used..used + taken], chunked);
                used += taken;
                if taken < count {
                    // The rest is for `Upload`.
                    *body = before.without(taken as u64);
                    break;
                }
            }
            Piece::Framing(count) => used += count,
            Piece::Trailers(count) => {
                text.extend_from_slice(b"0\r\n\r\n");
                used += count;
            }
            Piece::More | Piece::End => break,
        }
    }
    Ok(used)
}

enum Outcome {
    Answered(Ended),
    Left,
    Trouble(Trouble),
}

/// What one direction tells the other.
struct Progress {
    /// What the client has been told, once its answer has begun.
    begun: Cell<Option<Begun>>,
    /// Whether the whole request went upstream.
    uploaded: Cell<bool>,
    /// Whether the next request has begun to come.
    followed: Cell<bool>,
}

#[derive(Clone, Copy)]
struct Begun {
    status: u16,
    persists: bool,
    down: Down,
    /// Whether the whole request had gone upstream by then.
    uploaded: bool,
    /// Whether the upstream wants nothing more of the request.
    is_refusal: bool,
}

/// From the upstream to the client.
async fn down(
    answer: &mut Reader<'_>,
    writer: &mut Writer<'_>,
    buffers: &Rc<Buffers>,
    passage: &Passage<'_>,
    progress: &Progress,
) -> Result<Ended, Trouble> {
    let Passage { phase, date, traits, timeouts, .. } = *passage;
    let status = read_answer(answer, phase).await?;
    phase.upstream_done();
    let mut text = buffers.text();
    let (down, body, upstream_persists) = {
        let head = answer.response().ok_or(Trouble::Unsound)?;
        let none = traits.is_head || matches!(status, 204 | 304);
        let body = if none { Decoder::ENDED } else { Decoder::of_response(head.framing()) };
        let framed = !body.is_chunked() && !body.is_until_close();
        let down = match traits.version {
            _ if status == 204 => Down::Bare,
            _ if framed => Down::AsItCame,
            Version::Http11 => Down::Chunks,
            Version::Http10 => Down::UntilClose,
        };
        let uploaded = progress.uploaded.get();
        // What was asked before the end is answered: only the last answer says that it is that.
        let goes_on = !phase.is_draining() || progress.followed.get();
        let persists = traits.persists && uploaded && goes_on && down != Down::UntilClose;
        header::write_answer(&mut text, &head, down, traits.connection(persists));
        if !head.is_dated() {
            date.write(&mut text);
        }
        text.extend_from_slice(b"\r\n");
        progress.begun.set(Some(Begun {
            status,
            persists,
            down,
            uploaded,
            is_refusal: !uploaded && (status >= 300 || !head.persists()),
        }));
        // A body where there must be none would be taken for the next answer.
        let bare = status != 204 || matches!(head.framing(), Framing::None | Framing::Length(0));
        // Who refuses what a client asked to be told of first may not read the body at all.
        let unread = traits.expects && status >= 300;
        (down, body, head.persists() && bare && !unread && !body.is_until_close())
    };
    answer.begin_body(0, body);
    let trailers = traits.takes_trailers;
    relay::download(answer, writer, &mut text, (down, trailers), phase, timeouts).await?;
    Ok(Ended { persists: upstream_persists })
}

/// Reads up to the end of the head of the final answer, and answers its status.
async fn read_answer(answer: &mut Reader<'_>, phase: &Phase) -> Result<u16, Trouble> {
    let mut seen = 0;
    loop {
        if answer.has_unused() && answer.read_head().map_err(|_fault| Trouble::Unsound)? {
            match answer.response().map_or(0, |head| head.status()) {
                // An upgrade was not asked for.
                0 | 101 => return Err(Trouble::Unsound),
                // Interim answers are the upstream's and ours: the field that asks for them was
                // taken off (RFC 9110 section 10.1.1).
                100..=199 => answer.begin_body(0, Decoder::ENDED),
                status => return Ok(status),
            }
            continue;
        }
        if seen > HEAD_BYTES_MAX {
            return Err(Trouble::Unsound);
        }
        seen += match relay::fill(answer, phase, None).await? {
            0 => return Err(Trouble::Broken),
            count => count,
        };
    }
}

fn in_time(phase: &Phase) -> io::Result<()> {
    match phase.late() {
        Some(Late::Upstream) => Err(io::ErrorKind::TimedOut.into()),
        Some(Late::Client) | None if phase.is_overdue() => Err(io::ErrorKind::TimedOut.into()),
        Some(Late::Client) | None => Ok(()),
    }
}

fn mishap_of(error: &io::Error) -> Mishap {
    if error.kind() == io::ErrorKind::TimedOut { Mishap::Late } else { Mishap::Broken }
}

fn mishap(trouble: Trouble, upstream: &str) -> Mishap {
    let mishap = match trouble {
        Trouble::Late => Mishap::Late,
        Trouble::ClientBody | Trouble::Client => return Mishap::ClientBody,
        Trouble::ClientBodyTooLong => return Mishap::ClientBodyTooLong,
        Trouble::Unsound => Mishap::Unsound,
        Trouble::Broken => Mishap::Broken,
    };
    tracing::warn!(upstream, ?mishap, "no answer");
    mishap
}

/// What a failed connect is to the client.
pub(super) fn unreachable(error: &ConnectError, upstream: &str) -> Mishap {
    tracing::warn!(upstream, %error, "an upstream cannot be reached");
    match error {
        ConnectError::Refused { .. } => Mishap::Unreachable,
        ConnectError::Late => Mishap::Late,
        ConnectError::Crowded { .. } => Mishap::Crowded,
    }
}
