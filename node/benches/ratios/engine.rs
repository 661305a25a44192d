//! Orders through the network, with everything that belongs to one, against the engine itself.

use std::time::{Duration, Instant};

use bombyx_gpu::engine::{self as gpu, Engine, EngineEvent};
use bombyx_gpu::measure;
use bombyx_node::NodeHandle;
use bombyx_node::demo::{CHAT_MODEL, EMBED_MODEL};
use bombyx_node::engine::models;
use bombyx_node::ledger::devnet::{self, Devnet};
use bombyx_node::{Coins, NodeConfig};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::io::{Bill, OrderNews};
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::{ChatMessage, Generate, InputCount, Order, Role, Sampling, Task, Tier};
use bombyx_protocol::work::price::Weights;
use tokio::net::TcpListener;

use super::{Row, Samples};

const RUNS: usize = 5;
/// Texts of one embedding order.
const TEXTS: usize = 64;
/// Answers of one sample: a single one is over in a blink.
const ANSWERS: usize = 8;
const QUESTION: &str = "Count from 10 to 20.";

pub(super) async fn rows() -> Vec<Row> {
    let homes = tempfile::tempdir().unwrap();
    let chain = Devnet::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ledger = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(devnet::http::serve(chain.clone(), listener, std::future::pending()));
    let config = |name: &str| {
        let mut config = NodeConfig { home: homes.path().join(name), ..NodeConfig::default() };
        config.network.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".into()];
        config.ledger.url.clone_from(&ledger);
        config
    };
    let mut selling = config("provider");
    selling.provide.models = vec![EMBED_MODEL.into(), CHAT_MODEL.into()];
    let provide = selling.provide.clone();
    let loaded = tokio::task::spawn_blocking(move || models::load(&provide, &mut |_| {})).await;
    let mut bare = loaded.unwrap().unwrap().engine;
    let (provider, _provider) = bombyx_node::start(selling).await.unwrap();
    let mut buying = config("client");
    buying.network.join = provider.addresses();
    buying.client.deposit = Coins(Nano(5_000_000_000));
    buying.client.enough_bids = 1;
    let (client, _client) = bombyx_node::start(buying).await.unwrap();
    chain.faucet(client.ledger().wallet_address().unwrap(), Nano(100_000_000_000)).unwrap();
    client.wait_for_peers(1, Duration::from_secs(30)).await.unwrap();

    // The first order of each model opens the channel and wins the lease.
    embedded(&client).await;
    answered(&client).await;
    let mut vectors = Samples { through: Vec::new(), bare: Vec::new() };
    let mut tokens = Samples { through: Vec::new(), bare: Vec::new() };
    for _ in 0..RUNS {
        vectors.through.push(embedded(&client).await);
        vectors.bare.push(embedded_bare(bare.as_mut()));
        tokens.through.push(answered(&client).await);
        tokens.bare.push(answered_bare(bare.as_mut()));
    }
    client.shutdown().await;
    provider.shutdown().await;
    vec![vectors.row("engine, embeddings", "texts/s"), tokens.row("engine, chat", "tokens/s")]
}

fn texts() -> Vec<String> {
    (0..TEXTS)
        .map(|number| format!("The silk moth number {number} spins one thread of about a kilometre."))
        .collect()
}

async fn embedded(client: &NodeHandle) -> f64 {
    let began = Instant::now();
    finished(client, order(EMBED_MODEL, Task::Embed { inputs: texts() })).await;
    TEXTS as f64 / began.elapsed().as_secs_f64()
}

fn embedded_bare(engine: &mut dyn Engine) -> f64 {
    let model = gpu::ModelId(models::id_of(EMBED_MODEL).unwrap().0);
    measure::embeddings(engine, 1, &model, texts()).unwrap().rows_per_second()
}

async fn answered(client: &NodeHandle) -> f64 {
    let began = Instant::now();
    let mut tokens = 0;
    for _ in 0..ANSWERS {
        let task = Task::Generate(Generate {
            messages: vec![ChatMessage { role: Role::User, content: QUESTION.into() }],
            max_tokens: 64,
            sampling: Sampling { temperature_milli: 0, top_p_milli: 1000, top_k: 0, seed: 0 },
            prefix: Vec::new(),
            stop: Vec::new(),
        });
        tokens += finished(client, order(CHAT_MODEL, task)).await.output_tokens;
    }
    tokens as f64 / began.elapsed().as_secs_f64()
}

fn answered_bare(engine: &mut dyn Engine) -> f64 {
    let model = gpu::ModelId(models::id_of(CHAT_MODEL).unwrap().0);
    let began = Instant::now();
    let mut tokens = 0;
    for _ in 0..ANSWERS {
        let task = gpu::Task::Generate(gpu::Generate {
            messages: vec![gpu::ChatMessage { role: "user".into(), content: QUESTION.into() }],
            max_tokens: 64,
            sampling: gpu::Sampling::GREEDY,
            prefix: Vec::new(),
            stop: Vec::new(),
        });
        engine.submit(2, &model, task).unwrap();
        engine.allow(2, 64);
        tokens += generated(engine);
    }
    tokens as f64 / began.elapsed().as_secs_f64()
}

/// Steps the engine to the end of its only job; how many tokens it made.
fn generated(engine: &mut dyn Engine) -> usize {
    let (mut tokens, mut events) = (0, Vec::new());
    loop {
        engine.step(&mut events);
        for (_, event) in events.drain(..) {
            match event {
                EngineEvent::Tokens { ids, .. } => tokens += ids.len(),
                EngineEvent::Finished { .. } => return tokens,
                EngineEvent::Started { .. } | EngineEvent::Read { .. } | EngineEvent::Vectors { .. } => {}
                EngineEvent::Failed(error) => panic!("{error}"),
            }
        }
    }
}

fn order(model: &str, task: Task) -> Order {
    Order {
        model: models::id_of(model).unwrap(),
        task,
        max_cost: Nano(1_000_000_000),
        deadline: Span::from_s(60),
        tier: Tier::Open,
        nano_per_ms: Some(0),
        price_max: None,
        dims: None,
        weights: Weights::DEFAULT,
        input: InputCount::Estimated,
        preferences: bombyx_protocol::Preferences::default(),
    }
}

async fn finished(client: &NodeHandle, order: Order) -> Bill {
    let mut news = client.order(order).await.unwrap();
    loop {
        match news.recv().await.unwrap() {
            OrderNews::Done(bill) => return bill,
            OrderNews::Failed { why, .. } => panic!("{why}"),
            OrderNews::Bids(_)
            | OrderNews::Awarded { .. }
            | OrderNews::Content(_)
            | OrderNews::FailedOver { .. } => {}
        }
    }
}
