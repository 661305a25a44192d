//! The devnet's other face: the lite interface over ADNL, as a full node serves it to wallets.
//!
//! Answers come in the form that real servers give them, so that one client reads both. What they cannot have is what the
//! devnet has not: blocks that validators signed. A shard's state here names the one account that was asked for.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tycho_types::boc::Boc;
use tycho_types::boc::ser::BocHeader;
use tycho_types::cell::{Cell, CellBuilder, CellFamily as _, HashBytes, Lazy, Load as _, Store as _};
use tycho_types::error::Error;
use tycho_types::merkle::{FilterAction, MerkleFilter, MerkleProof};
use tycho_types::models::{
    BlockInfo, DepthBalanceInfo, ShardAccount, ShardAccounts, ShardIdent, ShardStateUnsplit,
};
use tycho_vm::Stack;

use super::backend::Devnet;
use super::chain::State;
use super::config::DEVNET_ID;
use crate::ledger::chain::ChainError;
use crate::ledger::liteserver::adnl::{self, HANDSHAKE_BYTES};
use crate::ledger::liteserver::answer::{Answer, MODE_RESULT};
use crate::ledger::liteserver::frame::Frame;
use crate::ledger::liteserver::question::Question;
use crate::ledger::liteserver::tl::Block;

/// Bytes of one question: the largest message, with room for the rest.
const QUESTION_BYTES_MAX: usize = 128 * 1024;
/// Streams at the same time.
const STREAMS_MAX: usize = 256;
/// Until a client has sent its first packet.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Until a client asks again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Transactions in one answer, as real servers have it.
const TRANSACTIONS_MAX: usize = 16;
/// Values on the stack of a get-method.
const STACK_MAX: usize = 64;
/// What the head of a block begins with.
const BLOCK_TAG: u32 = 0x11ef_55aa;
/// Codes of errors, as real servers use them.
const ERROR: i32 = 0;
const NO_SUCH_TRANSACTION: i32 = 651;

/// Serves the devnet until `stop` resolves. Clients know the server by `key`.
pub async fn serve(devnet: Devnet, listener: TcpListener, key: SigningKey, stop: impl Future<Output = ()>) {
    let room = Arc::new(Semaphore::new(STREAMS_MAX));
    let key = Arc::new(key);
    let mut streams = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => return,
            _ = streams.join_next(), if !streams.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((socket, _)) = accepted else {
            // Out of sockets, most likely: some must close before the next can be taken.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
        let (devnet, key) = (devnet.clone(), Arc::clone(&key));
        streams.spawn(async move {
            if let Err(error) = attend(&devnet, &key, socket).await {
                tracing::debug!(%error, "a lite client's stream has ended");
            }
            drop(permit);
        });
    }
}

/// Answers one client, question by question, until it leaves.
async fn attend(devnet: &Devnet, key: &SigningKey, mut socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut hello = [0; HANDSHAKE_BYTES];
    timeout(HANDSHAKE_TIMEOUT, socket.read_exact(&mut hello)).await??;
    let Some(secrets) = adnl::welcome(key, &hello) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a first packet that is not for this server"));
    };
    let (mut read, mut write) = (secrets.upstream(), secrets.downstream());
    adnl::write_frame(&mut write, &mut socket, &[]).await?;
    loop {
        let frame = adnl::read_frame(&mut read, &mut socket, QUESTION_BYTES_MAX);
        let payload = timeout(IDLE_TIMEOUT, frame).await??;
        let reply = match Frame::read(&payload) {
            Some(Frame::Query { id, question }) => {
                let answer = answer(devnet, &question).write();
                Frame::Answer { id, answer }
            }
            Some(Frame::Ping(number)) => Frame::Pong(number),
            Some(Frame::Answer { .. } | Frame::Pong(_)) | None => continue,
        };
        adnl::write_frame(&mut write, &mut socket, &reply.write()).await?;
    }
}

fn answer(devnet: &Devnet, question: &[u8]) -> Answer {
    let refused = |code: i32, message: String| Answer::Error { code, message };
    let Some(question) = Question::read(question) else {
        return refused(ERROR, "the devnet's lite interface does not know this question".into());
    };
    match tell(&mut devnet.state(), question) {
        Ok(answer) => answer,
        // Clients find the exit code in these words.
        Err(Failure::Chain(ChainError::Refused { exit_code: Some(code), .. })) => {
            let words = "cannot apply external message to current state : External message was not accepted";
            refused(ERROR, format!("{words}\nexitcode={code}, steps=0, gas_used=0"))
        }
        Err(Failure::Chain(error)) => refused(ERROR, error.to_string()),
        Err(Failure::Cell(error)) => refused(ERROR, format!("a cell cannot be read: {error}")),
        Err(Failure::NoTransaction) => refused(NO_SUCH_TRANSACTION, "there is no such transaction".into()),
    }
}

/// Why a question has no answer.
enum Failure {
    Chain(ChainError),
    Cell(Error),
    NoTransaction,
}

