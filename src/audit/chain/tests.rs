use super::*;
use proptest::prelude::*;

const ORG: OrgId = OrgId::from_bits(7);

const EXPECTED: [&str; 4] = [
    "bf8edbc8d12db2d24b1f6f087be3739ae10582e6cc46b521d57da8ce46eeb966",
    "2c347ad56e97b9b168d6dcf770d623e96de5b9f06001b54def163c1d0e85b367",
    "48354454ed9212de29e12aa81d5da21a83ef51c1ee2a853cc8b8abd0c17601c9",
    "9bba68097b642755c742d152a125088a384af11b72334fee92f7bd07fa9c2b07",
];

fn key() -> Key {
    Key::of(&"k".repeat(KEY_CHARS_MIN)).expect("long enough")
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// An event where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    place: u64,
    previous: Link,
    link: Link,
    event: Vec<u8>,
}

/// A trail of so many events.
fn trail(count: u64) -> Vec<Kept> {
    let chain = key().chain(ORG);
    let mut previous = chain.genesis();
    let mut made = Vec::new();
    for seq in 1..=count {
        let event = [&seq.to_be_bytes()[..], b"was here"].concat();
        let link = chain.link(previous, &event);
        made.push(Kept { place: seq, previous, link, event });
        previous = link;
    }
    made
}

fn head(trail: &[Kept]) -> Head {
    let last = trail.last().expect("an event");
    Head { seq: last.place, link: last.link, at: at(0) }
}

fn prove_from(
    start: Start,
    trail: &[Kept],
    head: Option<Head>,
    published: Option<Published>,
) -> Verdict {
    let chain = key().chain(ORG);
    let mut proof = Proof::new(&chain, start, published);
    for kept in trail {
        let (seq, _) = kept.event.split_first_chunk().expect("eight bytes");
        proof.see(Row {
            place: kept.place,
            seq: u64::from_be_bytes(*seq),
            previous: kept.previous,
            link: kept.link,
            event: &kept.event,
        });
    }
    proof.conclude(head)
}

fn faults(trail: &[Kept], head: Head) -> Vec<Fault> {
    let start = Start::After(0, key().chain(ORG).genesis());
    prove_from(start, trail, Some(head), None).faults
}

/// Gives the events the places 1, 2, 3.
fn renumbered(mut trail: Vec<Kept>) -> Vec<Kept> {
    for (place, kept) in (1..).zip(&mut trail) {
        kept.place = place;
    }
    trail
}

#[test]
fn a_key_is_long_and_tells_nothing() {
    assert_eq!(Key::of(&"k".repeat(KEY_CHARS_MIN - 1)), Err(TooShort));
    assert_eq!(format!("{:?}", key()), "Key(..)");
    assert_eq!(format!("{:?}", key().chain(ORG)), "Chain(..)");
    let other = Key::of(&"K".repeat(KEY_CHARS_MIN)).expect("long enough");
    assert_ne!(other.fingerprint(), key().fingerprint());
    assert_ne!(other.chain(ORG).genesis(), key().chain(ORG).genesis());
    assert_ne!(key().chain(OrgId::from_bits(8)).genesis(), key().chain(ORG).genesis());
}

/// Trails that exist are chained in this way: who changes it breaks them all.
#[test]
fn links_stay_as_they_are() {
    let chain = key().chain(ORG);
    let link = chain.link(chain.genesis(), b"event");
    let through = Head { seq: 5, link, at: at(6) };
    let told = [
        chain.genesis().to_string(),
        link.to_string(),
        chain.checkpoint(through, at(7), Cause::Retention).seal.to_string(),
        Link(key().fingerprint()).to_string(),
    ];
    // HMAC-SHA-256 as Python's `hmac` has it, over the messages that this room describes.
    assert_eq!(told, EXPECTED);
}

#[test]
fn a_link_has_a_text() {
    let link = key().chain(ORG).genesis();
    assert_eq!(link.to_string().parse(), Ok(link));
    assert_eq!(link.to_string().to_uppercase().parse(), Ok(link));
    for wrong in ["", "ab", &"g".repeat(64), &"0".repeat(63), &"+1".repeat(32), &"ä".repeat(32)] {
        assert_eq!(wrong.parse::<Link>(), Err(NotALink), "{wrong}");
    }
    let published = Published { seq: 12, link };
    assert_eq!(format!("12:{link}").parse(), Ok(published));
    for wrong in ["", "12", "12:", ":", &format!("-1:{link}"), &format!("{link}:12")] {
        assert_eq!(wrong.parse::<Published>(), Err(NotAHead), "{wrong}");
    }
}

