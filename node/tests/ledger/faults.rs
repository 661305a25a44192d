//! Every fault of an endpoint at every step of a channel's life and of a payment: what is reported is the case, nothing
//! happens twice, and every nano is accounted for.

use std::sync::Arc;
use std::time::Duration;

use bombyx_node::ledger::{
    Chain as _, Ledger, LedgerError, OpenedChannel,
    devnet::{DEVNET_ID, Devnet},
};
use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::LedgerFault;
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::channel::voucher::{CloseOrder, CloseRequest, Voucher};
use futures::stream::{self, StreamExt as _};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{Instant, sleep};

use crate::proxy::{Fault, KINDS, Kind, Proxy};
use crate::server::Server;
use crate::setup::{coins, key, milli, wallet};

/// How long a signed transfer can be executed; long enough for some time-outs before it gets through.
const LONG_LIFE: Duration = Duration::from_secs(12);
/// The same, where its end is waited for.
const LIFE: Duration = Duration::from_secs(4);
/// How long an effect is waited for.
const DEADLINE: Duration = Duration::from_secs(4);
/// After this a transfer was executed or never will be.
const VOID: Duration = Duration::from_secs(7);
/// Cases that run side by side: they wait more than they work.
const AT_A_TIME: usize = 16;
const CHALLENGE_S: u32 = 3_600;
const FUNDS: Nano = coins(10);
const SOMEBODY: Address = Address { workchain: 0, hash: [7; 32] };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Open,
    TopUp,
    Claim,
    ClaimByWallet,
    RequestClose,
    ProviderClose,
    Finalize,
    Send,
}

const STEPS: [Step; 8] = [
    Step::Open,
    Step::TopUp,
    Step::Claim,
    Step::ClaimByWallet,
    Step::RequestClose,
    Step::ProviderClose,
    Step::Finalize,
    Step::Send,
];

/// A devnet behind a proxy, with a client and a provider that reach it through the proxy alone.
struct World {
    server: Server,
    proxy: Proxy,
    client: Ledger,
    provider: Ledger,
    /// The client's ledger without the proxy, to see what is the case.
    truth: Ledger,
}

impl World {
    async fn new(life: Duration) -> Self {
        let server = Server::serving(Devnet::new().unwrap()).await;
        let proxy = Proxy::before(&server.base).await;
        let through = |party| {
            let ledger = Ledger::new(proxy.chain(), DEVNET_ID, Some(wallet(party)));
            ledger.with_deadline(DEADLINE).with_transfer_life(life)
        };
        let (client, provider) = (through(0), through(1));
        for party in [&client, &provider] {
            server.devnet.faucet(party.wallet_address().unwrap(), FUNDS).unwrap();
        }
        let truth = server.over_http(0);
        Self { server, proxy, client, provider, truth }
    }

    fn terms(&self) -> ChannelTerms {
        ChannelTerms {
            network_id: DEVNET_ID,
            salt: 7,
            client_key: key(1).verifying_key().to_bytes(),
            provider_key: key(2).verifying_key().to_bytes(),
            client: self.client.wallet_address().unwrap(),
            provider: self.provider.wallet_address().unwrap(),
            challenge_s: CHALLENGE_S,
        }
    }

    /// What a step needs before it: a channel, and one that can be finalized.
    async fn prepare(&self, step: Step) -> OpenedChannel {
        let account = self.terms().account();
        let none = OpenedChannel { account, epoch: 0, deposit: Nano::ZERO };
        let opened = match step {
            Step::Open | Step::Send => none,
            _ => self.truth.open(&self.terms(), coins(1)).await.unwrap(),
        };
        if step == Step::Finalize {
            self.truth.request_close(account).await.unwrap();
            self.server.devnet.advance(CHALLENGE_S);
        }
        opened
    }

    async fn take(&self, step: Step, channel: OpenedChannel, amount: Nano) -> Result<(), LedgerError> {
        let OpenedChannel { account, epoch, .. } = channel;
        let voucher = Voucher { account: ChannelId(account.hash), epoch, cumulative: amount }.signed(&key(1));
        match step {
            Step::Open => self.client.open(&self.terms(), amount).await.map(drop),
            Step::TopUp => self.client.top_up(account, amount).await,
            Step::Claim | Step::ClaimByWallet => self.provider.claim(&voucher).await,
            Step::RequestClose => {
                let request = CloseRequest { account: ChannelId(account.hash), epoch };
                self.client.request_close_signed(&request, request.sign(&key(1))).await.map(drop)
            }
            Step::ProviderClose => {
                let order = CloseOrder { account: ChannelId(account.hash), epoch, cumulative: amount };
                self.provider.provider_close(&order, order.sign(&key(2)), Some(voucher.signature)).await
            }
            Step::Finalize => self.client.finalize(account).await,
            Step::Send => self.client.send(SOMEBODY, amount).await,
        }
    }

