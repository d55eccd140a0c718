//! Defects that were found by attacking the whole gateway; each test is named after what went wrong.

mod support;

use std::sync::Arc;

use sluis::clock::{Clock as _, SystemClock};
use sluis::config;
use sluis::ledger::Event;
use sluis::mail::Class;
use sluis::secret::SystemEntropy;
use sluis::suppression::Reason;
use support::gateway::{INVOICES, NEWS, PERSON, TestGateway, message};
use support::next_hop::{Answer, EVERYTHING, Moment, NextHop};
use support::patience::{PATIENCE, Patience, within};
use tokio::sync::Notify;

/// Promise 6: the copies of one message go out a few at a time, and an unsubscribe may come before the
/// last of them has its turn.
#[tokio::test(flavor = "multi_thread")]
async fn promise_6_an_unsubscribe_reaches_a_copy_that_waits_for_its_turn() {
    let reached = Arc::new(Notify::new());
    let seen = reached.clone();
    // Opens, too, when the test fails and drops its end.
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let first = std::sync::atomic::AtomicBool::new(true);
    let mut next_hop = NextHop::scripted(EVERYTHING, move |moment, _| {
        if moment == Moment::End && first.swap(false, std::sync::atomic::Ordering::SeqCst) {
            seen.notify_one();
            let _ = gate.lock().unwrap().recv_timeout(PATIENCE);
        }
        None
    })
    .await;
    let gateway = TestGateway::with(next_hop.address, "", "connections = 1").await;
    let to = ["a@example.org", "b@example.org"];
    gateway.consent(&to).await;
    let mut client = gateway.client().await;
    let submitting = tokio::spawn(async move { client.submit(NEWS, &to, message(NEWS, "Dag")).await });
    within(reached.notified()).await;
    // One of the two is at the next hop; both leave, so whichever waits must not go.
    for who in to {
        gateway.suppress(who, Reason::Unsubscribed).await;
    }
    drop(open);
    let reply = submitting.await.unwrap();
    assert_eq!(reply.code, 250, "{reply:?}");
    let ends = |events: &[Event], end: fn(&Event) -> bool| events.iter().filter(|event| end(event)).count();
    let patience = Patience::new();
    loop {
        patience.check();
        let events = gateway.events();
        let cancelled = ends(&events, |event| matches!(event, Event::Cancelled(_)));
        let relayed = ends(&events, |event| matches!(event, Event::Relayed(outcome) if outcome.attempt == 1));
        assert!(relayed < 2, "a copy went out after its recipient had left");
        if cancelled == 1 {
            break;
        }
        // Durable only after all that was handed over before it.
        gateway.record(Vec::new()).await;
    }
    let mut news = 0;
    while let Some(got) = next_hop.try_next() {
        news += usize::from(got.mail.contains(NEWS));
    }
    assert_eq!(news, 1, "only the one that was under way");
}

/// RULES L6: a newsletter is no automatic reply because it says so and has no reverse-path.
#[tokio::test(flavor = "multi_thread")]
async fn l6_a_newsletter_from_the_null_path_with_auto_submitted_is_marketing() {
    let mut next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    let mut client = gateway.client().await;
    let auto = |extra: &str| {
        message("aanbod@stranger.example", "Koop nu").replace("Subject:", &format!("{extra}\r\nSubject:"))
    };
    for extra in [
        "Auto-Submitted: auto-generated",
        "Auto-Submitted: auto-replied\r\nIn-Reply-To: <1@x>\r\nList-Unsubscribe: <https://x.example/>",
        "Auto-Submitted: auto-replied\r\nReferences: <1@x>\r\nList-Id: <x.example>",
    ] {
        let reply = client.submit("", &["vreemd@example.org"], auto(extra)).await;
        assert_eq!(reply.code, 550, "{extra}: {reply:?}");
    }
    assert!(next_hop.try_next().is_none());
    let answer = auto("Auto-Submitted: auto-replied\r\nIn-Reply-To: <1@x>");
    let reply = client.submit("", &["vreemd@example.org"], answer).await;
    assert_eq!(reply.code, 250, "a real one still goes: {reply:?}");
    let class = gateway.wait_for(|event| match event {
        Event::Admitted(admitted) => Some(admitted.class),
        _ => None,
    });
    assert_eq!(class.await, Class::System);
}

