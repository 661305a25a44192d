//! What a check comes to.

use serde::Serialize;

use crate::net::probe::ProbeError;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "why", rename_all = "kebab-case")]
pub enum Outcome {
    /// The node keeps the rule, as far as the check can see.
    Pass,
    /// The node breaks the rule.
    Fail(String),
    /// There was nothing to check.
    NotApplicable(String),
}

/// Why a check ended before its end.
#[derive(Debug)]
pub(super) enum Finding {
    /// The rule is broken.
    Broken(String),
    /// The check does not apply.
    Idle(String),
}

/// What a check returns.
pub(super) type Checked<T = ()> = Result<T, Finding>;

impl From<ProbeError> for Finding {
    fn from(error: ProbeError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<std::io::Error> for Finding {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(format!("a stream broke: {error}"))
    }
}

impl From<Checked> for Outcome {
    fn from(checked: Checked) -> Self {
        match checked {
            Ok(()) => Self::Pass,
            Err(Finding::Broken(why)) => Self::Fail(why),
            Err(Finding::Idle(why)) => Self::NotApplicable(why),
        }
    }
}

/// Returns that the rule is broken.
pub(super) fn broken<T>(why: impl Into<String>) -> Checked<T> {
    Err(Finding::Broken(why.into()))
}

/// Returns that the check does not apply.
pub(super) fn idle<T>(why: impl Into<String>) -> Checked<T> {
    Err(Finding::Idle(why.into()))
}

/// Returns that the rule is broken, unless it holds.
pub(super) fn holds(is_so: bool, else_why: impl FnOnce() -> String) -> Checked {
    if is_so { Ok(()) } else { broken(else_why()) }
}
