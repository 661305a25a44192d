//! Several endpoints as one ledger: who is down is passed over, who lags is left behind, who lies is contradicted.
//!
//! An account is looked up at two endpoints at once where there are two, and counts when two agree on its balance, code,
//! data and newest transaction. Endpoints that differ are asked again, a third with them, since blocks reach them one after
//! the other; what stays contradictory is an error and never a guess. One endpoint alone is believed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bombyx_protocol::channel::terms::Address;
use futures::FutureExt as _;
use futures::stream::{FuturesUnordered, StreamExt as _};
use rand::seq::SliceRandom as _;
use tokio::time::{Instant, sleep, timeout};
use tycho_types::cell::HashBytes;

use super::chain::{Account, Chain, ChainError, Reply, Transaction};
use super::liteserver::{self, LiteAddress, Liteserver};
use super::toncenter::{MAINNET_URL, REQUESTS_PER_S_MAX, TESTNET_URL, Toncenter};

/// Where `bombyx devnet` serves unless told otherwise.
pub const DEVNET_URL: &str = "http://127.0.0.1:4190";
/// Where toncenter's interface, version 2, is at every service that has it.
const API_PATH: &str = "/api/v2";

/// Endpoints of one node.
pub const ENDPOINTS_MAX: usize = 8;
/// Liteservers that are taken from a global configuration, at random.
const FROM_CONFIGURATION: usize = 3;
/// Bytes of a global configuration.
const CONFIGURATION_BYTES_MAX: u64 = 1024 * 1024;
/// Endpoints that must agree, where there are as many.
const OPINIONS: usize = 2;
/// Endpoints that are asked once two have disagreed.
const OPINIONS_MAX: usize = 3;
/// How often endpoints that differ are asked before they contradict each other.
const ROUNDS: u32 = 5;
/// After this long without an answer one more endpoint is asked; a second opinion comes within it or not at all.
const HEDGE: Duration = Duration::from_secs(2);
/// How far in seconds an endpoint's newest block may be behind another's before it counts as lagging.
const LAG_S_MAX: u32 = 60;
/// How long an endpoint is spared after it failed; each further failure doubles it.
const REST: Duration = Duration::from_secs(1);
/// The longest rest.
const REST_MAX: Duration = Duration::from_secs(60);

/// Endpoints of one network.
pub struct Endpoints {
    members: Vec<Member>,
    network_id: i32,
}

struct Member {
    chain: Arc<dyn Chain>,
    health: Mutex<Health>,
}

#[derive(Default)]
struct Health {
    /// Whether its network was compared.
    known: bool,
    failures: u32,
    rests_until: Option<Instant>,
}

/// What was said, by whom.
struct Said<T> {
    by: usize,
    what: T,
}

type Question<'q, T> = &'q (dyn for<'c> Fn(&'c dyn Chain) -> Reply<'c, T> + Sync);

/// Reads a list of endpoints, separated by commas, and connects to them when they are first asked. Each is one of
///
/// | text | means |
/// |---|---|
/// | `devnet`, `testnet`, `mainnet` | [`DEVNET_URL`] and toncenter's public services |
/// | `http://...`, `https://...` | a service with toncenter's interface, version 2 |
/// | `liteserver://HOST:PORT/KEY` | a liteserver and its key in base64 |
/// | a path that ends in `.json` | a network's global configuration: three of its liteservers |
///
/// `keys` are the API keys of the HTTP services and `rates` the most requests per second to each, both in the same order
/// and separated by commas; where nothing stands there is no key, or the rate that [`Toncenter::new`] chooses.
///
/// # Errors
/// [`ChainError`] names the endpoint that cannot be used.
pub fn connect(list: &str, keys: &str, rates: &str, network_id: i32) -> Result<Endpoints, ChainError> {
    let mut chains: Vec<Arc<dyn Chain>> = Vec::new();
    let mut keys = keys.split(',').map(str::trim);
    let mut rates = rates.split(',').map(str::trim);
    for text in list.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        let key = keys.next().filter(|key| !key.is_empty()).map(str::to_owned);
        let rate =
            rates.next().filter(|rate| !rate.is_empty()).map(|rate| read_rate(text, rate)).transpose()?;
        if text.starts_with(liteserver::SCHEME) {
            chains.push(Arc::new(Liteserver::new(LiteAddress::parse(text)?)));
        } else if text.ends_with(".json") {
            let mut servers = LiteAddress::from_global_config(&read_configuration(text)?)?;
            servers.shuffle(&mut rand::rng());
            servers.truncate(FROM_CONFIGURATION);
            chains.extend(
                servers.into_iter().map(|server| Arc::new(Liteserver::new(server)) as Arc<dyn Chain>),
            );
        } else {
            chains.push(Arc::new(Toncenter::new(&service(text), key, rate)?));
        }
    }
    Endpoints::new(chains, network_id)
}

