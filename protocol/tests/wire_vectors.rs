//! The vectors of `spec/01-wire.md`, which an independent implementation wrote: same bytes, same refusals.
#![allow(clippy::unwrap_used)]

mod vectors;

use std::collections::BTreeSet;

use bombyx_protocol::channel::record::Record;
use bombyx_protocol::ident::{Domain, Identity, NodeId};
use bombyx_protocol::limits::FRAME_BYTES_MAX;
use bombyx_protocol::market::ask::Ask;
use bombyx_protocol::market::bid::Bid;
use bombyx_protocol::market::call::{Call, CallId};
use bombyx_protocol::market::seek::Seek;
use bombyx_protocol::session::{BUCKET_BYTES_MAX, FRAME_OVERHEAD_BYTES};
use bombyx_protocol::wire::codec::{self, DecodeError};
use bombyx_protocol::wire::extension::Extensions;
use bombyx_protocol::wire::message::{
    Accept, Content, FromClient, FromProvider, Gossip, Message, Refusal, Refuse, Release, ReleaseReason,
    SealedFrame, ToClient, ToProvider,
};
use bombyx_protocol::wire::signed::{Signed, SignedFault};
use bombyx_protocol::work::order::JobId;
use bombyx_protocol::work::receipt::Receipt;
use serde_json::Value;
use vectors::{file, fixed, hex_of, list, text};

const MESSAGES: &str = include_str!("../../spec/vectors/wire/messages.json");
const REFUSED: &str = include_str!("../../spec/vectors/wire/refused.json");
const SIGNED: &str = include_str!("../../spec/vectors/wire/signed.json");

/// Whether the value of a case has these bytes, and these bytes that value.
fn both_ways<T>(value: &T, bytes: &[u8], decoded: Result<T, DecodeError>) -> bool
where
    T: bincode::Encode + PartialEq,
{
    codec::encode(value) == bytes && decoded.is_ok_and(|decoded| decoded == *value)
}

/// (WI-1, WI-2, WI-3)
#[test]
fn every_message_has_the_bytes_of_the_specification() {
    let vectors = file(MESSAGES);
    for case in list(&vectors, "cases") {
        let (bytes, value) = (hex_of(&case["bytes"]), &case["value"]);
        let agrees = match text(case, "type") {
            "Call" => both_ways(&vectors::call(value), &bytes, codec::decode(&bytes)),
            "Seek" => both_ways(&vectors::seek(value), &bytes, codec::decode(&bytes)),
            "Ask" => both_ways(&vectors::ask(value), &bytes, codec::decode(&bytes)),
            "Bid" => both_ways(&vectors::bid(value), &bytes, codec::decode(&bytes)),
            "Receipt" => both_ways(&vectors::receipt(value), &bytes, codec::decode(&bytes)),
            "Gossip" => both_ways(&vectors::gossip(value), &bytes, codec::decode_gossip(&bytes)),
            "Message" => both_ways(&vectors::message(value), &bytes, codec::decode(&bytes)),
            "FromClient" => both_ways(&vectors::from_client(value), &bytes, codec::decode_sealed(&bytes)),
            "FromProvider" => both_ways(&vectors::from_provider(value), &bytes, codec::decode_sealed(&bytes)),
            "Content" => both_ways(&vectors::content(value), &bytes, codec::decode_sealed(&bytes)),
            "Record" => both_ways(&vectors::record(value), &bytes, codec::decode(&bytes)),
            other => panic!("unknown type {other}"),
        };
        assert!(agrees, "{}", text(case, "name"));
    }
}

