//! Charsets: whether and how a text can be written into a part that has one (RULES P12; RFC 2046 4.1.2,
//! RFC 1468).
//!
//! Labels are those of encoding_rs (WHATWG), what mail really uses; of others only the name is known, and
//! with it whether ASCII may be written between what is there. Deliberately absent: guessing the charset of a
//! part that does not say. Such a part gets ASCII, or is called UTF-8 when it is nothing else; what cannot be
//! proved is not touched.

use std::borrow::Cow;

use encoding_rs::Encoding;

use super::utf7;

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
    /// utf-16: nothing can be spliced; the part is converted. With the order that the label says, if any.
    Wide(Option<&'static Encoding>),
    /// utf-7.
    Utf7,
    /// A superset of ASCII by its name, of which nothing else is known.
    Superset,
    /// A label that nobody here knows.
    Unknown,
    /// A label of something in which ASCII octets are no ASCII characters.
    Foreign,
}

impl Charset {
    /// What a label means; `None` and an empty label are us-ascii (RFC 2046 4.1.2).
    pub fn of(label: Option<&str>) -> Self {
        let label = label.unwrap_or_default().trim().to_ascii_lowercase();
        match label.as_str() {
            "" | "us-ascii" | "ascii" | "ansi_x3.4-1968" | "ansi_x3.4-1986" | "iso646-us"
            | "iso_646.irv:1991" | "iso-ir-6" | "csascii" | "us" | "646" | "ibm367" | "cp367" => {
                return Self::Ascii;
            }
            "utf-7" | "unicode-1-1-utf-7" | "csutf7" => return Self::Utf7,
            _ => {}
        }
        match Encoding::for_label_no_replacement(label.as_bytes()) {
            Some(e) if e == encoding_rs::UTF_8 => Self::Utf8,
            Some(e) if e == encoding_rs::ISO_2022_JP => Self::Iso2022Jp,
            Some(e) if e == encoding_rs::UTF_16LE || e == encoding_rs::UTF_16BE => {
                Self::Wide(matches!(&*label, "utf-16le" | "utf-16be").then_some(e))
            }
            Some(e) if e == encoding_rs::X_USER_DEFINED => Self::Unknown,
            Some(encoding) => {
                Self::Table { encoding, latin: label.contains("8859") || label.contains("latin") }
            }
            None => by_name(&label),
        }
    }

    /// `text` in this charset; `None` when it cannot be written in it.
    pub fn encode(self, text: String) -> Option<Vec<u8>> {
        match self {
            Self::Utf8 => Some(text.into_bytes()),
            Self::Wide(_) | Self::Utf7 | Self::Foreign => None,
            _ if text.is_ascii() => Some(text.into_bytes()),
            Self::Ascii | Self::Superset | Self::Unknown => None,
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
            // UTF-8 proves itself. Any octets are windows-1252, so that would prove nothing; and an escape
            // sequence means something to readers only until the label says UTF-8.
            Self::Ascii if bytes.contains(&0x1b) => None,
            Self::Ascii => String::from_utf8(bytes.to_vec()).ok(),
            Self::Utf8 => String::from_utf8(bytes.to_vec()).ok(),
            Self::Table { encoding, .. } => strict(encoding),
            Self::Iso2022Jp => strict(encoding_rs::ISO_2022_JP),
            Self::Wide(order) => wide(bytes, order),
            Self::Utf7 => utf7::decode(bytes),
            Self::Superset | Self::Unknown | Self::Foreign => None,
        }
    }

    /// Whether nothing can be spliced into a text of this charset, so that it has to be converted first.
    pub fn must_convert(self) -> bool {
        matches!(self, Self::Wide(_) | Self::Utf7)
    }

