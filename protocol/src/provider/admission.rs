//! Who is let in: customers and strangers, how often each is answered, and who waits for a slot. (`MK-42` to `MK-45`)

use crate::ident::{NodeId, Origin, Prefix};
use crate::io::{Budget, Crowd, Event, Output};
use crate::limits;
use crate::outbox::Outbox;
use crate::table::Table;
use crate::time::Time;
use crate::work::order::ModelId;

use super::clientele::Clientele;
use super::jobs::Jobs;
use super::shared_budget::{Rates, SharedBudget};

/// The budgets of those who come to this provider.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) clientele: Clientele,
    /// Answers to strangers.
    strangers: SharedBudget,
    /// Answers to customers.
    customers: SharedBudget,
    /// Counts of strangers' inputs.
    counts: SharedBudget,
    /// When the node was last told of a budget, and how many were turned away since.
    crowds: Table<Budget, (Time, u64)>,
}

impl Admission {
    pub(super) fn new(clientele: Clientele) -> Self {
        Self {
            clientele,
            strangers: SharedBudget::new(Rates::answers(limits::STRANGERS_ANSWERS_PER_S)),
            customers: SharedBudget::new(Rates::answers(limits::CUSTOMERS_ANSWERS_PER_S)),
            counts: SharedBudget::new(Rates {
                per_s: limits::STRANGERS_COUNTS_PER_S,
                prefix_burst: limits::PREFIX_COUNTS_BURST,
                node_burst: limits::COUNTS_BURST,
            }),
            crowds: Table::default(),
        }
    }

    /// Returns whether this one is given an answer of so many units now: strangers share one budget, customers another.
    /// (`MK-44`)
    pub(super) fn may_answer(
        &mut self,
        now: Time,
        origin: Origin,
        is_customer: bool,
        units: u64,
        out: &mut Outbox,
    ) -> bool {
        let admits = if is_customer {
            self.customers.admits(now, origin, false, units)
        } else {
            let is_last = self.clientele.is_doubtful(now, &origin.prefix);
            self.strangers.admits(now, origin, is_last, units)
        };
        if !admits {
            self.crowded(now, Budget::Answers, origin.prefix, out);
        }
        admits
    }

    /// Returns whether a stranger's input, which may have so many tokens, is counted. (`WR-25`)
    pub(super) fn may_count(&mut self, now: Time, origin: Origin, tokens_max: u64, out: &mut Outbox) -> bool {
        let is_last = self.clientele.is_doubtful(now, &origin.prefix);
        let admits = self.counts.admits(now, origin, is_last, tokens_max);
        if !admits {
            self.crowded(now, Budget::Counts, origin.prefix, out);
        }
        admits
    }

    /// Returns whether one of a model's `slots` is free for this one. While a customer waits for one, strangers share a
    /// quarter of them. (`MK-42`)
    pub(super) fn has_slot(
        &mut self,
        now: Time,
        jobs: &Jobs,
        (model, slots): (&ModelId, u16),
        origin: Origin,
        is_customer: bool,
        out: &mut Outbox,
    ) -> bool {
        let is_free = jobs.busy(model) < slots;
        if is_customer || !is_free {
            return is_free;
        }
        let has_paid = |node: &NodeId| self.clientele.has_ever_paid(node);
        let strangers = || jobs.busy_for(model, |node| !has_paid(node));
        let part = slots.checked_div(limits::STRANGERS_SLOTS_PART).unwrap_or(0).max(1);
        let waits = jobs.in_line(model).any(|(_, client, ..)| has_paid(&client.node));
        if waits && strangers() >= usize::from(part) {
            self.crowded(now, Budget::Slots, origin.prefix, out);
            return false;
        }
        true
    }

    /// Counts somebody who was turned away, and tells the node at once or with the next.
    pub(super) fn crowded(&mut self, now: Time, budget: Budget, prefix: Prefix, out: &mut Outbox) {
        let (told, before) = self.crowds.get(&budget).copied().unwrap_or_default();
        let turned_away = before.saturating_add(1);
        let is_first = !self.crowds.contains_key(&budget);
        if is_first || now >= told + limits::CROWD_TOLD {
            self.crowds.insert(budget, (now, 0));
            out.push(Output::Event(Event::Crowded(Crowd { budget, prefix, turned_away })));
        } else {
            self.crowds.insert(budget, (told, turned_away));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::wildcard_enum_match_arm)]
    use super::*;
    use crate::time::Span;

    /// (`MK-45`)
    #[test]
    fn a_node_is_told_of_a_full_room_at_once_and_then_now_and_then_with_the_number_turned_away() {
        let (mut admission, mut out) = (Admission::new(Clientele::default()), Outbox::default());
        let mut told = |at: Time| {
            admission.crowded(at, Budget::Jobs, Prefix::UNKNOWN, &mut out);
            let mut told = Vec::new();
            loop {
                match out.poll(|| at) {
                    Output::Wake(_) => return told,
                    Output::Event(Event::Crowded(crowd)) => told.push(crowd.turned_away),
                    _ => {}
                }
            }
        };
        let start = Time(1);
        assert_eq!(told(start), [1]);
        assert!((1..100).all(|ms| told(start + Span::from_ms(ms)).is_empty()));
        assert_eq!(told(start + limits::CROWD_TOLD), [100]);
        assert!(told(start + limits::CROWD_TOLD + Span::from_ms(1)).is_empty());
        assert_eq!(told(start + Span(2 * limits::CROWD_TOLD.0)), [2]);
    }
}
