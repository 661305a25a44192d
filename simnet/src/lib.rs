//! The network in a box: the production role machines of `bombyx-protocol` on virtual time.
//!
//! The second shell. It drives the same `Client` and `Provider` that the node drives, over models of links, gossip,
//! disks, engines and a ledger; equal seeds give equal runs, to the bit. It reads no clock and
//! iterates over nothing unordered, and any number of threads comes to the same; a broken invariant stops the run.
//!
//! ```
//! use bombyx_simnet::{report::{Report, table}, scenario::Scenario, world::World};
//!
//! let scenario = Scenario::parse("tiny.toml", "nodes = 12\n[workload]\njobs = 2\n")?;
//! let mut world = World::new(&scenario);
//! world.run(|_progress| ())?;
//! println!("{}", table(&Report::of(&world, 0.0)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what it models |
//! |---|---|
//! | [`queue`], [`rng`], [`law`] | virtual time and randomness |
//! | [`net`], [`overlay`], [`flood`], [`kademlia`] | links between regions, gossip topics and what goes through them, the hash table |
//! | [`directory`] | who is who |
//! | [`host`], [`disk`], [`engine`] | one node |
//! | [`power`] | when hosts are off |
//! | [`actors`] | nodes that do not follow the protocol |
//! | [`chain`] | the ledger |
//! | [`scenario`], [`population`], [`workload`], [`requests`] | what is simulated |
//! | [`world`] | all of it together: a setting that all read, shards of hosts, a hub, and windows of time |
//! | [`outside`] | another tier carries the messages |
//! | [`check`], [`pledge`], [`measure`], [`job`], [`blame`], [`report`] | what must hold and what came of it |
//! | [`optimum`], [`welfare`] | what a market could be worth, and is |
//! | [`metrics`], [`stats`], [`sweep`] | many runs against each other |
//! | [`swarm`] | random worlds in search of a broken invariant |
//! | [`store`], [`tables`], [`timeline`], [`plot`], [`page`] | runs on disk and in a browser |
#![forbid(unsafe_code)]

pub mod actors;
pub mod blame;
pub mod chain;
pub mod check;
mod deliver;
pub mod directory;
pub mod disk;
pub mod engine;
mod event;
pub mod flood;
mod gossip;
pub mod host;
mod hub;
pub mod job;
pub mod kademlia;
pub mod law;
pub mod measure;
pub mod metrics;
pub mod net;
pub mod optimum;
pub mod outside;
pub mod overlay;
pub mod page;
pub mod pledge;
pub mod plot;
pub mod population;
pub mod power;
mod probe;
pub mod queue;
pub mod report;
pub mod requests;
pub mod rng;
pub mod scenario;
mod seats;
mod setting;
mod shard;
pub mod stats;
pub mod store;
pub mod swarm;
pub mod sweep;
pub mod tables;
pub mod timeline;
mod trace;
pub mod uplink;
mod way;
pub mod welfare;
mod windows;
pub mod workload;
pub mod world;
