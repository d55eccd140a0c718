//! Where a footer goes in html, found by a tolerant tokenizer (WHATWG HTML 13.2.5, as far as it matters).
//!
//! Looks for the last `</body>` that a browser would see as one: not in a comment, script, style, textarea,
//! title, template, CDATA section or attribute. When something hides the end of the text (a comment, a
//! script or a quote that is never closed), it also says what has to be written first so that the footer
//! shows. Works on octets: all it looks for is ASCII, and lead and trail octets of the charsets that get
//! here are not `<`, `>` or quotes. Deliberately absent: a document tree; styles that hide things.

use std::ops::Range;

use memchr::{memchr, memchr3, memmem};

/// What the tokenizer found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Where the footer goes.
    pub insert: usize,
    /// What must be written before the footer so that it shows.
    pub closer: String,
    /// Regions that no reader shows, in order.
    pub hidden: Vec<Range<usize>>,
    /// Whether it shows any text of its own; without, it is a picture.
    pub has_text: bool,
}

impl Scan {
    /// Whether the octet at `at` is in something that is not shown.
    pub fn hides(&self, at: usize) -> bool {
        let next = self.hidden.partition_point(|range| range.start <= at);
        next > 0 && self.hidden[next - 1].end > at
    }
}

/// Elements whose content is text up to their own end tag (WHATWG HTML 13.2.6.2).
const RAW_TEXT: [&str; 8] = ["script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes"];

/// Tokenize `html` to its end.
pub(crate) fn scan(html: &[u8]) -> Scan {
    let mut scanner =
        Scanner { html, at: 0, body_end: None, html_end: None, templates: Vec::new(), scan: Scan::default() };
    let closer = scanner.run();
    let Scanner { body_end, html_end, templates, mut scan, .. } = scanner;
    for start in &templates {
        scan.hidden.push(*start..html.len());
    }
    scan.hidden = merged(scan.hidden);
    if let Some(at) = body_end.or(html_end.filter(|_| closer.is_empty() && templates.is_empty())) {
        scan.insert = at;
    } else {
        scan.insert = html.len();
        scan.closer = closer + &"</template>".repeat(templates.len());
    }
    scan
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
    /// Starts of the templates that are open.
    templates: Vec<usize>,
    scan: Scan,
}

impl Scanner<'_> {
    /// Run to the end; what would close the construct that is open there.
    fn run(&mut self) -> String {
        while let Some(n) = memchr(b'<', &self.html[self.at..]) {
            let start = self.at + n;
            self.see_text(self.at..start);
            let rest = &self.html[start..];
            let unclosed = if rest.starts_with(b"<!--") {
                self.comment(start)
            } else if rest.starts_with(b"<![CDATA[") {
                self.cdata(start)
            } else if matches!(rest.get(1), Some(b'!' | b'?')) {
                self.bogus(start)
            } else if rest.get(1).is_some_and(u8::is_ascii_alphabetic)
                || (rest.get(1) == Some(&b'/') && rest.get(2).is_some_and(u8::is_ascii_alphabetic))
            {
                self.tag(start)
            } else {
                self.at = start + 1;
                None
            };
            if let Some(closer) = unclosed {
                return closer;
            }
        }
        self.see_text(self.at..self.html.len());
        String::new()
    }

    fn see_text(&mut self, range: Range<usize>) {
        if !self.scan.has_text && self.templates.is_empty() {
            self.scan.has_text = self.html[range].iter().any(|b| b.is_ascii_alphanumeric() || *b > 127);
        }
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
                None
            }
            None => {
                self.hide(start..self.html.len());
                Some("-->".to_owned())
            }
        }
    }

    /// A CDATA section in foreign content ends at `]]>`; elsewhere browsers see a comment up to `>`.
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
                None
            }
            None => {
                self.hide(start..self.html.len());
                Some(">".to_owned())
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
        let name = known(&self.html[name_at..name_at + name_len]);
        match tag_end(self.html, name_at + name_len) {
            Ok(end) => self.at = end,
            Err(closer) => {
                self.hide(start..self.html.len());
                return Some(self.close_tag(closer, name, ending, start));
            }
        }
        match (name, ending) {
            ("body", true) if self.templates.is_empty() => self.body_end = Some(start),
            ("html", true) if self.templates.is_empty() => self.html_end = Some(start),
            ("template", false) if self.templates.len() < 64 => self.templates.push(start),
            ("template", true) => {
                if let Some(open) = self.templates.pop() {
                    self.scan.hidden.push(open..self.at);
                }
            }
            (name, false) if RAW_TEXT.contains(&name) => return self.raw_text(start, name),
            _ => {}
        }
        None
    }

    /// What closes a tag that is not, and then the element that it opens, if that would hide the footer.
    fn close_tag(&mut self, closer: &str, name: &str, ending: bool, start: usize) -> String {
        match name {
            "template" if !ending => self.templates.push(start),
            "template" => drop(self.templates.pop()),
            name if !ending && RAW_TEXT.contains(&name) => return format!("{closer}</{name}>"),
            _ => {}
        }
        closer.to_owned()
    }

    fn raw_text(&mut self, start: usize, name: &str) -> Option<String> {
        let mut from = self.at;
        while let Some(n) = memmem::find(&self.html[from..], b"</") {
            let after = from + n + 2;
            let candidate = self.html.get(after..after + name.len()).unwrap_or_default();
            let next = self.html.get(after + name.len());
            let ends = next.is_some_and(|b| b.is_ascii_whitespace() || matches!(b, b'/' | b'>'));
            if ends && candidate.eq_ignore_ascii_case(name.as_bytes()) {
                return match tag_end(self.html, after + name.len()) {
                    Ok(end) => {
                        self.hide(start..end);
                        None
                    }
                    Err(closer) => {
                        self.hide(start..self.html.len());
                        Some(closer.to_owned())
                    }
                };
            }
            from = after;
        }
        self.hide(start..self.html.len());
        Some(format!("</{name}>"))
    }
}

