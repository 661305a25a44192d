//! What an order would cost: read off the standing asks, recent bids and this client's own memory. Nothing is asked, locked or signed for
//! it. (`MK-64`)

use crate::amount::Nano;
use crate::ident::{NodeId, Prefix};
use crate::io::Failure;
use crate::limits;
use crate::market::ask::Ask;
use crate::market::book::lowest_by_prefix;
use crate::market::call::Classes;
use crate::market::history::median;
use crate::market::quote::{Basis, Quote, QuotedBill, QuotedChannel};
use crate::market::ranking::{Rival, price_of, reserve};
use crate::market::score::{Lot, Place};
use crate::time::Time;
use crate::wire::message::Refusal;
use crate::work::order::Order;
use crate::work::price::Price;

use super::Client;
use super::progress::Progress;
use super::shared::SharedState;

/// What is known of the price of one that could take an order.
struct KnownPrice<'a> {
    ask: &'a Ask,
    prefix: Prefix,
    turn: usize,
    place: Place,
    price: Price,
    /// The classes of tasks that the price is for.
    of: Classes,
    basis: Basis,
}

impl KnownPrice<'_> {
    /// Returns by what they are put in the order in which they would be asked.
    const fn rank(&self) -> (usize, Place, Price, NodeId) {
        (self.turn, self.place, self.price, self.ask.provider)
    }
}

