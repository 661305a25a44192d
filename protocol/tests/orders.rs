//! An order lives until its deadline: what passes by itself costs it a retry, never an error, as long as its time lasts.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::LedgerCall;
use bombyx_protocol::client::{ClientConfig, MarketPolicy};
use bombyx_protocol::io::{Command, Failure};
use bombyx_protocol::limits;
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::extension::Extensions;
use bombyx_protocol::wire::message::{Ack, FromClient, Refusal};
use bombyx_protocol::work::order::{Task, TaskKind};
use testbed::guest::{Guest, channel, net, work};
use testbed::thief::{Plan, Thief};
use testbed::{CALM, Testbed, chat, engine, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);

fn ends(testbed: &mut Testbed, orders: impl Iterator<Item = u64> + Clone) {
    testbed
        .run(Span::from_s(200), |testbed| orders.clone().all(|order| testbed.outcome(order).end.is_some()));
}

/// (MK-15)
#[test]
fn a_provider_that_comes_at_the_last_moment_still_serves() {
    for late in [0, 3, 11, 40] {
        let mut testbed = Testbed::new(1, CALM);
        let client = testbed.client(1, COIN);
        testbed.order(client, 1, chat("count for me", 20), COIN, MINUTE);
        testbed.run(Span::from_s(late), |_| false);
        assert!(testbed.outcome(1).end.is_none(), "it waits");
        testbed.provider(1, price(400_000), 1_000);
        ends(&mut testbed, 1..=1);
        assert!(testbed.outcome(1).end.unwrap().is_ok(), "{late} s");
        assert_eq!(testbed.outcome(1).text, engine::answer(20));
    }
}

/// (MK-15)
#[test]
fn a_channel_that_its_provider_closes_costs_a_retry_before_a_job_and_in_the_middle_of_one() {
    for tokens in [20, 2_000] {
        let mut testbed = Testbed::new(2, CALM);
        let client = testbed.client(1, COIN);
        let provider = testbed.provider(1, price(400_000), 5_000);
        testbed.order(client, 1, chat("count for me", 20), COIN, MINUTE);
        ends(&mut testbed, 1..=1);
        let account = testbed.client_at(client).channels().next().unwrap().account();
        testbed.command(provider, Command::Close { account });
        if tokens > 100 {
            // The close is on its way while the next job begins.
            testbed.order(client, 2, chat("count for me", tokens), COIN, MINUTE);
        } else {
            testbed.run(Span::from_s(5), |_| false);
            testbed.order(client, 2, chat("count for me", tokens), COIN, MINUTE);
        }
        ends(&mut testbed, 2..=2);
        let outcome = testbed.outcome(2);
        assert!(outcome.end.unwrap().is_ok(), "{tokens}: {:?}", outcome.failed_over);
        assert_eq!(outcome.text, engine::answer(tokens));
    }
}

/// (MK-15) Also the provider that a lease stands with, and the only one that there is.
#[test]
fn a_provider_that_was_started_again_is_asked_again_within_the_order_s_time() {
    let mut testbed = Testbed::new(3, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 2_000);
    for order in 1..=4 {
        testbed.order(client, order, chat("count for me", 20), COIN, MINUTE);
        ends(&mut testbed, order..=order);
    }
    testbed.kill(provider);
    testbed.order(client, 5, chat("count for me", 20), COIN, MINUTE);
    testbed.run(Span::from_s(20), |_| false);
    assert!(testbed.outcome(5).end.is_none());
    testbed.restart(provider);
    testbed.offer(provider, price(400_000), TaskKind::Generate, testbed::MODEL);
    ends(&mut testbed, 5..=5);
    assert_eq!(testbed.outcome(5).text, engine::answer(20));
}