#[test]
fn a_checkpoint_is_ours_as_it_was_made_and_not_otherwise() {
    let chain = key().chain(ORG);
    let through = Head { seq: 5, link: chain.genesis(), at: at(6) };
    let made = chain.checkpoint(through, at(7), Cause::Retention);
    assert!(chain.made(&made));
    let mut others = [made; 5];
    others[0].through.seq = 6;
    others[1].through.link = chain.link(through.link, b"");
    others[2].through.at = at(7);
    others[3].made_at = at(8);
    others[4].cause = Cause::NewKey;
    assert!(others.iter().all(|other| !chain.made(other)));
    assert!(!key().chain(OrgId::from_bits(8)).made(&made));
}

#[test]
fn a_whole_trail_has_no_fault() {
    let trail = trail(9);
    let head = head(&trail);
    let start = Start::After(0, key().chain(ORG).genesis());
    for published in [None, Some(&trail[0]), Some(&trail[8])] {
        let published = published.map(|kept| Published { seq: kept.place, link: kept.link });
        let verdict = prove_from(start, &trail, Some(head), published);
        assert_eq!(verdict.faults, []);
        assert_eq!((verdict.proved, verdict.first), (9, Some(1)));
        assert_eq!(verdict.last, Some((9, head.link)));
    }
    let empty = Head { seq: 0, link: key().chain(ORG).genesis(), at: at(0) };
    assert_eq!(faults(&[], empty), []);
}

#[test]
fn a_part_of_a_trail_is_proved_from_where_it_begins() {
    let trail = trail(9);
    let (gone, rest) = trail.split_at(4);
    let start = Start::After(4, gone[3].link);
    assert_eq!(prove_from(start, rest, Some(head(&trail)), None).faults, []);
    assert_eq!(prove_from(Start::Anywhere, rest, None, None).faults, []);
    let wrong = Start::After(4, gone[2].link);
    assert_eq!(prove_from(wrong, rest, Some(head(&trail)), None).faults, [Fault::Unlinked(5)]);
    // What retention took out does not come back.
    let back = prove_from(start, &trail[3..], Some(head(&trail)), None);
    assert_eq!(back.faults, [Fault::Inserted(4)]);
    // A head that was published before the checkpoint proves nothing, and says so.
    let old = Published { seq: 2, link: gone[1].link };
    let verdict = prove_from(start, rest, Some(head(&trail)), Some(old));
    assert!(verdict.outlived && verdict.faults.is_empty());
    let at_checkpoint = Published { seq: 4, link: gone[3].link };
    let verdict = prove_from(start, rest, Some(head(&trail)), Some(at_checkpoint));
    assert!(!verdict.outlived && verdict.faults.is_empty());
}

#[test]
fn a_removed_event_is_named() {
    let whole = trail(9);
    let end = head(&whole);
    let mut trail = whole.clone();
    trail.drain(2..4);
    assert_eq!(faults(&trail, end), [Fault::Removed(3..=4)]);
    // The others may close ranks: they are out of place then, and it is still gone.
    let mut trail = whole.clone();
    trail.remove(2);
    let expected = [Fault::Removed(3..=3), Fault::Moved(4..=9, 3)];
    assert_eq!(faults(&renumbered(trail), end), expected);
    assert_eq!(faults(&whole[1..], end), [Fault::Removed(1..=1)]);
}

#[test]
fn a_changed_event_is_named() {
    let whole = trail(9);
    let mut trail = whole.clone();
    trail[4].event[10] ^= 1;
    assert_eq!(faults(&trail, head(&whole)), [Fault::Changed(5)]);
    let mut trail = whole.clone();
    trail[4].link = trail[3].link;
    assert_eq!(faults(&trail, head(&whole)), [Fault::Changed(5)]);
    let mut trail = whole.clone();
    trail[4].previous = trail[2].link;
    assert_eq!(faults(&trail, head(&whole)), [Fault::Changed(5)]);
}

