//! The budget of message octets held in memory over all sessions (promise 10).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics;

/// What one permit stands for, in octets.
const UNIT: usize = 1024;

/// The budget; clones share it.
#[derive(Debug, Clone)]
pub struct MessageMemory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    permits: Arc<Semaphore>,
    units: usize,
    wait: Duration,
    used: AtomicU64,
}

/// The budget is used up, and stayed so for as long as anybody may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the budget of message memory is used up")]
pub struct Exhausted;

/// A share of the budget, given back when dropped.
#[derive(Debug)]
pub struct Held {
    memory: MessageMemory,
    permit: Option<OwnedSemaphorePermit>,
    units: usize,
}

impl MessageMemory {
    /// A budget of `octets`; a session waits up to `wait` for its part.
    pub fn new(octets: usize, wait: Duration) -> Self {
        let units = octets.div_ceil(UNIT).min(Semaphore::MAX_PERMITS);
        let permits = Arc::new(Semaphore::new(units));
        Self(Arc::new(Inner { permits, units, wait, used: AtomicU64::new(0) }))
    }

    /// An empty share.
    pub fn share(&self) -> Held {
        Held { memory: self.clone(), permit: None, units: 0 }
    }

    /// Octets in use.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }
}

impl Held {
    /// Make the share cover `octets` in all. A share never shrinks before it is dropped. Waits while the
    /// budget is used up, as long as its setting says; a share larger than the whole budget is refused
    /// at once.
    pub async fn cover(&mut self, octets: usize) -> Result<(), Exhausted> {
        let wanted = octets.div_ceil(UNIT);
        let Some(more) = wanted.checked_sub(self.units).filter(|&more| more > 0) else {
            return Ok(());
        };
        let inner = &self.memory.0;
        let count = u32::try_from(more).map_err(|_| Exhausted)?;
        let permits = Arc::clone(&inner.permits);
        let granted = match Arc::clone(&permits).try_acquire_many_owned(count) {
            Ok(granted) => granted,
            Err(_) if wanted > inner.units => return Err(exhausted()),
            Err(_) => match tokio::time::timeout(inner.wait, permits.acquire_many_owned(count)).await {
                Ok(Ok(granted)) => granted,
                Ok(Err(_)) | Err(_) => return Err(exhausted()),
            },
        };
        match &mut self.permit {
            Some(permit) => permit.merge(granted),
            None => self.permit = Some(granted),
        }
        self.units = wanted;
        self.memory.changed(|used| used + (more * UNIT) as u64);
        Ok(())
    }
}

impl Held {
    /// Give the whole share back now.
    pub fn release(&mut self) {
        *self = self.memory.share();
    }
}

impl MessageMemory {
    fn changed(&self, change: impl Fn(u64) -> u64) {
        let update = |used| Some(change(used));
        let before = self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        metrics::message_memory(change(before.unwrap_or(0)));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.units > 0 {
            let octets = (self.units * UNIT) as u64;
            self.memory.changed(|used| used.saturating_sub(octets));
        }
    }
}

fn exhausted() -> Exhausted {
    metrics::limit_hit("message_memory");
    Exhausted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn promise_10_the_budget_is_never_exceeded() {
        let memory = MessageMemory::new(10 * UNIT, Duration::from_secs(5));
        let mut first = memory.share();
        first.cover(1).await.unwrap();
        first.cover(8 * UNIT).await.unwrap();
        first.cover(100).await.unwrap();
        assert_eq!(memory.used(), 8 * UNIT as u64, "growing counts once, shrinking not at all");
        let mut second = memory.share();
        assert_eq!(second.cover(3 * UNIT).await, Err(Exhausted), "after the wait");
        second.cover(2 * UNIT).await.unwrap();
        assert_eq!(memory.used(), 10 * UNIT as u64);
        assert_eq!(memory.share().cover(11 * UNIT).await, Err(Exhausted));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_what_is_given_back() {
        let memory = MessageMemory::new(4 * UNIT, Duration::from_secs(5));
        let mut first = memory.share();
        first.cover(4 * UNIT).await.unwrap();
        let mut second = memory.share();
        let waiting = tokio::spawn(async move { second.cover(UNIT).await.map(|()| second) });
        tokio::task::yield_now().await;
        drop(first);
        let second = waiting.await.unwrap().unwrap();
        assert_eq!(memory.used(), UNIT as u64);
        drop(second);
        assert_eq!(memory.used(), 0);
    }
}
