//! Tests of the tests: contracts that are wrong in one place each, which the suites of exits, refusals, attacks and storms
//! must notice. The mutants are in `protocol/contracts/mutants.cjs`.
//!
//! Each suite runs in a process of its own, with the mutant's code under the contract's address.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bombyx_protocol::channel::purse::PURSE_CODE_BOC;
use bombyx_protocol::channel::terms::CHANNEL_CODE_BOC;
use serde::Deserialize;
use tycho_types::boc::Boc;
use tycho_types::cell::Cell;

use crate::javascript;

const CONTRACTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/contracts");
/// Names a file with a mutant's code: what this process is to run.
const MUTANT_VARIABLE: &str = "BOMBYX_MUTANT";
/// Names the contract that it stands for.
const CONTRACT_VARIABLE: &str = "BOMBYX_MUTANT_OF";
/// Which mutants to try, separated by commas, `channel/NAME` or `purse/NAME`; all of them if it is not set.
const ONLY_VARIABLE: &str = "BOMBYX_MUTANTS";
/// The mutant that is none: the suite must pass on it.
const UNCHANGED: &str = "unchanged";

#[derive(Debug, Deserialize)]
struct Mutant {
    contract: String,
    name: String,
    boc: String,
}

/// The original and the mutant that this process is to run, if it is one of those that a test here has started.
pub(crate) fn wanted() -> Option<(Cell, Cell)> {
    let file = std::env::var_os(MUTANT_VARIABLE)?;
    let original = match std::env::var(CONTRACT_VARIABLE).unwrap().as_str() {
        "channel" => CHANNEL_CODE_BOC,
        "purse" => PURSE_CODE_BOC,
        other => panic!("{CONTRACT_VARIABLE}: no contract {other}"),
    };
    Some((Boc::decode(original).unwrap(), Boc::decode(std::fs::read(file).unwrap()).unwrap()))
}

/// The suites that meet a contract, the quick ones first.
fn suites(contract: &str) -> [&'static [&'static str]; 3] {
    match contract {
        "channel" => [
            &["exits::", "refusals::", "attacks::", "--skip", "purse::"],
            &["prices::", "--skip", "purse::"],
            &["money::"],
        ],
        _ => [
            &["purse::exits::", "purse::refusals::", "purse::attacks::"],
            &["purse::prices::"],
            &["purse::storm::"],
        ],
    }
}

async fn compile(names: &[&str]) -> Vec<Mutant> {
    serde_json::from_str(&javascript::run_in(CONTRACTS, "mutants.cjs", names).await).unwrap()
}

/// The tests that failed on a mutant, in one run of some of the suite.
fn killers(mutant: &Mutant, filter: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mutant.boc");
    std::fs::write(&file, BASE64.decode(&mutant.boc).unwrap()).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(filter)
        .env(MUTANT_VARIABLE, Path::new(&file))
        .env(CONTRACT_VARIABLE, &mutant.contract)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("test result:"), "{mutant:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains(" 0 passed; 0 failed"), "no test is called {filter:?}");
    let failed = said.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    failed.map(str::to_owned).collect()
}

/// Two of the quickest, and the contracts themselves: that the machinery tells right from wrong.
#[tokio::test]
async fn a_wrong_contract_is_noticed_and_a_right_one_is_not() {
    let filters = [
        ("channel", "channel/checks no voucher", "refusals::every_bad_external_message", "purse::"),
        ("purse", "purse/checks no voucher", "purse::refusals::every_bad_external_message", "none"),
    ];
    for (contract, wrong, test, skip) in filters {
        let unchanged = format!("{contract}/{UNCHANGED}");
        for mutant in compile(&[wrong, &unchanged]).await {
            let failed = killers(&mutant, &[test, "--skip", skip]);
            assert_eq!(failed.is_empty(), mutant.name == UNCHANGED, "{contract} {}: {failed:?}", mutant.name);
        }
    }
}

/// All of them, half an hour: `cargo test -p bombyx-node --test ledger every_mutant -- --ignored --nocapture` prints the
/// table of `protocol/contracts/mutants.md`.
#[tokio::test]
#[ignore = "runs the suites eighty times"]
async fn every_mutant_is_killed() {
    let mut survivors = Vec::new();
    let mut rows = BTreeMap::<String, Vec<String>>::new();
    let only = std::env::var(ONLY_VARIABLE).unwrap_or_default();
    let only: Vec<&str> = only.split(',').filter(|name| !name.is_empty()).collect();
    for mutant in compile(&only).await {
        let mut failed = Vec::new();
        for suite in suites(&mutant.contract) {
            if failed.is_empty() {
                failed = killers(&mutant, suite);
            }
        }
        let more = failed.len().saturating_sub(1);
        let killer = match failed.first() {
            Some(first) if more > 0 => format!("`{first}` and {more} more"),
            Some(first) => format!("`{first}`"),
            None => "none".to_owned(),
        };
        let row = format!("| {} | {killer} |", mutant.name);
        println!("{}: {row}", mutant.contract);
        if failed.is_empty() != (mutant.name == UNCHANGED) {
            survivors.push(format!("{}: {}", mutant.contract, mutant.name));
        }
        rows.entry(mutant.contract).or_default().push(row);
    }
    for (contract, rows) in rows {
        println!("\n| {contract} that … | is noticed by |\n|---|---|\n{}", rows.join("\n"));
    }
    assert!(survivors.is_empty(), "the suites say nothing about: {survivors:#?}");
}
