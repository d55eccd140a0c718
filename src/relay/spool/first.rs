//! The first delivery of several copies, while the client waits (DESIGN section 3).

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

use super::super::dsn::{self, Returned};
use super::super::{Answer, Copy, Delivery};
use super::outcome::{Settled, settle};
use super::{Flight, Spool};
use crate::ledger::{Event, Record, RecordError, Side, SpoolState, Spooled};
use crate::mail::Address;
use crate::metrics;

/// Outcomes that are recorded in one go.
const BATCH: usize = 64;

/// What the waiting client is to be told. All that it rests on is durable.
#[derive(Debug)]
pub enum FirstTry {
    /// Everybody has it; the next hop's answer for the first.
    Relayed(Answer),
    /// Everybody was refused for good: the client keeps the message, and no DSN was made.
    Refused(Vec<(Address, Answer)>),
    /// All is known: some have it, the others were refused for good.
    Partly {
        /// The next hop's answer for the first that has it.
        relayed: Answer,
        /// Who was refused, and why.
        refused: Vec<(Address, Answer)>,
        /// Whether a DSN tells the sender; not for a null reverse-path, an automatic message or
        /// `NOTIFY=NEVER`.
        told: bool,
    },
    /// Some still wait in the spool.
    Queued {
        /// Who was refused for good so far, and why.
        refused: Vec<(Address, Answer)>,
        /// As above.
        told: bool,
    },
    /// The next hop is down, nobody has it, and it was taken out of the spool again: the client keeps it.
    Down(Answer),
    /// A DSN that is due could not be made durable: the client keeps the message, though some may have it.
    Unproven(RecordError),
}

/// A copy in its first try.
#[derive(Debug)]
struct First {
    copy: Copy,
    spooled: Spooled,
    _flight: Flight,
}

/// What was heard of the copies so far.
#[derive(Debug, Default)]
struct Tally {
    heard: usize,
    relayed: Option<Answer>,
    /// With the position of their copies.
    refused: Vec<(u32, dsn::Failure)>,
    waiting: usize,
    /// Copies that found the next hop down; not recorded yet.
    down: Vec<(First, Delivery)>,
}

impl FirstTry {
    /// Whether the message is ours now, so that the client will not come again.
    pub fn is_taken(&self) -> bool {
        match self {
            Self::Relayed(_) | Self::Partly { .. } | Self::Queued { .. } => true,
            Self::Refused(_) | Self::Down(_) | Self::Unproven(_) => false,
        }
    }
}

impl Spool {
    /// Deliver copies that were recorded as admitted and put into the spool as [`SpoolState::Trying`], each
    /// with what the spool knows of it (its recipients in the order of the copy's). They go in parallel
    /// over the next hop's connections. Returns when all outcomes are known and recorded, or when
    /// `patience` is over; the rest goes on in the background. When the next hop is down and nobody has
    /// it, the copies are withdrawn, unless `queue_when_down`.
    pub async fn deliver_first(
        &self,
        copies: Vec<(Copy, Spooled)>,
        returned: &Returned,
        patience: Duration,
        queue_when_down: bool,
    ) -> FirstTry {
        let total = copies.len();
        let deadline = Instant::now() + patience;
        let (heard, mut hearing) = mpsc::channel(total.max(1));
        for (copy, spooled) in copies {
            // Ids are new, so nobody else can have boarded it.
            let Some(flight) = self.board(copy.id) else { continue };
            let first = First { copy, spooled, _flight: flight };
            let task = self.clone().try_first(first, deadline, heard.clone());
            // The log lines of its copies belong to the session.
            self.inner.parts.shutdown.spawn(task.in_current_span());
        }
        drop(heard);
        let mut tally = Tally::default();
        loop {
            let mut batch = Vec::new();
            match timeout_at(deadline, hearing.recv_many(&mut batch, BATCH)).await {
                Ok(0) | Err(_) => break,
                Ok(_) => self.hear(batch, returned, &mut tally).await,
            }
        }
        // From here on a task keeps what it learns, and records it itself.
        hearing.close();
        let mut batch = Vec::new();
        while let Ok(one) = hearing.try_recv() {
            batch.push(one);
        }
        self.hear(batch, returned, &mut tally).await;
        let nobody = tally.relayed.is_none() && tally.refused.is_empty() && tally.waiting == 0;
        let all_down = nobody && tally.heard == total && !tally.down.is_empty();
        if all_down && !queue_when_down {
            return self.withdraw(tally).await;
        }
        self.conclude(tally, total, returned).await
    }

    /// One copy: wait for room until `deadline`, deliver, and report, or record it when nobody listens.
    async fn try_first(self, first: First, deadline: Instant, heard: mpsc::Sender<(First, Delivery)>) {
        let room = timeout_at(deadline, self.inner.first.clone().acquire_owned()).await;
        let Ok(Ok(room)) = room else {
            // Not begun: the worker gets to it, and memory is not kept waiting (promise 10).
            drop(heard);
            return self.leave_to_worker(first).await;
        };
        // Its turn may have come late: an unsubscribe meanwhile wins (promise 6).
        let may_go = || self.ask_once_more(&first.spooled);
        let delivery = self.inner.parts.relay.deliver(&first.copy, &may_go).await;
        drop(room);
        if let Err(unheard) = heard.try_send((first, delivery)) {
            let (first, delivery) = unheard.into_inner();
            self.finish(&first.copy, &first.spooled, &delivery).await;
        }
    }

