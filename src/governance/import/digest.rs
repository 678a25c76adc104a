//! Digests as others write them.

use crate::secret::Digest;

const BYTES: usize = 32;

/// Reads a SHA-256 from 64 hexadecimal digits or from base64 (either alphabet, padded or not), with
/// or without `sha256:` before it.
pub(super) fn read(text: &str) -> Option<Digest> {
    let text = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
    let bytes = if text.len() == 2 * BYTES { hex(text) } else { base64(text) };
    bytes.map(Digest::from_bytes)
}

fn hex(text: &[u8]) -> Option<[u8; BYTES]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// 32 bytes are 43 characters, of which the last has two bits that must be zero (RFC 4648 section
/// 3.5), and one sign of padding.
fn base64(text: &[u8]) -> Option<[u8; BYTES]> {
    let text = text.strip_suffix(b"=").unwrap_or(text);
    if text.len() != 43 {
        return None;
    }
    let mut bytes = [0; BYTES];
    let (mut bits, mut count, mut at) = (0_u32, 0, 0);
    for &char in text {
        let value = match char {
            b'A'..=b'Z' => char - b'A',
            b'a'..=b'z' => char - b'a' + 26,
            b'0'..=b'9' => char - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes[at] = u8::try_from(bits >> count & 0xff).ok()?;
            at += 1;
        }
    }
    (bits & ((1 << count) - 1) == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const BASE64: &str = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0";

    #[test]
    fn every_common_form_is_read() {
        let digest = Some(Digest::of(b"abc"));
        for text in [
            HEX.to_owned(),
            HEX.to_uppercase(),
            format!("sha256:{HEX}"),
            BASE64.to_owned(),
            format!("{BASE64}="),
            BASE64.replace('+', "-").replace('/', "_"),
        ] {
            assert_eq!(read(&text), digest, "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        let almost = [
            String::new(),
            HEX[1..].to_owned(),
            HEX.replace('b', "g"),
            BASE64[1..].to_owned(),
            format!("{BASE64}=="),
            // Bits behind the last byte.
            BASE64.replace("Fa0", "Fa1"),
            BASE64.replace('u', "*"),
            "é".repeat(32),
        ];
        for text in almost {
            assert_eq!(read(&text), None, "{text}");
        }
    }
}
