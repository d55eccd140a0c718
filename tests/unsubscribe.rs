//! Unsubscribing over a real listener, with requests spelled octet by octet.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use jiff::Timestamp;
use sluis::clock::SystemClock;
use sluis::consent::{ConsentEvent, ConsentEventKind, Evidence};
use sluis::ledger::{Event, News, Record, Unsubscribed, Way, Why};
use sluis::mail::{Address, Purpose, Reference, Sender, SenderId};
use sluis::net::call::{Caller, Reach, Target};
use sluis::net::tls::{self, Trust};
use sluis::policy::{ConsentHistory, Profile};
use sluis::secret::{Entropy, SystemEntropy};
use sluis::shutdown::Shutdown;
use sluis::suppression::{Reason, Suppression};
use sluis::token::{self, Claim, Keys};
use sluis::unsubscribe::{Desk, Health, Limits, Notices, Outside, Settings, run};
use support::http::{Answer, ask, read};
use support::ledger::Memory;
use support::patience::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Says which notices it was asked for, as an entry.
#[derive(Debug, Default)]
struct Told(AtomicUsize);

impl Notices for Told {
    fn compose(&self, news: News<'_>, sender: &Sender) -> Record {
        let copy = "00000000000000000000000000-0";
        Record::of(Event::NoticeSent {
            to: sender.notify[0].clone(),
            about: format!("unsubscribe of {}", news.address()),
            copy: sluis::mail::CopyId::parse(copy).unwrap(),
        })
    }

    fn pass_on(&self, _: &mut Record, _: &Address, _: Bytes) {
        unreachable!("nothing comes back to a page");
    }

    fn recorded(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct House {
    address: SocketAddr,
    keys: Keys,
    ledger: Memory,
    told: Arc<Told>,
    desk: Arc<Desk>,
    settings: watch::Sender<Arc<Settings>>,
    shutdown: Shutdown,
}

/// The door at `address`, in the clear.
fn outside(address: SocketAddr) -> Outside {
    let caller = Caller::new(&Trust::Anybody, Reach::Anybody, Duration::from_secs(10)).unwrap();
    Outside { doors: vec![Target::parse(&format!("http://{address}")).unwrap()], via: None, caller }
}

impl House {
    async fn open() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let keys = Keys::generate(&SystemEntropy);
        let settings = Settings {
            keys: keys.clone(),
            senders: vec![support::sender()],
            looks: Vec::new(),
            outside: outside(address),
            hosts: Vec::new(),
            trusted_proxies: Vec::new(),
        };
        let (settings, seen) = watch::channel(Arc::new(settings));
        let (ledger, scribe) = Memory::open();
        let told = Arc::new(Told::default());
        let desk =
            Arc::new(Desk::new(seen, Arc::new(ledger.clone()), scribe, told.clone(), Arc::new(SystemClock)));
        let shutdown = Shutdown::new();
        shutdown.spawn(run(listener, None, desk.clone(), Arc::new(SystemEntropy), limits, shutdown.clone()));
        Self { address, keys, ledger, told, desk, settings, shutdown }
    }

    fn claim(&self, address: &str) -> Claim {
        Claim {
            sender: SenderId("12345678".to_owned()),
            address: support::address(address).key().clone(),
            reference: Reference::new(Timestamp::UNIX_EPOCH, [7; 10]),
            purpose: Some(Purpose("nieuwsbrief".to_owned())),
        }
    }

    fn token(&self, address: &str) -> String {
        self.keys.mint(&self.claim(address), &SystemEntropy)
    }

    fn change(&self, change: impl FnOnce(&mut Settings)) {
        self.settings.send_modify(|settings| change(Arc::make_mut(settings)));
    }

    async fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        ask(self.address, request).await
    }

    /// The unsubscribes on record.
    fn unsubscribed(&self) -> Vec<Unsubscribed> {
        let events = self.ledger.events().into_iter();
        events.filter_map(|event| if let Event::Unsubscribed(it) = event { Some(it) } else { None }).collect()
    }
}

const ONE_CLICK: &str = "List-Unsubscribe=One-Click";

fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn one_click(token: &str) -> String {
    post(&format!("/u/{token}"), "Content-Type: application/x-www-form-urlencoded\r\n", ONE_CLICK)
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
}

const MULTIPART: &str =
    "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--";

fn chunked(body: &str) -> String {
    let (head, tail) = body.split_at(body.len() / 2);
    format!("{:x}\r\n{head}\r\n{:x};ext=1\r\n{tail}\r\n0\r\n\r\n", head.len(), tail.len())
}

/// A request for the path of a link.
type Shape = Box<dyn Fn(&str) -> String>;