/// (MK-15) With a lease standing as without one.
#[test]
fn a_deadline_in_the_middle_of_an_answer_is_called_one() {
    let mut testbed = Testbed::new(4, CALM);
    let client = testbed.client(1, COIN);
    testbed.provider(1, price(400_000), 50_000);
    for order in 1..=3 {
        testbed.order(client, order, chat("count for me", 500), COIN, Span::from_s(5));
        ends(&mut testbed, order..=order);
        let (why, bill) = testbed.outcome(order).end.unwrap().unwrap_err();
        assert_eq!(why, Failure::Deadline);
        assert!(bill.cost > Nano::ZERO && bill.output_tokens > 0);
    }
}

/// (MK-48, WR-23) Forty tokens a second, all slots together: the last of eighty begins after some forty seconds.
#[test]
fn eighty_short_chats_at_once_on_four_slots_are_all_answered_and_another_client_has_its_turn() {
    let mut testbed = Testbed::new(5, CALM);
    let (client, other) = (testbed.client(1, COIN), testbed.client(2, COIN));
    testbed.provider(1, price(400_000), 100_000);
    for order in 1..=80 {
        testbed.order(client, order, chat("count for me", 20), COIN, Span::from_s(120));
    }
    testbed.run(Span::from_s(3), |_| false);
    testbed.order(other, 99, chat("count for me", 20), COIN, Span::from_s(120));
    let asked = testbed.now;
    ends(&mut testbed, 99..=99);
    let took = testbed.now.since(asked);
    assert!(took < Span::from_s(8), "{took:?}: its turn is the next, and a job takes two seconds");
    ends(&mut testbed, 1..=80);
    for order in (1..=80).chain([99]) {
        let outcome = testbed.outcome(order);
        assert!(outcome.end.clone().unwrap().is_ok(), "{order}: {:?} {:?}", outcome.end, outcome.failed_over);
        assert_eq!(outcome.text, engine::answer(20));
    }
}

/// (MK-15, MK-48, MK-50) Seventy seconds of work for orders that have a hundred: twice as many as may wait in the line.
#[test]
fn nobody_is_sent_away_while_its_time_lasts_however_many_come_at_once() {
    let mut testbed = Testbed::new(16, CALM);
    let (client, other) = (testbed.client(1, COIN), testbed.client(2, COIN));
    testbed.provider(1, price(400_000), 100_000);
    for order in 1..=140 {
        let of = if order % 3 == 0 { other } else { client };
        testbed.order(of, order, chat("count for me", 20), COIN, Span::from_s(100));
    }
    ends(&mut testbed, 1..=140);
    let failed: Vec<_> = (1..=140)
        .filter_map(|order| testbed.outcome(order).end.unwrap().err().map(|(why, _)| (order, why)))
        .collect();
    assert_eq!(failed, []);
}

/// (MK-49) An answer limit is only a limit.
#[test]
fn an_answer_that_may_be_longer_than_the_model_holds_is_cut_there() {
    for limit in [9_000, 100_000] {
        let mut testbed = Testbed::new(6, CALM);
        let client = testbed.client(1, Nano(100 * COIN.0));
        testbed.provider(1, price(4_000), 100);
        testbed.order(client, 1, chat("count for me", limit), COIN, MINUTE);
        ends(&mut testbed, 1..=1);
        let outcome = testbed.outcome(1);
        assert!(outcome.end.clone().unwrap().is_ok(), "{:?} {:?}", outcome.end, outcome.failed_over);
        assert!(outcome.ids.len() > 4_000 && outcome.ids.len() <= 4_096, "{}", outcome.ids.len());
    }
}

