//! Every way in which a verb of `bombyx` can fail, with the exit code and the hint that belong to it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bombyx_gpu::catalog::CatalogError;
use bombyx_gpu::fetch::FetchError;
use bombyx_gpu::load::LoadError;
use bombyx_gpu::manifest::ManifestError;
use bombyx_gpu::model::ModelError;
use bombyx_gpu::runtime::{ExecutionProviderError, RuntimeError};
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

fn elsewhere(flag: &str) -> String {
    format!("stop whoever listens there, or choose another port with {flag}; port 0 takes any free one")
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
            Self::Store(StoreError::InUse(_)) | Self::Listen { .. } | Self::Net(NetError::Listen { .. }) => {
                ExitKind::AddressInUse
            }
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

    /// Returns what to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Usage(_) => "`bombyx help` shows verbs and flags".into(),
            Self::Channel(_) => "`bombyx channels` lists the channels and how far each is in its life".into(),
            Self::Denied { hint, .. } => hint.clone(),
            Self::NotClosed { .. } => {
                "a node that runs in this home closes them once the ledger answers; where none runs, give the command again then".into()
            }
            Self::Config(ConfigError::NoHome) => "name a directory with --home or BOMBYX_HOME".into(),
            Self::Config(_) => "correct it, or delete the file: without it every key has its default".into(),
            Self::Keys(KeysError::Exposed { path, mode: _ }) => format!(
                "run `chmod go-rwx {}`; if others had access, move the coins and make new keys",
                path.display()
            ),
            Self::Keys(KeysError::Missing(_)) => "make keys with `bombyx init`".into(),
            Self::Keys(KeysError::Exists(_)) => "use them as they are, or choose another --home".into(),
            Self::Keys(KeysError::Unreadable(_) | KeysError::Io { .. } | KeysError::Entropy(_)) => {
                "restore the file from a copy, or choose another --home".into()
            }
            Self::Permissions(PermissionsError::OtherOwner { .. }) => {
                "run as that user, or give yourself the files: `chown -R`; or choose another --home".into()
            }
            Self::Permissions(PermissionsError::Link(_)) => {
                "put the file itself there, or choose another --home: --home may be a link, what is in it may not".into()
            }
            Self::Permissions(PermissionsError::Shared(_)) => "name a folder of your own with --home".into(),
            Self::Permissions(PermissionsError::Kind { .. } | PermissionsError::Io { .. }) => {
                "check the path and its permissions, or choose another --home".into()
            }
            Self::Store(StoreError::InUse(_)) => {
                "another node runs with this home: stop it, use it through its gateway, or choose another --home"
                    .into()
            }
            Self::Store(
                StoreError::Lost { path, .. }
                | StoreError::Damaged { path, .. }
                | StoreError::OtherNode { path, .. },
            ) => format!(
                "restore the file from a copy; without one, `bombyx --home {} channels recover` finds the channels that \
                 this node pays on and makes a new store: with --close to have their rests back, or with --provider \
                 to go on with them",
                path.parent().unwrap_or(path).display()
            ),
            Self::Store(StoreError::Format { .. } | StoreError::Failed { .. }) => {
                "restore the file from a copy, or choose another --home; it holds what channels owe, so keep it".into()
            }
            Self::Net(NetError::Listen { .. }) => elsewhere("--listen"),
            Self::Listen { flag: Some(flag), .. } => elsewhere(flag),
            Self::Listen { flag: None, .. } => "check the machine's network settings".into(),
            Self::Net(NetError::Network(_)) => "correct `network.name` in the configuration".into(),
            Self::Net(NetError::ListenTimeout(_) | NetError::Resolver(_) | NetError::Setup { .. }) => {
                "check the machine's network settings".into()
            }
            Self::Net(NetError::Address { .. } | NetError::TooManyJoins(_)) => {
                "a multiaddr looks like /ip4/192.0.2.1/udp/4101/quic-v1/p2p/12D3Koo...; `bombyx status` shows those of \
                 a running node"
                    .into()
            }
            Self::Models(error) => models_hint(error),
            Self::Name(_) => "`bombyx models list` shows what is on offer".into(),
            Self::Runtime(error) => runtime_hint(error),
            Self::Ledger(error) => ledger_hint(error).into(),
            Self::Wallet(_) => "restore the wallet's file from a copy".into(),
            Self::Order(failure) | Self::Unsold { why: failure, .. } => Meaning::of(failure).hint.into(),
            Self::WrongKind { does: TaskKind::Embed, .. } => "use --embed, or another --model".into(),
            Self::WrongKind { does: TaskKind::Generate, .. } => {
                "leave --embed out, or use another --model".into()
            }
            Self::NoPeers { .. } => {
                "check that a node runs at the address given with --join, and that both have the same network name"
                    .into()
            }
            Self::NotRunning { .. } => "start one with `bombyx up`, or name its home with --home".into(),
            Self::Nonconformant(_) => "each failed check above names its rules; `spec/` in the source holds them".into(),
            Self::Uncheckable(_) => "check that it runs at that address, and that --network is its network".into(),
            Self::Io { .. } => "check the path, its permissions and the space on the disk".into(),
            Self::Stopped(_) => "its own messages above say why; start the node again".into(),
            Self::Bug(_) => "please report this".into(),
        }
    }
}

