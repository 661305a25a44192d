//! What all orders of a client share: its keys, its coins, its memory, its voice.

use crate::entropy::Entropy;
use crate::ident::{Identity, NodeId};
use crate::io::{Event, Failure, OrderNews, Output};
use crate::market::auction::Candidate;
use crate::market::book::Book;
use crate::market::call::CallId;
use crate::market::invite::Crowds;
use crate::market::lease::Leases;
use crate::market::ranking::{Rival, price_max};
use crate::outbox::Outbox;
use crate::session::StaticKey;
use crate::time::Time;
use crate::wire::message::{Message, Release, ReleaseReason, ToProvider};
use crate::work::order::{ModelId, Order, OrderId};
use crate::work::price::Price;

use super::appointments::Appointments;
use super::config::ClientConfig;
use super::kept::KeptSessions;
use super::memory::Memory;
use super::payments::Payments;

#[derive(Debug)]
pub(super) struct SharedState {
    pub(super) config: ClientConfig,
    pub(super) identity: Identity,
    /// Bids are sealed to it. Fresh in every run: bids of an earlier one are nobody's any more.
    pub(super) seal_key: StaticKey,
    pub(super) entropy: Entropy,
    pub(super) payments: Payments,
    pub(super) memory: Memory,
    pub(super) crowds: Crowds,
    pub(super) leases: Leases,
    pub(super) kept: KeptSessions,
    /// Standing offers of providers, by their asks.
    pub(super) book: Book,
    pub(super) survey: Option<Survey>,
    pub(super) appointments: Appointments,
    pub(super) outbox: Outbox,
}

impl SharedState {
    /// Returns the most that a bid of an order may ask beside these. (`MK-52`)
    pub(super) fn price_max(&self, order: &Order, rivals: &[Rival]) -> Option<Price> {
        let purchases = &self.memory.purchases;
        let won_lately = purchases.won_lately(&order.model).filter(|_| self.config.market.ceiling);
        let refused = purchases.of(&order.model).map_or(0, |bought| bought.history.refusals());
        price_max(order.price_max, won_lately, refused, rivals)
    }

    /// Returns whether a provider has served this client, or as good as all have. (`MK-52`)
    pub(super) fn has_served(&self, provider: &NodeId) -> bool {
        self.memory.level(provider) > 0 || !self.config.market.quota
    }

    /// Returns that nobody sells a model, and how many others are on offer.
    pub(super) fn no_seller(&self, now: Time, model: &ModelId) -> Failure {
        let mut others: Vec<ModelId> = self.book.standing(now).map(|(ask, _)| ask.model).collect();
        // They are in order.
        others.dedup();
        others.retain(|other| other != model);
        Failure::NoSeller { others: u32::try_from(others.len()).unwrap_or(u32::MAX) }
    }

    /// Returns the lowest ask for a model of those that have served well, and of one that is about to. (`MK-14`)
    pub(super) fn lowest_ask(&self, now: Time, model: &ModelId, winner: Option<&NodeId>) -> Option<Price> {
        let asks = self.book.standing(now).map(|(ask, _)| ask).filter(|ask| ask.model == *model);
        let counts = |provider: &NodeId| winner == Some(provider) || self.memory.level(provider) > 0;
        asks.filter(|ask| counts(&ask.provider)).map(|ask| ask.price).min()
    }
}

/// When those that sell were last looked up and asked. (`MK-65`)
#[derive(Debug, Clone, Copy)]
pub(super) struct Survey {
    pub(super) at: Time,
    /// Since when no node had been connected, if none was.
    pub(super) alone_since: Option<Time>,
}

impl Outbox {
    /// Tells the user what has become of an order.
    pub(super) fn order_news(&mut self, id: OrderId, news: OrderNews) {
        self.push(Output::Event(Event::Order { id, news }));
    }

    /// Gives a bid back to its provider.
    pub(super) fn release(&mut self, to: NodeId, call: CallId, why: ReleaseReason) {
        self.send_to_provider(to, ToProvider::Release(Release::of(call, why)));
    }

    /// Gives a bid back to its provider, with the news by how much another was better.
    pub(super) fn release_loser(&mut self, loser: &Candidate) {
        let (why, margin) = match loser.margin {
            Some(margin) => (ReleaseReason::Outscored, margin),
            None => (ReleaseReason::Preferred, 0),
        };
        let release = Release { margin, ..Release::of(loser.bid.call, why) };
        self.send_to_provider(loser.bid.provider, ToProvider::Release(release));
    }

    /// Sends a message to a provider.
    pub(super) fn send_to_provider(&mut self, to: NodeId, message: ToProvider) {
        self.push(Output::Send { to, message: Message::ToProvider(message) });
    }
}
