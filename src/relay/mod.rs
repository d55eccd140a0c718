//! The relay: one copy to the next hop, what became of it, and the spool of what still waits.
//!
//! [`Relay::deliver`] takes a [`Copy`], whose recipients are [`Permit`]s: nothing is sent without one.
//! What the next hop says is kept word for word; an unexpected 2xx or 3xx becomes our own 451 (RULES
//! P15). [`Spool`] tries waiting copies again, asks for their permits again before each try, and records
//! what became of them. [`dsn`] tells senders of failures, and [`notice`] puts any message of our own into
//! the spool in the same commit as the fact that caused it. Deliberately absent: the first decision (the
//! gateway's) and the disk (the store implements [`SpoolView`]).

mod client;
mod directory;
pub mod dsn;
mod failure;
mod hops;
mod login;
mod mx;
pub mod notice;
mod pool;
mod rate;
mod settings;
mod spool;

use std::fmt;

use jiff::Timestamp;

use crate::ledger::{Event, News, Record, Returned, Spooled};
use crate::mail::{Address, Class, CopyId, Notify, OriginalRecipient, Recipient, Ret, ReversePath, SenderId};
use crate::message::Rope;
use crate::policy::{Permit, Unavailable};
use crate::suppression::says_no_mailbox;

pub use failure::{Failure, Phase};
pub use hops::{HopStatus, Relay, Returns, Route};
pub use login::{Login, NotSignedIn};
pub use mx::{Asked, Internet, IpVersions, MxHop, Online, Web, World};
pub use settings::{
    Credentials, Handed, InDoubt, NextHop, PoolSettings, Routes, Settings, SmtpHop, SpoolSettings, Timeouts,
    TlsMode,
};
pub use spool::{FirstTry, Flight, Parts, Spool};

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
    /// The next hops it may go to.
    pub route: Route,
    /// The client's own account there.
    pub login: Option<Login>,
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

impl CopyRecipient {
    /// The recipient that `permit` lets go, with the wishes of `recipient`.
    pub fn new(permit: Permit, recipient: &Recipient) -> Self {
        Self { permit, notify: recipient.notify, orcpt: recipient.orcpt.clone() }
    }
}

/// Why a copy may not go after all: asked when its connection is there, before its first byte leaves
/// (promise 6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// Its permit is gone, for this reason.
    Refused(String),
    /// It cannot be decided now (promise 5), for this reason.
    Undecided(String),
}

/// The entry that blocks a mailbox, when the next hop itself said that there is none (RULES P14). Only about its
/// recipient, and only for marketing: other mail goes on being tried.
pub fn blocked_by(
    answer: &Answer,
    class: Class,
    sender: Option<&SenderId>,
    copy: CopyId,
    recipient: &Address,
) -> Option<Event> {
    let status = answer.enhanced.as_deref().filter(|status| says_no_mailbox(status))?;
    // These may be about the sender, when the next hop says them at the end of the message.
    if class != Class::Marketing || matches!(status, "5.1.0" | "5.1.2" | "5.1.3") {
        return None;
    }
    Some(Event::Returned(Returned {
        sender: sender?.clone(),
        address: recipient.key().clone(),
        reference: copy.reference,
        status: status.to_owned(),
        copy: Some(copy),
        hard: true,
        blocked: true,
        diagnostic: answer.to_string(),
    }))
}

/// Tells a sender what a try has shown about a recipient (RULES L10). Handed in by `app`, which knows how news is
/// worded and who is owed it.
pub trait Tidings: Send + Sync + fmt::Debug {
    /// Add to `record` what is owed to whom for `news`, which is its entry at `place`; mails go by `spool`.
    fn tell(&self, record: &mut Record, place: usize, news: News<'_>, spool: &Spool);

    /// A record is durable: something may be owed.
    fn recorded(&self);
}

/// Asks for a copy's permits once more.
pub type MayGo<'a> = &'a (dyn Fn() -> Result<(), Held> + Send + Sync);

/// A reply of the next hop, or our own words where there was none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Answer {
    /// Three-digit code.
    pub code: u16,
    /// Enhanced status code, `5.1.1`.
    pub enhanced: Option<String>,
    /// The text, lines joined with a space; without code and enhanced code.
    pub text: String,
}

impl Answer {
    pub(crate) fn new(code: u16, enhanced: &str, text: impl Into<String>) -> Self {
        Self { code, enhanced: Some(enhanced.to_owned()), text: text.into() }
    }

    /// Whether it says that a transaction has too many recipients (RFC 5321 4.5.3.1.10, RFC 3463 3.6). Servers of old
    /// say 552 for it.
    fn is_too_many_recipients(&self) -> bool {
        match self.enhanced.as_deref() {
            Some(status) => matches!(self.code, 452 | 552) && status.ends_with(".5.3"),
            None => self.code == 452,
        }
    }

