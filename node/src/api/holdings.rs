//! What a node holds: coins in its wallet, coins in its channels, and what the ledger took.

use std::collections::BTreeMap;
use std::time::Duration;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::handle::NodeHandle;
use crate::error::NodeError;
use crate::ledger::{CoinName, Past};
use crate::status::books::fees_between;
use crate::status::channels::ChannelList;
use crate::status::{self, ChannelPhase, Direction};

/// How long a channel may take to open before a bill is written without it.
const OPENING_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at a channel that opens.
const OPENING_PAUSE: Duration = Duration::from_millis(100);

/// What a node holds at one moment. What is not known, because the ledger does not answer, is absent and never zero.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Holdings {
    /// Coins in the wallet, in nano.
    pub balance_nano: Option<u64>,
    /// How many seconds ago the ledger has said so.
    pub balance_ago_s: Option<u64>,
    /// Whether it answered just now: else these amounts are what it showed last.
    pub ledger_answers: bool,
    /// Coins between the wallet and its channels, which the ledger shows in neither, in nano: they are in none of the other amounts.
    pub on_its_way_nano: Option<u64>,
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
    /// What has led to them.
    #[serde(skip)]
    pasts: BTreeMap<Address, Past>,
}

impl Holdings {
    /// Returns what the wallet and these channels hold, and what is on its way between them.
    #[must_use]
    pub(crate) fn of(list: &ChannelList) -> Self {
        let paying = || list.channels.iter().filter(|view| view.channel.direction == Direction::Paying);
        let open = || {
            paying()
                .filter(|view| !matches!(view.channel.state, ChannelPhase::Closed | ChannelPhase::Opening))
        };
        let opening = paying().filter(|view| view.channel.state == ChannelPhase::Opening);
        let frees_in_s = open().map(|view| view.locked_for_s.unwrap_or(view.channel.challenge_s));
        Self {
            balance_nano: list.balance_nano,
            balance_ago_s: list.balance_ago_s,
            ledger_answers: true,
            on_its_way_nano: list.on_its_way_nano,
            locked_nano: list.locked().map(|Nano(nano)| nano),
            reserve_nano: list.reserved().map(|Nano(nano)| nano),
            locked_in: open().count(),
            opening: opening.count(),
            locked_for_s_max: frees_in_s.max().unwrap_or(0),
            fees_nano: list.fees().map(|Nano(nano)| nano),
            pasts: list.pasts.clone(),
        }
    }

    /// Returns what the ledger took between two moments; nothing where it does not answer, so that what was last known is old.
    #[must_use]
    pub(crate) fn fees_since(&self, before: &Self) -> Option<u64> {
        let is_known = self.ledger_answers && self.fees_nano.is_some() && before.fees_nano.is_some();
        is_known.then(|| fees_between(&before.pasts, &self.pasts).0)
    }

    /// Returns an amount in words; one that is not known is called so.
    fn words(nano: Option<u64>, coin: &CoinName) -> String {
        nano.map_or_else(|| "unknown".into(), |nano| coin.amount(Nano(nano)))
    }

