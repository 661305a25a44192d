//! What a client remembers of its providers: who served it well and how fast, who failed it, and until when it leaves a failed one
//! alone. It is written down, so that neither another order nor a restart begins anew. (`MK-31`) Beside it, its purchases.

use crate::channel::record::{Record, Reputation};
use crate::clock::WallClock;
use crate::ident::{NodeId, Prefix};
use crate::limits;
use crate::market::explore::Trial;
use crate::market::history::Timing;
use crate::market::score::{Place, Speed};
use crate::outbox::Outbox;
use crate::table::Table;
use crate::time::{Span, Time};
use crate::work::order::ModelId;

use super::known_provider::{Delay, KnownProvider, rest_s, timed};
use super::purchases::{Purchases, Service};

/// Everything that is remembered.
#[derive(Debug)]
pub(super) struct Memory {
    /// What its dates are by, and those of calls and seeks.
    pub(super) clock: WallClock,
    known: Table<NodeId, KnownProvider>,
    pub(super) purchases: Purchases,
}

impl Memory {
    /// Restores what the store held. Of two records of one provider, as two copies of a home leave
    /// them, the worse counts.
    pub(super) fn restored(clock_s: u64, records: &[Record]) -> Self {
        let mut known: Table<NodeId, KnownProvider> = Table::default();
        for record in records {
            let Record::Reputation(reputation) = record else { continue };
            let newer = known
                .get(&reputation.provider)
                .is_none_or(|other| other.reputation.failures < reputation.failures);
            if newer && known.len() < limits::PROVIDERS_REMEMBERED_MAX {
                known.insert(reputation.provider, KnownProvider::new(*reputation));
            }
        }
        Self { clock: WallClock::new(clock_s), known, purchases: Purchases::default() }
    }

    /// Returns how many good jobs a provider has done since it last failed. (`CH-31`)
    pub(super) fn level(&self, provider: &NodeId) -> u8 {
        self.known.get(provider).map_or(0, |known| known.reputation.level)
    }

    /// Returns whether a provider has ever served well.
    pub(super) fn has_served(&self, provider: &NodeId) -> bool {
        self.known.get(provider).is_some_and(|known| known.reputation.good > 0)
    }

    /// Returns those that have served well since they last failed, and this model last.
    pub(super) fn proven(&self, model: &ModelId) -> impl Iterator<Item = (&NodeId, Prefix)> {
        let is_proven =
            |known: &KnownProvider| known.reputation.level > 0 && known.reputation.model == *model;
        let proven = self.known.iter().filter(move |(_, known)| is_proven(known));
        proven.map(|(provider, known)| (provider, known.reputation.prefix))
    }

    /// Returns whether a provider has served well so often that one failure does not end the
    /// acquaintance. (`CH-31`)
    pub(super) fn is_trusted(&self, provider: &NodeId) -> bool {
        self.known.get(provider).is_some_and(|known| {
            let failures = known.reputation.failures.saturating_add(1);
            known.reputation.good >= failures.saturating_mul(limits::GOOD_JOBS_A_FAILURE)
        })
    }

    /// Returns how fast a provider was with a model, as measured; of a stranger, how fast the others were. (`MK-7`)
    pub(super) fn speed(&self, provider: &NodeId, model: &ModelId) -> Speed {
        let crowd = self.purchases.of(model).map(|bought| bought.history.median_timing()).unwrap_or_default();
        let own = self.known.get(provider).filter(|known| known.reputation.model == *model);
        own.map(|known| known.reputation.timing).unwrap_or_default().speed(&crowd)
    }

    /// Returns in which turn a bidder for a lot that is small or not is asked, whose bid came from this prefix. (`MK-32`)
    pub(super) fn place(&self, now: Time, provider: &NodeId, prefix: Prefix, is_small: bool) -> Place {
        let now_s = self.clock.unix_s(now);
        let mut failed = false;
        if let Some(known) = self.known.get(provider) {
            failed = known.failures(now_s) > 0;
            if known.is_resting(now_s) {
                let has_chance = self.may_have_chance(known, now_s, prefix) && now >= known.chance.due();
                let is_asked = has_chance || self.is_forgiven(known, now_s);
                return if is_asked { Place::Last } else { Place::Barred };
            }
            let yields = known.yields(now);
            failed |= yields;
            match known.reputation.level {
                0 => {}
                level if yields || level == 1 && !is_small => return Place::Tried,
                _ => return Place::Proven,
            }
        }
        match self.failures_of(now_s, prefix) {
            0 if !failed => Place::Unknown,
            0..limits::PREFIX_FAILURES => Place::Doubtful,
            failures => {
                let until = self.prefix_rests_until_s(prefix, failures);
                if now_s < until { Place::Barred } else { Place::Doubtful }
            }
        }
    }

