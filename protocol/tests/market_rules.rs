//! The rules of `spec/03-market.md` that one machine keeps by itself.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod drive;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::record::{EarnerRecord, Record};
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::client::{Client, ClientConfig};
use bombyx_protocol::entropy::Entropy;
use bombyx_protocol::ident::{Identity, NodeId, Prefix, Signature};
use bombyx_protocol::io::{Command, Input, Output};
use bombyx_protocol::limits;
use bombyx_protocol::market::bid::{Bid, BidHash};
use bombyx_protocol::market::call::{Call, CallId};
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::market::seek::{Seek, SeekId};
use bombyx_protocol::provider::{Provider, ProviderConfig};
use bombyx_protocol::session::{Initiator, StaticKey, prologue, unseal};
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::{
    Award, Gossip, Message, Payment, Refusal, Refuse, SealedBid, ToClient, ToProvider,
};
use bombyx_protocol::wire::signed::{Signed, SignedFault};
use bombyx_protocol::work::order::{JobId, ModelId, OrderId, TaskKind, Tier};
use drive::{MODEL, give, offer, order};

const START: Time = Time(1_000);

fn calls(outputs: &[Output]) -> Vec<Signed> {
    let call = |output: &Output| match output {
        Output::Broadcast { gossip: Gossip::Call(signed), .. } => Some(signed.clone()),
        _ => None,
    };
    outputs.iter().filter_map(call).collect()
}

fn to_clients(outputs: &[Output]) -> Vec<(NodeId, ToClient)> {
    let message = |output: &Output| match output {
        Output::Send { to, message: Message::ToClient(message) } => Some((*to, message.clone())),
        _ => None,
    };
    outputs.iter().filter_map(message).collect()
}

fn to_providers(outputs: &[Output]) -> Vec<(NodeId, ToProvider)> {
    let message = |output: &Output| match output {
        Output::Send { to, message: Message::ToProvider(message) } => Some((*to, message.clone())),
        _ => None,
    };
    outputs.iter().filter_map(message).collect()
}

fn heard(gossip: Gossip) -> Input {
    Input::Gossip { prefix: Prefix::UNKNOWN, gossip: gossip.open().unwrap() }
}

/// A provider that this caller has paid before.
fn provider_of(number: u64, per_k: u64, customer: &Caller) -> Provider {
    let config = ProviderConfig::for_tests(number);
    let payee = Provider::new(config.clone(), Vec::new()).payee();
    let terms = ChannelTerms {
        network_id: payee.network_id,
        salt: 1,
        client_key: customer.identity.id().0,
        provider_key: payee.key,
        client: Address::basechain([7; 32]),
        provider: payee.address,
        challenge_s: payee.challenge_s,
    };
    let payment = Payment { epoch: 1, cumulative: Nano(1), signature: Signature([0; 64]) };
    let client = customer.identity.id();
    let paid = EarnerRecord {
        terms: terms.into(),
        client,
        payment: Some(payment),
        early: None,
        shelved: None,
        at_risk: Nano::ZERO,
        widest: Nano::ZERO,
        ordered: None,
        gone: false,
    };
    let mut provider = Provider::new(config, vec![Record::Earner(paid)]);
    give(&mut provider, START, offer(per_k));
    provider
}

fn provider(number: u64, per_k: u64) -> Provider {
    let mut provider = Provider::new(ProviderConfig::for_tests(number), Vec::new());
    give(&mut provider, START, offer(per_k));
    provider
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
        assert_eq!(call.input_log2, 7, "20 bytes and a template are told as 128 tokens at the most");
        assert!(!signed.body.windows(6).any(|part| part.eq_ignore_ascii_case(b"secret")));
        ids.push(call.id);
    }
    assert_ne!(ids[0], ids[1]);
}

/// A caller with keys of its own.
struct Caller {
    identity: Identity,
    seal_key: StaticKey,
    entropy: Entropy,
}

impl Caller {
    fn new(seed: u8) -> Self {
        Self {
            identity: Identity::from_seed(&[seed; 32]),
            seal_key: StaticKey::from_seed([seed; 32]),
            entropy: Entropy::new([seed; 32]),
        }
    }

