//! The rules by which sellers are found and what they offer is listed, spec/03-market.md.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod drive;

use bombyx_protocol::client::{Client, ClientConfig};
use bombyx_protocol::ident::{Identity, NodeId, Prefix};
use bombyx_protocol::io::{Command, Input, Offer, Output, PeerFault};
use bombyx_protocol::limits;
use bombyx_protocol::market::ask::Ask;
use bombyx_protocol::market::call::{Call, CallId};
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::market::seek::{Seek, SeekId};
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::provider::{Provider, ProviderConfig};
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::extension::{Extensions, Features};
use bombyx_protocol::wire::message::{Gossip, Message, ToClient, ToProvider};
use bombyx_protocol::wire::signed::{Signed, SignedFault};
use bombyx_protocol::work::order::{ModelId, TaskKind, Tier};
use bombyx_protocol::work::price::{Price, Weights};
use drive::{MODEL, give, offer, sheet};

const START: Time = Time(1_000);

/// A provider of the first `models` models.
fn provider(number: u64, models: u8) -> Provider {
    let mut provider = Provider::new(ProviderConfig::for_tests(number), Vec::new());
    for model in 0..models {
        let offered = Offer {
            model: ModelId([model; 32]),
            name: "counter".into(),
            kind: TaskKind::Generate,
            cost: sheet(Price(1_000)),
            weights: Weights::DEFAULT,
            slots: 2,
            start_ms: 10,
            read_tps: 1_000,
            write_tps: 100,
            context_tokens: 4_096,
            output_max: 4_096,
        };
        give(&mut provider, START, Input::Command(Command::Offer(offered)));
    }
    provider
}

fn client(number: u64) -> Client {
    Client::new(ClientConfig::for_tests(number), Vec::new())
}

fn seek(client: &Identity, id: u8, model: Option<ModelId>) -> Seek {
    Seek { model, ..Seek::for_all(SeekId([id; 16]), client.id(), Share::ALL, 0) }
}

fn from(from: NodeId, message: Message) -> Input {
    Input::Received { from, prefix: Prefix::UNKNOWN, message }
}

fn heard(gossip: &Gossip) -> Input {
    Input::Gossip { prefix: Prefix::UNKNOWN, gossip: gossip.open().unwrap() }
}

fn to_clients(outputs: &[Output]) -> Vec<(NodeId, ToClient)> {
    let message = |output: &Output| match output {
        Output::Send { to, message: Message::ToClient(message) } => Some((*to, message.clone())),
        _ => None,
    };
    outputs.iter().filter_map(message).collect()
}

/// The models of the asks among these outputs, in order.
fn asked(outputs: &[Output]) -> Vec<u8> {
    let model = |(_, message): (NodeId, ToClient)| match message {
        ToClient::Ask(signed) => signed.open::<Ask>().unwrap().model.0[0],
        other => panic!("no ask but {other:?}"),
    };
    to_clients(outputs).into_iter().map(model).collect()
}

fn faults(outputs: &[Output]) -> Vec<(NodeId, PeerFault)> {
    let fault = |output: &Output| match output {
        Output::Fault { peer, fault } => Some((*peer, *fault)),
        _ => None,
    };
    outputs.iter().filter_map(fault).collect()
}

/// What a client gossips to learn who offers what a topic is about.
fn sought(client: &mut Client, now: Time, topic: Topic) -> Option<Signed> {
    let outputs = give(client, now, Input::Command(Command::Seek(topic)));
    outputs.into_iter().find_map(|output| match output {
        Output::Broadcast { topic: on, gossip: Gossip::Seek(signed) } if on == topic => Some(signed),
        _ => None,
    })
}

/// (MK-12, MK-19)
#[test]
fn a_seek_is_answered_once_with_what_is_offered_and_the_client_takes_answers_to_its_own() {
    for topic in [Topic::Model(MODEL), Topic::Market] {
        let mut provider = Provider::new(ProviderConfig::for_tests(1), Vec::new());
        give(&mut provider, START, offer(1_000));
        let mut client = client(7);
        let sought_first = sought(&mut client, START, topic).unwrap();
        assert!(sought(&mut client, START, topic).is_none(), "not twice in a moment (MK-18)");
        let mut forged = sought_first.clone();
        forged.signature.0[5] ^= 1;
        assert_eq!(
            Gossip::Seek(forged).open(),
            Err(SignedFault::Forged),
            "no machine is given a forged seek"
        );
        let gossip = Gossip::Seek(sought_first);
        let answers = to_clients(&give(&mut provider, START, heard(&gossip)));
        let [(to, ask)] = &answers[..] else { panic!("no ask in {answers:?}") };
        assert_eq!(*to, client.node_id());
        assert!(to_clients(&give(&mut provider, START, heard(&gossip))).is_empty());

        let says = |client: &mut Client, now, who| {
            give(client, now, from(who, Message::ToClient(ask.clone())));
            client.asks(now).count()
        };
        let mut stranger = other_client();
        assert_eq!(says(&mut stranger, START, provider.node_id()), 0, "who did not seek keeps nothing");
        assert_eq!(says(&mut client, START, NodeId([9; 32])), 0, "an ask of another");
        assert_eq!(says(&mut client, START, provider.node_id()), 1);
        let asks: Vec<_> = client.asks(START).map(|(ask, _)| (ask.provider, ask.context_tokens)).collect();
        assert_eq!(asks, [(provider.node_id(), 4_096)]);
        assert_eq!(
            client.asks(START + limits::ASK_VALID).count(),
            0,
            "a minute later it is forgotten, unasked"
        );
    }
}

