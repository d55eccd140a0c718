//! What start-up finds after a crash (promise 1): every admitted copy without an outcome becomes *in
//! doubt*, in an entry of its own.

use jiff::Timestamp;
use redb::ReadableTable as _;

use super::Store;
use super::error::Fault;
use super::guard::guarded;
use super::tables::{OPEN, Open, SPOOL, read_row, read_spooled};
use crate::ledger::{Event, Outcome, Record, RecordError, Side, SpoolState, Spooled};
use crate::mail::CopyId;
use crate::policy::Unavailable;
use crate::relay::{InDoubt, SpoolView};

/// Records in one commit of the recovery.
const AT_ONCE: usize = 500;

/// What start-up found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Copies that went straight through and have no outcome. Their clients were never answered.
    pub in_doubt: Vec<CopyId>,
    /// Spooled copies that were being sent; they wait again, or are held.
    pub interrupted: Vec<CopyId>,
    /// Copies in the spool, those included.
    pub spooled: u64,
}

impl Store {
    /// Look for what a crash left behind and record it; a copy in the spool that was being tried waits again,
    /// due at once, or is held, as `in_doubt` says. To be called once, before anything is sent.
    pub fn recover(&self, in_doubt: InDoubt) -> Result<Recovered, RecordError> {
        let store = |unavailable: Unavailable| RecordError::Store(unavailable.0);
        let now = self.inner.clock.now();
        let mut recovered =
            Recovered { spooled: SpoolView::count(self).map_err(store)?, ..Recovered::default() };
        loop {
            let records = guarded(|| self.interrupted(in_doubt, now));
            let records = records.map_err(|fault| RecordError::Store(fault.to_string()))?;
            if records.is_empty() {
                break;
            }
            recovered.interrupted.extend(records.iter().filter_map(copies_of));
            self.write(records)?;
        }
        loop {
            let records = guarded(|| self.silent()).map_err(|fault| RecordError::Store(fault.to_string()))?;
            if records.is_empty() {
                break;
            }
            recovered.in_doubt.extend(records.iter().filter_map(copies_of));
            self.write(records)?;
        }
        Ok(recovered)
    }

    /// Hold every copy in the spool that is not held: it is of another time, and may have gone since. Gives how many
    /// are held now that were not.
    pub fn hold_spool(&self) -> Result<u64, RecordError> {
        let unread = |unavailable: Unavailable| RecordError::Store(unavailable.0);
        let (mut after, mut held) = (None, 0);
        loop {
            let page = SpoolView::list(self, after, AT_ONCE).map_err(unread)?;
            let Some(last) = page.last() else { return Ok(held) };
            after = Some(last.copy);
            let moving = page.into_iter().filter(|spooled| spooled.state != SpoolState::Held);
            let records: Vec<Record> = moving
                .map(|spooled| Spooled { state: SpoolState::Held, ..spooled })
                .map(|spooled| Record { events: Vec::new(), sides: vec![Side::Spool(Box::new(spooled))] })
                .collect();
            held += records.len() as u64;
            self.write(records)?;
        }
    }

    /// Spooled copies that were being tried.
    fn interrupted(&self, in_doubt: InDoubt, now: Timestamp) -> Result<Vec<Record>, Fault> {
        let table = self.transaction().map_err(|error| Fault::Format(error.0))?.open_table(SPOOL)?;
        let mut records = Vec::new();
        for row in table.iter()? {
            let spooled = read_spooled(row?.1.value())?;
            if spooled.state != SpoolState::Trying {
                continue;
            }
            let reply = "the gateway stopped while this copy was being sent";
            let state = match in_doubt {
                InDoubt::Retry => SpoolState::Waiting { next: now },
                InDoubt::Hold => SpoolState::Held,
            };
            let outcome = Outcome {
                copy: spooled.copy,
                recipients: spooled.recipients.iter().map(|one| one.address.clone()).collect(),
                reply: reply.to_owned(),
                next_hop: String::new(),
                tls: None,
                // Counted when it was marked as being tried.
                attempt: spooled.attempts,
            };
            let waiting = Spooled { state, last_reply: reply.to_owned(), ..spooled };
            records.push(Record {
                events: vec![Event::InDoubt(outcome)],
                sides: vec![Side::Spool(Box::new(waiting))],
            });
            if records.len() == AT_ONCE {
                break;
            }
        }
        Ok(records)
    }

    /// Open admissions of copies that are not in the spool.
    fn silent(&self) -> Result<Vec<Record>, Fault> {
        let reading = self.transaction().map_err(|error| Fault::Format(error.0))?;
        let spool = reading.open_table(SPOOL)?;
        let mut records = Vec::new();
        for row in reading.open_table(OPEN)?.iter()? {
            let (key, value) = row?;
            if spool.get(key.value())?.is_some() {
                continue;
            }
            let open: Open = read_row(value.value())?;
            records.push(Record::of(Event::InDoubt(Outcome {
                copy: CopyId::from_bytes(*key.value()),
                recipients: open.recipients.into_iter().map(|(recipient, _)| recipient).collect(),
                reply: "the gateway stopped between admission and outcome".to_owned(),
                next_hop: open.next_hop,
                tls: None,
                attempt: 1,
            })));
            if records.len() == AT_ONCE {
                break;
            }
        }
        Ok(records)
    }
}

fn copies_of(record: &Record) -> Option<CopyId> {
    record.events.first().and_then(Event::copy)
}
