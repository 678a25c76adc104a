use super::*;
use bearward::store::Facts;
use bearward::store::memory::MemoryStore;
use std::collections::HashSet;

#[test]
fn every_secret_in_the_file_is_a_live_token() {
    let store = MemoryStore::new();
    let role = "echo/caller".parse().expect("a role");
    let writes = vec![Write::Roles(vec![role])];
    store.commit(Change { writes, ..Change::default() }).wait().expect("the role");
    let seeded = seed::seed(&*store, "bwt_", clock::now()).expect("the demo's records");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("tokens");

    let load = Load { org: seeded.org, prefix: "bwt_", count: 5_001 };
    assert!(fill(&*store, &load, &file, &mut || false).expect("filled"));
    let text = std::fs::read_to_string(&file).expect("the file");
    let secrets: HashSet<_> = text.lines().collect();
    assert_eq!(secrets.len(), 5_001);
    let mut owners = HashSet::new();
    for secret in secrets {
        let (_, found) = store.lookup(&Digest::of(secret.as_bytes())).expect("a look-up");
        let found = found.expect("a token");
        let now = clock::now();
        assert_eq!(bearward::access::dead(&found.token, &found.owner, &found.org, now), None);
        owners.insert(found.owner.id);
    }
    assert_eq!(owners.len(), 6, "none has more than {TOKENS_PER_USER}");
}

#[test]
fn stops_when_it_is_asked_to() {
    let store = MemoryStore::new();
    let role = "echo/caller".parse().expect("a role");
    let writes = vec![Write::Roles(vec![role])];
    store.commit(Change { writes, ..Change::default() }).wait().expect("the role");
    let dir = tempfile::tempdir().expect("a directory");
    let load = Load { org: OrgId::from_bits(1), prefix: "bwt_", count: 100_000 };
    let file = dir.path().join("tokens");
    assert!(!fill(&*store, &load, &file, &mut || true).expect("stopped"));
}
