//! A client's book: the asks that it has heard and that still stand, and what was bid to it lately.

use std::collections::BTreeMap;

use crate::ident::{NodeId, Origin, Prefix};
use crate::limits;
use crate::market::ask::Ask;
use crate::market::bid::Bid;
use crate::market::call::Classes;
use crate::market::class_prices::ClassPrices;
use crate::market::history::median;
use crate::market::known_bids::{KnownBid, KnownBids, all_of};
use crate::time::{Span, Time};
use crate::work::order::ModelId;
use crate::work::price::Price;

/// The asks that a client has heard and that still stand, and what its bidders bid last. (`MK-63`)
#[derive(Debug)]
pub struct Book {
    asks: BTreeMap<(ModelId, NodeId), Entry>,
    /// How many each stranger has in it, by where it comes from.
    counts: BTreeMap<Prefix, BTreeMap<NodeId, usize>>,
    /// How many those have that have served this client.
    proven: usize,
    /// None expires before.
    next_expiry: Time,
    bids: KnownBids,
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
    is_proven: bool,
    since: Time,
    until: Time,
    silence: Option<Silence>,
    /// What the provider asks for tasks of some classes, as far as it was asked. (`MK-64`)
    by_class: ClassPrices,
}

/// What is held against an ask whose provider was silent to a call to everybody. (`MK-65`)
#[derive(Debug, Clone, Copy, Default)]
struct Silence {
    /// When it asked anew all the same: it is there.
    asked_at: Option<Time>,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            asks: BTreeMap::new(),
            counts: BTreeMap::new(),
            proven: 0,
            next_expiry: Time::NEVER,
            bids: KnownBids::default(),
        }
    }
}

impl Book {
    /// Keeps an ask that came over a connection of this prefix, of one that has served this client or not, if there is room for
    /// it. (`MK-12`)
    pub fn accept(&mut self, now: Time, prefix: Prefix, is_proven: bool, ask: Ask) {
        self.expire(now);
        if !ask.is_sound() {
            return;
        }
        let key = (ask.model, ask.provider);
        let (silence, by_class) =
            self.remove(&key).map(|before| (before.silence, before.by_class)).unwrap_or_default();
        let silence = silence.map(|before| Silence { asked_at: before.asked_at.or(Some(now)) });
        // Those that have served leave half of it to others.
        let is_proven = is_proven && self.proven < limits::ASKS_MAX / 2;
        if !self.makes_room(Origin { node: ask.provider, prefix }, is_proven) {
            return;
        }
        let until = now + Span::from_ms(u64::from(ask.valid_ms)).min(limits::ASK_VALID);
        self.next_expiry = self.next_expiry.min(until);
        if is_proven {
            self.proven = self.proven.saturating_add(1);
        } else {
            let count = self.counts.entry(prefix).or_default().entry(ask.provider).or_default();
            *count = count.saturating_add(1);
        }
        self.asks.insert(key, Entry { ask, prefix, is_proven, since: now, until, silence, by_class });
    }

    /// Returns whether there is room for one more ask. Where there is none, the newcomer gets the place of a stranger's of the
    /// prefix that holds most, if that holds at least two more than its own, or the newcomer has served; within a prefix, of the
    /// provider that holds most, likewise.
    fn makes_room(&mut self, newcomer: Origin, is_proven: bool) -> bool {
        let of_prefix = |providers: &BTreeMap<NodeId, usize>| providers.values().sum::<usize>();
        let held = self.counts.get(&newcomer.prefix).map_or(0, of_prefix);
        let is_full = self.asks.len() >= limits::ASKS_MAX;
        if !is_full && (is_proven || held < limits::ASKS_PER_PREFIX_MAX) {
            return true;
        }
        let fullest = self.counts.iter().max_by_key(|(_, providers)| of_prefix(providers));
        let yields = |most: usize, own: usize| is_proven || most >= own.saturating_add(2);
        let heavier = fullest.filter(|(_, providers)| is_full && yields(of_prefix(providers), held));
        let crowded = heavier.map_or(newcomer.prefix, |(prefix, _)| *prefix);
        let Some(providers) = self.counts.get(&crowded) else { return false };
        let own = providers.get(&newcomer.node).copied().unwrap_or(0);
        let Some((provider, most)) = providers.iter().max_by_key(|(_, count)| **count) else { return false };
        if crowded == newcomer.prefix && !yields(*most, own) {
            return false;
        }
        let of_it = |entry: &Entry| entry.ask.provider == *provider && !entry.is_proven;
        let oldest = self.asks.iter().filter(|(_, entry)| of_it(entry)).min_by_key(|(_, entry)| entry.until);
        oldest.map(|(key, _)| *key).is_some_and(|key| self.remove(&key).is_some())
    }