/// (MK-47, MK-49)
#[test]
fn what_no_provider_can_do_is_said_at_once_and_why() {
    let too_long = chat(&"x".repeat(9_000), 20);
    let other_kind = Task::Embed { inputs: vec!["a".into()] };
    for (task, why) in [(too_long, Refusal::OverContext(4_096)), (other_kind, Refusal::WrongKind)] {
        for providers in [1, 3] {
            let mut testbed = Testbed::new(7, CALM);
            let client = testbed.client(1, COIN);
            for number in 1..=providers {
                testbed.provider(number, price(400_000), 1_000);
            }
            testbed.order(client, 1, task.clone(), COIN, MINUTE);
            let began = testbed.now;
            ends(&mut testbed, 1..=1);
            assert_eq!(testbed.outcome(1).end.unwrap().unwrap_err().0, Failure::Refused(why));
            assert!(testbed.now.since(began) < Span::from_s(3));
            assert_eq!((testbed.chain.opened, testbed.client_at(client).channels().count()), (0, 0));
        }
    }
}

/// (MK-50) Without a lease and with one.
#[test]
fn who_cannot_be_served_in_time_is_told_when_to_come_back_and_is_served_then() {
    for leased in [false, true] {
        let mut testbed = Testbed::new(8, CALM);
        testbed.slots = 1;
        let client = testbed.client(1, COIN);
        testbed.provider(1, price(400_000), 100_000);
        if leased {
            testbed.order(client, 9, chat("count for me", 5), COIN, MINUTE);
            ends(&mut testbed, 9..=9);
        }
        testbed.order(client, 1, chat("count for me", 120), COIN, MINUTE);
        testbed.run(MINUTE, |testbed| !testbed.outcome(1).ids.is_empty());
        for order in 2..=4 {
            testbed.order(client, order, chat("count for me", 10), COIN, Span::from_s(3));
        }
        ends(&mut testbed, 2..=4);
        for order in 2..=4 {
            let why = testbed.outcome(order).end.unwrap().unwrap_err().0;
            let Failure::Full { come_back_s, .. } = why else { panic!("leased {leased}: {why}") };
            assert!((3..=30).contains(&come_back_s), "{come_back_s}");
            testbed.run(Span::from_s(u64::from(come_back_s)), |_| false);
            testbed.order(client, 10 + order, chat("count for me", 10), COIN, Span::from_s(3));
            ends(&mut testbed, 10 + order..=10 + order);
            assert!(testbed.outcome(10 + order).end.unwrap().is_ok(), "order {order}");
        }
    }
}

/// (MK-50) By the line that the provider told of, or after some seconds where none said anything.
#[test]
fn who_is_refused_as_busy_until_its_time_is_over_is_told_when_to_come_back() {
    let mut testbed = Testbed::new(11, CALM);
    let client = testbed.client(1, COIN);
    testbed.thief(Thief::new(1, Plan::Busy, price(400_000)), None);
    testbed.order(client, 1, chat("count for me", 10), COIN, Span::from_s(4));
    ends(&mut testbed, 1..=1);
    let why = testbed.outcome(1).end.unwrap().unwrap_err().0;
    let Failure::Full { come_back_s, .. } = why else { panic!("{why}") };
    assert!((5..=7).contains(&come_back_s), "{come_back_s}");
}

/// (MK-48, CH-5) The deposit of its channel is worth nothing, which is found out at its turn.
#[test]
fn a_task_whose_turn_comes_and_whose_money_does_not_is_given_up_and_keeps_nobody_awake() {
    let mut testbed = Testbed::new(10, CALM);
    testbed.slots = 1;
    let provider = testbed.provider(1, price(400_000), 10_000);
    let mut first = Guest::new(&mut testbed, 1, net(1));
    let bid = first.call(&mut testbed, provider).unwrap();
    let session = first.award(&mut testbed, provider, &bid).unwrap();
    let mut poor = Guest::new(&mut testbed, 2, net(2));
    let poor_bid = poor.call(&mut testbed, provider).unwrap();
    let mut poor_session = poor.award(&mut testbed, provider, &poor_bid).unwrap();
    first.work(&mut testbed, provider, &bid.0, session, 60);
    testbed.run(Span::from_ms(100), |_| false);
    let task = work(60, channel(&poor_bid.0, 2));
    let open = LedgerCall::Open { terms: task.channel.clone().into(), deposit: Nano(1) };
    poor.gives(&mut testbed, provider, &mut poor_session, task);
    testbed.chain.fund([9; 32], COIN);
    testbed.chain.call(poor.identity.id(), Some([9; 32]), open);
    let before = testbed.events;
    testbed.run(MINUTE, |_| false);
    assert!(testbed.events - before < 3_000, "{} things happened", testbed.events - before);
    let poor = testbed.served.iter().find(|(_, served)| served.client == poor.identity.id());
    assert_eq!(poor.unwrap().1.refused, Some(Refusal::Unfunded));
}

