//! Every bound of the HTTP pages, with its unit and its reason.

use std::time::Duration;

use bombyx_protocol::limits::{LAST_BILL_WAIT, ORDERS_MAX};

/// Until a request's head has arrived, and until the next one on a kept connection begins and is whole: callers are
/// programs near by, and clients open a new connection without being told to.
pub(crate) const HEAD_WAIT: Duration = Duration::from_secs(10);
/// Until a request's body has arrived.
pub(crate) const BODY_WAIT: Duration = Duration::from_secs(30);
/// Until a caller takes more of its answer: one that reads nothing is disconnected.
pub(crate) const WRITE_WAIT: Duration = Duration::from_secs(30);
/// Bytes of a request's head, and of what is read at a time: usual heads have less than one KiB.
pub(crate) const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Header lines of a request.
pub(crate) const HEADERS_MAX: usize = 64;
/// Bytes of one request's body: the largest task, with room for JSON's escapes.
pub(crate) const BODY_BYTES_MAX: usize = 512 * 1024;
/// Bytes of all requests' bodies that are being read at a time, also those that wait for their sender.
pub(crate) const BODIES_BYTES_MAX: usize = 256 * BODY_BYTES_MAX;
/// Connections of one listener at a time: as many as the orders that a client works on, and some for the other pages.
pub(crate) const CONNECTIONS_MAX: usize = ORDERS_MAX + 128;
/// How long to wait before accepting again after the system refused.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Providers in one list of a request's wishes.
pub(crate) const PROVIDERS_NAMED_MAX: usize = 64;
/// How long after its deadline a request that is still without an answer gets the gateway's own, which has no bill: the order's end
/// may wait for its last bill, and be told late where the node is busy.
pub(crate) const DEADLINE_GRACE: Duration = Duration::from_micros(LAST_BILL_WAIT.0 + 1_000_000);
/// The longest time in milliseconds that a request may ask for.
pub(crate) const DEADLINE_MS_MAX: u64 = 600_000;