    /// Whether ASCII can be written between `bytes` of this charset, as far as anybody can know. An unknown
    /// name over nothing but printable ASCII is believed to be a superset of it; over anything else it may
    /// be a charset in which our octets say something else, or one with states.
    pub fn takes_ascii(self, bytes: &[u8]) -> bool {
        match self {
            Self::Ascii | Self::Superset => !bytes.contains(&0),
            Self::Unknown => is_plain_ascii(bytes),
            Self::Wide(_) | Self::Utf7 | Self::Foreign => false,
            Self::Utf8 | Self::Table { .. } | Self::Iso2022Jp => true,
        }
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

/// Parts of names of charsets whose ASCII octets say something else, or have states: wide ones, EBCDIC, UTF-7
/// in its variants, national variants of ISO 646 (no `@` in many), compressed Unicode, pictures.
const FOREIGN: [&str; 19] = [
    "ebcdic", "utf-7", "utf7", "utf-16", "utf16", "utf-32", "utf32", "ucs", "10646", "unicode", "iso646",
    "iso-646", "iso_646", "hz-", "scsu", "bocu", "symbol", "dingbats", "punycode",
];

/// Beginnings of names of supersets of ASCII that encoding_rs does not know.
const SUPERSETS: [&str; 25] = [
    "iso-8859",
    "iso_8859",
    "iso8859",
    "8859",
    "latin",
    "x-mac",
    "mac",
    "tis-620",
    "tis620",
    "viscii",
    "tcvn",
    "armscii-8",
    "koi8-",
    "euc-",
    "x-euc-",
    "eucjp",
    "big5",
    "x-big5",
    "gbk",
    "gb18030",
    "georgian-",
    "hp-roman8",
    "utf-8",
    "utf8",
    "cesu-8",
];

/// IBM's and Microsoft's code pages that are supersets of ASCII. All others are EBCDIC, wide, or in doubt.
const CODE_PAGES: [u16; 58] = [
    367, 437, 720, 737, 775, 808, 813, 819, 848, 849, 850, 851, 852, 853, 855, 856, 857, 858, 859, 860, 861,
    862, 863, 865, 866, 868, 869, 872, 874, 878, 901, 902, 912, 913, 914, 915, 916, 919, 920, 921, 922, 923,
    932, 936, 943, 949, 950, 954, 964, 970, 1124, 1125, 1129, 1131, 1133, 1252, 1363, 1386,
];

/// What the name of a charset says that encoding_rs does not know; `label` is lower-case.
fn by_name(label: &str) -> Charset {
    if FOREIGN.iter().any(|part| label.contains(part)) {
        return Charset::Foreign;
    }
    if SUPERSETS.iter().any(|start| label.starts_with(start)) {
        return Charset::Superset;
    }
    let name = label.strip_prefix("x-").unwrap_or(label);
    let name = name.strip_prefix("cs").unwrap_or(name);
    let page = ["ibm", "ccsid", "cp", "dos", "windows"].iter().find_map(|start| name.strip_prefix(start));
    let number = page.unwrap_or(name).trim_start_matches(['-', '_']);
    let digits = number.bytes().take_while(u8::is_ascii_digit).count();
    let known = number[..digits].parse().is_ok_and(|number| CODE_PAGES.contains(&number));
    match page {
        Some(_) if known => Charset::Superset,
        Some(_) => Charset::Foreign,
        None if known && digits == name.len() => Charset::Superset,
        None => Charset::Unknown,
    }
}

/// Printable ASCII in lines that end in CRLF or LF.
fn is_plain_ascii(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().all(|(at, octet)| match octet {
        b'\r' => bytes.get(at + 1) == Some(&b'\n'),
        b'\t' | b'\n' | 0x0c | b' '..=b'~' => true,
        _ => false,
    })
}

/// UTF-16 (RFC 2781 4.3) as text, without its mark; `None` where readers may see another text. Without a mark
/// it would be big-endian, and much mail is not: then line ends, spaces and letters have to show the order,
/// and none may speak for the other unless the label says which it is.
fn wide(bytes: &[u8], order: Option<&'static Encoding>) -> Option<String> {
    use encoding_rs::{UTF_16BE, UTF_16LE};
    let sound = |encoding: &'static Encoding, bytes: &[u8]| {
        encoding
            .decode_without_bom_handling_and_without_replacement(bytes)
            .filter(|text| !text.contains(['\0', '\u{fffe}']))
            .map(Cow::into_owned)
    };
    if bytes.is_empty() {
        return Some(String::new());
    }
    if let Some((encoding, skip)) = Encoding::for_bom(bytes) {
        let told = order.is_none_or(|order| order == encoding) && encoding != encoding_rs::UTF_8;
        return told.then(|| sound(encoding, &bytes[skip..])).flatten();
    }
    // Text that is only called so.
    if is_plain_ascii(bytes) {
        return None;
    }
    let count = |high: usize| {
        bytes.chunks_exact(2).filter(|unit| unit[high] == 0 && is_plain_ascii(&[unit[1 - high]])).count()
    };
    let (big, little) = (count(0), count(1));
    let encoding = match order {
        Some(order) if order == UTF_16BE && big > 0 => UTF_16BE,
        Some(order) if order == UTF_16LE && little > 0 => UTF_16LE,
        None if big > 0 && little == 0 => UTF_16BE,
        None if little > 0 && big == 0 => UTF_16LE,
        _ => return None,
    };
    sound(encoding, bytes)
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
            (Some("ibm850"), "abc", Some(b"abc")),
            (Some("ibm850"), "é", None),
            (Some("ibm037"), "abc", None),
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
        assert_eq!(Charset::Ascii.decode(b"\xe9"), None, "windows-1252, or -1251, or half of GBK");
        assert_eq!(Charset::Ascii.decode(b"\x1b$BF|\x1b(B"), None, "ISO-2022-JP that does not say so");
        assert_eq!(Charset::Utf8.decode(b"\xe9"), None);
        assert_eq!(Charset::of(Some("utf-7")).decode(b"Hi Mom +Jjo-!").as_deref(), Some("Hi Mom \u{263a}!"));
        assert_eq!(Charset::of(Some("utf-16")).decode(b"\xff\xfea\0").as_deref(), Some("a"));
        assert_eq!(Charset::Unknown.decode(b"a"), None);
    }
    #[test]
    fn p12_ascii_goes_only_where_it_is_ascii() {
        let takes = |label: &str, bytes: &[u8]| Charset::of(Some(label)).takes_ascii(bytes);
        for label in [
            "ibm850",
            "cp437",
            "437",
            "IBM00858",
            "csIBM852",
            "x-mac-ce",
            "macintosh",
            "viscii",
            "tis-620",
            "armscii-8",
            "iso-8859-9e",
            "8859_1",
            "cp949",
            "shift_jis",
            "utf-8",
            "us-ascii",
        ] {
            assert!(takes(label, b"caf\x82\r\n"), "{label}");
        }
        for label in ["x-unknown", "unknown-8bit", "x-user-defined", "iso-2022-kr", "default", "sdf"] {
            assert!(takes(label, b"Hallo\tBob,\r\n\r\nDag\n"), "{label}");
            for bytes in [&b"caf\xe9"[..], b"\x1b$)C\x0eA", b"a\0b\0", b"one\rtwo"] {
                assert!(!takes(label, bytes), "{label} {bytes:?}");
            }
        }
        for label in [
            "utf-32",
            "utf-32le",
            "ucs-4",
            "iso-10646-ucs-4",
            "ibm1140",
            "IBM037",
            "ibm-1047",
            "cp500",
            "cp037",
            "ibm01140",
            "ccsid01140",
            "ebcdic-us",
            "csIBM273",
            "ibm-thai",
            "utf-7-imap",
            "hz-gb-2312",
            "x-ibm939",
            "utf-ebcdic",
            "iso646-de",
            "cp12000",
            "windows-1201",
        ] {
            assert!(!takes(label, b"Hallo\r\n"), "{label}");
        }
        assert!(!takes("", b"H\0a\0"), "UTF-16 that does not say so");
    }

