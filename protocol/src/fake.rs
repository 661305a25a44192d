//! Pretended cryptography for simulations of a hundred thousand nodes: the same keys, lengths and failures, no secrecy.
//!
//! Keys stay what they are, so identities, accounts, hashes and every draw of entropy are those of
//! a real run. What is replaced is the work: signatures, sealed messages, handshakes and frames
//! carry a cheap checksum keyed by the public key. A wrong key, another purpose or one altered byte
//! fails as it does with real cryptography, but anyone who wants to forge can. Keys of small order
//! are not told from others.
//!
//! It exists under the feature `fake-crypto` only, and there it is off until a thread asks for it. A node refuses to
//! compile with the feature.

use core::cell::Cell;
use core::marker::PhantomData;

thread_local! {
    static PRETENDS: Cell<bool> = const { Cell::new(false) };
}

/// Makes the thread that created it pretend for as long as it lives.
#[derive(Debug)]
pub struct Pretence {
    before: bool,
    /// Belongs to its thread.
    here: PhantomData<*const ()>,
}

impl Pretence {
    /// Pretends on this thread from now on, or insists on real cryptography where `pretend` is false.
    #[must_use]
    pub fn begin(pretend: bool) -> Self {
        Self { before: PRETENDS.replace(pretend), here: PhantomData }
    }
}

impl Drop for Pretence {
    fn drop(&mut self) {
        PRETENDS.set(self.before);
    }
}

pub(crate) fn is_on() -> bool {
    PRETENDS.get()
}

const ODD: [u64; 4] =
    [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9, 0xd6e8_feb8_6659_fd93];

/// Mixes a word into a lane: an odd factor and a rotation lose nothing, so one word changed is
/// always another state.
const fn absorb(lane: u64, word: u64) -> u64 {
    (lane ^ word).wrapping_mul(ODD[0]).rotate_left(29)
}

/// Returns `N` bytes that depend on every byte of every part and on where one part ends and the
/// next begins. Four lanes take turns at the words of a part, as a processor can work on all of
/// them at a time.
#[must_use]
pub(crate) fn checksum<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let [mut a, mut b, mut c, mut d] = ODD;
    for part in parts {
        a = absorb(a, part.len() as u64);
        let (words, rest) = part.as_chunks::<8>();
        let (fours, words) = words.as_chunks::<4>();
        for [one, two, three, four] in fours {
            a = absorb(a, u64::from_le_bytes(*one));
            b = absorb(b, u64::from_le_bytes(*two));
            c = absorb(c, u64::from_le_bytes(*three));
            d = absorb(d, u64::from_le_bytes(*four));
        }
        for word in words {
            b = absorb(b, u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        c = absorb(c, u64::from_le_bytes(last));
    }
    let mut state = [b, c, d].into_iter().fold(mix(a), |state, lane| mix(state.wrapping_add(ODD[1]) ^ lane));
    let mut out = [0; N];
    for chunk in out.chunks_mut(8) {
        chunk.iter_mut().zip(state.to_le_bytes()).for_each(|(to, from)| *to = from);
        state = mix(state.wrapping_add(ODD[0]) ^ d);
    }
    out
}

/// Returns the finalizer of SplitMix64.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The keys of a pretended session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    key: [u8; 16],
    /// Whether this side began.
    began: bool,
    /// Whether it stands on a handshake of its own.
    is_first: bool,
}

/// What is left of a pretended handshake for later jobs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept([u8; 16]);

impl Kept {
    /// Returns what both sides know of a later job.
    pub(crate) fn job(&self, input: &[u8]) -> KeptJob {
        KeptJob(checksum(&[b"later", &self.0, input]))
    }
}

/// What a pretended later job is encrypted with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeptJob([u8; 16]);

impl KeptJob {
    /// Returns one end of its session.
    pub(crate) const fn session(self, began: bool) -> Session {
        Session { key: self.0, began, is_first: false }
    }
}

impl Session {
    /// Returns the session that both sides know once they have both ephemeral keys, and what
    /// shows the second side to the first.
    pub(crate) fn agree(
        provider: &[u8; 32],
        prologue: &[u8],
        ephemerals: [&[u8]; 2],
        began: bool,
    ) -> (Self, [u8; 16]) {
        let key = checksum(&[b"session", provider, prologue, ephemerals[0], ephemerals[1]]);
        (Self { key, began, is_first: true }, checksum(&[b"reply", &key]))
    }

    /// Returns 32 bytes, equal on both sides and different for every session.
    pub(crate) fn binding(&self) -> [u8; 32] {
        checksum(&[b"binding", &self.key])
    }

    /// Returns what later jobs can begin from, after a handshake.
    pub(crate) fn kept(&self) -> Option<Kept> {
        self.is_first.then(|| Kept(checksum(&[b"kept", &self.key])))
    }

    /// Writes the block and its tag into `out`; returns how many bytes that is, where they fit.
    pub(crate) fn write(&self, nonce: u64, block: &[u8], out: &mut [u8]) -> Option<usize> {
        join(block, &self.tag(self.began, nonce, block), out)
    }

    /// Writes the block of a frame into `out`; returns its length, where the frame is authentic.
    pub(crate) fn read(&self, nonce: u64, frame: &[u8], out: &mut [u8]) -> Option<usize> {
        let (block, tag) = frame.split_last_chunk::<16>()?;
        if self.tag(!self.began, nonce, block) != *tag {
            return None;
        }
        join(block, &[], out)
    }

