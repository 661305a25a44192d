//! The devnet's blockchain configuration, written from numbers: mainnet's limits of August 2026, and prices.
//!
//! Only the parameters that the executor reads are set. Prices with a fraction are in 1/65536 nano.

use tycho_executor::ParsedConfig;
use tycho_types::cell::{Cell, CellBuilder, HashBytes};
use tycho_types::dict::Dict;
use tycho_types::error::Error;
use tycho_types::models::{
    BlockchainConfig, BlockchainConfigParams, GasLimitsPrices, GlobalCapabilities, GlobalVersion,
    MsgForwardPrices, StoragePrices, WorkchainDescription, WorkchainFormat, WorkchainFormatBasic,
};

use crate::ledger::prices::Prices;

/// The devnet's global id: no public network has it, so nothing signed here counts elsewhere.
pub const DEVNET_ID: i32 = -777;

/// The highest version that the executor implements; mainnet is at 15, whose changes do not touch this project's code.
const VM_VERSION: u32 = 12;
const CAPABILITIES: u64 = 0b11_1110_1110;
const CONFIG_ADDRESS: HashBytes = HashBytes([0x55; 32]);

/// Limits of gas; the price is what [`Prices`] say.
const GAS: GasLimitsPrices = GasLimitsPrices {
    gas_price: 0,
    gas_limit: 1_000_000,
    special_gas_limit: 1_000_000,
    gas_credit: 10_000,
    block_gas_limit: 10_000_000,
    freeze_due_limit: 100_000_000,
    delete_due_limit: 1_000_000_000,
    flat_gas_limit: 0,
    flat_gas_price: 0,
};

const MASTERCHAIN_GAS: GasLimitsPrices = GasLimitsPrices {
    gas_price: 655_360_000, // 10,000 nano per gas
    gas_limit: 1_000_000,
    special_gas_limit: 70_000_000,
    gas_credit: 10_000,
    block_gas_limit: 2_500_000,
    freeze_due_limit: 100_000_000,
    delete_due_limit: 1_000_000_000,
    flat_gas_limit: 100,
    flat_gas_price: 1_000_000,
};

/// Shares of forwarding; the price is what [`Prices`] say.
const FORWARD: MsgForwardPrices = MsgForwardPrices {
    lump_price: 0,
    bit_price: 0,
    cell_price: 0,
    ihr_price_factor: 98_304,
    first_frac: 21_845,
    next_frac: 21_845,
};

const MASTERCHAIN_FORWARD: MsgForwardPrices = MsgForwardPrices {
    lump_price: 10_000_000,
    bit_price: 655_360_000,
    cell_price: 65_536_000_000,
    ..FORWARD
};

/// Returns the configuration as the executor wants it.
pub(super) fn devnet_config(now_s: u32, prices: &Prices) -> Result<ParsedConfig, Error> {
    // The dictionary may not be empty, so it starts with its first parameter.
    let mut first = Dict::<u32, Cell>::new();
    first.set(0, CellBuilder::build_from(CONFIG_ADDRESS)?)?;
    let root = first.into_root().ok_or(Error::InvalidData)?;
    let mut params = BlockchainConfigParams::from_raw(root);
    params.set_global_version(&GlobalVersion {
        version: VM_VERSION,
        capabilities: GlobalCapabilities::new(CAPABILITIES),
    })?;
    let mut workchains = Dict::<i32, WorkchainDescription>::new();
    workchains.set(0, basechain())?;
    params.set_workchains(&workchains)?;
    params.set_storage_prices(&[StoragePrices {
        utime_since: 0,
        bit_price_ps: prices.stored_bit,
        cell_price_ps: prices.stored_cell,
        mc_bit_price_ps: 1_000,
        mc_cell_price_ps: 500_000,
    }])?;
    params.set_global_id(DEVNET_ID)?;
    let gas = GasLimitsPrices {
        gas_price: prices.gas,
        flat_gas_limit: prices.flat_gas,
        flat_gas_price: prices.flat_price,
        ..GAS
    };
    params.set_gas_prices(false, &gas)?;
    params.set_gas_prices(true, &MASTERCHAIN_GAS)?;
    let forward = MsgForwardPrices {
        lump_price: prices.message,
        bit_price: prices.message_bit,
        cell_price: prices.message_cell,
        ..FORWARD
    };
    params.set_msg_forward_prices(false, &forward)?;
    params.set_msg_forward_prices(true, &MASTERCHAIN_FORWARD)?;
    params.set_fundamental_addresses(&[CONFIG_ADDRESS])?;
    ParsedConfig::parse(BlockchainConfig { address: CONFIG_ADDRESS, params }, now_s)
}

fn basechain() -> WorkchainDescription {
    WorkchainDescription {
        enabled_since: 0,
        actual_min_split: 0,
        min_split: 0,
        max_split: 0,
        active: true,
        accept_msgs: true,
        zerostate_root_hash: HashBytes::ZERO,
        zerostate_file_hash: HashBytes::ZERO,
        version: 0,
        format: WorkchainFormat::Basic(WorkchainFormatBasic { vm_mode: 0, vm_version: 0 }),
    }
}
