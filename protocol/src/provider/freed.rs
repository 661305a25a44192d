//! What an input frees for other jobs.

use std::collections::BTreeSet;

use crate::channel::id::ChannelId;

/// What the input at hand has freed: at its end others resume.
#[derive(Debug, Default)]
pub(super) struct FreedRoom {
    /// Channels on which a job needs less of the window, or none any more.
    pub(super) channels: BTreeSet<ChannelId>,
    /// Whether a slot has become free.
    pub(super) slot: bool,
}
