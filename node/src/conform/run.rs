//! A run: the node is met, every check is made, and each outcome is told as it comes.

use bombyx_protocol::ident::NodeId;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use serde::Serialize;
use tokio::time::timeout;

use super::check::Check;
use super::list::CHECKS;
use super::subject::Subject;
use super::verdict::{Checked, Outcome, broken};
use crate::error::NodeError;
use crate::net::probe::{self, ProbeError};
use crate::net::{self, NetError};
use crate::status::models::NameError;

/// What is checked, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The network's name.
    pub network: String,
    /// Where the node is, with its peer id.
    pub address: String,
    /// The model to ask for: its name, `NAME@` and the first digits of its id, or the id.
    pub model: Option<String>,
    /// Names of checks; all of them where none is named.
    pub only: Vec<String>,
    /// Seed of all identities.
    pub seed: [u8; 32],
}

/// What one check came to.
#[derive(Debug, Clone, Serialize)]
pub struct CheckReport {
    /// The check's name.
    pub check: &'static str,
    /// What holds where it passes.
    pub what: &'static str,
    /// The rules that it shows.
    pub rules: &'static [&'static str],
    /// What it came to.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What a run came to.
#[derive(Debug, Clone, Serialize)]
pub struct Conformance {
    /// The node that was checked.
    pub node: String,
    /// The model with which it was.
    pub model: Option<String>,
    /// Every check, in the order in which they ended.
    pub checks: Vec<CheckReport>,
}

/// Why a run did not begin.
#[derive(Debug, thiserror::Error)]
pub enum ConformError {
    /// The address or the network's name.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The node cannot be reached.
    #[error("{0}")]
    Unreachable(String),
    /// A check that is none.
    #[error("there is no check `{name}`; those that there are: {known}")]
    NoCheck {
        /// What was named.
        name: String,
        /// All names.
        known: String,
    },
    /// A model that the node does not offer.
    #[error("the node does not offer `{0}`")]
    NoModel(String),
}

impl From<ConformError> for NodeError {
    fn from(error: ConformError) -> Self {
        match error {
            ConformError::Net(error) => error.into(),
            ConformError::Unreachable(why) => Self::Uncheckable(why),
            ConformError::NoCheck { .. } => Self::Usage(error.to_string()),
            ConformError::NoModel(_) => NameError::Unknown(error.to_string()).into(),
        }
    }
}

impl Conformance {
    /// Returns the checks that failed.
    pub fn failed(&self) -> impl Iterator<Item = &CheckReport> {
        self.checks.iter().filter(|report| matches!(report.outcome, Outcome::Fail(_)))
    }

    /// Returns how many checks passed, failed, and did not apply.
    #[must_use]
    pub fn counts(&self) -> [usize; 3] {
        let count =
            |is: fn(&Outcome) -> bool| self.checks.iter().filter(|report| is(&report.outcome)).count();
        [
            count(|outcome| matches!(outcome, Outcome::Pass)),
            count(|outcome| matches!(outcome, Outcome::Fail(_))),
            count(|outcome| matches!(outcome, Outcome::NotApplicable(_))),
        ]
    }
}

/// Checks a node, and tells each outcome as it comes.
///
/// # Errors
/// [`ConformError`]: the run did not begin.
pub async fn run(options: Options, mut tell: impl FnMut(&CheckReport)) -> Result<Conformance, ConformError> {
    let chosen = chosen(&options.only)?;
    net::check_network(&options.network)?;
    let node = probe::node_at(&options.address)?;
    let place = (options.network, options.address, node);
    let subject = Subject::meet(place, options.model, options.seed).await.map_err(unreachable)?;
    if let Some(wanted) = subject.lacks_wanted() {
        return Err(ConformError::NoModel(wanted.to_owned()));
    }
    let model = subject.model().ok().map(|model| model.ask.model.to_string());
    let mut told = Conformance { node: shown(&node), model, checks: Vec::new() };
    let (waiting, quick): (Vec<&Check>, Vec<&Check>) = chosen.into_iter().partition(|check| check.waits);
    for check in quick {
        let report = made(check, &subject).await;
        tell(&report);
        told.checks.push(report);
    }
    let mut waiting: FuturesUnordered<_> = waiting.into_iter().map(|check| made(check, &subject)).collect();
    while let Some(report) = waiting.next().await {
        tell(&report);
        told.checks.push(report);
    }
    Ok(told)
}

fn unreachable(error: ProbeError) -> ConformError {
    match error {
        ProbeError::Net(error) => error.into(),
        ProbeError::Unreachable(_)
        | ProbeError::Closed(_)
        | ProbeError::NotOffered(_)
        | ProbeError::Stream(_) => ConformError::Unreachable(error.to_string()),
    }
}

fn shown(node: &NodeId) -> String {
    node.to_string()
}

fn chosen(only: &[String]) -> Result<Vec<&'static Check>, ConformError> {
    let is_known = |name: &&String| CHECKS.iter().any(|check| check.name == **name);
    if let Some(name) = only.iter().find(|name| !is_known(name)) {
        let known: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
        return Err(ConformError::NoCheck { name: name.clone(), known: known.join(", ") });
    }
    let is_chosen = |check: &&Check| only.is_empty() || only.iter().any(|name| name == check.name);
    Ok(CHECKS.iter().filter(is_chosen).collect())
}

async fn made(check: &'static Check, subject: &Subject) -> CheckReport {
    let found: Checked = timeout(check.within, (check.run)(subject))
        .await
        .unwrap_or_else(|_| broken(format!("it did not come to an end within {} s", check.within.as_secs())));
    CheckReport { check: check.name, what: check.what, rules: check.rules, outcome: found.into() }
}
