//! The rules of `spec/06-channel.md` that one side keeps by itself.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::earn::{Acceptance, Earner, VoucherFault};
use bombyx_protocol::channel::fault::Mismatch;
use bombyx_protocol::channel::ledger::{ChannelState, LedgerCall, LedgerEvent, LedgerFault};
use bombyx_protocol::channel::pay::{InsufficientDeposit, Payer};
use bombyx_protocol::channel::record::{PayerRecord, Record};
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::channel::voucher::Voucher;
use bombyx_protocol::channel::watch::WatchedVoucher;
use bombyx_protocol::client::{ChannelPolicy, Client, ClientConfig};
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{Command, Input, Machine as _, Output};
use bombyx_protocol::limits;
use bombyx_protocol::market::bid::Payee;
use bombyx_protocol::provider::ProviderConfig;
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::watcher::Watcher;
use bombyx_protocol::wire::message::Payment;
use ed25519_dalek::SigningKey;
use testbed::{CALM, Testbed};

const PEER: NodeId = NodeId([9; 32]);

fn key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn terms() -> ChannelTerms {
    ChannelTerms {
        network_id: -3,
        salt: 1,
        client_key: key().verifying_key().to_bytes(),
        provider_key: SigningKey::from_bytes(&[2; 32]).verifying_key().to_bytes(),
        client: Address::basechain([3; 32]),
        provider: Address::basechain([4; 32]),
        challenge_s: 60,
    }
}

fn open(epoch: u64, deposit: u64) -> ChannelState {
    ChannelState { epoch, deposit: Nano(deposit), settled: Nano::ZERO, closing: None }
}

fn payment(epoch: u64, cumulative: u64) -> Payment {
    let voucher = Voucher { account: terms().id(), epoch, cumulative: Nano(cumulative) };
    Payment { epoch, cumulative: voucher.cumulative, signature: voucher.sign(&key()) }
}

fn payer() -> Payer {
    Payer::opening(terms(), PEER, Nano(1_000))
}

fn earner() -> Earner {
    Earner::new(terms(), PEER)
}

/// (CH-2)
#[test]
fn jobs_reserve_their_ceilings_and_give_back_what_they_did_not_use() {
    let mut payer = payer();
    assert_eq!(payer.reserve(Nano(700)), Ok(()));
    assert_eq!(payer.reserve(Nano(301)), Err(InsufficientDeposit));
    assert_eq!(payer.owe(Nano(200)), Ok(()));
    assert_eq!(payer.headroom(), Nano(300), "what is owed came out of what was reserved");
    payer.release(Nano(500));
    assert_eq!(payer.headroom(), Nano(800));
}

/// (CH-3, CH-4)
#[test]
fn no_voucher_is_above_the_deposit_or_before_it_is_seen() {
    let mut payer = payer();
    payer.owe(Nano(400)).unwrap();
    assert_eq!(payer.payment(&key()), None, "the ledger has not shown the channel");
    payer.observe(Time(1), &open(7, 1_000));
    assert_eq!(payer.payment(&key()), Some(payment(7, 400)));
    assert_eq!(payer.owe(Nano(601)), Err(InsufficientDeposit));
    payer.top_up(Nano(500));
    assert_eq!(payer.owe(Nano(900)), Ok(()));
    assert_eq!(payer.payment(&key()), Some(payment(7, 1_000)), "the top-up is not on the ledger yet");
    payer.observe(Time(2), &open(7, 1_500));
    assert_eq!(payer.payment(&key()), Some(payment(7, 1_300)));
}

/// (CH-7, CH-8)
#[test]
fn a_promise_on_disk_counts_as_spent_and_is_signed_again_once_the_provider_has_spoken() {
    let mut payer = payer();
    payer.observe(Time(1), &open(7, 1_000));
    payer.owe(Nano(400)).unwrap();
    let mut again = Payer::restored(payer.record());
    assert_eq!((again.cumulative(), again.headroom()), (Nano(400), Nano(600)));
    assert_eq!(again.payment(&key()), None, "the provider may hold a newer one");
    assert_eq!(again.recover(None), None, "it holds none: what is on disk stands");
    assert_eq!(again.payment(&key()), Some(payment(7, 400)));
}

