//! A ledger in memory, with the projection of unsubscribes, that can be held up and made to fail.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use jiff::Timestamp;
use sluis::ledger::{Batch, Book, EntryNumber, Event, RecordError, Scribe};
use sluis::mail::{AddressKey, SenderId};
use sluis::policy::{Profile, Register, Unavailable};
use sluis::suppression::{Reason, Suppression};

use super::patience::PATIENCE;

/// The ledger; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    /// The state after its next change, which comes within [`PATIENCE`].
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let (state, waited) = self.changed.wait_timeout(state, PATIENCE).unwrap();
        assert!(!waited.timed_out(), "nothing was committed or released within {PATIENCE:?}");
        state
    }
}

#[derive(Debug, Default)]
struct State {
    events: Vec<Event>,
    extra: Vec<(SenderId, AddressKey, Profile)>,
    waiting: usize,
    held: bool,
    fails: bool,
    unreadable: bool,
    commits: usize,
}

impl Memory {
    /// A ledger and the pen that writes it.
    pub fn open() -> (Self, Scribe) {
        let memory = Self::default();
        let (scribe, inbox) = Scribe::channel(4_096);
        let mut book = memory.clone();
        std::thread::spawn(move || inbox.serve(&mut book, 1_024));
        (memory, scribe)
    }

    /// What was recorded.
    pub fn events(&self) -> Vec<Event> {
        self.state().events.clone()
    }

    /// How many commits that took.
    pub fn commits(&self) -> usize {
        self.state().commits
    }

    /// Every commit fails from here on, or no longer.
    pub fn set_failing(&self, fails: bool) {
        self.state().fails = fails;
    }

    /// The register cannot be read from here on, or again.
    pub fn set_unreadable(&self, unreadable: bool) {
        self.state().unreadable = unreadable;
    }

    /// Commits wait from here on.
    pub fn hold(&self) {
        self.state().held = true;
    }

    /// Commits go on.
    pub fn release(&self) {
        self.state().held = false;
        self.0.changed.notify_all();
    }

    /// Returns once a commit waits for [`Memory::release`].
    pub fn wait_until_held(&self) {
        let mut state = self.state();
        while state.waiting == 0 {
            state = self.0.wait(state);
        }
    }

    /// Returns once `count` events are recorded.
    pub fn wait_for_events(&self, count: usize) {
        let mut state = self.state();
        while state.events.len() < count {
            state = self.0.wait(state);
        }
    }

    /// What the register holds besides the unsubscribes in the ledger.
    pub fn put(&self, sender: &SenderId, address: &AddressKey, profile: Profile) {
        self.state().extra.push((sender.clone(), address.clone(), profile));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }
}

impl Book for Memory {
    fn commit(&mut self, batch: &mut Batch) -> Result<Vec<EntryNumber>, RecordError> {
        let mut state = self.state();
        state.waiting += 1;
        self.0.changed.notify_all();
        while state.held {
            state = self.0.wait(state);
        }
        state.waiting -= 1;
        if state.fails {
            return Err(RecordError::Store("the disk is full".to_owned()));
        }
        state.commits += 1;
        let mut numbers = Vec::new();
        for record in batch.iter() {
            numbers.push(state.events.len() as EntryNumber);
            state.events.extend(record.events.iter().cloned());
        }
        self.0.changed.notify_all();
        Ok(numbers)
    }
}

impl Register for Memory {
    fn profile(&self, sender: &SenderId, address: &AddressKey) -> Result<Profile, Unavailable> {
        let state = self.state();
        if state.unreadable {
            return Err(Unavailable("the disk is gone".to_owned()));
        }
        let mut profile = state
            .extra
            .iter()
            .find(|(of, who, _)| of == sender && who == address)
            .map(|(_, _, profile)| profile.clone())
            .unwrap_or_default();
        profile.suppressions.extend(state.events.iter().filter_map(|event| match event {
            Event::Unsubscribed(it) if it.sender == *sender && it.address == *address => Some(Suppression {
                reason: Reason::Unsubscribed,
                since: Timestamp::UNIX_EPOCH,
                source: it.way.as_str().to_owned(),
            }),
            _ => None,
        }));
        Ok(profile)
    }
}
