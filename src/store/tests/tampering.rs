//! Promise 8: whoever changes the ledger, in the file or in a pack, is found.

use std::io::{Cursor, Read as _, Write as _};

use redb::{ReadableTable as _, WriteTransaction};
use zip::{ZipArchive, ZipWriter};

use super::*;
use crate::ledger::checkpoint;
use crate::ledger::pack;
use crate::ledger::tree::{self, Edge};
use crate::ledger::verify::{Report, verify_pack};
use crate::ledger::{Answered, Counts, Held, Letter, NotKept};
use tables::{CHECKPOINTS, ENTRIES, HASHES, PROFILES};

/// A closed store of 20 entries with checkpoints, the last of them noted down elsewhere.
fn ledger(rig: &Rig) -> String {
    let store = rig.open();
    for index in 0..9 {
        store
            .write(vec![
                Record::of(admitted(copy(1, index), &["bob@example.org"])),
                Record::of(Event::Relayed(outcome(copy(1, index), &["bob@example.org"]))),
            ])
            .unwrap();
        if index == 4 {
            store.checkpoint().unwrap();
        }
    }
    store.checkpoint().unwrap();
    sound(&store);
    store.latest_checkpoint().unwrap().unwrap().1
}

fn tamper(rig: &Rig, change: impl FnOnce(&WriteTransaction)) {
    let database = Database::open(rig.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}

/// All entries, as an attacker with the file would rewrite them: values, hashes, all consistent.
fn rewrite(transaction: &WriteTransaction, values: &[Vec<u8>]) {
    let mut entries = transaction.open_table(ENTRIES).unwrap();
    let mut hashes = transaction.open_table(HASHES).unwrap();
    entries.retain(|_, _| false).unwrap();
    hashes.retain(|_, _| false).unwrap();
    let mut edge = Edge::empty();
    for (number, value) in (0..).zip(values) {
        entries.insert(number, value.as_slice()).unwrap();
        let tables::StoredEntry::Whole { salt, bytes } = tables::read_entry(value).unwrap() else {
            panic!("not erased")
        };
        for (index, hash) in edge.append(tree::leaf(&salt, &[&bytes])).unwrap() {
            hashes.insert(index, &hash.0[..]).unwrap();
        }
    }
}

fn values(transaction: &WriteTransaction) -> Vec<Vec<u8>> {
    let entries = transaction.open_table(ENTRIES).unwrap();
    entries.iter().unwrap().map(|row| row.unwrap().1.value().to_vec()).collect()
}

fn problems(rig: &Rig, anchors: &[String]) -> Vec<String> {
    rig.open().verify_all(anchors).unwrap().problems
}

#[test]
fn promise_8_a_changed_entry_is_found() {
    let rig = Rig::new();
    ledger(&rig);
    tamper(&rig, |transaction| {
        let mut entries = transaction.open_table(ENTRIES).unwrap();
        let mut value = entries.get(7).unwrap().unwrap().value().to_vec();
        value[20] ^= 1;
        entries.insert(7, value.as_slice()).unwrap();
    });
    let found = problems(&rig, &[]);
    assert_eq!(found[0], "entry 7 is not what its leaf hash says");
    assert!(found.iter().any(|line| line.contains("are not what was signed")), "{found:?}");
}

#[test]
fn promise_8_a_ledger_rewritten_with_all_its_hashes_is_found_by_its_checkpoints() {
    type Rewrite = fn(&mut Vec<Vec<u8>>);
    let cases: [(&str, Rewrite); 5] = [
        ("change", |values| {
            // An octet of its salt: the entry can still be read.
            values[3][20] ^= 1;
        }),
        ("remove", |values| {
            values.remove(3);
        }),
        ("insert", |values| {
            let extra = values[2].clone();
            values.insert(3, extra);
        }),
        ("reorder", |values| values.swap(2, 4)),
        ("cut", |values| values.truncate(4)),
    ];
    for (name, change) in cases {
        let rig = Rig::new();
        ledger(&rig);
        tamper(&rig, |transaction| {
            let mut all = values(transaction);
            change(&mut all);
            rewrite(transaction, &all);
        });
        let found = problems(&rig, &[]);
        assert!(found.iter().any(|line| line.contains("are not what was signed")), "{name}: {found:?}");
    }
}

#[test]
fn promise_8_a_ledger_cut_short_with_its_checkpoints_is_found_by_one_kept_elsewhere() {
    let rig = Rig::new();
    let anchor = ledger(&rig);
    tamper(&rig, |transaction| {
        let all = values(transaction);
        rewrite(transaction, &all[..11]);
        let mut checkpoints = transaction.open_table(CHECKPOINTS).unwrap();
        checkpoints.retain(|size, _| size <= 10).unwrap();
    });
    let signed = |line: &String| line.contains("signed");
    assert!(!problems(&rig, &[]).iter().any(signed), "what is left is a sound ledger");
    assert!(problems(&rig, &[anchor]).iter().any(signed));
}

#[test]
fn promise_8_a_forged_checkpoint_and_a_forged_projection_are_found() {
    let rig = Rig::new();
    ledger(&rig);
    let forger = Signer::generate("poort.voorbeeld.nl", &SystemEntropy).unwrap();
    tamper(&rig, |transaction| {
        let mut checkpoints = transaction.open_table(CHECKPOINTS).unwrap();
        let note = checkpoint::sign(&forger, 10, tree::Hash([1; 32]), &Counts::default()).unwrap();
        checkpoints.insert(10, note.as_str()).unwrap();
        let mut profiles = transaction.open_table(PROFILES).unwrap();
        let empty = tables::write_row(&crate::policy::Profile::default()).unwrap();
        profiles.insert((sender().0.as_str(), "eva@example.org"), empty.as_slice()).unwrap();
    });
    let found = problems(&rig, &[]).join("\n");
    for expected in ["the checkpoint of 10 entries", "follows from no entry"] {
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn promise_8_a_changed_inbox_is_found() {
    let held = |subject: &str| Held { from: None, subject: subject.to_owned(), why: "no link".to_owned() };
    let letter = |subject: &str| Letter { at: at(0), held: held(subject), bytes: b"Stop".to_vec() };
    let waiting = |subject: &str| Record {
        events: vec![Event::Held(held(subject))],
        sides: vec![Side::Letter(Box::new(letter(subject)))],
    };
    type Change = fn(&mut redb::Table<'_, u64, &'static [u8]>);
    let changes: [(Change, &str); 4] = [
        (|_| (), ""),
        (
            |inbox| drop(inbox.remove(0).unwrap()),
            "the mail of entry 0 waits for an answer, and is not in the inbox",
        ),
        (
            |inbox| {
                let other = inbox.get(0).unwrap().unwrap().value().to_vec();
                inbox.insert(1, other.as_slice()).unwrap();
            },
            "the mail of entry 1 waits, and no entry says that it does",
        ),
        (
            |inbox| {
                let mut row = inbox.get(0).unwrap().unwrap().value().to_vec();
                let place = memchr::memmem::find(&row, b"Afmelden").unwrap();
                row[place] ^= 0x20;
                inbox.insert(0, row.as_slice()).unwrap();
            },
            "the mail that waits is not the one that entry 0 tells of",
        ),
    ];
    for (change, problem) in changes {
        let rig = Rig::new();
        let store = rig.open();
        let answered = Event::Answered(Answered { held: 1, how: "filed".to_owned() });
        let answer = Record { events: vec![answered], sides: vec![Side::Filed(1)] };
        store.write(vec![waiting("Afmelden"), waiting("Vraag"), answer]).unwrap();
        drop(store);
        tamper(&rig, |transaction| change(&mut transaction.open_table(inbox::INBOX).unwrap()));
        let expected: Vec<&str> = [problem].into_iter().filter(|problem| !problem.is_empty()).collect();
        assert_eq!(problems(&rig, &[]), expected);
    }
}

/// A pack about bob, with a message in it.
fn packed(rig: &Rig) -> Vec<u8> {
    let store = rig.open();
    let mut record = spooling(copy(9, 0), &["bob@example.org"], SpoolState::Held, Keep::Full);
    record.sides.pop();
    store.write(vec![record, Record::of(unsubscribed("bob@example.org"))]).unwrap();
    let found = store.by_address(&key("bob@example.org"), 100).unwrap();
    assert!(store.pack("bob@example.org", found.clone()).is_err(), "no checkpoint covers it yet");
    store.checkpoint().unwrap();
    let pack = store.pack("bob@example.org", found).unwrap();
    pack::write(&pack, &|_| Err(NotKept::Missing), store.signer(), Cursor::new(Vec::new()))
        .unwrap()
        .sink
        .into_inner()
}

fn files(zip: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(Cursor::new(zip)).unwrap();
    (0..archive.len())
        .map(|index| {
            let mut file = archive.by_index(index).unwrap();
            let name = file.name().unwrap().into_owned();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            (name, bytes)
        })
        .collect()
}

fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn verify(rig: &Rig, zip: &[u8]) -> Report {
    verify_pack(Cursor::new(zip), rig.signer.verifier()).unwrap()
}

#[test]
fn promise_8_a_pack_verifies_with_the_public_key_alone() {
    let rig = Rig::new();
    let pack = packed(&rig);
    let report = verify(&rig, &pack);
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.about, "bob@example.org");
    assert_eq!(report.entries.len(), 2);
    assert_eq!(report.messages, [format!("messages/{}.eml", copy(9, 0))]);
    let names: Vec<String> = files(&pack).into_iter().map(|(name, _)| name).collect();
    for name in ["index.html", "VERIFY.md", "checkpoint.txt", "key.txt", "files.txt"] {
        assert!(names.iter().any(|one| one == name), "{name} in {names:?}");
    }
    let stranger = Signer::generate("poort.voorbeeld.nl", &SystemEntropy).unwrap();
    assert!(!verify_pack(Cursor::new(&pack), stranger.verifier()).unwrap().is_sound());
}

#[test]
fn promise_8_every_change_to_a_pack_is_found() {
    let rig = Rig::new();
    let pack = packed(&rig);
    let all = files(&pack);
    for at in 0..all.len() {
        let name = &all[at].0;
        let mut removed = all.clone();
        removed.remove(at);
        assert!(!verify(&rig, &zip(&removed)).is_sound(), "{name} removed");
        for position in [0, all[at].1.len() / 2, all[at].1.len() - 1] {
            let mut changed = all.clone();
            changed[at].1[position] ^= 1;
            assert!(!verify(&rig, &zip(&changed)).is_sound(), "{name} changed at {position}");
        }
        let mut cut = all.clone();
        cut[at].1.pop();
        // A newline at the end of the trusted key's copy, or of a note, is the only octet that says nothing.
        assert!(!verify(&rig, &zip(&cut)).is_sound(), "{name} cut short");
    }
    let mut added = all.clone();
    added.push(("entries/000000000999.json".to_owned(), all[0].1.clone()));
    assert!(!verify(&rig, &zip(&added)).is_sound(), "an entry added");
    let entries: Vec<usize> = (0..all.len())
        .filter(|&at| all[at].0.starts_with("entries/") && !all[at].0.contains("proof"))
        .collect();
    let mut swapped = all.clone();
    let (a, b) = (entries[0], entries[1]);
    let first = swapped[a].1.clone();
    swapped[a].1 = std::mem::replace(&mut swapped[b].1, first);
    assert!(!verify(&rig, &zip(&swapped)).is_sound(), "two entries swapped");
    for len in [0, 10, pack.len() / 2, pack.len() - 1] {
        let cut = verify_pack(Cursor::new(&pack[..len]), rig.signer.verifier());
        assert!(cut.is_err() || !cut.unwrap().is_sound(), "cut to {len} octets");
    }
}

#[test]
fn promise_8_no_second_file_of_the_same_name_hides_in_a_pack() {
    let rig = Rig::new();
    let mut all = files(&packed(&rig));
    all.insert(0, ("index.htmX".to_owned(), b"<h1>What never happened</h1>".to_vec()));
    let mut pack = zip(&all);
    while let Some(at) = memchr::memmem::find(&pack, b"index.htmX") {
        pack[at + 9] = b'l';
    }
    let error = verify_pack(Cursor::new(&pack), rig.signer.verifier()).unwrap_err().to_string();
    assert!(error.contains("different files to different programs"), "{error}");
}

/// Sign `files` as a pack of its own, as the holder of the key could.
fn signed_again(rig: &Rig, mut all: Vec<(String, Vec<u8>)>) -> Vec<u8> {
    let at = all.iter().position(|(name, _)| name == "files.txt").unwrap();
    let (name, list) = all.remove(at);
    let list = String::from_utf8(list).unwrap();
    let head: String = list.lines().take(5).map(|line| format!("{line}\n")).collect();
    let lines = all.iter().map(|(name, bytes)| format!("{}  {name}\n", crate::mail::hex(&sha256(bytes))));
    let text = lines.fold(head, |text, line| text + &line);
    all.push((name, rig.signer.sign(&text).unwrap().into_bytes()));
    zip(&all)
}

#[test]
fn promise_8_a_page_that_tells_another_story_is_found_though_the_key_holder_signed_it() {
    let rig = Rig::new();
    let mut all = files(&packed(&rig));
    assert!(verify(&rig, &signed_again(&rig, all.clone())).is_sound(), "signing again is not what is found");
    let page = all.iter_mut().find(|(name, _)| name == "index.html").unwrap();
    let text = String::from_utf8(page.1.clone()).unwrap();
    let told = text.replace("bob@example.org meldde zich af", "bob@example.org vroeg om meer");
    assert_ne!(told, text);
    page.1 = told.into_bytes();
    let report = verify(&rig, &signed_again(&rig, all));
    assert_eq!(report.problems, ["index.html: tells another story than the entries; read those"]);
}

#[test]
fn promise_8_a_forger_who_signs_the_list_still_needs_the_ledger() {
    let rig = Rig::new();
    let store = rig.open();
    store.write(vec![Record::of(unsubscribed("bob@example.org"))]).unwrap();
    store.checkpoint().unwrap();
    let found = store.by_address(&key("bob@example.org"), 100).unwrap();
    let mut pack = store.pack("bob", found).unwrap();
    let text = String::from_utf8(pack.entries[0].bytes.clone()).unwrap();
    pack.entries[0].bytes = text.replace("bob@example.org", "eva@example.org").into_bytes();
    let zip = pack::write(&pack, &|_| Err(NotKept::Missing), store.signer(), Cursor::new(Vec::new()))
        .unwrap()
        .sink
        .into_inner();
    let report = verify(&rig, &zip);
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    assert!(report.problems[0].contains("does not stand in the signed ledger"), "{:?}", report.problems);
    assert_eq!(report.entries, []);
}