fn read_rate(endpoint: &str, text: &str) -> Result<u32, ChainError> {
    let rate = text.parse().ok().filter(|rate| *rate <= REQUESTS_PER_S_MAX);
    rate.ok_or_else(|| ChainError::Unreachable {
        endpoint: endpoint.to_owned(),
        reason: format!("`{text}` requests per second; use 0 for any number, or 1 to {REQUESTS_PER_S_MAX}"),
    })
}

/// The base URL of an HTTP endpoint of a list: with the path that it has at every service.
fn service(text: &str) -> String {
    let url = match text {
        "devnet" => DEVNET_URL,
        "testnet" => TESTNET_URL,
        "mainnet" => MAINNET_URL,
        url => url,
    };
    let url = url.trim_end_matches('/');
    if url.ends_with(API_PATH) { url.to_owned() } else { format!("{url}{API_PATH}") }
}

/// The first HTTP service of a list, without the path of its interface: where a devnet has its faucet.
#[must_use]
pub fn first_service(list: &str) -> Option<String> {
    let mut services = list
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty() && !text.starts_with(liteserver::SCHEME) && !text.ends_with(".json"));
    let base = service(services.next()?);
    Some(base.trim_end_matches(API_PATH).to_owned())
}

fn read_configuration(path: &str) -> Result<String, ChainError> {
    let unreachable = |reason: String| ChainError::Unreachable { endpoint: path.to_owned(), reason };
    let metadata = std::fs::metadata(path).map_err(|error| unreachable(error.to_string()))?;
    if metadata.len() > CONFIGURATION_BYTES_MAX {
        return Err(unreachable(format!("more than {CONFIGURATION_BYTES_MAX} bytes")));
    }
    std::fs::read_to_string(path).map_err(|error| unreachable(error.to_string()))
}

impl Endpoints {
    /// One ledger of several connections, the preferred first. Each is asked for its network before it is believed.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] for none, or more than [`ENDPOINTS_MAX`].
    pub fn new(chains: Vec<Arc<dyn Chain>>, network_id: i32) -> Result<Self, ChainError> {
        if chains.is_empty() || chains.len() > ENDPOINTS_MAX {
            let reason = format!("{} endpoints are named; name 1 to {ENDPOINTS_MAX}", chains.len());
            return Err(ChainError::Unreachable { endpoint: "`ledger.url`".into(), reason });
        }
        let members = chains.into_iter().map(|chain| Member { chain, health: Mutex::default() }).collect();
        Ok(Self { members, network_id })
    }

    /// Those in order first, each group in the order of the configuration.
    fn order(&self) -> Vec<usize> {
        let now = Instant::now();
        let mut order: Vec<usize> = (0..self.members.len()).collect();
        order.sort_by_key(|index| self.members.get(*index).is_some_and(|member| member.rests(now)));
        order
    }

