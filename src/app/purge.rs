//! The daily purge.

use std::time::Duration;

use super::evidence;
use crate::ledger::RecordError;
use crate::shutdown::Shutdown;
use crate::store::Store;

/// When the first purge after a start begins, and how long it is to the next one.
const FIRST: Duration = Duration::from_secs(3_600);
const EVERY: Duration = Duration::from_secs(86_400);

/// Destroy what was kept long enough (RULES L11): an hour after the start, then daily, in steps that hold up
/// nobody.
pub(super) async fn daily(store: Store, shutdown: Shutdown) {
    let mut wait = FIRST;
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = EVERY;
        let (store, stop) = (store.clone(), shutdown.clone());
        let purge = move || match store.jump() {
            Ok(Some((before, after))) => {
                tracing::warn!(
                    %before, %after,
                    "nothing was recorded in between: if the clock is right, purge by command (sluis ledger purge); of \
                     itself nothing is purged for 90 days"
                );
                Ok(0)
            }
            Ok(None) => store.purge(&|| stop.is_requested()).and_then(|purged| {
                evidence::remove_forgotten_packs(&store);
                // Which files are named takes a look at the whole ledger: only where entries went can files have to.
                if purged > 0 {
                    evidence::sweep(&store, None).map_err(|error| RecordError::Store(error.0))?;
                }
                Ok(purged)
            }),
            Err(error) => Err(RecordError::Store(error.0)),
        };
        match tokio::task::spawn_blocking(purge).await {
            Ok(Ok(0)) => {}
            Ok(Ok(entries)) => tracing::info!(entries, "purged: their time had passed"),
            Ok(Err(error)) => tracing::error!(%error, "the purge stopped; it is tried again tomorrow"),
            Err(error) => tracing::error!(%error, "the purge ended by a panic"),
        }
    }
}
