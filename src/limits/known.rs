//! From where an account was signed in to, lately.
//!
//! Whoever knows an account's name can fail to sign in to it ten times in a quarter of an hour. Without this its owner
//! would be locked out with him: clients that were right before are not held to the failures of others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;

/// How long a client is known by its last sign-in.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3600);

/// Clients with the accounts they were right about.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<(IpAddr, String), Timestamp>>);

impl Known {
    /// `client` was right about `account`. At most `most` are remembered; the older half goes first.
    pub(super) fn add(&self, client: IpAddr, account: String, now: Timestamp, most: usize) {
        let mut known = self.known();
        let key = (client, account);
        if known.len() >= most.max(2) && !known.contains_key(&key) {
            let mut times: Vec<Timestamp> = known.values().copied().collect();
            let middle = times.len() / 2;
            let (_, &mut median, _) = times.select_nth_unstable(middle);
            // Of equally old ones as many as need be.
            let mut excess = middle.max(1);
            known.retain(|_, since| {
                let forget = *since <= median && excess > 0;
                excess -= usize::from(forget);
                !forget
            });
        }
        known.insert(key, now);
    }

    /// Whether `client` was right about `account` lately.
    pub(super) fn has(&self, client: IpAddr, account: &str, now: Timestamp) -> bool {
        let since = self.known().get(&(client, account.to_owned())).copied();
        since.is_some_and(|since| now.duration_since(since).unsigned_abs() < REMEMBERED)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<(IpAddr, String), Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known().len()
    }
}
