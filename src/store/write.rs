//! The one commit: entries, tree, projections, spool and originals in one write transaction.

use std::collections::HashMap;
use std::sync::PoisonError;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, Table, WriteTransaction};

use super::apply::Projections;
use super::disk::Disk;
use super::error::{Fault, OpenError};
use super::guard::{caught, guarded};
use super::inbox;
use super::outbox::Outbox;
use super::prepare::prepare;
use super::reopen::{CLOSED, Limbo};
use super::tables::{
    self, BY_MINUTE, CHECKPOINTS, COPIES, DUE, ENTRIES, HASHES, KeptCopy, META, ORIGINAL_USES, ORIGINALS,
    SPOOL, write_entry, write_original, write_row, write_spooled,
};
use super::{Inner, Settings, Store};
use crate::ledger::checkpoint;
use crate::ledger::codec::Squeezed;
use crate::ledger::pieces;
use crate::ledger::tree::{self, Edge, Hash, Hashes, Salt, TreeError};
use crate::ledger::{
    Counts, EntryNumber, Event, Keep, OwedId, Ready, RecordError, Side, Spelled, SpoolState, Spooled, head,
};
use crate::mail::CopyId;
use crate::message::Rope;
use crate::metrics;
use crate::secret::{Entropy, random};

/// What the writer knows without asking the disk.
#[derive(Debug, Clone)]
pub(super) struct Tip {
    edge: Edge,
    /// Commits so far: tells after a failed sync whether that commit stands.
    pub(super) commits: u64,
    /// Entries covered by the last checkpoint, its own entry included.
    signed: u64,
    /// When it was signed; `None` when that was before this start.
    pub(super) signed_at: Option<Timestamp>,
    /// Recipients by fate.
    counts: Counts,
    /// The run of entries that was written last: its minute and its first entry.
    run: Option<(i64, EntryNumber)>,
    /// Whether commits save the allocator's state: the file is so large that a start would take long without.
    quick_repair: bool,
}

/// The writer's state.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) tip: Tip,
    /// Set while the file is closed: when it may be tried again.
    pub(super) closed_until: Option<Timestamp>,
    /// A commit of unknown fate.
    pub(super) limbo: Option<Limbo>,
}

impl Writer {
    /// Commits so far, over the whole life of the store.
    #[cfg(test)]
    pub(super) fn commits(&self) -> u64 {
        self.tip.commits
    }

    /// Open or make the store on `disk`.
    pub(super) fn open(
        disk: &dyn Disk,
        settings: &Settings,
        entropy: &dyn Entropy,
    ) -> Result<(Database, Self), OpenError> {
        let database = disk.open(settings.cache_bytes)?;
        // The database is moved into the guard: should closing it panic as well, that is caught, too.
        let opened = caught(|| {
            prepare(&database, disk, settings, entropy)?;
            let mut tip = Tip::read(&database).map_err(|fault| OpenError::from_fault(disk.path(), fault))?;
            tip.weigh(disk, settings);
            Ok((database, Self { tip, closed_until: None, limbo: None }))
        });
        opened.unwrap_or_else(|why| Err(OpenError::Corrupted { path: disk.path(), why }))
    }
}

impl Tip {
    /// Look how large the file is by now.
    fn weigh(&mut self, disk: &dyn Disk, settings: &Settings) {
        let octets = disk.octets();
        let is_large = octets >= settings.quick_repair;
        if is_large && !self.quick_repair {
            tracing::info!(
                octets,
                "each commit saves what a start after a crash needs (ledger.quick_repair)"
            );
        }
        self.quick_repair = is_large;
    }

    fn read(database: &Database) -> Result<Self, Fault> {
        let reading = database.begin_read()?;
        let entries = reading.open_table(ENTRIES)?;
        let size = entries.last()?.map_or(0, |(number, _)| number.value() + 1);
        let edge = Edge::restore(size, &StoredHashes(&reading.open_table(HASHES)?))?;
        let meta = reading.open_table(META)?;
        let counts = meta.get("counts")?.ok_or_else(|| Fault::Format("the counts are missing".to_owned()))?;
        let counts = tables::read_row(counts.value())?;
        let commits = meta.get("commits")?.map(|row| row.value().to_vec());
        let commits = commits.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes);
        let signed = reading.open_table(CHECKPOINTS)?.last()?.map_or(0, |(size, _)| size.value() + 1);
        Ok(Self { edge, commits, signed, signed_at: None, counts, run: None, quick_repair: false })
    }
}

/// Tree hashes in a table.
pub(super) struct StoredHashes<'a, T>(pub(super) &'a T);

