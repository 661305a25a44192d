//! A node's long-lived x25519 secret: what bids are sealed to and sessions are opened against.

use core::fmt;

use x25519_dalek::{PublicKey, StaticSecret};

/// An x25519 secret key, apart from the node's signing key and its wallet. Wiped when dropped.
pub struct StaticKey {
    secret: StaticSecret,
    public: [u8; 32],
}

impl StaticKey {
    /// Returns the key whose secret scalar is `seed`, clamped as RFC 7748 says.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let secret = StaticSecret::from(seed);
        Self { public: PublicKey::from(&secret).to_bytes(), secret }
    }

    /// Returns the public half: the 32 bytes of the point's u-coordinate.
    #[must_use]
    pub const fn public(&self) -> [u8; 32] {
        self.public
    }

    pub(super) fn secret(&self) -> &[u8; 32] {
        self.secret.as_bytes()
    }
}

impl fmt::Debug for StaticKey {
    /// Returns the public half only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StaticKey(")?;
        crate::ident::write_hex(f, &self.public())?;
        f.write_str(")")
    }
}