/// (CH-8)
#[test]
fn a_lost_voucher_is_gone_on_from_when_it_is_newer_and_of_this_funding() {
    let voucher =
        |epoch, cumulative| Voucher { account: payer_account(), epoch, cumulative: Nano(cumulative) };
    let mut before = payer();
    before.observe(Time(1), &open(7, 1_000));
    before.owe(Nano(400)).unwrap();
    let restored = || Payer::restored(before.record());

    let behind = |known, shown| Some(Mismatch::Behind { known: Nano(known), shown: Nano(shown) });
    for (shown, mismatch, known) in
        [((6, 500), None, 400), ((7, 399), None, 400), ((7, 500), behind(400, 500), 500)]
    {
        let mut payer = restored();
        assert_eq!(payer.recover(Some(&voucher(shown.0, shown.1))), mismatch, "{shown:?}");
        assert_eq!(payer.cumulative(), Nano(known), "{shown:?}");
        assert!(payer.is_usable());
    }
    let mut payer = restored();
    payer.owe(Nano(50)).unwrap();
    assert_eq!(payer.recover(Some(&voucher(7, 500))), behind(400, 500));
    assert_eq!(payer.cumulative(), Nano(550), "what was promised since the restart comes on top");

    // A store from before a top-up: the promise is not cut at the deposit that it knows.
    let mut payer = restored();
    assert_eq!(payer.recover(Some(&voucher(7, 1_400))), behind(400, 1_400));
    assert_eq!(payer.payment(&key()), Some(payment(7, 1_000)), "no voucher above what the ledger has shown");
    payer.observe(Time(2), &open(7, 2_000));
    assert_eq!(payer.payment(&key()), Some(payment(7, 1_400)));
}

/// (CH-24)
#[test]
fn a_voucher_that_this_node_never_signed_ends_its_use_of_the_channel() {
    let voucher =
        |epoch, cumulative| Voucher { account: payer_account(), epoch, cumulative: Nano(cumulative) };
    let mut payer = payer();
    payer.observe(Time(1), &open(7, 1_000));
    payer.owe(Nano(400)).unwrap();
    assert_eq!(payer.recover(Some(&voucher(7, 400))), None, "its own");
    let foreign = Mismatch::Voucher { known: Nano(400), shown: Nano(900) };
    assert_eq!(payer.recover(Some(&voucher(7, 900))), Some(foreign), "somebody else signs with its key");
    assert!(!payer.is_usable() && payer.close_request().is_some(), "the rest is asked back");
    assert_eq!(payer.cumulative(), Nano(900), "what was signed is owed all the same");
}

/// (CH-24)
#[test]
fn another_funding_than_the_store_knows_is_not_paid_on_and_asked_back() {
    let mut before = payer();
    before.observe(Time(1), &open(7, 1_000));
    before.owe(Nano(400)).unwrap();
    let mut payer = Payer::restored(before.record());
    let observed = payer.observe(Time(2), &open(9, 300));
    assert_eq!(observed.mismatch, Some(Mismatch::Epoch { known: 7, shown: 9 }));
    assert!(!payer.is_usable());
    assert_eq!(payer.close_request().unwrap().epoch, 9, "it is this funding that is asked back");
    assert_eq!(payer.payment(&key()), None, "no old promise is signed for it");

    let mut payer = Payer::restored(before.record());
    let later = Voucher { account: payer_account(), epoch: 9, cumulative: Nano(50) };
    assert_eq!(payer.recover(Some(&later)), Some(Mismatch::Epoch { known: 7, shown: 9 }));
    assert!(!payer.is_usable(), "the provider knows a later funding than the store");
}

/// (CH-24)
#[test]
fn vouchers_of_an_earlier_funding_are_no_money_in_a_later_one() {
    let mut earner = earner();
    earner.observe(open(7, 1_000));
    earner.serve(Nano(400));
    earner.accept(payment(7, 400)).unwrap();
    let mut earner = Earner::restored(earner.record());
    assert_eq!(earner.observe(open(9, 500)).mismatch, Some(Mismatch::Epoch { known: 7, shown: 9 }));
    assert_eq!((earner.paid(), earner.unpaid(), earner.newest()), (Nano::ZERO, Nano::ZERO, None));
    earner.serve(Nano(50));
    assert_eq!(earner.accept(payment(9, 50)), Ok(Acceptance::More));
    assert_eq!(earner.unpaid(), Nano::ZERO);
}

/// (CH-3)
#[test]
fn a_top_up_that_a_crash_lost_is_not_counted_as_deposited() {
    let mut payer = payer();
    payer.observe(Time(1), &open(7, 1_000));
    payer.owe(Nano(900)).unwrap();
    payer.top_up(Nano(500));
    assert_eq!(payer.headroom(), Nano(600));
    let mut payer = Payer::restored(payer.record());
    assert_eq!(payer.headroom(), Nano(100), "asked for is not deposited");
    payer.observe(Time(2), &open(7, 1_500));
    assert_eq!(payer.headroom(), Nano(600), "it was not lost after all");
}

fn payer_account() -> ChannelId {
    terms().id()
}

