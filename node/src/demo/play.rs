//! The play itself, from the first process to the last balance.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bombyx_protocol::ident::NodeId;
use tokio::net::TcpListener;

use super::error::{DemoError, io};
use super::nodes::{Client, Provider, Spec};
use super::report::Report;
use super::setting::{CHALLENGE_S, FUNDS};
use super::{jobs, settlement};
use crate::ledger::devnet::{self, Devnet};

/// How long all of it may take once everything is fetched.
const DEADLINE: Duration = Duration::from_secs(240);

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
