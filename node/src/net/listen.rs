//! Listening: the configured addresses are bound before the node counts as started, and failures say what to do.

use std::collections::HashMap;
use std::io;

use futures::StreamExt as _;
use libp2p::core::transport::{ListenerId, TransportError};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, Swarm};
use tokio::time::timeout;

use super::behaviour::Behaviour;
use super::error::{AddressError, NetError};
use super::joint::{NetEvent, NetStatus};
use super::outbox::Outbox;
use super::{internet, limits};

type Read = fn(&str) -> Result<Multiaddr, AddressError>;

/// Reads a list of addresses of the configuration; the first bad one is an error that names it.
pub(super) fn read_all(
    list: &'static str,
    texts: &[String],
    read: Read,
) -> Result<Vec<(String, Multiaddr)>, NetError> {
    let read_one = |text: &String| match read(text) {
        Ok(address) => Ok((text.clone(), address)),
        Err(why) => Err(NetError::Address { list, address: text.clone(), why }),
    };
    texts.iter().map(read_one).collect()
}

/// Binds the listen addresses and waits until each is confirmed.
pub(super) async fn bind(
    swarm: &mut Swarm<Behaviour>,
    listen: Vec<(String, Multiaddr)>,
    status: &mut NetStatus,
    out: &mut Outbox,
) -> Result<(), NetError> {
    let mut waiting: HashMap<ListenerId, String> = HashMap::new();
    for (text, address) in listen {
        internet::probe(&address).map_err(|why| listen_error(text.clone(), why))?;
        let listener = swarm.listen_on(address).map_err(|why| match why {
            TransportError::MultiaddrNotSupported(_) => {
                NetError::Address { list: "listen", address: text.clone(), why: AddressError::Protocols }
            }
            TransportError::Other(why) => listen_error(text.clone(), why),
        })?;
        waiting.insert(listener, text);
    }
    let confirmed = timeout(limits::LISTEN_DEADLINE, async {
        while !waiting.is_empty() {
            let event = swarm.select_next_some().await;
            if let SwarmEvent::NewListenAddr { listener_id, address } = event {
                waiting.remove(&listener_id);
                note_listening(*swarm.local_peer_id(), address, status, out);
            } else if let SwarmEvent::ListenerClosed { listener_id, reason: Err(why), .. } = event {
                let text = waiting.remove(&listener_id).unwrap_or_default();
                return Err(listen_error(text, why));
            }
        }
        Ok(())
    });
    confirmed.await.unwrap_or_else(|_| {
        let all: Vec<String> = waiting.into_values().collect();
        Err(NetError::ListenTimeout(all.join(", ")))
    })
}

fn listen_error(address: String, source: io::Error) -> NetError {
    let kind = source.kind();
    let hint = if kind == io::ErrorKind::AddrInUse {
        "another program, perhaps another node, uses this port: stop it, or listen on another port or on port 0"
    } else if kind == io::ErrorKind::PermissionDenied {
        "ports below 1024 need privileges: listen on a higher port"
    } else if kind == io::ErrorKind::AddrNotAvailable {
        "no interface of this machine has this address: use one that it has, or 0.0.0.0"
    } else {
        "check the address and the port"
    };
    NetError::Listen { address, source, hint }
}

/// Notes an address this node listens on, once.
pub(super) fn note_listening(own: PeerId, address: Multiaddr, status: &mut NetStatus, out: &mut Outbox) {
    let full = full_address(own, address);
    if status.listening.insert(full.clone()) {
        out.push(NetEvent::Listening(full));
    }
}

/// Returns the address as others need it: with this node's peer id.
pub(super) fn full_address(own: PeerId, address: Multiaddr) -> String {
    address.with(Protocol::P2p(own)).to_string()
}
