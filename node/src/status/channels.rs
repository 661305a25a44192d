//! The operator's view of channels: what the node or its store knows of each, completed from the ledger.

use std::collections::BTreeSet;
use std::time::Duration;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::earn::Earner;
use bombyx_protocol::channel::fault::PaymentFault;
use bombyx_protocol::channel::pay::Payer;
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::ident::NodeId;
use futures::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout, timeout_at};

use super::{ChannelPhase, ChannelStatus, Direction, OwedStatus};
use crate::ledger::{ChannelAccount, ChannelLife, CoinName, Ledger};

/// Channels that are looked up side by side.
const LOOKS_AT_A_TIME: usize = 4;
/// The wallet's transactions whose fees are added up.
pub(crate) const WALLET_TRANSACTIONS_MAX: usize = 100;

/// Why a channel cannot be acted on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// No such channel.
    #[error("this node has no channel {0}")]
    Unknown(String),
    /// The other party's to fund.
    #[error("this node earns on channel {0}; only its client can add to the deposit")]
    NotPaying(String),
    /// Jobs are paid on that one.
    #[error("there is channel {0} to this provider already; `bombyx channels topup` adds to it")]
    Exists(String),
    /// More than one channel may hold.
    #[error(
        "this node locks {most} coins in one channel at the most; see `deposit_max` in the configuration"
    )]
    DepositTooHigh {
        /// The limit.
        most: Nano,
    },
    /// The terms cannot be accepted.
    #[error("a channel to this provider cannot be opened: {0}")]
    Refused(PaymentFault),
    /// Not seen on the ledger yet, or closing.
    #[error("channel {account} is {state}, not open")]
    NotOpen {
        /// Its account.
        account: String,
        /// How far it is.
        state: ChannelPhase,
    },
}

/// A channel with what the ledger shows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelView {
    /// What the node knows.
    #[serde(flatten)]
    pub channel: ChannelStatus,
    /// Paid out to the provider, in nano; nothing while the ledger does not answer, or where it tells no history of a closed one.
    pub settled_nano: Option<u64>,
    /// What its account still holds of the deposit, in nano; nothing while the ledger does not answer.
    pub locked_nano: Option<u64>,
    /// What its account holds beside the deposit, in nano: the reserve that pays for its close, of which the rest comes back to
    /// the client with it; nothing while the ledger does not answer.
    pub reserve_nano: Option<u64>,
    /// Unix time from which the client can take its rest back, once a close was asked for.
    pub locked_until_s: Option<u32>,
    /// The seconds until then, on the ledger's clock.
    pub locked_for_s: Option<u32>,
    /// Fees that the channel's account has paid to the network, in nano; nothing while the ledger does not answer.
    pub fees_nano: Option<u64>,
    /// How many seconds ago the ledger has shown this.
    pub seen_ago_s: Option<u64>,
}

/// Every channel of a node, as its admin page tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelList {
    /// Whose channels.
    pub node_id: String,
    /// In both directions.
    pub channels: Vec<ChannelView>,
    /// What was served before the wallet held enough for a channel, by provider. (`CH-56`)
    #[serde(default)]
    pub owed: Vec<OwedStatus>,
    /// Fees of the wallet's newest transactions, in nano, at most `WALLET_TRANSACTIONS_MAX`; nothing while the ledger
    /// does not answer.
    pub wallet_fees_nano: Option<u64>,
    /// Fees of the channels that those transactions paid into and that are not in this list any more, in nano; nothing while the
    /// ledger does not answer, or where it tells no history of one of them.
    pub other_fees_nano: Option<u64>,
}

impl ChannelList {
    /// Returns what a store's records say of the node's channels, with what the ledger, if there is one, says of them and of the
    /// wallet `within` this time.
    pub(crate) async fn of(
        node_id: NodeId,
        records: &[Record],
        ledger: Option<&Ledger>,
        within: Duration,
    ) -> Self {
        let node_id = node_id.to_string();
        let (channels, owed) = (recorded(records), recorded_owed(records));
        let Some(ledger) = ledger else {
            let channels = channels.into_iter().map(ChannelView::from).collect();
            return Self { node_id, channels, owed, wallet_fees_nano: None, other_fees_nano: None };
        };
        let wallet = async {
            let address = ledger.wallet_address()?;
            let fees = timeout(within, ledger.fees_paid(address, WALLET_TRANSACTIONS_MAX)).await.ok()?;
            fees.ok().map(|Nano(nano)| nano)
        };
        let listed: BTreeSet<ChannelId> =
            channels.iter().filter_map(|channel| account(&channel.account)).collect();
        let others = async {
            let fees = timeout(within, ledger.fees_of_others(&listed, WALLET_TRANSACTIONS_MAX)).await.ok()?;
            fees.ok().flatten().map(|Nano(nano)| nano)
        };
        let (channels, wallet_fees_nano, other_fees_nano) =
            tokio::join!(looked_up(ledger, channels, within), wallet, others);
        Self { node_id, channels, owed, wallet_fees_nano, other_fees_nano }
    }

