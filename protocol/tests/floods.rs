//! What strangers can take from a provider, and what its customers and honest newcomers keep: floods of calls, awards without
//! a task, tasks without money, invented channels, by one name, by many of one prefix and by many prefixes.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::ChannelTerms;
use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::io::{Budget, PeerFault};
use bombyx_protocol::limits;
use bombyx_protocol::provider::{CreditLimits, ProviderConfig};
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::extension::Extensions;
use bombyx_protocol::wire::message::{Ack, FromClient, Payment, Refusal};
use bombyx_protocol::work::order::TaskKind;
use testbed::guest::{Guest, GuestSession, channel, net, opens, voucher_of, work};
use testbed::{CALM, MODEL, Testbed, ceiling, chat, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);
const PRICE: u64 = 400_000;

fn with_credit(credit: u64, per_hour: u64) -> ProviderConfig {
    let credit = CreditLimits { per_client: Nano(credit), per_hour: Nano(per_hour) };
    ProviderConfig { credit, ..ProviderConfig::for_tests(1) }
}

/// A provider of eight slots without credit, and honest clients; the first half of them has paid it
/// before.
fn market(seed: u64, clients: u64) -> (Testbed, NodeId, Vec<NodeId>) {
    let mut testbed = Testbed::new(seed, CALM);
    testbed.slots = 8;
    let provider = testbed.provider_with(with_credit(0, 0), price(PRICE), 2_000);
    let clients: Vec<NodeId> = (1..=clients).map(|number| testbed.client(number, COIN)).collect();
    for (number, client) in (1_000..).zip(&clients[..clients.len() / 2]) {
        testbed.order(*client, number, chat("count for me", 40), COIN, MINUTE);
    }
    testbed.run_to_end(MINUTE);
    assert!(testbed.outcomes.values().all(|outcome| matches!(outcome.end, Some(Ok(_)))));
    testbed.outcomes.clear();
    (testbed, provider, clients)
}

/// `attack` is called `rate` times a second for so long, while every honest client gives an order a second. Returns how many
/// of the customers' and of the newcomers' orders are answered, of how many each.
fn under(
    market: &mut (Testbed, NodeId, Vec<NodeId>),
    rate: u64,
    seconds: u64,
    mut attack: impl FnMut(&mut Testbed, NodeId, u64),
) -> (usize, usize, usize) {
    let (testbed, provider, clients) = market;
    let (mut done, mut order) = (0, 1);
    for second in 0..seconds {
        for (place, client) in (0u64..).zip(clients.iter()) {
            testbed.run(Span::from_ms(7 + place), |_| false);
            testbed.order(*client, order, chat("count for me", 40), COIN, Span::from_s(40));
            order += 1;
        }
        let until = (second + 1) * rate;
        while done < until {
            attack(testbed, *provider, done);
            done += 1;
            testbed.run(Span(900_000 / rate.max(1)), |_| false);
        }
    }
    testbed.run_to_end(MINUTE);
    for (id, outcome) in &testbed.outcomes {
        if let Some(Err((why, _))) = &outcome.end {
            println!("order {}: {why:?} after {:?}", id.0, outcome.failed_over);
        }
    }
    let per_round = clients.len() as u64;
    let answered = |is_customer: bool| {
        let of = |order: &u64| ((order - 1) % per_round < per_round / 2) == is_customer;
        (1..order).filter(of).filter(|order| matches!(testbed.outcome(*order).end, Some(Ok(_)))).count()
    };
    (answered(true), answered(false), usize::try_from(order - 1).unwrap() / 2)
}

fn assert_served((customers, newcomers, each): (usize, usize, usize), what: &str) {
    assert_eq!(customers, each, "customers under {what}");
    assert!(newcomers * 100 >= each * 95, "{newcomers} of {each} newcomers' orders under {what}");
}

