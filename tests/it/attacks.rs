//! Bad input and faults, one test per row of the list of attacks: F framing, D headers, P paths,
//! T tokens, R resources, U upstreams, A the admin port, C clocks, K the store.
//!
//! Every refusal here is asked for *with a live token*, so that nothing is refused for want of one,
//! and beside an honest request that passes, so that nothing passes because everything is refused.

mod audit;
mod chunks;
mod clock;
mod faults;
mod framing;
mod headers;
mod messages;
mod paths;
mod resources;
mod restore;
mod store;
mod tokens;
mod upstreams;

use crate::upstream::{Request, Script, Upstream, ok};
use crate::wire::{Answer, Cut, lossy};
use crate::world::{Minted, Setup, World, get};
use std::cell::Cell;
use std::time::Duration;

/// How soon a refused connection must be closed: well below every timeout that would close it too.
const SOON: Duration = Duration::from_secs(5);

/// A gateway before a recording upstream, and a live token.
struct Stage {
    upstream: Upstream,
    world: World,
    token: Minted,
    controls: Cell<usize>,
}

impl Stage {
    fn new() -> Self {
        Self::with(ok(), |setup| setup)
    }

    fn with(script: Script, adjust: impl FnOnce(Setup) -> Setup) -> Self {
        let upstream = Upstream::start(script);
        let world = adjust(Setup::before(&upstream)).start();
        let token = world.mint();
        Self { upstream, world, token, controls: Cell::new(0) }
    }

    fn bearer(&self) -> String {
        self.token.bearer()
    }

    /// An honest request with the live token on a connection of its own.
    #[track_caller]
    fn honest(&self, variant: &str) {
        let nth = self.controls.get();
        self.controls.set(nth + 1);
        let answer = self.world.fetch(&format!("/orders/control-{nth}"), &self.token);
        assert_eq!(answer.status, 200, "after `{variant}` an honest request got {answer:?}");
    }

    /// What reached the upstream beside the honest requests; they are forgotten.
    #[track_caller]
    fn arrived(&self) -> Vec<Request> {
        let mut requests = self.upstream.requests();
        requests.retain(|request| !request.target().starts_with("/orders/control-"));
        self.upstream.forget();
        self.controls.set(0);
        requests
    }

    /// Holds that the upstream saw honest requests only. The honest request that this sends comes
    /// after all that the gateway may have sent before.
    #[track_caller]
    fn untouched(&self, variant: &str) {
        self.honest(variant);
        let arrived = self.upstream.requests();
        let strange: Vec<_> = arrived
            .iter()
            .filter(|request| !request.target().starts_with("/orders/control-"))
            .collect();
        assert!(strange.is_empty(), "`{variant}` reached the upstream: {strange:#?}");
        assert_eq!(arrived.len(), self.controls.get(), "after `{variant}`: {arrived:#?}");
    }

    /// Holds that bytes are answered with one of these statuses, that the connection is closed
    /// without another answer, and that nothing reached the upstream.
    #[track_caller]
    fn refuses(&self, variant: &str, bytes: impl AsRef<[u8]>, statuses: &[u16]) -> Answer {
        let bytes = bytes.as_ref();
        let mut wire = self.world.wire();
        let answer = wire
            .send(bytes)
            .answer_to("GET", SOON)
            .unwrap_or_else(|cut| panic!("`{variant}`: {cut:?} in place of an answer"));
        assert!(statuses.contains(&answer.status), "`{variant}`: {answer:?}");
        let (said, cut) = wire.rest(SOON);
        assert!(said.is_empty(), "`{variant}` got a second answer: `{}`", lossy(&said));
        assert_ne!(cut, Cut::TimedOut, "`{variant}`: the connection was left open");
        self.untouched(variant);
        answer
    }

    /// How many tokens were looked up in the store so far.
    #[track_caller]
    fn store_lookups(&self) -> u64 {
        let lookups = self.world.metric("bearward_store_lookups_total");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it counts")]
        let lookups = lookups.expect("a counter of look-ups") as u64;
        lookups
    }

    /// Holds that a request passes and answers what reached the upstream.
    #[track_caller]
    fn passes(&self, variant: &str, bytes: impl AsRef<[u8]>) -> Request {
        self.arrived();
        let answer = self.world.ask(bytes);
        assert_eq!(answer.status, 200, "`{variant}`: {answer:?}");
        let mut arrived = self.arrived();
        assert_eq!(arrived.len(), 1, "`{variant}` reached the upstream as {arrived:#?}");
        arrived.remove(0)
    }

    /// `GET` of a path with the live token and further fields.
    fn get(&self, path: &str, fields: &str) -> String {
        get(path, &format!("{}{fields}", self.bearer()))
    }
}