fn other_client() -> Client {
    client(8)
}

/// (MK-12)
#[test]
fn an_ask_for_a_model_that_nobody_asked_about_is_held_against_its_sender() {
    let (mut client, mut provider) = (client(7), provider(1, 2));
    let id = Gossip::Seek(sought(&mut client, START, Topic::Model(ModelId([0; 32]))).unwrap());
    let [(_, ToClient::Ask(signed))] = &to_clients(&give(&mut provider, START, heard(&id)))[..] else {
        panic!("no ask")
    };
    let seller = Identity::from_seed(&[9; 32]);
    let honest = signed.open::<Ask>().unwrap().into_inner();
    let other = Ask { provider: seller.id(), model: ModelId([1; 32]), ..honest };
    let said =
        give(&mut client, START, from(seller.id(), Message::ToClient(ToClient::Ask(other.sign(&seller)))));
    assert_eq!(faults(&said), [(seller.id(), PeerFault::Malformed)]);
    let unknown = Ask { seek: SeekId([9; 16]), ..other };
    let said =
        give(&mut client, START, from(seller.id(), Message::ToClient(ToClient::Ask(unknown.sign(&seller)))));
    assert!(faults(&said).is_empty(), "it may only be late");
    assert_eq!(client.asks(START).count(), 0);
}

/// (MK-19)
#[test]
fn a_seek_for_everything_is_told_of_all_models_by_turns() {
    let caller = Identity::from_seed(&[1; 32]);
    let mut few = provider(1, 3);
    for id in 0..3 {
        let outputs = give(&mut few, START, heard(&Gossip::Seek(seek(&caller, id, None).sign(&caller))));
        assert_eq!(asked(&outputs), [0, 1, 2]);
    }
    let mut many = provider(2, 40);
    let mut told = vec![0; 40];
    let mut now = START;
    for id in 0..5 {
        let outputs = give(&mut many, now, heard(&Gossip::Seek(seek(&caller, id, None).sign(&caller))));
        let models = asked(&outputs);
        assert_eq!(models.len(), limits::ASKS_PER_SEEK_MAX);
        models.into_iter().for_each(|model| told[usize::from(model)] += 1);
        now = now + Span::from_s(1);
    }
    assert!(told.iter().all(|times| *times == 2), "{told:?}");
    let mut none = provider(3, 0);
    assert!(
        asked(&give(&mut none, START, heard(&Gossip::Seek(seek(&caller, 1, None).sign(&caller))))).is_empty()
    );
}

/// (MK-62)
#[test]
fn one_provider_is_asked_directly_and_answers_whoever_speaks_for_itself() {
    let (mut client, mut provider, mut other) = (client(7), provider(1, 3), provider(2, 3));
    let said = give(&mut client, START, Input::Command(Command::SeekFrom(provider.node_id())));
    let [Output::Send { to, message }] = &said[..] else { panic!("no seek in {said:?}") };
    assert_eq!(*to, provider.node_id());
    assert!(client.awaits_asks(START));
    assert!(give(&mut client, START, Input::Command(Command::SeekFrom(*to))).is_empty(), "not twice (MK-18)");
    let answers = to_clients(&give(&mut provider, START, from(client.node_id(), message.clone())));
    assert_eq!(answers.len(), 3);
    assert!(
        to_clients(&give(&mut provider, START, from(client.node_id(), message.clone()))).is_empty(),
        "once"
    );
    for (_, ask) in answers {
        give(&mut client, START, from(provider.node_id(), Message::ToClient(ask)));
    }
    assert_eq!((client.asks(START).count(), client.awaits_asks(START)), (3, false));
    // Another cannot answer in its place, nor ask in another's name.
    let answers = to_clients(&give(&mut other, START, from(client.node_id(), message.clone())));
    for (_, ask) in answers {
        let said = give(&mut client, START, from(other.node_id(), Message::ToClient(ask)));
        assert_eq!(faults(&said), [(other.node_id(), PeerFault::Malformed)]);
    }
    assert_eq!(client.asks(START).count(), 3);
    let liar = NodeId([9; 32]);
    let call = Call {
        id: CallId([1; 16]),
        client: client.node_id(),
        seal_key: [1; 32],
        model: ModelId([0; 32]),
        kind: TaskKind::Generate,
        input_log2: 6,
        output_log2: 6,
        tier: Tier::Open,
        window_ms: 400,
        invited: Share::ALL,
        made_s: 0,
        deadline_ms: 1_024,
        stamp: 0,
        features: Features::OWN,
        extensions: Extensions::NONE,
    };
    let called = Message::ToProvider(ToProvider::Call(call));
    for message in [message, &called] {
        let said = give(&mut other, START, from(liar, message.clone()));
        assert_eq!(faults(&said), [(liar, PeerFault::Malformed)]);
        assert!(to_clients(&said).is_empty());
    }
    let bids = to_clients(&give(&mut other, START, from(client.node_id(), called)));
    assert!(matches!(bids[..], [(to, ToClient::Bid(_))] if to == client.node_id()), "{bids:?}");
}

