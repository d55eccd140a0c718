//! The envelope of a message (RFC 5321 2.3.1) with its DSN wishes (RFC 3461).

use serde::{Deserialize, Serialize};

use super::Address;
use super::xtext::{utf8_addr_xtext, xtext_decoded};

/// Where a bounce goes: nowhere, or to an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReversePath {
    /// `<>`: bounces and automatic replies; never answered with a DSN (RULES P13).
    Null,
    /// A mailbox.
    Address(Address),
}

impl ReversePath {
    /// The address, unless it is the null path.
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Address(address) => Some(address),
        }
    }
}

impl std::fmt::Display for ReversePath {
    /// Without angle brackets; empty for the null path.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// The `BODY=` parameter of MAIL (RFC 6152).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Body {
    /// `7BIT`, or not given.
    #[default]
    SevenBit,
    /// `8BITMIME`.
    EightBitMime,
}

/// How much of the message a DSN returns (RFC 3461 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ret {
    /// The whole message.
    Full,
    /// The headers only.
    Headers,
}

/// When the sender wants a DSN for this recipient (RFC 3461 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// On final failure.
    pub failure: bool,
    /// On delivery.
    pub success: bool,
    /// On delay.
    pub delay: bool,
}

impl Notify {
    /// `NOTIFY=NEVER`.
    pub const NEVER: Self = Self { failure: false, success: false, delay: false };
}

/// The `ORCPT=` parameter (RFC 3461 4.2), kept as it came: `rfc822;bob@example.org`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginalRecipient(pub String);

/// Longest ORCPT in octets (RFC 3461 4.2).
const MAX_ORCPT: usize = 500;

impl OriginalRecipient {
    /// The type of the address, and the address with its xtext decoded.
    pub fn decoded(&self) -> (&str, String) {
        let (kind, address) = self.0.split_once(';').unwrap_or(("rfc822", &self.0));
        (kind, xtext_decoded(address))
    }

    /// As a parameter that every server can take: `rfc822;` in xtext (RFC 3461 4), and what is not ASCII as
    /// `utf-8;` with `\x{..}` (utf-8-addr-xtext, RFC 6533 3), whatever form the client chose. `None` when it would
    /// be longer than a parameter may be.
    pub fn parameter(&self) -> Option<String> {
        let (kind, address) = self.decoded();
        let is_utf8 = kind.eq_ignore_ascii_case("utf-8") || !address.is_ascii();
        let text = if is_utf8 {
            format!("utf-8;{}", utf8_addr_xtext(&address))
        } else {
            let mut text = format!("{kind};");
            for byte in address.bytes() {
                match byte {
                    b'+' | b'=' => text.push_str(&format!("+{byte:02X}")),
                    byte if byte.is_ascii_graphic() => text.push(char::from(byte)),
                    byte => text.push_str(&format!("+{byte:02X}")),
                }
            }
            text
        };
        (text.len() <= MAX_ORCPT).then_some(text)
    }
}

/// One recipient and what the client asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The mailbox.
    pub address: Address,
    /// When to send a DSN; `None` when the client did not say (failure and delay, RFC 3461 4.1).
    pub notify: Option<Notify>,
    /// The original recipient, to be repeated in a DSN.
    pub orcpt: Option<OriginalRecipient>,
}

impl Recipient {
    /// A recipient without DSN wishes.
    pub fn new(address: Address) -> Self {
        Self { address, notify: None, orcpt: None }
    }

    /// Whether a DSN is due when delivery takes long: only when it was asked for.
    pub fn wants_delay_dsn(&self) -> bool {
        self.notify.is_some_and(|notify| notify.delay)
    }

    /// Whether a DSN is due when delivery fails for good.
    pub fn wants_failure_dsn(&self) -> bool {
        self.notify.is_none_or(|notify| notify.failure)
    }
}

/// Who it is from and whom it goes to. Made by MAIL, filled by RCPT, moved out by DATA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The MAIL FROM path.
    pub reverse_path: ReversePath,
    /// The recipients that were accepted, in order; duplicates are kept as they came.
    pub recipients: Vec<Recipient>,
    /// `BODY=`.
    pub body: Body,
    /// Whether `SMTPUTF8` was given (RFC 6531).
    pub smtputf8: bool,
    /// The `SIZE=` the client announced, in octets.
    pub size: Option<u64>,
    /// `RET=`.
    pub ret: Option<Ret>,
    /// `ENVID=`, xtext decoded is not needed: kept as it came.
    pub envid: Option<String>,
}
