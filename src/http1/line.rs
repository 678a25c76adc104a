//! Lines of a head.

use super::Fault;

/// The versions that are spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunks, and connections end unless somebody says otherwise.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// What a field is to the message that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `Host`.
    Host,
    /// `Authorization`.
    Authorization,
    /// `Content-Length`.
    ContentLength,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Connection`.
    Connection,
    /// `Expect`.
    Expect,
    /// `TE`.
    Te,
    /// `Trailer`.
    Trailer,
    /// `Date`.
    Date,
    /// Another field of one connection only (RFC 9110 section 7.6.1), or of a proxy's own
    /// (section 11.7).
    HopByHop,
    /// Any other.
    Other,
}

/// Where a field line is in its head. All offsets count from the beginning of the head.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub(super) start: u32,
    pub(super) name_end: u32,
    pub(super) value_start: u32,
    pub(super) value_end: u32,
    pub(super) end: u32,
    /// What it is.
    pub kind: Kind,
}

impl Field {
    /// Its name, in the case that it came in.
    #[must_use]
    pub fn name<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        &head[self.start as usize..self.name_end as usize]
    }

    /// Its value, without the blanks around it.
    #[must_use]
    pub fn value<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        &head[self.value_start as usize..self.value_end as usize]
    }

    /// Where its line is, line break included.
    #[must_use]
    pub const fn line(&self) -> (usize, usize) {
        (self.start as usize, self.end as usize)
    }
}

/// Reads the field line at `start..end` of `head` (`end` is where its CR LF begins).
pub(super) fn field(head: &[u8], start: usize, end: usize) -> Result<Field, Fault> {
    let line = &head[start..end];
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Fault::Folding);
    }
    let Some(colon) = line.iter().position(|&byte| !is_token(byte)) else {
        return Err(Fault::FieldName);
    };
    if colon == 0 || line[colon] != b':' {
        return Err(Fault::FieldName);
    }
    let value = &line[colon + 1..];
    if !is_field_value(value) {
        return Err(Fault::FieldValue);
    }
    let lead = value.iter().take_while(|&&byte| is_blank(byte)).count();
    let trail = value[lead..].iter().rev().take_while(|&&byte| is_blank(byte)).count();
    // A head is far shorter than 4 GiB: `HeadLimits` says so.
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Ok(Field {
        start: offset(start),
        name_end: offset(start + colon),
        value_start: offset(start + colon + 1 + lead),
        value_end: offset(end - trail),
        end: offset(end + 2),
        kind: kind(&line[..colon]),
    })
}

fn kind(name: &[u8]) -> Kind {
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    match name.len() {
        2 if is(b"te") => Kind::Te,
        4 if is(b"host") => Kind::Host,
        4 if is(b"date") => Kind::Date,
        6 if is(b"expect") => Kind::Expect,
        7 if is(b"trailer") => Kind::Trailer,
        7 if is(b"upgrade") => Kind::HopByHop,
        10 if is(b"connection") => Kind::Connection,
        10 if is(b"keep-alive") => Kind::HopByHop,
        13 if is(b"authorization") => Kind::Authorization,
        14 if is(b"content-length") => Kind::ContentLength,
        16 if is(b"proxy-connection") => Kind::HopByHop,
        17 if is(b"transfer-encoding") => Kind::TransferEncoding,
        18 if is(b"proxy-authenticate") => Kind::HopByHop,
        19 if is(b"proxy-authorization") => Kind::HopByHop,
        _ => Kind::Other,
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// `tchar` (RFC 9110 section 5.6.2).
pub(super) const fn is_token(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut at = 0;
        while at < 256 {
            #[expect(clippy::cast_possible_truncation, reason = "below 256")]
            let byte = at as u8;
            table[at] = byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'!' | b'#'
                        | b'$'
                        | b'%'
                        | b'&'
                        | b'\''
                        | b'*'
                        | b'+'
                        | b'-'
                        | b'.'
                        | b'^'
                        | b'_'
                        | b'`'
                        | b'|'
                        | b'~'
                );
            at += 1;
        }
        table
    };
    TABLE[byte as usize]
}

/// Whether there is no control character but the tab. Looks at eight bytes in one step, and at each
/// by itself only where something is suspicious.
fn is_field_value(value: &[u8]) -> bool {
    let (eights, rest) = value.as_chunks::<8>();
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    let suspicious =
        eights.iter().fold(holds_control(last), |found, eight| found | holds_control(*eight));
    suspicious == 0 || !value.iter().any(|&byte| (byte < b' ' && byte != b'\t') || byte == 0x7f)
}

/// Not zero if any byte is below the space, or DEL.
const fn holds_control(bytes: [u8; 8]) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * EACH;
    let word = u64::from_le_bytes(bytes);
    let delete = word ^ (0x7f * EACH);
    let below = word.wrapping_sub(0x20 * EACH) & !word;
    let equal = delete.wrapping_sub(EACH) & !delete;
    (below | equal) & HIGH
}

/// Method, target and version of a request line.
pub(super) struct RequestLine {
    pub(super) method_end: usize,
    pub(super) target_end: usize,
    pub(super) version: Version,
}

/// Reads a request line (RFC 9112 section 3): one space between its three parts, and none within.
pub(super) fn request_line(line: &[u8]) -> Result<RequestLine, Fault> {
    let method_end = line.iter().position(|&byte| !is_token(byte)).ok_or(Fault::StartLine)?;
    let rest = &line[method_end..];
    if method_end == 0 || rest[0] != b' ' {
        return Err(Fault::StartLine);
    }
    // No target holds a space, a control character or a fragment.
    let target = rest[1..].iter().take_while(|&&byte| byte > b' ' && byte != 0x7f && byte != b'#');
    let length = target.count();
    let target_end = method_end + 1 + length;
    match (length, &line[target_end..]) {
        (1.., [b' ', version @ ..]) => {
            Ok(RequestLine { method_end, target_end, version: self::version(version)? })
        }
        _ => Err(Fault::StartLine),
    }
}

/// Version, status and the rest of a status line.
pub(super) struct StatusLine {
    pub(super) version: Version,
    pub(super) status: u16,
}

/// Reads a status line (RFC 9112 section 4). The space before an empty reason may be missing.
pub(super) fn status_line(line: &[u8]) -> Result<StatusLine, Fault> {
    let (version, rest) = line.split_at_checked(8).ok_or(Fault::StartLine)?;
    let version = self::version(version)?;
    let [b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', reason @ ..] = rest else {
        return Err(Fault::StartLine);
    };
    let spaced = reason.is_empty() || reason[0] == b' ';
    if !spaced || !is_field_value(reason) {
        return Err(Fault::StartLine);
    }
    let digit = |byte: u8| u16::from(byte - b'0');
    Ok(StatusLine { version, status: digit(*a) * 100 + digit(*b) * 10 + digit(*c) })
}

fn version(text: &[u8]) -> Result<Version, Fault> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(Fault::Version),
        _ => Err(Fault::StartLine),
    }
}
