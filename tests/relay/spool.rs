//! The spool over a real store: what is durable when, what is cancelled, who is told.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mail_parser::{MessageParser, MimeHeaders};
use sluis::clock::{Clock, ManualClock};
use sluis::consent::{Act, ConsentEvent, ConsentEventKind, Evidence};
use sluis::ledger::checkpoint::Signer;
use sluis::ledger::{Admitted, AdmittedRecipient, Event, Keep, Record, Scribe, Side, SpoolState, Spooled};
use sluis::mail::{AddressKey, Class, Notify, Purpose, Recipient, ReversePath, SenderId};
use sluis::policy::{Basis, ConsentHistory, Profile, Register, Rules, Unavailable};
use sluis::relay::dsn::{self, Returned};
use sluis::relay::{Copy, FirstTry, InDoubt, Parts, Relay, Routes, Spool, SpoolSettings, SpoolView};
use sluis::secret::{Secret, SystemEntropy};
use sluis::shutdown::Shutdown;
use sluis::smtp::sasl::{Credentials, Mechanism};
use sluis::store::{self, Store};
use sluis::suppression::{Reason, Suppression};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::hops::in_order;
use super::support::next_hop::{Answer, EVERYTHING, Moment, NextHop};
use super::support::{address, sender};
use super::{copy_id, copy_of, plain, relay_to, settings};

const MESSAGE: &str =
    "From: Voorbeeld Hypotheken <nieuws@voorbeeldhypotheken.nl>\r\nSubject: Nieuws\r\n\r\nHallo\r\n";
const LONG: Duration = Duration::from_secs(60);

fn start() -> Timestamp {
    "2026-03-01T10:00:00Z".parse().unwrap()
}

/// Everybody consented; who is suppressed may change.
#[derive(Debug, Default)]
struct People {
    suppressed: Mutex<HashSet<AddressKey>>,
    gone: AtomicBool,
}

impl Register for People {
    fn profile(&self, _: &SenderId, address: &AddressKey) -> Result<Profile, Unavailable> {
        if self.gone.load(Ordering::SeqCst) {
            return Err(Unavailable("no disk".to_owned()));
        }
        let at = start() - SignedDuration::from_hours(24);
        let event = |kind| ConsentEvent {
            kind,
            at,
            recorded_at: at,
            evidence: Evidence {
                text_sha256: Some("00".repeat(32)),
                privacy_version: Some("1".to_owned()),
                act: Some(Act::TickedBox),
                source: Some("https://voorbeeldhypotheken.nl".to_owned()),
                ..Evidence::default()
            },
        };
        let events = vec![event(ConsentEventKind::Grant), event(ConsentEventKind::Confirm)];
        let mut profile = Profile {
            consents: vec![ConsentHistory { purpose: Purpose("nieuwsbrief".to_owned()), events }],
            ..Profile::default()
        };
        if self.suppressed.lock().unwrap().contains(address) {
            let since = start();
            profile.suppressions =
                vec![Suppression { reason: Reason::Unsubscribed, since, source: "one_click".to_owned() }];
        }
        Ok(profile)
    }
}

struct House {
    folder: tempfile::TempDir,
    store: Store,
    closing: store::Closing,
    scribe: Scribe,
    spool: Spool,
    clock: Arc<ManualClock>,
    people: Arc<People>,
    shutdown: Shutdown,
    _rules: watch::Sender<Arc<Rules>>,
}

fn rules() -> Arc<Rules> {
    Arc::new(Rules {
        senders: vec![sender()],
        rules: Vec::new(),
        mode: Default::default(),
        on_refused: Default::default(),
        customer_window_months: 36,
        personal_max_recipients: 5,
        personal_max_alike: 20,
        strict_texts: false,
        hash: "00".repeat(32),
    })
}

fn open_store(folder: &std::path::Path, clock: Arc<ManualClock>) -> Store {
    let key = folder.join("key");
    let signer = match std::fs::read_to_string(&key) {
        Ok(text) => Signer::parse(&text).unwrap(),
        Err(_) => {
            let signer = Signer::generate("gateway.example", &SystemEntropy).unwrap();
            std::fs::write(&key, signer.key_text().expose()).unwrap();
            signer
        }
    };
    let settings = store::Settings::new(signer);
    Store::open(&folder.join("store"), settings, clock, Arc::new(SystemEntropy)).unwrap()
}

