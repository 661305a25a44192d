//! Both sides of an upgrade: a peer of a later version says more than this one knows, and the two do business all the same,
//! or part without a fault.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

mod buyer;
#[path = "../drive/mod.rs"]
mod drive;
mod seller;

use bombyx_protocol::ident::Prefix;
use bombyx_protocol::io::{Failure, Input, Output, PeerFault};
use bombyx_protocol::time::Time;
use bombyx_protocol::wire::extension::{Extension, Extensions, Features};
use bombyx_protocol::wire::message::{Message, Refusal, SealedFrame, ToClient, ToProvider};
use buyer::{Later, provider};
use drive::give;
use seller::{LATE, Seller, caller, failed_over};

const START: Time = Time(1_000_000);
/// Extensions of a later version: what may be ignored, and what must be understood.
const ODD: &[u16] = &[1, 77, u16::MAX];
const EVEN: &[u16] = &[1, 78];
/// Features of a later version.
const LATER: Features = Features(u64::MAX);

fn bearing(kinds: &[u16]) -> Extensions {
    let entry = |kind: &u16| Extension { kind: *kind, value: vec![0xe5; 9] };
    Extensions::new(kinds.iter().map(entry).collect()).unwrap()
}

/// (SE-18, SE-19)
#[test]
fn a_block_that_only_the_peer_can_have_made_wrong_ends_the_job_and_is_held_against_it() {
    // A well-formed block of one byte, and what a later version or a careless padding makes of it.
    let mut good = vec![0; 256];
    good[..6].copy_from_slice(&[0x11, 1, 0, 0, 0, 9]);
    let wrong = |at: usize, byte: u8| {
        let mut block = good.clone();
        block[at] = byte;
        block
    };
    for block in [wrong(0, 0x21), wrong(0, 0x19), wrong(255, 1)] {
        let (mut provider, mut later) = (provider(), Later::new());
        let mut opened = later.award(&mut provider, &[]).1.unwrap();
        let frame = opened.secure.seal_block(&block).unwrap();
        let frame = SealedFrame { job: opened.job, nonce: frame.nonce, bytes: frame.bytes };
        let outputs = give(&mut provider, START, later.says(ToProvider::Sealed(frame)));
        let refused = outputs.iter().any(|output| {
            let Output::Send { message: Message::ToClient(ToClient::Refuse(refuse)), .. } = output else {
                return false;
            };
            refuse.why == Refusal::Malformed
        });
        assert!(refused && at_fault(&outputs), "{outputs:?}");

        let ((mut client, call), mut seller) = (caller(), Seller::new());
        let (award, _) = seller.accepts(&mut client, &call, ODD);
        let frame = seller.secure.as_mut().unwrap().seal_block(&block).unwrap();
        let frame = SealedFrame { job: award.job, nonce: frame.nonce, bytes: frame.bytes };
        let message = Message::ToClient(ToClient::Sealed(frame));
        let from = seller.identity.id();
        let outputs = give(&mut client, LATE, Input::Received { from, prefix: Prefix::UNKNOWN, message });
        assert_eq!(failed_over(&outputs), [Failure::Session]);
        assert!(at_fault(&outputs), "{outputs:?}");
    }
}

fn at_fault(outputs: &[Output]) -> bool {
    outputs.iter().any(|output| matches!(output, Output::Fault { fault: PeerFault::Malformed, .. }))
}
