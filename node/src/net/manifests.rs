//! Manifests between nodes: each hands out those of the models that it sells, and fetches one by its model's id. (`NE-15`)
//!
//! On a stream of the protocol `/bombyx/manifest/1` the opener writes a model id of 32 bytes. The acceptor writes a length
//! (`u32`, little endian; 0 where it has no such manifest) and that many bytes. What comes is believed by its hash alone,
//! which is for the reader to check.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bombyx_protocol::ident::{NodeId, Prefix};
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _};
use libp2p::{PeerId, StreamProtocol};
use libp2p_stream::{Control, IncomingStreams};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use web_time::Instant;

use super::flow::{Flow, Pools};
use super::friends::Friends;
use super::joint::NetEvent;
use super::places::Places;
use super::prefix::Prefixes;
use super::{address, limits};

/// The protocol of manifests.
pub(super) const MANIFESTS: StreamProtocol = StreamProtocol::new("/bombyx/manifest/1");

/// A model's id.
type Model = [u8; 32];

/// The manifests that this node hands out. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Shelf(Arc<Mutex<BTreeMap<Model, Arc<[u8]>>>>);

impl Shelf {
    /// Hands out a model's manifest from now on.
    pub(super) fn put(&self, model: Model, json: &[u8]) {
        let mut manifests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if json.len() <= limits::MANIFEST_BYTES_MAX && manifests.len() < limits::PROVIDED_MAX {
            manifests.insert(model, json.into());
        }
    }

    fn get(&self, model: &Model) -> Option<Arc<[u8]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(model).cloned()
    }
}

/// What those that ask for manifests share.
struct Budgets {
    requests: Flow,
    places: Places,
    /// Units of [`limits::MESSAGE_UNIT_BYTES`].
    bytes: Pools,
}

impl Default for Budgets {
    fn default() -> Self {
        let (per_s, each) = (limits::MANIFESTS_PER_S, limits::MANIFESTS_PER_PEER_PER_S);
        let (places, kept) = (limits::MANIFESTS_AT_ONCE, limits::MANIFESTS_KEPT_AT_ONCE);
        let units = limits::MANIFEST_UNITS_PER_S;
        Self {
            requests: Flow::new("requests for manifests", per_s, each, limits::MANIFEST_BURST),
            places: Places::new("manifests on their way", places, kept, limits::MANIFESTS_PER_PEER),
            bytes: Pools::new("bytes of manifests", units, units, limits::MANIFEST_BURST),
        }
    }
}

