//! What every ledger backend offers: accounts, messages, history, and of which network. All else is built on these calls.

use std::sync::Arc;
use std::time::Duration;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tycho_types::boc::Boc;
use tycho_types::cell::{Cell, CellBuilder, HashBytes};
use tycho_types::models::{
    AccountStatus, ComputePhase, IntAddr, Message as RawMessage, MsgInfo, StdAddr,
    Transaction as RawTransaction, TxInfo,
};

pub use super::chain_error::ChainError;
use super::prices::Prices;

/// An answer that takes time.
pub type Reply<'a, T> = BoxFuture<'a, Result<T, ChainError>>;

/// How urgent a request is where a service allows so many in a second. A more urgent one goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Sending a message, and what is looked up for it: claims, closes, transfers.
    Act,
    /// Looks at watched channels.
    Look,
    /// Pages for people: balances, lists, fees.
    Page,
}

/// A connection to one ledger: the in-process devnet, or a network behind HTTP or a liteserver.
pub trait Chain: Send + Sync + 'static {
    /// Returns the account as of the newest block. An address that nobody used is an empty account,
    /// not an error.
    fn account(&self, address: Address) -> Reply<'_, Account>;

    /// Hands over an external message, serialised as a bag of cells. Success means that the network took it, not that
    /// it is in a block yet.
    fn send(&self, message: Vec<u8>) -> Reply<'_, ()>;

    /// Returns the newest `limit` transactions of an account, newest first.
    fn transactions(&self, address: Address, limit: usize) -> Reply<'_, Vec<Transaction>>;

    /// Returns the global id of the network that this is a ledger of; `None` if the endpoint cannot
    /// tell.
    fn network_id(&self) -> Reply<'_, Option<i32>>;

    /// Returns what the network charges; `None` if the endpoint cannot tell.
    fn prices(&self) -> Reply<'_, Option<Prices>> {
        async { Ok(None) }.boxed()
    }

    /// Returns how errors and logs call this connection: no key, no password.
    fn name(&self) -> String;

    /// Returns how long to wait between two looks at the same thing.
    fn pace(&self) -> Duration;

    /// Returns the least time between two requests; zero where any number may be made.
    fn spacing(&self) -> Duration {
        Duration::ZERO
    }

    /// Returns the same connection, whose requests take their turns with this priority.
    fn with_priority(&self, priority: Priority) -> Arc<dyn Chain>;
}

/// An account at one moment.
#[derive(Debug, Clone)]
pub struct Account {
    /// Coins on the account.
    pub balance: Nano,
    /// Code and data, if a contract is active here.
    pub contract: Option<Contract>,
    /// Logical time of the newest transaction; 0 for none.
    pub last_lt: u64,
    /// Unix time of the block that this was read from, in seconds.
    pub chain_time_s: u32,
}

/// An active contract.
#[derive(Debug, Clone)]
pub struct Contract {
    /// Its code.
    pub code: Cell,
    /// Its data.
    pub data: Cell,
}

/// One transaction of one account.
///
/// The balance moved by `incoming.value - sum(outgoing.value) - fee`, to the nano.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Logical time.
    pub lt: u64,
    /// Representation hash.
    pub hash: [u8; 32],
    /// Unix time of its block, in seconds.
    pub at_s: u32,
    /// All that this account paid to the network: gas, rent, and the forwarding of what it sent.
    pub fee: Nano,
    /// Gas that the contract used.
    pub gas: u64,
    /// The message that caused it.
    pub incoming: Option<Message>,
    /// The messages that it sent.
    pub outgoing: Vec<Message>,
    /// The contract's exit code; `None` if no code ran.
    pub exit_code: Option<i32>,
    /// Whether its effects were undone.
    pub aborted: bool,
    /// Whether a contract was there after it.
    pub stands: bool,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Sender, unless it came from outside.
    pub from: Option<Address>,
    /// Receiver, unless it left the ledger.
    pub to: Option<Address>,
    /// Coins it carries.
    pub value: Nano,
    /// What forwarding it costs its sender beyond the fees of the sending transaction.
    pub forward_fee: Nano,
    /// Logical time of its making; 0 for a message from outside.
    pub created_lt: u64,
    /// Its content.
    pub body: Cell,
}

