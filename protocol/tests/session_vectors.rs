//! The vectors of `spec/vectors/session`, which an independent implementation wrote: same bytes, same refusals.
#![allow(clippy::unwrap_used)]

use bombyx_protocol::entropy::Entropy;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::session::{
    End, Frame, HandshakeError, Initiator, PaddingError, SealError, Secure, SecureError, StaticKey, prologue,
    respond, seal, unseal,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct SealedFile {
    cases: Vec<SealedCase>,
    refused: Vec<RefusedSealed>,
}

#[derive(Deserialize)]
struct SealedCase {
    name: String,
    receiver_secret: String,
    receiver_public: String,
    entropy_seed: String,
    context: String,
    plaintext: String,
    sealed: String,
}

#[derive(Deserialize)]
struct RefusedSealed {
    name: String,
    error: String,
    receiver_secret: String,
    context: String,
    sealed: String,
}

#[derive(Deserialize)]
struct SessionFile {
    provider_secret: String,
    provider_public: String,
    client_id: String,
    provider_id: String,
    job: String,
    prologue: String,
    client_entropy_seed: String,
    provider_entropy_seed: String,
    first: String,
    reply: String,
    handshake_hash: String,
    client_frames: Vec<FrameCase>,
    provider_frames: Vec<FrameCase>,
    buckets: Vec<Bucket>,
    refused_handshakes: Vec<RefusedHandshake>,
    refused_frames: Vec<RefusedFrame>,
    window: Vec<WindowStep>,
    kept: Vec<KeptCase>,
    good_frame: FrameCase,
}

#[derive(Deserialize)]
struct KeptCase {
    number: u64,
    job: String,
    binding: String,
    client_frames: Vec<FrameCase>,
    provider_frames: Vec<FrameCase>,
}

#[derive(Deserialize)]
struct WindowStep {
    nonce: u64,
    opens: bool,
    bytes: String,
}

#[derive(Deserialize)]
struct FrameCase {
    nonce: u64,
    body: String,
    last: bool,
    bytes: String,
}

#[derive(Deserialize)]
struct Bucket {
    body_bytes: usize,
    frame_bytes: Option<usize>,
}

#[derive(Deserialize)]
struct RefusedHandshake {
    step: String,
    name: String,
    error: String,
    message: String,
}

#[derive(Deserialize)]
struct RefusedFrame {
    name: String,
    error: String,
    nonce: u64,
    bytes: String,
}

fn sealed_file() -> SealedFile {
    serde_json::from_str(include_str!("../../spec/vectors/session/sealed.json")).unwrap()
}

fn session_file() -> SessionFile {
    serde_json::from_str(include_str!("../../spec/vectors/session/session.json")).unwrap()
}

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn array<const N: usize>(text: &str) -> [u8; N] {
    bytes(text).try_into().unwrap()
}

/// What the vectors call a malformed block.
fn padding_name(error: PaddingError) -> &'static str {
    match error {
        PaddingError::Version(_) => "version",
        PaddingError::Bucket { .. } => "bucket",
        PaddingError::NotZero => "padding",
    }
}

fn seal_name(error: SealError) -> &'static str {
    match error {
        SealError::TooLong { .. } => "too long",
        SealError::Length { .. } => "length",
        SealError::WeakKey => "weak key",
        SealError::Unauthentic => "unauthentic",
        SealError::Malformed(cause) => padding_name(cause),
        SealError::Partial => "partial",
    }
}

fn handshake_name(error: HandshakeError) -> &'static str {
    match error {
        HandshakeError::Length { .. } => "length",
        HandshakeError::WeakKey => "weak key",
        HandshakeError::Unauthentic => "unauthentic",
    }
}

fn secure_name(error: SecureError) -> &'static str {
    match error {
        SecureError::TooLong { .. } => "too long",
        SecureError::Exhausted => "exhausted",
        SecureError::Length { .. } => "length",
        SecureError::Replayed { .. } => "replayed",
        SecureError::TooOld { .. } => "too old",
        SecureError::Unauthentic { .. } => "unauthentic",
        SecureError::Malformed { cause, .. } => padding_name(cause),
    }
}

fn start(file: &SessionFile) -> (Initiator, Vec<u8>) {
    let mut entropy = Entropy::new(array(&file.client_entropy_seed));
    Initiator::start(&array(&file.provider_public), &bytes(&file.prologue), &mut entropy).unwrap()
}

/// Client and provider after the handshake of the file.
fn session(file: &SessionFile) -> (Secure, Secure) {
    let key = StaticKey::from_seed(array(&file.provider_secret));
    let (client, first) = start(file);
    let mut entropy = Entropy::new(array(&file.provider_entropy_seed));
    let (provider, reply) = respond(&key, &bytes(&file.prologue), &first, &mut entropy).unwrap();
    (client.finish(&reply).unwrap(), provider)
}

/// `SE-2`, `SE-4`, `SE-13`
#[test]
fn sealing_gives_the_bytes_of_the_vectors_and_unsealing_gives_the_plaintext_back() {
    for case in sealed_file().cases {
        let key = StaticKey::from_seed(array(&case.receiver_secret));
        assert_eq!(key.public(), array(&case.receiver_public));
        let (context, plaintext) = (bytes(&case.context), bytes(&case.plaintext));
        let mut entropy = Entropy::new(array(&case.entropy_seed));
        let sealed = seal(&key.public(), &context, &plaintext, &mut entropy).unwrap();
        assert_eq!(hex::encode(&sealed), case.sealed, "{}", case.name);
        assert_eq!(unseal(&key, &context, &sealed).unwrap(), plaintext, "{}", case.name);
    }
}

