//! Signing up with a confirmation mail (RULES L2, L12), through a whole gateway and its page.

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use jiff::SignedDuration;
use mail_parser::MessageParser;
use sluis::admin::{Client, LedgerAnswer, LedgerRequest, Request};
use sluis::clock::{Clock, ManualClock, SystemClock};
use sluis::consent::{Act, ConsentEvent, ConsentEventKind, ConsentState, Evidence, Grade, fold};
use sluis::ledger::{Consented, Event, OutboxView as _, Suppressed, Undeliverable, Unsubscribed, Way};
use sluis::mail::{Purpose, SenderId, hex, sha256};
use sluis::policy::Register as _;
use sluis::relay::SpoolView as _;
use sluis::suppression::{DeliveryBlock, Reason, Suppression};
use support::gateway::{NEWS, PURPOSE, SENDER, TestGateway, key, message};
use support::hook::Hook;
use support::http::{Answer, ask};
use support::next_hop::Answer::Say;
use support::next_hop::{Moment, NextHop};

const TEXT: &str =
    "Ja, Voorbeeld Hypotheken B.V. mag mij elke maand een nieuwsbrief mailen. Afmelden kan altijd.";
const SITE: &str = "https://www.voorbeeldhypotheken.nl";
const READER: &str = "lezer@example.org";

fn form() -> String {
    format!(
        "\n[[form]]\nname = \"nieuws\"\npurpose = \"{PURPOSE}\"\ntext = \"{TEXT}\"\norigins = [\"{SITE}\"]\n\
         from = \"{NEWS}\"\nprivacy_version = \"2026-01\"\n"
    )
}

struct House {
    gateway: TestGateway,
    clock: Arc<ManualClock>,
    next_hop: NextHop,
}

impl House {
    async fn open() -> Self {
        Self::with("").await
    }

    async fn with(tail: &str) -> Self {
        Self::before(NextHop::start().await, tail).await
    }

    async fn before(next_hop: NextHop, tail: &str) -> Self {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let gateway = TestGateway::at(next_hop.address, clock.clone(), &(form() + tail)).await;
        Self { gateway, clock, next_hop }
    }

    async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let page = self.gateway.running.unsubscribe();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {page}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        ask(page, request).await
    }

    async fn send(&self, headers: &str, body: &str) -> Answer {
        let kind = "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n";
        self.ask("POST", "/subscribe/nieuws", &format!("{kind}{headers}"), body).await
    }

    async fn sign_up(&self, who: &str) -> Answer {
        self.send(&format!("Origin: {SITE}\r\nReferer: {SITE}/nieuws\r\n"), &filled_in(who)).await
    }

    /// The path of the link in the next mail to `who`.
    async fn link(&mut self, who: &str) -> String {
        let mail = self.next_hop.next().await;
        assert_eq!(mail.rcpt, [format!("<{who}>")]);
        let text = MessageParser::new().parse(&mail.data).unwrap().body_text(0).unwrap().into_owned();
        let link = text.lines().find(|line| line.contains("/c/")).unwrap_or_else(|| panic!("{text}"));
        format!("/c/{}", link.rsplit('/').next().unwrap())
    }

    fn state(&self, who: &str) -> ConsentState {
        fold(&self.history(who), self.clock.now())
    }

    fn history(&self, who: &str) -> Vec<ConsentEvent> {
        let profile = self.gateway.running.store().profile(&SenderId(SENDER.to_owned()), &key(who)).unwrap();
        profile.consent(&Purpose(PURPOSE.to_owned())).to_vec()
    }

    fn wait(&self, hours: i64) {
        self.clock.set(self.clock.now() + SignedDuration::from_hours(hours));
    }

    /// Consent events on record.
    fn consents(&self) -> usize {
        let events = self.gateway.events();
        events.iter().filter(|event| matches!(event, Event::Consent(_))).count()
    }

    fn mails(&self) -> usize {
        let events = self.gateway.events();
        events.iter().filter(|event| matches!(event, Event::NoticeSent { .. })).count()
    }
}