#[tokio::test]
async fn p7_every_shape_of_post_unsubscribes() {
    let house = House::open().await;
    const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
    const PARTS: &str = "Content-Type: multipart/form-data; boundary=b\r\n";
    let shapes: Vec<(&str, Shape)> = vec![
        ("urlencoded", Box::new(|p: &str| post(p, FORM, ONE_CLICK))),
        ("a trailing CRLF in the body", Box::new(|p: &str| post(p, FORM, "List-Unsubscribe=One-Click\r\n"))),
        ("a trailing CRLF after the body", Box::new(|p: &str| post(p, FORM, ONE_CLICK) + "\r\n")),
        ("multipart", Box::new(|p: &str| post(p, PARTS, MULTIPART))),
        (
            "multipart, chunked",
            Box::new(|p: &str| {
                let head =
                    format!("POST {p} HTTP/1.1\r\nHost: x\r\n{PARTS}Transfer-Encoding: chunked\r\n\r\n");
                head + &chunked(MULTIPART)
            }),
        ),
        (
            "urlencoded, chunked",
            Box::new(|p: &str| {
                let head =
                    format!("POST {p} HTTP/1.1\r\nHost: x\r\n{FORM}Transfer-Encoding: chunked\r\n\r\n");
                head + &chunked(ONE_CLICK)
            }),
        ),
        ("absolute form", Box::new(|p: &str| post(&format!("http://x{p}"), FORM, ONE_CLICK))),
        (
            "absolute FORM, https",
            Box::new(|p: &str| post(&format!("https://mail.example.nl{p}"), FORM, ONE_CLICK)),
        ),
        (
            "HTTP/1.0",
            Box::new(|p: &str| format!("POST {p} HTTP/1.0\r\nContent-Length: 26\r\n\r\n{ONE_CLICK}")),
        ),
        ("any User-Agent", Box::new(|p: &str| post(p, "User-Agent: \u{1F98A} <script>\r\n", ONE_CLICK))),
        (
            "another site's Origin",
            Box::new(|p: &str| post(p, "Origin: https://elsewhere.example\r\n", ONE_CLICK)),
        ),
        ("no type", Box::new(|p: &str| post(p, "", ONE_CLICK))),
        ("a strange type", Box::new(|p: &str| post(p, "Content-Type: text/x-nonsense; ;;\r\n", ONE_CLICK))),
        ("no body", Box::new(|p: &str| post(p, "", ""))),
        (
            "a query that a scanner added",
            Box::new(|p: &str| post(&format!("{p}?utm_source=x"), FORM, ONE_CLICK)),
        ),
    ];
    for (number, (shape, request)) in shapes.iter().enumerate() {
        let who = format!("reader{number}@example.nl");
        let answer = house.ask(request(&format!("/u/{}", house.token(&who)))).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "Unsubscribed.\n"), "{shape}");
        assert_eq!(answer.header("location"), None, "{shape}");
        assert_eq!(answer.header("set-cookie"), None, "{shape}");
        let last = house.unsubscribed().pop().unwrap();
        assert_eq!((last.address.as_str(), last.way), (who.as_str(), Way::OneClick), "{shape}");
    }
    assert_eq!(house.unsubscribed().len(), shapes.len());
}

#[tokio::test]
async fn p7_http_2_with_prior_knowledge() {
    let house = House::open().await;
    let token = house.token("reader@example.nl");
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    // RFC 9113: preface, SETTINGS, one HEADERS frame (literal fields, never indexed), one DATA frame.
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(":path", format!("/u/{token}")), (":authority", "x".to_owned())] {
        block.push(0x10);
        block.push(name.len() as u8);
        block.extend(name.as_bytes());
        // A 7-bit prefixed integer (RFC 7541 5.1).
        if value.len() < 127 {
            block.push(value.len() as u8);
        } else {
            let rest = value.len() - 127;
            block.push(127);
            if rest < 128 {
                block.push(rest as u8);
            } else {
                block.extend([(rest % 128 + 128) as u8, (rest / 128) as u8]);
            }
        }
        block.extend(value.as_bytes());
    }
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = (payload.len() as u32).to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, stream]);
        frame.extend(payload);
        frame
    };
    let mut request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    request.extend(frame(4, 0, 0, &[]));
    request.extend(frame(1, 4, 1, &block));
    request.extend(frame(0, 1, 1, ONE_CLICK.as_bytes()));
    stream.write_all(&request).await.unwrap();
    // The answer's body is the one DATA frame of the stream.
    let mut seen = Vec::new();
    while !seen.windows(13).any(|window| window == b"Unsubscribed.") {
        assert!(within(stream.read_buf(&mut seen)).await.unwrap() > 0, "{seen:?}");
    }
    assert_eq!(house.unsubscribed()[0].address.as_str(), "reader@example.nl");
}