fn runtime_hint(error: &RuntimeError) -> String {
    match error {
        RuntimeError::ExecutionProvider(ExecutionProviderError::NotBuilt { execution_provider }) => format!(
            "for example `cargo install --path node --features {execution_provider}`; ONNX Runtime must have it as well: name \
             such a library in `provide.runtime`"
        ),
        RuntimeError::ExecutionProvider(
            ExecutionProviderError::Refused { .. } | ExecutionProviderError::Unknown { .. },
        ) => {
            "name a library that has it in `provide.runtime`; `bombyx runtime list` shows which ones were looked at. Nothing \
             falls back to the CPU in silence"
                .into()
        }
        RuntimeError::NotFound(_)
        | RuntimeError::Unusable(_)
        | RuntimeError::NoPackage { .. }
        | RuntimeError::Fetch(_)
        | RuntimeError::TelemetryNotDisabled
        | RuntimeError::AlreadyLoaded { .. }
        | RuntimeError::Load { .. }
        | RuntimeError::Session { .. } => {
            "`bombyx runtime list` shows which libraries were looked at, `bombyx runtime install` fetches the right one".into()
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

fn models_hint(error: &ModelsError) -> String {
    match error {
        ModelsError::Catalog(CatalogError::Unknown { .. }) => {
            "name one of those, its 64-digit id, or a folder with a manifest.json (with a `/` in it)".into()
        }
        ModelsError::Runtime(error) | ModelsError::Load(LoadError::Runtime(error)) => runtime_hint(error),
        ModelsError::Catalog(CatalogError::Fetch(_) | CatalogError::Cache(_)) => {
            "what is needed is fetched once with Python's pip and kept in BOMBYX_CACHE; after that no network is needed"
                .into()
        }
        ModelsError::Folder { why: ModelError::Unpinned { .. }, .. } => {
            "a model is the hash of its manifest, so that every file which decides an answer stands in it; its id changes \
             with the list"
                .into()
        }
        ModelsError::Folder { why: ModelError::Manifest(ManifestError::Unreadable { .. }), .. } => {
            "a model to sell is a name of the catalogue, as in `bombyx up --provide bombyx-chat-tiny`, or a folder with a \
             manifest.json and an ONNX graph"
                .into()
        }
        ModelsError::Folder { .. } => "restore the folder's files from where they came".into(),
        ModelsError::Catalog(_) => {
            "delete the model's folder; it is made again at the next start".into()
        }
        ModelsError::Load(_) | ModelsError::Broken { .. } => {
            "another model, or another version of ONNX Runtime (`bombyx runtime list`), may work".into()
        }
    }
}

const fn ledger_hint(error: &LedgerError) -> &'static str {
    match error {
        LedgerError::Chain(ChainError::Unreachable { .. }) => {
            "start a private ledger with `bombyx devnet`, or name another with --ledger or `ledger.url`"
        }
        LedgerError::Chain(ChainError::OtherNetwork { .. }) => {
            "set `ledger.url` and `ledger.network` to endpoints and name of one network"
        }
        LedgerError::Chain(ChainError::Contradiction { .. }) => {
            "name three endpoints of different operators in `ledger.url`: two that agree outvote the third"
        }
        LedgerError::Chain(ChainError::Endpoint { .. }) => "correct `ledger.url`, or --ledger",
        LedgerError::Unknown { .. } => {
            "`bombyx wallet` shows the balance; nothing is lost, and the same transfer is executed once at the most"
        }
        LedgerError::Expired { .. } | LedgerError::Overtaken { .. } | LedgerError::Withheld { .. } => {
            "nothing has left the wallet: try again"
        }
        LedgerError::Pending { .. } => "wait until that time, then try again",
        LedgerError::Balance { .. } | LedgerError::NoWallet { .. } => {
            "send coins to the wallet that `bombyx status` shows"
        }
        LedgerError::Chain(_)
        | LedgerError::Wallet(_)
        | LedgerError::Terms(_)
        | LedgerError::ForeignRefund { .. }
        | LedgerError::NotOpen { .. }
        | LedgerError::AlreadyOpen { .. }
        | LedgerError::Refused { .. }
        | LedgerError::Deadline { .. } => "look at the channel's account on the ledger before trying again",
    }
}
