//! Accept, decide, rewrite, prove (two durable commits) and relay over loopback, beside the same load
//! straight into the sink and through a bare TCP splice, interleaved in one run.
//!
//! `cargo bench --bench relay` prints a Markdown table: messages per second, p50 and p99 latency, CPU per
//! 1,000 messages of the gateway process, and ratios to the direct run. Everything is on but rsa: consent
//! looked up, message edited, signed with ed25519. `-- --quick` takes seconds, for a look; `-- --only 50x1000`
//! runs one row (sessions x octets); `-- --peers` puts other relays that are installed (`benches/peers/`) into
//! the same run. What a peer accepted and what it delivered are both counted, the latter until the sink has
//! everything. `--rsa`, `--many`, `--slow-disk` and `--slow-hop` each ask another question instead (`modes/`).

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[path = "modes/mod.rs"]
mod modes;
#[path = "peers/mod.rs"]
mod peers;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const RECIPIENTS: usize = 10_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, port, next_hop] = &arguments[..]
        && mode == "--samotop"
    {
        let number = |text: &String| text.parse().expect("a port");
        peers::samotop::serve(number(port), number(next_hop));
    }
    bench(arguments);
}

#[tokio::main]
async fn bench(arguments: Vec<String>) {
    let quick = arguments.iter().any(|arg| arg == "--quick");
    if modes::run(&arguments, quick).await {
        return;
    }
    let only = arguments.iter().position(|arg| arg == "--only").and_then(|at| arguments.get(at + 1));
    let seconds = Duration::from_secs_f64(if quick { 0.5 } else { 1.5 });
    let rounds = if quick { 1 } else { 3 };

    let sink = Sink::start().await;
    let splice = splice(sink.address).await;
    let gateway = Gateway::start(sink.address, &Setup::default()).await;
    let (peers, missing) = match arguments.iter().any(|arg| arg == "--peers") {
        true => peers::start(sink.address, &["nginx", "postfix", "opensmtpd", "haraka", "samotop"], &[]),
        false => Default::default(),
    };
    let mut beside = Vec::new();

    println!(
        "| sessions | size | direct msg/s | splice | sluis msg/s | of direct | of splice | p50 ms | p99 ms | CPU s/1000 |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for size in [1_000, 10_000, 100_000, 1_000_000] {
        for sessions in [1, 10, 50, 200] {
            if only.is_some_and(|only| *only != format!("{sessions}x{size}")) {
                continue;
            }
            let mut runs = [Vec::new(), Vec::new(), Vec::new()];
            let mut cpu = Vec::new();
            let mut others: Vec<Vec<Relayed>> = peers.iter().map(|_| Vec::new()).collect();
            for peer in &peers {
                // Once unseen: a relay of many processes has to start them first.
                relayed(peer, &sink, sessions, size, seconds).await;
            }
            for _ in 0..rounds {
                runs[0].push(load(sink.address, sessions, size, seconds).await);
                runs[1].push(load(splice, sessions, size, seconds).await);
                let before = (gateway.cpu(), sink.received.load(Ordering::Relaxed));
                let run = load(gateway.address, sessions, size, seconds).await;
                let spent = gateway.cpu() - before.0;
                let arrived = sink.received.load(Ordering::Relaxed) - before.1;
                // Fair counting: what the sink has is what was relayed.
                assert!(arrived >= run.messages, "{arrived} arrived of {} accepted", run.messages);
                cpu.push(spent / run.messages.max(1) as f64 * 1000.0);
                runs[2].push(run);
                for (peer, runs) in peers.iter().zip(&mut others) {
                    runs.push(relayed(peer, &sink, sessions, size, seconds).await);
                }
            }
            let rate = |at: usize| median(runs[at].iter().map(Run::rate).collect());
            println!(
                "| {sessions} | {size} | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
                rate(0),
                rate(1),
                rate(2),
                rate(2) / rate(0),
                rate(2) / rate(1),
                median(runs[2].iter().map(|run| run.percentile(0.50)).collect()),
                median(runs[2].iter().map(|run| run.percentile(0.99)).collect()),
                median(cpu.clone()),
            );
            let ours = Row { delivered: rate(2), cpu: median(cpu) };
            for (peer, runs) in peers.iter().zip(others) {
                beside.push(row_of(peer.name, sessions, size, &runs, &ours));
            }
        }
    }
    if !peers.is_empty() {
        println!(
            "\n| peer | sessions | size | accepted msg/s | delivered msg/s | p50 ms | p99 ms | CPU s/1000 | sluis delivers | sluis CPU |"
        );
        println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
        beside.iter().for_each(|row| println!("{row}"));
    }
    for name in missing {
        println!("\nLeft out, because it is not installed: {name}");
    }
    println!("\nPeak memory of the gateway process over the whole run: {} MiB", gateway.peak_memory() / 1024);
}

