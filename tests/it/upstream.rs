//! An upstream on bare sockets: it writes down every byte that reaches it and answers as a test
//! scripts it, rightly or wrongly.

use crate::wire::{Body, Channel, Cut, Head, PATIENCE, Tap, find, lossy};
use rustls::{ServerConfig, ServerConnection};
use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What the upstream does with one connection, from its beginning to its end. The connection is
/// closed when the script returns.
pub(crate) type Script = Arc<dyn Fn(&mut Peer) + Send + Sync>;

/// A request as it reached the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) head: Head,
    pub(crate) body: Body,
}

impl Request {
    pub(crate) fn method(&self) -> &str {
        self.head.line.split(' ').next().unwrap_or_default()
    }

    pub(crate) fn target(&self) -> &str {
        self.head.second()
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.body.cut.is_none()
    }
}

/// The script's side of one connection.
#[derive(Debug)]
pub(crate) struct Peer {
    channel: Channel,
    sent: Arc<AtomicU64>,
}

impl Peer {
    /// The next head; `None` when there is none or the gateway has gone.
    pub(crate) fn head(&mut self) -> Option<Head> {
        // An idle connection of the gateway's pool is waited on for as long as the test takes.
        self.channel.patience(Duration::from_mins(10));
        self.channel.head().ok()
    }

    /// The body that goes with a head.
    pub(crate) fn body(&mut self, head: &Head) -> Body {
        self.channel.patience(PATIENCE);
        body(&mut self.channel, head)
    }

    /// The next complete request.
    pub(crate) fn request(&mut self) -> Option<Request> {
        let head = self.head()?;
        let body = self.body(&head);
        Some(Request { head, body }).filter(Request::is_complete)
    }

    /// Whatever comes next, unparsed.
    pub(crate) fn some(&mut self) -> Option<Vec<u8>> {
        self.channel.patience(PATIENCE);
        self.channel.some().ok()
    }

    /// Sends bytes; `false` when the gateway no longer takes them.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let bytes = bytes.as_ref();
        let taken = self.channel.write(bytes).is_ok();
        if taken {
            self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        taken
    }

    /// Holds the connection open without reading, until the gateway ends it or a minute is over.
    pub(crate) fn leave_unread(&self) {
        for _ in 0..600 {
            match self.channel.socket().peek(&mut [0]) {
                Ok(0) => return,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Ok(_) | Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Holds the connection open, reading, until the gateway ends it.
    pub(crate) fn hold(&mut self) {
        self.channel.patience(Duration::from_mins(10));
        let _said = self.channel.rest();
    }
}

/// An address that says nothing: its queue of connections is full, so the system drops whoever
/// wants another, without a word.
#[derive(Debug)]
pub(crate) struct BlackHole {
    pub(crate) address: SocketAddr,
    listener: TcpListener,
    queued: Vec<TcpStream>,
}

impl BlackHole {
    pub(crate) fn open() -> Self {
        const WORD: Duration = Duration::from_millis(200);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        rustix::net::listen(&listener, 0).expect("a queue can be made shorter");
        let fill = || TcpStream::connect_timeout(&address, WORD).ok();
        let queued: Vec<_> = std::iter::from_fn(fill).take(16).collect();
        assert!(queued.len() < 16, "the queue is never full");
        Self { address, listener, queued }
    }

    /// Whether so many connections are being asked for in vain.
    pub(crate) fn is_asked_for(&self, count: usize) -> bool {
        const SYN_SENT: &str = "02";
        let table = std::fs::read_to_string("/proc/net/tcp").expect("/proc lists the connections");
        let port = format!(":{:04X}", self.address.port());
        let asks = |line: &&str| {
            let mut columns = line.split_whitespace().skip(2);
            columns.next().is_some_and(|remote| remote.ends_with(&port))
                && columns.next() == Some(SYN_SENT)
        };
        table.lines().filter(asks).count() >= count
    }

    /// From now on whoever asks again is answered by this script.
    pub(crate) fn answer(self, script: Script) -> Upstream {
        drop(self.queued);
        Upstream::on(self.listener, script, true)
    }
}

/// The upstream. It serves until it is dropped.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    script: Mutex<Script>,
    taps: Mutex<Vec<Tap>>,
    sockets: Mutex<Vec<TcpStream>>,
    sent: Arc<AtomicU64>,
    closing: AtomicBool,
    recorded: bool,
    /// How it speaks TLS, if it does. What is written down is what was said, not how.
    tls: Mutex<Option<Arc<ServerConfig>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Upstream {
    /// An upstream that writes everything down.
    pub(crate) fn start(script: Script) -> Self {
        Self::serve(script, true)
    }

    /// An upstream that writes nothing down, for hundreds of thousands of requests.
    pub(crate) fn start_unrecorded(script: Script) -> Self {
        Self::serve(script, false)
    }

    fn serve(script: Script, recorded: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self::on(listener, script, recorded)
    }

    /// One on a socket that is bound already.
    pub(crate) fn on(listener: TcpListener, script: Script, recorded: bool) -> Self {
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            taps: Mutex::default(),
            sockets: Mutex::default(),
            sent: Arc::default(),
            closing: AtomicBool::new(false),
            recorded,
            tls: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accepting.accept(&listener));
        Self { address, shared }
    }

    /// One that speaks TLS.
    pub(crate) fn secured(script: Script, tls: Arc<ServerConfig>) -> Self {
        let upstream = Self::start(script);
        upstream.speak(tls);
        upstream
    }

    /// Changes how TLS is spoken on connections that are accepted from now on.
    pub(crate) fn speak(&self, tls: Arc<ServerConfig>) {
        *self.shared.tls.lock().unwrap() = Some(tls);
    }

    /// Changes what happens on connections that are accepted from now on.
    pub(crate) fn behave(&self, script: Script) {
        *self.shared.script.lock().unwrap() = script;
    }

    /// The bytes of every connection so far.
    pub(crate) fn recorded(&self) -> Vec<Vec<u8>> {
        self.shared.taps.lock().unwrap().iter().map(|tap| tap.lock().unwrap().clone()).collect()
    }

    /// The requests of every connection so far, however broken.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.recorded().iter().flat_map(|bytes| requests(bytes)).collect()
    }

    /// The only request so far.
    pub(crate) fn only_request(&self) -> Request {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "not one request, but {requests:#?}");
        requests.remove(0)
    }

