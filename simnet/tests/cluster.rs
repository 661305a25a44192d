//! The templates for many machines: the Slurm script as it stands, and the command of the Kubernetes Job.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PLAN: &str = "title = \"leases\"\nnodes = 20\n[population]\nmodels = 2\n[workload]\njobs = 6\n[sweep]\nseeds = 2\n\
    [[sweep.axis]]\nkey = \"market.leases\"\nvalues = [true, false]\n";

fn template(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster").join(name)
}

fn good(command: &mut Command) -> Output {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    out
}

/// The batch system is played by its variables; the script, the shards and the merge are what a cluster would run.
#[test]
fn an_array_of_tasks_makes_the_whole_sweep() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("plan.toml"), PLAN).unwrap();
    let task = |task: &str| {
        let mut command = Command::new("bash");
        command
            .arg(template("slurm.sh"))
            .args(["plan.toml", "results"])
            .current_dir(dir.path())
            .env("SIMNET", env!("CARGO_BIN_EXE_simnet"))
            .env("SLURM_ARRAY_TASK_COUNT", "3")
            .env("SLURM_ARRAY_TASK_MIN", "5")
            .env("SLURM_ARRAY_TASK_ID", task);
        command
    };
    for number in ["5", "6", "7"] {
        good(&mut task(number));
    }
    good(task("5").env("MERGE", "1"));
    assert!(dir.path().join("results/report.html").is_file());
}

#[test]
fn the_job_names_its_number_of_pods_three_times_and_runs_a_scenario_that_ships() {
    let job = std::fs::read_to_string(template("kubernetes.yaml")).unwrap();
    let field =
        |name: &str| job.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap().trim().to_owned();
    let pods = field("completions:");
    assert_eq!(field("parallelism:"), pods);
    let command: Vec<String> = serde_json::from_str(&field("command:")).unwrap();
    assert_eq!(command[command.len() - 2..], ["--shard".to_owned(), pods.clone()]);
    // One pod of many, with a sweep that has fewer runs than pods: a share may be empty and is no error.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("plan.toml"), PLAN).unwrap();
    good(
        Command::new(env!("CARGO_BIN_EXE_simnet"))
            .args(["sweep", "plan.toml", "--out", "results", "--shard", &pods])
            .current_dir(dir.path())
            .env_remove("SLURM_ARRAY_TASK_ID")
            .env("JOB_COMPLETION_INDEX", "31"),
    );
    assert!(command[0] == "simnet" && command[2] == "mechanisms");
}
