//! What the tests of the service share: the terms of a channel, and what its roles say and hear.
#![allow(clippy::unwrap_used)]
use std::time::Duration;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::{LedgerCall, LedgerEvent};
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use ed25519_dalek::SigningKey;
use tokio::time::timeout;

use super::LedgerService;
use crate::ledger::devnet::DEVNET_ID;
use crate::role::Role;

pub(super) const PATIENCE: Duration = Duration::from_secs(30);
pub(super) const DEPOSIT: Nano = Nano(1_000_000_000);
pub(super) const CHALLENGE_S: u32 = 60;

pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(super) fn terms(client: Address) -> ChannelTerms {
    ChannelTerms {
        network_id: DEVNET_ID,
        salt: 1,
        client_key: key(1).verifying_key().to_bytes(),
        provider_key: key(2).verifying_key().to_bytes(),
        client,
        provider: Address::basechain([9; 32]),
        challenge_s: CHALLENGE_S,
    }
}

pub(super) async fn hear(ledger_service: &mut LedgerService) -> (Role, LedgerEvent) {
    timeout(PATIENCE, ledger_service.events.recv()).await.unwrap().unwrap()
}

pub(super) async fn say(ledger_service: &LedgerService, role: Role, call: LedgerCall) {
    ledger_service.call(role, call).await.unwrap();
}