    fn remove(&mut self, key: &(ModelId, NodeId)) -> Option<Entry> {
        let entry = self.asks.remove(key)?;
        if entry.is_proven {
            self.proven = self.proven.saturating_sub(1);
        } else if let Some(providers) = self.counts.get_mut(&entry.prefix) {
            if let Some(count) = providers.get_mut(&entry.ask.provider) {
                *count = count.saturating_sub(1);
            }
            providers.retain(|_, count| *count > 0);
            if providers.is_empty() {
                self.counts.remove(&entry.prefix);
            }
        }
        Some(entry)
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

    /// Notes what one has bid for a task of these classes that has served this client or not. (`MK-66`)
    pub fn bid(&mut self, now: Time, prefix: Prefix, is_proven: bool, classes: Classes, bid: &Bid) {
        self.answered(&bid.model, &bid.provider);
        self.bids.note(now, prefix, is_proven, classes, bid);
    }

    /// Notes what a provider asks for tasks of these classes, if another ask of its stands. (`MK-64`)
    pub fn asked(&mut self, now: Time, classes: Classes, ask: &Ask) {
        let until = now + Span::from_ms(u64::from(ask.valid_ms)).min(limits::ASK_VALID);
        if let Some(entry) = self.asks.get_mut(&(ask.model, ask.provider)) {
            entry.by_class.note(now, classes, ask.price, until);
        }
    }

    /// Returns what a provider asks for a task of these classes, if it was asked lately. (`MK-64`)
    #[must_use]
    pub fn last_ask(&self, now: Time, model: &ModelId, provider: &NodeId, classes: Classes) -> Option<Price> {
        self.asks.get(&(*model, *provider))?.by_class.price(now, classes)
    }

    /// Returns what a provider bid last for a task of these classes, if that is recent. (`MK-64`)
    #[must_use]
    pub fn last_bid(&self, now: Time, model: &ModelId, provider: &NodeId, classes: Classes) -> Option<Price> {
        self.bids.price(now, model, provider, classes)
    }

    /// Notes that a provider has answered a call for a model.
    pub fn answered(&mut self, model: &ModelId, provider: &NodeId) {
        if let Some(entry) = self.asks.get_mut(&(*model, *provider)) {
            entry.silence = None;
        }
    }

    /// Notes that nobody has answered a call to everybody that went out then. (`MK-65`)
    pub fn unanswered(&mut self, model: &ModelId, called_at: Time) {
        for (_, entry) in self.asks.range_mut(all_of(model)) {
            if entry.since <= called_at {
                entry.silence.get_or_insert_default();
            }
        }
    }

    /// Returns whether anybody offers a model. An ask of one that was silent to a call counts as long as it may be starting
    /// again: until it has asked anew, and been silent for a while more. (`MK-65`)
    #[must_use]
    pub fn is_offered(&self, now: Time, model: &ModelId) -> bool {
        let is_idle = |silence: Silence| silence.asked_at.is_some_and(|at| now >= at + limits::SILENT_ASK);
        self.asks
            .range(all_of(model))
            .any(|(_, entry)| entry.until > now && !entry.silence.is_some_and(is_idle))
    }

    /// Returns those that are known to sell a model, by their asks and by what they bid within ten minutes. (`MK-66`)
    #[must_use]
    pub fn sellers(&self, now: Time, model: &ModelId) -> Vec<Seller<'_>> {
        let mut sellers: BTreeMap<NodeId, Seller<'_>> = self
            .bids
            .of(now, model)
            .map(|(provider, KnownBid { price, prefix, .. })| {
                (provider, Seller { provider, prefix: *prefix, price: *price, ask: None })
            })
            .collect();
        let asks = self.asks.range(all_of(model)).filter(|(_, entry)| entry.until > now);
        for (_, Entry { ask, prefix, .. }) in asks {
            let bid = sellers.get(&ask.provider).map_or(ask.price, |seller| seller.price);
            let price = ask.price.max(bid);
            sellers.insert(
                ask.provider,
                Seller { provider: ask.provider, prefix: *prefix, price, ask: Some(ask) },
            );
        }
        sellers.into_values().collect()
    }

