//! What strangers may have of something that costs this node time: as much as they like while there is little to do, even shares
//! when there is much.

use std::collections::BTreeMap;

use crate::ident::{NodeId, Origin, Prefix};
use crate::limits;
use crate::table::Table;
use crate::time::{Span, Time};

/// Parts of a unit in which the buckets count.
const PART: u64 = 1_000_000;

/// How much there is of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    /// Units a second in sum; a second's worth is the burst of all together.
    pub(super) per_s: u64,
    /// Units that a prefix may have at once of its share.
    pub(super) prefix_burst: u64,
    /// Units that an identity may have at once of its share.
    pub(super) node_burst: u64,
}

impl Rates {
    /// Returns those of so many answers a second. (`MK-44`)
    pub(super) const fn answers(per_s: u64) -> Self {
        Self {
            per_s: per_s.saturating_mul(limits::ANSWER_UNITS),
            prefix_burst: limits::PREFIX_ANSWERS_BURST.saturating_mul(limits::ANSWER_UNITS),
            node_burst: limits::ANSWERS_BURST.saturating_mul(limits::ANSWER_UNITS),
        }
    }
}

/// A budget in sum, which prefixes share evenly under contention, and within each its identities. (`MK-44`, `WR-25`)
#[derive(Debug)]
pub(super) struct SharedBudget {
    rates: Rates,
    all: Bucket,
    prefixes: BTreeMap<Prefix, Neighbours>,
    swept_at: Time,
}

/// A prefix and the identities that were there of late.
#[derive(Debug)]
struct Neighbours {
    share: Bucket,
    nodes: Table<NodeId, Bucket>,
}

/// What is left of a budget: it fills at a rate, up to a burst.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Millionths of a unit; below nothing while it is in debt.
    parts: i64,
    at: Time,
}

impl Bucket {
    const fn full(now: Time, burst: u64) -> Self {
        Self { parts: burst.saturating_mul(PART).cast_signed(), at: now }
    }

    /// Fills up at so many units in `per` seconds, `burst` at the most.
    fn fill(&mut self, now: Time, rate: u64, per: u64, burst: u64) {
        let passed = now.0.saturating_sub(self.at.0);
        // Microseconds times units a second are millionths of units.
        let more = passed.saturating_mul(rate).checked_div(per.max(1)).unwrap_or(0);
        let most = burst.saturating_mul(PART).cast_signed();
        self.parts = self.parts.saturating_add(more.min(i64::MAX.cast_unsigned()).cast_signed()).min(most);
        self.at = now;
    }

    const fn has(&self, units: u64) -> bool {
        self.parts >= units.saturating_mul(PART).cast_signed()
    }

    /// Spends so many units, on debt of `debt` if need be: an identity that took more than its share while nobody else wanted it
    /// waits longest once somebody does.
    fn spend(&mut self, units: u64, debt: u64) {
        let least = debt.saturating_mul(PART).cast_signed().saturating_neg();
        self.parts = self.parts.saturating_sub(units.saturating_mul(PART).cast_signed()).max(least);
    }
}

impl SharedBudget {
    /// Creates a budget that is full.
    pub(super) const fn new(rates: Rates) -> Self {
        let all = Bucket::full(Time(0), rates.per_s);
        Self { rates, all, prefixes: BTreeMap::new(), swept_at: Time(0) }
    }

    /// Returns whether this one may have so many units now; they are spent if so. One that `is_last` has no share, and gets what
    /// nobody needs.
    pub(super) fn admits(&mut self, now: Time, origin: Origin, is_last: bool, units: u64) -> bool {
        self.sweep(now);
        let rates = self.rates;
        self.all.fill(now, rates.per_s, 1, rates.per_s);
        // While half of the budget is left, nobody is held to a share.
        let is_calm = self.all.parts >= calm(rates.per_s);
        if self.prefixes.len() < limits::PACED_PREFIXES_MAX {
            let fresh =
                || Neighbours { share: Bucket::full(now, rates.prefix_burst), nodes: Table::default() };
            self.prefixes.entry(origin.prefix).or_insert_with(fresh);
        }
        let sharers = self.prefixes.len() as u64;
        let has_share = match self.prefixes.get_mut(&origin.prefix) {
            Some(prefix) => {
                let anyway = is_calm && self.all.has(units);
                prefix.charge(now, origin.node, rates, sharers, anyway, units)
            }
            None => false,
        };
        let admits = self.all.has(units) && (is_calm || (has_share && !is_last));
        if admits {
            self.all.spend(units, 0);
        }
        admits
    }

    /// Forgets prefixes and identities that have not asked lately.
    fn sweep(&mut self, now: Time) {
        if now < self.swept_at + Span::from_s(1) {
            return;
        }
        self.swept_at = now;
        let is_late = |bucket: &Bucket| now < bucket.at + limits::PACED;
        self.prefixes.retain(|_, prefix| {
            prefix.nodes.retain(|_, bucket| is_late(bucket));
            is_late(&prefix.share)
        });
    }
}

