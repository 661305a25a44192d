//! Amounts of money in scenarios.

use bombyx_protocol::amount::Nano;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount of money, written as a decimal number of coins in quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coins(pub Nano);

impl<'de> Deserialize<'de> for Coins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Nano::from_coins(&text).map(Self).map_err(|fault| D::Error::custom(format!("{text:?} is {fault}")))
    }
}

impl Serialize for Coins {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_string())
    }
}

pub(super) fn coins(nano: u64) -> Coins {
    Coins(Nano(nano))
}
