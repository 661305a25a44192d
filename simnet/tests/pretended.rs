//! Pretended cryptography against the real one: the same keys and lengths, so the same market, to the nano.
#![cfg(feature = "fake-crypto")]
#![allow(clippy::unwrap_used)]

use bombyx_simnet::results::Report;
use bombyx_simnet::scenario::{Crypto, Scenario};
use bombyx_simnet::world::World;

fn run(text: &str, seed: u64, crypto: Crypto) -> (String, String, u64) {
    let scenario = Scenario { seed, crypto, ..Scenario::parse("test.toml", text).unwrap() };
    let mut world = World::new(&scenario);
    world.run(|_| ()).unwrap();
    let report = Report::of(&world, 0.0);
    (serde_json::to_string(&report.summary).unwrap(), report.digest, report.events)
}

#[test]
fn bids_awards_bills_and_money_are_those_of_real_cryptography() {
    let faults = "[network.faults]\ndrop = 0.05\nduplicate = 0.05\n\
                  [[crash]]\nat_s = 5.0\nfor_s = 2.0\nrole = \"provider\"\nshare = 0.3\n";
    let base = "nodes = 40\n[population]\nmodels = 3\n[workload]\njobs = 20\nrate_per_s = 4.0\n";
    for (text, seed) in [(base.to_owned(), 1), (base.to_owned(), 2), (format!("{base}{faults}"), 3)] {
        let (real, real_digest, real_events) = run(&text, seed, Crypto::Real);
        let (fake, fake_digest, fake_events) = run(&text, seed, Crypto::Fake);
        assert_eq!(fake, real, "seed {seed}");
        assert_eq!(fake_events, real_events, "seed {seed}");
        assert_ne!(fake_digest, real_digest, "a digest covers the bytes of every signature");
    }
}
