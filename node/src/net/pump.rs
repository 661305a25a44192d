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
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{timeout, timeout_at};

use super::friends::Friends;
use super::joint::{DeliveryError, NetEvent};
use super::queues::{DirectSends, Queue, QueuedMessage, Queues};
use super::request::{DialPolicy, StreamRequest};
use super::streams::{GREETING, MESSAGES, write_frame};
use super::{address, limits};

/// How often one message is tried: once more when a kept stream turns out to be broken.
const ATTEMPTS: usize = 2;

/// The sending tasks of all peers.
pub(super) struct Pumps {
    own: NodeId,
    control: Control,
    events: mpsc::Sender<NetEvent>,
    requests: mpsc::Sender<StreamRequest>,
    friends: Friends,
    queues: Queues,
    reaching: Arc<Semaphore>,
}

impl Pumps {
    pub(super) fn new(
        own: NodeId,
        control: Control,
        events: mpsc::Sender<NetEvent>,
        requests: mpsc::Sender<StreamRequest>,
        friends: Friends,
    ) -> Self {
        let reaching = Arc::new(Semaphore::new(limits::PUMPS_REACHING_MAX));
        Self { own, control, events, requests, friends, queues: Queues::default(), reaching }
    }

    /// Returns the way past the loop.
    pub(super) fn direct(&self) -> DirectSends {
        DirectSends::into(self.queues.clone())
    }

    /// Queues a message; its task reports what becomes of it later.
    pub(super) fn send(
        &self,
        to: NodeId,
        bytes: Vec<u8>,
        policy: DialPolicy,
        is_connected: bool,
    ) -> Result<(), DeliveryError> {
        let peer = address::peer_of(to).filter(|_| to != self.own).ok_or(DeliveryError::NotANode)?;
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(DeliveryError::TooLong);
        }
        let mut peers = self.queues.lock();
        let queue = self.queue(&mut peers, peer, to, is_connected)?;
        self.queues.put(queue, bytes, policy).map_err(|(_, why)| why)
    }

    /// Returns the queue of a peer, whose task is started if there is none.
    fn queue<'a>(
        &self,
        peers: &'a mut HashMap<PeerId, Queue>,
        peer: PeerId,
        node: NodeId,
        is_connected: bool,
    ) -> Result<&'a Queue, DeliveryError> {
        if peers.get(&peer).is_some_and(|queue| queue.is_closed()) {
            // Its task ended for lack of work, or because the peer cannot be reached.
            peers.remove(&peer);
        }
        if !peers.contains_key(&peer) && peers.len() >= limits::PUMPS_MAX {
            peers.retain(|_, queue| !queue.is_closed());
        }
        let is_full = peers.len() >= limits::PUMPS_MAX;
        let entry = match peers.entry(peer) {
            Entry::Occupied(entry) => return Ok(entry.into_mut()),
            Entry::Vacant(entry) => entry,
        };
        if is_full {
            return Err(DeliveryError::Busy);
        }
        let reaching = if is_connected {
            None
        } else {
            Some(Arc::clone(&self.reaching).try_acquire_owned().map_err(|_| DeliveryError::Busy)?)
        };
        let (queue, incoming) = Queue::new();
        let pump = Pump {
            peer,
            node,
            reaching,
            messages: incoming,
            friends: self.friends.clone(),
            control: self.control.clone(),
            events: self.events.clone(),
            requests: self.requests.clone(),
        };
        tokio::spawn(pump.run());
        Ok(entry.insert(queue))
    }

    /// Returns whether a sending task exists for a peer, and with it perhaps a kept stream.
    pub(super) fn serves(&self, peer: &PeerId) -> bool {
        self.queues.lock().get(peer).is_some_and(|queue| !queue.is_closed())
    }

    /// Ends the task of a peer that is gone: it sends what waits, if it may dial for it, and ends.
    pub(super) fn disconnected(&self, peer: &PeerId) {
        self.queues.lock().remove(peer);
    }
}

/// Sends the messages of one peer.
struct Pump {
    peer: PeerId,
    node: NodeId,
    /// A place among those that are being reached, until that succeeds.
    reaching: Option<OwnedSemaphorePermit>,
    messages: mpsc::Receiver<QueuedMessage>,
    friends: Friends,
    control: Control,
    events: mpsc::Sender<NetEvent>,
    requests: mpsc::Sender<StreamRequest>,
}

/// Why one attempt failed.
enum AttemptError {
    /// Another attempt would end the same way.
    ForGood(DeliveryError),
    /// The stream broke.
    Stream(io::Error),
}

