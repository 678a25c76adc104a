//! HTTP/1.1 as bytes: a client that sends anything and reads answers exactly.
//!
//! Nothing here repairs what it reads: a test must see what an intermediary or a browser would see,
//! and no HTTP library stands between.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection};
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a read waits unless a test says otherwise: far more than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Where every byte that a [`Channel`] reads is written down.
pub(crate) type Tap = Arc<Mutex<Vec<u8>>>;

/// Why there is no more to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The peer ended its side in order.
    Closed,
    /// The peer tore the connection down.
    Reset,
    /// Nothing came in time: the connection is still open.
    TimedOut,
    /// What came is not what the framing says.
    Garbled,
}

/// A start line and its fields, as they came.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The bytes, up to and with the empty line.
    pub(crate) raw: Vec<u8>,
    /// The first line.
    pub(crate) line: String,
    /// The fields, names in the case in which they came.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
}

impl Head {
    pub(crate) fn parse(raw: Vec<u8>) -> Self {
        let text = raw.strip_suffix(b"\r\n\r\n").unwrap_or(&raw);
        let mut lines = split(text, b"\r\n");
        let line = lossy(lines.next().unwrap_or_default());
        let fields = lines.map(field).collect();
        Self { raw, line, fields }
    }

    /// Every value of a field, in order; the name in any case.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let named = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| lossy(value)).collect()
    }

    /// The only value of a field.
    pub(crate) fn one(&self, name: &str) -> Option<String> {
        let mut values = self.all(name);
        assert!(values.len() < 2, "{name} came {} times: {self:?}", values.len());
        values.pop()
    }

    /// Whether a field is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    /// What stands between the first and the second space of the first line.
    pub(crate) fn second(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", lossy(&self.raw).replace("\r\n", "\\r\\n"))
    }
}

/// A message's body, as far as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Body {
    /// The content, without chunk framing.
    pub(crate) bytes: Vec<u8>,
    /// The trailer fields.
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
    /// Why it ended before its end; `None` when it is complete.
    pub(crate) cut: Option<Cut>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: Head,
    /// Heads of interim answers (1xx) that came before.
    pub(crate) interim: Vec<Head>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
    /// Why the body ended before its end; `None` when it is complete.
    pub(crate) cut: Option<Cut>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        lossy(&self.body)
    }

    pub(crate) fn field(&self, name: &str) -> Option<String> {
        self.head.one(name)
    }
}

/// A socket, the TLS over it if there is any, what was read ahead, and when patience ends.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: TcpStream,
    tls: Option<Box<Connection>>,
    ahead: Vec<u8>,
    tap: Option<Tap>,
    deadline: Instant,
}

impl Channel {
    pub(crate) fn new(socket: TcpStream, tap: Option<Tap>) -> Self {
        socket.set_nodelay(true).expect("a socket takes TCP_NODELAY");
        Self { socket, tls: None, ahead: Vec::new(), tap, deadline: Instant::now() + PATIENCE }
    }

    /// The same over TLS, of which nothing has been said yet.
    pub(crate) fn over(mut self, tls: impl Into<Connection>) -> Self {
        let mut tls = tls.into();
        tls.set_buffer_limit(None);
        self.tls = Some(Box::new(tls));
        self
    }

    /// Gives the reads that follow this long, all together.
    pub(crate) fn patience(&mut self, patience: Duration) {
        self.deadline = Instant::now() + patience;
    }