/// A load through a peer, until the sink has all of it.
struct Relayed {
    run: Run,
    /// Messages per second, counted until the last one was there.
    delivered: f64,
    /// Seconds per 1,000 messages.
    cpu: f64,
}

struct Row {
    delivered: f64,
    cpu: f64,
}

async fn relayed(
    peer: &peers::Peer,
    sink: &Sink,
    sessions: usize,
    size: usize,
    lasting: Duration,
) -> Relayed {
    let before = (peer.cpu(), sink.received.load(Ordering::Relaxed));
    let start = Instant::now();
    let run = load(peer.address, sessions, size, lasting).await;
    let all = before.1 + run.messages;
    while sink.received.load(Ordering::Relaxed) < all {
        let waited = start.elapsed();
        assert!(
            waited < Duration::from_secs(120),
            "{} lost or keeps some of {} messages",
            peer.name,
            run.messages
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let delivered = run.messages as f64 / start.elapsed().as_secs_f64();
    let cpu = (peer.cpu() - before.0) / run.messages.max(1) as f64 * 1000.0;
    Relayed { run, delivered, cpu }
}

fn row_of(name: &str, sessions: usize, size: usize, runs: &[Relayed], ours: &Row) -> String {
    let of = |value: &dyn Fn(&Relayed) -> f64| median(runs.iter().map(value).collect());
    let (delivered, cpu) = (of(&|run| run.delivered), of(&|run| run.cpu));
    format!(
        "| {name} | {sessions} | {size} | {:.0} | {delivered:.0} | {:.2} | {:.2} | {cpu:.2} | {:.1} x | {:.2} x |",
        of(&|run| run.run.rate()),
        of(&|run| run.run.percentile(0.50)),
        of(&|run| run.run.percentile(0.99)),
        ours.delivered / delivered,
        ours.cpu / cpu,
    )
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What one load run saw.
struct Run {
    messages: u64,
    elapsed: Duration,
    /// Milliseconds, sorted.
    latencies: Vec<f64>,
}

impl Run {
    fn rate(&self) -> f64 {
        self.messages as f64 / self.elapsed.as_secs_f64()
    }

    fn percentile(&self, share: f64) -> f64 {
        let at = (self.latencies.len() as f64 * share) as usize;
        self.latencies.get(at.min(self.latencies.len().saturating_sub(1))).copied().unwrap_or(0.0)
    }
}

/// Kept sessions that each send one message after the other for a while.
async fn load(address: SocketAddr, sessions: usize, size: usize, lasting: Duration) -> Run {
    let body = Arc::new(message(size));
    let start = Instant::now();
    let tasks: Vec<_> = (0..sessions)
        .map(|session| {
            let body = body.clone();
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                let mut latencies = Vec::new();
                let mut number = session * 7919;
                while start.elapsed() < lasting {
                    let sent = Instant::now();
                    client.send(number % RECIPIENTS, &body).await;
                    latencies.push(sent.elapsed().as_secs_f64() * 1000.0);
                    number += 1;
                }
                client.quit().await;
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("a session ended well"));
    }
    latencies.sort_by(f64::total_cmp);
    Run { messages: latencies.len() as u64, elapsed: start.elapsed(), latencies }
}

/// A newsletter of about `size` octets, multipart/alternative up to 100 KB, with an attachment above.
fn message(size: usize) -> Vec<u8> {
    let head = "From: Voorbeeld Hypotheken <nieuws@voorbeeldhypotheken.nl>\r\n\
        To: Lezer <lezer@example.org>\r\nSubject: Nieuwsbrief\r\nMIME-Version: 1.0\r\n\
        Date: Tue, 24 Nov 2026 10:00:00 +0100\r\nMessage-ID: <bench@voorbeeldhypotheken.nl>\r\n";
    let line = "De rente is deze maand gedaald, en dat is goed nieuws voor wie een huis zoekt.\r\n";
    if size <= 1_000 {
        let mut text = format!("{head}Content-Type: text/plain; charset=utf-8\r\n\r\n");
        while text.len() < size {
            text.push_str(line);
        }
        return text.into_bytes();
    }
    let body = size.min(20_000) / 2;
    let mut text = format!(
        "{head}Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n\
         Content-Type: multipart/alternative; boundary=a\r\n\r\n--a\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    );
    let grow = |text: &mut String, octets: usize| {
        let until = text.len() + octets;
        while text.len() < until {
            text.push_str(line);
        }
    };
    grow(&mut text, body);
    text.push_str("--a\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body><p>\r\n");
    grow(&mut text, body);
    text.push_str("</p></body></html>\r\n--a--\r\n");
    if size > 20_000 {
        text.push_str(
            "--m\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n",
        );
        while text.len() < size {
            text.push_str("JVBERi0xLjQKJcOkw7zDtsOfCjIgMCBvYmoKPDwvTGVuZ3RoIDMgMCBSL0ZpbHRlci9GbGF0ZURl\r\n");
        }
    }
    text.push_str("--m--\r\n");
    text.into_bytes()
}

struct Client {
    reader: BufReader<tokio::net::tcp::OwnedReadHalf>,
    writer: tokio::net::tcp::OwnedWriteHalf,
    line: String,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the port answers");
        stream.set_nodelay(true).expect("nodelay");
        let (reader, writer) = stream.into_split();
        let mut client = Self { reader: BufReader::new(reader), writer, line: String::new() };
        client.expect("220").await;
        client.writer.write_all(b"EHLO bench\r\n").await.expect("write");
        client.expect("250").await;
        client
    }

    async fn send(&mut self, recipient: usize, message: &[u8]) {
        self.send_to(recipient..recipient + 1, message).await;
    }

    /// One message to all of these.
    async fn send_to(&mut self, recipients: std::ops::Range<usize>, message: &[u8]) {
        let mut commands = "MAIL FROM:<nieuws@voorbeeldhypotheken.nl>\r\n".to_owned();
        for recipient in recipients.clone() {
            commands.push_str(&format!("RCPT TO:<r{recipient}@example.org>\r\n"));
        }
        commands.push_str("DATA\r\n");
        self.writer.write_all(commands.as_bytes()).await.expect("write");
        self.expect("250").await;
        for _ in recipients {
            self.expect("250").await;
        }
        self.expect("354").await;
        // The message has no line that begins with a dot.
        let mut data = Vec::with_capacity(message.len() + 3);
        data.extend_from_slice(message);
        data.extend_from_slice(b".\r\n");
        self.writer.write_all(&data).await.expect("write");
        self.expect("250").await;
    }

    async fn quit(mut self) {
        self.writer.write_all(b"QUIT\r\n").await.expect("write");
        self.expect("221").await;
    }

    async fn expect(&mut self, code: &str) {
        loop {
            self.line.clear();
            let read = self.reader.read_line(&mut self.line).await.expect("read");
            assert!(read > 0 && self.line.starts_with(code), "wanted {code}, got {:?}", self.line);
            if self.line.as_bytes().get(3) != Some(&b'-') {
                return;
            }
        }
    }
}

/// A fast next hop that throws everything away and counts.
struct Sink {
    address: SocketAddr,
    received: Arc<AtomicU64>,
}

impl Sink {
    async fn start() -> Self {
        Self::that_takes(Duration::ZERO).await
    }

    /// One that thinks about each message for so long.
    async fn that_takes(time: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let received = Arc::new(AtomicU64::new(0));
        let count = received.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(sink_session(stream, count.clone(), time));
            }
        });
        Self { address, received }
    }
}

