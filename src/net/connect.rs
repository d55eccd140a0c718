//! TCP connections.

use std::io;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("{host} has no address")]
    NoAddress {
        /// The name.
        host: String,
    },
    /// No address of the name answered in time.
    #[error("{host}:{port} does not answer")]
    Timeout {
        /// The name.
        host: String,
        /// The port.
        port: u16,
    },
    /// The last address that was tried failed.
    #[error("{host}:{port}: {error}")]
    Io {
        /// The name.
        host: String,
        /// The port.
        port: u16,
        /// What the system said.
        error: io::Error,
    },
    /// The proxy on the way did not connect us.
    #[error("proxy {proxy}: {error}")]
    Proxy {
        /// Its name.
        proxy: String,
        /// What it said.
        error: io::Error,
    },
}

/// Connect to `host`: its addresses in the order the resolver gives them, all within `limit`, with
/// TCP_NODELAY set.
pub async fn connect(host: &str, port: u16, limit: Duration) -> Result<TcpStream, ConnectError> {
    let deadline = Instant::now() + limit;
    let timeout = || ConnectError::Timeout { host: host.to_owned(), port };
    let io = |error| ConnectError::Io { host: host.to_owned(), port, error };
    let addresses: Vec<_> =
        timeout_at(deadline, lookup_host((host, port))).await.map_err(|_| timeout())?.map_err(io)?.collect();
    let mut last = None;
    for (tried, address) in addresses.iter().enumerate() {
        // Each address gets an equal share of what is left, so that a dead one does not starve the rest.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = Instant::now() + left / (addresses.len() - tried) as u32;
        match timeout_at(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(io)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = Some(io(error)),
            Err(_) => last = Some(timeout()),
        }
    }
    Err(last.unwrap_or_else(|| ConnectError::NoAddress { host: host.to_owned() }))
}
