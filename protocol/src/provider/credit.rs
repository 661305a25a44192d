//! Credit for clients whose channel the ledger has not shown: little, and bounded in sum whatever
//! they do.

use crate::amount::Nano;
use crate::channel::id::ChannelId;
use crate::ident::{NodeId, Origin};
use crate::limits;
use crate::table::Table;
use crate::time::Time;

use super::earnings::Earnings;

/// How much may be served unpaid. (`CH-50`)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreditLimits {
    /// To one client, whatever the number of its channels and jobs.
    pub per_client: Nano,
    /// To all of them in an hour.
    pub per_hour: Nano,
}

impl CreditLimits {
    /// Returns the limit for all clients of one prefix in an hour: a quarter of the whole, one client's at the least.
    #[must_use]
    pub fn per_prefix(&self) -> Nano {
        Nano(self.per_hour.0.checked_div(4).unwrap_or(0)).max(self.per_client).min(self.per_hour)
    }
}

/// What was lent and not paid back, in the last hour.
#[derive(Debug)]
pub(super) struct Credit {
    limits: CreditLimits,
    loans: Table<ChannelId, Loan>,
    /// Loans on channels that are forgotten: the same name may be used again.
    lost: Vec<(ChannelId, Loan)>,
    /// What was lent on such channels more than an hour ago, and is kept here no longer.
    given_up: Nano,
}

/// What one client was served on credit in the last hour and has not paid, on a channel that the ledger has not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenLoan {
    /// The channel that was to pay for it.
    pub account: ChannelId,
    /// Who owes it.
    pub client: NodeId,
    /// How much.
    pub amount: Nano,
    /// Whether the channel is forgotten, so that nothing pays for it unless its client names it again.
    pub is_lost: bool,
}

/// What is unpaid on one unfunded channel, or may become so without another word.
#[derive(Debug, Clone, Copy)]
struct Loan {
    origin: Origin,
    amount: Nano,
    /// When it last grew.
    at: Time,
}

impl Credit {
    pub(super) fn new(limits: CreditLimits) -> Self {
        Self { limits, loans: Table::default(), lost: Vec::new(), given_up: Nano::ZERO }
    }

    /// Returns the most that may be unpaid on this channel, what is unpaid there by now included; without a channel, what a
    /// new one would get.
    pub(super) fn limit(&self, now: Time, origin: Origin, account: Option<&ChannelId>) -> Nano {
        let is_new = account.is_none_or(|account| !self.loans.contains_key(account));
        let (mut of_client, mut of_prefix, mut of_all) = (Nano::ZERO, Nano::ZERO, Nano::ZERO);
        let mut count = 0usize;
        let others = self.loans.iter().filter(|(of, _)| account != Some(*of)).map(|(_, loan)| loan);
        let lost = self.lost.iter().map(|(_, loan)| loan);
        for loan in others.chain(lost).filter(|loan| now < loan.at + limits::CREDIT_HOUR) {
            count = count.saturating_add(1);
            of_all = of_all.saturating_plus(loan.amount);
            if loan.origin.prefix == origin.prefix {
                of_prefix = of_prefix.saturating_plus(loan.amount);
            }
            if loan.origin.node == origin.node {
                of_client = of_client.saturating_plus(loan.amount);
            }
        }
        if is_new && count >= limits::LOANS_MAX {
            return Nano::ZERO;
        }
        let left = |limit: Nano, used: Nano| limit.saturating_minus(used);
        left(self.limits.per_client, of_client)
            .min(left(self.limits.per_prefix(), of_prefix))
            .min(left(self.limits.per_hour, of_all))
    }

    /// Records that so much is unpaid on a channel now, or may become so.
    pub(super) fn record(&mut self, now: Time, origin: Origin, account: ChannelId, amount: Nano) {
        self.loans.retain(|_, loan| now < loan.at + limits::CREDIT_HOUR);
        self.given_up = self.lost(now);
        self.lost.retain(|(_, loan)| now < loan.at + limits::CREDIT_HOUR);
        if amount == Nano::ZERO {
            self.loans.remove(&account);
            return;
        }
        match self.loans.get_mut(&account) {
            Some(loan) => {
                if amount > loan.amount {
                    loan.at = now;
                }
                loan.amount = amount;
            }
            None => {
                self.loans.insert(account, Loan { origin, amount, at: now });
            }
        }
    }

