//! The ledger that a configuration names: connected to, and waited for.

use std::sync::Arc;
use std::time::Duration;

use crate::error::NodeError;
use crate::home::config::LedgerConfig;
use crate::ledger::{ChainError, Ledger, LedgerError, Wallet, endpoints};

/// How long the ledger may take to answer where nothing can be done without it.
const LEDGER_PATIENCE: Duration = Duration::from_secs(15);
/// How long a node that starts waits for it. After that it starts without.
const START_PATIENCE: Duration = Duration::from_secs(3);
/// Deadline of one operation on the ledger; below the time after which the core repeats it.
const LEDGER_DEADLINE: Duration = Duration::from_secs(25);

/// Returns the ledger of a configuration, once it has answered.
///
/// # Errors
/// [`NodeError::Ledger`] when it does not.
pub(crate) async fn reach_ledger(config: &LedgerConfig, wallet: Option<Wallet>) -> Result<Ledger, NodeError> {
    let ledger = name_ledger(config, wallet)?;
    has_answered(&ledger).await?;
    Ok(ledger)
}

/// Returns the ledger of a configuration, which is asked nothing yet.
///
/// # Errors
/// [`NodeError::Ledger`] when its endpoints cannot be read.
pub(crate) fn name_ledger(config: &LedgerConfig, wallet: Option<Wallet>) -> Result<Ledger, NodeError> {
    let network_id = config.network.id();
    let chain = endpoints::connect(&config.url, &config.api_key, &config.requests_per_s, network_id)?;
    Ok(Ledger::new(Arc::new(chain), network_id, wallet).with_deadline(LEDGER_DEADLINE))
}

/// Returns why the ledger does not answer a node that starts, if so: what is dead must not stop what starts.
///
/// # Errors
/// [`LedgerError`] for one that answers, and is none for this node.
pub(crate) async fn silence(ledger: &Ledger) -> Result<Option<LedgerError>, LedgerError> {
    match answer_within(ledger, START_PATIENCE).await {
        Ok(()) => Ok(None),
        Err(error) if error.is_silence() => Ok(Some(error)),
        Err(error) => Err(error),
    }
}

/// Waits for one answer of the ledger.
///
/// # Errors
/// Why there is none, after some seconds.
pub(crate) async fn has_answered(ledger: &Ledger) -> Result<(), LedgerError> {
    answer_within(ledger, LEDGER_PATIENCE).await
}

async fn answer_within(ledger: &Ledger, patience: Duration) -> Result<(), LedgerError> {
    match tokio::time::timeout(patience, ledger.now_s()).await {
        Ok(answered) => answered.map(drop),
        Err(_) => {
            let reason = format!("no answer within {} s", patience.as_secs());
            Err(LedgerError::Chain(ChainError::Unreachable { endpoint: ledger.endpoint(), reason }))
        }
    }
}
