//! The purse at the prices of every year, with rent eaten for years and prices that changed meanwhile.

use bombyx_node::ledger::{Prices, PurseMessage, PurseState, Refusal};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::lane::{LaneClose, LaneVoucher};
use bombyx_protocol::channel::purse::{Cut, PurseOrder, PurseTerms};
use bombyx_protocol::channel::terms::Address;

use super::setup::{CLIENT, PROVIDER, STRANGER, cuts, other_lane};
use crate::history::{History, NO_CREDIT};
use crate::prices::PRICES;
use crate::setup::{CHALLENGE_S, TODAY, milli};

/// Rent that eats a purse within years instead of decades.
const DEAR_RENT: Prices =
    Prices { stored_bit: 10 * TODAY.stored_bit, stored_cell: 10 * TODAY.stored_cell, ..TODAY };
const YEAR_S: u32 = 365 * 24 * 3_600;
const LANE: Nano = milli(100);
/// What the provider holds a voucher for: the least that is paid out, a part, everything.
const DUES: [Nano; 3] = [Nano(500_000), milli(30), LANE];
/// Gifts until an exit is paid for.
const GIFTS_MAX: u32 = 6;

/// How a provider leaves lane 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Claim,
    Close,
    CloseByWallet,
    /// Another brings the provider's close order.
    CloseByMessage,
    /// After the client has burnt in orders what it could.
    CloseAfterOrders,
}

const EXITS: [Exit; 5] =
    [Exit::Claim, Exit::Close, Exit::CloseByWallet, Exit::CloseByMessage, Exit::CloseAfterOrders];

/// A purse in a world of changing prices.
struct Scene {
    history: History,
    terms: PurseTerms,
    account: Address,
}

impl Scene {
    async fn new(prices: Prices) -> Self {
        let mut history = History::new(prices).await;
        let terms = PurseTerms {
            network_id: bombyx_node::ledger::devnet::DEVNET_ID,
            salt: 1,
            challenge_s: CHALLENGE_S,
            client_key: history.world.client_key.verifying_key().to_bytes(),
            client: history.world.client.wallet_address().unwrap(),
        };
        let account = terms.account();
        history.adopt(account);
        Self { history, terms, account }
    }

    /// Lane 0 to the provider, lane 1 to somebody else, and no more beside them than the contract asks for.
    async fn open(&self) {
        let provider = self.history.world.provider.wallet_address().unwrap().hash;
        let provider_key = self.history.world.provider_key.verifying_key().to_bytes();
        let open = Cut::Open { lane: 0, provider, provider_key, amount: LANE };
        let order = PurseMessage::Arrange { order: cuts(&[open, other_lane(1, LANE)]), signature: None };
        let prices = self.history.prices;
        let value = prices.purse_reserve(2).plus(milli(200)).unwrap().plus(prices.gas_fee(20_000)).unwrap();
        let message = order.internal(self.account, value, Some(&self.terms));
        self.history.world.carry(CLIENT, self.account, message).await.unwrap();
    }

    async fn state(&self) -> PurseState {
        use bombyx_node::ledger::Chain as _;
        let raw = self.history.world.devnet.account(self.account).await.unwrap();
        PurseState::read(self.account, &raw).unwrap().unwrap()
    }

    async fn messages(&self, due: Nano) -> (PurseMessage, PurseMessage) {
        let (account, lane) = (self.account.hash, 0);
        let epoch = self.state().await.lanes[&0].epoch;
        let voucher =
            LaneVoucher { account, lane, epoch, cumulative: due }.sign(&self.history.world.client_key);
        let order =
            LaneClose { account, lane, epoch, cumulative: due }.sign(&self.history.world.provider_key);
        let claim = PurseMessage::Claim { lane, cumulative: due, voucher };
        let close =
            PurseMessage::CloseLane { lane, cumulative: due, voucher: Some(voucher), order: Some(order) };
        (claim, close)
    }

    async fn internal(&self, sender: usize, message: &PurseMessage, value: Nano) -> Result<(), Refusal> {
        self.history.world.carry(sender, self.account, message.internal(self.account, value, None)).await
    }

    /// Orders of the client that fail, until no more is taken; lanes are covered after each.
    async fn burn(&mut self) {
        for _ in 0..200 {
            let turn = self.state().await.turn;
            let order = PurseOrder { cuts: vec![Cut::Finalize { lane: 9 }; 1], ..PurseOrder::default() };
            let signature = Some(order.sign(&self.account.hash, turn, &self.history.world.client_key));
            let message = PurseMessage::Arrange { order, signature }.external(self.account);
            let before = self.state().await;
            match self.history.post(self.account, message).await {
                Ok(()) => {
                    let after = self.state().await;
                    let covered = before.balance < before.locked || after.balance >= after.locked;
                    assert!(
                        covered,
                        "{} for {}: an order was paid by the lanes",
                        after.balance, after.locked
                    );
                }
                Err(refusal) => {
                    assert_eq!(refusal, Refusal::Value);
                    return;
                }
            }
        }
        panic!("orders without end");
    }