#[test]
fn an_inserted_event_is_named() {
    let whole = trail(5);
    let forged = Kept { event: [&9_u64.to_be_bytes()[..], b"forged"].concat(), ..whole[2].clone() };
    let mut trail = whole.clone();
    trail.insert(2, forged.clone());
    let expected = [Fault::Inserted(3), Fault::Moved(3..=5, 4)];
    assert_eq!(faults(&renumbered(trail), head(&whole)), expected);
    let mut trail = whole.clone();
    trail.push(Kept { place: 6, ..forged });
    assert_eq!(faults(&trail, head(&whole)), [Fault::Inserted(6)]);
    // A genuine event once more, in place of another.
    let mut trail = whole.clone();
    trail[3] = Kept { place: 4, ..whole[1].clone() };
    assert_eq!(faults(&trail, head(&whole)), [Fault::Removed(4..=4), Fault::Inserted(4)]);
    // One of another organization is none of ours.
    let other = key().chain(OrgId::from_bits(8));
    let mut trail = whole.clone();
    trail[3].link = other.link(trail[3].previous, &trail[3].event);
    assert_eq!(faults(&trail, head(&whole)), [Fault::Changed(4)]);
}

#[test]
fn reordered_events_are_named() {
    let whole = trail(6);
    let mut trail = whole.clone();
    trail.swap(1, 3);
    let expected = [Fault::Moved(2..=2, 4), Fault::Moved(4..=4, 2)];
    assert_eq!(faults(&renumbered(trail), head(&whole)), expected);
    // Lines of an export keep their numbers.
    let mut lines = whole.clone();
    lines.swap(1, 2);
    assert_eq!(prove_from(Start::Anywhere, &lines, None, None).faults, [Fault::Moved(2..=2, 2)]);
    let mut lines = whole.clone();
    lines.insert(3, whole[0].clone());
    assert_eq!(prove_from(Start::Anywhere, &lines, None, None).faults, [Fault::Inserted(1)]);
}

#[test]
fn a_cut_tail_is_named() {
    let whole = trail(6);
    let end = head(&whole);
    assert_eq!(faults(&whole[..4], end), [Fault::Cut(4, 6)]);
    assert_eq!(faults(&[], end), [Fault::Cut(0, 6)]);
    // Who also sets the store's record back is found by the head that was published.
    let start = Start::After(0, key().chain(ORG).genesis());
    let published = Some(Published { seq: 6, link: end.link });
    let verdict = prove_from(start, &whole[..4], Some(head(&whole[..4])), published);
    assert_eq!(verdict.faults, [Fault::Unpublished(4, 6)]);
    // And who then goes on, with the key, wrote another trail.
    let other = Published { seq: 4, link: end.link };
    let verdict = prove_from(start, &whole, Some(end), Some(other));
    assert_eq!(verdict.faults, [Fault::Rewritten(4)]);
    assert_eq!(faults(&whole, head(&whole[..4])), [Fault::Head]);
    assert_eq!(faults(&whole, Head { link: whole[0].link, ..end }), [Fault::Head]);
}

proptest! {
    /// Whatever one does to a trail without the key, it shows.
    #[test]
    fn no_edit_goes_unseen(
        count in 1_u64..12,
        edits in prop::collection::vec((0_u8..5, any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..4),
        renumber: bool,
    ) {
        let whole = trail(count);
        let mut edited = whole.clone();
        for (what, one, other, byte) in edits {
            if edited.is_empty() {
                break;
            }
            let (one, other) = (one.index(edited.len()), other.index(edited.len()));
            match what {
                0 => drop(edited.remove(one)),
                1 => edited.swap(one, other),
                2 => {
                    let at = usize::from(byte) % edited[one].event.len();
                    edited[one].event[at] ^= byte | 1;
                }
                3 => {
                    let copy = edited[one].clone();
                    edited.insert(other, copy);
                }
                _ => edited[one].link = edited[other].previous,
            }
        }
        if renumber {
            edited = renumbered(edited);
        } else {
            // A store has one row in a place, in the order of the places.
            edited.sort_by_key(|kept| kept.place);
            edited.dedup_by_key(|kept| kept.place);
        }
        let found = faults(&edited, head(&whole));
        prop_assert_eq!(found.is_empty(), edited == whole, "{:?}", found);
    }
}
