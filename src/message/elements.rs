//! Which elements are open at a place in html, and whether a reader sees what stands there (WHATWG HTML 13.2.6).
//!
//! A stack of open elements without a tree: enough to say whether something hides the place, whether it is in
//! svg or math, where other rules hold, and which end tags lead out of what hides. Where browsers disagree or a
//! rule is left out, it says *hidden*: then a footer is added, which is harmless. Deliberately absent: style
//! sheets; foster parenting; formatting elements that are opened again, but for those that hide.

use std::ops::Range;

use super::names::*;

/// Most elements open at once, and what lies deeper is not followed (promise 10).
const MAX_OPEN: usize = 1024;

/// Has no content and no end tag.
const VOID: u16 = 1;
/// WHATWG HTML 13.2.4.2, "special": an end tag of another kind does not reach across it.
const SPECIAL: u16 = 1 << 1;
/// "formatting": goes on behind the end of what it was opened in.
const FORMATTING: u16 = 1 << 2;
/// Ends a scope: end tags of blocks do not reach across it.
const BARRIER: u16 = 1 << 3;
/// Its content is not shown, or cannot be clicked, or not by all readers.
const HIDES: u16 = 1 << 4;
/// Its start ends an open paragraph.
const ENDS_P: u16 = 1 << 5;
/// Leads out of svg and math (WHATWG HTML 13.2.6.5).
const LEAVES: u16 = 1 << 6;
/// A part of a table.
const TABULAR: u16 = 1 << 7;
/// In svg or math.
const FOREIGN: u16 = 1 << 8;
/// In math rather than svg.
const IN_MATH: u16 = 1 << 9;
/// In svg or math, but what it contains is html.
const INTEGRATION: u16 = 1 << 10;
/// Shown when it has the attribute `open`.
const FOLDS: u16 = 1 << 11;
const HEADING: u16 = 1 << 12;

/// What an element of html is.
fn traits(name: Name) -> u16 {
    let letters = name.to_le_bytes();
    // None that matters is longer.
    let len = usize::from(letters[15]).min(15);
    match &letters[..len] {
        b"a" | b"font" => FORMATTING,
        b"b" | b"big" | b"code" | b"em" | b"i" | b"nobr" | b"s" | b"small" | b"strike" | b"strong"
        | b"tt" | b"u" => FORMATTING | LEAVES,
        b"span" | b"sub" | b"sup" | b"var" | b"ruby" => LEAVES,
        b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" => SPECIAL | ENDS_P | LEAVES | HEADING,
        b"p" | b"div" | b"center" | b"blockquote" | b"dl" | b"ol" | b"ul" | b"menu" | b"pre" | b"listing"
        | b"li" | b"dd" | b"dt" => SPECIAL | ENDS_P | LEAVES,
        b"address" | b"article" | b"aside" | b"dir" | b"fieldset" | b"figcaption" | b"figure" | b"footer"
        | b"form" | b"header" | b"hgroup" | b"main" | b"nav" | b"search" | b"section" | b"summary" => {
            SPECIAL | ENDS_P
        }
        b"details" => SPECIAL | ENDS_P | FOLDS,
        b"dialog" => SPECIAL | ENDS_P | FOLDS,
        b"table" => SPECIAL | BARRIER | LEAVES | TABULAR,
        b"td" | b"th" | b"caption" => SPECIAL | BARRIER | TABULAR,
        b"tr" | b"tbody" | b"thead" | b"tfoot" | b"colgroup" => SPECIAL | TABULAR,
        b"template" | b"select" | b"object" => SPECIAL | BARRIER | HIDES,
        b"applet" | b"marquee" => SPECIAL | BARRIER,
        b"button" | b"noscript" => SPECIAL | HIDES,
        b"datalist" | b"option" | b"optgroup" | b"video" | b"audio" | b"meter" | b"progress" | b"canvas"
        | b"rp" => HIDES,
        b"img" | b"embed" | b"hr" | b"br" | b"meta" => VOID | SPECIAL | LEAVES,
        b"area" | b"base" | b"basefont" | b"bgsound" | b"col" | b"frame" | b"image" | b"input"
        | b"keygen" | b"link" | b"param" | b"source" | b"track" | b"wbr" => VOID | SPECIAL,
        b"head" | b"body" => LEAVES,
        _ => 0,
    }
}

