//! A ledger behind HTTP, version 2 of toncenter's interface: the same client for a devnet elsewhere, testnet and mainnet.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bombyx_protocol::channel::terms::Address;
use futures::FutureExt as _;
use serde_json::{Value, json};
use tycho_types::boc::Boc;
use tycho_types::cell::Cell;

use super::chain::{Account, Chain, ChainError, Contract, Priority, Reply, Transaction, nano};
use super::prices::{PARAMETERS, Prices};
use super::retry::{Attempt, Outcome, Retry};
use super::turns::Turns;

/// The public service for the main network.
pub(crate) const MAINNET_URL: &str = "https://toncenter.com/api/v2";
/// The public service for the test network.
pub(crate) const TESTNET_URL: &str = "https://testnet.toncenter.com/api/v2";

/// The most requests per second that can be set.
pub(crate) const REQUESTS_PER_S_MAX: u32 = 1_000;
/// Requests per second to a service that says nothing else, without a key and with one: what toncenter allows.
const REQUESTS_PER_S: [u32; 2] = [1, 10];
/// One request, from connecting to the last byte.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a request is made before the ledger counts as unreachable.
const ATTEMPTS: u32 = 4;
/// No attempt begins later after the first one than this many request time-outs: a service that is mute costs two of them.
const PATIENCE: u32 = 2;
/// The pause before the second attempt, as a part of a request's time-out; each further one is twice as long.
const BACKOFF_PART: u32 = 40;
/// Bytes of one answer.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The most transactions that one request may ask for; the service's limit.
const TRANSACTIONS_MAX: usize = 100;

/// A client of one service. Clones share its turns.
#[derive(Clone)]
pub struct Toncenter {
    http: reqwest::Client,
    endpoint: String,
    key: Option<String>,
    request_timeout: Duration,
    turns: Arc<Turns>,
    priority: Priority,
}

impl Toncenter {
    /// Creates the service at `base`, such as `TESTNET_URL`, with an API key if there is one.
    ///
    /// At most `per_s` requests are made in a second, any number for 0. Unless it says so, a host is asked as toncenter
    /// demands, once a second without a key and ten times with one, and this machine without delay.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] if `base` is not an HTTP address or the client cannot be set up.
    pub fn new(base: &str, key: Option<String>, per_s: Option<u32>) -> Result<Self, ChainError> {
        let unreachable = |reason: String| ChainError::Unreachable { endpoint: base.into(), reason };
        let url = reqwest::Url::parse(base).map_err(|error| unreachable(error.to_string()))?;
        let suits = if is_this_machine(&url) { 0 } else { REQUESTS_PER_S[usize::from(key.is_some())] };
        let spacing = match per_s.unwrap_or(suits) {
            0 => Duration::ZERO,
            // A little slower than allowed: the service measures where requests arrive, not where they leave.
            per_s => Duration::from_millis(1_100) / per_s,
        };
        let http = reqwest::Client::builder().build().map_err(|error| unreachable(error.to_string()))?;
        let endpoint = base.trim_end_matches('/').to_owned();
        let turns = Arc::new(Turns::new(spacing));
        let request_timeout = REQUEST_TIMEOUT;
        Ok(Self { http, endpoint, key, request_timeout, turns, priority: Priority::Look })
    }

    /// Returns the same with another time for one request, from connecting to the last byte; pauses
    /// change with it.
    #[must_use]
    pub fn with_request_timeout(self, request_timeout: Duration) -> Self {
        Self { request_timeout, ..self }
    }

    async fn call(&self, method: &str, params: Value) -> Result<Value, ChainError> {
        let retry = Retry {
            attempts: ATTEMPTS,
            backoff: self.request_timeout / BACKOFF_PART,
            patience: self.request_timeout * PATIENCE,
        };
        let Outcome { answer, unanswered } = retry.run(|| self.attempt(method, &params)).await;
        match answer {
            Err(ChainError::Refused { exit_code: Some(_), .. }) if unanswered => Ok(Value::Null),
            answer => answer,
        }
    }

