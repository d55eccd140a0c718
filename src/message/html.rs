//! Where a footer goes in html and what of it a reader sees, by a tolerant tokenizer (WHATWG HTML 13.2.5).
//!
//! Looks for the last `</body>` that a browser would see as one: not in a comment, script, style, textarea,
//! title, CDATA section, attribute, or in anything that is not shown. When something hides the end of the text
//! (a comment, a script, a quote or a `<details>` that is never closed), it also says what has to be written
//! first so that the footer shows; and when nothing helps, that. A link counts when it is the target of an anchor
//! with something to click on. Works on octets: all it looks for is ASCII, and lead and trail octets of the
//! charsets that get here are not `<`, `>` or quotes. Style sheets are read first (`style`), as they may stand
//! behind what they hide. Deliberately absent: layout.

// Long because the states of one tokenizer stand together, and half of it is its tables of cases.

use std::ops::Range;

use memchr::{memchr, memchr2, memmem};

use super::attributes::{Attributes, attributes};
use super::elements::{Elements, Tag};
use super::names::{self, Name, pack};
use super::style::{Element, Sheet};

/// What the tokenizer found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Where the footer goes.
    pub insert: usize,
    /// What must be written before the footer so that it shows.
    pub closer: String,
    /// Why no footer would show wherever it stood.
    pub unfit: Option<&'static str>,
    /// Regions that not every reader shows, in order.
    pub hidden: Vec<Range<usize>>,
    /// Tags that may have a link in them, in order.
    tags: Vec<Range<usize>>,
    /// Where the targets of anchors begin that a reader sees and can click on, in order.
    targets: Vec<usize>,
    /// Where style sheets are.
    styles: Vec<Range<usize>>,
    sheet: Sheet,
}

impl Scan {
    /// Whether all of `footer` shows in this text, its `link` included: style sheets reach it, too.
    pub fn spares(&self, footer: &str, link: Option<&str>) -> bool {
        if self.sheet.is_empty() {
            return true;
        }
        let scan = tokenize(footer.as_bytes(), self.sheet.anywhere(footer.len()));
        let at = link.map(|link| footer.find(link));
        scan.hidden.is_empty() && at.is_none_or(|at| at.is_some_and(|at| scan.shows(at)))
    }

    /// Whether a link that begins at `at` is one that a reader sees, as text or as the target of an anchor.
    pub fn shows(&self, at: usize) -> bool {
        let within = |ranges: &[Range<usize>]| {
            let next = ranges.partition_point(|range| range.start <= at);
            next > 0 && ranges[next - 1].end > at
        };
        match within(&self.tags) {
            true => self.targets.binary_search(&at).is_ok(),
            false => !within(&self.hidden),
        }
    }
}

/// Elements whose content is text up to their own end tag (WHATWG HTML 13.2.6.2).
const RAW_TEXT: [(Name, &str); 7] = [
    (names::STYLE, "style"),
    (names::TITLE, "title"),
    (names::TEXTAREA, "textarea"),
    (names::XMP, "xmp"),
    (names::IFRAME, "iframe"),
    (names::NOEMBED, "noembed"),
    (names::NOFRAMES, "noframes"),
];

/// Why no footer would show.
const HIDDEN: &str = "html that is hidden as a whole";

/// A tag that has a link in it is not shorter.
const SHORTEST: usize = 16;

/// Tokenize `html` to its end; twice, where style sheets hide something.
pub(crate) fn scan(html: &[u8]) -> Scan {
    let first = tokenize(html, Sheet::default());
    let mut sheet = Sheet::read(first.styles.iter().map(|style| &html[style.clone()]), html.len());
    if sheet.is_empty() {
        return first;
    }
    // These are there whether or not their tags are.
    let whole = [names::HTML, names::BODY].map(|name| sheet.begin(Element { name, id: b"", class: b"" }));
    let mut scan = tokenize(html, sheet);
    if whole != [0, 0] {
        scan.unfit = Some(HIDDEN);
        scan.hidden.clear();
        scan.hidden.push(0..html.len());
        scan.targets.clear();
    }
    scan
}

/// `sheet` knows the rules, and nothing of the elements yet.
fn tokenize(html: &[u8], sheet: Sheet) -> Scan {
    let mut scanner = Scanner {
        html,
        at: 0,
        body_end: None,
        html_end: None,
        elements: Elements::new(html.len()),
        covered: None,
        conditional: None,
        pending: None,
        scan: Scan { sheet, ..Scan::default() },
    };
    let closer = scanner.run();
    scanner.finish(closer)
}

