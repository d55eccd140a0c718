//! What a message is taken for: class, sender and ground, as the rules have it.

use std::sync::Arc;

use jiff::Timestamp;

use super::facts::{Connection, Facts, MessageFacts};
use super::rule::{Effect, Holds, Rule, Rules};
use crate::mail::{Class, Purpose, ReversePath, Sender};

/// What a message is taken for. Policy judges a case, wherever it comes from: the message, a guess at what
/// the message may be, or a copy in the spool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'a> {
    /// Name of the rule that decided.
    pub rule: Option<&'a str>,
    pub class: Class,
    pub sender: Option<&'a Arc<Sender>>,
    pub ground: Ground<'a>,
    /// Why personal mail became marketing (RULES L13).
    pub watched: Option<Watched>,
}

/// What makes personal mail marketing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watched {
    /// It is for so many external recipients.
    ToMany(usize),
    /// It is one of so many that say nearly the same.
    Alike(usize),
}

/// What marketing may rest on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ground<'a> {
    /// What is on record.
    Register { purpose: Option<&'a Purpose>, similar_to: &'a [String] },
    /// An allow-rule.
    Allowed { reason: &'a str, until: Option<Timestamp> },
    /// A refuse-rule.
    Refused { reason: &'a str },
}

impl<'a> Case<'a> {
    /// The case of a message that is there.
    pub fn of(rules: &'a Rules, facts: &Facts<'_>, message: &MessageFacts) -> Self {
        let owner = message.from.as_ref().and_then(|from| rules.owner_of(from.domain()));
        let rule = rules.rules.iter().find(|rule| match rule.matches.holds(facts) {
            Holds::Yes => true,
            // A From that cannot be read may hide what the rule is about (promise 5).
            Holds::Unknown => rule.effect.is_strict(),
            Holds::No => false,
        });
        let case = match rule {
            None if is_automatic(facts, message) => Self { class: Class::System, ..Self::unmatched() },
            None => Self::unmatched(),
            Some(rule) => Self::by_rule(rule),
        };
        let case = match owner {
            // RULES L15: whatever sender a rule names, the reader sees the one that From belongs to.
            Some(owner) if !may_send_for(facts.connection, owner) => Self { sender: Some(owner), ..case },
            _ => case.with_sender(owner),
        };
        case.watched(message, rules)
    }

    /// The strict case: marketing without a purpose.
    pub fn unmatched() -> Self {
        let ground = Ground::Register { purpose: None, similar_to: &[] };
        Self { rule: None, class: Class::Marketing, sender: None, ground, watched: None }
    }

    /// What follows from a rule, with the sender it names.
    pub fn by_rule(rule: &'a Rule) -> Self {
        let (class, sender, ground) = match &rule.effect {
            Effect::Class { class, sender, purpose, similar_to } => {
                (*class, sender.as_ref(), Ground::Register { purpose: purpose.as_ref(), similar_to })
            }
            Effect::Allow { sender, reason, until } => {
                (Class::Marketing, sender.as_ref(), Ground::Allowed { reason, until: *until })
            }
            Effect::Refuse { reason } => (Class::Marketing, None, Ground::Refused { reason }),
        };
        Self { rule: Some(&rule.name), class, sender, ground, watched: None }
    }

    /// With the owner of the From domain as its sender, when the rule names none.
    pub fn with_sender(self, owner: Option<&'a Arc<Sender>>) -> Self {
        Self { sender: self.sender.or(owner), ..self }
    }

    /// RULES L13: personal mail to many, at once or one by one, is marketing.
    fn watched(self, message: &MessageFacts, rules: &Rules) -> Self {
        let watched = if self.class != Class::Personal || message.external_recipients == 0 {
            None
        } else if message.external_recipients > rules.personal_max_recipients {
            Some(Watched::ToMany(message.external_recipients))
        } else if message.alike > rules.personal_max_alike {
            Some(Watched::Alike(message.alike))
        } else {
            None
        };
        let class = if watched.is_some() { Class::Marketing } else { self.class };
        Self { class, watched, ..self }
    }

    pub fn purpose(&self) -> Option<&'a Purpose> {
        match self.ground {
            Ground::Register { purpose, .. } => purpose,
            Ground::Allowed { .. } | Ground::Refused { .. } => None,
        }
    }

    /// Whether no refuse-rule stands in the way.
    pub fn can_go(&self) -> bool {
        !matches!(self.ground, Ground::Refused { .. })
    }

    /// RULES L15: an account that is bound to senders sends for these and for nobody else. A bounce or an
    /// automatic reply may come from a name that is no sender's.
    pub fn is_handed_over_by(&self, connection: &Connection) -> bool {
        if connection.senders.is_empty() {
            return true;
        }
        match (self.sender, self.class) {
            (Some(sender), _) => may_send_for(connection, sender),
            // Of marketing without a sender there is more to say than whose it is not.
            (None, Class::System | Class::Marketing) => true,
            (None, Class::Service | Class::Personal) => false,
        }
    }

    /// Whether anything in the register could make it go: else it need not be read.
    pub fn asks_register(&self, now: Timestamp) -> bool {
        self.class == Class::Marketing
            && match self.ground {
                Ground::Register { purpose, similar_to } => purpose.is_some() || !similar_to.is_empty(),
                Ground::Allowed { until, .. } => until.is_none_or(|until| now <= until),
                Ground::Refused { .. } => false,
            }
    }
}

/// Whether an account that is bound to senders is bound to this one.
fn may_send_for(connection: &Connection, sender: &Sender) -> bool {
    connection.senders.is_empty() || connection.senders.contains(&sender.id)
}

/// Whether the message is personal to this recipient, so that those like it are to be counted before it is
/// evaluated (RULES L13). `facts` have them uncounted.
pub fn is_personal(rules: &Rules, facts: &Facts<'_>) -> bool {
    let personal = |rule: &Rule| matches!(rule.effect, Effect::Class { class: Class::Personal, .. });
    rules.rules.iter().any(personal)
        && facts.message.is_some_and(|message| {
            message.external_recipients > 0 && Case::of(rules, facts, message).class == Class::Personal
        })
}

/// A bounce, a receipt or an automatic reply, in the form all real ones have (RFC 3834, RFC 5321 4.5.5):
/// by its headers, from the null reverse-path, to one recipient, a report or an answer to some message, and
/// never from a list. A header alone would be a way round for any tool that writes `Auto-Submitted` into a
/// newsletter; and where a rule matched, the rule's word stands.
fn is_automatic(facts: &Facts<'_>, message: &MessageFacts) -> bool {
    message.automatic
        && message.recipient_count <= 1
        && facts.envelope.reverse_path == ReversePath::Null
        && (is_report(message) || ANSWER.iter().any(|name| has(message, name)))
        && !LIST.iter().any(|name| has(message, name))
}

/// One of these tells which message an automatic reply answers (RFC 3834 3.1.5).
const ANSWER: [&str; 2] = ["in-reply-to", "references"];
/// Marks of a mailing that neither a report nor an answer has (RFC 2369, 2919, 8058).
const LIST: [&str; 4] = ["list-unsubscribe", "list-unsubscribe-post", "list-id", "list-post"];

fn has(message: &MessageFacts, name: &str) -> bool {
    message.headers.iter().any(|(own, value)| own == name && !value.is_empty())
}

/// RFC 6522: `multipart/report`.
fn is_report(message: &MessageFacts) -> bool {
    message.headers.iter().any(|(name, value)| {
        name == "content-type"
            && value
                .split([';', '('])
                .next()
                .unwrap_or_default()
                .trim()
                .eq_ignore_ascii_case("multipart/report")
    })
}
