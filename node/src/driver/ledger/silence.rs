//! A ledger that does not answer: said once when it falls silent, and once when it is heard again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::calls::unbroken;
use super::limits::{DOUBT, FUNDS_WAIT, HEARTBEAT, LOOK_WAIT, PROBE_PAUSE};
use super::state::ServiceTask;

impl ServiceTask {
    /// Notes that the ledger does not answer, and asks it from now on until it does.
    pub(super) fn fall_silent(&mut self, why: &str) {
        self.doubted_since.get_or_insert_with(Instant::now);
        if self.silent.send_if_modified(|silent| !std::mem::replace(silent, true)) {
            tracing::warn!(
                "the ledger does not answer ({why}): work on open channels goes on, at a provider for half of their challenge time, \
                 and a new channel waits until it does; after a minute, no close is seen and no new channel is accepted"
            );
            self.probe(PROBE_PAUSE);
        }
    }

    /// Notes that a question which began at `began` had no answer. The ledger is asked again, and counts as silent when it answers
    /// nothing for a while: one endpoint's hiccup is no news.
    pub(super) fn doubt(&mut self, began: Instant) {
        self.doubted_since.get_or_insert(began);
        self.probe(PROBE_PAUSE);
    }

    /// Notes that the ledger has answered.
    pub(super) fn heard(&mut self) {
        self.answered_at = Instant::now();
        let since = self.doubted_since.take();
        if self.silent.send_if_modified(std::mem::take) {
            self.heard_at = Some(Instant::now());
            let seconds = since.map_or(0, |since| since.elapsed().as_secs());
            tracing::info!("the ledger answers again, after {seconds} s");
            self.probing.abort_all();
        }
    }

    /// Returns whether others who waited for the ledger may still be at it.
    pub(super) fn was_silent_lately(&self) -> bool {
        *self.silent.borrow() || self.heard_at.is_some_and(|at| at.elapsed() < FUNDS_WAIT)
    }

    /// Asks a ledger whether it is there of which nothing else has asked anything for a while.
    pub(super) fn beat(&mut self) {
        if self.answered_at.elapsed() >= HEARTBEAT {
            self.probe(Duration::ZERO);
        }
    }

    /// Asks the ledger once, after a pause, unless it is being asked.
    fn probe(&mut self, pause: Duration) {
        if !self.probing.is_empty() {
            return;
        }
        let ledger = Arc::clone(&self.ledger);
        self.probing.spawn(async move {
            sleep(pause).await;
            let began = Instant::now();
            let asked = timeout(LOOK_WAIT, unbroken(ledger.now_s())).await;
            (began, matches!(asked, Ok(Some(Ok(_)))))
        });
    }

    /// Takes the answer to a question that began at `began`, or notes that there was none.
    pub(super) fn on_probed(&mut self, began: Instant, answered: bool) {
        let was_silent = *self.silent.borrow();
        if answered {
            if was_silent {
                self.gauge.forget_silence();
                self.looks.retry();
                self.look_soon();
            }
            return self.heard();
        }
        let silence = self.doubted_since.get_or_insert(began).elapsed();
        if !was_silent && silence >= DOUBT {
            self.fall_silent(&format!("for {} s", silence.as_secs()));
        } else {
            self.probe(PROBE_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bombyx_protocol::ChannelId;
    use bombyx_protocol::channel::ledger::LedgerCall;

    use super::*;
    use crate::ledger::Ledger;
    use crate::ledger::devnet::{DEVNET_ID, Devnet};
    use crate::ledger::endpoints;
    use crate::role::Role;

    fn task(ledger: Ledger) -> ServiceTask {
        ServiceTask::new(Arc::new(ledger), Duration::from_secs(30)).0
    }

    fn dead() -> Ledger {
        let nobody = endpoints::connect("http://127.0.0.1:9", "", "0", DEVNET_ID).unwrap();
        Ledger::new(Arc::new(nobody), DEVNET_ID, None)
    }

    async fn probed(task: &mut ServiceTask) {
        let (began, answered) = task.probing.join_next().await.unwrap().unwrap();
        task.on_probed(began, answered);
    }

    /// One that holds no channel asks nothing else, and would not notice.
    #[tokio::test]
    async fn a_ledger_of_which_nothing_is_asked_is_asked_now_and_then_whether_it_is_there() {
        let mut task = task(dead());
        task.tell_pace();
        assert!(task.probing.is_empty(), "it was heard a moment ago");
        task.answered_at = Instant::now() - HEARTBEAT;
        task.tell_pace();
        probed(&mut task).await;
        assert!(!*task.silent.borrow() && !task.probing.is_empty(), "it is asked once more");
        task.doubted_since = Some(Instant::now() - DOUBT);
        probed(&mut task).await;
        assert!(*task.silent.borrow());
    }

    #[tokio::test]
    async fn a_look_that_fails_is_a_doubt_and_an_answer_ends_it() {
        let mut task = task(Ledger::new(Arc::new(Devnet::new().unwrap()), DEVNET_ID, None));
        task.on_call(Role::Client, LedgerCall::Watch { account: ChannelId([1; 32]) });
        task.doubt(Instant::now() - DOUBT * 2);
        probed(&mut task).await;
        assert!(!*task.silent.borrow() && task.doubted_since.is_none() && task.probing.is_empty());
        task.fall_silent("a test");
        assert!(*task.silent.borrow());
        probed(&mut task).await;
        assert!(!*task.silent.borrow() && task.heard_at.is_some());
    }
}
