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
pub mod notice;
mod pool;
mod settings;
mod spool;

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::ledger::Spooled;
use crate::mail::{CopyId, Notify, OriginalRecipient, Ret, ReversePath};
use crate::message::Rope;
use crate::net::tls::TlsError;
use crate::policy::{Permit, Unavailable};

pub use failure::{Failure, Phase};
pub use settings::{
    Credentials, InDoubt, NextHop, PoolSettings, Settings, SmtpHop, SpoolSettings, Timeouts, TlsMode,
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

impl Answer {
    pub(crate) fn new(code: u16, enhanced: &str, text: impl Into<String>) -> Self {
        Self { code, enhanced: Some(enhanced.to_owned()), text: text.into() }
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
}

impl Fate {
    /// The words that go with it.
    pub fn answer(&self) -> &Answer {
        match self {
            Self::Relayed(answer)
            | Self::Refused(answer)
            | Self::Deferred(answer)
            | Self::InDoubt(answer) => answer,
        }
    }
}

/// What became of a copy: one fate per recipient, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// In the order of the copy's recipients.
    pub fates: Vec<Fate>,
    /// The next hop, as `host:port` or `directory var/outbox`.
    pub next_hop: String,
    /// TLS version and certificate, when there was TLS: `TLSv1.3 sha256=<hex>`.
    pub tls: Option<String>,
    /// The next hop could not be used at all (no connection, no TLS, no sign-in, no free connection): no
    /// command about this copy was answered, and any other copy would have fared the same.
    pub down: bool,
    /// Whether the next hop promised to send the DSNs that were asked for (RFC 3461); if not, a `relayed`
    /// DSN is ours to send.
    pub dsn_passed_on: bool,
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
pub struct Relay {
    hop: Arc<Hop>,
}

#[derive(Debug)]
enum Hop {
    Directory(directory::Directory),
    Smtp(pool::Pool),
}

impl Relay {
    /// Make ready; connects to nothing yet. Fails when certificates cannot be read.
    pub fn new(settings: Settings) -> Result<Self, TlsError> {
        let hop = match settings.next_hop {
            NextHop::Directory(folder) => Hop::Directory(directory::Directory::new(folder)),
            NextHop::Smtp(smtp) => {
                Hop::Smtp(pool::Pool::new(smtp, settings.helo, settings.timeouts, settings.pool)?)
            }
        };
        Ok(Self { hop: Arc::new(hop) })
    }

    /// Connect once and learn what the next hop can do; the connection is kept. Until this or a delivery
    /// has succeeded, [`Relay::abilities`] claims nothing. Fails with our own
    /// words when it is down; takes no longer than a connect may.
    pub async fn probe(&self) -> Result<Abilities, Answer> {
        match &*self.hop {
            Hop::Directory(_) => {}
            Hop::Smtp(pool) => pool.probe().await.map_err(|failure| failure.answer())?,
        }
        Ok(self.abilities())
    }

    /// What the next hop can do, as last seen.
    pub fn abilities(&self) -> Abilities {
        match &*self.hop {
            Hop::Directory(_) => Abilities { eight_bit: true, smtputf8: true, size: None },
            Hop::Smtp(pool) => pool.abilities(),
        }
    }

    /// Its name in entries and logs.
    pub fn name(&self) -> &str {
        match &*self.hop {
            Hop::Directory(directory) => directory.name(),
            Hop::Smtp(pool) => pool.name(),
        }
    }

    /// Send one copy in one transaction. Never fails: what went wrong is in the fates.
    pub async fn deliver(&self, copy: &Copy) -> Delivery {
        match &*self.hop {
            Hop::Directory(directory) => directory.deliver(copy).await,
            Hop::Smtp(pool) => pool.deliver(copy).await,
        }
    }

    /// How many copies it takes at once.
    pub(crate) fn connections(&self) -> usize {
        match &*self.hop {
            Hop::Directory(_) => 8,
            Hop::Smtp(pool) => pool.connections(),
        }
    }

    /// Say QUIT on the connections that are idle.
    pub async fn close(&self) {
        match &*self.hop {
            Hop::Directory(_) => {}
            Hop::Smtp(pool) => pool.close().await,
        }
    }
}
