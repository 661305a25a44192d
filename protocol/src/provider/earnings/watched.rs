//! Which channels a provider can afford to watch: it refuses what it could not see closed in time, and lets go of what it
//! no longer can. (`CH-35`)

use super::Earnings;
use crate::amount::Nano;
use crate::channel::id::ChannelId;
use crate::channel::pace::{Pace, fits};
use crate::channel::terms::CHALLENGE_S_MAX;
use crate::io::ChannelChange;
use crate::limits;
use crate::outbox::Outbox;
use crate::time::Time;

impl Earnings {
    /// Learns how fast the shell sees what happens to channels. A provider that sees too little settles what stands on its
    /// channels early, and closes those with the shortest challenge times where even half of one would pass unseen.
    pub(in crate::provider) fn set_pace(&mut self, pace: Pace, out: &mut Outbox) {
        self.pace = Some(pace);
        self.reckon();
        let settle_at = self.settle_at();
        for channel in self.channels.values_mut() {
            channel.claim_if_due(settle_at, out);
        }
        // While nothing is seen, nothing can be closed either, and the ledger may be back in a moment.
        if !pace.is_blind() {
            self.let_go(pace, out);
        }
    }

    /// Returns whether one more channel can be watched as its challenge time asks, beside those
    /// that the ledger shows funded.
    pub(super) fn has_room_for(&self, challenge_s: u32) -> bool {
        self.pace.is_none_or(|pace| fits(self.taken.saturating_add(pace.share(challenge_s))))
    }

    /// Lets a channel go that is of least use, if there is one: the oldest that was funded and never used, else the one on which
    /// least was paid of those that are poor and idle. A deposit or a voucher of next to nothing must not hold a place for
    /// ever.
    pub(super) fn make_room(&mut self, now: Time, out: &mut Outbox) {
        if self.pace.is_some_and(Pace::is_blind) {
            return;
        }
        let free = |channel: &&super::Channel| {
            let earner = &channel.earner;
            channel.is_funded() && !earner.is_ordered() && !self.unwatchable.contains(&earner.account())
        };
        let is_unused = |channel: &super::Channel| channel.earner.served() == Nano::ZERO;
        let is_poor = |channel: &super::Channel| {
            channel.earner.paid() < limits::SETTLE_AT_STRAINED && now >= channel.used + limits::POOR_IDLE
        };
        let held = self.channels.values().map(|channel| &**channel).filter(free);
        let least = held.filter(|channel| is_unused(channel) || is_poor(channel)).min_by_key(|channel| {
            let epoch = channel.earner.seen().map(|state| state.epoch);
            (!is_unused(channel), channel.earner.paid(), epoch)
        });
        if let Some(least) = least {
            least.announce(ChannelChange::Unwatchable, out);
            self.unwatchable.insert(least.earner.account());
        }
    }

    /// Returns the challenge time that a new client is asked for.
    pub(super) fn least_challenge_s(&self) -> u32 {
        let wanted = self.pace.map_or(Some(0), |pace| pace.least_challenge_s(self.taken));
        let wanted = wanted.unwrap_or(CHALLENGE_S_MAX);
        // More than this few clients grant a provider that they do not know.
        let usual = limits::CHALLENGE_STRANGER_S;
        self.payee.challenge_s.max(if wanted > usual && self.has_room_for(usual) { usual } else { wanted })
    }

    /// Returns the unsettled amount at which a channel is settled: little, while closes are seen too late, if they are at all.
    pub(super) fn settle_at(&self) -> Nano {
        let blind = self.pace.is_some_and(Pace::is_blind);
        if blind || fits(self.taken) {
            self.settle_at
        } else {
            self.settle_at.min(limits::SETTLE_AT_STRAINED)
        }
    }

