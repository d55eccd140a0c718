//! The tables and the shape of their values; `docs/ledger-format.md` draws them. Every value begins with
//! a version octet.

use aws_lc_rs::hmac;
use jiff::Timestamp;
use redb::TableDefinition;
use serde::{Deserialize, Serialize};

use super::error::Fault;
use crate::ledger::Counts;
use crate::ledger::codec::Squeezed;
use crate::ledger::tree::Salt;
use crate::ledger::{EntryNumber, Keep, Spooled};
use crate::mail::{self, Address, CopyId, Reference};
use crate::policy::Profile;

/// The format of the whole file.
pub(super) const FORMAT: u8 = 2;
/// The version octet of every value, but of those in `spool`.
const V1: u8 = 1;
/// The version octet of values in `spool`.
const V2: u8 = 2;

/// `format`, `origin`, `commits`, `counts`, `hash_key`.
pub(super) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// Verifier keys, by the number of entries from which each was in force.
pub(super) const KEYS: TableDefinition<u64, &str> = TableDefinition::new("keys");
/// Entries by number.
pub(super) const ENTRIES: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");
/// Tree hashes: those of one commit in one row, by the stored hash index of the first.
pub(super) const HASHES: TableDefinition<u64, &[u8]> = TableDefinition::new("hashes");
/// Signed notes by the number of entries they cover.
pub(super) const CHECKPOINTS: TableDefinition<u64, &str> = TableDefinition::new("checkpoints");
/// Profiles by sender id and address key.
pub(super) const PROFILES: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("profiles");
/// Sender id and address key of each profile that has suppressions.
pub(super) const SUPPRESSED: TableDefinition<(&str, &str), ()> = TableDefinition::new("suppressed");
/// Imports by their id.
pub(super) const IMPORTS: TableDefinition<&str, &[u8]> = TableDefinition::new("imports");
/// Admitted copies of which some recipient has no outcome.
pub(super) const OPEN: TableDefinition<&[u8; 20], &[u8]> = TableDefinition::new("open");
/// Copies in the spool.
pub(super) const SPOOL: TableDefinition<&[u8; 20], &[u8]> = TableDefinition::new("spool");
/// Waiting copies by the nanosecond (since 1970, UTC) at which they are due.
pub(super) const DUE: TableDefinition<(i128, &[u8; 20]), ()> = TableDefinition::new("due");
/// Originals by their SHA-256.
pub(super) const ORIGINALS: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("originals");
/// How many rows of `copies` need each original that more than one needs.
pub(super) const ORIGINAL_USES: TableDefinition<&[u8; 32], u64> = TableDefinition::new("original_uses");
/// What is kept of each copy's bytes.
pub(super) const COPIES: TableDefinition<&[u8; 20], &[u8]> = TableDefinition::new("copies");
/// Reference (16 octets), scope (1: 0 the submission as a whole, 1 a copy), index of the copy (4; 0 for the
/// whole), entry number (8).
pub(super) const BY_COPY: TableDefinition<&[u8; 29], ()> = TableDefinition::new("by_copy");
/// Address key and entry number.
pub(super) const BY_ADDRESS: TableDefinition<(&str, u64), ()> = TableDefinition::new("by_address");
/// Entry number of each consent text and key, by its label: the SHA-256 of a text in hex, `dkim name id`.
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

/// Holds that stand, by the entry that holds: whose entries (`1 ‖ postcard(Option<address key>)`).
pub(super) const HOLDS: TableDefinition<u64, &[u8]> = TableDefinition::new("holds");
/// Suppressions of people who were erased, by sender id and keyed hash of the address.
pub(super) const FORGOTTEN: TableDefinition<(&str, &[u8; 32]), &[u8]> = TableDefinition::new("forgotten");
/// The last erasure of each person, by the keyed hash of the address: entries before it make no profile.
pub(super) const ERASED: TableDefinition<&[u8; 32], u64> = TableDefinition::new("erased");

/// HMAC-SHA256 of an address key, under the store's own key.
pub(super) fn keyed_hash(key: &[u8], address: &str) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), address.as_bytes());
    let mut hash = [0; 32];
    hash.copy_from_slice(tag.as_ref());
    hash
}

/// The hashes under which an address may be known: its own, and that of the form which it had before letters were folded
/// as they are now ([`super::refold`]).
pub(super) fn keyed_hashes(key: &[u8], address: &str) -> Vec<[u8; 32]> {
    let before = mail::with_final_sigma(address);
    let forms = std::iter::once(address).chain(before.as_deref());
    forms.map(|form| keyed_hash(key, form)).collect()
}

