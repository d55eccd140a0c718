//! What is owed to those who must know (RULES L10): one telling of one entry to one of them. It becomes
//! durable in the commit of the entry it tells of, and stands until it was told, or was given up.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::EntryNumber;
use super::record::is_due;
use crate::mail::{Address, AddressKey, SenderId};
use crate::policy::Unavailable;

/// Which telling: the entry that is told, and its place among what the record of that entry owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OwedId {
    /// The entry that is told.
    pub fact: EntryNumber,
    /// From 0.
    pub index: u32,
}

impl fmt::Display for OwedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.fact, self.index)
    }
}

impl OwedId {
    /// The inverse of `Display`.
    pub fn parse(text: &str) -> Option<Self> {
        let (fact, index) = text.split_once('-')?;
        Some(Self { fact: fact.parse().ok()?, index: index.parse().ok()? })
    }
}

/// How somebody is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A signed POST to the webhook of this name in the config.
    Webhook(String),
    /// A POST to the mailing tool's own one-click link, which the message had (RULES P8).
    OneClick,
    /// A line in the daily mail to this address.
    Digest(Address),
}

impl Channel {
    /// The word of the entries, the metrics and the lists.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::OneClick => "one_click",
            Self::Digest(_) => "digest",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook(name) => write!(f, "webhook {name}"),
            Self::OneClick => f.write_str("one_click"),
            Self::Digest(to) => write!(f, "digest {to}"),
        }
    }
}

/// One telling that is owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// Whose news it is.
    pub sender: SenderId,
    /// Whom it is about.
    pub address: AddressKey,
    /// Whom to tell, and how.
    pub channel: Channel,
    /// Where it stands.
    pub state: OwedState,
    /// When it began to be owed.
    pub since: Timestamp,
    /// Tries so far.
    pub attempts: u32,
    /// What the last try was answered.
    pub last_answer: String,
}

/// Where a telling stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwedState {
    /// To be told at this time, and not before what is owed to the same about the same address.
    Waiting {
        /// When.
        next: Timestamp,
    },
    /// Given up: a person has to look (`sluis outbox`).
    Dead,
}

impl OwedState {
    /// Whether it is to be told at `now`.
    pub fn is_due(&self, now: Timestamp) -> bool {
        matches!(self, Self::Waiting { next } if is_due(*next, now))
    }
}

impl Owed {
    /// Tellings of one lane are told one after the other, in the order of their facts.
    pub fn lane(&self) -> String {
        match &self.channel {
            // One mail tells of all addresses.
            Channel::Digest(_) => format!("{}\n{}", self.channel, self.sender),
            Channel::Webhook(_) | Channel::OneClick => {
                format!("{}\n{}\n{}", self.channel, self.sender, self.address)
            }
        }
    }
}

/// How a telling ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Whose news it is.
    pub sender: SenderId,
    /// Whom it is about.
    pub address: AddressKey,
    /// The entry that was told.
    pub fact: EntryNumber,
    /// Its place among what that entry owed.
    pub index: u32,
    /// `webhook`, `one_click` or `digest`.
    pub channel: String,
    /// The webhook's name, the host of the link, or the address of the mail.
    pub target: String,
    /// What came of it.
    pub outcome: Telling,
    /// The answer, or why there is none.
    pub answer: String,
    /// Tries, the last one included.
    pub attempt: u32,
}

/// What came of a telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Telling {
    /// It was taken.
    Told,
    /// It was refused for good, or not taken in time: it waits for a person.
    GivenUp,
    /// There was nothing to tell any more, or nobody to tell it to.
    NotNeeded,
}

impl Telling {
    /// The word of the JSON and the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::GivenUp => "given_up",
            Self::NotNeeded => "not_needed",
        }
    }
}

/// The outbox, as the one who empties it reads it.
pub trait OutboxView: Send + Sync + fmt::Debug {
    /// At most `limit` tellings that are due at `now` and first in their lane, soonest first.
    fn owed(&self, now: Timestamp, limit: usize) -> Result<Vec<(OwedId, Owed)>, Unavailable>;

    /// When the next one is due.
    fn next_owed(&self) -> Result<Option<Timestamp>, Unavailable>;

    /// The exact bytes of an entry; `None` when they were erased.
    fn entry(&self, number: EntryNumber) -> Result<Option<Vec<u8>>, Unavailable>;

    /// At most `limit` tellings that wait in `lane`, in order.
    fn lane(&self, lane: &str, limit: usize) -> Result<Vec<(OwedId, Owed)>, Unavailable>;

    /// At most `limit` tellings, waiting and dead, in order, after `after`.
    fn list_owed(&self, after: Option<OwedId>, limit: usize) -> Result<Vec<(OwedId, Owed)>, Unavailable>;

    /// One telling.
    fn find_owed(&self, id: OwedId) -> Result<Option<Owed>, Unavailable>;
}
