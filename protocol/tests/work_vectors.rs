//! The vectors of `spec/05-work-and-receipts.md`, which an independent implementation wrote: same hashes, same
//! signatures, and chunks that must not be paid for.
#![allow(clippy::unwrap_used)]

mod vectors;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::ident::{Domain, Identity, NodeId, Signature};
use bombyx_protocol::wire::codec;
use bombyx_protocol::work::order::{JobId, ModelId};
use bombyx_protocol::work::price::Tariff;
use bombyx_protocol::work::receipt::{Receipt, Transcript};
use bombyx_protocol::work::stream::{Stream, StreamFault};
use serde_json::Value;
use vectors::{
    chunk, file, finish, fixed, hex_of, input, list, nano, optional, price, receipt, small, task, text,
    weights,
};

const RECEIPTS: &str = include_str!("../../spec/vectors/receipts/receipts.json");
const STREAMS: &str = include_str!("../../spec/vectors/receipts/streams.json");

/// (WR-2)
#[test]
fn a_transcript_covers_the_job_the_task_and_every_chunk() {
    for case in list(&file(RECEIPTS), "transcripts") {
        let task_bytes = codec::encode(&task(&case["task"]));
        assert_eq!(task_bytes, hex_of(&case["task_bytes"]));
        let (job, model) = (JobId(fixed(&case["job"])), ModelId(fixed(&case["model"])));
        let mut transcript = Transcript::begin(job, model, &task_bytes);
        let hashes: Vec<Transcript> =
            list(case, "hashes").iter().map(|hash| Transcript(fixed(hash))).collect();
        assert_eq!(transcript, hashes[0]);
        for (index, content) in list(case, "chunks").iter().enumerate() {
            transcript = transcript.then(u32::try_from(index).unwrap(), &hex_of(content));
            assert_eq!(transcript, hashes[index + 1], "chunk {index}");
        }
    }
}

/// (WR-3, WR-10)
#[test]
fn receipts_and_countersignatures_are_the_same_everywhere() {
    for case in list(&file(RECEIPTS), "receipts") {
        let provider = Identity::from_seed(&fixed(&case["provider_seed"]));
        let client = Identity::from_seed(&fixed(&case["client_seed"]));
        let value = receipt(&case["value"]);
        let signed = value.sign(&provider);
        assert_eq!((signed.body.clone(), signed.signature), {
            (hex_of(&case["body"]), Signature(fixed(&case["signature"])))
        });
        assert_eq!(signed.open_by::<Receipt>(provider.id(), Domain::Receipt), Ok(value));
        let countersignature = Receipt::countersign(&signed, &client);
        assert_eq!(countersignature, Signature(fixed(&case["countersignature"])));
        assert!(Receipt::countersigned(&signed, client.id(), &countersignature));
        assert!(!Receipt::countersigned(&signed, client.id(), &signed.signature));
        assert!(!Receipt::countersigned(&signed, provider.id(), &countersignature));
    }
}

/// Gives a case's chunks to a client's stream; returns it, what it was billed, and how the last chunk ended.
fn play(vectors: &Value, case: &Value) -> (Stream, Nano, Result<(), StreamFault>) {
    let provider = NodeId(fixed(&vectors["provider"]));
    let (job, model) = (JobId(fixed(&vectors["job"])), ModelId(fixed(&vectors["model"])));
    let tariff = Tariff { price: price(&case["price"]), weights: weights(&case["weights"]) };
    let dims = optional(&case["dims"], small);
    let task = task(&case["task"]);
    let mut stream = Stream::new(provider, model, job, tariff, input(&case["input"]), &task, dims);
    stream.give_up(optional(&case["read"], small).unwrap_or(0));
    let mut billed = Nano::ZERO;
    for step in list(case, "steps") {
        let verdict = stream.accept(chunk(&step["chunk"]), step["last"].as_bool().unwrap());
        let expect = text(step, "expect");
        match verdict {
            Ok(taken) => {
                assert_eq!(taken.is_empty(), expect != "taken", "{}: {expect}", text(case, "name"));
                billed = billed.plus(taken.iter().filter_map(|part| part.bill).sum()).unwrap();
            }
            Err(fault) => return (stream, billed, Err(fault)),
        }
    }
    (stream, billed, Ok(()))
}

/// (WR-4, WR-5, SE-20)
#[test]
fn a_true_stream_is_taken_whole_and_billed_once() {
    let vectors = file(STREAMS);
    for case in list(&vectors, "cases") {
        let (stream, billed, verdict) = play(&vectors, case);
        assert_eq!(verdict, Ok(()), "{}", text(case, "name"));
        assert_eq!(stream.finish(), Some(finish(&case["finish"])), "{}", text(case, "name"));
        assert_eq!((stream.cost(), billed), (nano(&case["cost"]), nano(&case["cost"])), "{}", case["name"]);
    }
}

/// (WR-24)
#[test]
fn what_was_read_for_a_client_that_gave_up_is_billed_as_far_as_it_was_told_of() {
    let vectors = file(STREAMS);
    for case in list(&vectors, "given_up") {
        let (stream, billed, verdict) = play(&vectors, case);
        assert_eq!((verdict, stream.finish()), (Ok(()), None), "{}", text(case, "name"));
        assert_eq!((stream.cost(), billed), (nano(&case["cost"]), nano(&case["cost"])), "{}", case["name"]);
    }
}

/// (WR-6, WR-9, WR-24, MO-9)
#[test]
fn a_false_chunk_is_refused_for_the_right_reason_and_adds_nothing_to_the_bill() {
    let vectors = file(STREAMS);
    for case in list(&vectors, "refused") {
        let (stream, billed, verdict) = play(&vectors, case);
        let expected = match text(list(case, "steps").last().unwrap(), "expect") {
            "unreadable" => StreamFault::Unreadable,
            "mismatch" => StreamFault::Mismatch,
            "tokens" => StreamFault::Tokens,
            "cost" => StreamFault::Cost,
            "vectors" => StreamFault::Vectors,
            other => panic!("unknown fault {other}"),
        };
        assert_eq!(verdict, Err(expected), "{}", text(case, "name"));
        assert_eq!(stream.cost(), billed, "{}", text(case, "name"));
        assert!(stream.finish().is_none(), "{}", text(case, "name"));
    }
}
