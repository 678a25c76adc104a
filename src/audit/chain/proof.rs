//! The proof of a trail: every event against its link, every link against the one before it.
//!
//! Each event is stored with the link before its own, so it is genuine, or not, by itself. One that
//! is not does not cast doubt on those behind it; and what is wrong can be named.

use super::{Chain, Head, Link, Published};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;

/// An event in its place.
#[derive(Clone, Copy, Debug)]
pub struct Row<'r> {
    /// The number of the place that it was found in.
    pub place: u64,
    /// The number that it has by itself.
    pub seq: u64,
    /// The link before its own.
    pub previous: Link,
    /// Its link.
    pub link: Link,
    /// Its bytes, the number included.
    pub event: &'r [u8],
}

/// Where a trail begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// After the event of this number, which has this link: 0 for a whole trail.
    After(u64, Link),
    /// Wherever its first event says: for a part of a trail that was exported.
    Anywhere,
}

/// What is wrong with a trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// These events are gone.
    Removed(RangeInclusive<u64>),
    /// This event is not what was written.
    Changed(u64),
    /// What stands in this place was never written there.
    Inserted(u64),
    /// These events stand in other places; the first one in this.
    Moved(RangeInclusive<u64>, u64),
    /// This event is genuine, and does not follow the one before it.
    Unlinked(u64),
    /// The trail ends with the first, and the store says that it went on to the second.
    Cut(u64, u64),
    /// The store's own record of the trail's end is not the trail's end.
    Head,
    /// The checkpoint was not made under this key.
    Checkpoint,
    /// The head that was published is not in the trail, which ends with this event.
    Unpublished(u64, u64),
    /// The event that was published is another now.
    Rewritten(u64),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = |range: &RangeInclusive<u64>| match (range.start(), range.end()) {
            (one, other) if one == other => format!("event {one} is"),
            (first, last) => format!("events {first} to {last} are"),
        };
        match self {
            Self::Removed(range) => write!(f, "{} missing: removed", several(range)),
            Self::Changed(seq) => write!(f, "event {seq} is not what was written: changed"),
            Self::Inserted(place) => {
                write!(f, "what stands as event {place} was never written there: inserted")
            }
            Self::Moved(range, place) => {
                write!(f, "{} out of place, from {place} on: reordered", several(range))
            }
            Self::Unlinked(seq) => write!(f, "event {seq} does not follow the one before it"),
            Self::Cut(last, head) => {
                write!(f, "the trail ends with event {last} and went on to {head}: cut off")
            }
            Self::Head => f.write_str("the record of the trail's end does not fit the trail"),
            Self::Checkpoint => f.write_str("the checkpoint was not made under this key"),
            Self::Unpublished(last, head) => write!(
                f,
                "the trail ends with event {last}, before the published head {head}: cut off"
            ),
            Self::Rewritten(seq) => {
                write!(f, "event {seq} is not the one that was published: rewritten")
            }
        }
    }
}

/// What a proof came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How many events were proved.
    pub proved: u64,
    /// How many stand before the checkpoint of another key, and cannot be.
    pub unprovable: u64,
    /// The number of the first event that was looked at, and of the last one that is genuine.
    pub first: Option<u64>,
    /// The last event that is genuine.
    pub last: Option<(u64, Link)>,
    /// Whether the published head is older than the trail's beginning, so that it proves nothing.
    pub outlived: bool,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

/// A proof under way. Rows are shown to it in the order of their places, or, for lines that were
/// exported, in the order of the lines.
pub struct Proof<'c> {
    chain: &'c Chain,
    published: Option<Published>,
    is_found: bool,
    before: Option<(u64, Link)>,
    next: Option<u64>,
    gaps: Vec<RangeInclusive<u64>>,
    false_places: BTreeSet<u64>,
    /// Genuine events that stand elsewhere, with their places.
    strays: BTreeMap<u64, u64>,
    /// Genuine events that came later than they should.
    late: BTreeSet<u64>,
    copies: BTreeSet<u64>,
    verdict: Verdict,
}

impl<'c> Proof<'c> {
    /// A proof that has seen nothing yet.
    #[must_use]
    pub fn new(chain: &'c Chain, start: Start, published: Option<Published>) -> Self {
        let mut proof = Self {
            chain,
            published,
            is_found: false,
            before: None,
            next: None,
            gaps: Vec::new(),
            false_places: BTreeSet::new(),
            strays: BTreeMap::new(),
            late: BTreeSet::new(),
            copies: BTreeSet::new(),
            verdict: Verdict::default(),
        };
        if let Start::After(seq, link) = start {
            proof.before = Some((seq, link));
            proof.next = Some(seq + 1);
            proof.look_for_published(seq, link);
            proof.verdict.outlived = published.is_some_and(|published| published.seq < seq);
        }
        proof
    }

    /// Looks at an event.
    pub fn see(&mut self, row: Row<'_>) {
        let is_genuine = self.chain.link(row.previous, row.event) == row.link;
        let next = self.next.unwrap_or(row.place);
        self.verdict.first.get_or_insert(row.place);
        if row.place < next {
            // Only lines come again or too late; a store has one row in a place.
            let held = if is_genuine { &mut self.late } else { &mut self.false_places };
            let is_new = held.insert(row.place);
            if !is_new || !self.is_in_gap(row.place) {
                self.copies.insert(row.place);
            } else if is_genuine {
                self.proved(row);
            }
            return;
        }
        if row.place > next {
            self.gaps.push(next..=row.place - 1);
        }
        self.next = Some(row.place.saturating_add(1));
        if !is_genuine {
            self.false_places.insert(row.place);
        } else if row.seq != row.place {
            if self.strays.insert(row.seq, row.place).is_some() {
                self.copies.insert(row.place);
            }
        } else {
            self.follow(row);
        }
        if is_genuine {
            self.proved(row);
        }
    }

