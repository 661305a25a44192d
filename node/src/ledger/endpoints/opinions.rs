//! What follows from several answers to one question.

use tycho_types::cell::HashBytes;

use crate::ledger::chain::{Account, ChainError, Transaction};

/// What each endpoint said.
#[derive(Debug, Clone)]
pub(super) struct Said<T> {
    pub(super) by: usize,
    pub(super) what: T,
}

/// What it takes to be believed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quorum {
    /// How many endpoints there are.
    pub(super) members: usize,
    /// Nobody else will answer.
    pub(super) last: bool,
}

impl Quorum {
    /// Returns more than half of the endpoints that there are.
    pub(super) const fn majority(members: usize) -> usize {
        members / 2 + 1
    }

    /// Returns whether so many equal answers of so many are an agreement: more than half of all
    /// endpoints, or, when some stay silent, more than half of those that answered. One voice is
    /// none, unless there is only one. (`LE-1`)
    pub(super) const fn holds(self, equal: usize, answers: usize) -> bool {
        equal >= Self::majority(self.members) || (self.last && equal >= 2 && 2 * equal > answers)
    }
}

/// Returns the largest group of answers that are equal in `essence`, if it is an agreement.
pub(super) fn agreement<T, E: PartialEq>(
    said: &[Said<T>],
    quorum: Quorum,
    essence: impl Fn(&T) -> E,
) -> Option<Vec<&Said<T>>> {
    let like = |one: &Said<T>| -> Vec<&Said<T>> {
        said.iter().filter(|other| essence(&other.what) == essence(&one.what)).collect()
    };
    let largest = said.iter().map(like).max_by_key(Vec::len)?;
    quorum.holds(largest.len(), said.len()).then_some(largest)
}

/// Returns what endpoints must agree on in an account: everything but the time of their newest
/// blocks.
pub(super) fn essence(account: &Account) -> (u64, u64, Option<(HashBytes, HashBytes)>) {
    let contract = account.contract.as_ref();
    let hashes = contract.map(|contract| (*contract.code.repr_hash(), *contract.data.repr_hash()));
    (account.last_lt, account.balance.0, hashes)
}

/// Returns the account that they agree on as of the newest block, and the endpoints that say otherwise.
pub(super) fn account(said: &[Said<Account>], quorum: Quorum) -> Option<(Account, Vec<usize>)> {
    let agreed = agreement(said, quorum, essence)?;
    let newest = agreed.iter().max_by_key(|said| said.what.chain_time_s)?;
    let outvoted = said.iter().filter(|other| !agreed.iter().any(|agreed| agreed.by == other.by));
    Some((newest.what.clone(), outvoted.map(|said| said.by).collect()))
}

/// Returns whether they may only differ because one hears of blocks later than another.
pub(super) fn may_lag(said: &[Said<Account>]) -> bool {
    said.iter().any(|old| {
        said.iter()
            .any(|new| old.what.last_lt < new.what.last_lt && old.what.chain_time_s < new.what.chain_time_s)
    })
}

/// Returns the transactions that they agree on. Lists that differ are waited out until nobody else
/// will answer.
pub(super) fn transactions(said: &[Said<Vec<Transaction>>], quorum: Quorum) -> Option<Vec<Transaction>> {
    if let Some(equal) = agreement(said, quorum, Clone::clone) {
        return equal.first().map(|said| said.what.clone());
    }
    if !quorum.last || said.len() < 2 {
        return None;
    }
    let shown = |one: &Transaction| said.iter().filter(|said| said.what.contains(one)).count();
    let mut list: Vec<Transaction> = Vec::new();
    for transaction in said.iter().flat_map(|said| &said.what) {
        if quorum.holds(shown(transaction), said.len()) && !list.contains(transaction) {
            list.push(transaction.clone());
        }
    }
    list.sort_by_key(|transaction| std::cmp::Reverse(transaction.lt));
    Some(list)
}

