//! A provider of a later version, played by hand, and this version's client.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::client::{Client, ClientConfig};
use bombyx_protocol::entropy::Entropy;
use bombyx_protocol::ident::{Identity, NodeId, Prefix};
use bombyx_protocol::io::{Command, Event, Failure, Input, OrderNews, Output};
use bombyx_protocol::market::ask::Ask;
use bombyx_protocol::market::bid::Bid;
use bombyx_protocol::market::call::Call;
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::market::seek::Seek;
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::provider::{Provider, ProviderConfig};
use bombyx_protocol::session::{Secure, StaticKey, prologue, respond, seal};
use bombyx_protocol::time::Time;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::extension::{Extensions, Features};
use bombyx_protocol::wire::message::{
    Accept, Award, Chunk, Content, FromClient, FromProvider, Gossip, Message, NeedPayment, Refusal, Refuse,
    SealedBid, SealedFrame, ToClient, ToProvider,
};
use bombyx_protocol::work::order::{JobId, Tier};
use bombyx_protocol::work::price::{Delivery, Price, Tariff, Weights};
use bombyx_protocol::work::receipt::{Receipt, Transcript};

use crate::buyer::{Later, answers, provider, sought};
use crate::drive::{MODEL, give, order};
use crate::{EVEN, LATER, ODD, START, bearing};

/// When the window of the call is over.
pub(crate) const LATE: Time = Time(1_500_000);

/// A client with an order out; gives its call to everybody, after two that a part of the crowd left unanswered.
pub(crate) fn caller() -> (Client, Call) {
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

pub(crate) fn says(client: &mut Client, now: Time, from: NodeId, message: ToClient) -> Vec<Output> {
    let message = Message::ToClient(message);
    let outputs = give(client, now, Input::Received { from, prefix: Prefix::UNKNOWN, message });
    assert!(!outputs.iter().any(|output| matches!(output, Output::Fault { .. })), "{outputs:?}");
    outputs
}

pub(crate) fn awards(outputs: &[Output]) -> Option<Award> {
    outputs.iter().find_map(|output| match output {
        Output::Send { message: Message::ToProvider(ToProvider::Award(award)), .. } => Some(award.clone()),
        _ => None,
    })
}

pub(crate) fn failed_over(outputs: &[Output]) -> Vec<Failure> {
    let why = |output: &Output| match output {
        Output::Event(Event::Order { news: OrderNews::FailedOver { why, .. }, .. }) => Some(*why),
        _ => None,
    };
    outputs.iter().filter_map(why).collect()
}

/// A provider of a later version, played by hand.
pub(crate) struct Seller {
    pub(crate) identity: Identity,
    pub(crate) session_key: StaticKey,
    pub(crate) entropy: Entropy,
    pub(crate) secure: Option<Secure>,
}

impl Seller {
    pub(crate) fn new() -> Self {
        let seed = [0x2b; 32];
        let (identity, session_key) = (Identity::from_seed(&seed), StaticKey::from_seed(seed));
        Self { identity, session_key, entropy: Entropy::new(seed), secure: None }
    }

    pub(crate) fn bids(&mut self, client: &mut Client, call: &Call, kinds: &[u16]) -> Vec<Output> {
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
    pub(crate) fn accepts(
        &mut self,
        client: &mut Client,
        call: &Call,
        kinds: &[u16],
    ) -> (Award, Vec<Output>) {
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

    pub(crate) fn seals(&mut self, client: &mut Client, job: JobId, said: &FromProvider) -> Vec<Output> {
        let frame = self.secure.as_mut().unwrap().seal(&codec::encode(said), false).unwrap();
        let frame = SealedFrame { job, nonce: frame.nonce, bytes: frame.bytes };
        says(client, LATE, self.identity.id(), ToClient::Sealed(frame))
    }

    /// The first chunk of the task of these outputs, with a true receipt.
    pub(crate) fn chunk(&mut self, award: &Award, outputs: &[Output], kinds: &[u16]) -> FromProvider {
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
