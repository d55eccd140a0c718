//! The words around a message that are the sender's own: a footer template in text or html.
//!
//! A template is text with `{{words}}` in it and two sections: `{{#identity}}` … `{{/identity}}` says who
//! sends, `{{#opt_out}}` … `{{/opt_out}}` how to stop it. What an author has placed in the message already
//! is left out, service mail has no way out; what is outside the sections is there with either. Reading a
//! template checks that what RULES L7 and L8 ask for is in it, so that no config can take it away.
//! Deliberately absent: conditions, loops, and anything about the recipient but the link.

use super::html;

/// Longest template, in octets.
pub const MAX_TEMPLATE: usize = 16 << 10;
/// Longest line of a template, in octets: with what is filled in, no line may come near 998.
const MAX_LINE: usize = 500;

/// What a template is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// text/plain.
    Text,
    /// text/html.
    Html,
}

/// Something that is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// "This message was sent on behalf of", in the language.
    OnBehalfOf,
    Name,
    Address,
    /// What the trade register is called.
    Register,
    Kvk,
    /// "Contact".
    ContactLabel,
    Contact,
    /// The sentence that says why the recipient gets it.
    Reason,
    /// "Unsubscribe".
    Unsubscribe,
    /// The link itself.
    Link,
}

const WORDS: [(&str, Word); 10] = [
    ("on_behalf_of", Word::OnBehalfOf),
    ("sender_name", Word::Name),
    ("sender_address", Word::Address),
    ("register", Word::Register),
    ("sender_kvk", Word::Kvk),
    ("contact", Word::ContactLabel),
    ("sender_contact", Word::Contact),
    ("reason", Word::Reason),
    ("unsubscribe", Word::Unsubscribe),
    ("unsubscribe_url", Word::Link),
];

/// What L7 asks for, with the names for an error.
const IDENTITY: [(&str, Word); 4] = [
    ("{{sender_name}}", Word::Name),
    ("{{sender_address}}", Word::Address),
    ("{{sender_kvk}}", Word::Kvk),
    ("{{sender_contact}}", Word::Contact),
];

/// When a piece is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Shown {
    #[default]
    Always,
    Identity,
    OptOut,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// As it is; line ends are CRLF.
    Literal(String),
    Word(Word),
}

/// A checked template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub(crate) flavour: Flavour,
    pub(crate) tokens: Vec<(Shown, Token)>,
}

/// What is wrong with a template, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct TemplateError {
    /// Line, from 1.
    pub line: usize,
    /// What.
    pub what: String,
}

