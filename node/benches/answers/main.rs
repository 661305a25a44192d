//! What a gateway and a provider add to an engine: `cargo bench -p bombyx-node --bench answers`, or with `-- --quick` for a tenth
//! of the load.
//!
//! Gateway and provider are processes of the program, joined over TCP on this machine; the ledger, the load and the bare engine are in
//! the process of the bench. Each request is one chat of one message on a standing lease and a channel that is open. The clients keep
//! their connections. The bare engine is the same one, loaded once more and called directly, before and after each row that is
//! compared with it.
//!
//! | row | how |
//! |---|---|
//! | idle gateway | resident memory three seconds after the node serves, before the first request |
//! | added, 1 connection | one request for one token after the other; what the median and the 99th percentile are above the bare engine's median |
//! | sustained jobs | 32 connections in a closed loop, one token each; whatever is not answered with 200 is an error |
//! | processor time | of both processes during that row, an answer; the provider's holds the engine's |
//! | the same, instant engine | of a second provider, whose model is one layer of zeros: what remains is the network's |
//! | added, open loop | requests come at half of that rate, whatever was answered; each is timed from when it was due |
//! | longest gap | of the deltas of an unpaced stream of some forty tokens: the median over streams of each one's longest |
//! | chat | whole answers of that stream, one after the other, by turns with the bare engine; the ratio of both times |
//! | LiteLLM | where `litellm` is on the path: its proxy before a server that answers at once, the same two loads |
//!
//! The load takes processor time from what it measures: on two cores the sustained rate is that of all three processes together.
#![allow(clippy::unwrap_used, missing_docs)]

mod bare;
mod instant;
mod litellm;
mod load;
#[path = "../../tests/processes/mod.rs"]
mod processes;

use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use processes::{CHAT, Ledger, Node};
use tokio::time::sleep;

use bare::BareEngine;
use load::{Load, Target};

const TCP: &[&str] = &["--listen", "/ip4/127.0.0.1/tcp/0"];
const CONNECTIONS: usize = 32;
/// Streams of one row.
const STREAMS: usize = 10;

/// The rows, in the order in which they were measured.
#[derive(Default)]
pub(crate) struct Rows(Vec<[String; 3]>);

impl Rows {
    pub(crate) fn add(&mut self, what: &str, unit: &str, value: impl Into<String>) {
        self.0.push([what.into(), unit.into(), value.into()]);
    }
}

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    bombyx_gpu::runtime::disable_telemetry();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let rows = runtime.block_on(measured(if is_quick { 1 } else { 10 }));
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["", "unit", "measured"]);
    table.add_rows(rows.0);
    println!("{table}");
}

/// A provider of a model, and a gateway that buys from it.
struct Pair {
    provider: Node,
    gateway: Node,
    target: Target,
}

impl Pair {
    async fn up(ledger: &Ledger, provided: &str, model: &str) -> Self {
        let provider =
            Node::up(ledger, &[&["--provide", provided, "--slots", "64"], TCP].concat(), &[]).await;
        let join = ["--join", provider.address(), "--gateway", "127.0.0.1:0"];
        let gateway = Node::up(ledger, &[&join, TCP].concat(), &[]).await;
        let target = Target::new(gateway.note.gateway.as_ref().unwrap(), model);
        Self { provider, gateway, target }
    }

    /// Measures jobs of one token as fast as they are answered.
    async fn sustained(&self, rows: &mut Rows, engine: &str, time: Duration) -> Load {
        let times = || [self.provider.processor_time(), self.gateway.processor_time()];
        let before = times();
        let closed = self.target.closed_loop(CONNECTIONS, time).await;
        let after = times();
        let each = |at: usize| ms((after[at] - before[at]) / closed.answered().max(1));
        rows.add(
            &format!("sustained jobs, 32 connections, {engine}"),
            "1/s",
            format!("{:.0}", closed.rate()),
        );
        rows.add("errors in that", "", format!("{} of {}", closed.errors, closed.answered() + closed.errors));
        let both = format!("{} / {}", each(0), each(1));
        rows.add("processor time an answer, provider (with engine) / gateway", "ms", both);
        closed
    }
}

async fn measured(scale: u32) -> Rows {
    let mut rows = Rows::default();
    let mut bare = tokio::task::spawn_blocking(BareEngine::load).await.unwrap();
    let ledger = Ledger::start().await;
    let pair = Pair::up(&ledger, CHAT, CHAT).await;
    sleep(Duration::from_secs(3)).await;
    rows.add("idle gateway, resident", "MB", format!("{:.1}", pair.gateway.resident_mb()));

    let target = &pair.target;
    // The channel opens, the lease is won and the deposits grow.
    target.warm_up(100 * scale).await;
    let requests = 100 * scale;
    let engine = bare.median_of(requests / 2);
    let one = target.in_turn(requests).await;
    let engine = (engine + bare.median_of(requests / 2)) / 2;
    rows.add("bare engine, one token, p50", "ms", ms(engine));
    rows.add("added, 1 connection, p50 / p99", "ms", one.added(engine));

    let seconds = Duration::from_secs(u64::from(scale));
    let closed = pair.sustained(&mut rows, "real engine", seconds).await;

    let open = target.open_loop(CONNECTIONS, closed.rate() / 2.0, seconds).await;
    rows.add("added, 32 connections at half of that, p50 / p99", "ms", open.added(engine));
    rows.add("errors in that", "", format!("{} of {}", open.errors, open.answered() + open.errors));

    let mut gaps = Vec::new();
    let mut ratios = Vec::new();
    for _ in 0..STREAMS {
        let stream = target.stream().await;
        gaps.push(stream.longest_gap);
        ratios.push(bare.answer().as_secs_f64() / stream.whole.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    rows.add("longest gap of an unpaced stream, median", "ms", ms(Load::of(gaps).percentile(50)));
    rows.add("chat, one stream, bare / through the network", "", format!("{:.2}", ratios[STREAMS / 2]));
    drop(pair);
    let folder = tempfile::tempdir().unwrap();
    instant::write(folder.path());
    let pair = Pair::up(&ledger, folder.path().to_str().unwrap(), instant::NAME).await;
    pair.target.warm_up(100 * scale).await;
    pair.sustained(&mut rows, "instant engine", seconds).await;
    litellm::measure(&mut rows, requests, seconds).await;
    rows
}

pub(crate) fn ms(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}
