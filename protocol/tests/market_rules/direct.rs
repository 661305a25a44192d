//! Calls that go to those alone that are known to sell.

use bombyx_protocol::client::{Client, ClientConfig};
use bombyx_protocol::ident::{Identity, NodeId, Prefix};
use bombyx_protocol::io::{Command, Input, Output, PeerFault};
use bombyx_protocol::limits;
use bombyx_protocol::market::call::Call;
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::provider::Provider;
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::extension::{Extension, Extensions};
use bombyx_protocol::wire::message::{Gossip, Message, ReleaseReason, ToClient, ToProvider};
use bombyx_protocol::work::order::OrderId;

use super::buyer::{call_to_all, prefix_of, served_by, to_providers};
use super::{Caller, START, calls, heard, provider, to_clients};
use crate::drive::{MODEL, give, order};

/// What one that buys knows after it has sought: the asks of these, each from its prefix.
fn seek(client: &mut Client, now: Time, crowd: &mut [(Provider, Prefix)]) {
    let sought = give(client, now, Input::Command(Command::Seek(Topic::Model(MODEL))));
    let seek = sought.iter().find_map(|output| match output {
        Output::Broadcast { gossip: seek @ Gossip::Seek(_), .. } => Some(seek.clone()),
        _ => None,
    });
    let seek = seek.expect("it seeks");
    for (provider, prefix) in crowd {
        for (_, ask) in to_clients(&give(provider, now, heard(seek.clone()))) {
            let (from, message) = (provider.node_id(), Message::ToClient(ask));
            give(client, now, Input::Received { from, prefix: *prefix, message });
        }
    }
}

/// Those that were called directly, and the call.
fn called(outputs: &[Output]) -> (Vec<NodeId>, Option<Call>) {
    let mut call = None;
    let mut to = Vec::new();
    for (node, message) in to_providers(outputs) {
        if let ToProvider::Call(one) = message {
            call = Some(one);
            to.push(node);
        }
    }
    to.sort_unstable();
    (to, call)
}

fn apart(numbers: impl Iterator<Item = u64>) -> Vec<(Provider, Prefix)> {
    numbers
        .map(|number| {
            let provider = provider(number, 1_000 * number);
            let prefix = prefix_of(provider.node_id());
            (provider, prefix)
        })
        .collect()
}

fn calls_to(client: &Client, call: &Call) -> Input {
    let message = Message::ToProvider(ToProvider::Call(call.clone()));
    Input::Received { from: client.node_id(), prefix: Prefix::UNKNOWN, message }
}

/// Has a provider bid; returns what the client says.
fn bids(
    client: &mut Client,
    now: Time,
    (provider, prefix): &mut (Provider, Prefix),
    call: &Call,
) -> Vec<Output> {
    let answers = to_clients(&give(provider, now, calls_to(client, call)));
    let [(_, bid)] = answers.try_into().unwrap();
    let (from, message) = (provider.node_id(), Message::ToClient(bid));
    give(client, now, Input::Received { from, prefix: *prefix, message })
}

fn award(outputs: &[Output]) -> Option<NodeId> {
    let mut messages = to_providers(outputs).into_iter();
    messages.find_map(|(to, message)| matches!(message, ToProvider::Award(_)).then_some(to))
}

/// (MK-66)
#[test]
fn those_that_are_known_to_sell_are_called_and_the_best_is_awarded_when_the_last_has_answered() {
    let mut crowd = apart(1..=3);
    let mut client = Client::new(ClientConfig::for_tests(1), Vec::new());
    seek(&mut client, START, &mut crowd);
    let said = give(&mut client, START, order(1, "count"));
    assert!(calls(&said).is_empty(), "nobody else hears of it");
    let (to, call) = called(&said);
    let mut known: Vec<NodeId> = crowd.iter().map(|(provider, _)| provider.node_id()).collect();
    known.sort_unstable();
    assert_eq!(to, known);
    let call = call.unwrap();
    assert_eq!(u64::from(call.window_ms), limits::DIRECT_WINDOW.as_ms());
    let soon = START + Span::from_ms(20);
    let awards: Vec<Option<NodeId>> =
        crowd.iter_mut().map(|one| award(&bids(&mut client, soon, one, &call))).collect();
    assert_eq!(awards, [None, None, Some(crowd[0].0.node_id())], "strangers as well: it chose whom to ask");
}

