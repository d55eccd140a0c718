//! Takes a request and its confirmation, and makes them durable.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tracing::warn;

use super::form::Form;
use crate::clock::SharedClock;
use crate::consent::{Act, ConsentEvent, ConsentEventKind, ConsentState, Evidence, Grade, fold};
use crate::ledger::{Consented, Event, Record, RecordError, Scribe};
use crate::limits::{Alone, Limits};
use crate::mail::{Address, AddressKey};
use crate::metrics;
use crate::policy::{Profile, Register, may_be_asked};
use crate::secret::SharedEntropy;
use crate::token::Invitation;
use crate::unsubscribe::Desk;

/// Mails that one request and its repetition may cause (RULES L12: once, plus one reminder).
const MAILS: usize = 2;

/// Writes and sends the confirmation mail. Handed in by `app`.
pub trait Mails: Send + Sync + std::fmt::Debug {
    /// The mail to `to` with `link` in it, as a copy in the spool and its entries: what goes into the same record
    /// as the request. The error says why it cannot be made.
    fn confirmation(&self, form: &Form, to: &Address, link: &str, asked: &ConsentEvent) -> Record;

    /// Add to `record` what is owed to whom for the confirmation that is its entry at `place` (RULES L10); `lifts` says
    /// whether the mailbox was held for one that does not work.
    fn confirmed(&self, record: &mut Record, place: usize, lifts: bool);

    /// The record is durable: the spool, or whoever tells, has something to do.
    fn recorded(&self);
}

/// Where a request or a confirmation came from: evidence, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Visit {
    /// The page it came from.
    pub page: Option<String>,
    /// IP address.
    pub ip: Option<String>,
}

/// What a link opened.
#[derive(Debug, Clone)]
pub enum Opened {
    /// It can be confirmed.
    Waiting(Arc<Form>, Invitation),
    /// It is too late, or what was asked for is no longer what the form is about.
    Expired(Option<Arc<Form>>),
}

/// What a confirmation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// The consent is on record, since now or since an earlier press of the button.
    Done,
    /// The request it belongs to is not on record any more, or what came of it no longer counts.
    Gone,
    /// The address left in the meantime, or is suppressed: nothing was changed.
    Barred,
}

/// What [`SignUps`] is built from.
#[derive(Debug)]
pub struct Parts {
    /// The forms in force.
    pub forms: watch::Receiver<Arc<Vec<Arc<Form>>>>,
    /// The desk of the unsubscribe page, for what its settings say of the listener, and for its keys.
    pub desk: Arc<Desk>,
    /// What is on record.
    pub register: Arc<dyn Register>,
    /// The pen.
    pub scribe: Scribe,
    /// Writes the mail.
    pub mails: Arc<dyn Mails>,
    /// The counters.
    pub limits: Limits,
    /// The time.
    pub clock: SharedClock,
    /// Randomness for links.
    pub entropy: SharedEntropy,
}

/// Takes requests and confirmations.
#[derive(Debug)]
pub struct SignUps {
    pub(super) parts: Parts,
    alone: Alone,
}

impl SignUps {
    /// A desk over `parts`.
    pub fn new(parts: Parts) -> Self {
        Self { parts, alone: Alone::new() }
    }

    /// The form called `name`.
    pub fn form(&self, name: &str) -> Option<Arc<Form>> {
        self.parts.forms.borrow().iter().find(|form| form.name == name).cloned()
    }

    /// Somebody sent in `form` for `address`. Durable when this returns `Ok`, which it does after one commit whether
    /// or not a mail goes out, so that nobody can tell who is known here. Must be awaited to its end.
    pub async fn ask(&self, form: &Form, address: &Address, visit: Visit) -> Result<(), RecordError> {
        let key = address.key();
        let _alone = self.alone.with((&form.sender.id, key)).await;
        let parts = &self.parts;
        let now = whole_micros(parts.clock.now());
        let profile =
            parts.register.profile(&form.sender.id, key).map_err(|error| RecordError::Store(error.0))?;
        let asked = ConsentEvent {
            kind: ConsentEventKind::Request,
            at: now,
            recorded_at: now,
            evidence: Evidence {
                text_sha256: Some(form.text_sha256.clone()),
                privacy_version: form.privacy_version.clone(),
                act: Some(Act::TickedBox),
                source: Some(visit.page.unwrap_or_else(|| form.action())),
                ip: visit.ip,
                pre_ticked: Some(false),
                bundled: Some(false),
                attestation: None,
            },
        };
        let invitation = Invitation { form: form.name.clone(), address: key.clone(), asked_at: now };
        let token = parts.desk.settings().keys.invite(&invitation, &*parts.entropy);
        // Made in any case: it takes time that could be measured.
        let mut record = parts.mails.confirmation(form, address, &form.link(&token), &asked);
        let room = parts.limits.form_mail(key).is_ok();
        if room && may_be_mailed(&profile, form, now) {
            record.events.insert(0, consented(form, key, asked));
            metrics::form_answered("mailed");
        } else {
            record = Record::default();
            metrics::form_answered("not_mailed");
        }
        parts.scribe.record(record).await?;
        parts.mails.recorded();
        Ok(())
    }

