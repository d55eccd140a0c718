//! Checkpoints outside: once a day the newest one goes into a folder and by mail to named addresses, so that not
//! even whoever runs the gateway can rewrite history unseen. Each anchor is an entry, and so is one that failed.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::clock::SharedClock;
use crate::config;
use crate::ledger::{Anchored, Event, Record, Scribe, Side};
use crate::mail::{Address, Reference};
use crate::notify::{self, Letterhead};
use crate::relay::{Spool, notice};
use crate::secret::{SharedEntropy, random};
use crate::shutdown::Shutdown;
use crate::store::Store;

/// Sends checkpoints out.
pub(super) struct Anchors {
    folder: Option<PathBuf>,
    mail: Vec<Address>,
    every: Duration,
    postmaster: Address,
    hostname: String,
    store: Store,
    scribe: Scribe,
    spool: Spool,
    clock: SharedClock,
    entropy: SharedEntropy,
}

impl Anchors {
    pub(super) fn new(
        settings: &config::Settings,
        store: Store,
        scribe: Scribe,
        spool: Spool,
        clock: SharedClock,
        entropy: SharedEntropy,
    ) -> Self {
        let anchor = &settings.ledger.anchor;
        Self {
            folder: anchor.folder.clone(),
            mail: anchor.mail.clone(),
            every: anchor.every,
            postmaster: settings.postmaster.clone(),
            hostname: settings.name.ascii().to_owned(),
            store,
            scribe,
            spool,
            clock,
            entropy,
        }
    }

    /// At the start and then every so often, until `shutdown`. Nothing to anchor at: nothing to do.
    pub(super) async fn run(self, shutdown: Shutdown) {
        if self.folder.is_none() && self.mail.is_empty() {
            return;
        }
        let mut last = None;
        loop {
            match self.once(last).await {
                Ok(size) => last = size,
                Err(error) => tracing::error!(error = %format!("{error:#}"), "no checkpoint went outside"),
            }
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(self.every) => {}
            }
        }
    }

    /// Anchor the newest checkpoint, unless it is the `last` that was.
    async fn once(&self, last: Option<u64>) -> Result<Option<u64>> {
        self.scribe.record(Record { events: Vec::new(), sides: vec![Side::Checkpoint] }).await?;
        let Some((size, note)) = self.store.latest_checkpoint()? else { return Ok(None) };
        if last == Some(size) {
            return Ok(last);
        }
        if let Some(folder) = &self.folder {
            let file = folder.join(format!("{}-{size:012}.txt", self.hostname));
            let to = format!("file {}", file.display());
            let text = note.clone();
            let written = tokio::task::spawn_blocking(move || write_once(&file, text.as_bytes())).await?;
            let missed = written.err().map(|error| format!("{error:#}"));
            if let Some(why) = &missed {
                tracing::error!(to, why, "a checkpoint did not go outside");
            }
            self.scribe.record(Record::of(Event::Anchored(Anchored { size, to, missed }))).await?;
        }
        for to in &self.mail {
            self.send(size, &note, to).await?;
        }
        Ok(Some(size))
    }

    /// The mail is in the spool in the commit that says so; should it bounce, that is an entry of its own.
    async fn send(&self, size: u64, note: &str, to: &Address) -> Result<()> {
        let now = self.clock.now();
        let id = Reference::new(now, random(&*self.entropy)).to_string();
        let letterhead = Letterhead { postmaster: &self.postmaster, hostname: &self.hostname, id: &id, now };
        let notice = notify::checkpoint(size, note, to, &letterhead);
        let letter = notice::Letter {
            to: notice.to,
            about: "checkpoint".to_owned(),
            sender: None,
            message_id: Some(notice.message_id),
            bytes: notice.bytes.into(),
        };
        let event = Event::Anchored(Anchored { size, to: format!("mail {to}"), missed: None });
        let mut record = Record::of(event);
        self.spool.enclose(&mut record, letter, now);
        self.scribe.record(record).await?;
        self.spool.wake();
        Ok(())
    }
}

/// Write a file that is not there yet; one that is there with the same bytes is as good.
fn write_once(file: &Path, bytes: &[u8]) -> Result<()> {
    let named = || file.display().to_string();
    match std::fs::OpenOptions::new().write(true).create_new(true).open(file) {
        Ok(mut opened) => {
            let written = opened.write_all(bytes).and_then(|()| opened.sync_all());
            if written.is_err() {
                // Half a checkpoint would stand in the way of the whole one.
                let _ = std::fs::remove_file(file);
            }
            written.with_context(named)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let there = std::fs::read(file).with_context(named)?;
            anyhow::ensure!(there == bytes, "{}: holds another checkpoint of the same size", file.display());
            Ok(())
        }
        Err(error) => Err(error).with_context(named),
    }
}
