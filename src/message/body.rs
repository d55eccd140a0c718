//! What is written into one body part, and how it is spelled there (RULES L8, P12).
//!
//! Planned once per message: decoding, the place of the footer, placeholders, the form. Each copy then only
//! fills in its link. The raw octets around a splice stay as they are; a part is written anew as a whole
//! only when what must be said cannot be said in its transfer encoding or charset. Deliberately absent:
//! which parts are bodies (`structure`).

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use memchr::memmem;

use super::charset::{Charset, TO_ASCII};
use super::footer::Footer;
use super::html;
use super::place::{Edit, Slot, in_html, in_text};
use super::structure::{Coding, Part};
use super::transfer as code;

/// Longest line of ours or made longer by us (RFC 5322 2.1.1).
pub(crate) const MAX_LINE: usize = 998;

/// How the changes are spelled.
#[derive(Debug, Clone)]
enum Form {
    /// Spliced into the raw octets, as they are or as quoted-printable; a raw range for each edit.
    Spliced { places: Vec<Range<usize>>, quoted: bool },
    /// The whole part in quoted-printable, written anew once for all copies, which splice into that.
    Quoted { text: Bytes, places: Vec<Range<usize>> },
    /// Base64, from these pieces; what is before `range` stays.
    Base64 { range: Range<usize>, pieces: Vec<Vec<u8>>, width: usize, last: bool },
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
    /// Placeholders filled in per part, at most.
    pub placeholders: usize,
    pub next_hop_8bit: bool,
}

/// A replacement in the raw message; what is the same in all copies is shared by them.
pub(crate) type Splice = (Range<usize>, Bytes);

/// Why a part cannot be edited inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The message is wrapped instead.
    Wrap(&'static str),
    /// Beyond the limits (promise 10).
    Over,
}

impl From<&'static str> for Reason {
    fn from(why: &'static str) -> Self {
        Self::Wrap(why)
    }
}

/// Plan the edit of `part`. `nested` says that it is in a multipart.
pub(crate) fn plan(bytes: &[u8], part: &Part, nested: bool, wish: &Wish<'_>) -> Result<PartPlan, Reason> {
    let raw = &bytes[part.body.clone()];
    let mut decoded: Cow<'_, [u8]> = match part.coding {
        Coding::SevenBit | Coding::EightBit | Coding::Binary => Cow::Borrowed(raw),
        Coding::QuotedPrintable => Cow::Owned(code::qp_decode(raw)),
        Coding::Base64 => Cow::Owned(code::base64_decode(raw).ok_or("base64 that cannot be read")?),
        Coding::Unknown => return Err("unknown transfer encoding".into()),
    };
    if part.parameters.iter().any(|p| p.name.starts_with("charset*")) {
        return Err("charset in a form that readers do not share".into());
    }
    let mut charset = Charset::of(part.parameter("charset").map(|p| p.value.as_str()));
    let mut convert = charset.must_convert();
    if convert {
        let text = charset.decode(&decoded).ok_or("text that is not in its own charset")?;
        decoded = Cow::Owned(text.into_bytes());
        charset = Charset::Utf8;
    } else if !charset.takes_ascii(&decoded) {
        return Err("a charset in which ASCII may be something else".into());
    }
    let lead = lead(bytes, part, nested)?;
    let html = part.media == "text/html";
    if !html && is_pgp(&decoded) {
        return Err("PGP inline".into());
    }
    let lf_only = decoded.contains(&b'\n') && memmem::find(&decoded, b"\r\n").is_none();
    let found = if html { in_html(&decoded, charset, wish) } else { in_text(&decoded, nested, wish) };
    let mut found = found?;
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
    let link = wish.link.unwrap_or_default();
    let contents = match plan.contents(footers, link) {
        Some(contents) => contents,
        None if convert => return Err("no common charset".into()),
        None => {
            convert = true;
            decoded = plan.convert(&decoded)?;
            plan.contents(footers, link).ok_or("no common charset")?
        }
    };
    plan.form = plan.choose(raw, part, &decoded, &contents, convert, wish.next_hop_8bit);
    let written = match &plan.form {
        Form::Spliced { .. } => None,
        Form::Quoted { .. } => Some(("quoted-printable", part.coding == Coding::QuotedPrintable)),
        Form::Base64 { .. } => Some(("base64", true)),
    };
    if let Some((coding, same)) = written
        && (convert || !same)
    {
        plan.relabel = Some(Relabel { coding, charset: convert.then_some("utf-8") });
    }
    Ok(plan)
}

