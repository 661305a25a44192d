//! Leases: the winner of an auction is used again for a while at its price, without another auction.

use crate::ident::NodeId;
use crate::limits;
use crate::market::auction::{Candidate, Source};
use crate::table::Table;
use crate::time::Time;
use crate::work::order::{ModelId, Tier};
use crate::work::preferences::Preferences;
use crate::work::price::Price;

/// The client's leases: at most one for a model. (`MK-14`)
#[derive(Debug, Default)]
pub struct Leases {
    held: Table<ModelId, Lease>,
}

/// A bid that is used again.
#[derive(Debug)]
struct Lease {
    candidate: Candidate,
    until: Time,
    /// The lowest ask of those that had served well, and of its provider, when it was first awarded, if one was known.
    lowest: Option<Price>,
    /// What the order that won it wanted of its provider.
    wanted: Preferences,
}

impl Leases {
    /// Keeps a candidate that has just served an order well which wanted this of its provider, with the lowest ask when it was awarded.
    /// Serving on a lease makes it no longer: the provider does not, either. One that was won among all stands before one that was
    /// won among those that somebody named.
    pub fn keep(&mut self, now: Time, candidate: Candidate, lowest: Option<Price>, wanted: &Preferences) {
        self.held.retain(|_, lease| lease.until > now);
        let model = candidate.bid.model;
        let stays = |held: &Lease| {
            held.candidate.hash == candidate.hash || (held.wanted.is_any() && !wanted.is_any())
        };
        if self.held.get(&model).is_some_and(stays) {
            return;
        }
        if self.held.len() < limits::LEASES_MAX || self.held.contains_key(&model) {
            // The provider counts from the award, which was earlier: end a little before it does.
            let leased = Candidate { source: Source::Lease, ..candidate };
            let until = now + limits::LEASE_VALID.half();
            self.held.insert(model, Lease { candidate: leased, until, lowest, wanted: wanted.clone() });
        }
    }

    /// Returns the lease for a model and tier that an order may use which wants this of its provider, if one stands: it was won among
    /// all, or among those that this order names.
    #[must_use]
    pub fn find(&self, now: Time, model: &ModelId, tier: Tier, wanted: &Preferences) -> Option<&Candidate> {
        self.held
            .get(model)
            .filter(|lease| lease.until > now && lease.candidate.bid.tier >= tier)
            .filter(|lease| lease.wanted.is_any() || lease.wanted == *wanted)
            .map(|lease| &lease.candidate)
    }

    /// Returns whether those that have served well ask so much less than when the lease was won that the market is worth another
    /// look. (`MK-14`)
    #[must_use]
    pub fn is_dear(&self, model: &ModelId, lowest: Option<Price>) -> bool {
        let Some((then, now)) = self.held.get(model).and_then(|lease| lease.lowest.zip(lowest)) else {
            return false;
        };
        let (parts, of) = (limits::LEASE_DEAR_PARTS, limits::LEASE_DEAR_OF);
        u128::from(now.0).saturating_mul(of) <= u128::from(then.0).saturating_mul(parts)
    }

    /// Ends every lease of a provider that failed.
    pub fn end(&mut self, provider: NodeId) {
        self.held.retain(|_, lease| lease.candidate.bid.provider != provider);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::Prefix;
    use crate::market::bid::{Bid, BidHash};
    use crate::market::call::Classes;

    fn candidate(number: u8) -> Candidate {
        let bid = Bid { provider: NodeId([number; 32]), ..Bid::for_tests() };
        Candidate {
            hash: BidHash([number; 32]),
            price: bid.price,
            bid,
            classes: Classes::of(1, 1),
            prefix: Prefix::UNKNOWN,
            source: Source::Auction,
            margin: Some(0),
        }
    }

    /// (`MK-14`)
    #[test]
    fn a_lease_is_no_longer_for_being_used_and_another_bid_begins_a_new_one() {
        let (mut leases, half) = (Leases::default(), limits::LEASE_VALID.half());
        let provider = |leases: &Leases, now| {
            leases
                .find(now, &ModelId([1; 32]), Tier::Open, &Preferences::default())
                .map(|candidate| candidate.bid.provider)
        };
        leases.keep(Time(0), candidate(1), None, &Preferences::default());
        leases.keep(Time(0) + half.half(), candidate(1), None, &Preferences::default());
        assert_eq!(provider(&leases, Time(0) + half.half()), Some(NodeId([1; 32])));
        assert_eq!(provider(&leases, Time(0) + half), None);
        leases.keep(Time(0) + half.half(), candidate(2), None, &Preferences::default());
        assert_eq!(provider(&leases, Time(0) + half), Some(NodeId([2; 32])));
    }

    /// (`MK-14`)
    #[test]
    fn what_was_won_among_those_that_an_order_named_serves_orders_that_name_the_same() {
        let mut leases = Leases::default();
        let only = |number| Preferences { only: vec![NodeId([number; 32])], ..Preferences::default() };
        let found = |leases: &Leases, wanted: &Preferences| {
            let lease = leases.find(Time(1), &ModelId([1; 32]), Tier::Open, wanted);
            lease.map(|candidate| candidate.bid.provider.0[0])
        };
        leases.keep(Time(0), candidate(3), None, &only(3));
        assert_eq!((found(&leases, &only(3)), found(&leases, &Preferences::default())), (Some(3), None));
        leases.keep(Time(0), candidate(1), None, &Preferences::default());
        leases.keep(Time(0), candidate(3), None, &only(3));
        assert_eq!(found(&leases, &Preferences::default()), Some(1), "it is not driven out");
    }
}
