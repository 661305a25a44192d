//! What the network charges, and what the contracts ask for at those prices: their formulas, in Rust.
//!
//! Parameters 18, 21 and 25 of a network's configuration hold the prices. Validators vote on them, so a node asks for them
//! before it sends coins, and a contract looks itself.

use bombyx_protocol::amount::Nano;
use tycho_types::cell::Cell;
use tycho_types::dict::Dict;
use tycho_types::models::{GasLimitsPrices, MsgForwardPrices, StoragePrices};

use super::chain_error::ChainError;

/// Parameters of the configuration: rent, gas and forwarding in workchain 0.
pub(crate) const PARAMETERS: [u32; 3] = [18, 21, 25];

/// Prices up to this multiple of [`Prices::TODAY`] are believed: those of 2023 were 15 times today's. An endpoint that names
/// more makes no node lock more.
const BELIEVED: u64 = 20;
/// Prices with a fraction are in 1/65536 nano.
const FRACTION: u128 = 1 << 16;

// The contracts' amounts and upper limits, as in `protocol/contracts/*.tolk`.
const OPEN_RESERVE: Nano = Nano(10_000_000);
const TOP_UP_FEE: Nano = Nano(2_000_000);
const EXTERNAL_CLAIM_MIN: Nano = Nano(5_000_000);
const TOP_UP_GAS: u64 = 5_000;
const REQUEST_GAS: u64 = 6_000;
const CLAIM_GAS: u64 = 9_000;
const CLOSE_GAS: u64 = 10_000;
const EXTERNAL_BITS: u64 = 1_400;
const EXTERNAL_CELLS: u64 = 2;
const CHANNEL_BITS: u64 = 12_500;
const CHANNEL_CELLS: u64 = 36;
const RESERVE_TIME_S: u64 = 2 * 365 * 86_400;

const PURSE_RESERVE: Nano = Nano(30_000_000);
const LANE_RESERVE: Nano = Nano(2_000_000);
const ORDER_FEE_MIN: Nano = Nano(13_000_000);
const ORDER_GAS: u64 = 160_000;
const LANE_CLAIM_GAS: u64 = 18_000;
const LANE_CLOSE_GAS: u64 = 18_000;
const PURSE_BITS: u64 = 20_500;
const PURSE_CELLS: u64 = 50;
const LANE_BITS: u64 = 1_200;
const LANE_CELLS: u64 = 3;

/// What the wallet itself pays to open a channel, at the most, with its own deployment: see the specification, section 4.
const OPENING_FEE: Nano = Nano(3_300_000);

/// Coins for a message that only needs gas: ample for any operation of a channel at [`Prices::TODAY`].
const MESSAGE_GAS: Nano = Nano(3_000_000);

/// What gas, forwarding and rent cost in workchain 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prices {
    /// A unit of gas, in 1/65536 nano.
    pub gas: u64,
    /// Gas that the flat price covers.
    pub flat_gas: u64,
    /// What that much gas costs, in nano.
    pub flat_price: u64,
    /// Every message, in nano.
    pub message: u64,
    /// A bit of a message beyond its first cell, in 1/65536 nano.
    pub message_bit: u64,
    /// A cell of a message beyond its first, in 1/65536 nano.
    pub message_cell: u64,
    /// Keeping a bit for a second, in 1/65536 nano.
    pub stored_bit: u64,
    /// Keeping a cell for a second, in 1/65536 nano.
    pub stored_cell: u64,
}

impl Prices {
    /// The main network's of August 2026.
    pub const TODAY: Self = Self {
        gas: 4_369_067,
        flat_gas: 100,
        flat_price: 6_667,
        message: 66_667,
        message_bit: 4_369_067,
        message_cell: 436_906_667,
        stored_bit: 0,
        stored_cell: 135,
    };

