//! A node for one verb, where none runs in the home: with the home's own keys, wallet and channels, and gone when the verb is.

use std::path::Path;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::reach::{self, LocalNode};
use crate::api;
use crate::api::handle::NodeHandle;
use crate::error::NodeError;
use crate::home::config::NodeConfig;
use crate::home::keys::Keys;
use crate::home::peers;
use crate::http::admin;
use crate::store::StoreError;

/// Any free port: nobody needs to find a node that ends with its verb.
pub(super) const LISTEN: [&str; 2] = ["/ip4/0.0.0.0/udp/0/quic-v1", "/ip4/0.0.0.0/tcp/0"];
/// Until the first peer is connected: what needs none is done without.
const JOIN_WAIT: Duration = Duration::from_secs(5);

/// How long a home is waited for that another process has, unless a deadline says otherwise: longer than `channels close` waits for
/// closes, and than a node needs for an orderly end.
pub(super) const HOME_WAIT: Duration = Duration::from_secs(90);
/// Between two looks at it.
const HOME_PAUSE: Duration = Duration::from_millis(200);

/// Makes an attempt until no other process has the home: a verb with a node of its own, or a node that is about to serve or to end.
///
/// # Errors
/// Those of the attempt; that the home is in use, after this time.
pub(super) async fn once_free<T>(
    within: Duration,
    mut attempt: impl AsyncFnMut() -> Result<T, NodeError>,
) -> Result<T, NodeError> {
    let until = Instant::now() + within;
    let mut is_said = false;
    loop {
        match attempt().await {
            Err(NodeError::Store(StoreError::InUse(_))) if Instant::now() < until => {
                if !is_said {
                    tracing::info!("another process has this home; its end is waited for");
                    is_said = true;
                }
                sleep(HOME_PAUSE).await;
            }
            ended => return ended,
        }
    }
}

/// The node of a home, on its pages: one that runs, or one of this process.
pub(super) struct VerbNode {
    pub(super) pages: LocalNode,
    own: Option<OwnNode>,
}

struct OwnNode {
    node: NodeHandle,
    running: JoinHandle<Result<(), NodeError>>,
}

/// Returns a configuration for a node that only buys, and that nobody needs to find.
pub(super) fn buyer(config: &NodeConfig) -> NodeConfig {
    let mut config = config.clone();
    config.provide.models.clear();
    config.network.listen = LISTEN.map(String::from).to_vec();
    config.network.external.clear();
    config
}

impl VerbNode {
    /// Finds the running node of a home, or starts one, which joins what the home knows.
    ///
    /// # Errors
    /// [`NodeError`] of the part that cannot be started; a home without keys gets none for this.
    pub(super) async fn of(home: &Path, config: &NodeConfig) -> Result<Self, NodeError> {
        once_free(HOME_WAIT, async || Self::now_of(home, config).await).await
    }

    async fn now_of(home: &Path, config: &NodeConfig) -> Result<Self, NodeError> {
        match reach::running(home).await {
            Ok(pages) => return Ok(Self { pages, own: None }),
            Err(NodeError::NotRunning { .. }) => {}
            Err(error) => return Err(error),
        }
        Keys::load(home)?;
        let config = buyer(config);
        let knows_somebody =
            !config.network.join.is_empty() || peers::read(&config.home).is_ok_and(|known| !known.is_empty());
        let (node, running) = api::start(config).await?;
        if knows_somebody {
            // Nobody there: a close then takes its challenge time.
            let _ = node.wait_for_peers(1, JOIN_WAIT).await;
        }
        // It leaves no note: who finds one hands its work to that node, or does not start beside it, and this one ends in a moment.
        let opened = async {
            let admin = admin::serve(node.clone(), home).await?;
            LocalNode::at(home, std::process::id(), admin).await
        };
        match opened.await {
            Ok(pages) => Ok(Self { pages, own: Some(OwnNode { node, running }) }),
            Err(error) => {
                node.shutdown().await;
                Err(error)
            }
        }
    }

    /// Returns whether the node ends with this verb.
    pub(super) const fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Ends the node, if it is of this process.
    ///
    /// # Errors
    /// What made it fail.
    pub(super) async fn end(self) -> Result<(), NodeError> {
        let Some(OwnNode { node, running }) = self.own else { return Ok(()) };
        node.shutdown().await;
        running.await.map_err(|_| NodeError::Bug("the node's task panicked".into()))?
    }
}
