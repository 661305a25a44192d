//! `Instant` and `SystemTime` on tokio's clock instead of the machine's.
//!
//! libp2p and the node's swarm read the time from the crate of this name and from nowhere else.

use std::cell::Cell;
use std::ops::{Add, AddAssign, Sub, SubAssign};

pub use std::time::Duration;
pub use tokio::time::Instant;

/// Where virtual calendars begin: 2026-01-01 00:00:00 UTC, in seconds after 1970.
const BEGINNING: Duration = Duration::from_secs(1_767_225_600);

thread_local! {
    /// The moment that is [`BEGINNING`].
    static ORIGIN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Makes this moment the beginning of this thread's calendar. Without it, that is the first moment at which the thread
/// asks for the date.
pub fn begin_calendar() {
    ORIGIN.set(Some(Instant::now()));
}

/// A date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemTime(Duration);

/// The beginning of 1970.
pub const UNIX_EPOCH: SystemTime = SystemTime::UNIX_EPOCH;

/// The other date is later, by so much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemTimeError(Duration);

impl SystemTimeError {
    /// Returns the difference.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.0
    }
}

impl std::fmt::Display for SystemTimeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the other date is later by {:?}", self.0)
    }
}

impl std::error::Error for SystemTimeError {}

impl SystemTime {
    /// The beginning of 1970.
    pub const UNIX_EPOCH: Self = Self(Duration::ZERO);

    /// Returns the present date of the virtual calendar.
    #[must_use]
    pub fn now() -> Self {
        let origin = ORIGIN.get().unwrap_or_else(|| {
            begin_calendar();
            Instant::now()
        });
        Self(BEGINNING + origin.elapsed())
    }

    /// Returns what lies between an earlier date and this one.
    ///
    /// # Errors
    /// [`SystemTimeError`] when it is later.
    pub fn duration_since(&self, earlier: Self) -> Result<Duration, SystemTimeError> {
        self.0.checked_sub(earlier.0).ok_or_else(|| SystemTimeError(earlier.0.saturating_sub(self.0)))
    }

    /// Returns what has passed since.
    ///
    /// # Errors
    /// [`SystemTimeError`] when the date is still to come.
    pub fn elapsed(&self) -> Result<Duration, SystemTimeError> {
        Self::now().duration_since(*self)
    }

    /// Adds `duration`; `None` past the end of time.
    #[must_use]
    pub fn checked_add(&self, duration: Duration) -> Option<Self> {
        self.0.checked_add(duration).map(Self)
    }

    /// Subtracts `duration`; `None` before 1970.
    #[must_use]
    pub fn checked_sub(&self, duration: Duration) -> Option<Self> {
        self.0.checked_sub(duration).map(Self)
    }
}

impl Add<Duration> for SystemTime {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

impl AddAssign<Duration> for SystemTime {
    fn add_assign(&mut self, duration: Duration) {
        self.0 += duration;
    }
}

impl Sub<Duration> for SystemTime {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0 - duration)
    }
}

impl SubAssign<Duration> for SystemTime {
    fn sub_assign(&mut self, duration: Duration) {
        self.0 -= duration;
    }
}
