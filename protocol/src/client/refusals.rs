//! Who has said of an order's task that nobody can do it, and when that is believed: as long as somebody else bids, it may be a lie.
//! (`MK-47`)

use std::collections::BTreeSet;

use crate::ident::{NodeId, Prefix};
use crate::io::Failure;
use crate::limits;
use crate::market::score::Lot;
use crate::wire::message::Refusal;

/// What one provider has said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Statement {
    pub(super) provider: NodeId,
    pub(super) prefix: Prefix,
    /// Whether it has served this client well.
    pub(super) is_proven: bool,
    pub(super) why: Refusal,
}

/// What providers have said of an order's task.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// Those that were awarded it, and refused it for what it is.
    awarded: Vec<Statement>,
    /// Of these, whom it would refute that another serves the order.
    refutable: Vec<(NodeId, Prefix)>,
    /// Those that did not bid for the last call, and said why.
    declined: Vec<Statement>,
    /// Calls to everybody, one after the other, for which nobody bid but those that refuse.
    calls: usize,
}

impl Refusals {
    /// Notes that a provider that was awarded the order has refused it for what it is. Returns why the order must end, if that is
    /// believed although others may bid.
    pub(super) fn refused(&mut self, statement: Statement, lot: &Lot) -> Option<Failure> {
        self.awarded.push(statement);
        if !agrees_with_bid(statement.why, lot) {
            self.refutable.push((statement.provider, statement.prefix));
        }
        let is_believed =
            are_believed(&self.awarded) || prefixes(&self.awarded).len() >= limits::FINAL_REFUSALS_MAX;
        is_believed.then(|| Failure::Refused(cause(&self.awarded).unwrap_or(statement.why)))
    }

    /// Returns those whose refusal was no honest one, if another serves the order.
    pub(super) fn refuted(&self) -> impl Iterator<Item = (NodeId, Prefix)> {
        self.refutable.iter().copied()
    }

    /// Notes why a provider does not bid for the last call.
    pub(super) fn declined(&mut self, statement: Statement) {
        if self.declined.len() < limits::DECLINES_MAX {
            self.declined.push(statement);
        }
    }

    /// Returns what was said to the last call by those that did not bid, and forgets it.
    pub(super) fn take_declined(&mut self) -> Vec<Statement> {
        core::mem::take(&mut self.declined)
    }

    /// Notes that somebody bids who has not refused.
    pub(super) fn somebody_bids(&mut self) {
        self.calls = 0;
    }

    /// Notes that nobody has bid for a call to everybody but those that refuse, of which these did not bid. Returns whether they are
    /// believed: so it was before and it `is_late` for whoever else sells, or two prefixes that have served say so.
    pub(super) fn nobody_else_bids(&mut self, declined: &[Statement], is_late: bool) -> bool {
        self.calls = self.calls.saturating_add(1);
        let times = self.calls.saturating_add(usize::from(!self.awarded.is_empty()));
        (times >= limits::FINAL_REFUSALS && is_late) || are_believed(declined)
    }

    /// Returns what stands in the order's way by those that have refused it, if any has.
    pub(super) fn cause(&self) -> Option<Failure> {
        cause(&self.awarded).map(Failure::Refused)
    }
}

/// Returns what stands in an order's way where some of these say that it can be done by none: what those say that have served, and
/// else what most prefixes do.
pub(super) fn cause(said: &[Statement]) -> Option<Refusal> {
    commonest(said).map(|(why, _)| why)
}

/// Returns the same, and how many prefixes say it.
pub(super) fn commonest(said: &[Statement]) -> Option<(Refusal, usize)> {
    let named = |why: Refusal| {
        let alike = said.iter().filter(|other| other.why.parts().0 == why.parts().0);
        let (proven, all): (Vec<_>, Vec<_>) = alike.map(|other| (other.is_proven, other.prefix)).unzip();
        (
            proven.into_iter().filter(|is_proven| *is_proven).count(),
            all.into_iter().collect::<BTreeSet<_>>().len(),
        )
    };
    let finals = said.iter().map(|statement| statement.why).filter(|why| why.is_final());
    finals.max_by_key(|why| named(*why)).map(|why| (why, named(why).1))
}

/// Returns the context that those name which have served, and else most prefixes, the largest of those that are named as often.
/// What the task fits into says nothing.
pub(super) fn context(said: &[Statement], needed: u64) -> Option<u64> {
    let limit = |statement: &Statement| {
        if let Refusal::OverContext(limit) = statement.why {
            Some(limit).filter(|limit| *limit < needed)
        } else {
            None
        }
    };
    said.iter().filter_map(limit).max_by_key(|named| {
        let alike = || said.iter().filter(|other| limit(other) == Some(*named));
        let proven = alike().filter(|other| other.is_proven).count();
        (proven, alike().map(|other| other.prefix).collect::<BTreeSet<_>>().len(), *named)
    })
}

/// Returns whether a refusal is what its provider's own bid lets expect: a context that holds input and answer each by itself, and not
/// both. (`MK-5`)
fn agrees_with_bid(why: Refusal, lot: &Lot) -> bool {
    let (input, output) = (lot.input.count(), lot.output_tokens_max);
    matches!(why, Refusal::OverContext(limit) if limit >= input.max(output) && limit < input.saturating_add(output))
}

/// Returns whether two prefixes of providers that have served say that a task can be done by none.
fn are_believed(said: &[Statement]) -> bool {
    let proven: Vec<Statement> =
        said.iter().filter(|statement| statement.is_proven && statement.why.is_final()).copied().collect();
    prefixes(&proven).len() >= limits::FINAL_REFUSALS
}

fn prefixes(said: &[Statement]) -> BTreeSet<Prefix> {
    said.iter().map(|statement| statement.prefix).collect()
}