#[derive(Debug, Clone, Copy)]
struct Open {
    name: Name,
    is: u16,
    /// Where its name stands in the text.
    at: usize,
    len: usize,
}

impl Open {
    fn is(&self, what: u16) -> bool {
        self.is & what != 0
    }
}

/// A tag as the tokenizer read it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tag {
    pub name: Name,
    /// Where the name stands.
    pub at: Range<usize>,
    /// It says that it is not shown: `hidden`, `style="display:none"` and the like.
    pub hidden: bool,
    /// It has the attribute `open`.
    pub open: bool,
    /// It has an attribute that leads `<font>` out of svg.
    pub font: bool,
    pub self_closing: bool,
}

/// The stack of open elements.
#[derive(Debug)]
pub(crate) struct Elements {
    open: Vec<Open>,
    /// How many of them hide what is in them.
    hiding: usize,
    /// How many of these go on behind the end of what they were opened in.
    lasting: usize,
    /// The open anchor that is looked at: how many elements were open before it.
    anchor: Option<usize>,
    /// Elements that may still be looked at: without a bound, unclosed elements would make this quadratic.
    work: usize,
    /// Whether it became more than is followed.
    pub lost: bool,
}

impl Elements {
    /// For a text of `len` octets.
    pub fn new(len: usize) -> Self {
        Self {
            open: Vec::with_capacity(32),
            hiding: 0,
            lasting: 0,
            anchor: None,
            work: 8 * len + 65_536,
            lost: false,
        }
    }

    /// Whether something hides what stands here.
    pub fn hides(&self) -> bool {
        self.hiding > 0
    }

    /// Whether the rules of svg and math hold for what stands here.
    pub fn foreign(&self) -> bool {
        self.open.last().is_some_and(|top| top.is(FOREIGN) && !top.is(INTEGRATION))
    }

    /// Whether the anchor that was opened last is still open for certain.
    pub fn in_anchor(&self) -> bool {
        self.anchor.is_some()
    }

    /// A start tag; whether it is one of html, and not of svg or math.
    pub fn start(&mut self, tag: &Tag) -> bool {
        let name = tag.name;
        let mut is = traits(name);
        if self.foreign() {
            if is & LEAVES == 0 && !(name == FONT && tag.font) {
                self.start_foreign(tag);
                return false;
            }
            self.leave_foreign();
        }
        // What contains text only is the tokenizer's.
        let text = matches!(name, SCRIPT | STYLE | TITLE | TEXTAREA | XMP | IFRAME | NOEMBED | NOFRAMES);
        if is & VOID != 0 || text || matches!(name, HTML | HEAD | BODY | FRAMESET) {
            return true;
        }
        if matches!(name, SVG | MATH) {
            is = FOREIGN | HIDES | if name == MATH { IN_MATH } else { 0 };
            if !tag.self_closing {
                self.push(tag, is);
            }
            return true;
        }
        if is & FOLDS != 0 && !tag.open {
            is |= HIDES;
        }
        if is & TABULAR != 0 && name != TABLE && !self.clear_table(name) {
            return true;
        }
        if is & ENDS_P != 0 {
            self.close_within(P, |open| open.is(BARRIER) || open.name == BUTTON);
        }
        match name {
            A => {
                if let Some(at) = self.find(|open| open.name == A, |open| open.is(BARRIER)) {
                    self.remove(at);
                }
            }
            LI => self.close_item(&[LI]),
            DD | DT => self.close_item(&[DD, DT]),
            BUTTON | SELECT => self.close_within(name, |open| open.is(BARRIER)),
            _ => {}
        }
        let above = |open: &Open| match name {
            OPTION | OPTGROUP => open.name == OPTION,
            _ => is & HEADING != 0 && open.is(HEADING),
        };
        if self.open.last().is_some_and(above) {
            self.truncate(self.open.len() - 1);
        }
        self.push(tag, is);
        if name == A {
            self.anchor = self.open.len().checked_sub(1);
        }
        true
    }

