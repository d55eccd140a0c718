//! Rows of an import: judged one by one, written in one record (RULES L1, L2, L4, L5, L16, L17, L19).

use std::collections::HashMap;
use std::sync::Arc;

use super::Books;
use super::undo::recorded;
use super::wire::{
    ConsentRow, CustomerRow, Import, Imported, MailboxRow, PublishedRow, Reject, Row, SuppressionRow,
};
use crate::clock::Timestamp;
use crate::consent::{ConsentEvent, ConsentEventKind, Lint, Published, Relation, fold, is_known, lint};
use crate::ledger::{Consented, Event, EvidenceKept, Publication, Related, Suppressed, Undeliverable};
use crate::mail::{AddressKey, Purpose, Sender, SenderId, hex, sha256};
use crate::policy::{ConsentHistory, Effect, Profile, Register, Rules, Unavailable};
use crate::suppression::{DeliveryBlock, Suppression, standing};

/// Notes of one answer; more of the same kind help nobody.
const MAX_NOTES: usize = 20;

/// Files that the same opt-out is taken in from: a list that is imported every night must not grow the ledger by as
/// much each time. Undoing so many of them lifts it, whatever the others said.
const FILES: usize = 3;

/// Why a correction in a file or with a token is refused: it would wipe the opt-outs before it.
const NO_CORRECTION: &str = "L19: \"correct\" is not taken from a file or with a token, because it would lift the \
     opt-outs that stand before it; the administrator corrects with \"sluis consent add --kind correct\"";

/// What one request comes to, before it is written.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// To be written.
    pub(super) events: Vec<Event>,
    /// Places in `events` of those that lift a block or an unsubscribe: whoever was told of that is told of this.
    pub(super) lifting: Vec<usize>,
    /// To be told.
    pub(super) imported: Imported,
}

/// Judge all rows of `import` against what is on record.
pub(super) fn judge(
    import: Import,
    rules: &Rules,
    register: &dyn Register,
    books: &dyn Books,
    now: Timestamp,
) -> Result<Judged, Unavailable> {
    let Import { source, from_file, texts, rows, .. } = import;
    let texts = texts
        .into_iter()
        .map(|text| {
            let mut text = Text::new(text);
            text.recorded = books.consent_text(&text.sha256)?.is_some();
            Ok(text)
        })
        .collect::<Result<_, Unavailable>>()?;
    let (known, out) = (HashMap::new(), Judged::default());
    let mut judge = Judge { rules, register, books, now, source, from_file, texts, known, out };
    for row in rows {
        match row {
            Row::Consent(row) => judge.consent(row)?,
            Row::Customer(row) => judge.customer(row)?,
            Row::Published(row) => judge.published(row)?,
            Row::Suppression(row) => judge.suppression(row)?,
            Row::Mailbox(row) => judge.mailbox(row)?,
        }
    }
    Ok(judge.out)
}

/// A consent text and what was found of it, by sender.
struct Text {
    text: String,
    sha256: String,
    /// Whether an entry holds it, or will, once the rows before are written.
    recorded: bool,
    verdicts: HashMap<SenderId, Vec<Lint>>,
}

impl Text {
    fn new(text: String) -> Self {
        let sha256 = hex(&sha256(text.as_bytes()));
        Self { text, sha256, recorded: false, verdicts: HashMap::new() }
    }

    /// What is wrong with it as a consent text of `sender`, the worst first.
    fn faults(&mut self, sender: &Sender) -> Vec<Lint> {
        let text = &self.text;
        self.verdicts.entry(sender.id.clone()).or_insert_with(|| faults(text, sender)).clone()
    }
}

/// What is wrong with `text` as a consent text of `sender`.
pub(super) fn faults(text: &str, sender: &Sender) -> Vec<Lint> {
    let names: Vec<&str> =
        std::iter::once(&sender.name).chain(&sender.trade_names).map(String::as_str).collect();
    lint(text, &names)
}

/// Whether a text with these faults is refused under `rules`.
pub(super) fn is_refused(faults: &[Lint], rules: &Rules) -> bool {
    faults.iter().any(|fault| fault.is_fatal() || rules.strict_texts)
}

