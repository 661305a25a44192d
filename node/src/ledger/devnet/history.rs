//! What the devnet remembers of the past, within bounds.

use std::collections::{HashMap, VecDeque};

use bombyx_protocol::channel::terms::Address;
use tycho_types::cell::Cell;

/// Transactions kept for one account; older ones are forgotten.
const HISTORY_MAX: usize = 4_096;
/// Newest transactions that are kept in their order over all accounts.
const LOG_MAX: usize = 1_024;

/// A transaction as the devnet keeps it.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) account: Address,
    pub(super) block: u32,
    pub(super) lt: u64,
    pub(super) hash: [u8; 32],
    pub(super) cell: Cell,
}

/// Transactions by account and in their order over all accounts.
#[derive(Default)]
pub(super) struct History {
    accounts: HashMap<Address, VecDeque<Record>>,
    /// The newest transactions of all accounts, oldest first.
    log: VecDeque<Record>,
    /// Accounts in the order in which they got coins from the faucet or executed something, the latest last; repeated.
    touched: VecDeque<Address>,
}

impl History {
    /// Adds a transaction.
    pub(super) fn add(&mut self, record: Record) {
        let account = record.account;
        keep(&mut self.log, record.clone(), LOG_MAX);
        keep(self.accounts.entry(account).or_default(), record, HISTORY_MAX);
        self.touch(account);
    }

    /// Notes that an account got coins or executed something.
    pub(super) fn touch(&mut self, account: Address) {
        if self.touched.back() != Some(&account) {
            keep(&mut self.touched, account, LOG_MAX);
        }
    }

    /// Returns the newest transactions of all accounts, newest first.
    pub(super) fn log(&self) -> impl Iterator<Item = &Record> {
        self.log.iter().rev()
    }

    /// Returns accounts that got coins or executed something, the latest first; an account may be repeated.
    pub(super) fn touched(&self) -> impl Iterator<Item = Address> {
        self.touched.iter().rev().copied()
    }

    /// Returns the transactions of an account, newest first.
    pub(super) fn of(&self, account: Address) -> impl Iterator<Item = &Record> {
        self.accounts.get(&account).into_iter().flat_map(|list| list.iter().rev())
    }
}

/// Adds to the end and forgets the oldest beyond `max`.
fn keep<T>(list: &mut VecDeque<T>, item: T, max: usize) {
    if list.len() >= max {
        list.pop_front();
    }
    list.push_back(item);
}
