//! Messages: where their parts are, and edits as splices over the original bytes.
//!
//! A [`Message`] keeps the bytes it was made from and knows the offsets of headers and parts. [`compose`]
//! makes one copy as a [`Rope`]: ranges of the shared original with our pieces between them, complete in
//! memory before anything is sent (promise 3), with every byte we did not mean to change unchanged
//! (promise 4), signed last. Pure: no IO, no clock, no randomness of its own. Deliberately absent: any
//! decision whether the message may go.

mod compose;
mod rope;

pub use compose::{Brief, ComposeError, Composed, Signer, SigningKey, Unsubscribe, compose};
pub use rope::{Piece, Rope};

use bytes::Bytes;

use crate::mail::Address;

/// Bounds on structure (promise 10); beyond them marketing is refused and the rest passes unedited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Nesting of multiparts.
    pub depth: usize,
    /// Parts in all.
    pub parts: usize,
    /// Header fields in all.
    pub headers: usize,
    /// Octets of one header block.
    pub header_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 16, parts: 512, headers: 2_000, header_bytes: 256 * 1024 }
    }
}

/// A parsed message: the original bytes, and where everything is.
#[derive(Debug, Clone)]
pub struct Message {
    original: Bytes,
}

/// The mailbox in a From header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromMailbox {
    /// Display name, encoded words decoded; `None` when there is none.
    pub name: Option<String>,
    /// The address.
    pub address: Address,
}

impl Message {
    /// Index `original`. Never fails: what cannot be understood shows in the answers of the other
    /// methods and in [`compose`].
    pub fn parse(original: Bytes, _limits: &Limits) -> Self {
        Self { original }
    }

    /// The bytes as the client gave them.
    pub fn original(&self) -> &Bytes {
        &self.original
    }

    /// The From mailbox, when there is exactly one From field with exactly one mailbox.
    pub fn from(&self) -> Option<FromMailbox> {
        unimplemented!("room message")
    }

    /// All header fields in order: lower-case name and unfolded value, encoded words decoded.
    pub fn headers(&self) -> Vec<(String, String)> {
        unimplemented!("room message")
    }

    /// The Message-ID with its angle brackets, when there is exactly one.
    pub fn message_id(&self) -> Option<String> {
        unimplemented!("room message")
    }

    /// The List-Id between its angle brackets, lower-case.
    pub fn list_id(&self) -> Option<String> {
        unimplemented!("room message")
    }

    /// The tool that made it: User-Agent, else X-Mailer.
    pub fn tool(&self) -> Option<String> {
        unimplemented!("room message")
    }

    /// The mailboxes in To and Cc that can be read.
    pub fn visible_recipients(&self) -> Vec<Address> {
        unimplemented!("room message")
    }

    /// Whether it is a DSN, an MDN or an automatic reply by its own headers (RULES P9, P13): a
    /// `multipart/report`, or `Auto-Submitted` other than `no`.
    pub fn is_automatic(&self) -> bool {
        unimplemented!("room message")
    }

    /// Received fields: for the loop limit (RFC 5321 6.3).
    pub fn received_count(&self) -> usize {
        unimplemented!("room message")
    }

    /// Whether the header has octets over 127, so that it needs SMTPUTF8 (RFC 6532).
    pub fn has_utf8_headers(&self) -> bool {
        unimplemented!("room message")
    }

    /// Whether it has octets over 127 anywhere.
    pub fn has_eight_bit(&self) -> bool {
        !self.original.is_ascii()
    }

    /// The tool's own one-click link: the https URI of List-Unsubscribe, when List-Unsubscribe-Post is
    /// there too (RULES P8).
    pub fn one_click_link(&self) -> Option<String> {
        unimplemented!("room message")
    }
}
