//! End to end: one binary for all integration tests.

mod kill;
