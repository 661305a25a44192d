//! What is locked with strangers, and when: a deposit with one that never finished a job is what it can run away with.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::fault::PaymentFault;
use bombyx_protocol::client::{ChannelPolicy, ClientConfig};
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::Failure;
use bombyx_protocol::limits;
use bombyx_protocol::market::score::Fate;
use bombyx_protocol::provider::{CreditLimits, ProviderConfig};
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::message::Refusal;
use bombyx_protocol::work::order::Task;
use bombyx_protocol::work::price::Price;
use testbed::thief::{Plan, Thief, thieves};
use testbed::{CALM, Testbed, chat, engine, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);

fn task() -> Task {
    chat("count for me", 60)
}

fn ceiling(price: Price) -> Nano {
    testbed::ceiling(price, &task())
}

/// A client without leases, so that each order goes to the market.
fn buyer() -> ClientConfig {
    ClientConfig { leases: false, ..ClientConfig::for_tests(1) }
}

fn locked(testbed: &Testbed, client: NodeId) -> Nano {
    testbed.client_at(client).channels().map(|payer| payer.rest()).sum()
}

/// (CH-31, CH-32)
#[test]
fn six_mute_keys_lock_little_and_are_asked_for_it_back_at_once() {
    for plan in [Plan::Mute, Plan::MoneyFirst, Plan::Tokens(8)] {
        let mut testbed = Testbed::new(3, CALM);
        let client = testbed.client_with(buyer(), COIN);
        thieves(&mut testbed, 6, plan, price(1_000));
        testbed.order(client, 1, task(), COIN, MINUTE);
        let mut most = Nano::ZERO;
        testbed.run(MINUTE, |testbed| {
            most = most.max(locked(testbed, client));
            testbed.outcome(1).end.is_some()
        });
        // Nobody else bids, so that each has a second chance.
        let bound = Nano(2 * 6 * limits::STRANGER_CEILINGS * ceiling(price(1_000)).0);
        assert!(most <= bound, "{plan:?}: {most} of {bound}");
        assert_eq!(
            most == Nano::ZERO,
            plan == Plan::Mute,
            "{plan:?}: a provider that says nothing is promised nothing"
        );
        // Each close was asked for as its job failed: the challenge of the last one is the longest wait.
        testbed.run(Span::from_s(100), |testbed| testbed.chain.locked() == 0);
        assert_eq!(testbed.chain.locked(), 0, "{plan:?}");
    }
}

