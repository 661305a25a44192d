//! Direct messages, what a session holds, and what all of them bear.

use bombyx_protocol::ident::Signature;
use bombyx_protocol::market::bid::BidHash;
use bombyx_protocol::market::call::CallId;
use bombyx_protocol::wire::extension::{Extension, Extensions, Features};
use bombyx_protocol::wire::message::{
    Accept, Ack, Award, Decline, FromClient, FromProvider, Gossip, KeptAward, Message, NeedPayment, Refusal,
    Refuse, Release, ReleaseReason, SealedBid, SealedFrame, ToClient, ToProvider, Work, WorkProgress,
};
use bombyx_protocol::wire::signed::Signed;
use bombyx_protocol::work::order::JobId;
use serde_json::Value;

use super::channel::{payment, terms};
use super::market::{call, price, seek};
use super::work::{chunk, input, task};
use super::{fixed, hex_of, list, long, nano, optional, small, variant};

pub fn signed(value: &Value) -> Signed {
    Signed { body: hex_of(&value["body"]), signature: Signature(fixed(&value["signature"])) }
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

pub fn frame(value: &Value) -> SealedFrame {
    SealedFrame {
        job: JobId(fixed(&value["job"])),
        nonce: long(&value["nonce"]),
        bytes: hex_of(&value["bytes"]),
    }
}

pub fn refusal(value: &Value) -> Refusal {
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

pub fn features(value: &Value) -> Features {
    Features(long(&value["features"]))
}

pub fn extensions(value: &Value) -> Extensions {
    let entry = |entry: &Value| Extension { kind: small(&entry["kind"]), value: hex_of(&entry["value"]) };
    Extensions::new(list(value, "extensions").iter().map(entry).collect()).expect("within its limits")
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
