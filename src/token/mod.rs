//! The unsubscribe token: a sealed, self-contained capability (DESIGN section 5; promise 7).
//!
//! Lower-case, versioned, AEAD-sealed with the key id inside, and it opens without any lookup, so a link
//! works across restarts, upgrades, key rotation and purges. Whatever does not open gives one error, after
//! the same work. Pure, so that the gateway can mint and the page can open without knowing each other.
//! Deliberately absent: expiry (an opt-out has none) and any record of the tokens that were made.
//!
//! Format of version 1, all of it in lower-case base32 (the alphabet of [`crate::mail::Reference`]):
//!
//! ```text
//! octets  0        1       2..10   10..n-16     n-16..n
//!         version  key id  nonce   ciphertext   tag
//! ```
//!
//! Sealed with AES-256-GCM-SIV (RFC 8452), version and key id as associated data. Its nonce is 8 random
//! octets and four zeros: GCM-SIV forgives a repeated nonce (it would show only that two equal claims are
//! equal, and no two are, for each holds its reference and address), and each octet less is a shorter link.
//! The plaintext is the claim in postcard. A key is good for 2^32 tokens and more; rotation is for keys that
//! may have leaked.
//!
//! A token of a short address and purpose has about 190 characters: too many for the local part of a mailbox
//! (64), so the mailto form carries it in the subject.
//!
//! The link of a confirmation mail ([`Invitation`], RULES L12) is sealed the same way, as a version of its own:
//! neither opens as the other.

mod base32;
mod bounce;
mod invitation;
mod mark;

pub use invitation::Invitation;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::mail::{AddressKey, Purpose, Reference, SenderId, TokenId, hex, sha256};
use crate::secret::{Entropy, Secret, random};

const VERSION: u8 = 1;
/// Version and key id.
const HEAD: usize = 2;
/// Octets of the nonce that are in the token; the rest are zero.
const NONCE: usize = 8;
const TAG: usize = 16;
const KEY: usize = 32;
/// Longest purpose in a token, in octets. A longer one is left out (the opt-out is from everything
/// commercial in any case, RULES L9), so that a List-Unsubscribe line stays under 998 octets.
const MAX_PURPOSE: usize = 120;
/// Longest text looked at (promise 10); no token is as long.
const MAX_TOKEN: usize = 2_048;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The sender to unsubscribe from.
    pub sender: SenderId,
    /// Who unsubscribes.
    pub address: AddressKey,
    /// The submission it was minted for.
    pub reference: Reference,
    /// Purpose of that message; one of more than 120 octets does not come back.
    pub purpose: Option<Purpose>,
}

/// The plaintext of version 1. Its fields never change: a new version gets its own.
#[derive(Serialize, Deserialize)]
struct ClaimV1<'a> {
    reference: [u8; 16],
    #[serde(borrow)]
    sender: Cow<'a, str>,
    #[serde(borrow)]
    address: Cow<'a, str>,
    #[serde(borrow)]
    purpose: Option<Cow<'a, str>>,
}

/// The keys that seal and open. The first seals; all open. Clones share them.
#[derive(Clone)]
pub struct Keys {
    /// Never empty.
    keys: Arc<[Key]>,
}

struct Key {
    id: u8,
    secret: Secret,
    ready: LessSafeKey,
    /// What marks are made with.
    marker: hmac::Key,
}

/// A text that is no token of ours: wrong, truncated, foreign, altered, all alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a token of this gateway")]
pub struct TokenError;

/// Why there are no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// None at all.
    #[error("no token key")]
    None,
    /// A secret that has not 32 octets.
    #[error("token key {id} has not 32 octets")]
    Length {
        /// Its id.
        id: u8,
    },
    /// Two keys of one id.
    #[error("two token keys have the id {id}")]
    Twice {
        /// The id.
        id: u8,
    },
    /// A line of a key file that is no key.
    #[error("line {line} is no token key: expected an id, a space and 64 hex digits")]
    Line {
        /// From 1.
        line: usize,
    },
    /// All 256 ids are taken.
    #[error("all 256 ids of token keys are taken")]
    Full,
}

