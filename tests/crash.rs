//! kill -9 of the real binary in the middle of a load, again and again, and a check of promises 1, 2 and 8
//! after each restart.

mod support;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluis::app::keys::KeyFolder;
use sluis::clock::SystemClock;
use sluis::ledger::Event;
use sluis::mail::CopyId;
use sluis::mail::{hex, sha256};
use sluis::secret::SystemEntropy;
use sluis::store::{Settings, Store};
use support::gateway::{INVOICES, NEWS, config_text, free_port};
use support::next_hop::{Answer, Captured, EVERYTHING, Moment, NextHop};
use support::smtp::Client;
use tokio::sync::Notify;

/// Addresses with a consent.
const READERS: usize = 50;
/// Longest wait for anything; a run takes a small part of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client was told 250 for: the Message-ID and its recipients.
type Acknowledged = Arc<Mutex<Vec<(String, Vec<String>)>>>;

struct House {
    folder: tempfile::TempDir,
    config: PathBuf,
    listen: SocketAddr,
}

impl House {
    fn build(next_hop: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listen = free_port();
        // A client with several copies is told "queued" soon, so that the spool has something to lose.
        let relay = "retry = [\"1s\"]\npatience = \"20ms\"\nqueue_when_down = true";
        let text = config_text(folder.path(), listen, next_hop, free_port(), "", relay);
        let config = folder.path().join("sluis.toml");
        std::fs::write(&config, text).unwrap();
        let house = Self { folder, config, listen };
        house.import_consents();
        house
    }

    fn sluis(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluis"));
        command.arg("--config").arg(&self.config);
        command
    }

    fn import_consents(&self) {
        let mut csv = String::from("address,purpose,sender,act,text_sha256,source,at\n");
        for reader in 0..READERS {
            let text = "7".repeat(64);
            csv.push_str(&format!(
                "r{reader}@example.org,nieuwsbrief,12345678,ticked_box,{text},https://x.nl/,2026-01-15T10:00:00Z\n"
            ));
        }
        let file = self.folder.path().join("consents.csv");
        std::fs::write(&file, csv).unwrap();
        let output = self.sluis().args(["consent", "import"]).arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Start the binary, and wait until it says that it listens.
    fn serve(&self) -> Child {
        let mut child =
            self.sluis().arg("serve").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines.map_while(Result::ok).find(|line| line.starts_with("next hop"));
        assert!(said.is_some(), "the gateway ended before it listened: {:?}", child.wait());
        child
    }

    fn open_store(&self) -> Store {
        let data = self.data();
        let signer = KeyFolder::open(&data).unwrap().ledger("sluis.test", &SystemEntropy).unwrap();
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
        Store::open(&data.join("sluis.redb"), Settings::new(signer), clock, entropy).unwrap()
    }

    fn data(&self) -> PathBuf {
        Path::join(self.folder.path(), "var")
    }
}

/// Sessions that send until the gateway is gone, and note what was acknowledged.
async fn load(
    listen: SocketAddr,
    round: usize,
    acknowledged: &Acknowledged,
    enough: &Arc<Notify>,
    wanted: usize,
) {
    let count = Arc::new(AtomicUsize::new(0));
    for session in 0..8 {
        let (acknowledged, enough, count) = (acknowledged.clone(), enough.clone(), count.clone());
        tokio::spawn(async move {
            let mut client = Client::hello(listen).await;
            for number in 0.. {
                let id = format!("{round}.{session}.{number}@crash.test");
                let reader =
                    |offset: usize| format!("r{}@example.org", (session + number + offset) % READERS);
                let (from, to) = match number % 3 {
                    0 => (NEWS, vec![reader(0)]),
                    1 => (NEWS, vec![reader(0), reader(1), reader(2)]),
                    _ => (INVOICES, vec![format!("k{number}@example.org")]),
                };
                // The client panics when the gateway dies: the task ends, and nothing was acknowledged.
                let names: Vec<&str> = to.iter().map(String::as_str).collect();
                if client.submit(from, &names, message(from, &id)).await.code == 250 {
                    acknowledged.lock().unwrap().push((id, to));
                    if count.fetch_add(1, Ordering::SeqCst) + 1 == wanted {
                        enough.notify_one();
                    }
                }
            }
        });
    }
    tokio::time::timeout(PATIENCE, enough.notified()).await.expect("the load gets its acknowledgements");
}

fn message(from: &str, id: &str) -> String {
    format!(
        "From: Voorbeeld Hypotheken <{from}>\r\nTo: x@example.org\r\nSubject: s\r\nMessage-ID: <{id}>\r\n\
         Date: Tue, 24 Nov 2026 10:00:00 +0100\r\n\r\nDag\r\n"
    )
}

/// Message-ID and recipient of each copy that the next hop has, with the hashes of what it has.
#[derive(Default)]
struct Arrived(HashMap<(String, String), HashSet<String>>);

impl Arrived {
    fn note(&mut self, captured: &Captured) {
        let text = String::from_utf8_lossy(&captured.data);
        let id = text.split("Message-ID: <").nth(1).and_then(|rest| rest.split('>').next());
        let hash = hex(&sha256(&captured.data));
        for rcpt in &captured.rcpt {
            let to = rcpt.split(['<', '>']).nth(1).unwrap().to_owned();
            self.0.entry((id.unwrap_or_default().to_owned(), to)).or_default().insert(hash.clone());
        }
    }

