//! Mail to the unsubscribe address (RULES P9, P14): over the gateway's own listener and by a pipe.

mod support;

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::DkimSigner;
use sluis::admin::{Answer, Client as Admin, Request};
use sluis::clock::SystemClock;
use sluis::ledger::{Event, InboxView as _, Way};
use support::gateway::{NEWS, TestGateway, config_text, free_port, message, start};
use support::next_hop::NextHop;
use support::smtp::Client;

const MAILBOX: &str = "afmelden@sluis.test";

async fn gateway(next_hop: SocketAddr) -> TestGateway {
    gateway_with(next_hop, "").await
}

/// With more keys of `[unsubscribe]`.
async fn gateway_with(next_hop: SocketAddr, more: &str) -> TestGateway {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluis.toml");
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let text = config_text(folder.path(), any_port, next_hop, free_port(), "", "");
    let keys = format!(
        "[unsubscribe]\nmailto = \"{MAILBOX}\"\nmail_listen = \"{any_port}\"\nlmtp_listen = \"{any_port}\"\n\
         trusted_results = [\"mx.sluis.test\"]\n{more}"
    );
    std::fs::write(&file, text.replacen("[unsubscribe]", &keys, 1)).unwrap();
    TestGateway { running: start(&file, Arc::new(SystemClock)).await, folder }
}

