//! The tables and the shape of their values; `docs/ledger-format.md` draws them. Every value begins with
//! a version octet.

use jiff::Timestamp;
use redb::TableDefinition;
use serde::{Deserialize, Serialize};

use super::error::Fault;
use crate::ledger::Counts;
use crate::ledger::codec::Squeezed;
use crate::ledger::tree::Salt;
use crate::ledger::{EntryNumber, Keep};
use crate::mail::{Address, CopyId, Reference};
use crate::message::{Piece, Rope};
use crate::policy::Profile;

/// The format of the whole file.
pub(super) const FORMAT: u8 = 1;
/// The version octet of every value.
const V1: u8 = 1;

/// `format`, `origin`, `commits`, `counts`.
pub(super) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// Verifier keys, by the number of entries from which each was in force.
pub(super) const KEYS: TableDefinition<u64, &str> = TableDefinition::new("keys");
/// Entries by number.
pub(super) const ENTRIES: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");
/// Tree hashes by stored hash index.
pub(super) const HASHES: TableDefinition<u64, &[u8; 32]> = TableDefinition::new("hashes");
/// Signed notes by the number of entries they cover.
pub(super) const CHECKPOINTS: TableDefinition<u64, &str> = TableDefinition::new("checkpoints");
/// Profiles by sender id and address key.
pub(super) const PROFILES: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("profiles");
/// Admitted copies of which some recipient has no outcome.
pub(super) const OPEN: TableDefinition<&[u8; 20], &[u8]> = TableDefinition::new("open");
/// Copies in the spool.
pub(super) const SPOOL: TableDefinition<&[u8; 20], &[u8]> = TableDefinition::new("spool");
/// Waiting copies by the nanosecond (since 1970, UTC) at which they are due.
pub(super) const DUE: TableDefinition<(i128, &[u8; 20]), ()> = TableDefinition::new("due");
/// Originals by their SHA-256.
pub(super) const ORIGINALS: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("originals");
/// How many rows of `copies` need each original.
pub(super) const ORIGINAL_USES: TableDefinition<&[u8; 32], u64> = TableDefinition::new("original_uses");
/// What is kept of each copy's bytes.
pub(super) const COPIES: TableDefinition<&[u8; 20], &[u8]> = TableDefinition::new("copies");
/// Reference (16 octets), scope (1: 0 the submission as a whole, 1 a copy), index of the copy (4; 0 for the
/// whole), entry number (8).
pub(super) const BY_COPY: TableDefinition<&[u8; 29], ()> = TableDefinition::new("by_copy");
/// Address key and entry number.
pub(super) const BY_ADDRESS: TableDefinition<(&str, u64), ()> = TableDefinition::new("by_address");
/// Entry number of each consent text, by its SHA-256 in hex.
pub(super) const BY_TEXT: TableDefinition<&str, u64> = TableDefinition::new("by_text");
/// Runs of entries that were written in one minute: the minute (since 1970, UTC) and the first entry of the
/// run; the value is its last entry. A clock that jumps back begins a new run.
pub(super) const BY_MINUTE: TableDefinition<(i64, u64), u64> = TableDefinition::new("by_minute");
/// Message-ID with its angle brackets, and entry number.
pub(super) const BY_MESSAGE: TableDefinition<(&str, u64), ()> = TableDefinition::new("by_message");

/// What of a submission an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of it.
    Whole(Reference),
    /// One of its copies.
    Copy(CopyId),
}

