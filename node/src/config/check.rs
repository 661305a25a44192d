//! Values that can be read and cannot be used: every number has its bounds, whoever set it.

use bombyx_protocol::channel::terms::CHALLENGE_S_MAX;
use bombyx_protocol::limits::{BIDS_MAX, JOBS_MAX, LEDGER_WAIT};

use super::{CHALLENGE_PUBLIC_S, ConfigError, LedgerNetwork, NodeConfig};

/// The longest time that an unused channel may stay open by configuration: a year.
const IDLE_CLOSE_S_MAX: u64 = 31_536_000;

impl NodeConfig {
    /// Checks every number against its bounds.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] names the first key that is out of bounds, and the bounds.
    pub fn check(&self) -> Result<(), ConfigError> {
        let (provide, client) = (&self.provide, &self.client);
        let challenge_min = match self.ledger.network {
            LedgerNetwork::Devnet => 1,
            LedgerNetwork::Testnet | LedgerNetwork::Mainnet => u64::from(CHALLENGE_PUBLIC_S),
        };
        let bounded = [
            ("ledger.poll_ms", self.ledger.poll_ms, 20, 3_600_000),
            ("provide.slots", u64::from(provide.slots), 1, JOBS_MAX as u64),
            (
                "provide.challenge_s",
                u64::from(provide.challenge_least_s(self.ledger.network)),
                challenge_min,
                u64::from(CHALLENGE_S_MAX),
            ),
            ("client.bid_window_ms", client.bid_window_ms, 1, 60_000),
            ("client.enough_bids", client.enough_bids as u64, 1, BIDS_MAX as u64),
            ("client.challenge_s", u64::from(client.challenge_s), 1, u64::from(CHALLENGE_S_MAX)),
            (
                "client.challenge_max_s",
                u64::from(client.challenge_max_s),
                u64::from(client.challenge_s),
                u64::from(CHALLENGE_S_MAX),
            ),
            ("client.deposit_max in nano", client.deposit_max.0.0, 1, u64::MAX),
            ("client.deposit in nano", client.deposit.0.0, 1, client.deposit_max.0.0),
        ];
        // Shorter than the wait for a ledger, a channel would be closed between two tries of one order.
        let idle_min = LEDGER_WAIT.0.div_ceil(1_000_000) * 2;
        let idle = [("client.idle_close_s", client.idle_close_s, idle_min, IDLE_CLOSE_S_MAX)];
        let idle = idle.into_iter().filter(|(_, value, _, _)| *value != 0);
        for (key, value, min, max) in bounded.into_iter().chain(idle) {
            if value < min || value > max {
                let why = format!("{key} is {value}; use {min} to {max}");
                return Err(ConfigError::Invalid { place: "configuration".into(), why });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_defaults_are_within_bounds_and_a_zero_is_named() {
        NodeConfig::default().check().unwrap();
        let mut config = NodeConfig::default();
        config.provide.slots = 0;
        let refused = config.check().unwrap_err().to_string();
        assert_eq!(refused, "configuration: provide.slots is 0; use 1 to 1024");
    }

    /// (`CH-35`)
    #[test]
    fn where_coins_are_worth_something_a_challenge_takes_an_hour_or_more() {
        let mut config = NodeConfig::default();
        assert_eq!(config.provide.challenge_least_s(config.ledger.network), 60);
        config.provide.challenge_s = 1;
        config.check().unwrap();
        for network in [LedgerNetwork::Testnet, LedgerNetwork::Mainnet] {
            config.ledger.network = network;
            config.provide.challenge_s = 3_599;
            let refused = config.check().unwrap_err().to_string();
            assert_eq!(refused, "configuration: provide.challenge_s is 3599; use 3600 to 1209600");
            config.provide.challenge_s = 0;
            config.check().unwrap();
            let least = config.provide.challenge_least_s(network);
            assert!(least >= 3_600 && least <= config.client.challenge_max_s);
        }
    }
}
