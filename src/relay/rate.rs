//! Messages in a minute, for one next hop: governor's GCRA over the runtime's clock.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::{Instant, sleep};

/// Turns, spread over the minute.
#[derive(Debug)]
pub(super) struct Rate(RateLimiter<NotKeyed, InMemoryState, Ticks, NoOpMiddleware<std::time::Instant>>);

impl Rate {
    /// `count` in a minute; a tenth of them may come at once, so no minute sees more than 1.1 times as many.
    pub(super) fn new(count: NonZeroU32) -> Self {
        let burst = NonZeroU32::new(count.get() / 10).unwrap_or(NonZeroU32::MIN);
        Self(RateLimiter::direct_with_clock(Quota::per_minute(count).allow_burst(burst), Ticks))
    }

    /// Wait for a turn; `false` when it does not come within `wait`.
    pub(super) async fn turn(&self, wait: Duration) -> bool {
        let deadline = Instant::now() + wait;
        loop {
            let Err(early) = self.0.check() else { return true };
            let pause = early.wait_time_from(Ticks.now());
            if Instant::now() + pause > deadline {
                return false;
            }
            sleep(pause).await;
        }
    }
}

/// The runtime's clock, which stands still in tests that say so.
#[derive(Debug, Clone, Copy)]
struct Ticks;

impl Clock for Ticks {
    type Instant = std::time::Instant;

    fn now(&self) -> Self::Instant {
        Instant::now().into_std()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn promise_10_turns_are_spread_over_the_minute() {
        let rate = Rate::new(NonZeroU32::new(60).unwrap());
        let began = Instant::now();
        for _ in 0..6 {
            assert!(rate.turn(Duration::ZERO).await, "a tenth may come at once");
        }
        assert!(!rate.turn(Duration::from_millis(500)).await, "the next one waits for a second");
        assert!(rate.turn(Duration::from_secs(1)).await);
        for _ in 0..59 {
            assert!(rate.turn(Duration::from_secs(2)).await);
        }
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(59) && took <= Duration::from_secs(61), "{took:?}");
    }
}
