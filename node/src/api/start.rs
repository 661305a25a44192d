//! Putting a node together: keys, store, ledger, swarm, models, and the loop that drives them.

use std::path::Path;
use std::sync::Arc;

use bombyx_gpu::digest::Advance;
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::client::{ChannelPolicy, Client, ClientConfig, MarketPolicy};
use bombyx_protocol::provider::{CreditLimits, Provider, ProviderConfig};
use bombyx_protocol::time::Span;
use bombyx_protocol::watcher::Watcher;
use bombyx_protocol::work::order::ModelId;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::belongings;
use super::connect;
use super::handle::NodeHandle;
use super::pages::Pages;
use super::peers;
use crate::driver::ledger::LedgerService;
use crate::driver::request::REQUESTS_MAX;
use crate::driver::watcher;
use crate::driver::{Driver, Parts, ProviderParts};
use crate::engine::EngineHandle;
use crate::engine::manifests::Manifests;
use crate::engine::models::{self, LoadedModels};
use crate::error::NodeError;
use crate::home::MANIFESTS;
use crate::home::config::{NodeConfig, Scope};
use crate::home::keys::{Keys, fresh_seed};
use crate::ledger::{Priority, Wallet};
use crate::net::{self, NetConfig};
use crate::status::LedgerStatus;
use crate::store::Store;

/// A node that runs, and the task that ends when it does.
pub type RunningNode = (NodeHandle, JoinHandle<Result<(), NodeError>>);

/// Starts a node: makes keys if its home has none, opens its store, names its ledger, joins the swarm, loads its models.
///
/// # Errors
/// [`NodeError`] of the first part that cannot be started.
pub async fn start(config: NodeConfig) -> Result<RunningNode, NodeError> {
    start_showing(config, |_| {}).await
}

