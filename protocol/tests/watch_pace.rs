//! What a provider does with the pace at which its shell sees the ledger. (CH-35)
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::fault::PaymentFault;
use bombyx_protocol::channel::pace::Pace;
use bombyx_protocol::channel::terms::CHALLENGE_S_MAX;
use bombyx_protocol::client::{ChannelPolicy, ClientConfig};
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{ChannelChange, Command, Failure};
use bombyx_protocol::limits;
use bombyx_protocol::market::score::Fate;
use bombyx_protocol::provider::{CreditLimits, ProviderConfig};
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::message::Refusal;
use bombyx_protocol::work::order::TaskKind;
use testbed::{CALM, Testbed};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);

/// One request a second.
const SLOW: Pace = Pace { every: Span::from_ms(1_375), delay: Span::from_ms(1_700) };

fn ask(testbed: &mut Testbed, client: NodeId, order: u64) -> Result<Nano, Failure> {
    testbed.order(client, order, testbed::chat("count for me", 100), COIN, MINUTE);
    // An order lives until its deadline, and its end is told then.
    testbed.run_to_end(Span::from_s(61));
    match testbed.outcome(order).end.unwrap() {
        Ok(bill) => Ok(bill.cost),
        Err((why, _)) => Err(why),
    }
}

/// A client that proposes the longest challenge time there is.
fn patient(testbed: &mut Testbed, number: u64, leases: bool) -> NodeId {
    let config = ClientConfig { leases, ..ClientConfig::for_tests(number) };
    let policy = ChannelPolicy { challenge_s_max: CHALLENGE_S_MAX, ..config.policy };
    testbed.client_with(ClientConfig { policy, challenge_s: CHALLENGE_S_MAX, ..config }, Nano(10 * COIN.0))
}

fn challenges(testbed: &Testbed, provider: NodeId) -> Vec<u32> {
    let mut all: Vec<u32> =
        testbed.provider_at(provider).channels().map(|one| one.terms().challenge_s).collect();
    all.sort_unstable();
    all
}

fn unwatchable(testbed: &Testbed) -> usize {
    testbed.news.iter().filter(|(_, news)| news.change == ChannelChange::Unwatchable).count()
}

/// (CH-35)
#[test]
fn each_new_client_is_asked_for_a_challenge_in_which_its_close_is_seen_in_time() {
    let mut testbed = Testbed::new(41, CALM);
    let provider = testbed.provider(1, testbed::price(4_000_000), 1_000);
    testbed.command(provider, Command::Pace(SLOW));
    for number in 1..=6 {
        let client = testbed.client(number, Nano(10 * COIN.0));
        ask(&mut testbed, client, number).unwrap();
    }
    let challenges = challenges(&testbed, provider);
    assert_eq!(challenges.len(), 6);
    assert!(challenges[0] >= 600 && challenges.is_sorted_by(|a, b| a < b), "{challenges:?}");
    let taken: u64 = challenges.iter().map(|challenge_s| SLOW.share(*challenge_s)).sum();
    assert!(taken <= limits::WATCH_SHARE_MAX, "{taken}");
    assert_eq!(unwatchable(&testbed), 0);
}

/// (CH-35)
#[test]
fn a_blind_provider_refuses_new_clients_with_a_cause_of_its_own_and_serves_those_it_has() {
    let mut testbed = Testbed::new(42, CALM);
    let provider = testbed.provider(1, testbed::price(4_000_000), 1_000);
    let (old, new) = (testbed.client(1, Nano(10 * COIN.0)), patient(&mut testbed, 2, true));
    let hasty = testbed.client(3, Nano(10 * COIN.0));
    ask(&mut testbed, old, 1).unwrap();
    testbed.command(provider, Command::Pace(Pace::BLIND));
    ask(&mut testbed, old, 3).unwrap();
    // Its bids ask for the longest challenge there is: few clients lock anything for that.
    let refused = ask(&mut testbed, hasty, 5);
    assert!(matches!(refused, Err(Failure::Payment(PaymentFault::ChallengeTooLong { .. }))), "{refused:?}");
    assert_eq!(ask(&mut testbed, new, 2), Err(Failure::Refused(Refusal::ChallengeTooShort)));
    assert_eq!(unwatchable(&testbed), 0, "an outage closes nothing");

    // The client has asked for its rest there, and is served again once the provider sees.
    testbed.command(provider, Command::Pace(SLOW));
    ask(&mut testbed, new, 4).unwrap();
    assert_eq!(challenges(&testbed, provider).len(), 2);
}

