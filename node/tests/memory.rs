//! What stays of a prompt in memory once its job is over: nothing. Provider, client and ledger run in this process, on the
//! heap of the program.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

#[path = "../src/wiping.rs"]
mod wiping;

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use bombyx_node::NodeConfig;
use bombyx_node::engine::models;
use bombyx_node::ledger::devnet::{self, Devnet};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::io::OrderNews;
use bombyx_protocol::limits::LINGER;
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::{ChatMessage, Generate, Order, Role, Sampling, Task, Tier};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

#[global_allocator]
static HEAP: wiping::WipingAllocator = wiping::WipingAllocator;

const CHAT: &str = "bombyx-chat-tiny";
const EMBED: &str = "all-minilm-l6-v2";
const PATIENCE: Duration = Duration::from_secs(600);
/// Masks the canary in this program, so that only what is made of it at run time is found.
const MASK: u8 = 0x5a;

/// Words that stand in a prompt and nowhere else, masked: one with spaces for a chat, one for an embedding.
const CANARIES: [[u8; 30]; 2] =
    [masked(*b"~zebra quince orchard velvet 7"), masked(*b"~heron walnut ferment copper 8")];

const fn masked(mut text: [u8; 30]) -> [u8; 30] {
    let mut at = 0;
    while at < text.len() {
        text[at] ^= MASK;
        at += 1;
    }
    text
}

fn canary(index: usize) -> String {
    CANARIES[index].iter().map(|byte| char::from(byte ^ MASK)).collect()
}

/// How often each canary stands in the memory of this process.
fn copies() -> [usize; 2] {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut memory = File::open("/proc/self/mem").unwrap();
    let mut window = vec![0u8; 1 << 20];
    let own = window.as_ptr() as u64..window.as_ptr() as u64 + window.len() as u64;
    let mut found = [0; 2];
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line.split_whitespace().next().unwrap().split_once('-').unwrap();
        let [mut at, to] = [from, to].map(|digits| u64::from_str_radix(digits, 16).unwrap());
        while at < to {
            if own.contains(&at) {
                at = own.end;
                continue;
            }
            // The window itself holds what was read before: it is passed over.
            let end = if at < own.start { to.min(own.start) } else { to };
            let length = usize::try_from((end - at).min(window.len() as u64)).unwrap();
            memory.seek(SeekFrom::Start(at)).unwrap();
            if memory.read_exact(&mut window[..length]).is_ok() {
                for (found, canary) in found.iter_mut().zip(&CANARIES) {
                    let is_here = |at: &usize| {
                        let bytes = window[..length].get(*at..*at + canary.len());
                        bytes.is_some_and(|bytes| {
                            bytes.iter().zip(canary).all(|(byte, masked)| *byte ^ MASK == *masked)
                        })
                    };
                    *found +=
                        memchr::memchr_iter(canary[0] ^ MASK, &window[..length]).filter(is_here).count();
                }
            }
            // Read over again as far as a canary is long, so that none is missed between two windows.
            let step = if length > CANARIES[0].len() && at + length as u64 != end {
                length - CANARIES[0].len()
            } else {
                length
            };
            at += step as u64;
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_prompt_is_left_in_memory_after_its_job() {
    let kept: Vec<String> = (0..2).map(canary).collect();
    assert!(copies().iter().all(|copies| *copies >= 1), "a prompt that is there is found");
    drop(kept);
    assert_eq!(copies(), [0, 0], "what was dropped is wiped");

    let devnet = Devnet::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(devnet::http::serve(devnet.clone(), listener, std::future::pending()));
    let homes = tempfile::tempdir().unwrap();
    let config = |name: &str| {
        let mut config = NodeConfig { home: homes.path().join(name), ..NodeConfig::default() };
        config.ledger.url.clone_from(&url);
        config.ledger.poll_ms = 100;
        config.network.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".into()];
        config
    };
    let mut selling = config("provider");
    selling.provide.models = vec![CHAT.into(), EMBED.into()];
    let (provider, _provider_ends) = timeout(PATIENCE, bombyx_node::start(selling)).await.unwrap().unwrap();
    let mut buying = config("client");
    buying.network.join = provider.addresses();
    let (client, client_ends) = bombyx_node::start(buying).await.unwrap();
    client.wait_for_peers(1, Duration::from_secs(60)).await.unwrap();
    let wallet = client.ledger().wallet_address().unwrap();
    devnet.faucet(wallet, Nano(5_000_000_000)).unwrap();

    for (index, model) in [CHAT, EMBED].into_iter().enumerate() {
        let task = if model == CHAT {
            Task::Generate(Generate {
                messages: vec![ChatMessage {
                    role: Role::User,
                    content: format!("Reverse {}", canary(index)),
                }],
                max_tokens: 40,
                sampling: Sampling { temperature_milli: 0, top_p_milli: 1000, top_k: 0, seed: 0 },
                prefix: vec![],
                stop: vec![canary(index)],
            })
        } else {
            Task::Embed { inputs: vec![canary(index), format!("and {}", canary(index))] }
        };
        let order = Order {
            model: models::id_of(model).unwrap(),
            task,
            max_cost: Nano(50_000_000),
            deadline: Span::from_s(60),
            tier: Tier::Open,
            nano_per_ms: Some(0),
            price_max: None,
            dims: None,
            weights: bombyx_protocol::Weights::DEFAULT,
            input: bombyx_protocol::InputCount::Estimated,
            preferences: bombyx_protocol::Preferences::default(),
        };
        let mut news = client.order(order).await.unwrap();
        loop {
            match news.recv().await.unwrap() {
                OrderNews::Done(bill) => break assert!(bill.input_tokens > 0),
                OrderNews::Failed { why, .. } => panic!("{why}"),
                _ => {}
            }
        }
    }
    // The client keeps a job for a while to acknowledge what was lost.
    sleep(Duration::from_micros(LINGER.0) + Duration::from_secs(4)).await;
    assert_eq!(copies(), [0, 0], "with both nodes alive");
    client.shutdown().await;
    client_ends.await.unwrap().unwrap();
    assert_eq!(copies(), [0, 0]);
    provider.shutdown().await;
}
