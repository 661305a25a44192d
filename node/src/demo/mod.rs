//! The demonstration: a private swarm of real processes on this machine, three jobs, a killed provider, settlement.
//!
//! One devnet and one client in this process; three providers as processes of their own, each with its own home, keys,
//! price and speed. The second joins through the first and the third through the second: each knows one address and
//! the ledger, nothing else. Nothing is mocked, and everything is gone afterwards.

mod jobs;
mod prepare;
pub mod report;
mod settlement;
mod swarm;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bombyx_protocol::amount::Nano;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::Failure;
use tokio::net::TcpListener;

pub use self::prepare::prepare;
use self::report::Report;
use self::swarm::{Client, Provider, Spec};
use crate::engine::models::ModelsError;
use crate::error::NodeError;
use crate::error::exit::ExitKind;
use crate::ledger::LedgerError;
use crate::ledger::chain::ChainError;
use crate::ledger::devnet::{self, Devnet};

/// The model of the embedding job.
pub const EMBED_MODEL: &str = "all-minilm-l6-v2";
/// The model of the chat jobs.
pub const CHAT_MODEL: &str = "bombyx-chat-tiny";
/// How long all of it may take once everything is fetched.
const DEADLINE: Duration = Duration::from_secs(240);
/// Challenge time of the demo's channels: how long the client waits for the rest of a dead provider's deposit.
const CHALLENGE_S: u32 = 8;
/// What the faucet gives to the client.
const FUNDS: Nano = Nano(5_000_000_000);
/// What the client deposits in each channel.
const DEPOSIT: Nano = Nano(500_000_000);

