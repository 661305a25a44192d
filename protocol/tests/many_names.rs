//! What one owner gains by many keys, many words, or a word that costs it nothing.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::Preferences;
use bombyx_protocol::client::ClientConfig;
use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::io::{Command, Failure};
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::message::Refusal;
use bombyx_protocol::work::order::{InputCount, Order, TaskKind};
use testbed::scene::{COIN, FAIR, MINUTE, ends, last, places, scene};
use testbed::thief::{Others, Plan, Thief};
use testbed::{CALM, MODEL, Outcome, Testbed, chat, order, price};

/// A client that these sellers have served, which are so far away.
fn market(honest: u64, slow_us: u64, leases: bool) -> (Testbed, NodeId) {
    let mut testbed = Testbed::new(3, CALM);
    let client = testbed.client_with(ClientConfig { leases, ..ClientConfig::for_tests(3) }, COIN);
    for number in 1..=honest {
        let seller = testbed.provider(3_000 + number, price(FAIR), 1_000);
        testbed.slow_us.insert(seller, slow_us);
    }
    for id in 1_001..=1_020 {
        assert!(ends(&mut testbed, client, id, chat("hello there", 8)));
    }
    (testbed, client)
}

/// (MK-17) Three hundred keys obey, so that a share of the crowd holds many of them, and of the honest nobody.
#[test]
fn many_names_have_no_orders_of_a_client_that_others_have_served() {
    for (honest, slow_us, leases, prefixes, times) in
        [(3, 80_000, false, 3, 10), (3, 80_000, false, 3, 1_000), (1, 0, true, 3, 10), (1, 0, true, 2, 2)]
    {
        let (mut testbed, client) = market(honest, slow_us, leases);
        let names: Vec<NodeId> = (0..300)
            .map(|key| {
                let name = Thief::of_many(key, Plan::Short(8), price(times * FAIR * 19 / 20));
                let address = Prefix::of_ipv4([10, 9, u8::try_from(key % prefixes).unwrap(), 1]);
                testbed.thief(name, Some(address))
            })
            .collect();
        let taken = (1..=30).filter(|id| {
            let outcome = places(&mut testbed, client, *id, order(chat("hello there", 8), COIN, MINUTE));
            testbed.run(Span::from_s(20), |_| false);
            assert!(outcome.end.as_ref().unwrap().is_ok());
            last(&outcome).is_some_and(|seller| names.contains(&seller))
        });
        let taken = taken.count();
        assert!(
            taken <= 3,
            "{taken} of 30 beside {honest} in {prefixes} prefixes at {times} times the price"
        );
    }
}

/// (MK-17) They bid although nobody invited them.
#[test]
fn who_was_not_invited_makes_no_crowd() {
    let (mut testbed, client) = market(3, 80_000, false);
    for number in 0..150u8 {
        let name = Thief::new(100u8.wrapping_add(number), Plan::Deaf, price(100 * FAIR));
        testbed.thief(name, Some(Prefix::of_ipv4([10, 9, 9, number])));
    }
    let from = testbed.now;
    for id in 1..=20 {
        assert!(ends(&mut testbed, client, id, chat("hello there", 8)));
    }
    let each = testbed.now.since(from).as_ms() / 20;
    assert!(each < 1_000, "{each} ms");
}

/// (MK-6, MK-20) It has served, is fast, bids late eight times, and then well: nobody else has bid by then.
#[test]
fn a_provider_has_one_word_in_an_auction_however_often_it_bids() {
    for times in [2, 10] {
        let (mut testbed, client) = market(3, 80_000, false);
        let mut thief = Thief::new(100, Plan::Short(8), price(FAIR * 9 / 10));
        thief.late_first = 8;
        thief.raise = Some((4, price(FAIR * times * 19 / 20)));
        let id = testbed.thief(thief, None);
        let outcomes: Vec<Outcome> = (1..=40)
            .map(|id| places(&mut testbed, client, id, order(chat("hello there", 8), COIN, MINUTE)))
            .collect();
        assert!(outcomes.iter().all(|outcome| outcome.end.as_ref().unwrap().is_ok()));
        let taken = outcomes.iter().filter(|outcome| last(outcome) == Some(id)).count();
        assert!(taken <= 8, "{taken} of 40 at {times} times");
    }
}

