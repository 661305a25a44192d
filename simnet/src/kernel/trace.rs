//! What a digest knows of the events of a run: a sum over all of them, so that it does not matter who counts which first.

use crate::kernel::queue::Key;
use crate::kernel::rng::fold;

/// A number that depends on every event's key and on every byte that was sent in it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Trace {
    /// Events so far.
    pub(crate) events: u64,
    /// The sum over all events before the current one.
    sum: u64,
    /// The number of the current event.
    current: u64,
}

impl Trace {
    /// Begins an event.
    pub(crate) fn begin(&mut self, key: &Key) {
        let who = u64::from(key.dst) << 32 | u64::from(key.src);
        let what = key.id.rotate_left(24) ^ u64::from(key.kind) << 56 ^ key.at.0;
        self.sum = self.total();
        self.current = fold(fold(0, what), who);
        self.events += 1;
    }

    /// Records that a message is sent in the event under way.
    pub(crate) fn said(&mut self, encoded: &[u8]) {
        self.current = fold(self.current, content_hash(encoded));
    }

    /// Returns a number for all events so far.
    pub(crate) const fn total(&self) -> u64 {
        self.sum.wrapping_add(self.current)
    }

    /// Returns the events of both.
    pub(crate) const fn join(&self, other: &Self) -> Self {
        let sum = self.total().wrapping_add(other.total());
        Self { events: self.events + other.events, sum, current: 0 }
    }
}

/// Returns a number that depends on every byte of a message. Four lanes take turns at its words, as
/// a processor can work on all of them at a time.
fn content_hash(encoded: &[u8]) -> u64 {
    // An odd factor and a rotation lose nothing: one word changed is always another state.
    let absorb = |lane: u64, word: &[u8; 8]| {
        (lane ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    };
    let (words, rest) = encoded.as_chunks::<8>();
    let (fours, words) = words.as_chunks::<4>();
    let [mut a, mut b, mut c, mut d] = [encoded.len() as u64, 1, 2, 3];
    for [one, two, three, four] in fours {
        (a, b, c, d) = (absorb(a, one), absorb(b, two), absorb(c, three), absorb(d, four));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    b = words.iter().chain([&last]).fold(b, absorb);
    fold(fold(a, b), fold(c, d))
}

#[cfg(test)]
mod tests {
    use bombyx_protocol::time::Time;

    use super::*;

    #[test]
    fn a_content_hash_depends_on_every_byte() {
        let bytes: Vec<u8> = (0..37).collect();
        for place in 0..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 1;
            assert_ne!(content_hash(&bytes), content_hash(&other), "{place}");
            assert_ne!(content_hash(&bytes), content_hash(&bytes[..place]));
        }
    }

    #[test]
    fn a_trace_is_the_same_however_its_events_are_divided_and_another_for_any_other_event() {
        let of = |events: &[(u64, u8)]| {
            let mut trace = Trace::default();
            for (id, said) in events {
                trace.begin(&Key { at: Time(9), kind: 1, dst: 2, src: 3, id: *id });
                trace.said(&[*said]);
            }
            trace
        };
        let (all, one, other) = (of(&[(1, 10), (2, 20), (3, 30)]), of(&[(3, 30), (1, 10)]), of(&[(2, 20)]));
        assert_eq!(all.total(), one.join(&other).total());
        assert_eq!((all.events, other.join(&one).events), (3, 3));
        assert_ne!(all.total(), of(&[(1, 20), (2, 10), (3, 30)]).total(), "who said what counts");
        assert_ne!(all.total(), of(&[(1, 10), (2, 20)]).total());
    }
}
