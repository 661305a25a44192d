//! What a node is told: a TOML file in its home, overridden by `BOMBYX_*` variables, overridden by flags.
//!
//! Every key has a default, so that no file is needed. A key that does not exist is an error that names it, its line
//! and the nearest key that does. `BOMBYX_<SECTION>_<KEY>` sets any key, for example `BOMBYX_LEDGER_URL`; lists are
//! separated by commas.

mod check;
mod error;
mod read;
mod settings;

pub(crate) use self::check::is_loopback;
pub use self::error::ConfigError;
pub(crate) use self::read::nearest;
pub use self::read::{FILE, TEMPLATE};
pub use self::settings::{
    BuyConfig, CHALLENGE_DEVNET_S, CHALLENGE_PUBLIC_S, Coins, Credit, GatewayConfig, LedgerConfig,
    LedgerNetwork, NetworkConfig, NodeConfig, ProvideConfig, Scope,
};