    /// The same, until it gets as far as the message: a machine that is busy with other tests can be too slow.
    async fn take_again(&self, step: Step, channel: OpenedChannel, amount: Nano) -> Result<(), LedgerError> {
        let mut said = self.take(step, channel, amount).await;
        for _ in 0..5 {
            if matches!(said, Err(LedgerError::Chain(_))) {
                said = self.take(step, channel, amount).await;
            }
        }
        said
    }

    /// Whether the ledger has executed the step.
    async fn is_done(&self, step: Step, channel: OpenedChannel, amount: Nano) -> bool {
        let state = self.truth.channel(channel.account).await.unwrap();
        let state = state.filter(|state| state.epoch != 0);
        match step {
            Step::Open => state.is_some(),
            Step::TopUp => state.unwrap().deposit > channel.deposit,
            Step::Claim | Step::ClaimByWallet => state.unwrap().settled == amount,
            Step::RequestClose => state.unwrap().close_at_s != 0,
            Step::ProviderClose | Step::Finalize => state.is_none(),
            Step::Send => self.received(amount).await == 1,
        }
    }

    /// How often somebody got that amount.
    async fn received(&self, amount: Nano) -> usize {
        let history = self.server.devnet.transactions(SOMEBODY, 100).await.unwrap();
        history
            .iter()
            .filter(|one| one.incoming.as_ref().is_some_and(|message| message.value == amount))
            .count()
    }

    /// Every nano that was ever given out lies on an account of the world or was paid as a fee.
    async fn assert_nothing_is_lost(&self, context: &str) {
        let (client, provider) =
            (self.client.wallet_address().unwrap(), self.provider.wallet_address().unwrap());
        let (mut held, mut fees) = (Nano::ZERO, Nano::ZERO);
        for address in [client, provider, SOMEBODY, self.terms().account()] {
            held = held.plus(self.truth.balance(address).await.unwrap()).unwrap();
            let history = self.server.devnet.transactions(address, 200).await.unwrap();
            fees = fees.plus(history.iter().map(|one| one.fee).sum()).unwrap();
        }
        assert_eq!(held.plus(fees).unwrap(), Nano(2 * FUNDS.0), "{context}");
    }
}

/// An amount that suits a step.
const fn amount(step: Step) -> Nano {
    match step {
        Step::Open => coins(1),
        // Below what pays for a message of its own.
        Step::ClaimByWallet => milli(3),
        Step::TopUp
        | Step::Claim
        | Step::RequestClose
        | Step::ProviderClose
        | Step::Finalize
        | Step::Send => milli(123),
    }
}

/// What is said of a step agrees with what the ledger shows once nothing can change any more.
async fn assert_honest(
    world: &World,
    step: Step,
    channel: OpenedChannel,
    said: &Result<(), LedgerError>,
    context: &str,
) {
    let done = world.is_done(step, channel, amount(step)).await;
    match said {
        Ok(()) => assert!(done, "{context}: said to be done"),
        Err(error) if error.may_be_sent() => {
            assert_eq!(error.fault(), LedgerFault::Unknown, "{context}: {error}")
        }
        // The fault that lets the core forget. (`LE-6`)
        Err(error) => assert!(!done, "{context}: said not to be sent: {error}"),
    }
    world.assert_nothing_is_lost(context).await;
}

/// A fault that begins with the message, holds for some requests, and passes.
async fn passing(step: Step, fault: Fault) {
    let context = format!("{step:?} {fault:?}");
    let world = World::new(LONG_LIFE).await;
    let channel = world.prepare(step).await;
    let mut spoilt = 0;
    world.proxy.set(move |method| {
        let hit = (method == "sendBoc" || spoilt > 0) && spoilt < 3;
        spoilt += u32::from(hit);
        hit.then_some(fault)
    });
    let said = world.take_again(step, channel, amount(step)).await;
    assert!(said.is_ok(), "{context}: {said:?}");
    assert_honest(&world, step, channel, &said, &context).await;
}

