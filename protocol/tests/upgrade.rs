//! Both sides of an upgrade: a peer of a later version says more than this one knows, and the two do business all the same,
//! or part without a fault.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

#[path = "drive/mod.rs"]
mod drive;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::client::{Client, ClientConfig};
use bombyx_protocol::entropy::Entropy;
use bombyx_protocol::ident::{Identity, NodeId, Prefix};
use bombyx_protocol::io::{Command, EngineReport, Event, Failure, Input, OrderNews, Output, PeerFault};
use bombyx_protocol::market::ask::Ask;
use bombyx_protocol::market::bid::{Bid, BidHash};
use bombyx_protocol::market::call::{Call, CallId, Classes};
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::market::seek::{Seek, SeekId};
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::provider::{Provider, ProviderConfig};
use bombyx_protocol::session::{Initiator, Secure, StaticKey, prologue, respond, seal, unseal};
use bombyx_protocol::time::Time;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::extension::{Extension, Extensions, Features};
use bombyx_protocol::wire::message::{
    Accept, Award, Chunk, Content, FromClient, FromProvider, Gossip, Message, NeedPayment, Refusal, Refuse,
    Release, ReleaseReason, SealedBid, SealedFrame, ToClient, ToProvider, Work,
};
use bombyx_protocol::wire::signed::Signed;
use bombyx_protocol::work::order::{JobId, TaskKind, Tier};
use bombyx_protocol::work::price::{Delivery, InputTokens, Price, Tariff, Weights};
use bombyx_protocol::work::receipt::{Receipt, Transcript};
use drive::{MODEL, chat, give, offer, order};

const START: Time = Time(1_000_000);
/// Extensions of a later version: what may be ignored, and what must be understood.
const ODD: &[u16] = &[1, 77, u16::MAX];
const EVEN: &[u16] = &[1, 78];
/// Features of a later version.
const LATER: Features = Features(u64::MAX);

fn bearing(kinds: &[u16]) -> Extensions {
    let entry = |kind: &u16| Extension { kind: *kind, value: vec![0xe5; 9] };
    Extensions::new(kinds.iter().map(entry).collect()).unwrap()
}

/// A client of a later version, played by hand.
struct Later {
    identity: Identity,
    seal_key: StaticKey,
    entropy: Entropy,
}

/// What it has after an award.
struct Opened {
    bid: Bid,
    job: JobId,
    secure: Secure,
}

impl Later {
    fn new() -> Self {
        let seed = [0x1a; 32];
        let (identity, seal_key) = (Identity::from_seed(&seed), StaticKey::from_seed(seed));
        Self { identity, seal_key, entropy: Entropy::new(seed) }
    }

    fn call(&self, id: u8, kinds: &[u16]) -> Call {
        let Classes { input_log2, output_log2 } = Classes::of(12, 50);
        Call {
            id: CallId([id; 16]),
            client: self.identity.id(),
            seal_key: self.seal_key.public(),
            model: MODEL,
            kind: TaskKind::Generate,
            input_log2,
            output_log2,
            tier: Tier::Open,
            window_ms: 400,
            invited: Share::ALL,
            made_s: 1,
            deadline_ms: 1_000,
            stamp: 99,
            features: LATER,
            extensions: bearing(kinds),
        }
    }

    fn seek(&self, id: u8, kinds: &[u16]) -> Seek {
        let seek = Seek::for_model(SeekId([id; 16]), self.identity.id(), MODEL, Share::ALL, 1);
        Seek { stamp: 99, features: LATER, extensions: bearing(kinds), ..seek }
    }

    fn bid(&self, answers: &[ToClient]) -> Option<(Bid, BidHash)> {
        let sealed = answers.iter().find_map(|answer| match answer {
            ToClient::Bid(sealed) => Some(sealed),
            _ => None,
        })?;
        let plain = unseal(&self.seal_key, &sealed.call.0, &sealed.sealed).unwrap();
        let signed: Signed = codec::decode_sealed(&plain).unwrap();
        Some((signed.open::<Bid>().unwrap().into_inner(), BidHash::of(&signed)))
    }

    fn says(&self, message: ToProvider) -> Input {
        let message = Message::ToProvider(message);
        Input::Received { from: self.identity.id(), prefix: Prefix::UNKNOWN, message }
    }

