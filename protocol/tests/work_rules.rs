//! The rules of `spec/05-work-and-receipts.md` that one side keeps by itself.
#![allow(clippy::unwrap_used)]

mod drive;
mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::ident::Identity;
use bombyx_protocol::io::{Command, Failure};
use bombyx_protocol::limits;
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::{Chunk, Content, Finish};
use bombyx_protocol::work::answer_stream::AnswerStream;
use bombyx_protocol::work::order::{JobId, OrderId};
use bombyx_protocol::work::price::{InputTokens, Price, Tariff, Weights};
use drive::MODEL;
use testbed::{CALM, Testbed};

const START: Time = Time(1_000);

fn stream() -> (AnswerStream, Identity) {
    let task = drive::chat("count", 500);
    let tariff = Tariff { price: Price(1_000), weights: Weights::DEFAULT };
    let stream = AnswerStream::new(START, JobId([1; 16]), MODEL, tariff, InputTokens::fresh(5), &task);
    (stream, Identity::from_seed(&[1; 32]))
}

fn token(id: u32) -> Content {
    Content::Tokens { ids: vec![id], text: format!("{id} ") }
}

fn ids(chunk: &Chunk) -> Vec<u32> {
    match codec::decode_sealed(&chunk.content).unwrap() {
        Content::Tokens { ids, .. } => ids,
        Content::Vectors { .. } | Content::End { .. } => Vec::new(),
    }
}

/// (WR-11)
#[test]
fn the_first_token_leaves_at_once_and_the_others_in_company() {
    let (mut stream, provider) = stream();
    assert_eq!(stream.content(START, &provider, token(0)).len(), 1);
    for id in 1..limits::CHUNK_TOKENS {
        assert!(stream.content(START, &provider, token(id)).is_empty());
    }
    let full = stream.content(START, &provider, token(limits::CHUNK_TOKENS));
    assert_eq!(full.iter().map(ids).collect::<Vec<_>>(), [(1..=limits::CHUNK_TOKENS).collect::<Vec<_>>()]);

    assert!(stream.content(START, &provider, token(99)).is_empty());
    let just_before = Time(START.0 + limits::CHUNK_WAIT.0 - 1);
    assert!(stream.flush_due(just_before, &provider).is_none());
    assert_eq!(
        stream.flush_due(START + limits::CHUNK_WAIT, &provider).map(|chunk| ids(&chunk)),
        Some(vec![99])
    );

    let slow = START + limits::CHUNK_WAIT;
    assert_eq!(stream.content(slow, &provider, token(99)).len(), 1, "none would join it in time");
    assert!(stream.content(slow, &provider, token(100)).is_empty());
    let end = stream.content(START, &provider, Content::End { finish: Finish::Stop });
    assert_eq!(end.len(), 2, "what was gathered goes before the end");
    assert!(stream.content(START, &provider, token(101)).is_empty(), "nothing follows the end");
}

/// (WR-3) A client that has paid before pays for a short answer once.
#[test]
fn the_first_chunk_bears_a_receipt_for_a_newcomer_alone() {
    for is_newcomer in [true, false] {
        let (mut stream, provider) = stream();
        if !is_newcomer {
            stream.trust_first();
        }
        let first = stream.content(START, &provider, token(0));
        assert_eq!(first[0].receipt.is_some(), is_newcomer);
        let end = stream.content(START, &provider, Content::End { finish: Finish::Stop });
        assert!(end.last().unwrap().receipt.is_some());
    }
}

/// (WR-11)
#[test]
fn vectors_are_split_between_chunks_and_never_within_one() {
    let (mut stream, provider) = stream();
    let (dims, rows) = (384u32, 50u32);
    let bytes = vec![1; (dims * rows * 4) as usize];
    let chunks = stream.content(START, &provider, Content::Vectors { first: 0, dims, bytes });
    let mut next = 0;
    for chunk in &chunks {
        let Content::Vectors { first, bytes, .. } = codec::decode_sealed(&chunk.content).unwrap() else {
            panic!("not vectors");
        };
        assert!(bytes.len() <= limits::VECTOR_BYTES_MAX && bytes.len().is_multiple_of(4 * 384));
        assert_eq!(first, next);
        next += bytes.len() as u32 / (4 * dims);
    }
    assert_eq!(next, rows);
}

