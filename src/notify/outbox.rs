//! Tells what is owed: takes what is due from the outbox, tells it, and records what came of it (RULES L10).
//!
//! A telling is owed from the commit of the fact it tells until the commit that says how it ended, so a crash
//! in between tells it again, under the same id: at least once, never silently not at all. To one webhook,
//! about one address, the order of the facts holds. What nobody takes in time is dead: it is listed, and a
//! person decides. Deliberately absent: tables (the store's), the wording of mails, and who is to be told
//! (`app`, from the config, when the fact is recorded).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::Method;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, watch};
use tracing::{debug, info, warn};

use super::owed::Daily;
use super::webhook::{self, Webhook};
use crate::clock::SharedClock;
use crate::ledger::{
    Channel, Entry, Event, News, OutboxView, Owed, OwedId, OwedState, Record, RecordError, Scribe, Side,
    Telling, Told,
};
use crate::mail::{Address, AddressKey, Reference, Sender, SenderId, one_line_within};
use crate::metrics;
use crate::net::call::{CallError, Caller, Target};
use crate::policy::{Register, Unavailable};
use crate::secret::{SharedEntropy, random};
use crate::shutdown::Shutdown;
use crate::suppression::Reason;

/// Tellings that are looked at in one go, and in one digest.
const PAGE: usize = 500;
/// Longest wait between two looks.
const LOOK: Duration = Duration::from_secs(60);
/// Wait after the store could not be read or written.
const TROUBLE: Duration = Duration::from_secs(5);
/// Characters of an answer that are kept.
const ANSWER: usize = 200;

/// What may change while the gateway runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The webhooks.
    pub webhooks: Vec<Webhook>,
    /// How the tools' own links are called (RULES P8); `None`: not at all.
    pub one_click: Option<OneClick>,
    /// The senders who are told once a day instead of at once.
    pub daily_for: Vec<SenderId>,
    /// When that is.
    pub daily: Daily,
    /// The senders, for their names and languages.
    pub senders: Vec<Arc<Sender>>,
    /// Waits between tries; the last one repeats.
    pub retry: Vec<Duration>,
    /// After so long a telling is dead.
    pub expire_after: Duration,
    /// Tellings to one target at a time.
    pub at_once: usize,
}

/// How the tools' own one-click links are called.
#[derive(Debug, Clone)]
pub struct OneClick {
    /// Whose links: `tool.example`, or `.tool.example` for it and all below it.
    pub hosts: Vec<String>,
    /// How.
    pub caller: Caller,
}

/// Where the tool's own one-click link of a message is found (RULES P8).
pub trait Links: Send + Sync + std::fmt::Debug {
    /// The link in the message of `reference` that went to `address`; `None` when it had none, or is no
    /// longer kept. May take as long as reading a message does.
    fn one_click(&self, reference: Reference, address: &AddressKey) -> Result<Option<String>, Unavailable>;
}

