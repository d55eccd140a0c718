//! Deriving everything anew from the entries, and saying what differs (promise 8).

use redb::backends::InMemoryBackend;
use redb::{Builder, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::Store;
use super::apply::Projections;
use super::error::Fault;
use super::tables::{
    BY_ADDRESS, BY_COPY, BY_MESSAGE, BY_TEXT, CHECKPOINTS, COPIES, DUE, ENTRIES, HASHES, KEYS, KeptCopy,
    OPEN, ORIGINAL_USES, ORIGINALS, PROFILES, SPOOL, StoredEntry, read_entry, read_original, read_row,
};
use crate::ledger::checkpoint::{self, Checkpoint};
use crate::ledger::tree::{self, Edge, Hash};
use crate::ledger::{Entry, Event, SpoolState, Spooled};
use crate::mail::CopyId;
use crate::policy::Unavailable;

/// Findings listed, at most; the count goes on.
const LISTED: usize = 100;

/// What a check of the whole store found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Entries looked at.
    pub entries: u64,
    /// Of those, erased: their leaf hash stands, their payload is gone.
    pub erased: u64,
    /// Checkpoints that were signed by this gateway's keys and whose roots hold.
    pub checkpoints: u64,
    /// What is wrong, one line each; the first hundred.
    pub problems: Vec<String>,
    /// How many problems there are.
    pub problem_count: u64,
}

impl Findings {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problem_count == 0
    }

    fn problem(&mut self, line: String) {
        self.problem_count += 1;
        if self.problems.len() < LISTED {
            self.problems.push(line);
        }
    }
}

impl Store {
    /// Re-derive leaf hashes, roots, checkpoints and projections, and compare. `anchors` are checkpoints
    /// kept elsewhere: the ledger must still contain, as its beginning, what each of them signed. Reads the
    /// whole store, in one read transaction; needs memory for the projections.
    pub fn verify_all(&self, anchors: &[String]) -> Result<Findings, Unavailable> {
        let reading = self.transaction()?;
        let mut findings = Findings::default();
        let mut check = || -> Result<(), Fault> {
            let roots = check_tree(&reading, &mut findings)?;
            check_checkpoints(&reading, &roots, &mut findings)?;
            let keys = reading.open_table(KEYS)?;
            let keys = keys.iter()?.map(|row| Ok(row?.1.value().to_owned()));
            let keys = keys.collect::<Result<Vec<String>, Fault>>()?;
            for anchor in anchors {
                check_anchor(anchor, &keys, &roots, &mut findings);
            }
            check_projections(&reading, &mut findings)?;
            for problem in super::outbox::check(&reading)? {
                findings.problem(problem);
            }
            check_spool(&reading, &mut findings)
        };
        match check() {
            Ok(()) => {}
            // A record that cannot be read is what this looks for; a disk that cannot be is not.
            Err(Fault::Format(why)) => findings.problem(why),
            Err(fault) => return Err(fault.into()),
        }
        Ok(findings)
    }
}

/// The root after each number of entries.
fn check_tree(reading: &ReadTransaction, findings: &mut Findings) -> Result<Vec<Hash>, Fault> {
    let hashes = reading.open_table(HASHES)?;
    let mut edge = Edge::empty();
    let mut roots = vec![edge.root()?];
    for row in reading.open_table(ENTRIES)?.iter()? {
        let (number, value) = row?;
        let (number, expected) = (number.value(), edge.size());
        if number != expected {
            findings.problem(format!("entry {expected} is missing"));
            // What follows cannot be placed in the tree.
            return Ok(roots);
        }
        findings.entries += 1;
        let stored = hashes.get(tree::leaf_index(number))?.map(|row| Hash(*row.value()));
        let leaf = match read_entry(value.value()) {
            Ok(StoredEntry::Whole { salt, bytes }) => tree::leaf(&salt, &[&bytes]),
            Ok(StoredEntry::Erased) => {
                findings.erased += 1;
                stored.unwrap_or_default()
            }
            Err(fault) => {
                findings.problem(format!("entry {number}: {fault}"));
                stored.unwrap_or_default()
            }
        };
        if stored != Some(leaf) {
            findings.problem(format!("entry {number} is not what its leaf hash says"));
        }
        for (index, hash) in edge.append(leaf)? {
            if hashes.get(index)?.map(|row| Hash(*row.value())) != Some(hash) {
                findings
                    .problem(format!("tree hash {index} (under entry {number}) is not the hash below it"));
            }
        }
        roots.push(edge.root()?);
    }
    Ok(roots)
}