/// A fault that begins with the message and holds for longer than the operation. Then the step is asked for again, as the
/// core does, and has its effect once.
async fn lasting(step: Step, fault: Fault) {
    let context = format!("{step:?} {fault:?} for long");
    let world = World::new(LIFE).await;
    let channel = world.prepare(step).await;
    let mut begun = false;
    world.proxy.set(move |method| {
        begun |= method == "sendBoc";
        begun.then_some(fault)
    });
    let began = Instant::now();
    let said = world.take_again(step, channel, amount(step)).await;
    assert!(said.is_err(), "{context}: nothing can have been seen");
    assert!(began.elapsed() < 8 * VOID, "{context}: it ends: {:?}", began.elapsed());
    let error = said.as_ref().unwrap_err();
    assert!(error.may_be_sent(), "{context}: {error}");
    assert_honest(&world, step, channel, &said, &context).await;
    world.proxy.clear();
    let first = world.is_done(step, channel, amount(step)).await;
    assert_eq!(first, fault.forwarded, "{context}");
    let again = match (step, first) {
        // Who was told that the fate is unknown looks; what was not executed by now never will be.
        (Step::Send | Step::TopUp, true) => Ok(()),
        _ => world.take_again(step, channel, amount(step)).await,
    };
    match again {
        Ok(())
        | Err(LedgerError::AlreadyOpen { .. } | LedgerError::Refused { .. } | LedgerError::NotOpen { .. }) => {
        }
        Err(error) => panic!("{context}: again: {error}"),
    }
    assert!(world.is_done(step, channel, amount(step)).await, "{context}: again");
    let deposit = world.truth.channel(channel.account).await.unwrap().map(|state| state.deposit);
    match step {
        Step::Open => assert_eq!(deposit, Some(coins(1)), "{context}: funded once"),
        Step::TopUp => assert_eq!(deposit, Some(milli(1_123)), "{context}: topped up once"),
        Step::Send => assert_eq!(world.received(amount(step)).await, 1, "{context}: sent once"),
        _ => {}
    }
    world.assert_nothing_is_lost(&context).await;
}

fn every_case() -> Vec<(Step, Fault)> {
    STEPS.into_iter().flat_map(|step| Fault::all().map(move |fault| (step, fault))).collect()
}

/// (`LE-6`, `LE-7`)
#[tokio::test(flavor = "multi_thread")]
async fn a_passing_fault_at_any_step_changes_nothing() {
    let cases = stream::iter(every_case()).map(|(step, fault)| tokio::spawn(passing(step, fault)));
    cases.buffer_unordered(AT_A_TIME).for_each(async |done| done.unwrap()).await;
}

/// (`LE-6`, `LE-7`, `LE-9`)
#[tokio::test(flavor = "multi_thread")]
async fn a_lasting_fault_at_any_step_leaves_a_fate_unknown_and_nothing_happens_twice() {
    let cases = stream::iter(every_case()).map(|(step, fault)| tokio::spawn(lasting(step, fault)));
    cases.buffer_unordered(AT_A_TIME).for_each(async |done| done.unwrap()).await;
}

/// A transfer that no endpoint passes on is void after its time, and said not to be sent. (`LE-8`)
#[tokio::test]
async fn a_transfer_that_is_swallowed_is_known_not_to_be_sent_when_its_time_is_over() {
    let world = World::new(LIFE).await;
    for kind in [Kind::Cut, Kind::RateLimit, Kind::WrongContent] {
        world.proxy.set(move |method| (method == "sendBoc").then_some(Fault { kind, forwarded: false }));
        let error = world.client.send(SOMEBODY, milli(5)).await.unwrap_err();
        assert!(matches!(error, LedgerError::Expired { .. }), "{kind:?}: {error}");
        assert_eq!(error.fault(), LedgerFault::NotSent);
    }
    world.proxy.clear();
    world.client.send(SOMEBODY, milli(5)).await.unwrap();
    assert_eq!(world.received(milli(5)).await, 1);
}

/// What may still be executed is never followed by another transfer; dropped, it is looked up all the same. (`LE-7`)
#[tokio::test]
async fn nothing_new_is_sent_while_the_fate_of_a_transfer_is_open() {
    let world = World::new(LIFE).await;
    let cut = Fault { kind: Kind::Cut, forwarded: true };
    let mut begun = false;
    world.proxy.set(move |method| {
        begun |= method == "sendBoc";
        begun.then_some(cut)
    });
    // The caller leaves while nothing is known.
    let left = tokio::time::timeout(Duration::from_millis(700), world.client.send(SOMEBODY, milli(5))).await;
    assert!(left.is_err());
    let error = world.client.send(SOMEBODY, milli(6)).await.unwrap_err();
    assert!(matches!(error, LedgerError::Pending { .. }), "{error}");
    assert_eq!(error.fault(), LedgerFault::NotSent);
    world.proxy.clear();
    world.client.send(SOMEBODY, milli(6)).await.unwrap();
    assert_eq!((world.received(milli(5)).await, world.received(milli(6)).await), (1, 1));
    world.assert_nothing_is_lost("after all").await;
}

