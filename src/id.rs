//! Identities: 128 bits, ordered by the time they were made, written `tok_01jd...` in lower-case
//! Crockford base32 (the ULID layout: 48 bits of milliseconds, 80 random bits).

use crate::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const CHARS: usize = 26;

/// Why a text is not an identity of the kind asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an identity that begins with `{prefix}` and goes on with 26 characters of base32"
)]
pub struct NotAnId {
    prefix: &'static str,
}

fn layout(at: Timestamp, random: [u8; 10]) -> u128 {
    let millis = u128::try_from(at.millis()).unwrap_or(0) & 0xffff_ffff_ffff;
    let tail = random.iter().fold(0_u128, |tail, &byte| tail << 8 | u128::from(byte));
    millis << 80 | tail
}

fn made_at(bits: u128) -> Timestamp {
    Timestamp::from_millis(i64::try_from(bits >> 80).unwrap_or(i64::MAX))
}

fn write(f: &mut fmt::Formatter<'_>, prefix: &str, bits: u128) -> fmt::Result {
    let mut text = [0_u8; CHARS];
    for (place, char) in text.iter_mut().rev().enumerate() {
        *char = ALPHABET[(bits >> (5 * place) & 31) as usize];
    }
    f.write_str(prefix)?;
    f.write_str(std::str::from_utf8(&text).map_err(|_ascii| fmt::Error)?)
}

fn read(text: &str, prefix: &'static str) -> Result<u128, NotAnId> {
    let error = || NotAnId { prefix };
    let digits = text.strip_prefix(prefix).ok_or_else(error)?.as_bytes();
    if digits.len() != CHARS || digits[0] > b'7' {
        return Err(error());
    }
    digits.iter().try_fold(0_u128, |bits, char| {
        let value = ALPHABET.iter().position(|known| known == char).ok_or_else(error)?;
        Ok(bits << 5 | value as u128)
    })
}

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// What the text form begins with.
            pub const PREFIX: &'static str = $prefix;

            /// An identity made at `at` from 80 `random` bits.
            #[must_use]
            pub fn new(at: Timestamp, random: [u8; 10]) -> Self {
                Self(layout(at, random))
            }

            /// The identity with exactly these bits.
            #[must_use]
            pub const fn from_bits(bits: u128) -> Self {
                Self(bits)
            }

            /// When it was made.
            #[must_use]
            pub fn made_at(self) -> Timestamp {
                made_at(self.0)
            }

            /// The bits, in the order of the text form.
            #[must_use]
            pub const fn bits(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write(f, $prefix, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                read(text, $prefix).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_u128(self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                    text.parse().map_err(de::Error::custom)
                } else {
                    u128::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

identity! {
    /// An organization.
    OrgId, "org_"
}
identity! {
    /// A user, within one organization.
    UserId, "usr_"
}
identity! {
    /// An exemption from the enforcement of a policy, within one organization.
    ExemptionId, "exm_"
}
identity! {
    /// An API token. It names the token everywhere; the secret never does.
    TokenId, "tok_"
}
identity! {
    /// A notice: one e-mail or webhook call that is owed.
    NoticeId, "ntc_"
}
identity! {
    /// A webhook of an organization.
    WebhookId, "whk_"
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_round_trips(bits: u128) {
            let id = TokenId::from_bits(bits);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn order_of_text_is_order_of_time(a in 0_i64..1 << 47, b in 0_i64..1 << 47) {
            let [early, late] = [a.min(b), a.max(b) + 1].map(|millis| {
                UserId::new(Timestamp::from_millis(millis), [7; 10])
            });
            prop_assert!(early < late);
            prop_assert!(early.to_string() < late.to_string());
        }
    }

    #[test]
    fn what_is_no_identity_is_refused() {
        let good = OrgId::from_bits(5).to_string();
        for text in ["", "org_", "usr_00000000000000000000000005", "org_8zzzzzzzzzzzzzzzzzzzzzzzzz"]
        {
            assert!(text.parse::<OrgId>().is_err(), "{text}");
        }
        assert!(good.to_uppercase().parse::<OrgId>().is_err());
    }
}
