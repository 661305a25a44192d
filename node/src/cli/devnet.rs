//! `bombyx devnet`: a private ledger for this machine, with a faucet and a clock that can be moved.

use std::net::SocketAddr;

use clap::Args;
use serde::Serialize;
use tokio::net::TcpListener;

use crate::error::NodeError;
use crate::ledger::devnet::{self, Devnet};
use crate::print::Printer;
use crate::shutdown;

/// Flags of `bombyx devnet`.
#[derive(Debug, Args)]
pub(super) struct DevnetArgs {
    /// Where to listen.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4190")]
    listen: SocketAddr,
}

#[derive(Serialize)]
struct Serving {
    url: String,
    network_id: i32,
}

impl DevnetArgs {
    pub(super) async fn run(self, printer: Printer) -> Result<(), NodeError> {
        let listen = |source| NodeError::Listen { address: self.listen, source };
        let devnet = Devnet::new()?;
        let listener = TcpListener::bind(self.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let serving = Serving { url: format!("http://{address}"), network_id: devnet::DEVNET_ID };
        printer.data(&serving, || {
            format!(
                "ledger   {url}\nfaucet   {url}/faucet?address=...&amount=10\nits coins are worth nothing and are gone \
                 when it ends",
                url = serving.url
            )
        });
        let stop = async {
            // Without signals it runs until it is ended from outside.
            if shutdown::requested().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        devnet::http::serve(devnet, listener, stop).await.map_err(listen)
    }
}