    /// Reads the parameters that `PARAMETERS` names, in that order.
    ///
    /// # Errors
    /// [`ChainError::Unreadable`] if one of them is not in the network's format.
    pub fn read(parameters: &[Cell; 3]) -> Result<Self, ChainError> {
        let [rent, gas, forward] = parameters;
        let unreadable = |what: &str| ChainError::unreadable(format!("the network's prices of {what}"));
        let gas: GasLimitsPrices = gas.parse().map_err(|_| unreadable("gas"))?;
        let forward: MsgForwardPrices = forward.parse().map_err(|_| unreadable("forwarding"))?;
        // Every price that rent ever had stands there, by the time since when; the newest counts.
        let rent: StoragePrices = Dict::<u32, StoragePrices>::from_raw(Some(rent.clone()))
            .iter()
            .last()
            .and_then(Result::ok)
            .map(|(_, prices)| prices)
            .ok_or_else(|| unreadable("rent"))?;
        Ok(Self {
            gas: gas.gas_price,
            flat_gas: gas.flat_gas_limit,
            flat_price: gas.flat_gas_price,
            message: forward.lump_price,
            message_bit: forward.bit_price,
            message_cell: forward.cell_price,
            stored_bit: rent.bit_price_ps,
            stored_cell: rent.cell_price_ps,
        })
    }

    /// Returns these as far as they are believed.
    #[must_use]
    pub fn believed(self) -> Self {
        let pick = |price: u64, today: u64| price.min(today.saturating_mul(BELIEVED));
        let today = Self::TODAY;
        Self {
            gas: pick(self.gas, today.gas),
            flat_gas: self.flat_gas,
            flat_price: pick(self.flat_price, today.flat_price),
            message: pick(self.message, today.message),
            message_bit: pick(self.message_bit, today.message_bit),
            message_cell: pick(self.message_cell, today.message_cell),
            // Rent for bits is free today, and was 1 before.
            stored_bit: pick(self.stored_bit, 1),
            stored_cell: pick(self.stored_cell, today.stored_cell),
        }
    }

    /// Returns the same but for gas, forwarding and rent that cost `numerator / denominator` as
    /// much.
    #[must_use]
    pub fn times(self, numerator: u64, denominator: u64) -> Self {
        let scale = |price: u64| price.saturating_mul(numerator) / denominator.max(1);
        Self {
            gas: scale(self.gas),
            flat_gas: self.flat_gas,
            flat_price: scale(self.flat_price),
            message: scale(self.message),
            message_bit: scale(self.message_bit),
            message_cell: scale(self.message_cell),
            stored_bit: scale(self.stored_bit),
            stored_cell: scale(self.stored_cell),
        }
    }

    /// Returns what so much gas costs.
    #[must_use]
    pub fn gas_fee(&self, gas: u64) -> Nano {
        let beyond = u128::from(gas.saturating_sub(self.flat_gas));
        whole(u128::from(self.gas) * beyond).saturating_plus(Nano(self.flat_price))
    }

    /// Returns what taking in or sending a message costs; the size is what comes beyond its first
    /// cell.
    #[must_use]
    pub fn forward_fee(&self, bits: u64, cells: u64) -> Nano {
        let size = u128::from(self.message_bit) * u128::from(bits)
            + u128::from(self.message_cell) * u128::from(cells);
        whole(size).saturating_plus(Nano(self.message))
    }

    /// Returns the rent of so much for so many seconds.
    #[must_use]
    pub fn rent(&self, seconds: u64, bits: u64, cells: u64) -> Nano {
        let size =
            u128::from(self.stored_bit) * u128::from(bits) + u128::from(self.stored_cell) * u128::from(cells);
        whole(size * u128::from(seconds))
    }

    /// Returns what the first funding of a channel carries beyond the deposit. (`ST-11`)
    #[must_use]
    pub fn open_surplus(&self) -> Nano {
        let request = sum([self.external_fee(), self.gas_fee(REQUEST_GAS)]);
        let exits = sum([request, self.close_cost()]);
        let rent = self.rent(RESERVE_TIME_S, CHANNEL_BITS, CHANNEL_CELLS);
        OPEN_RESERVE.max(sum([rent, exits, exits])).saturating_plus(self.top_up_surplus())
    }

