//! Whom a provider has answered, and until when they may count on what it said.

use crate::ident::NodeId;
use crate::limits;
use crate::table::Table;
use crate::time::Time;

/// The nodes that are told when this one leaves. (`MK-61`)
#[derive(Debug, Default)]
pub(super) struct Told {
    until: Table<NodeId, Time>,
}

impl Told {
    /// Notes that a client was told something that holds until then. Where there are too many, the
    /// one for whom it ends first is not told of the end.
    pub(super) fn note(&mut self, now: Time, client: NodeId, until: Time) {
        let known = self.until.get(&client).copied();
        if known.is_none() && self.until.len() >= limits::TOLD_MAX {
            self.until.retain(|_, until| *until > now);
        }
        if known.is_none() && self.until.len() >= limits::TOLD_MAX {
            let first = self.until.iter().min_by_key(|(_, until)| **until).map(|(client, _)| *client);
            first.and_then(|first| self.until.remove(&first));
        }
        self.until.insert(client, known.map_or(until, |known| known.max(until)));
    }

    /// Returns those who may still count on something, once.
    pub(super) fn take(&mut self, now: Time) -> Vec<NodeId> {
        let told = core::mem::take(&mut self.until);
        told.iter().filter(|(_, until)| **until > now).map(|(client, _)| *client).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u64) -> NodeId {
        let mut node = [0; 32];
        node[..8].copy_from_slice(&number.to_le_bytes());
        NodeId(node)
    }

    /// (`MK-61`)
    #[test]
    fn who_was_answered_last_is_told_of_the_end_once() {
        let mut told = Told::default();
        told.note(Time(0), client(1), Time(9));
        told.note(Time(0), client(1), Time(5));
        told.note(Time(0), client(2), Time(5));
        assert_eq!(told.take(Time(5)), [client(1)]);
        assert!(told.take(Time(5)).is_empty());
    }

    /// (`MK-61`)
    #[test]
    fn who_is_told_is_bounded_and_it_is_the_latest() {
        let mut told = Told::default();
        let most = limits::TOLD_MAX as u64;
        for number in 0..2 * most {
            told.note(Time(number), client(number), Time(number + 10 * most));
        }
        assert_eq!(told.until.len(), limits::TOLD_MAX);
        let taken = told.take(Time(2 * most));
        assert!((most..2 * most).all(|number| taken.contains(&client(number))));
    }
}
