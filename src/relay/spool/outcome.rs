//! What a try means: entries, what still waits, and who is to be told. Pure.

use std::collections::HashMap;

use jiff::Timestamp;

use super::super::dsn::{self, Report};
use super::super::{Answer, Delivery, Fate, InDoubt, blocked_by};
use crate::ledger::{Event, Outcome, Side, SpoolState, Spooled};
use crate::mail::{Address, Recipient};
use crate::metrics;

/// What one try of one copy means.
#[derive(Debug, Clone)]
pub(super) struct Settled {
    pub events: Vec<Event>,
    /// What still waits.
    pub waiting: Option<Spooled>,
    /// The spool's copy that was tried.
    spooled: Spooled,
    /// Who does not get it, for the DSN.
    pub failures: Vec<dsn::Failure>,
    /// Who got it and wanted to know, from a next hop that will not say; and who waits for so long that the
    /// sender is told.
    pub reports: Vec<Report>,
    /// The first recipient's answer, when any has it.
    pub answer: Option<Answer>,
}

/// What the settings and the clock say about a try.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub now: Timestamp,
    /// When it would be tried again.
    pub next: Timestamp,
    pub in_doubt: InDoubt,
    /// It is late, and the sender has not been told yet.
    pub late: bool,
}

/// Entries of one kind whose recipients were told the same.
#[derive(Default)]
struct Groups {
    all: Vec<(Word, Answer, Vec<Address>)>,
    places: HashMap<(Word, Answer), usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Word {
    Relayed,
    Bounced,
    Delayed,
    InDoubt,
    Cancelled,
}

impl Groups {
    fn add(&mut self, word: Word, answer: &Answer, recipient: &Recipient) {
        let place = *self.places.entry((word, answer.clone())).or_insert_with(|| {
            self.all.push((word, answer.clone(), Vec::new()));
            self.all.len() - 1
        });
        self.all[place].2.push(recipient.address.clone());
    }

    fn into_events(self, spooled: &Spooled, delivery: &Delivery) -> Vec<Event> {
        let event = |(word, answer, recipients): (Word, Answer, Vec<Address>)| {
            let outcome = Outcome {
                copy: spooled.copy,
                recipients,
                reply: answer.to_string(),
                next_hop: delivery.next_hop.clone(),
                tls: delivery.tls.clone(),
                attempt: spooled.attempts,
            };
            match word {
                Word::Relayed => Event::Relayed(outcome),
                Word::Bounced => Event::Bounced(outcome),
                Word::Delayed => Event::Delayed(outcome),
                Word::InDoubt => Event::InDoubt(outcome),
                Word::Cancelled => Event::Cancelled(outcome),
            }
        };
        self.all.into_iter().map(event).collect()
    }
}

/// What `delivery` means for `spooled`, whose recipients are those of the copy, in order.
pub(super) fn settle(spooled: &Spooled, delivery: &Delivery, terms: Terms) -> Settled {
    let expired = terms.now >= spooled.expires_at;
    let mut groups = Groups::default();
    let (mut waiting, mut failures, mut reports) = (Vec::new(), Vec::new(), Vec::new());
    let mut blocked = Vec::new();
    let (mut held, mut first, mut last_reply) = (false, None, String::new());
    for (recipient, fate) in spooled.recipients.iter().zip(&delivery.fates) {
        let answer = fate.answer();
        match fate {
            Fate::Relayed(_) => {
                groups.add(Word::Relayed, answer, recipient);
                first.get_or_insert_with(|| answer.clone());
                reports.extend(Report::relayed(recipient, answer, delivery));
                continue;
            }
            Fate::Refused(_) => {
                groups.add(Word::Bounced, answer, recipient);
                let (class, sender) = (spooled.class, spooled.sender.as_ref());
                blocked.extend(blocked_by(answer, class, sender, spooled.copy, &recipient.address));
                failures.push(dsn::Failure::by_next_hop(recipient.clone(), answer, &delivery.next_hop));
                continue;
            }
            Fate::Cancelled(_) => {
                groups.add(Word::Cancelled, answer, recipient);
                failures.push(dsn::Failure::own(recipient.clone(), answer.clone()));
                continue;
            }
            Fate::Deferred(_) if !expired => groups.add(Word::Delayed, answer, recipient),
            Fate::Deferred(_) => {}
            Fate::InDoubt(_) => {
                groups.add(Word::InDoubt, answer, recipient);
                held |= terms.in_doubt == InDoubt::Hold;
            }
        }
        last_reply = answer.to_string();
        if expired && matches!(fate, Fate::InDoubt(_)) && !held {
            // Neither sent nor failed, for good (promise 1).
            let unknown = dsn::Failure::own(recipient.clone(), answer.clone());
            failures.push(dsn::Failure { in_doubt: true, ..unknown });
        } else if expired && !held {
            let given_up = given_up(answer);
            groups.add(Word::Bounced, &given_up, recipient);
            failures.push(dsn::Failure::own(recipient.clone(), given_up));
        } else {
            if terms.late && recipient.wants_delay_dsn() {
                reports.push(Report::delayed(recipient, answer, spooled.expires_at));
            }
            waiting.push(recipient.clone());
        }
    }
    // One in doubt that is to be held holds the others of its copy, too: a copy has one state.
    let state = if held {
        SpoolState::Held
    } else {
        SpoolState::Waiting { next: terms.next.min(spooled.expires_at).max(terms.now) }
    };
    let delay_told = spooled.delay_told || terms.late;
    let waiting = (!waiting.is_empty()).then(|| Spooled {
        recipients: waiting,
        state,
        last_reply,
        delay_told,
        ..spooled.clone()
    });
    let mut events = groups.into_events(spooled, delivery);
    events.append(&mut blocked);
    Settled { events, waiting, spooled: spooled.clone(), failures, reports, answer: first }
}

/// What a recipient's sender is told when the time is over.
pub(super) fn given_up(last: &Answer) -> Answer {
    Answer::new(554, "5.4.7", format!("given up after the last try: {last}"))
}

impl Settled {
    /// What becomes durable with the entries.
    pub(super) fn side(&self) -> Side {
        match &self.waiting {
            Some(waiting) => Side::Spool(Box::new(waiting.clone())),
            None => Side::Unspool(self.spooled.copy),
        }
    }

    /// Count what was recorded.
    pub(super) fn count(&self) {
        for event in &self.events {
            let (word, outcome) = match event {
                Event::Relayed(outcome) => ("relayed", outcome),
                Event::Bounced(outcome) => ("bounced", outcome),
                Event::Delayed(outcome) => ("delayed", outcome),
                Event::InDoubt(outcome) => ("in_doubt", outcome),
                Event::Cancelled(outcome) => ("cancelled", outcome),
                _ => continue,
            };
            outcome.recipients.iter().for_each(|_| metrics::recipient_outcome(word));
        }
    }
}
