//! The scenarios that ship with the program.

/// The scenario that runs when no file is named.
pub const FIRST: &str = include_str!("../../scenarios/first.toml");

/// The scenarios that ship: name and text of every file in `scenarios/`, by name.
pub const SHIPPED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));
