//! Deriving everything anew from the entries, and saying what differs (promise 8).
//!
//! One pass over the entries ([`pass`]) checks leaves, tree, checkpoints, counts, and that every row which
//! follows from an entry is there; afterwards the tables are counted, profiles folded anew one by one
//! ([`rows`]), and outbox ([`tellings`]) and spool ([`spool`]) looked at. Memory is bounded whatever the size of the store: by the
//! copies that were open at one moment, not by the entries.

mod kept;
mod pass;
mod rows;
mod spool;
mod tellings;

use std::collections::BTreeMap;

use redb::{ReadTransaction, ReadableTable as _};

use super::Store;
use super::error::Fault;
use super::guard::guarded;
use super::tables::KEYS;
use crate::ledger::checkpoint::{self, Checkpoint};
use crate::ledger::{Counts, EntryNumber, NamedFile};
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
    /// Checkpoints that were signed by this gateway's keys and whose roots and counts hold.
    pub checkpoints: u64,
    /// Recipients by fate, as the entries add up.
    pub counts: Counts,
    /// The files beside the store that its entries name, each with the first entry that does.
    pub files: BTreeMap<NamedFile, EntryNumber>,
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
    /// [`Store::verify_with`] without a progress bar.
    pub fn verify_all(&self, anchors: &[String]) -> Result<Findings, Unavailable> {
        self.verify_with(anchors, &mut |_, _| ())
    }

    /// Re-derive leaf hashes, roots, checkpoints, counts, projections and indexes, and compare. `anchors` are
    /// checkpoints kept elsewhere: the ledger must still contain, as its beginning, what each of them signed.
    /// Reads the whole store, in one read transaction. `progress` hears now and then how many entries were
    /// looked at, and of how many.
    pub fn verify_with(
        &self,
        anchors: &[String],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Findings, Unavailable> {
        let reading = self.transaction()?;
        let mut findings = Findings::default();
        let mut check = || -> Result<(), Fault> {
            let anchors = open_anchors(&reading, anchors, &mut findings)?;
            let passed = pass::run(&reading, anchors, &mut findings, progress)?;
            rows::check(&reading, &passed.expected, &mut findings)?;
            if passed.expected.whole {
                passed.kept.check(&mut findings)?;
                passed.tellings.check(&reading, &passed.expected, &mut findings)?;
            }
            for problem in super::outbox::check(&reading)? {
                findings.problem(problem);
            }
            spool::check(&reading, &mut findings)
        };
        match guarded(&mut check) {
            Ok(()) => {}
            // A record that cannot be read is what this looks for; a disk that cannot be is not.
            Err(Fault::Format(why)) => findings.problem(why),
            Err(fault @ Fault::Damaged(_)) => findings.problem(fault.to_string()),
            Err(fault) => return Err(fault.into()),
        }
        Ok(findings)
    }
}

/// The checkpoints from outside, signed by any key this gateway ever had, in order of size.
fn open_anchors(
    reading: &ReadTransaction,
    notes: &[String],
    findings: &mut Findings,
) -> Result<Vec<Checkpoint>, Fault> {
    let keys = reading.open_table(KEYS)?;
    let keys = keys.iter()?.map(|row| Ok(row?.1.value().to_owned()));
    let keys = keys.collect::<Result<Vec<String>, Fault>>()?;
    let mut anchors = Vec::with_capacity(notes.len());
    for note in notes {
        match keys.iter().find_map(|key| checkpoint::verify(note, key).ok()) {
            Some(signed) => anchors.push(signed),
            None => findings.problem("the checkpoint given was signed by no key of this gateway".to_owned()),
        }
    }
    anchors.sort_by_key(|anchor| anchor.size);
    Ok(anchors)
}
