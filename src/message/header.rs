//! Header blocks by offset (RFC 5322 2.2, RFC 2045 5).
//!
//! Finds where each field is, without changing or decoding anything; values are decoded only when asked
//! for, by mail-parser. Deliberately absent: any meaning of a field beyond its syntax.

use std::borrow::Cow;
use std::ops::Range;

use mail_parser::parsers::MessageStream;
use memchr::memchr;

/// One header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    /// The name, without the white space before the colon.
    pub name: Range<usize>,
    /// All of it, its CRLF included.
    pub all: Range<usize>,
    /// After the colon, to the CRLF at its end; folds are inside.
    pub value: Range<usize>,
}

/// A header block and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Block {
    /// The fields, in order.
    pub fields: Vec<Field>,
    /// From the first octet to the end of the last header line; the empty line is not in it.
    pub range: Range<usize>,
    /// Where the body starts: after the empty line, or at the end when there is none.
    pub body: usize,
    /// Whether the empty line is there.
    pub ended: bool,
    /// Where our own fields go: at the start, or after a first line that is no field.
    pub top: usize,
    /// A line that is neither a field nor a continuation, or a bare CR, LF or NUL.
    pub junk: bool,
    /// More fields or octets than the limits allow; the fields beyond are not listed.
    pub over: bool,
}

/// Bounds for [`scan`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Fields.
    pub fields: usize,
    /// Octets.
    pub bytes: usize,
}

/// Index the header block that starts at `region.start`.
pub(crate) fn scan(bytes: &[u8], region: Range<usize>, bounds: Bounds) -> Block {
    let mut block = Block { top: region.start, body: region.end, ..Block::default() };
    let mut at = region.start;
    while at < region.end {
        let end = memchr(b'\n', &bytes[at..region.end]).map_or(region.end, |n| at + n + 1);
        let line = &bytes[at..end];
        if line == b"\r\n" || line == b"\n" {
            block.ended = true;
            block.body = end;
            block.junk |= line == b"\n";
            break;
        }
        if end - region.start > bounds.bytes || block.fields.len() >= bounds.fields {
            block.over = true;
        }
        if !block.over {
            block.take(bytes, at..end, region.start);
        }
        at = end;
    }
    block.range = region.start..at;
    block
}

impl Block {
    fn take(&mut self, bytes: &[u8], line: Range<usize>, start: usize) {
        let text = &bytes[line.clone()];
        let content = text.strip_suffix(b"\r\n").unwrap_or(text);
        if content.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            self.junk = true;
        }
        let content_end = line.start + content.len();
        if matches!(content.first(), Some(b' ' | b'\t')) {
            match self.fields.last_mut() {
                Some(last) if last.all.end == line.start => {
                    last.all.end = line.end;
                    last.value.end = content_end;
                }
                _ => {
                    self.junk = true;
                    self.skip_first(&line, start);
                }
            }
            return;
        }
        let colon = memchr(b':', content);
        let name = content[..colon.unwrap_or_default()].trim_ascii_end();
        let Some(colon) = colon.filter(|_| !name.is_empty() && name.iter().all(u8::is_ascii_graphic)) else {
            self.junk = true;
            if text.starts_with(b"From ") {
                self.skip_first(&line, start);
            }
            return;
        };
        self.fields.push(Field {
            name: line.start..line.start + name.len(),
            all: line.clone(),
            value: line.start + colon + 1..content_end,
        });
    }

    /// A first line that belongs to nothing must stay first, or it would continue a field of ours.
    fn skip_first(&mut self, line: &Range<usize>, start: usize) {
        if self.fields.is_empty() && (line.start == start || self.top == line.start) {
            self.top = line.end;
        }
    }

    /// The fields called `name`.
    pub fn named<'a>(&'a self, bytes: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a Field> {
        self.fields.iter().filter(move |field| field.is(bytes, name))
    }

    /// The first field called `name`.
    pub fn first<'a>(&'a self, bytes: &'a [u8], name: &'a str) -> Option<&'a Field> {
        self.named(bytes, name).next()
    }
}

