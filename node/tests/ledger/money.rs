//! Money under random operations: nothing is created, destroyed or misdirected, and the contract does what the rules say.

use crate::storm::Storm;
use crate::storm::tally::tally;

/// Operations between a genesis and the end of all its channels.
const STEPS: u64 = 100;
/// Transactions, where no other number is wanted.
const TRANSACTIONS: u64 = 6_000;

/// Runs storms with consecutive seeds, and prints what happened.
#[test]
fn random_operations_conserve_every_coin_and_obey_the_rules() {
    // Every answer that the contract has.
    let answers = [
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
    ];
    tally(TRANSACTIONS, &answers, |seed| {
        let mut storm = Storm::after(seed, STEPS);
        (storm.end(), storm.stage.outcomes)
    });
}
