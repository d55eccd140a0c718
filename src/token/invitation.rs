//! The link of a confirmation mail: proof that whoever holds it reads the mail of an address (RULES L12).
//!
//! It says which form was sent in, for which address and when; what was shown and from where stands in the
//! register, under that moment. How long it is good for is the form's business.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Keys, TokenError, address_key};
use crate::mail::AddressKey;
use crate::secret::Entropy;

/// Where the version of an unsubscribe token stands; no version of those will be this one.
const VERSION: u8 = 0x81;

/// A sign-up that waits to be confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Name of the form.
    pub form: String,
    /// Who signed up.
    pub address: AddressKey,
    /// When, in whole microseconds.
    pub asked_at: Timestamp,
}

/// The plaintext. Its fields never change: a new version gets its own.
#[derive(Serialize, Deserialize)]
struct InvitationV1<'a> {
    #[serde(borrow)]
    form: Cow<'a, str>,
    #[serde(borrow)]
    address: Cow<'a, str>,
    asked_at: i64,
}

impl Keys {
    /// Seal `invitation`: lower-case letters and digits only.
    pub fn invite(&self, invitation: &Invitation, entropy: &dyn Entropy) -> String {
        let plain = InvitationV1 {
            form: Cow::Borrowed(&invitation.form),
            address: Cow::Borrowed(invitation.address.as_str()),
            asked_at: invitation.asked_at.as_microsecond(),
        };
        self.seal(VERSION, &plain, entropy)
    }

    /// The inverse of [`Keys::invite`]; an unsubscribe token is not one, nor the other way round.
    pub fn open_invitation(&self, token: &str) -> Result<Invitation, TokenError> {
        self.unseal(VERSION, token, |plain| {
            let (plain, rest) =
                postcard::take_from_bytes::<InvitationV1<'_>>(plain).map_err(|_| TokenError)?;
            if !rest.is_empty() {
                return Err(TokenError);
            }
            Ok(Invitation {
                form: plain.form.into_owned(),
                address: address_key(&plain.address)?,
                asked_at: Timestamp::from_microsecond(plain.asked_at).map_err(|_| TokenError)?,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Address, Reference, SenderId};
    use crate::secret::SystemEntropy;
    use crate::token::Claim;

    #[test]
    fn l12_a_confirm_link_opens_as_nothing_else_and_nothing_else_as_one() {
        let keys = Keys::generate(&SystemEntropy);
        let address = Address::parse("Lezer@example.org").unwrap().key().clone();
        let asked_at = Timestamp::from_microsecond(1_700_000_000_123_456).unwrap();
        let invitation = Invitation { form: "nieuws".to_owned(), address: address.clone(), asked_at };
        let link = keys.invite(&invitation, &SystemEntropy);
        assert!(link.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{link}");
        assert_eq!(keys.open_invitation(&link), Ok(invitation.clone()));
        assert_eq!(keys.rotate(&SystemEntropy).unwrap().open_invitation(&link), Ok(invitation));
        assert!(keys.open(&link).is_err(), "it unsubscribes nobody");
        let reference = Reference::new(asked_at, [7; 10]);
        let claim = Claim { sender: SenderId("1".to_owned()), address, reference, purpose: None };
        let token = keys.mint(&claim, &SystemEntropy);
        assert!(keys.open(&token).is_ok() && keys.open_invitation(&token).is_err(), "nor signs anybody up");
        for at in 0..link.len() {
            let mut wrong = link.clone().into_bytes();
            wrong[at] = if wrong[at] == b'0' { b'1' } else { b'0' };
            let wrong = String::from_utf8(wrong).unwrap();
            assert!(
                keys.open_invitation(&wrong).is_err() && keys.open_invitation(&link[..at]).is_err(),
                "{at}"
            );
        }
        assert!(Keys::generate(&SystemEntropy).open_invitation(&link).is_err());
    }
}
