//! What the ledger shows of a channel that this node earns on, and for how long that is relied on. (`CH-57`)

use super::{Earner, EarnerChange};
use crate::amount::Nano;
use crate::channel::fault::Mismatch;
use crate::channel::ledger::ChannelState;
use crate::channel::sight::Sight;
use crate::channel::voucher::Acceptance;
use crate::time::Time;

impl Earner {
    /// Returns what the ledger showed last in this life.
    #[must_use]
    pub fn seen(&self) -> Option<ChannelState> {
        self.sight.filter(|sight| !sight.is_remembered()).map(|sight| sight.state())
    }

    /// Returns what the ledger showed last, in this life or an earlier one, and however long ago.
    #[must_use]
    pub fn shown(&self) -> Option<ChannelState> {
        self.sight.map(|sight| sight.state())
    }

    /// Returns the funding that the ledger showed last, however long ago.
    pub(super) fn shown_ever(&self) -> Option<ChannelState> {
        self.shown().filter(|state| state.epoch != 0)
    }

    /// Returns the funding that the ledger has shown lately: what is served and paid for by it. (`CH-57`)
    pub(super) fn shown_funding(&self) -> Option<ChannelState> {
        self.shown_ever().filter(|_| self.sight.as_ref().is_some_and(Sight::counts))
    }

    /// Returns whether the ledger has not shown it funded, or not lately enough: then it has credit at the most. (`CH-57`)
    #[must_use]
    pub fn is_unseen(&self) -> bool {
        self.shown_funding().is_none()
    }

    /// Returns whether the ledger has shown it funded, and too long ago to serve on that: it is no news for its client, whose own
    /// ledger may be well. (`CH-57`)
    #[must_use]
    pub fn is_out_of_sight(&self) -> bool {
        self.is_unseen() && self.shown_ever().is_some()
    }

    /// Returns whether it is open, and was looked at lately enough to serve on that. (`CH-57`)
    #[must_use]
    pub fn is_relied_on(&self) -> bool {
        self.is_open() && !self.is_unseen()
    }

    /// Returns until when it is served on what the ledger showed last, if it is. (`CH-57`)
    #[must_use]
    pub fn relied_on_until(&self) -> Option<Time> {
        self.sight_until().filter(|_| self.is_relied_on())
    }

    /// Returns until when what the ledger showed last counts or has counted.
    pub(crate) fn sight_until(&self) -> Option<Time> {
        self.sight.map(|sight| sight.until())
    }

    /// Notes that it is now this late: what the ledger showed last may count no more. (`CH-57`)
    pub(crate) fn age(&mut self, now: Time, unix_s: u64) {
        if let Some(sight) = &mut self.sight {
            sight.age(now, unix_s);
        }
    }

    /// Notes that it is this second now, and was taken to be another. (`CH-57`)
    pub(crate) fn put_clock(&mut self, before_s: u64, unix_s: u64) {
        if let Some(sight) = &mut self.sight {
            sight.put_clock(before_s, unix_s);
        }
    }

    /// Returns the second of the look that an earlier life has taken, if that is the newest one.
    pub(crate) fn remembered_at_s(&self) -> Option<u64> {
        self.sight.filter(Sight::is_remembered).map(|sight| sight.record().at_s)
    }

    /// Relies no more on what an earlier life was shown. (`CH-57`)
    pub(crate) fn distrust_remembered(&mut self) {
        if let Some(sight) = self.sight.as_mut().filter(|sight| sight.is_remembered()) {
            sight.distrust();
        }
    }

    /// Puts it out of use, because the ledger shows no such account. Its vouchers are kept: that may be untrue. (`CH-37`)
    pub fn vanish(&mut self) {
        self.gone = true;
        self.sight = None;
    }

    /// Takes what the ledger shows at this second, which may be untrue: it opens a channel or stops service on it, and neither
    /// pays nor forgets. (`CH-24`, `CH-30`)
    pub fn observe(&mut self, now: Time, unix_s: u64, state: ChannelState) -> EarnerChange {
        let mut observed =
            EarnerChange { counts: core::mem::take(&mut self.gone), ..EarnerChange::default() };
        if state.epoch != 0 {
            let before = self.seen().filter(|seen| seen.epoch != 0);
            let known = self.newest.map(|newest| newest.epoch).or(before.map(|seen| seen.epoch));
            let settled = before.map_or(Nano::ZERO, |seen| seen.settled);
            if let Some(known) = known.filter(|known| *known != state.epoch) {
                let is_new = before.is_none_or(|seen| seen.epoch != state.epoch);
                observed.mismatch = is_new.then_some(Mismatch::Epoch { known, shown: state.epoch });
                observed.counts |= is_new;
                self.turn_to(state.epoch);
            } else if self.shelved.as_ref().is_some_and(|shelved| shelved.epoch == state.epoch) {
                self.turn_to(state.epoch);
            } else if state.closing.is_none() && state.settled > self.paid().max(settled) {
                // In a close the client may have brought a voucher that never came here.
                observed.mismatch = Some(Mismatch::Settled { known: self.paid(), shown: state.settled });
            }
        }
        self.sight = Some(Sight::new(now, unix_s, state, self.terms.challenge_s));
        if let Some(early) = self.early.take() {
            let behind = self.mismatch(early.cumulative);
            let counts = self.accept(*early) == Ok(Acceptance::More);
            observed.counts |= counts;
            observed.mismatch = observed.mismatch.or(behind.filter(|_| counts));
        }
        observed
    }

