//! Two nodes over real sockets, a real model and a real contract: one order from the call to the settlement.

use std::time::Duration;

use bombyx_node::ChannelPhase;
use bombyx_node::NodeHandle;
use bombyx_node::RunningNode;
use bombyx_node::ledger::devnet::{self, Devnet};
use bombyx_node::{Coins, NodeConfig};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::fault::PaymentFault;
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::io::{Bill, Failure, OrderNews};
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::message::Content;
use bombyx_protocol::work::order::{Order, Task, Tier};
use tokio::net::TcpListener;
use tokio::time::timeout;

const MODEL: &str = "all-minilm-l6-v2";
const PRICE_JOB: Coins = Coins(Nano(500_000_000));
/// What the ledger takes from a close at most, all messages together.
const CLOSE_FEES_MAX: u64 = 20_000_000;
/// Generous: a test machine may be busy, and the model may have to be fetched.
const PATIENCE: Duration = Duration::from_secs(60);
const FETCH_PATIENCE: Duration = Duration::from_secs(600);

struct World {
    devnet: Devnet,
    url: String,
    homes: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let devnet = Devnet::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(devnet::http::serve(devnet.clone(), listener, std::future::pending()));
        Self { devnet, url, homes: tempfile::tempdir().unwrap() }
    }

    fn config(&self, name: &str) -> NodeConfig {
        let mut config = NodeConfig { home: self.homes.path().join(name), ..NodeConfig::default() };
        config.ledger.url.clone_from(&self.url);
        config.ledger.poll_ms = 100;
        config.network.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".into()];
        config.client.challenge_s = 60;
        config
    }

    async fn provider(&self) -> RunningNode {
        let mut config = self.config("provider");
        config.provide.models = vec![MODEL.into()];
        // More than what the payout itself costs on the ledger.
        config.provide.price_job = PRICE_JOB;
        timeout(FETCH_PATIENCE, bombyx_node::start(config)).await.unwrap().unwrap()
    }

    async fn client(&self, provider: &NodeHandle) -> RunningNode {
        let mut config = self.config("client");
        config.network.join = provider.addresses();
        let running = bombyx_node::start(config).await.unwrap();
        running.0.wait_for_peers(1, PATIENCE).await.unwrap();
        running
    }
}

fn order(max_cost: Nano) -> Order {
    Order {
        model: bombyx_node::model_id(MODEL).unwrap(),
        task: Task::Embed {
            inputs: vec!["silk".into(), "a moth spins a thread".into(), "fiscal policy".into()],
        },
        max_cost,
        deadline: Span::from_s(60),
        tier: Tier::Open,
        nano_per_ms: Some(0),
        price_max: None,
        dims: None,
        weights: bombyx_protocol::Weights::DEFAULT,
        input: bombyx_protocol::InputCount::Estimated,
        preferences: bombyx_protocol::Preferences::default(),
    }
}

