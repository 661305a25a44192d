//! The key that a provider's close orders are signed with.

use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

/// Signs close orders. The key is made of its seed each time: that is seldom, and the key itself is large.
pub(in crate::provider) struct CloseKey {
    seed: Zeroizing<[u8; 32]>,
}

impl CloseKey {
    pub(in crate::provider) fn new(seed: [u8; 32]) -> Self {
        Self { seed: Zeroizing::new(seed) }
    }

    pub(in crate::provider) fn public(&self) -> [u8; 32] {
        self.signing().verifying_key().to_bytes()
    }

    pub(super) fn signing(&self) -> SigningKey {
        SigningKey::from_bytes(&self.seed)
    }
}

impl core::fmt::Debug for CloseKey {
    /// Shows nothing of it.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("CloseKey")
    }
}
