//! The ledger alone: appends with real syncs, proofs, the check of everything, start-up, space, purging.
//!
//! `cargo bench --bench ledger` takes 20,000 sends; `-- --sends 5000000` (10,000,000 entries) is the size that
//! docs/benchmarks.md speaks of, `-- --folder /var/tmp` the disk. Prints Markdown; how far it is goes to standard error.
//!
//! Recipients and Message-IDs come in no order, as in a mailing: the indexes by them are where a large store hurts.
//! Filling ends after `--fill-minutes` (10), whatever came of it, and the tables say how many entries there are. At most
//! two copies of the store are on the disk at once: some 15 GB for 10,000,000 entries.

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
/// How often it is said how far a long step is.
const TOLD: Duration = Duration::from_secs(10);
/// Recipients: each gets a mail now and then.
const PEOPLE: u64 = 100_000;
/// Sends whose bytes are kept, at most: the space of one is measured, not that of a disk.
const KEPT: u64 = 20_000;

struct Asked {
    sends: u64,
    folder: PathBuf,
    filling: Duration,
}

fn asked() -> Asked {
    let filling = Duration::from_secs(600);
    let mut asked = Asked { sends: 20_000, folder: std::env::temp_dir(), filling };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--sends" => asked.sends = args.next().and_then(|n| n.parse().ok()).expect("a number of sends"),
            "--folder" => asked.folder = args.next().expect("a folder").into(),
            "--fill-minutes" => {
                let minutes: u64 = args.next().and_then(|n| n.parse().ok()).expect("a number of minutes");
                asked.filling = Duration::from_secs(60 * minutes);
            }
            _ => {}
        }
    }
    asked
}

/// Says now and then how far a step is.
struct Told {
    step: &'static str,
    begun: Instant,
    last: Instant,
}

impl Told {
    fn begin(step: &'static str) -> Self {
        Self { step, begun: Instant::now(), last: Instant::now() }
    }

    fn tell(&mut self, done: u64, all: u64) {
        if self.last.elapsed() >= TOLD {
            self.last = Instant::now();
            let seconds = self.begun.elapsed().as_secs_f64();
            eprintln!("{}: {done} of {all}, {:.0} a second", self.step, done as f64 / seconds);
        }
    }
}

/// A number that says nothing of its neighbours (splitmix64).
fn scrambled(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// The most memory this process ever had, in MiB, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()? / 1024)
}

fn main() {
    let asked = asked();
    let folder = tempfile::tempdir_in(&asked.folder).expect("a folder");
    appends(folder.path());
    filled(folder.path(), &asked);
}

fn epoch() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("a time")
}

fn open(path: &Path, clock: &Arc<ManualClock>, signer: &Signer, quick_repair: bool) -> Store {
    let quick_repair = if quick_repair { 0 } else { u64::MAX };
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
        random[2..].copy_from_slice(&scrambled(number).to_be_bytes());
        random
    });
    let copy = CopyId { reference, index: 0 };
    let who =
        Address::parse(&format!("lezer{}@example.org", scrambled(number) % PEOPLE)).expect("an address");
    // Where it is not kept, hashing it would be most of what filling a store takes.
    let lines = if kept { 100 } else { 1 };
    let text = format!(
        "From: Voorbeeld <nieuws@voorbeeld.nl>\r\nTo: {who}\r\nSubject: Nieuws {number}\r\n\r\n{}",
        "Een regel met het nieuws van deze maand.\r\n".repeat(lines)
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
        message_id: Some(format!("<{:016x}.{number}@voorbeeld.nl>", scrambled(number ^ 0x5a5a))),
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
    let rate = append(store, writers, 0);
    std::fs::remove_file(path).expect("the file goes");
    rate
}

