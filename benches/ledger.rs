//! The ledger alone: appends with real syncs, proofs, the check of everything, start-up, space, purging.
//!
//! `cargo bench --bench ledger` takes 20,000 sends; `-- --sends 5000000` (10,000,000 entries) is the size that
//! docs/benchmarks.md speaks of, `-- --folder /var/tmp` the disk. Prints Markdown.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use redb::{Database, TableDefinition};
use sluis::clock::ManualClock;
use sluis::ledger::checkpoint::Signer;
use sluis::ledger::keeping::months_after;
use sluis::ledger::{Admitted, AdmittedRecipient, Event, Keep, Outcome, Party, Record, Side};
use sluis::mail::{Address, Class, CopyId, Purpose, Reference, SenderId, hex, sha256};
use sluis::message::{Piece, Rope};
use sluis::policy::Basis;
use sluis::secret::SystemEntropy;
use sluis::store::{About, Settings, Store, Window};

/// How long each count of writers is measured.
const LASTING: Duration = Duration::from_secs(2);
/// Sends of one commit while the store is filled.
const BATCH: u64 = 500;

struct Asked {
    sends: u64,
    folder: PathBuf,
}

fn asked() -> Asked {
    let mut asked = Asked { sends: 20_000, folder: std::env::temp_dir() };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--sends" => asked.sends = args.next().and_then(|n| n.parse().ok()).expect("a number of sends"),
            "--folder" => asked.folder = args.next().expect("a folder").into(),
            _ => {}
        }
    }
    asked
}

fn main() {
    let asked = asked();
    let folder = tempfile::tempdir_in(&asked.folder).expect("a folder");
    appends(folder.path());
    filled(folder.path(), asked.sends);
}

fn epoch() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("a time")
}

fn open(path: &Path, clock: &Arc<ManualClock>, signer: &Signer, quick_repair: bool) -> Store {
    let settings = Settings { quick_repair, ..Settings::new(signer.clone()) };
    Store::open(path, settings, clock.clone(), Arc::new(SystemEntropy)).expect("a store")
}

fn signer() -> Signer {
    Signer::generate("bench", &SystemEntropy).expect("a key")
}

/// Both entries of a send; with `kept`, its bytes as well.
fn send(number: u64, kept: bool) -> Record {
    let reference = Reference::new(epoch() + jiff::SignedDuration::from_millis(number as i64), {
        let mut random = [0; 10];
        random[2..].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        random
    });
    let copy = CopyId { reference, index: 0 };
    let who = Address::parse(&format!("lezer{}@example.org", number % 100_000)).expect("an address");
    let text = format!(
        "From: Voorbeeld <nieuws@voorbeeld.nl>\r\nTo: {who}\r\nSubject: Nieuws {number}\r\n\r\n{}",
        "Een regel met het nieuws van deze maand.\r\n".repeat(100)
    );
    let original = Bytes::from(text);
    let own = format!("List-Unsubscribe: <https://afmelden.voorbeeld.nl/u/{number:040}>\r\n");
    let len = original.len();
    let rope =
        Rope::new(original.clone(), vec![Piece::Own(own.into()), Piece::Original(0..len)]).expect("a copy");
    let hash = sha256(&original);
    let outcome = Outcome {
        copy,
        recipients: vec![who.clone()],
        reply: format!("250 2.0.0 ok queued as {number:x}"),
        next_hop: "smtp.example.org:587".to_owned(),
        tls: Some(format!("TLSv1.3 sha256={}", "a".repeat(64))),
        attempt: 1,
    };
    let admitted = Admitted {
        copy,
        handover: None,
        tool: Some("Lijstmaker 3.1".to_owned()),
        class: Class::Marketing,
        sender: Some(Party { id: SenderId("12345678".to_owned()), name: "Voorbeeld B.V.".to_owned() }),
        purpose: Some(Purpose("nieuwsbrief".to_owned())),
        rule: Some("newsletter".to_owned()),
        rules_sha256: "b".repeat(64),
        reverse_path: "nieuws@voorbeeld.nl".to_owned(),
        recipients: vec![AdmittedRecipient { recipient: who, basis: Basis::NotNeeded, observed: None }],
        message_id: Some(format!("<{number}@voorbeeld.nl>")),
        original_sha256: hex(&hash),
        sent_sha256: hex(&rope.sha256()),
        size: rope.len() as u64,
        edits: vec!["List-Unsubscribe added".to_owned()],
        dkim: Vec::new(),
        token: None,
        next_hop: "smtp.example.org:587".to_owned(),
    };
    let sides = if kept {
        vec![
            Side::Original { sha256: hash, bytes: original },
            Side::Edits { copy, original_sha256: hash, rope, keep: Keep::Full },
        ]
    } else {
        Vec::new()
    };
    Record { events: vec![Event::Admitted(Box::new(admitted)), Event::Relayed(outcome)], sides }
}

