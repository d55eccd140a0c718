//! A store of a release that folded fewer letters of an address (RULES L17: `οδος@` and `ΟΔΟΣ@` are one mailbox): what is
//! filed under such an address is filed anew, once, all or nothing. The entries stay as they are; their addresses are
//! folded as they are read.

use std::collections::BTreeSet;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableHandle as _, WriteTransaction};

use super::apply::{Projections, fold, profile_of};
use super::error::Fault;
use super::outbox::Outbox;
use super::tables::{BY_ADDRESS, ENTRIES, META, StoredEntry, read_entry};
use crate::ledger::{Entry, EntryNumber};
use crate::mail;
use crate::policy::Profile;

/// Where the store says how its addresses are folded.
pub(super) const KEY: &str = "folding";
/// Simple case folding; before it was said, they were in lower case.
pub(super) const FOLDING: u8 = 2;

/// See that everything is filed under addresses as they are folded now.
pub(super) fn refold(database: &Database) -> Result<(), Fault> {
    let reading = database.begin_read()?;
    let is_done = reading.open_table(META)?.get(KEY)?.is_some_and(|row| row.value() == [FOLDING]);
    if is_done {
        return Ok(());
    }
    let mut old: BTreeSet<String> = BTreeSet::new();
    if reading.list_tables()?.any(|table| table.name() == BY_ADDRESS.name()) {
        for row in reading.open_table(BY_ADDRESS)?.iter()? {
            let key = row?.0;
            let (address, _) = key.value();
            if !address.is_ascii() && refolded(address) != address && !old.contains(address) {
                old.insert(address.to_owned());
            }
        }
    }
    drop(reading);
    let transaction = database.begin_write()?;
    for address in &old {
        file_anew(&transaction, address)?;
    }
    if !old.is_empty() {
        Outbox::open(&transaction)?.refold(&refolded)?;
        tracing::info!(addresses = old.len(), "filed anew under the form that their capitals share");
    }
    transaction.open_table(META)?.insert(KEY, &[FOLDING][..])?;
    Ok(transaction.commit()?)
}

/// The key of an address as it is now; only the local part ever changed.
fn refolded(key: &str) -> String {
    match key.rsplit_once('@') {
        Some((local, domain)) => format!("{}@{domain}", mail::fold(local)),
        None => key.to_owned(),
    }
}

fn file_anew(transaction: &WriteTransaction, old: &str) -> Result<(), Fault> {
    let new = refolded(old);
    let mut projections = Projections::open(transaction)?;
    let entries = transaction.open_table(ENTRIES)?;
    let mut all: Vec<(EntryNumber, Entry)> = Vec::new();
    for number in projections.file_anew(old, &new)? {
        let Some(row) = entries.get(number)? else { continue };
        if let StoredEntry::Whole { bytes, .. } = read_entry(row.value())? {
            all.push((number, Entry::parse(&bytes)?));
        }
    }
    let of_it = |entry: &Entry| {
        profile_of(&entry.event).filter(|(_, who)| who.as_str() == new).map(|(sender, _)| sender.0.clone())
    };
    let senders: BTreeSet<String> = all.iter().filter_map(|(_, entry)| of_it(entry)).collect();
    let since = projections.erased_at(&new)?;
    for sender in senders {
        let mut profile: Option<Profile> = None;
        for (number, entry) in all.iter().filter(|(number, _)| *number >= since) {
            if of_it(entry).as_deref() == Some(&sender) {
                fold(profile.get_or_insert_default(), *number, entry.at, &entry.event);
            }
        }
        projections.replace(&sender, old, None)?;
        projections.replace(&sender, &new, profile)?;
    }
    Ok(())
}
