//! The service on a chain that hangs or breaks.
#![allow(clippy::unwrap_used)]
use std::sync::Arc;
use std::time::Duration;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::{LedgerCall, LedgerEvent, LedgerFault};
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::channel::voucher::Voucher;
use tokio::time::timeout;

use super::LedgerService;
use super::fixtures::{PATIENCE, hear, key, say};
use crate::ledger::devnet::{DEVNET_ID, Devnet};
use crate::ledger::{Account, Chain, Ledger, Priority, Reply, Transaction};
use crate::role::Role;

/// A devnet that breaks at one account and never answers for another.
#[derive(Clone)]
struct Odd {
    devnet: Devnet,
    broken: ChannelId,
    hung: ChannelId,
}

impl Odd {
    fn new(broken: ChannelId, hung: ChannelId) -> Arc<Self> {
        Arc::new(Self { devnet: Devnet::new().unwrap(), broken, hung })
    }
}

impl Chain for Odd {
    fn account(&self, address: Address) -> Reply<'_, Account> {
        assert_ne!(ChannelId(address.hash), self.broken, "a fault in this program");
        if address == self.hung.address() {
            return Box::pin(std::future::pending());
        }
        self.devnet.account(address)
    }

    fn send(&self, message: Vec<u8>) -> Reply<'_, ()> {
        self.devnet.send(message)
    }

    fn transactions(&self, address: Address, limit: usize) -> Reply<'_, Vec<Transaction>> {
        self.devnet.transactions(address, limit)
    }

    fn network_id(&self) -> Reply<'_, Option<i32>> {
        self.devnet.network_id()
    }

    fn name(&self) -> String {
        "an odd chain".into()
    }

    fn pace(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn with_priority(&self, _: Priority) -> Arc<dyn Chain> {
        Arc::new(self.clone())
    }
}

/// A call that breaks frees its account's queue, and its role hears that it failed.
#[tokio::test]
async fn a_call_that_panics_is_told_as_failed_and_the_next_one_runs() {
    let (broken, hung) = (ChannelId([7; 32]), ChannelId([8; 32]));
    let ledger = Ledger::new(Odd::new(broken, hung), DEVNET_ID, None);
    let mut ledger_service = LedgerService::start(Arc::new(ledger), PATIENCE);
    let voucher = Voucher { account: broken, epoch: 1, cumulative: Nano(1) };
    for key_number in [1, 2] {
        let call = LedgerCall::Claim { voucher: voucher.signed(&key(key_number)) };
        say(&ledger_service, Role::Provider, call).await;
        let failed = LedgerEvent::Failed { account: broken, top_up: None, fault: LedgerFault::Unknown };
        assert_eq!(hear(&mut ledger_service).await, (Role::Provider, failed));
    }
}

/// Each adds to the deposit, unlike a claim that is asked for again. (`CH-20`)
#[tokio::test]
async fn of_two_equal_top_ups_none_is_dropped() {
    let ledger = Ledger::new(Odd::new(ChannelId([7; 32]), ChannelId([8; 32])), DEVNET_ID, None);
    let mut ledger_service = LedgerService::start(Arc::new(ledger), PATIENCE);
    let (account, amount) = (ChannelId([7; 32]), Nano(5));
    for _ in 0..2 {
        say(&ledger_service, Role::Client, LedgerCall::TopUp { account, amount }).await;
    }
    for _ in 0..2 {
        let (_, LedgerEvent::Failed { top_up, .. }) = hear(&mut ledger_service).await else { panic!() };
        assert_eq!(top_up, Some(amount));
    }
}

/// (`CH-36`)
#[tokio::test]
async fn looks_that_hang_or_break_hold_no_other() {
    let (broken, hung) = (ChannelId([7; 32]), ChannelId([8; 32]));
    let ledger = Ledger::new(Odd::new(broken, hung), DEVNET_ID, None);
    let mut ledger_service = LedgerService::start(Arc::new(ledger), Duration::from_millis(5));
    for account in [broken, hung, ChannelId([9; 32])] {
        say(&ledger_service, Role::Client, LedgerCall::Watch { account }).await;
    }
    let absent = LedgerEvent::Channel { account: ChannelId([9; 32]), state: None };
    assert_eq!(hear(&mut ledger_service).await, (Role::Client, absent));
    assert!(ledger_service.sights.get(&ChannelId([9; 32])).is_some_and(|sight| sight.state.is_none()));
    // And again and again, while one look hangs.
    let first = ledger_service.sights.get(&ChannelId([9; 32])).unwrap().at;
    timeout(PATIENCE, async {
        while ledger_service.sights.get(&ChannelId([9; 32])).unwrap().at == first {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    assert!(ledger_service.sights.get(&hung).is_none() && ledger_service.sights.get(&broken).is_none());
}
