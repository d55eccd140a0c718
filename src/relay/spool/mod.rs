//! The spool: waiting copies are tried on time, within bounds, and never without a permit.
//!
//! A copy is on the disk from the commit that admits it until the commit that says what became of it
//! (promise 2), and is marked as being tried before its first byte goes (promise 1). Before each try the
//! permits are asked for again, so an unsubscribe meanwhile cancels it (promise 6). In memory there are
//! only the copies that are being tried. Deliberately absent: tables (the store's, which also finds what was
//! being tried when the gateway stopped) and SMTP (the pool's).

mod first;
mod outcome;
mod worker;

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, Semaphore, watch};

use super::dsn::{self, Returned};
use super::{Answer, Delivery, Handed, InDoubt, Relay, Route, SpoolSettings, SpoolView, Tidings, notice};
use crate::clock::SharedClock;
use crate::ledger::{Event, News, Record, Scribe, SpoolState, Spooled};
use crate::mail::{AddressKey, CopyId, Language, Recipient, Reference, SenderId};
use crate::policy::{Register, Rules};
use crate::secret::{SharedEntropy, random};
use crate::shutdown::Shutdown;

pub use first::FirstTry;

/// What the spool is built from.
#[derive(Debug)]
pub struct Parts {
    /// The next hop.
    pub relay: Relay,
    /// The disk, to read.
    pub view: Arc<dyn SpoolView>,
    /// The pen.
    pub scribe: Scribe,
    /// Who may be mailed: asked again before each try.
    pub register: Arc<dyn Register>,
    /// The rules in force; a reload sends new ones.
    pub rules: watch::Receiver<Arc<Rules>>,
    /// Why the unsubscribe endpoint does not answer its own health check (RULES L8), if it does not.
    pub unsubscribe_fault: watch::Receiver<Option<Arc<str>>>,
    /// What signs mail of our own.
    pub seals: watch::Receiver<Arc<Vec<notice::Seal>>>,
    /// Who tells of mailboxes that turn out not to work.
    pub tidings: Arc<dyn Tidings>,
    /// The time.
    pub clock: SharedClock,
    /// Randomness: jitter, ids, boundaries.
    pub entropy: SharedEntropy,
    /// The stop signal; tries that are under way hold it up until they are recorded.
    pub shutdown: Shutdown,
    /// How copies are tried again.
    pub settings: SpoolSettings,
}

/// A handle on the spool; clones share it.
#[derive(Debug, Clone)]
pub struct Spool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    parts: Parts,
    /// Copies that some task of this process is trying.
    in_flight: Mutex<HashSet<CopyId>>,
    /// Tries of the background worker.
    slots: Arc<Semaphore>,
    /// First deliveries, of all clients that wait.
    first: Arc<Semaphore>,
    /// The store could not be used a moment ago.
    trouble: AtomicBool,
    /// Something new waits, or something finished.
    work: Notify,
}

/// A copy that this task alone is trying; dropping it lets others try.
#[derive(Debug)]
pub struct Flight {
    inner: Arc<Inner>,
    copy: CopyId,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.inner.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.copy);
        self.inner.work.notify_one();
    }
}

