//! The attributes of a tag in html, as far as they matter to where a footer shows (WHATWG HTML 13.2.5.32 to 40).

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr;

use super::style::inline;

/// What matters of a tag's attributes.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    /// Where the tag ends.
    pub end: usize,
    /// What would end it, when nothing does.
    pub closer: Option<&'static str>,
    pub hidden: bool,
    /// Properties by which no style sheet can hide it.
    pub keeps: u8,
    styled: bool,
    pub open: bool,
    pub font: bool,
    pub src: bool,
    /// Its `href` is in the message itself, and not a place in the text.
    pub embedded: bool,
    /// A picture of at most one pixel, which counts readers.
    pub tiny: bool,
    pub self_closing: bool,
    /// Where the value of `href` begins, white space before it left out.
    pub href: Option<usize>,
    pub id: Range<usize>,
    pub class: Range<usize>,
}

/// After a tag's name: its attributes (WHATWG HTML 13.2.5.32 to 13.2.5.40).
pub(crate) fn attributes(html: &[u8], from: usize) -> Attributes {
    let mut found = Attributes { end: html.len(), ..Attributes::default() };
    let space = |at: usize| html[at..].iter().take_while(|b| b.is_ascii_whitespace()).count();
    let mut at = from;
    loop {
        at += space(at);
        match html.get(at) {
            None => break,
            Some(b'>') => {
                found.end = at + 1;
                return found;
            }
            Some(b'/') => {
                found.self_closing = html.get(at + 1) == Some(&b'>');
                at += 1;
                continue;
            }
            Some(_) => {}
        }
        // A `=` here is the first octet of a name.
        let inner = html[at + 1..].iter().take_while(|b| !b.is_ascii_whitespace() && !b"/>=".contains(b));
        let name = at..at + 1 + inner.count();
        at = name.end + space(name.end);
        let mut value = at..at;
        if html.get(at) == Some(&b'=') {
            at += 1;
            at += space(at);
            match html.get(at) {
                Some(quote @ (b'"' | b'\'')) => {
                    value = at + 1..html.len();
                    let Some(n) = memchr(*quote, &html[at + 1..]) else {
                        found.attribute(html, &html[name], value);
                        found.closer = Some(if *quote == b'"' { "\">" } else { "'>" });
                        return found;
                    };
                    value.end = at + 1 + n;
                    at = value.end + 1;
                }
                _ => {
                    let len = html[at..].iter().take_while(|b| !b.is_ascii_whitespace() && **b != b'>');
                    value = at..at + len.count();
                    at = value.end;
                }
            }
        }
        found.attribute(html, &html[name], value);
    }
    found.closer = Some(">");
    found
}

impl Attributes {
    fn attribute(&mut self, html: &[u8], name: &[u8], value: Range<usize>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            3 if is("src") => self.src = true,
            4 if is("open") => self.open = true,
            4 if is("href") && self.href.is_none() => {
                let blank = html[value.clone()].iter().take_while(|b| b.is_ascii_whitespace()).count();
                self.href = Some(value.start + blank);
                let scheme = html[value.start + blank..value.end].split(|b| *b == b':').next();
                self.embedded = scheme.is_some_and(|scheme| {
                    scheme.eq_ignore_ascii_case(b"data") || scheme.eq_ignore_ascii_case(b"cid")
                });
            }
            4 if is("face") || is("size") => self.font = true,
            5 if is("color") => self.font = true,
            5 if is("width") => self.tiny |= matches!(html[value].trim_ascii(), b"0" | b"1"),
            6 if is("height") => self.tiny |= matches!(html[value].trim_ascii(), b"0" | b"1"),
            2 if is("id") && self.id.is_empty() => self.id = value,
            5 if is("class") && self.class.is_empty() => self.class = value,
            5 if is("style") => {
                let inline = inline(&unescaped(&html[value]));
                self.hidden |= inline.hides != 0;
                // A second one counts for nothing.
                self.keeps = if self.styled { self.keeps } else { inline.keeps };
                self.styled = true;
            }
            5 if is("inert") => self.hidden = true,
            6 if is("hidden") => self.hidden = true,
            7 if is("popover") => self.hidden = true,
            _ => {}
        }
    }
}

/// The value of an attribute with those character references read that can matter to a style.
fn unescaped(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'&', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = memchr(b'&', rest) {
        out.extend_from_slice(&rest[..at]);
        let name: Vec<u8> = rest[at + 1..]
            .iter()
            .copied()
            .take(32)
            .take_while(|b| b.is_ascii_alphanumeric() || *b == b'#')
            .collect();
        let octet = match &*name {
            [b'#', b'x' | b'X', digits @ ..] => number(digits, 16),
            [b'#', digits @ ..] => number(digits, 10),
            b"colon" => Some(b':'),
            b"Tab" | b"NewLine" => Some(b' '),
            _ => None,
        };
        rest = &rest[at + 1..];
        match octet {
            Some(octet) => {
                out.push(octet);
                rest = &rest[name.len()..];
                rest = rest.strip_prefix(b";").unwrap_or(rest);
            }
            None => out.push(b'&'),
        }
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

fn number(digits: &[u8], radix: u32) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok()?;
    u8::from_str_radix(text, radix).ok().filter(u8::is_ascii)
}
