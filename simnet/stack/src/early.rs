//! Calls that come before their author's connection: a provider dials nobody for a stranger's question.

use std::collections::BTreeMap;
use std::time::Duration;

use bombyx_protocol::ident::NodeId;
use tokio::time::Instant;

/// How long a call waits for its author's connection, as in the node's driver.
const EARLY_PATIENCE: Duration = Duration::from_secs(1);
/// Calls that wait for that at one host, as in the node's driver.
const EARLY_MAX: usize = 64;

/// Calls that wait, by the host that heard them: until when, whose, and what.
#[derive(Default)]
pub(crate) struct EarlyCalls {
    by_host: BTreeMap<u32, Vec<(Instant, NodeId, Vec<u8>)>>,
}

impl EarlyCalls {
    /// Keeps a call until its author is connected, in place of the oldest where too many wait at this host.
    pub(crate) fn hold(&mut self, host: u32, author: NodeId, bytes: Vec<u8>) {
        let now = Instant::now();
        let held = self.by_host.entry(host).or_default();
        held.retain(|(until, _, _)| *until > now);
        if held.len() >= EARLY_MAX {
            held.remove(0);
        }
        held.push((now + EARLY_PATIENCE, author, bytes));
    }

    /// Removes and returns the calls of an author that is connected now.
    pub(crate) fn take(&mut self, host: u32, author: &NodeId) -> Vec<Vec<u8>> {
        let now = Instant::now();
        let Some(held) = self.by_host.get_mut(&host) else { return Vec::new() };
        let (theirs, others) = std::mem::take(held).into_iter().partition(|(_, other, _)| other == author);
        *held = others;
        let theirs: Vec<(Instant, NodeId, Vec<u8>)> = theirs;
        theirs.into_iter().filter(|(until, _, _)| *until > now).map(|(_, _, bytes)| bytes).collect()
    }
}
