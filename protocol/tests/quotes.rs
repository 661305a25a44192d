//! What an order would cost, and what is said where nobody sells: `spec/03-market.md` section 4.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::client::ClientConfig;
use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::io::{Command, Failure};
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::message::Refusal;
use bombyx_protocol::work::cost::CostSheet;
use bombyx_protocol::work::order::{Order, Task, TaskKind};
use bombyx_protocol::work::price::{InputTokens, Price, Tariff, Weights};
use bombyx_protocol::{Basis, Quote, QuotedBill, QuotedState};
use testbed::{CALM, MODEL, Testbed, chat, engine, order, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);

fn asked(task: Task) -> Order {
    order(task, COIN, MINUTE)
}

fn bill(price: Price, task: &Task, output_tokens: u64) -> Option<Nano> {
    let input = InputTokens::fresh(engine::input_tokens(task));
    Tariff { price, weights: Weights::DEFAULT }.cost(input, output_tokens)
}

fn ends(testbed: &mut Testbed, order: u64) -> Span {
    let began = testbed.now;
    testbed.run(Span::from_s(200), |testbed| testbed.outcome(order).end.is_some());
    testbed.now.since(began)
}

/// (MK-64)
#[test]
fn a_quote_is_what_the_cheapest_asks_for_three_lengths_and_changes_nothing() {
    let mut testbed = Testbed::new(1, CALM);
    let client = testbed.client(1, COIN);
    for (number, per_k) in [(1, 400_000), (2, 200_000), (3, 300_000)] {
        testbed.provider(number, price(per_k), 1_000);
    }
    testbed.seek(client);
    let task = chat("count for me", 200);
    let at =
        |testbed: &Testbed, task: &Task| testbed.client_at(client).quote(testbed.now, &asked(task.clone()));
    let quote = at(&testbed, &task).unwrap();
    assert_eq!((quote.sellers, quote.prefixes, quote.basis), (3, 3, Basis::Ask));
    assert_eq!((quote.price, quote.usual, quote.won_lately), (price(200_000), price(300_000), None));
    let bills = |price| QuotedBill {
        empty: bill(price, &task, 0),
        expected: bill(price, &task, 50),
        largest: bill(price, &task, 200),
    };
    assert_eq!((quote.bill, quote.usual_bill), (bills(quote.price), bills(quote.usual)));
    assert_eq!((quote.channel.state, quote.channel.fault), (QuotedState::Opens, None));
    let locks = |bill: QuotedBill| Nano(2 * bill.largest.unwrap().0);
    assert_eq!(
        (quote.channel.locks, quote.most_channel.locks),
        (locks(quote.bill), locks(quote.most_bill)),
        "two ceilings for a stranger"
    );
    let (client_at, before) = (testbed.client_at(client), testbed.events);
    assert_eq!((client_at.orders_in_flight(), client_at.channels().count()), (0, 0));
    testbed.run(MINUTE, |_| false);
    assert_eq!((testbed.chain.opened, testbed.disk(client).count()), (0, 0), "nothing was said or written");
    assert!(testbed.events - before < 10);
    assert!(matches!(at(&testbed, &task), Err(Failure::NoSeller { others: 0 })), "asks end after a minute");
}

/// (MK-64)
#[test]
fn a_lease_is_quoted_at_the_price_that_it_holds_and_the_next_order_costs_just_that() {
    let mut testbed = Testbed::new(2, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 1_000);
    testbed.order(client, 1, chat("count for me", 20), COIN, MINUTE);
    ends(&mut testbed, 1);
    testbed.run(Span::from_s(3), |_| false);
    let task = chat("count for me", 20);
    let quote = testbed.client_at(client).quote(testbed.now, &asked(task.clone())).unwrap();
    assert_eq!((quote.provider, quote.basis, quote.sellers, quote.prefixes), (provider, Basis::Lease, 1, 1));
    assert_eq!((quote.channel.state, quote.output_tokens), (QuotedState::Open, 20), "as the last answer");
    testbed.order(client, 2, task, COIN, MINUTE);
    ends(&mut testbed, 2);
    assert_eq!(testbed.outcome(2).end.unwrap().unwrap().cost, quote.bill.expected.unwrap());
}

/// What 1,000 units of a job, of input and of output are wanted for. (`MK-5`)
fn odd(per_job: u64, input_per_k: u64, output_per_k: u64) -> CostSheet {
    CostSheet { per_job: Nano(per_job), input_per_k: Nano(input_per_k), output_per_k: Nano(output_per_k) }
}

