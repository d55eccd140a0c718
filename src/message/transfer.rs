//! Transfer encodings with their places (RFC 2045 6): what the octets of a part mean, where in the raw
//! part a decoded octet is, and our own octets written so that they fit there.

use std::ops::Range;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD};
use memchr::{memchr, memchr2, memmem, memrchr};

/// Longest quoted-printable line, without its CRLF (RFC 2045 6.7).
const QP_LINE: usize = 76;

/// Tolerates set trailing bits, as decoders of readers do.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, NO_PAD.with_decode_allow_trailing_bits(true));

#[allow(clippy::trivially_copy_pass_by_ref, reason = "used as a function of Option<&u8>")]
fn hex(digit: &u8) -> Option<u8> {
    char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The octet that an escape at the start of `text` stands for. Damaged ones stand for themselves, as
/// readers show them.
fn escaped(text: &[u8]) -> Option<u8> {
    Some(text.get(1).and_then(hex)? << 4 | text.get(2).and_then(hex)?)
}

/// What a run of raw quoted-printable means.
#[derive(Debug, Clone, Copy)]
enum Meaning {
    /// Itself.
    Plain,
    /// This octet.
    Octet(u8),
    /// Nothing: a soft break, or white space at the end of a line.
    Nothing,
}

impl Meaning {
    /// How many octets a run of `len` stands for.
    fn octets(self, len: usize) -> usize {
        match self {
            Self::Plain => len,
            Self::Octet(_) => 1,
            Self::Nothing => 0,
        }
    }
}

/// The runs of a quoted-printable text from `at` on, which is the start of a line or of a run.
struct Runs<'a> {
    raw: &'a [u8],
    at: usize,
}

impl Iterator for Runs<'_> {
    type Item = (Range<usize>, Meaning);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let start = self.at;
        let rest = self.raw.get(start..).filter(|rest| !rest.is_empty())?;
        let (len, meaning) = if rest[0] == b'=' {
            quoted(rest)
        } else {
            match memchr2(b'=', b'\n', rest) {
                Some(n) if rest[n] == b'=' => (n, Meaning::Plain),
                Some(n) => up_to_line_end(&rest[..n], n + 1),
                None => up_to_line_end(rest, rest.len()),
            }
        };
        self.at += len;
        Some((start..self.at, meaning))
    }
}

