//! The last look at every address before it is dialled: what strangers say must not make this node knock
//! inside its own network, nor hammer somebody else's. (`NE-8`)

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::{fmt, io};

use futures::future::BoxFuture;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::{Multiaddr, PeerId, Transport};
use web_time::Instant;

use super::address;
use super::places::{Place, Places};
use super::scope::Scope;
use super::{limits, prefix};

/// A connection with its peer.
type Connection = (PeerId, StreamMuxerBox);

/// A transport that dials only where it may.
pub(super) struct FilteredTransport {
    inner: Boxed<Connection>,
    scope: Scope,
    /// Addresses that this node's own user wrote.
    typed: Vec<Multiaddr>,
    dials: Arc<Mutex<Places>>,
}

/// Why an address is not dialled.
#[derive(Debug)]
enum DialRefusal {
    Inner,
    Crowded,
}

impl fmt::Display for DialRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inner => "the address is none that another node may name on this network",
            Self::Crowded => "too many dials to this prefix are under way",
        })
    }
}

impl std::error::Error for DialRefusal {}

/// A place among the dials, given back when the dial is over.
struct DialPermit {
    dials: Arc<Mutex<Places>>,
    place: Place,
}

impl Drop for DialPermit {
    fn drop(&mut self) {
        self.dials.lock().unwrap_or_else(PoisonError::into_inner).give_back(&self.place);
    }
}

impl FilteredTransport {
    pub(super) fn new(inner: Boxed<Connection>, scope: Scope, typed: Vec<Multiaddr>) -> Self {
        let dials = Places::new("dials", limits::DIALS_MAX, 0, usize::MAX);
        Self { inner, scope, typed, dials: Arc::new(Mutex::new(dials)) }
    }

    /// Takes a place for a dial; none is needed for what the user wrote.
    fn admit(&self, address: &Multiaddr) -> Result<Option<DialPermit>, DialRefusal> {
        let bare = address::without_last_peer(address);
        if self.typed.contains(&bare) {
            return Ok(None);
        }
        if !address::is_usable(self.scope, &bare) {
            tracing::debug!(%address, "an address that a stranger named is not dialled");
            return Err(DialRefusal::Inner);
        }
        let mut dials = self.dials.lock().unwrap_or_else(PoisonError::into_inner);
        let place = dials.take(None, prefix::of(&bare), false, Instant::now()).ok_or(DialRefusal::Crowded)?;
        Ok(Some(DialPermit { dials: Arc::clone(&self.dials), place }))
    }
}

impl Transport for FilteredTransport {
    type Output = Connection;
    type Error = io::Error;
    type ListenerUpgrade = <Boxed<Connection> as Transport>::ListenerUpgrade;
    type Dial = BoxFuture<'static, io::Result<Connection>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        let dialling = self.admit(&address).map_err(|why| TransportError::Other(io::Error::other(why)))?;
        let dial = self.inner.dial(address, options)?;
        Ok(Box::pin(async move {
            let connection = dial.await;
            drop(dialling);
            connection
        }))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut self.inner).poll(context)
    }
}

#[cfg(test)]
mod tests {
    use libp2p::core::transport::dummy::DummyTransport;

    use super::super::fixtures::at;
    use super::*;

    fn filtered(scope: Scope) -> FilteredTransport {
        let nowhere = DummyTransport::<Connection>::new();
        FilteredTransport::new(
            nowhere.boxed(),
            scope,
            vec![at("/ip4/10.0.0.9/tcp/4101"), at("/dns4/lan/tcp/4101")],
        )
    }

    /// (`NE-8`)
    #[test]
    fn inner_addresses_are_dialled_only_where_the_user_wrote_them() {
        let public = filtered(Scope::Public);
        let peer = PeerId::random();
        for typed in ["/ip4/10.0.0.9/tcp/4101", "/dns4/lan/tcp/4101"] {
            assert!(public.admit(&at(typed)).is_ok_and(|dialling| dialling.is_none()));
            assert!(public.admit(&at(&format!("{typed}/p2p/{peer}"))).is_ok());
        }
        for named in ["/ip4/10.0.0.8/tcp/4101", "/ip4/127.0.0.1/udp/4101/quic-v1", "/dns4/elsewhere/tcp/4101"]
        {
            assert!(matches!(public.admit(&at(named)), Err(DialRefusal::Inner)), "{named}");
            assert!(public.admit(&at(&format!("{named}/p2p/{peer}"))).is_err(), "{named}");
        }
        assert!(public.admit(&at("/ip4/9.9.9.9/tcp/4101")).is_ok());
        assert!(filtered(Scope::Private).admit(&at("/ip4/10.0.0.8/tcp/4101")).is_ok());
    }

    /// (`NE-2`)
    #[test]
    fn one_prefix_is_dialled_a_bounded_number_of_times_at_once() {
        let filtered = filtered(Scope::Public);
        let mut under_way = Vec::new();
        while let Ok(dialling) = filtered.admit(&at(&format!("/ip4/9.9.9.9/tcp/{}", under_way.len() + 1))) {
            under_way.push(dialling);
        }
        assert_eq!(under_way.len(), limits::DIALS_MAX / 2);
        assert!(filtered.admit(&at("/ip4/8.8.8.8/tcp/1")).is_ok());
        under_way.pop();
        assert!(filtered.admit(&at("/ip4/9.9.9.9/tcp/1")).is_ok());
    }
}
