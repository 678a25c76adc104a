use super::*;
use crate::id::OrgId;
use crate::org::Revision;
use crate::policy::Policies;
use crate::time::Timestamp;
use proptest::prelude::*;

fn asked(descending: bool, limit: usize) -> Asked<OrganizationColumn> {
    Asked::first(Sort { column: OrganizationColumn::CreatedAt, descending }, limit)
}

fn page(keys: &[i64], asked: Asked<OrganizationColumn>) -> Page<(i64, u128)> {
    let mut window = Window::new(asked);
    for (id, &key) in (0_u128..).zip(keys) {
        window.offer(Key::Number(key), id, || (key, id));
    }
    window.page()
}

proptest! {
    /// Page after page, every row comes once and in order, however large the pages are.
    #[test]
    fn pages_make_the_whole_list(
        keys in prop::collection::vec(-3_i64..3, 0..60),
        limit in 1_usize..10,
        descending: bool,
    ) {
        let mut expected: Vec<(i64, u128)> = keys.iter().copied().zip(0..).collect();
        expected.sort_unstable();
        if descending {
            expected.reverse();
        }
        let mut read = Vec::new();
        let mut next = asked(descending, limit);
        loop {
            let page = page(&keys, next);
            prop_assert!(page.items.len() <= limit);
            read.extend(page.items);
            let Some(cursor) = page.next_cursor else { break };
            next = asked(descending, limit).after(&cursor).expect("our own cursor");
        }
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn no_text_breaks_a_cursor(text: String) {
        let _refused_or_not = asked(false, 5).after(&text);
    }
}

#[test]
fn a_cursor_is_of_one_order() {
    let cursor = page(&[1, 2, 3], asked(false, 1)).next_cursor.expect("a next page");
    assert!(asked(false, 7).after(&cursor).is_some());
    assert!(asked(true, 1).after(&cursor).is_none());
    let by_name = Sort { column: OrganizationColumn::Name, descending: false };
    assert!(Asked::first(by_name, 1).after(&cursor).is_none());
    assert!(asked(false, 1).after(&cursor[2..]).is_none());
    assert!(asked(false, 1).after(&cursor.to_uppercase()).is_some(), "hexadecimal has no case");
    assert!(asked(false, 1).after("").is_none());
}

#[test]
fn the_longest_key_makes_a_cursor_that_is_taken_back() {
    let mut window = Window::new(asked(false, 1));
    for id in 0..2 {
        window.offer(Key::text(&"\u{10ffff}".repeat(5000)), u128::MAX - id, || ());
    }
    let cursor = window.page().next_cursor.expect("a next page");
    assert!(cursor.len() <= CURSOR_CHARS_MAX, "{}", cursor.len());
    assert!(asked(false, 1).after(&cursor).is_some());
}

#[test]
fn a_window_keeps_no_more_than_a_page() {
    let made = std::cell::Cell::new(0);
    let mut window = Window::new(asked(false, 10));
    for id in 0..100_000_u32 {
        window.offer(Key::Number(id.into()), id.into(), || made.set(made.get() + 1));
    }
    assert_eq!(window.page().items.len(), 10);
    assert_eq!(made.get(), 11);
}

#[test]
fn organizations_are_searched_without_case() {
    let org = |bits, name: &str| Organization {
        id: OrgId::from_bits(bits),
        version: Revision(1),
        name: name.to_owned(),
        governance: Governance::Activated,
        policies: Policies::default(),
        created_at: Timestamp::EPOCH,
    };
    let all = || vec![org(1, "beta"), org(2, "Alpha"), org(3, "ALP")];
    let first = || Asked::first(OrganizationColumn::DEFAULT, 50);
    let names =
        |page: Page<Organization>| page.items.into_iter().map(|org| org.name).collect::<Vec<_>>();
    assert_eq!(names(organizations(all(), None, first())), ["ALP", "Alpha", "beta"]);
    assert_eq!(names(organizations(all(), Some("alp"), first())), ["ALP", "Alpha"]);
}

#[test]
fn what_is_missing_comes_first_and_case_does_not_count() {
    assert!(Key::Nothing < Key::Number(i64::MIN));
    assert_eq!(Key::text("ÄB"), Key::text("äb"));
    assert_eq!(Key::number(Some(u64::MAX)), Key::Number(i64::MAX));
    for (name, column) in OrganizationColumn::ALL {
        assert_eq!(column.name(), *name);
        assert_eq!(Sort::parse(name), Some(Sort { column: *column, descending: false }));
    }
}