    fn call(&self, id: u8) -> Call {
        Call {
            id: CallId([id; 16]),
            client: self.identity.id(),
            seal_key: self.seal_key.public(),
            model: MODEL,
            kind: TaskKind::Generate,
            input_log2: 6,
            output_log2: 6,
            tier: Tier::Open,
            window_ms: 400,
            invited: Share::ALL,
        }
    }

    fn seeks(&self, id: u8, invited: Share) -> Input {
        let seek = Seek { id: SeekId([id; 16]), client: self.identity.id(), model: MODEL, invited };
        heard(Gossip::Seek(seek.sign(&self.identity)))
    }

    fn says(&self, call: &Call) -> Input {
        heard(Gossip::Call(call.sign(&self.identity)))
    }

    fn releases(&self, id: u8) -> Input {
        let message = Message::ToProvider(ToProvider::Release(CallId([id; 16])));
        Input::Received { from: self.identity.id(), prefix: Prefix::UNKNOWN, message }
    }

    fn bid(&self, outputs: &[Output]) -> (Bid, BidHash) {
        let [(to, ToClient::Bid(sealed))] = &to_clients(outputs)[..] else { panic!("no bid in {outputs:?}") };
        assert_eq!(*to, self.identity.id());
        let plain = unseal(&self.seal_key, &sealed.call.0, &sealed.sealed).unwrap();
        let signed: Signed = codec::decode_sealed(&plain).unwrap();
        (signed.open::<Bid>().unwrap().into_inner(), BidHash::of(&signed))
    }

    fn award(&mut self, bid: &Bid, hash: BidHash, job: u8) -> Award {
        let job = JobId([job; 16]);
        let prologue = prologue(&self.identity.id(), &bid.provider, &job.0);
        let (_, handshake) = Initiator::start(&bid.session_key, &prologue, &mut self.entropy).unwrap();
        Award { job, call: bid.call, bid: hash, price: bid.price, handshake }
    }

    fn sends(&self, award: &Award) -> Input {
        let message = Message::ToProvider(ToProvider::Award(award.clone()));
        Input::Received { from: self.identity.id(), prefix: Prefix::UNKNOWN, message }
    }
}

/// (MK-4)
#[test]
fn a_call_is_answered_once_and_nobody_can_take_its_place() {
    let mut provider = provider(1, 1_000);
    let (caller, copycat) = (Caller::new(1), Caller::new(2));
    let call = caller.call(9);
    let mut forged = call.sign(&caller.identity);
    forged.signature.0[5] ^= 1;
    assert_eq!(Gossip::Call(forged).open(), Err(SignedFault::Forged), "no machine is given a forged call");
    let answers = give(&mut provider, START, copycat.says(&copycat.call(9)));
    copycat.bid(&answers);
    let answers = give(&mut provider, START, caller.says(&call));
    caller.bid(&answers);
    let answers = give(&mut provider, START, caller.says(&call));
    assert!(to_clients(&answers).is_empty(), "a second copy is not answered");
}

/// (MK-5)
#[test]
fn a_bid_is_for_its_caller_alone_and_for_what_is_offered() {
    let mut provider = provider(1, 1_000);
    let (caller, other) = (Caller::new(1), Caller::new(2));
    let answers = give(&mut provider, START, caller.says(&caller.call(1)));
    let (bid, _) = caller.bid(&answers);
    assert_eq!((bid.provider, bid.price), (provider.node_id(), drive::price(1_000)));
    let [(_, ToClient::Bid(SealedBid { sealed, call }))] = &to_clients(&answers)[..] else {
        panic!("no bid")
    };
    assert_eq!(sealed.len(), 560, "as 01-wire.md says");
    assert!(unseal(&other.seal_key, &call.0, sealed).is_err());
    assert!(unseal(&caller.seal_key, &[2; 16], sealed).is_err());
    let unserved = [
        Call { model: ModelId([1; 32]), ..caller.call(2) },
        Call { kind: TaskKind::Embed, ..caller.call(3) },
        Call { tier: Tier::Confidential, ..caller.call(4) },
        Call { output_log2: 14, ..caller.call(5) },
        Call { output_log2: 64, ..caller.call(6) },
        Call { output_log2: 255, ..caller.call(7) },
    ];
    for call in unserved {
        let answers = give(&mut provider, START, caller.says(&call));
        assert!(to_clients(&answers).is_empty(), "{call:?}");
    }
}

