//! The pairwatch command.
fn main() {}