    /// Sends it until it is taken, with a gift of coins after each refusal.
    async fn insist(&mut self, by: Option<usize>, message: &PurseMessage) {
        let gas = self.history.prices.message_gas();
        for _ in 0..=GIFTS_MAX {
            let outcome = match by {
                None => self.history.post(self.account, message.external(self.account)).await,
                Some(sender) => self.internal(sender, message, gas).await,
            };
            match outcome {
                Ok(()) | Err(Refusal::Stale) => return,
                Err(Refusal::Value | NO_CREDIT) => self.history.give(self.account).await,
                Err(other) => panic!("{message:?}: {other}"),
            }
        }
        panic!("{message:?} is not taken after {GIFTS_MAX} gifts");
    }
}

/// (`ST-10`)
async fn leave(opening: Prices, later: Prices, years: u32, exit: Exit, due: Nano, elsewhere: bool) {
    let where_ = format!("{exit:?} of {due} after {years} years, {opening:?}, then {later:?}");
    let mut scene = Scene::new(opening).await;
    scene.open().await;
    let (claim, close) = scene.messages(due).await;
    scene.history.charge(later).await;
    scene.history.world.devnet.advance(years * YEAR_S + 1);
    let provider = scene.history.world.provider.wallet_address().unwrap();
    let mut cost = Nano::ZERO;
    match exit {
        Exit::Claim if due < later.lane_claim_min() => {
            let refused = scene.history.post(scene.account, claim.external(scene.account)).await;
            assert!(matches!(refused, Err(Refusal::Dust)), "{where_}: {refused:?}");
            scene.insist(Some(STRANGER), &claim).await;
        }
        Exit::Claim => {
            cost = Nano(due.0 / 2);
            scene.insist(None, &claim).await;
        }
        Exit::Close => scene.insist(None, &close).await,
        Exit::CloseByWallet => scene.insist(Some(PROVIDER), &close).await,
        Exit::CloseByMessage => scene.insist(Some(STRANGER), &close).await,
        Exit::CloseAfterOrders => {
            scene.burn().await;
            // What the reserve does not pay for, the provider's part does.
            cost = later.lane_close_cost();
            scene.insist(None, &close).await;
        }
    }
    let state = scene.state().await;
    let paid = scene.history.sent(scene.account, provider).await;
    // What was not there counts as not settled, so it can be claimed yet.
    let open = state.lanes.get(&0).map_or(Nano::ZERO, |lane| due.saturating_minus(lane.settled));
    assert!(
        paid.plus(open).unwrap()
            >= due.saturating_minus(cost).saturating_minus(if years > 0 {
                later.lane_close_cost()
            } else {
                Nano::ZERO
            }),
        "{where_}: {paid} for the provider, {open} open"
    );
    if years == 0 {
        assert!(state.balance >= state.locked, "{where_}: {} for {}", state.balance, state.locked);
        assert!(paid >= due.saturating_minus(cost), "{where_}: {paid}");
    }
    scene.history.check(elsewhere).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_out_of_a_lane_pays_the_provider_at_the_prices_of_every_year() {
    for (index, (_, prices)) in PRICES.into_iter().enumerate() {
        for (number, exit) in EXITS.into_iter().enumerate() {
            for due in DUES {
                leave(prices, prices, 0, exit, due, index == number && due == milli(30)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_out_of_a_lane_pays_the_provider_after_prices_rose_and_rent_was_eaten() {
    for (index, (_, later)) in PRICES.into_iter().enumerate() {
        for (number, exit) in EXITS.into_iter().enumerate() {
            for due in DUES {
                let years = if number % 2 == 0 { 6 } else { 0 };
                leave(TODAY, later, years, exit, due, years == 0 && index == number && due == milli(30))
                    .await;
            }
        }
    }
}

/// (`ST-10`)
#[tokio::test]
async fn a_claim_that_rent_has_eaten_from_pays_what_is_there_and_the_rest_once_coins_have_come() {
    for by in [None, Some(STRANGER)] {
        let mut scene = Scene::new(TODAY).await;
        scene.open().await;
        let (claim, _) = scene.messages(LANE).await;
        scene.history.charge(DEAR_RENT).await;
        scene.history.world.devnet.advance(6 * YEAR_S + 1);
        match by {
            None => scene.history.post(scene.account, claim.external(scene.account)).await.unwrap(),
            Some(sender) => {
                scene.internal(sender, &claim, TODAY.message_gas()).await.unwrap();
            }
        }
        let settled = scene.state().await.lanes[&0].settled;
        assert!(settled > Nano::ZERO && settled < LANE, "{by:?}: {settled} of {LANE}");
        let provider = scene.history.world.provider.wallet_address().unwrap();
        let paid = scene.history.sent(scene.account, provider).await;
        assert!(paid.0 >= settled.0 / 2, "{by:?}: {paid} of {settled}");
        let mut gifts = 0;
        while scene.state().await.lanes[&0].settled < LANE {
            assert!(gifts < 2 * GIFTS_MAX, "{by:?}: the rest is never paid");
            gifts += 1;
            scene.history.give(scene.account).await;
            // Too little, perhaps, to pay for a message from outside.
            scene.insist(Some(STRANGER), &claim).await;
        }
        assert!(scene.history.sent(scene.account, provider).await > paid, "{by:?}");
        scene.history.check(true).await;
    }
}

/// (`ST-10`)
#[tokio::test]
async fn what_a_close_lacks_comes_out_of_its_own_lane_and_never_out_of_another() {
    let mut scene = Scene::new(TODAY).await;
    scene.open().await;
    let (_, close) = scene.messages(LANE).await;
    scene.history.charge(DEAR_RENT).await;
    scene.history.world.devnet.advance(4 * YEAR_S + 1);
    scene.history.post(scene.account, close.external(scene.account)).await.unwrap();
    let state = scene.state().await;
    let provider = scene.history.world.provider.wallet_address().unwrap();
    let paid = scene.history.sent(scene.account, provider).await;
    assert!(paid > Nano::ZERO && paid < LANE, "{paid}: rent has eaten from this lane");
    assert!(state.balance >= state.locked, "{} for {}: another lane paid", state.balance, state.locked);
    scene.history.check(true).await;
}

/// One reading found an order's fee short at five times the price. (`ST-6`)
#[tokio::test]
async fn orders_from_outside_burn_none_of_the_lanes_coins_at_any_price() {
    for (name, later) in PRICES {
        let mut scene = Scene::new(TODAY).await;
        scene.open().await;
        scene.history.charge(later).await;
        scene.burn().await;
        // One that takes all the gas that an order may have.
        let order = cuts(&[Cut::Grow { lane: 0, amount: Nano(1) }; 200]);
        let fee = later.order_fee();
        for value in [fee, Nano(fee.0 / 2), Nano(fee.0 / 3)] {
            let before = scene.state().await;
            let turn = before.turn;
            let signature = Some(order.sign(&scene.account.hash, turn, &scene.history.world.client_key));
            let message = PurseMessage::Arrange { order: order.clone(), signature }.external(scene.account);
            let taken = scene.history.post(scene.account, message).await;
            let after = scene.state().await;
            assert!(
                after.balance >= after.locked,
                "{name}: {taken:?}, {} for {}",
                after.balance,
                after.locked
            );
            let message = PurseMessage::TopUp;
            scene.internal(STRANGER, &message, value).await.unwrap();
        }
        let (_, close) = scene.messages(LANE).await;
        scene.insist(None, &close).await;
        let provider = scene.history.world.provider.wallet_address().unwrap();
        let paid = scene.history.sent(scene.account, provider).await;
        assert!(paid >= LANE.minus(later.lane_close_cost()).unwrap(), "{name}: {paid}");
    }
}

/// The node reckons as the contract does: a nano less is refused.
#[tokio::test]
async fn what_a_purse_asks_for_is_what_the_node_reckons() {
    for (name, prices) in PRICES {
        let mut scene = Scene::new(prices).await;
        scene.open().await;
        let least = prices.lane_claim_min();
        let (less, _) = scene.messages(least.minus(Nano(1)).unwrap()).await;
        let (enough, _) = scene.messages(least).await;
        let outcome = scene.history.post(scene.account, less.external(scene.account)).await;
        assert_eq!(outcome, Err(Refusal::Dust), "{name}");
        scene.history.post(scene.account, enough.external(scene.account)).await.unwrap();
        let provider = scene.history.world.provider.wallet_address().unwrap();
        assert!(scene.history.sent(scene.account, provider).await.0 >= least.0 / 2, "{name}");
        // Whoever brings a close pays for it.
        let (_, close) = scene.messages(LANE).await;
        let cost = prices.lane_close_cost();
        let outcome = scene.internal(STRANGER, &close, cost.minus(Nano(1)).unwrap()).await;
        assert_eq!(outcome, Err(Refusal::Value), "{name}");
        let before = scene.state().await;
        scene.internal(STRANGER, &close, cost).await.unwrap();
        let after = scene.state().await;
        let due = LANE.minus(least).unwrap();
        assert!(after.balance >= before.balance.minus(due).unwrap(), "{name}: the purse paid for it");
        // What is beside the lanes is what an opening had to leave there.
        assert!(after.balance >= after.locked.plus(prices.order_fee()).unwrap(), "{name}");
    }
}
