//! Kept connections to one next hop: few, reused, checked before use.
//!
//! A connection that the next hop closed while it was idle costs a new one, never a message: it is looked
//! at before use, and a transaction on it that was met by silence or 421 before anything was taken is
//! begun again, once, on a fresh connection. Bounded: connections, messages per connection, idle time, and
//! the wait for a free one (promise 10).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::client::{Connection, Dialer, all_deferred, obstacle};
use super::failure::{Failure, Phase};
use super::rate::Rate;
use super::{Abilities, Copy, Delivery, Fate, MayGo, PoolSettings, SmtpHop, Timeouts};
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
    dialer: Dialer,
    settings: PoolSettings,
    name: String,
    slots: Semaphore,
    rate: Option<Arc<Rate>>,
    kept: Mutex<Kept>,
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
    /// How many.
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
        let slots = Semaphore::new(settings.connections.max(1));
        let rate = settings.per_minute.map(|count| Arc::new(Rate::new(count)));
        Ok(Self { shared: Arc::new(Shared { dialer, settings, name, slots, rate, kept: Mutex::default() }) })
    }

    /// Connections to the same next hop that are signed in with `credentials`, and are never shared with
    /// anybody else's. Its messages in a minute are counted together.
    pub(super) fn signing_in_with(&self, credentials: Credentials) -> Self {
        let shared = &self.shared;
        Self {
            shared: Arc::new(Shared {
                dialer: shared.dialer.signing_in_with(credentials),
                settings: shared.settings,
                name: shared.name.clone(),
                slots: Semaphore::new(self.connections()),
                rate: shared.rate.clone(),
                kept: Mutex::default(),
            }),
        }
    }

    /// The ways to sign in there, as last seen; `None` as long as nobody has seen it.
    pub(super) fn mechanisms(&self) -> Option<Vec<Mechanism>> {
        self.shared.kept().mechanisms.clone()
    }

    pub(super) fn name(&self) -> &str {
        &self.shared.name
    }

    pub(super) fn connections(&self) -> usize {
        self.shared.settings.connections.max(1)
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
        let pauses = 1_u32.checked_shl(trouble.times - 1).unwrap_or(LONGEST_REST).min(LONGEST_REST);
        let left = (self.shared.settings.pause * pauses).checked_sub(trouble.at.elapsed())?;
        (!left.is_zero()).then_some(left)
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

    /// Within the time of one connect: start-up waits for this.
    pub(super) async fn probe(&self) -> Result<(), Failure> {
        let probe = async {
            let _slot = self.slot().await?;
            let connection = self.connection(true).await?;
            self.keep(connection);
            Ok(())
        };
        match timeout(self.shared.dialer.connect_limit(), probe).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Timeout(Phase::Greeting)),
        }
    }

    pub(super) async fn deliver(&self, copy: &Copy, may_go: MayGo<'_>) -> Delivery {
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
                Err(failure) => self.failed(copy, &failure, true),
            },
            Err(failure) => self.failed(copy, &failure, true),
        }
    }

    /// One transaction on a kept or a fresh connection; `Err` when there is none.
    async fn attempt(&self, copy: &Copy, may_go: MayGo<'_>, fresh: bool) -> Result<Attempt, Failure> {
        let mut connection = self.connection(fresh).await?;
        if let Some(failure) = obstacle(copy, &connection) {
            let delivery = self.failed(copy, &failure, false);
            self.keep(connection);
            return Ok(Attempt::Done(Delivery { unable: true, ..delivery }));
        }
        // The wait for a connection may have been long (promise 6).
        if let Err(held) = may_go() {
            self.keep(connection);
            let fates = vec![Fate::from(held); copy.recipients.len()];
            return Ok(Attempt::Done(self.delivery(fates)));
        }
        let stale_if_silent = connection.messages > 0;
        let warm = connection.last_used.elapsed() < WARM;
        let tls = connection.tls_peer();
        let dsn_passed_on = connection.capabilities.dsn;
        let sent = connection.send(copy, warm).await;
        if sent.usable {
            self.keep(connection);
        }
        if sent.untouched && stale_if_silent {
            return Ok(Attempt::Stale);
        }
        Ok(Attempt::Done(Delivery { tls, dsn_passed_on, ..self.delivery(sent.fates) }))
    }

    /// The same failure for every recipient.
    pub(super) fn failed(&self, copy: &Copy, failure: &Failure, down: bool) -> Delivery {
        Delivery { down, ..self.delivery(all_deferred(copy, failure)) }
    }

    fn delivery(&self, fates: Vec<Fate>) -> Delivery {
        let next_hop = self.shared.name.clone();
        Delivery { fates, next_hop, tls: None, down: false, unable: false, dsn_passed_on: false }
    }

    async fn slot(&self) -> Result<SemaphorePermit<'_>, Failure> {
        match timeout(self.shared.settings.wait, self.shared.slots.acquire()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(Failure::Busy),
        }
    }

    /// A connection that is alive: the one used last, or a new one. The caller holds a slot, and a new one
    /// is made only when none is idle, so there are never more connections than slots.
    async fn connection(&self, fresh: bool) -> Result<Connection, Failure> {
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
            && trouble.at.elapsed() < settings.pause
        {
            return Err(trouble.failure.clone());
        }
        let dialled = self.shared.dialer.dial().await;
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