/// (CH-51) One peer, one bid and thousands of awards, each with a task on another channel that it made up.
#[test]
fn invented_channels_keep_nobody_out_before_and_after_a_restart() {
    let mut market = market(1, 2);
    let mut thief = Guest::new(&mut market.0, 1, net(1));
    let bid = thief.call(&mut market.0, market.1).unwrap();
    let served = under(&mut market, 150, 30, |testbed, provider, _| {
        if let Some(opened) = thief.award(testbed, provider, &bid) {
            thief.work(testbed, provider, &bid.0, opened, 50);
        }
        let unfunded = testbed.provider_at(provider).channels().filter(|earner| !earner.is_open()).count();
        assert!(unfunded <= limits::UNFUNDED_PER_CLIENT_MAX + 2, "{unfunded} channels");
    });
    assert_served(served, "invented channels");
    let (testbed, provider, clients) = &mut market;
    let names = testbed.disk(*provider).count();
    assert_eq!(names, clients.len(), "only channels that the ledger has shown are on disk");
    testbed.kill(*provider);
    testbed.restart(*provider);
    testbed.offer(*provider, price(PRICE), TaskKind::Generate, MODEL);
    let newcomer = testbed.client(9, COIN);
    testbed.order(newcomer, 9_999, chat("count for me", 40), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    assert!(testbed.outcome(9_999).end.unwrap().is_ok());
    assert!(
        testbed.faults.iter().all(|(_, fault)| *fault == PeerFault::NoMoney || *fault == PeerFault::NoTask)
    );
}

/// (CH-51, MK-43) The same from a thousand names of as many prefixes.
#[test]
fn a_thousand_prefixes_with_invented_channels_keep_nobody_out() {
    let mut market = market(2, 4);
    let served = under(&mut market, 100, 10, |testbed, provider, turn| {
        let mut guest = Guest::new(testbed, 10_000 + turn, net(turn));
        let Some(bid) = guest.call(testbed, provider) else { return };
        if let Some(opened) = guest.award(testbed, provider, &bid) {
            guest.work(testbed, provider, &bid.0, opened, 50);
        }
        assert!(testbed.provider_at(provider).channels().count() <= limits::UNFUNDED_MAX + 4);
    });
    assert_served(served, "a thousand prefixes");
}

/// (MK-21, MK-44)
#[test]
fn a_flood_of_calls_takes_no_slot_from_anybody() {
    for (rate, names, prefixes) in [(40, 1, 1), (100, 1, 1), (300, 1, 1), (300, u64::MAX, 1), (300, 64, 64)] {
        let mut market = market(3, 6);
        let served = under(&mut market, rate, 5, |testbed, provider, turn| {
            let name = turn % names;
            let mut guest = Guest::new(testbed, 20_000 + name, net(500 + name % prefixes));
            guest.number = turn;
            guest.call(testbed, provider);
        });
        assert_served(served, &format!("{rate} calls a second"));
    }
}

/// (MK-42, MK-45)
#[test]
fn awards_without_a_task_hold_no_slot_and_are_held_against_who_makes_them() {
    for (rate, names) in [(4, 1), (40, 1), (40, u64::MAX)] {
        let mut market = market(4, 6);
        let served = under(&mut market, rate, 8, |testbed, provider, turn| {
            let mut guest = Guest::new(testbed, 30_000 + turn % names, net(700));
            guest.number = 10 * turn;
            if let Some(bid) = guest.call(testbed, provider) {
                guest.award(testbed, provider, &bid);
            }
        });
        assert_served(served, &format!("{rate} awards without a task a second"));
        assert!(market.0.faults.iter().any(|(_, fault)| *fault == PeerFault::NoTask));
        if names == 1 {
            assert!(market.0.crowds.iter().any(|crowd| crowd.budget == Budget::Marks), "told to the node");
        }
    }
}

/// (MK-42, MK-43, MK-44) Two thousand fresh keys of one prefix in ten seconds: call, award, task.
#[test]
fn fresh_keys_of_one_prefix_take_nothing_from_a_customer_or_a_newcomer() {
    let mut market = market(5, 2);
    let served = under(&mut market, 200, 10, |testbed, provider, turn| {
        let mut guest = Guest::new(testbed, 40_000 + turn, net(800));
        let Some(bid) = guest.call(testbed, provider) else { return };
        if let Some(opened) = guest.award(testbed, provider, &bid).filter(|_| turn.is_multiple_of(2)) {
            guest.work(testbed, provider, &bid.0, opened, 50);
        }
    });
    assert_served(served, "fresh keys");
}

/// (CH-50) Forty names of forty prefixes, each with a task on a channel that it made up.
#[test]
fn what_is_served_unpaid_is_bounded_by_the_hour_whatever_the_names() {
    let cost = ceiling(price(PRICE), &chat("count for me", 40)).0;
    let mut testbed = Testbed::new(6, CALM);
    let provider = testbed.provider_with(with_credit(cost, 8 * cost), price(PRICE), 1_000);
    for number in 0..40 {
        let mut guest = Guest::new(&mut testbed, 50_000 + number, net(900 + number));
        let bid = guest.call(&mut testbed, provider).unwrap();
        assert!(bid.0.credit <= Nano(cost), "no more than what is left is promised");
        if let Some(opened) = guest.award(&mut testbed, provider, &bid) {
            guest.work(&mut testbed, provider, &bid.0, opened, 40);
        }
        testbed.run(Span::from_s(40), |_| false);
    }
    let served: u64 = testbed.served.iter().map(|(_, served)| served.cost.0).sum();
    assert!(served >= 4 * cost && served <= 8 * cost, "{served} of {}", 8 * cost);
    let mut late = Guest::new(&mut testbed, 1, net(1));
    assert_eq!(late.call(&mut testbed, provider).unwrap().0.credit, Nano::ZERO, "and the bids say so");
    testbed.run(limits::CREDIT_HOUR, |_| false);
    assert_eq!(
        late.call(&mut testbed, provider).unwrap().0.credit,
        Nano(cost),
        "an hour later there is some again"
    );
}

/// (MK-42, MK-44) Nobody is there but a household: nothing is capped.
#[test]
fn eight_fresh_homes_behind_one_address_are_all_served() {
    let mut testbed = Testbed::new(7, CALM);
    testbed.slots = 8;
    testbed.provider_with(with_credit(0, 0), price(PRICE), 2_000);
    for number in 1..=8 {
        let home = testbed.client(number, COIN);
        testbed.shared.insert(home, Prefix::of_ipv4([127, 0, 0, 1]));
        testbed.order(home, number, chat("count for me", 40), COIN, MINUTE);
    }
    testbed.run_to_end(MINUTE);
    assert!((1..=8).all(|number| testbed.outcome(number).end.unwrap().is_ok()));
    assert!(testbed.crowds.is_empty(), "{:?}", testbed.crowds);
}

/// A guest with a channel of one coin, on which it never pays.
fn depositor(seed: u64) -> (Testbed, NodeId, Guest, ChannelTerms) {
    let mut testbed = Testbed::new(seed, CALM);
    let provider = testbed.provider_with(with_credit(0, 0), price(PRICE), 1_000);
    let mut guest = Guest::new(&mut testbed, 70_000, net(70));
    guest.output_log2 = 11;
    let (bid, _) = guest.call(&mut testbed, provider).unwrap();
    let terms = channel(&bid, 1);
    opens(&mut testbed, guest.identity.id(), &terms, COIN);
    assert_eq!(testbed.chain.locked(), COIN.0);
    (testbed, provider, guest, terms)
}

/// (CH-5) A window is worth 96 tokens beyond the input, whatever a token is said to be worth.
#[test]
fn a_price_that_the_client_raises_buys_no_tokens_ahead_of_payment() {
    let (mut testbed, provider, mut guest, terms) = depositor(8);
    let (mut bid, hash) = guest.call(&mut testbed, provider).unwrap();
    bid.price.0 *= 100;
    let mut opened = guest.award(&mut testbed, provider, &(bid, hash)).unwrap();
    let work = work(2_000, terms);
    guest.gives(&mut testbed, provider, &mut opened, work);
    testbed.run(MINUTE, |_| false);
    let served = testbed.served.iter().map(|(_, served)| served.output_tokens).sum::<u64>();
    assert!(served > 0 && served <= limits::WINDOW_TOKENS, "{served}");
}

/// (CH-9) Nor does a job at a price that nobody asked for, and that is left at once, make room for more loss.
#[test]
fn what_may_be_lost_on_a_channel_follows_the_providers_own_prices() {
    let (mut testbed, provider, mut guest, terms) = depositor(9);
    let own = ceiling(price(PRICE), &chat("count for me", 96)).0;
    for number in 0..40 {
        let Some((mut bid, hash)) = guest.call(&mut testbed, provider) else { continue };
        if number == 0 {
            bid.price = bid.price.scaled(1_000_000_000).unwrap();
        }
        let Some(mut opened) = guest.award(&mut testbed, provider, &(bid, hash)) else { continue };
        let work = work(2_000, terms.clone());
        guest.gives(&mut testbed, provider, &mut opened, work);
        if number == 0 {
            guest.seals(&mut testbed, provider, &mut opened, &FromClient::Cancel(Extensions::NONE));
        }
        testbed.run(Span::from_s(100), |_| false);
    }
    let served: u64 = testbed.served.iter().map(|(_, served)| served.cost.0).sum();
    let most = (limits::WINDOW_PRICE_TIMES + 1) * own;
    assert!(served > own && served <= most, "{served} of {most}");
}

/// (MK-43) Four hundred names of as many prefixes, each with an award and nothing more, seventy a second.
#[test]
fn jobs_of_strangers_that_hold_no_slot_have_a_room_and_the_node_is_told_when_it_is_full() {
    let mut market = market(8, 2);
    let mut accepted = 0;
    let served = under(&mut market, 70, 6, |testbed, provider, turn| {
        let mut guest = Guest::new(testbed, 60_000 + turn, net(1_000 + turn));
        let Some(bid) = guest.call(testbed, provider) else { return };
        accepted += usize::from(guest.award(testbed, provider, &bid).is_some());
    });
    assert_served(served, "awards of many prefixes");
    assert!(accepted > limits::STRANGERS_JOBS_MAX, "{accepted}: newcomers get in by others' places");
    let told: Vec<u64> = market
        .0
        .crowds
        .iter()
        .filter(|crowd| crowd.budget == Budget::Jobs)
        .map(|crowd| crowd.turned_away)
        .collect();
    assert!(told.first() == Some(&1) && told.len() <= 2, "at once, and then every ten seconds: {told:?}");
}

/// A job of the guest's on its channel: the task is there, and nothing is acknowledged.
fn begun(
    testbed: &mut Testbed,
    provider: NodeId,
    guest: &mut Guest,
    terms: &ChannelTerms,
) -> Option<GuestSession> {
    let bid = guest.call(testbed, provider)?;
    let mut opened = guest.award(testbed, provider, &bid)?;
    let work = work(2_000, terms.clone());
    guest.gives(testbed, provider, &mut opened, work);
    Some(opened)
}

/// Acknowledges all that comes, with this payment, until the provider has nothing more to say for half a second. Returns when
/// it said the last new thing.
fn acknowledge(
    testbed: &mut Testbed,
    provider: NodeId,
    guest: &Guest,
    opened: &mut GuestSession,
    payment: Option<Payment>,
) -> Time {
    let mut at = testbed.now;
    for _ in 0..100 {
        if !guest.mail(testbed).is_empty() {
            at = testbed.now;
        }
        let ack = Ack { next: u32::MAX, payment, countersignature: None, extensions: Extensions::NONE };
        guest.seals(testbed, provider, opened, &FromClient::Ack(ack));
        testbed.run(Span::from_ms(5), |_| false);
    }
    at
}

/// Every job that was served so far: what it cost and how it ended.
fn ends(testbed: &Testbed) -> Vec<Option<Refusal>> {
    testbed.served.iter().map(|(_, served)| served.refused).collect()
}

/// (MK-45) A stranger's engine stands still for it that long, and no longer; a customer's four times that.
#[test]
fn who_never_paid_is_waited_for_five_seconds_and_who_has_paid_once_for_twenty() {
    for (has_paid, wait) in [(false, limits::STRANGER_PAYMENT_WAIT), (true, limits::PAYMENT_WAIT)] {
        let (mut testbed, provider, mut guest, terms) = depositor(10);
        let mut opened = begun(&mut testbed, provider, &mut guest, &terms).unwrap();
        let payment = has_paid.then(|| voucher_of(&testbed, &terms, Nano(1)));
        let stands_still = acknowledge(&mut testbed, provider, &guest, &mut opened, payment);
        let gone = stands_still + wait;
        let left = gone.since(testbed.now);
        testbed.run(Span(left.0 - 5_001), |_| false);
        assert_eq!(ends(&testbed), [], "{has_paid}: just before");
        testbed.run(Span(5_001), |_| false);
        assert_eq!(ends(&testbed), [Some(Refusal::Unpaid)], "{has_paid}: just after");
    }
}

/// (CH-5, CH-9) A client that acknowledges nothing may be sent 64 chunks, and is sent what a window pays for: at any time, with
/// any number of jobs, and once more in the whole life of its channel.
#[test]
fn a_mute_client_gets_one_window_at_a_time_and_two_in_all() {
    let served = |testbed: &Testbed| Nano(testbed.served.iter().map(|(_, served)| served.cost.0).sum());
    for jobs in [1, 3] {
        let (mut testbed, provider, mut guest, terms) = depositor(11);
        // The window of the last one to come, at the price that the others have raised.
        let raised = price(PRICE).scaled(1_000_000 + (jobs - 1) * 62_500).unwrap();
        let window = ceiling(raised, &chat("count for me", 96));
        let mut most = Nano::ZERO;
        for _ in 0..10 {
            for _ in 0..jobs {
                begun(&mut testbed, provider, &mut guest, &terms);
            }
            testbed.run(Span::from_s(100), |testbed| {
                let unpaid = testbed.provider_at(provider).channels().map(|earner| earner.unpaid());
                most = most.max(unpaid.sum());
                false
            });
        }
        assert!(most > Nano(window.0 / 2) && most <= window, "{jobs} jobs: {most} of {window} at a time");
        let all = served(&testbed);
        assert!(all > most && all <= Nano(2 * window.0), "{jobs} jobs: {all} of two times {window}");
    }
}

/// (MK-48, CH-19) It pays a nano each time before its time is over.
#[test]
fn a_nano_now_and_then_keeps_no_slot() {
    let (mut testbed, provider, mut guest, terms) = depositor(12);
    let mut opened = begun(&mut testbed, provider, &mut guest, &terms).unwrap();
    for nano in 1..=15 {
        let payment = Some(voucher_of(&testbed, &terms, Nano(nano)));
        acknowledge(&mut testbed, provider, &guest, &mut opened, payment);
        testbed.run(Span::from_s(6), |_| false);
    }
    assert_eq!(ends(&testbed), [Some(Refusal::Unpaid)]);
}
