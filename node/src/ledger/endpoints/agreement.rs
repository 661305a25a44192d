//! Endpoints that are asked together, until enough of them say the same.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bombyx_protocol::channel::terms::Address;
use futures::FutureExt as _;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, sleep, timeout};

use super::opinions::{self, Quorum, Said};
use crate::ledger::chain::{Account, Chain, ChainError, Priority, Reply, Transaction};
use crate::ledger::clock::now_s;
use crate::ledger::limits::{AHEAD_S_MAX, ENDPOINTS_MAX, HEDGE, LAG_PATIENCE, REST, REST_MAX, ROUNDS};
use crate::ledger::prices::Prices;

/// Endpoints of one network.
pub struct Endpoints {
    members: Vec<Member>,
    network_id: i32,
}

struct Member {
    chain: Arc<dyn Chain>,
    health: Arc<Mutex<Health>>,
}

#[derive(Default)]
struct Health {
    /// Whether its network was compared.
    known: bool,
    failures: u32,
    rests_until: Option<Instant>,
}

type Question<'q, T> = &'q (dyn for<'c> Fn(&'c dyn Chain) -> Reply<'c, T> + Sync);

/// Answers that are no agreement, and why others gave none.
struct Discord<T> {
    said: Vec<Said<T>>,
    errors: Vec<(usize, ChainError)>,
}

impl Endpoints {
    /// Returns one ledger of several connections, the preferred first. Each is asked for its
    /// network before it is believed.
    ///
    /// # Errors
    /// [`ChainError::Endpoint`] for none, or more than [`ENDPOINTS_MAX`].
    pub fn new(chains: Vec<Arc<dyn Chain>>, network_id: i32) -> Result<Self, ChainError> {
        if chains.is_empty() || chains.len() > ENDPOINTS_MAX {
            let reason = format!("it names {} endpoints; name 1 to {ENDPOINTS_MAX}", chains.len());
            return Err(ChainError::Endpoint { endpoint: "`ledger.url`".into(), reason });
        }
        let members = chains.into_iter().map(|chain| Member { chain, health: Arc::default() }).collect();
        Ok(Self { members, network_id })
    }

    /// Puts those that do not rest first, each group in the order of the configuration.
    fn order(&self) -> Vec<usize> {
        let now = Instant::now();
        let mut order: Vec<usize> = (0..self.members.len()).collect();
        order.sort_by_key(|index| self.members.get(*index).is_some_and(|member| member.rests(now)));
        order
    }

    /// Asks as many endpoints at once as must agree, and others when one of them fails, is slow, or says something else.
    /// Nobody is given up before its own deadline, unless `decide` needs it no more. (`LE-3`)
    async fn ask<T, R>(
        &self,
        question: Question<'_, T>,
        decide: impl Fn(&[Said<T>], Quorum) -> Option<R>,
    ) -> Result<R, Discord<T>> {
        let members = self.members.len();
        let mut spare = self.order().into_iter();
        let mut asked: Vec<(usize, Instant)> = Vec::new();
        let mut running = FuturesUnordered::new();
        let mut discord = Discord { said: Vec::new(), errors: Vec::new() };
        let mut more = Quorum::majority(members);
        loop {
            for index in spare.by_ref().take(more) {
                asked.push((index, Instant::now()));
                running.push(self.ask_one(index, question));
            }
            match timeout(HEDGE, running.next()).await {
                Ok(Some((by, outcome))) => {
                    asked.retain(|(index, _)| *index != by);
                    // An endpoint that fails is replaced at once.
                    more = usize::from(outcome.is_err());
                    match outcome {
                        Ok(what) => discord.said.push(Said { by, what }),
                        Err(error) => discord.errors.push((by, error)),
                    }
                }
                Ok(None) => return Err(discord),
                Err(_) => {
                    more = 1;
                    continue;
                }
            }
            let last = running.is_empty() && spare.len() == 0;
            if let Some(decided) = decide(&discord.said, Quorum { members, last }) {
                self.late(&asked);
                return Ok(decided);
            }
            if running.is_empty() {
                more = 1;
            }
        }
    }

