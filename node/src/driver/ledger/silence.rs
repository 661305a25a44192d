//! A ledger that does not answer: said once when it falls silent, and once when it is heard again.

use std::sync::Arc;

use tokio::time::{Instant, sleep, timeout};

use super::calls::unbroken;
use super::limits::{FUNDS_WAIT, LOOK_WAIT, PROBE_PAUSE};
use super::state::ServiceTask;

impl ServiceTask {
    /// Notes that the ledger does not answer, and asks it from now on until it does.
    pub(super) fn fall_silent(&mut self, why: &str) {
        if self.silent.send_if_modified(|silent| !std::mem::replace(silent, true)) {
            tracing::warn!(
                "the ledger does not answer ({why}): work on open channels goes on, and a new channel waits until it does"
            );
            self.probe();
        }
    }

    /// Notes that the ledger has answered.
    pub(super) fn heard(&mut self) {
        if self.silent.send_if_modified(std::mem::take) {
            self.heard_at = Some(Instant::now());
            tracing::info!("the ledger answers again");
            self.probing.abort_all();
        }
    }

    /// Returns whether others who waited for the ledger may still be at it.
    pub(super) fn was_silent_lately(&self) -> bool {
        *self.silent.borrow() || self.heard_at.is_some_and(|at| at.elapsed() < FUNDS_WAIT)
    }

    /// Asks the ledger once, after a pause.
    fn probe(&mut self) {
        let ledger = Arc::clone(&self.ledger);
        self.probing.spawn(async move {
            sleep(PROBE_PAUSE).await;
            let asked = timeout(LOOK_WAIT, unbroken(ledger.now_s())).await;
            matches!(asked, Ok(Some(Ok(_))))
        });
    }

    pub(super) fn on_probed(&mut self, answered: bool) {
        if answered {
            self.gauge.forget_silence();
            self.looks.retry();
            self.heard();
            self.look_soon();
        } else if *self.silent.borrow() {
            self.probe();
        }
    }
}
