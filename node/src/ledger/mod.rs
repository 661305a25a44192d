//! Channels on a real ledger: open, claim, close, and what it cost, over any [`Chain`].
//!
//! ```text
//! Ledger ── channel operations, waits, refusals
//!   ├─ wallet     the node's coins; only opening and topping up need them
//!   ├─ contract   messages to and state of the channel contract
//!   ├─ purse      the same of the second contract, which no operation uses yet
//!   │    └─ message    what both are made of
//!   ├─ prices     what the network charges, and what the contracts ask for at that
//!   └─ chain      the few calls that every backend offers
//!        ├─ devnet       a TVM in this process, with the two faces of a network
//!        └─ endpoints    several connections as one: fail-over, answers checked against each other
//!             ├─ toncenter    over HTTP: a devnet elsewhere, testnet, mainnet
//!             └─ liteserver   the same over ADNL, from full nodes themselves
//! ```
//!
//! Claims, closes and finalizes travel as external messages that the channel pays for, so a provider needs no coins.
//! Every operation returns when its effect is seen on the ledger, when the contract refused, or at a deadline; what an
//! endpoint answers to a message decides nothing. (`LE-6`)

#[cfg(test)]
mod body_vectors;
mod chain;
mod chain_error;
pub(crate) mod clock;
mod coin;
pub(crate) mod contract;
mod departures;
pub mod devnet;
pub mod endpoints;
mod error;
pub mod limits;
mod liteserver;
mod message;
mod operations;
mod past;
mod payment;
mod prices;
mod purse;
mod retry;
mod state;
mod toncenter;
mod transfer;
mod turns;
mod wait;
mod wallet;

pub use self::chain::{Account, Chain, ChainError, Contract, Message, Priority, Reply, Transaction};
pub use self::coin::{CoinName, CoinNameError};
pub use self::contract::{ChannelAccount, ChannelMessage, Refusal};
pub(crate) use self::departures::Departures;
pub use self::error::LedgerError;
pub use self::liteserver::{LiteAddress, Liteserver};
pub use self::operations::OpenedChannel;
pub(crate) use self::past::{Crossing, Past, WalletView, deposited_to};
pub use self::prices::Prices;
pub use self::purse::{LaneState, PurseMessage, PurseState};
pub use self::state::Ledger;
pub use self::toncenter::Toncenter;
pub use self::wallet::{TRANSFER_LIFE, Wallet, WalletError, friendly, parse_address};

/// The global id of TON's main network.
pub const MAINNET_ID: i32 = -239;
/// The global id of TON's test network.
pub const TESTNET_ID: i32 = -3;
