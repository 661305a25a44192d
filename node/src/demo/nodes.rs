//! The members of the demo's swarm: provider processes and the client in this one.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::OrderNews;
use bombyx_protocol::work::order::Order;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::error::{DemoError, io};
use super::setting::{CHALLENGE_S, CHAT_MODEL, DEPOSIT, EMBED_MODEL};
use crate::api::handle::NodeHandle;
use crate::error::NodeError;
use crate::home::Note;
use crate::home::TOKEN;
use crate::home::config::{Coins, NodeConfig};
use crate::home::keys;
use crate::ledger::parse_address;
use crate::status::{SettleReport, Status};

/// Until a provider has loaded and measured its models.
const START: Duration = Duration::from_secs(90);
/// Until a provider has closed its channels and ended.
const STOP: Duration = Duration::from_secs(40);
/// Until every provider's offers are heard.
const HEAR: Duration = Duration::from_secs(60);
/// Until the client has everything back.
const SETTLE: Duration = Duration::from_secs(60);
/// Between two looks at something that is waited for.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes of a log that an error shows.
const LOG_TAIL: usize = 2_000;
/// Variables of the user's own node that a demo must not inherit all begin with this; where files are kept stays.
const VARIABLES: &str = "BOMBYX_";
const KEPT_VARIABLES: [&str; 2] = ["BOMBYX_CACHE", "BOMBYX_PYTHON"];
/// Listening addresses of every member: any free port of this machine.
const LISTEN: [&str; 2] = ["/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"];

/// What makes one provider different from another.
#[derive(Clone, Copy)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    /// Coins for a job, 1,000 input tokens, 1,000 output tokens.
    pub(super) price_job: &'static str,
    pub(super) price_in: &'static str,
    pub(super) price_out: &'static str,
    /// Tokens a second.
    pub(super) pace: u32,
}

/// A provider process. It is killed when this is dropped.
pub(super) struct Provider {
    spec: Spec,
    home: PathBuf,
    child: Child,
    alive: bool,
    note: Note,
    id: NodeId,
    payout: Address,
}

impl Provider {
    /// Starts a provider and waits until it serves. It is told the ledger and at most one peer's address.
    pub(super) async fn start(
        exe: PathBuf,
        home: PathBuf,
        spec: Spec,
        join: Option<String>,
        ledger: String,
    ) -> Result<Self, DemoError> {
        std::fs::create_dir_all(&home).map_err(io("make a directory"))?;
        let log = File::create(log_of(&home)).map_err(io("write a log"))?;
        let mut command = Command::new(exe);
        for (name, _) in std::env::vars_os() {
            let inherited = name.to_str().is_some_and(|name| !KEPT_VARIABLES.contains(&name));
            if inherited && name.to_string_lossy().starts_with(VARIABLES) {
                command.env_remove(name);
            }
        }
        command.arg("--home").arg(home.join("home")).arg("up");
        command.args(["--ledger", &ledger, "--provide", EMBED_MODEL, "--provide", CHAT_MODEL]);
        command.args(["--price-job", spec.price_job, "--price-in", spec.price_in]);
        command.args(["--price-out", spec.price_out, "--pace", &spec.pace.to_string()]);
        command.args(LISTEN.iter().flat_map(|address| ["--listen", *address]));
        if let Some(join) = &join {
            command.args(["--join", join]);
        }
        command.env("BOMBYX_PROVIDE_CHALLENGE_S", CHALLENGE_S.to_string());
        let stderr = log.try_clone().map_err(io("write a log"))?;
        command.stdin(Stdio::null()).stdout(log).stderr(stderr).kill_on_drop(true);
        let mut child = command.spawn().map_err(io("start a provider process"))?;
        let note = ready(&mut child, &home, spec.name).await?;
        let id = note.node_id.parse().map_err(|_| DemoError::NoAccount(spec.name))?;
        let payout = payout(&note, &home.join("home")).await.ok_or(DemoError::NoAccount(spec.name))?;
        Ok(Self { spec, home, child, alive: true, note, id, payout })
    }

    pub(super) const fn name(&self) -> &'static str {
        self.spec.name
    }

    pub(super) const fn id(&self) -> NodeId {
        self.id
    }

    pub(super) const fn payout(&self) -> Address {
        self.payout
    }

    pub(super) const fn is_alive(&self) -> bool {
        self.alive
    }

    /// Returns one address under which others can join.
    pub(super) fn address(&self) -> Result<String, DemoError> {
        let address = self.note.addresses.iter().find(|address| address.contains("/ip4/127.0.0.1/"));
        address.cloned().ok_or_else(|| self.failed("tells no address"))
    }

    /// Returns a line that names this node.
    pub(super) fn introduction(&self, how: &str) -> String {
        let Spec { name, price_in, price_out, pace, .. } = self.spec;
        let id = self.note.node_id.get(..8).unwrap_or_default();
        format!(
            "{name}: process {}, node {id}, {price_in}/{price_out} coins per 1,000 tokens in/out, {pace} tokens/s; {how}",
            self.note.pid
        )
    }

    /// Kills the process as a crash would: nothing is said, saved or closed.
    pub(super) async fn kill(&mut self) -> Result<(), DemoError> {
        self.child.kill().await.map_err(io("kill a provider process"))?;
        self.alive = false;
        Ok(())
    }

    /// Asks the process to end, which closes its channels, and waits for it.
    pub(super) async fn stop(&mut self) -> Result<(), DemoError> {
        terminate(&mut self.child)?;
        let status = tokio::time::timeout(STOP, self.child.wait())
            .await
            .map_err(|_| self.failed("did not end when asked to"))?
            .map_err(io("wait for a provider process"))?;
        self.alive = false;
        if status.success() { Ok(()) } else { Err(self.failed(&format!("ended with {status}"))) }
    }

    fn failed(&self, what: &str) -> DemoError {
        DemoError::Process { name: self.spec.name, what: what.to_owned(), log: tail(&self.home) }
    }
}

