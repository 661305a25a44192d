//! The bombyx binary.
fn main() {}