impl House {
    fn open(relay: Relay) -> Self {
        Self::with(relay, |_| {})
    }

    fn with(relay: Relay, change: impl FnOnce(&mut SpoolSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(start()));
        let store = open_store(folder.path(), clock.clone());
        Self::build(folder, store, clock, relay, change)
    }

    fn build(
        folder: tempfile::TempDir,
        store: Store,
        clock: Arc<ManualClock>,
        relay: Relay,
        change: impl FnOnce(&mut SpoolSettings),
    ) -> Self {
        let (scribe, closing) = store.start().unwrap();
        let people = Arc::new(People::default());
        let shutdown = Shutdown::new();
        let (sender, receiver) = watch::channel(rules());
        let mut settings = SpoolSettings::new("gateway.example", address("postmaster@gateway.example"));
        settings.first_pause = Duration::from_millis(1);
        settings.longest_pause = Duration::from_millis(1);
        change(&mut settings);
        let spool = Spool::new(Parts {
            relay,
            view: Arc::new(store.clone()),
            scribe: scribe.clone(),
            register: people.clone(),
            rules: receiver,
            seals: watch::channel(Arc::default()).1,
            tidings: Arc::new(crate::support::Silence),
            unsubscribe_fault: watch::channel(None).1,
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy),
            shutdown: shutdown.clone(),
            settings,
        });
        Self { folder, store, closing, scribe, spool, clock, people, shutdown, _rules: sender }
    }

    fn work(&self) {
        let spool = self.spool.clone();
        tokio::spawn(async move { spool.run().await });
    }

    /// Admit copies of one message, in the spool as being tried, as the gateway does.
    async fn admit(&self, recipients: &[&str], state: SpoolState) -> Vec<(Copy, Spooled)> {
        let mut record = Record::default();
        let mut copies = Vec::new();
        for (index, text) in recipients.iter().enumerate() {
            let mut copy = copy_of(MESSAGE, &[text]);
            copy.id = copy_id(index as u32);
            let original_sha256 = copy.rope.sha256();
            if index == 0 {
                let bytes = copy.rope.original().clone();
                record.sides.push(Side::Original { sha256: original_sha256, bytes });
            }
            let rope = copy.rope.clone();
            record.sides.push(Side::Edits { copy: copy.id, original_sha256, rope, keep: Keep::Full });
            let spooled = Spooled {
                copy: copy.id,
                class: Class::Marketing,
                sender: Some(sender().id.clone()),
                purpose: Some(Purpose("nieuwsbrief".to_owned())),
                rule: None,
                reverse_path: copy.reverse_path.clone(),
                recipients: vec![Recipient::new(address(text))],
                ret: None,
                envid: None,
                original_sha256,
                eight_bit: false,
                smtputf8: false,
                state: state.clone(),
                attempts: 1,
                admitted_at: self.clock.now(),
                expires_at: self.clock.now() + SignedDuration::from_hours(24),
                last_reply: String::new(),
                account: None,
                delay_told: false,
            };
            record.sides.push(Side::Spool(Box::new(spooled.clone())));
            record.events.push(admitted(&copy));
            copies.push((copy, spooled));
        }
        self.scribe.record(record).await.unwrap();
        copies
    }

    /// Put copies into the spool, due now, each with what `change` makes of it.
    async fn wait_with(&self, recipients: &[&str], change: impl Fn(&mut Spooled)) {
        let copies = self.admit(recipients, SpoolState::Waiting { next: self.clock.now() }).await;
        let change = |(_, mut spooled): (Copy, Spooled)| {
            change(&mut spooled);
            Side::Spool(Box::new(spooled))
        };
        let sides = copies.into_iter().map(change).collect();
        self.scribe.record(Record { events: Vec::new(), sides }).await.unwrap();
    }

    async fn deliver_first(&self, recipients: &[&str]) -> FirstTry {
        let copies = self.admit(recipients, SpoolState::Trying).await;
        self.spool.deliver_first(copies, &returned(), LONG, false).await
    }

    /// Entries of the copies of the message itself (not of DSNs), as words.
    fn story(&self) -> Vec<String> {
        let ours = copy_id(0).reference;
        let entries = self.store.by_reference(ours, 1_000).unwrap();
        entries
            .into_iter()
            .map(|found| {
                let entry = found.entry;
                let who: Vec<_> = match entry.event.outcome() {
                    Some(outcome) => outcome.recipients.iter().map(|one| one.local().to_owned()).collect(),
                    None => Vec::new(),
                };
                format!("{} {}", entry.event.kind().0, who.join(" ")).trim().to_owned()
            })
            .collect()
    }

    fn waiting(&self) -> Vec<Spooled> {
        self.store.list(None, 100).unwrap()
    }

    /// Let time pass, and the worker look.
    fn pass(&self, time: SignedDuration) {
        self.clock.set(self.clock.now() + time);
        self.spool.wake();
    }
}

