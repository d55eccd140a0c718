//! 8-bit parts for a next hop without 8BITMIME (RFC 6152 3; RULES P5), and what a part's header must say
//! after its body is written anew.

use bytes::Bytes;

use super::body::{Relabel, Splice};
use super::header::Field;
use super::structure::{Coding, Part, Tree};
use super::transfer as code;

/// The replacement of one part's body, and its new label.
#[derive(Debug, Clone)]
pub(crate) struct Recode {
    /// Which part.
    pub part: usize,
    pub splice: Splice,
    pub relabel: Option<Relabel>,
}

/// What makes a leaf 7-bit; `None` when it is already, `Err` when nothing can.
pub(crate) fn leaf(bytes: &[u8], number: usize, part: &Part) -> Result<Option<Recode>, &'static str> {
    let raw = &bytes[part.body.clone()];
    if raw.is_ascii() {
        return Ok(None);
    }
    let made = |out: Vec<u8>, coding| {
        let relabel = Some(Relabel { coding, charset: None });
        Ok(Some(Recode { part: number, splice: (part.body.clone(), out.into()), relabel }))
    };
    match part.coding {
        _ if part.media.starts_with("message/") => Err("an 8-bit message inside the message"),
        Coding::Base64 | Coding::Unknown => Err("8-bit octets in an encoding that has none"),
        Coding::QuotedPrintable => Ok(code::qp_recode(raw).map(|out| Recode {
            part: number,
            splice: (part.body.clone(), out.into()),
            relabel: None,
        })),
        _ if part.media.starts_with("text/") => made(code::qp_encode(raw), "quoted-printable"),
        _ => made(code::base64_encode(raw, 76, b""), "base64"),
    }
}

/// Everything that has to change so that `tree` has no 8-bit body, the parts in `except` left to others.
pub(crate) fn all(bytes: &[u8], tree: &Tree, except: &[usize]) -> Result<Vec<Recode>, &'static str> {
    let mut recodes = Vec::new();
    if bytes[tree.parts[0].body.clone()].is_ascii() {
        return Ok(recodes);
    }
    if tree.over || tree.ambiguous {
        return Err("a structure that cannot be recoded");
    }
    let mut open = vec![0];
    while let Some(number) = open.pop() {
        let part = &tree.parts[number];
        if number > 0 && !bytes[part.block.range.clone()].is_ascii() {
            return Err("8-bit octets in the header of a part");
        }
        if part.children.is_empty() {
            if !except.contains(&number) {
                recodes.extend(leaf(bytes, number, part)?);
            }
            continue;
        }
        let sealed = matches!(part.media.as_str(), "multipart/signed" | "multipart/encrypted");
        if sealed && !bytes[part.body.clone()].is_ascii() {
            return Err("8-bit octets under a signature");
        }
        if !gaps_are_ascii(bytes, tree, part) {
            return Err("8-bit octets between the parts");
        }
        if matches!(part.coding, Coding::EightBit | Coding::Binary) && !sealed {
            let relabel = Some(Relabel { coding: "7bit", charset: None });
            let at = part.body.start;
            recodes.push(Recode { part: number, splice: (at..at, Bytes::new()), relabel });
        }
        open.extend(&part.children);
    }
    Ok(recodes)
}

fn gaps_are_ascii(bytes: &[u8], tree: &Tree, part: &Part) -> bool {
    let mut at = part.body.start;
    let mut ascii = true;
    for child in part.children.iter().map(|&child| &tree.parts[child]) {
        ascii &= bytes[at..child.block.range.start.max(at)].is_ascii();
        at = child.body.end.max(at);
    }
    ascii && bytes[at..part.body.end.max(at)].is_ascii()
}

/// The header splices that put `relabel` in force.
pub(crate) fn relabel(bytes: &[u8], part: &Part, relabel: &Relabel) -> Vec<Splice> {
    let mut splices = Vec::new();
    let end = part.block.range.end;
    let mut added = Vec::new();
    if let Some(charset) = relabel.charset {
        match part.block.first(bytes, "Content-Type") {
            Some(field) => splices.push(with_charset(bytes, part, field, charset)),
            None => added.extend(format!("Content-Type: {}; charset={charset}\r\n", part.media).bytes()),
        }
    }
    match part.block.first(bytes, "Content-Transfer-Encoding") {
        Some(field) if field.text(bytes).eq_ignore_ascii_case(relabel.coding) => {}
        Some(field) => splices.push((field.value.clone(), format!(" {}", relabel.coding).into())),
        None => added.extend(format!("Content-Transfer-Encoding: {}\r\n", relabel.coding).bytes()),
    }
    splices.sort_by_key(|(range, _)| range.start);
    if !added.is_empty() {
        splices.push((end..end, added.into()));
    }
    splices
}

fn with_charset(bytes: &[u8], part: &Part, field: &Field, charset: &str) -> Splice {
    match part.parameter("charset") {
        Some(found) => {
            let start = field.value.start;
            (start + found.range.start..start + found.range.end, Bytes::copy_from_slice(charset.as_bytes()))
        }
        None if field.text(bytes).is_empty() => {
            (field.value.clone(), format!(" {}; charset={charset}", part.media).into())
        }
        None => {
            let text = &bytes[field.value.clone()];
            let kept = field.value.start + text.trim_ascii_end().len();
            // A line that is too long already gets no octet more.
            let joint = match text.trim_ascii_end().ends_with(b";") {
                true => "\r\n ",
                false if code::longest_line(text) > 900 => "\r\n ; ",
                false => ";\r\n ",
            };
            (kept..field.value.end, format!("{joint}charset={charset}").into())
        }
    }
}
