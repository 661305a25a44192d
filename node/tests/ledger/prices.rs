//! The contracts at the prices of every year, with rent eaten for years and prices that changed meanwhile: whoever owes, owes
//! what the vouchers say, and no fee moves the provider's part to the client. Histories are executed again in the network's
//! own virtual machine.

use bombyx_node::ledger::{Chain as _, ChannelMessage, OpenedChannel, Prices, Refusal};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::ChannelTerms;

use crate::history::{History, NO_CREDIT, WEALTH};
use crate::setup::{CHALLENGE_S, TODAY, coins, milli, wallet};

/// The main network's prices until June 2024.
const UNTIL_2024: Prices = Prices {
    gas: 65_536_000,
    flat_gas: 100,
    flat_price: 100_000,
    message: 1_000_000,
    message_bit: 65_536_000,
    message_cell: 6_553_600_000,
    stored_bit: 1,
    stored_cell: 500,
};

/// From then until 2026.
const UNTIL_2026: Prices = Prices {
    gas: 26_214_400,
    flat_gas: 100,
    flat_price: 40_000,
    message: 400_000,
    message_bit: 26_214_400,
    message_cell: 2_621_440_000,
    ..UNTIL_2024
};

const TEN_TIMES: Prices = Prices {
    gas: 10 * TODAY.gas,
    flat_price: 10 * TODAY.flat_price,
    message: 10 * TODAY.message,
    message_bit: 10 * TODAY.message_bit,
    message_cell: 10 * TODAY.message_cell,
    stored_cell: 10 * TODAY.stored_cell,
    ..TODAY
};

/// What networks charged, and what one may come to charge.
pub(crate) const PRICES: [(&str, Prices); 6] = [
    ("2023", UNTIL_2024),
    ("2024 and 2025", UNTIL_2026),
    ("today", TODAY),
    ("ten times today", TEN_TIMES),
    ("dear gas alone", Prices { gas: TEN_TIMES.gas, flat_price: TEN_TIMES.flat_price, ..TODAY }),
    (
        "dear forwarding alone",
        Prices {
            message: TEN_TIMES.message,
            message_bit: TEN_TIMES.message_bit,
            message_cell: TEN_TIMES.message_cell,
            ..TODAY
        },
    ),
];

const YEAR_S: u32 = 365 * 24 * 3_600;
const DEPOSIT: Nano = milli(100);
/// What the provider holds a voucher for: the least that is paid out, a part, everything.
const DUES: [Nano; 3] = [Nano(500_000), milli(30), DEPOSIT];

/// How a channel ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Close,
    ClaimAndClose,
    CloseAfterRequest,
    /// The provider is dead: its watcher claims, a stranger finalizes.
    WatchedFinalize,
    ClaimByWallet,
    CloseByWallet,
}

const EXITS: [Exit; 6] = [
    Exit::Close,
    Exit::ClaimAndClose,
    Exit::CloseAfterRequest,
    Exit::WatchedFinalize,
    Exit::ClaimByWallet,
    Exit::CloseByWallet,
];

impl Exit {
    /// Goes this way to the end; how many gifts of coins it took.
    async fn take(self, history: &mut History, channel: OpenedChannel, due: Nano) -> u32 {
        let account = channel.account;
        let voucher = history.world.voucher(channel, due).signature;
        let order = history.world.order(channel, due).1;
        let request = history.world.request(channel).1;
        let claim = ChannelMessage::Claim { cumulative: due, voucher };
        let closing =
            |order| ChannelMessage::ProviderClose { cumulative: due, voucher: Some(voucher), order };
        let close = closing(Some(order));
        let request = ChannelMessage::RequestClose { request: Some(request) };
        let gas = history.prices.message_gas();
        let mut gifts = 0;
        match self {
            Self::Close => gifts += history.insist(account, close).await,
            Self::ClaimAndClose => {
                gifts += history.claim(account, claim).await;
                gifts += history.insist(account, close).await;
            }
            Self::CloseAfterRequest => {
                gifts += history.insist(account, request).await;
                gifts += history.insist(account, close).await;
            }
            Self::WatchedFinalize => {
                gifts += history.insist(account, request).await;
                gifts += history.claim(account, claim).await;
                history.world.devnet.advance(CHALLENGE_S);
                gifts += history.insist(account, ChannelMessage::Finalize).await;
            }
            Self::ClaimByWallet => {
                let _ = history.world.internal(2, account, claim, gas).await;
                gifts += history.insist(account, close).await;
            }
            Self::CloseByWallet => {
                if history.world.internal(1, account, closing(None), gas).await.is_err() {
                    history.give(account).await;
                    gifts += 1;
                    history.world.internal(1, account, closing(None), gas).await.unwrap();
                }
            }
        }
        gifts
    }
}

