//! The time of day.

use web_time::SystemTime;

/// Returns the present Unix second.
#[must_use]
pub fn unix_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
