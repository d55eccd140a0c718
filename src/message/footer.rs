//! The footer: who sends, on whose behalf, and how to stop it (RULES L7, L8).
//!
//! A template, the sender's own or the one below, filled in with the sender's name, address and the words of the
//! language, and kept: only the link differs per copy. Text is wrapped, and no row of it
//! begins with what a mailbox or a reader would take for something else; html is ASCII with character
//! references, so that it fits a part of any charset. Deliberately absent: where it goes (`body`), and any
//! recognition by its text.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::html::escape;
use super::template::{Flavour, Shown, Template, Token, Word};
use crate::mail::{Language, Purpose, Sender};

/// Columns of the text footer; format=flowed readers show it unflowed (RFC 3676 4.2).
const COLUMNS: usize = 72;

/// Not a rule of hyphens: a boundary may be a hyphen, and then a line of three would be its delimiter.
pub(crate) const TEXT: &str = "\
____________________
{{#identity}}
{{on_behalf_of}} {{sender_name}}
{{sender_address}}
{{register}} {{sender_kvk}} | {{contact}}: {{sender_contact}}
{{/identity}}
{{#opt_out}}
{{reason}}
{{unsubscribe}}:
{{unsubscribe_url}}
{{/opt_out}}
";

/// Plain and small. Its own background, so that it can be read on whatever the author painted; where the
/// message follows a dark scheme, so does the footer, in readers that know `light-dark()`. What is `!important` is
/// what no style sheet of the author may take away; some readers know it in style sheets only, so that the plain
/// colours stand before it.
pub(crate) const HTML: &str = "\
<div style=\"clear:both;margin:24px 0 0;padding:12px 16px;background:#f4f4f4;color:#4d4d4d;
font:12px/1.5 Arial,Helvetica,sans-serif;text-align:center;
display:block!important;visibility:visible!important;opacity:1!important;font-size:12px!important;
background:light-dark(#f4f4f4,#262626)!important;color:light-dark(#4d4d4d,#c6c6c6)!important\">
{{#identity}}
<b style=\"display:inline!important;visibility:visible!important;opacity:1!important;
font-size:12px!important;color:inherit!important\">{{on_behalf_of}} {{sender_name}}</b><br>
{{sender_address}}<br>
{{register}} {{sender_kvk}} | {{contact}}: {{sender_contact}}<br>
{{/identity}}
{{#opt_out}}
{{reason}}<br>
<a href=\"{{unsubscribe_url}}\"
style=\"padding:4px;color:#0b57d0;text-decoration:underline;
display:inline-block!important;visibility:visible!important;opacity:1!important;font-size:12px!important;
color:light-dark(#0b57d0,#8ab4f8)!important\">{{unsubscribe}}</a>
{{/opt_out}}
</div>
";

static BUILT_IN: LazyLock<[Template; 2]> = LazyLock::new(|| {
    [(TEXT, Flavour::Text), (HTML, Flavour::Html)].map(|(text, flavour)| {
        // Fixed texts; a test reads them, too.
        Template::parse(text, flavour).expect("the built-in templates are sound")
    })
});

/// The footer templates of one sender, where it has its own; and the footers that were made from them.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    own: Vec<(Option<Language>, Template)>,
    made: Arc<Mutex<Vec<Made>>>,
}

/// Footers that will be wanted again with the next message.
#[derive(Debug)]
struct Made {
    sender: Sender,
    purpose: Option<Purpose>,
    language: Language,
    footers: Arc<Footers>,
}

/// Footers kept for one sender: its purposes, in a few languages. The oldest goes first.
const KEPT: usize = 32;

impl PartialEq for Templates {
    fn eq(&self, other: &Self) -> bool {
        self.own == other.own
    }
}

impl Templates {
    /// Use `template` for messages in `language`; without one, for all languages that have no own.
    pub fn set(&mut self, language: Option<Language>, template: Template) {
        self.own.retain(|(known, other)| *known != language || other.flavour != template.flavour);
        self.own.push((language, template));
        self.made = Arc::default();
    }

    pub(crate) fn of(&self, language: Language, flavour: Flavour) -> &Template {
        let find = |wanted| self.own.iter().find(|(known, t)| *known == wanted && t.flavour == flavour);
        let built_in = &BUILT_IN[usize::from(flavour == Flavour::Html)];
        find(Some(language)).or_else(|| find(None)).map_or(built_in, |(_, template)| template)
    }

    /// The footers of `sender`, made now or before.
    pub(crate) fn footers(
        &self,
        sender: &Sender,
        purpose: Option<&Purpose>,
        language: Language,
    ) -> Arc<Footers> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let alike = |one: &&Made| {
            one.language == language && one.purpose.as_ref() == purpose && one.sender == *sender
        };
        if let Some(known) = made.iter().find(alike) {
            return known.footers.clone();
        }
        let of = |flavour| Footer::new(self.of(language, flavour), sender, purpose, language);
        let footers = Arc::new(Footers { text: of(Flavour::Text), html: of(Flavour::Html) });
        if made.len() >= KEPT {
            made.remove(0);
        }
        made.push(Made {
            sender: sender.clone(),
            purpose: purpose.cloned(),
            language,
            footers: footers.clone(),
        });
        footers
    }
}

/// The sender's footers in both flavours.
#[derive(Debug)]
pub(crate) struct Footers {
    pub text: Footer,
    pub html: Footer,
}

/// One flavour of the footer, open where the link goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footer {
    pieces: Vec<(Shown, Piece)>,
    /// The identity as a fragment for the middle of a text: `{{sender_identity}}`.
    pub inline: String,
    html: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Link,
}

struct Words {
    behalf: &'static str,
    register: &'static str,
    contact: &'static str,
    about: (&'static str, &'static str),
    why: &'static str,
    stop: &'static str,
}

fn words(language: Language) -> Words {
    match language {
        Language::Nl => Words {
            behalf: "Dit bericht is verzonden namens",
            register: "KvK",
            contact: "Contact",
            about: ("U ontvangt dit bericht over ", "."),
            why: "U ontvangt dit bericht omdat u zich ervoor hebt aangemeld of klant bent.",
            stop: "Afmelden",
        },
        Language::En => Words {
            behalf: "This message was sent on behalf of",
            register: "Trade register (KvK)",
            contact: "Contact",
            about: ("You receive this message about ", "."),
            why: "You receive this message because you signed up for it or are a customer.",
            stop: "Unsubscribe",
        },
        Language::De => Words {
            behalf: "Diese Nachricht wurde versandt im Namen von",
            register: "Handelsregister (KvK)",
            contact: "Kontakt",
            about: ("Sie erhalten diese Nachricht zum Thema ", "."),
            why: "Sie erhalten diese Nachricht, weil Sie sich angemeldet haben oder Kunde sind.",
            stop: "Abmelden",
        },
        Language::Fr => Words {
            behalf: "Ce message a été envoyé au nom de",
            register: "Registre du commerce (KvK)",
            contact: "Contact",
            about: ("Vous recevez ce message au sujet de ", "."),
            why: "Vous recevez ce message parce que vous êtes inscrit ou client.",
            stop: "Se désinscrire",
        },
    }
}

impl Footer {
    /// Fill in `template`.
    pub fn new(template: &Template, sender: &Sender, purpose: Option<&Purpose>, language: Language) -> Self {
        let w = words(language);
        let reason = match purpose.map(|p| one_line(&p.0)).filter(|p| !p.is_empty()) {
            Some(purpose) => format!("{}\"{purpose}\"{}", w.about.0, w.about.1),
            None => w.why.to_owned(),
        };
        let value = |word| match word {
            Word::OnBehalfOf => w.behalf.to_owned(),
            Word::Name => one_line(&sender.name),
            Word::Address => one_line(&sender.address),
            Word::Register => w.register.to_owned(),
            Word::Kvk => one_line(&sender.kvk),
            Word::ContactLabel => w.contact.to_owned(),
            Word::Contact => one_line(sender.contact.as_str()),
            Word::Reason => reason.clone(),
            Word::Unsubscribe => w.stop.to_owned(),
            Word::Link => String::new(),
        };
        let html = template.flavour == Flavour::Html;
        let inline = format!(
            "{}, {}, {} {} | {}: {}",
            one_line(&sender.name),
            one_line(&sender.address),
            w.register,
            one_line(&sender.kvk),
            w.contact,
            one_line(sender.contact.as_str())
        );
        let mut filling = Filling::default();
        for (shown, token) in &template.tokens {
            filling.shown = *shown;
            match token {
                Token::Word(Word::Link) => filling.link(),
                Token::Literal(text) if html => filling.push(&ascii(text)),
                Token::Word(word) if html => filling.html(&folded(&escape(&value(*word)))),
                Token::Literal(text) => filling.wrap(text),
                Token::Word(word) => filling.wrap(&value(*word)),
            }
        }
        let inline = if html { folded(&escape(&inline)) } else { inline };
        Self { pieces: filling.pieces, inline, html }
    }

    /// The finished footer, each line ended by CRLF. With `url` it carries the link; with `identity` it
    /// says who sends.
    pub fn render(&self, identity: bool, url: Option<&str>) -> String {
        let mut out = String::with_capacity(1024);
        for (shown, piece) in &self.pieces {
            match (shown, piece, url) {
                (Shown::Identity, ..) if !identity => {}
                (Shown::OptOut, _, None) => {}
                (_, Piece::Text(text), _) => out.push_str(text),
                (_, Piece::Link, Some(url)) if self.html => out.push_str(&escape(url)),
                (_, Piece::Link, url) => out.push_str(url.unwrap_or_default()),
            }
        }
        out
    }
}

/// A footer being filled in.
#[derive(Default)]
struct Filling {
    pieces: Vec<(Shown, Piece)>,
    shown: Shown,
    /// Columns used in this row of text.
    column: usize,
    /// Spaces before the next word.
    spaces: usize,
}

impl Filling {
    fn push(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some((shown, Piece::Text(last))) if *shown == self.shown => last.push_str(text),
            _ => self.pieces.push((self.shown, Piece::Text(text.to_owned()))),
        }
    }

    /// A value in html.
    fn html(&mut self, text: &str) {
        let last = self.pieces.last().map(|(_, piece)| piece);
        let new_row = matches!(last, Some(Piece::Text(text)) if text.ends_with('\n'));
        if new_row && is_fragile(text.split(' ').next().unwrap_or_default()) {
            self.push(" ");
        }
        self.push(text);
    }

    fn link(&mut self) {
        if self.spaces > 0 && self.column > 0 {
            self.push(" ");
        }
        self.pieces.push((self.shown, Piece::Link));
        // Whatever follows after a space has a row of its own.
        (self.column, self.spaces) = (COLUMNS, 0);
    }

    /// Text in rows of at most [`COLUMNS`].
    fn wrap(&mut self, text: &str) {
        for (number, line) in text.split("\r\n").enumerate() {
            if number > 0 {
                self.end_row();
            }
            for (number, word) in line.split(' ').enumerate() {
                self.spaces += usize::from(number > 0);
                pieces(word).for_each(|piece| self.word(piece));
            }
        }
    }

    fn word(&mut self, word: &str) {
        let width = word.chars().count();
        let fragile = is_fragile(word);
        let room = self.column + self.spaces + width <= COLUMNS;
        let full = !room && ((self.spaces > 0 && !fragile) || self.column + width > 800);
        if full && self.column > 0 {
            self.end_row();
        }
        let indent = if self.column == 0 && fragile { self.spaces.max(1) } else { self.spaces };
        (0..indent).for_each(|_| self.push(" "));
        self.push(word);
        self.column += indent + width;
        self.spaces = 0;
    }

    fn end_row(&mut self) {
        self.push("\r\n");
        (self.column, self.spaces) = (0, 0);
    }
}

/// Whether no row may start with it: mailboxes and readers would take it for something else (RFC 3676 4.4).
fn is_fragile(word: &str) -> bool {
    word.starts_with(['>', '.']) || word == "From" || word.starts_with("--")
}

/// Control characters and runs of white space become one space: a config value cannot break a line.
pub(crate) fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// Markup as it is, with everything beyond ASCII as a character reference.
fn ascii(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    if html.is_ascii() {
        out.push_str(html);
        return out;
    }
    for c in html.chars() {
        match c.is_ascii() {
            true => out.push(c),
            false => out.push_str(&format!("&#{};", u32::from(c))),
        }
    }
    out
}

/// Long html text broken at spaces, so that no line of ours is near 998 octets.
fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut column = 0;
    for word in text.split(' ').flat_map(pieces) {
        if column > 0 {
            let full = column + word.len() > 200 && !is_fragile(word);
            out.push_str(if full { "\r\n" } else { " " });
            column = if full { 0 } else { column + 1 };
        }
        out.push_str(word);
        column += word.len();
    }
    out
}

/// A word, cut when it is of absurd length.
fn pieces(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let cut = rest.char_indices().nth(190).map_or(rest.len(), |(at, _)| at);
        let (piece, more) = rest.split_at(cut);
        rest = more;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Address, SenderId};

    fn sender(language: Language) -> Sender {
        Sender {
            id: SenderId("12345678".into()),
            name: "Voorbeeld & Zonen B.V.".into(),
            trade_names: vec![],
            kvk: "12345678".into(),
            address: "Dorpsstraat 1,\r\n1234 AB Ons Dorp".into(),
            contact: Address::parse("info@voorbeeld.nl").unwrap(),
            domains: vec![],
            notify: vec![],
            language,
        }
    }

    fn built_in(sender: &Sender, flavour: Flavour, link: Option<&str>) -> String {
        let templates = Templates::default();
        Footer::new(templates.of(sender.language, flavour), sender, None, sender.language).render(true, link)
    }

    #[test]
    fn l7_the_footer_says_who_sends() {
        for language in [Language::Nl, Language::En, Language::De, Language::Fr] {
            let sender = sender(language);
            let text = built_in(&sender, Flavour::Text, Some("https://x.nl/u/abc"));
            for part in
                ["Voorbeeld & Zonen B.V.", "Dorpsstraat 1, 1234 AB Ons Dorp", "12345678", "info@voorbeeld.nl"]
            {
                assert!(text.contains(part), "{part} in {text}");
            }
            assert!(text.contains("\r\nhttps://x.nl/u/abc\r\n"), "{text}");
            let html = built_in(&sender, Flavour::Html, Some("https://x.nl/u/abc?a&b"));
            assert!(html.is_ascii() && html.contains("href=\"https://x.nl/u/abc?a&amp;b\""), "{html}");
            assert!(html.contains("Voorbeeld &amp; Zonen B.V."));
            for line in text.split("\r\n").chain(html.split("\r\n")) {
                assert!(line.len() < 300 && !line.contains(['\r', '\n']), "{line}");
                assert!(!line.starts_with("From ") && line != "-- ");
            }
        }
    }

    #[test]
    fn l8_no_style_sheet_hides_the_footer() {
        for language in Language::ALL {
            let footer = built_in(&sender(language), Flavour::Html, Some("https://x.nl/u/abc"));
            for css in [
                "div{display:none}",
                "body *, a{display:none!important;visibility:hidden!important;opacity:0!important}",
                "b{opacity:0}a:last-child{visibility:collapse}",
            ] {
                let scan = super::super::html::scan(format!("<style>{css}</style>x").as_bytes());
                assert!(scan.spares(&footer, Some("https://x.nl/u/abc")), "{css} in {footer}");
            }
        }
    }

    #[test]
    fn service_has_no_link() {
        for flavour in [Flavour::Text, Flavour::Html] {
            let text = built_in(&sender(Language::Nl), flavour, None);
            assert!(text.contains("KvK 12345678") && !text.contains("Afmelden"), "{text}");
        }
    }

    #[test]
    fn no_line_from_a_config_value_is_dangerous() {
        let mut sender = sender(Language::En);
        sender.name = format!("{} From here > there", "x ".repeat(30));
        sender.address = format!("From here {}", "y".repeat(3000));
        sender.kvk = "--b".into();
        for flavour in [Flavour::Text, Flavour::Html] {
            let text = built_in(&sender, flavour, None);
            let bad =
                text.split("\r\n").find(|l| l.len() >= 998 || l.starts_with("From ") || l.starts_with("--"));
            assert_eq!(bad, None, "{text}");
        }
    }

    #[test]
    fn a_sender_may_have_its_own_words_by_language() {
        let text = "{{#identity}}Von {{sender_name}} ({{sender_kvk}}), {{sender_address}}, {{sender_contact}}\n\
            {{/identity}}{{#opt_out}}Genug? <{{unsubscribe_url}}> {{reason}}{{/opt_out}}\nGr\u{fc}\u{df}e";
        let own = Template::parse(text, Flavour::Text).unwrap();
        let mut templates = Templates::default();
        templates.set(Some(Language::De), own.clone());
        let sender = sender(Language::De);
        assert_eq!(templates.of(Language::De, Flavour::Text), &own);
        assert_ne!(templates.of(Language::Nl, Flavour::Text), &own);
        assert_ne!(templates.of(Language::De, Flavour::Html), &own);
        templates.set(None, own.clone());
        assert_eq!(templates.of(Language::Nl, Flavour::Text), &own);
        let footer = Footer::new(&own, &sender, None, Language::De);
        assert_eq!(
            footer.render(true, Some("https://x.nl/u/a")),
            "Von Voorbeeld & Zonen B.V. (12345678), Dorpsstraat 1, 1234 AB Ons Dorp,\r\ninfo@voorbeeld.nl\r\n\
             Genug? <https://x.nl/u/a>\r\nSie erhalten diese Nachricht, weil Sie sich angemeldet haben oder Kunde\r\nsind.\r\n\
             Gr\u{fc}\u{df}e\r\n"
        );
        assert_eq!(footer.render(false, None), "\r\nGr\u{fc}\u{df}e\r\n");
    }
}
