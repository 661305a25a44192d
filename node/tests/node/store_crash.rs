//! A store whose process is killed in the middle of writing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bombyx_node::role::Role;
use bombyx_node::store::{Store, StoreError};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::record::{PayerRecord, Record};
use bombyx_protocol::channel::terms::ChannelTerms;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::PersistId;

const OWNER: NodeId = NodeId([7; 32]);
/// How often the process is killed, unless the variable says otherwise.
const CRASHES: u64 = 12;
const CRASHES_VARIABLE: &str = "BOMBYX_TEST_CRASHES";
/// Tells the test, started again as a child, where to write.
const STORE_VARIABLE: &str = "BOMBYX_TEST_STORE";

/// The state after `step` writes on one of four channels.
fn record(step: u64) -> Record {
    Record::Payer(PayerRecord {
        terms: ChannelTerms { salt: step % 4, ..ChannelTerms::for_tests() }.into(),
        provider: NodeId([5; 32]),
        deposit: Nano(1_000_000),
        locked: Nano(1_000_000),
        epoch: Some(1),
        cumulative: Nano(step),
        closing: false,
        gone: false,
    })
}

fn cumulative(record: &Record) -> u64 {
    let Record::Payer(paying) = record else { panic!("only one kind is written") };
    paying.cumulative.0
}

/// Writes for ever and says after each commit how far it is.
fn write_for_ever(path: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (store, records) = Store::open(path, OWNER).unwrap();
        // Goes on above what is there, so that a lost write shows as a promise taken back.
        let first = records.iter().map(cumulative).max().map_or(1, |newest| newest + 1);
        let mut durable = store.durable();
        let mut out = std::io::stdout();
        for step in first.. {
            store.write(Role::Client, PersistId(step), record(step)).await;
            // Several writes share a commit now and then.
            if step % 3 == 0 {
                durable.wait_for(|durable| *durable.get(Role::Client) >= PersistId(step)).await.unwrap();
                writeln!(out, "durable {step}").unwrap();
                out.flush().unwrap();
            }
        }
    });
}

#[test]
fn a_killed_process_keeps_every_record_that_it_was_told_is_durable() {
    if let Some(path) = std::env::var_os(STORE_VARIABLE) {
        return write_for_ever(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    let mut told = 0;
    let rounds = std::env::var(CRASHES_VARIABLE).map_or(CRASHES, |count| count.parse().unwrap());
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..rounds {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("store_crash::a_killed_process_keeps_every_record_that_it_was_told_is_durable")
            .env(STORE_VARIABLE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("durable ").and_then(|step| step.parse::<u64>().ok()));
        // Any number of commits, often more than a half of the journal takes, and then any part of the next one.
        let commits = if random.is_multiple_of(4) { (random >> 32) % 1_200 } else { (random >> 32) % 8 };
        told = acknowledged.by_ref().nth(usize::try_from(commits).unwrap()).unwrap();
        std::thread::sleep(Duration::from_micros((random >> 8) % 4_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let last = acknowledged.last().unwrap_or(told).max(told);
        let copy = folder.path().join("copy");
        std::fs::copy(&path, &copy).unwrap();
        let (store, records) = Store::open(&path, OWNER).unwrap();
        assert_eq!(Store::read_any(&copy).unwrap(), records, "a copy of the one file is all of the store");
        for salt in 0..4 {
            let newest = (1..=last).rev().find(|step| step % 4 == salt).unwrap();
            let found = records.iter().find_map(|record| match record {
                Record::Payer(paying) => (paying.terms.salt == salt).then_some(paying.cumulative.0),
                Record::Earner(_)
                | Record::ChannelGone { .. }
                | Record::Receipt { .. }
                | Record::Reputation(_) => None,
            });
            assert!(found >= Some(newest), "channel {salt}: told {newest}, found {found:?}");
        }
        store.close().unwrap();
    }
    assert!(told > 0);
}

#[test]
fn a_store_is_used_by_one_node_at_a_time_and_by_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    let (store, _) = Store::open(&path, OWNER).unwrap();
    assert!(matches!(Store::open(&path, OWNER), Err(StoreError::InUse(_))));
    store.close().unwrap();
    assert!(matches!(Store::open(&path, NodeId([8; 32])), Err(StoreError::OtherNode { .. })));
    Store::open(&path, OWNER).unwrap().0.close().unwrap();
}

#[test]
fn a_file_that_is_no_store_is_an_error_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    std::fs::write(&path, vec![b'x'; 9_000]).unwrap();
    let refused = Store::open(&path, OWNER).err().unwrap();
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused:?}");
    assert_eq!(std::fs::read(&path).unwrap(), vec![b'x'; 9_000]);
}

#[test]
fn a_channel_that_is_gone_leaves_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (store, _) = Store::open(&path, OWNER).unwrap();
    let Record::Payer(first) = record(1) else { panic!() };
    let account = first.terms.id();
    runtime.block_on(async {
        store.write(Role::Client, PersistId(1), record(1)).await;
        store.write(Role::Client, PersistId(2), record(2)).await;
        store.write(Role::Client, PersistId(3), Record::ChannelGone { account }).await;
    });
    store.close().unwrap();
    let (store, records) = Store::open(&path, OWNER).unwrap();
    store.close().unwrap();
    assert_eq!(records, [record(2)]);
}
