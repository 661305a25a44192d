//! `01-wire.md`: frames, layouts, signatures, and how they change.

use std::time::Duration;

use bombyx_protocol::ident::{Identity, NodeId, Signature};
use bombyx_protocol::limits::{CLOCK_SKEW_S_MAX, EXTENSION_BYTES_MAX, EXTENSIONS_MAX, FRAME_BYTES_MAX};
use bombyx_protocol::market::call::CallId;
use bombyx_protocol::market::seek::Seek;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::extension::{Extension, Extensions, Features};
use bombyx_protocol::wire::message::{Gossip, Message, Refusal, Release, ReleaseReason, ToProvider};
use bombyx_protocol::wire::signed::Signed;
use futures::future::join_all;
use tokio::time::{Instant, sleep, timeout_at};

use super::buyer::AwardAnswer;
use super::guest::Guest;
use super::subject::{ANSWER, Subject};
use super::verdict::{Checked, Finding, broken, holds, idle};
use crate::net::probe::Heard;
use crate::net::unix_s;

/// Until a node has closed a connection that it wants no more.
const CUT: Duration = Duration::from_secs(5);
/// How long a listener is watched that must hear nothing.
const GOSSIP: Duration = Duration::from_millis(900);
/// How long a connection is watched that must stand.
const STANDS: Duration = Duration::from_millis(700);

pub(super) async fn identify(subject: &Subject) -> Checked {
    let (said, wanted) = (&subject.identified.version, format!("/bombyx/{}", subject.network));
    holds(*said == wanted, || format!("identify says {said:?} and not {wanted:?}"))?;
    holds(subject.identified.protocols.contains("/bombyx/msg/1"), || {
        "identify does not name /bombyx/msg/1".into()
    })
}

pub(super) async fn greeting(subject: &Subject) -> Checked {
    let guest = subject.guest().await?;
    let mut stream = guest.probe.open_messages().await?;
    match stream.read(1, STANDS).await {
        Err(why) if why.kind() == std::io::ErrorKind::TimedOut => Ok(()),
        Err(why) => broken(format!("a stream of messages ends after its first byte: {why}")),
        Ok(_) => broken("the node says more than one byte on a stream that it accepted"),
    }
}

pub(super) async fn oversized(subject: &Subject) -> Checked {
    let mut guest = subject.guest().await?;
    // A frame of the largest size is no offence for its size; what is in it is none of the messages.
    guest.send_bytes(&vec![0; FRAME_BYTES_MAX]).await?;
    holds(!guest.is_cut(STANDS).await, || {
        format!("a frame of {FRAME_BYTES_MAX} bytes, as long as one may be, ends the connection")
    })?;
    let mut stream = guest.probe.open_messages().await?;
    let length = u32::try_from(FRAME_BYTES_MAX + 1).unwrap_or(u32::MAX);
    stream.write(&length.to_le_bytes()).await?;
    // It may be cut before.
    let _ = stream.write(&[0; 64]).await;
    holds(stream.ends(CUT).await, || {
        format!("a stream that announces a frame of {length} bytes is not closed")
    })?;
    blocked(subject, &mut guest).await
}

/// Checks that the node has blocked a guest, which is cut off and finds no way back.
async fn blocked(subject: &Subject, guest: &mut Guest) -> Checked {
    let is_cut = guest.is_cut(CUT).await;
    holds(is_cut, || "the peer is not blocked for 100 points: its connection stands".into())?;
    if let Ok(mut again) = Guest::connect(guest.seed(), &subject.network, &subject.address).await {
        holds(again.is_cut(CUT).await, || "a peer that is blocked comes again and stays".into())?;
    }
    subject.still_talks().await
}

/// A way to make a good message one that is none.
type Spoil = fn(Vec<u8>) -> Vec<u8>;

