//! Lookups and decisions in a register of 1,000,000 addresses with two purposes each, beside plain redb lookups
//! in the same run; and a file of as many rows imported into a gateway that serves.
//!
//! `cargo bench --bench register` prints a Markdown table; `-- --addresses 10000000` takes another number,
//! `--import 0` leaves the import out, `--cache` is the MiB of pages that the store and the plain table may each keep
//! in memory (as `[ledger] cache`; 32), `--quick` takes 50,000 of both.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redb::{Database, ReadableDatabase as _, TableDefinition};
use sluis::clock::{Clock as _, SystemClock};
use sluis::config;
use sluis::consent::{Act, ConsentEvent, ConsentEventKind, Evidence};
use sluis::ledger::checkpoint::Signer;
use sluis::ledger::{Consented, Event, Record};
use sluis::mail::{Address, Purpose, ReversePath, SenderId};
use sluis::policy::{self, Answer, Connection, EnvelopeFacts, Facts, Profiles, Register as _, Rules};
use sluis::secret::SystemEntropy;
use sluis::store::{Settings, Store};

const SENDER: &str = "12345678";
const PURPOSE: &str = "nieuwsbrief";
/// The purposes that each address has a consent for.
const PURPOSES: [&str; 2] = [PURPOSE, "aanbiedingen"];
/// Records of one commit while the register is filled.
const BATCH: usize = 1_000;
const LASTING: Duration = Duration::from_secs(3);

fn main() {
    let usual = if std::env::args().any(|arg| arg == "--quick") { 50_000 } else { 1_000_000 };
    let (count, rows) = (flag("--addresses").unwrap_or(usual), flag("--import").unwrap_or(usual));
    let folder = tempfile::tempdir().expect("a folder");
    let signer = Signer::generate("bench", &SystemEntropy).expect("a key");
    let path = folder.path().join("sluis.redb");
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let mut settings = Settings::new(signer);
    if let Some(mib) = flag("--cache") {
        settings.cache_bytes = usize::try_from(mib << 20).expect("a size");
    }
    let cache = settings.cache_bytes;
    let store = Store::open(&path, settings, clock, entropy).expect("a store");

    let start = Instant::now();
    let mut number = 0;
    while number < count {
        let batch = (number..count.min(number + BATCH as u64))
            .map(|n| Record {
                events: PURPOSES.iter().map(|purpose| consent(n, purpose)).collect(),
                sides: Vec::new(),
            })
            .collect();
        store.write(batch).expect("a commit");
        number += BATCH as u64;
    }
    let filled = start.elapsed();
    let size = std::fs::metadata(&path).expect("the file").len();

    let (database, table) = plain(folder.path(), count, cache);
    let rules = rules();
    let addresses: Vec<Address> =
        (0..100_000u64).map(|n| address(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (count * 2))).collect();
    let sender = SenderId(SENDER.to_owned());

    let redb = rate(&addresses, |address| {
        let reading = database.begin_read().expect("a transaction");
        let found =
            reading.open_table(table).expect("the table").get(address.key().as_str()).expect("a read");
        found.is_some()
    });
    let profiles = rate(&addresses, |address| {
        !store.profile(&sender, address.key()).expect("a read").consents.is_empty()
    });
    let decisions = rate(&addresses, |address| decide(&store, &rules, address));

    println!("| what | per second, one thread | of plain redb | p99 µs | share with a consent |");
    println!("| --- | --- | --- | --- | --- |");
    for (what, one) in
        [("plain redb lookup", &redb), ("Register::profile", &profiles), ("decision at RCPT", &decisions)]
    {
        println!("| {what} | {:.0} | {:.2} | {:.1} | {:.2} |", one.0, one.0 / redb.0, one.1, one.2);
    }
    println!(
        "\n{count} addresses with {} purposes: filled in {:.1} s ({:.0} consents per second, durable commits of \
         {BATCH} addresses, ledger entries and tree included); the store has {} MiB, {} octets per address, and keeps \
         {} MiB of them in memory; this process had {} MiB at most.",
        PURPOSES.len(),
        filled.as_secs_f64(),
        (count * PURPOSES.len() as u64) as f64 / filled.as_secs_f64(),
        size >> 20,
        size / count,
        cache >> 20,
        peak("self"),
    );
    drop(store);
    if rows > 0 {
        import(rows);
    }
}