/// Promise 5: a From that cannot be read does not lead past a rule on From.
#[tokio::test(flavor = "multi_thread")]
async fn promise_5_a_second_from_does_not_lead_past_a_rule_on_from() {
    let mut next_hop = NextHop::start().await;
    let rule = "[[rule]]\nname = \"stopped\"\nmatch = { from = \"actie@voorbeeldhypotheken.nl\" }\n\
                refuse = \"not through here\"";
    let gateway = TestGateway::with(next_hop.address, rule, "").await;
    let mut client = gateway.client().await;
    let acting = message("actie@voorbeeldhypotheken.nl", "Koop nu");
    for from in [format!("From: x <{PERSON}>\r\n"), "FROM : tweede@voorbeeldhypotheken.nl\r\n".to_owned()] {
        let reply = client.submit(INVOICES, &["a@example.org"], format!("{from}{acting}")).await;
        assert_eq!(reply.code, 550, "{from}: {reply:?}");
    }
    let several = acting.replacen("From: ", &format!("From: {PERSON}, "), 1);
    let reply = client.submit(INVOICES, &["a@example.org"], several).await;
    assert_eq!(reply.code, 550, "two mailboxes: {reply:?}");
    let group = acting.replacen("From: ", "From: wij: ", 1).replacen(">\r\n", ">;\r\n", 1);
    let reply = client.submit(INVOICES, &["a@example.org"], group).await;
    assert_eq!(reply.code, 550, "a group: {reply:?}");
    assert!(next_hop.try_next().is_none());
    let reply = client.submit(INVOICES, &["a@example.org"], message(INVOICES, "Factuur")).await;
    assert_eq!(reply.code, 250, "{reply:?}");
}

/// Promise 2: while the client keeps the message and tries again, the refused ones are not reported
/// again and again.
#[tokio::test(flavor = "multi_thread")]
async fn promise_2_a_dsn_for_the_refused_goes_once_and_only_when_somebody_has_it() {
    let busy = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let says = busy.clone();
    let mut next_hop = NextHop::scripted(EVERYTHING, move |moment, line| {
        let news = moment == Moment::Command && line.starts_with("MAIL") && line.contains(NEWS);
        let busy = news && says.load(std::sync::atomic::Ordering::SeqCst);
        busy.then(|| Answer::Say("451 4.3.2 later\r\n".to_owned()))
    })
    .await;
    let gateway = TestGateway::with(next_hop.address, "on_refused = \"deliver-rest\"", "").await;
    gateway.consent(&["a@example.org"]).await;
    let mut client = gateway.client().await;
    for (code, other) in [(451, "b@example.org"), (451, "c@example.org"), (250, "d@example.org")] {
        busy.store(code != 250, std::sync::atomic::Ordering::SeqCst);
        gateway.consent(&[other]).await;
        client.command(&format!("MAIL FROM:<{NEWS}>")).await;
        for who in ["a@example.org", other] {
            assert_eq!(client.command(&format!("RCPT TO:<{who}>")).await.code, 250);
        }
        // At RCPT it would be refused already; the objection comes in between.
        gateway.suppress(other, Reason::Objection).await;
        assert_eq!(client.command("DATA").await.code, 354);
        client.send(support::smtp::stuff(message(NEWS, "Dag").as_bytes())).await;
        let reply = client.reply().await;
        assert_eq!(reply.code, code, "{reply:?}");
    }
    let got = next_hop.next().await;
    assert!(got.mail.contains(NEWS), "{got:?}");
    let dsn = next_hop.next().await;
    let text = String::from_utf8(dsn.data).unwrap();
    assert!(text.contains("d@example.org") && !text.contains("c@example.org"), "{text}");
    assert!(next_hop.try_next().is_none());
}

