//! A fresh client that knows nobody yet, among honest sellers and liars.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::client::ClientConfig;
use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::io::Command;
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::{Order, Task};

use super::thief::Thief;
use super::{CALM, Outcome, Testbed, chat, price};

pub const COIN: Nano = Nano(1_000_000_000);
pub const MINUTE: Span = Span::from_s(60);
/// What the honest want for 1,000 output tokens.
pub const FAIR: u64 = 400_000;
/// Scenes that a rule is shown in.
pub const SEEDS: u64 = 20;

/// The client, honest sellers, and liars in a prefix each.
pub fn scene(
    seed: u64,
    honest: u64,
    liars: usize,
    liar: impl Fn(u8) -> Thief,
) -> (Testbed, NodeId, Vec<NodeId>) {
    let mut testbed = Testbed::new(seed, CALM);
    let config = ClientConfig { leases: false, ..ClientConfig::for_tests(seed) };
    let client = testbed.client_with(config, COIN);
    for number in 1..=honest {
        testbed.provider(seed * 1_000 + number, price(FAIR), 1_000);
    }
    let liars = (0..u8::try_from(liars).unwrap())
        .map(|number| testbed.thief(liar(100 + number), Some(Prefix::of_ipv4([10, 9, number, 1]))))
        .collect();
    (testbed, client, liars)
}

/// Places an order and returns whether it is answered.
pub fn ends(testbed: &mut Testbed, client: NodeId, order: u64, task: Task) -> bool {
    testbed.order(client, order, task, COIN, MINUTE);
    testbed.run(Span::from_s(100), |testbed| testbed.outcome(order).end.is_some());
    testbed.outcome(order).end.unwrap().is_ok()
}

/// Places an order and returns what came of it.
pub fn places(testbed: &mut Testbed, client: NodeId, id: u64, order: Order) -> Outcome {
    testbed.place_order(client, id, order);
    testbed.run(Span::from_s(100), |testbed| testbed.outcome(id).end.is_some());
    testbed.outcome(id)
}

/// Returns who had an order last.
pub fn last(outcome: &Outcome) -> Option<NodeId> {
    let (Ok(bill) | Err((_, bill))) = outcome.end.as_ref().unwrap();
    bill.providers.last().copied()
}

/// How many first orders went to a liar, and how many ended without an answer.
pub fn first_orders(honest: u64, liars: usize, seeks: bool, liar: impl Fn(u8) -> Thief) -> (usize, usize) {
    let (mut taken, mut failed) = (0, 0);
    for seed in 1..=SEEDS {
        let (mut testbed, client, liars) = scene(seed, honest, liars, &liar);
        if seeks {
            testbed.run(Span::from_s(1), |_| false);
            testbed.command(client, Command::Seek(Topic::Market));
            testbed.run(Span::from_s(3), |_| false);
        }
        failed += usize::from(!ends(&mut testbed, client, 1, chat("hello there", 8)));
        taken += usize::from(last(&testbed.outcome(1)).is_some_and(|last| liars.contains(&last)));
    }
    (taken, failed)
}