/// Key in `by_copy`.
pub(super) fn copy_key(scope: Scope, number: EntryNumber) -> [u8; 29] {
    let (reference, octet, index) = match scope {
        Scope::Whole(reference) => (reference, 0, 0),
        Scope::Copy(copy) => (copy.reference, 1, copy.index),
    };
    let mut key = [0; 29];
    key[..16].copy_from_slice(&reference.to_bytes());
    key[16] = octet;
    key[17..21].copy_from_slice(&index.to_be_bytes());
    key[21..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The entry number in a key of `by_copy`.
pub(super) fn number_in(key: &[u8; 29]) -> EntryNumber {
    let mut number = [0; 8];
    number.copy_from_slice(&key[21..]);
    u64::from_be_bytes(number)
}

/// The minute that a moment lies in, counted from 1970 (UTC).
pub(super) fn minute(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

/// A stored entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StoredEntry {
    /// Its salt and exact bytes.
    Whole {
        /// The salt.
        salt: Salt,
        /// The exact bytes.
        bytes: Vec<u8>,
    },
    /// Salt and bytes were destroyed; the leaf hash stands.
    Erased {
        /// What it had added to the counts of the checkpoints.
        counts: Counts,
    },
}

/// `1 ‖ 0 ‖ salt ‖ length of the head (2) ‖ head ‖ squeezed event`.
pub(super) fn write_entry(salt: &Salt, head: &str, event: &Squeezed) -> Result<Vec<u8>, Fault> {
    let head_len = u16::try_from(head.len()).map_err(|_| Fault::Format("origin too long".to_owned()))?;
    let mut value = Vec::with_capacity(36 + head.len() + event.stored_len());
    value.extend_from_slice(&[V1, 0]);
    value.extend_from_slice(salt);
    value.extend_from_slice(&head_len.to_be_bytes());
    value.extend_from_slice(head.as_bytes());
    event.write(&mut value);
    Ok(value)
}

/// The inverse of [`write_entry`].
pub(super) fn read_entry(value: &[u8]) -> Result<StoredEntry, Fault> {
    let broken = || Fault::Format("an entry is cut short".to_owned());
    match body(value)?.split_first() {
        Some((0, rest)) => {
            let (salt, rest) = rest.split_first_chunk::<32>().ok_or_else(broken)?;
            let (len, rest) = rest.split_first_chunk::<2>().ok_or_else(broken)?;
            let (head, event) = rest.split_at_checked(u16::from_be_bytes(*len).into()).ok_or_else(broken)?;
            let mut bytes = head.to_vec();
            bytes.extend(Squeezed::read(event)?);
            Ok(StoredEntry::Whole { salt: *salt, bytes })
        }
        Some((1, counts)) => Ok(StoredEntry::Erased { counts: postcard::from_bytes(counts)? }),
        _ => Err(broken()),
    }
}

/// An admitted copy of which some recipient has no outcome yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Open {
    /// Who has none; and whether a try was recorded that was no outcome (it waits in the spool).
    pub(super) recipients: Vec<(Address, bool)>,
    /// Where it was to go.
    pub(super) next_hop: String,
}

/// What is kept of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeptCopy {
    /// Its pieces, over an original.
    Pieces {
        /// What stays after the spool.
        keep: Keep,
        /// The original.
        original: [u8; 32],
        /// Stored form of the pieces.
        pieces: Vec<StoredPiece>,
    },
    /// Its header section.
    Headers(Vec<u8>),
}

/// A piece of a rope, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum StoredPiece {
    /// From, and up to but not including.
    Original(u64, u64),
    /// Our own octets.
    Own(#[serde(with = "octets")] Vec<u8>),
}

/// Octets as one run: the same bytes as a sequence of numbers, without a step for each.
mod octets {
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(octets)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_bytes(Octets)
    }

    struct Octets;

    impl Visitor<'_> for Octets {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("octets")
        }

        fn visit_bytes<E: Error>(self, octets: &[u8]) -> Result<Vec<u8>, E> {
            Ok(octets.to_vec())
        }
    }
}

impl KeptCopy {
    /// The pieces of `rope`.
    pub(super) fn of(rope: &Rope, original: [u8; 32], keep: Keep) -> Self {
        let pieces = rope
            .pieces()
            .iter()
            .map(|piece| match piece {
                Piece::Original(range) => StoredPiece::Original(range.start as u64, range.end as u64),
                Piece::Own(bytes) => StoredPiece::Own(bytes.to_vec()),
            })
            .collect();
        Self::Pieces { keep, original, pieces }
    }

