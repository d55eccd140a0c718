//! Which part of a message is what, by offsets into the original bytes (RFC 2045, 2046).
//!
//! A header-block scan and a boundary scan; nothing is decoded, so that a large attachment costs one pass
//! of memchr. A boundary line counts only when it is exactly the boundary, so that one boundary may be
//! the beginning of another. Where readers are known to disagree about the structure, `ambiguous` is set
//! and the message is wrapped rather than edited inside.

use std::ops::Range;

use memchr::memmem;

use super::Limits;
use super::header::{Block, Bounds, Field, Parameter, scan, structured};

/// Lines that begin like a delimiter and are none, looked into per multipart (promise 10).
const MAX_DOUBTS: usize = 16;

/// Content-Transfer-Encoding (RFC 2045 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    SevenBit,
    EightBit,
    Binary,
    QuotedPrintable,
    Base64,
    /// Anything else: readers disagree about what to do with it.
    Unknown,
}

/// One entity: the message itself, or a part in it.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Its header.
    pub block: Block,
    /// Its body.
    pub body: Range<usize>,
    /// `type/subtype`, lower-case; the default of its place when there is none or it cannot be read.
    pub media: String,
    /// Parameters of Content-Type.
    pub parameters: Vec<Parameter>,
    /// Transfer encoding.
    pub coding: Coding,
    /// Whether it is shown only when asked for: `Content-Disposition: attachment`, or a file name.
    pub attachment: bool,
    /// Whether `Content-Disposition` says so, and not only a file name does.
    pub detached: bool,
    /// Whether its body is nothing but white space.
    pub blank: bool,
    /// Whether there is not even the empty line between its two delimiters: nothing can stand there.
    pub void: bool,
    /// Content-ID, angle brackets included.
    pub id: Option<String>,
    /// The parts in it, by index; empty for a leaf.
    pub children: Vec<usize>,
}

/// All parts of a message; the message itself is the first.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub parts: Vec<Part>,
    /// Nesting, parts or headers beyond the limits.
    pub over: bool,
    /// Readers may disagree about where parts begin and end, or what they are.
    pub ambiguous: bool,
    /// Placeholders that may be filled in per part.
    pub placeholders: usize,
}

/// What the gateway sees in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// These leaf parts are what a reader shows; they can be edited.
    Bodies(Vec<usize>),
    /// Must not be touched inside (RULES P12); the word says why.
    Opaque(&'static str),
    /// There is nothing to write a footer into.
    Bare,
}

impl Part {
    /// Whether it is of a kind that a footer can be written into.
    fn is_text(&self) -> bool {
        matches!(self.media.as_str(), "text/plain" | "text/html")
    }

    /// A parameter of Content-Type.
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|p| p.name == name)
    }

    /// Whether its body starts without the empty line that would end its header.
    pub fn lacks_blank(&self) -> bool {
        !self.block.ended
    }
}

/// Index the whole of `bytes`.
pub(crate) fn index(bytes: &[u8], limits: &Limits) -> Tree {
    let mut indexer = Indexer {
        bytes,
        limits: *limits,
        fields: 0,
        doubts: Vec::new(),
        tree: Tree { parts: Vec::new(), over: false, ambiguous: false, placeholders: limits.placeholders },
    };
    indexer.entity(0..bytes.len(), "text/plain", 0);
    let Indexer { mut tree, doubts, .. } = indexer;
    tree.ambiguous |= !doubts.iter().all(|(at, name)| tree.declares(bytes, *at, name));
    tree
}

struct Indexer<'a> {
    bytes: &'a [u8],
    limits: Limits,
    fields: usize,
    /// Lines that begin like a delimiter: where, and the boundary that they would be a delimiter of.
    doubts: Vec<(usize, Vec<u8>)>,
    tree: Tree,
}

