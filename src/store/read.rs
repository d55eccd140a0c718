//! Reading: each call in a read transaction of its own, never waiting for the writer. Cheap enough for
//! async code, but for listings and whole messages.

use std::ops::{Bound, Range};

use bytes::Bytes;
use jiff::Timestamp;
use redb::{ReadTransaction, ReadableTable as _, ReadableTableMetadata as _};
use serde::Deserialize as _;
use serde::de::value::StrDeserializer;

use super::Store;
use super::error::Fault;
use super::guard::guarded;
use super::retain::forgotten;
use super::tables::{
    self, BY_TEXT, CHECKPOINTS, COPIES, DUE, ENTRIES, HASHES, IMPORTS, Imported, KEYS, KeptCopy, OPEN,
    ORIGINALS, PROFILES, SPOOL, SUPPRESSED, StoredEntry, read_entry, read_profile, read_row, read_spooled,
};
use super::write::StoredHashes;
use crate::ledger::checkpoint::{self, Checkpoint};
use crate::ledger::consistency::{self, Consistency};
use crate::ledger::pieces;
use crate::ledger::tree::{self, Salt};
use crate::ledger::{Entry, EntryNumber, NEVER_PUT_OFF, Spooled};
use crate::mail::{AddressKey, CopyId, SenderId};
use crate::message::Rope;
use crate::policy::{Profile, Register, Unavailable};
use crate::relay::SpoolView;

/// An entry, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its number.
    pub number: EntryNumber,
    /// Its salt.
    pub salt: Salt,
    /// Its exact bytes: one JSON object.
    pub bytes: Vec<u8>,
    /// The same, understood.
    pub entry: Entry,
}

/// What is kept of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Archived {
    /// Its exact bytes.
    Whole(Rope),
    /// Its header section.
    Headers(Bytes),
}

/// What the register holds on one address, for listings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// For which sender.
    pub sender: SenderId,
    /// Whose.
    pub address: AddressKey,
    /// Everything on record under this very address.
    pub profile: Profile,
}

/// Where the entries of an import are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportPlace {
    /// Its id.
    pub id: String,
    /// The entry that says that it begins.
    pub begun: EntryNumber,
    /// The entry that says that it ended.
    pub ended: Option<EntryNumber>,
    /// The entry that says that it was undone.
    pub undone: Option<EntryNumber>,
}

impl Register for Store {
    fn profile(&self, sender: &SenderId, address: &AddressKey) -> Result<Profile, Unavailable> {
        self.inner.recent.profile(sender, address, || {
            let reading = self.transaction()?;
            Ok(guarded(|| merged_profile(&reading, sender, address))?)
        })
    }
}

fn merged_profile(
    reading: &ReadTransaction,
    sender: &SenderId,
    address: &AddressKey,
) -> Result<Profile, Fault> {
    let table = reading.open_table(PROFILES)?;
    let row = |address: &AddressKey| -> Result<Profile, Fault> {
        let row = table.get((sender.0.as_str(), address.as_str()))?;
        read_profile(row.as_ref().map(redb::AccessGuard::value))
    };
    let mut profile = row(address)?;
    profile.suppressions.extend(forgotten(reading, sender, address)?);
    if let Some(base) = address.base() {
        // RULES L17: a suppression of bob@x covers bob+news@x; a consent of bob@x does not.
        profile.suppressions.extend(row(&base)?.suppressions);
        profile.suppressions.extend(forgotten(reading, sender, &base)?);
    }
    Ok(profile)
}

impl SpoolView for Store {
    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<CopyId>, Unavailable> {
        let due = || -> Result<Vec<CopyId>, Fault> {
            let table = self.transaction().map_err(closed)?.open_table(DUE)?;
            let until = (now.as_nanosecond(), &[u8::MAX; 20]);
            let far = (now.as_nanosecond() + NEVER_PUT_OFF.as_nanos(), &[u8::MAX; 20]);
            let due = table.range(..=until)?.chain(table.range((Bound::Excluded(far), Bound::Unbounded))?);
            due.take(limit).map(|row| Ok(CopyId::from_bytes(*row?.0.value().1))).collect()
        };
        Ok(guarded(due)?)
    }

    fn next_due(&self) -> Result<Option<Timestamp>, Unavailable> {
        let next = || -> Result<Option<Timestamp>, Fault> {
            let table = self.transaction().map_err(closed)?.open_table(DUE)?;
            let first = table.first()?.map(|(key, _)| key.value().0);
            first
                .map(Timestamp::from_nanosecond)
                .transpose()
                .map_err(|error| Fault::Format(error.to_string()))
        };
        Ok(guarded(next)?)
    }

