//! Rules: the administrator's ordered list (DESIGN section 5). First match decides.

use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use super::facts::{Facts, MessageFacts};
use super::pattern::{Pattern, glob};
use crate::mail::{Class, Domain, Purpose, ReversePath, Sender, SenderId};

/// The rules in force, with everything a decision needs to know from the config.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The legal entities.
    pub senders: Vec<Arc<Sender>>,
    /// In order; the first that matches decides.
    pub rules: Vec<Rule>,
    /// Enforce or observe.
    pub mode: Mode,
    /// What happens to the permitted recipients of a message that has refused ones.
    pub on_refused: OnRefused,
    /// How long a customer relation lasts after the last purchase, in months (RULES L4; default 36).
    pub customer_window_months: u32,
    /// External recipients in one personal message above which it is marketing (RULES L13; default 5).
    pub personal_max_recipients: usize,
    /// Near-identical personal messages of one account in 24 hours; more are marketing (RULES L13).
    pub personal_max_alike: usize,
    /// Whether a consent text with any fault is refused, and not only one that can be no consent (RULES L2).
    pub strict_texts: bool,
    /// SHA-256 (hex) of the rules as they stand in the config: itself a ledger entry.
    pub hash: String,
}

/// Whether refusals are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Refuse what has no basis.
    #[default]
    Enforce,
    /// Decide and record everything, block nothing.
    Observe,
}

impl Mode {
    /// The word for it in config, entries and status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
        }
    }
}

/// Mixed permits (DESIGN section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnRefused {
    /// 550 for the whole message, naming who and why; nothing is sent.
    #[default]
    Reject,
    /// Permitted copies go; the sender gets a DSN for the others.
    DeliverRest,
}

/// One entry of the list.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name, in every log line and entry.
    pub name: String,
    /// All conditions must hold.
    pub matches: Match,
    /// What follows.
    pub effect: Effect,
}

/// What follows from a match.
#[derive(Debug, Clone)]
pub enum Effect {
    /// It is of this class; the sender is the named one, or else the one that owns the From domain.
    Class {
        /// The class.
        class: Class,
        /// The sender, when the rule names one.
        sender: Option<Arc<Sender>>,
        /// What marketing is about.
        purpose: Option<Purpose>,
        /// Product groups whose buyers may get it (RULES L4).
        similar_to: Vec<String>,
    },
    /// Marketing that may go for a written reason (basis `allowed`); suppression still stands above it.
    Allow {
        /// The sender, when the rule names one.
        sender: Option<Arc<Sender>>,
        /// The reason.
        reason: String,
        /// The last moment it holds, if it ends.
        until: Option<Timestamp>,
    },
    /// Refuse, with this text.
    Refuse {
        /// Shown to the client.
        reason: String,
    },
}

impl Effect {
    /// Whether it asks more of a message than any other effect does.
    pub(super) fn is_strict(&self) -> bool {
        match self {
            Self::Class { class, .. } => *class == Class::Marketing,
            Self::Allow { .. } | Self::Refuse { .. } => true,
        }
    }
}

/// The conditions of a rule; an absent one holds always.
#[derive(Debug, Clone, Default)]
pub struct Match {
    /// Header From mailbox.
    pub from: Vec<Pattern>,
    /// MAIL FROM; the null path matches only the pattern `<>`.
    pub envelope_from: Vec<Pattern>,
    /// Recipient.
    pub recipient: Vec<Pattern>,
    /// Account that signed in, exactly.
    pub account: Vec<String>,
    /// Client network.
    pub network: Vec<IpNet>,
    /// Header fields: name, and a glob on the unfolded value, both in any case. Entries of one name are
    /// alternatives; each name must be met.
    pub header: Vec<(String, String)>,
    /// List-Id, exactly, lower-case.
    pub list_id: Vec<String>,
    /// At least this many recipients in the envelope.
    pub min_recipients: Option<usize>,
    /// At most this many recipients in the envelope.
    pub max_recipients: Option<usize>,
}

/// Whether a rule's conditions hold, as far as can be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holds {
    No,
    /// It depends on the message, which is not there yet.
    Unknown,
    Yes,
}