fn admitted(copy: &Copy) -> Event {
    Event::Admitted(Box::new(Admitted {
        copy: copy.id,
        handover: None,
        tool: None,
        class: Class::Marketing,
        sender: None,
        purpose: None,
        rule: None,
        rules_sha256: String::new(),
        reverse_path: copy.reverse_path.to_string(),
        recipients: copy
            .recipients
            .iter()
            .map(|one| AdmittedRecipient {
                recipient: one.permit.recipient().clone(),
                basis: Basis::NotNeeded,
                observed: None,
            })
            .collect(),
        message_id: None,
        original_sha256: String::new(),
        sent_sha256: String::new(),
        size: copy.rope.len() as u64,
        edits: Vec::new(),
        dkim: Vec::new(),
        token: None,
        next_hop: String::new(),
    }))
}

fn returned() -> Returned {
    Returned {
        reference: copy_id(0).reference,
        reverse_path: ReversePath::Address(address("nieuws@voorbeeldhypotheken.nl")),
        envid: None,
        ret: None,
        arrived_at: start(),
        message: MESSAGE.into(),
        automatic: false,
    }
}

fn refuses(who: &'static str) -> impl Fn(Moment, &str) -> Option<Answer> + Send + Sync {
    move |_, line: &str| {
        line.starts_with(&format!("RCPT TO:<{who}"))
            .then(|| Answer::Say("550 5.1.1 no such user\r\n".to_owned()))
    }
}

#[tokio::test]
async fn promise_1_admitted_and_being_tried_is_durable_before_the_first_byte() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(start()));
    let store = open_store(folder.path(), clock.clone());
    let (view, seen) = (store.clone(), Arc::new(Mutex::new(Vec::new())));
    let sees = seen.clone();
    // At MAIL, the next hop looks into the store.
    let script = move |_, line: &str| {
        if line.starts_with("MAIL") {
            sees.lock().unwrap().extend(view.list(None, 10).unwrap().into_iter().map(|one| one.state));
        }
        None
    };
    let mut hop = NextHop::scripted(EVERYTHING, script).await;
    let house = House::build(folder, store, clock, relay_to(hop.address), |_| {});
    house.admit(&["a@example.org"], SpoolState::Waiting { next: start() }).await;
    house.work();
    hop.next().await;
    until(&house, |house| house.waiting().is_empty()).await;
    assert_eq!(*seen.lock().unwrap(), [SpoolState::Trying]);
    assert_eq!(house.story(), ["admitted", "relayed a"]);
}

/// Wait for the worker's next step, until `done`.
async fn until(house: &House, done: impl Fn(&House) -> bool) {
    let waits = async {
        while !done(house) {
            tokio::task::yield_now().await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(10), waits).await.is_err() {
        panic!("stuck: {:?} {:#?}", house.story(), house.waiting());
    }
}

#[tokio::test]
async fn promise_2_all_outcomes_of_a_first_delivery() {
    let mut hop = NextHop::scripted(EVERYTHING, refuses("b")).await;
    let house = House::open(relay_to(hop.address));
    let first = house.deliver_first(&["a@example.org", "b@example.org", "c@example.org"]).await;
    let FirstTry::Partly { relayed, refused, told } = first else { panic!("{first:?}") };
    assert_eq!(relayed.to_string(), "250 2.0.0 taken");
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].0, address("b@example.org"));
    assert!(told);
    let mut story = house.story();
    story.sort();
    let told = ["admitted", "admitted", "admitted", "bounced b", "relayed a", "relayed c", "returned"];
    assert_eq!(story, told, "P14: and who is not there is blocked");
    // The DSN waits in the spool, durable with the answer, and goes out by the worker.
    assert_eq!(house.waiting().len(), 1);
    hop.next().await;
    hop.next().await;
    house.work();
    let dsn = hop.next().await;
    assert_eq!(dsn.mail.split(' ').next(), Some("<>"), "P13: a DSN has the null reverse-path");
    assert_eq!(dsn.rcpt, ["<nieuws@voorbeeldhypotheken.nl>"]);
    p13_reads_as_a_report(&dsn.data);
    until(&house, |house| house.waiting().is_empty()).await;
}

