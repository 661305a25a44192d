//! How a job finds its provider and its price: calls, sealed bids, one scored award, leases; seeks and asks.

pub mod ask;
pub mod auction;
pub mod bid;
pub mod book;
pub mod call;
mod class_prices;
pub mod direct;
pub mod explore;
pub mod history;
pub mod invite;
mod known_bids;
pub mod lease;
pub(crate) mod limits;
pub mod quote;
pub mod ranking;
pub mod score;
pub mod seek;
pub mod seeks;
pub mod topic;
