//! TLS as far as it needs no socket: certificates and their keys, whom we trust, what is shown to
//! whom, and when the files have changed.
//!
//! **Invariants.**
//! - What cannot be used takes the place of nothing: a certificate that is half written, does not
//!   fit its key or has ended leaves the one before it in force.
//! - Keys are read from files and nowhere else, and no error holds anything of them.
//! - There is no early data (RFC 8446 section 2.3): what can be replayed is never a request.

mod client;
mod identity;
mod live;
mod server;
mod validity;
mod watch;

pub use client::{Certificate, Toward, TowardFiles};
pub use identity::{Identity, IdentityFiles, Unusable, authorities};
pub use live::{Live, Shown, Terms};
pub use server::{ServerFiles, concerns};
pub use watch::Watch;

use rustls::crypto::CryptoProvider;
use std::sync::Arc;

/// What is spoken above TLS (RFC 7301): this always,
pub const HTTP1: &[u8] = b"http/1.1";
/// and this where the port offers it.
pub const HTTP2: &[u8] = b"h2";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests;
