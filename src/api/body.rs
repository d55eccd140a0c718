//! What comes in, and whom it is about.

use std::fmt::Write as _;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::routes::Limits;
use crate::mail::{Address, hex, one_line_within, sha256};

/// Where telephone numbers live in the register: a name that no mail can go to (RFC 2606 2).
const TELEPHONE: &str = "sms.invalid";
/// Where the ids of an app live: the same.
const APP: &str = "app.invalid";
/// Octets of an id of an app: push tokens have up to some hundred.
const ID: std::ops::RangeInclusive<usize> = 1..=512;
/// Octets of an id as the register knows it, beyond which it is known by its hash (RFC 5321 4.5.3.1.1).
const LONGEST: usize = 64;
/// Digits of a telephone number (E.164).
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// The way a message goes, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum By {
    /// E-mail.
    #[default]
    Email,
    /// Text message.
    Sms,
    /// Message in an app.
    App,
}

impl By {
    /// The word of the ledger.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
            Self::App => "app",
        }
    }

    /// Whom `text` means: an e-mail address, under which the register knows the person whatever the way; or, for
    /// text messages, a telephone number; or, for messages in an app, the app's own id of a person or a device.
    pub(super) fn whom(self, text: &str) -> Result<Address, String> {
        let text = text.trim();
        match text.strip_prefix('+') {
            Some(number) if self == Self::Sms && !text.contains('@') => {
                let digits = digits(number);
                let sound = DIGITS.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
                let address = Address::parse(&format!("+{digits}@{TELEPHONE}"));
                match address {
                    Ok(address) if sound => Ok(address),
                    _ => Err(format!("\"{text}\" is no telephone number; write +31612345678")),
                }
            }
            _ if self == Self::App && !text.contains('@') => id_of_app(text),
            _ => Address::parse(text).map_err(|error| format!("\"{text}\": {error}")),
        }
    }
}

/// An id of an app as the register has it. Two ids are one person only if they are the same octet for octet, so what a
/// mailbox could not have, or what would be folded, is escaped (`=` and two hex digits), and what is long is hashed.
fn id_of_app(text: &str) -> Result<Address, String> {
    if !ID.contains(&text.len()) || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!(
            "\"{}\" is no id: {} to {} octets, no white space, no @ (with one it is an e-mail address)",
            one_line_within(text, 80),
            ID.start(),
            ID.end()
        ));
    }
    let mut local = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => local.push(char::from(byte)),
            _ => {
                let _ = write!(local, "={byte:02x}");
            }
        }
    }
    if local.len() > LONGEST {
        // An escape has hex digits after it, so no id is spelled like this.
        let mut hash = hex(&sha256(text.as_bytes()));
        hash.truncate(LONGEST - 2);
        local = format!("=h{hash}");
    }
    Address::parse(&format!("{local}@{APP}")).map_err(|error| format!("\"{text}\": {error}"))
}

/// The digits of `number`, written without its `+`. The "(0)" after a country code is dialled only within the
/// country, so it is no part of the number, but for Italy (39) and San Marino (378), whose numbers begin with it.
fn digits(number: &str) -> String {
    let tight: String = number.chars().filter(|c| !" -.".contains(*c)).collect();
    let tight = match tight.split_once("(0)") {
        Some((code, rest))
            if (1..=3).contains(&code.trim_matches(['(', ')']).len())
                && !["39", "378"].contains(&code.trim_matches(['(', ')'])) =>
        {
            format!("{code}{rest}")
        }
        _ => tight,
    };
    tight.replace(['(', ')'], "")
}

/// The JSON of a body.
pub(super) async fn read<T: for<'de> Deserialize<'de>>(
    headers: &HeaderMap,
    body: Body,
    limits: &Limits,
) -> Result<T, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Problem::not_json());
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.and_then(|length| length.parse::<usize>().ok()).is_some_and(|length| length > limits.body) {
        discard(body, limits).await;
        return Err(Problem::too_large(limits.body));
    }
    let bytes = match tokio::time::timeout(limits.body_time, to_bytes(body, limits.body)).await {
        Ok(Ok(bytes)) => bytes,
        // It is longer than it said, or was cut off: nobody is there to read the difference.
        Ok(Err(_)) => return Err(Problem::too_large(limits.body)),
        Err(_) => return Err(Problem::too_slow()),
    };
    serde_json::from_slice(&bytes).map_err(|error| Problem::wrong(error.to_string()))
}

/// Read on for a while without keeping anything: a client that is still writing when its connection closes
/// never sees the answer.
async fn discard(mut body: Body, limits: &Limits) {
    let mut left = limits.body.saturating_mul(4);
    let read = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, bytes::Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    // Whoever takes longer has been told by the deadline.
    let _ = tokio::time::timeout(limits.body_time, read).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l17_an_id_of_an_app_is_one_person_and_no_other() {
        let whom = |text: &str| By::App.whom(text).map(|address| address.key().as_str().to_owned());
        for (id, known) in [
            ("user-4711", "user-4711@app.invalid"),
            (" 550e8400-e29b-41d4-a716-446655440000 ", "550e8400-e29b-41d4-a716-446655440000@app.invalid"),
            ("User.7+x", "=55ser=2e7=2bx@app.invalid"),
            ("é=", "=c3=a9=3d@app.invalid"),
            ("Lezer@example.org", "lezer@example.org"),
        ] {
            assert_eq!(whom(id).as_deref(), Ok(known), "{id}");
        }
        // Push tokens are long, and of two that differ in the case of a letter each is another device.
        let token = "fGh1:APA91b".repeat(20);
        let (one, other) = (whom(&token).unwrap(), whom(&token.to_lowercase()).unwrap());
        assert!(one != other && one.len() == 64 + 1 + APP.len(), "{one} {other}");
        assert_eq!(By::App.whom(&token).unwrap().key().base(), None);
        assert_ne!(whom("user-1"), whom("USER-1"));
        for wrong in ["", "   ", "a b", "a\u{7}b", "a@", &"x".repeat(513)] {
            assert!(whom(wrong).is_err(), "{wrong:?}");
        }
        assert!(By::Email.whom("user-4711").is_err() && By::Sms.whom("user-4711").is_err());
    }

    #[test]
    fn l17_a_telephone_number_is_one_person_however_it_is_written() {
        let whom = |text| By::Sms.whom(text).map(|address| address.key().as_str().to_owned());
        for text in [
            "+31612345678",
            "+31 6 1234 5678",
            " +31-6-12345678 ",
            "+31(6)12345678",
            "+31 (0)6 12345678",
            "+31(0)612345678",
        ] {
            assert_eq!(whom(text).unwrap(), "+31612345678@sms.invalid", "{text}");
        }
        assert_eq!(whom("+39 (0)6 1234567").unwrap(), whom("+39 06 1234567").unwrap(), "Italy dials it");
        for wrong in ["+", "+31", "+316123456789012345", "+31x12345678", "0612345678", ""] {
            assert!(whom(wrong).is_err(), "{wrong}");
        }
        assert_eq!(whom("Lezer@example.org").unwrap(), "lezer@example.org", "the person, whatever the way");
        assert!(By::Email.whom("+31612345678").is_err());
        assert_eq!(By::Sms.whom("+31612345678").unwrap().key().base(), None, "the + is no tag");
    }
}
