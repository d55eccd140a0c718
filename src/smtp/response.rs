//! Replies of the far side, as a client reads them (RFC 5321 4.2; RFC 2034).
//!
//! One [`ResponseParser`] per connection takes lines out of a buffer until a reply is complete. A reply
//! that is too long, changes its code half-way, or has anything but CRLF at a line's end is an error,
//! after which the connection is of no more use: nobody knows what the far side means.

use bytes::{Buf as _, BytesMut};

use super::reply::is_enhanced;
use crate::mail::one_line;

/// Longest line accepted, CRLF included; four times what RFC 5321 4.5.3.1.5 allows, as real servers
/// write whole sentences.
pub const MAX_LINE: usize = 2048;
/// Most lines accepted of one reply.
pub const MAX_LINES: usize = 128;

/// A complete reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 200 to 599.
    pub code: u16,
    /// The enhanced status code of the first line that has one, if it is of the code's class.
    pub enhanced: Option<String>,
    /// Text of each line, without code and enhanced code; control characters are spaces.
    pub lines: Vec<String>,
}

impl Response {
    /// The text, lines joined with a space.
    pub fn text(&self) -> String {
        self.lines.join(" ").trim().to_owned()
    }

    /// 2xx.
    pub fn is_success(&self) -> bool {
        self.code / 100 == 2
    }

    /// 4xx.
    pub fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// 5xx.
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }
}

/// Why a reply cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Not `ddd`, or not 200 to 599.
    #[error("the reply has no valid code")]
    Code,
    /// Two codes in one reply.
    #[error("the reply changes its code half-way")]
    CodeChanged,
    /// A line over [`MAX_LINE`] octets.
    #[error("the reply has a line that is too long")]
    LineTooLong,
    /// More than [`MAX_LINES`] lines.
    #[error("the reply has too many lines")]
    TooManyLines,
    /// A bare CR or LF.
    #[error("the reply has a bare CR or LF")]
    BareLineEnd,
}

/// Collects the lines of one reply after the other.
#[derive(Debug, Default)]
pub struct ResponseParser {
    code: Option<u16>,
    enhanced: Option<String>,
    lines: Vec<String>,
}