/// (MK-61)
#[test]
fn a_provider_that_leaves_says_so_and_the_next_order_goes_elsewhere_at_once() {
    let mut testbed = Testbed::new(9, CALM);
    let client = testbed.client(1, COIN);
    let first = testbed.provider(1, price(400_000), 1_000);
    testbed.order(client, 1, chat("count for me", 5), COIN, MINUTE);
    ends(&mut testbed, 1..=1);
    let second = testbed.provider(2, price(400_000), 1_000);
    testbed.command(client, Command::Seek(Topic::Model(testbed::MODEL)));
    testbed.run(Span::from_s(3), |_| false);
    let offers = |testbed: &Testbed| testbed.client_at(client).asks(testbed.now).count();
    assert_eq!(offers(&testbed), 2);
    testbed.command(first, Command::Drain);
    testbed.run(Span::from_ms(100), |_| false);
    assert_eq!(offers(&testbed), 1);
    testbed.order(client, 2, chat("count for me", 5), COIN, MINUTE);
    ends(&mut testbed, 2..=2);
    let outcome = testbed.outcome(2);
    assert!(outcome.failed_over.is_empty(), "{:?}", outcome.failed_over);
    assert_eq!(outcome.end.unwrap().unwrap().providers, [second]);
}

/// (CH-31) A new channel would be locked for longer than a provider of one good job may ask for.
#[test]
fn a_longer_challenge_is_no_obstacle_where_a_channel_stands() {
    let mut testbed = Testbed::new(12, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 1_000);
    testbed.order(client, 1, chat("count for me", 5), COIN, MINUTE);
    ends(&mut testbed, 1..=1);
    testbed.run(Span::from_s(10), |_| false);
    testbed.kill(provider);
    testbed.reconfigure(provider, |config| config.challenge_s = 2 * limits::CHALLENGE_STRANGER_S);
    testbed.restart(provider);
    testbed.offer(provider, price(400_000), TaskKind::Generate, testbed::MODEL);
    testbed.order(client, 2, chat("count for me", 5), COIN, MINUTE);
    ends(&mut testbed, 2..=2);
    let outcome = testbed.outcome(2);
    assert!(outcome.end.clone().unwrap().is_ok(), "{:?} {:?}", outcome.end, outcome.failed_over);
    assert_eq!(testbed.chain.opened, 1, "on the channel that was there");
}

/// (MK-15, MK-48) It says that it leaves, which is nobody's fault.
#[test]
fn tasks_of_a_model_that_its_owner_withdraws_go_elsewhere_and_its_provider_is_as_good_as_before() {
    let mut testbed = Testbed::new(13, CALM);
    testbed.slots = 1;
    let client = testbed.client(1, COIN);
    let first = testbed.provider(1, price(400_000), 50_000);
    testbed.order(client, 1, chat("count for me", 200), COIN, MINUTE);
    testbed.run(Span::from_s(5), |_| false);
    testbed.order(client, 2, chat("count for me", 20), COIN, MINUTE);
    testbed.run(Span::from_s(3), |_| false);
    assert!(testbed.outcome(2).ids.is_empty(), "it waits for the slot");
    let second = testbed.provider(2, price(500_000), 1_000);
    testbed.slots = 0;
    testbed.offer(first, price(400_000), TaskKind::Generate, testbed::MODEL);
    ends(&mut testbed, 1..=2);
    let [long, short] = [1, 2].map(|order| testbed.outcome(order));
    assert_eq!(long.end.unwrap().unwrap().providers, [first], "what runs is finished");
    assert_eq!(short.failed_over, [Failure::Refused(Refusal::Leaving)]);
    assert_eq!(short.end.unwrap().unwrap().providers, [first, second]);
    testbed.slots = 1;
    testbed.offer(first, price(400_000), TaskKind::Generate, testbed::MODEL);
    testbed.kill(second);
    testbed.order(client, 3, chat("count for me", 20), COIN, MINUTE);
    ends(&mut testbed, 3..=3);
    assert_eq!(testbed.outcome(3).end.unwrap().unwrap().providers.last(), Some(&first));
}

