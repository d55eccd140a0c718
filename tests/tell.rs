//! Everyone who must know of an unsubscribe is told (RULES L10, P8): webhooks, the mailing tool's own link,
//! the daily mail; in order, again and again, and never silently not.

mod support;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sluis::admin::{Answer, Client, ConsentRow, Import, Request, Row};
use sluis::app::Running;
use sluis::clock::{Clock, ManualClock, SharedClock, SystemClock};
use sluis::consent::{Act, ConsentEventKind, Evidence};
use sluis::ledger::checkpoint::Signer;
use sluis::ledger::keeping::Retention;
use sluis::ledger::{
    Channel, Corrected, Event, News, OutboxView, Owed, OwedId, OwedState, Record, Scribe, Side, Telling,
    Told, Unsubscribed, Way,
};
use sluis::mail::{Address, AddressKey, Purpose, Reference, Sender, SenderId};
use sluis::net::call::{Caller, Reach};
use sluis::net::tls::{self, Trust};
use sluis::notify::{self, Daily, Digests, Links, OneClick, Outbox};
use sluis::policy::Unavailable;
use sluis::secret::SystemEntropy;
use sluis::shutdown::Shutdown;
use sluis::store::{self, Store};
use sluis::suppression::Reason;
use support::gateway::{NEWS, PURPOSE, SENDER, TestGateway, config_text, free_port, key, message, start};
use support::hook::Hook;
use support::http::ask;
use support::next_hop::NextHop;
use support::patience::Patience;
use tokio::sync::{Notify, watch};

/// A webhook in the config, and its key.
fn webhook(folder: &Path, at: SocketAddr) -> String {
    let file = folder.join("hook.key");
    std::fs::write(&file, "0123456789abcdef0123456789abcdef").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    format!(
        "[notify]\nretry = [\"1s\"]\nexpire_after = \"1m\"\n\n[[webhook]]\nname = \"crm\"\n\
         url = \"http://{at}/hook?x=1\"\nsecret_file = \"{}\"\n",
        file.display()
    )
}

/// A gateway whose config ends with `extra`.
async fn gateway(next_hop: SocketAddr, clock: SharedClock, extra: impl Fn(&Path) -> String) -> TestGateway {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluis.toml");
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let text = config_text(folder.path(), any_port, next_hop, free_port(), "", "");
    std::fs::write(&file, text + &extra(folder.path())).unwrap();
    let running: Running = start(&file, clock).await;
    TestGateway { running, folder }
}