impl Keys {
    /// One new key, with id 0.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self { keys: Arc::new([Key::new(0, Zeroizing::new(random::<KEY>(entropy)))]) }
    }

    /// These keys and a new one that seals from now on.
    pub fn rotate(&self, entropy: &dyn Entropy) -> Result<Self, KeysError> {
        let taken = |id: &u8| self.keys.iter().any(|key| key.id == *id);
        let id = (0..=u8::MAX).find(|id| !taken(id)).ok_or(KeysError::Full)?;
        let mut keys = vec![(id, Secret::new(random::<KEY>(entropy)))];
        keys.extend(self.keys.iter().map(|key| (key.id, key.secret.clone())));
        Self::new(keys)
    }

    /// The id of the key that seals.
    pub fn newest(&self) -> u8 {
        self.keys[0].id
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Keys by id, newest first; each secret has 32 octets.
    pub fn new(keys: Vec<(u8, Secret)>) -> Result<Self, KeysError> {
        if keys.is_empty() {
            return Err(KeysError::None);
        }
        let mut ready: Vec<Key> = Vec::with_capacity(keys.len());
        for (id, secret) in keys {
            if ready.iter().any(|key| key.id == id) {
                return Err(KeysError::Twice { id });
            }
            let octets = <[u8; KEY]>::try_from(secret.expose()).map_err(|_| KeysError::Length { id })?;
            ready.push(Key::new(id, Zeroizing::new(octets)));
        }
        Ok(Self { keys: ready.into() })
    }

    /// Read what [`Keys::to_text`] writes. Empty lines and lines that begin with `#` are passed over.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                keys.push(key_line(line).ok_or(KeysError::Line { line: index + 1 })?);
            }
        }
        Self::new(keys)
    }

    /// The content of a key file: a line for each key, newest first.
    pub fn to_text(&self) -> Secret {
        Self::lines(&self.keys)
    }

    /// The line of the key that seals.
    pub fn newest_to_text(&self) -> Secret {
        Self::lines(&self.keys[..1])
    }

    fn lines(keys: &[Key]) -> Secret {
        // Sized beforehand: growing would leave parts of keys behind in freed memory.
        let mut text = Vec::with_capacity(keys.len() * (KEY * 2 + "255 \n".len()));
        for key in keys {
            text.extend_from_slice(key.id.to_string().as_bytes());
            text.push(b' ');
            for byte in key.secret.expose() {
                text.extend([byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
            }
            text.push(b'\n');
        }
        Secret::new(text)
    }

    /// Seal `claim`: lower-case letters and digits only, fit for a URL path segment and a mail subject.
    pub fn mint(&self, claim: &Claim, entropy: &dyn Entropy) -> String {
        let purpose = claim.purpose.as_ref().filter(|purpose| purpose.0.len() <= MAX_PURPOSE);
        let plain = ClaimV1 {
            reference: claim.reference.to_bytes(),
            sender: Cow::Borrowed(&claim.sender.0),
            address: Cow::Borrowed(claim.address.as_str()),
            purpose: purpose.map(|purpose| Cow::Borrowed(purpose.0.as_str())),
        };
        self.seal(VERSION, &plain, entropy)
    }

    /// Open a token. A token of an unknown key or version costs what any other costs.
    pub fn open(&self, token: &str) -> Result<Claim, TokenError> {
        self.unseal(VERSION, token, claim_v1)
    }

    /// `version ‖ key id ‖ nonce ‖ ciphertext ‖ tag` of `plain`, spelled out.
    fn seal(&self, version: u8, plain: &impl Serialize, entropy: &dyn Entropy) -> String {
        let key = &self.keys[0];
        let nonce = random::<NONCE>(entropy);
        let mut token = vec![version, key.id];
        token.extend_from_slice(&nonce);
        // Postcard into a vector fails only on types that do not know their length; strings and arrays do.
        let mut token = postcard::to_extend(plain, token).expect("strings and arrays know their length");
        let tag = key
            .ready
            .seal_in_place_separate_tag(
                full_nonce(nonce),
                Aad::from([version, key.id]),
                &mut token[HEAD + NONCE..],
            )
            // Sealing fails only on inputs of more than 2^36 octets (RFC 8452 section 6).
            .expect("a claim is not that long");
        token.extend_from_slice(tag.as_ref());
        base32::encode(&token)
    }

    /// What was sealed as `wanted`, read by `read`.
    fn unseal<T>(
        &self,
        wanted: u8,
        token: &str,
        read: impl FnOnce(&[u8]) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError);
        }
        let mut token = base32::decode(token).ok_or(TokenError)?;
        if token.len() < HEAD + NONCE + TAG {
            return Err(TokenError);
        }
        let (head, body) = token.split_at_mut(HEAD);
        let (nonce, body) = body.split_at_mut(NONCE);
        let [version, id] = [head[0], head[1]];
        let nonce = <[u8; NONCE]>::try_from(&*nonce).map_err(|_| TokenError)?;
        let known = self.keys.iter().find(|key| key.id == id);
        let key = known.unwrap_or(&self.keys[0]);
        let opened = key.ready.open_in_place(full_nonce(nonce), Aad::from([version, id]), body);
        match opened {
            Ok(plain) if version == wanted && known.is_some() => read(plain),
            _ => Err(TokenError),
        }
    }
}

