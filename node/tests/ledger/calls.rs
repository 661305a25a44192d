//! The core's calls and events over a real channel.

use std::sync::Arc;
use std::time::Duration;

use bombyx_node::ledger::calls;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::{ChannelState, LedgerCall, LedgerEvent, LedgerFault};
use bombyx_protocol::channel::voucher::{CloseOrder, CloseRequest, Voucher};
use bombyx_protocol::time::Span;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::setup::{CHALLENGE_S, World, coins, milli};

struct Party {
    calls: mpsc::Sender<LedgerCall>,
    events: mpsc::Receiver<LedgerEvent>,
}

impl Party {
    fn new(ledger: bombyx_node::ledger::Ledger) -> Self {
        let (sender, events) = mpsc::channel(16);
        Self { calls: calls::start(Arc::new(ledger), sender), events }
    }

    async fn event(&mut self) -> LedgerEvent {
        timeout(Duration::from_secs(20), self.events.recv()).await.unwrap().unwrap()
    }

    async fn state(&mut self) -> Option<ChannelState> {
        match self.event().await {
            LedgerEvent::Channel { state, .. } => state,
            LedgerEvent::Failed { fault, .. } => panic!("failed: {fault}"),
        }
    }

    /// The next state that is as hoped: a look and a call's own answer may both report one change.
    async fn until(&mut self, hoped: impl Fn(Option<ChannelState>) -> bool) -> Option<ChannelState> {
        loop {
            let state = self.state().await;
            if hoped(state) {
                return state;
            }
        }
    }

    async fn until_settled(&mut self, total: Nano) {
        self.until(|state| state.is_some_and(|state| state.settled == total)).await;
    }

    async fn until_closing(&mut self, left_s: u32) {
        let left = Some(Span::from_s(u64::from(left_s)));
        self.until(|state| state.is_some_and(|state| state.closing == left)).await;
    }
}

#[tokio::test]
async fn both_parties_hear_what_the_other_does() {
    let world = World::new();
    let terms = world.terms();
    let account = terms.account().hash;
    let World { devnet, client, provider, client_key, provider_key, .. } = world;
    let (mut client, mut provider) = (Party::new(client), Party::new(provider));

    provider.calls.send(LedgerCall::Watch { account }).await.unwrap();
    assert_eq!(provider.state().await, None);
    let open = LedgerCall::Open { terms: Box::new(terms), deposit: coins(1) };
    client.calls.send(open.clone()).await.unwrap();
    let state = client.until(|state| state.is_some()).await.unwrap();
    assert_eq!((state.deposit, state.settled, state.closing), (coins(1), Nano::ZERO, None));
    assert_eq!(provider.until(|state| state.is_some()).await, Some(state), "the provider sees the funding");
    client.calls.send(open).await.unwrap();
    assert_eq!(client.state().await, Some(state), "what is open already is no failure");

    let epoch = state.epoch;
    let voucher = Voucher { account, epoch, cumulative: milli(300) };
    let signature = voucher.sign(&client_key);
    provider.calls.send(LedgerCall::Claim { voucher, signature }).await.unwrap();
    provider.until_settled(milli(300)).await;
    provider.calls.send(LedgerCall::Claim { voucher, signature }).await.unwrap();
    provider.until_settled(milli(300)).await;
    client.until_settled(milli(300)).await;

    let request = CloseRequest { account, epoch: state.epoch };
    let signature = request.sign(&client_key);
    client.calls.send(LedgerCall::RequestClose { request, signature }).await.unwrap();
    client.until_closing(CHALLENGE_S).await;
    provider.until_closing(CHALLENGE_S).await;
    devnet.advance(CHALLENGE_S);
    // The end of the period is no transaction, and is reported all the same.
    client.until_closing(0).await;
    provider.until_closing(0).await;

    let order = CloseOrder { account, epoch, cumulative: milli(300) };
    let signature = order.sign(&provider_key);
    provider.calls.send(LedgerCall::Close { voucher: None, order, signature }).await.unwrap();
    provider.until(|state| state.is_none()).await;
    client.until(|state| state.is_none()).await;
}

#[tokio::test]
async fn a_failure_says_whether_money_may_have_moved() {
    let world = World::new();
    let terms = world.terms();
    let account = terms.account().hash;
    let mut client = Party::new(world.client);
    let open = |deposit| LedgerCall::Open { terms: Box::new(terms.clone()), deposit };
    client.calls.send(open(coins(1_000))).await.unwrap();
    assert_eq!(client.event().await, LedgerEvent::Failed { account, fault: LedgerFault::Funds });
    assert_eq!(client.state().await, None);
    client.calls.send(LedgerCall::Finalize { account }).await.unwrap();
    assert_eq!(client.event().await, LedgerEvent::Failed { account, fault: LedgerFault::Refused });
    assert_eq!(client.state().await, None);
    drop(client.calls);
    assert_eq!(client.events.recv().await, None, "it ends with its last caller");
}
