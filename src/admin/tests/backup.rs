//! Backups over the API.

use super::*;
use crate::store::redb::{Options, open};
use crate::store::{CommitError, Found};

/// The store that a backup holds.
fn opened(bytes: &[u8], directory: &tempfile::TempDir) -> Arc<crate::store::redb::RedbStore> {
    let path = directory.path().join("copy.redb");
    std::fs::write(&path, bytes).expect("the directory is writable");
    open(Options { path, cache_bytes: 4 << 20 }).expect("the backup is a whole store")
}

fn everything(store: &dyn Ledger, org: OrgId) -> String {
    let mut tokens = Vec::new();
    let mut visit = |token, usage| {
        tokens.push((token, usage));
        std::ops::ControlFlow::Continue(())
    };
    store.visit_tokens(org, None, &mut visit).expect("readable");
    format!("{:?} {:?} {tokens:?}", store.organization(org), store.users(org))
}

#[tokio::test]
async fn a_backup_is_the_store_as_it_is() {
    let house = House::new().await;
    let answer = house.ask("POST", "/api/v1/backup").by(&house.operator).send().await.expect(200);
    assert_eq!(answer.headers["content-type"], "application/octet-stream");
    let length = answer.bytes.len().to_string();
    assert_eq!(answer.headers["content-length"], length.as_str());
    let directory = tempfile::tempdir().expect("a directory");
    let copy = opened(&answer.bytes, &directory);
    for org in [house.org, house.other_org] {
        assert_eq!(everything(&*copy, org), everything(&*house.store, org));
    }
    let digest = house.token(house.member.token).digest;
    let (_, found): (_, Option<Found>) = copy.lookup(&digest).expect("readable");
    assert_eq!(found.expect("it is known").token.id, house.member.token);
    // The copy tells of itself: the event was written before it was begun.
    let event = copy.events(house.org, None, 1).expect("readable").remove(0).said;
    assert_eq!(event.action, crate::audit::Action::StoreBackedUp);
    assert_eq!(copy.roles().names(), house.store.roles().names());
}

#[tokio::test]
async fn a_backup_that_cannot_be_recorded_is_not_taken() {
    let house = House::new().await;
    house.store.fail_next_commit(&CommitError::Failed("a cable came loose".to_owned()));
    let answer = house.ask("POST", "/api/v1/backup").by(&house.operator).send().await;
    answer.problem(500, "not-recorded");
}
