//! The one pen.
//!
//! Sessions hand [`Record`]s to a [`Scribe`]; one writer takes all that wait and commits them together
//! (group commit), so that fifty sessions pay for one sync. `record` returns when its record is durable.

use std::borrow::Cow;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::codec::{CodecError, Squeezed};
use super::event::{EntryNumber, Event};
use super::pieces;
use super::record::{Keep, Record, Side};
use crate::mail::CopyId;

/// Why a record is not durable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The store said no (disk full, IO error); nothing of the record was written.
    #[error("the ledger cannot be written: {0}")]
    Store(String),
    /// The writer has stopped; nothing was written.
    #[error("the ledger is closed")]
    Closed,
}

/// A handle on the pen; clones share it.
#[derive(Debug, Clone)]
pub struct Scribe {
    queue: mpsc::Sender<Pending>,
}

/// A handle that does not keep the pen open.
#[derive(Debug, Clone)]
pub struct WeakScribe {
    queue: mpsc::WeakSender<Pending>,
}

/// A record with the work done that needs no lock: its entries spelled as JSON and compressed, its
/// original compressed if it will be archived. Made on the caller's side of the queue, so that the one
/// writer only hashes and writes.
#[derive(Debug)]
pub struct Ready {
    record: Record,
    entries: Vec<Spelled>,
    sides: Vec<Option<Squeezed>>,
}

/// An event as it will stand in its entry, after the [`head`](super::head).
#[derive(Debug)]
pub struct Spelled {
    /// The exact bytes, for the leaf.
    pub json: Vec<u8>,
    /// The same, as they are stored.
    pub stored: Squeezed,
}

impl Spelled {
    /// Spell out and compress `event`.
    pub fn new(event: &Event) -> Result<Self, serde_json::Error> {
        let json = event.to_json()?;
        let stored = Squeezed::new(Cow::Borrowed(&json));
        Ok(Self { json, stored })
    }
}

/// Where the answer to a record goes: the number of its first entry.
type Waiting = oneshot::Sender<Result<EntryNumber, RecordError>>;

/// A record that waits for its commit.
#[derive(Debug)]
struct Pending {
    record: Ready,
    done: Waiting,
}

/// What goes into one commit.
struct Gathered {
    batch: Batch,
    waiting: Vec<Waiting>,
    weight: usize,
    /// Taken from the queue, and too heavy for this commit.
    ahead: Option<Pending>,
}

impl From<Pending> for Gathered {
    fn from(first: Pending) -> Self {
        let weight = first.record.weight();
        Self { batch: vec![first.record], waiting: vec![first.done], weight, ahead: None }
    }
}

impl Gathered {
    fn add(&mut self, next: Pending) {
        self.weight += next.record.weight();
        if self.weight > Inbox::MAX_BATCH_BYTES {
            self.ahead = Some(next);
        } else {
            self.batch.push(next.record);
            self.waiting.push(next.done);
        }
    }
}

/// The writer's end of the queue.
#[derive(Debug)]
pub struct Inbox {
    queue: mpsc::Receiver<Pending>,
    /// Where those who wait run, if they run on tokio.
    runtime: Option<Handle>,
}

/// The records of one commit; each derefs to its [`Record`].
pub type Batch = Vec<Ready>;

/// What the store implements: append records durably, all or nothing, and say the number of each
/// record's first entry (the size of the tree, for a record without entries).
pub trait Book: Send + 'static {
    /// Commit `batch` in one durable transaction.
    fn commit(&mut self, batch: &mut Batch) -> Result<Vec<EntryNumber>, RecordError>;
}

impl Ready {
    /// Spell out and compress `record`. Fails only on an event that cannot be written as JSON.
    pub fn new(record: Record) -> Result<Self, RecordError> {
        log_facts(&record);
        let entries =
            record.events.iter().map(Spelled::new).collect::<Result<_, serde_json::Error>>().map_err(
                |error| RecordError::Store(format!("an entry cannot be written as JSON: {error}")),
            )?;
        let archived = |hash: &[u8; 32]| {
            record.sides.iter().any(|side| {
                matches!(side, Side::Edits { original_sha256, keep: Keep::Full, .. } if original_sha256 == hash)
            })
        };
        let waits = |copy: &CopyId| {
            record.sides.iter().any(|side| matches!(side, Side::Spool(spooled) if spooled.copy == *copy))
        };
        let ready = |side: &Side| match side {
            // What leaves the store again with its copy is not worth the time.
            Side::Original { sha256, bytes } if archived(sha256) => {
                Ok(Some(Squeezed::new(Cow::Borrowed(bytes))))
            }
            Side::Original { bytes, .. } => Ok(Some(Squeezed::plain(&bytes[..]))),
            Side::Edits { copy, rope, keep, .. } if *keep == Keep::Full || waits(copy) => {
                pieces::write(rope).map(Some)
            }
            Side::Edits { .. }
            | Side::Spool(_)
            | Side::Unspool(_)
            | Side::Owe(..)
            | Side::Defer(..)
            | Side::Paid(_)
            | Side::Letter(_)
            | Side::Filed(_)
            | Side::Erase(_)
            | Side::Forget(_)
            | Side::Checkpoint => Ok(None),
        };
        let sides = record.sides.iter().map(ready).collect::<Result<_, CodecError>>();
        let sides =
            sides.map_err(|error| RecordError::Store(format!("a copy cannot be written: {error}")))?;
        Ok(Self { record, entries, sides })
    }

