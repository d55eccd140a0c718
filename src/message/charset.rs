//! Charsets: whether and how a text can be written into a part that has one (RULES P12; RFC 2046 4.1.2,
//! RFC 1468).
//!
//! Labels are those of encoding_rs (WHATWG), what mail really uses. Deliberately absent: guessing the
//! charset of a part that does not say; such a part gets ASCII or is converted when that is provably safe.

use std::borrow::Cow;

use encoding_rs::Encoding;

/// The charset of a part, as far as writing into it goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Charset {
    /// us-ascii, or none given.
    Ascii,
    /// utf-8.
    Utf8,
    /// A superset of ASCII without escape sequences. `latin`: an iso-8859 label, in which 0x80 to 0x9f
    /// are control characters for strict readers and are not written.
    Table { encoding: &'static Encoding, latin: bool },
    /// iso-2022-jp: ASCII between escape sequences.
    Iso2022Jp,
    /// utf-16 in an order: nothing can be spliced; the part is converted.
    Wide(&'static Encoding),
    /// utf-7.
    Utf7,
    /// A label that nobody here knows.
    Unknown,
}

impl Charset {
    /// What a label means; `None` and an empty label are us-ascii (RFC 2046 4.1.2).
    pub fn of(label: Option<&str>) -> Self {
        let label = label.unwrap_or_default().trim().to_ascii_lowercase();
        match label.as_str() {
            "" | "us-ascii" | "ascii" | "ansi_x3.4-1968" | "iso646-us" => return Self::Ascii,
            "utf-7" | "unicode-1-1-utf-7" | "csutf7" => return Self::Utf7,
            _ => {}
        }
        match Encoding::for_label_no_replacement(label.as_bytes()) {
            Some(e) if e == encoding_rs::UTF_8 => Self::Utf8,
            Some(e) if e == encoding_rs::ISO_2022_JP => Self::Iso2022Jp,
            Some(e) if e == encoding_rs::UTF_16LE || e == encoding_rs::UTF_16BE => Self::Wide(e),
            Some(e) if e == encoding_rs::X_USER_DEFINED => Self::Unknown,
            Some(encoding) => {
                Self::Table { encoding, latin: label.contains("8859") || label.contains("latin") }
            }
            None => Self::Unknown,
        }
    }

    /// `text` in this charset; `None` when it cannot be written in it.
    pub fn encode(self, text: String) -> Option<Vec<u8>> {
        match self {
            Self::Utf8 => Some(text.into_bytes()),
            Self::Wide(_) | Self::Utf7 => None,
            _ if text.is_ascii() => Some(text.into_bytes()),
            Self::Ascii | Self::Unknown => None,
            Self::Table { encoding, latin } => {
                let (bytes, _, unmappable) = encoding.encode(&text);
                let strict = !latin || !bytes.iter().any(|b| (0x80..0xa0).contains(b));
                (!unmappable && strict).then(|| bytes.into_owned())
            }
            Self::Iso2022Jp => {
                let (bytes, _, unmappable) = encoding_rs::ISO_2022_JP.encode(&text);
                (!unmappable).then(|| bytes.into_owned())
            }
        }
    }

    /// `bytes` of this charset as UTF-8; `None` when that would lose or change something.
    pub fn decode(self, bytes: &[u8]) -> Option<String> {
        let strict = |encoding: &'static Encoding| {
            encoding.decode_without_bom_handling_and_without_replacement(bytes).map(Cow::into_owned)
        };
        match self {
            // Mislabelled 8-bit text: UTF-8 proves itself, anything else is what Windows wrote.
            Self::Ascii => match std::str::from_utf8(bytes) {
                Ok(text) => Some(text.to_owned()),
                Err(_) => strict(encoding_rs::WINDOWS_1252),
            },
            Self::Utf8 => String::from_utf8(bytes.to_vec()).ok(),
            Self::Table { encoding, .. } => strict(encoding),
            Self::Iso2022Jp => strict(encoding_rs::ISO_2022_JP),
            Self::Wide(encoding) => {
                let (encoding, skip) = Encoding::for_bom(bytes).unwrap_or((encoding, 0));
                encoding
                    .decode_without_bom_handling_and_without_replacement(&bytes[skip..])
                    .map(Cow::into_owned)
            }
            Self::Utf7 => mail_parser::decoders::charsets::map::charset_decoder(b"utf-7").map(|f| f(bytes)),
            Self::Unknown => None,
        }
    }

    /// Whether ASCII octets in `bytes` are ASCII characters, so that a splice between them is safe.
    pub fn is_ascii_superset(self) -> bool {
        !matches!(self, Self::Wide(_) | Self::Utf7)
    }

    /// `bytes` with everything that is not in the ASCII state blanked, so that a tokenizer reads no tag
    /// out of double-byte characters.
    pub fn masked(self, bytes: &[u8]) -> Cow<'_, [u8]> {
        if self != Self::Iso2022Jp || !bytes.contains(&0x1b) {
            return Cow::Borrowed(bytes);
        }
        let mut masked = bytes.to_vec();
        let mut at = 0;
        let mut ascii = true;
        while at < bytes.len() {
            if let Some((len, to_ascii)) = escape(&bytes[at..]) {
                masked[at..at + len].fill(b'x');
                at += len;
                ascii = to_ascii;
                continue;
            }
            if !ascii && !matches!(bytes[at], b'\r' | b'\n') {
                masked[at] = b'x';
            }
            at += 1;
        }
        Cow::Owned(masked)
    }

    /// The escape sequence in force after `before`, when it is not the ASCII one: to be left before our
    /// text and entered again after it.
    pub fn state(self, before: &[u8]) -> Option<&[u8]> {
        if self != Self::Iso2022Jp {
            return None;
        }
        let mut state = None;
        for at in memchr::memchr_iter(0x1b, before) {
            if let Some((len, to_ascii)) = escape(&before[at..]) {
                state = (!to_ascii).then(|| &before[at..at + len]);
            }
        }
        state
    }
}