impl Field {
    /// Whether its name is `name`.
    pub fn is(&self, bytes: &[u8], name: &str) -> bool {
        bytes[self.name.clone()].eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value, unfolded, trimmed, octets that are no UTF-8 replaced.
    pub fn text(&self, bytes: &[u8]) -> String {
        unfold(&bytes[self.value.clone()])
    }

    /// The value, unfolded, encoded words decoded (RFC 2047).
    pub fn decoded(&self, bytes: &[u8]) -> String {
        let raw = &bytes[self.value.clone()];
        if memchr::memmem::find(raw, b"=?").is_none() {
            return unfold(raw);
        }
        let line = terminated(raw);
        match MessageStream::new(&line).parse_unstructured() {
            mail_parser::HeaderValue::Text(text) => text.trim().to_owned(),
            _ => unfold(raw),
        }
    }

    /// Whether a group stands in it (RFC 5322 3.4): readers differ on what they show of one.
    pub fn has_group(&self, bytes: &[u8]) -> bool {
        let line = terminated(&bytes[self.value.clone()]);
        matches!(MessageStream::new(&line).parse_address().as_address(), Some(mail_parser::Address::Group(_)))
    }

    /// The mailboxes in it, groups flattened: decoded display name and address as written.
    pub fn mailboxes(&self, bytes: &[u8]) -> Vec<(Option<String>, String)> {
        let line = terminated(&bytes[self.value.clone()]);
        let value = MessageStream::new(&line).parse_address();
        let Some(list) = value.as_address() else { return Vec::new() };
        list.iter()
            .map(|one| (one.name().map(str::to_owned), one.address().unwrap_or_default().trim().to_owned()))
            .collect()
    }
}

/// mail-parser reads a value up to the line end that is not followed by white space.
fn terminated(raw: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(raw.len() + 2);
    line.extend_from_slice(raw);
    line.extend_from_slice(b"\r\n");
    line
}

fn unfold(raw: &[u8]) -> String {
    let text: Cow<'_, str> = String::from_utf8_lossy(raw);
    if memchr::memchr2(b'\r', b'\n', raw).is_none() {
        return text.trim().to_owned();
    }
    text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect::<String>().trim().to_owned()
}

/// A parameter of a structured field (RFC 2045 5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// Lower-case name.
    pub name: String,
    /// Value, unquoted.
    pub value: String,
    /// Where the value is, quotes included, counted from the start of the field's value.
    pub range: Range<usize>,
}

/// Split `type/subtype; name=value; …` into its lower-case first token and its parameters. Tolerant:
/// what cannot be read is skipped.
pub(crate) fn structured(value: &[u8]) -> (String, Vec<Parameter>) {
    let mut at = 0;
    let first = token_until(value, &mut at, b";");
    let mut parameters = Vec::new();
    while at < value.len() && parameters.len() < 64 {
        at += 1;
        let name = token_until(value, &mut at, b"=;");
        if value.get(at) != Some(&b'=') {
            continue;
        }
        at += 1;
        while value.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        let start = at;
        let text = if value.get(at) == Some(&b'"') {
            let text = quoted(value, &mut at);
            let mut end = at;
            // What stands behind the quotes goes with the value: readers differ on whether it is part of it.
            if !token_until(value, &mut at, b";").is_empty() {
                end = start + value[start..at].trim_ascii_end().len();
            }
            parameters.push(Parameter { name, value: text, range: start..end });
            continue;
        } else {
            token_until(value, &mut at, b";")
        };
        let end = start + value[start..at].trim_ascii_end().len();
        let text = text.split_ascii_whitespace().next().unwrap_or_default().to_owned();
        parameters.push(Parameter { name, value: unlowered(value, start..end, text), range: start..end });
    }
    (first, parameters)
}

/// Values keep their case (boundaries are case-sensitive); names do not.
fn unlowered(value: &[u8], range: Range<usize>, lower: String) -> String {
    let raw = String::from_utf8_lossy(&value[range]);
    match raw.get(..lower.len()) {
        Some(same) if same.eq_ignore_ascii_case(&lower) => same.to_owned(),
        _ => lower,
    }
}