    /// Turns to the funding that the ledger shows now: its vouchers count, and those of the one before are put aside.
    fn turn_to(&mut self, epoch: u64) {
        let back = self.shelved.take_if(|shelved| shelved.epoch == epoch);
        if self.newest.is_some() && self.shelved.is_some() {
            return;
        }
        if let Some(newest) = self.newest.take() {
            self.shelved = Some(Box::new(newest));
        }
        self.newest = back.map(|back| *back);
        self.exposure.turn_to(self.newest.map_or(Nano::ZERO, |newest| newest.cumulative));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::channel::terms::ChannelTerms;
    use crate::channel::voucher::Voucher;
    use crate::ident::NodeId;
    use crate::time::Span;
    use crate::wire::message::Payment;

    const LOOKED_S: u64 = 10_000;
    const WINDOW: Nano = Nano(10);
    const OPEN: ChannelState =
        ChannelState { epoch: 7, deposit: Nano(1_000), settled: Nano::ZERO, closing: None };

    fn looked_at() -> Earner {
        let mut earner = Earner::new(ChannelTerms::for_tests(), NodeId([9; 32]));
        earner.observe(Time(0), LOOKED_S, OPEN);
        earner
    }

    fn pay(earner: &mut Earner, cumulative: Nano) -> Acceptance {
        let voucher = Voucher { account: earner.account(), epoch: 7, cumulative };
        let signature = voucher.sign(&ed25519_dalek::SigningKey::from_bytes(&[1; 32]));
        earner.accept(Payment { epoch: 7, cumulative, signature }).unwrap()
    }

    /// What a client gets that closes behind a provider's back, once the ledger is dead, and pays with vouchers that are worth
    /// nothing: each second a window. The provider starts again each so many seconds, if at all. Also the last second.
    fn stolen(restarts: Option<u64>) -> (Nano, u64) {
        let (mut earner, mut began_s, mut last_s) = (looked_at(), LOOKED_S, 0);
        for second in 0..200 {
            let unix_s = LOOKED_S + second;
            if restarts.is_some_and(|every| second % every == every - 1) {
                (earner, began_s) = (Earner::restored(earner.record(), unix_s), unix_s);
            }
            earner.age(Time(0) + Span::from_s(unix_s - began_s), unix_s);
            let allowed = earner.allowance(WINDOW, Nano::ZERO);
            earner.exposure.serve(allowed);
            if allowed > Nano::ZERO {
                last_s = second;
            }
            let served = earner.served();
            pay(&mut earner, served);
        }
        (earner.served(), last_s)
    }

    /// (`CH-57`)
    #[test]
    fn who_closes_behind_a_provider_without_a_ledger_gets_no_more_from_one_that_is_started_again() {
        let (most, last_s) = stolen(None);
        assert_eq!((most, last_s), (Nano(300), 29), "half of a challenge of 60 s");
        for every in 1..60 {
            let (more, late_s) = stolen(Some(every));
            assert!(more <= most && late_s <= last_s, "{more} until {late_s}, every {every} s");
            assert!(more >= Nano(280), "and little less: {more}, every {every} s");
        }
    }

    /// (`CH-57`) A store that was put back may remember a channel that its own later life has closed.
    #[test]
    fn a_voucher_beyond_what_the_store_knows_ends_the_reliance_on_what_it_remembers() {
        let mut earner = Earner::restored(looked_at().record(), LOOKED_S + 5);
        earner.age(Time(0), LOOKED_S + 5);
        assert!(earner.is_relied_on() && earner.mismatch(Nano(1)).is_some());
        assert_eq!(pay(&mut earner, Nano(1)), Acceptance::More);
        earner.distrust_remembered();
        assert!(earner.is_open() && !earner.is_relied_on());
        assert_eq!(pay(&mut earner, Nano(2)), Acceptance::Early, "it is kept");
        assert_eq!(earner.allowance(WINDOW, Nano(3)), Nano(3), "as on a channel that was never seen");
        earner.observe(Time(5), LOOKED_S + 6, OPEN);
        earner.distrust_remembered();
        assert_eq!((earner.paid(), earner.is_relied_on()), (Nano(2), true), "a look of this life counts");
    }

    /// (`CH-57`)
    #[test]
    fn nothing_is_remembered_of_a_channel_that_is_ending_or_gone() {
        let closing = ChannelState { closing: Some(Span::from_s(9)), ..OPEN };
        let changes: [fn(&mut Earner, ChannelState); 3] = [
            |earner, _| earner.order(7),
            |earner, _| earner.vanish(),
            |earner, closing| {
                earner.observe(Time(0), LOOKED_S, closing);
            },
        ];
        for change in changes {
            let mut earner = looked_at();
            assert!(earner.record().sight.is_some());
            change(&mut earner, closing);
            assert_eq!(earner.record().sight, None);
        }
    }
}
