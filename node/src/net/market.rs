//! The names under which those that sell anything are found: a topic, and a key of the hash table. (`NE-14`)

use sha2::{Digest as _, Sha256};

/// The short name of the topic to which every node listens that sells.
pub(super) const MARKET: &str = "market";

/// Returns the key under which those that sell anything announce themselves.
pub(super) fn providers_key(network: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"bombyx providers\0");
    hash.update(network.as_bytes());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (`NE-14`)
    #[test]
    fn each_network_has_a_key_of_its_own_for_those_that_sell() {
        assert_ne!(providers_key("a"), providers_key("b"));
        // By another SHA-256, of `bombyx providers`, a zero byte and the name.
        let expected = [0x2c, 0xac, 0x58, 0x32, 0x1b, 0xc7, 0x18, 0xe7];
        assert_eq!(providers_key("bombyx-dev")[..8], expected);
    }
}
