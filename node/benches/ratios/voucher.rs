//! A voucher's way from the client's machine to the provider's, against a bare signature.

use std::hint::black_box;
use std::time::Instant;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::earn::Earner;
use bombyx_protocol::channel::ledger::ChannelState;
use bombyx_protocol::channel::pay::Payer;
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::time::Time;
use ed25519_dalek::{Signer as _, SigningKey};

use super::{Row, Samples};

const RUNS: usize = 5;
const VOUCHERS: u64 = 1_000;
const DEPOSIT: Nano = Nano(1_000_000_000);

pub(super) fn row() -> Row {
    let key = SigningKey::from_bytes(&[1; 32]);
    let mut samples = Samples { through: Vec::new(), bare: Vec::new() };
    for _ in 0..RUNS {
        samples.through.push(through(&key));
        samples.bare.push(bare(&key));
    }
    samples.row("voucher, both machines", "vouchers/s")
}

fn through(key: &SigningKey) -> f64 {
    let terms = ChannelTerms {
        network_id: -777,
        salt: 1,
        client_key: key.verifying_key().to_bytes(),
        provider_key: [2; 32],
        client: Address::basechain([3; 32]),
        provider: Address::basechain([4; 32]),
        challenge_s: 60,
    };
    let open = ChannelState { epoch: 1, deposit: DEPOSIT, settled: Nano::ZERO, closing: None };
    let mut payer = Payer::opening(terms.clone(), NodeId([5; 32]), DEPOSIT);
    let mut earner = Earner::new(terms, NodeId([6; 32]));
    payer.observe(Time(0), &open);
    earner.observe(open);
    payer.reserve(Nano(VOUCHERS)).unwrap();
    let began = Instant::now();
    for _ in 0..VOUCHERS {
        earner.serve(Nano(1));
        payer.owe(Nano(1)).unwrap();
        let payment = payer.payment(key).unwrap();
        earner.take(black_box(payment)).unwrap();
    }
    assert_eq!(earner.paid(), Nano(VOUCHERS));
    VOUCHERS as f64 / began.elapsed().as_secs_f64()
}

fn bare(key: &SigningKey) -> f64 {
    let verifier = key.verifying_key();
    let began = Instant::now();
    for number in 0..VOUCHERS {
        let mut message = [0; 32];
        message[..8].copy_from_slice(&number.to_le_bytes());
        let signature = key.sign(black_box(&message));
        verifier.verify_strict(&message, &signature).unwrap();
    }
    VOUCHERS as f64 / began.elapsed().as_secs_f64()
}
