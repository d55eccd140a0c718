//! What became of the copies: entries, spool, DSNs, and the one reply for all recipients.

use std::collections::HashMap;

use super::admit::{Journey, Rejected, named, refused_by_policy};
use super::compose::Draft;
use super::deliver::keep_bytes;
use super::{Gateway, unproven};
use crate::ledger::{Event, Outcome, Record, Side};
use crate::mail::{Address, Recipient, Reference};
use crate::metrics;
use crate::relay::{Answer, Copy, Delivery, Fate, FirstTry, blocked_by, dsn};
use crate::smtp::reply::Reply;

/// The recipients of one delivery, sorted by fate; positions are those of the copy.
#[derive(Debug, Default)]
struct Sorted<'a> {
    relayed: Vec<(usize, &'a Answer)>,
    refused: Vec<(usize, &'a Answer)>,
    deferred: Vec<(usize, &'a Answer)>,
    in_doubt: Vec<(usize, &'a Answer)>,
    cancelled: Vec<(usize, &'a Answer)>,
    next_hop: &'a str,
}

impl<'a> Sorted<'a> {
    fn of(delivery: &'a Delivery) -> Self {
        let mut sorted = Self { next_hop: &delivery.next_hop, ..Self::default() };
        for (at, fate) in delivery.fates.iter().enumerate() {
            match fate {
                Fate::Relayed(answer) => sorted.relayed.push((at, answer)),
                Fate::Refused(answer) => sorted.refused.push((at, answer)),
                Fate::Deferred(answer) => sorted.deferred.push((at, answer)),
                Fate::InDoubt(answer) => sorted.in_doubt.push((at, answer)),
                Fate::Cancelled(answer) => sorted.cancelled.push((at, answer)),
            }
        }
        sorted
    }
}

impl Gateway {
    /// Settle a copy that went straight through.
    pub(super) async fn settle_straight(
        &self,
        journey: &Journey<'_>,
        draft: &Draft,
        copy: &Copy,
        delivery: Delivery,
        original: [u8; 32],
        rejected: &[Rejected],
    ) -> Reply {
        let sorted = Sorted::of(&delivery);
        let mut record = Record::default();
        let outcome = |fates: &[(usize, &Answer)]| Outcome {
            copy: draft.id,
            recipients: fates.iter().map(|(at, _)| copy.recipients[*at].permit.recipient().clone()).collect(),
            reply: fates.first().map(|(_, answer)| answer.to_string()).unwrap_or_default(),
            next_hop: delivery.next_hop.clone(),
            tls: delivery.tls.clone(),
            attempt: 1,
        };
        for (fates, event, word) in [
            (&sorted.relayed, Event::Relayed as fn(Outcome) -> Event, "relayed"),
            (&sorted.refused, Event::Bounced, "bounced"),
            (&sorted.deferred, Event::Delayed, "delayed"),
            (&sorted.in_doubt, Event::InDoubt, "in_doubt"),
            (&sorted.cancelled, Event::Cancelled, "cancelled"),
        ] {
            fates.iter().for_each(|_| metrics::recipient_outcome(word));
            // An entry holds the next hop's own words, so recipients share one only if it said the same.
            record.events.extend(by_answer(fates).iter().map(|alike| event(outcome(alike))));
        }
        for (at, answer) in &sorted.refused {
            let permit = &copy.recipients[*at].permit;
            let sender = permit.sender().map(|sender| &sender.id);
            record.events.extend(blocked_by(answer, permit.class(), sender, draft.id, permit.recipient()));
        }
        self.parts.spool.tell_blocks(&mut record);
        let reply = if sorted.relayed.is_empty() {
            unrelayed_reply(&sorted, copy)
        } else {
            let failures = refused_by_policy(journey, rejected);
            self.keep_the_rest(&mut record, journey, draft, &sorted, original, failures);
            let has_it =
                |(at, answer): &(usize, &Answer)| (recipient(journey, draft, *at), (*answer).clone());
            let relayed = sorted.relayed.iter().map(has_it).collect();
            self.parts.spool.confirm(&mut record, &self.returned(journey), relayed, &delivery, journey.now);
            relayed_reply(&sorted, copy, &named(journey, rejected))
        };
        self.close(record, &sorted, reply).await
    }

    /// Somebody has it, so the client will not come again: the others wait in the spool or are bounced.
    fn keep_the_rest(
        &self,
        record: &mut Record,
        journey: &Journey<'_>,
        draft: &Draft,
        sorted: &Sorted<'_>,
        original: [u8; 32],
        mut failures: Vec<dsn::Failure>,
    ) {
        let waiting: Vec<_> = sorted
            .deferred
            .iter()
            .chain(&sorted.in_doubt)
            .map(|(at, _)| recipient(journey, draft, *at))
            .collect();
        if !waiting.is_empty() {
            let state = self.parts.spool.after_a_try(!sorted.in_doubt.is_empty(), journey.now);
            let mut spooled = self.spooled(journey, draft, original, state);
            spooled.recipients = waiting;
            spooled.last_reply = sorted
                .deferred
                .iter()
                .chain(&sorted.in_doubt)
                .next()
                .map(|(_, answer)| answer.to_string())
                .unwrap_or_default();
            keep_bytes(record, journey, draft, original);
            record.sides.push(Side::Spool(Box::new(spooled)));
        }
        let by_next_hop = |(at, answer): &(usize, &Answer)| {
            dsn::Failure::by_next_hop(recipient(journey, draft, *at), answer, sorted.next_hop)
        };
        failures.extend(sorted.refused.iter().map(by_next_hop));
        self.parts.spool.bounce(record, &self.returned(journey), failures, journey.now);
    }

    /// Make the outcome durable, then answer.
    async fn close(&self, record: Record, sorted: &Sorted<'_>, reply: Reply) -> Reply {
        let depends_on_record = !record.sides.is_empty();
        match self.parts.scribe.record(record).await {
            Ok(_) => {
                if depends_on_record {
                    self.parts.spool.wake();
                }
                reply
            }
            Err(error) if depends_on_record && !sorted.relayed.is_empty() => {
                // Some have it, but the others are not durable anywhere: better twice than never.
                unproven(&error)
            }
            Err(error) => {
                // The next hop's answer stands; the open admission shows up as in doubt at start-up.
                tracing::error!(%error, "an outcome could not be recorded");
                reply
            }
        }
    }

    /// What a DSN tells of the message it is about.
    pub(super) fn returned(&self, journey: &Journey<'_>) -> dsn::Returned {
        let envelope = &journey.submission.envelope;
        dsn::Returned {
            reference: journey.reference,
            reverse_path: envelope.reverse_path.clone(),
            envid: envelope.envid.clone(),
            ret: envelope.ret,
            arrived_at: journey.now,
            message: journey.submission.message.clone(),
            automatic: journey.message.is_automatic(),
        }
    }
}

/// Recipients of one fate, put together by what was said of them, in order of appearance.
fn by_answer<'a>(fates: &[(usize, &'a Answer)]) -> Vec<Vec<(usize, &'a Answer)>> {
    let mut groups: Vec<Vec<(usize, &'a Answer)>> = Vec::new();
    let mut places = HashMap::new();
    for &(at, answer) in fates {
        let place = *places.entry(answer).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[place].push((at, answer));
    }
    groups
}

/// The recipient at a position of the copy, with the client's DSN wishes.
fn recipient(journey: &Journey<'_>, draft: &Draft, at: usize) -> Recipient {
    journey.submission.envelope.recipients[draft.recipients[at].0].clone()
}

/// Nobody has it: the client keeps the message, and learns the next hop's own words.
fn unrelayed_reply(sorted: &Sorted<'_>, copy: &Copy) -> Reply {
    // One that may be tried again, or may have gone, makes the whole temporary: the client comes again,
    // and who was refused for good is refused again then.
    if let Some((_, answer)) = sorted.deferred.first().or(sorted.in_doubt.first()) {
        return Reply::next_hop(answer.code, answer.enhanced.as_deref(), &answer.text);
    }
    if !sorted.cancelled.is_empty() {
        // All of a copy's recipients lose their permit together: our own refusal, in our own words.
        let one = |(at, answer): &(usize, &Answer)| {
            (copy.recipients[*at].permit.recipient().clone(), answer.text.clone())
        };
        return Reply::refused_recipients(&sorted.cancelled.iter().map(one).collect::<Vec<_>>());
    }
    let named: Vec<_> = sorted
        .refused
        .iter()
        .map(|(at, answer)| (copy.recipients[*at].permit.recipient().clone(), answer.to_string()))
        .collect();
    match sorted.refused.as_slice() {
        [(_, answer), rest @ ..] if rest.iter().all(|(_, other)| other == answer) => {
            Reply::next_hop(answer.code, answer.enhanced.as_deref(), &answer.text)
        }
        _ => Reply::refused_by_next_hop(&named),
    }
}

/// Somebody has it: the next hop's own reply, and who does not get it (promise 2).
fn relayed_reply(sorted: &Sorted<'_>, copy: &Copy, named: &[(Address, String)]) -> Reply {
    let mut not_sent = named.to_vec();
    let name = |(at, answer): &(usize, &Answer)| {
        (copy.recipients[*at].permit.recipient().clone(), answer.to_string())
    };
    not_sent.extend(sorted.refused.iter().map(name));
    // Only a relayed answer leads here.
    let answer = sorted.relayed[0].1;
    Reply::next_hop(answer.code, answer.enhanced.as_deref(), &answer.text).but_not(&not_sent)
}

/// Several copies: what the spool knows after the first try, and who was refused by policy before it.
pub(super) fn spooled_reply(reference: Reference, first: FirstTry, named: &[(Address, String)]) -> Reply {
    let not_sent = |refused: Vec<(Address, Answer)>| -> Vec<(Address, String)> {
        let refused = refused.into_iter().map(|(address, answer)| (address, answer.to_string()));
        named.iter().cloned().chain(refused).collect()
    };
    match first {
        FirstTry::Relayed(answer) => {
            Reply::next_hop(answer.code, answer.enhanced.as_deref(), &answer.text).but_not(named)
        }
        FirstTry::Partly { relayed, refused, .. } => {
            Reply::next_hop(relayed.code, relayed.enhanced.as_deref(), &relayed.text)
                .but_not(&not_sent(refused))
        }
        FirstTry::Refused(refused) => Reply::refused_by_next_hop(&not_sent(refused)),
        FirstTry::Queued { refused, .. } => Reply::queued(reference).but_not(&not_sent(refused)),
        FirstTry::Down(answer) => Reply::unavailable(&answer.text, answer.to_string()),
        FirstTry::Unproven(error) => unproven(&error),
    }
}
