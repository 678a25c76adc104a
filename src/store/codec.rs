//! How keys and records lie in the tables.
//!
//! A value is one byte that tells its version, then the [postcard] form of the domain type. Keys
//! are big-endian numbers one after the other, so that their order as bytes is the order of what
//! they name.
//!
//! Pages of the usage journal are the exception: after the byte of the version comes what these uses
//! needed, each once, and its length before it; then uses of 56 bytes each, in the order of their
//! tokens, so that one can be found without reading the others. What a use needed is a bit for each.
//!
//! **Invariant.** What a version's bytes mean never changes: a test holds the bytes of every record
//! type. Whoever changes a stored type makes a new version, keeps the old shape here as a private
//! mirror, and decodes both.
//!
//! [postcard]: https://postcard.jamesmunns.com/wire-format

use super::engine::Failure;
use super::figures::Grain;
use super::outbox::Row;
use crate::audit::chain::Link;
use crate::id::{ExemptionId, NoticeId, OrgId, TokenId, UserId, WebhookId};
use crate::notice::About;
use crate::time::Timestamp;
use crate::token::{NEEDS_PER_USE_MAX, Need, Reuse, Usage, Use};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// The version of every record that is written today.
const RECORD_VERSION: u8 = 1;

/// The bytes of a record.
pub(super) fn encode(record: &impl Serialize) -> Result<Vec<u8>, Failure> {
    postcard::to_extend(record, vec![RECORD_VERSION])
        .map_err(|error| Failure::Broken(format!("a record has no binary form: {error}")))
}

/// The record of some bytes, all of them.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    match decode_first(bytes)? {
        (record, []) => Ok(record),
        (_, _rest) => Err(broken::<T>("it is longer than it should be")),
    }
}

/// The first part of a record, and the bytes of the others.
pub(super) fn decode_first<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &[u8]), Failure> {
    match bytes.split_first() {
        Some((&RECORD_VERSION, body)) => {
            postcard::take_from_bytes(body).map_err(|error| broken::<T>(&error.to_string()))
        }
        Some((version, _)) => Err(broken::<T>(&format!("its version is {version}"))),
        None => Err(broken::<T>("it is empty")),
    }
}

fn broken<T>(why: &str) -> Failure {
    let kind = std::any::type_name::<T>();
    Failure::Broken(format!("a stored {kind} cannot be read: {why}"))
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

/// The key of an exemption in its organization.
pub(super) fn exemption(org: OrgId, exemption: ExemptionId) -> [u8; 32] {
    pair(org.bits(), exemption.bits())
}

/// The key of a token among those of its owner.
pub(super) fn owned(owner: UserId, token: TokenId) -> [u8; 32] {
    pair(owner.bits(), token.bits())
}

/// The key of a notice in its organization.
pub(super) fn notice(org: OrgId, notice: NoticeId) -> [u8; 32] {
    pair(org.bits(), notice.bits())
}

/// The key of a webhook in its organization.
pub(super) fn webhook(org: OrgId, webhook: WebhookId) -> [u8; 32] {
    pair(org.bits(), webhook.bits())
}

/// The key of what a user is told about the same.
pub(super) fn lane(about: &About, user: UserId) -> [u8; 32] {
    pair(about.bits(), user.bits())
}

/// The key that orders addressees, or notices, by when something is to happen with them.
pub(super) fn due(row: Row, at: Timestamp, whose: u128) -> [u8; 25] {
    let mut key = [0; 25];
    key[0] = row as u8;
    key[1..9].copy_from_slice(&millis(at));
    key[9..].copy_from_slice(&id(whose));
    key
}

/// The key of a notice in the queue of its addressee.
pub(super) fn queued(row: Row, to: u128, at: Timestamp, notice: NoticeId) -> [u8; 41] {
    let mut key = [0; 41];
    key[0] = row as u8;
    key[1..17].copy_from_slice(&id(to));
    key[17..25].copy_from_slice(&millis(at));
    key[25..].copy_from_slice(&id(notice.bits()));
    key
}

/// The instant and the notice in such a key.
pub(super) fn read_queued(key: &[u8]) -> Result<(Timestamp, NoticeId), Failure> {
    let at = read_millis(key.get(17..25).unwrap_or_default())?;
    Ok((at, NoticeId::from_bits(read_id(key.get(25..).unwrap_or_default())?)))
}

/// What stands beside a notice in a queue: its organization, and what it is told in order of.
pub(super) fn beside(org: OrgId, lane: Option<u128>) -> [u8; 32] {
    // No subject has this identity, as identities begin with the time of their making.
    pair(org.bits(), lane.unwrap_or(0))
}

/// The organization and the lane in such a value.
pub(super) fn read_beside(value: &[u8]) -> Result<(OrgId, Option<u128>), Failure> {
    let (org, lane) = read_pair(value)?;
    Ok((OrgId::from_bits(org), (lane != 0).then_some(lane)))
}

/// The key that orders tokens by when their owners are told of their ends.
pub(super) fn reminder(at: Timestamp, token: TokenId) -> [u8; 24] {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&millis(at));
    key[8..].copy_from_slice(&id(token.bits()));
    key
}

