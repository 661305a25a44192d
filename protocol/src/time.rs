//! Time as plain integers: an argument of every call into the core, so that runs can be saved and replayed.

use core::ops::Add;

/// Microseconds since an origin that the shell chose; never goes back within one run.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct Time(pub u64);

/// A length of time in microseconds.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct Span(pub u64);

impl Span {
    /// The longest span; a deadline that lies so far ahead is never reached.
    pub const MAX: Self = Self(u64::MAX);

    /// Returns a span of whole milliseconds; saturates.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000))
    }

    /// Returns a span of whole seconds; saturates.
    #[must_use]
    pub const fn from_s(s: u64) -> Self {
        Self(s.saturating_mul(1_000_000))
    }

    /// Returns whole milliseconds, rounded down.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0 / 1_000
    }

    /// Halves the span.
    #[must_use]
    pub const fn half(self) -> Self {
        Self(self.0 / 2)
    }
}

impl Time {
    /// A moment that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// Returns how long after `earlier` this is; zero where it is not after.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for Time {
    type Output = Self;

    /// Saturates: a deadline past the end of time is never reached.
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}
