//! What styles hide in html (CSS Syntax 3, Selectors 4), in `style` attributes and in `<style>` elements.
//!
//! Tolerant, and on the side of *hidden*: then a footer is added, which is harmless. A rule counts whatever the
//! media, the layer or the order it stands in, `@media print` left out. A selector can hit an element when its last
//! compound does, and its other compounds hit elements that began before. What cannot be judged here
//! (`:hover`, `:not(...)`, `[href^=x]`) hits. Deliberately absent: sheets from elsewhere (`@import`, `<link>`), which
//! few readers fetch; animations; boxes of no size, and text of the colour of its background.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem;

use super::css::{comment_end, identifier, plain, skip, split};
use super::names::{Name, pack};

/// Selectors of rules that hide, at most, and blocks in one another (promise 10).
const MAX_SELECTORS: usize = 4096;
const MAX_DEPTH: usize = 64;

/// What comparing the elements of a text of `len` octets with selectors may take.
fn work(len: usize) -> usize {
    len.saturating_mul(64).min(100_000_000) + 65_536
}

/// Properties that hide, as bits.
const DISPLAY: u8 = 1;
const VISIBILITY: u8 = 2;
const OPACITY: u8 = 4;
const OTHER: u8 = 8;

/// What a `style` attribute says of its element.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Inline {
    /// Properties by which it hides it.
    pub hides: u8,
    /// Properties by which no style sheet can hide it: inline and `!important` (CSS Cascade 5, 6.1).
    pub keeps: u8,
}

/// Read a `style` attribute.
pub(crate) fn inline(style: &[u8]) -> Inline {
    Inline { hides: hides(style), keeps: keeps(style) }
}

/// The properties by which declarations hide their element, for some readers at least.
fn hides(declarations: &[u8]) -> u8 {
    let plain = plain(declarations);
    let found = memchr::memchr_iter(b':', &plain).map(|colon| {
        let property = plain[..colon].trim_ascii_end();
        if !matches!(property.last().map(u8::to_ascii_lowercase), Some(b'y' | b'e' | b't')) {
            return 0;
        }
        let ends = |name: &str| {
            let from = property.len().checked_sub(name.len());
            from.is_some_and(|from| property[from..].eq_ignore_ascii_case(name.as_bytes()))
        };
        let value = plain[colon + 1..].trim_ascii_start();
        let says = |word: &str| {
            value.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
        };
        let zero = || {
            let number = value.iter().take_while(|b| b.is_ascii_digit() || **b == b'.');
            number.clone().count() > 0 && number.clone().all(|b| b"0.".contains(b))
        };
        // Worked out elsewhere.
        let unclear = || says("var(") || says("env(") || says("calc(");
        match () {
            () if ends("display") && (says("none") || unclear()) => DISPLAY,
            () if ends("content-visibility") && says("hidden") => OTHER,
            () if ends("visibility") && (says("hidden") || says("collapse") || unclear()) => VISIBILITY,
            () if ends("opacity") && (zero() || unclear()) => OPACITY,
            () if ends("mso-hide") && says("all") => OTHER,
            () if ends("max-height") && zero() => OTHER,
            () => 0,
        }
    });
    found.fold(0, |all, one| all | one)
}

/// The properties that declarations keep style sheets from hiding by. Where it is not plain what they say, none.
fn keeps(style: &[u8]) -> u8 {
    if memchr::memchr(b'!', style).is_none() || style.iter().any(|b| b"\"'\\*{}[]<&".contains(b)) {
        return 0;
    }
    let mut kept = 0;
    for declaration in style.split(|b| *b == b';') {
        let count = |octet: u8| declaration.iter().filter(|b| **b == octet).count();
        if count(b'(') != count(b')') {
            return 0;
        }
        let text = String::from_utf8_lossy(declaration).to_ascii_lowercase();
        let Some((property, value)) = text.split_once(':') else { continue };
        let Some((value, "important")) = value.split_once('!').map(|(v, i)| (v.trim(), i.trim())) else {
            continue;
        };
        kept |= match (property.trim(), value) {
            ("display", "block" | "inline" | "inline-block" | "table" | "table-cell" | "list-item") => {
                DISPLAY
            }
            ("visibility", "visible") => VISIBILITY,
            ("opacity", "1") => OPACITY,
            _ => 0,
        };
    }
    kept
}

/// An element as selectors see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    pub name: Name,
    pub id: &'a [u8],
    pub class: &'a [u8],
}

/// The rules of a text's style sheets that hide.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sheet {
    rules: Vec<Rule>,
    /// Compounds that may still be compared: without a bound, rules times tags would be quadratic.
    work: usize,
    /// Whether it became more than is followed.
    pub lost: bool,
}

