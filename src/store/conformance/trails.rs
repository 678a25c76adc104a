//! Trails: chained in the transaction that writes them, forgotten from the oldest on.

use super::Bed;
use super::fixture::*;
use crate::audit::chain::{Cause, Fault, Published};
use crate::change::{Change, Require, Write};
use std::ops::ControlFlow;

fn tell(bed: &Bed, org: crate::id::OrgId, names: &[&str]) {
    let events = names.iter().map(|name| said(org, name)).collect();
    bed.store.tell(events).wait().unwrap();
}

fn proved(bed: &Bed, org: crate::id::OrgId) -> u64 {
    let verdict = bed.store.prove(org, None).unwrap();
    assert_eq!(verdict.faults, []);
    verdict.proved
}

pub(super) fn events_are_chained_in_each_trail_by_itself(bed: &Bed) {
    furnish(&bed.store);
    assert_eq!((bed.store.trail(ACME).unwrap().head, proved(bed, ACME)), (None, 0));
    tell(bed, ACME, &["a", "b"]);
    tell(bed, OTHER, &["c"]);
    let refused = Change {
        requires: vec![Require::Empty],
        events: vec![said(ACME, "no")],
        ..Change::default()
    };
    commit(&bed.store, refused).unwrap_err();
    tell(bed, ACME, &["d"]);
    assert_eq!((proved(bed, ACME), proved(bed, OTHER)), (3, 1));
    let events = bed.store.events(ACME, None, 9).unwrap();
    assert_eq!(events[0].previous, events[1].link);
    assert_eq!(events[1].previous, events[2].link);
    let head = bed.store.trail(ACME).unwrap().head.unwrap();
    assert_eq!((head.seq, head.link, head.at), (3, events[0].link, at(2)));
    let other = bed.store.events(OTHER, None, 9).unwrap().remove(0);
    assert_ne!(other.previous, events[2].previous, "they do not even begin alike");
    // A head of one trail is not in another.
    let published = Published { seq: 1, link: other.link };
    let verdict = bed.store.prove(ACME, Some(published)).unwrap();
    assert_eq!(verdict.faults, [Fault::Rewritten(1)]);
}

pub(super) fn events_are_visited_from_both_ends(bed: &Bed) {
    furnish(&bed.store);
    tell(bed, ACME, &["a", "b", "c", "d"]);
    tell(bed, OTHER, &["x"]);
    let forth = |after, enough: usize| {
        let mut seen = Vec::new();
        let mut visit = |event: crate::audit::Event| {
            seen.push(event.seq);
            if seen.len() < enough { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        bed.store.visit_events(ACME, after, &mut visit).unwrap();
        seen
    };
    assert_eq!(forth(0, 9), [1, 2, 3, 4]);
    assert_eq!(forth(2, 9), [3, 4]);
    assert_eq!(forth(1, 2), [2, 3]);
    assert!(forth(4, 9).is_empty());
    assert!(forth(u64::MAX, 9).is_empty());
}

pub(super) fn the_oldest_events_are_forgotten_and_the_rest_is_proved(bed: &Bed) {
    furnish(&bed.store);
    tell(bed, ACME, &["a", "b", "c", "d"]);
    tell(bed, OTHER, &["x"]);
    let links: Vec<_> = bed
        .store
        .events(ACME, None, 9)
        .unwrap()
        .into_iter()
        .rev()
        .map(|event| event.link)
        .collect();
    let forget = |through| {
        put(&bed.store, [Write::ForgetEvents { org: ACME, through, at: at(77) }]);
    };
    forget(0);
    assert_eq!(bed.store.trail(ACME).unwrap().checkpoint, None);
    forget(2);
    let checkpoint = bed.store.trail(ACME).unwrap().checkpoint.unwrap();
    assert_eq!((checkpoint.through.seq, checkpoint.through.link), (2, links[1]));
    assert_eq!((checkpoint.made_at, checkpoint.cause), (at(77), Cause::Retention));
    assert_eq!((proved(bed, ACME), proved(bed, OTHER)), (2, 1));
    // Again, and out of order: nothing comes of it.
    forget(1);
    forget(2);
    assert_eq!(bed.store.trail(ACME).unwrap().checkpoint, Some(checkpoint));
    forget(u64::MAX);
    assert_eq!((proved(bed, ACME), bed.store.events(ACME, None, 9).unwrap()), (0, vec![]));
    tell(bed, ACME, &["e"]);
    assert_eq!(proved(bed, ACME), 1);
    assert_eq!(bed.store.events(ACME, None, 9).unwrap()[0].seq, 5, "numbers are not used again");
}
