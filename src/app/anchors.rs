//! Checkpoints outside: once a day the newest one goes into a folder, by mail to named addresses and to time-stamping
//! services, so that not even whoever runs the gateway can rewrite history unseen (promise 8).
//!
//! Each anchor is an entry, and so is one that was missed, which is tried again within the hour. What is due follows
//! from the entries: a restart anchors nothing twice.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use axum::http::Method;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, TrustAnchor};

use crate::clock::SharedClock;
use crate::config;
use crate::ledger::stamp;
use crate::ledger::{Anchored, Event, Record, Scribe, Side};
use crate::mail::{Address, Reference, sha256};
use crate::net::call::{Caller, Reach, Target};
use crate::net::tls::Trust;
use crate::notify::{self, Letterhead};
use crate::relay::{Spool, notice};
use crate::secret::{SharedEntropy, random};
use crate::shutdown::Shutdown;
use crate::store::Store;

/// Longest wait for another try of an anchor that was missed, and between two looks at the clock.
const RETRY: Duration = Duration::from_secs(3_600);

/// Anchors of before this start that are looked at: several days of them.
const LOOK_BACK: usize = 100;

/// Sends checkpoints out.
#[derive(Debug)]
pub(super) struct Anchors {
    places: Vec<Place>,
    every: Duration,
    postmaster: Address,
    hostname: String,
    parts: Parts,
}

/// What it works with.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) store: Store,
    pub(super) scribe: Scribe,
    pub(super) spool: Spool,
    pub(super) clock: SharedClock,
    pub(super) entropy: SharedEntropy,
}

/// Where a checkpoint goes.
#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    Mail(Address),
    Stamp { url: String, target: Target, caller: Caller, roots: Option<Vec<TrustAnchor<'static>>> },
}

impl Place {
    /// As its entries name it.
    fn name(&self) -> String {
        match self {
            Self::Folder(folder) => format!("folder {}", folder.display()),
            Self::Mail(address) => format!("mail {address}"),
            Self::Stamp { url, .. } => format!("time stamp {url}"),
        }
    }
}

impl Anchors {
    /// Where the config says.
    pub(super) fn new(settings: &config::Settings, parts: Parts) -> Result<Self> {
        let anchor = &settings.ledger.anchor;
        let mut places: Vec<Place> = anchor.folder.clone().map(Place::Folder).into_iter().collect();
        places.extend(anchor.mail.iter().cloned().map(Place::Mail));
        let roots = anchor.time_stamp_ca_file.as_deref().map(roots).transpose()?;
        for (url, target) in &anchor.time_stamp {
            // In the clear there is nobody's certificate to believe; the stamp is signed by itself.
            let trust = if target.is_secure() { Trust::System } else { Trust::Anybody };
            let caller = Caller::new(&trust, Reach::Anybody, anchor.timeout)
                .with_context(|| format!("the time-stamping service {url}"))?;
            let (url, target) = (url.clone(), target.clone());
            places.push(Place::Stamp { url, target, caller, roots: roots.clone() });
        }
        Ok(Self {
            places,
            every: anchor.every,
            postmaster: settings.postmaster.clone(),
            hostname: settings.name.ascii().to_owned(),
            parts,
        })
    }

    /// Anchor what is due, until `shutdown`. Nowhere to anchor: nothing to do.
    pub(super) async fn run(self, shutdown: Shutdown) {
        if self.places.is_empty() {
            return;
        }
        let mut next: HashMap<usize, Timestamp> = self.due();
        loop {
            let now = self.parts.clock.now();
            let far = after(now, self.every);
            // A clock that was set back would otherwise leave the ledger alone until it is there again.
            let due: Vec<usize> =
                next.iter().filter(|(_, at)| **at <= now || **at > far).map(|(place, _)| *place).collect();
            if !due.is_empty() {
                // A service that does not answer must not hold up a stop; what is due then is due at the next start.
                let done = tokio::select! {
                    () = shutdown.requested() => return,
                    done = self.anchor(&due, &mut next) => done,
                };
                if let Err(error) = done {
                    tracing::error!(error = %format!("{error:#}"), "no checkpoint went outside");
                    next.extend(due.into_iter().map(|place| (place, after(now, RETRY.min(self.every)))));
                }
            }
            let now = self.parts.clock.now();
            let soonest = next
                .values()
                .min()
                .map_or(RETRY, |at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(soonest.clamp(Duration::from_millis(10), RETRY)) => {}
            }
        }
    }

    /// When each place is due, by its place in the list.
    fn due(&self) -> HashMap<usize, Timestamp> {
        let known = self.parts.store.last_anchored(LOOK_BACK).unwrap_or_else(|error| {
            tracing::warn!(%error, "what was anchored before cannot be read; it is anchored again");
            Vec::new()
        });
        let last = |name: &str| {
            let at = known.iter().filter_map(|found| match &found.entry.event {
                Event::Anchored(it) if it.to == name => Some(found.entry.at),
                _ => None,
            });
            at.max()
        };
        let due = |place: &Place| last(&place.name()).map_or(Timestamp::MIN, |at| after(at, self.every));
        self.places.iter().enumerate().map(|(index, place)| (index, due(place))).collect()
    }

