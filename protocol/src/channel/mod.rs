//! One payment channel, client to provider: its terms, its vouchers, who owes what, and what the ledger must do.

pub mod address;
pub mod cell;
pub mod demands;
pub mod earn;
pub mod exposure;
pub mod fault;
pub mod id;
pub mod key_proof;
pub mod lane;
pub mod ledger;
pub(crate) mod looks;
pub mod pace;
pub mod pay;
pub mod purse;
pub mod record;
pub mod salt;
pub mod sight;
pub mod terms;
pub mod voucher;
pub mod watch;