impl Template {
    /// Read and check a template.
    pub fn parse(text: &str, flavour: Flavour) -> Result<Self, TemplateError> {
        if text.len() > MAX_TEMPLATE {
            let what = format!("a footer template has at most {MAX_TEMPLATE} octets");
            return Err(TemplateError { line: 1, what });
        }
        let mut reader = Reader { flavour, shown: Shown::Always, tokens: Vec::new() };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut last = 0;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.strip_suffix('\r').unwrap_or(line);
            reader.line(line).map_err(|what| TemplateError { line: number, what })?;
            last = number;
        }
        let open = match reader.shown {
            Shown::Always => None,
            Shown::Identity => Some("{{/identity}} is missing"),
            Shown::OptOut => Some("{{/opt_out}} is missing"),
        };
        let template = Self { flavour, tokens: reader.tokens };
        match open {
            Some(missing) => Err(missing.to_owned()),
            None => template.complete(),
        }
        .map_err(|what| TemplateError { line: last.max(1), what })?;
        Ok(template)
    }

    /// RULES L7 and L8: it says who sends, and how to stop it.
    fn complete(&self) -> Result<(), String> {
        let count =
            |shown, word| self.tokens.iter().filter(|one| **one == (shown, Token::Word(word))).count();
        if let Some((name, _)) = IDENTITY.iter().find(|(_, word)| count(Shown::Identity, *word) == 0) {
            return Err(format!(
                "{name} is missing between {{{{#identity}}}} and {{{{/identity}}}} (RULES L7)"
            ));
        }
        if count(Shown::OptOut, Word::Link) != 1 {
            return Err(
                "{{unsubscribe_url}} must stand once between {{#opt_out}} and {{/opt_out}} (RULES L8)"
                    .to_owned(),
            );
        }
        if count(Shown::Always, Word::Link) + count(Shown::Identity, Word::Link) > 0 {
            return Err(
                "{{unsubscribe_url}} has its place in {{#opt_out}} only: service mail has none".to_owned()
            );
        }
        self.link_stands_alone()?;
        if self.flavour == Flavour::Html { self.sound_html() } else { Ok(()) }
    }

    /// The link must be one that can be clicked, and that we find again (RULES P12).
    fn link_stands_alone(&self) -> Result<(), String> {
        let at =
            self.tokens.iter().position(|(_, token)| *token == Token::Word(Word::Link)).unwrap_or_default();
        let literal = |at: Option<usize>| match at.and_then(|at| self.tokens.get(at)) {
            Some((_, Token::Literal(text))) => text.as_str(),
            _ => "",
        };
        let (before, after) = (literal(at.checked_sub(1)), literal(Some(at + 1)));
        match self.flavour {
            Flavour::Html if before.to_ascii_lowercase().ends_with("href=\"") && after.starts_with('"') => {
                Ok(())
            }
            Flavour::Html => Err("{{unsubscribe_url}} must stand in href=\"{{unsubscribe_url}}\"".to_owned()),
            Flavour::Text if before.ends_with([' ', '\n', '<']) && after.starts_with([' ', '\r', '>']) => {
                Ok(())
            }
            Flavour::Text => {
                Err("{{unsubscribe_url}} must stand alone, with spaces or line ends around it".to_owned())
            }
        }
    }

    fn sound_html(&self) -> Result<(), String> {
        let mut text = String::new();
        let mut link = 0;
        for (_, token) in &self.tokens {
            match token {
                Token::Literal(literal) => text.push_str(literal),
                Token::Word(Word::Link) => {
                    link = text.len();
                    text.push_str("https://x.example/x");
                }
                Token::Word(_) => text.push('x'),
            }
        }
        let scan = html::scan(text.as_bytes());
        if !scan.closer.is_empty() {
            return Err(format!("something is never closed; {} would close it", scan.closer));
        }
        if !scan.hidden.is_empty() || scan.unfit.is_some() || scan.insert != text.len() {
            return Err(
                "comments, scripts, styles, <body>, <html> and what readers do not see have no place in \
                        a footer; write style=\"...\" where it is needed"
                    .to_owned(),
            );
        }
        if !scan.shows(link) {
            return Err("{{unsubscribe_url}} must be the target of an <a> with a text to click on".to_owned());
        }
        Ok(())
    }
}

struct Reader {
    flavour: Flavour,
    shown: Shown,
    tokens: Vec<(Shown, Token)>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.len() > MAX_LINE {
            return Err(format!("a line of a template has at most {MAX_LINE} octets"));
        }
        if let Some(bad) = line.chars().find(|c| c.is_control() && *c != '\t') {
            return Err(format!("a control character (U+{:04X}) has no place in a template", u32::from(bad)));
        }
        let fragile = ["From ", ">", "--", "."].iter().find(|start| line.starts_with(**start));
        if let (Flavour::Text, Some(start)) = (self.flavour, fragile) {
            return Err(format!(
                "no line may start with \"{start}\": mailboxes and readers take it for something else"
            ));
        }
        // A section mark alone on its line leaves no empty line behind.
        match line.trim() {
            "{{#identity}}" => return self.open(Shown::Identity),
            "{{#opt_out}}" => return self.open(Shown::OptOut),
            "{{/identity}}" => return self.close(Shown::Identity),
            "{{/opt_out}}" => return self.close(Shown::OptOut),
            _ => {}
        }
        let mut rest = line;
        while let Some(at) = rest.find("{{") {
            self.literal(&rest[..at]);
            let inner = &rest[at + 2..];
            let end = inner.find("}}").ok_or("{{ without }}")?;
            match inner[..end].trim() {
                "#identity" => self.open(Shown::Identity)?,
                "#opt_out" => self.open(Shown::OptOut)?,
                "/identity" => self.close(Shown::Identity)?,
                "/opt_out" => self.close(Shown::OptOut)?,
                name => {
                    let word = WORDS.iter().find(|(known, _)| *known == name).ok_or_else(|| unknown(name))?.1;
                    self.tokens.push((self.shown, Token::Word(word)));
                }
            }
            rest = &inner[end + 2..];
        }
        self.literal(rest);
        self.literal("\r\n");
        Ok(())
    }

    fn literal(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.tokens.last_mut() {
            Some((shown, Token::Literal(last))) if *shown == self.shown => last.push_str(text),
            _ => self.tokens.push((self.shown, Token::Literal(text.to_owned()))),
        }
    }

    fn open(&mut self, shown: Shown) -> Result<(), String> {
        if self.shown != Shown::Always {
            return Err("a section cannot stand in another".to_owned());
        }
        self.shown = shown;
        Ok(())
    }

    fn close(&mut self, shown: Shown) -> Result<(), String> {
        if self.shown != shown {
            return Err("a section is closed that is not open".to_owned());
        }
        self.shown = Shown::Always;
        Ok(())
    }
}

