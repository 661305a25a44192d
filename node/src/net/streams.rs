//! Direct messages coming in: one reader per stream, frames within limits, each peer at a bounded rate.
//!
//! A stream of the protocol `/bombyx/msg/1` carries, from its opener, any number of frames: a length (`u32`, little
//! endian, at most `FRAME_BYTES_MAX`) and that many bytes. The acceptor writes one byte, [`GREETING`], when it has
//! taken the stream over; until then the opener counts its first frame as undelivered. (`WI-10`)

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bombyx_protocol::ident::NodeId;
use bombyx_protocol::limits::FRAME_BYTES_MAX;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _};
use libp2p::{PeerId, StreamProtocol};
use libp2p_stream::IncomingStreams;
use tokio::sync::mpsc;
use tokio::time::timeout;
use web_time::Instant;

use super::swarm::Request;
use super::{Fault, NetEvent, address, limits};

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
    requests: mpsc::Sender<Request>,
    gate: Arc<Gate>,
) {
    while let Some((peer, stream)) = incoming.next().await {
        let Some(node) = address::node_of(&peer) else { continue };
        let Some(seat) = Gate::admit(&gate, peer) else {
            tracing::debug!(%peer, "too many streams; one more is refused");
            continue;
        };
        let reader = Reader { peer, node, seat, events: events.clone(), requests: requests.clone() };
        tokio::spawn(reader.run(stream));
    }
}

/// Reads one stream of one peer.
struct Reader {
    peer: PeerId,
    node: NodeId,
    seat: Seat,
    events: mpsc::Sender<NetEvent>,
    requests: mpsc::Sender<Request>,
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
            let request = Request::Penalise { peer: self.peer, fault: Fault::OversizedFrame };
            // A closed queue means that the swarm has stopped, and the peer is gone with it.
            let _ = self.requests.send(request).await;
        }
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
            timeout(limits::INBOUND_IDLE, stream.read_exact(&mut length)).await??;
            let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
            if length > FRAME_BYTES_MAX {
                return Err(ReadError::Oversized(length));
            }
            // Reading later, instead of dropping, lets the stream's flow control slow the sender down.
            let wait = self.seat.charge(length, Instant::now());
            // The timer rounds up: even a sleep of no length would cost every message a millisecond.
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
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

/// Counts the streams of each peer and meters what it sends over all of them.
#[derive(Default)]
pub(super) struct Gate {
    peers: Mutex<HashMap<PeerId, Guest>>,
}

struct Guest {
    streams: usize,
    meter: Meter,
}

/// The right to read one stream of a peer, given back when dropped.
struct Seat {
    gate: Arc<Gate>,
    peer: PeerId,
}

impl Gate {
    fn admit(gate: &Arc<Self>, peer: PeerId) -> Option<Seat> {
        let mut peers = gate.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= limits::METERS_MAX {
            peers.retain(|_, guest| guest.streams > 0);
        }
        let fresh = Guest { streams: 0, meter: Meter { paid_until: Instant::now() } };
        let guest = match peers.entry(peer) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(fresh),
        };
        if guest.streams >= limits::INBOUND_STREAMS_PER_PEER {
            return None;
        }
        guest.streams += 1;
        Some(Seat { gate: Arc::clone(gate), peer })
    }

    /// Whether a peer has a stream open towards this node.
    pub(super) fn is_in(&self, peer: &PeerId) -> bool {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.get(peer).is_some_and(|guest| guest.streams > 0)
    }
}

impl Seat {
    fn charge(&self, bytes: usize, now: Instant) -> Duration {
        let mut peers = self.gate.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.get_mut(&self.peer).map_or(Duration::ZERO, |guest| guest.meter.charge(bytes, now))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut peers = self.gate.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(guest) = peers.get_mut(&self.peer) {
            guest.streams = guest.streams.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_holds_a_few_streams_and_no_more() {
        let (gate, peer) = (Arc::new(Gate::default()), PeerId::random());
        let mut seats: Vec<Seat> = (0..limits::INBOUND_STREAMS_PER_PEER)
            .map(|_| Gate::admit(&gate, peer).expect("within the limit"))
            .collect();
        assert!(Gate::admit(&gate, peer).is_none());
        assert!(Gate::admit(&gate, PeerId::random()).is_some(), "others are not affected");
        seats.pop();
        assert!(Gate::admit(&gate, peer).is_some(), "a closed stream makes room");
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
        let gate = Arc::new(Gate::default());
        let busy = PeerId::random();
        let _seat = Gate::admit(&gate, busy).unwrap();
        for _ in 0..limits::METERS_MAX * 2 {
            drop(Gate::admit(&gate, PeerId::random()));
        }
        assert!(gate.is_in(&busy));
        assert!(gate.peers.lock().unwrap().len() <= limits::METERS_MAX);
    }
}