    /// Returns what an answer of this price took, with these fees, and left, in words.
    #[must_use]
    pub(crate) fn bill(
        before: &Self,
        after: &Self,
        price: Nano,
        fees_nano: Option<u64>,
        coin: &CoinName,
    ) -> String {
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
        let on_its_way = match (before.on_its_way_nano, after.on_its_way_nano) {
            (Some(0), Some(0)) => String::new(),
            (before, after) => {
                format!(
                    "; on its way between wallet and channels {} before, now {}",
                    words(before),
                    words(after)
                )
            }
        };
        format!(
            "price {}, fees {}; locked {} before, now {}{until}{opening}{on_its_way}; wallet {} before, now {}",
            coin.amount(price),
            words(fees_nano),
            words(before.locked_nano),
            words(after.locked_nano),
            words(before.balance_nano),
            status::balance(after.balance_nano, after.balance_ago_s, !after.ledger_answers, coin),
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
        let holdings = Holdings::of(&self.channel_list().await?);
        let is_news = |ago_s| self.pages.is_news(Duration::from_secs(ago_s));
        let ledger_answers = holdings.balance_ago_s.is_some_and(is_news) && !self.ledger_is_silent();
        Ok(Holdings { ledger_answers, ..holdings })
    }

    /// Returns the same, once no channel is being opened any more and it is known of every coin whether it has left the wallet, or
    /// after some seconds.
    ///
    /// # Errors
    /// As [`Self::holdings`].
    pub(crate) async fn holdings_at_rest(&self) -> Result<Holdings, NodeError> {
        let until = Instant::now() + OPENING_PATIENCE;
        let departures = self.ledger().departures();
        loop {
            let channels = self.channels().await?;
            let is_opening = channels.iter().any(|channel| {
                channel.direction == Direction::Paying && channel.state == ChannelPhase::Opening
            });
            // Asked for, and perhaps not sent yet.
            let is_added_to = channels.iter().any(|channel| channel.addition_nano > 0);
            let may_wait = !self.ledger_is_silent() && Instant::now() < until;
            if may_wait && (is_opening || departures.is_sending()) {
                sleep(OPENING_PAUSE).await;
                continue;
            }
            let paid_at = departures.paid_at();
            let holdings = self.holdings().await?;
            // Coins that moved meanwhile may be in the one amount and not in the other.
            let has_moved = paid_at != departures.paid_at() || departures.is_sending();
            let is_unsent = is_added_to && holdings.on_its_way_nano == Some(0);
            if !may_wait || !(has_moved || is_unsent) {
                return Ok(holdings);
            }
            sleep(OPENING_PAUSE).await;
        }
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
            on_its_way_nano: Some(0),
            locked_nano: Some(0),
            fees_nano: Some(0),
            ..Holdings::default()
        };
        let after = Holdings {
            balance_nano: Some(4_980_000_000),
            on_its_way_nano: Some(0),
            locked_nano: Some(17_000_000),
            reserve_nano: Some(11_800_000),
            ledger_answers: true,
            locked_in: 1,
            opening: 0,
            locked_for_s_max: 3_600,
            fees_nano: Some(2_960_000),
            ..Holdings::default()
        };
        assert_eq!(
            Holdings::bill(&before, &after, Nano(17_400), Some(2_960_000), &coin),
            "price 0.0000174 TON, fees 0.00296 TON; locked 0 TON before, now 0.017 TON in 1 channel, and \
             0.0118 TON in reserve for its close: both come back, less what is promised and the fees, with the close, which takes \
             3600 s at most; wallet 5 TON before, now 4.98 TON"
        );
        let dark = Holdings { locked_in: 1, locked_for_s_max: 60, ..Holdings::default() };
        let bill = Holdings::bill(&dark, &dark, Nano(17_400), dark.fees_since(&dark), &coin);
        for words in [
            "fees unknown",
            "locked unknown before, now unknown in 1 channel, and unknown in reserve",
            "on its way between wallet and channels unknown before, now unknown",
            "wallet unknown before",
        ] {
            assert!(bill.contains(words), "{words}: {bill}");
        }
        let under_way =
            Holdings { on_its_way_nano: Some(7_613_520), balance_ago_s: Some(3), ..after.clone() };
        let bill = Holdings::bill(&after, &under_way, Nano(17_400), Some(0), &coin);
        assert!(
            bill.contains(
                "; on its way between wallet and channels 0 TON before, now 0.00761352 TON; wallet"
            ),
            "{bill}"
        );
        assert!(bill.ends_with("now 4.98 TON"), "{bill}");
    }

    #[test]
    fn a_bill_of_a_ledger_that_does_not_answer_says_how_old_it_is_and_knows_no_fees() {
        let old = Holdings {
            balance_nano: Some(5_000_000_000),
            balance_ago_s: Some(73),
            fees_nano: Some(2_960_000),
            ..Holdings::default()
        };
        let bill = Holdings::bill(&old, &old, Nano(17_400), old.fees_since(&old), &CoinName::default());
        assert!(bill.starts_with("price 0.0000174 TON, fees unknown; "), "{bill}");
        assert!(
            bill.ends_with(
                "wallet 5 TON before, now 5 TON, as the ledger showed it 73 s ago; it does not answer now"
            ),
            "{bill}"
        );
    }
}
