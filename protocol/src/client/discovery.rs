//! What is on offer: seeks go out, asks come in, and a provider that leaves is forgotten.

use crate::ident::{NodeId, Prefix};
use crate::io::{Output, PeerFault};
use crate::limits;
use crate::market::ask::Ask;
use crate::market::call::Classes;
use crate::market::invite::Share;
use crate::market::seek::{Seek, SeekId};
use crate::market::seeks::AskVerdict;
use crate::market::topic::Topic;
use crate::time::Time;
use crate::wire::message::{Gossip, ToProvider};
use crate::wire::signed::Signed;
use crate::work::order::ModelId;

use super::Client;
use super::shared::SharedState;

impl Client {
    /// Asks a topic who offers what it is about. (`MK-12`, `MK-18`)
    pub(super) fn seek(&mut self, now: Time, topic: Topic) {
        if !self.seeks.is_due(now, topic) {
            return;
        }
        let SharedState { entropy, crowds, identity, memory, outbox, .. } = &mut self.shared;
        let id = SeekId(entropy.bytes());
        let invited = crowds.share(topic, limits::ASKS_WANTED).unwrap_or(Share::ALL);
        crowds.seek(now, id.0, topic, invited);
        self.seeks.gossiped(now, id, topic);
        let made_s = memory.clock.unix_s(now);
        let seek = Seek { model: topic.model(), ..Seek::for_all(id, identity.id(), invited, made_s) };
        outbox.push(Output::Broadcast { topic, gossip: Gossip::Seek(seek.sign(identity)) });
    }

    /// Asks one provider for everything that it offers. (`MK-62`)
    pub(super) fn seek_from(&mut self, now: Time, provider: NodeId) {
        if !self.seeks.is_provider_due(now, &provider) {
            return;
        }
        let SharedState { entropy, identity, memory, outbox, .. } = &mut self.shared;
        let id = SeekId(entropy.bytes());
        self.seeks.sent(now, id, provider);
        let seek = Seek::for_all(id, identity.id(), Share::ALL, memory.clock.unix_s(now));
        outbox.send_to_provider(provider, ToProvider::Seek(seek));
    }

    /// Asks one provider what it wants for tasks of these classes. (`MK-62`, `MK-64`)
    pub(super) fn seek_price(&mut self, now: Time, provider: NodeId, model: ModelId, classes: Classes) {
        if !self.seeks.is_price_due(now, &provider, model, classes) {
            return;
        }
        let SharedState { entropy, identity, memory, outbox, .. } = &mut self.shared;
        let id = SeekId(entropy.bytes());
        self.seeks.priced(now, id, provider, model, classes);
        let seek = Seek::for_tasks(id, identity.id(), model, classes, memory.clock.unix_s(now));
        outbox.send_to_provider(provider, ToProvider::Seek(seek));
    }

    /// Keeps an ask, if it answers a seek. (`MK-12`)
    pub(super) fn on_ask(&mut self, now: Time, from: NodeId, prefix: Prefix, signed: &Signed) {
        let Ok(ask) = signed.open::<Ask>() else {
            return self.shared.outbox.peer_fault(from, PeerFault::Forged);
        };
        if ask.provider != from || !ask.extensions.are_understood() {
            return;
        }
        match self.seeks.answered(now, &ask) {
            AskVerdict::Wanted => {
                self.shared.crowds.heard(now, &ask.seek.0, from);
                self.shared.memory.is_back(now, &from);
                if let Some(classes) = self.seeks.classes(&ask.seek) {
                    return self.shared.book.asked(now, classes, &ask);
                }
                let is_proven = self.shared.memory.level(&from) > 0;
                self.shared.book.accept(now, prefix, is_proven, ask.into_inner());
            }
            AskVerdict::Late => {}
            AskVerdict::Unasked => self.shared.outbox.peer_fault(from, PeerFault::Malformed),
        }
    }

    /// Counts on nothing any more that a provider has offered. (`MK-61`)
    pub(super) fn on_leaving(&mut self, from: NodeId) {
        self.shared.book.forget(from);
        self.shared.leases.end(from);
        for (_, active) in self.orders.iter_mut() {
            active.progress.candidates.retain(|candidate| candidate.bid.provider != from);
        }
    }
}
