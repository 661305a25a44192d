//! Reads the JSON of `spec/vectors` into the values of the crate: numbers of 64 bits as decimal text, bytes as
//! hexadecimal, a variant as `"Name"` or `{"Name": content}`.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, dead_code, unreachable_pub, missing_docs)]

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::record::{EarnerRecord, PayerRecord, Record, Reputation};
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::channel::voucher::SignatureError;
use bombyx_protocol::ident::{NodeId, Prefix, Signature};
use bombyx_protocol::market::ask::Ask;
use bombyx_protocol::market::bid::{Bid, BidHash, Payee};
use bombyx_protocol::market::call::{Call, CallId};
use bombyx_protocol::market::history::Timing;
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::market::seek::{Seek, SeekId};
use bombyx_protocol::wire::extension::{Extension, Extensions, Features};
use bombyx_protocol::wire::message::{
    Accept, Ack, Award, Chunk, Content, Decline, Finish, FromClient, FromProvider, Gossip, KeptAward,
    Message, NeedPayment, Payment, Refusal, Refuse, Release, ReleaseReason, SealedBid, SealedFrame, ToClient,
    ToProvider, Work, WorkProgress,
};
use bombyx_protocol::wire::signed::Signed;
use bombyx_protocol::work::order::{
    ChatMessage, Generate, JobId, ModelId, Role, Sampling, Task, TaskKind, Tier,
};
use bombyx_protocol::work::price::{InputTokens, Price, Weights};
use bombyx_protocol::work::receipt::{Receipt, Transcript};
use serde_json::Value;

pub fn file(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

pub fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().unwrap_or_else(|| panic!("no list {field} in {value}"))
}

pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no text {field} in {value}"))
}