    /// Calls and awards. Returns what the provider says to the award, and the session if it was taken.
    fn award(&mut self, provider: &mut Provider, kinds: &[u16]) -> (Vec<ToClient>, Option<Opened>) {
        let (bid, hash) =
            self.bid(&answers(provider, heard(self.call(1, ODD).sign(&self.identity)))).unwrap();
        let job = JobId([2; 16]);
        let prologue = prologue(&self.identity.id(), &bid.provider, &job.0);
        let (initiator, handshake) =
            Initiator::start(&bid.session_key, &prologue, &mut self.entropy).unwrap();
        let extensions = bearing(kinds);
        let award = Award { job, call: bid.call, bid: hash, price: bid.price, handshake, extensions };
        let said = answers(provider, self.says(ToProvider::Award(award)));
        let accept = said.iter().find_map(|answer| match answer {
            ToClient::Accept(accept) => Some(accept.handshake.clone()),
            _ => None,
        });
        let secure = accept.map(|handshake| initiator.finish(&handshake).unwrap());
        (said, secure.map(|secure| Opened { bid, job, secure }))
    }

    fn seals(&self, opened: &mut Opened, said: &FromClient) -> Input {
        let frame = opened.secure.seal(&codec::encode(said), false).unwrap();
        self.says(ToProvider::Sealed(SealedFrame { job: opened.job, nonce: frame.nonce, bytes: frame.bytes }))
    }
}

fn provider() -> Provider {
    let mut provider = Provider::new(ProviderConfig::for_tests(1), Vec::new());
    give(&mut provider, START, offer(1_000));
    provider
}

fn heard(call: Signed) -> Input {
    Input::Gossip { prefix: Prefix::UNKNOWN, gossip: Gossip::Call(call).open().unwrap() }
}

fn sought(seek: Signed) -> Input {
    Input::Gossip { prefix: Prefix::UNKNOWN, gossip: Gossip::Seek(seek).open().unwrap() }
}

/// What a provider says to an input; never that somebody is at fault.
fn answers(provider: &mut Provider, input: Input) -> Vec<ToClient> {
    let outputs = give(provider, START, input);
    assert!(!outputs.iter().any(|output| matches!(output, Output::Fault { .. })), "{outputs:?}");
    let to_client = |output| match output {
        Output::Send { message: Message::ToClient(message), .. } => Some(message),
        _ => None,
    };
    outputs.into_iter().filter_map(to_client).collect()
}

fn refusals(answers: &[ToClient]) -> Vec<Refusal> {
    let why = |answer: &ToClient| match answer {
        ToClient::Refuse(refuse) => Some(refuse.why),
        _ => None,
    };
    answers.iter().filter_map(why).collect()
}

/// (WI-14, WI-16)
#[test]
fn a_call_or_seek_is_answered_unless_it_needs_what_the_provider_does_not_know() {
    let (mut provider, later) = (provider(), Later::new());
    let said = answers(&mut provider, heard(later.call(1, ODD).sign(&later.identity)));
    let (bid, _) = later.bid(&said).expect("a bid");
    assert_eq!((bid.features, bid.extensions), (Features::OWN, Extensions::NONE));
    assert!(answers(&mut provider, heard(later.call(2, EVEN).sign(&later.identity))).is_empty());
    let said = answers(&mut provider, sought(later.seek(3, ODD).sign(&later.identity)));
    assert!(matches!(said[..], [ToClient::Ask(_)]), "{said:?}");
    assert!(answers(&mut provider, sought(later.seek(4, EVEN).sign(&later.identity))).is_empty());
}

