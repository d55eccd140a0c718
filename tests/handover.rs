//! Restarts under a service manager that holds the listening sockets: no connection is refused, and no
//! message is lost or doubled.

mod support;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use support::gateway::{INVOICES, config_text, free_port, message};
use support::next_hop::NextHop;
use support::smtp::stuff;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Longest wait for anything; a run takes a small part of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What systemd does: hold the socket, start the program with it, and hear when it is ready.
struct Manager {
    folder: tempfile::TempDir,
    config: PathBuf,
    socket: TcpListener,
    notify: UnixDatagram,
}

impl Manager {
    fn new(next_hop: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = socket.local_addr().unwrap();
        let text = config_text(folder.path(), listen, next_hop, free_port(), "", "");
        let config = folder.path().join("sluis.toml");
        std::fs::write(&config, text).unwrap();
        let notify = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        notify.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { folder, config, socket, notify }
    }

    /// Start it and wait for its word.
    fn start(&self) -> Child {
        let child = self.spawn(&self.config);
        assert_eq!(self.hear(), "READY=1");
        child
    }

    fn spawn(&self, config: &Path) -> Child {
        let socket = OwnedFd::from(self.socket.try_clone().unwrap());
        // A shell puts the socket where sd_listen_fds(3) has it: descriptor 3, and LISTEN_PID of the very
        // process.
        Command::new("sh")
            .args(["-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" --config \"$1\" serve 3<&0 </dev/null"])
            .arg(env!("CARGO_BIN_EXE_sluis"))
            .arg(config)
            .env("NOTIFY_SOCKET", self.folder.path().join("notify"))
            .stdin(Stdio::from(socket))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn hear(&self) -> String {
        let mut word = [0; 64];
        let octets = self.notify.recv(&mut word).expect("it says how it stands");
        String::from_utf8_lossy(&word[..octets]).into_owned()
    }

    /// Stop it as systemd does, and wait until it is gone.
    fn stop(&self, mut child: Child) {
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert_eq!(self.hear(), "STOPPING=1");
        assert!(child.wait().unwrap().success());
    }
}

/// Messages and connections of one load.
#[derive(Default)]
struct Counts {
    connects: AtomicUsize,
    acknowledged: AtomicUsize,
    over: AtomicBool,
}

/// Connect, send one message, quit, again and again. A connect that fails fails the test.
async fn load(listen: SocketAddr, number: usize, counts: Arc<Counts>) {
    let mut sent = 0;
    while !counts.over.load(Ordering::SeqCst) {
        let stream = TcpStream::connect(listen).await.expect("nobody is refused");
        counts.connects.fetch_add(1, Ordering::SeqCst);
        // A gateway that stops says 421, or goes without a word: the client comes again with the same.
        if submit(stream, &format!("k{number}-{sent}@example.org")).await.is_some() {
            counts.acknowledged.fetch_add(1, Ordering::SeqCst);
            sent += 1;
        }
    }
}

/// One message over a connection; `None` when it was not taken.
async fn submit(stream: TcpStream, to: &str) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let message = stuff(message(INVOICES, "Factuur").as_bytes());
    let (mail, rcpt) = (format!("MAIL FROM:<{INVOICES}>\r\n"), format!("RCPT TO:<{to}>\r\n"));
    let steps = ["", "HELO client.example\r\n", &mail, &rcpt, "DATA\r\n"].map(str::as_bytes);
    for step in steps.into_iter().chain([&message[..]]) {
        stream.get_mut().write_all(step).await.ok()?;
        let mut reply = String::new();
        stream.read_line(&mut reply).await.ok()?;
        reply.starts_with(['2', '3']).then_some(())?;
    }
    Some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_2_no_connection_is_refused_while_the_gateway_restarts() {
    let mut next_hop = NextHop::start().await;
    let manager = Manager::new(next_hop.address);
    let listen = manager.socket.local_addr().unwrap();
    let counts = Arc::new(Counts::default());
    let mut child = manager.start();
    let clients: Vec<_> = (0..6).map(|number| tokio::spawn(load(listen, number, counts.clone()))).collect();
    let mut taken = 0;
    for _ in 0..3 {
        let enough = counts.acknowledged.load(Ordering::SeqCst) + 20;
        while counts.acknowledged.load(Ordering::SeqCst) < enough {
            next_hop.next().await;
            taken += 1;
        }
        child = tokio::task::block_in_place(|| {
            manager.stop(child);
            manager.start()
        });
    }
    counts.over.store(true, Ordering::SeqCst);
    for client in clients {
        tokio::time::timeout(PATIENCE, client).await.expect("the load ends").expect("nobody was refused");
    }
    tokio::task::block_in_place(|| manager.stop(child));
    while next_hop.try_next().is_some() {
        taken += 1;
    }
    let acknowledged = counts.acknowledged.load(Ordering::SeqCst);
    assert!(taken >= acknowledged, "{acknowledged} were acknowledged, and {taken} arrived");
    assert!(counts.connects.load(Ordering::SeqCst) >= acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_nothing_in_the_config_has_is_named() {
    let next_hop = NextHop::start().await;
    let manager = Manager::new(next_hop.address);
    let text = std::fs::read_to_string(&manager.config).unwrap();
    let listen = manager.socket.local_addr().unwrap();
    let other = manager.folder.path().join("other.toml");
    std::fs::write(&other, text.replacen(&listen.to_string(), &free_port().to_string(), 1)).unwrap();
    let output = tokio::task::block_in_place(|| manager.spawn(&other).wait_with_output().unwrap());
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains(&format!("the service manager listens on {listen}, and nothing in the config does")),
        "{said}"
    );
}
