//! Ids: short texts that log lines, replies, headers and ledger entries share.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Our reference of one submission: 48 bits of milliseconds and 80 of randomness, shown as 26
/// characters of lower-case Crockford base32, so that references sort by time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference(u128);

/// One copy of a submission: `<reference>-<index>`, the index counting from 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CopyId {
    /// The submission it belongs to.
    pub reference: Reference,
    /// Which of its copies.
    pub index: u32,
}

/// One SMTP or HTTP connection: 64 random bits, 13 characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(u64);

/// The id of an unsubscribe token: what the ledger knows of it (the token itself is a capability and
/// is not written down). First 16 octets of its SHA-256, in hex.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TokenId(pub String);

/// A text that is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a reference: expected 26 characters of 0-9 and a-z, and for a copy `-N` after it")]
pub struct IdError;

impl Reference {
    /// Characters of a reference.
    pub const LEN: usize = 26;

    /// A new reference, made at `now`.
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        let millis = now.as_millisecond().max(0) as u128 & 0xffff_ffff_ffff;
        let mut bytes = [0; 16];
        bytes[6..].copy_from_slice(&random);
        Self(millis << 80 | u128::from_be_bytes(bytes))
    }

    /// Its 16 octets, big-endian: the store's key, in time order.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The inverse of [`Reference::to_bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Parse what `Display` writes.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        base32(text, Self::LEN).map(Self)
    }
}

impl CopyId {
    /// 20 octets: reference, then index, big-endian.
    pub fn to_bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..16].copy_from_slice(&self.reference.to_bytes());
        bytes[16..].copy_from_slice(&self.index.to_be_bytes());
        bytes
    }

    /// The inverse of [`CopyId::to_bytes`].
    pub fn from_bytes(bytes: [u8; 20]) -> Self {
        let (reference, index) = bytes.split_at(16);
        // Both splits have the length they are converted to.
        Self {
            reference: Reference(u128::from_be_bytes(reference.try_into().unwrap_or([0; 16]))),
            index: u32::from_be_bytes(index.try_into().unwrap_or([0; 4])),
        }
    }

    /// Parse what `Display` writes.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let (reference, index) = text.split_once('-').ok_or(IdError)?;
        Ok(Self { reference: Reference::parse(reference)?, index: index.parse().map_err(|_| IdError)? })
    }
}

impl SessionId {
    /// A new id.
    pub fn new(random: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(random))
    }
}

fn write_base32(f: &mut fmt::Formatter<'_>, value: u128, len: usize) -> fmt::Result {
    let mut text = [0u8; 26];
    for (at, slot) in text[..len].iter_mut().enumerate() {
        let shift = 5 * (len - 1 - at);
        *slot = ALPHABET[(value >> shift & 31) as usize];
    }
    f.write_str(std::str::from_utf8(&text[..len]).map_err(|_| fmt::Error)?)
}

fn base32(text: &str, len: usize) -> Result<u128, IdError> {
    if text.len() != len {
        return Err(IdError);
    }
    text.bytes().try_fold(0u128, |value, byte| {
        let digit = ALPHABET.iter().position(|&c| c == byte).ok_or(IdError)? as u128;
        if value >> 123 != 0 {
            return Err(IdError);
        }
        Ok(value << 5 | digit)
    })
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_base32(f, self.0, Self::LEN)
    }
}

impl fmt::Display for CopyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.reference, self.index)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_base32(f, self.0.into(), 13)
    }
}

macro_rules! text_id {
    ($id:ty, $parse:path) => {
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $id {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                $parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id!(Reference, Reference::parse);
text_id!(CopyId, CopyId::parse);
text_id!(SessionId, SessionId::parse);

impl SessionId {
    /// Parse what `Display` writes.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        u64::try_from(base32(text, 13)?).map(Self).map_err(|_| IdError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_round_trip_and_sort_by_time() {
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        let early = Reference::new(at(1_700_000_000_000), [255; 10]);
        let late = Reference::new(at(1_700_000_000_001), [0; 10]);
        assert!(early.to_string() < late.to_string());
        assert_eq!(Reference::parse(&early.to_string()), Ok(early));
        assert_eq!(Reference::from_bytes(early.to_bytes()), early);
        let copy = CopyId { reference: late, index: 7 };
        assert_eq!(CopyId::parse(&copy.to_string()), Ok(copy));
        assert_eq!(CopyId::from_bytes(copy.to_bytes()), copy);
        let session = SessionId::new([255; 8]);
        assert_eq!(SessionId::parse(&session.to_string()), Ok(session));
        for text in ["", "0", "zzzzzzzzzzzzzzzzzzzzzzzzzz", "ILOU0000000000000000000000"] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }
}
