//! The ledger as the admin room reads it, over the store.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use memchr::memmem;
use tokio::sync::watch;

use super::evidence;

use crate::admin::{
    Books, Filed, HoldLine, ImportLine, Owned, PackFile, Query, SentMessage, Subject, Tally, Verified,
};
use crate::clock::Timestamp;
use crate::ledger::consistency::Consistency;
use crate::ledger::keeping::Erasure;
use crate::ledger::{Entry, EntryNumber, Event, Fact, Keep, NamedFile, Suppressed, pack};
use crate::mail::{AddressKey, Language, Purpose, SenderId};
use crate::policy::{Basis, Profile, Refusal, Rules, Unavailable};
use crate::store::{About, Archived, Findings, Found, ImportPlace, Page, Store, Window};

/// Entries that are read in one go.
const PAGE: usize = 1_000;

/// Entries that one request for refusals looks at.
const STRETCH: usize = 200_000;

/// Anchors after an entry that are looked at: the first of each place is among them, unless it was missed for days.
const ANCHORS: usize = 16;

/// Reads the store for `admin`.
#[derive(Debug, Clone)]
pub struct StoreBooks {
    store: Store,
    rules: watch::Receiver<Arc<Rules>>,
    progress: Arc<Mutex<Option<(u64, u64)>>>,
}

impl StoreBooks {
    /// Over `store`; the languages of senders are those of `rules`.
    pub fn new(store: Store, rules: watch::Receiver<Arc<Rules>>) -> Self {
        Self { store, rules, progress: Arc::default() }
    }

    /// The language of the first sender that `found` names; Dutch, the law's own, when none does.
    fn language_of(&self, found: &[Found]) -> Language {
        let rules = self.rules.borrow();
        let known = |id: &SenderId| rules.senders.iter().find(|sender| sender.id == *id);
        let sender = found.iter().filter_map(|found| found.entry.event.sender()).find_map(known);
        sender.map(|sender| sender.language).unwrap_or_default()
    }

    fn page(&self, query: &Query, after: Option<EntryNumber>, limit: usize) -> Result<Page, Unavailable> {
        let about = match &query.subject {
            Subject::Address(address) => About::Address(address),
            Subject::Reference(reference) => About::Reference(*reference),
            Subject::Copy(copy) => About::Copy(*copy),
            Subject::MessageId(id) => About::MessageId(id),
            Subject::Entry(number) => About::Entry(*number),
            Subject::Everything => About::Everything,
        };
        self.store.page(about, &Window { after, since: query.since, until: query.until, limit })
    }
}

impl StoreBooks {
    /// The entry `number`, unless it was erased.
    fn entry(&self, number: EntryNumber) -> Result<Option<Entry>, Unavailable> {
        Ok(self.store.entries(number..number.saturating_add(1))?.pop().map(|found| found.entry))
    }

    /// An import as its entries tell it; `None` once they were erased.
    fn import_line(&self, place: ImportPlace) -> Result<Option<ImportLine>, Unavailable> {
        let Some(Entry { at, event: Event::ImportBegun(begun), .. }) = self.entry(place.begun)? else {
            return Ok(None);
        };
        let ended = place.ended.map(|number| self.entry(number)).transpose()?.flatten();
        let result = match ended.map(|entry| entry.event) {
            Some(Event::ImportEnded(it)) => Some((it.added, it.already, it.rejected)),
            _ => None,
        };
        Ok(Some(ImportLine {
            id: place.id,
            at,
            format: begun.format,
            file: begun.file,
            sha256: begun.sha256,
            begun: place.begun,
            ended: place.ended,
            result,
            undone: place.undone.is_some(),
        }))
    }

