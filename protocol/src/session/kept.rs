//! A kept session: what is left of a handshake for the jobs after its first. They need none.

use zeroize::Zeroizing;

use super::replay::Window;
use super::resolver::{self, KEY_BYTES};
use super::secure::{End, Secure};

/// Jobs that begin in one kept session.
pub const KEPT_JOBS_MAX: u64 = 1 << 32;

/// A secret that gives every further job of the same two nodes keys of its own. (`SE-23`)
pub struct KeptSecret(Secret);

enum Secret {
    Real(Zeroizing<[u8; KEY_BYTES]>),
    #[cfg(feature = "fake-crypto")]
    Pretended(crate::fake::Kept),
}

impl KeptSecret {
    /// Returns the secret of a finished handshake, from its hash and its two keys.
    pub(super) fn after(binding: &[u8; 32], [client, provider]: &[Zeroizing<[u8; KEY_BYTES]>; 2]) -> Self {
        let both = Zeroizing::new([client.as_slice(), provider.as_slice()].concat());
        let [secret, ..] = resolver::hkdf(binding, &both);
        Self(Secret::Real(secret))
    }

    #[cfg(feature = "fake-crypto")]
    pub(super) const fn pretended(kept: crate::fake::Kept) -> Self {
        Self(Secret::Pretended(kept))
    }

    /// Returns one end of the session of job number `number`, of which `prologue` says who talks to whom (`SE-24`).
    #[must_use]
    pub fn session(&self, end: End, prologue: &[u8], number: u64) -> Secure {
        let input = [prologue, &number.to_le_bytes()].concat();
        match &self.0 {
            Secret::Real(secret) => {
                let [client, provider, binding] = resolver::hkdf(&**secret, &input);
                Secure::with_keys(&[client, provider], *binding, end)
            }
            #[cfg(feature = "fake-crypto")]
            Secret::Pretended(kept) => Secure::pretended(kept.session(&input, end == End::Client)),
        }
    }
}

impl core::fmt::Debug for KeptSecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("KeptSecret").finish_non_exhaustive()
    }
}

/// Which job numbers of a kept session were used: each gives keys once, or two jobs would have the same. (`SE-25`)
#[derive(Debug)]
pub struct JobNumbers(Window);

impl Default for JobNumbers {
    fn default() -> Self {
        Self(Window::new())
    }
}

impl JobNumbers {
    /// Takes a number. Returns whether it was free.
    pub fn take(&mut self, number: u64) -> bool {
        let is_free = number < KEPT_JOBS_MAX && self.0.check(number).is_ok();
        if is_free {
            self.0.mark(number);
        }
        is_free
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Entropy;
    use crate::session::{Initiator, SecureError, StaticKey, respond};

    fn kept() -> [KeptSecret; 2] {
        let key = StaticKey::from_seed([1; 32]);
        let (initiator, first) =
            Initiator::start(&key.public(), b"test", &mut Entropy::new([2; 32])).unwrap();
        let (mut provider, reply) = respond(&key, b"test", &first, &mut Entropy::new([3; 32])).unwrap();
        let mut client = initiator.finish(&reply).unwrap();
        let both = [&mut client, &mut provider].map(|end| end.take_kept().unwrap());
        assert!(client.take_kept().is_none(), "once");
        both
    }

    /// `SE-23`, `SE-24`
    #[test]
    fn a_kept_session_opens_what_its_other_end_seals_for_the_same_job_and_number_alone() {
        let [client, provider] = kept();
        let frame = client.session(End::Client, b"a job", 7).seal(b"a prompt", false).unwrap();
        let open = |prologue: &[u8], number, end| {
            provider.session(end, prologue, number).open(frame.nonce, &frame.bytes).map(|opened| opened.body)
        };
        assert_eq!(open(b"a job", 7, End::Provider).unwrap(), b"a prompt");
        let refused = Err(SecureError::Unauthentic { nonce: 0 });
        assert_eq!(open(b"b job", 7, End::Provider), refused);
        assert_eq!(open(b"a job", 8, End::Provider), refused);
        assert_eq!(open(b"a job", 7, End::Client), refused);
        let mut again = provider.session(End::Provider, b"a job", 7);
        assert!(again.take_kept().is_none(), "what begins from it ends with it");
        assert_ne!(again.binding(), provider.session(End::Provider, b"a job", 8).binding());
    }

    /// `SE-25`
    #[test]
    fn a_number_gives_keys_once() {
        let mut numbers = JobNumbers::default();
        assert!([3, 0, 2_000].into_iter().all(|number| numbers.take(number)));
        assert!([3, 0, 2_000, KEPT_JOBS_MAX, u64::MAX].into_iter().all(|number| !numbers.take(number)));
        assert!(numbers.take(1_999));
    }
}
