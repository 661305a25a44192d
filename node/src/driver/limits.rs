//! Every bound of what the driver takes from strangers, with its unit and its reason.

use bombyx_protocol::time::Span;

/// How long an order waits for providers to be connected. The swarm answers sooner; this is for when its word is lost.
pub(super) const ORDER_PATIENCE: Span = Span::from_ms(1_500);
/// How long a call or seek waits for its author's connection: the author dials at the moment in which it calls.
pub(super) const EARLY_PATIENCE: Span = Span::from_s(1);
/// Calls and seeks that wait for their authors' connections, all together.
pub(super) const EARLY_MAX: usize = 64;
/// Of them, those of one author.
pub(super) const EARLY_EACH: usize = 2;