    /// How many bytes came.
    pub(crate) fn bytes(&self) -> usize {
        self.recorded().iter().map(Vec::len).sum()
    }

    /// Whether the bytes came anywhere.
    pub(crate) fn saw(&self, needle: &str) -> bool {
        self.recorded().iter().any(|bytes| find(bytes, needle.as_bytes()).is_some())
    }

    /// How many connections were accepted.
    pub(crate) fn connections(&self) -> usize {
        self.shared.taps.lock().unwrap().len()
    }

    /// How many bytes the gateway took of what was sent to it (or the kernel for it).
    pub(crate) fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Forgets what was written down; connections that are still open start afresh.
    pub(crate) fn forget(&self) {
        for tap in self.shared.taps.lock().unwrap().iter() {
            tap.lock().unwrap().clear();
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        let _wakes_the_acceptor = TcpStream::connect(self.address);
        for socket in self.shared.sockets.lock().unwrap().iter() {
            let _gone = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for socket in listener.incoming() {
            if self.closing.load(Ordering::SeqCst) {
                return;
            }
            let Ok(socket) = socket else { continue };
            let tap = Tap::default();
            self.taps.lock().unwrap().push(Arc::clone(&tap));
            self.sockets.lock().unwrap().push(socket.try_clone().expect("a socket can be cloned"));
            let script = Arc::clone(&self.script.lock().unwrap());
            let mut channel = Channel::new(socket, self.recorded.then_some(tap));
            if let Some(tls) = &*self.tls.lock().unwrap() {
                channel = channel.over(ServerConnection::new(Arc::clone(tls)).unwrap());
            }
            let mut peer = Peer { channel, sent: Arc::clone(&self.sent) };
            thread::spawn(move || {
                script(&mut peer);
                // The clone in `sockets` keeps the descriptor: closing must be said.
                let _gone = peer.channel.socket().shutdown(Shutdown::Both);
            });
        }
    }
}

fn body(channel: &mut Channel, head: &Head) -> Body {
    if head.all("transfer-encoding").iter().any(|coding| coding.contains("chunked")) {
        return channel.chunked();
    }
    let length = head.all("content-length").first().map(|length| length.parse());
    match length {
        None => Body::default(),
        Some(Ok(length)) => channel.sized(length),
        Some(Err(_)) => Body { cut: Some(Cut::Garbled), ..Body::default() },
    }
}

/// What a connection's bytes hold, read as leniently as the most careless server would.
pub(crate) fn requests(bytes: &[u8]) -> Vec<Request> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = find(rest, b"\r\n\r\n").map_or(rest.len(), |at| at + 4);
        let head = Head::parse(rest[..end].to_vec());
        rest = &rest[end..];
        let (body, used) = recorded_body(&head, rest);
        rest = &rest[used..];
        found.push(Request { head, body });
    }
    found
}