    /// Returns the median of what a model's sellers ask or have bid, of those that have served if there are such: of the lowest of each
    /// prefix, if there are several.
    #[must_use]
    pub fn median(&self, now: Time, model: &ModelId, has_served: impl Fn(&NodeId) -> bool) -> Option<Price> {
        let mut sellers = self.sellers(now, model);
        let is_known = sellers.iter().any(|seller| has_served(&seller.provider));
        sellers.retain(|seller| !is_known || has_served(&seller.provider));
        let lowest = lowest_by_prefix(sellers.iter().map(|seller| (seller.prefix, seller.price)));
        let all = || median(sellers.iter().map(|seller| seller.price));
        if lowest.len() > 1 { median(lowest.into_values()) } else { all() }
    }

    /// Forgets what a provider offered that has left.
    pub fn forget(&mut self, provider: NodeId) {
        self.bids.forget(&provider);
        self.remove_all(|entry| entry.ask.provider == provider);
    }

    /// Returns all asks that stand, each with where its provider's connection came from, by model
    /// and then by provider.
    pub fn standing(&self, now: Time) -> impl Iterator<Item = (&Ask, Prefix)> {
        self.asks.values().filter(move |entry| entry.until > now).map(|entry| (&entry.ask, entry.prefix))
    }
}

