//! Tasks, and what comes of them.

use bombyx_protocol::wire::message::{Chunk, Content, Finish};
use bombyx_protocol::work::order::{ChatMessage, Generate, JobId, ModelId, Role, Sampling, Task};
use bombyx_protocol::work::price::{InputTokens, Weights};
use bombyx_protocol::work::receipt::{Receipt, Transcript};
use serde_json::Value;

use super::message::{extensions, signed};
use super::{fixed, hex_of, list, long, nano, numbers, optional, small, strings, text, variant};

pub fn input(value: &Value) -> InputTokens {
    InputTokens { fresh: small(&value["fresh"]), cached: small(&value["cached"]) }
}

pub fn weights(value: &Value) -> Weights {
    let [input, cached, output] = numbers(value).try_into().unwrap();
    Weights { input, cached, output }
}

pub fn task(value: &Value) -> Task {
    match variant(value) {
        ("Embed", content) => Task::Embed { inputs: strings(&content["inputs"]) },
        ("Generate", content) => Task::Generate(Generate {
            messages: list(content, "messages")
                .iter()
                .map(|message| ChatMessage {
                    role: match text(message, "role") {
                        "System" => Role::System,
                        "User" => Role::User,
                        "Assistant" => Role::Assistant,
                        other => panic!("no role {other}"),
                    },
                    content: text(message, "content").to_owned(),
                })
                .collect(),
            max_tokens: small(&content["max_tokens"]),
            sampling: Sampling {
                temperature_milli: small(&content["sampling"]["temperature_milli"]),
                top_p_milli: small(&content["sampling"]["top_p_milli"]),
                top_k: small(&content["sampling"]["top_k"]),
                seed: long(&content["sampling"]["seed"]),
            },
            prefix: numbers(&content["prefix"]),
            stop: strings(&content["stop"]),
        }),
        (other, _) => panic!("no task {other}"),
    }
}

pub fn receipt(value: &Value) -> Receipt {
    Receipt {
        job: JobId(fixed(&value["job"])),
        model: ModelId(fixed(&value["model"])),
        chunks: small(&value["chunks"]),
        transcript: Transcript(fixed(&value["transcript"])),
        input_tokens: long(&value["input_tokens"]),
        cached_tokens: long(&value["cached_tokens"]),
        output_tokens: long(&value["output_tokens"]),
        cost: nano(&value["cost"]),
        extensions: extensions(value),
    }
}

pub fn chunk(value: &Value) -> Chunk {
    Chunk {
        index: small(&value["index"]),
        content: hex_of(&value["content"]),
        receipt: optional(&value["receipt"], signed),
    }
}

pub fn finish(value: &Value) -> Finish {
    match variant(value).0 {
        "Stop" => Finish::Stop,
        "Length" => Finish::Length,
        other => panic!("no finish {other}"),
    }
}

pub fn content(value: &Value) -> Content {
    match variant(value) {
        ("Tokens", tokens) => {
            Content::Tokens { ids: numbers(&tokens["ids"]), text: text(tokens, "text").to_owned() }
        }
        ("Vectors", vectors) => Content::Vectors {
            first: small(&vectors["first"]),
            dims: small(&vectors["dims"]),
            bytes: hex_of(&vectors["bytes"]),
        },
        ("End", end) => Content::End { finish: finish(&end["finish"]) },
        (other, _) => panic!("no content {other}"),
    }
}