fn recorded_body(head: &Head, rest: &[u8]) -> (Body, usize) {
    if head.all("transfer-encoding").iter().any(|coding| coding.contains("chunked")) {
        return recorded_chunks(rest);
    }
    let length = head.all("content-length").first().map_or(0, |text| text.parse().unwrap_or(0));
    let used = rest.len().min(length);
    let cut = (used < length).then_some(Cut::Closed);
    (Body { bytes: rest[..used].to_vec(), trailers: Vec::new(), cut }, used)
}

fn recorded_chunks(rest: &[u8]) -> (Body, usize) {
    let mut body = Body::default();
    let mut at = 0;
    let line = |at: usize| {
        let end = at + find(&rest[at..], b"\r\n")?;
        Some((&rest[at..end], end + 2))
    };
    while let Some((size, begin)) = line(at) {
        let size = lossy(size.split(|&byte| byte == b';').next().unwrap_or_default());
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { break };
        if size == 0 {
            at = begin;
            while let Some((field, next)) = line(at) {
                at = next;
                if field.is_empty() {
                    return (body, at);
                }
                let trailer = Head::parse([b"\r\n", field].concat()).fields;
                body.trailers.extend(trailer);
            }
            break;
        }
        let Some(data) = rest.get(begin..begin + size) else {
            body.bytes.extend_from_slice(&rest[begin..]);
            break;
        };
        body.bytes.extend_from_slice(data);
        at = (begin + size + 2).min(rest.len());
    }
    body.cut = Some(Cut::Closed);
    (body, rest.len())
}

/// `200` with a short body, for as long as requests come.
pub(crate) fn ok() -> Script {
    answer(|_request| response("200 OK", "ok"))
}

/// Answers each complete request with what `respond` makes of it.
pub(crate) fn answer(respond: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Script {
    Arc::new(move |peer| {
        while let Some(request) = peer.request() {
            if !peer.send(respond(&request)) {
                return;
            }
        }
    })
}

/// Answers with the method, the target and the body that came, as text.
pub(crate) fn echo() -> Script {
    answer(|request| {
        let body = [request.head.line.as_bytes(), b"\n", &request.body.bytes].concat();
        response("200 OK", &body)
    })
}

/// Sends a body back while it still comes, chunked.
pub(crate) fn stream_echo() -> Script {
    Arc::new(|peer| {
        while let Some(head) = peer.head() {
            let length = head.one("content-length").expect("a stream of known length");
            let mut left = length.parse::<usize>().expect("a number");
            if !peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") {
                return;
            }
            while left > 0 {
                let Some(piece) = peer.some() else { return };
                assert!(piece.len() <= left, "more came than the framing says");
                left -= piece.len();
                let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
                if !peer.send(chunk) {
                    return;
                }
            }
            peer.send("0\r\n\r\n");
        }
    })
}

/// Sends these bytes after the first request and closes.
pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Script {
    let bytes = bytes.into();
    Arc::new(move |peer| {
        if peer.request().is_some() {
            peer.send(&bytes);
        }
    })
}

/// Sends these bytes after each request and keeps the connection.
pub(crate) fn raw_kept(bytes: impl Into<Vec<u8>>) -> Script {
    let bytes = bytes.into();
    answer(move |_request| bytes.clone())
}

/// Sends these bytes as soon as it has a head, and never reads the body.
pub(crate) fn early(bytes: impl Into<Vec<u8>>) -> Script {
    let bytes = bytes.into();
    Arc::new(move |peer| {
        if peer.head().is_some() {
            peer.send(&bytes);
            peer.leave_unread();
        }
    })
}

/// Reads `count` bytes of the first request's body and then nothing more.
pub(crate) fn stop_reading_after(count: usize) -> Script {
    Arc::new(move |peer| {
        let mut left = count;
        if peer.head().is_none() {
            return;
        }
        while left > 0 {
            let Some(piece) = peer.some() else { return };
            left = left.saturating_sub(piece.len());
        }
        peer.leave_unread();
    })
}

/// Accepts and closes.
pub(crate) fn close_at_once() -> Script {
    Arc::new(|_peer| {})
}

