//! Provider records of others: which are kept, for how long, and in what order they are told.
//!
//! A record costs nothing to make, so nobody's number of records decides who is found: a key that has all the records it may
//! have loses one of the prefix with the most for one of a prefix with fewer, and an answer names all prefixes in
//! turn, because it holds fewer records than a key may have. (`NE-5`)

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use bombyx_protocol::ident::Prefix;
use libp2p::kad::store::{Error, RecordStore, Result};
use libp2p::kad::{ProviderRecord, Record, RecordKey};
use libp2p::{Multiaddr, PeerId};
use rand::seq::SliceRandom as _;
use web_time::Instant;

use super::excess::Excess;
use super::places::lower;
use super::{limits, prefix};

/// Bytes of a key: a model's or a topic's hash.
const KEY_BYTES: usize = 32;

/// The provider records of this node and those that it keeps for others.
pub(super) struct Records {
    own: PeerId,
    /// The key of all that sell, which has more records than others.
    market: RecordKey,
    keys: HashMap<RecordKey, Vec<Kept>>,
    provided: Vec<ProviderRecord>,
    count: usize,
    by_provider: BTreeMap<PeerId, usize>,
    by_prefix: BTreeMap<Prefix, usize>,
    excess: Excess,
}

struct Kept {
    record: ProviderRecord,
    prefix: Prefix,
    since: Instant,
}

impl Records {
    pub(super) fn new(own: PeerId, market: &[u8; 32]) -> Self {
        Self {
            own,
            market: RecordKey::new(market),
            keys: HashMap::new(),
            provided: Vec::new(),
            count: 0,
            by_provider: BTreeMap::new(),
            by_prefix: BTreeMap::new(),
            excess: Excess::of("provider records"),
        }
    }

    /// Keeps a record that its provider sent from this prefix, with the addresses that may be believed, or not: libp2p has
    /// already checked that it speaks for its sender alone.
    pub(super) fn admit(
        &mut self,
        mut record: ProviderRecord,
        mut addresses: Vec<Multiaddr>,
        prefix: Prefix,
        now: Instant,
    ) {
        if record.key.as_ref().len() != KEY_BYTES || record.provider == self.own {
            return;
        }
        addresses.truncate(limits::RECORD_ADDRESSES);
        record.addresses = addresses;
        let longest = now + limits::RECORD_TTL;
        record.expires = Some(record.expires.map_or(longest, |expires| expires.min(longest)));
        let known = self.keys.get_mut(&record.key);
        if let Some(kept) =
            known.and_then(|kept| kept.iter_mut().find(|kept| kept.record.provider == record.provider))
        {
            if kept.prefix == prefix {
                kept.record = record;
                return;
            }
            // It is somewhere else by now, and has the share of that prefix, if it has any.
            self.remove_provider(&record.key, &record.provider);
        }
        let of_provider = self.by_provider.get(&record.provider).copied().unwrap_or(0);
        let of_prefix = self.by_prefix.get(&prefix).copied().unwrap_or(0);
        let free = limits::RECORDS_MAX.saturating_sub(self.count);
        if of_provider >= limits::RECORDS_PER_PEER || of_prefix >= free || !self.has_room(&record.key, prefix)
        {
            self.excess.note(prefix, now);
            return;
        }
        self.count += 1;
        *self.by_provider.entry(record.provider).or_default() += 1;
        *self.by_prefix.entry(prefix).or_default() += 1;
        self.keys.entry(record.key.clone()).or_default().push(Kept { record, prefix, since: now });
    }

    /// Returns whether a key takes another record of a prefix; makes room at the cost of the prefix
    /// with the most.
    fn has_room(&mut self, key: &RecordKey, prefix: Prefix) -> bool {
        let room = if *key == self.market { limits::MARKET_RECORDS_MAX } else { limits::PROVIDERS_PER_KEY };
        let Some(kept) = self.keys.get(key).filter(|kept| kept.len() >= room) else {
            return true;
        };
        let counts = prefix::counts(kept.iter().map(|kept| kept.prefix));
        let own = counts.get(&prefix).copied().unwrap_or(0);
        let most = counts.values().copied().max().unwrap_or(0);
        if most < own + 2 {
            return false;
        }
        let of_the_most = kept.iter().filter(|kept| counts.get(&kept.prefix) == Some(&most));
        let youngest = of_the_most.max_by_key(|kept| kept.since).map(|kept| kept.record.provider);
        youngest.inspect(|provider| self.remove_provider(key, provider)).is_some()
    }

