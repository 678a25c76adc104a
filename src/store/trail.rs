//! Trails: the events of an organization in the order of their numbers, each chained to the one
//! before it, with the trail's head and the checkpoint that it begins at.
//!
//! A row is the link before the event's own, its own, and the event's bytes: so a link is proved
//! over exactly the bytes that are stored, whatever version of a record they are.
//!
//! **Invariant.** Events are appended and forgotten from the oldest on, and in no other way; head
//! and checkpoint are written with them.

use super::codec;
use super::engine::{Failure, Order, Read, Span, Table, Write};
use crate::audit::chain::{
    Cause, Checkpoint, Fault, Head, Key, Link, Proof, Published, Row, Start, Verdict,
};
use crate::audit::{Draft, Event};
use crate::id::OrgId;
use crate::org::Revision;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::ops::{Bound, ControlFlow};

/// The events, or the notices, that one change forgets, at most.
pub const FORGOTTEN_AT_A_TIME_MAX: usize = 1_000;

const KEY_FINGERPRINT: &[u8] = b"audit_key";

/// What is stored of an event beside its links.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Body {
    pub(super) seq: u64,
    pub(super) revision: Revision,
    pub(super) said: Draft,
}

/// Where a trail begins and ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Its last event, if there ever was one.
    pub head: Option<Head>,
    /// What stands for its beginning, where that is gone or cannot be proved.
    pub checkpoint: Option<Checkpoint>,
}

/// The bytes of an event that its link is made of.
pub(super) fn body_of(event: &Event) -> Result<Vec<u8>, Failure> {
    let Event { seq, revision, said, .. } = event.clone();
    codec::encode(&Body { seq, revision, said })
}

/// Reads of trails.
pub(super) trait Trails: Read + Sized {
    /// Visits the events between two numbers, both exclusive.
    fn visit_events(
        &self,
        org: OrgId,
        (after, before): (u64, Option<u64>),
        order: Order,
        visit: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let end = before.unwrap_or(u64::MAX);
        if after >= end {
            return Ok(());
        }
        let (first, end) = (codec::event(org, after), codec::event(org, end));
        let span = (Bound::Excluded(&first[..]), Bound::Excluded(&end[..]));
        self.scan(Table::Events, span, order, &mut |_, value| {
            let (previous, link, body) = codec::read_chained(value)?;
            let Body { seq, revision, said } = codec::decode(body)?;
            Ok(visit(Event { seq, revision, said, previous, link }))
        })
    }

    fn ends(&self, org: OrgId) -> Result<Ends, Failure> {
        let key = codec::id(org.bits());
        Ok(Ends {
            head: self.get(Table::Heads, &key, codec::decode)?.transpose()?,
            checkpoint: self.get(Table::Checkpoints, &key, codec::decode)?.transpose()?,
        })
    }

    /// What tells the key of the trails from others; none in a store that has none yet.
    fn key_fingerprint(&self) -> Result<Option<Vec<u8>>, Failure> {
        self.get(Table::Meta, KEY_FINGERPRINT, <[u8]>::to_vec)
    }

