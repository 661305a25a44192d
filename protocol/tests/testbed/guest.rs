//! Clients that speak the protocol by hand, and mean to get what they do not pay for.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::key_proof::KeyProof;
use bombyx_protocol::channel::ledger::LedgerCall;
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::channel::voucher::Voucher;
use bombyx_protocol::clock::WallClock;
use bombyx_protocol::entropy::Entropy;
use bombyx_protocol::ident::{Identity, NodeId, Prefix, Signature};
use bombyx_protocol::io::Input;
use bombyx_protocol::market::bid::{Bid, BidHash};
use bombyx_protocol::market::call::{Call, CallId};
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::session::{Initiator, StaticKey, prologue, unseal};
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::extension::{Extensions, Features};
use bombyx_protocol::wire::message::{
    Award, FromClient, Gossip, Message, Payment, SealedFrame, ToClient, ToProvider, Work,
};
use bombyx_protocol::wire::signed::Signed;
use bombyx_protocol::work::order::{JobId, TaskKind, Tier};
use bombyx_protocol::work::price::InputTokens;
use ed25519_dalek::SigningKey;

use super::{MODEL, Testbed, chat};

/// A hostile client, played by hand.
pub struct Guest {
    pub identity: Identity,
    seal_key: StaticKey,
    entropy: Entropy,
    prefix: Prefix,
    /// The classes that it calls for.
    pub input_log2: u8,
    pub output_log2: u8,
    /// What it named last: a job, a call or a channel.
    pub number: u64,
}

fn id(number: u64) -> [u8; 16] {
    let mut id = [0x77; 16];
    id[..8].copy_from_slice(&number.to_le_bytes());
    id
}

/// One of so many prefixes that strangers have.
pub fn net(number: u64) -> Prefix {
    let [a, b, ..] = number.to_le_bytes();
    Prefix::of_ipv4([10, a, b, 1])
}

