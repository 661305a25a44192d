//! Orders that cannot be paid to the provider that comes first: they go on with another bidder that can be paid, and end where there
//! is none.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::Preferences;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::fault::PaymentFault;
use bombyx_protocol::channel::ledger::LedgerFault;
use bombyx_protocol::client::{ChannelPolicy, ClientConfig};
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::Failure;
use bombyx_protocol::provider::{CreditLimits, ProviderConfig};
use bombyx_protocol::time::Span;
use bombyx_protocol::work::cost::CostSheet;
use bombyx_protocol::work::order::{Order, Task, TaskKind};
use testbed::{CALM, MODEL, Testbed, ceiling, chat, engine, order, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);
const FAIR: u64 = 400_000;

fn task(tokens: u32) -> Task {
    chat("count for me", tokens)
}

fn runs(testbed: &mut Testbed, client: NodeId, number: u64, order: Order) {
    testbed.place_order(client, number, order);
    testbed.run(MINUTE, |testbed| testbed.outcome(number).end.is_some());
}

/// An order that asks these first, in their order.
fn asking(first: &[NodeId], tokens: u32) -> Order {
    let preferences = Preferences { order: first.to_vec(), ..Preferences::default() };
    Order { preferences, ..order(task(tokens), COIN, MINUTE) }
}

/// A client whose channels hold no more than this, and one whose orders all go to the market.
fn limited(deposit_max: Nano) -> ClientConfig {
    let policy = ChannelPolicy { deposit_max, ..ChannelPolicy::default() };
    ClientConfig { leases: false, policy, ..ClientConfig::for_tests(1) }
}

/// (MK-15) The one that comes first asks ten times as much.
#[test]
fn a_job_that_is_too_dear_for_a_channel_goes_to_a_cheaper_bidder_and_ends_where_there_is_none() {
    for others in [0, 1] {
        let most = Nano(2 * ceiling(price(FAIR), &task(200)).0);
        let mut testbed = Testbed::new(1, CALM);
        let client = testbed.client_with(limited(most), COIN);
        let dear = testbed.provider(1, price(10 * FAIR), 1_000);
        for number in 2..2 + others {
            testbed.provider(number, price(FAIR), 1_000);
        }
        runs(&mut testbed, client, 1, asking(&[dear], 200));
        let outcome = testbed.outcome(1);
        // What an answer that is cut to 32 tokens may cost, for prices that rise.
        let needs = ceiling(price(10 * FAIR), &task(37));
        if others == 0 {
            let why = Failure::Payment(PaymentFault::DepositTooLow { needs, most });
            assert_eq!(outcome.end.unwrap().unwrap_err().0, why);
            assert_eq!(testbed.chain.opened, 0);
        } else {
            assert_eq!(outcome.text, engine::answer(200), "{:?}", outcome.end);
            assert_eq!(outcome.failed_over, [], "it is set aside before an award");
            assert_eq!(testbed.to_providers["award"], 1, "whom it cannot pay is awarded nothing");
        }
    }
}

/// (MK-15) In whatever order they bid.
#[test]
fn where_every_bidder_is_too_dear_for_a_channel_the_user_is_told_of_the_nearest() {
    for prices in [[30, 10, 20], [10, 20, 30], [20, 30, 10]] {
        let most = Nano(2 * ceiling(price(FAIR), &task(20)).0);
        let mut testbed = Testbed::new(5, CALM);
        let client = testbed.client_with(limited(most), COIN);
        for (number, times) in (1..).zip(prices) {
            testbed.provider(number, price(times * FAIR), 1_000);
        }
        runs(&mut testbed, client, 1, order(task(20), COIN, MINUTE));
        let needs = ceiling(price(10 * FAIR), &task(20));
        let why = Failure::Payment(PaymentFault::DepositTooLow { needs, most });
        assert_eq!(testbed.outcome(1).end.unwrap().unwrap_err().0, why, "{prices:?}");
    }
}

/// (MK-13) Whatever binds.
#[test]
fn an_answer_that_is_longer_than_can_be_paid_for_is_cut_to_what_can() {
    let most = ceiling(price(FAIR), &task(400));
    let channel = limited(most);
    let strangers = ClientConfig {
        policy: ChannelPolicy { strangers_locked_max: most, ..ChannelPolicy::default() },
        ..limited(COIN)
    };
    for (config, budget) in [(channel, COIN), (strangers, COIN), (limited(COIN), most)] {
        let mut testbed = Testbed::new(6, CALM);
        let client = testbed.client_with(config, COIN);
        testbed.provider(1, price(FAIR), 1_000);
        runs(&mut testbed, client, 1, order(task(2_000), budget, MINUTE));
        let bill = testbed.outcome(1).end.unwrap().unwrap();
        assert!((300..=400).contains(&bill.output_tokens) && bill.cost <= most, "{bill:?}");
    }
}

