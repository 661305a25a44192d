//! What must hold after every event of every world: a broken invariant stops the run and names itself.

mod blame;
mod channels;
mod orders;
mod pledge;
mod violation;

use std::collections::BTreeMap;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::id::ChannelId;
use bombyx_protocol::channel::ledger::ChannelState;
use bombyx_protocol::channel::terms::AgreedTerms;
use bombyx_protocol::channel::voucher::Voucher;
use bombyx_protocol::io::Output;
use bombyx_protocol::limits;
use bombyx_protocol::time::Time;

use crate::check::channels::Channels;
use crate::check::violation::hold;
use crate::ledger::{Chain, Wallet};
use crate::scenario::Scenario;

pub use crate::check::blame::{Blames, blames_client, blames_provider};
pub use crate::check::orders::OpenOrders;
pub use crate::check::pledge::Pledge;
pub use crate::check::violation::Violation;

/// The history of a run, as far as the invariants need it.
#[derive(Debug, Default)]
pub struct Check {
    channels: Channels,
    /// Orders that are not at their end.
    pub orders: OpenOrders,
}

impl Check {
    /// Creates the check of a scenario's run.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        Self { channels: Channels::default(), orders: OpenOrders::new(scenario) }
    }

    /// Checks that nothing that was said after a record of a channel (`behind`), which is not durable, moves that channel's money.
    /// What is inside of a session is checked where it arrives: [`Self::writes`].
    ///
    /// # Errors
    /// [`Violation`].
    pub fn silence(behind: &[ChannelId], output: &Output) -> Result<(), Violation> {
        let moved = match output {
            Output::Ledger(call) => Some(call.account()),
            Output::Watch(watched) => Some(watched.voucher.account),
            Output::Persist { .. }
            | Output::Send { .. }
            | Output::Broadcast { .. }
            | Output::Count { .. }
            | Output::Run { .. }
            | Output::Allow { .. }
            | Output::Cancel { .. }
            | Output::Event(_)
            | Output::Fault { .. }
            | Output::Wake(_) => None,
        };
        let speaks = moved.is_some_and(|account| behind.contains(&account));
        hold(!speaks, "no output before its record is durable", || format!("{output:?} left before a commit"))
    }

    /// Checks a record that a host writes. A provider never holds a voucher that its client could forget, that pays less than
    /// an earlier one, or that promises more than the ledger holds; a client promises no more than it asks the ledger to lock.
    ///
    /// # Errors
    /// [`Violation`].
    pub fn writes(&mut self, pledge: &Pledge, now: Time, chain: &Chain) -> Result<(), Violation> {
        match pledge {
            // What a provider lends may be above what the ledger shows, while the rest is on its way there: no voucher is.
            Pledge::Promise { locked, cumulative, .. } => {
                hold(*cumulative <= *locked, "no promise above what was asked for", || {
                    format!("{cumulative} promised of {locked}")
                })
            }
            Pledge::Voucher { terms, epoch, cumulative } => {
                self.earns(terms, *epoch, *cumulative)?;
                let shown = chain.state(now, &terms.id());
                Self::is_covered(*cumulative, shown.filter(|state| state.epoch == *epoch))
            }
        }
    }

    fn earns(&mut self, terms: &AgreedTerms, epoch: u64, cumulative: Nano) -> Result<(), Violation> {
        let channel = self.channels.of(terms);
        let promised = channel.promised;
        hold(cumulative <= promised, "no output before its record is durable", || {
            format!("a provider has a voucher over {cumulative}, its client's disk knows of {promised}")
        })?;
        let before = std::mem::replace(&mut channel.vouchers(epoch).written, cumulative);
        hold(before <= cumulative, "vouchers never decrease", || {
            format!("a voucher over {cumulative} follows one over {before}")
        })
    }

    fn is_covered(cumulative: Nano, shown: Option<ChannelState>) -> Result<(), Violation> {
        match shown {
            Some(state) => hold(cumulative <= state.deposit, "no voucher above the deposit", || {
                format!("{cumulative} of {}", state.deposit)
            }),
            None => Ok(()),
        }
    }

    /// Records that a provider with this account lost power: a voucher that was not on its disk is as if it had never come.
    pub fn crashed(&mut self, wallet: &Wallet) {
        let Some(payee) = self.channels.numbers.get(wallet).copied() else { return };
        for channel in self.channels.known.values_mut().filter(|channel| channel.payee == payee) {
            channel.fundings.values_mut().for_each(|vouchers| vouchers.written = vouchers.durable);
        }
    }

    /// Records that a record has become durable.
    ///
    /// # Errors
    /// [`Violation`].
    pub fn durable(&mut self, pledge: &Pledge) -> Result<(), Violation> {
        match pledge {
            Pledge::Promise { terms, cumulative, .. } => {
                let before = std::mem::replace(&mut self.channels.of(terms).promised, *cumulative);
                hold(before <= *cumulative, "promises never decrease", || {
                    format!("a promise of {cumulative} follows one of {before}")
                })
            }
            Pledge::Voucher { terms, epoch, cumulative } => {
                self.channels.of(terms).vouchers(*epoch).durable = *cumulative;
                Ok(())
            }
        }
    }

    /// Checks a voucher that goes to the ledger: its bearer has it, or the promise behind it, on disk.
    ///
    /// # Errors
    /// [`Violation`].
    pub fn brings(&self, voucher: &Voucher, is_client: bool) -> Result<(), Violation> {
        let known = self.channels.known.get(&voucher.account).map_or(Nano::ZERO, |channel| {
            let vouchers = channel.fundings.get(&voucher.epoch).copied().unwrap_or_default();
            if is_client { channel.promised } else { vouchers.durable }
        });
        hold(voucher.cumulative <= known, "no output before its record is durable", || {
            format!("a voucher over {} goes to the ledger, the disk knows of {known}", voucher.cumulative)
        })
    }

    /// Returns the sum of each payee's durable vouchers, settled or not.
    #[must_use]
    pub fn earned(&self) -> BTreeMap<Wallet, Nano> {
        self.channels.sums(|channel| channel.payee, |_, _, vouchers| vouchers.durable)
    }

    /// Returns the part of each payee's durable vouchers that the ledger has not settled.
    #[must_use]
    pub fn unsettled(&self, chain: &Chain) -> BTreeMap<Wallet, Nano> {
        self.channels.sums(
            |channel| channel.payee,
            |account, epoch, vouchers| vouchers.durable.saturating_minus(chain.settled(account, epoch)),
        )
    }

    /// Returns what the ledger has settled out of each client's channels.
    #[must_use]
    pub fn settled_by_payer(&self, chain: &Chain) -> BTreeMap<Wallet, Nano> {
        self.channels.sums(|channel| channel.payer, |account, epoch, _| chain.settled(account, epoch))
    }

    /// Checks that no engine has more jobs than its provider has slots.
    ///
    /// # Errors
    /// [`Violation`].
    pub fn capacity(running: usize, slots: u16) -> Result<(), Violation> {
        hold(running <= usize::from(slots), "capacity is never exceeded", || {
            format!("{running} jobs on {slots} slots")
        })
    }

    /// Checks that no message is longer than what its receiver reads.
    ///
    /// # Errors
    /// [`Violation`].
    pub fn length(bytes: usize, is_gossip: bool) -> Result<(), Violation> {
        let most = if is_gossip { limits::GOSSIP_BYTES_MAX } else { limits::FRAME_BYTES_MAX };
        hold(bytes <= most, "every message fits its limit", || format!("{bytes} bytes of {most}"))
    }

    /// Checks that no call has made or lost a coin. Cheap enough to be run after every call.
    ///
    /// # Errors
    /// [`Violation`].
    pub fn money_of_calls(chain: &Chain) -> Result<(), Violation> {
        let drift = chain.drift();
        hold(drift == 0, "money is conserved", || format!("{drift} nano too many"))
    }

    /// Checks that no coin has appeared or disappeared: all accounts are counted.
    ///
    /// # Errors
    /// [`Violation`].
    pub fn money(chain: &Chain) -> Result<(), Violation> {
        let imbalance = chain.imbalance();
        hold(imbalance == 0, "money is conserved", || format!("{imbalance} nano too many"))
    }
}

