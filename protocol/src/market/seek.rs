//! A seek: a client asks who offers a model, or what is on offer at all.

use crate::ident::{Domain, Identity, NodeId};
use crate::market::call::Classes;
use crate::market::invite::Share;
use crate::wire::codec;
use crate::wire::extension::{Extensions, Features};
use crate::wire::signed::{Signed, Statement};
use crate::work::order::ModelId;

/// A seek's random id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct SeekId(pub [u8; 16]);

/// A question for asks. Signed in [`Domain::Seek`] where it is gossiped. (`MK-12`)
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Seek {
    /// Random; asks name it.
    pub id: SeekId,
    /// Where asks go.
    pub client: NodeId,
    /// Which model; none asks for whatever is on offer.
    pub model: Option<ModelId>,
    /// Which share of the providers may answer. (`MK-16`)
    pub invited: Share,
    /// The class of input that a price is sought for, as in a call; 0 for the one that an ask is for by itself. (`MK-19`)
    pub input_log2: u8,
    /// The class of output, likewise.
    pub output_log2: u8,
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
    pub fn for_model(id: SeekId, client: NodeId, model: ModelId, invited: Share, made_s: u64) -> Self {
        Self { model: Some(model), ..Self::for_all(id, client, invited, made_s) }
    }

    /// Returns a seek for whatever is on offer, made at this Unix second.
    #[must_use]
    pub const fn for_all(id: SeekId, client: NodeId, invited: Share, made_s: u64) -> Self {
        Self {
            id,
            client,
            model: None,
            invited,
            input_log2: 0,
            output_log2: 0,
            made_s,
            stamp: 0,
            features: Features::OWN,
            extensions: Extensions::NONE,
        }
    }

    /// Returns a seek that is sent to a provider of a model alone, for its price of tasks of these classes. (`MK-64`)
    #[must_use]
    pub fn for_tasks(id: SeekId, client: NodeId, model: ModelId, classes: Classes, made_s: u64) -> Self {
        let Classes { input_log2, output_log2 } = classes;
        Self { input_log2, output_log2, ..Self::for_model(id, client, model, Share::ALL, made_s) }
    }

    /// Returns the classes of tasks that a price is sought for, if it is for some.
    #[must_use]
    pub fn classes(&self) -> Option<Classes> {
        let Self { input_log2, output_log2, .. } = *self;
        (input_log2 > 0).then_some(Classes { input_log2, output_log2 })
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
