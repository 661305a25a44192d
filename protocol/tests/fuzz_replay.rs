//! The fuzz targets in every test run: over the committed corpus, and over mutations of it and of every golden message.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

#[path = "../fuzz/targets/mod.rs"]
mod targets;
mod vectors;

use std::fs;
use std::path::PathBuf;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::entropy::Entropy;
use vectors::{file, hex_of, list};

/// Mutations of each golden message, and of each seed of a machine.
const DECODE_MUTATIONS: usize = 200;
const MACHINE_MUTATIONS: usize = 200;

/// The corpus of a target, in the order of the files' names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut seeds: Vec<(String, Vec<u8>)> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "no corpus for {target}");
    seeds
}

/// A mutation such as a fuzzer makes: bits flipped, bytes set, cut out, doubled or cut off.
fn mutated(seed: &[u8], entropy: &mut Entropy) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=entropy.number() % 4 {
        if bytes.is_empty() {
            bytes.push(0);
        }
        let place = (entropy.number() % bytes.len() as u64) as usize;
        match entropy.number() % 6 {
            0 => bytes[place] ^= 1 << (entropy.number() % 8),
            1 => bytes[place] = entropy.number() as u8,
            2 => bytes[place] = [0, 1, 0x7f, 0x80, 0xff][(entropy.number() % 5) as usize],
            3 => bytes.truncate(place),
            4 => {
                let end = (place + 1 + (entropy.number() % 8) as usize).min(bytes.len());
                bytes.drain(place..end);
            }
            _ => {
                let end = (place + 1 + (entropy.number() % 8) as usize).min(bytes.len());
                let part = bytes[place..end].to_vec();
                bytes.splice(place..place, part);
            }
        }
    }
    bytes
}

/// Runs a target; a broken promise is reported with the bytes that broke it.
fn run(target: fn(&[u8]), name: &str, bytes: &[u8]) {
    let result = std::panic::catch_unwind(|| target(bytes));
    assert!(result.is_ok(), "{name}: {}", hex::encode(bytes));
}

fn replay(name: &str, target: fn(&[u8]), mutations: usize) {
    let mut entropy = Entropy::new([7; 32]);
    for (seed, bytes) in corpus(name) {
        run(target, &seed, &bytes);
        for _ in 0..mutations {
            run(target, &seed, &mutated(&bytes, &mut entropy));
        }
    }
}

/// (WI-4, CO-4)
#[test]
fn no_bytes_make_a_decoder_panic_or_have_two_meanings() {
    replay("decode", targets::decode, DECODE_MUTATIONS / 4);
    let golden = file(include_str!("../../spec/vectors/wire/messages.json"));
    let mut entropy = Entropy::new([8; 32]);
    for case in list(&golden, "cases") {
        let bytes = hex_of(&case["bytes"]);
        for _ in 0..DECODE_MUTATIONS {
            run(targets::decode, case["name"].as_str().unwrap(), &mutated(&bytes, &mut entropy));
        }
    }
}

/// (CO-1, CO-2, CO-5)
#[test]
fn no_input_breaks_a_clients_promises() {
    replay("client_input", targets::client_input, MACHINE_MUTATIONS);
}

/// (CO-1, CO-5)
#[test]
fn no_input_breaks_a_providers_promises() {
    replay("provider_input", targets::provider_input, MACHINE_MUTATIONS);
}

/// The seeds are worth something only while they lead where they are meant to.
#[test]
fn the_corpus_reaches_the_money() {
    for (name, bytes) in corpus("client_input") {
        let pays = [
            "an-answer",
            "an-answer-before-the-ledger",
            "a-failover",
            "vectors",
            "a-lost-voucher",
            "a-close",
            "a-provider-that-wants-money-first",
        ];
        let paid = targets::client_pays(&bytes);
        assert_eq!(paid > Nano::ZERO, pays.contains(&name.as_str()), "{name}: {paid}");
    }
    for (name, bytes) in corpus("provider_input") {
        let earns = ["a-job", "embeddings", "two-jobs-on-a-channel"];
        let (served, paid) = targets::provider_earns(&bytes);
        assert_eq!(
            paid > Nano::ZERO && served > Nano::ZERO,
            earns.contains(&name.as_str()),
            "{name}: {served}, {paid}"
        );
    }
}