fn signed(chunks: &[Chunk]) -> Vec<u32> {
    chunks.iter().filter(|chunk| chunk.receipt.is_some()).map(|chunk| chunk.index).collect()
}

/// (WR-3, WR-18)
#[test]
fn a_receipt_is_due_at_the_start_after_enough_tokens_or_chunks_after_a_second_and_at_the_end() {
    let (mut stream, provider) = stream();
    let eight = || Content::Tokens { ids: vec![7; limits::CHUNK_TOKENS as usize], text: "7".into() };
    let mut sent: Vec<Chunk> = (0..9).flat_map(|_| stream.content(START, &provider, eight())).collect();
    assert_eq!(signed(&sent), [0, 4, 8], "32 tokens each");
    sent.clear();
    let mut now = START;
    for _ in 0..3 {
        now = now + Span(limits::RECEIPT_WAIT.0 / 2);
        sent.extend(stream.content(now, &provider, eight()));
    }
    assert_eq!(signed(&sent), [10], "a second after the last");
    sent.clear();
    for _ in 0..limits::RECEIPT_CHUNKS + 1 {
        let vector = Content::Vectors { first: 0, dims: 1, bytes: vec![0; 4] };
        sent.extend(stream.content(now, &provider, vector));
    }
    assert_eq!(signed(&sent), [42], "32 chunks");
    stream.sign_every(1);
    let asked = stream.sign_now(now, &provider).expect("the last chunk has none");
    assert!(ids(&asked).is_empty() && asked.receipt.is_some());
    assert_eq!(stream.sign_now(now, &provider), None, "all have");
    let end = stream.content(now, &provider, Content::End { finish: Finish::Stop });
    assert!(end.iter().all(|chunk| chunk.receipt.is_some()));
}

/// (WR-12)
#[test]
fn what_is_not_acknowledged_is_repeated_unchanged_and_after_long_silence_given_up() {
    let (mut stream, provider) = stream();
    let mut sent = stream.content(START, &provider, token(0));
    while stream.has_room() {
        let many = Content::Tokens { ids: vec![7; limits::CHUNK_TOKENS as usize], text: "7".into() };
        sent.extend(stream.content(START, &provider, many));
    }
    assert_eq!(sent.len(), limits::CHUNKS_UNACKED_MAX);
    assert!(stream.repeats(Time(START.0 + limits::CHUNK_RETRY.0 - 1)).is_empty());
    assert_eq!(stream.repeats(START + limits::CHUNK_RETRY), sent);
    assert!(stream.acked(START + limits::CHUNK_RETRY, 30));
    assert_eq!(stream.missing(0), sent[30..]);
    let silent = START + limits::CHUNK_RETRY;
    assert!(!stream.is_abandoned(Time(silent.0 + limits::CLIENT_WAIT.0 - 1)));
    assert!(stream.is_abandoned(silent + limits::CLIENT_WAIT));
}

/// (WR-14, WR-18)
#[test]
fn a_cancelled_order_stops_the_engine_and_pays_for_what_was_sent() {
    let mut testbed = Testbed::new(31, CALM);
    let coin = Nano(1_000_000_000);
    let client = testbed.client(1, coin);
    let provider = testbed.provider(1, testbed::price(400_000), 5_000);
    testbed.order(client, 1, testbed::chat("count for me", 900), coin, Span::from_s(60));
    testbed.run(Span::from_s(60), |testbed| testbed.outcome(1).ids.len() > 100);
    testbed.command(client, Command::Cancel(OrderId(1)));
    testbed.run(Span::from_s(3), |_| false);
    assert!(matches!(testbed.outcome(1).end, Some(Err((Failure::Cancelled, _)))));
    assert_eq!(testbed.provider_at(provider).jobs_in_flight(), 0);
    let served = testbed.served[0].1;
    assert!(served.output_tokens < 300 && served.refused.is_none());
    let earner = testbed.provider_at(provider).channels().next().unwrap();
    assert_eq!((earner.served(), earner.unpaid()), (served.cost, Nano::ZERO));
}