/// The instant and the token in such a key.
pub(super) fn read_reminder(key: &[u8]) -> Result<(Timestamp, TokenId), Failure> {
    let (at, token) = key.split_at_checked(8).ok_or_else(|| stray("a reminder"))?;
    Ok((read_millis(at)?, TokenId::from_bits(read_id(token)?)))
}

/// Whom or what a key of the index of dues names.
pub(super) fn read_due(key: &[u8]) -> Result<u128, Failure> {
    read_id(key.get(9..).unwrap_or_default())
}

/// The two identities in a key or value of 32 bytes.
pub(super) fn read_pair(bytes: &[u8]) -> Result<(u128, u128), Failure> {
    let (first, second) =
        bytes.split_at_checked(16).ok_or_else(|| stray("a pair of identities"))?;
    Ok((read_id(first)?, read_id(second)?))
}

/// Whose a digest is, and the card of the token that follows.
pub(super) fn read_indexed(row: &[u8]) -> Result<((OrgId, TokenId), &[u8]), Failure> {
    let (token, card) = row.split_at_checked(32).ok_or_else(|| stray("a token"))?;
    let (org, id) = read_pair(token)?;
    Ok(((OrgId::from_bits(org), TokenId::from_bits(id)), card))
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

/// The value of an event: the link before its own, its own, and its bytes.
pub(super) fn chained(previous: Link, link: Link, body: &[u8]) -> Vec<u8> {
    [previous.as_bytes(), &link.as_bytes()[..], body].concat()
}

/// The parts of an event's value.
pub(super) fn read_chained(value: &[u8]) -> Result<(Link, Link, &[u8]), Failure> {
    let (previous, rest) = value.split_first_chunk().ok_or_else(|| stray("an event"))?;
    let (link, body) = rest.split_first_chunk().ok_or_else(|| stray("an event"))?;
    Ok((Link::from_bytes(*previous), Link::from_bytes(*link), body))
}

/// The number that a record begins with, whatever follows it.
pub(super) fn read_first_number(bytes: &[u8]) -> Option<u64> {
    let (_version, body) = bytes.split_first()?;
    postcard::take_from_bytes(body).ok().map(|(number, _rest)| number)
}

/// The sequence number in an event's key.
pub(super) fn read_event_seq(key: &[u8]) -> Result<u64, Failure> {
    read_number(key.get(16..).unwrap_or_default())
}

/// The key of something that is numbered in its organization.
pub(super) fn numbered(org: OrgId, number: u64) -> [u8; 24] {
    event(org, number)
}

/// The key of the verdicts about an organization's tokens in one minute or on one day.
pub(super) fn verdicts(org: OrgId, grain: Grain, number: u64) -> [u8; 25] {
    let mut key = [0; 25];
    key[..16].copy_from_slice(&id(org.bits()));
    key[16] = grain as u8;
    key[17..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The number of the minute or day in such a key.
pub(super) fn read_verdicts_number(key: &[u8]) -> Result<u64, Failure> {
    read_number(key.get(17..).unwrap_or_default())
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

/// The key that orders creations by when they may be forgotten.
pub(super) fn creation_end(end: Timestamp, key: &[u8; 32]) -> [u8; 40] {
    let mut ordered = [0; 40];
    ordered[..8].copy_from_slice(&millis(end));
    ordered[8..].copy_from_slice(key);
    ordered
}

/// The key of a page of the usage journal.
pub(super) fn journal(run: u64, first: TokenId) -> [u8; 24] {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&number(run));
    key[8..].copy_from_slice(&id(first.bits()));
    key
}

/// The run and the first token in the key of a page.
pub(super) fn read_journal(key: &[u8]) -> Result<(u64, TokenId), Failure> {
    let (run, first) = key.split_at_checked(8).ok_or_else(|| stray("a page of the journal"))?;
    Ok((read_number(run)?, TokenId::from_bits(read_id(first)?)))
}

/// The two halves of a token; milliseconds of the last use, and count; the same of the secrets that
/// it had before; what was needed.
type UseBytes = [[u8; 8]; 7];
/// Stands where there is no last use.
const NEVER: i64 = i64::MIN;
/// What the uses on a page needed, at most: a bit for each.
const NEEDS_PER_PAGE_MAX: usize = 64;
const _: () = assert!(NEEDS_PER_USE_MAX <= NEEDS_PER_PAGE_MAX, "any use fits a page");

/// How many of these uses fit one page, of at most `uses_max`.
pub(super) fn fitting(uses: &[Use], uses_max: usize) -> usize {
    let mut needs: Vec<&Arc<Need>> = Vec::new();
    for (number, used) in uses.iter().take(uses_max).enumerate() {
        for need in &used.needs {
            if !needs.contains(&need) {
                needs.push(need);
            }
        }
        if needs.len() > NEEDS_PER_PAGE_MAX {
            return number;
        }
    }
    uses.len().min(uses_max)
}

/// The bytes of a page of the usage journal. No more uses than are [`fitting`].
pub(super) fn encode_uses(uses: &[Use]) -> Result<Vec<u8>, Failure> {
    let mut needs: Vec<&Need> = Vec::new();
    let mut rows = Vec::with_capacity(size_of::<UseBytes>() * uses.len());
    for Use { token, usage, needs: met } in uses {
        let mut bits = 0_u64;
        for need in met {
            let known = needs.iter().position(|known| *known == &**need);
            let bit = known.unwrap_or_else(|| {
                needs.push(need);
                needs.len() - 1
            });
            bits |= 1 << bit;
        }
        rows.extend(id(token.bits()));
        rows.extend(usage.last_used_at.map_or(NEVER, Timestamp::millis).to_be_bytes());
        rows.extend(number(usage.use_count));
        rows.extend(usage.reuse.last_at.map_or(NEVER, Timestamp::millis).to_be_bytes());
        rows.extend(number(usage.reuse.count));
        rows.extend(number(bits));
    }
    let needs = postcard::to_stdvec(&needs)
        .map_err(|error| Failure::Broken(format!("needs have no binary form: {error}")))?;
    let length = u32::try_from(needs.len())
        .map_err(|_size| Failure::Broken("needs are too long for a page".to_owned()))?;
    Ok([&[RECORD_VERSION][..], &length.to_be_bytes(), &needs, &rows].concat())
}

/// The uses on a page of the usage journal.
pub(super) fn uses(page: &[u8]) -> Result<Uses<'_>, Failure> {
    match page.split_first() {
        Some((&RECORD_VERSION, body)) => {
            let parts = body.split_first_chunk().and_then(|(length, rest)| {
                rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
            });
            let (needs, rows) = parts.ok_or_else(wrong_length)?;
            let (numbers, odd_bytes) = rows.as_chunks();
            let (rows, odd_numbers) = numbers.as_chunks();
            if odd_bytes.is_empty() && odd_numbers.is_empty() {
                Ok(Uses { needs, rows })
            } else {
                Err(wrong_length())
            }
        }
        Some((version, _)) => {
            Err(Failure::Broken(format!("the version of a page of the journal is {version}")))
        }
        None => Err(Failure::Broken("a page of the journal is empty".to_owned())),
    }
}

fn wrong_length() -> Failure {
    Failure::Broken("a page of the journal has the wrong length".to_owned())
}

/// Uses on a page, in the order of their tokens.
#[derive(Clone, Copy)]
pub(super) struct Uses<'a> {
    needs: &'a [u8],
    rows: &'a [UseBytes],
}

/// What a use on a page needed.
#[derive(Clone, Copy)]
pub(super) struct Met<'a> {
    needs: &'a [u8],
    bits: u64,
}

