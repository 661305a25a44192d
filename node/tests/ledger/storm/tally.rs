//! Storms with consecutive seeds, and what came of them.

use std::collections::BTreeMap;

/// How many transactions to run, where the default will not do.
const TRANSACTIONS_VARIABLE: &str = "BOMBYX_STORM_TRANSACTIONS";

/// Runs storms until there were this many transactions, prints how often each outcome came, and sees that the generator
/// reaches every one of these answers. A storm of a seed returns its transactions and its outcomes.
pub(crate) fn tally(
    transactions: u64,
    answers: &[&str],
    mut storm: impl FnMut(u64) -> (u64, BTreeMap<String, u64>),
) {
    let wanted = std::env::var(TRANSACTIONS_VARIABLE).map_or(transactions, |text| text.parse().unwrap());
    let (mut done, mut seed) = (0, 0);
    let mut outcomes = BTreeMap::<String, u64>::new();
    while done < wanted {
        let (more, came) = storm(seed);
        done += more;
        seed += 1;
        for (name, count) in came {
            *outcomes.entry(name).or_default() += count;
        }
    }
    println!("{done} transactions in {seed} storms");
    for (name, count) in &outcomes {
        println!("{count:>9}  {name}");
    }
    for answer in answers {
        assert!(
            outcomes.keys().any(|name| name.contains(answer)),
            "no operation met {answer:?}: {outcomes:?}"
        );
    }
}
