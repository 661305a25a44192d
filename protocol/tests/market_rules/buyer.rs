//! The client's side of the market: whom a call invites, how long bids are waited for, and who is released.

use crate::drive::{MODEL, give, order};
use bombyx_protocol::channel::record::{Record, Reputation};
use bombyx_protocol::client::{Client, ClientConfig, MarketPolicy};
use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::io::{Command, Event, Failure, Input, OrderNews, Output};
use bombyx_protocol::limits;
use bombyx_protocol::market::auction::BidReport;
use bombyx_protocol::market::call::Call;
use bombyx_protocol::market::history::Timing;
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::market::score::Fate;
use bombyx_protocol::provider::Provider;
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::message::{Gossip, Message, Refusal, Refuse, ReleaseReason, ToClient, ToProvider};
use bombyx_protocol::wire::signed::Signed;
use bombyx_protocol::work::order::OrderId;

use super::{START, calls, heard, provider, to_clients};

/// A prefix of its own for each provider.
pub(super) fn prefix_of(provider: NodeId) -> Prefix {
    let [a, b, c, d, ..] = provider.0;
    Prefix::of_ipv4([a, b, c, d])
}

/// What is on the disk of a client that all of these have served well.
pub(super) fn served_by(providers: impl IntoIterator<Item = NodeId>) -> Vec<Record> {
    let record = |(slot, provider): (u16, NodeId)| {
        let prefix = prefix_of(provider);
        let (model, timing) = (MODEL, Timing::default());
        Record::Reputation(Reputation {
            slot,
            provider,
            prefix,
            good: 9,
            level: 9,
            failures: 0,
            failed_at_s: 0,
            model,
            timed: 0,
            timing,
        })
    };
    (0..).zip(providers).map(record).collect()
}

/// A client that calls everybody, also where it knows who sells.
fn gossiping() -> ClientConfig {
    let market = MarketPolicy { direct: false, ..MarketPolicy::default() };
    ClientConfig { market, ..ClientConfig::for_tests(1) }
}

pub(super) fn to_providers(outputs: &[Output]) -> Vec<(NodeId, ToProvider)> {
    let message = |output: &Output| match output {
        Output::Send { to, message: Message::ToProvider(message) } => Some((*to, message.clone())),
        _ => None,
    };
    outputs.iter().filter_map(message).collect()
}

/// Returns the accounts of the auctions that have ended.
fn reports(outputs: &[Output]) -> Vec<Vec<BidReport>> {
    let bids = |output: &Output| match output {
        Output::Event(Event::Order { news: OrderNews::Bids(reports), .. }) => Some(reports.clone()),
        _ => None,
    };
    outputs.iter().filter_map(bids).collect()
}

/// Lets the calls to a part of an unknown crowd go unanswered; returns the call to everybody, and when it went out.
pub(crate) fn call_to_all(client: &mut Client, mut outputs: Vec<Output>, mut now: Time) -> (Time, Signed) {
    loop {
        let [signed] = calls(&outputs).try_into().unwrap();
        if signed.open::<Call>().unwrap().invited == Share::ALL {
            return (now, signed);
        }
        now = now + limits::BID_WINDOW;
        outputs = give(client, now, Input::Tick);
    }
}