/// (WI-18)
#[test]
fn a_call_or_seek_is_answered_while_it_is_fresh_and_a_clock_can_be_put_right() {
    let (mut provider, later) = (provider(), Later::new());
    give(&mut provider, START, Input::Command(Command::Clock { unix_s: 5_000 }));
    let mut says = |id, made_s| {
        let call = Call { made_s, ..later.call(id, &[]) };
        let seek = Seek { made_s, ..later.seek(id, &[]) };
        answers(&mut provider, heard(call.sign(&later.identity))).len()
            + answers(&mut provider, sought(seek.sign(&later.identity))).len()
    };
    let fresh = [4_880, 5_000, 5_120].map(|made_s| says(u8::try_from(made_s % 250).unwrap(), made_s));
    assert!(fresh.into_iter().all(|answers| answers > 0), "{fresh:?}");
    for (id, made_s) in (200..).zip([0, 4_879, 5_121, u64::MAX]) {
        assert_eq!(says(id, made_s), 0, "{made_s}");
    }
    // The machine slept for an hour, and its own clock with it.
    give(&mut provider, START, Input::Command(Command::Clock { unix_s: 8_600 }));
    let call = Call { made_s: 8_600, ..later.call(210, &[]) };
    assert_eq!(answers(&mut provider, heard(call.sign(&later.identity))).len(), 1);
}

/// (WI-16)
#[test]
fn an_award_that_needs_more_is_refused_and_one_that_offers_more_is_taken() {
    let (said, opened) = Later::new().award(&mut provider(), EVEN);
    assert!(opened.is_none());
    assert_eq!(refusals(&said), [Refusal::NotUnderstood]);
    let (said, opened) = Later::new().award(&mut provider(), ODD);
    assert!(opened.is_some(), "{said:?}");
}

/// (WI-16)
#[test]
fn a_task_that_needs_more_is_refused_and_one_that_offers_more_is_run() {
    for (kinds, expected) in [(ODD, None), (EVEN, Some(Refusal::NotUnderstood))] {
        let (mut provider, mut later) = (provider(), Later::new());
        let mut opened = later.award(&mut provider, &[]).1.unwrap();
        let bid = &opened.bid;
        let channel = bombyx_protocol::channel::terms::ChannelTerms {
            network_id: bid.payee.network_id,
            salt: 1,
            client_key: Identity::from_seed(&[4; 32]).id().0,
            provider_key: bid.payee.key,
            client: bombyx_protocol::channel::terms::Address::basechain([9; 32]),
            provider: bid.payee.address,
            challenge_s: bid.payee.challenge_s,
        };
        let (task, input) = (chat("count for me", 50), InputTokens::fresh(12));
        let work = Work { task, input, channel, extensions: bearing(kinds) };
        let input = later.seals(&mut opened, &FromClient::Work(work));
        let mut outputs = give(&mut provider, START, input);
        let report = EngineReport::Counted { input_tokens: 12, cached_tokens: 0 };
        outputs.extend(give(&mut provider, START, Input::Engine { job: opened.job, report }));
        let runs = outputs.iter().any(|output| matches!(output, Output::Run { .. }));
        let refused = outputs.iter().find_map(|output| match output {
            Output::Send { message: Message::ToClient(ToClient::Refuse(refuse)), .. } => Some(refuse.why),
            Output::Fault { .. } => panic!("{outputs:?}"),
            _ => None,
        });
        assert_eq!((runs, refused), (expected.is_none(), expected), "{kinds:?}");
    }
}

// ---- a provider of a later version, and this version's client ------------------------------------------------------

/// A client with an order out; gives its call to everybody, after two that a part of the crowd left unanswered.
fn caller() -> (Client, Call) {
    let mut client = Client::new(ClientConfig::for_tests(1), Vec::new());
    let mut outputs = give(&mut client, Time(100_000), order(1, "count for me"));
    for now in [500_000, 900_000].map(Time) {
        outputs.extend(give(&mut client, now, Input::Tick));
    }
    let mut calls = outputs.iter().filter_map(|output| match output {
        Output::Broadcast { gossip: Gossip::Call(signed), .. } => signed.open::<Call>().ok(),
        _ => None,
    });
    let call = calls.next_back().expect("a call").into_inner();
    assert!(call.invited >= Share::ALL, "{call:?}");
    (client, call)
}

fn says(client: &mut Client, now: Time, from: NodeId, message: ToClient) -> Vec<Output> {
    let message = Message::ToClient(message);
    let outputs = give(client, now, Input::Received { from, prefix: Prefix::UNKNOWN, message });
    assert!(!outputs.iter().any(|output| matches!(output, Output::Fault { .. })), "{outputs:?}");
    outputs
}

