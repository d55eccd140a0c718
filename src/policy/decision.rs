//! The decision, and the permit that only it can make.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::consent::{Grade, PublishedGap, RelationGap};
use crate::mail::{Address, Class, Purpose, Sender};

/// Why a marketing message may go to one recipient, with a frozen copy of the facts it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "basis", rename_all = "snake_case")]
pub enum Basis {
    /// Consent for this sender and purpose.
    Consent {
        /// How good the evidence is.
        grade: Grade,
        /// When it was given.
        since: Timestamp,
        /// Hash of the text as shown, when it is known.
        text_sha256: Option<String>,
        /// Where it was given.
        source: Option<String>,
        /// Numbers of the ledger entries that hold the grant and what confirmed it.
        #[serde(default)]
        entries: Vec<u64>,
    },
    /// A purchase of something similar.
    Customer {
        /// The product group bought.
        product: String,
        /// When.
        last_purchase: Timestamp,
        /// Order number or other source.
        source: Option<String>,
        /// Numbers of the ledger entries that hold it.
        #[serde(default)]
        entries: Vec<u64>,
    },
    /// A business address published for this purpose.
    Published {
        /// Where.
        url: String,
        /// When the page was captured.
        captured_at: Timestamp,
        /// Numbers of the ledger entries that hold it.
        #[serde(default)]
        entries: Vec<u64>,
    },
    /// An allow-rule.
    Allowed {
        /// The rule.
        rule: String,
        /// Its written reason.
        reason: String,
    },
    /// Not marketing: no basis is asked for.
    NotNeeded,
    /// There is none: it goes only because nothing is blocked under observe.
    Missing,
}

impl Basis {
    /// Numbers of the ledger entries that it rests on.
    pub fn entries(&self) -> &[u64] {
        match self {
            Self::Consent { entries, .. }
            | Self::Customer { entries, .. }
            | Self::Published { entries, .. } => entries,
            Self::Allowed { .. } | Self::NotNeeded | Self::Missing => &[],
        }
    }
}

impl fmt::Display for Basis {
    /// For people: in evidence packs and explanations.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consent { grade, since, source, .. } => {
                write!(f, "consent of grade {grade:?}, given {since}")?;
                source.as_ref().map_or(Ok(()), |source| write!(f, " at {source}"))
            }
            Self::Customer { product, last_purchase, .. } => {
                write!(f, "customer: bought {product}, last on {last_purchase}")
            }
            Self::Published { url, captured_at, .. } => {
                write!(f, "address published for this at {url}, captured {captured_at}")
            }
            Self::Allowed { rule, reason } => write!(f, "allowed by the rule {rule:?}: {reason}"),
            Self::NotNeeded => f.write_str("no marketing: no basis is needed"),
            Self::Missing => f.write_str("no basis on record"),
        }
    }
}

/// The clause that failed. Its text is made by [`Refusal::text`]; its RULES number by [`Clause::rule`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "clause", rename_all = "snake_case")]
pub enum Clause {
    /// L1: nothing on record.
    NoBasis,
    /// L2: a consent is there but its evidence is of grade D.
    GradeTooLow,
    /// L3: the consent was withdrawn.
    Withdrawn {
        /// When.
        since: Timestamp,
    },
    /// L4: a customer relation is there but fails a clause.
    Relation {
        /// Which.
        gap: RelationGap,
    },
    /// L5: a publication is there but does not count.
    Published {
        /// Why not.
        gap: PublishedGap,
    },
    /// L16: suppressed.
    Suppressed {
        /// Why (`unsubscribed`, `complaint`, …).
        reason: crate::suppression::Reason,
        /// Since when.
        since: Timestamp,
    },
    /// P14: the mailbox is known not to work.
    Blocked,
    /// L7: no sender of the config owns the From domain, or there is no usable From.
    UnknownSender,
    /// L7: the From name is not the sender's, or the From domain, or Reply-To; `why` says which.
    Identity {
        /// What is wrong and what would be right.
        why: String,
    },
    /// L8: the message cannot carry an opt-out; `why` says why.
    NoOptOut {
        /// What stands in the way.
        why: String,
    },
    /// P12: the message is broken in a way that makes an edit unsafe; `why` says how.
    Malformed {
        /// What is broken.
        why: String,
    },
    /// L14: several visible external recipients.
    VisibleRecipients {
        /// How many.
        count: usize,
    },
    /// L15: the account may not send for this sender.
    NotYourSender,
    /// A `refuse` rule.
    Rule {
        /// Its text.
        reason: String,
    },
    /// No purpose is configured for this marketing message, so no consent can match it.
    NoPurpose,
    /// L13: personal mail to so many that it is marketing, and no basis for that.
    PersonalToMany {
        /// External recipients in the envelope.
        count: usize,
    },
    /// L13: one of many personal messages that say nearly the same, and no basis for that.
    PersonalAlike {
        /// How many in 24 hours, this one included.
        count: usize,
    },
    /// The allow-rule has ended.
    AllowEnded {
        /// Its last moment.
        until: Timestamp,
    },
    /// Promise 5: it could not be decided; only ever seen as what enforcement would have said, under
    /// observe.
    Undecided {
        /// Why not.
        why: String,
    },
}

