//! The service on a devnet that keeps its word.
#![allow(clippy::unwrap_used)]
use std::sync::Arc;
use std::time::Duration;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::{ChannelState, LedgerCall, LedgerEvent, LedgerFault};
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::channel::voucher::{CloseOrder, CloseRequest, Voucher};
use bombyx_protocol::time::Span;
use tokio::time::Instant;

use super::fixtures::{CHALLENGE_S, DEPOSIT, PATIENCE, hear, key, say, terms};
use super::state::ServiceTask;
use super::{LedgerService, limits};
use crate::ledger::devnet::{DEVNET_ID, Devnet};
use crate::ledger::{Chain, ChannelAccount, Ledger, Wallet};
use crate::role::Role;

async fn hear_state(ledger_service: &mut LedgerService, to: Role) -> Option<ChannelState> {
    match hear(ledger_service).await {
        (role, LedgerEvent::Channel { state, .. }) if role == to => state,
        other => panic!("{other:?}"),
    }
}

/// (`CH-23`)
#[tokio::test]
async fn a_provider_is_told_of_a_deposit_by_the_second_look_that_shows_it() {
    let terms = terms(Address::basechain([8; 32]));
    let account = terms.id();
    let state = |deposit, settled| ChannelAccount {
        terms: terms.clone(),
        epoch: 7,
        close_at_s: 0,
        deposit: Nano(deposit),
        settled: Nano(settled),
        balance: Nano(deposit),
        last_lt: 7,
        chain_time_s: 1,
    };
    let chain: Arc<dyn Chain> = Arc::new(Devnet::new().unwrap());
    let (mut ledger_service, _) = ServiceTask::new(Arc::new(Ledger::new(chain, DEVNET_ID, None)), PATIENCE);
    for role in [Role::Client, Role::Provider] {
        ledger_service.on_call(role, LedgerCall::Watch { account });
    }
    let mut look = |deposit, settled| {
        ledger_service.observe(account, Some(state(deposit, settled)));
        ledger_service.outbox.drain(..).map(|(role, _)| role).collect::<Vec<_>>()
    };
    assert_eq!(look(5, 0), [Role::Client]);
    assert_eq!(look(5, 0), [Role::Provider]);
    assert_eq!(look(5, 0), []);
    assert_eq!(look(5, 1), [Role::Client, Role::Provider], "what was paid out binds nobody");
    assert_eq!(look(9, 1), [Role::Client]);
    assert_eq!(look(5, 1), [Role::Client, Role::Provider], "the higher deposit was not final");
    assert_eq!(look(9, 1), [Role::Client]);
    assert_eq!(look(9, 1), [Role::Provider]);
}