    fn lacks(&self, acknowledged: &Acknowledged) -> Option<(String, String)> {
        let acknowledged = acknowledged.lock().unwrap();
        acknowledged
            .iter()
            .flat_map(|(id, to)| to.iter().map(move |to| (id.clone(), to.clone())))
            .find(|key| !self.0.contains_key(key))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promises_1_2_and_8_hold_after_kill_9_in_the_middle_of_a_load() {
    // Some final dots get no answer, and some transactions a 4xx, so that every kind of state is there
    // when the kill comes.
    let count = AtomicUsize::new(0);
    let mut next_hop = NextHop::scripted(EVERYTHING, move |moment, _| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        match (moment, number % 23) {
            (Moment::End, 0..2) => Some(Answer::HangUp),
            (Moment::End, 2..4) => Some(Answer::Say("451 4.3.0 not now\r\n".to_owned())),
            _ => None,
        }
    })
    .await;
    let house = House::build(next_hop.address);
    let acknowledged = Acknowledged::default();
    let mut arrived = Arrived::default();
    for (round, wanted) in [25, 60, 120].into_iter().enumerate() {
        let mut child = house.serve();
        let enough = Arc::new(Notify::new());
        load(house.listen, round, &acknowledged, &enough, wanted).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }

    // Promise 2: after a restart, every acknowledged message arrives.
    let mut child = house.serve();
    while let Some(missing) = arrived.lacks(&acknowledged) {
        let next = tokio::time::timeout(PATIENCE, next_hop.next()).await;
        arrived.note(&next.unwrap_or_else(|_| panic!("acknowledged and lost: {missing:?}")));
    }
    stop(&mut child);
    while let Some(captured) = next_hop.try_next() {
        arrived.note(&captured);
    }

    let store = house.open_store();
    let entries = store.entries(0..store.size().unwrap()).unwrap();
    let mut admitted: HashMap<(String, String), HashSet<String>> = HashMap::new();
    let mut silent: HashSet<CopyId> = HashSet::new();
    for event in entries.iter().map(|found| &found.entry.event) {
        match event {
            Event::Admitted(one) => {
                silent.insert(one.copy);
                let id = one.message_id.clone().unwrap_or_default();
                for recipient in &one.recipients {
                    let key = (id.trim_matches(['<', '>']).to_owned(), recipient.recipient.to_string());
                    admitted.entry(key).or_default().insert(one.sent_sha256.clone());
                }
            }
            Event::Relayed(outcome)
            | Event::Bounced(outcome)
            | Event::Delayed(outcome)
            | Event::InDoubt(outcome)
            | Event::Cancelled(outcome) => {
                silent.remove(&outcome.copy);
            }
            _ => {}
        }
    }
    // Promise 1: nothing arrived that was not admitted, byte for byte; and nothing ended in silence.
    for (key, hashes) in &arrived.0 {
        let proven = admitted.get(key).unwrap_or_else(|| panic!("{key:?} arrived and was never admitted"));
        assert!(hashes.is_subset(proven), "{key:?} arrived with other bytes than were admitted");
    }
    assert!(silent.is_empty(), "admitted, and then nothing: {silent:?}");
    // Promise 8: the ledger holds together.
    let findings = store.verify_all(&[]).unwrap();
    assert!(findings.is_sound(), "{:?}", findings.problems);
}

/// SIGTERM, as a service manager does, and wait for the end.
fn stop(child: &mut Child) {
    let status = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    assert!(child.wait().unwrap().success(), "a graceful stop ends well");
}
