//! The syntax of CSS, as far as rules have to be told apart (CSS Syntax 3): works on octets, copies nothing that it
//! need not. Deliberately absent: what any of it means (`style`).

use std::borrow::Cow;

use memchr::memmem;

/// Without comments and escapes.
pub(crate) fn plain(css: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', css).is_none() && memmem::find(css, b"/*").is_none() {
        return Cow::Borrowed(css);
    }
    let mut out = Vec::with_capacity(css.len());
    let mut at = 0;
    while at < css.len() {
        match css[at] {
            b'/' if css[at..].starts_with(b"/*") => at = comment_end(css, at),
            b'\\' => {
                let (octet, next) = escape(css, at);
                out.extend(octet);
                at = next;
            }
            octet => {
                out.push(octet);
                at += 1;
            }
        }
    }
    Cow::Owned(out)
}

pub(crate) fn comment_end(css: &[u8], at: usize) -> usize {
    memmem::find(&css[at + 2..], b"*/").map_or(css.len(), |n| at + 2 + n + 2)
}

/// The escape at `at`: what it stands for, when that is ASCII, and where it ends (CSS Syntax 3, 4.3.7).
fn escape(css: &[u8], at: usize) -> (Option<u8>, usize) {
    let digits = css[at + 1..].iter().take(6).take_while(|b| b.is_ascii_hexdigit()).count();
    let end = at + 1 + digits;
    if digits == 0 {
        return (css.get(end).copied().filter(u8::is_ascii), (end + 1).min(css.len()));
    }
    let code =
        css[at + 1..end].iter().fold(0, |code, b| code << 4 | char::from(*b).to_digit(16).unwrap_or(0));
    let octet = u8::try_from(code).ok().filter(u8::is_ascii);
    (octet, end + usize::from(css.get(end).is_some_and(u8::is_ascii_whitespace)))
}

/// Where what begins at `at` ends: a comment, a string, an escape, what is in brackets, or one octet.
pub(crate) fn skip(css: &[u8], at: usize) -> usize {
    let mut open: Vec<u8> = Vec::new();
    let mut at = at;
    loop {
        let Some(&octet) = css.get(at) else { return css.len() };
        at = match octet {
            b'/' if css[at..].starts_with(b"/*") => comment_end(css, at),
            b'"' | b'\'' => string_end(css, at, octet),
            b'\\' => escape(css, at).1,
            b'(' if css[..at].len() > 2 && css[at - 3..at].eq_ignore_ascii_case(b"url") => url_end(css, at),
            b'(' | b'[' => {
                open.push(if octet == b'(' { b')' } else { b']' });
                at + 1
            }
            other => {
                if open.last() == Some(&other) {
                    open.pop();
                }
                at + 1
            }
        };
        if open.is_empty() {
            return at;
        }
    }
}

/// A string that is not closed ends with its line.
fn string_end(css: &[u8], at: usize, quote: u8) -> usize {
    let mut at = at + 1;
    while let Some(&octet) = css.get(at) {
        match octet {
            b'\\' => at += 2,
            b'\n' => return at,
            other if other == quote => return at + 1,
            _ => at += 1,
        }
    }
    css.len()
}

/// `url(` without quotes goes on to the next `)` whatever stands there; with quotes it is as any other bracket.
fn url_end(css: &[u8], at: usize) -> usize {
    let inner = &css[at + 1..];
    if matches!(inner.trim_ascii_start().first(), Some(b'"' | b'\'')) {
        return at + 1 + inner.len() - inner.trim_ascii_start().len();
    }
    memchr::memchr(b')', inner).map_or(css.len(), |n| at + 1 + n + 1)
}

/// The selectors of a list.
pub(crate) fn split(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let mut at = start;
        list.get(start)?;
        while at < list.len() && list[at] != b',' {
            at = skip(list, at);
        }
        let selector = &list[start..at];
        start = at + 1;
        Some(selector)
    })
}

/// The identifier at `at` and its end; `None` in it when it is not known how it would be written in html.
pub(crate) fn identifier(css: &[u8], at: usize) -> Option<(Option<Vec<u8>>, usize)> {
    let (mut word, mut known) = (Vec::new(), true);
    let mut end = at;
    while let Some(&octet) = css.get(end) {
        match octet {
            b'\\' => {
                let (octet, next) = escape(css, end);
                known &= octet.is_some();
                word.extend(octet);
                end = next;
            }
            b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | 0x80.. => {
                word.push(octet);
                end += 1;
            }
            _ => break,
        }
    }
    let named = end > at && !(css[at].is_ascii_digit());
    named.then_some((known.then_some(word), end))
}
