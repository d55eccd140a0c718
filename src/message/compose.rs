//! One copy, as one recipient gets it.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Message, Rope};
use crate::mail::{Class, Purpose, Sender};

/// What a copy is to carry. Everything variable comes in here; nothing is looked up.
#[derive(Clone)]
pub struct Brief<'a> {
    /// What it is: marketing gets everything, service the identity footer, personal and system only the
    /// trace header (and Received).
    pub class: Class,
    /// Whom it is sent for.
    pub sender: Option<&'a Sender>,
    /// What it is about.
    pub purpose: Option<&'a Purpose>,
    /// The way out for this recipient; always there for marketing.
    pub unsubscribe: Option<&'a Unsubscribe>,
    /// Value of the `Sluis-Trace` header: our reference and copy, sealed as the gateway likes.
    pub trace: &'a str,
    /// Value of the `Received` header, already folded at CRLF SP; `None` adds none.
    pub received: Option<&'a str>,
    /// Added as Message-ID when there is none (RULES P2), with angle brackets.
    pub message_id: &'a str,
    /// Added as Date when there is none (RULES P2).
    pub now: Timestamp,
    /// Whether the next hop takes 8BITMIME; if not, edited parts and headers stay 7-bit and an 8-bit
    /// message is recoded (RULES P5).
    pub next_hop_8bit: bool,
    /// Recognises, in an earlier footer's link, a token of ours (RULES P12: authenticated, never by text),
    /// so that running twice adds nothing.
    pub is_ours: &'a (dyn Fn(&str) -> bool + Sync),
}

/// The opt-out of one copy (RULES L8, P7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The https link with the token.
    pub url: String,
    /// The mailto link, `mailto:` included.
    pub mailto: Option<String>,
    /// List-Id between its angle brackets, stable per purpose (RULES P10).
    pub list_id: String,
}

/// A key that signs (RULES P11).
pub struct Signer {
    /// `d=`.
    pub domain: String,
    /// `s=`.
    pub selector: String,
    /// The key.
    pub key: SigningKey,
}

/// A DKIM key, ready to sign.
pub enum SigningKey {
    /// rsa-sha256.
    Rsa(Arc<mail_auth::common::crypto::RsaKey<mail_auth::common::crypto::Sha256>>),
    /// ed25519-sha256.
    Ed25519(Arc<mail_auth::common::crypto::Ed25519Key>),
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({}._domainkey.{})", self.selector, self.domain)
    }
}

/// A finished copy.
#[derive(Debug, Clone)]
pub struct Composed {
    /// Its exact bytes.
    pub rope: Rope,
    /// What was edited, in words, for the ledger.
    pub edits: Vec<String>,
    /// `selector._domainkey.domain` of each signature made.
    pub dkim: Vec<String>,
    /// Message-ID as sent.
    pub message_id: Option<String>,
    /// Whether it has octets over 127.
    pub eight_bit: bool,
}

/// Why there is no copy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// RULES L7: not the sender's name, domain or a working Reply-To. Becomes 550 5.7.1.
    #[error("{0}")]
    Identity(String),
    /// RULES L8: an opt-out cannot be put in safely. Becomes 550 5.7.1.
    #[error("{0}")]
    NoOptOut(String),
    /// RULES P1, P12: the message is broken in a way that makes an edit unsafe. Becomes 550 5.6.0.
    #[error("{0}")]
    Malformed(String),
    /// Something failed on our side (a key that does not sign). Becomes 451 (promise 3).
    #[error("{0}")]
    Failed(String),
}

/// Make the copy that `brief` asks for. Pure; complete before it returns (promise 3).
pub fn compose(
    _message: &Message,
    _brief: &Brief<'_>,
    _signers: &[Signer],
) -> Result<Composed, ComposeError> {
    unimplemented!("room message")
}
