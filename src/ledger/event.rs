//! The kinds of entry (DESIGN section 5). An entry's payload is the exact bytes of one JSON object.

// Long because each kind of entry is spelled, indexed and worded here, and a new one must not miss a match.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::choice::{Corrected, Explained};
use super::counts::Counts;
use super::elsewhere::SentElsewhere;
use super::evidence::{EvidenceKept, NamedFile, Shelf};
use super::import::{ImportBegun, ImportEnded, ImportUndone, TakenBack, Undeliverable};
use super::inbox::{Answered, Held, Ignored, Returned, Unblocked};
use super::keeping::Keeping;
use super::outbox::{Telling, Told};
use crate::consent::{ConsentEvent, Published, Relation};
use crate::mail::{
    Address, AddressKey, Class, CopyId, Purpose, Reference, SenderId, SessionId, TokenId, hex, sha256, unhex,
};
use crate::policy::{Basis, Refusal};
use crate::suppression::Suppression;

/// Position of an entry in its gateway's tree, from 0.
pub type EntryNumber = u64;

/// One entry as it is written: when, by which gateway, what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Version of this format: 1.
    pub v: u32,
    /// When it was recorded, UTC.
    pub at: Timestamp,
    /// Name of the gateway: the origin of its checkpoints.
    pub origin: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The gateway started, or took a new config: the hash of the rules in force.
    ConfigInForce {
        /// SHA-256 (hex) of the rules.
        rules_sha256: String,
        /// `enforce` or `observe`.
        mode: String,
        /// Version of the program.
        version: String,
    },
    /// A key came into use, or was in use at the first start that recorded its keys: written once for each key.
    KeyInForce(KeyInForce),
    /// A consent text, as it was shown: recorded once, and referred to by its hash.
    ConsentText {
        /// SHA-256 (hex) of the text's UTF-8 bytes.
        sha256: String,
        /// The text.
        text: String,
        /// Of which sender, where that was said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sender: Option<SenderId>,
        /// For what, where that was said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        purpose: Option<Purpose>,
        /// Whether it is a privacy text, shown beside a consent text.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        privacy: bool,
    },
    /// A consent event was taken into the register.
    Consent(Consented),
    /// A file was kept as evidence of a consent.
    Evidence(EvidenceKept),
    /// A customer relation was taken into the register.
    Relation(Related),
    /// A published business address was taken into the register (RULES L5).
    Published(Publication),
    /// A mailbox does not work, by the word of another tool.
    Undeliverable(Undeliverable),
    /// A file is about to be taken in (RULES L19).
    ImportBegun(ImportBegun),
    /// It was taken in to its end.
    ImportEnded(ImportEnded),
    /// One fact of an import is taken back.
    TakenBack(Box<TakenBack>),
    /// An import was undone.
    ImportUndone(ImportUndone),
    /// An address was suppressed other than by an unsubscribe.
    Suppression(Suppressed),
    /// A recipient unsubscribed: suppression and withdrawal in one.
    Unsubscribed(Unsubscribed),
    /// An unsubscribe was taken back by whoever made it, there and then.
    Corrected(Corrected),
    /// Somebody who unsubscribed said why.
    Explained(Explained),
    /// A message of ours came back from further on (RULES P14).
    Returned(Returned),
    /// A mailbox that was blocked works after all.
    Unblocked(Unblocked),
    /// An automatic mail to the unsubscribe address names a message of ours, and nothing follows (RULES P9).
    Ignored(Ignored),
    /// A mail to the unsubscribe address waits for a person.
    Held(Held),
    /// A person answered it.
    Answered(Answered),
    /// Somebody who must know of an entry was told, or could not be (RULES L10).
    Told(Told),
    /// A copy may go, and is about to (promise 1).
    Admitted(Box<Admitted>),
    /// Something went by another way, as the tool that sent it reports.
    SentElsewhere(Box<SentElsewhere>),
    /// Recipients were refused by policy.
    Refused {
        /// Our reference, as the reply has it; `None` in entries made before replies at RCPT had one.
        reference: Option<Reference>,
        /// Who handed it over.
        handover: Handover,
        /// MAIL FROM, empty for the null path.
        reverse_path: String,
        /// At RCPT or after DATA.
        stage: Stage,
        /// The Message-ID, when there was a message.
        message_id: Option<String>,
        /// Who, and why.
        recipients: Vec<RefusedRecipient>,
    },
    /// The next hop took it for these recipients.
    Relayed(Outcome),
    /// The next hop refused it for good for these recipients, or it expired.
    Bounced(Outcome),
    /// A try failed for now; it stays in the spool, or the client was told to try again.
    Delayed(Outcome),
    /// The answer after the final dot was lost: it may or may not have gone.
    InDoubt(Outcome),
    /// A waiting copy was cancelled (the recipient was suppressed meanwhile, or an administrator dropped it).
    Cancelled(Outcome),
    /// A notice was made for somebody who must know (RULES L10).
    NoticeSent {
        /// To whom.
        to: Address,
        /// About what: `unsubscribe`, `dsn`.
        about: String,
        /// The copy that carries it.
        copy: CopyId,
    },
    /// Something was done about keeping: a hold, a purge, an erasure.
    Keeping(Keeping),
    /// A checkpoint went outside, or could not.
    Anchored(Anchored),
    /// A checkpoint was signed.
    Checkpoint {
        /// Entries before it.
        size: u64,
        /// Root over them, base64.
        root: String,
        /// Recipients by fate, from the first entry on.
        counts: Counts,
        /// The signed note.
        note: String,
    },
}

