//! Mail to the unsubscribe address (RULES P9, P14): over the gateway's own listener and by a pipe.

mod support;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::DkimSigner;
use sluis::admin::{Answer, Client as Admin, Request};
use sluis::clock::SystemClock;
use sluis::ledger::{Channel, Event, InboxView as _, OutboxView as _, Way};
use sluis::mail::Class;
use sluis::net::dkim::Signatures;
use support::gateway::{INVOICES, NEWS, PERSON, TestGateway, config_text, free_port, message, start};
use support::hook::Hook;
use support::next_hop::Answer::Say;
use support::next_hop::{Moment, NextHop};
use support::smtp::Client;

const MAILBOX: &str = "afmelden@sluis.test";

async fn gateway(next_hop: SocketAddr) -> TestGateway {
    gateway_with(next_hop, "").await
}

/// With more keys of `[unsubscribe]`.
async fn gateway_with(next_hop: SocketAddr, more: &str) -> TestGateway {
    gateway_built(next_hop, "", more, |_| String::new()).await
}

/// With more keys of `[relay]` and `[unsubscribe]`, and a config that ends with `tail`.
async fn gateway_built(
    next_hop: SocketAddr,
    relay: &str,
    more: &str,
    tail: impl FnOnce(&Path) -> String,
) -> TestGateway {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluis.toml");
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let text = config_text(folder.path(), any_port, next_hop, free_port(), "", relay);
    let keys = format!(
        "[unsubscribe]\nmailto = \"{MAILBOX}\"\nmail_listen = \"{any_port}\"\nlmtp_listen = \"{any_port}\"\n\
         trusted_results = [\"mx.sluis.test\"]\n{more}"
    );
    let text = text.replacen("[unsubscribe]", &keys, 1) + &tail(folder.path());
    std::fs::write(&file, text).unwrap();
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
async fn dns(name: &'static str, key: impl Into<String>) -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (socket.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let (count, key) = (asked.clone(), key.into());
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
    let pipe = |text: String| Request::Mail {
        null_path: false,
        recipient: None,
        message: BASE64_STANDARD.encode(text),
    };
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
async fn p9_results_that_anybody_can_write_are_believed_from_nobody_but_the_server_behind_lmtp() {
    let mut next_hop = NextHop::start().await;
    let gateway = gateway_with(next_hop.address, "check_dkim = false").await;
    let (_, id) = newsletter(&gateway, &mut next_hop, "lezer@example.org").await;
    let text = format!(
        "Authentication-Results: mx.sluis.test; dmarc=pass header.from=example.org\n\
         From: lezer@example.org\nSubject: Re: Nieuws\nIn-Reply-To: {id}\n\nGraag afmelden\n"
    );
    assert_eq!(mail(&gateway, "boef@elsewhere.example", &text).await, 250);
    assert_eq!(unsubscribed(&gateway), [], "a stranger wrote that field");
    assert_eq!(gateway.running.store().count_letters().unwrap(), 1, "a person looks at it");
    let mut client = Client::connect(gateway.running.unsubscribe_mail().1.unwrap()).await;
    for (line, code) in [
        ("LHLO mx.sluis.test".to_owned(), 250),
        ("MAIL FROM:<lezer@example.org>".to_owned(), 250),
        (format!("RCPT TO:<{MAILBOX}>"), 250),
        ("DATA".to_owned(), 354),
    ] {
        assert_eq!(client.command(&line).await.code, code, "{line}");
    }
    client.send(format!("{}.\r\n", text.replace('\n', "\r\n"))).await;
    assert_eq!(client.reply().await.code, 250);
    assert_eq!(unsubscribed(&gateway), [("lezer@example.org".to_owned(), Way::Mailto)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_a_plain_stop_finds_whichever_message_to_its_from_address_it_answers() {
    let mut next_hop = NextHop::start().await;
    let gateway = gateway(next_hop.address).await;
    let readers = ["een@example.org", "twee@example.org", "drie@example.org"];
    gateway.consent(&readers).await;
    // The same Message-ID to three; then others to each of them, and one to the first alone.
    let mut client = gateway.client().await;
    for (to, text) in [(&readers[..], "Dag"), (&readers[..], "Dag!!"), (&readers[..1], "Dag!!!!")] {
        assert_eq!(client.submit(NEWS, to, message(NEWS, text)).await.code, 250);
        for _ in to {
            next_hop.next().await;
        }
    }
    let id = |text: &str| {
        let message = message(NEWS, text);
        let (_, rest) = message.split_once("Message-ID: ").unwrap();
        rest.split_once("\r\n").unwrap().0.to_owned()
    };
    let stop = |from: &str, ids: &str| {
        let text = format!(
            "Authentication-Results: mx.sluis.test; dmarc=pass header.from=example.org\n\
             From: {from}\nSubject: Re: Nieuws\nReferences: {ids}\n\nGraag afmelden\n"
        );
        Request::Mail { null_path: false, recipient: None, message: BASE64_STANDARD.encode(text) }
    };
    let (first, own) = (id("Dag"), id("Dag!!!!"));
    for (from, ids, counts) in [
        ("drie@example.org", own.clone(), false),
        ("vier@example.org", first.clone(), false),
        ("drie@example.org", format!("<x@example.org> {own} {first}"), true),
        ("een@example.org", own.clone(), true),
        ("twee@example.org", first.clone(), true),
    ] {
        let answer = ask(&gateway, stop(from, &ids)).await;
        let said = if counts { "is unsubscribed" } else { "person" };
        assert!(matches!(&answer, Answer::Done { text } if text.contains(said)), "{from} {ids}: {answer:?}");
    }
    assert_eq!(unsubscribed(&gateway).len(), 3);
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

/// A complaint about the message with `token` in it.
fn complaint(token: &str) -> String {
    feedback("abuse", token)
}

/// A feedback report of a type.
fn feedback(kind: &str, token: &str) -> String {
    format!(
        "From: fbl@provider.example\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\n\
         Content-Type: message/feedback-report\n\nFeedback-Type: {kind}\n\n--b\nContent-Type: message/rfc822\n\n\
         List-Unsubscribe: <https://x.example/u/{token}>\n\nDag\n--b--\n"
    )
}

#[tokio::test]
async fn p14_only_what_somebody_complained_of_is_a_complaint() {
    let mut next_hop = NextHop::start().await;
    let gateway = gateway(next_hop.address).await;
    for (kind, answer) in [
        ("abuse", Some("complained")),
        ("fraud", Some("complained")),
        ("opt-out", Some("unsubscribed")),
        ("auth-failure", None),
        ("not-spam", None),
        ("virus", None),
        ("other", None),
    ] {
        let who = format!("{kind}@example.org");
        let (token, _) = newsletter(&gateway, &mut next_hop, &who).await;
        let report = feedback(kind, &token);
        assert_eq!(mail(&gateway, "", &report).await, 250, "{kind}");
        let reply = gateway.client().await.submit(NEWS, &[&who], message(NEWS, "Dag")).await;
        match answer {
            Some(why) => assert!(reply.code == 550 && reply.text().contains(why), "{kind}: {reply:?}"),
            None => assert_eq!(reply.code, 250, "{kind}: {reply:?}"),
        }
    }
    let (mut ignored, mut held) = (Vec::new(), Vec::new());
    for event in gateway.events() {
        match event {
            Event::Ignored(it) => ignored.push(it.address.to_string()),
            Event::Held(it) => held.push(it.why),
            _ => {}
        }
    }
    assert_eq!(ignored, ["auth-failure@example.org", "not-spam@example.org"], "on record");
    assert!(held.len() == 2 && held[0].contains("virus") && held[1].contains("type"), "{held:?}");
}

/// A report that `who` does not exist, about the message with `token` in it.
fn no_mailbox(token: &str, who: &str) -> String {
    format!(
        "From: mailer-daemon@provider.example\nMIME-Version: 1.0\nAuto-Submitted: auto-replied\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\
         Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n\
         Final-Recipient: rfc822; {who}\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 no\n\n--b\n\
         Content-Type: message/rfc822\n\nList-Unsubscribe: <https://x.example/u/{token}>\n\nDag\n--b--\n"
    )
}

/// Hand in mails from `<>`, all at the same time.
async fn all_at_once(gateway: &TestGateway, to: &str, texts: &[String]) {
    let at = gateway.running.unsubscribe_mail().0.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for text in texts.iter().cloned() {
        let to = to.to_owned();
        tasks.spawn(async move { Client::hello(at).await.submit("", &[&to], text).await.code });
    }
    assert!(tasks.join_all().await.iter().all(|code| *code == 250));
}

fn complaints(gateway: &TestGateway) -> usize {
    gateway.events().iter().filter(|event| matches!(event, Event::Suppression(_))).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn l10_complaints_and_blocks_are_told_once_each_and_in_order() {
    let gone = |moment: Moment, line: &str| {
        let is_gone = moment == Moment::Command && line.starts_with("RCPT") && line.contains("weg@");
        is_gone.then(|| Say("550 5.1.1 no such user\r\n".to_owned()))
    };
    let mut hook = Hook::start(&[500], None).await;
    let mut next_hop = NextHop::scripted(&["PIPELINING", "ENHANCEDSTATUSCODES"], gone).await;
    let at = hook.address;
    let gateway = gateway_built(next_hop.address, "", "", |folder| {
        let file = folder.join("hook.key");
        std::fs::write(&file, "0123456789abcdef0123456789abcdef").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        format!(
            "\n[notify]\nretry = [\"1s\"]\n\n[[webhook]]\nname = \"crm\"\nurl = \"http://{at}/\"\nsecret_file = \"{}\"\n",
            file.display()
        )
    })
    .await;
    let (token, _) = newsletter(&gateway, &mut next_hop, "lezer@example.org").await;
    // Each of them twice; the second time there is nothing new to tell.
    for text in [no_mailbox(&token, "lezer@example.org"), complaint(&token)] {
        for _ in 0..2 {
            assert_eq!(mail(&gateway, "", &text).await, 250);
        }
    }
    // By the next hop itself: straight through, and by way of the spool.
    gateway.consent(&["weg@example.org", "weg@example.net", "blijft@example.org"]).await;
    let mut client = gateway.client().await;
    assert_eq!(client.submit(NEWS, &["weg@example.org"], message(NEWS, "Dag")).await.code, 550);
    let both = ["weg@example.net", "blijft@example.org"];
    assert_eq!(client.submit(NEWS, &both, message(NEWS, "Dag")).await.code, 250);

    let mut said: Vec<(String, String, serde_json::Value)> = Vec::new();
    while said.len() < 5 {
        let told = hook.next().await;
        let json = told.json();
        assert_eq!(json["id"], told.header("webhook-id"));
        assert!(told.header("webhook-signature").starts_with("v1,"));
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        said.push((text(&json["data"]["address"]), text(&json["type"]), json["data"].clone()));
    }
    let of = |who: &str| -> Vec<&str> {
        said.iter().filter(|(about, ..)| about == who).map(|(_, what, _)| what.as_str()).collect()
    };
    // The first answer was 500, so the first telling came twice, whichever that was: the rest once, and in order.
    let mut lezer = of("lezer@example.org");
    lezer.dedup();
    assert_eq!(lezer, ["blocked", "complained"]);
    for who in ["weg@example.org", "weg@example.net"] {
        assert!(of(who).iter().all(|what| *what == "blocked") && !of(who).is_empty(), "{said:?}");
    }
    let (.., data) = said.iter().find(|(who, ..)| who == "weg@example.org").unwrap();
    assert_eq!((data["status"].as_str(), data["reference"].is_string()), (Some("5.1.1"), true), "{data}");
    assert!(data["diagnostic"].as_str().unwrap().contains("no such user"), "{data}");

    // A complaint is worth a mail at once; a mailbox that does not work waits for that of the day.
    let notices: Vec<String> = gateway
        .events()
        .into_iter()
        .filter_map(|event| if let Event::NoticeSent { about, .. } = event { Some(about) } else { None })
        .filter(|about| about != "dsn")
        .collect();
    assert_eq!(notices, ["complaint"]);
    let told = loop {
        let mail = next_hop.next().await;
        if mail.rcpt[0].contains("beheer@") {
            break String::from_utf8(mail.data).unwrap();
        }
    };
    assert!(told.contains("Subject: Klacht: lezer@example.org"), "{told}");
    let owed = gateway.running.store().list_owed(None, 100).unwrap();
    let daily = owed.iter().filter(|(_, owed)| matches!(owed.channel, Channel::Digest(_)));
    assert_eq!(daily.count(), 3, "{owed:?}");
    assert!(gateway.running.store().verify_all(&[]).unwrap().is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_the_same_complaint_over_and_over_is_one_entry() {
    let mut next_hop = NextHop::start().await;
    let gateway = gateway(next_hop.address).await;
    let (token, _) = newsletter(&gateway, &mut next_hop, "boos@example.org").await;
    let text = complaint(&token);
    all_at_once(&gateway, MAILBOX, &vec![text.replace('\n', "\r\n"); 8]).await;
    assert_eq!(complaints(&gateway), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_6_a_complaint_cancels_a_copy_that_waits() {
    let later = Arc::new(AtomicUsize::new(0));
    let seen = later.clone();
    let busy = move |moment: Moment, line: &str| {
        let is_busy = moment == Moment::Command
            && line.starts_with("RCPT")
            && line.contains("boos@")
            && seen.load(Ordering::Relaxed) > 0;
        is_busy.then(|| Say("451 4.3.2 not now\r\n".to_owned()))
    };
    let mut next_hop = NextHop::scripted(&["PIPELINING", "ENHANCEDSTATUSCODES"], busy).await;
    let gateway = gateway_built(next_hop.address, "retry = [\"1s\"]", "", |_| String::new()).await;
    let (token, _) = newsletter(&gateway, &mut next_hop, "boos@example.org").await;
    later.store(1, Ordering::Relaxed);
    gateway.consent(&["lezer@example.org"]).await;
    let both = ["boos@example.org", "lezer@example.org"];
    let reply = gateway.client().await.submit(NEWS, &both, message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "one has it, the other waits: {reply:?}");
    assert_eq!(mail(&gateway, "", &complaint(&token)).await, 250);
    let cancelled = gateway
        .wait_for(|event| match event {
            Event::Cancelled(outcome) => Some((outcome.recipients.clone(), outcome.reply.clone())),
            _ => None,
        })
        .await;
    assert_eq!(cancelled.0[0].as_str(), "boos@example.org");
    assert!(cancelled.1.contains("complained"), "the sender sees why: {cancelled:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_10_strangers_can_neither_fill_the_inbox_nor_the_ledger() {
    let mut next_hop = NextHop::start().await;
    let limits = "\n[limits]\ninbox_per_network = 2\nunsubscribe_mails_per_network = 5\n";
    let gateway = gateway_built(next_hop.address, "", "", |_| limits.to_owned()).await;
    let (token, _) = newsletter(&gateway, &mut next_hop, "lezer@example.org").await;
    let vague = "From: x@example.org\nSubject: Vraag\n\nHoe gaat het?\n";
    for code in [250, 250, 451] {
        assert_eq!(mail(&gateway, "x@example.org", vague).await, code, "waits for a person");
    }
    assert_eq!(gateway.running.store().count_letters().unwrap(), 2);
    let away = format!("From: x@example.org\nAuto-Submitted: auto-replied\nSubject: {token}\n\nweg\n");
    for code in [250, 250, 451] {
        assert_eq!(mail(&gateway, "", &away).await, code, "nothing changes by it");
    }
    let before = gateway.running.store().size().unwrap();
    assert_eq!(mail(&gateway, "", &away).await, 451);
    assert_eq!(gateway.running.store().size().unwrap(), before, "no entry");
    // Whoever wants to leave is never kept waiting.
    let code = mail(&gateway, "x@example.org", &format!("From: x@example.org\nSubject: {token}\n\n")).await;
    assert_eq!((code, unsubscribed(&gateway).len()), (250, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_what_comes_back_at_once_is_passed_on_four_times_and_no_more() {
    let mut next_hop = NextHop::start().await;
    let gateway = gateway_with(next_hop.address, "bounce_domain = \"bounce.sluis.test\"").await;
    gateway.consent(&["lezer@example.org"]).await;
    let reply = gateway.client().await.submit(NEWS, &["lezer@example.org"], message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let path = sent_from(&next_hop.next().await);
    let full = "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
                Reporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; lezer@example.org\r\nAction: failed\r\n\
                Status: 5.2.2\r\n\r\n--b--\r\n";
    let away =
        "From: lezer@example.org\r\nAuto-Submitted: auto-replied\r\nSubject: weg\r\n\r\nTot maandag.\r\n";
    let texts: Vec<String> = [full, away].map(str::to_owned).into_iter().cycle().take(12).collect();
    all_at_once(&gateway, &path, &texts).await;
    let passed = gateway.events().iter().filter(|event| matches!(event, Event::NoticeSent { .. })).count();
    assert_eq!(passed, 4);
}

/// The address in `MAIL FROM:<..>`.
fn sent_from(copy: &support::next_hop::Captured) -> String {
    copy.mail.trim_start_matches('<').split('>').next().unwrap().to_owned()
}

fn returned(gateway: &TestGateway) -> Vec<(String, bool, bool)> {
    let events = gateway.events().into_iter();
    events
        .filter_map(|event| match event {
            Event::Returned(it) => Some((it.address.to_string(), it.hard, it.blocked)),
            _ => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_each_marketing_copy_has_an_envelope_sender_that_nobody_can_make_up() {
    let mut next_hop = NextHop::start().await;
    let keys = "bounce_domain = \"bounce.sluis.test\"\nsoft_bounce_days = 1";
    let gateway = gateway_with(next_hop.address, keys).await;
    let readers = ["weg@example.org", "vol@example.org", "lezer@example.org"];
    gateway.consent(&readers).await;
    let mut client = gateway.client().await;
    let reply = client.submit(NEWS, &readers, message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let mut paths = std::collections::BTreeMap::new();
    for _ in readers {
        let copy = next_hop.next().await;
        let path = sent_from(&copy);
        assert!(path.ends_with("@bounce.sluis.test") && path.len() < 64 + 20, "{path}");
        let who = readers.iter().find(|who| copy.rcpt[0].contains(**who)).unwrap();
        paths.insert(*who, path);
    }
    assert_eq!(paths.values().collect::<std::collections::BTreeSet<_>>().len(), 3, "one for each");
    for from in [INVOICES, PERSON] {
        assert_eq!(client.submit(from, &["lezer@example.org"], message(from, "Dag")).await.code, 250);
        assert_eq!(sent_from(&next_hop.next().await), from, "other mail keeps its envelope");
    }

    // Forged, and of another copy: not even taken.
    let dsn = |who: &str, action: &str, status: &str| {
        format!(
            "From: mailer-daemon@far.example\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\
             Content-Type: text/plain\r\n\r\nSorry.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
             Reporting-MTA: dns; far.example\r\n\r\nFinal-Recipient: rfc822; {who}\r\nAction: {action}\r\n\
             Status: {status}\r\nDiagnostic-Code: smtp; 550 {status} no\r\n\r\n--b--\r\n"
        )
    };
    let mut outside = Client::hello(gateway.running.unsubscribe_mail().0.unwrap()).await;
    let gone = paths["weg@example.org"].clone();
    let (local, _) = gone.split_once('@').unwrap();
    let forged = [
        gone.replacen("-0-", "-1-", 1)
            .replacen("-2-", "-1-", 1)
            .replace(local.rsplit_once('-').unwrap().1, "0"),
        format!("{}x@bounce.sluis.test", &local[..local.len() - 1]),
        format!("{local}@sluis.test"),
        "b-x@bounce.sluis.test".to_owned(),
    ];
    for forged in forged {
        let reply = outside.submit("", &[&forged], dsn("weg@example.org", "failed", "5.1.1")).await;
        assert_eq!(reply.code, 550, "{forged}: {reply:?}");
    }
    assert_eq!(returned(&gateway), [], "a forged bounce blocks nobody");

    // A real one, without a word of the message: late, then given up.
    for (action, status) in [("delayed", "4.4.1"), ("failed", "5.1.1")] {
        let reply = outside.submit("", &[&gone], dsn("weg@example.org", action, status)).await;
        assert_eq!(reply.code, 250, "{reply:?}");
        let on = next_hop.next().await;
        assert_eq!((sent_from(&on).as_str(), on.rcpt[0].contains(NEWS)), ("", true), "its tool hears of it");
        let text = String::from_utf8(on.data).unwrap();
        assert!(text.starts_with("Received: by sluis.test (Sluis);"), "{text}");
        assert!(text.ends_with(&dsn("weg@example.org", action, status)), "as it came: {text}");
    }
    assert_eq!(returned(&gateway), [("weg@example.org".to_owned(), true, true)]);
    // Some address that it was sent on to is not there, on as many days as the config says.
    let full = paths["vol@example.org"].to_uppercase();
    assert_eq!(outside.submit("", &[&full], dsn("ander@example.net", "failed", "5.1.1")).await.code, 250);
    assert_eq!(returned(&gateway)[1], ("vol@example.org".to_owned(), false, true), "soft, counted apart");
    for (who, code) in [("weg@example.org", 550), ("vol@example.org", 550), ("lezer@example.org", 250)] {
        assert_eq!(client.submit(NEWS, &[who], message(NEWS, "Dag")).await.code, code, "{who}");
    }
    let reply = client.submit(INVOICES, &["vol@example.org"], message(INVOICES, "Dag")).await;
    assert_eq!(reply.code, 250, "a block is for marketing: {reply:?}");
    assert!(gateway.running.store().verify_all(&[]).unwrap().is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_what_comes_back_over_and_over_is_passed_on_four_times() {
    let mut next_hop = NextHop::start().await;
    let gateway = gateway_with(next_hop.address, "bounce_domain = \"bounce.sluis.test\"").await;
    gateway.consent(&["lezer@example.org"]).await;
    let reply = gateway.client().await.submit(NEWS, &["lezer@example.org"], message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let path = sent_from(&next_hop.next().await);
    let report = "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
                  Reporting-MTA: dns; x\r\n\r\nAction: delayed\r\nStatus: 4.4.1\r\n\r\n--b--\r\n";
    let mut outside = Client::hello(gateway.running.unsubscribe_mail().0.unwrap()).await;
    for _ in 0..7 {
        assert_eq!(outside.submit("", &[&path], report).await.code, 250);
    }
    let events = gateway.events();
    let ignored = events.iter().filter(|event| matches!(event, Event::Ignored(_))).count();
    let passed = events.iter().filter(|event| matches!(event, Event::NoticeSent { .. })).count();
    assert_eq!((ignored, passed), (7, 4), "whoever has the address cannot fill a mailbox with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_what_comes_back_in_no_format_is_passed_on_too() {
    let mut next_hop = NextHop::start().await;
    let gateway = gateway_with(next_hop.address, "bounce_domain = \"bounce.sluis.test\"").await;
    gateway.consent(&["lezer@example.org"]).await;
    let reply = gateway.client().await.submit(NEWS, &["lezer@example.org"], message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let path = sent_from(&next_hop.next().await);
    let mut outside = Client::hello(gateway.running.unsubscribe_mail().0.unwrap()).await;
    let qmail =
        "From: MAILER-DAEMON@far.example\r\nSubject: failure notice\r\n\r\nHi. This is the program.\r\n";
    let away =
        "From: lezer@example.org\r\nAuto-Submitted: auto-replied\r\nSubject: weg\r\n\r\nTot maandag.\r\n";
    for (from, text) in [("", qmail), ("lezer@example.org", away)] {
        assert_eq!(outside.submit(from, &[&path], text).await.code, 250);
        let on = next_hop.next().await;
        assert_eq!((sent_from(&on).as_str(), on.rcpt[0].contains(NEWS)), ("", true), "its tool hears of it");
        let got = String::from_utf8(on.data).unwrap();
        assert!(got.ends_with(text), "as it came: {got}");
    }
    assert_eq!(returned(&gateway), [], "and nothing else follows");
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_what_the_next_hop_says_of_a_mailbox_blocks_it_until_somebody_says_otherwise() {
    let gone = |moment: Moment, line: &str| {
        let is_gone = moment == Moment::Command && line.starts_with("RCPT") && line.contains("weg@");
        is_gone.then(|| Say("550 5.1.1 no such user\r\n".to_owned()))
    };
    let mut next_hop = NextHop::scripted(&["PIPELINING", "ENHANCEDSTATUSCODES"], gone).await;
    let gateway = gateway(next_hop.address).await;
    let readers = ["weg@example.org", "lezer@example.org"];
    gateway.consent(&readers).await;
    let mut client = gateway.client().await;
    // Straight through, and by way of the spool.
    for to in [&readers[..1], &readers[..]] {
        client.submit(INVOICES, to, message(INVOICES, "Dag")).await;
    }
    next_hop.next().await;
    assert_eq!(returned(&gateway), [], "for other mail nothing follows");
    let reply = client.submit(NEWS, &readers[..1], message(NEWS, "Dag")).await;
    assert!(reply.code == 550 && reply.text().contains("5.1.1"), "{reply:?}");
    assert_eq!(returned(&gateway), [("weg@example.org".to_owned(), true, true)]);
    let reply = client.submit(NEWS, &readers[..1], message(NEWS, "Dag")).await;
    assert!(reply.code == 550 && reply.text().contains("5.7.1"), "blocked: {reply:?}");
    let unblock = || Request::Unblock {
        address: support::address("weg@example.org"),
        sender: None,
        why: "telephone".to_owned(),
    };
    assert!(matches!(ask(&gateway, unblock()).await, Answer::Done { .. }));
    assert!(matches!(ask(&gateway, unblock()).await, Answer::Failed { .. }), "there is nothing to lift");
    let reply = client.submit(NEWS, &readers, message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "one has it, the other is tried again, and bounced: {reply:?}");
    assert_eq!(returned(&gateway).len(), 2, "and blocked again, by way of the spool");
    assert!(gateway.running.store().verify_all(&[]).unwrap().is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn p11_what_the_gateway_writes_itself_is_signed() {
    let refuse = |moment: Moment, line: &str| {
        let is_late = moment == Moment::Command && line.starts_with("RCPT") && line.contains("weg@");
        is_late.then(|| Say("550 5.7.1 go away\r\n".to_owned()))
    };
    let mut next_hop = NextHop::scripted(&["PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME"], refuse).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluis.toml");
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let extra = "postmaster = \"postmaster@gateway.voorbeeldhypotheken.nl\"";
    let text = config_text(folder.path(), any_port, next_hop.address, free_port(), extra, "");
    std::fs::write(&file, text).unwrap();
    let gateway = TestGateway { running: start(&file, Arc::new(SystemClock)).await, folder };
    let readers = ["weg@example.org", "lezer@example.org"];
    gateway.consent(&readers).await;
    let reply = gateway.client().await.submit(NEWS, &readers, message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let copy = next_hop.next().await;
    let text = String::from_utf8(copy.data.clone()).unwrap();
    let path = text.split_once("/u/").unwrap().1.split_once('>').unwrap().0.to_owned();
    let page = gateway.running.unsubscribe();
    let post = format!("POST /u/{path} HTTP/1.1\r\nHost: {page}\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(support::http::ask(page, post).await.status, 200);
    let own = [next_hop.next().await, next_hop.next().await];
    assert!(own.iter().any(|mail| mail.rcpt[0].contains(NEWS)), "the DSN: {own:?}");
    assert!(own.iter().any(|mail| mail.rcpt[0].contains("beheer@")), "the notice: {own:?}");

    let events = gateway.events();
    let record = events.iter().find_map(|event| match event {
        Event::KeyInForce(key) if key.name == "test._domainkey.voorbeeldhypotheken.nl" => Some(key),
        _ => None,
    });
    let record = record.unwrap();
    let (resolver, _) =
        dns("test._domainkey.voorbeeldhypotheken.nl", record.public.as_deref().unwrap()).await;
    let signatures = Signatures::new(Some(resolver), std::time::Duration::from_secs(10)).unwrap();
    for mail in own.iter().chain([&copy]) {
        let who = signatures.of(&mail.data).await;
        assert_eq!(who, ["voorbeeldhypotheken.nl"], "{}", String::from_utf8_lossy(&mail.data));
    }
    let named = events.iter().filter(|event| match event {
        Event::Admitted(it) => it.class == Class::System && it.dkim[0].key == record.id,
        _ => false,
    });
    assert_eq!(named.count(), 2, "and the ledger says with which key");
}
