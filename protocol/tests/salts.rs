//! A client's channels are found again by its seed alone, and nothing of them is forgotten while money may stand there.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod drive;
mod testbed;
mod vectors;

use std::collections::BTreeSet;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::{LedgerCall, LedgerEvent, LedgerFault};
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::channel::salt::{candidates, salt};
use bombyx_protocol::client::{Client, ClientConfig};
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{Command, Input, Output};
use bombyx_protocol::limits;
use bombyx_protocol::market::bid::Payee;
use bombyx_protocol::provider::{Provider, ProviderConfig};
use bombyx_protocol::time::{Span, Time};
use drive::give;
use testbed::{CALM, Testbed};
use vectors::{file, fixed, list, long, text};

const SALTS: &str = include_str!("../../spec/vectors/channel/salts.json");
const PEER: NodeId = NodeId([9; 32]);
const DEPOSIT: Nano = Nano(30_000_000);

fn payee() -> Payee {
    Provider::new(ProviderConfig::for_tests(1), Vec::new()).payee()
}

/// (CH-28)
#[test]
fn salts_follow_from_seed_provider_and_index() {
    let vectors = file(SALTS);
    let cases = list(&vectors, "cases");
    assert!(cases.len() > 3);
    for case in cases {
        let index = u32::try_from(case["index"].as_u64().unwrap()).unwrap();
        let made = salt(&fixed(&case["channel_seed"]), &fixed(&case["provider_key"]), index);
        assert_eq!(made, long(&case["salt"]), "{}", text(case, "name"));
    }
}

/// (CH-28)
#[test]
fn every_channel_that_a_client_opens_is_among_the_candidates_of_its_seed() {
    let config = ClientConfig::for_tests(1);
    let listed: BTreeSet<ChannelId> =
        candidates(config.channel_seed, config.wallet, payee(), config.challenge_s)
            .map(|terms| terms.id())
            .collect();
    assert_eq!(listed.len(), limits::SALTS_PER_PROVIDER as usize);
    let mut opened = BTreeSet::new();
    // Each life of a node has entropy of its own, and picks other salts.
    for life in 0..20 {
        let config = ClientConfig { entropy_seed: [life; 32], ..config.clone() };
        let mut client = Client::new(config, Vec::new());
        let open = Command::Open { provider: PEER, payee: payee(), deposit: DEPOSIT };
        let said = give(&mut client, Time(1), Input::Command(open));
        let account = said.iter().find_map(opening).unwrap();
        assert!(listed.contains(&account), "life {life}");
        opened.insert(account);
    }
    assert!(
        opened.len() > 15,
        "a client without its store seldom meets an account that it had: {}",
        opened.len()
    );
}

fn opening(output: &Output) -> Option<ChannelId> {
    match output {
        Output::Ledger(call) if matches!(**call, LedgerCall::Open { .. }) => Some(call.account()),
        _ => None,
    }
}

/// (CH-28)
#[test]
fn a_salt_in_use_is_not_taken_again() {
    let mut client = Client::new(ClientConfig::for_tests(1), Vec::new());
    let open = || Input::Command(Command::Open { provider: PEER, payee: payee(), deposit: DEPOSIT });
    let mut accounts = BTreeSet::new();
    for at in 0..60 {
        let said = give(&mut client, Time(1 + at), open());
        let account = said.iter().find_map(opening).unwrap();
        assert!(accounts.insert(account), "{at}");
        let _ = give(&mut client, Time(1 + at), Input::Command(Command::Close { account }));
    }
}

/// What a client does with an opening that ends with this fault: whether it still knows the channel, and has it on disk.
fn after(faults: &[LedgerFault]) -> (bool, bool) {
    let mut client = Client::new(ClientConfig::for_tests(1), Vec::new());
    let open = Command::Open { provider: PEER, payee: payee(), deposit: DEPOSIT };
    let account = give(&mut client, Time(1), Input::Command(open)).iter().find_map(opening).unwrap();
    let mut kept = true;
    for (at, fault) in (2..).zip(faults) {
        let failed = Input::Ledger(LedgerEvent::Failed { account, top_up: None, fault: *fault });
        for output in give(&mut client, Time(at), failed) {
            if let Output::Persist { record, .. } = output {
                kept = !matches!(*record, Record::ChannelGone { .. });
            }
        }
    }
    (client.channels().count() == 1, kept)
}

/// (CH-29)
#[test]
fn only_what_surely_never_left_is_forgotten() {
    let refused = LedgerFault::Refused { exit_code: 103 };
    for certain in [LedgerFault::Funds { missing: Nano(u64::MAX) }, LedgerFault::NotSent, refused] {
        assert_eq!(after(&[certain]), (false, false), "{certain}");
        // A second try that fails surely says nothing of the first: its deposit may be why the wallet is empty.
        assert_eq!(after(&[LedgerFault::Unknown, certain]), (true, true), "{certain}");
    }
    assert_eq!(after(&[LedgerFault::Unknown; 9]), (true, true));
}

/// (CH-29)
#[test]
fn an_opening_of_unknown_fate_is_asked_for_again_under_the_same_terms_and_found_after_a_crash() {
    let (coin, minute) = (Nano(1_000_000_000), Span::from_s(60));
    for crash in [false, true] {
        let mut testbed = Testbed::new(51, CALM);
        let client = testbed.client(1, coin);
        let provider = testbed.provider(1, testbed::price(400_000), 1_000);
        testbed.chain.lost_answers = 1;
        testbed.order(client, 1, testbed::chat("count for me", 100), coin, minute);
        testbed.run_to_end(minute);
        let account = testbed.client_at(client).channels().next().unwrap().account();
        if crash {
            testbed.kill(client);
            testbed.restart(client);
        }
        testbed.order(client, 2, testbed::chat("count for me", 100), coin, minute);
        testbed.run_to_end(minute);
        let known: Vec<_> = testbed.client_at(client).channels().map(|payer| payer.account()).collect();
        assert_eq!((known, testbed.chain.opened), (vec![account], 1), "crash: {crash}");
        assert!(testbed.outcome(2).end.unwrap().is_ok());
        testbed.command(provider, Command::Close { account });
        testbed.run(Span::from_s(5), |testbed| testbed.chain.locked() == 0);
        assert_eq!(testbed.chain.locked(), 0, "every nano is accounted for");
    }
}