/// (MK-13) The smaller the answer, the dearer its tokens: they were cut once, by the price of the long one, and then refused.
#[test]
fn an_answer_of_a_seller_that_wants_something_for_each_job_is_cut_as_well() {
    let cost = CostSheet { per_job: Nano(1_000_000), input_per_k: Nano(0), output_per_k: Nano(10_000_000) };
    for tokens in [100, 200, 400, 1_000] {
        let budget = cost.cost(0, tokens);
        let mut testbed = Testbed::new(7, CALM);
        let client = testbed.client_with(limited(COIN), COIN);
        let provider = testbed.provider(1, price(FAIR), 1_000);
        testbed.offer_at(provider, cost, TaskKind::Generate, MODEL);
        runs(&mut testbed, client, 1, order(task(4_000), budget, MINUTE));
        let bill = testbed.outcome(1).end.unwrap().unwrap_or_else(|(why, _)| panic!("{tokens}: {why}"));
        assert!(bill.cost <= budget && bill.output_tokens >= tokens / 3, "{tokens}: {bill:?}");
    }
}

/// (MK-15) Each job takes a third of what a channel may hold.
#[test]
fn jobs_that_a_channel_has_no_room_for_wait_until_others_on_it_are_done() {
    for leases in [false, true] {
        let most = Nano(3 * ceiling(price(FAIR), &task(100)).0);
        let mut testbed = Testbed::new(2, CALM);
        testbed.slots = 16;
        let client = testbed.client_with(ClientConfig { leases, ..limited(most) }, COIN);
        testbed.provider(1, price(FAIR), 5_000);
        for number in 1..=12 {
            testbed.order(client, number, task(100), COIN, MINUTE);
        }
        testbed.run(MINUTE, |testbed| (1..=12).all(|number| testbed.outcome(number).end.is_some()));
        for number in 1..=12 {
            let outcome = testbed.outcome(number);
            assert_eq!(outcome.text, engine::answer(100), "leases {leases}: {:?}", outcome.end);
        }
        assert_eq!(testbed.chain.opened, 1);
    }
}

/// (MK-15) With an empty wallet only a channel that stands can pay.
#[test]
fn an_empty_wallet_ends_no_order_that_a_channel_which_stands_can_pay() {
    let one = ceiling(price(FAIR), &task(60));
    let mut testbed = Testbed::new(3, CALM);
    // Two ceilings are the first deposit.
    let client = testbed.client_with(limited(COIN), Nano(2 * one.0 + 100));
    let known = testbed.provider(1, price(FAIR), 1_000);
    let credit = CreditLimits { per_client: Nano::ZERO, per_hour: Nano::ZERO };
    let config = ProviderConfig { credit, ..ProviderConfig::for_tests(2) };
    let new = testbed.provider_with(config, price(FAIR), 1_000);
    runs(&mut testbed, client, 1, asking(&[known], 60));
    assert_eq!(testbed.outcome(1).text, engine::answer(60));
    testbed.run(Span::from_s(5), |_| false);
    runs(&mut testbed, client, 2, asking(&[new, known], 30));
    let outcome = testbed.outcome(2);
    assert_eq!(outcome.text, engine::answer(30), "{:?}", outcome.end);
    assert!(
        matches!(outcome.failed_over[..], [Failure::Payment(PaymentFault::NoFunds { .. })]),
        "{:?}",
        outcome.failed_over
    );
    // What is left on that channel is too little, and the wallet is as empty as before.
    runs(&mut testbed, client, 3, asking(&[new, known], 60));
    assert_eq!(testbed.chain.opened, 1);
    let why = testbed.outcome(3).end.unwrap().unwrap_err().0;
    assert!(matches!(why, Failure::Payment(PaymentFault::NoFunds { .. })), "{why}");
}

