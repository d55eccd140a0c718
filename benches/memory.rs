//! What waiting costs: memory of the real binary with 10,000 idle sessions, with 200 that send messages of 1 KB as fast as
//! they can, and memory and disk with 100,000 copies in the spool behind a next hop that is down.
//!
//! `cargo bench --bench memory` prints three Markdown rows; `-- --quick` takes a tenth of each. Both ends need a file
//! descriptor per session (`ulimit -n`).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Recipients of one message.
const RECIPIENTS: usize = 1_000;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let scale = if quick { 10 } else { 1 };
    busy(200 / scale);
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::start(folder.path(), free_port());

    let sessions = 10_000 / scale;
    let before = gateway.memory();
    let idle: Vec<Client> = (0..sessions).map(|_| Client::hello(gateway.address)).collect();
    let with = gateway.memory();
    println!("| what | how many | before KiB | with KiB | each octets |");
    println!("| --- | --- | --- | --- | --- |");
    println!(
        "| idle sessions | {sessions} | {before} | {with} | {} |",
        (with - before) * 1024 / sessions as u64
    );
    drop(idle);

    let copies = 100_000 / scale;
    let before = gateway.memory();
    let began = Instant::now();
    let mut client = Client::hello(gateway.address);
    for message in 0..copies / RECIPIENTS {
        client.submit(message, RECIPIENTS);
    }
    let took = began.elapsed();
    let after = gateway.memory();
    // The worker goes through what is due; nothing of it can go anywhere.
    std::thread::sleep(Duration::from_secs(70));
    let working = gateway.memory();
    println!(
        "\n| waiting copies | seconds | before KiB | after KiB | a minute on KiB | peak KiB | store MiB |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    println!(
        "| {copies} | {:.0} | {before} | {after} | {working} | {} | {} |",
        took.as_secs_f64(),
        gateway.peak(),
        gateway.store(folder.path())
    );
    println!("\n{}", gateway.status(folder.path()));
}

/// Sessions that do not wait, in front of a next hop that takes everything.
fn busy(sessions: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::start(folder.path(), sink());
    let before = gateway.memory();
    let until = Instant::now() + Duration::from_secs(5);
    let address = gateway.address;
    let send = |session: usize| {
        let mut client = Client::hello(address);
        let mut sent = 0;
        while Instant::now() < until {
            client.submit(session * 1_000_000 + sent, 1);
            sent += 1;
        }
        sent
    };
    let sent: usize = std::thread::scope(|scope| {
        let all: Vec<_> = (0..sessions).map(|session| scope.spawn(move || send(session))).collect();
        all.into_iter().map(|one| one.join().expect("no panic")).sum()
    });
    println!("| what | how many | messages | before KiB | after KiB | peak KiB |");
    println!("| --- | --- | --- | --- | --- | --- |");
    println!(
        "| busy sessions | {sessions} | {sent} | {before} | {} | {} |\n",
        gateway.memory(),
        gateway.peak()
    );
}

/// A next hop that takes everything.
fn sink() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || take(stream));
        }
    });
    address
}

fn take(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream.try_clone()?);
    stream.write_all(b"220 sink\r\n")?;
    let (mut line, mut in_message) = (Vec::new(), false);
    while lines.read_until(b'\n', &mut line)? > 0 {
        let reply: &[u8] = match (&line[..], in_message) {
            (b".\r\n", true) => b"250 taken\r\n",
            (_, true) => b"",
            (line, false) if line.starts_with(b"DATA") => b"354 go on\r\n",
            _ => b"250 ok\r\n",
        };
        in_message = if in_message { line != b".\r\n" } else { line.starts_with(b"DATA") };
        stream.write_all(reply)?;
        line.clear();
    }
    Ok(())
}

/// The real binary.
struct Gateway {
    child: Child,
    address: SocketAddr,
}

