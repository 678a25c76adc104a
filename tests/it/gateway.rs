//! What an honest client and an honest upstream see of the gateway: very little.

mod answers;
mod bodies;
mod drain;
mod forwarding;
mod lengths;
mod lifecycle;
mod metrics;
mod tokens;
mod upstreams;
mod waits;

use crate::upstream::{Script, Upstream};
use crate::world::{Minted, Setup, World};

/// A gateway before an upstream with this script, and a live token.
fn started(script: Script, adjust: impl FnOnce(Setup) -> Setup) -> (Upstream, World, Minted) {
    let upstream = Upstream::start(script);
    let world = adjust(Setup::before(&upstream)).start();
    let token = world.mint();
    (upstream, world, token)
}