fn at_most(quote: &Quote, task: &Task, output_tokens: u64) -> Nano {
    bill(quote.price_most, task, output_tokens).unwrap()
}

/// (MK-64) What sellers want may be for the job, or the input, or as the weights count, and a task of any size.
#[test]
fn no_bill_is_above_what_was_quoted_for_as_many_tokens() {
    let sheets = [odd(500_000, 0, 0), odd(0, 500_000, 0), odd(90_000, 90_000, 540_000)];
    for (seed, sheet) in sheets.into_iter().enumerate() {
        let mut testbed = Testbed::new(20, CALM);
        let config = ClientConfig { leases: seed % 2 == 1, ..ClientConfig::for_tests(1) };
        let client = testbed.client_with(config, COIN);
        for number in 1..=3 {
            let provider = testbed.provider(number, price(1_000_000), 1_000);
            let cost = sheet.scaled(800_000 + 200_000 * number);
            testbed.offer_at(provider, cost, TaskKind::Generate, MODEL);
            testbed.stop_at(provider, 3);
        }
        let mut bases = Vec::new();
        for id in 1..=24 {
            testbed.seek(client);
            let length = if id % 8 == 0 { 900 } else { 60 };
            let task = chat(&"x".repeat(length), if id % 6 == 0 { 1_000 } else { 100 });
            let quote = testbed.client_at(client).quote(testbed.now, &asked(task.clone())).unwrap();
            testbed.order(client, id, task.clone(), COIN, MINUTE);
            ends(&mut testbed, id);
            let done = testbed.outcome(id).end.unwrap().unwrap();
            let most = at_most(&quote, &task, done.output_tokens);
            assert!(
                done.cost <= most,
                "{sheet:?}, order {id}: {} after {most} by {:?}",
                done.cost,
                quote.basis
            );
            // Once the sellers have learnt how long its answers are.
            if quote.basis != Basis::Ask && id > 12 {
                assert!(
                    most.0 * 2 <= done.cost.0 * 5,
                    "{sheet:?}, order {id}: {most} was not told from {}",
                    done.cost
                );
            }
            bases.push(quote.basis);
            testbed.run(Span::from_s(6), |_| false);
        }
        assert_eq!(bases[0], Basis::Ask, "nothing was bid yet");
        let known = bases.iter().filter(|basis| **basis != Basis::Ask).count();
        assert!(known >= 16, "then there are bids: {bases:?}");
    }
}

/// (MK-64, MK-32)
#[test]
fn the_price_is_that_of_whoever_would_be_asked_first_and_not_of_a_stranger_that_asks_less() {
    let mut testbed = Testbed::new(21, CALM);
    let client = testbed.client_with(ClientConfig { leases: false, ..ClientConfig::for_tests(1) }, COIN);
    let known = testbed.provider(1, price(400_000), 1_000);
    for id in 1..=3 {
        testbed.order(client, id, chat("count for me", 20), COIN, MINUTE);
        ends(&mut testbed, id);
    }
    let stranger = testbed.provider(2, price(100_000), 1_000);
    testbed.run(Span::from_s(6), |_| false);
    testbed.seek(client);
    let mut wanted = asked(chat("count for me", 20));
    let quote = |wanted: &Order| testbed.client_at(client).quote(testbed.now, wanted).unwrap();
    let usual = quote(&wanted);
    assert_eq!((usual.provider, usual.basis, usual.sellers), (known, Basis::Bid, 2));
    wanted.preferences.order = vec![stranger];
    assert_eq!(quote(&wanted).provider, stranger, "unless its user says so");
}

/// (MK-64)
#[test]
fn one_owner_of_many_keys_is_one_seller_and_whoever_cannot_take_the_order_is_none() {
    let mut testbed = Testbed::new(3, CALM);
    let client = testbed.client(1, COIN);
    let here = Prefix::of_ipv4([10, 0, 0, 1]);
    let all: Vec<NodeId> = (1..=3).map(|number| testbed.provider(number, price(400_000), 1_000)).collect();
    testbed.shared.extend(all.iter().map(|provider| (*provider, here)));
    testbed.seek(client);
    let quote = |order: &Order| testbed.client_at(client).quote(testbed.now, order);
    let task = chat("count for me", 20);
    let some = quote(&asked(task.clone())).unwrap();
    assert_eq!((some.sellers, some.prefixes), (3, 1));
    let mut wanted = asked(task.clone());
    wanted.preferences.ignore = all[..2].to_vec();
    assert_eq!(quote(&wanted).unwrap().provider, all[2]);
    wanted.preferences.ignore = all.clone();
    assert_eq!(quote(&wanted).unwrap_err(), Failure::NotWanted { others: 3 });
    let long = asked(chat(&"x".repeat(9_000), 20));
    assert_eq!(quote(&long).unwrap_err(), Failure::Refused(Refusal::OverContext(4_096)));
    let other = asked(Task::Embed { inputs: vec!["a".into()] });
    assert_eq!(quote(&other).unwrap_err(), Failure::Refused(Refusal::WrongKind));
    let large = quote(&asked(chat("count for me", 100_000))).unwrap();
    assert_eq!(large.output_tokens_max, 4_096 - large.input_tokens, "as much as the context leaves");
    let mut strange = asked(task);
    strange.model.0[0] ^= 1;
    assert_eq!(quote(&strange).unwrap_err(), Failure::NoSeller { others: 1 });
}

