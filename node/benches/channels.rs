//! What payments cost beside the bare cryptography and the bare database: `cargo bench -p bombyx-node --bench channels`.
//!
//! | row | through | bare |
//! |---|---|---|
//! | sign | the client's machine owes a chunk and makes the voucher | an ed25519 signature |
//! | check | the provider's machine takes the voucher | `verify_strict` of it |
//! | durable | the store, 256 channels with one update each under way | redb, the same rows, 256 in a commit |
//! | per token | one of 32 of a voucher: signed, written, checked, written | the same of the bare columns |
//!
//! Both columns of a row are measured by turns; the ratio is the median of those of the turns. Signatures are counted in
//! processor time where the system tells it, so that a busy machine hardly shows; what is durable in time that passes.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use bombyx_node::role::Role;
use bombyx_node::store::Store;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::earn::Earner;
use bombyx_protocol::channel::ledger::ChannelState;
use bombyx_protocol::channel::pay::Payer;
use bombyx_protocol::channel::record::{Record, RecordKey};
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::channel::voucher::Acceptance;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::PersistId;
use bombyx_protocol::time::Time;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::Payment;
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use redb::{Database, TableDefinition};

const TURNS: usize = 21;
const VOUCHERS: u64 = 400;
const CHANNELS: u64 = 256;
/// Updates of each channel in one turn.
const ROUNDS: u64 = 40;
const TOKENS: f64 = 32.0;
const DEPOSIT: Nano = Nano(1_000_000_000);
const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

fn main() {
    let key = SigningKey::from_bytes(&[1; 32]);
    let sign = measure(|| sign(&key), || sign_bare(&key));
    let check = measure(|| check(&key), || check_bare(&key));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = OpenStore::new(&folder.path().join("store"));
    let bare = Database::create(folder.path().join("bare")).unwrap();
    let mut total = 0;
    let mut commits = 0;
    let durable = measure(
        || {
            let (rate, groups) = store.durable(&records(&key, total));
            total += ROUNDS;
            commits += groups;
            rate
        },
        || durable_bare(&bare, &records(&key, 0)),
    );
    store.store.close().unwrap();
    let us_per_token = |column: fn(&Measured) -> f64| {
        1e6 / TOKENS * (1.0 / column(&sign) + 1.0 / column(&check) + 2.0 / column(&durable))
    };
    let (through, baseline) = (us_per_token(|row| row.through), us_per_token(|row| row.bare));

    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["", "unit", "through", "bare", "ratio"]);
    for (what, unit, row) in
        [("sign", "vouchers/s", &sign), ("check", "vouchers/s", &check), ("durable", "updates/s", &durable)]
    {
        let rates = [row.through, row.bare].map(|rate| format!("{rate:.0}"));
        let [through, bare] = rates;
        table.add_row([what.into(), unit.into(), through, bare, format!("{:.2}", row.ratio)]);
    }
    let figures = [through, baseline, through / baseline].map(|figure| format!("{figure:.2}"));
    let [through, bare, ratio] = figures;
    table.add_row(["per token".into(), "µs".into(), through, bare, ratio]);
    println!("{table}");
    let updates = TURNS as u64 * CHANNELS * ROUNDS;
    println!("{:.0} updates in a commit of the store", updates as f64 / f64::from(commits));
}

/// Rates, higher is better.
struct Measured {
    through: f64,
    bare: f64,
    ratio: f64,
}