/// Starts a node as [`start`] does, with the progress of what is fetched and checked.
///
/// # Errors
/// As [`start`].
pub async fn start_showing(
    config: NodeConfig,
    on_advance: impl FnMut(Advance<'_>) + Send + 'static,
) -> Result<RunningNode, NodeError> {
    config.check()?;
    models::check(&config.provide)?;
    let network_id = config.ledger.network.id();
    let home = config.home.clone();
    let opened = tokio::task::spawn_blocking(move || open_home(&home, network_id)).await;
    let Home { keys, wallet, store, records, manifests } =
        opened.map_err(|_| NodeError::Bug("opening the home panicked".into()))??;
    let address = wallet.address();
    let net = net_config(&config, &keys);
    net.check()?;
    let ledger = Arc::new(connect::name_ledger(&config.ledger, Some(wallet))?);
    let silence = connect::silence(&ledger).await?.map(|error| error.to_string());
    let (net, net_events) = net::start(net).await?;
    let known = net.known();
    let selling = match sell(&config, &keys, &records, address, on_advance).await {
        Ok(selling) => selling,
        Err(error) => {
            net.shutdown().await;
            return Err(error);
        }
    };
    let watched = watcher::vouchers(&records);
    let started_s = net::unix_s();
    let client = Client::new(
        ClientConfig {
            identity_seed: *keys.identity,
            channel_seed: *keys.channel,
            entropy_seed: *fresh_seed()?,
            network_id,
            wallet: address,
            clock_s: started_s,
            deposit: config.client.deposit.0,
            bid_window: Span::from_ms(config.client.bid_window_ms),
            enough_bids: config.client.enough_bids,
            challenge_s: config.client.challenge_s,
            policy: ChannelPolicy {
                deposit_max: config.client.deposit_max.0,
                challenge_s_max: config.client.challenge_max_s,
                strangers_locked_max: config.client.strangers_locked_max.0,
                idle_close: (config.client.idle_close_s > 0)
                    .then(|| Span::from_s(config.client.idle_close_s)),
            },
            leases: config.client.leases,
            market: MarketPolicy { direct: config.client.direct, ..MarketPolicy::default() },
        },
        records,
    );
    let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
    let (join_failure, last_join_failure) = watch::channel(None);
    let ledger_service = LedgerService::start_after(Arc::clone(&ledger), config.ledger.poll(), silence);
    let silent = ledger_service.silent.clone();
    let pages = Pages::start(ledger.with_priority(Priority::Page), ledger_service.sights.clone());
    let driver = Driver::new(Parts {
        started_s,
        network: config.network.name.clone(),
        net: net.clone(),
        net_events,
        join_failure,
        store,
        ledger_service,
        ledger: LedgerStatus {
            url: ledger.endpoint(),
            network_id,
            coin: config.ledger.coin.clone(),
            wallet: address.to_string(),
            balance_nano: None,
            balance_ago_s: None,
            silent: false,
        },
        requests: inbox,
        client,
        watcher: Watcher::new(),
        selling,
        follow: models::known().into_iter().map(|(_, id, _): (_, ModelId, _)| id).collect(),
        manifests,
        watched,
    });
    let last_list = driver.last_list();
    let handle = NodeHandle { requests, net, ledger, silent, pages, last_join_failure, last_list };
    let keeper = tokio::spawn(peers::keep(config.home.clone(), known));
    let running = tokio::spawn(async move {
        let ended = driver.run().await;
        // It ends with the swarm; what it could not write is no failure of the node.
        let _ = keeper.await;
        ended
    });
    Ok((handle, running))
}

/// What lies in a node's home.
struct Home {
    keys: Keys,
    wallet: Wallet,
    store: Store,
    records: Vec<Record>,
    manifests: Manifests,
}

fn open_home(home: &Path, network_id: i32) -> Result<Home, NodeError> {
    let (keys, store, records) = belongings::open(home)?;
    let wallet = Wallet::from_words(&keys.wallet, network_id)?;
    let manifests = Manifests::open(home.join(MANIFESTS));
    Ok(Home { keys, wallet, store, records, manifests })
}

fn net_config(config: &NodeConfig, keys: &Keys) -> NetConfig {
    let scope = match config.network.scope {
        Scope::Private => net::Scope::Private,
        Scope::Public => net::Scope::Public,
    };
    NetConfig {
        scope,
        listen: config.listen(),
        external: config.network.external.clone(),
        join: config.network.join.clone(),
        known: peers::read(&config.home),
        // What a provider sells is public; what a client looks for is its own business.
        announce_topics: !config.provide.models.is_empty(),
        ..NetConfig::new(keys.identity.clone(), config.network.name.clone())
    }
}

/// Loads what is to be sold, if anything, and makes the provider.
async fn sell(
    config: &NodeConfig,
    keys: &Keys,
    records: &[Record],
    payout: Address,
    mut on_advance: impl FnMut(Advance<'_>) + Send + 'static,
) -> Result<Option<ProviderParts>, NodeError> {
    if config.provide.models.is_empty() {
        return Ok(None);
    }
    let provide = config.provide.clone();
    let loaded = tokio::task::spawn_blocking(move || models::load(&provide, &mut on_advance)).await;
    let LoadedModels { engine, offers, manifests } =
        loaded.map_err(|_| NodeError::Bug("loading the models panicked".into()))??;
    let (engine, reports) = EngineHandle::start(engine, config.provide.pace)
        .map_err(|source| NodeError::Io { what: "start a thread for", path: "the engine".into(), source })?;
    let provider = Provider::new(
        ProviderConfig {
            identity_seed: *keys.identity,
            session_seed: *keys.session,
            close_seed: *keys.close,
            entropy_seed: *fresh_seed()?,
            clock_s: net::unix_s(),
            network_id: config.ledger.network.id(),
            payout,
            challenge_s: config.provide.challenge_least_s(config.ledger.network),
            credit: CreditLimits {
                per_client: config.provide.credit(config.ledger.network),
                per_hour: config.provide.credit_per_hour.0,
            },
            settle_at: config.provide.settle_at.0,
        },
        records.to_vec(),
    );
    Ok(Some(ProviderParts { provider, engine, reports, offers, manifests }))
}
