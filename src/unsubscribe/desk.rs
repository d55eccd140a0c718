//! Takes an unsubscribe and makes it durable, once.

use std::sync::Arc;

use bytes::Bytes;
use ipnet::IpNet;
use jiff::Timestamp;
use tokio::sync::watch;
use tracing::warn;

use super::health::{Outside, is_probe};
use super::look::Look;
use super::undo::Proof;
use crate::clock::SharedClock;
use crate::consent::ConsentEventKind;
use crate::ledger::{
    Corrected, Event, Explained, News, Record, RecordError, Scribe, Suppressed, Unsubscribed, Way, Why,
};
use crate::limits::Alone;
use crate::mail::{Address, AddressKey, Domain, Purpose, Reference, Sender, SenderId, TokenId};
use crate::metrics;
use crate::policy::{Profile, Register};
use crate::suppression::{Reason, Suppression};
use crate::token::{self, Claim, Keys, TokenError};

/// Octets of a User-Agent that are kept as evidence.
const USER_AGENT: usize = 256;

/// What may change while the gateway runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The keys that open tokens, those of years ago included (promise 7).
    pub keys: Keys,
    /// The senders. A token of a sender that is no longer here still unsubscribes.
    pub senders: Vec<Arc<Sender>>,
    /// How the pages of some of them look; the others look like ours.
    pub looks: Vec<(SenderId, Look)>,
    /// Our public addresses, for the health check.
    pub outside: Outside,
    /// Host names that links are answered under; empty: any.
    pub hosts: Vec<Domain>,
    /// Reverse proxies whose word on where a request came from is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// Tells the sender (RULES L10). Handed in by `app`, which knows how notices are written and sent.
pub trait Notices: Send + Sync + std::fmt::Debug {
    /// What goes into the same record as the news: the notices to `sender.notify`, as copies in the spool and
    /// their entries, and whatever else is owed. Empty when nobody is to be told.
    fn compose(&self, news: News<'_>, sender: &Sender) -> Record;

    /// Put a mail that came back about a message of ours into `record`, for whom its client had named.
    fn pass_on(&self, record: &mut Record, to: &Address, message: Bytes);

    /// The record is durable: the spool and the outbox have something to do.
    fn recorded(&self);
}

/// Where an unsubscribe came from: evidence, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// By which way.
    pub way: Way,
    /// IP address of the request.
    pub ip: Option<String>,
    /// User-Agent of the request.
    pub user_agent: Option<String>,
}

/// Who leaves whom, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// From which sender.
    pub sender: SenderId,
    /// Who.
    pub address: AddressKey,
    /// The token that was used, if one was.
    pub token: Option<TokenId>,
    /// The submission it is about, when that is known.
    pub reference: Option<Reference>,
    /// Purpose of that message.
    pub purpose: Option<Purpose>,
}

impl Leaving {
    /// What `token` says.
    pub fn with(token: &str, claim: Claim) -> Self {
        Self {
            sender: claim.sender,
            address: claim.address,
            token: Some(token::id(token)),
            reference: Some(claim.reference),
            purpose: claim.purpose,
        }
    }
}

/// What an unsubscribe did. The person is told the same either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was recorded now; with this, whoever made it can take it back for a while.
    Recorded(Option<Proof>),
    /// The address had unsubscribed from this sender before, and nothing has lifted it since or can.
    Before,
}

/// The token did not open. Carries nothing: all of them get one answer.
pub type Unread = TokenError;

/// Takes unsubscribes. Shared by all listeners, and by the mailbox for `mailto:` links.
#[derive(Debug)]
pub struct Desk {
    settings: watch::Receiver<Arc<Settings>>,
    register: Arc<dyn Register>,
    scribe: Scribe,
    notices: Arc<dyn Notices>,
    clock: SharedClock,
    alone: Alone,
    plain: Look,
}

impl Desk {
    /// A desk that opens tokens with the keys in `settings`, looks in `register`, and writes with `scribe`.
    pub fn new(
        settings: watch::Receiver<Arc<Settings>>,
        register: Arc<dyn Register>,
        scribe: Scribe,
        notices: Arc<dyn Notices>,
        clock: SharedClock,
    ) -> Self {
        Self { settings, register, scribe, notices, clock, alone: Alone::new(), plain: Look::default() }
    }

    /// What `token` says, and the sender it names, when that is still one of ours. Reads nothing but keys.
    pub fn open(&self, token: &str) -> Result<(Claim, Option<Arc<Sender>>), Unread> {
        let settings = self.settings();
        let claim = settings.keys.open(token)?;
        let sender = find(&settings.senders, &claim.sender);
        Ok((claim, sender))
    }

