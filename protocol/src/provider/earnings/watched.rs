//! Which channels a provider can afford to watch: it refuses what it could not see closed in time, and lets go of what it
//! no longer can. (`CH-35`)

use super::{Earnings, announce};
use crate::amount::Nano;
use crate::channel::pace::{Pace, fits};
use crate::channel::terms::CHALLENGE_S_MAX;
use crate::io::ChannelChange;
use crate::limits;
use crate::outbox::Outbox;

impl Earnings {
    /// Learns how fast the shell sees what happens to channels. A provider that sees too little settles what stands on its
    /// channels early, and closes those with the shortest challenge times where even half of one would pass unseen.
    pub(in crate::provider) fn set_pace(&mut self, pace: Pace, settle_at: Nano, outbox: &mut Outbox) {
        self.pace = Some(pace);
        self.reckon();
        let settle_at = self.settle_at(settle_at);
        for channel in self.channels.values_mut() {
            channel.claim_if_due(settle_at, outbox);
        }
        // While nothing is seen, nothing can be closed either, and the ledger may be back in a moment.
        if !pace.is_blind() {
            self.let_go(pace, outbox);
        }
    }

    /// Whether one more channel can be watched as its challenge time asks, beside those that the ledger shows funded.
    pub(super) fn has_room_for(&self, challenge_s: u32) -> bool {
        self.pace.is_none_or(|pace| fits(self.taken.saturating_add(pace.share(challenge_s))))
    }

    /// Lets the oldest channel go that was funded and never used, if there is one: a deposit of next to nothing must not hold a
    /// place for ever.
    pub(super) fn make_room(&mut self, outbox: &mut Outbox) {
        let unused = |channel: &&super::Channel| {
            let earner = &channel.earner;
            channel.is_funded() && !channel.closing && earner.served() == Nano::ZERO
        };
        let free = self.channels.values().map(|channel| &**channel).filter(unused);
        let free = free.filter(|channel| !self.unwatchable.contains(&channel.earner.account()));
        let oldest = free.min_by_key(|channel| channel.earner.seen().map(|state| state.epoch));
        if let Some(oldest) = oldest.filter(|_| !self.pace.is_some_and(Pace::is_blind)) {
            announce(&oldest.earner, ChannelChange::Unwatchable, outbox);
            self.unwatchable.insert(oldest.earner.account());
        }
    }

    /// The challenge time that a new client is asked for.
    pub(in crate::provider) fn least_challenge_s(&self, configured_s: u32) -> u32 {
        let wanted = self.pace.map_or(Some(0), |pace| pace.least_challenge_s(self.taken));
        configured_s.max(wanted.unwrap_or(CHALLENGE_S_MAX))
    }

    /// The unsettled amount at which a channel is settled: little, while closes are seen too late, if they are at all.
    pub(in crate::provider) fn settle_at(&self, configured: Nano) -> Nano {
        let blind = self.pace.is_some_and(Pace::is_blind);
        if blind || fits(self.taken) { configured } else { configured.min(limits::SETTLE_AT_STRAINED) }
    }

    /// A channel was funded, or its funding is gone. One too many is closed at once: several clients may have been told
    /// that there is room before any of them had paid in.
    pub(super) fn funded(&mut self, account: &[u8; 32], outbox: &mut Outbox) {
        let before = self.taken;
        self.reckon();
        let is_new = self.taken > before && !self.pace.is_some_and(Pace::is_blind);
        if let Some(channel) = self.channels.get(account).filter(|_| is_new && !fits(self.taken)) {
            announce(&channel.earner, ChannelChange::Unwatchable, outbox);
            self.unwatchable.insert(*account);
        }
    }

    pub(in crate::provider) fn take_unwatchable(&mut self) -> impl Iterator<Item = [u8; 32]> + use<> {
        core::mem::take(&mut self.unwatchable).into_iter()
    }

    /// Adds up what the funded channels need.
    pub(super) fn reckon(&mut self) {
        let Some(pace) = self.pace else { return };
        let funded = self.channels.values().filter(|channel| channel.is_funded());
        let shares = funded.map(|channel| pace.share(channel.earner.terms().challenge_s));
        self.taken = shares.fold(0, u64::saturating_add);
    }

    fn let_go(&mut self, pace: Pace, outbox: &mut Outbox) {
        let share = |challenge_s| pace.share_within(challenge_s, limits::WATCH_TIMES_LEAST);
        let funded = self.channels.iter().filter(|(_, channel)| channel.is_funded());
        let mut by_challenge: Vec<(u32, [u8; 32])> =
            funded.map(|(account, channel)| (channel.earner.terms().challenge_s, *account)).collect();
        let mut taken = by_challenge.iter().map(|(s, _)| share(*s)).fold(0, u64::saturating_add);
        by_challenge.sort_unstable();
        for (challenge_s, account) in by_challenge {
            if fits(taken) {
                break;
            }
            taken = taken.saturating_sub(share(challenge_s));
            if let Some(channel) = self.channels.get(&account).filter(|channel| !channel.closing) {
                announce(&channel.earner, ChannelChange::Unwatchable, outbox);
                self.unwatchable.insert(account);
            }
        }
    }
}