/// The number after `name` on the command line.
fn flag(name: &str) -> Option<u64> {
    let after = std::env::args().skip_while(|arg| arg != name).nth(1)?;
    Some(after.parse().expect("a number after the flag"))
}

/// The most memory that a process had, in MiB.
fn peak(process: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.trim().split(' ').next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) >> 10
}

/// Import a file of `rows` rows by the program itself, while a gateway serves.
fn import(rows: u64) {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::process::{Command, Stdio};
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("sluis.toml");
    let data = folder.path().join("var");
    let text = source()
        .replace("[relay]", &format!("data = {data:?}\n[unsubscribe]\nlisten = \"127.0.0.1:0\"\n[relay]"));
    std::fs::write(&config, text.replace("127.0.0.1:2525", "127.0.0.1:0")).expect("the config");
    let file = folder.path().join("list.csv");
    let mut csv = std::io::BufWriter::new(std::fs::File::create(&file).expect("the list"));
    writeln!(csv, "Email Address,First Name,OPTIN_TIME,OPTIN_IP").expect("a row");
    for number in 0..rows {
        writeln!(csv, "{},Naam {number},2024-01-02 03:04:05,192.0.2.1", address(number)).expect("a row");
    }
    csv.into_inner().expect("the list").sync_all().expect("the list");
    let sluis = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluis"));
        command
            .env("SLUIS_CONFIG", &config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    };
    let mut gateway = sluis().arg("serve").spawn().expect("a gateway");
    let mut said = BufReader::new(gateway.stdout.take().expect("its output"));
    said.read_line(&mut String::new()).expect("that it listens");
    let start = Instant::now();
    let mut command = sluis();
    command.arg("import").arg(&file).args(["--purpose", PURPOSE, "--attest", "the bench"]);
    let mut importer = command.spawn().expect("an import");
    let out = BufReader::new(importer.stdout.take().expect("its output"));
    let (mut told, mut memory) = (String::new(), 0);
    let done = loop {
        memory = memory.max(peak(&importer.id().to_string()));
        if let Some(done) = importer.try_wait().expect("its end") {
            break done;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let took = start.elapsed().as_secs_f64();
    out.lines().map_while(Result::ok).for_each(|line| told.push_str(&line));
    let gateway_memory = peak(&gateway.id().to_string());
    gateway.kill().expect("its end");
    gateway.wait().expect("its end");
    assert!(done.success() && told.contains(&format!("{rows} added")), "{told}");
    println!(
        "\nAn import of {rows} rows into a gateway that serves: {took:.1} s, {:.0} rows per second; the import had {memory} \
         MiB at most, the gateway {gateway_memory} MiB.",
        rows as f64 / took
    );
}

/// Calls per second, the 99th percentile in microseconds, and the share of calls that said yes.
fn rate(addresses: &[Address], mut call: impl FnMut(&Address) -> bool) -> (f64, f64, f64) {
    // Warm: each was read before, as far as the cache goes.
    for address in addresses {
        call(address);
    }
    let start = Instant::now();
    let (mut times, mut yes) = (Vec::new(), 0u64);
    for address in addresses.iter().cycle() {
        if start.elapsed() > LASTING {
            break;
        }
        let began = Instant::now();
        yes += u64::from(call(address));
        times.push(began.elapsed().as_nanos() as f64 / 1000.0);
    }
    let elapsed = start.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    (times.len() as f64 / elapsed, times[times.len() * 99 / 100], yes as f64 / times.len() as f64)
}

/// The whole decision at RCPT, the read included; whether the recipient may get the newsletter.
fn decide(store: &Store, rules: &Rules, recipient: &Address) -> bool {
    let connection =
        Connection { ip: std::net::Ipv4Addr::LOCALHOST.into(), account: None, senders: Vec::new() };
    let from = Address::parse("nieuws@voorbeeldhypotheken.nl").expect("an address");
    let envelope = EnvelopeFacts { reverse_path: ReversePath::Address(from) };
    let nothing = Profiles::default();
    let mut facts = Facts {
        connection: &connection,
        envelope: &envelope,
        recipient,
        message: None,
        profiles: &nothing,
        unsubscribe_fault: None,
        now: SystemClock.now(),
    };
    let profiles = Profiles(
        policy::senders_asked(rules, &facts)
            .into_iter()
            .map(|sender| {
                let profile = store.profile(&sender, recipient.key());
                (sender, profile)
            })
            .collect(),
    );
    facts.profiles = &profiles;
    !policy::screen(rules, &facts).is_some_and(|decision| matches!(decision.answer, Answer::Refuse(_)))
}

fn address(number: u64) -> Address {
    Address::parse(&format!("reader{number}@example{}.org", number % 997)).expect("an address")
}

fn consent(number: u64, purpose: &str) -> Event {
    let at = "2026-01-15T10:00:00Z".parse().expect("a time");
    Event::Consent(Consented {
        sender: SenderId(SENDER.to_owned()),
        purpose: Purpose(purpose.to_owned()),
        address: address(number).key().clone(),
        event: ConsentEvent {
            kind: ConsentEventKind::Grant,
            at,
            recorded_at: at,
            evidence: Evidence {
                text_sha256: Some("7".repeat(64)),
                act: Some(Act::TickedBox),
                source: Some("https://voorbeeldhypotheken.nl/nieuws".to_owned()),
                ..Evidence::default()
            },
        },
        source: "bench".to_owned(),
    })
}

/// The same keys in a redb table of their own, with 200 octets each.
fn plain(
    folder: &std::path::Path,
    count: u64,
    cache: usize,
) -> (Database, TableDefinition<'static, &'static str, &'static [u8]>) {
    let table = TableDefinition::new("plain");
    let database =
        Database::builder().set_cache_size(cache).create(folder.join("plain.redb")).expect("a database");
    let writing = database.begin_write().expect("a transaction");
    {
        let mut open = writing.open_table(table).expect("a table");
        for number in 0..count {
            open.insert(address(number).key().as_str(), [7u8; 200].as_slice()).expect("an insert");
        }
    }
    writing.commit().expect("a commit");
    (database, table)
}

fn rules() -> Rules {
    let environment = config::Environment::of_process(SystemClock.now());
    match config::parse(std::path::Path::new("bench.toml"), &source(), &environment) {
        Ok(settings) => settings.rules,
        Err(problems) => panic!("{problems}"),
    }
}

fn source() -> String {
    format!(
        "name = \"bench.example\"\n[relay]\nnext_hop = \"directory\"\n[trusted]\nnetworks = [\"127.0.0.1\"]\n[[listener]]\naddress = \"127.0.0.1:2525\"\n[[sender]]\nname = \"Voorbeeld \
         Hypotheken B.V.\"\nkvk = \"{SENDER}\"\naddress = \"Dorpsstraat 1\"\ncontact = \
         \"info@voorbeeldhypotheken.nl\"\ndomains = [\"voorbeeldhypotheken.nl\"]\n[[rule]]\nname = \"news\"\n\
         match = {{ envelope_from = \"nieuws@voorbeeldhypotheken.nl\" }}\nclass = \"marketing\"\nsender = \
         \"{SENDER}\"\npurpose = \"{PURPOSE}\"\n"
    )
}
