//! What a provider says to gossip: bids to calls, asks to seeks.

use crate::amount::Nano;
use crate::clock::is_fresh;
use crate::ident::{Origin, Prefix};
use crate::io::Budget;
use crate::limits;
use crate::market::ask::{Ask, asked};
use crate::market::bid::{Bid, BidHash};
use crate::market::call::Call;
use crate::market::seek::Seek;
use crate::session::seal;
use crate::time::{Span, Time};
use crate::wire::codec;
use crate::wire::extension::{Extensions, Features};
use crate::wire::message::{Decline, SealedBid, ToClient};
use crate::work::order::{JobId, ModelId, Tier};

use super::Provider;
use super::turns::WaitingTask;

impl Provider {
    /// Answers a call for a model on offer with a sealed bid, or with why there is none. (`MK-5`, `MK-49`)
    pub(super) fn called(&mut self, now: Time, prefix: Prefix, call: &Call) {
        let node = self.node_id();
        let offered = self.bidder.offers.find(&call.model).is_some();
        if self.draining || !offered || call.client == node || !call.invites(&node) {
            return;
        }
        if !self.may_act_on(now, call.made_s, &call.extensions) || call.tier != Tier::Open {
            return;
        }
        let origin = Origin { node: call.client, prefix };
        let Some(key) = self.bidder.unseen(&call.client, &call.id.0) else { return };
        self.bidder.sales.heard = self.bidder.sales.heard.saturating_add(1);
        let is_customer = self.admission.clientele.is_customer(now, &call.client);
        if !self.admission.may_answer(now, origin, is_customer, limits::ANSWER_UNITS, &mut self.outbox) {
            return;
        }
        self.bidder.remember(now, key);
        let (terms, likely) = match self.bidder.price(call, self.jobs.busy(&call.model)) {
            Ok(terms) => terms,
            Err(why) => {
                let decline = Decline { call: call.id, why, extensions: Extensions::NONE };
                return self.outbox.send_to_client(call.client, ToClient::Decline(decline));
            }
        };
        self.bidder.appointments.is_back(&call.client, &call.model);
        let wait = self.wait_of(now, call, is_customer, usize::from(likely));
        let ahead = self.time_of(now, &call.model, self.bidder.appointments.work_ahead(now, &call.model));
        let ms = |span: Span| u32::try_from(span.as_ms()).unwrap_or(u32::MAX);
        let bid = Bid {
            call: call.id,
            provider: node,
            model: call.model,
            session_key: self.session_key.public(),
            price: terms.price,
            start_ms: terms.start_ms.saturating_add(ms(wait)),
            ahead_ms: ms(ahead),
            read_tps: terms.read_tps,
            write_tps: terms.write_tps,
            keep_s: 0,
            tier: Tier::Open,
            valid_ms: u32::try_from(limits::BID_VALID.as_ms()).unwrap_or(u32::MAX),
            payee: self.payee(),
            credit: self.credit_now(now, origin, &call.model),
            features: Features::OWN,
            extensions: Extensions::NONE,
        };
        let signed = bid.sign(&self.identity);
        let hash = BidHash::of(&signed);
        let plain = codec::encode(&signed);
        // A key that nothing can be sealed to is the caller's own loss.
        let Ok(sealed) = seal(&call.seal_key, &call.id.0, &plain, &mut self.entropy) else { return };
        self.told.note(now, call.client, now + limits::BID_VALID);
        if self.bidder.promise(now, origin, is_customer, &bid, call.classes(), hash) {
            self.admission.crowded(now, Budget::Bids, prefix, &mut self.outbox);
        }
        self.outbox.send_to_client(call.client, ToClient::Bid(SealedBid { call: call.id, sealed }));
    }

    /// Returns how long the job of a call would wait for a slot. (`MK-48`)
    fn wait_of(&self, now: Time, call: &Call, is_customer: bool, likely: usize) -> Span {
        let Some(work) = self.bidder.work(&call.model, call.classes()) else { return Span::MAX };
        let task = WaitingTask { id: JobId([255; 16]), client: call.client, is_customer, since: now, work };
        self.start_in(now, &call.model, task, likely)
    }

    /// Returns whether gossip of this second, with these extensions, is acted upon. (`WI-16`, `WI-18`)
    fn may_act_on(&self, now: Time, made_s: u64, extensions: &Extensions) -> bool {
        is_fresh(made_s, self.clock.unix_s(now)) && extensions.are_understood()
    }

    /// Returns what a new channel of this client would be served before the ledger shows it. (`CH-50`)
    fn credit_now(&self, now: Time, origin: Origin, model: &ModelId) -> Nano {
        if self.is_half_full(model) { Nano::ZERO } else { self.credit.limit(now, origin, None) }
    }

    /// Answers a seek with what is offered of the model, or of all models by turns. (`MK-12`, `MK-19`)
    pub(super) fn sought(&mut self, now: Time, prefix: Prefix, seek: &Seek) {
        let provider = self.node_id();
        if self.draining || seek.client == provider || !seek.invited.invites(&seek.id.0, &provider) {
            return;
        }
        if !self.may_act_on(now, seek.made_s, &seek.extensions) {
            return;
        }
        let Some(key) = self.bidder.unseen(&seek.client, &seek.id.0) else { return };
        let origin = Origin { node: seek.client, prefix };
        let is_customer = self.admission.clientele.is_customer(now, &seek.client);
        for model in self.bidder.offers.sought(seek.model) {
            let Some(ask) = self.ask(&model, seek) else { continue };
            // Each ask is a signature, and counts as an answer.
            if !self.admission.may_answer(now, origin, is_customer, limits::ANSWER_UNITS, &mut self.outbox) {
                return;
            }
            self.bidder.remember(now, key);
            self.told.note(now, seek.client, now + limits::ASK_VALID);
            self.outbox.send_to_client(seek.client, ToClient::Ask(ask.sign(&self.identity)));
        }
    }

    /// Returns what is offered of a model at the moment to the client that seeks.
    fn ask(&self, model: &ModelId, seek: &Seek) -> Option<Ask> {
        let busy = self.jobs.busy(model);
        let offer = self.bidder.offers.find(model)?;
        let classes = seek.classes().unwrap_or(asked(offer.kind));
        let terms = self.bidder.terms(offer, classes, Some(&seek.client), busy);
        Some(Ask {
            provider: self.node_id(),
            model: offer.model,
            name: short(&offer.name),
            kind: offer.kind,
            price: terms.price,
            context_tokens: offer.context_tokens,
            output_max: offer.output_max,
            read_tps: terms.read_tps,
            write_tps: terms.write_tps,
            start_ms: terms.start_ms,
            tier: Tier::Open,
            seek: seek.id,
            valid_ms: u32::try_from(limits::ASK_VALID.as_ms()).unwrap_or(u32::MAX),
            features: Features::OWN,
            extensions: Extensions::NONE,
        })
    }
}

/// Cuts a name to the bytes that an ask may hold, at a character.
fn short(name: &str) -> String {
    let mut end = name.len().min(limits::ASK_NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    name.get(..end).unwrap_or_default().to_owned()
}
