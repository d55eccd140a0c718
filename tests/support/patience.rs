//! One limit for everything that a test waits for: a product that never does it makes a test that fails and says
//! where, and not one that hangs.

use std::panic::Location;
use std::pin::pin;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Longest wait for one thing, by the clock on the wall: that of a test may stand still. What is waited for comes
/// within milliseconds; beside other builds, on a disk that is busy, it has been seen to take twenty seconds.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Changes now and then, so that who waits can look at the clock. A thread of its own, since a runtime whose clock
/// stands still lets its own timers run out at once.
static BEAT: LazyLock<watch::Receiver<()>> = LazyLock::new(|| {
    let (sender, beat) = watch::channel(());
    std::thread::spawn(move || {
        loop {
            std::thread::park_timeout(Duration::from_millis(500));
            sender.send_replace(());
        }
    });
    beat
});

/// How much is left, for one wait.
pub struct Patience {
    since: Instant,
    at: &'static Location<'static>,
}

impl Patience {
    #[track_caller]
    pub fn new() -> Self {
        Self { since: Instant::now(), at: Location::caller() }
    }

    /// For loops that look again and again; panics when nothing is left.
    pub fn check(&self) {
        let at = self.at;
        assert!(self.since.elapsed() < PATIENCE, "it did not happen within {PATIENCE:?}: {at}");
    }
}

/// What `future` gives; panics when it takes longer than [`PATIENCE`].
#[track_caller]
pub fn within<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    let patience = Patience::new();
    async move {
        let mut beat = BEAT.clone();
        let mut future = pin!(future);
        loop {
            tokio::select! {
                biased;
                done = &mut future => return done,
                _ = beat.changed() => patience.check(),
            }
        }
    }
}

/// Returns once `done`, asking again whenever others had their turn.
#[track_caller]
pub fn until(mut done: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let patience = Patience::new();
    async move {
        while !done() {
            patience.check();
            tokio::task::yield_now().await;
        }
    }
}
