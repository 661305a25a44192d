//! What becomes of tasks in a line that moves more slowly than was foretold.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::io::Failure;
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::message::Refusal;
use testbed::{CALM, Testbed, chat, price};

const COIN: Nano = Nano(1_000_000_000);

/// (WR-16, MK-48) A burst of twelve, each of whom was told that it begins at once.
#[test]
fn a_line_that_is_slower_than_was_foretold_makes_no_seller_a_silent_one() {
    for slower in [1, 2, 4] {
        let mut testbed = Testbed::new(1, CALM);
        testbed.slots = 1;
        let provider = testbed.provider(1, price(400_000), 10_000);
        testbed.engine_mut(provider).token_us = 10_000 * slower;
        for number in 1..=12 {
            let client = testbed.client(number, COIN);
            testbed.order(client, number, chat("count for me", 200), COIN, Span::from_s(300));
        }
        testbed.run_to_end(Span::from_s(400));
        for order in 1..=12 {
            let outcome = testbed.outcome(order);
            let busy = Failure::Refused(Refusal::Busy);
            assert!(
                outcome.failed_over.iter().all(|why| *why == busy),
                "{slower}: order {order}: {:?}",
                outcome.failed_over
            );
            assert!(outcome.end.is_some_and(|end| end.is_ok()), "{slower}: order {order}");
        }
    }
}