/// Who writes and posts the daily mails.
pub trait Digests: Send + Sync + std::fmt::Debug {
    /// Add to `record` the mail that tells `to` of `news`; it is durable, and will be sent, with the record.
    fn enclose(&self, record: &mut Record, news: &[(Timestamp, News<'_>)], sender: &Sender, to: &Address);

    /// The record is durable: the spool has something to do.
    fn recorded(&self);
}

/// What the outbox is emptied with.
#[derive(Debug)]
pub struct Parts {
    /// What is owed.
    pub view: Arc<dyn OutboxView>,
    /// The pen.
    pub scribe: Scribe,
    /// Whether an unsubscribe still stands, before the tool is told.
    pub register: Arc<dyn Register>,
    /// The tools' links.
    pub links: Arc<dyn Links>,
    /// The daily mails.
    pub digests: Arc<dyn Digests>,
    /// What is in force.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// The time.
    pub clock: SharedClock,
    /// Jitter.
    pub entropy: SharedEntropy,
    /// The stop signal; a telling that is under way holds it up until it is recorded.
    pub shutdown: Shutdown,
}

/// A handle on the outbox; clones share it.
#[derive(Debug, Clone)]
pub struct Outbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    parts: Parts,
    /// What some task is telling, and to whom.
    in_flight: Mutex<HashMap<OwedId, String>>,
    work: Arc<Notify>,
}

/// How a try ended.
enum Ending {
    /// Over, with an entry that says so.
    Over(Telling, String, String),
    /// Over, and not worth an entry.
    Nothing,
    /// To be tried again; whom, and the answer.
    Again(String, String),
}

impl Outbox {
    /// Put it together. Nothing happens until [`Outbox::run`]. Whoever records what is owed rings `work` after
    /// the commit.
    pub fn new(parts: Parts, work: Arc<Notify>) -> Self {
        Self { inner: Arc::new(Inner { parts, in_flight: Mutex::default(), work }) }
    }

    /// Something new is owed. To be called after the commit.
    pub fn wake(&self) {
        self.inner.work.notify_one();
    }

    /// Tell what is due, until the stop.
    pub async fn run(&self) {
        let parts = &self.inner.parts;
        loop {
            let pause = self.look();
            tokio::select! {
                () = parts.shutdown.requested() => return,
                () = self.inner.work.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Begin what is due and not begun; how long to wait for the next look.
    fn look(&self) -> Duration {
        let parts = &self.inner.parts;
        let now = parts.clock.now();
        let due = match parts.view.owed(now, PAGE) {
            Ok(due) => due,
            Err(error) => {
                warn!(%error, "the outbox cannot be read");
                return TROUBLE;
            }
        };
        let at_once = parts.settings.borrow().at_once.max(1);
        for (id, owed) in due {
            // The digest of one day is one telling, whoever is in it.
            let target = owed.channel.to_string();
            let at_once = if matches!(owed.channel, Channel::Digest(_)) { 1 } else { at_once };
            let mut in_flight = self.inner.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
            if in_flight.contains_key(&id)
                || in_flight.values().filter(|at| **at == target).count() >= at_once
            {
                continue;
            }
            in_flight.insert(id, target);
            drop(in_flight);
            let this = self.clone();
            parts.shutdown.spawn(async move {
                let recorded = this.tell(id, owed).await;
                if let Err(error) = &recorded {
                    warn!(%error, telling = %id, "what came of a telling could not be recorded; it is told again");
                    tokio::time::sleep(TROUBLE).await;
                }
                this.inner.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                this.inner.work.notify_one();
            });
        }
        match parts.view.next_owed() {
            // What is due and still here is under way, and its end wakes us.
            Ok(Some(next)) if next > now => {
                Duration::try_from(next.duration_since(now)).unwrap_or(LOOK).min(LOOK)
            }
            Ok(_) => LOOK,
            Err(_) => TROUBLE,
        }
    }

    /// One try of one telling, from the entry to the record of what came of it.
    async fn tell(&self, id: OwedId, owed: Owed) -> Result<(), RecordError> {
        let parts = &self.inner.parts;
        let settings = parts.settings.borrow().clone();
        let now = parts.clock.now();
        let unread = |error: Unavailable| RecordError::Store(error.0);
        let entry = parts.view.entry(id.fact).map_err(unread)?.and_then(|bytes| Entry::parse(&bytes).ok());
        let Some(entry) = entry else {
            let gone = "the entry it tells of was erased".to_owned();
            return self.record(id, owed, Ending::Over(Telling::NotNeeded, String::new(), gone), now).await;
        };
        let Some(news) = News::of(&entry.event) else {
            return self.record(id, owed, Ending::Nothing, now).await;
        };
        let ending = match &owed.channel {
            Channel::Webhook(name) => self.webhook(name, id, &entry, news, &settings).await,
            Channel::OneClick => self.one_click(&owed, news, &settings).await.map_err(unread)?,
            Channel::Digest(to) => return self.digest(&owed, to, &settings, now).await,
        };
        self.record(id, owed, ending, now).await
    }

    async fn webhook(
        &self,
        name: &str,
        id: OwedId,
        entry: &Entry,
        news: News<'_>,
        settings: &Settings,
    ) -> Ending {
        let Some(webhook) = settings.webhooks.iter().find(|webhook| webhook.name == name) else {
            let gone = "the config has no such webhook any more".to_owned();
            return Ending::Over(Telling::NotNeeded, name.to_owned(), gone);
        };
        let sender = settings.senders.iter().find(|known| known.id == *news.sender());
        let body = webhook::body(id, entry, news, sender.map(Arc::as_ref));
        let now = self.inner.parts.clock.now();
        let fields = webhook::fields(id, &entry.origin, now, &body, &webhook.secret);
        let answer = webhook.caller.call(&webhook.target, None, Method::POST, &fields, body).await;
        match answer {
            Ok(reply) if (200..300).contains(&reply.status) => {
                Ending::Over(Telling::Told, name.to_owned(), reply.status.to_string())
            }
            // RFC 9110 15.5.11, and the specification: it wants no more.
            Ok(reply) if reply.status == 410 => {
                Ending::Over(Telling::GivenUp, name.to_owned(), "410: it is gone".to_owned())
            }
            Ok(reply) => Ending::Again(name.to_owned(), reply.status.to_string()),
            Err(error) => Ending::Again(name.to_owned(), error.to_string()),
        }
    }

    /// RULES P8. Not once the unsubscribe was taken back: the tool could not be told of that.
    async fn one_click(
        &self,
        owed: &Owed,
        news: News<'_>,
        settings: &Settings,
    ) -> Result<Ending, Unavailable> {
        let parts = &self.inner.parts;
        let News::Unsubscribed(unsubscribed) = news else { return Ok(Ending::Nothing) };
        let Some(reference) = unsubscribed.reference else { return Ok(Ending::Nothing) };
        let profile = parts.register.profile(&owed.sender, &owed.address)?;
        let stands = profile.suppressions.iter().any(|suppression| suppression.reason != Reason::Manual);
        let (links, address) = (parts.links.clone(), owed.address.clone());
        let link = tokio::task::spawn_blocking(move || links.one_click(reference, &address)).await;
        let link = link.map_err(|error| Unavailable(error.to_string()))??;
        // A message without a link of its own has nobody behind it to be told.
        let Some(link) = link else { return Ok(Ending::Nothing) };
        let Some(target) = Target::parse(&link) else {
            let why = "the message's own link is no URL".to_owned();
            return Ok(Ending::Over(Telling::NotNeeded, String::new(), why));
        };
        // The host only: the rest of the link is a secret between the tool and the person.
        let host = target.host().to_owned();
        if !stands {
            let why = "the unsubscribe was taken back".to_owned();
            return Ok(Ending::Over(Telling::NotNeeded, host, why));
        }
        let called = settings.one_click.as_ref().filter(|one_click| is_allowed(&host, &one_click.hosts));
        let Some(OneClick { caller, .. }) = called else {
            let why = "not called: the host is not in notify.one_click_hosts".to_owned();
            return Ok(Ending::Over(Telling::NotNeeded, host, why));
        };
        let fields = [("content-type", "application/x-www-form-urlencoded".to_owned())];
        let body = b"List-Unsubscribe=One-Click".to_vec();
        Ok(match caller.call(&target, None, Method::POST, &fields, body).await {
            Ok(reply) if (200..300).contains(&reply.status) => {
                Ending::Over(Telling::Told, host, reply.status.to_string())
            }
            // RFC 8058 3.2: no redirects. A link that is not there will not be there tomorrow.
            Ok(reply) if matches!(reply.status, 300..=399 | 404 | 405 | 410) => {
                Ending::Over(Telling::GivenUp, host, reply.status.to_string())
            }
            Ok(reply) => Ending::Again(host, reply.status.to_string()),
            Err(CallError::Refused(why)) => Ending::Over(Telling::GivenUp, host, why),
            Err(CallError::Unreachable(why)) => Ending::Again(host, why),
        })
    }

    /// All that is due for one daily mail, as one mail.
    async fn digest(
        &self,
        owed: &Owed,
        to: &Address,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<(), RecordError> {
        let parts = &self.inner.parts;
        let unread = |error: Unavailable| RecordError::Store(error.0);
        let due = |owed: &Owed| owed.state.is_due(now);
        let lane: Vec<_> = parts.view.lane(&owed.lane(), PAGE).map_err(unread)?;
        let lane: Vec<_> = lane.into_iter().filter(|(_, owed)| due(owed)).collect();
        let mut entries = Vec::with_capacity(lane.len());
        for (id, _) in &lane {
            let entry = parts.view.entry(id.fact).map_err(unread)?;
            entries.extend(entry.and_then(|bytes| Entry::parse(&bytes).ok()));
        }
        let news: Vec<_> =
            entries.iter().filter_map(|entry| Some((entry.at, News::of(&entry.event)?))).collect();
        let mut record = Record::default();
        let sender = settings.senders.iter().find(|sender| sender.id == owed.sender);
        if let Some(sender) = sender
            && !news.is_empty()
        {
            parts.digests.enclose(&mut record, &news, sender, to);
        }
        record.sides.extend(lane.iter().map(|(id, _)| Side::Paid(*id)));
        parts.scribe.record(record).await?;
        parts.digests.recorded();
        info!(%to, news = news.len(), "a digest is on its way");
        Ok(())
    }

    async fn record(
        &self,
        id: OwedId,
        owed: Owed,
        ending: Ending,
        now: Timestamp,
    ) -> Result<(), RecordError> {
        let parts = &self.inner.parts;
        let attempt = owed.attempts.saturating_add(1);
        let (telling, target, answer) = match ending {
            Ending::Nothing => {
                let record = Record { events: Vec::new(), sides: vec![Side::Paid(id)] };
                return parts.scribe.record(record).await.map(drop);
            }
            Ending::Over(telling, target, answer) => (telling, target, answer),
            Ending::Again(target, answer) => {
                let settings = parts.settings.borrow().clone();
                let next = self.next_try(&settings, attempt, now);
                if next.duration_since(owed.since) < signed(settings.expire_after) {
                    debug!(telling = %id, %answer, "a telling failed; it is tried again");
                    metrics::told(owed.channel.kind(), "failed");
                    let last_answer = one_line_within(&answer, ANSWER);
                    let owed =
                        Owed { attempts: attempt, last_answer, state: OwedState::Waiting { next }, ..owed };
                    let record = Record { events: Vec::new(), sides: vec![Side::Defer(id, Box::new(owed))] };
                    return parts.scribe.record(record).await.map(drop);
                }
                (Telling::GivenUp, target, answer)
            }
        };
        let kind = owed.channel.kind();
        let told = Told {
            sender: owed.sender.clone(),
            address: owed.address.clone(),
            fact: id.fact,
            index: id.index,
            channel: kind.to_owned(),
            target,
            outcome: telling,
            answer: one_line_within(&answer, ANSWER),
            attempt,
        };
        let side = match telling {
            Telling::GivenUp => {
                warn!(channel = %owed.channel, %answer, telling = %id, "somebody who must know could not be told");
                let last_answer = one_line_within(&answer, ANSWER);
                Side::Defer(
                    id,
                    Box::new(Owed { attempts: attempt, last_answer, state: OwedState::Dead, ..owed }),
                )
            }
            Telling::Told | Telling::NotNeeded => Side::Paid(id),
        };
        metrics::told(kind, telling.as_str());
        parts.scribe.record(Record { events: vec![Event::Told(told)], sides: vec![side] }).await.map(drop)
    }

    fn next_try(&self, settings: &Settings, attempts: u32, now: Timestamp) -> Timestamp {
        let step = (attempts.max(1) as usize - 1).min(settings.retry.len().saturating_sub(1));
        let wait = settings.retry.get(step).copied().unwrap_or(LOOK);
        // Up to a tenth more, so that what failed together does not come back together.
        let share = f64::from(u32::from_be_bytes(random(&*self.inner.parts.entropy))) / f64::from(u32::MAX);
        now.checked_add(signed(wait.mul_f64(1.0 + share / 10.0))).unwrap_or(Timestamp::MAX)
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// Whether `host` is one of `allowed`, or below one that begins with a dot.
fn is_allowed(host: &str, allowed: &[String]) -> bool {
    allowed.iter().any(|one| match one.strip_prefix('.') {
        Some(parent) => host == parent || host.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.')),
        None => host == one,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p8_only_hosts_that_the_config_names() {
        let allowed = ["tool.example".to_owned(), ".lists.example".to_owned()];
        for (host, called) in [
            ("tool.example", true),
            ("www.tool.example", false),
            ("lists.example", true),
            ("eu.lists.example", true),
            ("evillists.example", false),
            ("tool.example.evil.example", false),
            ("", false),
        ] {
            assert_eq!(is_allowed(host, &allowed), called, "{host}");
        }
        assert!(!is_allowed("tool.example", &[]), "nobody unless the config says so");
    }
}
