//! Why a provider does not do, or stops, a job: a code for each cause, with one number where there is something to say.

/// Why a provider does not do, or stops, a job.
///
/// On the wire it is a code and a number, so that a code of a later version reads as [`Refusal::Other`]. (`WI-17`)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// No such bid, or it has expired, or it is another's.
    #[error("the bid is unknown to the provider or has expired")]
    UnknownBid,
    /// The award's price is below the bid.
    #[error("the award's price is below the bid")]
    PriceBelowBid,
    /// No slot is free.
    #[error("the provider has no free slot")]
    Busy,
    /// A message could not be read or verified.
    #[error("a message could not be read or verified")]
    Malformed,
    /// The channel's terms are not acceptable.
    #[error("the channel's terms are not acceptable")]
    ChannelTerms,
    /// The channel is not on the ledger, or not funded enough for this job.
    #[error("the channel is not funded for this job")]
    Unfunded,
    /// No payment came for what was served.
    #[error("no payment came for what was served")]
    Unpaid,
    /// A voucher that does not verify, or takes back what was paid.
    #[error("a voucher does not verify")]
    BadVoucher,
    /// The engine failed.
    #[error("the provider's engine failed")]
    Engine,
    /// The node is leaving.
    #[error("the provider is leaving")]
    Leaving,
    /// The provider could not see a close in time, beside the other channels that it watches. (`CH-35`)
    #[error("the provider cannot watch one more channel with so short a challenge time")]
    ChallengeTooShort,
    /// A message bears an extension that must be understood, and is not. (`WI-16`)
    #[error("a message needs an extension that the provider does not understand")]
    NotUnderstood,
    /// There is nothing to do: no input, no message, or no token to make.
    #[error("the task is empty")]
    EmptyTask,
    /// Vectors were asked of a model that makes text, or the other way round.
    #[error("the model does another kind of work")]
    WrongKind,
    /// More inputs than a task may have.
    #[error("the task has too many inputs, the limit is {0}")]
    TooManyInputs(u64),
    /// More messages than a task may have.
    #[error("the conversation has too many messages, the limit is {0}")]
    TooManyMessages(u64),
    /// More stop strings than a task may have.
    #[error("the task has too many stop strings, the limit is {0}")]
    TooManyStops(u64),
    /// A stop string that is empty, or longer than so many bytes.
    #[error("a stop string is empty or longer than {0} bytes")]
    BadStop(u64),
    /// More bytes than the text and the prefix of a task may have.
    #[error("the task is longer than {0} bytes")]
    TaskTooLong(u64),
    /// More tokens than the model reads at once.
    #[error("this model's maximum context length is {0} tokens, and the text has more")]
    OverContext(u64),
    /// A token id of the prefix that the model does not have.
    #[error("token {0} of the prefix is not in the model's vocabulary")]
    BadToken(u64),
    /// The prefix goes on after the answer has ended.
    #[error("the prefix goes on after the answer's end")]
    BadPrefix,
    /// An input that the model's tokenizer makes nothing of.
    #[error("input {0} has no tokens")]
    BadInput(u64),
    /// The model's chat template takes no such conversation.
    #[error("the model's chat template refuses the conversation")]
    BadConversation,
    /// The provider counts so many input tokens, and the client another number.
    #[error("the provider counts {0} input tokens")]
    Counts(u64),
    /// The task does not fit the size classes of the call.
    #[error("the task does not fit the size classes of its call")]
    OtherClass,
    /// The most that the task can cost fits no amount.
    #[error("the most that the task can cost fits no amount")]
    BillTooLarge,
    /// The session that an award builds on is not kept any more. (`SE-24`)
    #[error("the provider does not keep the session any more")]
    NoSession,
    /// The task does not show that its client holds the key of the channel that is to pay. (`CH-53`)
    #[error("the task does not prove that the channel is its client's own")]
    BadKeyProof,
    /// A code of another version.
    #[error("for a reason that this node does not know (code {code})")]
    Other {
        /// The code.
        code: u32,
        /// What goes with it.
        detail: u64,
    },
}

