//! The store: one redb file that holds the ledger, its projections, the spool and the originals.
//!
//! Everything of one record becomes durable in one write transaction, or nothing does. The writer (one
//! thread, [`Store::start`]) takes all records that wait into one commit; readers have their own
//! transactions and never wait for it. Projections change only in `apply`, which is also how they are
//! derived anew. What redb or the disk refuses is a [`RecordError`]: marketing is then deferred
//! (promise 5), and before the next commit the file is opened again and looked at, because a failed sync
//! does not say whether the commit stands. Deliberately absent: decisions, bytes on a wire, and any way
//! to change an entry.

mod apply;
mod backup;
mod disk;
mod erase;
mod error;
mod files;
mod find;
mod fsck;
mod guard;
mod inbox;
mod outbox;
mod prepare;
mod prove;
mod read;
mod recent;
mod recover;
mod refold;
mod reopen;
mod retain;
mod tables;
mod write;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use redb::{Database, ReadTransaction, ReadableDatabase as _};

use crate::clock::SharedClock;
use crate::ledger::checkpoint::Signer;
use crate::ledger::keeping::Retention;
use crate::ledger::{Batch, Book, EntryNumber, Ready, Record, RecordError, Scribe, Side};
use crate::policy::Unavailable;
use crate::secret::SharedEntropy;

pub use backup::BackupError;
pub use disk::{Disk, FileDisk};
pub use error::OpenError;
pub use files::{Packed, strip, unpack};
pub use find::{About, Page, Window};
pub use fsck::Findings;
pub use guard::is_guarded;
pub use read::{Archived, Found, ImportPlace, Known};
pub use recover::Recovered;
pub use retain::Hold;

use guard::{caught, guarded};
use recent::Recent;
use write::Writer;

/// How to run a store.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The key that signs checkpoints; its name is the gateway's, and the origin of every entry.
    pub signer: Signer,
    /// Octets that redb may keep in memory.
    pub cache_bytes: usize,
    /// From this size of the file on, in octets, the allocator's state is saved with each commit: a start after a crash
    /// does not walk the file, and each commit costs a second sync.
    pub quick_repair: u64,
    /// Records that may wait for the writer.
    pub queue: usize,
    /// Records in one commit, at most.
    pub max_batch: usize,
    /// A checkpoint is signed at least this often, while anything happens.
    pub checkpoint_every: Duration,
    /// How long entries are kept.
    pub retention: Retention,
    /// Entries of one evidence pack, at most: they stand in memory together.
    pub pack_entries: usize,
}

/// A file of this size, in octets, is walked in about a second (docs/decisions/0033).
pub const QUICK_REPAIR: u64 = 1 << 30;

impl Settings {
    /// The defaults, for the gateway that `signer` names.
    pub fn new(signer: Signer) -> Self {
        Self {
            signer,
            cache_bytes: 32 * 1024 * 1024,
            quick_repair: QUICK_REPAIR,
            queue: 1024,
            max_batch: 512,
            checkpoint_every: Duration::from_secs(60),
            retention: Retention::default(),
            pack_entries: 50_000,
        }
    }
}

/// A handle on the store; clones share it. Implements `policy::Register` and `relay::SpoolView`.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    disk: Box<dyn Disk>,
    /// `None` between a failed write and the next time the file could be opened.
    database: RwLock<Option<Database>>,
    writer: Mutex<Writer>,
    recent: Recent,
    settings: Settings,
    clock: SharedClock,
    entropy: SharedEntropy,
}

impl Drop for Inner {
    /// Closing writes as well: a file that is damaged must not take the process with it.
    fn drop(&mut self) {
        let database = self.database.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Err(why) = caught(|| drop(database)) {
            tracing::error!(why, "the store could not be closed well");
        }
    }
}

/// The writer's thread; join it after the last [`Scribe`] is gone, to be sure that the final checkpoint
/// is on disk.
#[derive(Debug)]
pub struct Closing(Vec<thread::JoinHandle<()>>);

impl Closing {
    /// Wait until the last record and the final checkpoint are durable. Blocks.
    pub fn join(self) {
        for thread in self.0 {
            if thread.join().is_err() {
                tracing::error!("the ledger's writer ended by a panic");
            }
        }
    }
}