    async fn attempt(&self, method: &str, params: &Value) -> Attempt<Value> {
        let again = |error| Attempt::Again { error, was_heard: true };
        if !self.turns.take(self.priority).await {
            return Attempt::Final(self.unreachable("too many requests wait for their turn".into()));
        }
        let request = json!({ "id": "1", "jsonrpc": "2.0", "method": method, "params": params });
        let builder = self.http.post(format!("{}/jsonRPC", self.endpoint));
        let mut builder = builder.timeout(self.request_timeout).json(&request);
        if let Some(key) = &self.key {
            builder = builder.header("X-API-Key", key);
        }
        let bytes = match self.exchange(builder).await {
            Ok(bytes) => bytes,
            Err(reason) => return again(self.unreachable(reason)),
        };
        let Ok(mut answer) = serde_json::from_slice::<Value>(&bytes) else {
            return again(self.unreachable("the answer is not JSON".into()));
        };
        if answer["ok"] == Value::Bool(true) {
            return Attempt::Done(answer["result"].take());
        }
        let text = answer["error"].as_str().or(answer["result"].as_str()).unwrap_or("no reason given");
        let refusal = ChainError::refusal(text);
        let by_contract = refusal.exit_code().is_some();
        // A contract that refuses once refuses again; so does a reader of parameters.
        if by_contract || matches!(answer["code"].as_i64(), Some(400..=428 | 430..=499)) {
            return Attempt::Final(refusal);
        }
        again(refusal)
    }