    /// Counts an event that is older than the key.
    pub fn pass_over(&mut self) {
        self.verdict.unprovable += 1;
    }

    /// Ends the proof. `head` is what the store says of the trail's end; an export says nothing.
    #[must_use]
    pub fn conclude(mut self, head: Option<Head>) -> Verdict {
        let mut faults = std::mem::take(&mut self.verdict.faults);
        faults.extend(self.disturbed(head));
        let last = self.verdict.last.or(self.before);
        if let Some(head) = head {
            match last {
                Some((last, _)) if last < head.seq => faults.push(Fault::Cut(last, head.seq)),
                Some(last) if last == (head.seq, head.link) => {}
                Some(_) | None => faults.push(Fault::Head),
            }
        }
        if let Some(published) = self.published
            && !self.is_found
            && !self.verdict.outlived
        {
            let last = last.map_or(0, |(last, _)| last);
            if last < published.seq {
                faults.push(Fault::Unpublished(last, published.seq));
            } else {
                faults.push(Fault::Rewritten(published.seq));
            }
        }
        self.verdict.faults = faults;
        self.verdict
    }

    fn proved(&mut self, row: Row<'_>) {
        self.verdict.proved += 1;
        self.look_for_published(row.seq, row.link);
        if self.verdict.last.is_none_or(|(last, _)| last < row.seq) {
            self.verdict.last = Some((row.seq, row.link));
        }
    }

    fn follow(&mut self, row: Row<'_>) {
        if let Some((seq, link)) = self.before
            && seq + 1 == row.seq
            && link != row.previous
        {
            self.verdict.faults.push(Fault::Unlinked(row.seq));
        }
        self.before = Some((row.seq, row.link));
    }

    fn look_for_published(&mut self, seq: u64, link: Link) {
        let published = Published { seq, link };
        self.is_found |= self.published == Some(published);
    }

    fn is_in_gap(&self, place: u64) -> bool {
        self.gaps.iter().any(|gap| gap.contains(&place))
    }

    /// What is wrong with the places of the events.
    fn disturbed(&self, head: Option<Head>) -> Vec<Fault> {
        let places: BTreeMap<u64, u64> =
            self.strays.iter().map(|(&seq, &place)| (place, seq)).collect();
        // Whether a place has an event, and it is the one that belongs there.
        let is_sound = |place: u64| {
            self.verdict.first.is_some_and(|first| first <= place)
                && self.next.is_some_and(|next| place < next)
                && !places.contains_key(&place)
                && !self.false_places.contains(&place)
                && !self.is_in_gap(place)
        };
        let is_elsewhere = |seq: u64| self.strays.contains_key(&seq) || self.late.contains(&seq);
        let is_beyond = |place: u64| head.is_some_and(|head| head.seq < place);

        let mut removed = Vec::new();
        for gap in &self.gaps {
            let mut from = *gap.start();
            let elsewhere = self.strays.range(gap.clone()).map(|(&seq, _)| seq);
            let elsewhere: BTreeSet<u64> =
                elsewhere.chain(self.late.range(gap.clone()).copied()).collect();
            for seq in elsewhere {
                if from < seq {
                    removed.push(from..=seq - 1);
                }
                from = seq + 1;
            }
            if from <= *gap.end() {
                removed.push(from..=*gap.end());
            }
        }
        let replaced = places.keys().filter(|&&place| !is_elsewhere(place) && !is_beyond(place));
        removed.extend(replaced.map(|&place| place..=place));

        let mut inserted = self.copies.clone();
        let mut changed = Vec::new();
        for &place in &self.false_places {
            if is_elsewhere(place) || is_beyond(place) {
                inserted.insert(place);
            } else if !inserted.contains(&place) {
                changed.push(place);
            }
        }
        // An event that stands in its own place as well was copied.
        let copied = self.strays.iter().filter(|(seq, _)| is_sound(**seq));
        inserted.extend(copied.map(|(_, &place)| place));

        let moved = self.strays.iter().filter(|(seq, _)| !is_sound(**seq));
        let late = self.late.iter().filter(|seq| !self.copies.contains(seq));
        let moved: BTreeMap<u64, u64> =
            moved.map(|(&seq, &place)| (seq, place)).chain(late.map(|&seq| (seq, seq))).collect();

        let removed = removed.into_iter().map(Fault::Removed);
        let changed = changed.into_iter().map(Fault::Changed);
        let inserted = inserted.into_iter().map(Fault::Inserted);
        removed.chain(changed).chain(inserted).chain(runs(moved)).collect()
    }
}

impl fmt::Debug for Proof<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof").field("verdict", &self.verdict).finish_non_exhaustive()
    }
}

/// Events that were moved together, as one.
fn runs(moved: BTreeMap<u64, u64>) -> Vec<Fault> {
    let mut runs: Vec<(RangeInclusive<u64>, u64)> = Vec::new();
    for (seq, place) in moved {
        match runs.last_mut() {
            Some((run, first)) if run.end() + 1 == seq && *first + (seq - run.start()) == place => {
                *run = *run.start()..=seq;
            }
            Some(_) | None => runs.push((seq..=seq, place)),
        }
    }
    runs.into_iter().map(|(run, place)| Fault::Moved(run, place)).collect()
}