/// (MK-50) One stranger says 64 times that it has time in weeks.
#[test]
fn late_bids_of_one_hide_no_others() {
    for late in [0, 64] {
        let (mut testbed, client, _) = scene(3, 0, 0, |_| unreachable!());
        testbed.slots = 1;
        let honest = testbed.provider(1, price(FAIR), 50_000);
        testbed.slow_us.insert(honest, 5_000);
        if late > 0 {
            let mut thief = Thief::new(100, Plan::Deaf, price(FAIR / 4));
            (thief.late_first, thief.start_ms) = (late, u32::MAX);
            testbed.thief(thief, None);
        }
        let other = testbed.client(77, COIN);
        let only = Preferences { only: vec![honest], ..Preferences::default() };
        for id in 11..=14 {
            let of_other = order(chat("hello there", 100), COIN, MINUTE);
            testbed.place_order(other, id, Order { preferences: only.clone(), ..of_other });
        }
        testbed.run(Span::from_s(3), |_| false);
        let outcome = places(&mut testbed, client, 1, order(chat("hello there", 8), COIN, Span::from_s(14)));
        let end = outcome.end.unwrap();
        assert!(matches!(end, Err((Failure::Full { come_back_s: 1..=10, .. }, _))), "{late}: {end:?}");
    }
}

/// (MK-15, MK-47) Its bid begins in weeks, costs all the money there is, or wants a challenge time of years; or it declines. The honest
/// one is slow, or being started again.
#[test]
fn what_one_stranger_says_ends_no_order_that_another_serves() {
    for kind in ["late", "dear", "challenge", "decline"] {
        for is_away in [false, true] {
            let plan = if kind == "decline" { Plan::Declines(Refusal::WrongKind) } else { Plan::Short(8) };
            let (mut testbed, client, _) = scene(3, 0, 1, |number| {
                let mut thief = Thief::new(number, plan, price(FAIR / 4));
                match kind {
                    "late" => thief.start_ms = u32::MAX,
                    "dear" => thief.price = price(1_000_000_000 * FAIR),
                    "challenge" => thief.challenge_s = u32::MAX,
                    _ => {}
                }
                thief
            });
            let honest = testbed.provider(3_001, price(FAIR), 1_000);
            if is_away {
                for id in 11..=18 {
                    assert!(ends(&mut testbed, client, id, chat("hello there", 8)), "{kind}");
                }
                testbed.run(Span::from_s(700), |_| false);
                testbed.kill(honest);
            } else {
                testbed.slow_us.insert(honest, 300_000);
            }
            testbed.order(client, 1, chat("hello there", 8), COIN, MINUTE);
            testbed.run(Span::from_ms(1_800), |testbed| testbed.outcome(1).end.is_some());
            if is_away {
                testbed.restart(honest);
                testbed.offer(honest, price(FAIR), TaskKind::Generate, MODEL);
            }
            testbed.run(Span::from_s(100), |testbed| testbed.outcome(1).end.is_some());
            let end = testbed.outcome(1).end.unwrap();
            assert!(end.is_ok(), "{kind}, away {is_away}: {end:?}");
        }
    }
}

/// (MK-15) Each says what is held against nobody: that its bid has lapsed, was for another task, or that it leaves.
#[test]
fn strangers_that_give_harmless_reasons_end_no_order() {
    for why in [Refusal::UnknownBid, Refusal::OtherClass, Refusal::Leaving, Refusal::Busy] {
        for liars in [2, 3, 6] {
            let liar = |number| Thief::new(number, Plan::Refuses(why), price(FAIR / 4));
            let (mut testbed, client, _) = scene(1, 2, liars, liar);
            for id in 1..=5 {
                let is_answered = ends(&mut testbed, client, id, chat("hello there", 8));
                assert!(is_answered, "{why:?} of {liars}: {:?}", testbed.outcome(id).end);
            }
        }
    }
}

/// (MK-31) A token each three seconds, for as long as each order has time.
#[test]
fn a_trickler_has_few_orders_whether_or_not_it_has_served() {
    for good_jobs in [0, 6] {
        let (mut testbed, client, _) = scene(1, 3, 0, |_| unreachable!());
        let mut liar = Thief::new(100, Plan::Trickles(Others::Silence), price(FAIR / 2));
        liar.good_jobs = good_jobs;
        testbed.thief(liar, None);
        let lost = (1..=30).filter(|id| !ends(&mut testbed, client, *id, chat("hello there", 100)));
        let lost = lost.count();
        assert!(lost <= 6, "{lost} of 30 after {good_jobs} good jobs");
    }
}

