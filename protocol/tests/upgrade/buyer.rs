//! A client of a later version, played by hand, and this version's provider.

use bombyx_protocol::channel::key_proof::KeyProof;
use bombyx_protocol::entropy::Entropy;
use bombyx_protocol::ident::{Identity, Prefix};
use bombyx_protocol::io::{Command, EngineReport, Input, Output};
use bombyx_protocol::market::bid::{Bid, BidHash};
use bombyx_protocol::market::call::{Call, CallId, Classes};
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::market::seek::{Seek, SeekId};
use bombyx_protocol::provider::{Provider, ProviderConfig};
use bombyx_protocol::session::{Initiator, Secure, StaticKey, prologue, unseal};
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::extension::{Extensions, Features};
use bombyx_protocol::wire::message::{
    Award, FromClient, Gossip, Message, Refusal, Release, ReleaseReason, SealedFrame, ToClient, ToProvider,
    Work,
};
use bombyx_protocol::wire::signed::Signed;
use bombyx_protocol::work::order::{JobId, TaskKind, Tier};
use bombyx_protocol::work::price::InputTokens;
use ed25519_dalek::SigningKey;

use crate::drive::{MODEL, chat, give, offer};
use crate::{EVEN, LATER, ODD, START, bearing};

/// A client of a later version, played by hand.
pub(crate) struct Later {
    pub(crate) identity: Identity,
    pub(crate) seal_key: StaticKey,
    pub(crate) entropy: Entropy,
}

/// What it has after an award.
pub(crate) struct Opened {
    pub(crate) bid: Bid,
    pub(crate) job: JobId,
    pub(crate) secure: Secure,
}

impl Later {
    pub(crate) fn new() -> Self {
        let seed = [0x1a; 32];
        let (identity, seal_key) = (Identity::from_seed(&seed), StaticKey::from_seed(seed));
        Self { identity, seal_key, entropy: Entropy::new(seed) }
    }

    pub(crate) fn call(&self, id: u8, kinds: &[u16]) -> Call {
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

    pub(crate) fn seek(&self, id: u8, kinds: &[u16]) -> Seek {
        let seek = Seek::for_model(SeekId([id; 16]), self.identity.id(), MODEL, Share::ALL, 1);
        Seek { stamp: 99, features: LATER, extensions: bearing(kinds), ..seek }
    }

    pub(crate) fn bid(&self, answers: &[ToClient]) -> Option<(Bid, BidHash)> {
        let sealed = answers.iter().find_map(|answer| match answer {
            ToClient::Bid(sealed) => Some(sealed),
            _ => None,
        })?;
        let plain = unseal(&self.seal_key, &sealed.call.0, &sealed.sealed).unwrap();
        let signed: Signed = codec::decode_sealed(&plain).unwrap();
        Some((signed.open::<Bid>().unwrap().into_inner(), BidHash::of(&signed)))
    }

    pub(crate) fn says(&self, message: ToProvider) -> Input {
        let message = Message::ToProvider(message);
        Input::Received { from: self.identity.id(), prefix: Prefix::UNKNOWN, message }
    }

    /// Calls and awards. Returns what the provider says to the award, and the session if it was taken.
    pub(crate) fn award(
        &mut self,
        provider: &mut Provider,
        kinds: &[u16],
    ) -> (Vec<ToClient>, Option<Opened>) {
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

    pub(crate) fn seals(&self, opened: &mut Opened, said: &FromClient) -> Input {
        let frame = opened.secure.seal(&codec::encode(said), false).unwrap();
        self.says(ToProvider::Sealed(SealedFrame { job: opened.job, nonce: frame.nonce, bytes: frame.bytes }))
    }
}

pub(crate) fn provider() -> Provider {
    let mut provider = Provider::new(ProviderConfig::for_tests(1), Vec::new());
    give(&mut provider, START, offer(1_000));
    provider
}

pub(crate) fn heard(call: Signed) -> Input {
    Input::Gossip { prefix: Prefix::UNKNOWN, gossip: Gossip::Call(call).open().unwrap() }
}

pub(crate) fn sought(seek: Signed) -> Input {
    Input::Gossip { prefix: Prefix::UNKNOWN, gossip: Gossip::Seek(seek).open().unwrap() }
}

/// What a provider says to an input; never that somebody is at fault.
pub(crate) fn answers(provider: &mut Provider, input: Input) -> Vec<ToClient> {
    let outputs = give(provider, START, input);
    assert!(!outputs.iter().any(|output| matches!(output, Output::Fault { .. })), "{outputs:?}");
    let to_client = |output| match output {
        Output::Send { message: Message::ToClient(message), .. } => Some(message),
        _ => None,
    };
    outputs.into_iter().filter_map(to_client).collect()
}

pub(crate) fn refusals(answers: &[ToClient]) -> Vec<Refusal> {
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
        let proof = KeyProof { binding: opened.secure.binding(), account: channel.id() };
        let key_proof = proof.sign(&SigningKey::from_bytes(&[4; 32]));
        let work = Work { task, input, channel, key_proof, extensions: bearing(kinds) };
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