impl Met<'_> {
    pub(super) fn each(self, see: impl FnMut(&Arc<Need>)) -> Result<(), Failure> {
        if self.bits != 0 {
            of_bits(&read_needs(self.needs)?, self.bits).for_each(see);
        }
        Ok(())
    }
}

impl<'a> Uses<'a> {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn first(&self) -> Option<TokenId> {
        self.rows.first().map(|row| read_use(row).0)
    }

    pub(super) fn last(&self) -> Option<TokenId> {
        self.rows.last().map(|row| read_use(row).0)
    }

    pub(super) fn all(&self) -> Result<Vec<Use>, Failure> {
        let known = read_needs(self.needs)?;
        let one = |row: &UseBytes| {
            let (token, usage, bits) = read_use(row);
            Use { token, usage, needs: of_bits(&known, bits).cloned().collect() }
        };
        Ok(self.rows.iter().map(one).collect())
    }

    /// The use of one token, if it is there, and what it needed.
    pub(super) fn find(&self, token: TokenId) -> Option<(Usage, Met<'a>)> {
        let place = self.rows.binary_search_by_key(&token, |row| read_use(row).0).ok()?;
        let (_, usage, bits) = read_use(&self.rows[place]);
        Some((usage, Met { needs: self.needs, bits }))
    }
}