    async fn leave_to_worker(&self, first: First) {
        let now = self.now();
        let state = SpoolState::Waiting { next: now };
        let waiting = Spooled { state, attempts: 0, ..first.spooled };
        let side = || vec![Side::Spool(Box::new(waiting.clone()))];
        self.insist(|| Record { events: Vec::new(), sides: side() }).await;
    }

    /// Record outcomes as they come. Refusals get no DSN yet: if all are refused, the client is told.
    async fn hear(&self, batch: Vec<(First, Delivery)>, returned: &Returned, tally: &mut Tally) {
        let now = self.now();
        let mut record = Record::default();
        let mut settled = Vec::new();
        for (first, delivery) in batch {
            tally.heard += 1;
            if delivery.down {
                tally.down.push((first, delivery));
                continue;
            }
            let one = settle(&first.spooled, &delivery, self.terms(&first.spooled, now));
            self.add(&mut record, &one, returned, now);
            settled.push((one, first, delivery));
        }
        if settled.is_empty() {
            return;
        }
        let blocks = self.tell_blocks(&mut record);
        match self.inner.parts.scribe.record(record).await {
            Ok(_) => {
                if blocks {
                    self.wake();
                }
                for (one, first, _) in settled {
                    one.count();
                    tally.waiting += usize::from(one.waiting.is_some());
                    let at = first.copy.id.index;
                    tally.refused.extend(one.failures.into_iter().map(|failure| (at, failure)));
                    tally.relayed = tally.relayed.take().or(one.answer);
                }
            }
            Err(error) => {
                tracing::error!(%error, "outcomes could not be recorded yet");
                tally.waiting += settled.len();
                settled.into_iter().for_each(|(_, first, delivery)| self.finish_later(first, delivery));
            }
        }
    }

    fn add(&self, record: &mut Record, one: &Settled, returned: &Returned, now: jiff::Timestamp) {
        record.events.extend(one.events.iter().cloned());
        record.sides.push(one.side());
        self.report(record, returned, one.reports.clone(), now);
    }

    /// The copy is durable as being tried; its outcome is recorded as soon as that works.
    fn finish_later(&self, first: First, delivery: Delivery) {
        let spool = self.clone();
        self.inner.parts.shutdown.spawn(async move {
            spool.finish(&first.copy, &first.spooled, &delivery).await;
            drop(first);
        });
    }

    /// The client keeps the message: take the copies out again.
    async fn withdraw(&self, mut tally: Tally) -> FirstTry {
        let answer = tally.down[0].1.fates[0].answer().clone();
        let mut record = Record::default();
        for (first, _) in &tally.down {
            let outcome = self.outcome(&first.spooled, &first.spooled.recipients, &answer);
            record.events.push(Event::Cancelled(outcome));
            record.sides.push(Side::Unspool(first.copy.id));
        }
        if let Err(error) = self.inner.parts.scribe.record(record).await {
            // They are durable in the spool, so the client may as well be told so.
            tracing::error!(%error, "copies could not be withdrawn");
            tally.down.drain(..).for_each(|(first, delivery)| self.finish_later(first, delivery));
            return FirstTry::Queued { refused: Vec::new(), told: false };
        }
        let recipients = tally.down.iter().flat_map(|(first, _)| &first.spooled.recipients);
        recipients.for_each(|_| metrics::recipient_outcome("cancelled"));
        FirstTry::Down(answer)
    }

    /// Record what waits and the DSN that names the refused, and say what the client is to be told.
    async fn conclude(&self, mut tally: Tally, total: usize, returned: &Returned) -> FirstTry {
        let now = self.now();
        // They are named in the order of the envelope, whoever was heard of first.
        tally.refused.sort_by_key(|(at, _)| *at);
        let failures: Vec<_> = tally.refused.into_iter().map(|(_, failure)| failure).collect();
        let refused: Vec<_> = failures
            .iter()
            .map(|failure| (failure.recipient.address.clone(), failure.answer.clone()))
            .collect();
        let waits = tally.waiting > 0 || tally.heard < total || !tally.down.is_empty();
        if let (None, false) = (&tally.relayed, waits) {
            return FirstTry::Refused(refused);
        }
        let mut record = Record::default();
        for (first, delivery) in &tally.down {
            let one = settle(&first.spooled, delivery, self.terms(&first.spooled, now));
            self.add(&mut record, &one, returned, now);
        }
        let told = self.bounce(&mut record, returned, failures, now);
        if !record.sides.is_empty() {
            if let Err(error) = self.inner.parts.scribe.record(record).await {
                tracing::error!(%error, "outcomes could not be recorded yet");
                tally.down.into_iter().for_each(|(first, delivery)| self.finish_later(first, delivery));
                if told {
                    return FirstTry::Unproven(error);
                }
            }
            self.wake();
        }
        match tally.relayed {
            Some(relayed) if !waits && refused.is_empty() => FirstTry::Relayed(relayed),
            Some(relayed) if !waits => FirstTry::Partly { relayed, refused, told },
            _ => FirstTry::Queued { refused, told },
        }
    }
}
