//! A seek: a client asks on a model's topic who offers it, and how often it may.

use crate::ident::{Domain, Identity, NodeId};
use crate::limits;
use crate::market::invite::Share;
use crate::table::Table;
use crate::time::Time;
use crate::wire::codec;
use crate::wire::extension::{Extensions, Features};
use crate::wire::signed::{Signed, Statement};
use crate::work::order::ModelId;

/// A seek's random id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct SeekId(pub [u8; 16]);

/// A question for asks. Signed in [`Domain::Seek`]. (`MK-12`)
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Seek {
    /// Random; asks name it.
    pub id: SeekId,
    /// Where asks go.
    pub client: NodeId,
    /// Which model.
    pub model: ModelId,
    /// Which share of the providers may answer. (`MK-16`)
    pub invited: Share,
    /// When it was made, in Unix seconds: it is acted upon while it is fresh. (`WI-18`)
    pub made_s: u64,
    /// Proof of work; 0 for none. Nothing checks it in this version.
    pub stamp: u64,
    /// What the client understands.
    pub features: Features,
    /// What else the seek needs or offers.
    pub extensions: Extensions,
}

impl Seek {
    /// Returns a seek for a model's providers, made at this Unix second.
    #[must_use]
    pub const fn for_model(id: SeekId, client: NodeId, model: ModelId, invited: Share, made_s: u64) -> Self {
        Self {
            id,
            client,
            model,
            invited,
            made_s,
            stamp: 0,
            features: Features::OWN,
            extensions: Extensions::NONE,
        }
    }

    /// Signs the seek.
    #[must_use]
    pub fn sign(&self, client: &Identity) -> Signed {
        Signed::new(client, Domain::Seek, codec::encode(self))
    }
}

impl Statement for Seek {
    const DOMAIN: Domain = Domain::Seek;

    fn signer(&self) -> NodeId {
        self.client
    }
}

/// When a client sought each model, and whether anyone answered.
#[derive(Debug, Default)]
pub struct Seeks {
    newest: Table<ModelId, (Time, bool)>,
}

impl Seeks {
    /// Returns whether it is time to seek a model: not for a while after answers came, sooner after
    /// silence. (`MK-18`)
    #[must_use]
    pub fn is_due(&self, now: Time, model: &ModelId) -> bool {
        match self.newest.get(model) {
            Some((at, true)) => now >= *at + limits::SEEK_EVERY,
            Some((at, false)) => now >= *at + limits::SEEK_RETRY,
            None => self.newest.len() < limits::MODELS_KNOWN_MAX,
        }
    }

    /// Notes that a seek goes out.
    pub fn sent(&mut self, now: Time, model: ModelId) {
        self.newest.insert(model, (now, false));
    }

    /// Notes that someone answered.
    pub fn answered(&mut self, model: &ModelId) {
        if let Some((_, answered)) = self.newest.get_mut(model) {
            *answered = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (`MK-18`)
    #[test]
    fn a_model_is_sought_again_soon_after_silence_and_late_after_answers() {
        let (mut seeks, model) = (Seeks::default(), ModelId([2; 32]));
        assert!(seeks.is_due(Time(0), &model));
        seeks.sent(Time(0), model);
        assert!(!seeks.is_due(Time(0), &model));
        assert!(seeks.is_due(Time(0) + limits::SEEK_RETRY, &model));
        seeks.answered(&model);
        assert!(!seeks.is_due(Time(0) + limits::SEEK_RETRY, &model));
        assert!(seeks.is_due(Time(0) + limits::SEEK_EVERY, &model));
    }
}
