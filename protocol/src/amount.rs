//! Integer money and token counts with checked arithmetic: the only numbers that a bill is made of.

use core::fmt;

/// An amount of money in nano: 1e-9 of one coin (TON, lately called Gram).
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct Nano(pub u64);

/// How many nano make one coin.
pub const NANO_PER_COIN: u64 = 1_000_000_000;

impl Nano {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// Returns `self + other`, or `None` where the sum does not fit.
    #[must_use]
    pub const fn plus(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// Returns `self - other`, or `None` where `other` is larger.
    #[must_use]
    pub const fn minus(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }

    /// Returns `self - other`, at least zero: for windows and headroom, never for balances.
    #[must_use]
    pub const fn saturating_minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Returns `self + other`, at most the largest amount: for limits, never for balances.
    #[must_use]
    pub const fn saturating_plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Parses a decimal number of coins, such as `0.05`, with at most nine digits after the point.
    ///
    /// # Errors
    /// [`AmountError`] names what cannot be read.
    pub fn from_coins(text: &str) -> Result<Self, AmountError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
            return Err(AmountError::Unreadable);
        }
        let whole: u64 = whole.parse().map_err(|_| AmountError::TooLarge)?;
        let padded = format!("{fraction:0<9}");
        let fraction: u64 = padded.parse().map_err(|_| AmountError::Unreadable)?;
        whole
            .checked_mul(NANO_PER_COIN)
            .and_then(|nano| nano.checked_add(fraction))
            .map(Self)
            .ok_or(AmountError::TooLarge)
    }
}

impl fmt::Display for Nano {
    /// Writes coins with at most nine digits after the point, trailing zeros dropped: `0.0042`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0.checked_div(NANO_PER_COIN).unwrap_or(0);
        let rest = self.0.checked_rem(NANO_PER_COIN).unwrap_or(0);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{rest:09}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

impl core::iter::Sum for Nano {
    /// Saturates: a sum at the limit is visibly wrong and never small.
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::saturating_plus)
    }
}

/// Why a text is not an amount of coins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not digits with at most nine decimals.
    #[error("not an amount of coins; write digits with at most nine decimals, such as 0.05")]
    Unreadable,
    /// More than 2^64 - 1 nano.
    #[error("more coins than the ledger can hold")]
    TooLarge,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coins_are_read_and_shown_without_loss() {
        for (text, nano) in
            [("0", 0), ("1", 1_000_000_000), ("0.05", 50_000_000), ("3.000000001", 3_000_000_001)]
        {
            assert_eq!(Nano::from_coins(text), Ok(Nano(nano)));
            assert_eq!(Nano(nano).to_string(), text);
        }
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for text in ["", ".", "-1", "1e3", "0.0000000001", "1,5"] {
            assert_eq!(Nano::from_coins(text), Err(AmountError::Unreadable), "{text}");
        }
        assert_eq!(Nano::from_coins("99999999999"), Err(AmountError::TooLarge));
    }
}
