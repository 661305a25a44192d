//! What every machine promises to its shell, beside what `fuzz_replay` tries to break.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod drive;
mod vectors;

use bombyx_protocol::channel::record::{Record, RecordKey};
use bombyx_protocol::channel::terms::ChannelTerms;
use bombyx_protocol::client::{Client, ClientConfig};
use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::io::{Input, Machine, Output};
use bombyx_protocol::provider::{Provider, ProviderConfig};
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::codec;
use drive::{give, offer, order};
use ed25519_dalek::SigningKey;
use vectors::{file, gossip, list, message, record, text};

const MESSAGES: &str = include_str!("../../spec/vectors/wire/messages.json");

/// Every golden message, with time passing between them.
fn inputs() -> Vec<Input> {
    let vectors = file(MESSAGES);
    let input = |case: &serde_json::Value| match text(case, "type") {
        "Gossip" => {
            let gossip = gossip(&case["value"]).open().ok()?;
            Some(Input::Gossip { prefix: Prefix::UNKNOWN, gossip })
        }
        "Message" => Some(Input::Received {
            from: NodeId([1; 32]),
            prefix: Prefix::UNKNOWN,
            message: message(&case["value"]),
        }),
        _ => None,
    };
    let golden = list(&vectors, "cases").iter().filter_map(input);
    [offer(1_000), order(1, "count"), order(2, "count again")].into_iter().chain(golden).collect()
}

fn trace(machine: &mut impl Machine) -> String {
    let mut now = Time(1);
    let mut trace = String::new();
    for input in inputs() {
        now = now + Span::from_ms(300);
        for output in give(machine, now, input) {
            // The short form of a message hides what differs.
            let bytes = match &output {
                Output::Send { message, .. } => codec::encode(message),
                Output::Broadcast { gossip, .. } => codec::encode(gossip),
                _ => Vec::new(),
            };
            trace.push_str(&format!("{output:?} {}\n", hex::encode(bytes)));
        }
    }
    trace
}

/// (CO-3)
#[test]
fn equal_seeds_and_inputs_give_equal_outputs_and_other_seeds_do_not() {
    let client = |number| trace(&mut Client::new(ClientConfig::for_tests(number), Vec::new()));
    assert_eq!(client(1), client(1));
    assert_ne!(client(1), client(2));
    // At the time of the golden call.
    let config = |number| ProviderConfig { clock_s: 1_764_374_400, ..ProviderConfig::for_tests(number) };
    let provider = |number| trace(&mut Provider::new(config(number), Vec::new()));
    assert_eq!(provider(1), provider(1));
    assert_ne!(provider(1), provider(2));
    assert!(provider(1).contains("Bid"), "the provider has answered the golden call");
}

/// (CO-6)
#[test]
fn a_record_replaces_the_one_before_it_and_a_channel_that_is_gone_is_not_restored() {
    let vectors = file(MESSAGES);
    let records: Vec<Record> = list(&vectors, "cases")
        .iter()
        .filter(|case| text(case, "type") == "Record")
        .map(|case| record(&case["value"]))
        .collect();
    let mut first = records.into_iter().find(|record| matches!(record, Record::Payer(_))).unwrap();
    let key = SigningKey::from_bytes(&ClientConfig::for_tests(1).channel_seed);
    if let Record::Payer(own) = &mut first {
        let client_key = key.verifying_key().to_bytes();
        own.terms = ChannelTerms { client_key, ..ChannelTerms::clone(&own.terms) }.into();
    }
    let RecordKey::Payer(account) = first.key() else { panic!("not a channel") };
    let mut later = first.clone();
    if let Record::Payer(later) = &mut later {
        later.cumulative.0 += 1;
    }
    assert_eq!(first.key(), later.key(), "the later one takes its place");
    let client = Client::new(ClientConfig::for_tests(1), vec![later.clone()]);
    assert_eq!(client.channels().map(|payer| payer.cumulative().0).collect::<Vec<_>>(), [1]);
    let gone = Client::new(ClientConfig::for_tests(1), vec![later, Record::ChannelGone { account }]);
    assert_eq!(gone.channels().count(), 0);
}
