//! The daily purge: entries whose time has passed, and files that no entry names any more.

use std::time::Duration;

use super::evidence;
use crate::ledger::RecordError;
use crate::policy::Unavailable;
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
        match tokio::task::spawn_blocking(move || once(&store, &|| stop.is_requested())).await {
            Ok(Ok((0, 0))) => {}
            Ok(Ok((entries, files))) => tracing::info!(entries, files, "purged: their time had passed"),
            Ok(Err(error)) => tracing::error!(%error, "the purge stopped; it is tried again tomorrow"),
            Err(error) => tracing::error!(%error, "the purge ended by a panic"),
        }
    }
}

/// Purge, then remove the evidence that nothing refers to any more, also what was left by a command that was broken
/// off; how many entries and files went. Blocks.
fn once(store: &Store, stop: &dyn Fn() -> bool) -> Result<(u64, usize), RecordError> {
    let unread = |error: Unavailable| RecordError::Store(error.0);
    let entries = match store.jump().map_err(unread)? {
        Some((before, after)) => {
            tracing::warn!(
                %before, %after,
                "nothing was recorded in between: if the clock is right, purge by command (sluis ledger purge); of \
                 itself nothing is purged for 90 days"
            );
            0
        }
        None => store.purge(stop)?,
    };
    evidence::remove_forgotten_packs(store);
    let files = if stop() { 0 } else { evidence::sweep(store, None).map_err(unread)? };
    Ok((entries, files))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use super::*;
    use crate::clock::SystemClock;
    use crate::ledger::checkpoint::Signer;
    use crate::ledger::{Event, EvidenceKept, KeptFile, Record};
    use crate::mail::{Address, Purpose, SenderId, hex, sha256};
    use crate::secret::SystemEntropy;
    use crate::store;

    #[test]
    fn l11_the_daily_purge_removes_evidence_that_no_entry_names() {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join(evidence::EVIDENCE);
        std::fs::create_dir(&files).unwrap();
        let settings = store::Settings::new(Signer::generate("poort.test", &SystemEntropy).unwrap());
        let path = folder.path().join("sluis.redb");
        let store = Store::open(&path, settings, Arc::new(SystemClock), Arc::new(SystemEntropy)).unwrap();
        let put = |content: &str, days: u64| {
            let name = hex(&sha256(content.as_bytes()));
            let file = std::fs::File::create(files.join(&name)).unwrap();
            file.set_modified(SystemTime::now() - EVERY * u32::try_from(days).unwrap()).unwrap();
            name
        };
        let (named, loose, young) = (put("a scan", 2), put("a scan of another", 2), put("just now", 0));
        let event = Event::Evidence(EvidenceKept {
            sender: SenderId("12345678".to_owned()),
            purpose: Purpose("nieuwsbrief".to_owned()),
            address: Address::parse("lezer@example.org").unwrap().key().clone(),
            file: KeptFile { sha256: named.clone(), name: "scan.pdf".to_owned(), size: 6 },
            source: "cli".to_owned(),
        });
        store.write(vec![Record::of(event)]).unwrap();
        assert_eq!(once(&store, &|| false).unwrap(), (0, 1));
        let is_there = |name: &String| files.join(name).exists();
        assert_eq!([&named, &loose, &young].map(is_there), [true, false, true]);
    }
}
