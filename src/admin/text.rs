//! Consent texts and privacy texts: recorded once, by their hash (RULES L2).

use super::Services;
use super::rows::{faults, find_sender, is_refused};
use super::wire::{Answer, TextRow};
use crate::ledger::{Event, Record};
use crate::mail::{hex, sha256};
use crate::policy::Unavailable;

/// What is to be written for a text, and what to tell.
pub(super) fn judge(services: &Services, row: TextRow) -> Result<(Record, Answer), Unavailable> {
    let rules = services.control.rules();
    let sender = match find_sender(&rules, row.sender.as_deref()) {
        Ok(sender) => sender,
        Err(error) => return Ok((Record::default(), Answer::Failed { error: format!("L2: {error}") })),
    };
    let found = if row.privacy { Vec::new() } else { faults(&row.text, &sender) };
    let refused = is_refused(&found, &rules);
    let sha256 = hex(&sha256(row.text.as_bytes()));
    let already = services.books.consent_text(&sha256)?.is_some();
    let mut record = Record::default();
    if !refused && !already && !row.dry_run {
        record.events.push(Event::ConsentText {
            sha256,
            text: row.text,
            sender: Some(sender.id.clone()),
            purpose: row.purpose,
            privacy: row.privacy,
        });
    }
    let faults = found.iter().map(ToString::to_string).collect();
    Ok((record, Answer::Text { faults, refused, already }))
}
