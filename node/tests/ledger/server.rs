//! A devnet behind sockets of this machine, with both of its faces.

use std::sync::Arc;

use bombyx_node::ledger::{
    Ledger, LiteAddress,
    devnet::{DEVNET_ID, Devnet, http, lite},
    endpoints,
};
use ed25519_dalek::SigningKey;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::setup::wallet;

/// It stops when this is dropped.
pub(crate) struct Server {
    pub(crate) devnet: Devnet,
    pub(crate) base: String,
    pub(crate) lite: LiteAddress,
    _stop: watch::Sender<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::serving(Devnet::new().unwrap()).await
    }

    pub(crate) async fn serving(devnet: Devnet) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let lite_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        // Each has a key of its own: one key is one voice.
        let server_key = SigningKey::from_bytes(&rand::random());
        let lite = LiteAddress {
            socket: lite_listener.local_addr().unwrap().to_string(),
            key: server_key.verifying_key().to_bytes(),
        };
        let (stop, stopped) = watch::channel(());
        let until =
            |mut stopped: watch::Receiver<()>| async move { while stopped.changed().await.is_ok() {} };
        let end = until(stopped.clone());
        let served = devnet.clone();
        tokio::spawn(async move { http::serve(served, listener, end).await.unwrap() });
        tokio::spawn(lite::serve(devnet.clone(), lite_listener, server_key, until(stopped)));
        Self { devnet, base, lite, _stop: stop }
    }

    /// The ledger of a party over HTTP.
    pub(crate) fn over_http(&self, party: usize) -> Ledger {
        reached(&self.base, party)
    }

    /// The ledger of a party over ADNL.
    pub(crate) fn over_lite(&self, party: usize) -> Ledger {
        reached(&self.lite.to_string(), party)
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let response = reqwest::get(format!("{}{path}", self.base)).await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = reqwest::Client::new().post(format!("{}{path}", self.base)).body(body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

/// The ledger of a party behind a list of endpoints.
pub(crate) fn reached(list: &str, party: usize) -> Ledger {
    let chain = endpoints::connect(list, "", "", DEVNET_ID).unwrap();
    Ledger::new(Arc::new(chain), DEVNET_ID, Some(wallet(party)))
}
