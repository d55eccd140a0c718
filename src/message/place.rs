//! Where things go in the decoded text of a body part (RULES L8, P12): the author's placeholders, the
//! footer, and the links that are there already.
//!
//! Deliberately absent: how it is spelled there (`body`).

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem;

use super::body::{Reason, Wish};
use super::charset::Charset;
use super::html;
use super::structure::{Coding, Part};
use super::transfer as code;

/// Links looked at in one part when looking for our own (promise 10): each is opened for each copy.
const MAX_LINKS: usize = 512;

/// What a copy puts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The footer: who sends, the way out, or both.
    Footer { identity: bool, link: bool },
    /// The link, where the author placed `{{unsubscribe_url}}`.
    Link,
    /// The identity on one line, where the author placed `{{sender_identity}}`.
    Identity,
}

/// One change of the decoded text.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    /// Decoded octets that it replaces.
    pub at: Range<usize>,
    pub slot: Slot,
    /// Octets around what the slot says.
    pub before: Vec<u8>,
    pub after: Vec<u8>,
    /// Whether the last CRLF of the slot's text belongs to the delimiter that follows.
    pub trim: bool,
}

impl Edit {
    /// Whether what is put in begins and ends on lines of its own, so that it lengthens no line.
    pub fn slot_has_own_lines(&self, content: &[u8]) -> bool {
        matches!(self.slot, Slot::Footer { .. })
            && code::longest_line(content) < super::body::MAX_LINE
            && !content.is_empty()
    }
}

/// What a part gets, and the links that are in it already.
pub(crate) struct Found {
    pub edits: Vec<Edit>,
    pub links: Vec<String>,
}

/// Spellings of a placeholder, as authors and their tools write it: all begin with one of the two marks.
const PLACEHOLDERS: [(&[u8], Slot); 6] = [
    (b"{{unsubscribe_url}}", Slot::Link),
    (b"{{ unsubscribe_url }}", Slot::Link),
    (b"%7B%7Bunsubscribe_url%7D%7D", Slot::Link),
    (b"%7b%7bunsubscribe_url%7d%7d", Slot::Link),
    (b"{{sender_identity}}", Slot::Identity),
    (b"{{ sender_identity }}", Slot::Identity),
];
const MARKS: [&[u8]; 2] = [b"{{", b"%7"];

/// The author's placeholders, in order; `None` when there are more than the limit.
fn placeholders(text: &[u8], wish: &Wish<'_>) -> Option<Vec<Edit>> {
    let mut edits = Vec::new();
    for at in MARKS.iter().flat_map(|mark| memmem::find_iter(text, mark)) {
        let found = PLACEHOLDERS.iter().find(|(spelling, _)| text[at..].starts_with(spelling));
        let Some((spelling, slot)) = found.filter(|(_, slot)| *slot != Slot::Link || wish.link.is_some())
        else {
            continue;
        };
        if edits.len() >= wish.placeholders {
            return None;
        }
        let at = at..at + spelling.len();
        edits.push(Edit { at, slot: *slot, before: Vec::new(), after: Vec::new(), trim: false });
    }
    edits.sort_by_key(|edit| edit.at.start);
    Some(edits)
}

/// The footer that is still needed beside the placeholders that a reader sees and can use.
fn missing(text: &[u8], edits: &[Edit], wish: &Wish<'_>, shown: impl Fn(usize) -> bool) -> Option<Slot> {
    let has = |slot| {
        edits.iter().any(|edit| {
            edit.slot == slot
                && shown(edit.at.start)
                && (slot != Slot::Link || stands_alone(text, edit.at.end))
        })
    };
    let (identity, link) = (!has(Slot::Identity), wish.link.is_some() && !has(Slot::Link));
    (identity || link).then_some(Slot::Footer { identity, link })
}

/// What may end the sentence around a link.
const PUNCTUATION: &[u8] = b".,;:!?)]*_";

/// Octets that a link goes on with.
fn continues(octet: u8) -> bool {
    octet.is_ascii_graphic() && !b"<>\"'`\\^|".contains(&octet)
}

/// Whether a link that ends at `end` is a link of its own: with more glued to it, it would lead nowhere.
fn stands_alone(text: &[u8], end: usize) -> bool {
    text[end..].iter().take_while(|b| continues(**b)).all(|b| PUNCTUATION.contains(b))
}