    /// Add the entries that `found` rests on: consents, the texts as they were shown and not only their hashes,
    /// the public keys of its signatures.
    fn add_evidence(&self, found: &mut Vec<Found>, covered: EntryNumber) -> Result<(), Unavailable> {
        let numbers: BTreeSet<EntryNumber> =
            found.iter().flat_map(|found| found.entry.event.rests_on()).collect();
        for number in numbers {
            found.extend(self.store.entries(number..number.saturating_add(1))?);
        }
        let labels: BTreeSet<String> = found.iter().flat_map(|found| found.entry.event.refers_to()).collect();
        for label in labels {
            found.extend(self.store.labelled(&label)?);
        }
        // A scan may have turned up after the consent was put on record, and after a send that rests on it.
        let consents: BTreeSet<Consent> =
            found.iter().flat_map(|found| consents_in(&found.entry.event)).collect();
        let people: BTreeSet<&AddressKey> = consents.iter().map(|(_, _, address)| address).collect();
        for address in people {
            let shown = self.store.evidence_of(address)?.into_iter().filter(|one| {
                one.number < covered
                    && matches!(&one.entry.event, Event::Evidence(it)
                        if consents.contains(&(it.sender.clone(), it.purpose.clone(), it.address.clone())))
            });
            found.extend(shown);
        }
        // Not the file itself: it holds other people's data. Its hash, and who attested it, stand in the entry.
        let imports: BTreeSet<String> =
            found.iter().filter_map(|found| import_of(&found.entry.event)).map(str::to_owned).collect();
        for import in imports {
            if let Some(place) = self.store.import(&import)? {
                found.extend(self.store.entries(place.begun..place.begun.saturating_add(1))?);
            }
        }
        found.sort_by_key(|found| found.number);
        found.dedup_by_key(|found| found.number);
        self.add_anchors(found)
    }

    /// Add, for each entry in `found`, the first anchor of each place that covers it.
    fn add_anchors(&self, found: &mut Vec<Found>) -> Result<(), Unavailable> {
        let (mut covered, mut anchors) = (0, Vec::new());
        for number in found.iter().map(|found| found.number) {
            // What covers an entry covers those before it.
            if number < covered {
                continue;
            }
            let mut places = BTreeSet::new();
            for anchor in self.store.anchors_of(number, ANCHORS)? {
                let Event::Anchored(it) = &anchor.entry.event else { continue };
                covered = covered.max(if places.is_empty() { it.size } else { covered });
                if places.insert(it.to.clone()) {
                    anchors.push(anchor);
                }
            }
        }
        found.extend(anchors);
        found.sort_by_key(|found| found.number);
        found.dedup_by_key(|found| found.number);
        Ok(())
    }
}

/// A consent by whose it is: for which sender, for what, of whom.
type Consent = (SenderId, Purpose, AddressKey);

/// The consents that an entry tells of or rests on.
fn consents_in(event: &Event) -> Vec<Consent> {
    let by_consent = |basis: &Basis| matches!(basis, Basis::Consent { .. });
    match event {
        Event::Consent(it) => vec![(it.sender.clone(), it.purpose.clone(), it.address.clone())],
        Event::Admitted(it) => {
            let (Some(sender), Some(purpose)) = (&it.sender, &it.purpose) else { return Vec::new() };
            let people = it.recipients.iter().filter(|one| by_consent(&one.basis));
            people.map(|one| (sender.id.clone(), purpose.clone(), one.recipient.key().clone())).collect()
        }
        Event::SentElsewhere(it) => {
            let people = it.recipients.iter().filter(|one| by_consent(&one.basis));
            people.map(|one| (it.sender.id.clone(), it.purpose.clone(), one.address.clone())).collect()
        }
        _ => Vec::new(),
    }
}

/// The import that brought an entry.
fn import_of(event: &Event) -> Option<&str> {
    let source = match event {
        Event::Consent(it) => &it.source,
        Event::Relation(it) => &it.source,
        Event::Published(it) => &it.source,
        Event::Suppression(it) => &it.suppression.source,
        _ => return None,
    };
    source.rsplit_once("import ").map(|(_, id)| id)
}

