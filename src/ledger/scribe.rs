//! The one pen.
//!
//! Sessions hand [`Record`]s to a [`Scribe`]; one writer takes all that wait and commits them together
//! (group commit), so that fifty sessions pay for one sync. `record` returns when its record is durable.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::event::{EntryNumber, Event};
use crate::mail::{Class, CopyId, Purpose, Recipient, Ret, ReversePath, SenderId};
use crate::message::Rope;

/// One thing to be written: entries, and what must become durable with them. Either all of it or none.
#[derive(Debug, Default)]
pub struct Record {
    /// Entries, in order.
    pub events: Vec<Event>,
    /// What goes into the same commit.
    pub sides: Vec<Side>,
}

/// What becomes durable in the same commit as an entry, but is not itself one.
#[derive(Debug)]
pub enum Side {
    /// The message as the client gave it, kept for rebuilding what was sent; stored once by its hash.
    Original {
        /// SHA-256 of the bytes.
        sha256: [u8; 32],
        /// The bytes.
        bytes: Bytes,
    },
    /// The pieces of a copy that are not in the original, so that its exact bytes can be rebuilt.
    Edits {
        /// The copy.
        copy: CopyId,
        /// Its pieces.
        rope: Rope,
    },
    /// Put a copy into the spool, or replace what the spool knows of it.
    Spool(Box<Spooled>),
    /// Take a copy out of the spool.
    Unspool(CopyId),
}

/// A copy in the spool. Its bytes are rebuilt from the original and the edits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spooled {
    /// The copy.
    pub copy: CopyId,
    /// What it is.
    pub class: Class,
    /// Whom it is sent for: asked again before each try, for marketing.
    pub sender: Option<SenderId>,
    /// What it is about.
    pub purpose: Option<Purpose>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// Recipients that still wait.
    pub recipients: Vec<Recipient>,
    /// `RET=`.
    pub ret: Option<Ret>,
    /// `ENVID=`.
    pub envid: Option<String>,
    /// SHA-256 of the message as the client gave it.
    pub original_sha256: [u8; 32],
    /// Whether it has octets over 127, and whether its headers or envelope need SMTPUTF8.
    pub eight_bit: bool,
    /// Needs SMTPUTF8 at the next hop.
    pub smtputf8: bool,
    /// Where it stands.
    pub state: SpoolState,
    /// Tries so far.
    pub attempts: u32,
    /// When it came.
    pub admitted_at: Timestamp,
    /// When it is given up.
    pub expires_at: Timestamp,
    /// The last failure, in the next hop's words.
    pub last_reply: String,
}

/// Where a spooled copy stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpoolState {
    /// Being tried: after a crash, in doubt.
    Trying,
    /// To be tried at this time.
    Waiting {
        /// When.
        next: Timestamp,
    },
    /// Held by an administrator or by `in_doubt = "hold"`.
    Held,
}

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

/// A record that waits for its commit.
#[derive(Debug)]
pub struct Pending {
    /// What is to be written.
    pub record: Record,
    /// Where the answer goes: the number of its first entry.
    pub done: oneshot::Sender<Result<EntryNumber, RecordError>>,
}

/// The writer's end of the queue.
#[derive(Debug)]
pub struct Inbox {
    queue: mpsc::Receiver<Pending>,
}

/// The records of one commit.
pub type Batch = Vec<Record>;

/// What the store implements: append records durably, all or nothing, and say the number of each
/// record's first entry (the size of the tree, for a record without entries).
pub trait Book: Send + 'static {
    /// Commit `batch` in one durable transaction.
    fn commit(&mut self, batch: &mut Batch) -> Result<Vec<EntryNumber>, RecordError>;
}

impl Scribe {
    /// A pen and the inbox its writer reads; at most `capacity` records wait.
    pub fn channel(capacity: usize) -> (Self, Inbox) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Self { queue: sender }, Inbox { queue: receiver })
    }

    /// Hand `record` over without waiting until it is durable: for facts that no promise hangs on
    /// (refusals at RCPT). Waits only while the queue is full.
    pub async fn post(&self, record: Record) -> Result<(), RecordError> {
        let (done, _) = oneshot::channel();
        self.queue.send(Pending { record, done }).await.map_err(|_| RecordError::Closed)
    }

    /// Write `record`; durable when this returns `Ok`. Cancelling the wait does not cancel the write.
    pub async fn record(&self, record: Record) -> Result<EntryNumber, RecordError> {
        let (done, answer) = oneshot::channel();
        self.queue.send(Pending { record, done }).await.map_err(|_| RecordError::Closed)?;
        answer.await.map_err(|_| RecordError::Closed)?
    }
}

impl Inbox {
    /// Serve `book` until every [`Scribe`] is gone: blocks the calling thread. Takes all records that
    /// wait, at most `max_batch`, into one commit.
    pub fn serve(self, _book: &mut impl Book, _max_batch: usize) {
        let _ = &self.queue;
        unimplemented!("room ledger")
    }
}
