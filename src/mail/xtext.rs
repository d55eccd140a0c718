//! Addresses in parameters and delivery reports: xtext (RFC 3461 4) and its UTF-8 form (RFC 6533 3).

/// RFC 6533 3: visible ASCII but `+`, `=` and `\` as it is, and the rest as `\x{..}`, which may stand there already.
pub fn utf8_addr_xtext(address: &str) -> String {
    let mut text = String::with_capacity(address.len());
    for (at, c) in address.char_indices() {
        let is_plain = c.is_ascii_graphic() && !matches!(c, '+' | '=' | '\\');
        if is_plain || (c == '\\' && is_embedded(&address[at..])) {
            text.push(c);
        } else {
            text.push_str(&format!("\\x{{{:02X}}}", u32::from(c)));
        }
    }
    text
}

/// Whether `text` begins with an EmbeddedUnicodeChar (RFC 6533 3).
fn is_embedded(text: &str) -> bool {
    let hex = text.strip_prefix("\\x{").and_then(|rest| rest.split_once('}')).map(|(hex, _)| hex);
    hex.is_some_and(|hex| (2..=6).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// xtext (RFC 3461 4) with each `+XX` decoded; what is none stays, such as `b+tag@x` that was not encoded.
pub fn xtext_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        // Capital letters only: `+be` is more likely a tag.
        let is_hex = |b: &&u8| b.is_ascii_digit() || (b'A'..=b'F').contains(*b);
        let hex = |at: usize| after.get(at).filter(is_hex).and_then(|b| char::from(*b).to_digit(16));
        match (byte, hex(0), hex(1)) {
            (b'+', Some(high), Some(low)) => {
                // Two hex digits are at most 255.
                bytes.push((high << 4 | low) as u8);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xtext_and_what_is_none() {
        for (text, decoded) in [
            ("a+2Bb@x", "a+b@x"),
            ("a+tag@x", "a+tag@x"),
            ("a+be@x", "a+be@x"),
            ("a+2", "a+2"),
            ("+", "+"),
            ("b+C3+BCro@x", "b\u{fc}ro@x"),
            ("+FF", "+FF"),
        ] {
            assert_eq!(xtext_decoded(text), decoded);
        }
    }

    #[test]
    fn utf8_addresses_are_ascii_and_escapes_are_kept() {
        for (address, text) in [
            ("b\u{fc}ro@x", r"b\x{FC}ro@x"),
            (r"b\x{FC}ro@x", r"b\x{FC}ro@x"),
            (r"a\b+c=d@x", r"a\x{5C}b\x{2B}c\x{3D}d@x"),
            (r"\x{zz}", r"\x{5C}x{zz}"),
            ("\u{1f600}", r"\x{1F600}"),
        ] {
            assert_eq!(utf8_addr_xtext(address), text);
        }
    }
}
