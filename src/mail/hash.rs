//! SHA-256, and how a hash is spelled in entries, ids and packs.

use std::io::{self, Read};

use aws_lc_rs::digest;

/// Octets that are read at once.
const BLOCK: usize = 128 * 1024;

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// Lower-case hexadecimal, two characters an octet.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// SHA-256 (hex) of all that is read, and how many octets that was; a piece at a time.
pub fn hash(reader: &mut dyn Read) -> io::Result<(String, u64)> {
    let mut hash = digest::Context::new(&digest::SHA256);
    let (mut block, mut octets) = (vec![0; BLOCK], 0);
    loop {
        let read = reader.read(&mut block)?;
        if read == 0 {
            return Ok((hex(hash.finish().as_ref()), octets));
        }
        octets += read as u64;
        hash.update(&block[..read]);
    }
}

/// The inverse of [`hex`] for a SHA-256, in either case.
pub fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_vector_of_fips_180_is_spelled_alike() {
        assert_eq!(hex(&sha256(b"abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
