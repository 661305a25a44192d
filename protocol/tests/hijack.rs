//! Channels of others: the ledger shows their terms to everybody, and nobody but their owner names them with a task.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::ChannelTerms;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{Command, PeerFault};
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::message::{FromClient, Refusal, ToClient, Work};
use testbed::guest::{Guest, GuestSession, channel, key_proof, net, work};
use testbed::{CALM, Testbed, chat, engine, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);
const PRICE: u64 = 400_000;

fn refusals(testbed: &mut Testbed, guest: &Guest) -> Vec<Refusal> {
    testbed.run(Span::from_ms(50), |_| false);
    let told = guest.mail(testbed).into_iter();
    told.filter_map(|said| if let ToClient::Refuse(refuse) = said { Some(refuse.why) } else { None })
        .collect()
}

/// A session of a job that a guest has just won.
fn won(testbed: &mut Testbed, provider: NodeId, guest: &mut Guest) -> GuestSession {
    let bid = guest.call(testbed, provider).unwrap();
    guest.award(testbed, provider, &bid).unwrap()
}

/// A guest with a channel of its own, on which it has just been given a job, and the session of that job.
fn owner_at_work(testbed: &mut Testbed, provider: NodeId) -> (Guest, GuestSession, ChannelTerms) {
    let mut owner = Guest::new(testbed, 1, net(1));
    let (bid, hash) = owner.call(testbed, provider).unwrap();
    let terms = channel(&bid, 1);
    let mut session = owner.award(testbed, provider, &(bid, hash)).unwrap();
    owner.gives(testbed, provider, &mut session, work(60, terms.clone()));
    assert_eq!(refusals(testbed, &owner), []);
    (owner, session, terms)
}

/// A client that has opened a channel before it has work (`CH-27`), and what everybody can read of it.
fn opened(seed: u64) -> (Testbed, NodeId, NodeId, ChannelTerms) {
    let mut testbed = Testbed::new(seed, CALM);
    let provider = testbed.provider(1, price(PRICE), 1_000);
    let client = testbed.client(1, COIN);
    let payee = testbed.provider_at(provider).payee();
    testbed.command(client, Command::Open { provider, payee, deposit: Nano(50_000_000) });
    testbed.run(Span::from_s(5), |_| false);
    assert_eq!(testbed.chain.opened, 1);
    let terms = ChannelTerms::clone(testbed.client_at(client).channels().next().unwrap().terms());
    (testbed, provider, client, terms)
}

/// (CH-53) They name it first, each with a job that it would never pay.
#[test]
fn strangers_that_name_a_channel_before_its_owner_get_nothing_on_it_and_leave_nothing_there() {
    let (mut testbed, provider, client, terms) = opened(1);
    for number in 0..4 {
        let mut thief = Guest::new(&mut testbed, 2 + number, net(2 + number));
        let mut session = won(&mut testbed, provider, &mut thief);
        thief.gives(&mut testbed, provider, &mut session, work(60, terms.clone()));
        assert_eq!(refusals(&mut testbed, &thief), [Refusal::BadKeyProof]);
        assert_eq!(testbed.faults.pop(), Some((thief.identity.id(), PeerFault::Forged)));
    }
    assert_eq!(testbed.provider_at(provider).channels().count(), 0, "it was not even learnt");
    for order in 1..=3 {
        testbed.order(client, order, chat("count for me", 40), COIN, MINUTE);
        testbed.run_to_end(MINUTE);
        assert_eq!(testbed.outcome(order).text, engine::answer(40), "order {order}");
        let mut thief = Guest::new(&mut testbed, 20 + order, net(20 + order));
        let mut session = won(&mut testbed, provider, &mut thief);
        thief.gives(&mut testbed, provider, &mut session, work(60, terms.clone()));
        assert_eq!(refusals(&mut testbed, &thief), [Refusal::BadKeyProof]);
    }
    assert!(testbed.served.iter().all(|(_, job)| job.client == client || job.cost == Nano::ZERO));
    let earner = testbed.provider_at(provider).channels().next().unwrap();
    assert_eq!((earner.client(), earner.account()), (client, terms.id()));
    assert_eq!((earner.unpaid(), earner.written_off()), (Nano::ZERO, Nano::ZERO));
    assert_eq!(testbed.chain.opened, 1, "its owner needs no other");
}

/// (CH-53) Whoever has seen one, as its provider has.
#[test]
fn a_proof_is_worth_nothing_in_any_other_session() {
    let mut testbed = Testbed::new(2, CALM);
    let provider = testbed.provider(1, price(PRICE), 1_000);
    let (mut owner, session, terms) = owner_at_work(&mut testbed, provider);
    let seen = key_proof(&session, &terms);

    let copied = || FromClient::Work(Work { key_proof: seen, ..work(60, terms.clone()) });
    let mut thief = Guest::new(&mut testbed, 2, net(2));
    let mut session = won(&mut testbed, provider, &mut thief);
    thief.seals(&mut testbed, provider, &mut session, &copied());
    assert_eq!(refusals(&mut testbed, &thief), [Refusal::BadKeyProof]);
    let mut again = won(&mut testbed, provider, &mut owner);
    owner.seals(&mut testbed, provider, &mut again, &copied());
    assert_eq!(refusals(&mut testbed, &owner), [Refusal::BadKeyProof]);
    testbed.run(MINUTE, |_| false);
    assert!(testbed.served.iter().any(|(_, job)| job.client == owner.identity.id() && job.output_tokens > 0));
}

/// (CH-1) A good name at a provider costs the fees of a channel, and an owner with many nodes would have it for each.
#[test]
fn a_channel_is_of_one_node_however_many_its_owner_has() {
    let mut testbed = Testbed::new(3, CALM);
    let provider = testbed.provider(1, price(PRICE), 1_000);
    let (_, _, terms) = owner_at_work(&mut testbed, provider);
    for number in 2..5 {
        let mut other = Guest::new(&mut testbed, number, net(number));
        let mut session = won(&mut testbed, provider, &mut other);
        other.gives(&mut testbed, provider, &mut session, work(60, terms.clone()));
        assert_eq!(refusals(&mut testbed, &other), [Refusal::ChannelTerms]);
    }
    assert!(testbed.faults.is_empty(), "{:?}", testbed.faults);
}