/// (CH-5)
#[test]
fn a_provider_serves_ahead_of_payment_no_more_than_its_window() {
    let mut earner = earner();
    let (window, credit) = (Nano(100), Nano(30));
    assert_eq!(earner.allowance(window, credit), Nano(30), "an unseen channel has credit alone");
    earner.observe(open(7, 120));
    assert_eq!(earner.allowance(window, credit), Nano(100));
    earner.serve(Nano(80));
    assert_eq!(earner.allowance(window, credit), Nano(20));
    assert_eq!(earner.accept(payment(7, 80)), Ok(Acceptance::More));
    assert_eq!(earner.allowance(window, credit), Nano(40), "the deposit is nearly used up");
}

/// (CH-6)
#[test]
fn a_voucher_counts_once_for_its_funding_within_its_deposit() {
    let mut earner = earner();
    assert_eq!(
        earner.accept(payment(7, 50)),
        Ok(Acceptance::Early),
        "for a funding that is still on its way"
    );
    assert_eq!(earner.paid(), Nano::ZERO);
    assert_eq!(earner.accept(payment(7, 40)), Ok(Acceptance::Nothing), "an older one that was overtaken");
    let mut earner = Earner::restored(earner.record());
    assert!(earner.observe(open(7, 100)).counts, "a crash does not lose it");
    assert_eq!(earner.paid(), Nano(50));
    for old in [50, 49] {
        assert_eq!(earner.accept(payment(7, old)), Ok(Acceptance::Nothing));
    }
    assert_eq!(earner.accept(payment(6, 60)), Err(VoucherFault::Epoch));
    let forged = Payment { cumulative: Nano(70), ..payment(7, 60) };
    assert_eq!(earner.accept(forged), Err(VoucherFault::Signature));
    assert_eq!(
        earner.accept(payment(7, 101)),
        Ok(Acceptance::Early),
        "for a top-up that is still on its way"
    );
    assert_eq!(earner.paid(), Nano(50));
    assert!(earner.observe(open(7, 200)).counts);
    assert_eq!(earner.paid(), Nano(101));
    assert_eq!(Earner::restored(earner.record()).paid(), Nano(101));
}

/// (CH-9)
#[test]
fn what_is_given_up_frees_the_channel_and_is_no_head_start_when_paid_late() {
    let mut earner = earner();
    earner.observe(open(7, 1_000));
    earner.serve(Nano(90));
    earner.write_off(Nano(60));
    assert_eq!((earner.unpaid(), earner.written_off()), (Nano(30), Nano(60)), "at most the job's bill");
    earner.write_off(Nano(60));
    assert_eq!((earner.unpaid(), earner.written_off()), (Nano::ZERO, Nano(90)));
    assert_eq!(earner.accept(payment(7, 90)), Ok(Acceptance::More));
    assert_eq!(earner.written_off(), Nano::ZERO);
    earner.serve(Nano(10));
    assert_eq!(earner.unpaid(), Nano(10));
}

/// (CH-18)
#[test]
fn a_provider_claims_when_enough_is_covered_and_each_total_once() {
    let mut testbed = Testbed::new(32, CALM);
    let coin = Nano(1_000_000_000);
    let client = testbed.client(1, coin);
    let config = ProviderConfig { settle_at: Nano(60_000), ..ProviderConfig::for_tests(1) };
    let provider = testbed.provider_with(config, testbed::price(400_000), 1_000);
    testbed.order(client, 1, testbed::chat("count for me", 400), coin, Span::from_s(60));
    testbed.run_to_end(Span::from_s(60));
    let earned = testbed.provider_at(provider).channels().next().unwrap().paid();
    let claims = earned.0 / 60_000;
    assert!(
        testbed.chain.claims >= 1 && testbed.chain.claims as u64 <= claims,
        "{} claims",
        testbed.chain.claims
    );
    let paid_out = testbed.chain.balance(&ProviderConfig::for_tests(1).payout.hash);
    assert!(earned.0 - paid_out < 60_000, "{paid_out} of {earned} is paid out");
}

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

/// (CH-26)
#[test]
fn dust_is_something_and_less_than_is_paid_out() {
    let mut earner = Earner::new(terms(), PEER);
    earner.observe(open(7, 10_000_000));
    assert!(!earner.is_dust(), "nothing is due");
    for (total, is_dust) in [(1, true), (limits::PAYOUT_MIN.0 - 1, true), (limits::PAYOUT_MIN.0, false)] {
        earner.accept(payment(7, total)).unwrap();
        assert_eq!(earner.is_dust(), is_dust, "{total}");
    }
    earner.observe(ChannelState { settled: Nano(1), ..open(7, 10_000_000) });
    assert!(earner.is_dust(), "one less is due");
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
