//! What is said on a topic to everybody: as it travels, as it was read, and as it was verified.

use crate::ident::NodeId;
use crate::market::call::Call;
use crate::market::seek::Seek;
use crate::market::topic::Topic;
use crate::wire::signed::{Signed, SignedFault, Unverified, Verified};

/// What is gossiped on a topic.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Gossip {
    /// A [`crate::market::call::Call`].
    Call(Signed),
    /// A [`crate::market::seek::Seek`].
    Seek(Signed),
}

impl Gossip {
    /// Reads the statement, and leaves its signature to be checked: its author may have said too much already.
    ///
    /// # Errors
    /// [`SignedFault::Unreadable`] when it cannot be read.
    pub fn read(&self) -> Result<UnverifiedGossip<'_>, SignedFault> {
        match self {
            Self::Call(signed) => signed.read().map(UnverifiedGossip::Call),
            Self::Seek(signed) => signed.read().map(UnverifiedGossip::Seek),
        }
    }

    /// Reads the statement and checks its signature.
    ///
    /// # Errors
    /// [`SignedFault`] when it cannot be read or the signature does not verify.
    pub fn open(&self) -> Result<VerifiedGossip, SignedFault> {
        self.read()?.verify()
    }
}

/// Gossip that was read, and whose signature was not checked yet.
#[derive(Debug)]
pub enum UnverifiedGossip<'a> {
    /// A call, if its signature is true.
    Call(Unverified<'a, Call>),
    /// A seek, if its signature is true.
    Seek(Unverified<'a, Seek>),
}

impl UnverifiedGossip<'_> {
    /// Returns who the statement says has made it; only [`Self::verify`] tells whether that is so.
    #[must_use]
    pub fn author(&self) -> NodeId {
        match self {
            Self::Call(call) => call.signer(),
            Self::Seek(seek) => seek.signer(),
        }
    }

    /// Returns when the statement says it was made, in Unix seconds.
    #[must_use]
    pub const fn made_s(&self) -> u64 {
        match self {
            Self::Call(call) => call.claim().made_s,
            Self::Seek(seek) => seek.claim().made_s,
        }
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`SignedFault::Forged`] when it does not verify.
    pub fn verify(self) -> Result<VerifiedGossip, SignedFault> {
        match self {
            Self::Call(call) => call.verify().map(VerifiedGossip::Call),
            Self::Seek(seek) => seek.verify().map(VerifiedGossip::Seek),
        }
    }
}

/// Gossip whose signature was checked, once for everyone who is given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifiedGossip {
    /// A client looks for providers of a job.
    Call(Verified<Call>),
    /// A client asks what is on offer.
    Seek(Verified<Seek>),
}

impl VerifiedGossip {
    /// Returns who has made the statement.
    #[must_use]
    pub fn author(&self) -> NodeId {
        match self {
            Self::Call(call) => call.client,
            Self::Seek(seek) => seek.client,
        }
    }

    /// Returns the topic that it belongs on.
    #[must_use]
    pub fn topic(&self) -> Topic {
        match self {
            Self::Call(call) => Topic::Model(call.model),
            Self::Seek(seek) => seek.model.into(),
        }
    }
}