fn p13_reads_as_a_report(bytes: &[u8]) {
    let parsed = MessageParser::new().parse(bytes).unwrap();
    let kind = parsed.content_type().unwrap();
    assert_eq!((kind.ctype(), kind.subtype()), ("multipart", Some("report")));
    assert_eq!(kind.attribute("report-type"), Some("delivery-status"));
    assert_eq!(parsed.header_raw("Auto-Submitted").map(str::trim), Some("auto-replied"));
    assert_eq!(parsed.subject(), Some("Niet bezorgd"), "in the language of the sender that owns the domain");
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    for part in [
        "Content-Type: message/delivery-status",
        "Reporting-MTA: dns; gateway.example",
        "Final-Recipient: rfc822; b@example.org",
        "Action: failed",
        "Status: 5.1.1",
        "Remote-MTA: dns; 127.0.0.1",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user",
        "Content-Type: text/rfc822-headers",
        "Subject: Nieuws",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert!(!text.contains("Hallo"), "the header only, unless RET=FULL");
}

#[tokio::test]
async fn promise_2_everybody_refused_is_the_clients_answer_and_no_dsn() {
    let hop = NextHop::scripted(EVERYTHING, refuses("")).await;
    let house = House::open(relay_to(hop.address));
    let first = house.deliver_first(&["a@example.org", "b@example.org"]).await;
    let FirstTry::Refused(refused) = first else { panic!("{first:?}") };
    assert_eq!(refused.len(), 2);
    assert!(house.waiting().is_empty());
}

#[tokio::test]
async fn promise_2_a_next_hop_that_is_down_gives_the_message_back() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let house = House::open(relay_to(gone));
    let first = house.deliver_first(&["a@example.org", "b@example.org"]).await;
    let FirstTry::Down(answer) = first else { panic!("{first:?}") };
    assert_eq!((answer.code, answer.enhanced.as_deref()), (451, Some("4.4.1")));
    assert!(house.waiting().is_empty());
    assert_eq!(house.story(), ["admitted", "admitted", "cancelled a", "cancelled b"]);
    // Unless it is to be kept.
    let house = House::open(relay_to(gone));
    let copies = house.admit(&["a@example.org"], SpoolState::Trying).await;
    let first = house.spool.deliver_first(copies, &returned(), LONG, true).await;
    assert!(matches!(first, FirstTry::Queued { .. }), "{first:?}");
    let waiting = house.waiting();
    assert!(matches!(waiting[0].state, SpoolState::Waiting { next } if next > start()));
    assert_eq!(house.story(), ["admitted", "delayed a"]);
}

#[tokio::test]
async fn promise_2_when_patience_is_over_the_rest_follows_in_the_background() {
    let mut hop = NextHop::start().await;
    let mut hop_settings = settings(plain(hop.address));
    hop_settings.pool.connections = 1;
    let house = House::open(Relay::new(hop_settings).unwrap());
    let copies = house.admit(&["a@example.org", "b@example.org"], SpoolState::Trying).await;
    // No patience at all: nothing is begun, and nothing is lost.
    let first = house.spool.deliver_first(copies, &returned(), Duration::ZERO, false).await;
    assert!(matches!(first, FirstTry::Queued { .. }), "{first:?}");
    house.work();
    let mut got: Vec<_> = [hop.next().await, hop.next().await].into_iter().flat_map(|one| one.rcpt).collect();
    got.sort();
    assert_eq!(got, ["<a@example.org>", "<b@example.org>"]);
    until(&house, |house| house.waiting().is_empty()).await;
}