/// (MK-17)
#[test]
fn an_unknown_crowd_is_asked_a_sixteenth_first_and_four_times_as_many_until_four_have_bid() {
    // How many bid at each call, and whom each call invites.
    let all = &[62_500, 250_000, 1_000_000];
    let asked: [(&[usize], &[u32]); 4] =
        [(&[0, 0, 1], all), (&[0, 3, 3], all), (&[0, 4], &[62_500, 250_000]), (&[4], &[62_500])];
    for (bids, invited) in asked {
        let mut crowd: Vec<Provider> = (1..=200).map(|number| provider(number, 1_000 + number)).collect();
        let mut client = Client::new(ClientConfig::for_tests(1), Vec::new());
        let mut said = give(&mut client, START, order(1, "count"));
        let (mut now, mut shares) = (START, Vec::new());
        for bidding in bids {
            let [signed] = calls(&said).try_into().unwrap();
            let call = signed.open::<Call>().unwrap().into_inner();
            shares.push(call.invited.0);
            assert_eq!(u64::from(call.window_ms), limits::BID_WINDOW.as_ms(), "silence of a part is no loss");
            let is_invited = |one: &&mut Provider| call.invited.invites(&call.id.0, &one.node_id());
            for provider in crowd.iter_mut().filter(is_invited).take(*bidding) {
                let bids = give(provider, now, heard(Gossip::Call(signed.clone())));
                let [(_, message)] = to_clients(&bids).try_into().unwrap();
                let from = provider.node_id();
                give(
                    &mut client,
                    now,
                    Input::Received { from, prefix: prefix_of(from), message: Message::ToClient(message) },
                );
            }
            now = now + limits::BID_WINDOW;
            said = give(&mut client, now, Input::Tick);
        }
        assert_eq!(shares, invited, "{bids:?}");
        let awarded = to_providers(&said).iter().any(|(_, message)| matches!(message, ToProvider::Award(_)));
        assert!(awarded, "{bids:?}");
    }
}

/// (MK-17, MK-51)
#[test]
fn of_one_prefix_all_bids_are_read_where_nobody_else_bids_and_a_part_of_the_crowd_has_no_winner() {
    let home = Prefix::of_ipv4([192, 0, 2, 1]);
    let elsewhere = Prefix::of_ipv4([198, 51, 100, 1]);
    // Where the three bids of the call to everybody come from, and how many of them are read.
    for (prefixes, read) in [([home; 3], 3), ([home, home, elsewhere], 2)] {
        let mut crowd: Vec<Provider> = (1..=3).map(|number| provider(number, 1_000 * number)).collect();
        let mut client = Client::new(ClientConfig::for_tests(1), Vec::new());
        let said = give(&mut client, START, order(1, "count"));
        let mut bid = |client: &mut Client, now: Time, call: &Signed, bidders: usize| {
            for (provider, prefix) in crowd.iter_mut().zip(prefixes).take(bidders) {
                let [(_, message)] =
                    to_clients(&give(provider, now, heard(Gossip::Call(call.clone())))).try_into().unwrap();
                let from = provider.node_id();
                give(client, now, Input::Received { from, prefix, message: Message::ToClient(message) });
            }
            give(client, now + limits::BID_WINDOW, Input::Tick)
        };
        // One bid of a part of the crowd wins nothing.
        let [first] = calls(&said).try_into().unwrap();
        let call = first.open::<Call>().unwrap().into_inner();
        let identity = bombyx_protocol::ident::Identity::from_seed(&ClientConfig::for_tests(1).identity_seed);
        let everybody = Call { invited: Share::ALL, ..call }.sign(&identity);
        let said = bid(&mut client, START, &everybody, 1);
        assert_eq!(reports(&said), [Vec::new()]);
        let (now, signed) = call_to_all(&mut client, said, START + limits::BID_WINDOW);
        let [reports] = reports(&bid(&mut client, now, &signed, 3)).try_into().unwrap();
        assert_eq!(reports.len(), read, "{prefixes:?}");
        let won = reports.iter().filter(|report| matches!(report.fate, Fate::Won { .. })).count();
        assert_eq!(won, 1, "{reports:?}");
    }
}

/// (MK-1, MK-3)
#[test]
fn a_call_tells_no_text_and_no_two_are_alike() {
    let mut client = Client::new(ClientConfig::for_tests(1), Vec::new());
    let mut ids = Vec::new();
    for (number, text) in [(1, "a very secret prompt"), (2, "A VERY SECRET PROMPT")] {
        let outputs = give(&mut client, START, order(number, text));
        let [signed] = calls(&outputs).try_into().unwrap();
        let call = signed.open::<Call>().unwrap();
        assert_eq!((call.client, call.output_log2), (client.node_id(), 6));
        assert_eq!(call.input_log2, 8, "20 tokens are told as 256 at the most");
        assert!(!signed.body.windows(6).any(|part| part.eq_ignore_ascii_case(b"secret")));
        ids.push(call.id);
    }
    assert_ne!(ids[0], ids[1]);
}

