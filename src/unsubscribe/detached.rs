//! Work that must finish, whatever becomes of the client that asked for it.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tracing::warn;

use crate::ledger::RecordError;
use crate::metrics;
use crate::shutdown::Shutdown;

/// Runs what changes the register detached from the client's connection: once it is asked for, a client that hangs
/// up does not undo it. So many at a time, and no more.
#[derive(Debug)]
pub(crate) struct Detached {
    places: Arc<Semaphore>,
    limit: &'static str,
    shutdown: Shutdown,
}

impl Detached {
    /// `places` at a time; `limit` is what the metric calls it when there is none left.
    pub(crate) fn new(places: usize, limit: &'static str, shutdown: Shutdown) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), limit, shutdown }
    }

    /// Do `work`.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, RecordError>> + Send + 'static,
    ) -> Result<T, RecordError> {
        let done = match self.places.clone().try_acquire_owned() {
            Err(_) => {
                metrics::limit_hit(self.limit);
                Err(RecordError::Store("too many requests wait for the ledger".to_owned()))
            }
            Ok(place) => {
                let task = self.shutdown.spawn(async move {
                    let done = work.await;
                    drop(place);
                    done
                });
                task.await.unwrap_or(Err(RecordError::Closed))
            }
        };
        done.inspect_err(|error| warn!(%error, "not recorded; the client was told to try again"))
    }
}
