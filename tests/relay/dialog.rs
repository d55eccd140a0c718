//! What each misdeed of a next hop means for each recipient, and how often the message was taken.

use std::time::Duration;

use sluis::mail::{Notify, OriginalRecipient, Ret};
use sluis::message::{Piece, Rope};
use sluis::relay::{Fate, Relay};

use super::support::address;
use super::support::next_hop::{Answer, EVERYTHING, Moment, NextHop};
use super::{MESSAGE, brief, copy_of, free, plain, relay_to, settings};

/// The ways a transaction can go, by what the next hop offers.
const WAYS: [(&str, &[&str]); 4] = [
    ("one write", &["PIPELINING", "CHUNKING", "8BITMIME"]),
    ("pipelined DATA", &["PIPELINING", "8BITMIME"]),
    ("BDAT step by step", &["CHUNKING", "8BITMIME"]),
    ("DATA step by step", &["8BITMIME"]),
];

/// What the recipients `a` and `b` are told, and how often the next hop took the message.
struct Case {
    name: &'static str,
    script: fn(Moment, &str) -> Option<Answer>,
    /// Fates of the two recipients.
    fates: [&'static str; 2],
    /// The same where the message is on its way before the first answer.
    one_write: Option<[&'static str; 2]>,
    taken: usize,
}

fn say(text: &str) -> Option<Answer> {
    Some(Answer::Say(format!("{text}\r\n")))
}

fn is(line: &str, verb: &str) -> bool {
    line.to_ascii_uppercase().starts_with(verb)
}

const SILENT_GREETING: &str = "says nothing at all";
const SILENT_END: &str = "takes the message and falls silent";

/// A relay that waits as long as it takes, except where the next hop says nothing ever.
fn relay_for(case: &Case, address: std::net::SocketAddr) -> Relay {
    let mut settings = settings(plain(address));
    match case.name {
        SILENT_GREETING => settings.timeouts.command = Duration::from_millis(20),
        SILENT_END => settings.timeouts.data_end = Duration::from_millis(20),
        _ => {}
    }
    Relay::new(settings).unwrap()
}

const CASES: &[Case] = &[
    Case {
        name: "a friendly next hop",
        script: |_, _| None,
        fates: ["relayed 250 2.0.0", "relayed 250 2.0.0"],
        one_write: None,
        taken: 1,
    },
    Case {
        name: "refuses the connection with 554",
        script: |moment, _| (moment == Moment::Greeting).then(|| say("554 5.7.1 go away")).flatten(),
        fates: ["deferred 451 4.4.0", "deferred 451 4.4.0"],
        one_write: None,
        taken: 0,
    },
    Case {
        name: "421 as its greeting",
        script: |moment, _| (moment == Moment::Greeting).then(|| say("421 busy")).flatten(),
        fates: ["deferred 451 4.4.0", "deferred 451 4.4.0"],
        one_write: None,
        taken: 0,
    },
    Case {
        name: "354 as its greeting",
        script: |moment, _| (moment == Moment::Greeting).then(|| say("354 go")).flatten(),
        fates: ["deferred 451 4.5.0", "deferred 451 4.5.0"],
        one_write: None,
        taken: 0,
    },
    Case {
        name: "refuses EHLO and HELO",
        script: |_, line| (is(line, "EHLO") || is(line, "HELO")).then(|| say("550 no")).flatten(),
        fates: ["deferred 451 4.4.0", "deferred 451 4.4.0"],
        one_write: None,
        taken: 0,
    },
    Case {
        name: "an endless banner",
        script: |moment, _| {
            (moment == Moment::Greeting)
                .then(|| Answer::SayAndHangUp("220-and another thing\r\n".repeat(2000)))
        },
        fates: ["deferred 451 4.5.0", "deferred 451 4.5.0"],
        one_write: None,
        taken: 0,
    },
    Case {
        name: "a banner line without end",
        script: |moment, _| {
            (moment == Moment::Greeting).then(|| Answer::SayAndHangUp("220 ".to_owned() + &"x".repeat(9000)))
        },
        fates: ["deferred 451 4.5.0", "deferred 451 4.5.0"],
        one_write: None,
        taken: 0,
    },
    Case {
        name: SILENT_GREETING,
        script: |moment, _| (moment == Moment::Greeting).then_some(Answer::Silence),
        fates: ["deferred 451 4.4.2", "deferred 451 4.4.2"],
        one_write: None,
        taken: 0,
    },
    Case {
        name: "closes its direction instead of greeting",
        script: |moment, _| (moment == Moment::Greeting).then_some(Answer::HalfClose),
        fates: ["deferred 451 4.4.2", "deferred 451 4.4.2"],
        one_write: None,
        taken: 0,
    },
    Case {
        name: "refuses MAIL for good",
        script: |_, line| is(line, "MAIL").then(|| say("550 5.7.1 not you")).flatten(),
        fates: ["refused 550 5.7.1", "refused 550 5.7.1"],
        one_write: None,
        taken: 0,
    },
    Case {
        name: "refuses MAIL for now, in two lines",
        script: |_, line| is(line, "MAIL").then(|| say("450-4.7.1 slow\r\n450 4.7.1 down")).flatten(),
        fates: ["deferred 450 4.7.1", "deferred 450 4.7.1"],
        one_write: None,
        taken: 0,
    },
    Case {
        name: "354 to MAIL",
        script: |_, line| is(line, "MAIL").then(|| say("354 what")).flatten(),
        fates: ["deferred 451 4.5.0", "deferred 451 4.5.0"],
        // It takes the message all the same: nobody knows for whom.
        one_write: Some(["in doubt 451 4.4.2", "in doubt 451 4.4.2"]),
        taken: 0,
    },
    Case {
        name: "421 to MAIL, and gone",
        script: |_, line| is(line, "MAIL").then(|| Answer::SayAndHangUp("421 4.3.2 bye\r\n".to_owned())),
        fates: ["deferred 421 4.3.2", "deferred 421 4.3.2"],
        one_write: None,
        taken: 0,
    },
    Case {
        name: "hangs up at MAIL",
        script: |_, line| is(line, "MAIL").then_some(Answer::HangUp),
        fates: ["deferred 451 4.4.2", "deferred 451 4.4.2"],
        one_write: Some(["in doubt 451 4.4.2", "in doubt 451 4.4.2"]),
        taken: 0,
    },
    Case {
        name: "a reply that is none",
        script: |_, line| is(line, "MAIL").then(|| say("HTTP/1.1 400 Bad Request")).flatten(),
        fates: ["deferred 451 4.5.0", "deferred 451 4.5.0"],
        one_write: Some(["in doubt 451 4.4.2", "in doubt 451 4.4.2"]),
        taken: 0,
    },
    Case {
        name: "changes its mind half-way",
        script: |_, line| is(line, "MAIL").then(|| say("250-ok\r\n550 no")).flatten(),
        fates: ["deferred 451 4.5.0", "deferred 451 4.5.0"],
        one_write: Some(["in doubt 451 4.4.2", "in doubt 451 4.4.2"]),
        taken: 0,
    },
    Case {
        name: "accepts one recipient only",
        script: |_, line| is(line, "RCPT TO:<B").then(|| say("550 5.1.1 no such user")).flatten(),
        fates: ["relayed 250 2.0.0", "refused 550 5.1.1"],
        one_write: None,
        taken: 1,
    },
    Case {
        name: "accepts one recipient now",
        script: |_, line| is(line, "RCPT TO:<A").then(|| say("452 4.5.3 one at a time")).flatten(),
        fates: ["deferred 452 4.5.3", "relayed 250 2.0.0"],
        one_write: None,
        taken: 1,
    },
    Case {
        name: "accepts nobody",
        script: |_, line| is(line, "RCPT").then(|| say("550 5.1.1 no such user")).flatten(),
        fates: ["refused 550 5.1.1", "refused 550 5.1.1"],
        one_write: None,
        taken: 0,
    },
    Case {
        name: "accepts nobody, and 354 to DATA",
        script: |_, line| {
            if is(line, "RCPT") {
                say("550 5.1.1 no such user")
            } else {
                is(line, "DATA").then(|| say("354 go")).flatten()
            }
        },
        fates: ["refused 550 5.1.1", "refused 550 5.1.1"],
        one_write: None,
        taken: 0,
    },
    Case {
        name: "421 to the second RCPT, and gone",
        script: |_, line| {
            is(line, "RCPT TO:<B").then(|| Answer::SayAndHangUp("421 4.3.2 bye\r\n".to_owned()))
        },
        fates: ["deferred 421 4.3.2", "deferred 421 4.3.2"],
        one_write: None,
        taken: 0,
    },
    Case {
        name: "354 to RCPT",
        script: |_, line| is(line, "RCPT TO:<B").then(|| say("354 what")).flatten(),
        fates: ["deferred 451 4.5.0", "deferred 451 4.5.0"],
        one_write: Some(["relayed 250 2.0.0", "in doubt 451 4.4.2"]),
        taken: 0,
    },
    Case {
        name: "refuses the message for good",
        script: |moment, _| (moment == Moment::End).then(|| say("554 5.7.1 spam")).flatten(),
        fates: ["refused 554 5.7.1", "refused 554 5.7.1"],
        one_write: None,
        taken: 0,
    },
    Case {
        name: "refuses the message for now",
        script: |moment, _| (moment == Moment::End).then(|| say("451 4.7.1 greylisted")).flatten(),
        fates: ["deferred 451 4.7.1", "deferred 451 4.7.1"],
        one_write: None,
        taken: 0,
    },
    Case {
        name: "421 to the message",
        script: |moment, _| (moment == Moment::End).then(|| say("421 4.3.2 bye")).flatten(),
        fates: ["deferred 421 4.3.2", "deferred 421 4.3.2"],
        one_write: None,
        taken: 0,
    },
    Case {
        name: "takes the message and hangs up without a word",
        script: |moment, _| (moment == Moment::End).then_some(Answer::HangUp),
        fates: ["in doubt 451 4.4.2", "in doubt 451 4.4.2"],
        one_write: None,
        taken: 1,
    },
    Case {
        name: SILENT_END,
        script: |moment, _| (moment == Moment::End).then_some(Answer::Silence),
        fates: ["in doubt 451 4.4.2", "in doubt 451 4.4.2"],
        one_write: None,
        taken: 1,
    },
    Case {
        name: "takes the message and closes its direction",
        script: |moment, _| (moment == Moment::End).then_some(Answer::HalfClose),
        fates: ["in doubt 451 4.4.2", "in doubt 451 4.4.2"],
        one_write: None,
        taken: 1,
    },
    Case {
        name: "half an answer to the message, and gone",
        script: |moment, _| (moment == Moment::End).then(|| Answer::SayAndHangUp("250 2.0.0 tak".to_owned())),
        fates: ["in doubt 451 4.4.2", "in doubt 451 4.4.2"],
        one_write: None,
        taken: 1,
    },
    Case {
        name: "one octet at a time, in three lines",
        script: |moment, _| {
            (moment == Moment::End)
                .then(|| Answer::Dribble("250-2.0.0 well\r\n250-2.0.0 now\r\n250 2.0.0 ok\r\n".to_owned()))
        },
        fates: ["relayed 250 2.0.0", "relayed 250 2.0.0"],
        one_write: None,
        taken: 1,
    },
    Case {
        name: "no enhanced codes",
        script: |moment, line| match moment {
            Moment::End => say("250 ok"),
            _ => is(line, "RCPT TO:<B").then(|| say("550 no")).flatten(),
        },
        fates: ["relayed 250", "refused 550"],
        one_write: None,
        taken: 1,
    },
];

#[tokio::test]
async fn p15_what_each_misdeed_of_a_next_hop_means() {
    for case in CASES {
        for (way, extensions) in WAYS {
            let mut hop = NextHop::scripted(extensions, case.script).await;
            let copy = copy_of(MESSAGE, &["a@example.org", "b@example.org"]);
            let delivery = relay_for(case, hop.address).deliver(&copy, &free).await;
            let fates: Vec<_> = delivery.fates.iter().map(brief).collect();
            let expected = match case.one_write {
                Some(fates) if way == "one write" => fates,
                _ => case.fates,
            };
            assert_eq!(fates, expected, "{}, {way}: {:?}", case.name, delivery.fates);
            let mut taken = 0;
            while let Some(captured) = hop.try_next() {
                taken += 1;
                assert_eq!(captured.data, MESSAGE.as_bytes(), "{}, {way}", case.name);
            }
            // What is told as sent was taken once; what is told as refused or deferred never was.
            if case.one_write.is_none() {
                assert_eq!(taken, case.taken, "{}, {way}", case.name);
            }
            let in_doubt = delivery.fates.iter().any(|fate| matches!(fate, Fate::InDoubt(_)));
            let relayed = delivery.fates.iter().any(|fate| matches!(fate, Fate::Relayed(_)));
            assert!(taken <= 1 && (taken == 0 || in_doubt || relayed), "{}, {way}: taken {taken}", case.name);
            assert!(taken == 1 || !relayed, "{}, {way}: told as sent, and never taken", case.name);
        }
    }
}

#[tokio::test]
async fn promise_2_lost_before_the_end_is_deferred_and_after_it_in_doubt() {
    // Larger than all the buffers between us: the end cannot have been handed over.
    let large = format!("Subject: large\r\n\r\n{}", "0123456789\r\n".repeat(1 << 20));
    for extensions in [&["PIPELINING", "CHUNKING"][..], &["PIPELINING"], &[]] {
        let script = |moment, line: &str| match moment {
            Moment::Chunk => Some(Answer::HangUp),
            _ => is(line, "DATA").then(|| Answer::SayAndHangUp("354 go\r\n".to_owned())),
        };
        let mut hop = NextHop::scripted(extensions, script).await;
        let delivery =
            relay_to(hop.address).deliver(&copy_of(large.clone(), &["a@example.org"]), &free).await;
        assert_eq!(brief(&delivery.fates[0]), "deferred 451 4.4.2", "{extensions:?}");
        assert!(!delivery.down, "the next hop was there");
        assert!(hop.try_next().is_none());
    }
}

#[tokio::test]
async fn promise_9_large_and_small_messages_arrive_octet_for_octet() {
    let long = format!("Subject: x\r\n\r\n{}", ".line with a dot\r\n".repeat(60_000));
    let eight_bit = "Subject: x\r\n\r\ncaf\u{e9} \u{1f4e7}\r\n.\r\n".to_owned();
    for message in [MESSAGE.to_owned(), eight_bit, long, "\r\n".to_owned(), ".\r\n".to_owned()] {
        for (way, extensions) in WAYS {
            let mut hop = NextHop::scripted(extensions, |_, _| None).await;
            let mut copy = copy_of(message.clone(), &["a@example.org"]);
            // The same octets in pieces, with cuts between CR and LF and before a dot.
            let cuts = [0, 1, message.len() / 2, message.len() - 1, message.len()];
            let pieces = cuts.windows(2).map(|cut| Piece::Original(cut[0]..cut[1].max(cut[0]))).collect();
            copy.rope = Rope::new(copy.rope.original().clone(), pieces).unwrap();
            let delivery = relay_to(hop.address).deliver(&copy, &free).await;
            assert_eq!(brief(&delivery.fates[0]), "relayed 250 2.0.0", "{way}");
            assert_eq!(hop.next().await.data, message.as_bytes(), "{way}");
        }
    }
}

#[tokio::test]
async fn promise_9_what_is_not_lines_is_never_sent() {
    for (_, extensions) in WAYS {
        let mut hop = NextHop::scripted(extensions, |_, _| None).await;
        for message in ["a\r\n.\n\r\nb\r\n", "a\rb\r\n", "a\nb\r\n", "a\0b\r\n", "no end", "a\r\n.\r"] {
            let delivery = relay_to(hop.address).deliver(&copy_of(message, &["a@example.org"]), &free).await;
            assert_eq!(brief(&delivery.fates[0]), "deferred 451 4.6.0", "{message:?}");
        }
        assert_eq!(hop.connections(), 0, "not even a connection was made");
        assert!(hop.try_next().is_none());
    }
}

#[tokio::test]
async fn p5_what_the_next_hop_lacks() {
    let mut copy = copy_of("Subject: caf\u{e9}\r\n\r\n\u{e9}\r\n", &["a@example.org"]);
    for (extensions, smtputf8, fate) in [
        (&["8BITMIME", "SMTPUTF8"][..], true, "relayed 250 2.0.0"),
        (&["8BITMIME"], true, "refused 550 5.6.7"),
        (&["SMTPUTF8"], false, "refused 554 5.6.3"),
        (&["8BITMIME", "SIZE 10"], false, "refused 552 5.3.4"),
        (&["8BITMIME", "SIZE 0"], false, "relayed 250 2.0.0"),
    ] {
        let hop = NextHop::scripted(extensions, |_, _| None).await;
        copy.smtputf8 = smtputf8;
        let delivery = relay_to(hop.address).deliver(&copy, &free).await;
        assert_eq!(brief(&delivery.fates[0]), fate, "{extensions:?}");
    }
}

#[tokio::test]
async fn p5_a_next_hop_that_lies_about_extensions_is_quoted() {
    let script =
        |_, line: &str| line.contains("SMTPUTF8").then(|| say("555 5.5.4 unknown parameter")).flatten();
    let hop = NextHop::scripted(&["SMTPUTF8", "8BITMIME", "PIPELINING"], script).await;
    let mut copy = copy_of(MESSAGE, &["j\u{fc}rgen@example.org"]);
    copy.smtputf8 = true;
    let delivery = relay_to(hop.address).deliver(&copy, &free).await;
    assert_eq!(delivery.fates[0].answer().to_string(), "555 5.5.4 unknown parameter");
}

#[tokio::test]
async fn p5_the_wishes_of_the_client_survive() {
    let mut copy = copy_of(MESSAGE, &["a@example.org", "b@example.org"]);
    copy.ret = Some(Ret::Headers);
    copy.envid = Some("QQ+2B1".to_owned());
    copy.recipients[0].notify = Some(Notify { success: true, failure: true, delay: false });
    copy.recipients[0].orcpt = Some(OriginalRecipient("rfc822;a+2Bx@example.org".to_owned()));
    copy.recipients[1].notify = Some(Notify::NEVER);
    for (extensions, mail, rcpt, passed_on) in [
        (
            EVERYTHING,
            "<nieuws@voorbeeldhypotheken.nl> RET=HDRS ENVID=QQ+2B1",
            [
                "<a@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+2Bx@example.org",
                "<b@example.org> NOTIFY=NEVER",
            ],
            true,
        ),
        (
            &["SIZE 1000"],
            "<nieuws@voorbeeldhypotheken.nl> SIZE=65",
            ["<a@example.org>", "<b@example.org>"],
            false,
        ),
    ] {
        let mut hop = NextHop::scripted(extensions, |_, _| None).await;
        let delivery = relay_to(hop.address).deliver(&copy, &free).await;
        assert_eq!(delivery.dsn_passed_on, passed_on);
        let captured = hop.next().await;
        assert_eq!(captured.mail, mail);
        assert_eq!(captured.rcpt, rcpt);
        assert_eq!(captured.helo, "gateway.example");
    }
    assert_eq!(copy.reverse_path.address(), Some(&address("nieuws@voorbeeldhypotheken.nl")));
}

#[tokio::test]
async fn a_next_hop_without_ehlo_gets_helo() {
    let script = |_, line: &str| is(line, "EHLO").then(|| say("502 5.5.1 what")).flatten();
    let mut hop = NextHop::scripted(EVERYTHING, script).await;
    let delivery = relay_to(hop.address).deliver(&copy_of(MESSAGE, &["a@example.org"]), &free).await;
    assert_eq!(brief(&delivery.fates[0]), "relayed 250 2.0.0");
    assert_eq!(hop.next().await.mail, "<nieuws@voorbeeldhypotheken.nl>", "no parameters after HELO");
}

#[tokio::test]
async fn p5_an_original_recipient_is_ascii_whatever_the_client_wrote() {
    for (given, sent) in [
        // RFC 6533 3: UTF-8 is for MAIL with SMTPUTF8 only; this form is for everybody.
        ("utf-8;b\u{fc}ro@example.org", r"utf-8;b\x{FC}ro@example.org"),
        (r"UTF-8;b\x{FC}ro@example.org", r"utf-8;b\x{FC}ro@example.org"),
        ("rfc822;b\u{fc}ro@example.org", r"utf-8;b\x{FC}ro@example.org"),
        ("utf-8;a+tag=x@example.org", r"utf-8;a\x{2B}tag\x{3D}x@example.org"),
        // RFC 3461 4: unencoded `+` and `=` are met in practice, and refused by strict servers.
        ("rfc822;a+tag@example.org", "rfc822;a+2Btag@example.org"),
        ("rfc822;a=b+2Bc@example.org", "rfc822;a+3Db+2Bc@example.org"),
        ("x400;/c=nl/", "x400;/c+3Dnl/"),
    ] {
        let mut copy = copy_of(MESSAGE, &["a@example.org"]);
        copy.recipients[0].orcpt = Some(OriginalRecipient(given.to_owned()));
        let mut hop = NextHop::scripted(&["DSN"], |_, _| None).await;
        relay_to(hop.address).deliver(&copy, &free).await;
        assert_eq!(hop.next().await.rcpt, [format!("<a@example.org> ORCPT={sent}")], "{given}");
    }
    // What would be too long for a parameter is left out.
    let mut copy = copy_of(MESSAGE, &["a@example.org"]);
    copy.recipients[0].orcpt = Some(OriginalRecipient(format!("utf-8;{}@x.nl", "\u{fc}".repeat(200))));
    let mut hop = NextHop::scripted(&["DSN"], |_, _| None).await;
    relay_to(hop.address).deliver(&copy, &free).await;
    assert_eq!(hop.next().await.rcpt, ["<a@example.org>"]);
}
