//! A client's purse with lanes to a provider and to others, and short words for what they do.

use bombyx_node::ledger::{
    Chain as _, LaneState, PurseMessage, PurseState, Refusal, Transaction, devnet::DEVNET_ID,
};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::lane::{LaneClose, LaneVoucher};
use bombyx_protocol::channel::purse::{Cut, PurseOrder, PurseTerms};
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::ident::Signature;

use crate::setup::{CHALLENGE_S, World, milli};

/// Index of the client's wallet.
pub(super) const CLIENT: usize = 0;
/// Index of the provider's wallet, which holds nothing.
pub(super) const PROVIDER: usize = 1;
/// Index of a wallet that has no part in the purse.
pub(super) const STRANGER: usize = 2;
/// Attached to messages that need gas only.
pub(super) const GAS: Nano = milli(20);

/// A client's purse on a devnet.
pub(super) struct Purse {
    pub(super) world: World,
    pub(super) terms: PurseTerms,
    pub(super) account: Address,
}

/// An order of cuts alone.
pub(super) fn cuts(cuts: &[Cut]) -> PurseOrder {
    PurseOrder { cuts: cuts.to_vec(), ..PurseOrder::default() }
}

impl Purse {
    /// A purse that was never funded.
    pub(super) fn new() -> Self {
        let world = World::new();
        let terms = PurseTerms {
            network_id: DEVNET_ID,
            salt: 1,
            challenge_s: CHALLENGE_S,
            client_key: world.client_key.verifying_key().to_bytes(),
            client: world.client.wallet_address().unwrap(),
        };
        let account = terms.account();
        Self { world, terms, account }
    }

    /// A purse of `value`, with a lane 0 of `lane` to the provider and a lane 1 of as much to somebody else.
    pub(super) async fn with_lanes(value: Nano, lane: Nano) -> Self {
        let purse = Self::new();
        let order = cuts(&[purse.open(0, lane), other_lane(1, lane)]);
        purse.deploy(order, value).await.unwrap();
        purse
    }

    /// Opens every lane but the last to somebody else, in five orders.
    pub(super) async fn fill(&self) {
        for start in [0, 51, 102, 153, 204] {
            let lanes: Vec<Cut> = (start..start + 51).map(|lane| other_lane(lane, milli(1))).collect();
            let order = PurseMessage::Arrange { order: cuts(&lanes), signature: None };
            self.internal(CLIENT, order, milli(200)).await.unwrap();
        }
    }

    /// A cut that opens a lane to the provider.
    pub(super) fn open(&self, lane: u8, amount: Nano) -> Cut {
        Cut::Open {
            lane,
            provider: self.world.provider.wallet_address().unwrap().hash,
            provider_key: self.world.provider_key.verifying_key().to_bytes(),
            amount,
        }
    }

    /// The first message: code, coins and an order at once.
    pub(super) async fn deploy(&self, order: PurseOrder, value: Nano) -> Result<(), Refusal> {
        let message = PurseMessage::Arrange { order, signature: None };
        self.world.carry(CLIENT, self.account, message.internal(self.account, value, Some(&self.terms))).await
    }

    /// The client's order from its wallet.
    pub(super) async fn order(&self, order: PurseOrder) -> Result<(), Refusal> {
        self.internal(CLIENT, PurseMessage::Arrange { order, signature: None }, GAS).await
    }

    /// A good signature for an order in the present turn.
    pub(super) async fn sign(&self, order: &PurseOrder) -> Signature {
        let turn = self.state().await.unwrap().turn;
        order.sign(&self.account.hash, turn, &self.world.client_key)
    }

    /// The client's order from outside.
    pub(super) async fn order_signed(&self, order: PurseOrder) -> Result<(), Refusal> {
        let signature = Some(self.sign(&order).await);
        self.external(PurseMessage::Arrange { order, signature }).await
    }

    pub(super) async fn internal(
        &self,
        sender: usize,
        message: PurseMessage,
        value: Nano,
    ) -> Result<(), Refusal> {
        self.world.carry(sender, self.account, message.internal(self.account, value, None)).await
    }

    pub(super) async fn external(&self, message: PurseMessage) -> Result<(), Refusal> {
        self.world.post(message.external(self.account)).await
    }

    pub(super) async fn state(&self) -> Option<PurseState> {
        let raw = self.world.devnet.account(self.account).await.unwrap();
        PurseState::read(self.account, &raw).unwrap()
    }

    pub(super) async fn lane(&self, lane: u8) -> LaneState {
        self.state().await.unwrap().lanes[&lane]
    }

    pub(super) async fn voucher(&self, lane: u8, cumulative: Nano) -> Signature {
        let epoch = self.lane(lane).await.epoch;
        LaneVoucher { account: self.account.hash, lane, epoch, cumulative }.sign(&self.world.client_key)
    }

    pub(super) async fn close_order(&self, lane: u8, cumulative: Nano) -> Signature {
        let epoch = self.lane(lane).await.epoch;
        LaneClose { account: self.account.hash, lane, epoch, cumulative }.sign(&self.world.provider_key)
    }

    pub(super) async fn claim(&self, lane: u8, cumulative: Nano) -> PurseMessage {
        PurseMessage::Claim { lane, cumulative, voucher: self.voucher(lane, cumulative).await }
    }

    /// The provider's last word about a lane, signed by both.
    pub(super) async fn close(&self, lane: u8, cumulative: Nano) -> PurseMessage {
        PurseMessage::CloseLane {
            lane,
            cumulative,
            voucher: Some(self.voucher(lane, cumulative).await),
            order: Some(self.close_order(lane, cumulative).await),
        }
    }

    pub(super) async fn provider_has(&self) -> Nano {
        self.world.balance(&self.world.provider).await
    }

    pub(super) async fn client_has(&self) -> Nano {
        self.world.balance(&self.world.client).await
    }

    pub(super) async fn last(&self) -> Transaction {
        self.world.devnet.transactions(self.account, 1).await.unwrap().remove(0)
    }

    /// Every lane's coins are there.
    pub(super) async fn assert_covered(&self) {
        let state = self.state().await.unwrap();
        let owed: Nano = state.lanes.values().map(|lane| lane.deposit.minus(lane.settled).unwrap()).sum();
        assert_eq!(state.locked, owed, "{state:?}");
        assert!(state.balance >= owed, "{state:?}");
    }
}

/// A cut that opens a lane to somebody whose account and key nobody has.
pub(super) fn other_lane(lane: u8, amount: Nano) -> Cut {
    Cut::Open { lane, provider: [lane; 32], provider_key: [lane; 32], amount }
}
