//! What this provider has on offer.

use crate::io::Offer;
use crate::limits;
use crate::table::Table;
use crate::work::order::ModelId;

/// The models on offer.
#[derive(Debug, Default)]
pub(super) struct Offers {
    table: Table<ModelId, Offer>,
    /// The last model that a seek for all of them was told of.
    turn: Option<ModelId>,
}

impl Offers {
    /// Offers a model from now on, or changes its offer. One without a slot offers nothing: its jobs would wait for ever.
    pub(super) fn offer(&mut self, offer: Offer) {
        if offer.slots == 0 {
            self.table.remove(&offer.model);
        } else {
            self.table.insert(offer.model, offer);
        }
    }

    /// Returns the offer of a model.
    #[must_use]
    pub(super) fn find(&self, model: &ModelId) -> Option<&Offer> {
        self.table.get(model)
    }

    /// Returns which models a seek is told of: the one that it names, or as many as it may be, by
    /// turns. (`MK-19`)
    pub(super) fn sought(&mut self, model: Option<ModelId>) -> Vec<ModelId> {
        if let Some(model) = model {
            return vec![model];
        }
        let is_after = |model: &&ModelId| self.turn.is_some_and(|turn| **model > turn);
        let after = self.table.keys().filter(is_after);
        let before = self.table.keys().filter(|model| !is_after(model));
        let told: Vec<ModelId> = after.chain(before).take(limits::ASKS_PER_SEEK_MAX).copied().collect();
        self.turn = told.last().copied();
        told
    }

    /// Returns the models on offer.
    pub(super) fn models(&self) -> Vec<ModelId> {
        self.table.keys().copied().collect()
    }

    /// Returns the jobs at a time that a model's offer is for.
    pub(super) fn slots(&self, model: &ModelId) -> u16 {
        self.table.get(model).map_or(0, |offer| offer.slots)
    }
}
