//! A ledger behind a liteserver: full nodes answer this way, over an encrypted TCP stream, without an HTTP service between.
//!
//! Answers are believed as far as they agree with themselves: an account's state must have the hash that the shard's state
//! names for it. That the shard's state follows from a block that validators signed is *not* checked, so ask more than one
//! server ([`super::endpoints`]). The history of an account that was deleted is not found this way: what names an account's
//! last transaction is the account.

mod address;
pub(super) mod adnl;
pub(super) mod answer;
pub(super) mod frame;
mod link;
mod proof;
pub(super) mod question;
pub(super) mod tl;

use std::sync::Arc;
use std::time::Duration;

use bombyx_protocol::channel::terms::Address;
use futures::FutureExt as _;
use tokio::sync::Mutex;
use tokio::time::timeout;

use self::answer::Answer;
use self::link::Link;
use self::proof::{AccountReading, roots};
use self::question::Question;
use self::tl::Block;
use super::chain::{Account, Chain, ChainError, Priority, Reply, Transaction};
use super::retry::{Attempt, Outcome, Retry};

pub use self::address::LiteAddress;
pub(super) use self::address::SCHEME;

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
/// Transactions that a server gives at once.
const TRANSACTIONS_AT_ONCE: u32 = 16;
/// The most transactions that are fetched for one list.
const TRANSACTIONS_MAX: usize = proof::ROOTS_MAX;
/// Two looks at the same thing: about one block.
const PACE: Duration = Duration::from_millis(400);

/// A client of one liteserver. Connects when first asked, and again when the stream breaks.
#[derive(Clone)]
pub struct Liteserver {
    address: LiteAddress,
    link: Arc<Mutex<Option<Arc<Link>>>>,
}

impl Liteserver {
    /// Creates a client of the server at `address`.
    #[must_use]
    pub fn new(address: LiteAddress) -> Self {
        Self { address, link: Arc::default() }
    }

    async fn ask(&self, question: &Question) -> Outcome<Answer> {
        let bytes = question.write();
        let retry = Retry { attempts: ATTEMPTS, backoff: BACKOFF, patience: PATIENCE };
        retry.run(|| self.attempt(&bytes)).await
    }

    async fn attempt(&self, question: &[u8]) -> Attempt<Answer> {
        let again = |reason, was_heard| Attempt::Again { error: self.unreachable(reason), was_heard };
        let link = match self.link().await {
            Ok(link) => link,
            Err(reason) => return again(reason, false),
        };
        let lost = match timeout(ANSWER_TIMEOUT, link.ask(question)).await {
            Ok(Ok(bytes)) => return judge(&bytes),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()),
        };
        // A stream that lost an answer is not used again.
        *self.link.lock().await = None;
        again(lost, true)
    }

    async fn link(&self) -> Result<Arc<Link>, String> {
        let mut slot = self.link.lock().await;
        if let Some(link) = slot.as_ref().filter(|link| link.is_open()) {
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

fn judge(bytes: &[u8]) -> Attempt<Answer> {
    let Some(answer) = Answer::read(bytes) else {
        return Attempt::Final(ChainError::unreadable("the answer of a liteserver"));
    };
    let Answer::Error { code, message } = answer else { return Attempt::Done(answer) };
    let refusal = ChainError::refusal(&message);
    // What a contract refuses once it refuses again.
    if refusal.exit_code().is_some() {
        return Attempt::Final(refusal);
    }
    tracing::debug!(code, "a liteserver does not answer: {refusal}");
    // It cannot answer now: a block that it has not yet, a limit of its own. It may have passed a message on.
    Attempt::Again { error: refusal, was_heard: true }
}

impl Chain for Liteserver {
    fn account(&self, address: Address) -> Reply<'_, Account> {
        async move { Ok(self.read_account(address).await?.account) }.boxed()
    }

    fn send(&self, message: Vec<u8>) -> Reply<'_, ()> {
        async move {
            let Outcome { answer, unanswered } = self.ask(&Question::Send { message }).await;
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
