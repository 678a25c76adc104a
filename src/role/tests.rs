use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn set() -> impl Strategy<Value = BTreeSet<u32>> {
    proptest::collection::btree_set(0_u32..200, 0..20)
}

fn roles(numbers: &BTreeSet<u32>) -> RoleSet {
    numbers.iter().copied().map(RoleId).collect()
}

proptest! {
    #[test]
    fn behaves_as_a_set(a in set(), b in set(), c in set()) {
        let (x, y, z) = (roles(&a), roles(&b), roles(&c));
        prop_assert_eq!(x.iter().map(|role| role.0).collect::<BTreeSet<_>>(), a.clone());
        prop_assert_eq!(x.intersection(&y), roles(&a.intersection(&b).copied().collect()));
        prop_assert_eq!(x.difference(&y), roles(&a.difference(&b).copied().collect()));
        prop_assert_eq!(x.union(&y), roles(&a.union(&b).copied().collect()));
        prop_assert_eq!(x.len(), a.len());
        prop_assert_eq!(x.is_subset(&y), a.is_subset(&b));
        prop_assert_eq!(x.is_empty(), a.is_empty());
        prop_assert_eq!(
            x.meets_both(&y, &z),
            a.iter().any(|role| b.contains(role) && c.contains(role))
        );
        prop_assert_eq!(x.is_subset_of_both(&y, &z), a.is_subset(&b) && a.is_subset(&c));
    }
}

#[test]
fn numbers_are_given_once() {
    let mut table = RoleTable::new();
    let reader = table.intern("orders/reader".parse().expect("a role"));
    assert_eq!(reader, RoleId(3));
    assert_eq!(table.intern("orders/reader".parse().expect("a role")), reader);
    let again = RoleTable::from_names(table.names().to_vec());
    assert_eq!(again.id(&"orders/reader".parse().expect("a role")), Some(reader));
    assert_eq!(
        again.name(RoleId::ORG_OWNER).map(ToString::to_string).as_deref(),
        Some("org_owner")
    );
    assert_eq!(
        again.scope_text(&[RoleId::ORG_MEMBER, reader].into_iter().collect()),
        "org_member orders/reader"
    );
}

#[test]
fn names_are_checked() {
    for bad in ["", "A", "a b", "a/b/c", "/", "a/", "ä", &"x".repeat(65)] {
        assert!(bad.parse::<RoleName>().is_err(), "{bad}");
    }
    assert!("x".repeat(64).parse::<RoleName>().is_ok());
}
