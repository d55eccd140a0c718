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
use super::{Abilities, Copy, Delivery, PoolSettings, SmtpHop, Timeouts};
use crate::net::tls::TlsError;
use crate::smtp::data;

/// A connection that answered this short a time ago is trusted with a whole transaction in one write.
const WARM: Duration = Duration::from_secs(1);

/// All connections to one next hop.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dialer: Dialer,
    settings: PoolSettings,
    name: String,
    slots: Semaphore,
    kept: Mutex<Kept>,
}

/// What is remembered between transactions.
#[derive(Debug, Default)]
struct Kept {
    /// The one used last is at the end: it stays warm, and the others may go.
    idle: Vec<Connection>,
    seen: Abilities,
    /// The last connect failed then, and why.
    failed: Option<(Instant, Failure)>,
    /// A task is closing connections that are idle for too long.
    reaping: bool,
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
        Ok(Self { shared: Arc::new(Shared { dialer, settings, name, slots, kept: Mutex::default() }) })
    }

    pub(super) fn name(&self) -> &str {
        &self.shared.name
    }

    pub(super) fn connections(&self) -> usize {
        self.shared.settings.connections.max(1)
    }

    pub(super) fn abilities(&self) -> Abilities {
        self.shared.kept().seen
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

    pub(super) async fn deliver(&self, copy: &Copy) -> Delivery {
        if let Err(error) = data::check(copy.rope.chunks()) {
            return self.failed(copy, &Failure::Unfit(error.to_string()), false);
        }
        let _slot = match self.slot().await {
            Ok(slot) => slot,
            Err(failure) => return self.failed(copy, &failure, true),
        };
        match self.attempt(copy, false).await {
            Ok(Attempt::Done(delivery)) => delivery,
            // Once: a fresh connection that is met by silence is no stale one.
            Ok(Attempt::Stale) => match self.attempt(copy, true).await {
                Ok(Attempt::Done(delivery)) => delivery,
                Ok(Attempt::Stale) => self.failed(copy, &Failure::Busy, true),
                Err(failure) => self.failed(copy, &failure, true),
            },
            Err(failure) => self.failed(copy, &failure, true),
        }
    }

    /// One transaction on a kept or a fresh connection; `Err` when there is none.
    async fn attempt(&self, copy: &Copy, fresh: bool) -> Result<Attempt, Failure> {
        let mut connection = self.connection(fresh).await?;
        if let Some(failure) = obstacle(copy, &connection) {
            let delivery = self.failed(copy, &failure, false);
            self.keep(connection);
            return Ok(Attempt::Done(delivery));
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
        let next_hop = self.shared.name.clone();
        Ok(Attempt::Done(Delivery { fates: sent.fates, next_hop, tls, down: false, dsn_passed_on }))
    }

    fn failed(&self, copy: &Copy, failure: &Failure, down: bool) -> Delivery {
        tracing::debug!(copy = %copy.id, next_hop = self.shared.name, %failure, "not delivered");
        Delivery {
            fates: all_deferred(copy, failure),
            next_hop: self.shared.name.clone(),
            tls: None,
            down,
            dsn_passed_on: false,
        }
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
        if let Some((at, failure)) = &self.shared.kept().failed
            && at.elapsed() < settings.pause
        {
            return Err(failure.clone());
        }
        let dialled = self.shared.dialer.dial().await;
        let mut kept = self.shared.kept();
        match dialled {
            Ok(connection) => {
                let able = &connection.capabilities;
                kept.failed = None;
                kept.seen = Abilities { eight_bit: able.eight_bit, smtputf8: able.smtputf8, size: able.size };
                Ok(connection)
            }
            Err(failure) => {
                tracing::warn!(next_hop = self.shared.name, %failure, "the next hop cannot be used");
                kept.failed = Some((Instant::now(), failure.clone()));
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