#[tokio::test]
async fn promise_6_an_unsubscribe_cancels_a_waiting_copy_and_the_sender_sees_why() {
    let mut hop = NextHop::start().await;
    let house = House::open(relay_to(hop.address));
    house.people.suppressed.lock().unwrap().insert(address("a@example.org").key().clone());
    house.admit(&["a@example.org", "b@example.org"], SpoolState::Waiting { next: start() }).await;
    house.work();
    let (one, two) = (hop.next().await, hop.next().await);
    let mut got: Vec<_> = [&one, &two].iter().flat_map(|one| one.rcpt.clone()).collect();
    got.sort();
    assert_eq!(got, ["<b@example.org>", "<nieuws@voorbeeldhypotheken.nl>"]);
    let dsn = if one.mail.starts_with("<>") { one } else { two };
    let text = String::from_utf8(dsn.data).unwrap();
    assert!(
        text.contains("Final-Recipient: rfc822; a@example.org") && text.contains("Status: 5.7.1"),
        "{text}"
    );
    assert!(!text.contains("Remote-MTA"), "it was us who refused");
    until(&house, |house| house.waiting().is_empty()).await;
    let mut story = house.story();
    story.sort();
    assert_eq!(story, ["admitted", "admitted", "cancelled a", "relayed b"]);
}

#[tokio::test]
async fn promise_5_an_unreadable_register_keeps_the_copy_waiting() {
    let mut hop = NextHop::start().await;
    let house = House::open(relay_to(hop.address));
    house.people.gone.store(true, Ordering::SeqCst);
    house.admit(&["a@example.org"], SpoolState::Waiting { next: start() }).await;
    house.work();
    until(&house, |house| house.waiting()[0].last_reply.contains("451")).await;
    assert!(hop.try_next().is_none());
    house.people.gone.store(false, Ordering::SeqCst);
    house.pass(SignedDuration::from_hours(1));
    hop.next().await;
}

#[tokio::test]
async fn a_deferred_copy_is_tried_again_and_given_up_with_a_dsn() {
    let script = |_, line: &str| {
        line.starts_with("RCPT TO:<a").then(|| Answer::Say("450 4.2.0 greylisted\r\n".to_owned()))
    };
    let mut hop = NextHop::scripted(EVERYTHING, script).await;
    let house = House::open(relay_to(hop.address));
    let first = house.deliver_first(&["a@example.org"]).await;
    assert!(matches!(first, FirstTry::Queued { .. }), "{first:?}");
    let waiting = house.waiting().remove(0);
    let SpoolState::Waiting { next } = waiting.state else { panic!("{:?}", waiting.state) };
    let wait = next.duration_since(start());
    assert!(wait >= SignedDuration::from_mins(1) && wait <= SignedDuration::from_secs(75), "{wait}");
    assert_eq!(waiting.last_reply, "450 4.2.0 greylisted");
    house.work();
    house.pass(SignedDuration::from_mins(2));
    until(&house, |house| house.waiting()[0].attempts == 2 && house.waiting()[0].state != SpoolState::Trying)
        .await;
    house.pass(SignedDuration::from_hours(25));
    let dsn = hop.next().await;
    let text = String::from_utf8(dsn.data).unwrap();
    assert!(text.contains("Status: 5.4.7") && text.contains("450 4.2.0 greylisted"), "{text}");
    until(&house, |house| house.waiting().is_empty()).await;
    assert_eq!(house.story(), ["admitted", "delayed a", "delayed a", "bounced a"]);
}

#[tokio::test]
async fn promise_2_a_next_hop_that_is_down_holds_up_no_copy_for_another() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut hop = NextHop::start().await;
    let mut down = settings(plain(gone));
    // Long enough for all of the test.
    down.pool.pause = Duration::from_secs(600);
    let routes = Routes { accounts: [("shop".to_owned(), vec![1])].into(), ..in_order(1) };
    let relay = Relay::with_routes(vec![down, settings(plain(hop.address))], &routes).unwrap();
    assert!(relay.probe().await.is_ok(), "one of them answers");
    let house = House::open(relay);
    let recipients: Vec<_> = (0..200).map(|n| format!("r{n}@example.org")).collect();
    let recipients: Vec<_> = recipients.iter().map(String::as_str).collect();
    // The last one in the order of the spool is for the next hop that is there.
    house
        .wait_with(&recipients, |spooled| {
            spooled.account = (spooled.copy.index == 199).then(|| "shop".to_owned());
        })
        .await;
    house.work();
    assert_eq!(hop.next().await.rcpt, ["<r199@example.org>"]);
    until(&house, |house| house.store.due(house.clock.now(), 1).unwrap().is_empty()).await;
    until(&house, |house| house.store.count().unwrap() == 199).await;
    let waiting = house.store.list(None, 1_000).unwrap();
    let mut turns = HashSet::new();
    for spooled in &waiting {
        let SpoolState::Waiting { next } = spooled.state else { panic!("{:?}", spooled.state) };
        let wait = next.duration_since(start());
        assert!(wait >= SignedDuration::from_mins(1) && wait <= SignedDuration::from_secs(75), "{wait}");
        assert_eq!((spooled.attempts, spooled.last_reply.as_str()), (1, ""), "it was not tried");
        turns.insert(next);
    }
    assert!(turns.len() > 150, "they do not come back together");
    assert_eq!(
        house.story().iter().filter(|entry| *entry != "admitted").count(),
        1,
        "and nothing is written"
    );
    // After hours of it they come back after hours only, and at their end they are given up.
    house.pass(SignedDuration::from_hours(3));
    until(&house, |house| house.store.due(house.clock.now(), 1).unwrap().is_empty()).await;
    let next = house.store.next_due().unwrap().unwrap();
    assert!(next.duration_since(house.clock.now()) >= SignedDuration::from_hours(1), "{next}");
    house.pass(SignedDuration::from_hours(22));
    until(&house, |house| house.story().iter().any(|entry| entry.starts_with("bounced"))).await;
}

