//! The chain of a trail: what makes it show when an event was taken out, changed, put in or moved.
//!
//! Every event of an organization is written with a *link*: the HMAC-SHA-256 of the link before it
//! and of the event's bytes, under a key of the organization's own that is derived from the one key
//! of the store. Who has no key can make no link; and who takes events off the end of a trail has to
//! know that its head was not told to anybody ([`Head`]).
//!
//! **Invariant.** What a key signs begins with what it is (the first event, an event, a checkpoint),
//! so that none of these can be passed off as another, nor as one of another organization.

mod proof;

pub use proof::{Fault, Proof, Row, Start, Verdict};

use crate::id::OrgId;
use crate::time::Timestamp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// Fewest characters of a key's text: as many hexadecimal digits are 128 bits.
pub const KEY_CHARS_MIN: usize = 32;

const KEY_DOMAIN: &[u8] = b"bearward audit key 1";
const FINGERPRINT_DOMAIN: &[u8] = b"bearward audit key fingerprint 1";
const TRAIL_DOMAIN: &[u8] = b"bearward audit trail 1";

/// What a signed message begins with.
#[derive(Clone, Copy)]
enum Says {
    Genesis = 0,
    Event = 1,
    Checkpoint = 2,
}

/// The key that trails are chained under. Its memory is wiped when it goes, and its `Debug` says
/// nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Zeroizing<[u8; 32]>);

/// The text of a key is too short to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is too short for a key: expected at least {KEY_CHARS_MIN} characters, as of `openssl rand -hex 32`"
)]
pub struct TooShort;

impl Key {
    /// The key that a text stands for.
    pub fn of(text: &str) -> Result<Self, TooShort> {
        if text.chars().count() < KEY_CHARS_MIN {
            return Err(TooShort);
        }
        let mut hash = Sha256::new();
        hash.update(KEY_DOMAIN);
        hash.update(text.as_bytes());
        Ok(Self(Zeroizing::new(hash.finalize().into())))
    }

    /// What tells keys apart without giving one away.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        mac(&self.0, &[FINGERPRINT_DOMAIN])
    }

    /// The chain of an organization's trail.
    #[must_use]
    pub fn chain(&self, org: OrgId) -> Chain {
        Chain(Zeroizing::new(mac(&self.0, &[TRAIL_DOMAIN, &org.bits().to_be_bytes()])))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// What makes and checks the links of one organization's trail.
pub struct Chain(Zeroizing<[u8; 32]>);

impl Chain {
    /// What stands before the first event.
    #[must_use]
    pub fn genesis(&self) -> Link {
        self.sign(Says::Genesis, &[])
    }

    /// The link of an event of these bytes after `previous`.
    #[must_use]
    pub fn link(&self, previous: Link, event: &[u8]) -> Link {
        self.sign(Says::Event, &[&previous.0, event])
    }

    /// The checkpoint that stands for the events up to `through`, and for their last link.
    #[must_use]
    pub fn checkpoint(&self, through: Head, made_at: Timestamp, cause: Cause) -> Checkpoint {
        let seal = self.seal(&through, made_at, cause);
        Checkpoint { through, made_at, cause, seal }
    }

    /// Whether a checkpoint was made under this key.
    #[must_use]
    pub fn made(&self, checkpoint: &Checkpoint) -> bool {
        let Checkpoint { through, made_at, cause, seal } = checkpoint;
        self.seal(through, *made_at, *cause) == *seal
    }

    fn seal(&self, through: &Head, made_at: Timestamp, cause: Cause) -> Link {
        self.sign(
            Says::Checkpoint,
            &[
                &through.seq.to_be_bytes(),
                &through.link.0,
                &through.at.millis().to_be_bytes(),
                &made_at.millis().to_be_bytes(),
                &[cause as u8],
            ],
        )
    }

    /// Every part but the last is of a length that never varies, so no two messages are alike.
    fn sign(&self, what: Says, parts: &[&[u8]]) -> Link {
        Link(mac(&self.0, &[&[&[what as u8][..]], parts].concat()))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chain(..)")
    }
}

fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // As long as a block at most, so the key is taken as it is, and any length is good anyway.
    let mut block = Zeroizing::new([0; 64]);
    block[..32].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The link of an event: 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link([u8; 32]);

impl Link {
    /// How many bytes it has.
    pub const BYTES: usize = 32;

    /// The link of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits")]
pub struct NotALink;

impl FromStr for Link {
    type Err = NotALink;

    fn from_str(text: &str) -> Result<Self, NotALink> {
        let digits = text.as_bytes();
        if digits.len() != 2 * Self::BYTES || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(NotALink);
        }
        let mut bytes = [0; Self::BYTES];
        for (byte, at) in bytes.iter_mut().zip((0..text.len()).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_checked| NotALink)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Link {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Link {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            text.parse().map_err(de::Error::custom)
        } else {
            <[u8; Self::BYTES]>::deserialize(deserializer).map(Self)
        }
    }
}

/// The end of a trail. Who keeps it elsewhere sees when events before it are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The number of the last event; 0 where there is none.
    pub seq: u64,
    /// Its link.
    pub link: Link,
    /// When it was.
    pub at: Timestamp,
}

/// A head as it was published: `SEQ:HASH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The number of the event.
    pub seq: u64,
    /// Its link.
    pub link: Link,
}

impl FromStr for Published {
    type Err = NotAHead;

    fn from_str(text: &str) -> Result<Self, NotAHead> {
        let (seq, link) = text.split_once(':').ok_or(NotAHead)?;
        let seq = seq.parse().map_err(|_unspecific| NotAHead)?;
        let link = link.parse().map_err(|_unspecific| NotAHead)?;
        Ok(Self { seq, link })
    }
}

/// Why a text is no published head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected the head as `bearward audit head` printed it: a number, a colon, 64 hexadecimal digits"
)]
pub struct NotAHead;

/// Why a checkpoint was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The events up to it were older than they are kept.
    Retention = 0,
    /// The key is another from here on: the events up to it cannot be proved any more.
    NewKey = 1,
}

/// Stands, signed, for the beginning of a trail that cannot be proved event by event any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The last of the events that it stands for.
    pub through: Head,
    /// When it was made.
    pub made_at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// What the key says to all of it.
    pub seal: Link,
}

#[cfg(test)]
mod tests;
