//! What the provider does after a step of a job.

use crate::channel::id::ChannelId;
use crate::wire::message::Refusal;

/// What the provider, which alone knows the other jobs, does after a step of one.
#[derive(Debug, Clone, Copy)]
pub(in crate::provider) enum Next {
    /// Nothing.
    Stay,
    /// Lets the job run as far as it may.
    Resume,
    /// The same for every job on this channel: its money has changed.
    ResumeChannel(ChannelId),
    /// Says why the job waited for nothing, and ends it.
    GiveUp,
    /// Ends it, and gives up what it left unpaid: its client speaks of others and not of it.
    LeaveForgotten,
    /// Ends it, well (`None`) or with a reason that the client is told.
    End(Option<Refusal>),
    /// Waits for a slot, and tells the client how long.
    Wait,
    /// Has the input counted.
    Count,
    /// Tells the client that the input has so many tokens, and waits for the task once more.
    Recount(u64),
    /// Forgets it.
    Forget,
}
