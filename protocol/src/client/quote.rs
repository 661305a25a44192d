//! What an order would cost: read off the standing asks and this client's own memory. Nothing is asked, locked or signed for
//! it. (`MK-64`)

use std::collections::BTreeMap;

use crate::amount::Nano;
use crate::ident::Prefix;
use crate::io::Failure;
use crate::market::ask::Ask;
use crate::market::quote::{Quote, QuotedBill};
use crate::market::score::{Lot, Place};
use crate::time::Time;
use crate::wire::message::Refusal;
use crate::work::order::Order;
use crate::work::price::Price;

use super::Client;
use super::progress::Progress;

impl Client {
    /// Returns what an order would cost at the moment, as far as is known of those that sell. (`MK-64`)
    ///
    /// # Errors
    /// [`Failure`] says why nobody is known that could take it.
    pub fn quote(&self, now: Time, order: &Order) -> Result<Quote, Failure> {
        let progress = Progress::new(now, order.clone());
        let mut lot = progress.lot();
        let lease = progress.leased(now, &self.shared);
        let offers = self.offers(now, order, &lot);
        let sellers = match &offers {
            Ok(sellers) => sellers.as_slice(),
            Err(why) if lease.is_none() => return Err(*why),
            Err(_) => &[],
        };
        let input = lot.input.count();
        let room = |ask: &Ask| {
            let room = u64::from(ask.context_tokens).saturating_sub(input);
            u64::from(ask.output_max).min(room)
        };
        if let Some(most) = sellers.iter().map(|(ask, _)| room(ask)).max() {
            lot.output_tokens_max = lot.output_tokens_max.min(most);
        }
        let mut by_prefix: BTreeMap<Prefix, Price> = BTreeMap::new();
        for (ask, prefix) in sellers {
            let lowest = by_prefix.entry(*prefix).or_insert(ask.price);
            *lowest = ask.price.min(*lowest);
        }
        let mut prices: Vec<Price> = by_prefix.values().copied().collect();
        prices.sort_unstable();
        let cheapest = sellers.iter().map(|(ask, _)| (ask.price, ask.provider)).min();
        let leased = lease.map(|lease| (lease.price, lease.bid.provider));
        let (price, provider) = leased.or(cheapest).ok_or(Failure::NoSeller { others: 0 })?;
        let usual = prices.get(prices.len().saturating_sub(1) / 2).copied().unwrap_or(price);
        let memory = &self.shared.memory;
        let expected = memory.output_tokens(&order.model, &lot).min(lot.output_tokens_max);
        let cost_max = lot.cost_max(price).unwrap_or(Nano(u64::MAX));
        let acquaintance = self.shared.acquaintance(&provider);
        let (opens_channel, locks) =
            self.shared.payments.would_lock_with(&provider, cost_max, acquaintance, &self.shared.config);
        Ok(Quote {
            sellers: sellers.len().max(usize::from(leased.is_some())),
            prefixes: by_prefix.len().max(usize::from(leased.is_some())),
            provider,
            is_leased: leased.is_some(),
            price,
            usual,
            won_lately: memory.model(&order.model).and_then(|bought| bought.history.median_bid()),
            input_tokens: input,
            output_tokens: expected,
            output_tokens_max: lot.output_tokens_max,
            bill: QuotedBill::at(price, &lot, expected),
            usual_bill: QuotedBill::at(usual, &lot, expected),
            opens_channel,
            locks,
        })
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
        let is_small = memory.is_small(&order.model, lot);
        let again = asks.iter().map(|(ask, prefix)| memory.asked_again_at(now, &ask.provider, *prefix));
        let again_at = again.min().unwrap_or(now);
        asks.retain(|(ask, prefix)| memory.place(now, &ask.provider, *prefix, is_small) != Place::Barred);
        if asks.is_empty() { Err(Failure::left_alone(now, again_at)) } else { Ok(asks) }
    }
}
