//! What each operation costs at mainnet's prices: the table of the specification, measured.

use bombyx_node::ledger::Chain as _;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::{Address, ChannelTerms};

use crate::setup::{CHALLENGE_S, World, coins, milli};

/// Where the tables stand.
const SPECIFICATION: &str = include_str!("../../../spec/07-settlement-ton.md");

/// Measures how much money an operation destroys: the fees of every transaction that it causes.
pub(crate) struct Meter<'a> {
    world: &'a World,
    seen: u128,
    rows: Vec<String>,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        Self { world, seen: world.devnet.fees_collected(), rows: Vec::new() }
    }

    /// The fees since the last record; what came before is not an operation's.
    pub(crate) fn fees(&mut self) -> Nano {
        let total = self.world.devnet.fees_collected();
        let fees = Nano(u64::try_from(total - self.seen).unwrap());
        self.seen = total;
        fees
    }

    /// Records an operation; its gas is what the contract used.
    pub(crate) async fn record(&mut self, name: &str, account: Address) {
        let fees = self.fees();
        let gas = self.world.devnet.transactions(account, 1).await.unwrap().remove(0).gas;
        let gas = if gas < 1_000 { gas.to_string() } else { format!("{},{:03}", gas / 1_000, gas % 1_000) };
        self.rows.push(format!("| {name} | {gas} | {fees} |"));
    }

    /// Every row stands in the specification as it was measured.
    pub(crate) fn check(self) {
        check_rows(&self.rows);
    }
}

/// Prints rows, and compares them with those of the specification.
pub(crate) fn check_rows(rows: &[String]) {
    println!("{}", rows.join("\n"));
    let missing: Vec<&String> = rows.iter().filter(|row| !SPECIFICATION.contains(row.as_str())).collect();
    assert!(missing.is_empty(), "spec/07-settlement-ton.md says otherwise; measured: {missing:#?}");
}

#[tokio::test]
async fn operations_cost_what_the_specification_says() {
    let world = World::new();
    let mut meter = Meter::new(&world);
    let at = |salt| ChannelTerms { salt, ..world.terms() };

    let a = world.client.open(&at(1), coins(1)).await.unwrap();
    meter.record("open, wallet's first transfer", a.account).await;
    let b = world.client.open(&at(2), coins(1)).await.unwrap();
    meter.record("open", b.account).await;
    let twenty: Vec<_> = (100..120).map(|salt| (at(salt), milli(50))).collect();
    let last = world.client.open_all(&twenty).await.unwrap()[19];
    meter.record("open 20 in one transfer", last.account).await;
    world.client.top_up(a.account, coins(1)).await.unwrap();
    meter.record("top up", a.account).await;
    world.claim(a, milli(100)).await.unwrap();
    meter.record("claim, external, the provider's first coins", a.account).await;
    world.claim(a, milli(200)).await.unwrap();
    meter.record("claim, external", a.account).await;
    world.stranger.claim(&world.voucher(a, milli(201))).await.unwrap();
    meter.record("claim by wallet, its first transfer", a.account).await;
    world.stranger.claim(&world.voucher(a, milli(202))).await.unwrap();
    meter.record("claim by wallet", a.account).await;
    world.close(a, milli(300)).await.unwrap();
    meter.record("close by the provider, external", a.account).await;
    world.client.request_close(b.account).await.unwrap();
    meter.record("request close by wallet", b.account).await;
    let (request, signature) = world.request(last);
    world.client.request_close_signed(&request, signature).await.unwrap();
    meter.record("request close, external", last.account).await;
    world.devnet.advance(CHALLENGE_S);
    meter.fees();
    world.client.finalize(b.account).await.unwrap();
    meter.record("finalize", b.account).await;

    meter.check();
}
