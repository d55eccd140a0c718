//! Rewriting, from the outside: golden cases, random messages, and the real ones of other projects.
//!
//! A golden case is four files in `tests/rewrite/`: what comes in, how it is asked for, what goes out, and
//! why the case exists. `BLESS=1 cargo test --test rewrite` writes the third anew; read the difference.

#[path = "rewrite/corpus.rs"]
mod corpus;
#[path = "support/letters.rs"]
mod letters;
#[path = "rewrite/random.rs"]
mod random;

use std::fs;
use std::path::PathBuf;

use letters::{Ask, crlf, ed25519, has_bare_line_end, keep, rewrite, rsa, verify};
use sluis::mail::{Class, Language};
use sluis::message::ComposeError;

#[derive(Debug, Default)]
struct Case {
    class: Option<Class>,
    language: Language,
    next_hop_8bit: bool,
    refused: Option<String>,
}

fn case(text: &str) -> Case {
    let table: toml::Table = text.parse().unwrap();
    let word = |key: &str| table.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned();
    let class = match word("class").as_str() {
        "marketing" => Class::Marketing,
        "service" => Class::Service,
        "personal" => Class::Personal,
        other => panic!("class {other:?}"),
    };
    let language = match word("language").as_str() {
        "" | "nl" => Language::Nl,
        "en" => Language::En,
        "de" => Language::De,
        "fr" => Language::Fr,
        other => panic!("language {other:?}"),
    };
    Case {
        class: Some(class),
        language,
        next_hop_8bit: table.get("next_hop_8bit").and_then(toml::Value::as_bool).unwrap_or(true),
        refused: Some(word("refused")).filter(|word| !word.is_empty()),
    }
}

fn kind(error: &ComposeError) -> &'static str {
    match error {
        ComposeError::Identity(_) => "identity",
        ComposeError::NoOptOut(_) => "no opt-out",
        ComposeError::Malformed(_) => "malformed",
        ComposeError::Failed(_) => "failed",
    }
}

#[test]
fn golden_cases() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/rewrite");
    let bless = std::env::var_os("BLESS").is_some();
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
        .collect();
    names.sort();
    assert!(names.len() >= 12, "the cases are there");
    for name in names {
        let file = |ending: &str| folder.join(format!("{name}{ending}"));
        assert!(file(".md").exists(), "{name} says why it exists");
        let case = case(&fs::read_to_string(file(".toml")).unwrap());
        // The files are kept with LF, so that they can be read and compared anywhere.
        let input = crlf(&fs::read(file(".eml")).unwrap());
        let ask =
            Ask { class: case.class.unwrap(), language: case.language, next_hop_8bit: case.next_hop_8bit };
        let result = rewrite(&input, ask, &[ed25519()]);
        if let Some(refused) = case.refused {
            let error = result.err().unwrap_or_else(|| panic!("{name} is to be refused"));
            assert_eq!(kind(&error), refused, "{name}: {error}");
            continue;
        }
        let output = result.unwrap_or_else(|e| panic!("{name}: {e}")).rope.to_vec();
        assert!(!has_bare_line_end(&output), "{name}");
        verify(&output, 1).unwrap_or_else(|e| panic!("{name}: {e}"));
        keep(&format!("{name}-{}", ask.class), &input, &output);
        let plain: Vec<u8> = output.iter().copied().filter(|b| *b != b'\r').collect();
        if bless {
            fs::write(file(".out.eml"), &plain).unwrap();
        }
        let expected = fs::read(file(".out.eml")).unwrap();
        if plain != expected {
            let shown = String::from_utf8_lossy(&plain);
            panic!("{name} goes out as:\n{shown}\n(BLESS=1 to accept)");
        }
        let again = rewrite(&output, ask, &[ed25519()]).unwrap().rope.to_vec();
        assert!(again == output, "{name}: twice is not once:\n{}", String::from_utf8_lossy(&again));
    }
}

