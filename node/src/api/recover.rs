//! Channels of a home's client key, found again on the ledger when the store that knew them is lost. (`CH-52`)

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::record::{PayerRecord, Record};
use bombyx_protocol::channel::salt;
use bombyx_protocol::ident::{Identity, NodeId};
use bombyx_protocol::io::PersistId;
use bombyx_protocol::market::bid::Payee;
use ed25519_dalek::SigningKey;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::belongings;
use crate::error::NodeError;
use crate::home::STORE;
use crate::home::keys::Keys;
use crate::ledger::{ChainError, ChannelAccount, Ledger, LedgerError, deposited_to};
use crate::role::Role;
use crate::status::payee::PayeeCard;
use crate::store::{Store, StoreError};

/// The wallet's newest transactions that are looked through: what one request to every kind of endpoint brings.
const HISTORY_MAX: usize = 100;
/// Accounts that are looked up side by side.
const LOOKS_AT_A_TIME: usize = 8;

/// A channel that stands on the ledger.
#[derive(Debug, Clone)]
pub(crate) struct FoundChannel {
    /// As the ledger shows it; made from terms with this home's client key and wallet.
    pub state: ChannelAccount,
    /// The node that is paid; [`NodeId::UNKNOWN`] where only the key in the terms is known.
    pub provider: NodeId,
}

/// What a search has brought.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    /// Every channel that stands, by account.
    pub found: Vec<FoundChannel>,
    /// Whether the wallet may have older transactions than those that were looked through.
    pub is_cut: bool,
}

impl FoundChannel {
    /// Returns its account.
    #[must_use]
    pub(crate) fn account(&self) -> ChannelId {
        self.state.terms.id()
    }

    /// Returns what is written of it. The promise starts at nothing, and a restored record signs
    /// none before its provider has shown the newest voucher: what the ledger shows as settled
    /// raises no promise.
    fn record(&self) -> Record {
        Record::Payer(PayerRecord {
            terms: self.state.terms.clone().into(),
            provider: self.provider,
            deposit: self.state.deposit,
            locked: self.state.deposit,
            epoch: Some(self.state.epoch),
            cumulative: Nano::ZERO,
            closing: self.state.close_at_s != 0,
            gone: false,
        })
    }
}

/// Looks for channels of this client key: where the wallet has sent deposits to, at what the records name, and at every account
/// that the key can have with these providers. With those of the records only where the wallet's history is cut: they
/// are a thousand looks each. (`CH-28`, `CH-52`)
///
/// # Errors
/// [`NodeError::Ledger`] when the ledger does not answer: then nothing is known to be missing.
pub(crate) async fn search(
    ledger: &Ledger,
    keys: &Keys,
    records: &[Record],
    cards: &[PayeeCard],
    challenge_s: u32,
) -> Result<Search, NodeError> {
    let none = LedgerError::NoWallet { operation: "look for channels" };
    let wallet = ledger.wallet_address().ok_or(none)?;
    let history = ledger.transactions(wallet, HISTORY_MAX).await?;
    let is_cut = history.len() >= HISTORY_MAX;
    let mut accounts: BTreeSet<ChannelId> =
        history.iter().flat_map(|transaction| &transaction.outgoing).filter_map(deposited_to).collect();
    let mut names: BTreeMap<[u8; 32], NodeId> = BTreeMap::new();
    let mut payees: Vec<(Payee, u32)> = Vec::new();
    for record in records {
        let Record::Payer(paying) = record else { continue };
        accounts.insert(paying.terms.id());
        if paying.provider != NodeId::UNKNOWN {
            names.insert(paying.terms.provider_key, paying.provider);
        }
        let payee = Payee {
            network_id: paying.terms.network_id,
            key: paying.terms.provider_key,
            address: paying.terms.provider,
            challenge_s: paying.terms.challenge_s,
        };
        if is_cut && !payees.contains(&(payee, payee.challenge_s)) {
            payees.push((payee, payee.challenge_s));
        }
    }
    for card in cards {
        names.insert(card.payee.key, card.provider);
        payees.push((card.payee, challenge_s));
    }
    for (payee, challenge_s) in payees {
        let candidates = salt::candidates(*keys.channel, wallet, payee, challenge_s);
        accounts.extend(candidates.map(|terms| terms.id()));
    }
    let client_key = SigningKey::from_bytes(&keys.channel).verifying_key().to_bytes();
    let own = |state: ChannelAccount| {
        let terms = &state.terms;
        let is_own = terms.client_key == client_key && terms.client == wallet;
        (is_own && state.epoch != 0 && terms.check(ledger.network_id()).is_ok()).then_some(state)
    };
    let looks = accounts.into_iter().map(|account| look(ledger, account));
    let seen: Vec<Option<ChannelAccount>> =
        stream::iter(looks).buffered(LOOKS_AT_A_TIME).try_collect().await?;
    let found = seen.into_iter().flatten().filter_map(own).map(|state| FoundChannel {
        provider: names.get(&state.terms.provider_key).copied().unwrap_or(NodeId::UNKNOWN),
        state,
    });
    Ok(Search { found: found.collect(), is_cut })
}

