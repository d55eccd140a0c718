//! Record, relay, record, reply: the straight way of one copy, and the way of several by the spool.

use super::admit::{Journey, Rejected, named, needs_smtputf8, refused_by_policy};
use super::compose::Draft;
use super::settle::spooled_reply;
use super::{Gateway, handover, unproven};
use crate::ledger::{
    Admitted, AdmittedRecipient, DkimSigned, Event, Keep, Party, Record, Side, SpoolState, Spooled,
};
use crate::mail::{Class, hex, sha256};
use crate::metrics;
use crate::policy::{self, Answer, Profiles, Waiting};
use crate::relay::{Copy, CopyRecipient, Held};
use crate::smtp::reply::Reply;

impl Gateway {
    /// One copy: the next hop's answer is the client's answer; no spool.
    pub(super) async fn straight_through(
        &self,
        journey: &Journey<'_>,
        draft: Draft,
        mut record: Record,
        rejected: &[Rejected],
    ) -> Reply {
        let original = sha256(&journey.submission.message);
        self.admit_into(&mut record, journey, &draft, original, false);
        // A crash before this commit: the client has no answer and nothing left. After it: in doubt at
        // start-up (promise 1).
        if let Err(error) = self.parts.scribe.record(record).await {
            return unproven(&error);
        }
        let copy = copy(journey, &draft);
        let may_go = || self.ask_once_more(journey, &draft);
        let delivery = self.parts.relay.deliver(&copy, &may_go).await;
        self.settle_straight(journey, &draft, &copy, delivery, original, rejected).await
    }

    /// The permit of a marketing copy, asked for again when its connection is there: it may have waited for
    /// that (promise 6). Other classes go as they were admitted.
    fn ask_once_more(&self, journey: &Journey<'_>, draft: &Draft) -> Result<(), Held> {
        let permit = &draft.recipients[0].1;
        let (Class::Marketing, Some(sender)) = (permit.class(), permit.sender()) else { return Ok(()) };
        let rules = &journey.in_force.rules;
        let recipient = permit.recipient();
        let profile = self.parts.register.profile(&sender.id, recipient.key());
        let waiting = Waiting {
            class: permit.class(),
            sender: Some(&sender.id),
            purpose: permit.purpose(),
            rule: permit.rule(),
        };
        let profiles = Profiles([(sender.id.clone(), profile)].into_iter().collect());
        let (fault, now) = (self.unsubscribe_fault(), self.parts.clock.now());
        match policy::reconsider(rules, &waiting, recipient, &profiles, fault.as_deref(), now).answer {
            Answer::Forward(_) => Ok(()),
            Answer::Refuse(refusal) => Err(Held::Refused(refusal.reason())),
            Answer::Defer(reason) => Err(Held::Undecided(reason)),
        }
    }

    /// Several copies: durable in the spool first, then delivered while the client waits.
    pub(super) async fn by_way_of_spool(
        &self,
        journey: &Journey<'_>,
        drafts: Vec<Draft>,
        mut record: Record,
        rejected: &[Rejected],
    ) -> Reply {
        match self.parts.spool.count() {
            Ok(there)
                if there.saturating_add(drafts.len() as u64) > journey.in_force.settings.spool_copies =>
            {
                metrics::limit_hit("spool_copies");
                return Reply::spool_full();
            }
            Ok(_) => {}
            Err(error) => {
                return Reply::unavailable("the spool cannot be read, try again later", error.to_string());
            }
        }
        let original = sha256(&journey.submission.message);
        let mut copies = Vec::with_capacity(drafts.len());
        for draft in &drafts {
            self.admit_into(&mut record, journey, draft, original, true);
            let spooled = self.spooled(journey, draft, original, SpoolState::Trying);
            record.sides.push(Side::Spool(Box::new(spooled.clone())));
            copies.push((copy(journey, draft), spooled));
        }
        if let Err(error) = self.parts.scribe.record(record).await {
            return unproven(&error);
        }
        let settings = &journey.in_force.settings;
        let first = self
            .parts
            .spool
            .deliver_first(copies, &self.returned(journey), settings.patience, settings.queue_when_down)
            .await;
        if first.is_taken() {
            self.tell_of_refused(journey, rejected).await;
        }
        spooled_reply(journey.reference, first, &named(journey, rejected))
    }

    /// A DSN for those whom policy refused; the reply names them, too.
    async fn tell_of_refused(&self, journey: &Journey<'_>, rejected: &[Rejected]) {
        let mut record = Record::default();
        let failures = refused_by_policy(journey, rejected);
        if !self.parts.spool.bounce(&mut record, &self.returned(journey), failures, journey.now) {
            return;
        }
        match self.parts.scribe.record(record).await {
            Ok(_) => self.parts.spool.wake(),
            Err(error) => tracing::error!(%error, "a DSN could not be recorded"),
        }
    }