    /// Returns when a provider that is being left alone is asked again where nobody else bids, if not now. ([`Self::place`])
    pub(super) fn asked_again_at(&self, now: Time, provider: &NodeId, prefix: Prefix) -> Time {
        let now_s = self.clock.unix_s(now);
        let at = |until_s: u64| now + Span::from_s(until_s.saturating_sub(now_s));
        match self.known.get(provider).filter(|known| known.is_resting(now_s)) {
            Some(known) if self.is_forgiven(known, now_s) => now,
            Some(known) => {
                let rested = at(known.rests_until_s(known.failures(now_s)));
                let has_chance = self.may_have_chance(known, now_s, prefix);
                if has_chance { rested.min(known.chance.due()) } else { rested }
            }
            None => match self.failures_of(now_s, prefix) {
                0..limits::PREFIX_FAILURES => now,
                failures => at(self.prefix_rests_until_s(prefix, failures)),
            },
        }
    }

    /// Returns whether a provider that is being left alone is asked now and then where nobody else bids: it has served, or has
    /// failed once only, and not from where others failed as well.
    fn may_have_chance(&self, known: &KnownProvider, now_s: u64, prefix: Prefix) -> bool {
        let was_unlucky =
            || known.failures(now_s) < 2 && self.failures_of(now_s, prefix) < limits::PREFIX_FAILURES;
        known.reputation.good > 0 || was_unlucky()
    }

    /// Notes that a provider is there again: it has answered a seek.
    pub(super) fn is_back(&mut self, now: Time, provider: &NodeId) {
        if let Some(known) = self.known.get_mut(provider) {
            known.chance.is_back(now);
        }
    }

    /// Returns until which second of the day the unproven names of a prefix are left alone that has failed so often.
    fn prefix_rests_until_s(&self, prefix: Prefix, failures: u8) -> u64 {
        let beyond = failures.saturating_sub(limits::PREFIX_FAILURES).saturating_add(1);
        self.failed_last_s(prefix).saturating_add(rest_s(beyond))
    }

    /// Returns whether a provider that is being left alone is asked all the same if nobody else bids: it has earned that, or only
    /// ever refused.
    fn is_forgiven(&self, known: &KnownProvider, now_s: u64) -> bool {
        if known.refusals > 0 {
            return true;
        }
        let owed = known.failures(now_s).saturating_mul(limits::GOOD_JOBS_A_FAILURE);
        known.reputation.good >= owed
    }

    fn unproven(&self, prefix: Prefix) -> impl Iterator<Item = &KnownProvider> {
        self.known
            .values()
            .filter(move |known| known.reputation.prefix == prefix && known.reputation.level == 0)
    }

    /// Returns the failures of all unproven providers of a prefix.
    fn failures_of(&self, now_s: u64, prefix: Prefix) -> u8 {
        self.unproven(prefix).fold(0u8, |sum, known| sum.saturating_add(known.failures(now_s)))
    }

    fn failed_last_s(&self, prefix: Prefix) -> u64 {
        self.unproven(prefix).map(|known| known.reputation.failed_at_s).max().unwrap_or(0)
    }

    /// Remembers that anything of use came from a provider, for whichever order.
    pub(super) fn gave(&mut self, now: Time, provider: NodeId, prefix: Prefix) {
        if let Some(known) = self.entry(now, provider, prefix) {
            known.gave_at = Some(now);
        }
    }

    /// Returns whether a provider works for this client: anything of use has come from it since a job began, for whichever order, or
    /// came a moment ago.
    pub(super) fn works(&self, now: Time, provider: &NodeId, began: Time) -> bool {
        let since = began.min(Time(now.0.saturating_sub(limits::WORKS.0)));
        self.known.get(provider).and_then(|known| known.gave_at).is_some_and(|at| at >= since)
    }

