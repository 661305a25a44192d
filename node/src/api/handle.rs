//! The way to a running node for the rest of the program: orders, questions, settlement, the end.

use std::sync::Arc;
use std::time::Duration;

use bombyx_protocol::ChannelId;
use bombyx_protocol::Quote;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::OrderNews;
use bombyx_protocol::market::ask::Ask;
use bombyx_protocol::work::order::{ModelId, Order};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::pages::{PAGE_PATIENCE, Pages};
use crate::driver::request::NodeRequest;
use crate::error::NodeError;
use crate::ledger::Ledger;
use crate::net::{NetCommand, NetHandle, check_join};
use crate::status::channels::{self, ChannelList};
use crate::status::last_list::LastList;
use crate::status::models::OfferedModel;
use crate::status::payee::PayeeCard;
use crate::status::{ChannelPhase, ChannelStatus, OwedStatus, SettleReport, Status};

/// News of one order that wait for its reader; a reader that falls further behind loses its order.
pub(crate) const NEWS_MAX: usize = 4_096;

/// Between two looks at channels that close.
const SETTLE_PAUSE: Duration = Duration::from_millis(50);
/// How long the ledger may take to say that it is there.
const CLOSE_LOOK: Duration = Duration::from_secs(5);
/// Between two reminders to close what is still open.
const SETTLE_REMIND: Duration = Duration::from_secs(5);

/// A running node. Clones reach the same node; it keeps running when all are dropped.
#[derive(Clone)]
pub struct NodeHandle {
    pub(crate) requests: mpsc::Sender<NodeRequest>,
    pub(crate) net: NetHandle,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) silent: watch::Receiver<bool>,
    pub(crate) pages: Pages,
    pub(crate) last_join_failure: watch::Receiver<Option<String>>,
    pub(crate) last_list: watch::Receiver<LastList>,
}