    fn find(&self, copy: CopyId) -> Result<Option<Spooled>, Unavailable> {
        let find = || -> Result<Option<Spooled>, Fault> {
            let table = self.transaction().map_err(closed)?.open_table(SPOOL)?;
            table.get(&copy.to_bytes())?.map(|row| read_spooled(row.value())).transpose()
        };
        Ok(guarded(find)?)
    }

    fn load(&self, copy: CopyId) -> Result<Option<(Spooled, Rope)>, Unavailable> {
        let load = || -> Result<Option<(Spooled, Rope)>, Fault> {
            let reading = self.transaction().map_err(closed)?;
            let Some(row) = reading.open_table(SPOOL)?.get(&copy.to_bytes())? else { return Ok(None) };
            let spooled = read_spooled(row.value())?;
            match archived(&reading, copy)? {
                Some(Archived::Whole(rope)) => Ok(Some((spooled, rope))),
                _ => Err(Fault::Format(format!("the bytes of the spooled copy {copy} are missing"))),
            }
        };
        Ok(guarded(load)?)
    }

    fn list(&self, after: Option<CopyId>, limit: usize) -> Result<Vec<Spooled>, Unavailable> {
        let list = || -> Result<Vec<Spooled>, Fault> {
            let table = self.transaction().map_err(closed)?.open_table(SPOOL)?;
            let key = after.map(CopyId::to_bytes);
            let from = key.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            table
                .range::<&[u8; 20]>((from, Bound::Unbounded))?
                .take(limit)
                .map(|row| read_spooled(row?.1.value()))
                .collect()
        };
        Ok(guarded(list)?)
    }

    fn count(&self) -> Result<u64, Unavailable> {
        let count =
            || -> Result<u64, Fault> { Ok(self.transaction().map_err(closed)?.open_table(SPOOL)?.len()?) };
        Ok(guarded(count)?)
    }
}

pub(super) fn closed(unavailable: Unavailable) -> Fault {
    Fault::Format(unavailable.0)
}

pub(super) fn archived(reading: &ReadTransaction, copy: CopyId) -> Result<Option<Archived>, Fault> {
    let Some(row) = reading.open_table(COPIES)?.get(&copy.to_bytes())? else { return Ok(None) };
    match KeptCopy::read(row.value())? {
        KeptCopy::Headers(bytes) => Ok(Some(Archived::Headers(bytes.into()))),
        KeptCopy::Pieces { original, pieces: kept, .. } => {
            let originals = reading.open_table(ORIGINALS)?;
            let stored = originals
                .get(&original)?
                .ok_or_else(|| Fault::Format(format!("the original of copy {copy} is missing")))?;
            let bytes = Bytes::from(tables::read_original(stored.value())?);
            Ok(Some(Archived::Whole(pieces::read(&kept, bytes)?)))
        }
    }
}

pub(super) fn found(number: EntryNumber, value: &[u8]) -> Result<Option<Found>, Fault> {
    match read_entry(value)? {
        StoredEntry::Erased { .. } => Ok(None),
        StoredEntry::Whole { salt, bytes } => {
            let entry = Entry::parse(&bytes)?;
            Ok(Some(Found { number, salt, bytes, entry }))
        }
    }
}

pub(super) fn find(reading: &ReadTransaction, numbers: &[EntryNumber]) -> Result<Vec<Found>, Fault> {
    let table = reading.open_table(ENTRIES)?;
    let mut all = Vec::with_capacity(numbers.len());
    for &number in numbers {
        if let Some(row) = table.get(number)? {
            all.extend(found(number, row.value())?);
        }
    }
    Ok(all)
}

/// Where a listing begins.
fn from<'a>(
    sender: Option<&'a SenderId>,
    after: Option<(&'a SenderId, &'a AddressKey)>,
) -> Bound<(&'a str, &'a str)> {
    match (after, sender) {
        (Some((of, address)), _) => Bound::Excluded((of.0.as_str(), address.as_str())),
        (None, Some(sender)) => Bound::Included((sender.0.as_str(), "")),
        (None, None) => Bound::Unbounded,
    }
}

fn known((sender, address): (&str, &str), profile: Profile) -> Result<Known, Fault> {
    // A key may be longer than an address: it is read as a key.
    let spelled = StrDeserializer::<serde::de::value::Error>::new(address);
    let address = AddressKey::deserialize(spelled)
        .map_err(|error| Fault::Format(format!("address key {address}: {error}")))?;
    Ok(Known { sender: SenderId(sender.to_owned()), address, profile })
}

