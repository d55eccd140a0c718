//! Promise 8: whoever changes the ledger, in the file or in a pack, is found.

use std::io::{Cursor, Read as _, Write as _};

use redb::{ReadableTable as _, WriteTransaction};
use zip::{ZipArchive, ZipWriter};

use super::*;
use crate::ledger::checkpoint;
use crate::ledger::pack;
use crate::ledger::tree::{self, Edge};
use crate::ledger::verify::{Report, verify_pack};
use crate::ledger::{
    Answered, Channel, Counts, Held, Letter, NotKept, Owed, OwedId, OwedState, Side, Telling, Told,
};
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

#[test]
fn promise_8_what_is_kept_of_a_copy_is_held_against_the_entry_that_admits_it() {
    type Change = fn(&WriteTransaction);
    fn pieces_of(rope: &Rope) -> Vec<u8> {
        let pieces = crate::ledger::pieces::write(rope).unwrap();
        tables::KeptCopy::write_pieces(Keep::Full, &sha256(&original()), &pieces)
    }
    let changes: [(Change, &str); 4] = [
        (|_| (), ""),
        (
            |transaction| {
                let mut copies = transaction.open_table(tables::COPIES).unwrap();
                let other = pieces_of(&rope("X-Own: 2\r\n"));
                copies.insert(&copy(1, 0).to_bytes(), other.as_slice()).unwrap();
            },
            "is not what entry 0 says was sent",
        ),
        (
            |transaction| {
                let mut copies = transaction.open_table(tables::COPIES).unwrap();
                copies.insert(&copy(1, 0).to_bytes(), &[1, 0, 0, 7][..]).unwrap();
            },
            "cannot be read: a kept copy is cut short",
        ),
        (
            |transaction| {
                let mut copies = transaction.open_table(tables::COPIES).unwrap();
                copies.insert(&copy(7, 0).to_bytes(), pieces_of(&rope("X-Own: 1\r\n")).as_slice()).unwrap();
                let mut uses = transaction.open_table(tables::ORIGINAL_USES).unwrap();
                uses.insert(&sha256(&original()), 2).unwrap();
            },
            "something is kept of 1 copies that no entry admits",
        ),
    ];
    for (change, problem) in changes {
        let rig = Rig::new();
        let store = rig.open();
        let mut record = spooling(copy(1, 0), &["bob@example.org"], SpoolState::Held, Keep::Full);
        record.sides.pop();
        store.write(vec![record]).unwrap();
        drop(store);
        tamper(&rig, change);
        let found = problems(&rig, &[]);
        let is_found = found.iter().any(|line| line.contains(problem));
        assert_eq!((is_found, found.is_empty()), (!problem.is_empty(), problem.is_empty()), "{found:?}");
    }
}

#[test]
fn promise_8_a_telling_that_no_entry_bears_out_is_found() {
    let owed = |who: &str, state| Owed {
        sender: sender(),
        address: key(who),
        channel: Channel::Webhook("crm".to_owned()),
        state,
        since: at(0),
        attempts: 0,
        last_answer: String::new(),
    };
    let waiting = OwedState::Waiting { next: at(0) };
    let told = |outcome| {
        Event::Told(Told {
            sender: sender(),
            address: key("bob@example.org"),
            fact: 0,
            index: 0,
            channel: "webhook".to_owned(),
            target: "crm".to_owned(),
            outcome,
            answer: "410".to_owned(),
            attempt: 1,
        })
    };
    let id = OwedId { fact: 0, index: 0 };
    let owe = |who: &str| Record {
        events: vec![unsubscribed("bob@example.org")],
        sides: vec![Side::Owe(0, Box::new(owed(who, waiting)))],
    };
    let dead = || Side::Defer(id, Box::new(owed("bob@example.org", OwedState::Dead)));
    let cases: [(Vec<Record>, &[&str]); 6] = [
        (vec![owe("bob@example.org")], &[]),
        (
            vec![
                owe("bob@example.org"),
                Record { events: vec![told(Telling::GivenUp)], sides: vec![dead()] },
            ],
            &[],
        ),
        (vec![owe("eva@example.org")], &["the telling 0-0 is not about what entry 0 says"]),
        (
            vec![owe("bob@example.org"), Record::of(told(Telling::Told))],
            &["the telling 0-0 is over, as entry 1 says, and is still owed"],
        ),
        (
            vec![owe("bob@example.org"), Record { events: Vec::new(), sides: vec![dead()] }],
            &["the telling 0-0 counts as given up, and no entry says so"],
        ),
        (
            vec![Record {
                events: vec![unsubscribed("bob@example.org")],
                sides: vec![Side::Owe(8, Box::new(owed("bob@example.org", waiting)))],
            }],
            &["the telling 8-0 is of an entry that is not there"],
        ),
    ];
    for (records, expected) in cases {
        let rig = Rig::new();
        rig.open().write(records).unwrap();
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
    pack::write(
        &pack,
        &|copy| store.sent(copy),
        &|_| Err(NotKept::Missing),
        store.signer(),
        Cursor::new(Vec::new()),
    )
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
fn promise_10_the_messages_of_a_pack_stand_in_memory_one_at_a_time() {
    use std::cell::{Cell, RefCell};
    /// What the zip came to so far, where the test can see it.
    struct Sink<'c>(Cursor<Vec<u8>>, &'c Cell<usize>);
    impl std::io::Write for Sink<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let written = self.0.write(bytes)?;
            self.1.set(self.0.get_ref().len());
            Ok(written)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    impl std::io::Seek for Sink<'_> {
        fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
            self.0.seek(to)
        }
    }
    const OCTETS: usize = 1 << 20;
    let rig = Rig::new();
    let store = rig.open();
    let copies: Vec<_> = (0..4).map(|index| copy(9, index)).collect();
    store.write(copies.iter().map(|one| Record::of(admitted(*one, &["bob@example.org"]))).collect()).unwrap();
    store.checkpoint().unwrap();
    let pack = store.pack("bob", store.by_address(&key("bob@example.org"), 10).unwrap()).unwrap();
    let (written, asked) = (Cell::new(0), RefCell::new(Vec::new()));
    let message = |copy: CopyId| {
        // Whatever was handed in before is out of memory: it stands in the zip, all but what deflate still turns over.
        assert!(written.get() + (1 << 17) > asked.borrow().len() * OCTETS, "{} octets", written.get());
        asked.borrow_mut().push(copy);
        let mut bytes = vec![0; OCTETS];
        crate::secret::Entropy::fill(&SystemEntropy, &mut bytes);
        Ok(Some(pack::Sent { whole: true, bytes: bytes.into() }))
    };
    let sink = Sink(Cursor::new(Vec::new()), &written);
    pack::write(&pack, &message, &|_| Err(NotKept::Missing), store.signer(), sink).unwrap();
    assert_eq!(*asked.borrow(), copies);
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
    let zip = pack::write(
        &pack,
        &|copy| store.sent(copy),
        &|_| Err(NotKept::Missing),
        store.signer(),
        Cursor::new(Vec::new()),
    )
    .unwrap()
    .sink
    .into_inner();
    let report = verify(&rig, &zip);
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    assert!(report.problems[0].contains("does not stand in the signed ledger"), "{:?}", report.problems);
    assert_eq!(report.entries, []);
}