    /// Send the newest checkpoint to each place in `due`, and note when it is due again.
    async fn anchor(&self, due: &[usize], next: &mut HashMap<usize, Timestamp>) -> Result<()> {
        self.parts.scribe.record(Record { events: Vec::new(), sides: vec![Side::Checkpoint] }).await?;
        let latest = self.parts.store.latest_checkpoint()?;
        let (size, note) = latest.ok_or_else(|| anyhow!("there is no checkpoint yet"))?;
        for index in due {
            let Some(place) = self.places.get(*index) else { continue };
            let missed = self.send(place, size, &note).await?;
            let wait = if missed { RETRY.min(self.every) } else { self.every };
            next.insert(*index, after(self.parts.clock.now(), wait));
        }
        Ok(())
    }

    /// Whether it was missed; the error says that not even that could be recorded.
    async fn send(&self, place: &Place, size: u64, note: &str) -> Result<bool> {
        let mut anchored = Anchored { size, to: place.name(), missed: None, stamp: None, stamped_at: None };
        let mut record = Record::default();
        let done = match place {
            Place::Folder(folder) => {
                let file = folder.join(format!("{}-{size:012}.txt", self.hostname));
                let text = note.to_owned();
                tokio::task::spawn_blocking(move || write_once(&file, text.as_bytes())).await?
            }
            Place::Mail(to) => {
                self.enclose(&mut record, size, note, to);
                Ok(())
            }
            Place::Stamp { target, caller, roots, .. } => {
                let stamped = self.stamp(note, target, caller, roots.as_deref()).await;
                stamped.map(|(answer, at)| {
                    anchored.stamp = Some(BASE64_STANDARD.encode(answer));
                    anchored.stamped_at = Some(at);
                })
            }
        };
        anchored.missed = done.err().map(|error| format!("{error:#}"));
        let missed = anchored.missed.is_some();
        if let Some(why) = &anchored.missed {
            tracing::error!(to = anchored.to, why, "a checkpoint did not go outside");
        }
        record.events.push(Event::Anchored(anchored));
        self.parts.scribe.record(record).await?;
        self.parts.spool.wake();
        Ok(missed)
    }

    /// The mail is in the spool in the commit that says so; should it bounce, that is an entry of its own.
    fn enclose(&self, record: &mut Record, size: u64, note: &str, to: &Address) {
        let now = self.parts.clock.now();
        let id = Reference::new(now, random(&*self.parts.entropy)).to_string();
        let letterhead = Letterhead { postmaster: &self.postmaster, hostname: &self.hostname, id: &id, now };
        let notice = notify::checkpoint(size, note, to, &letterhead);
        let letter = notice::Letter {
            to: notice.to,
            about: "checkpoint".to_owned(),
            sender: None,
            asks_for: None,
            message_id: Some(notice.message_id),
            from: Some(self.postmaster.clone()),
            bytes: notice.bytes.into(),
        };
        self.parts.spool.enclose(record, letter, now);
    }

    /// Ask for a time stamp (RFC 3161 3.4) on the note's exact bytes; the answer as it came, and its time.
    async fn stamp(
        &self,
        note: &str,
        target: &Target,
        caller: &Caller,
        roots: Option<&[TrustAnchor<'static>]>,
    ) -> Result<(Vec<u8>, Timestamp)> {
        let (imprint, nonce) = (sha256(note.as_bytes()), random(&*self.parts.entropy));
        let fields = [
            ("content-type", "application/timestamp-query".to_owned()),
            ("accept", "application/timestamp-reply".to_owned()),
        ];
        let question = stamp::query(&imprint, &nonce);
        let reply = caller.call(target, None, Method::POST, &fields, question).await?;
        ensure!(reply.status == 200, "HTTP status {}", reply.status);
        ensure!(reply.body.len() <= stamp::MAX_ANSWER, "an answer of more than {} octets", stamp::MAX_ANSWER);
        let now = self.parts.clock.now();
        let trust = roots.map(|roots| stamp::Trust { roots, crls: &[], now: Some(now) });
        let stamped = stamp::check(&reply.body, &imprint, Some(&nonce), trust.as_ref())?;
        Ok((reply.body.to_vec(), stamped.at))
    }
}

fn after(at: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// The certificates in a PEM file.
pub fn roots(file: &Path) -> Result<Vec<TrustAnchor<'static>>> {
    let unusable =
        || format!("{}: cannot be used as the authority of a time-stamping service", file.display());
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(unusable)?;
    ensure!(!certificates.is_empty(), "{}: has no certificate in it", file.display());
    let anchor = |certificate| webpki::anchor_from_trusted_cert(certificate).map(|anchor| anchor.to_owned());
    certificates.iter().map(anchor).collect::<Result<_, _>>().with_context(unusable)
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
            ensure!(there == bytes, "{}: holds another checkpoint of the same size", file.display());
            Ok(())
        }
        Err(error) => Err(error).with_context(named),
    }
}
