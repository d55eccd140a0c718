//! The spool as an administrator sees and changes it.

use super::Services;
use super::wire::{Answer, CopyLine, QueueAction};
use crate::clock::Timestamp;
use crate::ledger::{Event, Outcome, Record, Side, SpoolState, Spooled};
use crate::mail::CopyId;
use crate::policy::Unavailable;

/// A page of the spool.
pub(super) fn list(services: &Services, after: Option<CopyId>, limit: usize) -> Result<Answer, Unavailable> {
    let copies = services.spool.list(after, limit)?;
    Ok(Answer::Queue { copies: copies.iter().map(line).collect() })
}

/// One copy.
pub(super) fn show(services: &Services, copy: CopyId) -> Result<Answer, Unavailable> {
    Ok(match find(services, copy)? {
        Some(spooled) => Answer::Queue { copies: vec![line(&spooled)] },
        None => absent(copy),
    })
}

/// What doing `action` to `copy` means: what is to be written, and what to tell once it is.
pub(super) fn change(
    services: &Services,
    copy: CopyId,
    action: QueueAction,
    now: Timestamp,
) -> Result<Result<(Record, String), Answer>, Unavailable> {
    let Some(spooled) = find(services, copy)? else { return Ok(Err(absent(copy))) };
    let keep = |state: SpoolState| Record {
        events: Vec::new(),
        sides: vec![Side::Spool(Box::new(Spooled { state, ..spooled.clone() }))],
    };
    Ok(Ok(match action {
        QueueAction::Retry => (keep(SpoolState::Waiting { next: now }), format!("{copy} is tried now")),
        QueueAction::Hold => (keep(SpoolState::Held), format!("{copy} is held")),
        QueueAction::Drop => {
            let outcome = Outcome {
                copy,
                recipients: spooled.recipients.iter().map(|recipient| recipient.address.clone()).collect(),
                reply: "dropped by the administrator".to_owned(),
                next_hop: "none".to_owned(),
                tls: None,
                attempt: spooled.attempts,
            };
            let record = Record { events: vec![Event::Cancelled(outcome)], sides: vec![Side::Unspool(copy)] };
            (record, format!("{copy} is dropped"))
        }
    }))
}

/// One copy without its bytes.
fn find(services: &Services, copy: CopyId) -> Result<Option<Spooled>, Unavailable> {
    services.spool.find(copy)
}

fn absent(copy: CopyId) -> Answer {
    Answer::Failed { error: format!("{copy} is not in the spool: it was delivered, bounced or dropped") }
}

fn line(spooled: &Spooled) -> CopyLine {
    let (state, next) = match &spooled.state {
        SpoolState::Trying => ("trying", None),
        SpoolState::Waiting { next } => ("waiting", Some(*next)),
        SpoolState::Held => ("held", None),
    };
    CopyLine {
        copy: spooled.copy,
        class: spooled.class.as_str().to_owned(),
        reverse_path: spooled.reverse_path.to_string(),
        recipients: spooled.recipients.iter().map(|recipient| recipient.address.clone()).collect(),
        state: state.to_owned(),
        next,
        attempts: spooled.attempts,
        admitted_at: spooled.admitted_at,
        expires_at: spooled.expires_at,
        last_reply: spooled.last_reply.clone(),
    }
}
