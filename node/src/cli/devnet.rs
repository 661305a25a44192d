//! `bombyx devnet`: a private ledger for this machine, with a faucet, a clock that can be moved, and a page to look at it.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use ed25519_dalek::SigningKey;
use serde::Serialize;
use tokio::net::TcpListener;

use super::print::Printer;
use super::{shutdown, values};
use crate::error::NodeError;
use crate::home::keys::fresh_seed;
use crate::ledger::{
    CoinName, LiteAddress,
    devnet::{self, Devnet},
};

/// The longest time between two blocks.
const BLOCK_MS_MAX: u64 = 60_000;

/// Flags of `bombyx devnet`.
#[derive(Debug, Args)]
pub(super) struct DevnetArgs {
    /// Where to listen for HTTP.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4190", value_parser = values::socket)]
    listen: SocketAddr,
    /// Where to listen for lite clients; the port after the other one if not given.
    #[arg(long, value_name = "ADDR", value_parser = values::socket)]
    lite: Option<SocketAddr>,
    /// Milliseconds from block to block; 0 executes every message, and all that follows from it, when it comes.
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=BLOCK_MS_MAX))]
    block_ms: u64,
    /// How many blocks a message between accounts takes.
    #[arg(long, value_name = "BLOCKS", default_value_t = 1, requires = "block_ms")]
    hop: u32,
    /// What the explorer's page calls the coin.
    #[arg(long, value_name = "NAME", default_value_t = CoinName::default())]
    coin: CoinName,
}

#[derive(Serialize)]
struct Announcement {
    url: String,
    liteserver: String,
    network_id: i32,
}

impl DevnetArgs {
    pub(super) async fn run(self, printer: Printer) -> Result<(), NodeError> {
        let mut devnet = Devnet::new()?.naming(self.coin);
        if self.block_ms > 0 {
            devnet = devnet.in_blocks(self.hop);
        }
        let (listener, address) = bind(self.listen, "--listen").await?;
        let beside = SocketAddr::new(self.listen.ip(), self.listen.port().checked_add(1).unwrap_or(0));
        let beside = if self.listen.port() == 0 { self.listen } else { beside };
        let (lite_listener, lite_address) = bind(self.lite.unwrap_or(beside), "--lite").await?;
        let key = SigningKey::from_bytes(&*fresh_seed()?);
        let liteserver =
            LiteAddress { socket: lite_address.to_string(), key: key.verifying_key().to_bytes() };
        let serving = Announcement {
            url: format!("http://{address}"),
            liteserver: liteserver.to_string(),
            network_id: devnet::DEVNET_ID,
        };
        printer.data(&serving, || {
            format!(
                "ledger     {url}\n           {lite}\nexplorer   {url}/\nfaucet     {url}/faucet?address=...&amount=10\nits \
                 coins are worth nothing and are gone when it ends",
                url = serving.url,
                lite = serving.liteserver,
            )
        });
        if self.block_ms > 0 {
            tokio::spawn(devnet.clone().produce_blocks(Duration::from_millis(self.block_ms)));
        }
        tokio::spawn(devnet::lite::serve(devnet.clone(), lite_listener, key, std::future::pending()));
        let stop = async {
            // Without signals it runs until it is ended from outside.
            if shutdown::requested().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let address = self.listen;
        devnet::http::serve(devnet, listener, stop).await.map_err(|source| NodeError::Listen {
            address,
            flag: Some("--listen"),
            source,
        })
    }
}

async fn bind(address: SocketAddr, flag: &'static str) -> Result<(TcpListener, SocketAddr), NodeError> {
    let listen = |source| NodeError::Listen { address, flag: Some(flag), source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let bound = listener.local_addr().map_err(listen)?;
    Ok((listener, bound))
}
