//! Where an account lives on the ledger.

use core::fmt;
use core::str::FromStr;

use crate::ident::{read_hex32, write_hex};

/// An account on the ledger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct Address {
    /// Only workchain 0 carries channels; [`super::terms::ChannelTerms::check`] refuses others.
    pub workchain: i8,
    /// Hash of the account's initial code and data.
    pub hash: [u8; 32],
}

impl Address {
    /// Returns the account with this hash in workchain 0.
    #[must_use]
    pub const fn basechain(hash: [u8; 32]) -> Self {
        Self { workchain: 0, hash }
    }
}

impl fmt::Display for Address {
    /// Returns the raw form: `0:` and 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.workchain)?;
        write_hex(f, &self.hash)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (workchain, hash) = text.split_once(':').ok_or(AddressError)?;
        let workchain = workchain.parse().map_err(|_| AddressError)?;
        Ok(Self { workchain, hash: read_hex32(hash).ok_or(AddressError)? })
    }
}

/// A text that is not a raw address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a raw address; expected workchain, colon and 64 hexadecimal digits, such as 0:fc0a...")]
pub struct AddressError;
