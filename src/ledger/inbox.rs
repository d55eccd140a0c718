//! Mail that came to the unsubscribe address: what became of a message of ours (RULES P14), and what only a
//! person can answer (RULES P9).

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::EntryNumber;
use crate::mail::{Address, AddressKey, CopyId, Reference, SenderId};
use crate::policy::Unavailable;

/// A message of ours came back from further on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned {
    /// Whom it was sent for.
    pub sender: SenderId,
    /// Who did not get it.
    pub address: AddressKey,
    /// The submission.
    pub reference: Reference,
    /// Enhanced status code (RFC 3463).
    pub status: String,
    /// The copy, when it came back to the envelope sender of that copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyId>,
    /// Whether there is no such mailbox.
    pub hard: bool,
    /// Whether nothing commercial is sent to it any more.
    pub blocked: bool,
    /// What the far server said.
    pub diagnostic: String,
}

/// An administrator says that a mailbox works after all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unblocked {
    /// For which sender.
    pub sender: SenderId,
    /// Whose.
    pub address: AddressKey,
    /// How that is known.
    pub why: String,
}

/// An automatic mail that names a message of ours, and from which nothing follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ignored {
    /// Whom the message was sent for.
    pub sender: SenderId,
    /// To whom.
    pub address: AddressKey,
    /// The submission.
    pub reference: Reference,
    /// The copy, when it came to the envelope sender of that copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyId>,
    /// Why nothing follows.
    pub why: String,
}

/// A mail that a person has to answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Who says it is from them.
    pub from: Option<Address>,
    /// Its subject.
    pub subject: String,
    /// Why a person has to.
    pub why: String,
}

/// A mail that was held was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The entry that says it was held.
    pub held: EntryNumber,
    /// What was done.
    pub how: String,
}

/// A mail that waits for a person, as it is kept until it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// When it came.
    pub at: Timestamp,
    /// What is on record about it.
    pub held: Held,
    /// Its beginning.
    pub bytes: Vec<u8>,
}

/// The mails that wait for a person, to read.
pub trait InboxView: Send + Sync + fmt::Debug {
    /// At most `limit` of them, in order, after `after`.
    fn list_letters(
        &self,
        after: Option<EntryNumber>,
        limit: usize,
    ) -> Result<Vec<(EntryNumber, Letter)>, Unavailable>;

    /// One of them.
    fn find_letter(&self, number: EntryNumber) -> Result<Option<Letter>, Unavailable>;

    /// How many there are.
    fn count_letters(&self) -> Result<u64, Unavailable>;
}
