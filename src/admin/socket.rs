//! The Unix socket: one JSON line in, one JSON line out, of bounded length. A connection that begins with the name of an
//! HTTP method speaks HTTP instead, and is answered by the router that is handed in.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::wire::{Answer, Request};
use super::{Services, handle};
use crate::net;
use crate::shutdown::Shutdown;

/// How long a client may take to hand in its request once it has begun, and to take its answer.
const PEER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a command waits for its answer: checking a large ledger takes minutes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// The socket, bound and closed to others; removed when dropped.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
    /// Who runs the gateway.
    user: u32,
}

impl Listener {
    /// Bind `path`, replacing the socket of a gateway that was killed. Must be called after the store was
    /// opened: its lock is what keeps two gateways apart.
    pub fn bind(path: &Path) -> std::io::Result<Self> {
        if StdStream::connect(path).is_ok() {
            let why = format!("{} is in use by another gateway", path.display());
            return Err(std::io::Error::new(std::io::ErrorKind::AddrInUse, why));
        }
        // Bound under another name and closed before anybody can know it by the real one.
        let temporary = path.with_extension(format!("{}.new", std::process::id()));
        let _ = std::fs::remove_file(&temporary);
        let listener = UnixListener::bind(&temporary)?;
        let made = std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(0o600))
            .and_then(|()| std::fs::metadata(&temporary))
            .and_then(|metadata| std::fs::rename(&temporary, path).map(|()| metadata.uid()));
        match made {
            Ok(user) => Ok(Self { listener, path: path.to_owned(), user }),
            Err(error) => {
                let _ = std::fs::remove_file(&temporary);
                Err(error)
            }
        }
    }

    /// Whether the process at the other end runs as the gateway's user or as root.
    fn admits(&self, stream: &UnixStream) -> bool {
        stream.peer_cred().is_ok_and(|peer| peer.uid() == self.user || peer.uid() == 0)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Answer requests until `shutdown`; a request that was read is answered. At most `connections` at once, each
/// line of at most `max_line` octets; HTTP goes to `http`.
pub async fn serve(
    listener: Listener,
    services: Services,
    http: Router,
    connections: usize,
    max_line: usize,
    shutdown: Shutdown,
) {
    let slots = Arc::new(Semaphore::new(connections));
    loop {
        // Taking a slot first leaves those who come too many in the listen queue.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let stream = tokio::select! {
            () = shutdown.requested() => return,
            accepted = listener.listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "admin socket: cannot accept");
                    // Out of file descriptors, most likely: accepting again at once would spin.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        if !listener.admits(&stream) {
            tracing::warn!("admin socket: a process of another user was turned away");
            continue;
        }
        let (services, http, stop) = (services.clone(), http.clone(), shutdown.clone());
        shutdown.spawn(async move {
            let _slot = slot;
            if let Err(error) = converse(stream, &services, http, max_line, &stop).await {
                tracing::debug!(%error, "admin socket: connection lost");
            }
        });
    }
}

async fn converse(
    stream: UnixStream,
    services: &Services,
    http: Router,
    max_line: usize,
    shutdown: &Shutdown,
) -> std::io::Result<()> {
    let mut stream = tokio::io::BufReader::new(stream);
    let is_http = tokio::select! {
        () = shutdown.requested() => return Ok(()),
        begun = stream.fill_buf() => begun?.first().is_some_and(u8::is_ascii_uppercase),
    };
    if is_http {
        net::http::converse(stream, http, PEER_TIMEOUT, shutdown).await;
        return Ok(());
    }
    loop {
        let begun = tokio::select! {
            () = shutdown.requested() => return Ok(()),
            begun = stream.fill_buf() => !begun?.is_empty(),
        };
        if !begun {
            return Ok(());
        }
        let mut line = Vec::new();
        // One more than is allowed, to tell a line that fits from one that does not.
        let limit = max_line as u64 + 1;
        tokio::time::timeout(PEER_TIMEOUT, (&mut stream).take(limit).read_until(b'\n', &mut line)).await??;
        if line.len() > max_line {
            let error = format!("the request is longer than {max_line} octets");
            return reply(&mut stream, &Answer::Failed { error }, max_line).await;
        }
        let answer = match serde_json::from_slice(&line) {
            Ok(request) => handle(request, services).await,
            Err(error) => Answer::Failed { error: format!("not a request: {error}") },
        };
        reply(&mut stream, &answer, max_line).await?;
    }
}

async fn reply(
    writer: &mut (impl tokio::io::AsyncWrite + Unpin),
    answer: &Answer,
    max_line: usize,
) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    if line.len() >= max_line {
        let error =
            format!("the answer is longer than limits.admin_message ({max_line} octets); ask for less");
        line = serde_json::to_vec(&Answer::Failed { error })?;
    }
    line.push(b'\n');
    tokio::time::timeout(PEER_TIMEOUT, writer.write_all(&line)).await?
}

/// The command's end of the socket. Blocks.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<StdStream>,
    max_line: usize,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The gateway is gone, or does not answer.
    #[error("the gateway does not answer: {0}")]
    Io(#[from] std::io::Error),
    /// The answer is none, or of another version.
    #[error("the gateway's answer cannot be read: {0}")]
    Answer(#[from] serde_json::Error),
    /// The connection ended before the answer.
    #[error("the gateway closed the connection before it answered; it may be stopping")]
    Closed,
    /// The answer is longer than allowed.
    #[error("the answer is longer than {0} octets")]
    TooLong(usize),
}

impl Client {
    /// Connect to the gateway that listens at `path`; `None` when none does.
    pub fn connect(path: &Path, max_line: usize) -> std::io::Result<Option<Self>> {
        let stream = match StdStream::connect(path) {
            Ok(stream) => stream,
            Err(error) => {
                return match error.kind() {
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => Ok(None),
                    _ => Err(error),
                };
            }
        };
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(PEER_TIMEOUT))?;
        Ok(Some(Self { stream: BufReader::new(stream), max_line }))
    }

    /// Ask, and wait for the answer.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, ClientError> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line)?;
        let mut answer = Vec::new();
        let limit = self.max_line as u64 + 1;
        self.stream.by_ref().take(limit).read_until(b'\n', &mut answer)?;
        if answer.last() != Some(&b'\n') {
            return Err(if answer.len() > self.max_line {
                ClientError::TooLong(self.max_line)
            } else {
                ClientError::Closed
            });
        }
        Ok(serde_json::from_slice(&answer)?)
    }
}
