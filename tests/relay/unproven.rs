//! A gateway whose ledger takes admissions and no outcomes: what the client is told then (promises 1 and 2).

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sluis::clock::{ManualClock, SharedClock};
use sluis::gateway::{self, Client, Gateway, InForce, Submission};
use sluis::ledger::checkpoint::Signer;
use sluis::ledger::{Archive, Batch, Book, EntryNumber, RecordError, Scribe};
use sluis::limits::{LimitSettings, Limits};
use sluis::mail::{Body, Class, Envelope, Recipient, ReversePath, SessionId};
use sluis::message;
use sluis::policy::{Connection, Effect, Match, Rule, Rules};
use sluis::relay::{self, Spool, SpoolSettings};
use sluis::secret::SystemEntropy;
use sluis::shutdown::Shutdown;
use sluis::store::{self, Store};
use sluis::token::Keys;
use tokio::sync::watch;

use super::relay_to;
use super::support::next_hop::{Answer, NextHop};
use super::support::{address, sender};

/// A store that can be made to take no record with an outcome.
struct NoOutcomes {
    store: Store,
    fails: bool,
}

impl Book for NoOutcomes {
    fn commit(&mut self, batch: &mut Batch) -> Result<Vec<EntryNumber>, RecordError> {
        let mut events = batch.iter().flat_map(|record| record.events.iter());
        if self.fails && events.any(|event| event.outcome().is_some()) {
            return Err(RecordError::Store("the disk is full".to_owned()));
        }
        self.store.commit(batch)
    }
}

fn personal() -> Arc<Rules> {
    let class = Effect::Class { class: Class::Personal, sender: None, purpose: None, similar_to: Vec::new() };
    Arc::new(Rules {
        senders: vec![sender()],
        rules: vec![Rule { name: "all".to_owned(), matches: Match::default(), effect: class }],
        mode: Default::default(),
        on_refused: Default::default(),
        customer_window_months: 36,
        personal_max_recipients: 5,
        personal_max_alike: 20,
        strict_texts: false,
        hash: "00".repeat(32),
    })
}

fn settings() -> gateway::Settings {
    gateway::Settings {
        hostname: "gateway.example".to_owned(),
        unsubscribe_url: "https://gateway.example".to_owned(),
        unsubscribe_urls: Vec::new(),
        unsubscribe_mailto: None,
        patience: Duration::from_secs(20),
        queue_when_down: false,
        expire_after: SignedDuration::from_hours(24),
        spool_copies: 100,
        footers: Default::default(),
        structure: message::Limits::default(),
        max_received: 50,
        archive: Archive::default(),
        signers: Vec::new(),
        tokens: Keys::generate(&SystemEntropy),
    }
}

/// What the client is told of a message to a@ and b@, when the next hop has `second` to say about b@, and the
/// ledger takes outcomes or not.
async fn told(second: Option<&'static str>, fails: bool) -> String {
    let script = move |_, line: &str| {
        let refused = second.filter(|_| line.starts_with("RCPT TO:<b@"));
        refused.map(|text| Answer::Say(format!("{text}\r\n")))
    };
    let hop = NextHop::scripted(&["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"], script).await;
    let folder = tempfile::tempdir().unwrap();
    let at: Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
    let clock: SharedClock = Arc::new(ManualClock::at(at));
    let signer = Signer::generate("gateway.example", &SystemEntropy).unwrap();
    let store_settings = store::Settings::new(signer);
    let store =
        Store::open(&folder.path().join("store"), store_settings, clock.clone(), Arc::new(SystemEntropy))
            .unwrap();
    let (scribe, inbox) = Scribe::channel(64);
    let mut book = NoOutcomes { store: store.clone(), fails };
    let writer = std::thread::spawn(move || inbox.serve(&mut book, 64));

    let (relay, rules) = (relay_to(hop.address), personal());
    let in_force = Arc::new(InForce { rules: rules.clone(), settings: settings() });
    let spool = Spool::new(relay::Parts {
        relay: relay.clone(),
        view: Arc::new(store.clone()),
        scribe: scribe.clone(),
        register: Arc::new(store.clone()),
        rules: watch::channel(rules).1,
        seals: watch::channel(Arc::default()).1,
        tidings: Arc::new(crate::support::Silence),
        unsubscribe_fault: watch::channel(None).1,
        clock: clock.clone(),
        entropy: Arc::new(SystemEntropy),
        shutdown: Shutdown::new(),
        settings: SpoolSettings::new("gateway.example", address("postmaster@gateway.example")),
    });
    let gateway = Gateway::new(gateway::Parts {
        in_force: watch::channel(in_force).1,
        limits: Limits::new(LimitSettings::default(), &clock),
        register: Arc::new(store),
        scribe,
        relay,
        spool,
        unsubscribe_fault: watch::channel(None).1,
        clock,
        entropy: Arc::new(SystemEntropy),
    });
    let reply = gateway.admit(submission()).await;
    drop(gateway);
    writer.join().unwrap();
    reply.to_string()
}

fn submission() -> Submission {
    let connection = Connection { ip: [127, 0, 0, 1].into(), account: None, senders: Vec::new() };
    Submission {
        client: Client {
            session: SessionId::new([7; 8]),
            connection,
            helo: "desk".to_owned(),
            protocol: "ESMTP",
            tls: None,
            login: None,
        },
        envelope: Envelope {
            reverse_path: ReversePath::Address(address("jan@voorbeeldhypotheken.nl")),
            recipients: ["a@example.org", "b@example.org"].map(|to| Recipient::new(address(to))).into(),
            body: Body::default(),
            smtputf8: false,
            size: None,
            ret: None,
            envid: None,
        },
        message: "From: jan@voorbeeldhypotheken.nl\r\nSubject: Dag\r\n\r\nTot morgen.\r\n".into(),
    }
}

#[tokio::test]
async fn promise_2_who_waits_for_a_record_that_failed_makes_the_whole_temporary() {
    let full = Some("452 4.2.2 mailbox full");
    assert!(told(full, false).await.starts_with("250 "), "the other one waits in the spool");
    assert!(told(full, true).await.starts_with("451 4.3.0 "), "the other one is durable nowhere");
}

#[tokio::test]
async fn promise_2_what_nobody_waits_for_keeps_the_answer_of_the_next_hop() {
    assert!(told(None, true).await.starts_with("250 2.0.0 "), "all have it: sending it again would be worse");
}
