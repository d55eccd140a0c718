//! Undoing an import, a stretch of the ledger at a time (RULES L19).
//!
//! Each fact that the import added is taken back by an entry of its own, so that the register stays what the
//! entries add up to. Opt-outs (withdrawals, too) stay unless they are asked for, because an opt-out always wins; and
//! where one goes, another of the same kind that it stood in for comes back, whichever of them was recorded first.

use super::wire::{Answer, MAX_PAGE, Query, Subject, Undone};
use super::{Books, Services};
use crate::clock::Timestamp;
use crate::consent::ConsentEventKind;
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
    let mark = mark(id);
    for (sender, address, fact) in found {
        let profile = services.register.profile(&sender, &address)?;
        let stands = holds(&profile, &fact);
        if is_opt_out(&fact) && !opt_outs {
            undone.kept += u64::from(stands);
            continue;
        }
        let restored = match &fact {
            Fact::Suppression(gone) => {
                let known = recorded(&*services.books, &sender, &address)?;
                // A later one stands in for it, and must not bring it back when it goes in its turn.
                if !stands && !known.contains(gone) {
                    continue;
                }
                known.into_iter().filter(|other| stands && stood_in_for(gone, other, &mark)).max_by_key(since)
            }
            _ if !stands => continue,
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

/// Whether mail stops for it: it stays unless it is asked for (RULES L19).
fn is_opt_out(fact: &Fact) -> bool {
    match fact {
        Fact::Suppression(_) => true,
        Fact::Consent { event, .. } => event.kind == ConsentEventKind::Withdraw,
        Fact::Relation(_) | Fact::Published { .. } | Fact::Block(_) => false,
    }
}

/// Whether `gone`, of the import with this mark, stood in for `other` in the profile.
fn stood_in_for(gone: &Suppression, other: &Suppression, mark: &str) -> bool {
    other.reason == gone.reason && !other.source.ends_with(mark)
}

fn since(suppression: &Suppression) -> Timestamp {
    suppression.since
}

/// Every suppression that is on record between `sender` and `address` and was not taken back, in the order of their
/// entries: those that a profile holds, and those that a later one stands in for there.
pub(super) fn recorded(
    books: &dyn Books,
    sender: &SenderId,
    address: &AddressKey,
) -> Result<Vec<Suppression>, Unavailable> {
    let subject = Query::from(Subject::Address(address.clone()));
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = books.entries(&subject, after, MAX_PAGE)?;
        let entries = page.iter().filter_map(|filed| Entry::parse(filed.json.as_deref()?.as_bytes()).ok());
        for entry in entries {
            match entry.event {
                Event::Suppression(it) if it.sender == *sender && it.address == *address => {
                    found.push(it.suppression);
                }
                Event::Unsubscribed(it) if it.sender == *sender && it.address == *address => {
                    let source = it.way.as_str().to_owned();
                    found.push(Suppression { reason: Reason::Unsubscribed, since: entry.at, source });
                }
                Event::Corrected(it) if it.sender == *sender && it.address == *address => {
                    found.retain(|known| known.reason != Reason::Unsubscribed || known.since != it.since);
                }
                Event::TakenBack(it) if it.sender == *sender && it.address == *address => {
                    found.retain(|known| it.fact != Fact::Suppression(known.clone()));
                }
                _ => {}
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