/// Records a second of so many writers, which write sends that nobody wrote before in this `round`; closes the store.
fn append(store: Store, writers: u64, round: u64) -> f64 {
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
                        let number = round << 40 | writer << 32 | done;
                        scribe.record(send(number, false)).await.expect("a commit");
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
fn filled(folder: &Path, asked: &Asked) {
    let (clock, signer) = (Arc::new(ManualClock::at(epoch())), signer());
    let (kept, octets_kept, _) = fill(folder, asked, true, &clock, &signer);
    std::fs::remove_file(&kept.0).expect("the file goes");
    let (bare, octets, seconds) = fill(folder, asked, false, &clock, &signer);
    let (path, count) = (&bare.0, bare.1);
    println!("| {} entries | |", 2 * count);
    println!("| --- | --- |");
    println!("| filled at | {:.0} sends/s |", count as f64 / seconds);
    println!("| octets a send, without archive | {} |", octets / count);
    println!("| octets a send, archive full (4 kB of text, {} sends) | {} |", kept.1, octets_kept / kept.1);
    starts(folder, path, &clock, &signer);
    for (round, writers) in [(1, 1), (2, 50)] {
        for quick_repair in [false, true] {
            let store = open(path, &clock, &signer, quick_repair);
            let rate = append(store, writers, 2 * round + u64::from(quick_repair));
            println!("| {writers} writers more, quick_repair = {quick_repair} | {rate:.0} records/s |");
        }
    }

    let store = open(path, &clock, &signer, false);
    prove(&store, count);
    check(&store);
    purge_beside_load(&store, &clock);
    if let Some(mebibytes) = peak_memory() {
        let cache = Settings::new(signer).cache_bytes >> 20;
        println!("| most memory of all this | {mebibytes} MiB (a cache of {cache} MiB) |");
    }
}

/// A store that was filled and closed: its file and its sends, its octets, how many seconds it took.
fn fill(
    folder: &Path,
    asked: &Asked,
    kept: bool,
    clock: &Arc<ManualClock>,
    signer: &Signer,
) -> ((PathBuf, u64), u64, f64) {
    let path = folder.join(format!("filled-{kept}.redb"));
    let count = if kept { asked.sends.min(KEPT) } else { asked.sends };
    let store = open(&path, clock, signer, false);
    let (begun, mut done, mut told) = (Instant::now(), 0, Told::begin("filling, sends"));
    while done < count && begun.elapsed() < asked.filling {
        let end = count.min(done + BATCH);
        store.write((done..end).map(|number| send(number, kept)).collect()).expect("a commit");
        done = end;
        told.tell(done, count);
    }
    store.checkpoint().expect("a checkpoint");
    let seconds = begun.elapsed().as_secs_f64();
    if done < count {
        eprintln!("filling took too long: {done} of {count} sends");
    }
    drop(store);
    let octets = std::fs::metadata(&path).expect("the file").len();
    ((path, done), octets, seconds)
}

/// Start-up after a clean stop and after a crash, with and without quick_repair. What the file holds while the store is
/// open is what a crash leaves behind: a copy of it is started, and nothing else is on the disk meanwhile. Both are read
/// from the system's cache as far as that goes: what they wait for is the disk only where memory is short.
fn starts(folder: &Path, path: &Path, clock: &Arc<ManualClock>, signer: &Signer) {
    let left = folder.join("left.redb");
    for quick_repair in [false, true] {
        let store = open(path, clock, signer, quick_repair);
        // None of those that were filled in, and another one each time.
        let extra = (u64::MAX >> 20) - u64::from(quick_repair);
        store.write(vec![send(extra, false)]).expect("a commit");
        std::fs::copy(path, &left).expect("what a crash leaves");
        drop(store);
        let begun = Instant::now();
        let store = open(path, clock, signer, quick_repair);
        let took = begun.elapsed().as_secs_f64();
        drop(store);
        println!("| start after a clean stop, quick_repair = {quick_repair} | {took:.3} s |");
        let begun = Instant::now();
        let store = open(&left, clock, signer, quick_repair);
        let took = begun.elapsed().as_secs_f64();
        drop(store);
        println!("| start after a crash, quick_repair = {quick_repair} | {took:.3} s |");
        std::fs::remove_file(&left).expect("the copy goes");
    }
}

fn prove(store: &Store, count: u64) {
    const PROOFS: u64 = 1_000;
    let (begun, mut slowest) = (Instant::now(), Duration::ZERO);
    for at in 0..PROOFS {
        let one = Instant::now();
        let window = Window { limit: 1, ..Window::default() };
        let page = store.page(About::Entry(scrambled(at) % (2 * count)), &window).expect("a page");
        assert_eq!(page.found.len(), 1, "the entry is there");
        store.pack("bench", page.found).expect("a proof");
        slowest = slowest.max(one.elapsed());
    }
    let mean = begun.elapsed().as_secs_f64() * 1_000.0 / PROOFS as f64;
    let slowest = slowest.as_secs_f64() * 1_000.0;
    println!("| prove one entry of all, {PROOFS} at random | {mean:.3} ms, slowest {slowest:.1} ms |");
}

fn check(store: &Store) {
    let (begun, mut told) = (Instant::now(), Told::begin("checking, entries"));
    let found = store.verify_with(&[], &mut |done, all| told.tell(done, all)).expect("a check");
    assert!(found.is_sound(), "{:?}", found.problems);
    let took = begun.elapsed().as_secs_f64();
    println!("| check of everything | {took:.1} s, {:.0} entries/s |", found.entries as f64 / took);
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
