//! Frames over a libp2p stream between two swarms of this process, sealed and plain.

use std::time::Instant;

use bombyx_protocol::entropy::Entropy;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::session::{Initiator, Secure, StaticKey, prologue, respond};
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::swarm::SwarmEvent;
use libp2p::{PeerId, Stream, StreamProtocol, Swarm, SwarmBuilder};
use libp2p_stream::{Behaviour, Control, IncomingStreams};
use tokio::task::JoinHandle;

use super::{Row, Samples};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/bench/1");
const RUNS: usize = 5;
/// Bytes of the frame around a sealed body: number and length.
const HEAD: usize = 12;

pub(super) async fn rows() -> Vec<Row> {
    let mut pair = Pair::connect().await;
    let mut rows = Vec::new();
    for ([what, parts], body, frames) in [
        (["sealed stream, 250-byte frames", "the same against its parts, 250-byte frames"], 250, 8_000),
        (
            ["sealed stream, 16,000-byte frames", "the same against its parts, 16,000-byte frames"],
            16_000,
            1_000,
        ),
    ] {
        let mut plain = Samples { through: Vec::new(), bare: Vec::new() };
        let mut together = Samples { through: Vec::new(), bare: Vec::new() };
        for _ in 0..RUNS {
            let sealed = pair.send(body, frames, true).await;
            let bare = pair.send(body, frames, false).await;
            plain.through.push(sealed);
            plain.bare.push(bare);
            together.through.push(sealed);
            together.bare.push(1.0 / (1.0 / bare + 1.0 / sealing(body, frames)));
        }
        rows.push(plain.row(what, "MB/s"));
        rows.push(together.row(parts, "MB/s"));
    }
    rows
}

struct Pair {
    control: Control,
    incoming: IncomingStreams,
    receiver: PeerId,
    drivers: [JoinHandle<()>; 2],
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.drivers.iter().for_each(JoinHandle::abort);
    }
}

fn swarm() -> Swarm<Behaviour> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_quic()
        .with_behaviour(|_| Behaviour::new())
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(std::time::Duration::from_secs(60)))
        .build()
}

impl Pair {
    async fn connect() -> Self {
        let (mut near, mut far) = (swarm(), swarm());
        far.listen_on("/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()).unwrap();
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = far.select_next_some().await {
                break address;
            }
        };
        let receiver = *far.local_peer_id();
        let incoming = far.behaviour().new_control().accept(PROTOCOL).unwrap();
        let control = near.behaviour().new_control();
        near.dial(address.with_p2p(receiver).unwrap()).unwrap();
        let drive = |mut swarm: Swarm<Behaviour>| {
            tokio::spawn(async move {
                loop {
                    swarm.select_next_some().await;
                }
            })
        };
        let far = drive(far);
        while !matches!(near.select_next_some().await, SwarmEvent::ConnectionEstablished { .. }) {}
        Self { control, incoming, receiver, drivers: [drive(near), far] }
    }

    /// Sends `frames` bodies and waits until the last one was read; megabytes of bodies a second.
    async fn send(&mut self, body: usize, frames: usize, sealed: bool) -> f64 {
        let mut out = self.control.open_stream(self.receiver, PROTOCOL).await.unwrap();
        // The other side learns of a stream with its first byte.
        out.write_all(&[0]).await.unwrap();
        let (_, mut input) = self.incoming.next().await.unwrap();
        input.read_exact(&mut [0]).await.unwrap();
        let (near, far) = session();
        let began = Instant::now();
        let reader = tokio::spawn(async move { read(&mut input, body, frames, sealed.then_some(far)).await });
        let mut near = sealed.then_some(near);
        let text = vec![7; body];
        for _ in 0..frames {
            let frame = match &mut near {
                Some(session) => {
                    let frame = session.seal(&text, false).unwrap();
                    packed(frame.nonce, &frame.bytes)
                }
                None => packed(0, &text),
            };
            out.write_all(&frame).await.unwrap();
        }
        out.flush().await.unwrap();
        reader.await.unwrap();
        let elapsed = began.elapsed();
        let _ = out.close().await;
        (body * frames) as f64 / 1e6 / elapsed.as_secs_f64()
    }
}

/// Seals `frames` bodies and opens them, without a stream; megabytes of bodies a second.
fn sealing(body: usize, frames: usize) -> f64 {
    let ((mut near, mut far), text) = (session(), vec![7; body]);
    let began = Instant::now();
    for _ in 0..frames {
        let frame = near.seal(&text, false).unwrap();
        assert_eq!(far.open(frame.nonce, &frame.bytes).unwrap().body.len(), body);
    }
    (body * frames) as f64 / 1e6 / began.elapsed().as_secs_f64()
}

fn packed(nonce: u64, bytes: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEAD + bytes.len());
    frame.extend_from_slice(&nonce.to_le_bytes());
    frame.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
    frame.extend_from_slice(bytes);
    frame
}

async fn read(input: &mut Stream, body: usize, frames: usize, mut session: Option<Secure>) {
    for _ in 0..frames {
        let mut head = [0; HEAD];
        input.read_exact(&mut head).await.unwrap();
        let nonce = u64::from_le_bytes(head[..8].try_into().unwrap());
        let length = u32::from_le_bytes(head[8..].try_into().unwrap());
        let mut bytes = vec![0; length as usize];
        input.read_exact(&mut bytes).await.unwrap();
        let text = match &mut session {
            Some(session) => session.open(nonce, &bytes).unwrap().body.len(),
            None => bytes.len(),
        };
        assert_eq!(text, body);
    }
}

fn session() -> (Secure, Secure) {
    let key = StaticKey::from_seed([3; 32]);
    let prologue = prologue(&NodeId([4; 32]), &NodeId([5; 32]), &[6; 16]);
    let (initiator, first) = Initiator::start(&key.public(), &prologue, &mut Entropy::new([1; 32])).unwrap();
    let (far, reply) = respond(&key, &prologue, &first, &mut Entropy::new([2; 32])).unwrap();
    (initiator.finish(&reply).unwrap(), far)
}
