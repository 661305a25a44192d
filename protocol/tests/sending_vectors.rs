//! What a provider sends of an answer, and when: the vectors of `spec/05-work-and-receipts.md` section 3, which an
//! independent implementation of that page wrote.
#![allow(clippy::unwrap_used)]

mod vectors;

use bombyx_protocol::ident::Identity;
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::message::{Chunk, Content};
use bombyx_protocol::work::answer_stream::AnswerStream;
use bombyx_protocol::work::order::{JobId, ModelId};
use bombyx_protocol::work::price::Tariff;
use serde_json::Value;
use vectors::{
    chunk, content, file, fixed, input, list, optional, price, signed, small, task, text, weights,
};

const SENDING: &str = include_str!("../../spec/vectors/receipts/sending.json");

/// Does one event to an answer. Returns what is sent, and checks what else the step says.
fn step(stream: &mut AnswerStream, provider: &Identity, step: &Value, name: &str) -> Vec<Chunk> {
    let now = Time(0) + Span::from_ms(step["at_ms"].as_u64().unwrap());
    match text(step, "event") {
        "made" => stream.content(now, provider, made(&step["content"])),
        "stand_still" => stream.sign_now(now, provider).into_iter().collect(),
        "ack" => {
            stream.acked(now, small(&step["next"]));
            assert_eq!(stream.has_room(), step["room"].as_bool().unwrap(), "{name}");
            Vec::new()
        }
        "wait" => {
            let sent: Vec<Chunk> = stream.flush_due(now, provider).into_iter().collect();
            let repeated: Vec<u32> = stream.repeats(now).iter().map(|chunk| chunk.index).collect();
            let expected: Vec<u32> = list(step, "repeats").iter().map(small).collect();
            assert_eq!(repeated, expected, "{name}");
            assert_eq!(stream.is_abandoned(now), step["given_up"].as_bool().unwrap(), "{name}");
            sent
        }
        other => panic!("no event {other}"),
    }
}

/// What the engine has made; vectors of nothing but ones are told by their number.
fn made(value: &Value) -> Content {
    let Some(ones) = value.get("Ones") else { return content(value) };
    let (dims, rows): (u32, u32) = (small(&ones["dims"]), small(&ones["rows"]));
    let bytes = 1f32.to_le_bytes().repeat(usize::try_from(dims * rows).unwrap());
    Content::Vectors { first: small(&ones["first"]), dims, bytes }
}

/// Whether a chunk is the one that is expected; a long one is known by its length, and by the next receipt.
fn is_sent(sent: &Chunk, expected: &Value) -> bool {
    match expected["content"].get("bytes") {
        None => *sent == chunk(expected),
        Some(bytes) => {
            let receipt = optional(&expected["receipt"], signed);
            let length = u64::try_from(sent.content.len()).unwrap();
            (sent.index, &sent.receipt) == (small(&expected["index"]), &receipt)
                && Some(length) == bytes.as_u64()
        }
    }
}

/// (WR-3, WR-4, WR-11, WR-12, WR-18, WR-21)
#[test]
fn an_answer_leaves_as_the_page_says() {
    let vectors = file(SENDING);
    let provider = Identity::from_seed(&fixed(&vectors["provider_seed"]));
    let (job, model) = (JobId(fixed(&vectors["job"])), ModelId(fixed(&vectors["model"])));
    let cases = list(&vectors, "cases");
    assert!(cases.len() > 8);
    for case in cases {
        let tariff = Tariff { price: price(&case["price"]), weights: weights(&case["weights"]) };
        let task = task(&case["task"]);
        let mut stream = AnswerStream::new(Time(0), job, model, tariff, input(&case["input"]), &task);
        for (index, event) in list(case, "steps").iter().enumerate() {
            let name = format!("{}, step {index}", text(case, "name"));
            let sent = step(&mut stream, &provider, event, &name);
            let expected = event.get("sends").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            assert_eq!(sent.len(), expected.len(), "{name}");
            assert!(sent.iter().zip(expected).all(|(sent, expected)| is_sent(sent, expected)), "{name}");
        }
    }
}
