//! How a world is carried out: which fidelity, and with which cryptography.

use serde::{Deserialize, Serialize};

/// How much of a run is carried out message by message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Fidelity {
    /// Every message.
    #[default]
    Message,
    /// Gossip is solved flood by flood wherever that is exact; everything else message by message.
    Fast,
}

/// What signs, seals and encrypts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Crypto {
    /// The node's own cryptography.
    #[default]
    Real,
    /// Checksums of the same length that fail in the same way; needs a build with the feature `fake-crypto`.
    Fake,
}

/// Whether this program was built with the feature `fake-crypto`.
pub const HAS_FAKE_CRYPTO: bool = bombyx_protocol::HAS_FAKE_CRYPTO;

impl Crypto {
    /// Carries out `run` with this cryptography.
    pub(crate) fn with<T>(self, run: impl FnOnce() -> T) -> T {
        #[cfg(feature = "fake-crypto")]
        let _pretence = bombyx_protocol::fake::Pretence::begin(self == Self::Fake);
        run()
    }
}
