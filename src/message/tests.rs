//! Tests of the room `message`: what it promises, rule by rule.

// Long because it is one test for each rule, and they share their few helpers.

use bytes::Bytes;
use jiff::Timestamp;

use super::*;
use crate::mail::{Class, Domain, Language, Purpose, Sender, SenderId};

const URL: &str = "https://u.example/u/token0123456789";

fn sender() -> Sender {
    Sender {
        id: SenderId("12345678".into()),
        name: "Voorbeeld Hypotheken B.V.".into(),
        trade_names: vec!["Voorbeeld Hypotheken".into()],
        kvk: "12345678".into(),
        address: "Dorpsstraat 1, 1234 AB Ons Dorp".into(),
        contact: Address::parse("info@voorbeeld.nl").unwrap(),
        domains: vec![Domain::parse("voorbeeld.nl").unwrap()],
        notify: vec![],
        language: Language::Nl,
    }
}

fn parse(text: &str) -> Message {
    Message::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
}

fn run(text: &str, class: Class, change: impl FnOnce(&mut Brief<'_>)) -> Result<Composed, ComposeError> {
    composed(&parse(text), class, change)
}

fn composed(
    message: &Message,
    class: Class,
    change: impl FnOnce(&mut Brief<'_>),
) -> Result<Composed, ComposeError> {
    let sender = sender();
    let purpose = Purpose("rente en verzekeringen".into());
    let unsubscribe = Unsubscribe {
        url: URL.into(),
        mailto: Some("mailto:u+token@u.example".into()),
        list_id: "nieuws.12345678.sluis".into(),
    };
    let mut brief = Brief {
        class,
        sender: Some(&sender),
        purpose: Some(&purpose),
        templates: None,
        unsubscribe: Some(&unsubscribe),
        trace: "trace-of-ours",
        received: None,
        message_id: "<made@voorbeeld.nl>",
        now: Timestamp::from_second(1_700_000_000).unwrap(),
        next_hop_8bit: true,
        is_ours: &|text| text == URL || text == "trace-of-ours",
    };
    change(&mut brief);
    compose(message, &brief, &[])
}

fn text(text: &str, class: Class) -> String {
    String::from_utf8(run(text, class, |_| {}).unwrap().rope.to_vec()).unwrap()
}

const HEAD: &str = "From: Voorbeeld Hypotheken <nieuws@voorbeeld.nl>\r\nTo: bob@example.org\r\n\
    Subject: Rente\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <1@voorbeeld.nl>\r\n";

fn marketing(rest: &str) -> String {
    text(&format!("{HEAD}{rest}"), Class::Marketing)
}

#[test]
fn what_the_header_says() {
    let message = parse(
        "From: =?utf-8?q?Caf=C3=A9?= <Bob@Example.NL>\r\nTo: a@x.nl, \"B, C\" <b@x.nl>\r\nCc: g: c@x.nl;\r\n\
         Message-ID: <1@x>\r\nList-Id: News <News.X>\r\nX-Mailer: Tool 1\r\nReceived: a\r\nReceived: b\r\n\
         List-Unsubscribe: <mailto:a@b>, <https://t.example/u?\r\n 1>\r\n\
         List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nSubject: =?utf-8?b?w6k=?=\r\n =?utf-8?b?w6k=?=\r\n\r\n",
    );
    let from = message.from().unwrap();
    assert_eq!((from.name.as_deref(), from.address.as_str()), (Some("Café"), "Bob@Example.NL"));
    let to: Vec<String> = message.visible_recipients().iter().flatten().map(ToString::to_string).collect();
    assert_eq!(to, ["a@x.nl", "b@x.nl", "c@x.nl"]);
    assert_eq!(message.message_id().as_deref(), Some("<1@x>"));
    assert_eq!(message.list_id().as_deref(), Some("news.x"));
    assert_eq!(message.tool().as_deref(), Some("Tool 1"));
    assert_eq!(message.received_count(), 2);
    assert_eq!(message.one_click_link().as_deref(), Some("https://t.example/u?1"));
    assert!(message.headers().contains(&("subject".into(), "éé".into())));
    assert!(!message.is_automatic() && !message.has_utf8_headers());
    assert!(parse("Auto-Submitted: auto-replied\r\n\r\n").is_automatic());
    assert!(!parse("Auto-Submitted: no\r\n\r\n").is_automatic());
    assert!(parse("From: a@x, b@x\r\n\r\n").from().is_none());
    assert!(parse("From: a@x\r\nFrom: a@x\r\n\r\n").from().is_none());
}

#[test]
fn l7_who_may_write_as_the_sender() {
    let refused = |from: &str, more: &str| {
        let text = format!("From: {from}\r\nTo: b@example.org\r\nSubject: x\r\n{more}\r\nhello\r\n");
        run(&text, Class::Marketing, |_| {}).err()
    };
    for from in [
        "Voorbeeld Hypotheken <a@voorbeeld.nl>",
        "\"Team | Voorbeeld Hypotheken\" <a@mail.voorbeeld.nl>",
        "VOORBEELD  HYPOTHEKEN B.V. <a@voorbeeld.nl>",
        "=?utf-8?q?Voorbeeld_Hypotheken?= <a@voorbeeld.nl>",
        "\"Voorbeeld Hypotheken @ Utrecht\" <a@voorbeeld.nl>",
        "\"Voorbeeld Hypotheken: Rente\" <a@voorbeeld.nl>",
    ] {
        assert_eq!(refused(from, ""), None, "{from}");
    }
    for from in [
        "a@voorbeeld.nl",
        "Jan <a@voorbeeld.nl>",
        "Voorbeeld Hypothekenx <a@voorbeeld.nl>",
        "Voorbeeld Hypotheken <a@elders.nl>",
        "Voorbeeld Hypotheken <a@nietvoorbeeld.nl>",
        "\"Voorbeeld Hypotheken bob@bank.nl\" <a@voorbeeld.nl>",
        "\"Voorbeeld Hypotheken bob @ bank.nl\" <a@voorbeeld.nl>",
        "Voorbeeld Hypotheken <a@voorbeeld.nl>, x@voorbeeld.nl",
        "Bank: Voorbeeld Hypotheken <a@voorbeeld.nl>;",
        "Voorbeeld Hypotheken <noreply@voorbeeld.nl>",
    ] {
        assert!(matches!(refused(from, ""), Some(ComposeError::Identity(_))), "{from}");
    }
    let from = "Voorbeeld Hypotheken <a@voorbeeld.nl>";
    for reply in ["no-reply@voorbeeld.nl", "Do Not Reply <do_not_reply@x.nl>", "nobody", ""] {
        let more = format!("Reply-To: {reply}\r\n");
        assert!(matches!(refused(from, &more), Some(ComposeError::Identity(_))), "{reply}");
    }
    assert_eq!(
        refused("Voorbeeld Hypotheken <noreply@voorbeeld.nl>", "Reply-To: info@voorbeeld.nl\r\n"),
        None
    );
    for more in ["Subject: y\r\n", "To: c@example.org\r\n", "From: Voorbeeld Hypotheken <a@voorbeeld.nl>\r\n"]
    {
        assert!(matches!(refused(from, more), Some(ComposeError::Malformed(_))), "{more}");
    }
}

#[test]
fn l7_look_alikes_are_the_same_name() {
    // Cyrillic о and а: a reader sees the registered name, so it counts as that name.
    let from = "V\u{43e}orbeeld Hypotheken <a@voorbeeld.nl>";
    let text = format!("From: {from}\r\nSubject: x\r\n\r\nhello\r\n");
    assert!(run(&text, Class::Marketing, |_| {}).is_ok());
    let hidden = "\"Voorbeeld Hypotheken bob\u{ff20}bank.nl\" <a@voorbeeld.nl>";
    let text = format!("From: {hidden}\r\nSubject: x\r\n\r\nhello\r\n");
    assert!(matches!(run(&text, Class::Marketing, |_| {}), Err(ComposeError::Identity(_))));
}

#[test]
fn l8_text_and_headers() {
    let out = marketing("\r\nHallo Bob\r\n");
    assert!(out.starts_with("Sluis-Trace: trace-of-ours\r\nList-Unsubscribe: <https://u.example/"), "{out}");
    assert!(out.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"));
    assert!(out.contains("List-Id: <nieuws.12345678.sluis>\r\n"));
    assert!(out.contains("\r\n\r\nHallo Bob\r\n\r\n____________________\r\nDit bericht"), "{out}");
    assert!(out.ends_with(&format!("Afmelden:\r\n{URL}\r\n")), "{out}");
}

#[test]
fn l8_every_alternative_gets_the_link() {
    let out = marketing(
        "MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nHallo\r\n--b\r\n\
         Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
         <body>Hallo</body>\r\n--b--\r\n",
    );
    assert_eq!(out.matches("u.example/u/token0123456789").count(), 3, "{out}");
    assert!(out.contains("</div>\r\n</body>\r\n--b--"), "{out}");
}

#[test]
fn p12_twice_adds_nothing() {
    for rest in [
        "\r\nHallo Bob\r\n",
        "\r\nStop: ({{unsubscribe_url}}).\r\n",
        "Content-Type: text/html\r\n\r\n<p>Hallo</p>",
        "Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n",
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n",
        "Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nx\r\n--s\r\n\r\ny\r\n--s--\r\n",
    ] {
        let once = marketing(rest);
        assert_eq!(text(&once, Class::Marketing), once, "{rest}");
        let service = text(&format!("{HEAD}{rest}"), Class::Service);
        assert_eq!(text(&service, Class::Service), service, "{rest}");
    }
}

#[test]
fn p12_twice_adds_nothing_to_a_text_that_is_not_in_its_own_charset() {
    // The placeholders are filled in; a second run wants a footer, which this charset cannot have.
    let message = [
        HEAD.as_bytes(),
        b"Content-Language: fr\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-2022-jp\r\n\r\n\
          \x85 {{unsubscribe_url}} \x85 {{sender_identity}}\r\n",
    ]
    .concat();
    let run = |bytes: Vec<u8>| {
        let message = Message::parse(bytes.into(), &Limits::default());
        composed(&message, Class::Marketing, |_| {}).unwrap().rope.to_vec()
    };
    let once = run(message);
    assert!(memchr::memmem::find(&once, URL.as_bytes()).is_some());
    assert_eq!(run(once.clone()), once);
}

#[test]
fn p5_p12_what_a_second_run_would_wrap_is_not_refused_for_that() {
    // As above, and there is a field that could not move into a part of a wrapping.
    let message = [
        HEAD.as_bytes(),
        b"MIME-Version: 1.0\r\nContent-Language: \xd3\r\nContent-Type: text/plain; charset=utf-4\r\n\
          Content-Transfer-Encoding: base64\r\n\r\n\
          e3t1bnN1YnNjcmliZV91cmx9fSB7e3NlbmRlcl9pZGVudGl0eX19DQo=\r\n",
    ];
    let run = |bytes: Vec<u8>| {
        let message = Message::parse(bytes.into(), &Limits::default());
        composed(&message, Class::Marketing, |brief| {
            brief.next_hop_8bit = false;
            brief.sender = Some(Box::leak(Box::new(Sender { language: Language::Fr, ..sender() })));
        })
    };
    let once = run(message.concat()).unwrap().rope.to_vec();
    assert_eq!(run(once.clone()).unwrap().rope.to_vec(), once);
}

#[test]
fn p12_twice_adds_nothing_beside_a_wrapping() {
    let french = Sender { language: Language::Fr, ..sender() };
    let unknown = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=x-unknown\r\n\r\nBonjour\r\n";
    let go =
        |text: &str| run(text, Class::Marketing, |b| b.sender = Some(Box::leak(Box::new(french.clone()))));
    let wrapped = go(&format!("{HEAD}{unknown}")).unwrap().rope.to_vec();
    let wrapped = String::from_utf8(wrapped).unwrap();
    assert!(wrapped.contains("=_sluis_") && wrapped.contains(unknown.split_at(19).1), "{wrapped}");
    // The sender's own footer, in Dutch now, is ASCII and would go inside.
    assert_eq!(text(&wrapped, Class::Marketing), wrapped);
    let others = wrapped.replace(URL, "https://u.example/u/someone-elses");
    assert!(text(&others, Class::Marketing).contains("Bonjour\r\n\r\n____"), "only our own link counts");
    let alternative = wrapped.replace("multipart/mixed", "multipart/alternative");
    assert!(
        text(&alternative, Class::Marketing).contains("Bonjour\r\n\r\n____"),
        "alternatives are not beside"
    );
}

#[test]
fn p12_the_language_stays_outside_a_wrapping() {
    for language in ["Content-Language: fr\r\n", "Content-language: fr,\r\n en\r\n"] {
        for rest in [
            format!("{language}Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nx\r\n--s--\r\n"),
            format!("Content-Type: text/plain; charset=utf-32\r\n{language}\r\nx\r\n"),
        ] {
            let once = marketing(&rest);
            let (outer, inner) = once.split_once("\r\n\r\n").unwrap();
            assert!(outer.contains(language.trim_end()) && inner.contains(&rest), "{once}");
            assert!(inner.contains("d=C3=A9sinscrire"), "{once}");
            assert_eq!(text(&once, Class::Marketing), once);
        }
    }
    for charset in ["x-unknown", "hz-gb-2312", "ibm850", "iso-2022-kr", "viscii", "armscii-8"] {
        let once = marketing(&format!(
            "MIME-Version: 1.0\r\nContent-Language: fr\r\nContent-Type: text/plain; charset={charset}\r\n\r\nx\r\n"
        ));
        assert!(once.contains("=_sluis_"), "{charset}: {once}");
        assert_eq!(text(&once, Class::Marketing), once, "{charset}");
    }
}

#[test]
fn p12_a_look_alike_footer_stays() {
    let copied = marketing("\r\nHallo\r\n").replace(URL, "https://u.example/u/someone-elses");
    let out = text(&copied, Class::Marketing);
    assert!(out.contains("someone-elses\r\n\r\n____________________\r\n"), "{out}");
}

#[test]
fn p12_footer_above_the_signature() {
    let out = marketing("\r\nHallo\r\n\r\n-- \r\nBob\r\n");
    assert!(out.ends_with(&format!("{URL}\r\n\r\n-- \r\nBob\r\n")), "{out}");
}

#[test]
fn p12_placeholders() {
    let out = marketing("\r\nStop: {{unsubscribe_url}}\r\n");
    assert!(out.contains(&format!("Stop: {URL}\r\n")) && !out.contains("Afmelden:"), "{out}");
    assert!(out.contains("namens Voorbeeld Hypotheken B.V."));
    let both = marketing(
        "Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
         <a href=3D\"=7B=7Bunsubscribe=\r\n_url=7D=7D\">x</a> {{sender_identity}}</body>",
    );
    assert!(!both.contains("<div") && both.contains("KvK 12345678"), "{both}");
    let hidden = marketing("Content-Type: text/html\r\n\r\n<!-- {{unsubscribe_url}} --><p>x</body>");
    assert!(hidden.contains(">Afmelden</a>"), "a link that nobody sees is no link");
    for useless in ["<img alt=\"{{unsubscribe_url}}\">", "<a href={{unsubscribe_url}}/x>x</a>"] {
        let out = marketing(&format!("Content-Type: text/html\r\n\r\n<p>x{useless}</body>"));
        assert!(out.contains(">Afmelden</a>"), "{out}");
        assert_eq!(text(&out, Class::Marketing), out);
    }
    let glued = marketing("\r\nStop: {{unsubscribe_url}}x {{unsubscribe_url}}`\r\n");
    assert_eq!(text(&glued, Class::Marketing), glued);
}

#[test]
fn p12_the_charset_is_kept_where_it_can_be() {
    let french = |b: &mut Brief<'_>, s: &'static Sender| b.sender = Some(s);
    let owned: &'static Sender = Box::leak(Box::new(Sender { language: Language::Fr, ..sender() }));
    let go = |rest: &str| {
        run(&format!("{HEAD}{rest}"), Class::Marketing, |b| french(b, owned)).unwrap().rope.to_vec()
    };
    let latin =
        go("Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\nx\r\n");
    assert!(latin.windows(8).any(|w| w == b"\xe9t\xe9 envo"), "in latin-1");
    let ascii = String::from_utf8(go("\r\nHallo\r\n")).unwrap();
    assert!(ascii.contains("Content-Type: text/plain; charset=utf-8\r\n"), "{ascii}");
    assert!(
        ascii.contains("Content-Transfer-Encoding: quoted-printable\r\n") && ascii.contains("=C3=A9t=C3=A9")
    );
    assert!(ascii.contains("MIME-Version: 1.0\r\n"));
    let jp = go("Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n\x1b$BF|\x1b(B\r\n");
    let jp = String::from_utf8(jp).unwrap();
    assert!(jp.contains("charset=utf-8") && jp.contains("=E6=97=A5"), "{jp}");
    let html = go("Content-Type: text/html; charset=iso-2022-jp\r\n\r\n<p>\x1b$BF|</body>");
    let back = b"F|</body>\x1b(B\r\n<div";
    assert!(html.windows(back.len()).any(|w| w == back), "a tag in double-byte characters is none");
}

#[test]
fn p12_wrapped_and_intact() {
    let inner = "Content-Type: multipart/signed; boundary=s;\r\n\tmicalg=x\r\n\r\n--s\r\n\r\nx \r\n--s\r\n\r\ny\r\n--s--\r\n";
    let out = marketing(inner);
    assert!(out.contains(inner), "{out}");
    assert!(out.contains("Content-Type: multipart/mixed;\r\n boundary=\"=_sluis_"));
    assert!(out.contains(URL));
    assert_eq!(parse(&out).tree().parts.iter().filter(|p| p.media == "multipart/signed").count(), 1);
}

#[test]
fn promise_4_personal_mail_arrives_as_it_came() {
    let original = format!("{HEAD}Content-Type: text/html\r\n\r\n<p>Hallo {{{{unsubscribe_url}}}}\r\n \r\n");
    assert_eq!(text(&original, Class::Personal), format!("Sluis-Trace: trace-of-ours\r\n{original}"));
}

#[test]
fn promise_4_service_has_the_identity_only() {
    let out = text(&format!("{HEAD}\r\nUw factuur\r\n"), Class::Service);
    assert!(out.contains("KvK 12345678") && !out.contains(URL) && !out.contains("List-"), "{out}");
}

#[test]
fn p2_blind_copies_go_and_missing_fields_come() {
    let out =
        text("From: a@x.nl\r\nBcc: secret@x.nl,\r\n more@x.nl\r\nTo: b@x.nl\r\n\r\nx\r\n", Class::Personal);
    assert!(!out.contains("secret") && !out.contains("more@"), "{out}");
    assert!(out.contains("Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"));
    assert!(out.contains("Message-ID: <made@voorbeeld.nl>\r\n"));
}

#[test]
fn p8_the_tools_own_way_out_is_replaced_in_place() {
    let out = marketing(
        "List-Unsubscribe: <https://tool.example/1>\r\nX-A: 1\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\
         List-Unsubscribe: <https://tool.example/2>\r\nList-Id: <mine>\r\n\r\nx\r\n",
    );
    assert!(!out.contains("tool.example") && out.contains("List-Id: <mine>"), "{out}");
    assert!(!out.contains("nieuws.12345678.sluis"));
    assert_eq!(out.matches("List-Unsubscribe:").count(), 1);
    assert!(out.find("List-Unsubscribe:").unwrap() > out.find("Message-ID").unwrap());
}

#[test]
fn p5_eight_bit_is_recoded_for_a_next_hop_without_it() {
    let go = |rest: &str, class| run(&format!("{HEAD}{rest}"), class, |b| b.next_hop_8bit = false);
    let text = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ncafé\r\n";
    for class in [Class::Personal, Class::Service, Class::Marketing] {
        let copy = go(text, class).unwrap();
        let out = String::from_utf8(copy.rope.to_vec()).unwrap();
        assert!(out.contains("caf=C3=A9") && out.is_ascii() && !copy.eight_bit, "{out}");
        assert!(out.contains("Content-Transfer-Encoding: quoted-printable\r\n"));
    }
    let mixed = "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--b\r\n\r\nx\r\n\
        --b\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: 8bit\r\n\r\né\r\n--b--\r\n";
    let out = go(mixed, Class::Marketing).unwrap().rope.to_vec();
    assert!(out.is_ascii() && String::from_utf8(out).unwrap().contains("w6k="));
    let signed =
        "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\né\r\n--b\r\n\r\nx\r\n--b--\r\n";
    // Found by the fuzzer: a Content-Type that is wrapped away becomes part of the body.
    assert!(matches!(
        go("Content-Type: text/pl\u{e9}n\r\n\r\nx\r\n", Class::Marketing),
        Err(ComposeError::Malformed(_))
    ));
    for class in [Class::Personal, Class::Marketing] {
        assert!(matches!(go(signed, class), Err(ComposeError::Malformed(_))));
    }
}

#[test]
fn p5_eight_bit_without_a_charset_is_recoded_or_refused() {
    let go = |body: &[u8], language: &str, class| {
        let mut text = format!("{HEAD}Content-Language: {language}\r\n\r\n").into_bytes();
        text.extend_from_slice(body);
        composed(&Message::parse(text.into(), &Limits::default()), class, |b| b.next_hop_8bit = false)
    };
    let ascii = |copy: Result<Composed, ComposeError>| {
        let out = String::from_utf8(copy.unwrap().rope.to_vec()).unwrap();
        assert!(out.is_ascii(), "{out}");
        out
    };
    // The footer is ASCII: the octets stay what they are, whatever they mean.
    assert!(ascii(go(b"caf\xe9\r\n", "nl", Class::Marketing)).contains("caf=E9\r\n"));
    // It is not, and the text can be called UTF-8.
    let out = ascii(go("caf\u{e9}\r\n".as_bytes(), "fr", Class::Marketing));
    assert!(
        out.contains("charset=utf-8") && out.contains("caf=C3=A9") && out.contains("envoy=C3=A9"),
        "{out}"
    );
    // It is not, and nobody knows what the text is: a message that is wrapped whole is not recoded.
    let refused = go(b"caf\xe9\r\n", "fr", Class::Marketing);
    assert!(matches!(&refused, Err(ComposeError::Malformed(why)) if why.contains("8-bit")), "{refused:?}");
    for class in [Class::Personal, Class::Service] {
        assert!(ascii(go(b"caf\xe9\r\n", "fr", class)).contains("caf=E9\r\n"), "{class}");
    }
}

#[test]
fn l8_outlooks_rich_text_is_a_text_that_no_link_can_be_put_in() {
    let text = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhallo\r\n--b\r\n\
        Content-Type: Application/MS-TNEF; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\n\
        eJ8+Ig==\r\n--b--\r\n";
    let go = |class| run(&format!("{HEAD}{text}"), class, |_| {});
    let refused = go(Class::Marketing);
    assert!(
        matches!(&refused, Err(ComposeError::NoOptOut(why)) if why.contains("winmail.dat")),
        "{refused:?}"
    );
    let service = go(Class::Service).unwrap();
    assert_eq!(service.edits, ["footer in text/plain"]);
    assert!(go(Class::Personal).unwrap().edits.is_empty());
}

#[test]
fn promise_9_a_first_continuation_is_not_swallowed() {
    let broken = " stray\r\nFrom: a@x.nl\r\n\r\nx\r\n";
    let out = text(broken, Class::Personal);
    assert!(out.starts_with(" stray\r\nSluis-Trace:"), "{out}");
    assert!(matches!(run(broken, Class::Marketing, |_| {}), Err(ComposeError::Malformed(_))));
}

#[test]
fn promise_9_our_own_fields_cannot_break_out() {
    assert!(matches!(
        run(&format!("{HEAD}\r\nx\r\n"), Class::Personal, |b| b.trace = "a\r\nBcc: x"),
        Err(ComposeError::Failed(_))
    ));
}

#[test]
fn promise_10_beyond_the_limits() {
    let mut deep = HEAD.to_owned();
    for level in 0..40 {
        deep += &format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n");
    }
    assert!(matches!(run(&deep, Class::Marketing, |_| {}), Err(ComposeError::Malformed(_))));
    for class in [Class::Personal, Class::Service] {
        assert_eq!(text(&deep, class), format!("Sluis-Trace: trace-of-ours\r\n{deep}"));
    }
}

#[test]
fn p2_blind_copies_stay_blind_in_an_endless_header() {
    let text =
        format!("{HEAD}{}Bcc: secret@x.nl,\r\n more@x.nl\r\nX: 2\r\n\r\nx\r\n", "X: 1\r\n".repeat(2100));
    let out = String::from_utf8(run(&text, Class::Personal, |_| {}).unwrap().rope.to_vec()).unwrap();
    assert!(!out.contains("secret") && !out.contains("more@") && out.contains("X: 2"));
    assert!(matches!(run(&text, Class::Marketing, |_| {}), Err(ComposeError::Malformed(_))));
}

#[test]
fn promise_10_no_text_takes_more_than_its_length() {
    // Each would take hours if a scan started over for every octet.
    let long = 400_000;
    for body in [
        "<!---->".repeat(long / 7),
        " ".repeat(long) + "x",
        "<".repeat(long),
        "--".repeat(long / 2),
        "-".repeat(long),
        "=\r\n".repeat(long / 3),
    ] {
        for coding in ["quoted-printable", "7bit"] {
            let rest =
                format!("Content-Type: text/html\r\nContent-Transfer-Encoding: {coding}\r\n\r\n{body}\r\n");
            assert!(run(&format!("{HEAD}{rest}"), Class::Marketing, |_| {}).is_ok());
        }
    }
}

#[test]
fn promise_10_placeholders_are_bounded() {
    let limit = Limits::default().placeholders;
    let body = |count: usize| format!("{HEAD}\r\n{}\r\n", "{{sender_identity}}\r\n".repeat(count));
    assert!(run(&body(limit), Class::Marketing, |_| {}).is_ok());
    let over = body(limit + 1);
    let error = run(&over, Class::Marketing, |_| {}).unwrap_err();
    assert!(matches!(&error, ComposeError::Malformed(why) if why.contains("1000 placeholders")), "{error}");
    assert_eq!(text(&over, Class::Service), format!("Sluis-Trace: trace-of-ours\r\n{over}"));
}

#[test]
fn p1_several_links_in_one_line_make_no_line_too_long() {
    let line = format!("{}{}", "{{unsubscribe_url}} of ".repeat(24), "x".repeat(200));
    let out = marketing(&format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{line}\r\n"));
    assert!(out.split("\r\n").all(|line| line.len() <= 998), "{out}");
    assert_eq!(out.replace("=\r\n", "").matches(URL).count(), 25, "24 in the text, and the header");
}

#[test]
fn p2_blind_copies_stay_blind_resent_ones_too() {
    for name in ["Bcc", "Resent-Bcc"] {
        for class in [Class::Marketing, Class::Service, Class::Personal] {
            let out = text(&format!("{name}: geheim@example.org\r\n{HEAD}\r\nx\r\n"), class);
            assert!(!out.contains("geheim@example.org"), "{class}: {out}");
        }
    }
}

#[test]
fn promise_10_many_links_cost_no_more_than_their_length() {
    // Each would take minutes if links were compared with one another.
    for link in ["https://voorbeeld.nl/a", "https://u.example/u/x"] {
        let links: String = (0..60_000).map(|n| format!("<a href=\"{link}{n}\">x</a>\r\n")).collect();
        let out = marketing(&format!("Content-Type: text/html\r\n\r\n<body>{links}</body>\r\n"));
        assert_eq!(out.matches(&format!("href=\"{URL}\"")).count(), 1);
    }
}

#[test]
fn l7_the_footer_is_in_the_language_of_the_message() {
    for (header, word) in [
        ("Content-Language: de-AT\r\n", "Abmelden"),
        ("Content-Language: EN, nl\r\n", "Unsubscribe"),
        ("Content-Language: es\r\n", "Afmelden"),
        ("", "Afmelden"),
    ] {
        let out = marketing(&format!("{header}\r\nx\r\n"));
        assert!(out.contains(&format!("{word}:\r\n")), "{header}{out}");
    }
}

#[test]
fn l7_a_senders_own_footer_takes_the_place_of_the_built_in_one() {
    let own = "{{#identity}}\nWij: {{sender_name}}, {{sender_address}}, {{sender_kvk}}, {{sender_contact}}\n{{/identity}}\n\
        {{#opt_out}}\nWeg ermee: {{unsubscribe_url}}\n{{/opt_out}}\n";
    let mut templates = Templates::default();
    templates.set(None, Template::parse(own, Flavour::Text).unwrap());
    let templates: &'static Templates = Box::leak(Box::new(templates));
    let go = |rest: &str, class| {
        let copy = run(&format!("{HEAD}{rest}"), class, |b| b.templates = Some(templates)).unwrap();
        String::from_utf8(copy.rope.to_vec()).unwrap()
    };
    let out = go("\r\nHallo\r\n", Class::Marketing);
    assert!(out.contains("\r\nWij: Voorbeeld Hypotheken B.V., Dorpsstraat 1"), "{out}");
    assert!(out.ends_with(&format!("Weg ermee: {URL}\r\n")) && !out.contains("____"), "{out}");
    assert!(!go("\r\nHallo\r\n", Class::Service).contains("Weg ermee"));
    let placed = go("\r\nStop: {{unsubscribe_url}}\r\n", Class::Marketing);
    assert!(!placed.contains("Weg ermee") && placed.contains("Wij: "), "{placed}");
}

#[test]
fn p11_a_signature_that_the_edit_broke_goes() {
    let with = |h: &str| {
        format!("DKIM-Signature: v=1; d=tool.example; s=a; h={h}; bh=x; b=y\r\n{HEAD}X: 1\r\n\r\nx\r\n")
    };
    assert!(!text(&with("from:to"), Class::Marketing).contains("tool.example"));
    assert!(text(&with("from:to"), Class::Personal).contains("tool.example"), "nothing it covers changed");
    let bcc = with("from:bcc").replace("X: 1", "Bcc: y@x.nl");
    assert!(!text(&bcc, Class::Personal).contains("tool.example"));
}