impl From<bool> for Holds {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

impl Match {
    pub(super) fn holds(&self, facts: &Facts<'_>) -> Holds {
        // What is known at RCPT comes first; the weakest answer is the answer.
        let envelope = self.envelope_holds(facts);
        if envelope && self.asks_message() {
            facts.message.map_or(Holds::Unknown, |message| self.message_holds(message))
        } else {
            envelope.into()
        }
    }

    fn envelope_holds(&self, facts: &Facts<'_>) -> bool {
        let ip = facts.connection.ip.to_canonical();
        let account = facts.connection.account.as_deref();
        met(&self.recipient, |pattern| pattern.matches(facts.recipient.key()))
            && met(&self.account, |name| account == Some(name.as_str()))
            && met(&self.network, |network| network.contains(&ip))
            && met(&self.envelope_from, |pattern| match &facts.envelope.reverse_path {
                ReversePath::Null => pattern.matches_null(),
                ReversePath::Address(address) => pattern.matches(address.key()),
            })
    }

    fn asks_message(&self) -> bool {
        !self.from.is_empty()
            || !self.header.is_empty()
            || !self.list_id.is_empty()
            || self.min_recipients.is_some()
            || self.max_recipients.is_some()
    }

    fn message_holds(&self, message: &MessageFacts) -> Holds {
        let from = match &message.from {
            _ if self.from.is_empty() => Holds::Yes,
            Some(from) => self.from.iter().any(|pattern| pattern.matches(from.key())).into(),
            // Two From fields, two mailboxes in one, a group: nobody can tell whom the reader will see.
            None if message.headers.iter().any(|(name, _)| name == "from") => Holds::Unknown,
            None => Holds::No,
        };
        if self.rest_holds(message) { from } else { Holds::No }
    }

    fn rest_holds(&self, message: &MessageFacts) -> bool {
        let list_id = message.list_id.as_deref();
        self.min_recipients.is_none_or(|least| message.recipient_count >= least)
            && self.max_recipients.is_none_or(|most| message.recipient_count <= most)
            && met(&self.list_id, |id| list_id.is_some_and(|own| own.eq_ignore_ascii_case(id)))
            && self.header.iter().all(|(name, _)| {
                self.header
                    .iter()
                    .filter(|(other, _)| other.eq_ignore_ascii_case(name))
                    .any(|(_, pattern)| has_header(message, name, pattern))
            })
    }
}

/// A condition with several alternatives; without any it holds always.
fn met<T>(alternatives: &[T], holds: impl FnMut(&T) -> bool) -> bool {
    alternatives.is_empty() || alternatives.iter().any(holds)
}

fn has_header(message: &MessageFacts, name: &str, pattern: &str) -> bool {
    let pattern = pattern.to_lowercase();
    message
        .headers
        .iter()
        .filter(|(own, _)| own.eq_ignore_ascii_case(name))
        .any(|(_, value)| glob(&pattern, value.trim().to_lowercase().as_str()))
}

impl Rules {
    /// The sender that owns `domain`: is it, or a domain above it; the nearest, when there are several.
    pub fn owner_of(&self, domain: &Domain) -> Option<&Arc<Sender>> {
        self.owner_of_ascii(domain.ascii())
    }

    /// [`Rules::owner_of`] for a domain as lower-case A-labels.
    pub(super) fn owner_of_ascii(&self, domain: &str) -> Option<&Arc<Sender>> {
        let nearness = |sender: &Sender| {
            let owned = sender.domains.iter().map(Domain::ascii).filter(|own| is_within(domain, own));
            owned.map(str::len).max()
        };
        // Of two senders that name the same domain, which `sluis check` reports, the first counts.
        self.senders.iter().rev().filter(|s| nearness(s).is_some()).max_by_key(|s| nearness(s))
    }

    /// The sender with this id.
    pub fn sender(&self, id: &SenderId) -> Option<&Arc<Sender>> {
        self.senders.iter().find(|sender| sender.id == *id)
    }
}

fn is_within(domain: &str, own: &str) -> bool {
    domain.strip_suffix(own).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
