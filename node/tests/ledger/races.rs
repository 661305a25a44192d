//! Messages that meet: with blocks, a message between accounts is on its way while others arrive.

use bombyx_node::ledger::{Chain as _, ChannelMessage, LedgerError, OpenedChannel, Wallet};
use bombyx_protocol::amount::Nano;
use tycho_types::boc::Boc;

use crate::server::Server;
use crate::setup::{CHALLENGE_S, TODAY, World, coins, milli, wallet};

/// Blocks that it takes a wallet's message to come into the wallet, and from there to the channel.
const THROUGH_WALLET: usize = 2;

/// A world with an open channel of one coin, which goes on in blocks that the test makes.
async fn in_blocks() -> (World, OpenedChannel) {
    let world = World::new();
    let channel = world.open(coins(1)).await;
    // Handles on one devnet: this changes them all.
    let _ = world.devnet.clone().in_blocks(1);
    (world, channel)
}

impl World {
    /// Puts a message of the client's wallet on its way; nothing is waited for.
    async fn client_sends(&self, channel: OpenedChannel, message: ChannelMessage, value: Nano) {
        let client = wallet(0);
        let before = self.devnet.account(client.address()).await.unwrap();
        let message = message.internal(channel.account, value, None);
        let until_s = self.devnet.now_s() + 60;
        let boc = client.transfer(Wallet::next_seqno(&before), until_s, &[message]).unwrap();
        self.devnet.send(boc).await.unwrap();
    }

    /// Puts a claim on its way; whether it would be accepted now.
    async fn claims(&self, channel: OpenedChannel, cumulative: Nano) -> bool {
        let voucher = self.voucher(channel, cumulative).signature;
        let message = ChannelMessage::Claim { cumulative, voucher };
        self.devnet.send(Boc::encode(message.external(channel.account))).await.is_ok()
    }

    fn blocks(&self, count: usize) {
        for _ in 0..count {
            self.devnet.produce_block();
        }
    }

    async fn settled(&self, channel: OpenedChannel) -> Nano {
        self.state(channel).await.unwrap().settled
    }

    /// Everything that accounts hold and fees took: what the faucet gave.
    async fn assert_nothing_is_lost(&self, channel: OpenedChannel) {
        let mut held = self.devnet.account(channel.account).await.unwrap().balance;
        for ledger in [&self.client, &self.provider, &self.stranger] {
            held = held.plus(self.balance(ledger).await).unwrap();
        }
        assert_eq!(u128::from(held.0) + self.devnet.fees_collected(), u128::from(coins(20).0));
    }
}

#[tokio::test]
async fn a_voucher_on_a_top_up_that_is_on_its_way_counts_once_it_has_come() {
    let (world, channel) = in_blocks().await;
    let amount = coins(1);
    let value = amount.plus(TODAY.top_up_surplus()).unwrap();
    world.client_sends(channel, ChannelMessage::TopUp { amount }, value).await;
    for _ in 0..THROUGH_WALLET {
        assert!(!world.claims(channel, milli(1_500)).await, "above what the ledger shows");
        assert!(world.claims(channel, milli(300)).await || world.settled(channel).await == milli(300));
        world.blocks(1);
    }
    assert_eq!(world.state(channel).await.unwrap().deposit, coins(2));
    assert!(world.claims(channel, milli(1_500)).await);
    world.blocks(1);
    assert_eq!(world.settled(channel).await, milli(1_500));
    world.blocks(2);
    world.assert_nothing_is_lost(channel).await;
}

#[tokio::test]
async fn a_top_up_that_finds_the_channel_closed_comes_back() {
    let (world, channel) = in_blocks().await;
    let before = world.balance(&world.client).await;
    let amount = coins(3);
    let value = amount.plus(TODAY.top_up_surplus()).unwrap();
    world.client_sends(channel, ChannelMessage::TopUp { amount }, value).await;
    let (_, order) = world.order(channel, milli(400));
    let close = ChannelMessage::ProviderClose {
        cumulative: milli(400),
        voucher: Some(world.voucher(channel, milli(400)).signature),
        order: Some(order),
    };
    world.devnet.send(Boc::encode(close.external(channel.account))).await.unwrap();
    world.blocks(1);
    assert_eq!(world.state(channel).await, None, "closed while the top-up was on its way");
    world.blocks(3);
    let after = world.balance(&world.client).await;
    // The refund of 0.6 coins and the top-up, less fees.
    assert!(after > before.plus(milli(600)).unwrap(), "{after} of {before}");
    world.assert_nothing_is_lost(channel).await;
}

