//! The format for the long run: a store and a pack of each format that was ever released open here, and the test
//! vectors of docs/ledger-format.md hold.
//!
//! `cargo test --test format -- --ignored` makes the files of the present format anew. That is done once, when a
//! format begins: a release that cannot read what lies there breaks somebody's proof.

mod support;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sluis::clock::SystemClock;
use sluis::ledger::checkpoint::{self, Signer};
use sluis::ledger::tree::{self, Edge};
use sluis::ledger::verify::verify_pack;
use sluis::ledger::{Counts, Event, NotKept, pack, stamp, succession};
use sluis::mail::{Class, hex, sha256};
use sluis::secret::SystemEntropy;
use sluis::store::{Archived, Settings, Store};
use sluis::suppression::Reason;
use support::gateway::{INVOICES, NEWS, TestGateway, message};
use support::next_hop::NextHop;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format/2")
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

fn signer() -> Signer {
    Signer::parse_file(&String::from_utf8(read("ledger.key")).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes the files that the other tests of this file read"]
async fn make_the_store_and_the_pack_of_this_format() {
    let mut next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    gateway.consent(&["lezer@example.org", "ander@example.org"]).await;
    gateway.suppress("klager@example.org", Reason::Complaint).await;
    let mut client = gateway.client().await;
    client.submit(NEWS, &["lezer@example.org"], message(NEWS, "Dag lezer")).await;
    let sent = next_hop.next().await.data;
    client.submit(NEWS, &["ander@example.org"], message(NEWS, "Dag ander")).await;
    next_hop.next().await;
    let early = gateway.running.store().latest_checkpoint().unwrap();
    gateway.running.scribe().record(Default::default()).await.unwrap();
    client.submit(INVOICES, &["klant@example.org"], message(INVOICES, "Rekening")).await;
    next_hop.next().await;
    client.submit(NEWS, &["onbekend@example.org"], message(NEWS, "Dag onbekende")).await;
    let pack = gateway.running.pack_of(&support::address("lezer@example.org")).await.unwrap();
    let note = early.or_else(|| gateway.running.store().latest_checkpoint().unwrap()).unwrap().1;
    gateway.running.stop().await;
    let var = gateway.folder.path().join("var");
    let store = std::fs::read(var.join("sluis.redb")).unwrap();
    std::fs::create_dir_all(folder()).unwrap();
    for (name, bytes) in [
        ("store.redb.zst", zstd::encode_all(&store[..], 19).unwrap()),
        ("ledger.key", std::fs::read(var.join("keys/ledger.key")).unwrap()),
        ("checkpoint.txt", note.into_bytes()),
        ("sent.eml", sent),
        ("pack.zip", pack),
    ] {
        std::fs::write(folder().join(name), bytes).unwrap();
    }
}

#[test]
fn promise_8_a_store_of_this_format_opens_and_proves_what_was_sent() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("sluis.redb");
    std::fs::write(&path, zstd::decode_all(&read("store.redb.zst")[..]).unwrap()).unwrap();
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let store = Store::open(&path, Settings::new(signer()), clock, entropy).unwrap();
    let anchor = String::from_utf8(read("checkpoint.txt")).unwrap();
    let findings = store.verify_all(&[anchor]).unwrap();
    assert_eq!(findings.problems, Vec::<String>::new());
    assert_eq!((findings.counts.accepted, findings.counts.sent, findings.counts.refused), (3, 3, 1));

    let sent = read("sent.eml");
    let all = store.entries(0..store.size().unwrap()).unwrap();
    let found = all.into_iter().find(|found| match &found.entry.event {
        Event::Admitted(it) => it.class == Class::Marketing && it.sent_sha256 == hex(&sha256(&sent)),
        _ => false,
    });
    let found = found.expect("the entry that admits it");
    let Event::Admitted(admitted) = &found.entry.event else { unreachable!("it was looked for") };
    match store.rebuild(admitted.copy).unwrap() {
        Some(Archived::Whole(rope)) => assert_eq!(rope.to_vec(), sent),
        other => panic!("{other:?}"),
    }
    let made = store.pack("lezer@example.org", vec![found]).unwrap();
    let zip = pack::write(
        &made,
        &|copy| store.sent(copy),
        &|_| Err(NotKept::Missing),
        store.signer(),
        Cursor::new(Vec::new()),
    );
    let report = verify_pack(zip.unwrap().sink, signer().verifier()).unwrap();
    assert!(report.is_sound() && report.messages.len() == 1, "{report:?}");
}

#[test]
fn promise_8_a_pack_of_this_format_verifies() {
    let report = verify_pack(Cursor::new(read("pack.zip")), signer().verifier()).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert!(report.entries.iter().any(|(_, entry)| matches!(entry.event, Event::Admitted(_))));
    assert_eq!(report.messages.len(), 1);
    // Its page is of an earlier version, and is held against the entries all the same.
    assert!(!report.notes.iter().any(|note| note.contains("index.html")), "{:?}", report.notes);
}

/// Made by the release before the page showed all facts of a send: its page is still held against its entries.
#[test]
fn promise_8_a_pack_with_a_page_of_an_earlier_version_verifies_page_included() {
    let key = String::from_utf8(read("pack-page3.pub")).unwrap();
    let report = verify_pack(Cursor::new(read("pack-page3.zip")), key.trim()).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.notes, Vec::<String>::new(), "nothing that was not looked at");
    assert_eq!((report.messages.len(), report.evidence.len()), (1, 1));
}

#[test]
fn the_test_vectors_of_the_format_hold() {
    let (mut edge, mut hashes, mut lines) = (Edge::empty(), BTreeMap::new(), Vec::new());
    let mut roots = Vec::new();
    for number in 0..5u8 {
        let leaf = tree::leaf(&[number; 32], &[format!("{{\"n\":{number}}}").as_bytes()]);
        hashes.extend(edge.append(leaf).unwrap());
        roots.push(format!("root {}: {}", number + 1, hex(&edge.root().unwrap().0)));
        lines.push(format!("leaf {number}: {}", hex(&leaf.0)));
    }
    lines.extend(roots);
    let spelled = |path: Vec<tree::Hash>| path.iter().map(|hash| hex(&hash.0)).collect::<Vec<_>>().join(" ");
    lines.push(format!("path 2 of 5: {}", spelled(tree::prove_inclusion(5, 2, &hashes).unwrap())));
    lines.push(format!("between 3 and 5: {}", spelled(tree::prove_consistency(5, 3, &hashes).unwrap())));
    let text = include_str!("../docs/ledger-format.md");
    let key = |word: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(word)).unwrap();
        Signer::parse(line).unwrap()
    };
    let (first, second) = (key("key: "), key("next key: "));
    lines.push(format!("key: {}", String::from_utf8_lossy(first.key_text().expose())));
    lines.push(format!("public: {}", first.verifier()));
    lines.push(format!("next key: {}", String::from_utf8_lossy(second.key_text().expose())));
    let counts = Counts { accepted: 2, sent: 1, refused: 1, ..Counts::default() };
    let note = checkpoint::sign(&first, 5, edge.root().unwrap(), &counts).unwrap();
    let question = stamp::query(&sha256(note.as_bytes()), &[1, 2, 3, 4, 5, 6, 7, 8]);
    lines.push(format!("question: {}", hex(&question)));
    assert!(text.contains(&format!("```\n{}\n```", lines.join("\n"))), "{}", lines.join("\n"));
    assert!(text.contains(&format!("```\n{note}```")), "{note}");
    let change = succession::vouch(&first, &second).unwrap();
    assert!(text.contains(&format!("```\n{change}```")), "{change}");
}