impl Indexer<'_> {
    /// Index one entity and what is in it; its number.
    fn entity(&mut self, region: Range<usize>, default: &str, depth: usize) -> usize {
        let bounds = Bounds {
            fields: self.limits.headers.saturating_sub(self.fields),
            bytes: self.limits.header_bytes,
        };
        let block = scan(self.bytes, region.clone(), bounds);
        self.fields += block.fields.len();
        self.tree.over |= block.over;
        // A part's own header with junk in it: some readers end the header there, others do not.
        self.tree.ambiguous |= depth > 0 && block.junk;
        let mut part = self.part(block, region.end, default);
        part.void = depth > 0 && region.is_empty() && self.bytes[region.end..].starts_with(b"--");
        let number = self.tree.parts.len();
        let multipart = part.media.starts_with("multipart/");
        let boundary = part.parameter("boundary").map(|p| p.value.clone());
        let digest = part.media == "multipart/digest";
        let body = part.body.clone();
        if multipart && !matches!(part.coding, Coding::SevenBit | Coding::EightBit | Coding::Binary) {
            self.tree.ambiguous = true;
        }
        self.tree.parts.push(part);
        if !multipart {
            return number;
        }
        if depth >= self.limits.depth {
            self.tree.over = true;
            return number;
        }
        let regions = boundary
            .filter(|b| !b.is_empty() && b.len() <= 200)
            .map(|b| self.split(body, b.as_bytes()))
            .unwrap_or_default();
        self.tree.ambiguous |= regions.is_empty();
        let default = if digest { "message/rfc822" } else { "text/plain" };
        for region in regions {
            if self.tree.parts.len() >= self.limits.parts {
                self.tree.over = true;
                break;
            }
            let child = self.entity(region, default, depth + 1);
            self.tree.parts[number].children.push(child);
        }
        self.show(number);
        number
    }

    /// What takes the place of its siblings, or stands for them, is shown whatever file name it has.
    fn show(&mut self, number: usize) {
        let shown = match self.tree.parts[number].media.as_str() {
            "multipart/alternative" => self.tree.parts[number].children.clone(),
            "multipart/related" => self.tree.root_of(number).into_iter().collect(),
            _ => return,
        };
        for child in shown {
            let part = &mut self.tree.parts[child];
            part.attachment &= part.detached || !part.is_text();
        }
    }

    fn part(&mut self, block: Block, end: usize, default: &str) -> Part {
        let body = block.body.min(end)..end;
        let bytes = self.bytes;
        let (mut media, mut parameters) = (String::new(), Vec::new());
        if let Some(field) = block.first(bytes, "Content-Type") {
            (media, parameters) = structured(&bytes[field.value.clone()]);
            self.tree.ambiguous |= block.named(bytes, "Content-Type").count() > 1;
            self.tree.ambiguous |= duplicated(&parameters);
            if !is_media(&media) {
                // RFC 2045 5.2: what cannot be read is plain text, but readers guess differently.
                self.tree.ambiguous |= !media.is_empty();
                media.clear();
            }
        }
        if media.is_empty() {
            media = default.to_owned();
        }
        let transfer = block.first(bytes, "Content-Transfer-Encoding");
        let coding = transfer.map_or(Coding::SevenBit, |field| coding(&field.text(bytes)));
        self.tree.ambiguous |= block.named(bytes, "Content-Transfer-Encoding").count() > 1;
        let detached = self.is_detached(&block, &media);
        let attachment = detached || self.is_named(&block, &media, &parameters);
        let blank = bytes[body.clone()].trim_ascii().is_empty();
        let id = block.first(self.bytes, "Content-ID").map(|field| field.text(self.bytes));
        Part {
            block,
            body,
            media,
            parameters,
            coding,
            attachment,
            detached,
            blank,
            void: false,
            id,
            children: Vec::new(),
        }
    }

    /// Whether a leaf says of itself that it is an attachment.
    fn is_detached(&self, block: &Block, media: &str) -> bool {
        !media.starts_with("multipart/") && self.disposition(block).0 == "attachment"
    }

    /// Whether a leaf has a file name.
    fn is_named(&self, block: &Block, media: &str, parameters: &[Parameter]) -> bool {
        let named = |p: &[Parameter], name: &str| {
            p.iter().any(|p| p.name.split('*').next() == Some(name) && !p.value.is_empty())
        };
        !media.starts_with("multipart/")
            && (named(&self.disposition(block).1, "filename") || named(parameters, "name"))
    }

    fn disposition(&self, block: &Block) -> (String, Vec<Parameter>) {
        let field = block.first(self.bytes, "Content-Disposition");
        field.map(|f: &Field| structured(&self.bytes[f.value.clone()])).unwrap_or_default()
    }

    /// The regions between the lines that are exactly `--boundary`.
    fn split(&mut self, body: Range<usize>, boundary: &[u8]) -> Vec<Range<usize>> {
        let mut delimiter = b"--".to_vec();
        delimiter.extend_from_slice(boundary);
        let mut regions = Vec::new();
        let mut open: Option<usize> = None;
        let mut doubts = 0;
        let text = &self.bytes[body.clone()];
        for hit in memmem::find_iter(text, &delimiter) {
            if hit > 0 && text[hit - 1] != b'\n' {
                continue;
            }
            let rest = &text[hit + delimiter.len()..];
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |n| n + 1);
            let line = rest[..end].trim_ascii_end();
            let closing = line == b"--";
            if !closing && !line.is_empty() {
                // The beginning of another boundary, or a reader-dependent delimiter (RFC 2046 5.1.1).
                doubts += 1;
                if doubts > MAX_DOUBTS {
                    self.tree.ambiguous = true;
                    return regions;
                }
                self.doubts.push((body.start + hit, [boundary, line].concat()));
                continue;
            }
            if let Some(start) = open.take() {
                let before = body.start + line_start(text, hit);
                regions.push(start..before.max(start));
            }
            if closing {
                return regions;
            }
            if regions.len() > self.limits.parts {
                self.tree.over = true;
                return regions;
            }
            open = Some(body.start + hit + delimiter.len() + end);
        }
        // The closing delimiter is missing: the last part goes to the end.
        if let Some(start) = open {
            regions.push(start..body.end.max(start));
        }
        regions
    }
}

