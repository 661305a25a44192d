//! What pages show of the ledger, without asking it: values that were fetched before, each with its age.
//!
//! One task fetches what pages have wished for, one value after the other, far more slowly than the ledger allows and after
//! everything else that wants to be asked. However many pages are read, and however many readers go away again, the looks at
//! channels stay as they are. What the last look at a channel has shown is taken from there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::driver::ledger::{Sight, Sights};
use crate::ledger::{ChannelAccount, ChannelLife, Departures, Ledger, LedgerError};
use crate::status::channels::{self, ChannelList, ChannelView, WALLET_TRANSACTIONS_MAX};
use crate::status::{ChannelPhase, ChannelStatus, Direction, OwedStatus};

/// How long a value is shown before it is fetched anew, where the ledger does not count requests; twice [`PAUSES`] where it
/// does.
const FRESH: Duration = Duration::from_secs(1);
/// The same for the fees of channels that no list has any more: several requests, and they change only with the list.
const OTHERS_FRESH: Duration = Duration::from_secs(10);
/// How long a page waits for a value that is not fresh before it shows the one it has.
pub(crate) const PAGE_PATIENCE: Duration = Duration::from_secs(3);
/// How long the ledger may take for one value.
const FETCH_WAIT: Duration = Duration::from_secs(20);
/// The pause after each value, in requests that the ledger would have allowed.
const PAUSES: u32 = 8;
/// The least pause after each value.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Values that are kept: the wallet's, and the fees of as many channels.
const VALUES_MAX: usize = 8_192;

/// What can be fetched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Balance(Address),
    /// The fees of the wallet's newest transactions.
    WalletFees(Address),
    /// What the ledger has of a channel, where no look has shown it lately enough.
    Channel(ChannelId),
    /// What a channel's account has paid.
    Life(ChannelId),
    /// The fees of the wallet's channels but for these: another list is another value, so that none is counted twice or not at
    /// all while one leaves it.
    FeesOfOthers(BTreeSet<ChannelId>),
}

/// What was fetched.
#[derive(Debug, Clone)]
enum Told {
    Coins(Nano),
    Channel(Option<Box<ChannelAccount>>),
    Life(ChannelLife),
}

impl Told {
    fn coins(self) -> Option<Nano> {
        if let Self::Coins(nano) = self { Some(nano) } else { None }
    }

    fn life(self) -> Option<ChannelLife> {
        if let Self::Life(life) = self { Some(life) } else { None }
    }
}

/// A value, or the wish for it.
#[derive(Default)]
struct Value {
    told: Option<Told>,
    /// When it was asked for.
    at: Option<Instant>,
    /// When a page first missed it since then.
    wished: Option<Instant>,
}

/// Every value, and when a balance was first seen to be another one: a channel that was looked at before that may have paid into
/// it.
#[derive(Default)]
struct Values {
    items: BTreeMap<Item, Value>,
    moved_at: Option<Instant>,
}

impl Values {
    /// Takes what the ledger answered to a question that was asked at `at`, or that it did not.
    fn take(&mut self, item: &Item, answer: Option<Option<Told>>, at: Instant) {
        // What was wished for meanwhile wants a value of its own: coins have moved.
        let wish = |value: &&mut Value| value.wished.is_none_or(|wished| wished <= at);
        let Some(value) = self.items.get_mut(item).filter(wish) else { return };
        value.wished = None;
        let Some(told) = answer else { return };
        let coins = |told: &Option<Told>| told.clone().and_then(Told::coins);
        if matches!(item, Item::Balance(_)) && value.told.is_some() && coins(&value.told) != coins(&told) {
            self.moved_at = Some(at);
        }
        (value.told, value.at) = (told, Some(at));
    }
}

/// The values that pages show. Clones share them.
#[derive(Clone)]
pub(crate) struct Pages {
    values: Arc<Mutex<Values>>,
    sights: Sights,
    departures: Departures,
    /// Counts the wishes.
    wished: watch::Sender<u64>,
    /// Counts the values that came.
    fetched: watch::Receiver<u64>,
    fresh: Duration,
}

