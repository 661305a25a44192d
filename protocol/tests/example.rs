//! The example that the crate's first page names comes to its end.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../examples/pair.rs"]
mod pair;

#[test]
fn the_pair_trades_one_answer_for_one_payment() {
    let (answer, bill, paid) = pair::trade();
    assert_eq!((answer.as_str(), bill.output_tokens, bill.cost), ("42", 2, paid));
    assert!(paid > bombyx_protocol::Nano::ZERO);
}