#[cfg(test)]
mod tests {
    use bombyx_protocol::channel::earn::Earner;
    use bombyx_protocol::channel::record::{EarnerRecord, PayerRecord, Record};
    use bombyx_protocol::channel::terms::ChannelTerms;
    use bombyx_protocol::ident::{NodeId, Signature};
    use bombyx_protocol::io::PersistId;
    use bombyx_protocol::wire::message::Payment;
    use bombyx_protocol::work::order::JobId;

    use super::*;
    use bombyx_protocol::channel::ledger::LedgerCall;

    fn record(cumulative: u64) -> Record {
        Record::Payer(PayerRecord {
            terms: ChannelTerms::for_tests().into(),
            provider: NodeId([5; 32]),
            deposit: Nano(600),
            locked: Nano(1_000),
            epoch: Some(7),
            cumulative: Nano(cumulative),
            closing: false,
            gone: false,
        })
    }

    fn paying(cumulative: u64) -> Pledge {
        Pledge::of(&record(cumulative)).expect("it promises something")
    }

    fn earning(cumulative: u64) -> Pledge {
        let payment = Payment { epoch: 7, cumulative: Nano(cumulative), signature: Signature([0; 64]) };
        let earning = EarnerRecord {
            payment: Some(payment),
            ..Earner::new(ChannelTerms::for_tests(), NodeId([6; 32])).record()
        };
        Pledge::of(&Record::Earner(earning)).expect("it has a voucher")
    }

