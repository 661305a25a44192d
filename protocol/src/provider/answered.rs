//! The calls and seeks that were answered, so that a second copy is not answered twice.

use crate::ident::NodeId;
use crate::limits;
use crate::table::Table;
use crate::time::Time;

/// Dedup key of a call or a seek: eight bytes of the hash of caller and id. Eight are enough, because silencing an answer
/// takes a second call of the same key while the real one, whose id is random, is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RequestKey(u64);

impl RequestKey {
    fn of(client: &NodeId, id: &[u8; 16]) -> Self {
        Self(client.draw(id))
    }
}

/// The calls and seeks that were answered lately, in two generations.
#[derive(Debug, Default)]
pub(super) struct AnsweredRequests {
    late: Table<RequestKey, ()>,
    before: Table<RequestKey, ()>,
    /// When the first of the late ones came.
    since: Time,
}

impl AnsweredRequests {
    /// Returns the dedup key if this call or seek has not been answered, `None` if it has. (`MK-4`)
    #[must_use]
    pub(super) fn unseen(&self, client: &NodeId, id: &[u8; 16]) -> Option<RequestKey> {
        let key = RequestKey::of(client, id);
        let is_known = self.late.contains_key(&key) || self.before.contains_key(&key);
        (!is_known).then_some(key)
    }

    /// Remembers a call or a seek as answered.
    pub(super) fn insert(&mut self, now: Time, key: RequestKey) {
        if now >= self.since + limits::CALL_SEEN || self.late.len() >= limits::CALLS_SEEN_MAX {
            self.before = core::mem::take(&mut self.late);
        }
        if self.late.is_empty() {
            self.since = now;
        }
        self.late.insert(key, ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    fn id(number: u64) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        id
    }

    fn knows(seen: &AnsweredRequests, client: NodeId, number: u64) -> bool {
        seen.unseen(&client, &id(number)).is_none()
    }

    fn answer(seen: &mut AnsweredRequests, now: Time, client: NodeId, number: u64) {
        let key = seen.unseen(&client, &id(number)).expect("it was not answered before");
        seen.insert(now, key);
    }

    /// (`MK-4`)
    #[test]
    fn the_last_calls_are_known_by_client_and_id_and_old_ones_forgotten() {
        let most = u64::try_from(limits::CALLS_SEEN_MAX).expect("a small number");
        let (mut seen, client, other) = (AnsweredRequests::default(), NodeId([1; 32]), NodeId([2; 32]));
        for number in 0..3 * most {
            answer(&mut seen, Time(0), client, number);
            assert!(knows(&seen, client, number) && !knows(&seen, other, number));
            assert!(knows(&seen, client, (number + 1).saturating_sub(most)));
        }
        assert!(!knows(&seen, client, 0));
    }

    /// (`MK-4`)
    #[test]
    fn a_call_is_known_as_long_as_a_copy_can_be_fresh_and_its_memory_given_back_later() {
        let (mut seen, client) = (AnsweredRequests::default(), NodeId([1; 32]));
        let second = |number: u64| Time(0) + Span::from_s(number);
        let known = limits::CALL_SEEN.0 / 1_000_000;
        for number in 0..10 * known {
            answer(&mut seen, second(number), client, number);
            assert!((number.saturating_sub(known)..=number).all(|number| knows(&seen, client, number)));
            let kept = seen.late.len() + seen.before.len();
            assert!(kept as u64 <= 2 * known + 1, "{kept} after {number} s");
        }
    }
}
