//! Play money for a client on a devnet: its faucet fills an empty wallet. Nothing of the kind exists elsewhere.

use std::time::Duration;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use tokio::time::sleep;

use super::print::Printer;
use crate::api::handle::NodeHandle;
use crate::error::NodeError;
use crate::home::config::{LedgerNetwork, NodeConfig};
use crate::ledger::{ChainError, LedgerError, devnet::FAUCET_MAX, endpoints::first_service, friendly};

/// How many channels an empty wallet is filled for.
const CHANNELS: u64 = 8;
/// What a channel takes beyond its deposit, fees and reserves included.
const SURPLUS: Nano = Nano(50_000_000);
/// Between two questions to a ledger that does not answer.
const RETRY_PAUSE: Duration = Duration::from_secs(2);
/// Between two looks whether a devnet has begun anew.
const KEEP_PAUSE: Duration = Duration::from_secs(5);
/// Until the faucet has answered.
const FAUCET_WAIT: Duration = Duration::from_secs(10);

/// Returns what a wallet must hold to open one more channel.
pub(super) fn need(config: &NodeConfig) -> Nano {
    config.client.deposit.0.saturating_plus(SURPLUS)
}

/// Has the devnet's faucet fill the wallet of a node that cannot open a channel. On any other ledger this does nothing. One that
/// does not answer is asked again and again beside whatever the node does.
pub(super) async fn ensure(
    node: &NodeHandle,
    config: &NodeConfig,
    printer: Printer,
) -> Result<(), NodeError> {
    if config.ledger.network != LedgerNetwork::Devnet {
        return Ok(());
    }
    if !node.ledger_is_silent() {
        match ensure_of(node, config, printer).await {
            Err(NodeError::Ledger(error)) if error.is_silence() => {}
            ended => return ended,
        }
    }
    let (node, config) = (node.clone(), config.clone());
    tokio::spawn(async move {
        loop {
            sleep(RETRY_PAUSE).await;
            match ensure_of(&node, &config, printer).await {
                Err(NodeError::Ledger(error)) if error.is_silence() => {}
                Err(error) => return tracing::warn!(%error, "the faucet gives nothing"),
                Ok(()) => return,
            }
        }
    });
    Ok(())
}

/// Has the faucet fill the wallet again whenever its devnet has begun anew, for as long as the node runs: nobody else would notice
/// that all coins are gone.
pub(super) fn keep(node: &NodeHandle, config: &NodeConfig, printer: Printer) {
    if config.ledger.network != LedgerNetwork::Devnet {
        return;
    }
    let (node, config) = (node.clone(), config.clone());
    tokio::spawn(async move {
        while node.is_running() {
            sleep(KEEP_PAUSE).await;
            let Some(wallet) = node.ledger().wallet_address() else { return };
            // A wallet from which everything was sent stands on the ledger all the same.
            let is_new = node.ledger().is_unused(wallet).await.unwrap_or(false);
            if is_new && let Err(error) = ensure_of(&node, &config, printer).await {
                tracing::debug!(%error, "the faucet gives nothing");
            }
        }
    });
}

async fn ensure_of(node: &NodeHandle, config: &NodeConfig, printer: Printer) -> Result<(), NodeError> {
    let Some(wallet) = node.ledger().wallet_address() else { return Ok(()) };
    let held = node.ledger().balance(wallet).await?;
    fill(wallet, held, &config.ledger.url, config, printer).await
}

/// Has the faucet of the devnet at `url` fill a wallet that holds too little to open a channel.
pub(super) async fn fill(
    wallet: Address,
    held: Nano,
    url: &str,
    config: &NodeConfig,
    printer: Printer,
) -> Result<(), NodeError> {
    let need = need(config);
    if config.ledger.network != LedgerNetwork::Devnet || held >= need {
        return Ok(());
    }
    let amount = Nano(need.0.saturating_mul(CHANNELS)).min(FAUCET_MAX);
    // A devnet that is known by its liteserver only has no faucet here.
    let Some(base) = first_service(url) else { return Ok(()) };
    let unreachable = |reason: String| {
        LedgerError::Chain(ChainError::Unreachable { endpoint: format!("{base}/faucet"), reason })
    };
    let client = reqwest::Client::builder().no_proxy().timeout(FAUCET_WAIT).build();
    let client = client.map_err(|error| unreachable(error.to_string()))?;
    let url = format!("{base}/faucet?address={}&amount={amount}", friendly(wallet, true));
    let answer =
        client.get(url).send().await.map_err(|error| unreachable(error.without_url().to_string()))?;
    if !answer.status().is_success() {
        let reason = format!("the faucet answered {}", answer.status());
        return Err(LedgerError::Chain(ChainError::Refused { exit_code: None, reason }).into());
    }
    printer.note(&format!(
        "devnet: the faucet gave this client {}, which are worth nothing",
        config.ledger.coin.amount(amount)
    ));
    Ok(())
}
