//! The devnet's state: accounts, clock, history, and the execution of messages by a real TVM.

use std::collections::{HashMap, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use num_bigint::BigInt;
use tycho_executor::{Executor, ExecutorInspector, ExecutorParams, ParsedConfig, TxError};
use tycho_types::boc::Boc;
use tycho_types::cell::{Cell, HashBytes, Lazy};
use tycho_types::models::{
    Account as RawAccount, AccountState, CurrencyCollection, IntAddr, MsgInfo, OptionalAccount, ShardAccount,
    StdAddr, StorageInfo,
};
use tycho_types::num::Tokens;
use tycho_vm::{GasParams, RcStackValue, SmcInfoBase, VmState, VmVersion};

use super::config::devnet_config;
use crate::ledger::chain::{Account, ChainError, Contract, nano, std_address};

/// Transactions kept for one account; older ones are forgotten.
const HISTORY_MAX: usize = 4_096;
/// Accounts that the devnet holds.
const ACCOUNTS_MAX: usize = 1_000_000;
/// Messages executed on behalf of one arriving message; what is left waits for the next one.
const CASCADE_MAX: usize = 10_000;
/// Bytes of one external message; mainnet's limit.
pub(super) const MESSAGE_BYTES_MAX: usize = 65_535;
/// Milliseconds of chain time from block to block, as on mainnet.
const BLOCK_MS: u64 = 400;
/// Logical time from block to block, as on mainnet.
const BLOCK_LT: u64 = 1_000_000;

/// Where chain time comes from.
#[derive(Debug, Clone, Copy)]
enum Clock {
    /// Stands still but for [`State::advance`], in seconds.
    Manual(u32),
    /// The machine's clock and a lead over it, in seconds.
    Host { ahead: u32 },
}

/// A transaction as the devnet keeps it.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) lt: u64,
    pub(super) hash: [u8; 32],
    pub(super) cell: Cell,
}

/// What a get-method returned.
pub(super) struct Answer {
    pub(super) exit_code: i32,
    pub(super) gas: u64,
    pub(super) stack: Vec<RcStackValue>,
}

pub(super) struct State {
    accounts: HashMap<StdAddr, ShardAccount>,
    history: HashMap<StdAddr, VecDeque<Record>>,
    pending: VecDeque<Cell>,
    config: ParsedConfig,
    clock: Clock,
    started_s: u32,
    blocks: u32,
    lt: u64,
    minted: u128,
}