impl Neighbours {
    /// Returns whether the prefix and the identity each have so many units left of their shares; they are taken if so, or
    /// `anyway`.
    fn charge(
        &mut self,
        now: Time,
        node: NodeId,
        rates: Rates,
        sharers: u64,
        anyway: bool,
        units: u64,
    ) -> bool {
        let burst = rates.node_burst;
        // A quarter of the budget is nobody's share, so that it fills up again.
        let rate = rates.per_s.saturating_mul(3).checked_div(4).unwrap_or(0);
        self.share.fill(now, rate, sharers, rates.prefix_burst);
        if self.nodes.len() < limits::PACED_NODES_MAX && !self.nodes.contains_key(&node) {
            self.nodes.insert(node, Bucket::full(now, burst));
        }
        let neighbours = self.nodes.len() as u64;
        // Beyond this many identities they are not told apart, and have what the prefix has.
        let mut own = self.nodes.get_mut(&node);
        if let Some(own) = &mut own {
            own.fill(now, rate, sharers.saturating_mul(neighbours), burst);
        }
        let is_own = own.as_ref().is_none_or(|own| own.has(units));
        let has_share = self.share.has(units) && is_own;
        if has_share || anyway {
            // What an identity takes beyond its own share is not its neighbours' to pay.
            if is_own {
                self.share.spend(units, burst);
            }
            if let Some(own) = own {
                own.spend(units, burst);
            }
        }
        has_share
    }
}

const fn calm(rate: u64) -> i64 {
    (rate.saturating_mul(PART) / 2).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(number: u64, net: u8) -> Origin {
        let mut node = [0; 32];
        node[..8].copy_from_slice(&number.to_le_bytes());
        Origin { node: NodeId(node), prefix: Prefix::of_ipv4([192, 0, net, 1]) }
    }

    /// Gives a second of `flood` answers a second to the flooders and of two a second to each of the others, for 20 s.
    /// Returns how many of the others' are answered, in permille, and all answers of the last ten seconds.
    fn run(flood: u64, flooders: impl Fn(u64) -> Origin, others: &[Origin]) -> (u64, u64) {
        let mut budget = SharedBudget::new(Rates::answers(limits::STRANGERS_ANSWERS_PER_S));
        let (mut asked, mut answered, mut sum) = (0, 0, 0);
        for ms in 0..20_000u64 {
            let now = Time(0) + Span::from_ms(ms + 1_000_000);
            let turns = (ms + 1) * flood / 1_000 - ms * flood / 1_000;
            for turn in 0..turns {
                let admits =
                    budget.admits(now, flooders(ms * flood / 1_000 + turn), false, limits::ANSWER_UNITS);
                sum += u64::from(admits && ms >= 10_000);
            }
            if ms % 500 == 7 {
                for other in others {
                    asked += 1;
                    let admits = budget.admits(now, *other, false, limits::ANSWER_UNITS);
                    answered += u64::from(admits);
                    sum += u64::from(admits && ms >= 10_000);
                }
            }
        }
        (answered * 1_000 / asked, sum)
    }

    /// (`MK-44`)
    #[test]
    fn a_flood_of_one_name_or_one_prefix_or_many_takes_its_share_and_no_more() {
        let others: Vec<Origin> = (0..10).map(|number| origin(number, 100 + number as u8)).collect();
        let most = 10 * limits::STRANGERS_ANSWERS_PER_S + limits::STRANGERS_ANSWERS_PER_S;
        for flood in [40, 300, 3_000] {
            let (answered, sum) = run(flood, |_| origin(1_000, 1), &others);
            assert!(answered >= 990 && sum <= most, "one name: {answered} {sum}");
            let (answered, sum) = run(flood, |turn| origin(1_000 + turn, 1), &others);
            assert!(answered >= 990 && sum <= most, "fresh names of one prefix: {answered} {sum}");
            let (answered, sum) =
                run(flood, |turn| origin(1_000 + turn % 64, 1 + (turn % 64) as u8), &others);
            assert!(answered >= 990 && sum <= most, "64 prefixes: {answered} {sum}");
        }
    }

    /// (`MK-44`)
    #[test]
    fn neighbours_of_a_flooder_are_served_by_turns_and_an_idle_node_serves_one_prefix_alone() {
        let others: Vec<Origin> = (0..8).map(|number| origin(number, 1)).collect();
        for flood in [40, 300, 3_000] {
            let (answered, _) = run(flood, |_| origin(1_000, 1), &others);
            assert!(answered >= 990, "{answered}");
        }
        let mut budget = SharedBudget::new(Rates::answers(limits::STRANGERS_ANSWERS_PER_S));
        let now = Time(1);
        let burst = limits::STRANGERS_ANSWERS_PER_S / 2;
        assert!(
            (0..burst).all(|turn| budget.admits(now, others[turn as usize % 8], false, limits::ANSWER_UNITS)),
            "eight homes behind one address"
        );
    }

    /// (`MK-44`)
    #[test]
    fn who_is_counted_is_bounded() {
        let mut budget = SharedBudget::new(Rates::answers(limits::STRANGERS_ANSWERS_PER_S));
        for number in 0..3 * limits::PACED_PREFIXES_MAX as u64 {
            let net = [10, number.to_le_bytes()[0], number.to_le_bytes()[1], 0];
            budget.admits(
                Time(1),
                Origin { prefix: Prefix::of_ipv4(net), ..origin(number, 0) },
                false,
                limits::ANSWER_UNITS,
            );
            budget.admits(Time(1), origin(number, 1), false, limits::ANSWER_UNITS);
        }
        assert_eq!(budget.prefixes.len(), limits::PACED_PREFIXES_MAX);
        assert!(budget.prefixes.values().all(|prefix| prefix.nodes.len() <= limits::PACED_NODES_MAX));
        budget.admits(Time(1) + limits::PACED + Span::from_s(1), origin(1, 1), false, limits::ANSWER_UNITS);
        assert_eq!(budget.prefixes.len(), 1, "who has gone is forgotten");
    }
}
