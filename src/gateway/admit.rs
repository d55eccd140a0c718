//! `admit`: the way of one message, top to bottom.

use super::decide::Verdicts;
use super::{Gateway, InForce, Submission, handover};
use crate::ledger::{Event, Record, RefusedRecipient, Stage};
use crate::mail::{Address, Reference, ReversePath};
use crate::message::Message;
use crate::policy::{OnRefused, Refusal};
use crate::relay::dsn;
use crate::smtp::reply::Reply;

/// One submission on its way, with all that belongs to it.
pub(super) struct Journey<'a> {
    pub reference: Reference,
    pub submission: &'a Submission,
    pub message: &'a Message,
    pub in_force: &'a InForce,
    pub now: jiff::Timestamp,
}

/// A recipient that does not get the message, and why.
#[derive(Debug, Clone)]
pub(super) struct Rejected {
    /// Position in the envelope.
    pub index: usize,
    pub refusal: Refusal,
    /// The message itself is at fault (5.6.0 rather than 5.7.1).
    pub malformed: bool,
}

impl Gateway {
    /// Take a message; the reply answers the final dot. Must be awaited to its end: the caller runs it
    /// detached from the client's connection.
    pub async fn admit(&self, submission: Submission) -> Reply {
        let in_force = self.in_force();
        let now = self.parts.clock.now();
        let message = Message::parse(submission.message.clone(), &in_force.settings.structure);
        if let Some(reply) = self.inspect(&in_force, &submission, &message) {
            return reply;
        }
        let journey = Journey {
            reference: self.new_reference(now),
            submission: &submission,
            message: &message,
            in_force: &in_force,
            now,
        };
        let mut verdicts =
            self.decide(&in_force.rules, &submission.client, &submission.envelope, &message, now);
        let counted = verdicts.counted.take();
        let reply = self.carry_out(&journey, verdicts).await;
        if let Some(counted) = counted.filter(|_| reply.is_positive()) {
            counted.keep();
        }
        tracing::info!(
            reference = %journey.reference,
            recipients = submission.envelope.recipients.len(),
            octets = submission.message.len(),
            reply = reply.code,
            "message answered"
        );
        reply
    }

    /// What makes a message undeliverable whoever it is for.
    fn inspect(&self, in_force: &InForce, submission: &Submission, message: &Message) -> Option<Reply> {
        if message.received_count() > in_force.settings.max_received {
            return Some(Reply::loop_detected());
        }
        // RFC 6531 3.2, RULES P5: only if the next hop has it.
        let needs_utf8 = needs_smtputf8(submission, message);
        (needs_utf8 && !self.parts.relay.abilities().smtputf8).then(Reply::needs_smtputf8)
    }

    async fn carry_out(&self, journey: &Journey<'_>, verdicts: Verdicts) -> Reply {
        if let Some(reason) = verdicts.deferred {
            return Reply::deferred(&reason);
        }
        let mut rejected: Vec<Rejected> = verdicts
            .refusals
            .into_iter()
            .map(|(index, refusal)| Rejected { index, refusal, malformed: false })
            .collect();
        if !rejected.is_empty() && (verdicts.permits.is_empty() || !self.may_deliver_rest(journey)) {
            return self.refuse(journey, rejected).await;
        }
        let drafts = match self.compose_all(journey, verdicts.permits) {
            Ok((drafts, refused)) => {
                rejected.extend(refused);
                drafts
            }
            // Promise 3: any failure while editing is 451; the original is never sent in its place.
            Err(reason) => return Reply::deferred(&reason),
        };
        if !rejected.is_empty() && (drafts.is_empty() || !self.may_deliver_rest(journey)) {
            return self.refuse(journey, rejected).await;
        }
        let refused_record = match rejected.as_slice() {
            [] => Record::default(),
            rejected => Record::of(refused_event(journey, rejected)),
        };
        // A stranger's server that asks to come again is ours to wait for, if the config says so.
        let waits = journey.in_force.settings.queue_when_down
            && drafts.iter().any(|draft| self.parts.relay.is_by_domain(&draft.route));
        match <[_; 1]>::try_from(drafts) {
            Ok([draft]) if !waits => self.straight_through(journey, draft, refused_record, &rejected).await,
            Ok(draft) => self.by_way_of_spool(journey, draft.into(), refused_record, &rejected).await,
            Err(drafts) => self.by_way_of_spool(journey, drafts, refused_record, &rejected).await,
        }
    }

    /// Permitted copies go without the refused ones only if somebody can be told of those (promise 2).
    fn may_deliver_rest(&self, journey: &Journey<'_>) -> bool {
        journey.in_force.rules.on_refused == OnRefused::DeliverRest
            && journey.submission.envelope.reverse_path != ReversePath::Null
    }

    /// Refuse the whole message: nothing is sent.
    async fn refuse(&self, journey: &Journey<'_>, rejected: Vec<Rejected>) -> Reply {
        let named = named(journey, &rejected);
        let reply = if rejected.iter().all(|one| one.malformed) {
            // The message is at fault, for everybody alike.
            Reply::malformed(&named[0].1)
        } else {
            Reply::refused_recipients(&named)
        };
        let event = refused_event(journey, &rejected);
        match self.parts.scribe.record(Record::of(event)).await {
            Ok(_) => reply,
            Err(error) => {
                tracing::error!(%error, "a refusal could not be recorded");
                reply
            }
        }
    }
}

/// What a DSN says of those whom policy refused while others get the message. It is due only once somebody
/// has it: until then the client keeps the message, comes again, and hears of them again.
pub(super) fn refused_by_policy(journey: &Journey<'_>, rejected: &[Rejected]) -> Vec<dsn::Failure> {
    let failure = |one: &Rejected| {
        let recipient = &journey.submission.envelope.recipients[one.index];
        let code = if one.malformed { "5.6.0" } else { "5.7.1" };
        dsn::Failure::by_policy(recipient.clone(), code, one.refusal.reason())
    };
    rejected.iter().map(failure).collect()
}

/// Whether the envelope or the header has UTF-8 that a next hop without SMTPUTF8 cannot take.
pub(super) fn needs_smtputf8(submission: &Submission, message: &Message) -> bool {
    let envelope = &submission.envelope;
    let utf8_address = |address: &Address| address.is_internationalized();
    envelope.recipients.iter().any(|recipient| utf8_address(&recipient.address))
        || envelope.reverse_path.address().is_some_and(utf8_address)
        || (envelope.smtputf8 && message.has_utf8_headers())
}

fn refused_event(journey: &Journey<'_>, rejected: &[Rejected]) -> Event {
    let envelope = &journey.submission.envelope;
    Event::Refused {
        reference: Some(journey.reference),
        handover: handover(&journey.submission.client),
        reverse_path: envelope.reverse_path.to_string(),
        stage: Stage::Data,
        message_id: journey.message.message_id(),
        recipients: rejected
            .iter()
            .map(|one| RefusedRecipient {
                recipient: envelope.recipients[one.index].address.clone(),
                refusal: one.refusal.clone(),
            })
            .collect(),
    }
}

/// The refused recipients with their reasons, for a reply.
pub(super) fn named(journey: &Journey<'_>, rejected: &[Rejected]) -> Vec<(Address, String)> {
    rejected
        .iter()
        .map(|one| {
            let recipient = &journey.submission.envelope.recipients[one.index];
            (recipient.address.clone(), one.refusal.reason())
        })
        .collect()
}
