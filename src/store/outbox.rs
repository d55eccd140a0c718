//! The outbox: tellings that are owed, by the entry they tell of. Only the first of each lane is in the list
//! of what is due, so that order holds, and an endpoint that is down hides nobody else's turn.

use std::ops::Bound;

use jiff::Timestamp;
use redb::{ReadTransaction, ReadableTable as _, Table, TableDefinition, WriteTransaction};

use super::Store;
use super::error::Fault;
use super::guard::guarded;
use super::tables::{ENTRIES, StoredEntry, read_entry, read_row, write_row};
use crate::ledger::{EntryNumber, NEVER_PUT_OFF, OutboxView, Owed, OwedId, OwedState};
use crate::policy::Unavailable;

/// Tellings by entry number and place.
pub(super) const OUTBOX: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("outbox");
/// Waiting tellings by lane.
pub(super) const LANES: TableDefinition<(&str, u64, u32), ()> = TableDefinition::new("outbox_lanes");
/// The first of each lane, by the nanosecond (since 1970, UTC) at which it is due.
pub(super) const OWED_DUE: TableDefinition<(i128, u64, u32), ()> = TableDefinition::new("outbox_due");

/// The tables, open in one write transaction.
pub(super) struct Outbox<'t> {
    rows: Table<'t, (u64, u32), &'static [u8]>,
    lanes: Table<'t, (&'static str, u64, u32), ()>,
    due: Table<'t, (i128, u64, u32), ()>,
}

impl<'t> Outbox<'t> {
    /// Open the tables; makes those that a store of an earlier release does not have.
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, Fault> {
        Ok(Self {
            rows: transaction.open_table(OUTBOX)?,
            lanes: transaction.open_table(LANES)?,
            due: transaction.open_table(OWED_DUE)?,
        })
    }

    /// A new telling takes its place at the end of its lane.
    pub(super) fn owe(&mut self, id: OwedId, owed: &Owed) -> Result<(), Fault> {
        self.rows.insert((id.fact, id.index), write_row(owed)?.as_slice())?;
        let OwedState::Waiting { next } = owed.state else { return Ok(()) };
        let lane = owed.lane();
        if self.first(&lane)?.is_none() {
            self.due.insert((next.as_nanosecond(), id.fact, id.index), ())?;
        }
        self.lanes.insert((lane.as_str(), id.fact, id.index), ())?;
        Ok(())
    }

    /// It is to be tried again, or given up.
    pub(super) fn defer(&mut self, id: OwedId, owed: &Owed) -> Result<(), Fault> {
        if self.take(id)?.is_none() {
            return Ok(());
        }
        self.rows.insert((id.fact, id.index), write_row(owed)?.as_slice())?;
        let lane = owed.lane();
        if let OwedState::Waiting { next } = owed.state {
            // It keeps its place: what follows it still waits for it.
            match self.first(&lane)? {
                Some(first) if first < id => {}
                Some(first) => {
                    self.undue(first)?;
                    self.due.insert((next.as_nanosecond(), id.fact, id.index), ())?;
                }
                None => {
                    self.due.insert((next.as_nanosecond(), id.fact, id.index), ())?;
                }
            }
            self.lanes.insert((lane.as_str(), id.fact, id.index), ())?;
        }
        Ok(())
    }

    /// It is over.
    pub(super) fn paid(&mut self, id: OwedId) -> Result<(), Fault> {
        self.take(id)?;
        self.rows.remove((id.fact, id.index))?;
        Ok(())
    }

    /// Take it out of its lane, where the next one moves up.
    fn take(&mut self, id: OwedId) -> Result<Option<Owed>, Fault> {
        let Some(owed) = self.row(id)? else { return Ok(None) };
        let lane = owed.lane();
        self.undue(id)?;
        self.lanes.remove((lane.as_str(), id.fact, id.index))?;
        if let Some(first) = self.first(&lane)?
            && let Some(Owed { state: OwedState::Waiting { next }, .. }) = self.row(first)?
        {
            self.due.insert((next.as_nanosecond(), first.fact, first.index), ())?;
        }
        Ok(Some(owed))
    }

    /// Put tellings into the lanes of the addresses as `refolded` has them.
    pub(super) fn refold(&mut self, refolded: &dyn Fn(&str) -> String) -> Result<(), Fault> {
        let mut moved = Vec::new();
        for row in self.lanes.iter()? {
            let key = row?.0;
            let (lane, fact, index) = key.value();
            let is_old = lane.rsplit_once('\n').is_some_and(|(_, address)| refolded(address) != address);
            if !lane.is_ascii() && is_old {
                moved.push((lane.to_owned(), OwedId { fact, index }));
            }
        }
        for (lane, id) in moved {
            self.lanes.remove((lane.as_str(), id.fact, id.index))?;
            self.undue(id)?;
            // The row is read with the address as it is folded now.
            if let Some(owed) = self.row(id)? {
                self.owe(id, &owed)?;
            }
        }
        Ok(())
    }

    fn undue(&mut self, id: OwedId) -> Result<(), Fault> {
        if let Some(Owed { state: OwedState::Waiting { next }, .. }) = self.row(id)? {
            self.due.remove((next.as_nanosecond(), id.fact, id.index))?;
        }
        Ok(())
    }

    fn row(&self, id: OwedId) -> Result<Option<Owed>, Fault> {
        self.rows.get((id.fact, id.index))?.map(|row| read_row(row.value())).transpose()
    }