/// (MK-11, MK-17)
#[test]
fn of_a_crowd_a_share_is_invited_and_who_comes_late_is_released_and_counted() {
    let mut crowd: Vec<Provider> = (1..=60).map(|number| provider(number, 1_000 * number)).collect();
    let mut client = Client::new(gossiping(), served_by(crowd.iter().map(Provider::node_id)));
    let mut shares = Vec::new();
    for number in 1..=2u64 {
        let now = START + Span::from_s(10 * (number - 1));
        let said = give(&mut client, now, order(number, "count"));
        let [first] = calls(&said).try_into().unwrap();
        shares.push(first.open::<Call>().unwrap().invited);
        let (now, signed) = if number == 1 { call_to_all(&mut client, said, START) } else { (now, first) };
        let (mut bids, mut released) = (0, 0);
        for provider in &mut crowd {
            let answers = give(provider, now, heard(Gossip::Call(signed.clone())));
            for (_, bid) in to_clients(&answers) {
                bids += 1;
                let input = Input::Received {
                    from: provider.node_id(),
                    prefix: prefix_of(provider.node_id()),
                    message: Message::ToClient(bid),
                };
                let outputs = to_providers(&give(&mut client, now, input));
                let to = provider.node_id();
                released += usize::from(
                    bids > limits::PROVEN_WANTED
                        && matches!(&outputs[..], [(node, ToProvider::Release(_))] if *node == to),
                );
            }
        }
        assert_eq!(released, bids - limits::PROVEN_WANTED, "{bids} bids");
        give(&mut client, now, Input::Command(Command::Cancel(OrderId(number))));
        give(&mut client, now + limits::BID_WINDOW, Input::Tick);
    }
    assert_eq!(shares, [Share::FIRST, Share(333_333)]);
}

/// (MK-17)
#[test]
fn each_provider_that_failed_an_order_doubles_who_is_invited_next() {
    let mut crowd: Vec<Provider> = (1..=400).map(|number| provider(number, 1_000 * number)).collect();
    let mut client = Client::new(gossiping(), served_by(crowd.iter().map(Provider::node_id)));
    // Gives a call to everybody and the bids to the client; returns the share that was invited and what the client says.
    let mut bid = |client: &mut Client, now: Time, signed: &Signed| {
        let mut said = Vec::new();
        for provider in &mut crowd {
            for (_, bid) in to_clients(&give(provider, now, heard(Gossip::Call(signed.clone())))) {
                let input = Input::Received {
                    from: provider.node_id(),
                    prefix: prefix_of(provider.node_id()),
                    message: Message::ToClient(bid),
                };
                said.extend(give(client, now, input));
            }
        }
        (signed.open::<Call>().unwrap().invited, said)
    };
    let said = give(&mut client, START, order(1, "count"));
    let (now, first) = call_to_all(&mut client, said, START);
    assert_eq!(bid(&mut client, now, &first).0, Share::ALL, "nothing is known");
    give(&mut client, now + limits::BID_WINDOW, Input::Command(Command::Cancel(OrderId(1))));

    let now = START + Span::from_s(10);
    let [second] = calls(&give(&mut client, now, order(2, "count"))).try_into().unwrap();
    let (invited, mut said) = bid(&mut client, now, &second);
    assert_eq!(invited, Share(50_000), "twenty of four hundred");
    let mut refused = 0;
    let third = loop {
        let award = to_providers(&said).into_iter().find_map(|(to, message)| match message {
            ToProvider::Award(award) => Some((to, award.job)),
            ToProvider::KeptAward(_)
            | ToProvider::Sealed(_)
            | ToProvider::Release(_)
            | ToProvider::Seek(_)
            | ToProvider::Call(_) => None,
        });
        let (from, job) = award.expect("another is awarded or called for");
        refused += 1;
        let refuse = Message::ToClient(ToClient::Refuse(Refuse::of(job, Refusal::Busy)));
        said = give(&mut client, now, Input::Received { from, prefix: Prefix::UNKNOWN, message: refuse });
        // The next call waits for its time.
        let again = now + limits::BID_WINDOW;
        if to_providers(&said).iter().all(|(_, message)| !matches!(message, ToProvider::Award(_))) {
            let [call] = calls(&give(&mut client, again, Input::Tick)).try_into().unwrap();
            break call.open::<Call>().unwrap();
        }
    };
    assert_eq!((refused, third.invited), (3, Share(380_952)), "eight times as many");
}