    #[test]
    fn p12_utf_16_is_converted_when_its_order_is_beyond_doubt() {
        let of = |label: &str, bytes: &[u8]| Charset::of(Some(label)).decode(bytes);
        let both = |text: &str| {
            let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            [big, little]
        };
        for text in ["Beste klant\r\n", "caf\u{e9}, \u{20ac} 1\r\n", "\u{65e5}\u{672c}\r\n"] {
            let [big, little] = both(text);
            assert_eq!(of("utf-16", &big).as_deref(), Some(text));
            assert_eq!(of("utf-16", &little).as_deref(), Some(text));
            assert_eq!(of("utf-16be", &big).as_deref(), Some(text));
            assert_eq!(of("utf-16le", &little).as_deref(), Some(text));
            assert_eq!(of("utf-16le", &big), None, "the label says the other order");
            assert_eq!(of("utf-16be", &little), None, "the label says the other order");
            for marked in both(&format!("\u{feff}{text}")) {
                assert_eq!(of("utf-16", &marked).as_deref(), Some(text));
            }
            let [marked, _] = both(&format!("\u{feff}{text}"));
            assert_eq!(of("utf-16le", &marked), None, "the mark says the other order");
        }
        // The commonest of Chinese characters, U+4E00, is an N in the other order.
        let [doubtful, _] = both("\u{4e00}\r\n");
        assert_eq!(of("utf-16", &doubtful), None);
        assert_eq!(of("utf-16be", &doubtful).as_deref(), Some("\u{4e00}\r\n"));
        for bytes in [
            &b"<p>Beste klant</p>\r\n"[..],
            b"<p>x</p>",
            b"\xef\xbb\xbfabc",
            b"\0a\0",
            b"\xff\xfe\0\0a\0\0\0",
            b"\xfe\xff\xd8\x3d",
            b"\x4e\x2d\x65\x87",
        ] {
            assert_eq!(of("utf-16", bytes), None, "{bytes:?}");
        }
        assert_eq!(of("utf-16le", b"<p>x</p>"), None);
        assert_eq!(of("utf-16le", "<p>\u{e9}</p>x".as_bytes()), None);
    }
}
