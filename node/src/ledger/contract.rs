//! The channel contract from outside: its messages, its state, and the meaning of its refusals.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::{Address, CHANNEL_CODE, CHANNEL_CODE_BOC, ChannelTerms};
use bombyx_protocol::ident::Signature;
use tycho_types::boc::Boc;
use tycho_types::cell::{Cell, CellBuilder, CellFamily as _, HashBytes, Store as _};
use tycho_types::error::Error;
use tycho_types::models::StateInit;

use super::chain::{Account, ChainError, std_address};
use super::message::{
    data_of, external, internal, load_address, load_coins, start, store_close, store_coins,
};

const OP_TOP_UP: u32 = 0x4258_0001;
const OP_CLAIM: u32 = 0x4258_0002;
const OP_PROVIDER_CLOSE: u32 = 0x4258_0003;
const OP_REQUEST_CLOSE: u32 = 0x4258_0004;
const OP_FINALIZE: u32 = 0x4258_0005;
const OP_PAYOUT: u32 = 0x4258_0011;
const OP_CLOSED: u32 = 0x4258_0012;

/// Returns what a message with this operation code asks of the contract, or tells who is paid by
/// it.
#[must_use]
pub(crate) fn operation(code: u32) -> Option<&'static str> {
    Some(match code {
        OP_TOP_UP => "top up",
        OP_CLAIM => "claim",
        OP_PROVIDER_CLOSE => "close",
        OP_REQUEST_CLOSE => "request close",
        OP_FINALIZE => "finalize",
        OP_PAYOUT => "payout",
        OP_CLOSED => "refund",
        _ => return None,
    })
}

/// Everything that can be said to the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelMessage {
    /// Adds to the deposit; the first one opens the channel.
    TopUp {
        /// By how much.
        amount: Nano,
    },
    /// Pays the provider up to a voucher.
    Claim {
        /// The voucher's total.
        cumulative: Nano,
        /// The client's signature under it.
        voucher: Signature,
    },
    /// Last payment, refund, end.
    ProviderClose {
        /// The last total.
        cumulative: Nano,
        /// The client's signature, unless the total is settled already.
        voucher: Option<Signature>,
        /// The provider's signature, unless its wallet is the sender.
        order: Option<Signature>,
    },
    /// Starts the challenge period.
    RequestClose {
        /// The client's signature, unless its wallet is the sender.
        request: Option<Signature>,
    },
    /// Refund and end, after the challenge period.
    Finalize,
}

impl ChannelMessage {
    pub(super) fn body(&self) -> Result<Cell, Error> {
        let mut body;
        match self {
            Self::TopUp { amount } => {
                body = start(OP_TOP_UP)?;
                store_coins(&mut body, *amount)?;
            }
            Self::Claim { cumulative, voucher } => {
                body = start(OP_CLAIM)?;
                store_coins(&mut body, *cumulative)?;
                body.store_raw(&voucher.0, 512)?;
            }
            Self::ProviderClose { cumulative, voucher, order } => {
                body = start(OP_PROVIDER_CLOSE)?;
                store_close(&mut body, *cumulative, *voucher, *order)?;
            }
            Self::RequestClose { request } => {
                body = start(OP_REQUEST_CLOSE)?;
                body.store_bit(request.is_some())?;
                if let Some(request) = request {
                    body.store_raw(&request.0, 512)?;
                }
            }
            Self::Finalize => body = start(OP_FINALIZE)?,
        }
        body.build()
    }

    /// Returns this message from outside the ledger; nobody pays for sending it.
    #[must_use]
    pub fn external(&self, account: Address) -> Cell {
        external(account, self.body()).expect("the messages of the contract fit into cells")
    }

    /// Returns this message from a wallet, with `value` attached. `terms` deploy the contract on
    /// the way.
    #[must_use]
    pub fn internal(&self, account: Address, value: Nano, terms: Option<&ChannelTerms>) -> Cell {
        let init = terms.map(state_init).transpose();
        init.and_then(|init| internal(account, value, init, self.body()))
            .expect("the messages of the contract fit into cells")
    }
}

/// Returns code and data of a channel before its first funding.
pub(super) fn state_init(terms: &ChannelTerms) -> Result<StateInit, Error> {
    let mut parties = CellBuilder::new();
    parties.store_u256(&HashBytes(terms.provider_key))?;
    std_address(terms.client).store_into(&mut parties, Cell::empty_context())?;
    std_address(terms.provider).store_into(&mut parties, Cell::empty_context())?;
    parties.store_u32(terms.challenge_s)?;

    let mut data = CellBuilder::new();
    data.store_u64(0)?;
    data.store_u32(0)?;
    store_coins(&mut data, Nano::ZERO)?;
    store_coins(&mut data, Nano::ZERO)?;
    data.store_u32(terms.network_id.cast_unsigned())?;
    data.store_u64(terms.salt)?;
    data.store_u256(&HashBytes(terms.client_key))?;
    data.store_reference(parties.build()?)?;

    Ok(StateInit {
        code: Some(Boc::decode(CHANNEL_CODE_BOC).map_err(|_| Error::InvalidData)?),
        data: Some(data.build()?),
        ..Default::default()
    })
}

