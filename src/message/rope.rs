//! A copy as pieces: ranges of the shared original, and our own bytes between them.

use std::ops::Range;

use bytes::Bytes;

/// One piece of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// These octets of the original.
    Original(Range<usize>),
    /// Our own octets.
    Own(Bytes),
}

/// The exact bytes of one copy, sharing the original with all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rope {
    original: Bytes,
    pieces: Vec<Piece>,
    len: usize,
}

impl Rope {
    /// The original, unedited.
    pub fn whole(original: Bytes) -> Self {
        let len = original.len();
        Self { original, pieces: vec![Piece::Original(0..len)], len }
    }

    /// Build from pieces; a range must lie within `original`.
    pub fn new(original: Bytes, pieces: Vec<Piece>) -> Option<Self> {
        let mut len = 0;
        for piece in &pieces {
            len += match piece {
                Piece::Original(range) => original.get(range.clone())?.len(),
                Piece::Own(bytes) => bytes.len(),
            };
        }
        Some(Self { original, pieces, len })
    }

    /// Octets in all.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The shared original.
    pub fn original(&self) -> &Bytes {
        &self.original
    }

    /// The pieces, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The bytes, chunk by chunk, without copying.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(|piece| match piece {
            Piece::Original(range) => &self.original[range.clone()],
            Piece::Own(bytes) => bytes.as_ref(),
        })
    }

    /// The header section, with the empty line that ends it.
    pub fn header_section(&self) -> Vec<u8> {
        let mut header = Vec::new();
        for chunk in self.chunks() {
            let from = header.len().saturating_sub(3);
            header.extend_from_slice(chunk);
            if let Some(end) = memchr::memmem::find(&header[from..], b"\r\n\r\n") {
                header.truncate(from + end + 4);
                break;
            }
        }
        header
    }

    /// All bytes in one vector: for tests, files and small messages.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len);
        self.chunks().for_each(|chunk| all.extend_from_slice(chunk));
        all
    }

    /// SHA-256 over the bytes.
    pub fn sha256(&self) -> [u8; 32] {
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        self.chunks().for_each(|chunk| context.update(chunk));
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }
}