impl Store {
    /// How many entries there are.
    pub fn size(&self) -> Result<u64, Unavailable> {
        let size = || -> Result<u64, Fault> {
            let table = self.transaction().map_err(closed)?.open_table(ENTRIES)?;
            Ok(table.last()?.map_or(0, |(number, _)| number.value() + 1))
        };
        Ok(guarded(size)?)
    }

    /// The entries in `range`, erased ones left out.
    pub fn entries(&self, range: Range<EntryNumber>) -> Result<Vec<Found>, Unavailable> {
        let entries = || -> Result<Vec<Found>, Fault> {
            let table = self.transaction().map_err(closed)?.open_table(ENTRIES)?;
            let mut all = Vec::new();
            for row in table.range(range)? {
                let (number, value) = row?;
                all.extend(found(number.value(), value.value())?);
            }
            Ok(all)
        };
        Ok(guarded(entries)?)
    }

    /// Show at most `limit` entries from number `from` on to `see`, as their exact bytes: what was erased is
    /// counted and not shown. The number to go on from, or `None` at the end of the ledger.
    pub fn scan(
        &self,
        from: EntryNumber,
        limit: usize,
        mut see: impl FnMut(EntryNumber, &[u8]),
    ) -> Result<Option<EntryNumber>, Unavailable> {
        let scan = || -> Result<Option<EntryNumber>, Fault> {
            let table = self.transaction().map_err(closed)?.open_table(ENTRIES)?;
            for (seen, row) in table.range(from..)?.enumerate() {
                let (number, value) = row?;
                if seen == limit {
                    return Ok(Some(number.value()));
                }
                if let StoredEntry::Whole { bytes, .. } = read_entry(value.value())? {
                    see(number.value(), &bytes);
                }
            }
            Ok(None)
        };
        Ok(guarded(scan)?)
    }

    /// The entry that others refer to by this label: a consent text by its SHA-256 (hex), a key.
    pub fn labelled(&self, label: &str) -> Result<Option<Found>, Unavailable> {
        let entry = || -> Result<Option<Found>, Fault> {
            let reading = self.transaction().map_err(closed)?;
            let Some(number) = reading.open_table(BY_TEXT)?.get(label)?.map(|row| row.value()) else {
                return Ok(None);
            };
            Ok(find(&reading, &[number])?.pop())
        };
        Ok(guarded(entry)?)
    }

    /// The entries of at most `limit` consent texts, in order of their SHA-256 (hex), after `after`.
    pub fn texts(&self, after: Option<&str>, limit: usize) -> Result<Vec<Found>, Unavailable> {
        let texts = || -> Result<Vec<Found>, Fault> {
            let reading = self.transaction().map_err(closed)?;
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let table = reading.open_table(BY_TEXT)?;
            let rows = table.range::<&str>((from, Bound::Unbounded))?.take(limit);
            let numbers = rows.map(|row| Ok(row?.1.value())).collect::<Result<Vec<_>, Fault>>()?;
            find(&reading, &numbers)
        };
        Ok(guarded(texts)?)
    }

    /// The latest checkpoint: how many entries it covers, and its signed note.
    pub fn latest_checkpoint(&self) -> Result<Option<(u64, String)>, Unavailable> {
        let latest = || -> Result<Option<(u64, String)>, Fault> {
            let table = self.transaction().map_err(closed)?.open_table(CHECKPOINTS)?;
            Ok(table.last()?.map(|(size, note)| (size.value(), note.value().to_owned())))
        };
        Ok(guarded(latest)?)
    }

    /// The proof that the checkpoint `new` (the newest when absent) continues `old`; both are signed notes. The
    /// inner error says which of them is none of this ledger's.
    pub fn consistency(
        &self,
        old: &str,
        new: Option<&str>,
    ) -> Result<Result<Consistency, String>, Unavailable> {
        let prove = || -> Result<Result<Consistency, String>, Fault> {
            let reading = self.transaction().map_err(closed)?;
            let hashes = reading.open_table(HASHES)?;
            let keys = reading.open_table(KEYS)?;
            let latest = reading.open_table(CHECKPOINTS)?.last()?.map(|(_, note)| note.value().to_owned());
            let Some(new) = new.map(str::to_owned).or(latest) else {
                return Ok(Err("there is no checkpoint yet".to_owned()));
            };
            let open = |which: &str, note: &str| -> Result<Result<Checkpoint, String>, Fault> {
                for row in keys.iter()? {
                    let Ok(signed) = checkpoint::verify(note, row?.1.value()) else { continue };
                    let is_ours =
                        tree::root(signed.size, &StoredHashes(&hashes)).is_ok_and(|root| root == signed.root);
                    return Ok(if is_ours {
                        Ok(signed)
                    } else {
                        Err(format!(
                            "the {which} checkpoint, of {} entries, is not of this ledger",
                            signed.size
                        ))
                    });
                }
                Ok(Err(format!("the {which} checkpoint was signed by no key of this gateway")))
            };
            let (signed_old, signed_new) = match (open("earlier", old)?, open("later", &new)?) {
                (Ok(old), Ok(new)) => (old, new),
                (Err(why), _) | (_, Err(why)) => return Ok(Err(why)),
            };
            if signed_old.size > signed_new.size {
                return Ok(Err("the earlier checkpoint covers more entries than the later one".to_owned()));
            }
            let proof = consistency::prove(&signed_old, &signed_new, &StoredHashes(&hashes))?;
            Ok(Ok(Consistency { old: old.to_owned(), new, proof }))
        };
        Ok(guarded(prove)?)
    }