impl Store {
    /// Open the store at `path`, or make one there (mode 0600, in a folder that exists).
    pub fn open(
        path: &Path,
        settings: Settings,
        clock: SharedClock,
        entropy: SharedEntropy,
    ) -> Result<Self, OpenError> {
        Self::open_on(Box::new(FileDisk::new(path)), settings, clock, entropy)
    }

    /// Open the store on any disk.
    pub fn open_on(
        disk: Box<dyn Disk>,
        settings: Settings,
        clock: SharedClock,
        entropy: SharedEntropy,
    ) -> Result<Self, OpenError> {
        let (database, writer) = Writer::open(&*disk, &settings, &*entropy)?;
        Ok(Self {
            inner: Arc::new(Inner {
                disk,
                database: RwLock::new(Some(database)),
                writer: Mutex::new(writer),
                recent: Recent::new(),
                settings,
                clock,
                entropy,
            }),
        })
    }

    /// Start the writer. It ends when every [`Scribe`] is gone, and signs a last checkpoint.
    pub fn start(&self) -> std::io::Result<(Scribe, Closing)> {
        let settings = &self.inner.settings;
        let (scribe, inbox) = Scribe::channel(settings.queue);
        let (ended, end) = std::sync::mpsc::channel::<()>();
        let (every, weak) = (settings.checkpoint_every, scribe.downgrade());
        let minute = thread::Builder::new().name("checkpoint".to_owned()).spawn(move || {
            while end.recv_timeout(every) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let Some(scribe) = weak.upgrade() else { break };
                let wish = Record { events: Vec::new(), sides: vec![Side::Checkpoint] };
                if let Err(error) = scribe.record_blocking(wish) {
                    tracing::error!(%error, "no checkpoint");
                }
            }
        })?;
        let (mut book, max_batch) = (self.clone(), settings.max_batch);
        let writer = thread::Builder::new().name("ledger".to_owned()).spawn(move || {
            inbox.serve(&mut book, max_batch);
            if let Err(error) = book.checkpoint() {
                tracing::error!(%error, "no final checkpoint");
            }
            drop(ended);
        })?;
        Ok((scribe, Closing(vec![writer, minute])))
    }

    /// Write records without a running writer: command line, start-up. Blocks for one commit.
    pub fn write(&self, records: Vec<Record>) -> Result<Vec<EntryNumber>, RecordError> {
        let batch = records.into_iter().map(Ready::new).collect::<Result<Batch, _>>()?;
        self.commit_batch(&batch)
    }

    /// Write `batch` in one durable transaction.
    fn commit_batch(&self, batch: &[Ready]) -> Result<Vec<EntryNumber>, RecordError> {
        let mut writer = self.writer();
        self.reopen_if_closed(&mut writer)?;
        self.commit_locked(&mut writer, batch)
    }

    /// Sign a checkpoint now, if anything happened since the last one. Blocks for one commit.
    pub fn checkpoint(&self) -> Result<(), RecordError> {
        self.write(vec![Record { events: Vec::new(), sides: vec![Side::Checkpoint] }]).map(drop)
    }

    /// The name of the gateway: the origin of its entries and checkpoints.
    pub fn origin(&self) -> &str {
        self.inner.settings.signer.name()
    }

    /// The public key that checks its checkpoints.
    pub fn verifier(&self) -> &str {
        self.inner.settings.signer.verifier()
    }

    fn transaction(&self) -> Result<ReadTransaction, Unavailable> {
        let database = self.inner.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database
            .as_ref()
            .ok_or_else(|| Unavailable("the store is closed after a disk error".to_owned()))?;
        Ok(guarded(|| Ok(database.begin_read()?))?)
    }

    /// A panic while writing leaves the tip as it was before the batch: it is replaced only after a
    /// commit, so a poisoned lock guards sound data.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file it lies in.
    pub fn path(&self) -> PathBuf {
        self.inner.disk.path()
    }
}

impl Book for Store {
    fn commit(&mut self, batch: &mut Batch) -> Result<Vec<EntryNumber>, RecordError> {
        self.commit_batch(batch)
    }
}
