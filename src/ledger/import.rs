//! Imports: where the facts of one file begin and end in the ledger, and how they are taken back (RULES L19).

use serde::{Deserialize, Serialize};

use crate::consent::{ConsentEvent, Published, Relation};
use crate::mail::{AddressKey, Purpose, SenderId};
use crate::suppression::{DeliveryBlock, Suppression};

/// A file is about to be taken in. The facts that follow name this import as where they come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportBegun {
    /// Its id.
    pub id: String,
    /// Name of the file.
    pub file: String,
    /// SHA-256 (hex) of the file, which is kept under this name.
    pub sha256: String,
    /// Octets of the file.
    pub size: u64,
    /// What it was read as: `mailchimp`, `csv`.
    pub format: String,
    /// The time zone that its times without one were taken to be in.
    pub zone: String,
    /// The importer's written word about the file as a whole.
    pub attestation: Option<String>,
}

/// A file was taken in to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportEnded {
    /// Its id.
    pub id: String,
    /// Facts that were added.
    pub added: u64,
    /// Facts that were on record before.
    pub already: u64,
    /// Rows that were not taken.
    pub rejected: u64,
}

/// An import was undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportUndone {
    /// Its id.
    pub id: String,
    /// Facts that were taken back.
    pub taken_back: u64,
    /// Opt-outs that were left standing.
    pub kept: u64,
}

/// One fact of an import is taken back: from here on it counts no more. Its entry stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenBack {
    /// The import.
    pub import: String,
    /// Of which sender.
    pub sender: SenderId,
    /// Whose.
    pub address: AddressKey,
    /// What.
    pub fact: Fact,
}

/// A fact of the register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A consent event.
    Consent {
        /// For what.
        purpose: Purpose,
        /// What happened.
        event: ConsentEvent,
    },
    /// A purchase.
    Relation(Relation),
    /// A publication.
    Published {
        /// For what.
        purpose: Purpose,
        /// Where and how.
        published: Published,
    },
    /// A suppression.
    Suppression(Suppression),
    /// A mailbox that does not work.
    Block(DeliveryBlock),
}

impl Fact {
    /// What kind of fact it is, in one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Consent { .. } => "consent",
            Self::Relation(_) => "relation",
            Self::Published { .. } => "publication",
            Self::Suppression(_) => "suppression",
            Self::Block(_) => "delivery block",
        }
    }
}

/// A mailbox that does not work, by the word of another tool: nothing commercial is sent to it, and nobody opted out
/// (RULES P14).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undeliverable {
    /// For which sender.
    pub sender: SenderId,
    /// Whose.
    pub address: AddressKey,
    /// Since when, and how that is known.
    pub block: DeliveryBlock,
}
