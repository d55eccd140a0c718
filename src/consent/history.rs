//! Consent events and their fold (RULES L1, L2).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How a person gave consent (RULES L2): only an active act counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Ticked a box that was empty.
    TickedBox,
    /// Typed the address into a form made for this.
    Typed,
    /// Signed on paper or screen.
    Signed,
    /// Clicked the link of a confirmation mail.
    ClickedConfirm,
    /// Said so in a recorded conversation.
    SpokenRecorded,
}

/// What is known about how a grant came about. Absent fields lower the grade.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// SHA-256 (hex) of the consent text as it was shown; the text itself is kept by the store.
    pub text_sha256: Option<String>,
    /// Version of the privacy text that was shown with it.
    pub privacy_version: Option<String>,
    /// The active act.
    pub act: Option<Act>,
    /// URL, form name, scan or recording it was given at.
    pub source: Option<String>,
    /// IP address it was given from.
    pub ip: Option<String>,
    /// Whether the box was ticked beforehand, where that is known; `Some(true)` is no consent.
    pub pre_ticked: Option<bool>,
    /// Whether it was part of terms and conditions, where that is known; `Some(true)` is no consent.
    pub bundled: Option<bool>,
    /// The importer's written word that consent was given, where the text is unknown (grade C).
    pub attestation: Option<String>,
}

/// One event in the life of a consent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentEvent {
    /// What happened.
    pub kind: ConsentEventKind,
    /// When it happened in the world (not when it was recorded), UTC.
    pub at: Timestamp,
    /// When the gateway learned of it, UTC: a basis must have existed, and be known, before the send.
    pub recorded_at: Timestamp,
    /// How it is known.
    pub evidence: Evidence,
}

/// The kinds of consent event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentEventKind {
    /// The person asked to be asked (a form was sent in, a confirmation mail is due).
    Request,
    /// Consent was given.
    Grant,
    /// A grant was confirmed by a second act (double opt-in).
    Confirm,
    /// Consent was taken back.
    Withdraw,
    /// An earlier event was recorded by mistake: whatever stands before it no longer counts.
    Correct,
}

/// How good the evidence of a grant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Grade {
    /// The address only: never a basis.
    D,
    /// The text is unknown, but the importer attests the consent.
    C,
    /// Text, act, time and source; no confirmation.
    B,
    /// Text, act, time, source and confirmation.
    A,
}

/// What is known today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsentState {
    /// No event that counts.
    None,
    /// Asked for, not given.
    Requested,
    /// Given.
    Granted {
        /// How good the evidence is.
        grade: Grade,
        /// When it was given (the grant's own time, not the confirmation's).
        since: Timestamp,
        /// Index of the grant in the history.
        event: usize,
        /// Whether the person's own act is on record, and not only the importer's word: only such a grant
        /// lifts an unsubscribe (RULES L16).
        by_person: bool,
    },
    /// Given once and taken back.
    Withdrawn {
        /// When.
        since: Timestamp,
    },
}

/// Why a grant cannot be taken into the register; each names its RULES number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsentError {
    /// The time of the grant lies in the future.
    #[error("L1: the consent is dated {at}, which is in the future")]
    Future {
        /// The date given.
        at: Timestamp,
    },
    /// Neither a text and an act, nor an attestation.
    #[error(
        "L2: {missing} missing; a consent needs the text as shown, an act, a time and a source, or an attestation"
    )]
    Incomplete {
        /// The names of the missing fields.
        missing: String,
    },
}

/// Fold `events`, in the order of their `at` (ties: as recorded), into what is known at `now`. Events
/// dated or recorded after `now` do not count (RULES L1).
pub fn fold(_events: &[ConsentEvent], _now: Timestamp) -> ConsentState {
    unimplemented!("room consent")
}
