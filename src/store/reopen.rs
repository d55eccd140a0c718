//! After a failed sync: the file is opened again, and what nobody knew the fate of is settled.

use std::sync::PoisonError;

use jiff::SignedDuration;
use redb::Database;

use super::Store;
use super::guard::{caught, guarded};
use super::write::{Tip, Writer};
use crate::ledger::{Event, Outcome, Ready, Record, RecordError, Side};

/// How long the file is left alone after it could not be opened again.
const REOPEN_PAUSE: SignedDuration = SignedDuration::from_secs(1);

pub(super) const CLOSED: &str = "the store is closed after a disk error";

/// A commit of which nobody knows whether it stands.
#[derive(Debug)]
pub(super) struct Limbo {
    /// Its number.
    commits: u64,
    /// What it would have admitted, as the outcomes that take it back.
    admitted: Vec<Outcome>,
}

impl Limbo {
    /// Commit number `commits`, of `batch`.
    pub(super) fn of(commits: u64, batch: &[Ready]) -> Self {
        Self { commits, admitted: admissions(batch) }
    }
}

impl Store {
    pub(super) fn close(&self, writer: &mut Writer) {
        let database = self.inner.database.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Err(why) = caught(|| drop(database)) {
            tracing::error!(why, "the store could not be closed well");
        }
        self.inner.recent.outdate();
        writer.closed_until = Some(self.inner.clock.now());
    }

    pub(super) fn reopen_if_closed(&self, writer: &mut Writer) -> Result<(), RecordError> {
        let Some(until) = writer.closed_until else { return Ok(()) };
        let now = self.inner.clock.now();
        if now < until && until.duration_since(now) <= REOPEN_PAUSE {
            return Err(RecordError::Store(CLOSED.to_owned()));
        }
        self.reopen(writer)?;
        writer.limbo = None;
        Ok(())
    }

    /// Open the file again. Readers see it once [`Store::clear_limbo`] is through.
    pub(super) fn reopen(&self, writer: &mut Writer) -> Result<(), RecordError> {
        let opened = Writer::open(&*self.inner.disk, &self.inner.settings, &*self.inner.entropy)
            .map_err(|error| RecordError::Store(error.to_string()))
            .and_then(|(database, fresh)| {
                let mut tip = fresh.tip;
                tip.signed_at = writer.tip.signed_at;
                let tip = self.clear_limbo(&database, tip, writer.limbo.as_ref())?;
                Ok((database, tip))
            });
        match opened {
            Ok((database, tip)) => {
                *self.inner.database.write().unwrap_or_else(PoisonError::into_inner) = Some(database);
                self.inner.recent.outdate();
                writer.tip = tip;
                writer.closed_until = None;
                Ok(())
            }
            Err(error) => {
                writer.closed_until = self.inner.clock.now().checked_add(REOPEN_PAUSE).ok();
                Err(error)
            }
        }
    }

    /// A commit whose sync failed while the file could not even be opened again: its sessions were told
    /// that nothing was written. If it turns out to be there after all, what it admitted is cancelled
    /// and leaves the spool, or it would go out twice: once by us, once by the client's next try.
    fn clear_limbo(&self, database: &Database, tip: Tip, limbo: Option<&Limbo>) -> Result<Tip, RecordError> {
        let Some(Limbo { commits, admitted }) = limbo else { return Ok(tip) };
        if tip.commits < *commits || admitted.is_empty() {
            return Ok(tip);
        }
        let sides = admitted.iter().map(|outcome| Side::Unspool(outcome.copy)).collect();
        let events = admitted.iter().cloned().map(Event::Cancelled).collect();
        let batch = [Ready::new(Record { events, sides })?];
        let mut cleared = tip;
        guarded(|| self.try_commit(database, &batch, &mut cleared, &mut Vec::new()))
            .map_err(|fault| RecordError::Store(fault.to_string()))?;
        Ok(cleared)
    }
}

/// What `batch` admits, as the outcomes that would take it back.
fn admissions(batch: &[Ready]) -> Vec<Outcome> {
    let cancelled = |event: &Event| match event {
        Event::Admitted(it) => Some(Outcome {
            copy: it.copy,
            recipients: it.recipients.iter().map(|one| one.recipient.clone()).collect(),
            reply: "not sent: the store failed while this was recorded, and the client was told to try again"
                .to_owned(),
            next_hop: it.next_hop.clone(),
            tls: None,
            attempt: 0,
        }),
        _ => None,
    };
    batch.iter().flat_map(|record| record.events.iter().filter_map(cancelled)).collect()
}
