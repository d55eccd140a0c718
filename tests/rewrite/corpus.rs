//! Real messages from other projects' test data, when they are there: `SLUIS_CORPUS`, or the folder
//! `shared/corpus` beside the repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mail_parser::{MessageParser, MimeHeaders};
use sluis::mail::Class;
use sluis::message::{ComposeError, Piece};

use super::letters::{Ask, URL, crlf, ed25519, has_bare_line_end, keep, lines, rewrite, verify};

fn folder() -> Option<PathBuf> {
    let given = std::env::var_os("SLUIS_CORPUS").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    given.or(Some(beside)).filter(|path| path.is_dir())
}

/// The message as the sender's own: its From, and none of the fields that marketing may not have twice.
fn adopted(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 80);
    let mut skipping = false;
    let mut in_header = true;
    let mut first = true;
    for line in message.split_inclusive(|b| *b == b'\n') {
        if in_header {
            let folded = line.starts_with(b" ") || line.starts_with(b"\t");
            in_header = line != b"\r\n";
            if !folded {
                let lower = line.to_ascii_lowercase();
                skipping = [&b"from:"[..], b"reply-to:", b"sender:", b"content-language:"]
                    .iter()
                    .any(|n| lower.starts_with(n))
                    || (first && lower.starts_with(b"from "));
            }
            if skipping && in_header {
                continue;
            }
            if first {
                out.extend_from_slice(b"From: Voorbeeld Hypotheken <nieuws@voorbeeld.nl>\r\n");
                first = false;
            }
        }
        out.extend_from_slice(line);
    }
    out
}

/// Checks that hold for every copy of every message.
fn sound(name: &str, original: &[u8], out: &[u8], pieces: &[Piece]) {
    assert!(!has_bare_line_end(out), "{name}: a bare line end");
    let longest = lines(original).map(<[u8]>::len).max().unwrap_or(0).max(998);
    assert!(lines(out).all(|line| line.len() <= longest), "{name}: a longer line than before");
    assert!(MessageParser::default().parse(out).is_some(), "{name}: does not parse");
    let mut at = 0;
    let wrapped = out.windows(8).any(|w| w == b"=_sluis_");
    for piece in pieces {
        if let Piece::Original(range) = piece {
            assert!(wrapped || range.start >= at, "{name}: out of order");
            at = range.end;
        }
    }
}

/// Attachments are byte-identical, and text is the text there was plus one footer.
fn same_but_for_the_footer(name: &str, original: &[u8], out: &[u8]) {
    let before = MessageParser::default().parse(original).unwrap();
    let after = MessageParser::default().parse(out).unwrap();
    let squeeze = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    for (old, new) in before.parts.iter().zip(&after.parts) {
        // What mail-parser itself cannot decode or take apart is read by Python in tests/interop/rewrite.sh.
        let unsplit = old.content_type().is_some_and(|t| t.ctype() == "multipart");
        let undecoded = (old.is_encoding_problem && new.is_encoding_problem) || unsplit;
        if old.contents() == new.contents() || old.is_multipart() || old.is_message() || undecoded {
            continue;
        }
        assert!(old.is_text() && old.attachment_name().is_none(), "{name}: an attachment changed");
        let text = squeeze(new.text_contents().unwrap());
        let html =
            old.content_type().and_then(|t| t.subtype()).is_some_and(|t| t.eq_ignore_ascii_case("html"));
        let (start, end) = match html {
            true => ("<divstyle=\"clear:both;margin", "Afmelden</a></div>"),
            false => ("____________________Ditberichtisverzondennamens", URL),
        };
        let at = text.find(start).unwrap_or_else(|| panic!("{name}: no footer in {text}"));
        let stop = at + text[at..].find(end).unwrap_or_else(|| panic!("{name}: half a footer")) + end.len();
        let rest = format!("{}{}", &text[..at], &text[stop..]);
        assert!(!rest.contains(URL), "{name}: the footer is there twice");
        let old = squeeze(old.text_contents().unwrap());
        let closed = ["-->", "\">", "</script>", "</style>"]
            .iter()
            .any(|c| rest.rfind(c).is_some_and(|n| rest[..n] == old[..n] && rest[n + c.len()..] == old[n..]));
        assert!(rest == old || closed, "{name}: the text changed:\n{rest}\n{old}");
    }
}

#[test]
fn promises_3_4_9_hold_for_real_messages() {
    let Some(folder) = folder() else {
        println!("no corpus: set SLUIS_CORPUS, or put it in shared/corpus beside the repository");
        return;
    };
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "eml"))
        .collect();
    files.sort();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut failures = Vec::new();
    for path in &files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let original = crlf(&fs::read(path).unwrap());
        let adopted = adopted(&original);
        for (class, text) in
            [(Class::Personal, &original), (Class::Service, &original), (Class::Marketing, &adopted)]
        {
            // All that fail are shown, not only the first.
            let verdict = std::panic::catch_unwind(|| walk(&name, class, text)).unwrap_or_else(|_| {
                failures.push(format!("{name} as {class}"));
                "failed".to_owned()
            });
            *counts.entry(format!("{class}: {verdict}")).or_default() += 1;
        }
    }
    println!("{} messages", files.len());
    for (what, count) in &counts {
        println!("{count:5}  {what}");
    }
    assert!(failures.is_empty(), "{failures:#?}");
    let of = |prefix: &str| -> usize {
        counts.iter().filter(|(what, _)| what.starts_with(prefix)).map(|(_, n)| n).sum()
    };
    assert_eq!(of("personal: refused") + of("service: refused"), 0);
    assert!(of("marketing: refused") * 5 < files.len(), "most real messages can be rewritten");
}

fn walk(name: &str, class: Class, original: &[u8]) -> String {
    let file = format!("{name}-{class}");
    let name = format!("{name} as {class}");
    let ask = Ask::new(class);
    let copy = match rewrite(original, ask, &[ed25519()]) {
        Ok(copy) => copy,
        Err(error) => {
            assert!(!matches!(error, ComposeError::Failed(_)), "{name}: {error}");
            return format!("refused ({error})");
        }
    };
    let out = copy.rope.to_vec();
    keep(&file, original, &out);
    sound(&name, original, &out, copy.rope.pieces());
    if !copy.dkim.is_empty()
        && let Err(why) = verify(&out, 1)
    {
        panic!("{name}: {why}");
    }
    let again = rewrite(&out, ask, &[ed25519()]).unwrap().rope.to_vec();
    assert!(again == out, "{name}: twice is not once:\n{}", String::from_utf8_lossy(&again));
    let footers: Vec<&str> =
        copy.edits.iter().map(String::as_str).filter(|edit| edit.starts_with("footer")).collect();
    if let Some(wrapped) = copy.edits.iter().find(|edit| edit.starts_with("wrapped")) {
        assert!(out.windows(URL.len()).filter(|w| *w == URL.as_bytes()).count() >= 2, "{name}");
        return wrapped.clone();
    }
    if class == Class::Marketing {
        same_but_for_the_footer(&name, original, &out);
    }
    match footers.as_slice() {
        [] => "headers only".to_owned(),
        some => some.join(", "),
    }
}