/// How many of these calls a provider bids for.
fn bids(provider: &mut Provider, caller: &Caller, ids: std::ops::RangeInclusive<u8>) -> usize {
    ids.filter(|id| !to_clients(&give(provider, START, caller.says(&caller.call(*id)))).is_empty()).count()
}

/// (MK-5, MK-21)
#[test]
fn the_bids_of_a_provider_have_a_limit() {
    let caller = Caller::new(1);
    let mut provider = provider_of(1, 1_000, &caller);
    assert_eq!(bids(&mut provider, &caller, 0..=9), 4, "two slots, and every second bid may win");
    for id in 0..100 {
        // It loses all of them and all that follow, so more may be out.
        give(&mut provider, START, caller.releases(id.min(9)));
        bids(&mut provider, &caller, id.max(10)..=id.max(10));
        give(&mut provider, START, caller.releases(id.max(10)));
    }
    assert_eq!(bids(&mut provider, &caller, 100..=255), 2 * limits::BIDS_PER_SLOT_MAX);
    let later = START + limits::BID_VALID;
    give(&mut provider, later, Input::Tick);
    let mut again = caller.call(0);
    again.id = CallId([0xff; 16]);
    again.id.0[0] = 0;
    let answers = give(&mut provider, later, caller.says(&again));
    caller.bid(&answers);
}

/// (MK-21)
#[test]
fn calls_whose_bids_nobody_takes_keep_a_provider_from_the_market_for_seconds_only() {
    let caller = Caller::new(1);
    let mut provider = provider_of(1, 1_000, &caller);
    let asks =
        |provider: &mut Provider, now, id| to_clients(&give(provider, now, caller.says(&caller.call(id))));
    assert_eq!(bids(&mut provider, &caller, 0..=9), 4);
    let late = START + limits::BID_EXPECTED;
    assert!(asks(&mut provider, Time(late.0 - 1), 10).is_empty(), "they may still be awarded");
    assert!(!asks(&mut provider, late, 11).is_empty(), "nobody waits for them any more");
    // Four bids that came to nothing have taught it to keep one more out than before.
    let more = (12..=20).filter(|id| !asks(&mut provider, late, *id).is_empty()).count();
    assert_eq!(more + 1, 5);
}

/// (MK-5, MK-16, MK-19)
#[test]
fn who_is_not_invited_stays_silent() {
    let mut provider = provider(1, 1_000);
    let caller = Caller::new(1);
    let invited = Share(500_000);
    let mut answered = [0, 0];
    for id in 0..30 {
        let call = Call { invited, ..caller.call(id) };
        let bids = to_clients(&give(&mut provider, START, caller.says(&call)));
        assert_eq!(!bids.is_empty(), call.invites(&provider.node_id()));
        let asks = to_clients(&give(&mut provider, START, caller.seeks(id + 100, invited)));
        assert_eq!(!asks.is_empty(), invited.invites(&[id + 100; 16], &provider.node_id()));
        answered[0] += bids.len();
        answered[1] += asks.len();
        give(&mut provider, START, caller.releases(id));
    }
    assert!(answered.iter().all(|count| (5..25).contains(count)), "{answered:?}");
}

