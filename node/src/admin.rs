//! The node's own page for `bombyx status` and health checks: on this machine only, without prompts or keys.

use std::net::{Ipv4Addr, SocketAddr};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;

use crate::error::NodeError;
use crate::handle::NodeHandle;

/// Serves `/status` and `/healthz` on a free port of this machine, as long as the process lives; returns its base URL.
///
/// # Errors
/// [`NodeError::Listen`] when no port can be had.
pub async fn serve(node: NodeHandle) -> Result<String, NodeError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listen = |source| NodeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let pages = Router::new().route("/status", get(status)).route("/healthz", get(healthz)).with_state(node);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, pages).await {
            tracing::error!(%error, "the admin page has stopped");
        }
    });
    Ok(format!("http://{address}"))
}

async fn status(State(node): State<NodeHandle>) -> Response {
    match node.status().await {
        Ok(status) => Json(status).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

async fn healthz(State(node): State<NodeHandle>) -> Response {
    match node.asks().await {
        Ok(_) => "ok".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}