/// (`CH-35`)
#[tokio::test]
async fn a_node_without_channels_stays_ready_for_one_however_long_it_asks_nothing() {
    let chain: Arc<dyn Chain> = Arc::new(Devnet::new().unwrap());
    let (mut ledger_service, pace) =
        ServiceTask::new(Arc::new(Ledger::new(chain, DEVNET_ID, None)), PATIENCE);
    let long_ago = Instant::now() - limits::SILENCE * 3;
    ledger_service.gauge.ended(long_ago, long_ago, false);
    ledger_service.tell_pace();
    assert!(!pace.borrow().is_blind(), "nothing is watched");
    ledger_service.on_call(Role::Provider, LedgerCall::Watch { account: ChannelId([1; 32]) });
    ledger_service.gauge.ended(long_ago, long_ago, false);
    ledger_service.tell_pace();
    assert!(pace.borrow().is_blind(), "what is watched is not seen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_is_told_to_whoever_watches_from_its_opening_to_its_end() {
    let devnet = Devnet::new().unwrap();
    let wallet = Wallet::from_words(&Wallet::generate_words(), DEVNET_ID).unwrap();
    let terms = terms(wallet.address());
    let account = terms.id();
    let chain: Arc<dyn Chain> = Arc::new(devnet.clone());
    let address = wallet.address();
    let ledger = Arc::new(Ledger::new(chain, DEVNET_ID, Some(wallet)).with_deadline(PATIENCE));
    let mut ledger_service = LedgerService::start(ledger, Duration::from_millis(20));

    say(&ledger_service, Role::Provider, LedgerCall::Watch { account }).await;
    let absent = LedgerEvent::Channel { account, state: None };
    assert_eq!(hear(&mut ledger_service).await, (Role::Provider, absent.clone()));

    let open = LedgerCall::Open { terms: terms.into(), deposit: DEPOSIT };
    say(&ledger_service, Role::Client, open.clone()).await;
    assert_eq!(hear(&mut ledger_service).await, (Role::Client, absent.clone()));
    let (_, poor) = hear(&mut ledger_service).await;
    let LedgerEvent::Failed { fault: LedgerFault::Funds { missing }, .. } = poor else { panic!("{poor:?}") };
    assert!(missing > DEPOSIT, "the wallet is empty, and the fees are missing as well");

    devnet.faucet(address, Nano(5 * DEPOSIT.0)).unwrap();
    say(&ledger_service, Role::Client, open).await;
    let mut told = Vec::new();
    for _ in 0..2 {
        let (role, LedgerEvent::Channel { state: Some(state), .. }) = hear(&mut ledger_service).await else {
            panic!()
        };
        assert_eq!((state.deposit, state.settled, state.closing), (DEPOSIT, Nano::ZERO, None));
        told.push((role, state.epoch));
    }
    let epoch = told[0].1;
    assert_eq!(told, [(Role::Client, epoch), (Role::Provider, epoch)]);

    // A voucher of another key: the state is told before the failure, and only its caller hears of that.
    let voucher = Voucher { account, epoch, cumulative: Nano(50_000_000) };
    let forged = LedgerCall::Claim { voucher: voucher.signed(&key(3)) };
    say(&ledger_service, Role::Provider, forged).await;
    let refused =
        LedgerEvent::Failed { account, top_up: None, fault: LedgerFault::Refused { exit_code: 105 } };
    assert_eq!(hear(&mut ledger_service).await, (Role::Provider, refused));

    // What is settled, or asked for, already is no failure, and nothing new.
    let paid = Voucher { account, epoch, cumulative: Nano(20_000_000) };
    let claim = LedgerCall::Claim { voucher: paid.signed(&key(1)) };
    for call in [claim.clone(), claim] {
        say(&ledger_service, Role::Provider, call).await;
    }
    for role in [Role::Client, Role::Provider] {
        let state = hear_state(&mut ledger_service, role).await.unwrap();
        assert_eq!((state.settled, state.closing), (paid.cumulative, None));
    }
    let request = CloseRequest { account, epoch };
    let request = LedgerCall::RequestClose { request, signature: request.sign(&key(1)) };
    for call in [request.clone(), request] {
        say(&ledger_service, Role::Client, call).await;
    }
    for role in [Role::Client, Role::Provider] {
        let state = hear_state(&mut ledger_service, role).await.unwrap();
        assert!(state.closing.is_some_and(|left| left > Span(0)), "{state:?}");
    }
    // The end of the challenge is no transaction, and is told all the same.
    devnet.advance(CHALLENGE_S);
    for role in [Role::Client, Role::Provider] {
        assert_eq!(hear_state(&mut ledger_service, role).await.unwrap().closing, Some(Span(0)));
    }

    say(&ledger_service, Role::Client, LedgerCall::Unwatch { account }).await;
    let order = CloseOrder { account, epoch, cumulative: voucher.cumulative };
    let close =
        LedgerCall::Close { voucher: Some(voucher.signed(&key(1))), order, signature: order.sign(&key(2)) };
    say(&ledger_service, Role::Provider, close).await;
    assert_eq!(hear(&mut ledger_service).await, (Role::Provider, absent));
}