/// The word for an event's kind, as it stands in the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(pub &'static str);

/// A party to a message: an account, an address, a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// Its stable id.
    pub id: SenderId,
    /// Its name at the time.
    pub name: String,
}

/// A key that came into use. Private halves stand nowhere in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInForce {
    /// What it does.
    pub does: KeyUse,
    /// The DNS name of a DKIM key, the name of a gateway; empty for a token key.
    pub name: String,
    /// What messages and links call it: the first 16 hex digits of the SHA-256 of `public`, the number of a
    /// token key, the key id of a checkpoint's signature.
    pub id: String,
    /// The public half: the DNS record of a DKIM key, the verifier key of checkpoints.
    pub public: Option<String>,
    /// Of a ledger key that follows another: the note by which both vouch for each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeds: Option<String>,
    /// Why the key before could not vouch for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyUse {
    /// Signs messages (RULES P11).
    Dkim,
    /// Seals unsubscribe links.
    Token,
    /// Signs checkpoints.
    Ledger,
}

impl KeyInForce {
    /// A DKIM key by its DNS name and record.
    pub fn dkim(name: String, record: &str) -> Self {
        let id = hex(&sha256(record.as_bytes())[..8]);
        let public = Some(record.to_owned());
        Self { does: KeyUse::Dkim, name, id, public, succeeds: None, lost: None }
    }

    /// A key that seals links, by its number.
    pub fn token(id: u8) -> Self {
        let (does, id) = (KeyUse::Token, id.to_string());
        Self { does, name: String::new(), id, public: None, succeeds: None, lost: None }
    }

    /// The label of the entry of a ledger key, by its public half `name+id+base64`.
    pub fn ledger_label(verifier: &str) -> String {
        let mut parts = verifier.split('+');
        let (name, id) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        format!("ledger {name} {id}")
    }

    /// Under which label the entry is found again.
    pub fn label(&self) -> String {
        match self.does {
            KeyUse::Dkim => dkim_label(&self.name, &self.id),
            KeyUse::Token => format!("token {}", self.id),
            KeyUse::Ledger => format!("ledger {} {}", self.name, self.id),
        }
    }
}

fn dkim_label(name: &str, id: &str) -> String {
    format!("dkim {name} {id}")
}

/// A DKIM signature that a copy carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DkimSigned {
    /// Where its key is published: `selector._domainkey.domain`.
    pub name: String,
    /// Which key: the id of the entry that holds the record as it was published.
    pub key: String,
}

impl DkimSigned {
    /// The label of the entry that holds the record.
    pub fn label(&self) -> String {
        dkim_label(&self.name, &self.key)
    }
}

/// A checkpoint that went outside the gateway's reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchored {
    /// Entries it covers.
    pub size: u64,
    /// Where to: `folder` and a path, `mail` and an address, `time stamp` and a URL.
    pub to: String,
    /// Why it did not arrive there; `None` when it did. A mail that bounces is an entry of its own.
    pub missed: Option<String>,
    /// What the time-stamping service answered (`TimeStampResp` of RFC 3161 over the SHA-256 of the note), in
    /// base64 as it came.
    pub stamp: Option<String>,
    /// The time that it says.
    pub stamped_at: Option<Timestamp>,
}