/// Returns what became of a message. One endpoint that took it may pass it on, so its word is
/// enough to go and look; that a contract refused it is believed when they agree on the exit code.
/// (`LE-5`)
pub(super) fn handed_over(
    said: &[Said<Result<(), ChainError>>],
    quorum: Quorum,
) -> Option<Result<(), ChainError>> {
    // One that is slow may be the honest one of two.
    if !quorum.last && said.len() < Quorum::majority(quorum.members) {
        return None;
    }
    if said.iter().any(|said| said.what.is_ok()) {
        return Some(Ok(()));
    }
    let code = |what: &Result<(), ChainError>| what.as_ref().err().and_then(ChainError::exit_code);
    let refused = agreement(said, quorum, code)?;
    refused.first().map(|said| said.what.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bombyx_protocol::amount::Nano;

    use super::*;

    const NOW_S: u32 = 1_790_000_000;

    fn said(by: usize, coins: u64, last_lt: u64, chain_time_s: u32) -> Said<Account> {
        Said { by, what: Account { balance: Nano(coins), contract: None, last_lt, chain_time_s } }
    }

    fn verdict(members: usize, last: bool, said: &[Said<Account>]) -> Option<(u64, Vec<usize>)> {
        account(said, Quorum { members, last }).map(|(account, outvoted)| (account.balance.0, outvoted))
    }

    /// (`LE-1`)
    #[test]
    fn one_voice_is_no_agreement_unless_there_is_only_one() {
        let one = [said(0, 5, 1, NOW_S)];
        assert_eq!(verdict(1, true, &one), Some((5, vec![])));
        for members in 2..=8 {
            for last in [false, true] {
                assert_eq!(verdict(members, last, &one), None);
            }
        }
    }

    /// (`LE-1`)
    #[test]
    fn no_time_makes_an_opinion_out_of_two() {
        for (first_s, second_s) in [(0, 0), (0, 59), (61, 0), (3_600, 0), (0, 86_400)] {
            let two = [said(0, 5, 1, NOW_S - first_s), said(1, 6, 2, NOW_S - second_s)];
            assert_eq!(verdict(2, true, &two), None);
            let three = [two[0].clone(), two[1].clone(), said(2, 6, 2, NOW_S - 5)];
            assert_eq!(verdict(3, true, &three), Some((6, vec![0])));
        }
    }

    #[test]
    fn half_is_not_enough_and_a_majority_of_those_that_answer_is_once_nobody_else_will() {
        let four = [said(0, 9, 9, NOW_S), said(1, 9, 9, NOW_S), said(2, 5, 1, NOW_S), said(3, 5, 1, NOW_S)];
        assert_eq!(verdict(4, true, &four), None);
        assert_eq!(verdict(4, false, &four[..2]), None, "the others are asked first");
        assert_eq!(verdict(4, true, &four[2..]), Some((5, vec![])), "the others are dead");
        assert_eq!(verdict(4, true, &four[1..]), Some((5, vec![1])));
        assert_eq!(verdict(5, false, &four[..2]), None);
    }

    #[test]
    fn the_newest_time_of_those_that_agree_counts() {
        let list = [said(0, 5, 1, NOW_S - 9), said(1, 5, 1, NOW_S - 2), said(2, 6, 2, NOW_S)];
        let (account, _) = account(&list, Quorum { members: 3, last: true }).unwrap();
        assert_eq!((account.balance.0, account.chain_time_s), (5, NOW_S - 2));
        assert!(may_lag(&list) && !may_lag(&list[..2]));
    }

    /// (`LE-5`)
    #[test]
    fn one_liar_invents_no_exit_code() {
        let refused = |code| Err(ChainError::Refused { exit_code: Some(code), reason: String::new() });
        let say = |by, what: Result<(), ChainError>| Said { by, what };
        let verdict = |members, last, list: &[Said<_>]| {
            handed_over(list, Quorum { members, last })
                .map(|outcome: Result<(), ChainError>| outcome.err().and_then(|error| error.exit_code()))
        };
        assert_eq!(verdict(1, true, &[say(0, refused(105))]), Some(Some(105)));
        assert_eq!(verdict(2, true, &[say(0, refused(105))]), None, "the other one is dead");
        assert_eq!(verdict(2, true, &[say(0, refused(105)), say(1, refused(106))]), None);
        assert_eq!(verdict(2, true, &[say(0, refused(105)), say(1, Ok(()))]), Some(None));
        assert_eq!(verdict(3, false, &[say(0, refused(105)), say(1, refused(105))]), Some(Some(105)));
        assert_eq!(verdict(3, false, &[say(0, refused(105)), say(1, refused(106))]), None);
        assert_eq!(verdict(2, false, &[say(0, Ok(()))]), None, "the other may be the one that passes it on");
        assert_eq!(verdict(2, true, &[say(0, Ok(()))]), Some(None));
    }
}
