//! What to do about each failure of a verb.

use bombyx_gpu::catalog::CatalogError;
use bombyx_gpu::load::LoadError;
use bombyx_gpu::manifest::ManifestError;
use bombyx_gpu::model::ModelError;
use bombyx_gpu::runtime::{ExecutionProviderError, RuntimeError};
use bombyx_protocol::work::order::TaskKind;

use super::failure::Meaning;
use super::node::NodeError;
use crate::engine::models::ModelsError;
use crate::home::config::ConfigError;
use crate::home::keys::KeysError;
use crate::home::permissions::PermissionsError;
use crate::ledger::{ChainError, LedgerError};
use crate::net::NetError;
use crate::store::StoreError;

impl NodeError {
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
            Self::Config(_) => "correct the key or flag that is named; without the file every key has its default".into(),
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
                "a verb that is not done yet has this home, or a node that does not answer: wait for its end, stop it, or choose \
                 another --home"
                    .into()
            }
            Self::AlreadyRunning { .. } => {
                "stop it, use it through its gateway, or choose another --home".into()
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

fn elsewhere(flag: &str) -> String {
    format!("stop whoever listens there, or choose another port with {flag}; port 0 takes any free one")
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
        ModelsError::Folder { .. } => "correct what is named, or restore the folder's files from where they came".into(),
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
