//! Listening sockets that systemd holds for us (`LISTEN_FDS`, sd_listen_fds(3)), and word to it
//! (sd_notify(3)).
//!
//! The service manager keeps the sockets while the gateway restarts, so a client that connects meanwhile
//! waits in their backlog and is never refused. A socket belongs to the listener of the config that has
//! its address. Deliberately absent: names of sockets (`LISTEN_FDNAMES`), as the address says enough.

use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram};

use anyhow::{Context as _, Result, bail};
use listenfd::ListenFd;

/// Sockets that listen already, each by its address.
#[derive(Debug, Default)]
pub struct Sockets(Vec<(SocketAddr, TcpListener)>);

impl Sockets {
    /// Those that were handed to this process; none without a service manager. To be called once, before
    /// there are threads: it takes the variables out of the environment.
    pub fn of_process() -> Result<Self> {
        let mut handed = ListenFd::from_env();
        let mut sockets = Vec::with_capacity(handed.len());
        for at in 0..handed.len() {
            let socket = handed
                .take_tcp_listener(at)
                .with_context(|| format!("socket {at} of LISTEN_FDS is no TCP socket that listens"))?;
            let Some(socket) = socket else { continue };
            socket.set_nonblocking(true)?;
            sockets.push((socket.local_addr()?, socket));
        }
        Ok(Self(sockets))
    }

    /// The socket that listens on `address`.
    pub(super) fn take(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let at = self.0.iter().position(|(own, _)| *own == address)?;
        Some(self.0.swap_remove(at).1)
    }

    /// What nobody took would swallow connections for ever.
    pub(super) fn finish(self) -> Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some((address, _)) => bail!(
                "the service manager listens on {address}, and nothing in the config does; give the socket \
                 unit and the config the same addresses"
            ),
        }
    }
}

/// Tell the service manager how things stand: `READY=1`, `STOPPING=1`. Without one, nothing happens; that it
/// does not listen is no reason to stop.
pub(super) fn tell(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(path.as_encoded_bytes(), state) {
        tracing::warn!(%error, "the service manager could not be told {state}");
    }
}

fn send(path: &[u8], state: &str) -> std::io::Result<()> {
    let address = match path.split_first() {
        // A name in the abstract namespace.
        Some((b'@', name)) => UnixAddr::from_abstract_name(name)?,
        _ => UnixAddr::from_pathname(std::path::Path::new(std::ffi::OsStr::from_bytes(path)))?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}
