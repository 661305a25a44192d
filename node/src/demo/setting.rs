//! What the demonstration is played with: models, amounts and times.

use bombyx_protocol::amount::Nano;

/// The model of the embedding job.
pub const EMBED_MODEL: &str = "all-minilm-l6-v2";
/// The model of the chat jobs.
pub const CHAT_MODEL: &str = "bombyx-chat-tiny";
/// Challenge time of the demo's channels: how long the client waits for the rest of a dead provider's deposit.
pub(super) const CHALLENGE_S: u32 = 8;
/// What the faucet gives to the client.
pub(super) const FUNDS: Nano = Nano(5_000_000_000);
/// What the client deposits in each channel.
pub(super) const DEPOSIT: Nano = Nano(500_000_000);