impl Refusal {
    /// Returns whether the task itself is refused, so that every provider of the model would refuse it. (`MK-47`)
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::EmptyTask
            | Self::WrongKind
            | Self::TooManyInputs(_)
            | Self::TooManyMessages(_)
            | Self::TooManyStops(_)
            | Self::BadStop(_)
            | Self::TaskTooLong(_)
            | Self::OverContext(_)
            | Self::BadToken(_)
            | Self::BadPrefix
            | Self::BadInput(_)
            | Self::BadConversation => true,
            Self::UnknownBid
            | Self::PriceBelowBid
            | Self::Busy
            | Self::Malformed
            | Self::ChannelTerms
            | Self::Unfunded
            | Self::Unpaid
            | Self::BadVoucher
            | Self::Engine
            | Self::Leaving
            | Self::ChallengeTooShort
            | Self::NotUnderstood
            | Self::Counts(_)
            | Self::OtherClass
            | Self::BillTooLarge
            | Self::NoSession
            | Self::BadKeyProof
            | Self::Other { .. } => false,
        }
    }

    /// Returns the code and the number that goes with it, 0 where none does.
    #[must_use]
    pub const fn parts(self) -> (u32, u64) {
        match self {
            Self::UnknownBid => (0, 0),
            Self::PriceBelowBid => (1, 0),
            Self::Busy => (2, 0),
            Self::Malformed => (3, 0),
            Self::ChannelTerms => (4, 0),
            Self::Unfunded => (5, 0),
            Self::Unpaid => (6, 0),
            Self::BadVoucher => (7, 0),
            Self::Engine => (8, 0),
            Self::Leaving => (9, 0),
            Self::ChallengeTooShort => (10, 0),
            Self::NotUnderstood => (11, 0),
            Self::EmptyTask => (12, 0),
            Self::WrongKind => (13, 0),
            Self::TooManyInputs(detail) => (14, detail),
            Self::TooManyMessages(detail) => (15, detail),
            Self::TooManyStops(detail) => (16, detail),
            Self::BadStop(detail) => (17, detail),
            Self::TaskTooLong(detail) => (18, detail),
            Self::OverContext(detail) => (19, detail),
            Self::BadToken(detail) => (20, detail),
            Self::BadPrefix => (21, 0),
            Self::BadInput(detail) => (22, detail),
            Self::BadConversation => (23, 0),
            Self::Counts(detail) => (24, detail),
            Self::OtherClass => (25, 0),
            Self::BillTooLarge => (26, 0),
            Self::NoSession => (27, 0),
            Self::BadKeyProof => (28, 0),
            Self::Other { code, detail } => (code, detail),
        }
    }

    /// Returns the refusal that a code and its number stand for; none if the code has no number and one came with it.
    /// (`WI-17`)
    #[must_use]
    pub const fn of(code: u32, detail: u64) -> Option<Self> {
        let refusal = match code {
            0 => Self::UnknownBid,
            1 => Self::PriceBelowBid,
            2 => Self::Busy,
            3 => Self::Malformed,
            4 => Self::ChannelTerms,
            5 => Self::Unfunded,
            6 => Self::Unpaid,
            7 => Self::BadVoucher,
            8 => Self::Engine,
            9 => Self::Leaving,
            10 => Self::ChallengeTooShort,
            11 => Self::NotUnderstood,
            12 => Self::EmptyTask,
            13 => Self::WrongKind,
            14 => Self::TooManyInputs(detail),
            15 => Self::TooManyMessages(detail),
            16 => Self::TooManyStops(detail),
            17 => Self::BadStop(detail),
            18 => Self::TaskTooLong(detail),
            19 => Self::OverContext(detail),
            20 => Self::BadToken(detail),
            21 => Self::BadPrefix,
            22 => Self::BadInput(detail),
            23 => Self::BadConversation,
            24 => Self::Counts(detail),
            25 => Self::OtherClass,
            26 => Self::BillTooLarge,
            27 => Self::NoSession,
            28 => Self::BadKeyProof,
            _ => Self::Other { code, detail },
        };
        if refusal.parts().1 == detail { Some(refusal) } else { None }
    }
}

impl bincode::Encode for Refusal {
    fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), bincode::error::EncodeError> {
        self.parts().encode(encoder)
    }
}

impl<Context> bincode::Decode<Context> for Refusal {
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        let (code, detail) = bincode::Decode::decode(decoder)?;
        Self::of(code, detail).ok_or(bincode::error::DecodeError::Other("a number where none stands"))
    }
}

bincode::impl_borrow_decode!(Refusal);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::wire::codec::{decode, encode};

    /// (`WI-17`)
    #[test]
    fn every_code_has_one_form_and_an_unknown_one_is_a_refusal_too() {
        let last = Refusal::BadKeyProof.parts().0;
        for code in 0..=last {
            let plain = Refusal::of(code, 0).unwrap();
            assert!(!matches!(plain, Refusal::Other { .. }), "{code} has a name");
            assert_eq!(plain.parts(), (code, 0));
            for detail in [0, 77] {
                let read = decode::<Refusal>(&encode(&(code, detail)));
                assert_eq!(read.ok(), Refusal::of(code, detail), "{code} {detail}");
            }
        }
        assert_eq!(Refusal::of(2, 77), None, "busy has no number");
        for code in [last + 1, u32::MAX] {
            assert_eq!(decode(&encode(&(code, 5_u64))), Ok(Refusal::Other { code, detail: 5 }));
        }
    }
}
