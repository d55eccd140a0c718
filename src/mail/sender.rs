//! The sender, the class and the purpose: who mail is sent for, what it is, and what it is about.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Address, Domain};

/// The stable id of a sender in registers and tokens: its KvK number, unless the config names one.
/// It outlives changes of name and address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SenderId(pub String);

impl fmt::Display for SenderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The legal entity that mail is sent for (RULES L7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Its stable id.
    pub id: SenderId,
    /// Statutory name.
    pub name: String,
    /// Registered trade names; a From display name must contain one of these or the statutory name.
    pub trade_names: Vec<String>,
    /// Number in the trade register.
    pub kvk: String,
    /// Postal address, on one line.
    pub address: String,
    /// Where people can write.
    pub contact: Address,
    /// The domains that are its own, for From.
    pub domains: Vec<Domain>,
    /// Who is told of every unsubscribe (RULES L10).
    pub notify: Vec<Address>,
    /// The language of its footer and notices.
    pub language: Language,
}

/// What a message is (DESIGN section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Commercial, charitable or idealistic promotion, newsletters included.
    Marketing,
    /// Order, invoice, password reset: no promotion.
    Service,
    /// One person writing to someone.
    Personal,
    /// DSN, MDN, auto-replies, the gateway's own notices.
    System,
}

impl Class {
    /// The word of the config, the ledger and the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Marketing => "marketing",
            Self::Service => "service",
            Self::Personal => "personal",
            Self::System => "system",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a marketing message is about, in the words of the consent text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Purpose(pub String);

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The languages of footers, pages and notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Nederlands.
    #[default]
    Nl,
    /// English.
    En,
    /// Deutsch.
    De,
    /// Français.
    Fr,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Nl, Self::En, Self::De, Self::Fr];

    /// Of texts in the order of [`Language::ALL`], the one in this language.
    pub fn of<T>(self, [nl, en, de, fr]: [T; 4]) -> T {
        match self {
            Self::Nl => nl,
            Self::En => en,
            Self::De => de,
            Self::Fr => fr,
        }
    }

    /// The code of ISO 639-1, as in the config.
    pub fn code(self) -> &'static str {
        match self {
            Self::Nl => "nl",
            Self::En => "en",
            Self::De => "de",
            Self::Fr => "fr",
        }
    }
}