/// Lower-case text up to one of `stops` outside a comment, trimmed; `at` is left on the stop.
fn token_until(value: &[u8], at: &mut usize, stops: &[u8]) -> String {
    let mut text = Vec::new();
    let mut depth = 0_usize;
    while let Some(&b) = value.get(*at) {
        match b {
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            b if depth == 0 && stops.contains(&b) => break,
            b if depth == 0 => text.push(if b.is_ascii_whitespace() { b' ' } else { b.to_ascii_lowercase() }),
            _ => {}
        }
        *at += 1;
    }
    String::from_utf8_lossy(&text).trim().to_owned()
}

fn quoted(value: &[u8], at: &mut usize) -> String {
    let mut text = Vec::new();
    *at += 1;
    while let Some(&b) = value.get(*at) {
        *at += 1;
        match b {
            b'"' => break,
            b'\\' => {
                if let Some(&next) = value.get(*at) {
                    text.push(next);
                    *at += 1;
                }
            }
            b'\r' | b'\n' => {}
            other => text.push(other),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Bounds = Bounds { fields: 100, bytes: 10_000 };

    #[test]
    fn fields_folds_and_the_empty_line() {
        let bytes = b"A: 1\r\nB : 2\r\n\t3\r\n\r\nbody\r\n";
        let block = scan(bytes, 0..bytes.len(), WIDE);
        assert_eq!(block.fields.len(), 2);
        assert_eq!(block.fields[1].text(bytes), "2\t3");
        assert!(block.fields[1].is(bytes, "b"));
        assert_eq!((block.ended, block.junk, block.over), (true, false, false));
        assert_eq!(&bytes[block.body..], b"body\r\n");
        assert_eq!(block.range, 0..17);
    }

    #[test]
    fn a_first_continuation_is_not_ours_to_swallow() {
        let bytes = b" stray\r\n more\r\nA: 1\r\n\r\n";
        let block = scan(bytes, 0..bytes.len(), WIDE);
        assert!(block.junk);
        assert_eq!(&bytes[block.top..], b"A: 1\r\n\r\n");
        for line in ["From a@x.nl Tue Nov 14 22:13:20 2023", "From -"] {
            let text = format!("{line}\r\nA: 1\r\n\r\n");
            let block = scan(text.as_bytes(), 0..text.len(), WIDE);
            assert_eq!(&text[block.top..], "A: 1\r\n\r\n", "a mailbox's own line stays first");
        }
    }

    #[test]
    fn promise_10_headers_are_bounded() {
        let bytes = b"A: 1\r\nB: 2\r\nC: 3\r\n\r\nbody";
        assert!(scan(bytes, 0..bytes.len(), Bounds { fields: 2, bytes: 100 }).over);
        assert!(scan(bytes, 0..bytes.len(), Bounds { fields: 9, bytes: 7 }).over);
        let block = scan(bytes, 0..bytes.len(), Bounds { fields: 2, bytes: 100 });
        assert_eq!(&bytes[block.body..], b"body", "the end is found all the same");
    }

    #[test]
    fn parameters_with_their_places() {
        let value = b" Multipart/Mixed (x;y); boundary=\"a b\\\"c\" ; Charset=UTF-8 ; x";
        let (kind, parameters) = structured(value);
        assert_eq!(kind, "multipart/mixed");
        assert_eq!((parameters[0].name.as_str(), parameters[0].value.as_str()), ("boundary", "a b\"c"));
        assert_eq!((parameters[1].name.as_str(), parameters[1].value.as_str()), ("charset", "UTF-8"));
        assert_eq!(&value[parameters[1].range.clone()], b"UTF-8");
        assert_eq!(structured(b"text/plain;;charset").0, "text/plain");
        let (_, parameters) = structured(b"a/b; charset=\"x\"\x83 y ; z=\"1\" (c)");
        assert_eq!((parameters[0].value.as_str(), parameters[0].range.clone()), ("x", 13..19));
        assert_eq!((parameters[1].value.as_str(), parameters[1].range.clone()), ("1", 24..27));
    }
}