/// Sorted, and those that overlap or lie in one another made one: [`Scan::hides`] looks at one only.
fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| range.start);
    ranges.dedup_by(|next, last| {
        let joined = next.start < last.end;
        if joined {
            last.end = last.end.max(next.end);
        }
        joined
    });
    ranges
}

struct Scanner<'a> {
    html: &'a [u8],
    at: usize,
    body_end: Option<usize>,
    html_end: Option<usize>,
    elements: Elements,
    /// Where what hides this place begins.
    covered: Option<usize>,
    /// Where a part begins that is for some readers only: `<!--[if !mso]><!-->`.
    conditional: Option<usize>,
    /// The target of the anchor that is open, as long as there is nothing to click on.
    pending: Option<usize>,
    scan: Scan,
}

impl Scanner<'_> {
    /// Run to the end; what would close the construct that is open there.
    fn run(&mut self) -> String {
        while let Some(n) = memchr(b'<', &self.html[self.at..]) {
            let start = self.at + n;
            self.see_text(self.at..start);
            let rest = &self.html[start..];
            let unclosed = match rest.get(1) {
                Some(b'!') if rest.starts_with(b"<!--") => self.comment(start),
                Some(b'!') if self.elements.foreign() && rest.starts_with(b"<![CDATA[") => self.cdata(start),
                Some(b'!' | b'?') => self.bogus(start),
                Some(b'/') if rest.get(2).is_some_and(u8::is_ascii_alphabetic) => self.tag(start),
                Some(b'/') => self.bogus(start),
                Some(b) if b.is_ascii_alphabetic() => self.tag(start),
                _ => {
                    self.at = start + 1;
                    self.see_text(start..start + 1);
                    None
                }
            };
            if let Some(closer) = unclosed {
                return closer;
            }
            if self.scan.unfit.is_some() {
                return String::new();
            }
        }
        self.see_text(self.at..self.html.len());
        String::new()
    }

    fn finish(mut self, mut closer: String) -> Scan {
        let end = self.html.len();
        let mut scan = std::mem::take(&mut self.scan);
        scan.hidden.extend([self.covered, self.conditional].into_iter().flatten().map(|start| start..end));
        scan.hidden = merged(scan.hidden);
        let shown = closer.is_empty() && self.covered.is_none() && self.conditional.is_none();
        if let Some(at) = self.body_end.or(self.html_end.filter(|_| shown)) {
            scan.insert = at;
        } else {
            scan.insert = end;
            // What was opened first is closed last.
            let outer = self.conditional.is_some_and(|start| self.covered.is_none_or(|other| start < other));
            let mark = if self.conditional.is_some() { "<!--<![endif]-->" } else { "" };
            match self.elements.closers(self.html) {
                Some(tags) if outer => closer += &(tags + mark),
                Some(tags) => closer += &format!("{mark}{tags}"),
                None => scan.unfit = scan.unfit.or(Some("html that hides what is added to it")),
            }
            scan.closer = closer;
        }
        if self.elements.lost || scan.sheet.lost {
            scan.unfit = Some("html nested too deep, or with style sheets too large");
            scan.hidden.clear();
            scan.hidden.push(0..end);
            scan.targets.clear();
        }
        scan
    }

    /// Text, which an anchor needs so that a reader can click on it.
    fn see_text(&mut self, range: Range<usize>) {
        if self.pending.is_some() && shows_ink(&self.html[range]) {
            self.see_ink();
        }
    }

    fn see_ink(&mut self) {
        if !self.elements.hides() && self.conditional.is_none() && self.elements.in_anchor() {
            self.scan.targets.extend(self.pending.take());
        }
    }

    /// From `start` on nothing can be shown.
    fn give_up(&mut self, start: usize, why: &'static str) {
        self.scan.unfit = Some(why);
        self.scan.hidden.push(start..self.html.len());
    }

    fn hide(&mut self, range: Range<usize>) {
        self.at = range.end;
        self.scan.hidden.push(range);
    }

    /// WHATWG HTML 13.2.5.43: `-->` and `--!>` end a comment, and so do `<!-->` and `<!--->`.
    fn comment(&mut self, start: usize) -> Option<String> {
        let inner = &self.html[start + 4..];
        let end = if inner.starts_with(b">") {
            Some(1)
        } else if inner.starts_with(b"->") {
            Some(2)
        } else {
            memchr::memchr_iter(b'-', inner).find_map(|n| match &inner[n..] {
                [b'-', b'-', b'>', ..] => Some(n + 3),
                [b'-', b'-', b'!', b'>', ..] => Some(n + 4),
                _ => None,
            })
        };
        match end {
            Some(n) => {
                self.hide(start..start + 4 + n);
                self.condition(start);
                self.styles_for_some(start);
                None
            }
            None => {
                self.hide(start..self.html.len());
                Some("-->".to_owned())
            }
        }
    }

    /// A CDATA section, which there is in svg and math only; elsewhere it is a comment up to `>`.
    fn cdata(&mut self, start: usize) -> Option<String> {
        match memmem::find(&self.html[start..], b"]]>") {
            Some(n) => {
                self.hide(start..start + n + 3);
                None
            }
            None => {
                self.hide(start..self.html.len());
                Some("]]>".to_owned())
            }
        }
    }

    fn bogus(&mut self, start: usize) -> Option<String> {
        match memchr(b'>', &self.html[start..]) {
            Some(n) => {
                self.hide(start..start + n + 1);
                self.condition(start);
                None
            }
            None => {
                self.hide(start..self.html.len());
                Some(">".to_owned())
            }
        }
    }

    /// Conditional comments that browsers see past, but some readers obey: `<!--[if !mso]><!-->` to
    /// `<!--<![endif]-->`, and `<![if !mso]>` to `<![endif]>`.
    fn condition(&mut self, start: usize) {
        let comment = &self.html[start..self.at];
        let inner = comment.strip_prefix(b"<!--").or(comment.strip_prefix(b"<!")).unwrap_or_default();
        let inner = inner.trim_ascii_start();
        let ends = |mark: &[u8]| comment.ends_with(mark);
        if memmem::find(inner, b"[endif]").is_some() {
            if let Some(open) = self.conditional.take() {
                self.scan.hidden.push(open..self.at);
            }
        } else if inner.get(..3).is_some_and(|mark| mark.eq_ignore_ascii_case(b"[if"))
            && (ends(b"]>") || ends(b"<!-->") || ends(b"]>-->"))
            && self.conditional.is_none()
        {
            self.conditional = Some(start);
        }
    }

    /// There a sheet is markup: only one without any is read.
    fn style_in_svg(&mut self, start: usize) {
        let end = memchr(b'<', &self.html[self.at..]).map_or(self.html.len(), |n| self.at + n);
        let ends = |mark: &[u8]| {
            self.html[end..].get(..mark.len()).is_some_and(|tag| tag.eq_ignore_ascii_case(mark))
        };
        let closed = ends(b"</style") || ends(b"</svg");
        if closed && memchr(b'&', &self.html[self.at..end]).is_none() {
            self.scan.styles.push(self.at..end);
        } else {
            self.give_up(start, "html with a style sheet in svg");
        }
    }

    /// The style sheets in a conditional comment, which some readers obey.
    fn styles_for_some(&mut self, start: usize) {
        let comment = &self.html[..self.at];
        if !comment[start..].starts_with(b"<!--[if") {
            return;
        }
        for at in memchr::memchr_iter(b'<', &comment[start..]).map(|n| start + n) {
            if names(&comment[at + 1..], "style") {
                let from = attributes(comment, at + 6).end;
                self.scan.styles.push(from..raw_text_end(comment, from, "style").unwrap_or(self.at));
            }
        }
    }

    fn tag(&mut self, start: usize) -> Option<String> {
        let ending = self.html[start + 1] == b'/';
        let name_at = start + 1 + usize::from(ending);
        let name_len = self.html[name_at..]
            .iter()
            .take_while(|b| !b.is_ascii_whitespace() && !matches!(b, b'/' | b'>'))
            .count();
        let name = pack(&self.html[name_at..name_at + name_len]);
        let attributes = attributes(self.html, name_at + name_len);
        self.at = attributes.end;
        if attributes.end - start >= SHORTEST {
            self.scan.tags.push(start..attributes.end);
        }
        let closer = attributes.closer;
        let inside = match ending {
            true => self.end_tag(start, name),
            false => self.start_tag(start, name_at..name_at + name_len, name, &attributes),
        };
        match (closer, inside) {
            (Some(closer), inside) => Some(closer.to_owned() + &inside.unwrap_or_default()),
            (None, inside) => inside,
        }
    }

    fn end_tag(&mut self, start: usize, name: Name) -> Option<String> {
        let shown = !self.elements.hides() && self.conditional.is_none();
        match name {
            names::BODY => self.body_end = if shown { Some(start) } else { self.body_end },
            names::HTML => self.html_end = if shown { Some(start) } else { self.html_end },
            _ => {
                self.elements.end(name);
                self.settle(start);
            }
        }
        None
    }

    fn start_tag(&mut self, start: usize, at: Range<usize>, name: Name, has: &Attributes) -> Option<String> {
        let id = &self.html[has.id.clone()];
        let class = &self.html[has.class.clone()];
        let by = self.scan.sheet.begin(Element { name, id, class });
        let hidden = has.hidden || by & !has.keeps != 0;
        let tag = Tag { name, at, hidden, open: has.open, font: has.font, self_closing: has.self_closing };
        let html = self.elements.start(&tag);
        self.settle(start);
        if !html {
            if name == names::STYLE && !has.self_closing {
                self.style_in_svg(start);
            }
            return None;
        }
        match name {
            names::A => self.pending = has.href.filter(|_| !hidden),
            names::IMG if has.src && !hidden && !has.tiny => self.see_ink(),
            names::BODY | names::HTML if hidden => self.give_up(start, HIDDEN),
            names::LINK if has.embedded => self.give_up(start, "html with a style sheet that is a part"),
            names::PLAINTEXT => self.give_up(start, "html that ends in plain text"),
            names::FRAMESET => self.give_up(start, "html that consists of frames"),
            names::SCRIPT => return self.script(start),
            _ => {
                return RAW_TEXT
                    .iter()
                    .find(|(raw, _)| *raw == name)
                    .and_then(|(_, raw)| self.raw_text(start, raw));
            }
        }
        None
    }

    /// After a tag: what begins or ceases to hide what follows, and anchors that are no longer open.
    fn settle(&mut self, start: usize) {
        if !self.elements.in_anchor() {
            self.pending = None;
        }
        match (self.elements.hides(), self.covered) {
            (true, None) => self.covered = Some(start),
            (false, Some(open)) => {
                self.scan.hidden.push(open..self.at);
                self.covered = None;
            }
            _ => {}
        }
    }

    fn raw_text(&mut self, start: usize, name: &str) -> Option<String> {
        let end = raw_text_end(self.html, self.at, name);
        if name == "style" {
            self.scan.styles.push(self.at..end.unwrap_or(self.html.len()));
        }
        match end {
            Some(end) => self.raw_end(start, end + 2 + name.len()),
            None => {
                self.hide(start..self.html.len());
                Some(format!("</{name}>"))
            }
        }
    }

    /// The end tag of an element whose content is text, after its name.
    fn raw_end(&mut self, start: usize, from: usize) -> Option<String> {
        let tag = attributes(self.html, from);
        self.hide(start..tag.end);
        tag.closer.map(str::to_owned)
    }

    /// A script ends at `</script>`, unless both `<!--` and `<script>` stand before it (WHATWG HTML 13.2.5.15 to
    /// 13.2.5.31, "script data double escaped").
    fn script(&mut self, start: usize) -> Option<String> {
        let (mut escaped, mut double) = (false, false);
        let mut from = self.at;
        while let Some(n) = memchr2(b'<', b'-', &self.html[from..]) {
            from += n;
            let rest = &self.html[from..];
            if escaped && rest.starts_with(b"-->") {
                (escaped, double) = (false, false);
                from += 3;
            } else if !escaped && rest.starts_with(b"<!--") {
                escaped = true;
                // Its hyphens may be those of `-->`.
                from += 2;
            } else if rest.starts_with(b"</") && names(&rest[2..], "script") {
                if !double {
                    return self.raw_end(start, from + 8);
                }
                double = false;
                from += 8;
            } else if escaped && rest[0] == b'<' && names(&rest[1..], "script") {
                double = true;
                from += 7;
            } else {
                from += 1;
            }
        }
        self.hide(start..self.html.len());
        Some(if double { "--></script>" } else { "</script>" }.to_owned())
    }
}

