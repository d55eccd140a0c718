//! One-click POSTs per second, each durable before its answer, beside a bare axum handler that does one redb
//! commit for each; the 99th percentile with 1,000 at once; and what the page costs.
//!
//! `cargo bench --bench unsubscribe` prints a Markdown table; `-- --quick` sends a tenth.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::post;
use bytes::Bytes;
use jiff::Timestamp;
use redb::{Database, TableDefinition};
use sluis::clock::{SharedClock, SystemClock};
use sluis::ledger::checkpoint::Signer;
use sluis::ledger::{News, Record};
use sluis::mail::{Address, Purpose, Reference, Sender, SenderId};
use sluis::net::call::{Caller, Reach};
use sluis::net::http;
use sluis::net::tls::Trust;
use sluis::secret::SystemEntropy;
use sluis::shutdown::Shutdown;
use sluis::store::{self, Store};
use sluis::token::{Claim, Keys};
use sluis::unsubscribe::{self, Desk, Limits, Notices, Outside};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const TABLE: TableDefinition<&str, u64> = TableDefinition::new("gone");

/// Nobody is told: what is measured is the record.
#[derive(Debug)]
struct Nobody;

impl Notices for Nobody {
    fn compose(&self, _: News<'_>, _: &Sender) -> Record {
        Record::default()
    }

    fn pass_on(&self, _: &mut Record, _: &Address, _: Bytes) {}

    fn recorded(&self) {}
}

#[tokio::main]
async fn main() {
    let total = if std::env::args().any(|arg| arg == "--quick") { 2_000 } else { 20_000 };
    let folder = tempfile::tempdir().expect("a folder");
    let keys = Keys::generate(&SystemEntropy);
    let shutdown = Shutdown::new();
    let sluis = sluis(folder.path(), &keys, &shutdown).await;
    let bare = bare(folder.path(), &shutdown).await;

    println!("| what | at once | per second | p50 ms | p99 ms |");
    println!("| --- | --- | --- | --- | --- |");
    for at_once in [1, 50, 1_000] {
        // One at a time is as slow as the disk: fewer of them say as much.
        let count = if at_once == 1 { total / 10 } else { total };
        for (what, server, prefix) in
            [("bare axum, one redb commit each", bare, "bare"), ("sluis", sluis, "")]
        {
            let paths = (0..count).map(|number| match prefix {
                "" => format!("/u/{}", token(&keys, at_once, number)),
                _ => format!("/u/{at_once}-{number}"),
            });
            let (rate, p50, p99) = load(server, paths.collect(), at_once, "POST").await;
            println!("| {what} | {at_once} | {rate:.0} | {p50:.2} | {p99:.2} |");
        }
    }
    let path = format!("/u/{}", token(&keys, 0, 0));
    let size = size(sluis, &path).await;
    let (rate, p50, p99) = load(sluis, vec![path; total], 50, "GET").await;
    println!("| the page (GET) | 50 | {rate:.0} | {p50:.2} | {p99:.2} |");
    println!("\nThe page is one request of {size} octets, headers included.\n");
    compare(sluis, &keys, total).await;
    shutdown.request();
}

/// The page, over a real store.
async fn sluis(folder: &std::path::Path, keys: &Keys, shutdown: &Shutdown) -> SocketAddr {
    let signer = Signer::generate("bench", &SystemEntropy).expect("a key");
    let clock: SharedClock = Arc::new(SystemClock);
    let path = folder.join("sluis.redb");
    let settings = store::Settings::new(signer);
    let store = Store::open(&path, settings, clock.clone(), Arc::new(SystemEntropy)).expect("a store");
    let (scribe, _closing) = store.start().expect("a writer");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let caller = Caller::new(&Trust::Anybody, Reach::Anybody, Duration::from_secs(1)).expect("TLS");
    let settings = unsubscribe::Settings {
        keys: keys.clone(),
        senders: vec![sender()],
        looks: Vec::new(),
        outside: Outside { doors: Vec::new(), via: None, caller },
        hosts: Vec::new(),
        trusted_proxies: Vec::new(),
    };
    let (settings, seen) = watch::channel(Arc::new(settings));
    let desk = Arc::new(Desk::new(seen, Arc::new(store), scribe, Arc::new(Nobody), clock));
    let limits =
        Limits { http: http::Limits { connections: 2_000, ..http::Limits::default() }, ..Limits::default() };
    let stop = shutdown.clone();
    shutdown.spawn(async move {
        unsubscribe::run(listener, None, desk, Arc::new(SystemEntropy), limits, stop).await;
        drop(settings);
    });
    address
}

/// The least that keeps the same promise.
async fn bare(folder: &std::path::Path, shutdown: &Shutdown) -> SocketAddr {
    let database = Arc::new(Database::create(folder.join("bare.redb")).expect("a database"));
    let commit = async |State(database): State<Arc<Database>>, Path(token): Path<String>| {
        tokio::task::spawn_blocking(move || {
            let transaction = database.begin_write().expect("a transaction");
            transaction.open_table(TABLE).expect("the table").insert(token.as_str(), 1).expect("a row");
            transaction.commit().expect("a commit");
        })
        .await
        .expect("no panic");
        "Unsubscribed.\n"
    };
    let router = Router::new().route("/u/{token}", post(commit)).with_state(database);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let limits = http::Limits { connections: 2_000, ..http::Limits::default() };
    shutdown.spawn(http::serve(listener, None, router, limits, shutdown.clone()));
    address
}