/// (CH-31, MK-32)
#[test]
fn a_long_challenge_is_for_those_that_have_served_twice() {
    let mut testbed = Testbed::new(4, CALM);
    let client = testbed.client_with(buyer(), COIN);
    let mut slow = Thief::new(101, Plan::Mute, price(1_000));
    slow.challenge_s = 172_800;
    testbed.thief(slow, None);
    testbed.order(client, 1, task(), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let Err((why, _)) = testbed.outcome(1).end.unwrap() else { panic!("nobody serves") };
    let most_s = limits::CHALLENGE_STRANGER_S;
    assert_eq!(why, Failure::Payment(PaymentFault::ChallengeTooLong { wanted_s: 172_800, most_s }));
    let Fate::Unpayable { why, most } = testbed.outcome(1).bids[0].fate else { panic!("it is set aside") };
    assert_eq!((why, most), (PaymentFault::ChallengeTooLong { wanted_s: 172_800, most_s }, Nano::ZERO));
    assert_eq!(testbed.chain.opened, 0);
}

/// (CH-32, MK-47)
#[test]
fn a_task_that_nobody_can_serve_opens_no_channel_and_ends_once_all_or_eight_have_said_no() {
    for (bidders, asked) in [(1, 1), (2, 2), (6, 6), (12, limits::FINAL_REFUSALS_MAX)] {
        let mut testbed = Testbed::new(5, CALM);
        let client = testbed.client_with(buyer(), COIN);
        let why = Refusal::OverContext(1);
        thieves(&mut testbed, bidders, Plan::Refuses(why), price(1_000));
        testbed.order(client, 1, task(), COIN, MINUTE);
        let began = testbed.now;
        testbed.run(MINUTE, |testbed| testbed.outcome(1).end.is_some());
        let no = Failure::Refused(why);
        assert_eq!(testbed.outcome(1).end.unwrap().unwrap_err().0, no);
        assert_eq!(testbed.outcome(1).failed_over, vec![no; asked], "{bidders} bidders, each asked once");
        assert!(
            testbed.now.since(began) < Span::from_s(5),
            "{bidders} bidders: {:?}",
            testbed.now.since(began)
        );
        assert_eq!((testbed.chain.opened, testbed.client_at(client).channels().count()), (0, 0));
    }
}

/// (CH-32)
#[test]
fn where_the_bid_gives_credit_nothing_is_locked_before_the_first_useful_chunk() {
    for credit in [Nano::ZERO, Nano(5_000_000)] {
        let mut testbed = Testbed::new(6, CALM);
        let client = testbed.client_with(buyer(), COIN);
        let credits = CreditLimits { per_client: credit, per_hour: COIN };
        let config = ProviderConfig { credit: credits, ..ProviderConfig::for_tests(1) };
        testbed.provider_with(config, price(400_000), 1_000);
        testbed.order(client, 1, task(), COIN, MINUTE);
        testbed.run(MINUTE, |testbed| testbed.client_at(client).channels().count() > 0);
        let began = !testbed.outcome(1).ids.is_empty();
        assert_eq!(began, credit > Nano::ZERO, "without credit it must see money first");
        testbed.run_to_end(MINUTE);
        assert_eq!(testbed.outcome(1).text, engine::answer(60));
    }
}

/// (CH-31)
#[test]
fn a_deposit_grows_with_good_service_up_to_the_usual_one() {
    let mut testbed = Testbed::new(7, CALM);
    let usual = Nano(20 * ceiling(price(400_000)).0);
    let client = testbed.client_with(ClientConfig { deposit: usual, ..buyer() }, COIN);
    testbed.provider(1, price(400_000), 1_000);
    let mut seen = Vec::new();
    for order in 1..=24 {
        testbed.order(client, order, task(), COIN, MINUTE);
        testbed.run_to_end(MINUTE);
        assert_eq!(testbed.outcome(order).text, engine::answer(60), "order {order}");
        seen.push(locked(&testbed, client));
    }
    assert!(seen[0] <= Nano(2 * ceiling(price(400_000)).0), "{seen:?}");
    assert!(seen.iter().any(|rest| rest.0 > usual.0 / 2), "{seen:?}");
    assert!(seen.iter().all(|rest| *rest <= usual), "{seen:?}");
    assert_eq!(testbed.chain.opened, 1);
}

/// (CH-31)
#[test]
fn what_is_locked_with_strangers_is_capped_in_sum() {
    let mut testbed = Testbed::new(8, CALM);
    let one = ceiling(price(1_000));
    let policy = ChannelPolicy { strangers_locked_max: Nano(3 * one.0), ..ChannelPolicy::default() };
    let client = testbed.client_with(ClientConfig { policy, ..buyer() }, COIN);
    thieves(&mut testbed, 6, Plan::MoneyFirst, price(1_000));
    testbed.order(client, 1, task(), COIN, MINUTE);
    let mut most = Nano::ZERO;
    testbed.run(MINUTE, |testbed| {
        most = most.max(locked(testbed, client));
        testbed.outcome(1).end.is_some()
    });
    assert!(most > Nano::ZERO && most <= Nano(3 * one.0), "{most}");
    let told = testbed.outcome(1).failed_over;
    assert!(
        told.iter().any(|why| matches!(why, Failure::Payment(PaymentFault::StrangersLocked { .. }))),
        "{told:?}"
    );
}

/// (CH-32)
#[test]
fn one_stranger_at_a_time_is_given_a_channel_before_it_has_delivered() {
    let mut testbed = Testbed::new(12, CALM);
    let client = testbed.client_with(buyer(), COIN);
    let cheap = price(1_000);
    for number in 1..=4 {
        testbed.thief(Thief::new(100 + number, Plan::MoneyFirst, cheap), None);
    }
    for order in 1..=4 {
        testbed.order(client, order, task(), COIN, MINUTE);
    }
    let mut most = 0;
    let mut seen = 0;
    testbed.run(MINUTE, |testbed| {
        let open = testbed.client_at(client).channels().filter(|payer| payer.is_usable()).count();
        most = most.max(open);
        seen = seen.max(testbed.client_at(client).channels().count());
        (1..=4).all(|order| testbed.outcome(order).end.is_some())
    });
    assert_eq!(most, 1, "the next one waits until the first has failed");
    assert!(seen > 1, "and then has its turn");
}