/// (MK-65) Whatever the deadline: it is not waited for.
#[test]
fn where_nobody_sells_the_model_or_nobody_is_there_an_order_says_so_within_seconds() {
    // The last peer may have left before the order came, or since.
    let cases = [(Some(0), false), (Some(100), false), (None, false), (None, true)];
    for (left_ms, sells_another) in cases {
        let mut testbed = Testbed::new(4, CALM);
        let client = testbed.client(1, COIN);
        if sells_another {
            let provider = testbed.provider(1, price(400_000), 1_000);
            let mut other = MODEL;
            other.0[0] ^= 1;
            testbed.offer(provider, price(400_000), TaskKind::Generate, other);
            testbed.seek(client);
        }
        let mut wanted = order(chat("count for me", 20), COIN, Span::from_s(120));
        wanted.model.0[1] ^= 1;
        let placed = testbed.now;
        testbed.place_order(client, 1, wanted);
        testbed.run(Span::from_ms(500), |_| false);
        let alone_since = left_ms.map(|ms| placed + Span::from_ms(ms));
        testbed.command(client, Command::Surveyed { alone_since });
        let took = ends(&mut testbed, 1);
        assert!(took < Span::from_s(5), "{took:?}");
        let why = testbed.outcome(1).end.unwrap().unwrap_err().0;
        match (left_ms, sells_another) {
            (Some(0), _) => assert_eq!(why, Failure::NotConnected),
            (_, sells) => assert_eq!(why, Failure::NoSeller { others: u32::from(sells) }),
        }
    }
}

/// (MK-65)
#[test]
fn a_seller_that_comes_within_the_grace_is_found_and_without_a_look_nothing_is_believed() {
    for (late_ms, looks) in [(2_000, true), (15_000, false)] {
        let mut testbed = Testbed::new(5, CALM);
        let client = testbed.client(1, COIN);
        testbed.order(client, 1, chat("count for me", 20), COIN, MINUTE);
        if looks {
            testbed.command(client, Command::Surveyed { alone_since: None });
        }
        testbed.run(Span::from_ms(late_ms), |_| false);
        testbed.provider(1, price(400_000), 1_000);
        ends(&mut testbed, 1);
        assert!(testbed.outcome(1).end.unwrap().is_ok(), "{late_ms} ms");
    }
}

/// (MK-65) It may only be starting again: its ask stands for a minute.
#[test]
fn a_seller_that_is_silent_is_waited_for_while_its_offer_stands() {
    let mut testbed = Testbed::new(6, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 1_000);
    testbed.seek(client);
    testbed.kill(provider);
    testbed.order(client, 1, chat("count for me", 20), COIN, MINUTE);
    testbed.run(Span::from_s(1), |_| false);
    testbed.command(client, Command::Surveyed { alone_since: None });
    testbed.run(Span::from_s(20), |_| false);
    assert!(testbed.outcome(1).end.is_none());
    testbed.restart(provider);
    testbed.offer(provider, price(400_000), TaskKind::Generate, MODEL);
    ends(&mut testbed, 1);
    assert!(testbed.outcome(1).end.unwrap().is_ok());
}