/// Returns the lowest price of each prefix: many names are one voice.
#[must_use]
pub fn lowest_by_prefix(prices: impl Iterator<Item = (Prefix, Price)>) -> BTreeMap<Prefix, Price> {
    let mut lowest: BTreeMap<Prefix, Price> = BTreeMap::new();
    for (prefix, price) in prices {
        lowest.entry(prefix).and_modify(|other| *other = price.min(*other)).or_insert(price);
    }
    lowest
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Prefix = Prefix::of_ipv4([192, 0, 2, 1]);

    fn ask(provider: u64, model: u8, price: u64) -> Ask {
        let mut node = [0; 32];
        node[..8].copy_from_slice(&provider.to_le_bytes());
        let (provider, model, price) = (NodeId(node), ModelId([model; 32]), Price(price));
        Ask { provider, model, price, valid_ms: 1_000, ..Ask::for_tests() }
    }

    /// (`MK-12`)
    #[test]
    fn a_newer_ask_replaces_an_older_and_all_expire_also_unasked() {
        let mut book = Book::default();
        for (provider, price) in [(1, 10), (1, 20), (2, 30)] {
            book.accept(Time(0), HERE, false, ask(provider, 1, price));
        }
        let prices: Vec<_> = book.standing(Time(0)).map(|(ask, _)| ask.price.0).collect();
        assert_eq!(prices, [20, 30]);
        book.accept(Time(0), HERE, false, Ask { valid_ms: u32::MAX, ..ask(3, 1, 1) });
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
            book.accept(Time(0), HERE, false, ask(provider, model, 1));
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
            book.accept(Time(0), HERE, false, Ask { name: name.into(), ..ask(1, 1, 1) });
            assert_eq!(book.standing(Time(0)).count(), 0, "{name:?}");
        }
        book.accept(Time(0), HERE, false, Ask { name: "q-2.5_b".into(), ..ask(1, 1, 1) });
        assert_eq!(book.standing(Time(0)).count(), 1);
    }

    /// Sixty-four keys of one prefix, and then of sixty-four, offer whatever they can think of. (`MK-63`)
    #[test]
    fn a_book_filled_by_one_owner_has_room_for_another_seller() {
        for prefixes in [1u8, 64] {
            let mut book = Book::default();
            let from = |key: u64| Prefix::of_ipv4([10, 0, key.to_le_bytes()[0] % prefixes, 1]);
            for model in 0..=255 {
                (0..64).for_each(|key| book.accept(Time(0), from(key), false, ask(key, model, 0)));
            }
            let full = if prefixes == 1 { limits::ASKS_PER_PREFIX_MAX } else { limits::ASKS_MAX };
            assert_eq!(book.standing(Time(0)).count(), full);
            let other = Prefix::of_ipv4([198, 51, 100, 1]);
            for model in 0..16 {
                book.accept(Time(0), other, false, ask(1_000, model, 5));
            }
            // A neighbour of the same prefix gets in as well.
            book.accept(Time(0), from(0), false, ask(2_000, 1, 5));
            for model in 0..=255 {
                (0..64).for_each(|key| book.accept(Time(0), from(key), false, ask(key, model, 0)));
            }
            let kept = |key| {
                book.standing(Time(0)).filter(|(one, _)| one.provider == ask(key, 1, 1).provider).count()
            };
            assert_eq!((kept(1_000), kept(2_000)), (16, 1), "{prefixes} prefixes");
            assert!(book.standing(Time(0)).count() <= limits::ASKS_MAX);
        }
    }

    /// As many prefixes as there are places, with an ask each. (`MK-63`)
    #[test]
    fn who_has_served_keeps_its_asks_and_finds_room_whatever_strangers_do() {
        let mut book = Book::default();
        let from = |key: u64| {
            let [a, b, ..] = key.to_le_bytes();
            Prefix::of_ipv4([10, a, b, 1])
        };
        book.accept(Time(0), HERE, true, ask(1_000_000, 1, 5));
        book.accept(Time(0), HERE, true, ask(1_000_000, 2, 5));
        for key in 0..limits::ASKS_MAX as u64 + 8 {
            book.accept(Time(0), from(key), false, ask(key, 1, 0));
        }
        assert_eq!(book.asks.len(), limits::ASKS_MAX);
        book.accept(Time(0), HERE, true, ask(1_000_001, 1, 5));
        let kept = book.asks.values().filter(|entry| entry.is_proven).count();
        assert_eq!((kept, book.proven, book.asks.len()), (3, 3, limits::ASKS_MAX));
        // Nor do those that have served take all of it.
        let mut book = Book::default();
        for key in 0..limits::ASKS_MAX as u64 + 8 {
            book.accept(Time(0), from(key), true, ask(key, 4, 0));
        }
        assert_eq!((book.proven, book.asks.len()), (limits::ASKS_MAX / 2, limits::ASKS_MAX));
    }

    /// (`MK-65`)
    #[test]
    fn an_ask_of_one_that_answers_seeks_and_no_calls_soon_counts_for_nothing() {
        let s = |s: u64| Time(0) + Span::from_s(s);
        let (mut book, model) = (Book::default(), ModelId([1; 32]));
        let asks = |book: &mut Book, at: u64| {
            book.accept(s(at), HERE, false, Ask { valid_ms: 60_000, ..ask(1, 1, 1) });
        };
        asks(&mut book, 0);
        book.unanswered(&model, s(1));
        assert!(book.is_offered(s(59), &model), "it may be starting again");
        asks(&mut book, 30);
        assert!(book.is_offered(s(39), &model), "it is there, and may answer yet");
        asks(&mut book, 38);
        assert!(!book.is_offered(s(40), &model));
        book.answered(&model, &ask(1, 1, 1).provider);
        assert!(book.is_offered(s(40), &model));
        book.unanswered(&model, s(37));
        asks(&mut book, 45);
        assert!(book.is_offered(s(60), &model), "it came after that call");
    }
}
