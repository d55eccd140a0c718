//! The page's certificates: read at start, at each reload, and whenever its files change, so that a renewal
//! needs nobody's hand.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use rustls::ServerConfig;
use tokio::sync::watch;

use super::keys;
use crate::config::{TlsFiles, UnsubscribeSettings};
use crate::net::tls;
use crate::shutdown::Shutdown;

/// Time between two looks at the files.
const LOOK: Duration = Duration::from_secs(60);

/// The files: of the page, and of host names that have their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    page: TlsFiles,
    named: Vec<(String, TlsFiles)>,
}

impl Files {
    /// Those of the config, if the page speaks TLS.
    pub(super) fn of(settings: &UnsubscribeSettings) -> Option<Self> {
        Some(Self { page: settings.tls.clone()?, named: settings.named_tls.clone() })
    }

    /// One certificate for every name.
    pub(super) fn alone(files: TlsFiles) -> Self {
        Self { page: files, named: Vec::new() }
    }

    fn all(&self) -> impl Iterator<Item = &TlsFiles> {
        std::iter::once(&self.page).chain(self.named.iter().map(|(_, files)| files))
    }
}

/// The page's certificates, as they are in force.
#[derive(Debug)]
pub(super) struct Certificates {
    config: watch::Sender<Arc<ServerConfig>>,
    files: watch::Sender<Files>,
}

impl Certificates {
    /// Read them, and go on looking at their files until `shutdown`. The receiver sees what is in force.
    pub(super) fn open(
        files: Files,
        shutdown: &Shutdown,
    ) -> Result<(Self, watch::Receiver<Arc<ServerConfig>>)> {
        let (config, seen) = watch::channel(read(&files)?);
        let (files, watched) = watch::channel(files);
        shutdown.spawn(renew(watched, config.clone(), shutdown.clone()));
        Ok((Self { config, files }, seen))
    }

    /// Take others, that were read from `files`.
    pub(super) fn change(&self, files: Files, config: Arc<ServerConfig>) {
        self.files.send_replace(files);
        self.config.send_replace(config);
    }
}

/// Read certificates and keys.
pub(super) fn read(files: &Files) -> Result<Arc<ServerConfig>> {
    for one in files.all() {
        keys::read_private(&one.key)?;
    }
    let named = files.named.iter();
    let named: Vec<_> =
        named.map(|(name, one)| (name.clone(), one.certificate.clone(), one.key.clone())).collect();
    let TlsFiles { certificate, key } = &files.page;
    tls::http_server_config_by_name(certificate, key, &named)
        .with_context(|| format!("certificate {} with key {}", certificate.display(), key.display()))
}

/// Look at the files every minute until `shutdown`; what was renewed is in force at once. Files that do not fit
/// each other (one of the two is still to be written) leave the old ones in force, and the log says so.
async fn renew(
    files: watch::Receiver<Files>,
    certificate: watch::Sender<Arc<ServerConfig>>,
    shutdown: Shutdown,
) {
    let current = || files.borrow().clone();
    let mut seen = stamps(&current());
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let files = current();
        let now = stamps(&files);
        if now == seen {
            continue;
        }
        match read(&files) {
            Ok(config) => {
                certificate.send_replace(config);
                seen = now;
                tracing::info!(file = %files.page.certificate.display(), "a new certificate is in force");
            }
            Err(error) => tracing::warn!(error = %format!("{error:#}"), "the old certificate stays in force"),
        }
    }
}

/// When each file was last written, and how long it is.
fn stamps(files: &Files) -> Vec<Option<(SystemTime, u64)>> {
    files.all().flat_map(|one| [stamp(&one.certificate), stamp(&one.key)]).collect()
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
