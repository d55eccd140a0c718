//! What is handed to the pen: entries, and what must become durable in the same commit.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::event::{EntryNumber, Event};
use super::inbox::Letter;
use super::outbox::{Owed, OwedId};
use crate::mail::{AddressKey, Class, CopyId, Purpose, Recipient, Ret, ReversePath, SenderId};
use crate::message::Rope;

/// One thing to be written: entries, and what must become durable with them. Either all of it or none.
#[derive(Debug, Default)]
pub struct Record {
    /// Entries, in order.
    pub events: Vec<Event>,
    /// What goes into the same commit.
    pub sides: Vec<Side>,
}

/// What becomes durable in the same commit as an entry, but is not itself one.
#[derive(Debug)]
pub enum Side {
    /// The message as the client gave it, kept for rebuilding what was sent; stored once by its hash,
    /// for as long as the [`Side::Edits`] of a copy need it. Goes into the record of its first copy.
    Original {
        /// SHA-256 of the bytes.
        sha256: [u8; 32],
        /// The bytes.
        bytes: Bytes,
    },
    /// The pieces of a copy, so that its exact bytes can be rebuilt: while it is in the spool, and
    /// afterwards as `keep` says.
    Edits {
        /// The copy.
        copy: CopyId,
        /// SHA-256 of its original; an original that was recorded before need not be given again.
        original_sha256: [u8; 32],
        /// Its pieces.
        rope: Rope,
        /// What stays of it once it does not wait in the spool.
        keep: Keep,
    },
    /// Put a copy into the spool, or replace what the spool knows of it.
    Spool(Box<Spooled>),
    /// Take a copy out of the spool.
    Unspool(CopyId),
    /// Owe somebody a telling of the entry that has this place in the record, from 0.
    Owe(u32, Box<Owed>),
    /// Replace what is known of a telling that is owed.
    Defer(OwedId, Box<Owed>),
    /// A telling is no longer owed.
    Paid(OwedId),
    /// Keep a mail for a person; this record's first entry says so.
    Letter(Box<Letter>),
    /// A mail was answered, and is kept no longer.
    Filed(EntryNumber),
    /// Destroy salt and payload of these entries, and every row that follows from them (RULES L11).
    Erase(Vec<EntryNumber>),
    /// Take the profiles of an address away, with every sender (RULES L18).
    Forget(AddressKey),
    /// Sign a checkpoint, if anything happened since the last one.
    Checkpoint,
}

/// What is kept of a copy's bytes for later proof, as little as its class needs (DESIGN section 5). The
/// ledger's hash of the exact bytes stays in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// Original and edits: the exact bytes can be rebuilt.
    Full,
    /// The header section as sent.
    Headers,
    /// Nothing but the hash.
    Hash,
}

/// What is kept of each class. The gateway's own notices, and system mail at large, keep the hash alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Archive {
    /// Marketing (default full).
    pub marketing: Keep,
    /// Service mail (default headers).
    pub service: Keep,
    /// Personal mail (default hash).
    pub personal: Keep,
}

impl Default for Archive {
    fn default() -> Self {
        Self { marketing: Keep::Full, service: Keep::Headers, personal: Keep::Hash }
    }
}

impl Archive {
    /// What is kept of `class`.
    pub fn of(&self, class: Class) -> Keep {
        match class {
            Class::Marketing => self.marketing,
            Class::Service => self.service,
            Class::Personal => self.personal,
            Class::System => Keep::Hash,
        }
    }
}

/// A copy in the spool. Its bytes are rebuilt from the original and the edits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spooled {
    /// The copy.
    pub copy: CopyId,
    /// What it is.
    pub class: Class,
    /// Whom it is sent for: asked again before each try, for marketing.
    pub sender: Option<SenderId>,
    /// What it is about; of our own mail (class `system`), only that which asks for a consent has one (RULES L12).
    pub purpose: Option<Purpose>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// Recipients that still wait.
    pub recipients: Vec<Recipient>,
    /// `RET=`.
    pub ret: Option<Ret>,
    /// `ENVID=`.
    pub envid: Option<String>,
    /// SHA-256 of the message as the client gave it.
    pub original_sha256: [u8; 32],
    /// Whether it has octets over 127, and whether its headers or envelope need SMTPUTF8.
    pub eight_bit: bool,
    /// Needs SMTPUTF8 at the next hop.
    pub smtputf8: bool,
    /// Where it stands.
    pub state: SpoolState,
    /// Tries so far.
    pub attempts: u32,
    /// When it came.
    pub admitted_at: Timestamp,
    /// When it is given up.
    pub expires_at: Timestamp,
    /// The last failure, in the next hop's words.
    pub last_reply: String,
    /// The account that handed it over: it may have next hops of its own.
    pub account: Option<String>,
    /// The sender has been told that it is late (RFC 3461 4.1, `NOTIFY=DELAY`).
    pub delay_told: bool,
}

impl Spooled {
    /// For which sender and purpose it asks for a consent, if it is the mail of a sign-up (RULES L12).
    pub fn asks_for(&self) -> Option<(&SenderId, &Purpose)> {
        (self.class == Class::System).then_some((self.sender.as_ref()?, self.purpose.as_ref()?))
    }
}

/// Where a spooled copy stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpoolState {
    /// Being tried: after a crash, in doubt.
    Trying,
    /// To be tried at this time.
    Waiting {
        /// When.
        next: Timestamp,
    },
    /// Held by an administrator or by `in_doubt = "hold"`.
    Held,
}

/// No try is put off for so long: what waits longer was put off by a clock that was ahead, and would wait for years once
/// that is right.
pub const NEVER_PUT_OFF: SignedDuration = SignedDuration::from_hours(60 * 24);

/// Whether what is put off until `next` is due at `now`.
pub fn is_due(next: Timestamp, now: Timestamp) -> bool {
    next <= now || now.checked_add(NEVER_PUT_OFF).is_ok_and(|far| next > far)
}

impl SpoolState {
    /// Whether it is to be tried at `now`.
    pub fn is_due(&self, now: Timestamp) -> bool {
        matches!(self, Self::Waiting { next } if is_due(*next, now))
    }
}

impl Record {
    /// One entry, and nothing beside it.
    pub fn of(event: Event) -> Self {
        Self { events: vec![event], sides: Vec::new() }
    }
}