    async fn ask_one<T>(&self, index: usize, question: Question<'_, T>) -> (usize, Result<T, ChainError>) {
        let Some(member) = self.members.get(index) else {
            return (index, Err(ChainError::unreadable("an endpoint that is not there")));
        };
        let ask = async {
            member.check_network(self.network_id).await?;
            question(&*member.chain).await
        };
        let outcome = ask.await;
        match &outcome {
            Ok(_) => member.recover(),
            Err(error) => member.rest(error),
        }
        (index, outcome)
    }

    /// Endpoints that others had to answer for are asked last for a while.
    fn late(&self, asked: &[(usize, Instant)]) {
        for (index, since) in asked.iter().filter(|(_, since)| since.elapsed() >= HEDGE) {
            self.rest(*index, format_args!("no answer after {} s", since.elapsed().as_secs()));
        }
    }

    fn rest(&self, index: usize, why: impl Display) {
        if let Some(member) = self.members.get(index) {
            member.rest(why);
        }
    }

    fn name_of(&self, index: usize) -> String {
        self.members.get(index).map_or_else(String::new, |member| member.chain.name())
    }

    /// Returns the error for answers that are no agreement; `tell` says what one of them is.
    fn disagreement<T>(&self, what: &str, discord: &Discord<T>, tell: impl Fn(&T) -> String) -> ChainError {
        let Discord { said, errors } = discord;
        // A wrong network is for the operator to set right, and hides behind no failure of another.
        let foreign = errors.iter().find(|(_, error)| matches!(error, ChainError::OtherNetwork { .. }));
        if let Some((_, error)) = foreign {
            return error.clone();
        }
        if let (true, [(_, only)]) = (self.members.len() == 1, errors.as_slice()) {
            return only.clone();
        }
        let view = |said: &Said<T>| format!("{} says {}", self.name_of(said.by), tell(&said.what));
        let views = said.iter().map(view).chain(errors.iter().map(|(_, error)| error.to_string()));
        let views = views.collect::<Vec<_>>().join("; ");
        let contradicted = |error: &ChainError| matches!(error, ChainError::Contradiction { .. });
        if said.len() > 1 || errors.iter().any(|(_, error)| contradicted(error)) {
            return ChainError::Contradiction { what: what.to_owned(), endpoints: views };
        }
        let reason = match said.first() {
            Some(_) => format!("{views}; one of {} endpoints is no agreement", self.members.len()),
            None => views,
        };
        ChainError::Unreachable { endpoint: self.name(), reason }
    }

    /// Asks one endpoint for an account. Where there are others, its time is bounded by this machine's clock. (`LE-2`)
    fn view<'c>(&self, chain: &'c dyn Chain, address: Address) -> Reply<'c, Account> {
        let alone = self.members.len() == 1;
        async move {
            let account = chain.account(address).await?;
            let ahead_s = account.chain_time_s.saturating_sub(now_s());
            if !alone && ahead_s > AHEAD_S_MAX {
                return Err(ChainError::Contradiction {
                    what: "the time".into(),
                    endpoints: format!("{} is {ahead_s} s ahead of this machine's clock", chain.name()),
                });
            }
            Ok(account)
        }
        .boxed()
    }

    async fn agreed(&self, address: Address) -> Result<Account, ChainError> {
        let began = Instant::now();
        let mut round = 1;
        loop {
            let discord = match self.ask(&|chain| self.view(chain, address), opinions::account).await {
                Ok((account, outvoted)) => {
                    outvoted.into_iter().for_each(|index| self.rest(index, "it was outvoted"));
                    return Ok(account);
                }
                Err(discord) => discord,
            };
            let lag = opinions::may_lag(&discord.said) && began.elapsed() < LAG_PATIENCE;
            if discord.said.len() < 2 || (round >= ROUNDS && !lag) {
                return Err(self.disagreement(&format!("account {address}"), &discord, |account| {
                    let Account { balance, last_lt, chain_time_s, .. } = account;
                    format!("{balance} coins after transaction {last_lt} at time {chain_time_s}")
                }));
            }
            sleep(self.pace()).await;
            round += 1;
        }
    }
}

impl Member {
    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rests(&self, now: Instant) -> bool {
        self.health().rests_until.is_some_and(|until| until > now)
    }

    fn recover(&self) {
        let mut health = self.health();
        health.failures = 0;
        health.rests_until = None;
    }

