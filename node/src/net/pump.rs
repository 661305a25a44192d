//! Direct messages going out: one task per peer, one kept stream, messages in order.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bombyx_protocol::ident::NodeId;
use bombyx_protocol::limits::FRAME_BYTES_MAX;
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::{PeerId, Stream};
use libp2p_stream::Control;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::streams::{GREETING, MESSAGES, write_frame};
use super::swarm::Request;
use super::{NetEvent, Undelivered, address, limits};

/// How often one message is tried: once more when a kept stream turns out to be broken.
const ATTEMPTS: usize = 2;

/// A message that waits, and its share of the bytes that may wait.
struct Queued {
    bytes: Vec<u8>,
    until: Instant,
    _share: OwnedSemaphorePermit,
}

/// The sending tasks of all peers.
pub(super) struct Pumps {
    own: NodeId,
    control: Control,
    events: mpsc::Sender<NetEvent>,
    requests: mpsc::Sender<Request>,
    queues: HashMap<PeerId, mpsc::Sender<Queued>>,
    bytes: Arc<Semaphore>,
}

impl Pumps {
    pub(super) fn new(
        own: NodeId,
        control: Control,
        events: mpsc::Sender<NetEvent>,
        requests: mpsc::Sender<Request>,
    ) -> Self {
        let bytes = Arc::new(Semaphore::new(limits::QUEUED_BYTES_MAX));
        Self { own, control, events, requests, queues: HashMap::new(), bytes }
    }

    /// Queues a message; its task reports what becomes of it later.
    pub(super) fn send(&mut self, to: NodeId, bytes: Vec<u8>) -> Result<(), Undelivered> {
        let peer = address::peer_of(to).filter(|_| to != self.own).ok_or(Undelivered::NotANode)?;
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(Undelivered::TooLong);
        }
        let size = u32::try_from(bytes.len()).map_err(|_| Undelivered::TooLong)?;
        let share = Arc::clone(&self.bytes).try_acquire_many_owned(size).map_err(|_| Undelivered::Busy)?;
        let message = Queued { bytes, until: Instant::now() + limits::SEND_DEADLINE, _share: share };
        self.queue(peer, to, message)
    }

    fn queue(&mut self, peer: PeerId, node: NodeId, message: Queued) -> Result<(), Undelivered> {
        let mut message = message;
        if let Entry::Occupied(entry) = self.queues.entry(peer) {
            match entry.get().try_send(message) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(_)) => return Err(Undelivered::QueueFull),
                Err(TrySendError::Closed(back)) => {
                    // Its task ended for lack of work.
                    entry.remove();
                    message = back;
                }
            }
        }
        if self.queues.len() >= limits::PUMPS_MAX {
            self.forget_ended();
        }
        if self.queues.len() >= limits::PUMPS_MAX {
            return Err(Undelivered::Busy);
        }
        let (queue, messages) = mpsc::channel(limits::PEER_QUEUE_MAX);
        queue.try_send(message).map_err(|_| Undelivered::QueueFull)?;
        self.queues.insert(peer, queue);
        let pump = Pump {
            peer,
            node,
            messages,
            control: self.control.clone(),
            events: self.events.clone(),
            requests: self.requests.clone(),
        };
        tokio::spawn(pump.run());
        Ok(())
    }

    /// Whether a sending task exists for a peer, and with it perhaps a kept stream.
    pub(super) fn serves(&self, peer: &PeerId) -> bool {
        self.queues.get(peer).is_some_and(|queue| !queue.is_closed())
    }

    pub(super) fn forget_ended(&mut self) {
        self.queues.retain(|_, queue| !queue.is_closed());
    }
}

/// Sends the messages of one peer.
struct Pump {
    peer: PeerId,
    node: NodeId,
    messages: mpsc::Receiver<Queued>,
    control: Control,
    events: mpsc::Sender<NetEvent>,
    requests: mpsc::Sender<Request>,
}

/// Why one attempt failed.
enum Failed {
    /// Another attempt would end the same way.
    ForGood(Undelivered),
    /// The stream broke.
    Stream(io::Error),
}