/// Have `who` get the newsletter, and its link.
async fn link(gateway: &TestGateway, next_hop: &mut NextHop, who: &str) -> String {
    gateway.consent(&[who]).await;
    let mut client = gateway.client().await;
    let reply = client.submit(NEWS, &[who], message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    loop {
        let copy = next_hop.next().await;
        let text = String::from_utf8(copy.data).unwrap();
        if copy.rcpt[0].contains(who) {
            let (_, rest) = text.split_once("/u/").unwrap();
            let token: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
            return format!("/u/{token}");
        }
    }
}

async fn post(gateway: &TestGateway, path: &str, body: &str) -> support::http::Answer {
    let page = gateway.running.unsubscribe();
    let request =
        format!("POST {path} HTTP/1.1\r\nHost: {page}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    ask(page, request).await
}

async fn told(gateway: &TestGateway, outcome: Telling) -> Told {
    let pick = |event: &Event| match event {
        Event::Told(told) if told.outcome == outcome => Some(told.clone()),
        _ => None,
    };
    gateway.wait_for(pick).await
}

#[tokio::test(flavor = "multi_thread")]
async fn l10_a_webhook_is_told_in_order_and_signed_whatever_it_answers_first() {
    let mut hook = Hook::start(&[500, 302], None).await;
    let mut next_hop = NextHop::start().await;
    let at = hook.address;
    let gateway = gateway(next_hop.address, Arc::new(SystemClock), |folder| webhook(folder, at)).await;
    let path = link(&gateway, &mut next_hop, "lezer@example.org").await;
    let done = post(&gateway, &path, "way=page").await;
    let (_, proof) = done.body.split_once("name=\"proof\" value=\"").unwrap();
    let (proof, _) = proof.split_once('"').unwrap();
    let undone = post(&gateway, &path, &format!("proof={proof}&way=undo")).await;
    assert_eq!(undone.status, 200);

    let first = hook.next().await;
    assert_eq!(first.line, "POST /hook?x=1 HTTP/1.1");
    assert_eq!(first.header("content-type"), "application/json");
    let json = first.json();
    assert_eq!(json["type"], "unsubscribed");
    assert_eq!(json["data"]["address"], "lezer@example.org");
    assert_eq!(json["data"]["sender"], SENDER);
    assert_eq!(json["data"]["way"], "page");
    assert_eq!(json["id"], first.header("webhook-id"));
    // Standard Webhooks: HMAC-SHA256 over id.timestamp.body.
    let signed = format!("{}.{}.", first.header("webhook-id"), first.header("webhook-timestamp"));
    let signed = [signed.as_bytes(), &first.body].concat();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"0123456789abcdef0123456789abcdef");
    let tag = first.header("webhook-signature").strip_prefix("v1,").unwrap();
    let tag = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, tag).unwrap();
    assert!(aws_lc_rs::hmac::verify(&key, &signed, &tag).is_ok());

    // Refused with 500 and then sent elsewhere: told again under the same id, and the correction waits for it.
    for _ in 0..2 {
        let again = hook.next().await;
        assert_eq!(
            (again.json()["type"].as_str(), again.header("webhook-id")),
            (Some("unsubscribed"), first.header("webhook-id"))
        );
    }
    let second = hook.next().await;
    assert_eq!(second.json()["type"], "corrected");
    let entry = told(&gateway, Telling::Told).await;
    assert_eq!((entry.channel.as_str(), entry.target.as_str(), entry.attempt), ("webhook", "crm", 3));
    // Taken back, the newsletter may come again; and the ledger agrees with itself.
    let mut client = gateway.client().await;
    let reply = client.submit(NEWS, &["lezer@example.org"], message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let findings = gateway.running.store().verify_all(&[]).unwrap();
    assert!(findings.is_sound(), "{:?}", findings.problems);
}

#[tokio::test(flavor = "multi_thread")]
async fn l10_what_a_webhook_refuses_for_good_is_listed_and_can_be_told_after_all() {
    let mut hook = Hook::start(&[410], None).await;
    let mut next_hop = NextHop::start().await;
    let at = hook.address;
    let gateway = gateway(next_hop.address, Arc::new(SystemClock), |folder| webhook(folder, at)).await;
    let path = link(&gateway, &mut next_hop, "lezer@example.org").await;
    assert_eq!(post(&gateway, &path, "List-Unsubscribe=One-Click").await.status, 200);
    hook.next().await;
    let entry = told(&gateway, Telling::GivenUp).await;
    assert!(entry.answer.starts_with("410"), "{entry:?}");
    let socket = gateway.folder.path().join("var").join("sluis.sock");
    let ask = |request| {
        let socket = socket.clone();
        tokio::task::spawn_blocking(move || {
            sluis::admin::Client::connect(&socket, 1 << 20).unwrap().unwrap().ask(&request).unwrap()
        })
    };
    let listed = ask(sluis::admin::Request::Outbox { after: None, limit: 10 }).await.unwrap();
    let sluis::admin::Answer::Outbox { tellings } = listed else { panic!("{listed:?}") };
    assert_eq!((tellings.len(), tellings[0].state.as_str()), (1, "dead"));
    assert_eq!(tellings[0].channel, "webhook crm");
    let again = sluis::admin::Request::Settle {
        telling: tellings[0].telling,
        action: sluis::admin::OwedAction::Retry,
    };
    ask(again).await.unwrap();
    assert_eq!(hook.next().await.json()["data"]["address"], "lezer@example.org");
    told(&gateway, Telling::Told).await;
    assert!(gateway.running.store().list_owed(None, 10).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn l10_one_mail_a_day_tells_of_all() {
    let mut next_hop = NextHop::start().await;
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let daily = |_: &Path| "\n[notify]\ndigest_at = \"07:00\"\n".to_owned();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluis.toml");
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let text = config_text(folder.path(), any_port, next_hop.address, free_port(), "", "");
    let text = text.replacen("notify = [", "notify_by = \"digest\"\nnotify = [", 1);
    std::fs::write(&file, text + &daily(folder.path())).unwrap();
    let gateway = TestGateway { running: start(&file, clock.clone()).await, folder };
    for who in ["a@example.org", "b@example.org"] {
        let path = link(&gateway, &mut next_hop, who).await;
        assert_eq!(post(&gateway, &path, "List-Unsubscribe=One-Click").await.status, 200);
    }
    let sent = |gateway: &TestGateway| {
        gateway.events().iter().filter(|event| matches!(event, Event::NoticeSent { .. })).count()
    };
    assert_eq!(sent(&gateway), 0, "not of each at once");
    clock.set(clock.now() + SignedDuration::from_hours(25));
    let path = link(&gateway, &mut next_hop, "c@example.org").await;
    assert_eq!(post(&gateway, &path, "List-Unsubscribe=One-Click").await.status, 200);
    let mail = next_hop.next().await;
    assert!(mail.rcpt[0].contains("beheer@voorbeeldhypotheken.nl"), "{mail:?}");
    let text = String::from_utf8(mail.data).unwrap();
    assert!(text.contains("a@example.org") && text.contains("b@example.org"), "{text}");
    assert!(!text.contains("c@example.org"), "the day after: {text}");
    assert_eq!(sent(&gateway), 1);
    assert_eq!(gateway.running.store().list_owed(None, 10).unwrap().len(), 1, "that of c");
}

#[tokio::test(flavor = "multi_thread")]
async fn l10_who_was_told_of_a_block_or_an_unsubscribe_is_told_when_it_ends() {
    let mut hook = Hook::start(&[], None).await;
    let next_hop = NextHop::start().await;
    let at = hook.address;
    let gateway = gateway(next_hop.address, Arc::new(SystemClock), |folder| webhook(folder, at)).await;
    let sender = || SenderId(SENDER.to_owned());
    let gone = sluis::ledger::Undeliverable {
        sender: sender(),
        address: key("weg@example.org"),
        block: sluis::suppression::DeliveryBlock { since: SystemClock.now(), reply: "5.1.1".to_owned() },
    };
    gateway.record(vec![Event::Undeliverable(gone)]).await;
    gateway.suppress("terug@example.org", Reason::Unsubscribed).await;
    gateway.suppress("boos@example.org", Reason::Complaint).await;
    let socket = gateway.folder.path().join("var").join("sluis.sock");
    let ask = |request| {
        let socket = socket.clone();
        let ask = move || Client::connect(&socket, 1 << 20).unwrap().unwrap().ask(&request).unwrap();
        async move { tokio::task::spawn_blocking(ask).await.unwrap() }
    };
    let address = support::address("weg@example.org");
    let unblocked = ask(Request::Unblock { address, sender: None, why: "telephone".to_owned() }).await;
    assert!(matches!(unblocked, Answer::Done { .. }), "{unblocked:?}");
    let told = hook.next().await.json();
    assert_eq!((&told["type"], &told["data"]["address"]), (&"unblocked".into(), &"weg@example.org".into()));
    assert_eq!(told["data"]["note"], "telephone");

    // Consented anew, and confirmed; what nothing lifts is not said to be lifted, and neither is what never stood.
    let row = |who: &str, kind| {
        Row::Consent(ConsentRow {
            line: 0,
            address: support::address(who),
            sender: None,
            purpose: Purpose(PURPOSE.to_owned()),
            kind,
            at: SystemClock.now(),
            text: Some(0),
            files: Vec::new(),
            evidence: Evidence {
                act: Some(Act::Typed),
                source: Some("counter".to_owned()),
                ..Evidence::default()
            },
        })
    };
    let people = ["boos@example.org", "nieuw@example.org", "terug@example.org"];
    let kinds = [ConsentEventKind::Grant, ConsentEventKind::Confirm];
    let rows = || people.iter().flat_map(|who| kinds.map(|kind| row(who, kind))).collect();
    let text = "Ja, Voorbeeld Hypotheken mag mij elke maand een nieuwsbrief mailen. Afmelden kan altijd.";
    let import = |dry_run| {
        let (source, texts) = ("desk".to_owned(), vec![text.to_owned()]);
        Request::Import(Import { source, from_file: false, dry_run, texts, rows: rows() })
    };
    for dry_run in [true, false] {
        let answer = ask(import(dry_run)).await;
        assert!(matches!(&answer, Answer::Imported(it) if it.added == 6), "{answer:?}");
    }
    let told = hook.next().await.json();
    assert_eq!((&told["type"], &told["data"]["address"]), (&"consented".into(), &"terug@example.org".into()));
    assert_eq!((&told["data"]["purpose"], &told["data"]["note"]), (&PURPOSE.into(), &"desk".into()));
    let two = || gateway.events().iter().filter(|event| matches!(event, Event::Told(_))).count() == 2;
    support::patience::until(two).await;
    let owed = gateway.running.store().list_owed(None, 10).unwrap();
    let daily = owed.iter().filter(|(_, owed)| matches!(owed.channel, Channel::Digest(_)));
    assert_eq!((daily.count(), owed.len()), (2, 2), "each stands in the mail of the day, too: {owed:?}");
    assert!(gateway.running.store().verify_all(&[]).unwrap().is_sound());
}

/// The tool's link of every message.
#[derive(Debug)]
struct Tool(Option<String>);

impl Links for Tool {
    fn one_click(&self, _: Reference, _: &AddressKey) -> Result<Option<String>, Unavailable> {
        Ok(self.0.clone())
    }
}

#[derive(Debug)]
struct NoDigests;

impl Digests for NoDigests {
    fn enclose(&self, _: &mut Record, _: &[(Timestamp, News<'_>)], _: &Sender, _: &Address) {}

    fn recorded(&self) {}
}

/// A store, its pen, and an outbox that calls the tool at `url`.
struct Post {
    store: Store,
    scribe: Scribe,
    shutdown: Shutdown,
    work: Arc<Notify>,
    _settings: watch::Sender<Arc<notify::Settings>>,
    _folder: tempfile::TempDir,
}

impl Post {
    fn open(link: Option<String>, caller: Caller, hosts: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let settings = store::Settings {
            signer: Signer::generate("poort.test", &SystemEntropy).unwrap(),
            cache_bytes: 1 << 20,
            quick_repair: u64::MAX,
            queue: 16,
            max_batch: 16,
            checkpoint_every: Duration::from_secs(60),
            retention: Retention::default(),
            pack_entries: 50_000,
        };
        let path = folder.path().join("ledger.redb");
        let store = Store::open(&path, settings, clock.clone(), Arc::new(SystemEntropy)).unwrap();
        let (scribe, _closing) = store.start().unwrap();
        let (sender, settings) = watch::channel(Arc::new(notify::Settings {
            webhooks: Vec::new(),
            one_click: Some(OneClick { hosts: hosts.iter().map(|&host| host.to_owned()).collect(), caller }),
            daily_for: Vec::new(),
            daily: Daily { at: "07:00".parse().unwrap(), zone: jiff::tz::TimeZone::UTC },
            senders: vec![support::sender()],
            retry: vec![Duration::from_millis(1)],
            expire_after: Duration::from_secs(3_600),
            at_once: 2,
        }));
        let (shutdown, work) = (Shutdown::new(), Arc::new(Notify::new()));
        let parts = notify::Parts {
            view: Arc::new(store.clone()),
            scribe: scribe.clone(),
            register: Arc::new(store.clone()),
            links: Arc::new(Tool(link)),
            digests: Arc::new(NoDigests),
            settings,
            clock,
            entropy: Arc::new(SystemEntropy),
            shutdown: shutdown.clone(),
        };
        let outbox = Outbox::new(parts, work.clone());
        tokio::spawn(async move { outbox.run().await });
        Self { store, scribe, shutdown, work, _settings: sender, _folder: folder }
    }

    /// Somebody unsubscribes, and the tool is owed a call.
    async fn unsubscribe(&self, who: &str, corrected: bool) {
        let (sender, address) = (SenderId(SENDER.to_owned()), support::address(who).key().clone());
        let unsubscribed = Unsubscribed {
            sender: sender.clone(),
            address: address.clone(),
            way: Way::OneClick,
            token: None,
            reference: Some(Reference::new(Timestamp::UNIX_EPOCH, [7; 10])),
            purpose: None,
            ip: None,
            user_agent: None,
        };
        // Due only once a correction can be there.
        let owed = |next| Owed {
            sender: sender.clone(),
            address: address.clone(),
            channel: Channel::OneClick,
            state: OwedState::Waiting { next },
            since: SystemClock.now(),
            attempts: 0,
            last_answer: String::new(),
        };
        let side = Side::Owe(0, Box::new(owed(Timestamp::MAX)));
        let record = Record { events: vec![Event::Unsubscribed(unsubscribed)], sides: vec![side] };
        let fact = self.scribe.record(record).await.unwrap();
        let mut events = Vec::new();
        if corrected {
            let since = self.store.entries(fact..fact + 1).unwrap()[0].entry.at;
            events.push(Event::Corrected(Corrected {
                sender: sender.clone(),
                address: address.clone(),
                since,
                before: None,
                token: None,
                reference: None,
                ip: None,
                user_agent: None,
            }));
        }
        let now = Side::Defer(OwedId { fact, index: 0 }, Box::new(owed(SystemClock.now())));
        self.scribe.record(Record { events, sides: vec![now] }).await.unwrap();
        self.work.notify_one();
    }

    /// What came of it.
    async fn told(&self) -> Told {
        let patience = Patience::new();
        loop {
            patience.check();
            let size = self.store.size().unwrap();
            for found in self.store.entries(0..size).unwrap() {
                if let Event::Told(told) = found.entry.event {
                    assert!(self.store.verify_all(&[]).unwrap().is_sound());
                    return told;
                }
            }
            // A record of nothing is durable only after all that was handed over before it.
            self.scribe.record(Record::default()).await.unwrap();
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

/// A server's TLS for 127.0.0.1, and who believes it.
fn certificate(folder: &Path) -> (Arc<rustls::ServerConfig>, Trust) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (tls::server_config(&certificate, &key).unwrap(), Trust::CaFile(certificate))
}

fn caller(trust: &Trust, reach: Reach) -> Caller {
    Caller::new(trust, reach, Duration::from_secs(10)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_the_tools_own_link_is_called_over_tls_and_with_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (server, trust) = certificate(folder.path());
    let mut tool = Hook::start(&[503], Some(server)).await;
    let url = format!("https://127.0.0.1:{}/unsub?u=1&id=abc", tool.address.port());
    let post = Post::open(Some(url), caller(&trust, Reach::Anybody), &["127.0.0.1"]);
    post.unsubscribe("lezer@example.org", false).await;
    for _ in 0..2 {
        let call = tool.next().await;
        assert_eq!(call.line, "POST /unsub?u=1&id=abc HTTP/1.1");
        assert_eq!(call.body, b"List-Unsubscribe=One-Click");
        assert_eq!(call.header("content-type"), "application/x-www-form-urlencoded");
        assert_eq!(call.header("cookie"), "");
    }
    let told = post.told().await;
    assert_eq!((told.outcome, told.target.as_str(), told.attempt), (Telling::Told, "127.0.0.1", 2));
    assert!(!format!("{told:?}").contains("id=abc"), "the link is a secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_what_is_not_called_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let (server, trust) = certificate(folder.path());
    let mut tool = Hook::start(&[302], Some(server)).await;
    let url = format!("https://127.0.0.1:{}/unsub", tool.address.port());
    let open = |url: &str, trust: &Trust, reach, hosts: &[&str]| {
        Post::open(Some(url.to_owned()), caller(trust, reach), hosts)
    };
    // A redirect is followed nowhere: RFC 8058 has none.
    let post = open(&url, &trust, Reach::Anybody, &["127.0.0.1"]);
    post.unsubscribe("lezer@example.org", false).await;
    tool.next().await;
    let told = post.told().await;
    assert_eq!((told.outcome, told.answer.as_str()), (Telling::GivenUp, "302"));

    for (what, post, corrected, outcome, why) in [
        (
            "another host",
            open(&url, &trust, Reach::Anybody, &["tool.example"]),
            false,
            Telling::NotNeeded,
            "one_click_hosts",
        ),
        (
            "an inner address",
            open("https://127.0.0.1/", &trust, Reach::Public, &["127.0.0.1"]),
            false,
            Telling::GivenUp,
            "not a public address",
        ),
        (
            "plain http",
            open("http://127.0.0.1/", &trust, Reach::Public, &["127.0.0.1"]),
            false,
            Telling::GivenUp,
            "only https",
        ),
        (
            "no URL",
            open("https://a b", &trust, Reach::Public, &["127.0.0.1"]),
            false,
            Telling::NotNeeded,
            "no URL",
        ),
        (
            "taken back",
            open(&url, &trust, Reach::Anybody, &["127.0.0.1"]),
            true,
            Telling::NotNeeded,
            "taken back",
        ),
    ] {
        post.unsubscribe("lezer@example.org", corrected).await;
        let told = post.told().await;
        assert_eq!(told.outcome, outcome, "{what}: {told:?}");
        assert!(told.answer.contains(why), "{what}: {told:?}");
        assert!(tool.is_idle(), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_the_link_is_found_in_the_message_as_the_tool_gave_it() {
    let mut next_hop = NextHop::start().await;
    let hosts = |_: &Path| "\n[notify]\none_click_hosts = [\"other.example\"]\n".to_owned();
    let gateway = gateway(next_hop.address, Arc::new(SystemClock), hosts).await;
    gateway.consent(&["lezer@example.org"]).await;
    let mut client = gateway.client().await;
    let tool = "List-Unsubscribe: <https://tool.example/u?1>\r\n\
                List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n";
    let reply = client.submit(NEWS, &["lezer@example.org"], tool.to_owned() + &message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let text = String::from_utf8(next_hop.next().await.data).unwrap();
    assert!(!text.contains("tool.example"), "ours stands in its place");
    let (_, rest) = text.split_once("/u/").unwrap();
    let token: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
    assert_eq!(post(&gateway, &format!("/u/{token}"), "List-Unsubscribe=One-Click").await.status, 200);
    let entry = told(&gateway, Telling::NotNeeded).await;
    assert_eq!((entry.channel.as_str(), entry.target.as_str()), ("one_click", "tool.example"));
}
