//! The bodies of the fuzz targets, shared by libFuzzer and the replay in the test run.
//!
//! A body takes any bytes and panics when a promise is broken: a decoder that panics or takes two encodings for one
//! value, a machine that panics, never comes to rest, asks to be woken in the past, speaks before it has written, or
//! keeps an order or a job for ever.
#![allow(dead_code, unused_imports, unreachable_pub, missing_docs)]

mod bench;
mod client;
mod provider;

use bombyx_protocol::channel::record::Record;
use bombyx_protocol::entropy::Entropy;
use bombyx_protocol::ident::{Domain, NodeId};
use bombyx_protocol::market::ask::Ask;
use bombyx_protocol::market::bid::Bid;
use bombyx_protocol::market::call::Call;
use bombyx_protocol::market::seek::Seek;
use bombyx_protocol::session::{Initiator, StaticKey, respond, unseal};
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::{Content, FromClient, FromProvider, Gossip, Message};
use bombyx_protocol::wire::signed::Signed;
use bombyx_protocol::work::order::Task;
use bombyx_protocol::work::receipt::Receipt;

pub use client::{client_input, client_pays};
pub use provider::{provider_earns, provider_input};

/// Decodes with one entry point; whatever is believed has these bytes and no others.
macro_rules! decoded {
    ($decode:ident, $kind:ty, $data:expr) => {{
        let value: Option<$kind> = codec::$decode($data).ok();
        if let Some(value) = &value {
            assert_eq!(codec::encode(value), $data, "two encodings of one {}", stringify!($kind));
        }
        value
    }};
}

/// Every way in which bytes from outside are read.
pub fn decode(data: &[u8]) {
    if let Some(Gossip::Call(signed) | Gossip::Seek(signed)) = decoded!(decode_gossip, Gossip, data) {
        statements(&signed);
    }
    if let Some(signed) = decoded!(decode_sealed, Signed, data) {
        statements(&signed);
    }
    if let Some(FromProvider::Chunk(chunk)) = decoded!(decode_sealed, FromProvider, data) {
        chunk.receipt.as_ref().into_iter().for_each(statements);
        decoded!(decode_sealed, Content, chunk.content.as_slice());
    }
    if let Some(FromClient::Work(work)) = decoded!(decode_sealed, FromClient, data) {
        let _ = (work.task.check(), work.channel.check(-3), work.channel.account());
        let _ = (work.task.input_tokens_max(), work.task.output_tokens_max());
    }
    decoded!(decode, Message, data);
    decoded!(decode_sealed, Content, data);
    decoded!(decode_sealed, Task, data);
    decoded!(decode, Call, data);
    decoded!(decode, Seek, data);
    decoded!(decode, Ask, data);
    decoded!(decode, Bid, data);
    decoded!(decode, Receipt, data);
    if let Some(record) = decoded!(decode, Record, data) {
        let _ = record.key();
    }
    session(data);
}

fn statements(signed: &Signed) {
    let _ = (signed.open::<Call>(), signed.open::<Ask>(), signed.open::<Bid>(), signed.open::<Seek>());
    let _ = signed.open_by::<Receipt>(NodeId([2; 32]), Domain::Receipt);
}

/// The bytes as a sealed message, as either half of a handshake, and as a frame.
fn session(data: &[u8]) {
    let key = StaticKey::from_seed([1; 32]);
    let mut entropy = Entropy::new([2; 32]);
    assert!(unseal(&key, b"call", data).is_err(), "nothing was sealed to this key");
    let _ = respond(&key, b"prologue", data, &mut entropy);
    if data.len() != 48 && data.len() < 256 {
        return;
    }
    let Ok((initiator, first)) = Initiator::start(&key.public(), b"prologue", &mut entropy) else { return };
    let Ok((mut secure, _)) = respond(&key, b"prologue", &first, &mut entropy) else { return };
    assert!(secure.open(0, data).is_err(), "nobody has the keys of this session");
    assert!(initiator.finish(data).is_err(), "nobody has answered");
}
