//! Projections: what the entries add up to. The same function is used when an entry is committed and
//! when everything is derived anew from the entries.

use jiff::Timestamp;
use redb::{ReadableTable as _, Table, WriteTransaction};

use super::error::Fault;
use super::tables::{
    BY_ADDRESS, BY_COPY, BY_MESSAGE, BY_TEXT, OPEN, Open, PROFILES, SUPPRESSED, Scope, copy_key,
    read_profile, read_row, write_row,
};
use crate::consent::{ConsentEvent, ConsentEventKind, Evidence, Published, Relation, is_known};
use crate::ledger::{Admitted, Corrected, EntryNumber, Event, Outcome, Unsubscribed};
use crate::mail::{AddressKey, CopyId, Purpose, SenderId};
use crate::policy::{ConsentHistory, Profile};
use crate::suppression::{DeliveryBlock, Reason, Suppression};

/// The projection tables, open in one write transaction.
pub(super) struct Projections<'t> {
    profiles: Table<'t, (&'static str, &'static str), &'static [u8]>,
    open: Table<'t, &'static [u8; 20], &'static [u8]>,
    by_copy: Table<'t, &'static [u8; 29], ()>,
    by_address: Table<'t, (&'static str, u64), ()>,
    by_message: Table<'t, (&'static str, u64), ()>,
    by_text: Table<'t, &'static str, u64>,
    suppressed: Table<'t, (&'static str, &'static str), ()>,
}

impl<'t> Projections<'t> {
    /// Open the tables.
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, Fault> {
        Ok(Self {
            profiles: transaction.open_table(PROFILES)?,
            open: transaction.open_table(OPEN)?,
            by_copy: transaction.open_table(BY_COPY)?,
            by_address: transaction.open_table(BY_ADDRESS)?,
            by_message: transaction.open_table(BY_MESSAGE)?,
            by_text: transaction.open_table(BY_TEXT)?,
            suppressed: transaction.open_table(SUPPRESSED)?,
        })
    }

    /// Take in one entry. `spooled` says whether a copy is in the spool once its record is written (or,
    /// when deriving anew, now): a failed try is an outcome only for a copy that does not wait there.
    pub(super) fn apply(
        &mut self,
        number: EntryNumber,
        at: Timestamp,
        event: &Event,
        spooled: &dyn Fn(CopyId) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        self.index(number, event)?;
        match event {
            Event::ConsentText { sha256, .. } => {
                // Recorded twice by two commands at once: the first entry is the one referred to.
                if self.by_text.get(sha256.as_str())?.is_none() {
                    self.by_text.insert(sha256.as_str(), number)?;
                }
                Ok(())
            }
            Event::Admitted(it) => {
                self.open.insert(&it.copy.to_bytes(), write_row(&opened(it))?.as_slice())?;
                Ok(())
            }
            other => {
                if let Some((sender, address)) = profile_of(other) {
                    self.change(sender, address, |profile| fold(profile, number, at, other))
                } else if let Some(outcome) = other.outcome() {
                    let waits = may_wait(other) && spooled(outcome.copy)?;
                    self.change_open(outcome.copy, |open| settle(open, outcome, waits))
                } else {
                    Ok(())
                }
            }
        }
    }

    /// A copy left the spool: recipients whose last try was no outcome have theirs now. Those that were
    /// never spoken of stay open: silence is never an outcome (promise 1).
    pub(super) fn left_spool(&mut self, copy: CopyId) -> Result<(), Fault> {
        self.change_open(copy, |open| open.recipients.retain(|(_, tried)| !tried))
    }

    fn index(&mut self, number: EntryNumber, event: &Event) -> Result<(), Fault> {
        if let Some(scope) = scope_of(event) {
            self.by_copy.insert(&copy_key(scope, number), ())?;
        }
        for address in event.addresses() {
            self.by_address.insert((address.as_str(), number), ())?;
        }
        if let Some(id) = event.message_id() {
            self.by_message.insert((id, number), ())?;
        }
        Ok(())
    }

    fn change(
        &mut self,
        sender: &SenderId,
        address: &AddressKey,
        change: impl FnOnce(&mut Profile),
    ) -> Result<(), Fault> {
        let key = (sender.0.as_str(), address.as_str());
        let mut profile = read_profile(self.profiles.get(key)?.as_ref().map(redb::AccessGuard::value))?;
        let was = !profile.suppressions.is_empty();
        change(&mut profile);
        match (was, !profile.suppressions.is_empty()) {
            (false, true) => drop(self.suppressed.insert(key, ())?),
            (true, false) => drop(self.suppressed.remove(key)?),
            _ => {}
        }
        self.profiles.insert(key, write_row(&profile)?.as_slice())?;
        Ok(())
    }

    fn change_open(&mut self, copy: CopyId, change: impl FnOnce(&mut Open)) -> Result<(), Fault> {
        let key = copy.to_bytes();
        let Some(mut open) = self.open.get(&key)?.map(|row| read_row::<Open>(row.value())).transpose()?
        else {
            return Ok(());
        };
        change(&mut open);
        if open.recipients.is_empty() {
            self.open.remove(&key)?;
        } else {
            self.open.insert(&key, write_row(&open)?.as_slice())?;
        }
        Ok(())
    }
}

/// What of a submission `event` is about, if of any.
pub(super) fn scope_of(event: &Event) -> Option<Scope> {
    event.copy().map(Scope::Copy).or_else(|| event.reference().map(Scope::Whole))
}

