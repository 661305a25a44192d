//! Who counts the input, what is believed of it, and for which sizes a price holds.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::client::ClientConfig;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{Command, EngineReport, Failure, Input};
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::message::{Content, Refusal, ToClient};
use bombyx_protocol::work::order::{InputCount, Order, OrderId, Task};
use bombyx_protocol::work::price::{Delivery, InputTokens, Tariff, Weights};
use testbed::guest::{Guest, channel, net, work};
use testbed::thief::{Plan, Thief};
use testbed::{CALM, Testbed, ceiling, chat, engine, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);
const PRICE: u64 = 400_000;

fn task() -> Task {
    chat("count for me", 60)
}

/// Places an order of a client that has no tokenizer.
fn order_uncounted(testbed: &mut Testbed, client: NodeId, id: u64, task: Task) {
    let order = Order { input: InputCount::Estimated, ..testbed::order(task, COIN, MINUTE) };
    testbed.command(client, Command::Order { id: OrderId(id), order: Box::new(order) });
}

/// (WR-22) What it claims is seen before anything is opened, and somebody else answers at the true count.
#[test]
fn a_provider_that_counts_more_than_the_client_is_paid_nothing_and_opens_no_channel() {
    for inflates in [2, 4, 1_000_000] {
        let mut testbed = Testbed::new(1, CALM);
        let client = testbed.client(1, COIN);
        let false_one = testbed.provider(2, price(PRICE / 4), 1_000);
        testbed.inflate(false_one, inflates);
        let honest = testbed.provider(1, price(PRICE), 1_000);
        testbed.order(client, 1, task(), COIN, MINUTE);
        testbed.run(Span::from_s(5), |testbed| !testbed.outcome(1).failed_over.is_empty());
        let stated = u64::from(engine::input_tokens(&task()));
        let counted = stated * u64::from(inflates);
        assert_eq!(testbed.outcome(1).failed_over, [Failure::FalseCount { stated, counted }]);
        assert_eq!((testbed.chain.opened, testbed.served.len()), (0, 0));

        testbed.run_to_end(MINUTE);
        let bill = testbed.outcome(1).end.unwrap().unwrap();
        assert_eq!((bill.providers.last(), bill.input_tokens), (Some(&honest), stated));
        assert_eq!(bill.cost, ceiling(price(PRICE), &task()));
        assert!(testbed.faults.is_empty(), "{:?}", testbed.faults);
    }
}

/// (WR-22)
#[test]
fn a_client_without_a_tokenizer_takes_the_count_once_and_under_the_same_award() {
    let mut testbed = Testbed::new(2, CALM);
    let client = testbed.client(1, COIN);
    testbed.provider(1, price(PRICE), 1_000);
    order_uncounted(&mut testbed, client, 1, task());
    testbed.run_to_end(MINUTE);
    let outcome = testbed.outcome(1);
    let bill = outcome.end.unwrap().unwrap();
    assert_eq!(outcome.text, engine::answer(60));
    assert_eq!((bill.input_tokens, bill.cost), (12, ceiling(price(PRICE), &task())));
    assert_eq!((outcome.failed_over.len(), bill.providers.len()), (0, 1));
    assert_eq!(testbed.chain.opened, 1);
    assert!(testbed.faults.is_empty(), "a count is nobody's fault: {:?}", testbed.faults);
}

/// (WR-8, WR-22)
#[test]
fn no_count_is_believed_that_no_tokenizer_makes() {
    let mut testbed = Testbed::new(3, CALM);
    let client = testbed.client(1, COIN);
    let false_one = testbed.provider(1, price(PRICE), 1_000);
    // Twelve bytes in one message: 76 tokens at the most.
    testbed.inflate(false_one, 7);
    order_uncounted(&mut testbed, client, 1, task());
    testbed.run(Span::from_s(5), |testbed| !testbed.outcome(1).failed_over.is_empty());
    assert_eq!(testbed.outcome(1).failed_over, [Failure::FalseCount { stated: 4, counted: 84 }]);
    assert_eq!(testbed.chain.opened, 0);
}