#[tokio::test]
async fn p5_a_sender_who_asked_for_it_is_told_once_of_a_delay() {
    let script = |_, line: &str| {
        line.starts_with("RCPT TO:<a").then(|| Answer::Say("450 4.2.0 greylisted\r\n".to_owned()))
    };
    for (delay, told) in [(true, true), (false, false)] {
        let mut hop = NextHop::scripted(EVERYTHING, script).await;
        let house = House::open(relay_to(hop.address));
        house
            .wait_with(&["a@example.org"], |spooled| {
                spooled.recipients[0].notify = Some(Notify { success: false, failure: true, delay });
            })
            .await;
        house.work();
        let tried = |one: &Spooled, times| one.attempts == times && one.state != SpoolState::Trying;
        until(&house, |house| tried(&house.waiting()[0], 2)).await;
        house.pass(SignedDuration::from_hours(5));
        until(&house, |house| house.waiting().iter().any(|one| tried(one, 3) && one.delay_told)).await;
        if told {
            let text = String::from_utf8(hop.next().await.data).unwrap();
            for part in [
                "Subject: Vertraagd",
                "Action: delayed",
                "Status: 4.2.0",
                "Will-Retry-Until: Mon, 2 Mar 2026",
            ] {
                assert!(text.contains(part), "{part} is missing in:\n{text}");
            }
        }
        house.pass(SignedDuration::from_hours(5));
        until(&house, |house| house.waiting().iter().any(|one| tried(one, 4))).await;
        assert!(hop.try_next().is_none(), "once, or not at all");
    }
}

#[tokio::test]
async fn p4_a_waiting_copy_of_an_account_goes_when_the_account_is_there_again() {
    let mut hop = NextHop::scripted(&["AUTH PLAIN"], |_, _| None).await;
    let mut own = settings(plain(hop.address));
    own.pass_through = true;
    let relay = Relay::new(own).unwrap();
    let house = House::open(relay.clone());
    house.wait_with(&["a@example.org"], |spooled| spooled.account = Some("anna".to_owned())).await;
    house.work();
    until(&house, |house| house.waiting()[0].last_reply.contains("not signed in")).await;
    let credentials = Credentials {
        name: "anna".to_owned(),
        password: Secret::new(&b"geheim"[..]),
        mechanism: Mechanism::Plain,
    };
    let login = relay.sign_in(credentials).await.unwrap();
    assert!(!format!("{login:?}").contains("geheim"));
    house.pass(SignedDuration::from_hours(1));
    assert_eq!(hop.next().await.rcpt, ["<a@example.org>"]);
    until(&house, |house| house.waiting().is_empty()).await;
    assert_eq!(house.story(), ["admitted", "delayed a", "relayed a"]);
}

#[tokio::test]
async fn in_doubt_is_recorded_and_retried_or_held() {
    for (in_doubt, held) in [(InDoubt::Retry, false), (InDoubt::Hold, true)] {
        let script = |moment, _: &str| (moment == Moment::End).then_some(Answer::HangUp);
        let hop = NextHop::scripted(EVERYTHING, script).await;
        let house = House::with(relay_to(hop.address), |settings| settings.in_doubt = in_doubt);
        let first = house.deliver_first(&["a@example.org"]).await;
        assert!(matches!(first, FirstTry::Queued { .. }), "{first:?}");
        assert_eq!(house.story(), ["admitted", "in_doubt a"]);
        assert_eq!(house.waiting()[0].state == SpoolState::Held, held);
    }
}

