//! Which lease an order may use, and who is busy beside one that is too dear: `spec/03-market.md` section 4.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::client::ClientConfig;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::Failure;
use bombyx_protocol::limits::{LEASE_VALID, WON_MIN};
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::{Order, TaskKind};
use bombyx_protocol::work::preferences::Preferences;
use bombyx_protocol::work::price::Price;
use testbed::{CALM, MODEL, Testbed, chat, order, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);
const CHEAP: u64 = 400_000;
const DEAR: u64 = 4_000_000;

/// Has an order served. Returns by whom, and whether there was an auction.
fn served(testbed: &mut Testbed, client: NodeId, id: u64, order: Order) -> (NodeId, bool) {
    testbed.place_order(client, id, order);
    testbed.run(MINUTE, |testbed| testbed.outcome(id).end.is_some());
    let outcome = testbed.outcome(id);
    (*outcome.end.unwrap().unwrap().providers.last().unwrap(), !outcome.bids.is_empty())
}

fn asked() -> Order {
    order(chat("count for me", 20), COIN, MINUTE)
}

fn naming(preferences: Preferences) -> Order {
    Order { preferences, ..asked() }
}

/// (MK-14) An order that named a dear seller made the next ones pay its price, though they named nobody.
#[test]
fn a_lease_that_was_won_among_those_that_an_order_named_is_for_orders_that_name_the_same() {
    let wishes = |cheap: NodeId, dear: NodeId| {
        [
            Preferences { only: vec![dear], ..Preferences::default() },
            Preferences { order: vec![dear], ..Preferences::default() },
            Preferences { ignore: vec![cheap], ..Preferences::default() },
        ]
    };
    for number in 0..3 {
        let mut testbed = Testbed::new(1, CALM);
        let client = testbed.client(1, COIN);
        let cheap = testbed.provider(1, price(CHEAP), 1_000);
        let dear = testbed.provider(2, price(DEAR), 1_000);
        let wish = wishes(cheap, dear)[number].clone();
        // It has served before, so that it is asked first.
        assert_eq!(served(&mut testbed, client, 7, asked()), (cheap, true));
        testbed.run(LEASE_VALID, |_| false);
        assert_eq!(served(&mut testbed, client, 1, naming(wish.clone())), (dear, true), "{wish:?}");
        assert_eq!(served(&mut testbed, client, 2, naming(wish.clone())), (dear, false), "its own lease");
        assert_eq!(served(&mut testbed, client, 3, asked()), (cheap, true), "{wish:?}");
        assert_eq!(served(&mut testbed, client, 4, asked()), (cheap, false));
        assert_eq!(served(&mut testbed, client, 5, naming(wish)), (dear, true));
        assert_eq!(served(&mut testbed, client, 6, asked()), (cheap, false), "it is not driven out");
    }
}

/// (MK-14, MK-52) What was taken at any price while the others were away was paid for 150 s after they had come back.
#[test]
fn a_lease_above_what_a_bid_may_ask_is_passed_over() {
    let mut testbed = Testbed::new(2, CALM);
    let client = testbed.client(1, COIN);
    let cheap = testbed.provider(1, price(CHEAP), 1_000);
    for id in 1..=u64::try_from(WON_MIN).unwrap() {
        assert_eq!(served(&mut testbed, client, id, asked()), (cheap, true));
        testbed.run(LEASE_VALID, |_| false);
    }
    testbed.kill(cheap);
    let dear = testbed.provider(2, price(DEAR), 1_000);
    let at_any_price = Order { price_max: Some(Price(u64::MAX)), ..asked() };
    assert_eq!(served(&mut testbed, client, 11, at_any_price.clone()), (dear, true));
    assert_eq!(served(&mut testbed, client, 12, at_any_price), (dear, false), "it says that it may");
    testbed.restart(cheap);
    testbed.offer(cheap, price(CHEAP), TaskKind::Generate, MODEL);
    assert_eq!(served(&mut testbed, client, 13, asked()), (cheap, true));
}

/// (MK-50, MK-52) They were told to pay more, and no time at which to come back.
#[test]
fn who_has_no_time_for_an_order_is_waited_for_where_the_others_ask_too_much() {
    let mut testbed = Testbed::new(3, CALM);
    testbed.slots = 1;
    let config = ClientConfig { leases: false, ..ClientConfig::for_tests(1) };
    let client = testbed.client_with(config, COIN);
    let cheap = testbed.provider(1, price(CHEAP), 100_000);
    for id in 1..=4 {
        assert_eq!(served(&mut testbed, client, id, asked()).0, cheap);
    }
    testbed.provider(2, price(DEAR), 1_000);
    let short = |tokens| order(chat("count for me", tokens), COIN, Span::from_s(3));
    testbed.order(client, 5, chat("count for me", 120), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| !testbed.outcome(5).ids.is_empty());
    for id in 6..=8 {
        testbed.place_order(client, id, short(10));
    }
    testbed.run(MINUTE, |testbed| (6..=8).all(|id| testbed.outcome(id).end.is_some()));
    for id in 6..=8 {
        let why = testbed.outcome(id).end.unwrap().unwrap_err().0;
        let Failure::Full { come_back_s, .. } = why else { panic!("{id}: {why}") };
        testbed.run(Span::from_s(u64::from(come_back_s)), |_| false);
        assert_eq!(served(&mut testbed, client, 10 + id, short(10)).0, cheap, "{id}");
    }
}
