//! One look at the devnet, which a page shows.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;

use super::html::{link, short};
use crate::ledger::coin::CoinName;
use crate::ledger::devnet::backend::Devnet;
use crate::ledger::devnet::chain::State;

/// One look at the devnet.
pub(super) struct Page<'d> {
    pub(super) state: std::sync::MutexGuard<'d, State>,
    pub(super) fees: u128,
    pub(super) coin: &'d CoinName,
}

impl<'d> Page<'d> {
    pub(super) fn new(devnet: &'d Devnet) -> Self {
        let fees = devnet.fees_collected();
        Self { state: devnet.state(), fees, coin: devnet.coin() }
    }

    pub(super) fn party(&self, address: Address) -> String {
        format!("<a href='{}'><code>{}</code></a>", link(address), short(address))
    }

    pub(super) fn sum(&self, nano: u64) -> String {
        self.coin.amount(Nano(nano))
    }
}