    fn tag(&self, by_first: bool, nonce: u64, block: &[u8]) -> [u8; 16] {
        checksum(&[&self.key, &[u8::from(by_first)], &nonce.to_le_bytes(), block])
    }
}

/// Writes both parts one after the other into `out`; returns how many bytes that is, where they fit.
fn join(first: &[u8], second: &[u8], out: &mut [u8]) -> Option<usize> {
    let (head, rest) = out.split_at_mut_checked(first.len())?;
    head.copy_from_slice(first);
    rest.get_mut(..second.len())?.copy_from_slice(second);
    first.len().checked_add(second.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Entropy;
    use crate::ident::{Domain, Identity};
    use crate::session::{
        HandshakeError, Initiator, SealError, SecureError, StaticKey, respond, seal, unseal,
    };

    #[test]
    fn a_checksum_depends_on_every_byte_and_every_boundary() {
        let bytes: Vec<u8> = (0..100).collect();
        let whole: [u8; 16] = checksum(&[&bytes]);
        for place in 0..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 1;
            assert_ne!(checksum::<16>(&[&other]), whole, "byte {place}");
            assert_ne!(checksum::<16>(&[&bytes[..place], &bytes[place..]]), whole, "split at {place}");
        }
    }

    #[test]
    fn it_is_off_until_asked_for_and_off_again_after() {
        let real = Identity::from_seed(&[1; 32]).sign(Domain::Call, b"x");
        {
            let _pretence = Pretence::begin(true);
            let _insists = Pretence::begin(false);
            assert!(!is_on());
        }
        assert!(!is_on());
        let pretended = {
            let _pretence = Pretence::begin(true);
            Identity::from_seed(&[1; 32]).sign(Domain::Call, b"x")
        };
        assert_ne!(pretended, real);
        let id = Identity::from_seed(&[1; 32]).id();
        assert!(id.verifies(Domain::Call, b"x", &real) && !id.verifies(Domain::Call, b"x", &pretended));
    }

    #[test]
    fn a_pretended_signature_counts_for_its_key_its_domain_and_its_bytes_only() {
        let _pretence = Pretence::begin(true);
        let node = Identity::from_seed(&[7; 32]);
        let signature = node.sign(Domain::Call, b"bytes");
        assert!(node.id().verifies(Domain::Call, b"bytes", &signature));
        assert!(!node.id().verifies(Domain::Bid, b"bytes", &signature));
        assert!(!node.id().verifies(Domain::Call, b"other", &signature));
        assert!(!Identity::from_seed(&[8; 32]).id().verifies(Domain::Call, b"bytes", &signature));
    }

    #[test]
    fn a_pretended_seal_has_the_length_of_a_real_one_and_fails_like_it() {
        let (key, other) = (StaticKey::from_seed([1; 32]), StaticKey::from_seed([2; 32]));
        let seal = || seal(&key.public(), b"call", b"a bid", &mut Entropy::new([3; 32])).unwrap();
        let real = seal();
        let _pretence = Pretence::begin(true);
        let sealed = seal();
        assert_eq!(sealed.len(), real.len());
        assert_eq!(unseal(&key, b"call", &sealed), Ok(b"a bid".to_vec()));
        assert_eq!(unseal(&other, b"call", &sealed), Err(SealError::Unauthentic));
        assert_eq!(unseal(&key, b"other", &sealed), Err(SealError::Unauthentic));
        for place in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[place] ^= 1;
            assert_eq!(unseal(&key, b"call", &altered), Err(SealError::Unauthentic), "byte {place}");
        }
    }

    #[test]
    fn a_pretended_session_carries_frames_of_the_real_length_and_refuses_what_a_real_one_refuses() {
        let lengths = |pretend: bool| {
            let _pretence = Pretence::begin(pretend);
            let key = StaticKey::from_seed([1; 32]);
            let start = || Initiator::start(&key.public(), b"job", &mut Entropy::new([2; 32])).unwrap();
            let (client, first) = start();
            let mut entropy = Entropy::new([3; 32]);
            let stranger = StaticKey::from_seed([9; 32]);
            let refused = respond(&stranger, b"job", &first, &mut Entropy::new([4; 32])).unwrap_err();
            assert_eq!(refused, HandshakeError::Unauthentic);
            let (mut provider, reply) = respond(&key, b"job", &first, &mut entropy).unwrap();
            let mut altered = reply.clone();
            altered[40] ^= 1;
            assert_eq!(start().0.finish(&altered).unwrap_err(), HandshakeError::Unauthentic);
            let mut client = client.finish(&reply).unwrap();
            assert_eq!(client.binding(), provider.binding());
            let frame = client.seal(b"prompt", true).unwrap();
            assert_eq!(client.open(0, &frame.bytes), Err(SecureError::Unauthentic { nonce: 0 }), "its own");
            assert_eq!(provider.open(1, &frame.bytes), Err(SecureError::Unauthentic { nonce: 1 }));
            let mut altered = frame.bytes.clone();
            altered[20] ^= 1;
            assert_eq!(provider.open(0, &altered), Err(SecureError::Unauthentic { nonce: 0 }));
            assert_eq!(provider.open(0, &frame.bytes).unwrap().body, b"prompt");
            assert_eq!(provider.open(0, &frame.bytes), Err(SecureError::Replayed { nonce: 0 }));
            [first.len(), reply.len(), frame.bytes.len()]
        };
        assert_eq!(lengths(true), lengths(false));
    }
}