#[tokio::test]
async fn p7_twice_is_one_entry_and_one_notice() {
    let house = House::open().await;
    let token = house.token("reader@example.nl");
    for _ in 0..3 {
        assert_eq!(house.ask(one_click(&token)).await.status, 200);
    }
    // Another message's link for the same reader, and the page's button.
    let page = post(&format!("/u/{}", house.token("reader@example.nl")), "", "way=page");
    assert_eq!(house.ask(page).await.status, 200);
    assert_eq!(house.ledger.events().len(), 2, "one unsubscribe, one notice");
    assert_eq!(house.told.0.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn p7_at_once_is_one_entry_too() {
    let house = Arc::new(House::open().await);
    house.ledger.hold();
    let token = house.token("reader@example.nl");
    let clicks: Vec<_> = (0..20)
        .map(|_| {
            let (house, token) = (house.clone(), token.clone());
            tokio::spawn(async move { house.ask(one_click(&token)).await.status })
        })
        .collect();
    let ledger = house.ledger.clone();
    tokio::task::spawn_blocking(move || ledger.wait_until_held()).await.unwrap();
    house.ledger.release();
    for click in clicks {
        assert_eq!(click.await.unwrap(), 200);
    }
    assert_eq!(house.unsubscribed().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_thousand_at_once_are_all_durable() {
    let house = Arc::new(House::open().await);
    let clicks: Vec<_> = (0..1_000)
        .map(|number| {
            let house = house.clone();
            tokio::spawn(async move {
                let token = house.token(&format!("reader{number}@example.nl"));
                house.ask(one_click(&token)).await.status
            })
        })
        .collect();
    for click in clicks {
        assert_eq!(click.await.unwrap(), 200);
    }
    assert_eq!(house.unsubscribed().len(), 1_000);
}

#[tokio::test]
async fn p7_no_limit_by_address_and_one_connection_for_many() {
    let house = House::open().await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    for number in 0..300 {
        let request = one_click(&house.token(&format!("reader{number}@example.nl")));
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(read(&mut stream, false).await.status, 200, "{number}");
    }
    assert_eq!(house.unsubscribed().len(), 300);
}

#[tokio::test]
async fn l3_a_new_grant_can_be_withdrawn_again() {
    let house = House::open().await;
    let claim = house.claim("reader@example.nl");
    let later = Timestamp::from_second(1_000).unwrap();
    let grant = ConsentEvent {
        kind: ConsentEventKind::Grant,
        at: later,
        recorded_at: later,
        evidence: Evidence::default(),
    };
    let history = ConsentHistory { purpose: Purpose("nieuwsbrief".to_owned()), events: vec![grant] };
    let profile = Profile { consents: vec![history], ..Profile::default() };
    house.ledger.put(&claim.sender, &claim.address, profile);
    let token = house.token("reader@example.nl");
    // The ledger in memory dates unsubscribes at the epoch: before the grant.
    for count in 1..=2 {
        assert_eq!(house.ask(one_click(&token)).await.status, 200);
        assert_eq!(house.unsubscribed().len(), count);
    }
}

#[tokio::test]
async fn l19_a_click_counts_beside_an_opt_out_that_an_undone_import_could_take_with_it() {
    let house = House::open().await;
    let file = format!("list.csv (SHA-256 {}), import 01h7", "0f".repeat(32));
    for (reader, source, recorded) in
        [("before@example.nl", "one_click", 0), ("reader@example.nl", file.as_str(), 1)]
    {
        let (reason, since) = (Reason::Unsubscribed, Timestamp::UNIX_EPOCH);
        let suppressions = vec![Suppression { reason, since, source: source.to_owned() }];
        let claim = house.claim(reader);
        house.ledger.put(&claim.sender, &claim.address, Profile { suppressions, ..Profile::default() });
        assert_eq!(house.ask(one_click(&house.token(reader))).await.status, 200);
        assert_eq!(house.unsubscribed().len(), recorded, "{source}");
    }
}

#[tokio::test]
async fn l15_what_is_known_of_the_request_is_on_record() {
    let house = House::open().await;
    let token = house.token("reader@example.nl");
    house.change(|settings| settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]);
    let headers = format!("X-Forwarded-For: 203.0.113.9\r\nUser-Agent: Mailer/1 {}\r\n", "x".repeat(1_000));
    house.ask(post(&format!("/u/{token}"), &headers, ONE_CLICK)).await;
    let it = house.unsubscribed().pop().unwrap();
    assert_eq!(it.ip.as_deref(), Some("203.0.113.9"));
    let agent = it.user_agent.unwrap();
    assert!(agent.starts_with("Mailer/1 x") && agent.len() == 256, "{agent}");
    assert_eq!(it.token, Some(token::id(&token)));
    assert_eq!(it.purpose, Some(Purpose("nieuwsbrief".to_owned())));
    assert_eq!(it.reference, Some(house.claim("reader@example.nl").reference));
    assert!(!format!("{:?}", house.ledger.events()).contains(&token), "the token is a capability");
}

#[tokio::test]
async fn l10_the_notice_is_in_the_same_record() {
    let house = House::open().await;
    house.ask(one_click(&house.token("reader@example.nl"))).await;
    assert_eq!(house.ledger.commits(), 1);
    let events = house.ledger.events();
    assert!(matches!(&events[..], [Event::Unsubscribed(_), Event::NoticeSent { .. }]), "{events:?}");
}

#[tokio::test]
async fn promise_7_nothing_but_post_changes_anything() {
    let house = House::open().await;
    let token = house.token("reader@example.nl");
    let path = format!("/u/{token}");
    let body = format!("Content-Length: {}\r\n\r\n{ONE_CLICK}", ONE_CLICK.len());
    for (method, extra, status) in [
        ("GET", "\r\n".to_owned(), 200),
        ("GET", body.clone(), 200),
        ("GET", format!("Sec-Purpose: prefetch;prerender\r\nPurpose: prefetch\r\n{body}"), 200),
        ("GET", format!("X-HTTP-Method-Override: POST\r\nX-HTTP-Method: POST\r\n{body}"), 200),
        ("HEAD", "\r\n".to_owned(), 200),
        ("OPTIONS", "\r\n".to_owned(), 204),
        ("OPTIONS", format!("Access-Control-Request-Method: POST\r\n{body}"), 204),
        ("PUT", body.clone(), 405),
        ("DELETE", "\r\n".to_owned(), 405),
        ("PATCH", body.clone(), 405),
        ("post", body.clone(), 405),
        ("PROPFIND", "\r\n".to_owned(), 405),
    ] {
        let request = format!("{method} {path}?List-Unsubscribe=One-Click HTTP/1.1\r\nHost: x\r\n{extra}");
        let answer = house.ask(request).await;
        assert_eq!(answer.status, status, "{method} {extra}");
        if matches!(status, 204 | 405) {
            assert_eq!(answer.header("allow"), Some("GET, HEAD, POST, OPTIONS"));
        }
    }
    assert_eq!(house.ledger.commits(), 0);
}

#[tokio::test]
async fn promise_7_a_link_outlives_rotation_and_its_sender() {
    let house = House::open().await;
    let old = house.token("reader@example.nl");
    let rotated = house.keys.rotate(&SystemEntropy).unwrap();
    house.change(|settings| {
        settings.keys = rotated;
        settings.senders.clear();
    });
    let page = house.ask(get(&format!("/u/{old}"), "Accept-Language: en\r\n")).await;
    assert!(page.status == 200 && page.body.contains("this sender"), "{page:?}");
    assert_eq!(house.ask(one_click(&old)).await.status, 200);
    assert_eq!(house.unsubscribed()[0].sender.0, "12345678");
}

#[tokio::test]
async fn promise_6_the_answer_comes_after_the_record() {
    let house = House::open().await;
    house.ledger.hold();
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(one_click(&house.token("reader@example.nl")).as_bytes()).await.unwrap();
    let ledger = house.ledger.clone();
    tokio::task::spawn_blocking(move || ledger.wait_until_held()).await.unwrap();
    let mut early = [0; 1];
    assert!(stream.try_read(&mut early).is_err(), "answered before it was durable");
    house.ledger.release();
    assert_eq!(read(&mut stream, false).await.status, 200);
    assert_eq!(house.unsubscribed().len(), 1);
}

#[tokio::test]
async fn promise_6_a_client_that_hangs_up_has_unsubscribed() {
    let house = House::open().await;
    house.ledger.hold();
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(one_click(&house.token("reader@example.nl")).as_bytes()).await.unwrap();
    let ledger = house.ledger.clone();
    tokio::task::spawn_blocking(move || ledger.wait_until_held()).await.unwrap();
    stream.set_zero_linger().unwrap();
    drop(stream);
    // The drain waits for the record, not only for the connection.
    house.shutdown.request();
    house.ledger.release();
    house.shutdown.drained().await;
    assert_eq!(house.unsubscribed().len(), 1);
    assert_eq!(house.told.0.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn promise_5_not_recorded_is_never_200() {
    let house = House::open().await;
    house.ledger.set_failing(true);
    let token = house.token("reader@example.nl");
    let answer = house.ask(one_click(&token)).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("60"));
    assert!(answer.body.contains("try again"), "{}", answer.body);
    let page = house.ask(post(&format!("/u/{token}"), "Accept-Language: de\r\n", "way=page")).await;
    assert_eq!(page.status, 503);
    assert!(page.body.contains("noch nicht geklappt") && page.body.contains("<form"), "{}", page.body);
    assert_eq!(house.told.0.load(Ordering::SeqCst), 0);

    house.ledger.set_failing(false);
    assert_eq!(house.ask(one_click(&token)).await.status, 200);
    assert_eq!(house.unsubscribed().len(), 1);
}

#[tokio::test]
async fn promise_6_a_register_that_cannot_be_read_keeps_nobody_in() {
    let house = House::open().await;
    house.ledger.set_unreadable(true);
    assert_eq!(house.ask(one_click(&house.token("reader@example.nl"))).await.status, 200);
    assert_eq!(house.unsubscribed().len(), 1);
}

#[tokio::test]
async fn promise_7_wrong_truncated_and_foreign_links_look_alike() {
    let house = House::open().await;
    let foreign = Keys::generate(&SystemEntropy).mint(&house.claim("reader@example.nl"), &SystemEntropy);
    // Sealed well, with a key that is kept no longer.
    let retired = house.token("reader@example.nl");
    let kept = house.keys.rotate(&SystemEntropy).unwrap().newest_to_text();
    let kept = Keys::parse(std::str::from_utf8(kept.expose()).unwrap()).unwrap();
    house.change(|settings| settings.keys = kept.clone());
    let token = kept.mint(&house.claim("reader@example.nl"), &SystemEntropy);
    assert_eq!(house.ask(get(&format!("/u/{token}"), "")).await.status, 200);
    let mut flipped = token.clone().into_bytes();
    let middle = flipped.len() / 2;
    flipped[middle] = if flipped[middle] == b'a' { b'b' } else { b'a' };
    let paths = [
        format!("/u/{foreign}"),
        format!("/u/{}", String::from_utf8(flipped).unwrap()),
        format!("/u/{}", &token[..token.len() - 1]),
        format!("/u/{token}a"),
        format!("/u/{token}/"),
        format!("/u/{}", token.to_uppercase()),
        format!("/u/%{:02x}{}", token.as_bytes()[0], &token[1..]),
        format!("/u/{token}="),
        format!("/u/{}", retired),
        format!("/u/{}", base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(&token)),
        format!("/U/{token}"),
        format!("//u/{token}"),
        "/u/".to_owned(),
        "/u/x".to_owned(),
        format!("/u/{}", "a".repeat(8_000)),
        "/".to_owned(),
        "/robots.txt".to_owned(),
        "/u".to_owned(),
        "/../../etc/passwd".to_owned(),
    ];
    let model = house.ask(get("/u/x", "")).await;
    assert_eq!(model.status, 404);
    for path in paths {
        assert_eq!(house.ask(get(&path, "")).await.face(), model.face(), "GET {path}");
        assert_eq!(house.ask(post(&path, "", ONE_CLICK)).await.face(), model.face(), "POST {path}");
        let head = house.ask(format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!((head.status, head.headers.len()), (404, model.headers.len()), "HEAD {path}");
    }
    // Every digit of it: version, key id, nonce, claim and tag.
    for at in 0..token.len() {
        let mut altered = token.clone().into_bytes();
        altered[at] = if altered[at] == b'0' { b'1' } else { b'0' };
        let path = format!("/u/{}", String::from_utf8(altered).unwrap());
        assert_eq!(house.ask(post(&path, "", ONE_CLICK)).await.face(), model.face(), "digit {at}");
    }
    assert_eq!(house.ledger.commits(), 0);
}

#[tokio::test]
async fn other_host_names_show_nobody_our_page() {
    let house = House::open().await;
    let path = format!("/u/{}", house.token("reader@example.nl"));
    house.change(|settings| settings.hosts = vec![sluis::mail::Domain::parse("mail.example.nl").unwrap()]);
    for (host, status) in [("mail.example.nl", 200), ("MAIL.example.nl:443", 200), ("evil.example", 404)] {
        let answer = house.ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(answer.status, status, "{host}");
    }
}

#[tokio::test]
async fn p7_a_post_counts_whatever_it_says_of_the_host() {
    let house = House::open().await;
    house.change(|settings| settings.hosts = vec![sluis::mail::Domain::parse("mail.example.nl").unwrap()]);
    let body = "List-Unsubscribe=One-Click";
    let hosts =
        ["", "Host: evil.example\r\n", "Host: 127.0.0.1:8025\r\n", "Host: [::1]:8025\r\n", "Host: \r\n"];
    for (count, host) in (1..).zip(hosts) {
        let path = format!("/u/{}", house.token(&format!("reader{count}@example.nl")));
        let length = body.len();
        let request = format!("POST {path} HTTP/1.1\r\n{host}Content-Length: {length}\r\n\r\n{body}");
        let answer = house.ask(request).await;
        assert_eq!(answer.status, 200, "{host:?}: {answer:?}");
        assert_eq!(house.ledger.commits(), count, "{host:?}");
    }
}

#[tokio::test]
async fn l9_one_page_one_button_in_the_readers_language() {
    let house = House::open().await;
    let path = format!("/u/{}", house.token("ontvanger@example.nl"));
    for (accept, language, button) in [
        ("", "nl", "Afmelden"),
        ("Accept-Language: en-GB,en;q=0.9\r\n", "en", "Unsubscribe"),
        ("Accept-Language: de\r\n", "de", "Abmelden"),
        ("Accept-Language: fr-BE, nl;q=0.5\r\n", "fr", "Se désabonner"),
        ("Accept-Language: pl\r\n", "nl", "Afmelden"),
    ] {
        let page = house.ask(get(&path, accept)).await;
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        let html = &page.body;
        assert!(html.starts_with(&format!("<!DOCTYPE html><html lang=\"{language}\">")), "{html}");
        assert_eq!(html.matches("<button").count(), 1, "{html}");
        assert!(html.contains(&format!(">{button}</button>")), "{html}");
        assert!(html.contains("Voorbeeld Hypotheken B.V."), "{html}");
        assert!(html.contains("o…r@example.nl") && !html.contains("ontvanger"), "{html}");
        for absent in ["<input", "<script", "<img", "<a href=\"http", "javascript", "http://", "https://"] {
            assert!(!html.contains(absent), "{absent}: {html}");
        }
        assert!(html.len() < 15 * 1024, "{} octets", html.len());
    }
}

#[tokio::test]
async fn l9_the_button_answers_with_a_page() {
    let house = House::open().await;
    let path = format!("/u/{}", house.token("ontvanger@example.nl"));
    let form = "Content-Type: application/x-www-form-urlencoded\r\nOrigin: null\r\nAccept-Language: nl\r\n";
    let page = house.ask(post(&path, form, "way=page")).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("U bent afgemeld"), "{}", page.body);
    assert_eq!(house.unsubscribed()[0].way, Way::Page);
}

#[tokio::test]
async fn l9_every_answer_protects_the_link() {
    let house = House::open().await;
    let path = format!("/u/{}", house.token("ontvanger@example.nl"));
    for request in [
        get(&path, ""),
        post(&path, "", "way=page"),
        get("/", ""),
        post(&path, "", ONE_CLICK),
        get("/healthz", ""),
        format!("OPTIONS {path} HTTP/1.1\r\nHost: x\r\n\r\n"),
    ] {
        let answer = house.ask(&request).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{request}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{request}");
        assert_eq!(answer.header("x-robots-tag"), Some("noindex, nofollow"), "{request}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{request}");
        assert_eq!(answer.header("set-cookie"), None, "{request}");
        let policy = answer.header("content-security-policy").unwrap();
        for directive in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(directive), "{policy}");
        }
        if answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            assert!(
                policy.contains("style-src 'sha256-") && policy.contains("form-action 'self'"),
                "{policy}"
            );
        }
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}

#[tokio::test]
async fn promise_10_a_body_has_an_end() {
    let limits = Limits { body: 1_000, ..Limits::default() };
    let house = House::with(limits).await;
    let path = format!("/u/{}", house.token("reader@example.nl"));
    let answer = house.ask(post(&path, "", &"x".repeat(1_001))).await;
    assert_eq!(answer.status, 413);
    let chunked = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        chunked(&"x".repeat(1_001))
    );
    assert_eq!(house.ask(chunked).await.status, 413);
    assert_eq!(house.ask(post(&path, "", &"x".repeat(1_000))).await.status, 200);
    let huge = format!("GET /u/{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000));
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let _ = stream.write_all(huge.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{:?}", String::from_utf8_lossy(&answer));
}

/// The clock is paused: it moves on to the deadline as soon as everybody waits.
#[tokio::test(start_paused = true)]
async fn promise_10_slow_clients_do_not_keep_their_place() {
    let limits = Limits { body_time: Duration::from_secs(20), ..Limits::default() };
    let house = House::with(limits).await;
    let token = house.token("reader@example.nl");
    for (what, sent, status) in [
        ("nothing", String::new(), None),
        ("half a method", "PO".to_owned(), None),
        ("half a header", format!("POST /u/{token} HTTP/1.1\r\nHo"), None),
        (
            "half a body",
            format!("POST /u/{token} HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\n\r\nList"),
            Some("408"),
        ),
    ] {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        match status {
            Some(status) => assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {answer}"),
            None => assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{what}: {answer}"),
        }
    }
    assert_eq!(house.ledger.commits(), 0);
}

#[tokio::test]
async fn l8_health_is_what_the_listener_answers() {
    let house = House::open().await;
    assert_eq!(house.ask(get("/healthz", "")).await.status, 200);
    assert_eq!(house.ask(post("/healthz", "", "")).await.status, 405);
    house.ledger.set_unreadable(true);
    assert_eq!(house.ask(get("/healthz", "")).await.status, 503);
}

/// What a look from outside finds, as soon as it differs from `before`.
async fn look(house: &House, health: &Health, up: bool) -> Option<String> {
    let mut seen = health.subscribe();
    let shutdown = Shutdown::new();
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let watching = health.clone().watch_over(house.desk.clone(), entropy, shutdown.clone());
    let watching = tokio::spawn(watching);
    seen.wait_for(|fault| fault.is_none() == up).await.unwrap();
    shutdown.request();
    watching.await.unwrap();
    health.fault()
}

#[tokio::test]
async fn l8_health_is_what_a_provider_would_meet_from_outside() {
    let house = House::open().await;
    let health = Health::new();
    assert!(!health.is_up(), "not before it was seen to answer");
    assert_eq!(look(&house, &health, true).await, None);
    assert_eq!(house.ledger.events().len(), 0, "a look unsubscribes nobody");

    // The ledger cannot be written: a reader's click would be lost.
    house.ledger.set_failing(true);
    let fault = look(&house, &health, false).await.unwrap();
    assert_eq!(fault, "127.0.0.1: it answers 503 to a POST");
    house.ledger.set_failing(false);
    assert_eq!(look(&house, &health, true).await, None);

    // Another gateway answers under our name: its keys do not open our links.
    let other = House::open().await;
    house.change(|settings| settings.outside = outside(other.address));
    let fault = look(&house, &health, false).await.unwrap();
    assert_eq!(fault, "127.0.0.1: it answers 404 to a POST");
    house.change(|settings| settings.outside = outside(house.address));
    assert_eq!(look(&house, &health, true).await, None);

    // A server that says 200 to everything.
    let hook = support::hook::Hook::start(&[], None).await;
    house.change(|settings| settings.outside = outside(hook.address));
    let fault = look(&house, &health, false).await.unwrap();
    assert_eq!(fault, "127.0.0.1: it is not this gateway that answers there");
    house.change(|settings| settings.outside = outside(house.address));
    assert_eq!(look(&house, &health, true).await, None);

    // Nobody listens there.
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    house.change(|settings| settings.outside = outside(address));
    assert!(look(&house, &health, false).await.is_some());
}

/// A certificate for `name`, in files.
fn certificate(folder: &std::path::Path, name: &str) -> (std::path::PathBuf, std::path::PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (certificate, key)
}

#[tokio::test]
async fn p7_the_page_speaks_tls_and_takes_a_renewed_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (old, old_key) = certificate(folder.path(), "old.example");
    let (new, new_key) = certificate(folder.path(), "new.example");
    let house = House::open().await;
    let (sender, seen) = watch::channel(tls::http_server_config(&old, &old_key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits::default();
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    house.shutdown.spawn(run(
        listener,
        Some(seen),
        house.desk.clone(),
        entropy,
        limits,
        house.shutdown.clone(),
    ));
    let health = Health::new();
    // The health check believes only the certificate of the name it asks.
    let through = |name: &str, file: &std::path::Path| {
        let trust = Trust::CaFile(file.to_owned());
        Outside {
            doors: vec![Target::parse(&format!("https://{name}")).unwrap()],
            via: Some(address),
            caller: Caller::new(&trust, Reach::Anybody, Duration::from_secs(10)).unwrap(),
        }
    };
    house.change(|settings| settings.outside = through("old.example", &old));
    assert_eq!(look(&house, &health, true).await, None);
    house.change(|settings| settings.outside = through("new.example", &old));
    let fault = look(&house, &health, false).await.unwrap();
    assert!(fault.starts_with("new.example: ") && fault.contains("certificate"), "{fault}");
    sender.send_replace(tls::http_server_config(&new, &new_key).unwrap());
    house.change(|settings| settings.outside = through("new.example", &new));
    assert_eq!(look(&house, &health, true).await, None);

    // A name with a certificate of its own: each sees the one of the name it asks for (RFC 6066 3).
    let named = [("old.example".to_owned(), old.clone(), old_key)];
    sender.send_replace(tls::http_server_config_by_name(&new, &new_key, &named).unwrap());
    house.change(|settings| {
        settings.outside = through("new.example", &new);
    });
    assert_eq!(look(&house, &health, true).await, None);
    house.change(|settings| settings.outside = through("OLD.example", &old));
    assert_eq!(look(&house, &health, true).await, None, "in whatever case it is written");
    house.change(|settings| settings.outside = through("old.example", &new));
    assert!(look(&house, &health, false).await.unwrap().contains("certificate"));

    // HTTP/2 by ALPN.
    let config = tls::client_config(&Trust::CaFile(new), None).unwrap();
    let mut config = rustls::ClientConfig::clone(&config);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(address).await.unwrap();
    let stream = tls::handshake(&Arc::new(config), "new.example", tcp).await.unwrap();
    let sluis::net::Stream::Tls(stream) = stream else { panic!("it is TLS") };
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn a_stop_finishes_what_is_under_way() {
    let house = House::open().await;
    house.ledger.hold();
    let mut idle = TcpStream::connect(house.address).await.unwrap();
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(one_click(&house.token("reader@example.nl")).as_bytes()).await.unwrap();
    let ledger = house.ledger.clone();
    tokio::task::spawn_blocking(move || ledger.wait_until_held()).await.unwrap();
    house.shutdown.request();
    house.ledger.release();
    assert_eq!(read(&mut stream, false).await.status, 200);
    house.shutdown.drained().await;
    let mut rest = Vec::new();
    let _ = idle.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    assert!(TcpStream::connect(house.address).await.is_err(), "no longer listening");
}

/// The proof that a page offers to take its unsubscribe back with.
fn proof(page: &str) -> Option<&str> {
    page.split_once("name=\"proof\" value=\"")?.1.split_once('"').map(|(proof, _)| proof)
}

#[tokio::test]
async fn l9_afterwards_a_reason_may_be_given_and_nothing_is_asked_before() {
    let house = House::open().await;
    let path = format!("/u/{}", house.token("ontvanger@example.nl"));
    let page = house.ask(get(&path, "")).await;
    assert!(!page.body.contains("radio") && !page.body.contains("proof"), "{}", page.body);
    let done = house.ask(post(&path, "", "way=page")).await;
    assert_eq!(done.body.matches("type=\"radio\"").count(), 4, "{}", done.body);
    let proof = proof(&done.body).unwrap();
    let body = format!("why=too_often&proof={proof}&way=explain");
    let thanks = house.ask(post(&path, "Accept-Language: en\r\n", &body)).await;
    assert!(thanks.status == 200 && thanks.body.contains("Thank you"), "{}", thanks.body);
    assert!(thanks.body.contains(proof), "the way back is still there");
    let events = house.ledger.events();
    let why = events.iter().find_map(|event| if let Event::Explained(it) = event { Some(it) } else { None });
    let why = why.unwrap();
    assert_eq!((why.why, why.address.as_str()), (Why::TooOften, "ontvanger@example.nl"));
    assert_eq!(house.unsubscribed().len(), 1);
}

#[tokio::test]
async fn l16_a_slip_can_be_taken_back_from_the_page_that_made_it() {
    let house = House::open().await;
    let token = house.token("ontvanger@example.nl");
    let path = format!("/u/{token}");
    let done = house.ask(post(&path, "", "way=page")).await;
    let undo = format!("proof={}&way=undo", proof(&done.body).unwrap());
    // Another link of the same person does not do: the proof belongs to this page.
    let other = format!("/u/{}", house.token("ontvanger@example.nl"));
    let refused = house.ask(post(&other, "Accept-Language: en\r\n", &undo)).await;
    assert!(refused.body.contains("only shortly after"), "{}", refused.body);
    assert!(!house.ledger.events().iter().any(|event| matches!(event, Event::Corrected(_))));

    let back = house.ask(post(&path, "Accept-Language: en\r\n", &undo)).await;
    assert!(back.status == 200 && back.body.contains("no longer unsubscribed"), "{}", back.body);
    let events = house.ledger.events();
    let corrected: Vec<_> = events
        .iter()
        .filter_map(|event| if let Event::Corrected(it) = event { Some(it) } else { None })
        .collect();
    assert_eq!(corrected.len(), 1);
    assert_eq!(corrected[0].token, Some(token::id(&token)));
    assert_eq!(corrected[0].since, Timestamp::UNIX_EPOCH, "the one it takes back");
    assert_eq!(house.told.0.load(Ordering::SeqCst), 2, "the sender is told of both");
}

#[tokio::test]
async fn l16_without_the_proof_undo_unsubscribes() {
    let house = House::open().await;
    let path = format!("/u/{}", house.token("ontvanger@example.nl"));
    for body in ["way=undo", "way=undo&proof=", "way=undo&proof=1.2.3.aaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        let answer = house.ask(post(&path, "Accept-Language: en\r\n", body)).await;
        assert!(answer.status == 200 && answer.body.contains("You are unsubscribed"), "{}", answer.body);
    }
    assert_eq!(house.unsubscribed().len(), 1);
}

#[tokio::test]
async fn l9_the_senders_own_colour_and_logo() {
    use sluis::unsubscribe::{Colour, Logo, Look, MAX_LOGO};
    let house = House::open().await;
    let mut svg = b"<svg xmlns='http://www.w3.org/2000/svg'>".to_vec();
    svg.resize(MAX_LOGO, b' ');
    let look = Look::new(Some(Colour::parse("#c8102e").unwrap()), Some(&Logo::new(svg).unwrap()));
    house.change(|settings| settings.looks = vec![(SenderId("12345678".to_owned()), look)]);
    let path = format!("/u/{}", house.token("ontvanger@example.nl"));
    for request in [get(&path, ""), post(&path, "", "way=page")] {
        let page = house.ask(request).await;
        assert!(page.body.contains("--b:#c8102e"), "{}", page.body);
        assert!(page.body.contains("<img src=\"data:image/svg+xml;base64,"), "{}", page.body);
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("img-src data:;") && !policy.contains("unsafe"), "{policy}");
        let whole: usize = page.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let whole = whole + page.body.len();
        assert!(whole < 15 * 1024, "{whole} octets with the largest logo");
    }
    // Who has no link of this sender sees nothing of it.
    assert!(!house.ask(get("/u/x", "")).await.body.contains("#c8102e"));
}

#[test]
fn promise_7_a_million_random_tokens_open_nothing() {
    let keys = Keys::generate(&SystemEntropy);
    let claim = Claim {
        sender: SenderId("12345678".to_owned()),
        address: support::address("reader@example.nl").key().clone(),
        reference: Reference::new(Timestamp::UNIX_EPOCH, [7; 10]),
        purpose: None,
    };
    let token = keys.mint(&claim, &SystemEntropy).into_bytes();
    let letters: std::collections::BTreeSet<u8> =
        (0..64).flat_map(|_| keys.mint(&claim, &SystemEntropy).into_bytes()).collect();
    let letters: Vec<u8> = letters.into_iter().collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..1_000_000_u32 {
        // Half of them all random behind the true version and key, half a true token with letters changed.
        let mut forged = token.clone();
        if round % 2 == 0 {
            for letter in &mut forged[4..] {
                *letter = letters[next() as usize % letters.len()];
            }
        } else {
            for _ in 0..=next() % 3 {
                let at = next() as usize % forged.len();
                forged[at] = letters[next() as usize % letters.len()];
            }
        }
        if forged != token {
            let forged = String::from_utf8(forged).unwrap();
            assert!(keys.open(&forged).is_err(), "{forged}");
        }
    }
}
