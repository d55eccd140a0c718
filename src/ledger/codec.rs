//! Compression where it pays: for entries, originals and edits.
//!
//! Short ones are compressed with a dictionary that knows what entries, header fields and footers look like:
//! it makes them about four times smaller and takes a quarter of the time. A dictionary is part of the format
//! and never changes; a better one gets a codec of its own.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io;
use std::sync::LazyLock;

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

/// Below this there is nothing to gain.
const WORTH_TRYING: usize = 64;
/// Up to this the dictionary helps.
const SHORT: usize = 16 * 1024;
/// Above this the fast level is used, so that a large message does not hold up its session.
const LARGE: usize = 64 * 1024;
/// The level for short ones: with the dictionary, higher ones gain next to nothing.
const SHORT_LEVEL: i32 = 1;

/// See `docs/ledger-format.md`, which also gives its SHA-256.
static DICTIONARY: &[u8] = include_bytes!("dictionary.zstd");

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
    ZstdWithDictionary = 2,
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
        let (codec, compressed) = if bytes.len() <= SHORT {
            (Codec::ZstdWithDictionary, compress_short(&bytes))
        } else {
            (Codec::Zstd, compress(&bytes, if bytes.len() < LARGE { 3 } else { 1 }))
        };
        match compressed {
            Ok(small) if small.len() + bytes.len() / 8 <= bytes.len() => {
                Self { codec, len: bytes.len() as u32, bytes: small }
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
            1 | 2 => {
                // The frame names its own length; a forged outer length must not reserve memory.
                let bound = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten();
                if bound != Some(len as u64) {
                    return Err(broken("the length differs"));
                }
                let plain = match codec {
                    1 => zstd::bulk::decompress(bytes, len),
                    _ => decompress_short(bytes, len),
                };
                plain.map_err(|error| CodecError(error.to_string()))?
            }
            other => return Err(CodecError(format!("codec {other} is not known"))),
        };
        if plain.len() == len { Ok(plain) } else { Err(broken("the length differs")) }
    }
}

// Making a compressor costs more than compressing an entry, so each thread keeps its own.

fn compress(bytes: &[u8], level: i32) -> io::Result<Vec<u8>> {
    thread_local! {
        static KEPT: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    }
    with_kept(
        &KEPT,
        || Compressor::new(level),
        |compressor| {
            compressor.set_compression_level(level)?;
            compressor.compress(bytes)
        },
    )
}

fn compress_short(bytes: &[u8]) -> io::Result<Vec<u8>> {
    static PREPARED: LazyLock<EncoderDictionary<'static>> =
        LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, SHORT_LEVEL));
    thread_local! {
        static KEPT: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    }
    let make = || Compressor::with_prepared_dictionary(&PREPARED);
    with_kept(&KEPT, make, |compressor| compressor.compress(bytes))
}

fn decompress_short(bytes: &[u8], len: usize) -> io::Result<Vec<u8>> {
    static PREPARED: LazyLock<DecoderDictionary<'static>> =
        LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));
    thread_local! {
        static KEPT: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    let make = || Decompressor::with_prepared_dictionary(&PREPARED);
    with_kept(&KEPT, make, |decompressor| decompressor.decompress(bytes, len))
}

fn with_kept<T, R>(
    kept: &'static std::thread::LocalKey<RefCell<Option<T>>>,
    make: impl FnOnce() -> io::Result<T>,
    work: impl FnOnce(&mut T) -> io::Result<R>,
) -> io::Result<R> {
    kept.with_borrow_mut(|slot| match slot {
        Some(there) => work(there),
        None => work(slot.insert(make()?)),
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
        assert!(round_trip(&noise[..10_000]) <= 10_005);
    }

    #[test]
    fn the_dictionary_is_the_one_the_format_names() {
        let format = include_str!("../../docs/ledger-format.md");
        assert!(format.contains(&crate::mail::hex(&crate::mail::sha256(DICTIONARY))));
    }

    #[test]
    fn a_short_entry_is_less_than_half_its_size() {
        let entry = br#""kind":"relayed","copy":"01m86jmmr789766w7ssa0z47f7-0","recipients":["lezer@example.org"],"reply":"250 2.0.0 Ok: queued as 4F2A81C03D","next_hop":"smtp.provider.example:587","tls":"TLSv1.3","attempt":1}"#;
        assert!(round_trip(entry) < entry.len() / 2);
    }

    #[test]
    fn broken_forms_are_errors() {
        for len in [1000, 30_000] {
            let mut stored = Vec::new();
            Squeezed::new(Cow::Owned(vec![b'a'; len])).write(&mut stored);
            for at in 0..stored.len() {
                assert!(Squeezed::read(&stored[..at]).is_err(), "cut at {at}");
            }
            stored[0] = 9;
            assert!(Squeezed::read(&stored).is_err());
        }
        assert!(Squeezed::read(&[1, 255, 255, 255, 255, 1, 2, 3]).is_err());
    }
}
