//! The budget of message octets held in memory over all sessions (promise 10).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    size: Mutex<Size>,
    used: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Size {
    units: usize,
    /// Units that the budget has lost while they were held: they are not given back.
    owed: usize,
    wait: Duration,
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
        let units = units_of(octets);
        let permits = Arc::new(Semaphore::new(units));
        let size = Mutex::new(Size { units, owed: 0, wait });
        Self(Arc::new(Inner { permits, size, used: AtomicU64::new(0) }))
    }

    /// Another budget from now on. What is held stays held; a smaller budget takes it in as it is given back.
    pub fn resize(&self, octets: usize, wait: Duration) {
        let mut size = self.size();
        let units = units_of(octets);
        if units >= size.units {
            let more = units - size.units;
            let paid = more.min(size.owed);
            size.owed -= paid;
            self.0.permits.add_permits(more - paid);
        } else {
            let less = size.units - units;
            size.owed += less - self.0.permits.forget_permits(less);
        }
        (size.units, size.wait) = (units, wait);
    }

    fn size(&self) -> MutexGuard<'_, Size> {
        self.0.size.lock().unwrap_or_else(PoisonError::into_inner)
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
        let Size { units, wait, .. } = *self.memory.size();
        let inner = &self.memory.0;
        let count = u32::try_from(more).map_err(|_| Exhausted)?;
        let permits = Arc::clone(&inner.permits);
        let granted = match Arc::clone(&permits).try_acquire_many_owned(count) {
            Ok(granted) => granted,
            Err(_) if wanted > units => return Err(exhausted()),
            Err(_) => match tokio::time::timeout(wait, permits.acquire_many_owned(count)).await {
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

fn units_of(octets: usize) -> usize {
    // The semaphore's own limit, less room for a budget that grows while units are owed.
    octets.div_ceil(UNIT).min(Semaphore::MAX_PERMITS / 2)
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
        if let Some(mut permit) = self.permit.take() {
            let mut size = self.memory.size();
            let lost = size.owed.min(permit.num_permits());
            if let Some(part) = permit.split(lost) {
                part.forget();
                size.owed -= lost;
            }
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

    #[tokio::test(start_paused = true)]
    async fn promise_10_a_budget_that_shrinks_takes_in_what_is_given_back() {
        let wait = Duration::from_secs(1);
        let memory = MessageMemory::new(10 * UNIT, wait);
        let (mut one, mut two) = (memory.share(), memory.share());
        one.cover(8 * UNIT).await.unwrap();
        memory.resize(4 * UNIT, wait);
        assert_eq!(two.cover(UNIT).await, Err(Exhausted));
        assert_eq!(memory.share().cover(5 * UNIT).await, Err(Exhausted), "never more than the whole of it");
        drop(one);
        two.cover(4 * UNIT).await.unwrap();
        assert_eq!(memory.share().cover(1).await, Err(Exhausted));
        memory.resize(6 * UNIT, wait);
        let mut three = memory.share();
        three.cover(2 * UNIT).await.unwrap();
        assert_eq!(memory.share().cover(1).await, Err(Exhausted));
        memory.resize(3 * UNIT, wait);
        memory.resize(10 * UNIT, wait);
        drop((two, three));
        assert_eq!(memory.0.permits.available_permits(), 10);
        assert_eq!(memory.used(), 0);
    }
}