    /// Remembers a job that ended well.
    pub(super) fn served(
        &mut self,
        now: Time,
        provider: NodeId,
        prefix: Prefix,
        service: &Service,
        outbox: &mut Outbox,
    ) {
        let model = service.model;
        self.tried(&provider, model, Trial::Good);
        self.purchases.served(prefix, service);
        let Some(known) = self.entry(now, provider, prefix) else { return };
        known.refusals = 0;
        known.chance.served();
        let before = known.reputation;
        let reputation = &mut known.reputation;
        reputation.prefix = prefix;
        reputation.good = reputation.good.saturating_add(1);
        // At the top it goes on by as many as take a failure off.
        reputation.level =
            reputation.level.checked_add(1).unwrap_or(u8::MAX - (limits::GOOD_JOBS_A_FAILURE - 1));
        if let Some(timing) = service.timing {
            *reputation = timed(*reputation, model, timing);
        }
        if reputation.level.is_multiple_of(limits::GOOD_JOBS_A_FAILURE) {
            known.slow.made_up();
            known.refused_late.made_up();
            reputation.failures = reputation.failures.saturating_sub(1);
        }
        if *reputation != before {
            outbox.persist(Record::Reputation(*reputation));
        }
    }

    /// Remembers that a provider failed a job that `began` then. It is left alone for a while, in every order and after a
    /// restart.
    pub(super) fn failed(
        &mut self,
        now: Time,
        began: Time,
        provider: NodeId,
        prefix: Prefix,
        model: ModelId,
        outbox: &mut Outbox,
    ) {
        self.tried(&provider, model, Trial::Failed);
        let now_s = self.clock.unix_s(now);
        let Some(known) = self.entry(now, provider, prefix) else { return };
        known.refusals = 0;
        let is_news = known.chance.is_news(began);
        if is_news {
            known.chance.failed(now);
        }
        if known.is_resting(now_s) && (known.reputation.good > 0 || !is_news) {
            // A provider that dies with ten jobs on hand has failed once, and one that has served is being given chances.
            return;
        }
        let failures = known.failures(now_s).saturating_add(1);
        let reputation = &mut known.reputation;
        reputation.prefix = prefix;
        reputation.failures = failures;
        reputation.level = 0;
        reputation.failed_at_s = now_s;
        outbox.persist(Record::Reputation(*reputation));
    }

    /// Remembers that nothing of a job had come at its order's deadline, as its provider said that it waits for its turn, or was at
    /// work for others of this client's orders. Returns whether it is a failure, as it was so too often in a row: words and single
    /// tokens are free. (`MK-31`)
    pub(super) fn was_slow(
        &mut self,
        now: Time,
        provider: &NodeId,
        delay: Delay,
        outbox: &mut Outbox,
    ) -> bool {
        let most = if self.works(now, provider, delay.began) { limits::SLOW_WHILE_IT_WORKS } else { 1 };
        let Some(known) = self.known.get_mut(provider) else { return true };
        let is_failure = !known.slow.is_same(delay.began) && known.slow.times >= most;
        if !is_failure {
            known.delayed(now, |known| &mut known.slow, delay, outbox);
        }
        is_failure
    }

    /// Remembers that a provider refused a job which it had held for longer than it promised. Other proven ones are asked before it
    /// for a while: nothing but time was lost, and its line may be of this client's making. (`MK-31`)
    pub(super) fn refused_late(&mut self, now: Time, provider: &NodeId, delay: Delay, outbox: &mut Outbox) {
        if let Some(known) = self.known.get_mut(provider) {
            known.delayed(now, |known| &mut known.refused_late, delay, outbox);
        }
    }

    /// Remembers that a provider refused an award, or answered with nothing, before it ever served this
    /// client. Once or twice is normal in a market; a bidder that does nothing else takes the place of
    /// one that serves. What was awarded before it last failed so is the same failure. (`MK-31`)
    pub(super) fn refused(
        &mut self,
        now: Time,
        began: Time,
        provider: NodeId,
        prefix: Prefix,
        model: ModelId,
        outbox: &mut Outbox,
    ) {
        if self.level(&provider) > 0 {
            return;
        }
        let Some(known) = self.entry(now, provider, prefix) else { return };
        let refusals = known.refusals.saturating_add(1);
        if refusals.is_multiple_of(limits::REFUSALS_A_FAILURE) {
            self.failed(now, began, provider, prefix, model, outbox);
        }
        if let Some(known) = self.known.get_mut(&provider) {
            known.refusals = refusals;
        }
    }