impl Pump {
    async fn run(mut self) {
        let mut stream = None;
        while let Some(message) = self.next(&mut stream).await {
            let delivery = self.deliver(&mut stream, &message);
            let result = timeout_at(message.until, delivery).await.unwrap_or(Err(DeliveryError::TimedOut));
            let policy = message.policy;
            drop(message);
            if let Err(why) = result {
                // A frame may have been written in part.
                stream = None;
                if !self.give_up(policy, why).await {
                    return;
                }
            }
        }
        if let Some(mut stream) = stream {
            // The peer's reader ends at the end of the stream or at its own deadline; nothing depends on which.
            let _ = timeout(limits::FAREWELL, stream.close()).await;
        }
    }

    /// Returns the next message. Notices meanwhile when the peer closes the stream, and ends after
    /// a long silence.
    async fn next(&mut self, stream: &mut Option<Stream>) -> Option<QueuedMessage> {
        let idle = if self.friends.has(&self.peer) { limits::PUMP_IDLE } else { limits::PUMP_IDLE_STRANGER };
        loop {
            tokio::select! {
                biased;
                () = broken(stream.as_mut()) => *stream = None,
                message = self.messages.recv() => return message,
                () = tokio::time::sleep(idle) => {
                    // What was queued in this very moment is still sent; later messages get a new task.
                    self.messages.close();
                }
            }
        }
    }

    async fn deliver(
        &mut self,
        stream: &mut Option<Stream>,
        message: &QueuedMessage,
    ) -> Result<(), DeliveryError> {
        for _ in 0..ATTEMPTS {
            match self.attempt(stream, message).await {
                Ok(()) => return Ok(()),
                Err(AttemptError::ForGood(why)) => return Err(why),
                Err(AttemptError::Stream(why)) => {
                    tracing::debug!(peer = %self.peer, %why, "an outbound stream broke");
                    *stream = None;
                }
            }
        }
        Err(DeliveryError::Broken)
    }

    async fn attempt(
        &mut self,
        stream: &mut Option<Stream>,
        message: &QueuedMessage,
    ) -> Result<(), AttemptError> {
        let bytes = &message.bytes;
        if let Some(stream) = stream {
            return write_frame(stream, bytes).await.map_err(AttemptError::Stream);
        }
        self.reach(message.policy).await.map_err(AttemptError::ForGood)?;
        self.reaching = None;
        let mut fresh = self
            .control
            .open_stream(self.peer, MESSAGES)
            .await
            .map_err(|why| AttemptError::Stream(io::Error::other(why.to_string())))?;
        write_frame(&mut fresh, bytes).await.map_err(AttemptError::Stream)?;
        // A busy acceptor may have dropped the stream unread, and would not say so.
        let mut greeting = [0];
        fresh.read_exact(&mut greeting).await.map_err(AttemptError::Stream)?;
        if greeting != [GREETING] {
            return Err(AttemptError::Stream(io::Error::other("not greeted by a node")));
        }
        *stream = Some(fresh);
        Ok(())
    }

    async fn reach(&self, policy: DialPolicy) -> Result<(), DeliveryError> {
        let (answer, reached) = oneshot::channel();
        let request = StreamRequest::Connect { peer: self.peer, policy, answer };
        self.requests.send(request).await.map_err(|_| DeliveryError::Unreachable)?;
        reached.await.unwrap_or(Err(DeliveryError::Unreachable))
    }

    /// Reports a failed message, unless it was one that only a standing connection would have carried. When the peer
    /// cannot be reached at all, what waits for it fails along, for each would only wait for the same end, and so does the
    /// task. False when it is over, or nobody listens any more.
    async fn give_up(&mut self, policy: DialPolicy, why: DeliveryError) -> bool {
        let mut failed = usize::from(policy == DialPolicy::Dial);
        let is_over =
            matches!(why, DeliveryError::NoAddress | DeliveryError::Unreachable | DeliveryError::Blocked);
        if is_over {
            self.messages.close();
            while let Some(message) = self.messages.recv().await {
                failed += usize::from(message.policy == DialPolicy::Dial);
            }
        }
        for _ in 0..failed {
            if self.events.send(NetEvent::Undelivered { to: self.node, why }).await.is_err() {
                return false;
            }
        }
        !is_over
    }
}

/// Waits until the peer closes or breaks the stream. It never writes after its greeting, so anything
/// that is read ends the stream.
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
const _: () = assert!(limits::PUMP_IDLE_STRANGER.as_secs() < limits::STRANGER_SILENCE.as_secs());
const _: () = assert!(Duration::as_secs(&limits::REACH_DEADLINE) < limits::SEND_DEADLINE.as_secs());