const LETTER: &[u8] = b"From: Voorbeeld Hypotheken <nieuws@voorbeeld.nl>\r\nTo: bob@example.org\r\n\
    Subject:  Rente \r\n\tvandaag\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <1@voorbeeld.nl>\r\n\
    MIME-Version: 1.0\r\n\r\nHallo  Bob \r\n\r\n";

#[test]
fn p11_both_kinds_of_signature_verify() {
    for class in [Class::Marketing, Class::Service, Class::Personal, Class::System] {
        let copy = rewrite(LETTER, Ask::new(class), &[rsa(), ed25519()]).unwrap();
        assert_eq!(copy.dkim, ["rsa._domainkey.voorbeeld.nl", "ed._domainkey.voorbeeld.nl"]);
        let out = copy.rope.to_vec();
        verify(&out, 2).unwrap();
        let changed = String::from_utf8(out).unwrap().replace("Hallo", "Hello");
        assert!(verify(changed.as_bytes(), 2).is_err(), "a changed body must not verify");
    }
}

/// dkimpy counts a fold before the last semicolon, which RFC 6376 3.5 does not; so there is none.
#[test]
fn p11_the_last_semicolon_stands_at_the_end_of_its_line() {
    let more = [
        "Cc: c@example.org",
        "Reply-To: d@voorbeeld.nl",
        "Content-Type: text/plain",
        "Content-Transfer-Encoding: 7bit",
    ];
    for chosen in 0..1 << more.len() {
        let fields = more.iter().enumerate().filter(|(at, _)| chosen >> at & 1 == 1);
        let fields: String = fields.map(|(_, field)| format!("{field}\r\n")).collect();
        let letter = [fields.as_bytes(), LETTER].concat();
        for class in [Class::Marketing, Class::Service, Class::Personal] {
            let out = rewrite(&letter, Ask::new(class), &[rsa(), ed25519()]).unwrap().rope.to_vec();
            assert!(
                letters::lines(&out).all(|line| line.trim_ascii() != b";"),
                "{}",
                String::from_utf8_lossy(&out)
            );
            verify(&out, 2).unwrap();
            keep(&format!("both-{chosen}-{}", class.as_str()), &letter, &out);
        }
    }
}

#[test]
fn p11_what_is_oversigned() {
    let out = rewrite(LETTER, Ask::new(Class::Marketing), &[ed25519()]).unwrap().rope.to_vec();
    let text = String::from_utf8(out.clone()).unwrap();
    assert!(text.starts_with("DKIM-Signature:"), "the signature is on top");
    let header: String = text.split("Sluis-Trace").next().unwrap().split_whitespace().collect();
    let h = header.split("h=").nth(1).unwrap().split(';').next().unwrap().to_lowercase();
    for name in ["from", "to", "subject", "date", "list-unsubscribe", "list-unsubscribe-post"] {
        assert_eq!(h.split(':').filter(|one| *one == name).count(), 2, "{name} in {h}");
        let added = [format!("{name}: x\r\n").as_bytes(), &out].concat();
        assert!(verify(&added, 1).is_err(), "{name} can be added");
    }
    assert!(!header.contains("l="), "no body length");
}

#[test]
fn promise_4_the_copies_of_a_message_share_it() {
    let attachment = "QUJD".repeat(19) + "\r\n";
    let text = format!(
        "From: Voorbeeld Hypotheken <n@voorbeeld.nl>\r\nTo: b@example.org\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHallo\r\n--b\r\n\
         Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n{}--b--\r\n",
        attachment.repeat(20_000)
    );
    let copy = rewrite(text.as_bytes(), Ask::new(Class::Marketing), &[ed25519()]).unwrap();
    let own: usize = copy
        .rope
        .pieces()
        .iter()
        .map(|piece| match piece {
            sluis::message::Piece::Own(bytes) => bytes.len(),
            sluis::message::Piece::Original(_) => 0,
        })
        .sum();
    assert!(own < 4096, "{own} octets of our own beside {} shared", text.len());
    verify(&copy.rope.to_vec(), 1).unwrap();
}