/// (CH-35)
#[test]
fn a_provider_that_sees_too_little_settles_early_and_lets_the_shortest_challenges_go() {
    let mut testbed = Testbed::new(43, CALM);
    let provider = testbed.provider(1, testbed::price(4_000_000), 1_000);
    let payout = ProviderConfig::for_tests(1).payout.hash;
    let client = testbed.client(1, Nano(10 * COIN.0));
    let mut owed = 0;
    for order in 1..=20 {
        owed += ask(&mut testbed, client, order).unwrap().0;
    }
    assert!(owed > limits::SETTLE_AT_STRAINED.0 && owed < ProviderConfig::for_tests(1).settle_at.0, "{owed}");
    assert_eq!(challenges(&testbed, provider), [60]);
    assert_eq!(testbed.chain.balance(&payout), 0);

    // A close is seen three times in a challenge: what stands is brought home, and nothing is closed.
    let strained = Pace { every: Span::from_ms(4_000), delay: Span::from_ms(6_000) };
    testbed.command(provider, Command::Pace(strained));
    testbed.run(Span::from_s(5), |_| false);
    assert_eq!((testbed.chain.balance(&payout), unwatchable(&testbed)), (owed, 0));

    // Less than once in half of it: the channel goes, and its client gets the rest.
    let lost = Pace { every: Span::from_ms(20_000), delay: Span::from_ms(20_000) };
    testbed.command(provider, Command::Pace(lost));
    testbed.run(Span::from_s(5), |testbed| testbed.chain.locked() == 0);
    assert_eq!((testbed.chain.locked(), unwatchable(&testbed)), (0, 1));
}

/// (CH-35)
#[test]
fn of_clients_that_were_told_of_the_same_room_one_too_many_is_closed_again() {
    let mut testbed = Testbed::new(44, CALM);
    let provider = testbed.provider(1, testbed::price(4_000_000), 1_000);
    // Room for one channel of a minute, and not for two.
    let clients: Vec<NodeId> = (1..=2).map(|number| testbed.client(number, Nano(10 * COIN.0))).collect();
    for (order, client) in (1..).zip(&clients) {
        testbed.order(*client, order, testbed::chat("count for me", 100), COIN, MINUTE);
    }
    // The calls are out and the bids under way when the pace is learned.
    testbed.run(Span::from_s(20), |testbed| testbed.provider_at(provider).channels().count() == 2);
    testbed.command(provider, Command::Pace(SLOW));
    testbed.run_to_end(MINUTE);
    for order in 1..=2 {
        assert!(testbed.outcome(order).end.unwrap().is_ok(), "what was begun is served");
    }
    testbed.run(Span::from_s(30), |testbed| testbed.provider_at(provider).channels().count() == 1);
    assert_eq!((challenges(&testbed, provider), unwatchable(&testbed)), (vec![60], 1));
}

/// (MK-15, MK-52) What others ask is not what stands in the way of an order that its seller refused for the channel.
#[test]
fn a_seller_that_can_watch_no_channel_is_the_cause_and_not_the_price_of_the_one_that_is_left() {
    let mut testbed = Testbed::new(46, CALM);
    let client = patient(&mut testbed, 1, false);
    let usual = testbed.provider(1, testbed::price(400_000), 1_000);
    for order in 1..=4 {
        ask(&mut testbed, client, order).unwrap();
    }
    testbed.kill(usual);
    let blind = testbed.provider(2, testbed::price(400_000), 1_000);
    testbed.command(blind, Command::Pace(Pace::BLIND));
    testbed.provider(3, testbed::price(4_000_000), 1_000);
    assert_eq!(ask(&mut testbed, client, 5), Err(Failure::Refused(Refusal::ChallengeTooShort)));
    let is_dear = testbed.outcome(5).bids.iter().any(|bid| matches!(bid.fate, Fate::OverCeiling { .. }));
    assert!(is_dear, "{:?}", testbed.outcome(5).bids);
}

