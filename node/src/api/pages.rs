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

use crate::driver::ledger::Sights;
use crate::ledger::{ChannelLife, Ledger, LedgerError};
use crate::status::ChannelStatus;
use crate::status::channels::{self, ChannelList, ChannelView, WALLET_TRANSACTIONS_MAX};

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
    /// What a channel's account has paid.
    Life(ChannelId),
    /// The fees of the wallet's channels but for these: another list is another value, so that none is counted twice or not at
    /// all while one leaves it.
    FeesOfOthers(BTreeSet<ChannelId>),
}

/// What was fetched.
#[derive(Debug, Clone, Copy)]
enum Told {
    Coins(Nano),
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

/// The values that pages show. Clones share them.
#[derive(Clone)]
pub(crate) struct Pages {
    values: Arc<Mutex<BTreeMap<Item, Value>>>,
    sights: Sights,
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
        let values = Arc::default();
        tokio::spawn(fetch(ledger, Arc::clone(&values), wishes, done, pause));
        Self { values, sights, wished, fetched, fresh: FRESH.max(pause * 2) }
    }

    /// Returns the coins of an account, and how long ago that was so.
    pub(crate) async fn balance(&self, address: Address, within: Duration) -> Option<(Nano, Duration)> {
        let moved = self.sights.called_at();
        let (told, ago) = self.shown(&[(Item::Balance(address), moved)], within).await.pop().flatten()?;
        Some((told.coins()?, ago))
    }

    /// Returns a list of channels as the last look at each has shown them, with their fees and
    /// those of the wallet.
    pub(crate) async fn channels(
        &self,
        node_id: String,
        channels: Vec<ChannelStatus>,
        wallet: Option<Address>,
        within: Duration,
    ) -> ChannelList {
        let mut views = Vec::new();
        let mut items = Vec::new();
        let mut listed = BTreeSet::new();
        for channel in channels {
            let account = channels::account(&channel.account);
            let sight = account.and_then(|account| self.sights.get(&account));
            let mut view = ChannelView::from(channel);
            if let Some(sight) = &sight {
                view.show(sight.state.as_ref(), sight.at.elapsed());
            }
            views.push(view);
            listed.extend(account);
            let account = account.unwrap_or(ChannelId([0; 32]));
            items.push((Item::Life(account), sight.map(|sight| sight.since)));
        }
        let moved = self.sights.called_at();
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
            wallet_fees_nano: coins.next().flatten(),
            other_fees_nano: coins.next().flatten(),
        }
    }

    /// Coins have moved: what was fetched before is not shown any more.
    pub(crate) fn forget(&self) {
        lock(&self.values).clear();
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
            let value = values.get(item)?;
            Some((value.told?, value.at?.elapsed()))
        };
        items.iter().map(value).collect()
    }

    /// Wishes for those that are not fresh; returns how many these are.
    fn wish(&self, items: &[(Item, Option<Instant>)]) -> usize {
        let mut values = lock(&self.values);
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
                Item::Balance(_) | Item::WalletFees(_) | Item::Life(_) => self.fresh,
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
        drop(values);
        if new {
            self.wished.send_modify(|count| *count += 1);
        }
        missing
    }
}

fn lock(values: &Mutex<BTreeMap<Item, Value>>) -> std::sync::MutexGuard<'_, BTreeMap<Item, Value>> {
    values.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fetches what is wished for, one value after the other, until nobody can wish any more.
async fn fetch(
    ledger: Ledger,
    values: Arc<Mutex<BTreeMap<Item, Value>>>,
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
        let fetched = timeout(FETCH_WAIT, one(&ledger, &item)).await;
        // What was wished for meanwhile wants a value of its own: coins have moved.
        let wish = |value: &&mut Value| value.wished.is_none_or(|wished| wished <= at);
        if let Some(value) = lock(&values).get_mut(&item).filter(wish) {
            value.wished = None;
            match fetched {
                Ok(Ok(told)) => (value.told, value.at) = (told, Some(at)),
                Ok(Err(error)) => tracing::debug!(%error, "a value for a page could not be fetched"),
                Err(_) => tracing::debug!("a value for a page did not come in time"),
            }
        }
        done.send_modify(|count| *count += 1);
        sleep(pause).await;
    }
}

/// Returns the balance before fees, and what was never fetched before what is old.
fn next_wish(values: &Mutex<BTreeMap<Item, Value>>) -> Option<Item> {
    let values = lock(values);
    let wished = values.iter().filter(|(_, value)| value.wished.is_some());
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
        Item::Life(account) => Ok(ledger.life(*account).await?.map(Told::Life)),
        Item::FeesOfOthers(listed) => {
            Ok(ledger.fees_of_others(listed, WALLET_TRANSACTIONS_MAX).await?.map(Told::Coins))
        }
    }
}
