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

/// A mailbox that does not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryBlock {
    /// Since when, UTC.
    pub since: Timestamp,
    /// The next hop's answer that caused it.
    pub reply: String,
}

/// The suppression that stands, if one does, given what is known of consent for the same purpose.
pub fn standing<'a>(suppressions: &'a [Suppression], consent: &ConsentState) -> Option<&'a Suppression> {
    suppressions.iter().find(|suppression| match (suppression.reason, consent) {
        (Reason::Unsubscribed, ConsentState::Granted { grade: Grade::A, since, .. }) => {
            *since <= suppression.since
        }
        _ => true,
    })
}