/// A provider that gives no credit, a client that has paid it several times, and from now on no ledger.
fn without_ledger(seed: u64) -> (Testbed, NodeId, NodeId) {
    let mut testbed = Testbed::new(seed, CALM);
    let credit = CreditLimits { per_client: Nano::ZERO, per_hour: Nano::ZERO };
    let config = ProviderConfig { clock_s: 10_000, credit, ..ProviderConfig::for_tests(1) };
    let provider = testbed.provider_with(config, testbed::price(400_000), 1_000);
    let config = ClientConfig { clock_s: 10_000, ..ClientConfig::for_tests(1) };
    let client = testbed.client_with(config, Nano(10 * COIN.0));
    for order in 1..=6 {
        ask(&mut testbed, client, order).unwrap();
    }
    testbed.chain.down = true;
    (testbed, provider, client)
}

fn started_again(testbed: &mut Testbed, provider: NodeId) {
    testbed.kill(provider);
    testbed.restart(provider);
    testbed.offer(provider, testbed::price(400_000), TaskKind::Generate, testbed::MODEL);
}

/// Whether an order of a few tokens is answered in time.
fn is_served(testbed: &mut Testbed, client: NodeId, order: u64) -> bool {
    testbed.order(client, order, testbed::chat("count for me", 8), COIN, Span::from_s(3));
    testbed.run(Span::from_s(4), |testbed| testbed.outcome(order).end.is_some());
    matches!(testbed.outcome(order).end, Some(Ok(_)))
}

/// (CH-57)
#[test]
fn a_provider_without_a_ledger_serves_for_half_of_the_challenge_after_its_last_look_restarted_or_not() {
    let last_served = |restarts: bool| {
        let (mut testbed, provider, client) = without_ledger(47);
        let died = testbed.now;
        let mut last = None;
        for order in 100..140 {
            if restarts {
                started_again(&mut testbed, provider);
            }
            if is_served(&mut testbed, client, order) {
                last = Some(testbed.now.since(died));
            }
            testbed.run(Span::from_s(1), |_| false);
        }
        last.unwrap()
    };
    let (running, restarted) = (last_served(false), last_served(true));
    for last in [running, restarted] {
        assert!(last > Span::from_s(8) && last < Span::from_s(31), "{running:?}, restarted {restarted:?}");
    }
    // It comes back: everything is as it was.
    let (mut testbed, provider, client) = without_ledger(48);
    started_again(&mut testbed, provider);
    assert!(is_served(&mut testbed, client, 100));
    testbed.run(MINUTE, |_| false);
    assert!(!is_served(&mut testbed, client, 101));
    testbed.chain.down = false;
    testbed.run(MINUTE, |_| false);
    assert!(is_served(&mut testbed, client, 102));
}

/// (CH-57)
#[test]
fn a_clock_that_went_back_or_far_on_makes_a_restarted_provider_rely_on_nothing() {
    for (clock_s, serves) in [(10_000, true), (10_002, true), (9_900, false), (9_950, false), (10_031, false)]
    {
        let (mut testbed, provider, client) = without_ledger(49);
        testbed.reconfigure(provider, |config| config.clock_s = clock_s);
        started_again(&mut testbed, provider);
        assert_eq!(is_served(&mut testbed, client, 100), serves, "{clock_s}");
        // The clock is put right while it runs: what it did not know it does not learn.
        let unix_s = 10_000 + testbed.now.0 / 1_000_000;
        testbed.command(provider, Command::Clock { unix_s });
        let _ = is_served(&mut testbed, client, 101);
        testbed.command(provider, Command::Clock { unix_s: unix_s + 60 });
        assert!(!is_served(&mut testbed, client, 102), "{clock_s}: as after a minute's sleep");
    }
}