    /// Returns what was lent more than an hour ago on channels that are forgotten: nobody pays it any more.
    pub(super) fn lost(&self, now: Time) -> Nano {
        let old = self.lost.iter().filter(|(_, loan)| now >= loan.at + limits::CREDIT_HOUR);
        old.map(|(_, loan)| loan.amount).sum::<Nano>().saturating_plus(self.given_up)
    }

    /// Counts what is unpaid on a channel that the ledger has not shown, or may become so; where it has shown it, what is paid.
    pub(super) fn follow(&mut self, now: Time, account: &ChannelId, earnings: &mut Earnings) {
        self.regain(account, earnings.take_unremembered(account));
        let Some((origin, lent)) = earnings.lent(account) else { return };
        if earnings.is_unseen(account) {
            self.record(now, origin, *account, lent);
        } else {
            self.repaid(account, lent);
        }
    }

    /// Keeps the loan on a channel that is forgotten: what is unpaid there will stay so.
    pub(super) fn lose(&mut self, account: &ChannelId) {
        self.lost.extend(self.loans.remove(account).map(|loan| (*account, loan)));
    }

    /// Takes so much off what was lent on an account before its channel was forgotten: a client that names it again pays for that as
    /// well.
    fn regain(&mut self, account: &ChannelId, mut covered: Nano) {
        for (_, loan) in self.lost.iter_mut().filter(|(of, _)| of == account) {
            let repaid = loan.amount.min(covered);
            loan.amount = loan.amount.saturating_minus(repaid);
            covered = covered.saturating_minus(repaid);
        }
        self.lost.retain(|(_, loan)| loan.amount > Nano::ZERO);
    }

    /// Returns what is unpaid of what was lent in the last hour.
    pub(super) fn open(&self, now: Time) -> impl Iterator<Item = OpenLoan> {
        let standing = self.loans.iter().map(|(account, loan)| (account, loan, false));
        let lost = self.lost.iter().map(|(account, loan)| (account, loan, true));
        let recent = standing.chain(lost).filter(move |(_, loan, _)| now < loan.at + limits::CREDIT_HOUR);
        recent.map(|(account, loan, is_lost)| OpenLoan {
            account: *account,
            client: loan.origin.node,
            amount: loan.amount,
            is_lost,
        })
    }

