//! Files that show how a consent came about: a scan, a recording, the capture of a page. An entry names each by its hash;
//! the bytes are kept outside the ledger, because a recording is large and goes with the person it is about.

use std::io::Read;

use serde::{Deserialize, Serialize};

use crate::mail::{AddressKey, Purpose, SenderId};

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
