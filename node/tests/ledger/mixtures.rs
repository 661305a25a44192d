//! Every mixture of honest, lagging, slow, dead and lying endpoints: what is believed, and that the rest is an error.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bombyx_node::ledger::{Account, Chain, ChainError, Priority, Reply, Transaction, endpoints::Endpoints};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use futures::FutureExt as _;
use futures::stream::{self, StreamExt as _};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const NETWORK: i32 = -3;
/// The balance that is the case.
const TRUE: u64 = 5;
/// The balance before the newest transaction.
const OLD: u64 = 4;
/// What two liars agree on.
const AGREED_LIE: u64 = 900;
/// Longer than an endpoint is waited for before another one is asked beside it.
const SLOW: Duration = Duration::from_millis(2_300);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Honest,
    /// Honest, and its blocks are a few seconds older.
    Lagging,
    /// Honest, and answers late.
    Slow,
    /// Honest, and has not heard of the newest transaction for a minute.
    Stale,
    /// Fails at once.
    Dead,
    /// Fails when its own time is over.
    Mute,
    /// A liar whose clock is most of a minute ahead.
    LiarFarAhead,
    /// A liar whose clock is as far ahead as is let pass.
    LiarAhead,
    LiarBehind,
    SlowLiar,
    /// One of several that tell the same lie.
    Accomplice,
}

const KINDS: [Kind; 11] = [
    Kind::Honest,
    Kind::Lagging,
    Kind::Slow,
    Kind::Stale,
    Kind::Dead,
    Kind::Mute,
    Kind::LiarFarAhead,
    Kind::LiarAhead,
    Kind::LiarBehind,
    Kind::SlowLiar,
    Kind::Accomplice,
];

impl Kind {
    /// The balance that it shows, and how many seconds its newest block is before now; nothing if it never answers.
    fn shows(self, place: usize) -> Option<(u64, i64)> {
        let own_lie = 1_000 + u64::try_from(place).unwrap();
        match self {
            Self::Honest | Self::Slow => Some((TRUE, 3)),
            Self::Lagging => Some((TRUE, 8)),
            Self::Stale => Some((OLD, 63)),
            Self::Dead | Self::Mute => None,
            Self::LiarFarAhead => Some((own_lie, -58)),
            Self::LiarAhead => Some((own_lie, -4)),
            Self::LiarBehind => Some((own_lie, 3_600)),
            Self::SlowLiar => Some((own_lie, 3)),
            Self::Accomplice => Some((AGREED_LIE, 0)),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Voice {
    kind: Kind,
    place: usize,
}

impl Voice {
    async fn think(self) -> Result<(u64, i64), ChainError> {
        let takes = match self.kind {
            Kind::Slow | Kind::SlowLiar => SLOW,
            Kind::Mute => SLOW + Duration::from_millis(300),
            _ => Duration::from_millis(1),
        };
        tokio::time::sleep(takes).await;
        let dead = || ChainError::Unreachable { endpoint: self.name(), reason: "it is down".into() };
        self.kind.shows(self.place).ok_or_else(dead)
    }
}

fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

impl Chain for Voice {
    fn account(&self, _: Address) -> Reply<'_, Account> {
        async move {
            let (balance, ago_s) = self.think().await?;
            let chain_time_s = u32::try_from(now_s() - ago_s).unwrap();
            Ok(Account { balance: Nano(balance), contract: None, last_lt: balance, chain_time_s })
        }
        .boxed()
    }

    fn send(&self, _: Vec<u8>) -> Reply<'_, ()> {
        async move { self.think().await.map(drop) }.boxed()
    }

    fn transactions(&self, _: Address, _: usize) -> Reply<'_, Vec<Transaction>> {
        async move { self.think().await.map(|_| Vec::new()) }.boxed()
    }

    fn network_id(&self) -> Reply<'_, Option<i32>> {
        async { Ok(Some(NETWORK)) }.boxed()
    }

    fn name(&self) -> String {
        format!("{}-{:?}", self.place, self.kind)
    }

    fn pace(&self) -> Duration {
        Duration::from_millis(5)
    }

    fn with_priority(&self, _: Priority) -> Arc<dyn Chain> {
        Arc::new(*self)
    }
}