/// The fact of the register that an entry took in.
fn fact_of(event: Event) -> Option<Owned> {
    Some(match event {
        Event::Consent(it) => (it.sender, it.address, Fact::Consent { purpose: it.purpose, event: it.event }),
        Event::Relation(it) => (it.sender, it.address, Fact::Relation(it.relation)),
        Event::Published(it) => {
            (it.sender, it.address, Fact::Published { purpose: it.purpose, published: it.published })
        }
        Event::Suppression(it) => (it.sender, it.address, Fact::Suppression(it.suppression)),
        Event::Undeliverable(it) => (it.sender, it.address, Fact::Block(it.block)),
        _ => return None,
    })
}

/// Rule, sender, and the clause by word and number.
type Stood = (Option<String>, Option<String>, &'static str, &'static str);

/// What an entry refused, or would have.
fn refusals_in(event: &Event, observed: bool) -> Vec<&Refusal> {
    match event {
        Event::Admitted(it) if observed => {
            it.recipients.iter().filter_map(|one| one.observed.as_ref()).collect()
        }
        Event::Refused { recipients, .. } if !observed => recipients.iter().map(|one| &one.refusal).collect(),
        _ => Vec::new(),
    }
}

fn verified(findings: Findings) -> Verified {
    Verified {
        entries: findings.entries,
        erased: findings.erased,
        counts: findings.counts,
        checkpoints: findings.checkpoints,
        files: 0,
        findings: findings.problems,
        notes: Vec::new(),
    }
}

impl Books for StoreBooks {
    fn entries(
        &self,
        query: &Query,
        after: Option<EntryNumber>,
        limit: usize,
    ) -> Result<(Vec<Filed>, Option<EntryNumber>), Unavailable> {
        let page = self.page(query, after, limit)?;
        let erased = page.erased.into_iter().map(|number| Filed { number, json: None });
        let found = page
            .found
            .into_iter()
            .map(|found| Filed { number: found.number, json: String::from_utf8(found.bytes).ok() });
        let mut filed: Vec<Filed> = found.chain(erased).collect();
        filed.sort_by_key(|one| one.number);
        Ok((filed, page.next))
    }

    fn register(
        &self,
        sender: Option<&SenderId>,
        after: Option<&(SenderId, AddressKey)>,
        limit: usize,
    ) -> Result<Vec<(SenderId, AddressKey, Profile)>, Unavailable> {
        let after = after.map(|(sender, address)| (sender, address));
        let rows = self.store.register(sender, after, limit)?;
        Ok(rows.into_iter().map(|row| (row.sender, row.address, row.profile)).collect())
    }

    fn suppressions(
        &self,
        sender: Option<&SenderId>,
        after: Option<&(SenderId, AddressKey)>,
        limit: usize,
    ) -> Result<Vec<Suppressed>, Unavailable> {
        let after = after.map(|(sender, address)| (sender, address));
        let mut page = Vec::new();
        // A page never ends within an address: the next one begins after it.
        for row in self.store.suppressed(sender, after, limit)? {
            if page.len() >= limit {
                break;
            }
            page.extend(row.profile.suppressions.into_iter().map(|suppression| Suppressed {
                sender: row.sender.clone(),
                address: row.address.clone(),
                suppression,
                reference: None,
            }));
        }
        Ok(page)
    }

