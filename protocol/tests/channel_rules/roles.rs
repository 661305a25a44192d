//! When the roles open, watch and close their channels.

use crate::testbed::{self, CALM, Testbed};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::{ChannelState, LedgerCall, LedgerEvent, LedgerFault};
use bombyx_protocol::channel::pay::Payer;
use bombyx_protocol::channel::record::{PayerRecord, Record};
use bombyx_protocol::channel::terms::ChannelTerms;
use bombyx_protocol::channel::watch::WatchedVoucher;
use bombyx_protocol::client::{ChannelPolicy, Client, ClientConfig};
use bombyx_protocol::io::{Command, Input, Machine as _, Output};
use bombyx_protocol::market::bid::Payee;
use bombyx_protocol::provider::ProviderConfig;
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::watcher::Watcher;
use bombyx_protocol::{ChannelId, limits};
use ed25519_dalek::SigningKey;

use super::{PEER, open, payment, terms};

/// (CH-27)
#[test]
fn a_channel_that_was_opened_beforehand_pays_the_first_job_and_no_second_one_is_opened() {
    let mut testbed = Testbed::new(35, CALM);
    let (coin, deposit) = (Nano(1_000_000_000), Nano(30_000_000));
    let client = testbed.client(1, coin);
    let provider = testbed.provider(1, testbed::price(4_000_000), 1_000);
    let payee = testbed.provider_at(provider).payee();
    assert_eq!(testbed.client_at(client).channel_to(provider, &payee), None);
    for _ in 0..2 {
        testbed.command(client, Command::Open { provider, payee, deposit });
        testbed.run(Span::from_s(5), |_| false);
        assert_eq!(testbed.chain.locked(), deposit.0);
    }
    let account = testbed.client_at(client).channel_to(provider, &payee).unwrap();
    testbed.order(client, 1, testbed::chat("count for me", 100), coin, Span::from_s(60));
    testbed.run_to_end(Span::from_s(60));
    let cost = testbed.outcome(1).end.unwrap().unwrap().cost;
    let channels: Vec<&Payer> = testbed.client_at(client).channels().collect();
    assert_eq!(channels.len(), 1);
    assert_eq!((channels[0].account(), channels[0].record().cumulative), (account, cost));
}

/// (CH-27)
#[test]
fn what_no_bidder_would_be_given_is_not_opened_by_hand_either() {
    let mut testbed = Testbed::new(36, CALM);
    let most = Nano(500_000_000);
    let too_much = Nano(most.0 + 1);
    let policy = ChannelPolicy { deposit_max: most, ..ChannelPolicy::default() };
    let config = ClientConfig { policy, ..ClientConfig::for_tests(1) };
    let client = testbed.client_with(config, Nano(1_000_000_000));
    let provider = testbed.provider(1, testbed::price(4_000_000), 1_000);
    let payee = testbed.provider_at(provider).payee();
    let refused = [
        (Payee { network_id: payee.network_id - 1, ..payee }, Nano(1)),
        (Payee { challenge_s: u32::MAX, ..payee }, Nano(1)),
        (Payee { key: [0; 32], ..payee }, Nano(1)),
        (payee, too_much),
    ];
    for (payee, deposit) in refused {
        assert!(testbed.client_at(client).can_open(&payee, deposit).is_err(), "{payee:?}");
        testbed.command(client, Command::Open { provider, payee, deposit });
        testbed.run(Span::from_s(5), |_| false);
        assert_eq!(testbed.client_at(client).channels().count(), 0, "{payee:?}");
    }
    assert_eq!(testbed.client_at(client).can_open(&payee, most), Ok(()));
}