/// The changes of an html part.
pub(crate) fn in_html(decoded: &[u8], charset: Charset, wish: &Wish<'_>) -> Result<Found, Reason> {
    let text = charset.masked(decoded);
    let scan = html::scan(&text);
    let mut edits = placeholders(&text, wish).ok_or(Reason::Over)?;
    let shown = |at| scan.shows(at);
    let links = links(&text, wish.link, shown, true);
    if let Some(slot) = missing(&text, &edits, wish, shown) {
        if let Some(why) = scan.unfit {
            return Err(Reason::Wrap(why));
        }
        if let Slot::Footer { identity, link } = slot {
            let link = wish.link.filter(|_| link);
            let footer = wish.html.render(identity, link);
            if !scan.spares(&footer, link.map(html::escape).as_deref()) {
                return Err(Reason::Wrap("html with a style sheet that hides the footer"));
            }
        }
        // A placeholder in what the footer has to close stays in front of it.
        let place = edits.partition_point(|edit| edit.at.start < scan.insert);
        let at = scan.insert.max(edits.get(place.wrapping_sub(1)).map_or(0, |edit| edit.at.end));
        let closer = if scan.closer.is_empty() { String::new() } else { format!("\r\n{}", scan.closer) };
        let before = format!("{closer}\r\n").into_bytes();
        edits.insert(place, Edit { at: at..at, slot, before, after: Vec::new(), trim: false });
    }
    Ok(Found { edits, links })
}

/// The changes of a text part.
pub(crate) fn in_text(decoded: &[u8], nested: bool, wish: &Wish<'_>) -> Result<Found, Reason> {
    let mut edits = placeholders(decoded, wish).ok_or(Reason::Over)?;
    let links = links(decoded, wish.link, |_| true, false);
    if let Some(slot) = missing(decoded, &edits, wish, |_| true) {
        let signature = signature(decoded);
        let at = signature.unwrap_or(decoded.len());
        let head = &decoded[..at];
        let before: &[u8] = if head.is_empty() || ends_with_empty_line(head) {
            b""
        } else if head.ends_with(b"\n") {
            b"\r\n"
        } else {
            b"\r\n\r\n"
        };
        let after: &[u8] = if signature.is_some() { b"\r\n" } else { b"" };
        let trim = nested && signature.is_none() && !decoded.ends_with(b"\n");
        let place = edits.partition_point(|edit| edit.at.start < at);
        let edit = Edit { at: at..at, slot, before: before.to_vec(), after: after.to_vec(), trim };
        edits.insert(place, edit);
    }
    Ok(Found { edits, links })
}

fn ends_with_empty_line(text: &[u8]) -> bool {
    text.ends_with(b"\r\n\r\n") || text.ends_with(b"\n\n") || matches!(text, b"\r\n" | b"\n")
}

/// Start of the signature that the last `-- ` line opens (RFC 3676 4.3); a bare `--` counts near the end.
fn signature(text: &[u8]) -> Option<usize> {
    let mut end = text.len();
    let mut lines = 0;
    loop {
        let start = memchr::memrchr(b'\n', &text[..end]).map_or(0, |n| n + 1);
        let line = &text[start..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line == b"-- " || (line == b"--" && lines < 12) {
            return Some(start);
        }
        if start == 0 {
            return None;
        }
        end = start - 1;
        lines += 1;
    }
}

/// The links that a reader can see in a part that is not edited, as far as they may be ours.
pub(crate) fn links_of(bytes: &[u8], part: &Part, ours: Option<&str>) -> Vec<String> {
    let raw = &bytes[part.body.clone()];
    let decoded = match part.coding {
        Coding::QuotedPrintable => Cow::Owned(code::qp_decode(raw)),
        Coding::Base64 => Cow::Owned(code::base64_decode(raw).unwrap_or_default()),
        _ => Cow::Borrowed(raw),
    };
    if part.media != "text/html" {
        return links(&decoded, ours, |_| true, false);
    }
    let scan = html::scan(&decoded);
    links(&decoded, ours, |at| scan.shows(at), true)
}

/// Scheme and host of a link, to the slash after it.
fn origin(link: &str) -> &str {
    link.match_indices('/').nth(2).map_or(link, |(slash, _)| &link[..=slash])
}

/// The links that a reader can see and that go where this copy's own link goes; no other can be ours, and
/// a text may have hundreds of thousands of them.
fn links(text: &[u8], ours: Option<&str>, shown: impl Fn(usize) -> bool, html: bool) -> Vec<String> {
    let mut links: Vec<String> = Vec::new();
    let Some(origin) = ours.map(origin).filter(|origin| !origin.is_empty()) else { return links };
    let mut starts: Vec<usize> = Vec::new();
    for start in memmem::find_iter(text, origin.as_bytes()) {
        // The last ones count: an earlier footer is at the end.
        if starts.len() == 2 * MAX_LINKS {
            starts.drain(..MAX_LINKS);
        }
        starts.push(start);
    }
    for &start in starts.iter().rev().take(MAX_LINKS).filter(|start| shown(**start)) {
        let len =
            text[start..].iter().take(2048).take_while(|b| continues(**b) && !b"{}".contains(b)).count();
        let mut link = String::from_utf8_lossy(&text[start..start + len]).into_owned();
        if html {
            link = link.replace("&amp;", "&").replace("&#38;", "&");
        }
        // What ends a sentence ends no link of ours.
        let end = link.bytes().rposition(|b| !PUNCTUATION.contains(&b)).map_or(0, |n| n + 1);
        link.truncate(end);
        if !links.contains(&link) {
            links.push(link);
        }
    }
    links
}
