//! How keys and records lie in the tables.
//!
//! A value is one byte that tells its version, then the [postcard] form of the domain type. Keys
//! are big-endian numbers one after the other, so that their order as bytes is the order of what
//! they name.
//!
//! **Invariant.** What a version's bytes mean never changes: a test holds the bytes of every record
//! type. Whoever changes a stored type makes a new version, keeps the old shape here as a private
//! mirror, and decodes both.
//!
//! [postcard]: https://postcard.jamesmunns.com/wire-format

use super::engine::Failure;
use crate::id::{OrgId, TokenId, UserId};
use crate::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version of every record that is written today.
const RECORD_VERSION: u8 = 1;

/// The bytes of a record.
pub(super) fn encode(record: &impl Serialize) -> Result<Vec<u8>, Failure> {
    postcard::to_extend(record, vec![RECORD_VERSION])
        .map_err(|error| Failure::Broken(format!("a record has no binary form: {error}")))
}

/// The record of some bytes, all of them.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let broken = |why: &str| {
        let kind = std::any::type_name::<T>();
        Failure::Broken(format!("a stored {kind} cannot be read: {why}"))
    };
    match bytes.split_first() {
        Some((&RECORD_VERSION, body)) => match postcard::take_from_bytes(body) {
            Ok((record, [])) => Ok(record),
            Ok((_, _rest)) => Err(broken("it is longer than it should be")),
            Err(error) => Err(broken(&error.to_string())),
        },
        Some((version, _)) => Err(broken(&format!("its version is {version}"))),
        None => Err(broken("it is empty")),
    }
}

/// The key of an organization, a user or a token by itself.
pub(super) fn id(bits: u128) -> [u8; 16] {
    bits.to_be_bytes()
}

/// The identity in a key or value of 16 bytes.
pub(super) fn read_id(bytes: &[u8]) -> Result<u128, Failure> {
    <[u8; 16]>::try_from(bytes).map(u128::from_be_bytes).map_err(|_length| stray("an identity"))
}

/// The key of a user in its organization.
pub(super) fn user(org: OrgId, user: UserId) -> [u8; 32] {
    pair(org.bits(), user.bits())
}

/// The key of a token in its organization.
pub(super) fn token(org: OrgId, token: TokenId) -> [u8; 32] {
    pair(org.bits(), token.bits())
}

/// The key of a token among those of its owner.
pub(super) fn owned(owner: UserId, token: TokenId) -> [u8; 32] {
    pair(owner.bits(), token.bits())
}

/// The two identities in a key or value of 32 bytes.
pub(super) fn read_pair(bytes: &[u8]) -> Result<(u128, u128), Failure> {
    let (first, second) =
        bytes.split_at_checked(16).ok_or_else(|| stray("a pair of identities"))?;
    Ok((read_id(first)?, read_id(second)?))
}

/// The smallest and the largest key of 32 bytes that begin with an identity.
pub(super) fn all_of(bits: u128) -> ([u8; 32], [u8; 32]) {
    (pair(bits, 0), pair(bits, u128::MAX))
}

/// The key of an e-mail address in its organization; addresses that differ in case only have one.
pub(super) fn email(org: OrgId, email: &str) -> Vec<u8> {
    [&id(org.bits())[..], email.to_lowercase().as_bytes()].concat()
}

/// The key of an event in its organization's trail.
pub(super) fn event(org: OrgId, seq: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(&id(org.bits()));
    key[16..].copy_from_slice(&seq.to_be_bytes());
    key
}

/// The sequence number in an event's key.
pub(super) fn read_event_seq(key: &[u8]) -> Result<u64, Failure> {
    read_number(key.get(16..).unwrap_or_default())
}

/// The key of something that is numbered in its organization.
pub(super) fn numbered(org: OrgId, number: u64) -> [u8; 24] {
    event(org, number)
}

/// The key of a part of a validation run's flags.
pub(super) fn segment(org: OrgId, run: u64, number: u32) -> [u8; 28] {
    let mut key = [0; 28];
    key[..24].copy_from_slice(&numbered(org, run));
    key[24..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The run and the number of the part in such a key.
pub(super) fn read_segment(key: &[u8]) -> Result<(u64, u32), Failure> {
    let run = read_number(key.get(16..24).unwrap_or_default())?;
    let number = <[u8; 4]>::try_from(key.get(24..).unwrap_or_default());
    Ok((run, number.map(u32::from_be_bytes).map_err(|_length| stray("a part of flags"))?))
}

/// A number as a value.
pub(super) fn number(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// The number in a value.
pub(super) fn read_number(bytes: &[u8]) -> Result<u64, Failure> {
    <[u8; 8]>::try_from(bytes).map(u64::from_be_bytes).map_err(|_length| stray("a number"))
}

/// The key that orders creations by when they may be forgotten. Times before 1970 count as 1970.
pub(super) fn creation_end(end: Timestamp, key: &[u8; 32]) -> [u8; 40] {
    let mut ordered = [0; 40];
    ordered[..8].copy_from_slice(&u64::try_from(end.millis()).unwrap_or(0).to_be_bytes());
    ordered[8..].copy_from_slice(key);
    ordered
}

fn pair(first: u128, second: u128) -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(&id(first));
    key[16..].copy_from_slice(&id(second));
    key
}

fn stray(what: &str) -> Failure {
    Failure::Broken(format!("{what} in an index has the wrong length"))
}

#[cfg(test)]
mod tests;