#[tokio::test]
async fn promise_1_what_is_in_doubt_when_its_time_is_over_stays_so() {
    let ends = std::sync::atomic::AtomicUsize::new(0);
    let script = move |moment, _: &str| {
        let lost = moment == Moment::End && ends.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2;
        lost.then_some(Answer::HangUp)
    };
    let mut hop = NextHop::scripted(EVERYTHING, script).await;
    let house = House::open(relay_to(hop.address));
    let first = house.deliver_first(&["a@example.org"]).await;
    assert!(matches!(first, FirstTry::Queued { .. }), "{first:?}");
    house.work();
    house.pass(SignedDuration::from_hours(25));
    let text = loop {
        let text = String::from_utf8(hop.next().await.data).unwrap();
        if text.contains("Action: ") {
            break text;
        }
    };
    assert!(text.contains("Action: delayed") && text.contains("Misschien bezorgd"), "{text}");
    assert!(!text.contains("Action: failed") && !text.contains("Will-Retry-Until"), "{text}");
    until(&house, |house| house.waiting().is_empty()).await;
    assert_eq!(house.story(), ["admitted", "in_doubt a", "in_doubt a"]);
}

#[tokio::test]
async fn p13_nobody_is_told_who_must_not_be() {
    let hop = NextHop::start().await;
    let house = House::open(relay_to(hop.address));
    let failure = |notify| {
        let recipient = Recipient { notify, ..Recipient::new(address("a@example.org")) };
        vec![dsn::Failure::by_policy(recipient, "5.7.1", "no consent".to_owned())]
    };
    let null = Returned { reverse_path: ReversePath::Null, ..returned() };
    let automatic = Returned { automatic: true, ..returned() };
    let success_only = Notify { success: true, failure: false, delay: false };
    for (returned, notify, told) in [
        (returned(), None, true),
        (returned(), Some(Notify { failure: true, ..Notify::NEVER }), true),
        (returned(), Some(Notify::NEVER), false),
        (returned(), Some(success_only), false),
        (null, None, false),
        (automatic, None, false),
    ] {
        let mut record = Record::default();
        assert_eq!(house.spool.bounce(&mut record, &returned, failure(notify), start()), told);
        assert_eq!(record.events.len(), if told { 2 } else { 0 });
        assert_eq!(record.sides.len(), if told { 3 } else { 0 });
    }
    let mut record = Record::default();
    assert!(!house.spool.bounce(&mut record, &returned(), Vec::new(), start()), "nobody failed");
}

#[tokio::test]
async fn a_relayed_dsn_is_ours_where_the_next_hop_sends_none() {
    for (extensions, ours) in [(EVERYTHING, false), (&["PIPELINING"], true)] {
        let mut hop = NextHop::scripted(extensions, |_, _| None).await;
        let house = House::open(relay_to(hop.address));
        let mut copies = house.admit(&["a@example.org"], SpoolState::Trying).await;
        let notify = Some(Notify { success: true, failure: true, delay: false });
        copies[0].0.recipients[0].notify = notify;
        copies[0].1.recipients[0].notify = notify;
        let first = house.spool.deliver_first(copies, &returned(), LONG, false).await;
        assert!(matches!(first, FirstTry::Relayed(_)), "{first:?}");
        hop.next().await;
        assert_eq!(house.waiting().len(), usize::from(ours));
        if ours {
            house.work();
            let text = String::from_utf8(hop.next().await.data).unwrap();
            assert!(text.contains("Action: relayed") && text.contains("Status: 2.0.0"), "{text}");
        }
    }
}