/// Ways to be no message. All begin as a seek that would be answered.
const MALFORMED: [(&str, Spoil); 9] = [
    ("a byte after the message", |mut bytes| {
        bytes.push(0);
        bytes
    }),
    ("a message cut short", |mut bytes| {
        bytes.pop();
        bytes
    }),
    ("an unknown variant", |bytes| with(bytes, 4, &99u32.to_le_bytes())),
    ("an optional value that is neither there nor not", |bytes| with(bytes, OPTION, &[2])),
    ("a length beyond the message", |bytes| tail(bytes, &u64::MAX.to_le_bytes())),
    ("extensions out of order", |bytes| tail(bytes, &codec::encode(&entries(&[3, 1], 0)))),
    ("an extension twice", |bytes| tail(bytes, &codec::encode(&entries(&[3, 3], 0)))),
    ("too many extensions", |bytes| {
        let kinds: Vec<u16> = (0..=EXTENSIONS_MAX).map(|at| 2 * at as u16 + 1).collect();
        tail(bytes, &codec::encode(&entries(&kinds, 0)))
    }),
    ("extensions too long", |bytes| tail(bytes, &codec::encode(&entries(&[1], EXTENSION_BYTES_MAX + 1)))),
];

/// Where a direct seek says whether it names a model: behind two variants, its id and its client.
const OPTION: usize = 4 + 4 + 16 + 32;

fn with(mut bytes: Vec<u8>, at: usize, these: &[u8]) -> Vec<u8> {
    bytes.splice(at..at + these.len(), these.iter().copied());
    bytes
}

/// Puts something in the place of the extensions, of which there are none.
fn tail(mut bytes: Vec<u8>, these: &[u8]) -> Vec<u8> {
    bytes.truncate(bytes.len().saturating_sub(8));
    bytes.extend_from_slice(these);
    bytes
}

fn entries(kinds: &[u16], bytes: usize) -> Vec<Extension> {
    kinds.iter().map(|kind| Extension { kind: *kind, value: vec![7; bytes] }).collect()
}

pub(super) async fn malformed(subject: &Subject) -> Checked {
    let tried = MALFORMED.iter().map(|(what, spoil)| async move {
        let mut guest = subject.guest().await?;
        let seek = subject.seek(&mut guest, None);
        let bytes = spoil(codec::encode(&Message::ToProvider(ToProvider::Seek(seek))));
        for _ in 0..3 {
            guest.send_bytes(&bytes).await?;
        }
        holds(!guest.is_cut(STANDS).await, || format!("{what}: three times, 75 points, end the connection"))?;
        guest.send_bytes(&bytes).await?;
        holds(guest.is_cut(CUT).await, || format!("{what}: four times, 100 points, do not block the peer"))?;
        Ok::<(), Finding>(())
    });
    join_all(tried).await.into_iter().collect::<Checked>()?;
    subject.still_talks().await
}

pub(super) async fn unknown_words(subject: &Subject) -> Checked {
    let mut guest = subject.guest().await?;
    // A reason that nobody knows, five times; each would be 25 points if it were malformed.
    for _ in 0..5 {
        let call = CallId(guest.entropy.bytes());
        let release = Release::of(call, ReleaseReason::Other(4_000_000));
        guest.send(ToProvider::Release(release)).await?;
    }
    holds(!guest.is_cut(STANDS).await, || "a release for an unknown reason is held against the peer".into())?;
    subject.model()?;
    let mut seek = subject.seek(&mut guest, None);
    seek.features = Features(u64::MAX);
    answers(subject, &mut guest, seek, "a seek whose signer announces unknown features").await
}

/// Checks that a seek is answered.
async fn answers(subject: &Subject, guest: &mut Guest, seek: Seek, what: &str) -> Checked {
    guest.send(ToProvider::Seek(seek.clone())).await?;
    let asks = subject.hear_asks(guest, &seek).await?;
    holds(!asks.is_empty(), || format!("{what} gets no answer"))
}

