//! The promises of the design, each by name, with a whole gateway in front of a next hop that can do
//! anything.

mod support;

use std::sync::Arc;

use sluis::admin;
use sluis::clock::{Clock as _, ManualClock, SystemClock};
use sluis::ledger::Event;
use sluis::mail::Class;
use sluis::suppression::Reason;
use support::gateway::{INVOICES, NEWS, PERSON, TestGateway, message};
use support::next_hop::{Answer, EVERYTHING, Moment, NextHop};
use support::patience::{Patience, within};

fn relayed(event: &Event) -> Option<()> {
    matches!(event, Event::Relayed(_)).then_some(())
}

/// Position of the first event of each kind, in ledger order.
fn position(events: &[Event], kind: fn(&Event) -> bool) -> usize {
    events.iter().position(kind).expect("the entry is there")
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_1_admitted_is_durable_before_the_first_byte_of_the_copy() {
    // The next hop hangs up at the first command of the transaction: by then the entry must be there.
    let (asked, mut asking) = tokio::sync::mpsc::unbounded_channel();
    let next_hop = NextHop::scripted(EVERYTHING, move |moment, line| {
        let mail = moment == Moment::Command && line.starts_with("MAIL");
        mail.then(|| {
            let _ = asked.send(());
            Answer::HangUp
        })
    })
    .await;
    let gateway = TestGateway::start(next_hop.address).await;
    gateway.consent(&["lezer@example.org"]).await;
    let mut client = gateway.client().await;
    let message = message(NEWS, "Dag");
    let submitting = client.submit(NEWS, &["lezer@example.org"], message);
    let looking = async {
        within(asking.recv()).await.expect("MAIL reaches the next hop");
        gateway.events()
    };
    let (reply, seen_at_mail) = tokio::join!(submitting, looking);
    assert!(seen_at_mail.iter().any(|event| matches!(event, Event::Admitted(_))));
    assert_eq!(reply.code / 100, 4, "{reply:?}");
    let events = gateway.events();
    let admitted = position(&events, |event| matches!(event, Event::Admitted(_)));
    let outcome = position(&events, |event| matches!(event, Event::Delayed(_) | Event::InDoubt(_)));
    assert!(admitted < outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_1_the_admitted_entry_names_who_which_basis_and_the_hash_of_the_exact_bytes() {
    let mut next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    gateway.consent(&["lezer@example.org"]).await;
    let mut client = gateway.client().await;
    let reply = client.submit(NEWS, &["lezer@example.org"], message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let got = next_hop.next().await.data;
    let admitted = gateway
        .wait_for(|event| match event {
            Event::Admitted(admitted) => Some(admitted.clone()),
            _ => None,
        })
        .await;
    assert_eq!(admitted.class, Class::Marketing);
    assert_eq!(admitted.recipients[0].recipient.as_str(), "lezer@example.org");
    assert!(matches!(admitted.recipients[0].basis, sluis::policy::Basis::Consent { .. }));
    assert_eq!(admitted.sent_sha256, sluis::mail::hex(&sluis::mail::sha256(&got)));
    gateway.wait_for(relayed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_2_what_the_next_hop_says_is_what_the_client_hears() {
    for (said, code) in [("550 5.1.1 no such user\r\n", 550), ("452 4.2.2 mailbox full\r\n", 452)] {
        let next_hop = NextHop::scripted(EVERYTHING, move |moment, line| {
            let rcpt = moment == Moment::Command && line.starts_with("RCPT");
            rcpt.then(|| Answer::Say(said.to_owned()))
        })
        .await;
        let gateway = TestGateway::start(next_hop.address).await;
        let mut client = gateway.client().await;
        let reply = client.submit(INVOICES, &["a@example.org"], message(INVOICES, "Factuur")).await;
        assert_eq!(reply.code, code, "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_2_some_recipients_refused_by_the_next_hop_are_named_and_bounced() {
    let mut next_hop = NextHop::scripted(EVERYTHING, |moment, line| {
        let bad = moment == Moment::Command && line.starts_with("RCPT") && line.contains("weg@");
        bad.then(|| Answer::Say("550 5.1.1 gone\r\n".to_owned()))
    })
    .await;
    let gateway = TestGateway::start(next_hop.address).await;
    let mut client = gateway.client().await;
    let to = ["a@example.org", "weg@example.org"];
    let reply = client.submit(INVOICES, &to, message(INVOICES, "Factuur")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    assert!(reply.text().contains("weg@example.org"), "the reply names who does not get it: {reply:?}");
    assert_eq!(next_hop.next().await.rcpt.len(), 1);
    let dsn = next_hop.next().await;
    assert!(dsn.mail.starts_with("<>"), "{}", dsn.mail);
    assert!(dsn.rcpt[0].contains(INVOICES));
    let text = String::from_utf8(dsn.data).unwrap();
    assert!(text.contains("multipart/report") && text.contains("weg@example.org"), "{text}");
    assert!(text.contains("Status: 5.1.1"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_2_a_next_hop_that_is_down_leaves_the_message_with_the_client() {
    let gone = support::gateway::free_port();
    let gateway = TestGateway::start(gone).await;
    gateway.consent(&["a@example.org", "b@example.org"]).await;
    let mut client = gateway.client().await;
    let one = client.submit(NEWS, &["a@example.org"], message(NEWS, "Dag")).await;
    assert_eq!(one.code, 451, "{one:?}");
    let several = client.submit(NEWS, &["a@example.org", "b@example.org"], message(NEWS, "Dag")).await;
    assert_eq!(several.code, 451, "{several:?}");
    use sluis::relay::SpoolView as _;
    assert_eq!(gateway.running.store().count().unwrap(), 0, "the spool entries are withdrawn");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_2_with_queue_when_down_the_message_waits_and_is_delivered_later() {
    let port = support::gateway::free_port();
    let gateway = TestGateway::with(port, "", "queue_when_down = true\nretry = [\"1s\"]").await;
    gateway.consent(&["a@example.org", "b@example.org"]).await;
    let mut client = gateway.client().await;
    let reply = client.submit(NEWS, &["a@example.org", "b@example.org"], message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    assert!(reply.text().contains("queued"), "{reply:?}");
    use sluis::relay::SpoolView as _;
    assert_eq!(gateway.running.store().count().unwrap(), 2);
    let mut next_hop = NextHop::at(port, EVERYTHING, |_, _| None).await;
    let mut who = [next_hop.next().await.rcpt, next_hop.next().await.rcpt];
    who.sort();
    assert!(who[0][0].starts_with("<a@example.org>") && who[1][0].starts_with("<b@example.org>"), "{who:?}");
}

/// The command said "tried now" and the copy was put off for an hour, as the next hop had been down a moment ago.
#[tokio::test(flavor = "multi_thread")]
async fn promise_2_who_says_retry_has_it_tried_whatever_was_seen_of_the_next_hop() {
    let port = support::gateway::free_port();
    let gateway = TestGateway::with(port, "", "queue_when_down = true\nretry = [\"1h\"]").await;
    gateway.consent(&["a@example.org", "b@example.org"]).await;
    let mut client = gateway.client().await;
    let reply = client.submit(NEWS, &["a@example.org", "b@example.org"], message(NEWS, "Dag")).await;
    assert!(reply.text().contains("queued"), "{reply:?}");
    let mut next_hop = NextHop::at(port, EVERYTHING, |_, _| None).await;
    use sluis::relay::SpoolView as _;
    let waiting = gateway.running.store().list(None, 10).unwrap();
    let socket = gateway.folder.path().join("var").join("sluis.sock");
    tokio::task::spawn_blocking(move || {
        let mut admin = admin::Client::connect(&socket, 1 << 20).unwrap().unwrap();
        for copy in waiting.iter().map(|spooled| spooled.copy) {
            let request = admin::Request::Change { copy, action: admin::QueueAction::Retry };
            let answer = admin.ask(&request).unwrap();
            assert!(matches!(answer, admin::Answer::Done { .. }), "{answer:?}");
        }
    })
    .await
    .unwrap();
    next_hop.next().await;
    next_hop.next().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_3_a_message_that_cannot_be_edited_is_refused_and_never_sent_as_it_came() {
    let mut next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    gateway.consent(&["lezer@example.org"]).await;
    let mut client = gateway.client().await;
    let twice = message(NEWS, "Dag").replace("Subject: Nieuws\r\n", "Subject: een\r\nSubject: twee\r\n");
    let reply = client.submit(NEWS, &["lezer@example.org"], twice).await;
    assert_eq!(reply.code, 550, "{reply:?}");
    assert!(reply.text().starts_with("5.6.0"), "{reply:?}");
    assert!(next_hop.try_next().is_none());
    assert!(!gateway.events().iter().any(|event| matches!(event, Event::Admitted(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_4_personal_mail_arrives_byte_for_byte_but_for_the_headers_on_top() {
    let mut next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    let mut client = gateway.client().await;
    let sent = message(PERSON, "Beste Kees,\r\n\r\n.een punt\r\n..twee\r\n  spaties  \r\n\tGroet");
    let reply = client.submit(PERSON, &["kees@example.org"], &sent).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let got = next_hop.next().await.data;
    assert!(got.ends_with(sent.as_bytes()), "{}", String::from_utf8_lossy(&got));
    let top = String::from_utf8(got[..got.len() - sent.len()].to_vec()).unwrap();
    for line in top.lines().filter(|line| !line.starts_with([' ', '\t'])) {
        let known = ["Received:", "Sluis-Trace:", "DKIM-Signature:"];
        assert!(known.iter().any(|name| line.starts_with(name)), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_5_marketing_waits_when_the_store_cannot_be_read_or_written() {
    // The disk-level failures are tried in the store's own tests; here the writer is gone.
    let next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    gateway.consent(&["lezer@example.org"]).await;
    let healthy = gateway.running.health().clone();
    healthy.set(Err("it was unplugged".to_owned()));
    let mut client = gateway.client().await;
    let reply = client.submit(NEWS, &["lezer@example.org"], message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 451, "L8: the unsubscribe endpoint is down: {reply:?}");
    assert!(reply.text().contains("it was unplugged"), "and the tool's log says why: {reply:?}");
    let reply = client.submit(INVOICES, &["lezer@example.org"], message(INVOICES, "Factuur")).await;
    assert_eq!(reply.code, 250, "service mail does not hang on it: {reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_6_after_the_post_the_next_rcpt_is_refused() {
    let mut next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    gateway.consent(&["lezer@example.org"]).await;
    let mut client = gateway.client().await;
    let reply = client.submit(NEWS, &["lezer@example.org"], message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let page = gateway.running.unsubscribe();
    let path = unsubscribe_path(&next_hop.next().await.data, page);
    let answer = support::http::ask(page, one_click(&path, page)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let reply = client.submit(NEWS, &["lezer@example.org"], message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 550, "{reply:?}");
    assert!(reply.text().starts_with("5.7.1 <lezer@example.org> unsubscribed"), "{reply:?}");
    // L17: nor by another spelling of the same mailbox, or a tag.
    for other in ["Lezer@EXAMPLE.org", "\"lezer\"@example.org", "lezer+nieuws@example.org"] {
        gateway.consent(&[other]).await;
        let reply = client.submit(NEWS, &[other], message(NEWS, "Dag")).await;
        assert_eq!(reply.code, 550, "{other}: {reply:?}");
    }
    // L20: service mail goes on.
    let reply = client.submit(INVOICES, &["lezer@example.org"], message(INVOICES, "Factuur")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    // L10: the sender is told.
    let notice = next_hop.next().await;
    let notice = if notice.rcpt[0].contains("beheer@") { notice } else { next_hop.next().await };
    assert!(notice.rcpt[0].contains("beheer@voorbeeldhypotheken.nl"), "{notice:?}");
    assert!(String::from_utf8_lossy(&notice.data).contains("lezer@example.org"));
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_6_a_copy_that_waits_in_the_spool_is_cancelled() {
    let down = support::gateway::free_port();
    let gateway = TestGateway::with(down, "", "queue_when_down = true\nretry = [\"1s\"]").await;
    gateway.consent(&["a@example.org", "b@example.org"]).await;
    let mut client = gateway.client().await;
    let reply = client.submit(NEWS, &["a@example.org", "b@example.org"], message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    gateway.suppress("a@example.org", Reason::Objection).await;
    let cancelled = gateway
        .wait_for(|event| match event {
            Event::Cancelled(outcome) => Some(outcome.recipients.clone()),
            _ => None,
        })
        .await;
    assert_eq!(cancelled[0].as_str(), "a@example.org");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_7_reading_a_link_changes_nothing() {
    let mut next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    gateway.consent(&["lezer@example.org"]).await;
    let mut client = gateway.client().await;
    client.submit(NEWS, &["lezer@example.org"], message(NEWS, "Dag")).await;
    let page = gateway.running.unsubscribe();
    let path = unsubscribe_path(&next_hop.next().await.data, page);
    for method in ["GET", "HEAD", "OPTIONS"] {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {page}\r\nConnection: close\r\n\r\n");
        let answer = support::http::ask(page, request).await;
        assert!(answer.status < 400, "{method}: {answer:?}");
    }
    let reply = client.submit(NEWS, &["lezer@example.org"], message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_8_a_pack_of_a_real_send_verifies_with_the_public_key_alone() {
    let next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    gateway.consent(&["lezer@example.org"]).await;
    let mut client = gateway.client().await;
    client.submit(NEWS, &["lezer@example.org"], message(NEWS, "Dag")).await;
    let pack = gateway.running.pack_of(&support::address("lezer@example.org")).await.unwrap();
    let key = gateway.running.ledger_key();
    let report = sluis::ledger::verify::verify_pack(std::io::Cursor::new(&pack), &key).unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert!(report.entries.len() >= 3, "consent, admitted, relayed");
    assert_eq!(report.messages.len(), 1);
    let other =
        sluis::ledger::checkpoint::Signer::generate("sluis.test", &sluis::secret::SystemEntropy).unwrap();
    let foreign = sluis::ledger::verify::verify_pack(std::io::Cursor::new(&pack), other.verifier());
    assert!(!foreign.is_ok_and(|report| report.is_sound()), "somebody else's key");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_9_each_recipient_gets_a_link_of_its_own_and_nobody_elses() {
    let mut next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    let to = ["a@example.org", "b@example.org", "c@example.org"];
    gateway.consent(&to).await;
    let mut client = gateway.client().await;
    let reply = client.submit(NEWS, &to, message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let page = gateway.running.unsubscribe();
    let mut paths = std::collections::HashSet::new();
    for _ in to {
        let got = next_hop.next().await;
        assert_eq!(got.rcpt.len(), 1, "one copy per recipient");
        let mine = got.rcpt[0].split(['<', '>']).nth(1).unwrap().to_owned();
        let text = String::from_utf8(got.data.clone()).unwrap();
        for other in to.iter().filter(|other| **other != mine) {
            assert!(!text.contains(*other), "{mine} can read {other}");
        }
        paths.insert(unsubscribe_path(&got.data, page));
    }
    assert_eq!(paths.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_10_a_message_over_the_limit_is_refused_clearly() {
    let next_hop = NextHop::start().await;
    let gateway = TestGateway::with(next_hop.address, "limits.message_size = \"64 KiB\"", "").await;
    let mut client = gateway.client().await;
    let reply = client.submit(PERSON, &["a@example.org"], message(PERSON, &"regel\r\n".repeat(20_000))).await;
    assert_eq!(reply.code, 552, "{reply:?}");
    let reply = client.submit(PERSON, &["a@example.org"], message(PERSON, "kort")).await;
    assert_eq!(reply.code, 250, "the session goes on: {reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_10_copies_beyond_what_the_spool_may_hold_are_put_off() {
    let mut next_hop = NextHop::start().await;
    let gateway = TestGateway::with(next_hop.address, "limits.spool_copies = 1", "").await;
    gateway.consent(&["a@example.org", "b@example.org"]).await;
    let mut client = gateway.client().await;
    let reply = client.submit(NEWS, &["a@example.org", "b@example.org"], message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 452, "{reply:?}");
    assert!(!gateway.events().iter().any(|event| matches!(event, Event::Admitted(_))), "nothing is half in");
    let reply = client.submit(NEWS, &["a@example.org"], message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "one copy needs no spool: {reply:?}");
    next_hop.next().await;
}

fn unsubscribe_path(message: &[u8], page: std::net::SocketAddr) -> String {
    let text = String::from_utf8_lossy(message);
    let header = text.split("\r\n\r\n").next().unwrap();
    let (_, rest) = header.split_once("List-Unsubscribe:").expect("the header is there");
    let (_, rest) = rest.split_once(&format!("<http://{page}")).expect("it has our link");
    rest.split_once('>').unwrap().0.to_owned()
}

fn one_click(path: &str, page: std::net::SocketAddr) -> String {
    let body = "List-Unsubscribe=One-Click";
    format!(
        "POST {path} HTTP/1.1\r\nHost: {page}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_a_wish_to_know_of_success_is_met_where_the_next_hop_cannot() {
    let mut next_hop = NextHop::scripted(&["PIPELINING", "8BITMIME"], |_, _| None).await;
    let gateway = TestGateway::start(next_hop.address).await;
    let mut client = gateway.client().await;
    assert_eq!(client.command(&format!("MAIL FROM:<{INVOICES}> ENVID=abc")).await.code, 250);
    assert_eq!(client.command("RCPT TO:<a@example.org> NOTIFY=SUCCESS").await.code, 250);
    assert_eq!(client.command("DATA").await.code, 354);
    client.send(support::smtp::stuff(message(INVOICES, "Factuur").as_bytes())).await;
    assert_eq!(client.reply().await.code, 250);
    assert!(next_hop.next().await.rcpt[0].contains("a@example.org"));
    let dsn = String::from_utf8(next_hop.next().await.data).unwrap();
    assert!(dsn.contains("Action: relayed") && dsn.contains("Original-Envelope-Id: abc"), "{dsn}");
}

#[tokio::test(flavor = "multi_thread")]
async fn observe_blocks_nothing_and_records_what_it_would_have_refused() {
    let mut next_hop = NextHop::start().await;
    let gateway = TestGateway::with(next_hop.address, "mode = \"observe\"", "").await;
    gateway.suppress("nooit@example.org", Reason::Objection).await;
    let mut client = gateway.client().await;
    let to = ["onbekend@example.org", "nooit@example.org"];
    let reply = client.submit(NEWS, &to, message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    for _ in to {
        next_hop.next().await;
    }
    // L7 would refuse this name; observed, it goes out as it came.
    let alias = message(NEWS, "Dag").replace("Voorbeeld Hypotheken", "Uw Vriend");
    let reply = client.submit(NEWS, &["onbekend@example.org"], &alias).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    assert!(next_hop.next().await.data.ends_with(alias.as_bytes()));
    let events = gateway.events();
    let observed: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Admitted(admitted) => Some(admitted.recipients.iter()),
            _ => None,
        })
        .flatten()
        .map(|recipient| recipient.observed.as_ref().map(|refusal| refusal.clause.word()))
        .collect();
    assert_eq!(observed, [Some("no_basis"), Some("suppressed_objection"), Some("no_basis")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deliver_rest_sends_the_permitted_copies_and_names_the_others() {
    let mut next_hop = NextHop::start().await;
    let extra = "on_refused = \"deliver-rest\"";
    let gateway = TestGateway::with(next_hop.address, extra, "").await;
    // `from` cannot be judged at RCPT, and one of the two lets everybody through: the refusal comes after
    // the data.
    let rule = "\n[[rule]]\nname = \"other\"\nmatch = { from = \"anders@voorbeeldhypotheken.nl\" }\n\
                class = \"service\"\n\
                [[rule]]\nname = \"late\"\nmatch = { from = \"laat@voorbeeldhypotheken.nl\" }\n\
                class = \"marketing\"\npurpose = \"nieuwsbrief\"\n";
    let file = gateway.folder.path().join("sluis.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text + rule).unwrap();
    gateway.running.reload().unwrap();
    gateway.consent(&["wel@example.org"]).await;
    let late = "laat@voorbeeldhypotheken.nl";
    let mut client = gateway.client().await;
    let reply = client.submit(late, &["wel@example.org", "niet@example.org"], message(late, "Dag")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    assert!(reply.text().contains("<niet@example.org>"), "promise 2: {reply:?}");
    let (first, second) = (next_hop.next().await, next_hop.next().await);
    let (copy, dsn) = if first.mail.starts_with("<>") { (second, first) } else { (first, second) };
    assert!(copy.rcpt.len() == 1 && copy.rcpt[0].contains("wel@example.org"));
    let dsn = String::from_utf8(dsn.data).unwrap();
    assert!(dsn.contains("niet@example.org") && dsn.contains("Status: 5.7.1"), "{dsn}");
    // From the null path nobody could be told: the whole message is refused.
    let reply = client.submit("", &["wel@example.org", "niet@example.org"], message(late, "Dag")).await;
    assert_eq!(reply.code, 550, "{reply:?}");
    assert!(next_hop.try_next().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_is_whole_or_not_at_all() {
    let next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    let file = gateway.folder.path().join("sluis.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let mut client = gateway.client().await;
    std::fs::write(&file, good.replace("class = \"personal\"", "class = \"persnal\"")).unwrap();
    let problems = gateway.running.reload().unwrap_err();
    assert!(problems.contains("persnal"), "{problems}");
    let reply = client.submit(PERSON, &["a@example.org"], message(PERSON, "Dag")).await;
    assert_eq!(reply.code, 250, "the old rules stay in force: {reply:?}");
    std::fs::write(&file, good.replace("class = \"personal\"", "refuse = \"closed\"")).unwrap();
    gateway.running.reload().unwrap();
    let reply = client.submit(PERSON, &["a@example.org"], message(PERSON, "Dag")).await;
    assert_eq!((reply.code, reply.text().contains("closed")), (550, true), "{reply:?}");
    // The entry is written beside the reload: wait for the second one.
    let patience = Patience::new();
    while gateway.events().iter().filter(|event| matches!(event, Event::ConfigInForce { .. })).count() < 2 {
        patience.check();
        gateway.record(Vec::new()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_limits_and_refuses_what_needs_a_restart() {
    let next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    let file = gateway.folder.path().join("sluis.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let mut client = gateway.client().await;
    let send = async |client: &mut support::smtp::Client| {
        client.submit(PERSON, &["a@example.org"], message(PERSON, "Dag")).await.code
    };
    assert_eq!(send(&mut client).await, 250);
    std::fs::write(&file, format!("{good}[limits]\nmessages_per_hour = 1\n")).unwrap();
    gateway.running.reload().unwrap();
    assert_eq!(send(&mut client).await, 250, "a changed rate begins anew");
    assert_eq!(send(&mut client).await, 450);
    let other = good.replace("[relay]", "[ledger]\ncache = \"64 MiB\"\n[relay]\nbackground = 3\n");
    std::fs::write(&file, other).unwrap();
    let refused = gateway.running.reload().unwrap_err();
    assert!(refused.starts_with("relay.background, ledger.cache cannot change"), "{refused}");
    assert_eq!(send(&mut client).await, 450, "nothing of it is in force");
    std::fs::write(&file, good).unwrap();
    gateway.running.reload().unwrap();
    assert_eq!(send(&mut client).await, 250);
}

#[tokio::test(flavor = "multi_thread")]
async fn l13_personal_mail_that_says_the_same_over_and_over_is_marketing() {
    let next_hop = NextHop::scripted(EVERYTHING, |moment, line| {
        let later = moment == Moment::Command && line.contains("later@");
        later.then(|| Answer::Say("451 4.2.0 later\r\n".to_owned()))
    })
    .await;
    let gateway = TestGateway::with(next_hop.address, "policy.personal_max_alike = 3", "").await;
    let offer = |name: &str| {
        let text = format!(
            "Beste {name},\r\n\r\nDeze maand is de rente op een hypotheek van tien jaar lager dan vorig jaar. \
             Zullen we eens rekenen?\r\n\r\nGroet, Jan"
        );
        message(PERSON, &text)
    };
    let mut client = gateway.client().await;
    // One that the next hop puts off, and its client sends again and again, is one message.
    for _ in 0..4 {
        assert_eq!(client.submit(PERSON, &["later@example.org"], offer("Anna")).await.code, 451);
    }
    for name in ["Anna", "Bob", "mevrouw De Wit"] {
        let reply = client.submit(PERSON, &["a@example.org"], offer(name)).await;
        assert_eq!(reply.code, 250, "{name}: {reply:?}");
    }
    let colleague = ["piet@voorbeeldhypotheken.nl"];
    assert_eq!(
        client.submit(PERSON, &colleague, offer("Piet")).await.code,
        250,
        "a colleague is not counted"
    );
    let reply = client.submit(PERSON, &["e@example.org"], offer("Eva")).await;
    assert_eq!(reply.code, 550, "{reply:?}");
    assert!(reply.text().contains("4 personal messages that say nearly the same"), "{reply:?}");
    let other = message(PERSON, "Hoi Eva, morgen om tien uur is goed, tot dan! Neem je de tekeningen mee?");
    assert_eq!(client.submit(PERSON, &["e@example.org"], other).await.code, 250);
    let refusals = gateway.events().into_iter().filter(|event| matches!(event, Event::Refused { .. }));
    assert_eq!(refusals.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn l14_several_visible_outside_recipients_are_refused() {
    let next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    gateway.consent(&["a@example.org", "b@example.org"]).await;
    let mut client = gateway.client().await;
    let open = message(NEWS, "Dag").replace("To: lezer@example.org", "To: a@example.org, b@example.org");
    let reply = client.submit(NEWS, &["a@example.org", "b@example.org"], open).await;
    assert_eq!(reply.code, 550, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p12_the_output_sent_through_again_gets_nothing_more() {
    let mut next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    gateway.consent(&["lezer@example.org"]).await;
    let mut client = gateway.client().await;
    for from in [NEWS, INVOICES] {
        client.submit(from, &["lezer@example.org"], message(from, "Dag")).await;
        let once = next_hop.next().await.data;
        client.submit(from, &["lezer@example.org"], &once).await;
        let twice = next_hop.next().await.data;
        let body = |data: &[u8]| {
            let text = String::from_utf8(data.to_vec()).unwrap();
            text.split_once("\r\n\r\n").unwrap().1.to_owned()
        };
        assert!(body(&once).contains("KvK 12345678"));
        assert_eq!(body(&once), body(&twice), "{from}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_6_what_was_recorded_by_a_clock_that_was_wrong_holds_once_it_is_right() {
    let mut next_hop = NextHop::start().await;
    let now = SystemClock.now();
    let clock = Arc::new(ManualClock::at(now));
    let gateway = TestGateway::at(next_hop.address, clock.clone(), "").await;
    gateway.consent(&["lezer@example.org", "weg@example.org"]).await;
    let mut client = gateway.client().await;
    let day = jiff::SignedDuration::from_hours(24);
    // As it is; ten years ahead; a day back from where it was.
    for at in [now, now + day * 3_653, now - day] {
        clock.set(at);
        let reply = client.submit(NEWS, &["lezer@example.org"], message(NEWS, "Dag")).await;
        assert_eq!(reply.code, 250, "at {at}: {reply:?}");
        next_hop.next().await;
        if at > now {
            let page = gateway.running.unsubscribe();
            let reply = client.submit(NEWS, &["weg@example.org"], message(NEWS, "Dag")).await;
            assert_eq!(reply.code, 250, "{reply:?}");
            let path = unsubscribe_path(&next_hop.next().await.data, page);
            assert_eq!(support::http::ask(page, one_click(&path, page)).await.status, 200);
        }
    }
    // Dated ten years from now, and in force today.
    let reply = client.submit(NEWS, &["weg@example.org"], message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 550, "{reply:?}");
    assert!(reply.text().starts_with("5.7.1 <weg@example.org> unsubscribed"), "{reply:?}");
    let admitted = |event: &Event| matches!(event, Event::Admitted(it) if it.class == Class::Marketing);
    assert_eq!(gateway.events().iter().filter(|event| admitted(event)).count(), 4, "no entry is lost");
    let found = gateway.running.store().verify_all(&[]).unwrap();
    assert!(found.is_sound(), "{:?}", found.problems);
}
