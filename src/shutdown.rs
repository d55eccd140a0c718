//! The stop signal, and the count of what still has to finish.
//!
//! One [`Shutdown`] is made by `app`; each task holds a clone, stops taking new work when
//! [`Shutdown::requested`] resolves, and holds a tracker token for as long as it is busy. `app` waits
//! with [`Shutdown::drained`] under its own deadline.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;

/// A handle on the stop signal; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    signal: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// A signal that has not been given.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ask everything to stop.
    pub fn request(&self) {
        self.signal.cancel();
        self.tasks.close();
    }

    /// Resolves once a stop was asked for.
    pub fn requested(&self) -> WaitForCancellationFuture<'_> {
        self.signal.cancelled()
    }

    /// Whether a stop was asked for.
    pub fn is_requested(&self) -> bool {
        self.signal.is_cancelled()
    }

    /// Run `task` so that [`Shutdown::drained`] waits for it.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Resolves when a stop was asked for and every spawned task has ended.
    pub async fn drained(&self) {
        self.tasks.wait().await;
    }
}
