//! Kept connections to one next hop: few, reused, checked before use.
//!
//! A connection that the next hop closed while it was idle costs a new one, never a message: it is looked
//! at before use, and a transaction on it that was met by silence or 421 before anything was taken is
//! begun again, once, on a fresh connection. Bounded: connections, messages per connection, idle time, and
//! the wait for a free one (promise 10).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout, timeout_at};

use super::client::{Connection, Dialer, all_deferred, obstacle};
use super::failure::Failure;
use super::mx::dial::Domain;
use super::rate::Rate;
use super::{Abilities, Answer, Copy, Delivery, Fate, MayGo, PoolSettings, SmtpHop, Timeouts};
use crate::net::tls::TlsError;
use crate::smtp::data;
use crate::smtp::sasl::{Credentials, Mechanism};

/// A connection that answered this short a time ago is trusted with a whole transaction in one write.
const WARM: Duration = Duration::from_secs(1);

/// A next hop that is down is left alone for at most so many pauses.
const LONGEST_REST: u32 = 64;

/// All connections to one next hop; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dial: Dial,
    settings: PoolSettings,
    name: String,
    slots: Semaphore,
    /// Copies from the spool that are under way at once: as many as there are connections.
    rooms: Arc<Semaphore>,
    rate: Option<Arc<Rate>>,
    kept: Mutex<Kept>,
}

/// Who makes the connections.
#[derive(Debug)]
enum Dial {
    /// To one server.
    Server(Box<Dialer>),
    /// To the servers of a domain.
    Domain(Domain),
}

impl Dial {
    /// Connect; where `by` is given, every wait ends then.
    async fn dial(&self, by: Option<Instant>) -> Result<Connection, Failure> {
        match self {
            Self::Server(dialer) => dialer.dial(by).await,
            Self::Domain(domain) => domain.dial().await,
        }
    }

    fn connect_limit(&self) -> Duration {
        match self {
            Self::Server(dialer) => dialer.connect_limit(),
            Self::Domain(domain) => domain.connect_limit(),
        }
    }
}

/// What is remembered between transactions.
#[derive(Debug, Default)]
struct Kept {
    /// The one used last is at the end: it stays warm, and the others may go.
    idle: Vec<Connection>,
    seen: Option<Abilities>,
    mechanisms: Option<Vec<Mechanism>>,
    /// The last connect failed.
    failed: Option<Trouble>,
    /// A task is seeing whether it is there again.
    looking: bool,
    /// A task is closing connections that are idle for too long.
    reaping: bool,
}

/// Connects that failed, one after the other.
#[derive(Debug)]
struct Trouble {
    /// The last one.
    at: Instant,
    /// How many, since somebody said that it may be there again.
    times: u32,
    /// Why.
    failure: Failure,
}

impl Pool {
    pub(super) fn new(
        hop: SmtpHop,
        helo: String,
        timeouts: Timeouts,
        settings: PoolSettings,
    ) -> Result<Self, TlsError> {
        let name = match hop.host.contains(':') {
            true => format!("[{}]:{}", hop.host, hop.port),
            false => format!("{}:{}", hop.host, hop.port),
        };
        let dialer = Dialer::new(hop, helo, timeouts)?;
        let rate = settings.per_minute.map(|count| Arc::new(Rate::new(count)));
        Ok(Self::of(Dial::Server(Box::new(dialer)), settings, name, rate))
    }

    /// Connections to the servers of one domain; `rate` counts messages to all domains.
    pub(super) fn of_domain(domain: Domain, settings: PoolSettings, rate: Option<Arc<Rate>>) -> Self {
        let name = domain.name();
        Self::of(Dial::Domain(domain), settings, name, rate)
    }

    fn of(dial: Dial, settings: PoolSettings, name: String, rate: Option<Arc<Rate>>) -> Self {
        let slots = Semaphore::new(settings.connections.max(1));
        let rooms = Arc::new(Semaphore::new(settings.connections.max(1)));
        let kept = Mutex::default();
        Self { shared: Arc::new(Shared { dial, settings, name, slots, rooms, rate, kept }) }
    }

