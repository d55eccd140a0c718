//! What a decision is made from.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::rule::Rules;
use crate::consent::{ConsentEvent, Published, Relation};
use crate::mail::{Address, AddressKey, Purpose, ReversePath, SenderId};
use crate::message::Message;
use crate::suppression::{DeliveryBlock, Suppression};

/// Who handed the message over (RULES L15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The client's IP address.
    pub ip: IpAddr,
    /// The account it signed in as; `None` from a trusted network.
    pub account: Option<String>,
    /// The senders that the account may send for; empty means any.
    pub senders: Vec<SenderId>,
}

/// What is known at RCPT, before the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeFacts {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
}

/// What is known of the message once it is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageFacts {
    /// The header From mailbox, when there is exactly one that can be read.
    pub from: Option<Address>,
    /// Its display name, encoded words decoded.
    pub from_name: Option<String>,
    /// The List-Id between its angle brackets, lower-case.
    pub list_id: Option<String>,
    /// All header fields: lower-case name, unfolded value.
    pub headers: Vec<(String, String)>,
    /// Recipients in the envelope.
    pub recipient_count: usize,
    /// Recipients in the envelope whose domain belongs to no sender of the config (RULES L13).
    pub external_recipients: usize,
    /// Messages of the account in the last 24 hours that say nearly the same, this one included (RULES L13);
    /// 0 when they were not counted, for it is not personal.
    pub alike: usize,
    /// Mailboxes in To and Cc whose domain belongs to no sender of the config, each once (RULES L14).
    pub visible_external: usize,
    /// A DSN, MDN or auto-reply by its own headers (`multipart/report`, `Auto-Submitted`).
    pub automatic: bool,
}

impl MessageFacts {
    /// What `message` tells, sent to `recipients` under `rules`.
    pub fn of<'a>(
        rules: &Rules,
        recipients: impl Iterator<Item = &'a Address> + Clone,
        message: &Message,
    ) -> Self {
        let external = |address: &Address| rules.owner_of(address.domain()).is_none();
        let from = message.from();
        // Somebody who stands there twice is shown to nobody else; what cannot be read may be anybody.
        let (mut known, mut unread) = (BTreeSet::new(), 0);
        let visible = message.visible_recipients();
        for one in &visible {
            match one {
                Ok(address) if external(address) => drop(known.insert(address.key())),
                Ok(_) => {}
                Err(_) => unread += 1,
            }
        }
        let shown = message.shown_recipients().iter().filter(|a| external(a)).count();
        Self {
            from_name: from.and_then(|from| from.name.clone()),
            from: from.map(|from| from.address.clone()),
            list_id: message.list_id(),
            headers: message.headers(),
            recipient_count: recipients.clone().count(),
            external_recipients: recipients.filter(|address| external(address)).count(),
            visible_external: shown.max(known.len() + unread),
            automatic: message.is_automatic(),
            alike: 0,
        }
    }
}

/// All that the register holds on one address for one sender, as histories.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Profile {
    /// Consent histories, one per purpose.
    pub consents: Vec<ConsentHistory>,
    /// Purchases.
    pub relations: Vec<Relation>,
    /// Publications of a business address, with the purpose they are for.
    pub published: Vec<(Purpose, Published)>,
    /// Suppressions of this very address, and of its base address without `+tag` (RULES L17).
    pub suppressions: Vec<Suppression>,
    /// Set when the mailbox is known not to work.
    pub block: Option<DeliveryBlock>,
    /// Which ledger entries hold these facts: when each was recorded, and its number.
    #[serde(default)]
    pub recorded: Vec<(Timestamp, u64)>,
}

/// The consent events of one purpose, in the order they were recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentHistory {
    /// What it was given for.
    pub purpose: Purpose,
    /// The events.
    pub events: Vec<ConsentEvent>,
}

impl Profile {
    /// The numbers of the ledger entries that hold what was recorded at one of these moments.
    pub fn entries_of(&self, recorded_at: &[Timestamp]) -> Vec<u64> {
        let held = self.recorded.iter().filter(|(at, _)| recorded_at.contains(at));
        held.map(|(_, number)| *number).collect()
    }

    /// The consent events for `purpose`; empty when there are none.
    pub fn consent(&self, purpose: &Purpose) -> &[ConsentEvent] {
        self.consents
            .iter()
            .find(|history| history.purpose == *purpose)
            .map_or(&[], |history| &history.events)
    }
}

/// Everything one decision looks at. `message` is `None` at RCPT.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// Who hands it over.
    pub connection: &'a Connection,
    /// MAIL FROM.
    pub envelope: &'a EnvelopeFacts,
    /// The recipient it is about.
    pub recipient: &'a Address,
    /// The message, once it is there.
    pub message: Option<&'a MessageFacts>,
    /// What the register holds on the recipient, for each sender that [`super::senders_asked`] named.
    pub profiles: &'a Profiles,
    /// Why the unsubscribe endpoint does not answer its own health check (RULES L8); `None` when it does.
    pub unsubscribe_fault: Option<Arc<str>>,
    /// The moment of the decision.
    pub now: Timestamp,
}

/// The recipient's profile by sender, as the gateway gathered it. A sender that was not gathered is one of
/// which nothing is known: marketing for it is deferred, not decided (promise 5).
#[derive(Debug, Clone, Default)]
pub struct Profiles(pub Vec<(SenderId, Result<Profile, Unavailable>)>);

impl Profiles {
    /// The profile for `sender`; `Ok(None)` when it was not gathered.
    pub fn of(&self, sender: &SenderId) -> Result<Option<&Profile>, &Unavailable> {
        match self.0.iter().find(|(id, _)| id == sender) {
            None => Ok(None),
            Some((_, Ok(profile))) => Ok(Some(profile)),
            Some((_, Err(unavailable))) => Err(unavailable),
        }
    }
}

/// The register could not be read: marketing is deferred (promise 5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the register cannot be read: {0}")]
pub struct Unavailable(pub String);

/// Reads the register. Implemented by the store (and by a map in tests); it has no write method.
pub trait Register: Send + Sync + std::fmt::Debug {
    /// All that is on record for `address` with `sender`, suppressions of its base address included.
    fn profile(&self, sender: &SenderId, address: &AddressKey) -> Result<Profile, Unavailable>;
}
