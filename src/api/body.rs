//! What comes in, and whom it is about.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::routes::Limits;
use crate::mail::Address;

/// Where telephone numbers live in the register: a name that no mail can go to (RFC 2606 2).
const TELEPHONE: &str = "sms.invalid";
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
    /// text messages, a telephone number.
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
            _ => Address::parse(text).map_err(|error| format!("\"{text}\": {error}")),
        }
    }
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
