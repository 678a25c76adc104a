//! Heads: from the first byte to the empty line.

use super::Fault;
use super::line::{self, Field, Kind, Version};
use memchr::memchr;

/// What a head may be at most.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Its length in bytes, the empty line included.
    pub bytes_max: usize,
    /// How many fields it has.
    pub fields_max: usize,
}

/// Which messages are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Those of a client.
    Requests,
    /// Those of an upstream.
    Responses,
}

/// How a body is framed, as far as its head says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Not at all: a request has no body then, an answer one until the connection ends.
    #[default]
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// Most options in all `Connection` fields of a head: each is held against each field.
pub const CONNECTION_OPTIONS_MAX: usize = 32;
/// Longest body whose length can be said.
const LENGTH_MAX: u64 = i64::MAX as u64;

/// How often a field is there, and which one is the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seen {
    /// Not there.
    #[default]
    Absent,
    /// Once.
    Once(usize),
    /// More than once.
    Repeated(usize),
}

impl Seen {
    fn see(&mut self, at: usize) {
        *self = match *self {
            Self::Absent => Self::Once(at),
            Self::Once(first) | Self::Repeated(first) => Self::Repeated(first),
        };
    }
}

/// What the lines of a head say about the message.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent findings, not a state")]
struct Findings {
    framing: Framing,
    host: Seen,
    authorization: Seen,
    expect: Seen,
    options: usize,
    close: bool,
    keep_alive: bool,
    nominates: bool,
    takes_trailers: bool,
    dated: bool,
}

#[derive(Clone, Copy, Debug)]
enum Start {
    Request { from: usize, method_end: usize, target_end: usize },
    Response { from: usize, status: u16 },
}

/// Reads one head after the other, each as its bytes come.
///
/// It holds no bytes: whoever feeds it keeps those of the present head where they are, and hands all
/// of them over each time. No byte is searched twice.
#[derive(Debug)]
pub struct Parser {
    side: Side,
    /// Up to here no line feed was found.
    searched: usize,
    /// Where the present line begins.
    line: usize,
    start: Option<Start>,
    version: Version,
    fields: Vec<Field>,
    findings: Findings,
    length: usize,
}

impl Parser {
    /// A parser that has seen nothing.
    #[must_use]
    pub fn new(side: Side) -> Self {
        Self {
            side,
            searched: 0,
            line: 0,
            start: None,
            version: Version::Http11,
            fields: Vec::new(),
            findings: Findings::default(),
            length: 0,
        }
    }

    /// Forgets the head; the next byte is the first of another.
    pub fn reset(&mut self) {
        self.searched = 0;
        self.line = 0;
        self.start = None;
        self.fields.clear();
        self.findings = Findings::default();
        self.length = 0;
    }

    /// Reads on in `head`, which begins with the same bytes as the last time. Answers the length of
    /// the head once its end is there.
    pub fn advance(&mut self, head: &[u8], limits: HeadLimits) -> Result<Option<usize>, Fault> {
        if self.start.is_none() {
            self.expect_start(head)?;
        }
        while let Some(found) = memchr(b'\n', &head[self.searched..]) {
            let feed = self.searched + found;
            if feed == self.line || head[feed - 1] != b'\r' {
                return Err(Fault::BareLineBreak);
            }
            if feed >= limits.bytes_max {
                return Err(Fault::TooLarge);
            }
            let (begin, end) = (self.line, feed - 1);
            self.searched = feed + 1;
            self.line = feed + 1;
            match self.start {
                // Empty lines before a request line are forgiven (RFC 9112 section 2.2).
                None if begin == end => self.expect_start(head)?,
                None => self.read_start(head, begin, end)?,
                Some(_) if begin == end => {
                    self.length = self.line;
                    return Ok(Some(self.length));
                }
                Some(_) => self.read_field(head, begin, end, limits.fields_max)?,
            }
        }
        self.searched = head.len();
        if head.len() >= limits.bytes_max { Err(Fault::TooLarge) } else { Ok(None) }
    }

    /// Something that is no HTTP at all is not waited for to end a line.
    fn expect_start(&self, head: &[u8]) -> Result<(), Fault> {
        let good = match (self.side, head.get(self.line)) {
            (_, None) | (Side::Requests, Some(b'\r' | b'\n')) => true,
            (Side::Requests, Some(&byte)) => line::is_token(byte),
            (Side::Responses, Some(&byte)) => byte == b'H',
        };
        if good { Ok(()) } else { Err(Fault::StartLine) }
    }

