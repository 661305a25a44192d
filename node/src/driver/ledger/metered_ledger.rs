//! The service on a ledger that counts requests: calls, looks and pages share what it allows.
#![allow(clippy::unwrap_used)]
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::{LedgerCall, LedgerEvent};
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::channel::voucher::{CloseOrder, Voucher};
use tokio::time::{Instant, timeout};

use super::LedgerService;
use super::fixtures::{CHALLENGE_S, DEPOSIT, PATIENCE, hear, key, say, terms};
use super::state::ServiceTask;
use crate::api::pages::{PAGE_PATIENCE, Pages};
use crate::ledger::devnet::{self, DEVNET_ID, Devnet};
use crate::ledger::{Ledger, Priority, Wallet, endpoints};
use crate::role::Role;

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
    let terms = terms(wallet.address());
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
