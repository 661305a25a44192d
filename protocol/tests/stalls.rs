//! Sellers that let an order wait, for a job or for a bid that never comes: those that do so for nothing are left alone, those that
//! a client itself has loaded are not.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::client::{ChannelPolicy, ClientConfig};
use bombyx_protocol::ident::Prefix;
use bombyx_protocol::io::{Command, Failure};
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::{Order, OrderId};
use testbed::scene::{COIN, FAIR, MINUTE, ends, scene};
use testbed::thief::{Others, Plan, Thief};
use testbed::{CALM, Testbed, ceiling, chat, price};

/// (MK-31) A job that is served between two is no licence for the next.
#[test]
fn a_seller_that_lets_every_other_job_wait_is_left_alone() {
    for leases in [true, false] {
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

/// (MK-31) The others are told that they wait, or nothing; it may have served before.
#[test]
fn a_seller_that_gives_one_order_a_token_now_and_then_may_not_let_all_others_wait() {
    for (others, good_jobs) in
        [(Others::Wait, 0), (Others::Wait, 3), (Others::Silence, 0), (Others::Silence, 3)]
    {
        let mut testbed = Testbed::new(5, CALM);
        let client = testbed.client(5, Nano(200 * COIN.0));
        let mut thief = Thief::new(100, Plan::Trickles(others), price(FAIR / 4));
        (thief.good_jobs, thief.start_ms) = (good_jobs, 3_000);
        testbed.thief(thief, None);
        (1..=u64::from(good_jobs))
            .for_each(|id| assert!(ends(&mut testbed, client, id, chat("hello there", 8))));
        testbed.order(client, 10, chat("a long one", 4_000), Nano(20 * COIN.0), Span::from_s(3_600));
        testbed.run(Span::from_s(2), |_| false);
        (1..=3).for_each(|number| {
            testbed.provider(number, price(FAIR), 1_000);
        });
        let mut failed = 0;
        for id in 11..=40 {
            testbed.order(client, id, chat("hello there", 8), COIN, Span::from_s(10));
            testbed.run(MINUTE, |testbed| testbed.outcome(id).end.is_some());
            failed += usize::from(testbed.outcome(id).end.unwrap().is_err());
            testbed.run(Span::from_s(1), |_| false);
        }
        assert!((1..=5).contains(&failed), "{failed} of 30 orders, {others:?}, {good_jobs} good jobs before");
    }
}

/// (MK-15, MK-31) It has served, as the other does that asks more, and says `Busy` at once, or when it has let a job wait.
#[test]
fn a_seller_that_gives_one_order_a_token_now_and_then_takes_time_of_one_other() {
    for (others, leases) in
        [(Others::Busy, false), (Others::Busy, true), (Others::BusyLater, false), (Others::BusyLater, true)]
    {
        let mut testbed = Testbed::new(5, CALM);
        let config = ClientConfig { leases, ..ClientConfig::for_tests(5) };
        let client = testbed.client_with(config, Nano(200 * COIN.0));
        let mut thief = Thief::new(100, Plan::Trickles(others), price(FAIR * 2 / 3));
        (thief.good_jobs, thief.start_ms) = (3, 3_000);
        testbed.thief(thief, None);
        (1..=3).for_each(|id| assert!(ends(&mut testbed, client, id, chat("hello there", 8))));
        testbed.order(client, 10, chat("a long one", 4_000), Nano(20 * COIN.0), Span::from_s(3_600));
        testbed.run(Span::from_s(2), |_| false);
        testbed.provider(1, price(FAIR), 1_000);
        let mut slow = Vec::new();
        for id in 11..=60 {
            let began = testbed.now;
            assert!(
                ends(&mut testbed, client, id, chat("hello there", 8)),
                "{others:?}, leases {leases}: {id}"
            );
            let took = testbed.now.since(began);
            if took > Span::from_s(1) {
                slow.push(took.as_ms());
            }
            testbed.run(Span::from_s(1), |_| false);
        }
        let most = usize::from(others == Others::BusyLater);
        let is_short = slow.len() <= most && slow.iter().all(|took_ms| *took_ms < 20_000);
        assert!(is_short, "{others:?}, leases {leases}: {slow:?}");
    }
}

/// (MK-31, CH-31) Ten rounds of more orders than two slow sellers can serve in their time: nobody is to blame but the client, and none
/// of the channels on which others are served is asked back.
#[test]
fn sellers_that_a_client_loads_beyond_its_own_deadlines_are_asked_again() {
    for tokens in [43, 200] {
        let mut testbed = Testbed::new(1, CALM);
        testbed.slots = 4;
        for number in 1..=2 {
            let provider = testbed.provider(number, price(FAIR), 1_000_000 / 20);
            testbed.engine_mut(provider).is_shared = true;
        }
        let client = testbed.client(1, Nano(10 * COIN.0));
        for round in 0..10_u64 {
            let ids = round * 24 + 1..=round * 24 + 24;
            for id in ids.clone() {
                testbed.order(client, id, chat("count for me", tokens), COIN, Span::from_s(5));
            }
            testbed.run(MINUTE, |testbed| ids.clone().all(|id| testbed.outcome(id).end.is_some()));
        }
        assert_eq!(testbed.failures(client), [0; 0], "{tokens} tokens");
        testbed.order(client, 1_000, chat("count for me", 20), COIN, Span::from_s(20));
        testbed.run(MINUTE, |testbed| testbed.outcome(1_000).end.is_some());
        assert!(testbed.outcome(1_000).end.unwrap().is_ok(), "{:?}", testbed.outcome(1_000).end);
    }
}

/// (MK-15, MK-45) Awards for which others have taken the room meanwhile are given back.
#[test]
fn orders_that_find_no_room_in_their_channel_mark_no_honest_client() {
    for leases in [true, false] {
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

/// (WR-16) Its word keeps an order for a while, once; then the order goes elsewhere, and so do the next.
#[test]
fn a_word_that_never_comes_true_costs_one_order_some_seconds_and_no_other() {
    for plan in [Plan::Waits, Plan::Reads] {
        let (mut testbed, client, liars) = scene(7, 3, 1, |number| Thief::new(number, plan, price(FAIR / 4)));
        let mut met = 0;
        for order in 1..=6 {
            let began = testbed.now;
            assert!(ends(&mut testbed, client, order, chat("hello there", 8)), "{plan:?}: order {order}");
            let took = testbed.now.since(began);
            let failed_over = testbed.outcome(order).failed_over.len();
            met += failed_over;
            assert!(
                took < Span::from_s(if failed_over > 0 { 40 } else { 5 }),
                "{plan:?}: order {order}: {took:?}"
            );
        }
        assert_eq!(met, 1, "{plan:?}: {liars:?}");
    }
}

/// (MK-31, WR-23) It has served, so that its word that a turn comes excuses it, once.
#[test]
fn a_word_that_never_comes_true_costs_two_orders_of_those_that_it_has_served() {
    for nano_per_ms in [Some(0), None] {
        let mut liar = Thief::new(100, Plan::Waits, price(FAIR * 2 / 3));
        liar.good_jobs = 3;
        let (mut testbed, client, _) = scene(5, 0, 0, |_| unreachable!());
        testbed.thief(liar, Some(Prefix::of_ipv4([10, 9, 1, 1])));
        for order in 1..=3 {
            assert!(ends(&mut testbed, client, order, chat("hello there", 8)));
        }
        for number in 1..=2 {
            testbed.provider(number, price(FAIR), 1_000);
        }
        let mut lost = 0;
        for order in 4..=15 {
            let placed = testbed::order(chat("hello there", 8), COIN, Span::from_s(6));
            testbed.place_order(client, order, Order { nano_per_ms, ..placed });
            testbed.run(Span::from_s(100), |testbed| testbed.outcome(order).end.is_some());
            lost += usize::from(testbed.outcome(order).end.unwrap().is_err());
        }
        assert!((1..=2).contains(&lost), "{lost} of twelve, {nano_per_ms:?}");
    }
}

/// (MK-65) Each asks for as long as it is sought, and a new one comes every eight seconds or none does.
#[test]
fn asks_of_those_that_never_bid_keep_no_order_waiting_until_its_deadline() {
    for (comes_another, most_s) in [(false, 30), (true, 75)] {
        let (mut testbed, client, _) = scene(8, 0, 0, |_| unreachable!());
        let silent = |testbed: &mut Testbed, number: u8| {
            let mut silent = Thief::new(100 + number, Plan::Silent, price(1));
            silent.ask = Some(price(1));
            testbed.thief(silent, Some(Prefix::of_ipv4([10, 9, number, 1])));
        };
        silent(&mut testbed, 0);
        testbed.seek(client);
        testbed.order(client, 1, chat("hello there", 8), COIN, Span::from_s(600));
        let began = testbed.now;
        for second in 1..600u32 {
            testbed.run(Span::from_s(1), |testbed| testbed.outcome(1).end.is_some());
            if testbed.outcome(1).end.is_some() {
                break;
            }
            testbed.command(client, Command::Surveyed { alone_since: None });
            testbed.command(client, Command::Seek(Topic::Model(testbed::MODEL)));
            if comes_another && second % 8 == 0 {
                silent(&mut testbed, u8::try_from(second / 8).unwrap());
            }
        }
        assert_eq!(testbed.outcome(1).end.unwrap().unwrap_err().0, Failure::NoSeller { others: 0 });
        let took = testbed.now.since(began);
        assert!(took < Span::from_s(most_s), "{took:?}");
    }
}

/// (MK-15, MK-45) By their user, or by their deadline: the answer to an award takes 120 ms.
#[test]
fn orders_that_end_while_their_award_is_out_mark_no_honest_client() {
    let mut awarded_after = MINUTE;
    for is_cancelled in [true, false] {
        let mut testbed = Testbed::new(5, CALM);
        testbed.slots = 16;
        let client = testbed.client(1, COIN);
        let provider = testbed.provider(1, price(FAIR), 1_000);
        testbed.slow_us.insert(provider, 60_000);
        assert!(ends(&mut testbed, client, 100, chat("hello there", 8)));
        // No session is kept any more.
        testbed.kill(client);
        testbed.restart(client);
        testbed.run(Span::from_s(2), |_| false);
        let (began, deadline) = (testbed.now, Span::from_ms(awarded_after.as_ms() + 50));
        for id in 1..=8 {
            testbed.order(client, id, chat("hello there", 8), COIN, deadline);
        }
        testbed.run(MINUTE, |testbed| testbed.to_providers["award"] == 9);
        awarded_after = testbed.now.since(began);
        if is_cancelled {
            (1..=8).for_each(|id| testbed.command(client, Command::Cancel(OrderId(id))));
        }
        testbed.run(Span::from_s(8), |_| false);
        assert!((1..=8).all(|id| testbed.outcome(id).end.is_some_and(|end| end.is_err())));
        assert!(testbed.faults.is_empty(), "cancelled {is_cancelled}: {:?}", testbed.faults);
        assert!(testbed.crowds.is_empty(), "cancelled {is_cancelled}: {:?}", testbed.crowds);
        assert!(ends(&mut testbed, client, 9, chat("hello there", 8)));
        assert!(testbed.outcome(9).failed_over.is_empty(), "cancelled {is_cancelled}");
    }
}