    fn read_start(&mut self, head: &[u8], begin: usize, end: usize) -> Result<(), Fault> {
        let line = &head[begin..end];
        if line.contains(&b'\r') {
            return Err(Fault::BareLineBreak);
        }
        self.start = Some(match self.side {
            Side::Requests => {
                let read = line::request_line(line)?;
                self.version = read.version;
                let (method_end, target_end) = (begin + read.method_end, begin + read.target_end);
                Start::Request { from: begin, method_end, target_end }
            }
            Side::Responses => {
                let read = line::status_line(line)?;
                self.version = read.version;
                Start::Response { from: begin, status: read.status }
            }
        });
        Ok(())
    }

    fn read_field(
        &mut self,
        head: &[u8],
        begin: usize,
        end: usize,
        fields_max: usize,
    ) -> Result<(), Fault> {
        let field = line::field(head, begin, end)?;
        let at = self.fields.len();
        if at == fields_max {
            return Err(Fault::TooLarge);
        }
        let found = &mut self.findings;
        match field.kind {
            Kind::Host => found.host.see(at),
            Kind::Authorization => found.authorization.see(at),
            Kind::Expect => found.expect.see(at),
            Kind::ContentLength => {
                found.framing = with_length(found.framing, field.value(head))?;
            }
            Kind::TransferEncoding => {
                found.framing = with_coding(found.framing, field.value(head), self.version)?;
            }
            Kind::Connection => found.read_options(field.value(head))?,
            Kind::Te => {
                found.takes_trailers |= options(field.value(head))
                    .any(|option| option.eq_ignore_ascii_case(b"trailers"));
            }
            Kind::Date => found.dated = true,
            Kind::Trailer | Kind::HopByHop | Kind::Other => {}
        }
        self.fields.push(field);
        Ok(())
    }

    /// The request that was read to the end of its head.
    #[must_use]
    pub fn request<'a>(&'a self, head: &'a [u8]) -> Option<RequestHead<'a>> {
        match self.start {
            Some(Start::Request { from, method_end, target_end }) if self.length > 0 => {
                Some(RequestHead { parser: self, bytes: head, from, method_end, target_end })
            }
            Some(Start::Request { .. } | Start::Response { .. }) | None => None,
        }
    }

    /// The answer that was read to the end of its head.
    #[must_use]
    pub fn response<'a>(&'a self, head: &'a [u8]) -> Option<ResponseHead<'a>> {
        match self.start {
            Some(Start::Response { from, status }) if self.length > 0 => {
                Some(ResponseHead { parser: self, bytes: head, from, status })
            }
            Some(Start::Request { .. } | Start::Response { .. }) | None => None,
        }
    }
}

/// A plain decimal number (RFC 9110 section 8.6), and the only framing there is.
fn with_length(framing: Framing, value: &[u8]) -> Result<Framing, Fault> {
    match framing {
        Framing::None => {}
        Framing::Length(_) => return Err(Fault::ContentLength),
        Framing::Chunked => return Err(Fault::BothFramings),
    }
    let number = value.iter().try_fold(0_u64, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    });
    match number {
        Some(length @ 0..=LENGTH_MAX) if !value.is_empty() => Ok(Framing::Length(length)),
        _ => Err(Fault::ContentLength),
    }
}

fn with_coding(framing: Framing, value: &[u8], version: Version) -> Result<Framing, Fault> {
    match framing {
        Framing::None => {}
        Framing::Length(_) => return Err(Fault::BothFramings),
        Framing::Chunked => return Err(Fault::TransferEncoding),
    }
    // Exactly this: a parser that does not know vertical tabs, say, sees another coding.
    if version == Version::Http11 && value.eq_ignore_ascii_case(b"chunked") {
        Ok(Framing::Chunked)
    } else {
        Err(Fault::TransferEncoding)
    }
}

/// The members of a comma-separated list (RFC 9110 section 5.6.1).
fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

impl Findings {
    fn read_options(&mut self, value: &[u8]) -> Result<(), Fault> {
        for option in options(value) {
            self.options += 1;
            if self.options > CONNECTION_OPTIONS_MAX {
                return Err(Fault::TooLarge);
            }
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if !option.is_empty() {
                self.nominates = true;
            }
        }
        Ok(())
    }

    /// Whether the connection goes on after the message (RFC 9112 section 9.3).
    const fn persists(&self, version: Version) -> bool {
        match version {
            Version::Http11 => !self.close,
            Version::Http10 => self.keep_alive && !self.close,
        }
    }
}

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    parser: &'a Parser,
    bytes: &'a [u8],
    from: usize,
    method_end: usize,
    target_end: usize,
}

