//! Mailbox addresses (RFC 5321 4.1.2, RFC 6531 3.3; RULES L17).

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;

use super::domain::{Domain, DomainError};

/// Longest local part in octets (RFC 5321 4.5.3.1.1).
const MAX_LOCAL: usize = 64;
/// Longest path in octets, without the angle brackets (RFC 5321 4.5.3.1.3).
const MAX_PATH: usize = 254;

/// A mailbox: a local part, kept exactly as it was written (quotes included), and a domain.
///
/// Two addresses are equal when they are spelled alike; compare [`Address::key`] to ask whether they
/// name the same mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// As written: dot-string or quoted string, `@`, domain.
    text: String,
    /// Where the `@` is in `text`.
    at: usize,
    domain: Domain,
    key: AddressKey,
}

/// The one form under which the registers know a mailbox (RULES L17): local part case-folded, without
/// needless quotes or escapes; domain as lower-case A-labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressKey(String);

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `@` outside quotes.
    #[error("the address has no @domain")]
    NoDomain,
    /// Nothing before the `@`, or a character that needs quotes.
    #[error("the part before the @ has a character that is not allowed there")]
    Local,
    /// Local part over 64 octets or path over 254.
    #[error("the address is too long")]
    TooLong,
    /// `<@a,@b:user@x>` (RFC 5321 appendix C; RULES L17 refuses it).
    #[error("source routes are not accepted")]
    SourceRoute,
    /// The domain is not one.
    #[error("{0}")]
    Domain(#[from] DomainError),
}

impl Address {
    /// Parse `local@domain` without angle brackets. UTF-8 is accepted; whether the session may use
    /// it is asked with [`Address::is_internationalized`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        Self::parse_within(text, MAX_LOCAL, MAX_PATH)
    }

    fn parse_within(text: &str, max_local: usize, max_path: usize) -> Result<Self, AddressError> {
        if text.starts_with('@') {
            return Err(AddressError::SourceRoute);
        }
        let (local, at) = if text.starts_with('"') {
            let end = quoted_end(text).ok_or(AddressError::Local)?;
            (unquote(&text[1..end - 1])?, end)
        } else {
            let at = text.find('@').ok_or(AddressError::NoDomain)?;
            if !is_dot_string(&text[..at]) {
                return Err(AddressError::Local);
            }
            (text[..at].to_owned(), at)
        };
        let domain = text[at..].strip_prefix('@').ok_or(AddressError::NoDomain)?;
        if at > max_local || text.len() > max_path {
            return Err(AddressError::TooLong);
        }
        let domain = Domain::parse(domain)?;
        let key = AddressKey::build(&local, &domain);
        Ok(Self { text: text.to_owned(), at, domain, key })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The local part as it was written, quotes included.
    pub fn local(&self) -> &str {
        &self.text[..self.at]
    }

    /// The domain.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The form under which the registers know this mailbox.
    pub fn key(&self) -> &AddressKey {
        &self.key
    }

    /// Whether it has non-ASCII characters, so that it needs SMTPUTF8 on the wire (RFC 6531).
    pub fn is_internationalized(&self) -> bool {
        !self.text.is_ascii()
    }
}

impl AddressKey {
    fn build(local: &str, domain: &Domain) -> Self {
        let folded = fold(local);
        let mut key = if is_dot_string(&folded) {
            folded
        } else {
            let escaped = folded.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{escaped}\"")
        };
        key.push('@');
        key.push_str(domain.ascii());
        Self(key)
    }

    /// The key as text. It is itself written like an address, though folding may have made it longer
    /// than an address can be.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key without its `+tag`, when it has one: a suppression of the base address covers the
    /// tagged one (RULES L17).
    pub fn base(&self) -> Option<AddressKey> {
        let at = self.0.rfind('@')?;
        let (local, domain) = self.0.split_at(at);
        match local.split_once('+') {
            Some(("" | "\"", _)) | None => None,
            // A tag that needs its quotes is a tag all the same; without it they may be needless.
            Some((base, _)) if local.starts_with('"') => {
                let domain = Domain::parse(&domain[1..]).ok()?;
                unquote(&base[1..]).ok().map(|base| Self::build(&base, &domain))
            }
            Some((base, _)) => Some(Self(format!("{base}{domain}"))),
        }
    }

    /// Lower-case A-label domain of the key.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

