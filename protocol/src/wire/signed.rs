//! A signed body: the signature covers the exact bytes that travel, so that nobody ever re-encodes to verify.
//! (`WI-9`)

use crate::ident::{Domain, Identity, NodeId, Signature};
use crate::wire::codec::{self, DecodeError};

/// Bytes with a signature over them.
#[derive(Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Signed {
    /// The encoded statement.
    pub body: Vec<u8>,
    /// The signature over the body, in the statement's own domain.
    pub signature: Signature,
}

/// Why a signed body is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignedFault {
    /// The body is not the expected statement.
    #[error("a signed statement cannot be read: {0}")]
    Unreadable(#[from] DecodeError),
    /// The signature does not verify under the key that the statement names.
    #[error("a signature does not verify")]
    Forged,
}

/// A statement that names who must have signed it.
pub trait Statement: bincode::Decode<()> {
    /// The domain of its signature.
    const DOMAIN: Domain;
    /// Returns who must have signed it.
    fn signer(&self) -> NodeId;
}

/// A statement whose signature was checked. Only [`Unverified::verify`] makes one, so its holder need not
/// check again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified<S>(S);

impl<S> Verified<S> {
    /// Gives the statement.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.0
    }
}

impl<S> core::ops::Deref for Verified<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

/// A statement that was read, and whose signature was not checked yet.
#[derive(Debug)]
pub struct Unverified<'a, S> {
    statement: S,
    signed: &'a Signed,
}

impl<S: Statement> Unverified<'_, S> {
    /// Returns who the statement says has signed it; only [`Self::verify`] tells whether that is so.
    #[must_use]
    pub fn signer(&self) -> NodeId {
        self.statement.signer()
    }

    /// Returns the statement as it stands there; only [`Self::verify`] tells whether anybody has made it.
    pub(super) const fn claim(&self) -> &S {
        &self.statement
    }

    /// Checks the signature against the signer that the statement names.
    ///
    /// # Errors
    /// [`SignedFault::Forged`] when it does not verify.
    pub fn verify(self) -> Result<Verified<S>, SignedFault> {
        if self.signed.is_by(self.signer(), S::DOMAIN) {
            Ok(Verified(self.statement))
        } else {
            Err(SignedFault::Forged)
        }
    }
}

impl Signed {
    /// Signs a body.
    #[must_use]
    pub fn new(identity: &Identity, domain: Domain, body: Vec<u8>) -> Self {
        let signature = identity.sign(domain, &body);
        Self { body, signature }
    }

    /// Reads the statement, and leaves its signature to be checked: what costs less may be looked at first.
    ///
    /// # Errors
    /// [`SignedFault::Unreadable`] when the body is no such statement.
    pub fn read<S: Statement>(&self) -> Result<Unverified<'_, S>, SignedFault> {
        Ok(Unverified { statement: codec::decode(&self.body)?, signed: self })
    }

    /// Reads the statement and checks it against the signer that it names.
    ///
    /// # Errors
    /// [`SignedFault`] when it cannot be read or the signature does not verify.
    pub fn open<S: Statement>(&self) -> Result<Verified<S>, SignedFault> {
        self.read()?.verify()
    }

    /// Returns whether `signer` signed the body in this domain.
    #[must_use]
    pub fn is_by(&self, signer: NodeId, domain: Domain) -> bool {
        signer.verifies(domain, &self.body, &self.signature)
    }

    /// Reads a statement that does not name its signer, which is `signer`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_by<S: bincode::Decode<()>>(&self, signer: NodeId, domain: Domain) -> Result<S, SignedFault> {
        if !self.is_by(signer, domain) {
            return Err(SignedFault::Forged);
        }
        Ok(codec::decode(&self.body)?)
    }
}

impl core::fmt::Debug for Signed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Signed({} bytes)", self.body.len())
    }
}