    /// Lowers the loan on a channel that was paid on to what is still unpaid.
    pub(super) fn repaid(&mut self, account: &ChannelId, unpaid: Nano) {
        if unpaid == Nano::ZERO {
            self.loans.remove(account);
        } else if let Some(loan) = self.loans.get_mut(account) {
            loan.amount = loan.amount.min(unpaid);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ident::Prefix;

    const LIMITS: CreditLimits = CreditLimits { per_client: Nano(100), per_hour: Nano(800) };

    fn origin(node: u8, net: u8) -> Origin {
        Origin { node: NodeId([node; 32]), prefix: Prefix::of_ipv4([192, 0, net, 1]) }
    }

    /// (`CH-50`)
    #[test]
    fn credit_ends_by_client_by_prefix_and_in_sum_and_comes_back_when_it_is_paid() {
        let (mut credit, now) = (Credit::new(LIMITS), Time(1));
        credit.record(now, origin(1, 1), ChannelId([1; 32]), Nano(60));
        assert_eq!(credit.limit(now, origin(1, 1), Some(&ChannelId([1; 32]))), Nano(100), "its own included");
        assert_eq!(
            credit.limit(now, origin(1, 9), Some(&ChannelId([2; 32]))),
            Nano(40),
            "another channel of the same client"
        );
        credit.record(now, origin(2, 1), ChannelId([2; 32]), Nano(100));
        assert_eq!(credit.limit(now, origin(3, 1), None), Nano(40), "a quarter of the hour's to a prefix");
        for other in 3..9 {
            credit.record(now, origin(other, other), ChannelId([other; 32]), Nano(100));
        }
        assert_eq!(credit.limit(now, origin(99, 99), None), Nano(40), "the hour's sum");
        credit.repaid(&ChannelId([8; 32]), Nano(10));
        credit.repaid(&ChannelId([7; 32]), Nano::ZERO);
        assert_eq!(credit.limit(now, origin(99, 99), None), Nano(100));
        let later = now + limits::CREDIT_HOUR;
        assert_eq!(credit.limit(Time(later.0 - 1), origin(1, 1), None), Nano(40));
        assert_eq!(credit.limit(later, origin(1, 1), None), Nano(100), "an hour later");
    }

    /// (`CH-50`)
    #[test]
    fn many_small_loans_end_what_new_channels_get_and_leave_old_ones_theirs() {
        let mut credit = Credit::new(CreditLimits { per_client: Nano(100), per_hour: Nano(1_000_000) });
        let account = |number: usize| {
            let mut account = [0; 32];
            account[..8].copy_from_slice(&number.to_le_bytes());
            ChannelId(account)
        };
        for number in 0..limits::LOANS_MAX {
            assert_eq!(credit.limit(Time(1), origin(255, 9), None), Nano(100), "after {number}");
            credit.record(Time(1), origin(1, 1), account(number), Nano(1));
        }
        assert_eq!(credit.limit(Time(1), origin(255, 9), None), Nano::ZERO);
        assert!(credit.limit(Time(1), origin(255, 9), Some(&account(0))) > Nano::ZERO, "one that has a loan");
        credit.repaid(&account(0), Nano::ZERO);
        assert_eq!(credit.limit(Time(1), origin(255, 9), None), Nano(100), "once one is paid");
    }

    /// (`CH-50`)
    #[test]
    fn where_nothing_is_lent_by_the_owner_nothing_is() {
        let credit = Credit::new(CreditLimits { per_client: Nano::ZERO, per_hour: Nano(800) });
        assert_eq!(credit.limit(Time(1), origin(1, 1), None), Nano::ZERO);
        let credit = Credit::new(CreditLimits { per_client: Nano(100), per_hour: Nano(50) });
        assert_eq!(credit.limit(Time(1), origin(1, 1), None), Nano(50));
    }

    proptest! {
        /// In no hour is more than the hour's sum lent and left unpaid, no matter who asks for how
        /// much, pays or vanishes, or under how many names. (`CH-50`)
        #[test]
        fn whatever_strangers_do_no_hour_costs_more_than_its_sum(
            steps in prop::collection::vec((0u8..24, 0u8..6, 0u64..200, 0u64..900, any::<bool>()), 1..300)
        ) {
            let mut credit = Credit::new(LIMITS);
            let mut now = Time(1);
            let mut unpaid: std::collections::BTreeMap<u8, u64> = Default::default();
            let mut lent: Vec<(Time, u8, u64)> = Vec::new();
            for (node, net, wish, wait_s, pays) in steps {
                now = now + crate::time::Span::from_s(wait_s);
                let (who, account) = (origin(node, net), ChannelId([node; 32]));
                let before = unpaid.get(&node).copied().unwrap_or(0);
                if pays && wish < 50 {
                    credit.lose(&account);
                    unpaid.remove(&node);
                    // From now on nothing pays for it.
                    lent.iter_mut().filter(|(_, of, _)| *of == node).for_each(|(_, of, _)| *of = u8::MAX);
                    continue;
                }
                if pays {
                    credit.repaid(&account, Nano::ZERO);
                    unpaid.remove(&node);
                    lent.retain(|(_, of, _)| *of != node);
                    continue;
                }
                let limit = credit.limit(now, who, Some(&account)).0;
                let after = before + wish.min(limit.saturating_sub(before));
                credit.record(now, who, account, Nano(after));
                unpaid.insert(node, after);
                lent.push((now, node, after - before));
                let recent = lent.iter().filter(|(at, ..)| now < *at + limits::CREDIT_HOUR);
                let sum: u64 = recent.map(|(.., amount)| amount).sum();
                prop_assert!(sum <= LIMITS.per_hour.0, "{sum}");
            }
        }
    }
}
