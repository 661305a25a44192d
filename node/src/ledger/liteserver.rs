//! A ledger behind a liteserver: full nodes answer this way, over an encrypted TCP stream, without an HTTP service between.
//!
//! Answers are believed as far as they agree with themselves: an account's state must have the hash that the shard's state
//! names for it. That the shard's state follows from a block that validators signed is *not* checked, so ask more than one
//! server ([`super::endpoints`]). The history of an account that was deleted is not found this way: what names an account's
//! last transaction is the account.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurposeConfig, STANDARD};
use base64::engine::{DecodePaddingMode, GeneralPurpose};
use bombyx_protocol::channel::terms::Address;
use futures::FutureExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tycho_types::boc::Boc;
use tycho_types::boc::de::{BocHeader, Options};
use tycho_types::cell::{Cell, CellFamily as _, CellSlice, HashBytes, Load};
use tycho_types::dict::AugDict;
use tycho_types::error::Error;
use tycho_types::merkle::MerkleProof;
use tycho_types::models::{AccountState, DepthBalanceInfo, OptionalAccount};

use super::adnl::{self, Secrets};
use super::chain::{Account, Chain, ChainError, Contract, Priority, Reply, Transaction, nano};
use super::lite::{Answer, Frame, Question};
use super::tl::Block;

/// What every address of a liteserver begins with.
pub const SCHEME: &str = "liteserver://";

/// From connecting to the end of the handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Until a question is answered.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a question is asked before the server counts as unreachable.
const ATTEMPTS: u32 = 3;
/// No attempt begins later after the first one than this: a server that is mute costs little more than one answer's time.
const PATIENCE: Duration = Duration::from_secs(12);
/// The pause before the second attempt; each further one is twice as long.
const BACKOFF: Duration = Duration::from_millis(250);
/// Bytes of one answer.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Questions that wait for an answer on one stream.
const WAITING_MAX: usize = 256;
/// Transactions that a server gives at once.
const TRANSACTIONS_AT_ONCE: u32 = 16;
/// The most transactions that are fetched for one list.
const TRANSACTIONS_MAX: usize = 100;
/// Two looks at the same thing: about one block.
const PACE: Duration = Duration::from_millis(400);
/// What a state of a whole shard begins with.
const SHARD_STATE_TAG: u32 = 0x9023_afe2;

/// Keys are written with or without padding, in either alphabet.
const KEY_TEXT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where a liteserver is, and the key that proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiteAddress {
    /// Host and port.
    pub socket: String,
    /// Its ed25519 key.
    pub key: [u8; 32],
}

impl std::fmt::Display for LiteAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.socket, STANDARD.encode(self.key))
    }
}

impl LiteAddress {
    /// Reads `liteserver://HOST:PORT/KEY` with the key in base64.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] says what is missing.
    pub fn parse(text: &str) -> Result<Self, ChainError> {
        let wrong = |what: &str| ChainError::Endpoint {
            endpoint: text.to_owned(),
            reason: format!("{what}; write {SCHEME}HOST:PORT/KEY with the key in base64"),
        };
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| wrong("it is not a liteserver's address"))?;
        let (socket, key) = rest.split_once('/').ok_or_else(|| wrong("it has no key"))?;
        let port = socket
            .rsplit_once(':')
            .and_then(|(host, port)| if host.is_empty() { None } else { port.parse::<u16>().ok() });
        port.ok_or_else(|| wrong("it has no port"))?;
        Ok(Self {
            socket: socket.to_owned(),
            key: read_key(key).ok_or_else(|| wrong("its key is not 32 bytes"))?,
        })
    }

    /// Returns the liteservers of a network's global configuration, as TON publishes it.
    ///
    /// # Errors
    /// [`ChainError::Unreadable`] if there is none in it.
    pub fn from_global_config(json: &str) -> Result<Vec<Self>, ChainError> {
        let unreadable = || ChainError::unreadable("a global configuration with `liteservers`");
        let config: serde_json::Value = serde_json::from_str(json).map_err(|_| unreadable())?;
        let list = config["liteservers"].as_array().ok_or_else(unreadable)?;
        let read = |entry: &serde_json::Value| {
            // The address is a signed number of four bytes.
            let ip = i32::try_from(entry["ip"].as_i64()?).ok()?.cast_unsigned();
            let port = u16::try_from(entry["port"].as_u64()?).ok()?;
            let key = read_key(entry["id"]["key"].as_str()?)?;
            Some(Self { socket: format!("{}:{port}", std::net::Ipv4Addr::from(ip)), key })
        };
        let servers: Vec<Self> = list.iter().filter_map(read).collect();
        if servers.is_empty() { Err(unreadable()) } else { Ok(servers) }
    }
}