/// Returns a channel as the ledger shows it; nothing where none is, or where something else lives.
async fn look(ledger: &Ledger, account: ChannelId) -> Result<Option<ChannelAccount>, LedgerError> {
    match ledger.channel(account.address()).await {
        Err(LedgerError::Chain(ChainError::Unreadable { .. })) => Ok(None),
        seen => seen,
    }
}

/// The store of a home as it is when a search begins.
pub(crate) enum Shelf {
    /// It is whole.
    Kept(Store, Vec<Record>),
    /// It is lost: why.
    Lost(StoreError),
}

impl Shelf {
    /// Opens the store of these keys.
    ///
    /// # Errors
    /// [`NodeError::Store`] for a store that another process uses, or that cannot be read for a reason that no new one mends.
    pub(crate) fn open(home: &Path, keys: &Keys) -> Result<Self, NodeError> {
        match Store::open_kept(&home.join(STORE), owner(keys)) {
            Ok((store, records)) => Ok(Self::Kept(store, records)),
            Err(
                lost @ (StoreError::Lost { .. } | StoreError::Damaged { .. } | StoreError::OtherNode { .. }),
            ) => Ok(Self::Lost(lost)),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns what it knows.
    #[must_use]
    pub(crate) fn records(&self) -> &[Record] {
        match self {
            Self::Kept(_, records) => records,
            Self::Lost(_) => &[],
        }
    }

    /// Has every found channel in a store that is whole: the same one, or a new one in the place of what is set aside. Returns
    /// it with its records, and where the old file is.
    ///
    /// # Errors
    /// [`NodeError::Store`] and [`NodeError::Io`]; the old file is then in its place or beside it.
    pub(crate) async fn adopt(
        self,
        home: &Path,
        keys: &Keys,
        found: &[FoundChannel],
    ) -> Result<(Book, Option<PathBuf>), NodeError> {
        let path = home.join(STORE);
        match self {
            Self::Kept(store, records) => {
                let mut book = Book { store, records, next: 0 };
                book.add(found).await?;
                Ok((book, None))
            }
            // Made whole beside its place: a crash leaves the loss to be seen, and not an empty store.
            Self::Lost(_) => {
                let partial = home.join(format!(".{STORE}.partial"));
                if partial.exists() {
                    std::fs::remove_file(&partial)
                        .map_err(|source| belongings::io("delete", &partial, source))?;
                }
                let (store, records) = Store::open(&partial, owner(keys))?;
                let mut book = Book { store, records, next: 0 };
                book.add(found).await?;
                book.store.close()?;
                let old = belongings::set_aside(&path)?;
                std::fs::rename(&partial, &path)
                    .map_err(|source| belongings::io("rename", &partial, source))?;
                let (store, records) = Store::open_kept(&path, owner(keys))?;
                Ok((Book { store, records, next: 0 }, old))
            }
        }
    }
}

fn owner(keys: &Keys) -> NodeId {
    Identity::from_seed(&keys.identity).id()
}

/// A store with its records, each on disk when it is written.
pub(crate) struct Book {
    store: Store,
    records: Vec<Record>,
    next: u64,
}

impl Book {
    async fn add(&mut self, found: &[FoundChannel]) -> Result<(), NodeError> {
        for one in found {
            let known = self.paying(&one.account()).cloned();
            let is_named_now = one.provider != NodeId::UNKNOWN;
            match known {
                None => self.write(one.record()).await?,
                Some(known) if known.provider == NodeId::UNKNOWN && is_named_now => {
                    self.write(Record::Payer(PayerRecord { provider: one.provider, ..known })).await?;
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Returns what it knows of a channel that this node pays on.
    #[must_use]
    pub(crate) fn paying(&self, account: &ChannelId) -> Option<&PayerRecord> {
        let mut paying = self.records.iter().filter_map(|record| match record {
            Record::Payer(paying) => Some(paying),
            Record::Earner(_)
            | Record::ChannelGone { .. }
            | Record::Receipt { .. }
            | Record::Reputation(_) => None,
        });
        paying.find(|paying| paying.terms.id() == *account)
    }

    /// Writes a record and waits until it is on disk.
    ///
    /// # Errors
    /// [`NodeError::Stopped`] when the disk has failed.
    pub(crate) async fn write(&mut self, record: Record) -> Result<(), NodeError> {
        self.next += 1;
        let id = PersistId(self.next);
        self.records.retain(|known| known.key() != record.key());
        self.records.push(record.clone());
        self.store.write(Role::Client, id, record).await;
        let mut durable = self.store.durable();
        let written = durable.wait_for(|durable| *durable.get(Role::Client) >= id).await;
        written.map(drop).map_err(|_| NodeError::Stopped("store"))
    }

    /// Closes the store.
    ///
    /// # Errors
    /// What made its writing end.
    pub(crate) fn close(self) -> Result<(), NodeError> {
        Ok(self.store.close()?)
    }
}
