//! The journey of one message (DESIGN section 3): index, classify, gather, decide, compose, record,
//! relay, record, reply.
//!
//! [`Gateway::screen`] answers RCPT when no message could change the answer; [`Gateway::admit`] is the
//! whole way, top to bottom. The reply it gives is the only thing the client learns: 250 means that the
//! next hop has it or that it is durable in the spool (promise 2). Rules and settings are taken once per
//! message, so that a reload never splits one. Deliberately absent: SMTP verbs (submission), retries (the
//! spool), and any opinion on who may be mailed (policy).

mod admit;
mod compose;
mod decide;
mod deliver;
mod preview;
mod settle;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::watch;

pub use preview::Preview;

use crate::clock::SharedClock;
use crate::ledger::{
    Archive, Event, Handover, KeyInForce, Record, RecordError, RefusedRecipient, Scribe, Stage,
};
use crate::limits::Limits;
use crate::mail::{Address, Domain, Envelope, Reference, ReversePath, SenderId, SessionId};
use crate::message::{self, Signer};
use crate::policy::{self, Answer, Connection, EnvelopeFacts, Register, Rules};
use crate::relay::{Abilities, Login, NotSignedIn, Relay, Spool};
use crate::secret::{SharedEntropy, random};
use crate::smtp::reply::Reply;
use crate::smtp::sasl::{Credentials, Mechanism};
use crate::{metrics, token};

/// Who hands messages over in one SMTP session.
#[derive(Debug, Clone)]
pub struct Client {
    /// The session.
    pub session: SessionId,
    /// Address, account, and the senders the account is bound to.
    pub connection: Connection,
    /// What it said in EHLO or HELO.
    pub helo: String,
    /// `ESMTPSA` and the like (RFC 3848), for Received.
    pub protocol: &'static str,
    /// TLS version, when there is TLS.
    pub tls: Option<String>,
    /// Its account at the next hop, when it signed in there.
    pub login: Option<Login>,
}

/// A message with its envelope, read to its true end.
#[derive(Debug)]
pub struct Submission {
    /// Who.
    pub client: Client,
    /// From whom, to whom.
    pub envelope: Envelope,
    /// The message, dots unstuffed, lines ending in CRLF.
    pub message: Bytes,
}

/// What the config says to the journey.
#[derive(Debug)]
pub struct Settings {
    /// Our name in Received, Message-ID and List-Id.
    pub hostname: String,
    /// Where unsubscribe links point: `https://host`, without a slash at the end.
    pub unsubscribe_url: String,
    /// The same for senders whose links point to an address of their own.
    pub unsubscribe_urls: Vec<(SenderId, String)>,
    /// The mailbox of mailto unsubscribes, when there is one (RULES P9).
    pub unsubscribe_mailto: Option<Address>,
    /// How long a client waits while several copies are delivered (DESIGN section 3).
    pub patience: Duration,
    /// Whether a message to several is kept when the next hop is down, instead of 451.
    pub queue_when_down: bool,
    /// How long a copy stays in the spool before it is given up.
    pub expire_after: jiff::SignedDuration,
    /// Copies in the spool above which a message to several is put off (452). What the gateway owes already
    /// (the rest of a message, its DSNs, notices) is taken in any case (promise 2).
    pub spool_copies: u64,
    /// The footer templates of each sender.
    pub footers: BTreeMap<SenderId, message::Templates>,
    /// Bounds on message structure.
    pub structure: message::Limits,
    /// Received fields above which a message is a loop (RFC 5321 6.3).
    pub max_received: usize,
    /// What is kept of each copy's bytes.
    pub archive: Archive,
    /// The DKIM keys by domain. Empty leaves signing to the next hop.
    pub signers: Vec<Signers>,
    /// The keys that seal unsubscribe links.
    pub tokens: token::Keys,
}

impl Settings {
    /// What the links of `sender` begin with.
    fn url_of(&self, sender: &SenderId) -> &str {
        let own = self.unsubscribe_urls.iter().find(|(of, _)| of == sender);
        own.map_or(&self.unsubscribe_url, |(_, url)| url)
    }
}

/// The DKIM keys of one domain; they sign what is From it, or from below it.
#[derive(Debug)]
pub struct Signers {
    /// `d=`.
    pub domain: Domain,
    /// One per algorithm, as a rule.
    pub keys: Vec<Signer>,
    /// Which keys these are, for the ledger.
    pub names: Vec<KeyInForce>,
}

/// Rules and settings that belong together; swapped whole by a reload.
#[derive(Debug)]
pub struct InForce {
    /// The administrator's rules.
    pub rules: Arc<Rules>,
    /// Everything else.
    pub settings: Settings,
}

