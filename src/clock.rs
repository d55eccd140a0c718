//! The only room that reads the system clock.
//!
//! Everything else is handed a [`Clock`], so that a test can live through seven years in a
//! millisecond. Instants are UTC [`Timestamp`]s; durations for timeouts stay with tokio's own clock.

use std::sync::{Arc, Mutex};

pub use jiff::Timestamp;

/// Tells what time it is. Cheap to call; never blocks.
pub trait Clock: Send + Sync + std::fmt::Debug + 'static {
    /// The present moment, UTC.
    fn now(&self) -> Timestamp;
}

/// A clock shared by many tasks.
pub type SharedClock = Arc<dyn Clock>;

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock standing at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Mutex::new(now))
    }

    /// Move to `now`, forwards or backwards.
    pub fn set(&self, now: Timestamp) {
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