    /// Unsubscribe the bearer of `token`; durable when this returns `Ok`.
    ///
    /// Must be awaited to its end: a caller with a client that may go away runs it detached.
    pub async fn take(&self, token: &str, claim: Claim, visit: Visit) -> Result<Taken, RecordError> {
        if is_probe(&claim) {
            // Nobody to unsubscribe; but the way to the disk is gone to its end.
            self.scribe.record(Record::default()).await?;
            return Ok(Taken::Before);
        }
        self.leave(Leaving::with(token, claim), visit).await
    }

    /// Unsubscribe whoever `leaving` names; durable when this returns `Ok`. Must be awaited to its end, as
    /// [`Desk::take`].
    pub async fn leave(&self, leaving: Leaving, visit: Visit) -> Result<Taken, RecordError> {
        let _alone = self.alone(&leaving.sender, &leaving.address).await;
        // A register that cannot be read must not keep anybody from leaving: recorded twice is better
        // than not at all, and a store that cannot be written says so itself.
        let before = match self.register.profile(&leaving.sender, &leaving.address) {
            Ok(profile) if has_left(&profile) => return Ok(Taken::Before),
            Ok(profile) => left_since(&profile),
            Err(error) => {
                warn!(%error, "unsubscribing without a look at the register");
                None
            }
        };
        let way = visit.way;
        let unsubscribed = Unsubscribed {
            sender: leaving.sender,
            address: leaving.address,
            way,
            token: leaving.token,
            reference: leaving.reference,
            purpose: leaving.purpose,
            ip: visit.ip,
            user_agent: visit.user_agent.map(|text| printable(&text, USER_AGENT)),
        };
        let (sender, address) = (unsubscribed.sender.clone(), unsubscribed.address.clone());
        let record = self.news(News::Unsubscribed(&unsubscribed), &sender);
        self.write(Event::Unsubscribed(unsubscribed), record).await?;
        metrics::unsubscribed(way.as_str());
        let since = self.register.profile(&sender, &address).ok().and_then(|profile| left_since(&profile));
        Ok(Taken::Recorded(since.map(|since| Proof { since, before, issued: self.clock.now() })))
    }

    /// Take back the unsubscribe that `proof` names, if it still stands; what stood before it stands again.
    /// Durable when this returns `Ok`. Must be awaited to its end, as [`Desk::take`].
    pub async fn take_back(
        &self,
        token: &str,
        claim: Claim,
        visit: Visit,
        proof: Proof,
    ) -> Result<(), RecordError> {
        let _alone = self.alone(&claim.sender, &claim.address).await;
        let profile = self.register.profile(&claim.sender, &claim.address);
        let profile = profile.map_err(|error| RecordError::Store(error.0))?;
        if left_since(&profile) != Some(proof.since) {
            // Taken back before, or another one was made since.
            return Ok(());
        }
        let corrected = Corrected {
            sender: claim.sender,
            address: claim.address,
            since: proof.since,
            before: proof.before,
            token: Some(token::id(token)),
            reference: Some(claim.reference),
            ip: visit.ip,
            user_agent: visit.user_agent.map(|text| printable(&text, USER_AGENT)),
        };
        let record = self.news(News::Corrected(&corrected), &corrected.sender);
        self.write(Event::Corrected(corrected), record).await?;
        metrics::unsubscribe_corrected();
        Ok(())
    }

    /// Record why somebody unsubscribed.
    pub async fn explain(&self, token: &str, claim: Claim, why: Why) -> Result<(), RecordError> {
        let explained = Explained {
            sender: claim.sender,
            address: claim.address,
            why,
            token: Some(token::id(token)),
            reference: Some(claim.reference),
        };
        let record = self.news(News::Explained(&explained), &explained.sender);
        self.write(Event::Explained(explained), record).await
    }