impl Pump {
    async fn run(mut self) {
        let mut stream = None;
        while let Some(message) = self.next(&mut stream).await {
            let delivery = self.deliver(&mut stream, &message.bytes);
            let result = timeout_at(message.until, delivery).await.unwrap_or(Err(Undelivered::TimedOut));
            drop(message);
            if let Err(why) = result {
                // A frame may have been written in part.
                stream = None;
                if !self.give_up(why).await {
                    return;
                }
            }
        }
        if let Some(mut stream) = stream {
            // The peer's reader ends at the end of the stream or at its own deadline; nothing depends on which.
            let _ = timeout(limits::FAREWELL, stream.close()).await;
        }
    }

    /// The next message. Notices meanwhile when the peer closes the stream, and ends after a long silence.
    async fn next(&mut self, stream: &mut Option<Stream>) -> Option<Queued> {
        loop {
            tokio::select! {
                biased;
                () = broken(stream.as_mut()) => *stream = None,
                message = self.messages.recv() => return message,
                () = tokio::time::sleep(limits::PUMP_IDLE) => {
                    // What was queued in this very moment is still sent; later messages get a new task.
                    self.messages.close();
                }
            }
        }
    }

    async fn deliver(&mut self, stream: &mut Option<Stream>, bytes: &[u8]) -> Result<(), Undelivered> {
        for _ in 0..ATTEMPTS {
            match self.attempt(stream, bytes).await {
                Ok(()) => return Ok(()),
                Err(Failed::ForGood(why)) => return Err(why),
                Err(Failed::Stream(why)) => {
                    tracing::debug!(peer = %self.peer, %why, "an outbound stream broke");
                    *stream = None;
                }
            }
        }
        Err(Undelivered::Broken)
    }

    async fn attempt(&mut self, stream: &mut Option<Stream>, bytes: &[u8]) -> Result<(), Failed> {
        if let Some(stream) = stream {
            return write_frame(stream, bytes).await.map_err(Failed::Stream);
        }
        self.reach().await.map_err(Failed::ForGood)?;
        let mut fresh = self
            .control
            .open_stream(self.peer, MESSAGES)
            .await
            .map_err(|why| Failed::Stream(io::Error::other(why.to_string())))?;
        write_frame(&mut fresh, bytes).await.map_err(Failed::Stream)?;
        // A busy acceptor may have dropped the stream unread, and would not say so.
        let mut greeting = [0];
        fresh.read_exact(&mut greeting).await.map_err(Failed::Stream)?;
        if greeting != [GREETING] {
            return Err(Failed::Stream(io::Error::other("not greeted by a node")));
        }
        *stream = Some(fresh);
        Ok(())
    }

    async fn reach(&self) -> Result<(), Undelivered> {
        let (answer, reached) = oneshot::channel();
        let request = Request::Reach { peer: self.peer, answer };
        self.requests.send(request).await.map_err(|_| Undelivered::Unreachable)?;
        reached.await.unwrap_or(Err(Undelivered::Unreachable))
    }

    /// Reports a failed message. When the peer cannot be reached at all, what waits for it fails along: each would
    /// only wait for the same end. False when nobody listens any more.
    async fn give_up(&mut self, why: Undelivered) -> bool {
        let mut count = 1;
        if matches!(why, Undelivered::NoAddress | Undelivered::Unreachable | Undelivered::Blocked) {
            while self.messages.try_recv().is_ok() {
                count += 1;
            }
        }
        for _ in 0..count {
            if self.events.send(NetEvent::Undelivered { to: self.node, why }).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// Waits until the peer closes or breaks the stream. It never writes after its greeting, so that whatever is read is
/// the end of it.
async fn broken(stream: Option<&mut Stream>) {
    match stream {
        Some(stream) => {
            let _ = stream.read(&mut [0]).await;
        }
        None => std::future::pending::<()>().await,
    }
}

// The idle time must not outlast the reader's patience, or the reader would close streams in use.
const _: () = assert!(limits::PUMP_IDLE.as_secs() < limits::INBOUND_IDLE.as_secs());
const _: () = assert!(Duration::as_secs(&limits::REACH_DEADLINE) < limits::SEND_DEADLINE.as_secs());