    /// The `admitted` entry of a draft and what must be durable with it.
    fn admit_into(
        &self,
        record: &mut Record,
        journey: &Journey<'_>,
        draft: &Draft,
        original: [u8; 32],
        spooled: bool,
    ) {
        let client = &journey.submission.client;
        // All permits of a draft agree in what is asked of the first.
        let permit = &draft.recipients[0].1;
        let recipients = draft.recipients.iter().map(|(_, permit)| AdmittedRecipient {
            recipient: permit.recipient().clone(),
            basis: permit.basis().clone(),
            observed: permit.observed().or(draft.observed.as_ref()).cloned(),
        });
        record.events.push(Event::Admitted(Box::new(Admitted {
            copy: draft.id,
            handover: Some(handover(client)),
            tool: journey.message.tool(),
            class: draft.class,
            sender: permit.sender().map(|sender| Party { id: sender.id.clone(), name: sender.name.clone() }),
            purpose: permit.purpose().cloned(),
            rule: permit.rule().map(str::to_owned),
            rules_sha256: journey.in_force.rules.hash.clone(),
            reverse_path: journey.submission.envelope.reverse_path.to_string(),
            recipients: recipients.collect(),
            message_id: draft.composed.message_id.clone(),
            original_sha256: hex(&original),
            sent_sha256: hex(&draft.sha256),
            size: draft.composed.rope.len() as u64,
            edits: draft.composed.edits.clone(),
            dkim: signed_by(journey, draft),
            token: draft.token.clone(),
            next_hop: self.parts.relay.name_for(&draft.route),
        })));
        if spooled || journey.in_force.settings.archive.of(draft.class) != Keep::Hash {
            keep_bytes(record, journey, draft, original);
        }
    }

    pub(super) fn spooled(
        &self,
        journey: &Journey<'_>,
        draft: &Draft,
        original: [u8; 32],
        state: SpoolState,
    ) -> Spooled {
        let envelope = &journey.submission.envelope;
        let permit = &draft.recipients[0].1;
        Spooled {
            copy: draft.id,
            class: draft.class,
            sender: permit.sender().map(|sender| sender.id.clone()),
            purpose: permit.purpose().cloned(),
            rule: permit.rule().map(str::to_owned),
            reverse_path: envelope.reverse_path.clone(),
            recipients: draft.recipients.iter().map(|(at, _)| envelope.recipients[*at].clone()).collect(),
            ret: envelope.ret,
            envid: envelope.envid.clone(),
            original_sha256: original,
            eight_bit: draft.composed.eight_bit,
            smtputf8: needs_smtputf8(journey.submission, journey.message),
            state,
            attempts: 1,
            admitted_at: journey.now,
            expires_at: journey.now + journey.in_force.settings.expire_after,
            last_reply: String::new(),
            account: journey.submission.client.connection.account.clone(),
            delay_told: false,
        }
    }
}

/// The signatures of a copy, each with the key that the ledger knows by its id.
fn signed_by(journey: &Journey<'_>, draft: &Draft) -> Vec<DkimSigned> {
    let known = || journey.in_force.settings.signers.iter().flat_map(|signers| &signers.names);
    let signed = |name: &String| DkimSigned {
        name: name.clone(),
        key: known().find(|key| key.name == *name).map(|key| key.id.clone()).unwrap_or_default(),
    };
    draft.composed.dkim.iter().map(signed).collect()
}

/// What rebuilding the copy needs: the original, once per record, and the edits of this copy.
pub(super) fn keep_bytes(record: &mut Record, journey: &Journey<'_>, draft: &Draft, original: [u8; 32]) {
    if !record.sides.iter().any(|side| matches!(side, Side::Original { sha256, .. } if *sha256 == original)) {
        let bytes = journey.submission.message.clone();
        record.sides.push(Side::Original { sha256: original, bytes });
    }
    record.sides.push(Side::Edits {
        copy: draft.id,
        original_sha256: original,
        rope: draft.composed.rope.clone(),
        keep: journey.in_force.settings.archive.of(draft.class),
    });
}

/// The copy as the relay takes it: its recipients are its permits.
pub(super) fn copy(journey: &Journey<'_>, draft: &Draft) -> Copy {
    let envelope = &journey.submission.envelope;
    let recipients = draft
        .recipients
        .iter()
        .map(|(at, permit)| CopyRecipient::new(permit.clone(), &envelope.recipients[*at]));
    Copy {
        id: draft.id,
        reverse_path: envelope.reverse_path.clone(),
        recipients: recipients.collect(),
        rope: draft.composed.rope.clone(),
        eight_bit: draft.composed.eight_bit,
        smtputf8: needs_smtputf8(journey.submission, journey.message),
        ret: envelope.ret,
        envid: envelope.envid.clone(),
        route: draft.route.clone(),
        login: journey.submission.client.login.clone(),
    }
}
