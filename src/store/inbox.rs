//! Mails that wait for a person, by the number of the entry that says so.

use redb::{ReadableTableMetadata as _, TableDefinition, WriteTransaction};

use super::Store;
use super::error::Fault;
use super::guard::guarded;
use super::tables::{read_row, write_row};
use crate::ledger::{EntryNumber, InboxView, Letter};
use crate::policy::Unavailable;

/// Mails by entry number.
pub(super) const INBOX: TableDefinition<u64, &[u8]> = TableDefinition::new("inbox");

/// Keep a mail.
pub(super) fn keep(
    transaction: &WriteTransaction,
    number: EntryNumber,
    letter: &Letter,
) -> Result<(), Fault> {
    transaction.open_table(INBOX)?.insert(number, write_row(letter)?.as_slice())?;
    Ok(())
}

/// A mail was answered.
pub(super) fn done(transaction: &WriteTransaction, number: EntryNumber) -> Result<(), Fault> {
    transaction.open_table(INBOX)?.remove(number)?;
    Ok(())
}

impl InboxView for Store {
    fn list_letters(
        &self,
        after: Option<EntryNumber>,
        limit: usize,
    ) -> Result<Vec<(EntryNumber, Letter)>, Unavailable> {
        let reading = self.transaction()?;
        let list = || -> Result<Vec<(EntryNumber, Letter)>, Fault> {
            let table = reading.open_table(INBOX)?;
            let from = after.map_or(0, |after| after.saturating_add(1));
            let rows = table.range(from..)?.take(limit);
            rows.map(|row| {
                let (number, letter) = row?;
                Ok((number.value(), read_row(letter.value())?))
            })
            .collect()
        };
        Ok(guarded(list)?)
    }

    fn find_letter(&self, number: EntryNumber) -> Result<Option<Letter>, Unavailable> {
        let reading = self.transaction()?;
        let find = || -> Result<Option<Letter>, Fault> {
            reading.open_table(INBOX)?.get(number)?.map(|row| read_row(row.value())).transpose()
        };
        Ok(guarded(find)?)
    }

    fn count_letters(&self) -> Result<u64, Unavailable> {
        let reading = self.transaction()?;
        let count = || -> Result<u64, Fault> { Ok(reading.open_table(INBOX)?.len()?) };
        Ok(guarded(count)?)
    }
}
