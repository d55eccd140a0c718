//! What a message says, as a set of words that can be compared: is it the same text once more (RULES L13)?
//!
//! Words of the subject and of the body that is read (html, else plain), without case, punctuation, links and
//! addresses, every digit alike; the first [`WORDS`] of them, as hashes. Nothing can be read back from it, and
//! it is never stored. Deliberately absent: who sent how many (`limits`), and what follows (`policy`).

use std::borrow::Cow;

use super::Message;
use super::charset::Charset;
use super::structure::{Coding, Part};
use super::transfer as code;

/// Words looked at; the rest of a long text is not compared.
const WORDS: usize = 256;
/// Raw octets of one part looked at.
const RAW: usize = 64 << 10;
/// One word in so many may differ in a long text: a name, a date, a line about the weather.
const ONE_IN: usize = 20;
/// So many words may differ however short the text is ...
const LEAST: usize = 4;
/// ... and no more than these however long. A short note above a long disclaimer differs by more.
const MOST: usize = 8;
/// In a very short text no more than one word in so many.
const SHORT_ONE_IN: usize = 4;

/// A text, for comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(
    /// Hashes of its words, sorted, with repetitions.
    Box<[u32]>,
);

impl Fingerprint {
    /// Of a text.
    pub fn of_text(text: &str) -> Option<Self> {
        let mut hashes: Vec<u32> = words(text).take(WORDS).collect();
        hashes.sort_unstable();
        (!hashes.is_empty()).then(|| Self(hashes.into()))
    }

    /// Whether the texts differ in a few words only.
    pub fn is_near(&self, other: &Self) -> bool {
        let (one, two) = (&self.0, &other.0);
        let longer = one.len().max(two.len());
        let allowed = (longer / ONE_IN).clamp(LEAST, MOST).min(longer / SHORT_ONE_IN);
        if one.len().abs_diff(two.len()) > allowed {
            return false;
        }
        let (mut a, mut b, mut common) = (0, 0, 0);
        while a < one.len() && b < two.len() {
            match one[a].cmp(&two[b]) {
                std::cmp::Ordering::Less => a += 1,
                std::cmp::Ordering::Greater => b += 1,
                std::cmp::Ordering::Equal => (a, b, common) = (a + 1, b + 1, common + 1),
            }
        }
        longer - common <= allowed
    }
}

impl Message {
    /// What it says; `None` when that is nothing.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        let mut text = self.only("Subject").map(|field| field.decoded(&self.original)).unwrap_or_default();
        let parts = &self.tree().parts;
        let bodies = |media: &str| -> Vec<&Part> {
            let is_body = |part: &&Part| part.media == media && !part.attachment && part.children.is_empty();
            parts.iter().filter(is_body).collect()
        };
        let (html, plain) = (bodies("text/html"), bodies("text/plain"));
        for part in if html.is_empty() { plain } else { html } {
            text.push('\n');
            let content = self.content(part);
            if part.media == "text/html" {
                without_tags(&content, &mut text);
            } else {
                text.push_str(&content);
            }
        }
        Fingerprint::of_text(&text)
    }

    /// The text of a part, as far as it can be read.
    fn content(&self, part: &Part) -> String {
        let raw = &self.original[part.body.clone()];
        let raw = match raw.get(..RAW) {
            // At the end of a line: base64 and quoted-printable can be cut there.
            Some(begin) => &begin[..begin.iter().rposition(|byte| *byte == b'\n').unwrap_or(RAW)],
            None => raw,
        };
        let decoded = match part.coding {
            Coding::QuotedPrintable => Cow::Owned(code::qp_decode(raw)),
            Coding::Base64 => code::base64_decode(raw).map_or(Cow::Borrowed(raw), Cow::Owned),
            _ => Cow::Borrowed(raw),
        };
        let charset = Charset::of(part.parameter("charset").map(|p| p.value.as_str()));
        charset.decode(&decoded).unwrap_or_else(|| String::from_utf8_lossy(&decoded).into_owned())
    }
}

/// Hashes of the words of `text`.
fn words(text: &str) -> impl Iterator<Item = u32> {
    text.split_whitespace()
        .filter(|token| !token.contains("://") && !token.contains('@'))
        .flat_map(|token| token.split(|c: char| !c.is_alphanumeric()))
        .filter(|word| !word.is_empty())
        .map(hash)
}

