//! Which providers an order may go to, as its user wants it.

use crate::ident::NodeId;

/// Wishes about providers. Empty lists say nothing. (`MK-13`)
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preferences {
    /// The only providers that may serve.
    pub only: Vec<NodeId>,
    /// Providers that may not serve.
    pub ignore: Vec<NodeId>,
    /// Providers that are asked before all others, in this order.
    pub order: Vec<NodeId>,
}

impl Preferences {
    /// Returns whether all providers are alike to them.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.only.is_empty() && self.ignore.is_empty() && self.order.is_empty()
    }

    /// Returns whether a provider may serve.
    #[must_use]
    pub fn allow(&self, provider: &NodeId) -> bool {
        (self.only.is_empty() || self.only.contains(provider)) && !self.ignore.contains(provider)
    }

    /// Returns the turn in which a provider is asked: those in [`Self::order`] one after the other, then all others together.
    #[must_use]
    pub fn turn(&self, provider: &NodeId) -> usize {
        self.order.iter().position(|wanted| wanted == provider).unwrap_or(self.order.len())
    }

    /// Returns whether a provider may be asked without an auction: nobody comes before it.
    #[must_use]
    pub fn begin_with(&self, provider: &NodeId) -> bool {
        self.allow(provider) && self.turn(provider) == 0
    }

    /// Returns the providers that are named, if any are: their bids are worth waiting for.
    #[must_use]
    pub fn named(&self) -> Option<&[NodeId]> {
        [&self.order, &self.only].into_iter().map(Vec::as_slice).find(|named| !named.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn node(number: u8) -> NodeId {
        NodeId([number; 32])
    }

    /// (`MK-13`)
    #[test]
    fn who_is_ignored_never_serves_and_who_is_named_comes_first() {
        let none = Preferences::default();
        assert!(none.allow(&node(1)) && none.begin_with(&node(1)) && none.named().is_none());
        let wanted = Preferences {
            only: vec![node(1), node(2), node(3)],
            ignore: vec![node(3)],
            order: vec![node(2), node(1)],
        };
        let allowed: Vec<bool> = (1..=4).map(|number| wanted.allow(&node(number))).collect();
        assert_eq!(allowed, [true, true, false, false]);
        let turns: Vec<usize> = (1..=4).map(|number| wanted.turn(&node(number))).collect();
        assert_eq!(turns, [1, 0, 2, 2]);
        assert!(wanted.begin_with(&node(2)) && !wanted.begin_with(&node(1)));
    }
}
