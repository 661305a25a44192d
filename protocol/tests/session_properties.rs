//! What holds for every session and every sealed message, whatever the transport and an attacker do to the bytes.
#![allow(clippy::unwrap_used)]

use bombyx_protocol::entropy::Entropy;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::session::{
    BODY_BYTES_MAX, BUCKET_BYTES_MAX, BUCKET_BYTES_MIN, FRAME_OVERHEAD_BYTES, Frame, HandshakeError,
    Initiator, REPLAY_WINDOW, SealError, Secure, SecureError, StaticKey, prologue, respond, seal, unseal,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Client and provider of one session, every random byte from `seed`.
fn session(seed: u8) -> (Secure, Secure) {
    let key = StaticKey::from_seed([seed; 32]);
    let prologue = prologue(&NodeId([1; 32]), &NodeId([2; 32]), &[3; 16]);
    let (client, first) = Initiator::start(&key.public(), &prologue, &mut Entropy::new([seed; 32])).unwrap();
    let (provider, reply) = respond(&key, &prologue, &first, &mut Entropy::new([!seed; 32])).unwrap();
    (client.finish(&reply).unwrap(), provider)
}

/// Body `n` of a test: tells its number, in one of several buckets.
fn body(n: usize) -> Vec<u8> {
    format!("{n:>width$}", width = 1 + n * 137 % 1100).into_bytes()
}

fn flip(bytes: &mut [u8], bit: usize) {
    let bit = bit % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// `SE-16`: `picks` is what the transport delivers: any order, any loss, any repetition.
    #[test]
    fn each_body_is_delivered_at_most_once_and_unchanged(count in 1..24_usize, picks in vec(0..24_usize, 0..80)) {
        let (mut client, mut provider) = session(1);
        let frames: Vec<Frame> = (0..count).map(|n| client.seal(&body(n), n + 1 == count).unwrap()).collect();
        let mut delivered = vec![false; count];
        for pick in picks.into_iter().map(|pick| pick % count) {
            let result = provider.open(frames[pick].nonce, &frames[pick].bytes);
            if delivered[pick] {
                prop_assert_eq!(result, Err(SecureError::Replayed { nonce: pick as u64 }));
            } else {
                let opened = result.unwrap();
                prop_assert_eq!(&opened.body, &body(pick));
                prop_assert_eq!(opened.last, pick + 1 == count);
                delivered[pick] = true;
            }
        }
    }

    /// `SE-17`, `SE-19`
    #[test]
    fn a_flipped_bit_anywhere_in_a_frame_is_refused_and_the_true_frame_still_opens(bit: usize, n in 0..9_usize) {
        let (mut client, mut provider) = session(2);
        let frame = client.seal(&body(n), true).unwrap();
        let mut altered = frame.bytes.clone();
        flip(&mut altered, bit);
        prop_assert_eq!(provider.open(0, &altered), Err(SecureError::Unauthentic { nonce: 0 }));
        prop_assert_eq!(provider.open(0, &frame.bytes).unwrap().body, body(n));
    }

    /// `SE-15`: whatever comes, the answer is an error and not a panic.
    #[test]
    fn bytes_that_no_sender_made_are_refused(
        nonce: u64,
        noise in prop_oneof![
            vec(any::<u8>(), 0..600),
            vec(any::<u8>(), BUCKET_BYTES_MIN + FRAME_OVERHEAD_BYTES),
        ],
    ) {
        let (mut client, mut provider) = session(3);
        prop_assert!(client.open(nonce, &noise).is_err());
        prop_assert!(provider.open(nonce, &noise).is_err());
        let key = StaticKey::from_seed([3; 32]);
        prop_assert!(respond(&key, &noise, &noise, &mut Entropy::new([3; 32])).is_err());
        prop_assert!(unseal(&key, b"", &noise).is_err());
    }

    /// `SE-13`: only the bucket shows, and each bucket is a power of two.
    #[test]
    fn the_length_of_a_frame_tells_the_bucket_only(length in 0..=BODY_BYTES_MAX) {
        let (mut client, mut provider) = session(4);
        let frame = client.seal(&vec![b'x'; length], false).unwrap();
        let bucket = frame.bytes.len() - FRAME_OVERHEAD_BYTES;
        prop_assert!(bucket.is_power_of_two() && (BUCKET_BYTES_MIN..=BUCKET_BYTES_MAX).contains(&bucket));
        prop_assert!(bucket >= length + 5 && (bucket == BUCKET_BYTES_MIN || bucket / 2 < length + 5));
        prop_assert_eq!(provider.open(0, &frame.bytes).unwrap().body.len(), length);
    }

    /// `SE-7`, `SE-8`, `SE-9`
    #[test]
    fn an_altered_or_cut_handshake_makes_no_session(bit: usize, cut in 0..48_usize) {
        let key = StaticKey::from_seed([5; 32]);
        let start = || Initiator::start(&key.public(), b"p", &mut Entropy::new([5; 32])).unwrap();
        let answer = |message: &[u8]| respond(&key, b"p", message, &mut Entropy::new([6; 32]));
        let (_, first) = start();
        let (_, reply) = answer(&first).unwrap();

        // The curve ignores the highest bit of a key, but the transcript does not.
        let mut altered = first.clone();
        flip(&mut altered, bit);
        prop_assert!(answer(&altered).is_err());
        prop_assert_eq!(answer(&first[..cut]).map(|_| ()), Err(HandshakeError::Length { got: cut }));

        let mut altered = reply.clone();
        flip(&mut altered, bit);
        prop_assert!(start().0.finish(&altered).is_err());
        prop_assert_eq!(start().0.finish(&reply[..cut]).map(|_| ()), Err(HandshakeError::Length { got: cut }));
    }

    /// `SE-4` to `SE-6`
    #[test]
    fn a_sealed_message_opens_for_its_key_in_its_context_only(text in vec(any::<u8>(), 0..900), bit: usize) {
        let key = StaticKey::from_seed([7; 32]);
        let mut sealed = seal(&key.public(), b"call 1", &text, &mut Entropy::new([8; 32])).unwrap();
        prop_assert_eq!(unseal(&key, b"call 1", &sealed), Ok(text));
        prop_assert_eq!(unseal(&key, b"call 2", &sealed), Err(SealError::Unauthentic));
        let other = StaticKey::from_seed([9; 32]);
        prop_assert_eq!(unseal(&other, b"call 1", &sealed), Err(SealError::Unauthentic));
        flip(&mut sealed, bit);
        prop_assert!(unseal(&key, b"call 1", &sealed).is_err());
    }
}

/// `SE-16`: at the window's edge.
#[test]
fn a_frame_may_be_late_by_the_window_and_no_more() {
    let (mut client, mut provider) = session(10);
    let frames: Vec<Frame> = (0..=REPLAY_WINDOW).map(|_| client.seal(b"", false).unwrap()).collect();
    let newest = frames.last().unwrap();
    provider.open(newest.nonce, &newest.bytes).unwrap();
    assert_eq!(provider.open(0, &frames[0].bytes), Err(SecureError::TooOld { nonce: 0 }));
    assert!(provider.open(1, &frames[1].bytes).is_ok());
    assert_eq!(provider.open(1, &frames[1].bytes), Err(SecureError::Replayed { nonce: 1 }));
}

/// `SE-1`, `SE-8`
#[test]
fn another_client_provider_job_or_key_makes_no_session() {
    let (client, provider, job) = (NodeId([1; 32]), NodeId([2; 32]), [3; 16]);
    let key = StaticKey::from_seed([12; 32]);
    let agreed = prologue(&client, &provider, &job);
    let (_, first) = Initiator::start(&key.public(), &agreed, &mut Entropy::new([13; 32])).unwrap();
    let answer = |key: &StaticKey, prologue: &[u8]| {
        respond(key, prologue, &first, &mut Entropy::new([14; 32])).map(|_| ())
    };
    for other in [
        prologue(&NodeId([9; 32]), &provider, &job),
        prologue(&client, &NodeId([9; 32]), &job),
        prologue(&client, &provider, &[9; 16]),
        prologue(&provider, &client, &job),
    ] {
        assert_eq!(answer(&key, &other), Err(HandshakeError::Unauthentic));
    }
    assert_eq!(answer(&StaticKey::from_seed([15; 32]), &agreed), Err(HandshakeError::Unauthentic));
    assert_eq!(answer(&key, &agreed), Ok(()));
}

/// `SE-2`: a recorded first message gives its replayer a session with keys that nobody else has.
#[test]
fn frames_of_one_session_do_not_open_in_another_nor_in_their_own_direction() {
    let key = StaticKey::from_seed([16; 32]);
    let mut provider_entropy = Entropy::new([17; 32]);
    let (client, first) = Initiator::start(&key.public(), b"p", &mut Entropy::new([18; 32])).unwrap();
    let (mut provider, reply) = respond(&key, b"p", &first, &mut provider_entropy).unwrap();
    let (mut replayed, _) = respond(&key, b"p", &first, &mut provider_entropy).unwrap();
    let mut client = client.finish(&reply).unwrap();
    assert_ne!(provider.binding(), replayed.binding());

    let frame = client.seal(b"prompt", true).unwrap();
    assert_eq!(replayed.open(0, &frame.bytes), Err(SecureError::Unauthentic { nonce: 0 }));
    assert_eq!(client.open(0, &frame.bytes), Err(SecureError::Unauthentic { nonce: 0 }));
    assert_eq!(provider.open(0, &frame.bytes).unwrap().body, b"prompt");
}

/// `SE-3`
#[test]
fn nobody_talks_to_a_key_of_small_order() {
    let mut entropy = Entropy::new([19; 32]);
    assert_eq!(Initiator::start(&[0; 32], b"p", &mut entropy).map(|_| ()), Err(HandshakeError::WeakKey));
    assert_eq!(seal(&[0; 32], b"c", b"bid", &mut entropy), Err(SealError::WeakKey));
}

/// `SE-13`: one byte above the limit.
#[test]
fn a_body_above_the_limit_is_refused_before_it_takes_a_number() {
    let (mut client, _) = session(20);
    let long = vec![0; BODY_BYTES_MAX + 1];
    assert_eq!(client.seal(&long, true), Err(SecureError::TooLong { got: long.len() }));
    assert_eq!(client.seal(&long[1..], true).unwrap().nonce, 0);
    let sealed = seal(&[9; 32], b"c", &long, &mut Entropy::new([21; 32]));
    assert_eq!(sealed, Err(SealError::TooLong { got: long.len() }));
}
