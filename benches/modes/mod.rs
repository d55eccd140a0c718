//! Questions of their own, each a table of ratios within one run; a mode leaves out and names what it lacks.
//!
//! * `--rsa`: signed with rsa-2048, beside `openssl speed rsa2048` and bare aws-lc signatures on all cores.
//! * `--many`: one message to 500 recipients, a copy for each, beside Postfix with one recipient to a delivery.
//! * `--slow-disk`: with each fsync 2 ms slower, beside the same without.
//! * `--slow-hop`: in front of a next hop that takes 20 ms for a message; only connections should limit that.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use sluis::config::Algorithm;

use super::{Client, Gateway, Setup, Sink, load, median, message, peers};

/// The size of a message, in octets.
const SIZE: usize = 1_000;
/// What an fsync takes longer.
const SLOWER: Duration = Duration::from_millis(2);
/// What the slow next hop takes for a message.
const THINKS: Duration = Duration::from_millis(20);

/// How long, how often, and how much of everything.
struct Scale {
    seconds: Duration,
    rounds: usize,
    sessions: Vec<usize>,
    recipients: usize,
}

/// Do what the arguments ask for; false when they ask for no mode.
pub async fn run(arguments: &[String], quick: bool) -> bool {
    let scale = match quick {
        true => Scale { seconds: Duration::from_millis(500), rounds: 1, sessions: vec![8], recipients: 20 },
        false => {
            Scale { seconds: Duration::from_secs(3), rounds: 3, sessions: vec![50, 200], recipients: 500 }
        }
    };
    let asked = |mode: &str| arguments.iter().any(|argument| argument == mode);
    let mut any = false;
    if asked("--rsa") {
        (any, ()) = (true, rsa(&scale).await);
    }
    if asked("--many") {
        (any, ()) = (true, many(&scale).await);
    }
    if asked("--slow-disk") {
        (any, ()) = (true, slow_disk(&scale).await);
    }
    if asked("--slow-hop") {
        (any, ()) = (true, slow_hop(&scale).await);
    }
    any
}

