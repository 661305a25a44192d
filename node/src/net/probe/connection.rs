//! A probe: a connection under an identity of its own, its streams and topics.

use std::io;
use std::time::Duration;

use bombyx_protocol::ident::NodeId;
use bombyx_protocol::limits::FRAME_BYTES_MAX;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::{PeerId, StreamProtocol};
use libp2p_stream::{Control, IncomingStreams, OpenStreamError};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::super::error::{AddressError, NetError};
use super::super::{address, behaviour, gossip, streams};
use super::carrier::Carrier;
use super::told::{Command, Heard, ProbeError, Standing};

/// Until a connection stands and the peer has said who it is.
const CONNECT: Duration = Duration::from_secs(10);
/// Until a stream is open.
const OPEN: Duration = Duration::from_secs(5);
/// How often a stream is opened again that was dropped before its greeting.
const GREETING_TRIES: u32 = 3;
/// What the peer may say before it is read.
const HEARD_MAX: usize = 4_096;
const COMMANDS_MAX: usize = 64;

/// A connection under an identity of its own.
pub struct Probe {
    peer: PeerId,
    pub(super) network: String,
    control: Control,
    commands: mpsc::Sender<Command>,
    standing: watch::Receiver<Standing>,
    /// What the peer says unasked, in its order.
    pub heard: mpsc::Receiver<Heard>,
}

/// One stream, raw.
pub struct RawStream(libp2p::Stream);

/// Returns which node an address names.
///
/// # Errors
/// [`NetError::Address`].
pub fn node_at(text: &str) -> Result<NodeId, NetError> {
    let wrong = |why| NetError::Address { list: "node", address: text.to_owned(), why };
    let (peer, _) = address::read_dialable(text).map_err(wrong)?;
    address::node_of(&peer).ok_or_else(|| wrong(AddressError::PeerKey))
}

impl Probe {
    /// Connects to the node at this address, and waits until it has said who it is.
    ///
    /// # Errors
    /// [`ProbeError`].
    pub async fn connect(seed: &Zeroizing<[u8; 32]>, network: &str, at: &str) -> Result<Self, ProbeError> {
        let wrong = |why| NetError::Address { list: "node", address: at.to_owned(), why };
        let (peer, address) = address::read_dialable(at).map_err(wrong)?;
        let (keypair, _) = behaviour::identity(seed)?;
        let (said, heard) = mpsc::channel(HEARD_MAX);
        let (commands, asked) = mpsc::channel(COMMANDS_MAX);
        let (tell, mut standing) = watch::channel(Standing::default());
        let (carrier, mut control) = Carrier::dial(&keypair, network, (peer, address), tell, said.clone())?;
        let incoming = control
            .accept(streams::MESSAGES)
            .map_err(|why| NetError::Setup { part: "direct messages", why: why.to_string() })?;
        tokio::spawn(accept(incoming, said));
        tokio::spawn(carrier.run(asked));
        let network = network.to_owned();
        let is_settled = |standing: &Standing| standing.identified.is_some() || standing.closed.is_some();
        let unreachable = match timeout(CONNECT, standing.wait_for(is_settled)).await {
            Err(_) => Some("the node does not answer in time".to_owned()),
            Ok(Err(_)) => Some("the connection ended".to_owned()),
            Ok(Ok(now)) if now.identified.is_none() => now.closed.clone(),
            Ok(Ok(_)) => None,
        };
        match unreachable {
            Some(why) => Err(ProbeError::Unreachable(why)),
            None => Ok(Self { peer, network, control, commands, standing, heard }),
        }
    }

    /// Returns what the connection is like at the moment.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Waits until the connection is as `is_so` says; returns whether it came to that in time.
    pub async fn becomes(&mut self, within: Duration, is_so: impl FnMut(&Standing) -> bool) -> bool {
        timeout(within, self.standing.wait_for(is_so)).await.is_ok_and(|found| found.is_ok())
    }

    /// Returns the full name of a topic of this network.
    #[must_use]
    pub fn topic(&self, short: &str) -> String {
        format!("{}{short}", gossip::prefix(&self.network))
    }

    /// Listens to a topic of this network.
    ///
    /// # Errors
    /// [`ProbeError::Closed`].
    pub async fn subscribe(&self, short: &str) -> Result<(), ProbeError> {
        self.command(Command::Subscribe(self.topic(short))).await
    }