/// What the journey is built from.
#[derive(Debug)]
pub struct Parts {
    /// Rules and settings.
    pub in_force: watch::Receiver<Arc<InForce>>,
    /// Counts what personal mail says (RULES L13).
    pub limits: Limits,
    /// Who may be mailed.
    pub register: Arc<dyn Register>,
    /// The pen.
    pub scribe: Scribe,
    /// The next hop.
    pub relay: Relay,
    /// What waits.
    pub spool: Spool,
    /// Why the unsubscribe endpoint does not answer its own health check (RULES L8), if it does not.
    pub unsubscribe_fault: watch::Receiver<Option<Arc<str>>>,
    /// The time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: SharedEntropy,
}

/// The journey; clones share everything.
#[derive(Debug, Clone)]
pub struct Gateway {
    parts: Arc<Parts>,
}

impl Gateway {
    /// Put the journey together.
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// What the next hop can do: EHLO offers no more (RULES P5).
    pub fn abilities(&self) -> Abilities {
        self.parts.relay.abilities()
    }

    /// The ways to sign in at the next hop that can be passed on.
    pub fn mechanisms(&self) -> Vec<Mechanism> {
        self.parts.relay.mechanisms()
    }

    /// Sign a client in with its account at the next hop (RULES P4); `Err` is what it is told: the next
    /// hop's own words, or that it could not be asked.
    pub async fn sign_in(&self, credentials: Credentials) -> Result<Login, Reply> {
        self.parts.relay.sign_in(credentials).await.map_err(|why| match why {
            NotSignedIn::Refused(answer) => {
                Reply::next_hop(answer.code, answer.enhanced.as_deref(), &answer.text)
                    .logged("the next hop does not take these credentials")
            }
            NotSignedIn::Unavailable(why) => Reply::sign_in_unavailable(why),
        })
    }

    /// Answer RCPT: `Err` with the refusal when no message could change the answer.
    pub async fn screen(
        &self,
        client: &Client,
        reverse_path: &ReversePath,
        recipient: &Address,
    ) -> Result<(), Reply> {
        let in_force = self.in_force();
        let envelope = EnvelopeFacts { reverse_path: reverse_path.clone() };
        let profiles = self.gather(&in_force.rules, &client.connection, &envelope, recipient, None);
        let facts =
            self.facts(&client.connection, &envelope, recipient, None, &profiles, self.parts.clock.now());
        let Some(decision) = policy::screen(&in_force.rules, &facts) else { return Ok(()) };
        match decision.answer {
            Answer::Forward(_) => Ok(()),
            Answer::Defer(reason) => {
                metrics::recipient_decided(decision.class.as_str(), "defer");
                Err(Reply::deferred(&reason))
            }
            Answer::Refuse(refusal) => {
                metrics::recipient_decided(decision.class.as_str(), "refuse");
                let reference = self.new_reference(facts.now);
                let reply = Reply::refused_recipients(&[(recipient.clone(), refusal.reason())]);
                let reply = reply.referring(reference);
                let event = Event::Refused {
                    reference: Some(reference),
                    handover: handover(client),
                    reverse_path: reverse_path.to_string(),
                    stage: Stage::Rcpt,
                    message_id: None,
                    recipients: vec![RefusedRecipient { recipient: recipient.clone(), refusal }],
                };
                // The refusal stands whether or not the ledger can take it: it fails closed.
                if let Err(error) = self.parts.scribe.post(Record::of(event)).await {
                    tracing::error!(%error, "a refusal could not be recorded");
                }
                Err(reply)
            }
        }
    }

    fn in_force(&self) -> Arc<InForce> {
        self.parts.in_force.borrow().clone()
    }

    fn new_reference(&self, now: Timestamp) -> Reference {
        Reference::new(now, random(&*self.parts.entropy))
    }

    fn unsubscribe_fault(&self) -> Option<Arc<str>> {
        self.parts.unsubscribe_fault.borrow().clone()
    }
}

/// What cannot be proven is not sent, or not wholly: the client keeps the message (promises 2 and 5). The log
/// has the disk's own words.
fn unproven(error: &RecordError) -> Reply {
    Reply::unavailable("the message could not be recorded, try again later", error.to_string())
}

/// Who handed it over, for the ledger (RULES L15).
fn handover(client: &Client) -> Handover {
    Handover {
        session: client.session,
        ip: client.connection.ip.to_string(),
        account: client.connection.account.clone(),
        helo: client.helo.clone(),
        tls: client.tls.clone(),
    }
}
