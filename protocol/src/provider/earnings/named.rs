//! How a channel is learnt from the terms that a client names with a task.

use super::channel::Channel;
use super::{Earnings, NamedChannel, TaskChannel};
use crate::channel::earn::Earner;
use crate::channel::key_proof::KeyProof;
use crate::channel::ledger::LedgerCall;
use crate::channel::terms::AgreedTerms;
use crate::ident::{NodeId, Origin};
use crate::outbox::Outbox;
use crate::time::Time;
use crate::wire::message::Refusal;

impl Earnings {
    /// Learns a channel from the terms that a client proposes; its address follows from them. Nothing is counted on a channel
    /// that is not shown to be the client's own. (`CH-1`, `CH-53`)
    pub(in crate::provider) fn learn(
        &mut self,
        now: Time,
        NamedChannel { terms, binding, key_proof }: NamedChannel,
        origin: Origin,
        has_paid: impl Fn(&NodeId) -> bool,
        out: &mut Outbox,
    ) -> Result<TaskChannel, Refusal> {
        let payee = self.payee;
        let mine = terms.provider_key == payee.key && terms.provider == payee.address;
        if !mine || terms.network_id != payee.network_id {
            return Err(Refusal::ChannelTerms);
        }
        let terms = AgreedTerms::from(terms);
        let account = terms.id();
        let known = self.channels.get_mut(&account);
        // The account is a hash of the terms, so that those of a known channel have been checked.
        let is_fit = known.is_some()
            || (terms.check(payee.network_id).is_ok() && terms.challenge_s >= payee.challenge_s);
        if !is_fit {
            return Err(Refusal::ChannelTerms);
        }
        if (KeyProof { binding, account }).verify(&terms.client_key, &key_proof).is_err() {
            return Err(Refusal::BadKeyProof);
        }
        if let Some(known) = known {
            // What one node pays makes no other a customer.
            if known.earner.client() != origin.node {
                return Err(Refusal::ChannelTerms);
            }
            if known.earner.is_ending() {
                // Also where the close is over: of that its client has seen nothing yet.
                return Err(Refusal::Unfunded);
            }
            known.used = now;
            if known.earner.is_gone() {
                known.come_back(out);
                self.deadlines.touch(account);
            } else if known.earner.seen().is_none() {
                // The shell watches for a while what nobody funds, and then no more.
                out.call(LedgerCall::Watch { account });
            }
            return Ok(TaskChannel { account, in_place_of: None });
        }
        if !self.has_room_for(terms.challenge_s) {
            self.make_room(now, out);
            return Err(Refusal::ChallengeTooShort);
        }
        let in_place_of = self.room(origin, has_paid)?;
        let channel = Channel::new(Earner::new(terms, origin.node), origin, now);
        self.channels.insert(account, Box::new(channel));
        out.call(LedgerCall::Watch { account });
        Ok(TaskChannel { account, in_place_of })
    }
}
