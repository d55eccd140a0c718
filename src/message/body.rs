//! What is written into one body part, and how it is spelled there (RULES L8, P12).
//!
//! Planned once per message: decoding, the place of the footer, placeholders, the form. Each copy then only
//! fills in its link. The raw octets around a splice stay as they are; a part is written anew as a whole
//! only when what must be said cannot be said in its transfer encoding or charset. Deliberately absent:
//! which parts are bodies (`structure`).

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem;

use super::charset::{Charset, TO_ASCII};
use super::footer::Footer;
use super::html;
use super::structure::{Coding, Part};
use super::transfer as code;

/// Links looked at in one part when looking for our own (promise 10).
const MAX_LINKS: usize = 512;
/// Longest line of ours or made longer by us (RFC 5322 2.1.1).
const MAX_LINE: usize = 998;

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
struct Edit {
    /// Decoded octets that it replaces.
    at: Range<usize>,
    slot: Slot,
    /// Octets around what the slot says.
    before: Vec<u8>,
    after: Vec<u8>,
    /// Whether the last CRLF of the slot's text belongs to the delimiter that follows.
    trim: bool,
}

/// How the changes are spelled.
#[derive(Debug, Clone)]
enum Form {
    /// Spliced into the raw octets, as they are or as quoted-printable; a raw range for each edit.
    Spliced { places: Vec<Range<usize>>, quoted: bool },
    /// Everything in `range` is written anew from these pieces.
    Written { range: Range<usize>, pieces: Vec<Vec<u8>>, coding: Spelling },
}

/// The transfer encoding of what is written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Quoted,
    Base64 { width: usize, last: bool },
}

/// Everything to be done to one body part.
#[derive(Debug, Clone)]
pub(crate) struct PartPlan {
    /// The raw body.
    pub body: Range<usize>,
    /// `text/plain` or `text/html`, for the ledger.
    pub media: String,
    /// Links in it that a reader can see; if one is ours, for this recipient, nothing is added.
    pub links: Vec<String>,
    /// New transfer encoding and charset, when the part is written anew as a whole.
    pub relabel: Option<Relabel>,
    /// Whether the body lacks the empty line that ends its header.
    lead: &'static [u8],
    html: bool,
    lf_only: bool,
    charset: Charset,
    edits: Vec<Edit>,
    form: Form,
}

/// What the header of a part must say after it is written anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relabel {
    /// Content-Transfer-Encoding.
    pub coding: &'static str,
    /// The charset parameter, when it changes.
    pub charset: Option<&'static str>,
}

/// What all parts of a message share.
pub(crate) struct Wish<'a> {
    /// Text and html footer.
    pub text: &'a Footer,
    pub html: &'a Footer,
    /// A link as long as the copies' links, for marketing.
    pub link: Option<&'a str>,
    pub next_hop_8bit: bool,
}

/// A replacement in the raw message.
pub(crate) type Splice = (Range<usize>, Vec<u8>);

/// Why a part cannot be edited inside; the message is wrapped instead.
pub(crate) type Reason = &'static str;

/// Plan the edit of `part`. `nested` says that it is in a multipart.
pub(crate) fn plan(bytes: &[u8], part: &Part, nested: bool, wish: &Wish<'_>) -> Result<PartPlan, Reason> {
    let raw = &bytes[part.body.clone()];
    let mut decoded: Cow<'_, [u8]> = match part.coding {
        Coding::SevenBit | Coding::EightBit | Coding::Binary => Cow::Borrowed(raw),
        Coding::QuotedPrintable => Cow::Owned(code::qp_decode(raw)),
        Coding::Base64 => Cow::Owned(code::base64_decode(raw).ok_or("base64 that cannot be read")?),
        Coding::Unknown => return Err("unknown transfer encoding"),
    };
    if part.parameters.iter().any(|p| p.name.starts_with("charset*")) {
        return Err("charset in a form that readers do not share");
    }
    let mut charset = Charset::of(part.parameter("charset").map(|p| p.value.as_str()));
    let mut convert = !charset.is_ascii_superset();
    if convert {
        let text = charset.decode(&decoded).ok_or("text that is not in its own charset")?;
        decoded = Cow::Owned(text.into_bytes());
        charset = Charset::Utf8;
    }
    let lead = lead(bytes, part, nested)?;
    let html = part.media == "text/html";
    if !html && is_pgp(&decoded) {
        return Err("PGP inline");
    }
    let lf_only = decoded.contains(&b'\n') && memmem::find(&decoded, b"\r\n").is_none();
    let mut found = if html { in_html(&decoded, charset, wish) } else { in_text(&decoded, nested, wish) };
    for edit in &mut found.edits {
        around_state(charset, &decoded, edit);
    }
    let footers = if html { wish.html } else { wish.text };
    let mut plan = PartPlan {
        body: part.body.clone(),
        media: part.media.clone(),
        links: found.links,
        relabel: None,
        lead,
        html,
        lf_only,
        charset,
        edits: found.edits,
        form: Form::Spliced { places: Vec::new(), quoted: false },
    };
    let writable = plan.contents(footers, wish.link.unwrap_or_default());
    if writable.is_none() && !convert {
        convert = true;
        decoded = plan.convert(&decoded)?;
    }
    let contents = plan.contents(footers, wish.link.unwrap_or_default()).ok_or("no common charset")?;
    plan.form = plan.choose(raw, part, &decoded, &contents, convert, wish.next_hop_8bit);
    if let Form::Written { coding, .. } = &plan.form {
        let (name, same) = match coding {
            Spelling::Quoted => ("quoted-printable", part.coding == Coding::QuotedPrintable),
            Spelling::Base64 { .. } => ("base64", true),
        };
        if convert || !same {
            plan.relabel = Some(Relabel { coding: name, charset: convert.then_some("utf-8") });
        }
    }
    Ok(plan)
}