impl Pages {
    /// Starts to fetch from `ledger` what pages ask for; ends with the last clone.
    pub(crate) fn start(ledger: Ledger, sights: Sights) -> Self {
        let (wished, wishes) = watch::channel(0);
        let (done, fetched) = watch::channel(0);
        let pause = (ledger.spacing() * PAUSES).max(PAUSE_MIN);
        let (values, departures) = (Arc::default(), ledger.departures().clone());
        tokio::spawn(fetch(ledger, Arc::clone(&values), wishes, done, pause));
        Self { values, sights, departures, wished, fetched, fresh: FRESH.max(pause * 2) }
    }

    /// Returns the coins of an account, and how long ago that was so.
    pub(crate) async fn balance(&self, address: Address, within: Duration) -> Option<(Nano, Duration)> {
        let moved = self.moved_at();
        let (told, ago) = self.shown(&[(Item::Balance(address), moved)], within).await.pop().flatten()?;
        Some((told.coins()?, ago))
    }

    /// Returns a list of channels as the last look at each has shown them, with their fees and
    /// those of the wallet.
    pub(crate) async fn channels(
        &self,
        node_id: String,
        channels: Vec<ChannelStatus>,
        owed: Vec<OwedStatus>,
        wallet: Option<Address>,
        within: Duration,
    ) -> ChannelList {
        let moved_at = lock(&self.values).moved_at;
        let mut views = Vec::new();
        let (mut items, mut looks) = (Vec::new(), Vec::new());
        let mut listed = BTreeSet::new();
        for channel in channels {
            let account = channels::account(&channel.account);
            let sight = account.and_then(|account| self.sights.get(&account));
            let mut view = ChannelView::from(channel);
            if let Some(sight) = &sight {
                view.show(sight.state.as_ref(), sight.at.elapsed());
            }
            listed.extend(account);
            let account = account.unwrap_or(ChannelId([0; 32]));
            if is_behind(&view, sight.as_ref(), moved_at) {
                looks.push((views.len(), Item::Channel(account), moved_at));
            }
            views.push(view);
            items.push((Item::Life(account), sight.map(|sight| sight.since)));
        }
        let looked: Vec<_> = looks.iter().map(|(_, item, since)| (item.clone(), *since)).collect();
        for ((index, ..), told) in looks.iter().zip(self.shown(&looked, within).await) {
            let view = views.get_mut(*index);
            if let (Some(view), Some((Told::Channel(state), ago))) = (view, told)
                && view.seen_ago_s.is_none_or(|seen_ago_s| ago.as_secs() <= seen_ago_s)
            {
                view.show(state.as_deref(), ago);
            }
        }
        let moved = self.moved_at();
        items.extend(wallet.map(|address| (Item::WalletFees(address), moved)));
        items.extend(wallet.map(|_| (Item::FeesOfOthers(listed), moved)));
        let mut told = self.shown(&items, within).await.into_iter().map(|told| told.map(|(told, _)| told));
        for (view, told) in views.iter_mut().zip(&mut told) {
            view.lived(told.and_then(Told::life));
        }
        let mut coins = told.map(|told| told.and_then(Told::coins).map(|Nano(nano)| nano));
        ChannelList {
            node_id,
            channels: views,
            owed,
            wallet_fees_nano: coins.next().flatten(),
            other_fees_nano: coins.next().flatten(),
        }
    }

    /// Returns whether a value of this age came when it was last wished for: an older one is shown where the ledger does not answer.
    pub(crate) fn is_news(&self, ago: Duration) -> bool {
        ago < self.fresh + PAGE_PATIENCE
    }

    /// Returns when the node's own doing last moved coins.
    fn moved_at(&self) -> Option<Instant> {
        self.sights.called_at().max(self.departures.paid_at())
    }

    /// Coins have moved: what was fetched before is not shown any more.
    pub(crate) fn forget(&self) {
        lock(&self.values).items.clear();
    }

    /// Returns the values, as fresh as they can be had in a moment. Each must be from after the
    /// time that stands with it.
    async fn shown(
        &self,
        items: &[(Item, Option<Instant>)],
        within: Duration,
    ) -> Vec<Option<(Told, Duration)>> {
        let mut news = self.fetched.clone();
        let until = Instant::now() + within;
        loop {
            news.mark_unchanged();
            if self.wish(items) == 0 || Instant::now() >= until {
                break;
            }
            let left = until.saturating_duration_since(Instant::now());
            if !matches!(timeout(left, news.changed()).await, Ok(Ok(()))) {
                break;
            }
        }
        let values = lock(&self.values);
        let value = |(item, _): &(Item, Option<Instant>)| {
            let value = values.items.get(item)?;
            Some((value.told.clone()?, value.at?.elapsed()))
        };
        items.iter().map(value).collect()
    }

