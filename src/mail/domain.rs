//! Domain names and address literals (RFC 5321 4.1.2, 4.1.3; RFC 5890).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest domain name in octets, as an A-label (RFC 1035 2.3.4).
const MAX_DOMAIN: usize = 253;

/// A domain name, or an address literal such as `[192.0.2.1]` or `[IPv6:2001:db8::1]`.
#[derive(Debug, Clone)]
pub struct Domain {
    /// As it was written.
    text: String,
    /// Lower-case A-labels, or the normalised literal.
    ascii: String,
}

/// Why a text is no domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// Nothing there.
    #[error("the domain is empty")]
    Empty,
    /// Longer than 253 octets.
    #[error("the domain is longer than 253 octets")]
    TooLong,
    /// A label that DNS and IDNA do not allow.
    #[error("the domain has a label that is not allowed")]
    Label,
    /// A bracketed literal that is no IP address.
    #[error("the address literal is no IP address")]
    Literal,
}

impl Domain {
    /// Parse a domain name or an address literal. Underscores are accepted, as real mail has them.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        if text.is_empty() {
            return Err(DomainError::Empty);
        }
        let ascii = match text.strip_prefix('[') {
            Some(rest) => literal(rest.strip_suffix(']').ok_or(DomainError::Literal)?)?,
            None => labels(text)?,
        };
        Ok(Self { text: text.to_owned(), ascii })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Lower-case A-labels (RULES L17).
    pub fn ascii(&self) -> &str {
        &self.ascii
    }

    /// Whether the written form has non-ASCII characters, so that it needs SMTPUTF8 on the wire.
    pub fn is_internationalized(&self) -> bool {
        !self.text.is_ascii()
    }

    /// Whether this is `other` or lies below it.
    pub fn is_within(&self, other: &Domain) -> bool {
        self.ascii
            .strip_suffix(other.ascii.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

fn literal(inner: &str) -> Result<String, DomainError> {
    let address = match inner.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => {
            IpAddr::V6(inner[5..].parse::<Ipv6Addr>().map_err(|_| DomainError::Literal)?)
        }
        _ => IpAddr::V4(inner.parse::<Ipv4Addr>().map_err(|_| DomainError::Literal)?),
    };
    Ok(match address {
        IpAddr::V4(v4) => format!("[{v4}]"),
        IpAddr::V6(v6) => format!("[ipv6:{v6}]"),
    })
}

fn labels(text: &str) -> Result<String, DomainError> {
    let ascii = if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii_strict(text).map_err(|_| DomainError::Label)?
    };
    if ascii.len() > MAX_DOMAIN {
        return Err(DomainError::TooLong);
    }
    let sound = ascii.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    });
    if sound { Ok(ascii) } else { Err(DomainError::Label) }
}

impl PartialEq for Domain {
    fn eq(&self, other: &Self) -> bool {
        self.ascii == other.ascii
    }
}

impl Eq for Domain {}

impl std::hash::Hash for Domain {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.ascii.hash(state);
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl serde::Serialize for Domain {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for Domain {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Domain::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_literals() {
        for (text, ascii) in [
            ("Example.NL", "example.nl"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("my_host.example", "my_host.example"),
            ("[192.0.2.1]", "[192.0.2.1]"),
            ("[IPv6:2001:DB8::1]", "[ipv6:2001:db8::1]"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(Domain::parse(text).unwrap().ascii(), ascii, "{text}");
        }
        for text in ["", ".", "a..b", "-a.nl", "a-.nl", "[1.2.3]", "[IPv6:1]", "a b", "a.nl."] {
            assert!(Domain::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn within_means_the_domain_or_below_it() {
        let company = Domain::parse("voorbeeld.nl").unwrap();
        assert!(Domain::parse("Voorbeeld.NL").unwrap().is_within(&company));
        assert!(Domain::parse("mail.voorbeeld.nl").unwrap().is_within(&company));
        assert!(!Domain::parse("nietvoorbeeld.nl").unwrap().is_within(&company));
    }
}
