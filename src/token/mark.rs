//! A mark: proof that a text was written by this gateway (RULES P12: what is ours is recognised by an
//! authenticated value, never by its text).
//!
//! HMAC-SHA-256 over the text, cut to 128 bits (RFC 2104 5), under a key derived from a token key for this
//! use alone, in the base32 of tokens. A mark is not a token: it opens nothing and unsubscribes nobody.

use aws_lc_rs::hmac;

use super::{Keys, base32};

/// Octets of a mark.
const MARK: usize = 16;
/// What sets the derived key apart from the token key itself.
const LABEL: &[u8] = b"sluis mark v1";

impl Keys {
    /// The mark of `text` under the newest key: 26 characters.
    pub fn mark(&self, text: &str) -> String {
        base32::encode(&tag(&self.keys[0].marker, text)[..MARK])
    }

    /// Whether `mark` is the mark of `text` under any key, in constant time for each.
    pub fn is_marked(&self, text: &str, mark: &str) -> bool {
        let Some(given) = base32::decode(mark).filter(|given| given.len() == MARK) else { return false };
        self.keys.iter().any(|key| {
            let tag = tag(&key.marker, text);
            aws_lc_rs::constant_time::verify_slices_are_equal(&tag[..MARK], &given).is_ok()
        })
    }
}

/// The key for marks, derived from a token key.
pub(super) fn key(secret: &[u8]) -> hmac::Key {
    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), LABEL);
    hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
}

fn tag(key: &hmac::Key, text: &str) -> [u8; 32] {
    let mut octets = [0; 32];
    octets.copy_from_slice(hmac::sign(key, text.as_bytes()).as_ref());
    octets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    #[test]
    fn p12_a_mark_is_for_one_text_and_survives_rotation() {
        let keys = Keys::generate(&SystemEntropy);
        let mark = keys.mark("copy host service 1");
        assert_eq!(mark.len(), 26);
        assert!(keys.is_marked("copy host service 1", &mark));
        assert!(keys.rotate(&SystemEntropy).unwrap().is_marked("copy host service 1", &mark));
        assert!(!keys.is_marked("copy host service 2", &mark));
        assert!(!Keys::generate(&SystemEntropy).is_marked("copy host service 1", &mark));
        for wrong in ["", "x", &mark[1..], &mark.to_uppercase(), &format!("{mark}0")] {
            assert!(!keys.is_marked("copy host service 1", wrong), "{wrong}");
        }
        assert!(keys.open(&mark).is_err(), "a mark is no token");
    }
}