impl ResponseParser {
    /// Take the next reply out of `buffer`; `None` when more bytes are needed. The buffer then holds
    /// less than one line.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Option<Result<Response, ResponseError>> {
        loop {
            let line = match take_line(buffer) {
                Ok(line) => line?,
                Err(error) => return Some(Err(error)),
            };
            match self.line(&line) {
                Ok(false) => {}
                Ok(true) => {
                    let done = std::mem::take(self);
                    let code = done.code?;
                    return Some(Ok(Response { code, enhanced: done.enhanced, lines: done.lines }));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Whether it was the last line.
    fn line(&mut self, line: &[u8]) -> Result<bool, ResponseError> {
        let (digits, rest) = line.split_at_checked(3).ok_or(ResponseError::Code)?;
        let code = std::str::from_utf8(digits)
            .ok()
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
            .and_then(|digits| digits.parse::<u16>().ok())
            .filter(|code| (200..=599).contains(code))
            .ok_or(ResponseError::Code)?;
        if *self.code.get_or_insert(code) != code {
            return Err(ResponseError::CodeChanged);
        }
        if self.lines.len() == MAX_LINES {
            return Err(ResponseError::TooManyLines);
        }
        let (more, text) = match rest.split_first() {
            None => (false, &b""[..]),
            Some((b' ', text)) => (false, text),
            Some((b'-', text)) => (true, text),
            Some(_) => return Err(ResponseError::Code),
        };
        let text = one_line(&String::from_utf8_lossy(text));
        let text = self.without_enhanced(code, text);
        self.lines.push(text);
        Ok(!more)
    }

    /// Split the enhanced code off, and remember the first one.
    fn without_enhanced(&mut self, code: u16, text: String) -> String {
        let (first, rest) = text.split_once(' ').unwrap_or((&text, ""));
        let class = char::from_digit(u32::from(code / 100), 10);
        if !is_enhanced(first) || first.chars().next() != class {
            return text;
        }
        let rest = rest.to_owned();
        self.enhanced.get_or_insert_with(|| first.to_owned());
        rest
    }
}

fn take_line(buffer: &mut BytesMut) -> Result<Option<BytesMut>, ResponseError> {
    let Some(at) = memchr::memchr2(b'\r', b'\n', &buffer[..buffer.len().min(MAX_LINE)]) else {
        return if buffer.len() < MAX_LINE { Ok(None) } else { Err(ResponseError::LineTooLong) };
    };
    if buffer[at] == b'\n' {
        return Err(ResponseError::BareLineEnd);
    }
    match buffer.get(at + 1) {
        None => Ok(None),
        Some(b'\n') => {
            let line = buffer.split_to(at);
            buffer.advance(2);
            Ok(Some(line))
        }
        Some(_) => Err(ResponseError::BareLineEnd),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that comes out of `wire`, up to the first error.
    fn replies(pieces: &[&[u8]]) -> Vec<Result<Response, ResponseError>> {
        let mut parser = ResponseParser::default();
        let mut buffer = BytesMut::new();
        let mut found = Vec::new();
        for piece in pieces {
            buffer.extend_from_slice(piece);
            while let Some(reply) = parser.next(&mut buffer) {
                let failed = reply.is_err();
                found.push(reply);
                if failed {
                    return found;
                }
            }
        }
        found
    }

    fn response(code: u16, enhanced: Option<&str>, lines: &[&str]) -> Result<Response, ResponseError> {
        let lines = lines.iter().map(|&line| line.to_owned()).collect();
        Ok(Response { code, enhanced: enhanced.map(str::to_owned), lines })
    }

    #[test]
    fn replies_however_they_are_cut() {
        for (wire, expected) in [
            ("250 ok\r\n", vec![response(250, None, &["ok"])]),
            ("250\r\n", vec![response(250, None, &[""])]),
            ("250 2.1.0 ok\r\n", vec![response(250, Some("2.1.0"), &["ok"])]),
            ("250 5.1.0 ok\r\n", vec![response(250, None, &["5.1.0 ok"])]),
            ("550 5.1.1\r\n", vec![response(550, Some("5.1.1"), &[""])]),
            (
                "550-5.7.1 one\r\n550 5.7.1 two\r\n221 bye\r\n",
                vec![response(550, Some("5.7.1"), &["one", "two"]), response(221, None, &["bye"])],
            ),
            ("250 caf\u{e9}\u{7}\r\n", vec![response(250, None, &["caf\u{e9} "])]),
            ("250-a\r\n550 b\r\n", vec![Err(ResponseError::CodeChanged)]),
            ("250 a\nb\r\n", vec![Err(ResponseError::BareLineEnd)]),
            ("250 a\rb\r\n", vec![Err(ResponseError::BareLineEnd)]),
            ("199 a\r\n", vec![Err(ResponseError::Code)]),
            ("600 a\r\n", vec![Err(ResponseError::Code)]),
            ("+50 a\r\n", vec![Err(ResponseError::Code)]),
            ("25\r\n", vec![Err(ResponseError::Code)]),
            ("250_a\r\n", vec![Err(ResponseError::Code)]),
            ("2501 a\r\n", vec![Err(ResponseError::Code)]),
            ("250 ok", vec![]),
            ("250-ok\r\n", vec![]),
        ] {
            let bytes = wire.as_bytes();
            for cut in 0..=bytes.len() {
                assert_eq!(replies(&[&bytes[..cut], &bytes[cut..]]), expected, "{wire:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn promise_10_a_talkative_server_is_cut_off() {
        let endless = [&b"220 "[..], &[b'a'; MAX_LINE]].concat();
        assert_eq!(replies(&[&endless]), vec![Err(ResponseError::LineTooLong)]);
        let lines = b"220-a\r\n".repeat(MAX_LINES + 1);
        assert_eq!(replies(&[&lines]), vec![Err(ResponseError::TooManyLines)]);
    }
}
