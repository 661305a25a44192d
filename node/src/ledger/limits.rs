//! Every bound of the ledger's clients that more than one of them keeps, with its unit and its reason.

use std::time::Duration;

/// Requests of people's pages that wait for their turn at one service. A page that finds the lane full says so at once,
/// instead of answering after its reader has left.
pub const PAGE_TURNS_MAX: usize = 64;
/// Requests of all other kinds that wait for their turn at one service: looks at both directions' channels run a few side
/// by side, and calls on channels one at a time each.
pub const TURNS_MAX: usize = 4_096;

/// Endpoints of one node.
pub const ENDPOINTS_MAX: usize = 8;
/// How long a name of an endpoint may take to resolve when a list is read; one that takes longer is compared by its name.
pub const RESOLVE_PATIENCE: Duration = Duration::from_secs(2);
/// After this long without a further answer one more endpoint is asked beside those that are silent.
pub const HEDGE: Duration = Duration::from_secs(2);
/// How many seconds an endpoint's newest block may be ahead of this machine's clock. Clocks that are set by the network
/// differ by less than one; a block is a few seconds old when it is told of.
pub const AHEAD_S_MAX: u32 = 5;
/// How often endpoints that differ are asked before they contradict each other.
pub const ROUNDS: u32 = 5;
/// How long endpoints are asked again, where one lags behind, before they contradict each other: blocks reach an
/// indexer some five seconds after a node.
pub const LAG_PATIENCE: Duration = Duration::from_secs(12);
/// How long an endpoint is asked last after it failed, was slow or was outvoted; each further time doubles it.
pub const REST: Duration = Duration::from_secs(1);
/// The longest rest.
pub const REST_MAX: Duration = Duration::from_secs(60);

/// How far back an operation looks for the transaction that executed or refused it. Others can send coins to an account
/// meanwhile, and pay for each of these.
pub const RECENT_TRANSACTIONS: usize = 32;
/// How long nothing may be heard of a message before it is handed over again. Each is numbered, so that it counts once.
pub const RESEND_PAUSE: Duration = Duration::from_secs(8);
