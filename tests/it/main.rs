//! End to end: one binary for all integration tests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod kill;