    /// Returns what opening a channel takes out of the wallet beyond the deposit: what the funding carries, and the wallet's own
    /// fees.
    #[must_use]
    pub fn opening_cost(&self) -> Nano {
        self.open_surplus().saturating_plus(self.scaled(OPENING_FEE))
    }

    /// Returns what a later top-up carries beyond its amount.
    #[must_use]
    pub fn top_up_surplus(&self) -> Nano {
        TOP_UP_FEE.max(self.gas_fee(TOP_UP_GAS))
    }

    /// Returns what the account of a channel pays for a close at the most.
    #[must_use]
    pub fn close_cost(&self) -> Nano {
        sum([self.external_fee(), self.gas_fee(CLOSE_GAS), self.forward_fee(0, 0), self.forward_fee(0, 0)])
    }

    /// Returns the smallest claim on a channel that pays for its own external message.
    #[must_use]
    pub fn claim_min(&self) -> Nano {
        self.claim_min_at(CLAIM_GAS)
    }

    /// Returns the smallest claim on a lane that does.
    #[must_use]
    pub fn lane_claim_min(&self) -> Nano {
        self.claim_min_at(LANE_CLAIM_GAS)
    }

    /// Coins to attach to a message that only needs gas; what is left stays in the channel or goes to its parties.
    #[must_use]
    pub fn message_gas(&self) -> Nano {
        MESSAGE_GAS.max(sum([self.gas_fee(CLOSE_GAS), self.gas_fee(CLOSE_GAS), self.forward_fee(0, 0)]))
    }

    /// Scales `amount`, which suffices at [`Self::TODAY`]: as dear as gas or forwarding have become since; no less.
    #[must_use]
    pub fn scaled(&self, amount: Nano) -> Nano {
        let today = Self::TODAY;
        let scale = |now: u64, then: u64| amount.0.saturating_mul(now.div_ceil(then.max(1)));
        Nano(amount.0.max(scale(self.gas, today.gas)).max(scale(self.message, today.message)))
    }

    /// Returns what must be there beside the lanes of a purse for an order from outside. (`ST-6`)
    #[must_use]
    pub fn order_fee(&self) -> Nano {
        ORDER_FEE_MIN.max(self.gas_fee(ORDER_GAS))
    }

    /// Returns what stays on the account of a purse beside `lanes` lanes. (`ST-3`)
    #[must_use]
    pub fn purse_reserve(&self, lanes: usize) -> Nano {
        let own = self.order_fee().saturating_plus(self.rent(RESERVE_TIME_S, PURSE_BITS, PURSE_CELLS));
        let close = self.external_fee().saturating_plus(self.lane_close_cost());
        let lane = close.saturating_plus(self.rent(RESERVE_TIME_S, LANE_BITS, LANE_CELLS)).max(LANE_RESERVE);
        let count = u64::try_from(lanes).unwrap_or(u64::MAX);
        PURSE_RESERVE.max(own).saturating_plus(Nano(lane.0.saturating_mul(count)))
    }

    /// Returns what the account of a purse pays for the close of a lane at the most, beyond the
    /// import of its message.
    #[must_use]
    pub fn lane_close_cost(&self) -> Nano {
        self.gas_fee(LANE_CLOSE_GAS).saturating_plus(self.forward_fee(0, 0))
    }

    fn external_fee(&self) -> Nano {
        self.forward_fee(EXTERNAL_BITS, EXTERNAL_CELLS)
    }

    fn claim_min_at(&self, gas: u64) -> Nano {
        let cost = sum([self.external_fee(), self.gas_fee(gas), self.forward_fee(0, 0)]);
        EXTERNAL_CLAIM_MIN.max(cost.saturating_plus(cost))
    }
}

fn sum<const N: usize>(amounts: [Nano; N]) -> Nano {
    amounts.into_iter().fold(Nano::ZERO, Nano::saturating_plus)
}

/// Returns an amount in 1/65536 nano, rounded up.
fn whole(fractions: u128) -> Nano {
    Nano(u64::try_from(fractions.div_ceil(FRACTION)).unwrap_or(u64::MAX))
}
