//! How fast the devnet executes on one core: `cargo bench -p bombyx-node --bench devnet`.
//!
//! | row | a round | transactions of a round |
//! |---|---|---|
//! | wallet transfer | a signed message to a wallet, coins to another account | 2 |
//! | channel claim | a voucher brought by an external message, the provider paid | 2 |
//!
//! Messages are made and signed beforehand. The baseline is a strict check of one ed25519 signature, which each round needs
//! at least once: the ratio says how many such checks a transaction costs. Medians of runs that alternate.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::time::Instant;

use bombyx_node::ledger::{
    Chain as _, ChannelMessage, Ledger, Prices, Wallet,
    devnet::{DEVNET_ID, Devnet},
};
use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::channel::voucher::Voucher;
use ed25519_dalek::{Signer as _, SigningKey};
use futures::executor::block_on;
use std::sync::Arc;
use tycho_types::boc::Boc;

const RUNS: usize = 5;
const ROUNDS: u32 = 500;
/// A wallet's message and a claim both cause one further transaction.
const TRANSACTIONS: f64 = 2.0 * ROUNDS as f64;
const NOW_S: u32 = 1_790_000_000;
const RICH: Nano = Nano(1_000_000_000_000);
const DEPOSIT: Nano = Nano(100_000_000_000);
/// What `--bench devnet` is expected to reach, in transactions a second.
const GOAL: f64 = 5_000.0;

fn main() {
    let words = Wallet::generate_words();
    let wallet = || Wallet::from_words(&words, DEVNET_ID).unwrap();
    let (mut transfers, mut claims, mut checks) = (Vec::new(), Vec::new(), Vec::new());
    let transfer_messages = transfers_of(&wallet());
    for _ in 0..RUNS {
        transfers.push(run(&funded(&wallet()), &transfer_messages));
        let (devnet, messages) = claims_on(wallet());
        claims.push(run(&devnet, &messages));
        checks.push(strict_checks());
    }
    let checks = median(checks);
    println!("{:<18} {:>16} {:>12} {:>26}", "", "transactions/s", "of the goal", "checks per transaction");
    for (what, rates) in [("wallet transfer", transfers), ("channel claim", claims)] {
        let rate = median(rates);
        println!("{what:<18} {rate:>16.0} {:>12.2} {:>26.2}", rate / GOAL, checks / rate);
    }
    println!("{:<18} {checks:>16.0}", "strict checks/s");
}

/// A devnet on which the wallet has coins.
fn funded(wallet: &Wallet) -> Devnet {
    let devnet = Devnet::with_manual_clock(NOW_S).unwrap();
    devnet.faucet(wallet.address(), RICH).unwrap();
    devnet
}

fn transfers_of(wallet: &Wallet) -> Vec<Vec<u8>> {
    let transfer = |seqno| {
        // Coins with a body that says nothing; the channel's message serves as any other.
        let message = ChannelMessage::Finalize.internal(Address::basechain([5; 32]), Nano(1_000_000), None);
        wallet.transfer(seqno, NOW_S + 60, &[message]).unwrap()
    };
    (0..ROUNDS).map(transfer).collect()
}

/// A devnet with an open channel, and claims of growing totals on it.
fn claims_on(wallet: Wallet) -> (Devnet, Vec<Vec<u8>>) {
    let devnet = funded(&wallet);
    let key = SigningKey::from_bytes(&[1; 32]);
    let terms = ChannelTerms {
        network_id: DEVNET_ID,
        salt: 1,
        client_key: key.verifying_key().to_bytes(),
        provider_key: SigningKey::from_bytes(&[2; 32]).verifying_key().to_bytes(),
        client: wallet.address(),
        provider: Address::basechain([9; 32]),
        challenge_s: 60,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ledger = Ledger::new(Arc::new(devnet.clone()), DEVNET_ID, Some(wallet));
    let opened = runtime.block_on(ledger.open(&terms, DEPOSIT)).unwrap();
    let claim = |number: u32| {
        let cumulative = Nano(Prices::TODAY.claim_min().0 * u64::from(number));
        let voucher = Voucher { account: ChannelId(opened.account.hash), epoch: opened.epoch, cumulative };
        let message = ChannelMessage::Claim { cumulative, voucher: voucher.sign(&key) };
        Boc::encode(message.external(opened.account))
    };
    (devnet, (1..=ROUNDS).map(claim).collect())
}

/// Transactions a second.
fn run(devnet: &Devnet, messages: &[Vec<u8>]) -> f64 {
    let began = Instant::now();
    for message in messages {
        block_on(devnet.send(message.clone())).unwrap();
    }
    TRANSACTIONS / began.elapsed().as_secs_f64()
}

fn strict_checks() -> f64 {
    let key = SigningKey::from_bytes(&[3; 32]);
    let message = [7; 32];
    let signature = key.sign(&message);
    let began = Instant::now();
    for _ in 0..ROUNDS {
        key.verifying_key().verify_strict(black_box(&message), &signature).unwrap();
    }
    f64::from(ROUNDS) / began.elapsed().as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