/// (MK-52) It sold at two fifths of the price that the others must ask, or at a hundredth, and is gone.
#[test]
fn a_market_opens_again_after_a_cheap_seller_has_left() {
    for (theirs, most) in [(FAIR * 2 / 5, 1), (FAIR / 100, 7)] {
        let (mut testbed, client, _) = scene(5, 1, 0, |_| unreachable!());
        let id = testbed.thief(Thief::new(100, Plan::Short(8), price(theirs)), None);
        for id in 1..=20 {
            assert!(ends(&mut testbed, client, id, chat("hello there", 8)));
        }
        testbed.kill(id);
        let refused = (21..=40).filter(|id| {
            // An order now and then.
            testbed.run(Span::from_s(610), |_| false);
            !ends(&mut testbed, client, *id, chat("hello there", 8))
        });
        let refused = refused.count();
        assert!(refused <= most, "{refused} of 20 refused");
        assert!(testbed.outcome(40).end.unwrap().is_ok());
    }
}

/// (MK-52) The only one that has served asks fifty times as much; strangers that ask a million times as much bound nobody.
#[test]
fn a_lone_seller_does_not_raise_its_price_at_once_whoever_bids_beside_it() {
    for strangers in [0, 2] {
        let (mut testbed, client, _) =
            scene(3, 0, strangers, |number| Thief::new(number, Plan::Deaf, price(1_000_000 * FAIR)));
        let mut thief = Thief::new(99, Plan::Short(8), price(FAIR));
        thief.raise = Some((10, price(50 * FAIR)));
        testbed.thief(thief, None);
        for id in 1..=30 {
            ends(&mut testbed, client, id, chat("hello there", 8));
            let (Ok(bill) | Err((_, bill))) = testbed.outcome(id).end.unwrap();
            assert!(bill.cost.0 < 10_000, "{strangers} strangers, order {id}: {}", bill.cost);
        }
    }
}

/// (WR-22) It counts more input than the honest have room for, and gives nothing.
#[test]
fn what_a_provider_counts_does_not_stay_with_an_order_that_it_fails() {
    let liar = |number| Thief::new(number, Plan::Refuses(Refusal::Counts(1_060)), price(FAIR / 4));
    let (mut testbed, client, _) = scene(3, 0, 1, liar);
    testbed.context_tokens = 1_024;
    for number in 1..=2 {
        testbed.provider(3_000 + number, price(FAIR), 1_000);
    }
    let placed = order(chat(&"x".repeat(1_000), 8), COIN, MINUTE);
    let outcome = places(&mut testbed, client, 1, Order { input: InputCount::Estimated, ..placed });
    assert!(outcome.end.as_ref().unwrap().is_ok(), "{:?}", outcome.end);
}

/// (MK-31) Two strangers see the deposit; the client's own ledger is seconds behind.
#[test]
fn who_is_not_paid_by_a_client_that_does_not_see_its_own_channel_is_not_on_record_for_it() {
    for behind_s in [4, 10, 15] {
        let (mut testbed, client, _) = scene(4, 2, 0, |_| unreachable!());
        testbed.chain.blind.insert(client);
        testbed.order(client, 1, chat("hello there", 400), COIN, MINUTE);
        testbed.run(Span::from_s(behind_s), |testbed| testbed.outcome(1).end.is_some());
        testbed.chain.blind.remove(&client);
        testbed.chain.tell_all_again();
        testbed.command(client, Command::Clock { unix_s: testbed.now.0 / 1_000_000 });
        testbed.run(Span::from_s(100), |testbed| testbed.outcome(1).end.is_some());
        testbed.run(Span::from_s(3), |_| false);
        assert!(testbed.outcome(1).end.unwrap().is_ok());
        assert_eq!(testbed.failures(client), [], "{behind_s} s behind");
    }
}

/// (MK-13) Another bids, whom the order does not want.
#[test]
fn a_named_seller_that_is_away_for_a_moment_is_waited_for_beside_others() {
    for away_s in [2, 8] {
        let (mut testbed, client, _) = scene(3, 2, 0, |_| unreachable!());
        for id in 11..=18 {
            assert!(ends(&mut testbed, client, id, chat("hello there", 8)));
        }
        let named = last(&testbed.outcome(18)).unwrap();
        testbed.kill(named);
        let only = Preferences { only: vec![named], ..Preferences::default() };
        let placed = order(chat("hello there", 8), COIN, MINUTE);
        testbed.place_order(client, 1, Order { preferences: only, ..placed });
        testbed.run(Span::from_s(away_s), |_| false);
        testbed.restart(named);
        testbed.offer(named, price(FAIR), TaskKind::Generate, MODEL);
        testbed.run(MINUTE, |testbed| testbed.outcome(1).end.is_some());
        let end = testbed.outcome(1).end.unwrap();
        assert!(end.is_ok(), "{away_s} s away: {end:?}");
    }
}
