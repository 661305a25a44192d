//! Sellers that let a job wait until its order's deadline: those that do so for nothing are left alone, those that a client itself
//! has loaded are not.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::client::{ChannelPolicy, ClientConfig};
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::time::Span;
use testbed::thief::{Plan, Thief};
use testbed::{CALM, Testbed, ceiling, chat, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);
const FAIR: u64 = 400_000;

fn failures(testbed: &Testbed, client: NodeId) -> Vec<u8> {
    let of =
        |record: &Record| if let Record::Reputation(known) = record { Some(known.failures) } else { None };
    testbed.disk(client).filter_map(of).filter(|failures| *failures > 0).collect()
}

/// (MK-31) A job that is served between two is no licence for the next.
#[test]
fn a_seller_that_lets_every_other_job_wait_is_left_alone() {
    for leases in [false, true] {
        let mut testbed = Testbed::new(5, CALM);
        let config = ClientConfig { leases, ..ClientConfig::for_tests(5) };
        let client = testbed.client_with(config, COIN);
        let mut thief = Thief::new(100, Plan::Waits, price(FAIR / 4));
        thief.alternates = true;
        testbed.thief(thief, None);
        (1..=3).for_each(|number| {
            testbed.provider(number, price(FAIR), 1_000);
        });
        let mut failed = 0;
        for id in 1..=30 {
            testbed.order(client, id, chat("hello there", 8), COIN, Span::from_s(10));
            testbed.run(MINUTE, |testbed| testbed.outcome(id).end.is_some());
            failed += usize::from(testbed.outcome(id).end.unwrap().is_err());
            testbed.run(Span::from_s(1), |_| false);
        }
        assert!(failed <= 3, "{failed} of 30 orders, leases {leases}");
    }
}

/// (MK-31, CH-31) Four rounds of more orders than two slow sellers can serve in their time: nobody is to blame but the client, and none
/// of the channels on which others are served is asked back.
#[test]
fn sellers_that_a_client_loads_beyond_its_own_deadlines_are_asked_again() {
    let mut testbed = Testbed::new(1, CALM);
    testbed.slots = 4;
    for number in 1..=2 {
        let provider = testbed.provider(number, price(FAIR), 1_000_000 / 20);
        testbed.engine_mut(provider).is_shared = true;
    }
    let client = testbed.client(1, Nano(10 * COIN.0));
    for round in 0..4_u64 {
        let ids = round * 24 + 1..=round * 24 + 24;
        for id in ids.clone() {
            testbed.order(client, id, chat("count for me", 43), COIN, Span::from_s(5));
        }
        testbed.run(MINUTE, |testbed| ids.clone().all(|id| testbed.outcome(id).end.is_some()));
    }
    assert_eq!(failures(&testbed, client), [0; 0]);
    testbed.order(client, 1_000, chat("count for me", 20), COIN, Span::from_s(20));
    testbed.run(MINUTE, |testbed| testbed.outcome(1_000).end.is_some());
    assert!(testbed.outcome(1_000).end.unwrap().is_ok(), "{:?}", testbed.outcome(1_000).end);
}

/// (MK-15, MK-45) Awards for which others have taken the room meanwhile are given back.
#[test]
fn orders_that_find_no_room_in_their_channel_mark_no_honest_client() {
    for leases in [false, true] {
        let most = Nano(3 * ceiling(price(FAIR), &chat("count for me", 100)).0);
        let mut testbed = Testbed::new(2, CALM);
        testbed.slots = 64;
        let policy = ChannelPolicy { deposit_max: most, ..ChannelPolicy::default() };
        let config = ClientConfig { leases, policy, ..ClientConfig::for_tests(1) };
        let client = testbed.client_with(config, COIN);
        testbed.provider(1, price(FAIR), 5_000);
        testbed.order(client, 1_000, chat("count for me", 100), COIN, MINUTE);
        testbed.run(MINUTE, |testbed| testbed.outcome(1_000).end.is_some());
        testbed.run(Span::from_s(2), |_| false);
        // No session is kept any more.
        testbed.kill(client);
        testbed.restart(client);
        testbed.run(Span::from_s(2), |_| false);
        for id in 1..=20 {
            testbed.order(client, id, chat("count for me", 100), COIN, MINUTE);
        }
        testbed.run(MINUTE, |testbed| (1..=20).all(|id| testbed.outcome(id).end.is_some()));
        let done = (1..=20).filter(|id| testbed.outcome(*id).end.is_some_and(|end| end.is_ok())).count();
        assert_eq!(done, 20, "leases {leases}");
        assert!(testbed.faults.is_empty(), "{:?}", testbed.faults);
        assert!(testbed.crowds.is_empty(), "{:?}", testbed.crowds);
    }
}