/// One selector of a rule that hides.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    hides: u8,
    compounds: Vec<Compound>,
    /// How many of them an element was hit by, in their order.
    seen: usize,
}

/// Selectors without a combinator between them: `td.a#b`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Compound {
    name: Option<Name>,
    tests: Vec<Test>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Class(Vec<u8>),
    ClassHas(Vec<u8>),
    Id(Vec<u8>),
    IdHas(Vec<u8>),
}

impl Sheet {
    /// The rules of these sheets, for a text of `len` octets.
    pub fn read<'a>(sheets: impl Iterator<Item = &'a [u8]>, len: usize) -> Self {
        let mut sheet = Self { rules: Vec::new(), work: work(len), lost: false };
        sheets.for_each(|css| Reader { css, blocks: Vec::new(), sheet: &mut sheet }.read());
        sheet
    }

    /// Whether nothing can be hidden by it.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && !self.lost
    }

    /// The properties by which the element that begins here may be hidden. To be asked for each, in order.
    pub fn begin(&mut self, element: Element<'_>) -> u8 {
        let mut by = 0;
        for rule in &mut self.rules {
            let Some(next) = rule.compounds.get(rule.seen) else { continue };
            self.work = self.work.saturating_sub(1);
            if next.name.is_some_and(|name| name != element.name) {
                continue;
            }
            self.work =
                self.work.saturating_sub(next.tests.len() * (element.class.len() + element.id.len() + 8) / 8);
            if self.work == 0 {
                self.lost = true;
                return by;
            }
            if !next.tests.iter().all(|test| test.can_hit(element)) {
                continue;
            }
            match rule.seen + 1 == rule.compounds.len() {
                true => by |= rule.hides,
                false => rule.seen += 1,
            }
        }
        by
    }

    /// The same rules for what is put in somewhere: all that could stand before it does.
    pub fn anywhere(&self, len: usize) -> Self {
        let rule = |rule: &Rule| Rule { seen: rule.compounds.len() - 1, ..rule.clone() };
        Self { rules: self.rules.iter().map(rule).collect(), work: work(len), lost: self.lost }
    }

    fn add(&mut self, selectors: &[u8], hides: u8) {
        for selector in split(selectors) {
            let Some(compounds) = compounds(selector) else { continue };
            if self.rules.len() >= MAX_SELECTORS {
                self.lost = true;
                return;
            }
            self.rules.push(Rule { hides, compounds, seen: 0 });
        }
    }
}

impl Test {
    fn can_hit(&self, element: Element<'_>) -> bool {
        match self {
            Self::Class(word) => {
                let mut words = element.class.split(u8::is_ascii_whitespace);
                words.any(|class| class.eq_ignore_ascii_case(word)) || element.class.contains(&b'&')
            }
            Self::Id(id) => element.id.eq_ignore_ascii_case(id) || element.id.contains(&b'&'),
            Self::ClassHas(text) => has(element.class, text),
            Self::IdHas(text) => has(element.id, text),
        }
    }
}

fn has(value: &[u8], text: &[u8]) -> bool {
    value.contains(&b'&') || memmem::find(&value.to_ascii_lowercase(), &text.to_ascii_lowercase()).is_some()
}

/// A `{` that is not closed yet.
struct Block {
    /// What stands before it.
    prelude: Range<usize>,
    hides: u8,
}

/// Reads one style sheet.
struct Reader<'a> {
    css: &'a [u8],
    blocks: Vec<Block>,
    sheet: &'a mut Sheet,
}