    fn rest(&self, why: impl Display) {
        let mut health = self.health();
        let rest = REST.saturating_mul(1 << health.failures.min(16)).min(REST_MAX);
        health.failures = health.failures.saturating_add(1);
        health.rests_until = Some(Instant::now() + rest);
        tracing::debug!(
            endpoint = self.chain.name(),
            ?rest,
            "an endpoint of the ledger is asked after the others: {why}"
        );
    }

    /// Compares the network once; an endpoint that cannot tell is let pass, since the contract compares it again.
    async fn check_network(&self, expected: i32) -> Result<(), ChainError> {
        if self.health().known {
            return Ok(());
        }
        match self.chain.network_id().await? {
            Some(found) if found != expected => {
                Err(ChainError::OtherNetwork { endpoint: self.chain.name(), found, expected })
            }
            _ => {
                self.health().known = true;
                Ok(())
            }
        }
    }
}

/// Sends a message. What the contract says is an answer, and no failure of the endpoint.
fn hand_over(chain: &dyn Chain, message: Vec<u8>) -> Reply<'_, Result<(), ChainError>> {
    let heard = chain.send(message).map(|outcome| match outcome {
        Err(refused @ ChainError::Refused { exit_code: Some(_), .. }) => Ok(Err(refused)),
        other => other.map(Ok),
    });
    heard.boxed()
}

impl Chain for Endpoints {
    fn account(&self, address: Address) -> Reply<'_, Account> {
        self.agreed(address).boxed()
    }

    /// Hands the message to several endpoints: each message is numbered, so that it counts once. (`LE-5`)
    fn send(&self, message: Vec<u8>) -> Reply<'_, ()> {
        async move {
            let asked = self.ask(&|chain| hand_over(chain, message.clone()), opinions::handed_over).await;
            asked.unwrap_or_else(|discord| {
                Err(self.disagreement("a message", &discord, |outcome| {
                    outcome.as_ref().map_or_else(ToString::to_string, |()| "that it took it".into())
                }))
            })
        }
        .boxed()
    }

    fn transactions(&self, address: Address, limit: usize) -> Reply<'_, Vec<Transaction>> {
        async move {
            let asked = self.ask(&|chain| chain.transactions(address, limit), opinions::transactions).await;
            asked.map_err(|discord| {
                let what = format!("the history of {address}");
                self.disagreement(&what, &discord, |list| format!("it has {} transactions", list.len()))
            })
        }
        .boxed()
    }

    fn network_id(&self) -> Reply<'_, Option<i32>> {
        async move {
            let decide = |said: &[Said<Option<i32>>], quorum| {
                opinions::agreement(said, quorum, |id| *id)?.first().map(|said| said.what)
            };
            let asked = self.ask(&|chain| chain.network_id(), decide).await;
            asked.map_err(|discord| self.disagreement("the network", &discord, |id| format!("{id:?}")))
        }
        .boxed()
    }

    fn prices(&self) -> Reply<'_, Option<Prices>> {
        async move {
            let decide = |said: &[Said<Option<Prices>>], quorum| {
                opinions::agreement(said, quorum, |prices| *prices)?.first().map(|said| said.what)
            };
            let asked = self.ask(&|chain| chain.prices(), decide).await;
            asked.map_err(|discord| self.disagreement("prices", &discord, |prices| format!("{prices:?}")))
        }
        .boxed()
    }

    fn name(&self) -> String {
        let names: Vec<String> = self.members.iter().map(|member| member.chain.name()).collect();
        names.join(", ")
    }

    fn pace(&self) -> Duration {
        self.members.iter().map(|member| member.chain.pace()).max().unwrap_or(REST)
    }

    /// Returns the time between two looks. The slowest endpoint sets it, since each look asks more than half of them.
    fn spacing(&self) -> Duration {
        self.members.iter().map(|member| member.chain.spacing()).max().unwrap_or_default()
    }

    fn with_priority(&self, priority: Priority) -> Arc<dyn Chain> {
        let member = |member: &Member| Member {
            chain: member.chain.with_priority(priority),
            health: Arc::clone(&member.health),
        };
        Arc::new(Self { members: self.members.iter().map(member).collect(), network_id: self.network_id })
    }
}