/// The value of an entry whose salt and payload are destroyed.
pub(super) fn write_erased(counts: &Counts) -> Result<Vec<u8>, Fault> {
    Ok(postcard::to_extend(counts, vec![V1, 1])?)
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

/// An import, and where its entries are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Imported {
    /// The entry that says that it begins.
    pub(super) begun: EntryNumber,
    /// The entry that says that it ended.
    pub(super) ended: Option<EntryNumber>,
    /// The entry that says that it was undone.
    pub(super) undone: Option<EntryNumber>,
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
        /// Stored form of the pieces: [`crate::ledger::pieces`].
        pieces: Vec<u8>,
    },
    /// Its header section.
    Headers(Vec<u8>),
}

impl KeptCopy {
    /// `1 ‖ 0 ‖ keep ‖ original ‖ squeezed pieces`.
    pub(super) fn write_pieces(keep: Keep, original: &[u8; 32], pieces: &Squeezed) -> Vec<u8> {
        let keep = match keep {
            Keep::Full => 0,
            Keep::Headers => 1,
            Keep::Hash => 2,
        };
        let mut value = Vec::with_capacity(35 + pieces.stored_len());
        value.extend_from_slice(&[V1, 0, keep]);
        value.extend_from_slice(original);
        pieces.write(&mut value);
        value
    }

    /// `1 ‖ 1 ‖ squeezed headers`.
    pub(super) fn write_headers(headers: &[u8]) -> Vec<u8> {
        let mut value = vec![V1, 1];
        Squeezed::new(headers.into()).write(&mut value);
        value
    }

    /// The inverse of both.
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
                Ok(Self::Pieces { keep, original: *original, pieces: rest.to_vec() })
            }
            [1, rest @ ..] => Ok(Self::Headers(Squeezed::read(rest)?)),
            _ => Err(broken()),
        }
    }
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

/// `2 ‖ postcard` of a [`Spooled`].
pub(super) fn write_spooled(spooled: &Spooled) -> Result<Vec<u8>, Fault> {
    Ok(postcard::to_extend(spooled, vec![V2])?)
}

/// The inverse of [`write_spooled`]. Version 1 ended before the account and whether a delay was told of:
/// none, and no, are one octet of zero each.
pub(super) fn read_spooled(value: &[u8]) -> Result<Spooled, Fault> {
    match value.split_first() {
        Some((&V2, body)) => Ok(postcard::from_bytes(body)?),
        _ => Ok(postcard::from_bytes(&[body(value)?, &[0, 0]].concat())?),
    }
}

/// `1 ‖ postcard` of a [`Profile`] or an [`Open`].
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
        Some((other, _)) => {
            Err(Fault::Format(format!("a record of version {other} in a store of format {FORMAT}")))
        }
        None => Err(Fault::Format("an empty record".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::SpoolState;
    use crate::mail::{Class, Recipient, ReversePath};

    #[test]
    fn rows_of_the_spool_are_read_in_both_versions() {
        let at: Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
        let spooled = Spooled {
            copy: CopyId { reference: Reference::from_bytes([3; 16]), index: 2 },
            class: Class::Marketing,
            sender: None,
            purpose: None,
            rule: Some("newsletter".to_owned()),
            reverse_path: ReversePath::Null,
            recipients: vec![Recipient::new(Address::parse("a@example.org").unwrap())],
            ret: None,
            envid: Some("x".to_owned()),
            original_sha256: [7; 32],
            eight_bit: true,
            smtputf8: false,
            state: SpoolState::Waiting { next: at },
            attempts: 3,
            admitted_at: at,
            expires_at: at,
            last_reply: "451 4.4.1 later".to_owned(),
            account: None,
            delay_told: false,
        };
        let row = write_spooled(&spooled).unwrap();
        assert_eq!(read_spooled(&row).unwrap(), spooled);
        // As the first release wrote it: another version octet, and nothing after the last reply.
        let (body, new) = row[1..].split_at(row.len() - 3);
        assert_eq!(new, [0, 0], "no account, not told");
        assert_eq!(read_spooled(&[&[V1], body].concat()).unwrap(), spooled);
        let signed_in = Spooled { account: Some("shop".to_owned()), delay_told: true, ..spooled };
        assert_eq!(read_spooled(&write_spooled(&signed_in).unwrap()).unwrap(), signed_in);
        for broken in [&[][..], &[9], &[V1], &[&[9], body].concat(), &row[..row.len() - 1]] {
            assert!(read_spooled(broken).is_err(), "{broken:?}");
        }
    }
}