    fn first(&self, lane: &str) -> Result<Option<OwedId>, Fault> {
        let first = self.lanes.range((lane, 0, 0)..=(lane, u64::MAX, u32::MAX))?.next().transpose()?;
        Ok(first.map(|(key, _)| {
            let (_, fact, index) = key.value();
            OwedId { fact, index }
        }))
    }
}

/// What is wrong with the outbox, one line each.
pub(super) fn check(reading: &ReadTransaction) -> Result<Vec<String>, Fault> {
    let rows = reading.open_table(OUTBOX)?;
    let (lanes, due) = (reading.open_table(LANES)?, reading.open_table(OWED_DUE)?);
    let mut wrong = Vec::new();
    let mut waiting = 0u64;
    for row in rows.iter()? {
        let (key, value) = row?;
        let (fact, index) = key.value();
        let owed: Owed = read_row(value.value())?;
        let id = OwedId { fact, index };
        let OwedState::Waiting { next } = owed.state else { continue };
        waiting += 1;
        let lane = owed.lane();
        if lanes.get((lane.as_str(), fact, index))?.is_none() {
            wrong.push(format!("the telling {id} is in no lane"));
        }
        let first = lanes.range((lane.as_str(), 0, 0)..=(lane.as_str(), u64::MAX, u32::MAX))?.next();
        let is_first = first.transpose()?.is_some_and(|(key, _)| {
            let (_, first, place) = key.value();
            (first, place) == (fact, index)
        });
        if due.get((next.as_nanosecond(), fact, index))?.is_some() != is_first {
            wrong.push(format!("the telling {id} is due out of turn"));
        }
    }
    if redb::ReadableTableMetadata::len(&lanes)? != waiting {
        wrong.push("the lanes of the outbox name tellings that do not wait".to_owned());
    }
    Ok(wrong)
}

impl OutboxView for Store {
    fn owed(&self, now: Timestamp, limit: usize) -> Result<Vec<(OwedId, Owed)>, Unavailable> {
        let reading = self.transaction()?;
        let owed = || -> Result<Vec<(OwedId, Owed)>, Fault> {
            let (due, rows) = (reading.open_table(OWED_DUE)?, reading.open_table(OUTBOX)?);
            let mut all = Vec::new();
            let far = Bound::Excluded((now.as_nanosecond() + NEVER_PUT_OFF.as_nanos(), u64::MAX, u32::MAX));
            let rows_due = due.range(..=(now.as_nanosecond(), u64::MAX, u32::MAX))?;
            for row in rows_due.chain(due.range((far, Bound::Unbounded))?).take(limit) {
                let (_, fact, index) = row?.0.value();
                if let Some(row) = rows.get((fact, index))? {
                    all.push((OwedId { fact, index }, read_row(row.value())?));
                }
            }
            Ok(all)
        };
        Ok(guarded(owed)?)
    }

    fn next_owed(&self) -> Result<Option<Timestamp>, Unavailable> {
        let reading = self.transaction()?;
        let next = || -> Result<Option<Timestamp>, Fault> {
            let first = reading.open_table(OWED_DUE)?.first()?.map(|(key, _)| key.value().0);
            first
                .map(Timestamp::from_nanosecond)
                .transpose()
                .map_err(|error| Fault::Format(error.to_string()))
        };
        Ok(guarded(next)?)
    }

    fn entry(&self, number: EntryNumber) -> Result<Option<Vec<u8>>, Unavailable> {
        let reading = self.transaction()?;
        let entry = || -> Result<Option<Vec<u8>>, Fault> {
            let table = reading.open_table(ENTRIES)?;
            let Some(row) = table.get(number)? else { return Ok(None) };
            Ok(match read_entry(row.value())? {
                StoredEntry::Whole { bytes, .. } => Some(bytes),
                StoredEntry::Erased { .. } => None,
            })
        };
        Ok(guarded(entry)?)
    }

    fn lane(&self, lane: &str, limit: usize) -> Result<Vec<(OwedId, Owed)>, Unavailable> {
        let reading = self.transaction()?;
        let all = || -> Result<Vec<(OwedId, Owed)>, Fault> {
            let (lanes, rows) = (reading.open_table(LANES)?, reading.open_table(OUTBOX)?);
            let mut all = Vec::new();
            for row in lanes.range((lane, 0, 0)..=(lane, u64::MAX, u32::MAX))?.take(limit) {
                let key = row?.0;
                let (_, fact, index) = key.value();
                if let Some(row) = rows.get((fact, index))? {
                    all.push((OwedId { fact, index }, read_row(row.value())?));
                }
            }
            Ok(all)
        };
        Ok(guarded(all)?)
    }

    fn list_owed(&self, after: Option<OwedId>, limit: usize) -> Result<Vec<(OwedId, Owed)>, Unavailable> {
        let reading = self.transaction()?;
        let list = || -> Result<Vec<(OwedId, Owed)>, Fault> {
            let table = reading.open_table(OUTBOX)?;
            let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded((id.fact, id.index)));
            let mut all = Vec::new();
            for row in table.range((from, Bound::Unbounded))?.take(limit) {
                let (key, value) = row?;
                let (fact, index) = key.value();
                all.push((OwedId { fact, index }, read_row(value.value())?));
            }
            Ok(all)
        };
        Ok(guarded(list)?)
    }

    fn find_owed(&self, id: OwedId) -> Result<Option<Owed>, Unavailable> {
        let reading = self.transaction()?;
        let find = || -> Result<Option<Owed>, Fault> {
            let table = reading.open_table(OUTBOX)?;
            table.get((id.fact, id.index))?.map(|row| read_row(row.value())).transpose()
        };
        Ok(guarded(find)?)
    }
}
