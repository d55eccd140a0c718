//! What `ledger.quick_repair` buys and costs: docs/decisions/0032.

use std::io::Write as _;
use std::time::Instant;

use redb::Database;

use super::*;
use tables::ORIGINALS;

/// Rows of 900 octets: about a gigabyte.
const ROWS: u64 = 1_000_000;

/// A store of a gigabyte whose process was killed, and what a commit costs in it.
fn measure(quick_repair: bool) {
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
    measure(false);
    measure(true);
}
