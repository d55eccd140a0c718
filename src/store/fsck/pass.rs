//! The one pass over the entries.

use std::collections::{BTreeMap, HashMap};
use std::iter::Peekable;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable as _, ReadableTableMetadata as _};

use super::Findings;
use super::kept::Kept;
use super::tellings::Tellings;
use crate::ledger::checkpoint::{self, Checkpoint};
use crate::ledger::keeping::Keeping;
use crate::ledger::tree::{self, Edge, Hash, Hashes as _};
use crate::ledger::{Counts, Entry, EntryNumber, Event, Held};
use crate::mail::{AddressKey, unhex};
use crate::store::apply::{may_wait, opened, profile_of, scope_of, settle};
use crate::store::error::Fault;
use crate::store::tables::{
    self, BY_ADDRESS, BY_COPY, BY_MESSAGE, BY_MINUTE, BY_TEXT, CHECKPOINTS, ENTRIES, ERASED, HASHES, KEYS,
    META, Open, PROFILES, SPOOL, StoredEntry, copy_key, keyed_hashes, minute, read_entry, read_row,
};
use crate::store::write::StoredHashes;
use crate::suppression::Suppression;

/// Entries between two words about the progress.
const STRIDE: u64 = 4_096;

/// What must be in the tables besides what was looked up entry by entry.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// Rows of `by_copy`, `by_address`, `by_message` and `by_text`.
    pub by_copy: u64,
    pub by_address: u64,
    pub by_message: u64,
    pub by_text: u64,
    /// Rows of `imports`.
    pub imports: u64,
    /// Rows of `open`.
    pub open: HashMap<[u8; 20], Open>,
    /// Rows of `holds`.
    pub holds: BTreeMap<EntryNumber, Option<AddressKey>>,
    /// Rows of `erased`.
    pub erased: HashMap<[u8; 32], EntryNumber>,
    /// Rows of `forgotten`.
    pub forgotten: HashMap<(String, [u8; 32]), Vec<Suppression>>,
    /// Rows of `inbox`: mails that were held and not answered since.
    pub letters: BTreeMap<EntryNumber, Held>,
    /// The last entry that is erased: an answer may have been.
    pub last_erased: Option<EntryNumber>,
    /// Whether the pass reached the last entry.
    pub whole: bool,
}

/// What the pass knows at its end.
pub(super) struct Passed {
    pub expected: Expected,
    pub tellings: Tellings,
    pub kept: Kept,
}

