//! The spool: waiting copies are tried on time, within bounds, and never without a permit.
//!
//! A copy is on the disk from the commit that admits it until the commit that says what became of it
//! (promise 2), and is marked as being tried before its first byte goes (promise 1). Before each try the
//! permits are asked for again, so an unsubscribe meanwhile cancels it (promise 6). In memory there are
//! only the copies that are being tried. Deliberately absent: tables (the store's) and SMTP (the pool's).

mod first;
mod outcome;
mod worker;

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, Semaphore, watch};

use super::dsn::{self, Returned};
use super::{Relay, SpoolSettings, SpoolView, notice};
use crate::clock::SharedClock;
use crate::ledger::{Event, Outcome, Record, Scribe, Side, SpoolState};
use crate::mail::{Class, CopyId, Language, Reference, SenderId};
use crate::policy::{Register, Rules, Unavailable};
use crate::secret::{SharedEntropy, random};
use crate::shutdown::Shutdown;

pub use first::FirstTry;

/// What the spool is built from.
#[derive(Debug)]
pub struct Parts {
    /// The next hop.
    pub relay: Relay,
    /// The disk, to read.
    pub view: Arc<dyn SpoolView>,
    /// The pen.
    pub scribe: Scribe,
    /// Who may be mailed: asked again before each try.
    pub register: Arc<dyn Register>,
    /// The rules in force; a reload sends new ones.
    pub rules: watch::Receiver<Arc<Rules>>,
    /// Whether the unsubscribe endpoint answers its own health check (RULES L8).
    pub unsubscribe_up: Arc<AtomicBool>,
    /// The time.
    pub clock: SharedClock,
    /// Randomness: jitter, ids, boundaries.
    pub entropy: SharedEntropy,
    /// The stop signal; tries that are under way hold it up until they are recorded.
    pub shutdown: Shutdown,
    /// How copies are tried again.
    pub settings: SpoolSettings,
}

/// A handle on the spool; clones share it.
#[derive(Debug, Clone)]
pub struct Spool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    parts: Parts,
    /// Copies that some task of this process is trying.
    in_flight: Mutex<HashSet<CopyId>>,
    /// Tries of the background worker.
    slots: Arc<Semaphore>,
    /// Something new waits, or something finished.
    work: Notify,
}

/// What was found at start-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resumed {
    /// Copies that wait.
    pub waiting: u64,
    /// Copies that were being tried when the gateway stopped.
    pub in_doubt: u64,
    /// Copies that are held.
    pub held: u64,
}
