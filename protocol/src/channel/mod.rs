//! Payment channels: terms and their address, vouchers, and what is signed to close.

pub mod cell;
pub mod terms;
pub mod voucher;