pub fn hex_of(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

pub fn fixed<const N: usize>(value: &Value) -> [u8; N] {
    hex_of(value).try_into().unwrap()
}

pub fn long(value: &Value) -> u64 {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a number as text")).parse().unwrap()
}

pub fn nano(value: &Value) -> Nano {
    Nano(long(value))
}

pub fn optional<T>(value: &Value, read: impl Fn(&Value) -> T) -> Option<T> {
    (!value.is_null()).then(|| read(value))
}

pub fn small<T: TryFrom<i64>>(value: &Value) -> T {
    T::try_from(value.as_i64().unwrap()).ok().unwrap()
}

/// Every good case hashes as it says and counts. `judge` returns hash and verdict of a case.
pub fn good_signatures(cases: &[Value], judge: impl Fn(&Value) -> ([u8; 32], Result<(), SignatureError>)) {
    for case in cases {
        assert_eq!(judge(case), (fixed(&case["hash"]), Ok(())), "{case}");
    }
}

/// Every bad case is refused for the reason that it says.
pub fn bad_signatures(cases: &[Value], judge: impl Fn(&Value) -> ([u8; 32], Result<(), SignatureError>)) {
    for case in cases {
        let expected = match text(case, "error") {
            "mismatch" => SignatureError::Mismatch,
            "unusable_key" => SignatureError::UnusableKey,
            other => panic!("unknown error {other}"),
        };
        assert_eq!(judge(case).1, Err(expected), "{}", text(case, "why"));
    }
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

fn numbers(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(small).collect()
}

/// The name of a variant and its content.
fn variant(value: &Value) -> (&str, &Value) {
    match value {
        Value::String(name) => (name, &Value::Null),
        Value::Object(map) => map.iter().next().map(|(name, content)| (name.as_str(), content)).unwrap(),
        other => panic!("{other} is no variant"),
    }
}

pub fn tier(value: &Value) -> Tier {
    match variant(value).0 {
        "Open" => Tier::Open,
        "Confidential" => Tier::Confidential,
        other => panic!("no tier {other}"),
    }
}

fn task_kind(value: &Value) -> TaskKind {
    match variant(value).0 {
        "Embed" => TaskKind::Embed,
        "Generate" => TaskKind::Generate,
        other => panic!("no kind {other}"),
    }
}

pub fn price(value: &Value) -> Price {
    Price(long(value))
}

pub fn input(value: &Value) -> InputTokens {
    InputTokens { fresh: small(&value["fresh"]), cached: small(&value["cached"]) }
}

pub fn weights(value: &Value) -> Weights {
    let [input, cached, output] = numbers(value).try_into().unwrap();
    Weights { input, cached, output }
}

fn address(value: &Value) -> Address {
    Address { workchain: small(&value["workchain"]), hash: fixed(&value["hash"]) }
}

pub fn terms(value: &Value) -> ChannelTerms {
    ChannelTerms {
        network_id: small(&value["network_id"]),
        salt: long(&value["salt"]),
        client_key: fixed(&value["client_key"]),
        provider_key: fixed(&value["provider_key"]),
        client: address(&value["client"]),
        provider: address(&value["provider"]),
        challenge_s: small(&value["challenge_s"]),
    }
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

pub fn signed(value: &Value) -> Signed {
    Signed { body: hex_of(&value["body"]), signature: Signature(fixed(&value["signature"])) }
}

pub fn call(value: &Value) -> Call {
    Call {
        id: CallId(fixed(&value["id"])),
        client: NodeId(fixed(&value["client"])),
        seal_key: fixed(&value["seal_key"]),
        model: ModelId(fixed(&value["model"])),
        kind: task_kind(&value["kind"]),
        input_log2: small(&value["input_log2"]),
        output_log2: small(&value["output_log2"]),
        tier: tier(&value["tier"]),
        window_ms: small(&value["window_ms"]),
        invited: Share(small(&value["invited"])),
        made_s: long(&value["made_s"]),
        deadline_ms: small(&value["deadline_ms"]),
        stamp: long(&value["stamp"]),
        features: features(value),
        extensions: extensions(value),
    }
}

pub fn seek(value: &Value) -> Seek {
    Seek {
        id: SeekId(fixed(&value["id"])),
        client: NodeId(fixed(&value["client"])),
        model: (!value["model"].is_null()).then(|| ModelId(fixed(&value["model"]))),
        invited: Share(small(&value["invited"])),
        input_log2: small(&value["input_log2"]),
        output_log2: small(&value["output_log2"]),
        made_s: long(&value["made_s"]),
        stamp: long(&value["stamp"]),
        features: features(value),
        extensions: extensions(value),
    }
}

pub fn ask(value: &Value) -> Ask {
    Ask {
        provider: NodeId(fixed(&value["provider"])),
        model: ModelId(fixed(&value["model"])),
        name: text(value, "name").to_owned(),
        kind: task_kind(&value["kind"]),
        price: price(&value["price"]),
        context_tokens: small(&value["context_tokens"]),
        output_max: small(&value["output_max"]),
        read_tps: small(&value["read_tps"]),
        write_tps: small(&value["write_tps"]),
        start_ms: small(&value["start_ms"]),
        tier: tier(&value["tier"]),
        seek: SeekId(fixed(&value["seek"])),
        valid_ms: small(&value["valid_ms"]),
        features: features(value),
        extensions: extensions(value),
    }
}

pub fn bid(value: &Value) -> Bid {
    let payee = &value["payee"];
    Bid {
        call: CallId(fixed(&value["call"])),
        provider: NodeId(fixed(&value["provider"])),
        model: ModelId(fixed(&value["model"])),
        session_key: fixed(&value["session_key"]),
        price: price(&value["price"]),
        start_ms: small(&value["start_ms"]),
        ahead_ms: small(&value["ahead_ms"]),
        read_tps: small(&value["read_tps"]),
        write_tps: small(&value["write_tps"]),
        keep_s: small(&value["keep_s"]),
        tier: tier(&value["tier"]),
        valid_ms: small(&value["valid_ms"]),
        payee: Payee {
            network_id: small(&payee["network_id"]),
            key: fixed(&payee["key"]),
            address: address(&payee["address"]),
            challenge_s: small(&payee["challenge_s"]),
        },
        credit: nano(&value["credit"]),
        features: features(value),
        extensions: extensions(value),
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

pub fn gossip(value: &Value) -> Gossip {
    match variant(value) {
        ("Call", content) => Gossip::Call(signed(content)),
        ("Seek", content) => Gossip::Seek(signed(content)),
        (other, _) => panic!("no gossip {other}"),
    }
}

pub fn message(value: &Value) -> Message {
    match variant(value) {
        ("ToProvider", content) => Message::ToProvider(match variant(content) {
            ("Award", award) => ToProvider::Award(Award {
                job: JobId(fixed(&award["job"])),
                call: CallId(fixed(&award["call"])),
                bid: BidHash(fixed(&award["bid"])),
                price: price(&award["price"]),
                handshake: hex_of(&award["handshake"]),
                extensions: extensions(award),
            }),
            ("Sealed", sealed) => ToProvider::Sealed(frame(sealed)),
            ("Release", release) => ToProvider::Release(Release {
                call: CallId(fixed(&release["call"])),
                why: match variant(&release["why"]) {
                    ("Outscored", _) => ReleaseReason::Outscored,
                    ("OverBudget", _) => ReleaseReason::OverBudget,
                    ("TooLate", _) => ReleaseReason::TooLate,
                    ("Unfit", _) => ReleaseReason::Unfit,
                    ("Preferred", _) => ReleaseReason::Preferred,
                    ("Other", code) => ReleaseReason::Other(small(code)),
                    (other, _) => panic!("no reason for a release {other}"),
                },
                margin: small(&release["margin"]),
                come_back_ms: small(&release["come_back_ms"]),
                extensions: extensions(release),
            }),
            ("KeptAward", award) => ToProvider::KeptAward(KeptAward {
                job: JobId(fixed(&award["job"])),
                call: CallId(fixed(&award["call"])),
                bid: BidHash(fixed(&award["bid"])),
                price: price(&award["price"]),
                session: JobId(fixed(&award["session"])),
                number: long(&award["number"]),
                work: hex_of(&award["work"]),
                extensions: extensions(award),
            }),
            ("Seek", sought) => ToProvider::Seek(seek(sought)),
            ("Call", called) => ToProvider::Call(call(called)),
            (other, _) => panic!("no message to a provider {other}"),
        }),
        ("ToClient", content) => Message::ToClient(match variant(content) {
            ("Bid", bid) => {
                ToClient::Bid(SealedBid { call: CallId(fixed(&bid["call"])), sealed: hex_of(&bid["sealed"]) })
            }
            ("Accept", accept) => ToClient::Accept(Accept {
                job: JobId(fixed(&accept["job"])),
                handshake: hex_of(&accept["handshake"]),
                extensions: extensions(accept),
            }),
            ("Refuse", refuse) => ToClient::Refuse(Refuse {
                job: JobId(fixed(&refuse["job"])),
                why: refusal(&refuse["why"]),
                extensions: extensions(refuse),
            }),
            ("Sealed", sealed) => ToClient::Sealed(frame(sealed)),
            ("Ask", ask) => ToClient::Ask(signed(ask)),
            ("Leaving", _) => ToClient::Leaving,
            ("Decline", decline) => ToClient::Decline(Decline {
                call: CallId(fixed(&decline["call"])),
                why: refusal(&decline["why"]),
                extensions: extensions(decline),
            }),
            (other, _) => panic!("no message to a client {other}"),
        }),
        (other, _) => panic!("no message {other}"),
    }
}

fn frame(value: &Value) -> SealedFrame {
    SealedFrame {
        job: JobId(fixed(&value["job"])),
        nonce: long(&value["nonce"]),
        bytes: hex_of(&value["bytes"]),
    }
}

fn refusal(value: &Value) -> Refusal {
    match variant(value) {
        ("UnknownBid", _) => Refusal::UnknownBid,
        ("PriceBelowBid", _) => Refusal::PriceBelowBid,
        ("Busy", _) => Refusal::Busy,
        ("Malformed", _) => Refusal::Malformed,
        ("ChannelTerms", _) => Refusal::ChannelTerms,
        ("Unfunded", _) => Refusal::Unfunded,
        ("Unpaid", _) => Refusal::Unpaid,
        ("BadVoucher", _) => Refusal::BadVoucher,
        ("Engine", _) => Refusal::Engine,
        ("Leaving", _) => Refusal::Leaving,
        ("ChallengeTooShort", _) => Refusal::ChallengeTooShort,
        ("NotUnderstood", _) => Refusal::NotUnderstood,
        ("EmptyTask", _) => Refusal::EmptyTask,
        ("WrongKind", _) => Refusal::WrongKind,
        ("TooManyInputs", detail) => Refusal::TooManyInputs(long(detail)),
        ("TooManyMessages", detail) => Refusal::TooManyMessages(long(detail)),
        ("TooManyStops", detail) => Refusal::TooManyStops(long(detail)),
        ("BadStop", detail) => Refusal::BadStop(long(detail)),
        ("TaskTooLong", detail) => Refusal::TaskTooLong(long(detail)),
        ("OverContext", detail) => Refusal::OverContext(long(detail)),
        ("BadToken", detail) => Refusal::BadToken(long(detail)),
        ("BadPrefix", _) => Refusal::BadPrefix,
        ("BadInput", detail) => Refusal::BadInput(long(detail)),
        ("BadConversation", _) => Refusal::BadConversation,
        ("Counts", detail) => Refusal::Counts(long(detail)),
        ("OtherClass", _) => Refusal::OtherClass,
        ("BillTooLarge", _) => Refusal::BillTooLarge,
        ("NoSession", _) => Refusal::NoSession,
        ("BadKeyProof", _) => Refusal::BadKeyProof,
        ("Other", other) => Refusal::Other { code: small(&other["code"]), detail: long(&other["detail"]) },
        (other, _) => panic!("no refusal {other}"),
    }
}

fn features(value: &Value) -> Features {
    Features(long(&value["features"]))
}

fn extensions(value: &Value) -> Extensions {
    let entry = |entry: &Value| Extension { kind: small(&entry["kind"]), value: hex_of(&entry["value"]) };
    Extensions::new(list(value, "extensions").iter().map(entry).collect()).expect("within its limits")
}

pub fn payment(value: &Value) -> Payment {
    Payment {
        epoch: long(&value["epoch"]),
        cumulative: nano(&value["cumulative"]),
        signature: Signature(fixed(&value["signature"])),
    }
}

pub fn from_client(value: &Value) -> FromClient {
    match variant(value) {
        ("Work", work) => FromClient::Work(Work {
            task: task(&work["task"]),
            input: input(&work["input"]),
            channel: terms(&work["channel"]),
            key_proof: Signature(fixed(&work["key_proof"])),
            extensions: extensions(work),
        }),
        ("Ack", ack) => FromClient::Ack(Ack {
            next: small(&ack["next"]),
            payment: optional(&ack["payment"], payment),
            countersignature: optional(&ack["countersignature"], |value| Signature(fixed(value))),
            extensions: extensions(ack),
        }),
        ("Cancel", cancel) => FromClient::Cancel(extensions(cancel)),
        (other, _) => panic!("no words of a client {other}"),
    }
}

pub fn chunk(value: &Value) -> Chunk {
    Chunk {
        index: small(&value["index"]),
        content: hex_of(&value["content"]),
        receipt: optional(&value["receipt"], signed),
    }
}

pub fn from_provider(value: &Value) -> FromProvider {
    match variant(value) {
        ("Chunk", content) => FromProvider::Chunk(chunk(content)),
        ("Progress", progress) => FromProvider::Progress(WorkProgress {
            start_ms: small(&progress["start_ms"]),
            read: small(&progress["read"]),
        }),
        ("NeedPayment", need) => FromProvider::NeedPayment(NeedPayment {
            cumulative: nano(&need["cumulative"]),
            newest: optional(&need["newest"], payment),
            extensions: extensions(need),
        }),
        (other, _) => panic!("no words of a provider {other}"),
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

pub fn timing(value: &Value) -> Timing {
    Timing {
        reading_us: long(&value["reading_us"]),
        input_tokens: long(&value["input_tokens"]),
        writing_us: long(&value["writing_us"]),
        output_tokens: long(&value["output_tokens"]),
    }
}

fn prefix(value: &Value) -> Prefix {
    let [4, 0, 0, 0, 0, a, b, c] = long(value).to_be_bytes() else { panic!("{value} is of no IPv4 address") };
    Prefix::of_ipv4([a, b, c, 0])
}

pub fn record(value: &Value) -> Record {
    match variant(value) {
        ("Payer", payer) => Record::Payer(PayerRecord {
            terms: terms(&payer["terms"]).into(),
            provider: NodeId(fixed(&payer["provider"])),
            deposit: nano(&payer["deposit"]),
            locked: nano(&payer["locked"]),
            epoch: optional(&payer["epoch"], long),
            cumulative: nano(&payer["cumulative"]),
            closing: payer["closing"].as_bool().unwrap(),
            gone: payer["gone"].as_bool().unwrap(),
        }),
        ("Earner", earner) => Record::Earner(EarnerRecord {
            terms: terms(&earner["terms"]).into(),
            client: NodeId(fixed(&earner["client"])),
            payment: optional(&earner["payment"], payment),
            early: optional(&earner["early"], payment).map(Box::new),
            shelved: optional(&earner["shelved"], payment).map(Box::new),
            at_risk: nano(&earner["at_risk"]),
            widest: nano(&earner["widest"]),
            ordered: optional(&earner["ordered"], long),
            gone: earner["gone"].as_bool().unwrap(),
            given_up: nano(&earner["given_up"]),
        }),
        ("ChannelGone", gone) => Record::ChannelGone { account: ChannelId(fixed(&gone["account"])) },
        ("Receipt", receipt) => Record::Receipt {
            job: JobId(fixed(&receipt["job"])),
            provider: NodeId(fixed(&receipt["provider"])),
            receipt: signed(&receipt["receipt"]),
        },
        ("Reputation", reputation) => Record::Reputation(Reputation {
            slot: small(&reputation["slot"]),
            provider: NodeId(fixed(&reputation["provider"])),
            prefix: prefix(&reputation["prefix"]),
            good: small(&reputation["good"]),
            level: small(&reputation["level"]),
            failures: small(&reputation["failures"]),
            failed_at_s: long(&reputation["failed_at_s"]),
            model: ModelId(fixed(&reputation["model"])),
            timed: small(&reputation["timed"]),
            timing: timing(&reputation["timing"]),
        }),
        (other, _) => panic!("no record {other}"),
    }
}