/// The run that starts with the `=` at the start of `rest`.
fn quoted(rest: &[u8]) -> (usize, Meaning) {
    let tail = 1 + rest[1..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    match &rest[tail..] {
        [] => (tail, Meaning::Nothing),
        [b'\n', ..] => (tail + 1, Meaning::Nothing),
        [b'\r', b'\n', ..] => (tail + 2, Meaning::Nothing),
        _ => escaped(rest).map_or((1, Meaning::Plain), |octet| (3, Meaning::Octet(octet))),
    }
}

/// The run that starts a text up to its line end or, when that is all of it (`whole`), the end of the part.
fn up_to_line_end(text: &[u8], whole: usize) -> (usize, Meaning) {
    let content = if whole > text.len() { text.strip_suffix(b"\r").unwrap_or(text) } else { text };
    let blank = content.iter().rev().take_while(|b| matches!(b, b' ' | b'\t')).count();
    match content.len() - blank {
        _ if blank == 0 => (whole, Meaning::Plain),
        0 => (blank, Meaning::Nothing),
        kept => (kept, Meaning::Plain),
    }
}

/// Decode quoted-printable.
pub(crate) fn qp_decode(raw: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(raw.len());
    for (run, meaning) in (Runs { raw, at: 0 }) {
        match meaning {
            Meaning::Plain => decoded.extend_from_slice(&raw[run]),
            Meaning::Octet(octet) => decoded.push(octet),
            Meaning::Nothing => {}
        }
    }
    decoded
}

/// Where the decoded offsets `wanted` (sorted) are in `raw`, which stands for `octets` in all: at the start
/// of the octet's own run, after any soft break before it.
pub(crate) fn qp_places(raw: &[u8], octets: usize, wanted: &[usize]) -> Vec<usize> {
    let mut places = Vec::with_capacity(wanted.len());
    let (at, mut decoded) = qp_line(raw, octets, wanted.first().copied().unwrap_or_default());
    for (run, meaning) in (Runs { raw, at }) {
        let octets = meaning.octets(run.len());
        while let Some(&next) = wanted.get(places.len()).filter(|next| **next < decoded + octets) {
            places.push(run.start + if octets == run.len() { next - decoded } else { 0 });
        }
        decoded += octets;
        if places.len() == wanted.len() {
            break;
        }
    }
    places.resize(wanted.len(), raw.len());
    places
}

/// A line start of `raw` at or before decoded offset `wanted`, and its own decoded offset. Lines mean the same
/// whatever is before them, so that a place near the end is found from there.
fn qp_line(raw: &[u8], octets: usize, wanted: usize) -> (usize, usize) {
    if wanted < octets / 2 {
        return (0, 0);
    }
    let (mut at, mut decoded) = (raw.len(), octets);
    while decoded > wanted && at > 0 {
        let start = memrchr(b'\n', &raw[..at - 1]).map_or(0, |n| n + 1);
        let line = Runs { raw: &raw[start..at], at: 0 };
        let octets = line.map(|(run, meaning)| meaning.octets(run.len())).sum::<usize>();
        (at, decoded) = (start, decoded.saturating_sub(octets));
    }
    (at, decoded)
}

/// Octets for `content` at `raw[start..end]` (which they replace) of a quoted-printable part: the lines
/// around stay under 76 columns and mean what they meant.
pub(crate) fn qp_splice(raw: &[u8], start: usize, end: usize, content: &[u8]) -> Vec<u8> {
    let before = &raw[..start];
    let mut out = Vec::with_capacity(content.len() * 5 / 4 + 8);
    let at_end = start == raw.len();
    let dangling = at_end && before.trim_ascii_end().ends_with(b"=") && !before.ends_with(b"\n");
    let mid_line = !before.is_empty() && !before.ends_with(b"\n");
    // White space that means something, and a stray `=`, need the soft break to keep meaning it.
    let padded = !at_end && matches!(before.last(), Some(b' ' | b'\t' | b'='));
    if dangling {
        // A soft break whose CRLF belongs to the delimiter after the part.
        out.extend_from_slice(b"\r\n");
    } else if mid_line && (padded || !content.starts_with(b"\r\n")) {
        out.extend_from_slice(b"=\r\n");
    }
    let rest = &raw[end..];
    if rest.starts_with(b"--")
        && let Some((last, head)) = content.split_last()
        && *last != b'\n'
    {
        // At the start of a line these hyphens might read as a delimiter: one octet of ours goes before.
        qp_encode_into(head, &mut out);
        out.extend_from_slice(b"=\r\n");
        out.extend_from_slice(format!("={last:02X}").as_bytes());
        return out;
    }
    qp_encode_into(content, &mut out);
    let more_on_line = rest.first().is_some_and(|b| !matches!(b, b'\r' | b'\n'));
    if more_on_line && !out.is_empty() && !out.ends_with(b"\n") {
        out.extend_from_slice(b"=\r\n");
    }
    out
}

/// Encode whole text as quoted-printable; CRLF is a line break, a lone CR or LF is escaped.
pub(crate) fn qp_encode(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() * 5 / 4 + 8);
    qp_encode_into(content, &mut out);
    out
}

fn qp_encode_into(content: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    for end in memmem::find_iter(content, b"\r\n") {
        qp_encode_line(&content[at..end], out);
        out.extend_from_slice(b"\r\n");
        at = end + 2;
    }
    qp_encode_line(&content[at..], out);
}

/// Octets that stand for themselves, white space included where it is not the last of its line.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut octet = b' ' as usize;
    while octet <= b'~' as usize {
        plain[octet] = octet != b'=' as usize;
        octet += 1;
    }
    plain[b'\t' as usize] = true;
    plain
};