/// Names the variants of a case; a new variant does not compile here until it has a name, and then a vector.
fn variants(case: &Value) -> String {
    let value = &case["value"];
    match text(case, "type") {
        "Gossip" => match vectors::gossip(value) {
            Gossip::Call(_) => "Gossip::Call".into(),
            Gossip::Seek(_) => "Gossip::Seek".into(),
        },
        "Message" => match vectors::message(value) {
            Message::ToProvider(ToProvider::Award(_)) => "Award".into(),
            Message::ToProvider(ToProvider::KeptAward(_)) => "KeptAward".into(),
            Message::ToProvider(ToProvider::Sealed(_)) => "ToProvider::Sealed".into(),
            Message::ToProvider(ToProvider::Release(_)) => "Release".into(),
            Message::ToProvider(ToProvider::Seek(_)) => "ToProvider::Seek".into(),
            Message::ToProvider(ToProvider::Call(_)) => "ToProvider::Call".into(),
            Message::ToClient(ToClient::Bid(_)) => "SealedBid".into(),
            Message::ToClient(ToClient::Accept(_)) => "Accept".into(),
            Message::ToClient(ToClient::Refuse(Refuse { why, .. })) => format!("Refuse {}", why.parts().0),
            Message::ToClient(ToClient::Sealed(_)) => "ToClient::Sealed".into(),
            Message::ToClient(ToClient::Ask(_)) => "ToClient::Ask".into(),
            Message::ToClient(ToClient::Leaving) => "ToClient::Leaving".into(),
            Message::ToClient(ToClient::Decline(_)) => "Decline".into(),
        },
        "FromClient" => match vectors::from_client(value) {
            FromClient::Work(work) => format!("Work {:?}", work.task.kind()),
            FromClient::Ack(_) => "Ack".into(),
            FromClient::Cancel(_) => "Cancel".into(),
        },
        "FromProvider" => match vectors::from_provider(value) {
            FromProvider::Chunk(_) => "Chunk".into(),
            FromProvider::NeedPayment(_) => "NeedPayment".into(),
            FromProvider::Progress(_) => "Progress".into(),
        },
        "Content" => match vectors::content(value) {
            Content::Tokens { .. } => "Tokens".into(),
            Content::Vectors { .. } => "Vectors".into(),
            Content::End { finish } => format!("End {finish:?}"),
        },
        "Record" => match vectors::record(value) {
            Record::Payer(_) => "Payer".into(),
            Record::Earner(_) => "Earner".into(),
            Record::ChannelGone { .. } => "ChannelGone".into(),
            Record::Receipt { .. } => "Record::Receipt".into(),
            Record::Reputation(_) => "Reputation".into(),
        },
        statement => statement.to_owned(),
    }
}

#[test]
fn no_variant_is_without_its_bytes() {
    let vectors = file(MESSAGES);
    let seen: BTreeSet<String> = list(&vectors, "cases").iter().map(variants).collect();
    let known = |code: &u32| !matches!(Refusal::of(*code, 0), Some(Refusal::Other { .. }));
    let refusals = (0..).take_while(known).map(|code| format!("Refuse {code}"));
    let names = "Call Seek Ask Bid Receipt Gossip::Call Gossip::Seek ToClient::Ask ToClient::Leaving ToProvider::Seek ToProvider::Call Award KeptAward \
        ToProvider::Sealed Release SealedBid Accept Decline ToClient::Sealed Ack Cancel Chunk NeedPayment Progress Tokens Vectors Payer Earner ChannelGone \
        Record::Receipt \
        Reputation";
    let expected: BTreeSet<String> = names
        .split_whitespace()
        .map(str::to_owned)
        .chain(["Work Embed", "Work Generate", "End Stop", "End Length"].map(str::to_owned))
        .chain(refusals)
        .chain(["Refuse 1000".to_owned()])
        .collect();
    assert_eq!(seen, expected);
}

/// (WI-5) Exactly as long as it may be, and one byte longer.
#[test]
fn the_longest_of_each_kind_is_taken_and_a_longer_one_is_not() {
    for case in list(&file(include_str!("../../spec/vectors/wire/longest.json")), "cases") {
        let (head, tail) = (hex_of(&case["head"]), hex_of(&case["tail"]));
        let room = usize::try_from(case["room"].as_u64().unwrap()).unwrap();
        let of = |length: usize| {
            let fill = length - head.len() - 8 - tail.len();
            let count = u64::try_from(fill).unwrap().to_le_bytes();
            [&head[..], &count, &vec![0; fill], &tail].concat()
        };
        assert_eq!(refused(text(case, "type"), &of(room)), None, "{}", case["name"]);
        let longer = Some(DecodeError::TooLong { bytes: room + 1, max: room });
        assert_eq!(refused(text(case, "type"), &of(room + 1)), longer, "{}", case["name"]);
    }
}

fn refused(kind: &str, bytes: &[u8]) -> Option<DecodeError> {
    match kind {
        "Call" => codec::decode::<Call>(bytes).err(),
        "Seek" => codec::decode::<Seek>(bytes).err(),
        "Ask" => codec::decode::<Ask>(bytes).err(),
        "Bid" => codec::decode::<Bid>(bytes).err(),
        "Receipt" => codec::decode::<Receipt>(bytes).err(),
        "Gossip" => codec::decode_gossip::<Gossip>(bytes).err(),
        "Message" => codec::decode::<Message>(bytes).err(),
        "Cancel" => codec::decode_sealed::<Extensions>(bytes).err(),
        "FromClient" => codec::decode_sealed::<FromClient>(bytes).err(),
        "FromProvider" => codec::decode_sealed::<FromProvider>(bytes).err(),
        "Content" => codec::decode_sealed::<Content>(bytes).err(),
        "Record" => codec::decode::<Record>(bytes).err(),
        other => panic!("unknown type {other}"),
    }
}