/// The one balance that a majority shows: of all, or two at least of those that answer and are not ahead of time.
fn right(mixture: &[Kind]) -> Option<u64> {
    let alone = mixture.len() == 1;
    let heard: Vec<u64> = mixture
        .iter()
        .enumerate()
        .filter_map(|(place, kind)| kind.shows(place))
        .filter(|(_, ago_s)| alone || *ago_s >= -5)
        .map(|(balance, _)| balance)
        .collect();
    let mut votes: BTreeMap<u64, usize> = BTreeMap::new();
    heard.iter().for_each(|balance| *votes.entry(*balance).or_default() += 1);
    let wins = |equal: usize| equal > mixture.len() / 2 || (equal >= 2 && 2 * equal > heard.len());
    votes.into_iter().find(|(_, equal)| wins(*equal)).map(|(balance, _)| balance)
}

async fn ask(mixture: Vec<Kind>) -> (Vec<Kind>, Result<u64, ChainError>) {
    let voices = mixture.iter().enumerate();
    let chains =
        voices.map(|(place, kind)| Arc::new(Voice { kind: *kind, place }) as Arc<dyn Chain>).collect();
    let endpoints = Endpoints::new(chains, NETWORK).unwrap();
    let account = endpoints.account(Address::basechain([1; 32])).await;
    (mixture, account.map(|account| account.balance.0))
}

async fn check(mixtures: Vec<Vec<Kind>>) {
    // They wait more than they work.
    let mut asked = stream::iter(mixtures).map(ask).buffer_unordered(2_000);
    while let Some((mixture, said)) = asked.next().await {
        match (right(&mixture), said) {
            (Some(right), Ok(said)) => assert_eq!(said, right, "{mixture:?}"),
            (None, Err(ChainError::Unreachable { .. } | ChainError::Contradiction { .. })) => {}
            (right, said) => panic!("{mixture:?}: {right:?} would be right, and it is {said:?}"),
        }
        let honest = mixture
            .iter()
            .enumerate()
            .filter(|(place, kind)| kind.shows(*place).is_some_and(|(balance, _)| balance == TRUE));
        if 2 * honest.count() > mixture.len() {
            assert_eq!(right(&mixture), Some(TRUE), "an honest majority is believed: {mixture:?}");
        }
    }
}

/// (`LE-1`, `LE-2`, `LE-3`)
#[tokio::test]
async fn every_mixture_of_up_to_three_endpoints_believes_a_majority_or_nobody() {
    let mut mixtures: Vec<Vec<Kind>> = vec![Vec::new()];
    let mut shorter = mixtures.clone();
    for _ in 0..3 {
        shorter = shorter
            .iter()
            .flat_map(|mixture| KINDS.map(|kind| mixture.iter().copied().chain([kind]).collect::<Vec<_>>()))
            .collect();
        mixtures.extend(shorter.clone());
    }
    mixtures.retain(|mixture| !mixture.is_empty());
    assert_eq!(mixtures.len(), 11 + 121 + 1_331);
    check(mixtures).await;
}

/// (`LE-1`)
#[tokio::test]
async fn mixtures_of_many_endpoints_believe_a_majority_or_nobody() {
    let mut rng = StdRng::seed_from_u64(9);
    let draw = |rng: &mut StdRng| -> Vec<Kind> {
        let count = rng.random_range(4..=8);
        // Few kinds at a time, so that majorities come about.
        let kinds: Vec<Kind> = (0..3).map(|_| KINDS[rng.random_range(0..KINDS.len())]).collect();
        (0..count).map(|_| kinds[rng.random_range(0..kinds.len())]).collect()
    };
    check((0..1_000).map(|_| draw(&mut rng)).collect()).await;
}

/// A slow endpoint among three holds nobody up for longer than it takes to ask another one, and is asked last then. (`LE-3`)
#[tokio::test]
async fn a_slow_endpoint_among_three_costs_one_pause_once() {
    let kinds = [Kind::Mute, Kind::Honest, Kind::Lagging];
    let chains = kinds.iter().enumerate();
    let chains =
        chains.map(|(place, kind)| Arc::new(Voice { kind: *kind, place }) as Arc<dyn Chain>).collect();
    let endpoints = Endpoints::new(chains, NETWORK).unwrap();
    let took = async |endpoints: &Endpoints| {
        let began = tokio::time::Instant::now();
        assert_eq!(endpoints.account(Address::basechain([1; 32])).await.unwrap().balance, Nano(TRUE));
        began.elapsed()
    };
    assert!(took(&endpoints).await < SLOW + Duration::from_secs(2));
    assert!(took(&endpoints).await < Duration::from_secs(1));
}
