//! What the relay is told: plain values, each with its default.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::mx::MxHop;
use crate::mail::{Address, SenderId};
use crate::message;
use crate::net::socks::Proxy;
use crate::net::tls::Identity;
use crate::secret::Secret;

/// One next hop, and how copies reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What the config calls it.
    pub label: String,
    /// Where they go.
    pub next_hop: NextHop,
    /// What we call ourselves in EHLO: the gateway's host name.
    pub helo: String,
    /// How long each phase may last.
    pub timeouts: Timeouts,
    /// Connections and how they are reused.
    pub pool: PoolSettings,
    /// Its clients sign in with accounts that they have there. Copies of an account go over connections of
    /// their own, and what has no account goes with the credentials of [`SmtpHop`], or not at all.
    pub pass_through: bool,
}

impl Settings {
    /// The defaults, for this next hop and host name.
    pub fn new(next_hop: NextHop, helo: impl Into<String>) -> Self {
        Self {
            label: "relay".to_owned(),
            next_hop,
            helo: helo.into(),
            timeouts: Timeouts::default(),
            pool: PoolSettings::default(),
            pass_through: false,
        }
    }
}

/// Who uses which next hops: positions in the list of them, in order of preference. The rule that decided
/// comes before the account, and the account before the sender.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    /// By name of the rule.
    pub rules: HashMap<String, Vec<usize>>,
    /// By account.
    pub accounts: HashMap<String, Vec<usize>>,
    /// By sender.
    pub senders: HashMap<SenderId, Vec<usize>>,
    /// Everything else.
    pub default: Vec<usize>,
}

/// What the choice of next hops depends on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Handed<'a> {
    /// The rule that decided.
    pub rule: Option<&'a str>,
    /// The account that handed the message over.
    pub account: Option<&'a str>,
    /// Whom it is sent for.
    pub sender: Option<&'a SenderId>,
}

/// Where copies go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextHop {
    /// Each copy becomes `<copy>.eml`, with `<copy>.json` (its envelope) beside it, in this folder.
    Directory(PathBuf),
    /// An SMTP server.
    Smtp(SmtpHop),
    /// The servers of each recipient's own domain.
    Mx(MxHop),
}

/// An SMTP server and how to talk to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpHop {
    /// Host name or IP address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How TLS starts.
    pub tls: TlsMode,
    /// The name its certificate must have; `None`: `host`.
    pub tls_name: Option<String>,
    /// Whose certificates are believed.
    pub trust: crate::net::tls::Trust,
    /// The certificate that we show it, when it asks for one.
    pub identity: Option<Identity>,
    /// What we sign in with; sent under TLS only, or to a loopback address.
    pub credentials: Option<Credentials>,
    /// The SOCKS5 proxy on the way there.
    pub proxy: Option<Proxy>,
}

impl SmtpHop {
    /// `host` with STARTTLS, the system's certificates, and nothing else.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            tls: TlsMode::StartTls,
            tls_name: None,
            trust: crate::net::tls::Trust::System,
            identity: None,
            credentials: None,
            proxy: None,
        }
    }
}

/// How TLS starts at the next hop. Only [`TlsMode::Opportunistic`] may end in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Not at all.
    None,
    /// RFC 3207; a next hop that does not offer it gets nothing.
    StartTls,
    /// RFC 8314, from the first byte.
    Implicit,
    /// RFC 7435: RFC 3207 where it is offered and works, else in the clear. For the servers of recipients.
    Opportunistic,
}

/// A user name and a password. Its `Debug` shows no password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
}

/// Bounds in time (RFC 5321 4.5.3.2), each for the whole of its phase: a peer that sends one byte at a
/// time gains nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Resolve, TCP connect and TLS handshake, each (default 30 s).
    pub connect: Duration,
    /// The greeting, and the reply to EHLO, STARTTLS, AUTH, MAIL and RCPT (default 5 min).
    pub command: Duration,
    /// The reply to DATA (default 2 min).
    pub data_start: Duration,
    /// Writing one block of at most 64 KiB of the message (default 3 min).
    pub data_block: Duration,
    /// The reply to the end of the message (default 10 min).
    pub data_end: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            command: Duration::from_secs(5 * 60),
            data_start: Duration::from_secs(2 * 60),
            data_block: Duration::from_secs(3 * 60),
            data_end: Duration::from_secs(10 * 60),
        }
    }
}