/// Checks that none of these seeks is answered, that a good one after them is, and that nothing is held against the peer.
pub(super) async fn ignored(subject: &Subject, guest: &mut Guest, seeks: &[(String, Seek)]) -> Checked {
    for (_, seek) in seeks {
        guest.send(ToProvider::Seek(seek.clone())).await?;
    }
    let good = subject.seek(guest, None);
    guest.send(ToProvider::Seek(good.clone())).await?;
    let until = Instant::now() + ANSWER;
    let mut is_answered = false;
    while let Ok(Some(heard)) = timeout_at(until, guest.probe.heard.recv()).await {
        let Heard::Message(bytes) = heard else { continue };
        let Ok(Message::ToClient(bombyx_protocol::wire::message::ToClient::Ask(ask))) = codec::decode(&bytes)
        else {
            continue;
        };
        let Ok(ask) = ask.open::<bombyx_protocol::market::ask::Ask>() else { continue };
        if let Some((what, _)) = seeks.iter().find(|(_, seek)| seek.id == ask.seek) {
            return broken(format!("{what} is answered"));
        }
        if ask.seek == good.id {
            is_answered = true;
            break;
        }
    }
    holds(is_answered, || "after what must be ignored, a good seek gets no answer".into())?;
    holds(!guest.is_cut(STANDS).await, || "what must be ignored is held against the peer".into())
}

pub(super) async fn clocks(subject: &Subject) -> Checked {
    subject.model()?;
    let mut guest = subject.guest().await?;
    let now = unix_s();
    // With room for a clock that is a little off.
    let far = CLOCK_SKEW_S_MAX + 60;
    let mut seeks = Vec::new();
    for (what, made_s) in [
        ("a seek of an earlier time", now - far),
        ("a seek of a later time", now + far),
        ("a seek of the year 1970", 0),
        ("a seek of the end of time", u64::MAX),
        ("a seek of an earlier hour", now - 3_600),
    ] {
        let mut seek = subject.seek(&mut guest, None);
        seek.made_s = made_s;
        seeks.push((what.to_owned(), seek));
    }
    ignored(subject, &mut guest, &seeks).await?;
    let mut seek = subject.seek(&mut guest, None);
    seek.made_s = now - CLOCK_SKEW_S_MAX / 2;
    answers(subject, &mut guest, seek, "a seek that is a minute old").await
}

fn extensions(kind: u16) -> Extensions {
    Extensions::new(entries(&[kind], 5)).unwrap_or(Extensions::NONE)
}

/// Types for experiments, which are never assigned.
const ODD: u16 = 32_769;
const EVEN: u16 = 32_770;

pub(super) async fn extensions_of_seeks(subject: &Subject) -> Checked {
    subject.model()?;
    let mut guest = subject.guest().await?;
    let mut seek = subject.seek(&mut guest, None);
    seek.extensions = extensions(ODD);
    answers(subject, &mut guest, seek, "a seek with an unknown odd extension").await?;
    let mut seeks = Vec::new();
    for _ in 0..5 {
        let mut seek = subject.seek(&mut guest, None);
        seek.extensions = extensions(EVEN);
        seeks.push(("a seek with an unknown even extension".to_owned(), seek));
    }
    ignored(subject, &mut guest, &seeks).await
}

pub(super) async fn extensions_of_awards(subject: &Subject) -> Checked {
    let mut guest = subject.guest().await?;
    let won = guest.win(subject).await?;
    let (mut award, initiator) = guest.make_award(&won, won.bid.price)?;
    award.extensions = extensions(EVEN);
    refused(
        guest.offer(award, initiator).await?,
        Refusal::NotUnderstood,
        "an award with an unknown even extension",
    )?;
    let (mut award, initiator) = guest.make_award(&won, won.bid.price)?;
    award.extensions = extensions(ODD);
    match guest.offer(award, initiator).await? {
        AwardAnswer::Accepted(_) => Ok(()),
        AwardAnswer::Refused(Refusal::Busy) => idle("the node is busy"),
        AwardAnswer::Refused(why) => {
            broken(format!("an award with an unknown odd extension is refused: {why:?}"))
        }
        AwardAnswer::Silence => broken("an award with an unknown odd extension gets no answer"),
    }
}