/// The account of a channel, as the ledger shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelAccount {
    /// What the account was made from; checked against its address.
    pub terms: ChannelTerms,
    /// Logical time of the funding; 0 while unfunded.
    pub epoch: u64,
    /// Unix time from which anyone may finalize; 0 while open.
    pub close_at_s: u32,
    /// Everything deposited in this epoch.
    pub deposit: Nano,
    /// Everything paid to the provider in this epoch.
    pub settled: Nano,
    /// Coins on the account.
    pub balance: Nano,
    /// Logical time of its newest transaction.
    pub last_lt: u64,
    /// Unix time of the block that this was read from.
    pub chain_time_s: u32,
}

impl ChannelAccount {
    /// Reads the channel at `address`; `None` if there is no contract.
    ///
    /// # Errors
    /// [`ChainError::Unreadable`] if what lives there is not a channel made from its own terms.
    pub fn read(address: Address, account: &Account) -> Result<Option<Self>, ChainError> {
        let Some(data) = data_of(account, address, &CHANNEL_CODE.hash, "a payment channel")? else {
            return Ok(None);
        };
        let state = Self::parse(account, data)?;
        // Code can replace itself: only an address that follows from the terms proves where the account came from.
        if state.terms.account() != address {
            return Err(ChainError::unreadable(format!(
                "the channel at {address} was not made from the terms it shows"
            )));
        }
        Ok(Some(state))
    }

    fn parse(account: &Account, data: &Cell) -> Result<Self, ChainError> {
        let unreadable = |error: Error| ChainError::unreadable(error);
        let mut slice = data.as_slice().map_err(unreadable)?;
        let epoch = slice.load_u64().map_err(unreadable)?;
        let close_at_s = slice.load_u32().map_err(unreadable)?;
        let deposit = load_coins(&mut slice)?;
        let settled = load_coins(&mut slice)?;
        let network_id = slice.load_u32().map_err(unreadable)?.cast_signed();
        let salt = slice.load_u64().map_err(unreadable)?;
        let client_key = slice.load_u256().map_err(unreadable)?.0;
        let mut parties = slice.load_reference_as_slice().map_err(unreadable)?;
        let provider_key = parties.load_u256().map_err(unreadable)?.0;
        let client = load_address(&mut parties)?;
        let provider = load_address(&mut parties)?;
        let challenge_s = parties.load_u32().map_err(unreadable)?;
        Ok(Self {
            terms: ChannelTerms { network_id, salt, client_key, provider_key, client, provider, challenge_s },
            epoch,
            close_at_s,
            deposit,
            settled,
            balance: account.balance,
            last_lt: account.last_lt,
            chain_time_s: account.chain_time_s,
        })
    }
}

/// Why a contract refused, by its exit code: those of the channel, and four more of the purse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing was deposited in this life of the account.
    #[error("the channel is not funded")]
    NotOpen,
    /// The challenge period runs.
    #[error("the channel is closing")]
    Closing,
    /// Not enough coins attached, or on the account.
    #[error("too few coins for this operation")]
    Value,
    /// Not the party that may do this.
    #[error("the sender may not do this")]
    Sender,
    /// A signature by another key, or over another account, epoch or amount.
    #[error("a signature does not fit this channel, epoch and amount")]
    Signature,
    /// The total is already settled.
    #[error("a voucher of this total or more is already settled")]
    Stale,
    /// More than was deposited.
    #[error("the total exceeds the deposit")]
    OverDeposit,
    /// The challenge period has not ended, or never started.
    #[error("the challenge period is not over")]
    TooEarly,
    /// Too small to pay for its own message.
    #[error("the claim is too small to pay for its own message")]
    Dust,
    /// An external message with more cells than the operation needs: its import would be paid from the deposit.
    #[error("the message carries more than the operation needs")]
    Size,
    /// The purse has no lane of this index.
    #[error("the purse has no such lane")]
    NoLane,
    /// The index is in use.
    #[error("the purse has another lane there")]
    LaneTaken,
    /// Lanes, reserve and withdrawal would come to more than there is.
    #[error("the coins that no lane holds do not cover this")]
    NotCovered,
    /// A purse ends after its lanes.
    #[error("the purse still has lanes")]
    LanesLeft,
    /// An exit code with no meaning in the contract, such as lack of gas.
    #[error("the contract stopped with exit code {0}")]
    Other(i32),
}

impl Refusal {
    /// Returns the exit code that it stands for.
    #[must_use]
    pub const fn exit_code(self) -> i32 {
        match self {
            Self::NotOpen => 101,
            Self::Closing => 102,
            Self::Value => 103,
            Self::Sender => 104,
            Self::Signature => 105,
            Self::Stale => 106,
            Self::OverDeposit => 107,
            Self::TooEarly => 108,
            Self::Dust => 109,
            Self::Size => 110,
            Self::NoLane => 111,
            Self::LaneTaken => 112,
            Self::NotCovered => 113,
            Self::LanesLeft => 114,
            Self::Other(exit_code) => exit_code,
        }
    }
}

impl From<i32> for Refusal {
    fn from(exit_code: i32) -> Self {
        match exit_code {
            101 => Self::NotOpen,
            102 => Self::Closing,
            103 => Self::Value,
            104 => Self::Sender,
            105 => Self::Signature,
            106 => Self::Stale,
            107 => Self::OverDeposit,
            108 => Self::TooEarly,
            109 => Self::Dust,
            110 => Self::Size,
            111 => Self::NoLane,
            112 => Self::LaneTaken,
            113 => Self::NotCovered,
            114 => Self::LanesLeft,
            other => Self::Other(other),
        }
    }
}
