//! The devnet's state: accounts, clock, history, and the execution of messages by a real TVM.

use std::collections::{HashMap, VecDeque};

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use tycho_executor::{Executor, ExecutorInspector, ExecutorOutput, ExecutorParams, ParsedConfig, TxError};
use tycho_types::boc::Boc;
use tycho_types::cell::{Cell, HashBytes, Lazy};
use tycho_types::models::{
    Account as RawAccount, AccountState, CurrencyCollection, IntAddr, MsgInfo, OptionalAccount, ShardAccount,
    StdAddr, StorageInfo,
};
use tycho_types::num::Tokens;
use tycho_vm::RcStackValue;

use super::clock::Clock;
use super::config::devnet_config;
use super::get_method::{self, Answer};
use super::history::{History, Record};
use super::substitute::Substitute;
use crate::ledger::chain::{Account, ChainError, Contract, nano, std_address};
use crate::ledger::prices::{PARAMETERS, Prices};

/// Accounts that the devnet holds.
const ACCOUNTS_MAX: usize = 1_000_000;
/// Messages executed in one block; what is left waits for the next one.
const BLOCK_MESSAGES_MAX: usize = 10_000;
/// External messages that wait for a block.
const MEMPOOL_MAX: usize = 10_000;
/// Bytes of one external message; mainnet's limit.
pub(super) const MESSAGE_BYTES_MAX: usize = 65_535;
/// Milliseconds of chain time from block to block, as on mainnet.
const BLOCK_MS: u64 = 400;
/// Logical time from block to block, as on mainnet.
const BLOCK_LT: u64 = 1_000_000;

/// When a message that arrives is executed, and when those that follow from it.
#[derive(Debug, Clone, Copy)]
enum Schedule {
    /// All at once, in a block of their own.
    AtOnce,
    /// In the next block of [`State::produce_block`]; a message between accounts `hop` blocks after the one that sent it.
    Blocks { hop: u32 },
}

/// An internal message on its way, and the block from which it may arrive.
struct MessageInTransit {
    due: u32,
    message: Cell,
}

pub(super) struct State {
    accounts: HashMap<StdAddr, ShardAccount>,
    pub(super) history: History,
    travelling: VecDeque<MessageInTransit>,
    mempool: VecDeque<(Cell, StdAddr)>,
    schedule: Schedule,
    config: ParsedConfig,
    pub(super) substitute: Option<Substitute>,
    clock: Clock,
    started_s: u32,
    blocks: u32,
    lt: u64,
    minted: u128,
}

impl State {
    /// Creates a chain; `manual_s` sets a clock that only [`Self::advance`] moves; otherwise time is the machine's.
    pub(super) fn new(manual_s: Option<u32>) -> Result<Self, ChainError> {
        let clock = manual_s.map_or(Clock::Host { ahead: 0 }, Clock::Manual);
        let started_s = clock.now_s();
        Ok(Self {
            accounts: HashMap::new(),
            history: History::default(),
            travelling: VecDeque::new(),
            mempool: VecDeque::new(),
            schedule: Schedule::AtOnce,
            config: devnet_config(started_s, &Prices::TODAY).map_err(ChainError::unreadable)?,
            substitute: None,
            clock,
            started_s,
            blocks: 1,
            lt: BLOCK_LT,
            minted: 0,
        })
    }

    pub(super) fn now_s(&self) -> u32 {
        self.clock.now_s()
    }

    /// Stops the clock at this unix time; only [`Self::advance`] moves it then.
    pub(super) fn stop_clock(&mut self, now_s: u32) {
        self.clock = Clock::Manual(now_s);
    }

    /// Charges these prices from now on.
    pub(super) fn charge(&mut self, prices: &Prices) -> Result<(), ChainError> {
        self.config = devnet_config(self.now_s(), prices).map_err(ChainError::unreadable)?;
        Ok(())
    }

    /// Returns what it charges.
    pub(super) fn prices(&self) -> Result<Prices, ChainError> {
        let cells = PARAMETERS.map(|number| self.parameter(number).unwrap_or_default());
        Prices::read(&cells)
    }

    /// Gathers messages in blocks from now on.
    pub(super) fn gather_in_blocks(&mut self, hop: u32) {
        self.blocks = self.seqno();
        self.schedule = Schedule::Blocks { hop };
    }

    pub(super) fn advance(&mut self, seconds: u32) {
        self.clock.advance(seconds);
    }

    /// Returns the newest block: the one produced last, or one for each arriving message and at
    /// least one each [`BLOCK_MS`].
    pub(super) fn seqno(&self) -> u32 {
        if matches!(self.schedule, Schedule::Blocks { .. }) {
            return self.blocks;
        }
        let elapsed_s = u64::from(self.now_s().saturating_sub(self.started_s));
        let ticks = u32::try_from(elapsed_s * 1_000 / BLOCK_MS).unwrap_or(u32::MAX);
        self.blocks.max(ticks)
    }

    pub(super) fn minted(&self) -> u128 {
        self.minted
    }