fn awards(outputs: &[Output]) -> Option<Award> {
    outputs.iter().find_map(|output| match output {
        Output::Send { message: Message::ToProvider(ToProvider::Award(award)), .. } => Some(award.clone()),
        _ => None,
    })
}

fn failed_over(outputs: &[Output]) -> Vec<Failure> {
    let why = |output: &Output| match output {
        Output::Event(Event::Order { news: OrderNews::FailedOver { why, .. }, .. }) => Some(*why),
        _ => None,
    };
    outputs.iter().filter_map(why).collect()
}

/// A provider of a later version, played by hand.
struct Seller {
    identity: Identity,
    session_key: StaticKey,
    entropy: Entropy,
    secure: Option<Secure>,
}

impl Seller {
    fn new() -> Self {
        let seed = [0x2b; 32];
        let (identity, session_key) = (Identity::from_seed(&seed), StaticKey::from_seed(seed));
        Self { identity, session_key, entropy: Entropy::new(seed), secure: None }
    }

    fn bids(&mut self, client: &mut Client, call: &Call, kinds: &[u16]) -> Vec<Output> {
        let bid = Bid {
            call: call.id,
            provider: self.identity.id(),
            model: MODEL,
            session_key: self.session_key.public(),
            price: Price(1_000),
            start_ms: 10,
            ahead_ms: 0,
            read_tps: 1_000,
            write_tps: 100,
            keep_s: 0,
            tier: Tier::Open,
            valid_ms: 30_000,
            payee: Provider::new(ProviderConfig::for_tests(7), Vec::new()).payee(),
            credit: Nano(1_000_000),
            features: LATER,
            extensions: bearing(kinds),
        };
        let plain = codec::encode(&bid.sign(&self.identity));
        let sealed = seal(&call.seal_key, &call.id.0, &plain, &mut self.entropy).unwrap();
        let bid = ToClient::Bid(SealedBid { call: call.id, sealed });
        says(client, START, self.identity.id(), bid)
    }

    /// Bids, and answers the award that follows.
    fn accepts(&mut self, client: &mut Client, call: &Call, kinds: &[u16]) -> (Award, Vec<Output>) {
        self.bids(client, call, ODD);
        let award = awards(&give(client, LATE, Input::Tick)).expect("an award");
        let prologue = prologue(&client.node_id(), &self.identity.id(), &award.job.0);
        let (secure, handshake) =
            respond(&self.session_key, &prologue, &award.handshake, &mut self.entropy).unwrap();
        self.secure = Some(secure);
        let accept = Accept { job: award.job, handshake, extensions: bearing(kinds) };
        let outputs = says(client, LATE, self.identity.id(), ToClient::Accept(accept));
        (award, outputs)
    }

    fn seals(&mut self, client: &mut Client, job: JobId, said: &FromProvider) -> Vec<Output> {
        let frame = self.secure.as_mut().unwrap().seal(&codec::encode(said), false).unwrap();
        let frame = SealedFrame { job, nonce: frame.nonce, bytes: frame.bytes };
        says(client, LATE, self.identity.id(), ToClient::Sealed(frame))
    }

    /// The first chunk of the task of these outputs, with a true receipt.
    fn chunk(&mut self, award: &Award, outputs: &[Output], kinds: &[u16]) -> FromProvider {
        let work = outputs.iter().find_map(|output| match output {
            Output::Send { message: Message::ToProvider(ToProvider::Sealed(frame)), .. } => {
                let opened = self.secure.as_mut().unwrap().open(frame.nonce, &frame.bytes).unwrap();
                codec::decode_sealed::<FromClient>(&opened.body).ok()
            }
            _ => None,
        });
        let Some(FromClient::Work(work)) = work else { panic!("no task in {outputs:?}") };
        let content = codec::encode(&Content::Tokens { ids: vec![5], text: "five".into() });
        let begin = Transcript::begin(award.job, MODEL, &codec::encode(&work.task));
        let tariff = Tariff { price: award.price, weights: Weights::DEFAULT };
        let delivered = Delivery { output_tokens: 1, ..Delivery::default() };
        let receipt = Receipt {
            job: award.job,
            model: MODEL,
            chunks: 1,
            transcript: begin.then(0, &content),
            input_tokens: work.input.count(),
            cached_tokens: 0,
            output_tokens: 1,
            cost: tariff.due(work.input, &delivered).unwrap(),
            extensions: bearing(kinds),
        };
        FromProvider::Chunk(Chunk { index: 0, content, receipt: Some(receipt.sign(&self.identity)) })
    }
}