impl Anchored {
    /// Labels of anchors begin with this; it sorts after every consent text.
    pub const LABEL: &str = "outside ";

    /// Under which label the entry is found again, from the size of its checkpoint on.
    pub fn label(size: u64, to: &str) -> String {
        format!("{}{size:020} {to}", Self::LABEL)
    }

    /// One line.
    pub(super) fn summary(&self) -> String {
        let (size, to) = (self.size, &self.to);
        match (&self.missed, self.stamped_at) {
            (Some(why), _) => format!("the checkpoint of {size} entries missed {to}: {why}"),
            (None, Some(at)) => format!("the checkpoint of {size} entries was there at {at}, says {to}"),
            (None, None) => format!("the checkpoint of {size} entries went to {to}"),
        }
    }
}

/// Who handed the message over, and how (RULES L15).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// The SMTP session.
    pub session: SessionId,
    /// Client IP address.
    pub ip: String,
    /// Account, unless from a trusted network.
    pub account: Option<String>,
    /// What it said in EHLO.
    pub helo: String,
    /// TLS version, when there was TLS.
    pub tls: Option<String>,
}

/// A consent event for an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consented {
    /// For which sender.
    pub sender: SenderId,
    /// For what.
    pub purpose: Purpose,
    /// Whose.
    pub address: AddressKey,
    /// What happened.
    pub event: ConsentEvent,
    /// Where it came from: `cli`, or a file with its SHA-256.
    pub source: String,
}

/// A customer relation for an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Related {
    /// With which sender.
    pub sender: SenderId,
    /// Whose.
    pub address: AddressKey,
    /// The purchase.
    pub relation: Relation,
    /// Where it came from.
    pub source: String,
}

/// A business address that was published for being mailed about one purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// By which sender it may be mailed.
    pub sender: SenderId,
    /// About what.
    pub purpose: Purpose,
    /// Whose.
    pub address: AddressKey,
    /// Where and how it was published.
    pub published: Published,
    /// Where it came from.
    pub source: String,
}

/// A suppression of an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppressed {
    /// For which sender.
    pub sender: SenderId,
    /// Whose.
    pub address: AddressKey,
    /// Why and since when.
    pub suppression: Suppression,
    /// The submission that somebody complained about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
}

/// An unsubscribe that took effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsubscribed {
    /// From which sender (the default scope is everything commercial from it, RULES L9).
    pub sender: SenderId,
    /// Who.
    pub address: AddressKey,
    /// By which way.
    pub way: Way,
    /// The token that was used.
    pub token: Option<TokenId>,
    /// The submission its message belonged to.
    pub reference: Option<Reference>,
    /// Purpose of that message.
    pub purpose: Option<Purpose>,
    /// IP address of the request.
    pub ip: Option<String>,
    /// User-Agent of the request.
    pub user_agent: Option<String>,
}

/// How somebody unsubscribed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// RFC 8058 POST by a mail program.
    OneClick,
    /// The button on the page.
    Page,
    /// A mail to the unsubscribe address.
    Mailto,
}

/// At which point policy refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// At RCPT.
    Rcpt,
    /// After the data.
    Data,
    /// Before a try from the spool.
    Spool,
}

/// A recipient that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedRecipient {
    /// Who.
    pub recipient: Address,
    /// Why.
    pub refusal: Refusal,
}

/// A copy that may go: who, on which basis, exactly what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// The copy.
    pub copy: CopyId,
    /// Who handed the message over; `None` for the gateway's own notices.
    pub handover: Option<Handover>,
    /// The tool that made the message (User-Agent or X-Mailer).
    pub tool: Option<String>,
    /// What it is.
    pub class: Class,
    /// Whom it is sent for.
    pub sender: Option<Party>,
    /// What it is about.
    pub purpose: Option<Purpose>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// SHA-256 (hex) of the rules in force.
    pub rules_sha256: String,
    /// MAIL FROM, empty for the null path.
    pub reverse_path: String,
    /// The recipients of this copy, each with its basis.
    pub recipients: Vec<AdmittedRecipient>,
    /// Message-ID as sent.
    pub message_id: Option<String>,
    /// SHA-256 (hex) of the message as the client gave it.
    pub original_sha256: String,
    /// SHA-256 (hex) of the exact bytes of this copy.
    pub sent_sha256: String,
    /// Octets of this copy.
    pub size: u64,
    /// What was edited, in words: `footer text/plain part 1`, `List-Unsubscribe replaced`.
    pub edits: Vec<String>,
    /// The DKIM signatures made.
    pub dkim: Vec<DkimSigned>,
    /// The unsubscribe token in it.
    pub token: Option<TokenId>,
    /// The next hop it is meant for.
    pub next_hop: String,
}

