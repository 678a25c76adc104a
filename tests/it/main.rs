//! Everything that runs the real binary: the gateway between raw sockets that can say anything, and
//! the rules of the house that a compiler does not check.
#![expect(
    clippy::unwrap_used,
    reason = "a test that meets what it did not expect has failed, and says so by panicking"
)]

mod allocations;
mod attacks;
mod browser;
mod cli;
mod fence_model;
mod gateway;
mod http2;
mod kill;
mod layering;
mod leaks;
mod many_tokens;
mod names;
mod notices;
mod revocation;
mod rotation;
mod scim;
mod tls;
mod unused_scope;
mod upstream;
mod usage_loss;
mod validation;
mod wire;
mod world;