    /// Its events, each with its JSON.
    pub fn entries(&self) -> impl Iterator<Item = (&Event, &Spelled)> {
        self.record.events.iter().zip(&self.entries)
    }

    /// Its sides; an original comes with its stored form, and so do the pieces of a copy that will be kept.
    pub fn sides(&self) -> impl Iterator<Item = (&Side, Option<&Squeezed>)> {
        self.record.sides.iter().zip(self.sides.iter().map(Option::as_ref))
    }

    /// About how many octets it adds to a commit.
    fn weight(&self) -> usize {
        let entries = self.entries.iter().map(|entry| &entry.stored);
        entries.chain(self.sides.iter().flatten()).map(Squeezed::stored_len).sum()
    }
}

impl std::ops::Deref for Ready {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

impl Scribe {
    /// A pen and the inbox its writer reads; at most `capacity` records wait. To be made within the runtime
    /// of those who will wait, if there is one.
    pub fn channel(capacity: usize) -> (Self, Inbox) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Self { queue: sender }, Inbox { queue: receiver, runtime: Handle::try_current().ok() })
    }

    /// Hand `record` over without waiting until it is durable: for facts that no promise hangs on
    /// (refusals at RCPT). Waits only while the queue is full.
    pub async fn post(&self, record: Record) -> Result<(), RecordError> {
        let (done, _) = oneshot::channel();
        let record = Ready::new(record)?;
        self.queue.send(Pending { record, done }).await.map_err(|_| RecordError::Closed)
    }

    /// Write `record`; durable when this returns `Ok`. Cancelling the wait does not cancel the write.
    pub async fn record(&self, record: Record) -> Result<EntryNumber, RecordError> {
        let (done, answer) = oneshot::channel();
        let record = Ready::new(record)?;
        self.queue.send(Pending { record, done }).await.map_err(|_| RecordError::Closed)?;
        let answer = answer.await.map_err(|_| RecordError::Closed)?;
        if let Err(error) = &answer {
            tracing::error!(%error, "not recorded");
        }
        answer
    }

    /// [`Scribe::record`] for a thread that may block: command line, background threads.
    pub fn record_blocking(&self, record: Record) -> Result<EntryNumber, RecordError> {
        let (done, answer) = oneshot::channel();
        let record = Ready::new(record)?;
        self.queue.blocking_send(Pending { record, done }).map_err(|_| RecordError::Closed)?;
        answer.blocking_recv().map_err(|_| RecordError::Closed)?
    }

    /// A handle that does not keep the writer waiting for more.
    pub fn downgrade(&self) -> WeakScribe {
        WeakScribe { queue: self.queue.downgrade() }
    }
}

impl WeakScribe {
    /// The pen, unless it was closed.
    pub fn upgrade(&self) -> Option<Scribe> {
        self.queue.upgrade().map(|queue| Scribe { queue })
    }
}

/// One line per fact, on the caller's side, where the log knows the session.
fn log_facts(record: &Record) {
    // An import of a million rows leaves room in the log for other things.
    const LOGGED: usize = 50;
    for event in record.events.iter().take(LOGGED) {
        tracing::info!(kind = event.kind().0, "{}", event.summary());
    }
    if record.events.len() > LOGGED {
        tracing::info!(facts = record.events.len(), "the rest of a record is in the ledger only");
    }
}

impl Inbox {
    /// Octets that one commit carries, unless its first record alone is larger.
    pub const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;

    /// How often a commit looks, at most, whether it has become as large as the one before it. On a busy
    /// machine the half millisecond in which sessions go on saves commits, and each costs every session
    /// behind it more than that. A record that was alone waits for nobody.
    const LOOKS: u32 = 5;
    /// How long between two looks.
    const PAUSE: Duration = Duration::from_micros(100);

    /// Serve `book` until every [`Scribe`] is gone: blocks the calling thread. Takes all records that
    /// wait, at most `max_batch` and [`Inbox::MAX_BATCH_BYTES`], into one commit; what comes meanwhile
    /// waits for the next. When a commit fails, everybody in it is told, and the next is tried afresh.
    pub fn serve(mut self, book: &mut impl Book, max_batch: usize) {
        let mut ahead = None;
        let mut expected = 1;
        while let Some(first) = ahead.take().or_else(|| self.queue.blocking_recv()) {
            let mut gathered = Gathered::from(first);
            self.gather(&mut gathered, expected.min(max_batch), max_batch);
            let Gathered { mut batch, waiting, .. } = gathered;
            ahead = gathered.ahead;
            expected = batch.len();
            let answer = book.commit(&mut batch);
            // The records go before the answers, so that a session that is answered finds its memory free.
            drop(batch);
            self.tell(waiting, answer);
        }
    }

