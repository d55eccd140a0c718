//! What went by another way than this gateway, as the tool that sent it reports it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::Party;
use crate::mail::{AddressKey, Purpose};
use crate::policy::{Basis, Refusal};

/// Marketing that went as a text message, in an app, or by a mail server that is not behind the gateway: the spam ban
/// covers it all the same. It has gone, so it is taken down whatever it rested on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentElsewhere {
    /// `email`, `sms` or `app`.
    pub channel: String,
    /// Whom it was sent for.
    pub sender: Party,
    /// What it is about.
    pub purpose: Purpose,
    /// Who reports it: `api` and the name of its token.
    pub tool: String,
    /// When it went, by its word.
    pub sent_at: Timestamp,
    /// SHA-256 (hex) of the message.
    pub text_sha256: String,
    /// The tool's own id of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// SHA-256 (hex) of the rules in force.
    pub rules_sha256: String,
    /// To whom.
    pub recipients: Vec<ElsewhereRecipient>,
}

/// One of those it went to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElsewhereRecipient {
    /// Who.
    pub address: AddressKey,
    /// What it rested on when it went.
    pub basis: Basis,
    /// Why it should not have gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<Refusal>,
}
