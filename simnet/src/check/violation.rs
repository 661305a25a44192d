//! A broken invariant.

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{invariant}: {detail}")]
pub struct Violation {
    /// The invariant, in words.
    pub invariant: &'static str,
    /// The values that break it.
    pub detail: String,
}

/// Returns the error that a broken invariant is.
pub(super) fn violation(invariant: &'static str, detail: String) -> Result<(), Violation> {
    Err(Violation { invariant, detail })
}

/// Checks that an invariant holds.
pub(super) fn hold(
    holds: bool,
    invariant: &'static str,
    detail: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds { Ok(()) } else { violation(invariant, detail()) }
}