/// Opens at some prices, waits, goes every way out at others. (`ST-11`)
async fn every_exit(opening: Prices, later: Prices, years: u32, elsewhere: bool) {
    let mut history = History::new(opening).await;
    let ways: Vec<(Exit, Nano)> = EXITS.into_iter().flat_map(|exit| DUES.map(|due| (exit, due))).collect();
    let terms = history.world.terms();
    let channels: Vec<_> =
        (0..ways.len() as u64).map(|salt| (ChannelTerms { salt, ..terms.clone() }, DEPOSIT)).collect();
    let opened = history.world.client.open_all(&channels).await.unwrap();
    opened.iter().for_each(|channel| history.adopt(channel.account));
    history.charge(later).await;
    history.world.devnet.advance(years * YEAR_S + 1);
    let [client, provider] =
        [&history.world.client, &history.world.provider].map(|ledger| ledger.wallet_address().unwrap());
    for ((exit, due), channel) in ways.into_iter().zip(opened) {
        let where_ = format!("{exit:?} of {due} after {years} years, {opening:?}, then {later:?}");
        let gifts = exit.take(&mut history, channel, due).await;
        assert_eq!(history.world.state(channel).await, None, "{where_}: still there");
        let paid = history.sent(channel.account, provider).await;
        let rest = history.sent(channel.account, client).await;
        // A claim pays its own way out of the provider's part; half of it arrives at the least.
        let claims = matches!(exit, Exit::ClaimAndClose | Exit::WatchedFinalize);
        let cost = if claims { Nano(later.claim_min().0 / 2).min(Nano(due.0 / 2)) } else { Nano::ZERO };
        assert!(
            paid >= due.saturating_minus(cost) || rest == Nano::ZERO,
            "{where_}: {paid} for the provider, and {rest} for the client"
        );
        if years == 0 {
            assert!(paid >= due.saturating_minus(cost), "{where_}: {paid}");
        }
        if years == 0 && matches!(exit, Exit::Close | Exit::CloseAfterRequest) {
            let rest = later.forward_fee(0, 0).plus(later.gas_fee(2_000)).unwrap();
            assert!(paid.saturating_minus(due) <= rest, "{where_}: {paid}");
        }
        if opening == later && years == 0 && !claims {
            assert_eq!(gifts, 0, "{where_}: the reserve does not pay for it");
        }
        for one in history.transactions(channel.account).await {
            assert!(one.gas <= 10_000, "{where_}: {} gas", one.gas);
        }
    }
    history.check(elsewhere).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_exit_pays_the_provider_first_at_the_prices_of_every_year() {
    for (index, (_, prices)) in PRICES.into_iter().enumerate() {
        every_exit(prices, prices, 0, index % 2 == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_exit_pays_the_provider_first_after_prices_rose_and_rent_was_eaten_for_years() {
    for (_, later) in PRICES {
        every_exit(TODAY, later, 0, false).await;
        every_exit(TODAY, later, 4, later == TEN_TIMES).await;
        every_exit(TODAY, later, 8, false).await;
    }
}

/// The reserve is reckoned at twice the price of a request and a close, and rent for two years.
#[tokio::test]
async fn the_reserve_pays_every_exit_at_twice_the_price_of_the_opening() {
    for (name, prices) in PRICES {
        let mut history = History::new(prices).await;
        let channel = history.world.open(DEPOSIT).await;
        history.adopt(channel.account);
        let dearer =
            Prices { stored_bit: prices.stored_bit, stored_cell: prices.stored_cell, ..prices.times(2, 1) };
        history.charge(dearer).await;
        history.world.devnet.advance(2 * YEAR_S);
        assert_eq!(Exit::CloseAfterRequest.take(&mut history, channel, DEPOSIT).await, 0, "{name}");
        let provider = history.world.provider.wallet_address().unwrap();
        assert_eq!(history.sent(channel.account, provider).await, DEPOSIT, "{name}");
        history.check(false).await;
    }
}

/// Where the reserve is nearly used up, a request leaves what a close costs, or is refused.
#[tokio::test]
async fn a_request_from_outside_never_takes_what_the_close_needs() {
    for (name, prices) in [PRICES[0], PRICES[2], PRICES[3]] {
        let mut history = History::new(prices).await;
        let channel = history.world.open(DEPOSIT).await;
        let account = channel.account;
        history.adopt(account);
        let request = ChannelMessage::RequestClose { request: Some(history.world.request(channel).1) };
        history.world.devnet.advance(8 * YEAR_S);
        // Coins come in small parts until it is taken.
        let mut gifts = 0;
        while let Err(refusal) = history.post(account, request.external(account)).await {
            assert!(matches!(refusal, Refusal::Value | NO_CREDIT), "{name}: {refusal}");
            let part = history.world.devnet.account(account).await.unwrap().balance;
            let lacks = DEPOSIT.plus(prices.close_cost()).unwrap().saturating_minus(part);
            // A gift pays for its own gas.
            history.give_exactly(account, lacks.max(prices.gas_fee(2_500))).await;
            gifts += 1;
            assert!(gifts < 60, "{name}: {part}");
        }
        let after = history.world.state(channel).await.unwrap();
        let least = DEPOSIT.plus(prices.close_cost()).unwrap();
        assert!(after.balance >= least, "{name}: {} of {least}", after.balance);
        assert!(gifts > 0, "{name}: the reserve lasted");
        Exit::Close.take(&mut history, channel, DEPOSIT).await;
        let provider = history.world.provider.wallet_address().unwrap();
        assert_eq!(history.sent(account, provider).await, DEPOSIT, "{name}");
        history.check(false).await;
    }
}

/// The node reckons as the contract does: a nano less is refused.
#[tokio::test]
async fn what_a_node_sends_is_what_the_contract_asks_for_to_the_nano() {
    for (name, prices) in PRICES {
        let history = History::new(prices).await;
        let world = &history.world;
        let (client, terms) = (wallet(0).address(), world.terms());
        let account = terms.account();
        let fund =
            |value: Nano| ChannelMessage::TopUp { amount: DEPOSIT }.internal(account, value, Some(&terms));
        let enough = DEPOSIT.plus(prices.open_surplus()).unwrap();
        let outcome = world.carry(0, account, fund(enough.minus(Nano(1)).unwrap())).await;
        assert_eq!(outcome, Err(Refusal::Value), "{name}");
        assert!(world.client.channel(account).await.unwrap().is_none_or(|state| state.epoch == 0));
        let left = world.devnet.account(client).await.unwrap().balance;
        assert!(left > WEALTH.minus(DEPOSIT).unwrap(), "{name}: {left}");
        world.carry(0, account, fund(enough)).await.unwrap();
        let state = world.client.channel(account).await.unwrap().unwrap();
        let channel = OpenedChannel { account, epoch: state.epoch, deposit: state.deposit };
        // Everything that is claimed from here on counts from nothing settled.
        let more = ChannelMessage::TopUp { amount: Nano(7) };
        let enough = prices.top_up_surplus().plus(Nano(7)).unwrap();
        assert_eq!(
            world.internal(0, account, more, enough.minus(Nano(1)).unwrap()).await,
            Err(Refusal::Value),
            "{name}"
        );
        world.internal(0, account, more, enough).await.unwrap();
        let claim = |total: Nano| ChannelMessage::Claim {
            cumulative: total,
            voucher: world.voucher(channel, total).signature,
        };
        let least = prices.claim_min();
        let less = least.minus(Nano(1)).unwrap();
        assert_eq!(world.external(account, claim(less)).await, Err(Refusal::Dust), "{name}");
        world.external(account, claim(least)).await.unwrap();
        let provider = world.provider.wallet_address().unwrap();
        let paid = history.sent(account, provider).await;
        assert!(paid.0 >= least.0 / 2, "{name}: {paid} of {least}");
    }
}

/// What a review found: with gas at the price of 2023, and one request from outside before, the provider got nothing and the
/// client everything. (`ST-11`)
#[tokio::test(flavor = "multi_thread")]
async fn gas_that_gets_dearer_after_the_opening_moves_nothing_to_the_client() {
    for (numerator, denominator) in [(1, 1), (3, 1), (5, 1), (10, 1), (15, 1), (45, 2), (60, 1)] {
        let mut history = History::new(TODAY).await;
        let channel = history.world.open(coins(2)).await;
        history.adopt(channel.account);
        history.charge(TODAY.times(numerator, denominator)).await;
        let due = coins(1);
        Exit::CloseAfterRequest.take(&mut history, channel, due).await;
        let provider = history.world.provider.wallet_address().unwrap();
        assert_eq!(history.sent(channel.account, provider).await, due, "{numerator}/{denominator}");
        history.check(numerator == 15).await;
    }
}

/// What an endpoint says of prices is believed up to a limit.
#[test]
fn an_endpoint_cannot_make_a_node_lock_what_it_likes() {
    let lie = TODAY.times(1_000_000, 1);
    let believed = lie.believed();
    assert!(believed.open_surplus() < milli(400), "{}", believed.open_surplus());
    assert_eq!((TODAY.believed(), UNTIL_2024.believed()), (TODAY, UNTIL_2024));
}