/// One recipient of an admitted copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmittedRecipient {
    /// Who.
    pub recipient: Address,
    /// Why it may go.
    pub basis: Basis,
    /// Under observe: what enforcement would have refused it for.
    pub observed: Option<Refusal>,
}

/// What became of a copy, for some of its recipients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The copy.
    pub copy: CopyId,
    /// For whom.
    pub recipients: Vec<Address>,
    /// The next hop's own words, or ours when there were none.
    pub reply: String,
    /// The next hop.
    pub next_hop: String,
    /// TLS version and certificate of the next hop, when there was TLS: `TLSv1.3 sha256=` and the
    /// certificate's fingerprint.
    pub tls: Option<String>,
    /// How often it was tried, this time included.
    pub attempt: u32,
}

impl Entry {
    /// The version of the format that this program writes.
    pub const VERSION: u32 = 1;

    /// Read the bytes of an entry.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

/// What an entry begins with, up to where [`Event::to_json`] goes on.
pub fn head(at: Timestamp, origin: &str) -> String {
    let origin = serde_json::Value::from(origin);
    format!("{{\"v\":{},\"at\":\"{at}\",\"origin\":{origin},", Entry::VERSION)
}

impl Event {
    /// The event's part of an entry: its JSON object without the opening brace, so that [`head`] and this
    /// together are the exact bytes. In two halves, because when an entry is written is known to the
    /// one writer only, and spelling it out is work for the many.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut json = serde_json::to_vec(self)?;
        json.remove(0);
        Ok(json)
    }

    /// The word for its kind.
    pub fn kind(&self) -> Kind {
        Kind(match self {
            Self::ConfigInForce { .. } => "config_in_force",
            Self::KeyInForce(_) => "key_in_force",
            Self::ConsentText { .. } => "consent_text",
            Self::Consent(_) => "consent",
            Self::Evidence(_) => "evidence",
            Self::Relation(_) => "relation",
            Self::Published(_) => "published",
            Self::Undeliverable(_) => "undeliverable",
            Self::ImportBegun(_) => "import_begun",
            Self::ImportEnded(_) => "import_ended",
            Self::TakenBack(_) => "taken_back",
            Self::ImportUndone(_) => "import_undone",
            Self::Suppression(_) => "suppression",
            Self::Unsubscribed(_) => "unsubscribed",
            Self::Corrected(_) => "corrected",
            Self::Explained(_) => "explained",
            Self::Told(_) => "told",
            Self::Returned(_) => "returned",
            Self::Unblocked(_) => "unblocked",
            Self::Ignored(_) => "ignored",
            Self::Held(_) => "held",
            Self::Answered(_) => "answered",
            Self::Admitted(_) => "admitted",
            Self::SentElsewhere(_) => "sent_elsewhere",
            Self::Refused { .. } => "refused",
            Self::Relayed(_) => "relayed",
            Self::Bounced(_) => "bounced",
            Self::Delayed(_) => "delayed",
            Self::InDoubt(_) => "in_doubt",
            Self::Cancelled(_) => "cancelled",
            Self::NoticeSent { .. } => "notice_sent",
            Self::Keeping(_) => "keeping",
            Self::Anchored(_) => "anchored",
            Self::Checkpoint { .. } => "checkpoint",
        })
    }

