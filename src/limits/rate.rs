//! How often, by key: governor's GCRA over a bounded table and the injected clock.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::ops::Add;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use governor::clock::{Clock as GovernorClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

use crate::clock::SharedClock;

/// Up to `count` in a `window` for each key, in the way of GCRA: a burst may use them all, after which
/// they come back one by one.
#[derive(Debug)]
pub(super) struct Rate<K: Hash + Eq + Clone> {
    limiter: RateLimiter<Ask<K>, Table<K>, Wall, NoOpMiddleware<Moment>>,
    made_for: (NonZeroU32, Duration, usize),
    #[cfg(test)]
    table: Table<K>,
}

impl<K: Hash + Eq + Clone> Rate<K> {
    /// `keys` bounds the table.
    pub(super) fn new(count: NonZeroU32, window: Duration, keys: usize, clock: &SharedClock) -> Self {
        // A window of zero would forgive at once; governor has no such quota.
        let window = window.max(Duration::from_millis(1));
        let quota = Quota::with_period(window / count.get())
            .map_or_else(|| Quota::per_hour(count), |quota| quota.allow_burst(count));
        let made_for = (count, window, keys);
        let table = Table { entries: Arc::default(), keys: keys.max(2) };
        Self {
            #[cfg(test)]
            table: table.clone(),
            made_for,
            limiter: RateLimiter::new(quota, table, Wall::new(clock)),
        }
    }

    /// `before`, if it is made for the same; else a new one.
    pub(super) fn again(
        before: Option<&Arc<Self>>,
        count: NonZeroU32,
        window: Duration,
        keys: usize,
        clock: &SharedClock,
    ) -> Arc<Self> {
        let made_for = (count, window.max(Duration::from_millis(1)), keys);
        match before {
            Some(before) if before.made_for == made_for => Arc::clone(before),
            _ => Arc::new(Self::new(count, window, keys, clock)),
        }
    }

    /// Whether one more would be allowed.
    pub(super) fn has_room(&self, key: K) -> bool {
        self.limiter.check_key(&Ask { key, count: false }).is_ok()
    }

    /// Count one; whether it was allowed.
    pub(super) fn take(&self, key: K) -> bool {
        self.limiter.check_key(&Ask { key, count: true }).is_ok()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.entries().len()
    }
}

/// A key, and whether asking about it counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Ask<K> {
    key: K,
    count: bool,
}

/// When each key will owe nothing any more, in nanoseconds since the limiter was made.
#[derive(Debug, Clone)]
struct Table<K> {
    entries: Arc<Mutex<HashMap<K, Nanos>>>,
    keys: usize,
}

impl<K: Hash + Eq> Table<K> {
    fn entries(&self) -> MutexGuard<'_, HashMap<K, Nanos>> {
        self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Clone> StateStore for Table<K> {
    type Key = Ask<K>;

    fn measure_and_replace<T, F, E>(&self, ask: &Ask<K>, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut entries = self.entries();
        let (outcome, owed) = f(entries.get(&ask.key).copied())?;
        if ask.count {
            if entries.len() >= self.keys && !entries.contains_key(&ask.key) {
                forget_half(&mut entries);
            }
            entries.insert(ask.key.clone(), owed);
        }
        Ok(outcome)
    }
}

/// The half that owes least goes, so that nobody washes a bad record away with fresh names.
fn forget_half<K: Hash + Eq>(entries: &mut HashMap<K, Nanos>) {
    let mut owed: Vec<Nanos> = entries.values().copied().collect();
    let middle = owed.len() / 2;
    let (_, &mut median, _) = owed.select_nth_unstable(middle);
    let mut excess = middle;
    entries.retain(|_, owed| {
        let forget = *owed <= median && excess > 0;
        excess -= usize::from(forget);
        !forget
    });
}

/// The injected clock as governor wants it: it never goes back. Else whoever was counted by a clock that was ten years
/// ahead would be refused for ten years once it is right.
#[derive(Debug, Clone)]
struct Wall {
    clock: SharedClock,
    seen: Arc<Mutex<Seen>>,
}

/// When the clock was last asked (nanoseconds since 1970), and the time that has passed until then.
#[derive(Debug)]
struct Seen {
    at: i128,
    passed: u64,
}

impl Wall {
    fn new(clock: &SharedClock) -> Self {
        let seen = Seen { at: clock.now().as_nanosecond(), passed: 0 };
        Self { clock: Arc::clone(clock), seen: Arc::new(Mutex::new(seen)) }
    }
}

/// Nanoseconds that have passed, jumps back left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(u64);

impl GovernorClock for Wall {
    type Instant = Moment;

    fn now(&self) -> Moment {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let at = self.clock.now().as_nanosecond();
        seen.passed = seen.passed.saturating_add(u64::try_from(at - seen.at).unwrap_or(0));
        seen.at = at;
        Moment(seen.passed)
    }
}

impl Reference for Moment {
    fn duration_since(&self, earlier: Self) -> Nanos {
        Nanos::new(self.0.saturating_sub(earlier.0))
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.checked_sub(duration.as_u64()).unwrap_or(self.0))
    }
}

impl Add<Nanos> for Moment {
    type Output = Self;

    fn add(self, other: Nanos) -> Self {
        Self(self.0.saturating_add(other.as_u64()))
    }
}