/// Connections to the next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSettings {
    /// At most this many at once (default 20).
    pub connections: usize,
    /// At most this many messages over one (default 100).
    pub messages: usize,
    /// At most this many messages in a minute, spread over it (default: as many as there are).
    pub per_minute: Option<NonZeroU32>,
    /// An idle one is closed after this long (default 30 s).
    pub idle: Duration,
    /// How long a copy waits for a free one, or for its turn in the minute, before it is deferred (default
    /// 60 s).
    pub wait: Duration,
    /// After a failed connect nobody tries another for this long: all are told the same at once, so that
    /// a next hop that is down costs one connect timeout and not one per copy (default 1 s). Copies that
    /// wait in the spool, or have another next hop to go to, leave it alone for twice as long after each
    /// further failure, up to 64 times.
    pub pause: Duration,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            connections: 20,
            messages: 100,
            per_minute: None,
            idle: Duration::from_secs(30),
            wait: Duration::from_secs(60),
            pause: Duration::from_secs(1),
        }
    }
}

/// How waiting copies are tried again.
#[derive(Debug, Clone)]
pub struct SpoolSettings {
    /// Waits between tries; the last one repeats (default 1, 5, 15, 30 min, 1, 2, 4 h).
    pub retry: Vec<Duration>,
    /// Each wait is lengthened by up to this share of it, at random, so that copies which failed together
    /// do not come back together (default 0.25).
    pub jitter: f64,
    /// After so long a copy is late: its sender gets a DSN if it asked for that (`NOTIFY=DELAY`; default 4 h).
    pub delay_notice: Duration,
    /// When a copy that the gateway makes itself (DSN, notice) is given up (default 5 days).
    pub expire_after: Duration,
    /// What happens to a copy whose answer was lost after the end of the message (default retry).
    pub in_doubt: InDoubt,
    /// Copies tried at once in the background (default 10).
    pub concurrency: usize,
    /// First pause of the worker when the store cannot be used; it doubles (default 5 s).
    pub first_pause: Duration,
    /// Longest pause of the worker (default 5 min).
    pub longest_pause: Duration,
    /// Host name of the gateway: `Reporting-MTA`, and the right side of Message-IDs.
    pub hostname: String,
    /// From address of DSNs and notices.
    pub postmaster: Address,
    /// A DSN returns the whole message (`RET=FULL`) up to this many octets, else its header (default 1 MiB).
    pub dsn_full: usize,
    /// Bounds on the structure of a message, for a look at what a DSN is about.
    pub structure: message::Limits,
}

impl SpoolSettings {
    /// The defaults, for this host name and postmaster.
    pub fn new(hostname: impl Into<String>, postmaster: Address) -> Self {
        const MINUTE: u64 = 60;
        Self {
            retry: [1, 5, 15, 30, 60, 120, 240].map(|m| Duration::from_secs(m * MINUTE)).to_vec(),
            jitter: 0.25,
            delay_notice: Duration::from_secs(4 * 60 * MINUTE),
            expire_after: Duration::from_secs(5 * 24 * 60 * MINUTE),
            in_doubt: InDoubt::Retry,
            concurrency: 10,
            first_pause: Duration::from_secs(5),
            longest_pause: Duration::from_secs(5 * MINUTE),
            hostname: hostname.into(),
            postmaster,
            dsn_full: 1 << 20,
            structure: message::Limits::default(),
        }
    }
}

/// What happens to a spooled copy that may or may not have gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InDoubt {
    /// Try again, with the same Message-ID.
    #[default]
    Retry,
    /// Keep it for an administrator.
    Hold,
}
