//! Which clients are customers, and which have wasted room lately.

use crate::ident::{NodeId, Origin, Prefix};
use crate::limits;
use crate::table::Table;
use crate::time::{Span, Time};

/// Remembers which clients have paid, and which have wasted room. (`MK-42`)
#[derive(Debug, Default)]
pub(super) struct Clientele {
    /// Clients that have paid: a voucher of theirs counts, or did while their channel stood.
    customers: Table<NodeId, Customer>,
    nodes: Table<NodeId, Mark>,
    prefixes: Table<Prefix, Mark>,
}

/// A client that has paid.
#[derive(Debug, Clone, Copy)]
struct Customer {
    /// When it last did.
    at: Time,
    /// Its jobs that ended well since one did not, up to as many as make it a regular one.
    good: u8,
}

/// Room that was wasted.
#[derive(Debug, Clone, Copy)]
struct Mark {
    times: u32,
    /// Until when nothing new is given.
    until: Time,
    /// When it is forgotten.
    gone: Time,
}

impl Mark {
    /// Counts one more time; the first `free` times cost nothing, and what comes of many jobs at once counts once.
    fn add(self, now: Time, free: u32) -> Self {
        if now < self.until {
            return self;
        }
        let times = if self.gone <= now { 1 } else { self.times.saturating_add(1) };
        let doublings = times.saturating_sub(free).checked_sub(1);
        let wait = doublings.map_or(0, |doublings| {
            let factor = 1u64.checked_shl(doublings).unwrap_or(u64::MAX);
            limits::BACK_OFF.0.saturating_mul(factor).min(limits::BACK_OFF_MAX.0)
        });
        Self { times, until: now + Span(wait), gone: now + limits::MARKED }
    }
}

impl Clientele {
    /// Starts with the customers that the records name.
    pub(super) fn new(customers: impl Iterator<Item = NodeId>) -> Self {
        let mut clientele = Self::default();
        customers.for_each(|node| clientele.has_paid(Time(0), node));
        clientele
    }

    /// Makes a client a customer, because one of its vouchers counts. Where there are too many, the
    /// one that has not paid for longest is dropped.
    pub(super) fn has_paid(&mut self, now: Time, node: NodeId) {
        if self.customers.len() >= limits::CUSTOMERS_MAX && !self.customers.contains_key(&node) {
            let first = self.customers.iter().min_by_key(|(_, customer)| customer.at).map(|(node, _)| *node);
            first.and_then(|first| self.customers.remove(&first));
        }
        let good = self.customers.get(&node).map_or(0, |customer| customer.good);
        self.customers.insert(node, Customer { at: now, good });
    }

    /// Notes how a job of a client ended: well where the client has signed that, badly, or neither. (`WR-24`)
    pub(super) fn has_ended(&mut self, node: NodeId, is_countersigned: bool, is_bad: bool) {
        if let Some(customer) = self.customers.get_mut(&node) {
            let good = customer.good.saturating_add(u8::from(is_countersigned)).min(limits::READING_LEVEL);
            customer.good = if is_bad { 0 } else { good };
        }
    }

    /// Returns whether a client knows this provider well enough, as far as can be told here, to pay for reading alone. (`WR-24`)
    pub(super) fn is_regular(&self, node: &NodeId) -> bool {
        self.customers.get(node).is_some_and(|customer| customer.good >= limits::READING_LEVEL)
    }

    /// Returns whether this client has paid, and is not held off for what it did since.
    pub(super) fn is_customer(&self, now: Time, node: &NodeId) -> bool {
        self.has_ever_paid(node) && !self.is_held_off(now, node)
    }

    /// Returns whether this client has ever paid.
    pub(super) fn has_ever_paid(&self, node: &NodeId) -> bool {
        self.customers.contains_key(node)
    }

    /// Returns whether nothing new is given to this identity now.
    pub(super) fn is_held_off(&self, now: Time, node: &NodeId) -> bool {
        self.nodes.get(node).is_some_and(|mark| now < mark.until)
    }

    /// Returns whether strangers of this prefix come last now.
    pub(super) fn is_doubtful(&self, now: Time, prefix: &Prefix) -> bool {
        self.prefixes.get(prefix).is_some_and(|mark| now < mark.until)
    }

