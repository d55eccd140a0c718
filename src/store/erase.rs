//! The writing half of purging and erasing, inside one transaction.

use std::collections::BTreeSet;

use redb::ReadableTable as _;

use super::apply::{fold, profile_of};
use super::error::Fault;
use super::inbox;
use super::tables::{KeptCopy, StoredEntry, read_entry, write_erased};
use super::write::Pages;
use crate::ledger::{Counts, Entry, EntryNumber, Event};
use crate::mail::{AddressKey, CopyId};
use crate::policy::Profile;

impl Pages<'_> {
    /// Destroy salt and payload of entries, what is kept of the copies they admit, and every row that follows
    /// from them. The leaf hashes stay, and so does what they had added to the counts.
    pub(super) fn erase(&mut self, numbers: &[EntryNumber]) -> Result<(), Fault> {
        let mut touched = BTreeSet::new();
        for &number in numbers {
            let Some(value) = self.entries.get(number)?.map(|row| row.value().to_vec()) else { continue };
            let StoredEntry::Whole { bytes, .. } = read_entry(&value)? else { continue };
            let event = Entry::parse(&bytes)?.event;
            self.projections.unindex(number, &event)?;
            match &event {
                Event::Admitted(admitted) => self.drop_copy(admitted.copy)?,
                Event::Held(_) => inbox::done(self.transaction, number)?,
                _ => {}
            }
            if let Some((sender, address)) = profile_of(&event) {
                touched.insert((sender.0.clone(), address.as_str().to_owned()));
            }
            self.entries.insert(number, write_erased(&Counts::of(&event))?.as_slice())?;
        }
        for (sender, address) in touched {
            self.refold(&sender, &address)?;
        }
        Ok(())
    }

    /// Take the profiles of an address away, with every sender; what its entries say from here on counts anew.
    pub(super) fn forget(&mut self, address: &AddressKey) -> Result<(), Fault> {
        let mut senders = BTreeSet::new();
        for number in self.projections.numbers_of(address.as_str())? {
            if let Some(entry) = self.entry(number)?
                && let Some((sender, whose)) = profile_of(&entry.event)
                && whose == address
            {
                senders.insert(sender.0.clone());
            }
        }
        for sender in senders {
            self.projections.replace(&sender, address.as_str(), None)?;
        }
        Ok(())
    }

    /// Fold a profile anew from the entries that are left.
    fn refold(&mut self, sender: &str, address: &str) -> Result<(), Fault> {
        let since = self.projections.erased_at(address)?;
        let (mut profile, mut any) = (Profile::default(), false);
        for number in self.projections.numbers_of(address)? {
            if number < since {
                continue;
            }
            if let Some(entry) = self.entry(number)?
                && profile_of(&entry.event).is_some_and(|(of, who)| of.0 == sender && who.as_str() == address)
            {
                fold(&mut profile, number, entry.at, &entry.event);
                any = true;
            }
        }
        self.projections.replace(sender, address, any.then_some(profile))
    }

    fn entry(&self, number: EntryNumber) -> Result<Option<Entry>, Fault> {
        let Some(row) = self.entries.get(number)? else { return Ok(None) };
        match read_entry(row.value())? {
            StoredEntry::Whole { bytes, .. } => Ok(Some(Entry::parse(&bytes)?)),
            StoredEntry::Erased { .. } => Ok(None),
        }
    }

    fn drop_copy(&mut self, copy: CopyId) -> Result<(), Fault> {
        let key = copy.to_bytes();
        let kept = self.copies.remove(&key)?.map(|row| KeptCopy::read(row.value())).transpose()?;
        match kept {
            Some(KeptCopy::Pieces { original, .. }) => self.release(original),
            _ => Ok(()),
        }
    }
}
