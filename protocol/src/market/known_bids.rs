//! What was bid to a client lately: whom it can call directly, and what it knows of prices.

use core::ops::RangeInclusive;
use std::collections::BTreeMap;

use crate::ident::{NodeId, Prefix};
use crate::limits;
use crate::market::bid::Bid;
use crate::market::call::Classes;
use crate::market::class_prices::ClassPrices;
use crate::time::Time;
use crate::work::order::ModelId;
use crate::work::price::Price;

/// What each bid last for each model, [`limits::BIDS_KNOWN_MAX`] of them. (`MK-66`)
#[derive(Debug, Default)]
pub(super) struct KnownBids {
    bids: BTreeMap<(ModelId, NodeId), KnownBid>,
}

/// What a provider bid last.
#[derive(Debug, Clone)]
pub(super) struct KnownBid {
    pub(super) price: Price,
    pub(super) prefix: Prefix,
    /// Whether it had served this client.
    is_proven: bool,
    until: Time,
    /// What it bid last for tasks of each class. (`MK-64`)
    by_class: ClassPrices,
}

impl KnownBids {
    /// Notes a bid for a task of these classes, if there is room for it.
    pub(super) fn note(&mut self, now: Time, prefix: Prefix, is_proven: bool, classes: Classes, bid: &Bid) {
        let (key, until) = ((bid.model, bid.provider), now + limits::BID_KNOWN);
        let mut by_class = self.bids.remove(&key).map(|before| before.by_class).unwrap_or_default();
        by_class.note(now, classes, bid.price, until);
        // Those that have served leave half of it to others.
        let proven = || self.bids.values().filter(|known| known.is_proven).count();
        let is_proven = is_proven && proven() < limits::BIDS_KNOWN_MAX / 2;
        if self.makes_room(now, prefix, is_proven) {
            self.bids.insert(key, KnownBid { price: bid.price, prefix, is_proven, until, by_class });
        }
    }

    /// Returns whether there is room for one more. Where there is none, it takes the place of a stranger's: the oldest of the
    /// prefix that holds most, or of its own where that holds as many.
    fn makes_room(&mut self, now: Time, prefix: Prefix, is_proven: bool) -> bool {
        if self.bids.len() < limits::BIDS_KNOWN_MAX {
            return true;
        }
        self.bids.retain(|_, known| known.until > now);
        if self.bids.len() < limits::BIDS_KNOWN_MAX {
            return true;
        }
        let mut counts: BTreeMap<Prefix, usize> = BTreeMap::new();
        for known in self.bids.values().filter(|known| !known.is_proven) {
            let count = counts.entry(known.prefix).or_default();
            *count = count.saturating_add(1);
        }
        let own = counts.get(&prefix).copied().filter(|_| !is_proven).unwrap_or(0);
        let crowded = counts.iter().max_by_key(|(_, count)| **count).filter(|(_, most)| **most > own);
        let crowded = crowded.map_or(prefix, |(crowded, _)| *crowded);
        let of_it = |known: &KnownBid| !known.is_proven && known.prefix == crowded;
        let oldest = self.bids.iter().filter(|(_, known)| of_it(known)).min_by_key(|(_, known)| known.until);
        oldest.map(|(key, _)| *key).is_some_and(|key| self.bids.remove(&key).is_some())
    }

    /// Returns who has bid for a model, and what.
    pub(super) fn of(&self, now: Time, model: &ModelId) -> impl Iterator<Item = (NodeId, &KnownBid)> {
        let standing = self.bids.range(all_of(model)).filter(move |(_, known)| known.until > now);
        standing.map(|((_, provider), known)| (*provider, known))
    }

    /// Returns what a provider bid last for a task of these classes, if that is recent. (`MK-64`)
    pub(super) fn price(
        &self,
        now: Time,
        model: &ModelId,
        provider: &NodeId,
        classes: Classes,
    ) -> Option<Price> {
        self.bids.get(&(*model, *provider))?.by_class.price(now, classes)
    }

