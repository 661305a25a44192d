//! What stands in the Internet's place under the node's swarm: a transport in virtual time that behaves as QUIC does.
//!
//! A connection costs the dialer one round trip and the accepting side half of one more; both then know who the other
//! is. Streams cost nothing to open and do not wait for each other.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::{Multiaddr, PeerId, Transport, identity};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::fabric::{self, PendingConnection};
use crate::link;
use crate::net::NetError;

/// Returns the carrier of connections over the virtual network.
pub(crate) fn transport(keypair: &identity::Keypair) -> Result<Boxed<(PeerId, StreamMuxerBox)>, NetError> {
    let peer = keypair.public().to_peer_id();
    let host = fabric::number(&peer).ok_or_else(|| NetError::Setup {
        part: "the virtual network",
        why: format!("{peer} is no host of this network"),
    })?;
    let carrier = Carrier { host, listener: None, events: VecDeque::new(), waker: None };
    Ok(carrier.boxed())
}

/// Says that every address of the virtual network is free.
#[expect(clippy::unnecessary_wraps, reason = "the Internet's addresses can be taken")]
pub(crate) fn probe(_: &Multiaddr) -> io::Result<()> {
    Ok(())
}

/// A connection on the way.
type Handshake = Pin<Box<dyn Future<Output = Result<(PeerId, StreamMuxerBox), io::Error>> + Send>>;

/// One host's part of the transport.
struct Carrier {
    host: u32,
    listener: Option<(ListenerId, mpsc::Receiver<PendingConnection>)>,
    events: VecDeque<TransportEvent<Handshake, io::Error>>,
    waker: Option<Waker>,
}

impl Transport for Carrier {
    type Output = (PeerId, StreamMuxerBox);
    type Error = io::Error;
    type ListenerUpgrade = Handshake;
    type Dial = Handshake;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        if fabric::host(&address) != Some(self.host) {
            return Err(TransportError::MultiaddrNotSupported(address));
        }
        self.listener = Some((id, fabric::listen(self.host)));
        self.events.push_back(TransportEvent::NewAddress { listener_id: id, listen_addr: address });
        self.waker.take().into_iter().for_each(Waker::wake);
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.listener.take_if(|(own, _)| *own == id).is_some()
    }

    fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Handshake, TransportError<io::Error>> {
        let from = self.host;
        let Some(to) = fabric::host(&address) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        Ok(Box::pin(async move {
            let peer = fabric::peer(to).ok_or(io::ErrorKind::HostUnreachable)?;
            let (there, back) =
                (fabric::transit(from, to, HANDSHAKE_BYTES), fabric::transit(to, from, HANDSHAKE_BYTES));
            let again = fabric::transit(from, to, HANDSHAKE_BYTES);
            let ready = Instant::now() + there + back + again;
            sleep(there).await;
            let (muxer, theirs) = link::connect(from, to);
            let accepted = fabric::knock(to, PendingConnection { from, muxer: theirs, ready });
            sleep(back).await;
            if accepted {
                Ok((peer, StreamMuxerBox::new(muxer)))
            } else {
                Err(io::ErrorKind::ConnectionRefused.into())
            }
        }))
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TransportEvent<Handshake, io::Error>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(event);
        }
        let host = self.host;
        if let Some((listener_id, arriving)) = &mut self.listener
            && let Poll::Ready(Some(incoming)) = arriving.poll_recv(cx)
        {
            return Poll::Ready(TransportEvent::Incoming {
                listener_id: *listener_id,
                local_addr: fabric::address(host),
                send_back_addr: fabric::address(incoming.from),
                upgrade: Box::pin(accept(incoming)),
            });
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// A first flight of QUIC fills a datagram.
const HANDSHAKE_BYTES: usize = 1_200;

async fn accept(incoming: PendingConnection) -> Result<(PeerId, StreamMuxerBox), io::Error> {
    let peer = fabric::peer(incoming.from).ok_or(io::ErrorKind::HostUnreachable)?;
    sleep_until(incoming.ready).await;
    Ok((peer, StreamMuxerBox::new(incoming.muxer)))
}