    /// Says something on a topic of this network, whatever it is.
    ///
    /// # Errors
    /// [`ProbeError::Closed`].
    pub async fn publish(&self, short: &str, bytes: Vec<u8>) -> Result<(), ProbeError> {
        self.command(Command::Publish { topic: self.topic(short), bytes }).await
    }

    async fn command(&self, command: Command) -> Result<(), ProbeError> {
        self.commands.send(command).await.map_err(|_| self.why_closed())
    }

    fn why_closed(&self) -> ProbeError {
        ProbeError::Closed(self.standing().closed.unwrap_or_else(|| "the swarm has ended".into()))
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// [`ProbeError::NotOffered`], [`ProbeError::Closed`], [`ProbeError::Stream`].
    pub async fn open(&self, protocol: &str) -> Result<RawStream, ProbeError> {
        if self.standing().closed.is_some() {
            return Err(self.why_closed());
        }
        let name = StreamProtocol::try_from_owned(protocol.to_owned())
            .map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why.to_string()))?;
        let mut control = self.control.clone();
        match timeout(OPEN, control.open_stream(self.peer, name)).await {
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            Ok(Ok(stream)) => Ok(RawStream(stream)),
            Ok(Err(OpenStreamError::UnsupportedProtocol(_))) => {
                Err(ProbeError::NotOffered(protocol.to_owned()))
            }
            Ok(Err(OpenStreamError::Io(why))) => Err(why.into()),
            Ok(Err(_)) => Err(io::Error::from(io::ErrorKind::Other).into()),
        }
    }

    /// Opens a stream of direct messages and reads the byte by which the node says that it reads. A node that is busy may
    /// drop a stream before that byte; then another is opened, a few times. (`WI-10`)
    ///
    /// # Errors
    /// As [`Self::open`], and [`ProbeError::Stream`] when another byte comes, or none.
    pub async fn open_messages(&self) -> Result<RawStream, ProbeError> {
        let mut tries = 0..GREETING_TRIES;
        loop {
            let mut stream = self.open(streams::MESSAGES.as_ref()).await?;
            match stream.read(1, OPEN).await.as_deref() {
                Ok([streams::GREETING]) => return Ok(stream),
                Ok(_) => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "the first byte is not 01").into());
                }
                Err(why) if why.kind() == io::ErrorKind::UnexpectedEof && tries.next().is_some() => {}
                Err(why) => return Err(io::Error::new(why.kind(), "no greeting comes on a stream").into()),
            }
        }
    }
}

impl RawStream {
    /// Writes bytes as they are.
    ///
    /// # Errors
    /// [`io::Error`].
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let writing = async {
            self.0.write_all(bytes).await?;
            self.0.flush().await
        };
        timeout(OPEN, writing).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Writes a frame with its length.
    ///
    /// # Errors
    /// [`io::Error`].
    pub async fn write_frame(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(OPEN, streams::write_frame(&mut self.0, bytes))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Reads exactly so many bytes.
    ///
    /// # Errors
    /// [`io::Error`]: the stream ended before, or nothing came in time.
    pub async fn read(&mut self, count: usize, within: Duration) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        timeout(within, self.0.read_exact(&mut bytes))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(bytes)
    }

    /// Returns whether the other side ends the stream within this time without another byte.
    pub async fn ends(&mut self, within: Duration) -> bool {
        let mut byte = [0];
        matches!(timeout(within, self.0.read(&mut byte)).await, Ok(Ok(0) | Err(_)))
    }

    /// Ends this side.
    pub async fn close(&mut self) {
        // One that is gone already has nothing to end.
        let _ = self.0.close().await;
    }
}

/// Reads whatever the peer says on streams of direct messages.
async fn accept(mut incoming: IncomingStreams, said: mpsc::Sender<Heard>) {
    while let Some((_, stream)) = incoming.next().await {
        let said = said.clone();
        tokio::spawn(async move {
            // It ends with its stream.
            let _ = read_messages(stream, said).await;
        });
    }
}

async fn read_messages(mut stream: libp2p::Stream, said: mpsc::Sender<Heard>) -> io::Result<()> {
    stream.write_all(&[streams::GREETING]).await?;
    stream.flush().await?;
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length).await?;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        let heard = if length > FRAME_BYTES_MAX {
            Heard::Oversized(length)
        } else {
            let mut bytes = vec![0; length];
            stream.read_exact(&mut bytes).await?;
            Heard::Message(bytes)
        };
        let is_over = matches!(heard, Heard::Oversized(_));
        if said.send(heard).await.is_err() || is_over {
            return Ok(());
        }
    }
}
