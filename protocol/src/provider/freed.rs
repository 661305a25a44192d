//! What an input frees for other jobs.

use std::collections::BTreeSet;

use crate::channel::id::ChannelId;
use crate::time::Span;
use crate::work::order::{JobId, ModelId};

/// What the input at hand has freed: at its end others resume.
#[derive(Debug, Default)]
pub(super) struct FreedRoom {
    /// Channels on which a job needs less of the window, or none any more.
    pub(super) channels: BTreeSet<ChannelId>,
    /// Whether a slot has become free.
    pub(super) slot: bool,
    /// Work that an engine has done, by model, and what its time for each job was when it began.
    pub(super) done: Vec<(ModelId, Span, u64)>,
    /// Tasks that have their turn, in order.
    pub(super) next: Vec<JobId>,
}
