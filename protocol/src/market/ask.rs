//! Asks: what providers say they offer, when they are sought, kept in a client's book until they expire.

use std::collections::BTreeMap;

use crate::ident::{Domain, Identity, NodeId, Origin, Prefix};
use crate::limits;
use crate::market::bid::Bid;
use crate::market::call::Classes;
use crate::market::seek::SeekId;
use crate::time::{Span, Time};
use crate::wire::codec;
use crate::wire::extension::{Extensions, Features};
use crate::wire::signed::{Signed, Statement};
use crate::work::order::{ModelId, TaskKind, Tier};
use crate::work::price::Price;

/// The task that an ask's price is for: up to 1,024 tokens of input and as many of output. A bid's is for its call.
pub const ASKED: Classes = Classes { input_log2: 10, output_log2: 10 };

/// The answer to a seek. Not firm: it tells a client who is there and about what price to expect. (`MK-12`)
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Ask {
    /// Who offers.
    pub provider: NodeId,
    /// Which model.
    pub model: ModelId,
    /// The model's human name, at most [`limits::ASK_NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// What kind of work it does.
    pub kind: TaskKind,
    /// The price at the moment, for a task of the classes [`ASKED`].
    pub price: Price,
    /// Tokens of input and output together that a task may have.
    pub context_tokens: u32,
    /// Tokens of the largest answer.
    pub output_max: u32,
    /// Input tokens that it reads in a second, at the moment.
    pub read_tps: u32,
    /// Output tokens that it makes in a second, at the moment.
    pub write_tps: u32,
    /// Milliseconds until a job could begin, at the moment.
    pub start_ms: u32,
    /// Which protection.
    pub tier: Tier,
    /// The seek that this answers.
    pub seek: SeekId,
    /// Milliseconds that the ask is good for, at most [`limits::ASK_VALID`].
    pub valid_ms: u32,
    /// What the provider understands.
    pub features: Features,
    /// What else it needs or offers.
    pub extensions: Extensions,
}

impl Ask {
    /// Signs the ask.
    #[must_use]
    pub fn sign(&self, provider: &Identity) -> Signed {
        Signed::new(provider, Domain::Ask, codec::encode(self))
    }

    /// Returns whether it can be shown: its name is one that a manifest could have. (`WR-17`)
    #[must_use]
    fn is_sound(&self) -> bool {
        let of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
        (1..=limits::ASK_NAME_BYTES_MAX).contains(&self.name.len()) && self.name.bytes().all(of_name)
    }
}

impl Statement for Ask {
    const DOMAIN: Domain = Domain::Ask;

    fn signer(&self) -> NodeId {
        self.provider
    }
}

/// The asks that a client has heard and that still stand. (`MK-63`)
#[derive(Debug)]
pub struct Book {
    asks: BTreeMap<(ModelId, NodeId), Entry>,
    /// How many each provider has in it, by where it comes from.
    counts: BTreeMap<Prefix, BTreeMap<NodeId, usize>>,
    /// None expires before.
    next_expiry: Time,
    /// What each bid last for each model.
    bids: BTreeMap<(ModelId, NodeId), KnownBid>,
}

/// What a provider bid last.
#[derive(Debug, Clone, Copy)]
struct KnownBid {
    price: Price,
    prefix: Prefix,
    until: Time,
}

/// One that is known to sell a model. (`MK-66`)
#[derive(Debug, Clone, Copy)]
pub struct Seller<'a> {
    /// Who.
    pub provider: NodeId,
    /// Where its connection came from.
    pub prefix: Prefix,
    /// What it asks or bid last, whichever is more: a low ask is free.
    pub price: Price,
    /// Its ask, if one stands.
    pub ask: Option<&'a Ask>,
}

#[derive(Debug)]
struct Entry {
    ask: Ask,
    /// Where the provider's connection came from.
    prefix: Prefix,
    until: Time,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            asks: BTreeMap::new(),
            counts: BTreeMap::new(),
            next_expiry: Time::NEVER,
            bids: BTreeMap::new(),
        }
    }
}

impl Book {
    /// Keeps an ask that came over a connection of this prefix, if there is room for it. (`MK-12`)
    pub fn accept(&mut self, now: Time, prefix: Prefix, ask: Ask) {
        self.expire(now);
        if !ask.is_sound() {
            return;
        }
        let key = (ask.model, ask.provider);
        self.remove(&key);
        if self.makes_room(Origin { node: ask.provider, prefix }) {
            let until = now + Span::from_ms(u64::from(ask.valid_ms)).min(limits::ASK_VALID);
            self.next_expiry = self.next_expiry.min(until);
            let count = self.counts.entry(prefix).or_default().entry(ask.provider).or_default();
            *count = count.saturating_add(1);
            self.asks.insert(key, Entry { ask, prefix, until });
        }
    }

