//! `ledger.quick_repair`: from which size on it is in force, and what it buys and costs in a large store.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use redb::{Builder, Database};

use super::*;
use tables::ORIGINALS;

/// Rows of 900 octets: about a gigabyte.
const ROWS: u64 = 1_000_000;

/// Whether the file as it lies there while `rig`'s store is open would be walked at a start.
fn is_walked(rig: &Rig) -> bool {
    let killed = rig.folder.path().join("killed.redb");
    std::fs::copy(rig.path(), &killed).unwrap();
    let walked = Arc::new(AtomicBool::new(false));
    let seen = walked.clone();
    let opened =
        Builder::new().set_repair_callback(move |_| seen.store(true, Ordering::Relaxed)).open(&killed);
    drop(opened.unwrap());
    walked.load(Ordering::Relaxed)
}

#[test]
fn a_store_that_has_grown_large_is_not_walked_after_a_crash() {
    for (quick_repair, walked) in [(0, false), (u64::MAX, true)] {
        let rig = Rig::new();
        let settings = Settings { quick_repair, ..rig.settings() };
        let store = Store::open(&rig.path(), settings, rig.clock.clone(), Arc::new(SystemEntropy)).unwrap();
        store.write(vec![Record::of(unsubscribed("bob@example.org"))]).unwrap();
        assert_eq!(is_walked(&rig), walked, "from {quick_repair} octets on");
    }

    // Of itself, once it is as large as that.
    let rig = Rig::new();
    drop(rig.open());
    let quick_repair = std::fs::metadata(rig.path()).unwrap().len() + 1;
    let settings = Settings { quick_repair, ..rig.settings() };
    let store = Store::open(&rig.path(), settings, rig.clock.clone(), Arc::new(SystemEntropy)).unwrap();
    store.write(vec![Record::of(unsubscribed("bob@example.org"))]).unwrap();
    assert!(is_walked(&rig));
    let bytes =
        Bytes::from((0..4 << 20).map(|at: u32| at.wrapping_mul(2_654_435_761) as u8).collect::<Vec<_>>());
    let original = Side::Original { sha256: [7; 32], bytes: bytes.clone() };
    let rope = Rope::new(bytes.clone(), vec![Piece::Original(0..bytes.len())]).unwrap();
    let edits = Side::Edits { copy: copy(1, 0), original_sha256: [7; 32], rope, keep: Keep::Full };
    store.write(vec![Record { events: Vec::new(), sides: vec![original, edits] }]).unwrap();
    store.checkpoint().unwrap();
    store.write(vec![Record::of(unsubscribed("eva@example.org"))]).unwrap();
    assert!(!is_walked(&rig));
}

/// A store of a gigabyte whose process was killed, and what a commit costs in it.
fn measure(quick_repair: u64) {
    let rig = Rig::new();
    let settings = || Settings { quick_repair, ..rig.settings() };
    let open = |path: &std::path::Path| {
        Store::open(path, settings(), rig.clock.clone(), Arc::new(SystemEntropy)).unwrap()
    };
    drop(open(&rig.path()));
    let database = Database::open(rig.path()).unwrap();
    let value = [0x5a; 900];
    for first in (0..ROWS).step_by(10_000) {
        let transaction = database.begin_write().unwrap();
        {
            let mut table = transaction.open_table(ORIGINALS).unwrap();
            for row in first..first + 10_000 {
                let mut key = [0; 32];
                // Hashes come in no order.
                key[..8].copy_from_slice(&row.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
                table.insert(&key, &value[..]).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
    drop(database);
    let store = open(&rig.path());
    let started = Instant::now();
    for _ in 0..300 {
        store.write(vec![Record::of(unsubscribed("bob@example.org"))]).unwrap();
    }
    let commit = started.elapsed() / 300;
    let killed = rig.folder.path().join("killed.redb");
    let octets = std::fs::copy(rig.path(), &killed).unwrap();
    drop(store);
    let started = Instant::now();
    let store = open(&killed);
    let took = started.elapsed();
    drop(store);
    let said = format!(
        "quick_repair = {quick_repair}: {octets} octets, a commit {commit:.2?}, start after a kill {took:.2?}"
    );
    writeln!(std::io::stderr(), "{said}").unwrap();
}

#[test]
#[ignore = "a measurement, which writes two gigabytes: cargo test --lib quick_repair -- --ignored --nocapture"]
fn what_quick_repair_buys_and_costs_in_a_store_of_a_gigabyte() {
    measure(u64::MAX);
    measure(0);
}