impl<T: redb::ReadableTable<u64, &'static [u8]>> Hashes for StoredHashes<'_, T> {
    fn hash(&self, index: u64) -> Result<Option<Hash>, TreeError> {
        let row = self.0.range(..=index).and_then(|mut rows| rows.next_back().transpose());
        let Some((first, run)) = row.map_err(TreeError::reading)? else { return Ok(None) };
        let (hashes, _) = run.value().as_chunks::<32>();
        let at = usize::try_from(index - first.value()).ok();
        Ok(at.and_then(|at| hashes.get(at)).map(|hash| Hash(*hash)))
    }
}

impl Store {
    /// Write `batch` in one durable transaction, for who holds the writer.
    pub(super) fn commit_locked(
        &self,
        writer: &mut Writer,
        batch: &[Ready],
    ) -> Result<Vec<EntryNumber>, RecordError> {
        let started = tokio::time::Instant::now();
        let mut tip = writer.tip.clone();
        let mut numbers = Vec::with_capacity(batch.len());
        let answer = {
            let database = self.inner.database.read().unwrap_or_else(PoisonError::into_inner);
            let database = database.as_ref().ok_or_else(|| RecordError::Store(CLOSED.to_owned()))?;
            guarded(|| self.try_commit(database, batch, &mut tip, &mut numbers))
        };
        match answer {
            Ok(()) => {
                writer.tip = tip;
                self.inner.recent.committed(batch);
                metrics::ledger_commit(batch.len(), started.elapsed().as_secs_f64());
                Ok(numbers)
            }
            Err(fault) if fault.spends_the_handle() => {
                tracing::error!(error = %fault, "a commit of the ledger failed; opening the store again");
                self.close(writer);
                match self.reopen(writer) {
                    // The sync failed, but the commit is there: everything in it is durable.
                    Ok(()) if writer.tip.commits == tip.commits && numbers.len() == batch.len() => {
                        Ok(numbers)
                    }
                    Ok(()) => Err(RecordError::Store(fault.to_string())),
                    Err(error) => {
                        tracing::error!(%error, "the store stays closed; the next record tries again");
                        writer.limbo = Some(Limbo::of(tip.commits, batch));
                        Err(RecordError::Store(fault.to_string()))
                    }
                }
            }
            Err(fault) => Err(RecordError::Store(fault.to_string())),
        }
    }

    pub(super) fn try_commit(
        &self,
        database: &Database,
        batch: &[Ready],
        tip: &mut Tip,
        numbers: &mut Vec<EntryNumber>,
    ) -> Result<(), Fault> {
        let inner = &*self.inner;
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_quick_repair(tip.quick_repair);
        tip.commits += 1;
        let begin = tip.edge.size();
        let now = inner.clock.now();
        {
            let mut pages = Pages::open(&transaction, inner, now)?;
            for record in batch {
                numbers.push(tip.edge.size());
                pages.write(record, tip)?;
            }
            let wished =
                batch.iter().flat_map(Ready::sides).any(|(side, _)| matches!(side, Side::Checkpoint));
            // The first batch after a start sets the time from which the minute counts.
            let since = *tip.signed_at.get_or_insert(now);
            let every =
                SignedDuration::try_from(inner.settings.checkpoint_every).unwrap_or(SignedDuration::MAX);
            let late = now < since || now.duration_since(since) >= every;
            if (wished || late) && tip.edge.size() > tip.signed {
                pages.checkpoint(tip)?;
                tip.weigh(&*inner.disk, &inner.settings);
            }
            pages.close(tip, begin)?;
            let mut meta = transaction.open_table(META)?;
            meta.insert("commits", &tip.commits.to_be_bytes()[..])?;
            meta.insert("counts", write_row(&tip.counts)?.as_slice())?;
        }
        Ok(transaction.commit()?)
    }
}

/// All tables of one write transaction.
pub(super) struct Pages<'t> {
    inner: &'t Inner,
    now: Timestamp,
    head: String,
    pub(super) entries: Table<'t, u64, &'static [u8]>,
    hashes: Table<'t, u64, &'static [u8]>,
    by_minute: Table<'t, (i64, u64), u64>,
    /// Tree hashes of this commit, which follow each other: the index of the first, and all of them.
    run: Option<(u64, Vec<u8>)>,
    checkpoints: Table<'t, u64, &'static str>,
    spool: Table<'t, &'static [u8; 20], &'static [u8]>,
    due: Table<'t, (i128, &'static [u8; 20]), ()>,
    originals: Table<'t, &'static [u8; 32], &'static [u8]>,
    uses: Table<'t, &'static [u8; 32], u64>,
    pub(super) copies: Table<'t, &'static [u8; 20], &'static [u8]>,
    /// Opened when it is needed: most commits owe nobody anything.
    outbox: Option<Outbox<'t>>,
    pub(super) transaction: &'t WriteTransaction,
    pub(super) projections: Projections<'t>,
}