    /// `1 ‖ 0 ‖ keep ‖ original ‖ squeezed pieces`, or `1 ‖ 1 ‖ squeezed headers`.
    pub(super) fn write(&self) -> Result<Vec<u8>, Fault> {
        let mut value = vec![V1];
        match self {
            Self::Pieces { keep, original, pieces } => {
                value.push(0);
                value.push(match keep {
                    Keep::Full => 0,
                    Keep::Headers => 1,
                    Keep::Hash => 2,
                });
                value.extend_from_slice(original);
                Squeezed::new(postcard::to_stdvec(pieces)?.into()).write(&mut value);
            }
            Self::Headers(bytes) => {
                value.push(1);
                Squeezed::new(bytes.into()).write(&mut value);
            }
        }
        Ok(value)
    }

    /// The inverse of [`KeptCopy::write`].
    pub(super) fn read(value: &[u8]) -> Result<Self, Fault> {
        let broken = || Fault::Format("a kept copy is cut short".to_owned());
        match body(value)? {
            [0, keep, rest @ ..] => {
                let keep = match keep {
                    0 => Keep::Full,
                    1 => Keep::Headers,
                    2 => Keep::Hash,
                    _ => return Err(broken()),
                };
                let (original, rest) = rest.split_first_chunk::<32>().ok_or_else(broken)?;
                let pieces = postcard::from_bytes(&Squeezed::read(rest)?)?;
                Ok(Self::Pieces { keep, original: *original, pieces })
            }
            [1, rest @ ..] => Ok(Self::Headers(Squeezed::read(rest)?)),
            _ => Err(broken()),
        }
    }
}

/// The rope of stored pieces over `original`.
pub(super) fn rope(original: bytes::Bytes, pieces: Vec<StoredPiece>) -> Result<Rope, Fault> {
    let pieces = pieces
        .into_iter()
        .map(|piece| match piece {
            StoredPiece::Original(from, to) => Piece::Original(from as usize..to as usize),
            StoredPiece::Own(bytes) => Piece::Own(bytes.into()),
        })
        .collect();
    Rope::new(original, pieces)
        .ok_or_else(|| Fault::Format("a kept copy does not fit its original".to_owned()))
}

/// `1 ‖ squeezed bytes` of an original.
pub(super) fn write_original(bytes: &Squeezed) -> Vec<u8> {
    let mut value = vec![V1];
    bytes.write(&mut value);
    value
}

/// The inverse of [`write_original`].
pub(super) fn read_original(value: &[u8]) -> Result<Vec<u8>, Fault> {
    Ok(Squeezed::read(body(value)?)?)
}

/// `1 ‖ postcard` of a [`Profile`], an [`Open`] or a `Spooled`.
pub(super) fn write_row<T: Serialize>(row: &T) -> Result<Vec<u8>, Fault> {
    Ok(postcard::to_extend(row, vec![V1])?)
}

/// The inverse of [`write_row`].
pub(super) fn read_row<T: for<'de> Deserialize<'de>>(value: &[u8]) -> Result<T, Fault> {
    Ok(postcard::from_bytes(body(value)?)?)
}

/// A stored profile, or an empty one.
pub(super) fn read_profile(value: Option<&[u8]>) -> Result<Profile, Fault> {
    value.map_or_else(|| Ok(Profile::default()), read_row)
}

fn body(value: &[u8]) -> Result<&[u8], Fault> {
    match value.split_first() {
        Some((&V1, body)) => Ok(body),
        Some((other, _)) => Err(Fault::Format(format!("a record of version {other} in a store of format 1"))),
        None => Err(Fault::Format("an empty record".to_owned())),
    }
}
