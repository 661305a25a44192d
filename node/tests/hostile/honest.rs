//! Honest nodes in one world: a provider in a process of its own, a customer with a channel, and newcomers.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use bombyx_node::NodeConfig;
use bombyx_node::NodeHandle;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::io::{Bill, OrderNews};
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::{InputCount, ModelId, Order, Tier};
use bombyx_protocol::work::price::Weights;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::attacks::{Attack, Victim, task};
use super::peer::{Peer, pace};
use super::processes::{CHAT, Ledger, Node};
use super::sellers::Kind;
use super::{ATTACKER_VARIABLE, ATTACKS};

/// What one order may take.
const DEADLINE: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(60);
const FUNDS: Nano = Nano(100_000_000_000);

/// Starts a process that attacks until it is dropped.
fn attacker(attack: Attack, victim: &Victim) -> Child {
    let number = ATTACKS.iter().position(|other| *other == attack).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "attacker"]).env(ATTACKER_VARIABLE, format!("{number} {victim}"));
    command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

/// A provider on a ledger.
pub(crate) struct World {
    ledger: Ledger,
    provider: Node,
    model: ModelId,
}

/// Orders of one kind of customer.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answered: usize,
    pub(crate) placed: usize,
    times: Vec<Duration>,
    failures: Vec<String>,
}

/// What customers and newcomers saw.
pub(crate) struct Rows {
    pub(crate) customer: Tally,
    pub(crate) newcomers: Tally,
}

/// What hostile sellers did to one customer.
pub(crate) struct Loss {
    pub(crate) orders: Tally,
    /// Paid beyond the honest provider's bills.
    pub(crate) paid: Nano,
    /// Standing on channels with others than the honest provider.
    pub(crate) locked: Nano,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut times = self.times.clone();
        times.sort_unstable();
        let p50 =
            times.get(times.len() / 2).map_or("–".into(), |time| format!("{:.1} s", time.as_secs_f64()));
        write!(f, "{} of {} | {p50}", self.answered, self.placed)?;
        if let Some(why) = self.failures.first() {
            write!(f, " ({why})")?;
        }
        Ok(())
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} | {} | {}", self.orders, self.paid.0, self.locked.0)
    }
}

impl Tally {
    fn count(&mut self, began: Instant, outcome: Result<Bill, String>) -> Option<Bill> {
        self.placed += 1;
        match outcome {
            Ok(bill) => {
                self.answered += 1;
                self.times.push(began.elapsed());
                Some(bill)
            }
            Err(why) => {
                self.failures.push(why);
                None
            }
        }
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        let ledger = Ledger::start().await;
        let provider = Node::up(&ledger, &["--provide", CHAT], &[]).await;
        let model = bombyx_node::model_id(CHAT).unwrap();
        Self { ledger, provider, model }
    }

    fn victim(&self) -> Victim {
        let node = self.provider.note.node_id.parse().unwrap();
        Victim { node, address: self.address(), model: self.model }
    }

    fn address(&self) -> String {
        let quic = |address: &&String| address.contains("127.0.0.1") && address.contains("quic");
        self.provider.note.addresses.iter().find(quic).unwrap().clone()
    }

    /// A client with money, joined through `join`.
    async fn client(&self, join: &str) -> Result<(NodeHandle, TempDir), String> {
        let home = tempfile::tempdir().unwrap();
        let mut config = NodeConfig { home: home.path().join("home"), ..NodeConfig::default() };
        config.ledger.url.clone_from(&self.ledger.url);
        config.ledger.poll_ms = 200;
        config.network.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".into()];
        config.network.join = vec![join.to_owned()];
        // Each order goes to the market: a lease would hide what strangers do there.
        config.client.leases = false;
        let (client, _) = bombyx_node::start(config).await.map_err(|error| error.to_string())?;
        self.ledger.chain.faucet(client.ledger().wallet_address().unwrap(), FUNDS).unwrap();
        client.wait_for_peers(1, DEADLINE).await.map_err(|error| error.to_string())?;
        Ok((client, home))
    }