    fn refusals(
        &self,
        from: Timestamp,
        to: Timestamp,
        observed: bool,
        after: Option<EntryNumber>,
    ) -> Result<(Vec<Tally>, Option<EntryNumber>), Unavailable> {
        let sign = memmem::Finder::new(if observed { "\"observed\":{" } else { "\"kind\":\"refused\"" });
        let mut counts: HashMap<Stood, u64> = HashMap::new();
        let next = self.store.scan(after.map_or(0, |after| after + 1), STRETCH, |_, bytes| {
            // Most entries are neither: only those that may be are taken apart.
            let Some(entry) = sign.find(bytes).and_then(|_| Entry::parse(bytes).ok()) else { return };
            if entry.at < from || entry.at >= to {
                return;
            }
            for refusal in refusals_in(&entry.event, observed) {
                let clause = &refusal.clause;
                let key = (refusal.rule.clone(), refusal.sender.clone(), clause.word(), clause.rule());
                *counts.entry(key).or_default() += 1;
            }
        })?;
        let tally = |((rule, sender, clause, number), count): (Stood, u64)| Tally {
            rule,
            sender,
            clause: clause.to_owned(),
            number: number.to_owned(),
            count,
        };
        // The next stretch begins with the entry that this one did not show.
        Ok((counts.into_iter().map(tally).collect(), next.map(|next| next.saturating_sub(1))))
    }

    fn imports(&self, after: Option<&str>, limit: usize) -> Result<Vec<ImportLine>, Unavailable> {
        let places = self.store.imports(after, limit)?;
        places.into_iter().filter_map(|place| self.import_line(place).transpose()).collect()
    }

    fn import(&self, id: &str) -> Result<Option<ImportLine>, Unavailable> {
        self.store.import(id)?.map_or(Ok(None), |place| self.import_line(place))
    }

    fn facts_of(
        &self,
        id: &str,
        range: Range<EntryNumber>,
        stretch: usize,
        most: usize,
    ) -> Result<(Vec<Owned>, Option<EntryNumber>), Unavailable> {
        // As it stands at the end of a JSON text.
        let sign = format!("import {id}\"");
        let sign = memmem::Finder::new(&sign);
        let (mut facts, mut rest) = (Vec::new(), None);
        let next = self.store.scan(range.start, stretch, |number, bytes| {
            if number >= range.end || rest.is_some() || sign.find(bytes).is_none() {
                return;
            }
            if facts.len() == most {
                rest = Some(number);
            } else if let Some(fact) = Entry::parse(bytes).ok().and_then(|entry| fact_of(entry.event)) {
                facts.push(fact);
            }
        })?;
        let next = rest.or(next).filter(|next| *next < range.end);
        Ok((facts, next.map(|next| next.saturating_sub(1))))
    }

    fn texts(&self, after: Option<&str>, limit: usize) -> Result<Vec<(String, String)>, Unavailable> {
        let text = |found: Found| match found.entry.event {
            Event::ConsentText { sha256, text, .. } => Some((sha256, text)),
            _ => None,
        };
        Ok(self.store.texts(after, limit)?.into_iter().filter_map(text).collect())
    }

    fn consent_text(&self, sha256: &str) -> Result<Option<EntryNumber>, Unavailable> {
        Ok(self.store.labelled(sha256)?.map(|found| found.number))
    }

    fn pack(&self, query: &Query, language: Option<Language>) -> Result<Option<PackFile>, Unavailable> {
        let most = self.store.pack_entries();
        let too_many = || {
            Unavailable(format!(
                "there are more than {most} entries about {query} (limits.ledger_pack_entries): too many for one pack; \
                 ask for a shorter time with --since and --until"
            ))
        };
        let page = self.page(query, None, most)?;
        if page.next.is_some() {
            return Err(too_many());
        }
        let mut found = page.found;
        if found.is_empty() {
            return Ok(None);
        }
        // What was recorded since the checkpoint is for the next pack: a busy ledger never stands still.
        let covered = self.store.latest_checkpoint()?.map_or(0, |(size, _)| size);
        if found.iter().any(|found| found.number < covered) {
            found.retain(|found| found.number < covered);
        }
        self.add_evidence(&mut found, covered)?;
        // With the outcomes of its sends, and what they rest on.
        if found.len() > most {
            return Err(too_many());
        }
        let language = language.unwrap_or_else(|| self.language_of(&found));
        let pack = self.store.pack(&query.to_string(), found)?;
        let pack = pack::Pack { language, ..pack };
        evidence::write_pack(&self.store, &pack).map(Some)
    }

