//! Every direct message between two nodes: in the clear envelope, and inside the session.

use crate::amount::Nano;
use crate::channel::id::ChannelId;
use crate::channel::terms::ChannelTerms;
use crate::channel::voucher::{SignedVoucher, Voucher};
use crate::ident::Signature;
use crate::market::bid::BidHash;
use crate::market::call::{Call, CallId};
use crate::market::seek::Seek;
use crate::wire::extension::Extensions;
use crate::wire::signed::Signed;
use crate::work::order::{JobId, Task};
use crate::work::price::{InputTokens, Price};

pub use crate::wire::gossip::{Gossip, UnverifiedGossip, VerifiedGossip};
pub use crate::wire::refusal::Refusal;
pub use crate::wire::release::{Release, ReleaseReason};

/// A direct message.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Message {
    /// For the provider in a node.
    ToProvider(ToProvider),
    /// For the client in a node.
    ToClient(ToClient),
}

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum ToProvider {
    /// Takes a bid and opens a session.
    Award(Award),
    /// A sealed [`FromClient`].
    Sealed(SealedFrame),
    /// A call is over without an award to you: the slot held for it is free.
    Release(Release),
    /// A seek for this provider alone. Who sends it is known from the connection, so it is not signed. (`MK-62`)
    Seek(Seek),
    /// A call for this provider alone, likewise. (`MK-62`)
    Call(Call),
    /// Takes a bid within a kept session, with the task.
    KeptAward(KeptAward),
}

/// What a provider sends.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum ToClient {
    /// A sealed, signed [`crate::market::bid::Bid`].
    Bid(SealedBid),
    /// The award is taken; the second half of the handshake.
    Accept(Accept),
    /// The award, or the job, is refused.
    Refuse(Refuse),
    /// A sealed [`FromProvider`].
    Sealed(SealedFrame),
    /// An [`crate::market::ask::Ask`]: the answer to a seek.
    Ask(Signed),
    /// Whatever this provider offered holds no more: it takes no new jobs. (`MK-61`)
    Leaving,
    /// A call gets no bid.
    Decline(Decline),
}

/// Why a call gets no bid. (`MK-49`)
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Decline {
    /// The call.
    pub call: CallId,
    /// Why.
    pub why: Refusal,
    /// What else it needs or offers.
    pub extensions: Extensions,
}

/// A bid that only the caller can read.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct SealedBid {
    /// Which call.
    pub call: CallId,
    /// The sealed [`Signed`] bid.
    pub sealed: Vec<u8>,
}

/// Takes a bid. The same award may arrive twice and gets the same answer. (`MK-9`)
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Award {
    /// The new job.
    pub job: JobId,
    /// The call that was bid for.
    pub call: CallId,
    /// Which bid; known only to the client that could unseal it.
    pub bid: BidHash,
    /// The price that will be paid, at least the bid's.
    pub price: Price,
    /// First handshake message.
    pub handshake: Vec<u8>,
    /// What else it needs or offers.
    pub extensions: Extensions,
}

/// Takes a bid, and brings the task, in a session that is kept from an earlier job. It may arrive twice. (`MK-67`)
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct KeptAward {
    /// The new job.
    pub job: JobId,
    /// The call that was bid for.
    pub call: CallId,
    /// Which bid.
    pub bid: BidHash,
    /// The price that will be paid, at least the bid's.
    pub price: Price,
    /// The job of the handshake that the session is kept from.
    pub session: JobId,
    /// The number of the new job in it, each used once. (`SE-25`)
    pub number: u64,
    /// Frame 0 of the new job's session, which holds a [`Work`].
    pub work: Vec<u8>,
    /// What else it needs or offers.
    pub extensions: Extensions,
}

/// Takes an award.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Accept {
    /// The job.
    pub job: JobId,
    /// Second handshake message.
    pub handshake: Vec<u8>,
    /// What else it needs or offers.
    pub extensions: Extensions,
}

impl Accept {
    /// Returns the answer to the award of this job.
    #[must_use]
    pub const fn of(job: JobId, handshake: Vec<u8>) -> Self {
        Self { job, handshake, extensions: Extensions::NONE }
    }
}

/// Refuses an award or a job.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Refuse {
    /// The job.
    pub job: JobId,
    /// Why.
    pub why: Refusal,
    /// What else it needs or offers.
    pub extensions: Extensions,
}

impl Refuse {
    /// Returns the refusal of this job for this reason.
    #[must_use]
    pub const fn of(job: JobId, why: Refusal) -> Self {
        Self { job, why, extensions: Extensions::NONE }
    }
}

