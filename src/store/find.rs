//! Looking entries up: by address, submission, copy, Message-ID, number and time, a page at a time. A page
//! reads the entries it shows, and of the others no more than their numbers.

use std::ops::RangeInclusive;

use jiff::Timestamp;
use memchr::memmem;
use redb::ReadTransaction;

use super::Store;
use super::error::Fault;
use super::guard::guarded;
use super::read::{Found, find, found};
use super::tables::{
    BY_ADDRESS, BY_COPY, BY_MESSAGE, BY_MINUTE, ENTRIES, Scope, StoredEntry, copy_key, minute, number_in,
    read_entry,
};
use crate::ledger::{EntryNumber, Event};
use crate::mail::{AddressKey, CopyId, Reference};
use crate::policy::Unavailable;

/// What entries are asked for.
#[derive(Debug, Clone, Copy)]
pub enum About<'a> {
    /// Those that name a mailbox, and what became of the copies it was sent.
    Address(&'a AddressKey),
    /// Those about one submission.
    Reference(Reference),
    /// Those about one copy.
    Copy(CopyId),
    /// Those that name a Message-ID (with its angle brackets).
    MessageId(&'a str),
    /// One.
    Entry(EntryNumber),
    /// All; with a window in time, those of that time.
    Everything,
}

/// Which of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Window {
    /// Those after this number.
    pub after: Option<EntryNumber>,
    /// Those written at or after this moment.
    pub since: Option<Timestamp>,
    /// Those written before this moment.
    pub until: Option<Timestamp>,
    /// At most so many; outcomes that come along with an address are not counted.
    pub limit: usize,
}

/// A page of entries, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// What was found.
    pub found: Vec<Found>,
    /// Entries that were asked for, and were erased.
    pub erased: Vec<EntryNumber>,
    /// Where to go on ([`Window::after`]); `None` when this is all.
    pub next: Option<EntryNumber>,
}

type Numbers = Box<dyn Iterator<Item = Result<EntryNumber, Fault>>>;

impl Store {
    /// A page of the entries about something. In a listing about an address the outcomes of a copy stand on
    /// the page of its admission.
    pub fn page(&self, about: About<'_>, window: &Window) -> Result<Page, Unavailable> {
        let reading = self.transaction()?;
        Ok(guarded(|| page(&reading, about, window))?)
    }

    /// At most `limit` entries about one submission, in order.
    pub fn by_reference(&self, reference: Reference, limit: usize) -> Result<Vec<Found>, Unavailable> {
        Ok(self.page(About::Reference(reference), &Window { limit, ..Window::default() })?.found)
    }

    /// At most `limit` entries about one copy, in order.
    pub fn by_copy(&self, copy: CopyId, limit: usize) -> Result<Vec<Found>, Unavailable> {
        Ok(self.page(About::Copy(copy), &Window { limit, ..Window::default() })?.found)
    }

    /// The first `limit` entries that name a mailbox, in order, with what became of the copies it was sent.
    pub fn by_address(&self, address: &AddressKey, limit: usize) -> Result<Vec<Found>, Unavailable> {
        Ok(self.page(About::Address(address), &Window { limit, ..Window::default() })?.found)
    }

    /// The entries that name files which show consents of a mailbox, in order.
    pub fn evidence_of(&self, address: &AddressKey) -> Result<Vec<Found>, Unavailable> {
        let reading = self.transaction()?;
        let sign = memmem::Finder::new("\"kind\":\"evidence\"");
        Ok(guarded(|| {
            let entries = reading.open_table(ENTRIES)?;
            let mut shown = Vec::new();
            for number in numbers_about(&reading, About::Address(address), None)? {
                let Some(row) = entries.get(number)? else { continue };
                // Most are sends: only what may be one is taken apart.
                if let StoredEntry::Whole { bytes, .. } = read_entry(row.value())?
                    && sign.find(&bytes).is_some()
                    && let Some(found) = found(number, row.value())?
                    && matches!(found.entry.event, Event::Evidence(_))
                {
                    shown.push(found);
                }
            }
            Ok(shown)
        })?)
    }