/// Where the end tag of an element stands whose content, from `from` on, is text.
fn raw_text_end(html: &[u8], from: usize, name: &str) -> Option<usize> {
    let ends = memmem::find_iter(&html[from..], b"</").map(|n| from + n);
    ends.into_iter().find(|end| names(&html[end + 2..], name))
}

/// Whether the tag name at the beginning of `text` is `name`.
fn names(text: &[u8], name: &str) -> bool {
    let ends = text.get(name.len()).is_some_and(|b| b.is_ascii_whitespace() || matches!(b, b'/' | b'>'));
    ends && text[..name.len()].eq_ignore_ascii_case(name.as_bytes())
}

/// Character references and octets of UTF-8 that leave nothing on the page.
const BLANK: [&[u8]; 17] = [
    b"&nbsp;",
    b"&#160;",
    b"&#xa0;",
    b"&#xA0;",
    b"&zwnj;",
    b"&zwj;",
    b"&shy;",
    b"&ensp;",
    b"&emsp;",
    b"&thinsp;",
    b"&#8203;",
    b"&#8204;",
    b"&#8199;",
    b"&#847;",
    b"&#173;",
    b"\xc2\xa0",
    b"\xef\xbb\xbf",
];

/// Whether a reader sees anything of `text`.
fn shows_ink(text: &[u8]) -> bool {
    let mut rest = text;
    loop {
        rest = rest.trim_ascii_start();
        if !matches!(rest.first(), Some(b'&' | 128..)) {
            return rest.first().is_some_and(u8::is_ascii_graphic);
        }
        if let Some(blank) = BLANK.iter().find(|blank| rest.starts_with(blank)) {
            rest = &rest[blank.len()..];
        } else if let [0xe2, 0x80, 0x80..=0x8f, after @ ..] = rest {
            rest = after;
        } else {
            return true;
        }
    }
}

