//! The pages: one with a button, and what is said afterwards. One request, no script, nothing from
//! elsewhere, readable at 320 pixels, in the dark and on paper (RULES L9, WCAG 2.2 AA).

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::language::{Words, words};
use crate::mail::{AddressKey, Language, Sender};

/// The field that tells the page's own button from a mail program's one-click POST.
pub(super) const BUTTON: &str = "way=page";

/// Contrast at least 13:1 for text and 8:1 for the button and links, in both schemes; a target of 48 pixels; a
/// focus ring of its own.
const STYLE: &str = "\
:root{color-scheme:light dark}\
*{box-sizing:border-box}\
body{margin:0;padding:1.5rem 1rem;font:1.0625rem/1.6 system-ui,sans-serif;color:#1b1f24;background:#f4f5f7}\
main{max-width:36rem;margin:0 auto;padding:1.5rem;background:#fff;border:1px solid #c9ced6;border-radius:.5rem}\
h1{margin:0 0 1rem;font-size:1.5rem;line-height:1.3}\
h1,p,footer{overflow-wrap:anywhere}\
p{margin:0 0 1rem}\
button{min-height:3rem;min-width:12rem;max-width:100%;padding:.75rem 1.5rem;font:inherit;font-weight:600;\
color:#fff;background:#0b4f9e;border:2px solid #0b4f9e;border-radius:.375rem;cursor:pointer}\
button:hover{background:#083a75}\
:focus-visible{outline:3px solid #b45309;outline-offset:3px}\
footer{margin-top:1.5rem;padding-top:1rem;border-top:1px solid #c9ced6;font-size:.9375rem}\
a{color:#0b4f9e}\
@media(prefers-color-scheme:dark){body{color:#e8eaed;background:#15181c}main{background:#1e2227;\
border-color:#4a515b}footer{border-color:#4a515b}a{color:#9cc7ff}button{color:#0d1117;background:#9cc7ff;\
border-color:#9cc7ff}button:hover{background:#c3ddff}:focus-visible{outline-color:#fbbf24}}\
@media print{body,main{background:#fff;color:#000}main{border:0}a{color:#000}button{color:#000;background:#fff}}";

/// What a browser may do with a page: show it with this one style sheet, and send its form back to us.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; frame-ancestors 'none'; \
         base-uri 'none'"
    )
});

/// Who an unsubscribe is about, as the page shows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    /// From whom; `None` when the config no longer has this sender.
    pub sender: Option<&'a Sender>,
    /// Who.
    pub address: &'a AddressKey,
}

/// The page with the button.
pub(super) fn ask(language: Language, subject: Subject<'_>) -> String {
    let words = words(language);
    let body = html! {
        h1 { (subject.fill(words, words.heading)) }
        p { (subject.fill(words, words.whom)) }
        p { (subject.fill(words, words.stops)) }
        p { (words.stays) }
        (button(words))
        (subject.imprint(words))
    };
    page(words, words.unsubscribe, body)
}

/// What the button did.
pub(super) fn done(language: Language, subject: Subject<'_>) -> String {
    let words = words(language);
    let body = html! {
        h1 { (words.done) }
        p role="status" { (subject.fill(words, words.done_text)) }
        p { (words.told) }
        p { (words.stays) }
        (subject.imprint(words))
    };
    page(words, words.done, body)
}

/// It is not recorded; the button is there again.
pub(super) fn failed(language: Language, subject: Subject<'_>) -> String {
    let words = words(language);
    let body = html! {
        h1 { (words.failed) }
        p role="alert" { (words.failed_text) }
        (button(words))
        (subject.imprint(words))
    };
    page(words, words.failed, body)
}

/// The one answer to whatever is no link of ours.
pub(super) fn unknown(language: Language) -> String {
    let words = words(language);
    let body = html! {
        h1 { (words.unknown) }
        p { (words.unknown_text) }
    };
    page(words, words.unknown, body)
}

/// No `action`: a form goes back to where it came from, below whatever path a proxy serves us.
fn button(words: &Words) -> Markup {
    let (name, value) = BUTTON.split_once('=').unwrap_or((BUTTON, ""));
    html! {
        form method="post" {
            button type="submit" name=(name) value=(value) { (words.unsubscribe) }
        }
    }
}

fn page(words: &Words, title: &str, body: Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang=(words.code) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (body) } }
        }
    };
    page.into_string()
}

impl Subject<'_> {
    /// `template` with the two names put in.
    fn fill(&self, words: &Words, template: &str) -> Markup {
        let sender = self.sender.map_or(words.somebody, |sender| sender.name.as_str());
        let mut rest = template;
        html! {
            @while let Some((before, name, after)) = placeholder(rest) {
                (before)
                @match name {
                    Name::Sender => b { (sender) },
                    Name::Address => b { bdi { (masked(self.address)) } },
                }
                ({ rest = after; "" })
            }
            (rest)
        }
    }

    /// Whom to write to, and which company this is.
    fn imprint(&self, words: &Words) -> Markup {
        html! {
            @if let Some(sender) = self.sender {
                footer {
                    (sender.name) ", " (sender.address) ", KvK " (sender.kvk) "." br;
                    (words.questions) " "
                    a href={ "mailto:" (sender.contact.as_str()) } { (sender.contact.as_str()) }
                }
            }
        }
    }
}

enum Name {
    Sender,
    Address,
}

/// The first placeholder of `template`, with what stands before and after it.
fn placeholder(template: &str) -> Option<(&str, Name, &str)> {
    let (before, rest) = template.split_once('{')?;
    let (name, after) = rest.split_once('}')?;
    match name {
        "sender" => Some((before, Name::Sender, after)),
        _ => Some((before, Name::Address, after)),
    }
}

/// An address that its owner recognises and nobody else learns: `o…r@example.nl`.
fn masked(address: &AddressKey) -> String {
    let (local, domain) = address.as_str().rsplit_once('@').unwrap_or((address.as_str(), ""));
    let mut plain = local.trim_matches('"').chars();
    let first = plain.next().map(String::from).unwrap_or_default();
    // The last of two characters would give all of it away.
    let last = match plain.next_back() {
        Some(last) if plain.next().is_some() => String::from(last),
        _ => String::new(),
    };
    let (domain, _) = idna::domain_to_unicode(domain);
    format!("{first}…{last}@{domain}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Address;

    #[test]
    fn l9_the_address_is_masked() {
        for (address, shown) in [
            ("ontvanger@example.nl", "o…r@example.nl"),
            ("Bob+news@example.nl", "b…s@example.nl"),
            ("ab@example.nl", "a…@example.nl"),
            ("a@example.nl", "a…@example.nl"),
            ("\"a b c\"@example.nl", "a…c@example.nl"),
            ("jürgen@bücher.example", "j…n@bücher.example"),
        ] {
            assert_eq!(masked(Address::parse(address).unwrap().key()), shown);
        }
    }

    #[test]
    fn names_are_escaped() {
        let address = Address::parse("\"<b>x</b>\"@example.nl").unwrap();
        let page = ask(Language::En, Subject { sender: None, address: address.key() });
        assert!(page.contains("&lt;…&gt;@example.nl"), "{page}");
        assert!(page.contains("from <b>this sender</b>"), "{page}");
    }
}
