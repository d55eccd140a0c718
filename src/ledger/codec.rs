//! Compression where it pays: for entries, originals and edits.

use std::borrow::Cow;
use std::io;

/// Below this there is nothing to gain.
const WORTH_TRYING: usize = 256;
/// Above this the fast level is used, so that a large message does not hold up its session.
const LARGE: usize = 64 * 1024;

/// Bytes, compressed if that saved at least an eighth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Squeezed {
    codec: Codec,
    len: u32,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Codec {
    Plain = 0,
    Zstd = 1,
}

/// Stored bytes that cannot be read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stored bytes cannot be read back: {0}")]
pub struct CodecError(pub String);

impl Squeezed {
    /// Take `bytes` as they are.
    pub fn plain(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self { codec: Codec::Plain, len: bytes.len() as u32, bytes }
    }

    /// Compress `bytes`, if it pays. At most 4 GiB.
    pub fn new(bytes: Cow<'_, [u8]>) -> Self {
        if bytes.len() < WORTH_TRYING {
            return Self::plain(bytes);
        }
        let level = if bytes.len() < LARGE { 3 } else { 1 };
        match compress(&bytes, level) {
            Ok(small) if small.len() + bytes.len() / 8 <= bytes.len() => {
                Self { codec: Codec::Zstd, len: bytes.len() as u32, bytes: small }
            }
            // A compressor that fails costs space, never the message.
            _ => Self::plain(bytes),
        }
    }

    /// Octets as stored.
    pub fn stored_len(&self) -> usize {
        5 + self.bytes.len()
    }

    /// Append the stored form: codec (1 octet), length of the plain bytes (4, big-endian), the bytes.
    pub fn write(&self, into: &mut Vec<u8>) {
        into.push(self.codec as u8);
        into.extend_from_slice(&self.len.to_be_bytes());
        into.extend_from_slice(&self.bytes);
    }

    /// The plain bytes of a stored form.
    pub fn read(stored: &[u8]) -> Result<Vec<u8>, CodecError> {
        let broken = |why: &str| CodecError(why.to_owned());
        let (&[codec, a, b, c, d], bytes) =
            stored.split_first_chunk::<5>().ok_or_else(|| broken("too short"))?;
        let len = u32::from_be_bytes([a, b, c, d]) as usize;
        let plain = match codec {
            0 => bytes.to_vec(),
            1 => {
                // The frame names its own length; a forged outer length must not reserve memory.
                let bound = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten();
                if bound != Some(len as u64) {
                    return Err(broken("the length differs"));
                }
                zstd::bulk::decompress(bytes, len).map_err(|error| CodecError(error.to_string()))?
            }
            other => return Err(CodecError(format!("codec {other} is not known"))),
        };
        if plain.len() == len { Ok(plain) } else { Err(broken("the length differs")) }
    }
}

fn compress(bytes: &[u8], level: i32) -> io::Result<Vec<u8>> {
    // Making a compressor costs more than compressing an entry, so each thread keeps one.
    thread_local! {
        static COMPRESSOR: std::cell::RefCell<Option<zstd::bulk::Compressor<'static>>> =
            const { std::cell::RefCell::new(None) };
    }
    COMPRESSOR.with_borrow_mut(|slot| {
        let compressor = match slot {
            Some(compressor) => compressor,
            None => slot.insert(zstd::bulk::Compressor::new(level)?),
        };
        compressor.set_compression_level(level)?;
        compressor.compress(bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(bytes: &[u8]) -> usize {
        let mut stored = Vec::new();
        Squeezed::new(Cow::Borrowed(bytes)).write(&mut stored);
        assert_eq!(Squeezed::read(&stored).unwrap(), bytes);
        stored.len()
    }

    #[test]
    fn text_shrinks_and_noise_does_not_grow() {
        assert_eq!(round_trip(b""), 5);
        assert_eq!(round_trip(b"short"), 10);
        assert!(round_trip("dezelfde regel\r\n".repeat(1000).as_bytes()) < 200);
        let noise: Vec<u8> =
            (0..100_000u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect();
        assert!(round_trip(&noise) <= noise.len() + 5);
    }

    #[test]
    fn broken_forms_are_errors() {
        let mut stored = Vec::new();
        Squeezed::new(Cow::Owned(vec![b'a'; 1000])).write(&mut stored);
        for at in 0..stored.len() {
            assert!(Squeezed::read(&stored[..at]).is_err(), "cut at {at}");
        }
        stored[0] = 9;
        assert!(Squeezed::read(&stored).is_err());
        assert!(Squeezed::read(&[1, 255, 255, 255, 255, 1, 2, 3]).is_err());
    }
}
