//! What is looked at when the file is opened: that it is ours, of this format, with the key that signed last; and the
//! tables of a new one.

use std::path::PathBuf;

use redb::{Database, ReadableDatabase as _, ReadableTable as _};

use super::Settings;
use super::disk::Disk;
use super::error::{Fault, OpenError};
use super::inbox::INBOX;
use super::outbox::Outbox;
use super::refold;
use super::tables::{
    self, BY_ADDRESS, BY_COPY, BY_MESSAGE, BY_MINUTE, BY_TEXT, CHECKPOINTS, COPIES, DUE, ENTRIES, ERASED,
    FORGOTTEN, FORMAT, HASHES, HOLDS, IMPORTS, KEYS, META, OPEN, ORIGINAL_USES, ORIGINALS, PROFILES, SPOOL,
    SUPPRESSED, write_row,
};
use crate::ledger::Counts;
use crate::ledger::checkpoint::Signer;
use crate::secret::{Entropy, random};

/// See that the file is ours; make the tables of a new one.
pub(super) fn prepare(
    database: &Database,
    disk: &dyn Disk,
    settings: &Settings,
    entropy: &dyn Entropy,
) -> Result<(), OpenError> {
    let path = disk.path();
    let fault = |fault: Fault| OpenError::from_fault(disk.path(), fault);
    let reading = database.begin_read().map_err(|error| fault(error.into()))?;
    let mut missing = vec![redb::TableHandle::name(&SUPPRESSED), redb::TableHandle::name(&IMPORTS)];
    for table in reading.list_tables().map_err(|error| fault(error.into()))? {
        missing.retain(|name| *name != redb::TableHandle::name(&table));
    }
    let is_new = reading.list_tables().map_err(|error| fault(error.into()))?.next().is_none();
    if !is_new {
        let meta = match reading.open_table(META) {
            Ok(meta) => meta,
            Err(redb::TableError::Storage(error)) => return Err(fault(error.into())),
            Err(error) => return Err(OpenError::NotAStore { path, why: error.to_string() }),
        };
        let value = |key: &str| -> Result<Vec<u8>, OpenError> {
            let row = meta.get(key).map_err(|error| fault(error.into()))?;
            Ok(row.map(|row| row.value().to_vec()).unwrap_or_default())
        };
        let format = value("format")?;
        if format != [FORMAT] {
            let found = format.first().map_or_else(|| "none".to_owned(), u8::to_string);
            return Err(OpenError::Version { path, found, ours: FORMAT });
        }
        let store = String::from_utf8_lossy(&value("origin")?).into_owned();
        if store != settings.signer.name() {
            return Err(OpenError::Origin { path, store, config: settings.signer.name().to_owned() });
        }
        let keys = reading.open_table(KEYS).map_err(|error| fault(error.into()))?;
        let last = keys.last().map_err(|error| fault(error.into()))?.map(|(_, key)| key.value().to_owned());
        known_key(path, last.as_deref(), &settings.signer)?;
    }
    initialise(database, is_new, settings, entropy).map_err(fault)?;
    if !missing.is_empty() {
        add_tables(database).map_err(fault)?;
    }
    refold::refold(database).map_err(fault)
}

/// Refuse a key that the key before does not vouch for: it is another gateway's, or from another backup, and its
/// checkpoints would contradict those that were signed (promise 8).
fn known_key(path: PathBuf, last: Option<&str>, signer: &Signer) -> Result<(), OpenError> {
    match last {
        Some(last)
            if last != signer.verifier() && signer.lost().is_none() && signer.vouched_by(last).is_none() =>
        {
            Err(OpenError::Key { path, store: last.to_owned(), ours: signer.verifier().to_owned() })
        }
        _ => Ok(()),
    }
}

/// A store from before there were lists of the suppressed and of imports: make the first from the profiles, all
/// or nothing.
fn add_tables(database: &Database) -> Result<(), Fault> {
    let transaction = database.begin_write()?;
    {
        transaction.open_table(IMPORTS)?;
        let mut suppressed = transaction.open_table(SUPPRESSED)?;
        for row in transaction.open_table(PROFILES)?.iter()? {
            let (key, value) = row?;
            if !tables::read_profile(Some(value.value()))?.suppressions.is_empty() {
                suppressed.insert(key.value(), ())?;
            }
        }
    }
    Ok(transaction.commit()?)
}

fn initialise(
    database: &Database,
    is_new: bool,
    settings: &Settings,
    entropy: &dyn Entropy,
) -> Result<(), Fault> {
    let transaction = database.begin_write()?;
    // A store of a release that had no outbox or no inbox gets them.
    let complete = {
        let mut tables = transaction.list_tables()?;
        tables.any(|table| redb::TableHandle::name(&table) == redb::TableHandle::name(&INBOX))
    };
    {
        let mut keys = transaction.open_table(KEYS)?;
        let entries = transaction.open_table(ENTRIES)?;
        let verifier = settings.signer.verifier();
        let known = keys.last()?.is_some_and(|(_, key)| key.value() == verifier);
        if known && !is_new && complete {
            return Ok(());
        }
        Outbox::open(&transaction)?;
        transaction.open_table(INBOX)?;
        let size = entries.last()?.map_or(0, |(number, _)| number.value() + 1);
        if !known {
            keys.insert(size, verifier)?;
        }
        let mut meta = transaction.open_table(META)?;
        if is_new {
            meta.insert("format", &[FORMAT][..])?;
            meta.insert(refold::KEY, &[refold::FOLDING][..])?;
            meta.insert("origin", settings.signer.name().as_bytes())?;
            meta.insert("commits", &0u64.to_be_bytes()[..])?;
            meta.insert("counts", write_row(&Counts::default())?.as_slice())?;
            meta.insert("hash_key", &random::<32>(entropy)[..])?;
            transaction.open_table(HASHES)?;
            transaction.open_table(CHECKPOINTS)?;
            transaction.open_table(PROFILES)?;
            transaction.open_table(OPEN)?;
            transaction.open_table(SPOOL)?;
            transaction.open_table(DUE)?;
            transaction.open_table(ORIGINALS)?;
            transaction.open_table(ORIGINAL_USES)?;
            transaction.open_table(COPIES)?;
            transaction.open_table(BY_COPY)?;
            transaction.open_table(BY_ADDRESS)?;
            transaction.open_table(BY_MESSAGE)?;
            transaction.open_table(BY_TEXT)?;
            transaction.open_table(BY_MINUTE)?;
            transaction.open_table(HOLDS)?;
            transaction.open_table(FORGOTTEN)?;
            transaction.open_table(ERASED)?;
        }
    }
    Ok(transaction.commit()?)
}