/// Reads one request and closes without an answer.
pub(crate) fn close_after_request() -> Script {
    Arc::new(|peer| {
        peer.request();
    })
}

/// Reads and never answers.
pub(crate) fn silent() -> Script {
    Arc::new(Peer::hold)
}

/// Answers `count` requests of each connection, then reads one more and closes without an answer.
pub(crate) fn close_instead_of_answer(count: usize) -> Script {
    Arc::new(move |peer| {
        for _ in 0..count {
            if peer.request().is_none() || !peer.send(response("200 OK", "ok")) {
                return;
            }
        }
        peer.request();
    })
}

/// Answers one request and closes, without having said that it would.
pub(crate) fn close_when_idle() -> Script {
    raw(response("200 OK", "ok"))
}

/// Sends interim answers until nobody takes them, at most `count`.
pub(crate) fn flood_of_interim(count: usize) -> Script {
    Arc::new(move |peer| {
        if peer.request().is_none() {
            return;
        }
        let batch = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n".repeat(100);
        for _ in 0..count.div_ceil(100) {
            if !peer.send(&batch) {
                return;
            }
        }
        peer.send(response("200 OK", "flooded"));
        peer.hold();
    })
}

/// Sends a head, then the pieces of a body with a pause before each.
pub(crate) fn slow(head: &str, pieces: &[&str], pause: Duration) -> Script {
    let head = head.to_owned();
    let pieces: Vec<_> = pieces.iter().map(|&piece| piece.to_owned()).collect();
    Arc::new(move |peer| {
        while peer.request().is_some() {
            if !peer.send(&head) {
                return;
            }
            for piece in &pieces {
                thread::sleep(pause);
                if !peer.send(piece) {
                    return;
                }
            }
        }
    })
}

/// Answers with a body of so many bytes, as fast as they are taken.
pub(crate) fn huge(bytes: u64) -> Script {
    Arc::new(move |peer| {
        while peer.request().is_some() {
            let mut left = bytes;
            let mut taken =
                peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n"));
            let piece = vec![b'x'; 65_536];
            while taken && left > 0 {
                let here = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
                taken = peer.send(&piece[..here]);
                left -= here as u64;
            }
            if !taken {
                return;
            }
        }
    })
}

/// A whole answer with a length.
pub(crate) fn response(status: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[test]
fn every_byte_and_every_request_is_written_down() {
    use crate::wire::Wire;
    const BYTES: &str = "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\
        POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nde\r\n0\r\nT: u\r\n\r\n\
        GET /c HTTP/1.1\r\nX-A: 1\r\nx-a: 2\r\n\r\n";
    let upstream = Upstream::start(echo());
    let mut wire = Wire::to(upstream.address);
    wire.send(BYTES);
    for expected in ["POST /a HTTP/1.1\nabc", "POST /b HTTP/1.1\nde", "GET /c HTTP/1.1\n"] {
        assert_eq!(wire.answer().text(), expected);
    }
    assert_eq!(upstream.recorded(), [BYTES.as_bytes()]);
    let requests = upstream.requests();
    let seen: Vec<_> =
        requests.iter().map(|request| (request.method(), request.target())).collect();
    assert_eq!(seen, [("POST", "/a"), ("POST", "/b"), ("GET", "/c")]);
    assert!(requests.iter().all(Request::is_complete), "{requests:#?}");
    assert_eq!(requests[1].body.trailers, [("T".to_owned(), b"u".to_vec())]);
    assert_eq!(requests[2].head.all("X-A"), ["1", "2"]);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn an_unfinished_request_is_told_from_a_finished_one() {
    for bytes in [
        "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ] {
        let found = requests(bytes.as_bytes());
        assert_eq!(found.len(), 1, "{bytes:?}: {found:#?}");
        assert!(!found[0].is_complete(), "{bytes:?}: {found:#?}");
        assert!(b"abc".starts_with(&found[0].body.bytes) && !found[0].body.bytes.is_empty());
    }
}

#[test]
fn a_stream_is_echoed_while_it_comes() {
    use crate::wire::Wire;
    let upstream = Upstream::start(stream_echo());
    let mut wire = Wire::to(upstream.address);
    wire.send("POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc");
    wire.answer_head();
    assert_eq!(wire.some(PATIENCE).map(|piece| lossy(&piece)), Ok("3\r\nabc\r\n".to_owned()));
    wire.send("def");
    assert_eq!(lossy(&wire.rest(Duration::from_millis(200)).0), "3\r\ndef\r\n0\r\n\r\n");
}