impl State {
    /// `manual_s` sets a clock that only [`Self::advance`] moves; otherwise time is the machine's.
    pub(super) fn new(manual_s: Option<u32>) -> Result<Self, ChainError> {
        let clock = manual_s.map_or(Clock::Host { ahead: 0 }, Clock::Manual);
        let started_s = clock.now_s();
        Ok(Self {
            accounts: HashMap::new(),
            history: HashMap::new(),
            pending: VecDeque::new(),
            config: devnet_config(started_s).map_err(ChainError::unreadable)?,
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

    pub(super) fn advance(&mut self, seconds: u32) {
        match &mut self.clock {
            Clock::Manual(now) => *now = now.saturating_add(seconds),
            Clock::Host { ahead } => *ahead = ahead.saturating_add(seconds),
        }
    }

    /// The newest block: one for each arriving message, and at least one each [`BLOCK_MS`].
    pub(super) fn seqno(&self) -> u32 {
        let elapsed_s = u64::from(self.now_s().saturating_sub(self.started_s));
        let ticks = u32::try_from(elapsed_s * 1_000 / BLOCK_MS).unwrap_or(u32::MAX);
        self.blocks.max(ticks)
    }

    pub(super) fn minted(&self) -> u128 {
        self.minted
    }

    /// All coins on all accounts.
    pub(super) fn total_balance(&self) -> u128 {
        self.accounts
            .values()
            .filter_map(|shard| shard.load_account().ok().flatten())
            .map(|account| account.balance.tokens.into_inner())
            .sum()
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
        Ok(())
    }

    /// Executes an external message and everything that follows from it, in one block.
    pub(super) fn deliver(&mut self, boc: &[u8]) -> Result<(), ChainError> {
        if boc.len() > MESSAGE_BYTES_MAX {
            return Err(refused(format!("a message has at most {MESSAGE_BYTES_MAX} bytes")));
        }
        let cell = Boc::decode(boc).map_err(|error| refused(format!("not a bag of cells: {error}")))?;
        let info = cell.parse::<MsgInfo>();
        let Ok(MsgInfo::ExtIn(info)) = info else {
            return Err(refused("not an external message".into()));
        };
        self.execute(cell, &info.dst, true)?;
        self.blocks = self.seqno().saturating_add(1);
        for _ in 0..CASCADE_MAX {
            let Some(message) = self.pending.pop_front() else { break };
            let Ok(MsgInfo::Int(info)) = message.parse::<MsgInfo>() else { continue };
            if let Err(error) = self.execute(message, &info.dst, false) {
                tracing::warn!(%error, "an internal message could not be executed");
            }
        }
        Ok(())
    }

    fn execute(&mut self, message: Cell, to: &IntAddr, external: bool) -> Result<(), ChainError> {
        let IntAddr::Std(address) = to else {
            return Err(refused("an address of variable length".into()));
        };
        if address.workchain != 0 {
            return Err(refused("the devnet has workchain 0 only".into()));
        }
        if !self.accounts.contains_key(address) && self.accounts.len() >= ACCOUNTS_MAX {
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
        let shard = self.accounts.get(address).cloned().map_or_else(no_account, Ok)?;
        let mut inspector = ExecutorInspector::default();
        let output = Executor::new(&params, &self.config)
            .with_min_lt(lt)
            .begin_ordinary_ext(address, external, message, &shard, Some(&mut inspector))
            .and_then(|transaction| transaction.commit().map_err(TxError::Fatal))
            .map_err(|error| match error {
                TxError::Skipped => ChainError::Refused {
                    exit_code: inspector.exit_code,
                    reason: "the message was not accepted".into(),
                },
                TxError::Fatal(error) => refused(format!("not executable: {error}")),
            })?;
        self.lt = lt;
        self.pending.extend(output.transaction_meta.out_msgs.iter().map(|message| message.inner().clone()));
        let history = self.history.entry(address.clone()).or_default();
        if history.len() >= HISTORY_MAX {
            history.pop_front();
        }
        history.push_back(Record {
            lt: output.new_state.last_trans_lt,
            hash: output.new_state.last_trans_hash.0,
            cell: output.transaction.inner().clone(),
        });
        if output.new_state_meta.exists {
            self.accounts.insert(address.clone(), output.new_state);
        } else {
            self.accounts.remove(address);
        }
        Ok(())
    }

    /// The blockchain's parameters: a dictionary from numbers to cells.
    pub(super) fn configuration(&self) -> Option<&Cell> {
        self.config.raw.params.as_dict().root().as_ref()
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
                account.contract = Some(Contract {
                    code: state.code.unwrap_or_default(),
                    data: state.data.unwrap_or_default(),
                });
            }
        }
        Ok(account)
    }

    /// Transactions of an account, newest first.
    pub(super) fn history(&self, address: Address) -> impl Iterator<Item = &Record> {
        self.history.get(&std_address(address)).into_iter().flat_map(|list| list.iter().rev())
    }

    /// The newest transaction's hash, zeros for none.
    pub(super) fn last_hash(&self, address: Address) -> [u8; 32] {
        self.accounts.get(&std_address(address)).map_or([0; 32], |shard| shard.last_trans_hash.0)
    }

    /// Runs a get-method; `None` if no contract is active at the address.
    pub(super) fn get_method(
        &self,
        address: Address,
        method: u32,
        mut stack: Vec<RcStackValue>,
    ) -> Result<Option<Answer>, ChainError> {
        let raw = self.accounts.get(&std_address(address)).map(load).transpose()?.flatten();
        let Some(raw) = raw else { return Ok(None) };
        let AccountState::Active(state) = &raw.state else { return Ok(None) };
        let Some(code) = state.code.clone() else { return Ok(None) };
        stack.push(RcStackValue::new_dyn_value(BigInt::from(method)));
        let info = SmcInfoBase::new()
            .with_now(self.now_s())
            .with_block_lt(raw.last_trans_lt)
            .with_tx_lt(raw.last_trans_lt)
            .with_account_balance(raw.balance.clone())
            .with_account_addr(raw.address.clone())
            .with_config(self.config.raw.params.clone())
            .require_ton_v4()
            .with_code(code.clone())
            .require_ton_v6()
            .with_unpacked_config(self.config.unpacked.as_tuple())
            .require_ton_v11();
        let mut vm = VmState::builder()
            .with_smc_info(info)
            .with_version(VmVersion::Ton(12))
            .with_code(code)
            .with_data(state.data.clone().unwrap_or_default())
            .with_libraries(&state.libraries)
            .with_init_selector(false)
            .with_stack(stack)
            .with_gas(GasParams::getter())
            .build();
        let exit_code = !vm.run();
        Ok(Some(Answer { exit_code, gas: vm.gas.consumed(), stack: vm.stack.items.clone() }))
    }
}

impl Clock {
    fn now_s(self) -> u32 {
        match self {
            Self::Manual(now) => now,
            Self::Host { ahead } => {
                let host = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u32::try_from(host.as_secs()).unwrap_or(u32::MAX).saturating_add(ahead)
            }
        }
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
