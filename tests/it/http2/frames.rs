//! HTTP/2 as frames: a client that sends anything and tells what came.
//!
//! Heads are sent as literals without compression, so that nothing stands between a test and what it
//! means to say. Of the heads of answers only the status is read.

use crate::wire::PATIENCE;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// What came on a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) interim: Vec<u16>,
    pub(crate) status: Option<u16>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: bool,
    pub(crate) is_ended: bool,
    pub(crate) reset: Option<u32>,
}

impl Told {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn is_over(&self) -> bool {
        self.is_ended || self.reset.is_some()
    }
}

/// A connection.
pub(crate) struct Client {
    socket: TcpStream,
    ahead: Vec<u8>,
    next: u32,
    streams: BTreeMap<u32, Told>,
    /// The error code of a GOAWAY.
    pub(crate) goaway: Option<u32>,
    pub(crate) pongs: usize,
    pub(crate) is_closed: bool,
    /// Whether windows are opened as what comes is read.
    pub(crate) opens_windows: bool,
    /// Whether bodies are kept, or only counted.
    pub(crate) keeps_bodies: bool,
    /// Bytes of bodies.
    pub(crate) received: usize,
    /// What may be sent, for the connection (0) and each stream.
    windows: BTreeMap<u32, usize>,
    first_window: usize,
}

/// A frame as bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn literal(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    if text.len() < 127 {
        bytes.push(u8::try_from(text.len()).expect("below 127"));
    } else {
        bytes.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            bytes.push(u8::try_from(rest % 128).expect("below 128") | 128);
            rest /= 128;
        }
        bytes.push(u8::try_from(rest).expect("below 128"));
    }
    bytes.extend(text);
    bytes
}

/// A block of fields, each a literal that is not indexed (RFC 7541 section 6.2.2).
pub(crate) fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        bytes.extend(literal(name.as_ref()));
        bytes.extend(literal(value.as_ref()));
    }
    bytes
}

/// The status that a block begins with.
fn status_of(block: &[u8]) -> Option<u16> {
    match *block {
        // The table has another size from here on: none.
        [0x20, ref rest @ ..] => status_of(rest),
        [first, ..] if first & 0x80 != 0 => {
            let known = [200, 204, 206, 304, 400, 404, 500];
            known.get(usize::from(first & 0x7f).checked_sub(8)?).copied()
        }
        [0x48 | 0x08 | 0x18, length, ref rest @ ..] => {
            let text = rest.get(..usize::from(length & 0x7f))?;
            if length & 0x80 == 0 {
                return std::str::from_utf8(text).ok()?.parse().ok();
            }
            // Three digits of the Huffman code: five bits for 0 to 2, six for the others.
            let bits: Vec<u16> = text
                .iter()
                .flat_map(|byte| (0..8).rev().map(move |at| u16::from(byte >> at & 1)))
                .collect();
            let number = |bits: &[u16]| bits.iter().fold(0, |number, bit| number << 1 | bit);
            let (mut at, mut status) = (0, 0);
            for _ in 0..3 {
                let five = number(bits.get(at..at + 5)?);
                let (digit, length) =
                    if five < 3 { (five, 5) } else { (number(bits.get(at..at + 6)?) - 22, 6) };
                status = status * 10 + digit;
                at += length;
            }
            Some(status)
        }
        _ => None,
    }
}