/// (WR-22, MK-31)
#[test]
fn a_provider_that_counts_anew_each_time_fails_at_the_second() {
    let mut testbed = Testbed::new(4, CALM);
    let client = testbed.client_with(ClientConfig { leases: false, ..ClientConfig::for_tests(1) }, COIN);
    testbed.thief(Thief::new(101, Plan::Counts(3), price(PRICE / 4)), None);
    let honest = testbed.provider(1, price(PRICE), 1_000);
    for order in 1..=2 {
        order_uncounted(&mut testbed, client, order, task());
        testbed.run_to_end(MINUTE);
        let outcome = testbed.outcome(order);
        assert_eq!(outcome.end.unwrap().unwrap().providers.last(), Some(&honest));
        // The first order hears two counts; then it is left alone.
        let expected: &[Failure] =
            if order == 1 { &[Failure::FalseCount { stated: 7, counted: 10 }] } else { &[] };
        assert_eq!(outcome.failed_over, expected);
    }
    assert_eq!(testbed.chain.opened, 1);
}

/// (WR-22)
#[test]
fn a_client_that_states_less_than_there_is_gets_nothing_and_is_told_what_there_is() {
    let mut testbed = Testbed::new(5, CALM);
    let provider = testbed.provider(1, price(PRICE), 1_000);
    let mut guest = Guest::new(&mut testbed, 1, net(1));
    let (bid, hash) = guest.call(&mut testbed, provider).unwrap();
    let mut opened = guest.award(&mut testbed, provider, &(bid.clone(), hash)).unwrap();
    let mut short = work(60, channel(&bid, 1));
    short.input.fresh = 1;
    for expected in [1, 1] {
        guest.gives(&mut testbed, provider, &mut opened, short.clone());
        testbed.run(Span::from_ms(100), |_| false);
        let told: Vec<_> = guest.mail(&mut testbed);
        let refusals: Vec<_> = told
            .iter()
            .filter_map(|said| if let ToClient::Refuse(refuse) = said { Some(refuse.why) } else { None })
            .collect();
        assert_eq!(refusals, vec![Refusal::Counts(12); expected]);
    }
    // Cached tokens that it never read for this client are not there either.
    short.input.fresh = 8;
    short.input.cached = 4;
    guest.gives(&mut testbed, provider, &mut opened, short);
    testbed.run(MINUTE, |_| false);
    assert!(testbed.served.iter().all(|(_, served)| served.cost == Nano::ZERO && served.output_tokens == 0));
    assert!(testbed.faults.is_empty(), "{:?}", testbed.faults);
}

/// (WR-7, WR-21, WR-22)
#[test]
fn tokens_that_both_sides_know_to_be_read_are_billed_by_their_own_weight() {
    for (keeps, cached, is_served) in [(64, 4, true), (4, 4, true), (3, 4, false), (64, 0, true)] {
        let mut testbed = Testbed::new(8, CALM);
        let provider = testbed.provider(1, price(PRICE), 1_000);
        testbed.keep(provider, keeps);
        let mut guest = Guest::new(&mut testbed, 1, net(1));
        let (bid, hash) = guest.call(&mut testbed, provider).unwrap();
        let mut opened = guest.award(&mut testbed, provider, &(bid.clone(), hash)).unwrap();
        let mut stated = work(60, channel(&bid, 1));
        stated.input = InputTokens { fresh: 12 - cached, cached };
        let input = stated.input;
        guest.gives(&mut testbed, provider, &mut opened, stated);
        testbed.run(MINUTE, |_| false);
        assert_eq!(!testbed.served.is_empty(), is_served, "{keeps} kept, {cached} stated");
        for (_, served) in &testbed.served {
            let delivered = Delivery { output_tokens: served.output_tokens, ..Delivery::default() };
            let due = Tariff { price: bid.price, weights: Weights::DEFAULT }.due(input, &delivered);
            assert!(served.output_tokens > 0, "on credit");
            assert_eq!((served.input_tokens, Some(served.cost)), (12, due));
        }
    }
}

