use super::*;
use crate::audit::{Action, Actor, Draft, Target};
use crate::change::{Change, Write};
use crate::id::OrgId;
use crate::org::{Governance, Organization, Revision};
use crate::policy::Policies;
use crate::store::FORGOTTEN_AT_A_TIME_MAX;
use crate::store::memory::MemoryStore;
use crate::store::wayward::Wayward;
use std::time::Instant;

const ORG: OrgId = OrgId::from_bits(1);
const STEPS: usize = 40;
/// How long a step takes here.
const STEP: Duration = Duration::from_millis(100);

fn clock() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000)
}

/// A trail of which nearly all has to go, by a disk that is slow.
#[test]
fn an_end_waits_for_the_step_that_is_under_way_and_no_more() {
    let store = MemoryStore::new();
    let org = Organization {
        id: ORG,
        version: Revision(0),
        name: "Acme".to_owned(),
        governance: Governance::Activated,
        policies: Policies::default(),
        created_at: Timestamp::EPOCH,
    };
    let writes = vec![Write::Organization(org)];
    store.commit(Change { writes, ..Change::default() }).wait().expect("written");
    let target = Target::Organization(ORG);
    let old = Draft::new(ORG, Timestamp::EPOCH, Actor::System, Action::OrganizationUpdated, target);
    for _ in 0..STEPS {
        store.tell(vec![old.clone(); FORGOTTEN_AT_A_TIME_MAX]).wait().expect("written");
    }
    let (begun, first) = channel();
    let ledger = Wayward::of(&store).committing(move |_| {
        let _heard_before = begun.send(());
        thread::sleep(STEP);
        Ok(())
    });
    let keep = Some(Duration::from_hours(24));
    let keeper = Keeper::start(Arc::new(ledger), Arc::default(), keep, clock).expect("a thread");
    first.recv().expect("it takes a step");
    let asked = Instant::now();
    keeper.stop();
    let took = asked.elapsed();
    assert!(took < STEP * 10, "it ended after {took:?}");
    let left = store.events(ORG, None, usize::MAX).expect("readable").len();
    assert!(left > (STEPS - 10) * FORGOTTEN_AT_A_TIME_MAX, "{left}");
}
