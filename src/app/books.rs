//! The ledger as the admin room reads it, over the store.

use std::io::Cursor;

use crate::admin::{Books, Filed, Subject, Verified};
use crate::ledger::{EntryNumber, Suppressed, pack};
use crate::mail::{AddressKey, SenderId};
use crate::policy::Unavailable;
use crate::store::{Found, Store};

/// Rows of the register that are read in one go.
const PAGE: usize = 1_000;

/// Most entries of one evidence pack: one about a single address has a few per message.
const MAX_ENTRIES: usize = 50_000;

/// Reads the store for `admin`.
#[derive(Debug, Clone)]
pub struct StoreBooks {
    store: Store,
}

impl StoreBooks {
    /// Over `store`.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    fn found(&self, subject: &Subject, limit: usize) -> Result<Vec<Found>, Unavailable> {
        match subject {
            Subject::Address(address) => self.store.by_address(address, limit),
            Subject::Reference(reference) => self.store.by_reference(*reference, limit),
            Subject::Copy(copy) => self.store.by_copy(*copy, limit),
            Subject::MessageId(id) => self.store.by_message_id(id, limit),
            Subject::Entry(number) => self.store.entries(*number..number.saturating_add(1)),
        }
    }
}

impl StoreBooks {
    /// Add the consent texts that `found` rests on: evidence is the text as it was shown, not its hash.
    fn add_texts(&self, found: &mut Vec<Found>) -> Result<(), Unavailable> {
        let mut hashes: Vec<String> = Vec::new();
        for hash in found.iter().flat_map(|found| found.entry.event.consent_texts()) {
            if !hashes.iter().any(|known| known == hash) {
                hashes.push(hash.to_owned());
            }
        }
        for hash in hashes {
            found.extend(self.store.consent_text(&hash)?);
        }
        found.sort_by_key(|found| found.number);
        found.dedup_by_key(|found| found.number);
        Ok(())
    }
}

impl Books for StoreBooks {
    fn entries(
        &self,
        subject: &Subject,
        after: Option<EntryNumber>,
        limit: usize,
    ) -> Result<Vec<Filed>, Unavailable> {
        let is_later = |found: &Found| after.is_none_or(|after| found.number > after);
        let found = self.found(subject, MAX_ENTRIES)?;
        Ok(found
            .into_iter()
            .filter(is_later)
            .take(limit)
            .map(|found| Filed { number: found.number, json: String::from_utf8(found.bytes).ok() })
            .collect())
    }

    fn suppressions(
        &self,
        sender: Option<&SenderId>,
        after: Option<&(SenderId, AddressKey)>,
        limit: usize,
    ) -> Result<Vec<Suppressed>, Unavailable> {
        let mut page = Vec::new();
        let mut after = after.cloned();
        loop {
            let rows =
                self.store.register(after.as_ref().map(|(sender, address)| (sender, address)), PAGE)?;
            let Some(last) = rows.last() else { return Ok(page) };
            after = Some((last.sender.clone(), last.address.clone()));
            for row in rows {
                if sender.is_some_and(|sender| *sender != row.sender) || row.profile.suppressions.is_empty() {
                    continue;
                }
                // A page never ends within an address: the next one begins after it.
                if page.len() >= limit {
                    return Ok(page);
                }
                page.extend(row.profile.suppressions.into_iter().map(|suppression| Suppressed {
                    sender: row.sender.clone(),
                    address: row.address.clone(),
                    suppression,
                }));
            }
        }
    }

    fn consent_text(&self, sha256: &str) -> Result<Option<EntryNumber>, Unavailable> {
        Ok(self.store.consent_text(sha256)?.map(|found| found.number))
    }

    fn pack(&self, subject: &Subject) -> Result<Option<Vec<u8>>, Unavailable> {
        let mut found = self.found(subject, MAX_ENTRIES)?;
        if found.is_empty() {
            return Ok(None);
        }
        self.add_texts(&mut found)?;
        let pack = self.store.pack(&subject.to_string(), found)?;
        let zip = pack::write(&pack, self.store.signer(), Cursor::new(Vec::new()))
            .map_err(|error| Unavailable(error.to_string()))?;
        Ok(Some(zip.into_inner()))
    }

    fn verify(&self) -> Result<Verified, Unavailable> {
        let findings = self.store.verify_all(&[])?;
        Ok(Verified {
            entries: findings.entries,
            checkpoints: findings.checkpoints,
            findings: findings.problems,
        })
    }

    fn entry_count(&self) -> Result<u64, Unavailable> {
        self.store.size()
    }
}