impl Gateway {
    fn start(folder: &Path, next_hop: SocketAddr) -> Self {
        let (address, page) = (free_port(), free_port());
        let text = folder.display();
        sluis::app::keys::make_dkim(&folder.join("dkim.pem"), sluis::config::Algorithm::Ed25519Sha256)
            .expect("a signing key");
        let config = format!(
            r#"name = "sluis.bench.example"
data = "{text}/var"

[[listener]]
address = "{address}"
tls = "none"

[trusted]
networks = ["127.0.0.0/8"]

[relay]
next_hop = "{next_hop}"
tls = "none"
queue_when_down = true

[unsubscribe]
listen = "{page}"
url = "http://{page}"

[limits]
connections = 11000
connections_per_ip = 11000
recipients = {RECIPIENTS}
spool_copies = 200000
messages_per_hour = 1000000
command_timeout = "1h"

[log]
level = "error"

[[dkim]]
domain = "voorbeeldhypotheken.nl"
selector = "bench"
algorithm = "ed25519-sha256"
key_file = "{text}/dkim.pem"

[[sender]]
name = "Voorbeeld Hypotheken B.V."
kvk = "12345678"
address = "Dorpsstraat 1, 1234 AB Ons Dorp"
contact = "info@voorbeeldhypotheken.nl"
domains = ["voorbeeldhypotheken.nl"]

[[rule]]
name = "partners"
match = {{ envelope_from = "nieuws@voorbeeldhypotheken.nl", recipient = "*@example.org" }}
allow = "a bench: nobody is there"
"#
        );
        let file = folder.join("sluis.toml");
        std::fs::write(&file, config).expect("the config is written");
        let child = Command::new(env!("CARGO_BIN_EXE_sluis"))
            .args(["--config".as_ref(), file.as_os_str(), "serve".as_ref()])
            .stdout(Stdio::null())
            .spawn()
            .expect("the gateway starts");
        let gateway = Self { child, address };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "the gateway did not answer within a minute");
            std::thread::sleep(Duration::from_millis(20));
        }
        gateway
    }

    /// A line of /proc/<pid>/status, KiB.
    fn field(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or_default()
    }

    /// What is its own: without the pages of files that the system may drop.
    fn memory(&self) -> u64 {
        self.field("RssAnon:")
    }

    fn peak(&self) -> u64 {
        self.field("VmHWM:")
    }

    /// MiB of the store.
    fn store(&self, folder: &Path) -> u64 {
        let files = std::fs::read_dir(folder.join("var")).expect("the data folder");
        let octets = files.flatten().filter_map(|file| file.metadata().ok()).map(|file| file.len());
        octets.sum::<u64>() >> 20
    }

    /// What the gateway says of itself.
    fn status(&self, folder: &Path) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_sluis"))
            .arg("--config")
            .arg(folder.join("sluis.toml"))
            .arg("status")
            .output()
            .expect("the command runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.lines().filter(|line| line.contains("spool") || line.contains("waiting")).collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A session, one command after the other.
struct Client(TcpStream);

impl Client {
    fn hello(address: SocketAddr) -> Self {
        let mut client = Self(TcpStream::connect(address).expect("a connection"));
        client.0.set_nodelay(true).expect("a socket");
        client.expect("220");
        client.say("EHLO bench.example\r\n", "250");
        client
    }

    fn say(&mut self, command: &str, code: &str) {
        self.0.write_all(command.as_bytes()).expect("the gateway listens");
        self.expect(code);
    }

    /// A whole reply, which has this code.
    fn expect(&mut self, code: &str) {
        let mut text = Vec::new();
        let mut octets = [0; 8192];
        loop {
            let read = self.0.read(&mut octets).expect("an answer");
            assert!(read > 0, "the gateway hung up");
            text.extend_from_slice(&octets[..read]);
            let lines = String::from_utf8_lossy(&text);
            let last = lines.trim_end_matches("\r\n").rsplit("\r\n").next().unwrap_or_default();
            if text.ends_with(b"\r\n") && last.as_bytes().get(3) == Some(&b' ') {
                assert!(last.starts_with(code), "not {code}: {lines}");
                return;
            }
        }
    }

    /// One message to so many people.
    fn submit(&mut self, number: usize, recipients: usize) {
        self.say("MAIL FROM:<nieuws@voorbeeldhypotheken.nl>\r\n", "250");
        for recipient in 0..recipients {
            self.say(&format!("RCPT TO:<r{number}-{recipient}@example.org>\r\n"), "250");
        }
        self.say("DATA\r\n", "354");
        let text = "Dit is een nieuwsbrief zoals ze zijn, met een regel of wat tekst.\r\n".repeat(12);
        let message = format!(
            "From: Voorbeeld Hypotheken B.V. <nieuws@voorbeeldhypotheken.nl>\r\nTo: lezers@voorbeeldhypotheken.nl\r\n\
             Subject: Nieuws {number}\r\nDate: Tue, 24 Nov 2026 10:00:00 +0100\r\n\
             Message-ID: <{number}@voorbeeldhypotheken.nl>\r\n\r\n{text}.\r\n"
        );
        self.say(&message, "250");
    }
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound")
}