    fn fails(result: Result<(), Violation>) -> &'static str {
        result.expect_err("it must be caught").invariant
    }

    #[test]
    fn a_voucher_that_a_crash_took_from_the_disk_may_be_followed_by_a_lower_one() {
        let (mut check, chain) = (Check::default(), Chain::new(-3));
        check.durable(&paying(500)).expect("a first promise");
        check.writes(&earning(300), Time(0), &chain).expect("a first voucher");
        check.durable(&earning(300)).expect("the commit is complete");
        check.writes(&earning(400), Time(0), &chain).expect("more");
        check.crashed(&ChannelTerms::for_tests().provider.hash);
        check.writes(&earning(300), Time(0), &chain).expect("it is what the disk holds");
        check.crashed(&ChannelTerms::for_tests().provider.hash);
        assert_eq!(fails(check.writes(&earning(299), Time(0), &chain)), "vouchers never decrease");
    }

    #[test]
    fn a_voucher_that_decreases_or_runs_ahead_of_a_disk_is_caught() {
        let chain = Chain::new(-3);
        let mut check = Check::default();
        check.durable(&paying(500)).expect("a first promise");
        check.writes(&earning(400), Time(0), &chain).expect("a voucher within the promise");
        assert_eq!(fails(check.writes(&earning(300), Time(0), &chain)), "vouchers never decrease");
        assert_eq!(
            fails(check.writes(&earning(501), Time(0), &chain)),
            "no output before its record is durable"
        );
        assert_eq!(fails(check.durable(&paying(499))), "promises never decrease");
        check.writes(&paying(1_000), Time(0), &chain).expect("ahead of a top-up that is under way");
        assert_eq!(
            fails(check.writes(&paying(1_001), Time(0), &chain)),
            "no promise above what was asked for"
        );
        let voucher = Voucher { account: ChannelTerms::for_tests().id(), epoch: 7, cumulative: Nano(400) };
        assert_eq!(fails(check.brings(&voucher, false)), "no output before its record is durable");
        check.durable(&earning(400)).expect("the commit is complete");
        assert_eq!(check.brings(&voucher, false), Ok(()));
    }

    #[test]
    fn who_speaks_before_a_commit_is_caught_and_who_writes_is_not() {
        let account = ChannelId([3; 32]);
        let call = Output::Ledger(Box::new(LedgerCall::Watch { account }));
        let answer = Output::Cancel { job: JobId([1; 16]) };
        let record = Output::Persist { id: PersistId(1), record: Box::new(record(1)) };
        assert_eq!(fails(Check::silence(&[account], &call)), "no output before its record is durable");
        assert_eq!(Check::silence(&[ChannelId([4; 32])], &call), Ok(()), "another channel's");
        assert_eq!(
            (Check::silence(&[account], &answer), Check::silence(&[account], &record)),
            (Ok(()), Ok(()))
        );
    }
}
