//! Every fault of an endpoint at every step of a channel's life and of a payment: what is reported is the case, nothing
//! happens twice, and every nano is accounted for.

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
use tokio::time::Instant;

use crate::proxy::{Fault, Proxy};
use crate::server::Server;
use crate::setup::{coins, key, milli, wallet};

/// How long a signed transfer can be executed; long enough for some time-outs before it gets through.
pub(crate) const LONG_LIFE: Duration = Duration::from_secs(12);
/// The same, where its end is waited for.
pub(crate) const LIFE: Duration = Duration::from_secs(4);
/// How long an effect is waited for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(4);
/// After this a transfer was executed or never will be.
pub(crate) const VOID: Duration = Duration::from_secs(7);
/// Cases that run side by side: they wait more than they work.
pub(crate) const AT_A_TIME: usize = 16;
pub(crate) const CHALLENGE_S: u32 = 3_600;
pub(crate) const FUNDS: Nano = coins(10);
pub(crate) const SOMEBODY: Address = Address { workchain: 0, hash: [7; 32] };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Open,
    TopUp,
    Claim,
    ClaimByWallet,
    RequestClose,
    ProviderClose,
    Finalize,
    Send,
}

pub(crate) const STEPS: [Step; 8] = [
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
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) proxy: Proxy,
    pub(crate) client: Ledger,
    pub(crate) provider: Ledger,
    /// The client's ledger without the proxy, to see what is the case.
    pub(crate) truth: Ledger,
}

impl World {
    pub(crate) async fn new(life: Duration) -> Self {
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

    pub(crate) fn terms(&self) -> ChannelTerms {
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
    pub(crate) async fn prepare(&self, step: Step) -> OpenedChannel {
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

    pub(crate) async fn take(
        &self,
        step: Step,
        channel: OpenedChannel,
        amount: Nano,
    ) -> Result<(), LedgerError> {
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
    pub(crate) async fn take_again(
        &self,
        step: Step,
        channel: OpenedChannel,
        amount: Nano,
    ) -> Result<(), LedgerError> {
        let mut said = self.take(step, channel, amount).await;
        for _ in 0..5 {
            if matches!(said, Err(LedgerError::Chain(_))) {
                said = self.take(step, channel, amount).await;
            }
        }
        said
    }

    /// Whether the ledger has executed the step.
    pub(crate) async fn is_done(&self, step: Step, channel: OpenedChannel, amount: Nano) -> bool {
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
    pub(crate) async fn received(&self, amount: Nano) -> usize {
        let history = self.server.devnet.transactions(SOMEBODY, 100).await.unwrap();
        history
            .iter()
            .filter(|one| one.incoming.as_ref().is_some_and(|message| message.value == amount))
            .count()
    }

    /// Every nano that was ever given out lies on an account of the world or was paid as a fee.
    pub(crate) async fn assert_nothing_is_lost(&self, context: &str) {
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
pub(crate) async fn assert_honest(
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
