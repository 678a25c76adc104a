//! Token secrets: how they look, and the digest that stands for them everywhere else.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// What a secret begins with unless the configuration says otherwise.
pub const DEFAULT_PREFIX: &str = "bwt_";
/// Random base62 characters in a secret: 43 of them carry 256 bits.
pub const RANDOM_CHARS: usize = 43;
/// Base62 characters of the CRC-32 at the end of a secret.
pub const CHECKSUM_CHARS: usize = 6;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The SHA-256 of a secret: what the store keeps and the cache is keyed by.
///
/// A secret has 256 random bits, so a plain hash without salt or stretching gives nothing away.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a presented or freshly made secret.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// The digest with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight bytes as a number: uniformly distributed, so good for a hash table.
    #[must_use]
    pub fn prefix(&self) -> u64 {
        let mut prefix = [0; 8];
        prefix.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(prefix)
    }
}

impl fmt::Debug for Digest {
    /// Four bytes are enough to tell digests apart in a message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{:02x}{:02x}{:02x}{:02x}..", self.0[0], self.0[1], self.0[2], self.0[3])
    }
}

/// A secret in the clear. It exists from the moment it is made until it is shown, once; its memory
/// is wiped when it goes. It has no `Display`, and its `Debug` says nothing.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// A new secret: `prefix`, 43 random base62 characters, and their checksum.
    ///
    /// `random` fills a buffer with random bytes; bytes that would favour some characters are
    /// thrown away.
    pub fn generate<E>(
        prefix: &str,
        mut random: impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut text =
            Zeroizing::new(String::with_capacity(prefix.len() + RANDOM_CHARS + CHECKSUM_CHARS));
        text.push_str(prefix);
        let mut bytes = Zeroizing::new([0_u8; 64]);
        while text.len() < prefix.len() + RANDOM_CHARS {
            random(bytes.as_mut())?;
            // 248 is the largest multiple of 62 that fits a byte.
            let fair = bytes.iter().filter(|&&byte| byte < 248);
            for byte in fair.take(prefix.len() + RANDOM_CHARS - text.len()) {
                text.push(BASE62[usize::from(byte % 62)] as char);
            }
        }
        let sum = checksum(text.as_bytes());
        text.extend(sum.map(char::from));
        Ok(Self(text))
    }

    /// Shows the secret. Only what hands it to its owner may call this.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The secret's digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Length of the key that secrets are sealed under, in bytes.
pub const KEY_BYTES: usize = 32;

/// A key in the clear. Its memory is wiped when it goes.
pub type Key = Zeroizing<[u8; KEY_BYTES]>;

/// The key that 64 hexadecimal digits stand for.
#[must_use]
pub fn sealing_key(text: &str) -> Option<Key> {
    let digits = text.trim_ascii().as_bytes();
    if digits.len() != 2 * KEY_BYTES {
        return None;
    }
    let mut key = Key::default();
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let digit =
            |char: u8| char::from(char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(key)
}

/// Whether a text that begins with our prefix has the length and the checksum of a secret of ours.
///
/// Texts with another beginning are foreign tokens (imported by digest) and have no checksum to
/// hold against them: `true`.
#[must_use]
pub fn plausible(presented: &[u8], prefix: &str) -> bool {
    if !presented.starts_with(prefix.as_bytes()) {
        return true;
    }
    if presented.len() != prefix.len() + RANDOM_CHARS + CHECKSUM_CHARS {
        return false;
    }
    let (body, sum) = presented.split_at(prefix.len() + RANDOM_CHARS);
    sum == checksum(body)
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_CHARS] {
    let mut rest = crc32fast::hash(body);
    let mut sum = [b'0'; CHECKSUM_CHARS];
    for char in sum.iter_mut().rev() {
        *char = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn counting() -> impl FnMut(&mut [u8]) -> Result<(), Infallible> {
        let mut next = 0_u8;
        move |bytes| {
            for byte in bytes {
                next = next.wrapping_mul(17).wrapping_add(91);
                *byte = next;
            }
            Ok(())
        }
    }

    #[test]
    fn a_secret_has_the_documented_shape() {
        let Ok(secret) = Secret::generate(DEFAULT_PREFIX, counting());
        let text = secret.expose();
        assert_eq!(text.len(), 4 + 43 + 6);
        assert!(text.starts_with("bwt_"));
        assert!(text[4..].bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert!(plausible(text.as_bytes(), DEFAULT_PREFIX));
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(secret.digest(), Digest::of(text.as_bytes()));
    }

    #[test]
    fn every_single_changed_character_is_noticed() {
        let Ok(secret) = Secret::generate(DEFAULT_PREFIX, counting());
        for at in 4..secret.expose().len() {
            let mut changed = secret.expose().as_bytes().to_vec();
            changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
            assert!(!plausible(&changed, DEFAULT_PREFIX), "position {at}");
        }
        assert!(!plausible(&secret.expose().as_bytes()[..52], DEFAULT_PREFIX));
    }

    #[test]
    fn foreign_tokens_pass_as_they_are() {
        assert!(plausible(b"ghp_something", DEFAULT_PREFIX));
        assert!(!plausible(b"bwt_something", DEFAULT_PREFIX));
    }

    #[test]
    fn digest_is_sha_256() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.as_bytes()[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(format!("{digest:?}"), "sha256:ba7816bf..");
    }
}
