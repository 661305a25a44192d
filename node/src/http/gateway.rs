//! What every request to the gateway is measured by: the node behind it, the policy of its owner, the budget.

use std::sync::Arc;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::time::Span;
use sha2::{Digest as _, Sha256};

use super::budget::Budget;
use crate::api::handle::NodeHandle;
use crate::home::config::{GatewayConfig, is_loopback};

/// Which callers the gateway serves, and what one request may cost, take and prefer unless it says otherwise.
#[derive(Clone)]
pub(super) struct GatewayPolicy {
    /// Digest of the bearer key that callers must send, if one is set.
    pub(super) key: Option<[u8; 32]>,
    /// Whether only this machine reaches the gateway, so that callers must call it by one of its names.
    pub(super) loopback: bool,
    /// Names that count as this machine's, beside its own.
    pub(super) hosts: Vec<String>,
    /// Origins of web pages that may use the gateway; where there are none, any page that has the key may.
    pub(super) origins: Vec<String>,
    /// The most that a request may cost, even if it allows more.
    pub(super) max_cost: Nano,
    pub(super) deadline: Span,
    /// What one millisecond less of waiting is worth, where the owner says so.
    pub(super) nano_per_ms: Option<u64>,
}

impl GatewayPolicy {
    pub(super) fn new(config: &GatewayConfig) -> Self {
        Self {
            // Without a key every program of this machine is let in.
            key: config.key().map(|key| digest(key.as_bytes())),
            loopback: is_loopback(&config.listen),
            hosts: config.hosts.clone(),
            origins: config.origins.clone(),
            max_cost: config.max_cost.0,
            deadline: Span::from_s(config.deadline_s),
            nano_per_ms: config.nano_per_ms,
        }
    }
}

#[derive(Clone)]
pub(super) struct Gateway {
    pub(super) node: NodeHandle,
    pub(super) policy: GatewayPolicy,
    pub(super) budget: Arc<Budget>,
}

pub(super) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