/// When the window of the call is over.
const LATE: Time = Time(1_500_000);

/// (WI-14, WI-16)
#[test]
fn a_bid_that_needs_more_is_dropped_and_one_that_offers_more_is_taken() {
    for (kinds, taken) in [(ODD, true), (EVEN, false)] {
        let ((mut client, call), mut seller) = (caller(), Seller::new());
        assert_eq!((call.features, &call.extensions), (Features::OWN, &Extensions::NONE));
        seller.bids(&mut client, &call, kinds);
        let outputs = give(&mut client, LATE, Input::Tick);
        assert_eq!(awards(&outputs).is_some(), taken, "{outputs:?}");
    }
}

/// (WI-16)
#[test]
fn an_ask_that_needs_more_is_dropped_and_one_that_offers_more_is_kept() {
    for (kinds, kept) in [(ODD, 1), (EVEN, 0)] {
        let (mut client, seller) = (Client::new(ClientConfig::for_tests(1), Vec::new()), Seller::new());
        let outputs = give(&mut client, START, Input::Command(Command::Seek(Topic::Model(MODEL))));
        let seek = outputs.iter().find_map(|output| match output {
            Output::Broadcast { gossip: Gossip::Seek(signed), .. } => signed.open::<Seek>().ok(),
            _ => None,
        });
        let mut provider = provider();
        let said = answers(&mut provider, sought(Later::new().seek(1, ODD).sign(&Later::new().identity)));
        let [ToClient::Ask(signed)] = &said[..] else { panic!("{said:?}") };
        let ask: Ask = signed.open::<Ask>().unwrap().into_inner();
        let ask = Ask {
            provider: seller.identity.id(),
            seek: seek.unwrap().id,
            features: LATER,
            extensions: bearing(kinds),
            ..ask
        };
        says(&mut client, START, seller.identity.id(), ToClient::Ask(ask.sign(&seller.identity)));
        assert_eq!(client.asks(START).count(), kept, "{kinds:?}");
    }
}

/// (WI-16)
#[test]
fn an_acceptance_that_needs_more_is_left_for_another_provider() {
    for (kinds, expected) in [(ODD, vec![]), (EVEN, vec![Failure::Refused(Refusal::NotUnderstood)])] {
        let ((mut client, call), mut seller) = (caller(), Seller::new());
        let (_, outputs) = seller.accepts(&mut client, &call, kinds);
        assert_eq!(failed_over(&outputs), expected);
    }
}

/// (WI-16)
#[test]
fn a_receipt_or_a_request_for_payment_that_needs_more_is_left_for_another_provider() {
    let not_understood = vec![Failure::Refused(Refusal::NotUnderstood)];
    for (kinds, expected) in [(ODD, vec![]), (EVEN, not_understood)] {
        let ((mut client, call), mut seller) = (caller(), Seller::new());
        let (award, outputs) = seller.accepts(&mut client, &call, ODD);
        let chunk = seller.chunk(&award, &outputs, kinds);
        let outputs = seller.seals(&mut client, award.job, &chunk);
        assert_eq!(failed_over(&outputs), expected, "a receipt");
        let shown = outputs
            .iter()
            .any(|output| matches!(output, Output::Event(Event::Order { news: OrderNews::Content(_), .. })));
        assert_eq!(shown, expected.is_empty(), "what has no receipt that counts is not shown");

        let ((mut client, call), mut seller) = (caller(), Seller::new());
        let (award, _) = seller.accepts(&mut client, &call, ODD);
        let need = NeedPayment { cumulative: Nano::ZERO, newest: None, extensions: bearing(kinds) };
        let outputs = seller.seals(&mut client, award.job, &FromProvider::NeedPayment(need));
        assert_eq!(failed_over(&outputs), expected, "a request for payment");
    }
}