    fn order(&self) -> Order {
        Order {
            model: self.model,
            task: task("What is 17 plus 25?", 32),
            max_cost: Nano(50_000_000),
            deadline: Span::from_s(DEADLINE.as_secs()),
            tier: Tier::Open,
            nano_per_ms: Some(10),
            price_max: None,
            dims: None,
            weights: Weights::DEFAULT,
            input: InputCount::Estimated,
            preferences: bombyx_protocol::Preferences::default(),
        }
    }

    async fn ask(&self, client: &NodeHandle) -> Result<Bill, String> {
        let mut news = client.order(self.order()).await.map_err(|error| error.to_string())?;
        loop {
            match timeout(PATIENCE, news.recv()).await.map_err(|_| "no end".to_owned())? {
                Some(OrderNews::Done(bill)) => return Ok(bill),
                Some(OrderNews::Failed { why, .. }) => return Err(why.to_string()),
                Some(_) => {}
                None => return Err("the node is gone".into()),
            }
        }
    }

    /// A customer with a channel, then an attack, then that customer's orders and those of newcomers.
    pub(crate) async fn under(
        &self,
        attack: Attack,
        run_up: Duration,
        (orders, newcomers): (usize, usize),
    ) -> Rows {
        let (customer, _home) = self.client(&self.address()).await.unwrap();
        for _ in 0..2 {
            self.ask(&customer).await.unwrap();
        }
        let attacker = attacker(attack, &self.victim());
        sleep(run_up).await;
        let mut rows = Rows { customer: Tally::default(), newcomers: Tally::default() };
        for _ in 0..orders {
            let began = Instant::now();
            let outcome = self.ask(&customer).await;
            rows.customer.count(began, outcome);
        }
        for _ in 0..newcomers {
            let began = Instant::now();
            let outcome = match self.client(&self.address()).await {
                Ok((newcomer, _home)) => {
                    let outcome = self.ask(&newcomer).await;
                    newcomer.shutdown().await;
                    outcome
                }
                Err(why) => Err(why),
            };
            rows.newcomers.count(began, outcome);
        }
        drop(attacker);
        customer.shutdown().await;
        rows
    }

    /// Processor time that the provider spends on calls of fresh keys, so many a second, and how many there were.
    pub(crate) async fn cost_of_gossip(&self, rate: u64, time: Duration) -> (Duration, u64) {
        let mut peer = Peer::connect(1, "127.7.0.1", &self.address(), self.model).await;
        let count = rate * time.as_secs();
        let flood: Vec<_> = (0..count).map(|_| peer.call_of_a_fresh_key()).collect();
        // What it spends on nothing in the same time.
        let began = self.provider.processor_time();
        sleep(time).await;
        let idle = self.provider.processor_time() - began;
        let began = self.provider.processor_time();
        for call in &flood {
            peer.gossip(call).await;
            peer.drain();
            pace(rate).await;
        }
        let spent = self.provider.processor_time() - began;
        (spent.saturating_sub(idle), count)
    }

    /// Orders of one new client in a market of one honest provider and `count` hostile sellers.
    pub(crate) async fn sold_to(&self, kind: Kind, count: u64, run_up: Duration, orders: usize) -> Loss {
        let join = vec![self.address()];
        let sellers: Vec<_> =
            (0..count).map(|number| kind.start(number, join.clone(), self.model, Nano(40_000))).collect();
        sleep(run_up).await;
        let (client, _home) = self.client(&self.address()).await.unwrap();
        sleep(Duration::from_secs(5)).await;
        let honest = self.victim().node;
        let mut tally = Tally::default();
        for _ in 0..orders {
            let began = Instant::now();
            let outcome = self.ask(&client).await;
            tally.count(began, outcome);
        }
        // Whatever is asked back is asked back by now.
        sleep(Duration::from_secs(2)).await;
        let (mut paid, mut locked) = (0, 0);
        for channel in client.channels().await.unwrap() {
            if channel.peer != honest.to_string() {
                paid += channel.paid_nano;
                locked += channel.deposit_nano - channel.paid_nano;
            }
        }
        sellers.into_iter().for_each(|seller| seller.abort());
        client.shutdown().await;
        Loss { orders: tally, paid: Nano(paid), locked: Nano(locked) }
    }
}
