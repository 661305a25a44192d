//! A kept session: what is left of a handshake for the jobs after its first. They need none.

use zeroize::Zeroizing;

use super::replay::Window;
use super::resolver::{self, KEY_BYTES};

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

    /// Returns what job number `number`, of which `prologue` says who talks to whom, is encrypted with.
    pub(super) fn job(&self, prologue: &[u8], number: u64) -> JobSecret {
        let input = [prologue, &number.to_le_bytes()].concat();
        match &self.0 {
            Secret::Real(secret) => {
                let [client, provider, binding] = resolver::hkdf(&**secret, &input);
                JobSecret::Real { keys: [client, provider], binding: *binding }
            }
            #[cfg(feature = "fake-crypto")]
            Secret::Pretended(kept) => JobSecret::Pretended(kept.job(&input)),
        }
    }
}

/// What one further job is encrypted with. (`SE-24`)
pub(super) enum JobSecret {
    /// The keys of what the client and what the provider sends.
    Real { keys: [Zeroizing<[u8; KEY_BYTES]>; 2], binding: [u8; 32] },
    #[cfg(feature = "fake-crypto")]
    Pretended(crate::fake::KeptJob),
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
    /// `SE-25`
    #[test]
    fn a_number_gives_keys_once() {
        let mut numbers = JobNumbers::default();
        assert!([3, 0, 2_000].into_iter().all(|number| numbers.take(number)));
        assert!([3, 0, 2_000, KEPT_JOBS_MAX, u64::MAX].into_iter().all(|number| !numbers.take(number)));
        assert!(numbers.take(1_999));
    }
}