/// (MK-12, MK-19)
#[test]
fn a_seek_is_answered_once_with_what_is_offered_and_the_client_takes_answers_to_its_own() {
    let mut provider = provider(1, 1_000);
    let mut client = Client::new(ClientConfig::for_tests(7), Vec::new());
    let seek = |client: &mut Client, now| {
        let outputs = give(client, now, Input::Command(Command::Seek(MODEL)));
        outputs.into_iter().find_map(|output| match output {
            Output::Broadcast { gossip: Gossip::Seek(signed), .. } => Some(signed),
            _ => None,
        })
    };
    let sought = seek(&mut client, START).unwrap();
    assert!(seek(&mut client, START).is_none(), "not twice in a moment (MK-18)");
    let mut forged = sought.clone();
    forged.signature.0[5] ^= 1;
    assert_eq!(Gossip::Seek(forged).open(), Err(SignedFault::Forged), "no machine is given a forged seek");
    let answers = to_clients(&give(&mut provider, START, heard(Gossip::Seek(sought.clone()))));
    let [(to, ask)] = &answers[..] else { panic!("no ask in {answers:?}") };
    assert_eq!(*to, client.node_id());
    assert!(to_clients(&give(&mut provider, START, heard(Gossip::Seek(sought)))).is_empty());

    let says = |client: &mut Client, now, from| {
        give(
            client,
            now,
            Input::Received { from, prefix: Prefix::UNKNOWN, message: Message::ToClient(ask.clone()) },
        );
        client.asks().count()
    };
    let mut stranger = Client::new(ClientConfig::for_tests(8), Vec::new());
    assert_eq!(says(&mut stranger, START, provider.node_id()), 0, "who did not seek keeps nothing");
    assert_eq!(says(&mut client, START, NodeId([9; 32])), 0, "an ask of another");
    assert_eq!(says(&mut client, START, provider.node_id()), 1);
    let asks: Vec<_> = client.asks().map(|ask| (ask.provider, ask.free_slots)).collect();
    assert_eq!(asks, [(provider.node_id(), 2)]);
    give(&mut provider, START, Input::Command(Command::Drain));
    let silent = give(&mut provider, START, Caller::new(1).seeks(1, Share::ALL));
    assert!(to_clients(&silent).is_empty(), "who leaves offers nothing");
}

/// (MK-11, MK-17)
#[test]
fn of_a_crowd_a_share_is_invited_and_who_comes_late_is_released_and_counted() {
    let mut client = Client::new(ClientConfig::for_tests(1), Vec::new());
    let mut crowd: Vec<Provider> = (1..=60).map(|number| provider(number, 1_000 * number)).collect();
    let mut shares = Vec::new();
    for number in 1..=2u64 {
        let now = START + Span::from_s(10 * number);
        let [signed] = calls(&give(&mut client, now, order(number, "count"))).try_into().unwrap();
        shares.push(signed.open::<Call>().unwrap().invited);
        let (mut bids, mut released) = (0, 0);
        for provider in &mut crowd {
            let answers = give(provider, now, heard(Gossip::Call(signed.clone())));
            for (_, bid) in to_clients(&answers) {
                bids += 1;
                let input = Input::Received {
                    from: provider.node_id(),
                    prefix: Prefix::UNKNOWN,
                    message: Message::ToClient(bid),
                };
                let outputs = to_providers(&give(&mut client, now, input));
                let to = provider.node_id();
                released += usize::from(
                    bids > limits::BIDS_WANTED
                        && matches!(&outputs[..], [(node, ToProvider::Release(_))] if *node == to),
                );
            }
        }
        assert_eq!(released, bids - limits::BIDS_WANTED, "{bids} bids");
        give(&mut client, now, Input::Command(Command::Cancel(OrderId(number))));
        give(&mut client, now + limits::BID_WINDOW, Input::Tick);
    }
    assert_eq!(shares, [Share::ALL, Share(333_333)]);
}

/// (MK-17)
#[test]
fn each_provider_that_failed_an_order_doubles_who_is_invited_next() {
    let mut client = Client::new(ClientConfig::for_tests(1), Vec::new());
    let mut crowd: Vec<Provider> = (1..=400).map(|number| provider(number, 1_000 * number)).collect();
    // Gives a call to everybody and the bids to the client; returns the share that was invited and what the client says.
    let mut bid = |client: &mut Client, now: Time, signed: &Signed| {
        let mut said = Vec::new();
        for provider in &mut crowd {
            for (_, bid) in to_clients(&give(provider, now, heard(Gossip::Call(signed.clone())))) {
                let input = Input::Received {
                    from: provider.node_id(),
                    prefix: Prefix::UNKNOWN,
                    message: Message::ToClient(bid),
                };
                said.extend(give(client, now, input));
            }
        }
        (signed.open::<Call>().unwrap().invited, said)
    };
    let [first] = calls(&give(&mut client, START, order(1, "count"))).try_into().unwrap();
    assert_eq!(bid(&mut client, START, &first).0, Share::ALL, "nothing is known");
    give(&mut client, START + limits::BID_WINDOW, Input::Command(Command::Cancel(OrderId(1))));

    let now = START + Span::from_s(10);
    let [second] = calls(&give(&mut client, now, order(2, "count"))).try_into().unwrap();
    let (invited, mut said) = bid(&mut client, now, &second);
    assert_eq!(invited, Share(50_000), "twenty of four hundred");
    let mut refused = 0;
    let third = loop {
        let award = to_providers(&said).into_iter().find_map(|(to, message)| match message {
            ToProvider::Award(award) => Some((to, award.job)),
            ToProvider::Sealed(_) | ToProvider::Release(_) => None,
        });
        let (from, job) = award.expect("another is awarded or called for");
        refused += 1;
        let refuse = Message::ToClient(ToClient::Refuse(Refuse { job, why: Refusal::Busy }));
        said = give(&mut client, now, Input::Received { from, prefix: Prefix::UNKNOWN, message: refuse });
        if let [call] = &calls(&said)[..] {
            break call.open::<Call>().unwrap();
        }
    };
    assert_eq!((refused, third.invited), (3, Share(400_000)), "eight times as many");
}

