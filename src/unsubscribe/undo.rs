//! The way back: a proof, in the page that says it is done, of which unsubscribe whoever holds it made.
//!
//! It is for a slip of the hand, within the page: it takes back that very unsubscribe and no other, for a
//! quarter of an hour. A link alone, old or forwarded, never lifts anything.

use jiff::{SignedDuration, Timestamp};

use crate::mail::TokenId;
use crate::token::Keys;

/// How long after it was made an unsubscribe can be taken back.
pub const UNDO_WITHIN: SignedDuration = SignedDuration::from_mins(15);

/// Which unsubscribe can be taken back, and what then stands again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// When the register has it since.
    pub since: Timestamp,
    /// The earlier one that it replaced.
    pub before: Option<Timestamp>,
    /// When the page was made.
    pub issued: Timestamp,
}

impl Proof {
    /// Spell it out, sealed for the holder of `token`.
    pub(super) fn seal(&self, token: &TokenId, keys: &Keys) -> String {
        let text = self.text();
        format!("{text}.{}", keys.mark(&format!("undo {} {text}", token.0)))
    }

    /// The inverse of [`Proof::seal`]; `None` for anything else, and when it is too late.
    pub(super) fn open(text: &str, token: &TokenId, keys: &Keys, now: Timestamp) -> Option<Self> {
        let (text, mark) = text.rsplit_once('.')?;
        if !keys.is_marked(&format!("undo {} {text}", token.0), mark) {
            return None;
        }
        let mut parts = text.split('.');
        let mut time = || Timestamp::from_nanosecond(parts.next()?.parse().ok()?).ok();
        let (since, before, issued) = (time()?, time()?, time()?);
        let age = now.duration_since(issued);
        let in_time = age <= UNDO_WITHIN && age >= -UNDO_WITHIN;
        let before = Some(before).filter(|before| *before != Timestamp::MIN);
        in_time.then_some(Self { since, before, issued })
    }

    fn text(&self) -> String {
        let before = self.before.unwrap_or(Timestamp::MIN);
        format!("{}.{}.{}", self.since.as_nanosecond(), before.as_nanosecond(), self.issued.as_nanosecond())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    #[test]
    fn l16_a_proof_is_for_one_unsubscribe_and_a_quarter_of_an_hour() {
        let keys = Keys::generate(&SystemEntropy);
        let time = |seconds| Timestamp::from_second(seconds).unwrap();
        let token = TokenId("a".repeat(32));
        for before in [None, Some(time(5))] {
            let proof = Proof { since: time(1_000), before, issued: time(1_001) };
            let sealed = proof.seal(&token, &keys);
            let open = |text: &str, now| Proof::open(text, &token, &keys, time(now));
            assert_eq!(open(&sealed, 1_001 + 900), Some(proof));
            assert_eq!(open(&sealed, 1_001 + 901), None, "too late");
            assert_eq!(open(&sealed.replacen("1000", "2000", 1), 1_002), None, "another unsubscribe");
            assert_eq!(Proof::open(&sealed, &TokenId("b".repeat(32)), &keys, time(1_002)), None);
            for wrong in ["", ".", "1.2.3.x", &sealed[1..]] {
                assert_eq!(open(wrong, 1_002), None, "{wrong}");
            }
        }
    }
}
