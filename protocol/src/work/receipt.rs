//! What a provider signs now and then: a running transcript hash, the tokens and the bill so far.

use crate::amount::Nano;
use crate::ident::{Domain, Identity, NodeId, Signature};
use crate::wire::{codec, extension::Extensions, signed::Signed};
use crate::work::order::{JobId, ModelId};

/// The state of a job after a chunk. Signed in [`Domain::Receipt`]. (`WR-3`)
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Receipt {
    /// The job.
    pub job: JobId,
    /// The model that the provider says it ran.
    pub model: ModelId,
    /// Chunks so far, this one counted.
    pub chunks: u32,
    /// The transcript hash over all chunks so far.
    pub transcript: Transcript,
    /// Input tokens billed that had to be read.
    pub input_tokens: u64,
    /// Input tokens billed that the provider had read before.
    pub cached_tokens: u64,
    /// Output tokens billed so far.
    pub output_tokens: u64,
    /// The bill so far, not the bill of this chunk.
    pub cost: Nano,
    /// What else it states.
    pub extensions: Extensions,
}

/// A hash over everything that a job said, in order. (`WR-2`)
#[derive(Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Transcript(pub [u8; 32]);

impl core::fmt::Debug for Transcript {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        crate::ident::write_hex(f, self.0.get(..4).unwrap_or(&self.0))
    }
}

impl Transcript {
    /// Returns the hash before the first chunk: it binds the job, the model and the task's exact
    /// bytes.
    #[must_use]
    pub fn begin(job: JobId, model: ModelId, task: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("bombyx/1/transcript");
        hasher.update(&job.0).update(&model.0).update(blake3::hash(task).as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// Returns the hash after one more chunk of exactly these bytes.
    #[must_use]
    pub fn then(self, index: u32, content: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("bombyx/1/transcript");
        hasher.update(&self.0).update(&index.to_le_bytes()).update(content);
        Self(*hasher.finalize().as_bytes())
    }
}

impl Receipt {
    /// Signs the receipt.
    #[must_use]
    pub fn sign(&self, provider: &Identity) -> Signed {
        Signed::new(provider, Domain::Receipt, codec::encode(self))
    }

    /// Returns the client's countersignature under a final receipt: the service was as stated.
    /// (`WR-10`)
    #[must_use]
    pub fn countersign(signed: &Signed, client: &Identity) -> Signature {
        client.sign(Domain::Countersign, &signed.body)
    }

    /// Returns whether `signature` is `client`'s countersignature under `signed`.
    #[must_use]
    pub fn countersigned(signed: &Signed, client: NodeId, signature: &Signature) -> bool {
        client.verifies(Domain::Countersign, &signed.body, signature)
    }
}
