//! Direct calls: an order asks those that are known to sell its model first, and everybody only where they do not suffice.
//! (`MK-66`)

use std::collections::BTreeMap;

use crate::ident::{NodeId, Prefix};
use crate::limits;
use crate::market::ask::Ask;
use crate::market::book::Seller;
use crate::market::call::CallId;
use crate::market::explore::Due;
use crate::market::score::Place;
use crate::time::Time;
use crate::work::price::Price;

use super::progress::Progress;
use super::shared::SharedState;

/// One that may be called.
struct Addressee {
    provider: NodeId,
    prefix: Prefix,
    place: Place,
    /// What it asks or bid last.
    price: Price,
}

impl Progress {
    /// Returns whom the order calls directly: nobody where too few are known, where it has called before, or where its user names
    /// providers.
    pub(super) fn addressees(&mut self, now: Time, call: &CallId, shared: &mut SharedState) -> Vec<NodeId> {
        let is_first = core::mem::replace(&mut self.may_call_directly, false);
        if !is_first || !shared.config.market.direct || self.order.preferences.named().is_some() {
            return Vec::new();
        }
        let chosen = self.choose(now, call, shared);
        let turn = |shared: &mut SharedState| {
            shared.memory.purchases.of_mut(self.order.model).is_none_or(|bought| bought.direct.takes_turn())
        };
        if chosen.len() < limits::DIRECT_MIN || !turn(shared) { Vec::new() } else { chosen }
    }

    /// Returns those to whom a call to a part of the crowd goes as well: of those that have served, the few with the most good jobs.
    /// Else many names would make a crowd of which those are not invited, and have its orders among themselves. (`MK-17`)
    pub(super) fn regulars(&self, call: &CallId, shared: &SharedState) -> Vec<NodeId> {
        let mut known: Vec<(u8, u64, Prefix, NodeId)> = shared
            .memory
            .proven(&self.order.model)
            .filter(|(provider, _)| self.order.preferences.allow(provider) && !self.failed.contains(provider))
            .map(|(provider, prefix)| {
                (shared.memory.level(provider), provider.draw(&call.0), prefix, *provider)
            })
            .collect();
        known.sort_by_key(|(level, draw, ..)| (core::cmp::Reverse(*level), *draw));
        let mut prefixes: Vec<Prefix> = Vec::new();
        let mut regulars = Vec::new();
        for (.., prefix, provider) in known {
            if regulars.len() < limits::DIRECT_BEST && !prefixes.contains(&prefix) {
                prefixes.push(prefix);
                regulars.push(provider);
            }
        }
        regulars
    }

    /// Chooses the three best, one proven other by chance, and one stranger where one may be tried or nobody is proven.
    fn choose(&self, now: Time, call: &CallId, shared: &SharedState) -> Vec<NodeId> {
        let known = self.able_sellers(now, shared);
        let exploration =
            shared.memory.purchases.of(&self.order.model).map(|bought| bought.exploration.due());
        let nobody_is_proven = known.iter().all(|known| known.place != Place::Proven);
        let takes_stranger = nobody_is_proven || exploration.is_some_and(|due| due > Due::No);
        let is_one_prefix = known.windows(2).all(|pair| matches!(pair, [a, b] if a.prefix == b.prefix));
        let mut of_prefix: BTreeMap<(Prefix, bool), usize> = BTreeMap::new();
        let mut chosen: Vec<NodeId> = Vec::new();
        let mut take = |one: &Addressee| {
            let is_proven = one.place == Place::Proven;
            let most = if is_proven { limits::BIDS_A_PREFIX_MAX } else { 1 };
            let held = of_prefix.entry((one.prefix, is_proven)).or_default();
            let has_room = is_one_prefix || *held < most;
            if has_room && !chosen.contains(&one.provider) {
                *held = held.saturating_add(1);
                chosen.push(one.provider);
                true
            } else {
                false
            }
        };
        let mut best = 0;
        for one in &known {
            if best < limits::DIRECT_BEST && take(one) {
                best = best.saturating_add(1);
            }
        }
        let mut by_chance: Vec<&Addressee> = known.iter().collect();
        by_chance.sort_by_key(|one| one.provider.draw(&call.0));
        let mut take_by_chance = |is_proven: bool| {
            by_chance.iter().any(|one| (one.place == Place::Proven) == is_proven && take(one));
        };
        take_by_chance(true);
        if takes_stranger {
            take_by_chance(false);
        }
        chosen
    }

    /// Returns those that are known to sell and could take the order: first who would be asked first, then by price.
    fn able_sellers(&self, now: Time, shared: &SharedState) -> Vec<Addressee> {
        let (lot, order, memory) = (self.lot(), &self.order, &shared.memory);
        let is_small = memory.purchases.is_small(&order.model, &lot);
        let can = |ask: &Ask| {
            ask.kind == order.task.kind()
                && ask.tier >= order.tier
                && u64::from(ask.context_tokens) > lot.input.count()
        };
        let mut able: Vec<Addressee> = shared
            .book
            .sellers(now, &order.model)
            .into_iter()
            .filter(|seller| {
                seller.ask.is_none_or(can)
                    && order.preferences.allow(&seller.provider)
                    && !self.failed.contains(&seller.provider)
            })
            .map(|Seller { provider, prefix, price, .. }| {
                let place = memory.place(now, &provider, prefix, is_small);
                Addressee { provider, prefix, place, price }
            })
            .filter(|one| !matches!(one.place, Place::Last | Place::Barred))
            .collect();
        able.sort_by_key(|one| (one.place, one.price, one.provider));
        able
    }
}