/// (MK-46)
#[test]
fn a_price_holds_for_the_classes_of_its_call_and_the_next_ones() {
    for (tokens, is_taken) in [(1, true), (64, true), (128, true), (129, false), (2_000, false)] {
        let mut testbed = Testbed::new(6, CALM);
        let provider = testbed.provider(1, price(PRICE), 1_000);
        let mut guest = Guest::new(&mut testbed, 1, net(1));
        let (bid, hash) = guest.call(&mut testbed, provider).unwrap();
        let mut opened = guest.award(&mut testbed, provider, &(bid.clone(), hash)).unwrap();
        guest.gives(&mut testbed, provider, &mut opened, work(tokens, channel(&bid, 1)));
        testbed.run(Span::from_ms(100), |_| false);
        let refused = guest
            .mail(&mut testbed)
            .iter()
            .any(|said| matches!(said, ToClient::Refuse(refuse) if refuse.why == Refusal::OtherClass));
        assert_eq!(!refused, is_taken, "{tokens}");
    }
}

/// (MK-14, MK-46)
#[test]
fn a_lease_holds_one_class_away_and_no_farther() {
    let mut testbed = Testbed::new(7, CALM);
    let client = testbed.client(1, COIN);
    testbed.provider(1, price(PRICE), 1_000);
    for (order, tokens, calls) in [(1, 60, 1), (2, 120, 1), (3, 250, 2), (4, 500, 2), (5, 50, 3)] {
        testbed.order(client, order, chat("count for me", tokens), COIN, MINUTE);
        testbed.run_to_end(MINUTE);
        assert_eq!(testbed.outcome(order).text, engine::answer(tokens));
        let heard = (1..=order).filter(|order| !testbed.outcome(*order).bids.is_empty()).count();
        assert_eq!(heard, calls, "order {order} of {tokens} tokens");
    }
}

/// How often the engine was asked to count before it began.
fn counts(testbed: &Testbed, provider: NodeId) -> usize {
    testbed.engine(provider).counts
}

/// (WR-22) Whose word was good twice gets the engine's first step with its task; a false one costs that until two more jobs are paid.
#[test]
fn a_regular_client_s_input_is_counted_as_its_task_begins() {
    let mut testbed = Testbed::new(9, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(PRICE), 1_000);
    let mut asked = Vec::new();
    for order in 1..=9 {
        let before = counts(&testbed, provider);
        if order == 5 {
            order_uncounted(&mut testbed, client, order, task());
        } else {
            testbed.order(client, order, task(), COIN, MINUTE);
        }
        testbed.run_to_end(MINUTE);
        let outcome = testbed.outcome(order);
        let bill = outcome.end.unwrap().unwrap();
        assert_eq!((outcome.text, bill.input_tokens), (engine::answer(60), 12), "order {order}");
        assert_eq!(bill.cost, ceiling(price(PRICE), &task()), "what was begun in vain is not billed");
        assert_eq!(outcome.failed_over, []);
        asked.push(counts(&testbed, provider) - before);
    }
    // The fifth is begun at once, found out, and counted when it comes again.
    assert_eq!(asked, [1, 1, 0, 0, 1, 1, 0, 0, 0]);
    assert!(testbed.faults.is_empty(), "a count is nobody's fault: {:?}", testbed.faults);
}

/// (WR-22) An engine may have said more on the task that was begun in vain before it hears that it is over.
#[test]
fn what_an_engine_makes_of_a_miscounted_task_is_no_part_of_the_answer() {
    let mut testbed = Testbed::new(10, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(PRICE), 1_000);
    for order in 1..=3 {
        testbed.order(client, order, task(), COIN, MINUTE);
        testbed.run_to_end(MINUTE);
    }
    testbed.engine_mut(provider).stalls = true;
    order_uncounted(&mut testbed, client, 4, task());
    testbed.run(MINUTE, |testbed| !testbed.engine(provider).uncounted.is_empty());
    let (job, input_tokens) = testbed.engine_mut(provider).uncounted.remove(0);
    let late = Content::Tokens { ids: vec![7_777], text: "7777 ".into() };
    let counted = EngineReport::Counted { input_tokens, cached_tokens: 0 };
    for report in [EngineReport::Content(late), counted] {
        testbed.feed(provider, Input::Engine { job, report });
    }
    testbed.run_to_end(MINUTE);
    let outcome = testbed.outcome(4);
    assert_eq!(outcome.text, engine::answer(60), "{:?}", outcome.end);
}
