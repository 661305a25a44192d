//! Money under random operations: nothing is created, destroyed or misdirected, and the contract does what the rules say.

use crate::storm::Storm;

/// Operations between a genesis and the end of all its channels.
const STEPS: u64 = 100;
/// How many transactions to run, where the default will not do.
const TRANSACTIONS_VARIABLE: &str = "BOMBYX_STORM_TRANSACTIONS";
const TRANSACTIONS: u64 = 6_000;

/// Runs storms with consecutive seeds, and prints what happened.
#[test]
fn random_operations_conserve_every_coin_and_obey_the_rules() {
    let wanted = std::env::var(TRANSACTIONS_VARIABLE).map_or(TRANSACTIONS, |text| text.parse().unwrap());
    let (mut done, mut seed) = (0, 0);
    let mut outcomes = std::collections::BTreeMap::<String, u64>::new();
    while done < wanted {
        let mut storm = Storm::new(seed);
        for _ in 0..STEPS {
            storm.step();
        }
        done += storm.end();
        seed += 1;
        for (name, count) in storm.outcomes {
            *outcomes.entry(name).or_default() += count;
        }
    }
    println!("{done} transactions in {seed} storms");
    for (name, count) in &outcomes {
        println!("{count:>9}  {name}");
    }
    // The generator reaches every answer that the contract has.
    for answer in [
        "closed",
        "done",
        "exit code 65535",
        "not funded",
        "is closing",
        "too few coins",
        "may not do this",
        "does not fit",
        "already settled",
        "exceeds the deposit",
        "not over",
        "too small",
    ] {
        assert!(outcomes.keys().any(|name| name.contains(answer)), "no operation met {answer:?}");
    }
}