/// Places the order and returns its rows and its bill, or why there is none.
async fn ask(client: &NodeHandle, order: Order) -> Result<(Vec<Vec<f32>>, Bill), Failure> {
    let mut news = client.order(order).await.unwrap();
    let mut rows = Vec::new();
    loop {
        match timeout(PATIENCE, news.recv()).await.unwrap().unwrap() {
            OrderNews::Content(Content::Vectors { first, dims, bytes }) => {
                assert_eq!(first as usize, rows.len());
                let numbers: Vec<f32> =
                    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
                rows.extend(numbers.chunks_exact(dims as usize).map(<[f32]>::to_vec));
            }
            OrderNews::Done(bill) => return Ok((rows, bill)),
            OrderNews::Failed { why, .. } => return Err(why),
            OrderNews::Bids(_)
            | OrderNews::Awarded { .. }
            | OrderNews::Content(_)
            | OrderNews::FailedOver { .. } => {}
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedding_is_matched_served_paid_and_settled_with_balances_that_add_up() {
    let world = World::new().await;
    let (provider, provider_task) = world.provider().await;
    let (client, client_task) = world.client(&provider).await;
    let wallet = client.ledger().wallet_address().unwrap();
    let earner = provider.ledger().wallet_address().unwrap();
    let given = Nano(10_000_000_000);

    let refused = ask(&client, order(Nano(1_000))).await;
    assert!(matches!(refused, Err(Failure::OverBudget { lowest }) if lowest > Nano(1_000)), "{refused:?}");
    let refused = ask(&client, order(Nano(1_000_000_000))).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, Failure::Payment(PaymentFault::NoFunds { .. })),
        "the wallet is empty: {refused}"
    );

    world.devnet.faucet(wallet, given).unwrap();

    let (rows, bill) = ask(&client, order(Nano(1_000_000_000))).await.unwrap();
    assert_eq!(rows.len(), 3);
    for row in &rows {
        assert_eq!(row.len(), 384);
        assert!((dot(row, row) - 1.0).abs() < 1e-4, "of length 1");
    }
    assert!(
        dot(&rows[0], &rows[1]) > dot(&rows[0], &rows[2]),
        "silk is nearer to a moth than to fiscal policy"
    );
    assert!(bill.cost > Nano::ZERO && bill.vouchers > 0 && bill.receipts > 0, "{bill:?}");
    assert_eq!(bill.providers, [provider.node_id()]);

    let asks = client.asks().await.unwrap();
    assert!(asks.iter().all(|ask| ask.provider == provider.node_id()), "{asks:?}");
    let paying = client.status().await.unwrap();
    assert_eq!(paying.client.orders_done, 1);
    assert_eq!(paying.channels.len(), 1);
    assert_eq!(paying.channels[0].paid_nano, bill.cost.0);

    // Both begin a new life: the channel and what was promised on it are on record, and go on where they stopped.
    client.shutdown().await;
    timeout(PATIENCE, client_task).await.unwrap().unwrap().unwrap();
    let (client, client_task) = world.client(&provider).await;
    let (_, second) = ask(&client, order(Nano(1_000_000_000))).await.unwrap();
    let owed = Nano(bill.cost.0 + second.cost.0);
    // The second job costs more than what is left on the channel: its top-up, and the voucher after it, may be under way when the
    // answer is whole.
    let paid = async {
        for node in [&client, &provider] {
            while node.status().await.unwrap().channels[0].paid_nano != owed.0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    timeout(PATIENCE, paid).await.expect("both jobs are paid");
    assert_eq!(client.status().await.unwrap().channels.len(), 1);

    // The provider leaves: it closes the channel, is paid, and the client has its rest at once.
    let report = provider.settle(PATIENCE).await.unwrap();
    assert_eq!((report.closed.len(), report.left.len()), (1, 0), "{report:?}");
    assert_eq!(report.closed[0].state, ChannelPhase::Closed);
    assert_eq!(report.closed[0].paid_nano, owed.0);
    let report_account = report.closed[0].account.clone();
    let report = client.settle(PATIENCE).await.unwrap();
    assert!(report.left.is_empty(), "{report:?}");

    let ledger = client.ledger();
    let least = Nano(owed.0 - CLOSE_FEES_MAX);
    let account = Address::basechain(hex::decode(&report_account).unwrap().try_into().unwrap());
    // The payouts are messages on their way when the channel is gone.
    let arrived = async {
        loop {
            let (earned, kept) =
                (ledger.balance(earner).await.unwrap(), ledger.balance(wallet).await.unwrap());
            let mut fees = Nano::ZERO;
            for party in [wallet, earner, account] {
                let history = ledger.transactions(party, 50).await.unwrap();
                fees = history.iter().fold(fees, |sum, one| sum.saturating_plus(one.fee));
            }
            if earned >= least && earned.0 + kept.0 + fees.0 == given.0 {
                return earned;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let earned = timeout(PATIENCE, arrived).await.expect("no nano is lost or made, and the provider is paid");
    assert!(earned <= owed, "earned {earned} for {owed}");

    client.shutdown().await;
    provider.shutdown().await;
    timeout(PATIENCE, client_task).await.unwrap().unwrap().unwrap();
    timeout(PATIENCE, provider_task).await.unwrap().unwrap().unwrap();

    // A second life of the client finds no channel on record: it is closed.
    let (again, task) = bombyx_node::start(world.config("client")).await.unwrap();
    assert_eq!(again.node_id(), client.node_id());
    assert!(again.status().await.unwrap().channels.is_empty());
    again.shutdown().await;
    timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_of_a_node_without_a_peer_fails_as_that_and_not_before_its_deadline() {
    let world = World::new().await;
    let (client, task) = bombyx_node::start(world.config("client")).await.unwrap();
    let alone = Order { deadline: Span::from_ms(1_500), ..order(Nano(1_000_000_000)) };
    let began = std::time::Instant::now();
    assert_eq!(ask(&client, alone).await.unwrap_err(), Failure::NotConnected);
    // Calls are repeated while there is time: somebody may be about to join.
    assert!(began.elapsed() >= Duration::from_millis(1_400));
    assert_eq!(client.status().await.unwrap().client.orders_failed, 1);
    let none = client.wait_for_peers(1, Duration::from_millis(100)).await.unwrap_err();
    assert!(none.to_string().contains("0 of 1 peer"), "{none}");
    client.shutdown().await;
    timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
}

/// (`MK-65`)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_whose_only_peer_leaves_does_not_fail_as_that_of_a_node_without_a_peer() {
    let world = World::new().await;
    let (hub, hub_task) = bombyx_node::start(world.config("hub")).await.unwrap();
    let mut config = world.config("client");
    config.network.join = hub.addresses();
    let (client, task) = bombyx_node::start(config).await.unwrap();
    client.wait_for_peers(1, PATIENCE).await.unwrap();
    let short = || Order { deadline: Span::from_s(2), ..order(Nano(1_000_000_000)) };
    let leaves = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        hub.shutdown().await;
        timeout(PATIENCE, hub_task).await.unwrap().unwrap().unwrap();
    };
    let (failed, ()) = tokio::join!(ask(&client, short()), leaves);
    assert_ne!(failed.unwrap_err(), Failure::NotConnected);
    assert_eq!(ask(&client, short()).await.unwrap_err(), Failure::NotConnected, "it has left before");
    client.shutdown().await;
    timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
}

/// (`NE-1`, `NE-6`)
async fn an_order_finds_its_provider(listen: &str) {
    let world = World::new().await;
    let mut config = world.config("hub");
    config.network.listen = vec![listen.into()];
    let (hub, hub_task) = bombyx_node::start(config).await.unwrap();
    let mut config = world.config("provider");
    config.network.listen = vec![listen.into()];
    config.network.join = hub.addresses();
    config.provide.models = vec![MODEL.into()];
    config.provide.price_job = PRICE_JOB;
    let (provider, provider_task) =
        timeout(FETCH_PATIENCE, bombyx_node::start(config)).await.unwrap().unwrap();
    provider.wait_for_peers(1, PATIENCE).await.unwrap();
    let mut config = world.config("client");
    config.network.listen = vec![listen.into()];
    config.network.join = hub.addresses();
    let (client, client_task) = bombyx_node::start(config).await.unwrap();
    client.wait_for_peers(1, PATIENCE).await.unwrap();
    world.devnet.faucet(client.ledger().wallet_address().unwrap(), Nano(10_000_000_000)).unwrap();

    let (rows, bill) = ask(&client, order(Nano(1_000_000_000))).await.unwrap();
    assert_eq!((rows.len(), bill.providers), (3, vec![provider.node_id()]));
    println!("over {listen}: matched after {:?}, first content after {:?}", bill.matched, bill.first_token);
    for (handle, task) in [(client, client_task), (provider, provider_task), (hub, hub_task)] {
        handle.shutdown().await;
        timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_quic_an_order_finds_its_provider_through_a_node_that_sells_nothing() {
    an_order_finds_its_provider("/ip4/127.0.0.1/udp/0/quic-v1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tcp_an_order_finds_its_provider_through_a_node_that_sells_nothing() {
    an_order_finds_its_provider("/ip4/127.0.0.1/tcp/0").await;
}

/// Seconds of processor time that this process has used.
#[cfg(target_os = "linux")]
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: f64 = [11, 12].iter().map(|field| fields[*field].parse::<f64>().unwrap()).sum();
    // The kernel counts in hundredths wherever this runs.
    ticks / 100.0
}

/// Prints what a gossiped statement of a fresh key costs a node; that nobody falls over it is what is tested. (`NE-7`)
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seeks_of_a_thousand_fresh_keys_cost_three_nodes_little_and_shut_nobody_out() {
    use bombyx_node::net::{self, NetCommand, NetConfig, unix_s};
    use bombyx_protocol::ident::Identity;
    use bombyx_protocol::market::invite::Share;
    use bombyx_protocol::market::seek::{Seek, SeekId};
    use bombyx_protocol::wire::codec;
    use bombyx_protocol::wire::message::Gossip;

    const COUNT: u32 = 1_000;
    let world = World::new().await;
    let (first, first_task) = bombyx_node::start(world.config("first")).await.unwrap();
    let mut others = Vec::new();
    for name in ["second", "third"] {
        let mut config = world.config(name);
        config.network.join = first.addresses();
        let (other, task) = bombyx_node::start(config).await.unwrap();
        other.wait_for_peers(1, PATIENCE).await.unwrap();
        others.push((other, task));
    }
    let network = world.config("any").network.name;
    let mut config = NetConfig::new(zeroize::Zeroizing::new([77; 32]), network);
    config.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".into()];
    config.join = first.addresses();
    let (flooder, mut events) = net::start(config).await.unwrap();
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    let joined = flooder.wait_until(|status| !status.peers.is_empty());
    timeout(PATIENCE, joined).await.unwrap().unwrap();

    let model = bombyx_node::model_id(MODEL).unwrap();
    let topic = format!("model/{}", &model.to_string()[..16]);
    let seeks: Vec<Vec<u8>> = (0..COUNT)
        .map(|number| {
            let mut seed = [8; 32];
            seed[..4].copy_from_slice(&number.to_le_bytes());
            let client = Identity::from_seed(&seed);
            let id = SeekId(seed[..16].try_into().unwrap());
            let seek = Seek::for_model(id, client.id(), model, Share::ALL, unix_s());
            codec::encode(&Gossip::Seek(seek.sign(&client)))
        })
        .collect();
    let began = cpu_s();
    for bytes in seeks {
        flooder.send(NetCommand::Publish { topic: topic.clone(), bytes }).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let each_us = (cpu_s() - began) * 1e6 / f64::from(COUNT) / 3.0;
    println!("{each_us:.0} µs of processor time a message and node, the sender's part included");
    assert!(!flooder.peers().is_empty(), "two hundred a second are within what one may send");
    others.push((first, first_task));
    for (handle, task) in others {
        assert!(handle.status().await.unwrap().peers > 0);
        handle.shutdown().await;
        timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
    }
}