#[cfg(unix)]
fn terminate(child: &mut Child) -> Result<(), DemoError> {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    // One that has ended already needs no signal.
    let Some(pid) = pid else { return Ok(()) };
    kill_process(pid, Signal::TERM).map_err(|error| io("end a provider process")(error.into()))
}

#[cfg(not(unix))]
fn terminate(child: &mut Child) -> Result<(), DemoError> {
    child.start_kill().map_err(io("end a provider process"))
}

fn log_of(home: &Path) -> PathBuf {
    home.join("log")
}

/// Returns the end of a provider's log.
fn tail(home: &Path) -> String {
    let log = std::fs::read(log_of(home)).unwrap_or_default();
    let from = log.len().saturating_sub(LOG_TAIL);
    String::from_utf8_lossy(log.get(from..).unwrap_or_default()).into_owned()
}

async fn ready(child: &mut Child, home: &Path, name: &'static str) -> Result<Note, DemoError> {
    let until = Instant::now() + START;
    let failed = |what: String| DemoError::Process { name, what, log: tail(home) };
    loop {
        if let Some(note) = Note::read(&home.join("home")).map_err(io("read a node's note"))? {
            return Ok(note);
        }
        if let Some(status) = child.try_wait().map_err(io("wait for a provider process"))? {
            return Err(failed(format!("ended with {status}")));
        }
        if Instant::now() > until {
            return Err(failed(format!("is not ready after {} s", START.as_secs())));
        }
        sleep(PAUSE).await;
    }
}

/// Returns where a provider is paid, from its own status.
async fn payout(note: &Note, home: &Path) -> Option<Address> {
    let url = format!("{}/status", note.admin);
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().ok()?;
    let token = keys::read_private(&home.join(TOKEN)).ok()?;
    let status: Status = client.get(url).bearer_auth(&*token).send().await.ok()?.json().await.ok()?;
    parse_address(&status.ledger.wallet)
}

/// The client: a node in this process.
pub(super) struct Client {
    node: NodeHandle,
    running: JoinHandle<Result<(), NodeError>>,
}

impl Client {
    pub(super) async fn start(home: PathBuf, join: String, ledger: &str) -> Result<Self, DemoError> {
        let mut config = NodeConfig { home, ..NodeConfig::default() };
        config.network.listen = LISTEN.map(String::from).to_vec();
        config.network.join = vec![join];
        config.ledger.url = ledger.to_owned();
        config.client.deposit = Coins(DEPOSIT);
        // Its prices are far above those of so small a model, and no provider here has ever served this client before.
        config.client.strangers_locked_max = Coins(DEPOSIT);
        config.client.challenge_s = CHALLENGE_S;
        config.client.enough_bids = 3;
        // Every job of the demo is auctioned, so that there is something to see.
        config.client.leases = false;
        let (node, running) = crate::api::start(config).await?;
        Ok(Self { node, running })
    }

    pub(super) fn node(&self) -> &NodeHandle {
        &self.node
    }

    pub(super) fn wallet(&self) -> Result<Address, DemoError> {
        self.node.ledger().wallet_address().ok_or(DemoError::NoAccount("client"))
    }

    pub(super) async fn balance(&self, account: Address) -> Result<Nano, DemoError> {
        Ok(self.node.ledger().balance(account).await?)
    }

    /// Waits until both models of `providers` nodes were offered.
    pub(super) async fn hear_of(&self, providers: usize) -> Result<(), DemoError> {
        let until = Instant::now() + HEAR;
        loop {
            if self.node.asks().await?.len() >= providers * 2 {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(DemoError::TooSlow {
                    what: "the offers of all providers were not heard",
                    within: HEAR,
                });
            }
            sleep(PAUSE).await;
        }
    }

    pub(super) async fn order(&self, order: Order) -> Result<mpsc::Receiver<OrderNews>, DemoError> {
        Ok(self.node.order(order).await?)
    }

    /// Takes back what is left in every channel.
    pub(super) async fn settle(&self) -> Result<SettleReport, DemoError> {
        Ok(self.node.settle(SETTLE).await?)
    }

    pub(super) async fn stop(self) -> Result<(), DemoError> {
        self.node.shutdown().await;
        let ended = tokio::time::timeout(STOP, self.running).await;
        let ended = ended.map_err(|_| DemoError::TooSlow { what: "the client did not end", within: STOP })?;
        ended.map_err(|_| NodeError::Bug("the client's task panicked".into()))??;
        Ok(())
    }
}
