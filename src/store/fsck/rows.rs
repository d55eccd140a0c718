//! After the pass: no table holds more than follows from the entries, and each profile is the fold of its own.

use std::collections::{BTreeMap, HashMap};

use redb::{Key, ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, TableDefinition, Value};

use super::Findings;
use super::pass::{Expected, entries_of, erased_at, hash_key};
use crate::ledger::{Entry, Event, Letter};
use crate::policy::Profile;
use crate::store::apply::{fold, profile_of, scope_of};
use crate::store::error::Fault;
use crate::store::inbox::INBOX;
use crate::store::tables::{
    BY_ADDRESS, BY_COPY, BY_MESSAGE, BY_MINUTE, BY_TEXT, ENTRIES, ERASED, FORGOTTEN, HOLDS, IMPORTS,
    Imported, OPEN, Open, PROFILES, SUPPRESSED, copy_key, number_in, read_profile, read_row,
};

/// Check the tables against what the pass expects.
pub(super) fn check(
    reading: &ReadTransaction,
    expected: &Expected,
    findings: &mut Findings,
) -> Result<(), Fault> {
    if !expected.whole {
        findings.problem("indexes and profiles were not looked at: entries are missing".to_owned());
        return Ok(());
    }
    check_indexes(reading, expected, findings)?;
    check_minutes(reading, findings)?;
    check_open(reading, expected, findings)?;
    check_imports(reading, expected, findings)?;
    check_keeping(reading, expected, findings)?;
    check_letters(reading, expected, findings)?;
    check_profiles(reading, findings)
}

/// Every row that should be there was looked up, so only a table that is longer holds one too many.
fn check_indexes(
    reading: &ReadTransaction,
    expected: &Expected,
    findings: &mut Findings,
) -> Result<(), Fault> {
    let entry = |number: u64| -> Result<Option<Entry>, Fault> {
        Ok(entries_of(reading, [number])?.pop().map(|(_, entry)| entry))
    };
    if reading.open_table(BY_COPY)?.len()? != expected.by_copy {
        surplus(reading, BY_COPY, "index row (copy)", findings, |key| {
            let number = number_in(key);
            let scope = entry(number)?.and_then(|entry| scope_of(&entry.event));
            Ok(scope.is_some_and(|scope| copy_key(scope, number) == *key))
        })?;
    }
    if reading.open_table(BY_ADDRESS)?.len()? != expected.by_address {
        surplus(reading, BY_ADDRESS, "index row (address)", findings, |(address, number)| {
            let named = |entry: Entry| entry.event.addresses().iter().any(|named| named.as_str() == address);
            Ok(entry(number)?.is_some_and(named))
        })?;
    }
    if reading.open_table(BY_MESSAGE)?.len()? != expected.by_message {
        surplus(reading, BY_MESSAGE, "index row (Message-ID)", findings, |(id, number)| {
            Ok(entry(number)?.is_some_and(|entry| entry.event.message_id() == Some(id)))
        })?;
    }
    if reading.open_table(BY_TEXT)?.len()? != expected.by_text {
        findings.problem("the index of consent texts names texts that are in no entry".to_owned());
    }
    Ok(())
}