/// A local part as the registers know it, with or without the stars of a pattern: Unicode's simple case folding, which
/// leaves `ß` what it is. Composed and decomposed letters are one mailbox (RFC 6531 3.3, RFC 6532 3.1: NFC), and folding
/// may take letters apart again.
pub fn fold(local: &str) -> String {
    if local.is_ascii() {
        local.to_ascii_lowercase()
    } else {
        local.nfc().flat_map(char::to_lowercase).map(twin).nfc().collect()
    }
}

/// How a Greek address was known as long as a final sigma was a letter of its own: the spelling that Greek has for it.
/// Hashes of that time cannot be made anew.
pub fn with_final_sigma(key: &str) -> Option<String> {
    let (local, domain) = key.split_at(key.rfind('@')?);
    let chars: Vec<char> = local.chars().collect();
    let is_letter =
        |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(|c: &char| c.is_alphabetic());
    let spelled = |(at, c): (usize, &char)| {
        let is_final = *c == 'σ' && is_letter(at.checked_sub(1)) && !is_letter(at.checked_add(1));
        if is_final { 'ς' } else { *c }
    };
    let spelled: String = chars.iter().enumerate().map(spelled).collect();
    (spelled != local).then(|| spelled + domain)
}

/// The letter that a small letter has in common with its capital, for those that lower-casing leaves apart
/// (CaseFolding.txt of Unicode): `ΟΔΟΣ` is `οδοσ` and `οδος`.
fn twin(small: char) -> char {
    match small {
        '\u{b5}' => 'μ',
        '\u{17f}' => 's',
        'ς' => 'σ',
        '\u{3d0}' => 'β',
        '\u{3d1}' => 'θ',
        '\u{3d5}' => 'φ',
        '\u{3d6}' => 'π',
        '\u{3f0}' => 'κ',
        '\u{3f1}' => 'ρ',
        '\u{3f5}' => 'ε',
        '\u{1e9b}' => '\u{1e61}',
        '\u{1c80}' => 'в',
        '\u{1c81}' => 'д',
        '\u{1c82}' => 'о',
        '\u{1c83}' => 'с',
        '\u{1c84}' | '\u{1c85}' => 'т',
        '\u{1c86}' => 'ъ',
        '\u{1c87}' => '\u{463}',
        '\u{1c88}' => '\u{a64b}',
        other => other,
    }
}

/// Index just past the closing quote of a text that starts with one.
fn quoted_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// The characters that a quoted string stands for.
fn unquote(inner: &str) -> Result<String, AddressError> {
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        let c = if c == '\\' { chars.next().ok_or(AddressError::Local)? } else { c };
        if c.is_control() {
            return Err(AddressError::Local);
        }
        plain.push(c);
    }
    if plain.is_empty() { Err(AddressError::Local) } else { Ok(plain) }
}

