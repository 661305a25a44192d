//! Which of many things a machine must look at now: those that an input touched, and those whose time has come.

use std::collections::{BTreeMap, BTreeSet};

use crate::table::Table;
use crate::time::Time;

/// An index by time, so that a machine with thousands of channels looks at the few that are due.
///
/// A change to a thing must touch it. At the end of each input the machine takes [`Self::due`], and
/// says by [`Self::set`] when each of those things is due again. A thing that is neither touched
/// nor set is never looked at.
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    touched: Vec<K>,
    by_time: BTreeSet<(Time, K)>,
    of: BTreeMap<K, Time>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self { touched: Vec::new(), by_time: BTreeSet::new(), of: BTreeMap::new() }
    }
}

impl<K: Copy + Ord> Deadlines<K> {
    /// Notes that it may be due now, or later than was said, or be gone.
    pub(crate) fn touch(&mut self, key: K) {
        self.touched.push(key);
    }

    /// Takes what was touched and what is due by `now` out of the index, in the order of the keys.
    pub(crate) fn due(&mut self, now: Time) -> Vec<K> {
        let mut due = core::mem::take(&mut self.touched);
        due.extend(self.by_time.iter().take_while(|(at, _)| *at <= now).map(|(_, key)| *key));
        due.sort_unstable();
        due.dedup();
        for key in &due {
            self.set(*key, None);
        }
        due
    }

    /// Takes what of a table is due by `now` out of the index, in the order of the keys, where what was touched has only moved:
    /// each of these is touched. `at` says when a thing is due.
    pub(crate) fn due_of<V>(&mut self, now: Time, table: &Table<K, V>, at: impl Fn(&V) -> Time) -> Vec<K> {
        self.refresh(table, at);
        let due = self.due(now);
        self.touched.extend(&due);
        due
    }

    /// Returns when something of a table is due next, likewise. Each change to the table must have been noted by a touch.
    pub(crate) fn next_of<V>(&mut self, table: &Table<K, V>, at: impl Fn(&V) -> Time) -> Option<Time> {
        self.refresh(table, &at);
        let next = self.next();
        debug_assert_eq!(next, table.values().map(at).min(), "a change was not noted");
        next
    }

    /// Sets when each thing that was touched is due next; one that is not in the table is gone.
    fn refresh<V>(&mut self, table: &Table<K, V>, at: impl Fn(&V) -> Time) {
        while let Some(key) = self.touched.pop() {
            self.set(key, table.get(&key).map(&at));
        }
    }

    /// Sets when it is due next, unless it is touched before; `None` for one that waits for
    /// nothing.
    pub(crate) fn set(&mut self, key: K, at: Option<Time>) {
        if self.of.get(&key).copied() == at {
            return;
        }
        let before = match at {
            Some(at) => self.of.insert(key, at),
            None => self.of.remove(&key),
        };
        if let Some(before) = before {
            self.by_time.remove(&(before, key));
        }
        if let Some(at) = at {
            self.by_time.insert((at, key));
        }
    }

    /// Returns the earliest time that was set.
    pub(crate) fn next(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_touched_and_what_is_due_is_looked_at_once_and_in_order() {
        let mut deadlines = Deadlines::default();
        deadlines.touch(9);
        deadlines.touch(2);
        deadlines.touch(9);
        assert_eq!(deadlines.next(), None, "what was touched is looked at with the next input");
        assert_eq!(deadlines.due(Time(0)), [2, 9]);
        deadlines.set(2, Some(Time(20)));
        deadlines.set(9, Some(Time(10)));
        deadlines.set(5, Some(Time(10)));
        assert_eq!((deadlines.next(), deadlines.due(Time(9))), (Some(Time(10)), vec![]));
        deadlines.touch(2);
        assert_eq!(deadlines.due(Time(10)), [2, 5, 9]);
        assert_eq!((deadlines.next(), deadlines.due(Time(99))), (None, vec![]), "until it is set again");
    }

    #[test]
    fn what_has_only_moved_is_due_at_its_new_time_and_until_it_is_moved_on() {
        let mut deadlines = Deadlines::default();
        let mut times = Table::default();
        for (key, at) in [(1, Time(10)), (2, Time(20))] {
            times.insert(key, at);
            deadlines.touch(key);
        }
        assert!(deadlines.due_of(Time(9), &times, |at| *at).is_empty());
        times.insert(2, Time(5));
        deadlines.touch(2);
        assert_eq!(deadlines.due_of(Time(10), &times, |at| *at), [1, 2]);
        times.remove(&1);
        assert_eq!(deadlines.due_of(Time(10), &times, |at| *at), [2], "it is due still");
        times.insert(2, Time(30));
        assert_eq!(deadlines.next_of(&times, |at| *at), Some(Time(30)));
    }

    #[test]
    fn a_later_time_replaces_an_earlier_one() {
        let mut deadlines = Deadlines::default();
        deadlines.set(1, Some(Time(10)));
        deadlines.set(1, Some(Time(30)));
        assert_eq!((deadlines.next(), deadlines.due(Time(29))), (Some(Time(30)), vec![]));
        deadlines.set(1, None);
        assert_eq!((deadlines.next(), deadlines.due(Time(30))), (None, vec![]));
    }
}