/// Name the rows that follow from no entry.
fn surplus<K: Key + 'static, V: Value + 'static>(
    reading: &ReadTransaction,
    table: TableDefinition<K, V>,
    word: &str,
    findings: &mut Findings,
    mut follows: impl FnMut(K::SelfType<'_>) -> Result<bool, Fault>,
) -> Result<(), Fault> {
    for row in reading.open_table(table)?.iter()? {
        let (key, _) = row?;
        if !follows(key.value())? {
            findings.problem(format!("{word} {:?} follows from no entry", key.value()));
        }
    }
    Ok(())
}

/// The runs of one minute cover every entry once.
fn check_minutes(reading: &ReadTransaction, findings: &mut Findings) -> Result<(), Fault> {
    let mut covered = 0u64;
    for row in reading.open_table(BY_MINUTE)?.iter()? {
        let (key, last) = row?;
        covered += last.value().saturating_sub(key.value().1) + 1;
    }
    if covered != reading.open_table(ENTRIES)?.len()? {
        findings.problem("the index by time does not cover each entry once".to_owned());
    }
    Ok(())
}

fn check_open(reading: &ReadTransaction, expected: &Expected, findings: &mut Findings) -> Result<(), Fault> {
    let table = reading.open_table(OPEN)?;
    for row in table.iter()? {
        let (key, value) = row?;
        let copy = crate::mail::CopyId::from_bytes(*key.value());
        match expected.open.get(key.value()) {
            None => findings.problem(format!("the open admission of {copy} follows from no entry")),
            Some(open) if *open != read_row::<Open>(value.value())? => {
                findings.problem(format!("the open admission of {copy} is not what the entries say"));
            }
            Some(_) => {}
        }
    }
    for key in expected.open.keys() {
        if table.get(key)?.is_none() {
            let copy = crate::mail::CopyId::from_bytes(*key);
            findings.problem(format!("the open admission of {copy} is missing"));
        }
    }
    Ok(())
}

/// Each import is where its row says that it is, and none is missing.
fn check_imports(
    reading: &ReadTransaction,
    expected: &Expected,
    findings: &mut Findings,
) -> Result<(), Fault> {
    let table = reading.open_table(IMPORTS)?;
    for row in table.iter()? {
        let (id, value) = row?;
        let id = id.value();
        let import: Imported = read_row(value.value())?;
        let numbers = [Some(import.begun), import.ended, import.undone];
        let told = |event: &Event| match event {
            Event::ImportBegun(it) => it.id == id,
            Event::ImportEnded(it) => it.id == id,
            Event::ImportUndone(it) => it.id == id,
            _ => false,
        };
        for (_, entry) in entries_of(reading, numbers.into_iter().flatten())? {
            if !told(&entry.event) {
                findings.problem(format!("the import {id} is not where its row says"));
            }
        }
    }
    if table.len()? != expected.imports {
        findings.problem("the list of imports is not what the entries say".to_owned());
    }
    Ok(())
}

/// Holds and erasures are those of the entries.
fn check_keeping(
    reading: &ReadTransaction,
    expected: &Expected,
    findings: &mut Findings,
) -> Result<(), Fault> {
    let mut holds = BTreeMap::new();
    for row in reading.open_table(HOLDS)?.iter()? {
        let (number, about) = row?;
        holds.insert(number.value(), read_row(about.value())?);
    }
    if holds != expected.holds {
        findings.problem("the holds are not those of the entries".to_owned());
    }
    let mut erased = HashMap::new();
    for row in reading.open_table(ERASED)?.iter()? {
        let (hash, number) = row?;
        erased.insert(*hash.value(), number.value());
    }
    let mut forgotten = HashMap::new();
    for row in reading.open_table(FORGOTTEN)?.iter()? {
        let (key, value) = row?;
        let (sender, hash) = key.value();
        forgotten.insert((sender.to_owned(), *hash), read_row(value.value())?);
    }
    if erased != expected.erased || forgotten != expected.forgotten {
        findings.problem("the erasures are not those of the entries".to_owned());
    }
    Ok(())
}

/// The mails that wait for a person are those that were held and not answered, and each is the one that its entry tells
/// of. Their text stands in no entry.
fn check_letters(
    reading: &ReadTransaction,
    expected: &Expected,
    findings: &mut Findings,
) -> Result<(), Fault> {
    let table = reading.open_table(INBOX)?;
    for row in table.iter()? {
        let (number, value) = row?;
        let number = number.value();
        match expected.letters.get(&number) {
            None => {
                findings.problem(format!("the mail of entry {number} waits, and no entry says that it does"))
            }
            Some(held) if *held != read_row::<Letter>(value.value())?.held => {
                findings.problem(format!("the mail that waits is not the one that entry {number} tells of"));
            }
            Some(_) => {}
        }
    }
    for number in expected.letters.keys() {
        // An answer that is erased took its row with it and left the entry of the mail.
        if table.get(number)?.is_none() && expected.last_erased.is_none_or(|erased| erased < *number) {
            findings
                .problem(format!("the mail of entry {number} waits for an answer, and is not in the inbox"));
        }
    }
    Ok(())
}

/// Fold each profile anew from the entries about its address.
fn check_profiles(reading: &ReadTransaction, findings: &mut Findings) -> Result<(), Fault> {
    let by_address = reading.open_table(BY_ADDRESS)?;
    let suppressed = reading.open_table(SUPPRESSED)?;
    let mut listed = 0u64;
    let (erased, hashed_with) = (reading.open_table(ERASED)?, hash_key(reading)?);
    for row in reading.open_table(PROFILES)?.iter()? {
        let (key, value) = row?;
        let (sender, address) = key.value();
        let since = erased_at(&erased, &hashed_with, address)?;
        let numbers = by_address.range((address, since)..=(address, u64::MAX))?;
        let numbers =
            numbers.map(|row| Ok(row?.0.value().1)).collect::<Result<Vec<_>, redb::StorageError>>()?;
        let mut profile = Profile::default();
        let mut any = false;
        for (number, entry) in entries_of(reading, numbers)? {
            if profile_of(&entry.event).is_some_and(|(of, who)| of.0 == sender && who.as_str() == address) {
                fold(&mut profile, number, entry.at, &entry.event);
                any = true;
            }
        }
        let is_listed = suppressed.get((sender, address))?.is_some();
        listed += u64::from(is_listed);
        if is_listed == profile.suppressions.is_empty() {
            findings.problem(format!("the list of the suppressed is wrong about ({sender}, {address})"));
        }
        if !any {
            findings.problem(format!("the profile ({sender}, {address}) follows from no entry"));
        } else if profile != read_profile(Some(value.value()))? {
            findings.problem(format!("the profile ({sender}, {address}) is not what the entries say"));
        }
    }
    if suppressed.len()? != listed {
        findings.problem("the list of the suppressed names some who have no profile".to_owned());
    }
    Ok(())
}