/// The node is started again while a deposit is on its way between accounts: it is waited for, and no second one leaves.
/// (`LE-9`)
#[tokio::test]
async fn an_opening_that_is_on_its_way_is_not_sent_again_after_a_restart() {
    let devnet = Devnet::new().unwrap().in_blocks(30);
    let started = |party| Ledger::new(Arc::new(devnet.clone()), DEVNET_ID, Some(wallet(party)));
    let (client, provider) = (started(0), started(1));
    let address = client.wallet_address().unwrap();
    devnet.faucet(address, FUNDS).unwrap();
    let terms = crate::backends::terms(&client, &provider);
    let asked = tokio::time::timeout(Duration::from_millis(300), client.open(&terms, coins(1))).await;
    assert!(asked.is_err(), "no block has taken it");
    devnet.produce_block();
    assert_eq!(client.channel(terms.account()).await.unwrap(), None, "it is on its way");
    drop(client);
    let blocks = tokio::spawn(devnet.clone().produce_blocks(Duration::from_millis(50)));
    let opened = started(0).open(&terms, coins(1)).await.unwrap();
    blocks.abort();
    assert_eq!(opened.deposit, coins(1));
    let sent = devnet.transactions(address, 10).await.unwrap();
    assert_eq!(sent.iter().map(|one| one.outgoing.len()).sum::<usize>(), 1);
}

/// Another process with the same wallet takes the number: that is told from the own transfer. (`LE-7`)
#[tokio::test]
async fn a_number_that_another_message_took_is_not_taken_for_a_payment() {
    let world = World::new(LIFE).await;
    let mut spoilt = false;
    world.proxy.set(move |method| {
        let hit = method == "sendBoc" && !spoilt;
        spoilt |= hit;
        hit.then_some(Fault { kind: Kind::Late, forwarded: false })
    });
    let other = async {
        sleep(Duration::from_millis(300)).await;
        world.truth.send(SOMEBODY, milli(8)).await.unwrap();
    };
    let (sent, ()) = tokio::join!(world.client.send(SOMEBODY, milli(9)), other);
    let error = sent.unwrap_err();
    assert!(matches!(error, LedgerError::Overtaken { .. }), "{error}");
    assert_eq!((world.received(milli(8)).await, world.received(milli(9)).await), (1, 0));
}

/// A liar among three that invents an exit code ends no operation, and makes nobody forget a channel. (`LE-5`)
#[tokio::test]
async fn an_invented_exit_code_makes_no_refusal() {
    let server = Server::start().await;
    let liar = crate::http::refusing().await;
    let list = format!("{liar},{},{}", server.base, server.lite);
    let client = crate::server::reached(&list, 0).with_deadline(DEADLINE);
    server.devnet.faucet(client.wallet_address().unwrap(), coins(5)).unwrap();
    let provider = server.over_http(1);
    let terms = crate::backends::terms(&client, &provider);
    let channel = client.open(&terms, coins(1)).await.unwrap();
    client.top_up(channel.account, milli(100)).await.unwrap();
    client.request_close(channel.account).await.unwrap();
    client.send(SOMEBODY, milli(5)).await.unwrap();
}

