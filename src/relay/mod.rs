//! The relay: one copy to the next hop, what became of it, and the spool of what still waits.
//!
//! [`Relay::deliver`] takes a [`Copy`], whose recipients are [`Permit`]s: nothing is sent without one.
//! What the next hop says is kept word for word; an unexpected 2xx or 3xx becomes our own 451 (RULES
//! P15). [`Spool`] tries waiting copies again, asks for their permits again before each try, and records
//! what became of them. Deliberately absent: the first decision (the gateway's) and the disk (the store
//! implements [`SpoolView`]).

use jiff::Timestamp;

use crate::ledger::Spooled;
use crate::mail::{CopyId, Notify, OriginalRecipient, Ret, ReversePath};
use crate::message::Rope;
use crate::policy::{Permit, Unavailable};

/// One copy, ready to go.
#[derive(Debug, Clone)]
pub struct Copy {
    /// Its id.
    pub id: CopyId,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// Whom it goes to, and why it may.
    pub recipients: Vec<CopyRecipient>,
    /// Its exact bytes.
    pub rope: Rope,
    /// Whether it has octets over 127.
    pub eight_bit: bool,
    /// Whether its envelope or header needs SMTPUTF8.
    pub smtputf8: bool,
    /// `RET=`.
    pub ret: Option<Ret>,
    /// `ENVID=`.
    pub envid: Option<String>,
}

/// A recipient of a copy, with the permit that lets it go.
#[derive(Debug, Clone)]
pub struct CopyRecipient {
    /// The permit; it names the address.
    pub permit: Permit,
    /// `NOTIFY=`.
    pub notify: Option<Notify>,
    /// `ORCPT=`.
    pub orcpt: Option<OriginalRecipient>,
}

/// A reply of the next hop, or our own words where there was none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Three-digit code.
    pub code: u16,
    /// Enhanced status code, `5.1.1`.
    pub enhanced: Option<String>,
    /// The text, lines joined with a space; without code and enhanced code.
    pub text: String,
}

/// What became of one recipient of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The next hop has it.
    Relayed(Answer),
    /// The next hop (or the lack of an extension it would need) refused it for good: 5xx.
    Refused(Answer),
    /// Not now: 4xx, no connection, lost before the final dot, unexpected reply.
    Deferred(Answer),
    /// The connection was lost after the final dot and before the answer.
    InDoubt(Answer),
}

/// What became of a copy: one fate per recipient, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// In the order of the copy's recipients.
    pub fates: Vec<Fate>,
    /// The next hop, as `host:port` or `directory var/outbox`.
    pub next_hop: String,
    /// TLS version, when there was TLS.
    pub tls: Option<String>,
}

/// What the next hop can do, as far as it is known: shapes our EHLO and the edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// 8BITMIME.
    pub eight_bit: bool,
    /// SMTPUTF8.
    pub smtputf8: bool,
    /// SIZE limit in octets, when one was announced.
    pub size: Option<u64>,
}

/// Reads the spool. Implemented by the store; writes go through `ledger::Scribe` as `Side`s.
pub trait SpoolView: Send + Sync + std::fmt::Debug {
    /// Up to `limit` waiting copies that are due at `now`, the longest due first.
    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<CopyId>, Unavailable>;
    /// When the next waiting copy is due; `None` when none waits.
    fn next_due(&self) -> Result<Option<Timestamp>, Unavailable>;
    /// One copy with its exact bytes; `None` when it is no longer there.
    fn load(&self, copy: CopyId) -> Result<Option<(Spooled, Rope)>, Unavailable>;
    /// Up to `limit` copies in order of id, after `after`: for listings.
    fn list(&self, after: Option<CopyId>, limit: usize) -> Result<Vec<Spooled>, Unavailable>;
    /// How many copies there are.
    fn count(&self) -> Result<u64, Unavailable>;
}

/// A handle on the next hop; clones share its connections.
#[derive(Debug, Clone)]
pub struct Relay;

impl Relay {
    /// What the next hop can do, as last seen.
    pub fn abilities(&self) -> Abilities {
        unimplemented!("room relay")
    }

    /// Its name in entries and logs.
    pub fn name(&self) -> &str {
        unimplemented!("room relay")
    }

    /// Send one copy in one transaction. Never fails: what went wrong is in the fates.
    pub async fn deliver(&self, _copy: &Copy) -> Delivery {
        unimplemented!("room relay")
    }
}

/// The spool: tries waiting copies, on time and within the limits.
#[derive(Debug, Clone)]
pub struct Spool;