impl Client {
    /// Returns what an order would cost at the moment, as far as is known of those that sell. (`MK-64`)
    ///
    /// # Errors
    /// [`Failure`] says why nobody is known that could take it.
    pub fn quote(&self, now: Time, order: &Order) -> Result<Quote, Failure> {
        let progress = Progress::new(now, order.clone());
        let mut lot = progress.lot();
        // The order itself is counted when it comes, and may be the one that passes its lease over for a try. (`MK-33`)
        let bought = self.shared.memory.purchases.of(&order.model);
        let is_try = bought.is_some_and(|bought| bought.exploration.is_next_turn(now));
        let lease = progress.leased(now, &self.shared).filter(|_| !is_try);
        let offers = self.offers(now, order, &lot);
        let sellers = match &offers {
            Ok(sellers) => sellers.as_slice(),
            Err(why) if lease.is_none() => return Err(*why),
            Err(_) => &[],
        };
        let known = self.known_prices(now, order, &mut lot, sellers);
        let memory = &self.shared.memory;
        let lowest = lowest_by_prefix(known.iter().map(|one| (one.prefix, one.price)));
        let rivals = known.iter().map(|one| Rival {
            prefix: one.prefix,
            price: one.price,
            has_served: self.shared.has_served(&one.ask.provider),
        });
        let rivals: Vec<Rival> = rivals.collect();
        let leased = lease.map(|lease| (lease.price, lease.price, lease.bid.provider, Basis::Lease));
        // Whom the order cannot pay it would not ask, where somebody else bids.
        let can_pay = |one: &&KnownPrice<'_>| {
            self.forecast(now, order, &lot, &one.ask.provider, one.price).fault.is_none()
        };
        let first = || known.iter().take(limits::PRICES_ASKED_MAX).find(can_pay).or(known.first());
        let asked = || first().map(|first| self.expected(order, &lot, first, &known));
        let (price, price_most, provider, basis) =
            leased.or_else(asked).ok_or(Failure::NoSeller { others: 0 })?;
        let usual = median(lowest.values().copied()).unwrap_or(price);
        let expected = memory.purchases.output_tokens(&order.model, &lot).min(lot.output_tokens_max);
        let is_leased = usize::from(basis == Basis::Lease);
        let channel = self.forecast(now, order, &lot, &provider, price);
        let ceiling = lot.cost_max(price).unwrap_or(Nano(u64::MAX));
        let won_lately = memory.purchases.won_lately(&order.model);
        Ok(Quote {
            sellers: sellers.len().max(is_leased),
            prefixes: lowest.len().max(is_leased),
            provider,
            basis,
            price,
            price_most,
            usual,
            price_max: self.shared.price_max(order, &rivals),
            won_lately,
            input_tokens: lot.input.count(),
            output_tokens: expected,
            output_tokens_max: lot.output_tokens_max,
            output_tokens_served: lot.served(order.max_cost.min(channel.room), ceiling),
            least: lot.least(ceiling),
            bill: QuotedBill::at(price, &lot, expected),
            most_bill: QuotedBill::at(price_most, &lot, expected),
            usual_bill: QuotedBill::at(usual, &lot, expected),
            channel,
            most_channel: self.forecast(now, order, &lot, &provider, price_most),
        })
    }

    /// Returns what an order would ask of the channel to a provider at this price.
    fn forecast(
        &self,
        now: Time,
        order: &Order,
        lot: &Lot,
        provider: &NodeId,
        price: Price,
    ) -> QuotedChannel {
        let cost_max = lot.cost_max(price).unwrap_or(Nano(u64::MAX)).min(order.max_cost);
        let SharedState { payments, config, .. } = &self.shared;
        payments.forecast(now, provider, cost_max, self.shared.acquaintance(provider), config)
    }

    /// Asks those that could take an order what they want for tasks of its classes, those first that would be asked first. (`MK-64`)
    pub(super) fn seek_prices(&mut self, now: Time, order: &Order) {
        let mut lot = Progress::new(now, order.clone()).lot();
        let Ok(sellers) = self.offers(now, order, &lot) else { return };
        let known = self.known_prices(now, order, &mut lot, &sellers);
        let first: Vec<NodeId> =
            known.iter().map(|one| one.ask.provider).take(limits::PRICES_ASKED_MAX).collect();
        for provider in first {
            self.seek_price(now, provider, order.model, lot.classes());
        }
    }

    /// Returns what is known of each seller's price for a lot, once its answer is no longer than the largest that one of them gives:
    /// first who would be asked first.
    fn known_prices<'a>(
        &self,
        now: Time,
        order: &Order,
        lot: &mut Lot,
        sellers: &[(&'a Ask, Prefix)],
    ) -> Vec<KnownPrice<'a>> {
        let input = lot.input.count();
        let room = |ask: &Ask| {
            let room = u64::from(ask.context_tokens).saturating_sub(input);
            u64::from(ask.output_max).min(room)
        };
        if let Some(most) = sellers.iter().map(|(ask, _)| room(ask)).max() {
            lot.output_tokens_max = lot.output_tokens_max.min(most);
        }
        let classes = lot.classes();
        let is_small = self.shared.memory.purchases.is_small(&order.model, lot);
        let of =
            |(ask, prefix): &(&'a Ask, Prefix)| self.known_price(now, order, classes, ask, *prefix, is_small);
        let mut known: Vec<KnownPrice<'a>> = sellers.iter().map(of).collect();
        known.sort_by_key(KnownPrice::rank);
        known
    }

    /// Returns what is known of one seller's price for a task of these classes, and in which turn it would be asked.
    fn known_price<'a>(
        &self,
        now: Time,
        order: &Order,
        classes: Classes,
        ask: &'a Ask,
        prefix: Prefix,
        is_small: bool,
    ) -> KnownPrice<'a> {
        let SharedState { memory, book, .. } = &self.shared;
        let asked = book.last_ask(now, &order.model, &ask.provider, classes).map(|price| (price, Basis::Ask));
        let bid = || {
            let bid = book.last_bid(now, &order.model, &ask.provider, classes);
            bid.map(|price| (price, Basis::Bid))
        };
        let of_class = asked.or_else(bid);
        let (price, basis) = of_class.unwrap_or((ask.price, Basis::Ask));
        KnownPrice {
            ask,
            prefix,
            turn: order.preferences.turn(&ask.provider),
            place: memory.place(now, &ask.provider, prefix, is_small),
            price,
            of: of_class.map_or_else(|| ask.classes(), |_| classes),
            basis,
        }
    }

    /// Returns what the one that would be asked first is expected to be paid, and what it may be paid: by the second of another
    /// prefix that is proven, within nine eighths of what won lately. (`MK-8`)
    fn expected(
        &self,
        order: &Order,
        lot: &Lot,
        first: &KnownPrice<'_>,
        known: &[KnownPrice<'_>],
    ) -> (Price, Price, NodeId, Basis) {
        let classes = lot.classes();
        let ceiling =
            price_of(order.max_cost, lot.units_max()).min(order.price_max.unwrap_or(Price(u64::MAX)));
        let median = self.shared.memory.purchases.won_lately(&order.model);
        let reserve = median.map(reserve);
        let is_rival = |other: &&KnownPrice<'_>| other.prefix != first.prefix && other.place == Place::Proven;
        let rivals = || known.iter().filter(is_rival);
        let second = rivals().map(|other| other.price).min();
        let paid = reserve
            .zip(second)
            .map_or(first.price, |(reserve, second)| first.price.max(second.min(reserve).min(ceiling)));
        let most = |one: &KnownPrice<'_>| one.basis.most(one.price, one.of, &order.weights, classes);
        // The second by score may be the dearest, if it is faster.
        let dearest = reserve.zip(rivals().map(most).max()).map(|(reserve, dearest)| reserve.min(dearest));
        let most = most(first).max(dearest.unwrap_or(paid)).max(paid);
        (paid, most.min(ceiling.max(paid)), first.ask.provider, first.basis)
    }

    /// Returns the asks of those that could take an order.
    fn offers(&self, now: Time, order: &Order, lot: &Lot) -> Result<Vec<(&Ask, Prefix)>, Failure> {
        let mut asks: Vec<(&Ask, Prefix)> =
            self.asks(now).filter(|(ask, _)| ask.model == order.model).collect();
        if asks.is_empty() {
            return Err(self.shared.no_seller(now, &order.model));
        }
        let others = u32::try_from(asks.len()).unwrap_or(u32::MAX);
        asks.retain(|(ask, _)| ask.kind == order.task.kind());
        if asks.is_empty() {
            return Err(Failure::Refused(Refusal::WrongKind));
        }
        asks.retain(|(ask, _)| ask.tier >= order.tier);
        if asks.is_empty() {
            return Err(Failure::NoTier(order.tier));
        }
        let context = asks.iter().map(|(ask, _)| ask.context_tokens).max().unwrap_or(0);
        asks.retain(|(ask, _)| u64::from(ask.context_tokens) >= lot.input.count());
        if asks.is_empty() {
            return Err(Failure::Refused(Refusal::OverContext(context.into())));
        }
        asks.retain(|(ask, _)| order.preferences.allow(&ask.provider));
        if asks.is_empty() {
            return Err(Failure::NotWanted { others });
        }
        let memory = &self.shared.memory;
        let is_small = memory.purchases.is_small(&order.model, lot);
        let again = asks.iter().map(|(ask, prefix)| memory.asked_again_at(now, &ask.provider, *prefix));
        let again_at = again.min().unwrap_or(now);
        asks.retain(|(ask, prefix)| memory.place(now, &ask.provider, *prefix, is_small) != Place::Barred);
        if asks.is_empty() { Err(Failure::left_alone(now, again_at)) } else { Ok(asks) }
    }
}