/// The empty line that the part's header lacks: it was also the delimiter's.
fn lead(bytes: &[u8], part: &Part, nested: bool) -> Result<&'static [u8], Reason> {
    let header = &bytes[part.block.range.clone()];
    match nested && part.lacks_blank() {
        false => Ok(b""),
        true if header.is_empty() || header.ends_with(b"\n") => Ok(b"\r\n"),
        true => Err("a part that ends in its header"),
    }
}

/// Leave a double-byte state before our octets and enter it again after them (RFC 1468).
fn around_state(charset: Charset, decoded: &[u8], edit: &mut Edit) {
    if let Some(state) = charset.state(&decoded[..edit.at.start]) {
        let mut before = TO_ASCII.to_vec();
        before.append(&mut edit.before);
        edit.before = before;
        if edit.at.end < decoded.len() {
            edit.after.extend_from_slice(state);
        }
    }
}

fn is_pgp(text: &[u8]) -> bool {
    memmem::find_iter(text, b"-----BEGIN PGP ").any(|at| at == 0 || text[at - 1] == b'\n')
}

struct Found {
    edits: Vec<Edit>,
    links: Vec<String>,
}

/// Spellings of a placeholder, as authors and their tools write it.
const PLACEHOLDERS: [(&[u8], Slot); 6] = [
    (b"{{unsubscribe_url}}", Slot::Link),
    (b"{{ unsubscribe_url }}", Slot::Link),
    (b"%7B%7Bunsubscribe_url%7D%7D", Slot::Link),
    (b"%7b%7bunsubscribe_url%7d%7d", Slot::Link),
    (b"{{sender_identity}}", Slot::Identity),
    (b"{{ sender_identity }}", Slot::Identity),
];

fn placeholders(text: &[u8], link: bool) -> Vec<Edit> {
    let mut edits = Vec::new();
    for (spelling, slot) in PLACEHOLDERS {
        if slot == Slot::Link && !link {
            continue;
        }
        edits.extend(memmem::find_iter(text, spelling).map(|at| Edit {
            at: at..at + spelling.len(),
            slot,
            before: Vec::new(),
            after: Vec::new(),
            trim: false,
        }));
    }
    edits.sort_by_key(|edit| edit.at.start);
    edits
}

/// The footer that is still needed beside the placeholders that a reader sees.
fn missing(edits: &[Edit], wish: &Wish<'_>, shown: impl Fn(usize) -> bool) -> Option<Slot> {
    let has = |slot| edits.iter().any(|edit| edit.slot == slot && shown(edit.at.start));
    let (identity, link) = (!has(Slot::Identity), wish.link.is_some() && !has(Slot::Link));
    (identity || link).then_some(Slot::Footer { identity, link })
}

fn in_html(decoded: &[u8], charset: Charset, wish: &Wish<'_>) -> Found {
    let text = charset.masked(decoded);
    let scan = html::scan(&text);
    let mut edits = placeholders(&text, wish.link.is_some());
    let links = links(&text, |at| !scan.hides(at), true);
    if let Some(slot) = missing(&edits, wish, |at| !scan.hides(at)) {
        // A placeholder in what the footer has to close stays in front of it.
        let place = edits.partition_point(|edit| edit.at.start < scan.insert);
        let at = scan.insert.max(edits.get(place.wrapping_sub(1)).map_or(0, |edit| edit.at.end));
        let closer = if scan.closer.is_empty() { String::new() } else { format!("\r\n{}", scan.closer) };
        let before = format!("{closer}\r\n").into_bytes();
        edits.insert(place, Edit { at: at..at, slot, before, after: Vec::new(), trim: false });
    }
    Found { edits, links }
}

