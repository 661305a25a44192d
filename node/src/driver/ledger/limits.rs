//! How much the ledger service does at a time, how often, and how long it waits.

use std::time::Duration;

use bombyx_protocol::limits::CHANNELS_MAX;
use bombyx_protocol::time::Span;

/// Calls that wait for the service, and events that wait for the driver.
pub(super) const QUEUE_MAX: usize = 1_024;
/// Calls that wait for an earlier one on the same account.
pub(super) const CALLS_PER_ACCOUNT_MAX: usize = 16;
/// How long a call may take before it counts as failed. Its own waits end sooner; this one ends what hangs.
pub(super) const CALL_WAIT: Duration = Duration::from_secs(180);
/// How long a call that locks coins waits for a ledger that does not answer: longer than most orders that need it.
pub(super) const OPENING_WAIT: Duration = Duration::from_secs(600);
/// How long it then waits for coins that are on their way to the wallet.
pub(super) const FUNDS_WAIT: Duration = Duration::from_secs(10);
/// Calls under way at a time, where requests are not counted; claims and closes may be as many again.
pub(super) const CALLS_AT_A_TIME: usize = 64;
/// Calls under way at a time on a ledger that allows so many requests in a second: each asks until its effect is seen.
pub(super) const CALLS_AT_A_TIME_COUNTED: usize = 2;
/// Accounts that are watched: those of both directions.
pub(super) const WATCHED_MAX: usize = 2 * CHANNELS_MAX;

/// Looks under way at a time. Each costs a socket at the most, and one that hangs must not hold the others.
pub(super) const LOOKS_AT_A_TIME: usize = 16;
/// How long a look may take before it counts as failed.
pub(super) const LOOK_WAIT: Duration = Duration::from_secs(15);
/// The least time between the beginnings of two looks: what a machine of two cores can ask of a ledger on itself.
pub(super) const LOOKS_APART_MIN: Duration = Duration::from_micros(500);
/// How long a look takes until one has been measured, at a ledger that counts requests.
pub(super) const LOOK_GUESS: Duration = Duration::from_secs(1);
/// As [`LOOK_GUESS`], at a ledger near by.
pub(super) const LOOK_GUESS_NEAR: Duration = Duration::from_millis(100);
/// Looks that must agree before a channel that was there is said to be gone: an endpoint may lag behind itself.
pub(super) const ABSENCES_NEEDED: u32 = 2;

/// How often within a channel's challenge time its provider is told what it shows, where that is nothing new. Each time it writes
/// a record.
pub(super) const TOLD_TIMES: u32 = 8;

/// A kind of channel that turns are kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// A missed close would cost money.
    AtStake,
    /// Closing, or in want of a second look.
    Pressing,
    /// Not seen funded.
    New,
}

/// The kind of channel that each turn is kept for: three of four are for channels at stake, as [`WATCH_SHARE_MAX`] reckons.
///
/// [`WATCH_SHARE_MAX`]: bombyx_protocol::limits::WATCH_SHARE_MAX
pub(super) const CYCLE: [Turn; 8] = {
    use Turn::{AtStake, New, Pressing};
    [AtStake, AtStake, AtStake, Pressing, AtStake, AtStake, AtStake, New]
};
/// Looks that nothing urges are further apart than this, all channels together: forty a second are enough to ask of a ledger
/// that does not count.
pub(super) const SPARE_APART: Span = Span::from_ms(25);
/// The longest time between two looks at a closing channel, as long as there are turns to spare: its user waits for it.
pub(super) const CLOSING_GAP_MAX: Span = Span::from_s(10);
/// Doublings of the pause before an account is looked at again that could not be.
pub(super) const FAILURES_COUNTED: u32 = 6;
/// Channels that are watched without ever having been funded. Naming one is free, so the oldest makes room.
pub(super) const NEW_MAX: usize = 256;
/// How long a channel is watched that is never funded: many times as long as a job waits for its payment.
pub(super) const NEW_WATCHED: Span = Span::from_s(600);

/// The longest time without any answer before the ledger counts as silent, and nothing as watched.
pub(super) const SILENCE: Duration = Duration::from_secs(60);
/// How long no question may be answered before that is said.
pub(super) const DOUBT: Duration = Duration::from_secs(10);
/// How often a ledger of which nothing else is asked is asked whether it is there.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(60);
/// How long a ledger that does not answer is left alone between two questions.
pub(super) const PROBE_PAUSE: Duration = Duration::from_secs(2);
/// How often the pace is told, if it has changed.
pub(super) const PACE_TOLD_EVERY: Duration = Duration::from_secs(10);
/// How long the number of looks at a time counts as what limits them, after it did.
pub(super) const SATURATED: Duration = Duration::from_secs(30);
