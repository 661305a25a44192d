//! The commands around a run: sweeps in shards, merging, replaying, comparing, the page.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

const PLAN: &str = "title = \"leases\"\nquestion = \"Do leases <help>?\"\nnodes = 20\n[population]\nmodels = 2\n\
    [workload]\njobs = 6\n[sweep]\nseeds = 2\n[[sweep.arm]]\nname = \"leases\"\n\
    [[sweep.arm]]\nname = \"an auction each\"\nset = { \"market.leases\" = false }\n";

fn simnet(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simnet"))
        .args(arguments)
        .current_dir(dir)
        .env_remove("SLURM_ARRAY_TASK_ID")
        .env("JOB_COMPLETION_INDEX", "1")
        .output()
        .unwrap()
}

fn good(dir: &Path, arguments: &[&str]) -> String {
    let out = simnet(dir, arguments);
    assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// The digest of every run under a directory, by its id.
fn digests(out: &Path) -> BTreeMap<String, String> {
    let runs = std::fs::read_dir(out.join("runs")).unwrap().map(|run| run.unwrap());
    let digest = |run: &std::fs::DirEntry| {
        let manifest = std::fs::read_to_string(run.path().join("manifest.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&manifest).unwrap()["digest"].as_str().unwrap().to_owned()
    };
    runs.map(|run| (run.file_name().into_string().unwrap(), digest(&run))).collect()
}

#[test]
fn shards_put_together_are_the_whole_sweep_and_every_run_can_be_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("plan.toml"), PLAN).unwrap();
    good(dir, &["sweep", "plan.toml", "--out", "whole"]);
    good(dir, &["sweep", "plan.toml", "--out", "parts", "--shard", "0/2"]);
    let early = simnet(dir, &["merge", "parts"]);
    assert_eq!(early.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&early.stderr).contains("2 of 4 runs are missing"));
    // The second shard takes its number from the batch system.
    good(dir, &["sweep", "plan.toml", "--out", "parts", "--shard", "2"]);
    good(dir, &["merge", "parts"]);
    let merged = |of: &str| std::fs::read_to_string(dir.join(of).join("merged.json")).unwrap();
    assert_eq!(merged("whole"), merged("parts"));
    good(dir, &["sweep", "plan.toml", "--out", "threads", "--threads", "3"]);
    assert_eq!(merged("whole"), merged("threads"));
    assert_eq!(digests(&dir.join("whole")), digests(&dir.join("threads")), "whatever the number of threads");

    let listed = good(dir, &["list", "--out", "whole"]);
    let run_id = listed.lines().rev().find(|line| line.contains("leases")).unwrap();
    let run_id = run_id.split_whitespace().next().unwrap();
    assert!(good(dir, &["replay", run_id, "--out", "whole"]).contains("as before"));
    assert_eq!(simnet(dir, &["replay", "0123", "--out", "whole"]).status.code(), Some(2));
    for file in ["manifest.json", "summary.json", "jobs.parquet", "nodes.parquet", "series.parquet"] {
        assert!(dir.join("whole/runs").join(run_id).join(file).is_file(), "{file}");
    }

    let same = format!("whole/runs/{run_id}");
    assert!(good(dir, &["compare", &same, &same]).contains("the same to the bit"));
    assert!(good(dir, &["compare", "whole", "parts"]).contains("orders answered"));

    good(dir, &["report", "whole"]);
    let page = std::fs::read_to_string(dir.join("whole/report.html")).unwrap();
    assert!(page.contains("Do leases &lt;help&gt;?") && page.contains("an auction each"), "{page}");
    assert!(page.contains("Zero in every run: "), "what never happened takes one line");
    for outside in ["http://", "https://", "<script", "src="] {
        assert!(!page.contains(outside), "the page needs {outside}");
    }
}

#[test]
fn a_scenario_that_ships_runs_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let shown = good(dir.path(), &["run", "first", "--nodes", "30", "--jobs", "3"]);
    assert!(shown.contains("30 nodes, 3 orders"), "{shown}");
}

#[test]
fn sampled_orders_become_a_trace_whose_parts_lie_inside_their_order() {
    let dir = tempfile::tempdir().unwrap();
    good(
        dir.path(),
        &["run", "first", "--nodes", "40", "--jobs", "9", "--trace", "t.json", "--trace-every", "4"],
    );
    let text = std::fs::read_to_string(dir.path().join("t.json")).unwrap();
    let trace: serde_json::Value = serde_json::from_str(&text).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let spans: Vec<_> = events.iter().filter(|event| event["ph"] == "X").collect();
    for number in [0, 4, 8] {
        let of = |name: &str| {
            let found = spans.iter().find(|span| span["tid"] == number && span["name"] == name).unwrap();
            (found["ts"].as_u64().unwrap(), found["ts"].as_u64().unwrap() + found["dur"].as_u64().unwrap())
        };
        let (whole, award, answer) = (of(&format!("order {number}")), of("award"), of("answer"));
        assert!(whole.0 <= award.0 && award.1 <= answer.0 && answer.1 <= whole.1, "{number}");
    }
    let begun = events.iter().filter(|event| event["ph"] == "b").count();
    assert_eq!((begun, events.iter().filter(|event| event["ph"] == "e").count()), (3, 3));
    assert!(!events.iter().any(|event| event["tid"] == 1), "only every fourth order is in it");
}

