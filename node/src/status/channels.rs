//! The operator's view of channels: what the node or its store knows of each, completed from the ledger.

use std::collections::BTreeMap;
use std::time::Duration;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::earn::Earner;
use bombyx_protocol::channel::fault::PaymentFault;
use bombyx_protocol::channel::pay::Payer;
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::ident::NodeId;
use futures::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::{ChannelPhase, ChannelStatus, Direction, OwedStatus};
use crate::ledger::{ChannelAccount, CoinName, Ledger, Past};
use crate::net::unix_s;

/// Channels that are looked up side by side.
const LOOKS_AT_A_TIME: usize = 4;

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
    /// Fees that the channel has cost its client, in nano; nothing while the ledger does not answer. What a claim costs is not among
    /// them: it comes out of what the provider is paid.
    pub fees_nano: Option<u64>,
    /// How many seconds ago the ledger has shown this.
    pub seen_ago_s: Option<u64>,
    /// The logical time of its account's newest transaction then.
    #[serde(skip)]
    pub last_lt: Option<u64>,
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
    /// Coins in the wallet, in nano; nothing while the ledger does not answer. What has come back from a channel that is still shown
    /// with it, since it was looked at before, is not in it yet.
    pub balance_nano: Option<u64>,
    /// How many seconds ago the ledger has said so.
    pub balance_ago_s: Option<u64>,
    /// Coins between the wallet and its channels, in either direction, in nano: those that have left the one and are not seen in the
    /// other, and so are in none of the other amounts; nothing while the ledger does not tell what was sent.
    pub on_its_way_nano: Option<u64>,
    /// Fees of the wallet's newest transactions, in nano, at most 100; nothing while the ledger does not answer.
    pub wallet_fees_nano: Option<u64>,
    /// Fees of the channels that those transactions paid into and that are not in this list any more, in nano; nothing while the
    /// ledger does not answer, or where it tells no history of one of them.
    pub other_fees_nano: Option<u64>,
    /// What has led to these amounts: the past of the wallet, and of the channels that it has paid into.
    #[serde(skip)]
    pub(crate) pasts: BTreeMap<Address, Past>,
}

impl ChannelList {
    /// Returns channels of which nothing is known but what the node knows.
    pub(crate) fn new(node_id: String, channels: Vec<ChannelView>, owed: Vec<OwedStatus>) -> Self {
        Self {
            node_id,
            channels,
            owed,
            balance_nano: None,
            balance_ago_s: None,
            on_its_way_nano: None,
            wallet_fees_nano: None,
            other_fees_nano: None,
            pasts: BTreeMap::new(),
        }
    }

    /// Returns what a store's records say of the node's channels, with what the ledger, if there is one, says of them and of the
    /// wallet `within` this time.
    pub(crate) async fn of(
        node_id: NodeId,
        records: &[Record],
        ledger: Option<&Ledger>,
        within: Duration,
    ) -> Self {
        let channels = recorded(records).into_iter().map(ChannelView::from).collect();
        let mut list = Self::new(node_id.to_string(), channels, recorded_owed(records));
        let Some(ledger) = ledger else { return list };
        let end = Instant::now() + within;
        let wallet = async {
            let address = ledger.wallet_address()?;
            timeout_at(end, ledger.wallet_view(address)).await.ok()?.ok()
        };
        let looks = list.channels.iter_mut().map(|view| view.look_up(ledger, end));
        let looks = stream::iter(looks).buffered(LOOKS_AT_A_TIME).collect::<Vec<_>>();
        let (wallet, pasts) = tokio::join!(wallet, looks);
        let mut pasts: BTreeMap<ChannelId, Past> = pasts.into_iter().flatten().collect();
        let paid_into = wallet.iter().filter_map(|wallet| wallet.past.as_ref()).flat_map(Past::paid_into);
        let others = paid_into.filter(|account| !pasts.contains_key(account));
        let look =
            |account| async move { Some((account, timeout_at(end, ledger.past(account)).await.ok()?.ok()?)) };
        let others: Vec<_> = stream::iter(others).map(look).buffered(LOOKS_AT_A_TIME).collect().await;
        pasts.extend(others.into_iter().flatten());
        list.balance_ago_s = wallet.as_ref().map(|_| 0);
        list.account_for(wallet.as_ref(), pasts);
        list
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
        let listed: Option<Nano> = self.paying().map(|view| view.fees_nano.map(Nano)).sum();
        Some(listed?.saturating_plus(Nano(self.other_fees_nano?)))
    }

    /// Returns the channels that this node pays on and that the ledger may have, or has had.
    fn holding(&self) -> impl Iterator<Item = &ChannelView> {
        self.paying().filter(|view| view.is_there())
    }

    fn paying(&self) -> impl Iterator<Item = &ChannelView> {
        self.channels.iter().filter(|view| view.channel.direction == Direction::Paying)
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
        Record::Earner(record) => Some(earning(&Earner::restored(record.clone(), unix_s()))),
        Record::ChannelGone { .. } | Record::Receipt { .. } | Record::Reputation(_) => None,
    };
    records.iter().filter_map(status).collect()
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
            last_lt: None,
        }
    }
}

impl ChannelView {
    /// Returns whether the ledger may have the channel: one that is being opened, and that it has shown not to be there, holds
    /// nothing.
    const fn is_there(&self) -> bool {
        !matches!(self.channel.state, ChannelPhase::Opening) || self.seen_ago_s.is_none()
    }

    /// Looks it up on the ledger, and returns its past. What that does not answer until `end` stays unknown.
    async fn look_up(&mut self, ledger: &Ledger, end: Instant) -> Option<(ChannelId, Past)> {
        let account = account(&self.channel.account)?;
        let seen = timeout_at(end, ledger.channel(account.address())).await.ok()?.ok()?;
        self.show(seen.as_ref(), Duration::ZERO);
        Some((account, timeout_at(end, ledger.past(account)).await.ok()?.ok()?))
    }

    /// Completes it from what its account has done until then. Of one that is closed, that alone tells what was paid out.
    pub(crate) fn lived(&mut self, past: Option<&Past>) {
        self.fees_nano = past.map(|past| past.fees().0);
        if self.channel.state == ChannelPhase::Closed {
            self.settled_nano = past.map(|past| past.settled().0);
        }
    }

    /// Completes it from what the ledger showed so long ago.
    pub(crate) fn show(&mut self, seen: Option<&ChannelAccount>, ago: Duration) {
        self.seen_ago_s = Some(ago.as_secs());
        let seen = seen.filter(|state| state.epoch != 0);
        self.last_lt = seen.map(|state| state.last_lt);
        match seen {
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
        addition_nano: if payer.is_open() { payer.addition().0 } else { 0 },
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
    let seen = earner.shown().filter(|seen| seen.epoch != 0);
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
        addition_nano: 0,
        paid_nano: earner.paid().0,
        state,
        challenge_s: earner.terms().challenge_s,
    }
}
