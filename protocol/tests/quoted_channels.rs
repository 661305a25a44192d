//! What a quote says of the channel that the order would be paid on: `spec/03-market.md` section 4.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::fault::PaymentFault;
use bombyx_protocol::client::{ChannelPolicy, ClientConfig};
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::{Order, Task};
use bombyx_protocol::{Preferences, QuotedState};
use testbed::{CALM, Testbed, ceiling, chat, order, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);

fn asked(task: Task) -> Order {
    order(task, COIN, MINUTE)
}

fn ends(testbed: &mut Testbed, order: u64) {
    testbed.run(MINUTE, |testbed| testbed.outcome(order).end.is_some());
}

/// (MK-64, CH-31) A quote knows what the order would be refused or cut for.
#[test]
fn a_quote_says_what_cannot_be_paid_and_names_a_seller_that_can_be() {
    let (task, dear) = (chat("count for me", 200), price(4_000_000));
    let most = Nano(ceiling(price(400_000), &task).0 * 2);
    let too_low = PaymentFault::DepositTooLow { needs: ceiling(dear, &task), most };
    let locked = PaymentFault::StrangersLocked { needs: ceiling(dear, &task), most };
    let channel = ChannelPolicy { deposit_max: most, ..ChannelPolicy::default() };
    let strangers = ChannelPolicy { strangers_locked_max: most, ..ChannelPolicy::default() };
    for (policy, fault) in [(channel, too_low), (strangers, locked)] {
        let mut testbed = Testbed::new(30, CALM);
        let client = testbed.client_with(ClientConfig { policy, ..ClientConfig::for_tests(1) }, COIN);
        let first = testbed.provider(1, dear, 1_000);
        testbed.seek(client);
        let quote = |testbed: &Testbed| {
            let preferences = Preferences { order: vec![first], ..Preferences::default() };
            let order = Order { preferences, ..asked(task.clone()) };
            testbed.client_at(client).quote(testbed.now, &order).unwrap()
        };
        assert_eq!(quote(&testbed).channel.fault, Some(fault));
        let cheap = testbed.provider(2, price(400_000), 1_000);
        testbed.run(Span::from_s(6), |_| false);
        testbed.seek(client);
        let other = quote(&testbed);
        assert_eq!(
            (other.provider, other.channel.fault),
            (cheap, None),
            "though the user would ask the other first"
        );
    }
}

/// (MK-64)
#[test]
fn a_channel_that_the_ledger_has_not_shown_holds_nothing_yet() {
    let mut testbed = Testbed::new(31, CALM);
    let client = testbed.client(1, COIN);
    testbed.provider(1, price(400_000), 1_000);
    testbed.chain.down = true;
    let task = chat("count for me", 20);
    testbed.order(client, 1, task.clone(), COIN, MINUTE);
    ends(&mut testbed, 1);
    let state = |testbed: &mut Testbed| {
        testbed.seek(client);
        let quote = testbed.client_at(client).quote(testbed.now, &asked(task.clone())).unwrap();
        (quote.channel.state, quote.channel.needs)
    };
    assert_eq!(state(&mut testbed), (QuotedState::Opening, Nano::ZERO), "what it is given will do");
    testbed.chain.down = false;
    testbed.run(MINUTE, |_| false);
    assert_eq!(state(&mut testbed), (QuotedState::Open, Nano::ZERO));
}

/// (MK-64, CH-56)
#[test]
fn what_is_owed_is_part_of_what_opening_a_channel_takes() {
    let mut testbed = Testbed::new(32, CALM);
    let client = testbed.client(1, Nano(1_000));
    testbed.provider(1, price(40_000_000), 1_000);
    let task = chat("count for me", 20);
    testbed.order(client, 1, task.clone(), COIN, MINUTE);
    ends(&mut testbed, 1);
    let owed = testbed.outcome(1).end.unwrap().unwrap().unpaid;
    testbed.run(Span::from_s(20), |_| false);
    testbed.seek(client);
    let quote = testbed.client_at(client).quote(testbed.now, &asked(task.clone())).unwrap();
    let needs = quote.bill.largest.unwrap().saturating_plus(owed);
    assert!(owed > Nano::ZERO);
    assert_eq!((quote.channel.state, quote.channel.needs), (QuotedState::Opens, needs));
}

/// (MK-64, MK-13) What a quote says of the answer is what comes of the order: all of it, a part, or nothing.
#[test]
fn a_quote_tells_an_answer_that_would_be_cut_from_one_that_would_be_refused() {
    let task = |tokens| chat("count for me", tokens);
    let cost = |tokens| ceiling(price(400_000), &task(tokens));
    let strangers = |most: Nano| ClientConfig {
        policy: ChannelPolicy { strangers_locked_max: most, ..ChannelPolicy::default() },
        ..ClientConfig::for_tests(1)
    };
    for (allowed, expected) in [(cost(400), Some(400)), (cost(399), Some(349)), (cost(37), Some(32))]
        .into_iter()
        .chain([(Nano(cost(37).0 - 1), None), (Nano(1), None)])
    {
        for (config, budget) in [(ClientConfig::for_tests(1), allowed), (strangers(allowed), COIN)] {
            let mut testbed = Testbed::new(32, CALM);
            let client = testbed.client_with(config, COIN);
            testbed.provider(1, price(400_000), 1_000);
            testbed.seek(client);
            let wanted = order(task(400), budget, MINUTE);
            let quote = testbed.client_at(client).quote(testbed.now, &wanted).unwrap();
            let told = (quote.output_tokens_max, quote.output_tokens_served, quote.least);
            assert_eq!(told, (400, expected, cost(37)), "{allowed}");
            testbed.place_order(client, 1, wanted);
            ends(&mut testbed, 1);
            let served = testbed.outcome(1).end.unwrap().ok().map(|bill| bill.output_tokens);
            assert_eq!(served, expected, "{allowed}");
        }
    }
}
