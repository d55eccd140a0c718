//! Data: CRLF.CRLF ends it and nothing else does, however it is cut; what the encoder lets out comes
//! back as it was; what it refuses is what the decoder calls defective.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluis::smtp::data::{Defects, DotDecoder, DotEncoder, check, defects};

fn decode(wire: &[u8], size: usize) -> (Vec<u8>, Defects, Option<usize>) {
    let mut decoder = DotDecoder::new();
    let (mut message, mut at) = (Vec::new(), 0);
    for piece in wire.chunks(size.max(1)) {
        let done = decoder.decode(piece, |octets| message.extend_from_slice(octets));
        at += done.consumed;
        if done.end {
            return (message, decoder.defects(), Some(at));
        }
        assert_eq!(done.consumed, piece.len());
    }
    (message, decoder.defects(), None)
}

/// The plain definition: up to the first CRLF.CRLF (a CRLF stands before the data), one dot off each
/// line that begins with one. A line begins after CRLF and nowhere else.
fn plainly(wire: &[u8]) -> Option<(Vec<u8>, usize)> {
    let framed = [b"\r\n", wire].concat();
    let end = framed.windows(5).position(|part| part == b"\r\n.\r\n")?;
    let mut message = Vec::new();
    for (at, &octet) in framed.iter().enumerate().take(end + 2).skip(2) {
        if octet != b'.' || &framed[at - 2..at] != b"\r\n" {
            message.push(octet);
        }
    }
    Some((message, end + 3))
}

fuzz_target!(|data: &[u8]| {
    let Some((&size, input)) = data.split_first() else { return };
    let size = usize::from(size).max(1);

    let whole = decode(input, input.len());
    assert_eq!(decode(input, size), whole);
    assert_eq!(decode(input, 1), whole);
    assert_eq!(whole.2.map(|end| (whole.0.clone(), end)), plainly(input));
    if whole.2.is_some() {
        assert_eq!(defects(&whole.0).any(), whole.1.any());
    }

    let mut encoder = DotEncoder::new();
    let mut wire = Vec::new();
    let mut sent = Ok(());
    for piece in input.chunks(size) {
        sent = sent.and_then(|()| encoder.encode(piece, |octets| wire.extend_from_slice(octets)));
    }
    match sent.and_then(|()| encoder.finish()) {
        Ok(end) => {
            wire.extend_from_slice(end);
            assert_eq!(decode(&wire, size), (input.to_vec(), Defects::default(), Some(wire.len())));
            assert_eq!(check([input]), Ok(()));
        }
        Err(why) => {
            assert_eq!(check([input]), Err(why));
            let terminated = [input, b"\r\n"].concat();
            assert!(defects(&terminated).any() || check([terminated.as_slice()]).is_ok());
        }
    }
});