    /// Returns whether there is room for one more ask. Where there is none, the newcomer gets the place of one of the prefix
    /// that holds most, if that holds at least two more than its own; within a prefix, of the provider that holds most,
    /// likewise.
    fn makes_room(&mut self, newcomer: Origin) -> bool {
        let of_prefix = |providers: &BTreeMap<NodeId, usize>| providers.values().sum::<usize>();
        let held = self.counts.get(&newcomer.prefix).map_or(0, of_prefix);
        let is_full = self.asks.len() >= limits::ASKS_MAX;
        if !is_full && held < limits::ASKS_PER_PREFIX_MAX {
            return true;
        }
        let fullest = self.counts.iter().max_by_key(|(_, providers)| of_prefix(providers));
        let heavier =
            fullest.filter(|(_, providers)| is_full && of_prefix(providers) >= held.saturating_add(2));
        let crowded = heavier.map_or(newcomer.prefix, |(prefix, _)| *prefix);
        let Some(providers) = self.counts.get(&crowded) else { return false };
        let own = providers.get(&newcomer.node).copied().unwrap_or(0);
        let Some((provider, most)) = providers.iter().max_by_key(|(_, count)| **count) else { return false };
        if crowded == newcomer.prefix && *most < own.saturating_add(2) {
            return false;
        }
        let of_it = self.asks.iter().filter(|(_, entry)| entry.ask.provider == *provider);
        let first = of_it.min_by_key(|(_, entry)| entry.until).map(|(key, _)| *key);
        first.is_some_and(|key| self.remove(&key))
    }

    fn remove(&mut self, key: &(ModelId, NodeId)) -> bool {
        let Some(Entry { ask, prefix, .. }) = self.asks.remove(key) else { return false };
        if let Some(providers) = self.counts.get_mut(&prefix) {
            if let Some(count) = providers.get_mut(&ask.provider) {
                *count = count.saturating_sub(1);
            }
            providers.retain(|_, count| *count > 0);
            if providers.is_empty() {
                self.counts.remove(&prefix);
            }
        }
        true
    }

    fn remove_all(&mut self, is_over: impl Fn(&Entry) -> bool) {
        let over = self.asks.iter().filter(|(_, entry)| is_over(entry)).map(|(key, _)| *key);
        for key in over.collect::<Vec<_>>() {
            self.remove(&key);
        }
    }

    /// Forgets what has expired.
    pub fn expire(&mut self, now: Time) {
        if now >= self.next_expiry {
            self.remove_all(|entry| entry.until <= now);
            self.next_expiry = self.asks.values().map(|entry| entry.until).min().unwrap_or(Time::NEVER);
        }
    }

    /// Notes what a provider has bid. Where there is no room, the oldest makes it. (`MK-66`)
    pub fn bid(&mut self, now: Time, prefix: Prefix, bid: &Bid) {
        let key = (bid.model, bid.provider);
        if !self.bids.contains_key(&key) && self.bids.len() >= limits::BIDS_KNOWN_MAX {
            let oldest = self.bids.iter().min_by_key(|(_, known)| known.until).map(|(key, _)| *key);
            oldest.and_then(|key| self.bids.remove(&key));
        }
        self.bids.insert(key, KnownBid { price: bid.price, prefix, until: now + limits::BID_KNOWN });
    }

