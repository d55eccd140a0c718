//! Addresses of a release that folded fewer letters (RULES L17).

use redb::ReadableTable as _;
use tables::{BY_ADDRESS, FORGOTTEN, META, PROFILES, SUPPRESSED};

use super::*;
use crate::policy::Register as _;

const NOW: &str = "\u{3bf}\u{3b4}\u{3bf}\u{3c3}@example.org";
const THEN: &str = "\u{3bf}\u{3b4}\u{3bf}\u{3c2}@example.org";

/// File everything under the address as it was known then, as that release left it.
fn as_it_was(rig: &Rig) {
    let database = Database::open(rig.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut by_address = transaction.open_table(BY_ADDRESS).unwrap();
        let rows = by_address.range((NOW, 0)..=(NOW, u64::MAX)).unwrap();
        let numbers: Vec<u64> = rows.map(|row| row.unwrap().0.value().1).collect();
        for number in numbers {
            by_address.remove((NOW, number)).unwrap();
            by_address.insert((THEN, number), ()).unwrap();
        }
        let mut profiles = transaction.open_table(PROFILES).unwrap();
        let of = sender().0;
        let row = profiles.remove((of.as_str(), NOW)).unwrap().map(|row| row.value().to_vec());
        if let Some(row) = row {
            profiles.insert((of.as_str(), THEN), row.as_slice()).unwrap();
            let mut suppressed = transaction.open_table(SUPPRESSED).unwrap();
            if suppressed.remove((of.as_str(), NOW)).unwrap().is_some() {
                suppressed.insert((of.as_str(), THEN), ()).unwrap();
            }
        }
        let mut meta = transaction.open_table(META).unwrap();
        let key = meta.get("hash_key").unwrap().unwrap().value().to_vec();
        meta.remove("folding").unwrap();
        let (now, then) = (tables::keyed_hash(&key, NOW), tables::keyed_hash(&key, THEN));
        let mut forgotten = transaction.open_table(FORGOTTEN).unwrap();
        let row = forgotten.remove((of.as_str(), &now)).unwrap().map(|row| row.value().to_vec());
        if let Some(row) = row {
            forgotten.insert((of.as_str(), &then), row.as_slice()).unwrap();
        }
        let mut erased = transaction.open_table(tables::ERASED).unwrap();
        let row = erased.remove(&now).unwrap().map(|row| row.value());
        if let Some(row) = row {
            erased.insert(&then, row).unwrap();
        }
    }
    transaction.commit().unwrap();
}

fn suppressions(store: &Store) -> Vec<usize> {
    let spellings = ["\u{39f}\u{394}\u{39f}\u{3a3}@example.org", THEN, NOW];
    spellings.map(|who| store.profile(&sender(), &key(who)).unwrap().suppressions.len()).to_vec()
}

#[test]
fn l17_a_store_that_knew_a_final_sigma_is_filed_anew_and_nobody_is_mailed_again() {
    let rig = Rig::new();
    {
        let store = rig.open();
        store
            .write(vec![Record::of(unsubscribed(THEN)), Record::of(unsubscribed("bob@example.org"))])
            .unwrap();
        assert_eq!(suppressions(&store), [1, 1, 1], "one mailbox, however it is written");
    }
    as_it_was(&rig);
    let store = rig.open();
    assert_eq!(suppressions(&store), [1, 1, 1]);
    assert_eq!(store.by_address(&key(THEN), 10).unwrap().len(), 1);
    sound(&store);
    // Once: it is not looked for again.
    drop(store);
    let store = rig.open();
    sound(&store);
    assert_eq!(suppressions(&store), [1, 1, 1]);
}

#[test]
fn l18_who_was_erased_under_the_old_form_is_not_mailed_either() {
    let rig = Rig::new();
    {
        let store = rig.open();
        store.write(vec![Record::of(unsubscribed(THEN))]).unwrap();
        store.erase_person(&key(THEN)).unwrap();
        assert_eq!(suppressions(&store), [1, 1, 1]);
    }
    as_it_was(&rig);
    let store = rig.open();
    assert_eq!(suppressions(&store), [1, 1, 1], "by the hash of the form of that time");
}