    pub(crate) const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        let written = match &mut self.tls {
            None => self.socket.write_all(bytes),
            Some(tls) => write_secured(tls, &mut self.socket, bytes),
        };
        written.map_err(|error| cut(&error))
    }

    /// Reads some bytes more.
    pub(crate) fn fill(&mut self) -> Result<(), Cut> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Cut::TimedOut);
        }
        self.socket.set_read_timeout(Some(left)).expect("a socket takes a timeout");
        let mut piece = [0; 16_384];
        loop {
            let read = match &mut self.tls {
                None => self.socket.read(&mut piece),
                Some(tls) => read_secured(tls, &mut self.socket, &mut piece),
            };
            match read {
                Ok(0) => return Err(Cut::Closed),
                Ok(count) => {
                    if let Some(tap) = &self.tap {
                        tap.lock().unwrap().extend_from_slice(&piece[..count]);
                    }
                    self.ahead.extend_from_slice(&piece[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(cut(&error)),
            }
        }
    }

    /// Everything up to and with `end`.
    pub(crate) fn until(&mut self, end: &[u8]) -> Result<Vec<u8>, Cut> {
        let mut searched = 0;
        loop {
            if let Some(at) = find(&self.ahead[searched..], end) {
                return Ok(self.ahead.drain(..searched + at + end.len()).collect());
            }
            searched = self.ahead.len().saturating_sub(end.len());
            self.fill()?;
        }
    }

    pub(crate) fn head(&mut self) -> Result<Head, Cut> {
        self.until(b"\r\n\r\n").map(Head::parse)
    }

    /// Whatever is there or comes next, but at least one byte.
    pub(crate) fn some(&mut self) -> Result<Vec<u8>, Cut> {
        if self.ahead.is_empty() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.ahead))
    }

    /// So many bytes, into `body`; what came before a cut is kept.
    fn exactly(&mut self, mut count: u64, body: &mut Vec<u8>) -> Result<(), Cut> {
        while count > 0 {
            if self.ahead.is_empty() {
                self.fill()?;
            }
            let here = usize::try_from(count).map_or(self.ahead.len(), |n| n.min(self.ahead.len()));
            body.extend_from_slice(&self.ahead[..here]);
            self.ahead.drain(..here);
            count -= here as u64;
        }
        Ok(())
    }

    /// A body of known length.
    pub(crate) fn sized(&mut self, count: u64) -> Body {
        let mut body = Body::default();
        body.cut = self.exactly(count, &mut body.bytes).err();
        body
    }

    /// A chunked body (RFC 9112 section 7.1).
    pub(crate) fn chunked(&mut self) -> Body {
        let mut body = Body::default();
        body.cut = self.chunks(&mut body).err();
        body
    }

    fn chunks(&mut self, body: &mut Body) -> Result<(), Cut> {
        loop {
            let line = lossy(&self.until(b"\r\n")?);
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(|_digits| Cut::Garbled)?;
            if size == 0 {
                break;
            }
            self.exactly(size, &mut body.bytes)?;
            if self.until(b"\r\n")? != b"\r\n" {
                return Err(Cut::Garbled);
            }
        }
        loop {
            let line = self.until(b"\r\n")?;
            if line == b"\r\n" {
                return Ok(());
            }
            body.trailers.push(field(&line[..line.len() - 2]));
        }
    }

    /// Everything until the peer stops.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, Cut) {
        loop {
            if let Err(cut) = self.fill() {
                return (std::mem::take(&mut self.ahead), cut);
            }
        }
    }
}

fn write_secured(tls: &mut Connection, socket: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    if tls.is_handshaking() {
        tls.complete_io(socket)?;
    }
    tls.writer().write_all(bytes)?;
    while tls.wants_write() {
        tls.write_tls(socket)?;
    }
    Ok(())
}