fn read_key(text: &str) -> Option<[u8; 32]> {
    let text = text.replace('-', "+").replace('_', "/");
    KEY_TEXT.decode(text).ok()?.try_into().ok()
}

/// A client of one liteserver. Connects when first asked, and again when the stream breaks.
#[derive(Clone)]
pub struct Liteserver {
    address: LiteAddress,
    link: Arc<Mutex<Option<Arc<Link>>>>,
}

type PendingAnswers = Arc<StdMutex<HashMap<[u8; 32], oneshot::Sender<Vec<u8>>>>>;

/// One stream to the server.
struct Link {
    writer: Mutex<(adnl::Stream, OwnedWriteHalf)>,
    waiting: PendingAnswers,
    reader: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// What went wrong with one attempt.
enum Trouble {
    /// Nobody took the question.
    Unasked(String),
    /// It may have been taken.
    Unanswered(String),
    /// The server cannot answer now: a block that it has not yet, a limit of its own.
    Later(ChainError),
    /// It will not answer otherwise.
    Final(ChainError),
}

/// An answer, and whether an earlier attempt may have been heard without one.
struct Hearing {
    answer: Result<Answer, ChainError>,
    unanswered: bool,
}

impl Liteserver {
    /// Creates a client of the server at `address`.
    #[must_use]
    pub fn new(address: LiteAddress) -> Self {
        Self { address, link: Arc::default() }
    }

    async fn ask(&self, question: &Question) -> Hearing {
        let bytes = question.write();
        let began = Instant::now();
        let (mut unanswered, mut backoff, mut attempt) = (false, BACKOFF, 1);
        loop {
            let error = match self.attempt(&bytes).await {
                Ok(answer) => return Hearing { answer: Ok(answer), unanswered },
                Err(Trouble::Final(error)) => return Hearing { answer: Err(error), unanswered },
                // A server that failed may have passed a message on. (`LE-6`)
                Err(Trouble::Later(error)) => {
                    unanswered = true;
                    error
                }
                Err(Trouble::Unasked(reason)) => self.unreachable(reason),
                Err(Trouble::Unanswered(reason)) => {
                    unanswered = true;
                    self.unreachable(reason)
                }
            };
            if attempt >= ATTEMPTS || began.elapsed() + backoff >= PATIENCE {
                return Hearing { answer: Err(error), unanswered };
            }
            sleep(backoff).await;
            backoff *= 2;
            attempt += 1;
        }
    }

    async fn attempt(&self, question: &[u8]) -> Result<Answer, Trouble> {
        let link = self.link().await.map_err(Trouble::Unasked)?;
        let lost = match timeout(ANSWER_TIMEOUT, link.ask(question)).await {
            Ok(Ok(bytes)) => return judge(&bytes),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()),
        };
        // A stream that lost an answer is not used again.
        *self.link.lock().await = None;
        Err(Trouble::Unanswered(lost))
    }