    /// Wishes for those that are not fresh; returns how many these are.
    fn wish(&self, items: &[(Item, Option<Instant>)]) -> usize {
        let mut values = lock(&self.values);
        let values = &mut values.items;
        let mut missing = 0;
        let mut new = false;
        for (item, since) in items {
            if values.len() >= VALUES_MAX && !values.contains_key(item) {
                values.clear();
            }
            if matches!(item, Item::FeesOfOthers(_)) {
                // Those of earlier lists are nobody's wish any more.
                values.retain(|other, _| other == item || !matches!(other, Item::FeesOfOthers(_)));
            }
            let value = values.entry(item.clone()).or_default();
            let life = match item {
                Item::Balance(_) | Item::WalletFees(_) | Item::Channel(_) | Item::Life(_) => self.fresh,
                Item::FeesOfOthers(_) => self.fresh.max(OTHERS_FRESH),
            };
            let fresh =
                value.at.is_some_and(|at| at.elapsed() < life && since.is_none_or(|since| since < at));
            if !fresh {
                missing += 1;
                new |= value.wished.is_none();
                value.wished.get_or_insert_with(Instant::now);
            }
        }
        if new {
            self.wished.send_modify(|count| *count += 1);
        }
        missing
    }
}

/// Returns whether what the last look has shown of a channel that this node pays on may be older than its wallet's balance: there
/// was none, it closes, or the balance has changed since. A deposit would else be listed as locked that has come back.
fn is_behind(view: &ChannelView, sight: Option<&Sight>, moved_at: Option<Instant>) -> bool {
    let is_paying = view.channel.direction == Direction::Paying;
    let is_closing = view.channel.state == ChannelPhase::Closing;
    is_paying && sight.is_none_or(|sight| is_closing || moved_at.is_some_and(|moved_at| sight.at < moved_at))
}

fn lock(values: &Mutex<Values>) -> std::sync::MutexGuard<'_, Values> {
    values.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fetches what is wished for, one value after the other, until nobody can wish any more.
async fn fetch(
    ledger: Ledger,
    values: Arc<Mutex<Values>>,
    mut wishes: watch::Receiver<u64>,
    done: watch::Sender<u64>,
    pause: Duration,
) {
    loop {
        wishes.mark_unchanged();
        let Some(item) = next_wish(&values) else {
            if wishes.changed().await.is_err() {
                return;
            }
            continue;
        };
        let at = Instant::now();
        let answer = match timeout(FETCH_WAIT, one(&ledger, &item)).await {
            Ok(Ok(told)) => Some(told),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a value for a page could not be fetched");
                None
            }
            Err(_) => {
                tracing::debug!("a value for a page did not come in time");
                None
            }
        };
        lock(&values).take(&item, answer, at);
        done.send_modify(|count| *count += 1);
        sleep(pause).await;
    }
}

/// Returns the balance before fees, and what was never fetched before what is old.
fn next_wish(values: &Mutex<Values>) -> Option<Item> {
    let values = lock(values);
    let wished = values.items.iter().filter(|(_, value)| value.wished.is_some());
    let order = |(item, value): &(&Item, &Value)| (!matches!(item, Item::Balance(_)), value.at);
    wished.min_by_key(order).map(|(item, _)| item.clone())
}

/// Returns a value; nothing where the ledger answers and does not know it.
async fn one(ledger: &Ledger, item: &Item) -> Result<Option<Told>, LedgerError> {
    match item {
        Item::Balance(address) => Ok(Some(Told::Coins(ledger.balance(*address).await?))),
        Item::WalletFees(address) => {
            Ok(Some(Told::Coins(ledger.fees_paid(*address, WALLET_TRANSACTIONS_MAX).await?)))
        }
        Item::Channel(account) => {
            Ok(Some(Told::Channel(ledger.channel(account.address()).await?.map(Box::new))))
        }
        Item::Life(account) => Ok(ledger.life(*account).await?.map(Told::Life)),
        Item::FeesOfOthers(listed) => {
            Ok(ledger.fees_of_others(listed, WALLET_TRANSACTIONS_MAX).await?.map(Told::Coins))
        }
    }
}
