//! Purging, holding and erasing (RULES L11, L18): salt and payload go, the leaf hash stays, and every
//! projection becomes what the remaining entries say.
//!
//! A purge goes in small steps, each a commit of its own beside those of the pen, so that it neither stalls a
//! send nor fails with one. Deliberately absent: when (the program's), and the overwriting of freed pages in
//! the file, which redb reuses but does not wipe.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use redb::{ReadTransaction, ReadableTable as _, ReadableTableMetadata as _};

use super::apply::profile_of;
use super::error::Fault;
use super::find::{About, numbers_about};
use super::guard::guarded;
use super::read::{closed, find};
use super::tables::{
    self, BY_ADDRESS, BY_MINUTE, ENTRIES, ERASED, FORGOTTEN, HOLDS, META, OPEN, SPOOL, StoredEntry,
    read_entry,
};
use super::{Found, Store};
use crate::ledger::keeping::{self, Erasure, Forgotten, Keeping, Retention, Tally, months_after};
use crate::ledger::{Entry, EntryNumber, Event, Ready, Record, RecordError, Side};
use crate::mail::{AddressKey, Class, CopyId, SenderId, hex};
use crate::policy::Unavailable;
use crate::suppression::Suppression;

/// Entries that one step of a purge destroys, about; a copy goes whole.
const AT_ONCE: usize = 200;
/// Entries that one step looks at.
const LOOKED_AT: usize = 5_000;

/// A hold that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The entry that holds.
    pub number: EntryNumber,
    /// Whose entries; all when absent.
    pub about: Option<AddressKey>,
}

/// Nothing recorded for so long: a rest, or a clock that jumped.
const JUMP: SignedDuration = SignedDuration::from_hours(60 * 24);
/// What the ledger goes on for until such a rest is believed.
const SETTLED: SignedDuration = SignedDuration::from_hours(90 * 24);

/// One step of a purge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Step {
    due: Vec<EntryNumber>,
    next: Option<EntryNumber>,
}

impl Store {
    /// Destroy whatever is due, step by step; gives how many entries went. Blocks for as long as that takes,
    /// and holds up nobody for longer than a step. `stop` is asked before each.
    pub fn purge(&self, stop: &dyn Fn() -> bool) -> Result<u64, RecordError> {
        let failed = |unavailable: Unavailable| RecordError::Store(unavailable.0);
        let (mut from, mut purged) = (0, 0);
        while !stop() {
            let step = self.step(from).map_err(failed)?;
            if !step.due.is_empty() {
                let event = Event::Keeping(Keeping::Purged { entries: keeping::spans(&step.due) });
                purged += step.due.len() as u64;
                self.write(vec![Record { events: vec![event], sides: vec![Side::Erase(step.due)] }])?;
            }
            match step.next {
                Some(next) => from = next,
                None => break,
            }
        }
        Ok(purged)
    }

    /// When nothing was recorded for so long that either the gateway rested or the clock jumped: the last moment
    /// before and the first one after, if that is not long ago. A purge by a clock that is ten years ahead would
    /// destroy all proof there is, so nothing is purged of itself until the ledger has gone on for a while, or a
    /// person says that the time is right.
    pub fn jump(&self) -> Result<Option<(Timestamp, Timestamp)>, Unavailable> {
        let now = self.inner.clock.now();
        let jump = || -> Result<Option<(Timestamp, Timestamp)>, Fault> {
            let table = self.transaction().map_err(closed)?.open_table(BY_MINUTE)?;
            let mut after = now;
            for row in table.range(..=(tables::minute(now), u64::MAX))?.rev() {
                let minute = row?.0.value().0;
                let Ok(at) = Timestamp::from_second(minute.saturating_mul(60)) else { break };
                if after.duration_since(at) > JUMP {
                    return Ok(Some((at, after)));
                }
                if now.duration_since(at) > SETTLED {
                    break;
                }
                after = at;
            }
            Ok(None)
        };
        Ok(guarded(jump)?)
    }

    /// The holds that stand.
    pub fn holds(&self) -> Result<Vec<Hold>, Unavailable> {
        let reading = self.transaction()?;
        Ok(guarded(|| holds(&reading))?)
    }

