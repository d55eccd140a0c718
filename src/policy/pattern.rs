//! Patterns on addresses and header values: `*` stands for any characters, nothing else is special.
//!
//! Matching takes time linear in the text, however many stars there are, and allocates nothing.

use crate::mail::{self, Address, AddressKey, Domain};

/// A pattern on an address, compared with the form under which the registers know a mailbox (RULES L17),
/// so that no spelling of an address slips past a rule.
///
/// `info@example.org`, `*@example.org` (or `@example.org`), `news-*@*.example.org`, `*` for any address,
/// and `<>` for the null reverse-path. A star does not reach across the `@`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Shape);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Null,
    Any,
    Parts { local: String, domain: String },
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing in it.
    #[error("the pattern is empty")]
    Empty,
    /// Without `@` it could match no address.
    #[error("the pattern has no @; write *@example.org for a whole domain")]
    NoAt,
    /// The domain is none, with or without stars.
    #[error("the part after the @ is no domain")]
    Domain,
    /// The local part can match no address.
    #[error("the part before the @ is no local part")]
    Local,
}

impl Pattern {
    /// `<>`: the null reverse-path.
    pub const NULL: Self = Self(Shape::Null);

    /// Parse and fold: local part in lower case, domain as lower-case A-labels.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        match text {
            "" => return Err(PatternError::Empty),
            "<>" => return Ok(Self(Shape::Null)),
            "*" => return Ok(Self(Shape::Any)),
            _ => {}
        }
        let (local, domain) = text.rsplit_once('@').ok_or(PatternError::NoAt)?;
        let domain = fold_domain(domain)?;
        let local = if local.is_empty() {
            "*".to_owned()
        } else if local.contains('*') {
            mail::fold(local)
        } else {
            // The domain is beside the point here; it only makes the local part an address.
            let address = Address::parse(&format!("{local}@x")).map_err(|_| PatternError::Local)?;
            let key = address.key().as_str();
            key[..key.len() - "@x".len()].to_owned()
        };
        Ok(Self(Shape::Parts { local, domain }))
    }

    /// Whether it matches a mailbox.
    pub fn matches(&self, key: &AddressKey) -> bool {
        match &self.0 {
            Shape::Null => false,
            Shape::Any => true,
            Shape::Parts { local, domain } => {
                key.as_str().rsplit_once('@').is_some_and(|(l, d)| glob(domain, d) && glob(local, l))
            }
        }
    }

    /// Whether it matches the null reverse-path.
    pub fn matches_null(&self) -> bool {
        self.0 == Shape::Null
    }

    /// The one domain that all it matches lies in, as A-labels; `None` when there are several.
    pub(super) fn domain(&self) -> Option<&str> {
        match &self.0 {
            Shape::Parts { domain, .. } if !domain.contains('*') => Some(domain),
            _ => None,
        }
    }
}

impl std::fmt::Display for Pattern {
    /// In its folded form: what parses to the same pattern.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Shape::Null => f.write_str("<>"),
            Shape::Any => f.write_str("*"),
            Shape::Parts { local, domain } => write!(f, "{local}@{domain}"),
        }
    }
}

impl std::str::FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

fn fold_domain(domain: &str) -> Result<String, PatternError> {
    if !domain.contains('*') {
        return Domain::parse(domain).map(|d| d.ascii().to_owned()).map_err(|_| PatternError::Domain);
    }
    let labels: Result<Vec<String>, PatternError> = domain
        .split('.')
        .map(|label| match label {
            "" => Err(PatternError::Domain),
            label if label.is_ascii() => Ok(label.to_ascii_lowercase()),
            label if label.contains('*') => Err(PatternError::Domain),
            label => Domain::parse(label).map(|d| d.ascii().to_owned()).map_err(|_| PatternError::Domain),
        })
        .collect();
    Ok(labels?.join("."))
}

/// Whether `pattern`, in which `*` stands for any characters, matches the whole of `text`.
///
/// The stretches between the stars are looked for from left to right, each at its first place: what a
/// later place could match, the first can too. Each search is linear and they do not overlap.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    for stretch in middle.split('*').filter(|stretch| !stretch.is_empty()) {
        match text.find(stretch) {
            Some(at) => text = &text[at + stretch.len()..],
            None => return false,
        }
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, address: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(Address::parse(address).unwrap().key())
    }

    #[test]
    fn patterns_match_mailboxes() {
        for (pattern, address, expected) in [
            ("info@example.org", "Info@Example.ORG", true),
            ("Info@Example.ORG", "info@example.org", true),
            ("info@example.org", "info@sub.example.org", false),
            ("*@example.org", "anyone@example.org", true),
            ("@example.org", "anyone@example.org", true),
            ("*@example.org", "anyone@example.org.evil.test", false),
            ("*@example.org", "anyone@notexample.org", false),
            ("*@*.example.org", "anyone@a.b.example.org", true),
            ("*@*.example.org", "anyone@example.org", false),
            ("news-*@example.org", "news-may@example.org", true),
            ("news-*@example.org", "news@example.org", false),
            ("*", "anyone@anywhere.test", true),
            ("<>", "anyone@anywhere.test", false),
            ("info*@example.org", "info@evil.test", false),
            ("οδος-*@example.org", "ΟΔΟΣ-7@example.org", true),
            ("*ΔΟΣ@example.org", "οδος@example.org", true),
            ("οδος@example.org", "ΟΔΟΣ@example.org", true),
            ("*@bücher.example", "lezer@xn--bcher-kva.example", true),
            ("*@*.bücher.example", "lezer@shop.bücher.example", true),
        ] {
            assert_eq!(matches(pattern, address), expected, "{pattern} on {address}");
        }
        assert!(Pattern::parse("<>").unwrap().matches_null());
        assert!(!Pattern::parse("*").unwrap().matches_null());
    }

    #[test]
    fn l17_no_spelling_slips_past_a_pattern() {
        for address in ["bob@example.org", "\"bob\"@example.org", "\"b\\ob\"@EXAMPLE.org", "BOB@example.org"]
        {
            assert!(matches("bob@example.org", address), "{address}");
            assert!(matches("\"bob\"@example.org", address), "{address}");
        }
        // A star does not reach across the @ that separates local part and domain.
        assert!(!matches("bob*@example.org", "\"bob@example.org\"@evil.test"));
        assert!(!matches("*@evil.test", "\"x@evil.test\"@example.org"));
    }

    #[test]
    fn what_is_no_pattern() {
        for (text, error) in [
            ("", PatternError::Empty),
            ("example.org", PatternError::NoAt),
            ("news*", PatternError::NoAt),
            ("info@", PatternError::Domain),
            ("info@exa mple.org", PatternError::Domain),
            ("info@*..org", PatternError::Domain),
            ("in fo@example.org", PatternError::Local),
        ] {
            assert_eq!(Pattern::parse(text), Err(error), "{text:?}");
        }
    }

    /// The definition, without regard to cost.
    fn slow(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|skip| slow(rest, &text[skip..])),
            Some((c, rest)) => text.first() == Some(c) && slow(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn glob_is_what_it_says(pattern in "[abé*]{0,8}", text in "[abé]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(glob(&pattern, &text), slow(&chars(&pattern), &chars(&text)));
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,40}") {
            let _ = Pattern::parse(&text);
        }
    }

    #[test]
    fn glob_is_linear_where_backtracking_would_explode() {
        let text = "a".repeat(100_000);
        assert!(!glob(&("a*".repeat(1_000) + "b"), &text));
        assert!(glob(&("a*".repeat(1_000)), &text));
    }
}
