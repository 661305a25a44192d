//! What a storm did before, some of which it tries again.

use rand::RngExt as _;
use rand::rngs::StdRng;

/// Past acts that are kept.
const MEMORY: usize = 64;

pub(crate) struct Past<A>(Vec<A>);

impl<A: Clone> Past<A> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// One of them, now and then.
    pub(crate) fn recall(&self, rng: &mut StdRng) -> Option<A> {
        let again = !self.0.is_empty() && rng.random_ratio(1, 8);
        again.then(|| self.0[rng.random_range(0..self.0.len())].clone())
    }

    /// Remembers an act, in the place of any other where there are many.
    pub(crate) fn keep(&mut self, act: A, rng: &mut StdRng) {
        if self.0.len() < MEMORY {
            self.0.push(act);
        } else {
            let at = rng.random_range(0..MEMORY);
            self.0[at] = act;
        }
    }
}
