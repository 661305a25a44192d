//! The primitives under Noise: x25519-dalek, and one source of randomness that gives one key and then nothing.
//!
//! snow's own x25519 stands on an older curve library and does not refuse points of small order, and its own
//! randomness is the operating system's, which the core does not know. Cipher and hash are ring's where ring
//! has assembly, portable ones on wasm32: the bytes are the same.

use core::cell::Cell;

use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

#[cfg(target_arch = "wasm32")]
use snow::resolvers::DefaultResolver as Symmetric;
#[cfg(not(target_arch = "wasm32"))]
use snow::resolvers::RingResolver as Symmetric;

use crate::entropy::Entropy;

/// The pattern of a session: the client is anonymous, the provider is known by its static key.
pub(super) const NK: &str = "Noise_NK_25519_ChaChaPoly_SHA256";

/// The pattern of a sealed message: one way, to a known static key.
pub(super) const N: &str = "Noise_N_25519_ChaChaPoly_SHA256";

/// Bytes of an x25519 key, public or secret.
pub(super) const KEY_BYTES: usize = 32;

/// Bytes that the cipher appends to what it encrypts.
pub(super) const TAG_BYTES: usize = 16;

/// Returns a snow builder for `pattern` (one of the constants above) with the next 32 bytes of
/// `entropy` as the handshake's ephemeral secret.
pub(super) fn builder<'keys>(pattern: &str, entropy: &mut Entropy) -> snow::Builder<'keys> {
    with_ephemeral(pattern, Ephemeral(Some(Zeroizing::new(entropy.bytes()))))
}

/// Returns the same for the receiver of a one-way message, which has no ephemeral key of its own.
pub(super) fn builder_without_entropy<'keys>(pattern: &str) -> snow::Builder<'keys> {
    with_ephemeral(pattern, Ephemeral(None))
}

fn with_ephemeral<'keys>(pattern: &str, ephemeral: Ephemeral) -> snow::Builder<'keys> {
    let params = pattern.parse().expect("the patterns are constants that snow knows");
    snow::Builder::with_resolver(params, Box::new(Primitives { ephemeral: Cell::new(Some(ephemeral)) }))
}

/// Returns the cipher of frames with this key.
pub(super) fn cipher(key: &[u8; KEY_BYTES]) -> Box<dyn Cipher> {
    let mut cipher =
        Symmetric.resolve_cipher(&CipherChoice::ChaChaPoly).expect("both resolvers have the cipher");
    cipher.set(key);
    cipher
}

/// Returns the three outputs of Noise's `HKDF` over SHA-256.
pub(super) fn hkdf(chaining_key: &[u8], input: &[u8]) -> [Zeroizing<[u8; KEY_BYTES]>; 3] {
    let mut hash = Symmetric.resolve_hash(&HashChoice::SHA256).expect("both resolvers have the hash");
    let [mut first, mut second, mut third] = [(); 3].map(|()| Zeroizing::new([0; KEY_BYTES]));
    hash.hkdf(chaining_key, input, 3, &mut *first, &mut *second, &mut *third);
    [first, second, third]
}

struct Primitives {
    ephemeral: Cell<Option<Ephemeral>>,
}

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(self.ephemeral.take()?))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(X25519::unset()) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        Symmetric.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        Symmetric.resolve_cipher(choice)
    }
}

/// The randomness of one handshake. Both patterns draw one key per side; a second draw is an error, so that
/// no ephemeral key can serve twice (`SE-2`).
struct Ephemeral(Option<Zeroizing<[u8; KEY_BYTES]>>);

impl Random for Ephemeral {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        let dest: &mut [u8; KEY_BYTES] = dest.try_into().map_err(|_| snow::Error::Rng)?;
        let secret = self.0.take().ok_or(snow::Error::Rng)?;
        *dest = *secret;
        Ok(())
    }
}

struct X25519 {
    secret: StaticSecret,
    public: PublicKey,
}

impl X25519 {
    /// Returns what snow holds before it sets or generates a key; it is never used for an exchange.
    fn unset() -> Self {
        Self { secret: StaticSecret::from([0; KEY_BYTES]), public: PublicKey::from([0; KEY_BYTES]) }
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        KEY_BYTES
    }

    fn priv_len(&self) -> usize {
        KEY_BYTES
    }

    fn set(&mut self, secret: &[u8]) {
        let secret: [u8; KEY_BYTES] = secret.try_into().expect("only keys of 32 bytes are handed to snow");
        self.secret = StaticSecret::from(secret);
        self.public = PublicKey::from(&self.secret);
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), snow::Error> {
        let mut secret = Zeroizing::new([0; KEY_BYTES]);
        random.try_fill_bytes(&mut *secret)?;
        self.set(&*secret);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn privkey(&self) -> &[u8] {
        self.secret.as_bytes()
    }

    /// `SE-3`: a point of small order would make the shared secret a constant that anyone knows.
    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        // snow's buffers are sized for the largest curve it knows.
        let public = public.first_chunk::<KEY_BYTES>().ok_or(snow::Error::Dh)?;
        let out = out.first_chunk_mut::<KEY_BYTES>().ok_or(snow::Error::Dh)?;
        let shared = self.secret.diffie_hellman(&PublicKey::from(*public));
        if !shared.was_contributory() {
            return Err(snow::Error::Dh);
        }
        *out = *shared.as_bytes();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `SE-2`
    #[test]
    fn an_ephemeral_key_is_given_once() {
        let mut random = Ephemeral(Some(Zeroizing::new([9; KEY_BYTES])));
        let mut key = [0; KEY_BYTES];
        assert_eq!(random.try_fill_bytes(&mut [0; 8]), Err(snow::Error::Rng));
        assert_eq!(random.try_fill_bytes(&mut key), Ok(()));
        assert_eq!(key, [9; KEY_BYTES]);
        assert_eq!(random.try_fill_bytes(&mut key), Err(snow::Error::Rng));
    }

    /// RFC 7748, section 6.1.
    #[test]
    fn the_exchange_is_the_one_of_the_rfc() {
        let bytes = |text| hex::decode(text).unwrap();
        let mut alice = X25519::unset();
        alice.set(&bytes("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
        let bob = bytes("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
        let mut shared = [0; KEY_BYTES];
        alice.dh(&bob, &mut shared).unwrap();
        assert_eq!(hex::encode(shared), "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    }

    /// `SE-3`: the points of order 1, 2 and 4, and the point 0 written as 2^255 - 19.
    #[test]
    fn points_of_small_order_are_refused() {
        let mut key = X25519::unset();
        key.set(&[7; KEY_BYTES]);
        let mut points = [[0; KEY_BYTES]; 4];
        points[1][0] = 1;
        points[2] = [0xff; KEY_BYTES];
        (points[2][0], points[2][31]) = (0xec, 0x7f);
        points[3] = [0xff; KEY_BYTES];
        (points[3][0], points[3][31]) = (0xed, 0x7f);
        for point in points {
            assert_eq!(key.dh(&point, &mut [0; KEY_BYTES]), Err(snow::Error::Dh), "{point:02x?}");
        }
    }
}