/// Where the CRLF before a delimiter starts: it belongs to the delimiter.
fn line_start(text: &[u8], hit: usize) -> usize {
    match &text[..hit] {
        [.., b'\r', b'\n'] => hit - 2,
        [.., b'\n'] => hit - 1,
        _ => hit,
    }
}

fn duplicated(parameters: &[Parameter]) -> bool {
    ["boundary", "charset"].iter().any(|name| parameters.iter().filter(|p| p.name == *name).count() > 1)
}

fn is_media(text: &str) -> bool {
    text.split_once('/').is_some_and(|(kind, sub)| {
        let token = |t: &str| {
            !t.is_empty() && t.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b))
        };
        token(kind) && token(sub)
    })
}

/// Only what all readers understand alike: `quoted-printable;` is decoded by some and shown raw by others.
fn coding(value: &str) -> Coding {
    match value.trim().to_ascii_lowercase().as_str() {
        "" | "7bit" | "7-bit" | "7bit;" => Coding::SevenBit,
        "8bit" | "8-bit" | "8bit;" => Coding::EightBit,
        "binary" => Coding::Binary,
        "quoted-printable" => Coding::QuotedPrintable,
        "base64" => Coding::Base64,
        _ => Coding::Unknown,
    }
}

impl Tree {
    /// Whether the line at `at`, which reads `--` and `name`, is another multipart's delimiter: one that a header
    /// declares, or that something in a nested message does. What a body says counts for nothing: it may be
    /// written anew, and then it says it no more.
    fn declares(&self, bytes: &[u8], at: usize, name: &[u8]) -> bool {
        let open = name.strip_suffix(b"--").unwrap_or(name);
        let declared = |part: &Part| {
            part.media.starts_with("multipart/")
                && part.parameter("boundary").is_some_and(|p| [open, name].contains(&p.value.as_bytes()))
        };
        let nested = |part: &Part| {
            let text = &bytes[part.body.clone()];
            part.media.starts_with("message/")
                && part.body.contains(&at)
                && memmem::find_iter(text, open).any(|at| at > 0 && matches!(text[at - 1], b'=' | b'"'))
        };
        self.parts.iter().any(|part| declared(part) || nested(part))
    }