fn filled_in(who: &str) -> String {
    let who = who.replace('@', "%40").replace('+', "%2B");
    format!("email={who}&website=&consent=yes&text={}", hex(&sha256(TEXT.as_bytes())))
}

#[tokio::test(flavor = "multi_thread")]
async fn l12_who_signs_up_and_confirms_by_mail_has_consented_with_grade_a() {
    let mut house = House::open().await;
    let answer = house.sign_up(READER).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!answer.body.contains("<script") && answer.header("set-cookie").is_none());
    assert_eq!(house.state(READER), ConsentState::Requested, "nothing before the button");

    let mail = house.next_hop.next().await;
    let text = String::from_utf8(mail.data.clone()).unwrap();
    assert!(mail.mail.starts_with("<>") && mail.rcpt == [format!("<{READER}>")], "{mail:?}");
    assert!(text.contains("DKIM-Signature:") && text.contains("d=voorbeeldhypotheken.nl"), "{text}");
    let parsed = MessageParser::new().parse(&mail.data).unwrap();
    let shown = parsed.body_text(0).unwrap();
    assert!(shown.contains(TEXT) && shown.contains("127.0.0.1"), "{shown}");
    let link = shown.lines().find(|line| line.contains("/c/")).unwrap();
    let link = format!("/c/{}", link.rsplit('/').next().unwrap());

    // A scanner that opens every link of a mail signs nobody up.
    for method in ["GET", "HEAD", "OPTIONS", "PUT"] {
        house.ask(method, &link, "", "").await;
    }
    let page = house.ask("GET", &link, "", "").await;
    assert!(page.status == 200 && page.body.contains(TEXT) && page.body.contains("l…r@example.org"));
    assert_eq!(house.consents(), 1, "a GET changes nothing");
    let mut client = house.gateway.client().await;
    let refused = client.submit(NEWS, &[READER], message(NEWS, "Dag")).await;
    assert_eq!(refused.code, 550, "{refused:?}");

    let done = house.ask("POST", &link, "", "").await;
    assert_eq!(done.status, 200, "{done:?}");
    let ConsentState::Granted { grade, by_person, event, .. } = house.state(READER) else {
        panic!("{:?}", house.history(READER));
    };
    assert!(grade == Grade::A && by_person);
    let evidence = &house.history(READER)[event].evidence;
    assert_eq!(evidence.text_sha256.as_deref(), Some(&*hex(&sha256(TEXT.as_bytes()))));
    assert_eq!(evidence.source.as_deref(), Some(&*format!("{SITE}/nieuws")));
    assert_eq!((evidence.act, evidence.ip.as_deref()), (Some(Act::TickedBox), Some("127.0.0.1")));
    assert_eq!(evidence.privacy_version.as_deref(), Some("2026-01"));
    let is_text = |event: &Event| matches!(event, Event::ConsentText { text, .. } if text == TEXT);
    assert_eq!(house.gateway.events().iter().filter(|event| is_text(event)).count(), 1);
    let confirm = house.history(READER).into_iter().find(|event| event.kind == ConsentEventKind::Confirm);
    assert_eq!(confirm.unwrap().evidence.act, Some(Act::ClickedConfirm));

    assert_eq!(house.ask("POST", &link, "", "").await.face(), done.face());
    assert_eq!(house.consents(), 3, "once is enough");
    let reply = client.submit(NEWS, &[READER], message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "{reply:?}");

    // What was put right since is never said to stand.
    let now = house.clock.now();
    let event = ConsentEvent {
        kind: ConsentEventKind::Correct,
        at: now,
        recorded_at: now,
        evidence: Evidence::default(),
    };
    let (sender, purpose) = (SenderId(SENDER.to_owned()), Purpose(PURPOSE.to_owned()));
    let corrected = Consented { sender, purpose, address: key(READER), event, source: "cli".to_owned() };
    house.gateway.record(vec![Event::Consent(corrected)]).await;
    house.wait(1);
    assert_eq!(house.ask("POST", &link, "", "").await.status, 410);
    let refused = client.submit(NEWS, &[READER], message(NEWS, "Dag")).await;
    assert_eq!(refused.code, 550, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn l12_the_answer_tells_nobody_who_is_known_and_no_suppressed_address_is_mailed() {
    let house = House::open().await;
    for reason in [Reason::Unsubscribed, Reason::Complaint, Reason::Objection, Reason::Manual] {
        house.gateway.suppress(&format!("{}@example.org", reason.as_str()), reason).await;
    }
    let unknown = house.sign_up("nieuw@example.org").await;
    let suppressed = ["unsubscribed", "complaint", "objection", "manual", "unsubscribed+tag"];
    for who in suppressed {
        let answer = house.sign_up(&format!("{who}@example.org")).await;
        assert_eq!(answer.face(), unknown.face(), "{who}");
        assert!(house.history(&format!("{who}@example.org")).is_empty(), "{who}");
    }
    assert_eq!(house.mails(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn l12_one_mail_and_one_more_and_none_to_who_has_consented() {
    let mut house = House::open().await;
    for _ in 0..4 {
        assert_eq!(house.sign_up(READER).await.status, 200);
        house.wait(7 * 24);
    }
    assert_eq!(house.mails(), 2, "once plus one reminder");
    house.wait(10 * 24);
    house.sign_up(READER).await;
    assert_eq!(house.mails(), 3, "a month later the person may ask anew");
    for _ in 0..2 {
        house.link(READER).await;
    }
    let link = house.link(READER).await;
    assert_eq!(house.ask("POST", &link, "", "").await.status, 200);
    house.wait(40 * 24);
    house.sign_up(READER).await;
    assert_eq!(house.mails(), 3, "who has consented is not asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn l12_nobody_can_fill_a_mailbox_with_tags_or_a_network_all_of_them() {
    let house = House::with("\n[limits]\nform_mails_per_address = 3\nforms_per_network = 6\n").await;
    for tag in 0..5 {
        assert_eq!(house.sign_up(&format!("lezer+{tag}@example.org")).await.status, 200);
    }
    assert_eq!(house.mails(), 3);
    assert_eq!(house.sign_up("ander@example.org").await.status, 200);
    let answer = house.sign_up("nogeen@example.org").await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("600")));
    assert_eq!(house.mails(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn l12_the_link_expires_and_is_good_for_nothing_else() {
    let mut house = House::open().await;
    house.sign_up(READER).await;
    let link = house.link(READER).await;
    let wrong = house.ask("POST", &format!("{link}a"), "", "").await;
    assert_eq!(wrong.status, 404);
    let unsubscribe = house.ask("POST", &link.replace("/c/", "/u/"), "", "").await;
    assert_eq!(unsubscribe.face(), wrong.face(), "it unsubscribes nobody");
    house.wait(3 * 24 + 1);
    for method in ["GET", "POST"] {
        let answer = house.ask(method, &link, "", "").await;
        assert_eq!(answer.status, 410, "{method}");
    }
    assert_eq!(house.state(READER), ConsentState::Requested);
}

/// A next hop that has no time for mail to the reader.
async fn busy_for_the_reader() -> NextHop {
    let busy = |moment: Moment, line: &str| {
        let is_busy = moment == Moment::Command && line.starts_with("RCPT") && line.contains(READER);
        is_busy.then(|| Say("451 4.3.2 not now\r\n".to_owned()))
    };
    NextHop::scripted(&["PIPELINING"], busy).await
}

#[tokio::test(flavor = "multi_thread")]
async fn l12_a_confirmation_mail_that_waits_does_not_go_to_who_left_or_cannot_be_reached() {
    let sender = || SenderId(SENDER.to_owned());
    let left = Unsubscribed {
        sender: sender(),
        address: key(READER),
        way: Way::OneClick,
        token: None,
        reference: None,
        purpose: None,
        ip: None,
        user_agent: None,
    };
    let objection = Suppressed {
        sender: sender(),
        address: key(READER),
        suppression: Suppression {
            reason: Reason::Objection,
            since: SystemClock.now(),
            source: "letter".to_owned(),
        },
        reference: None,
    };
    let block = DeliveryBlock { since: SystemClock.now(), reply: "550 5.1.1 gone".to_owned() };
    let gone = Undeliverable { sender: sender(), address: key(READER), block };
    for (event, why) in [
        (Event::Unsubscribed(left), "unsubscribed"),
        (Event::Suppression(objection), "objected"),
        (Event::Undeliverable(gone), "failed for good"),
    ] {
        // Who only observes lets no mail of its own go to them either.
        for mode in ["", "observe"] {
            let mut house = House::before(busy_for_the_reader().await, "").await;
            if mode == "observe" {
                let file = house.gateway.folder.path().join("sluis.toml");
                let text = std::fs::read_to_string(&file).unwrap();
                std::fs::write(&file, format!("mode = \"observe\"\n{text}")).unwrap();
                house.gateway.running.reload().unwrap();
            }
            assert_eq!(house.sign_up(READER).await.status, 200);
            house.gateway.wait_for(|event| matches!(event, Event::Delayed(_)).then_some(())).await;
            house.gateway.record(vec![event.clone()]).await;
            house.wait(2);
            // Another mail wakes the spool.
            assert_eq!(house.sign_up("ander@example.org").await.status, 200);
            let cancelled = |event: &Event| match event {
                Event::Cancelled(outcome) => Some((outcome.recipients.clone(), outcome.reply.clone())),
                _ => None,
            };
            let (who, reply) = house.gateway.wait_for(cancelled).await;
            assert_eq!(who[0].as_str(), READER);
            assert!(reply.contains(why), "the ledger says why: {reply}");
            house.link("ander@example.org").await;
            assert_eq!(house.gateway.running.store().count().unwrap(), 0, "it waits no longer");
            assert!(house.gateway.running.store().verify_all(&[]).unwrap().is_sound());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l10_the_tool_that_mails_is_told_who_signed_up() {
    let mut hook = Hook::start(&[], None).await;
    let secret = tempfile::tempdir().unwrap();
    let file = secret.path().join("hook.key");
    std::fs::write(&file, "0123456789abcdef0123456789abcdef").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (at, file) = (hook.address, file.display());
    let tail = format!("\n[[webhook]]\nname = \"crm\"\nurl = \"http://{at}/\"\nsecret_file = \"{file}\"\n");
    let mut house = House::with(&tail).await;
    house.sign_up(READER).await;
    let link = house.link(READER).await;
    for _ in 0..2 {
        assert_eq!(house.ask("POST", &link, "", "").await.status, 200);
    }
    let told = hook.next().await.json();
    assert_eq!((&told["type"], &told["data"]["address"]), (&"consented".into(), &READER.into()));
    assert_eq!((&told["data"]["purpose"], &told["data"]["note"]), (&PURPOSE.into(), &"form nieuws".into()));
    house.gateway.wait_for(|event| matches!(event, Event::Told(_)).then_some(())).await;
    let owed = house.gateway.running.store().list_owed(None, 10).unwrap();
    assert!(owed.is_empty(), "once, and in no mail of the day: {owed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn l18_a_confirmation_mail_that_waits_does_not_go_to_somebody_who_was_erased() {
    let house = House::before(busy_for_the_reader().await, "").await;
    assert_eq!(house.sign_up(READER).await.status, 200);
    assert_eq!(house.sign_up("ander@example.org").await.status, 200);
    let delayed = |event: &Event| matches!(event, Event::Delayed(_)).then_some(());
    house.gateway.wait_for(delayed).await;
    let store = house.gateway.running.store();
    assert_eq!(store.count().unwrap(), 1, "it waits");
    let socket = house.gateway.folder.path().join("var").join("sluis.sock");
    let address = key(READER);
    let erase = LedgerRequest::Erase { address: address.clone(), dry_run: false };
    let answer = tokio::task::spawn_blocking(move || {
        Client::connect(&socket, 1 << 20).unwrap().unwrap().ask(&Request::Ledger(erase)).unwrap()
    });
    let answer = answer.await.unwrap();
    let sluis::admin::Answer::Ledger(LedgerAnswer::Erased { erasure, .. }) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(store.count().unwrap(), 0, "it waits no longer");
    assert!(erasure.kept.is_empty() && erasure.kept_until.is_none(), "never mailed: {erasure:?}");
    // Of what is left, nothing names the person, and the other one is untouched.
    let size = store.size().unwrap();
    for found in store.entries(0..size).unwrap() {
        let json = serde_json::to_string(&found.entry).unwrap();
        assert!(!json.contains(READER), "{json}");
    }
    assert_eq!(house.history("ander@example.org").len(), 1);
    assert!(store.verify_all(&[]).unwrap().is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn l16_who_unsubscribed_after_signing_up_stays_so() {
    let mut house = House::open().await;
    house.sign_up(READER).await;
    let link = house.link(READER).await;
    house.wait(1);
    let unsubscribed = Unsubscribed {
        sender: SenderId(SENDER.to_owned()),
        address: key(READER),
        way: Way::Page,
        token: None,
        reference: None,
        purpose: None,
        ip: None,
        user_agent: None,
    };
    house.gateway.record(vec![Event::Unsubscribed(unsubscribed)]).await;
    let answer = house.ask("POST", &link, "", "").await;
    assert!(answer.body.contains("Er is niets veranderd"), "{answer:?}");
    assert_eq!(house.consents(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn l12_what_is_no_request_of_a_person_on_a_site_of_the_sender_is_not_taken() {
    let house = House::open().await;
    let whole = filled_in(READER);
    let site = format!("Origin: {SITE}\r\n");
    let page = house.gateway.running.unsubscribe();
    for (headers, body, status) in [
        (&*site, whole.replace("example.org", ""), 400),
        (&site, whole.replace("consent=yes", ""), 400),
        (&site, whole.replace("text=", "text=0"), 400),
        ("", whole.clone(), 403),
        ("Origin: null\r\n", whole.clone(), 403),
        ("Origin: https://elders.example\r\n", whole.clone(), 403),
        ("Referer: https://elders.example/?https://www.voorbeeldhypotheken.nl\r\n", whole.clone(), 403),
        (&site, whole.clone() + &"x".repeat(70_000), 413),
    ] {
        assert_eq!(house.send(headers, &body).await.status, status, "{headers:?} {body:.40}");
    }
    let json = house.ask("POST", "/subscribe/nieuws", &site, &whole).await;
    assert_eq!(json.status, 415);
    assert_eq!(house.ask("POST", "/subscribe/anders", &site, &whole).await.status, 404);
    assert_eq!(house.ask("DELETE", "/subscribe/nieuws", &site, "").await.status, 405);
    assert_eq!(house.send(&site, &whole.replace("website=", "website=x")).await.status, 200);
    assert_eq!(house.mails(), 0, "a program that fills in everything is told what everybody is");
    // The page that the gateway itself shows, by its Referer, and the one of the sender.
    assert_eq!(house.send(&format!("Referer: http://{page}/subscribe/nieuws\r\n"), &whole).await.status, 200);
    assert_eq!(house.mails(), 1);
    let shown = house.ask("GET", "/subscribe/nieuws", "", "").await;
    assert!(shown.status == 200 && shown.body.contains(TEXT), "{shown:?}");
    assert_eq!(shown.header("referrer-policy"), Some("same-origin"));
}

mod desk {
    //! What cannot be seen from outside: the commits.

    use std::time::Duration;

    use sluis::ledger::Record;
    use sluis::limits::{LimitSettings, Limits};
    use sluis::mail::Address;
    use sluis::net::call::{Caller, Reach, Target};
    use sluis::net::tls::Trust;
    use sluis::secret::{SharedEntropy, SystemEntropy};
    use sluis::subscribe::{Form, Mails, Parts, SignUps, Visit};
    use sluis::token::Keys;
    use sluis::unsubscribe::{Desk, Notices, Outside, Settings};
    use tokio::sync::watch;

    use super::*;
    use crate::support::ledger::Memory;

    /// Counts what it was asked for.
    #[derive(Debug, Default)]
    struct Post(std::sync::atomic::AtomicUsize);

    impl Mails for Post {
        fn confirmation(&self, _: &Form, to: &Address, _: &str, _: &ConsentEvent) -> Record {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let copy = sluis::mail::CopyId::parse("00000000000000000000000000-0").unwrap();
            let about = "confirmation".to_owned();
            Record::of(Event::NoticeSent { to: to.clone(), about, copy })
        }

        fn confirmed(&self, _: &mut Record, _: usize, _: bool) {}

        fn recorded(&self) {}
    }

    impl Notices for Post {
        fn compose(&self, _: sluis::ledger::News<'_>, _: &sluis::mail::Sender) -> Record {
            Record::default()
        }

        fn pass_on(&self, _: &mut Record, _: &Address, _: bytes::Bytes) {
            unreachable!("nothing comes back to a form");
        }

        fn recorded(&self) {}
    }

    #[tokio::test]
    async fn l12_every_answer_costs_one_commit_and_none_is_given_without() {
        let (ledger, scribe) = Memory::open();
        let post = Arc::new(Post::default());
        let clock: sluis::clock::SharedClock = Arc::new(SystemClock);
        let entropy: SharedEntropy = Arc::new(SystemEntropy);
        let register = Arc::new(ledger.clone());
        let settings = Settings {
            keys: Keys::generate(&SystemEntropy),
            senders: vec![support::sender()],
            looks: Vec::new(),
            outside: Outside {
                doors: vec![Target::parse("http://127.0.0.1:9").unwrap()],
                via: None,
                caller: Caller::new(&Trust::Anybody, Reach::Anybody, Duration::from_secs(1)).unwrap(),
            },
            hosts: Vec::new(),
            trusted_proxies: Vec::new(),
        };
        let (_settings, seen) = watch::channel(Arc::new(settings));
        let desk = Desk::new(seen, register.clone(), scribe.clone(), post.clone(), clock.clone());
        let form = Arc::new(Form {
            name: "nieuws".to_owned(),
            sender: support::sender(),
            purpose: Purpose(PURPOSE.to_owned()),
            text: TEXT.to_owned(),
            text_sha256: hex(&sha256(TEXT.as_bytes())),
            privacy_url: None,
            privacy_version: None,
            from: support::address(NEWS),
            language: sluis::mail::Language::Nl,
            origins: Vec::new(),
            url: "https://afmelden.example".to_owned(),
            confirm_within: Duration::from_secs(3_600),
            ask_again_after: Duration::from_secs(86_400),
        });
        let (_forms, forms) = watch::channel(Arc::new(vec![form.clone()]));
        let limits = Limits::new(LimitSettings::default(), &clock);
        let mails = post.clone();
        let desk = Arc::new(desk);
        let sign_ups = SignUps::new(Parts { forms, desk, register, scribe, mails, limits, clock, entropy });
        let sender = SenderId(SENDER.to_owned());
        let suppression = sluis::suppression::Suppression {
            reason: Reason::Objection,
            since: SystemClock.now(),
            source: "letter".to_owned(),
        };
        let profile = sluis::policy::Profile { suppressions: vec![suppression], ..Default::default() };
        ledger.put(&sender, &key("weg@example.org"), profile);
        let mut recorded = Vec::new();
        for who in ["nieuw@example.org", "weg@example.org"] {
            let commits = ledger.commits();
            sign_ups.ask(&form, &support::address(who), Visit::default()).await.unwrap();
            assert_eq!(ledger.commits(), commits + 1, "{who}");
            recorded.push(ledger.events().len());
        }
        assert_eq!(recorded, [2, 2], "the request and its mail, and nothing");
        assert_eq!(post.0.load(std::sync::atomic::Ordering::SeqCst), 2, "made in any case");
        ledger.set_failing(true);
        for who in ["ander@example.org", "weg@example.org"] {
            assert!(sign_ups.ask(&form, &support::address(who), Visit::default()).await.is_err(), "{who}");
        }
    }
}
