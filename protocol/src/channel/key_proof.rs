//! A client's proof that the channel that pays for a job is its own.
//!
//! The terms of a channel are on the ledger for everybody to read. Whoever could name them with a task would owe on another's
//! channel, and its owner would be refused for that. (`CH-53`)

use ed25519_dalek::SigningKey;

use crate::channel::id::ChannelId;
use crate::channel::voucher::{SignatureError, sign, verify};
use crate::ident::{Domain, Signature};

/// What the client of a job signs with the channel's client key: within this session, this channel pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyProof {
    /// The binding of the job's session, which is different for every job, and which neither end can choose. (`SE-10`)
    pub binding: [u8; 32],
    /// The account that follows from the terms.
    pub account: ChannelId,
}

impl KeyProof {
    /// Signs with the client's voucher key.
    #[must_use]
    pub fn sign(&self, client_key: &SigningKey) -> Signature {
        sign(&self.message(), client_key)
    }

    /// Checks a signature by the client's voucher key.
    ///
    /// # Errors
    /// [`SignatureError`] says whether the key or the signature is at fault.
    pub fn verify(&self, client_key: &[u8; 32], signature: &Signature) -> Result<(), SignatureError> {
        verify(&self.message(), client_key, signature)
    }

    fn message(&self) -> Vec<u8> {
        Domain::Work.message(&[self.binding, self.account.0].concat())
    }
}
