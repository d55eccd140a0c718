//! An HTTP listener with a limit on everything: connections, header size and time, idle time.
//!
//! HTTP/1.0, 1.1 and 2 (prior knowledge) on one port. A connection on which no request was completed
//! between two ticks of [`Limits::idle`] is closed, so that a client that says nothing, or says it one
//! octet at a time, holds its place no longer than that. Bodies are read, and bounded, by whoever handles
//! the request. With a [`Certificate`] it speaks TLS, and HTTP/2 by ALPN; a renewed one is used from the next
//! connection on. Deliberately absent: routes, and any knowledge of what is served.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tracing::{debug, warn};

use super::Stream;
use crate::metrics;
use crate::shutdown::Shutdown;

/// How long to wait after `accept` failed: the machine is out of file descriptors, and asking again at
/// once would only burn its processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Octets of one request header (line and fields together).
const HEADER_BYTES: usize = 16 * 1024;

/// Requests at a time on one HTTP/2 connection.
const STREAMS: u32 = 64;

/// The certificate and key in force; made by [`tls::http_server_config`](super::tls::http_server_config).
pub type Certificate = watch::Receiver<Arc<ServerConfig>>;

/// Bounds of one HTTP listener (promise 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; the next ones wait in the listen backlog.
    pub connections: usize,
    /// Time to send a request header once the previous answer is out.
    pub header: Duration,
    /// Time without a completed request after which a connection is closed.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 1_024, header: Duration::from_secs(10), idle: Duration::from_secs(30) }
    }
}

/// The client of a request, as the listener saw it. Handlers find it in the request's extensions, and
/// hold [`Visitor::busy`] while they work, so that the connection is not taken for an idle one.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// The address at the far end of the connection.
    pub ip: IpAddr,
    pulse: Arc<Pulse>,
}

/// What a connection is doing.
#[derive(Debug, Default)]
struct Pulse {
    started: AtomicU64,
    running: AtomicUsize,
}

/// A request that is being handled.
#[derive(Debug)]
pub struct Busy(Arc<Pulse>);

impl Visitor {
    /// Say that a request is being handled, until the answer is dropped.
    pub fn busy(&self) -> Busy {
        self.pulse.started.fetch_add(1, Ordering::Relaxed);
        self.pulse.running.fetch_add(1, Ordering::Relaxed);
        Busy(self.pulse.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pulse {
    /// Whether nothing ran since `seen` was last brought up to date.
    fn is_still(&self, seen: &mut u64) -> bool {
        let started = self.started.load(Ordering::Relaxed);
        let still = started == *seen && self.running.load(Ordering::Relaxed) == 0;
        *seen = started;
        still
    }
}

/// Serve `router` on `listener` until `shutdown`, then let each connection finish the request it is in.
/// Returns when no new connections are taken; `shutdown.drained()` waits for the open ones.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Certificate>,
    router: Router,
    limits: Limits,
    shutdown: Shutdown,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    loop {
        let taken = tokio::select! {
            () = shutdown.requested() => return,
            taken = accept(&listener, &places) => taken,
        };
        let Some((stream, ip, place)) = taken else { continue };
        let visitor = Visitor { ip, pulse: Arc::default() };
        let router = router.clone().layer(Extension(visitor.clone()));
        let stop = shutdown.clone();
        let tls = tls.as_ref().map(|tls| tls.borrow().clone());
        shutdown.spawn(async move {
            if let Some(stream) = secured(stream, tls, limits.header).await {
                connection(stream, visitor, router, limits, stop).await;
            }
            drop(place);
        });
    }
}

/// Wait for a place, then for a client.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, IpAddr, tokio::sync::OwnedSemaphorePermit)> {
    if places.available_permits() == 0 {
        metrics::limit_hit("http_connections");
    }
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // An answer is one small write; waiting to fill a segment would only delay it.
            let _ = stream.set_nodelay(true);
            Some((stream, peer.ip().to_canonical(), place))
        }
        Err(error) => {
            warn!(%error, "cannot accept an HTTP connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// The handshake, within the time for a request header.
async fn secured(tcp: TcpStream, tls: Option<Arc<ServerConfig>>, limit: Duration) -> Option<Stream> {
    let Some(config) = tls else { return Some(Stream::Plain(tcp)) };
    match tokio::time::timeout(limit, super::tls::accept(&config, tcp)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            debug!(%error, "no TLS with an HTTP client");
            None
        }
        Err(_) => None,
    }
}

/// Answer HTTP/1.1 on a connection that somebody else accepted, until its end or `shutdown`. Each header must come
/// within `header`.
pub async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    header: Duration,
    shutdown: &Shutdown,
) {
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(header).max_buf_size(HEADER_BYTES);
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = pin!(served);
    let mut closing = false;
    loop {
        tokio::select! {
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    debug!(%error, "HTTP connection ended early");
                }
                return;
            }
            () = shutdown.requested(), if !closing => {
                closing = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Drive one connection to its end.
async fn connection(stream: Stream, visitor: Visitor, router: Router, limits: Limits, shutdown: Shutdown) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .half_close(true)
        .max_buf_size(HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_BYTES as u32);
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = pin!(served);
    let mut closing = false;
    let mut seen = 0;
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + limits.idle, limits.idle);
    loop {
        tokio::select! {
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    debug!(ip = %visitor.ip, %error, "HTTP connection ended early");
                }
                return;
            }
            () = shutdown.requested(), if !closing => {
                closing = true;
                served.as_mut().graceful_shutdown();
            }
            _ = tick.tick() => if visitor.pulse.is_still(&mut seen) {
                debug!(ip = %visitor.ip, "idle HTTP connection closed");
                return;
            },
        }
    }
}