/// Messages per second, rsa-2048 signatures per second of aws-lc and of openssl, by turns.
async fn rsa(scale: &Scale) {
    let sink = Sink::start().await;
    let setup = Setup { algorithm: Algorithm::RsaSha256, ..Setup::default() };
    let gateway = Gateway::start(sink.address, &setup).await;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("rsa-2048, {SIZE} octets, signatures on {cores} cores\n");
    println!(
        "| sessions | sluis msg/s | aws-lc sign/s | openssl sign/s | of aws-lc | of openssl | CPU s/1000 |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let mut missing = false;
    for &sessions in &scale.sessions {
        let (mut ours, mut bare, mut openssl, mut cpu) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..scale.rounds {
            let before = gateway.cpu();
            let run = load(gateway.address, sessions, SIZE, scale.seconds).await;
            cpu.push((gateway.cpu() - before) / run.messages.max(1) as f64 * 1000.0);
            ours.push(run.rate());
            bare.push(signatures(cores, scale.seconds));
            openssl.push(openssl_speed(cores, scale.seconds));
        }
        missing |= openssl.contains(&None);
        let (ours, bare) = (median(ours), median(bare));
        let openssl = openssl.into_iter().collect::<Option<Vec<_>>>().map(median);
        let (rate, ratio) = match openssl {
            Some(rate) => (format!("{rate:.0}"), format!("{:.2}", ours / rate)),
            None => Default::default(),
        };
        println!(
            "| {sessions} | {ours:.0} | {bare:.0} | {rate} | {:.2} | {ratio} | {:.2} |",
            ours / bare,
            median(cpu)
        );
    }
    if missing {
        println!("\nLeft out, because it is not installed or says nothing that can be read: openssl");
    }
}

/// Bare signatures per second of aws-lc, on so many threads.
fn signatures(threads: usize, lasting: Duration) -> f64 {
    let key = KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let start = Instant::now();
    let one = || {
        let (random, mut signature) = (SystemRandom::new(), vec![0; key.public_modulus_len()]);
        let mut count = 0_u64;
        while start.elapsed() < lasting {
            key.sign(&RSA_PKCS1_SHA256, &random, b"what a header hashes to", &mut signature)
                .expect("a signature");
            count += 1;
        }
        count
    };
    let count: u64 = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        all.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    count as f64 / start.elapsed().as_secs_f64()
}

/// What `openssl speed` says of rsa-2048; `None` when it is not there.
fn openssl_speed(processes: usize, lasting: Duration) -> Option<f64> {
    let seconds = lasting.as_secs().max(1).to_string();
    let output = Command::new("openssl")
        .args(["speed", "-seconds", &seconds, "-multi", &processes.to_string(), "rsa2048"])
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // rsa  2048 bits 0.000278s 0.000008s   3597.2 120000.0: seconds a signature and a check, and how many in one. Newer
    // ones have two columns more. The first that is no time is how many signatures.
    let line =
        said.lines().find(|line| line.trim_start().starts_with("rsa") && line.contains("2048 bits"))?;
    line.split("bits").nth(1)?.split_ascii_whitespace().find_map(|word| word.parse().ok())
}

/// Copies per second of messages to many, until the sink has them all.
async fn many(scale: &Scale) {
    let sink = Sink::start().await;
    let gateway = Gateway::start(sink.address, &Setup::default()).await;
    let (peers, missing) = peers::start(sink.address, &["postfix"], &[("RECIPIENT_LIMIT", "1")]);
    let recipients = scale.recipients;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..=scale.rounds {
        ours.push(copies(gateway.address, &sink, recipients).await);
        for peer in &peers {
            theirs.push(copies(peer.address, &sink, recipients).await);
        }
    }
    // Once unseen: both have to make their connections first.
    let ours = median(ours.split_off(1));
    println!("one message to {recipients} recipients, {SIZE} octets, a copy for each\n");
    println!("| relay | copies/s | sluis |\n| --- | --- | --- |\n| sluis | {ours:.0} | 1.0 x |");
    if theirs.len() > 1 {
        let theirs = median(theirs.split_off(1));
        println!("| postfix, recipient limit 1 | {theirs:.0} | {:.1} x |", ours / theirs);
    }
    for name in missing {
        println!("\nLeft out, because it is not installed: {name}");
    }
}

/// Submit one message to so many; copies per second until the sink has one for each.
async fn copies(address: std::net::SocketAddr, sink: &Sink, recipients: usize) -> f64 {
    let before = sink.received.load(Ordering::Relaxed);
    let mut client = Client::connect(address).await;
    let start = Instant::now();
    client.send_to(0..recipients, &message(SIZE)).await;
    while sink.received.load(Ordering::Relaxed) < before + recipients as u64 {
        assert!(start.elapsed() < Duration::from_secs(300), "some of {recipients} copies never came");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let rate = recipients as f64 / start.elapsed().as_secs_f64();
    client.quit().await;
    rate
}

/// The same load on two gateways by turns, one of which has a slower disk.
async fn slow_disk(scale: &Scale) {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(library) = slow_fsync(folder.path()) else {
        println!("Left out, because there is no C compiler (cc): a slower disk");
        return;
    };
    let sink = Sink::start().await;
    let fast = Gateway::start(sink.address, &Setup::default()).await;
    let preload = Some((library, "SLOW_FSYNC_US", SLOWER.as_micros().to_string()));
    let slow = Gateway::start(sink.address, &Setup { preload, ..Setup::default() }).await;
    println!("each fsync {} ms slower, {SIZE} octets\n", SLOWER.as_millis());
    println!("| sessions | msg/s | msg/s slower | slower of other | p50 ms | p50 ms slower |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for &sessions in &scale.sessions {
        let (mut rates, mut middles) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        for _ in 0..scale.rounds {
            for (at, gateway) in [&fast, &slow].into_iter().enumerate() {
                let run = load(gateway.address, sessions, SIZE, scale.seconds).await;
                rates[at].push(run.rate());
                middles[at].push(run.percentile(0.5));
            }
        }
        let ([fast, slow], [fast_middle, slow_middle]) = (rates.map(median), middles.map(median));
        println!(
            "| {sessions} | {fast:.0} | {slow:.0} | {:.2} | {fast_middle:.2} | {slow_middle:.2} |",
            slow / fast
        );
    }
}

/// Build the library that slows fsync down; `None` without a compiler.
fn slow_fsync(folder: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/modes/slow_fsync.c");
    let library = folder.join("slow_fsync.so");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(source).status();
    let built = built.ok()?;
    assert!(built.success(), "cc cannot build slow_fsync.c");
    Some(library)
}

/// What comes through beside what the connections can carry.
async fn slow_hop(scale: &Scale) {
    let sink = Sink::that_takes(THINKS).await;
    println!("a next hop that takes {} ms for a message, {SIZE} octets\n", THINKS.as_millis());
    println!("| sessions | connections | msg/s | connections carry | of that |");
    println!("| --- | --- | --- | --- | --- |");
    for &sessions in &scale.sessions {
        // Fewer connections than sessions: they are what there is too little of.
        let connections = sessions / 2;
        let gateway = Gateway::start(sink.address, &Setup { connections, ..Setup::default() }).await;
        let mut rates = Vec::new();
        for _ in 0..scale.rounds {
            rates.push(load(gateway.address, sessions, SIZE, scale.seconds).await.rate());
        }
        let (rate, bound) = (median(rates), connections as f64 / THINKS.as_secs_f64());
        println!("| {sessions} | {connections} | {rate:.0} | {bound:.0} | {:.2} |", rate / bound);
    }
}