/// `SE-3`, `SE-5`, `SE-6`
#[test]
fn sealed_messages_of_the_negative_vectors_are_refused() {
    for case in sealed_file().refused {
        let key = StaticKey::from_seed(array(&case.receiver_secret));
        let refused = unseal(&key, &bytes(&case.context), &bytes(&case.sealed)).map_err(seal_name);
        assert_eq!(refused, Err(case.error.as_str()), "{}", case.name);
    }
}

/// `SE-1`, `SE-2`, `SE-7`, `SE-8`, `SE-10`
#[test]
fn a_handshake_gives_the_bytes_and_the_hash_of_the_vectors() {
    let file = session_file();
    let ids = (NodeId(array(&file.client_id)), NodeId(array(&file.provider_id)));
    let prologue = prologue(&ids.0, &ids.1, &array(&file.job));
    assert_eq!(hex::encode(&prologue), file.prologue);

    let (client, first) = start(&file);
    assert_eq!(hex::encode(&first), file.first);
    let key = StaticKey::from_seed(array(&file.provider_secret));
    let mut entropy = Entropy::new(array(&file.provider_entropy_seed));
    let (provider, reply) = respond(&key, &prologue, &first, &mut entropy).unwrap();
    assert_eq!(hex::encode(&reply), file.reply);
    assert_eq!(hex::encode(provider.binding()), file.handshake_hash);
    assert_eq!(hex::encode(client.finish(&reply).unwrap().binding()), file.handshake_hash);
}

/// `SE-11`, `SE-13`, `SE-14`
#[test]
fn frames_have_the_bytes_of_the_vectors_in_both_directions() {
    let file = session_file();
    let (mut client, mut provider) = session(&file);
    check_frames(&mut client, &mut provider, &file.client_frames);
    check_frames(&mut provider, &mut client, &file.provider_frames);
}

/// `SE-23`, `SE-24`: both ends keep the same, and each further job has the keys of its ids and its number.
#[test]
fn a_kept_session_gives_the_frames_of_the_vectors() {
    let file = session_file();
    let (mut client, mut provider) = session(&file);
    let kept = [client.take_kept().unwrap(), provider.take_kept().unwrap()];
    let ids = (NodeId(array(&file.client_id)), NodeId(array(&file.provider_id)));
    assert!(!file.kept.is_empty());
    for case in &file.kept {
        let prologue = prologue(&ids.0, &ids.1, &array(&case.job));
        let mut client = Secure::kept(&kept[0], End::Client, &prologue, case.number);
        let mut provider = Secure::kept(&kept[1], End::Provider, &prologue, case.number);
        assert_eq!([client.binding(), provider.binding()].map(hex::encode), [&*case.binding; 2]);
        check_frames(&mut client, &mut provider, &case.client_frames);
        check_frames(&mut provider, &mut client, &case.provider_frames);
    }
}

fn check_frames(from: &mut Secure, to: &mut Secure, frames: &[FrameCase]) {
    for case in frames {
        let frame = from.seal(&bytes(&case.body), case.last).unwrap();
        assert_eq!(frame.nonce, case.nonce);
        assert_eq!(hex::encode(&frame.bytes), case.bytes, "frame {}", case.nonce);
        let Frame { nonce, bytes } = frame;
        let opened = to.open(nonce, &bytes).unwrap();
        assert_eq!((hex::encode(&opened.body), opened.last), (case.body.clone(), case.last));
        assert_eq!(to.open(nonce, &bytes).map_err(secure_name), Err("replayed"), "frame {nonce}");
    }
}

/// `SE-13`
#[test]
fn the_length_of_a_frame_is_its_bucket_at_every_edge() {
    let file = session_file();
    let (mut client, _) = session(&file);
    for case in &file.buckets {
        let frame = client.seal(&vec![0; case.body_bytes], true);
        assert_eq!(frame.ok().map(|frame| frame.bytes.len()), case.frame_bytes, "{} bytes", case.body_bytes);
    }
}

/// `SE-3`, `SE-7`, `SE-8`
#[test]
fn handshakes_of_the_negative_vectors_are_refused() {
    let file = session_file();
    let key = StaticKey::from_seed(array(&file.provider_secret));
    for case in &file.refused_handshakes {
        let message = bytes(&case.message);
        let result = match case.step.as_str() {
            "respond" => {
                respond(&key, &bytes(&file.prologue), &message, &mut Entropy::new([1; 32])).map(|_| ())
            }
            "finish" => start(&file).0.finish(&message).map(|_| ()),
            step => panic!("the vectors name a step {step:?}"),
        };
        assert_eq!(result.map_err(handshake_name), Err(case.error.as_str()), "{}: {}", case.step, case.name);
    }
}

/// `SE-15`, `SE-17`, `SE-18`, `SE-19`
#[test]
fn frames_of_the_negative_vectors_are_refused_and_change_nothing() {
    let file = session_file();
    for case in &file.refused_frames {
        let (_, mut provider) = session(&file);
        let refused = provider.open(case.nonce, &bytes(&case.bytes)).map_err(secure_name);
        assert_eq!(refused, Err(case.error.as_str()), "{}", case.name);
        let good = &file.good_frame;
        let opened = provider.open(good.nonce, &bytes(&good.bytes)).unwrap();
        assert_eq!((hex::encode(opened.body), opened.last), (good.body.clone(), good.last), "{}", case.name);
    }
}

/// `SE-16`
#[test]
fn the_window_of_numbers_is_as_wide_as_the_vectors_say_and_moves_with_the_highest() {
    let file = session_file();
    let (_, mut provider) = session(&file);
    for (place, step) in file.window.iter().enumerate() {
        let opened = provider.open(step.nonce, &bytes(&step.bytes));
        assert_eq!(opened.is_ok(), step.opens, "step {place}: number {}", step.nonce);
    }
    assert!(file.window.len() > 10);
}