/// Ask for all of `paths` over `at_once` connections; per second, and milliseconds at 50 and 99 percent.
async fn load(
    server: SocketAddr,
    paths: Vec<String>,
    at_once: usize,
    method: &'static str,
) -> (f64, f64, f64) {
    let mut shares: Vec<Vec<String>> = vec![Vec::new(); at_once];
    for (number, path) in paths.into_iter().enumerate() {
        shares[number % at_once].push(path);
    }
    let mut streams = Vec::with_capacity(at_once);
    for _ in 0..at_once {
        let stream = TcpStream::connect(server).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        streams.push(stream);
    }
    let start = Instant::now();
    let tasks: Vec<_> = shares
        .into_iter()
        .zip(streams)
        .map(|(share, mut stream)| {
            tokio::spawn(async move {
                let mut times = Vec::with_capacity(share.len());
                for path in share {
                    let asked = Instant::now();
                    let answer = ask(&mut stream, method, &path).await;
                    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
                    times.push(asked.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("no panic"));
    }
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64() * 1_000.0;
    (rate, at(50), at(99))
}

/// How long each kind of link that does not open takes, asked in turn over one connection: nobody may learn from
/// the clock how close a guess came.
async fn compare(server: SocketAddr, keys: &Keys, total: usize) {
    let token = token(keys, 0, 1);
    let altered = |at: usize| {
        let mut octets = token.clone().into_bytes();
        octets[at] = if octets[at] == b'0' { b'1' } else { b'0' };
        format!("/u/{}", String::from_utf8(octets).expect("digits"))
    };
    let foreign = Keys::generate(&SystemEntropy);
    let kinds = [
        ("foreign", format!("/u/{}", self::token(&foreign, 0, 1))),
        (
            "of a key that is not kept",
            format!("/u/{}", self::token(&keys.rotate(&SystemEntropy).expect("a key"), 0, 1)),
        ),
        ("of another version", altered(0)),
        ("altered in the claim", altered(token.len() / 2)),
        ("altered in the tag", altered(token.len() - 3)),
        ("truncated", format!("/u/{}", &token[..token.len() - 1])),
        ("in capitals", format!("/u/{}", token.to_uppercase())),
    ];
    let mut stream = TcpStream::connect(server).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    let mut times = vec![Vec::new(); kinds.len()];
    for round in 0..total {
        // In another order each time, so that none has a better place.
        for step in 0..kinds.len() {
            let kind = (round * 3 + step) % kinds.len();
            let asked = Instant::now();
            let answer = ask(&mut stream, "GET", &kinds[kind].1).await;
            times[kind].push(asked.elapsed());
            assert!(answer.starts_with(b"HTTP/1.1 404 "), "{}", String::from_utf8_lossy(&answer));
        }
    }
    println!("| a link that is | p25 us | p50 us | p75 us |");
    println!("| --- | --- | --- | --- |");
    for ((kind, _), mut times) in kinds.iter().zip(times) {
        times.sort_unstable();
        let at = |share: usize| times[times.len() * share / 100].as_secs_f64() * 1e6;
        println!("| {kind} | {:.1} | {:.1} | {:.1} |", at(25), at(50), at(75));
    }
}

async fn size(server: SocketAddr, path: &str) -> usize {
    let mut stream = TcpStream::connect(server).await.expect("a connection");
    ask(&mut stream, "GET", path).await.len()
}

/// One request, one answer.
async fn ask(stream: &mut TcpStream, method: &str, path: &str) -> Vec<u8> {
    let body = if method == "POST" { "List-Unsubscribe=One-Click" } else { "" };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut bytes = Vec::with_capacity(8_192);
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let (_, rest) = head.split_once("content-length: ").expect("a length");
            let length =
                rest.split("\r\n").next().and_then(|text| text.parse::<usize>().ok()).expect("a number");
            while bytes.len() < end + 4 + length {
                assert!(stream.read_buf(&mut bytes).await.expect("read") > 0, "the rest of the answer");
            }
            return bytes;
        }
        assert!(stream.read_buf(&mut bytes).await.expect("read") > 0, "an answer");
    }
}

fn token(keys: &Keys, round: usize, number: usize) -> String {
    let address = Address::parse(&format!("lezer{round}.{number}@example.org")).expect("an address");
    let claim = Claim {
        sender: SenderId("12345678".to_owned()),
        address: address.key().clone(),
        reference: Reference::new(Timestamp::UNIX_EPOCH, [7; 10]),
        purpose: Some(Purpose("nieuwsbrief".to_owned())),
    };
    keys.mint(&claim, &SystemEntropy)
}

fn sender() -> Arc<Sender> {
    Arc::new(Sender {
        id: SenderId("12345678".to_owned()),
        name: "Voorbeeld Hypotheken B.V.".to_owned(),
        trade_names: Vec::new(),
        kvk: "12345678".to_owned(),
        address: "Dorpsstraat 1, 1234 AB Ons Dorp".to_owned(),
        contact: Address::parse("info@voorbeeldhypotheken.nl").expect("an address"),
        domains: Vec::new(),
        notify: Vec::new(),
        language: sluis::mail::Language::Nl,
    })
}