impl Transaction {
    /// Reads a serialised transaction.
    ///
    /// # Errors
    /// [`ChainError::Unreadable`] if the bytes are not an ordinary transaction.
    pub fn from_boc(boc: &[u8]) -> Result<Self, ChainError> {
        Self::read(&Boc::decode(boc).map_err(ChainError::unreadable)?)
    }

    /// Returns logical time and hash of the account's transaction before the one in `cell`; zeros
    /// for none.
    pub(super) fn before(cell: &Cell) -> Result<(u64, HashBytes), ChainError> {
        let raw: RawTransaction = cell.parse().map_err(ChainError::unreadable)?;
        Ok((raw.prev_trans_lt, raw.prev_trans_hash))
    }

    pub(super) fn read(cell: &Cell) -> Result<Self, ChainError> {
        let raw: RawTransaction = cell.parse().map_err(ChainError::unreadable)?;
        let TxInfo::Ordinary(info) = raw.load_info().map_err(ChainError::unreadable)? else {
            return Err(ChainError::unreadable("a tick-tock transaction on an ordinary account"));
        };
        let (exit_code, gas) = match &info.compute_phase {
            ComputePhase::Executed(phase) => (Some(phase.exit_code), phase.gas_used.into_inner()),
            ComputePhase::Skipped(_) => (None, 0),
        };
        let incoming = raw.in_msg.as_ref().map(Message::read).transpose()?;
        let mut outgoing = Vec::new();
        for message in raw.out_msgs.values() {
            outgoing.push(Message::read(&message.map_err(ChainError::unreadable)?)?);
        }
        let own = nano(raw.total_fees.tokens.into_inner())?;
        let forwarding = outgoing.iter().map(|message| message.forward_fee).sum();
        Ok(Self {
            lt: raw.lt,
            hash: cell.repr_hash().0,
            at_s: raw.now,
            fee: own.saturating_plus(forwarding),
            gas,
            incoming,
            outgoing,
            exit_code,
            aborted: info.aborted,
            stands: raw.end_status == AccountStatus::Active,
        })
    }
}

impl Message {
    pub(super) fn read(cell: &Cell) -> Result<Self, ChainError> {
        let raw: RawMessage<'_> = cell.parse().map_err(ChainError::unreadable)?;
        let mut body = CellBuilder::new();
        body.store_slice(raw.body).map_err(ChainError::unreadable)?;
        let outside = Self {
            from: None,
            to: None,
            value: Nano::ZERO,
            forward_fee: Nano::ZERO,
            created_lt: 0,
            body: body.build().map_err(ChainError::unreadable)?,
        };
        Ok(match raw.info {
            MsgInfo::Int(info) => Self {
                from: address_of(&info.src),
                to: address_of(&info.dst),
                value: nano(info.value.tokens.into_inner())?,
                forward_fee: nano(info.fwd_fee.into_inner())?,
                created_lt: info.created_lt,
                ..outside
            },
            MsgInfo::ExtIn(info) => Self { to: address_of(&info.dst), ..outside },
            MsgInfo::ExtOut(info) => {
                Self { from: address_of(&info.src), created_lt: info.created_lt, ..outside }
            }
        })
    }
}

/// Returns an amount as read from a cell, where up to 120 bits could stand.
pub(super) fn nano(amount: u128) -> Result<Nano, ChainError> {
    u64::try_from(amount)
        .map(Nano)
        .map_err(|_| ChainError::unreadable("an amount beyond all coins that exist"))
}

pub(super) fn std_address(address: Address) -> StdAddr {
    StdAddr::new(address.workchain, HashBytes(address.hash))
}

pub(super) fn address_of(address: &IntAddr) -> Option<Address> {
    match address {
        IntAddr::Std(std) => Some(Address { workchain: std.workchain, hash: std.address.0 }),
        IntAddr::Var(_) => None,
    }
}