/// Go over all entries; `anchors` in order of size.
pub(super) fn run(
    reading: &ReadTransaction,
    anchors: Vec<Checkpoint>,
    findings: &mut Findings,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Passed, Fault> {
    let entries = reading.open_table(ENTRIES)?;
    let total = entries.len()?;
    let mut tree = Tree::open(reading, anchors)?;
    let mut rows = Rows::open(reading)?;
    tree.check_signed(findings)?;
    for row in entries.iter()? {
        let (number, value) = row?;
        let (number, expected) = (number.value(), tree.edge.size());
        if number != expected {
            findings.problem(format!("entry {expected} is missing"));
            // What follows cannot be placed in the tree.
            return Ok(rows.passed());
        }
        if number % STRIDE == 0 {
            progress(number, total);
        }
        findings.entries += 1;
        match read_entry(value.value()) {
            Ok(StoredEntry::Whole { salt, bytes }) => {
                tree.grow(number, Some(tree::leaf(&salt, &[&bytes])), findings)?;
                match Entry::parse(&bytes) {
                    Ok(entry) => {
                        findings.counts.add(Counts::of(&entry.event));
                        if let Some(file) = entry.event.file() {
                            findings.files.entry(file).or_insert(number);
                        }
                        rows.check(number, &entry, findings)?;
                        tree.check_named(number, &entry.event, findings)?;
                    }
                    Err(error) => findings.problem(format!("entry {number} cannot be read: {error}")),
                }
            }
            Ok(StoredEntry::Erased { counts }) => {
                findings.erased += 1;
                rows.expected.last_erased = Some(number);
                findings.counts.add(counts);
                tree.grow(number, None, findings)?;
            }
            Err(fault) => {
                findings.problem(format!("entry {number}: {fault}"));
                tree.grow(number, None, findings)?;
            }
        }
        tree.check_signed(findings)?;
    }
    progress(total, total);
    tree.check_rest(findings)?;
    let kept =
        reading.open_table(META)?.get("counts")?.map(|row| read_row::<Counts>(row.value())).transpose()?;
    if kept != Some(findings.counts) {
        findings.problem(format!("the entries add up to {}, which is not what was counted", findings.counts));
    }
    rows.expected.whole = true;
    Ok(rows.passed())
}

/// The tree as it grows again, beside the one that is stored, and whatever was signed over it.
struct Tree {
    edge: Edge,
    hashes: ReadOnlyTable<u64, &'static [u8]>,
    checkpoints: ReadOnlyTable<u64, &'static str>,
    signed: Peekable<redb::Range<'static, u64, &'static str>>,
    keys: ReadOnlyTable<u64, &'static str>,
    anchors: Peekable<std::vec::IntoIter<Checkpoint>>,
}

impl Tree {
    fn open(reading: &ReadTransaction, anchors: Vec<Checkpoint>) -> Result<Self, Fault> {
        let checkpoints = reading.open_table(CHECKPOINTS)?;
        Ok(Self {
            edge: Edge::empty(),
            hashes: reading.open_table(HASHES)?,
            signed: checkpoints.range::<u64>(..)?.peekable(),
            checkpoints,
            keys: reading.open_table(KEYS)?,
            anchors: anchors.into_iter().peekable(),
        })
    }

    fn stored(&self, index: u64) -> Result<Option<Hash>, Fault> {
        Ok(StoredHashes(&self.hashes).hash(index)?)
    }

    /// Append the leaf of an entry; of one that is erased or unreadable, the leaf that is stored.
    fn grow(
        &mut self,
        number: EntryNumber,
        leaf: Option<Hash>,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let stored = self.stored(tree::leaf_index(number))?;
        if stored.is_none() || leaf.is_some_and(|leaf| stored != Some(leaf)) {
            findings.problem(format!("entry {number} is not what its leaf hash says"));
        }
        let leaf = leaf.or(stored).unwrap_or_default();
        for (index, hash) in self.edge.append(leaf)? {
            if self.stored(index)? != Some(hash) {
                findings
                    .problem(format!("tree hash {index} (under entry {number}) is not the hash below it"));
            }
        }
        Ok(())
    }

    /// Whatever was signed over the tree as large as it is now.
    fn check_signed(&mut self, findings: &mut Findings) -> Result<(), Fault> {
        let size = self.edge.size();
        while let Some(anchor) = self.anchors.next_if(|anchor| anchor.size == size) {
            if !self.holds(&anchor, findings)? {
                findings.problem(lost(size));
            }
        }
        loop {
            match self.signed.peek() {
                Some(Ok((at, _))) if at.value() == size => {}
                Some(Err(_)) => {}
                _ => return Ok(()),
            }
            let Some(row) = self.signed.next() else { return Ok(()) };
            let (_, note) = row?;
            let key =
                self.keys.range(..=size)?.next_back().transpose()?.map(|(_, key)| key.value().to_owned());
            let Some(key) = key else {
                findings.problem(format!("no key is on record for the checkpoint of {size} entries"));
                continue;
            };
            match checkpoint::verify(note.value(), &key) {
                Ok(signed) if signed.size != size => {
                    findings.problem(format!("the checkpoint under {size} is of another size"));
                }
                Ok(signed) if self.holds(&signed, findings)? => findings.checkpoints += 1,
                Ok(_) => findings.problem(format!("the first {size} entries are not what was signed")),
                Err(error) => findings.problem(format!("the checkpoint of {size} entries: {error}")),
            }
        }
    }

    /// Whether root and counts are those of the entries so far.
    fn holds(&self, signed: &Checkpoint, findings: &mut Findings) -> Result<bool, Fault> {
        if signed.root != self.edge.root()? {
            return Ok(false);
        }
        if signed.counts != Some(findings.counts) {
            findings.problem(format!(
                "the first {} entries add up to {}, and the checkpoint says {}",
                signed.size,
                findings.counts,
                signed.counts.map_or_else(|| "nothing".to_owned(), |counts| counts.to_string()),
            ));
        }
        Ok(true)
    }

    /// What was signed over more entries than there are, and hashes that belong to none.
    fn check_rest(&mut self, findings: &mut Findings) -> Result<(), Fault> {
        let mut next = 0;
        for row in self.hashes.iter()? {
            let (first, run) = row?;
            if first.value() != next || run.value().is_empty() || run.value().len() % 32 != 0 {
                findings
                    .problem(format!("the tree hashes from {} on do not follow those before", first.value()));
            }
            next = first.value() + run.value().len() as u64 / 32;
        }
        if next != tree::leaf_index(self.edge.size()) {
            findings.problem(format!("there are {next} tree hashes, not as many as the entries make"));
        }
        for anchor in self.anchors.by_ref() {
            findings.problem(lost(anchor.size));
        }
        for row in self.signed.by_ref() {
            let size = row?.0.value();
            findings.problem(format!("the first {size} entries are not what was signed: there are fewer"));
        }
        Ok(())
    }

    fn check_named(&self, number: EntryNumber, event: &Event, findings: &mut Findings) -> Result<(), Fault> {
        if let Event::Checkpoint { size, note, .. } = event
            && self.checkpoints.get(size)?.is_none_or(|kept| kept.value() != note)
        {
            findings.problem(format!("entry {number} names a checkpoint that is not there"));
        }
        Ok(())
    }
}

fn lost(size: u64) -> String {
    format!("the ledger does not begin with the {size} entries that were signed in the checkpoint given")
}

/// The rows that follow from each entry.
struct Rows {
    by_copy: ReadOnlyTable<&'static [u8; 29], ()>,
    by_address: ReadOnlyTable<(&'static str, u64), ()>,
    by_message: ReadOnlyTable<(&'static str, u64), ()>,
    by_text: ReadOnlyTable<&'static str, u64>,
    by_minute: ReadOnlyTable<(i64, u64), u64>,
    profiles: ReadOnlyTable<(&'static str, &'static str), &'static [u8]>,
    spool: ReadOnlyTable<&'static [u8; 20], &'static [u8]>,
    erased: ReadOnlyTable<&'static [u8; 32], u64>,
    hash_key: Vec<u8>,
    /// The run of one minute that the last entry lay in: its minute, its first and its last entry.
    run: Option<(i64, u64, u64)>,
    expected: Expected,
    tellings: Tellings,
    kept: Kept,
}

impl Rows {
    fn open(reading: &ReadTransaction) -> Result<Self, Fault> {
        Ok(Self {
            by_copy: reading.open_table(BY_COPY)?,
            by_address: reading.open_table(BY_ADDRESS)?,
            by_message: reading.open_table(BY_MESSAGE)?,
            by_text: reading.open_table(BY_TEXT)?,
            by_minute: reading.open_table(BY_MINUTE)?,
            profiles: reading.open_table(PROFILES)?,
            spool: reading.open_table(SPOOL)?,
            erased: reading.open_table(ERASED)?,
            hash_key: hash_key(reading)?,
            run: None,
            expected: Expected::default(),
            tellings: Tellings::open(reading)?,
            kept: Kept::open(reading)?,
        })
    }

    fn passed(self) -> Passed {
        Passed { expected: self.expected, tellings: self.tellings, kept: self.kept }
    }

    fn check(&mut self, number: EntryNumber, entry: &Entry, findings: &mut Findings) -> Result<(), Fault> {
        let event = &entry.event;
        let mut missing = |there: bool, what: &str| {
            if !there {
                findings.problem(format!("{what} of entry {number} is missing"));
            }
        };
        if let Some(scope) = scope_of(event) {
            missing(self.by_copy.get(&copy_key(scope, number))?.is_some(), "the index row (copy)");
            self.expected.by_copy += 1;
        }
        let mut addresses = event.addresses();
        addresses.sort_unstable();
        addresses.dedup();
        for address in addresses {
            let there = self.by_address.get((address.as_str(), number))?.is_some();
            missing(there, &format!("the index row (address {address})"));
            self.expected.by_address += 1;
        }
        if let Some(id) = event.message_id() {
            missing(self.by_message.get((id, number))?.is_some(), "the index row (Message-ID)");
            self.expected.by_message += 1;
        }
        if let Some(label) = event.label() {
            let first = self.by_text.get(label.as_str())?.map(|row| row.value());
            // Recorded twice, the first entry is the one referred to.
            missing(first.is_some_and(|first| first <= number), "the index row (text or key)");
            self.expected.by_text += u64::from(first == Some(number));
        }
        if let Event::ImportBegun(_) = event {
            self.expected.imports += 1;
        }
        if let Some((sender, address)) = profile_of(event)
            && number >= erased_at(&self.erased, &self.hash_key, address.as_str())?
        {
            let there = self.profiles.get((sender.0.as_str(), address.as_str()))?.is_some();
            missing(there, &format!("the profile ({sender}, {address})"));
        }
        match event {
            Event::Keeping(keeping) => self.expected.keep(number, keeping),
            Event::Held(held) => drop(self.expected.letters.insert(number, held.clone())),
            Event::Answered(answered) => drop(self.expected.letters.remove(&answered.held)),
            _ => {}
        }
        missing(self.is_in_its_minute(number, minute(entry.at))?, "the index row (minute)");
        match event {
            Event::Admitted(admitted) => self.kept.admitted(number, admitted, findings)?,
            Event::Told(told) => self.tellings.ended(number, told, findings)?,
            _ => {}
        }
        self.follow_open(event)
    }

    fn is_in_its_minute(&mut self, number: EntryNumber, at: i64) -> Result<bool, Fault> {
        let within = |run: &(i64, u64, u64)| run.0 == at && run.1 <= number && number <= run.2;
        if !self.run.as_ref().is_some_and(within) {
            let row = self.by_minute.range((at, 0)..=(at, number))?.next_back().transpose()?;
            self.run = row.map(|(key, last)| (at, key.value().1, last.value()));
        }
        Ok(self.run.as_ref().is_some_and(within))
    }

    /// Which admissions are open after this entry.
    fn follow_open(&mut self, event: &Event) -> Result<(), Fault> {
        if let Event::Admitted(admitted) = event {
            self.expected.open.insert(admitted.copy.to_bytes(), opened(admitted));
        } else if let Some(outcome) = event.outcome() {
            let key = outcome.copy.to_bytes();
            // A failed try is an outcome only for a copy that does not wait in the spool.
            let waits = may_wait(event) && self.spool.get(&key)?.is_some();
            if let Some(open) = self.expected.open.get_mut(&key) {
                settle(open, outcome, waits);
                if open.recipients.is_empty() {
                    self.expected.open.remove(&key);
                }
            }
        }
        Ok(())
    }
}

impl Expected {
    fn keep(&mut self, number: EntryNumber, keeping: &Keeping) {
        match keeping {
            Keeping::Held { about, .. } => drop(self.holds.insert(number, about.clone())),
            Keeping::Released { hold, .. } => drop(self.holds.remove(hold)),
            Keeping::Erased { who, suppressed, .. } => {
                let Some(hash) = unhex(who) else { return };
                self.erased.insert(hash, number);
                for one in suppressed {
                    let all = self.forgotten.entry((one.sender.0.clone(), hash)).or_default();
                    if !all.contains(&one.suppression) {
                        all.push(one.suppression.clone());
                    }
                }
            }
            Keeping::Purged { .. } => {}
        }
    }
}

/// The key of the keyed hashes.
pub(super) fn hash_key(reading: &ReadTransaction) -> Result<Vec<u8>, Fault> {
    let key = reading.open_table(META)?.get("hash_key")?.map(|key| key.value().to_vec());
    key.ok_or_else(|| Fault::Format("the key of the hashes is missing".to_owned()))
}

/// The entry from which on the profiles of an address count.
pub(super) fn erased_at(
    erased: &ReadOnlyTable<&'static [u8; 32], u64>,
    key: &[u8],
    address: &str,
) -> Result<EntryNumber, Fault> {
    if erased.is_empty()? {
        return Ok(0);
    }
    let mut last = 0;
    for hash in keyed_hashes(key, address) {
        last = erased.get(&hash)?.map_or(last, |row| last.max(row.value()));
    }
    Ok(last)
}

/// Used by [`super::rows`] to fold profiles: the entries of `numbers`, those that can be read.
pub(super) fn entries_of(
    reading: &ReadTransaction,
    numbers: impl IntoIterator<Item = EntryNumber>,
) -> Result<Vec<(EntryNumber, Entry)>, Fault> {
    let table = reading.open_table(ENTRIES)?;
    let mut all = Vec::new();
    for number in numbers {
        let Some(row) = table.get(number)? else { continue };
        if let Ok(tables::StoredEntry::Whole { bytes, .. }) = read_entry(row.value())
            && let Ok(entry) = Entry::parse(&bytes)
        {
            all.push((number, entry));
        }
    }
    Ok(all)
}
