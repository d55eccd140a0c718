//! A whole gateway on free ports, with its own folder, in front of a next hop of the test's.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use sluis::app::Running;
use sluis::clock::{Clock, SharedClock, SystemClock};
use sluis::config;
use sluis::consent::{Act, ConsentEvent, ConsentEventKind, Evidence, Relation};
use sluis::ledger::{Consented, Event, Record, Related, Suppressed};
use sluis::mail::{AddressKey, Purpose, SenderId};
use sluis::secret::SystemEntropy;
use sluis::suppression::{Reason, Suppression};
use tempfile::TempDir;

use super::address;
use super::patience::Patience;
use super::smtp::Client;

/// The purpose of the newsletter rule.
pub const PURPOSE: &str = "nieuwsbrief";
/// MAIL FROM of the newsletter rule.
pub const NEWS: &str = "nieuws@voorbeeldhypotheken.nl";
/// MAIL FROM of the invoice rule.
pub const INVOICES: &str = "facturen@voorbeeldhypotheken.nl";
/// MAIL FROM of the rule for people.
pub const PERSON: &str = "sanne@voorbeeldhypotheken.nl";
/// The id of the sender.
pub const SENDER: &str = "12345678";

/// A gateway that runs.
pub struct TestGateway {
    pub running: Running,
    pub folder: TempDir,
}

/// The config of the tests; `extra` comes first, so it can hold top-level keys.
pub fn config_text(
    folder: &Path,
    listen: SocketAddr,
    next_hop: SocketAddr,
    page: SocketAddr,
    extra: &str,
    relay: &str,
) -> String {
    let data = folder.join("var");
    let data = data.display();
    let key = folder.join("dkim.pem");
    sluis::app::keys::make_dkim(&key, config::Algorithm::Ed25519Sha256).unwrap();
    let key = key.display();
    let tls = if relay.contains("tls = ") { "" } else { "tls = \"none\"" };
    format!(
        r#"name = "sluis.test"
data = "{data}"
{extra}

[[listener]]
address = "{listen}"
tls = "none"

[trusted]
networks = ["127.0.0.0/8"]

[relay]
next_hop = "{next_hop}"
{tls}
{relay}

[unsubscribe]
listen = "{page}"
url = "http://{page}"

[[dkim]]
domain = "voorbeeldhypotheken.nl"
selector = "test"
algorithm = "ed25519-sha256"
key_file = "{key}"

[[sender]]
name = "Voorbeeld Hypotheken B.V."
trade_names = ["Voorbeeld Hypotheken"]
kvk = "{SENDER}"
address = "Dorpsstraat 1, 1234 AB Ons Dorp"
contact = "info@voorbeeldhypotheken.nl"
domains = ["voorbeeldhypotheken.nl"]
notify = ["beheer@voorbeeldhypotheken.nl"]

[[rule]]
name = "newsletter"
match = {{ envelope_from = "{NEWS}" }}
class = "marketing"
sender = "{SENDER}"
purpose = "{PURPOSE}"
similar_to = ["hypotheek"]

[[rule]]
name = "invoices"
match = {{ envelope_from = "{INVOICES}" }}
class = "service"
sender = "{SENDER}"

[[rule]]
name = "people"
match = {{ envelope_from = "{PERSON}" }}
class = "personal"
"#
    )
}