/// (MK-17, MK-20)
#[test]
fn an_auction_does_not_wait_when_everyone_known_has_bid_and_a_newcomer_is_waited_for_the_next_time() {
    let mut client = Client::new(ClientConfig::for_tests(1), Vec::new());
    let mut crowd: Vec<Provider> = (1..=4).map(|number| provider(number, 1_000 * number)).collect();
    // Providers that answer, and after how many bids the award goes out.
    for (number, answering, early) in [(1u64, 3usize, None), (2, 4, Some(3)), (3, 4, Some(4)), (4, 2, None)] {
        let now = START + Span::from_s(10 * number);
        let [signed] = calls(&give(&mut client, now, order(number, "count"))).try_into().unwrap();
        let mut awarded_after = None;
        for (count, provider) in crowd.iter_mut().take(answering).enumerate() {
            let bids = to_clients(&give(provider, now, heard(Gossip::Call(signed.clone()))));
            let [(_, bid)] = bids.try_into().unwrap();
            let input = Input::Received {
                from: provider.node_id(),
                prefix: Prefix::UNKNOWN,
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

fn refusal(outputs: &[Output]) -> Option<Refusal> {
    match &to_clients(outputs)[..] {
        [(_, ToClient::Refuse(refuse))] => Some(refuse.why),
        _ => None,
    }
}

/// (MK-9, MK-10)
#[test]
fn an_award_is_for_the_bid_itself_and_answered_alike_each_time() {
    let mut provider = provider(1, 1_000);
    let (mut caller, mut thief) = (Caller::new(1), Caller::new(2));
    let answers = give(&mut provider, START, caller.says(&caller.call(1)));
    let (bid, hash) = caller.bid(&answers);

    let stolen = thief.award(&bid, hash, 1);
    assert_eq!(refusal(&give(&mut provider, START, thief.sends(&stolen))), Some(Refusal::UnknownBid));
    let guessed = caller.award(&bid, BidHash([0; 32]), 2);
    assert_eq!(refusal(&give(&mut provider, START, caller.sends(&guessed))), Some(Refusal::UnknownBid));
    let mut low = caller.award(&bid, hash, 3);
    low.price.input_per_k.0 -= 1;
    assert_eq!(refusal(&give(&mut provider, START, caller.sends(&low))), Some(Refusal::PriceBelowBid));
    let mut broken = caller.award(&bid, hash, 4);
    broken.handshake[40] ^= 1;
    assert_eq!(refusal(&give(&mut provider, START, caller.sends(&broken))), Some(Refusal::Malformed));

    let award = caller.award(&bid, hash, 5);
    let first = to_clients(&give(&mut provider, START, caller.sends(&award)));
    assert!(matches!(&first[..], [(_, ToClient::Accept(accept))] if accept.job == award.job));
    assert_eq!(to_clients(&give(&mut provider, START, caller.sends(&award))), first);
    let mut other = award.clone();
    other.price.per_job.0 += 1;
    assert!(to_clients(&give(&mut provider, START, caller.sends(&other))).is_empty(), "one job, one award");
}

/// (MK-10)
#[test]
fn a_bid_expires_and_a_won_one_stays_its_winners_for_a_while() {
    let mut provider = provider(1, 1_000);
    let mut caller = Caller::new(1);
    let answers = give(&mut provider, START, caller.says(&caller.call(1)));
    let (won, won_hash) = caller.bid(&answers);
    let answers = give(&mut provider, START, caller.says(&caller.call(2)));
    let (lost, lost_hash) = caller.bid(&answers);
    let award = caller.award(&won, won_hash, 1);
    assert_eq!(refusal(&give(&mut provider, START, caller.sends(&award))), None);

    let late = START + limits::BID_VALID;
    let award = caller.award(&lost, lost_hash, 2);
    assert_eq!(refusal(&give(&mut provider, late, caller.sends(&award))), Some(Refusal::UnknownBid));
    let lease = caller.award(&won, won_hash, 3);
    assert_eq!(refusal(&give(&mut provider, late, caller.sends(&lease))), None);
    let end = START + limits::LEASE_VALID;
    let lease = caller.award(&won, won_hash, 4);
    assert_eq!(refusal(&give(&mut provider, end, caller.sends(&lease))), Some(Refusal::UnknownBid));
}

/// (MK-11)
#[test]
fn who_cannot_win_any_more_is_released() {
    let mut client = Client::new(ClientConfig::for_tests(1), Vec::new());
    let outputs = give(&mut client, START, order(1, "count"));
    let [signed] = calls(&outputs).try_into().unwrap();
    let mut bidders = Vec::new();
    for number in 1..=5 {
        let mut provider = provider(number, 1_000 * number);
        let bids = give(&mut provider, START, heard(Gossip::Call(signed.clone())));
        let [(_, bid)] = to_clients(&bids).try_into().unwrap();
        let message = Message::ToClient(bid);
        give(
            &mut client,
            START,
            Input::Received { from: provider.node_id(), prefix: Prefix::UNKNOWN, message },
        );
        bidders.push(provider.node_id());
    }
    let awards = to_providers(&give(&mut client, START + limits::BID_WINDOW, Input::Tick));
    let released = |messages: &[(NodeId, ToProvider)]| -> Vec<NodeId> {
        let release = |(to, message): &(NodeId, ToProvider)| match message {
            ToProvider::Release(_) => Some(*to),
            _ => None,
        };
        messages.iter().filter_map(release).collect()
    };
    assert_eq!(released(&awards), bidders[3..], "three stay warm");
    assert!(awards.iter().any(|(to, message)| *to == bidders[0] && matches!(message, ToProvider::Award(_))));
    let end = give(&mut client, START + limits::BID_WINDOW, Input::Command(Command::Cancel(OrderId(1))));
    assert_eq!(released(&to_providers(&end)), bidders[1..3]);
}

/// (MK-11)
#[test]
fn an_order_that_nobody_can_serve_releases_all_who_bid() {
    let mut client = Client::new(ClientConfig::for_tests(1), Vec::new());
    let [signed] = calls(&give(&mut client, START, order(1, "count"))).try_into().unwrap();
    let mut dear = provider(1, u64::MAX / 4_000_000);
    let [(_, bid)] = to_clients(&give(&mut dear, START, heard(Gossip::Call(signed)))).try_into().unwrap();
    let input =
        Input::Received { from: dear.node_id(), prefix: Prefix::UNKNOWN, message: Message::ToClient(bid) };
    give(&mut client, START, input);
    let end = to_providers(&give(&mut client, START + limits::BID_WINDOW, Input::Tick));
    assert!(matches!(&end[..], [(to, ToProvider::Release(_))] if *to == dear.node_id()), "{end:?}");
    assert_eq!(client.orders_in_flight(), 0);
}

/// (MK-15)
#[test]
fn a_call_that_nobody_answers_is_repeated_with_more_patience_and_then_given_up() {
    let mut client = Client::new(ClientConfig::for_tests(1), Vec::new());
    let mut outputs = give(&mut client, START, order(1, "count"));
    let (mut now, mut windows) = (START, Vec::new());
    while client.orders_in_flight() > 0 {
        let [signed] = calls(&outputs).try_into().unwrap();
        let call = signed.open::<Call>().unwrap();
        windows.push(u64::from(call.window_ms));
        now = now + Span::from_ms(u64::from(call.window_ms));
        outputs = give(&mut client, now, Input::Tick);
    }
    let window = limits::BID_WINDOW.as_ms();
    assert_eq!(windows, [window, 2 * window, 4 * window, 8 * window]);
    assert_eq!(windows.len(), limits::CALLS_UNANSWERED_MAX as usize);
}