impl Client {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self::with(address, &[])
    }

    /// A connection on which these settings are said.
    pub(crate) fn with(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let socket = TcpStream::connect(address).expect("the gateway takes connections");
        socket.set_nodelay(true).expect("a socket takes TCP_NODELAY");
        let mut client = Self {
            socket,
            ahead: Vec::new(),
            next: 1,
            streams: BTreeMap::new(),
            goaway: None,
            pongs: 0,
            is_closed: false,
            opens_windows: true,
            keeps_bodies: true,
            received: 0,
            windows: BTreeMap::from([(0, 65_535)]),
            first_window: 65_535,
        };
        // Without a table on the other side no status is a reference to an earlier one.
        let settings: Vec<u8> = [(1, 0)]
            .iter()
            .chain(settings)
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        client.send(&[PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat());
        client
    }

    /// Sends bytes, if the connection still takes them.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// Begins a request on the next stream.
    pub(crate) fn ask<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        fields: &[(N, V)],
        is_ended: bool,
    ) -> u32 {
        let stream = self.next;
        self.next += 2;
        let flags = END_HEADERS | if is_ended { END_STREAM } else { 0 };
        self.send(&frame(HEADERS, flags, stream, &block(fields)));
        stream
    }

    /// Sends a body in frames of at most 16 KiB.
    pub(crate) fn body(&mut self, stream: u32, body: &[u8]) {
        let mut frames = Vec::new();
        for piece in body.chunks(16_384) {
            frames.extend(frame(DATA, 0, stream, piece));
        }
        frames.extend(frame(DATA, END_STREAM, stream, b""));
        self.send(&frames);
    }

    pub(crate) fn reset(&mut self, stream: u32) {
        self.send(&frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
    }

    /// How much may be sent on a stream.
    pub(crate) fn window(&self, stream: u32) -> usize {
        let own = self.windows.get(&stream).copied().unwrap_or(self.first_window);
        own.min(self.windows[&0])
    }

    /// So much was sent on a stream.
    pub(crate) fn spent(&mut self, stream: u32, count: usize) {
        *self.windows.entry(stream).or_insert(self.first_window) -= count;
        *self.windows.entry(0).or_default() -= count;
    }

    /// What has come on a stream so far.
    pub(crate) fn told(&self, stream: u32) -> Told {
        self.streams.get(&stream).cloned().unwrap_or_default()
    }

    /// What a stream comes to.
    pub(crate) fn answer(&mut self, stream: u32) -> Told {
        let over = |client: &Self| client.told(stream).is_over();
        assert!(self.until(PATIENCE, over), "no answer: {:?} {:?}", self.told(stream), self.goaway);
        self.told(stream)
    }

    /// Reads until this holds. False if it does not in time, or if the connection ends before.
    pub(crate) fn until(&mut self, patience: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        while !holds(self) {
            if self.is_closed || !self.read(deadline) {
                return holds(self);
            }
        }
        true
    }

    /// Whether the connection ends in time.
    pub(crate) fn ends(&mut self, patience: Duration) -> bool {
        self.until(patience, |client| client.is_closed)
    }

    fn read(&mut self, deadline: Instant) -> bool {
        loop {
            if let Some(length) = self.whole() {
                let rest = self.ahead.split_off(length);
                let frame = std::mem::replace(&mut self.ahead, rest);
                self.take(&frame);
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.socket.set_read_timeout(Some(left)).expect("a socket takes a timeout");
            let mut room = [0; 16_384];
            match self.socket.read(&mut room) {
                Ok(count @ 1..) => self.ahead.extend(&room[..count]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return false;
                }
                Ok(0) | Err(_) => {
                    self.is_closed = true;
                    return true;
                }
            }
        }
    }

    fn whole(&self) -> Option<usize> {
        let head = self.ahead.get(..9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize + 9;
        (self.ahead.len() >= length).then_some(length)
    }

    fn take(&mut self, bytes: &[u8]) {
        let (kind, flags) = (bytes[3], bytes[4]);
        let stream = u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]);
        let payload = &bytes[9..];
        let code = |at: usize| {
            let four = payload.get(at..at + 4).expect("a code has four bytes");
            u32::from_be_bytes(four.try_into().expect("four"))
        };
        let told = self.streams.entry(stream).or_default();
        match kind {
            WINDOW_UPDATE => {
                *self.windows.entry(stream).or_insert(self.first_window) += code(0) as usize;
            }
            SETTINGS if flags & ACK == 0 => {
                for setting in payload.chunks(6).filter(|setting| setting[..2] == [0, 4]) {
                    let four = setting[2..].try_into().expect("four");
                    self.first_window = u32::from_be_bytes(four) as usize;
                }
                self.send(&frame(SETTINGS, ACK, 0, b""));
            }
            PING if flags & ACK == 0 => {
                self.send(&frame(PING, ACK, 0, payload));
            }
            PING => self.pongs += 1,
            GOAWAY => self.goaway = Some(code(4)),
            RST_STREAM => told.reset = Some(code(0)),
            HEADERS => {
                assert_ne!(flags & END_HEADERS, 0, "a test's answers have short heads");
                match status_of(payload) {
                    _ if told.status.is_some() => told.trailers = true,
                    Some(interim @ 100..=199) => told.interim.push(interim),
                    status => told.status = status.or(Some(0)),
                }
                told.is_ended |= flags & END_STREAM != 0;
            }
            DATA => {
                self.received += payload.len();
                if self.keeps_bodies {
                    told.body.extend(payload);
                }
                told.is_ended |= flags & END_STREAM != 0;
                if self.opens_windows && !payload.is_empty() {
                    let count = u32::try_from(payload.len()).expect("a frame is short");
                    for stream in [0, stream] {
                        self.send(&frame(WINDOW_UPDATE, 0, stream, &count.to_be_bytes()));
                    }
                }
            }
            _ => {}
        }
    }
}