    /// The trails that have a head.
    fn trails(&self) -> Result<Vec<OrgId>, Failure> {
        let mut orgs = Vec::new();
        self.scan(
            Table::Heads,
            (Bound::Unbounded, Bound::Unbounded),
            Order::Ascending,
            &mut |key, _| {
                orgs.push(OrgId::from_bits(codec::read_id(key)?));
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(orgs)
    }

    /// Proves a trail. What cannot even be read is told as what it is, not as a failure.
    fn prove(
        &self,
        key: &Key,
        org: OrgId,
        published: Option<Published>,
    ) -> Result<Verdict, Failure> {
        let chain = key.chain(org);
        let Ends { head, checkpoint } = self.ends(org)?;
        let is_ours = checkpoint.is_none_or(|checkpoint| chain.made(&checkpoint));
        let checkpoint = checkpoint.filter(|_| is_ours);
        let start = checkpoint.map_or(Start::After(0, chain.genesis()), |checkpoint| {
            Start::After(checkpoint.through.seq, checkpoint.through.link)
        });
        let unprovable = checkpoint.map_or(0, |checkpoint| match checkpoint.cause {
            Cause::Retention => 0,
            Cause::NewKey => checkpoint.through.seq,
        });
        let mut proof = Proof::new(&chain, start, published);
        let mut is_empty = true;
        self.scan(Table::Events, all_of(org).as_span(), Order::Ascending, &mut |key, value| {
            is_empty = false;
            let place = codec::read_event_seq(key)?;
            if place <= unprovable {
                proof.pass_over();
                return Ok(ControlFlow::Continue(()));
            }
            let (previous, link, event) = codec::read_chained(value).unwrap_or((
                Link::from_bytes([0; 32]),
                Link::from_bytes([0; 32]),
                &[],
            ));
            let seq = codec::read_first_number(event).unwrap_or(0);
            proof.see(Row { place, seq, previous, link, event });
            Ok(ControlFlow::Continue(()))
        })?;
        let mut verdict = proof.conclude(head);
        if head.is_none() && !(is_empty && checkpoint.is_none()) {
            verdict.faults.push(Fault::Head);
        }
        if !is_ours {
            verdict.faults.push(Fault::Checkpoint);
        }
        Ok(verdict)
    }
}

impl<R: Read> Trails for R {}

/// Writes to trails.
pub(super) trait WriteTrails: Write + Trails {
    fn append_event(&mut self, key: &Key, revision: Revision, said: Draft) -> Result<(), Failure> {
        let (org, at) = (said.org, said.at);
        let chain = key.chain(org);
        let (last, previous) = match self.ends(org)?.head {
            Some(head) => (head.seq, head.link),
            None => (0, chain.genesis()),
        };
        let seq = last + 1;
        let body = codec::encode(&Body { seq, revision, said })?;
        let link = chain.link(previous, &body);
        self.put(Table::Events, &codec::event(org, seq), &codec::chained(previous, link, &body))?;
        self.put_head(org, Head { seq, link, at })
    }

    /// Forgets the oldest events up to `through`, at most [`FORGOTTEN_AT_A_TIME_MAX`].
    fn forget_events(
        &mut self,
        key: &Key,
        org: OrgId,
        through: u64,
        at: Timestamp,
    ) -> Result<(), Failure> {
        let mut oldest: Vec<(u64, Link, Timestamp)> = Vec::new();
        let (first, end) = (codec::event(org, 0), codec::event(org, through));
        let span = (Bound::Included(&first[..]), Bound::Included(&end[..]));
        self.scan(Table::Events, span, Order::Ascending, &mut |key, value| {
            let (_, link, body) = codec::read_chained(value)?;
            // One that cannot be read goes as well: keeping it would keep all behind it.
            let said_at = codec::decode(body).map_or(Timestamp::EPOCH, |Body { said, .. }| said.at);
            oldest.push((codec::read_event_seq(key)?, link, said_at));
            Ok(if oldest.len() < FORGOTTEN_AT_A_TIME_MAX {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        })?;
        let Some(&(seq, link, said_at)) = oldest.last() else { return Ok(()) };
        for (seq, ..) in oldest {
            self.remove(Table::Events, &codec::event(org, seq))?;
        }
        // Where a key begins stays known as long as events are there that it cannot prove.
        let former = self.ends(org)?.checkpoint;
        if former.is_some_and(|former| former.through.seq >= seq) {
            return Ok(());
        }
        let through = Head { seq, link, at: said_at };
        self.put_checkpoint(org, &key.chain(org).checkpoint(through, at, Cause::Retention))
    }

    /// Takes a key for all trails. What was chained under another one stands behind a checkpoint
    /// from now on; as when that was made counts the time of the last event.
    fn adopt(&mut self, key: &Key) -> Result<(), Failure> {
        for org in self.trails()? {
            if let Some(head) = self.ends(org)?.head {
                let checkpoint = key.chain(org).checkpoint(head, head.at, Cause::NewKey);
                self.put_checkpoint(org, &checkpoint)?;
            }
        }
        self.put(Table::Meta, KEY_FINGERPRINT, &key.fingerprint())
    }

    fn put_head(&mut self, org: OrgId, head: Head) -> Result<(), Failure> {
        self.put(Table::Heads, &codec::id(org.bits()), &codec::encode(&head)?)
    }

    fn put_checkpoint(&mut self, org: OrgId, checkpoint: &Checkpoint) -> Result<(), Failure> {
        self.put(Table::Checkpoints, &codec::id(org.bits()), &codec::encode(checkpoint)?)
    }
}

impl<W: Write> WriteTrails for W {}

/// The smallest and the largest key of a trail.
struct Keys([u8; 24], [u8; 24]);

fn all_of(org: OrgId) -> Keys {
    Keys(codec::event(org, 0), codec::event(org, u64::MAX))
}

impl Keys {
    fn as_span(&self) -> Span<'_> {
        (Bound::Included(&self.0[..]), Bound::Included(&self.1[..]))
    }
}
