//! Random MIME trees: what the promises say holds for each of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_parser::MessageParser;
use proptest::prelude::*;
use sluis::mail::Class;

use super::letters::{Ask, URL, ed25519, has_bare_line_end, lines, rewrite, verify};

/// A part of a random message.
#[derive(Debug, Clone)]
enum Tree {
    Text { html: bool, coding: Coding, text: String },
    Attachment(Vec<u8>),
    Multi { kind: &'static str, children: Vec<Tree> },
    Signed(String),
}

#[derive(Debug, Clone, Copy)]
enum Coding {
    Seven,
    Eight,
    Quoted,
    Base64,
}

/// Without `b`: mail-parser takes a boundary in the middle of a line for one.
fn words() -> impl Strategy<Value = String> {
    "(([ac-z=.<>&-]{1,12}|é|-- |From |[{][{]|[.])( |\r\n|\r\n\r\n)){0,30}"
}

fn leaf() -> impl Strategy<Value = Tree> {
    let coding =
        prop_oneof![Just(Coding::Seven), Just(Coding::Eight), Just(Coding::Quoted), Just(Coding::Base64)];
    prop_oneof![
        6 => (any::<bool>(), coding, words()).prop_map(|(html, coding, text)| Tree::Text { html, coding, text }),
        2 => proptest::collection::vec(any::<u8>(), 0..300).prop_map(Tree::Attachment),
        1 => words().prop_map(Tree::Signed),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    leaf().prop_recursive(3, 12, 4, |inner| {
        let kind = prop_oneof![Just("mixed"), Just("alternative"), Just("related")];
        (kind, proptest::collection::vec(inner, 1..4))
            .prop_map(|(kind, children)| Tree::Multi { kind, children })
    })
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    for line in text.split_inclusive("\r\n") {
        let (line, end) = line.strip_suffix("\r\n").map_or((line, ""), |line| (line, "\r\n"));
        let mut column = 0;
        for b in line.bytes() {
            let escaped =
                if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("={b:02X}") };
            if column + escaped.len() > 75 {
                out += "=\r\n";
                column = 0;
            }
            out += &escaped;
            column += escaped.len();
        }
        out += end;
    }
    out
}

fn base64(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    text.as_bytes().chunks(76).map(|line| format!("{}\r\n", std::str::from_utf8(line).unwrap())).collect()
}

/// Write the tree; `raws` collects the raw octets that may never change.
fn write(tree: &Tree, number: &mut usize, raws: &mut Vec<String>) -> String {
    *number += 1;
    match tree {
        Tree::Text { html, coding, text } => {
            let kind = if *html { "html" } else { "plain" };
            let plain = text.replace('é', "e");
            let (label, body) = match coding {
                Coding::Seven => ("7bit", plain),
                Coding::Eight => ("8bit", text.clone()),
                Coding::Quoted => ("quoted-printable", quoted(text)),
                Coding::Base64 => ("base64", base64(text.as_bytes())),
            };
            format!(
                "Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: {label}\r\n\r\n{body}"
            )
        }
        Tree::Attachment(bytes) => {
            let raw = format!(
                "Content-Type: application/octet-stream; name=\"a{number}\"\r\n\
                 Content-Transfer-Encoding: base64\r\n\r\n{}",
                base64(bytes)
            );
            raws.push(raw.clone());
            raw
        }
        Tree::Signed(text) => {
            let raw = format!(
                "Content-Type: multipart/signed; boundary=\"s{number}\"\r\n\r\n--s{number}\r\n\r\n{text}\r\n\
                 --s{number}\r\nContent-Type: application/pgp-signature\r\n\r\nxyz\r\n--s{number}--\r\n"
            );
            raws.push(raw.clone());
            raw
        }
        Tree::Multi { kind, children } => {
            // One boundary is often the beginning of another.
            let boundary = "b".repeat(*number);
            let mut out = format!("Content-Type: multipart/{kind}; boundary={boundary}\r\n\r\npreamble\r\n");
            for child in children {
                out += &format!("--{boundary}\r\n{}\r\n", write(child, number, raws));
            }
            out + &format!("--{boundary}--\r\nepilogue\r\n")
        }
    }
}

const HEAD: &str = "From: Voorbeeld Hypotheken <nieuws@voorbeeld.nl>\r\nTo: bob@example.org\r\n\
    Subject: Rente\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <1@voorbeeld.nl>\r\nMIME-Version: 1.0\r\n";

/// How often our link stands in what mail-parser decodes of each text part.
fn links(out: &[u8]) -> Vec<usize> {
    let parsed = MessageParser::default().parse(out).unwrap();
    parsed.parts.iter().filter_map(|p| p.text_contents()).map(|text| text.matches(URL).count()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_3_4_9_hold_for_random_messages(tree in tree(), seven in any::<bool>()) {
        let mut raws = Vec::new();
        let original = format!("{HEAD}{}", write(&tree, &mut 0, &mut raws));
        for class in [Class::Personal, Class::Service, Class::Marketing] {
            let ask = Ask { next_hop_8bit: !seven, ..Ask::new(class) };
            let copy = match rewrite(original.as_bytes(), ask, &[ed25519()]) {
                Ok(copy) => copy,
                // 8-bit octets under a signature cannot be recoded.
                Err(_) if seven && original.contains("multipart/signed") => continue,
                Err(error) => panic!("{error}\n{original}"),
            };
            let out = copy.rope.to_vec();
            let text = String::from_utf8(out.clone()).unwrap();
            for raw in &raws {
                prop_assert!(text.contains(raw.as_str()), "promise 4: {raw:?} in\n{text}");
            }
            prop_assert!(!has_bare_line_end(&out), "promise 9\n{text}");
            prop_assert!(lines(&out).all(|line| line.len() <= 998));
            prop_assert!(!seven || out.is_ascii(), "RULES P5\n{text}");
            prop_assert_eq!(copy.eight_bit, !out.is_ascii());
            if let Err(why) = verify(&out, 1) {
                prop_assert!(false, "promise 3, RULES P11: {why}\n{text}");
            }
            if class == Class::Marketing {
                let found = links(&out);
                prop_assert!(found.iter().all(|n| *n <= 1), "RULES P12: once\n{text}");
                prop_assert!(found.iter().sum::<usize>() >= 1, "RULES L8\n{text}");
            } else {
                prop_assert!(!text.contains(URL));
            }
            if class == Class::Personal && !seven {
                prop_assert!(text.ends_with(&original), "promise 4\n{text}");
            }
            let again = rewrite(&out, ask, &[ed25519()]).unwrap().rope.to_vec();
            prop_assert!(again == out, "RULES P12: twice\n{text}\n{}", String::from_utf8_lossy(&again));
        }
    }

    #[test]
    fn promise_10_no_octets_make_it_fail(bytes in proptest::collection::vec(any::<u8>(), 0..600), class in 0..3_usize) {
        let class = [Class::Personal, Class::Service, Class::Marketing][class];
        let text = [HEAD.as_bytes(), b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n", &bytes].concat();
        let _ = rewrite(&text, Ask::new(class), &[]);
        let _ = rewrite(&bytes, Ask::new(class), &[]);
        if let Ok(copy) = rewrite(&bytes, Ask::new(Class::Personal), &[]) {
            prop_assert!(copy.rope.len() > bytes.len());
        }
    }
}
