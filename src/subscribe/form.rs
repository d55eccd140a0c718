//! A form, and what is sent in by one.

use std::sync::Arc;
use std::time::Duration;

use crate::mail::{Address, Language, Purpose, Sender};

/// Longest consent text of a form, in octets: it stands in a mail and on a page.
pub const MAX_TEXT: usize = 4_000;

/// Longest field that is looked at, in octets.
const MAX_FIELD: usize = 1_000;

/// The fields of a form, as they are named in HTML.
pub(super) const EMAIL: &str = "email";
/// The box that the person ticks.
pub(super) const CONSENT: &str = "consent";
/// What the ticked box says.
pub(super) const YES: &str = "yes";
/// SHA-256 (hex) of the text beside the box.
pub(super) const TEXT: &str = "text";
/// The field that nobody sees: whoever fills it in is a program.
pub(super) const TRAP: &str = "website";

/// A way to sign up for one purpose of one sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Its name, which stands in its address: letters, digits, `-` and `_`.
    pub name: String,
    /// Who asks.
    pub sender: Arc<Sender>,
    /// For what.
    pub purpose: Purpose,
    /// The consent text, as it stands beside the box.
    pub text: String,
    /// Its SHA-256 (hex).
    pub text_sha256: String,
    /// Where the privacy text stands.
    pub privacy_url: Option<String>,
    /// Version of the privacy text.
    pub privacy_version: Option<String>,
    /// From address of the confirmation mail.
    pub from: Address,
    /// Language of the mail and the pages: that of the text.
    pub language: Language,
    /// The sites that have the form, as origins (`https://www.example.nl`); our own pages may always.
    pub origins: Vec<String>,
    /// What our own addresses begin with.
    pub url: String,
    /// How long the link in the mail is good for.
    pub confirm_within: Duration,
    /// How long after the first of two mails the next may go.
    pub ask_again_after: Duration,
}

/// Why what was sent in cannot be taken. It depends on nothing that is on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// No e-mail address.
    Address,
    /// The box was not ticked.
    NotTicked,
    /// The text beside the box is not the one in force.
    Outdated,
    /// From a site that may not have the form.
    Elsewhere,
    /// Too many at this moment.
    TooMany,
}

impl Form {
    /// Where it is sent to.
    pub fn action(&self) -> String {
        format!("{}/subscribe/{}", self.url, self.name)
    }

    /// The link that confirms with `token`.
    pub fn link(&self, token: &str) -> String {
        format!("{}/c/{token}", self.url)
    }

    /// Whether a page of `origin` may send it in.
    pub(super) fn is_from(&self, origin: &str) -> bool {
        let own = origin_of(&self.url);
        self.origins.iter().map(String::as_str).chain(own).any(|known| known.eq_ignore_ascii_case(origin))
    }

    /// What a body says; `Ok(None)` when a program filled in what nobody sees.
    pub(super) fn read(&self, body: &[u8]) -> Result<Option<Address>, Problem> {
        let field = |name: &str| {
            let mut fields = form_urlencoded::parse(body);
            fields.find_map(|(known, value)| (known == name && value.len() <= MAX_FIELD).then_some(value))
        };
        if field(TRAP).is_some_and(|value| !value.is_empty()) {
            return Ok(None);
        }
        if field(TEXT).as_deref() != Some(&self.text_sha256) {
            return Err(Problem::Outdated);
        }
        let email = field(EMAIL).unwrap_or_default();
        let address = Address::parse(email.trim()).map_err(|_| Problem::Address)?;
        if field(CONSENT).as_deref() != Some(YES) {
            return Err(Problem::NotTicked);
        }
        Ok(Some(address))
    }
}

/// Scheme, host and port of a URL (RFC 6454).
pub(super) fn origin_of(url: &str) -> Option<&str> {
    let host = url.find("://")? + 3;
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    Some(&url[..end])
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::mail::{SenderId, hex, sha256};

    pub(in super::super) fn form() -> Form {
        let text =
            "Ja, Voorbeeld Hypotheken B.V. mag mij elke maand een nieuwsbrief <mailen>. Afmelden kan altijd.";
        let contact = Address::parse("info@voorbeeldhypotheken.nl").unwrap();
        Form {
            name: "nieuws".to_owned(),
            sender: Arc::new(Sender {
                id: SenderId("12345678".to_owned()),
                name: "Voorbeeld Hypotheken B.V.".to_owned(),
                trade_names: Vec::new(),
                kvk: "12345678".to_owned(),
                address: "Dorpsstraat 1, 1234 AB Ons Dorp".to_owned(),
                contact: contact.clone(),
                domains: Vec::new(),
                notify: Vec::new(),
                language: Language::Nl,
            }),
            purpose: Purpose("nieuwsbrief".to_owned()),
            text: text.to_owned(),
            text_sha256: hex(&sha256(text.as_bytes())),
            privacy_url: Some("https://www.voorbeeld.nl/privacy".to_owned()),
            privacy_version: None,
            from: contact,
            language: Language::Nl,
            origins: vec!["https://www.voorbeeld.nl".to_owned()],
            url: "https://afmelden.voorbeeld.nl/x".to_owned(),
            confirm_within: Duration::from_secs(3 * 86_400),
            ask_again_after: Duration::from_secs(30 * 86_400),
        }
    }

    #[test]
    fn l2_only_a_ticked_box_beside_the_text_in_force_is_a_request() {
        let form = form();
        let read = |body: &str| form.read(body.replace("HASH", &form.text_sha256).as_bytes());
        let address = Address::parse("Lezer+nl@example.org").unwrap();
        let whole = "email=+Lezer%2Bnl%40example.org%20&consent=yes&text=HASH&website=";
        assert_eq!(read(whole), Ok(Some(address)));
        assert_eq!(read(&whole.replace("website=", "website=x")), Ok(None));
        assert_eq!(read(&whole.replace("consent=yes&", "")), Err(Problem::NotTicked));
        assert_eq!(read(&whole.replace("consent=yes", "consent=on")), Err(Problem::NotTicked));
        assert_eq!(read(&whole.replace("HASH", "00")), Err(Problem::Outdated));
        for wrong in ["lezer", "a@b@c.nl", "a%0D%0ABcc:x@example.org", &"x".repeat(2_000)] {
            let body = format!("email={wrong}&consent=yes&text=HASH");
            assert_eq!(read(&body), Err(Problem::Address), "{wrong}");
        }
        assert_eq!(read(""), Err(Problem::Outdated));
    }

    #[test]
    fn l12_a_form_is_taken_from_its_own_sites_only() {
        let form = form();
        for (origin, is_from) in [
            ("https://www.voorbeeld.nl", true),
            ("https://afmelden.voorbeeld.nl", true),
            ("https://WWW.voorbeeld.nl", true),
            ("http://www.voorbeeld.nl", false),
            ("https://www.voorbeeld.nl.example.org", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(form.is_from(origin), is_from, "{origin}");
        }
        assert_eq!(origin_of("https://a.nl/x?y=https://b.nl"), Some("https://a.nl"));
        assert_eq!(origin_of("about:blank"), None);
    }
}
