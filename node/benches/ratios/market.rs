//! The first answer of a client that has no lease and knows three sellers: called directly, against the window in which a call
//! to everybody gathers bids.

use std::time::{Duration, Instant};

use bombyx_node::demo::CHAT_MODEL;
use bombyx_node::engine::models;
use bombyx_node::ledger::devnet::{self, Devnet};
use bombyx_node::{Coins, NodeConfig, NodeHandle};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::io::OrderNews;
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::{ChatMessage, Generate, InputCount, Order, Role, Sampling, Task, Tier};
use bombyx_protocol::work::price::Weights;
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::{Row, Samples};

const RUNS: usize = 9;
const SELLERS: usize = 3;

pub(super) async fn row() -> Row {
    let homes = tempfile::tempdir().unwrap();
    let chain = Devnet::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ledger = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(devnet::http::serve(chain.clone(), listener, std::future::pending()));
    let config = |name: String| {
        let mut config = NodeConfig { home: homes.path().join(name), ..NodeConfig::default() };
        config.network.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".into()];
        config.ledger.url.clone_from(&ledger);
        config
    };
    let mut sellers = Vec::new();
    for number in 0..SELLERS {
        let mut selling = config(format!("seller{number}"));
        selling.provide.models = vec![CHAT_MODEL.into()];
        // Enough for every client of this bench: none has a channel before its first answer.
        selling.provide.credit_per_hour = Coins(Nano(1_000_000_000_000));
        selling.network.join =
            sellers.iter().flat_map(|(node, _): &(NodeHandle, _)| node.addresses()).collect();
        sellers.push(bombyx_node::start(selling).await.unwrap());
    }
    let mut samples = Samples { through: Vec::new(), bare: Vec::new() };
    for run in 0..RUNS {
        for (direct, rates) in [(true, &mut samples.through), (false, &mut samples.bare)] {
            // A new one each time: nobody is proven to it.
            let mut buying = config(format!("buyer{run}{direct}"));
            buying.client.direct = direct;
            buying.network.join = sellers.iter().flat_map(|(node, _)| node.addresses()).collect();
            let (client, _running) = bombyx_node::start(buying).await.unwrap();
            chain.faucet(client.ledger().wallet_address().unwrap(), Nano(100_000_000_000)).unwrap();
            client.wait_for_peers(SELLERS, Duration::from_secs(30)).await.unwrap();
            while client.models().await.unwrap().first().is_none_or(|model| model.providers < SELLERS) {
                sleep(Duration::from_millis(100)).await;
            }
            rates.push(1.0 / first_answer(&client).await.as_secs_f64());
            client.shutdown().await;
        }
    }
    for (seller, _) in sellers {
        seller.shutdown().await;
    }
    samples.row("first answer, no lease, three sellers known", "1/s")
}

/// Returns how long the first token of an answer took.
async fn first_answer(client: &NodeHandle) -> Duration {
    let order = Order {
        model: models::id_of(CHAT_MODEL).unwrap(),
        task: Task::Generate(Generate {
            messages: vec![ChatMessage { role: Role::User, content: "What is 17 plus 25?".into() }],
            max_tokens: 16,
            sampling: Sampling { temperature_milli: 0, top_p_milli: 1000, top_k: 0, seed: 0 },
            prefix: Vec::new(),
            stop: Vec::new(),
        }),
        max_cost: Nano(1_000_000_000),
        deadline: Span::from_s(60),
        tier: Tier::Open,
        nano_per_ms: None,
        price_max: None,
        weights: Weights::DEFAULT,
        input: InputCount::Estimated,
        dims: None,
        preferences: bombyx_protocol::Preferences::default(),
    };
    let began = Instant::now();
    let mut news = client.order(order).await.unwrap();
    loop {
        match news.recv().await.unwrap() {
            OrderNews::Content(_) => return began.elapsed(),
            OrderNews::Failed { why, .. } => panic!("{why}"),
            OrderNews::Bids(_)
            | OrderNews::Awarded { .. }
            | OrderNews::Done(_)
            | OrderNews::FailedOver { .. } => {}
        }
    }
}
