//! What the network costs, each as a ratio to the bare thing in the same run: `cargo bench -p bombyx-node`.
//!
//! | row | through | bare |
//! |---|---|---|
//! | engine | orders from a client to a provider: auction or lease, session, receipts, vouchers | the same engine called directly |
//! | first answer | a new client's first answer where it knows three sellers and calls them | the same by the window, as everybody is called |
//! | sealed stream | frames sealed and opened by a session, over a libp2p stream | the same bytes over the same stream |
//! | against its parts | the same | the time of the bare stream, and that of sealing and opening without one |
//!
//! Every figure is the median of a few runs that alternate between both columns.
#![allow(clippy::unwrap_used, missing_docs)]

mod engine;
mod market;
mod stream;

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;

/// One line of the table: both rates, higher is better.
struct Row {
    what: &'static str,
    unit: &'static str,
    through: f64,
    bare: f64,
}

/// Runs both sides by turns and takes the median of each.
struct Samples {
    through: Vec<f64>,
    bare: Vec<f64>,
}

impl Samples {
    fn row(self, what: &'static str, unit: &'static str) -> Row {
        Row { what, unit, through: median(self.through), bare: median(self.bare) }
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn main() {
    bombyx_gpu::runtime::disable_telemetry();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut rows = runtime.block_on(stream::rows());
    rows.extend(runtime.block_on(engine::rows()));
    rows.push(runtime.block_on(market::row()));
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["", "unit", "through", "bare", "ratio"]);
    for row in rows {
        let ratio = format!("{:.3}", row.through / row.bare);
        table.add_row([
            row.what.into(),
            row.unit.into(),
            format!("{:.1}", row.through),
            format!("{:.1}", row.bare),
            ratio,
        ]);
    }
    println!("{table}");
}
