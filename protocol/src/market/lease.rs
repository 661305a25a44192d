//! Leases: the winner of an auction is used again for a while at its price, without another auction.

use std::collections::BTreeMap;

use crate::ident::NodeId;
use crate::limits;
use crate::market::auction::Candidate;
use crate::time::Time;
use crate::work::order::{ModelId, Tier};

/// The client's leases: at most one for a model. (`MK-14`)
#[derive(Debug, Default)]
pub struct Leases {
    held: BTreeMap<ModelId, (Candidate, Time)>,
}

impl Leases {
    /// Keeps a candidate that has just served well.
    pub fn keep(&mut self, now: Time, candidate: Candidate) {
        self.held.retain(|_, (_, until)| *until > now);
        let model = candidate.bid.model;
        if self.held.len() < limits::LEASES_MAX || self.held.contains_key(&model) {
            // The provider counts from the award, which was earlier: end a little before it does.
            self.held.insert(model, (candidate, now + limits::LEASE_VALID.half()));
        }
    }

    /// The lease for a model and tier, if one stands.
    #[must_use]
    pub fn find(&self, now: Time, model: &ModelId, tier: Tier) -> Option<&Candidate> {
        self.held
            .get(model)
            .filter(|(candidate, until)| *until > now && candidate.bid.tier >= tier)
            .map(|(candidate, _)| candidate)
    }

    /// Ends every lease of a provider that failed.
    pub fn end(&mut self, provider: NodeId) {
        self.held.retain(|_, (candidate, _)| candidate.bid.provider != provider);
    }
}
