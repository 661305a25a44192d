//! What a node holds: coins in its wallet, coins in its channels, and what the ledger took.

use std::time::Duration;

use bombyx_protocol::amount::Nano;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::handle::NodeHandle;
use crate::error::NodeError;
use crate::ledger::CoinName;
use crate::status::channels::ChannelList;
use crate::status::{ChannelPhase, Direction};

/// How long a channel may take to open before a bill is written without it.
const OPENING_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at a channel that opens.
const OPENING_PAUSE: Duration = Duration::from_millis(100);

/// What a node holds at one moment. What is not known, because the ledger does not answer, is absent and never zero.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holdings {
    /// Coins in the wallet, in nano.
    pub balance_nano: Option<u64>,
    /// Coins that this node's deposits hold, in nano.
    pub locked_nano: Option<u64>,
    /// Coins that the accounts of these channels hold beside the deposits, in nano: each pays for its close, and what is left of
    /// it comes back with the deposit.
    pub reserve_nano: Option<u64>,
    /// In how many channels.
    pub locked_in: usize,
    /// Channels that are being opened: what they will hold is not in [`Self::locked_nano`] yet.
    pub opening: usize,
    /// The longest time in seconds after which what is locked is free, counted from now or from when a close is asked for.
    pub locked_for_s_max: u32,
    /// Fees so far, of the wallet and of all channels, in nano.
    pub fees_nano: Option<u64>,
}

impl Holdings {
    /// Returns what the wallet and these channels hold.
    #[must_use]
    pub(crate) fn of(balance: Option<Nano>, list: &ChannelList) -> Self {
        let paying = || list.channels.iter().filter(|view| view.channel.direction == Direction::Paying);
        let open = || {
            paying()
                .filter(|view| !matches!(view.channel.state, ChannelPhase::Closed | ChannelPhase::Opening))
        };
        let opening = paying().filter(|view| view.channel.state == ChannelPhase::Opening);
        let frees_in_s = open().map(|view| view.locked_for_s.unwrap_or(view.channel.challenge_s));
        Self {
            balance_nano: balance.map(|Nano(nano)| nano),
            locked_nano: list.locked().map(|Nano(nano)| nano),
            reserve_nano: list.reserved().map(|Nano(nano)| nano),
            locked_in: open().count(),
            opening: opening.count(),
            locked_for_s_max: frees_in_s.max().unwrap_or(0),
            fees_nano: list.fees().map(|Nano(nano)| nano),
        }
    }

    /// Returns what the ledger took between two moments.
    #[must_use]
    pub(crate) fn fees_since(&self, before: &Self) -> Option<u64> {
        Some(self.fees_nano?.saturating_sub(before.fees_nano?))
    }

    /// Returns an amount in words; one that is not known is called so.
    fn words(nano: Option<u64>, coin: &CoinName) -> String {
        nano.map_or_else(|| "unknown".into(), |nano| coin.amount(Nano(nano)))
    }

    /// Returns what an answer of this price took and left, in words.
    #[must_use]
    pub(crate) fn bill(before: &Self, after: &Self, price: Nano, coin: &CoinName) -> String {
        let words = |nano| Self::words(nano, coin);
        let until = match after.locked_in {
            0 => String::new(),
            count => format!(
                " in {count} channel{}, and {} in reserve for {}: both come back, less what is promised and the fees, with the \
                 close, which takes {} s at most",
                if count == 1 { "" } else { "s" },
                words(after.reserve_nano),
                if count == 1 { "its close" } else { "their closes" },
                after.locked_for_s_max
            ),
        };
        let opening = match after.opening {
            0 => String::new(),
            1 => "; a channel is being opened".to_owned(),
            count => format!("; {count} channels are being opened"),
        };
        format!(
            "price {}, fees {}; locked {} before, now {}{until}{opening}; wallet {} before, now {}",
            coin.amount(price),
            words(after.fees_since(before)),
            words(before.locked_nano),
            words(after.locked_nano),
            words(before.balance_nano),
            words(after.balance_nano),
        )
    }
}

impl NodeHandle {
    /// Returns what the node holds, as the ledger showed it a moment ago. Nothing is waited for while the ledger is known not to
    /// answer.
    ///
    /// # Errors
    /// [`NodeError::Stopped`] when the node has ended.
    pub(crate) async fn holdings(&self) -> Result<Holdings, NodeError> {
        let (list, balance) = tokio::join!(self.channel_list(), self.balance());
        Ok(Holdings::of(balance, &list?))
    }

    /// Returns the same, once no channel is being opened any more, or after some seconds.
    ///
    /// # Errors
    /// As [`Self::holdings`].
    pub(crate) async fn holdings_at_rest(&self) -> Result<Holdings, NodeError> {
        let until = Instant::now() + OPENING_PATIENCE;
        while !self.ledger_is_silent() && Instant::now() < until {
            let channels = self.channels().await?;
            let is_opening = channels.iter().any(|channel| {
                channel.direction == Direction::Paying && channel.state == ChannelPhase::Opening
            });
            if !is_opening {
                break;
            }
            sleep(OPENING_PAUSE).await;
        }
        self.holdings().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_names_price_fees_and_what_is_locked_and_calls_unknown_what_is_not_known() {
        let coin = CoinName::default();
        let before = Holdings {
            balance_nano: Some(5_000_000_000),
            locked_nano: Some(0),
            fees_nano: Some(0),
            ..Holdings::default()
        };
        let after = Holdings {
            balance_nano: Some(4_980_000_000),
            locked_nano: Some(17_000_000),
            reserve_nano: Some(11_800_000),
            locked_in: 1,
            opening: 0,
            locked_for_s_max: 3_600,
            fees_nano: Some(2_960_000),
        };
        assert_eq!(
            Holdings::bill(&before, &after, Nano(17_400), &coin),
            "price 0.0000174 TON, fees 0.00296 TON; locked 0 TON before, now 0.017 TON in 1 channel, and \
             0.0118 TON in reserve for its close: both come back, less what is promised and the fees, with the close, which takes \
             3600 s at most; wallet 5 TON before, now 4.98 TON"
        );
        let dark = Holdings { locked_in: 1, locked_for_s_max: 60, ..Holdings::default() };
        let bill = Holdings::bill(&dark, &dark, Nano(17_400), &coin);
        for words in [
            "fees unknown",
            "locked unknown before, now unknown in 1 channel, and unknown in reserve",
            "wallet unknown before",
        ] {
            assert!(bill.contains(words), "{words}: {bill}");
        }
    }
}