impl Guest {
    pub fn new(testbed: &mut Testbed, number: u64, prefix: Prefix) -> Self {
        let mut seed = [0x5a; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        let identity = Identity::from_seed(&seed);
        testbed.outsiders.insert(identity.id(), Vec::new());
        Self {
            identity,
            seal_key: StaticKey::from_seed(seed),
            entropy: Entropy::new(seed),
            prefix,
            input_log2: 8,
            output_log2: 6,
            number: 0,
        }
    }

    fn next(&mut self) -> [u8; 16] {
        self.number += 1;
        let mut id = id(self.number);
        // A client that names a job as somebody else did gets no answer.
        id[8..].copy_from_slice(&self.identity.id().0[..8]);
        id
    }

    pub fn mail(&self, testbed: &mut Testbed) -> Vec<ToClient> {
        let mail = std::mem::take(testbed.outsiders.get_mut(&self.identity.id()).unwrap());
        let to_client = |message| match message {
            Message::ToClient(message) => Some(message),
            Message::ToProvider(_) => None,
        };
        mail.into_iter().filter_map(to_client).collect()
    }

    /// Calls, and reads the bid if there is one.
    pub fn call(&mut self, testbed: &mut Testbed, provider: NodeId) -> Option<(Bid, BidHash)> {
        let call = Call {
            id: CallId(self.next()),
            client: self.identity.id(),
            seal_key: self.seal_key.public(),
            model: MODEL,
            kind: TaskKind::Generate,
            input_log2: self.input_log2,
            output_log2: self.output_log2,
            tier: Tier::Open,
            window_ms: 400,
            invited: Share::ALL,
            made_s: WallClock::new(0).unix_s(testbed.now),
            deadline_ms: 1_000,
            stamp: 0,
            features: Features::OWN,
            extensions: Extensions::NONE,
        };
        let gossip = Gossip::Call(call.sign(&self.identity));
        testbed.feed(provider, Input::Gossip { prefix: self.prefix, gossip: gossip.open().unwrap() });
        self.mail(testbed).into_iter().find_map(|message| match message {
            ToClient::Bid(sealed) if sealed.call == call.id => {
                let plain = unseal(&self.seal_key, &sealed.call.0, &sealed.sealed).unwrap();
                let signed: Signed = codec::decode_sealed(&plain).unwrap();
                Some((signed.open::<Bid>().unwrap().into_inner(), BidHash::of(&signed)))
            }
            _ => None,
        })
    }

    pub fn says(&self, testbed: &mut Testbed, provider: NodeId, message: ToProvider) {
        let input = Input::Received {
            from: self.identity.id(),
            prefix: self.prefix,
            message: Message::ToProvider(message),
        };
        testbed.feed(provider, input);
    }

    /// Awards the bid, and goes no further.
    pub fn award(
        &mut self,
        testbed: &mut Testbed,
        provider: NodeId,
        (bid, hash): &(Bid, BidHash),
    ) -> Option<GuestSession> {
        let job = JobId(self.next());
        let prologue = prologue(&self.identity.id(), &bid.provider, &job.0);
        let (initiator, handshake) =
            Initiator::start(&bid.session_key, &prologue, &mut self.entropy).unwrap();
        let award = Award {
            job,
            call: bid.call,
            bid: *hash,
            price: bid.price,
            handshake,
            extensions: Extensions::NONE,
        };
        self.says(testbed, provider, ToProvider::Award(award));
        let accept = self.mail(testbed).into_iter().find_map(|message| match message {
            ToClient::Accept(accept) if accept.job == job => Some(accept),
            _ => None,
        })?;
        Some((job, initiator.finish(&accept.handshake).unwrap()))
    }

    /// Sends a task that is to be paid on a channel that nobody will ever open.
    pub fn work(
        &mut self,
        testbed: &mut Testbed,
        provider: NodeId,
        bid: &Bid,
        mut opened: GuestSession,
        tokens: u32,
    ) {
        self.number += 1;
        let salt = u64::from_le_bytes(self.identity.id().0[..8].try_into().unwrap()) ^ self.number;
        let work = work(tokens, channel(bid, salt));
        self.gives(testbed, provider, &mut opened, work);
    }

    /// Sends a task, and shows that its channel is a guest's.
    pub fn gives(&self, testbed: &mut Testbed, provider: NodeId, opened: &mut GuestSession, mut work: Work) {
        work.key_proof = key_proof(opened, &work.channel);
        self.seals(testbed, provider, opened, &FromClient::Work(work));
    }

    pub fn seals(
        &self,
        testbed: &mut Testbed,
        provider: NodeId,
        (job, secure): &mut GuestSession,
        said: &FromClient,
    ) {
        let frame = secure.seal(&codec::encode(said), false).unwrap();
        let frame = SealedFrame { job: *job, nonce: frame.nonce, bytes: frame.bytes };
        self.says(testbed, provider, ToProvider::Sealed(frame));
    }
}

/// A guest's proof, within a session, that a channel is its own.
pub fn key_proof((_, secure): &GuestSession, channel: &ChannelTerms) -> Signature {
    KeyProof { binding: secure.binding(), account: channel.id() }.sign(&key())
}

/// A task of so many tokens, paid on this channel, without the proof that this is the guest's.
pub fn work(tokens: u32, channel: ChannelTerms) -> Work {
    let task = chat("count for me", tokens);
    let input = InputTokens::fresh(super::engine::input_tokens(&task));
    Work { task, input, channel, key_proof: Signature([0; 64]), extensions: Extensions::NONE }
}

/// The terms of a channel to a bidder.
pub fn channel(bid: &Bid, salt: u64) -> ChannelTerms {
    ChannelTerms {
        network_id: bid.payee.network_id,
        salt,
        client_key: key().verifying_key().to_bytes(),
        provider_key: bid.payee.key,
        client: Address::basechain([9; 32]),
        provider: bid.payee.address,
        challenge_s: bid.payee.challenge_s,
    }
}

/// Opens a channel with so much on it, whether its guest means to pay or not.
pub fn opens(testbed: &mut Testbed, node: NodeId, terms: &ChannelTerms, deposit: Nano) {
    testbed.chain.fund([9; 32], Nano(2 * deposit.0));
    let open = LedgerCall::Open { terms: terms.clone().into(), deposit };
    testbed.chain.call(node, Some([9; 32]), open);
    let now = testbed.now;
    testbed.chain.block(now);
}

/// A session that a provider has accepted.
pub type GuestSession = (JobId, bombyx_protocol::session::Secure);

/// The key that signs on a guest's channels.
fn key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

/// A payment of so much on a channel, in the funding that the ledger shows.
pub fn voucher_of(testbed: &Testbed, terms: &ChannelTerms, cumulative: Nano) -> Payment {
    let account = terms.id();
    let epoch = testbed.chain.channel(&account).unwrap().epoch;
    let signature = Voucher { account, epoch, cumulative }.sign(&key());
    Payment { epoch, cumulative, signature }
}
