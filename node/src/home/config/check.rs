//! Values that can be read and cannot be used: every number has its bounds, from a file as from a flag.

use std::net::SocketAddr;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::CHALLENGE_S_MAX;
use bombyx_protocol::limits::{BIDS_MAX, JOBS_MAX, LEDGER_WAIT};

use super::error::ConfigError;
use super::settings::{BuyConfig, CHALLENGE_PUBLIC_S, Coins, GatewayConfig, LedgerNetwork, NodeConfig};

/// Bytes of a key that protects a gateway beyond this machine: shorter ones can be guessed.
const KEY_BYTES_MIN: usize = 16;
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
        client.check_deposits()?;
        if self.gateway.enabled { self.gateway.check_doors() } else { Ok(()) }
    }
}

impl BuyConfig {
    /// Checks that a channel can be opened with the usual deposit.
    fn check_deposits(&self) -> Result<(), ConfigError> {
        let Self { deposit: Coins(usual), deposit_max: Coins(most), .. } = *self;
        let invalid = |why: String| Err(ConfigError::Invalid { place: "configuration".into(), why });
        for (key, coins) in [("client.deposit", usual), ("client.deposit_max", most)] {
            if coins == Nano::ZERO {
                return invalid(format!("{key} is 0, and a channel must hold something; use more"));
            }
        }
        if usual <= most {
            return Ok(());
        }
        let unset = if Self::default().deposit.0 == usual { " where it is not set" } else { "" };
        invalid(format!(
            "client.deposit_max is {most} coins, less than client.deposit, which is {usual} coins{unset}: set client.deposit to {most} \
             or less, or client.deposit_max to {usual} or more"
        ))
    }
}

impl GatewayConfig {
    /// Checks that nobody beyond this machine can spend the node's coins without a key.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] names the address and says what to do.
    pub fn check_doors(&self) -> Result<(), ConfigError> {
        let listen = self.listen;
        if is_loopback(&listen) {
            return Ok(());
        }
        let lacks = match self.key() {
            None => "without a key",
            Some(key) if key.len() < KEY_BYTES_MIN => "with a key that can be guessed",
            Some(_) => return Ok(()),
        };
        let why = format!(
            "the gateway would listen on {listen}, where other machines reach it, {lacks}: whoever does could spend this \
             node's coins. Set gateway.key (or BOMBYX_GATEWAY_KEY) to {KEY_BYTES_MIN} characters or more, or listen on \
             127.0.0.1"
        );
        Err(ConfigError::Invalid { place: "configuration".into(), why })
    }
}

/// Returns whether an address can be reached from this machine alone.
#[must_use]
pub(crate) fn is_loopback(address: &SocketAddr) -> bool {
    // `::ffff:127.0.0.1` is this machine as well, `::ffff:192.0.2.1` is not.
    address.ip().to_canonical().is_loopback()
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

    #[test]
    fn a_channel_that_may_hold_less_than_the_usual_deposit_is_refused_in_the_words_and_the_unit_of_its_user()
    {
        let refused = |text: &str| {
            let config = NodeConfig::parse(text, "config.toml", std::iter::empty()).unwrap();
            config.check().map_err(|error| error.to_string())
        };
        for (text, words) in [
            (
                "deposit_max = '0.5'",
                "client.deposit_max is 0.5 coins, less than client.deposit, which is 1 coins where it is not set: set",
            ),
            (
                "deposit_max = '0.5'\ndeposit = '0.7'",
                "client.deposit_max is 0.5 coins, less than client.deposit, which is 0.7 coins: set",
            ),
            ("deposit = '20'", "set client.deposit to 10 or less, or client.deposit_max to 20 or more"),
            ("deposit_max = '0'", "client.deposit_max is 0, and a channel must hold something; use more"),
            ("deposit = '0'", "client.deposit is 0, and a channel must hold something; use more"),
        ] {
            let told = refused(&format!("[client]\n{text}")).unwrap_err();
            assert!(told.contains(words) && !told.contains("nano"), "{told}");
        }
        refused("[client]\ndeposit_max = '0.5'\ndeposit = '0.5'").unwrap();
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

    /// Returns whether a gateway on `listen` with this key may start.
    fn gateway(listen: &str, key: &str) -> Result<(), String> {
        let mut config = NodeConfig::default();
        config.gateway.enabled = true;
        config.gateway.listen = listen.parse().unwrap();
        config.gateway.key = key.into();
        config.check().map_err(|error| error.to_string())
    }

    #[test]
    fn a_gateway_that_others_reach_needs_a_key() {
        for listen in [
            "0.0.0.0:4180",
            "[::]:4180",
            "[::ffff:0.0.0.0]:4180",
            "192.168.1.5:4180",
            "[::ffff:192.168.1.5]:4180",
            "10.0.0.1:0",
            "203.0.113.5:443",
            "[fe80::1]:4180",
            "[2001:db8::1]:4180",
            "169.254.1.1:1",
        ] {
            for key in ["", " ", "\t \n", "short", "fifteen letters", "               short               "] {
                let refused = gateway(listen, key).unwrap_err();
                assert!(refused.contains(listen) && refused.contains("gateway.key"), "{refused}");
                assert!(
                    key.trim().is_empty() || !refused.contains(key.trim()),
                    "a key is not shown: {refused}"
                );
            }
            gateway(listen, "sixteen letters!").unwrap();
        }
        for listen in ["127.0.0.1:4180", "127.3.2.1:0", "[::1]:4180", "[::ffff:127.0.0.1]:1"] {
            gateway(listen, "").unwrap();
            gateway(listen, "short").unwrap();
        }
    }

    #[test]
    fn a_gateway_that_does_not_run_needs_no_key() {
        let mut config = NodeConfig::default();
        config.gateway.listen = "0.0.0.0:4180".parse().unwrap();
        config.check().unwrap();
    }

    #[test]
    fn loopback_is_told_apart_from_everything_else() {
        for (address, own) in [
            ("127.0.0.1:1", true),
            ("127.255.0.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("[::ffff:0.0.0.0]:1", false),
            ("192.168.1.5:1", false),
            ("[::ffff:192.168.1.5]:1", false),
            ("[fe80::1]:1", false),
            ("203.0.113.5:1", false),
        ] {
            assert_eq!(is_loopback(&address.parse().unwrap()), own, "{address}");
        }
    }
}
