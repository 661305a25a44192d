//! The handle to a running swarm.

use bombyx_protocol::ident::{NodeId, Prefix};
use tokio::sync::{mpsc, watch};

use super::joint::{NetCommand, NetStatus};
use super::known::KnownPeer;
use super::prefix::Prefixes;
use super::queues::DirectSends;

/// Commands to a running swarm. Clones drive the same swarm; it stops when the last one is dropped, when the event
/// queue is dropped, or on [`NetHandle::shutdown`].
#[derive(Debug, Clone)]
pub struct NetHandle {
    pub(super) node: NodeId,
    pub(super) commands: mpsc::Sender<NetCommand>,
    pub(super) direct: DirectSends,
    pub(super) prefixes: Prefixes,
    pub(super) known: watch::Receiver<Vec<KnownPeer>>,
    pub(super) status: watch::Receiver<NetStatus>,
    pub(super) stop: watch::Sender<bool>,
}

/// The swarm has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the swarm has stopped")]
pub struct NetStopped;

impl NetHandle {
    /// Returns this node's id.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Hands over a command. A message to a peer that has a stream goes to the stream's own queue; anything else waits for a place in
    /// the queue of commands, which the swarm always drains.
    ///
    /// # Errors
    /// [`NetStopped`] when the swarm has stopped.
    pub async fn send(&self, command: NetCommand) -> Result<(), NetStopped> {
        match self.direct.take(command) {
            Some(command) => self.commands.send(command).await.map_err(|_| NetStopped),
            None => Ok(()),
        }
    }

    /// Returns the connected nodes, in the order of their ids.
    #[must_use]
    pub fn peers(&self) -> Vec<NodeId> {
        self.status.borrow().peers.iter().copied().collect()
    }

    /// Returns where a node's connection comes from; `None` while it has none to this node.
    #[must_use]
    pub fn prefix(&self, node: &NodeId) -> Option<Prefix> {
        self.prefixes.get(node)
    }

    /// Returns the addresses this node listens on: full multiaddrs with `/p2p/`.
    #[must_use]
    pub fn listening(&self) -> Vec<String> {
        self.status.borrow().listening.iter().cloned().collect()
    }

    /// Returns the peers that answered this node's own dials, as the list changes; it ends with the swarm.
    #[must_use]
    pub fn known(&self) -> watch::Receiver<Vec<KnownPeer>> {
        self.known.clone()
    }

    /// Returns the present state of the swarm.
    #[must_use]
    pub fn status(&self) -> NetStatus {
        self.status.borrow().clone()
    }

    /// Waits until the state of the swarm fulfils `condition`, and returns it.
    ///
    /// # Errors
    /// [`NetStopped`] when the swarm stops before.
    pub async fn wait_until(
        &self,
        condition: impl FnMut(&NetStatus) -> bool,
    ) -> Result<NetStatus, NetStopped> {
        let mut status = self.status.clone();
        let status = status.wait_for(condition).await.map_err(|_| NetStopped)?;
        Ok(status.clone())
    }

    /// Closes every connection and stops the swarm; returns when it has stopped, at most
    /// [`super::limits::FAREWELL`] later. What still waits to be sent is lost, and the operating system may hold a QUIC port
    /// for a moment longer.
    pub async fn shutdown(&self) {
        self.stop.send_replace(true);
        self.commands.closed().await;
    }
}