/// (MK-66)
#[test]
fn where_too_few_answer_in_time_everybody_is_called_and_who_is_late_is_told() {
    let mut crowd = apart(1..=3);
    let mut client = Client::new(ClientConfig::for_tests(1), Vec::new());
    seek(&mut client, START, &mut crowd);
    let (_, call) = called(&give(&mut client, START, order(1, "count")));
    let call = call.unwrap();
    assert!(award(&bids(&mut client, START, &mut crowd[0], &call)).is_none());
    let over = START + limits::DIRECT_WINDOW;
    let said = give(&mut client, over, Input::Tick);
    assert_eq!(calls(&said).len(), 1);
    let released = |said: &[Output]| -> Vec<(NodeId, ReleaseReason)> {
        let release = |(to, message): (NodeId, ToProvider)| match message {
            ToProvider::Release(release) => Some((to, release.why)),
            _ => None,
        };
        to_providers(said).into_iter().filter_map(release).collect()
    };
    let too_late = |one: &(Provider, Prefix)| [(one.0.node_id(), ReleaseReason::TooLate)];
    assert_eq!(released(&said), too_late(&crowd[0]), "one bid is no market");
    let late = bids(&mut client, over, &mut crowd[1], &call);
    assert_eq!(released(&late), too_late(&crowd[1]));
    // The next orders are called out at once.
    give(&mut client, over, Input::Command(Command::Cancel(OrderId(1))));
    for number in 2..2 + u64::from(limits::DIRECT_SPARED) {
        assert_eq!(calls(&give(&mut client, over, order(number, "count"))).len(), 1);
    }
    assert!(calls(&give(&mut client, over, order(99, "count"))).is_empty());
}

/// (MK-66)
#[test]
fn who_cannot_be_reached_is_not_waited_for_and_whoever_was_not_called_does_not_count() {
    let mut crowd = apart(1..=3);
    let mut client = Client::new(ClientConfig::for_tests(1), Vec::new());
    seek(&mut client, START, &mut crowd);
    let (_, call) = called(&give(&mut client, START, order(1, "count")));
    let call = call.unwrap();
    // One that was called has told another; it asks least of all.
    let mut told = apart([0].into_iter()).remove(0);
    let said = bids(&mut client, START, &mut told, &call);
    assert!(said.iter().all(|output| !matches!(output, Output::Send { .. } | Output::Fault { .. })));
    let gone = crowd[0].0.node_id();
    give(&mut client, START, Input::Undelivered { to: gone });
    assert!(award(&bids(&mut client, START, &mut crowd[1], &call)).is_none());
    let last = bids(&mut client, START, &mut crowd[2], &call);
    assert_eq!(award(&last), Some(crowd[1].0.node_id()));
    // The same where it is the last that is missing.
    give(&mut client, START, Input::Command(Command::Cancel(OrderId(1))));
    let (to, call) = called(&give(&mut client, START, order(2, "count")));
    assert_eq!(to.len(), 3, "who was not called is not known for it");
    for one in &mut crowd[..2] {
        assert!(award(&bids(&mut client, START, one, call.as_ref().unwrap())).is_none());
    }
    let end = give(&mut client, START, Input::Undelivered { to: crowd[2].0.node_id() });
    assert!(award(&end).is_some());
}

/// (MK-66, MK-51) Sixty keys of one owner ask less than all others.
#[test]
fn an_owner_of_many_keys_takes_two_places_and_bait_takes_one_once() {
    let here = Prefix::of_ipv4([192, 0, 2, 1]);
    let mut crowd: Vec<(Provider, Prefix)> = (100..160).map(|number| (provider(number, 1), here)).collect();
    crowd.extend(apart(1..=2));
    let honest: Vec<NodeId> = crowd[60..].iter().map(|(provider, _)| provider.node_id()).collect();
    let mut client = Client::new(ClientConfig::for_tests(1), Vec::new());
    seek(&mut client, START, &mut crowd);
    let (to, _) = called(&give(&mut client, START, order(1, "count")));
    assert_eq!(to.len(), 3);
    assert!(honest.iter().all(|one| to.contains(one)), "one place for the prefix, as none of it is proven");

    // A low ask, and a bid above all others: the next order knows better.
    let mut crowd = apart(1..=5);
    let mut client = Client::new(ClientConfig::for_tests(2), served_by_all(&crowd));
    seek(&mut client, START, &mut crowd);
    let baited = crowd[0].0.node_id();
    give(&mut crowd[0].0, START, crate::drive::offer(90_000));
    let mut best = Vec::new();
    for number in 1..=2 {
        let (to, call) = called(&give(&mut client, START, order(number, "count")));
        assert_eq!(to.len(), 4, "the three best and another");
        best.push(to.contains(&baited));
        for one in crowd.iter_mut().filter(|(provider, _)| to.contains(&provider.node_id())) {
            bids(&mut client, START, one, call.as_ref().unwrap());
        }
        give(&mut client, START, Input::Command(Command::Cancel(OrderId(number))));
    }
    assert!(best[0]);
    let reached = (3..40).filter(|number| {
        let (to, _) = called(&give(&mut client, START, order(*number, "count")));
        give(&mut client, START, Input::Command(Command::Cancel(OrderId(*number))));
        to.contains(&baited)
    });
    assert!(reached.count() < 37, "only now and then, by chance");
}

