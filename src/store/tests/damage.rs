//! The file itself, changed behind redb's back or cut short: a word about it, and never a panic out of the store.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::ledger::NotKept;
use crate::policy::Profile;

/// Places at which an octet is changed, over the whole file.
const PLACES: usize = 160;

/// What is in the store: all entries, one profile.
type Content = (Vec<Vec<u8>>, Profile);

/// A store with a bit of everything, closed; its content, and its file.
fn whole(rig: &Rig) -> (Content, Vec<u8>) {
    let store = rig.open();
    for index in 0..12 {
        let state = SpoolState::Waiting { next: at(0) };
        store.write(vec![spooling(copy(index, 0), &["a@x.nl"], state, Keep::Full)]).unwrap();
        store.write(vec![Record::of(unsubscribed(&format!("bob{index}@example.org")))]).unwrap();
    }
    store.checkpoint().unwrap();
    let content = content(&store).unwrap();
    drop(store);
    (content, std::fs::read(rig.path()).unwrap())
}

fn content(store: &Store) -> Result<Content, crate::policy::Unavailable> {
    let entries = store.entries(0..store.size()?)?.into_iter().map(|found| found.bytes).collect();
    Ok((entries, store.profile(&sender(), &key("bob7@example.org"))?))
}

/// Everything that a gateway and a person do with a store; `None` when it was told what is wrong with it.
fn use_it(rig: &Rig, backup: bool) -> Option<Content> {
    let store = rig.try_open().ok()?;
    let found = store.verify_all(&[]).ok()?;
    let content = content(&store).ok();
    let spooled: Vec<_> = (0..12).map(|index| store.load(copy(index, 0))).collect();
    let page =
        store.page(About::Address(&key("bob7@example.org")), &Window { limit: 9, ..Window::default() });
    let copy = rig.folder.path().join("copy");
    let copied = !backup || store.backup(&copy, &|_| Err(NotKept::Missing), &mut |_, _| ()).is_ok();
    let _ = std::fs::remove_file(copy);
    let written = store.write(vec![Record::of(unsubscribed("new@example.org"))]);
    let sound = found.is_sound() && page.is_ok() && copied && written.is_ok();
    (sound && spooled.iter().all(Result::is_ok)).then_some(content).flatten()
}

#[test]
fn promise_5_an_octet_changed_anywhere_in_the_file_is_told_or_changes_nothing() {
    let rig = Rig::new();
    let (before, file) = whole(&rig);
    let used: Vec<usize> = (0..file.len()).filter(|at| file[*at] != 0).collect();
    let (mut told, mut unhurt) = (0, 0);
    for (turn, place) in used.iter().copied().step_by((used.len() / PLACES).max(1)).enumerate() {
        let mut changed = file.clone();
        changed[place] ^= 0x41;
        std::fs::write(rig.path(), changed).unwrap();
        match catch_unwind(AssertUnwindSafe(|| use_it(&rig, turn % 8 == 0))) {
            Ok(None) => told += 1,
            Ok(Some(after)) => {
                assert_eq!(after, before, "octet {place} changed what is read, and nothing said so");
                unhurt += 1;
            }
            Err(_) => panic!("octet {place}: a panic came out of the store"),
        }
    }
    assert!(told > 8 && unhurt > 8, "told {told}, unhurt {unhurt}");
}

#[test]
fn promise_5_a_file_cut_short_anywhere_is_told() {
    let rig = Rig::new();
    let (_, file) = whole(&rig);
    for length in
        [0, 1, 100, 4_095, 4_096, 9_000, file.len() / 3, file.len() / 2, file.len() - 4_096, file.len() - 1]
    {
        std::fs::write(rig.path(), &file[..length]).unwrap();
        let opened = catch_unwind(AssertUnwindSafe(|| rig.try_open().map(drop)));
        let error = opened.expect("no panic").expect_err("it cannot be whole");
        let said = error.to_string();
        assert!(said.contains(&rig.path().display().to_string()), "cut at {length}: {said}");
    }
}