fn read_needs(bytes: &[u8]) -> Result<Vec<Arc<Need>>, Failure> {
    let needs: Vec<Need> = postcard::from_bytes(bytes)
        .map_err(|error| Failure::Broken(format!("what uses needed cannot be read: {error}")))?;
    Ok(needs.into_iter().map(Arc::new).collect())
}

fn of_bits(known: &[Arc<Need>], bits: u64) -> impl Iterator<Item = &Arc<Need>> {
    let bits = (0..u64::BITS).map(move |bit| bits >> bit & 1 == 1);
    known.iter().zip(bits).filter(|(_, is_set)| *is_set).map(|(need, _)| need)
}

fn read_use(
    [high, low, last, count, last_reuse, reuses, bits]: &UseBytes,
) -> (TokenId, Usage, u64) {
    let half = |bytes: &[u8; 8]| u128::from(u64::from_be_bytes(*bytes));
    let time = |bytes: &[u8; 8]| {
        let millis = Some(i64::from_be_bytes(*bytes)).filter(|millis| *millis != NEVER);
        millis.map(Timestamp::from_millis)
    };
    let usage = Usage {
        last_used_at: time(last),
        use_count: u64::from_be_bytes(*count),
        reuse: Reuse { last_at: time(last_reuse), count: u64::from_be_bytes(*reuses) },
    };
    (TokenId::from_bits(half(high) << 64 | half(low)), usage, u64::from_be_bytes(*bits))
}

/// A time in a key, in the order of time. Times before 1970 count as 1970.
fn millis(at: Timestamp) -> [u8; 8] {
    u64::try_from(at.millis()).unwrap_or(0).to_be_bytes()
}

fn read_millis(bytes: &[u8]) -> Result<Timestamp, Failure> {
    let millis = i64::try_from(read_number(bytes)?).map_err(|_size| stray("a time"))?;
    Ok(Timestamp::from_millis(millis))
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
