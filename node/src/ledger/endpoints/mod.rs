//! Several endpoints as one ledger: one that is down is passed over, and one that lies is outvoted or contradicted.
//!
//! Where there is more than one endpoint, an account, a history, a network and a refusal count when more than half of them
//! say the same; when some stay silent, at least two, and more than half of those that answer. Endpoints that differ are
//! asked again, since blocks reach them one after the other; what stays contradictory is an error and never a guess. A
//! single endpoint is believed. (`LE-1`)

mod agreement;
mod list;
mod opinions;

pub use self::agreement::Endpoints;
pub(crate) use self::list::check;
pub use self::list::{DEVNET_URL, connect, first_service};
