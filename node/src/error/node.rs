//! Every way in which a verb of `bombyx` can fail, with the exit code that belongs to it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bombyx_gpu::catalog::CatalogError;
use bombyx_gpu::fetch::FetchError;
use bombyx_gpu::load::LoadError;
use bombyx_gpu::manifest::ManifestError;
use bombyx_gpu::model::ModelError;
use bombyx_gpu::runtime::RuntimeError;
use bombyx_protocol::io::Failure;
use bombyx_protocol::work::order::TaskKind;

use super::exit::ExitKind;
use super::failure::Meaning;
use crate::engine::models::ModelsError;
use crate::home::config::ConfigError;
use crate::home::keys::KeysError;
use crate::home::permissions::PermissionsError;
use crate::ledger::{ChainError, LedgerError, WalletError};
use crate::net::NetError;
use crate::status::channels::ChannelError;
use crate::status::count;
use crate::status::models::NameError;
use crate::store::StoreError;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A flag or argument that cannot be used.
    #[error("{0}")]
    Usage(String),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Files in the home that are not its owner's alone.
    #[error(transparent)]
    Permissions(#[from] PermissionsError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The swarm.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A model or its engine.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// A name that means no model.
    #[error(transparent)]
    Name(#[from] NameError),
    /// ONNX Runtime.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A channel that cannot be acted on.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// What the running node answered to an action.
    #[error("{error}")]
    Denied {
        /// Its error.
        error: String,
        /// What to do about it.
        hint: String,
        /// The exit code that belongs to it.
        code: ExitKind,
    },
    /// The wallet's words.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// A question to a model that embeds, or a text to embed for one that answers.
    #[error("`{model}` {}", ability(*.does))]
    WrongKind {
        /// The model as it was named.
        model: String,
        /// What it does.
        does: TaskKind,
    },
    /// An order came to nothing.
    #[error("{0}")]
    Order(Failure),
    /// Nobody sells the model of an order.
    #[error("{why}; {offered}")]
    Unsold {
        /// How it failed.
        why: Failure,
        /// What is on offer instead.
        offered: String,
    },
    /// A port of this machine is taken, or may not be used.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The flag that names another place, if one does.
        flag: Option<&'static str>,
        /// What the system said.
        source: std::io::Error,
    },
    /// Too few peers within the time given.
    #[error("{found} of {} reached within {} s{}", count(*.wanted as u64, "peer"), within.as_secs(), details(.last))]
    NoPeers {
        /// Peers wanted.
        wanted: usize,
        /// Peers found.
        found: usize,
        /// The time given.
        within: Duration,
        /// The last join address that failed, and why.
        last: Option<String>,
    },
    /// Channels are to be closed, and the ledger does not answer.
    #[error(
        "the ledger does not answer ({why}), and until it does, {} {} not closed: {}",
        count(.accounts.len() as u64, "channel"),
        if .accounts.len() == 1 { "is" } else { "are" },
        .accounts.join(", ")
    )]
    NotClosed {
        /// Their accounts.
        accounts: Vec<String>,
        /// Why it does not answer.
        why: String,
    },
    /// No node runs in that home, or it does not answer.
    #[error("no running node is found in {home}: {why}")]
    NotRunning {
        /// Which home.
        home: PathBuf,
        /// What is missing.
        why: String,
    },
    /// Another node serves in that home.
    #[error("another node runs with this home, {home}: process {pid}")]
    AlreadyRunning {
        /// Which home.
        home: PathBuf,
        /// Its process.
        pid: u32,
    },
    /// A file.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A node that was checked breaks rules.
    #[error("the node breaks rules of the network: {0}")]
    Nonconformant(String),
    /// A node that was to be checked is not there, or what was asked of it is not.
    #[error("the node cannot be checked: {0}")]
    Uncheckable(String),
    /// A part of the node ended that should not have.
    #[error("the node's {0} has stopped")]
    Stopped(&'static str),
    /// Something that cannot be.
    #[error("{0}")]
    Bug(String),
}

const fn ability(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::Embed => "makes vectors and answers no question",
        TaskKind::Generate => "answers in words and makes no vectors",
    }
}

fn details(last: &Option<String>) -> String {
    last.as_ref().map_or(String::new(), |last| format!("; {last}"))
}

impl From<CatalogError> for NodeError {
    fn from(error: CatalogError) -> Self {
        Self::Models(error.into())
    }
}

impl From<ChainError> for NodeError {
    fn from(error: ChainError) -> Self {
        Self::Ledger(error.into())
    }
}

