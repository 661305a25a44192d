//! What is due to a node and what it owes, with why it is not paid yet.

use std::collections::BTreeMap;
use std::fmt;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::limits::PAYOUT_MIN;
use serde::{Deserialize, Serialize};

use crate::ledger::CoinName;

/// Parties that a line names.
const NAMED_MAX: usize = 3;

/// What is due on one channel, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueStatus {
    /// The channel's account.
    pub account: String,
    /// Who owes it.
    pub peer: String,
    /// How much, in nano.
    pub due_nano: u64,
    /// Why it is not paid out yet.
    pub why: Unpaid,
}

/// Why what is due is not paid out yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unpaid {
    /// A close would pay nothing out.
    TooLittle,
    /// It is claimed later, all at once.
    NotYet,
    /// The ledger has not shown the channel since the start.
    NotSeen,
    /// A close is under way.
    Closing,
    /// Served on a channel that the ledger shows, and its client has sent no voucher for it.
    NoVoucher,
    /// Served on credit, and the ledger does not show the client's channel.
    NoChannel,
    /// Served, and given up.
    GivenUp,
}

impl Unpaid {
    /// Returns whether a voucher covers it, so that it can be claimed.
    #[must_use]
    pub const fn is_covered(self) -> bool {
        match self {
            Self::TooLittle | Self::NotYet | Self::NotSeen | Self::Closing => true,
            Self::NoVoucher | Self::NoChannel | Self::GivenUp => false,
        }
    }
}

impl fmt::Display for Unpaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLittle => write!(
                f,
                "less than {PAYOUT_MIN} coins, of which a close would pay nothing out; it grows with further jobs, and \
                 `bombyx channels close ACCOUNT` closes all the same"
            ),
            Self::NotYet => f.write_str(
                "claimed once `provide.settle_at` is due on the channel, or when it closes: `bombyx channels close ACCOUNT`, \
                 or the end of this node",
            ),
            Self::NotSeen => f.write_str("the ledger has not shown the channel since the start"),
            Self::Closing => f.write_str("the close is under way"),
            Self::NoVoucher => f.write_str("served, and its client has not paid for it yet: no more is served to it meanwhile"),
            Self::NoChannel => f.write_str(
                "served on credit in the last hour to clients whose channel the ledger does not show (a wallet that holds too \
                 little opens none); no more than `provide.credit` is served so to each, and `provide.credit_per_hour` to all",
            ),
            Self::GivenUp => f.write_str(
                "given up: a client did not pay for what was delivered; one that owes more than a window is served no more",
            ),
        }
    }
}

/// What is owed to a provider on a channel that the wallet could not open: the next answer that it can pay for pays that as well. (`CH-56`)
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwedStatus {
    /// To whom.
    pub peer: String,
    /// How much, in nano.
    pub owed_nano: u64,
}

impl OwedStatus {
    pub(crate) fn new(provider: NodeId, owed: Nano) -> Self {
        Self { peer: provider.to_string(), owed_nano: owed.0 }
    }
}

/// Returns what is owed in two lines, with what to do about it, behind a column of this width; nothing where nothing is owed.
pub(crate) fn owed_lines(owed: &[OwedStatus], coin: &CoinName, width: usize) -> Option<String> {
    let sum: Nano = owed.iter().map(|owed| Nano(owed.owed_nano)).sum();
    let to = names(owed.iter().map(|owed| (owed.peer.as_str(), Nano(owed.owed_nano))));
    (sum > Nano::ZERO).then(|| {
        format!(
            "{:width$}{} to {to}, served before the wallet held enough for a channel:\n{:width$}put coins into the wallet and ask \
             again: the next answer of each pays what it is owed",
            "owed",
            coin.amount(sum),
            ""
        )
    })
}

/// Returns with whom these amounts are, the largest first, as far as a line holds them.
pub(crate) fn names<'a>(amounts: impl Iterator<Item = (&'a str, Nano)>) -> String {
    let mut sums: BTreeMap<&str, Nano> = BTreeMap::new();
    for (peer, amount) in amounts {
        let sum = sums.entry(peer.get(..8).unwrap_or(peer)).or_default();
        *sum = sum.saturating_plus(amount);
    }
    let mut peers: Vec<(&str, Nano)> = sums.into_iter().collect();
    peers.sort_by_key(|(_, sum)| std::cmp::Reverse(*sum));
    let named: Vec<&str> = peers.iter().take(NAMED_MAX).map(|(peer, _)| *peer).collect();
    let more = match peers.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", named.join(", "))
}
