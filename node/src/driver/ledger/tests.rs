//! The service on a real devnet, and on chains that count, hang or break.
#![allow(clippy::unwrap_used)]
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::{ChannelState, LedgerCall, LedgerEvent, LedgerFault};
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::channel::voucher::{CloseOrder, CloseRequest, Voucher};
use bombyx_protocol::time::Span;
use ed25519_dalek::SigningKey;
use tokio::time::{Instant, timeout};

use super::state::ServiceTask;
use super::*;
use crate::api::pages::{PAGE_PATIENCE, Pages};
use crate::ledger::{
    Chain, ChannelAccount, Ledger, Priority, Reply, Transaction, Wallet,
    devnet::{self, DEVNET_ID, Devnet},
    endpoints,
};
use crate::role::Role;

const PATIENCE: Duration = Duration::from_secs(30);
const DEPOSIT: Nano = Nano(1_000_000_000);
const CHALLENGE_S: u32 = 60;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

async fn hear(ledger_service: &mut LedgerService) -> (Role, LedgerEvent) {
    timeout(PATIENCE, ledger_service.events.recv()).await.unwrap().unwrap()
}

async fn hear_state(ledger_service: &mut LedgerService, to: Role) -> Option<ChannelState> {
    match hear(ledger_service).await {
        (role, LedgerEvent::Channel { state, .. }) if role == to => state,
        other => panic!("{other:?}"),
    }
}

async fn say(ledger_service: &LedgerService, role: Role, call: LedgerCall) {
    ledger_service.call(role, call).await.unwrap();
}

