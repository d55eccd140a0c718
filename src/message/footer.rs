//! The footer: who sends, on whose behalf, and how to stop it (RULES L7, L8).
//!
//! Text and html, in the language of the sender. Rendered once per message; only the link differs per
//! copy. Deliberately absent: where it goes (`body`), and any recognition by its text.

use super::html::escape;
use crate::mail::{Language, Purpose, Sender};

/// Columns of the text footer; format=flowed readers show it unflowed (RFC 3676 4.2).
const COLUMNS: usize = 72;

/// Parts the text footer from the text. Not of hyphens: a boundary may be a hyphen, and then a line of
/// three would be its delimiter.
const RULE: &str = "____________________\r\n";

/// One flavour of the footer, open where the link goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footer {
    /// Sender, address, register, contact: the identity lines.
    pub identity: String,
    /// The same as a fragment for the middle of a text: `{{sender_identity}}`.
    pub inline: String,
    /// What stands around the link; `None` for a footer without one.
    link: Option<(String, String)>,
    html: bool,
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

/// What the footer says, one line each.
struct Lines {
    behalf: String,
    address: String,
    register: String,
    why: String,
    stop: &'static str,
}

fn lines(sender: &Sender, purpose: Option<&Purpose>) -> Lines {
    let w = words(sender.language);
    let why = match purpose.map(|p| one_line(&p.0)).filter(|p| !p.is_empty()) {
        Some(purpose) => format!("{}\"{purpose}\"{}", w.about.0, w.about.1),
        None => w.why.to_owned(),
    };
    Lines {
        behalf: format!("{} {}", w.behalf, one_line(&sender.name)),
        address: one_line(&sender.address),
        register: format!(
            "{} {} | {}: {}",
            w.register,
            one_line(&sender.kvk),
            w.contact,
            one_line(sender.contact.as_str())
        ),
        why,
        stop: w.stop,
    }
}

impl Footer {
    /// The text footer; with a link for marketing.
    pub fn text(sender: &Sender, purpose: Option<&Purpose>, link: bool) -> Self {
        let l = lines(sender, purpose);
        let mut identity = String::from(RULE);
        for line in [&l.behalf, &l.address, &l.register] {
            wrap(line, &mut identity);
        }
        let mut around = String::new();
        wrap(&l.why, &mut around);
        around.push_str(l.stop);
        around.push_str(":\r\n");
        let inline = format!("{}, {}, {}", one_line(&sender.name), l.address, l.register);
        Self { identity, inline, link: link.then(|| (around, "\r\n".to_owned())), html: false }
    }

    /// The html footer: plain, small, with its own inline style, readable on light and on dark.
    pub fn html(sender: &Sender, purpose: Option<&Purpose>, link: bool) -> Self {
        let l = lines(sender, purpose);
        let identity = format!(
            "<b>{}</b><br>\r\n{}<br>\r\n{}\r\n",
            folded(&escape(&l.behalf)),
            folded(&escape(&l.address)),
            folded(&escape(&l.register))
        );
        let around = (
            format!("{}<br>\r\n<a href=\"", folded(&escape(&l.why)),),
            format!("\"\r\nstyle=\"color:#4a7dbd;text-decoration:underline\">{}</a>\r\n", escape(l.stop)),
        );
        let inline = folded(&escape(&format!("{}, {}, {}", one_line(&sender.name), l.address, l.register)));
        Self { identity, inline, link: link.then_some(around), html: true }
    }

    /// The finished footer, each line ended by CRLF. With `url` it carries the link; with `identity` it
    /// says who sends.
    pub fn render(&self, identity: bool, url: Option<&str>) -> String {
        let mut out = String::with_capacity(900);
        if self.html {
            out.push_str(concat!(
                "<div style=\"clear:both;margin:24px 0 0;padding:12px 0 0;border-top:1px solid #999;\r\n",
                "font:12px/1.5 Arial,Helvetica,sans-serif;color:#777;text-align:left\">\r\n"
            ));
        } else if !identity {
            out.push_str(RULE);
        }
        if identity {
            out.push_str(&self.identity);
        }
        if let (Some(url), Some((before, after))) = (url, &self.link) {
            if self.html && identity {
                out.push_str("<br>\r\n");
            }
            out.push_str(before);
            match self.html {
                true => out.push_str(&escape(url)),
                false => out.push_str(url),
            }
            out.push_str(after);
        }
        if self.html {
            out.push_str("</div>\r\n");
        }
        out
    }
}

/// Control characters and runs of white space become one space: a config value cannot break a line.
pub(crate) fn one_line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Words of `line` in rows of at most [`COLUMNS`], each ended by CRLF. No row starts with `From ` or `>`,
/// which mailboxes and readers would take for something else (RFC 3676 4.4).
fn wrap(line: &str, out: &mut String) {
    let mut column = 0;
    for word in pieces(line) {
        let width = word.chars().count();
        let fragile = word.starts_with('>') || word == "From" || word == "--";
        if column > 0 && column + 1 + width > COLUMNS && !fragile {
            out.push_str("\r\n");
            column = 0;
        }
        if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out.push_str("\r\n");
}

/// Long html text broken at spaces, so that no line of ours is near 998 octets.
fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut column = 0;
    for word in pieces(text) {
        if column > 0 {
            let full = column + word.len() > 200;
            out.push_str(if full { "\r\n" } else { " " });
            column = if full { 0 } else { column + 1 };
        }
        out.push_str(word);
        column += word.len();
    }
    out
}

/// Words, those of absurd length cut.
fn pieces(line: &str) -> impl Iterator<Item = &str> {
    line.split(' ').filter(|word| !word.is_empty()).flat_map(|word| {
        let mut rest = word;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let cut = rest.char_indices().nth(400).map_or(rest.len(), |(at, _)| at);
            let (piece, more) = rest.split_at(cut);
            rest = more;
            Some(piece)
        })
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

    #[test]
    fn l7_the_footer_says_who_sends() {
        for language in [Language::Nl, Language::En, Language::De, Language::Fr] {
            let sender = sender(language);
            let text = Footer::text(&sender, None, true).render(true, Some("https://x.nl/u/abc"));
            for part in
                ["Voorbeeld & Zonen B.V.", "Dorpsstraat 1, 1234 AB Ons Dorp", "12345678", "info@voorbeeld.nl"]
            {
                assert!(text.contains(part), "{part} in {text}");
            }
            assert!(text.contains("\r\nhttps://x.nl/u/abc\r\n"), "{text}");
            let html = Footer::html(&sender, None, true).render(true, Some("https://x.nl/u/abc?a&b"));
            assert!(html.is_ascii() && html.contains("href=\"https://x.nl/u/abc?a&amp;b\""), "{html}");
            assert!(html.contains("Voorbeeld &amp; Zonen B.V."));
            for line in text.split("\r\n").chain(html.split("\r\n")) {
                assert!(line.len() < 300 && !line.contains(['\r', '\n']), "{line}");
                assert!(!line.starts_with("From ") && line != "-- ");
            }
        }
    }

    #[test]
    fn service_has_no_link() {
        let text = Footer::text(&sender(Language::Nl), None, false).render(true, None);
        assert!(!text.contains("Afmelden"));
    }

    #[test]
    fn no_line_from_a_config_value_is_dangerous() {
        let mut sender = sender(Language::En);
        sender.name = format!("{} From here > there", "x ".repeat(30));
        sender.address = "y".repeat(3000);
        let text = Footer::text(&sender, None, false).render(true, None);
        assert!(text.split("\r\n").all(|line| line.len() < 998 && !line.starts_with("From ")));
    }
}
