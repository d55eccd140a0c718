//! Command lines: found in a buffer, ended by CRLF and by nothing else (RULES P1, promise 9).
//!
//! A line that has a bare CR or LF, or is too long, is reported as soon as that is known and then
//! skipped up to its true end, so that nothing hidden behind it is ever taken for a command, and so
//! that the buffer never holds more than one line (promise 10).

use bytes::{Buf as _, BytesMut};
use memchr::memchr2;

/// Longest command line in octets, CRLF included: the 512 of RFC 5321 4.5.3.1.4, and the room that
/// SIZE, BODY, SMTPUTF8, AUTH, RET and ENVID or NOTIFY and ORCPT add to it (RFC 1870, 6152, 6531,
/// 4954, 3461).
pub const COMMAND_LIMIT: usize = 2048;
/// Longest AUTH command or response line in octets, CRLF included (RFC 4954 4).
pub const AUTH_LIMIT: usize = 12_288;

/// Why a line is no command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than its limit.
    #[error("the line is too long")]
    TooLong,
    /// A CR without LF.
    #[error("a line ends with CRLF: bare CR received")]
    BareCr,
    /// An LF without CR.
    #[error("a line ends with CRLF: bare LF received")]
    BareLf,
}

/// What kind of line is expected; it sets the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// A command.
    Command,
    /// The answer to an AUTH challenge.
    AuthResponse,
}

/// Finds lines in a buffer that grows as bytes arrive.
#[derive(Debug, Clone, Copy, Default)]
pub struct LineSplitter {
    /// How much of the buffer is known to hold no line end.
    scanned: usize,
    /// Set while the rest of a bad line is skipped.
    skipping: bool,
}

impl LineSplitter {
    /// Take the next line out of `buffer`, without its CRLF. `None`: more bytes are needed, and the
    /// buffer holds less than one line.
    pub fn next(&mut self, buffer: &mut BytesMut, expect: Expect) -> Option<Result<BytesMut, LineError>> {
        if self.skipping && !self.skip(buffer) {
            return None;
        }
        let limit = limit(buffer, expect);
        let window = &buffer[..buffer.len().min(limit)];
        let Some(found) = memchr2(b'\r', b'\n', &window[self.scanned..]) else {
            self.scanned = window.len();
            return (buffer.len() >= limit).then(|| Err(self.reject(buffer, LineError::TooLong)));
        };
        let at = self.scanned + found;
        if buffer[at] == b'\n' {
            return Some(Err(self.reject(buffer, LineError::BareLf)));
        }
        // Said of a CR in the last place before the next octet is there, so that how the octets arrive
        // changes nothing.
        if at + 2 > limit {
            return Some(Err(self.reject(buffer, LineError::TooLong)));
        }
        match buffer.get(at + 1) {
            None => {
                self.scanned = at;
                None
            }
            Some(b'\n') => {
                let line = buffer.split_to(at);
                buffer.advance(2);
                self.scanned = 0;
                Some(Ok(line))
            }
            Some(_) => Some(Err(self.reject(buffer, LineError::BareCr))),
        }
    }

    fn reject(&mut self, buffer: &mut BytesMut, error: LineError) -> LineError {
        self.skipping = true;
        self.skip(buffer);
        error
    }

    /// Drop bytes up to and including the next CRLF; whether it was there.
    fn skip(&mut self, buffer: &mut BytesMut) -> bool {
        self.scanned = 0;
        if let Some(end) = memchr::memmem::find(buffer, b"\r\n") {
            buffer.advance(end + 2);
            self.skipping = false;
            return true;
        }
        let keep = usize::from(buffer.last() == Some(&b'\r'));
        buffer.advance(buffer.len() - keep);
        false
    }
}