struct Judge<'a> {
    rules: &'a Rules,
    register: &'a dyn Register,
    books: &'a dyn Books,
    now: Timestamp,
    source: String,
    from_file: bool,
    texts: Vec<Text>,
    /// Profiles that rows of this request asked for, grown by what the rows before added.
    known: HashMap<(SenderId, AddressKey), Profile>,
    out: Judged,
}

impl Judge<'_> {
    fn consent(&mut self, row: ConsentRow) -> Result<(), Unavailable> {
        let Some(sender) = self.sender(row.line, row.sender.as_deref()) else { return Ok(()) };
        let purpose = Purpose(row.purpose.0.trim().to_owned());
        if purpose.0.is_empty() {
            return self
                .reject(row.line, "L2: purpose missing; a consent is for a specific purpose".to_owned());
        }
        let mut evidence = row.evidence;
        let mut lacks = Vec::new();
        if let Some(position) = row.text {
            let Some(text) = self.texts.get_mut(position) else {
                return self.reject(row.line, "L2: the consent text is missing".to_owned());
            };
            let faults = if row.kind.is_grant() { text.faults(&sender) } else { Vec::new() };
            evidence.text_sha256 = Some(text.sha256.clone());
            match faults.first() {
                Some(worst) if is_refused(&faults, self.rules) => {
                    return self.reject(row.line, worst.to_string());
                }
                _ => lacks = faults,
            }
        }
        match row.kind {
            ConsentEventKind::Correct if self.from_file => {
                return self.reject(row.line, NO_CORRECTION.to_owned());
            }
            ConsentEventKind::Confirm if self.from_file => evidence = evidence.from_file_confirming(),
            kind if self.from_file && kind.is_grant() => evidence = evidence.from_file(),
            _ => {}
        }
        let event = ConsentEvent { kind: row.kind, at: row.at, recorded_at: self.now, evidence };
        if let Err(error) = event.check(self.now) {
            return self.reject(row.line, error.to_string());
        }
        self.note_purpose(&purpose);
        lacks.iter().for_each(|fault| self.note(format!("consent text: {fault}")));
        let address = row.address.key().clone();
        let source = self.source.clone();
        let kept = row.files.into_iter().map(|file| {
            let (sender, purpose, address) = (sender.id.clone(), purpose.clone(), address.clone());
            Event::Evidence(EvidenceKept { sender, purpose, address, file, source: source.clone() })
        });
        let kept: Vec<Event> = kept.collect();
        let now = self.now;
        let profile = self.profile(&sender.id, &address)?;
        if is_known(profile.consent(&purpose), &event) {
            // A scan may turn up after the consent was put on record.
            match kept.is_empty() {
                true => self.out.imported.already += 1,
                false => self.out.imported.added += 1,
            }
            self.out.events.extend(kept);
            return Ok(());
        }
        let before = obstacles(profile, &purpose, now);
        match profile.consents.iter_mut().find(|history| history.purpose == purpose) {
            Some(history) => history.events.push(event.clone()),
            None => profile
                .consents
                .push(ConsentHistory { purpose: purpose.clone(), events: vec![event.clone()] }),
        }
        if event.shows_that_mail_arrives() {
            profile.block = None;
        }
        let lifts = obstacles(profile, &purpose, now) < before;
        if let Some(text) = row.text.and_then(|position| self.texts.get_mut(position))
            && !std::mem::replace(&mut text.recorded, true)
        {
            let (sha256, text) = (text.sha256.clone(), text.text.clone());
            let (of, about) = (Some(sender.id.clone()), Some(purpose.clone()));
            self.out.events.push(Event::ConsentText {
                sha256,
                text,
                sender: of,
                purpose: about,
                privacy: false,
            });
        }
        if lifts {
            self.out.lifting.push(self.out.events.len());
        }
        self.add(Event::Consent(Consented { sender: sender.id.clone(), purpose, address, event, source }))?;
        self.out.events.extend(kept);
        Ok(())
    }

    fn customer(&mut self, row: CustomerRow) -> Result<(), Unavailable> {
        let Some(sender) = self.sender(row.line, row.sender.as_deref()) else { return Ok(()) };
        let relation = Relation {
            product: row.product.trim().to_owned(),
            last_purchase: row.last_purchase,
            recorded_at: self.now,
            opt_out_offered: row.opt_out_offered,
            given_in_sale: row.given_in_sale,
            source: row.source,
        };
        if let Err(error) = relation.check(self.now) {
            return self.reject(row.line, error.to_string());
        }
        if !relation.opt_out_offered {
            self.note(
                "L4: some rows say that no opt-out was offered; they are no basis for marketing".to_owned(),
            );
        }
        if !relation.given_in_sale {
            self.note(
                "L4: some rows say that the address was not given in a sale; they are no basis".to_owned(),
            );
        }
        let address = row.address.key().clone();
        let profile = self.profile(&sender.id, &address)?;
        if profile.relations.iter().any(|known| known.is_same(&relation)) {
            self.out.imported.already += 1;
            return Ok(());
        }
        profile.relations.push(relation.clone());
        let source = self.source.clone();
        self.add(Event::Relation(Related { sender: sender.id.clone(), address, relation, source }))
    }

    fn published(&mut self, row: PublishedRow) -> Result<(), Unavailable> {
        let Some(sender) = self.sender(row.line, row.sender.as_deref()) else { return Ok(()) };
        let purpose = Purpose(row.purpose.0.trim().to_owned());
        if purpose.0.is_empty() {
            let why = "L5: purpose missing; what the page invites to be mailed about";
            return self.reject(row.line, why.to_owned());
        }
        let published = Published {
            url: row.url.trim().to_owned(),
            quote: row.quote.trim().to_owned(),
            captured_at: row.captured_at,
            recorded_at: self.now,
            page_sha256: row.page_sha256,
            review_by: row.review_by.unwrap_or_else(|| Published::review_after(row.captured_at)),
        };
        if let Err(error) = published.check(self.now) {
            return self.reject(row.line, error.to_string());
        }
        self.note_purpose(&purpose);
        if published.review_by < self.now {
            self.note("L5: the review date of some rows has passed; they are no basis".to_owned());
        }
        let address = row.address.key().clone();
        let profile = self.profile(&sender.id, &address)?;
        if profile.published.iter().any(|(about, known)| *about == purpose && known.is_same(&published)) {
            self.out.imported.already += 1;
            return Ok(());
        }
        profile.published.push((purpose.clone(), published.clone()));
        let source = self.source.clone();
        self.add(Event::Published(Publication {
            sender: sender.id.clone(),
            purpose,
            address,
            published,
            source,
        }))
    }

    fn suppression(&mut self, row: SuppressionRow) -> Result<(), Unavailable> {
        let Some(sender) = self.sender(row.line, row.sender.as_deref()) else { return Ok(()) };
        // A tool whose clock runs ahead does not postpone an opt-out (RULES L3).
        let since = row.since.unwrap_or(self.now).min(self.now);
        let source = if self.from_file { format!("{}, {}", row.source, self.source) } else { row.source };
        let suppression = Suppression { reason: row.reason, since, source };
        let address = row.address.key().clone();
        let (now, from_file, books) = (self.now, self.from_file, self.books);
        let profile = self.profile(&sender.id, &address)?;
        let says = |known: &[Suppression]| match row.since {
            Some(_) => known.iter().any(|known| known.since >= since),
            None => stands(known, profile, now),
        };
        let alike = profile.suppressions.iter().filter(|known| known.reason == row.reason);
        let (own, others): (Vec<_>, Vec<_>) = alike
            .cloned()
            .partition(|known| known.file().is_none_or(|file| Some(file) == suppression.file()));
        let is_there = match from_file {
            false => profile.suppressions.contains(&suppression),
            // What another file brought can be taken back with that file, and must not take this along.
            true => {
                says(&own)
                    || (says(&others) && {
                        let known = recorded(books, &sender.id, &address)?;
                        let mut files: Vec<_> = known
                            .iter()
                            .filter(|known| known.reason == row.reason && says(std::slice::from_ref(known)))
                            .filter_map(Suppression::file)
                            .collect();
                        files.sort_unstable();
                        files.dedup();
                        files.len() >= FILES
                    })
            }
        };
        if is_there {
            self.out.imported.already += 1;
            return Ok(());
        }
        profile.suppressions.push(suppression.clone());
        self.add(Event::Suppression(Suppressed {
            sender: sender.id.clone(),
            address,
            suppression,
            reference: None,
        }))
    }

    /// A mailbox that does not work says nothing about what its owner wants (RULES P14).
    fn mailbox(&mut self, row: MailboxRow) -> Result<(), Unavailable> {
        let Some(sender) = self.sender(row.line, row.sender.as_deref()) else { return Ok(()) };
        let since = row.since.unwrap_or(self.now).min(self.now);
        let block = DeliveryBlock { since, reply: format!("{}, {}", row.source, self.source) };
        let address = row.address.key().clone();
        let profile = self.profile(&sender.id, &address)?;
        if profile.block.is_some() {
            self.out.imported.already += 1;
            return Ok(());
        }
        profile.block = Some(block.clone());
        self.add(Event::Undeliverable(Undeliverable { sender: sender.id.clone(), address, block }))
    }

    /// The sender of a row: the named one, or the only one.
    fn sender(&mut self, line: u64, name: Option<&str>) -> Option<Arc<Sender>> {
        let found = find_sender(self.rules, name);
        found.map_err(|why| self.out.imported.rejected.push(Reject { line, why: format!("L2: {why}") })).ok()
    }

    /// What is on record for the address of a row, the rows before included.
    fn profile(&mut self, sender: &SenderId, address: &AddressKey) -> Result<&mut Profile, Unavailable> {
        let key = (sender.clone(), address.clone());
        match self.known.entry(key) {
            std::collections::hash_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::hash_map::Entry::Vacant(empty) => {
                Ok(empty.insert(self.register.profile(sender, address)?))
            }
        }
    }

    /// A purpose that no rule has can never be a basis: most likely it is misspelt.
    fn note_purpose(&mut self, purpose: &Purpose) {
        let used =
            self.rules.rules.iter().any(
                |rule| matches!(&rule.effect, Effect::Class { purpose: Some(used), .. } if used == purpose),
            );
        if !used {
            let note = format!(
                "no rule of the config has the purpose \"{purpose}\", so it is no basis for any mail"
            );
            self.note(note);
        }
    }

    fn note(&mut self, note: String) {
        let notes = &mut self.out.imported.notes;
        if notes.len() < MAX_NOTES && !notes.contains(&note) {
            notes.push(note);
        }
    }

    fn add(&mut self, event: Event) -> Result<(), Unavailable> {
        self.out.imported.added += 1;
        self.out.events.push(event);
        Ok(())
    }

    fn reject(&mut self, line: u64, why: String) -> Result<(), Unavailable> {
        self.out.imported.rejected.push(Reject { line, why });
        Ok(())
    }
}