    /// Returns all coins on all accounts and on their way between them.
    pub(super) fn total_balance(&self) -> u128 {
        let accounts = self.accounts.values().filter_map(|shard| shard.load_account().ok().flatten());
        let held: u128 = accounts.map(|account| account.balance.tokens.into_inner()).sum();
        let carried = |travelling: &MessageInTransit| match travelling.message.parse::<MsgInfo>() {
            Ok(MsgInfo::Int(info)) => info.value.tokens.into_inner(),
            _ => 0,
        };
        held.saturating_add(self.travelling.iter().map(carried).sum())
    }

    /// Writes coins to an account, as a genesis block would; creates it if need be.
    pub(super) fn mint(&mut self, address: Address, amount: Nano) -> Result<(), ChainError> {
        let key = std_address(address);
        if !self.accounts.contains_key(&key) && self.accounts.len() >= ACCOUNTS_MAX {
            return Err(refused(format!("the devnet holds at most {ACCOUNTS_MAX} accounts")));
        }
        let shard = self.accounts.get(&key).cloned().map_or_else(no_account, Ok)?;
        let mut account = load(&shard)?.unwrap_or_else(|| RawAccount {
            address: key.clone().into(),
            storage_stat: StorageInfo { last_paid: self.now_s(), ..Default::default() },
            last_trans_lt: 0,
            balance: CurrencyCollection::ZERO,
            state: AccountState::Uninit,
        });
        let amount = Tokens::new(u128::from(amount.0));
        account.balance.tokens = account
            .balance
            .tokens
            .checked_add(amount)
            .ok_or_else(|| refused("the account cannot hold that much".into()))?;
        self.minted = self.minted.saturating_add(amount.into_inner());
        let account = Lazy::new(&OptionalAccount(Some(account))).map_err(ChainError::unreadable)?;
        self.accounts.insert(key, ShardAccount { account, ..shard });
        self.history.touch(address);
        Ok(())
    }

    /// Takes an external message: executes it and everything that follows from it in one block, or checks that it would be
    /// accepted now and keeps it for the next block.
    pub(super) fn deliver(&mut self, boc: &[u8]) -> Result<(), ChainError> {
        if boc.len() > MESSAGE_BYTES_MAX {
            return Err(refused(format!("a message has at most {MESSAGE_BYTES_MAX} bytes")));
        }
        let cell = Boc::decode(boc).map_err(|error| refused(format!("not a bag of cells: {error}")))?;
        let Ok(MsgInfo::ExtIn(info)) = cell.parse::<MsgInfo>() else {
            return Err(refused("not an external message".into()));
        };
        let IntAddr::Std(to) = info.dst else {
            return Err(refused("an address of variable length".into()));
        };
        match self.schedule {
            Schedule::AtOnce => {
                let block = self.seqno().saturating_add(1);
                self.execute(cell, &to, true, block)?;
                self.blocks = block;
                self.arrive(block);
            }
            Schedule::Blocks { .. } => {
                if self.mempool.len() >= MEMPOOL_MAX {
                    return Err(refused(format!("{MEMPOOL_MAX} messages wait for a block already")));
                }
                self.run(cell.clone(), &to, true)?;
                self.mempool.push_back((cell, to));
            }
        }
        Ok(())
    }

    /// Makes the next block: messages between accounts that are due, then those from outside. What another message of the
    /// block has made impossible is dropped, as on any chain.
    pub(super) fn produce_block(&mut self) {
        self.blocks = self.blocks.saturating_add(1);
        let block = self.blocks;
        let room = BLOCK_MESSAGES_MAX.saturating_sub(self.arrive(block));
        for (message, to) in self.mempool.drain(..room.min(self.mempool.len())).collect::<Vec<_>>() {
            if let Err(error) = self.execute(message, &to, true, block) {
                tracing::debug!(%error, "a message from outside was overtaken");
            }
        }
    }

    /// Delivers the messages between accounts that are due in `block`, and returns how many.
    fn arrive(&mut self, block: u32) -> usize {
        let mut arrived = 0;
        while arrived < BLOCK_MESSAGES_MAX
            && self.travelling.front().is_some_and(|travelling| travelling.due <= block)
            && let Some(MessageInTransit { message, .. }) = self.travelling.pop_front()
        {
            arrived += 1;
            let Ok(MsgInfo::Int(info)) = message.parse::<MsgInfo>() else { continue };
            let IntAddr::Std(to) = info.dst else { continue };
            if let Err(error) = self.execute(message, &to, false, block) {
                tracing::warn!(%error, "an internal message could not be executed");
            }
        }
        arrived
    }

