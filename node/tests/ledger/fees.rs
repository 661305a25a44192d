//! What each operation costs at mainnet's prices: the table of the specification, measured.

use bombyx_node::ledger::chain::Chain as _;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::ChannelTerms;

use crate::setup::{CHALLENGE_S, World, coins, milli};

/// Measures how much money an operation destroys: the fees of every transaction that it causes.
struct Meter<'a> {
    world: &'a World,
    seen: u128,
    rows: Vec<(&'static str, u64, u64)>,
}

impl Meter<'_> {
    /// Records an operation; `gas` is the contract's.
    async fn record(&mut self, name: &'static str, account: bombyx_protocol::channel::terms::Address) {
        let total = self.world.devnet.fees_collected();
        let last = self.world.devnet.transactions(account, 1).await.unwrap().remove(0);
        let fees = u64::try_from(total - self.seen).unwrap();
        self.rows.push((name, last.gas, fees));
        self.seen = total;
    }
}

#[tokio::test]
async fn operations_cost_what_the_specification_says() {
    let world = World::new();
    let mut meter = Meter { world: &world, seen: 0, rows: Vec::new() };
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
    meter.record("claim, provider's first coins", a.account).await;
    world.claim(a, milli(200)).await.unwrap();
    meter.record("claim", a.account).await;
    let (voucher, signature) = world.voucher(a, milli(201));
    world.stranger.claim(&voucher, signature).await.unwrap();
    meter.record("claim by wallet, its first transfer", a.account).await;
    let (voucher, signature) = world.voucher(a, milli(202));
    world.stranger.claim(&voucher, signature).await.unwrap();
    meter.record("claim by wallet", a.account).await;
    world.close(a, milli(300)).await.unwrap();
    meter.record("close by the provider", a.account).await;
    world.client.request_close(b.account).await.unwrap();
    meter.record("request close by wallet", b.account).await;
    let (request, signature) = world.request(last);
    world.client.request_close_signed(&request, signature).await.unwrap();
    meter.record("request close by signature", last.account).await;
    world.devnet.advance(CHALLENGE_S);
    meter.seen = world.devnet.fees_collected();
    world.client.finalize(b.account).await.unwrap();
    meter.record("finalize", b.account).await;

    println!("| operation | gas of the contract | all fees, coins |\n|---|---|---|");
    for (name, gas, fees) in &meter.rows {
        println!("| {name} | {gas} | {} |", Nano(*fees));
    }
    let limit = |name: &str| match name {
        "open 20 in one transfer" => milli(30),
        name if name.starts_with("open") => milli(3),
        name if name.contains("wallet") || name == "top up" => milli(2),
        _ => milli(1),
    };
    for (name, _, fees) in meter.rows {
        assert!(fees > 0 && fees < limit(name).0, "{name} costs {}", Nano(fees));
    }
}
