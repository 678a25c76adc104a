//! The `bearward` command.

fn main() {}