/// (MK-15, WR-13) What came stays, and is not paid twice.
#[test]
fn a_refused_top_up_sends_the_order_to_another_bidder_that_goes_on_where_it_stopped() {
    let mut testbed = Testbed::new(4, CALM);
    let client = testbed.client_with(limited(COIN), COIN);
    let first = testbed.provider(1, price(FAIR), 1_000);
    runs(&mut testbed, client, 1, asking(&[first], 10));
    let second = testbed.provider(2, price(FAIR), 1_000);
    testbed.chain.fails_next_top_up = Some(LedgerFault::Refused { exit_code: 100 });
    runs(&mut testbed, client, 2, asking(&[first, second], 900));
    let outcome = testbed.outcome(2);
    assert_eq!(outcome.text, engine::answer(900), "{:?}", outcome.end);
    assert!(
        matches!(
            outcome.failed_over[..],
            [Failure::Payment(PaymentFault::Exhausted { why: LedgerFault::Refused { .. }, .. })]
        ),
        "{:?}",
        outcome.failed_over
    );
    let bills: Nano = (1..=2).map(|number| testbed.outcome(number).end.unwrap().unwrap().cost).sum();
    let promised: Nano = testbed.client_at(client).channels().map(|payer| payer.cumulative()).sum();
    assert_eq!(promised, bills, "the bills are what is paid");
}

/// (MK-15) A lease has no other bidders: one that was given credit and wants money now is no reason to end an order that a channel can
/// pay.
#[test]
fn an_empty_wallet_ends_no_order_on_a_lease_that_a_channel_with_another_can_pay() {
    let one = ceiling(price(FAIR), &task(200));
    let mut testbed = Testbed::new(8, CALM);
    let client = testbed.client_with(ClientConfig { leases: true, ..limited(COIN) }, Nano(2 * one.0 + 100));
    let known = testbed.provider(1, price(FAIR), 1_000);
    runs(&mut testbed, client, 1, asking(&[known], 200));
    testbed.run(Span::from_s(5), |_| false);
    let credit = CreditLimits { per_client: Nano(2 * ceiling(price(FAIR / 4), &task(10)).0), per_hour: COIN };
    let config = ProviderConfig { credit, ..ProviderConfig::for_tests(2) };
    let cheap = testbed.provider_with(config, price(FAIR / 4), 1_000);
    // It wins the lease, and is paid by nobody.
    runs(&mut testbed, client, 2, asking(&[cheap], 10));
    let mut served = 0;
    for number in 3..=10 {
        runs(&mut testbed, client, number, asking(&[cheap], 10));
        let outcome = testbed.outcome(number);
        assert_eq!(outcome.text, engine::answer(10), "{number}: {:?} {:?}", outcome.end, outcome.failed_over);
        served += usize::from(
            outcome
                .failed_over
                .iter()
                .any(|why| matches!(why, Failure::Payment(PaymentFault::NoFunds { .. }))),
        );
    }
    assert!(served > 0, "it wanted money once at least");
}

/// (MK-15) Whom the user would ask first has bid, and the others had not yet when the auction ended.
#[test]
fn an_empty_wallet_ends_no_order_whose_first_choice_wants_money_beside_a_channel_that_stands() {
    let one = ceiling(price(FAIR), &task(900));
    let mut testbed = Testbed::new(9, CALM);
    let client = testbed.client_with(ClientConfig { leases: true, ..limited(COIN) }, Nano(2 * one.0 + 100));
    let known = testbed.provider(1, price(FAIR), 1_000);
    runs(&mut testbed, client, 1, asking(&[known], 900));
    testbed.run(Span::from_s(5), |_| false);
    let credit = CreditLimits { per_client: Nano(3 * ceiling(price(FAIR / 4), &task(10)).0), per_hour: COIN };
    let config = ProviderConfig { credit, ..ProviderConfig::for_tests(2) };
    let cheap = testbed.provider_with(config, price(FAIR / 4), 1_000);
    testbed.slow_us.insert(known, 30_000);
    for number in 2..=20 {
        runs(&mut testbed, client, number, asking(&[cheap], 10));
        let outcome = testbed.outcome(number);
        assert_eq!(outcome.text, engine::answer(10), "{number}: {:?} {:?}", outcome.end, outcome.failed_over);
        if number % 3 == 0 {
            testbed.run(Span::from_s(2), |_| false);
        }
    }
}