async fn sink_session(stream: TcpStream, received: Arc<AtomicU64>, time: Duration) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::with_capacity(64 * 1024, reader);
    writer.write_all(b"220 sink ESMTP\r\n").await.ok()?;
    let mut line = Vec::new();
    let mut replies = Vec::new();
    loop {
        if reader.buffer().is_empty() && !replies.is_empty() {
            writer.write_all(&replies).await.ok()?;
            replies.clear();
        }
        line.clear();
        if reader.read_until(b'\n', &mut line).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&line).to_ascii_uppercase();
        match text.get(..4) {
            Some("EHLO") => replies.extend_from_slice(
                b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250 ENHANCEDSTATUSCODES\r\n",
            ),
            Some("DATA") => {
                replies.extend_from_slice(b"354 go ahead\r\n");
                writer.write_all(&replies).await.ok()?;
                replies.clear();
                loop {
                    line.clear();
                    if reader.read_until(b'\n', &mut line).await.ok()? == 0 {
                        return None;
                    }
                    if line == b".\r\n" {
                        break;
                    }
                }
                think(time).await;
                received.fetch_add(1, Ordering::Relaxed);
                replies.extend_from_slice(b"250 2.0.0 taken\r\n");
            }
            Some("BDAT") => {
                let mut words = text.split_ascii_whitespace().skip(1);
                let mut left: usize = words.next()?.parse().ok()?;
                while left > 0 {
                    let chunk = reader.fill_buf().await.ok()?;
                    if chunk.is_empty() {
                        return None;
                    }
                    let take = chunk.len().min(left);
                    reader.consume(take);
                    left -= take;
                }
                if words.next() == Some("LAST") {
                    think(time).await;
                    received.fetch_add(1, Ordering::Relaxed);
                }
                replies.extend_from_slice(b"250 2.0.0 taken\r\n");
            }
            Some("QUIT") => {
                replies.extend_from_slice(b"221 bye\r\n");
                writer.write_all(&replies).await.ok()?;
                return None;
            }
            _ => replies.extend_from_slice(b"250 2.0.0 ok\r\n"),
        }
    }
}