/// Text as html: markup escaped, everything beyond ASCII as a character reference, so that it can be
/// written into a part of any charset.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    if text.bytes().all(|b| b.is_ascii() && !b"&<>\"'{".contains(&b)) {
        out.push_str(text);
        return out;
    }
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // `{{` would look like a tool's placeholder to the next relay.
            '{' => out.push_str("&#123;"),
            c if c.is_ascii() => out.push(c),
            c => out.push_str(&format!("&#{};", u32::from(c))),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn p12_the_footer_always_shows(soup in proptest::collection::vec(prop_oneof![
            Just("<!--"), Just("-->"), Just("--"), Just("<script"), Just("</script"), Just("<style>"),
            Just("</style>"), Just("<template"), Just("</template>"), Just("<body>"), Just("</body>"),
            Just("</html>"), Just("<![CDATA["), Just("]]>"), Just("<!x"), Just(">"), Just("\""), Just("'"),
            Just(" a="), Just("<a "), Just("</a"), Just("x"), Just("<title"), Just("\r\n"), Just("/"),
            Just("<div hidden"), Just("</div"), Just("<svg"), Just("</svg"), Just("<p>"), Just("<b hidden>"),
            Just("</b>"), Just("<details>"), Just("<select>"), Just("<!--[if x]><!-->"), Just("<![endif]"),
            Just("<table><td>"), Just("</td>"), Just("</table>"), Just("<foreignObject>"), Just("<font>"),
            Just("<style>.x{display:none}</style>"), Just("<b class=x>"), Just("<div class=x>"),
        ], 0..24)) {
            let html = soup.concat();
            let found = scan(html.as_bytes());
            let before = format!("{}\r\n{}\r\n", &html[..found.insert], found.closer);
            let seen = scan(format!("{before}<div>here</div>").as_bytes());
            prop_assert_eq!((&*seen.closer, seen.unfit), ("", None), "{}", html);
            prop_assert!(seen.shows(before.len() + 5), "{} then {}", html, before);
            let link = scan(format!("{before}<div><a href=\"https://x.example/\">x</a></div>").as_bytes());
            prop_assert!(link.shows(before.len() + 14), "{} then {}", html, before);
        }
    }

    fn place(html: &str) -> (String, String) {
        let found = scan(html.as_bytes());
        (html[found.insert..].to_owned(), found.closer)
    }

    #[test]
    fn p12_before_the_last_real_body_end() {
        for (html, rest, closer) in [
            ("<html><body>x</body></html>", "</body></html>", ""),
            ("<BODY>x</Body >", "</Body >", ""),
            ("<body>x</body>y</body>", "</body>", ""),
            ("<body>x<!-- </body> -->y</body>", "</body>", ""),
            ("<body>x</body><!-- </body> -->", "</body><!-- </body> -->", ""),
            ("<body>x</body><script>'</body>'</script>", "</body><script>'</body>'</script>", ""),
            ("<p>x</p><style></body></style>", "", ""),
            ("<p title='</body>'>x", "", ""),
            ("<p>it's \"</body>", "</body>", ""),
            ("<p data-x=a'b>x</body>", "</body>", ""),
            ("<template></body></template>x", "", ""),
            ("<![CDATA[ </body> ]]>x", "", ""),
            ("<p>x<![CDATA[ foo> seen</body>", "</body>", ""),
            ("<svg><![CDATA[ > </body> ]]></svg>x</body>", "</body>", ""),
            ("<a href=http://x/?q=\"foo>y</a></body>", "</body>", ""),
            ("<a href=http://x/?q=\"a\"&b=\">y</a></body>", "</body>", ""),
            ("<td class=\"a\"=\"<textarea>x</body>", "</body>", ""),
            ("<a href==\"x>\">y</body>", "</body>", ""),
            ("x<script><!--<script> </script> </body></script>y</body>", "</body>", ""),
            ("x<script><!--<script> --></script>y</body>", "</body>", ""),
            ("x<script><!--></script>y</body>", "</body>", ""),
            ("x<script><!-- <scripts> </script>y</body>", "</body>", ""),
            ("<svg><script/><style></svg></body>y", "</body>y", ""),
            ("<svg><title></body></title></svg>y</body>", "</body>", ""),
            ("x</ </body>y", "", ""),
            ("x</></body>y", "</body>y", ""),
            ("<div hidden>x</body></div>y", "", ""),
            ("<!--[if !mso]><!--></body><!--<![endif]-->", "", ""),
            ("<![if !mso]></body><![endif]>x</body>", "</body>", ""),
            ("<!--[if !mso]><!-->x<!--<![endif]--></body>", "</body>", ""),
            ("<!--[if mso]></body><![endif]-->x</body>", "</body>", ""),
            ("<![if !mso]>x<![endif]></body>", "</body>", ""),
            ("<p>x</html>", "</html>", ""),
            ("no markup at all", "", ""),
            ("", "", ""),
            ("a < b </body>", "</body>", ""),
            ("<!--></body>", "</body>", ""),
        ] {
            assert_eq!(place(html), (rest.to_owned(), closer.to_owned()), "{html}");
        }
    }

    #[test]
    fn p12_what_is_never_closed_is_closed() {
        for (html, closer) in [
            ("<body>x<!-- and </body></html>", "-->"),
            ("<body>x<script>if (a) </body>", "</script>"),
            ("<body>x<style>a { </body>", "</style>"),
            ("<body>x<a href=\"y>z</body>", "\">"),
            ("<body>x<a href='y>z</body>", "'>"),
            ("<body>x<a href", ">"),
            ("<template><template></body>", "</template></template>"),
            ("x<textarea></body>", "</textarea>"),
            ("x<!doctype", ">"),
            ("x<style type=\"a</body>", "\"></style>"),
            ("x<template a='</body>", "'></template>"),
            ("<template>x</template a='</body>", "'>"),
        ] {
            assert_eq!(place(html), (String::new(), closer.to_owned()), "{html}");
        }
    }

    #[test]
    fn p12_what_hides_the_end_is_closed() {
        for (html, closer) in [
            ("<body>x<details><summary>s</summary>y</body>", "</details>"),
            ("<body>x<select><option>y</body>", "</option></select>"),
            ("x<option>y</body>", "</option>"),
            ("<b hidden><div><b>y</div></body>", "</b></b>"),
            ("x<dialog>y", "</dialog>"),
            ("x<video>y", "</video>"),
            ("x<audio>y", "</audio>"),
            ("x<datalist><option>y", "</option></datalist>"),
            ("x<meter>y", "</meter>"),
            ("x<object data=z><p>y", "</p></object>"),
            ("x<ruby>a<rp>(", "</rp>"),
            ("x<noscript>y", "</noscript>"),
            ("x<iframe>y", "</iframe>"),
            ("x<noembed>y", "</noembed>"),
            ("x<noframes>y", "</noframes>"),
            ("<title>x<body>", "</title>"),
            ("x<div hidden>y</body>", "</div>"),
            ("x<div HIDDEN='until-found'>y</body>", "</div>"),
            ("x<div style='color:red; display : none'>y</body>", "</div>"),
            ("x<div style='visibility:hidden'>y</body>", "</div>"),
            ("x<div style='opacity: 0.0'>y</body>", "</div>"),
            ("x<div style='opacity: 0.5'>y</div>", ""),
            ("x<div hidden><textarea>y</body>", "</textarea></div>"),
            ("x<div hidden title=\"y</body>", "\"></div>"),
            ("x<span hidden><div></span>y</body>", "</div></span>"),
            ("x<div><b hidden>y</div>z</body>", "</b>"),
            ("x<div hidden><table><tr><td></div>y</body>", "</td></tr></table></div>"),
            ("x<svg><g>y</svg", ">"),
            ("x<svg><g>y", "</g></svg>"),
            ("x<svg><foreignObject><div>y", "</div></foreignObject></svg>"),
            ("x<script><!--<script> </script> y</body>", "</script>"),
            ("x<script><!--<script> y</body>", "--></script>"),
            ("x<!--[if !mso]><!-->y</body>", "<!--<![endif]-->"),
            ("x</", ">"),
        ] {
            let rest = if closer.is_empty() { html.len() } else { scan(html.as_bytes()).insert };
            assert_eq!((rest, place(html).1), (html.len(), closer.to_owned()), "{html}");
        }
        // None of these hides anything at its end.
        for html in [
            "<div hidden>x<p>y</div>z</body>",
            "<table><tr hidden><td>x<tr><td>y</table>z</body>",
            "<div hidden><b>x</div>y</body>",
            "<svg><g></svg>x</body>",
            "<svg><g><div>x</div></body>",
            "<details open>x</body>",
            "<select><option>x</select>y</body>",
            "<ul><li hidden>x<li>y</ul></body>",
            "<a hidden href=x>y<a href=z>y</a></body>",
        ] {
            assert_eq!(place(html), ("</body>".to_owned(), String::new()), "{html}");
        }
    }

    #[test]
    fn p12_where_no_footer_would_show() {
        for html in [
            "<p>x</p><plaintext>y</body>",
            "<html><frameset cols=*><frame src=x></frameset></html>",
            "<body hidden>x</body>",
            "<html style=\"display:none\"><body>x</body></html>",
            "<x\u{e9} hidden>z",
        ] {
            assert!(scan(html.as_bytes()).unfit.is_some(), "{html}");
        }
        assert!(scan("<b>".repeat(2000).as_bytes()).unfit.is_some());
        assert!(scan("<b><div>".repeat(2000).as_bytes()).unfit.is_some());
        assert!(scan("<p>x<td>y".repeat(2000).as_bytes()).unfit.is_none());
    }

    #[test]
    fn p12_hidden_places() {
        let shown = |html: &[u8], hidden: &[u8]| {
            let found = scan(html);
            for (at, b) in html.iter().enumerate().filter(|(_, b)| b.is_ascii_uppercase()) {
                assert_eq!(found.shows(at), !hidden.contains(b), "{}", *b as char);
            }
        };
        shown(b"A<!-- B -->C<script>D</script>E<template>F</template>G", b"BDF");
        shown(b"<template>A<!-- B -->C<template>D</template>E</template>F", b"ABCDE");
        shown(b"A<div hidden>B<p>C</div>D<details>E</details>F", b"BCE");
        shown(b"A<!--[if !mso]><!-->B<!--<![endif]-->C<![if x]>D<![endif]>E", b"BD");
    }

    #[test]
    fn l8_a_link_counts_where_a_reader_can_click_on_it() {
        const URL: &str = "{{unsubscribe_url}}";
        let shows = |html: &str| {
            let html = html.replace('U', URL);
            let at = html.find(URL).unwrap();
            scan(html.as_bytes()).shows(at)
        };
        for html in [
            "<a href=\"U\">x</a>",
            "<a class=y href=U>x</a>",
            "<A HREF = '\n U'>x</A>",
            "<a href=\"U\"><img src=x></a>",
            "<a href=\"U\"><span>&nbsp;<b>x</b></span></a>",
            "<a href=\"U\">&#1086;</a>",
            "<a title='>' href=\"U\">x</a>",
            "<div style=\"display:block\"><a href=\"U\">x</a></div>",
            "<div style=\"display:none\">y</div><a href=\"U\">x</a>",
            "<!--[if mso]>y<![endif]--><a href=\"U\">x</a>",
            "<p>U</p>",
            "<details open><a href=\"U\">x</a></details>",
        ] {
            assert!(shows(html), "{html}");
        }
        for html in [
            "<a href=\"U\"></a>",
            "<a href=\"U\"> &nbsp;\u{200b}<b></b></a>x",
            "<a href=\"U\"><!-- x --></a>",
            "<a href=\"U\"><img></a>",
            "<a href=\"U\"><img src=x hidden></a>",
            "<a href=\"U\"><img src=x width=1 height=1></a>",
            "<a href=\"U\"><span hidden>x</span></a>",
            "<a href=\"U\"><a href=y>x</a>",
            "<table><td><a href=\"U\"></td><td>x</td></table>",
            "<a data-href=\"U\">x</a>",
            "<a href=y href=\"U\">x</a>",
            "<a title='>' data-x=\"U\" href=y>x</a>",
            "<a hidden href=\"U\">x</a>",
            "<a href=\"U\" style='visibility:hidden'>x</a>",
            "<div style=\"display:none\"><a href=\"U\">x</a></div>",
            "<div style=\"display:none !important\"><p>y<p><a href=\"U\">x</a></div>",
            "<div hidden>U</div>",
            "<details>U</details>",
            "<link rel=x href=\"U\">x",
            "<base href=\"U\">x",
            "<area href=\"U\">x",
            "<svg><a href=\"U\"><text>x</text></a></svg>",
            "<noscript><a href=\"U\">x</a></noscript>",
            "<input value=\"U\">",
            "<!--[if !mso]><a href=\"U\">x</a><![endif]-->",
            "<!--[if !mso]><!--><a href=\"U\">x</a><!--<![endif]-->",
            "<![if !mso]><a href=\"U\">x</a><![endif]>",
        ] {
            assert!(!shows(html), "{html}");
        }
    }

    #[test]
    fn l8_style_sheets_hide() {
        const URL: &str = "{{unsubscribe_url}}";
        let shows = |html: &str| {
            let html = html.replace('U', URL);
            scan(html.as_bytes()).shows(html.find(URL).unwrap())
        };
        for html in [
            "<style>.x{display:none}</style><a class=x href=\"U\">x</a>",
            "<a class=x href=\"U\">x</a><style>.x{display:none}</style>",
            "<style media=screen>#y a{display:none}</style><p ID=Y><a href=\"U\">x</a>",
            "<style>.x *{visibility:hidden}</style><div class='y x'><p><a href=\"U\">x</a></div>",
            "<style>.x{display:none}</style><div class=x>U</div>",
            "<style>img{display:none}</style><a href=\"U\"><img src=x></a>",
            "<!--[if mso]><style type=a>.x{mso-hide:all}</style><![endif]--><p class=x><a href=\"U\">x</a>",
            "<style>.x{display:none}</style><p class=x style='display:block'><a href=\"U\">x</a>",
            "<svg><style>.x{display:none}</style></svg><p class=x><a href=\"U\">x</a>",
            "<p style='display&#58;none'><a href=\"U\">x</a>",
            "<p style='display&colon;&#x6E;one'><a href=\"U\">x</a>",
            "<style>.x{display:none",
        ] {
            let html = if html.contains('U') {
                html.to_owned()
            } else {
                format!("<a class=x href=\"U\">x</a>{html}")
            };
            assert!(!shows(&html), "{html}");
        }
        for html in [
            "<style>.y{display:none}</style><a class=x href=\"U\">x</a>",
            "<style>.x{display:none}</style><p class=x>y</p><a href=\"U\">x</a>",
            "<style>.g + div{display:none}</style><div><a href=\"U\">x</a></div>",
            "<style>.x{display:none}</style><p class=x style='display:block!important'><a href=\"U\">x</a>",
            "<!-- <style>a{display:none}</style> --><a href=\"U\">x</a>",
            "<style>@media print{a{display:none}}</style><a href=\"U\">x</a>",
        ] {
            assert!(shows(html), "{html}");
        }
        assert_eq!(
            place("<style>.x{display:none}</style><p class=x>y</body>"),
            (String::new(), "</p>".to_owned())
        );
        for css in ["body{display:none}", "*{opacity:0}", "html.x,html{visibility:hidden}"] {
            assert_eq!(scan(format!("<p>x<style>{css}</style>").as_bytes()).unfit, Some(HIDDEN), "{css}");
        }
        for html in
            ["<svg><style>.x<!-- -->{display:none}</style>", "<link rel=stylesheet href='data:text/css,a{}'>"]
        {
            assert!(scan(html.as_bytes()).unfit.is_some(), "{html}");
        }
        let found = scan(b"<body class=x>y<style>.x{display:none}</style>");
        assert_eq!(found.unfit, Some(HIDDEN));
    }

    #[test]
    fn l8_a_footer_that_style_sheets_reach() {
        let own = "<div><b style=\"display:inline!important\">x</b><a style='display:block!important' href=U>x</a></div>";
        for (css, spared) in [
            ("", true),
            ("p{display:none}", true),
            ("div{display:none}", false),
            ("body > div{display:none}", false),
            (".y a, b{display:none}", true),
            ("a{opacity:0}", false),
        ] {
            let found = scan(format!("<style>{css}</style><p class=y>").as_bytes());
            assert_eq!(found.spares(own, Some("U")), spared, "{css}");
        }
    }

    #[test]
    fn text_becomes_harmless_ascii() {
        assert_eq!(escape("<é> & \"{{\""), "&lt;&#233;&gt; &amp; &quot;&#123;&#123;&quot;");
    }
}
