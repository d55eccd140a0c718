//! Names of html elements as numbers, so that telling them apart is one comparison.

/// A tag's name in lower case, as a number: up to 15 octets and, in the topmost octet, how many. Longer ones
/// are hashed, and never equal to those.
pub(crate) type Name = u128;

/// The number of a name.
pub(crate) const fn pack(name: &[u8]) -> Name {
    let short = name.len() < 16;
    // FNV-1a where it is long.
    let mut sum: Name =
        if short { (name.len() as Name) << 120 } else { 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d };
    let mut at = 0;
    while at < name.len() {
        let octet = name[at].to_ascii_lowercase() as Name;
        sum = match short {
            true => sum | octet << (8 * at),
            false => (sum ^ octet).wrapping_mul(0x0100_0000_0000_0000_0000_013b),
        };
        at += 1;
    }
    if short { sum } else { sum | 0xff << 120 }
}

macro_rules! names {
    ($($constant:ident = $name:literal),* $(,)?) => {
        $(pub(crate) const $constant: Name = pack($name.as_bytes());)*
    };
}

names! {
    A = "a", ADDRESS = "address", ANNOTATION_XML = "annotation-xml", BODY = "body", BR = "br",
    BUTTON = "button", DD = "dd", DESC = "desc", DIV = "div", DT = "dt", FONT = "font",
    FOREIGNOBJECT = "foreignobject", FRAMESET = "frameset", HEAD = "head", HTML = "html", IFRAME =
    "iframe", IMG = "img", LI = "li", LINK = "link", MATH = "math", MI = "mi", MN = "mn", MO = "mo", MS = "ms",
    MTEXT = "mtext", NOEMBED = "noembed", NOFRAMES = "noframes", OL = "ol", OPTGROUP = "optgroup",
    OPTION = "option", P = "p", PLAINTEXT = "plaintext", SCRIPT = "script", SELECT = "select", STYLE
    = "style", SVG = "svg", TABLE = "table", TBODY = "tbody", TD = "td", TEMPLATE = "template",
    TEXTAREA = "textarea", TFOOT = "tfoot", TH = "th", THEAD = "thead", TITLE = "title", TR = "tr",
    UL = "ul", XMP = "xmp",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_whatever_their_case() {
        assert_eq!(pack(b"DiV"), DIV);
        assert_eq!(pack(b"Annotation-XML"), ANNOTATION_XML);
        let names = ["", "a", "aa", "a\0", "abcdefghijklmno", "abcdefghijklmnop", "abcdefghijklmnopq"];
        for (at, name) in names.iter().enumerate() {
            let others = names.iter().skip(at + 1);
            assert!(others.clone().all(|other| pack(other.as_bytes()) != pack(name.as_bytes())), "{name}");
        }
    }
}