#[tokio::test]
async fn promise_1_and_2_a_copy_under_way_at_a_crash_is_in_doubt_and_then_delivered() {
    let mut hop = NextHop::start().await;
    let house = House::open(relay_to(hop.address));
    house.admit(&["a@example.org"], SpoolState::Trying).await;
    // The process ends here; a new one starts on the same file.
    let House { folder, store, closing, scribe, spool, clock, .. } = house;
    drop((spool, scribe));
    closing.join();
    drop(store);
    let store = open_store(folder.path(), clock.clone());
    let recovered = store.recover(InDoubt::Retry).unwrap();
    assert_eq!(recovered.interrupted, [copy_id(0)]);
    let house = House::build(folder, store, clock, relay_to(hop.address), |_| {});
    house.work();
    assert_eq!(hop.next().await.rcpt, ["<a@example.org>"]);
    until(&house, |house| house.waiting().is_empty()).await;
    assert_eq!(house.story(), ["admitted", "in_doubt a", "relayed a"]);
}

#[tokio::test]
async fn promise_2_what_is_in_doubt_is_held_where_the_config_says_so() {
    let early = Arc::new(AtomicBool::new(true));
    let is_early = early.clone();
    let script = move |moment, line: &str| {
        if !is_early.load(Ordering::SeqCst) {
            return None;
        }
        let greylisted = || Answer::Say("450 4.2.0 greylisted\r\n".to_owned());
        match moment {
            Moment::End => Some(Answer::HangUp),
            _ => line.starts_with("RCPT TO:<b").then(greylisted),
        }
    };
    let mut hop = NextHop::scripted(EVERYTHING, script).await;
    let house = House::with(relay_to(hop.address), |settings| settings.in_doubt = InDoubt::Hold);
    let first = house.deliver_first(&["a@example.org", "b@example.org"]).await;
    assert!(matches!(first, FirstTry::Queued { .. }), "{first:?}");
    assert_eq!(hop.next().await.rcpt, ["<a@example.org>"], "it was taken, and nobody knows");
    early.store(false, Ordering::SeqCst);
    house.work();
    house.pass(SignedDuration::from_hours(1));
    // The other one goes; this one waits for somebody who looks.
    assert_eq!(hop.next().await.rcpt, ["<b@example.org>"]);
    until(&house, |house| house.waiting().len() == 1).await;
    let held = house.waiting().remove(0);
    assert_eq!((held.recipients[0].address.as_str(), held.state), ("a@example.org", SpoolState::Held));
    assert!(hop.try_next().is_none());
    assert_eq!(house.story().iter().filter(|word| word.ends_with(" a")).collect::<Vec<_>>(), ["in_doubt a"]);
}

#[tokio::test]
async fn promise_2_a_copy_under_way_at_a_crash_is_held_where_the_config_says_so() {
    let hop = NextHop::start().await;
    let house = House::open(relay_to(hop.address));
    house.admit(&["a@example.org"], SpoolState::Trying).await;
    let House { folder, store, closing, scribe, spool, clock, .. } = house;
    drop((spool, scribe));
    closing.join();
    drop(store);
    let store = open_store(folder.path(), clock.clone());
    store.recover(InDoubt::Hold).unwrap();
    let house = House::build(folder, store, clock, relay_to(hop.address), |_| {});
    assert_eq!(house.waiting()[0].state, SpoolState::Held);
    assert_eq!(house.story(), ["admitted", "in_doubt a"]);
}

#[tokio::test]
async fn promise_10_a_thousand_waiting_copies_are_tried_a_few_at_a_time() {
    let busy = Arc::new(Mutex::new((0usize, 0usize)));
    let counted = busy.clone();
    let script = move |moment, line: &str| {
        let mut busy = counted.lock().unwrap();
        if line.starts_with("MAIL") {
            busy.0 += 1;
            busy.1 = busy.1.max(busy.0);
        } else if moment == Moment::End {
            busy.0 -= 1;
        }
        None
    };
    let mut hop = NextHop::scripted(EVERYTHING, script).await;
    let house = House::with(relay_to(hop.address), |settings| settings.concurrency = 4);
    let recipients: Vec<_> = (0..300).map(|n| format!("r{n}@example.org")).collect();
    let recipients: Vec<_> = recipients.iter().map(String::as_str).collect();
    house.admit(&recipients, SpoolState::Waiting { next: start() }).await;
    house.work();
    let mut got = HashSet::new();
    for _ in 0..300 {
        assert!(got.insert(hop.next().await.rcpt), "each copy goes once");
    }
    until(&house, |house| house.waiting().is_empty()).await;
    assert!(busy.lock().unwrap().1 <= 4);
    house.shutdown.request();
    tokio::time::timeout(LONG, house.shutdown.drained()).await.expect("it stops when it is told to");
}