    /// Connections to the same next hop that are signed in with `credentials`, and are never shared with
    /// anybody else's. Its messages in a minute are counted together.
    /// `None` for a domain's servers: nobody has an account there.
    pub(super) fn signing_in_with(&self, credentials: Credentials) -> Option<Self> {
        let shared = &self.shared;
        let Dial::Server(dialer) = &shared.dial else { return None };
        let dial = Dial::Server(Box::new(dialer.signing_in_with(credentials)));
        Some(Self::of(dial, shared.settings, shared.name.clone(), shared.rate.clone()))
    }

    /// The ways to sign in there, as last seen; `None` as long as nobody has seen it.
    pub(super) fn mechanisms(&self) -> Option<Vec<Mechanism>> {
        self.shared.kept().mechanisms.clone()
    }

    /// What `other` has seen of the same server, until somebody sees it anew.
    pub(super) fn learn_from(&self, other: &Self) {
        let (seen, mechanisms) = {
            let known = other.shared.kept();
            (known.seen, known.mechanisms.clone())
        };
        let mut kept = self.shared.kept();
        kept.seen = seen.or(kept.seen);
        kept.mechanisms = mechanisms.or(kept.mechanisms.take());
    }

    pub(super) fn name(&self) -> &str {
        &self.shared.name
    }

    pub(super) fn connections(&self) -> usize {
        self.shared.settings.connections.max(1)
    }

    /// Room for one more copy from the spool, when there is.
    pub(super) fn room(&self) -> Option<OwnedSemaphorePermit> {
        self.shared.rooms.clone().try_acquire_owned().ok()
    }