async fn think(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// A bare TCP splice: what a proxy that looks at nothing costs.
async fn splice(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((inbound, _)) = listener.accept().await {
            tokio::spawn(async move {
                let outbound = TcpStream::connect(to).await.ok()?;
                inbound.set_nodelay(true).ok()?;
                outbound.set_nodelay(true).ok()?;
                let (mut from_client, mut to_client) = inbound.into_split();
                let (mut from_sink, mut to_sink) = outbound.into_split();
                let there = tokio::spawn(async move { pump(&mut from_client, &mut to_sink).await });
                pump(&mut from_sink, &mut to_client).await;
                there.abort();
                Some(())
            });
        }
    });
    address
}

async fn pump(from: &mut tokio::net::tcp::OwnedReadHalf, to: &mut tokio::net::tcp::OwnedWriteHalf) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// How a gateway of the bench is set up.
struct Setup {
    algorithm: sluis::config::Algorithm,
    /// Connections to the next hop.
    connections: usize,
    /// A library that is loaded before all others, and what it reads in the environment.
    preload: Option<(std::path::PathBuf, &'static str, String)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { algorithm: sluis::config::Algorithm::Ed25519Sha256, connections: 64, preload: None }
    }
}

/// The real binary, serving from a folder of its own.
struct Gateway {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Gateway {
    async fn start(sink: SocketAddr, setup: &Setup) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let address = free_port();
        let config = write_config(folder.path(), address, sink, setup);
        import_consents(folder.path(), &config);
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluis"));
        command.args(["--config".as_ref(), config.as_os_str(), "serve".as_ref()]);
        if let Some((library, name, value)) = &setup.preload {
            command.env("LD_PRELOAD", library).env(name, value);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("the gateway starts");
        let gateway = Self { child, address, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).await.is_err() {
            assert!(Instant::now() < deadline, "the gateway did not answer within 30 s");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        gateway
    }

    /// CPU seconds so far.
    fn cpu(&self) -> f64 {
        cpu_of(self.child.id(), false)
    }

    /// KiB.
    fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or("");
        line.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU seconds of a process so far; `dead`: those of its children that ended, too.
fn cpu_of(pid: u32, dead: bool) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Fields 14 to 17 of proc(5), counted after the name in parentheses; ticks of 10 ms.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or("").split_ascii_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    let own = ticks(11) + ticks(12);
    (if dead { own + ticks(13) + ticks(14) } else { own }) / 100.0
}

fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound")
}

/// Everything on: consent, edits, a signature, two durable commits.
fn write_config(folder: &Path, address: SocketAddr, sink: SocketAddr, setup: &Setup) -> std::path::PathBuf {
    let page = free_port();
    let folder_text = folder.display();
    let (algorithm, connections) = (setup.algorithm.name(), setup.connections);
    sluis::app::keys::make_dkim(&folder.join("dkim.pem"), setup.algorithm).expect("a signing key");
    let config = format!(
        r#"name = "sluis.bench.example"
data = "{folder_text}/var"

[[listener]]
address = "{address}"
tls = "none"

[trusted]
networks = ["127.0.0.0/8"]

[relay]
next_hop = "{sink}"
tls = "none"
connections = {connections}
messages_per_connection = 100000

[unsubscribe]
listen = "{page}"
url = "http://{page}"

[limits]
connections = 1000
connections_per_ip = 1000
recipients = 1000
messages_per_hour = 1000000000

[log]
level = "warn"

[[dkim]]
domain = "voorbeeldhypotheken.nl"
selector = "bench"
algorithm = "{algorithm}"
key_file = "{folder_text}/dkim.pem"

[[sender]]
name = "Voorbeeld Hypotheken B.V."
trade_names = ["Voorbeeld Hypotheken"]
kvk = "12345678"
address = "Dorpsstraat 1, 1234 AB Ons Dorp"
contact = "info@voorbeeldhypotheken.nl"
domains = ["voorbeeldhypotheken.nl"]

[[rule]]
name = "newsletter"
match = {{ from = "nieuws@voorbeeldhypotheken.nl" }}
class = "marketing"
purpose = "nieuwsbrief"
"#
    );
    let file = folder.join("sluis.toml");
    std::fs::write(&file, config).expect("the config is written");
    file
}

/// Ten thousand consents, by the command an administrator would use.
fn import_consents(folder: &Path, config: &Path) {
    let mut csv = String::from("address,purpose,sender,act,text_sha256,source,at\n");
    let text = "7".repeat(64);
    for number in 0..RECIPIENTS {
        csv.push_str(&format!(
            "r{number}@example.org,nieuwsbrief,12345678,ticked_box,{text},https://voorbeeldhypotheken.nl/nieuws,2026-01-15T10:00:00Z\n"
        ));
    }
    let file = folder.join("consents.csv");
    std::fs::write(&file, csv).expect("the consents are written");
    let status = Command::new(env!("CARGO_BIN_EXE_sluis"))
        .arg("--config")
        .arg(config)
        .args(["consent", "import"])
        .arg(&file)
        .stdout(Stdio::null())
        .status()
        .expect("the import runs");
    assert!(status.success(), "the import failed");
}