fn measure(mut through: impl FnMut() -> f64, mut bare: impl FnMut() -> f64) -> Measured {
    let turns: Vec<(f64, f64)> = (0..TURNS).map(|_| (through(), bare())).collect();
    let median = |of: fn(&(f64, f64)) -> f64| {
        let mut all: Vec<f64> = turns.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    Measured {
        through: median(|turn| turn.0),
        bare: median(|turn| turn.1),
        ratio: median(|turn| turn.0 / turn.1),
    }
}

fn terms(key: &SigningKey, salt: u64) -> ChannelTerms {
    ChannelTerms {
        network_id: -777,
        salt,
        client_key: key.verifying_key().to_bytes(),
        provider_key: [2; 32],
        client: Address::basechain([3; 32]),
        provider: Address::basechain([4; 32]),
        challenge_s: 60,
    }
}

const OPEN: ChannelState = ChannelState { epoch: 1, deposit: DEPOSIT, settled: Nano::ZERO, closing: None };

fn payer(key: &SigningKey, salt: u64) -> Payer {
    let mut payer = Payer::opening(terms(key, salt), NodeId([5; 32]), DEPOSIT);
    payer.observe(Time(0), &OPEN);
    payer.reserve(DEPOSIT).unwrap();
    payer
}

fn rate(count: u64, taken: Duration) -> f64 {
    count as f64 / taken.as_secs_f64()
}

/// What this thread has computed so far.
#[cfg(unix)]
fn computed() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Time that passed, where the system does not tell more.
#[cfg(not(unix))]
fn computed() -> Duration {
    static BEGAN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    BEGAN.elapsed()
}

// ---- signatures -----------------------------------------------------------------------------------------------------

fn sign(key: &SigningKey) -> f64 {
    let mut payer = payer(key, 1);
    let began = computed();
    for _ in 0..VOUCHERS {
        payer.owe(Nano(1)).unwrap();
        black_box(payer.payment(key).unwrap());
    }
    rate(VOUCHERS, computed() - began)
}

fn sign_bare(key: &SigningKey) -> f64 {
    let began = computed();
    for number in 0..VOUCHERS {
        black_box(key.sign(&message(number)));
    }
    rate(VOUCHERS, computed() - began)
}

/// As many bytes as a voucher's hash has.
fn message(number: u64) -> [u8; 32] {
    let mut message = [0; 32];
    message[..8].copy_from_slice(&number.to_le_bytes());
    black_box(message)
}

fn check(key: &SigningKey) -> f64 {
    let mut payer = payer(key, 1);
    let vouchers: Vec<Payment> = (0..VOUCHERS)
        .map(|_| {
            payer.owe(Nano(1)).unwrap();
            payer.payment(key).unwrap()
        })
        .collect();
    let mut earner = Earner::new(terms(key, 1), NodeId([6; 32]));
    earner.observe(Time(0), 0, OPEN);
    let began = computed();
    for voucher in vouchers {
        assert_eq!(earner.accept(black_box(voucher)), Ok(Acceptance::More));
    }
    rate(VOUCHERS, computed() - began)
}

fn check_bare(key: &SigningKey) -> f64 {
    let signed: Vec<_> = (0..VOUCHERS).map(|number| (message(number), key.sign(&message(number)))).collect();
    let verifier: VerifyingKey = key.verifying_key();
    let began = computed();
    for (message, signature) in &signed {
        verifier.verify_strict(message, black_box(signature)).unwrap();
    }
    rate(VOUCHERS, computed() - began)
}

// ---- the store ------------------------------------------------------------------------------------------------------

/// One turn's records: every channel in each round, with totals above `promised`.
fn records(key: &SigningKey, promised: u64) -> Vec<Record> {
    let mut payers: Vec<Payer> = (0..CHANNELS).map(|salt| payer(key, salt)).collect();
    payers.iter_mut().for_each(|payer| payer.owe(Nano(promised)).unwrap());
    let mut records = Vec::new();
    for _ in 0..ROUNDS {
        for payer in &mut payers {
            payer.owe(Nano(1)).unwrap();
            records.push(Record::Payer(payer.record()));
        }
    }
    records
}

struct OpenStore {
    store: Store,
    runtime: tokio::runtime::Runtime,
    written: std::cell::Cell<u64>,
}

impl OpenStore {
    fn new(path: &Path) -> Self {
        let (store, _) = Store::open(path, NodeId([7; 32])).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { store, runtime, written: std::cell::Cell::new(0) }
    }

    /// Writes the records with one of each channel under way: the next follows when the one before is durable. Returns the
    /// rate and the number of commits that the store told of.
    fn durable(&self, records: &[Record]) -> (f64, u32) {
        let first = self.written.get();
        let mut durable = self.store.durable();
        let began = Instant::now();
        let commits = self.runtime.block_on(async {
            let (mut written, mut commits) = (first, 0);
            let last = first + records.len() as u64;
            let mut done = first;
            while done < last {
                // One more of each channel that is not under way.
                let allowed = (done + CHANNELS).min(last);
                for record in &records[(written - first) as usize..(allowed - first) as usize] {
                    written += 1;
                    self.store.write(Role::Client, PersistId(written), record.clone()).await;
                }
                durable.changed().await.unwrap();
                commits += 1;
                done = durable.borrow_and_update().get(Role::Client).0;
            }
            commits
        });
        self.written.set(first + records.len() as u64);
        (rate(records.len() as u64, began.elapsed()), commits)
    }
}

/// The same rows in the same table, by the database alone.
fn durable_bare(database: &Database, records: &[Record]) -> f64 {
    let rows: Vec<(Vec<u8>, Vec<u8>)> = records
        .iter()
        .map(|record| {
            let RecordKey::Payer(account) = record.key() else { panic!("a channel") };
            let key = [&[1], account.0.as_slice()].concat();
            (key, [[0; 9].as_slice(), &codec::encode(record)].concat())
        })
        .collect();
    let began = Instant::now();
    for commit in rows.chunks(CHANNELS as usize) {
        let transaction = database.begin_write().unwrap();
        {
            let mut table = transaction.open_table(ROWS).unwrap();
            for (key, value) in commit {
                table.insert(key.as_slice(), value.as_slice()).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
    rate(records.len() as u64, began.elapsed())
}
