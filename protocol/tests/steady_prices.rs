//! What an idle seller asks of the same client for the same task again and again: it has no reason to ask more.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::client::ClientConfig;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::time::Span;
use bombyx_protocol::work::cost::CostSheet;
use bombyx_protocol::work::order::TaskKind;
use bombyx_protocol::{Basis, Quote};
use testbed::{CALM, MODEL, Testbed, chat, order, price, sheet};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);

/// Bytes of input, most tokens of the answer, and tokens after which it stops.
const MIXES: [(usize, u32, u32); 6] =
    [(22, 100, 9), (22, 100, 100), (900, 100, 3), (900, 1_000, 200), (12, 16, 16), (3_000, 64, 64)];

/// A seller alone, with this sheet and a client of its own that calls for each order.
fn alone(sheet: CostSheet, stop: u32) -> (Testbed, NodeId) {
    let mut testbed = Testbed::new(1, CALM);
    let client = testbed.client_with(ClientConfig { leases: false, ..ClientConfig::for_tests(1) }, COIN);
    let provider = testbed.provider(1, price(1_000_000), 1_000);
    testbed.offer_at(provider, sheet, TaskKind::Generate, MODEL);
    testbed.stop_at(provider, stop);
    (testbed, client)
}

/// One order once everything is at rest: what was quoted, what was bid, the bill and its tokens.
fn buy(
    testbed: &mut Testbed,
    client: NodeId,
    id: u64,
    (length, max_tokens): (usize, u32),
) -> (Quote, u64, u64, u64) {
    testbed.run(Span::from_s(6), |_| false);
    testbed.seek(client);
    let task = chat(&"x".repeat(length), max_tokens);
    let quote = testbed.client_at(client).quote(testbed.now, &order(task.clone(), COIN, MINUTE)).unwrap();
    testbed.order(client, id, task, COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(id).end.is_some());
    let outcome = testbed.outcome(id);
    let bill = outcome.end.unwrap().unwrap();
    (quote, outcome.bids.last().unwrap().price.0, bill.cost.0, bill.output_tokens)
}

/// (MK-5, MK-64) One whose prices are in proportion to what the model's tokens count asks one price for everything: its quote, by
/// an ask as well, is the bill, and what is locked is what was said.
#[test]
fn a_seller_whose_prices_are_as_the_weights_asks_the_same_each_time_and_just_what_was_quoted() {
    for (length, max_tokens, stop) in MIXES {
        let (mut testbed, client) = alone(sheet(price(1_200_000)), stop);
        for id in 1..=6 {
            let locked = testbed.chain.locked();
            let (quote, bid, cost, tokens) = buy(&mut testbed, client, id, (length, max_tokens));
            assert_eq!(
                (bid, quote.price, quote.basis),
                (price(1_200_000).0, price(1_200_000), if id == 1 { Basis::Ask } else { Basis::Bid })
            );
            assert_eq!(
                Nano(cost),
                price(1_200_000).bill(256 + 10 * quote.input_tokens as u128 + 60 * tokens as u128).unwrap()
            );
            testbed.run(Span::from_s(3), |_| false);
            assert_eq!(
                testbed.chain.locked() - locked,
                quote.channel.locks.0,
                "order {id} of {length}, {max_tokens}"
            );
        }
    }
}

/// (MK-5) Any other follows what the client's tasks cost it, from below or from above; an eighth is for classes, which are coarse. (One
/// that wants money for input alone is paid for three quarters of a class, whatever a short prompt costs it.)
#[test]
fn a_seller_alone_is_never_paid_more_than_at_first_or_than_its_cost() {
    let sheets = [(10_000, 200_000, 1_000_000), (90_000, 90_000, 540_000), (0, 400_000, 6_000_000)];
    for (per_job, input_per_k, output_per_k) in sheets {
        let sheet = CostSheet {
            per_job: Nano(per_job),
            input_per_k: Nano(input_per_k),
            output_per_k: Nano(output_per_k),
        };
        for (length, max_tokens, stop) in MIXES {
            let (mut testbed, client) = alone(sheet, stop);
            let mut first = 0;
            for id in 1..=16 {
                let (_, _, bill, tokens) = buy(&mut testbed, client, id, (length, max_tokens));
                first = first.max(if id == 1 { bill } else { 0 });
                let cost = sheet.cost(length as u64, tokens).0;
                assert!(
                    bill <= first.max(cost + cost / 8),
                    "{sheet:?}, {length}, {max_tokens}: order {id} costs {bill} after {first}, {cost} to the seller"
                );
            }
        }
    }
}

/// (MK-5, MK-21) Load passes, and so does what it costs.
#[test]
fn after_a_burst_an_idle_seller_asks_what_it_asked_before() {
    let (mut testbed, client) = alone(sheet(price(1_200_000)), 16);
    let (_, before, ..) = buy(&mut testbed, client, 1, (22, 16));
    for id in 2..=20 {
        testbed.order(client, id, chat("count for me", 16), COIN, MINUTE);
    }
    testbed.run(MINUTE, |testbed| testbed.outcomes.values().all(|outcome| outcome.end.is_some()));
    let (_, after, ..) = buy(&mut testbed, client, 21, (22, 16));
    assert_eq!(after, before);
}