#[tokio::test]
async fn a_claim_and_a_close_request_in_one_block_both_count() {
    let (world, channel) = in_blocks().await;
    world.client_sends(channel, ChannelMessage::RequestClose { request: None }, TODAY.message_gas()).await;
    world.blocks(THROUGH_WALLET - 1);
    // The request arrives in the next block, before the claim.
    assert!(world.claims(channel, milli(700)).await);
    world.blocks(1);
    let state = world.state(channel).await.unwrap();
    assert_eq!((state.settled, state.close_at_s != 0), (milli(700), true));

    // The other way round: signed requests and claims come from outside, in their order.
    let (world, channel) = in_blocks().await;
    assert!(world.claims(channel, milli(700)).await);
    let (_, signature) = world.request(channel);
    let request = ChannelMessage::RequestClose { request: Some(signature) };
    world.devnet.send(Boc::encode(request.external(channel.account))).await.unwrap();
    world.blocks(1);
    let state = world.state(channel).await.unwrap();
    assert_eq!((state.settled, state.close_at_s != 0), (milli(700), true));
    world.blocks(3);
    world.assert_nothing_is_lost(channel).await;
}

#[tokio::test]
async fn of_two_claims_in_one_block_the_larger_total_counts_once() {
    let (world, channel) = in_blocks().await;
    for total in [milli(600), milli(200), milli(600)] {
        assert!(world.claims(channel, total).await, "each would be accepted alone");
    }
    world.blocks(1);
    assert_eq!(world.settled(channel).await, milli(600));
    let claims = world.devnet.transactions(channel.account, 10).await.unwrap();
    assert_eq!(claims.len(), 2, "the funding and one claim: who was overtaken paid nothing");
    world.blocks(3);
    world.assert_nothing_is_lost(channel).await;
}

#[tokio::test]
async fn after_the_challenge_a_claim_before_the_finalize_is_still_paid() {
    for claim_first in [true, false] {
        let (world, channel) = in_blocks().await;
        let (_, signature) = world.request(channel);
        let request = ChannelMessage::RequestClose { request: Some(signature) };
        world.devnet.send(Boc::encode(request.external(channel.account))).await.unwrap();
        world.blocks(1);
        world.devnet.advance(CHALLENGE_S);
        let finalize = Boc::encode(ChannelMessage::Finalize.external(channel.account));
        if claim_first {
            assert!(world.claims(channel, milli(500)).await);
            world.devnet.send(finalize).await.unwrap();
        } else {
            world.devnet.send(finalize).await.unwrap();
            assert!(world.claims(channel, milli(500)).await);
        }
        world.blocks(1);
        assert_eq!(world.state(channel).await, None);
        world.blocks(2);
        let paid = world.balance(&world.provider).await;
        assert_eq!(paid > milli(499), claim_first, "{paid}");
        world.assert_nothing_is_lost(channel).await;
    }
}

#[tokio::test]
async fn two_transfers_of_one_number_in_one_block_are_one() {
    let (world, channel) = in_blocks().await;
    let amount = milli(100);
    let value = amount.plus(TODAY.top_up_surplus()).unwrap();
    for _ in 0..2 {
        world.client_sends(channel, ChannelMessage::TopUp { amount }, value).await;
    }
    world.blocks(THROUGH_WALLET);
    assert_eq!(world.state(channel).await.unwrap().deposit, milli(1_100));
    world.blocks(3);
    world.assert_nothing_is_lost(channel).await;
}

#[tokio::test]
async fn the_nodes_own_operations_work_when_everything_takes_blocks() {
    let devnet = bombyx_node::ledger::devnet::Devnet::new().unwrap().in_blocks(2);
    tokio::spawn(devnet.clone().produce_blocks(std::time::Duration::from_millis(20)));
    let server = Server::serving(devnet).await;
    crate::backends::live(&server, server.over_http(0), server.over_http(1)).await;
}

#[tokio::test]
async fn an_operation_that_no_block_takes_ends_at_its_deadline() {
    let (world, channel) = in_blocks().await;
    let error = world.provider.claim(&world.voucher(channel, milli(300))).await.unwrap_err();
    assert!(matches!(error, LedgerError::Deadline { .. }), "{error}");
}
