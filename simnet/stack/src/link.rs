//! One connection of the virtual network: two ends, and streams whose bytes take their time.
//!
//! Bytes are given their time of arrival when they are written, and the streams of a connection do not wait for each
//! other, as in QUIC. What is written to one stream in one instant travels together. Timers are whole milliseconds, so
//! that a moment is kept to the nearest one.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::fabric;

/// Bytes under way on one stream: more wait at the sender.
const WINDOW_BYTES: usize = 1 << 20;
/// Streams that wait to be accepted.
const STREAMS_WAITING_MAX: usize = 256;
/// Beginning of a stream in which its protocol is looked for.
const HEAD_BYTES: usize = 96;
/// Half of a timer's step.
const HALF_STEP: Duration = Duration::from_micros(500);

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_due(at: Instant) -> bool {
    at <= Instant::now() + HALF_STEP
}

fn wake(waker: &mut Option<Waker>) {
    waker.take().into_iter().for_each(Waker::wake);
}

/// Waits for the earliest of some moments; `Pending` for ever when there is none.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    fn poll(&mut self, at: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = at.and_then(|at| at.checked_sub(HALF_STEP)) else { return Poll::Pending };
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx)
    }
}

/// One direction of a stream.
struct Pipe {
    from: u32,
    to: u32,
    chunks: VecDeque<(Instant, Vec<u8>)>,
    /// Bytes of the first chunk that were read.
    read: usize,
    bytes: usize,
    /// When the newest bytes were written and when they arrive.
    newest: Option<(Instant, Instant)>,
    /// The beginning, until it has named its protocol; empty where the other side names it.
    head: Option<Vec<u8>>,
    /// When the reader learns that nothing more comes.
    ends: Option<Instant>,
    /// When the reader learns that the connection is gone.
    breaks: Option<Instant>,
    /// When the writer learns that nobody reads.
    refused: Option<Instant>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn new(from: u32, to: u32, opens: bool) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            from,
            to,
            chunks: VecDeque::new(),
            read: 0,
            bytes: 0,
            newest: None,
            head: opens.then(Vec::new),
            ends: None,
            breaks: None,
            refused: None,
            reader: None,
            writer: None,
        }))
    }

    /// Returns when something that leaves now arrives: never before what left earlier.
    fn arrival(&self, bytes: usize) -> Instant {
        let now = Instant::now();
        match self.newest {
            Some((written, arrives)) if written == now => arrives,
            Some((_, arrives)) => arrives.max(now + fabric::transit(self.from, self.to, bytes)),
            None => now + fabric::transit(self.from, self.to, bytes),
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let at = self.arrival(bytes.len());
        self.newest = Some((Instant::now(), at));
        self.bytes += bytes.len();
        self.chunks.push_back((at, bytes.to_vec()));
        self.note_protocol(bytes);
        wake(&mut self.reader);
    }

    /// Notes the protocol of a stream: each request to the hash table has one of its own, which names it first.
    fn note_protocol(&mut self, bytes: &[u8]) {
        let Some(head) = &mut self.head else { return };
        head.extend(bytes.iter().take(HEAD_BYTES - head.len()));
        let asks = head.windows(5).any(|window| window == b"/kad/");
        if asks {
            fabric::asked(self.from);
        }
        if asks || head.len() == HEAD_BYTES {
            self.head = None;
        }
    }

    fn end(&mut self) {
        if self.ends.is_none() {
            self.ends = Some(self.arrival(0));
            wake(&mut self.reader);
        }
    }

    fn read(&mut self, out: &mut [u8]) -> Option<io::Result<usize>> {
        if self.breaks.is_some_and(is_due) {
            return Some(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let Some((at, chunk)) = self.chunks.front() else {
            return self.ends.is_some_and(is_due).then_some(Ok(0));
        };
        if !is_due(*at) {
            return None;
        }
        let rest = &chunk[self.read..];
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        self.read += count;
        self.bytes -= count;
        if self.read == chunk.len() {
            self.chunks.pop_front();
            self.read = 0;
        }
        wake(&mut self.writer);
        Some(Ok(count))
    }

    /// Returns when the reader has news.
    fn next(&self) -> Option<Instant> {
        let coming = self.chunks.front().map(|(at, _)| *at).or(self.ends);
        coming.into_iter().chain(self.breaks).min()
    }
}

/// One end of a stream.
pub(crate) struct Stream {
    reads: Arc<Mutex<Pipe>>,
    writes: Arc<Mutex<Pipe>>,
    alarm: Alarm,
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        loop {
            let next = {
                let mut pipe = lock(&me.reads);
                if let Some(read) = pipe.read(out) {
                    return Poll::Ready(read);
                }
                pipe.reader = Some(cx.waker().clone());
                pipe.next()
            };
            ready!(me.alarm.poll(next, cx));
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.writes);
        let room = WINDOW_BYTES - pipe.bytes;
        if pipe.refused.is_some_and(|at| is_due(at) || room == 0) || pipe.ends.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if room == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = bytes.len().min(room);
        pipe.write(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.writes).end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        lock(&self.writes).end();
        let mut pipe = lock(&self.reads);
        let at = Instant::now() + fabric::transit(pipe.to, pipe.from, 0);
        pipe.refused.get_or_insert(at);
        wake(&mut pipe.writer);
    }
}

/// What one end of a connection knows.
struct End {
    host: u32,
    /// Streams that the other end opened, and when this end learns of them.
    inbound: VecDeque<(Instant, Stream)>,
    closes: Option<Instant>,
    waker: Option<Waker>,
    /// The other end waits for a place.
    blocked: Option<Waker>,
}

/// A connection.
struct Link {
    ends: [End; 2],
    pipes: Vec<Weak<Mutex<Pipe>>>,
}

impl Link {
    /// Closes this end now, and the other when it hears of it.
    fn shut(&mut self, side: usize) {
        if self.ends[side].closes.is_some_and(is_due) {
            return;
        }
        let (own, other) = (self.ends[side].host, self.ends[1 - side].host);
        let now = Instant::now();
        let heard = now + fabric::transit(own, other, 0);
        let [end, far] = if side == 0 { [0, 1] } else { [1, 0] };
        self.ends[end].closes = Some(now);
        self.ends[far].closes.get_or_insert(heard);
        for pipe in self.pipes.drain(..).filter_map(|pipe| pipe.upgrade()) {
            let mut pipe = lock(&pipe);
            let (breaks, refused) = if pipe.to == own { (now, heard) } else { (heard, now) };
            pipe.breaks.get_or_insert(breaks);
            pipe.refused.get_or_insert(refused);
            wake(&mut pipe.reader);
            wake(&mut pipe.writer);
        }
        for end in &mut self.ends {
            wake(&mut end.waker);
            wake(&mut end.blocked);
        }
    }

    fn open(&mut self, side: usize) -> Stream {
        let (own, other) = (self.ends[side].host, self.ends[1 - side].host);
        let (there, back) = (Pipe::new(own, other, true), Pipe::new(other, own, false));
        self.pipes.retain(|pipe| pipe.strong_count() > 0);
        self.pipes.extend([Arc::downgrade(&there), Arc::downgrade(&back)]);
        let theirs = Stream { reads: Arc::clone(&there), writes: Arc::clone(&back), alarm: Alarm::default() };
        let at = Instant::now() + fabric::transit(own, other, 0);
        let far = &mut self.ends[1 - side];
        far.inbound.push_back((at, theirs));
        wake(&mut far.waker);
        Stream { reads: back, writes: there, alarm: Alarm::default() }
    }
}

/// One end of a connection, as libp2p wants it.
pub(crate) struct Muxer {
    link: Arc<Mutex<Link>>,
    side: usize,
    alarm: Alarm,
}

/// Returns two ends of a new connection: the dialer's first.
pub(crate) fn connect(dialer: u32, listener: u32) -> (Muxer, Muxer) {
    let end = |host| End { host, inbound: VecDeque::new(), closes: None, waker: None, blocked: None };
    let link = Arc::new(Mutex::new(Link { ends: [end(dialer), end(listener)], pipes: Vec::new() }));
    let muxer = |side| Muxer { link: Arc::clone(&link), side, alarm: Alarm::default() };
    (muxer(0), muxer(1))
}

impl StreamMuxer for Muxer {
    type Substream = Stream;
    type Error = io::Error;

    fn poll_inbound(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let me = self.get_mut();
        loop {
            let next = {
                let mut link = lock(&me.link);
                let end = &mut link.ends[me.side];
                if end.closes.is_some_and(is_due) {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                if let Some((at, _)) = end.inbound.front()
                    && is_due(*at)
                    && let Some((_, stream)) = end.inbound.pop_front()
                {
                    wake(&mut end.blocked);
                    return Poll::Ready(Ok(stream));
                }
                end.waker = Some(cx.waker().clone());
                end.inbound.front().map(|(at, _)| *at).into_iter().chain(end.closes).min()
            };
            ready!(me.alarm.poll(next, cx));
        }
    }

    fn poll_outbound(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let mut link = lock(&self.link);
        if link.ends[self.side].closes.is_some_and(is_due) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let far = &mut link.ends[1 - self.side];
        if far.inbound.len() >= STREAMS_WAITING_MAX {
            far.blocked = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(link.open(self.side)))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.link).shut(self.side);
        Poll::Ready(Ok(()))
    }

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        // Addresses never change here.
        Poll::Pending
    }
}

impl Drop for Muxer {
    fn drop(&mut self) {
        lock(&self.link).shut(self.side);
    }
}
