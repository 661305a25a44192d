//! Which frame numbers were opened already: a sliding bitmap of constant size, in the manner of RFC 6479.

/// How far behind the highest opened frame number a late frame may be, in frames. A power of two.
pub const REPLAY_WINDOW: u64 = 1024;

const WORD_BITS: u64 = 64;
const WORDS: usize = (REPLAY_WINDOW / WORD_BITS) as usize;

/// The frame numbers that were opened, as far back as [`REPLAY_WINDOW`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// One more than the highest number opened.
    next: u64,
    /// Bit `n % REPLAY_WINDOW` tells of the latest number `n` at that place.
    seen: [u64; WORDS],
}

/// Why a frame number cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stale {
    /// It was opened before.
    Replayed,
    /// It is so far back that nobody remembers whether it was opened.
    TooOld,
}

impl Window {
    pub(super) const fn new() -> Self {
        Self { next: 0, seen: [0; WORDS] }
    }

    /// Returns whether frame `nonce` may still be opened. Changes nothing.
    pub(super) fn check(&self, nonce: u64) -> Result<(), Stale> {
        if nonce >= self.next {
            Ok(())
        } else if self.next.saturating_sub(nonce) > REPLAY_WINDOW {
            Err(Stale::TooOld)
        } else if self.seen.get(word(nonce)).is_some_and(|seen| seen & bit(nonce) != 0) {
            Err(Stale::Replayed)
        } else {
            Ok(())
        }
    }

    /// Remembers that frame `nonce`, which [`Self::check`] let pass, was opened.
    pub(super) fn mark(&mut self, nonce: u64) {
        // The numbers that enter the window take over the places of those that leave it.
        for entered in (self.next..=nonce).rev().take(REPLAY_WINDOW as usize) {
            if let Some(seen) = self.seen.get_mut(word(entered)) {
                *seen &= !bit(entered);
            }
        }
        if let Some(seen) = self.seen.get_mut(word(nonce)) {
            *seen |= bit(nonce);
        }
        self.next = self.next.max(nonce.saturating_add(1));
    }
}

const fn word(nonce: u64) -> usize {
    ((nonce % REPLAY_WINDOW) / WORD_BITS) as usize
}

const fn bit(nonce: u64) -> u64 {
    1 << (nonce % WORD_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `SE-16`: at both edges of the window.
    #[test]
    fn the_window_ends_exactly_where_its_limit_says() {
        let mut window = Window::new();
        let highest = 5 * REPLAY_WINDOW + 17;
        window.mark(highest);
        assert_eq!(window.check(highest), Err(Stale::Replayed));
        assert_eq!(window.check(highest + 1), Ok(()));
        assert_eq!(window.check(highest + 1 - REPLAY_WINDOW), Ok(()));
        assert_eq!(window.check(highest - REPLAY_WINDOW), Err(Stale::TooOld));
        window.mark(highest + 1 - REPLAY_WINDOW);
        assert_eq!(window.check(highest + 1 - REPLAY_WINDOW), Err(Stale::Replayed));
    }

    #[test]
    fn places_are_free_again_when_the_window_moves_on() {
        let mut window = Window::new();
        (0..REPLAY_WINDOW).for_each(|nonce| window.mark(nonce));
        assert!((0..REPLAY_WINDOW).all(|nonce| window.check(nonce) == Err(Stale::Replayed)));
        window.mark(REPLAY_WINDOW + 9);
        assert!((REPLAY_WINDOW..REPLAY_WINDOW + 9).all(|nonce| window.check(nonce) == Ok(())));
        (REPLAY_WINDOW..REPLAY_WINDOW + 9).for_each(|nonce| window.mark(nonce));
    }
}