impl Reader<'_> {
    /// Block by block, in any depth; what is not closed ends at the end, as it does in browsers.
    fn read(mut self) {
        let css = self.css;
        // A sheet in the message that is not a text of it.
        let imports = memmem::find_iter(css, b"@import").map(|at| &css[at..]);
        self.sheet.lost |= imports.into_iter().any(|rest| {
            let rest = rest.split(|b| *b == b';').next().unwrap_or_default();
            memmem::find(rest, b"data:").or(memmem::find(rest, b"cid:")).is_some()
        });
        let (mut start, mut at) = (0, 0);
        while at < css.len() {
            let next = skip(css, at);
            if next == at + 1 {
                match css[at] {
                    b'{' => self.open(start..at),
                    b'}' => {
                        self.declaration(start..at);
                        self.close();
                    }
                    b';' => self.declaration(start..at),
                    _ => {
                        at = next;
                        continue;
                    }
                }
                start = next;
            }
            at = next;
        }
        self.declaration(start..css.len());
        while !self.blocks.is_empty() {
            self.close();
        }
    }

    fn open(&mut self, prelude: Range<usize>) {
        self.sheet.lost |= self.blocks.len() >= MAX_DEPTH;
        if !self.sheet.lost {
            self.blocks.push(Block { prelude, hides: 0 });
        }
    }

    fn prelude(&self, block: &Block) -> Cow<'_, [u8]> {
        // What older readers took for a comment around the sheet (CSS Syntax 3, 4.2).
        let mut text = &self.css[block.prelude.clone()];
        loop {
            text = text.trim_ascii_start();
            text = match text.strip_prefix(b"<!--").or(text.strip_prefix(b"-->")) {
                Some(rest) => rest,
                None if text.starts_with(b"/*") => &text[comment_end(text, 0)..],
                None => return Cow::Borrowed(text),
            };
        }
    }

    /// A declaration counts for the block it is in, or for the one around that when it is `@media` and the like.
    fn declaration(&mut self, text: Range<usize>) {
        if self.blocks.is_empty() || memchr::memchr(b':', &self.css[text.clone()]).is_none() {
            return;
        }
        let hides = hides(&self.css[text]);
        if hides != 0 {
            let at = self.blocks.iter().rposition(|block| !self.prelude(block).starts_with(b"@"));
            if let Some(at) = at {
                self.blocks[at].hides |= hides;
            }
        }
    }

    fn close(&mut self) {
        let Some(block) = self.blocks.pop().filter(|block| block.hides != 0) else { return };
        let skipped = self.blocks.iter().any(|around| {
            let text = self.prelude(around).to_ascii_lowercase();
            let name = text.split(u8::is_ascii_whitespace).next().unwrap_or_default();
            name.ends_with(b"keyframes") || (name == b"@media" && text[6..].trim_ascii() == b"print")
        });
        if !skipped {
            let selectors = self.prelude(&block).into_owned();
            self.sheet.add(&selectors, block.hides);
        }
    }
}

/// The compounds of a selector; `None` when it hits no element as a whole, or is none.
fn compounds(selector: &[u8]) -> Option<Vec<Compound>> {
    let mut compounds: Vec<Compound> = Vec::new();
    let mut open = false;
    let mut at = 0;
    while let Some(&octet) = selector.get(at) {
        if octet.is_ascii_whitespace() || b">+~".contains(&octet) {
            open = false;
            at += 1;
            continue;
        }
        if selector[at..].starts_with(b"/*") {
            at = comment_end(selector, at);
            continue;
        }
        if !open {
            compounds.push(Compound::default());
            open = true;
        }
        let compound = compounds.last_mut()?;
        at = match octet {
            b'*' | b'&' => at + 1,
            // What stood before it is a namespace.
            b'|' => {
                compound.name = None;
                at + 1
            }
            b'.' | b'#' => {
                let (word, next) = identifier(selector, at + 1)?;
                let test = if octet == b'.' { Test::Class } else { Test::Id };
                compound.tests.extend(word.map(test));
                next
            }
            b'[' => {
                let end = skip(selector, at);
                compound.tests.extend(attribute(&selector[at + 1..end]));
                end
            }
            b':' => {
                let (word, next) = identifier(selector, at + 1)?;
                let part = [&b"before"[..], b"after", b"first-line", b"first-letter"];
                if word.is_some_and(|word| part.iter().any(|part| word.eq_ignore_ascii_case(part))) {
                    return None;
                }
                if selector.get(next) == Some(&b'(') { skip(selector, next) } else { next }
            }
            _ => {
                let (word, next) = identifier(selector, at)?;
                compound.name = word.map(|word| pack(&word));
                next
            }
        };
    }
    (!compounds.is_empty()).then_some(compounds)
}