    fn start_foreign(&mut self, tag: &Tag) {
        if tag.self_closing {
            return;
        }
        let math = self.open.last().is_some_and(|top| top.is(IN_MATH));
        let integration = match tag.name {
            FOREIGNOBJECT | DESC | TITLE => !math,
            MI | MO | MN | MS | MTEXT => math,
            _ => false,
        };
        // Whether html or math is in it depends on an attribute of it.
        self.lost |= tag.name == ANNOTATION_XML;
        let kind = FOREIGN | if math { IN_MATH } else { 0 };
        self.push(tag, kind | if integration { INTEGRATION | BARRIER | SPECIAL } else { 0 });
    }

    fn leave_foreign(&mut self) {
        while self.foreign() {
            self.truncate(self.open.len() - 1);
        }
    }

    /// An end tag.
    pub fn end(&mut self, name: Name) {
        // Other than for start tags, the rules hold in what contains html, too.
        if self.open.last().is_some_and(|top| top.is(FOREIGN)) {
            if matches!(name, P | BR) {
                self.leave_foreign();
            } else {
                let found = self.find(|open| open.name == name, |open| !open.is(FOREIGN));
                if let Some(at) = found.filter(|at| self.open[*at].is(FOREIGN)) {
                    return self.pop(at);
                }
            }
        }
        let is = traits(name);
        let same = |open: &Open| open.name == name && !open.is(FOREIGN);
        match name {
            TEMPLATE => {
                if let Some(at) = self.find(same, |_| false) {
                    self.pop(at);
                }
            }
            P => self.close_within(name, |open| open.is(BARRIER) || open.name == BUTTON),
            LI => {
                let lists = [OL, UL];
                self.close_within(name, |open| open.is(BARRIER) || lists.contains(&open.name));
            }
            _ if is & HEADING != 0 => {
                if let Some(at) = self.find(|open| open.is(HEADING), |open| open.is(BARRIER)) {
                    self.pop(at);
                }
            }
            _ if is & TABULAR != 0 => self.close_within(name, ends_table),
            _ if is & FORMATTING != 0 => {
                let Some(at) = self.find(same, |open| open.is(BARRIER)) else { return };
                match self.open[at + 1..].iter().any(|open| open.is(SPECIAL)) {
                    true => self.remove(at),
                    false => self.pop_one(at),
                }
            }
            _ if is & SPECIAL != 0 => self.close_within(name, |open| open.is(BARRIER)),
            _ => {
                if let Some(at) = self.find(same, |open| open.is(SPECIAL)) {
                    self.pop(at);
                }
            }
        }
    }

    /// The end tags that lead out of all that hides, and `None` when there are none that certainly do.
    pub fn closers(&self, html: &[u8]) -> Option<String> {
        let mut out = String::new();
        if self.hiding == 0 {
            return Some(out);
        }
        let first = self.open.iter().position(|open| open.is(HIDES))?;
        for open in self.open[first..].iter().rev() {
            let name = html.get(open.at..open.at + open.len)?;
            if !name.iter().all(u8::is_ascii_graphic) {
                // What is neither can stay open: other end tags reach across it.
                if open.is(HIDES | FOREIGN) {
                    return None;
                }
                continue;
            }
            out.push_str("</");
            out.extend(name.iter().map(|b| char::from(*b)));
            out.push('>');
        }
        Some(out)
    }

    fn push(&mut self, tag: &Tag, mut is: u16) {
        if tag.hidden {
            is |= HIDES;
        }
        if self.open.len() >= MAX_OPEN {
            self.lost = true;
            return;
        }
        self.hiding += usize::from(is & HIDES != 0);
        self.lasting += usize::from(is & (HIDES | FORMATTING) == HIDES | FORMATTING);
        self.open.push(Open { name: tag.name, is, at: tag.at.start, len: tag.at.len() });
    }