    /// Take what waits, and wait for a moment until it is as much as expected.
    fn gather(&mut self, gathered: &mut Gathered, expected: usize, max_batch: usize) {
        for look in 0..=Self::LOOKS {
            while gathered.ahead.is_none() && gathered.batch.len() < max_batch {
                let Ok(next) = self.queue.try_recv() else { break };
                gathered.add(next);
            }
            let enough = gathered.ahead.is_some() || gathered.batch.len() >= expected;
            if enough || look == Self::LOOKS || self.queue.is_closed() {
                return;
            }
            std::thread::sleep(Self::PAUSE);
        }
    }

    /// Answer those who waited for a commit. Many are answered from within their runtime, which then wakes
    /// them without a system call for each.
    fn tell(&self, waiting: Vec<Waiting>, answer: Result<Vec<EntryNumber>, RecordError>) {
        let many = waiting.len() > 1;
        let tell = move || match answer {
            Ok(numbers) => {
                for (done, number) in waiting.into_iter().zip(numbers) {
                    // Whoever stopped waiting does not want to know.
                    let _ = done.send(Ok(number));
                }
            }
            Err(error) => {
                for done in waiting {
                    let _ = done.send(Err(error.clone()));
                }
            }
        };
        match &self.runtime {
            Some(runtime) if many => drop(runtime.spawn(async move { tell() })),
            _ => tell(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// Writes down how large each batch was; fails those that are told to.
    struct Diary {
        batches: Vec<usize>,
        fail: Vec<usize>,
        size: u64,
    }

    impl Book for Diary {
        fn commit(&mut self, batch: &mut Batch) -> Result<Vec<EntryNumber>, RecordError> {
            self.batches.push(batch.len());
            if self.fail.contains(&self.batches.len()) {
                return Err(RecordError::Store("disk full".to_owned()));
            }
            let first = self.size;
            self.size += batch.len() as u64;
            Ok((first..self.size).collect())
        }
    }

    fn fact(origin: &str) -> Record {
        Record::of(Event::ConfigInForce {
            rules_sha256: origin.to_owned(),
            mode: "enforce".to_owned(),
            version: "0".to_owned(),
        })
    }

    #[test]
    fn what_waits_shares_a_commit_and_a_failure_ends_with_its_batch() {
        let (scribe, inbox) = Scribe::channel(64);
        let mut answers = Vec::new();
        for number in 0..10 {
            let (done, answer) = oneshot::channel();
            let record = Ready::new(fact(&number.to_string())).unwrap();
            scribe.queue.try_send(Pending { record, done }).unwrap();
            answers.push(answer);
        }
        drop(scribe);
        let mut diary = Diary { batches: Vec::new(), fail: vec![2], size: 0 };
        inbox.serve(&mut diary, 4);
        assert_eq!(diary.batches, [4, 4, 2]);
        let answers: Vec<_> = answers.into_iter().map(|answer| answer.blocking_recv().unwrap()).collect();
        assert_eq!(answers[3], Ok(3));
        assert!(
            answers[4..8].iter().all(|answer| *answer == Err(RecordError::Store("disk full".to_owned())))
        );
        assert_eq!(answers[8..], [Ok(4), Ok(5)]);
    }

    #[test]
    fn a_batch_is_bounded_in_octets_and_loses_nothing() {
        let (scribe, inbox) = Scribe::channel(64);
        let mut answers = Vec::new();
        for _ in 0..5 {
            let bytes = Bytes::from(vec![b'x'; 6 * 1024 * 1024]);
            let record =
                Record { events: Vec::new(), sides: vec![Side::Original { sha256: [0; 32], bytes }] };
            let (done, answer) = oneshot::channel();
            scribe.queue.try_send(Pending { record: Ready::new(record).unwrap(), done }).unwrap();
            answers.push(answer);
        }
        drop(scribe);
        let mut diary = Diary { batches: Vec::new(), fail: Vec::new(), size: 0 };
        inbox.serve(&mut diary, 100);
        assert_eq!(diary.batches, [2, 2, 1]);
        assert!(answers.into_iter().all(|answer| answer.blocking_recv().unwrap().is_ok()));
    }

    #[tokio::test]
    async fn a_closed_pen_says_so() {
        let (scribe, inbox) = Scribe::channel(1);
        drop(inbox);
        assert_eq!(scribe.record(fact("")).await, Err(RecordError::Closed));
        assert_eq!(scribe.post(fact("")).await, Err(RecordError::Closed));
    }
}
