//! Topics: where calls and seeks are gossiped.

use crate::work::order::ModelId;

/// What a topic is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Everything that is on offer: every node that sells listens to it.
    Market,
    /// One model.
    Model(ModelId),
}

impl Topic {
    /// Returns the model that it is about, if it is about one.
    #[must_use]
    pub const fn model(self) -> Option<ModelId> {
        match self {
            Self::Market => None,
            Self::Model(model) => Some(model),
        }
    }
}

impl From<Option<ModelId>> for Topic {
    /// Returns the topic of what is said about this model, or about none.
    fn from(model: Option<ModelId>) -> Self {
        model.map_or(Self::Market, Self::Model)
    }
}
