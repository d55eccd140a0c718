//! Submission: the listeners that take messages, and the IO around a session (RULES P1 to P5).
//!
//! [`run`] accepts connections and gives each to [`serve`], which reads lines, asks
//! [`crate::smtp::session`] what to do, and does it: hands recipients to [`Journey::screen`], reads a
//! message to its true end, hands it to [`Journey::admit`], and sends what that says. The journey of a
//! message runs detached from the connection: a client that hangs up does not cancel it.
//!
//! Everything is bounded: lines, buffers, messages (by size and by the shared memory budget), waits.
//! When a stop is requested, idle sessions get 421 and a session in a transaction may finish it.
//! Deliberately absent: the grammar (`smtp/`) and every opinion on whether mail may go (the journey).

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::gateway::{Client, Gateway, Submission};
use crate::limits::Limits;
use crate::mail::{Address, ReversePath, SenderId};
use crate::relay::{Abilities, Login};
use crate::secret::SharedEntropy;
use crate::smtp::reply::Reply;
use crate::smtp::sasl::{Credentials, Mechanism};
use crate::smtp::session::Tolerance;

mod accounts;
mod body;
mod connection;
mod listener;
mod wire;

pub use accounts::{Account, Accounts, BadHash, CheckError, hash_password};
pub use connection::serve;
pub use listener::run;

/// The way of a message, as a session sees it; [`Gateway`] is the one that counts.
pub trait Journey: Clone + Send + Sync + 'static {
    /// What the next hop can do: EHLO offers no more (RULES P5).
    fn abilities(&self) -> Abilities;

    /// The ways to sign in at the next hop that can be passed on.
    fn mechanisms(&self) -> Vec<Mechanism> {
        Vec::new()
    }

    /// Sign a client in with its account at the next hop; `Err` is what it is told.
    fn sign_in(&self, credentials: Credentials) -> impl Future<Output = Result<Login, Reply>> + Send {
        drop(credentials);
        async { Err(Reply::sign_in_unavailable("nobody to pass it on to")) }
    }

    /// Answer RCPT: `Err` with the refusal when no message could change the answer.
    fn screen(
        &self,
        client: &Client,
        reverse_path: &ReversePath,
        recipient: &Address,
    ) -> impl Future<Output = Result<(), Reply>> + Send;

    /// Take a message; the reply answers the final dot. Always awaited to its end.
    fn admit(&self, submission: Submission) -> impl Future<Output = Reply> + Send;
}

impl Journey for Gateway {
    fn abilities(&self) -> Abilities {
        Gateway::abilities(self)
    }

    fn mechanisms(&self) -> Vec<Mechanism> {
        Gateway::mechanisms(self)
    }

    async fn sign_in(&self, credentials: Credentials) -> Result<Login, Reply> {
        Gateway::sign_in(self, credentials).await
    }

    async fn screen(
        &self,
        client: &Client,
        reverse_path: &ReversePath,
        recipient: &Address,
    ) -> Result<(), Reply> {
        Gateway::screen(self, client, reverse_path, recipient).await
    }

    async fn admit(&self, submission: Submission) -> Reply {
        Gateway::admit(self, submission).await
    }
}

/// How one listener treats its clients. A reload sends a new value; sessions that are open keep the
/// one they began with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The listener's name in logs and metrics.
    pub name: String,
    /// Our host name in greeting and EHLO.
    pub hostname: String,
    /// Whether it speaks LMTP (RFC 2033), without CHUNKING.
    pub lmtp: bool,
    /// TLS on this listener.
    pub tls: Tls,
    /// The accounts to sign in to; `None` when there are none, and AUTH is not offered.
    pub accounts: Option<Arc<Accounts>>,
    /// Clients sign in with their accounts at the next hop, and not to `accounts` (RULES P4).
    pub pass_through: bool,
    /// Whether a client on a loopback address may sign in without TLS (RULES P3).
    pub loopback_auth_without_tls: bool,
    /// Networks whose clients need no sign-in.
    pub trusted: Vec<IpNet>,
    /// The senders that clients without a sign-in may send for; empty means any.
    pub trusted_senders: Vec<SenderId>,
    /// Largest message in octets; EHLO offers less when the next hop takes less.
    pub size_limit: u64,
    /// Octets kept free for what the edits add, when the next hop has a limit (RULES P5).
    pub edit_room: u64,
    /// Most recipients of one message; at least 100 (RFC 5321 4.5.3.1.8).
    pub recipients: usize,
    /// What a session may do before it is sent away.
    pub tolerance: Tolerance,
    /// Whether bare CR and LF are made CRLF before anything is parsed (RULES P1). Has effect only for
    /// clients that have to sign in; such a session is offered no CHUNKING, whose octet counts would
    /// no longer fit.
    pub normalise_bare_lf: bool,
    /// Waits.
    pub timeouts: Timeouts,
    /// The counters that all listeners share.
    pub limits: Limits,
    /// Where session ids come from.
    pub entropy: SharedEntropy,
}

/// TLS on a listener. A renewed certificate is a new value.
#[derive(Debug, Clone)]
pub enum Tls {
    /// None to be had.
    None,
    /// STARTTLS (RFC 3207).
    StartTls(Arc<rustls::ServerConfig>),
    /// From the first octet (RFC 8314).
    Implicit(Arc<rustls::ServerConfig>),
}

/// How long a session waits for what (RFC 5321 4.5.3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// For the next command, whole: a line that comes octet by octet gets no more. RFC 5321 asks for at least
    /// 5 minutes.
    pub command: Duration,
    /// For the next octets of a message; at least 3 minutes.
    pub data_block: Duration,
    /// For a whole message, so that a client cannot hold one for ever octet by octet.
    pub message: Duration,
    /// Octets of a message in a second, on average over the time that was spent waiting for them, once that is
    /// longer than `data_block`; 0 for as slow as it likes.
    pub data_rate: u64,
    /// For a client to take a reply.
    pub write: Duration,
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For the answer about a recipient; then the client gets 451.
    pub screen: Duration,
    /// Before a failed sign-in is answered; grows with each failure in a session.
    pub sign_in_failure: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            command: Duration::from_secs(5 * 60),
            data_block: Duration::from_secs(3 * 60),
            message: Duration::from_secs(60 * 60),
            data_rate: 1 << 10,
            write: Duration::from_secs(2 * 60),
            handshake: Duration::from_secs(30),
            screen: Duration::from_secs(60),
            sign_in_failure: Duration::from_secs(1),
        }
    }
}

impl Settings {
    /// Whether clients at `ip` need no sign-in.
    fn trusts(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.trusted.iter().any(|network| network.contains(&ip))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    /// The octets of the future that a function makes.
    fn size_of_made<A, B, C, D, E, F>(_: fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn promise_10_a_session_that_waits_holds_nothing_of_what_a_message_needs() {
        let octets = size_of_made(serve::<TcpStream, Gateway>);
        assert!(octets <= 6 << 10, "the task of a session has {octets} octets");
    }
}