    /// What became of a copy, when that is what this entry says.
    pub fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::Relayed(outcome)
            | Self::Bounced(outcome)
            | Self::Delayed(outcome)
            | Self::InDoubt(outcome)
            | Self::Cancelled(outcome) => Some(outcome),
            Self::ConfigInForce { .. }
            | Self::KeyInForce(_)
            | Self::ConsentText { .. }
            | Self::Consent(_)
            | Self::Evidence(_)
            | Self::Relation(_)
            | Self::Published(_)
            | Self::Undeliverable(_)
            | Self::ImportBegun(_)
            | Self::ImportEnded(_)
            | Self::TakenBack(_)
            | Self::ImportUndone(_)
            | Self::Suppression(_)
            | Self::Unsubscribed(_)
            | Self::Corrected(_)
            | Self::Explained(_)
            | Self::Told(_)
            | Self::Returned(_)
            | Self::Unblocked(_)
            | Self::Ignored(_)
            | Self::Held(_)
            | Self::Answered(_)
            | Self::Admitted(_)
            | Self::SentElsewhere(_)
            | Self::Refused { .. }
            | Self::NoticeSent { .. }
            | Self::Keeping(_)
            | Self::Anchored(_)
            | Self::Checkpoint { .. } => None,
        }
    }

    /// The copy it is about.
    pub fn copy(&self) -> Option<CopyId> {
        match self {
            Self::Admitted(admitted) => Some(admitted.copy),
            Self::NoticeSent { copy, .. } => Some(*copy),
            Self::Returned(returned) => returned.copy,
            Self::Ignored(ignored) => ignored.copy,
            other => other.outcome().map(|outcome| outcome.copy),
        }
    }

    /// Whom it was done for, or whose register it changed.
    pub fn sender(&self) -> Option<&SenderId> {
        match self {
            Self::Admitted(it) => it.sender.as_ref().map(|sender| &sender.id),
            Self::Consent(it) => Some(&it.sender),
            Self::Relation(it) => Some(&it.sender),
            Self::Published(it) => Some(&it.sender),
            Self::TakenBack(it) => Some(&it.sender),
            Self::Suppression(it) => Some(&it.sender),
            Self::Unsubscribed(it) => Some(&it.sender),
            Self::Corrected(it) => Some(&it.sender),
            Self::Explained(it) => Some(&it.sender),
            Self::Told(it) => Some(&it.sender),
            _ => None,
        }
    }

    /// The submission it is about.
    pub fn reference(&self) -> Option<Reference> {
        match self {
            Self::Refused { reference, .. } => *reference,
            Self::Unsubscribed(unsubscribed) => unsubscribed.reference,
            Self::Corrected(corrected) => corrected.reference,
            Self::Explained(explained) => explained.reference,
            Self::Suppression(suppressed) => suppressed.reference,
            Self::Returned(returned) => Some(returned.reference),
            Self::Ignored(ignored) => Some(ignored.reference),
            other => other.copy().map(|copy| copy.reference),
        }
    }

    /// The mailboxes it is about, outcomes left out: those are found by their copy.
    pub fn addresses(&self) -> Vec<&AddressKey> {
        match self {
            Self::Consent(consented) => vec![&consented.address],
            Self::Evidence(kept) => vec![&kept.address],
            Self::Relation(related) => vec![&related.address],
            Self::Published(publication) => vec![&publication.address],
            Self::Undeliverable(it) => vec![&it.address],
            Self::TakenBack(taken) => vec![&taken.address],
            Self::Suppression(suppressed) => vec![&suppressed.address],
            Self::Unsubscribed(unsubscribed) => vec![&unsubscribed.address],
            Self::Corrected(corrected) => vec![&corrected.address],
            Self::Explained(explained) => vec![&explained.address],
            Self::Told(told) => vec![&told.address],
            Self::Returned(returned) => vec![&returned.address],
            Self::Unblocked(unblocked) => vec![&unblocked.address],
            Self::Ignored(ignored) => vec![&ignored.address],
            Self::Held(held) => held.from.iter().map(Address::key).collect(),
            Self::Admitted(admitted) => admitted.recipients.iter().map(|one| one.recipient.key()).collect(),
            Self::SentElsewhere(sent) => sent.recipients.iter().map(|one| &one.address).collect(),
            Self::Refused { recipients, .. } => recipients.iter().map(|one| one.recipient.key()).collect(),
            Self::NoticeSent { to, .. } => vec![to.key()],
            Self::Keeping(Keeping::Held { about: Some(about), .. }) => vec![about],
            Self::Keeping(_)
            | Self::Anchored(_)
            | Self::ConfigInForce { .. }
            | Self::KeyInForce(_)
            | Self::ConsentText { .. }
            | Self::ImportBegun(_)
            | Self::ImportEnded(_)
            | Self::ImportUndone(_)
            | Self::Relayed(_)
            | Self::Bounced(_)
            | Self::Delayed(_)
            | Self::InDoubt(_)
            | Self::Cancelled(_)
            | Self::Answered(_)
            | Self::Checkpoint { .. } => Vec::new(),
        }
    }

    /// The Message-ID it names.
    pub fn message_id(&self) -> Option<&str> {
        match self {
            Self::Admitted(admitted) => admitted.message_id.as_deref(),
            Self::Refused { message_id, .. } => message_id.as_deref(),
            _ => None,
        }
    }

    /// The labels of the entries that it refers to: consent texts by their SHA-256 (hex), DKIM keys.
    pub fn refers_to(&self) -> Vec<String> {
        match self {
            Self::Consent(it) => it.event.evidence.text_sha256.iter().cloned().collect(),
            Self::Admitted(it) => {
                let texts = it.recipients.iter().filter_map(|one| match &one.basis {
                    Basis::Consent { text_sha256, .. } => text_sha256.clone(),
                    _ => None,
                });
                texts.chain(it.dkim.iter().map(DkimSigned::label)).collect()
            }
            Self::SentElsewhere(it) => {
                let texts = it.recipients.iter().filter_map(|one| match &one.basis {
                    Basis::Consent { text_sha256, .. } => text_sha256.clone(),
                    _ => None,
                });
                texts.collect()
            }
            _ => Vec::new(),
        }
    }

    /// The label under which others refer to it.
    pub fn label(&self) -> Option<String> {
        match self {
            Self::ConsentText { sha256, .. } => Some(sha256.clone()),
            Self::KeyInForce(key) => Some(key.label()),
            Self::Anchored(it) if it.missed.is_none() => Some(Anchored::label(it.size, &it.to)),
            _ => None,
        }
    }

    /// The file beside the store that it names.
    pub fn file(&self) -> Option<NamedFile> {
        let (shelf, sha256) = match self {
            Self::Evidence(it) => (Shelf::Evidence, &it.file.sha256),
            Self::ImportBegun(it) => (Shelf::Imports, &it.sha256),
            _ => return None,
        };
        unhex(sha256).map(|sha256| NamedFile { shelf, sha256 })
    }

    /// The numbers of the entries that its basis rests on.
    pub fn rests_on(&self) -> Vec<EntryNumber> {
        match self {
            Self::Admitted(it) => it.recipients.iter().flat_map(|one| one.basis.entries().to_vec()).collect(),
            Self::SentElsewhere(it) => {
                it.recipients.iter().flat_map(|one| one.basis.entries().to_vec()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// One line for the log.
    pub fn summary(&self) -> String {
        match self {
            Self::ConfigInForce { mode, rules_sha256, .. } => format!("rules {rules_sha256} in {mode} mode"),
            Self::KeyInForce(key) => key.label(),
            Self::ConsentText { sha256, text, .. } => format!("{sha256}: {text:?}"),
            Self::Consent(it) => {
                format!("{:?} by {} for {} ({})", it.event.kind, it.address, it.sender, it.purpose)
            }
            Self::Evidence(it) => {
                let file = &it.file;
                format!("{} of {}: {} (SHA-256 {})", file.name, it.address, it.purpose, file.sha256)
            }
            Self::Relation(it) => {
                format!("{} bought {} from {}", it.address, it.relation.product, it.sender)
            }
            Self::Published(it) => {
                format!("{} at {} for {} ({})", it.address, it.published.url, it.sender, it.purpose)
            }
            Self::Undeliverable(it) => format!("{} for {}: {}", it.address, it.sender, it.block.reply),
            Self::ImportBegun(it) => {
                format!("{} of {} ({}, SHA-256 {})", it.id, it.file, it.format, it.sha256)
            }
            Self::ImportEnded(it) => {
                format!(
                    "{}: {} added, {} already there, {} rejected",
                    it.id, it.added, it.already, it.rejected
                )
            }
            Self::TakenBack(it) => format!("{} of {}: {}", it.import, it.address, it.fact.word()),
            Self::ImportUndone(it) => {
                format!("{}: {} taken back, {} opt-outs kept", it.id, it.taken_back, it.kept)
            }
            Self::Suppression(it) => {
                format!("{} for {}: {:?}", it.address, it.sender, it.suppression.reason)
            }
            Self::Unsubscribed(it) => format!("{} from {} by {}", it.address, it.sender, it.way.as_str()),
            Self::Corrected(it) => format!("{} for {}: did not mean to unsubscribe", it.address, it.sender),
            Self::Explained(it) => format!("{} from {}: {}", it.address, it.sender, it.why.as_str()),
            Self::Returned(it) => {
                let kind = if it.hard { "hard" } else { "soft" };
                let blocked = if it.blocked { ", blocked" } else { "" };
                format!("{} of {}: {kind}{blocked}, {} {}", it.address, it.sender, it.status, it.diagnostic)
            }
            Self::Unblocked(it) => format!("{} of {}: {}", it.address, it.sender, it.why),
            Self::Ignored(it) => format!("about {} of {}: {}", it.address, it.sender, it.why),
            Self::Held(it) => {
                let from = it.from.as_ref().map_or("nobody", Address::as_str);
                format!("from {from}, {:?}: {}", it.subject, it.why)
            }
            Self::Answered(it) => format!("the mail of entry {}: {}", it.held, it.how),
            Self::Told(it) => {
                let outcome = match it.outcome {
                    Telling::Told => "told",
                    Telling::GivenUp => "not told, given up",
                    Telling::NotNeeded => "not needed",
                };
                format!("{} {} of entry {}: {outcome}: {}", it.channel, it.target, it.fact, it.answer)
            }
            Self::Admitted(it) => {
                let to: Vec<&str> = it.recipients.iter().map(|one| one.recipient.as_str()).collect();
                let rule = rule_named(it.rule.as_deref());
                format!("{} {} from <{}> to {}, {rule}", it.copy, it.class, it.reverse_path, to.join(", "))
            }
            Self::SentElsewhere(it) => {
                let to: Vec<&str> = it.recipients.iter().map(|one| one.address.as_str()).collect();
                format!("{} of {} ({}) to {}", it.channel, it.sender.name, it.purpose, to.join(", "))
            }
            Self::Refused { recipients, reverse_path, .. } => {
                let who: Vec<String> = recipients
                    .iter()
                    .map(|one| {
                        let rule = rule_named(one.refusal.rule.as_deref());
                        format!("{} ({}, {rule})", one.recipient, one.refusal.clause.rule())
                    })
                    .collect();
                format!("from <{reverse_path}> to {}", who.join(", "))
            }
            Self::NoticeSent { to, about, copy } => format!("{copy} {about} to {to}"),
            Self::Keeping(keeping) => keeping.summary(),
            Self::Anchored(it) => it.summary(),
            Self::Checkpoint { size, root, counts, .. } => format!("{size} entries, root {root}, {counts}"),
            Self::Relayed(it)
            | Self::Bounced(it)
            | Self::Delayed(it)
            | Self::InDoubt(it)
            | Self::Cancelled(it) => {
                let to: Vec<&str> = it.recipients.iter().map(Address::as_str).collect();
                format!("{} to {} at {}: {}", it.copy, to.join(", "), it.next_hop, it.reply)
            }
        }
    }
}

/// The rule that decided, for a log line.
fn rule_named(rule: Option<&str>) -> String {
    rule.map_or_else(|| "no rule matched".to_owned(), |rule| format!("rule {rule:?}"))
}

impl Way {
    /// The word of the JSON and the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OneClick => "one_click",
            Self::Page => "page",
            Self::Mailto => "mailto",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_event_are_the_entry() {
        let copy = CopyId { reference: Reference::from_bytes([3; 16]), index: 2 };
        let outcome = Outcome {
            copy,
            recipients: vec![Address::parse("\"b b\"@example.org").unwrap()],
            reply: "250 2.0.0 ok \u{1F4E7} \"queued\"".to_owned(),
            next_hop: "smtp.example:587".to_owned(),
            tls: Some("TLSv1.3".to_owned()),
            attempt: 1,
        };
        let at: Timestamp = "2026-03-01T10:00:00.123456789Z".parse().unwrap();
        for event in [
            Event::Relayed(outcome.clone()),
            Event::InDoubt(outcome),
            Event::Checkpoint {
                size: 7,
                root: "x".to_owned(),
                counts: Counts { sent: 1, ..Counts::default() },
                note: "a\nb".to_owned(),
            },
        ] {
            let mut bytes = head(at, "poort \"één\"").into_bytes();
            bytes.extend(event.to_json().unwrap());
            let entry = Entry { v: 1, at, origin: "poort \"één\"".to_owned(), event };
            assert_eq!(bytes, serde_json::to_vec(&entry).unwrap(), "{}", String::from_utf8_lossy(&bytes));
            assert_eq!(Entry::parse(&bytes).unwrap(), entry);
            let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(json["kind"], entry.event.kind().0);
        }
    }
}