/// What `[class=x]` and its like ask for, in any of their forms; of other attributes nothing is known.
fn attribute(inner: &[u8]) -> Option<Test> {
    let inner = inner.strip_suffix(b"]").unwrap_or(inner).trim_ascii();
    let (name, after) = identifier(inner, 0)?;
    let value = inner[after..].trim_ascii_start();
    let value = value.strip_prefix(b"=").or_else(|| value.get(1..)?.strip_prefix(b"="))?.trim_ascii();
    let value = match value.first() {
        Some(quote @ (b'"' | b'\'')) => value[1..].split(|b| b == quote).next()?,
        _ => value.split(u8::is_ascii_whitespace).next()?,
    };
    if value.is_empty() || value.contains(&b'\\') {
        return None;
    }
    match &*name?.to_ascii_lowercase() {
        b"class" => Some(Test::ClassHas(value.to_vec())),
        b"id" => Some(Test::IdHas(value.to_vec())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::names::{A, BODY, DIV, HTML, P, TD};
    use super::*;

    /// Whether `css` can hide the last of these elements: name, class and id.
    fn hit(css: &str, elements: &[(Name, &str, &str)]) -> bool {
        let mut sheet = Sheet::read([css.as_bytes()].into_iter(), 1000);
        let begin = |&(name, class, id): &(Name, &str, &str)| {
            sheet.begin(Element { name, class: class.as_bytes(), id: id.as_bytes() })
        };
        elements.iter().map(begin).last().unwrap_or(0) != 0
    }

    #[test]
    fn l8_a_rule_hides_what_its_selector_can_hit() {
        let page = [(HTML, "", ""), (BODY, "dark", ""), (TD, "A b", "c"), (P, "", ""), (DIV, "x sm:y", "z")];
        for css in [
            "div{display:none}",
            "DIV { Display : None !important }",
            "*{visibility:hidden}",
            ".x{opacity:0}",
            "#z{opacity:.0;}",
            "p, div {a:b;display:none",
            "div.x#z{mso-hide:all}",
            "div/**/.x{dis/**/play:/**/none}",
            ".sm\\:y{display:none}",
            ".\\73m\\3A y{d\\69splay:none}",
            "td div{display:none}",
            "body.dark>.a + div{display:none}",
            "html .b ~ p div:not(.q){display:none}",
            "div:hover{display:none}",
            "[class~=x]{display:none}",
            "div[class=\"x sm:y\"]{display:none}",
            "*[id^='z']{display:none}",
            "[data-x]{display:none}",
            "a[href], div[title]{display:none}",
            "@media (max-width:600px){.x{display:none}}",
            "@media screen{@supports(display:grid){.x{display:none}}}",
            "@layer a{.x{display:none}}",
            "@import url(\"x;y.css\"); @charset 'x'; .x{display:none}",
            "p{color:red;.x{display:none}}",
            ".x{@media all{display:none}}",
            "<!-- .x{display:none} -->",
            "<!--/* a { */--> .x{display:none}",
            "a{b:\"}\";c:url(;}{)} .x{display:none}",
            "}; .x{display:none}",
            "*|div{display:none}",
            "div{max-height:0px}",
            "div{--a:none;display:var(--a)}",
        ] {
            assert!(hit(css, &page), "{css}");
        }
        for css in [
            "a{display:none}",
            "div{display:block}",
            ".X1,.y{display:none}",
            "div.y{display:none}",
            "div p{display:none}",
            "div div{display:none}",
            ".q div{display:none}",
            "td + .q > div{display:none}",
            "div::before{display:none}",
            "div:after{display:none}",
            "@media print{div{display:none}}",
            "@keyframes a{0%{opacity:0} to{opacity:1}}",
            "@font-face{display:none}",
            "/* div{display:none} */",
            "a{b:\"} div{display:none} \"}",
            "[class=q]{display:none}",
            "0%{display:none}",
            "div{opacity:0.5}",
            "display:none",
        ] {
            assert!(!hit(css, &page), "{css}");
        }
    }

    #[test]
    fn l8_inline_and_important_stands_above_every_sheet() {
        let all = DISPLAY | VISIBILITY | OPACITY;
        for (style, hides, keeps) in [
            ("display:none", DISPLAY, 0),
            ("color:red; display : none", DISPLAY, 0),
            ("disp/**/lay:no\\6e e", DISPLAY, 0),
            ("display:block", 0, 0),
            ("display:block!important", 0, DISPLAY),
            ("Display: Inline-Block ! Important;visibility:visible!important;opacity:1!important", 0, all),
            ("display:block!important;display:none!important", DISPLAY, DISPLAY),
            ("display:blok!important;opacity:0.9!important", 0, 0),
            ("a:(;display:block!important;", 0, 0),
            ("a:';display:block!important;", 0, 0),
            ("color:light-dark(#fff,#000)!important;display:block!important", 0, DISPLAY),
            ("content-visibility:hidden;visibility:visible!important", OTHER, VISIBILITY),
        ] {
            assert_eq!(inline(style.as_bytes()), Inline { hides, keeps }, "{style}");
        }
    }

    #[test]
    fn promise_10_sheets_are_bounded() {
        let read = |css: &str| Sheet::read([css.as_bytes()].into_iter(), 1000);
        assert!(read(&".x{display:none}".repeat(MAX_SELECTORS + 1)).lost);
        assert!(read(&"a{".repeat(MAX_DEPTH + 1)).lost);
        let mut sheet = read(&"a.x{display:none}".repeat(1000));
        let class = "y ".repeat(1000);
        assert!((0..10).any(|_| {
            sheet.begin(Element { name: A, class: class.as_bytes(), id: b"" });
            sheet.lost
        }));
        assert!(!read(&"((((".repeat(100_000)).lost);
        assert!(
            read("@import url(\"data:text/css,a{}\");").lost
                && !read("@import 'https://x';a{b:'data:'}").lost
        );
    }
}