    /// The innermost element that is `wanted`, if none that is a `barrier` lies in it.
    fn find(&mut self, wanted: impl Fn(&Open) -> bool, barrier: impl Fn(&Open) -> bool) -> Option<usize> {
        for (at, open) in self.open.iter().enumerate().rev() {
            if self.work == 0 {
                self.lost = true;
                return None;
            }
            self.work -= 1;
            if wanted(open) {
                return Some(at);
            }
            if barrier(open) {
                return None;
            }
        }
        None
    }

    /// Close the innermost element of that name, if no `barrier` lies in it.
    fn close_within(&mut self, name: Name, barrier: impl Fn(&Open) -> bool) {
        let wanted = |open: &Open| open.name == name && !open.is(FOREIGN);
        if let Some(at) = self.find(wanted, barrier) {
            self.pop(at);
        }
    }

    /// A list item ends the one before it in the same list.
    fn close_item(&mut self, names: &[Name]) {
        let passed = [ADDRESS, DIV, P];
        let wanted = |open: &Open| names.contains(&open.name) && !open.is(FOREIGN);
        if let Some(at) = self.find(wanted, |open| open.is(SPECIAL) && !passed.contains(&open.name)) {
            self.pop(at);
        }
    }

    /// Before a row or cell: back to where it belongs. Without a table the tag counts for nothing.
    fn clear_table(&mut self, name: Name) -> bool {
        let Some(table) = self.find(ends_table, |_| false) else { return false };
        if self.open[table].name == SELECT {
            return false;
        }
        let bodies = [TBODY, THEAD, TFOOT];
        let stays = |open: &Open| match name {
            TD | TH => open.name == TR || bodies.contains(&open.name),
            TR => bodies.contains(&open.name),
            _ => false,
        };
        if let Some(keep) = self.open[table + 1..].iter().position(|open| !stays(open)) {
            self.pop(table + 1 + keep);
        }
        true
    }

    /// Close the element at `at` and all in it, but for formatting that hides: that goes on. So does other
    /// formatting then, for it may be the one that the next end tag of its name ends.
    fn pop(&mut self, at: usize) {
        if self.hiding == 0 {
            return self.truncate(at);
        }
        self.forget_anchor(at);
        let mut kept = at;
        for from in at..self.open.len() {
            let open = self.open[from];
            if open.is(FORMATTING) && self.lasting > 0 {
                self.open[kept] = open;
                kept += 1;
            } else {
                self.hiding -= usize::from(open.is(HIDES));
            }
        }
        self.open.truncate(kept);
    }

    /// As [`Self::pop`], and the one at `at` goes in any case.
    fn pop_one(&mut self, at: usize) {
        self.pop(at + 1);
        self.remove(at);
    }

    fn truncate(&mut self, len: usize) {
        self.forget_anchor(len);
        if self.hiding > 0 {
            for open in self.open[len..].iter().filter(|open| open.is(HIDES)) {
                self.hiding -= 1;
                self.lasting -= usize::from(open.is(FORMATTING));
            }
        }
        self.open.truncate(len);
    }

    fn remove(&mut self, at: usize) {
        self.forget_anchor(at);
        self.work = self.work.saturating_sub(self.open.len() - at);
        let open = self.open.remove(at);
        self.hiding -= usize::from(open.is(HIDES));
        self.lasting -= usize::from(open.is(HIDES) && open.is(FORMATTING));
    }

    /// An anchor at `from` or behind it is no longer open, or not certainly.
    fn forget_anchor(&mut self, from: usize) {
        self.anchor = self.anchor.filter(|anchor| *anchor < from);
    }
}

/// What the parts of a table do not reach across.
fn ends_table(open: &Open) -> bool {
    [TABLE, TEMPLATE, SELECT].contains(&open.name) && !open.is(FOREIGN)
}
