//! What a provider counts of an order's input, where this node has no tokenizer: to whom it is stated, and whether calls are for it.
//! (`WR-22`)

use crate::ident::NodeId;
use crate::limits;

/// The count of an order's input by one that is not this node.
#[derive(Debug, Default)]
pub(super) struct ForeignCount {
    /// Who gave the newest, and the input tokens of the whole task as it counts them.
    given: Option<(NodeId, u32)>,
    /// Whom the task is stated to, or called for as it counts.
    stated_to: Option<NodeId>,
    /// How often a provider has counted so that its bid was for another class.
    unfit: u8,
    /// Whether the next call is for the newest count.
    is_called_for: bool,
}

impl ForeignCount {
    /// Returns the count that the task is stated or called for with; nothing where that is an estimate.
    pub(super) fn stated(&self) -> Option<u32> {
        self.given.filter(|(provider, _)| self.stated_to == Some(*provider)).map(|(_, count)| count)
    }

    /// Notes what a provider counts.
    pub(super) fn give(&mut self, provider: NodeId, count: u32) {
        self.given = Some((provider, count));
    }

    /// Notes to whom the task is stated: what one provider counts is not said to others.
    pub(super) const fn state_to(&mut self, provider: NodeId) {
        self.stated_to = Some(provider);
    }

    /// Has the next call be for what the provider has counted that the task is stated to, as its bid is not.
    pub(super) const fn call_for(&mut self) {
        self.unfit = self.unfit.saturating_add(1);
        self.is_called_for = self.unfit <= limits::RECOUNTS_MAX;
    }

    /// Notes that the task is stated to nobody any more. Returns whether the next call is for what was counted, and not for an estimate.
    pub(super) const fn leave(&mut self) -> bool {
        let is_called_for = core::mem::replace(&mut self.is_called_for, false);
        if !is_called_for {
            self.stated_to = None;
        }
        is_called_for
    }

    /// Goes back to the estimate where nobody could be awarded what one provider has counted. Returns whether the call was for that.
    pub(super) const fn doubt(&mut self) -> bool {
        self.stated_to.take().is_some()
    }
}
