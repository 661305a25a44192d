//! The simnet binary.
fn main() {}