/// Hands out manifests for as long as the swarm lives.
pub(super) async fn serve(
    mut incoming: IncomingStreams,
    shelf: Shelf,
    (prefixes, friends): (Prefixes, Friends),
) {
    let budgets = Arc::new(Mutex::new(Budgets::default()));
    while let Some((peer, stream)) = incoming.next().await {
        let Some(node) = address::node_of(&peer) else { continue };
        let prefix = prefixes.get(&node).unwrap_or(Prefix::UNKNOWN);
        let is_friend = friends.has(&peer);
        let now = Instant::now();
        let place = {
            let mut budgets = budgets.lock().unwrap_or_else(PoisonError::into_inner);
            let passes = budgets.requests.pass(peer, prefix, is_friend, now).is_ok();
            if passes { budgets.places.take(Some(peer), prefix, is_friend, now) } else { None }
        };
        // A stream that is dropped is closed: the other side asks elsewhere.
        let Some(place) = place else { continue };
        let (shelf, budgets) = (shelf.clone(), Arc::clone(&budgets));
        tokio::spawn(async move {
            let may_send = |bytes: usize| {
                let units =
                    f64::from(u16::try_from(1 + bytes / limits::MESSAGE_UNIT_BYTES).unwrap_or(u16::MAX));
                let mut budgets = budgets.lock().unwrap_or_else(PoisonError::into_inner);
                budgets.bytes.take(prefix, is_friend, units, Instant::now())
            };
            // A peer that reads or writes too slowly has only itself to blame.
            let _ = timeout(limits::MANIFEST_DEADLINE, answer(stream, &shelf, may_send)).await;
            budgets.lock().unwrap_or_else(PoisonError::into_inner).places.give_back(&place);
        });
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    shelf: &Shelf,
    may_send: impl Fn(usize) -> bool,
) -> io::Result<()> {
    let mut model = [0; 32];
    stream.read_exact(&mut model).await?;
    let manifest = shelf.get(&model).filter(|manifest| may_send(manifest.len()));
    let manifest = manifest.as_deref().unwrap_or_default();
    let length = u32::try_from(manifest.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_le_bytes()).await?;
    stream.write_all(manifest).await?;
    stream.close().await
}

/// Asks a connected node for a model's manifest, and tells what came of it. Nothing comes of it where too many are being
/// fetched already.
pub(super) fn fetch(
    mut control: Control,
    (peer, from): (PeerId, NodeId),
    model: Model,
    places: &Arc<Semaphore>,
    events: mpsc::Sender<NetEvent>,
) {
    let place = Arc::clone(places).try_acquire_owned();
    tokio::spawn(async move {
        let fetched = async {
            let _place = place.ok()?;
            let read = async { read(control.open_stream(peer, MANIFESTS).await.ok()?, model).await.ok() };
            timeout(limits::MANIFEST_DEADLINE, read).await.ok().flatten()
        };
        let json = fetched.await.unwrap_or_default();
        // A closed queue means that the swarm has stopped.
        let _ = events.send(NetEvent::Manifest { from, model, json }).await;
    });
}

async fn read(mut stream: impl AsyncRead + AsyncWrite + Unpin, model: Model) -> io::Result<Vec<u8>> {
    stream.write_all(&model).await?;
    stream.flush().await?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > limits::MANIFEST_BYTES_MAX {
        return Err(io::Error::other("a manifest is longer than one may be"));
    }
    // Memory is taken as bytes come, not for what a length claims.
    let mut json = Vec::new();
    stream.take(length as u64).read_to_end(&mut json).await?;
    if json.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::io::Cursor;

    /// What a stream brings, and where it takes what is written.
    struct Pipe {
        from: Cursor<Vec<u8>>,
        to: Vec<u8>,
    }

    impl AsyncRead for Pipe {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            buf: &mut [u8],
        ) -> std::task::Poll<io::Result<usize>> {
            std::pin::Pin::new(&mut self.from).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Pipe {
        fn poll_write(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buf: &[u8],
        ) -> std::task::Poll<io::Result<usize>> {
            self.to.extend_from_slice(buf);
            std::task::Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn poll_close(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
    }

    fn pipe(from: Vec<u8>) -> Pipe {
        Pipe { from: Cursor::new(from), to: Vec::new() }
    }

    /// (`NE-15`)
    #[tokio::test]
    async fn a_manifest_is_handed_out_by_id_and_nothing_else_is() {
        let shelf = Shelf::default();
        shelf.put([1; 32], b"{}");
        shelf.put([2; 32], &vec![b' '; limits::MANIFEST_BYTES_MAX + 1]);
        for (model, may_send, expected) in [
            ([1; 32], true, &b"\x02\0\0\0{}"[..]),
            ([1; 32], false, &[0; 4]),
            ([2; 32], true, &[0; 4]),
            ([3; 32], true, &[0; 4]),
        ] {
            let mut pipe = pipe(model.to_vec());
            answer(&mut pipe, &shelf, |_| may_send).await.expect("it is answered");
            assert_eq!(pipe.to, expected);
        }
        let mut short = pipe(vec![1; 31]);
        assert!(answer(&mut short, &shelf, |_| true).await.is_err() && short.to.is_empty());
    }

    /// (`NE-15`)
    #[tokio::test]
    async fn a_manifest_that_is_too_long_or_ends_early_is_not_taken() {
        let said = |length: usize, bytes: usize| {
            let mut said = u32::try_from(length).expect("it fits").to_le_bytes().to_vec();
            said.extend(vec![7; bytes]);
            said
        };
        let most = limits::MANIFEST_BYTES_MAX;
        for (length, bytes, expected) in [
            (0, 0, Some(0)),
            (5, 5, Some(5)),
            (5, 9, Some(5)),
            (most, most, Some(most)),
            (most + 1, most + 1, None),
            (u32::MAX as usize, 9, None),
            (5, 4, None),
        ] {
            let mut pipe = pipe(said(length, bytes));
            assert_eq!(read(&mut pipe, [9; 32]).await.ok().map(|json| json.len()), expected);
            assert_eq!(pipe.to, [9; 32]);
        }
        assert!(read(pipe(vec![1, 0]), [9; 32]).await.is_err());
    }

    /// (`NE-2`, `NE-15`)
    #[test]
    fn those_that_ask_share_what_is_handed_out() {
        let mut budgets = Budgets::default();
        let (here, elsewhere) = (Prefix::of_ipv4([127, 0, 0, 1]), Prefix::of_ipv4([127, 0, 7, 1]));
        let now = Instant::now();
        let one = PeerId::random();
        let passed = (0..1_000).filter(|_| budgets.requests.pass(one, here, false, now).is_ok()).count();
        let burst = limits::MANIFESTS_PER_PEER_PER_S as usize * limits::MANIFEST_BURST.as_secs() as usize;
        assert_eq!(passed, burst);
        let crowd = (0..10_000).filter(|_| budgets.requests.pass(PeerId::random(), here, false, now).is_ok());
        assert!(crowd.count() < limits::MANIFESTS_PER_S as usize * limits::MANIFEST_BURST.as_secs() as usize);
        assert!(budgets.requests.pass(PeerId::random(), elsewhere, false, now).is_ok());
        let largest = f64::from(
            u16::try_from(1 + limits::MANIFEST_BYTES_MAX / limits::MESSAGE_UNIT_BYTES).expect("small"),
        );
        assert!(budgets.bytes.take(elsewhere, false, largest, now), "the largest is within one's share");
    }
}