/// Checks that an award is refused for this reason.
pub(super) fn refused(answer: AwardAnswer, wanted: Refusal, what: &str) -> Checked {
    match answer {
        AwardAnswer::Refused(why) if why == wanted => Ok(()),
        AwardAnswer::Refused(Refusal::Busy) => idle("the node is busy"),
        AwardAnswer::Refused(why) => broken(format!("{what} is refused as {why:?} and not as {wanted:?}")),
        AwardAnswer::Accepted(_) => broken(format!("{what} is taken")),
        AwardAnswer::Silence => broken(format!("{what} gets no answer; it is refused as {wanted:?}")),
    }
}

/// A seek that only looks signed: a key of small order under which the neutral element verifies for everything.
fn of_small_order(seek: &Seek) -> Gossip {
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let seek = Seek { client: NodeId(neutral), ..seek.clone() };
    let mut signature = [0; 64];
    signature[0] = 1;
    Gossip::Seek(Signed { body: codec::encode(&seek), signature: Signature(signature) })
}

pub(super) async fn forwarding(subject: &Subject) -> Checked {
    if !subject.topics.contains(&subject.market_topic()) {
        return idle("the node does not listen to the market's topic");
    }
    let mut listener = subject.guest().await?;
    listener.probe.subscribe("market").await?;
    let mut speaker = subject.guest().await?;
    let mut passes = false;
    for _ in 0..10 {
        let seek = subject.seek(&mut speaker, None);
        let good = Gossip::Seek(seek.sign(&speaker.identity));
        if passes_on(&mut listener, &mut speaker, &good, GOSSIP).await? {
            passes = true;
            break;
        }
    }
    holds(passes, || "a true seek is not forwarded to a listener of its topic".into())?;
    let mut even = subject.seek(&mut speaker, None);
    even.extensions = extensions(EVEN);
    let even = Gossip::Seek(even.sign(&speaker.identity));
    holds(passes_on(&mut listener, &mut speaker, &even, ANSWER).await?, || {
        "a seek with an unknown even extension is not forwarded".into()
    })?;
    let mut stale = subject.seek(&mut speaker, None);
    stale.made_s -= CLOCK_SKEW_S_MAX + 60;
    let stale = Gossip::Seek(stale.sign(&speaker.identity));
    holds(!passes_on(&mut listener, &mut speaker, &stale, GOSSIP).await?, || {
        "a seek of another time is forwarded".into()
    })?;
    // Each of these counts against its forwarder, so each has one of its own.
    let mut liar = subject.guest().await?;
    let seek = subject.seek(&mut liar, None);
    let somebody = Identity::from_seed(&liar.entropy.bytes());
    let forged = Gossip::Seek(seek.sign(&somebody));
    holds(!passes_on(&mut listener, &mut liar, &forged, GOSSIP).await?, || {
        "a forged seek is forwarded".into()
    })?;
    let mut liar = subject.guest().await?;
    let weak = of_small_order(&subject.seek(&mut liar, None));
    holds(!passes_on(&mut listener, &mut liar, &weak, GOSSIP).await?, || {
        "a seek that is signed under a key of small order is forwarded".into()
    })?;
    let mut liar = subject.guest().await?;
    let elsewhere = bombyx_protocol::work::order::ModelId(liar.entropy.bytes());
    let elsewhere = subject.seek(&mut liar, Some(elsewhere));
    let elsewhere = Gossip::Seek(elsewhere.sign(&liar.identity));
    holds(!passes_on(&mut listener, &mut liar, &elsewhere, GOSSIP).await?, || {
        "a seek for a model is forwarded on the market's topic".into()
    })
}

/// Says something on the market's topic, and returns whether the listener hears it from the node.
async fn passes_on(
    listener: &mut Guest,
    speaker: &mut Guest,
    gossip: &Gossip,
    within: Duration,
) -> Checked<bool> {
    let said = codec::encode(gossip);
    speaker.knows_listener("market").await;
    speaker.gossip("market", gossip).await?;
    let until = Instant::now() + within;
    while let Ok(Some(heard)) = timeout_at(until, listener.probe.heard.recv()).await {
        if let Heard::Gossip { bytes, .. } = heard
            && bytes == said
        {
            return Ok(true);
        }
    }
    // A graft takes a heartbeat.
    sleep(Duration::from_millis(100)).await;
    Ok(false)
}
