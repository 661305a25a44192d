//! The scenarios that ship with the program.

/// The scenario that runs when no file is named.
pub const FIRST: &str = include_str!("../../scenarios/first.toml");

/// The scenarios that ship, by name.
pub const SHIPPED: [(&str, &str); 19] = [
    ("first", FIRST),
    ("mechanisms", include_str!("../../scenarios/mechanisms.toml")),
    ("bursts", include_str!("../../scenarios/bursts.toml")),
    ("tides", include_str!("../../scenarios/tides.toml")),
    ("relays", include_str!("../../scenarios/relays.toml")),
    ("uplinks", include_str!("../../scenarios/uplinks.toml")),
    ("leases", include_str!("../../scenarios/leases.toml")),
    ("cartel", include_str!("../../scenarios/cartel.toml")),
    ("no-shows", include_str!("../../scenarios/no-shows.toml")),
    ("unpaid", include_str!("../../scenarios/unpaid.toml")),
    ("stale-close", include_str!("../../scenarios/stale-close.toml")),
    ("spam", include_str!("../../scenarios/spam.toml")),
    ("sybil", include_str!("../../scenarios/sybil.toml")),
    ("eclipse", include_str!("../../scenarios/eclipse.toml")),
    ("substitution", include_str!("../../scenarios/substitution.toml")),
    ("sniper", include_str!("../../scenarios/sniper.toml")),
    ("wash", include_str!("../../scenarios/wash.toml")),
    ("planet", include_str!("../../scenarios/planet.toml")),
    ("stack", include_str!("../../scenarios/stack.toml")),
];