/// No order ends half a second after it came, where a call waits for bids for nearly as long.
#[test]
fn a_world_that_breaks_an_invariant_is_made_small_and_the_small_one_still_breaks_it() {
    let dir = tempfile::tempdir().unwrap();
    let world =
        "nodes = 20\n[population]\nmodels = 2\n[workload]\njobs = 12\ndeadline_s = 5.0\ngrace_s = -4.5\n";
    std::fs::write(dir.path().join("slow.toml"), world).unwrap();
    let said = |out: &Output| String::from_utf8_lossy(&out.stderr).into_owned();
    let shrunk = simnet(dir.path(), &["shrink", "slow.toml"]);
    assert_eq!(shrunk.status.code(), Some(3), "{}", said(&shrunk));
    let said_by_shrink = said(&shrunk);
    let file = said_by_shrink.split("simnet run ").nth(1).unwrap().trim();
    let again = simnet(dir.path(), &["run", file]);
    assert_eq!(again.status.code(), Some(3));
    assert!(said(&again).contains("every order ends by its deadline"), "{}", said(&again));
    let small = std::fs::read_to_string(dir.path().join(file)).unwrap();
    let nodes = small.lines().find_map(|line| line.strip_prefix("nodes = ")).unwrap();
    assert!(nodes.parse::<u32>().unwrap() < 20, "{small}");
    let calm = simnet(dir.path(), &["shrink", "first", "--nodes", "20", "--jobs", "2"]);
    assert_eq!(calm.status.code(), Some(2), "nothing to shrink: {}", said(&calm));
}

#[test]
fn a_reader_that_is_gone_is_no_mistake() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let list = Command::new(env!("CARGO_BIN_EXE_simnet")).arg("list").stdout(writer).output().unwrap();
    assert!(list.status.success() && list.stderr.is_empty(), "{}", String::from_utf8_lossy(&list.stderr));
}

/// A sweep runs each attack beside its honest twin, and says what the attack adds in the table, in the files and on the page. (`SI-10`)
#[test]
fn an_attack_is_told_against_its_honest_twin() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let attack = "[[attack]]\nkind = \"cartel\"\nshare = 0.0\n[[sweep.axis]]\nkey = \"attack.0.share\"\nvalues = [0.0, 1.0]\n\
        [[sweep.mark]]\nkey = \"buyer_price_over_twin\"\nat_most = 1.05\n[[sweep.mark]]\nkey = \"success\"\nat_least = 50.0\n";
    let plan = PLAN.split("[[sweep.arm]]").next().unwrap();
    std::fs::write(dir.join("plan.toml"), format!("{plan}{attack}")).unwrap();
    let said = good(dir, &["sweep", "plan.toml", "--out", "out"]);
    assert!(said.contains("against the honest twin") && said.contains("gain over honesty"), "{said}");
    let marks: Vec<&str> =
        said.lines().filter(|line| line.contains("at most") || line.contains("at least")).collect();
    assert!(
        marks[0].starts_with("share 1.0: honest buyers' price over the twin's")
            && marks[0].ends_with("NOT KEPT"),
        "{marks:?}"
    );
    assert!(marks[1..].iter().all(|mark| mark.ends_with(": kept")) && marks.len() == 3, "{marks:?}");
    assert_eq!(
        digests(&dir.join("out")).len(),
        6,
        "two seeds of two arms, and a twin of the arm with attackers"
    );
    assert!(dir.join("out/effects.parquet").is_file());
    let merged = std::fs::read_to_string(dir.join("out/merged.json")).unwrap();
    let merged: serde_json::Value = serde_json::from_str(&merged).unwrap();
    let effect = |arm: usize, key: &str| merged["arms"][arm]["effects"][key]["mean"].as_f64();
    assert_eq!(effect(0, "gain"), None, "nobody attacks");
    assert!(
        effect(1, "gain").unwrap() > 0.0 && effect(1, "buyer_price_over_twin").unwrap() > 1.2,
        "{merged}"
    );
    good(dir, &["report", "out"]);
    let page = std::fs::read_to_string(dir.join("out/report.html")).unwrap();
    assert!(page.contains("Against the honest twin") && page.contains("NOT KEPT"));
    let one = good(dir, &["run", "plan.toml"]);
    assert!(!one.contains("against the honest twin"), "{one}");
    let changed = format!("{plan}[[attack]]\nkind = \"cartel\"\nshare = 1.0\n");
    std::fs::write(dir.join("one.toml"), changed).unwrap();
    let one = good(dir, &["run", "one.toml"]);
    assert!(
        one.contains("against the honest twin") && one.contains("honest buyers' price over the twin's"),
        "{one}"
    );
}