/// (`CH-23`)
#[tokio::test]
async fn a_provider_is_told_of_a_deposit_by_the_second_look_that_shows_it() {
    let terms = ChannelTerms {
        network_id: DEVNET_ID,
        salt: 1,
        client_key: key(1).verifying_key().to_bytes(),
        provider_key: key(2).verifying_key().to_bytes(),
        client: Address::basechain([8; 32]),
        provider: Address::basechain([9; 32]),
        challenge_s: CHALLENGE_S,
    };
    let account = terms.id();
    let state = |deposit, settled| ChannelAccount {
        terms: terms.clone(),
        epoch: 7,
        close_at_s: 0,
        deposit: Nano(deposit),
        settled: Nano(settled),
        balance: Nano(deposit),
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
    let terms = ChannelTerms {
        network_id: DEVNET_ID,
        salt: 1,
        client_key: key(1).verifying_key().to_bytes(),
        provider_key: key(2).verifying_key().to_bytes(),
        client: wallet.address(),
        provider: Address::basechain([9; 32]),
        challenge_s: CHALLENGE_S,
    };
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
    fn account(&self, address: Address) -> Reply<'_, crate::ledger::Account> {
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

/// A devnet behind HTTP that counts its requests, and a ledger over it that makes `per_s` of them.
struct Service {
    devnet: Devnet,
    url: String,
    requests: Arc<AtomicUsize>,
}

impl Service {
    async fn start() -> Self {
        let devnet = Devnet::new().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let counted = Arc::clone(&requests);
        let count = move |request: axum::extract::Request, next: axum::middleware::Next| {
            counted.fetch_add(1, Ordering::Relaxed);
            next.run(request)
        };
        let routes = devnet::http::router(devnet.clone()).layer(axum::middleware::from_fn(count));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { devnet, url, requests }
    }

    fn ledger(&self, per_s: &str, wallet: Option<Wallet>) -> Ledger {
        let chain = endpoints::connect(&self.url, "", per_s, DEVNET_ID).unwrap();
        Ledger::new(Arc::new(chain), DEVNET_ID, wallet).with_deadline(PATIENCE)
    }

    fn asked(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

/// A client closes with the newest voucher unclaimed, while its provider may ask the ledger once a second and strangers have
/// named 300 channels that nobody funded: the provider is told in a tenth of the challenge, and gets what is due. (`CH-35`,
/// `CH-36`)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_is_answered_in_time_at_one_request_a_second_among_hundreds_that_nobody_funded() {
    let service = Service::start().await;
    let wallet = Wallet::from_words(&Wallet::generate_words(), DEVNET_ID).unwrap();
    service.devnet.faucet(wallet.address(), Nano(5 * DEPOSIT.0)).unwrap();
    let terms = ChannelTerms {
        network_id: DEVNET_ID,
        salt: 1,
        client_key: key(1).verifying_key().to_bytes(),
        provider_key: key(2).verifying_key().to_bytes(),
        client: wallet.address(),
        provider: Address::basechain([9; 32]),
        challenge_s: CHALLENGE_S,
    };
    let account = terms.id();
    let client = service.ledger("0", Some(wallet));
    let opened = client.open(&terms, DEPOSIT).await.unwrap();

    let mut ledger_service =
        LedgerService::start(Arc::new(service.ledger("1", None)), Duration::from_millis(500));
    say(&ledger_service, Role::Provider, LedgerCall::Watch { account }).await;
    let open = timeout(PATIENCE, async {
        loop {
            if let (_, LedgerEvent::Channel { state: Some(state), .. }) = hear(&mut ledger_service).await {
                return state;
            }
        }
    });
    assert_eq!(open.await.unwrap().deposit, DEPOSIT);
    let voucher = Voucher { account, epoch: opened.epoch, cumulative: Nano(12_000_000) };
    ledger_service.voucher(account, voucher.cumulative).await.unwrap();
    for number in 0..300_u32 {
        let mut invented = [0; 32];
        invented[..4].copy_from_slice(&number.to_be_bytes());
        say(&ledger_service, Role::Provider, LedgerCall::Watch { account: ChannelId(invented) }).await;
    }

    client.request_close(opened.account).await.unwrap();
    let asked = Instant::now();
    let closing = async {
        loop {
            let (role, event) = hear(&mut ledger_service).await;
            if let LedgerEvent::Channel { account: about, state: Some(state) } = event
                && about == account
                && state.closing.is_some()
            {
                return (role, asked.elapsed());
            }
        }
    };
    let (role, took) = closing.await;
    assert_eq!(role, Role::Provider);
    assert!(took < Duration::from_secs(u64::from(CHALLENGE_S) / 10), "{took:?}");
    let order = CloseOrder { account, epoch: opened.epoch, cumulative: voucher.cumulative };
    let close =
        LedgerCall::Close { voucher: Some(voucher.signed(&key(1))), order, signature: order.sign(&key(2)) };
    say(&ledger_service, Role::Provider, close).await;
    while client.channel(opened.account).await.unwrap().is_some() {
        assert!(
            asked.elapsed() < Duration::from_secs(u64::from(CHALLENGE_S) / 2),
            "the close is not answered"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let paid = client.balance(terms.provider).await.unwrap();
    assert!(paid > Nano(10_000_000), "{paid}");
}

/// Reading pages, and going away before they are answered, costs no look: 3,000 readers of the wallet's balance and the channels
/// share one request now and then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_that_are_read_by_the_thousand_leave_the_looks_as_they_were() {
    const WINDOW: Duration = Duration::from_secs(5);
    let service = Service::start().await;
    let ledger = Arc::new(service.ledger("10", None));
    let ledger_service = LedgerService::start(Arc::clone(&ledger), Duration::from_millis(20));
    let watched = ChannelId([3; 32]);
    say(&ledger_service, Role::Client, LedgerCall::Watch { account: watched }).await;
    let pages = Pages::start(ledger.with_priority(Priority::Page), ledger_service.sights.clone());
    let someone = Address::basechain([4; 32]);
    tokio::time::sleep(Duration::from_secs(1)).await;

    let before = service.asked();
    tokio::time::sleep(WINDOW).await;
    let quiet = service.asked() - before;
    let readers: Vec<_> = (0..3_000)
        .map(|number| {
            let pages = pages.clone();
            tokio::spawn(async move {
                let read = pages.balance(someone, PAGE_PATIENCE);
                // Two of three go away at once.
                if number % 3 == 0 { read.await } else { timeout(Duration::ZERO, read).await.ok().flatten() }
            })
        })
        .collect();
    let before = service.asked();
    tokio::time::sleep(WINDOW).await;
    let busy = service.asked() - before;
    let mut shown = 0;
    for reader in readers {
        shown += usize::from(reader.await.unwrap().is_some());
    }
    assert!(shown >= 1_000, "{shown} readers have seen a balance");
    // Looks go on at four of five requests; pages have one of eight, and only where somebody reads. A machine that does other
    // things meanwhile counts for some.
    assert!(quiet >= 15, "{quiet} looks in {WINDOW:?}");
    assert!(
        busy * 10 >= quiet * 7 && busy <= quiet + 12,
        "{quiet} requests before, {busy} while pages are read"
    );
}

/// On a ledger that counts requests two calls run at a time; a claim need not wait until such have ended.
#[tokio::test]
async fn calls_that_hang_hold_no_claim() {
    let service = Service::start().await;
    let (mut ledger_service, _) = ServiceTask::new(Arc::new(service.ledger("1", None)), PATIENCE);
    for number in 1..=5 {
        ledger_service.on_call(Role::Client, LedgerCall::Finalize { account: ChannelId([number; 32]) });
    }
    assert_eq!((ledger_service.running.len(), ledger_service.ready.len()), (2, 3));
    let voucher = Voucher { account: ChannelId([9; 32]), epoch: 1, cumulative: Nano(1) };
    ledger_service.on_call(Role::Provider, LedgerCall::Claim { voucher: voucher.signed(&key(1)) });
    assert_eq!((ledger_service.running.len(), ledger_service.ready.len()), (3, 3));
}