/// (MK-17, MK-20)
#[test]
fn an_auction_does_not_wait_when_everyone_known_has_bid_and_a_newcomer_is_waited_for_the_next_time() {
    let mut crowd: Vec<Provider> = (1..=4).map(|number| provider(number, 1_000 * number)).collect();
    let mut client = Client::new(gossiping(), served_by(crowd.iter().map(Provider::node_id)));
    // Providers that answer, and after how many bids the award goes out.
    for (number, answering, early) in [(1u64, 3usize, None), (2, 4, Some(3)), (3, 4, Some(4)), (4, 2, None)] {
        let now = START + Span::from_s(10 * (number - 1));
        let said = give(&mut client, now, order(number, "count"));
        let (now, signed) = if number == 1 {
            call_to_all(&mut client, said, START)
        } else {
            let [signed] = calls(&said).try_into().unwrap();
            (now, signed)
        };
        let mut awarded_after = None;
        for (count, provider) in crowd.iter_mut().take(answering).enumerate() {
            let bids = to_clients(&give(provider, now, heard(Gossip::Call(signed.clone()))));
            let [(_, bid)] = bids.try_into().unwrap();
            let input = Input::Received {
                from: provider.node_id(),
                prefix: prefix_of(provider.node_id()),
                message: Message::ToClient(bid),
            };
            let said = to_providers(&give(&mut client, now, input));
            if said.iter().any(|(_, message)| matches!(message, ToProvider::Award(_))) {
                awarded_after = Some(count + 1);
            }
        }
        assert_eq!(awarded_after, early, "order {number}");
        give(&mut client, now + limits::BID_WINDOW, Input::Tick);
        give(&mut client, now + limits::BID_WINDOW, Input::Command(Command::Cancel(OrderId(number))));
    }
}

