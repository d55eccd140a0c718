//! Promise 8 on a copy of a real store, one that a gateway made and that lies in `tests/format/2/`: whoever changes,
//! removes, inserts, reorders or cuts off entries is found by any earlier checkpoint over them that somebody kept, and
//! that though all hashes, counts and checkpoints in the file were made anew to fit, even with the gateway's own key.

use redb::{ReadableTable as _, WriteTransaction};

use super::*;
use crate::ledger::checkpoint;
use crate::ledger::tree::{self, Edge};
use crate::ledger::{Counts, Entry};
use tables::{CHECKPOINTS, ENTRIES, HASHES, META, StoredEntry};

type Change = fn(&mut Vec<Vec<u8>>);

/// From this entry on the history is another one.
const FROM: u64 = 5;

const CHANGES: [(&str, Change); 5] = [
    // An octet of its salt: the entry can still be read.
    ("change", |values| values[5][20] ^= 1),
    ("remove", |values| drop(values.remove(5))),
    ("insert", |values| values.insert(5, values[4].clone())),
    ("reorder", |values| values.swap(5, 6)),
    ("cut off", |values| values.truncate(5)),
];

/// Who rewrites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forger {
    /// Somebody with the file, who leaves the checkpoints in it.
    Careless,
    /// Somebody with the file, who takes out the checkpoints that do not hold any more.
    Careful,
    /// Somebody with the file and the key, who signs new ones.
    KeyHolder,
}

/// A copy of the real store, gone on with for a while, and all checkpoints that were ever signed over it.
fn real() -> (Rig, Vec<(u64, String)>) {
    let key = include_str!("../../../tests/format/2/ledger.key");
    let clock = ManualClock::at("2026-12-01T00:00:00Z".parse().unwrap());
    let rig = Rig {
        folder: tempfile::tempdir().unwrap(),
        clock: Arc::new(clock),
        signer: Signer::parse_file(key).unwrap(),
    };
    let store = zstd::decode_all(&include_bytes!("../../../tests/format/2/store.redb.zst")[..]).unwrap();
    std::fs::write(rig.path(), store).unwrap();
    let store = rig.open();
    for index in 0..3 {
        store.write(vec![Record::of(unsubscribed(&format!("lezer{index}@example.org")))]).unwrap();
        store.checkpoint().unwrap();
    }
    sound(&store);
    let reading = store.transaction().unwrap();
    let table = reading.open_table(CHECKPOINTS).unwrap();
    let rows = table.iter().unwrap().map(|row| row.unwrap());
    let signed: Vec<(u64, String)> =
        rows.map(|(size, note)| (size.value(), note.value().to_owned())).collect();
    let early = include_str!("../../../tests/format/2/checkpoint.txt");
    assert!(signed.iter().any(|(_, note)| note == early), "the one that was kept beside the store");
    (rig, signed)
}

fn values(transaction: &WriteTransaction) -> Vec<Vec<u8>> {
    let entries = transaction.open_table(ENTRIES).unwrap();
    entries.iter().unwrap().map(|row| row.unwrap().1.value().to_vec()).collect()
}

fn forge(rig: &Rig, change: Change, forger: Forger) {
    let database = Database::open(rig.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut all = values(&transaction);
        change(&mut all);
        let mut entries = transaction.open_table(ENTRIES).unwrap();
        let mut hashes = transaction.open_table(HASHES).unwrap();
        let mut checkpoints = transaction.open_table(CHECKPOINTS).unwrap();
        entries.retain(|_, _| false).unwrap();
        hashes.retain(|_, _| false).unwrap();
        let (mut edge, mut counts) = (Edge::empty(), Counts::default());
        for (number, value) in (0..).zip(&all) {
            entries.insert(number, value.as_slice()).unwrap();
            let StoredEntry::Whole { salt, bytes } = tables::read_entry(value).unwrap() else {
                panic!("nothing in it is erased")
            };
            counts.add(Counts::of(&Entry::parse(&bytes).unwrap().event));
            for (index, hash) in edge.append(tree::leaf(&salt, &[&bytes])).unwrap() {
                hashes.insert(index, &hash.0[..]).unwrap();
            }
        }
        if forger != Forger::Careless {
            checkpoints.retain(|size, _| size <= FROM).unwrap();
            let kept = tables::write_row(&counts).unwrap();
            transaction.open_table(META).unwrap().insert("counts", kept.as_slice()).unwrap();
        }
        if forger == Forger::KeyHolder {
            let note = checkpoint::sign(&rig.signer, edge.size(), edge.root().unwrap(), &counts).unwrap();
            checkpoints.insert(edge.size(), note.as_str()).unwrap();
        }
    }
    transaction.commit().unwrap();
}

#[test]
fn promise_8_each_rewriting_of_a_real_store_is_found_by_any_earlier_checkpoint_over_it() {
    let (original, signed) = real();
    let file = std::fs::read(original.path()).unwrap();
    let covering = signed.iter().filter(|(size, _)| *size > FROM).count();
    assert!(covering >= 4, "checkpoints over {:?}", signed.iter().map(|(size, _)| size).collect::<Vec<_>>());
    for forger in [Forger::Careless, Forger::Careful, Forger::KeyHolder] {
        for (name, change) in CHANGES {
            std::fs::write(original.path(), &file).unwrap();
            forge(&original, change, forger);
            let store = original.open();
            for (size, note) in &signed {
                let found = store.verify_all(std::slice::from_ref(note)).unwrap().problems;
                let lost = format!(
                    "does not begin with the {size} entries that were signed in the checkpoint given"
                );
                let is_found = found.iter().any(|line| line.contains(&lost));
                assert_eq!(is_found, *size > FROM, "{forger:?}, {name}, against {size}: {found:#?}");
                // The proof between the two that a pack or an auditor asks for cannot be made either.
                let proof = store.consistency(note, None).unwrap();
                assert!(*size <= FROM || proof.is_err(), "{forger:?}, {name}, against {size}");
            }
            if forger == Forger::Careless {
                let found = store.verify_all(&[]).unwrap().problems;
                let unsigned = |line: &String| line.contains("are not what was signed");
                assert!(found.iter().any(unsigned), "{name}, by what is in the file alone: {found:#?}");
            }
        }
    }
}