/// Return to ASCII (RFC 1468).
pub(crate) const TO_ASCII: &[u8] = b"\x1b(B";

/// Length of the escape sequence at the start of `bytes`, and whether it selects ASCII.
fn escape(bytes: &[u8]) -> Option<(usize, bool)> {
    match bytes {
        [0x1b, b'(', b'B', ..] => Some((3, true)),
        [0x1b, b'(', b'J' | b'I', ..] | [0x1b, b'$', b'@' | b'B', ..] => Some((3, false)),
        [0x1b, b'$', b'(', _, ..] => Some((4, false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p12_a_text_is_written_in_the_charset_or_not_at_all() {
        for (label, text, bytes) in [
            (Some("us-ascii"), "abc", Some(&b"abc"[..])),
            (Some("US-ASCII"), "é", None),
            (None, "abc", Some(b"abc")),
            (Some("utf-8"), "é", Some("é".as_bytes())),
            (Some("iso-8859-1"), "é", Some(b"\xe9")),
            (Some("iso-8859-1"), "€", None),
            (Some("iso-8859-15"), "€", Some(b"\xa4")),
            (Some("windows-1252"), "€", Some(b"\x80")),
            (Some("koi8-r"), "я", Some(b"\xd1")),
            (Some("koi8-r"), "é", None),
            (Some("iso-2022-jp"), "日", Some(b"\x1b$BF|\x1b(B")),
            (Some("shift_jis"), "日", Some(b"\x93\xfa")),
            (Some("gb18030"), "é", Some(b"\xa8\xa6")),
            (Some("utf-7"), "abc", None),
            (Some("utf-16le"), "abc", None),
            (Some("x-nonsense"), "abc", Some(b"abc")),
            (Some("x-nonsense"), "é", None),
        ] {
            assert_eq!(Charset::of(label).encode(text.to_owned()).as_deref(), bytes, "{label:?} {text}");
        }
    }

    #[test]
    fn p12_iso_2022_jp_state_is_known() {
        let jp = Charset::of(Some("iso-2022-jp"));
        assert_eq!(jp.state(b"abc"), None);
        assert_eq!(jp.state(b"a\x1b$BF|"), Some(&b"\x1b$B"[..]));
        assert_eq!(jp.state(b"a\x1b$BF|\x1b(B"), None);
        assert_eq!(&*jp.masked(b"<a>\x1b$B<>\x1b(B<b>"), b"<a>xxxxxxxx<b>");
    }

    #[test]
    fn p12_conversion_loses_nothing() {
        assert_eq!(Charset::Ascii.decode("é".as_bytes()).as_deref(), Some("é"));
        assert_eq!(Charset::Ascii.decode(b"\xe9").as_deref(), Some("é"));
        assert_eq!(Charset::Utf8.decode(b"\xe9"), None);
        assert_eq!(Charset::of(Some("utf-7")).decode(b"Hi Mom +Jjo-!").as_deref(), Some("Hi Mom \u{263a}!"));
        assert_eq!(Charset::of(Some("utf-16")).decode(b"\xff\xfea\0").as_deref(), Some("a"));
        assert_eq!(Charset::Unknown.decode(b"a"), None);
    }
}
