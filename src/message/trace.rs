//! The fields that say which way a copy came: Received and `Sluis-Trace`; and Date and Message-ID where
//! they are missing (RFC 6409 8; RULES P1, P2).

use jiff::Timestamp;

use super::compose::{Brief, ComposeError};

/// The name of our own field; one from outside never survives.
pub(crate) const TRACE: &str = "Sluis-Trace";
/// The same, lower-case.
pub(crate) const TRACE_KEY: &str = "sluis-trace";

/// `name: value` with its CRLF. Text that would break the header, or a line over 998 octets, is our own
/// failure (promise 9), not the message's.
fn field(name: &str, value: &str) -> Result<Vec<u8>, ComposeError> {
    let text = format!("{name}: {value}\r\n");
    let sound = text.split_terminator("\r\n").enumerate().all(|(number, line)| {
        let folded = number == 0 || line.starts_with([' ', '\t']);
        folded
            && (1..=998).contains(&line.len())
            && !line.trim_ascii().is_empty()
            && !line.contains(|c: char| c.is_control() && c != '\t')
    });
    if sound && !value.is_empty() {
        Ok(text.into_bytes())
    } else {
        Err(ComposeError::Failed(format!("{name} cannot be written")))
    }
}

/// Received, when it is wanted, and the trace.
pub(crate) fn trace(brief: &Brief<'_>) -> Result<Vec<u8>, ComposeError> {
    let mut text = match brief.received {
        Some(value) => field("Received", value)?,
        None => Vec::new(),
    };
    text.extend(field(TRACE, brief.trace)?);
    Ok(text)
}

/// A date-time of RFC 5322 3.3, in UTC: `Tue, 14 Nov 2023 22:13:20 +0000`.
pub fn date_time(at: Timestamp) -> String {
    // Not `-0000`, which would say that no zone is known.
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// Date.
pub(crate) fn date(now: Timestamp) -> Vec<u8> {
    format!("Date: {}\r\n", date_time(now)).into_bytes()
}

/// Message-ID.
pub(crate) fn message_id(id: &str) -> Result<Vec<u8>, ComposeError> {
    if !(id.starts_with('<') && id.ends_with('>')) || id.contains(char::is_whitespace) {
        return Err(ComposeError::Failed("Message-ID cannot be written".to_owned()));
    }
    field("Message-ID", id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promise_9_nothing_breaks_out_of_a_field() {
        for value in ["a\r\nBcc: x", "a\rb", "a\nb", "a\0", "", "a\r\n \r\n b", &"x".repeat(1000)] {
            assert!(field("X", value).is_err(), "{value:?}");
        }
        assert_eq!(field("X", "a\r\n b").unwrap(), b"X: a\r\n b\r\n");
    }

    #[test]
    fn p2_a_date_is_that_of_rfc_5322() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        assert_eq!(date(now), b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n");
    }
}