/// One life of a channel with payments beside it, through an endpoint of random moods. Returns how many steps were told to be
/// of unknown fate.
async fn random_life(seed: u64) -> usize {
    let mut rng = StdRng::seed_from_u64(seed);
    let world = World::new(LIFE).await;
    let terms = world.terms();
    let mut unknown = 0;
    let mut steps = vec![Step::Open];
    for _ in 0..rng.random_range(1..=3) {
        steps.push([Step::TopUp, Step::Claim, Step::ClaimByWallet, Step::Send][rng.random_range(0..4)]);
    }
    steps.push([Step::ProviderClose, Step::RequestClose][rng.random_range(0..2)]);
    let mut claimed = Nano::ZERO;
    for (number, step) in steps.into_iter().enumerate() {
        let context = format!("seed {seed}, step {number}, {step:?}");
        let Some(before) = channel(&world, &terms).await.or((step == Step::Open).then_some(OpenedChannel {
            account: terms.account(),
            epoch: 0,
            deposit: Nano::ZERO,
        })) else {
            break;
        };
        // Each amount occurs once, so that the ledger's history tells what was executed.
        let unique = Nano(milli(6).0 + u64::try_from(number).unwrap());
        let amount = match step {
            Step::Open => coins(1),
            Step::Claim => claimed.plus(milli(50)).unwrap(),
            Step::ClaimByWallet => claimed.plus(milli(2)).unwrap(),
            Step::ProviderClose => claimed,
            _ => unique,
        };
        moody(&world.proxy, &mut rng);
        let mut said = world.take(step, before, amount).await;
        // What is said of a repetition says nothing of an earlier attempt, as the core keeps in mind too.
        let mut open = false;
        for _ in 0..2 {
            let Err(error) = &said else { break };
            unknown += usize::from(error.may_be_sent());
            open |= error.may_be_sent();
            // A payment and a top-up of unknown fate are not repeated; what names its own effect is.
            if matches!(step, Step::Send | Step::TopUp) {
                break;
            }
            said = world.take(step, before, amount).await;
        }
        world.proxy.clear();
        open |= said.as_ref().is_err_and(LedgerError::may_be_sent);
        if open && said.is_err() {
            sleep(VOID).await;
        }
        let after = channel(&world, &terms).await;
        let settled = world.truth.channel(terms.account()).await.unwrap().map(|state| state.settled);
        let done = match step {
            Step::Open => after.is_some(),
            Step::TopUp => after.map(|after| after.deposit) == before.deposit.plus(amount),
            Step::Claim | Step::ClaimByWallet => settled == Some(amount),
            Step::Send => world.received(amount).await == 1,
            Step::ProviderClose => after.is_none(),
            _ => {
                world.truth.channel(terms.account()).await.unwrap().is_none_or(|state| state.close_at_s != 0)
            }
        };
        let repeated = matches!(
            said,
            Err(LedgerError::AlreadyOpen { .. } | LedgerError::Refused { .. } | LedgerError::NotOpen { .. })
        );
        match &said {
            Ok(()) => assert!(done, "{context}: said to be done"),
            Err(_) if open || repeated => {}
            Err(error) => assert!(!done, "{context}: said not to be sent: {error}"),
        }
        if let Some(after) = after {
            let grown = after.deposit.0 - before.deposit.0;
            let most = if matches!(step, Step::Open | Step::TopUp) { amount.0 } else { 0 };
            assert!(grown == 0 || grown == most, "{context}: funded by {grown}");
        }
        assert!(world.received(amount).await <= 1, "{context}: paid twice");
        if matches!(step, Step::Claim | Step::ClaimByWallet) && done {
            claimed = amount;
        }
        world.assert_nothing_is_lost(&context).await;
    }
    unknown
}

/// The channel as it is.
async fn channel(world: &World, terms: &ChannelTerms) -> Option<OpenedChannel> {
    let account = terms.account();
    let state = world.truth.channel(account).await.unwrap().filter(|state| state.epoch != 0)?;
    Some(OpenedChannel { account, epoch: state.epoch, deposit: state.deposit })
}

/// Faults at random, for a random while.
fn moody(proxy: &Proxy, rng: &mut StdRng) {
    let mut rng = StdRng::seed_from_u64(rng.random());
    let chance = [0.1, 0.5, 0.9, 1.0][rng.random_range(0..4)];
    let only_messages = rng.random_bool(0.3);
    let until = Instant::now() + Duration::from_millis(rng.random_range(0..9_000));
    proxy.set(move |method| {
        let fault = Fault { kind: KINDS[rng.random_range(0..KINDS.len())], forwarded: rng.random_bool(0.5) };
        let hit =
            Instant::now() < until && rng.random_bool(chance) && (!only_messages || method == "sendBoc");
        hit.then_some(fault)
    });
}

/// Lives with random faults; `BOMBYX_TEST_FAULTS` says how many, a few unless it does. (`LE-6`, `LE-7`)
#[tokio::test(flavor = "multi_thread")]
async fn random_faults_lose_nothing_and_do_nothing_twice() {
    let lives = std::env::var("BOMBYX_TEST_FAULTS").ok().and_then(|count| count.parse().ok()).unwrap_or(24);
    let done = stream::iter(0..lives).map(|seed| tokio::spawn(random_life(seed))).buffer_unordered(AT_A_TIME);
    let unknown: usize = done.map(|life| life.unwrap()).collect::<Vec<_>>().await.iter().sum();
    println!("{lives} lives, {unknown} steps of unknown fate");
}
