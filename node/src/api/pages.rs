//! What pages show of the ledger, without asking it: values that were fetched before, each with its age.
//!
//! One task fetches what pages have wished for, one value after the other, far more slowly than the ledger allows and after
//! everything else that wants to be asked. However many pages are read, and however many readers go away again, the looks at
//! channels stay as they are. What the last look at a channel has shown is taken from there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::driver::ledger::{Sight, Sights};
use crate::ledger::{ChannelAccount, Departures, Ledger, LedgerError, Past, WalletView};
use crate::status::channels::{self, ChannelList, ChannelView};
use crate::status::{ChannelPhase, ChannelStatus, Direction, OwedStatus};

/// How long a value is shown before it is fetched anew, where the ledger does not count requests; twice [`PAUSES`] where it
/// does.
const FRESH: Duration = Duration::from_secs(1);
/// How long a page waits for a value that is not fresh before it shows the one it has.
pub(crate) const PAGE_PATIENCE: Duration = Duration::from_secs(3);
/// How long the ledger may take for one value.
const FETCH_WAIT: Duration = Duration::from_secs(20);
/// The pause after each value, in requests that the ledger would have allowed.
const PAUSES: u32 = 8;
/// The least pause after each value.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Values that are kept: the wallet's, and the past of as many channels.
const VALUES_MAX: usize = 8_192;

/// What can be fetched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    /// What a wallet holds, and what has led to it.
    Wallet(Address),
    /// What the ledger has of a channel, where no look has shown it lately enough.
    Channel(ChannelId),
    /// What a channel's account has done.
    Past(ChannelId),
}

/// What was fetched.
#[derive(Debug, Clone)]
enum Told {
    Wallet(WalletView),
    Channel(Option<Box<ChannelAccount>>),
    Past(Past),
}

impl Told {
    fn wallet(self) -> Option<WalletView> {
        if let Self::Wallet(wallet) = self { Some(wallet) } else { None }
    }

    fn past(self) -> Option<Past> {
        if let Self::Past(past) = self { Some(past) } else { None }
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
    fn take(&mut self, item: &Item, answer: Option<Told>, at: Instant) {
        // What was wished for meanwhile wants a value of its own: coins have moved.
        let wish = |value: &&mut Value| value.wished.is_none_or(|wished| wished <= at);
        let Some(value) = self.items.get_mut(item).filter(wish) else { return };
        value.wished = None;
        let Some(told) = answer else { return };
        if let (Some(Told::Wallet(before)), Told::Wallet(now)) = (&value.told, &told)
            && before.balance != now.balance
        {
            self.moved_at = Some(at);
        }
        (value.told, value.at) = (Some(told), Some(at));
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
        let (told, ago) = self.shown(&[(Item::Wallet(address), moved)], within).await.pop().flatten()?;
        Some((told.wallet()?.balance, ago))
    }

    /// Returns a list of channels as the last look at each has shown them, with what the wallet holds and with all fees.
    pub(crate) async fn channels(
        &self,
        node_id: String,
        channels: Vec<ChannelStatus>,
        owed: Vec<OwedStatus>,
        wallet: Option<Address>,
        within: Duration,
    ) -> ChannelList {
        let moved_at = lock(&self.values).moved_at;
        let mut list = ChannelList::new(node_id, channels.into_iter().map(ChannelView::from).collect(), owed);
        // The wallet first: what it names is looked up as well.
        let mut items: Vec<_> =
            wallet.map(|address| (Item::Wallet(address), self.moved_at())).into_iter().collect();
        let (first, mut looks, mut pasts) = (items.len(), Vec::new(), BTreeMap::new());
        for (index, view) in list.channels.iter_mut().enumerate() {
            let Some(account) = channels::account(&view.channel.account) else { continue };
            let sight = self.sights.get(&account);
            if let Some(sight) = &sight {
                view.show(sight.state.as_ref(), sight.at.elapsed());
            }
            if is_behind(view, sight.as_ref(), moved_at) {
                looks.push((index, account));
                items.push((Item::Channel(account), moved_at));
            }
            pasts.insert(account, sight.map(|sight| sight.since));
        }
        let mut told = self.shown(&items, within).await.into_iter();
        let wallet = told.by_ref().take(first).flatten().next();
        for ((index, account), told) in looks.into_iter().zip(told) {
            let view = list.channels.get_mut(index);
            if let (Some(view), Some((Told::Channel(state), ago))) = (view, told)
                && view.seen_ago_s.is_none_or(|seen_ago_s| ago.as_secs() <= seen_ago_s)
            {
                view.show(state.as_deref(), ago);
                pasts.insert(account, Instant::now().checked_sub(ago));
            }
        }
        list.balance_ago_s = wallet.as_ref().map(|(_, ago)| ago.as_secs());
        let wallet = wallet.and_then(|(told, _)| told.wallet());
        let paid_into = wallet.iter().filter_map(|wallet| wallet.past.as_ref()).flat_map(Past::paid_into);
        let moved = self.moved_at();
        for account in paid_into {
            pasts.entry(account).or_insert(moved);
        }
        let pasts = self.pasts(pasts, wallet.as_ref(), within).await;
        list.account_for(wallet.as_ref(), pasts);
        list
    }

    /// Returns what these channels' accounts have done, each from after the time that stands with it.
    async fn pasts(
        &self,
        accounts: BTreeMap<ChannelId, Option<Instant>>,
        wallet: Option<&WalletView>,
        within: Duration,
    ) -> BTreeMap<ChannelId, Past> {
        let mut pasts = BTreeMap::new();
        let mut items = Vec::new();
        for (account, since) in accounts {
            let item = Item::Past(account);
            let known = lock(&self.values).items.get(&item).and_then(|value| value.told.clone()?.past());
            // A channel that is closed, and whose coins have come back, is not looked up again.
            match known.filter(|past| wallet.is_some_and(|wallet| wallet.is_done_with(account, past))) {
                Some(past) => _ = pasts.insert(account, past),
                None => items.push((item, since)),
            }
        }
        let told = self.shown(&items, within).await;
        for ((item, _), told) in items.into_iter().zip(told) {
            if let (Item::Past(account), Some(past)) = (item, told.and_then(|(told, _)| told.past())) {
                pasts.insert(account, past);
            }
        }
        pasts
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
            let value = values.entry(item.clone()).or_default();
            let is_new_enough =
                |at: Instant| at.elapsed() < self.fresh && since.is_none_or(|since| since < at);
            let fresh = value.at.is_some_and(is_new_enough);
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

/// Returns the wallet before all else, and what was never fetched before what is old.
fn next_wish(values: &Mutex<Values>) -> Option<Item> {
    let values = lock(values);
    let wished = values.items.iter().filter(|(_, value)| value.wished.is_some());
    let order = |(item, value): &(&Item, &Value)| (!matches!(item, Item::Wallet(_)), value.at);
    wished.min_by_key(order).map(|(item, _)| item.clone())
}

/// Returns a value.
async fn one(ledger: &Ledger, item: &Item) -> Result<Told, LedgerError> {
    match item {
        Item::Wallet(address) => Ok(Told::Wallet(ledger.wallet_view(*address).await?)),
        Item::Channel(account) => Ok(Told::Channel(ledger.channel(account.address()).await?.map(Box::new))),
        Item::Past(account) => Ok(Told::Past(ledger.past(*account).await?)),
    }
}