/// (WI-4, WI-5, WI-6, WI-7)
#[test]
fn bytes_that_are_no_message_are_refused_for_the_right_reason() {
    let vectors = file(REFUSED);
    for case in list(&vectors, "cases") {
        let bytes = if let Some(fill) = case.get("fill") {
            hex_of(&fill["byte"]).repeat(usize::try_from(fill["count"].as_u64().unwrap()).unwrap())
        } else {
            hex_of(&case["bytes"])
        };
        let error = refused(text(case, "type"), &bytes).unwrap_or_else(|| panic!("{case} was believed"));
        let as_expected = match (text(case, "error"), error) {
            ("malformed", DecodeError::Malformed) => true,
            ("trailing", DecodeError::Trailing { extra }) => Some(extra as u64) == case["extra"].as_u64(),
            ("too_long", DecodeError::TooLong { bytes: found, .. }) => found == bytes.len(),
            _ => false,
        };
        assert!(as_expected, "{}", text(case, "why"));
    }
}

fn open(kind: &str, signed: &Signed, signer: NodeId) -> Result<(), SignedFault> {
    match kind {
        "Call" => signed.open::<Call>().map(|_| ()),
        "Seek" => signed.open::<Seek>().map(|_| ()),
        "Ask" => signed.open::<Ask>().map(|_| ()),
        "Bid" => signed.open::<Bid>().map(|_| ()),
        "Receipt" => signed.open_by::<Receipt>(signer, Domain::Receipt).map(|_| ()),
        other => panic!("unknown statement {other}"),
    }
}

/// (WI-8)
#[test]
fn statements_are_signed_in_their_own_domain() {
    let vectors = file(SIGNED);
    for case in list(&vectors, "cases") {
        let identity = Identity::from_seed(&fixed(&case["seed"]));
        let signer = NodeId(fixed(&case["signer"]));
        assert_eq!(identity.id(), signer);
        let made = match text(case, "type") {
            "Call" => vectors::call(&case["value"]).sign(&identity),
            "Seek" => vectors::seek(&case["value"]).sign(&identity),
            "Ask" => vectors::ask(&case["value"]).sign(&identity),
            "Bid" => vectors::bid(&case["value"]).sign(&identity),
            "Receipt" => vectors::receipt(&case["value"]).sign(&identity),
            other => panic!("unknown statement {other}"),
        };
        assert_eq!(made, vectors::signed(case), "{}", text(case, "type"));
        assert_eq!(open(text(case, "type"), &made, signer), Ok(()));
    }
}

/// (WI-8, WI-9)
#[test]
fn forged_statements_are_not_believed() {
    let vectors = file(SIGNED);
    for case in list(&vectors, "refused") {
        let signer = NodeId(fixed(&case["signer"]));
        let verdict = open(text(case, "type"), &vectors::signed(case), signer);
        let as_expected = match text(case, "error") {
            "forged" => verdict == Err(SignedFault::Forged),
            "unreadable" => matches!(verdict, Err(SignedFault::Unreadable(_))),
            other => panic!("unknown error {other}"),
        };
        assert!(as_expected, "{}: {verdict:?}", text(case, "why"));
    }
}

/// (WI-5)
#[test]
fn the_largest_frame_of_a_session_fits_a_message() {
    let bytes = vec![0x5a; BUCKET_BYTES_MAX + FRAME_OVERHEAD_BYTES];
    let frame = SealedFrame { job: JobId([1; 16]), nonce: u64::from(u32::MAX), bytes };
    let message = Message::ToClient(ToClient::Sealed(frame));
    let encoded = codec::encode(&message);
    assert!(encoded.len() <= FRAME_BYTES_MAX, "{} bytes", encoded.len());
    assert_eq!(codec::decode(&encoded), Ok(message));
}

/// (WI-7)
#[test]
fn a_message_of_the_other_side_is_never_taken_for_ones_own() {
    let release = codec::encode(&Message::ToProvider(ToProvider::Release(Release::of(
        CallId([1; 16]),
        ReleaseReason::TooLate,
    ))));
    let accept = Accept::of(JobId([1; 16]), vec![2; 48]);
    let accept = codec::encode(&Message::ToClient(ToClient::Accept(accept)));
    assert!(matches!(codec::decode(&release), Ok(Message::ToProvider(_))));
    assert!(matches!(codec::decode(&accept), Ok(Message::ToClient(_))));
}
