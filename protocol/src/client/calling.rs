//! The calls of an order: whom each invites, how long bids are gathered, and how many are enough.

use crate::ident::NodeId;
use crate::io::Output;
use crate::limits;
use crate::market::auction::Auction;
use crate::market::call::{Call, CallId, Caller};
use crate::market::explore::Due;
use crate::market::invite::{Enough, Share};
use crate::market::topic::Topic;
use crate::time::{Span, Time};
use crate::wire::message::{Gossip, ToProvider};

use super::back_off::BackOff;
use super::progress::Progress;
use super::shared::SharedState;

impl Progress {
    /// Calls for bids.
    pub(super) fn call(&mut self, now: Time, shared: &mut SharedState) -> Auction {
        let id = CallId(shared.entropy.bytes());
        let called = self.addressees(now, &id, shared);
        self.is_direct = !called.is_empty();
        if self.is_direct {
            return self.call_directly(now, id, called, shared);
        }
        let config = &shared.config;
        // A call to everybody that nobody answered may have been lost, or the topic is not joined yet: each one waits
        // longer. (`MK-15`)
        let window = BackOff::span(config.bid_window, self.unanswered);
        self.back_off.called(now);
        self.called_at = now;
        let topic = Topic::Model(self.order.model);
        let again = self.invites.is_some() || self.back_off.failures() > 0;
        // Each failure doubles the number of bids wanted. (`MK-17`)
        let wanted = config.enough_bids.saturating_mul(1 << self.back_off.failures().min(8));
        // Of providers that the user names, none may be left out by chance.
        let named = self.order.preferences.named().map(<[NodeId]>::len);
        let known = match named {
            Some(_) => Share::ALL,
            None => shared.crowds.call_share(topic, wanted),
        };
        // Of the crowd, more may be known by now than when the last call was widened.
        let invited = self.invites.take().map_or(known, |widened| widened.max(known));
        self.invited = invited;
        let (call, closes_at) = self.call_for_bids(now, id, window, invited, shared);
        // Providers that were silent before are waited for again: they may only have been busy or
        // slow.
        let enough = match named {
            Some(named) => Enough { proven: 0, all: named },
            None => self.enough(again, shared),
        };
        let rule = config.market.rule;
        let regulars = if invited < Share::ALL { self.regulars(&id, shared) } else { Vec::new() };
        shared.crowds.call(id.0, topic, invited, closes_at, &regulars);
        for provider in &regulars {
            let call = Call { invited: Share::ALL, ..call.clone() };
            shared.outbox.send_to_provider(*provider, ToProvider::Call(call));
        }
        let gossip = Gossip::Call(call.sign(&shared.identity));
        shared.outbox.push(Output::Broadcast { topic, gossip });
        Auction::new(id, call.classes(), closes_at, enough)
            .by(rule)
            .inviting_all(invited >= Share::ALL)
            .beside(regulars)
    }

    /// Calls those alone that are known to sell. (`MK-66`)
    fn call_directly(
        &mut self,
        now: Time,
        id: CallId,
        called: Vec<NodeId>,
        shared: &mut SharedState,
    ) -> Auction {
        let (call, closes_at) = self.call_for_bids(now, id, limits::DIRECT_WINDOW, Share::ALL, shared);
        // Who answers later is told that it is too late, for as long as a call to everybody would be open.
        shared.crowds.call_some(id.0, closes_at + shared.config.bid_window);
        for provider in &called {
            shared.outbox.send_to_provider(*provider, ToProvider::Call(call.clone()));
        }
        self.invited = Share::NOBODY;
        Auction::new(id, call.classes(), closes_at, Enough { proven: 0, all: 0 })
            .by(shared.config.market.rule)
            .among(called)
    }

    /// Returns a call for the task that is left, and when bids for it stop being read.
    fn call_for_bids(
        &self,
        now: Time,
        id: CallId,
        window: Span,
        invited: Share,
        shared: &SharedState,
    ) -> (Call, Time) {
        let caller = Caller {
            client: shared.identity.id(),
            seal_key: shared.seal_key.public(),
            made_s: shared.memory.clock.unix_s(now),
        };
        let (classes, left) = (self.lot().classes(), self.deadline.since(now));
        let call = Call::for_order(id, caller, &self.order, classes, left, window, invited);
        (call, (now + window).min(self.deadline))
    }

    /// Returns how many bids are waited for: with those of strangers, where one may be tried. (`MK-20`)
    fn enough(&self, again: bool, shared: &SharedState) -> Enough {
        let (model, memory) = (&self.order.model, &shared.memory);
        let is_due = memory.purchases.of(model).is_some_and(|bought| bought.exploration.due() > Due::No);
        let wanted = shared.config.enough_bids.min(limits::PROVEN_WANTED);
        if again {
            Enough { proven: wanted, all: wanted }
        } else {
            let market = &shared.config.market;
            let is_proven = |bidder: &NodeId| memory.level(bidder) > 0 || !market.quota;
            shared.crowds.enough(Topic::Model(*model), wanted, is_due && market.quota, is_proven)
        }
    }
}
