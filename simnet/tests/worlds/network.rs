//! Hosts behind routers and on thin lines.

use bombyx_simnet::results::Report;
use bombyx_simnet::scenario::Scenario;
use bombyx_simnet::world::World;

use super::{BASE, summary};

#[test]
fn relays_of_hosts_behind_nats_cost_time_and_holes_spare_it() {
    let nat = |punch: f64| {
        let keys =
            format!("[network]\nprovider_nat_share = 1.0\nclient_nat_share = 1.0\npunch_share = {punch}\n");
        summary(&keys).first_content_ms.p50
    };
    let (open, relayed, punched) = (summary("").first_content_ms.p50, nat(0.0), nat(1.0));
    assert!(relayed > open + 50.0, "{relayed} over {open}");
    assert!((punched - open).abs() < 1e-9, "{punched} against {open}");
}

/// Thirty calls in a thirtieth of a second, forwarded over 5 Mbit/s by everyone.
#[test]
fn a_rush_of_calls_waits_on_thin_uplinks() {
    let rushed = |access: &str, queues: bool| {
        let network =
            format!("uplink_queues = {queues}\nmesh_degree = 12\nprovider_access = {{ {access} = 1.0 }}\n");
        let rush = BASE.replace("models = 3", "models = 1").replace("rate_per_s = 4.0", "rate_per_s = 900.0");
        let text = format!("{rush}[network]\n{network}[market]\nleases = false\n");
        let mut world = World::new(&Scenario::parse("test.toml", &text).unwrap());
        world.run(|_| ()).unwrap();
        let summary = Report::of(&world, 0.0).summary;
        assert_eq!((summary.done, summary.ledger.imbalance), (30, 0));
        bombyx_simnet::results::metrics::of(&world, &summary).get("uplink_wait_ms").copied()
    };
    let (thin, thick) = (rushed("dsl", true).unwrap(), rushed("dc", true).unwrap());
    assert!(thin > 20.0 * thick, "{thin} against {thick}");
    assert_eq!(rushed("dsl", false), None);
}
