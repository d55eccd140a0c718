//! An envelope sender of its own for each copy (VERP), that nobody else can make up: `b-<copy>-<mark>@domain`.
//!
//! What comes back to it names the copy for sure, whatever a far server made of the message; a forged bounce
//! blocks nobody (RULES P14). It fits into 64 octets (RFC 5321 4.5.3.1.1), and means the same in capitals.

use super::Keys;
use crate::mail::{Address, CopyId, Domain};

/// What such a local part begins with.
const START: &str = "b-";
/// Longest local part, in octets.
const LONGEST: usize = 64;

impl Keys {
    /// The envelope sender of `copy` at `domain`; `None` for a copy whose number is too long for one.
    pub fn bounce_address(&self, copy: CopyId, domain: &Domain) -> Option<Address> {
        let local = format!("{START}{copy}-{}", self.mark(&text(copy)));
        if local.len() > LONGEST {
            return None;
        }
        Address::parse(&format!("{local}@{}", domain.ascii())).ok()
    }

    /// The copy whose envelope sender `address` is, under any key.
    pub fn bounced(&self, address: &Address, domain: &Domain) -> Option<CopyId> {
        if address.domain() != domain {
            return None;
        }
        let local = address.local().to_ascii_lowercase();
        let (copy, mark) = local.strip_prefix(START)?.rsplit_once('-')?;
        let copy = CopyId::parse(copy).ok()?;
        self.is_marked(&text(copy), mark).then_some(copy)
    }
}

/// What is marked: no trace begins so.
fn text(copy: CopyId) -> String {
    format!("bounce {copy}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Reference;
    use crate::secret::SystemEntropy;

    #[test]
    fn p14_an_envelope_sender_names_its_copy_and_cannot_be_made_up() {
        let keys = Keys::generate(&SystemEntropy);
        let domain = Domain::parse("bounce.example.nl").unwrap();
        let reference = Reference::new(jiff::Timestamp::UNIX_EPOCH, [7; 10]);
        let copy = CopyId { reference, index: 99_999 };
        let address = keys.bounce_address(copy, &domain).unwrap();
        assert!(address.local().len() <= 64, "{address}");
        assert_eq!(keys.bounced(&address, &domain), Some(copy));
        assert_eq!(keys.rotate(&SystemEntropy).unwrap().bounced(&address, &domain), Some(copy));
        let upper = Address::parse(&address.as_str().to_uppercase()).unwrap();
        assert_eq!(keys.bounced(&upper, &domain), Some(copy), "some servers do that");

        let other = CopyId { reference, index: 99_998 };
        let swapped = address.as_str().replace(&copy.to_string(), &other.to_string());
        let (bare, _) = address.as_str().rsplit_once('@').unwrap();
        for wrong in [
            swapped,
            format!("{}@bounce.example.nl", &bare[..bare.len() - 1]),
            format!("{bare}0@bounce.example.nl"),
            format!("{bare}@example.nl"),
            "b-@bounce.example.nl".to_owned(),
        ] {
            assert_eq!(keys.bounced(&Address::parse(&wrong).unwrap(), &domain), None, "{wrong}");
        }
        assert_eq!(Keys::generate(&SystemEntropy).bounced(&address, &domain), None, "another gateway's");
    }
}
