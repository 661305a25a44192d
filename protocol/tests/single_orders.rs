//! Orders that each have a run of their node to themselves, as commands on the line make them: what a client learns of the market must
//! not begin anew with each.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::client::ClientConfig;
use bombyx_protocol::time::Span;
use testbed::scene::{COIN, FAIR, MINUTE};
use testbed::{CALM, Testbed, chat, price};

/// (MK-33) Each order by a run of its own, as a command on the line makes them: the dear one has served, and the other is a stranger
/// every time.
#[test]
fn single_orders_of_one_run_each_find_a_cheaper_seller_after_a_while() {
    let mut found = 0;
    for seed in 1..=8 {
        let mut testbed = Testbed::new(seed, CALM);
        let config = ClientConfig { leases: false, ..ClientConfig::for_tests(seed) };
        let client = testbed.client_with(config, Nano(10 * COIN.0));
        testbed.provider(seed * 10, price(2 * FAIR), 1_000);
        let mut cheap = None;
        for order in 1..=30 {
            testbed.order(client, order, chat("hello there", 8), COIN, MINUTE);
            testbed.run(MINUTE, |testbed| testbed.outcome(order).end.is_some());
            let bill = testbed.outcome(order).end.unwrap().unwrap();
            found += u32::from(bill.providers.last().copied() == cheap && order == 30);
            cheap = cheap.or_else(|| Some(testbed.provider(seed * 10 + 1, price(FAIR), 1_000)));
            testbed.run(Span::from_s(5), |_| false);
            testbed.kill(client);
            testbed.restart(client);
            testbed.run(Span::from_s(1), |_| false);
        }
    }
    assert!(found >= 7, "{found} of 8");
}