fn check_checkpoints(
    reading: &ReadTransaction,
    roots: &[Hash],
    findings: &mut Findings,
) -> Result<(), Fault> {
    let keys = reading.open_table(KEYS)?;
    let entries = reading.open_table(ENTRIES)?;
    let table = reading.open_table(CHECKPOINTS)?;
    for row in table.iter()? {
        let (size, note) = row?;
        let (size, note) = (size.value(), note.value());
        let key = keys.range(..=size)?.next_back().transpose()?.map(|(_, key)| key.value().to_owned());
        let Some(key) = key else {
            findings.problem(format!("no key is on record for the checkpoint of {size} entries"));
            continue;
        };
        match checkpoint::verify(note, &key) {
            Ok(signed) if signed.size == size => {
                if root_holds(&signed, roots) {
                    findings.checkpoints += 1;
                } else {
                    findings.problem(format!("the first {size} entries are not what was signed"));
                }
            }
            Ok(_) => findings.problem(format!("the checkpoint under {size} is of another size")),
            Err(error) => findings.problem(format!("the checkpoint of {size} entries: {error}")),
        }
    }
    for row in entries.iter()? {
        let (number, value) = row?;
        let Ok(StoredEntry::Whole { bytes, .. }) = read_entry(value.value()) else { continue };
        let Ok(Entry { event: Event::Checkpoint { size, note, .. }, .. }) = Entry::parse(&bytes) else {
            continue;
        };
        if table.get(size)?.is_none_or(|kept| kept.value() != note) {
            findings.problem(format!("entry {} names a checkpoint that is not there", number.value()));
        }
    }
    Ok(())
}

/// A checkpoint from outside, signed by any key this gateway ever had.
fn check_anchor(note: &str, keys: &[String], roots: &[Hash], findings: &mut Findings) {
    match keys.iter().find_map(|key| checkpoint::verify(note, key).ok()) {
        Some(signed) if root_holds(&signed, roots) => {}
        Some(signed) => findings.problem(format!(
            "the ledger does not begin with the {} entries that were signed in the checkpoint given",
            signed.size
        )),
        None => findings.problem("the checkpoint given was signed by no key of this gateway".to_owned()),
    }
}

fn root_holds(signed: &Checkpoint, roots: &[Hash]) -> bool {
    usize::try_from(signed.size).ok().and_then(|size| roots.get(size)) == Some(&signed.root)
}

/// Apply all entries to empty projections and compare row by row.
fn check_projections(reading: &ReadTransaction, findings: &mut Findings) -> Result<(), Fault> {
    let fresh = Builder::new()
        .create_with_backend(InMemoryBackend::new())
        .map_err(|error| Fault::Redb(error.into()))?;
    let transaction = fresh.begin_write()?;
    {
        let spool = reading.open_table(SPOOL)?;
        let mut projections = Projections::open(&transaction)?;
        for row in reading.open_table(ENTRIES)?.iter()? {
            let (number, value) = row?;
            let Ok(StoredEntry::Whole { bytes, .. }) = read_entry(value.value()) else { continue };
            let entry = Entry::parse(&bytes)?;
            projections.apply(number.value(), entry.at, &entry.event, &|copy| {
                Ok(spool.get(&copy.to_bytes())?.is_some())
            })?;
        }
    }
    transaction.commit()?;
    let derived = fresh.begin_read()?;
    compare(reading, &derived, PROFILES, "profile", findings)?;
    compare(reading, &derived, OPEN, "open admission", findings)?;
    compare(reading, &derived, BY_COPY, "index row (copy)", findings)?;
    compare(reading, &derived, BY_ADDRESS, "index row (address)", findings)?;
    compare(reading, &derived, BY_MESSAGE, "index row (Message-ID)", findings)?;
    compare(reading, &derived, BY_TEXT, "index row (consent text)", findings)
}

