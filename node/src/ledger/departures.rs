//! Coins that the wallet has sent to channels: from when they are out of it, and what shows that they have arrived.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use tokio::time::Instant;

/// Channels of which a departure is remembered; the oldest makes room.
const DEPARTURES_MAX: usize = 1_024;

/// Coins that have left the wallet for a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Departure {
    /// How many, with what pays for the channel's work.
    pub(crate) value: Nano,
    /// The deposit that shows that they have arrived.
    pub(crate) deposit: Nano,
    /// When they were seen to be out of the wallet.
    pub(crate) at: Instant,
}

/// The wallet's coins that have left, and when it last paid anything. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Departures(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    /// Transfers that were signed and whose fate is not known.
    sending: usize,
    paid_at: Option<Instant>,
    /// The newest of each channel; one that has arrived stays until the next, and is told from one that has not by the deposit.
    newest: BTreeMap<Address, Departure>,
}

/// A transfer whose fate is not known, until it is dropped.
pub(crate) struct Sending(Departures);

impl Departures {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a transfer is signed, until what it returns is dropped.
    pub(crate) fn send(&self) -> Sending {
        let mut table = self.table();
        table.sending = table.sending.saturating_add(1);
        Sending(self.clone())
    }

    /// Notes that a channel's contract has refused what was sent to it, which comes back.
    pub(super) fn refused(&self, account: &Address) {
        let mut table = self.table();
        table.paid_at = Some(Instant::now());
        table.newest.remove(account);
    }

    /// Returns whether it is unknown if the wallet's coins have left it.
    pub(crate) fn is_sending(&self) -> bool {
        self.table().sending > 0
    }

    /// Returns when the wallet was last seen to have paid: what was known of its coins before is out of date.
    pub(crate) fn paid_at(&self) -> Option<Instant> {
        self.table().paid_at
    }

    /// Returns the coins that had left a wallet which was looked at then, for a channel that shows this deposit, and are not there.
    pub(crate) fn under_way(&self, account: &Address, shown: Nano, wallet_at: Instant) -> Nano {
        let departure = self.table().newest.get(account).copied();
        let departure = departure.filter(|departure| departure.at <= wallet_at && shown < departure.deposit);
        departure.map_or(Nano::ZERO, |departure| departure.value)
    }
}

impl Sending {
    /// Notes that the wallet has sent it: coins, each with the account that they go to and the deposit that shows them there.
    pub(crate) fn sent(self, coins: &[(Address, Nano, Nano)]) {
        let mut table = self.0.table();
        let at = Instant::now();
        table.paid_at = Some(at);
        for (account, value, deposit) in coins {
            table.newest.insert(*account, Departure { value: *value, deposit: *deposit, at });
        }
        while table.newest.len() > DEPARTURES_MAX {
            let oldest = table.newest.iter().min_by_key(|(_, departure)| departure.at);
            let Some(oldest) = oldest.map(|(account, _)| *account) else { break };
            table.newest.remove(&oldest);
        }
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
    use std::time::Duration;

    use super::*;

    const CHANNEL: Address = Address::basechain([7; 32]);

    #[test]
    fn coins_are_under_way_from_when_they_left_the_wallet_until_the_deposit_shows_them() {
        let departures = Departures::default();
        let before = Instant::now();
        let sending = departures.send();
        assert!(departures.is_sending() && departures.paid_at().is_none());
        sending.sent(&[(CHANNEL, Nano(7_613_520), Nano(20_000_000))]);
        assert!(!departures.is_sending());
        let after = departures.paid_at().unwrap_or(before) + Duration::from_millis(1);
        let under_way = |shown, at| departures.under_way(&CHANNEL, Nano(shown), at);
        assert_eq!(under_way(14_000_000, after), Nano(7_613_520));
        assert_eq!(under_way(20_000_000, after), Nano::ZERO, "they have arrived");
        assert_eq!(
            under_way(14_000_000, before),
            Nano::ZERO,
            "a wallet that was looked at before still holds them"
        );
        assert_eq!(departures.under_way(&Address::basechain([8; 32]), Nano::ZERO, after), Nano::ZERO);
        departures.refused(&CHANNEL);
        assert_eq!(under_way(14_000_000, after), Nano::ZERO, "they come back");
    }

    #[test]
    fn a_transfer_that_comes_to_nothing_leaves_nothing_behind() {
        let departures = Departures::default();
        drop(departures.send());
        assert!(!departures.is_sending() && departures.paid_at().is_none());
    }

    #[test]
    fn no_more_departures_are_kept_than_may_be() {
        let departures = Departures::default();
        for number in 0..=DEPARTURES_MAX {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&(number as u64).to_le_bytes());
            departures.send().sent(&[(Address::basechain(hash), Nano(1), Nano(1))]);
        }
        assert_eq!(departures.table().newest.len(), DEPARTURES_MAX);
    }
}