    /// What a reader shows of the message.
    pub fn shape(&self) -> Shape {
        self.shape_of(0)
    }

    fn shape_of(&self, number: usize) -> Shape {
        let part = &self.parts[number];
        let children = part.children.as_slice();
        match part.media.as_str() {
            _ if part.void => Shape::Bare,
            "text/plain" | "text/html" if !part.attachment => Shape::Bodies(vec![number]),
            "multipart/signed" => Shape::Opaque("signed"),
            "multipart/encrypted" => Shape::Opaque("encrypted"),
            "multipart/report" => Shape::Opaque("report"),
            "application/pkcs7-mime" | "application/x-pkcs7-mime" => Shape::Opaque("S/MIME"),
            "application/pgp-encrypted" | "application/pgp" => Shape::Opaque("encrypted"),
            "text/calendar" if !part.attachment => Shape::Opaque("calendar"),
            "multipart/alternative" => self.alternatives(children),
            "multipart/related" => self.root_of(number).map_or(Shape::Bare, |root| self.shape_of(root)),
            media if media.starts_with("multipart/") => {
                let shapes = |blank: bool| {
                    let some = children.iter().filter(move |child| blank || !self.parts[**child].blank);
                    some.map(|&child| self.shape_of(child)).find(|shape| *shape != Shape::Bare)
                };
                // An empty text before the letter is none: the footer would stand above it.
                shapes(false).or_else(|| shapes(true)).unwrap_or(Shape::Bare)
            }
            _ => Shape::Bare,
        }
    }

    /// Every alternative may be the one that is shown.
    fn alternatives(&self, children: &[usize]) -> Shape {
        let mut bodies = Vec::new();
        for &child in children {
            match self.shape_of(child) {
                Shape::Bodies(more) => bodies.extend(more),
                Shape::Opaque(why) => return Shape::Opaque(why),
                // Some readers show it in the place of the others, and some offer it beside them.
                Shape::Bare if self.is_detached_text(child) => return Shape::Opaque("detached alternative"),
                Shape::Bare => {}
            }
        }
        if bodies.is_empty() { Shape::Bare } else { Shape::Bodies(bodies) }
    }

    /// Whether it is, or stands for, a text that says of itself that it is an attachment.
    fn is_detached_text(&self, number: usize) -> bool {
        let part = &self.parts[number];
        match part.media.as_str() {
            "multipart/related" => self.root_of(number).is_some_and(|root| self.is_detached_text(root)),
            _ => part.detached && part.is_text(),
        }
    }