/// One frame of a session.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct SealedFrame {
    /// The job whose session this belongs to.
    pub job: JobId,
    /// Position in the sender's sequence of frames.
    pub nonce: u64,
    /// Ciphertext.
    pub bytes: Vec<u8>,
}

/// What a client says inside a session.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum FromClient {
    /// The task and how it will be paid.
    Work(Work),
    /// Progress and payment. (`CH-4`)
    Ack(Ack),
    /// The client wants no more. (`WR-14`)
    Cancel(Extensions),
}

/// The task and how it will be paid.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Work {
    /// The task.
    pub task: Task,
    /// The tokens of its input, as the client states them: they are billed.
    pub input: InputTokens,
    /// Terms of the channel that pays, from which its account follows.
    pub channel: ChannelTerms,
    /// By the channel's client key: shows that the channel is the client's own. (`CH-53`)
    pub key_proof: Signature,
    /// What else it needs or offers.
    pub extensions: Extensions,
}

/// Progress and payment.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Ack {
    /// The next chunk that the client waits for; all before it have arrived.
    pub next: u32,
    /// The newest voucher of the channel, once there is one.
    pub payment: Option<Payment>,
    /// Under the final receipt.
    pub countersignature: Option<Signature>,
    /// What else it needs or offers.
    pub extensions: Extensions,
}

/// A voucher on the wire: account and terms are known from [`Work`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Payment {
    /// The funding that the voucher is for.
    pub epoch: u64,
    /// Everything ever paid over the channel.
    pub cumulative: Nano,
    /// By the client's channel key over the voucher's hash.
    pub signature: Signature,
}

impl Payment {
    /// Returns the voucher on this channel that the payment stands for.
    #[must_use]
    pub const fn on(self, account: ChannelId) -> SignedVoucher {
        let Self { epoch, cumulative, signature } = self;
        SignedVoucher { voucher: Voucher { account, epoch, cumulative }, signature }
    }
}

/// What a provider says inside a session.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum FromProvider {
    /// A part of the answer.
    Chunk(Chunk),
    /// Serving stands still until `Ack` pays what is owed.
    NeedPayment(NeedPayment),
    /// Nothing of the answer has come, and the job is alive.
    Progress(WorkProgress),
}

/// How far a job has come before its answer. (`WR-23`)
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct WorkProgress {
    /// Milliseconds until the job can begin, as the provider expects; 0 once it has begun.
    pub start_ms: u32,
    /// Input tokens that the engine has read.
    pub read: u32,
}

/// A part of the answer, now and then with a receipt for everything up to it. (`WR-4`)
#[derive(Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Chunk {
    /// Position, from 0.
    pub index: u32,
    /// An encoded [`Content`]: the transcript covers exactly these bytes.
    pub content: Vec<u8>,
    /// A signed [`crate::work::receipt::Receipt`], where one is due. (`WR-3`)
    pub receipt: Option<Signed>,
}

/// Why serving stands still.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct NeedPayment {
    /// The cumulative amount that a voucher must reach.
    pub cumulative: Nano,
    /// The client's own newest voucher, so that a client that lost it can go on from there.
    pub newest: Option<Payment>,
    /// What else it needs or offers.
    pub extensions: Extensions,
}

/// The content of a chunk. Its `Debug` form shows sizes only.
#[derive(Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Content {
    /// Output tokens and their text.
    Tokens {
        /// Token ids, in order.
        ids: Vec<u32>,
        /// Their text: whole characters.
        text: String,
    },
    /// Vectors of consecutive inputs.
    Vectors {
        /// The input of the first vector.
        first: u32,
        /// Numbers in one vector.
        dims: u32,
        /// Little-endian `f32`s, vector after vector.
        bytes: Vec<u8>,
    },
    /// The end of the answer. The frame that carries it is the session's last. (`WR-5`)
    End {
        /// Why it ended.
        finish: Finish,
    },
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Finish {
    /// The model was done, or a stop string was met.
    Stop,
    /// The limit of tokens was met.
    Length,
}

impl core::fmt::Debug for Content {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Tokens { ids, .. } => write!(f, "Tokens({})", ids.len()),
            Self::Vectors { first, dims, bytes } => {
                write!(f, "Vectors(from {first}, {dims} dimensions, {} bytes)", bytes.len())
            }
            Self::End { finish } => write!(f, "End({finish:?})"),
        }
    }
}

impl core::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Chunk({}, {} bytes)", self.index, self.content.len())
    }
}
