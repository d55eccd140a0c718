//! The words of mail: addresses, domains, envelopes, senders, classes, ids, and how hashes are spelled.
//!
//! Parsing is the only constructor: a value of these types is well-formed for as long as it lives.
//! An [`Address`] keeps the spelling the client used (RFC 5321 2.3.11: only the receiving host may
//! interpret a local part); its [`AddressKey`] is the one form under which the registers know the
//! mailbox (RULES L17). No IO, no clock.

mod address;
mod domain;
mod envelope;
mod hash;
mod id;
mod line;
mod sender;
mod xtext;

pub use address::{Address, AddressError, AddressKey};
pub use domain::{Domain, DomainError};
pub use envelope::{Body, Envelope, Notify, OriginalRecipient, Recipient, Ret, ReversePath};
pub use hash::{hash, hex, sha256, unhex};
pub use id::{CopyId, IdError, Reference, SessionId, TokenId};
pub use line::{one_line, one_line_within};
pub use sender::{Class, Language, Purpose, Sender, SenderId};
pub use xtext::{utf8_addr_xtext, xtext_decoded};