/// A refusal for one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The clause that failed.
    #[serde(flatten)]
    pub clause: Clause,
    /// The rule that decided; `None` when nothing matched (marketing, the strict case).
    pub rule: Option<String>,
    /// Name of the sender it was refused for, when known.
    pub sender: Option<String>,
    /// Purpose, when known.
    pub purpose: Option<Purpose>,
}

/// The answer of policy for one recipient, and the way to it.
#[derive(Debug)]
pub struct Decision {
    /// Name of the rule that decided; `None` when nothing matched.
    pub rule: Option<String>,
    /// What the message is, for this recipient.
    pub class: Class,
    /// Forward, refuse or defer.
    pub answer: Answer,
}

/// Forward, refuse or defer.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it lives for a moment; a box would be one more allocation")]
pub enum Answer {
    /// It may go.
    Forward(Permit),
    /// It may not.
    Refuse(Refusal),
    /// It cannot be decided now (promise 5): 451 with this reason.
    Defer(String),
}

/// The right to send one message to one recipient. Only this room can make one.
#[derive(Debug, Clone)]
pub struct Permit {
    recipient: Address,
    class: Class,
    sender: Option<Arc<Sender>>,
    purpose: Option<Purpose>,
    rule: Option<String>,
    basis: Basis,
    observed: Option<Refusal>,
}

impl Permit {
    /// Only a decision makes one.
    pub(super) fn new(recipient: Address, class: Class, basis: Basis) -> Self {
        Self { recipient, class, sender: None, purpose: None, rule: None, basis, observed: None }
    }

    pub(super) fn with_case(
        mut self,
        sender: Option<Arc<Sender>>,
        purpose: Option<Purpose>,
        rule: Option<String>,
    ) -> Self {
        (self.sender, self.purpose, self.rule) = (sender, purpose, rule);
        self
    }

    pub(super) fn with_observed(mut self, observed: Refusal) -> Self {
        self.observed = Some(observed);
        self
    }

    /// Who may get it.
    pub fn recipient(&self) -> &Address {
        &self.recipient
    }

    /// What it is.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Whom it is sent for. Always there for marketing, unless it goes only under observe (RULES L7 failed).
    pub fn sender(&self) -> Option<&Arc<Sender>> {
        self.sender.as_ref()
    }

    /// What it is about.
    pub fn purpose(&self) -> Option<&Purpose> {
        self.purpose.as_ref()
    }

    /// The rule that decided.
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    /// Why it may go.
    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    /// Under `mode = "observe"`: what enforcement would have refused it for.
    pub fn observed(&self) -> Option<&Refusal> {
        self.observed.as_ref()
    }
}

/// The permit for one of the gateway's own notices (class `system`: DSN, notice of an unsubscribe).
pub fn system(recipient: Address, sender: Option<Arc<Sender>>) -> Permit {
    Permit::new(recipient, Class::System, Basis::NotNeeded).with_case(sender, None, None)
}