fn unknown(name: &str) -> String {
    let known: Vec<&str> = WORDS.iter().map(|(known, _)| *known).collect();
    format!(
        "{{{{{name}}}}} is not known; there are {}, and the sections identity and opt_out",
        known.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "{{#identity}}\n{{sender_name}}, {{sender_address}}, {{sender_kvk}}, {{sender_contact}}\n\
        {{/identity}}\n{{#opt_out}}\nStop: {{unsubscribe_url}}\n{{/opt_out}}\n";

    #[test]
    fn l7_l8_a_template_must_say_it_all() {
        assert!(Template::parse(TEXT, Flavour::Text).is_ok());
        for (remove, with, says) in [
            ("{{sender_name}}", "", "{{sender_name}} is missing"),
            ("{{sender_kvk}}", "12345678", "{{sender_kvk}} is missing"),
            ("{{unsubscribe_url}}", "x", "{{unsubscribe_url}} must stand once"),
            ("Stop: ", "Stop:", "must stand alone"),
            ("{{/opt_out}}", "", "{{/opt_out}} is missing"),
            ("{{/identity}}", "", "cannot stand in another"),
            ("Stop: ", "{{stop}} ", "{{stop}} is not known"),
            ("Stop: ", "From me: ", "may start with"),
            ("Stop: ", "{{ ", "not known"),
            ("Stop: ", "\u{7}", "control character"),
        ] {
            let error = Template::parse(&TEXT.replace(remove, with), Flavour::Text).unwrap_err();
            assert!(error.to_string().contains(says), "{remove} to {with}: {error}");
        }
        let outside = TEXT.replace("{{#opt_out}}\n", "{{unsubscribe_url}}\n{{#opt_out}}\n");
        assert!(Template::parse(&outside, Flavour::Text).unwrap_err().what.contains("service mail"));
        assert!(Template::parse(&"x".repeat(MAX_TEMPLATE + 1), Flavour::Text).is_err());
    }

    #[test]
    fn l8_an_html_template_must_show_its_link() {
        let html = TEXT.replace("Stop: {{unsubscribe_url}}", "<a href=\"{{unsubscribe_url}}\">Stop</a>");
        assert!(Template::parse(&html, Flavour::Html).is_ok());
        for (remove, with, says) in [
            ("href=\"", "title=\"", "must stand in href"),
            ("Stop<", "Stop<!-- <", "never closed"),
            ("<a ", "<style>a{}</style><a ", "no place in a footer"),
            ("</a>", "</a></body>", "no place in a footer"),
            ("</a>", "</a><plaintext>", "no place in a footer"),
            ("<a ", "<a style='display: none' ", "no place in a footer"),
            ("Stop</a>", "</a>", "a text to click on"),
            ("<a ", "<a data-", "a text to click on"),
            ("<a ", "<area ", "a text to click on"),
        ] {
            let error = Template::parse(&html.replace(remove, with), Flavour::Html).unwrap_err();
            assert!(error.what.contains(says), "{remove} to {with}: {error}");
        }
    }
}
