//! How long entries are kept, and what is done to those that are not kept any longer (RULES L11, L18).
//!
//! Purging destroys salt and payload of entries whose time has passed; the leaf hash stays, so the tree and
//! every checkpoint still verify. A hold stops that. Erasing does it for one person, before the time, to all
//! that is no proof of mail sent. Which entries are due is the store's to find; what the words mean is here.

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::event::EntryNumber;
use crate::mail::{AddressKey, Class, SenderId};
use crate::suppression::Suppression;

/// How long sends and refusals are kept, in months from their own time. Consents and relations are kept as
/// long as the last send to their address, and as long as a marketing send themselves; suppressions always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Marketing (default and least 60: five years, RULES L11).
    pub marketing: u32,
    /// Service mail (default 24).
    pub service: u32,
    /// Personal and system mail (default 12).
    pub personal: u32,
    /// Refusals (default 13).
    pub refused: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { marketing: 60, service: 24, personal: 12, refused: 13 }
    }
}

impl Retention {
    /// The least for marketing: proof is kept five years from each send.
    pub const LEAST_MARKETING: u32 = 60;

    /// Months for a class.
    pub fn of(&self, class: Class) -> u32 {
        match class {
            Class::Marketing => self.marketing,
            Class::Service => self.service,
            Class::Personal | Class::System => self.personal,
        }
    }

    /// The shortest of them.
    pub fn shortest(&self) -> u32 {
        self.marketing.min(self.service).min(self.personal).min(self.refused)
    }
}

/// The moment so many months after `at`; the end of the calendar, if that comes first.
pub fn months_after(at: Timestamp, months: u32) -> Timestamp {
    let later = at.to_zoned_datetime(TimeZone::UTC).checked_add(i64::from(months).months());
    later.map_or(Timestamp::MAX, |later| later.timestamp())
}

/// Entries from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first.
    pub first: EntryNumber,
    /// The last.
    pub last: EntryNumber,
}

/// Something that was done about keeping: the part of an entry of kind `keeping`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Keeping {
    /// Nothing of this is purged until the hold ends.
    Held {
        /// Whose entries; all of the ledger when absent.
        about: Option<AddressKey>,
        /// The case, the claim, the letter.
        why: String,
    },
    /// A hold ended.
    Released {
        /// The number of the entry that held.
        hold: EntryNumber,
        /// Why it ended.
        why: String,
    },
    /// Salt and payload of entries were destroyed because their time had passed.
    Purged {
        /// Which.
        entries: Vec<Span>,
    },
    /// A person's data were erased on request (RULES L18).
    Erased {
        /// Who: a keyed hash of the address, so that the entry does not name whom it forgets.
        who: String,
        /// The entries whose salt and payload were destroyed.
        entries: Vec<Span>,
        /// What goes on standing against marketing to this address, as a keyed hash.
        suppressed: Vec<Forgotten>,
        /// Proof of mail that was sent stays, for nothing else, until then.
        restricted_until: Option<Timestamp>,
    },
}

/// A suppression of somebody who was erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// By which sender.
    pub sender: SenderId,
    /// What stands.
    pub suppression: Suppression,
}

/// What an erasure does, or would do: the facts of the letter about it (RULES L18).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// Entries that are destroyed, by kind.
    pub erased: Vec<Tally>,
    /// Entries that stay as proof of mail sent, by kind.
    pub kept: Vec<Tally>,
    /// Until when they stay.
    pub kept_until: Option<Timestamp>,
    /// Suppressions that stay, as keyed hashes.
    pub suppressed: Vec<Forgotten>,
    /// The senders whose register had the person.
    pub senders: Vec<SenderId>,
    /// Where facts about the person came from, as the entries say it.
    pub sources: Vec<String>,
    /// Holds that stop the erasure; nothing is done.
    pub holds: Vec<EntryNumber>,
}

/// How many entries of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The word for the kind.
    pub kind: String,
    /// How many.
    pub count: u64,
}

impl Erasure {
    /// How many entries `tallies` count.
    pub fn total(tallies: &[Tally]) -> u64 {
        tallies.iter().map(|tally| tally.count).sum()
    }
}

impl Keeping {
    /// One line for the log.
    pub fn summary(&self) -> String {
        match self {
            Self::Held { about, why } => {
                let what = about.as_ref().map_or_else(|| "everything".to_owned(), ToString::to_string);
                format!("{what} is held: {why}")
            }
            Self::Released { hold, why } => format!("the hold of entry {hold} ended: {why}"),
            Self::Purged { entries } => format!("{} entries, their time had passed", count(entries)),
            Self::Erased { entries, suppressed, restricted_until, .. } => {
                let until = restricted_until
                    .map_or_else(String::new, |until| format!("; proof of mail sent stays until {until}"));
                format!(
                    "{} entries of one person, {} suppressions stay{until}",
                    count(entries),
                    suppressed.len()
                )
            }
        }
    }
}

/// How many entries there are in `spans`.
pub fn count(spans: &[Span]) -> u64 {
    spans.iter().map(|span| span.last - span.first + 1).sum()
}

/// Numbers in ascending order as spans.
pub fn spans(numbers: &[EntryNumber]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for &number in numbers {
        match spans.last_mut() {
            Some(span) if span.last.checked_add(1) == Some(number) => span.last = number,
            _ => spans.push(Span { first: number, last: number }),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_hold_each_number_once() {
        let span = |first, last| Span { first, last };
        assert_eq!(spans(&[1, 2, 3, 7, 9, 10]), [span(1, 3), span(7, 7), span(9, 10)]);
        assert_eq!(count(&spans(&[1, 2, 3, 7, 9, 10])), 6);
        assert_eq!(spans(&[]), []);
    }

    #[test]
    fn l11_five_years_are_five_years_of_the_calendar() {
        let at: Timestamp = "2026-02-28T12:00:00Z".parse().unwrap();
        assert_eq!(months_after(at, 60).to_string(), "2031-02-28T12:00:00Z");
        let leap: Timestamp = "2028-02-29T12:00:00Z".parse().unwrap();
        assert_eq!(months_after(leap, 60).to_string(), "2033-02-28T12:00:00Z");
        assert_eq!(months_after(Timestamp::MAX, 60), Timestamp::MAX);
    }
}