fn limit(buffer: &[u8], expect: Expect) -> usize {
    let auth = expect == Expect::AuthResponse
        || buffer.get(..5).is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH "));
    if auth { AUTH_LIMIT } else { COMMAND_LIMIT }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feed `chunks` one by one; all lines and errors that come out.
    fn lines(chunks: &[&[u8]]) -> Vec<Result<Vec<u8>, LineError>> {
        let mut splitter = LineSplitter::default();
        let mut buffer = BytesMut::new();
        let mut found = Vec::new();
        for chunk in chunks {
            buffer.extend_from_slice(chunk);
            while let Some(line) = splitter.next(&mut buffer, Expect::Command) {
                found.push(line.map(|line| line.to_vec()));
            }
        }
        found
    }

    #[test]
    fn promise_10_a_cr_in_the_last_place_is_too_long_however_it_arrives() {
        let mut input = vec![b'a'; COMMAND_LIMIT - 1];
        input.extend_from_slice(b"\rx\r\nNOOP\r\n");
        let expected = vec![Err(LineError::TooLong), Ok(b"NOOP".to_vec())];
        assert_eq!(lines(&[&input]), expected);
        assert_eq!(lines(&input.chunks(1).collect::<Vec<_>>()), expected);
        assert_eq!(lines(&[&input[..COMMAND_LIMIT], &input[COMMAND_LIMIT..]]), expected);
    }

    #[test]
    fn p1_only_crlf_ends_a_command_however_it_is_split() {
        type Expected = Vec<Result<Vec<u8>, LineError>>;
        let ok = |text: &str| Ok(text.as_bytes().to_vec());
        let table: Vec<(&str, Expected)> = vec![
            ("NOOP\r\nQUIT\r\n", vec![ok("NOOP"), ok("QUIT")]),
            ("\r\n\r\n", vec![ok(""), ok("")]),
            ("NOOP\nQUIT\r\nRSET\r\n", vec![Err(LineError::BareLf), ok("RSET")]),
            ("NOOP\rQUIT\r\nRSET\r\n", vec![Err(LineError::BareCr), ok("RSET")]),
            ("NOOP\r\r\nRSET\r\n", vec![Err(LineError::BareCr), ok("RSET")]),
            ("NOOP\n\r\nRSET\r\n", vec![Err(LineError::BareLf), ok("RSET")]),
            ("NOOP\n\nQUIT\n", vec![Err(LineError::BareLf)]),
            ("NOOP\r", vec![]),
        ];
        for (input, expected) in table {
            let bytes = input.as_bytes();
            for cut in 0..=bytes.len() {
                assert_eq!(lines(&[&bytes[..cut], &bytes[cut..]]), expected, "{input:?} cut at {cut}");
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(lines(&single), expected, "{input:?} byte by byte");
        }
    }

    #[test]
    fn promise_10_an_endless_line_is_not_kept() {
        let mut splitter = LineSplitter::default();
        let mut buffer = BytesMut::new();
        let mut errors = 0;
        for _ in 0..10_000 {
            buffer.extend_from_slice(&[b'a'; 1000]);
            if let Some(line) = splitter.next(&mut buffer, Expect::Command) {
                assert_eq!(line.unwrap_err(), LineError::TooLong);
                errors += 1;
            }
            assert!(buffer.len() <= COMMAND_LIMIT);
        }
        assert_eq!(errors, 1, "reported once");
        buffer.extend_from_slice(b"\r\nQUIT\r\n");
        assert_eq!(splitter.next(&mut buffer, Expect::Command).unwrap().unwrap(), "QUIT");
    }

    #[test]
    fn the_limit_counts_the_crlf() {
        let fits = [vec![b'a'; COMMAND_LIMIT - 2], b"\r\n".to_vec()].concat();
        let over = [vec![b'a'; COMMAND_LIMIT - 1], b"\r\n".to_vec()].concat();
        for cut in [0, COMMAND_LIMIT - 3, COMMAND_LIMIT - 2, COMMAND_LIMIT - 1, COMMAND_LIMIT] {
            assert_eq!(lines(&[&fits[..cut], &fits[cut..]]).len(), 1);
            assert!(lines(&[&fits[..cut], &fits[cut..]])[0].is_ok());
            assert_eq!(lines(&[&over[..cut], &over[cut..]]), vec![Err(LineError::TooLong)], "cut at {cut}");
        }
        let auth = [b"auth PLAIN ".to_vec(), vec![b'a'; 10_000], b"\r\n".to_vec()].concat();
        assert!(lines(&[&auth])[0].is_ok());
    }
}