impl From<ChainError> for Failure {
    fn from(error: ChainError) -> Self {
        Self::Chain(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Cell(error)
    }
}

fn tell(state: &mut State, question: Question) -> Result<Answer, Failure> {
    let now_s = state.now_s();
    Ok(match question {
        Question::Masterchain => Answer::Masterchain { last: block(-1, state.seqno()) },
        Question::MasterchainExt => {
            Answer::MasterchainExt { last: block(-1, state.seqno()), last_time_s: now_s, now_s }
        }
        Question::Time => Answer::Time { now_s },
        Question::Version => Answer::Version { now_s },
        Question::Header { block, mode } => {
            let proof = Boc::encode(head(state, block.workchain, block.seqno)?);
            Answer::Header { block, mode, proof }
        }
        Question::LookUp { workchain, seqno } => {
            let seqno = seqno.min(state.seqno());
            let proof = Boc::encode(head(state, workchain, seqno)?);
            Answer::Header { block: block(workchain, seqno), mode: 0, proof }
        }
        Question::Send { message } => {
            state.deliver(&message)?;
            Answer::Sent
        }
        Question::Account { block: asked, account } => {
            let entry = state.shard_account(account);
            let proof = (head(state, 0, state.seqno())?, shard_state(state, account.hash, entry)?);
            Answer::Account {
                block: asked,
                shard_block: block(0, state.seqno()),
                proof: Boc::encode_pair(proof),
                state: entry.map(|entry| Boc::encode(entry.account.inner())).unwrap_or_default(),
            }
        }
        Question::RunMethod { mode, block: asked, account, method, stack } => {
            let method = u32::try_from(method).map_err(|_| Error::IntOverflow)?;
            let stack = Boc::decode(stack).map_err(|_| Error::InvalidCell)?;
            let stack = Stack::load_from(&mut stack.as_slice()?)?;
            if stack.items.len() > STACK_MAX {
                return Err(Error::IntOverflow.into());
            }
            let answer = state.get_method(account, method, stack.items)?;
            // The code that real servers give for an account without code.
            let (exit_code, items) =
                answer.map_or((-256, None), |answer| (answer.exit_code, Some(answer.stack)));
            let stack = match items.filter(|_| mode & MODE_RESULT != 0) {
                Some(items) => {
                    let mut builder = CellBuilder::new();
                    Stack { items }.store_into(&mut builder, Cell::empty_context())?;
                    Some(Boc::encode(builder.build()?))
                }
                None => None,
            };
            Answer::RunMethod { block: asked, shard_block: block(0, state.seqno()), exit_code, stack }
        }
        Question::Transactions { count, account, lt, hash } => {
            let count = usize::try_from(count).unwrap_or(usize::MAX).min(TRANSACTIONS_MAX);
            let from = state.history.of(account).skip_while(|record| record.lt != lt || record.hash != hash);
            let records: Vec<_> = from.take(count).collect();
            if records.is_empty() {
                return Err(Failure::NoTransaction);
            }
            let blocks = records.iter().map(|record| block(0, record.block)).collect();
            let mut bag: BocHeader<'_> = BocHeader::with_capacity(records.len());
            for record in &records {
                bag.add_root(record.cell.as_ref());
            }
            let mut transactions = Vec::new();
            bag.encode(&mut transactions);
            Answer::Transactions { blocks, transactions }
        }
    })
}

/// Returns the name of a block; its hashes only tell blocks apart.
fn block(workchain: i32, seqno: u32) -> Block {
    let hash = Sha256::new().chain_update(workchain.to_le_bytes()).chain_update(seqno.to_le_bytes());
    Block::whole(workchain, seqno, hash.finalize().into())
}

/// Returns a block's head, without the rest of the block.
fn head(state: &State, workchain: i32, seqno: u32) -> Result<Cell, Error> {
    let shard = if workchain == -1 { ShardIdent::MASTERCHAIN } else { ShardIdent::BASECHAIN };
    let info = BlockInfo {
        seqno,
        shard,
        gen_utime: state.now_s(),
        start_lt: state.lt(),
        end_lt: state.lt(),
        prev_ref: previous(seqno)?,
        ..BlockInfo::default()
    };
    let mut root = CellBuilder::new();
    root.store_u32(BLOCK_TAG)?;
    root.store_u32(DEVNET_ID.cast_unsigned())?;
    root.store_reference(CellBuilder::build_from(&info)?)?;
    for _ in 0..3 {
        root.store_reference(Cell::empty_cell())?;
    }
    let root = root.build()?;
    CellBuilder::build_from(MerkleProof::create(root.as_ref(), AllBut(HashBytes::ZERO)).build()?)
}

/// Returns the reference to the block before: its last logical time, number and hashes.
fn previous(seqno: u32) -> Result<Cell, Error> {
    let mut cell = CellBuilder::new();
    cell.store_u64(0)?;
    cell.store_u32(seqno.saturating_sub(1))?;
    cell.store_zeros(512)?;
    cell.build()
}

/// Makes a shard's state with one account in it at most, pruned at the account.
fn shard_state(state: &State, account: [u8; 32], entry: Option<&ShardAccount>) -> Result<Cell, Error> {
    let mut accounts = ShardAccounts::new();
    let mut pruned = HashBytes::ZERO;
    if let Some(entry) = entry {
        let balance = entry.load_account()?.map(|account| account.balance).unwrap_or_default();
        accounts.set(HashBytes(account), DepthBalanceInfo { split_depth: 0, balance }, entry)?;
        pruned = *entry.account.inner().repr_hash();
    }
    let shard = ShardStateUnsplit {
        global_id: DEVNET_ID,
        shard_ident: ShardIdent::BASECHAIN,
        seqno: state.seqno(),
        gen_utime: state.now_s(),
        gen_lt: state.lt(),
        accounts: Lazy::new(&accounts)?,
        ..ShardStateUnsplit::default()
    };
    let root = CellBuilder::build_from(&shard)?;
    CellBuilder::build_from(MerkleProof::create(root.as_ref(), AllBut(pruned)).build()?)
}

/// Keeps every cell but one, which is replaced by its hash.
struct AllBut(HashBytes);

impl MerkleFilter for AllBut {
    fn check(&self, cell: &HashBytes) -> FilterAction {
        if *cell == self.0 { FilterAction::Skip } else { FilterAction::Include }
    }
}