/// The row that an admission opens.
pub(super) fn opened(admitted: &Admitted) -> Open {
    Open {
        recipients: admitted.recipients.iter().map(|one| (one.recipient.clone(), false)).collect(),
        next_hop: admitted.next_hop.clone(),
    }
}

/// Whether the copy of a try with this outcome may wait in the spool for another one.
pub(super) fn may_wait(event: &Event) -> bool {
    matches!(event, Event::Delayed(_) | Event::InDoubt(_))
}

/// Take an outcome into the row that the admission opened.
pub(super) fn settle(open: &mut Open, outcome: &Outcome, waits: bool) {
    if waits {
        for (recipient, tried) in &mut open.recipients {
            *tried |= outcome.recipients.contains(recipient);
        }
    } else {
        open.recipients.retain(|(recipient, _)| !outcome.recipients.contains(recipient));
    }
}

/// Whose profile, with which sender, `event` changes.
pub(super) fn profile_of(event: &Event) -> Option<(&SenderId, &AddressKey)> {
    match event {
        Event::Consent(it) => Some((&it.sender, &it.address)),
        Event::Relation(it) => Some((&it.sender, &it.address)),
        Event::Published(it) => Some((&it.sender, &it.address)),
        Event::Suppression(it) => Some((&it.sender, &it.address)),
        Event::Unsubscribed(it) => Some((&it.sender, &it.address)),
        Event::Corrected(it) => Some((&it.sender, &it.address)),
        Event::Returned(it) if it.hard => Some((&it.sender, &it.address)),
        _ => None,
    }
}

/// A profile is the fold of this over the entries that [`profile_of`] says are about it.
pub(super) fn fold(profile: &mut Profile, _number: EntryNumber, at: Timestamp, event: &Event) {
    match event {
        Event::Consent(it) => {
            if it.event.kind == ConsentEventKind::Confirm {
                // Whoever clicked a link in a mail has a mailbox that works.
                profile.block = None;
            }
            add_consent(profile, &it.purpose, &it.event);
        }
        Event::Relation(it) => add_relation(profile, &it.relation),
        Event::Published(it) => add_published(profile, &it.purpose, &it.published),
        Event::Suppression(it) => suppress(profile, it.suppression.clone()),
        Event::Unsubscribed(it) => unsubscribe(profile, it, at),
        Event::Corrected(it) => correct(profile, it),
        Event::Returned(it) if it.hard => {
            let reply = format!("{} {}", it.status, it.diagnostic).trim_end().to_owned();
            profile.block = Some(DeliveryBlock { since: at, reply });
        }
        _ => {}
    }
}

/// The same fact taken in twice is one fact: the first recording of it counts (RULES L19).
fn add_consent(profile: &mut Profile, purpose: &Purpose, event: &ConsentEvent) {
    let at = match profile.consents.iter().position(|history| history.purpose == *purpose) {
        Some(at) => at,
        None => {
            profile.consents.push(ConsentHistory { purpose: purpose.clone(), events: Vec::new() });
            profile.consents.len() - 1
        }
    };
    let events = &mut profile.consents[at].events;
    if !is_known(events, event) {
        events.push(event.clone());
    }
}

fn add_relation(profile: &mut Profile, relation: &Relation) {
    if !profile.relations.iter().any(|known| known.is_same(relation)) {
        profile.relations.push(relation.clone());
    }
}

fn add_published(profile: &mut Profile, purpose: &Purpose, published: &Published) {
    if !profile.published.iter().any(|(about, known)| about == purpose && known.is_same(published)) {
        profile.published.push((purpose.clone(), published.clone()));
    }
}

/// One suppression per reason, so that a profile stays small however often somebody clicks. The later
/// one stands: a grant between the two must not lift it (RULES L16).
fn suppress(profile: &mut Profile, suppression: Suppression) {
    match profile.suppressions.iter_mut().find(|known| known.reason == suppression.reason) {
        Some(known) if known.since < suppression.since => *known = suppression,
        Some(_) => {}
        None => profile.suppressions.push(suppression),
    }
}

/// RULES L3, L9, L16: everything commercial from this sender ends.
fn unsubscribe(profile: &mut Profile, unsubscribed: &Unsubscribed, at: Timestamp) {
    let source = unsubscribed.way.as_str().to_owned();
    suppress(profile, Suppression { reason: Reason::Unsubscribed, since: at, source: source.clone() });
    for history in &mut profile.consents {
        if history.events.last().is_some_and(|last| last.kind != ConsentEventKind::Withdraw) {
            history.events.push(ConsentEvent {
                kind: ConsentEventKind::Withdraw,
                at,
                recorded_at: at,
                evidence: Evidence {
                    source: Some(source.clone()),
                    ip: unsubscribed.ip.clone(),
                    ..Evidence::default()
                },
            });
        }
    }
}

/// The unsubscribe of that moment was a mistake: what stood before it stands again, an earlier unsubscribe
/// included. Nothing else is touched.
fn correct(profile: &mut Profile, corrected: &Corrected) {
    let meant = |known: &Suppression| known.reason == Reason::Unsubscribed && known.since == corrected.since;
    let Some(at) = profile.suppressions.iter().position(meant) else { return };
    let mistake = profile.suppressions.remove(at);
    if let Some(since) = corrected.before {
        suppress(profile, Suppression { reason: Reason::Unsubscribed, since, source: mistake.source });
    }
    for history in &mut profile.consents {
        history.events.retain(|event| {
            event.kind != ConsentEventKind::Withdraw
                || event.at != corrected.since
                || event.recorded_at != corrected.since
        });
    }
}
