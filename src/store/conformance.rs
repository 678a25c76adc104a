//! One suite over every implementation of the store.

use super::*;
use std::sync::Arc;

#[test]
fn smoke() {
    use crate::org::Governance;
    let org = Organization {
        id: OrgId::from_bits(1),
        version: Revision(0),
        name: "x".into(),
        governance: Governance::Activated,
        policies: crate::policy::Policies::default(),
        created_at: Timestamp::EPOCH,
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let stores: [Arc<dyn Ledger>; 2] = [
        memory::MemoryStore::new(),
        redb::open(redb::Options { path: path.clone(), cache_bytes: 1 << 20 }).unwrap(),
    ];
    for store in stores {
        let change = Change { writes: vec![Write::Organization(org.clone())], ..Change::default() };
        let done = store.commit(change).wait().unwrap();
        assert_eq!(done.revision, Revision(1));
        assert_eq!(store.organization(org.id).unwrap().unwrap().version, Revision(1));
        assert_eq!(store.roles().names().len(), 3);
    }
    let again = redb::open(redb::Options { path, cache_bytes: 1 << 20 }).unwrap();
    assert_eq!(again.organizations().unwrap().len(), 1);
}