/// The empty line that the part's header lacks: it was also the delimiter's.
fn lead(bytes: &[u8], part: &Part, nested: bool) -> Result<&'static [u8], Reason> {
    let header = &bytes[part.block.range.clone()];
    match nested && part.lacks_blank() {
        false => Ok(b""),
        true if header.is_empty() || header.ends_with(b"\n") => Ok(b"\r\n"),
        true => Err("a part that ends in its header".into()),
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
                let mut content = self.charset.encode(text)?;
                content.splice(0..0, edit.before.iter().copied());
                content.extend_from_slice(&edit.after);
                if self.lf_only {
                    content.retain(|b| *b != b'\r');
                }
                Some(content)
            })
            .collect()
    }

    /// Turn the text into UTF-8, edits and all.
    fn convert(&mut self, decoded: &[u8]) -> Result<Cow<'static, [u8]>, Reason> {
        const LOST: Reason = Reason::Wrap("text that is not in its own charset");
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
        let quoted = || {
            let text = code::qp_encode(decoded);
            let places = quoted_places(&text, decoded.len(), &self.edits);
            Form::Quoted { text: text.into(), places }
        };
        let last = raw.ends_with(b"\n") || raw.is_empty();
        match part.coding {
            Coding::Base64 if convert => Form::Base64 {
                range: part.body.clone(),
                pieces: pieces(decoded, &self.edits),
                width: code::base64_width(raw),
                last,
            },
            Coding::Base64 => self.base64_tail(raw, part, decoded, last),
            _ if convert => quoted(),
            Coding::QuotedPrintable if raw.is_ascii() || next_hop_8bit => {
                Form::Spliced { places: quoted_places(raw, decoded.len(), &self.edits), quoted: true }
            }
            Coding::QuotedPrintable => quoted(),
            coding => {
                let eight = coding != Coding::SevenBit && next_hop_8bit;
                let ascii = contents.iter().all(|c| c.is_ascii()) && (next_hop_8bit || raw.is_ascii());
                if (ascii || eight) && self.keeps_lines_short(raw, contents) {
                    let places = self.edits.iter().map(|edit| edit.at.clone()).collect();
                    Form::Spliced { places, quoted: false }
                } else {
                    quoted()
                }
            }
        }
    }

    /// Whether no line becomes too long by what is put in, several places in one line included.
    fn keeps_lines_short(&self, raw: &[u8], contents: &[Vec<u8>]) -> bool {
        let mut within = self
            .edits
            .iter()
            .zip(contents)
            .filter(|(edit, content)| !edit.slot_has_own_lines(content))
            .map(|(edit, content)| (edit.at.clone(), code::longest_line(content)))
            .peekable();
        while let Some((mut places, mut put_in)) = within.next() {
            let mut between = 0;
            while let Some((at, more)) =
                within.next_if(|(at, _)| memchr::memchr(b'\n', &raw[places.end..at.start]).is_none())
            {
                between += at.start - places.end;
                places.end = at.end;
                put_in += more;
            }
            if code::line_around(raw, places) + between + put_in > MAX_LINE {
                return false;
            }
        }
        true
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
        Form::Base64 {
            range: part.body.start + place..part.body.end,
            pieces: pieces(&decoded[from..], &edits),
            width: code::base64_width(raw),
            last,
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
        let mut splices = Vec::with_capacity(2 * contents.len() + 2);
        if !self.lead.is_empty() {
            splices.push((start..start, Bytes::from_static(self.lead)));
        }
        match &self.form {
            Form::Spliced { places, quoted } => {
                let raw = &original[self.body.clone()];
                for (place, content) in places.iter().zip(contents) {
                    let out = match quoted {
                        true => code::qp_splice(raw, place.start, place.end, &content),
                        false => content,
                    };
                    splices.push((start + place.start..start + place.end, out.into()));
                }
            }
            Form::Quoted { text, places } => {
                let end = self.body.end;
                let mut range = self.body.clone();
                let mut from = 0;
                for (place, content) in places.iter().zip(contents) {
                    splices.push((range, text.slice(from..place.start)));
                    range = end..end;
                    let out = code::qp_splice(text, place.start, place.end, &content);
                    splices.push((range.clone(), out.into()));
                    from = place.end;
                }
                splices.push((range, text.slice(from..)));
            }
            Form::Base64 { range, pieces, width, last } => {
                let mut text = Vec::with_capacity(pieces.iter().map(Vec::len).sum::<usize>() + 1024);
                for (number, piece) in pieces.iter().enumerate() {
                    text.extend_from_slice(piece);
                    if let Some(content) = contents.get(number) {
                        text.extend_from_slice(content);
                    }
                }
                let out = code::base64_encode(&text, *width, if *last { b"\n" } else { b"" });
                splices.push((range.clone(), out.into()));
            }
        }
        Some(splices)
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

/// Raw ranges of the edits in a quoted-printable part that stands for `octets`.
fn quoted_places(raw: &[u8], octets: usize, edits: &[Edit]) -> Vec<Range<usize>> {
    let wanted: Vec<usize> = edits.iter().flat_map(|edit| [edit.at.start, edit.at.end]).collect();
    let found = code::qp_places(raw, octets, &wanted);
    found.chunks(2).map(|pair| pair[0]..pair[pair.len() - 1]).collect()
}
