//! How a job finds its provider and its price: calls, sealed bids, one scored award, asks and leases.

pub mod ask;
pub mod auction;
pub mod bid;
pub mod call;
pub mod desk;
pub mod lease;
pub mod score;
