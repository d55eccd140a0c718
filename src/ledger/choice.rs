//! What somebody who unsubscribed did next: said why, or took it back. And what of all that is news to a sender.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::{Consented, Event, Suppressed, Unsubscribed};
use super::inbox::{Returned, Unblocked};
use crate::consent::ConsentEventKind;
use crate::mail::{AddressKey, Reference, SenderId, TokenId};
use crate::suppression::Reason;

/// An unsubscribe was a mistake, says whoever made it, within the page that made it. What stood before it
/// stands again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Corrected {
    /// From which sender.
    pub sender: SenderId,
    /// Who.
    pub address: AddressKey,
    /// When the unsubscribe was recorded that this takes back: that one, and no other.
    pub since: Timestamp,
    /// When an earlier unsubscribe was recorded that it had replaced, and that stands again.
    pub before: Option<Timestamp>,
    /// The token that was used for both.
    pub token: Option<TokenId>,
    /// The submission its message belonged to.
    pub reference: Option<Reference>,
    /// IP address of the request.
    pub ip: Option<String>,
    /// User-Agent of the request.
    pub user_agent: Option<String>,
}

/// Why somebody unsubscribed, in one of the answers that the page offers afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// From which sender.
    pub sender: SenderId,
    /// Who.
    pub address: AddressKey,
    /// Why.
    pub why: Why,
    /// The token that was used.
    pub token: Option<TokenId>,
    /// The submission its message belonged to.
    pub reference: Option<Reference>,
}

/// The answers. No free text: it would gather what nobody needs to know about a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Never asked for it.
    NeverAsked,
    /// It comes too often.
    TooOften,
    /// It is not, or no longer, of interest.
    NotRelevant,
    /// Something else.
    Other,
}

impl Why {
    /// All of them, in the order of the page.
    pub const ALL: [Self; 4] = [Self::NeverAsked, Self::TooOften, Self::NotRelevant, Self::Other];

    /// The word of the JSON and the form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NeverAsked => "never_asked",
            Self::TooOften => "too_often",
            Self::NotRelevant => "not_relevant",
            Self::Other => "other",
        }
    }
}

/// What the sender is told.
#[derive(Debug, Clone, Copy)]
pub enum News<'a> {
    /// Somebody unsubscribed.
    Unsubscribed(&'a Unsubscribed),
    /// Somebody took it back.
    Corrected(&'a Corrected),
    /// Somebody said why.
    Explained(&'a Explained),
    /// Somebody complained to a mailbox provider, and is suppressed.
    Complained(&'a Suppressed),
    /// A mailbox does not work, and is blocked.
    Blocked(&'a Returned),
    /// A mailbox that was blocked works after all.
    Unblocked(&'a Unblocked),
    /// Somebody consented: signed up and confirmed it, or consented anew after what stood against them.
    Consented {
        /// To what.
        what: &'a Consented,
        /// Whether an unsubscribe or a block ended with it.
        lifts: bool,
    },
}

impl<'a> News<'a> {
    /// The news in an entry, when it is news to a sender.
    pub fn of(event: &'a Event) -> Option<Self> {
        match event {
            Event::Unsubscribed(it) => Some(Self::Unsubscribed(it)),
            Event::Corrected(it) => Some(Self::Corrected(it)),
            Event::Explained(it) => Some(Self::Explained(it)),
            Event::Suppression(it) if it.suppression.reason == Reason::Complaint => {
                Some(Self::Complained(it))
            }
            Event::Returned(it) if it.blocked => Some(Self::Blocked(it)),
            Event::Unblocked(it) => Some(Self::Unblocked(it)),
            Event::Consent(what)
                if matches!(what.event.kind, ConsentEventKind::Grant | ConsentEventKind::Confirm) =>
            {
                // An entry does not say what stood before it: whoever records it knows.
                Some(Self::Consented { what, lifts: false })
            }
            _ => None,
        }
    }

    /// Whom it is about.
    pub fn address(&self) -> &'a AddressKey {
        match self {
            Self::Unsubscribed(it) => &it.address,
            Self::Corrected(it) => &it.address,
            Self::Explained(it) => &it.address,
            Self::Complained(it) => &it.address,
            Self::Blocked(it) => &it.address,
            Self::Unblocked(it) => &it.address,
            Self::Consented { what, .. } => &what.address,
        }
    }

    /// Whose news it is.
    pub fn sender(&self) -> &'a SenderId {
        match self {
            Self::Unsubscribed(it) => &it.sender,
            Self::Corrected(it) => &it.sender,
            Self::Explained(it) => &it.sender,
            Self::Complained(it) => &it.sender,
            Self::Blocked(it) => &it.sender,
            Self::Unblocked(it) => &it.sender,
            Self::Consented { what, .. } => &what.sender,
        }
    }

    /// The submission it is about, when that is known.
    pub fn reference(&self) -> Option<Reference> {
        match self {
            Self::Unsubscribed(it) => it.reference,
            Self::Corrected(it) => it.reference,
            Self::Explained(it) => it.reference,
            Self::Complained(it) => it.reference,
            Self::Blocked(it) => Some(it.reference),
            Self::Unblocked(_) | Self::Consented { .. } => None,
        }
    }
}
