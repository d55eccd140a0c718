//! The outbox against the entries. Who is owed a telling follows from the config of its day and stands in no entry, so
//! that none was taken out cannot be seen here; each that is there must be what the entries say of it
//! (docs/decisions/0036-what-fsck-derives.md).

use std::collections::BTreeSet;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable as _};

use super::Findings;
use super::pass::Expected;
use crate::ledger::{Entry, EntryNumber, News, Owed, OwedId, OwedState, Telling, Told};
use crate::store::error::Fault;
use crate::store::outbox::OUTBOX;
use crate::store::tables::{ENTRIES, StoredEntry, read_entry, read_row};

/// The rows, and what the entries said of them so far.
pub(super) struct Tellings {
    rows: ReadOnlyTable<(u64, u32), &'static [u8]>,
    /// Rows that some entry says were given up.
    given_up: BTreeSet<OwedId>,
}

impl Tellings {
    pub(super) fn open(reading: &ReadTransaction) -> Result<Self, Fault> {
        Ok(Self { rows: reading.open_table(OUTBOX)?, given_up: BTreeSet::new() })
    }

    /// Entry `number` says how a telling ended.
    pub(super) fn ended(
        &mut self,
        number: EntryNumber,
        told: &Told,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let id = OwedId { fact: told.fact, index: told.index };
        if self.rows.get((id.fact, id.index))?.is_none() {
            return Ok(());
        }
        match told.outcome {
            Telling::GivenUp => drop(self.given_up.insert(id)),
            Telling::Told | Telling::NotNeeded => {
                findings
                    .problem(format!("the telling {id} is over, as entry {number} says, and is still owed"));
            }
        }
        Ok(())
    }

    /// After the pass: each row tells of an entry that is there, to those whom it is about.
    pub(super) fn check(
        &self,
        reading: &ReadTransaction,
        expected: &Expected,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let entries = reading.open_table(ENTRIES)?;
        for row in self.rows.iter()? {
            let (key, value) = row?;
            let (fact, index) = key.value();
            let (id, owed) = (OwedId { fact, index }, read_row::<Owed>(value.value())?);
            match entries.get(fact)?.map(|row| read_entry(row.value())) {
                None => findings.problem(format!("the telling {id} is of an entry that is not there")),
                Some(Ok(StoredEntry::Whole { bytes, .. })) if !is_about(&bytes, &owed) => {
                    findings.problem(format!("the telling {id} is not about what entry {fact} says"));
                }
                // Erased since: whoever tells it will find that there is nothing to tell.
                Some(_) => {}
            }
            let erased_since = expected.last_erased.is_some_and(|last| last > fact);
            if owed.state == OwedState::Dead && !self.given_up.contains(&id) && !erased_since {
                findings.problem(format!("the telling {id} counts as given up, and no entry says so"));
            }
        }
        Ok(())
    }
}

fn is_about(entry: &[u8], owed: &Owed) -> bool {
    // One that cannot be read was named in the pass.
    let Ok(entry) = Entry::parse(entry) else { return true };
    News::of(&entry.event)
        .is_some_and(|news| *news.sender() == owed.sender && *news.address() == owed.address)
}
