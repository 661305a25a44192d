//! One encrypted stream to a liteserver: questions out, each answer to the one that asked.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;

use super::address::LiteAddress;
use super::adnl::{self, Secrets};
use super::frame::Frame;

/// Bytes of one answer.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Questions that wait for an answer on one stream.
const WAITING_MAX: usize = 256;

type PendingAnswers = Arc<StdMutex<HashMap<[u8; 32], oneshot::Sender<Vec<u8>>>>>;

/// One stream to the server.
pub(super) struct Link {
    writer: Mutex<(adnl::Stream, OwnedWriteHalf)>,
    waiting: PendingAnswers,
    reader: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Link {
    /// Connects, and proves that the server has the key of its address.
    pub(super) async fn connect(address: &LiteAddress) -> io::Result<Self> {
        let secrets = Secrets::random();
        let hello = adnl::greet(&address.key, &secrets).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "the server's key is no ed25519 key")
        })?;
        let socket = TcpStream::connect(&address.socket).await?;
        socket.set_nodelay(true)?;
        let (mut read, mut write) = socket.into_split();
        tokio::io::AsyncWriteExt::write_all(&mut write, &hello).await?;
        let mut stream = secrets.downstream();
        // Only the holder of the key can open the first packet and write this frame.
        adnl::read_frame(&mut stream, &mut read, ANSWER_BYTES_MAX).await?;
        let waiting = PendingAnswers::default();
        let reader = tokio::spawn(hand_out(stream, read, Arc::clone(&waiting)));
        Ok(Self { writer: Mutex::new((secrets.upstream(), write)), waiting, reader })
    }

    /// Returns whether answers may still come.
    pub(super) fn is_open(&self) -> bool {
        !self.reader.is_finished()
    }

    /// Asks, and waits for the answer for as long as the stream holds.
    pub(super) async fn ask(&self, question: &[u8]) -> io::Result<Vec<u8>> {
        let id: [u8; 32] = rand::random();
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.retain(|_, answer| !answer.is_closed());
            if waiting.len() >= WAITING_MAX {
                return Err(io::Error::other("too many questions wait for this server"));
            }
            waiting.insert(id, answer);
        }
        let frame = Frame::Query { id, question: question.to_vec() }.write();
        {
            let mut writer = self.writer.lock().await;
            let (stream, socket) = &mut *writer;
            adnl::write_frame(stream, socket, &frame).await?;
        }
        answered.await.map_err(|_| io::ErrorKind::ConnectionAborted.into())
    }
}

/// Reads answers until the stream ends and gives each to the question that waits for it; then ends the wait of all others.
async fn hand_out(mut stream: adnl::Stream, mut socket: OwnedReadHalf, waiting: PendingAnswers) {
    while let Ok(payload) = adnl::read_frame(&mut stream, &mut socket, ANSWER_BYTES_MAX).await {
        if let Some(Frame::Answer { id, answer }) = Frame::read(&payload)
            && let Some(asker) = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
        {
            // The one that asked may have given up.
            let _ = asker.send(answer);
        }
    }
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}