    /// Asks the first `wanted` endpoints at once, and others for those that fail or are slow. Nobody answered: the error.
    async fn ask<T>(&self, wanted: usize, question: Question<'_, T>) -> Result<Vec<Said<T>>, ChainError> {
        let mut spare = self.order().into_iter();
        let mut running: FuturesUnordered<_> =
            spare.by_ref().take(wanted).map(|index| self.ask_one(index, question)).collect();
        let mut said = Vec::new();
        let mut errors = Vec::new();
        loop {
            match timeout(HEDGE, running.next()).await {
                Ok(Some((by, Ok(what)))) => said.push(Said { by, what }),
                Ok(Some((_, Err(error)))) => {
                    errors.push(error);
                    running.extend(spare.next().map(|index| self.ask_one(index, question)));
                }
                Ok(None) => break,
                // Who has not answered by now is not worth waiting for.
                Err(_) if !said.is_empty() => break,
                Err(_) => running.extend(spare.next().map(|index| self.ask_one(index, question))),
            }
        }
        if said.is_empty() { Err(self.silent(errors)) } else { Ok(said) }
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
            Err(error) => member.rest(&error.to_string()),
        }
        (index, outcome)
    }

    /// What is said when no endpoint answers.
    fn silent(&self, mut errors: Vec<ChainError>) -> ChainError {
        let several = errors.len() > 1;
        match errors.pop() {
            Some(last) if !several => last,
            // A wrong network is for the operator to set right, and hides behind no failure of another.
            Some(last) => {
                errors.push(last);
                let foreign = errors.iter().find(|error| matches!(error, ChainError::OtherNetwork { .. }));
                let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
                foreign.cloned().unwrap_or_else(|| ChainError::Unreachable {
                    endpoint: self.name(),
                    reason: reasons.join("; "),
                })
            }
            None => ChainError::Unreachable { endpoint: self.name(), reason: "nobody was asked".into() },
        }
    }

    async fn agreed(&self, address: Address) -> Result<Account, ChainError> {
        let mut wanted = OPINIONS;
        let mut round = 1;
        loop {
            let said = self.ask(wanted, &|chain| chain.account(address)).await?;
            match judge(said, host_time_s()) {
                Verdict::Agreed { account, outvoted } => {
                    for (index, why) in outvoted {
                        if let Some(member) = self.members.get(index) {
                            member.rest(why);
                        }
                    }
                    return Ok(account);
                }
                Verdict::Split(said) if round >= ROUNDS => {
                    let view = |said: &Said<Account>| {
                        let name =
                            self.members.get(said.by).map_or_else(String::new, |member| member.chain.name());
                        let Account { balance, last_lt, chain_time_s, .. } = &said.what;
                        format!(
                            "{name} shows {balance} coins after transaction {last_lt} at time {chain_time_s}"
                        )
                    };
                    let endpoints = said.iter().map(view).collect::<Vec<_>>().join(", ");
                    return Err(ChainError::Contradiction { what: format!("account {address}"), endpoints });
                }
                Verdict::Split(_) => sleep(self.pace()).await,
            }
            wanted = OPINIONS_MAX;
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

    fn rest(&self, why: &str) {
        let mut health = self.health();
        let rest = REST.saturating_mul(1 << health.failures.min(16)).min(REST_MAX);
        health.failures = health.failures.saturating_add(1);
        health.rests_until = Some(Instant::now() + rest);
        tracing::debug!(
            endpoint = self.chain.name(),
            ?rest,
            "an endpoint of the ledger is passed over: {why}"
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

/// What follows from several answers.
enum Verdict {
    /// The answer, and who said something else or lags.
    Agreed { account: Account, outvoted: Vec<(usize, &'static str)> },
    /// No two agree.
    Split(Vec<Said<Account>>),
}

/// What two endpoints must agree on.
fn essence(account: &Account) -> (u64, u64, Option<(HashBytes, HashBytes)>) {
    let contract = account.contract.as_ref();
    let hashes = contract.map(|contract| (*contract.code.repr_hash(), *contract.data.repr_hash()));
    (account.last_lt, account.balance.0, hashes)
}

fn judge(mut said: Vec<Said<Account>>, host_time_s: u32) -> Verdict {
    // The largest group of equal answers, the newest of it as the answer.
    let votes =
        |account: &Account| said.iter().filter(|other| essence(&other.what) == essence(account)).count();
    let best = said
        .iter()
        .max_by_key(|said| (votes(&said.what), said.what.chain_time_s))
        .map(|best| (votes(&best.what), best.what.clone()));
    let Some((votes, account)) = best else { return Verdict::Split(said) };
    let differs = |other: &Said<Account>| essence(&other.what) != essence(&account);
    if votes >= OPINIONS || said.len() == 1 {
        let outvoted = said.iter().filter(|other| differs(other));
        return Verdict::Agreed {
            outvoted: outvoted.map(|other| (other.by, "it was outvoted")).collect(),
            account,
        };
    }
    // Of endpoints that all differ, one whose blocks are old is no witness; unless the newer one is ahead of time.
    let newest_s = said.iter().map(|said| said.what.chain_time_s).max().unwrap_or(0);
    let lags = |said: &Said<Account>| said.what.chain_time_s.saturating_add(LAG_S_MAX) < newest_s;
    if newest_s <= host_time_s.saturating_add(LAG_S_MAX)
        && said.iter().filter(|said| !lags(said)).count() == 1
    {
        let behind = said.iter().filter(|said| lags(said)).map(|said| (said.by, "it lags")).collect();
        said.retain(|said| !lags(said));
        if let Some(Said { what: account, .. }) = said.pop() {
            return Verdict::Agreed { account, outvoted: behind };
        }
    }
    Verdict::Split(said)
}

/// Sends a message. What the contract says is an answer, and no failure of the endpoint.
fn hand_over(chain: &dyn Chain, message: Vec<u8>) -> Reply<'_, Result<(), ChainError>> {
    let heard = chain.send(message).map(|outcome| match outcome {
        Err(refused @ ChainError::Refused { exit_code: Some(_), .. }) => Ok(Err(refused)),
        other => other.map(Ok),
    });
    heard.boxed()
}

fn host_time_s() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

impl Chain for Endpoints {
    fn account(&self, address: Address) -> Reply<'_, Account> {
        self.agreed(address).boxed()
    }

    /// Hands the message to several endpoints: each message is numbered, so that it counts once.
    fn send(&self, message: Vec<u8>) -> Reply<'_, ()> {
        async move {
            let said = self.ask(OPINIONS, &|chain| hand_over(chain, message.clone())).await?;
            // An endpoint that is behind, or came second, may refuse what another took.
            let taken = said.iter().any(|said| said.what.is_ok());
            if taken { Ok(()) } else { said.into_iter().next().map_or(Ok(()), |said| said.what) }
        }
        .boxed()
    }

    fn transactions(&self, address: Address, limit: usize) -> Reply<'_, Vec<Transaction>> {
        async move {
            let said = self.ask(1, &|chain| chain.transactions(address, limit)).await?;
            Ok(said.into_iter().next().map(|said| said.what).unwrap_or_default())
        }
        .boxed()
    }

    fn network_id(&self) -> Reply<'_, Option<i32>> {
        async move {
            let said = self.ask(1, &|chain| chain.network_id()).await?;
            Ok(said.into_iter().next().and_then(|said| said.what))
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

    /// A look asks two of them, whichever answer: the slowest sets the time.
    fn spacing(&self) -> Duration {
        self.members.iter().map(|member| member.chain.spacing()).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bombyx_protocol::amount::Nano;

    use super::*;

    const NOW_S: u32 = 1_790_000_000;

    fn said(by: usize, coins: u64, last_lt: u64, chain_time_s: u32) -> Said<Account> {
        Said { by, what: Account { balance: Nano(coins), contract: None, last_lt, chain_time_s } }
    }

    fn verdict(said: Vec<Said<Account>>) -> Option<(u64, Vec<usize>)> {
        match judge(said, NOW_S) {
            Verdict::Agreed { account, outvoted } => {
                Some((account.balance.0, outvoted.into_iter().map(|(by, _)| by).collect()))
            }
            Verdict::Split(_) => None,
        }
    }

    #[test]
    fn two_that_agree_outvote_a_third_whatever_its_time() {
        let liar = || said(2, 9, 9, NOW_S + 30);
        assert_eq!(verdict(vec![said(0, 5, 1, NOW_S), liar(), said(1, 5, 1, NOW_S - 5)]), Some((5, vec![2])));
        assert_eq!(verdict(vec![said(0, 5, 1, NOW_S)]), Some((5, vec![])));
    }

    #[test]
    fn two_that_differ_settle_nothing_unless_one_lags() {
        assert_eq!(verdict(vec![said(0, 5, 1, NOW_S), said(1, 6, 2, NOW_S - 59)]), None);
        assert_eq!(verdict(vec![said(0, 5, 1, NOW_S - 61), said(1, 6, 2, NOW_S)]), Some((6, vec![0])));
        // Whoever names a time that has not come makes nobody else look old.
        assert_eq!(verdict(vec![said(0, 5, 1, NOW_S), said(1, 6, 2, NOW_S + 1_000)]), None);
    }

    #[test]
    fn every_writing_of_an_endpoint_is_read_and_errors_name_the_wrong_one() {
        let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let list = format!("devnet, https://ton.example/api/v2/ ,liteserver://[::1]:4191/{key}");
        let endpoints = connect(&list, ",secret", "5,,7", -3).unwrap();
        let names = endpoints.name();
        assert_eq!(
            names,
            "http://127.0.0.1:4190/api/v2, https://ton.example/api/v2, liteserver://[::1]:4191"
        );
        assert_eq!(first_service(&format!("liteserver://a:1/{key},devnet")).as_deref(), Some(DEVNET_URL));
        assert_eq!(first_service(&format!("liteserver://a:1/{key}")), None);
        for (list, named) in
            [("nowhere", "nowhere"), ("devnet,liteserver://x", "liteserver://x"), ("no.json", "no.json")]
        {
            let error = connect(list, "", "", -3).err().unwrap().to_string();
            assert!(error.contains(named), "{error}");
        }
        assert!(connect("", "", "", -3).is_err());
        assert!(connect(&["devnet"; ENDPOINTS_MAX + 1].join(","), "", "", -3).is_err());
        for rate in ["-1", "1001", "many", "0.5"] {
            let error = connect("devnet,testnet", "", &format!(",{rate}"), -3).err().unwrap().to_string();
            assert!(error.contains("testnet") && error.contains(rate), "{error}");
        }
    }
}
