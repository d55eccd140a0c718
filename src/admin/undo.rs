//! Undoing an import, a stretch of the ledger at a time (RULES L19).
//!
//! Each fact that the import added is taken back by an entry of its own, so that the register stays what the
//! entries add up to. Opt-outs stay unless they are asked for, because an opt-out always wins; and where one
//! goes, an older one of the same kind that it stood in for comes back.

use super::Services;
use super::wire::{Answer, MAX_PAGE, Query, Subject, Undone};
use crate::ledger::{Entry, EntryNumber, Event, Fact, Record, Suppressed, TakenBack};
use crate::mail::{AddressKey, SenderId};
use crate::policy::{Profile, Unavailable};
use crate::suppression::{Reason, Suppression};

/// Entries that one request looks at.
const STRETCH: usize = 5_000;
/// Most facts that one request takes back: one record, one commit.
const MOST: usize = 1_000;

/// What is to be written for one stretch of the import `id` after entry `after`, and what to tell.
pub(super) fn plan(
    services: &Services,
    id: &str,
    opt_outs: bool,
    after: Option<EntryNumber>,
) -> Result<Result<(Record, Undone), Answer>, Unavailable> {
    let Some(line) = services.books.import(id)? else {
        return Ok(Err(Answer::Failed {
            error: format!("there is no import {id}; sluis import list names them"),
        }));
    };
    let from = after.map_or(line.begun, |after| after.saturating_add(1));
    let end = line.ended.unwrap_or(EntryNumber::MAX);
    let (found, next) = services.books.facts_of(id, from..end, STRETCH, MOST)?;
    let mut record = Record::default();
    let mut undone = Undone { next, ..Undone::default() };
    for (sender, address, fact) in found {
        let profile = services.register.profile(&sender, &address)?;
        if !holds(&profile, &fact) {
            continue;
        }
        let restored = match &fact {
            Fact::Suppression(_) if !opt_outs => {
                undone.kept += 1;
                continue;
            }
            Fact::Suppression(suppression) => earlier(services, id, &sender, &address, suppression)?,
            Fact::Consent { .. } | Fact::Relation(_) | Fact::Published { .. } | Fact::Block(_) => None,
        };
        undone.taken_back += 1;
        let taken =
            TakenBack { import: id.to_owned(), sender: sender.clone(), address: address.clone(), fact };
        record.events.push(Event::TakenBack(Box::new(taken)));
        if let Some(suppression) = restored {
            record.events.push(Event::Suppression(Suppressed {
                sender,
                address,
                suppression,
                reference: None,
            }));
        }
    }
    Ok(Ok((record, undone)))
}

/// Whether `profile` has `fact` (still).
fn holds(profile: &Profile, fact: &Fact) -> bool {
    match fact {
        Fact::Consent { purpose, event } => profile.consent(purpose).contains(event),
        Fact::Relation(relation) => profile.relations.contains(relation),
        Fact::Published { purpose, published } => {
            profile.published.iter().any(|(about, known)| about == purpose && known == published)
        }
        Fact::Suppression(suppression) => profile.suppressions.contains(suppression),
        Fact::Block(block) => profile.block.as_ref() == Some(block),
    }
}

/// The latest other suppression for the same reason that the ledger has, which `gone` stood in for.
fn earlier(
    services: &Services,
    id: &str,
    sender: &SenderId,
    address: &AddressKey,
    gone: &Suppression,
) -> Result<Option<Suppression>, Unavailable> {
    let subject = Query::from(Subject::Address(address.clone()));
    let mark = mark(id);
    let mut found: Option<Suppression> = None;
    let mut after = None;
    loop {
        let (page, next) = services.books.entries(&subject, after, MAX_PAGE)?;
        for filed in &page {
            let entry = filed.json.as_deref().and_then(|json| Entry::parse(json.as_bytes()).ok());
            let other = entry.and_then(|entry| match entry.event {
                Event::Suppression(it) if it.sender == *sender && it.address == *address => {
                    Some(it.suppression)
                }
                Event::Unsubscribed(it) if it.sender == *sender && it.address == *address => {
                    let source = it.way.as_str().to_owned();
                    Some(Suppression { reason: Reason::Unsubscribed, since: entry.at, source })
                }
                _ => None,
            });
            if let Some(other) = other
                && other.reason == gone.reason
                && !other.source.ends_with(&mark)
                && found.as_ref().is_none_or(|found| found.since <= other.since)
            {
                found = Some(other);
            }
        }
        match next {
            Some(_) => after = next,
            None => return Ok(found),
        }
    }
}

/// How a suppression names the import it came from, at the end of its source.
pub(super) fn mark(id: &str) -> String {
    format!("import {id}")
}