/// (MK-61)
#[test]
fn a_provider_that_leaves_tells_those_that_it_answered_lately_and_is_off_their_list_at_once() {
    let (mut client, mut provider) = (client(7), provider(1, 2));
    let (early, late) = (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]));
    give(&mut provider, START, heard(&Gossip::Seek(seek(&early, 1, None).sign(&early))));
    let now = START + limits::ASK_VALID;
    let answers =
        give(&mut provider, now, heard(&Gossip::Seek(sought(&mut client, now, Topic::Market).unwrap())));
    for (_, ask) in to_clients(&answers) {
        give(&mut client, now, from(provider.node_id(), Message::ToClient(ask)));
    }
    assert_eq!(client.asks(now).count(), 2);
    let told = to_clients(&give(&mut provider, now, Input::Command(Command::Drain)));
    assert_eq!(
        told,
        [(client.node_id(), ToClient::Leaving)],
        "nobody waits for the early one's asks any more"
    );
    give(&mut client, now, from(NodeId([9; 32]), Message::ToClient(ToClient::Leaving)));
    assert_eq!(client.asks(now).count(), 2, "nobody leaves for another");
    give(&mut client, now, from(provider.node_id(), Message::ToClient(ToClient::Leaving)));
    assert_eq!(client.asks(now).count(), 0);
    let silent = give(&mut provider, now, heard(&Gossip::Seek(seek(&late, 2, None).sign(&late))));
    assert!(to_clients(&silent).is_empty(), "who leaves offers nothing");
    assert!(to_clients(&give(&mut provider, now, Input::Command(Command::Drain))).is_empty(), "once");
}

/// (MK-19, MK-44)
#[test]
fn a_flood_of_seeks_for_everything_leaves_others_their_answers() {
    let mut provider = provider(1, 16);
    let here = Prefix::of_ipv4([192, 0, 2, 1]);
    let elsewhere = Prefix::of_ipv4([198, 51, 100, 1]);
    let honest = Identity::from_seed(&[255; 32]);
    let (mut flooded, mut answered) = (0, 0);
    for ms in 0..10_000u64 {
        let now = START + Span::from_ms(ms);
        // A fresh name each time, all of one prefix, a thousand a second; over connections or gossiped is the same.
        let mut seed = [1; 32];
        seed[..8].copy_from_slice(&ms.to_le_bytes());
        let id = SeekId(seed[..16].try_into().unwrap());
        let client = Identity::from_seed(&seed).id();
        let flood = ToProvider::Seek(Seek::for_all(id, client, Share::ALL, 0));
        let flood = Input::Received { from: client, prefix: here, message: Message::ToProvider(flood) };
        flooded += to_clients(&give(&mut provider, now, flood)).len();
        if ms % 2_000 == 1_999 {
            let mut asking = seek(&honest, 0, None);
            asking.id.0[..8].copy_from_slice(&ms.to_le_bytes());
            let asking = ToProvider::Seek(asking);
            let asking = Input::Received {
                from: honest.id(),
                prefix: elsewhere,
                message: Message::ToProvider(asking),
            };
            answered += usize::from(!to_clients(&give(&mut provider, now, asking)).is_empty());
        }
    }
    let most = usize::try_from(11 * limits::STRANGERS_ANSWERS_PER_S).unwrap();
    assert!(flooded <= most, "{flooded} asks in ten seconds");
    assert_eq!(answered, 5, "who asks now and then from elsewhere is answered");
}
