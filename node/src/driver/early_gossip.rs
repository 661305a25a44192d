//! Gossip that comes before its author's connection, and waits for it: nobody is dialled for a stranger's question. (`NE-1`)

use std::collections::VecDeque;

use bombyx_protocol::ident::NodeId;
use bombyx_protocol::time::{Span, Time};

/// How long gossip waits for its author's connection: the author dials at the moment in which it calls.
const EARLY_PATIENCE: Span = Span::from_s(1);
/// Messages that wait for that.
const EARLY_MAX: usize = 64;
/// Of these, messages of one author.
const EARLY_EACH: usize = 2;

/// Calls and seeks whose author is not connected yet.
pub(crate) struct EarlyGossip<T> {
    /// Until when each waits, and whose it is.
    held: VecDeque<(Time, NodeId, T)>,
}

impl<T> Default for EarlyGossip<T> {
    fn default() -> Self {
        Self { held: VecDeque::new() }
    }
}

impl<T> EarlyGossip<T> {
    /// Keeps a message until its author is connected, in place of the oldest where too many wait.
    pub(crate) fn hold(&mut self, now: Time, author: NodeId, gossip: T) {
        self.held.retain(|(until, _, _)| *until > now);
        if self.held.iter().filter(|(_, other, _)| *other == author).count() >= EARLY_EACH {
            return;
        }
        if self.held.len() >= EARLY_MAX {
            tracing::debug!(
                max = EARLY_MAX,
                "too much gossip came before its author's connection; some is dropped"
            );
            self.held.pop_front();
        }
        self.held.push_back((now + EARLY_PATIENCE, author, gossip));
    }

    /// Removes and returns the messages of an author that is connected now.
    pub(crate) fn take(&mut self, now: Time, author: &NodeId) -> Vec<T> {
        let (theirs, others) =
            std::mem::take(&mut self.held).into_iter().partition(|(_, other, _)| other == author);
        self.held = others;
        let theirs: VecDeque<(Time, NodeId, T)> = theirs;
        theirs.into_iter().filter(|(until, _, _)| *until > now).map(|(_, _, gossip)| gossip).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHOR: NodeId = NodeId([1; 32]);

    fn ms(ms: u64) -> Time {
        Time(ms * 1_000)
    }

    #[test]
    fn a_call_that_came_before_its_author_waits_a_second_and_no_longer() {
        let mut early = EarlyGossip::default();
        early.hold(ms(0), AUTHOR, "first");
        assert!(early.take(ms(500), &NodeId([9; 32])).is_empty());
        assert_eq!(early.take(ms(500), &AUTHOR), ["first"]);
        assert!(early.take(ms(500), &AUTHOR).is_empty(), "once");
        early.hold(ms(500), AUTHOR, "second");
        assert!(early.take(ms(1_500), &AUTHOR).is_empty());
    }

    #[test]
    fn calls_without_a_connection_take_little_room() {
        let mut early = EarlyGossip::default();
        for author in 0..u8::MAX {
            for _ in 0..EARLY_EACH * 2 {
                early.hold(ms(0), NodeId([author; 32]), ());
            }
        }
        assert_eq!(early.held.len(), EARLY_MAX);
        assert_eq!(early.take(ms(1), &NodeId([u8::MAX - 1; 32])).len(), EARLY_EACH);
    }
}
