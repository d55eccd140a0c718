//! What is kept of copies against the entries that admit them: the bytes that would be shown as what was sent are what the
//! entry says was sent (promise 8).

use bytes::Bytes;
use redb::{ReadOnlyTable, ReadTransaction, ReadableTableMetadata as _};

use super::Findings;
use crate::ledger::{Admitted, EntryNumber, pieces};
use crate::mail::hex;
use crate::store::error::Fault;
use crate::store::tables::{COPIES, KeptCopy, ORIGINALS, read_original};

pub(super) struct Kept {
    copies: ReadOnlyTable<&'static [u8; 20], &'static [u8]>,
    originals: ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
    /// The original that was read last: copies of one submission follow each other.
    last: Option<([u8; 32], Bytes)>,
    /// Copies of which something is kept, and that an entry admits.
    admitted: u64,
}

impl Kept {
    pub(super) fn open(reading: &ReadTransaction) -> Result<Self, Fault> {
        let (copies, originals) = (reading.open_table(COPIES)?, reading.open_table(ORIGINALS)?);
        Ok(Self { copies, originals, last: None, admitted: 0 })
    }

    /// Entry `number` admits a copy.
    pub(super) fn admitted(
        &mut self,
        number: EntryNumber,
        admitted: &Admitted,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        let Some(row) = self.copies.get(&admitted.copy.to_bytes())? else { return Ok(()) };
        self.admitted += 1;
        let copy = admitted.copy;
        let (original, kept) = match KeptCopy::read(row.value()) {
            Ok(KeptCopy::Pieces { original, pieces, .. }) => (original, pieces),
            // The hash in the entry is over more than is kept.
            Ok(KeptCopy::Headers(_)) => return Ok(()),
            Err(fault) => {
                findings.problem(format!("what is kept of copy {copy} cannot be read: {fault}"));
                return Ok(());
            }
        };
        // One that is missing is named with the originals.
        let Some(bytes) = self.original(original)? else { return Ok(()) };
        match pieces::read(&kept, bytes) {
            Ok(rope) if hex(&rope.sha256()) == admitted.sent_sha256 => {}
            Ok(_) => findings
                .problem(format!("what is kept of copy {copy} is not what entry {number} says was sent")),
            Err(error) => findings.problem(format!("what is kept of copy {copy} cannot be read: {error}")),
        }
        Ok(())
    }

    fn original(&mut self, sha256: [u8; 32]) -> Result<Option<Bytes>, Fault> {
        if let Some((last, bytes)) = &self.last
            && *last == sha256
        {
            return Ok(Some(bytes.clone()));
        }
        let Some(row) = self.originals.get(&sha256)? else { return Ok(None) };
        // One that cannot be read, too.
        let Ok(bytes) = read_original(row.value()).map(Bytes::from) else { return Ok(None) };
        self.last = Some((sha256, bytes.clone()));
        Ok(Some(bytes))
    }

    /// After the pass: nothing is kept that no entry tells of.
    pub(super) fn check(&self, findings: &mut Findings) -> Result<(), Fault> {
        let surplus = self.copies.len()?.saturating_sub(self.admitted);
        if surplus > 0 {
            findings.problem(format!("something is kept of {surplus} copies that no entry admits"));
        }
        Ok(())
    }
}