/// One line of text in lines of at most 76 columns.
fn qp_encode_line(line: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut column = 0;
    let mut at = 0;
    while let Some(&octet) = line.get(at) {
        let rest = &line[at..];
        let mut run = rest.iter().take_while(|b| PLAIN[usize::from(**b)]).count();
        if run == rest.len() && matches!(rest.last(), Some(b' ' | b'\t')) {
            run -= 1;
        }
        // A dot or "From " at the start of a line is escaped: some paths still mangle them. So are two
        // hyphens: a soft break may have brought them there, and they may read as a delimiter.
        if column == 0 && (octet == b'.' || rest.starts_with(b"From ") || rest.starts_with(b"--")) {
            run = 0;
        }
        // Room for the `=` of a soft break, unless the line ends here.
        let room = |width| if width == rest.len() { QP_LINE - column } else { QP_LINE - 1 - column };
        let (take, width) = match run {
            0 => (1, 3),
            run if run <= room(run) => (run, run),
            run => (run.min(QP_LINE - 1 - column), run.min(QP_LINE - 1 - column)),
        };
        if take == 0 || width > room(take) {
            out.extend_from_slice(b"=\r\n");
            column = 0;
            continue;
        }
        if run == 0 {
            out.extend_from_slice(&[b'=', HEX[usize::from(octet >> 4)], HEX[usize::from(octet & 15)]]);
        } else {
            out.extend_from_slice(&rest[..take]);
        }
        column += width;
        at += take;
    }
}

/// Escape the octets over 127 of a part that is quoted-printable already, line by line; `None` when it
/// has none.
pub(crate) fn qp_recode(raw: &[u8]) -> Option<Vec<u8>> {
    if raw.is_ascii() {
        return None;
    }
    Some(qp_encode(&qp_decode(raw)))
}

/// Decode base64 with white space in it; `None` when it has anything else, or padding before its end.
pub(crate) fn base64_decode(raw: &[u8]) -> Option<Vec<u8>> {
    let mut packed: Vec<u8> = raw.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    let used = packed.iter().rposition(|b| *b != b'=').map_or(0, |n| n + 1);
    if packed.len() - used > 2 {
        return None;
    }
    packed.truncate(used);
    LENIENT.decode(&packed).ok()
}

/// The last line start of `raw` at or before decoded offset `wanted` from which base64 can be written
/// anew: raw offset and decoded offset.
pub(crate) fn base64_line(raw: &[u8], wanted: usize) -> (usize, usize) {
    let mut found = (0, 0);
    let (mut digits, mut at) = (0, 0);
    while at < raw.len() {
        if digits % 4 == 0 {
            if digits / 4 * 3 > wanted {
                break;
            }
            found = (at, digits / 4 * 3);
        }
        let end = memchr(b'\n', &raw[at..]).map_or(raw.len(), |n| at + n + 1);
        let line = &raw[at..end];
        if memchr(b'=', line).is_some() {
            break;
        }
        digits += line.iter().filter(|b| !b.is_ascii_whitespace()).count();
        at = end;
    }
    found
}

/// The line length that a base64 part is written with.
pub(crate) fn base64_width(raw: &[u8]) -> usize {
    let first = memchr(b'\n', raw).map_or(&b""[..], |n| raw[..n].trim_ascii());
    match first.len() / 4 * 4 {
        len @ 4..=996 => len,
        _ => QP_LINE,
    }
}

