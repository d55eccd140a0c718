//! Rules: the administrator's ordered list (DESIGN section 5). First match decides.

use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use super::pattern::Pattern;
use crate::mail::{Class, Domain, Purpose, Sender};

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

impl Rules {
    /// The sender that owns `domain` (is it, or a domain above it).
    pub fn owner_of(&self, domain: &Domain) -> Option<&Arc<Sender>> {
        self.senders.iter().find(|sender| sender.domains.iter().any(|own| domain.is_within(own)))
    }
}