impl Spool {
    /// Put the spool together. Nothing happens until [`Spool::run`] runs or something is delivered first.
    pub fn new(parts: Parts) -> Self {
        let slots = Arc::new(Semaphore::new(parts.settings.concurrency.max(1)));
        let first = Arc::new(Semaphore::new(parts.relay.connections()));
        let inner = Inner {
            parts,
            in_flight: Mutex::default(),
            slots,
            first,
            trouble: AtomicBool::new(false),
            work: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Something new waits: have the worker look. To be called after the commit that put it there.
    pub fn wake(&self) {
        self.inner.work.notify_one();
        self.inner.parts.tidings.recorded();
    }

    /// Add to `record` what is owed to whom for the mailboxes that its entries block: once for each that was not
    /// blocked before. Says whether anything was added; call [`Spool::wake`] after the commit.
    pub fn tell_blocks(&self, record: &mut Record) -> bool {
        let parts = &self.inner.parts;
        let mut told: HashSet<(SenderId, AddressKey)> = HashSet::new();
        let blocks = record.events.iter().enumerate().filter_map(|(place, event)| match event {
            Event::Returned(it) if it.blocked => Some((place, it.clone())),
            _ => None,
        });
        for (place, returned) in blocks.collect::<Vec<_>>() {
            // A register that cannot be read keeps nobody from being told.
            let known = parts.register.profile(&returned.sender, &returned.address);
            let is_new = known.map_or(true, |profile| profile.block.is_none());
            if is_new && told.insert((returned.sender.clone(), returned.address.clone())) {
                parts.tidings.tell(record, place, News::Blocked(&returned), self);
            }
        }
        !told.is_empty()
    }

    /// When a copy that was tried `attempts` times (at least once) is tried again.
    pub fn next_try(&self, attempts: u32, now: Timestamp) -> Timestamp {
        let settings = &self.inner.parts.settings;
        let step = (attempts.max(1) as usize - 1).min(settings.retry.len().saturating_sub(1));
        let wait = settings.retry.get(step).copied().unwrap_or(Duration::from_secs(60));
        let share = f64::from(u32::from_be_bytes(random(&*self.inner.parts.entropy))) / f64::from(u32::MAX);
        let wait = wait.mul_f64(1.0 + settings.jitter.clamp(0.0, 1.0) * share);
        later(now, wait)
    }

    /// How a copy is kept whose first try was now, and left some of its recipients: one in doubt that is to be held
    /// holds the others, too.
    pub fn after_a_try(&self, in_doubt: bool, now: Timestamp) -> SpoolState {
        if in_doubt && self.inner.parts.settings.in_doubt == InDoubt::Hold {
            return SpoolState::Held;
        }
        SpoolState::Waiting { next: self.next_try(1, now) }
    }

    /// When a copy that was not tried, as all of its next hops are down, gets its turn: by its age, as if it
    /// had been tried all the while, so that a long outage costs ever less.
    fn next_turn(&self, spooled: &Spooled, now: Timestamp) -> Timestamp {
        let mut left = Duration::try_from(now.duration_since(spooled.admitted_at)).unwrap_or_default();
        let waits = self.inner.parts.settings.retry.iter();
        let passed = waits.take_while(|wait| {
            let is_over = left >= **wait;
            left = left.saturating_sub(**wait);
            is_over
        });
        let turns = u32::try_from(passed.count()).unwrap_or(u32::MAX).saturating_add(1);
        self.next_try(turns.max(spooled.attempts), now).min(spooled.expires_at)
    }

    /// The next hops of a copy, as the config in force has it.
    fn route_of(&self, spooled: &Spooled) -> Route {
        self.inner.parts.relay.route(Handed {
            rule: spooled.rule.as_deref(),
            account: spooled.account.as_deref(),
            sender: spooled.sender.as_ref(),
        })
    }

    /// Add to `record` the DSN that tells the sender of `failures`, if one is due (RULES P13): it is then
    /// durable with the facts it is about. Adds nothing for a null reverse-path, an automatic message, or
    /// recipients with `NOTIFY` without `FAILURE`. Call [`Spool::wake`] after the commit. Says whether a
    /// DSN was added.
    pub fn bounce(
        &self,
        record: &mut Record,
        returned: &Returned,
        failures: Vec<dsn::Failure>,
        now: Timestamp,
    ) -> bool {
        let reports = failures.into_iter().filter(|one| one.recipient.wants_failure_dsn());
        self.report(record, returned, reports.map(dsn::Failure::into_report).collect(), now)
    }

    /// Add to `record` the DSN that says `relayed` (RFC 3461 5.2.7 d) for those of `recipients` (with the
    /// answers of the next hop) who have it, wanted to know, and will not be told by the next hop. The
    /// same rules as for [`Spool::bounce`]; says whether a DSN was added.
    pub fn confirm(
        &self,
        record: &mut Record,
        returned: &Returned,
        recipients: Vec<(Recipient, Answer)>,
        delivery: &Delivery,
        now: Timestamp,
    ) -> bool {
        let reports = recipients
            .into_iter()
            .filter_map(|(recipient, answer)| dsn::Report::relayed(&recipient, &answer, delivery));
        self.report(record, returned, reports.collect(), now)
    }

    /// As [`Spool::bounce`], for reports of any kind.
    fn report(
        &self,
        record: &mut Record,
        returned: &Returned,
        reports: Vec<dsn::Report>,
        now: Timestamp,
    ) -> bool {
        let Some(to) = returned.reverse_path.address().filter(|_| !returned.automatic) else { return false };
        if reports.is_empty() {
            return false;
        }
        let parts = &self.inner.parts;
        let reference = Reference::new(now, random(&*parts.entropy));
        let style = dsn::Style {
            hostname: &parts.settings.hostname,
            postmaster: &parts.settings.postmaster,
            language: self.language_of(returned),
            message_id: format!("{reference}@{}", parts.settings.hostname),
            boundary: format!("={reference}="),
            now,
            full_up_to: parts.settings.dsn_full,
            eight_bit: parts.relay.abilities_for(&Route::default(), Some(to)).eight_bit,
        };
        let bytes = dsn::compose(returned, &reports, &style);
        let letter = notice::Letter {
            to: to.clone(),
            about: "dsn".to_owned(),
            sender: None,
            asks_for: None,
            message_id: Some(format!("<{}>", style.message_id)),
            from: Some(self.inner.parts.settings.postmaster.clone()),
            bytes: bytes.into(),
        };
        self.enclose_as(record, letter, reference, now);
        true
    }

    /// Add to `record` a message of our own, so that it becomes durable, and is sent, with the fact that
    /// caused it. Call [`Spool::wake`] after the commit.
    pub fn enclose(&self, record: &mut Record, letter: notice::Letter, now: Timestamp) {
        let reference = Reference::new(now, random(&*self.inner.parts.entropy));
        self.enclose_as(record, letter, reference, now);
    }

    fn enclose_as(
        &self,
        record: &mut Record,
        mut letter: notice::Letter,
        reference: Reference,
        now: Timestamp,
    ) {
        let parts = &self.inner.parts;
        let mut dkim = Vec::new();
        if let Some(from) = &letter.from {
            let seals = parts.seals.borrow().clone();
            (letter.bytes, dkim) = notice::seal(letter.bytes, from, &seals, now);
        }
        let postmark = notice::Postmark {
            copy: CopyId { reference, index: 0 },
            rules_sha256: parts.rules.borrow().hash.clone(),
            next_hop: parts.relay.name_for(&Route::default()),
            now,
            expires_at: later(now, parts.settings.expire_after),
            dkim,
        };
        notice::enclose(record, letter, postmark);
    }

    /// The language of the sender that owns the reverse-path's domain, else English.
    fn language_of(&self, returned: &Returned) -> Language {
        let rules = self.inner.parts.rules.borrow();
        let owner = returned.reverse_path.address().and_then(|address| rules.owner_of(address.domain()));
        owner.map_or(Language::En, |sender| sender.language)
    }

    /// Copies in the spool, waiting, held and being tried.
    pub fn count(&self) -> Result<u64, crate::policy::Unavailable> {
        self.inner.parts.view.count()
    }

    /// The sole right to change `copy` in the spool, until what is returned is dropped; `None` while it is
    /// being tried.
    pub fn claim(&self, copy: CopyId) -> Option<Flight> {
        self.board(copy)
    }

    /// Mark `copy` as being tried by this task; `None` when another task has it.
    fn board(&self, copy: CopyId) -> Option<Flight> {
        let mut in_flight = self.inner.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        in_flight.insert(copy).then(|| Flight { inner: self.inner.clone(), copy })
    }

    fn is_in_flight(&self, copy: CopyId) -> bool {
        self.inner.in_flight.lock().unwrap_or_else(PoisonError::into_inner).contains(&copy)
    }

    fn now(&self) -> Timestamp {
        self.inner.parts.clock.now()
    }

    /// Write what `make` makes, again and again until it is durable; `false` when a stop was asked for or
    /// the pen is gone, so that what it says will be found as in doubt at the next start (promise 1).
    async fn insist(&self, mut make: impl FnMut() -> Record) -> bool {
        let mut pause = Duration::from_secs(1);
        loop {
            match self.inner.parts.scribe.record(make()).await {
                Ok(_) => return true,
                Err(error) => tracing::error!(%error, "an outcome could not be recorded"),
            }
            tokio::select! {
                () = self.inner.parts.shutdown.requested() => return false,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(60)),
            }
        }
    }
}

/// `now` and `wait` later; the end of time when that is past it.
fn later(now: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait).ok().and_then(|wait| now.checked_add(wait).ok()).unwrap_or(Timestamp::MAX)
}