    /// Erase one person (RULES L18): profile and refusals at once; proof of mail sent, and the consents it
    /// rests on, stay for nothing else until their time has passed; suppressions stay as a keyed hash. A hold
    /// stops it, and is named. Blocks for one commit; nothing is written between what is planned and what is done,
    /// so that no opt-out of that moment is lost with the rest.
    pub fn erase_person(&self, address: &AddressKey) -> Result<Erasure, RecordError> {
        let failed = |unavailable: Unavailable| RecordError::Store(unavailable.0);
        let mut writer = self.writer();
        self.reopen_if_closed(&mut writer)?;
        let (erasure, due) = self.plan_erasure(address).map_err(failed)?;
        if !erasure.holds.is_empty() {
            return Ok(erasure);
        }
        let event = Event::Keeping(Keeping::Erased {
            who: hex(&self.keyed_hash(address).map_err(failed)?),
            entries: keeping::spans(&due),
            suppressed: erasure.suppressed.clone(),
            restricted_until: erasure.kept_until,
        });
        let sides = vec![Side::Erase(due), Side::Forget(address.clone())];
        let record = Ready::new(Record { events: vec![event], sides })?;
        self.commit_locked(&mut writer, &[record])?;
        Ok(erasure)
    }

    /// What [`Store::erase_person`] would do, and the entries it would destroy.
    pub fn plan_erasure(&self, address: &AddressKey) -> Result<(Erasure, Vec<EntryNumber>), Unavailable> {
        let plan = || -> Result<(Erasure, Vec<EntryNumber>), Fault> {
            let reading = self.transaction().map_err(closed)?;
            let holds = holds(&reading)?.into_iter();
            let holds = holds.filter(|hold| hold.about.as_ref().is_none_or(|about| about == address));
            let mut erasure =
                Erasure { holds: holds.map(|hold| hold.number).collect(), ..Erasure::default() };
            let named = numbers_about(&reading, About::Address(address), None)?;
            let named = find(&reading, &named)?;
            let retention = self.inner.settings.retention;
            let unsent = unsent(&reading, &named)?;
            let is_unsent = |event: &Event| event.copy().is_some_and(|copy| unsent.contains_key(&copy));
            let sent = named.iter().filter_map(|found| match &found.entry.event {
                event if is_unsent(event) => None,
                Event::Admitted(it) => Some(months_after(found.entry.at, retention.of(it.class))),
                Event::SentElsewhere(_) => Some(months_after(found.entry.at, retention.marketing)),
                _ => None,
            });
            erasure.kept_until = sent.max();
            let (mut due, mut sources) = (Vec::new(), BTreeSet::new());
            for found in &named {
                let event = &found.entry.event;
                if !is_unsent(event) && stays(event, erasure.kept_until.is_some()) {
                    count(&mut erasure.kept, event);
                } else {
                    count(&mut erasure.erased, event);
                    due.push(found.number);
                    if let Event::Evidence(it) = event {
                        erasure.files.push(it.file.sha256.clone());
                    }
                }
                sources.extend(source_of(event).map(str::to_owned));
            }
            // What became of a copy is found by the copy, and not by the address.
            due.extend(unsent.into_values().flatten());
            due.sort_unstable();
            due.dedup();
            erasure.sources = sources.into_iter().collect();
            let senders: BTreeSet<&SenderId> =
                named.iter().filter_map(|found| sender_of(&found.entry.event)).collect();
            erasure.senders = senders.into_iter().cloned().collect();
            erasure.suppressed = suppressions(&reading, address, &named)?;
            Ok((erasure, due))
        };
        Ok(guarded(plan)?)
    }

    /// The keyed hash of an address: what the ledger knows of somebody who was erased.
    pub(super) fn keyed_hash(&self, address: &AddressKey) -> Result<[u8; 32], Unavailable> {
        let reading = self.transaction()?;
        Ok(guarded(|| keyed_hash(&reading, address))?)
    }