impl NodeHandle {
    /// Returns this node's id.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.net.node()
    }

    /// Multiaddrs that others can join this node through.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.net.listening()
    }

    /// Returns the ledger, with this node's wallet.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns whether the node still takes requests.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.requests.is_closed()
    }

    /// Returns whether the ledger does not answer, as far as the node has noticed.
    #[must_use]
    pub fn ledger_is_silent(&self) -> bool {
        *self.silent.borrow()
    }

    /// Places an order and returns its news, which end with `Done` or `Failed`. Dropping the receiver cancels it.
    ///
    /// # Errors
    /// [`NodeError::Stopped`] when the node has ended.
    pub async fn order(&self, order: Order) -> Result<mpsc::Receiver<OrderNews>, NodeError> {
        let (news, receiver) = mpsc::channel(NEWS_MAX);
        self.request(NodeRequest::Order { order: Box::new(order), news }).await?;
        Ok(receiver)
    }

    /// Listens for offers of a model from now on. Models of the catalogue are followed from the start.
    ///
    /// # Errors
    /// [`NodeError::Stopped`] when the node has ended.
    pub async fn follow(&self, model: ModelId) -> Result<(), NodeError> {
        self.request(NodeRequest::Follow(model)).await
    }

    /// Returns the offers that stand, as far as heard. Asking makes the node seek for more, unless
    /// it did a moment ago.
    ///
    /// # Errors
    /// [`NodeError::Stopped`] when the node has ended.
    pub async fn asks(&self) -> Result<Vec<Ask>, NodeError> {
        let (answer, asks) = oneshot::channel();
        self.request(NodeRequest::Asks(answer)).await?;
        asks.await.map_err(|_| NodeError::Stopped("driver"))
    }

    /// Returns the models on offer, found and asked anew unless that was done a moment ago: it takes three seconds at the
    /// most.
    ///
    /// # Errors
    /// [`NodeError::Stopped`] when the node has ended.
    pub async fn models(&self) -> Result<Vec<OfferedModel>, NodeError> {
        let (answer, models) = oneshot::channel();
        self.request(NodeRequest::Models(answer)).await?;
        models.await.map_err(|_| NodeError::Stopped("driver"))
    }

    /// Returns what an order would cost: who sells is looked up and asked anew unless that was done a moment ago, which takes
    /// three seconds at the most. Nothing is ordered, locked or signed. (`MK-64`)
    ///
    /// # Errors
    /// [`NodeError::Order`] says why nobody is known that could take it, [`NodeError::Stopped`] that the node has ended.
    pub async fn quote(&self, order: Order) -> Result<Quote, NodeError> {
        let (answer, quote) = oneshot::channel();
        self.request(NodeRequest::Quote { order: Box::new(order), answer }).await?;
        quote.await.map_err(|_| NodeError::Stopped("driver"))?.map_err(NodeError::Order)
    }

    /// Returns the node at this moment. The wallet's balance is one that was fetched a moment ago,
    /// or longer, as it says: however often this is called, the ledger is asked no more than now
    /// and then.
    ///
    /// # Errors
    /// [`NodeError::Stopped`] when the node has ended.
    pub async fn status(&self) -> Result<Status, NodeError> {
        let (answer, status) = oneshot::channel();
        self.request(NodeRequest::Status(answer)).await?;
        let mut status = status.await.map_err(|_| NodeError::Stopped("driver"))?;
        if let Some(wallet) = self.ledger.wallet_address() {
            let balance = self.pages.balance(wallet, self.page_patience()).await;
            status.ledger.balance_nano = balance.map(|(Nano(nano), _)| nano);
            status.ledger.balance_ago_s = balance.map(|(_, ago)| ago.as_secs());
        }
        status.ledger.silent = self.ledger_is_silent();
        Ok(status)
    }

    /// Returns how long a page waits for fresh values: not at all for those of a ledger that does not answer.
    fn page_patience(&self) -> Duration {
        if self.ledger_is_silent() { Duration::ZERO } else { PAGE_PATIENCE }
    }

    /// Joins the network through a further node, beside those that the node knows.
    ///
    /// # Errors
    /// [`NodeError::Net`] for an address that cannot be used, [`NodeError::Stopped`] when the node has ended.
    pub async fn join(&self, address: String) -> Result<(), NodeError> {
        check_join(&address)?;
        let told = self.net.send(NetCommand::Join(address)).await;
        told.map_err(|_| NodeError::Stopped("swarm"))
    }

    /// Begins the close of every open channel, in both directions; returns them as they were. See [`Self::close_channel`].
    ///
    /// # Errors
    /// [`NodeError::Stopped`] when the node has ended.
    pub async fn close_channels(&self) -> Result<Vec<ChannelStatus>, NodeError> {
        let mut closing = Vec::new();
        for channel in self.channels().await? {
            let open = channels::account(&channel.account).filter(|_| channel.state == ChannelPhase::Open);
            let Some(account) = open else { continue };
            match self.close_channel(account).await {
                Ok(channel) => closing.push(channel),
                // It began to close by itself meanwhile.
                Err(NodeError::Channel(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(closing)
    }

    /// Asks the ledger whether it is there to take the closes of these channels.
    ///
    /// # Errors
    /// [`NodeError::NotClosed`] names them where it is not.
    pub(crate) async fn check_closing(&self, closing: &[ChannelStatus]) -> Result<(), NodeError> {
        if closing.is_empty() {
            return Ok(());
        }
        let why = match timeout(CLOSE_LOOK, self.ledger.now_s()).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("not within {} s", CLOSE_LOOK.as_secs()),
        };
        let accounts = closing.iter().map(|channel| channel.account.clone()).collect();
        Err(NodeError::NotClosed { accounts, why })
    }

    /// Closes every channel in both directions and waits until they are gone from the ledger. A channel that this node
    /// pays on takes its challenge time, unless its provider closes it before.
    ///
    /// # Errors
    /// [`NodeError::Stopped`] when the node has ended.
    pub async fn settle(&self, within: Duration) -> Result<SettleReport, NodeError> {
        let until = Instant::now() + within;
        // One that a client proposed and the ledger never showed holds nothing.
        let holds = |channel: &ChannelStatus| channel.state != ChannelPhase::Opening;
        let mut report = SettleReport::default();
        // Before they are asked back: a fast ledger may be done with one when that is said.
        let mut left: Vec<ChannelStatus> = self.channels().await?.into_iter().filter(holds).collect();
        self.close_channels().await?;
        let mut remind_at = Instant::now() + SETTLE_REMIND;
        while !left.is_empty() && Instant::now() < until {
            sleep(SETTLE_PAUSE).await;
            if Instant::now() >= remind_at {
                remind_at = Instant::now() + SETTLE_REMIND;
                self.close_channels().await?;
            }
            let now = self.channels().await?;
            let still = |channel: &ChannelStatus| {
                now.iter().find(|one| (&one.account, one.direction) == (&channel.account, channel.direction))
            };
            let (stay, gone): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|channel| still(channel).is_some());
            left = stay.iter().filter_map(still).cloned().collect();
            let closed =
                gone.into_iter().map(|channel| ChannelStatus { state: ChannelPhase::Closed, ..channel });
            report.closed.extend(closed);
        }
        report.left = left;
        Ok(report)
    }

    /// Returns every channel in both directions, with what the last look at each has shown: reading
    /// it asks the ledger for nothing but fees, and that now and then.
    ///
    /// # Errors
    /// [`NodeError::Stopped`] when the node has ended.
    pub async fn channel_list(&self) -> Result<ChannelList, NodeError> {
        let (channels, owed) = self.channels_and_owed().await?;
        let wallet = self.ledger.wallet_address();
        let node_id = self.node_id().to_string();
        Ok(self.pages.channels(node_id, channels, owed, wallet, self.page_patience()).await)
    }

    /// Sends coins of the wallet, all that can be sent where no amount is said; returns how many. It goes on when nobody waits for it any more.
    ///
    /// # Errors
    /// [`NodeError::Ledger`].
    pub async fn send(&self, to: Address, amount: Option<Nano>) -> Result<Nano, NodeError> {
        let amount = match amount {
            Some(amount) => amount,
            None => self.ledger.sendable().await?,
        };
        let ledger = Arc::clone(&self.ledger);
        let sending = tokio::spawn(async move { ledger.send(to, amount).await });
        let sent = sending.await.map_err(|_| NodeError::Bug("sending coins panicked".into()))?;
        self.pages.forget();
        sent?;
        Ok(amount)
    }

    /// Returns every channel in both directions, as the node knows it.
    ///
    /// # Errors
    /// [`NodeError::Stopped`] when the node has ended.
    pub async fn channels(&self) -> Result<Vec<ChannelStatus>, NodeError> {
        Ok(self.channels_and_owed().await?.0)
    }

    async fn channels_and_owed(&self) -> Result<(Vec<ChannelStatus>, Vec<OwedStatus>), NodeError> {
        let (answer, channels) = oneshot::channel();
        self.request(NodeRequest::Channels(answer)).await?;
        channels.await.map_err(|_| NodeError::Stopped("driver"))
    }

    /// Begins the close of one channel; returns it as it was. What is being served on it is finished and paid first.
    ///
    /// # Errors
    /// [`NodeError::Channel`] for a channel that is unknown or not open, [`NodeError::Stopped`] when the node has ended.
    pub async fn close_channel(&self, account: ChannelId) -> Result<ChannelStatus, NodeError> {
        let (answer, channel) = oneshot::channel();
        self.request(NodeRequest::Close { account, answer }).await?;
        Ok(channel.await.map_err(|_| NodeError::Stopped("driver"))??)
    }

    /// Begins to open a channel to a provider, before there is work for it. (`CH-27`)
    ///
    /// # Errors
    /// [`NodeError::Usage`] for no deposit, [`NodeError::Channel`] when there is one or the terms cannot be accepted, [`NodeError::Ledger`] when the wallet does
    /// not hold that much, [`NodeError::Stopped`] when the node has ended.
    pub async fn open_channel(&self, card: PayeeCard, deposit: Nano) -> Result<(), NodeError> {
        if deposit == Nano::ZERO {
            return Err(NodeError::Usage("a channel needs a deposit of more than nothing".into()));
        }
        self.ledger.can_open(deposit).await?;
        let (answer, opened) = oneshot::channel();
        self.request(NodeRequest::Open { card: Box::new(card), deposit, answer }).await?;
        Ok(opened.await.map_err(|_| NodeError::Stopped("driver"))??)
    }

    /// Begins to add to the deposit of a channel that this node pays on; returns the channel as it was.
    ///
    /// # Errors
    /// As [`Self::close_channel`], and [`NodeError::Ledger`] when the wallet does not hold that much.
    pub async fn top_up_channel(&self, account: ChannelId, amount: Nano) -> Result<ChannelStatus, NodeError> {
        self.ledger.can_add(amount).await?;
        let (answer, channel) = oneshot::channel();
        self.request(NodeRequest::TopUp { account, amount, answer }).await?;
        Ok(channel.await.map_err(|_| NodeError::Stopped("driver"))??)
    }

    /// Waits until `wanted` peers are connected.
    ///
    /// # Errors
    /// [`NodeError::NoPeers`] when they are not within the time given, with the last join that failed.
    pub async fn wait_for_peers(&self, wanted: usize, within: Duration) -> Result<(), NodeError> {
        let enough = self.net.wait_until(|status| status.peers.len() >= wanted);
        match timeout(within, enough).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(NodeError::Stopped("swarm")),
            Err(_) => {
                let last = self.last_join_failure.borrow().clone();
                Err(NodeError::NoPeers { wanted, found: self.net.peers().len(), within, last })
            }
        }
    }

    /// Ends the node: it finishes its jobs, closes the channels it earned on, and stops, each within a limit.
    pub async fn shutdown(&self) {
        if self.requests.send(NodeRequest::Shutdown).await.is_ok() {
            self.requests.closed().await;
        }
    }

    async fn request(&self, request: NodeRequest) -> Result<(), NodeError> {
        self.requests.send(request).await.map_err(|_| NodeError::Stopped("driver"))
    }
}
