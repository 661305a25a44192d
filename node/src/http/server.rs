//! HTTP served with limits: a caller that sends half a head, trickles single bytes or reads no answer is disconnected.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Sleep, sleep};

use super::limits;

/// Serves `routes` on `listener` as long as the process lives. A connection that does not send a whole request head
/// within [`limits::HEAD_WAIT`] is closed, the first one as well as the next on a connection that is kept.
pub(crate) async fn serve(listener: TcpListener, routes: Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits::HEAD_WAIT)
        .max_headers(limits::HEADERS_MAX)
        .max_buf_size(limits::HEAD_BYTES_MAX);
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
    loop {
        // Others wait in the system's queue; every connection that sends nothing ends, so each comes to its turn.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // Out of file descriptors, most likely: the next try would fail at once as well.
                sleep(limits::ACCEPT_PAUSE).await;
                continue;
            }
        };
        // A token waits for no acknowledgement of the one before; a socket that cannot be told so works as well.
        let _ = socket.set_nodelay(true);
        let connection = http.serve_connection(
            TokioIo::new(PatientSocket { socket, patience: None }),
            TowerToHyperService::new(routes.clone()),
        );
        tokio::spawn(async move {
            // What a caller did wrong is nobody's news.
            let _ = connection.await;
            drop(place);
        });
    }
}

/// A socket whose other end must take what is written within [`limits::WRITE_WAIT`].
struct PatientSocket {
    socket: TcpStream,
    /// Runs while something waits to be taken.
    patience: Option<Pin<Box<Sleep>>>,
}

impl PatientSocket {
    fn within_patience<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.patience = None;
            return written;
        }
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(limits::WRITE_WAIT)));
        patience.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for PatientSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for PatientSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.within_patience(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, pieces);
        self.within_patience(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::time::{Instant, timeout};

    use super::*;

    /// Bytes of an answer that no system holds for a caller.
    const LONG: usize = 16 * 1024 * 1024;

    async fn start() -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let slow = async || {
            sleep(limits::HEAD_WAIT + Duration::from_secs(2)).await;
            "at last"
        };
        let routes = Router::new().route("/", get(async || "here")).route("/slow", get(slow));
        let routes = routes.route("/long", get(async || "x".repeat(LONG)));
        tokio::spawn(serve(listener, routes));
        address
    }

    /// Returns what the server says until it closes the connection.
    async fn rest(socket: &mut TcpStream) -> String {
        let mut said = Vec::new();
        let patience = limits::HEAD_WAIT + Duration::from_secs(5);
        // A reset is an end as well.
        let _ = timeout(patience, socket.read_to_end(&mut said)).await.expect("the server hangs up");
        String::from_utf8_lossy(&said).into_owned()
    }

    #[tokio::test]
    async fn a_whole_request_is_answered() {
        let mut socket = TcpStream::connect(start().await).await.unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
        assert!(rest(&mut socket).await.ends_with("here"));
    }

    #[tokio::test]
    async fn an_answer_that_takes_its_time_is_not_cut() {
        let mut socket = TcpStream::connect(start().await).await.unwrap();
        socket
            .write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        assert!(rest(&mut socket).await.ends_with("at last"));
    }

    #[tokio::test]
    async fn a_head_that_is_never_finished_is_hung_up_on() {
        let address = start().await;
        let silent = async |said: &'static [u8]| {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(said).await.unwrap();
            let began = Instant::now();
            rest(&mut socket).await;
            began.elapsed()
        };
        let (nothing, half, idle) = tokio::join!(
            silent(b""),
            silent(b"GET / HTTP/1.1\r\nHost: loc"),
            // The second head on a kept connection.
            silent(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HT"),
        );
        for waited in [nothing, half, idle] {
            assert!(waited < limits::HEAD_WAIT + Duration::from_secs(3), "{waited:?}");
        }
    }

    #[tokio::test]
    async fn a_head_that_trickles_gains_no_time() {
        let mut socket = TcpStream::connect(start().await).await.unwrap();
        let began = Instant::now();
        let head = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
        let mut hung_up = false;
        for byte in head.iter().copied().chain(std::iter::repeat(b'a')) {
            hung_up = socket.write_all(&[byte]).await.is_err();
            let mut said = [0; 64];
            let read = timeout(Duration::from_millis(200), socket.read(&mut said)).await;
            hung_up |= matches!(read, Ok(Ok(0) | Err(_)));
            if hung_up || began.elapsed() > limits::HEAD_WAIT * 2 {
                break;
            }
        }
        assert!(hung_up && began.elapsed() < limits::HEAD_WAIT + Duration::from_secs(3));
    }

    #[tokio::test]
    async fn a_head_over_the_limit_is_refused() {
        let mut socket = TcpStream::connect(start().await).await.unwrap();
        // What is whole with the last piece read is still taken; so much is never whole.
        let long = "a".repeat(4 * limits::HEAD_BYTES_MAX);
        let _ = socket.write_all(format!("GET / HTTP/1.1\r\nX: {long}\r\n\r\n").as_bytes()).await;
        assert!(!rest(&mut socket).await.contains("here"));
        let mut socket = TcpStream::connect(start().await).await.unwrap();
        let many = "X: y\r\n".repeat(limits::HEADERS_MAX + 1);
        let _ = socket.write_all(format!("GET / HTTP/1.1\r\n{many}\r\n").as_bytes()).await;
        assert!(rest(&mut socket).await.contains("431"));
    }

    #[tokio::test]
    async fn silent_connections_do_not_keep_a_caller_out() {
        let address = start().await;
        let mut silent = Vec::new();
        for _ in 0..limits::CONNECTIONS_MAX {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
        assert!(rest(&mut socket).await.ends_with("here"));
    }

    #[tokio::test]
    async fn a_caller_that_reads_no_answer_is_hung_up_on() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let mut socket = socket.connect(start().await).await.unwrap();
        socket
            .write_all(b"GET /long HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        sleep(limits::WRITE_WAIT + Duration::from_secs(3)).await;
        assert!(rest(&mut socket).await.len() < LONG, "it came whole");
    }
}