    async fn link(&self) -> Result<Arc<Link>, String> {
        let mut slot = self.link.lock().await;
        if let Some(link) = slot.as_ref().filter(|link| !link.reader.is_finished()) {
            return Ok(Arc::clone(link));
        }
        let connecting = timeout(CONNECT_TIMEOUT, Link::connect(&self.address));
        let link = connecting
            .await
            .map_err(|_| format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()))?
            .map_err(|error| error.to_string())?;
        let link = Arc::new(link);
        *slot = Some(Arc::clone(&link));
        Ok(link)
    }

    fn unreachable(&self, reason: String) -> ChainError {
        ChainError::Unreachable { endpoint: format!("{SCHEME}{}", self.address.socket), reason }
    }

    /// Returns the newest block and its time in unix seconds.
    async fn newest(&self) -> Result<(Block, u32), ChainError> {
        let answer = self.ask(&Question::MasterchainExt).await.answer?;
        let Answer::MasterchainExt { last, last_time_s, .. } = answer else {
            return Err(ChainError::unreadable("the newest block of a liteserver"));
        };
        Ok((last, last_time_s))
    }

    async fn read_account(&self, address: Address) -> Result<AccountReading, ChainError> {
        let (block, time_s) = self.newest().await?;
        let answer = self.ask(&Question::Account { block, account: address }).await.answer?;
        let Answer::Account { proof, state, .. } = answer else {
            return Err(ChainError::unreadable("an account of a liteserver"));
        };
        AccountReading::read(address, time_s, &proof, &state)
    }

    async fn read_transactions(
        &self,
        account: Address,
        limit: usize,
    ) -> Result<Vec<Transaction>, ChainError> {
        let limit = limit.min(TRANSACTIONS_MAX);
        let (mut lt, mut hash) = self.read_account(account).await?.last;
        let mut list: Vec<Transaction> = Vec::new();
        while lt != 0 && list.len() < limit {
            let left = u32::try_from(limit - list.len()).unwrap_or(TRANSACTIONS_AT_ONCE);
            let count = left.min(TRANSACTIONS_AT_ONCE);
            let question = Question::Transactions { count, account, lt, hash: hash.0 };
            let Answer::Transactions { transactions, .. } = self.ask(&question).await.answer? else {
                return Err(ChainError::unreadable("transactions of a liteserver"));
            };
            let before = list.len();
            for cell in roots(&transactions)? {
                // Each names the one before it by hash, so a list cannot be made up from somewhere in between.
                if *cell.repr_hash() != hash {
                    return Err(ChainError::unreadable("transactions that do not follow each other"));
                }
                (lt, hash) = Transaction::before(&cell)?;
                list.push(Transaction::read(&cell)?);
            }
            if list.len() == before {
                break;
            }
        }
        list.truncate(limit);
        Ok(list)
    }
}

fn judge(bytes: &[u8]) -> Result<Answer, Trouble> {
    let answer = Answer::read(bytes)
        .ok_or_else(|| Trouble::Final(ChainError::unreadable("the answer of a liteserver")))?;
    let Answer::Error { code, message } = answer else { return Ok(answer) };
    let refusal = ChainError::refusal(&message);
    // What a contract refuses once it refuses again.
    if matches!(refusal, ChainError::Refused { exit_code: Some(_), .. }) {
        return Err(Trouble::Final(refusal));
    }
    tracing::debug!(code, "a liteserver does not answer: {refusal}");
    Err(Trouble::Later(refusal))
}

impl Link {
    async fn connect(address: &LiteAddress) -> io::Result<Self> {
        let secrets = Secrets::random();
        let hello = adnl::greet(&address.key, &secrets).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "the server's key is no ed25519 key")
        })?;
        let socket = TcpStream::connect(&address.socket).await?;
        socket.set_nodelay(true)?;
        let (mut read, mut write) = socket.into_split();
        tokio::io::AsyncWriteExt::write_all(&mut write, &hello).await?;
        let mut stream = secrets.downstream();
        // Only who opened the first packet can write this frame: the server has the key of its address.
        adnl::read_frame(&mut stream, &mut read, ANSWER_BYTES_MAX).await?;
        let waiting = PendingAnswers::default();
        let reader = tokio::spawn(hand_out(stream, read, Arc::clone(&waiting)));
        Ok(Self { writer: Mutex::new((secrets.upstream(), write)), waiting, reader })
    }

    async fn ask(&self, question: &[u8]) -> io::Result<Vec<u8>> {
        let id: [u8; 32] = rand::random();
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.retain(|_, answer| !answer.is_closed());
            if waiting.len() >= WAITING_MAX {
                return Err(io::Error::other("too many questions wait for this server"));
            }
            waiting.insert(id, answer);
        }
        let frame = Frame::Query { id, question: question.to_vec() }.write();
        {
            let mut writer = self.writer.lock().await;
            let (stream, socket) = &mut *writer;
            adnl::write_frame(stream, socket, &frame).await?;
        }
        answered.await.map_err(|_| io::ErrorKind::ConnectionAborted.into())
    }
}