/// A port that was free a moment ago.
pub fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl TestGateway {
    /// In front of `next_hop`, enforcing.
    pub async fn start(next_hop: SocketAddr) -> Self {
        Self::with(next_hop, "", "").await
    }

    /// With extra top-level keys, and extra keys of `[relay]`.
    pub async fn with(next_hop: SocketAddr, extra: &str, relay: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sluis.toml");
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let text = config_text(folder.path(), any_port, next_hop, free_port(), extra, relay);
        std::fs::write(&file, text).unwrap();
        let running = start(&file, Arc::new(SystemClock)).await;
        Self { running, folder }
    }

    /// At the time of `clock`, with a config that ends with `tail`.
    pub async fn at(next_hop: SocketAddr, clock: SharedClock, tail: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sluis.toml");
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let text = config_text(folder.path(), any_port, next_hop, free_port(), "", "");
        std::fs::write(&file, text + tail).unwrap();
        let running = start(&file, clock).await;
        Self { running, folder }
    }

    /// A session that has said EHLO.
    pub async fn client(&self) -> Client {
        Client::hello(self.running.submission()[0].address).await
    }

    /// Take `events` into the ledger, durably.
    pub async fn record(&self, events: Vec<Event>) {
        self.running.scribe().record(Record { events, sides: Vec::new() }).await.unwrap();
    }

    /// A consent of grade B for the newsletter, a month old.
    pub async fn consent(&self, who: &[&str]) {
        self.record(who.iter().map(|who| consented(who, ConsentEventKind::Grant, month_ago())).collect())
            .await;
    }

    /// A purchase of a mortgage, a month ago.
    pub async fn customer(&self, who: &str) {
        let relation = Relation {
            product: "hypotheek".to_owned(),
            last_purchase: month_ago(),
            recorded_at: month_ago(),
            opt_out_offered: true,
            given_in_sale: true,
            source: None,
        };
        let sender = SenderId(SENDER.to_owned());
        let related = Related { sender, address: key(who), relation, source: "test".to_owned() };
        self.record(vec![Event::Relation(related)]).await;
    }

    /// An objection.
    pub async fn suppress(&self, who: &str, reason: Reason) {
        let suppression = Suppression { reason, since: month_ago(), source: "test".to_owned() };
        let sender = SenderId(SENDER.to_owned());
        self.record(vec![Event::Suppression(Suppressed {
            sender,
            address: key(who),
            suppression,
            reference: None,
        })])
        .await;
    }

    /// All entries so far, in order.
    pub fn events(&self) -> Vec<Event> {
        let store = self.running.store();
        let size = store.size().unwrap();
        store.entries(0..size).unwrap().into_iter().map(|found| found.entry.event).collect()
    }

    /// The first event that `pick` takes, waiting for it.
    #[track_caller]
    pub fn wait_for<T>(&self, mut pick: impl FnMut(&Event) -> Option<T>) -> impl Future<Output = T> {
        let patience = Patience::new();
        async move {
            loop {
                if let Some(found) = self.events().iter().find_map(&mut pick) {
                    return found;
                }
                patience.check();
                // A record of nothing is durable only after all that was handed over before it.
                self.record(Vec::new()).await;
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Start a gateway from a config file.
pub async fn start(file: &Path, clock: SharedClock) -> Running {
    let environment = config::Environment::of_process(clock.now());
    let settings = config::load(file, &environment).unwrap_or_else(|problems| panic!("{problems}"));
    Running::start(settings, clock, Arc::new(SystemEntropy)).await.unwrap()
}

/// The key of an address.
pub fn key(who: &str) -> AddressKey {
    address(who).key().clone()
}

/// A month before now.
pub fn month_ago() -> Timestamp {
    SystemClock.now() - jiff::SignedDuration::from_hours(30 * 24)
}

/// A consent event for the newsletter.
pub fn consented(who: &str, kind: ConsentEventKind, at: Timestamp) -> Event {
    Event::Consent(Consented {
        sender: SenderId(SENDER.to_owned()),
        purpose: Purpose(PURPOSE.to_owned()),
        address: key(who),
        event: ConsentEvent {
            kind,
            at,
            recorded_at: at,
            evidence: Evidence {
                text_sha256: Some("7".repeat(64)),
                act: Some(Act::TickedBox),
                source: Some("https://voorbeeldhypotheken.nl/nieuws".to_owned()),
                ..Evidence::default()
            },
        },
        source: "test".to_owned(),
    })
}

/// A message from `from` with `text` in its body.
pub fn message(from: &str, text: &str) -> String {
    format!(
        "From: Voorbeeld Hypotheken <{from}>\r\nTo: lezer@example.org\r\nSubject: Nieuws\r\n\
         Date: Tue, 24 Nov 2026 10:00:00 +0100\r\nMessage-ID: <m{}@voorbeeldhypotheken.nl>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n",
        text.len()
    )
}
