//! The network in a box: the production role machines of `bombyx-protocol` on virtual time.
//!
//! The second shell. It drives the same `Client` and `Provider` that the node drives, over models of links, gossip,
//! disks, engines and a ledger; equal seeds give equal runs, to the bit. It reads no clock and
//! iterates over nothing unordered, and gives the same results on any number of threads; a broken invariant stops the run.
//!
//! ```
//! use bombyx_simnet::{results::{Report, table}, scenario::Scenario, world::World};
//!
//! let scenario = Scenario::parse("tiny.toml", "nodes = 12\n[workload]\njobs = 2\n")?;
//! let mut world = World::new(&scenario);
//! world.run(|_progress| ())?;
//! println!("{}", table(&Report::of(&world, 0.0)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A room uses only rooms that stand below it in this table; no two modules use each other, in a circle or directly.
//!
//! | room | what it holds |
//! |---|---|
//! | [`results`] | results of runs: reports, figures, sweeps over many runs, files, a page for the browser |
//! | [`world`] | everything together: constants, shards of hosts, a coordinator, windows of time; random worlds that search for a broken invariant |
//! | [`measures`] | what is counted while a world runs, and what a market could be worth |
//! | [`workload`] | the hosts of a world, and the orders that they place |
//! | [`host`] | one node: its machine, disk and engine, and when it is off |
//! | [`actors`] | nodes that do not follow the protocol |
//! | [`check`] | invariants, and which host is to blame |
//! | [`ledger`] | the ledger |
//! | [`network`] | links between regions, gossip topics and what goes through them, the hash table, uplinks |
//! | [`scenario`] | what is simulated: plain data, read from TOML and checked |
//! | [`kernel`] | virtual time, the order of events, randomness |
#![forbid(unsafe_code)]

pub mod actors;
pub mod check;
pub mod host;
pub mod kernel;
pub mod ledger;
pub mod measures;
pub mod network;
pub mod results;
pub mod scenario;
pub mod workload;
pub mod world;
