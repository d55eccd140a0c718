//! The unsubscribe token: a sealed, self-contained capability (DESIGN section 5; promise 7).
//!
//! Lower-case, versioned, AEAD-sealed with the key id inside, and it opens without any lookup, so a link
//! works across restarts, upgrades, key rotation and purges. Whatever does not open gives one error.
//! Pure, so that the gateway can mint and the page can open without knowing each other.

use crate::mail::{AddressKey, Purpose, Reference, SenderId, TokenId};
use crate::secret::{Entropy, Secret};

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The sender to unsubscribe from.
    pub sender: SenderId,
    /// Who unsubscribes.
    pub address: AddressKey,
    /// The submission it was minted for.
    pub reference: Reference,
    /// Purpose of that message.
    pub purpose: Option<Purpose>,
}

/// The keys that seal and open. The first seals; all open.
#[derive(Debug, Clone)]
pub struct Keys {
    _keys: Vec<(u8, Secret)>,
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
    /// One new key.
    pub fn generate(_entropy: &dyn Entropy) -> Self {
        unimplemented!("room token")
    }

    /// These keys and a new one that seals from now on.
    pub fn rotate(&self, _entropy: &dyn Entropy) -> Result<Self, KeysError> {
        unimplemented!("room token")
    }

    /// Read what [`Keys::to_text`] writes.
    pub fn parse(_text: &str) -> Result<Self, KeysError> {
        unimplemented!("room token")
    }

    /// The content of a key file: a line for each key, newest first.
    pub fn to_text(&self) -> Secret {
        unimplemented!("room token")
    }

    /// Keys by id, newest first; each secret has 32 octets.
    pub fn new(keys: Vec<(u8, Secret)>) -> Result<Self, KeysError> {
        Ok(Self { _keys: keys })
    }

    /// Seal `claim`: lower-case letters and digits only, fit for a URL path segment and a mail local part.
    pub fn mint(&self, _claim: &Claim, _entropy: &dyn Entropy) -> String {
        unimplemented!("room token")
    }

    /// Open a token.
    pub fn open(&self, _token: &str) -> Result<Claim, TokenError> {
        unimplemented!("room token")
    }
}

/// The id under which the ledger knows a token.
pub fn id(_token: &str) -> TokenId {
    unimplemented!("room token")
}
