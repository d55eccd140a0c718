//! The spool and the originals, which follow from no entry: that they hold together.

use redb::{ReadTransaction, ReadableTable as _};

use super::Findings;
use crate::ledger::SpoolState;
use crate::mail::{CopyId, hex, sha256};
use crate::store::error::Fault;
use crate::store::read::{Archived, archived};
use crate::store::tables::{
    COPIES, DUE, KeptCopy, ORIGINAL_USES, ORIGINALS, SPOOL, read_original, read_spooled,
};

/// The spool: each copy has its bytes, is due when it says, and each original is needed as often as counted.
pub(super) fn check(reading: &ReadTransaction, findings: &mut Findings) -> Result<(), Fault> {
    let (spool, due) = (reading.open_table(SPOOL)?, reading.open_table(DUE)?);
    let mut waiting = 0u64;
    for row in spool.iter()? {
        let (key, value) = row?;
        let copy = CopyId::from_bytes(*key.value());
        let spooled = read_spooled(value.value())?;
        if let SpoolState::Waiting { next } = spooled.state {
            waiting += 1;
            if due.get((next.as_nanosecond(), key.value()))?.is_none() {
                findings.problem(format!("the spooled copy {copy} waits, but is never due"));
            }
        }
        if !matches!(archived(reading, copy), Ok(Some(Archived::Whole(_)))) {
            findings.problem(format!("the bytes of the spooled copy {copy} are missing"));
        }
    }
    if waiting != redb::ReadableTableMetadata::len(&due)? {
        findings.problem("the list of due copies names copies that do not wait".to_owned());
    }
    let mut uses = std::collections::BTreeMap::<[u8; 32], u64>::new();
    for row in reading.open_table(COPIES)?.iter()? {
        if let KeptCopy::Pieces { original, .. } = KeptCopy::read(row?.1.value())? {
            *uses.entry(original).or_default() += 1;
        }
    }
    let counted = reading.open_table(ORIGINAL_USES)?;
    let mut shared = 0u64;
    for row in reading.open_table(ORIGINALS)?.iter()? {
        let (key, value) = row?;
        let bytes = read_original(value.value())?;
        if sha256(&bytes) != *key.value() {
            findings.problem(format!("the original {} is not what its hash says", hex(key.value())));
        }
        let needed = uses.remove(key.value()).unwrap_or(0);
        let row = counted.get(key.value())?.map(|row| row.value());
        shared += u64::from(needed > 1);
        if needed == 0 || row != (needed > 1).then_some(needed) {
            findings.problem(format!(
                "the original {} is needed {needed} times, not as counted",
                hex(key.value())
            ));
        }
    }
    if shared != redb::ReadableTableMetadata::len(&counted)? {
        findings.problem("uses are counted of originals that are not there".to_owned());
    }
    for original in uses.keys() {
        findings.problem(format!("the original {} is missing", hex(original)));
    }
    Ok(())
}