    /// The enhanced status code, or the plain one of its class (`5.0.0`) when none was given.
    pub fn status(&self) -> String {
        self.enhanced.clone().unwrap_or_else(|| format!("{}.0.0", self.code / 100))
    }
}

impl fmt::Display for Answer {
    /// `550 5.1.1 no such user`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = &self.enhanced {
            write!(f, " {enhanced}")?;
        }
        if self.text.is_empty() { Ok(()) } else { write!(f, " {}", self.text) }
    }
}

/// What became of one recipient of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The next hop has it.
    Relayed(Answer),
    /// The next hop (or the lack of an extension it would need) refused it for good: 5xx.
    Refused(Answer),
    /// Not now: 4xx, no connection, lost before the final dot, unexpected reply. The code may be the next
    /// hop's own 421, which is about its connection: a client is told 451 instead.
    Deferred(Answer),
    /// The connection was lost after the final dot and before the answer.
    InDoubt(Answer),
    /// Its permit was gone before the first byte left: our own refusal (promise 6).
    Cancelled(Answer),
}

impl Fate {
    /// The words that go with it.
    pub fn answer(&self) -> &Answer {
        match self {
            Self::Relayed(answer)
            | Self::Refused(answer)
            | Self::Deferred(answer)
            | Self::InDoubt(answer)
            | Self::Cancelled(answer) => answer,
        }
    }
}

impl From<Held> for Fate {
    fn from(held: Held) -> Self {
        match held {
            Held::Refused(reason) => Self::Cancelled(Answer::new(550, "5.7.1", reason)),
            Held::Undecided(reason) => Self::Deferred(Answer::new(451, "4.3.0", reason)),
        }
    }
}

/// What became of a copy: one fate per recipient, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// In the order of the copy's recipients.
    pub fates: Vec<Fate>,
    /// The next hop, as `host:port` or `directory var/outbox`; `mx example.org` when none of a domain's servers
    /// could be used.
    pub next_hop: String,
    /// TLS version and certificate, when there was TLS: `TLSv1.3 sha256=<hex>`.
    pub tls: Option<String>,
    /// The next hop could not be used at all (no connection, no TLS, no sign-in, no free connection): no
    /// command about this copy was answered, and any other copy would have fared the same (with direct delivery:
    /// any other to the same domain).
    pub down: bool,
    /// It lacks an extension that this copy needs, or takes nothing so large: another one may not.
    pub unable: bool,
    /// Whether the next hop promised to send the DSNs that were asked for (RFC 3461); if not, a `relayed`
    /// DSN is ours to send.
    pub dsn_passed_on: bool,
}

impl Delivery {
    /// Positions of those who were put off for no other reason than that somebody else was taken.
    fn too_many(&self) -> Vec<usize> {
        if !self.fates.iter().any(|fate| matches!(fate, Fate::Relayed(_))) {
            return Vec::new();
        }
        let is_one_too_many = |fate: &Fate| match fate {
            Fate::Deferred(answer) | Fate::Refused(answer) => answer.is_too_many_recipients(),
            Fate::Relayed(_) | Fate::InDoubt(_) | Fate::Cancelled(_) => false,
        };
        (0..self.fates.len()).filter(|&at| is_one_too_many(&self.fates[at])).collect()
    }
}

/// What the next hop can do, as far as it is known: shapes our EHLO and the edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities {
    /// 8BITMIME.
    pub eight_bit: bool,
    /// SMTPUTF8.
    pub smtputf8: bool,
    /// SIZE limit in octets, when one was announced.
    pub size: Option<u64>,
}

impl Abilities {
    /// What both can do.
    pub fn and(self, other: Self) -> Self {
        let size = match (self.size, other.size) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        Self { eight_bit: self.eight_bit && other.eight_bit, smtputf8: self.smtputf8 && other.smtputf8, size }
    }
}

/// Reads the spool. Implemented by the store; writes go through `ledger::Scribe` as `Side`s.
pub trait SpoolView: Send + Sync + std::fmt::Debug {
    /// Up to `limit` waiting copies that are due at `now`, the longest due first.
    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<CopyId>, Unavailable>;
    /// When the next waiting copy is due; `None` when none waits.
    fn next_due(&self) -> Result<Option<Timestamp>, Unavailable>;
    /// One copy without its bytes; `None` when it is no longer there.
    fn find(&self, copy: CopyId) -> Result<Option<Spooled>, Unavailable>;
    /// One copy with its exact bytes; `None` when it is no longer there.
    fn load(&self, copy: CopyId) -> Result<Option<(Spooled, Rope)>, Unavailable>;
    /// Up to `limit` copies in order of id, after `after`: for listings.
    fn list(&self, after: Option<CopyId>, limit: usize) -> Result<Vec<Spooled>, Unavailable>;
    /// How many copies there are.
    fn count(&self) -> Result<u64, Unavailable>;
}
