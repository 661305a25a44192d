//! `bombyx up`: a node that sells models, serves the gateway, or both, until it is told to end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bombyx_gpu::runtime::ExecutionProvider;
use bombyx_protocol::limits::JOBS_MAX;
use clap::Args;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::sleep;

use super::coins;
use super::print::{Bars, Printer};
use super::{own, reach, shutdown, values};
use crate::api;
use crate::api::RunningNode;
use crate::api::handle::NodeHandle;
use crate::error::NodeError;
use crate::home::config::{Coins, NodeConfig};
use crate::home::{Note, NoteGuard};
use crate::http;
use crate::http::admin;
use crate::store::StoreError;

/// Between two looks at a node that has the home: whoever starts one anew may have told the other to end at the same time.
const SIGNAL_PAUSE: Duration = Duration::from_secs(1);

/// Flags of `bombyx up`; each counts more than the configuration.
#[derive(Debug, Args)]
pub(super) struct Up {
    /// A model to sell: a name of the catalogue, an id, or a folder (with a `/` in it). May be repeated.
    #[arg(long, value_name = "MODEL", num_args = 1..)]
    provide: Vec<String>,
    /// A node to join through. May be repeated.
    #[arg(long, value_name = "MULTIADDR")]
    join: Vec<String>,
    /// Where to listen; may be repeated [default: port 4101 with --provide, else any free port].
    #[arg(long, value_name = "MULTIADDR")]
    listen: Vec<String>,
    /// Serve the OpenAI-compatible gateway.
    #[arg(long, value_name = "ADDR", num_args = 0..=1, value_parser = values::socket)]
    gateway: Option<Option<SocketAddr>>,
    /// The ledger's endpoint.
    #[arg(long, value_name = "URL", value_parser = values::endpoints)]
    ledger: Option<String>,
    /// Coins for each job.
    #[arg(long, value_name = "COINS")]
    price_job: Option<Coins>,
    /// Coins for 1,000 input tokens.
    #[arg(long, value_name = "COINS")]
    price_in: Option<Coins>,
    /// Coins for 1,000 output tokens.
    #[arg(long, value_name = "COINS")]
    price_out: Option<Coins>,
    /// Jobs of one model at a time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=JOBS_MAX as i64))]
    slots: Option<u16>,
    /// Cap on tokens per second of the whole engine.
    #[arg(long, value_name = "TOKENS_PER_S")]
    pace: Option<u32>,
    /// ONNX Runtime's execution provider.
    #[arg(long, value_name = "EP", value_parser = values::execution_provider())]
    ep: Option<ExecutionProvider>,
}

impl Up {
    pub(super) async fn run(self, home: PathBuf, printer: Printer) -> Result<(), NodeError> {
        let config = self.over(NodeConfig::load(&home)?);
        let (node, driver) = own::once_free(own::HOME_WAIT, async || start(&config).await).await?;
        let ready = announce(&config, &node, printer).await;
        let ended = match ready {
            Ok(note) => {
                let ended = until_end(&node, driver).await;
                drop(note);
                ended
            }
            Err(error) => {
                node.shutdown().await;
                Err(error)
            }
        };
        if ended.is_ok() {
            printer.note("the node has shut down cleanly");
        }
        ended
    }

    /// Returns the configuration with these flags over it.
    fn over(self, mut config: NodeConfig) -> NodeConfig {
        let replace = |old: &mut Vec<String>, new: Vec<String>| {
            if !new.is_empty() {
                *old = new;
            }
        };
        replace(&mut config.provide.models, self.provide);
        replace(&mut config.network.join, self.join);
        replace(&mut config.network.listen, self.listen);
        if let Some(address) = self.gateway {
            config.gateway.enabled = true;
            config.gateway.listen = address.unwrap_or(config.gateway.listen);
        }
        config.ledger.url = self.ledger.unwrap_or(config.ledger.url);
        let provide = &mut config.provide;
        provide.price_job = self.price_job.unwrap_or(provide.price_job);
        provide.price_in = self.price_in.unwrap_or(provide.price_in);
        provide.price_out = self.price_out.unwrap_or(provide.price_out);
        provide.slots = self.slots.unwrap_or(provide.slots);
        provide.pace = self.pace.unwrap_or(provide.pace);
        provide.ep = self.ep.unwrap_or(provide.ep);
        config
    }
}

/// Starts the node, unless another one serves in its home: that one does not end by itself, as a verb or a node that ends does.
async fn start(config: &NodeConfig) -> Result<RunningNode, NodeError> {
    let mut bars = Bars::default();
    let started = api::start_showing(config.clone(), move |advance| bars.show(advance)).await;
    if let Err(NodeError::Store(StoreError::InUse(_))) = &started
        && serving(config).await.is_some()
    {
        // One that is told to end in this moment says so in the next.
        sleep(SIGNAL_PAUSE).await;
        if let Some(pid) = serving(config).await {
            return Err(NodeError::AlreadyRunning { home: config.home.clone(), pid });
        }
    }
    started
}

/// Returns the process of the node that serves in this home and is not about to end.
async fn serving(config: &NodeConfig) -> Option<u32> {
    let other = reach::running(&config.home).await.ok()?;
    (!other.status.ending).then_some(other.pid)
}

/// Opens the node's pages and says, on stdout and in its home, that it is ready. The note goes when it is dropped.
async fn announce(config: &NodeConfig, node: &NodeHandle, printer: Printer) -> Result<NoteGuard, NodeError> {
    let admin = admin::serve(node.clone(), &config.home).await?;
    let gateway = if config.gateway.enabled {
        coins::ensure(node, config, printer).await?;
        coins::keep(node, config, printer);
        Some(http::serve(node.clone(), &config.gateway).await?)
    } else {
        None
    };
    let status = node.status().await?;
    let note = Note {
        pid: std::process::id(),
        node_id: status.node_id,
        addresses: status.addresses,
        admin,
        gateway,
        models: status.provider.into_iter().flat_map(|sold| sold.models).map(|model| model.name).collect(),
    };
    let left = reach::leave(&note, &config.home)?;
    printer.data(&note, || {
        let mut lines = vec![format!("node     {}", note.node_id)];
        lines.extend(note.addresses.iter().map(|address| format!("join     {address}")));
        lines.extend(note.models.iter().map(|model| format!("sells    {model}")));
        lines.extend(note.gateway.iter().map(|url| format!("gateway  {url}/v1")));
        lines.push(format!("wallet   {}", status.ledger.wallet_words()));
        lines.join("\n")
    });
    Ok(left)
}

/// Waits for a signal, or for the node to end by itself.
async fn until_end(
    node: &NodeHandle,
    mut driver: JoinHandle<Result<(), NodeError>>,
) -> Result<(), NodeError> {
    let signal = tokio::select! {
        ended = &mut driver => return finished(ended),
        signal = shutdown::requested() => signal,
    };
    signal.map_err(|source| NodeError::Io {
        what: "receive signals for",
        path: "the node".into(),
        source,
    })?;
    tracing::info!("ending: no new jobs, then the channels are closed; a second signal ends at once");
    node.shutdown().await;
    finished(driver.await)
}

fn finished(ended: Result<Result<(), NodeError>, JoinError>) -> Result<(), NodeError> {
    ended.unwrap_or_else(|error| Err(NodeError::Bug(format!("the node's loop panicked: {error}"))))
}
