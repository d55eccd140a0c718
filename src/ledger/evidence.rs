//! Files that show how a consent came about: a scan, a recording, the capture of a page. An entry names each by its hash;
//! the bytes are kept outside the ledger, because a recording is large and goes with the person it is about.

use std::fmt;
use std::io::Read;

use serde::{Deserialize, Serialize};

use super::event::EntryNumber;
use crate::mail::{AddressKey, Purpose, SenderId, hex};

/// A file as it is named: it is kept under its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFile {
    /// SHA-256 (hex) of its bytes.
    pub sha256: String,
    /// The name it had.
    pub name: String,
    /// Octets.
    pub size: u64,
}

/// A file that is handed in, to be read from its beginning; or why it is not.
pub type Opened = Result<Box<dyn Read>, NotKept>;

/// Why a file that an entry names cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    /// It is not there.
    #[error("it is not where it was kept")]
    Missing,
    /// Another file lies in its place.
    #[error("what lies in its place has another SHA-256: {0}")]
    Changed(String),
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

/// A folder beside the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shelf {
    /// Files that show consents.
    Evidence,
    /// The originals of imports.
    Imports,
}

impl Shelf {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Evidence, Self::Imports];

    /// Its name in the data folder.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::Imports => "imports",
        }
    }
}

/// A file that an entry names by its hash, and that lies beside the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedFile {
    /// Where.
    pub shelf: Shelf,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

impl NamedFile {
    /// What to say of one that entry `number` names and that is not what it should be.
    pub fn fault(&self, number: EntryNumber, why: &str) -> String {
        format!("the file {self}, named by entry {number}: {why}")
    }
}

impl fmt::Display for NamedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.shelf.folder(), hex(&self.sha256))
    }
}

/// Longest ending of a name that a file keeps in a pack, in letters.
const MAX_ENDING: usize = 8;

impl KeptFile {
    /// What may follow its hash in a file name, with the dot: the ending of the name it had, or nothing.
    pub(super) fn ending(&self) -> String {
        let Some((_, ending)) = self.name.rsplit_once('.') else { return String::new() };
        let plain = (1..=MAX_ENDING).contains(&ending.len())
            && ending.bytes().all(|octet| octet.is_ascii_alphanumeric());
        if plain { format!(".{}", ending.to_ascii_lowercase()) } else { String::new() }
    }
}

/// A file was kept as evidence of a consent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceKept {
    /// For which sender.
    pub sender: SenderId,
    /// For what.
    pub purpose: Purpose,
    /// Whose.
    pub address: AddressKey,
    /// The file.
    pub file: KeptFile,
    /// Where it came from.
    pub source: String,
}
