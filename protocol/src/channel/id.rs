//! The name of a channel: the account that its terms make on the ledger.

use core::fmt;
use core::str::FromStr;

use super::address::Address;
use crate::ident::{read_hex32, write_hex};

/// A channel: the hash of its account, which lies in the ledger's workchain 0. (`CH-1`)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct ChannelId(pub [u8; 32]);

impl ChannelId {
    /// Returns the channel's account as an address.
    #[must_use]
    pub const fn address(self) -> Address {
        Address::basechain(self.0)
    }
}

impl fmt::Display for ChannelId {
    /// Writes 64 hexadecimal digits, without the workchain.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for ChannelId {
    /// Writes the first 8 digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write_hex(f, &[a, b, c, d])
    }
}

impl FromStr for ChannelId {
    type Err = ChannelIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read_hex32(text).map(Self).ok_or(ChannelIdError)
    }
}

/// A text that names no channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a channel; expected the 64 hexadecimal digits of its account")]
pub struct ChannelIdError;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::codec;

    #[test]
    fn a_channel_is_written_as_its_account_and_read_back() {
        let id = ChannelId([0xfc; 32]);
        assert_eq!(id.to_string(), "fc".repeat(32));
        assert_eq!(format!("{id:?}"), "fcfcfcfc");
        assert_eq!(id.address().to_string(), format!("0:{id}"));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(format!("0:{id}").parse::<ChannelId>(), Err(ChannelIdError), "an address has a workchain");
    }

    #[test]
    fn its_bytes_are_those_of_the_account() {
        assert_eq!(codec::encode(&ChannelId([7; 32])), [7; 32]);
    }
}
