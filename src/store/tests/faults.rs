//! A disk that fails on the n-th call, for every n: nothing that was acknowledged is lost, nothing is half
//! written, and what was refused does not go out behind the client's back.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use redb::{Builder, StorageBackend};

use super::*;

/// What survives a crash, and what only the operating system has seen.
#[derive(Debug, Default)]
struct Platter {
    seen: Vec<u8>,
    synced: Vec<u8>,
}

/// A disk in memory. Counts its calls and fails from the chosen one on, for as long as told.
#[derive(Debug, Clone)]
struct FaultyDisk {
    platter: Arc<Mutex<Platter>>,
    calls: Arc<AtomicUsize>,
    fail_from: Arc<AtomicUsize>,
    failures: Arc<AtomicUsize>,
    failed: Arc<AtomicBool>,
}

impl FaultyDisk {
    fn new() -> Self {
        Self {
            platter: Arc::default(),
            calls: Arc::default(),
            fail_from: Arc::new(AtomicUsize::new(usize::MAX)),
            failures: Arc::default(),
            failed: Arc::default(),
        }
    }

    fn fail(&self, from: usize, failures: usize) {
        self.calls.store(0, Ordering::SeqCst);
        self.failed.store(false, Ordering::SeqCst);
        self.fail_from.store(from, Ordering::SeqCst);
        self.failures.store(failures, Ordering::SeqCst);
    }

    /// The power goes: what was not synced is gone.
    fn crash(&self) {
        let mut platter = self.platter.lock().unwrap();
        platter.seen = platter.synced.clone();
    }

    fn call(&self) -> io::Result<()> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let from = self.fail_from.load(Ordering::SeqCst);
        if call >= from && call - from < self.failures.load(Ordering::SeqCst) {
            self.failed.store(true, Ordering::SeqCst);
            return Err(io::Error::new(io::ErrorKind::StorageFull, "disk full"));
        }
        Ok(())
    }
}

impl StorageBackend for FaultyDisk {
    fn len(&self) -> io::Result<u64> {
        self.call()?;
        Ok(self.platter.lock().unwrap().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.call()?;
        let platter = self.platter.lock().unwrap();
        let from = offset as usize;
        let bytes = platter.seen.get(from..from + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.call()?;
        self.platter.lock().unwrap().seen.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.call()?;
        let mut platter = self.platter.lock().unwrap();
        platter.synced = platter.seen.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.call()?;
        let from = offset as usize;
        self.platter.lock().unwrap().seen[from..from + data.len()].copy_from_slice(data);
        Ok(())
    }
}

impl Disk for FaultyDisk {
    fn open(&self, cache_bytes: usize) -> Result<Database, OpenError> {
        Builder::new()
            .set_cache_size(cache_bytes)
            .create_with_backend(self.clone())
            .map_err(|error| OpenError::from_redb(self.path(), error))
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("a faulty disk")
    }
}

fn open(rig: &Rig, disk: &FaultyDisk) -> Result<Store, OpenError> {
    let settings = Settings { cache_bytes: 1024 * 1024, ..rig.settings() };
    Store::open_on(Box::new(disk.clone()), settings, rig.clock.clone(), Arc::new(SystemEntropy))
}

/// Eight submissions to a disk that fails `failures` times from call `from` on; a restart; a look at what
/// is there. Gives whether the disk failed at all.
fn run(from: usize, failures: usize, crash: bool) -> bool {
    let rig = Rig::new();
    let disk = FaultyDisk::new();
    let store = open(&rig, &disk).unwrap();
    disk.fail(from, failures);
    let mut acknowledged = Vec::new();
    let mut refused = Vec::new();
    for submission in 0..8 {
        let state = SpoolState::Waiting { next: at(0) };
        let record = spooling(copy(submission, 0), &["a@x.nl"], state, Keep::Full);
        match store.write(vec![record]) {
            Ok(numbers) => acknowledged.push((copy(submission, 0), numbers[0])),
            Err(RecordError::Store(_)) => refused.push(copy(submission, 0)),
            Err(RecordError::Closed) => panic!("nobody closed it"),
        }
        rig.clock.set(at(i64::from(submission) * 5));
    }
    let failed = disk.failed.load(Ordering::SeqCst);
    // The disk is well again.
    disk.fail(usize::MAX, 0);
    if !crash {
        // The next record looks at what became of the last one.
        let _ = store.write(vec![Record::of(unsubscribed("bob@example.org"))]);
    }
    if crash {
        disk.crash();
        // Whatever the dying process would still write is not written.
        let kept = disk.platter.lock().unwrap().synced.clone();
        drop(store);
        *disk.platter.lock().unwrap() = Platter { seen: kept.clone(), synced: kept };
    } else {
        drop(store);
    }
    let store = open(&rig, &disk).unwrap();
    let context = format!("failing {failures} times from call {from}, crash: {crash}");
    assert_eq!(store.verify_all(&[]).unwrap().problems, Vec::<String>::new(), "{context}");
    for (copy, number) in acknowledged {
        let found = store.entries(number..number + 1).unwrap();
        assert_eq!(found[0].entry.event.copy(), Some(copy), "{context}: an acknowledged entry");
        let (_, bytes) = store.load(copy).unwrap().expect("an acknowledged copy");
        assert_eq!(bytes.to_vec(), rope("X-Own: 1\r\n").to_vec(), "{context}");
    }
    if !crash {
        for copy in refused {
            assert_eq!(store.load(copy).unwrap(), None, "{context}: a refused copy waits in the spool");
            let told = store.by_copy(copy, 10).unwrap();
            let cancelled = told.last().is_none_or(|last| matches!(last.entry.event, Event::Cancelled(_)));
            assert!(cancelled, "{context}: {told:?}");
        }
    }
    failed
}

#[test]
fn promise_2_no_failing_call_of_the_disk_loses_what_was_acknowledged() {
    for (failures, crash) in [(1, false), (1, true), (25, false), (usize::MAX / 2, true)] {
        let mut from = 0;
        while run(from, failures, crash) {
            from += if from < 40 { 1 } else { 7 };
        }
        assert!(from > 40, "the disk was asked {from} times");
    }
}

#[test]
fn promise_5_a_full_disk_refuses_and_a_disk_with_room_goes_on() {
    let rig = Rig::new();
    let disk = FaultyDisk::new();
    let store = open(&rig, &disk).unwrap();
    let fact = || vec![Record::of(unsubscribed("bob@example.org"))];
    store.write(fact()).unwrap();
    disk.fail(0, usize::MAX);
    let error = store.write(fact()).unwrap_err();
    assert!(error.to_string().contains("disk full"), "{error}");
    assert!(store.profile(&sender(), &key("bob@example.org")).is_err(), "closed, and says so");
    assert!(store.write(fact()).is_err());
    disk.fail(usize::MAX, 0);
    assert!(store.write(fact()).is_err(), "not asked again within the second");
    rig.clock.set(at(3));
    assert_eq!(store.write(fact()), Ok(vec![1]), "goes on where it was");
    assert_eq!(store.profile(&sender(), &key("bob@example.org")).unwrap().suppressions.len(), 1);
    sound(&store);
}
