//! `spec/12-registry.md` has the numbers of the code.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use bombyx_protocol::{limits, session};

const REGISTRY: &str = include_str!("../../spec/12-registry.md");

/// The value of a row of the table of limits.
fn limit(name: &str) -> u64 {
    let row = REGISTRY.lines().find(|line| line.starts_with(&format!("| {name} |"))).unwrap();
    row.split('|').nth(2).unwrap().replace([',', ' '], "").parse().unwrap()
}

/// (WI-5, WI-15, WI-18, WR-1, SE-16)
#[test]
fn every_limit_is_that_of_the_code() {
    let of = |number: usize| u64::try_from(number).unwrap();
    let limits = [
        ("bytes of a direct message", of(limits::FRAME_BYTES_MAX)),
        ("bytes of a gossiped message", of(limits::GOSSIP_BYTES_MAX)),
        ("bytes of a body in a session", of(limits::SEALED_BODY_BYTES_MAX)),
        ("extensions of a statement", of(limits::EXTENSIONS_MAX)),
        ("bytes of their values", of(limits::EXTENSION_BYTES_MAX)),
        ("seconds that a clock may differ", limits::CLOCK_SKEW_S_MAX),
        ("bytes of text in a task", of(limits::TASK_BYTES_MAX)),
        ("bytes of text and prefix in a task", of(limits::TASK_AND_PREFIX_BYTES_MAX)),
        ("inputs of a task", of(limits::EMBED_INPUTS_MAX)),
        ("messages of a task", of(limits::CHAT_MESSAGES_MAX)),
        ("stop strings of a task", of(limits::STOPS_MAX)),
        ("bytes of a stop string", of(limits::STOP_BYTES_MAX)),
        ("chunks in flight", of(limits::CHUNKS_UNACKED_MAX)),
        ("output tokens ahead of payment", limits::WINDOW_TOKENS),
        ("frame numbers that are remembered", session::REPLAY_WINDOW),
        ("seconds that a session is kept", limits::SESSION_KEPT.as_ms() / 1_000),
        ("sessions that are kept for a client", of(limits::CLIENT_SESSIONS_MAX)),
        ("sessions that are kept", of(limits::SESSIONS_MAX)),
    ];
    for (name, value) in limits {
        assert_eq!(limit(name), value, "{name}");
    }
    let (_, table) = REGISTRY.split_once("## 8.").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ")).count();
    assert_eq!(rows, limits.len() + 1, "no row is untested");
}

/// Every number of the contracts that the code names is in the registry, and no other.
#[test]
fn the_contracts_tags_and_operations_are_those_of_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut code = BTreeSet::new();
    for file in [
        "protocol/src/channel/voucher.rs",
        "protocol/src/channel/lane.rs",
        "protocol/src/channel/purse.rs",
        "node/src/ledger/contract.rs",
        "node/src/ledger/purse.rs",
    ] {
        let source = std::fs::read_to_string(root.join(file)).unwrap();
        code.extend(source.split("0x4258_").skip(1).map(|rest| rest.chars().take(4).collect::<String>()));
    }
    let (_, section) = REGISTRY.split_once("## 7.").unwrap();
    let page: BTreeSet<String> =
        section.split("`0x4258").skip(1).map(|rest| rest.chars().take(4).collect()).collect();
    assert_eq!(page, code);
}

/// The code that others need to open a channel is the code that this one opens channels with. (CH-1, ST-1)
#[test]
fn the_contracts_that_the_vectors_hold_are_those_of_the_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for name in ["channel.boc", "purse.boc"] {
        let read = |folder: &str| std::fs::read(root.join(folder).join(name)).unwrap();
        assert_eq!(read("spec/vectors/channel"), read("protocol/contracts"), "{name}");
    }
}
