//! Lives of channels through an endpoint of random moods: nothing is lost, and nothing happens twice.

use std::time::Duration;

use bombyx_node::ledger::{LedgerError, OpenedChannel};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::ChannelTerms;
use futures::stream::{self, StreamExt as _};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{Instant, sleep};

use crate::faults::{AT_A_TIME, LIFE, Step, VOID, World};
use crate::proxy::{Fault, KINDS, Proxy};
use crate::setup::{coins, milli};

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
