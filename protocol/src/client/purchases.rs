//! What a client has bought of each model lately, as far as its next orders go by it: prices, lengths and times, and when somebody
//! else is tried.

use crate::channel::record::Record;
use crate::entropy::Entropy;
use crate::ident::Prefix;
use crate::limits;
use crate::market::direct::DirectCalls;
use crate::market::explore::Exploration;
use crate::market::history::{History, Timing};
use crate::market::score::Lot;
use crate::table::Table;
use crate::work::order::ModelId;
use crate::work::price::Price;

use super::known_provider::KnownProvider;

/// What was bought, by model.
#[derive(Debug, Default)]
pub(super) struct Purchases {
    models: Table<ModelId, Bought>,
    /// Where the turns begin by which somebody else is tried.
    begins: Exploration,
}

/// What was bought of a model lately, and when a stranger is next tried.
#[derive(Debug, Default)]
pub(super) struct Bought {
    pub(super) history: History,
    pub(super) exploration: Exploration,
    pub(super) direct: DirectCalls,
}

/// A job that ended well, as far as it is remembered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service {
    pub(super) model: ModelId,
    /// The bid, if it won an auction for this job.
    pub(super) won: Option<Price>,
    /// The class of the output that was allowed.
    pub(super) output_log2: u8,
    /// The output that came.
    pub(super) output_tokens: u32,
    /// What was billed.
    pub(super) units: u64,
    /// How long it took, where nothing but the provider took time.
    pub(super) timing: Option<Timing>,
}

impl Purchases {
    /// Returns what a client goes on from with these records: where somebody was remembered, in the middle of its turns. (`MK-33`)
    pub(super) fn resumed(records: &[Record], now_s: u64, entropy: &mut Entropy) -> Self {
        let known = records.iter().filter_map(|record| match record {
            Record::Reputation(reputation) => Some(KnownProvider::new(*reputation)),
            Record::Payer(_) | Record::Earner(_) | Record::Receipt { .. } | Record::ChannelGone { .. } => {
                None
            }
        });
        let known: Vec<KnownProvider> = known.collect();
        if known.is_empty() {
            return Self::default();
        }
        let has_failed = |known: &&KnownProvider| known.reputation.good == 0 && known.failures(now_s) > 0;
        let failed = known.iter().filter(has_failed).count();
        Self { begins: Exploration::resumed(entropy.number(), failed), ..Self::default() }
    }

    /// Returns what was bought of a model, to add to it; nothing for one more model than are remembered.
    pub(super) fn of_mut(&mut self, model: ModelId) -> Option<&mut Bought> {
        if !self.models.contains_key(&model) {
            if self.models.len() >= limits::MODELS_KNOWN_MAX {
                return None;
            }
            let exploration = self.begins.clone();
            self.models.insert(model, Bought { exploration, ..Bought::default() });
        }
        self.models.get_mut(&model)
    }

    /// Returns the median of the bids for a model that won lately, once there are enough. (`MK-8`)
    pub(super) fn won_lately(&self, model: &ModelId) -> Option<Price> {
        self.of(model).and_then(|bought| bought.history.median_bid())
    }

    /// Returns what was bought of a model.
    pub(super) fn of(&self, model: &ModelId) -> Option<&Bought> {
        self.models.get(model)
    }

    /// Returns the output that is expected of a lot. (`MK-7`)
    pub(super) fn output_tokens(&self, model: &ModelId, lot: &Lot) -> u64 {
        let (class, most) = (lot.classes().output_log2, lot.output_tokens_max);
        let unknown = || History::default().output_tokens(class, most);
        self.of(model).map_or_else(unknown, |bought| bought.history.output_tokens(class, most))
    }

    /// Returns whether a lot is small enough to be given to a provider that has served once at most. (`MK-31`)
    pub(super) fn is_small(&self, model: &ModelId, lot: &Lot) -> bool {
        let units = lot.weights.units(lot.input, self.output_tokens(model, lot));
        self.of(model).is_none_or(|bought| bought.history.is_small(units))
    }

    /// Remembers a job that ended well, which a provider of this prefix did.
    pub(super) fn served(&mut self, prefix: Prefix, service: &Service) {
        let Some(Bought { history, .. }) = self.of_mut(service.model) else { return };
        if let Some(price) = service.won {
            history.won(price, prefix);
        }
        history.served(service.output_log2, service.output_tokens, service.units);
        if let Some(timing) = service.timing {
            history.timed(timing);
        }
    }
}