/// (MK-11)
#[test]
fn who_cannot_win_any_more_is_released_and_told_by_how_much_another_was_better() {
    let mut client = Client::new(ClientConfig::for_tests(1), Vec::new());
    let outputs = give(&mut client, START, order(1, "count"));
    let (now, signed) = call_to_all(&mut client, outputs, START);
    let (mut bidders, mut providers) = (Vec::new(), Vec::new());
    for number in 1..=5 {
        let mut provider = provider(number, 1_000 * number);
        let bids = give(&mut provider, now, heard(Gossip::Call(signed.clone())));
        let [(_, bid)] = to_clients(&bids).try_into().unwrap();
        let message = Message::ToClient(bid);
        give(
            &mut client,
            now,
            Input::Received { from: provider.node_id(), prefix: prefix_of(provider.node_id()), message },
        );
        bidders.push(provider.node_id());
        providers.push(provider);
    }
    let awards = to_providers(&give(&mut client, now + limits::BID_WINDOW, Input::Tick));
    let released = |messages: &[(NodeId, ToProvider)]| -> Vec<NodeId> {
        let release = |(to, message): &(NodeId, ToProvider)| match message {
            ToProvider::Release(_) => Some(*to),
            _ => None,
        };
        messages.iter().filter_map(release).collect()
    };
    assert_eq!(released(&awards), bidders[3..], "three stay warm");
    assert!(awards.iter().any(|(to, message)| *to == bidders[0] && matches!(message, ToProvider::Award(_))));
    let end = to_providers(&give(
        &mut client,
        now + limits::BID_WINDOW,
        Input::Command(Command::Cancel(OrderId(1))),
    ));
    assert_eq!(released(&end), bidders[1..3]);

    // Each asks so many times as much as the first.
    let mut margins = Vec::new();
    for (to, message) in awards.into_iter().chain(end) {
        let (ToProvider::Release(release), Some(place)) =
            (&message, bidders.iter().position(|bidder| *bidder == to))
        else {
            continue;
        };
        assert_eq!(release.why, ReleaseReason::Outscored);
        let message = Message::ToProvider(message.clone());
        let told = Input::Received { from: client.node_id(), prefix: Prefix::UNKNOWN, message };
        give(&mut providers[place], now, told);
        let sales = providers[place].sales();
        assert_eq!((sales.outscored, sales.mean_margin()), (1, u64::from(release.margin)));
        margins.push((place, release.margin));
    }
    margins.sort_unstable();
    let about = |place: usize| 900 * u32::try_from(place).unwrap()..=1_000 * u32::try_from(place).unwrap();
    assert!(
        margins.len() == 4 && margins.iter().all(|(place, margin)| about(*place).contains(margin)),
        "{margins:?}"
    );
}

/// (MK-11)
#[test]
fn an_order_that_nobody_can_serve_releases_all_who_bid() {
    let mut client = Client::new(ClientConfig::for_tests(1), Vec::new());
    let outputs = give(&mut client, START, order(1, "count"));
    let (now, signed) = call_to_all(&mut client, outputs, START);
    let mut dear = provider(1, u64::MAX / 4_000_000);
    let [(_, bid)] = to_clients(&give(&mut dear, now, heard(Gossip::Call(signed)))).try_into().unwrap();
    let input =
        Input::Received { from: dear.node_id(), prefix: Prefix::UNKNOWN, message: Message::ToClient(bid) };
    give(&mut client, now, input);
    let end = to_providers(&give(&mut client, now + limits::BID_WINDOW, Input::Tick));
    assert!(matches!(&end[..], [(to, ToProvider::Release(_))] if *to == dear.node_id()), "{end:?}");
    // Another may be slow: it is called for until the order's time is over.
    (1..=62).for_each(|seconds| drop(give(&mut client, now + Span::from_s(seconds), Input::Tick)));
    assert_eq!(client.orders_in_flight(), 0);
}

/// (MK-15)
#[test]
fn a_call_that_nobody_answers_is_repeated_with_more_patience_until_the_order_s_deadline() {
    let mut client = Client::new(ClientConfig::for_tests(1), Vec::new());
    let mut outputs = give(&mut client, START, order(1, "count"));
    let (mut now, mut windows) = (START, Vec::new());
    while client.orders_in_flight() > 0 {
        let [signed] = calls(&outputs).try_into().unwrap();
        let call = signed.open::<Call>().unwrap();
        windows.push(u64::from(call.window_ms));
        now = (now + Span::from_ms(u64::from(call.window_ms))).min(START + Span::from_s(60));
        outputs = give(&mut client, now, Input::Tick);
    }
    let window = limits::BID_WINDOW.as_ms();
    // Two to a part of the crowd, whose silence says little, and then to everybody.
    let most = limits::CALL_WAIT_MAX.as_ms();
    assert_eq!(windows[..7], [window, window, window, 2 * window, 4 * window, 8 * window, most]);
    assert!(windows[7..].iter().all(|window| *window == most));
    assert_eq!(now, START + Span::from_s(60));
    assert!(outputs.iter().any(|output| matches!(
        output,
        Output::Event(Event::Order { news: OrderNews::Failed { why: Failure::NoBids, .. }, .. })
    )));
}
