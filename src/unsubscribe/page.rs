//! The pages: one with a button, and what is said afterwards. One request, no script, nothing from
//! elsewhere, readable at 320 pixels, in the dark and on paper (RULES L9, WCAG 2.2 AA).

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::form;
use super::language::{Words, words};
use super::look::Look;
use crate::ledger::Why;
use crate::mail::{AddressKey, Language, Sender};

/// Who an unsubscribe is about, as the page shows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    /// From whom; `None` when the config no longer has this sender.
    pub sender: Option<&'a Sender>,
    /// Who.
    pub address: &'a AddressKey,
    /// How the sender's page looks.
    pub look: &'a Look,
}

/// What the page offers once it is done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Afterwards<'a> {
    /// The proof with which the unsubscribe can be taken back.
    pub undo: Option<&'a str>,
    /// The reason was given just now.
    pub explained: bool,
    /// Taking it back was asked for, and is no longer possible.
    pub too_late: bool,
}

/// The page with the button.
pub(super) fn ask(language: Language, subject: Subject<'_>) -> String {
    let words = words(language);
    let body = html! {
        h1 { (subject.fill(words, words.heading)) }
        p { (subject.fill(words, words.whom)) }
        p { (subject.fill(words, words.stops)) }
        p { (words.stays) }
        form method="post" { (button(form::PAGE, words.unsubscribe, false)) }
        (subject.imprint(words))
    };
    page(words, subject.look, words.unsubscribe, body)
}

/// What the button did; after that, and only then, a question and a way back.
pub(super) fn done(language: Language, subject: Subject<'_>, then: Afterwards<'_>) -> String {
    let words = words(language);
    let body = html! {
        h1 { (words.done) }
        p role="status" { (subject.fill(words, words.done_text)) }
        p { (words.told) }
        p { (words.stays) }
        @if then.too_late { p role="alert" { (words.too_late) } }
        @if then.explained {
            p role="status" { b { (words.thanks) } }
        } @else if !then.too_late {
            section { (question(words, then.undo)) }
        }
        @if let Some(undo) = then.undo {
            section {
                p { (words.mistake) }
                form method="post" {
                    (kept(undo))
                    (button(form::UNDO, words.undo, true))
                }
            }
        }
        (subject.imprint(words))
    };
    page(words, subject.look, words.done, body)
}

/// It was taken back; the button to unsubscribe is there again.
pub(super) fn undone(language: Language, subject: Subject<'_>) -> String {
    let words = words(language);
    let body = html! {
        h1 { (words.undone) }
        p role="status" { (subject.fill(words, words.undone_text)) }
        form method="post" { (button(form::PAGE, words.unsubscribe, false)) }
        (subject.imprint(words))
    };
    page(words, subject.look, words.undone, body)
}

fn question(words: &Words, undo: Option<&str>) -> Markup {
    html! {
        form method="post" {
            fieldset {
                legend { (words.why) }
                @for (why, text) in Why::ALL.iter().zip(words.reasons) {
                    label { input type="radio" name=(form::WHY) value=(why.as_str()) required; (text) }
                }
            }
            @if let Some(undo) = undo { (kept(undo)) }
            (button(form::EXPLAIN, words.send, true))
        }
    }
}

/// What a form hands on unseen.
fn kept(undo: &str) -> Markup {
    html! { input type="hidden" name=(form::PROOF) value=(undo); }
}

/// It is not recorded; the button is there again.
pub(super) fn failed(language: Language, subject: Subject<'_>) -> String {
    let words = words(language);
    let body = html! {
        h1 { (words.failed) }
        p role="alert" { (words.failed_text) }
        form method="post" { (button(form::PAGE, words.unsubscribe, false)) }
        (subject.imprint(words))
    };
    page(words, subject.look, words.failed, body)
}

/// The one answer to whatever is no link of ours.
pub(super) fn unknown(language: Language, look: &Look) -> String {
    let words = words(language);
    let body = html! {
        h1 { (words.unknown) }
        p { (words.unknown_text) }
    };
    page(words, look, words.unknown, body)
}

/// The forms have no `action`: they go back to where they came from, below whatever path a proxy serves us.
fn button(way: &str, text: &str, quiet: bool) -> Markup {
    html! { button.quiet[quiet] type="submit" name=(form::WAY) value=(way) { (text) } }
}

fn page(words: &Words, look: &Look, title: &str, body: Markup) -> String {
    shell(words.code, look, title, body)
}

/// A whole page in the language `code`, in the look of its sender.
pub(crate) fn shell(code: &str, look: &Look, title: &str, body: Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang=(code) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) }
                style { (PreEscaped(look.style())) }
            }
            body { main {
                // The heading names the sender: to those who do not see it, the picture adds nothing.
                @if let Some(logo) = look.logo() { img src=(logo) alt=""; }
                (body)
            } }
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
                @let ends = matches!(name, Name::Sender) && sender.ends_with('.');
                @match name {
                    Name::Sender => b { (sender) },
                    Name::Address => b { bdi { (masked(self.address)) } },
                }
                // "B.V." ends a sentence without a second full stop.
                ({ rest = if ends { after.strip_prefix('.').unwrap_or(after) } else { after }; "" })
            }
            (rest)
        }
    }

    fn imprint(&self, words: &Words) -> Markup {
        html! { @if let Some(sender) = self.sender { (imprint(sender, words.questions)) } }
    }
}

/// Whom to write to, and which company this is.
pub(crate) fn imprint(sender: &Sender, questions: &str) -> Markup {
    html! {
        footer {
            (sender.name) ", " (sender.address) ", KvK\u{a0}" (sender.kvk) "." br;
            (questions) " "
            a href={ "mailto:" (sender.contact.as_str()) } { (sender.contact.as_str()) }
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
pub(crate) fn masked(address: &AddressKey) -> String {
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
    fn l9_a_name_that_ends_in_a_full_stop_ends_the_sentence() {
        let address = Address::parse("lezer@example.nl").unwrap();
        let sender = |name: &str| Sender {
            id: crate::mail::SenderId("1".into()),
            name: name.into(),
            trade_names: Vec::new(),
            kvk: "1".into(),
            address: "Dorp".into(),
            contact: address.clone(),
            domains: Vec::new(),
            notify: Vec::new(),
            language: Language::Nl,
        };
        for (name, end) in [("Bank B.V.", "<b>Bank B.V.</b></p>"), ("Bank", "<b>Bank</b>.</p>")] {
            let (sender, look) = (sender(name), Look::default());
            let subject = Subject { sender: Some(&sender), address: address.key(), look: &look };
            let page = done(Language::Nl, subject, Afterwards::default());
            assert!(page.contains(end), "{page}");
        }
    }

    #[test]
    fn names_are_escaped() {
        let address = Address::parse("\"<b>x</b>\"@example.nl").unwrap();
        let look = Look::default();
        let page = ask(Language::En, Subject { sender: None, address: address.key(), look: &look });
        assert!(page.contains("&lt;…&gt;@example.nl"), "{page}");
        assert!(page.contains("from <b>this sender</b>"), "{page}");
    }
}
