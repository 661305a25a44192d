//! The driver's end of the service.

use std::sync::Arc;
use std::time::Duration;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::{LedgerCall, LedgerEvent};
use bombyx_protocol::channel::pace::Pace;
use tokio::sync::{mpsc, watch};

use super::limits::QUEUE_MAX;
use super::state::{ServiceRequest, ServiceTask};
use super::watched::Sights;
use crate::ledger::Ledger;
use crate::role::Role;

/// The driver's end of the service. Dropping it stops the service.
pub(crate) struct LedgerService {
    requests: mpsc::Sender<ServiceRequest>,
    pub(crate) events: mpsc::Receiver<(Role, LedgerEvent)>,
    /// How fast changes on the ledger are seen.
    pub(crate) pace: watch::Receiver<Pace>,
    /// Whether the ledger does not answer.
    pub(crate) silent: watch::Receiver<bool>,
    /// What the last look at each channel has shown, for the operator's pages.
    pub(crate) sights: Sights,
}

/// The service has stopped.
#[derive(Debug)]
pub(crate) struct ServiceClosed;

impl LedgerService {
    /// Starts the service on `ledger`. A channel that nothing urges is looked at every `poll`, if there are turns to spare.
    pub(crate) fn start(ledger: Arc<Ledger>, poll: Duration) -> Self {
        Self::start_after(ledger, poll, None)
    }

    /// Starts the service on a ledger that has answered or, as `silence` says, has not.
    pub(crate) fn start_after(ledger: Arc<Ledger>, poll: Duration, silence: Option<String>) -> Self {
        let (requests, inbox) = mpsc::channel(QUEUE_MAX);
        let (sender, events) = mpsc::channel(QUEUE_MAX);
        let (mut task, pace) = ServiceTask::new(ledger, poll);
        let (sights, silent) = (task.sights.clone(), task.silent.subscribe());
        if let Some(why) = silence {
            task.fall_silent(&why);
        }
        tokio::spawn(task.run(inbox, sender));
        Self { requests, events, pace, silent, sights }
    }

    /// Has a call done.
    ///
    /// # Errors
    /// [`ServiceClosed`].
    pub(crate) async fn call(&self, role: Role, call: LedgerCall) -> Result<(), ServiceClosed> {
        self.requests.send(ServiceRequest::Call(role, call)).await.map_err(|_| ServiceClosed)
    }

    /// Says what the newest voucher on an account comes to: the more, the more a close that is missed would cost.
    ///
    /// # Errors
    /// [`ServiceClosed`].
    pub(crate) async fn voucher(&self, account: ChannelId, cumulative: Nano) -> Result<(), ServiceClosed> {
        self.requests.send(ServiceRequest::Voucher(account, cumulative)).await.map_err(|_| ServiceClosed)
    }
}
