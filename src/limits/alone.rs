//! One at a time, by key, without a table of keys.

use std::hash::{BuildHasher, Hash, RandomState};

use tokio::sync::{Mutex, MutexGuard};

/// Locks over keys, so that two requests about one thing at the same moment follow each other. More of them than
/// are under way at once as a rule, so that strangers seldom wait for each other.
const LOCKS: usize = 1_024;

/// The right to be the only one who changes what a key stands for.
#[derive(Debug)]
pub struct Alone {
    locks: Box<[Mutex<()>]>,
    hasher: RandomState,
}

impl Alone {
    /// Nobody is busy.
    pub fn new() -> Self {
        Self { locks: (0..LOCKS).map(|_| Mutex::new(())).collect(), hasher: RandomState::new() }
    }

    /// The sole right over `key`, until the guard is dropped.
    pub async fn with(&self, key: impl Hash) -> MutexGuard<'_, ()> {
        let lock = self.hasher.hash_one(key) as usize % LOCKS;
        self.locks[lock].lock().await
    }
}

impl Default for Alone {
    fn default() -> Self {
        Self::new()
    }
}
