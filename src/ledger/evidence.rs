//! Files that show how a consent came about: a scan, a recording, the capture of a page.

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
