//! What leaves the store as proof: packs, the anchors of what is in them, the keys that signed.

use std::collections::BTreeMap;

use redb::ReadableTable as _;

use super::Store;
use super::error::Fault;
use super::guard::guarded;
use super::read::{Archived, Found, closed, find};
use super::tables::{BY_TEXT, CHECKPOINTS, HASHES, KEYS};
use super::write::StoredHashes;
use crate::ledger::checkpoint::Signer;
use crate::ledger::pack::{Anchor, Exhibit, Pack, Sent};
use crate::ledger::{Anchored, EntryNumber, Event, KeyInForce, consistency, tree};
use crate::mail::{CopyId, Language};
use crate::policy::Unavailable;

impl Store {
    /// An evidence pack of `entries`; [`Store::sent`] hands in the messages they admit. Entries that
    /// no checkpoint covers yet are an error: call [`Store::checkpoint`] (or record a
    /// `Side::Checkpoint`) first.
    pub fn pack(&self, about: &str, entries: Vec<Found>) -> Result<Pack, Unavailable> {
        let successions = self.successions()?;
        let pack = || -> Result<Pack, Fault> {
            let reading = self.transaction().map_err(closed)?;
            let (size, note) = reading
                .open_table(CHECKPOINTS)?
                .last()?
                .map(|(size, note)| (size.value(), note.value().to_owned()))
                .ok_or_else(|| Fault::Format("there is no checkpoint yet".to_owned()))?;
            let hashes = reading.open_table(HASHES)?;
            let mut exhibits = Vec::with_capacity(entries.len());
            let mut anchors = BTreeMap::new();
            for found in entries {
                // One that was recorded since is for the next pack.
                if found.number >= size && matches!(found.entry.event, Event::Anchored(_)) {
                    continue;
                }
                if found.number >= size {
                    return Err(Fault::Format(format!("no checkpoint covers entry {} yet", found.number)));
                }
                if let Event::Anchored(anchored) = &found.entry.event {
                    let note = reading.open_table(CHECKPOINTS)?.get(anchored.size)?;
                    if let Some(note) = note.map(|row| row.value().to_owned()) {
                        let proof = consistency::between(anchored.size, size, &StoredHashes(&hashes))?;
                        let anchor = Anchor { size: anchored.size, note, proof };
                        anchors.insert(anchored.size, anchor);
                    }
                }
                let path = tree::prove_inclusion(size, found.number, &StoredHashes(&hashes))?;
                exhibits.push(Exhibit { number: found.number, salt: found.salt, bytes: found.bytes, path });
            }
            Ok(Pack {
                language: Language::default(),
                about: about.to_owned(),
                made_at: self.inner.clock.now(),
                origin: self.origin().to_owned(),
                verifier: self.verifier().to_owned(),
                checkpoint: note,
                entries: exhibits,
                anchors: anchors.into_values().collect(),
                successions,
            })
        };
        Ok(guarded(pack)?)
    }

    /// What is kept of a copy's bytes, for a pack.
    pub fn sent(&self, copy: CopyId) -> Result<Option<Sent>, String> {
        Ok(self.rebuild(copy).map_err(|error| error.0)?.map(|archived| match archived {
            Archived::Whole(rope) => Sent { whole: true, bytes: rope.to_vec().into() },
            Archived::Headers(bytes) => Sent { whole: false, bytes },
        }))
    }

    /// The key that signs, as the ledger tells of it, with the note of the key before it.
    pub fn key_in_force(&self) -> Result<KeyInForce, Unavailable> {
        let signer = self.signer();
        let before = || -> Result<Option<String>, Fault> {
            let keys = self.transaction().map_err(closed)?.open_table(KEYS)?;
            // An older release may have noted the same key twice.
            for row in keys.iter()?.rev() {
                let (_, key) = row?;
                if key.value() != signer.verifier() {
                    return Ok(Some(key.value().to_owned()));
                }
            }
            Ok(None)
        };
        let succeeds = guarded(before)?.and_then(|before| signer.vouched_by(&before));
        Ok(KeyInForce { succeeds, lost: signer.lost().map(str::to_owned), ..signer.in_force() })
    }

    /// The notes by which the keys of this ledger vouch for each other, oldest first.
    pub fn successions(&self) -> Result<Vec<String>, Unavailable> {
        let keys = || -> Result<Vec<String>, Fault> {
            let keys = self.transaction().map_err(closed)?.open_table(KEYS)?;
            keys.iter()?.map(|row| Ok(KeyInForce::ledger_label(row?.1.value()))).collect()
        };
        let mut notes = Vec::new();
        for label in guarded(keys)? {
            if let Some(Event::KeyInForce(key)) = self.labelled(&label)?.map(|found| found.entry.event) {
                notes.extend(key.succeeds);
            }
        }
        Ok(notes)
    }

    /// Entries of one pack, at most.
    pub fn pack_entries(&self) -> usize {
        self.inner.settings.pack_entries
    }

    /// The key that signs this gateway's packs and checkpoints.
    pub fn signer(&self) -> &Signer {
        &self.inner.settings.signer
    }

    /// The entries of the last `limit` anchors that arrived.
    pub fn last_anchored(&self, limit: usize) -> Result<Vec<Found>, Unavailable> {
        let last = || -> Result<Vec<Found>, Fault> {
            let reading = self.transaction().map_err(closed)?;
            let table = reading.open_table(BY_TEXT)?;
            let end = Anchored::label(u64::MAX, "");
            let rows = table.range::<&str>(Anchored::LABEL..end.as_str())?.rev().take(limit);
            let numbers = rows.map(|row| Ok(row?.1.value())).collect::<Result<Vec<_>, Fault>>()?;
            find(&reading, &numbers)
        };
        Ok(guarded(last)?)
    }

    /// The entries of the first `limit` anchors that cover entry `number`.
    pub fn anchors_of(&self, number: EntryNumber, limit: usize) -> Result<Vec<Found>, Unavailable> {
        let first = || -> Result<Vec<Found>, Fault> {
            let reading = self.transaction().map_err(closed)?;
            let table = reading.open_table(BY_TEXT)?;
            let from = Anchored::label(number.saturating_add(1), "");
            let end = Anchored::label(u64::MAX, "");
            let rows = table.range::<&str>(from.as_str()..end.as_str())?.take(limit);
            let numbers = rows.map(|row| Ok(row?.1.value())).collect::<Result<Vec<_>, Fault>>()?;
            find(&reading, &numbers)
        };
        Ok(guarded(first)?)
    }
}