fn compare<K: redb::Key + 'static, V: redb::Value + 'static>(
    kept: &ReadTransaction,
    derived: &ReadTransaction,
    table: TableDefinition<K, V>,
    word: &str,
    findings: &mut Findings,
) -> Result<(), Fault> {
    let (kept, derived) = (kept.open_table(table)?, derived.open_table(table)?);
    let (mut left, mut right) = (kept.iter()?, derived.iter()?);
    let (mut a, mut b) = (left.next().transpose()?, right.next().transpose()?);
    loop {
        let order = match (&a, &b) {
            (None, None) => return Ok(()),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((left, _)), Some((right, _))) => {
                K::compare(K::as_bytes(&left.value()).as_ref(), K::as_bytes(&right.value()).as_ref())
            }
        };
        match order {
            std::cmp::Ordering::Less => {
                if let Some((key, _)) = &a {
                    findings.problem(format!("{word} {:?} follows from no entry", key.value()));
                }
                a = left.next().transpose()?;
            }
            std::cmp::Ordering::Greater => {
                if let Some((key, _)) = &b {
                    findings.problem(format!("{word} {:?} is missing", key.value()));
                }
                b = right.next().transpose()?;
            }
            std::cmp::Ordering::Equal => {
                if let (Some((key, left)), Some((_, right))) = (&a, &b)
                    && V::as_bytes(&left.value()).as_ref() != V::as_bytes(&right.value()).as_ref()
                {
                    findings.problem(format!("{word} {:?} is not what the entries say", key.value()));
                }
                a = left.next().transpose()?;
                b = right.next().transpose()?;
            }
        }
    }
}

/// The spool: each copy has its bytes, is due when it says, and each original is needed as often as counted.
fn check_spool(reading: &ReadTransaction, findings: &mut Findings) -> Result<(), Fault> {
    let (spool, due) = (reading.open_table(SPOOL)?, reading.open_table(DUE)?);
    let mut waiting = 0u64;
    for row in spool.iter()? {
        let (key, value) = row?;
        let copy = CopyId::from_bytes(*key.value());
        let spooled: Spooled = read_row(value.value())?;
        if let SpoolState::Waiting { next } = spooled.state {
            waiting += 1;
            if due.get((next.as_nanosecond(), key.value()))?.is_none() {
                findings.problem(format!("the spooled copy {copy} waits, but is never due"));
            }
        }
        if !matches!(super::read::archived(reading, copy), Ok(Some(super::Archived::Whole(_)))) {
            findings.problem(format!("the bytes of the spooled copy {copy} are missing"));
        }
    }
    if waiting != redb::ReadableTableMetadata::len(&due)? {
        findings.problem("the list of due copies names copies that do not wait".to_owned());
    }
    let mut uses = std::collections::BTreeMap::<[u8; 32], u64>::new();
    for row in reading.open_table(COPIES)?.iter()? {
        if let KeptCopy::Pieces { original, .. } = KeptCopy::read(row?.1.value())? {
            *uses.entry(original).or_default() += 1;
        }
    }
    let counted = reading.open_table(ORIGINAL_USES)?;
    for row in reading.open_table(ORIGINALS)?.iter()? {
        let (key, value) = row?;
        let bytes = read_original(value.value())?;
        if aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes).as_ref() != key.value() {
            findings.problem(format!("the original {} is not what its hash says", Hash(*key.value())));
        }
        let needed = uses.remove(key.value()).unwrap_or(0);
        if counted.get(key.value())?.map_or(0, |row| row.value()) != needed {
            findings.problem(format!(
                "the original {} is needed {needed} times, not as counted",
                Hash(*key.value())
            ));
        }
    }
    for original in uses.keys() {
        findings.problem(format!("the original {} is missing", Hash(*original)));
    }
    Ok(())
}
