//! How a client gives a bid back, and why.

use crate::market::call::CallId;
use crate::wire::extension::Extensions;

/// Gives a bid back: its call is over, or it will not be awarded.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Release {
    /// The call that was bid for.
    pub call: CallId,
    /// Why.
    pub why: ReleaseReason,
    /// By how much of the winner's score the bid's was higher, in thousandths; 0 but where it was outscored.
    pub margin: u32,
    /// In how many milliseconds the client asks again; 0 where it does not know.
    pub come_back_ms: u32,
    /// What else it needs or offers.
    pub extensions: Extensions,
}

impl Release {
    /// Returns the release of a bid to this call, for this reason.
    #[must_use]
    pub const fn of(call: CallId, why: ReleaseReason) -> Self {
        Self { call, why, margin: 0, come_back_ms: 0, extensions: Extensions::NONE }
    }
}

/// Why a bid is not awarded: a code, of which a later version may have more. (`WI-17`)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseReason {
    /// Another bid scored lower.
    Outscored,
    /// It can cost more than the order allows.
    OverBudget,
    /// It came when the call was over.
    TooLate,
    /// Its tier, its terms or its provider do not suit the client.
    Unfit,
    /// Another bidder was better known, or named by the client's user, though its score was no lower.
    Preferred,
    /// A code of another version.
    Other(u32),
}

impl ReleaseReason {
    const fn code(self) -> u32 {
        match self {
            Self::Outscored => 0,
            Self::OverBudget => 1,
            Self::TooLate => 2,
            Self::Unfit => 3,
            Self::Preferred => 4,
            Self::Other(code) => code,
        }
    }
}

impl bincode::Encode for ReleaseReason {
    fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), bincode::error::EncodeError> {
        self.code().encode(encoder)
    }
}

impl<Context> bincode::Decode<Context> for ReleaseReason {
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        Ok(match u32::decode(decoder)? {
            0 => Self::Outscored,
            1 => Self::OverBudget,
            2 => Self::TooLate,
            3 => Self::Unfit,
            4 => Self::Preferred,
            code => Self::Other(code),
        })
    }
}

bincode::impl_borrow_decode!(ReleaseReason);
