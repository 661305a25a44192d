//! An ordered map for a few entries: a sorted vector that takes little more room than what is in it.
//!
//! A node of the standard library's map has room for eleven entries from the first one on, and a machine holds a dozen maps
//! of one or two. Here a lookup is a binary search and an insertion moves what lies behind it, so it is for maps that
//! a limit keeps small, or whose entries are.

/// A map from `K` to `V`, iterated in the order of the keys.
#[derive(Debug, Clone)]
pub struct Table<K, V> {
    entries: Vec<(K, V)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<K: Ord, V> Table<K, V> {
    /// Returns how many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns whether a key has an entry.
    #[must_use]
    pub fn contains_key(&self, key: &K) -> bool {
        self.find(key).is_ok()
    }

    /// Returns the value of a key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        let place = self.find(key).ok()?;
        self.entries.get(place).map(|(_, value)| value)
    }

    /// Returns the value of a key, to change it.
    #[must_use]
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = self.find(key).ok()?;
        self.entries.get_mut(place).map(|(_, value)| value)
    }

    /// Gives a key this value. Returns the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(place) => self.entries.get_mut(place).map(|(_, known)| core::mem::replace(known, value)),
            Err(place) => {
                if self.entries.len() == self.entries.capacity() {
                    // Half as much again: twice would leave a third of all memory unused on the average.
                    self.entries.reserve_exact((self.entries.len() >> 1).saturating_add(1));
                }
                self.entries.insert(place, (key, value));
                None
            }
        }
    }

    /// Takes a key's entry out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let place = self.find(key).ok()?;
        let (_, value) = self.entries.remove(place);
        self.shrink();
        Some(value)
    }

    /// Keeps the entries that `keeps` says yes to.
    pub fn retain(&mut self, mut keeps: impl FnMut(&K, &mut V) -> bool) {
        self.entries.retain_mut(|(key, value)| keeps(key, value));
        self.shrink();
    }

    /// Returns all entries.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// Returns all entries, to change their values.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&K, &mut V)> {
        self.entries.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// Returns all keys.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.entries.iter().map(|(key, _)| key)
    }

    /// Returns all values.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// Returns all values, to change them.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> {
        self.entries.iter_mut().map(|(_, value)| value)
    }

    fn find(&self, key: &K) -> Result<usize, usize> {
        self.entries.binary_search_by(|(known, _)| known.cmp(key))
    }

    /// Gives back what a burst took.
    fn shrink(&mut self) {
        let count = self.entries.len();
        if count <= self.entries.capacity() >> 2 {
            self.entries.shrink_to(count.saturating_mul(2));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        /// Against the map of the standard library, step by step.
        #[test]
        fn it_does_what_an_ordered_map_does_and_wastes_little(
            steps in prop::collection::vec((0u8..40, 0u32..9, any::<u16>()), 0..200)
        ) {
            let (mut table, mut model) = (Table::default(), BTreeMap::new());
            for (key, step, value) in steps {
                match step {
                    0..=4 => prop_assert_eq!(table.insert(key, value), model.insert(key, value)),
                    5..=6 => prop_assert_eq!(table.remove(&key), model.remove(&key)),
                    7 => {
                        table.retain(|key, value| u16::from(*key) < *value % 40);
                        model.retain(|key, value| u16::from(*key) < *value % 40);
                    }
                    _ => {
                        prop_assert_eq!(table.get_mut(&key), model.get_mut(&key));
                        table.values_mut().for_each(|value| *value ^= 1);
                        model.values_mut().for_each(|value| *value ^= 1);
                    }
                }
                prop_assert!(table.iter().eq(model.iter()));
                prop_assert_eq!((table.get(&key), table.contains_key(&key)), (model.get(&key), model.contains_key(&key)));
                prop_assert_eq!((table.len(), table.is_empty()), (model.len(), model.is_empty()));
                prop_assert!(table.entries.capacity() <= 4 * table.len() + 4);
            }
        }
    }
}
