//! The bidder: prices a call from the provider's load, holds the bids that can be awarded, and learns how many are won.

use crate::fair;
use crate::ident::{NodeId, Origin};
use crate::io::Offer;
use crate::limits;
use crate::market::bid::{Bid, BidHash};
use crate::market::call::{Call, CallId, Classes};
use crate::table::Table;
use crate::time::{Span, Time};
use crate::wire::message::{Refusal, Release};
use crate::work::order::{ModelId, TaskKind};
use crate::work::price::Price;

use super::answered::{AnsweredRequests, RequestKey};
use super::appointments::{Appointment, Appointments};
use super::offers::Offers;
use super::quotes::{DoneJob, Quotes};
use super::sales::Sales;
use super::win_rate::WinRate;

/// Holds what this provider offers, and every bid that it is bound by.
#[derive(Debug)]
pub(super) struct Bidder {
    pub(super) offers: Offers,
    quotes: Quotes,
    promises: Table<CallKey, Promise>,
    /// No promise expires or stops to be expected before.
    next_expiry: Time,
    seen: AnsweredRequests,
    /// Clients that come back later.
    pub(super) appointments: Appointments,
    /// What came of its bids.
    pub(super) sales: Sales,
    wins: WinRate,
}

/// Key of a call: caller and id. Both, so that an attacker who reuses another caller's id cannot suppress the answer to the
/// real call.
type CallKey = (NodeId, CallId);

/// What was bid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Promised {
    /// The model.
    pub(super) model: ModelId,
    /// The price.
    pub(super) price: Price,
    /// Until the job can begin.
    pub(super) start: Span,
    /// The size classes that it is for.
    pub(super) classes: Classes,
}

/// A bid that can be awarded: the part of it that an award is checked against.
#[derive(Debug)]
struct Promise {
    terms: Promised,
    /// The hash that an award must name.
    hash: BidHash,
    /// When it expires.
    until: Time,
    /// Until then it counts as a job that may come; `None` once it was counted as lost.
    expected_until: Option<Time>,
    /// Whether it was awarded: from then on it is the winner's for the time of a lease.
    leased: bool,
    /// Whether a job was taken on it.
    won: bool,
    /// Whom it was made to.
    origin: Origin,
    /// When it was made.
    since: Time,
    /// Whether it was made to a customer: only their bids are expected to become jobs.
    is_customer: bool,
}

/// What a call is worth to this provider at its present load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// The price.
    pub(super) price: Price,
    /// Milliseconds until the job can begin.
    pub(super) start_ms: u32,
    /// Input tokens read in a second.
    pub(super) read_tps: u32,
    /// Output tokens made in a second.
    pub(super) write_tps: u32,
}

impl Default for Bidder {
    fn default() -> Self {
        Self {
            offers: Offers::default(),
            quotes: Quotes::default(),
            promises: Table::default(),
            next_expiry: Time::NEVER,
            seen: AnsweredRequests::default(),
            appointments: Appointments::default(),
            sales: Sales::default(),
            wins: WinRate::default(),
        }
    }
}

impl Bidder {
    /// Returns the dedup key if this call or seek has not been answered, `None` if it has. (`MK-4`)
    #[must_use]
    pub(super) fn unseen(&self, client: &NodeId, id: &[u8; 16]) -> Option<RequestKey> {
        self.seen.unseen(client, id)
    }

    /// Remembers a call or a seek as answered.
    pub(super) fn remember(&mut self, now: Time, key: RequestKey) {
        self.seen.insert(now, key);
    }