/// Reads answers and gives each to who waits for it, until the stream ends; then nobody waits any more.
async fn hand_out(mut stream: adnl::Stream, mut socket: OwnedReadHalf, waiting: PendingAnswers) {
    while let Ok(payload) = adnl::read_frame(&mut stream, &mut socket, ANSWER_BYTES_MAX).await {
        if let Some(Frame::Answer { id, answer }) = Frame::read(&payload)
            && let Some(asker) = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
        {
            // Who gave up does not listen.
            let _ = asker.send(answer);
        }
    }
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// What a server shows of an account.
struct AccountReading {
    account: Account,
    network_id: i32,
    /// Logical time and hash of the newest transaction; zero for none.
    last: (u64, HashBytes),
}

impl AccountReading {
    /// Reads an account from the part of the shard's state that names it.
    fn read(address: Address, time_s: u32, proof: &[u8], state: &[u8]) -> Result<Self, ChainError> {
        let unreadable =
            |error| ChainError::unreadable(format!("the shard's state of a liteserver: {error}"));
        // The head of the block, then the state that it leads to.
        let proofs = roots(proof)?;
        let root =
            proofs.get(1).ok_or_else(|| ChainError::unreadable("an account without its shard's state"))?;
        let shard = root.parse_exotic::<MerkleProof>().map_err(unreadable)?.cell;
        let shard = Cell::virtualize(shard);
        let (network_id, entry) = named_in(&shard, address).map_err(unreadable)?;
        let mut account =
            Account { balance: Default::default(), contract: None, last_lt: 0, chain_time_s: time_s };
        let Some(entry) = entry else {
            return Ok(Self { account, network_id, last: (0, HashBytes::ZERO) });
        };
        let state = Boc::decode(state).map_err(|_| ChainError::unreadable("an account's state"))?;
        if state.repr_hash() != entry.account.repr_hash() {
            return Err(ChainError::unreadable(
                "an account's state: it is not the one that the shard's state names",
            ));
        }
        account.last_lt = entry.last_lt;
        if let OptionalAccount(Some(raw)) = state.parse().map_err(unreadable)? {
            account.balance = nano(raw.balance.tokens.into_inner())?;
            if let AccountState::Active(state) = raw.state {
                let (code, data) = (state.code.unwrap_or_default(), state.data.unwrap_or_default());
                account.contract = Some(Contract { code, data });
            }
        }
        Ok(Self { account, network_id, last: (entry.last_lt, entry.last_hash) })
    }
}

/// An account in a shard's state. A proof has no more of the account itself than its hash.
struct Entry {
    account: Cell,
    last_hash: HashBytes,
    last_lt: u64,
}

impl<'a> Load<'a> for Entry {
    fn load_from(slice: &mut CellSlice<'a>) -> Result<Self, Error> {
        Ok(Self {
            account: slice.load_reference_cloned()?,
            last_hash: slice.load_u256()?,
            last_lt: slice.load_u64()?,
        })
    }
}

/// Returns the network of a shard's state, and what it says of an account. Reads no more than a
/// proof has: the head, and the way to the account.
fn named_in(shard: &Cell, address: Address) -> Result<(i32, Option<Entry>), Error> {
    let mut head = shard.as_slice()?;
    if head.load_u32()? != SHARD_STATE_TAG {
        return Err(Error::InvalidTag);
    }
    let network_id = head.load_u32()?.cast_signed();
    let accounts = shard.reference_cloned(1).ok_or(Error::CellUnderflow)?;
    let accounts = AugDict::<HashBytes, DepthBalanceInfo, Entry>::load_from(&mut accounts.as_slice()?)?;
    let entry = accounts.get(HashBytes(address.hash))?;
    Ok((network_id, entry.map(|(_, entry)| entry)))
}

/// Returns the roots of a bag of cells, in their order.
fn roots(boc: &[u8]) -> Result<Vec<Cell>, ChainError> {
    let unreadable = |_| ChainError::unreadable("a bag of cells of a liteserver");
    let options = Options { min_roots: None, max_roots: Some(TRANSACTIONS_MAX) };
    let header = BocHeader::decode(boc, &options).map_err(unreadable)?;
    let cells = header.finalize(Cell::empty_context()).map_err(unreadable)?;
    Ok(header.roots().iter().filter_map(|root| cells.get(*root)).collect())
}

impl Chain for Liteserver {
    fn account(&self, address: Address) -> Reply<'_, Account> {
        async move { Ok(self.read_account(address).await?.account) }.boxed()
    }

    fn send(&self, message: Vec<u8>) -> Reply<'_, ()> {
        async move {
            let Hearing { answer, unanswered } = self.ask(&Question::Send { message }).await;
            match answer {
                Ok(Answer::Sent) => Ok(()),
                Ok(_) => Err(ChainError::unreadable("what a liteserver says to a message")),
                // An earlier attempt may have got through: what the ledger shows will tell.
                Err(ChainError::Refused { exit_code: Some(_), .. }) if unanswered => Ok(()),
                Err(error) => Err(error),
            }
        }
        .boxed()
    }

    fn transactions(&self, address: Address, limit: usize) -> Reply<'_, Vec<Transaction>> {
        self.read_transactions(address, limit).boxed()
    }

    fn network_id(&self) -> Reply<'_, Option<i32>> {
        // Every shard's state names its network; any account leads to one.
        async move { Ok(Some(self.read_account(Address::basechain([0; 32])).await?.network_id)) }.boxed()
    }

    fn name(&self) -> String {
        format!("{SCHEME}{}", self.address.socket)
    }

    fn pace(&self) -> Duration {
        PACE
    }

    fn with_priority(&self, _priority: Priority) -> Arc<dyn Chain> {
        // A liteserver says itself when it is asked too often.
        Arc::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_address_is_read_with_any_writing_of_its_key() {
        let address = LiteAddress { socket: "127.0.0.1:4191".into(), key: [0xfb; 32] };
        let text = address.to_string();
        assert_eq!(LiteAddress::parse(&text), Ok(address.clone()));
        let url_safe = text.replacen(
            &STANDARD.encode([0xfb; 32]),
            &STANDARD.encode([0xfb; 32]).replace('+', "-").replace('/', "_"),
            1,
        );
        assert_eq!(LiteAddress::parse(url_safe.trim_end_matches('=')), Ok(address));
    }

    #[test]
    fn an_address_without_port_or_key_is_refused_with_a_hint() {
        for text in [
            "http://a:1/x",
            "liteserver://a:1",
            "liteserver://a/AAAA",
            "liteserver://:1/AAAA",
            "liteserver://a:1/AAAA",
        ] {
            let error = LiteAddress::parse(text).unwrap_err();
            assert!(
                matches!(error, ChainError::Endpoint { .. }) && error.to_string().contains("HOST:PORT/KEY"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_servers_of_a_global_configuration_are_found() {
        let key = STANDARD.encode([7; 32]);
        let json = format!(
            r#"{{"@type":"config.global","liteservers":[{{"ip":-2018135749,"port":53312,"id":{{"@type":"pub.ed25519","key":"{key}"}}}},{{"ip":"x"}}]}}"#
        );
        let servers = LiteAddress::from_global_config(&json).unwrap();
        assert_eq!(servers, [LiteAddress { socket: "135.181.177.59:53312".into(), key: [7; 32] }]);
        for garbage in ["", "[]", r#"{"liteservers":[]}"#, r#"{"liteservers":[{}]}"#] {
            assert!(LiteAddress::from_global_config(garbage).is_err(), "{garbage}");
        }
    }

    #[test]
    fn garbage_in_place_of_an_account_is_an_error() {
        let address = Address::basechain([1; 32]);
        let empty = Boc::encode(Cell::default());
        let two = Boc::encode_pair((Cell::default(), Cell::default()));
        for proof in [&[][..], &[0xb5; 40], &empty, &two] {
            assert!(AccountReading::read(address, 0, proof, &empty).is_err());
        }
    }
}