impl<'t> Pages<'t> {
    fn open(transaction: &'t WriteTransaction, inner: &'t Inner, now: Timestamp) -> Result<Self, Fault> {
        Ok(Self {
            inner,
            now,
            head: head(now, inner.settings.signer.name()),
            entries: transaction.open_table(ENTRIES)?,
            hashes: transaction.open_table(HASHES)?,
            by_minute: transaction.open_table(BY_MINUTE)?,
            run: None,
            checkpoints: transaction.open_table(CHECKPOINTS)?,
            spool: transaction.open_table(SPOOL)?,
            due: transaction.open_table(DUE)?,
            originals: transaction.open_table(ORIGINALS)?,
            uses: transaction.open_table(ORIGINAL_USES)?,
            copies: transaction.open_table(COPIES)?,
            outbox: None,
            transaction,
            projections: Projections::open(transaction)?,
        })
    }

    /// One record: its sides first, so that its entries see the spool as the record leaves it.
    fn write(&mut self, record: &Ready, tip: &mut Tip) -> Result<(), Fault> {
        let mut originals: HashMap<[u8; 32], &Squeezed> = HashMap::new();
        let mut spooled = Vec::new();
        for (side, squeezed) in record.sides() {
            match (side, squeezed) {
                (Side::Original { sha256, .. }, Some(bytes)) => {
                    originals.insert(*sha256, bytes);
                }
                (Side::Spool(copy), _) => spooled.push(copy.copy),
                _ => {}
            }
        }
        let mut owes = 0;
        for (side, squeezed) in record.sides() {
            match side {
                Side::Original { .. } | Side::Checkpoint => {}
                Side::Edits { copy, original_sha256, rope, keep } => {
                    let waits = || -> Result<bool, Fault> {
                        Ok(spooled.contains(copy) || self.spool.get(&copy.to_bytes())?.is_some())
                    };
                    let made;
                    let pieces = match squeezed {
                        Some(pieces) => Some(pieces),
                        None if *keep == Keep::Full || waits()? => {
                            made = pieces::write(rope)?;
                            Some(&made)
                        }
                        None => None,
                    };
                    self.keep(*copy, rope, *original_sha256, *keep, pieces, &originals)?;
                }
                Side::Spool(copy) => self.spool(copy)?,
                Side::Unspool(copy) => self.unspool(*copy)?,
                Side::Owe(place, _) if self.is_known(record.events.get(*place as usize))? => {}
                Side::Owe(place, owed) => {
                    let fact = tip.edge.size() + u64::from(*place);
                    self.outbox()?.owe(OwedId { fact, index: owes }, owed)?;
                    owes += 1;
                }
                Side::Defer(id, owed) => self.outbox()?.defer(*id, owed)?,
                Side::Paid(id) => self.outbox()?.paid(*id)?,
                Side::Letter(letter) => inbox::keep(self.transaction, tip.edge.size(), letter)?,
                Side::Filed(number) => inbox::done(self.transaction, *number)?,
                Side::Erase(numbers) => self.erase(numbers)?,
                Side::Forget(address) => self.forget(address)?,
            }
        }
        for (event, spelled) in record.entries() {
            self.append(event, spelled, tip)?;
        }
        Ok(())
    }

    /// Whether `event` says of a mailbox what is on record already, so that nobody has to be told (RULES L10). Two tries
    /// may find that out at the same moment: only here one comes after the other.
    fn is_known(&self, event: Option<&Event>) -> Result<bool, Fault> {
        match event {
            Some(Event::Returned(it)) if it.blocked => self.projections.is_blocked(&it.sender, &it.address),
            _ => Ok(false),
        }
    }

