//! What the ledger's coin is called where amounts are shown; nothing else depends on it.

use std::fmt;
use std::str::FromStr;

use bombyx_protocol::amount::Nano;
use serde::{Deserialize, Serialize};

/// Letters and digits of a name.
const LETTERS_MAX: usize = 12;

/// The name of a coin: up to twelve letters and digits, so that it fits any page. `TON` unless the configuration says
/// otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CoinName(String);

/// Not the name of a coin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot name a coin; use 1 to {LETTERS_MAX} letters and digits")]
pub struct CoinNameError(String);

impl CoinName {
    /// Returns an amount in coins, with their name.
    #[must_use]
    pub fn amount(&self, nano: Nano) -> String {
        format!("{nano} {self}")
    }
}

impl Default for CoinName {
    fn default() -> Self {
        Self("TON".into())
    }
}

impl fmt::Display for CoinName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for CoinName {
    type Error = CoinNameError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let letters = name.chars().filter(|letter| letter.is_alphanumeric()).count();
        let plain = letters == name.chars().count();
        if plain && (1..=LETTERS_MAX).contains(&letters) { Ok(Self(name)) } else { Err(CoinNameError(name)) }
    }
}

impl From<CoinName> for String {
    fn from(name: CoinName) -> Self {
        name.0
    }
}

impl FromStr for CoinName {
    type Err = CoinNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::try_from(name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_stands_behind_its_amount_and_is_a_word() {
        let gram: CoinName = "Gram".parse().unwrap();
        assert_eq!(gram.amount(Nano(1_250_000_000)), "1.25 Gram");
        assert_eq!(CoinName::default().amount(Nano(1)), "0.000000001 TON");
        for wrong in ["", "<b>", "two words", "\u{1b}[31mred", "thirteen chars", "abcdefghijklm"] {
            assert!(wrong.parse::<CoinName>().is_err(), "{wrong}");
        }
    }
}
