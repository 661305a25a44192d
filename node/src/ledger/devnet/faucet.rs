//! Play money: coins from nowhere, which exist on the devnet only.

use bombyx_protocol::amount::{NANO_PER_COIN, Nano};
use bombyx_protocol::channel::terms::Address;

use super::backend::Devnet;
use crate::ledger::chain::ChainError;

/// The most that one request may ask for.
pub const FAUCET_MAX: Nano = Nano(1_000 * NANO_PER_COIN);

impl Devnet {
    /// Adds coins to an account in workchain 0.
    ///
    /// # Errors
    /// [`ChainError::Refused`] for more than [`FAUCET_MAX`], or another workchain.
    pub fn faucet(&self, address: Address, amount: Nano) -> Result<(), ChainError> {
        let refused = |reason: String| ChainError::Refused { exit_code: None, reason };
        if amount > FAUCET_MAX {
            return Err(refused(format!("the faucet gives at most {FAUCET_MAX} coins at once")));
        }
        if address.workchain != 0 {
            return Err(refused("the faucet serves workchain 0 only".into()));
        }
        self.state().mint(address, amount)
    }
}