    fn verify(&self, anchors: &[String]) -> Result<Verified, Unavailable> {
        let place = |at| *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = at;
        let findings = self.store.verify_with(anchors, &mut |done, all| place(Some((done, all))));
        place(None);
        let findings = findings?;
        let looked = evidence::check(&self.store, &findings.files)?;
        let mut verified = verified(findings);
        verified.files = looked.sound;
        verified.findings.extend(looked.problems);
        verified.notes = looked.notes;
        Ok(verified)
    }

    fn holds(&self) -> Result<Vec<HoldLine>, Unavailable> {
        let holds = self.store.holds()?.into_iter();
        Ok(holds.map(|hold| HoldLine { number: hold.number, about: hold.about }).collect())
    }

    fn purge(&self) -> Result<u64, Unavailable> {
        let purged = self.store.purge(&|| false).map_err(|error| Unavailable(error.to_string()))?;
        evidence::sweep(&self.store, None)?;
        Ok(purged)
    }

    fn erase(&self, address: &AddressKey, dry_run: bool) -> Result<(Erasure, Vec<String>), Unavailable> {
        let erasure = if dry_run {
            self.store.plan_erasure(address)?.0
        } else {
            self.store.erase_person(address).map_err(|error| Unavailable(error.to_string()))?
        };
        if !dry_run && erasure.holds.is_empty() && !erasure.files.is_empty() {
            evidence::sweep(&self.store, Some(&erasure.files))?;
        }
        let mut originals = BTreeSet::new();
        for source in &erasure.sources {
            let Some((_, id)) = source.rsplit_once("import ") else { continue };
            if let Some(import) = self.import(id)? {
                originals.insert(import.sha256);
            }
        }
        Ok((erasure, originals.into_iter().collect()))
    }

    fn backup(&self, file: &Path) -> Result<Result<Verified, String>, Unavailable> {
        let place = |at| *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = at;
        let data = evidence::data_folder(&self.store);
        let open = |file: &NamedFile| evidence::open(&data, file);
        let made = self.store.backup(file, &open, &mut |done, all| place(Some((done, all))));
        place(None);
        let told = made.map(|(findings, packed)| {
            let findings = verified(findings);
            Verified { files: packed.files, findings: packed.missing, ..findings }
        });
        Ok(told.map_err(|error| error.to_string()))
    }

    fn progress(&self) -> Option<(u64, u64)> {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn checkpoint(&self) -> Result<Option<String>, Unavailable> {
        Ok(self.store.latest_checkpoint()?.map(|(_, note)| note))
    }

    fn consistency(&self, old: &str, new: Option<&str>) -> Result<Result<Consistency, String>, Unavailable> {
        self.store.consistency(old, new)
    }

    fn message(&self, query: &Query, to: &AddressKey) -> Result<Option<SentMessage>, Unavailable> {
        let (mut after, mut all) = (None, Vec::new());
        loop {
            let page = self.page(query, after, PAGE)?;
            all.extend(page.found.into_iter().filter_map(|found| match found.entry.event {
                Event::Admitted(it) if it.recipients.iter().any(|one| one.recipient.key() == to) => {
                    Some((found.number, it))
                }
                _ => None,
            }));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let Some((number, newest)) = all.pop() else { return Ok(None) };
        let (kept, bytes) = match self.store.rebuild(newest.copy)? {
            Some(Archived::Whole(rope)) => (Keep::Full, SentMessage::encode(&rope.to_vec())),
            Some(Archived::Headers(bytes)) => (Keep::Headers, SentMessage::encode(&bytes)),
            None => (Keep::Hash, String::new()),
        };
        Ok(Some(SentMessage {
            number,
            copy: newest.copy,
            sent_sha256: newest.sent_sha256,
            kept,
            bytes,
            others: all.into_iter().map(|(_, it)| it.copy).collect(),
        }))
    }

    fn entry_count(&self) -> Result<u64, Unavailable> {
        self.store.size()
    }
}