impl<'a> RequestHead<'a> {
    /// The method: a token.
    #[must_use]
    pub fn method(&self) -> &'a [u8] {
        &self.bytes[self.from..self.method_end]
    }

    /// The target: visible ASCII without `#`, or bytes above it.
    #[must_use]
    pub fn target(&self) -> &'a [u8] {
        &self.bytes[self.method_end + 1..self.target_end]
    }

    /// The version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.parser.version
    }

    /// The fields, in their order.
    #[must_use]
    pub fn fields(&self) -> &'a [Field] {
        &self.parser.fields
    }

    /// The bytes that the offsets of fields count in.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How the body is framed.
    #[must_use]
    pub const fn framing(&self) -> Framing {
        self.parser.findings.framing
    }

    /// The value of `Host`, if there is exactly one.
    #[must_use]
    pub fn host(&self) -> Option<&'a [u8]> {
        match self.parser.findings.host {
            Seen::Once(at) => Some(self.value(at)),
            Seen::Absent | Seen::Repeated(_) => None,
        }
    }

    /// The value of the first `Authorization`, and whether there are more.
    #[must_use]
    pub fn authorization(&self) -> (Option<&'a [u8]>, bool) {
        match self.parser.findings.authorization {
            Seen::Absent => (None, false),
            Seen::Once(at) => (Some(self.value(at)), false),
            Seen::Repeated(at) => (Some(self.value(at)), true),
        }
    }

    /// What the client expects (RFC 9110 section 10.1.1): nothing, `100-continue`, or something
    /// else.
    #[must_use]
    pub fn expectation(&self) -> Expectation {
        match self.parser.findings.expect {
            Seen::Absent => Expectation::Nothing,
            Seen::Once(at) if self.value(at).eq_ignore_ascii_case(b"100-continue") => {
                Expectation::Continue
            }
            Seen::Once(_) | Seen::Repeated(_) => Expectation::Other,
        }
    }

    /// Whether the client wants the connection to go on.
    #[must_use]
    pub const fn persists(&self) -> bool {
        self.parser.findings.persists(self.parser.version)
    }

    /// Whether `Connection` names fields that must not pass.
    #[must_use]
    pub const fn nominates(&self) -> bool {
        self.parser.findings.nominates
    }

    /// Whether the client takes trailer fields (RFC 9110 section 10.1.4).
    #[must_use]
    pub const fn takes_trailers(&self) -> bool {
        self.parser.findings.takes_trailers
    }

    fn value(&self, at: usize) -> &'a [u8] {
        self.parser.fields[at].value(self.bytes)
    }
}

/// What a client expects before it sends its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// Nothing.
    Nothing,
    /// `100 Continue`.
    Continue,
    /// Something that nobody can meet.
    Other,
}

/// The head of an answer.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    parser: &'a Parser,
    bytes: &'a [u8],
    from: usize,
    status: u16,
}

impl<'a> ResponseHead<'a> {
    /// The status, 100 to 999.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Status and reason as they came: the status line after its version and a space.
    #[must_use]
    pub fn status_text(&self) -> &'a [u8] {
        let line = &self.bytes[self.from + "HTTP/1.1 ".len()..];
        &line[..memchr(b'\r', line).unwrap_or(line.len())]
    }

    /// The fields, in their order.
    #[must_use]
    pub fn fields(&self) -> &'a [Field] {
        &self.parser.fields
    }

    /// The bytes that the offsets of fields count in.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How the body is framed, if there is one.
    #[must_use]
    pub const fn framing(&self) -> Framing {
        self.parser.findings.framing
    }

    /// Whether the upstream keeps the connection.
    #[must_use]
    pub const fn persists(&self) -> bool {
        self.parser.findings.persists(self.parser.version)
    }

    /// Whether `Connection` names fields that must not pass.
    #[must_use]
    pub const fn nominates(&self) -> bool {
        self.parser.findings.nominates
    }

    /// Whether there is a `Date`.
    #[must_use]
    pub const fn is_dated(&self) -> bool {
        self.parser.findings.dated
    }
}

/// Whether a list of connection options names a field.
#[must_use]
pub fn nominated(fields: &[Field], head: &[u8], name: &[u8]) -> bool {
    let connections = fields.iter().filter(|field| field.kind == Kind::Connection);
    connections
        .flat_map(|field| options(field.value(head)))
        .any(|option| option.eq_ignore_ascii_case(name))
}
