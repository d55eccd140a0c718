//! Asks our own listener, from the outside, whether a link still opens (RULES L8).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tracing::{info, warn};

use super::Desk;
use crate::mail::{Address, Reference, SenderId};
use crate::metrics;
use crate::secret::{Entropy, random};
use crate::shutdown::Shutdown;
use crate::token::Claim;

/// Time between two looks while all is well.
const WELL: Duration = Duration::from_secs(60);

/// Time between two looks while it is not: marketing waits for us.
const ILL: Duration = Duration::from_secs(5);

/// Time for one look.
const PATIENCE: Duration = Duration::from_secs(10);

/// Octets of the answer that are read: more than the page has.
const ANSWER: u64 = 64 * 1024;

/// Whether the unsubscribe endpoint answers. It does not until it was seen to. Clones share one state.
#[derive(Debug, Clone)]
pub struct Health(watch::Sender<bool>);

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Not seen to answer yet.
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Whether it answered when it was last asked.
    pub fn is_up(&self) -> bool {
        *self.0.borrow()
    }

    /// The same, to be waited upon.
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }

    /// Say how it is.
    pub fn set(&self, up: bool) {
        metrics::unsubscribe_healthy(up);
        let changed = self.0.send_replace(up) != up;
        if changed && up {
            info!("the unsubscribe endpoint answers");
        } else if changed {
            warn!("the unsubscribe endpoint does not answer; marketing gets 451 until it does");
        }
    }

    /// Ask the listener at `address` every minute, until `shutdown`, for the page of a token made for this.
    pub async fn watch_over(
        self,
        address: SocketAddr,
        desk: std::sync::Arc<Desk>,
        entropy: crate::secret::SharedEntropy,
        shutdown: Shutdown,
    ) {
        let address = reachable(address);
        loop {
            let settings = desk.settings();
            let path = format!("/u/{}", settings.keys.mint(&probe(entropy.as_ref()), entropy.as_ref()));
            let host = settings.hosts.first().map_or_else(|| address.to_string(), ToString::to_string);
            let up = tokio::select! {
                () = shutdown.requested() => return,
                up = answers(address, &host, &path) => up,
            };
            self.set(up);
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(if up { WELL } else { ILL }) => {}
            }
        }
    }
}

/// A claim for nobody: `.invalid` is no domain (RFC 2606), and a GET changes nothing anyway.
pub(super) fn probe(entropy: &dyn Entropy) -> Claim {
    let nobody = Address::parse("health@check.invalid").expect("a fixed text that is an address");
    Claim {
        sender: SenderId("health-check".to_owned()),
        address: nobody.key().clone(),
        reference: Reference::new(jiff::Timestamp::UNIX_EPOCH, random(entropy)),
        purpose: None,
    }
}

/// Where a listener bound to every interface is found on this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Whether a GET of `path` at `address` is answered with 200, in time.
async fn answers(address: SocketAddr, host: &str, path: &str) -> bool {
    let asked = tokio::time::timeout(PATIENCE, async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: sluis-health\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer.starts_with(b"HTTP/1.1 200 "))
    });
    matches!(asked.await, Ok(Ok(true)))
}