    fn step(&self, from: EntryNumber) -> Result<Step, Unavailable> {
        let step = || -> Result<Step, Fault> {
            let reading = self.transaction().map_err(closed)?;
            let holds = holds(&reading)?;
            if holds.iter().any(|hold| hold.about.is_none()) {
                return Ok(Step::default());
            }
            let now = self.inner.clock.now();
            let judge = Judge { reading: &reading, retention: self.inner.settings.retention, now, holds };
            judge.step(from)
        };
        Ok(guarded(step)?)
    }
}

/// Finds out what is due.
struct Judge<'r> {
    reading: &'r ReadTransaction,
    retention: Retention,
    now: Timestamp,
    holds: Vec<Hold>,
}

impl Judge<'_> {
    fn step(&self, from: EntryNumber) -> Result<Step, Fault> {
        let entries = self.reading.open_table(ENTRIES)?;
        let mut due = BTreeSet::new();
        let mut looked = 0;
        for run in self.old_runs()? {
            for number in from.max(run.0)..=run.1 {
                if looked == LOOKED_AT || due.len() >= AT_ONCE {
                    return Ok(Step { due: due.into_iter().collect(), next: Some(number) });
                }
                looked += 1;
                let Some(row) = entries.get(number)? else { continue };
                if let StoredEntry::Whole { bytes, .. } = read_entry(row.value())? {
                    due.extend(self.due(number, &Entry::parse(&bytes)?)?);
                }
            }
        }
        Ok(Step { due: due.into_iter().collect(), next: None })
    }

    /// The runs of entries that are older than the shortest retention, in order.
    fn old_runs(&self) -> Result<Vec<(EntryNumber, EntryNumber)>, Fault> {
        let mut runs = Vec::new();
        for row in self.reading.open_table(BY_MINUTE)?.iter()? {
            let (key, last) = row?;
            let (minute, first) = key.value();
            let at = minute.checked_mul(60).and_then(|second| Timestamp::from_second(second).ok());
            if at.is_some_and(|at| self.is_past(at, self.retention.shortest())) {
                runs.push((first, last.value()));
            }
        }
        runs.sort_unstable();
        Ok(runs)
    }

    fn is_past(&self, at: Timestamp, months: u32) -> bool {
        months_after(at, months) <= self.now
    }

    /// The entries that are due with this one; none when its time has not passed.
    fn due(&self, number: EntryNumber, entry: &Entry) -> Result<Vec<EntryNumber>, Fault> {
        let event = &entry.event;
        Ok(match event {
            Event::Admitted(admitted) => self.copy_due(entry, self.retention.of(admitted.class))?,
            // Why somebody left is no proof of anything: it helps the sender for a year.
            Event::Refused { .. } | Event::Explained(_) if self.is_past(entry.at, self.retention.refused) => {
                vec![number]
            }
            // That the sender was told (RULES L10) is proof of the same kind as a send.
            Event::Told(_) | Event::SentElsewhere(_) if self.is_past(entry.at, self.retention.marketing) => {
                vec![number]
            }
            other if other.outcome().is_some() || matches!(other, Event::NoticeSent { .. }) => {
                if self.is_admitted(other)? || !self.is_past(entry.at, self.retention.marketing) {
                    Vec::new()
                } else {
                    vec![number]
                }
            }
            Event::Held(_) | Event::Answered(_) | Event::Ignored(_)
                if self.is_past(entry.at, self.retention.refused) =>
            {
                vec![number]
            }
            other
                if (is_evidence(other) || matches!(other, Event::Returned(_) | Event::Unblocked(_)))
                    && self.is_past(entry.at, self.retention.marketing) =>
            {
                if self.is_needed(other)? {
                    Vec::new()
                } else {
                    vec![number]
                }
            }
            // Of somebody who was erased nothing outlives the last send (RULES L18).
            other if is_evidence(other) || is_choice(other) => {
                if self.is_erased(number, other)? && !self.is_needed(other)? {
                    vec![number]
                } else {
                    Vec::new()
                }
            }
            _ => Vec::new(),
        }
        .into_iter()
        .filter(|_| !self.is_held(event))
        .collect())
    }

    /// All entries of a copy, once the last of them is old enough.
    fn copy_due(&self, admitted: &Entry, months: u32) -> Result<Vec<EntryNumber>, Fault> {
        let Some(copy) = admitted.event.copy() else { return Ok(Vec::new()) };
        let key = copy.to_bytes();
        if !self.is_past(admitted.at, months)
            || self.reading.open_table(SPOOL)?.get(&key)?.is_some()
            || self.reading.open_table(OPEN)?.get(&key)?.is_some()
        {
            return Ok(Vec::new());
        }
        let numbers = numbers_about(self.reading, About::Copy(copy), None)?;
        let all = find(self.reading, &numbers)?;
        let old =
            all.iter().all(|found| self.is_past(found.entry.at, months) && !self.is_held(&found.entry.event));
        Ok(if old { numbers } else { Vec::new() })
    }

    /// Whether the admission of the copy is still there: it takes its outcomes with it.
    fn is_admitted(&self, event: &Event) -> Result<bool, Fault> {
        let Some(copy) = event.copy() else { return Ok(false) };
        let all = find(self.reading, &numbers_about(self.reading, About::Copy(copy), None)?)?;
        Ok(all.iter().any(|found| matches!(found.entry.event, Event::Admitted(_))))
    }

    /// Whether a send to the address is still on record: the evidence stays as long as it does.
    fn is_needed(&self, event: &Event) -> Result<bool, Fault> {
        for address in event.addresses() {
            if is_mailed(self.reading, address)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether all that it is about were erased after it was written.
    fn is_erased(&self, number: EntryNumber, event: &Event) -> Result<bool, Fault> {
        let table = self.reading.open_table(ERASED)?;
        if table.is_empty()? {
            return Ok(false);
        }
        for address in event.addresses() {
            let mut is_erased = false;
            for hash in keyed_hashes(self.reading, address)? {
                is_erased |= table.get(&hash)?.is_some_and(|erased_at| erased_at.value() >= number);
            }
            if !is_erased {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_held(&self, event: &Event) -> bool {
        let about = |hold: &Hold| {
            hold.about.as_ref().is_some_and(|about| {
                event.addresses().contains(&about)
                    || event.outcome().is_some_and(|it| it.recipients.iter().any(|one| one.key() == about))
            })
        };
        self.holds.iter().any(about)
    }
}

/// What a basis may rest on.
fn is_evidence(event: &Event) -> bool {
    matches!(event, Event::Consent(_) | Event::Evidence(_) | Event::Relation(_) | Event::Published(_))
}

/// What a person, or somebody for them, said about mail.
fn is_choice(event: &Event) -> bool {
    matches!(
        event,
        Event::Unsubscribed(_)
            | Event::Undeliverable(_)
            | Event::Corrected(_)
            | Event::Suppression(_)
            | Event::TakenBack(_)
    )
}

/// Whether an entry about somebody who is erased stays: mail that was sent, and what it rests on. A hold that stands
/// stops the erasure; one that ended goes with it.
fn stays(event: &Event, was_mailed: bool) -> bool {
    match event {
        Event::Admitted(_) | Event::SentElsewhere(_) | Event::NoticeSent { .. } => true,
        _ => was_mailed && (is_evidence(event) || is_choice(event)),
    }
}

/// The mails of our own that were cancelled before anybody had them, with the numbers of all their entries: no proof of
/// anything sent.
fn unsent(reading: &ReadTransaction, named: &[Found]) -> Result<BTreeMap<CopyId, Vec<EntryNumber>>, Fault> {
    let mut unsent = BTreeMap::new();
    for found in named {
        let Event::Admitted(admitted) = &found.entry.event else { continue };
        if admitted.class != Class::System || admitted.recipients.len() != 1 {
            continue;
        }
        let numbers = numbers_about(reading, About::Copy(admitted.copy), None)?;
        let all = find(reading, &numbers)?;
        let any = |of: fn(&Event) -> bool| all.iter().any(|found| of(&found.entry.event));
        if any(|event| matches!(event, Event::Cancelled(_)))
            && !any(|event| matches!(event, Event::Relayed(_) | Event::InDoubt(_)))
        {
            unsent.insert(admitted.copy, numbers);
        }
    }
    Ok(unsent)
}

/// One more of its kind.
fn count(tallies: &mut Vec<Tally>, event: &Event) {
    let kind = event.kind().0;
    match tallies.iter_mut().find(|tally| tally.kind == kind) {
        Some(tally) => tally.count += 1,
        None => tallies.push(Tally { kind: kind.to_owned(), count: 1 }),
    }
}

/// Where a fact came from.
fn source_of(event: &Event) -> Option<&str> {
    match event {
        Event::Consent(it) => Some(&it.source),
        Event::Relation(it) => Some(&it.source),
        Event::Published(it) => Some(&it.source),
        Event::Suppression(it) => Some(&it.suppression.source),
        _ => None,
    }
}

/// Whose register, or whose mail, an entry is about.
fn sender_of(event: &Event) -> Option<&SenderId> {
    match event {
        Event::Admitted(it) => it.sender.as_ref().map(|party| &party.id),
        Event::SentElsewhere(it) => Some(&it.sender.id),
        other => profile_of(other).map(|(sender, _)| sender),
    }
}

fn is_mailed(reading: &ReadTransaction, address: &AddressKey) -> Result<bool, Fault> {
    let key = address.as_str();
    for row in reading.open_table(BY_ADDRESS)?.range((key, 0)..=(key, u64::MAX))? {
        let number = row?.0.value().1;
        let found: Vec<Found> = find(reading, &[number])?;
        if found.iter().any(|found| matches!(found.entry.event, Event::Admitted(_) | Event::SentElsewhere(_)))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn holds(reading: &ReadTransaction) -> Result<Vec<Hold>, Fault> {
    let mut holds = Vec::new();
    for row in reading.open_table(HOLDS)?.iter()? {
        let (number, about) = row?;
        holds.push(Hold { number: number.value(), about: tables::read_row(about.value())? });
    }
    Ok(holds)
}

/// What stands against marketing to an address by each sender.
fn suppressions(
    reading: &ReadTransaction,
    address: &AddressKey,
    named: &[Found],
) -> Result<Vec<Forgotten>, Fault> {
    let senders: BTreeSet<&str> = named
        .iter()
        .filter_map(|found| profile_of(&found.entry.event))
        .map(|(sender, _)| sender.0.as_str())
        .collect();
    let profiles = reading.open_table(tables::PROFILES)?;
    let mut all = Vec::new();
    for sender in senders {
        let row = profiles.get((sender, address.as_str()))?;
        let profile = tables::read_profile(row.as_ref().map(redb::AccessGuard::value))?;
        let forgotten = |suppression| Forgotten { sender: SenderId(sender.to_owned()), suppression };
        all.extend(profile.suppressions.into_iter().map(forgotten));
    }
    Ok(all)
}

/// The suppressions of somebody who was erased, if `address` is theirs.
pub(super) fn forgotten(
    reading: &ReadTransaction,
    sender: &SenderId,
    address: &AddressKey,
) -> Result<Vec<Suppression>, Fault> {
    let table = reading.open_table(FORGOTTEN)?;
    // Nobody was ever erased: no hash is computed for each decision.
    if table.is_empty()? {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for hash in keyed_hashes(reading, address)? {
        if let Some(row) = table.get((sender.0.as_str(), &hash))? {
            all.extend(tables::read_row::<Vec<Suppression>>(row.value())?);
        }
    }
    Ok(all)
}

fn keyed_hashes(reading: &ReadTransaction, address: &AddressKey) -> Result<Vec<[u8; 32]>, Fault> {
    let meta = reading.open_table(META)?;
    let key =
        meta.get("hash_key")?.ok_or_else(|| Fault::Format("the key of the hashes is missing".to_owned()))?;
    Ok(tables::keyed_hashes(key.value(), address.as_str()))
}

pub(super) fn keyed_hash(reading: &ReadTransaction, address: &AddressKey) -> Result<[u8; 32], Fault> {
    let meta = reading.open_table(META)?;
    let key =
        meta.get("hash_key")?.ok_or_else(|| Fault::Format("the key of the hashes is missing".to_owned()))?;
    Ok(tables::keyed_hash(key.value(), address.as_str()))
}
