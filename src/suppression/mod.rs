//! Suppression: who a sender may not send marketing to, above every basis (RULES L3, L16, L17).
//!
//! A suppression is by sender, over all its tools and lists, and has no expiry. A newer grade-A grant by
//! the person lifts an unsubscribe; nothing lifts a complaint or an objection. A delivery block (hard
//! bounces) is something else: it says that a mailbox does not work. **No write method here.**

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::consent::{ConsentState, Grade};

/// Why an address is suppressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The person unsubscribed; a newer grade-A grant lifts it.
    Unsubscribed,
    /// The person complained (ARF, RULES P14); never lifted by a grant.
    Complaint,
    /// The person objected (GDPR art. 21); never lifted by a grant.
    Objection,
    /// The administrator put it in by hand; never lifted by a grant.
    Manual,
}

impl Reason {
    /// The word of files, commands and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsubscribed => "unsubscribed",
            Self::Complaint => "complaint",
            Self::Objection => "objection",
            Self::Manual => "manual",
        }
    }
}

/// One suppression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// Why.
    pub reason: Reason,
    /// Since when, UTC.
    pub since: Timestamp,
    /// Where it came from: `one_click`, a file name, a ticket.
    pub source: String,
}

impl Suppression {
    /// The SHA-256 (hex) of the file that an import took it from; `None` for what came any other way, which no undoing
    /// of an import takes back (RULES L19).
    pub fn file(&self) -> Option<&str> {
        file_of(&self.source)
    }
}

/// The SHA-256 (hex) of the file that a fact with this source was imported from: it ends in
/// `(SHA-256 …), import ID`.
pub fn file_of(source: &str) -> Option<&str> {
    let (file, id) = source.rsplit_once("), import ")?;
    let (_, sha256) = file.rsplit_once("(SHA-256 ")?;
    let is_hash = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_hash && !id.is_empty() && !id.contains(' ')).then_some(sha256)
}

/// A mailbox that does not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryBlock {
    /// Since when, UTC.
    pub since: Timestamp,
    /// The next hop's answer that caused it.
    pub reply: String,
}

/// Whether an enhanced status code (RFC 3463) about a recipient says that there is no such mailbox, and that
/// there will be none tomorrow. What is full, too large, refused as spam or not reachable now does not.
pub fn says_no_mailbox(status: &str) -> bool {
    matches!(status, "5.1.0" | "5.1.1" | "5.1.2" | "5.1.3" | "5.1.6" | "5.1.10" | "5.2.1")
}

/// The suppression that stands, if one does, given what is known of consent for the purpose of the message
/// (RULES L16). The weightiest of several: what no grant lifts before an unsubscribe.
///
/// An unsubscribe is from everything commercial of the sender, and is lifted for one purpose only, by a
/// grade-A grant for it, given by the person after the unsubscribe. An import with the importer's word does
/// not lift it, however complete.
pub fn standing<'a>(suppressions: &'a [Suppression], consent: &ConsentState) -> Option<&'a Suppression> {
    suppressions
        .iter()
        .filter(|suppression| !is_lifted(suppression, consent))
        .max_by_key(|suppression| suppression.reason != Reason::Unsubscribed)
}

fn is_lifted(suppression: &Suppression, consent: &ConsentState) -> bool {
    match (suppression.reason, consent) {
        (Reason::Unsubscribed, ConsentState::Granted { grade: Grade::A, since, by_person: true, .. }) => {
            *since > suppression.since
        }
        (Reason::Unsubscribed | Reason::Complaint | Reason::Objection | Reason::Manual, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SINCE: Timestamp = Timestamp::constant(1_700_000_000, 0);

    fn suppressed(reason: Reason) -> Vec<Suppression> {
        vec![Suppression { reason, since: SINCE, source: "one_click".into() }]
    }

    fn granted(grade: Grade, seconds_later: i32, by_person: bool) -> ConsentState {
        let since = Timestamp::constant(1_700_000_000 + i64::from(seconds_later), 0);
        ConsentState::Granted { grade, since, event: 0, by_person }
    }

    #[test]
    fn l16_only_a_newer_grade_a_grant_by_the_person_lifts_an_unsubscribe() {
        let unsubscribed = suppressed(Reason::Unsubscribed);
        assert_eq!(standing(&unsubscribed, &granted(Grade::A, 1, true)), None);
        for consent in [
            granted(Grade::A, 0, true),
            granted(Grade::A, -1, true),
            granted(Grade::A, 1, false),
            granted(Grade::B, 1, true),
            granted(Grade::C, 1, true),
            granted(Grade::D, 1, true),
            ConsentState::None,
            ConsentState::Requested,
            ConsentState::Withdrawn { since: SINCE },
        ] {
            assert_eq!(standing(&unsubscribed, &consent), unsubscribed.first(), "{consent:?}");
        }
    }

    #[test]
    fn l16_nothing_lifts_a_complaint_an_objection_or_the_administrators_word() {
        for reason in [Reason::Complaint, Reason::Objection, Reason::Manual] {
            let suppressions = suppressed(reason);
            assert_eq!(standing(&suppressions, &granted(Grade::A, 1, true)), suppressions.first());
        }
    }

    #[test]
    fn l19_what_an_import_brought_is_told_from_everything_else() {
        let hash = "0f".repeat(32);
        let of = |source: String| file_of(&source).map(str::to_owned);
        assert_eq!(of(format!("laposta export, x.csv (SHA-256 {hash}), import 01h7")), Some(hash.clone()));
        for source in [
            "one_click".to_owned(),
            "abuse report".to_owned(),
            "a letter, import 01h7".to_owned(),
            format!("x (SHA-256 {hash}), import "),
            format!("x (SHA-256 {hash}), import 01h7 and more"),
            "x (SHA-256 0f), import 01h7".to_owned(),
        ] {
            assert_eq!(of(source.clone()), None, "{source}");
        }
    }

    #[test]
    fn the_weightiest_of_several_is_told() {
        let mut several = suppressed(Reason::Unsubscribed);
        several.extend(suppressed(Reason::Complaint));
        several.extend(suppressed(Reason::Unsubscribed));
        let told = standing(&several, &ConsentState::None).map(|suppression| suppression.reason);
        assert_eq!(told, Some(Reason::Complaint));
        assert_eq!(standing(&[], &ConsentState::None), None);
    }
}