    /// The newest entry that names a mailbox and of which `fits` holds, among the last `limit` that name it.
    pub fn latest_by_address(
        &self,
        address: &AddressKey,
        limit: usize,
        fits: impl Fn(&Found) -> bool,
    ) -> Result<Option<Found>, Unavailable> {
        let reading = self.transaction()?;
        Ok(guarded(|| {
            let (entries, key) = (reading.open_table(ENTRIES)?, address.as_str());
            let rows = reading.open_table(BY_ADDRESS)?.range((key, 0)..=(key, u64::MAX))?;
            for row in rows.rev().take(limit) {
                let number = row?.0.value().1;
                let Some(row) = entries.get(number)? else { continue };
                if let Some(found) = found(number, row.value())?.filter(&fits) {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        })?)
    }
}

fn page(reading: &ReadTransaction, about: About<'_>, window: &Window) -> Result<Page, Fault> {
    let entries = reading.open_table(ENTRIES)?;
    let mut page = Page::default();
    let mut last = None;
    for number in numbers(reading, about, window)? {
        let number = number?;
        if page.found.len() + page.erased.len() >= window.limit {
            page.next = last;
            break;
        }
        last = Some(number);
        let Some(row) = entries.get(number)? else { continue };
        match found(number, row.value())? {
            Some(found) if is_within(window, found.entry.at) => page.found.push(found),
            Some(_) => {}
            None => page.erased.push(number),
        }
    }
    if let About::Address(address) = about {
        add_outcomes(reading, address, &mut page)?;
    }
    Ok(page)
}

fn is_within(window: &Window, at: Timestamp) -> bool {
    window.since.is_none_or(|since| at >= since) && window.until.is_none_or(|until| at < until)
}

/// All numbers of the entries about something, in order.
pub(super) fn numbers_about(
    reading: &ReadTransaction,
    about: About<'_>,
    after: Option<EntryNumber>,
) -> Result<Vec<EntryNumber>, Fault> {
    numbers(reading, about, &Window { after, ..Window::default() })?.collect()
}

/// The numbers of the entries about something, from the window's `after` on, in order.
fn numbers(reading: &ReadTransaction, about: About<'_>, window: &Window) -> Result<Numbers, Fault> {
    let from = match window.after {
        // There is no entry of this number.
        Some(u64::MAX) => return Ok(Box::new(std::iter::empty())),
        Some(after) => after + 1,
        None => 0,
    };
    Ok(match about {
        About::Address(address) => {
            let key = address.as_str();
            let rows = reading.open_table(BY_ADDRESS)?.range((key, from)..=(key, u64::MAX))?;
            Box::new(rows.map(|row| Ok(row?.0.value().1)))
        }
        About::MessageId(id) => {
            let rows = reading.open_table(BY_MESSAGE)?.range((id, from)..=(id, u64::MAX))?;
            Box::new(rows.map(|row| Ok(row?.0.value().1)))
        }
        About::Copy(copy) => {
            let (from, to) = (copy_key(Scope::Copy(copy), from), copy_key(Scope::Copy(copy), u64::MAX));
            let rows = reading.open_table(BY_COPY)?.range::<&[u8; 29]>(&from..=&to)?;
            Box::new(rows.map(|row| Ok(number_in(row?.0.value()))))
        }
        About::Reference(reference) => {
            // In order of copy first: they are put in order of number.
            let end = Scope::Copy(CopyId { reference, index: u32::MAX });
            let (begin, end) = (copy_key(Scope::Whole(reference), 0), copy_key(end, u64::MAX));
            let rows = reading.open_table(BY_COPY)?.range::<&[u8; 29]>(&begin..=&end)?;
            let mut numbers =
                rows.map(|row| Ok(number_in(row?.0.value()))).collect::<Result<Vec<_>, Fault>>()?;
            numbers.retain(|number| *number >= from);
            numbers.sort_unstable();
            Box::new(numbers.into_iter().map(Ok))
        }
        About::Entry(number) => Box::new((number >= from).then_some(Ok(number)).into_iter()),
        About::Everything => {
            let runs = runs(reading, window)?;
            Box::new(runs.into_iter().flat_map(move |run| (from.max(*run.start())..=*run.end()).map(Ok)))
        }
    })
}

/// The runs of entries that may be of the window's time, in order of number.
fn runs(reading: &ReadTransaction, window: &Window) -> Result<Vec<RangeInclusive<EntryNumber>>, Fault> {
    let since = window.since.map_or(i64::MIN, minute);
    let until = window.until.map_or(i64::MAX, minute);
    if since > until {
        return Ok(Vec::new());
    }
    let rows = reading.open_table(BY_MINUTE)?.range((since, 0)..=(until, u64::MAX))?;
    let mut runs = rows
        .map(|row| row.map(|(key, last)| key.value().1..=last.value()))
        .collect::<Result<Vec<_>, redb::StorageError>>()?;
    runs.sort_unstable_by_key(|run| *run.start());
    Ok(runs)
}

/// What became of the copies that `page` admits, for this address.
fn add_outcomes(reading: &ReadTransaction, address: &AddressKey, page: &mut Page) -> Result<(), Fault> {
    let copies: Vec<CopyId> = page.found.iter().filter_map(|found| found.entry.event.copy()).collect();
    let all = Window { limit: usize::MAX, ..Window::default() };
    for copy in copies {
        let numbers = numbers(reading, About::Copy(copy), &all)?.collect::<Result<Vec<_>, _>>()?;
        page.found.extend(find(reading, &numbers)?.into_iter().filter(|found| {
            found
                .entry
                .event
                .outcome()
                .is_some_and(|outcome| outcome.recipients.iter().any(|recipient| recipient.key() == address))
        }));
    }
    page.found.sort_by_key(|found| found.number);
    page.found.dedup_by_key(|found| found.number);
    Ok(())
}
