//! Profiles that were read a moment ago.
//!
//! One message asks for the same profile up to three times within milliseconds: at RCPT, after DATA, and before
//! its first byte leaves. A profile that was read stands until something that the register follows from is
//! committed: then all of them are read again. Every such commit is told of before anybody is answered for it,
//! so an unsubscribe that was answered is seen by every later decision (promise 6).

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::apply::profile_of;
use crate::ledger::{Event, Ready, Side};
use crate::mail::{AddressKey, SenderId};
use crate::policy::Profile;

/// Profiles in memory, at most.
const SLOTS: usize = 1024;
/// Facts in a profile that is remembered, at most: what bounds the memory of a slot to some kilobytes.
const FACTS: usize = 16;

/// The profiles that were read last, each in the one slot that its key hashes to.
#[derive(Debug)]
pub(super) struct Recent {
    version: AtomicU64,
    hasher: RandomState,
    slots: Box<[Mutex<Option<Slot>>]>,
}

#[derive(Debug)]
struct Slot {
    version: u64,
    sender: SenderId,
    address: AddressKey,
    profile: Profile,
}

impl Recent {
    pub(super) fn new() -> Self {
        let slots = (0..SLOTS).map(|_| Mutex::new(None)).collect();
        Self { version: AtomicU64::new(0), hasher: RandomState::new(), slots }
    }

    /// `batch` is durable, and nobody was told yet.
    pub(super) fn committed(&self, batch: &[Ready]) {
        if batch.iter().any(changes_register) {
            self.outdate();
        }
    }

    /// From now on nothing that was read before stands: the register changed, or cannot be read.
    pub(super) fn outdate(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    /// The profile, from memory or by `read`. What is read while the register changes does not stand after
    /// the change, for the version is looked at first.
    pub(super) fn profile<E>(
        &self,
        sender: &SenderId,
        address: &AddressKey,
        read: impl FnOnce() -> Result<Profile, E>,
    ) -> Result<Profile, E> {
        let version = self.version.load(Ordering::SeqCst);
        let slot = self.slot(sender, address);
        if let Some(known) = slot.lock().unwrap_or_else(PoisonError::into_inner).as_ref()
            && known.version == version
            && known.sender == *sender
            && known.address == *address
        {
            return Ok(known.profile.clone());
        }
        let profile = read()?;
        let events: usize = profile.consents.iter().map(|history| history.events.len()).sum();
        let facts = profile.relations.len() + profile.published.len() + profile.suppressions.len();
        if events + facts <= FACTS {
            let fresh =
                Slot { version, sender: sender.clone(), address: address.clone(), profile: profile.clone() };
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
        }
        Ok(profile)
    }

    fn slot(&self, sender: &SenderId, address: &AddressKey) -> &Mutex<Option<Slot>> {
        let hash = self.hasher.hash_one((sender, address));
        // The remainder is less than the number of slots, which is not zero.
        &self.slots[(hash % self.slots.len() as u64) as usize]
    }
}

/// Whether a decision may read something else once `record` is committed.
fn changes_register(record: &Ready) -> bool {
    let by_event = |event: &Event| profile_of(event).is_some() || matches!(event, Event::Keeping(_));
    record.events.iter().any(by_event)
        || record.sides.iter().any(|side| matches!(side, Side::Erase(_) | Side::Forget(_)))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn a_profile_is_read_once_until_the_register_changes() {
        let recent = Recent::new();
        let reads = Cell::new(0);
        let address = "a@example.nl".parse::<crate::mail::Address>().unwrap().key().clone();
        let ask = |sender: &str| {
            let read = || {
                reads.set(reads.get() + 1);
                Ok::<_, Infallible>(Profile::default())
            };
            recent.profile(&SenderId(sender.to_owned()), &address, read).unwrap()
        };
        ask("1");
        ask("1");
        assert_eq!(reads.get(), 1);
        ask("2");
        assert_eq!(reads.get(), 2, "another sender is another profile");
        recent.outdate();
        ask("1");
        assert_eq!(reads.get(), 3);
    }

    #[test]
    fn what_was_read_while_the_register_changed_is_read_again() {
        let recent = Recent::new();
        let address = "a@example.nl".parse::<crate::mail::Address>().unwrap().key().clone();
        let sender = SenderId("1".to_owned());
        let during = || {
            recent.outdate();
            Ok::<_, Infallible>(Profile::default())
        };
        recent.profile(&sender, &address, during).unwrap();
        let again = Cell::new(false);
        let read = || {
            again.set(true);
            Ok::<_, Infallible>(Profile::default())
        };
        recent.profile(&sender, &address, read).unwrap();
        assert!(again.get());
    }
}
