//! Projections: what the entries add up to. The same function is used when an entry is committed and
//! when everything is derived anew from the entries.

use jiff::Timestamp;
use redb::{ReadableTable as _, ReadableTableMetadata as _, Table, WriteTransaction};

use super::error::Fault;
use super::tables::{
    BY_ADDRESS, BY_COPY, BY_MESSAGE, BY_TEXT, ERASED, FORGOTTEN, HOLDS, IMPORTS, Imported, META, OPEN, Open,
    PROFILES, SUPPRESSED, Scope, copy_key, keyed_hashes, read_profile, read_row, write_row,
};
use crate::consent::{ConsentEvent, ConsentEventKind, Evidence, Published, Relation, is_known};
use crate::ledger::keeping::Keeping;
use crate::ledger::{Admitted, Corrected, EntryNumber, Event, Fact, Outcome, Unsubscribed};
use crate::mail::{AddressKey, CopyId, Purpose, SenderId, unhex};
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
    imports: Table<'t, &'static str, &'static [u8]>,
    /// For the tables that few commits touch.
    transaction: &'t WriteTransaction,
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
            imports: transaction.open_table(IMPORTS)?,
            transaction,
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
            Event::ImportBegun(it) => {
                let import = Imported { begun: number, ended: None, undone: None };
                self.imports.insert(it.id.as_str(), write_row(&import)?.as_slice())?;
                Ok(())
            }
            Event::ImportEnded(it) => self.change_import(&it.id, |import| import.ended = Some(number)),
            Event::ImportUndone(it) => self.change_import(&it.id, |import| import.undone = Some(number)),
            Event::Admitted(it) => {
                self.open.insert(&it.copy.to_bytes(), write_row(&opened(it))?.as_slice())?;
                Ok(())
            }
            Event::Keeping(keeping) => self.keep(number, keeping),
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

    fn keep(&mut self, number: EntryNumber, keeping: &Keeping) -> Result<(), Fault> {
        match keeping {
            Keeping::Held { about, .. } => {
                let row = write_row(about)?;
                self.transaction.open_table(HOLDS)?.insert(number, row.as_slice())?;
            }
            Keeping::Released { hold, .. } => {
                self.transaction.open_table(HOLDS)?.remove(*hold)?;
            }
            Keeping::Erased { who, suppressed, .. } => {
                let hash = unhex(who).ok_or_else(|| Fault::Format("an erasure names nobody".to_owned()))?;
                self.transaction.open_table(ERASED)?.insert(&hash, number)?;
                let mut table = self.transaction.open_table(FORGOTTEN)?;
                for one in suppressed {
                    let key = (one.sender.0.as_str(), &hash);
                    let row =
                        table.get(key)?.map(|row| read_row::<Vec<Suppression>>(row.value())).transpose()?;
                    let mut all = row.unwrap_or_default();
                    if !all.contains(&one.suppression) {
                        all.push(one.suppression.clone());
                    }
                    table.insert(key, write_row(&all)?.as_slice())?;
                }
            }
            Keeping::Purged { .. } => {}
        }
        Ok(())
    }

    /// Whether mail to `address` is known not to arrive.
    pub(super) fn is_blocked(&self, sender: &SenderId, address: &AddressKey) -> Result<bool, Fault> {
        let row = self.profiles.get((sender.0.as_str(), address.as_str()))?;
        Ok(read_profile(row.as_ref().map(redb::AccessGuard::value))?.block.is_some())
    }

    /// Take the index rows of an entry away.
    pub(super) fn unindex(&mut self, number: EntryNumber, event: &Event) -> Result<(), Fault> {
        if let Some(scope) = scope_of(event) {
            self.by_copy.remove(&copy_key(scope, number))?;
        }
        for address in event.addresses() {
            self.by_address.remove((address.as_str(), number))?;
        }
        if let Some(id) = event.message_id() {
            self.by_message.remove((id, number))?;
        }
        Ok(())
    }

    /// The numbers of the entries that name an address, in order.
    pub(super) fn numbers_of(&self, address: &str) -> Result<Vec<EntryNumber>, Fault> {
        let rows = self.by_address.range((address, 0)..=(address, u64::MAX))?;
        rows.map(|row| Ok(row?.0.value().1)).collect()
    }

    /// The entry from which on the profiles of an address count: after its last erasure.
    pub(super) fn erased_at(&self, address: &str) -> Result<EntryNumber, Fault> {
        let table = self.transaction.open_table(ERASED)?;
        if table.is_empty()? {
            return Ok(0);
        }
        let meta = self.transaction.open_table(META)?;
        let key = meta.get("hash_key")?.map(|key| key.value().to_vec()).unwrap_or_default();
        let mut last = 0;
        for hash in keyed_hashes(&key, address) {
            last = table.get(&hash)?.map_or(last, |row| last.max(row.value()));
        }
        Ok(last)
    }

    /// File what stands under the address `old` under `new`, which is the same mailbox; gives the numbers of its entries.
    pub(super) fn file_anew(&mut self, old: &str, new: &str) -> Result<Vec<EntryNumber>, Fault> {
        for number in self.numbers_of(old)? {
            self.by_address.remove((old, number))?;
            self.by_address.insert((new, number), ())?;
        }
        self.numbers_of(new)
    }

    /// Put a profile that was folded anew in the place of the one that was there.
    pub(super) fn replace(
        &mut self,
        sender: &str,
        address: &str,
        profile: Option<Profile>,
    ) -> Result<(), Fault> {
        let key = (sender, address);
        match profile {
            Some(profile) => {
                if profile.suppressions.is_empty() {
                    self.suppressed.remove(key)?;
                } else {
                    self.suppressed.insert(key, ())?;
                }
                self.profiles.insert(key, write_row(&profile)?.as_slice())?;
            }
            None => {
                self.suppressed.remove(key)?;
                self.profiles.remove(key)?;
            }
        }
        Ok(())
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
        // Recorded twice by two commands at once: the first entry is the one referred to.
        if let Some(label) = event.label()
            && self.by_text.get(label.as_str())?.is_none()
        {
            self.by_text.insert(label.as_str(), number)?;
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

    fn change_import(&mut self, id: &str, change: impl FnOnce(&mut Imported)) -> Result<(), Fault> {
        let known = self.imports.get(id)?.map(|row| read_row::<Imported>(row.value())).transpose()?;
        let Some(mut import) = known else { return Ok(()) };
        change(&mut import);
        self.imports.insert(id, write_row(&import)?.as_slice())?;
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
        Event::Undeliverable(it) => Some((&it.sender, &it.address)),
        Event::TakenBack(it) => Some((&it.sender, &it.address)),
        Event::Suppression(it) => Some((&it.sender, &it.address)),
        Event::Unsubscribed(it) => Some((&it.sender, &it.address)),
        Event::Corrected(it) => Some((&it.sender, &it.address)),
        Event::Unblocked(it) => Some((&it.sender, &it.address)),
        Event::Returned(it) if it.blocked => Some((&it.sender, &it.address)),
        _ => None,
    }
}

/// A profile is the fold of this over the entries that [`profile_of`] says are about it.
pub(super) fn fold(profile: &mut Profile, number: EntryNumber, at: Timestamp, event: &Event) {
    let before = facts(profile);
    match event {
        Event::Consent(it) => {
            if it.event.shows_that_mail_arrives() {
                profile.block = None;
            }
            add_consent(profile, &it.purpose, &it.event);
        }
        Event::Relation(it) => add_relation(profile, &it.relation),
        Event::Published(it) => add_published(profile, &it.purpose, &it.published),
        Event::Undeliverable(it) => {
            profile.block.get_or_insert_with(|| it.block.clone());
        }
        Event::TakenBack(it) => take_back(profile, &it.fact),
        Event::Suppression(it) => suppress(profile, it.suppression.clone()),
        Event::Unsubscribed(it) => unsubscribe(profile, it, at),
        Event::Corrected(it) => correct(profile, it),
        Event::Unblocked(_) => profile.block = None,
        Event::Returned(it) if it.blocked => {
            let reply = format!("{} {}", it.status, it.diagnostic).trim_end().to_owned();
            profile.block = Some(DeliveryBlock { since: at, reply });
        }
        _ => {}
    }
    // What a basis may rest on is found again by when it was recorded.
    let recorded_at = match event {
        Event::Consent(it) => Some(it.event.recorded_at),
        Event::Relation(it) => Some(it.relation.recorded_at),
        Event::Published(it) => Some(it.published.captured_at),
        _ => None,
    };
    if let Some(recorded_at) = recorded_at
        && facts(profile) > before
    {
        profile.recorded.push((recorded_at, number));
    }
}

/// How many facts it holds that a basis may rest on.
fn facts(profile: &Profile) -> usize {
    let consents: usize = profile.consents.iter().map(|history| history.events.len()).sum();
    consents + profile.relations.len() + profile.published.len()
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

/// A fact that is taken back leaves no trace in the profile; its entries stand.
fn take_back(profile: &mut Profile, fact: &Fact) {
    match fact {
        Fact::Consent { purpose, event } => {
            for history in profile.consents.iter_mut().filter(|history| history.purpose == *purpose) {
                history.events.retain(|known| known != event);
            }
            profile.consents.retain(|history| !history.events.is_empty());
        }
        Fact::Relation(relation) => profile.relations.retain(|known| known != relation),
        Fact::Published { purpose, published } => {
            profile.published.retain(|(about, known)| about != purpose || known != published);
        }
        Fact::Suppression(suppression) => profile.suppressions.retain(|known| known != suppression),
        Fact::Block(block) => profile.block = profile.block.take().filter(|known| known != block),
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
