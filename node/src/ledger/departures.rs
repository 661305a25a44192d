//! What the wallet pays: whether it is unknown if coins have left it, and when they last did.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// The wallet's transfers under way, and when it last paid anything. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Departures(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    /// Transfers that were signed and whose fate is not known.
    sending: usize,
    paid_at: Option<Instant>,
}

/// A transfer whose fate is not known, until it is dropped.
pub(crate) struct Sending(Departures);

impl Departures {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a transfer is signed, until what it returns is dropped.
    pub(super) fn send(&self) -> Sending {
        let mut table = self.table();
        table.sending = table.sending.saturating_add(1);
        Sending(self.clone())
    }

    /// Notes that coins have left the wallet, or come back to it.
    pub(super) fn moved(&self) {
        self.table().paid_at = Some(Instant::now());
    }

    /// Returns whether it is unknown if the wallet's coins have left it.
    pub(crate) fn is_sending(&self) -> bool {
        self.table().sending > 0
    }

    /// Returns when the wallet was last seen to have paid: what was known of its coins before is out of date.
    pub(crate) fn paid_at(&self) -> Option<Instant> {
        self.table().paid_at
    }
}

impl Sending {
    /// Notes that the wallet has sent it.
    pub(super) fn sent(self) {
        self.0.moved();
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let mut table = self.0.table();
        table.sending = table.sending.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_is_under_way_until_its_fate_is_known_and_moves_coins_only_where_it_was_sent() {
        let departures = Departures::default();
        let sending = departures.send();
        assert!(departures.is_sending());
        drop(sending);
        assert!(!departures.is_sending() && departures.paid_at().is_none());
        departures.send().sent();
        assert!(!departures.is_sending() && departures.paid_at().is_some());
    }
}
