//! Lines: the same ones however the input is cut, none with CR or LF in it, and a bounded buffer.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use sluis::smtp::line::{AUTH_LIMIT, COMMAND_LIMIT, Expect, LineError, LineSplitter};
use sluis::smtp::response::{MAX_LINE, ResponseParser};

fn split(input: &[u8], size: usize, expect: Expect) -> Vec<Result<Vec<u8>, LineError>> {
    let mut splitter = LineSplitter::default();
    let mut buffer = BytesMut::new();
    let mut lines = Vec::new();
    for piece in input.chunks(size.max(1)) {
        buffer.extend_from_slice(piece);
        while let Some(line) = splitter.next(&mut buffer, expect) {
            lines.push(line.map(|line| line.to_vec()));
        }
        assert!(buffer.len() <= AUTH_LIMIT);
    }
    lines
}

fuzz_target!(|data: &[u8]| {
    let Some((&size, input)) = data.split_first() else { return };
    for expect in [Expect::Command, Expect::AuthResponse] {
        let whole = split(input, input.len(), expect);
        assert_eq!(split(input, size.into(), expect), whole);
        assert_eq!(split(input, 1, expect), whole);
        for line in whole.into_iter().flatten() {
            assert!(!line.contains(&b'\r') && !line.contains(&b'\n'));
            let auth = expect == Expect::AuthResponse
                || line.get(..5).is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH "));
            assert!(line.len() + 2 <= if auth { AUTH_LIMIT } else { COMMAND_LIMIT });
        }
    }
    let mut parser = ResponseParser::default();
    let mut buffer = BytesMut::new();
    'reading: for piece in input.chunks(usize::from(size).max(1)) {
        buffer.extend_from_slice(piece);
        while let Some(response) = parser.next(&mut buffer) {
            let Ok(response) = response else { break 'reading };
            assert!((200..=599).contains(&response.code) && !response.lines.is_empty());
        }
        assert!(buffer.len() <= MAX_LINE + usize::from(size));
    }
});