    /// Removes what has expired.
    pub(super) fn sweep(&mut self, now: Instant) {
        let dead: Vec<(RecordKey, PeerId)> = self
            .keys
            .values()
            .flatten()
            .filter(|kept| kept.record.is_expired(now))
            .map(|kept| (kept.record.key.clone(), kept.record.provider))
            .collect();
        dead.iter().for_each(|(key, provider)| self.remove_provider(key, provider));
    }
}

impl RecordStore for Records {
    type RecordsIter<'a> = std::iter::Empty<Cow<'a, Record>>;
    type ProvidedIter<'a> = std::vec::IntoIter<Cow<'a, ProviderRecord>>;

    fn get(&self, _key: &RecordKey) -> Option<Cow<'_, Record>> {
        None
    }

    /// Values are not kept for anybody.
    fn put(&mut self, _record: Record) -> Result<()> {
        Err(Error::MaxRecords)
    }

    fn remove(&mut self, _key: &RecordKey) {}

    fn records(&self) -> Self::RecordsIter<'_> {
        std::iter::empty()
    }

    /// Adds a record of this node itself; those of others come by [`Records::admit`].
    fn add_provider(&mut self, record: ProviderRecord) -> Result<()> {
        self.provided.retain(|own| own.key != record.key);
        if self.provided.len() >= limits::PROVIDED_MAX {
            return Err(Error::MaxProvidedKeys);
        }
        self.provided.push(record);
        Ok(())
    }

    /// Returns all prefixes in turn, each one's records in an order of chance, this node's own
    /// first.
    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        let mut by_prefix: BTreeMap<Prefix, Vec<&ProviderRecord>> = BTreeMap::new();
        for kept in self.keys.get(key).into_iter().flatten() {
            by_prefix.entry(kept.prefix).or_default().push(&kept.record);
        }
        let mut ranked: Vec<(usize, &ProviderRecord)> = Vec::new();
        for records in by_prefix.values_mut() {
            records.shuffle(&mut rand::rng());
            ranked.extend(records.iter().copied().enumerate());
        }
        ranked.shuffle(&mut rand::rng());
        ranked.sort_by_key(|(rank, _)| *rank);
        let own = self.provided.iter().filter(|own| own.key == *key);
        let told = ranked.into_iter().map(|(_, record)| record).take(limits::PROVIDERS_PER_KEY);
        own.chain(told).cloned().collect()
    }

    fn provided(&self) -> Self::ProvidedIter<'_> {
        self.provided.iter().map(Cow::Borrowed).collect::<Vec<_>>().into_iter()
    }

    fn remove_provider(&mut self, key: &RecordKey, provider: &PeerId) {
        if *provider == self.own {
            self.provided.retain(|own| own.key != *key);
            return;
        }
        let Some(kept) = self.keys.get_mut(key) else { return };
        let Some(place) = kept.iter().position(|kept| kept.record.provider == *provider) else { return };
        let gone = kept.swap_remove(place);
        if kept.is_empty() {
            self.keys.remove(key);
        }
        self.count = self.count.saturating_sub(1);
        lower(&mut self.by_provider, provider);
        lower(&mut self.by_prefix, &gone.prefix);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> RecordKey {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_le_bytes());
        RecordKey::new(&key)
    }

    fn prefix(number: u8) -> Prefix {
        Prefix::of_ipv4([127, 0, number, 1])
    }

    fn records() -> Records {
        Records::new(PeerId::random(), &[0xff; 32])
    }

    fn admit(records: &mut Records, key: RecordKey, provider: PeerId, prefix: Prefix) {
        let addresses = vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap(); 20];
        records.admit(ProviderRecord::new(key, provider, Vec::new()), addresses, prefix, Instant::now());
    }

    #[test]
    fn a_record_is_kept_with_bounded_addresses_and_life_and_swept_after_it() {
        let mut records = records();
        let (provider, now) = (PeerId::random(), Instant::now());
        admit(&mut records, key(1), provider, prefix(1));
        let kept = records.providers(&key(1));
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].addresses.len(), limits::RECORD_ADDRESSES);
        assert!(kept[0].expires.is_some_and(|at| at <= now + limits::RECORD_TTL * 2));
        records.sweep(now + limits::RECORD_TTL * 2);
        assert!(records.providers(&key(1)).is_empty());
        assert!(records.count == 0 && records.by_prefix.is_empty() && records.by_provider.is_empty());
    }

    #[test]
    fn odd_keys_and_greedy_peers_are_refused() {
        let mut records = records();
        let greedy = PeerId::random();
        admit(&mut records, RecordKey::new(b"short"), greedy, prefix(1));
        assert_eq!(records.count, 0);
        for number in 0..u32::try_from(limits::RECORDS_PER_PEER).unwrap() + 10 {
            admit(&mut records, key(number), greedy, prefix(1));
        }
        assert_eq!(records.count, limits::RECORDS_PER_PEER);
        admit(&mut records, key(1), PeerId::random(), prefix(1));
        assert_eq!(records.count, limits::RECORDS_PER_PEER + 1, "others are not affected");
    }

    /// (`NE-5`)
    #[test]
    fn a_key_full_of_one_prefix_has_room_for_another_and_tells_of_it_early() {
        let mut records = records();
        for _ in 0..limits::PROVIDERS_PER_KEY * 2 {
            admit(&mut records, key(1), PeerId::random(), prefix(1));
        }
        assert_eq!(records.count, limits::PROVIDERS_PER_KEY);
        let honest = PeerId::random();
        admit(&mut records, key(1), honest, prefix(2));
        assert_eq!(records.count, limits::PROVIDERS_PER_KEY);
        for _ in 0..100 {
            let told = records.providers(&key(1));
            assert!(told[..2].iter().any(|record| record.provider == honest));
        }
        for _ in 0..limits::PROVIDERS_PER_KEY * 2 {
            admit(&mut records, key(1), PeerId::random(), prefix(1));
        }
        assert!(records.providers(&key(1)).iter().any(|record| record.provider == honest), "and it stays");
    }

    /// In an honest network more sell something than provide any one model. (`NE-14`)
    #[test]
    fn the_key_of_all_that_sell_has_more_room_and_tells_of_all_of_them_in_time() {
        let mut records = records();
        let market = records.market.clone();
        let providers: Vec<PeerId> = (0..200).map(|_| PeerId::random()).collect();
        for (number, provider) in (0u8..).zip(&providers) {
            admit(&mut records, market.clone(), *provider, prefix(number));
        }
        assert_eq!(records.count, providers.len());
        let mut told = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let answer = records.providers(&market);
            assert_eq!(answer.len(), limits::PROVIDERS_PER_KEY);
            told.extend(answer.into_iter().map(|record| record.provider));
        }
        assert_eq!(told.len(), providers.len());
    }

    /// (`NE-2`)
    #[test]
    fn one_prefix_fills_half_of_the_shelf_and_no_more() {
        let mut records = records();
        for number in 0..u32::try_from(limits::RECORDS_MAX).unwrap() {
            admit(&mut records, key(number), PeerId::random(), prefix(1));
        }
        assert_eq!(records.count, limits::RECORDS_MAX / 2);
        admit(&mut records, key(0), PeerId::random(), prefix(2));
        assert_eq!(records.count, limits::RECORDS_MAX / 2 + 1);
    }

    /// (`NE-2`, `NE-5`)
    #[test]
    fn a_record_counts_where_its_provider_is_now() {
        let mut records = records();
        let keys = limits::PROVIDERS_PER_KEY;
        let crowd: Vec<PeerId> = (0..keys).map(|_| PeerId::random()).collect();
        for (number, provider) in (0..).zip(&crowd) {
            admit(&mut records, key(1), *provider, prefix(number));
        }
        // Each was seen once from a prefix of its own, and is at home in one.
        for provider in &crowd {
            admit(&mut records, key(1), *provider, prefix(255));
        }
        assert_eq!((records.count, records.by_prefix.len()), (keys, 1));
        let honest = [PeerId::random(), PeerId::random()];
        for (number, provider) in (1..).zip(honest) {
            admit(&mut records, key(1), provider, prefix(number));
        }
        let told = records.providers(&key(1));
        assert!(honest.iter().all(|honest| told[..3].iter().any(|record| record.provider == *honest)));
    }

    #[test]
    fn own_records_are_apart_and_never_come_from_others() {
        let mut records = records();
        let own = records.own;
        records.add_provider(ProviderRecord::new(key(1), own, Vec::new())).unwrap();
        admit(&mut records, key(1), own, prefix(1));
        assert_eq!((records.providers(&key(1)).len(), records.provided().count()), (1, 1));
        records.remove_provider(&key(1), &own);
        assert!(records.providers(&key(1)).is_empty());
    }
}
