//! The virtual network by itself: bytes take what the link model says, in order, and the end of a connection is heard.
#![allow(clippy::unwrap_used, dead_code)]

#[path = "../src/fabric.rs"]
mod fabric;
#[path = "../src/link.rs"]
mod link;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::time::Duration;

use bombyx_simnet::kernel::Draws;
use bombyx_simnet::network::{Links, Location};
use bombyx_simnet::scenario::{Jitter, Network, Regions};
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::PeerId;
use libp2p::core::muxing::StreamMuxer;
use tokio::time::{Instant, timeout};

use link::{Muxer, Stream};

/// Virginia to Amsterdam over fibre: 42 ms and twice 4 ms, without jitter.
const ONE_WAY: Duration = Duration::from_millis(50);

fn on_virtual_time<T>(body: impl Future<Output = T>) -> T {
    let jitter = Jitter { median_share: 0.0, sigma: 0.0, burst_probability: 0.0, ..Jitter::default() };
    let links = Links::new(&Regions::shipped(), &Network { jitter, ..Network::default() }, Vec::new());
    let places = [0, 7].map(|region| Location { region, access: 1, relay: None });
    let hosts = places.map(|place| (PeerId::random(), place)).to_vec();
    // No draw of this seed loses a packet among the few of a test.
    fabric::Fabric::install(links, Draws::new(1), hosts);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(body)
}

async fn open(muxer: &mut Muxer) -> Stream {
    poll_fn(|cx| Pin::new(&mut *muxer).poll_outbound(cx)).await.unwrap()
}

async fn accept(muxer: &mut Muxer) -> std::io::Result<Stream> {
    poll_fn(|cx| Pin::new(&mut *muxer).poll_inbound(cx)).await
}

#[test]
fn bytes_arrive_in_order_after_the_time_that_the_links_take() {
    on_virtual_time(async {
        let (mut near, mut far) = link::connect(0, 1);
        let began = Instant::now();
        let mut ours = open(&mut near).await;
        ours.write_all(b"one").await.unwrap();
        ours.write_all(b"two").await.unwrap();
        let mut theirs = accept(&mut far).await.unwrap();
        let mut read = [0; 6];
        theirs.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"onetwo");
        assert_eq!(began.elapsed(), ONE_WAY);
        theirs.write_all(b"back").await.unwrap();
        ours.read_exact(&mut read[..4]).await.unwrap();
        assert_eq!(began.elapsed(), ONE_WAY * 2);
    });
}

#[test]
fn a_closed_stream_ends_after_its_last_bytes() {
    on_virtual_time(async {
        let (mut near, mut far) = link::connect(0, 1);
        let mut ours = open(&mut near).await;
        ours.write_all(b"last").await.unwrap();
        drop(ours);
        let mut theirs = accept(&mut far).await.unwrap();
        let mut read = Vec::new();
        theirs.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"last");
        tokio::time::sleep(ONE_WAY).await;
        assert!(theirs.write_all(b"nobody reads").await.is_err());
    });
}

#[test]
fn the_end_of_a_connection_is_heard_one_way_later_and_breaks_its_streams() {
    on_virtual_time(async {
        let (mut near, mut far) = link::connect(0, 1);
        let mut ours = open(&mut near).await;
        ours.write_all(b"hello").await.unwrap();
        let mut theirs = accept(&mut far).await.unwrap();
        theirs.read_exact(&mut [0; 5]).await.unwrap();
        let began = Instant::now();
        drop(near);
        assert!(ours.read(&mut [0]).await.is_err());
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert!(theirs.read(&mut [0]).await.is_err());
        assert_eq!(began.elapsed(), ONE_WAY);
        assert!(accept(&mut far).await.is_err());
    });
}

#[test]
fn a_writer_waits_when_too_much_is_unread() {
    on_virtual_time(async {
        let (mut near, mut far) = link::connect(0, 1);
        let mut ours = open(&mut near).await;
        let much = vec![7; 3 << 20];
        let second = Duration::from_secs(5);
        assert!(timeout(second, ours.write_all(&much)).await.is_err(), "nobody reads");
        let mut theirs = accept(&mut far).await.unwrap();
        let read = async { theirs.read_exact(&mut vec![0; 1 << 20]).await };
        assert!(read.await.is_ok());
        assert!(timeout(second, ours.write_all(b"room again")).await.is_ok());
    });
}