    /// The part that a multipart/related is about: the one that `start` names, or its first (RFC 2387 3.2).
    fn root_of(&self, number: usize) -> Option<usize> {
        let part = &self.parts[number];
        let named = part.parameter("start").and_then(|start| {
            part.children.iter().copied().find(|&child| self.parts[child].id.as_ref() == Some(&start.value))
        });
        named.or_else(|| part.children.first().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Tree {
        index(text.as_bytes(), &Limits::default())
    }

    #[test]
    fn p12_what_a_reader_shows() {
        let text = "Content-Type: multipart/mixed; boundary=a\r\n\r\npre\r\n--a\r\n\
            Content-Type: multipart/alternative; boundary=ab\r\n\r\n--ab\r\n\r\nplain\r\n--ab\r\n\
            Content-Type: text/html\r\n\r\n<p>\r\n--ab\r\nContent-Type: text/x-amp-html\r\n\r\n<p>\r\n\
            --ab--\r\n--a\r\nContent-Type: text/plain\r\n\r\nlater\r\n--a--\r\nepilogue\r\n";
        let tree = tree(text);
        assert_eq!(tree.shape(), Shape::Bodies(vec![2, 3]));
        assert_eq!(&text[tree.parts[2].body.clone()], "plain");
        assert_eq!(&text[tree.parts[3].body.clone()], "<p>");
        assert!(!tree.ambiguous && !tree.over, "a boundary may be the beginning of another");
    }

    #[test]
    fn p12_broken_boundaries() {
        let open = tree("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nno end\r\n");
        assert_eq!(open.shape(), Shape::Bodies(vec![1]));
        assert!(!open.ambiguous);
        let adjacent =
            tree("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n--x\r\n\r\nb\r\n--x--\r\n");
        assert_eq!(adjacent.parts.len(), 3);
        assert!(adjacent.parts[1].void);
        assert_eq!(adjacent.shape(), Shape::Bodies(vec![2]), "nothing fits between the first two");
        assert!(tree("Content-Type: multipart/mixed; boundary=x\r\n\r\nnothing\r\n").ambiguous);
        assert!(tree("Content-Type: multipart/mixed\r\n\r\n--x\r\n\r\nb\r\n--x--\r\n").ambiguous);
        assert!(
            tree("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x junk\r\n\r\nb\r\n--x--\r\n").ambiguous
        );
    }

    #[test]
    fn p12_a_longer_boundary_is_one_that_a_header_declares() {
        let with = |inner: &str| {
            tree(&format!("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n{inner}\r\n--x--\r\n"))
        };
        assert!(
            !with("Content-Type: multipart/mixed; boundary=xy\r\n\r\n--xy\r\n\r\nb\r\n--xy--\r\n").ambiguous
        );
        let nested = "Content-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=xy\r\n\r\n--xy\r\n\r\nb\r\n--xy--\r\n";
        assert!(!with(nested).ambiguous);
        // Found by the fuzzer: quoted-printable turned the `=` of the text into `=3D`.
        assert!(with("\r\nboundary=xy\r\n--xy\r\n").ambiguous);
    }

    #[test]
    fn p12_what_is_never_touched_inside() {
        for (media, why) in [
            ("multipart/signed; boundary=x", "signed"),
            ("multipart/encrypted; boundary=x", "encrypted"),
            ("multipart/report; boundary=x", "report"),
            ("application/pkcs7-mime", "S/MIME"),
            ("text/calendar; method=REQUEST", "calendar"),
        ] {
            let text = format!("Content-Type: {media}\r\n\r\n--x\r\n\r\nb\r\n--x--\r\n");
            assert_eq!(tree(&text).shape(), Shape::Opaque(why), "{media}");
        }
        assert_eq!(tree("Content-Type: application/pdf\r\n\r\nx").shape(), Shape::Bare);
        assert_eq!(tree("Content-Disposition: attachment\r\n\r\nx").shape(), Shape::Bare);
        assert_eq!(tree("").shape(), Shape::Bodies(vec![0]));
    }

    #[test]
    fn promise_10_nesting_and_parts_are_bounded() {
        let limits = Limits { depth: 2, parts: 4, ..Limits::default() };
        let mut deep = String::new();
        for level in 0..5 {
            deep += &format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n");
        }
        assert!(index(deep.as_bytes(), &limits).over);
        let wide =
            format!("Content-Type: multipart/mixed; boundary=x\r\n\r\n{}--x--", "--x\r\n\r\nb\r\n".repeat(9));
        let tree = index(wide.as_bytes(), &limits);
        assert!(tree.over && tree.parts.len() <= 4);
    }
}