/// The element of this name in lower case, if it is one that matters here.
fn known(name: &[u8]) -> &'static str {
    if !(3..=8).contains(&name.len()) {
        return "";
    }
    let mut all = ["body", "html", "template"].into_iter().chain(RAW_TEXT);
    all.find(|one| name.eq_ignore_ascii_case(one.as_bytes())).unwrap_or_default()
}

/// After a tag's name: where the tag ends, or what would end it.
fn tag_end(html: &[u8], from: usize) -> Result<usize, &'static str> {
    let mut at = from;
    while let Some(n) = memchr3(b'>', b'"', b'\'', &html[at..]) {
        let mark = html[at + n];
        if mark == b'>' {
            return Ok(at + n + 1);
        }
        // A quote opens a value only right after `=`; elsewhere it is part of a name.
        let opens = html[at..at + n].trim_ascii_end().ends_with(b"=");
        at += n + 1;
        if opens {
            match memchr(mark, &html[at..]) {
                Some(n) => at += n + 1,
                None => return Err(if mark == b'"' { "\">" } else { "'>" }),
            }
        }
    }
    Err(">")
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
        ], 0..24)) {
            let html = soup.concat();
            let found = scan(html.as_bytes());
            let before = format!("{}\r\n{}\r\n", &html[..found.insert], found.closer);
            let seen = scan(format!("{before}<div>here</div>").as_bytes());
            prop_assert_eq!(&seen.closer, "", "{}", html);
            prop_assert!(!seen.hides(before.len()), "{} then {}", html, before);
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
    fn p12_hidden_places() {
        let html = b"A<!-- B -->C<script>D</script>E<template>F</template>G";
        let found = scan(html);
        for (at, b) in html.iter().enumerate().filter(|(_, b)| b.is_ascii_uppercase()) {
            assert_eq!(found.hides(at), b"BDF".contains(b), "{}", *b as char);
        }
        assert!(!scan(b"<body><img src=x><!-- words --></body>").has_text);
        let nested = b"<template>A<!-- B -->C<template>D</template>E</template>F";
        let found = scan(nested);
        for (at, b) in nested.iter().enumerate().filter(|(_, b)| b.is_ascii_uppercase()) {
            assert_eq!(found.hides(at), *b != b'F', "{}", *b as char);
        }
        let found = scan(html);
        assert!(found.has_text);
    }

    #[test]
    fn text_becomes_harmless_ascii() {
        assert_eq!(escape("<é> & \"{{\""), "&lt;&#233;&gt; &amp; &quot;&#123;&#123;&quot;");
    }
}