/// Promise 10: the hourly limit holds for clients that need no account, too.
#[tokio::test(flavor = "multi_thread")]
async fn promise_10_messages_per_hour_holds_in_a_trusted_network() {
    let next_hop = NextHop::start().await;
    let gateway = TestGateway::with(next_hop.address, "limits.messages_per_hour = 2", "").await;
    let mut client = gateway.client().await;
    for code in [250, 250, 450] {
        let reply = client.submit(PERSON, &["a@example.org"], message(PERSON, "Dag")).await;
        assert_eq!(reply.code, code, "{reply:?}");
    }
}

/// A register with one long key could not be listed any more.
#[tokio::test(flavor = "multi_thread")]
async fn l17_a_register_with_a_key_longer_than_an_address_can_be_listed() {
    let next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    gateway.suppress(&format!("{}@example.org", "\u{130}".repeat(32)), Reason::Manual).await;
    assert_eq!(gateway.running.store().register(None, None, 10).unwrap().len(), 1);
}

/// Promises 5 and 8: with the store, every suppression would be gone.
#[tokio::test(flavor = "multi_thread")]
async fn promise_8_no_second_ledger_begins_beside_the_key_of_a_lost_one() {
    let next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    gateway.suppress("a@example.org", Reason::Objection).await;
    let TestGateway { running, folder } = gateway;
    running.stop().await;
    let file = folder.path().join("sluis.toml");
    let store = folder.path().join("var/sluis.redb");
    let whole = std::fs::read(&store).unwrap();
    let start = || async {
        let environment = config::Environment::of_process(SystemClock.now());
        let settings = config::load(&file, &environment).unwrap();
        sluis::app::Running::start(settings, Arc::new(SystemClock), Arc::new(SystemEntropy)).await
    };
    std::fs::write(&store, b"").unwrap();
    let error = start().await.expect_err("an empty store").to_string();
    assert!(error.contains("it is empty"), "{error}");
    std::fs::remove_file(&store).unwrap();
    let error = start().await.expect_err("no store").to_string();
    assert!(error.contains("is missing") && error.contains("ledger.key"), "{error}");
    std::fs::write(&store, whole).unwrap();
    start().await.expect("with its own store it starts").stop().await;
}

/// RULES L14: an address that is misspelt, or stands in Resent-To, is shown to the others all the same.
#[tokio::test(flavor = "multi_thread")]
async fn l14_addresses_that_cannot_be_read_are_visible_all_the_same() {
    let mut next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    gateway.consent(&["lezer@example.org"]).await;
    let mut client = gateway.client().await;
    for extra in
        ["Cc: a@x..org, <b@y.org.>", "Cc: c@z.org.", "Resent-To: d@x.org", "Resent-Cc: e@x.org, f@x.org"]
    {
        let shown = message(NEWS, "Dag").replace("Subject:", &format!("{extra}\r\nSubject:"));
        let reply = client.submit(NEWS, &["lezer@example.org"], shown).await;
        assert_eq!(reply.code, 550, "{extra}: {reply:?}");
        assert!(reply.text().contains("may not show"), "{extra}: {reply:?}");
    }
    assert!(next_hop.try_next().is_none());
    let hidden = message(NEWS, "Dag").replace("To: lezer@example.org", "To: undisclosed-recipients:;");
    let reply = client.submit(NEWS, &["lezer@example.org"], hidden).await;
    assert_eq!(reply.code, 250, "{reply:?}");
}

/// Two recipients refused for different reasons were recorded with the words said of the first.
#[tokio::test(flavor = "multi_thread")]
async fn promise_1_each_refusal_is_recorded_in_the_next_hops_own_words() {
    let next_hop = NextHop::scripted(EVERYTHING, |moment, line| {
        let rcpt = moment == Moment::Command && line.starts_with("RCPT");
        rcpt.then(|| match line.contains("weg@") {
            true => Answer::Say("550 5.1.1 no such user\r\n".to_owned()),
            false => Answer::Say("552 5.2.2 mailbox full\r\n".to_owned()),
        })
    })
    .await;
    let gateway = TestGateway::start(next_hop.address).await;
    let mut client = gateway.client().await;
    let to = ["weg@example.org", "vol@example.org"];
    let reply = client.submit(INVOICES, &to, message(INVOICES, "Factuur")).await;
    assert_eq!(reply.code, 550, "{reply:?}");
    let bounced: Vec<(String, String)> = gateway
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Bounced(outcome) => Some((outcome.recipients[0].to_string(), outcome.reply)),
            _ => None,
        })
        .collect();
    let expected = [(to[0], "550 5.1.1 no such user"), (to[1], "552 5.2.2 mailbox full")];
    assert_eq!(bounced, expected.map(|(to, reply)| (to.to_owned(), reply.to_owned())));
}