/// A client with an empty wallet that has a channel with a seller at four times what won lately, and others at that, the first of whom
/// has given credit and wants money now. Returns the client, the dear one, and the others.
fn poor_beside_a_dear_channel(others: u64) -> (Testbed, NodeId, NodeId, Vec<NodeId>) {
    let one = ceiling(price(4 * FAIR), &task(900));
    let mut testbed = Testbed::new(10, CALM);
    let client = testbed.client_with(limited(COIN), Nano(2 * one.0 + 100));
    let dear = testbed.provider(1, price(4 * FAIR), 1_000);
    runs(&mut testbed, client, 1, asking(&[dear], 900));
    testbed.run(Span::from_s(5), |_| false);
    let credit = CreditLimits { per_client: Nano(7 * ceiling(price(FAIR), &task(10)).0), per_hour: COIN };
    let cheap: Vec<NodeId> = (2..2 + others)
        .map(|number| {
            let config = ProviderConfig { credit, ..ProviderConfig::for_tests(number) };
            testbed.provider_with(config, price(FAIR), 1_000)
        })
        .collect();
    for number in 2..=6 {
        runs(&mut testbed, client, number, asking(&cheap[..1], 10));
    }
    (testbed, client, dear, cheap)
}

/// (MK-15, MK-52) The one with the channel could be paid: what it asks stands in the way, and no coins.
#[test]
fn an_empty_wallet_beside_a_channel_whose_seller_asks_too_much_is_refused_for_the_price() {
    let (mut testbed, client, dear, cheap) = poor_beside_a_dear_channel(1);
    runs(&mut testbed, client, 7, asking(&cheap, 10));
    let why = testbed.outcome(7).end.unwrap().unwrap_err().0;
    let Failure::OverCeiling { lowest, most } = why else { panic!("{why}") };
    // Who says that it may ask so much is served.
    runs(&mut testbed, client, 22, Order { price_max: Some(lowest), ..asking(&cheap, 10) });
    let outcome = testbed.outcome(22);
    assert_eq!(outcome.text, engine::answer(10), "{:?}", outcome.end);
    assert_eq!(outcome.end.unwrap().unwrap().providers.last(), Some(&dear));
    runs(&mut testbed, client, 23, Order { price_max: Some(most), ..asking(&cheap, 10) });
    let why = testbed.outcome(23).end.unwrap().unwrap_err().0;
    assert_eq!(why, Failure::OverCeiling { lowest, most }, "the user's own");
}

/// (MK-52) Others bid far less, whom this client cannot pay.
#[test]
fn an_empty_wallet_is_served_by_a_dear_seller_with_a_channel_after_one_order_was_refused_for_its_price() {
    let (mut testbed, client, dear, cheap) = poor_beside_a_dear_channel(2);
    runs(&mut testbed, client, 7, asking(&cheap[..1], 10));
    let why = testbed.outcome(7).end.unwrap().unwrap_err().0;
    assert!(matches!(why, Failure::OverCeiling { .. }), "{why}");
    for number in 8..=17 {
        runs(&mut testbed, client, number, asking(&cheap[..1], 10));
        let outcome = testbed.outcome(number);
        assert_eq!(outcome.text, engine::answer(10), "{number}: {:?} {:?}", outcome.end, outcome.failed_over);
        assert_eq!(outcome.end.unwrap().unwrap().providers.last(), Some(&dear), "{number}");
    }
}

/// (MK-13) What binds, whatever it is, is compared with the least that would be served: who allows that much is served.
#[test]
fn a_refusal_for_lack_of_money_names_the_least_that_would_be_served() {
    let strangers = |most: Nano| ClientConfig {
        policy: ChannelPolicy { strangers_locked_max: most, ..ChannelPolicy::default() },
        ..limited(COIN)
    };
    let named = |config: ClientConfig, budget: Nano| {
        let mut testbed = Testbed::new(11, CALM);
        let client = testbed.client_with(config, COIN);
        testbed.provider(1, price(FAIR), 1_000);
        runs(&mut testbed, client, 1, order(task(2_000), budget, MINUTE));
        match testbed.outcome(1).end.unwrap() {
            Err((Failure::OverBudget { lowest }, _)) => Some(lowest),
            Err((
                Failure::Payment(
                    PaymentFault::DepositTooLow { needs, .. } | PaymentFault::StrangersLocked { needs, .. },
                ),
                _,
            )) => Some(needs),
            Err((why, _)) => panic!("{why}"),
            Ok(bill) => {
                assert!(bill.output_tokens >= 32, "{bill:?}");
                None
            }
        }
    };
    let ways: [&dyn Fn(Nano) -> Option<Nano>; 3] =
        [&|most| named(limited(COIN), most), &|most| named(limited(most), COIN), &|most| {
            named(strangers(most), COIN)
        }];
    for (way, named) in ways.iter().enumerate() {
        let least = named(Nano(10)).unwrap();
        assert!(least < ceiling(price(FAIR), &task(40)), "{way}: {least}");
        assert_eq!(named(Nano(least.0 - 1)), Some(least), "{way}");
        assert_eq!(named(least), None, "{way}");
    }
}
