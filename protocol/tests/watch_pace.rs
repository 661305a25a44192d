//! What a provider does with the pace at which its shell sees the ledger. (CH-35)
#![allow(clippy::unwrap_used)]

mod swarm;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::fault::PaymentFault;
use bombyx_protocol::channel::pace::Pace;
use bombyx_protocol::channel::terms::CHALLENGE_S_MAX;
use bombyx_protocol::client::{ChannelPolicy, ClientConfig};
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{ChannelChange, Command, Failure};
use bombyx_protocol::limits;
use bombyx_protocol::provider::ProviderConfig;
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::message::Refusal;
use swarm::{CALM, Swarm};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);

/// One request a second.
const SLOW: Pace = Pace { every: Span::from_ms(1_375), delay: Span::from_ms(1_700) };

fn ask(swarm: &mut Swarm, client: NodeId, order: u64) -> Result<Nano, Failure> {
    swarm.order(client, order, swarm::chat("count for me", 100), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    match swarm.outcome(order).end.unwrap() {
        Ok(bill) => Ok(bill.cost),
        Err((why, _)) => Err(why),
    }
}

/// A client that proposes the longest challenge time there is.
fn patient(swarm: &mut Swarm, number: u64) -> NodeId {
    let config = ClientConfig::for_tests(number);
    let policy = ChannelPolicy { challenge_s_max: CHALLENGE_S_MAX, ..config.policy };
    swarm.client_with(ClientConfig { policy, challenge_s: CHALLENGE_S_MAX, ..config }, Nano(10 * COIN.0))
}

fn challenges(swarm: &Swarm, provider: NodeId) -> Vec<u32> {
    let mut all: Vec<u32> =
        swarm.provider_at(provider).channels().map(|one| one.terms().challenge_s).collect();
    all.sort_unstable();
    all
}

fn unwatchable(swarm: &Swarm) -> usize {
    swarm.news.iter().filter(|(_, news)| news.change == ChannelChange::Unwatchable).count()
}

/// (CH-35)
#[test]
fn each_new_client_is_asked_for_a_challenge_in_which_its_close_is_seen_in_time() {
    let mut swarm = Swarm::new(41, CALM);
    let provider = swarm.provider(1, swarm::price(4_000_000), 1_000);
    swarm.command(provider, Command::Pace(SLOW));
    for number in 1..=6 {
        let client = swarm.client(number, Nano(10 * COIN.0));
        ask(&mut swarm, client, number).unwrap();
    }
    let challenges = challenges(&swarm, provider);
    assert_eq!(challenges.len(), 6);
    assert!(challenges[0] >= 600 && challenges.is_sorted_by(|a, b| a < b), "{challenges:?}");
    let taken: u64 = challenges.iter().map(|challenge_s| SLOW.share(*challenge_s)).sum();
    assert!(taken <= limits::WATCH_SHARE_MAX, "{taken}");
    assert_eq!(unwatchable(&swarm), 0);
}

/// (CH-35)
#[test]
fn a_blind_provider_refuses_new_clients_with_a_cause_of_its_own_and_serves_those_it_has() {
    let mut swarm = Swarm::new(42, CALM);
    let provider = swarm.provider(1, swarm::price(4_000_000), 1_000);
    let (old, new) = (swarm.client(1, Nano(10 * COIN.0)), patient(&mut swarm, 2));
    let hasty = swarm.client(3, Nano(10 * COIN.0));
    ask(&mut swarm, old, 1).unwrap();
    swarm.command(provider, Command::Pace(Pace::BLIND));
    // Its bids ask for the longest challenge there is: few clients lock anything for that.
    let refused = ask(&mut swarm, hasty, 5);
    assert!(matches!(refused, Err(Failure::Payment(PaymentFault::ChallengeTooLong { .. }))), "{refused:?}");
    assert_eq!(ask(&mut swarm, new, 2), Err(Failure::Refused(Refusal::ChallengeTooShort)));
    ask(&mut swarm, old, 3).unwrap();
    assert_eq!(unwatchable(&swarm), 0, "an outage closes nothing");

    // The client has asked for its rest there, and is served again once the provider sees.
    swarm.command(provider, Command::Pace(SLOW));
    ask(&mut swarm, new, 4).unwrap();
    assert_eq!(challenges(&swarm, provider).len(), 2);
}

/// (CH-35)
#[test]
fn a_provider_that_sees_too_little_settles_early_and_lets_the_shortest_challenges_go() {
    let mut swarm = Swarm::new(43, CALM);
    let provider = swarm.provider(1, swarm::price(4_000_000), 1_000);
    let payout = ProviderConfig::for_tests(1).payout.hash;
    let client = swarm.client(1, Nano(10 * COIN.0));
    let mut owed = 0;
    for order in 1..=20 {
        owed += ask(&mut swarm, client, order).unwrap().0;
    }
    assert!(owed > limits::SETTLE_AT_STRAINED.0 && owed < ProviderConfig::for_tests(1).settle_at.0, "{owed}");
    assert_eq!(challenges(&swarm, provider), [60]);
    assert_eq!(swarm.chain.balance(&payout), 0);

    // A close is seen three times in a challenge: what stands is brought home, and nothing is closed.
    let strained = Pace { every: Span::from_ms(4_000), delay: Span::from_ms(6_000) };
    swarm.command(provider, Command::Pace(strained));
    swarm.run(Span::from_s(5), |_| false);
    assert_eq!((swarm.chain.balance(&payout), unwatchable(&swarm)), (owed, 0));

    // Less than once in half of it: the channel goes, and its client gets the rest.
    let lost = Pace { every: Span::from_ms(20_000), delay: Span::from_ms(20_000) };
    swarm.command(provider, Command::Pace(lost));
    swarm.run(Span::from_s(5), |swarm| swarm.chain.locked() == 0);
    assert_eq!((swarm.chain.locked(), unwatchable(&swarm)), (0, 1));
}

/// (CH-35)
#[test]
fn of_clients_that_were_told_of_the_same_room_one_too_many_is_closed_again() {
    let mut swarm = Swarm::new(44, CALM);
    let provider = swarm.provider(1, swarm::price(4_000_000), 1_000);
    // Room for one channel of a minute, and not for two.
    let clients: Vec<NodeId> = (1..=2).map(|number| swarm.client(number, Nano(10 * COIN.0))).collect();
    for (order, client) in (1..).zip(&clients) {
        swarm.order(*client, order, swarm::chat("count for me", 100), COIN, MINUTE);
    }
    // The calls are out and the bids under way when the pace is learned.
    swarm.run(Span::from_s(20), |swarm| swarm.provider_at(provider).channels().count() == 2);
    swarm.command(provider, Command::Pace(SLOW));
    swarm.run_to_end(MINUTE);
    for order in 1..=2 {
        assert!(swarm.outcome(order).end.unwrap().is_ok(), "what was begun is served");
    }
    swarm.run(Span::from_s(30), |swarm| swarm.provider_at(provider).channels().count() == 1);
    assert_eq!((challenges(&swarm, provider), unwatchable(&swarm)), (vec![60], 1));
}
