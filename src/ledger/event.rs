//! The kinds of entry (DESIGN section 5). An entry's payload is the exact bytes of one JSON object.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::consent::{ConsentEvent, Relation};
use crate::mail::{Address, AddressKey, Class, CopyId, Purpose, Reference, SenderId, SessionId, TokenId};
use crate::policy::{Basis, Refusal};
use crate::suppression::Suppression;

/// Position of an entry in its gateway's tree, from 0.
pub type EntryNumber = u64;

/// One entry as it is written: when, by which gateway, what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Version of this format: 1.
    pub v: u32,
    /// When it was recorded, UTC.
    pub at: Timestamp,
    /// Name of the gateway: the origin of its checkpoints.
    pub origin: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The gateway started, or took a new config: the hash of the rules in force.
    ConfigInForce {
        /// SHA-256 (hex) of the rules.
        rules_sha256: String,
        /// `enforce` or `observe`.
        mode: String,
        /// Version of the program.
        version: String,
    },
    /// A consent event was taken into the register.
    Consent(Consented),
    /// A customer relation was taken into the register.
    Relation(Related),
    /// An address was suppressed other than by an unsubscribe.
    Suppression(Suppressed),
    /// A recipient unsubscribed: suppression and withdrawal in one.
    Unsubscribed(Unsubscribed),
    /// A copy may go, and is about to (promise 1).
    Admitted(Box<Admitted>),
    /// Recipients were refused by policy.
    Refused {
        /// Our reference; `None` when refused at RCPT, before there was a message.
        reference: Option<Reference>,
        /// Who handed it over.
        handover: Handover,
        /// MAIL FROM, empty for the null path.
        reverse_path: String,
        /// At RCPT or after DATA.
        stage: Stage,
        /// The Message-ID, when there was a message.
        message_id: Option<String>,
        /// Who, and why.
        recipients: Vec<RefusedRecipient>,
    },
    /// The next hop took it for these recipients.
    Relayed(Outcome),
    /// The next hop refused it for good for these recipients, or it expired.
    Bounced(Outcome),
    /// A try failed for now; it stays in the spool, or the client was told to try again.
    Delayed(Outcome),
    /// The answer after the final dot was lost: it may or may not have gone.
    InDoubt(Outcome),
    /// A waiting copy was cancelled (the recipient was suppressed meanwhile, or an administrator dropped it).
    Cancelled(Outcome),
    /// A notice was made for somebody who must know (RULES L10).
    NoticeSent {
        /// To whom.
        to: Address,
        /// About what: `unsubscribe`, `dsn`.
        about: String,
        /// The copy that carries it.
        copy: CopyId,
    },
    /// A checkpoint was signed.
    Checkpoint {
        /// Entries before it.
        size: u64,
        /// Root over them, base64.
        root: String,
        /// The signed note.
        note: String,
    },
}

/// The word for an event's kind, as it stands in the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(pub &'static str);

/// A party to a message: an account, an address, a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// Its stable id.
    pub id: SenderId,
    /// Its name at the time.
    pub name: String,
}

/// Who handed the message over, and how (RULES L15).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// The SMTP session.
    pub session: SessionId,
    /// Client IP address.
    pub ip: String,
    /// Account, unless from a trusted network.
    pub account: Option<String>,
    /// What it said in EHLO.
    pub helo: String,
    /// TLS version, when there was TLS.
    pub tls: Option<String>,
}

/// A consent event for an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consented {
    /// For which sender.
    pub sender: SenderId,
    /// For what.
    pub purpose: Purpose,
    /// Whose.
    pub address: AddressKey,
    /// What happened.
    pub event: ConsentEvent,
    /// Where it came from: `cli`, or a file with its SHA-256.
    pub source: String,
}

/// A customer relation for an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Related {
    /// With which sender.
    pub sender: SenderId,
    /// Whose.
    pub address: AddressKey,
    /// The purchase.
    pub relation: Relation,
    /// Where it came from.
    pub source: String,
}

/// A suppression of an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppressed {
    /// For which sender.
    pub sender: SenderId,
    /// Whose.
    pub address: AddressKey,
    /// Why and since when.
    pub suppression: Suppression,
}

/// An unsubscribe that took effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsubscribed {
    /// From which sender (the default scope is everything commercial from it, RULES L9).
    pub sender: SenderId,
    /// Who.
    pub address: AddressKey,
    /// By which way.
    pub way: Way,
    /// The token that was used.
    pub token: Option<TokenId>,
    /// The submission its message belonged to.
    pub reference: Option<Reference>,
    /// Purpose of that message.
    pub purpose: Option<Purpose>,
    /// IP address of the request.
    pub ip: Option<String>,
    /// User-Agent of the request.
    pub user_agent: Option<String>,
}

/// How somebody unsubscribed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// RFC 8058 POST by a mail program.
    OneClick,
    /// The button on the page.
    Page,
    /// A mail to the unsubscribe address.
    Mailto,
}

/// At which point policy refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// At RCPT.
    Rcpt,
    /// After the data.
    Data,
    /// Before a try from the spool.
    Spool,
}

/// A recipient that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedRecipient {
    /// Who.
    pub recipient: Address,
    /// Why.
    pub refusal: Refusal,
}

/// A copy that may go: who, on which basis, exactly what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// The copy.
    pub copy: CopyId,
    /// Who handed the message over; `None` for the gateway's own notices.
    pub handover: Option<Handover>,
    /// The tool that made the message (User-Agent or X-Mailer).
    pub tool: Option<String>,
    /// What it is.
    pub class: Class,
    /// Whom it is sent for.
    pub sender: Option<Party>,
    /// What it is about.
    pub purpose: Option<Purpose>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// SHA-256 (hex) of the rules in force.
    pub rules_sha256: String,
    /// MAIL FROM, empty for the null path.
    pub reverse_path: String,
    /// The recipients of this copy, each with its basis.
    pub recipients: Vec<AdmittedRecipient>,
    /// Message-ID as sent.
    pub message_id: Option<String>,
    /// SHA-256 (hex) of the message as the client gave it.
    pub original_sha256: String,
    /// SHA-256 (hex) of the exact bytes of this copy.
    pub sent_sha256: String,
    /// Octets of this copy.
    pub size: u64,
    /// What was edited, in words: `footer text/plain part 1`, `List-Unsubscribe replaced`.
    pub edits: Vec<String>,
    /// Selector and domain of each DKIM signature made.
    pub dkim: Vec<String>,
    /// The unsubscribe token in it.
    pub token: Option<TokenId>,
    /// The next hop it is meant for.
    pub next_hop: String,
}

/// One recipient of an admitted copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmittedRecipient {
    /// Who.
    pub recipient: Address,
    /// Why it may go.
    pub basis: Basis,
    /// Under observe: what enforcement would have refused it for.
    pub observed: Option<Refusal>,
}

/// What became of a copy, for some of its recipients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The copy.
    pub copy: CopyId,
    /// For whom.
    pub recipients: Vec<Address>,
    /// The next hop's own words, or ours when there were none.
    pub reply: String,
    /// The next hop.
    pub next_hop: String,
    /// Its TLS version, when there was TLS.
    pub tls: Option<String>,
    /// How often it was tried, this time included.
    pub attempt: u32,
}