/// RFC 5321 Dot-string, with the UTF-8 of RFC 6531.
fn is_dot_string(local: &str) -> bool {
    local.split('.').all(|atom| {
        !atom.is_empty()
            && atom.chars().all(|c| {
                c.is_ascii_alphanumeric()
                    || "!#$%&'*+-/=?^_`{|}~".contains(c)
                    || (!c.is_ascii() && !c.is_control() && !c.is_whitespace())
            })
    })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for AddressKey {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for AddressKey {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        // Folding can lengthen a local part (`İ` becomes two characters), and a key that was once written
        // must read back for ever.
        Address::parse_within(&text, usize::MAX, usize::MAX)
            .map(|address| address.key)
            .map_err(serde::de::Error::custom)
    }
}

impl std::str::FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl serde::Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Address::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l17_one_mailbox_has_one_key() {
        for (text, key) in [
            ("Bob@Example.NL", "bob@example.nl"),
            ("\"bob\"@example.nl", "bob@example.nl"),
            ("\"b\\ob\"@example.nl", "bob@example.nl"),
            ("\"b ob\"@example.nl", "\"b ob\"@example.nl"),
            ("b.o.b@example.nl", "b.o.b@example.nl"),
            ("jürgen@bücher.example", "jürgen@xn--bcher-kva.example"),
            ("\"a@b\"@example.nl", "\"a@b\"@example.nl"),
            ("bob@[IPv6:::1]", "bob@[ipv6:::1]"),
            ("ΟΔΟΣ@x.nl", "οδοσ@x.nl"),
            ("οδος@x.nl", "οδοσ@x.nl"),
            ("οδοσ@x.nl", "οδοσ@x.nl"),
            ("Οδός.Νέα@x.nl", "οδόσ.νέα@x.nl"),
            ("wei\u{17f}@x.nl", "weis@x.nl"),
            ("Groß@x.nl", "groß@x.nl"),
            ("GRO\u{1e9e}@x.nl", "groß@x.nl"),
            ("5\u{b5}m@x.nl", "5μm@x.nl"),
            ("ju\u{308}rgen@x.nl", "j\u{fc}rgen@x.nl"),
            ("JU\u{308}RGEN@x.nl", "j\u{fc}rgen@x.nl"),
            ("bob@xn--BCHER-KVA.example", "bob@xn--bcher-kva.example"),
            ("bob@b\u{fc}cher\u{3002}example", "bob@xn--bcher-kva.example"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.key().as_str(), key, "{text}");
            assert_eq!(address.as_str(), text, "the spelling is kept");
        }
    }

    #[test]
    fn l17_how_a_greek_address_was_known_before() {
        let before = |text: &str| with_final_sigma(Address::parse(text).unwrap().key().as_str());
        assert_eq!(before("ΟΔΟΣ.ΣΑΣ+νέας@x.nl").as_deref(), Some("οδος.σας+νέας@x.nl"));
        assert_eq!((before("σ@x.nl"), before("anna@x.nl")), (None, None));
    }

    #[test]
    fn every_key_reads_back() {
        for text in [format!("{}@example.nl", "İ".repeat(32)), format!("\"{}\"@x.nl", "\\\"".repeat(31))] {
            let key = Address::parse(&text).unwrap().key().clone();
            let json = serde_json::to_string(&key).unwrap();
            assert_eq!(serde_json::from_str::<AddressKey>(&json).unwrap(), key);
        }
    }

    #[test]
    fn what_is_no_address() {
        for text in [
            "",
            "bob",
            "@example.nl",
            "bob@",
            "bob@@example.nl",
            ".bob@example.nl",
            "b..b@example.nl",
            "\"bob@example.nl",
            "\"\"@example.nl",
            "b b@example.nl",
            "bob@exa mple.nl",
            "\"a\nb\"@x.nl",
            "\"a\u{85}b\"@x.nl",
            "@a,@b:bob@x.nl",
            "b\"o\"b@x.nl",
        ] {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
        assert!(Address::parse(&format!("{}@example.nl", "a".repeat(65))).is_err());
    }

    #[test]
    fn a_key_that_folding_made_longer_is_still_read_back() {
        let address = Address::parse(&format!("{}@x.nl", "\u{130}".repeat(32))).unwrap();
        assert!(address.key().as_str().len() > 64 + 5);
        let json = serde_json::to_string(address.key()).unwrap();
        assert_eq!(&serde_json::from_str::<AddressKey>(&json).unwrap(), address.key());
    }

    #[test]
    fn l17_the_base_of_a_tagged_address() {
        let key = |text: &str| Address::parse(text).unwrap().key().clone();
        assert_eq!(key("bob+news@x.nl").base(), Some(key("bob@x.nl")));
        assert_eq!(key("bob@x.nl").base(), None);
        assert_eq!(key("+news@x.nl").base(), None);
        assert_eq!(key("\"bob+ x\"@x.nl").base(), Some(key("bob@x.nl")));
        assert_eq!(key("\"b ob+x\"@x.nl").base(), Some(key("\"b ob\"@x.nl")));
        assert_eq!(key("\"b\\\"ob+x\"@[192.0.2.1]").base(), Some(key("\"b\\\"ob\"@[192.0.2.1]")));
        assert_eq!(key("\"bob@y+x\"@x.nl").base(), Some(key("\"bob@y\"@x.nl")));
        assert_eq!(key("\"+ x\"@x.nl").base(), None);
        assert_eq!(key("\"b ob\"@x.nl").base(), None);
    }
}