/// (CH-26)
#[test]
fn a_settlement_leaves_a_channel_open_whose_close_would_pay_nothing_out() {
    let mut testbed = Testbed::new(33, CALM);
    let coin = Nano(1_000_000_000);
    let minute = Span::from_s(60);
    let client = testbed.client(1, coin);
    let provider = testbed.provider(1, testbed::price(4_000_000), 1_000);
    let payout = ProviderConfig::for_tests(1).payout.hash;
    testbed.order(client, 1, testbed::chat("count for me", 100), coin, minute);
    testbed.run_to_end(minute);
    let first = testbed.outcome(1).end.unwrap().unwrap().cost;
    assert!(first < limits::PAYOUT_MIN);
    testbed.command(provider, Command::Settle);
    testbed.run(Span::from_s(5), |_| false);
    assert!(testbed.chain.locked() > 0, "{first} would be lost");

    // A second job on it makes the close worth while.
    testbed.order(client, 2, testbed::chat("count for me", 100), coin, minute);
    testbed.run_to_end(minute);
    let both = first.saturating_plus(testbed.outcome(2).end.unwrap().unwrap().cost);
    assert!(both >= limits::PAYOUT_MIN);
    testbed.command(provider, Command::Settle);
    testbed.run(Span::from_s(5), |testbed| testbed.chain.locked() == 0);
    assert_eq!(testbed.chain.locked(), 0);
    assert_eq!(testbed.chain.balance(&payout), both.0);
}

/// (CH-26)
#[test]
fn a_channel_that_is_named_is_closed_whatever_is_due_on_it() {
    let mut testbed = Testbed::new(34, CALM);
    let coin = Nano(1_000_000_000);
    let client = testbed.client(1, coin);
    let provider = testbed.provider(1, testbed::price(400_000), 1_000);
    testbed.order(client, 1, testbed::chat("count for me", 100), coin, Span::from_s(60));
    testbed.run_to_end(Span::from_s(60));
    let account = testbed.provider_at(provider).channels().next().unwrap().account();
    testbed.command(provider, Command::Settle);
    testbed.command(provider, Command::Close { account });
    testbed.run(Span::from_s(5), |testbed| testbed.chain.locked() == 0);
    assert_eq!(testbed.chain.locked(), 0);
}

/// Gives a watcher an input at a time in seconds; returns the claims that it makes and when it wakes.
fn watched(watcher: &mut Watcher, at_s: u64, input: Input) -> (Vec<Nano>, Time) {
    let mut claims = Vec::new();
    watcher.handle(Time(at_s * 1_000_000), input);
    loop {
        let output = watcher.poll();
        if let Output::Wake(at) = output {
            return (claims, at);
        }
        if let Output::Ledger(call) = output
            && let LedgerCall::Claim { voucher, .. } = *call
        {
            claims.push(voucher.cumulative);
        }
    }
}

/// (CH-10)
#[test]
fn a_watcher_acts_in_the_second_half_and_brings_a_claim_that_failed_again_after_a_wait() {
    let account = terms().id();
    let watch = |cumulative| {
        let voucher = payment(7, cumulative).on(account);
        Input::Command(Command::Watch(WatchedVoucher { voucher, challenge_s: 600 }))
    };
    let closing = ChannelState { closing: Some(Span::from_s(600)), ..open(7, 1_000) };
    let seen = |state| Input::Ledger(LedgerEvent::Channel { account, state });
    let failed = || Input::Ledger(LedgerEvent::Failed { account, top_up: None, fault: LedgerFault::Unknown });
    let at = |s: u64| Time(s * 1_000_000);
    let never = Time::NEVER;

    let mut watcher = Watcher::new();
    assert_eq!(watched(&mut watcher, 0, watch(300)), (vec![], never));
    assert_eq!(watched(&mut watcher, 10, seen(Some(closing))), (vec![], at(310)));
    assert_eq!(watched(&mut watcher, 309, Input::Tick), (vec![], at(310)));
    assert_eq!(watched(&mut watcher, 310, Input::Tick), (vec![Nano(300)], at(340)));
    assert_eq!(watched(&mut watcher, 311, failed()), (vec![], at(340)), "not at once");
    assert_eq!(
        watched(&mut watcher, 340, Input::Tick),
        (vec![Nano(300)], at(370)),
        "until the ledger shows it"
    );
    // A higher voucher is brought as well; what is settled is brought once and no more.
    assert_eq!(watched(&mut watcher, 350, watch(400)), (vec![Nano(400)], at(380)));
    let settled = ChannelState { settled: Nano(400), ..closing };
    assert_eq!(watched(&mut watcher, 351, seen(Some(settled))), (vec![], never));
    assert!(!watcher.is_idle());
    let look = at(700) + limits::GONE_LOOK;
    assert_eq!(watched(&mut watcher, 700, seen(None)), (vec![], look));
    assert!(watcher.is_idle(), "gone from the ledger, and looked at once more");
}

