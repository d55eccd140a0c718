//! The pieces of a copy, as they are stored: ranges of its original, and our own octets between them.
//!
//! With the original they are the exact bytes that one person got. The postcard form of a sequence of
//! pieces, squeezed; `docs/ledger-format.md` draws it.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::codec::{CodecError, Squeezed};
use crate::message::{Piece, Rope};

#[derive(Serialize, Deserialize)]
enum Stored<'a> {
    /// From, and up to but not including.
    Original(u64, u64),
    /// Our own octets.
    Own(#[serde(borrow, with = "octets")] Cow<'a, [u8]>),
}

/// Octets as one run: the same bytes as a sequence of numbers, without a step for each.
mod octets {
    use std::borrow::Cow;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(octets)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Cow<'de, [u8]>, D::Error> {
        <&[u8]>::deserialize(from).map(Cow::Borrowed)
    }
}

/// The stored form of `rope`'s pieces.
pub fn write(rope: &Rope) -> Result<Squeezed, CodecError> {
    let pieces: Vec<Stored<'_>> = rope
        .pieces()
        .iter()
        .map(|piece| match piece {
            Piece::Original(range) => Stored::Original(range.start as u64, range.end as u64),
            Piece::Own(bytes) => Stored::Own(Cow::Borrowed(bytes)),
        })
        .collect();
    let plain = postcard::to_stdvec(&pieces).map_err(|error| CodecError(error.to_string()))?;
    Ok(Squeezed::new(plain.into()))
}

/// The copy whose pieces were stored as `stored`, over its original.
pub fn read(stored: &[u8], original: Bytes) -> Result<Rope, CodecError> {
    let plain = Squeezed::read(stored)?;
    let pieces: Vec<Stored<'_>> =
        postcard::from_bytes(&plain).map_err(|error| CodecError(error.to_string()))?;
    let pieces = pieces
        .into_iter()
        .map(|piece| match piece {
            Stored::Original(from, to) => Piece::Original(from as usize..to as usize),
            Stored::Own(bytes) => Piece::Own(bytes.into_owned().into()),
        })
        .collect();
    Rope::new(original, pieces).ok_or_else(|| CodecError("a copy does not fit its original".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_comes_back_and_never_over_another_original() {
        let original = Bytes::from_static(b"Subject: x\r\n\r\nbody\r\n");
        let pieces = vec![
            Piece::Own(Bytes::from_static(b"Received: by us\r\n")),
            Piece::Original(0..14),
            Piece::Own(Bytes::from(vec![0xff; 300])),
            Piece::Original(14..20),
        ];
        let rope = Rope::new(original.clone(), pieces).unwrap();
        let mut stored = Vec::new();
        write(&rope).unwrap().write(&mut stored);
        assert_eq!(read(&stored, original.clone()).unwrap(), rope);
        assert!(read(&stored, original.slice(..19)).is_err());
        assert!(read(&stored[..stored.len() - 1], original).is_err());
    }

    #[test]
    fn the_form_is_the_one_the_format_draws() {
        let original = Bytes::from_static(b"abc");
        let rope = Rope::new(original, vec![Piece::Own(Bytes::from_static(b"x\r\n")), Piece::Original(1..3)]);
        let mut stored = Vec::new();
        write(&rope.unwrap()).unwrap().write(&mut stored);
        assert_eq!(stored, [0, 0, 0, 0, 9, 2, 1, 3, b'x', b'\r', b'\n', 0, 1, 3]);
    }
}
