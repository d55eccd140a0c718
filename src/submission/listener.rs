//! The accept loop.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::metrics;
use crate::shutdown::Shutdown;
use crate::smtp::reply::Reply;

use super::{Journey, Settings, Tls, serve};

/// How long to leave a listener alone that cannot accept (no file descriptors left).
const PAUSE: Duration = Duration::from_millis(100);

/// Accept connections until a stop is requested. Each session is a task of `shutdown`, and gets the
/// settings of the moment it began.
pub async fn run<J: Journey>(
    listener: TcpListener,
    settings: watch::Receiver<Arc<Settings>>,
    journey: J,
    shutdown: Shutdown,
) {
    loop {
        let accepted = tokio::select! {
            () = shutdown.requested() => return,
            accepted = listener.accept() => accepted,
        };
        let settings = Arc::clone(&settings.borrow());
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(listener = %settings.name, %error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        match settings.limits.connect(peer.ip()) {
            Ok(connected) => {
                // Replies are whole when they are written; Nagle would only hold them up.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY");
                }
                metrics::session_opened(&settings.name);
                let session = serve(stream, peer.ip(), settings, journey.clone(), shutdown.clone());
                shutdown.spawn(async move {
                    session.await;
                    drop(connected);
                });
            }
            Err(reached) => {
                tracing::info!(listener = %settings.name, ip = %peer.ip(), %reached, "connection refused");
                turn_away(&stream, &settings);
            }
        }
    }
}

/// Say why, if the client can read it and without waiting for it to do so.
fn turn_away(stream: &TcpStream, settings: &Settings) {
    if !matches!(settings.tls, Tls::Implicit(_)) {
        let reply = Reply::too_many_connections(&settings.hostname).to_bytes();
        if let Err(error) = stream.try_write(&reply) {
            tracing::debug!(%error, "refusal not sent");
        }
    }
}