    /// Returns what is known of a provider, or a new entry. If there is no room, it takes the place of
    /// the least missed.
    fn entry(&mut self, now: Time, provider: NodeId, prefix: Prefix) -> Option<&mut KnownProvider> {
        if !self.known.contains_key(&provider) {
            let slot = self.free_slot(now)?;
            let reputation = Reputation {
                slot,
                provider,
                prefix,
                good: 0,
                level: 0,
                failures: 0,
                failed_at_s: 0,
                model: ModelId([0; 32]),
                timed: 0,
                timing: Timing::default(),
            };
            self.known.insert(provider, KnownProvider::new(reputation));
        }
        self.known.get_mut(&provider)
    }

    fn free_slot(&mut self, now: Time) -> Option<u16> {
        if self.known.len() < limits::PROVIDERS_REMEMBERED_MAX {
            let mut taken: Vec<u16> = self.known.values().map(|known| known.reputation.slot).collect();
            taken.sort_unstable();
            taken.dedup();
            let free = taken.iter().zip(0u16..).find(|(slot, place)| **slot != *place);
            return free.map_or(u16::try_from(taken.len()).ok(), |(_, place)| Some(place));
        }
        let now_s = self.clock.unix_s(now);
        // The provider with the most good jobs goes last, and one that is being left alone goes after
        // those whose rest is over.
        let least = self
            .known
            .iter()
            .min_by_key(|(_, known)| {
                let reputation = &known.reputation;
                (reputation.good, known.is_resting(now_s), reputation.failed_at_s)
            })
            .map(|(provider, known)| (*provider, known.reputation.slot));
        let (provider, slot) = least?;
        self.known.remove(&provider);
        Some(slot)
    }

    /// Learns from the first try of a provider. (`MK-33`)
    fn tried(&mut self, provider: &NodeId, model: ModelId, trial: Trial) {
        if self.known.get(provider).is_some_and(|known| known.reputation.good > 0) {
            return;
        }
        if let Some(bought) = self.purchases.of_mut(model) {
            bought.exploration.learn(trial);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: NodeId = NodeId([1; 32]);
    const PREFIX: Prefix = Prefix::of_ipv4([192, 0, 2, 1]);
    const MODEL: ModelId = ModelId([2; 32]);

    /// (`MK-31`) It is left alone, so that it takes nobody's place, and asked where nobody else bids: it may only be full.
    #[test]
    fn a_stranger_that_only_refuses_is_asked_where_nobody_else_bids() {
        let (mut memory, mut outbox) = (Memory::restored(1_000, &[]), Outbox::default());
        let place = |memory: &Memory| memory.place(Time(0), &BUSY, PREFIX, true);
        // A burst of awards, refused one after the other.
        for refusals in 1..=20 {
            memory.refused(Time(refusals), Time(1), BUSY, PREFIX, MODEL, &mut outbox);
            assert_eq!(place(&memory), if refusals < 3 { Place::Unknown } else { Place::Last }, "{refusals}");
        }
        assert_eq!(memory.known.get(&BUSY).map(|known| known.reputation.failures), Some(1));
        assert_eq!(memory.asked_again_at(Time(20), &BUSY, PREFIX), Time(20));
        memory.failed(Time(30), Time(25), BUSY, PREFIX, MODEL, &mut outbox);
        assert_eq!(place(&memory), Place::Barred);
        assert!(memory.asked_again_at(Time(30), &BUSY, PREFIX) > Time(30));
    }

    /// (`MK-31`) Also of one that has served more often than is counted.
    #[test]
    fn each_third_good_job_excuses_slowness_once() {
        let (mut memory, mut outbox) = (Memory::restored(1_000, &[]), Outbox::default());
        let service =
            Service { model: MODEL, won: None, output_log2: 6, output_tokens: 8, units: 1, timing: None };
        for good in 1..=600_u64 {
            memory.served(Time(good), BUSY, PREFIX, &service, &mut outbox);
            let delay = Delay { began: Time(good), model: MODEL, timing: None };
            let is_failure = memory.was_slow(Time(good), &BUSY, delay, &mut outbox);
            assert_eq!(is_failure, !good.is_multiple_of(3) && good > 1, "{good}");
        }
    }
}
