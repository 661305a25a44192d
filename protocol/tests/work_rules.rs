//! The rules of `spec/05-work-and-receipts.md` that one side keeps by itself.
#![allow(clippy::unwrap_used)]

mod drive;
mod swarm;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::ident::Identity;
use bombyx_protocol::io::{Command, Failure};
use bombyx_protocol::limits;
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::{Chunk, Content, Finish};
use bombyx_protocol::work::order::{JobId, OrderId};
use bombyx_protocol::work::serve::Serving;
use drive::MODEL;
use swarm::{CALM, Swarm};

const START: Time = Time(1_000);

fn serving() -> (Serving, Identity) {
    let task = drive::chat("count", 500);
    let mut serving = Serving::new(START, JobId([1; 16]), MODEL, drive::price(1_000), &task);
    serving.started(5);
    (serving, Identity::from_seed(&[1; 32]))
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
    let (mut serving, provider) = serving();
    assert_eq!(serving.content(START, &provider, token(0)).len(), 1);
    for id in 1..limits::CHUNK_TOKENS {
        assert!(serving.content(START, &provider, token(id)).is_empty());
    }
    let full = serving.content(START, &provider, token(limits::CHUNK_TOKENS));
    assert_eq!(full.iter().map(ids).collect::<Vec<_>>(), [(1..=limits::CHUNK_TOKENS).collect::<Vec<_>>()]);

    assert!(serving.content(START, &provider, token(99)).is_empty());
    let just_before = Time(START.0 + limits::CHUNK_WAIT.0 - 1);
    assert!(serving.flush_due(just_before, &provider).is_none());
    assert_eq!(
        serving.flush_due(START + limits::CHUNK_WAIT, &provider).map(|chunk| ids(&chunk)),
        Some(vec![99])
    );

    assert!(serving.content(START, &provider, token(100)).is_empty());
    let end = serving.content(START, &provider, Content::End { finish: Finish::Stop });
    assert_eq!(end.len(), 2, "what was gathered goes before the end");
    assert!(serving.content(START, &provider, token(101)).is_empty(), "nothing follows the end");
}

/// (WR-11)
#[test]
fn vectors_are_split_between_chunks_and_never_within_one() {
    let (mut serving, provider) = serving();
    let (dims, rows) = (384u32, 50u32);
    let bytes = vec![1; (dims * rows * 4) as usize];
    let chunks = serving.content(START, &provider, Content::Vectors { first: 0, dims, bytes });
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
    let (mut serving, provider) = serving();
    let eight = || Content::Tokens { ids: vec![7; limits::CHUNK_TOKENS as usize], text: "7".into() };
    let mut sent: Vec<Chunk> = (0..9).flat_map(|_| serving.content(START, &provider, eight())).collect();
    assert_eq!(signed(&sent), [0, 4, 8], "32 tokens each");
    sent.clear();
    let mut now = START;
    for _ in 0..3 {
        now = now + Span(limits::RECEIPT_WAIT.0 / 2);
        sent.extend(serving.content(now, &provider, eight()));
    }
    assert_eq!(signed(&sent), [10], "a second after the last");
    sent.clear();
    for _ in 0..limits::RECEIPT_CHUNKS + 1 {
        let vector = Content::Vectors { first: 0, dims: 1, bytes: vec![0; 4] };
        sent.extend(serving.content(now, &provider, vector));
    }
    assert_eq!(signed(&sent), [42], "32 chunks");
    serving.sign_every(1);
    let asked = serving.sign_now(now, &provider).expect("the last chunk has none");
    assert!(ids(&asked).is_empty() && asked.receipt.is_some());
    assert_eq!(serving.sign_now(now, &provider), None, "all have");
    let end = serving.content(now, &provider, Content::End { finish: Finish::Stop });
    assert!(end.iter().all(|chunk| chunk.receipt.is_some()));
}

/// (WR-12)
#[test]
fn what_is_not_acknowledged_is_repeated_unchanged_and_after_long_silence_given_up() {
    let (mut serving, provider) = serving();
    let mut sent = serving.content(START, &provider, token(0));
    while serving.has_room() {
        let many = Content::Tokens { ids: vec![7; limits::CHUNK_TOKENS as usize], text: "7".into() };
        sent.extend(serving.content(START, &provider, many));
    }
    assert_eq!(sent.len(), limits::CHUNKS_UNACKED_MAX);
    assert!(serving.repeats(Time(START.0 + limits::CHUNK_RETRY.0 - 1)).is_empty());
    assert_eq!(serving.repeats(START + limits::CHUNK_RETRY), sent);
    assert!(serving.acked(START + limits::CHUNK_RETRY, 30));
    assert_eq!(serving.missing(0), sent[30..]);
    let silent = START + limits::CHUNK_RETRY;
    assert!(!serving.is_abandoned(Time(silent.0 + limits::CLIENT_WAIT.0 - 1)));
    assert!(serving.is_abandoned(silent + limits::CLIENT_WAIT));
}

/// (WR-14, WR-18)
#[test]
fn a_cancelled_order_stops_the_engine_and_pays_for_what_was_sent() {
    let mut swarm = Swarm::new(31, CALM);
    let coin = Nano(1_000_000_000);
    let client = swarm.client(1, coin);
    let provider = swarm.provider(1, swarm::price(400_000), 5_000);
    swarm.order(client, 1, swarm::chat("count for me", 900), coin, Span::from_s(60));
    swarm.run(Span::from_s(60), |swarm| swarm.outcome(1).ids.len() > 100);
    swarm.command(client, Command::Cancel(OrderId(1)));
    swarm.run(Span::from_s(3), |_| false);
    assert!(matches!(swarm.outcome(1).end, Some(Err((Failure::Cancelled, _)))));
    assert_eq!(swarm.provider_at(provider).jobs_in_flight(), 0);
    let served = swarm.served[0].1;
    assert!(served.output_tokens < 300 && served.refused.is_none());
    let earner = swarm.provider_at(provider).channels().next().unwrap();
    assert_eq!((earner.served(), earner.unpaid()), (served.cost, Nano::ZERO));
}
