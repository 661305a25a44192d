//! A broken invariant.

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{invariant}: {detail}")]
pub struct Broken {
    /// Which one.
    pub invariant: &'static str,
    /// What was seen.
    pub detail: String,
}

/// Returns the error that a broken invariant is.
pub(super) fn broken(invariant: &'static str, detail: String) -> Result<(), Broken> {
    Err(Broken { invariant, detail })
}

/// Checks that an invariant holds.
pub(super) fn hold(
    holds: bool,
    invariant: &'static str,
    detail: impl FnOnce() -> String,
) -> Result<(), Broken> {
    if holds { Ok(()) } else { broken(invariant, detail()) }
}