    /// Returns the terms to bid for `call`. (`MK-21`)
    ///
    /// `busy` is the number of the model's slots in use. Outstanding bids to customers count as used slots in proportion to the
    /// recent win rate; bids to strangers count for nothing. The price rises linearly by 25 % from idle to full. Returns the
    /// terms, but for the wait for a slot, and how many bids are likely to be won.
    ///
    /// # Errors
    /// [`Refusal`] tells why there is no bid. (`MK-49`)
    pub(super) fn price(&self, call: &Call, busy: u16) -> Result<(Terms, u16), Refusal> {
        let offer = self.offers.find(&call.model).ok_or(Refusal::UnknownBid)?;
        let context = u64::from(offer.context_tokens);
        if offer.kind != call.kind {
            return Err(Refusal::WrongKind);
        }
        // The call tells size classes: input and answer may need as little as half of each.
        let Classes { input_log2, .. } = call.classes();
        let input = 1u64.checked_shl(u32::from(input_log2).saturating_sub(1)).unwrap_or(u64::MAX);
        let output = call.classes().output_tokens_max() / 2;
        let is_small = input_log2 <= Classes::of(0, 0).input_log2;
        // Each text to embed has the context to itself, and the class counts all of them.
        let room = match offer.kind {
            TaskKind::Embed => context.saturating_mul(limits::EMBED_INPUTS_MAX as u64),
            TaskKind::Generate => context,
        };
        if output > context || (!is_small && input >= room) {
            return Err(Refusal::OverContext(context));
        }
        let may_come = |promise: &Promise| {
            promise.is_customer
                && !promise.leased
                && promise.expected_until.is_some()
                && promise.terms.model == call.model
        };
        let out = self.promises.values().filter(|promise| may_come(promise));
        let likely = self.wins.of(out.count());
        let taken = busy.saturating_add(likely);
        Ok((self.terms(offer, call.classes(), Some(&call.client), taken), likely))
    }

    /// Returns an offer's terms for tasks of these classes, for one client or for anybody, with so many of its slots in use.
    #[must_use]
    pub(super) fn terms(&self, offer: &Offer, classes: Classes, client: Option<&NodeId>, busy: u16) -> Terms {
        let busy = busy.min(offer.slots);
        let load =
            u64::from(busy).saturating_mul(250_000).checked_div(u64::from(offer.slots)).unwrap_or(250_000);
        let jobs = u32::from(busy).saturating_add(1).min(u32::from(offer.slots).max(1));
        let per_job = |speed: u32| speed.checked_div(jobs).unwrap_or(0);
        let idle = self.quotes.quote(offer, classes, client);
        Terms {
            price: idle.scaled(1_000_000u64.saturating_add(load)).unwrap_or(idle),
            start_ms: offer.start_ms,
            read_tps: per_job(offer.read_tps),
            write_tps: per_job(offer.write_tps),
        }
    }

    /// Learns from a job that ended well.
    pub(super) fn served(&mut self, model: &ModelId, job: &DoneJob) {
        if let Some(offer) = self.offers.find(model) {
            self.quotes.learn(offer, job);
        }
    }

    /// Holds a bid until it expires, is awarded or released. Returns whether another one had to make room for it: one of those
    /// who hold most, among strangers or among customers. (`MK-43`)
    pub(super) fn promise(
        &mut self,
        now: Time,
        origin: Origin,
        is_customer: bool,
        bid: &Bid,
        classes: Classes,
        hash: BidHash,
    ) -> bool {
        let most = if is_customer {
            limits::PROMISES_MAX.saturating_sub(limits::STRANGERS_PROMISES_MAX)
        } else {
            limits::STRANGERS_PROMISES_MAX
        };
        let alike = |promise: &&Promise| promise.is_customer == is_customer;
        let is_full = self.promises.len() >= most && self.promises.values().filter(alike).count() >= most;
        if is_full {
            let held: Vec<(CallKey, Origin, Time)> = self
                .promises
                .iter()
                .filter(|(_, promise)| promise.is_customer == is_customer)
                .map(|(key, promise)| (*key, promise.origin, promise.since))
                .collect();
            fair::victim(&held, origin).and_then(|key| self.promises.remove(&key));
        }
        let until = now + Span::from_ms(u64::from(bid.valid_ms));
        let expected = until.min(now + limits::BID_EXPECTED);
        self.next_expiry = self.next_expiry.min(expected);
        let promise = Promise {
            terms: Promised {
                model: bid.model,
                price: bid.price,
                start: Span::from_ms(u64::from(bid.start_ms)),
                classes,
            },
            hash,
            until,
            expected_until: Some(expected),
            leased: false,
            won: false,
            origin,
            since: now,
            is_customer,
        };
        self.promises.insert((origin.node, bid.call), promise);
        self.sales.bids = self.sales.bids.saturating_add(1);
        is_full
    }

    /// Accepts an award: the bid becomes a lease. Returns what was bid. (`MK-10`)
    ///
    /// # Errors
    /// [`Refusal`] when this client holds no such bid, or the price is below it.
    pub(super) fn award(
        &mut self,
        now: Time,
        client: NodeId,
        call: CallId,
        hash: BidHash,
        price: Price,
    ) -> Result<Promised, Refusal> {
        let promise = self
            .promises
            .get_mut(&(client, call))
            .filter(|promise| promise.hash == hash && promise.until > now)
            .ok_or(Refusal::UnknownBid)?;
        if price < promise.terms.price {
            return Err(Refusal::PriceBelowBid);
        }
        let promised = promise.terms;
        if !core::mem::replace(&mut promise.leased, true) {
            promise.until = now + limits::LEASE_VALID;
            if promise.is_customer {
                self.wins.learn(true);
            }
        }
        Ok(promised)
    }