fn served_by_all(crowd: &[(Provider, Prefix)]) -> Vec<bombyx_protocol::Record> {
    served_by(crowd.iter().map(|(provider, _)| provider.node_id()))
}

/// (MK-66) What was bid is known for ten minutes, also without an ask.
#[test]
fn bidders_are_known_for_a_while_and_one_seller_alone_is_no_market() {
    let mut crowd = apart(1..=2);
    let mut client = Client::new(ClientConfig::for_tests(1), Vec::new());
    seek(&mut client, START, &mut crowd[..1]);
    let said = give(&mut client, START, order(1, "count"));
    assert!(called(&said).0.is_empty() && calls(&said).len() == 1);
    let (now, signed) = call_to_all(&mut client, said, START);
    let call = signed.open::<Call>().unwrap().into_inner();
    for one in &mut crowd {
        bids(&mut client, now, one, &call);
    }
    give(&mut client, now, Input::Command(Command::Cancel(OrderId(1))));
    let later = |left: Span| now + Span(limits::BID_KNOWN.0 - left.0);
    let (to, _) = called(&give(&mut client, later(Span::from_s(1)), order(2, "count")));
    assert_eq!(to.len(), 2);
    give(&mut client, later(Span::from_s(1)), Input::Command(Command::Cancel(OrderId(2))));
    let said = give(&mut client, later(Span(0)), order(3, "count"));
    assert!(called(&said).0.is_empty() && calls(&said).len() == 1);
}

/// (MK-62, WI-12, WI-16, WI-18, MK-4)
#[test]
fn a_direct_call_is_checked_as_a_gossiped_one() {
    let caller = Caller::new(9);
    let fresh = caller.call(1);
    let direct = |call: &Call| Message::ToProvider(ToProvider::Call(call.clone()));
    let from = |from: NodeId, message: Message| Input::Received { from, prefix: Prefix::UNKNOWN, message };
    let me = caller.identity.id();
    let extension = |kind| Extensions::new(vec![Extension { kind, value: vec![1] }]).unwrap();
    let (needs, offers) = (extension(2), extension(1));
    let skew = limits::CLOCK_SKEW_S_MAX;
    let now = START + Span::from_s(1_000);
    let at = |made_s: u64, id: u8| Call { made_s, ..caller.call(id) };
    for (call, answers) in [
        (at(1_000 - skew - 1, 1), 0),
        (at(1_000 - skew, 2), 1),
        (at(1_000 + skew, 3), 1),
        (at(1_000 + skew + 2, 4), 0),
        (Call { extensions: needs, ..at(1_000, 5) }, 0),
        (Call { extensions: offers, ..at(1_000, 6) }, 1),
    ] {
        let mut gossiped = provider(1, 1_000);
        let mut asked = provider(2, 1_000);
        let by_gossip = give(&mut gossiped, now, caller.says(&call));
        let by_message = give(&mut asked, now, from(me, direct(&call)));
        for said in [&by_gossip, &by_message] {
            assert_eq!(to_clients(said).len(), answers, "{call:?}");
            assert!(said.iter().all(|output| !matches!(output, Output::Fault { .. })), "no fault: {call:?}");
        }
        // The same call by the other way is the same call.
        assert!(to_clients(&give(&mut asked, now, caller.says(&call))).is_empty());
    }
    let liar = Identity::from_seed(&[3; 32]).id();
    let mut provider = provider(3, 1_000);
    let said = give(&mut provider, START, from(liar, direct(&fresh)));
    assert!(said.iter().any(
        |output| matches!(output, Output::Fault { peer, fault: PeerFault::Malformed } if *peer == liar)
    ));
    let bid = to_clients(&give(&mut provider, START, from(me, direct(&fresh))));
    assert!(matches!(bid[..], [(to, ToClient::Bid(_))] if to == me));
}