    /// Returns those that are known to sell a model, by their asks and by what they bid within ten minutes. (`MK-66`)
    #[must_use]
    pub fn sellers(&self, now: Time, model: &ModelId) -> Vec<Seller<'_>> {
        let all = (*model, NodeId([0; 32]))..=(*model, NodeId([255; 32]));
        let bids = self.bids.range(all.clone()).filter(|(_, known)| known.until > now);
        let mut sellers: BTreeMap<NodeId, Seller<'_>> = bids
            .map(|((_, provider), KnownBid { price, prefix, .. })| {
                let seller = Seller { provider: *provider, prefix: *prefix, price: *price, ask: None };
                (*provider, seller)
            })
            .collect();
        for (_, Entry { ask, prefix, .. }) in self.asks.range(all).filter(|(_, entry)| entry.until > now) {
            let bid = sellers.get(&ask.provider).map_or(ask.price, |seller| seller.price);
            let price = ask.price.max(bid);
            sellers.insert(
                ask.provider,
                Seller { provider: ask.provider, prefix: *prefix, price, ask: Some(ask) },
            );
        }
        sellers.into_values().collect()
    }

    /// Returns the median of what a model's sellers ask or have bid, the lowest of each prefix if there are several: many names are one voice.
    #[must_use]
    pub fn median(&self, now: Time, model: &ModelId) -> Option<Price> {
        let sellers = self.sellers(now, model);
        let mut lowest: BTreeMap<Prefix, Price> = BTreeMap::new();
        for Seller { prefix, price, .. } in &sellers {
            lowest.entry(*prefix).and_modify(|other| *other = *price.min(other)).or_insert(*price);
        }
        let mut prices: Vec<Price> = if lowest.len() > 1 {
            lowest.into_values().collect()
        } else {
            sellers.iter().map(|seller| seller.price).collect()
        };
        prices.sort_unstable();
        prices.get(prices.len().saturating_sub(1) / 2).copied()
    }

    /// Forgets what a provider offered that has left.
    pub fn forget(&mut self, provider: NodeId) {
        self.bids.retain(|(_, other), _| *other != provider);
        self.remove_all(|entry| entry.ask.provider == provider);
    }

    /// Returns all asks that stand, each with where its provider's connection came from, by model
    /// and then by provider.
    pub fn standing(&self, now: Time) -> impl Iterator<Item = (&Ask, Prefix)> {
        self.asks.values().filter(move |entry| entry.until > now).map(|entry| (&entry.ask, entry.prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Prefix = Prefix::of_ipv4([192, 0, 2, 1]);

    fn ask(provider: u64, model: u8, price: u64) -> Ask {
        let mut node = [0; 32];
        node[..8].copy_from_slice(&provider.to_le_bytes());
        Ask {
            provider: NodeId(node),
            model: ModelId([model; 32]),
            name: "m".into(),
            kind: TaskKind::Embed,
            price: Price(price),
            context_tokens: 1,
            output_max: 1,
            read_tps: 1,
            write_tps: 1,
            start_ms: 1,
            tier: Tier::Open,
            seek: SeekId([0; 16]),
            valid_ms: 1_000,
            features: Features::OWN,
            extensions: Extensions::NONE,
        }
    }

    /// (`MK-12`)
    #[test]
    fn a_newer_ask_replaces_an_older_and_all_expire_also_unasked() {
        let mut book = Book::default();
        for (provider, price) in [(1, 10), (1, 20), (2, 30)] {
            book.accept(Time(0), HERE, ask(provider, 1, price));
        }
        let prices: Vec<_> = book.standing(Time(0)).map(|(ask, _)| ask.price.0).collect();
        assert_eq!(prices, [20, 30]);
        book.accept(Time(0), HERE, Ask { valid_ms: u32::MAX, ..ask(3, 1, 1) });
        assert_eq!(book.standing(Time(1_000_000)).count(), 1);
        assert_eq!(book.standing(Time(0) + limits::ASK_VALID).count(), 0, "whatever it says, a minute");
        book.expire(Time(0) + limits::ASK_VALID);
        assert!(book.asks.is_empty());
    }

    /// (`MK-12`, `MK-61`)
    #[test]
    fn what_a_provider_offered_is_forgotten_when_it_leaves() {
        let mut book = Book::default();
        for (provider, model) in [(1, 1), (1, 2), (2, 1)] {
            book.accept(Time(0), HERE, ask(provider, model, 1));
        }
        book.forget(ask(1, 1, 1).provider);
        assert_eq!(
            book.standing(Time(0)).map(|(ask, _)| ask.provider).collect::<Vec<_>>(),
            [ask(2, 1, 1).provider]
        );
    }

    /// (`MK-12`)
    #[test]
    fn a_name_that_no_manifest_could_have_is_not_kept() {
        let mut book = Book::default();
        let long = "a".repeat(limits::ASK_NAME_BYTES_MAX + 1);
        for name in ["", "\u{1b}[2J", "two\nlines", "Tab\t", "né", "a b", "\u{202e}", &long] {
            book.accept(Time(0), HERE, Ask { name: name.into(), ..ask(1, 1, 1) });
            assert_eq!(book.standing(Time(0)).count(), 0, "{name:?}");
        }
        book.accept(Time(0), HERE, Ask { name: "q-2.5_b".into(), ..ask(1, 1, 1) });
        assert_eq!(book.standing(Time(0)).count(), 1);
    }

    /// Sixty-four keys of one prefix, and then of sixty-four, offer whatever they can think of. (`MK-63`)
    #[test]
    fn a_book_filled_by_one_owner_has_room_for_another_seller() {
        for prefixes in [1u8, 64] {
            let mut book = Book::default();
            let from = |key: u64| Prefix::of_ipv4([10, 0, key.to_le_bytes()[0] % prefixes, 1]);
            for model in 0..=255 {
                (0..64).for_each(|key| book.accept(Time(0), from(key), ask(key, model, 0)));
            }
            let full = if prefixes == 1 { limits::ASKS_PER_PREFIX_MAX } else { limits::ASKS_MAX };
            assert_eq!(book.standing(Time(0)).count(), full);
            let other = Prefix::of_ipv4([198, 51, 100, 1]);
            for model in 0..16 {
                book.accept(Time(0), other, ask(1_000, model, 5));
            }
            // A neighbour of the same prefix gets in as well.
            book.accept(Time(0), from(0), ask(2_000, 1, 5));
            for model in 0..=255 {
                (0..64).for_each(|key| book.accept(Time(0), from(key), ask(key, model, 0)));
            }
            let kept = |key| {
                book.standing(Time(0)).filter(|(one, _)| one.provider == ask(key, 1, 1).provider).count()
            };
            assert_eq!((kept(1_000), kept(2_000)), (16, 1), "{prefixes} prefixes");
            assert!(book.standing(Time(0)).count() <= limits::ASKS_MAX);
        }
    }
}