/// Appends per second by writers that each wait for their own record.
fn appends(folder: &Path) {
    println!("| writers | records/s | with quick_repair | plain redb, a commit each | write + fsync each |");
    println!("| --- | --- | --- | --- | --- |");
    let plain = plain_redb(folder);
    let synced = write_and_fsync(folder);
    for writers in [1, 10, 50, 200] {
        let rate = |quick| group_commit(folder, writers, quick);
        let (off, on) = (rate(false), rate(true));
        println!("| {writers} | {off:.0} | {on:.0} | {plain:.0} | {synced:.0} |");
    }
    println!();
}

fn group_commit(folder: &Path, writers: u64, quick_repair: bool) -> f64 {
    let path = folder.join(format!("appends-{writers}-{quick_repair}.redb"));
    let store = open(&path, &Arc::new(ManualClock::at(epoch())), &signer(), quick_repair);
    let (scribe, closing) = store.start().expect("the writer");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    let begun = Instant::now();
    let done: u64 = runtime.block_on(async {
        let tasks: Vec<_> = (0..writers)
            .map(|writer| {
                let scribe = scribe.clone();
                tokio::spawn(async move {
                    let mut done = 0;
                    while begun.elapsed() < LASTING {
                        scribe.record(send(writer << 32 | done, false)).await.expect("a commit");
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.expect("a task");
        }
        sum
    });
    let rate = done as f64 / begun.elapsed().as_secs_f64();
    drop(scribe);
    closing.join();
    drop(store);
    std::fs::remove_file(path).expect("the file goes");
    rate
}

fn plain_redb(folder: &Path) -> f64 {
    const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("plain");
    let database = Database::create(folder.join("plain.redb")).expect("a database");
    rate(|number| {
        let transaction = database.begin_write().expect("a transaction");
        transaction.open_table(TABLE).expect("a table").insert(number, &[7; 1_000][..]).expect("a row");
        transaction.commit().expect("a commit");
    })
}

fn write_and_fsync(folder: &Path) -> f64 {
    let mut file = std::fs::File::create(folder.join("plain.log")).expect("a file");
    rate(|_| {
        file.write_all(&[7; 1_000]).expect("a write");
        file.sync_data().expect("a sync");
    })
}

fn rate(mut each: impl FnMut(u64)) -> f64 {
    let (begun, mut done) = (Instant::now(), 0);
    while begun.elapsed() < LASTING {
        each(done);
        done += 1;
    }
    done as f64 / begun.elapsed().as_secs_f64()
}

/// A store of so many sends: space, start-up, proof, check, purge.
fn filled(folder: &Path, sends: u64) {
    let (clock, signer) = (Arc::new(ManualClock::at(epoch())), signer());
    let mut sizes = Vec::new();
    for kept in [false, true] {
        let path = folder.join(format!("filled-{kept}.redb"));
        let count = if kept { sends.min(20_000) } else { sends };
        let store = open(&path, &clock, &signer, false);
        let begun = Instant::now();
        for first in (0..count).step_by(BATCH as usize) {
            let batch = (first..count.min(first + BATCH)).map(|number| send(number, kept)).collect();
            store.write(batch).expect("a commit");
        }
        store.checkpoint().expect("a checkpoint");
        let filled = begun.elapsed().as_secs_f64();
        drop(store);
        let octets = std::fs::metadata(&path).expect("the file").len();
        sizes.push((path, count, octets, filled));
    }
    let (path, count, octets, filled) = &sizes[0];
    println!("| {} entries | |", 2 * count);
    println!("| --- | --- |");
    println!("| filled at | {:.0} sends/s |", *count as f64 / filled);
    println!("| octets a send, without archive | {} |", octets / count);
    println!("| octets a send, archive full (4 kB of text) | {} |", sizes[1].2 / sizes[1].1);
    let begun = Instant::now();
    let store = open(path, &clock, &signer, false);
    println!("| start after a clean stop | {:.3} s |", begun.elapsed().as_secs_f64());
    after_a_crash(folder, path, &clock, &signer);

    let begun = Instant::now();
    const PROOFS: u64 = 1_000;
    for at in 0..PROOFS {
        let number = at.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (2 * count);
        let window = Window { limit: 1, ..Window::default() };
        let found = store.page(About::Entry(number), &window).expect("a page").found;
        store.pack("bench", found).expect("a proof");
    }
    println!("| prove one entry | {:.3} ms |", begun.elapsed().as_secs_f64() * 1_000.0 / PROOFS as f64);

    let begun = Instant::now();
    let found = store.verify_all(&[]).expect("a check");
    assert!(found.is_sound(), "{:?}", found.problems);
    let took = begun.elapsed().as_secs_f64();
    println!("| check of everything | {took:.1} s, {:.0} entries/s |", found.entries as f64 / took);
    purge_beside_load(&store, &clock);
}

/// A copy of the open file is what a crash leaves behind.
fn after_a_crash(folder: &Path, path: &Path, clock: &Arc<ManualClock>, signer: &Signer) {
    for quick_repair in [false, true] {
        let crashed = folder.join("crashed.redb");
        std::fs::copy(path, &crashed).expect("a copy");
        let left = folder.join("left.redb");
        {
            let store = open(&crashed, clock, signer, quick_repair);
            store.write(vec![send(u64::MAX >> 20, false)]).expect("a commit");
            std::fs::copy(&crashed, &left).expect("what the crash left");
        }
        let begun = Instant::now();
        drop(open(&left, clock, signer, quick_repair));
        let took = begun.elapsed().as_secs_f64();
        println!("| start after a crash, quick_repair = {quick_repair} | {took:.3} s |");
    }
}

fn purge_beside_load(store: &Store, clock: &Arc<ManualClock>) {
    clock.set(months_after(epoch(), 61));
    let (scribe, closing) = store.start().expect("the writer");
    let load = |lasting: &dyn Fn() -> bool| {
        let (begun, mut slowest, mut done) = (Instant::now(), Duration::ZERO, 0u64);
        while lasting() {
            let one = Instant::now();
            scribe.record_blocking(send(1 << 40 | done, false)).expect("a commit");
            slowest = slowest.max(one.elapsed());
            done += 1;
        }
        (done as f64 / begun.elapsed().as_secs_f64(), slowest)
    };
    let begun = Instant::now();
    let (alone, _) = load(&|| begun.elapsed() < LASTING);
    let (stop, begun) = (std::sync::atomic::AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        let purge = scope.spawn(|| {
            let over = || begun.elapsed() > LASTING;
            let purged = store.purge(&over).expect("a purge");
            let took = begun.elapsed().as_secs_f64();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            purged as f64 / took
        });
        let (beside, slowest) = load(&|| !stop.load(std::sync::atomic::Ordering::Relaxed));
        let purged = purge.join().expect("the purge");
        println!(
            "| purge beside one writer | {purged:.0} entries/s; the writer {beside:.0} records/s instead of {alone:.0}, slowest {:.1} ms |",
            slowest.as_secs_f64() * 1_000.0
        );
    });
    drop(scribe);
    closing.join();
}
