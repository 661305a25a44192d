//! Provider records of others: which are stored, for whom, and for how long.

use std::collections::HashMap;

use libp2p::PeerId;
use libp2p::kad::store::{MemoryStore, RecordStore as _};
use libp2p::kad::{ProviderRecord, RecordKey};
use web_time::Instant;

use super::address;
use super::config::Scope;
use super::limits;

/// Bytes of a key: a model's or a topic's hash.
const KEY_BYTES: usize = 32;

/// The records stored for others. The store itself would keep the dead ones until somebody asks for them.
pub(super) struct Records {
    scope: Scope,
    expiries: HashMap<(RecordKey, PeerId), Instant>,
}

impl Records {
    pub(super) fn new(scope: Scope) -> Self {
        Self { scope, expiries: HashMap::new() }
    }

    /// Stores a record, or not: libp2p has already checked that it speaks for its sender alone.
    pub(super) fn admit(&mut self, store: &mut MemoryStore, mut record: ProviderRecord, now: Instant) {
        let place = (record.key.clone(), record.provider);
        if record.key.as_ref().len() != KEY_BYTES || !self.has_room(&place) {
            return;
        }
        record.addresses = record
            .addresses
            .iter()
            .filter_map(|claimed| address::believed(self.scope, &record.provider, claimed))
            .take(limits::ADDRESSES_PER_PEER)
            .collect();
        let longest = now + limits::RECORD_TTL;
        let expires = record.expires.map_or(longest, |expires| expires.min(longest));
        record.expires = Some(expires);
        if store.add_provider(record).is_ok() {
            self.expiries.insert(place, expires);
        }
    }

    fn has_room(&self, place: &(RecordKey, PeerId)) -> bool {
        if self.expiries.contains_key(place) {
            return true;
        }
        let of_provider = self.expiries.keys().filter(|(_, provider)| *provider == place.1).count();
        self.expiries.len() < limits::RECORDS_MAX && of_provider < limits::RECORDS_PER_PEER
    }

    /// Removes what has expired.
    pub(super) fn sweep(&mut self, store: &mut MemoryStore, now: Instant) {
        self.expiries.retain(|(key, provider), expires| {
            let alive = *expires > now;
            if !alive {
                store.remove_provider(key, provider);
            }
            alive
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &[u8], provider: PeerId) -> ProviderRecord {
        let addresses = vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap(); 20];
        ProviderRecord::new(RecordKey::new(&key), provider, addresses)
    }

    fn key(number: u32) -> [u8; 32] {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_le_bytes());
        key
    }

    #[test]
    fn a_record_is_stored_with_bounded_addresses_and_life_and_swept_after_it() {
        let mut store = MemoryStore::new(PeerId::random());
        let mut records = Records::new(Scope::Private);
        let (provider, now) = (PeerId::random(), Instant::now());
        records.admit(&mut store, record(&key(1), provider), now);
        let stored = store.providers(&RecordKey::new(&key(1)));
        assert_eq!(stored.len(), 1);
        assert_eq!(stored[0].addresses.len(), limits::ADDRESSES_PER_PEER);
        assert_eq!(stored[0].expires, Some(now + limits::RECORD_TTL));
        records.sweep(&mut store, now + limits::RECORD_TTL);
        assert!(store.providers(&RecordKey::new(&key(1))).is_empty());
    }

    #[test]
    fn in_public_inner_addresses_are_struck_out() {
        let mut store = MemoryStore::new(PeerId::random());
        let mut records = Records::new(Scope::Public);
        records.admit(&mut store, record(&key(1), PeerId::random()), Instant::now());
        assert!(store.providers(&RecordKey::new(&key(1)))[0].addresses.is_empty());
    }

    #[test]
    fn odd_keys_and_greedy_peers_are_refused() {
        let mut store = MemoryStore::new(PeerId::random());
        let mut records = Records::new(Scope::Private);
        let (greedy, now) = (PeerId::random(), Instant::now());
        records.admit(&mut store, record(b"short", greedy), now);
        assert!(records.expiries.is_empty());
        for number in 0..u32::try_from(limits::RECORDS_PER_PEER).unwrap() + 10 {
            records.admit(&mut store, record(&key(number), greedy), now);
        }
        assert_eq!(records.expiries.len(), limits::RECORDS_PER_PEER);
        records.admit(&mut store, record(&key(1), PeerId::random()), now);
        assert_eq!(records.expiries.len(), limits::RECORDS_PER_PEER + 1, "others are not affected");
    }
}