/// How much stands between a sender and an address, whatever the basis: a suppression, a block.
fn obstacles(profile: &Profile, purpose: &Purpose, now: Timestamp) -> usize {
    let suppressed = standing(&profile.suppressions, &fold(profile.consent(purpose), now)).is_some();
    usize::from(suppressed) + usize::from(profile.block.is_some())
}

/// Whether one of these suppressions stands whatever the message is about: an opt-out without a date that is
/// on record already says nothing new, but one that a consent has lifted since wins again (RULES L19).
fn stands(known: &[Suppression], profile: &Profile, now: Timestamp) -> bool {
    let lifted = |history: &ConsentHistory| standing(known, &fold(&history.events, now)).is_none();
    !known.is_empty() && !profile.consents.iter().any(lifted)
}

/// The sender with this name or id, or the only one; the error says what would be right.
pub(super) fn find_sender(rules: &Rules, name: Option<&str>) -> Result<Arc<Sender>, String> {
    let names =
        || rules.senders.iter().map(|sender| format!("\"{}\"", sender.name)).collect::<Vec<_>>().join(", ");
    match (name.map(str::trim).filter(|name| !name.is_empty()), rules.senders.as_slice()) {
        (Some(name), senders) => senders
            .iter()
            .find(|sender| sender.name == name || sender.id.0 == name)
            .cloned()
            .ok_or_else(|| format!("the config has no sender \"{name}\"; it has {}", names())),
        (None, [only]) => Ok(Arc::clone(only)),
        (None, []) => Err("the config has no sender".to_owned()),
        (None, _) => Err(format!("the sender is missing; one of {}", names())),
    }
}