/// (WI-16, WI-17)
#[test]
fn a_refusal_ends_a_job_whatever_it_bears_and_says() {
    for kinds in [ODD, EVEN] {
        for why in [Refusal::Busy, Refusal::Other { code: 4_000, detail: 3 }] {
            let ((mut client, call), mut seller) = (caller(), Seller::new());
            seller.bids(&mut client, &call, ODD);
            let award = awards(&give(&mut client, LATE, Input::Tick)).expect("an award");
            let refuse = ToClient::Refuse(Refuse { job: award.job, why, extensions: bearing(kinds) });
            let outputs = says(&mut client, LATE, seller.identity.id(), refuse);
            assert_eq!(failed_over(&outputs), [Failure::Refused(why)]);
        }
    }
    let said = Failure::Refused(Refusal::Other { code: 4_000, detail: 3 }).to_string();
    assert_eq!(said, "the provider refused: for a reason that this node does not know (code 4000)");
}

/// (WI-16)
#[test]
fn a_release_or_a_cancellation_ends_what_it_names_whatever_it_bears() {
    for kinds in [ODD, EVEN] {
        let (mut provider, mut later) = (provider(), Later::new());
        let mut opened = later.award(&mut provider, &[]).1.unwrap();
        let input = later.seals(&mut opened, &FromClient::Cancel(bearing(kinds)));
        assert!(refusals(&answers(&mut provider, input)).is_empty());
        assert_eq!(provider.jobs_in_flight(), 0);

        let (mut provider, later) = (self::provider(), Later::new());
        let said = answers(&mut provider, heard(later.call(1, ODD).sign(&later.identity)));
        let (bid, hash) = later.bid(&said).unwrap();
        let why = ReleaseReason::Other(4_000);
        let release = Release { call: bid.call, why, margin: 7, come_back_ms: 9, extensions: bearing(kinds) };
        answers(&mut provider, later.says(ToProvider::Release(release)));
        let (job, price, handshake) = (JobId([3; 16]), bid.price, vec![1; 48]);
        let award = Award { job, call: bid.call, bid: hash, price, handshake, extensions: Extensions::NONE };
        let said = answers(&mut provider, later.says(ToProvider::Award(award)));
        assert_eq!(refusals(&said), [Refusal::UnknownBid], "the bid is gone");
    }
}

/// (SE-18, SE-19)
#[test]
fn a_block_that_only_the_peer_can_have_made_wrong_ends_the_job_and_is_held_against_it() {
    // A well-formed block of one byte, and what a later version or a careless padding makes of it.
    let mut good = vec![0; 256];
    good[..6].copy_from_slice(&[0x11, 1, 0, 0, 0, 9]);
    let wrong = |at: usize, byte: u8| {
        let mut block = good.clone();
        block[at] = byte;
        block
    };
    for block in [wrong(0, 0x21), wrong(0, 0x19), wrong(255, 1)] {
        let (mut provider, mut later) = (provider(), Later::new());
        let mut opened = later.award(&mut provider, &[]).1.unwrap();
        let frame = opened.secure.seal_block(&block).unwrap();
        let frame = SealedFrame { job: opened.job, nonce: frame.nonce, bytes: frame.bytes };
        let outputs = give(&mut provider, START, later.says(ToProvider::Sealed(frame)));
        let refused = outputs.iter().any(|output| {
            let Output::Send { message: Message::ToClient(ToClient::Refuse(refuse)), .. } = output else {
                return false;
            };
            refuse.why == Refusal::Malformed
        });
        assert!(refused && at_fault(&outputs), "{outputs:?}");

        let ((mut client, call), mut seller) = (caller(), Seller::new());
        let (award, _) = seller.accepts(&mut client, &call, ODD);
        let frame = seller.secure.as_mut().unwrap().seal_block(&block).unwrap();
        let frame = SealedFrame { job: award.job, nonce: frame.nonce, bytes: frame.bytes };
        let message = Message::ToClient(ToClient::Sealed(frame));
        let from = seller.identity.id();
        let outputs = give(&mut client, LATE, Input::Received { from, prefix: Prefix::UNKNOWN, message });
        assert_eq!(failed_over(&outputs), [Failure::Session]);
        assert!(at_fault(&outputs), "{outputs:?}");
    }
}

fn at_fault(outputs: &[Output]) -> bool {
    outputs.iter().any(|output| matches!(output, Output::Fault { fault: PeerFault::Malformed, .. }))
}