/// Gives a client an input at a time in seconds; returns the ledger calls that it makes and when it wakes.
fn told(client: &mut Client, at_s: u64, input: Input) -> (Vec<LedgerCall>, Time) {
    let mut calls = Vec::new();
    client.handle(Time(at_s * 1_000_000), input);
    loop {
        match client.poll() {
            Output::Ledger(call) => calls.push(*call),
            Output::Persist { id, .. } => client.handle(Time(at_s * 1_000_000), Input::Persisted(id)),
            Output::Wake(at) => return (calls, at),
            Output::Send { .. }
            | Output::Broadcast { .. }
            | Output::Count { .. }
            | Output::Run { .. }
            | Output::Allow { .. }
            | Output::Cancel { .. }
            | Output::Watch(_)
            | Output::Event(_)
            | Output::Fault { .. } => {}
        }
    }
}

/// (CH-11, CH-25, CH-37)
#[test]
fn a_client_wakes_for_an_idle_channel_and_for_each_step_of_its_close_and_seldom_for_one_that_is_gone() {
    let policy = ChannelPolicy { idle_close: Some(Span::from_s(100)), ..ChannelPolicy::default() };
    let config = ClientConfig { policy, ..ClientConfig::for_tests(1) };
    let client_key = SigningKey::from_bytes(&config.channel_seed).verifying_key().to_bytes();
    let terms = |salt| ChannelTerms { salt, client_key, ..terms() };
    let record = |salt| {
        Record::Payer(PayerRecord {
            terms: terms(salt).into(),
            provider: PEER,
            deposit: Nano(1_000),
            locked: Nano(1_000),
            epoch: Some(7),
            cumulative: Nano::ZERO,
            closing: false,
            gone: false,
        })
    };
    let [first, second] = [1, 2].map(|salt| terms(salt).id());
    let seen = |account, state| Input::Ledger(LedgerEvent::Channel { account, state });
    let closing = |s| Some(ChannelState { closing: Some(Span::from_s(s)), ..open(7, 1_000) });
    let at = |s: u64| Time(s * 1_000_000);

    let mut client = Client::new(config, vec![record(1), record(2)]);
    let (watching, _) = told(&mut client, 10, Input::Tick);
    assert_eq!(watching, [first, second].map(|account| LedgerCall::Watch { account }));
    assert_eq!(told(&mut client, 20, seen(first, Some(open(7, 1_000)))), (vec![], at(110)));
    assert_eq!(told(&mut client, 109, Input::Tick), (vec![], at(110)));
    let (asked, wake) = told(&mut client, 110, Input::Tick);
    let accounts: Vec<ChannelId> = asked.iter().map(LedgerCall::account).collect();
    let both = if first < second { [first, second] } else { [second, first] };
    assert_eq!(accounts, both);
    assert!(asked.iter().all(|call| matches!(call, LedgerCall::RequestClose { .. })), "{asked:?}");
    assert_eq!(wake, at(110) + limits::LEDGER_WAIT, "what the ledger does not answer is asked again");
    assert_eq!(told(&mut client, 115, seen(first, closing(60))), (vec![], at(140)));
    assert_eq!(told(&mut client, 115, seen(second, closing(90))), (vec![], at(175)));
    assert_eq!(told(&mut client, 170, seen(first, None)).1, at(205), "its step is not waited for any more");
    let (finalized, wake) = told(&mut client, 205, Input::Tick);
    assert_eq!((finalized, wake), (vec![LedgerCall::Finalize { account: second }], at(235)));
    let look = at(170) + limits::GONE_LOOK;
    let unwatched = vec![LedgerCall::Unwatch { account: second }];
    assert_eq!(told(&mut client, 206, seen(second, None)), (unwatched, look), "nothing but looks is left");
}