    /// Returns what a message does to its receiver, without doing it.
    fn run(&self, message: Cell, to: &StdAddr, external: bool) -> Result<ExecutorOutput, ChainError> {
        if to.workchain != 0 {
            return Err(refused("the devnet has workchain 0 only".into()));
        }
        if !self.accounts.contains_key(to) && self.accounts.len() >= ACCOUNTS_MAX {
            return Err(refused(format!("the devnet holds at most {ACCOUNTS_MAX} accounts")));
        }
        let lt = self.lt.saturating_add(BLOCK_LT);
        let params = ExecutorParams {
            block_unixtime: self.now_s(),
            block_lt: lt,
            charge_action_fees_on_fail: true,
            strict_extra_currency: true,
            ..Default::default()
        };
        let mut shard = self.accounts.get(to).cloned().map_or_else(no_account, Ok)?;
        if let Some(substitute) = &self.substitute {
            shard = substitute.prepare(shard, &message, to, self.now_s()).map_err(ChainError::unreadable)?;
        }
        let mut inspector = ExecutorInspector::default();
        Executor::new(&params, &self.config)
            .with_min_lt(lt)
            .begin_ordinary_ext(to, external, message, &shard, Some(&mut inspector))
            .and_then(|transaction| transaction.commit().map_err(TxError::Fatal))
            .map_err(|error| match error {
                TxError::Skipped => ChainError::Refused {
                    exit_code: inspector.exit_code,
                    reason: "the message was not accepted".into(),
                },
                TxError::Fatal(error) => refused(format!("not executable: {error}")),
            })
    }

    fn execute(&mut self, message: Cell, to: &StdAddr, external: bool, block: u32) -> Result<(), ChainError> {
        let output = self.run(message, to, external)?;
        self.lt = self.lt.saturating_add(BLOCK_LT);
        let due = match self.schedule {
            Schedule::AtOnce => block,
            Schedule::Blocks { hop } => block.saturating_add(hop),
        };
        let sent = output.transaction_meta.out_msgs.iter().map(|message| message.inner().clone());
        self.travelling.extend(sent.map(|message| MessageInTransit { due, message }));
        let account = Address { workchain: to.workchain, hash: to.address.0 };
        let record = Record {
            account,
            block,
            lt: output.new_state.last_trans_lt,
            hash: output.new_state.last_trans_hash.0,
            cell: output.transaction.inner().clone(),
        };
        self.history.add(record);
        if output.new_state_meta.exists {
            self.accounts.insert(to.clone(), output.new_state);
        } else {
            self.accounts.remove(to);
        }
        Ok(())
    }

    /// Returns how many accounts there are.
    pub(super) fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// Returns how many messages from outside and between accounts wait for a block.
    pub(super) fn waiting(&self) -> usize {
        self.mempool.len() + self.travelling.len()
    }

    /// Returns the logical time of the newest transaction.
    pub(super) fn lt(&self) -> u64 {
        self.lt
    }

    /// Returns an account as the shard's state has it.
    pub(super) fn shard_account(&self, address: Address) -> Option<&ShardAccount> {
        self.accounts.get(&std_address(address))
    }

    /// Returns the blockchain's parameters: a dictionary from numbers to cells.
    pub(super) fn configuration(&self) -> Option<&Cell> {
        self.config.raw.params.as_dict().root().as_ref()
    }

    /// Returns one of them.
    pub(super) fn parameter(&self, number: u32) -> Option<Cell> {
        self.config.raw.params.as_dict().get(number).ok().flatten()
    }

    pub(super) fn account(&self, address: Address) -> Result<Account, ChainError> {
        let shard = self.accounts.get(&std_address(address));
        let raw = shard.map(load).transpose()?.flatten();
        let mut account = Account {
            balance: Nano::ZERO,
            contract: None,
            last_lt: shard.map_or(0, |shard| shard.last_trans_lt),
            chain_time_s: self.now_s(),
        };
        if let Some(raw) = raw {
            account.balance = nano(raw.balance.tokens.into_inner())?;
            if let AccountState::Active(state) = raw.state {
                let code = state.code.unwrap_or_default();
                account.contract = Some(Contract {
                    code: match &self.substitute {
                        Some(substitute) => substitute.shown(code),
                        None => code,
                    },
                    data: state.data.unwrap_or_default(),
                });
            }
        }
        Ok(account)
    }

    /// Returns the newest transaction's hash, zeros for none.
    pub(super) fn last_hash(&self, address: Address) -> [u8; 32] {
        self.accounts.get(&std_address(address)).map_or([0; 32], |shard| shard.last_trans_hash.0)
    }

    /// Runs a get-method; `None` if no contract is active at the address.
    pub(super) fn get_method(
        &self,
        address: Address,
        method: u32,
        stack: Vec<RcStackValue>,
    ) -> Result<Option<Answer>, ChainError> {
        let account = self.accounts.get(&std_address(address)).map(load).transpose()?.flatten();
        Ok(account.and_then(|account| get_method::run(&account, &self.config, self.now_s(), method, stack)))
    }
}

fn load(shard: &ShardAccount) -> Result<Option<RawAccount>, ChainError> {
    shard.load_account().map_err(ChainError::unreadable)
}

fn no_account() -> Result<ShardAccount, ChainError> {
    Ok(ShardAccount {
        account: Lazy::new(&OptionalAccount(None)).map_err(ChainError::unreadable)?,
        last_trans_hash: HashBytes::ZERO,
        last_trans_lt: 0,
    })
}

fn refused(reason: String) -> ChainError {
    ChainError::Refused { exit_code: None, reason }
}