/// RULES L14: addresses that no comma parts, or that stand in a display name, are shown to the others, too.
#[tokio::test(flavor = "multi_thread")]
async fn l14_addresses_that_the_grammar_hides_are_visible_all_the_same() {
    let mut next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    gateway.consent(&["lezer@example.org"]).await;
    let mut client = gateway.client().await;
    let mut submit = async |to: &str| {
        let shown = message(NEWS, "Dag").replace("To: lezer@example.org", to);
        client.submit(NEWS, &["lezer@example.org"], shown).await
    };
    for to in [
        "To: a@x.example b@y.example",
        "To: <a@x.example> <b@y.example>",
        "To: <a@x.example, b@y.example>",
        "To: \"a@x.example, b@y.example\" <lezer@example.org>",
        "To: lezer@example.org (b@y.example)",
        "To: =?utf-8?q?a=40x.example_b=40y.example?= <lezer@example.org>",
    ] {
        let reply = submit(to).await;
        assert_eq!(reply.code, 550, "{to}: {reply:?}");
        assert!(reply.text().contains("may not show"), "{to}: {reply:?}");
    }
    assert!(next_hop.try_next().is_none());
    for to in [
        "To: \"'Lezer@example.org'\" <lezer@example.org>",
        "To: info@voorbeeldhypotheken.nl lezer@example.org",
        "To: Jan @ werk <lezer@example.org>",
    ] {
        let reply = submit(to).await;
        assert_eq!(reply.code, 250, "{to}: {reply:?}");
    }
}

/// RULES L17: a tag that needs quotes hid the mailbox it belongs to.
#[tokio::test(flavor = "multi_thread")]
async fn l17_a_quoted_tag_does_not_hide_the_suppressed_mailbox() {
    let next_hop = NextHop::start().await;
    let gateway = TestGateway::start(next_hop.address).await;
    let tagged = "\"lezer+ x\"@example.org";
    gateway.consent(&[tagged]).await;
    gateway.suppress("lezer@example.org", Reason::Objection).await;
    let reply = gateway.client().await.submit(NEWS, &[tagged], message(NEWS, "Dag")).await;
    assert_eq!(reply.code, 550, "{reply:?}");
    assert!(reply.text().contains("objected"), "{reply:?}");
}

/// P1 (RFC 5321 6.3): a message that has been around too often is a loop, whoever it is for.
#[tokio::test(flavor = "multi_thread")]
async fn p1_a_message_that_goes_round_is_stopped() {
    let mut next_hop = NextHop::scripted(EVERYTHING, |_, _| None).await;
    let gateway = TestGateway::with(next_hop.address, "", "").await;
    let mut client = gateway.client().await;
    let around = |times: usize| {
        let mut text = "Received: from a by b; Tue, 24 Nov 2026 10:00:00 +0000\r\n".repeat(times);
        text.push_str(&message(INVOICES, "Factuur"));
        text
    };
    let reply = client.submit(INVOICES, &["a@example.org"], around(51)).await;
    assert_eq!(reply.code, 554, "{reply:?}");
    let reply = client.submit(INVOICES, &["a@example.org"], around(50)).await;
    assert_eq!(reply.code, 250, "{reply:?}");
    let sent = String::from_utf8(next_hop.next().await.data).unwrap();
    assert_eq!(sent.matches("Received: from a by b").count(), 50);
    assert!(next_hop.try_next().is_none(), "the other one went nowhere");
}