    /// Forgets what a provider has bid.
    pub(super) fn forget(&mut self, provider: &NodeId) {
        self.bids.retain(|(_, other), _| other != provider);
    }
}

/// Returns the keys of one model.
pub(super) fn all_of(model: &ModelId) -> RangeInclusive<(ModelId, NodeId)> {
    (*model, NodeId([0; 32]))..=(*model, NodeId([255; 32]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    const MODEL: ModelId = ModelId([1; 32]);
    const CLASSES: Classes = Classes { input_log2: 8, output_log2: 6 };

    fn bid(provider: u64) -> Bid {
        let mut node = [0; 32];
        node[..8].copy_from_slice(&provider.to_le_bytes());
        Bid { provider: NodeId(node), model: MODEL, ..Bid::for_tests() }
    }

    fn prefix(number: u64) -> Prefix {
        let [a, b, c, ..] = number.to_le_bytes();
        Prefix::of_ipv4([a, b, c, 1])
    }

    /// (`MK-66`)
    #[test]
    fn bids_of_strangers_drive_out_none_of_those_that_have_served_and_none_of_other_strangers() {
        let (mut known, friend, neighbour) = (KnownBids::default(), 1_000_000, 1_000_001);
        known.note(Time(0), prefix(1_000), true, CLASSES, &bid(friend));
        known.note(Time(1), prefix(2_000), false, CLASSES, &bid(neighbour));
        // Of two prefixes, or of one each.
        for prefixes in [2, 2 * limits::BIDS_KNOWN_MAX as u64] {
            for stranger in 0..2 * limits::BIDS_KNOWN_MAX as u64 {
                known.note(Time(2), prefix(stranger % prefixes), false, CLASSES, &bid(stranger));
            }
            assert_eq!(known.bids.len(), limits::BIDS_KNOWN_MAX);
            let knows = |provider: u64| known.bids.contains_key(&(MODEL, bid(provider).provider));
            assert!(knows(friend));
            assert_eq!(knows(neighbour), prefixes == 2, "only who has as many prefixes gets its place");
        }
        known.note(Time(3), prefix(1_000), true, CLASSES, &bid(friend + 5));
        assert_eq!(known.bids.values().filter(|known| known.is_proven).count(), 2, "it finds room");
        for friend in 0..2 * limits::BIDS_KNOWN_MAX as u64 {
            known.note(Time(3), prefix(friend), true, CLASSES, &bid(friend));
        }
        let proven = known.bids.values().filter(|known| known.is_proven).count();
        assert_eq!((proven, known.bids.len()), (limits::BIDS_KNOWN_MAX / 2, limits::BIDS_KNOWN_MAX));
        known.note(Time(4) + limits::BID_KNOWN, prefix(3_000), false, CLASSES, &bid(neighbour));
        assert_eq!(known.bids.len(), 1, "what is old makes room first");
        assert_eq!(known.of(Time(4) + limits::BID_KNOWN + Span(1), &MODEL).count(), 1);
    }

    /// (`MK-64`)
    #[test]
    fn of_each_class_the_last_price_is_known_and_of_few_classes_at_a_time() {
        let mut known = KnownBids::default();
        let class = |log2: u8| Classes { input_log2: log2, output_log2: 6 };
        let mut bids = |at: u64, log2: u8, price: u64| {
            known.note(Time(at), prefix(1), false, class(log2), &Bid { price: Price(price), ..bid(1) });
        };
        bids(1, 8, 10);
        bids(2, 9, 20);
        bids(3, 8, 11);
        (10..13).for_each(|log2| bids(4, log2, 30));
        let price =
            |log2: u8, at: Time| known.price(at, &MODEL, &bid(1).provider, class(log2)).map(|it| it.0);
        assert_eq!(
            [8, 9, 10, 12, 13].map(|log2| price(log2, Time(5))),
            [Some(11), None, Some(30), Some(30), None]
        );
        assert_eq!(price(8, Time(3) + limits::BID_KNOWN), None, "each for its own time");
        assert_eq!(price(12, Time(3) + limits::BID_KNOWN), Some(30));
    }
}