    /// Notes that a channel was funded, or its funding is gone. One too many is closed at once:
    /// several clients may have been told that there is room before any of them had paid in.
    pub(super) fn funded(&mut self, account: &ChannelId, out: &mut Outbox) {
        let before = self.taken;
        self.reckon();
        let is_new = self.taken > before && !self.pace.is_some_and(Pace::is_blind);
        if let Some(channel) = self.channels.get(account).filter(|_| is_new && !fits(self.taken)) {
            channel.announce(ChannelChange::Unwatchable, out);
            self.unwatchable.insert(*account);
        }
    }

    pub(super) fn take_unwatchable(&mut self) -> impl Iterator<Item = ChannelId> + use<> {
        core::mem::take(&mut self.unwatchable).into_iter()
    }

    /// Adds up what the funded channels need.
    pub(super) fn reckon(&mut self) {
        let Some(pace) = self.pace else { return };
        let funded = self.channels.values().filter(|channel| channel.is_funded());
        let shares = funded.map(|channel| pace.share(channel.earner.terms().challenge_s));
        self.taken = shares.fold(0, u64::saturating_add);
    }

    fn let_go(&mut self, pace: Pace, out: &mut Outbox) {
        let share = |challenge_s| pace.share_within(challenge_s, limits::WATCH_TIMES_LEAST);
        let funded = self.channels.iter().filter(|(_, channel)| channel.is_funded());
        let mut by_challenge: Vec<(u32, ChannelId)> =
            funded.map(|(account, channel)| (channel.earner.terms().challenge_s, *account)).collect();
        let mut taken = by_challenge.iter().map(|(s, _)| share(*s)).fold(0, u64::saturating_add);
        by_challenge.sort_unstable();
        for (challenge_s, account) in by_challenge {
            if fits(taken) {
                break;
            }
            taken = taken.saturating_sub(share(challenge_s));
            if let Some(channel) = self.channels.get(&account).filter(|channel| !channel.earner.is_ordered())
            {
                channel.announce(ChannelChange::Unwatchable, out);
                self.unwatchable.insert(account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{CloseKey, NamedChannel};
    use super::*;
    use crate::channel::key_proof::KeyProof;
    use crate::channel::ledger::{ChannelState, LedgerEvent};
    use crate::channel::terms::{Address, ChannelTerms};
    use crate::channel::voucher::{Acceptance, Voucher};
    use crate::ident::{NodeId, Origin, Prefix};
    use crate::io::Output;
    use crate::market::bid::Payee;
    use crate::time::Span;
    use crate::wire::message::{Payment, Refusal};

    struct Books {
        earnings: Earnings,
        payee: Payee,
        out: Outbox,
    }

    impl Books {
        fn new(pace: Pace) -> Self {
            let key = CloseKey::new([2; 32]);
            let address = Address::basechain([4; 32]);
            let payee = Payee { network_id: -3, key: key.public(), address, challenge_s: 1 };
            let mut out = Outbox::default();
            let mut earnings = Earnings::restored(key, payee, Nano(1_000_000_000), Vec::new(), 0, &mut out);
            earnings.set_pace(pace, &mut out);
            Self { earnings, payee, out }
        }

        fn learn(&mut self, salt: u64, challenge_s: u32) -> Result<ChannelId, Refusal> {
            self.learn_at(Time(1), salt, challenge_s)
        }

        fn learn_at(&mut self, now: Time, salt: u64, challenge_s: u32) -> Result<ChannelId, Refusal> {
            let (provider_key, provider) = (self.payee.key, self.payee.address);
            let terms =
                ChannelTerms { salt, provider_key, provider, challenge_s, ..ChannelTerms::for_tests() };
            let origin = Origin { node: NodeId([9; 32]), prefix: Prefix::UNKNOWN };
            let binding = [6; 32];
            let key_proof = KeyProof { binding, account: terms.id() }.sign(&CloseKey::new([1; 32]).signing());
            let channel = NamedChannel { terms, binding, key_proof };
            self.earnings.learn(now, channel, origin, |_| true, &mut self.out).map(|learnt| learnt.account)
        }

        fn fund(&mut self, account: ChannelId, epoch: u64) {
            let state = ChannelState { epoch, deposit: Nano(5), settled: Nano::ZERO, closing: None };
            let event = LedgerEvent::Channel { account, state: Some(state) };
            self.earnings.ledger(Time(1), 0, &event, &mut self.out);
        }
    }

    /// (`CH-35`)
    #[test]
    fn a_channel_that_was_funded_and_never_used_makes_room_for_who_comes() {
        let mut books = Books::new(Pace { every: Span::from_ms(700), delay: Span::from_ms(1_700) });
        let used = books.learn(1, 60).unwrap();
        let idle = books.learn(2, 60).unwrap();
        for (epoch, account) in (1..).zip([used, idle]) {
            books.fund(account, epoch);
        }
        books.earnings.find_mut(&used).unwrap().exposure.serve(Nano(1));
        assert_eq!(books.learn(3, 60), Err(Refusal::ChallengeTooShort));
        assert_eq!(books.earnings.take_unwatchable().collect::<Vec<_>>(), [idle]);
        assert!(books.learn(3, 36_000).is_ok(), "a longer challenge needs fewer looks");
        let third = books.learn(4, 240).unwrap();
        books.fund(third, 3);
        assert_eq!(books.earnings.least_challenge_s(), limits::CHALLENGE_STRANGER_S);
    }
    /// (`CH-35`) A token's price on each of as many channels as can be watched would else keep everybody out, for good.
    #[test]
    fn poor_and_idle_channels_make_room_and_those_in_use_do_not() {
        let mut books = Books::new(Pace { every: Span::from_ms(700), delay: Span::from_ms(1_700) });
        let channels = [1, 2].map(|salt| books.learn(salt, 60).unwrap());
        for (epoch, account) in (1..).zip(channels) {
            books.fund(account, epoch);
            books.earnings.find_mut(&account).unwrap().exposure.serve(Nano(1));
        }
        let late = Time(1) + limits::POOR_IDLE;
        assert_eq!(books.learn_at(Time(late.0 - 1), 3, 60), Err(Refusal::ChallengeTooShort));
        assert_eq!(books.earnings.take_unwatchable().count(), 0, "they may still come back");
        assert!(books.learn_at(late, 1, 60).is_ok(), "a job on the first one");
        assert_eq!(books.learn_at(late, 3, 60), Err(Refusal::ChallengeTooShort));
        assert_eq!(books.earnings.take_unwatchable().collect::<Vec<_>>(), [channels[1]]);
    }

    /// (`CH-10`, `CO-2`) What a watcher holds is never ahead of the provider's own disk, and never waits for anything else.
    #[test]
    fn a_watcher_is_handed_a_voucher_when_its_record_is_durable() {
        let mut books = Books::new(Pace { every: Span::from_ms(700), delay: Span::from_ms(1_700) });
        let account = books.learn(1, 60).unwrap();
        books.fund(account, 9);
        while !matches!(books.out.poll(|| Time(0)), Output::Wake(_)) {}
        let voucher = Voucher { account, epoch: 9, cumulative: Nano(3) };
        let signature = voucher.sign(&CloseKey::new([1; 32]).signing());
        let payment = Payment { epoch: 9, cumulative: Nano(3), signature };
        assert_eq!(books.earnings.accept(&account, payment, &mut books.out), Ok(Acceptance::More));
        let Output::Persist { id, .. } = books.out.poll(|| Time(0)) else { panic!("it is written") };
        assert!(
            matches!(books.out.poll(|| Time(0)), Output::Wake(_)),
            "nobody hears of it before it is durable"
        );
        books.out.persisted(id);
        let Output::Watch(watched) = books.out.poll(|| Time(0)) else { panic!("then the watcher does") };
        assert_eq!(
            (*watched.voucher, watched.voucher.signature, watched.challenge_s),
            (voucher, signature, 60)
        );
    }
}