    /// Marks a client that wasted room: an award without its task, a task without money.
    pub(super) fn mark(&mut self, now: Time, origin: Origin) {
        put(&mut self.nodes, now, origin.node, 0);
        put(&mut self.prefixes, now, origin.prefix, limits::PREFIX_MARKS_FREE);
    }

    /// Takes a mark back: what it was for came after all.
    pub(super) fn forgive(&mut self, now: Time, origin: Origin) {
        for mark in
            [self.nodes.get_mut(&origin.node), self.prefixes.get_mut(&origin.prefix)].into_iter().flatten()
        {
            mark.times = mark.times.saturating_sub(1);
            mark.until = now;
        }
    }
}

fn put<K: Ord + Copy>(marks: &mut Table<K, Mark>, now: Time, key: K, free: u32) {
    if marks.len() >= limits::MARKS_MAX && !marks.contains_key(&key) {
        // The one that would be forgotten first.
        let first = marks.iter().min_by_key(|(_, mark)| mark.gone).map(|(key, _)| *key);
        first.and_then(|first| marks.remove(&first));
    }
    let before = marks.get(&key).copied().unwrap_or(Mark { times: 0, until: now, gone: now });
    marks.insert(key, before.add(now, free));
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Time = Time(1_000);

    fn origin(node: u32) -> Origin {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&node.to_le_bytes());
        Origin { node: NodeId(id), prefix: Prefix::of_ipv4([192, 0, 2, 1]) }
    }

    /// (`MK-45`)
    #[test]
    fn each_mark_holds_an_identity_off_twice_as_long_and_is_forgotten() {
        let (mut clientele, node) = (Clientele::default(), origin(1).node);
        let mut now = FIRST;
        for wait in [2, 4, 8, 16, 32, 64, 64] {
            clientele.mark(now, origin(1));
            assert!(clientele.is_held_off(Time((now + Span::from_s(wait)).0 - 1), &node), "{wait} s");
            now = now + Span::from_s(wait);
            assert!(!clientele.is_held_off(now, &node), "{wait} s");
        }
        now = now + limits::MARKED;
        clientele.mark(now, origin(1));
        assert!(!clientele.is_held_off(now + limits::BACK_OFF, &node), "it begins anew");
    }

    /// (`MK-45`)
    #[test]
    fn a_prefix_is_in_doubt_after_some_marks_and_what_was_wrong_is_taken_back() {
        let mut clientele = Clientele::default();
        let prefix = origin(0).prefix;
        for node in 0..limits::PREFIX_MARKS_FREE {
            clientele.mark(FIRST, origin(node));
            assert!(!clientele.is_doubtful(FIRST, &prefix));
        }
        clientele.mark(FIRST, origin(99));
        assert!(clientele.is_doubtful(FIRST, &prefix) && clientele.is_held_off(FIRST, &origin(99).node));
        clientele.forgive(FIRST, origin(99));
        assert!(!clientele.is_doubtful(FIRST, &prefix) && !clientele.is_held_off(FIRST, &origin(99).node));
    }

    /// (`MK-42`, `MK-45`)
    #[test]
    fn what_is_remembered_is_bounded_and_a_customer_that_wastes_room_is_none_for_a_while() {
        let mut clientele = Clientele::new([origin(7).node].into_iter());
        for node in 0..2 * u32::try_from(limits::MARKS_MAX).expect("small") {
            clientele.mark(FIRST + Span(u64::from(node)), origin(node));
        }
        assert_eq!(clientele.nodes.len(), limits::MARKS_MAX);
        let now = FIRST + limits::MARKED;
        assert!(clientele.is_customer(now, &origin(7).node));
        clientele.mark(now, origin(7));
        assert!(!clientele.is_customer(now, &origin(7).node) && clientele.has_ever_paid(&origin(7).node));
        for node in 0..2 * u32::try_from(limits::CUSTOMERS_MAX).expect("small") {
            clientele.has_paid(now + Span(u64::from(node)), origin(node).node);
            assert!(clientele.has_ever_paid(&origin(node).node));
        }
        assert_eq!(clientele.customers.len(), limits::CUSTOMERS_MAX);
        assert!(!clientele.has_ever_paid(&origin(7).node), "the one that has not paid for longest");
    }
}
