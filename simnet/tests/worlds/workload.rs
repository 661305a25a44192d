//! When orders come, and how long they are.

use bombyx_simnet::scenario::Scenario;
use bombyx_simnet::world::World;

use super::BASE;

/// When orders came, in microseconds since the first, and the lengths of prompts and answers.
fn orders(text: &str) -> Vec<(u64, u64, u64)> {
    let mut scenario = Scenario::parse("test.toml", text).unwrap();
    bombyx_simnet::workload::requests::load(&mut scenario).unwrap();
    let mut world = World::new(&scenario);
    world.run(|_| ()).unwrap();
    let first = world.jobs()[0].at;
    let row = |job: &bombyx_simnet::measures::JobRow| (job.at.since(first).0, job.tokens().0, job.tokens().1);
    world.jobs().iter().map(row).collect()
}

#[test]
fn a_trace_is_replayed_with_its_times_and_lengths() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("requests.csv");
    std::fs::write(
        &file,
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.5,40,7\n2023-11-16 18:17:05.5,80,900\n",
    )
    .unwrap();
    let trace = format!("arrivals = \"trace\"\n[workload.trace]\nspeed = 2.0\nfile = {:?}\n", file);
    // A prompt in tokens is billed with eight more for its template; an answer is cut at the order's limit.
    let made = orders(&BASE.replace("rate_per_s = 4.0\n", &trace));
    assert_eq!(made, [(0, 48, 7), (1_000_000, 88, 400)]);
}

#[test]
fn bursts_and_a_day_move_orders_together_and_keep_their_number() {
    let gaps = |changes: &str| {
        let at: Vec<u64> =
            orders(&BASE.replace("rate_per_s = 4.0\n", changes)).iter().map(|of| of.0).collect();
        at.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect::<Vec<f64>>()
    };
    let spread = |gaps: &[f64]| {
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt() / mean
    };
    let even = gaps("rate_per_s = 4.0\narrivals = \"gamma\"\nburst_cv = 0.1\n");
    let bursts = gaps("rate_per_s = 4.0\narrivals = \"gamma\"\nburst_cv = 4.0\n");
    assert_eq!((even.len(), bursts.len()), (29, 29));
    assert!(spread(&even) < 0.2 && spread(&bursts) > 1.5, "{} {}", spread(&even), spread(&bursts));
    let day = gaps(
        "rate_per_s = 4.0\narrivals = \"gamma\"\nburst_cv = 0.1\ndaily_swing = 0.9\nday_s = 8.0\npeak_s = 2.0\n",
    );
    assert!(spread(&day) > 0.4, "the same orders crowd at the peak: {}", spread(&day));
}
