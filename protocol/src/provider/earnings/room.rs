//! Room for the channels that clients name: whose place a newcomer takes, and how long one is kept that nobody funds. (`CH-51`)

use super::Earnings;
use super::channel::Channel;
use crate::channel::id::ChannelId;
use crate::channel::ledger::LedgerCall;
use crate::fair;
use crate::ident::{NodeId, Origin};
use crate::limits;
use crate::outbox::Outbox;
use crate::time::Time;
use crate::wire::message::Refusal;

impl Earnings {
    /// Returns whose place a new channel of this client takes, if one must go. Of those that the ledger has not shown: the
    /// oldest of the same client, or one of a stranger. Of those that it has shown and that were never paid on, the oldest.
    pub(super) fn room(
        &self,
        newcomer: Origin,
        has_paid: impl Fn(&NodeId) -> bool,
    ) -> Result<Option<ChannelId>, Refusal> {
        let held = |is_held: &dyn Fn(&Channel) -> bool| -> Vec<(ChannelId, Origin, Time)> {
            let held = self.channels.iter().filter(|(_, channel)| is_held(channel));
            held.map(|(account, channel)| (*account, channel.origin, channel.since)).collect()
        };
        let unfunded = held(&Channel::is_unfunded);
        let own: Vec<_> = unfunded.iter().copied().filter(|(_, of, _)| of.node == newcomer.node).collect();
        if own.len() >= limits::UNFUNDED_PER_CLIENT_MAX {
            return Ok(fair::victim(&own, newcomer));
        }
        if unfunded.len() >= limits::UNFUNDED_MAX {
            let strangers: Vec<_> =
                unfunded.iter().copied().filter(|(_, of, _)| !has_paid(&of.node)).collect();
            let all_paid = strangers.is_empty() && has_paid(&newcomer.node);
            let out = fair::victim(if all_paid { &unfunded } else { &strangers }, newcomer);
            return out.map(Some).ok_or(Refusal::Busy);
        }
        if self.channels.len().saturating_sub(unfunded.len()) >= limits::CHANNELS_MAX {
            let idle = held(&|channel| channel.is_established && !channel.earner.has_vouchers());
            let oldest = idle.into_iter().min_by_key(|(_, _, since)| *since);
            return oldest.map(|(account, ..)| Some(account)).ok_or(Refusal::Busy);
        }
        Ok(None)
    }

    /// Returns whether there is a reason to keep a channel that the ledger has not shown and no job
    /// is on: a voucher, for a while.
    pub(in crate::provider) fn is_awaited(&self, now: Time, account: &ChannelId) -> bool {
        let is_kept = |channel: &Channel| {
            channel.is_established
                || (channel.earner.has_vouchers() && now < channel.since + limits::EARLY_KEPT)
        };
        self.channels.get(account).is_some_and(|channel| is_kept(channel))
    }

    /// Returns every channel that the ledger has not shown.
    pub(in crate::provider) fn unfunded(&self) -> impl Iterator<Item = ChannelId> {
        self.channels.iter().filter(|(_, channel)| channel.is_unfunded()).map(|(account, _)| *account)
    }

    /// Forgets a channel that nothing is on.
    pub(in crate::provider) fn abandon(&mut self, account: &ChannelId, out: &mut Outbox) {
        if self.channels.remove(account).is_some() {
            out.call(LedgerCall::Unwatch { account: *account });
            self.reckon();
        }
    }
}
