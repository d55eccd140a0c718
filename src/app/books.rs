//! The ledger as the admin room reads it, over the store.

use std::io::Cursor;

use crate::admin::{Books, Filed, Query, Subject, Verified};
use crate::ledger::{EntryNumber, Suppressed, pack};
use crate::mail::{AddressKey, SenderId};
use crate::policy::Unavailable;
use crate::store::{About, Found, Page, Store, Window};

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

    fn pack(&self, query: &Query) -> Result<Option<Vec<u8>>, Unavailable> {
        let page = self.page(query, None, MAX_ENTRIES)?;
        if page.next.is_some() {
            return Err(Unavailable(format!(
                "there are more than {MAX_ENTRIES} entries about {query}: too many for one pack; ask for a \
                 shorter time with --since and --until"
            )));
        }
        let mut found = page.found;
        if found.is_empty() {
            return Ok(None);
        }
        self.add_texts(&mut found)?;
        let pack = self.store.pack(&query.to_string(), found)?;
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