    fn outbox(&mut self) -> Result<&mut Outbox<'t>, Fault> {
        let opened = match self.outbox.take() {
            Some(outbox) => outbox,
            None => Outbox::open(self.transaction)?,
        };
        Ok(self.outbox.insert(opened))
    }

    fn append(&mut self, event: &Event, spelled: &Spelled, tip: &mut Tip) -> Result<(), Fault> {
        let number = tip.edge.size();
        let salt: Salt = random(&*self.inner.entropy);
        let leaf = tree::leaf(&salt, &[self.head.as_bytes(), &spelled.json]);
        self.entries.insert(number, write_entry(&salt, &self.head, &spelled.stored)?.as_slice())?;
        for (index, hash) in tip.edge.append(leaf)? {
            self.run.get_or_insert_with(|| (index, Vec::new())).1.extend_from_slice(&hash.0);
        }
        tip.counts.add(Counts::of(event));
        let spool = &self.spool;
        self.projections.apply(number, self.now, event, &|copy| Ok(spool.get(&copy.to_bytes())?.is_some()))
    }

    /// What is written once for all entries of a commit, of which `begin` is the first.
    fn close(mut self, tip: &mut Tip, begin: EntryNumber) -> Result<(), Fault> {
        if let Some((first, hashes)) = self.run.take() {
            self.hashes.insert(first, hashes.as_slice())?;
        }
        // All entries of a commit are of one moment.
        if tip.edge.size() > begin {
            let minute = tables::minute(self.now);
            let first = match tip.run {
                Some((last, first)) if last == minute => first,
                _ => begin,
            };
            tip.run = Some((minute, first));
            self.by_minute.insert((minute, first), tip.edge.size() - 1)?;
        }
        Ok(())
    }

    fn checkpoint(&mut self, tip: &mut Tip) -> Result<(), Fault> {
        let (size, root) = (tip.edge.size(), tip.edge.root()?);
        let counts = tip.counts;
        let note = checkpoint::sign(&self.inner.settings.signer, size, root, &counts)?;
        self.checkpoints.insert(size, note.as_str())?;
        let event = Event::Checkpoint { size, root: root.to_string(), counts, note };
        self.append(&event, &Spelled::new(&event)?, tip)?;
        tip.signed = tip.edge.size();
        tip.signed_at = Some(self.now);
        Ok(())
    }

    fn spool(&mut self, copy: &Spooled) -> Result<(), Fault> {
        let key = copy.copy.to_bytes();
        self.drop_due(copy.copy)?;
        self.spool.insert(&key, write_spooled(copy)?.as_slice())?;
        if let SpoolState::Waiting { next } = copy.state {
            self.due.insert((next.as_nanosecond(), &key), ())?;
        }
        Ok(())
    }

    fn unspool(&mut self, copy: CopyId) -> Result<(), Fault> {
        let key = copy.to_bytes();
        self.drop_due(copy)?;
        self.spool.remove(&key)?;
        self.projections.left_spool(copy)?;
        let kept = self.copies.get(&key)?.map(|row| KeptCopy::read(row.value())).transpose()?;
        let Some(KeptCopy::Pieces { keep, original, pieces: stored }) = kept else { return Ok(()) };
        if keep == Keep::Full {
            return Ok(());
        }
        let headers = if keep == Keep::Headers {
            let bytes = self.originals.get(&original)?.map(|row| tables::read_original(row.value()));
            let bytes = bytes.transpose()?.unwrap_or_default();
            Some(pieces::read(&stored, Bytes::from(bytes))?.header_section())
        } else {
            None
        };
        self.release(original)?;
        match headers {
            Some(headers) => {
                self.copies.insert(&key, KeptCopy::write_headers(&headers).as_slice())?;
            }
            None => {
                self.copies.remove(&key)?;
            }
        }
        Ok(())
    }

    fn drop_due(&mut self, copy: CopyId) -> Result<(), Fault> {
        let key = copy.to_bytes();
        let known = self.spool.get(&key)?.map(|row| tables::read_spooled(row.value())).transpose()?;
        if let Some(Spooled { state: SpoolState::Waiting { next }, .. }) = known {
            self.due.remove((next.as_nanosecond(), &key))?;
        }
        Ok(())
    }

    fn keep(
        &mut self,
        copy: CopyId,
        rope: &Rope,
        original: [u8; 32],
        keep: Keep,
        pieces: Option<&Squeezed>,
        originals: &HashMap<[u8; 32], &Squeezed>,
    ) -> Result<(), Fault> {
        let key = copy.to_bytes();
        let before = self.copies.get(&key)?.map(|row| KeptCopy::read(row.value())).transpose()?;
        if let Some(KeptCopy::Pieces { original, .. }) = before {
            self.release(original)?;
        }
        let Some(pieces) = pieces else {
            if keep == Keep::Headers {
                self.copies.insert(&key, KeptCopy::write_headers(&rope.header_section()).as_slice())?;
            }
            return Ok(());
        };
        if self.originals.get(&original)?.is_some() {
            let uses = self.uses.get(&original)?.map_or(1, |row| row.value());
            self.uses.insert(&original, uses + 1)?;
        } else {
            let stored = match originals.get(&original) {
                Some(squeezed) => write_original(squeezed),
                None => write_original(&Squeezed::new((&rope.original()[..]).into())),
            };
            self.originals.insert(&original, stored.as_slice())?;
        }
        self.copies.insert(&key, KeptCopy::write_pieces(keep, &original, pieces).as_slice())?;
        Ok(())
    }

    pub(super) fn release(&mut self, original: [u8; 32]) -> Result<(), Fault> {
        let uses = self.uses.get(&original)?.map_or(1, |row| row.value());
        match uses {
            1 => drop(self.originals.remove(&original)?),
            2 => drop(self.uses.remove(&original)?),
            uses => drop(self.uses.insert(&original, uses - 1)?),
        }
        Ok(())
    }
}
