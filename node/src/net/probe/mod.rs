//! One connection to one node, for who wants to see what that node does: nothing is kept, tried again or hidden, and every
//! byte may be wrong. A node's own swarm is [`super::start()`].

mod carrier;
mod connection;
mod table;
mod told;

pub use self::connection::{Probe, RawStream, node_at};
pub use self::table::{TableAddress, TableAnswer, TableProvider, is_routable};
pub use self::told::{Heard, Identified, ProbeError, Standing};
