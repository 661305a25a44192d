//! How a provider wants to be paid, as one word that people can pass on.

use std::fmt;
use std::str::FromStr;

use bombyx_protocol::ident::NodeId;
use bombyx_protocol::market::bid::Payee;

/// A provider and its side of a channel's terms: `NODE/KEY/ADDRESS/CHALLENGE/NETWORK`.
///
/// Nothing in it is secret and nothing is signed: a wrong one costs the fees of a channel that nobody claims from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayeeCard {
    /// The node that is paid.
    pub provider: NodeId,
    /// How.
    pub payee: Payee,
}

/// What a card must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a provider's payee is NODE/KEY/ADDRESS/CHALLENGE/NETWORK, as its `bombyx status` shows it")]
pub struct PayeeCardError;

impl fmt::Display for PayeeCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Payee { network_id, key, address, challenge_s } = &self.payee;
        write!(f, "{}/{}/{address}/{challenge_s}/{network_id}", self.provider, hex::encode(key))
    }
}

impl FromStr for PayeeCard {
    type Err = PayeeCardError;

    fn from_str(text: &str) -> Result<Self, PayeeCardError> {
        let mut parts = text.trim().split('/');
        let mut next = || parts.next().ok_or(PayeeCardError);
        let provider = next()?.parse().map_err(|_| PayeeCardError)?;
        let key = hex::decode(next()?).ok().and_then(|key| key.try_into().ok()).ok_or(PayeeCardError)?;
        let address = next()?.parse().map_err(|_| PayeeCardError)?;
        let challenge_s = next()?.parse().map_err(|_| PayeeCardError)?;
        let network_id = next()?.parse().map_err(|_| PayeeCardError)?;
        if parts.next().is_some() {
            return Err(PayeeCardError);
        }
        Ok(Self { provider, payee: Payee { network_id, key, address, challenge_s } })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bombyx_protocol::channel::terms::Address;

    use super::*;

    #[test]
    fn a_card_is_read_as_it_was_written_and_nothing_else_is() {
        let payee =
            Payee { network_id: -3, key: [7; 32], address: Address::basechain([8; 32]), challenge_s: 600 };
        let card = PayeeCard { provider: NodeId([9; 32]), payee };
        let text = card.to_string();
        assert_eq!(text.parse(), Ok(card));
        let parts: Vec<&str> = text.split('/').collect();
        assert_eq!(parts.len(), 5);
        for wrong in 0..5 {
            let mut parts = parts.clone();
            parts[wrong] = "x";
            assert_eq!(parts.join("/").parse::<PayeeCard>(), Err(PayeeCardError), "{wrong}");
        }
        for wrong in ["", "/", &text[1..], &format!("{text}/1"), &parts[..4].join("/")] {
            assert_eq!(wrong.parse::<PayeeCard>(), Err(PayeeCardError), "{wrong}");
        }
    }
}