impl Key {
    fn new(id: u8, octets: Zeroizing<[u8; KEY]>) -> Self {
        // The only failure is a wrong length, and the type has the right one.
        let unbound = UnboundKey::new(&AES_256_GCM_SIV, octets.as_slice()).expect("32 octets are a key");
        let marker = mark::key(octets.as_slice());
        Self { id, secret: Secret::new(octets.as_slice()), ready: LessSafeKey::new(unbound), marker }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keys").field(&self.keys.iter().map(|key| key.id).collect::<Vec<_>>()).finish()
    }
}

/// The id under which the ledger knows a token: the first 16 octets of its SHA-256, in hex.
pub fn id(token: &str) -> TokenId {
    TokenId(hex(&sha256(token.as_bytes())[..16]))
}

fn full_nonce(part: [u8; NONCE]) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[..NONCE].copy_from_slice(&part);
    Nonce::assume_unique_for_key(nonce)
}

fn claim_v1(plain: &[u8]) -> Result<Claim, TokenError> {
    let (claim, rest) = postcard::take_from_bytes::<ClaimV1<'_>>(plain).map_err(|_| TokenError)?;
    if !rest.is_empty() {
        return Err(TokenError);
    }
    Ok(Claim {
        sender: SenderId(claim.sender.into_owned()),
        address: address_key(&claim.address)?,
        reference: Reference::from_bytes(claim.reference),
        purpose: claim.purpose.map(|purpose| Purpose(purpose.into_owned())),
    })
}

fn address_key(text: &str) -> Result<AddressKey, TokenError> {
    let text = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text);
    AddressKey::deserialize(text).map_err(|_| TokenError)
}

fn key_line(line: &str) -> Option<(u8, Secret)> {
    let (id, hex) = line.split_once(' ')?;
    let hex = hex.trim().as_bytes();
    if hex.len() != KEY * 2 {
        return None;
    }
    let mut octets = Zeroizing::new([0; KEY]);
    for (octet, digits) in octets.iter_mut().zip(hex.chunks_exact(2)) {
        let digit = |at: usize| char::from(digits[at]).to_digit(16);
        *octet = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some((id.parse().ok()?, Secret::new(octets.as_slice())))
}

#[cfg(test)]
mod tests;
