//! The queues of direct messages, one for each peer that has a pump, and the way into them past the swarm's loop.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bombyx_protocol::ident::NodeId;
use bombyx_protocol::limits::FRAME_BYTES_MAX;
use libp2p::PeerId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use super::joint::{DeliveryError, NetCommand};
use super::request::DialPolicy;
use super::{address, limits};

/// A message that waits, and its share of the bytes that may wait.
#[derive(Debug)]
pub(super) struct QueuedMessage {
    pub(super) bytes: Vec<u8>,
    pub(super) policy: DialPolicy,
    pub(super) until: Instant,
    _share: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

/// The queue of one peer's task.
#[derive(Debug)]
pub(super) struct Queue {
    messages: mpsc::Sender<QueuedMessage>,
    bytes: Arc<Semaphore>,
}

/// The queues of all peers, and the bytes that may wait in them together.
#[derive(Debug, Clone)]
pub(super) struct Queues {
    peers: Arc<Mutex<HashMap<PeerId, Queue>>>,
    bytes: Arc<Semaphore>,
}

impl Queue {
    /// Returns a queue, with the end that its task reads.
    pub(super) fn new() -> (Self, mpsc::Receiver<QueuedMessage>) {
        let (messages, incoming) = mpsc::channel(limits::PEER_QUEUE_MAX);
        (Self { messages, bytes: Arc::new(Semaphore::new(limits::PEER_QUEUE_BYTES_MAX)) }, incoming)
    }

    /// Returns whether its task takes no more.
    pub(super) fn is_closed(&self) -> bool {
        self.messages.is_closed()
    }
}

impl Default for Queues {
    fn default() -> Self {
        Self { peers: Arc::default(), bytes: Arc::new(Semaphore::new(limits::QUEUED_BYTES_MAX)) }
    }
}

impl Queues {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Queue>> {
        // Nobody panics while holding the lock: it guards a plain collection.
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message into a peer's queue. Returns it with why it has no place there.
    pub(super) fn put(
        &self,
        queue: &Queue,
        bytes: Vec<u8>,
        policy: DialPolicy,
    ) -> Result<(), (Vec<u8>, DeliveryError)> {
        let Some(size) = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= FRAME_BYTES_MAX) else {
            return Err((bytes, DeliveryError::TooLong));
        };
        let Ok(all) = Arc::clone(&self.bytes).try_acquire_many_owned(size) else {
            return Err((bytes, DeliveryError::Busy));
        };
        let Ok(own) = Arc::clone(&queue.bytes).try_acquire_many_owned(size) else {
            return Err((bytes, DeliveryError::QueueFull));
        };
        let until = Instant::now() + limits::SEND_DEADLINE;
        let message = QueuedMessage { bytes, policy, until, _share: (all, own) };
        let put = queue.messages.try_send(message);
        put.map_err(|refused| (refused.into_inner().bytes, DeliveryError::QueueFull))
    }
}

/// The way into the queues of peers that have one, past the swarm's loop.
#[derive(Debug, Clone)]
pub(super) struct DirectSends {
    queues: Queues,
    /// Messages that have been handed to the loop and are in no queue yet: later ones go behind them.
    with_loop: Arc<AtomicUsize>,
}

impl DirectSends {
    /// Takes a message to a peer whose task runs. Returns the command where the loop has to see to it.
    pub(super) fn take(&self, command: NetCommand) -> Option<NetCommand> {
        let (to, bytes, policy) = if let NetCommand::Send { to, bytes } = command {
            (to, bytes, DialPolicy::Dial)
        } else if let NetCommand::Answer { to, bytes } = command {
            (to, bytes, DialPolicy::ConnectedOnly)
        } else {
            return Some(command);
        };
        let bytes = match self.try_put(to, bytes, policy) {
            Ok(()) => return None,
            Err(bytes) => bytes,
        };
        self.with_loop.fetch_add(1, Ordering::AcqRel);
        Some(match policy {
            DialPolicy::Dial => NetCommand::Send { to, bytes },
            DialPolicy::ConnectedOnly => NetCommand::Answer { to, bytes },
        })
    }

    fn try_put(&self, to: NodeId, bytes: Vec<u8>, policy: DialPolicy) -> Result<(), Vec<u8>> {
        if self.with_loop.load(Ordering::Acquire) > 0 {
            return Err(bytes);
        }
        let Some(peer) = address::peer_of(to) else { return Err(bytes) };
        let queues = self.queues.lock();
        let Some(queue) = queues.get(&peer).filter(|queue| !queue.is_closed()) else {
            return Err(bytes);
        };
        self.queues.put(queue, bytes, policy).map_err(|(bytes, _)| bytes)
    }

    /// Returns the way into these queues.
    pub(super) fn into(queues: Queues) -> Self {
        Self { queues, with_loop: Arc::default() }
    }

    /// Notes that the loop has seen to a message.
    pub(super) fn seen_to(&self) {
        self.with_loop.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fixtures;
    use super::*;

    /// A peer with a pump whose messages the test reads.
    fn direct() -> (DirectSends, NodeId, mpsc::Receiver<QueuedMessage>) {
        let (messages, incoming) = mpsc::channel(2);
        let queue = Queue { messages, bytes: Arc::new(Semaphore::new(1_000)) };
        let peer = fixtures::peer(1);
        let peers = Arc::new(Mutex::new(HashMap::from([(peer, queue)])));
        let queues = Queues { peers, bytes: Arc::new(Semaphore::new(1_000)) };
        let direct = DirectSends { queues, with_loop: Arc::default() };
        (direct, address::node_of(&peer).unwrap(), incoming)
    }

    fn send(to: NodeId, bytes: &[u8]) -> NetCommand {
        NetCommand::Send { to, bytes: bytes.to_vec() }
    }

    #[test]
    fn a_message_overtakes_none_that_the_loop_holds() {
        let (direct, to, mut incoming) = direct();
        assert!(direct.take(send(to, b"one")).is_none());
        let stranger = address::node_of(&fixtures::peer(2)).unwrap();
        assert!(direct.take(send(stranger, b"first of all")).is_some(), "the loop starts its pump");
        assert!(direct.take(send(to, b"two")).is_some(), "the loop is behind");
        direct.seen_to();
        assert!(direct.take(send(to, b"three")).is_some());
        direct.seen_to();
        direct.seen_to();
        assert!(direct.take(NetCommand::Answer { to, bytes: b"four".to_vec() }).is_none());
        let sent: Vec<_> = std::iter::from_fn(|| incoming.try_recv().ok()).collect();
        let sent: Vec<_> = sent.iter().map(|message| (message.bytes.as_slice(), message.policy)).collect();
        assert_eq!(sent, [(&b"one"[..], DialPolicy::Dial), (b"four", DialPolicy::ConnectedOnly)]);
    }

    #[test]
    fn what_finds_no_place_goes_to_the_loop_whole() {
        let (direct, to, incoming) = direct();
        for _ in 0..2 {
            assert!(direct.take(send(to, b"it fits")).is_none());
        }
        let Some(NetCommand::Send { bytes, .. }) = direct.take(send(to, b"full")) else { panic!() };
        assert_eq!(bytes, b"full");
        direct.seen_to();
        drop(incoming);
        assert!(direct.take(send(to, b"its pump has ended")).is_some());
        direct.seen_to();
        assert!(direct.take(NetCommand::Meet([0; 32])).is_some(), "no message");
        assert_eq!(direct.with_loop.load(Ordering::Acquire), 0);
    }
}