    /// Whether somebody is at work with it.
    pub(super) fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.shared) > 1 || self.shared.rooms.available_permits() < self.connections()
    }

    /// Whether it knows nothing that a new one would not.
    pub(super) fn is_forgettable(&self) -> bool {
        let kept = self.shared.kept();
        !self.is_in_use() && kept.idle.is_empty() && kept.failed.is_none()
    }

    pub(super) fn abilities(&self) -> Option<Abilities> {
        self.shared.kept().seen
    }

    /// Why nobody gets through, since the last connect failed.
    pub(super) fn down(&self) -> Option<Failure> {
        self.shared.kept().failed.as_ref().map(|trouble| trouble.failure.clone())
    }

    /// How long who can wait had better leave it alone; `None` when it is up, or may be again.
    pub(super) fn rest(&self) -> Option<Duration> {
        let kept = self.shared.kept();
        let trouble = kept.failed.as_ref()?;
        let doublings = trouble.times.checked_sub(1)?;
        let pauses = 1_u32.checked_shl(doublings).unwrap_or(LONGEST_REST).min(LONGEST_REST);
        let left = (self.shared.settings.pause * pauses).checked_sub(trouble.at.elapsed())?;
        (!left.is_zero()).then_some(left)
    }

    /// It may be there again: who comes next finds out.
    pub(super) fn rouse(&self) {
        if let Some(trouble) = &mut self.shared.kept().failed {
            trouble.times = 0;
        }
    }

    /// Connect in the background, when nobody does and its rest is over.
    pub(super) fn look_again(&self) {
        if self.rest().is_some() || std::mem::replace(&mut self.shared.kept().looking, true) {
            return;
        }
        let pool = self.clone();
        tokio::spawn(async move {
            // What came of it is in `failed`, and logged there.
            let _ = pool.probe().await;
            pool.shared.kept().looking = false;
        });
    }

    /// Within the time of one connect: start-up waits for this. A server that takes longer is down, as one that
    /// takes no connections is.
    pub(super) async fn probe(&self) -> Result<(), Failure> {
        let by = Instant::now() + self.shared.dial.connect_limit();
        // Those who have all its connections see how it fares.
        let Ok(Ok(_slot)) = timeout_at(by, self.shared.slots.acquire()).await else {
            return Err(Failure::Busy);
        };
        let connection = self.connection(true, Some(by)).await?;
        self.keep(connection);
        Ok(())
    }

    /// Send one copy. Recipients whom the next hop puts off because they are too many for one transaction go in another
    /// one (RFC 5321 4.5.3.1.10), as long as that takes some of them on, and for no longer than a copy waits for a
    /// connection.
    pub(super) async fn deliver(&self, copy: &Copy, may_go: MayGo<'_>) -> Delivery {
        let deadline = Instant::now() + self.shared.settings.wait;
        let mut delivery = self.deliver_at_once(copy, may_go).await;
        let mut left = delivery.too_many();
        while !left.is_empty() && Instant::now() < deadline {
            let recipients = left.iter().map(|&at| copy.recipients[at].clone()).collect();
            let part = Copy { recipients, ..copy.clone() };
            let next = self.deliver_at_once(&part, may_go).await;
            let goes_on = next.fates.iter().any(|fate| matches!(fate, Fate::Relayed(_)));
            delivery.dsn_passed_on &= next.dsn_passed_on || !goes_on;
            for (at, fate) in left.into_iter().zip(next.fates) {
                delivery.fates[at] = fate;
            }
            left = if goes_on { delivery.too_many() } else { Vec::new() };
        }
        for at in delivery.too_many() {
            // Whatever its class: it says nothing about them.
            let text = delivery.fates[at].answer().text.clone();
            delivery.fates[at] = Fate::Deferred(Answer::new(452, "4.5.3", text));
        }
        delivery
    }

    /// Send one copy in one transaction.
    async fn deliver_at_once(&self, copy: &Copy, may_go: MayGo<'_>) -> Delivery {
        if let Err(error) = data::check(copy.rope.chunks()) {
            return self.failed(copy, &Failure::Unfit(error.to_string()), false);
        }
        let _slot = match self.slot().await {
            Ok(slot) => slot,
            Err(failure) => return self.failed(copy, &failure, true),
        };
        if let Some(rate) = &self.shared.rate
            && !rate.turn(self.shared.settings.wait).await
        {
            return self.failed(copy, &Failure::OutOfTurn, true);
        }
        match self.attempt(copy, may_go, false).await {
            Ok(Attempt::Done(delivery)) => delivery,
            // Once: a fresh connection that is met by silence is no stale one.
            Ok(Attempt::Stale) => match self.attempt(copy, may_go, true).await {
                Ok(Attempt::Done(delivery)) => delivery,
                Ok(Attempt::Stale) => self.failed(copy, &Failure::Busy, true),
                Err(failure) => self.failed(copy, &failure, failure.retryable()),
            },
            Err(failure) => self.failed(copy, &failure, failure.retryable()),
        }
    }

    /// One transaction on a kept or a fresh connection; `Err` when there is none.
    async fn attempt(&self, copy: &Copy, may_go: MayGo<'_>, fresh: bool) -> Result<Attempt, Failure> {
        let mut connection = self.connection(fresh, None).await?;
        if let Some(failure) = obstacle(copy, &connection) {
            let delivery = self.delivery(all_deferred(copy, &failure), &connection);
            self.keep(connection);
            return Ok(Attempt::Done(Delivery { unable: true, tls: None, ..delivery }));
        }
        // The wait for a connection may have been long (promise 6).
        if let Err(held) = may_go() {
            let fates = vec![Fate::from(held); copy.recipients.len()];
            let delivery = self.delivery(fates, &connection);
            self.keep(connection);
            return Ok(Attempt::Done(Delivery { tls: None, ..delivery }));
        }
        let stale_if_silent = connection.messages > 0;
        let warm = connection.last_used.elapsed() < WARM;
        let sent = connection.send(copy, warm).await;
        let delivery = self.delivery(sent.fates, &connection);
        if let (Dial::Domain(domain), Some(host)) = (&self.shared.dial, connection.peer())
            && delivery.fates.iter().any(|fate| fate.answer().code == 421)
        {
            domain.tire(host.rsplit_once(':').map_or(host, |(host, _)| host));
        }
        if sent.usable {
            self.keep(connection);
        }
        if sent.untouched && stale_if_silent {
            return Ok(Attempt::Stale);
        }
        Ok(Attempt::Done(delivery))
    }

    /// The same failure for every recipient.
    pub(super) fn failed(&self, copy: &Copy, failure: &Failure, down: bool) -> Delivery {
        let (fates, next_hop) = (all_deferred(copy, failure), self.shared.name.clone());
        Delivery { fates, next_hop, tls: None, down, unable: false, dsn_passed_on: false }
    }

    fn delivery(&self, fates: Vec<Fate>, connection: &Connection) -> Delivery {
        let next_hop = connection.peer().unwrap_or(&self.shared.name).to_owned();
        let (tls, dsn_passed_on) = (connection.tls_peer(), connection.capabilities.dsn);
        Delivery { fates, next_hop, tls, down: false, unable: false, dsn_passed_on }
    }

    async fn slot(&self) -> Result<SemaphorePermit<'_>, Failure> {
        match timeout(self.shared.settings.wait, self.shared.slots.acquire()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(Failure::Busy),
        }
    }

    /// A connection that is alive: the one used last, or a new one. The caller holds a slot, and a new one
    /// is made only when none is idle, so there are never more connections than slots. A connect that is not done
    /// `by` then has failed.
    async fn connection(&self, fresh: bool, by: Option<Instant>) -> Result<Connection, Failure> {
        let settings = &self.shared.settings;
        loop {
            let idle = self.shared.kept().idle.pop();
            let Some(mut connection) = idle else { break };
            let spent = connection.messages >= settings.messages;
            let old = connection.last_used.elapsed() >= settings.idle;
            if fresh || spent || old {
                connection.quit().await;
            } else if connection.is_alive().await {
                return Ok(connection);
            }
        }
        if let Some(trouble) = &self.shared.kept().failed
            && trouble.times > 0
            && trouble.at.elapsed() < settings.pause
        {
            return Err(trouble.failure.clone());
        }
        let dialled = self.shared.dial.dial(by).await;
        let mut kept = self.shared.kept();
        match dialled {
            Ok(connection) => {
                let able = &connection.capabilities;
                if kept.failed.take().is_some() {
                    tracing::info!(next_hop = self.shared.name, "the next hop can be used again");
                }
                let (eight_bit, smtputf8, size) = (able.eight_bit, able.smtputf8, able.size);
                kept.seen = Some(Abilities { eight_bit, smtputf8, size });
                kept.mechanisms = Some(connection.mechanisms());
                Ok(connection)
            }
            // It is about the domain, and another connect would tell no more.
            Err(failure) if !failure.retryable() => Err(failure),
            Err(failure) => {
                tracing::warn!(next_hop = self.shared.name, %failure, "the next hop cannot be used");
                let times = kept.failed.take().map_or(1, |trouble| trouble.times.saturating_add(1));
                kept.failed = Some(Trouble { at: Instant::now(), times, failure: failure.clone() });
                Err(failure)
            }
        }
    }

    /// Put a connection back, and see to it that it does not idle for ever.
    fn keep(&self, connection: Connection) {
        if let Dial::Domain(domain) = &self.shared.dial
            && domain.is_waited_for()
        {
            tokio::spawn(connection.quit());
            return;
        }
        let mut kept = self.shared.kept();
        kept.idle.push(connection);
        if !kept.reaping {
            kept.reaping = true;
            tokio::spawn(reap(Arc::downgrade(&self.shared), self.shared.settings.idle));
        }
    }

    pub(super) async fn close(&self) {
        let idle = std::mem::take(&mut self.shared.kept().idle);
        for connection in idle {
            connection.quit().await;
        }
    }
}

/// What came of one try.
enum Attempt {
    Done(Delivery),
    /// The kept connection had gone before anything was taken.
    Stale,
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Close connections once they are idle for `limit`; ends when none is left.
async fn reap(shared: Weak<Shared>, limit: Duration) {
    loop {
        tokio::time::sleep(limit.max(Duration::from_millis(100))).await;
        let Some(shared) = shared.upgrade() else { return };
        let (old, done) = {
            let mut kept = shared.kept();
            let (old, young) = std::mem::take(&mut kept.idle)
                .into_iter()
                .partition::<Vec<_>, _>(|connection| connection.last_used.elapsed() >= limit);
            kept.reaping = !young.is_empty();
            kept.idle = young;
            (old, !kept.reaping)
        };
        for connection in old {
            connection.quit().await;
        }
        if done {
            return;
        }
    }
}
