//! The page's certificate: read at start, at each reload, and whenever its files change, so that a renewal
//! needs nobody's hand.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use rustls::ServerConfig;
use tokio::sync::watch;

use super::keys;
use crate::config::TlsFiles;
use crate::net::tls;
use crate::shutdown::Shutdown;

/// Time between two looks at the files.
const LOOK: Duration = Duration::from_secs(60);

/// Read certificate and key.
pub(super) fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>> {
    keys::read_private(&files.key)?;
    tls::http_server_config(&files.certificate, &files.key).with_context(|| {
        format!("certificate {} with key {}", files.certificate.display(), files.key.display())
    })
}

/// Look at `files` every minute until `shutdown`; what was renewed is in force at once. Files that do not fit
/// each other (one of the two is still to be written) leave the old ones in force, and the log says so.
pub(super) async fn renew(
    files: TlsFiles,
    certificate: watch::Sender<Arc<ServerConfig>>,
    shutdown: Shutdown,
) {
    let mut seen = stamps(&files);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let now = stamps(&files);
        if now == seen {
            continue;
        }
        match read(&files) {
            Ok(config) => {
                certificate.send_replace(config);
                seen = now;
                tracing::info!(file = %files.certificate.display(), "the page has a new certificate");
            }
            Err(error) => tracing::warn!(error = %format!("{error:#}"), "the page keeps its old certificate"),
        }
    }
}

/// When each file was last written, and how long it is.
fn stamps(files: &TlsFiles) -> [Option<(SystemTime, u64)>; 2] {
    [&files.certificate, &files.key].map(|path: &std::path::PathBuf| stamp(path))
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