/// Encode as base64 in lines of `width`; `raw_end` is what the part ended with, and decides whether the
/// last line gets a CRLF.
pub(crate) fn base64_encode(content: &[u8], width: usize, raw_end: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(content);
    let mut out = Vec::with_capacity(text.len() + text.len() / width.max(4) * 2 + 2);
    for line in text.as_bytes().chunks(width.max(4)) {
        if !out.is_empty() {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(line);
    }
    if raw_end.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The longest line of `bytes`, without its CRLF.
pub(crate) fn longest_line(bytes: &[u8]) -> usize {
    let mut longest = 0;
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', bytes).chain([bytes.len()]) {
        let line = &bytes[start..end];
        longest = longest.max(line.strip_suffix(b"\r").unwrap_or(line).len());
        start = (end + 1).min(bytes.len());
    }
    longest
}

/// The whole line of `bytes` around `range`: its length without what is in the range.
pub(crate) fn line_around(bytes: &[u8], range: Range<usize>) -> usize {
    let start = memrchr(b'\n', &bytes[..range.start]).map_or(0, |n| n + 1);
    let end = memchr(b'\n', &bytes[range.end..]).map_or(bytes.len(), |n| range.end + n);
    range.start - start + (end - range.end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn p12_quoted_printable_and_its_places() {
        let raw = b"a=3Db  \r\nc=\r\nd=XX =E9 \t\r\ne";
        assert_eq!(qp_decode(raw), b"a=b\r\ncd=XX \xe9\r\ne");
        assert_eq!(qp_places(raw, 15, &[0, 1, 2, 6, 999]), [0, 1, 4, 13, raw.len()]);
        assert_eq!(qp_places(raw, 15, &[8, 11, 15]), [15, 18, raw.len()], "found from the end");
        for (raw, means) in [
            (&b"a=\r b=\r"[..], &b"a=\r b=\r"[..]),
            (b"a==41==\r\n=", b"a=A="),
            (b"a =  \r\nb= \n =20 \t\nc\r \n\t\r", b"a b  \nc\r\n\t\r"),
            (b"=4\n1=g1=\t", b"=4\n1=g1"),
        ] {
            assert_eq!(qp_decode(raw), means);
        }
    }

    #[test]
    fn p12_quoted_printable_lines_stay_under_76() {
        let raw = b"some words in the middle </body>";
        let out = qp_splice(
            raw,
            25,
            25,
            "\r\né and a long line that has to be broken somewhere because it is long \r\n".as_bytes(),
        );
        let mut whole = raw[..25].to_vec();
        whole.extend_from_slice(&out);
        whole.extend_from_slice(&raw[25..]);
        assert!(longest_line(&whole) <= 76);
        assert!(String::from_utf8(qp_decode(&whole)).unwrap().contains("middle \r\né and"));
        assert!(!whole.windows(3).any(|w| w == b" \r\n"), "no white space before a line end");
        assert_eq!(qp_splice(b"x--b", 1, 1, b"yz"), b"=\r\ny=\r\n=7A", "no line begins with --b");
        assert_eq!(qp_encode(b"--b\r\n-"), b"=2D-b\r\n-");
        assert_eq!(qp_splice(b"foo=", 4, 4, b"\r\nbar"), b"\r\n\r\nbar", "the soft break is completed");
    }

    #[test]
    fn p12_base64_tail() {
        let raw = b"QUJDREVG\r\nR0hJSktM\r\nTU5P\r\n";
        assert_eq!(base64_decode(raw).unwrap(), b"ABCDEFGHIJKLMNO");
        assert_eq!(base64_line(raw, 7), (10, 6));
        assert_eq!(base64_line(raw, 15), (20, 12));
        assert_eq!(base64_width(raw), 8);
        assert_eq!(base64_encode(b"ABCDEFG", 8, b"\r\n"), b"QUJDREVG\r\nRw==\r\n");
        assert_eq!(base64_decode(b"QUJD====QUJD"), None);
        assert_eq!(base64_decode(b"QU!D"), None);
    }

    proptest! {
        #[test]
        fn p12_quoted_printable_round_trip(content in proptest::collection::vec(any::<u8>(), 0..400)) {
            let raw = qp_encode(&content);
            prop_assert_eq!(qp_decode(&raw), content);
            prop_assert!(longest_line(&raw) <= 76);
            prop_assert!(raw.is_ascii());
        }

        #[test]
        fn p12_quoted_printable_splice_keeps_the_rest(
            text in "[a-zé= \t.]{0,120}", more in "[a-zé =\t]{0,200}", at in 0..40_usize
        ) {
            let raw = qp_encode(text.as_bytes());
            let at = at.min(text.len());
            let place = qp_places(&raw, text.len(), &[at])[0];
            prop_assert_eq!(place, qp_places(&raw, usize::MAX, &[at])[0], "found from either end");
            let out = qp_splice(&raw, place, place, more.as_bytes());
            let whole = [&raw[..place], &out, &raw[place..]].concat();
            let wanted = [&text.as_bytes()[..at], more.as_bytes(), &text.as_bytes()[at..]].concat();
            prop_assert_eq!(qp_decode(&whole), wanted);
            // A full line that ends where the splice begins gets the `=` as its 77th octet, and one that
            // would begin with hyphens an octet of ours.
            prop_assert!(longest_line(&whole) <= 79);
        }

        #[test]
        fn p12_base64_round_trip(content in proptest::collection::vec(any::<u8>(), 0..400), width in 1..40_usize, at in 0..400_usize) {
            let raw = base64_encode(&content, width * 4, b"\r\n");
            prop_assert_eq!(base64_decode(&raw).unwrap(), content.clone());
            let (place, decoded) = base64_line(&raw, at.min(content.len()));
            prop_assert!(decoded <= at);
            prop_assert_eq!(base64_decode(&raw[..place]).unwrap(), &content[..decoded]);
        }
    }
}