impl NodeError {
    /// Returns the exit code.
    #[must_use]
    pub fn code(&self) -> ExitKind {
        match self {
            Self::Usage(_) | Self::Channel(_) => ExitKind::Usage,
            Self::Denied { code, .. } => *code,
            Self::Config(_) | Self::Keys(_) | Self::Permissions(_) | Self::Wallet(_) => ExitKind::Config,
            Self::Store(StoreError::InUse(_))
            | Self::AlreadyRunning { .. }
            | Self::Listen { .. }
            | Self::Net(NetError::Listen { .. }) => ExitKind::AddressInUse,
            Self::Store(
                StoreError::Lost { .. } | StoreError::Damaged { .. } | StoreError::OtherNode { .. },
            ) => ExitKind::Store,
            Self::Store(StoreError::Format { .. } | StoreError::Failed { .. }) => ExitKind::Config,
            Self::Net(NetError::Address { .. } | NetError::TooManyJoins(_)) => ExitKind::Multiaddr,
            Self::Net(NetError::Network(_)) => ExitKind::Config,
            Self::Net(NetError::ListenTimeout(_) | NetError::Resolver(_) | NetError::Setup { .. }) => {
                ExitKind::Unexpected
            }
            Self::Models(error) => models_code(error),
            Self::Name(NameError::Unknown(_)) => ExitKind::UnknownModel,
            Self::Name(NameError::Ambiguous { .. }) => ExitKind::Usage,
            Self::Runtime(error) => runtime_code(error),
            Self::Ledger(error) => ledger_code(error),
            Self::NotClosed { .. } => ExitKind::Ledger,
            Self::Order(failure) | Self::Unsold { why: failure, .. } => Meaning::of(failure).exit,
            Self::WrongKind { .. } => ExitKind::Order,
            Self::NoPeers { .. } => ExitKind::NoPeer,
            Self::NotRunning { .. } | Self::Io { .. } | Self::Stopped(_) | Self::Nonconformant(_) => {
                ExitKind::Unexpected
            }
            Self::Uncheckable(_) => ExitKind::NoPeer,
            Self::Bug(_) => ExitKind::Bug,
        }
    }
}

fn models_code(error: &ModelsError) -> ExitKind {
    match error {
        ModelsError::Catalog(CatalogError::Unknown { .. }) => ExitKind::UnknownModel,
        ModelsError::Catalog(CatalogError::Fetch(error)) => fetch_code(error),
        ModelsError::Catalog(CatalogError::Cache(_)) => ExitKind::Fetch,
        ModelsError::Catalog(CatalogError::Model(error)) | ModelsError::Folder { why: error, .. } => {
            model_code(error)
        }
        ModelsError::Runtime(error) | ModelsError::Load(LoadError::Runtime(error)) => runtime_code(error),
        ModelsError::Catalog(_) | ModelsError::Load(_) | ModelsError::Broken { .. } => ExitKind::CorruptModel,
    }
}

const fn model_code(error: &ModelError) -> ExitKind {
    match error {
        ModelError::Manifest(ManifestError::Unreadable { .. }) => ExitKind::UnknownModel,
        ModelError::Manifest(ManifestError::Syntax(_) | ManifestError::Field { .. })
        | ModelError::Graph { .. }
        | ModelError::Unpinned { .. }
        | ModelError::Corrupt { .. } => ExitKind::CorruptModel,
    }
}

const fn fetch_code(error: &FetchError) -> ExitKind {
    match error {
        FetchError::Cache(_)
        | FetchError::Python(_)
        | FetchError::WrongFile { .. }
        | FetchError::Unpack { .. } => ExitKind::Fetch,
    }
}

const fn runtime_code(error: &RuntimeError) -> ExitKind {
    match error {
        RuntimeError::Fetch(error) => fetch_code(error),
        RuntimeError::TelemetryNotDisabled => ExitKind::Bug,
        RuntimeError::NotFound(_)
        | RuntimeError::Unusable(_)
        | RuntimeError::NoPackage { .. }
        | RuntimeError::AlreadyLoaded { .. }
        | RuntimeError::Load { .. }
        | RuntimeError::ExecutionProvider(_)
        | RuntimeError::Session { .. } => ExitKind::Runtime,
    }
}

const fn ledger_code(error: &LedgerError) -> ExitKind {
    match error {
        LedgerError::Balance { .. } | LedgerError::NoWallet { .. } => ExitKind::Funds,
        LedgerError::Wallet(_) | LedgerError::Chain(ChainError::Endpoint { .. }) => ExitKind::Config,
        LedgerError::Unknown { .. } | LedgerError::Deadline { .. } => ExitKind::Unknown,
        LedgerError::Chain(_)
        | LedgerError::Terms(_)
        | LedgerError::ForeignRefund { .. }
        | LedgerError::NotOpen { .. }
        | LedgerError::AlreadyOpen { .. }
        | LedgerError::Refused { .. }
        | LedgerError::Expired { .. }
        | LedgerError::Overtaken { .. }
        | LedgerError::Withheld { .. }
        | LedgerError::Pending { .. } => ExitKind::Ledger,
    }
}
