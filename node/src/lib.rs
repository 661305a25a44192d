//! The Bombyx node: the production shell around the rules of `bombyx-protocol`, behind the program `bombyx` and as a library.
//!
//! [`start`] makes a node of a [`NodeConfig`] and returns a [`NodeHandle`]: orders go in, news come out.
//!
//! ```no_run
//! use bombyx_node::protocol::{ChatMessage, Content, Generate, Order, Role, Sampling, Task, Tier};
//! use bombyx_node::protocol::{InputCount, Nano, OrderNews, Preferences, Span, Weights};
//! use bombyx_node::{NodeConfig, model_id, start};
//! use std::time::Duration;
//!
//! # async fn ask(address_of_a_node: String) -> Result<(), Box<dyn std::error::Error>> {
//! // Keys, wallet and records lie in the home; keys are made at the first start.
//! let mut config = NodeConfig { home: "my-node".into(), ..NodeConfig::default() };
//! config.network.join = vec![address_of_a_node];
//! let (node, ended) = start(config).await?;
//! node.wait_for_peers(1, Duration::from_secs(30)).await?;
//!
//! let mut news = node
//!     .order(Order {
//!         model: model_id("bombyx-chat-tiny")?,
//!         task: Task::Generate(Generate {
//!             messages: vec![ChatMessage { role: Role::User, content: "What spins silk?".into() }],
//!             max_tokens: 64,
//!             sampling: Sampling { temperature_milli: 0, top_p_milli: 1_000, top_k: 0, seed: 0 },
//!             prefix: Vec::new(),
//!             stop: Vec::new(),
//!         }),
//!         max_cost: Nano::from_coins("0.05")?,
//!         deadline: Span::from_s(60),
//!         tier: Tier::Open,
//!         nano_per_ms: None,
//!         price_max: None,
//!         dims: None,
//!         weights: Weights::DEFAULT,
//!         input: InputCount::Estimated,
//!         preferences: Preferences::default(),
//!     })
//!     .await?;
//! while let Some(news) = news.recv().await {
//!     match news {
//!         OrderNews::Content(Content::Tokens { text, .. }) => print!("{text}"),
//!         OrderNews::Done(bill) => println!("\n{} coins", bill.cost),
//!         OrderNews::Failed { why, .. } => println!("\nno answer: {why}"),
//!         _ => {}
//!     }
//! }
//!
//! // Ends in order: channels on which this node earns are closed first.
//! node.shutdown().await;
//! ended.await??;
//! # Ok(())
//! # }
//! ```
//!
//! Types of the protocol are those of [`protocol`], re-exported so that both crates are of one version.
//!
//! # Rooms
//! A room uses only rooms that stand below it in this table; no two modules use each other, in a circle or directly.
//!
//! | room | what it holds |
//! |---|---|
//! | [`cli`] | the command line: one verb a file, what it prints, and when it ends |
//! | [`demo`] | a private swarm of real processes, shown and judged |
//! | [`conform`] | checks of a foreign node: which rules it breaks |
//! | `http` | the gateway in OpenAI's form, and the operator's pages |
//! | `api` | a node as its users hold it: start, handle, what belongs to a home, channels found again |
//! | `driver` | the loop that drives the role machines, its service between them and the ledger, and a watcher on its own |
//! | `error` | why a part failed, and what that means outside: exit code, HTTP status, advice |
//! | [`engine`] | the joint to the tensors, and the models that are loaded |
//! | [`store`] | records on disk |
//! | [`home`] | a node's directory: configuration, keys, the running node's note, who may read them |
//! | `status` | what a node shows of itself and of its channels: plain data |
//! | [`ledger`] | channels on a real ledger, over any endpoint; and the devnet |
//! | [`net`] | the swarm: libp2p behind plain values |
//! | [`role`] | client, provider, watcher, and a value for each |
//!
//! ```text
//!   net ──► driver ◄── engine         One task owns the role machines: all that happens passes through it in turn.
//!          ╱      ╲
//!      store      ledger service ── ledger
//! ```
//!
//! Only `driver` calls role machines. Nothing outside [`net`] names libp2p, nothing outside [`store`] names redb, and every
//! failure ends in a [`NodeError`] with an exit code and a hint.
#![forbid(unsafe_code)]

// With fake signatures anyone could take the money: such a build has no node.
const _: () =
    assert!(!bombyx_protocol::HAS_FAKE_CRYPTO, "a node must be built without the feature `fake-crypto`");

mod api;
pub mod cli;
pub mod conform;
pub mod demo;
mod driver;
pub mod engine;
mod error;
pub mod home;
mod http;
pub mod ledger;
pub mod net;
pub mod role;
mod status;
pub mod store;

pub use bombyx_protocol as protocol;

// What most users name.
pub use api::vectors::{Vectors, VectorsError};
pub use api::{NodeHandle, RunningNode, start, start_showing};
pub use engine::models::id_of as model_id;
pub use error::NodeError;
pub use error::exit::ExitKind;
pub use home::config::{Coins, ConfigError, NodeConfig};
pub use status::channels::{ChannelError, ChannelList, ChannelView};
pub use status::payee::PayeeCard;
pub use status::{ChannelPhase, ChannelStatus, Direction, SettleReport, Status};
