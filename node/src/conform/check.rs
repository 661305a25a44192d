//! What a check is.

use std::time::Duration;

use futures::future::BoxFuture;

use super::subject::Subject;
use super::verdict::Checked;

/// One check, as data.
pub(super) struct Check {
    /// Its name.
    pub(super) name: &'static str,
    /// What holds where it passes.
    pub(super) what: &'static str,
    /// The rules that it shows.
    pub(super) rules: &'static [&'static str],
    /// When it has failed for want of an end.
    pub(super) within: Duration,
    /// Whether it only waits most of the time: such checks run side by side, behind the others.
    pub(super) waits: bool,
    pub(super) run: for<'a> fn(&'a Subject) -> BoxFuture<'a, Checked>,
}
