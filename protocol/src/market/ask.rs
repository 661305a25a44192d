//! Asks: what providers say they offer, when they are sought, kept in a client's book until they expire.

use std::collections::BTreeMap;

use crate::ident::{Domain, Identity, NodeId};
use crate::limits;
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
}

impl Statement for Ask {
    const DOMAIN: Domain = Domain::Ask;

    fn signer(&self) -> NodeId {
        self.provider
    }
}

/// The asks that a client has heard and that still stand.
#[derive(Debug, Default)]
pub struct Book {
    asks: BTreeMap<(ModelId, NodeId), (Ask, Time)>,
}

impl Book {
    /// Keeps an ask, unless the book is full.
    pub fn accept(&mut self, now: Time, ask: Ask) {
        let valid = Span::from_ms(u64::from(ask.valid_ms)).min(limits::ASK_VALID);
        self.expire(now);
        let key = (ask.model, ask.provider);
        let room = self.asks.len() < limits::ASKS_MAX || self.asks.contains_key(&key);
        if room && ask.name.len() <= limits::ASK_NAME_BYTES_MAX {
            self.asks.insert(key, (ask, now + valid));
        }
    }

    /// Forgets what has expired.
    pub fn expire(&mut self, now: Time) {
        self.asks.retain(|_, (_, until)| *until > now);
    }

    /// Returns all asks that stand, by model and then by provider.
    pub fn standing(&self) -> impl Iterator<Item = &Ask> {
        self.asks.values().map(|(ask, _)| ask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(provider: u8, price: u64) -> Ask {
        Ask {
            provider: NodeId([provider; 32]),
            model: ModelId([1; 32]),
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
    fn a_newer_ask_replaces_an_older_and_all_expire() {
        let mut book = Book::default();
        book.accept(Time(0), ask(1, 10));
        book.accept(Time(0), ask(1, 20));
        book.accept(Time(0), ask(2, 30));
        let prices: Vec<_> = book.standing().map(|ask| ask.price.0).collect();
        assert_eq!(prices, [20, 30]);
        book.expire(Time(1_000_000));
        assert_eq!(book.standing().count(), 0);
    }

    #[test]
    fn the_book_stops_at_its_limit() {
        let mut book = Book::default();
        for number in 0..=limits::ASKS_MAX {
            let mut next = ask(0, 1);
            next.provider.0[..8].copy_from_slice(&(number as u64).to_le_bytes());
            book.accept(Time(0), next);
        }
        assert_eq!(book.standing().count(), limits::ASKS_MAX);
    }
}
