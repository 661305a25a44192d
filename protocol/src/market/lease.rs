//! Leases: the winner of an auction is used again for a while at its price, without another auction.

use crate::ident::NodeId;
use crate::limits;
use crate::market::auction::{Candidate, Source};
use crate::table::Table;
use crate::time::Time;
use crate::work::order::{ModelId, Tier};
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
}

impl Leases {
    /// Keeps a candidate that has just served well, with the lowest ask when it was awarded. Serving on a lease makes it no longer: the
    /// provider does not, either.
    pub fn keep(&mut self, now: Time, candidate: Candidate, lowest: Option<Price>) {
        self.held.retain(|_, lease| lease.until > now);
        let model = candidate.bid.model;
        if self.held.get(&model).is_some_and(|held| held.candidate.hash == candidate.hash) {
            return;
        }
        if self.held.len() < limits::LEASES_MAX || self.held.contains_key(&model) {
            // The provider counts from the award, which was earlier: end a little before it does.
            let leased = Candidate { source: Source::Lease, ..candidate };
            let until = now + limits::LEASE_VALID.half();
            self.held.insert(model, Lease { candidate: leased, until, lowest });
        }
    }

    /// Returns the lease for a model and tier, if one stands.
    #[must_use]
    pub fn find(&self, now: Time, model: &ModelId, tier: Tier) -> Option<&Candidate> {
        self.held
            .get(model)
            .filter(|lease| lease.until > now && lease.candidate.bid.tier >= tier)
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
            leases.find(now, &ModelId([1; 32]), Tier::Open).map(|candidate| candidate.bid.provider)
        };
        leases.keep(Time(0), candidate(1), None);
        leases.keep(Time(0) + half.half(), candidate(1), None);
        assert_eq!(provider(&leases, Time(0) + half.half()), Some(NodeId([1; 32])));
        assert_eq!(provider(&leases, Time(0) + half), None);
        leases.keep(Time(0) + half.half(), candidate(2), None);
        assert_eq!(provider(&leases, Time(0) + half), Some(NodeId([2; 32])));
    }
}