/// (MK-14) The price of a burst does not outlive it, and a stranger's low ask moves nobody.
#[test]
fn a_lease_is_passed_over_where_those_that_have_served_ask_an_eighth_less_than_when_it_was_won() {
    let mut testbed = Testbed::new(7, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 1_000);
    let costs = |testbed: &mut Testbed, id: u64| {
        testbed.seek(client);
        testbed.order(client, id, chat("count for me", 20), COIN, MINUTE);
        ends(testbed, id);
        let outcome = testbed.outcome(id);
        (outcome.end.unwrap().unwrap().cost, !outcome.bids.is_empty())
    };
    let first = costs(&mut testbed, 1);
    assert!(first.1);
    testbed.provider(2, price(40_000), 1_000);
    testbed.offer(provider, price(380_000), TaskKind::Generate, MODEL);
    assert_eq!(costs(&mut testbed, 2), (first.0, false), "a little less is no reason");
    testbed.offer(provider, price(200_000), TaskKind::Generate, MODEL);
    let (cost, was_called) = costs(&mut testbed, 3);
    assert!(was_called && cost.0 <= first.0.0 / 2 + 1, "{cost} after {}", first.0);
    assert_eq!(costs(&mut testbed, 4), (cost, false), "and that is the lease now");
}

/// (MK-14) It asks a quarter more while its only slot is taken, by this client's own order.
#[test]
fn what_a_seller_asks_while_it_works_makes_no_lease_dear_afterwards() {
    let mut testbed = Testbed::new(8, CALM);
    testbed.slots = 1;
    let client = testbed.client(1, COIN);
    testbed.provider(1, price(400_000), 20_000);
    let mut called = Vec::new();
    for id in 1..=5 {
        testbed.order(client, id, chat("count for me", 600), COIN, MINUTE);
        testbed.run(Span::from_s(2), |_| false);
        testbed.seek(client);
        ends(&mut testbed, id);
        assert!(testbed.outcome(id).end.unwrap().is_ok());
        testbed.run(Span::from_s(3), |_| false);
        testbed.seek(client);
        called.push(!testbed.outcome(id).bids.is_empty());
    }
    assert_eq!(called, [true, false, false, false, false]);
}

/// (MK-64) What sellers want is for the job, or the input, or the output alone; asked for tasks of other classes, they are quoted up
/// to many times too much or too little.
#[test]
fn sellers_that_are_asked_for_the_order_s_own_classes_are_quoted_what_they_bill() {
    let sheets = [odd(500_000, 0, 0), odd(0, 500_000, 0), odd(0, 0, 900_000)];
    for (number, sheet) in sheets.into_iter().enumerate() {
        let mut far_off = 0;
        for (length, tokens) in [(20, 60), (20, 1_000), (3_000, 60), (900, 900)] {
            let mut testbed = Testbed::new(30, CALM);
            let client = testbed.client(1, COIN);
            for seller in 1..=3 {
                let provider = testbed.provider(seller, price(1_000_000), 1_000);
                testbed.offer_at(
                    provider,
                    sheet.scaled(800_000 + 200_000 * seller),
                    TaskKind::Generate,
                    MODEL,
                );
            }
            testbed.seek(client);
            let task = chat(&"x".repeat(length), tokens);
            let at = |testbed: &Testbed| {
                testbed.client_at(client).quote(testbed.now, &asked(task.clone())).unwrap()
            };
            let before = at(&testbed);
            testbed.command(client, Command::SeekPrices(Box::new(asked(task.clone()))));
            testbed.run(Span::from_ms(300), |_| false);
            let quote = at(&testbed);
            testbed.order(client, 1, task.clone(), COIN, MINUTE);
            ends(&mut testbed, 1);
            let paid = testbed.outcome(1).end.unwrap().unwrap();
            let is_near = |quote: &Quote| {
                let quoted = bill(quote.price, &task, paid.output_tokens).unwrap();
                quoted.0.abs_diff(paid.cost.0) * 50 <= paid.cost.0
            };
            assert!(is_near(&quote), "sheet {number}, {length} and {tokens}: {quote:?} {paid:?}");
            assert!(paid.cost <= at_most(&quote, &task, paid.output_tokens), "sheet {number}");
            assert_eq!((quote.provider, quote.basis), (paid.providers[0], Basis::Ask));
            far_off += usize::from(!is_near(&before));
        }
        assert!(far_off > 0, "sheet {number}: or this test says nothing");
    }
}

/// (MK-64)
#[test]
fn no_seller_is_asked_for_a_price_again_while_it_may_answer_and_nobody_beyond_sixteen_is() {
    let mut testbed = Testbed::new(31, CALM);
    let client = testbed.client(1, COIN);
    for number in 1..=20 {
        testbed.provider(number, price(400_000), 1_000);
    }
    testbed.seek(client);
    let before = testbed.to_providers.get("seek").copied().unwrap_or(0);
    for _ in 0..3 {
        let order = asked(chat("count for me", 60));
        testbed.command(client, Command::SeekPrices(Box::new(order)));
    }
    let sought = testbed.to_providers["seek"] - before;
    assert_eq!(sought, 16);
}