fn in_text(decoded: &[u8], nested: bool, wish: &Wish<'_>) -> Found {
    let mut edits = placeholders(decoded, wish.link.is_some());
    let links = links(decoded, |_| true, false);
    if let Some(slot) = missing(&edits, wish, |_| true) {
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
    Found { edits, links }
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

/// The links that a reader can see in a part that is not edited.
pub(crate) fn links_of(bytes: &[u8], part: &Part) -> Vec<String> {
    let raw = &bytes[part.body.clone()];
    let decoded = match part.coding {
        Coding::QuotedPrintable => Cow::Owned(code::qp_decode(raw)),
        Coding::Base64 => Cow::Owned(code::base64_decode(raw).unwrap_or_default()),
        _ => Cow::Borrowed(raw),
    };
    if part.media != "text/html" {
        return links(&decoded, |_| true, false);
    }
    let scan = html::scan(&decoded);
    links(&decoded, |at| !scan.hides(at), true)
}

/// The links that a reader can see.
fn links(text: &[u8], shown: impl Fn(usize) -> bool, html: bool) -> Vec<String> {
    let mut links: Vec<String> = Vec::new();
    // From the end, where an earlier footer is.
    for colon in memmem::rfind_iter(text, b"://") {
        let lower = text[colon.saturating_sub(5)..colon].to_ascii_lowercase();
        let scheme = match () {
            () if lower.ends_with(b"https") => 5,
            () if lower.ends_with(b"http") => 4,
            () => continue,
        };
        let start = colon - scheme;
        if !shown(start) {
            continue;
        }
        let len = text[start..]
            .iter()
            .take(2048)
            .take_while(|b| b.is_ascii_graphic() && !b"<>\"'".contains(b))
            .count();
        let mut link = String::from_utf8_lossy(&text[start..start + len]).into_owned();
        if html {
            link = link.replace("&amp;", "&").replace("&#38;", "&");
        }
        // What ends a sentence ends no link of ours.
        link.truncate(link.trim_end_matches(|c| ".,;:!?)]}*_".contains(c)).len());
        if links.len() >= MAX_LINKS {
            break;
        }
        if !links.contains(&link) {
            links.push(link);
        }
    }
    links
}

impl PartPlan {
    /// What the slots say in this copy, in the charset of the part; `None` when it cannot be written.
    fn contents(&self, footer: &Footer, link: &str) -> Option<Vec<Vec<u8>>> {
        self.edits
            .iter()
            .map(|edit| {
                let mut text = match edit.slot {
                    Slot::Footer { identity, link: with } => footer.render(identity, with.then_some(link)),
                    Slot::Link if self.html => html::escape(link),
                    Slot::Link => link.to_owned(),
                    Slot::Identity => footer.inline.clone(),
                };
                if edit.trim {
                    text.truncate(text.trim_end_matches("\r\n").len());
                }
                let encoded = self.charset.encode(&text)?;
                let content = [&edit.before, &encoded, &edit.after].map(Vec::as_slice).concat();
                Some(if self.lf_only { without_cr(&content) } else { content })
            })
            .collect()
    }

    /// Turn the text into UTF-8, edits and all.
    fn convert(&mut self, decoded: &[u8]) -> Result<Cow<'static, [u8]>, Reason> {
        const LOST: Reason = "text that is not in its own charset";
        let mut text = String::with_capacity(decoded.len());
        let mut from = 0;
        for edit in &mut self.edits {
            text += &self.charset.decode(&decoded[from..edit.at.start]).ok_or(LOST)?;
            let start = text.len();
            text += &self.charset.decode(&decoded[edit.at.clone()]).ok_or(LOST)?;
            from = edit.at.end;
            edit.at = start..text.len();
            // Escape sequences have no place in UTF-8.
            edit.before.retain(|b| *b != 0x1b);
            if edit.before.starts_with(&TO_ASCII[1..]) {
                edit.before.drain(..TO_ASCII.len() - 1);
            }
            if let Some(at) = edit.after.iter().position(|b| *b == 0x1b) {
                edit.after.truncate(at);
            }
        }
        text += &self.charset.decode(&decoded[from..]).ok_or(LOST)?;
        self.charset = Charset::Utf8;
        Ok(Cow::Owned(text.into_bytes()))
    }

    fn choose(
        &self,
        raw: &[u8],
        part: &Part,
        decoded: &[u8],
        contents: &[Vec<u8>],
        convert: bool,
        next_hop_8bit: bool,
    ) -> Form {
        let whole =
            |coding| Form::Written { range: part.body.clone(), pieces: pieces(decoded, &self.edits), coding };
        let last = raw.ends_with(b"\n") || raw.is_empty();
        match part.coding {
            Coding::Base64 if convert => whole(Spelling::Base64 { width: code::base64_width(raw), last }),
            Coding::Base64 => self.base64_tail(raw, part, decoded, last),
            _ if convert => whole(Spelling::Quoted),
            Coding::QuotedPrintable if raw.is_ascii() || next_hop_8bit => {
                Form::Spliced { places: quoted_places(raw, &self.edits), quoted: true }
            }
            Coding::QuotedPrintable => whole(Spelling::Quoted),
            coding => {
                let eight = coding != Coding::SevenBit && next_hop_8bit;
                let ascii = contents.iter().all(|c| c.is_ascii()) && (next_hop_8bit || raw.is_ascii());
                let short = self.edits.iter().zip(contents).all(|(edit, content)| {
                    let kept = code::line_around(raw, edit.at.clone());
                    kept + code::longest_line(content) <= MAX_LINE || edit.slot_has_own_lines(content)
                });
                if (ascii || eight) && short {
                    let places = self.edits.iter().map(|edit| edit.at.clone()).collect();
                    Form::Spliced { places, quoted: false }
                } else {
                    whole(Spelling::Quoted)
                }
            }
        }
    }

    /// Write base64 anew from the line in which the first change is.
    fn base64_tail(&self, raw: &[u8], part: &Part, decoded: &[u8], last: bool) -> Form {
        let first = self.edits.first().map_or(decoded.len(), |edit| edit.at.start);
        let (place, from) = code::base64_line(raw, first);
        let edits: Vec<Edit> = self
            .edits
            .iter()
            .map(|edit| Edit { at: edit.at.start - from..edit.at.end - from, ..edit.clone() })
            .collect();
        Form::Written {
            range: part.body.start + place..part.body.end,
            pieces: pieces(&decoded[from..], &edits),
            coding: Spelling::Base64 { width: code::base64_width(raw), last },
        }
    }

    /// Whether anything is put in.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty() && self.relabel.is_none()
    }

    /// The replacements for one copy, in order; `None` when the text cannot be written, which planning
    /// has ruled out for links of ASCII.
    pub fn splices(&self, original: &[u8], footer: &Footer, link: &str) -> Option<Vec<Splice>> {
        let contents = self.contents(footer, link)?;
        let start = self.body.start;
        let mut splices = Vec::with_capacity(contents.len() + 1);
        if !self.lead.is_empty() {
            splices.push((start..start, self.lead.to_vec()));
        }
        match &self.form {
            Form::Spliced { places, quoted } => {
                let raw = &original[self.body.clone()];
                for (place, content) in places.iter().zip(contents) {
                    let out = match quoted {
                        true => code::qp_splice(raw, place.start, place.end, &content),
                        false => content,
                    };
                    splices.push((start + place.start..start + place.end, out));
                }
            }
            Form::Written { range, pieces, coding } => {
                let mut text = Vec::with_capacity(pieces.iter().map(Vec::len).sum::<usize>() + 1024);
                for (number, piece) in pieces.iter().enumerate() {
                    text.extend_from_slice(piece);
                    if let Some(content) = contents.get(number) {
                        text.extend_from_slice(content);
                    }
                }
                let out = match *coding {
                    Spelling::Quoted => code::qp_encode(&text),
                    Spelling::Base64 { width, last } => {
                        code::base64_encode(&text, width, if last { b"\n" } else { b"" })
                    }
                };
                splices.push((range.clone(), out));
            }
        }
        Some(splices)
    }
}

impl Edit {
    /// Whether what is put in begins and ends on lines of its own, so that it lengthens no line.
    fn slot_has_own_lines(&self, content: &[u8]) -> bool {
        matches!(self.slot, Slot::Footer { .. })
            && code::longest_line(content) < MAX_LINE
            && !content.is_empty()
    }
}

/// The decoded text cut at the edits, what they replace left out.
fn pieces(decoded: &[u8], edits: &[Edit]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::with_capacity(edits.len() + 1);
    let mut from = 0;
    for edit in edits {
        pieces.push(decoded[from..edit.at.start].to_vec());
        from = edit.at.end;
    }
    pieces.push(decoded[from..].to_vec());
    pieces
}

/// Raw ranges of the edits in a quoted-printable part.
fn quoted_places(raw: &[u8], edits: &[Edit]) -> Vec<Range<usize>> {
    let wanted: Vec<usize> = edits.iter().flat_map(|edit| [edit.at.start, edit.at.end]).collect();
    let found = code::qp_places(raw, &wanted);
    found.chunks(2).map(|pair| pair[0]..pair[pair.len() - 1]).collect()
}

fn without_cr(content: &[u8]) -> Vec<u8> {
    content.iter().copied().filter(|b| *b != b'\r').collect()
}