/// (MK-11, MK-51) One of a prefix is read, and two of proven ones; who is not read need not wait for the end of its bid.
#[test]
fn who_bids_beyond_those_that_are_read_of_a_prefix_is_told_so() {
    let mut testbed = Testbed::new(14, CALM);
    // It calls everybody, so that all of them bid.
    let market = MarketPolicy { direct: false, ..MarketPolicy::default() };
    let client = testbed.client_with(ClientConfig { market, ..ClientConfig::for_tests(1) }, COIN);
    let neighbours: Vec<_> = (1..=5).map(|number| testbed.provider(number, price(400_000), 1_000)).collect();
    for neighbour in &neighbours {
        testbed.shared.insert(*neighbour, net(7));
    }
    testbed.provider(6, price(300_000), 1_000);
    testbed.seek(client);
    testbed.order(client, 1, chat("count for me", 5), COIN, MINUTE);
    ends(&mut testbed, 1..=1);
    testbed.run(Span::from_ms(500), |_| false);
    for neighbour in neighbours {
        let sales = testbed.provider_at(neighbour).sales();
        let settled = sales.won + sales.outscored + sales.over_budget + sales.too_late + sales.unfit;
        assert!(sales.bids > 0 && settled == sales.bids, "{sales:?}");
    }
}

/// (MK-48, CH-5) Its channel is open and holds nothing, and others are always before it.
#[test]
fn a_task_without_money_does_not_keep_its_place_in_the_line_for_ever() {
    let mut testbed = Testbed::new(15, CALM);
    testbed.slots = 1;
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 100_000);
    for order in 1..=60 {
        testbed.order(client, order, chat("count for me", 20), COIN, Span::from_s(200));
    }
    testbed.run(Span::from_s(6), |_| false);
    let mut poor = Guest::new(&mut testbed, 2, net(2));
    let bid = poor.call(&mut testbed, provider).unwrap();
    let mut session = poor.award(&mut testbed, provider, &bid).unwrap();
    let task = work(60, channel(&bid.0, 2));
    let open = LedgerCall::Open { terms: task.channel.clone().into(), deposit: Nano(1) };
    poor.gives(&mut testbed, provider, &mut session, task);
    testbed.chain.fund([9; 32], COIN);
    testbed.chain.call(poor.identity.id(), Some([9; 32]), open);
    let is_over =
        |testbed: &Testbed| testbed.served.iter().any(|(_, served)| served.client == poor.identity.id());
    for _ in 0..60 {
        // It is there, and says so.
        let ack = Ack { next: 0, payment: None, countersignature: None, extensions: Extensions::NONE };
        poor.seals(&mut testbed, provider, &mut session, &FromClient::Ack(ack));
        testbed.run(Span::from_s(1), is_over);
    }
    assert!(
        testbed.outcomes.values().any(|outcome| outcome.end.is_none()),
        "others still wait for their turn"
    );
    let (_, served) = testbed.served.iter().find(|(_, served)| served.client == poor.identity.id()).unwrap();
    assert_eq!(served.refused, Some(Refusal::Unfunded));
}
