//! Direct messages coming in: one reader per stream, frames within limits, each peer at a bounded rate.
//!
//! A stream of the protocol `/bombyx/msg/1` carries, from its opener, any number of frames: a length (`u32`, little
//! endian, at most `FRAME_BYTES_MAX`) and that many bytes. The acceptor writes one byte, [`GREETING`], when it has
//! taken the stream over; until then the opener counts its first frame as undelivered. (`WI-10`)

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::limits::FRAME_BYTES_MAX;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _};
use libp2p::{PeerId, StreamProtocol};
use libp2p_stream::IncomingStreams;
use tokio::sync::mpsc;
use tokio::time::timeout;
use web_time::Instant;

use super::flow::Pools;
use super::friends::Friends;
use super::joint::{Fault, NetEvent};
use super::places::{Place, Places};
use super::prefix::Prefixes;
use super::request::StreamRequest;
use super::{address, limits};

/// The protocol of direct messages.
pub(super) const MESSAGES: StreamProtocol = StreamProtocol::new("/bombyx/msg/1");

/// What the acceptor of a stream writes once: "I read this stream".
pub(super) const GREETING: u8 = 1;

/// Writes one frame.
pub(super) async fn write_frame(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    // One write, so that a frame is one packet where it fits.
    let mut frame = Vec::with_capacity(4 + bytes.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(bytes);
    stream.write_all(&frame).await?;
    stream.flush().await
}

/// Accepts streams for as long as the swarm lives.
///
/// libp2p-stream holds a single stream for the acceptor and drops the next one, so each is given away at once.
pub(super) async fn accept(
    mut incoming: IncomingStreams,
    events: mpsc::Sender<NetEvent>,
    requests: mpsc::Sender<StreamRequest>,
    limiter: Arc<InboundLimiter>,
    (prefixes, friends): (Prefixes, Friends),
) {
    while let Some((peer, stream)) = incoming.next().await {
        let Some(node) = address::node_of(&peer) else { continue };
        let prefix = prefixes.of(Some(node));
        let Some(permit) = InboundLimiter::admit(&limiter, peer, prefix, friends.has(&peer)) else {
            tracing::debug!(%peer, "too many streams; one more is refused");
            continue;
        };
        let (events, requests, friends) = (events.clone(), requests.clone(), friends.clone());
        let reader = Reader { peer, node, permit, friends, events, requests };
        tokio::spawn(reader.run(stream));
    }
}

/// Reads one stream of one peer.
struct Reader {
    peer: PeerId,
    node: NodeId,
    permit: StreamPermit,
    friends: Friends,
    events: mpsc::Sender<NetEvent>,
    requests: mpsc::Sender<StreamRequest>,
}

/// Why a reader stopped.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("the stream ended or broke: {0}")]
    Stream(#[from] io::Error),
    #[error("the peer was silent for too long")]
    Silent(#[from] tokio::time::error::Elapsed),
    #[error("a frame of {0} bytes was announced")]
    Oversized(usize),
    #[error("the node has stopped")]
    Stopped,
}

impl Reader {
    async fn run(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let Err(why) = self.read(&mut stream).await;
        tracing::trace!(peer = %self.peer, %why, "an inbound stream ends");
        if let ReadError::Oversized(_) = why {
            let request = StreamRequest::Penalise { peer: self.peer, fault: Fault::OversizedFrame };
            // A closed queue means that the swarm has stopped, and the peer is gone with it.
            let _ = self.requests.send(request).await;
        }
    }

    /// Returns how long the peer may be silent. (`NE-4`)
    fn patience(&self) -> Duration {
        if self.friends.has(&self.peer) { limits::INBOUND_IDLE } else { limits::STRANGER_SILENCE }
    }

    async fn read(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ) -> Result<std::convert::Infallible, ReadError> {
        let greet = async {
            stream.write_all(&[GREETING]).await?;
            stream.flush().await
        };
        timeout(limits::FRAME_DEADLINE, greet).await??;
        loop {
            let mut length = [0; 4];
            timeout(self.patience(), stream.read_exact(&mut length)).await??;
            let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
            if length > FRAME_BYTES_MAX {
                return Err(ReadError::Oversized(length));
            }
            // Reading later, instead of dropping, lets the stream's flow control slow the sender down.
            let wait = self.permit.charge(length, Instant::now());
            // The timer rounds up: even a sleep of no length would cost every message a millisecond.
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            while !self.permit.has_share(length, self.friends.has(&self.peer), Instant::now()) {
                tokio::time::sleep(limits::SHARE_WAIT).await;
            }
            let mut bytes = vec![0; length];
            timeout(limits::FRAME_DEADLINE, stream.read_exact(&mut bytes)).await??;
            let event = NetEvent::Received { from: self.node, bytes };
            self.events.send(event).await.map_err(|_| ReadError::Stopped)?;
        }
    }
}

/// A peer's rate: each message moves the moment up to which it has paid with time.
#[derive(Debug, Clone, Copy)]
struct Meter {
    paid_until: Instant,
}

impl Meter {
    /// Charges a message of `bytes` and says how long it has to wait.
    fn charge(&mut self, bytes: usize, now: Instant) -> Duration {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let per_message = Duration::from_secs(1) / limits::INBOUND_MESSAGES_PER_S;
        let by_size = Duration::from_secs(1) * bytes / limits::INBOUND_BYTES_PER_S;
        let earliest = now.checked_sub(limits::INBOUND_BURST).unwrap_or(now);
        self.paid_until = self.paid_until.max(earliest) + per_message.max(by_size);
        self.paid_until.saturating_duration_since(now)
    }
}

/// Counts the streams of each peer, meters what it sends over all of them, and knows when it last sent anything.
pub(super) struct InboundLimiter {
    inner: Mutex<Inner>,
}

struct Inner {
    places: Places,
    /// What strangers may send in all, and what friends may besides. (`NE-2`)
    messages: Pools,
    peers: HashMap<PeerId, Guest>,
}

struct Guest {
    meter: Meter,
    heard_at: Option<Instant>,
}

/// The right to read one stream of a peer, given back when dropped.
struct StreamPermit {
    limiter: Arc<InboundLimiter>,
    peer: PeerId,
    prefix: Prefix,
    place: Place,
}

impl Default for InboundLimiter {
    fn default() -> Self {
        let each = limits::INBOUND_STREAMS_PER_PEER;
        let places =
            Places::new("inbound streams", limits::INBOUND_STREAMS_MAX, limits::INBOUND_STREAMS_KEPT, each);
        let inner = Inner {
            places,
            messages: Pools::new(
                "direct messages",
                limits::STRANGERS_MESSAGES_PER_S,
                limits::FRIENDS_MESSAGES_PER_S,
                limits::INBOUND_BURST,
            ),
            peers: HashMap::new(),
        };
        Self { inner: Mutex::new(inner) }
    }
}

impl InboundLimiter {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(limiter: &Arc<Self>, peer: PeerId, prefix: Prefix, is_friend: bool) -> Option<StreamPermit> {
        let mut inner = limiter.lock();
        let now = Instant::now();
        let place = inner.places.take(Some(peer), prefix, is_friend, now)?;
        let Inner { places, peers, .. } = &mut *inner;
        if peers.len() >= limits::METERS_MAX {
            peers.retain(|peer, _| places.held_by(peer) > 0);
        }
        peers.entry(peer).or_insert(Guest { meter: Meter { paid_until: now }, heard_at: None });
        drop(inner);
        Some(StreamPermit { limiter: Arc::clone(limiter), peer, prefix, place })
    }

    /// Returns when a peer last sent a message.
    pub(super) fn heard_at(&self, peer: &PeerId) -> Option<Instant> {
        self.lock().peers.get(peer).and_then(|guest| guest.heard_at)
    }
}

impl StreamPermit {
    fn charge(&self, bytes: usize, now: Instant) -> Duration {
        let mut inner = self.limiter.lock();
        let Some(guest) = inner.peers.get_mut(&self.peer) else { return Duration::ZERO };
        guest.heard_at = Some(now);
        guest.meter.charge(bytes, now)
    }

    /// Returns whether a message of `bytes` may be read now, for all that others send; it is
    /// counted if so.
    fn has_share(&self, bytes: usize, is_friend: bool, now: Instant) -> bool {
        let units = 1 + bytes / limits::MESSAGE_UNIT_BYTES;
        let amount = f64::from(u16::try_from(units).unwrap_or(u16::MAX));
        self.limiter.lock().messages.take(self.prefix, is_friend, amount, now)
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.limiter.lock().places.give_back(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Prefix = Prefix::of_ipv4([127, 0, 0, 1]);

    fn admit(limiter: &Arc<InboundLimiter>, peer: PeerId) -> Option<StreamPermit> {
        InboundLimiter::admit(limiter, peer, HERE, false)
    }

    #[test]
    fn streams_of_one_prefix_leave_room_for_another_and_for_friends() {
        let limiter = Arc::new(InboundLimiter::default());
        let mut crowd = Vec::new();
        while let Some(permit) = admit(&limiter, PeerId::random()) {
            crowd.push(permit);
        }
        assert_eq!(crowd.len(), limits::INBOUND_STREAMS_MAX / 2);
        let elsewhere = Prefix::of_ipv4([127, 0, 7, 1]);
        assert!(InboundLimiter::admit(&limiter, PeerId::random(), elsewhere, false).is_some());
        assert!(
            InboundLimiter::admit(&limiter, PeerId::random(), HERE, true).is_some(),
            "a friend of the same prefix"
        );
    }

    /// (`NE-2`)
    #[test]
    fn what_one_prefix_sends_leaves_room_for_others_and_for_friends() {
        let limiter = Arc::new(InboundLimiter::default());
        let crowd: Vec<StreamPermit> =
            (0..64).map(|_| admit(&limiter, PeerId::random()).expect("a place")).collect();
        let elsewhere = Prefix::of_ipv4([127, 0, 7, 1]);
        let other = InboundLimiter::admit(&limiter, PeerId::random(), elsewhere, false).expect("a place");
        let friend = InboundLimiter::admit(&limiter, PeerId::random(), HERE, true).expect("a place");
        let start = Instant::now();
        let mut read = 0;
        for tick in 0..200 {
            let now = start + Duration::from_millis(10) * tick;
            for _ in 0..4 {
                read += crowd.iter().filter(|permit| permit.has_share(100, false, now)).count();
            }
            assert!(other.has_share(FRAME_BYTES_MAX, false, now) && friend.has_share(100, true, now));
        }
        let per_s = usize::try_from(limits::STRANGERS_MESSAGES_PER_S).unwrap();
        assert!((per_s..=3 * per_s).contains(&read), "{read}");
        assert!(limiter.lock().messages.has_refused());
    }

    #[test]
    fn a_peer_holds_a_few_streams_and_no_more() {
        let (limiter, peer) = (Arc::new(InboundLimiter::default()), PeerId::random());
        let mut permits: Vec<StreamPermit> = (0..limits::INBOUND_STREAMS_PER_PEER)
            .map(|_| admit(&limiter, peer).expect("within the limit"))
            .collect();
        assert!(admit(&limiter, peer).is_none());
        assert!(admit(&limiter, PeerId::random()).is_some(), "others are not affected");
        permits.pop();
        assert!(admit(&limiter, peer).is_some(), "a closed stream makes room");
    }

    #[test]
    fn a_burst_passes_and_then_the_average_holds() {
        let now = Instant::now();
        let mut meter = Meter { paid_until: now };
        // A meter that starts paid up to now allows no burst yet; a second of silence does.
        let later = now + limits::INBOUND_BURST;
        let burst = limits::INBOUND_MESSAGES_PER_S;
        assert!((0..burst).all(|_| meter.charge(1, later).is_zero()));
        let wait = meter.charge(1, later);
        assert_eq!(wait, Duration::from_secs(1) / limits::INBOUND_MESSAGES_PER_S);
    }

    #[test]
    fn long_messages_are_charged_by_size() {
        let now = Instant::now();
        let mut meter = Meter { paid_until: now };
        let frames_per_s = usize::try_from(limits::INBOUND_BYTES_PER_S).unwrap() / FRAME_BYTES_MAX;
        let total: Duration = (0..frames_per_s).map(|_| meter.charge(FRAME_BYTES_MAX, now)).last().unwrap();
        assert!(total > Duration::from_millis(980) && total <= Duration::from_secs(1), "{total:?}");
    }

    #[test]
    fn forgetting_idle_meters_keeps_those_in_use() {
        let limiter = Arc::new(InboundLimiter::default());
        let busy = PeerId::random();
        let permit = admit(&limiter, busy).unwrap();
        permit.charge(1, Instant::now());
        for _ in 0..limits::METERS_MAX * 2 {
            drop(admit(&limiter, PeerId::random()));
        }
        assert!(limiter.heard_at(&busy).is_some());
        assert!(limiter.lock().peers.len() <= limits::METERS_MAX);
    }
}