/// Why the demonstration did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A provider process did not start, or ended by itself.
    #[error("the provider process `{name}` {what}; the end of its log:\n{log}")]
    Process {
        /// Which one.
        name: &'static str,
        /// What it did.
        what: String,
        /// The last lines that it wrote.
        log: String,
    },
    /// A file or process operation of the system.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A job did not end well.
    #[error("job `{job}` failed: {why}")]
    Job {
        /// Which one.
        job: &'static str,
        /// Why.
        why: Failure,
    },
    /// An answer is not what the model is known to answer.
    #[error("job `{job}`: {what}")]
    Answer {
        /// Which one.
        job: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// Something was not seen in time.
    #[error("{what} within {} s", within.as_secs())]
    TooSlow {
        /// What was waited for.
        what: &'static str,
        /// How long.
        within: Duration,
    },
    /// The account of a provider cannot be read from its status.
    #[error("the status of provider `{0}` does not name its payout account")]
    NoAccount(&'static str),
    /// The client of the demo.
    #[error(transparent)]
    Node(#[from] Box<NodeError>),
    /// The ledger of the demo.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A model or the runtime.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// The user wants it to end.
    #[error("stopped before its end; all its processes are ended")]
    Interrupted,
}

impl From<NodeError> for DemoError {
    fn from(error: NodeError) -> Self {
        Self::Node(Box::new(error))
    }
}

impl From<ChainError> for DemoError {
    fn from(error: ChainError) -> Self {
        Self::Ledger(error.into())
    }
}

impl DemoError {
    /// The exit code.
    #[must_use]
    pub fn code(&self) -> ExitKind {
        match self {
            Self::Job { .. } | Self::Answer { .. } => ExitKind::Provider,
            Self::Node(error) => error.code(),
            Self::Process { .. }
            | Self::Io { .. }
            | Self::TooSlow { .. }
            | Self::NoAccount(_)
            | Self::Ledger(_)
            | Self::Models(_)
            | Self::Interrupted => ExitKind::Unexpected,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Node(error) => error.hint(),
            Self::TooSlow { .. } => "the machine may be busy: try again when it is not".into(),
            Self::Process { .. } => "what the log says of its own error applies; then try again".into(),
            Self::Io { .. } => "check the space and the permissions of the temporary directory".into(),
            Self::Models(_) => "`bombyx runtime list` and the network's state may tell more".into(),
            Self::Job { .. }
            | Self::Answer { .. }
            | Self::NoAccount(_)
            | Self::Ledger(_)
            | Self::Interrupted => "try again".into(),
        }
    }
}

fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> DemoError {
    move |source| DemoError::Io { what, source }
}

/// Runs the demonstration with the program `exe` as provider, telling each step to `say`, until `stop` is ready.
///
/// # Errors
/// [`DemoError`]; no process is left behind.
pub async fn run(
    exe: PathBuf,
    say: &(dyn Fn(&str) + Sync),
    stop: impl Future<Output = ()>,
) -> Result<Report, DemoError> {
    let within_deadline = tokio::time::timeout(DEADLINE, play(exe, say));
    tokio::select! {
        outcome = within_deadline => outcome.map_err(|_| DemoError::TooSlow {
            what: "the demonstration did not end",
            within: DEADLINE,
        })?,
        () = stop => Err(DemoError::Interrupted),
    }
}

async fn play(exe: PathBuf, say: &(dyn Fn(&str) + Sync)) -> Result<Report, DemoError> {
    let began = Instant::now();
    let homes = tempfile::Builder::new().prefix("bombyx-demo-").tempdir().map_err(io("make a directory"))?;
    let chain = Devnet::new()?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(io("listen on a local port"))?;
    let ledger = format!("http://{}", listener.local_addr().map_err(io("listen on a local port"))?);
    let served = tokio::spawn(devnet::http::serve(chain.clone(), listener, std::future::pending()));
    let _end_of_devnet = AbortOnDrop(served);
    say(&format!("devnet: a TON virtual machine with the channel contract at {ledger}"));

    let ledger = ledger.as_str();
    let start = |spec: Spec, join: Option<String>| {
        Provider::start(exe.clone(), homes.path().join(spec.name), spec, join, ledger.to_owned())
    };
    let [cheap, middle, fast] = SPECS;
    let first = start(cheap, None).await?;
    say(&first.introduction("knows nobody"));
    let second = start(middle, Some(first.address()?)).await?;
    say(&second.introduction("joined through ada"));
    let third = start(fast, Some(second.address()?)).await?;
    say(&third.introduction("joined through ben"));
    let mut providers = [first, second, third];

    let client = Client::start(homes.path().join("client"), providers[0].address()?, ledger).await?;
    chain.faucet(client.wallet()?, FUNDS)?;
    say(&format!("client: {} coins from the faucet, joined through ada", FUNDS));
    client.hear_of(providers.len()).await?;
    say("client: hears the offers of all three providers\n");

    let jobs = play_jobs(&client, &mut providers, say).await?;

    let money = settlement::Before::look(&client).await?;
    for provider in &mut providers {
        if provider.is_alive() {
            provider.stop().await?;
            say(&format!("{}: closed its channels and left", provider.name()));
        }
    }
    say(&format!(
        "client: asks for what it left with the dead provider; the challenge takes {CHALLENGE_S} s"
    ));
    let settled = client.settle().await?;
    let settlement = money.account(&client, &chain, &providers, &settled, &jobs).await?;
    client.stop().await?;
    Ok(Report::new(jobs, settlement, providers.len() + 1, began.elapsed(), |id| name_of(&providers, id)))
}

async fn play_jobs(
    client: &Client,
    providers: &mut [Provider],
    say: &(dyn Fn(&str) + Sync),
) -> Result<Vec<jobs::Job>, DemoError> {
    let embedded = jobs::embed(client, say).await?;
    let asked = jobs::chat(client, say).await?;
    let kill = async |winner: NodeId| {
        let found = providers.iter_mut().find(|provider| provider.id() == winner);
        let provider =
            found.ok_or(DemoError::Answer { job: jobs::LONG, what: "an unknown provider won".into() })?;
        provider.kill().await?;
        say(&format!("\n  {} is killed (SIGKILL) in the middle of its answer", provider.name()));
        Ok(())
    };
    let rescued = jobs::long(client, say, kill).await?;
    Ok(vec![embedded, asked, rescued])
}

fn name_of(providers: &[Provider], id: NodeId) -> Option<&'static str> {
    providers.iter().find(|provider| provider.id() == id).map(Provider::name)
}

/// The three sellers: the cheapest is the slowest. Prices are far above those of so small a model, so that what three
/// jobs earn is more than what the ledger takes for paying it out.
const SPECS: [Spec; 3] = [
    Spec { name: "ada", price_job: "0.005", price_in: "0.02", price_out: "0.1", pace: 20 },
    Spec { name: "ben", price_job: "0.01", price_in: "0.04", price_out: "0.2", pace: 30 },
    Spec { name: "cyd", price_job: "0.015", price_in: "0.06", price_out: "0.3", pace: 60 },
];

/// Ends a task with the scope that holds it.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
