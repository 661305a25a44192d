//! Every bound of what the driver takes from strangers, with its unit and its reason.

use bombyx_protocol::time::Span;

/// How long an order waits for providers to be connected. The swarm answers sooner; this is for when its word is lost.
pub(super) const ORDER_PATIENCE: Span = Span::from_ms(1_500);
/// How old what is known of the market may be when an order comes: half of an ask's life.
pub(super) const BOOK_AGE_MAX: Span = Span::from_s(30);
/// Questions for what is on offer that wait for the answer.
pub(super) const LISTS_WAITING_MAX: usize = 256;
/// How long one waits for the list at the most.
pub(super) const LIST_PATIENCE: Span = Span::from_s(3);
/// How long those that sell are looked up and visited before they are taken to be found. The swarm says so sooner.
pub(super) const SURVEY_PATIENCE: Span = Span::from_s(2);
/// How long answers to a seek are waited for once all have been asked, if some are still due.
pub(super) const ANSWERS_PATIENCE: Span = Span::from_ms(700);
/// How long those that sell are waited for that were asked what they want for an order.
pub(super) const PRICES_PATIENCE: Span = Span::from_ms(300);
/// How long they are waited for at least: what was gossiped is answered by those that nobody counts.
pub(super) const ANSWERS_PAUSE: Span = Span::from_ms(200);
/// Manifests that are fetched at a time.
pub(super) const FETCHES_MAX: usize = 16;
/// Of them, from one node.
pub(super) const FETCHES_EACH: usize = 2;
/// How long a node that failed to send a manifest is not asked for it again; twice as long each time.
pub(super) const FETCH_RETRY: Span = Span::from_s(5);
/// How many times it is doubled.
pub(super) const FETCH_DOUBLINGS_MAX: u32 = 5;