    /// Returns what this node's own deposits still hold; nothing while the ledger has not said so
    /// of one of them.
    #[must_use]
    pub fn locked(&self) -> Option<Nano> {
        self.holding().map(|view| view.locked_nano.map(Nano)).sum()
    }

    /// Returns the same in words.
    #[must_use]
    pub fn locked_words(&self, coin: &CoinName) -> String {
        self.locked().map_or_else(|| "an unknown amount".into(), |locked| coin.amount(locked))
    }

    /// Returns what this node's own deposits hold beside what is promised: see [`ChannelView::reserve_nano`].
    #[must_use]
    pub fn reserved(&self) -> Option<Nano> {
        self.holding().map(|view| view.reserve_nano.map(Nano)).sum()
    }

    /// Returns what the accounts of this wallet's channels have paid in fees, each once: those that are listed, whatever has
    /// become of them, and the others; nothing while the ledger has not said so of one of them. Those of a channel that it earns
    /// on are its client's.
    #[must_use]
    pub fn channel_fees(&self) -> Option<Nano> {
        let listed: Option<Nano> = self.holding().map(|view| view.fees_nano.map(Nano)).sum();
        Some(listed?.saturating_plus(Nano(self.other_fees_nano?)))
    }

    /// Returns the channels that this node pays on and that the ledger may have, or has had.
    fn holding(&self) -> impl Iterator<Item = &ChannelView> {
        let paying = self.channels.iter().filter(|view| view.channel.direction == Direction::Paying);
        paying.filter(|view| view.is_there())
    }

    /// Returns the fees of channels and wallet together; nothing while the ledger has not said so of one of them.
    #[must_use]
    pub fn fees(&self) -> Option<Nano> {
        Some(self.channel_fees()?.saturating_plus(Nano(self.wallet_fees_nano?)))
    }
}

/// Returns what is owed on channels that were not opened, by a store's records. (`CH-56`)
fn recorded_owed(records: &[Record]) -> Vec<OwedStatus> {
    let payer = |record: &Record| {
        if let Record::Payer(record) = record { Some(Payer::restored(record.clone())) } else { None }
    };
    let owed = |payer: Payer| OwedStatus::new(payer.provider(), payer.cumulative());
    records.iter().filter_map(payer).filter(Payer::is_debt).map(owed).collect()
}

/// Returns the channels in a store's records.
fn recorded(records: &[Record]) -> Vec<ChannelStatus> {
    let paying_on = |payer: Payer| (!payer.is_debt()).then(|| paying(&payer));
    let status = |record: &Record| match record {
        // What the ledger has shown gone is kept for the case that this was untrue, and is no channel to anybody's eyes.
        Record::Payer(record) if record.gone => None,
        Record::Earner(record) if record.gone => None,
        Record::Payer(record) => paying_on(Payer::restored(record.clone())),
        Record::Earner(record) => Some(earning(&Earner::restored(record.clone()))),
        Record::ChannelGone { .. } | Record::Receipt { .. } | Record::Reputation(_) => None,
    };
    records.iter().filter_map(status).collect()
}

/// Looks every channel up on the ledger. What it does not answer `within` this time stays unknown.
async fn looked_up(ledger: &Ledger, channels: Vec<ChannelStatus>, within: Duration) -> Vec<ChannelView> {
    let end = Instant::now() + within;
    let look = |channel: ChannelStatus| async move {
        let mut view = ChannelView::from(channel);
        // An unanswered look leaves the view as it was.
        let _ = timeout_at(end, view.look_up(ledger)).await;
        view
    };
    stream::iter(channels).map(look).buffered(LOOKS_AT_A_TIME).collect().await
}