/// Have `who` get the newsletter; its token and its Message-ID.
async fn newsletter(gateway: &TestGateway, next_hop: &mut NextHop, who: &str) -> (String, String) {
    gateway.consent(&[who]).await;
    let mut client = gateway.client().await;
    let reply = client.submit(NEWS, &[who], message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    loop {
        let copy = next_hop.next().await;
        if !copy.rcpt[0].contains(who) {
            continue;
        }
        let text = String::from_utf8(copy.data).unwrap();
        let (_, rest) = text.split_once("mailto:afmelden@sluis.test?subject=").unwrap();
        let token: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
        let (_, rest) = text.split_once("Message-ID: ").unwrap();
        return (token, rest.split_once("\r\n").unwrap().0.to_owned());
    }
}

/// Send a mail to the unsubscribe address over SMTP.
async fn mail(gateway: &TestGateway, from: &str, text: &str) -> u16 {
    let mut client = Client::hello(gateway.running.unsubscribe_mail().0.unwrap()).await;
    client.submit(from, &[MAILBOX], text.replace('\n', "\r\n")).await.code
}

fn unsubscribed(gateway: &TestGateway) -> Vec<(String, Way)> {
    let events = gateway.events().into_iter();
    events
        .filter_map(|event| match event {
            Event::Unsubscribed(it) => Some((it.address.to_string(), it.way)),
            _ => None,
        })
        .collect()
}

async fn ask(gateway: &TestGateway, request: Request) -> Answer {
    let socket = gateway.folder.path().join("var").join("sluis.sock");
    assert!(UnixStream::connect(&socket).is_ok());
    tokio::task::spawn_blocking(move || {
        Admin::connect(&socket, 1 << 24).unwrap().unwrap().ask(&request).unwrap()
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_a_token_in_the_subject_unsubscribes_over_our_own_listener() {
    let mut next_hop = NextHop::start().await;
    let gateway = gateway(next_hop.address).await;
    let (token, _) = newsletter(&gateway, &mut next_hop, "lezer@example.org").await;
    // Nothing else is taken there.
    let mut client = Client::hello(gateway.running.unsubscribe_mail().0.unwrap()).await;
    let reply = client.submit("x@example.org", &["klant@example.org"], "Subject: x\r\n\r\nx\r\n").await;
    assert_eq!(reply.code, 550, "{reply:?}");
    // From anybody: the token says who.
    let code = mail(
        &gateway,
        "work@elsewhere.example",
        &format!("From: work@elsewhere.example\nSubject: {token}\n\n"),
    )
    .await;
    assert_eq!(code, 250);
    assert_eq!(unsubscribed(&gateway), [("lezer@example.org".to_owned(), Way::Mailto)]);
    let mut client = gateway.client().await;
    let reply = client.submit(NEWS, &["lezer@example.org"], message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 550, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_machines_never_unsubscribe_anyone() {
    let mut next_hop = NextHop::start().await;
    let gateway = gateway(next_hop.address).await;
    let (token, _) = newsletter(&gateway, &mut next_hop, "lezer@example.org").await;
    let text = format!("From: lezer@example.org\nAuto-Submitted: auto-replied\nSubject: {token}\n\nstop\n");
    assert_eq!(mail(&gateway, "lezer@example.org", &text).await, 250);
    let text = format!("From: lezer@example.org\nSubject: {token}\n\nstop\n");
    assert_eq!(mail(&gateway, "", &text).await, 250, "from <>");
    assert_eq!(unsubscribed(&gateway), []);
    let events = gateway.events();
    let ignored = events
        .iter()
        .filter(|event| matches!(event, Event::Ignored(it) if it.address.as_str() == "lezer@example.org"));
    assert_eq!(ignored.count(), 2, "it is on record that they came");
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_lmtp_answers_for_each_recipient() {
    let mut next_hop = NextHop::start().await;
    let gateway = gateway(next_hop.address).await;
    let (token, _) = newsletter(&gateway, &mut next_hop, "lezer@example.org").await;
    let mut client = Client::connect(gateway.running.unsubscribe_mail().1.unwrap()).await;
    assert_eq!(client.command("EHLO mx.sluis.test").await.code, 500, "it is no SMTP");
    let hello = client.command("LHLO mx.sluis.test").await;
    assert!(hello.code == 250 && !hello.offers("CHUNKING"), "{hello:?}");
    assert_eq!(client.command("MAIL FROM:<lezer@example.org>").await.code, 250);
    for (to, code) in [(MAILBOX, 250), ("klant@example.org", 550), ("AFMELDEN@sluis.test", 250)] {
        assert_eq!(client.command(&format!("RCPT TO:<{to}>")).await.code, code, "{to}");
    }
    assert_eq!(client.command("DATA").await.code, 354);
    client.send(format!("From: lezer@example.org\r\nSubject: {token}\r\n\r\n.\r\n")).await;
    assert_eq!(
        [client.reply().await.code, client.reply().await.code],
        [250, 250],
        "one for each (RFC 2033 4.2)"
    );
    assert_eq!(client.command("NOOP").await.code, 250, "and no more");
    assert_eq!(unsubscribed(&gateway), [("lezer@example.org".to_owned(), Way::Mailto)]);
}

/// A DNS server that knows one key, and counts who asks.
async fn dns(name: &'static str, key: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (socket.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    tokio::spawn(async move {
        let mut query = [0; 1_500];
        loop {
            let (_, from) = socket.recv_from(&mut query).await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            let (mut labels, mut at) = (Vec::new(), 12);
            while query[at] > 0 {
                let end = at + 1 + usize::from(query[at]);
                labels.push(String::from_utf8_lossy(&query[at + 1..end]).to_ascii_lowercase());
                at = end;
            }
            let known = labels.join(".") == name;
            let mut answer = query[..2].to_vec();
            answer.extend([0x81, if known { 0x80 } else { 0x83 }, 0, 1, 0, u8::from(known), 0, 0, 0, 0]);
            answer.extend(&query[12..at + 5]);
            if known {
                let length = u8::try_from(key.len()).unwrap();
                answer.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, length + 1, length]);
                answer.extend(key.as_bytes());
            }
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    (address, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_a_plain_stop_counts_when_its_domain_signed_it() {
    let key = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    let (resolver, asked) = dns("ed._domainkey.example.org", key).await;
    let mut next_hop = NextHop::start().await;
    let gateway = gateway_with(next_hop.address, &format!("resolver = \"{resolver}\"")).await;
    let (_, id) = newsletter(&gateway, &mut next_hop, "lezer@example.org").await;
    let stop = |from: &str, id: &str| {
        format!("From: {from}\r\nTo: {MAILBOX}\r\nSubject: Re: Nieuws\r\nIn-Reply-To: {id}\r\n\r\nStop\r\n")
    };
    let sign = |text: &str| {
        let bytes = |text: &str| BASE64_STANDARD.decode(text).unwrap();
        // The key pair of RFC 8463 appendix A.2.
        let seed = bytes("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=");
        let key = Ed25519Key::from_seed_and_public_key(&seed, &bytes(&key[key.len() - 44..])).unwrap();
        let signer = DkimSigner::from_key(key).domain("example.org").selector("ed");
        let signature = signer.headers(["From", "To", "Subject"]).sign(text.as_bytes()).unwrap();
        signature.to_header() + text
    };
    let own = stop("lezer@example.org", &id);
    let held = [
        sign(&own).replace("Stop", "Stop!"),
        sign(&own).replace("From: lezer", "From: boef"),
        format!("From: boef@example.org\r\n{}", sign(&own)),
        sign(&stop("lezer@example.org", "<other@example.org>")),
        sign(&stop("lezer@elders.example", &id)),
    ];
    for text in held {
        let code = mail(&gateway, "x@example.org", &text.replace("\r\n", "\n")).await;
        assert_eq!((code, unsubscribed(&gateway)), (250, Vec::new()), "{text}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0, "nobody asks for the keys of a mail that says nothing");
    assert_eq!(gateway.running.store().count_letters().unwrap(), 5);
    assert_eq!(mail(&gateway, "x@example.org", &sign(&own).replace("\r\n", "\n")).await, 250);
    assert_eq!(unsubscribed(&gateway), [("lezer@example.org".to_owned(), Way::Mailto)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_the_inbox_is_bounded_and_a_reload_changes_the_address() {
    let mut next_hop = NextHop::start().await;
    let gateway = gateway(next_hop.address).await;
    let file = gateway.folder.path().join("sluis.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let other = text.replace(MAILBOX, "stop@sluis.test");
    std::fs::write(&file, format!("{other}\n[limits]\ninbox = 1\n")).unwrap();
    gateway.running.reload().unwrap();
    assert_eq!(mail(&gateway, "x@example.org", "Subject: stop\n\n").await, 550, "the old address");
    let mut client = Client::hello(gateway.running.unsubscribe_mail().0.unwrap()).await;
    let vague = "From: x@example.org\r\nSubject: Vraag\r\n\r\nHoe gaat het?\r\n";
    for code in [250, 451] {
        assert_eq!(client.submit("x@example.org", &["stop@sluis.test"], vague).await.code, code);
    }
    gateway.consent(&["lezer@example.org"]).await;
    let reply = gateway.client().await.submit(NEWS, &["lezer@example.org"], message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let copy = String::from_utf8(next_hop.next().await.data).unwrap();
    assert!(copy.contains("mailto:stop@sluis.test?subject="), "{copy}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_a_plain_stop_counts_when_its_sender_is_vouched_for_and_waits_for_a_person_when_not() {
    let mut next_hop = NextHop::start().await;
    let gateway = gateway(next_hop.address).await;
    let (_, id) = newsletter(&gateway, &mut next_hop, "lezer@example.org").await;
    let results = "Authentication-Results: mx.sluis.test; dmarc=pass header.from=example.org\n";
    let stop = |results: &str, from: &str| {
        format!("{results}From: {from}\nSubject: Re: Nieuws\nIn-Reply-To: {id}\n\nGraag afmelden\n")
    };
    // By a pipe, as `sluis unsubscribe-mail` hands it in.
    let pipe = |text: String| Request::Mail { null_path: false, message: BASE64_STANDARD.encode(text) };
    let answer = ask(&gateway, pipe(stop("", "lezer@example.org"))).await;
    assert!(matches!(&answer, Answer::Done { text } if text.contains("person")), "{answer:?}");
    let answer = ask(&gateway, pipe(stop(results, "ander@example.org"))).await;
    assert!(matches!(&answer, Answer::Done { text } if text.contains("person")), "{answer:?}");
    assert_eq!(unsubscribed(&gateway), []);
    let answer = ask(&gateway, pipe(stop(results, "lezer@example.org"))).await;
    assert!(
        matches!(&answer, Answer::Done { text } if text == "lezer@example.org is unsubscribed"),
        "{answer:?}"
    );
    assert_eq!(unsubscribed(&gateway), [("lezer@example.org".to_owned(), Way::Mailto)]);

    // A person answers the other two.
    let Answer::Inbox { letters } = ask(&gateway, Request::Inbox { after: None, limit: 10 }).await else {
        panic!()
    };
    assert_eq!(letters.len(), 2);
    assert!(
        letters[0].why.contains("vouches") && letters[1].why.contains("no message of ours"),
        "{letters:?}"
    );
    let shown = ask(&gateway, Request::Letter { letter: letters[1].letter }).await;
    assert!(
        matches!(&shown, Answer::Inbox { letters } if letters[0].text.as_ref().unwrap().contains("afmelden"))
    );
    let leave = Request::Leave { letter: letters[1].letter, address: None, sender: None };
    let answer = ask(&gateway, leave).await;
    assert!(
        matches!(&answer, Answer::Done { text } if text.starts_with("ander@example.org is unsubscribed")),
        "{answer:?}"
    );
    ask(&gateway, Request::File { letter: letters[0].letter }).await;
    let Answer::Inbox { letters } = ask(&gateway, Request::Inbox { after: None, limit: 10 }).await else {
        panic!()
    };
    assert!(letters.is_empty());
    assert_eq!(unsubscribed(&gateway).len(), 2);
    assert!(gateway.running.store().verify_all(&[]).unwrap().is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_complaints_suppress_and_hard_bounces_block() {
    let mut next_hop = NextHop::start().await;
    let gateway = gateway(next_hop.address).await;
    let report = |kind: &str, token: &str, body: &str| {
        format!(
            "From: mailer-daemon@provider.example\nMIME-Version: 1.0\nAuto-Submitted: auto-replied\n\
             Content-Type: multipart/report; report-type={kind}; boundary=b\n\n--b\n{body}\n--b\n\
             Content-Type: message/rfc822\n\nList-Unsubscribe: <https://x.example/u/{token}>\n\nDag\n--b--\n"
        )
    };
    let dsn = |token: &str, who: &str, status: &str| {
        let group = format!("Final-Recipient: rfc822; {who}\nAction: failed\nStatus: {status}\n");
        let body = format!("Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n{group}");
        report("delivery-status", token, &body)
    };
    let (angry, _) = newsletter(&gateway, &mut next_hop, "boos@example.org").await;
    let (full, _) = newsletter(&gateway, &mut next_hop, "vol@example.org").await;
    let (gone, _) = newsletter(&gateway, &mut next_hop, "weg@example.org").await;
    let arf =
        report("feedback-report", &angry, "Content-Type: message/feedback-report\n\nFeedback-Type: abuse\n");
    for text in [
        arf,
        dsn(&full, "vol@example.org", "5.2.2"),
        dsn(&gone, "weg@example.org", "5.1.1"),
        dsn("x", "x@example.org", "5.1.1"),
    ] {
        assert_eq!(mail(&gateway, "", &text).await, 250);
    }
    let mut client = gateway.client().await;
    for (who, code, why) in [
        ("boos@example.org", 550, "complained"),
        ("vol@example.org", 250, ""),
        ("weg@example.org", 550, "does not exist"),
    ] {
        let reply = client.submit(NEWS, &[who], message(NEWS, "Dag")).await;
        assert_eq!(reply.code, code, "{who}: {reply:?}");
        assert!(code == 250 || reply.text().contains("5.7.1"), "{who}, {why}: {reply:?}");
    }
    let returned: Vec<_> = gateway
        .events()
        .into_iter()
        .filter_map(|event| {
            if let Event::Returned(it) = event { Some((it.address.to_string(), it.hard)) } else { None }
        })
        .collect();
    assert_eq!(returned, [("vol@example.org".to_owned(), false), ("weg@example.org".to_owned(), true)]);
    assert!(gateway.running.store().verify_all(&[]).unwrap().is_sound());
}