    /// What is kept of a copy's bytes.
    pub fn rebuild(&self, copy: CopyId) -> Result<Option<Archived>, Unavailable> {
        let reading = self.transaction()?;
        Ok(guarded(|| archived(&reading, copy))?)
    }

    /// At most `limit` rows of the register, of `sender` only, if given; in order of sender and address, after
    /// `after`.
    pub fn register(
        &self,
        sender: Option<&SenderId>,
        after: Option<(&SenderId, &AddressKey)>,
        limit: usize,
    ) -> Result<Vec<Known>, Unavailable> {
        let rows = || -> Result<Vec<Known>, Fault> {
            let table = self.transaction().map_err(closed)?.open_table(PROFILES)?;
            let mut all = Vec::new();
            for row in table.range::<(&str, &str)>((from(sender, after), Bound::Unbounded))?.take(limit) {
                let (key, value) = row?;
                if sender.is_some_and(|sender| sender.0 != key.value().0) {
                    break;
                }
                all.push(known(key.value(), read_profile(Some(value.value()))?)?);
            }
            Ok(all)
        };
        Ok(guarded(rows)?)
    }

    /// At most `limit` rows of the register that have suppressions, of `sender` only, if given; in order of
    /// sender and address, after `after`.
    pub fn suppressed(
        &self,
        sender: Option<&SenderId>,
        after: Option<(&SenderId, &AddressKey)>,
        limit: usize,
    ) -> Result<Vec<Known>, Unavailable> {
        let rows = || -> Result<Vec<Known>, Fault> {
            let reading = self.transaction().map_err(closed)?;
            let (index, profiles) = (reading.open_table(SUPPRESSED)?, reading.open_table(PROFILES)?);
            let mut all = Vec::new();
            for row in index.range::<(&str, &str)>((from(sender, after), Bound::Unbounded))? {
                let key = row?.0;
                let key = key.value();
                if all.len() >= limit || sender.is_some_and(|sender| sender.0 != key.0) {
                    break;
                }
                let profile = profiles.get(key)?;
                let profile = read_profile(profile.as_ref().map(redb::AccessGuard::value))?;
                all.push(known(key, profile)?);
            }
            Ok(all)
        };
        Ok(guarded(rows)?)
    }

    /// At most `limit` imports in order of their ids, after `after`: the id, and the entries that say that it
    /// begins, ended, was undone.
    pub fn imports(&self, after: Option<&str>, limit: usize) -> Result<Vec<ImportPlace>, Unavailable> {
        let rows = || -> Result<Vec<ImportPlace>, Fault> {
            let table = self.transaction().map_err(closed)?.open_table(IMPORTS)?;
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            table
                .range::<&str>((from, Bound::Unbounded))?
                .take(limit)
                .map(|row| {
                    let (id, value) = row?;
                    let Imported { begun, ended, undone } = read_row(value.value())?;
                    Ok(ImportPlace { id: id.value().to_owned(), begun, ended, undone })
                })
                .collect()
        };
        Ok(guarded(rows)?)
    }

    /// Where the import `id` is.
    pub fn import(&self, id: &str) -> Result<Option<ImportPlace>, Unavailable> {
        let row = || -> Result<Option<ImportPlace>, Fault> {
            let table = self.transaction().map_err(closed)?.open_table(IMPORTS)?;
            let row = table.get(id)?.map(|row| read_row::<Imported>(row.value())).transpose()?;
            Ok(row.map(|Imported { begun, ended, undone }| ImportPlace {
                id: id.to_owned(),
                begun,
                ended,
                undone,
            }))
        };
        Ok(guarded(row)?)
    }

    /// Admitted copies of which some recipient has no outcome yet.
    pub fn open_copies(&self) -> Result<u64, Unavailable> {
        let count =
            || -> Result<u64, Fault> { Ok(self.transaction().map_err(closed)?.open_table(OPEN)?.len()?) };
        Ok(guarded(count)?)
    }
}