/// FNV-1a over the word in lower case, each digit as `0`.
fn hash(word: &str) -> u32 {
    let mut hash = 0x811c_9dc5u32;
    for c in word.chars().flat_map(char::to_lowercase) {
        let c = if c.is_numeric() { '0' } else { c };
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
    hash
}

/// The text between the tags, without style sheets and scripts.
fn without_tags(html: &str, text: &mut String) {
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        text.push_str(&rest[..at]);
        text.push(' ');
        rest = &rest[at..];
        let hidden = ["style", "script"].iter().find(|name| begins_with(&rest[1..], name));
        let close = hidden.and_then(|name| {
            rest[1..].match_indices("</").find(|(at, _)| begins_with(&rest[1 + at + 2..], name))
        });
        let from = close.map_or(0, |(at, _)| at + 1);
        match rest[from..].find('>') {
            Some(end) => rest = &rest[from + end + 1..],
            None => return,
        }
    }
    text.push_str(rest);
}

fn begins_with(text: &str, word: &str) -> bool {
    text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::Limits;
    use super::*;

    const OFFER: &str = "wij hebben deze maand een scherpe rente op hypotheken van tien jaar vast, en \
                         rekenen graag met u na wat dat voor uw maandlasten betekent";

    fn letter(name: &str, text: &str) -> Fingerprint {
        let mail =
            format!("Subject: Een lagere rente\r\n\r\nBeste {name},\r\n\r\n{text}.\r\n\r\nGroet, Anna\r\n");
        of(&mail)
    }

    fn of(mail: &str) -> Fingerprint {
        Message::parse(Bytes::from(mail.to_owned()), &Limits::default()).fingerprint().unwrap()
    }

    #[test]
    fn l13_only_the_greeting_differs() {
        let first = letter("Jan", OFFER);
        for name in ["Piet", "mevrouw De Vries", "heer Van den Berg", "JAN"] {
            assert!(first.is_near(&letter(name, OFFER)), "{name}");
        }
        assert!(first.is_near(&letter("Jan", &format!("{OFFER}: https://x.nl/a81 ref 2026-11-24"))));
        assert!(!first.is_near(&letter("Jan", "kun je morgen om tien uur langskomen om het huis te zien")));
    }

    #[test]
    fn l13_short_notes_with_one_long_disclaimer_are_not_the_same_text() {
        let disclaimer = "Dit bericht is vertrouwelijk en alleen bestemd voor de geadresseerde ".repeat(8);
        let note = |subject: &str, text: &str| {
            of(&format!("Subject: {subject}\r\n\r\n{text}\r\n\r\nAnna de Boer\r\n{disclaimer}\r\n"))
        };
        let first = note(
            "Bezichtiging dinsdag",
            "Hoi Jan, om tien uur sta ik voor de deur, neem je de tekening mee?",
        );
        let second = note(
            "Offerte",
            "Dag Piet, in de bijlage vind je wat we bespraken, laat maar weten wat je ervan vindt.",
        );
        assert!(!first.is_near(&second));
    }

    #[test]
    fn l13_very_short_texts_must_be_nearly_the_same() {
        let near = |one: &str, two: &str| {
            Fingerprint::of_text(one).unwrap().is_near(&Fingerprint::of_text(two).unwrap())
        };
        assert!(near("Lunch Hoi Jan, zin in lunch?", "Lunch Hoi Piet, zin in lunch?"));
        assert!(!near("Lunch ok tot dan", "Offerte zie bijlage groet"));
        assert!(near("ok", "OK!"));
        assert!(!near("ok", "nee"));
        assert!(Fingerprint::of_text(" -- \r\n").is_none());
    }

    #[test]
    fn l13_the_form_of_the_text_makes_no_difference() {
        let plain = of(&format!("Subject: Een lagere rente\r\n\r\n{OFFER}\r\n"));
        let html = of(&format!(
            "Subject: =?utf-8?q?Een_lagere_rente?=\r\nContent-Type: text/html\r\n\r\n<html><style>p {{ color: red }}\
             </STYLE><p>{}</p></html>\r\n",
            OFFER.to_uppercase()
        ));
        let coded = of(&format!(
            "Subject: Een lagere rente\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
            String::from_utf8(code::base64_encode(OFFER.as_bytes(), 76, b"")).unwrap()
        ));
        assert_eq!(plain, html);
        assert_eq!(plain, coded);
    }

    proptest! {
        #[test]
        fn l13_any_message_can_be_compared(bytes in proptest::collection::vec(any::<u8>(), 0..2_000), html: bool) {
            let head = if html { "Content-Type: text/html\r\n\r\n" } else { "\r\n" };
            let mail = [head.as_bytes(), &bytes].concat();
            let message = Message::parse(Bytes::from(mail), &Limits::default());
            if let Some(one) = message.fingerprint() {
                prop_assert!(one.is_near(&one));
            }
        }
    }
}