fn read_secured(
    tls: &mut Connection,
    socket: &mut TcpStream,
    bytes: &mut [u8],
) -> io::Result<usize> {
    loop {
        match tls.reader().read(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            outcome => return outcome,
        }
        while tls.wants_write() {
            tls.write_tls(socket)?;
        }
        tls.read_tls(socket)?;
        if let Err(error) = tls.process_new_packets() {
            let _last_words = tls.write_tls(socket);
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
    }
}

/// A raw client on one connection.
#[derive(Debug)]
pub(crate) struct Wire {
    channel: Channel,
}

impl Wire {
    pub(crate) fn to(address: SocketAddr) -> Self {
        let socket = TcpStream::connect_timeout(&address, PATIENCE);
        let socket = socket.unwrap_or_else(|error| panic!("no connection to {address}: {error}"));
        socket.set_write_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        Self { channel: Channel::new(socket, None) }
    }

    /// The same over TLS to this host, once the handshake is through.
    pub(crate) fn secured(
        address: SocketAddr,
        config: &Arc<ClientConfig>,
        host: &str,
    ) -> io::Result<Self> {
        let Self { channel } = Self::to(address);
        let host = ServerName::try_from(host.to_owned()).expect("a name");
        let tls = ClientConnection::new(Arc::clone(config), host).expect("a connection");
        let mut channel = channel.over(tls);
        let Channel { socket, tls, .. } = &mut channel;
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        if let Some(tls) = tls {
            tls.complete_io(socket)?;
        }
        Ok(Self { channel })
    }

    /// What was agreed upon in the handshake.
    pub(crate) fn tls(&mut self) -> &mut Connection {
        self.channel.tls.as_mut().expect("it speaks TLS")
    }

    /// Sends bytes. A peer that no longer listens is no error here: what it answered tells.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _unread = self.channel.write(bytes.as_ref());
        self
    }

    /// Sends bytes, and says whether the peer still took them.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Cut> {
        self.channel.write(bytes.as_ref())
    }

    /// The socket, for what only a thread of its own can do.
    pub(crate) fn socket(&self) -> TcpStream {
        self.channel.socket().try_clone().expect("a socket can be cloned")
    }

    /// Reads the next answer; one to `HEAD` has no body whatever it says.
    pub(crate) fn answer_to(&mut self, method: &str, patience: Duration) -> Result<Answer, Cut> {
        self.channel.patience(patience);
        let mut interim = Vec::new();
        loop {
            let head = self.channel.head()?;
            let status = head.second().parse().map_err(|_digits| Cut::Garbled)?;
            if (100..200).contains(&status) && status != 101 {
                interim.push(head);
                continue;
            }
            let bodiless = method == "HEAD" || matches!(status, 101 | 204 | 304);
            let body = if bodiless { Body::default() } else { self.body(&head) };
            let Body { bytes, trailers, cut } = body;
            return Ok(Answer { status, head, interim, body: bytes, trailers, cut });
        }
    }

    fn body(&mut self, head: &Head) -> Body {
        if head.all("transfer-encoding").iter().any(|coding| coding.contains("chunked")) {
            return self.channel.chunked();
        }
        if let Some(length) = head.all("content-length").first() {
            let Ok(length) = length.parse() else {
                return Body { cut: Some(Cut::Garbled), ..Body::default() };
            };
            return self.channel.sized(length);
        }
        let (bytes, cut) = self.channel.rest();
        Body { bytes, trailers: Vec::new(), cut: (cut != Cut::Closed).then_some(cut) }
    }

    /// Reads the next answer.
    pub(crate) fn answer(&mut self) -> Answer {
        self.answer_to("GET", PATIENCE).unwrap_or_else(|cut| panic!("no answer: {cut:?}"))
    }

    /// Reads the head of the next answer and leaves the body.
    pub(crate) fn answer_head(&mut self) -> Head {
        self.channel.patience(PATIENCE);
        self.channel.head().unwrap_or_else(|cut| panic!("no head of an answer: {cut:?}"))
    }

    /// Reads some bytes.
    pub(crate) fn some(&mut self, patience: Duration) -> Result<Vec<u8>, Cut> {
        self.channel.patience(patience);
        self.channel.some()
    }

    /// Reads up to the end of the connection: what still came, and how it ended.
    pub(crate) fn rest(&mut self, patience: Duration) -> (Vec<u8>, Cut) {
        self.channel.patience(patience);
        self.channel.rest()
    }

    /// Whether the peer ends the connection within `patience`, having said nothing more.
    pub(crate) fn ends(&mut self, patience: Duration) -> bool {
        let (said, cut) = self.rest(patience);
        assert!(said.is_empty(), "unexpected bytes before the end: `{}`", lossy(&said));
        cut != Cut::TimedOut
    }
}

/// One request on a connection of its own, and its answer.
pub(crate) fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    Wire::to(address).send(request).answer()
}

pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn split<'a>(text: &'a [u8], by: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let here = rest?;
        if let Some(at) = find(here, by) {
            rest = Some(&here[at + by.len()..]);
            Some(&here[..at])
        } else {
            rest = None;
            Some(here)
        }
    })
}

fn field(line: &[u8]) -> (String, Vec<u8>) {
    let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
    let value = line.get(colon + 1..).unwrap_or_default().trim_ascii();
    (lossy(&line[..colon]), value.to_vec())
}

fn cut(error: &std::io::Error) -> Cut {
    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
        Cut::TimedOut
    } else {
        Cut::Reset
    }
}

#[test]
fn answers_are_read_as_they_were_framed() {
    use crate::upstream::{Upstream, raw};
    const BYTES: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
        HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nxyz\
        HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut";
    let upstream = Upstream::start(raw(BYTES));
    let mut wire = Wire::to(upstream.address);
    wire.send("GET / HTTP/1.1\r\n\r\n");
    let first = wire.answer();
    assert_eq!((first.text().as_str(), first.interim.len(), first.cut), ("abcde", 1, None));
    assert_eq!(first.trailers, [("A".to_owned(), b"b".to_vec())]);
    let second = wire.answer();
    assert_eq!((second.text().as_str(), second.cut), ("xyz", None));
    let third = wire.answer_to("GET", PATIENCE).expect("a head came");
    assert_eq!((third.text().as_str(), third.cut), ("cut", Some(Cut::Closed)));
}

#[test]
fn a_silent_peer_and_a_closed_one_are_told_apart() {
    use crate::upstream::{Upstream, close_at_once, silent};
    let upstream = Upstream::start(silent());
    let mut wire = Wire::to(upstream.address);
    wire.send("GET / HTTP/1.1\r\n\r\n");
    assert!(!wire.ends(Duration::from_millis(100)));
    upstream.behave(close_at_once());
    assert!(Wire::to(upstream.address).ends(PATIENCE));
}