    /// Counts a bid as won: a job was taken on it.
    pub(super) fn taken(&mut self, client: NodeId, call: CallId, price: Price) {
        if let Some(promise) = self.promises.get_mut(&(client, call))
            && !core::mem::replace(&mut promise.won, true)
        {
            self.sales.won(promise.terms.price, price);
        }
    }

    /// Notes that a client comes back later with work of a bid that it releases. (`MK-50`)
    pub(super) fn comes_back(&mut self, now: Time, client: NodeId, call: CallId, after: Span) {
        let promise = self.promises.get(&(client, call)).filter(|promise| !promise.leased);
        let Some(Promise { terms: Promised { model, classes, .. }, origin, is_customer, .. }) = promise
        else {
            return;
        };
        let Some(work) = self.work(model, *classes) else { return };
        let until = now + after.min(limits::COME_BACK_MAX) + limits::CALL_WAIT_MAX;
        let made = Appointment {
            model: *model,
            work,
            origin: *origin,
            is_customer: *is_customer,
            since: now,
            until,
        };
        self.appointments.make(now, made);
    }

    /// Returns how long the engine of a model on offer works on a task of these classes.
    pub(super) fn work(&self, model: &ModelId, classes: Classes) -> Option<Span> {
        self.offers.find(model).map(|offer| self.quotes.work(offer, classes))
    }

    /// Drops a bid whose call was awarded to another provider.
    pub(super) fn release(&mut self, client: NodeId, release: &Release) {
        let call = release.call;
        let Some(promise) = self.promises.get(&(client, call)).filter(|promise| !promise.leased) else {
            return;
        };
        let is_news = promise.expected_until.is_some() && promise.is_customer;
        self.promises.remove(&(client, call));
        self.sales.lost(release);
        if is_news {
            self.wins.learn(false);
        }
    }

    /// Counts the bids as lost that nobody took in time, and drops those that have expired. (`MK-21`)
    pub(super) fn expire(&mut self, now: Time) {
        if now < self.next_expiry {
            return;
        }
        let mut lost = 0u32;
        let mut next = Time::NEVER;
        self.promises.retain(|_, promise| {
            let waits = promise.expected_until.filter(|_| !promise.leased);
            if waits.is_some_and(|until| until <= now) {
                promise.expected_until = None;
                lost = lost.saturating_add(u32::from(promise.is_customer));
            }
            let stands = promise.until > now;
            let due = waits.filter(|until| *until > now).unwrap_or(promise.until);
            next = if stands { next.min(due) } else { next };
            stands
        });
        self.next_expiry = next;
        (0..lost).for_each(|_| self.wins.learn(false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::Prefix;

    fn id(number: u64) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        id
    }

    /// (`MK-43`)
    #[test]
    fn bids_to_strangers_fill_their_own_room_and_customers_find_theirs_empty() {
        let mut bidder = Bidder::default();
        let mut promise = |number: usize, is_customer: bool| {
            let number = u64::try_from(number).expect("small");
            let mut node = [u8::from(is_customer); 32];
            node[..8].copy_from_slice(&number.to_le_bytes());
            let [a, b, ..] = number.to_le_bytes();
            let origin = Origin { node: NodeId(node), prefix: Prefix::of_ipv4([10, a, b, 1]) };
            let bid = Bid { call: CallId(id(number)), valid_ms: 30_000, ..Bid::for_tests() };
            let made_room =
                bidder.promise(Time(number), origin, is_customer, &bid, Classes::of(1, 1), BidHash([6; 32]));
            (made_room, bidder.promises.len())
        };
        let (strangers, all) = (limits::STRANGERS_PROMISES_MAX, limits::PROMISES_MAX);
        for number in 0..strangers {
            assert_eq!(promise(number, false), (false, number + 1));
        }
        assert_eq!(promise(strangers, false), (true, strangers));
        for number in strangers..all {
            assert_eq!(promise(number, true), (false, number + 1));
        }
        assert_eq!(promise(all, true), (true, all));
        assert_eq!(promise(all + 1, false), (true, all));
    }
}