    /// What `token` stands for; `None` for what is no link of ours. Reads nothing but keys.
    pub fn open(&self, token: &str) -> Option<Opened> {
        let invitation = self.parts.desk.settings().keys.open_invitation(token).ok()?;
        let Some(form) = self.form(&invitation.form) else { return Some(Opened::Expired(None)) };
        let age = self.parts.clock.now().duration_since(invitation.asked_at);
        let good = SignedDuration::try_from(form.confirm_within).is_ok_and(|good| age <= good);
        Some(if good { Opened::Waiting(form, invitation) } else { Opened::Expired(Some(form)) })
    }

    /// The button behind a link was pressed: a consent of grade A, with the text as it was shown. Durable when this
    /// returns `Ok`. Must be awaited to its end.
    pub async fn confirm(
        &self,
        form: &Form,
        invitation: &Invitation,
        visit: Visit,
    ) -> Result<Confirmed, RecordError> {
        let key = &invitation.address;
        let _alone = self.alone.with((&form.sender.id, key)).await;
        let parts = &self.parts;
        let now = whole_micros(parts.clock.now());
        let profile =
            parts.register.profile(&form.sender.id, key).map_err(|error| RecordError::Store(error.0))?;
        let history = profile.consent(&form.purpose);
        let is_this = |event: &ConsentEvent, kind| event.kind == kind && event.at == invitation.asked_at;
        let asked = history.iter().find(|event| {
            is_this(event, ConsentEventKind::Request)
                && event.evidence.text_sha256.as_deref() == Some(&form.text_sha256)
        });
        let Some(asked) = asked else { return Ok(Confirmed::Gone) };
        let left = |event: &ConsentEvent| {
            event.kind == ConsentEventKind::Withdraw && event.recorded_at >= invitation.asked_at
        };
        if !profile.suppressions.is_empty() || history.iter().any(left) {
            return Ok(Confirmed::Barred);
        }
        if history.iter().any(|event| is_this(event, ConsentEventKind::Grant)) {
            // What was put right since, or has run out, is never said to stand (RULES L12).
            return Ok(match fold(history, now) {
                ConsentState::Granted { .. } => Confirmed::Done,
                _ => Confirmed::Gone,
            });
        }
        let granted = ConsentEvent { kind: ConsentEventKind::Grant, recorded_at: now, ..asked.clone() };
        let confirmed = ConsentEvent {
            kind: ConsentEventKind::Confirm,
            at: now,
            recorded_at: now,
            evidence: Evidence {
                act: Some(Act::ClickedConfirm),
                source: Some("confirmation mail".to_owned()),
                ip: visit.ip,
                ..Evidence::default()
            },
        };
        // A clock that was set back in between dates the request in the future: it does not count (RULES L1).
        if let Err(error) = granted.check(now) {
            warn!(%error, form = form.name, "a confirmation was not taken");
            return Ok(Confirmed::Gone);
        }
        let events = vec![consented(form, key, granted), consented(form, key, confirmed)];
        let mut record = Record { events, sides: Vec::new() };
        parts.mails.confirmed(&mut record, 1, profile.block.is_some());
        parts.scribe.record(record).await?;
        parts.mails.recorded();
        metrics::form_answered("confirmed");
        Ok(Confirmed::Done)
    }
}

/// Whether a confirmation mail may go (RULES L12): to nobody who is suppressed or whose mailbox does not work, to
/// nobody who consented that well already, and not a third time.
fn may_be_mailed(profile: &Profile, form: &Form, now: Timestamp) -> bool {
    let history = profile.consent(&form.purpose);
    let consented =
        matches!(fold(history, now), ConsentState::Granted { grade: Grade::A, by_person: true, .. });
    let since =
        SignedDuration::try_from(form.ask_again_after).ok().and_then(|wait| now.checked_sub(wait).ok());
    let since = since.unwrap_or(Timestamp::MIN);
    let answered = history.iter().rposition(|event| event.kind == ConsentEventKind::Confirm);
    let unanswered = &history[answered.map_or(0, |at| at + 1)..];
    let mails = unanswered
        .iter()
        .filter(|event| event.kind == ConsentEventKind::Request && event.recorded_at > since)
        .count();
    may_be_asked(profile, &form.purpose, now).is_ok() && !consented && mails < MAILS
}

fn consented(form: &Form, address: &AddressKey, event: ConsentEvent) -> Event {
    Event::Consent(Consented {
        sender: form.sender.id.clone(),
        purpose: form.purpose.clone(),
        address: address.clone(),
        event,
        source: format!("form {}", form.name),
    })
}

/// A link holds microseconds, so that is what is recorded.
fn whole_micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}
