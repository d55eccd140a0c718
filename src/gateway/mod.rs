//! The journey of one message (DESIGN section 3): index, classify, gather, decide, compose, record,
//! relay, record, reply.
//!
//! [`Gateway::screen`] answers RCPT when no message could change the answer; [`Gateway::admit`] is the
//! whole way, top to bottom. The reply it gives is the only thing the client learns: 250 means that the
//! next hop has it or that it is durable in the spool (promise 2).

use bytes::Bytes;

use crate::mail::{Address, Envelope, ReversePath, SessionId};
use crate::policy::Connection;
use crate::relay::Abilities;
use crate::smtp::reply::Reply;

/// Who hands messages over in one SMTP session.
#[derive(Debug, Clone)]
pub struct Client {
    /// The session.
    pub session: SessionId,
    /// Address, account, and the senders the account is bound to.
    pub connection: Connection,
    /// What it said in EHLO or HELO.
    pub helo: String,
    /// `ESMTPSA` and the like (RFC 3848), for Received.
    pub protocol: &'static str,
    /// TLS version, when there is TLS.
    pub tls: Option<String>,
}

/// A message with its envelope, read to its true end.
#[derive(Debug)]
pub struct Submission {
    /// Who.
    pub client: Client,
    /// From whom, to whom.
    pub envelope: Envelope,
    /// The message, dots unstuffed, lines ending in CRLF.
    pub message: Bytes,
}

/// The journey; clones share everything.
#[derive(Debug, Clone)]
pub struct Gateway;

impl Gateway {
    /// What the next hop can do: EHLO offers no more (RULES P5).
    pub fn abilities(&self) -> Abilities {
        unimplemented!("room gateway")
    }

    /// Answer RCPT: `Err` with the refusal when no message could change the answer.
    pub async fn screen(
        &self,
        _client: &Client,
        _reverse_path: &ReversePath,
        _recipient: &Address,
    ) -> Result<(), Reply> {
        unimplemented!("room gateway")
    }

    /// Take a message; the reply answers the final dot. Must be awaited to its end: the caller runs it
    /// detached from the client's connection.
    pub async fn admit(&self, _submission: Submission) -> Reply {
        unimplemented!("room gateway")
    }
}