    /// Record a complaint about the message that `leaving` names, and suppress for good (RULES P14, L16); durable when
    /// this returns `Ok`. Says whether that was news: of an address that complained to us before, another complaint
    /// changes nothing. Must be awaited to its end, as [`Desk::take`].
    pub(super) async fn complain(&self, leaving: Leaving) -> Result<bool, RecordError> {
        let _alone = self.alone(&leaving.sender, &leaving.address).await;
        // One that an import brought can be taken back with it.
        let complained = |profile: &Profile| {
            profile
                .suppressions
                .iter()
                .any(|suppression| suppression.reason == Reason::Complaint && suppression.file().is_none())
        };
        match self.register.profile(&leaving.sender, &leaving.address) {
            Ok(profile) if complained(&profile) => return Ok(false),
            Ok(_) => {}
            Err(error) => warn!(%error, "suppressing without a look at the register"),
        }
        let suppression = Suppression {
            reason: Reason::Complaint,
            since: self.clock.now(),
            source: "abuse report".to_owned(),
        };
        let Leaving { sender, address, reference, .. } = leaving;
        let suppressed = Suppressed { sender, address, suppression, reference };
        let record = self.news(News::Complained(&suppressed), &suppressed.sender);
        self.write(Event::Suppression(suppressed), record).await?;
        Ok(true)
    }

    /// Read the proof on a page that was made for `token`.
    pub(super) fn proof(&self, text: &str, token: &str) -> Option<Proof> {
        Proof::open(text, &token::id(token), &self.settings().keys, self.clock.now())
    }

    /// Spell out a proof for a page of `token`.
    pub(super) fn seal(&self, proof: Proof, token: &str) -> String {
        proof.seal(&token::id(token), &self.settings().keys)
    }

    /// Put `message` into `record`, to go on to `to`.
    pub(super) fn pass_on(&self, record: &mut Record, to: &Address, message: Bytes) {
        self.notices.pass_on(record, to, message);
    }

    /// The sole right to change what stands for one address with one sender.
    pub(super) async fn alone(
        &self,
        sender: &SenderId,
        address: &AddressKey,
    ) -> tokio::sync::MutexGuard<'_, ()> {
        self.alone.with((sender, address)).await
    }

    pub(super) fn news(&self, news: News<'_>, sender: &SenderId) -> Record {
        match find(&self.settings().senders, sender) {
            Some(sender) => self.notices.compose(news, &sender),
            None => Record::default(),
        }
    }

    /// Whether nothing commercial is sent to `address` because it is no mailbox; so much as is known.
    pub(super) fn is_blocked(&self, sender: &SenderId, address: &AddressKey) -> bool {
        self.register.profile(sender, address).is_ok_and(|profile| profile.block.is_some())
    }

    /// Write `event`, with what is owed for it.
    pub(super) async fn write(&self, event: Event, mut record: Record) -> Result<(), RecordError> {
        record.events.insert(0, event);
        self.scribe.record(record).await?;
        self.notices.recorded();
        Ok(())
    }

    /// Whether the register can be read.
    pub(super) fn can_read(&self, claim: &Claim) -> bool {
        self.register.profile(&claim.sender, &claim.address).is_ok()
    }

    /// How the page of `sender` looks.
    pub(crate) fn look(&self, sender: &SenderId) -> Look {
        let settings = self.settings();
        let found = settings.looks.iter().find(|(of, _)| of == sender);
        found.map_or_else(|| self.plain.clone(), |(_, look)| look.clone())
    }

    /// How every other page looks.
    pub(crate) fn plain(&self) -> &Look {
        &self.plain
    }

    /// The settings in force.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.settings.borrow().clone()
    }
}

/// Whether an unsubscribe is on record that no later grant could lift (RULES L16) and no undoing of an import could
/// take back (L19), so that another would change nothing.
fn has_left(profile: &Profile) -> bool {
    let last_grant = profile
        .consents
        .iter()
        .flat_map(|history| &history.events)
        .filter(|event| matches!(event.kind, ConsentEventKind::Grant | ConsentEventKind::Confirm))
        .map(|event| event.at.max(event.recorded_at))
        .max();
    profile.suppressions.iter().any(|suppression| {
        suppression.reason == Reason::Unsubscribed
            && suppression.file().is_none()
            && last_grant.is_none_or(|grant| grant < suppression.since)
    })
}

/// When the last unsubscribe on record was made.
fn left_since(profile: &Profile) -> Option<Timestamp> {
    let left = profile.suppressions.iter().filter(|suppression| suppression.reason == Reason::Unsubscribed);
    left.map(|suppression| suppression.since).max()
}

fn find(senders: &[Arc<Sender>], id: &SenderId) -> Option<Arc<Sender>> {
    senders.iter().find(|sender| sender.id == *id).cloned()
}

/// `text` without control characters, cut to `limit` octets.
pub(crate) fn printable(text: &str, limit: usize) -> String {
    let mut kept = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if kept.len() + c.len_utf8() > limit {
            break;
        }
        kept.push(c);
    }
    kept
}
