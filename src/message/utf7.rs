//! UTF-7 (RFC 2152), for converting a part into UTF-8.
//!
//! Promises: what is well formed is decoded to what it says, octet for octet; anything else is `None`, so that
//! nobody's text is guessed at. Deliberately absent: encoding (nothing is written in UTF-7), and the modified
//! UTF-7 of IMAP.

/// `bytes` as text; `None` when they are not well-formed UTF-7.
pub(super) fn decode(bytes: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&octet) = bytes.get(at) {
        at += 1;
        if octet != b'+' {
            text.push(direct(octet)?);
            continue;
        }
        let run = bytes[at..].iter().take_while(|b| sextet(**b).is_some()).count();
        let shifted = &bytes[at..at + run];
        at += run;
        let absorbed = bytes.get(at) == Some(&b'-');
        match (run, absorbed) {
            (0, true) => text.push('+'),
            (0, false) => return None,
            _ => unicode(shifted, &mut text)?,
        }
        // Only a hyphen is part of the shift; whatever else ends it is text.
        at += usize::from(absorbed);
    }
    Some(text)
}

/// What may stand for itself: sets D and O, white space and line ends; `\` and `~` may not.
fn direct(octet: u8) -> Option<char> {
    let plain = matches!(octet, b'\t' | b'\r' | b'\n' | b' '..=b'}') && octet != b'\\';
    plain.then_some(char::from(octet))
}

/// The text of one shift: UTF-16, big-endian, in base64 without padding; the bits left over are zero, and
/// fewer than one digit has.
fn unicode(shifted: &[u8], text: &mut String) -> Option<()> {
    let (mut bits, mut held) = (0_u32, 0);
    let mut units = Vec::with_capacity(shifted.len() * 6 / 16);
    for &digit in shifted {
        bits = bits << 6 | u32::from(sextet(digit)?);
        held += 6;
        if held >= 16 {
            held -= 16;
            units.push(u16::try_from(bits >> held).ok()?);
            bits &= (1 << held) - 1;
        }
    }
    if held >= 6 || bits != 0 {
        return None;
    }
    for unit in char::decode_utf16(units) {
        text.push(unit.ok().filter(|c| *c != '\0')?);
    }
    Some(())
}

fn sextet(octet: u8) -> Option<u8> {
    match octet {
        b'A'..=b'Z' => Some(octet - b'A'),
        b'a'..=b'z' => Some(octet - b'a' + 26),
        b'0'..=b'9' => Some(octet - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_2152_examples() {
        for (bytes, text) in [
            ("A+ImIDkQ.", "A\u{2262}\u{391}."),
            ("Hi Mom -+Jjo--!", "Hi Mom -\u{263a}-!"),
            ("+ZeVnLIqe-", "\u{65e5}\u{672c}\u{8a9e}"),
            ("Item 3 is +AKM-1.", "Item 3 is \u{a3}1."),
            ("+2D3eAA-", "\u{1f600}"),
        ] {
            assert_eq!(decode(bytes.as_bytes()).as_deref(), Some(text), "{bytes}");
        }
    }

    #[test]
    fn rfc_2152_only_a_hyphen_is_absorbed_after_a_shift() {
        let bytes = b"Caf+AOk is open: 1 +- 1, +IKw.\r\nplus+AOk\r\nend +AOk-- +-- +AOk";
        let text = "Caf\u{e9} is open: 1 + 1, \u{20ac}.\r\nplus\u{e9}\r\nend \u{e9}- +- \u{e9}";
        assert_eq!(decode(bytes).as_deref(), Some(text));
    }

    #[test]
    fn rfc_2152_what_is_malformed_is_not_decoded() {
        for bytes in [
            &b"a+b@example.nl"[..],
            b"1 + 1",
            b"ends in +",
            b"bits left +AOl-",
            b"a digit too many +AOkA-",
            b"half a pair +2D0-",
            b"the wrong half +3gA-",
            b"a nul +AAA-",
            b"caf\xe9",
            b"~",
            b"\\",
            b"\x1b$B",
        ] {
            assert_eq!(decode(bytes), None, "{}", String::from_utf8_lossy(bytes));
        }
    }
}
