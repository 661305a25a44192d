//! The layouts in `spec/01-wire.md` are those of the wire: a decoder made of the page alone reads every vector.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::cast_possible_wrap)]

mod grammar;

use bombyx_protocol::wire::message::Refusal;
use grammar::{Grammar, Kind};
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../../spec/01-wire.md");
const REGISTRY: &str = include_str!("../../../spec/12-registry.md");
const MESSAGES: &str = include_str!("../../../spec/vectors/wire/messages.json");
const REFUSED: &str = include_str!("../../../spec/vectors/wire/refused.json");
const CONVERSATION: &str = include_str!("../../../spec/vectors/conversation/conversation.json");
const SIGNED: &str = include_str!("../../../spec/vectors/wire/signed.json");

fn grammar() -> Grammar {
    Grammar::read(PAGE, REGISTRY)
}

fn cases(text: &str, list: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(text).unwrap();
    file[list].as_array().unwrap().clone()
}

fn bytes(case: &Value, field: &str) -> Vec<u8> {
    hex::decode(case[field].as_str().unwrap()).unwrap()
}

/// (WI-1, WI-2, WI-3)
#[test]
fn the_page_reads_every_message_as_the_vectors_do() {
    let grammar = grammar();
    let cases = cases(MESSAGES, "cases");
    assert!(cases.len() > 70);
    for case in cases {
        let read = grammar.decode(case["type"].as_str().unwrap(), &bytes(&case, "bytes"));
        assert_eq!(read.as_ref(), Some(&case["value"]), "{}", case["name"]);
    }
    for case in self::cases(SIGNED, "cases") {
        let read = grammar.decode(case["type"].as_str().unwrap(), &bytes(&case, "body"));
        assert_eq!(read.as_ref(), Some(&case["value"]), "{}", case["domain"]);
    }
}

/// The page reads a whole conversation, and what its seals and frames hold.
#[test]
fn the_page_reads_a_conversation_as_its_vectors_do() {
    let grammar = grammar();
    let crossed = cases(CONVERSATION, "crossed");
    assert!(crossed.len() > 20);
    for entry in crossed {
        let [from, way, what] = ["from", "way", "what"].map(|field| entry[field].as_str().unwrap());
        let (kind, to) =
            if from == "client" { ("FromClient", "ToProvider") } else { ("FromProvider", "ToClient") };
        if way == "topic" {
            assert_eq!(
                grammar.decode(what, &bytes(&entry, "body")).as_ref(),
                Some(&entry["value"]),
                "{what}"
            );
        }
        if way == "stream" {
            let message = json!({ to: { what: entry["value"] } });
            assert_eq!(grammar.decode("Message", &bytes(&entry, "bytes")), Some(message), "{what}");
        }
        let (kind, body) = match what {
            "Sealed" => (kind, bytes(&entry, "body")),
            "Bid" => ("Bid", hex::decode(entry["signed"]["body"].as_str().unwrap()).unwrap()),
            "Ask" => ("Ask", hex::decode(entry["value"]["body"].as_str().unwrap()).unwrap()),
            _ => continue,
        };
        assert_eq!(grammar.decode(kind, &body).as_ref(), Some(&entry["inside"]), "{what}");
    }
}

/// (WI-4, WI-7, WI-15, WI-17)
#[test]
fn the_page_reads_nothing_that_the_vectors_refuse() {
    let grammar = grammar();
    for case in cases(REFUSED, "cases") {
        let error = case["error"].as_str().unwrap();
        let bytes = match case.get("fill") {
            Some(fill) => vec![0; usize::try_from(fill["count"].as_u64().unwrap()).unwrap()],
            None => bytes(&case, "bytes"),
        };
        // How long a message may be is a rule beside the layouts. (WI-5)
        if error != "too_long" {
            assert_eq!(grammar.decode(case["type"].as_str().unwrap(), &bytes), None, "{}", case["why"]);
        }
    }
}

#[test]
fn the_sizes_on_the_page_are_those_of_its_layouts() {
    let grammar = grammar();
    assert!(grammar.sizes.len() > 25, "{}", grammar.sizes.len());
    for (name, (size, _)) in &grammar.sizes {
        assert_eq!(grammar.least(&Kind::Named(name.clone())), *size, "{name}");
    }
}

/// The registry's codes are the implementation's. (WI-17)
#[test]
fn the_registry_has_every_refusal_under_its_code() {
    let grammar = grammar();
    for code in 0_u32..200 {
        let known = !matches!(Refusal::of(code, 0).unwrap(), Refusal::Other { .. });
        let raw = [&code.to_le_bytes()[..], &[0; 8]].concat();
        let on_the_page = grammar.decode("Refusal", &raw).unwrap();
        assert_eq!(on_the_page.get("Other").is_none(), known, "{code}");
        let has_number = Refusal::of(code, 7).is_some();
        let raw = [&code.to_le_bytes()[..], &7_u64.to_le_bytes()].concat();
        assert_eq!(grammar.decode("Refusal", &raw).is_some(), has_number, "{code}");
        if known {
            let debug = format!("{:?}", Refusal::of(code, 0).unwrap());
            let name = debug.split('(').next().unwrap();
            let expected = if has_number { json!({ name: "0" }) } else { json!(name) };
            assert_eq!(on_the_page, expected);
        }
    }
}

/// The page takes one frame apart byte by byte: the bytes that it shows are a vector's.
#[test]
fn the_frame_on_the_page_is_the_vector_that_it_says_it_is() {
    let (_, section) = PAGE.split_once("### One frame, byte by byte").unwrap();
    let section = section.split("\n### ").next().unwrap();
    let rows = section.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let offset: usize = cells.get(1)?.parse().ok()?;
        Some((offset, hex::decode(cells[2].trim_matches('`').replace(' ', "")).unwrap()))
    });
    let mut frame: Vec<u8> = Vec::new();
    for (offset, part) in rows {
        assert_eq!(offset, frame.len());
        frame.extend(part);
    }
    let case = cases(MESSAGES, "cases").into_iter().find(|case| case["name"] == "a refusal: Busy").unwrap();
    let message = bytes(&case, "bytes");
    let length = u32::try_from(message.len()).unwrap().to_le_bytes();
    assert_eq!(frame, [&length[..], &message].concat());
}