    /// Sends and reads, with a limit on what is read. The error says what happened, without the address.
    async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, String> {
        let told = |error: reqwest::Error| {
            let error = error.without_url();
            match std::error::Error::source(&error) {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            }
        };
        let mut response = request.send().await.map_err(told)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(told)? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(format!("an answer of more than {ANSWER_BYTES_MAX} bytes"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn unreachable(&self, reason: String) -> ChainError {
        ChainError::Unreachable { endpoint: self.endpoint.clone(), reason }
    }

    async fn read_account(&self, address: Address) -> Result<Account, ChainError> {
        let answer = self.call("getAddressInformation", json!({ "address": address.to_string() })).await?;
        // Some deployments write -1 for an account that never was.
        let balance = number(&answer["balance"], "balance")?.max(0);
        let contract = match answer["state"].as_str() {
            Some("active") => {
                Some(Contract { code: cell(&answer["code"], "code")?, data: cell(&answer["data"], "data")? })
            }
            Some("uninitialized" | "frozen") => None,
            _ => return Err(ChainError::unreadable("state of an account")),
        };
        let fits = |value: i128, what: &str| {
            u64::try_from(value).map_err(|_| ChainError::unreadable(what.to_owned()))
        };
        let last_lt = fits(number(&answer["last_transaction_id"]["lt"], "lt")?, "lt")?;
        let time = fits(number(&answer["sync_utime"], "sync_utime")?, "sync_utime")?;
        Ok(Account {
            balance: nano(balance.unsigned_abs())?,
            contract,
            last_lt,
            chain_time_s: u32::try_from(time).map_err(|_| ChainError::unreadable("sync_utime"))?,
        })
    }

    /// Returns one parameter of the network's configuration; `None` from a service without the
    /// method.
    async fn read_parameter(&self, number: u32) -> Result<Option<Cell>, ChainError> {
        let answer = match self.call("getConfigParam", json!({ "config_id": number })).await {
            Ok(answer) => answer,
            Err(ChainError::Refused { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        cell(&answer["config"]["bytes"], &format!("parameter {number}")).map(Some)
    }

    async fn read_prices(&self) -> Result<Option<Prices>, ChainError> {
        let [rent, gas, forward] = PARAMETERS.map(|number| self.read_parameter(number));
        let (Some(rent), Some(gas), Some(forward)) = (rent.await?, gas.await?, forward.await?) else {
            return Ok(None);
        };
        Prices::read(&[rent, gas, forward]).map(Some)
    }

    /// Reads the network's global id: parameter 19 of its configuration.
    async fn read_network_id(&self) -> Result<Option<i32>, ChainError> {
        let Some(id) = self.read_parameter(19).await? else { return Ok(None) };
        let id = id.parse::<u32>().map_err(|_| ChainError::unreadable("parameter 19"))?;
        Ok(Some(id.cast_signed()))
    }

    async fn read_transactions(
        &self,
        address: Address,
        limit: usize,
    ) -> Result<Vec<Transaction>, ChainError> {
        let limit = limit.min(TRANSACTIONS_MAX);
        let params = json!({ "address": address.to_string(), "limit": limit });
        let answer = self.call("getTransactions", params).await?;
        let list = answer.as_array().ok_or_else(|| ChainError::unreadable("transactions"))?;
        list.iter().map(|entry| Transaction::from_boc(&bytes(&entry["data"], "transaction")?)).collect()
    }
}

impl Chain for Toncenter {
    fn account(&self, address: Address) -> Reply<'_, Account> {
        self.read_account(address).boxed()
    }

    fn send(&self, message: Vec<u8>) -> Reply<'_, ()> {
        async move {
            // Sending twice is harmless: every message is numbered, or refused when repeated.
            self.call("sendBoc", json!({ "boc": BASE64.encode(message) })).await.map(drop)
        }
        .boxed()
    }

    fn transactions(&self, address: Address, limit: usize) -> Reply<'_, Vec<Transaction>> {
        self.read_transactions(address, limit).boxed()
    }

    fn network_id(&self) -> Reply<'_, Option<i32>> {
        self.read_network_id().boxed()
    }

    fn prices(&self) -> Reply<'_, Option<Prices>> {
        self.read_prices().boxed()
    }

    fn name(&self) -> String {
        self.endpoint.clone()
    }

    fn pace(&self) -> Duration {
        self.turns.spacing().max(Duration::from_millis(200))
    }

    fn spacing(&self) -> Duration {
        self.turns.spacing()
    }

    fn with_priority(&self, priority: Priority) -> Arc<dyn Chain> {
        Arc::new(Self { priority, ..self.clone() })
    }
}

fn is_this_machine(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Reads a number that may be written as a number or as a text.
fn number(value: &Value, what: &str) -> Result<i128, ChainError> {
    value
        .as_i64()
        .map(i128::from)
        .or_else(|| value.as_str()?.parse().ok())
        .ok_or_else(|| ChainError::unreadable(what))
}

fn bytes(value: &Value, what: &str) -> Result<Vec<u8>, ChainError> {
    let text = value.as_str().ok_or_else(|| ChainError::unreadable(what))?;
    BASE64.decode(text).map_err(|_| ChainError::unreadable(what))
}

fn cell(value: &Value, what: &str) -> Result<Cell, ChainError> {
    Boc::decode(bytes(value, what)?).map_err(|_| ChainError::unreadable(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_asked_as_often_as_it_allows_and_this_machine_at_will() {
        let spacing = |base: &str, key: Option<&str>, per_s: Option<u32>| {
            Toncenter::new(base, key.map(str::to_owned), per_s)
                .map(|client| client.turns.spacing().as_millis())
        };
        assert_eq!(spacing(TESTNET_URL, None, None), Ok(1_100));
        assert_eq!(spacing(MAINNET_URL, Some("k"), None), Ok(110));
        assert_eq!(spacing("https://ton.example/api/v2", None, None), Ok(1_100));
        assert_eq!(spacing("https://ton.example/api/v2", None, Some(25)), Ok(44));
        assert_eq!(spacing("https://ton.example/api/v2", Some("k"), Some(0)), Ok(0));
        for here in ["http://127.0.0.1:8081/api/v2", "http://[::1]:8081", "http://localhost"] {
            assert_eq!(spacing(here, None, None), Ok(0), "{here}");
            assert_eq!(spacing(here, None, Some(1)), Ok(1_100), "{here}");
        }
        assert!(matches!(spacing("nowhere", None, None), Err(ChainError::Unreachable { .. })));
    }
}