impl From<ChannelStatus> for ChannelView {
    /// Without what only the ledger knows.
    fn from(channel: ChannelStatus) -> Self {
        Self {
            channel,
            settled_nano: None,
            locked_nano: None,
            reserve_nano: None,
            locked_until_s: None,
            locked_for_s: None,
            fees_nano: None,
            seen_ago_s: None,
        }
    }
}

impl ChannelView {
    /// Returns whether the ledger may have the channel: one that is being opened, and that it has shown not to be there, holds
    /// nothing and has cost nothing.
    const fn is_there(&self) -> bool {
        !matches!(self.channel.state, ChannelPhase::Opening) || self.seen_ago_s.is_none()
    }

    async fn look_up(&mut self, ledger: &Ledger) {
        let Some(account) = account(&self.channel.account) else { return };
        let Ok(seen) = ledger.channel(account.address()).await else { return };
        self.show(seen.as_ref(), Duration::ZERO);
        self.lived(ledger.life(account).await.ok().flatten());
    }

    /// Completes it from the history of its account. Of one that is closed, that alone tells what was paid out.
    pub(crate) fn lived(&mut self, life: Option<ChannelLife>) {
        self.fees_nano = life.map(|life| life.fees.0);
        if self.channel.state == ChannelPhase::Closed {
            self.settled_nano = life.map(|life| life.settled.0);
        }
    }

    /// Completes it from what the ledger showed so long ago.
    pub(crate) fn show(&mut self, seen: Option<&ChannelAccount>, ago: Duration) {
        self.seen_ago_s = Some(ago.as_secs());
        match seen.filter(|state| state.epoch != 0) {
            Some(state) => {
                self.settled_nano = Some(state.settled.0);
                let locked = state.deposit.saturating_minus(state.settled);
                self.locked_nano = Some(locked.0);
                self.reserve_nano = Some(state.balance.saturating_minus(locked).0);
                self.locked_until_s = (state.close_at_s != 0).then_some(state.close_at_s);
                let now_s =
                    state.chain_time_s.saturating_add(u32::try_from(ago.as_secs()).unwrap_or(u32::MAX));
                self.locked_for_s = self.locked_until_s.map(|until_s| until_s.saturating_sub(now_s));
                self.channel.deposit_nano = state.deposit.0;
                if self.channel.state == ChannelPhase::Opening {
                    self.channel.state = ChannelPhase::Open;
                }
                if state.close_at_s != 0 {
                    self.channel.state = ChannelPhase::Closing;
                }
            }
            None if self.channel.state == ChannelPhase::Opening => {}
            None => {
                self.channel.state = ChannelPhase::Closed;
                (self.locked_nano, self.reserve_nano) = (Some(0), Some(0));
            }
        }
    }
}

/// Reads a channel's account: 64 hexadecimal digits, with or without the workchain before them.
#[must_use]
pub(crate) fn account(text: &str) -> Option<ChannelId> {
    text.strip_prefix("0:").unwrap_or(text).parse().ok()
}

/// Returns a channel that this node pays on.
pub(crate) fn paying(payer: &Payer) -> ChannelStatus {
    let state = match (payer.is_open(), payer.is_usable()) {
        (_, false) => ChannelPhase::Closing,
        (false, true) => ChannelPhase::Opening,
        (true, true) => ChannelPhase::Open,
    };
    ChannelStatus {
        account: payer.account().to_string(),
        direction: Direction::Paying,
        peer: provider_name(payer.provider()),
        deposit_nano: payer.record().deposit.0,
        paid_nano: payer.cumulative().0,
        state,
        challenge_s: payer.terms().challenge_s,
    }
}

/// Returns a provider's id, or that only the key in its terms is known.
pub(crate) fn provider_name(provider: NodeId) -> String {
    if provider == NodeId::UNKNOWN { "unknown".into() } else { provider.to_string() }
}

/// Returns a channel that this node earns on.
pub(crate) fn earning(earner: &Earner) -> ChannelStatus {
    let seen = earner.seen().filter(|seen| seen.epoch != 0);
    let state = match seen {
        None => ChannelPhase::Opening,
        Some(seen) if seen.closing.is_some() => ChannelPhase::Closing,
        Some(_) => ChannelPhase::Open,
    };
    ChannelStatus {
        account: earner.account().to_string(),
        direction: Direction::Earning,
        peer: earner.client().to_string(),
        deposit_nano: seen.map_or(0, |seen| seen.deposit.0),
        paid_nano: earner.paid().0,
        state,
        challenge_s: earner.terms().challenge_s,
    }
}
